/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/screen.h - what is written, and how: colours on a terminal only. [main]
 *
 * What comes from a model or a server passes screen_text(), which drops control characters: an
 * answer cannot move the cursor, rename the window or write to the clipboard.
 */
#ifndef TERMINAL_SCREEN_H
#define TERMINAL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct screen {
	bool is_terminal; /* standard output is one */
	bool colours;     /* and NO_COLOR is not set */
	bool at_start;    /* of a line */
	bool dim;         /* is on now */
};

void screen_init(struct screen *);
/* Text from outside, UTF-8, as it is, to standard output; flushed. */
void screen_text(struct screen *, const char *text);
/* Switches faint letters on or off. */
void screen_dim(struct screen *, bool on);
void screen_newline(struct screen *); /* unless a line has just begun */
/* A faint line of ours on standard output; only when it is a terminal. */
void screen_note(struct screen *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line for a person who asked for it. */
void screen_say(struct screen *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* To standard error. */
void screen_error(struct screen *, const char *text);

#endif
