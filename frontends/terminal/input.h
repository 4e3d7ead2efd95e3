/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/input.h - what a person types, or what a pipe brings. [main]
 *
 * On a terminal: libedit, with a history that outlives the program; Alt-Enter or a backslash at the
 * end of a line goes on in the next one, and a line of """ begins and ends a longer text. From a
 * pipe or a file each line is a prompt.
 */
#ifndef TERMINAL_INPUT_H
#define TERMINAL_INPUT_H

#include <stdbool.h>

struct input;

struct input *input_new(bool colours);
void input_free(struct input *); /* keeps the history */
bool input_is_terminal(const struct input *);
/* The next prompt, valid UTF-8, not blank, g_free(); NULL: the end. */
char *input_read(struct input *);

#endif
