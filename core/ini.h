/*
 * core/ini.h - reads a profile's text strictly: sections, keys, and where each was written.
 *
 * One thread. Knows nothing of what sections mean. The format:
 *
 *   # or ; begins a comment, on a line of its own
 *   [backend.main]            letters, digits, dots, dashes, underscores
 *   key = value               key as above; the value is trimmed, and may be empty
 *   key = "  kept as is # "   with \" \\ \n \t inside the quotes
 *
 * Refused, each with its line: text outside a section, a section or key that comes twice, a line
 * that is neither, a comment behind a value, bytes that are no UTF-8, NUL and control characters,
 * files above 1 MiB.
 */
#ifndef WEIR_CORE_INI_H
#define WEIR_CORE_INI_H

#include <glib.h>

#include "problems.h"

struct weir_ini_key {
	char *name, *value;
	char *file; /* where it was written: see struct weir_origin */
	int line;
};

struct weir_ini_section {
	char *name;
	char *file;
	int line;
	GPtrArray *keys; /* struct weir_ini_key, in order */
};

struct weir_ini {
	GPtrArray *sections; /* struct weir_ini_section, in order */
};

/* Always returns what could be read; what could not is in problems. name stands in messages. */
struct weir_ini *weir_ini_parse(const char *text, size_t len, const char *name,
				struct weir_problems *);
/* As parse, from a file. NULL with a problem when it cannot be read. */
struct weir_ini *weir_ini_read(const char *path, struct weir_problems *);
void weir_ini_free(struct weir_ini *);

struct weir_ini_section *weir_ini_section(const struct weir_ini *, const char *name);
struct weir_ini_key *weir_ini_key(const struct weir_ini_section *, const char *name);
/* Sets or replaces one key, with its section if that is new. */
void weir_ini_set(struct weir_ini *, const char *section, const char *key, const char *value,
		  struct weir_origin);

static inline struct weir_origin weir_ini_key_origin(const struct weir_ini_key *key)
{
	return (struct weir_origin){ key->file, key->line };
}

static inline struct weir_origin weir_ini_section_origin(const struct weir_ini_section *section)
{
	return (struct weir_origin){ section->file, section->line };
}

#endif
