/*
 * core/isolation.c - see isolation.h.
 */
#include "isolation.h"

#include <inttypes.h>
#include <string.h>

#include "log.h"

#define COMPONENT "child"

const struct weir_component *weir_isolation_component(const struct weir_registry *registry)
{
	const struct weir_registry_entry *entry =
		weir_registry_find(registry, WEIR_ROLE_BACKEND, COMPONENT);
	return entry ? entry->component : NULL;
}

static const struct weir_option *find_option(const struct weir_component *component,
					     const char *key)
{
	for (size_t i = 0; component->options && component->options[i]; i++)
		if (!strcmp(component->options[i]->key, key))
			return component->options[i];
	return NULL;
}

/* In quotes, as core/ini.c reads it; "${" must not be taken for a variable again. */
static bool put_value(GString *out, const char *value)
{
	g_string_append_c(out, '"');
	for (const char *p = value; *p; p++) {
		if (*p == '\n')
			g_string_append(out, "\\n");
		else if (*p == '\t')
			g_string_append(out, "\\t");
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
		else if (p[0] == '$' && p[1] == '{')
			g_string_append(out, "${:-$}");
		else if (*p == '"' || *p == '\\')
			g_string_append_printf(out, "\\%c", *p);
		else
			g_string_append_c(out, *p);
	}
	g_string_append(out, "\"\n");
	return true;
}

/* Back from what create() gets to what a profile says. */
static char *spell(const struct weir_option *option, const char *value)
{
	if (option->type == WEIR_OPTION_DURATION && strcmp(value, "0") != 0)
		return g_strconcat(value, "ms", NULL);
	if (option->type == WEIR_OPTION_PATH)
		return g_canonicalize_filename(value, NULL);
	return g_strdup(value);
}

char *weir_isolation_settings(const struct weir_settings *s, const struct weir_registry *registry)
{
	GString *out = g_string_new(NULL);
	g_string_append_printf(out,
			       "[server]\nlog_format = json\ndrain_timeout = 1s\nmax_queue = 0\n"
			       "single_model = true\nmax_concurrent = %u\npark_after = %" PRId64
			       "ms\ncancel_grace = %" PRId64 "ms\nworkers = %u\n",
			       s->max_concurrent, s->park_after_ms, s->cancel_grace_ms, s->workers);
	g_autoptr(GString) folders = g_string_new(NULL);
	const char *folder;
	for (size_t i = 0; (folder = weir_registry_folder(registry, i)); i++) {
		g_autofree char *path = g_canonicalize_filename(folder, NULL);
		if (!strchr(path, ',')) /* such a one cannot be in a list */
			g_string_append_printf(folders, "%s%s", folders->len ? "," : "", path);
	}
	size_t length = out->len;
	g_string_append(out, "plugin_path = ");
	if (folders->len == 0 || !put_value(out, folders->str))
		g_string_truncate(out, length);
	return g_string_free(out, false);
}

char *weir_isolation_profile(const struct weir_profile_part *part, struct weir_error *err)
{
	GString *out = g_string_new(NULL);
	g_string_append_printf(out,
			       "[frontend.parent]\nplugin = line\nlisten = fd:3\nrelay = true\n"
			       "max_line = 256MiB\nmax_requests = 10000\nidle_timeout = 0\n"
			       "request_timeout = 0\n[%s]\nplugin = %s\nhang_timeout = 24h\n",
			       part->section, part->component->id);
	for (unsigned i = 0; i < part->conf->len; i++) {
		const struct weir_kv *pair = &g_array_index(part->conf, struct weir_kv, i);
		const struct weir_option *option = find_option(part->component, pair->key);
		g_autofree char *value = option ? spell(option, pair->value) : NULL;
		if (!value)
			continue;
		g_string_append_printf(out, "%s = ", pair->key);
		bool fits = put_value(out, value);
		explicit_bzero(value, strlen(value)); /* it may be a secret */
		if (fits)
			continue;
		explicit_bzero(out->str, out->len);
		g_string_free(out, true);
		weir_fail(err, WEIR_E_INVALID,
			  "holds a control character, which a process of its own cannot be told");
		g_strlcpy(err->param, pair->key, sizeof(err->param));
		return NULL;
	}
	return g_string_free(out, false);
}

static void add(GArray *conf, const char *key, char *value)
{
	struct weir_kv pair = { key, value };
	g_array_append_val(conf, pair);
}

weir_status weir_isolation_wrap(struct weir_profile_part *part,
				const struct weir_settings *settings,
				const struct weir_registry *registry, int64_t hang_timeout_ms,
				struct weir_error *err)
{
	const struct weir_component *child = weir_isolation_component(registry);
	char *profile = weir_isolation_profile(part, err);
	if (!profile)
		return err->code;
	for (unsigned i = 0; i < part->conf->len; i++) {
		char *value = (char *)g_array_index(part->conf, struct weir_kv, i).value;
		explicit_bzero(value, strlen(value));
		g_free(value);
	}
	g_array_set_size(part->conf, 0);
	add(part->conf, "profile", profile);
	add(part->conf, "settings", weir_isolation_settings(settings, registry));
	add(part->conf, "hang_timeout", g_strdup_printf("%" PRId64, hang_timeout_ms));
	part->inner = part->component;
	part->component = child;
	return WEIR_OK;
}
