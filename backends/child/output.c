/* SPDX-License-Identifier: MIT */
/*
 * backends/child/output.c - what the process writes to its standard output and error: its log lines
 * (JSON objects) go on with their levels, anything else is a warning. See child.h.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

#define MAX_LINE  8192u /* a longer one is told in pieces */
#define READ_SIZE 16384

static const char *const levels[] = { "debug", "info", "warning", "error", "misbehaving" };

/* Of no use beside ours, but for who looks closely. */
static bool is_chatter(const char *topic)
{
	static const char *const topics[] = { "server", "line", "models", "profile", "registry" };
	for (size_t i = 0; i < G_N_ELEMENTS(topics); i++)
		if (strcmp(topic, topics[i]) == 0)
			return true;
	return false;
}

static bool take_record(struct child *c, const char *line, size_t len)
{
	struct json_span root = { line, line + len }, v;
	g_autoptr(GString) level = g_string_new(NULL);
	g_autoptr(GString) topic = g_string_new(NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	if (len == 0 || *line != '{' || !span_check(line, len) || !span_member(root, "level", &v) ||
	    !span_string(v, level) || !span_member(root, "topic", &v) || !span_string(v, topic) ||
	    !span_member(root, "text", &v) || !span_string(v, text))
		return false;
	uint32_t n = WEIR_LOG_INFO;
	for (uint32_t i = 0; i < G_N_ELEMENTS(levels); i++)
		if (g_ascii_strcasecmp(level->str, levels[i]) == 0)
			n = i;
	if (n >= WEIR_LOG_ERROR) {
		g_free(c->last_words);
		c->last_words = g_strdup(text->str);
	}
	if (n == WEIR_LOG_INFO && is_chatter(topic->str))
		n = WEIR_LOG_DEBUG;
	child_logf(c, n, "%s: %s", topic->str, text->str);
	return true;
}

static void take_line(struct child *c, const char *line, size_t len)
{
	while (len && line[len - 1] == '\r')
		len--;
	if (len == 0 || take_record(c, line, len))
		return;
	g_autofree char *text = g_utf8_make_valid(line, (gssize)len);
	child_logf(c, WEIR_LOG_WARNING, "%s", text);
	if (c->phase == PHASE_STARTING) { /* what a process says that cannot start */
		g_free(c->last_words);
		c->last_words = g_steal_pointer(&text);
	}
}

static void take_lines(struct child *c)
{
	guint from = 0;
	while (from < c->lines->len) {
		const char *at = (const char *)c->lines->data + from;
		const char *end = memchr(at, '\n', c->lines->len - from);
		if (!end && c->lines->len - from < MAX_LINE)
			break;
		size_t n = end ? (size_t)(end - at) : MAX_LINE;
		take_line(c, at, n);
		from += (guint)n + (end ? 1 : 0);
	}
	g_byte_array_remove_range(c->lines, 0, from);
}

void output_read(struct child *c)
{
	guint8 data[READ_SIZE];
	for (int i = 0; i < 8 && c->process.output >= 0; i++) {
		ssize_t n = read(c->process.output, data, sizeof(data));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close(c->process.output);
			c->process.output = -1;
			return;
		}
		g_byte_array_append(c->lines, data, (guint)n);
		take_lines(c);
	}
}

void output_end(struct child *c)
{
	if (c->lines->len)
		take_line(c, (const char *)c->lines->data, c->lines->len);
	g_byte_array_set_size(c->lines, 0);
}
