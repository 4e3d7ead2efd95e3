/*
 * core/problems.h - everything that is wrong with a profile, gathered so that all of it is told at
 * once.
 *
 * One thread. A line reads "default.ini:12: [backend.main] contxt: unknown key; did you mean
 * context?". At most 50 lines are kept; the rest is counted.
 */
#ifndef WEIR_CORE_PROBLEMS_H
#define WEIR_CORE_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

struct weir_problems;

struct weir_origin {      /* where a section or a key was written */
	const char *file; /* a path, "--set", or "WEIR_BACKEND_MAIN_MODEL" */
	int line;         /* from 1; 0: none */
};

struct weir_problems *weir_problems_new(void);
void weir_problems_free(struct weir_problems *);
/* section and key may be NULL. */
void weir_problem(struct weir_problems *, struct weir_origin, const char *section, const char *key,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));
size_t weir_problems_count(const struct weir_problems *);
/* The line, NULL past the last kept one. */
const char *weir_problems_line(const struct weir_problems *, size_t i);
/* All lines, each with a newline; g_free(). */
char *weir_problems_text(const struct weir_problems *);

#endif
