/* SPDX-License-Identifier: MIT */
/*
 * test-line-frame.c - frontends/line/frame: bytes into lines, whatever the pieces.
 */
#include <string.h>

#include "frame.h"

/* Feeds text in pieces of n bytes; the lines joined by '|', '!' at the end if one was too long. */
static char *lines_of(const char *text, size_t len, size_t n, size_t max_line, bool end)
{
	GString *out = g_string_new(NULL);
	struct frame f;
	const char *line;
	size_t line_len;
	frame_init(&f, max_line);
	for (size_t at = 0; at < len; at += n) {
		frame_feed(&f, text + at, MIN(n, len - at));
		while (frame_next(&f, &line, &line_len)) {
			g_string_append_len(out, line, (gssize)line_len);
			g_string_append_c(out, '|');
		}
	}
	if (end) {
		frame_end(&f);
		while (frame_next(&f, &line, &line_len)) {
			g_string_append_len(out, line, (gssize)line_len);
			g_string_append_c(out, '|');
		}
	}
	if (f.too_long)
		g_string_append_c(out, '!');
	else if (!f.buf || f.taken == f.buf->len)
		g_assert_false(frame_next(&f, &line, &line_len));
	frame_clear(&f);
	return g_string_free(out, FALSE);
}

static void test_lines(void)
{
	static const struct {
		const char *text, *expected;
		bool end;
	} cases[] = {
		{ "", "", false },
		{ "a\n", "a|", false },
		{ "a\r\nb\n", "a|b|", false },
		{ "a\r\r\n", "a\r|", false },
		{ "\n\r\n \t\r\na b\n\n", "a b|", false },
		{ "a\nrest", "a|", false },
		{ "a\nrest", "a|rest|", true },
		{ "a\nrest\r", "a|rest|", true },
		{ "a\n", "a|", true },
		{ "01234567\n", "01234567|", false },
		{ "01234567\r\n8\n", "01234567|8|", false },
		{ "012345678\n", "!", false },
		{ "a\n012345678", "a|!", false },
		{ "012345678\r\na\n", "!", false },
		{ "a\n0123456789abcdef\nb\n", "a|!", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t len = strlen(cases[i].text);
		for (size_t n = 1; n <= len + 1; n++) {
			g_autofree char *got = lines_of(cases[i].text, len, n, 8, cases[i].end);
			g_assert_cmpstr(got, ==, cases[i].expected);
		}
	}
}

static void test_nul_is_a_byte(void)
{
	g_autofree char *got = lines_of("a\0b\n", 4, 2, 8, false);
	g_assert_cmpmem(got, 4, "a\0b|", 4);
}

/* What has been handed out is not kept, however much comes. */
static void test_memory_is_bounded(void)
{
	struct frame f;
	const char *line;
	size_t len, n = 0;
	char chunk[1000];
	memset(chunk, 'x', sizeof(chunk));
	chunk[499] = chunk[999] = '\n';
	frame_init(&f, 600);
	for (int i = 0; i < 2000; i++) {
		frame_feed(&f, chunk, 730);
		while (frame_next(&f, &line, &len))
			n++;
		frame_feed(&f, chunk + 730, 270);
		while (frame_next(&f, &line, &len))
			n++;
		g_assert_null(f.buf);
	}
	g_assert_cmpuint(n, ==, 4000);
	frame_clear(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/line-frame/lines", test_lines);
	g_test_add_func("/line-frame/nul", test_nul_is_a_byte);
	g_test_add_func("/line-frame/memory", test_memory_is_bounded);
	return g_test_run();
}
