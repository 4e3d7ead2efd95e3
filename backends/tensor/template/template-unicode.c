/* SPDX-License-Identifier: MIT */
/*
 * template-unicode.c - characters as Python sees them: counting, blanks, case, stripping.
 *
 * Called by the template interpreter's text functions, on the thread of one parse or render. Texts
 * are valid UTF-8 (checked where they come in); positions are bytes inside, code points outside.
 */
#include "template-value.h"

#include <glib.h>

/* One code point; a broken sequence counts as one byte (cannot happen in checked text). */
uint32_t tpl_char(const char *p, const char *end, size_t *ret_len)
{
	uint8_t c = (uint8_t)*p;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t v;

	if (n == 1 || (size_t)(end - p) < n) {
		*ret_len = 1;
		return c;
	}
	v = c & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		v = v << 6 | ((uint8_t)p[i] & 63);
	*ret_len = n;
	return v;
}

bool tpl_utf8_valid(const char *p, size_t n)
{
	const char *end;

	/* g_utf8_validate stops at a NUL, which is a character like others here. */
	while (n) {
		if (g_utf8_validate(p, (gssize)n, &end))
			return true;
		if (*end)
			return false;
		n -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	return true;
}

size_t tpl_chars(struct tpl_text *s)
{
	if (s->n_chars == SIZE_MAX) {
		size_t n = 0;

		for (size_t i = 0; i < s->len; i++)
			n += ((uint8_t)s->data[i] & 0xc0) != 0x80;
		s->n_chars = n;
	}
	return s->n_chars;
}

size_t tpl_offset(struct tpl_text *s, size_t chars)
{
	size_t i = 0;

	if (tpl_chars(s) == s->len)
		return chars < s->len ? chars : s->len;
	while (i < s->len && chars) {
		i++;
		while (i < s->len && ((uint8_t)s->data[i] & 0xc0) == 0x80)
			i++;
		chars--;
	}
	return i;
}

bool tpl_is_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

bool tpl_is_line_end(uint32_t c)
{
	return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
	       c == 0x2029;
}

bool tpl_is_printable(uint32_t c)
{
	if (c < 0x7f)
		return c >= 0x20;
	switch (g_unichar_type(c)) {
	case G_UNICODE_CONTROL:
	case G_UNICODE_FORMAT:
	case G_UNICODE_UNASSIGNED:
	case G_UNICODE_PRIVATE_USE:
	case G_UNICODE_SURROGATE:
	case G_UNICODE_LINE_SEPARATOR:
	case G_UNICODE_PARAGRAPH_SEPARATOR:
	case G_UNICODE_SPACE_SEPARATOR:
		return false;
	default:
		return true;
	}
}

/* Case-ignorable, for the final sigma: marks, modifiers, and a few signs. */
static bool ignorable(uint32_t c)
{
	GUnicodeType t = g_unichar_type(c);

	return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xa8 ||
	       c == 0xad || c == 0xb7 || c == 0x2019 || g_unichar_ismark(c) ||
	       t == G_UNICODE_MODIFIER_LETTER || t == G_UNICODE_FORMAT ||
	       t == G_UNICODE_MODIFIER_SYMBOL;
}

static bool cased(uint32_t c)
{
	return g_unichar_islower(c) || g_unichar_isupper(c) || g_unichar_istitle(c);
}

/* A capital sigma ends a word: a cased letter stands before it and none behind it. */
static bool final_sigma(const struct tpl_text *s, size_t at)
{
	const char *end = s->data + s->len, *p = s->data + at;
	uint32_t c;
	size_t n;

	for (;;) {
		if (p == s->data)
			return false;
		p--;
		while (p > s->data && ((uint8_t)*p & 0xc0) == 0x80)
			p--;
		c = tpl_char(p, end, &n);
		if (!ignorable(c)) {
			if (!cased(c))
				return false;
			break;
		}
	}
	for (p = s->data + at + 2; p < end; p += n) {
		c = tpl_char(p, end, &n);
		if (!ignorable(c))
			return !cased(c);
	}
	return true;
}

/* Full upper case mapping: some letters become two or three. */
static void put_upper(struct tpl_render *r, struct tpl_buf *b, const char *p, size_t n, uint32_t c,
		      bool input)
{
	uint32_t up = g_unichar_toupper(c);
	char *full;

	if (c < 0x80 || (up != c && !(c >= 0x1f80 && c < 0x2000)) || !g_unichar_islower(c)) {
		if (!(c >= 0x1f80 && c < 0x2000)) {
			tpl_put_char(r, b, up, input);
			return;
		}
	}
	full = g_utf8_strup(p, (gssize)n);
	/* The copy must not be lost when tpl_put fails: it is at most 18 bytes. */
	char small[32];
	size_t len = strlen(full);

	if (len > sizeof(small))
		len = 0;
	memcpy(small, full, len);
	g_free(full);
	tpl_put(r, b, small, len, input);
}

static void put_lower(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s, size_t at,
		      uint32_t c, bool input)
{
	if (c == 0x3a3) {
		tpl_put_char(r, b, final_sigma(s, at) ? 0x3c2 : 0x3c3, input);
	} else if (c == 0x130) { /* I with a dot: i and a combining dot */
		tpl_put_char(r, b, 'i', input);
		tpl_put_char(r, b, 0x307, input);
	} else {
		tpl_put_char(r, b, g_unichar_tolower(c), input);
	}
}

/* Title case of one letter: as upper case, but only the first of several letters is large. */
static void put_title(struct tpl_render *r, struct tpl_buf *b, const char *p, size_t n, uint32_t c,
		      bool input)
{
	if (c == 0xdf)
		tpl_put(r, b, "Ss", 2, input);
	else if (c >= 0xfb00 && c <= 0xfb06) {
		static const char *const f[] = { "Ff", "Fi", "Fl", "Ffi", "Ffl", "St", "St" };

		tpl_put(r, b, f[c - 0xfb00], strlen(f[c - 0xfb00]), input);
	} else if (c >= 0x1f80 && c < 0x2000) {
		tpl_put_char(r, b, g_unichar_totitle(c), input);
	} else if (g_unichar_totitle(c) != c) {
		tpl_put_char(r, b, g_unichar_totitle(c), input);
	} else {
		put_upper(r, b, p, n, c, input);
	}
}

/* how: u upper, l lower, c capitalize, t title (str.title), s swapcase, f casefold. */
struct tpl_value tpl_case(struct tpl_render *r, struct tpl_value v, char how)
{
	struct tpl_text *s = v.u.s;
	const char *end = s->data + s->len;
	struct tpl_buf b = { 0 };
	bool in_word = false;
	struct tpl_value ret;
	size_t n;

	tpl_step(r, s->len / 16);
	for (size_t at = 0; at < s->len; at += n) {
		const char *p = s->data + at;
		uint32_t c = tpl_char(p, end, &n);
		bool input = s->mark ? s->mark[at] : s->input;

		switch (how) {
		case 'u':
			put_upper(r, &b, p, n, c, input);
			break;
		case 'c':
		case 't':
			if (how == 'c' ? at > 0 : in_word)
				put_lower(r, &b, s, at, c, input);
			else
				put_title(r, &b, p, n, c, input);
			in_word = cased(c);
			break;
		case 's':
			if (g_unichar_isupper(c))
				put_lower(r, &b, s, at, c, input);
			else if (g_unichar_islower(c))
				put_upper(r, &b, p, n, c, input);
			else
				tpl_put(r, &b, p, n, input);
			break;
		case 'f':
			if (c == 0xdf || c == 0x1e9e)
				tpl_put(r, &b, "ss", 2, input);
			else if (c == 0x3c2)
				tpl_put_char(r, &b, 0x3c3, input);
			else
				tpl_put_char(r, &b, g_unichar_tolower(c), input);
			break;
		default:
			put_lower(r, &b, s, at, c, input);
		}
	}
	ret = tpl_buf_value(r, &b);
	ret.flags = v.flags;
	return ret;
}

static bool strips(struct tpl_value chars, const char *p, size_t n, uint32_t c)
{
	if (chars.type != TPL_STR)
		return tpl_is_space(c);
	return chars.u.s->len && memmem(chars.u.s->data, chars.u.s->len, p, n) != NULL;
}

struct tpl_value tpl_strip(struct tpl_render *r, struct tpl_value s, struct tpl_value chars,
			   char side)
{
	const char *data = s.u.s->data, *end = data + s.u.s->len;
	size_t from = 0, to = s.u.s->len, n;
	uint32_t c;

	if (chars.type != TPL_STR && chars.type != TPL_MISSING && chars.type != TPL_NONE)
		tpl_fail(r, WEIR_E_INVALID, "strip arg must be None or str");
	tpl_step(r, 1 + to / 64);
	while (side != 'r' && from < to) {
		c = tpl_char(data + from, end, &n);
		if (!strips(chars, data + from, n, c))
			break;
		from += n;
	}
	while (side != 'l' && to > from) {
		size_t q = to - 1;

		while (q > from && ((uint8_t)data[q] & 0xc0) == 0x80)
			q--;
		c = tpl_char(data + q, end, &n);
		if (!strips(chars, data + q, n, c))
			break;
		to = q;
	}
	return tpl_sub(r, s, from, to);
}
