/* SPDX-License-Identifier: MIT */
/*
 * fail.c - fills a caller's struct weir_error; see fail.h. No state; any thread.
 */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* snprintf() cuts at a byte: drop a rune that lost its tail. */
static void drop_cut_rune(char *text, size_t len)
{
	size_t at = len;

	while (at > 0 && len - at < 4) {
		unsigned char c = (unsigned char)text[--at];

		if (c < 0x80)
			return;
		if (c >= 0xc0) {
			size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

			if (len - at < want)
				text[at] = '\0';
			return;
		}
	}
}

weir_status weir_fail(struct weir_error *err, weir_status code, const char *format, ...)
{
	va_list args;
	int n;

	if (!err)
		return code;
	err->code = code;
	err->param[0] = '\0';
	va_start(args, format);
	n = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (n < 0)
		err->text[0] = '\0';
	else if ((size_t)n >= sizeof(err->text))
		drop_cut_rune(err->text, sizeof(err->text) - 1);
	return code;
}

void weir_fail_prefix(struct weir_error *err, const char *about)
{
	char old[sizeof(err->text)];
	int n;

	if (!err)
		return;
	memcpy(old, err->text, sizeof(old));
	n = snprintf(err->text, sizeof(err->text), "%s: %s", about, old);
	if (n >= 0 && (size_t)n >= sizeof(err->text))
		drop_cut_rune(err->text, sizeof(err->text) - 1);
}

struct weir_quoted weir_quote(struct weir_str s)
{
	struct weir_quoted q;
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		bool plain = c >= 0x20 && c < 0x7f;

		if (n > 60) {
			memcpy(q.text + n, "...", 3);
			n += 3;
			break;
		}
		if (plain)
			q.text[n++] = (char)c;
		else
			n += (size_t)snprintf(q.text + n, sizeof(q.text) - n, "\\x%02x", c);
	}
	q.text[n] = '\0';
	return q;
}
