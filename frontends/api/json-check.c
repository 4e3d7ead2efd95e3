/*
 * frontends/api/json-check.c - see json-check.h.
 *
 * A value is read by value(); opening a container pushes one bit on a stack (object or array), so
 * that nesting needs no recursion.
 */
#include "json-check.h"

#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "json-write.h"

struct scan {
	const unsigned char *p, *end;
	const char *what;
	uint64_t is_object; /* one bit a level, the innermost is bit 0 */
	unsigned depth;
	bool any_wide;
	unsigned n_members[JSON_CHECK_MAX_DEPTH + 1]; /* by depth */
	unsigned n_brackets, n_scalars;
};

static bool fail(struct scan *s, const char *what)
{
	s->what = what;
	return false;
}

static void skip_blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool hex4(struct scan *s, unsigned *ret)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++, s->p++) {
		int d = s->p < s->end ? g_ascii_xdigit_value((gchar)*s->p) : -1;
		if (d < 0)
			return fail(s, "\\u needs four hexadecimal digits");
		v = v * 16 + (unsigned)d;
	}
	*ret = v;
	return true;
}

static bool escape(struct scan *s)
{
	if (++s->p == s->end)
		return fail(s, "the text ends inside a string");
	unsigned char c = *s->p;
	if (c != 'u') {
		if (!c || !strchr("\"\\/bfnrt", c))
			return fail(s, "unknown escape in a string");
		s->p++;
		return true;
	}
	unsigned v, low;
	s->p++;
	if (!hex4(s, &v))
		return false;
	if (v == 0)
		return fail(s, "\\u0000 is not supported in a string");
	if (v >= 0xdc00 && v <= 0xdfff)
		return fail(s, "half of a surrogate pair in a string");
	if (v < 0xd800 || v > 0xdbff)
		return true;
	if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
		return fail(s, "half of a surrogate pair in a string");
	s->p += 2;
	if (!hex4(s, &low))
		return false;
	if (low < 0xdc00 || low > 0xdfff)
		return fail(s, "half of a surrogate pair in a string");
	return true;
}

static bool string(struct scan *s)
{
	s->p++;
	while (s->p < s->end) {
		unsigned char c = *s->p;
		if (c == '"') {
			s->p++;
			return true;
		}
		if (c == '\\') {
			if (!escape(s))
				return false;
		} else if (c < ' ') {
			return fail(s, "a control character in a string must be escaped");
		} else if (c < 0x80) {
			s->p++;
		} else {
			size_t n = json_rune_length((const char *)s->p, (size_t)(s->end - s->p));
			if (n == 0)
				return fail(s, "the text is not valid UTF-8");
			s->p += n;
		}
	}
	return fail(s, "the text ends inside a string");
}

static bool digits(struct scan *s)
{
	if (s->p == s->end || !g_ascii_isdigit(*s->p))
		return fail(s, "a number lacks digits");
	while (s->p < s->end && g_ascii_isdigit(*s->p))
		s->p++;
	return true;
}

bool json_check_wide(const char *text, size_t len)
{
	bool negative = len && text[0] == '-';
	const char *most = negative ? "9223372036854775808" : "9223372036854775807";
	text += negative;
	len -= negative;
	if (len < 19 || memchr(text, '.', len) || memchr(text, 'e', len) || memchr(text, 'E', len))
		return false;
	return len > 19 || memcmp(text, most, 19) > 0;
}

static bool number(struct scan *s)
{
	const unsigned char *from = s->p;
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0') {
		s->p++;
		if (s->p < s->end && g_ascii_isdigit(*s->p))
			return fail(s, "a number begins with 0");
	} else if (!digits(s)) {
		return false;
	}
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!digits(s))
			return false;
	}
	s->any_wide |= json_check_wide((const char *)from, (size_t)(s->p - from));
	return true;
}

static bool word(struct scan *s, const char *w)
{
	size_t n = strlen(w);
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, w, n) != 0)
		return fail(s, "a value is expected");
	s->p += n;
	return true;
}

static bool scalar(struct scan *s)
{
	if (++s->n_scalars > JSON_CHECK_MAX_SCALARS)
		return fail(s, "there are too many values");
	switch (*s->p) {
	case '"':
		return string(s);
	case 't':
		return word(s, "true");
	case 'f':
		return word(s, "false");
	case 'n':
		return word(s, "null");
	default:
		if (*s->p != '-' && !g_ascii_isdigit(*s->p))
			return fail(s, "a value is expected");
		return number(s);
	}
}

static bool member_name(struct scan *s)
{
	skip_blanks(s);
	if (++s->n_members[s->depth] > JSON_CHECK_MAX_MEMBERS)
		return fail(s, "an object has too many members");
	if (s->p == s->end || *s->p != '"')
		return fail(s, "a member name in quotes is expected");
	if (!string(s))
		return false;
	skip_blanks(s);
	if (s->p == s->end || *s->p != ':')
		return fail(s, "a colon is expected");
	s->p++;
	return true;
}

/* Reads one scalar, or the opening of a container; *ret_open tells which. */
static bool value(struct scan *s, bool *ret_open)
{
	skip_blanks(s);
	*ret_open = false;
	if (s->p == s->end)
		return fail(s, "the text ends where a value is expected");
	if (*s->p != '{' && *s->p != '[')
		return scalar(s);
	if (s->depth == JSON_CHECK_MAX_DEPTH)
		return fail(s, "the nesting is too deep");
	if (++s->n_brackets > JSON_CHECK_MAX_BRACKETS)
		return fail(s, "there are too many objects and arrays");
	bool object = *s->p++ == '{';
	s->is_object = s->is_object << 1 | object;
	s->depth++;
	s->n_members[s->depth] = 0;
	skip_blanks(s);
	if (s->p < s->end && *s->p == (object ? '}' : ']'))
		return true; /* empty: after_value() closes it */
	*ret_open = true;
	return !object || member_name(s);
}

/* After a value: closes what closes. *ret_more: another value follows. */
static bool after_value(struct scan *s, bool *ret_more)
{
	*ret_more = false;
	while (s->depth) {
		bool object = s->is_object & 1;
		skip_blanks(s);
		if (s->p == s->end)
			return fail(s, "the text ends inside an object or array");
		if (*s->p == ',') {
			s->p++;
			*ret_more = true;
			return !object || member_name(s);
		}
		if (*s->p != (object ? '}' : ']'))
			return fail(s, "a comma or a closing bracket is expected");
		s->p++;
		s->is_object >>= 1;
		s->depth--;
	}
	skip_blanks(s);
	return s->p == s->end || fail(s, "there is text behind the value");
}

static bool document(struct scan *s)
{
	bool more = true;
	while (more) {
		bool open;
		if (!value(s, &open))
			return false;
		if (!open && !after_value(s, &more))
			return false;
	}
	return true;
}

bool json_check(const char *text, size_t len, struct json_fault *ret_fault)
{
	bool any_wide;
	return json_check_numbers(text, len, ret_fault, &any_wide);
}

bool json_check_numbers(const char *text, size_t len, struct json_fault *ret_fault,
			bool *ret_any_wide)
{
	struct scan s = { .p = (const unsigned char *)text,
			  .end = (const unsigned char *)text + len };
	bool ok = document(&s);
	*ret_any_wide = s.any_wide;
	if (ok)
		return true;
	size_t offset = (size_t)(s.p - (const unsigned char *)text);
	*ret_fault = (struct json_fault){ s.what, offset, 1, 1 };
	for (size_t i = 0; i < offset; i++) {
		ret_fault->column++;
		if (text[i] == '\n') {
			ret_fault->line++;
			ret_fault->column = 1;
		}
	}
	return false;
}
