/*
 * core/profile-value.c - see profile-value.h.
 */
#include "profile-value.h"

#include <string.h>

#include "nearest.h"
#include "options.h"

#define MAX_VALUE 65536

static char *variable_name(const char *section, const char *key)
{
	char *name = g_strdup_printf("WEIR_%s_%s", section, key);
	for (char *p = name; *p; p++)
		*p = *p == '.' || *p == '-' ? '_' : g_ascii_toupper(*p);
	return name;
}

/* Replaces ${NAME} and ${NAME:-otherwise}; what it puts in is not looked at again. */
static char *expand(const char *text, const char **ret_missing, char *missing, size_t cap)
{
	GString *out = g_string_new(NULL);
	while (*text) {
		const char *end = text[0] == '$' && text[1] == '{' ? strchr(text, '}') : NULL;
		if (!end) {
			g_string_append_c(out, *text++);
			continue;
		}
		g_autofree char *inside = g_strndup(text + 2, (size_t)(end - text) - 2);
		char *otherwise = strstr(inside, ":-");
		if (otherwise) {
			*otherwise = '\0';
			otherwise += 2;
		}
		const char *value = g_getenv(inside);
		if ((!value || !*value) && otherwise)
			value = otherwise;
		if (!value) {
			g_strlcpy(missing, inside, cap);
			*ret_missing = missing;
			value = "";
		}
		g_string_append(out, value);
		text = end + 1;
	}
	return g_string_free(out, false);
}

char *weir_lookup_value(const struct weir_lookup *lookup, const char *section,
			const struct weir_option *option)
{
	const struct weir_ini_section *in = weir_ini_section(lookup->ini, section);
	const struct weir_ini_key *key = weir_ini_key(in, option->key);
	g_autofree char *variable = variable_name(section, option->key);
	const char *environment = g_getenv(variable);
	bool from_set = key && !strcmp(key->file, "--set");
	g_autofree char *text = NULL;
	struct weir_origin origin = { variable, 0 };
	if (lookup->seen)
		g_hash_table_add(lookup->seen, g_strdup(variable));
	if (environment && !from_set) {
		text = g_strdup(environment);
	} else if (key) {
		char name[128];
		const char *missing = NULL;
		origin = weir_ini_key_origin(key);
		text = expand(key->value, &missing, name, sizeof(name));
		if (missing) {
			weir_problem(lookup->problems, origin, section, option->key,
				     "the environment variable %s is not set; set it, or write "
				     "${%s:-otherwise}",
				     name, name);
			return NULL;
		}
	}
	bool typed_here = !text || (key && !from_set && !environment);
	if (!text || !*text) {
		g_free(text);
		text = g_strdup(option->fallback);
		typed_here = true;
	}
	if (!text || !*text) {
		if (option->flags & WEIR_OPTION_REQUIRED)
			weir_problem(lookup->problems, in ? weir_ini_section_origin(in) : origin,
				     section, option->key, "required, and not set: %s",
				     option->help);
		return NULL;
	}
	if (strlen(text) > MAX_VALUE || !g_utf8_validate(text, -1, NULL)) {
		weir_problem(lookup->problems, origin, section, option->key,
			     "the value is longer than 64 KiB, or not UTF-8");
		return NULL;
	}
	struct weir_error why;
	char *normal = NULL;
	if (weir_option_parse(option, text, typed_here ? lookup->folder : NULL, &normal, &why) < 0)
		weir_problem(lookup->problems, origin, section, option->key, "%s", why.text);
	return normal;
}

void weir_lookup_unknown(const struct weir_lookup *lookup, const char *section,
			 const struct weir_ini_key *key, const GPtrArray *known)
{
	const char *near = weir_nearest(key->name, (const char *const *)known->pdata, known->len);
	if (near) {
		weir_problem(lookup->problems, weir_ini_key_origin(key), section, key->name,
			     "unknown key; did you mean %s?", near);
		return;
	}
	g_autoptr(GString) all = g_string_new(NULL);
	for (unsigned i = 0; i < known->len && all->len < 300; i++)
		g_string_append_printf(all, "%s%s", i ? ", " : "",
				       (const char *)g_ptr_array_index(known, i));
	weir_problem(lookup->problems, weir_ini_key_origin(key), section, key->name,
		     "unknown key; known are: %s", all->str);
}
