/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/sse.c - see sse.h.
 */
#include "sse.h"

#include <string.h>

#define MAX_EVENT (8u << 20)

void sse_init(struct sse *s, void (*event)(void *user, const char *data, size_t len), void *user)
{
	*s = (struct sse){
		.line = g_string_new(NULL), .data = g_string_new(NULL), .event = event, .user = user
	};
}

static void end_line(struct sse *s)
{
	const char *value = s->line->str + 5;
	if (s->line->len == 0) {
		if (s->has_data)
			s->event(s->user, s->data->str, s->data->len);
		s->has_data = false;
		g_string_truncate(s->data, 0);
	} else if (strncmp(s->line->str, "data:", 5) == 0) {
		if (s->has_data)
			g_string_append_c(s->data, '\n');
		g_string_append(s->data, *value == ' ' ? value + 1 : value);
		s->has_data = true;
	}
	g_string_truncate(s->line, 0);
}

bool sse_feed(struct sse *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0;
		if (s->after_cr && bytes[i] == '\n') {
			s->after_cr = false;
			i++;
			continue;
		}
		s->after_cr = false;
		while (i + n < len && bytes[i + n] != '\n' && bytes[i + n] != '\r')
			n++;
		if (s->line->len + n + s->data->len > MAX_EVENT)
			return false;
		g_string_append_len(s->line, bytes + i, (gssize)n);
		i += n;
		if (i == len)
			return true;
		s->after_cr = bytes[i++] == '\r';
		end_line(s);
	}
	return true;
}

void sse_clear(struct sse *s)
{
	if (s->line)
		g_string_free(s->line, TRUE);
	if (s->data)
		g_string_free(s->data, TRUE);
	*s = (struct sse){ .line = NULL };
}
