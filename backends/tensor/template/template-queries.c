/* SPDX-License-Identifier: MIT */
/*
 * template-queries.c - the str methods of chat templates that ask: find, count, startswith, is...
 *
 * Called through tpl_str_queries[] by calls like x.find(), and by the tests lower and upper, on the
 * thread of one render.
 */
#include "template-value.h"

#include <glib.h>

#define METHOD(NAME)                                                                               \
	static struct tpl_value q_##NAME(struct tpl_render *r, struct tpl_value self,              \
					 struct tpl_value *v, const struct tpl_args *args)

/* The bytes that the parameters start and end (code points, negative from the end) select.
 * False: the start lies behind the end. */
static bool window(struct tpl_render *r, struct tpl_text *s, struct tpl_value *v, size_t *ret_from,
		   size_t *ret_to)
{
	int64_t n = (int64_t)tpl_chars(s);
	int64_t from = tpl_need_int(r, v[0], 0, "start"), to = tpl_need_int(r, v[1], n, "end");

	from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
	to = to < 0 ? (to + n < 0 ? 0 : to + n) : to > n ? n : to;
	if (from > to)
		return false;
	*ret_from = tpl_offset(s, (size_t)from);
	*ret_to = tpl_offset(s, (size_t)to);
	return true;
}

static int64_t find(struct tpl_render *r, struct tpl_value self, struct tpl_value *v, bool back)
{
	struct tpl_text *s = self.u.s, *what = tpl_need_str(r, v[0], "find");
	size_t from, to;
	const char *p = NULL;
	int64_t chars = 0;

	tpl_step(r, s->len / 16);
	if (!window(r, s, v + 1, &from, &to))
		return -1;
	if (!back) {
		p = memmem(s->data + from, to - from, what->data, what->len);
	} else if (what->len <= to - from) {
		for (size_t at = to - what->len + 1; at-- > from && !p;)
			if (!memcmp(s->data + at, what->data, what->len))
				p = s->data + at;
	}
	if (!p)
		return -1;
	for (const char *q = s->data; q < p; q++)
		chars += ((uint8_t)*q & 0xc0) != 0x80;
	return chars;
}

METHOD(find)
{
	return tpl_int(find(r, self, v, false));
}

METHOD(rfind)
{
	return tpl_int(find(r, self, v, true));
}

METHOD(index)
{
	int64_t at = find(r, self, v, false);

	if (at < 0)
		tpl_fail(r, WEIR_E_INVALID, "substring not found");
	return tpl_int(at);
}

METHOD(rindex)
{
	int64_t at = find(r, self, v, true);

	if (at < 0)
		tpl_fail(r, WEIR_E_INVALID, "substring not found");
	return tpl_int(at);
}

METHOD(count)
{
	struct tpl_text *s = self.u.s, *what = tpl_need_str(r, v[0], "count");
	size_t from, to;
	int64_t n = 0;

	tpl_step(r, s->len / 16);
	if (!window(r, s, v + 1, &from, &to))
		return tpl_int(0);
	if (!what->len) {
		for (size_t i = from; i < to; i++)
			n += ((uint8_t)s->data[i] & 0xc0) != 0x80;
		return tpl_int(n + 1);
	}
	while (from < to) {
		const char *p = memmem(s->data + from, to - from, what->data, what->len);

		if (!p)
			break;
		n++;
		from = (size_t)(p - s->data) + what->len;
	}
	return tpl_int(n);
}

/* prefix (a str or a tuple of them), start, end */
static struct tpl_value affix(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			      bool at_end)
{
	struct tpl_text *s = self.u.s;
	size_t from, to, n = v[0].type == TPL_TUPLE ? v[0].u.l->n : 1;
	bool inside = window(r, s, v + 1, &from, &to);

	for (size_t i = 0; i < n; i++) {
		struct tpl_value p = v[0].type == TPL_TUPLE ? v[0].u.l->item[i] : v[0];
		const struct tpl_text *t = tpl_need_str(r, p, at_end ? "endswith" : "startswith");

		if (inside && t->len <= to - from &&
		    !memcmp(s->data + (at_end ? to - t->len : from), t->data, t->len))
			return tpl_bool(true);
	}
	return tpl_bool(false);
}

METHOD(startswith)
{
	return affix(r, self, v, false);
}

METHOD(endswith)
{
	return affix(r, self, v, true);
}

static bool is_digit(uint32_t c)
{
	if (c < 0x80)
		return g_ascii_isdigit(c);
	return g_unichar_type(c) == G_UNICODE_DECIMAL_NUMBER || c == 0xb2 || c == 0xb3 ||
	       c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
	       (c >= 0x2080 && c <= 0x2089);
}

static bool is_numeric(uint32_t c)
{
	GUnicodeType t = g_unichar_type(c);

	return t == G_UNICODE_DECIMAL_NUMBER || t == G_UNICODE_LETTER_NUMBER ||
	       t == G_UNICODE_OTHER_NUMBER;
}

static bool is_decimal(uint32_t c)
{
	return g_unichar_type(c) == G_UNICODE_DECIMAL_NUMBER;
}

static bool is_alpha(uint32_t c)
{
	return g_unichar_isalpha(c);
}

static bool is_alnum(uint32_t c)
{
	return g_unichar_isalpha(c) || is_numeric(c);
}

/* Not empty, and all characters are so. */
static struct tpl_value every(struct tpl_render *r, struct tpl_value self, bool (*is)(uint32_t),
			      bool empty)
{
	struct tpl_text *s = self.u.s;
	size_t n;

	tpl_step(r, s->len / 16);
	for (size_t at = 0; at < s->len; at += n)
		if (!is(tpl_char(s->data + at, s->data + s->len, &n)))
			return tpl_bool(false);
	return tpl_bool(s->len > 0 || empty);
}

METHOD(isalpha)
{
	return every(r, self, is_alpha, false);
}

METHOD(isalnum)
{
	return every(r, self, is_alnum, false);
}

METHOD(isdigit)
{
	return every(r, self, is_digit, false);
}

METHOD(isdecimal)
{
	return every(r, self, is_decimal, false);
}

METHOD(isnumeric)
{
	return every(r, self, is_numeric, false);
}

METHOD(isspace)
{
	return every(r, self, tpl_is_space, false);
}

METHOD(isprintable)
{
	return every(r, self, tpl_is_printable, true);
}

METHOD(isascii)
{
	return tpl_bool(tpl_chars(self.u.s) == self.u.s->len);
}

METHOD(isidentifier)
{
	struct tpl_text *s = self.u.s;
	size_t n;

	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);

		if (c != '_' && !g_unichar_isalpha(c) &&
		    !(at && (is_decimal(c) || g_unichar_ismark(c))))
			return tpl_bool(false);
	}
	return tpl_bool(s->len > 0);
}

/* At least one cased letter, and none of the other case. */
static struct tpl_value one_case(struct tpl_render *r, struct tpl_value self, bool upper)
{
	struct tpl_text *s = self.u.s;
	bool found = false;
	size_t n;

	tpl_step(r, s->len / 16);
	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);

		if (g_unichar_istitle(c) || (upper ? g_unichar_islower(c) : g_unichar_isupper(c)))
			return tpl_bool(false);
		found |= upper ? g_unichar_isupper(c) : g_unichar_islower(c);
	}
	return tpl_bool(found);
}

METHOD(isupper)
{
	return one_case(r, self, true);
}

METHOD(islower)
{
	return one_case(r, self, false);
}

METHOD(istitle)
{
	struct tpl_text *s = self.u.s;
	bool found = false, in_word = false;
	size_t n;

	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);
		bool upper = g_unichar_isupper(c) || g_unichar_istitle(c);
		bool lower = g_unichar_islower(c);

		if ((upper && in_word) || (lower && !in_word))
			return tpl_bool(false);
		in_word = upper || lower;
		found |= in_word;
	}
	return tpl_bool(found);
}

const struct tpl_builtin tpl_str_queries[] = {
	{ "find", q_find, "/sub start end", 1 },
	{ "rfind", q_rfind, "/sub start end", 1 },
	{ "index", q_index, "/sub start end", 1 },
	{ "rindex", q_rindex, "/sub start end", 1 },
	{ "count", q_count, "/sub start end", 1 },
	{ "startswith", q_startswith, "/prefix start end", 1 },
	{ "endswith", q_endswith, "/suffix start end", 1 },
	{ "isalpha", q_isalpha, "", 0 },
	{ "isalnum", q_isalnum, "", 0 },
	{ "isdigit", q_isdigit, "", 0 },
	{ "isdecimal", q_isdecimal, "", 0 },
	{ "isnumeric", q_isnumeric, "", 0 },
	{ "isspace", q_isspace, "", 0 },
	{ "isprintable", q_isprintable, "", 0 },
	{ "isascii", q_isascii, "", 0 },
	{ "isidentifier", q_isidentifier, "", 0 },
	{ "isupper", q_isupper, "", 0 },
	{ "islower", q_islower, "", 0 },
	{ "istitle", q_istitle, "", 0 },
};
const size_t tpl_n_str_queries = TPL_LEN(tpl_str_queries);
