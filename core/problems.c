/*
 * core/problems.c - see problems.h.
 */
#include "problems.h"

#include <stdarg.h>

#include <glib.h>

#define MAX_LINES 50

struct weir_problems {
	GPtrArray *lines;
	size_t count;
};

struct weir_problems *weir_problems_new(void)
{
	struct weir_problems *problems = g_new0(struct weir_problems, 1);
	problems->lines = g_ptr_array_new_with_free_func(g_free);
	return problems;
}

void weir_problems_free(struct weir_problems *problems)
{
	if (!problems)
		return;
	g_ptr_array_unref(problems->lines);
	g_free(problems);
}

void weir_problem(struct weir_problems *problems, struct weir_origin origin, const char *section,
		  const char *key, const char *format, ...)
{
	problems->count++;
	if (problems->lines->len >= MAX_LINES)
		return;
	GString *line = g_string_new(NULL);
	if (origin.file && origin.line > 0)
		g_string_append_printf(line, "%s:%d: ", origin.file, origin.line);
	else if (origin.file)
		g_string_append_printf(line, "%s: ", origin.file);
	if (section)
		g_string_append_printf(line, "[%s] ", section);
	if (key)
		g_string_append_printf(line, "%s: ", key);
	va_list args;
	va_start(args, format);
	g_string_append_vprintf(line, format, args);
	va_end(args);
	g_ptr_array_add(problems->lines, g_string_free(line, false));
}

size_t weir_problems_count(const struct weir_problems *problems)
{
	return problems->count;
}

const char *weir_problems_line(const struct weir_problems *problems, size_t i)
{
	return i < problems->lines->len ? g_ptr_array_index(problems->lines, i) : NULL;
}

char *weir_problems_text(const struct weir_problems *problems)
{
	GString *text = g_string_new(NULL);
	for (unsigned i = 0; i < problems->lines->len; i++)
		g_string_append_printf(text, "%s\n",
				       (const char *)g_ptr_array_index(problems->lines, i));
	if (problems->count > problems->lines->len)
		g_string_append_printf(text, "and %zu more\n",
				       problems->count - problems->lines->len);
	return g_string_free(text, false);
}
