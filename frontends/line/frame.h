/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/frame.h - bytes into lines.
 *
 * A line ends with \n; one \r before it is dropped; lines of nothing but blanks do not count.
 * Memory is bounded by max_line: a longer line puts the framer into a state that it does not leave.
 * Pure.
 */
#ifndef LINE_FRAME_H
#define LINE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

struct frame {
	GString *buf;    /* input that has not been taken yet; NULL: none */
	size_t taken;    /* bytes of buf that are done with */
	size_t scanned;  /* bytes of buf without a newline, from 0 */
	size_t max_line; /* its end not counted */
	bool too_long;
};

void frame_init(struct frame *, size_t max_line);
void frame_clear(struct frame *);
/* Takes the bytes over; feed no more while frame_next() has lines, so that no more than a line and
 * one read are held. */
void frame_feed(struct frame *, const char *data, size_t len);
/* The next whole line, valid until the next call of any of these; false: none, or too_long. */
bool frame_next(struct frame *, const char **ret_line, size_t *ret_len);
/* The input has ended: what is left is a line too. */
void frame_end(struct frame *);

#endif
