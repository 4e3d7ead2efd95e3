/* SPDX-License-Identifier: MIT */
/*
 * backends/child/json.c - see json.h.
 */
#include "json.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* ---- the check; each returns what follows, or NULL ---- */

static const char *check_string(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			return at + 1;
		if ((unsigned char)*at < 0x20)
			return NULL;
		if (*at != '\\')
			continue;
		if (++at >= end)
			return NULL;
		if (*at == 'u') {
			if (end - at < 5)
				return NULL;
			for (int i = 1; i <= 4; i++)
				if (!g_ascii_isxdigit(at[i]))
					return NULL;
			at += 4;
		} else if (!*at || !strchr("\"\\/bfnrt", *at)) {
			return NULL;
		}
	}
	return NULL;
}

static const char *digits(const char *at, const char *end)
{
	const char *from = at;
	while (at < end && g_ascii_isdigit(*at))
		at++;
	return at > from ? at : NULL;
}

static const char *check_number(const char *at, const char *end)
{
	if (at < end && *at == '-')
		at++;
	if (at < end && *at == '0')
		at++;
	else if (!(at = digits(at, end)))
		return NULL;
	if (at < end && *at == '.' && !(at = digits(at + 1, end)))
		return NULL;
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		at = digits(at, end);
	}
	return at;
}

static const char *check_scalar(const char *at, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };
	if (*at == '"')
		return check_string(at, end);
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(end - at) >= n && !memcmp(at, words[i], n))
			return at + n;
	}
	return check_number(at, end);
}

/* "key" : */
static const char *check_key(const char *at, const char *end)
{
	at = skip_space(at, end);
	if (at >= end || *at != '"' || !(at = check_string(at, end)))
		return NULL;
	at = skip_space(at, end);
	return at < end && *at == ':' ? at + 1 : NULL;
}

bool span_check(const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	char open[JSON_MAX_DEPTH]; /* what closes the containers around */
	size_t depth = 0;
	if (!g_utf8_validate_len(text, len, NULL))
		return false;
	for (;;) { /* a value is expected */
		at = skip_space(at, end);
		if (at >= end)
			return false;
		if (*at == '{' || *at == '[') {
			char close = *at == '{' ? '}' : ']';
			if (depth == JSON_MAX_DEPTH)
				return false;
			open[depth++] = close;
			at = skip_space(at + 1, end);
			if (at >= end)
				return false;
			if (*at != close) {
				if (close == '}' && !(at = check_key(at, end)))
					return false;
				continue;
			}
		} else if (!(at = check_scalar(at, end))) {
			return false;
		}
		for (;;) { /* behind a value, or before the end of an empty container */
			at = skip_space(at, end);
			if (depth == 0)
				return at == end;
			if (at >= end)
				return false;
			if (*at == open[depth - 1]) {
				at++;
				depth--;
				continue;
			}
			if (*at != ',')
				return false;
			if (open[depth - 1] == '}' && !(at = check_key(at + 1, end)))
				return false;
			if (open[depth - 1] == ']')
				at++;
			break;
		}
	}
}

/* ---- walking ---- */

static const char *skip_string(const char *at)
{
	for (at++; *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at + 1;
}

/* Behind the value that begins here. */
static const char *skip_value(const char *at, const char *end)
{
	size_t depth = 0;
	do {
		if (*at == '"') {
			at = skip_string(at);
			continue;
		}
		if (*at == '{' || *at == '[') {
			depth++;
			at++;
		} else if (*at == '}' || *at == ']') {
			depth--;
			at++;
		} else if (depth > 0) {
			at++;
		} else {
			while (at < end && !strchr(",]} \t\r\n", *at))
				at++;
		}
	} while (depth > 0);
	return at;
}

/* At the next entry's first byte; NULL: there is none. *it: the container, or behind an entry. */
static const char *enter(struct json_span *it, char first)
{
	const char *at = skip_space(it->at, it->end);
	if (at < it->end && (*at == first || *at == ','))
		at = skip_space(at + 1, it->end);
	else
		at = it->end;
	return at < it->end && *at != '}' && *at != ']' ? at : NULL;
}

bool span_next_item(struct json_span *it, struct json_span *ret)
{
	const char *at = enter(it, '[');
	if (!at)
		return false;
	*ret = (struct json_span){ at, skip_value(at, it->end) };
	it->at = ret->end;
	return true;
}

bool span_next_member(struct json_span *it, struct json_span *ret_key, struct json_span *ret)
{
	const char *at = enter(it, '{');
	if (!at || *at != '"')
		return false;
	*ret_key = (struct json_span){ at + 1, skip_string(at) - 1 };
	at = skip_space(ret_key->end + 1, it->end);
	at = skip_space(at + 1, it->end);
	*ret = (struct json_span){ at, skip_value(at, it->end) };
	it->at = ret->end;
	return true;
}

bool span_same(struct json_span key, const char *name)
{
	size_t n = strlen(name);
	return (size_t)(key.end - key.at) == n && !memcmp(key.at, name, n);
}

bool span_member(struct json_span object, const char *name, struct json_span *ret)
{
	struct json_span key, value;
	bool found = false;
	if (!span_is(object, '{'))
		return false;
	while (span_next_member(&object, &key, &value))
		if (span_same(key, name)) {
			*ret = value;
			found = true;
		}
	return found;
}

bool span_path(struct json_span from, struct json_span *ret, ...)
{
	va_list names;
	const char *name;
	bool found = true;
	va_start(names, ret);
	while (found && (name = va_arg(names, const char *)))
		found = span_member(from, name, &from);
	va_end(names);
	if (found)
		*ret = from;
	return found;
}

bool span_is(struct json_span s, char first)
{
	const char *at = skip_space(s.at, s.end);
	return at < s.end && *at == first;
}

bool span_bool(struct json_span s)
{
	return span_same(s, "true");
}

/* ---- values ---- */

static uint32_t hex4(const char *at)
{
	uint32_t v = 0;
	for (int i = 0; i < 4; i++)
		v = v * 16 + (uint32_t)g_ascii_xdigit_value(at[i]);
	return v;
}

/* \uXXXX at `at`, with its partner; returns what follows. */
static const char *put_rune(GString *out, const char *at, const char *end)
{
	uint32_t rune = hex4(at + 2);
	at += 6;
	if (rune >= 0xd800 && rune < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
		uint32_t low = hex4(at + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
			at += 6;
		}
	}
	g_string_append_unichar(out, rune >= 0xd800 && rune < 0xe000 ? 0xfffd : rune);
	return at;
}

bool span_string(struct json_span s, GString *out)
{
	static const char codes[] = "bfnrt", values[] = "\b\f\n\r\t";
	if (s.end - s.at < 2 || *s.at != '"')
		return false;
	const char *at = s.at + 1, *end = s.end - 1;
	while (at < end) {
		const char *stop = memchr(at, '\\', (size_t)(end - at));
		g_string_append_len(out, at, (stop ? stop : end) - at);
		if (!stop)
			break;
		at = stop;
		if (at[1] == 'u') {
			at = put_rune(out, at, end);
			continue;
		}
		const char *code = strchr(codes, at[1]);
		g_string_append_c(out, code ? values[code - codes] : at[1]);
		at += 2;
	}
	return true;
}

bool span_int(struct json_span s, int64_t min, int64_t max, int64_t *ret)
{
	char text[24];
	gint64 v;
	size_t n = (size_t)(s.end - s.at);
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, s.at, n);
	text[n] = '\0';
	if (!g_ascii_string_to_signed(text, 10, min, max, &v, NULL))
		return false;
	*ret = v;
	return true;
}

bool span_float(struct json_span s, double *ret)
{
	char text[64], *end;
	size_t n = (size_t)(s.end - s.at);
	if (span_same(s, "null")) {
		*ret = NAN;
		return true;
	}
	if (n == 0 || n >= sizeof(text) || (*s.at != '-' && !g_ascii_isdigit(*s.at)))
		return false;
	memcpy(text, s.at, n);
	text[n] = '\0';
	*ret = g_ascii_strtod(text, &end);
	return *end == '\0';
}

void span_put_string(GString *out, const char *text, size_t len)
{
	size_t from = 0;
	g_string_append_c(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		g_string_append_len(out, text + from, (gssize)(i - from));
		if (c == '"' || c == '\\')
			g_string_append_printf(out, "\\%c", c);
		else
			g_string_append_printf(out, "\\u%04x", c);
		from = i + 1;
	}
	g_string_append_len(out, text + from, (gssize)(len - from));
	g_string_append_c(out, '"');
}
