/*
 * core/options.h - values of options: text from a profile to the normal form that create() gets.
 *
 * Pure, any thread. weir/plugin.h says what each type accepts and becomes.
 */
#ifndef WEIR_CORE_OPTIONS_H
#define WEIR_CORE_OPTIONS_H

#include <weir/plugin.h>

/* Checks and normalises one value. folder: where a relative PATH is looked for first (NULL: only
 * the working directory). The error's text says what is wrong and what would be right, and does not
 * repeat the value of a SECRET. g_free(*ret). */
weir_status weir_option_parse(const struct weir_option *, const char *text, const char *folder,
			      char **ret, struct weir_error *err);
/* Is the declaration itself sound: key, type, choices, range, and a fallback that parses? */
weir_status weir_option_check(const struct weir_option *, struct weir_error *err);
const char *weir_option_type_name(uint32_t type);
/* "1 .. 64", "250ms .. 1h", "a|b|c" or "": what a value may be, for people. g_free(). */
char *weir_option_range(const struct weir_option *);

#endif
