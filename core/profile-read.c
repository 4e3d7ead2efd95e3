/*
 * core/profile-read.c - finds a profile, reads it, puts --set on top, and understands [server].
 */
#include <string.h>

#include "log.h"
#include "nearest.h"
#include "options.h"
#include "place.h"
#include "profile-value.h"
#include "profile.h"

#ifndef WEIR_DATA_DIR
#define WEIR_DATA_DIR    "/usr/share/weir"
#define WEIR_DATA_SUBDIR "share/weir"
#endif

#define OPTION(name, kind, otherwise, text, ...)                                                   \
	static const struct weir_option option_##name = { .size = sizeof(struct weir_option),      \
							  .type = WEIR_OPTION_##kind,              \
							  .key = #name,                            \
							  .fallback = otherwise,                   \
							  .help = text,                            \
							  __VA_ARGS__ }

OPTION(drain_timeout, DURATION, "30s", "How long running requests may go on after a stop signal.",
       .max = 86400000);
OPTION(plugin_path, LIST, NULL, "Folders that are searched for plugins before the usual ones.");
OPTION(log_level, STRING, "info",
       "debug, info, warning, error or off, and topic=level: info,http=debug.",
       .flags = WEIR_OPTION_LIVE);
OPTION(log_format, CHOICE, "text", "Lines for people, or one JSON object a line.",
       .choices = "text|json", .flags = WEIR_OPTION_LIVE);
OPTION(max_queue, INT, "1000",
       "Waiting requests per backend; one more is refused with 503. 0: unlimited.", .max = 1000000);
OPTION(max_concurrent, INT, "0", "Running requests per backend. 0: as many as it can.",
       .max = 1000000);
OPTION(park_after, DURATION, "2s",
       "A client that reads nothing for so long gives its KV memory to others.", .max = 3600000);
OPTION(cancel_grace, DURATION, "10s",
       "A backend must end a cancelled request within it; after it the request is ended for it.",
       .min = 1, .max = 3600000);
OPTION(workers, INT, "4", "Threads that load models, tokenise and submit.", .min = 1, .max = 256);
OPTION(single_model, BOOL, "false",
       "Any model name is answered by the first backend and its replicas.");
OPTION(max_loaded, INT, "0",
       "Backends that are loaded at a time; the one that was idle for longest makes room. 0: any "
       "number.",
       .max = 1000000);
OPTION(order, LIST, NULL, "The middleware, in the order that a request meets it.");
OPTION(plugin, LIST, NULL, "Components to try; the first that can run here is taken.");
OPTION(serves, LIST, NULL,
       "Model names that this backend answers; a trailing * stands for any end. Backends that "
       "serve one name are its replicas: a request goes to one that is ready, rather where the "
       "prompt's beginning is known, else where least is to be done.");
OPTION(autoload, BOOL, "true", "Loaded when the server starts.");
OPTION(load_on_demand, BOOL, "false",
       "Loaded by a request for one of its models; requests wait until it is.");
OPTION(idle_unload, DURATION, "0", "Unloaded after so long without a request. 0: never.",
       .max = 31536000000.0);
OPTION(isolation, CHOICE, "none",
       "process: the backend runs in a process of its own; whatever ends that one ends no other "
       "request, and it is started again.",
       .choices = "none|process");
OPTION(hang_timeout, DURATION, "60s",
       "A call of the backend that lasts longer, hangs: it is logged and shown in /health; with "
       "isolation = process its process is ended and started again, as one that does not answer.",
       .min = 500, .max = 86400000);
OPTION(replace, CHOICE, "after",
       "When a reload finds other options: the new one is loaded after the old one has ended, or "
       "beside it, which needs memory for both and keeps the old one if the new one fails.",
       .choices = "after|beside");

static const struct weir_option *const server_options[] = {
	&option_drain_timeout, &option_plugin_path,    &option_log_level,  &option_log_format,
	&option_max_queue,     &option_max_concurrent, &option_park_after, &option_cancel_grace,
	&option_workers,       &option_single_model,   &option_max_loaded, NULL,
};
static const struct weir_option *const chain_options[] = { &option_order, NULL };
static const struct weir_option *const part_options[] = { &option_plugin, NULL };
static const struct weir_option *const backend_options[] = {
	&option_plugin,         &option_serves,       &option_autoload,
	&option_load_on_demand, &option_idle_unload,  &option_replace,
	&option_isolation,      &option_hang_timeout, NULL,
};

const struct weir_option *const *weir_host_options(const char *section)
{
	if (!strcmp(section, "server"))
		return server_options;
	if (!strcmp(section, "chain"))
		return chain_options;
	if (!strcmp(section, "backend"))
		return backend_options;
	if (!strcmp(section, "frontend") || !strcmp(section, "middleware"))
		return part_options;
	return NULL;
}

char **weir_data_folders(void)
{
	GPtrArray *folders = g_ptr_array_new();
	const char *named = g_getenv("WEIR_DATA_DIR");
	if (named && *named)
		g_ptr_array_add(folders, g_strdup(named));
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	if (self) { /* SOURCE/build/core/weir */
		g_autofree char *bin = g_path_get_dirname(self);
		g_autofree char *root = g_path_get_dirname(bin);
		g_autofree char *source = g_path_get_dirname(root);
		g_autofree char *marker = g_build_filename(root, "build.ninja", NULL);
		if (g_file_test(marker, G_FILE_TEST_EXISTS))
			g_ptr_array_add(folders, g_build_filename(source, "data", NULL));
	}
	g_ptr_array_add(folders, weir_place_installed(self, WEIR_DATA_SUBDIR, WEIR_DATA_DIR));
	g_ptr_array_add(folders, NULL);
	return (char **)g_ptr_array_free(folders, false);
}

weir_status weir_profile_find(const char *name, char **ret, struct weir_error *err)
{
	if (strchr(name, '/') || g_str_has_suffix(name, ".ini")) {
		*ret = g_strdup(name);
		return WEIR_OK;
	}
	g_auto(GStrv) folders = weir_data_folders();
	g_autoptr(GString) looked = g_string_new(NULL);
	g_autofree char *file = g_strconcat(name, ".ini", NULL);
	for (size_t i = 0; folders[i]; i++) {
		g_autofree char *path = g_build_filename(folders[i], "profiles", file, NULL);
		if (g_file_test(path, G_FILE_TEST_EXISTS)) {
			*ret = g_steal_pointer(&path);
			return WEIR_OK;
		}
		g_string_append_printf(looked, "%s%s", i ? ", " : "", path);
	}
	return weir_fail(err, WEIR_E_NOT_FOUND,
			 "no profile is called %.80s (looked for %s); give a path, or set "
			 "WEIR_DATA_DIR",
			 name, looked->str);
}

/* section.key=value; the key is what follows the last dot. */
static void apply_set(struct weir_ini *ini, const char *text, struct weir_problems *problems)
{
	static const struct weir_origin origin = { "--set", 0 };
	g_autofree char *copy = g_strdup(text);
	char *equals = strchr(copy, '=');
	if (equals)
		*equals = '\0';
	char *dot = strrchr(copy, '.');
	if (!equals || !dot || dot == copy || !dot[1]) {
		/* The value may be a secret: only the name is repeated. */
		weir_problem(problems, origin, NULL, NULL,
			     "\"%.80s\" is not section.key=value, like "
			     "frontend.http.listen=127.0.0.1:8001",
			     copy);
		return;
	}
	*dot = '\0';
	weir_ini_set(ini, copy, dot + 1, equals + 1, origin);
}

struct weir_ini *weir_profile_read(const char *path, const char *const *sets,
				   struct weir_problems *problems)
{
	struct weir_ini *ini = weir_ini_read(path, problems);
	for (size_t i = 0; ini && sets && sets[i]; i++)
		apply_set(ini, sets[i], problems);
	return ini;
}

static int64_t number_in(const struct weir_lookup *lookup, const char *section,
			 const struct weir_option *option)
{
	g_autofree char *text = weir_lookup_value(lookup, section, option);
	return text ? g_ascii_strtoll(text, NULL, 10) : 0;
}

static int64_t number(const struct weir_lookup *lookup, const struct weir_option *option)
{
	return number_in(lookup, "server", option);
}

static bool is_text(const struct weir_lookup *lookup, const char *section,
		    const struct weir_option *option, const char *text)
{
	g_autofree char *value = weir_lookup_value(lookup, section, option);
	return value && !strcmp(value, text);
}

static bool truth(const struct weir_lookup *lookup, const struct weir_option *option)
{
	return is_text(lookup, "server", option, "true");
}

void weir_profile_life(const struct weir_lookup *lookup, const char *section,
		       struct weir_backend_life *ret)
{
	ret->autoload = is_text(lookup, section, &option_autoload, "true");
	ret->on_demand = is_text(lookup, section, &option_load_on_demand, "true");
	ret->beside = is_text(lookup, section, &option_replace, "beside");
	ret->idle_unload_ms = number_in(lookup, section, &option_idle_unload);
	ret->isolated = is_text(lookup, section, &option_isolation, "process");
	ret->hang_timeout_ms = number_in(lookup, section, &option_hang_timeout);
}

static char **read_plugin_path(const struct weir_lookup *lookup)
{
	g_autofree char *text = weir_lookup_value(lookup, "server", &option_plugin_path);
	char **folders = g_strsplit(text ? text : "", ",", -1);
	static const struct weir_option as_path = { .size = sizeof(as_path),
						    .type = WEIR_OPTION_PATH };
	for (size_t i = 0; folders[i]; i++) {
		char *path = NULL;
		if (weir_option_parse(&as_path, folders[i], lookup->folder, &path, NULL) < 0)
			continue;
		g_free(folders[i]);
		folders[i] = path;
	}
	return folders;
}

void weir_profile_settings(const struct weir_ini *ini, const char *path, struct weir_settings *ret,
			   GHashTable *seen, struct weir_problems *problems)
{
	g_autofree char *folder = g_path_get_dirname(path);
	const struct weir_lookup lookup = {
		.ini = ini, .folder = folder, .problems = problems, .seen = seen
	};
	ret->drain_timeout_ms = number(&lookup, &option_drain_timeout);
	ret->park_after_ms = number(&lookup, &option_park_after);
	ret->cancel_grace_ms = number(&lookup, &option_cancel_grace);
	ret->max_queue = (uint32_t)number(&lookup, &option_max_queue);
	ret->max_concurrent = (uint32_t)number(&lookup, &option_max_concurrent);
	ret->workers = (uint32_t)number(&lookup, &option_workers);
	ret->max_loaded = (uint32_t)number(&lookup, &option_max_loaded);
	ret->single_model = truth(&lookup, &option_single_model);
	ret->log_level = weir_lookup_value(&lookup, "server", &option_log_level);
	g_autofree char *format = weir_lookup_value(&lookup, "server", &option_log_format);
	ret->log_json = !g_strcmp0(format, "json");
	ret->plugin_path = read_plugin_path(&lookup);
	struct weir_error why;
	struct weir_logger *probe = weir_logger_new("off", -1, false);
	const struct weir_ini_section *section = weir_ini_section(ini, "server");
	const struct weir_ini_key *level = weir_ini_key(section, "log_level");
	struct weir_origin origin =
		level ? weir_ini_key_origin(level) : (struct weir_origin){ path, 0 };
	if (weir_logger_set_levels(probe, ret->log_level, &why) < 0) {
		weir_problem(problems, origin, "server", "log_level", "%s", why.text);
		g_free(ret->log_level); /* else the logger would say it again */
		ret->log_level = g_strdup(option_log_level.fallback);
	}
	weir_logger_free(probe);
	g_autoptr(GPtrArray) known = g_ptr_array_new();
	for (size_t i = 0; server_options[i]; i++)
		g_ptr_array_add(known, (char *)server_options[i]->key);
	for (unsigned i = 0; section && i < section->keys->len; i++) {
		const struct weir_ini_key *key = g_ptr_array_index(section->keys, i);
		if (!g_ptr_array_find_with_equal_func(known, key->name, g_str_equal, NULL))
			weir_lookup_unknown(&lookup, "server", key, known);
	}
}

void weir_settings_clear(struct weir_settings *settings)
{
	g_free(settings->log_level);
	g_strfreev(settings->plugin_path);
	settings->log_level = NULL;
	settings->plugin_path = NULL;
}
