/*
 * core/profile-replicas.c - see profile-replicas.h.
 */
#include "profile-replicas.h"

#include "profile.h"

static void add(GPtrArray *names, GHashTable *sections, char *name, char *section)
{
	GPtrArray *of = g_hash_table_lookup(sections, name);
	if (!of) {
		of = g_ptr_array_new();
		g_hash_table_insert(sections, name, of);
		g_ptr_array_add(names, name);
	}
	if (of->len == 0 || of->pdata[of->len - 1] != section)
		g_ptr_array_add(of, section);
}

void weir_replicas_each(const GPtrArray *backends,
			void (*each)(void *data, const char *name, const GPtrArray *sections),
			void *data)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	g_autoptr(GHashTable) sections = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
							       (GDestroyNotify)g_ptr_array_unref);
	for (unsigned i = 0; i < backends->len; i++) {
		const struct weir_profile_part *part = backends->pdata[i];
		for (char **name = part->serves; name && *name; name++)
			add(names, sections, *name, part->section);
	}
	for (unsigned i = 0; i < names->len; i++)
		each(data, names->pdata[i], g_hash_table_lookup(sections, names->pdata[i]));
}

static void add_line(void *data, const char *name, const GPtrArray *sections)
{
	g_autoptr(GString) line = g_string_new(NULL);
	if (sections->len < 2)
		return;
	g_string_printf(line, "\"%s\" is served by", name);
	for (unsigned i = 0; i < sections->len; i++)
		g_string_append_printf(line, "%s%s",
				       i == 0                  ? " "
				       : i + 1 < sections->len ? ", "
							       : " and ",
				       (const char *)sections->pdata[i]);
	g_ptr_array_add(data, g_strdup(line->str));
}

GPtrArray *weir_replicas_lines(const GPtrArray *backends)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	weir_replicas_each(backends, add_line, lines);
	return lines;
}
