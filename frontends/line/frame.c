/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/frame.c - see frame.h.
 */
#include "frame.h"

#include <string.h>

void frame_init(struct frame *f, size_t max_line)
{
	*f = (struct frame){ .max_line = max_line };
}

void frame_clear(struct frame *f)
{
	if (f->buf)
		g_string_free(f->buf, TRUE);
	f->buf = NULL;
	f->taken = f->scanned = 0;
}

void frame_feed(struct frame *f, const char *data, size_t len)
{
	if (f->too_long || len == 0)
		return;
	if (!f->buf)
		f->buf = g_string_sized_new(len);
	if (f->taken) {
		g_string_erase(f->buf, 0, (gssize)f->taken);
		f->scanned -= f->taken;
		f->taken = 0;
	}
	g_string_append_len(f->buf, data, (gssize)len);
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

static void too_long(struct frame *f)
{
	frame_clear(f);
	f->too_long = true;
}

bool frame_next(struct frame *f, const char **ret_line, size_t *ret_len)
{
	while (f->buf && f->taken < f->buf->len) {
		const char *line = f->buf->str + f->taken;
		const char *end = memchr(f->buf->str + f->scanned, '\n', f->buf->len - f->scanned);
		size_t len = end ? (size_t)(end - line) : f->buf->len - f->taken;
		if (len > f->max_line + 1 || (len == f->max_line + 1 && line[len - 1] != '\r')) {
			too_long(f);
			return false;
		}
		if (!end) {
			f->scanned = f->buf->len;
			return false;
		}
		f->taken += len + 1;
		f->scanned = f->taken;
		if (len && line[len - 1] == '\r')
			len--;
		if (is_blank(line, len))
			continue;
		*ret_line = line;
		*ret_len = len;
		return true;
	}
	frame_clear(f); /* an idle connection holds no buffer */
	return false;
}

void frame_end(struct frame *f)
{
	if (f->buf && f->buf->len > f->taken && f->buf->str[f->buf->len - 1] != '\n')
		g_string_append_c(f->buf, '\n');
}
