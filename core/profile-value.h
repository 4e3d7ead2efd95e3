/*
 * core/profile-value.h - the value of one option of one section, from wherever it comes.
 *
 * Part of profile.c, shared by its files only.
 */
#ifndef WEIR_CORE_PROFILE_VALUE_H
#define WEIR_CORE_PROFILE_VALUE_H

#include "profile.h"

struct weir_lookup {
	const struct weir_ini *ini;
	const char *folder; /* the profile's: where relative paths begin */
	struct weir_problems *problems;
	GHashTable *seen; /* names of environment variables that were asked for; may be NULL */
};

/* The normalised value, or NULL: unset, or wrong (a problem says so). g_free(). */
char *weir_lookup_value(const struct weir_lookup *, const char *section,
			const struct weir_option *);
/* The problem of a key that nobody declares. known: names that could have been meant. */
void weir_lookup_unknown(const struct weir_lookup *, const char *section,
			 const struct weir_ini_key *, const GPtrArray *known);

/* profile-read.c: what the host itself knows of a [backend.NAME] section. */
struct weir_backend_life;
void weir_profile_life(const struct weir_lookup *, const char *section,
		       struct weir_backend_life *ret);

#endif
