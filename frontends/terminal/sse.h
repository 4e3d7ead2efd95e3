/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/sse.h - server-sent events out of pieces of a response body.
 *
 * As the WHATWG's HTML standard has it (9.2.6), as far as a chat needs it: data lines are joined by
 * a newline, comments and other fields are skipped. Bounded: an event of more than 8 MiB is a
 * fault. Pure.
 */
#ifndef TERMINAL_SSE_H
#define TERMINAL_SSE_H

#include <stdbool.h>

#include <glib.h>

struct sse {
	GString *line; /* what has come of the present line */
	GString *data; /* the data lines of the present event */
	bool has_data, after_cr;
	void (*event)(void *user, const char *data, size_t len);
	void *user;
};

void sse_init(struct sse *, void (*event)(void *user, const char *data, size_t len), void *user);
bool sse_feed(struct sse *, const char *bytes, size_t len); /* false: too long */
void sse_clear(struct sse *);

#endif
