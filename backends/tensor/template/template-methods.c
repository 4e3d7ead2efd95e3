/* SPDX-License-Identifier: MIT */
/*
 * template-methods.c - the str methods of chat templates that make new texts.
 *
 * Called through tpl_str_methods[] by calls like x.split(), on the thread of one render. A piece of
 * a text shares its bytes and marks; a built text takes each byte's mark along.
 */
#include "template-value.h"

#include <string.h>

#define METHOD(NAME)                                                                               \
	static struct tpl_value m_##NAME(struct tpl_render *r, struct tpl_value self,              \
					 struct tpl_value *v, const struct tpl_args *args)

METHOD(upper)
{
	return tpl_case(r, self, 'u');
}

METHOD(lower)
{
	return tpl_case(r, self, 'l');
}

METHOD(title)
{
	return tpl_case(r, self, 't');
}

METHOD(capitalize)
{
	return tpl_case(r, self, 'c');
}

METHOD(swapcase)
{
	return tpl_case(r, self, 's');
}

METHOD(casefold)
{
	return tpl_case(r, self, 'f');
}

METHOD(strip)
{
	return tpl_strip(r, self, v[0], 'b');
}

METHOD(lstrip)
{
	return tpl_strip(r, self, v[0], 'l');
}

METHOD(rstrip)
{
	return tpl_strip(r, self, v[0], 'r');
}

/* The first place of `what` at or behind `from`, or SIZE_MAX. */
static size_t find_in(const struct tpl_text *s, const struct tpl_text *what, size_t from)
{
	const char *p;

	if (from > s->len)
		return SIZE_MAX;
	p = memmem(s->data + from, s->len - from, what->data, what->len);
	return p ? (size_t)(p - s->data) : SIZE_MAX;
}

/* The last place of `what` that ends at or before `to`, or SIZE_MAX. */
static size_t find_back(const struct tpl_text *s, const struct tpl_text *what, size_t to)
{
	if (what->len > to)
		return SIZE_MAX;
	for (size_t at = to - what->len + 1; at-- > 0;)
		if (!memcmp(s->data + at, what->data, what->len))
			return at;
	return SIZE_MAX;
}

static void reverse(struct tpl_value list)
{
	for (size_t i = 0, k = list.u.l->n; i + 1 < k; i++) {
		struct tpl_value swap = list.u.l->item[i];

		list.u.l->item[i] = list.u.l->item[--k];
		list.u.l->item[k] = swap;
	}
}

static struct tpl_value split_blanks(struct tpl_render *r, struct tpl_value self, int64_t max)
{
	struct tpl_value list = tpl_list(r, 0), rest = tpl_strip(r, self, tpl_none(), 'l');
	size_t n;

	while (rest.u.s->len) {
		const char *data = rest.u.s->data, *end = data + rest.u.s->len;
		size_t at = 0;

		tpl_step(r, 1);
		if (max == 0) {
			tpl_push(r, list, tpl_strip(r, rest, tpl_none(), 'r'));
			break;
		}
		for (; at < rest.u.s->len && !tpl_is_space(tpl_char(data + at, end, &n)); at += n)
			;
		tpl_push(r, list, tpl_sub(r, rest, 0, at));
		rest = tpl_strip(r, tpl_sub(r, rest, at, rest.u.s->len), tpl_none(), 'l');
		max -= max > 0;
	}
	return list;
}

static struct tpl_value rsplit_blanks(struct tpl_render *r, struct tpl_value self, int64_t max)
{
	struct tpl_value list = tpl_list(r, 0), rest = tpl_strip(r, self, tpl_none(), 'r');

	while (rest.u.s->len) {
		const char *data = rest.u.s->data;
		size_t at = rest.u.s->len, n;

		tpl_step(r, 1);
		if (max == 0) {
			tpl_push(r, list, tpl_strip(r, rest, tpl_none(), 'l'));
			break;
		}
		while (at) {
			size_t q = at - 1;

			while (q && ((uint8_t)data[q] & 0xc0) == 0x80)
				q--;
			if (tpl_is_space(tpl_char(data + q, data + rest.u.s->len, &n)))
				break;
			at = q;
		}
		tpl_push(r, list, tpl_sub(r, rest, at, rest.u.s->len));
		rest = tpl_strip(r, tpl_sub(r, rest, 0, at), tpl_none(), 'r');
		max -= max > 0;
	}
	reverse(list);
	return list;
}

/* sep, maxsplit */
static struct tpl_value split(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			      bool back)
{
	int64_t max = tpl_need_int(r, v[1], -1, "split");
	const struct tpl_text *s = self.u.s, *sep;
	struct tpl_value list;
	size_t from = 0, to = s->len, at;

	if (v[1].type == TPL_NONE)
		tpl_fail(r, WEIR_E_INVALID, "split: maxsplit must be an integer");
	if (v[0].type == TPL_MISSING || v[0].type == TPL_NONE)
		return back ? rsplit_blanks(r, self, max) : split_blanks(r, self, max);
	sep = tpl_need_str(r, v[0], "split");
	if (!sep->len)
		tpl_fail(r, WEIR_E_INVALID, "empty separator");
	tpl_step(r, s->len / 16);
	list = tpl_list(r, 0);
	for (; max; max -= max > 0) {
		at = back ? find_back(s, sep, to) : find_in(s, sep, from);
		if (at == SIZE_MAX)
			break;
		tpl_step(r, 1);
		if (back) {
			tpl_push(r, list, tpl_sub(r, self, at + sep->len, to));
			to = at;
		} else {
			tpl_push(r, list, tpl_sub(r, self, from, at));
			from = at + sep->len;
		}
	}
	tpl_push(r, list, tpl_sub(r, self, from, to));
	if (back)
		reverse(list);
	return list;
}

METHOD(split)
{
	return split(r, self, v, false);
}

METHOD(rsplit)
{
	return split(r, self, v, true);
}

/* keepends */
METHOD(splitlines)
{
	bool keep = tpl_truth(r, v[0]);
	struct tpl_text *s = self.u.s;
	struct tpl_value list = tpl_list(r, 0);
	size_t start = 0, n;

	tpl_step(r, s->len / 16);
	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);

		if (!tpl_is_line_end(c))
			continue;
		if (c == '\r' && at + 1 < s->len && s->data[at + 1] == '\n')
			n = 2;
		tpl_push(r, list, tpl_sub(r, self, start, keep ? at + n : at));
		start = at + n;
	}
	if (start < s->len)
		tpl_push(r, list, tpl_sub(r, self, start, s->len));
	return list;
}

static struct tpl_value partition(struct tpl_render *r, struct tpl_value self, struct tpl_value v,
				  bool back)
{
	const struct tpl_text *sep = tpl_need_str(r, v, "partition");
	struct tpl_value t = tpl_list(r, 3), empty = tpl_cstr(r, "");
	size_t at;

	if (!sep->len)
		tpl_fail(r, WEIR_E_INVALID, "empty separator");
	tpl_step(r, self.u.s->len / 16);
	at = back ? find_back(self.u.s, sep, self.u.s->len) : find_in(self.u.s, sep, 0);
	t.type = TPL_TUPLE;
	if (at == SIZE_MAX) {
		tpl_push(r, t, back ? empty : self);
		tpl_push(r, t, empty);
		tpl_push(r, t, back ? self : empty);
	} else {
		tpl_push(r, t, tpl_sub(r, self, 0, at));
		tpl_push(r, t, tpl_sub(r, self, at, at + sep->len));
		tpl_push(r, t, tpl_sub(r, self, at + sep->len, self.u.s->len));
	}
	return t;
}

METHOD(partition)
{
	return partition(r, self, v[0], false);
}

METHOD(rpartition)
{
	return partition(r, self, v[0], true);
}

/* old, new, count */
METHOD(replace)
{
	const struct tpl_text *s = self.u.s, *old = tpl_need_str(r, v[0], "replace");
	struct tpl_value with = v[1], ret;
	int64_t count = tpl_need_int(r, v[2], -1, "replace");
	struct tpl_buf b = { 0 };
	size_t from = 0, at, n;

	tpl_need_str(r, with, "replace");
	if (self.flags & TPL_MARKUP)
		with = tpl_escape(r, with);
	tpl_step(r, s->len / 16);
	for (; count; count -= count > 0) {
		if (old->len) {
			at = find_in(s, old, from);
			if (at == SIZE_MAX)
				break;
			tpl_put_slice(r, &b, s, from, at);
			tpl_put_text(r, &b, with.u.s);
			from = at + old->len;
		} else {
			/* An empty text is found before each character and at the end. */
			tpl_put_text(r, &b, with.u.s);
			if (from >= s->len)
				break;
			tpl_char(s->data + from, s->data + s->len, &n);
			tpl_put_slice(r, &b, s, from, from + n);
			from += n;
		}
		tpl_step(r, 1);
	}
	tpl_put_slice(r, &b, s, from, s->len);
	ret = tpl_buf_value(r, &b);
	ret.flags = self.flags;
	return ret;
}

METHOD(join)
{
	struct tpl_iter *it = tpl_iter(r, v[0]);
	struct tpl_buf b = { 0 };
	struct tpl_value item;
	bool more = false;

	while (tpl_next(r, it, &item)) {
		if (self.flags & TPL_MARKUP)
			item = tpl_escape(r, item);
		if (item.type != TPL_STR)
			tpl_fail(r, WEIR_E_INVALID, "join: a str is needed, not '%s'",
				 tpl_type_name(item));
		if (more)
			tpl_put_text(r, &b, self.u.s);
		tpl_put_text(r, &b, item.u.s);
		more = true;
	}
	item = tpl_buf_value(r, &b);
	item.flags = self.flags;
	return item;
}

static struct tpl_value padded(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			       char where)
{
	int64_t width = tpl_need_int(r, v[0], 0, "width"), n = (int64_t)tpl_chars(self.u.s), gap;
	struct tpl_value fill = v[1].type == TPL_MISSING ? tpl_cstr(r, " ") : v[1];
	struct tpl_buf b = { 0 };
	int64_t left = 0;

	tpl_need_str(r, fill, "fillchar");
	if (tpl_chars(fill.u.s) != 1)
		tpl_fail(r, WEIR_E_INVALID, "the fill character must be exactly one character");
	if (width <= n)
		return self;
	gap = width - n;
	if (where == 'r')
		left = gap;
	else if (where == 'c')
		left = gap / 2 + (gap & width & 1);
	for (int64_t i = 0; i < left; i++)
		tpl_put_text(r, &b, fill.u.s);
	tpl_put_text(r, &b, self.u.s);
	for (int64_t i = left; i < gap; i++)
		tpl_put_text(r, &b, fill.u.s);
	fill = tpl_buf_value(r, &b);
	fill.flags = self.flags;
	return fill;
}

METHOD(center)
{
	return padded(r, self, v, 'c');
}

METHOD(ljust)
{
	return padded(r, self, v, 'l');
}

METHOD(rjust)
{
	return padded(r, self, v, 'r');
}

METHOD(zfill)
{
	int64_t width = tpl_need_int(r, v[0], 0, "zfill"), n = (int64_t)tpl_chars(self.u.s);
	struct tpl_text *s = self.u.s;
	size_t sign = s->len && (s->data[0] == '-' || s->data[0] == '+');
	struct tpl_buf b = { 0 };

	tpl_put_slice(r, &b, s, 0, sign);
	for (; n < width; n++)
		tpl_put(r, &b, "0", 1, false);
	tpl_put_slice(r, &b, s, sign, s->len);
	return tpl_buf_value(r, &b);
}

METHOD(expandtabs)
{
	int64_t size = tpl_need_int(r, v[0], 8, "expandtabs"), column = 0;
	struct tpl_text *s = self.u.s;
	struct tpl_buf b = { 0 };
	size_t n;

	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);
		bool input = s->mark ? s->mark[at] : s->input;

		if (c != '\t') {
			column = c == '\n' || c == '\r' ? 0 : column + 1;
			tpl_put_slice(r, &b, s, at, at + n);
			continue;
		}
		for (int64_t k = size > 0 ? size - column % size : 0; k > 0; k--, column++)
			tpl_put(r, &b, " ", 1, input);
	}
	return tpl_buf_value(r, &b);
}

METHOD(removeprefix)
{
	const struct tpl_text *s = self.u.s, *p = tpl_need_str(r, v[0], "removeprefix");

	if (p->len > s->len || memcmp(s->data, p->data, p->len))
		return self;
	return tpl_sub(r, self, p->len, s->len);
}

METHOD(removesuffix)
{
	const struct tpl_text *s = self.u.s, *p = tpl_need_str(r, v[0], "removesuffix");

	if (p->len > s->len || memcmp(s->data + s->len - p->len, p->data, p->len))
		return self;
	return tpl_sub(r, self, 0, s->len - p->len);
}

METHOD(format)
{
	return tpl_format(r, self, args);
}

const struct tpl_builtin tpl_str_methods[] = {
	{ "upper", m_upper, "", 0 },
	{ "lower", m_lower, "", 0 },
	{ "title", m_title, "", 0 },
	{ "capitalize", m_capitalize, "", 0 },
	{ "swapcase", m_swapcase, "", 0 },
	{ "casefold", m_casefold, "", 0 },
	{ "strip", m_strip, "/chars", 0 },
	{ "lstrip", m_lstrip, "/chars", 0 },
	{ "rstrip", m_rstrip, "/chars", 0 },
	{ "split", m_split, "sep maxsplit", 0 },
	{ "rsplit", m_rsplit, "sep maxsplit", 0 },
	{ "splitlines", m_splitlines, "keepends", 0 },
	{ "partition", m_partition, "/sep", 1 },
	{ "rpartition", m_rpartition, "/sep", 1 },
	{ "replace", m_replace, "/old new count", 2 },
	{ "join", m_join, "/iterable", 1 },
	{ "center", m_center, "/width fillchar", 1 },
	{ "ljust", m_ljust, "/width fillchar", 1 },
	{ "rjust", m_rjust, "/width fillchar", 1 },
	{ "zfill", m_zfill, "/width", 1 },
	{ "expandtabs", m_expandtabs, "tabsize", 0 },
	{ "removeprefix", m_removeprefix, "/prefix", 1 },
	{ "removesuffix", m_removesuffix, "/suffix", 1 },
	{ "format", m_format, "*", 0 },
	{ "format_map", NULL, "*", 0 },
	{ "encode", NULL, "*", 0 },
	{ "translate", NULL, "*", 0 },
	{ "maketrans", NULL, "*", 0 },
};
const size_t tpl_n_str_methods = TPL_LEN(tpl_str_methods);
