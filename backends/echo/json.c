/* SPDX-License-Identifier: MIT */
/*
 * json.c - finds the last user message in a JSON array of messages, without building a tree.
 *
 * The frontend has checked the array; what is broken all the same ends the search. Nesting is
 * skipped with a counter, not by recursion.
 */
#include "echo.h"

#include <stdlib.h>
#include <string.h>

struct scan {
	const char *at, *end;
};

static void skip_space(struct scan *s)
{
	while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at)
		s->at++;
}

static bool eat(struct scan *s, char c)
{
	skip_space(s);
	if (s->at >= s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* The raw inside of a string, quotes not included. */
static bool raw_string(struct scan *s, struct weir_str *ret)
{
	const char *start;

	if (!eat(s, '"'))
		return false;
	start = s->at;
	while (s->at < s->end && *s->at != '"')
		s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
	if (s->at >= s->end)
		return false;
	*ret = (struct weir_str){ start, (size_t)(s->at - start) };
	s->at++;
	return true;
}

static bool skip_value(struct scan *s)
{
	struct weir_str unused;
	size_t depth = 0;

	do {
		skip_space(s);
		if (s->at >= s->end)
			return false;
		if (*s->at == '"') {
			if (!raw_string(s, &unused))
				return false;
		} else if (*s->at == '[' || *s->at == '{') {
			depth++;
			s->at++;
		} else if (*s->at == ']' || *s->at == '}') {
			if (depth == 0)
				return false;
			depth--;
			s->at++;
		} else if (*s->at == ',' || *s->at == ':') {
			if (depth == 0)
				return false;
			s->at++;
		} else {
			s->at++;
			while (s->at < s->end && !strchr(",:]}[{\" \t\r\n", *s->at))
				s->at++;
		}
	} while (depth > 0);
	return true;
}

static bool same(struct weir_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static int hex4(const char *at, const char *end)
{
	int value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef", *d;
		char c = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] + 32) : at[i];

		d = c ? strchr(digits, c) : NULL;
		if (!d)
			return -1;
		value = value * 16 + (int)(d - digits);
	}
	return value;
}

static size_t put_rune(char *out, uint32_t rune)
{
	if (rune < 0x80) {
		out[0] = (char)rune;
		return 1;
	}
	if (rune < 0x800) {
		out[0] = (char)(0xc0 | rune >> 6);
		out[1] = (char)(0x80 | (rune & 63));
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (char)(0xe0 | rune >> 12);
		out[1] = (char)(0x80 | (rune >> 6 & 63));
		out[2] = (char)(0x80 | (rune & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | rune >> 18);
	out[1] = (char)(0x80 | (rune >> 12 & 63));
	out[2] = (char)(0x80 | (rune >> 6 & 63));
	out[3] = (char)(0x80 | (rune & 63));
	return 4;
}

/* Decodes into out, which has room for raw.len bytes: no escape is shorter than what it means. */
static size_t decode(struct weir_str raw, char *out)
{
	const char *at = raw.data, *end = raw.data + raw.len;
	size_t n = 0;

	while (at < end) {
		static const char codes[] = "bfnrt", values[] = "\b\f\n\r\t";
		const char *code;
		int high, low;

		if (*at != '\\' || at + 1 >= end) {
			out[n++] = *at++;
			continue;
		}
		at++;
		code = strchr(codes, *at);
		if (*at == 'u' && (high = hex4(at + 1, end)) >= 0) {
			uint32_t rune = (uint32_t)high;

			at += 5;
			if (high >= 0xd800 && high < 0xdc00 && end - at >= 6 && at[0] == '\\' &&
			    at[1] == 'u' && (low = hex4(at + 2, end)) >= 0xdc00 && low < 0xe000) {
				rune = 0x10000 + ((uint32_t)(high - 0xd800) << 10) +
				       (uint32_t)(low - 0xdc00);
				at += 6;
			}
			n += put_rune(out + n, rune >= 0xd800 && rune < 0xe000 ? 0xfffd : rune);
		} else {
			out[n++] = code && *code ? values[code - codes] : *at;
			at++;
		}
	}
	return n;
}

/* content: a string, or a list of parts whose "text" counts. */
static size_t read_content(struct scan s, char *out)
{
	struct weir_str key, text;
	size_t n = 0;

	if (raw_string(&s, &text))
		return decode(text, out);
	if (!eat(&s, '['))
		return 0;
	while (eat(&s, '{')) {
		while (raw_string(&s, &key) && eat(&s, ':')) {
			if (same(key, "text") && raw_string(&s, &text))
				n += decode(text, out + n);
			else if (!skip_value(&s))
				return n;
			if (!eat(&s, ','))
				break;
		}
		if (!eat(&s, '}') || !eat(&s, ','))
			break;
	}
	return n;
}

char *echo_texts(struct weir_str parts, size_t *ret_len)
{
	char *out = parts.data ? malloc(parts.len + 1) : NULL;

	if (!out)
		return NULL;
	*ret_len = read_content((struct scan){ parts.data, parts.data + parts.len }, out);
	out[*ret_len] = '\0';
	return out;
}

char *echo_last_user(struct weir_str messages, size_t *ret_len)
{
	struct scan s = { messages.data, messages.data + messages.len };
	struct scan content = { NULL, NULL };
	char *out;

	if (!messages.data || !eat(&s, '['))
		return NULL;
	while (eat(&s, '{')) {
		struct scan mine = { NULL, NULL };
		struct weir_str key, role = { NULL, 0 };

		while (raw_string(&s, &key) && eat(&s, ':')) {
			struct scan value = s;

			if (!skip_value(&s))
				return NULL;
			value.end = s.at;
			if (same(key, "content"))
				mine = value;
			else if (same(key, "role") && !raw_string(&value, &role))
				role.len = 0;
			if (!eat(&s, ','))
				break;
		}
		if (!eat(&s, '}'))
			return NULL;
		if (role.data && same(role, "user") && mine.at)
			content = mine;
		if (!eat(&s, ','))
			break;
	}
	if (!content.at)
		return NULL;
	out = malloc((size_t)(content.end - content.at) + 1);
	if (!out)
		return NULL;
	*ret_len = read_content(content, out);
	out[*ret_len] = '\0';
	return out;
}
