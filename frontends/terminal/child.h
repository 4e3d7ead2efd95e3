/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/child.h - a server of our own, which ends with the chat. [main]
 *
 * This program again, as `weir serve PROFILE` on a free port of 127.0.0.1. It is in a process group
 * of its own, so that ctrl-C means the answer and not the server; it is told to end when we die.
 */
#ifndef TERMINAL_CHILD_H
#define TERMINAL_CHILD_H

#include <stdbool.h>

struct child;

/* model: a GGUF file for backend.main, or NULL. Returns once it listens; *ret_url is lent until
 * child_stop(). False: *ret_error, g_free(). */
bool child_start(const char *profile, const char *model, struct child **ret, const char **ret_url,
		 char **ret_error);
/* Has it ended by itself? Then *ret_log is the end of what it said; g_free(). */
bool child_is_dead(struct child *, char **ret_log);
void child_stop(struct child *);

#endif
