/* SPDX-License-Identifier: MIT */
/*
 * template-filters-text.c - the filters of chat templates that give texts and numbers.
 *
 * Called through tpl_find_filter() by the evaluator and by |map, on the thread of one render. Each
 * takes the filtered value as self; parameters and defaults are jinja2's.
 */
#include "template-ast.h"
#include "template-value.h"

#include <glib.h>
#include <math.h>
#include <stdio.h>

#define FILTER(NAME)                                                                               \
	static struct tpl_value f_##NAME(struct tpl_render *r, struct tpl_value self,              \
					 struct tpl_value *v, const struct tpl_args *args)

FILTER(upper)
{
	return tpl_case(r, tpl_to_str(r, self), 'u');
}

FILTER(lower)
{
	return tpl_case(r, tpl_to_str(r, self), 'l');
}

FILTER(capitalize)
{
	return tpl_case(r, tpl_to_str(r, self), 'c');
}

/* Words start behind blanks, hyphens and opening brackets; unlike str.title(). */
FILTER(title)
{
	struct tpl_value s = tpl_to_str(r, self), word;
	const char *data = s.u.s->data, *end = data + s.u.s->len;
	struct tpl_buf b = { 0 };
	size_t start = 0, n;

	for (size_t at = 0; at <= s.u.s->len; at += n) {
		uint32_t c = at < s.u.s->len ? tpl_char(data + at, end, &n) : ' ';

		if (at == s.u.s->len)
			n = 1;
		if (!tpl_is_space(c) && !(c && c < 0x80 && strchr("-({[<", (int)c)))
			continue;
		if (at > start) {
			word = tpl_case(r, tpl_sub(r, s, start, at), 'c');
			tpl_put_text(r, &b, word.u.s);
		}
		if (at < s.u.s->len)
			tpl_put_slice(r, &b, s.u.s, at, at + n);
		start = at + n;
	}
	word = tpl_buf_value(r, &b);
	return word;
}

FILTER(trim)
{
	return tpl_strip(r, tpl_to_str(r, self), v[0], 'b');
}

FILTER(string)
{
	return tpl_to_str(r, self);
}

FILTER(safe)
{
	struct tpl_value s = tpl_to_str(r, self);

	s.flags |= TPL_MARKUP;
	return s;
}

FILTER(escape)
{
	return tpl_escape(r, self);
}

FILTER(forceescape)
{
	struct tpl_value s = tpl_to_str(r, self);

	s.flags = 0;
	return tpl_escape(r, s);
}

static struct tpl_value call_method(struct tpl_render *r, struct tpl_value s, const char *name,
				    struct tpl_value *pos, size_t n)
{
	struct tpl_args args = { .pos = pos, .n_pos = n };

	return tpl_call_builtin(r, tpl_find(tpl_str_methods, tpl_n_str_methods, name, strlen(name)),
				s, &args);
}

FILTER(replace)
{
	struct tpl_value s = tpl_to_str(r, self), pos[3];

	s.flags = 0;
	pos[0] = tpl_to_str(r, v[0]);
	pos[1] = tpl_to_str(r, v[1]);
	pos[2] = v[2].type == TPL_NONE || v[2].type == TPL_MISSING ? tpl_int(-1) : v[2];
	return call_method(r, s, "replace", pos, 3);
}

FILTER(center)
{
	struct tpl_value width = v[0].type == TPL_MISSING ? tpl_int(80) : v[0];

	return call_method(r, tpl_to_str(r, self), "center", &width, 1);
}

FILTER(format)
{
	struct tpl_value values = tpl_list(r, args->n_pos), dict;

	if (args->n_pos && args->n_kw)
		tpl_fail(r, WEIR_E_INVALID,
			 "format: can't handle positional and keyword arguments at the same time");
	for (size_t i = 0; i < args->n_pos; i++)
		tpl_push(r, values, args->pos[i]);
	values.type = TPL_TUPLE;
	if (!args->n_kw)
		return tpl_percent(r, tpl_to_str(r, self), values);
	dict = tpl_dict(r);
	for (size_t i = 0; i < args->n_kw; i++)
		tpl_set(r, dict.u.d, (struct tpl_value){ .type = TPL_STR, .u.s = args->kw[i].name },
			args->kw[i].value);
	return tpl_percent(r, tpl_to_str(r, self), dict);
}

/* width, first, blank */
FILTER(indent)
{
	struct tpl_value s = tpl_to_str(r, self), pad = v[0], lines;
	bool first = tpl_truth(r, v[1]), blank = tpl_truth(r, v[2]);
	struct tpl_buf b = { 0 }, spaces = { 0 };
	int64_t width;

	if (self.type != TPL_STR)
		tpl_fail(r, WEIR_E_INVALID, "indent: a str is needed, not '%s'",
			 tpl_type_name(self));
	if (pad.type != TPL_STR) {
		width = tpl_need_int(r, pad, 4, "indent");
		for (int64_t i = 0; i < width; i++)
			tpl_puts(r, &spaces, " ");
		pad = tpl_buf_value(r, &spaces);
	}
	tpl_put_text(r, &b, s.u.s);
	tpl_puts(r, &b, "\n");
	lines = call_method(r, tpl_buf_value(r, &b), "splitlines", NULL, 0);
	b = (struct tpl_buf){ 0 };
	for (size_t i = 0; i < lines.u.l->n; i++) {
		const struct tpl_text *line = lines.u.l->item[i].u.s;

		if (i)
			tpl_puts(r, &b, "\n");
		if (i ? blank || line->len : first)
			tpl_put_text(r, &b, pad.u.s);
		tpl_put_text(r, &b, line);
	}
	s = tpl_buf_value(r, &b);
	s.flags = self.flags;
	return s;
}

/* length, killwords, end, leeway */
FILTER(truncate)
{
	struct tpl_value s = self, end = v[2].type == TPL_MISSING ? tpl_cstr(r, "...") : v[2];
	int64_t length = tpl_need_int(r, v[0], 255, "truncate");
	int64_t leeway = tpl_need_int(r, v[3], 5, "truncate");
	struct tpl_text *e = tpl_need_str(r, end, "truncate");
	size_t cut;

	if (length < (int64_t)tpl_chars(e) || leeway < 0)
		tpl_fail(r, WEIR_E_INVALID, "truncate: length or leeway is too small");
	if (tpl_length(r, s, &cut) &&
	    (leeway > INT64_MAX - length || (int64_t)cut <= length + leeway))
		return s;
	tpl_need_str(r, s, "truncate");
	cut = tpl_offset(s.u.s, (size_t)length - tpl_chars(e));
	if (!tpl_truth(r, v[1])) {
		const char *space = cut ? memrchr(s.u.s->data, ' ', cut) : NULL;

		if (space)
			cut = (size_t)(space - s.u.s->data);
	}
	return tpl_add(r, tpl_sub(r, s, 0, cut), end);
}

FILTER(wordcount)
{
	struct tpl_text *s = tpl_to_str(r, self).u.s;
	bool in_word = false;
	int64_t words = 0;
	size_t n;

	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, s->data + s->len, &n);
		bool word = c == '_' || g_unichar_isalnum(c);

		words += word && !in_word;
		in_word = word;
	}
	return tpl_int(words);
}

static void put_quoted(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s,
		       bool query)
{
	for (size_t i = 0; i < s->len; i++) {
		uint8_t c = (uint8_t)s->data[i];
		bool input = s->mark ? s->mark[i] : s->input;
		char hex[4];

		if (g_ascii_isalnum(c) || (c && strchr("_.-~", c)) || (c == '/' && !query)) {
			tpl_put(r, b, s->data + i, 1, input);
		} else if (c == ' ' && query) {
			tpl_put(r, b, "+", 1, input);
		} else {
			snprintf(hex, sizeof(hex), "%%%02X", c);
			tpl_put(r, b, hex, 3, input);
		}
	}
}

FILTER(urlencode)
{
	struct tpl_buf b = { 0 };
	struct tpl_value item;
	struct tpl_iter *it;

	if (self.type == TPL_STR || !tpl_iterable(self)) {
		put_quoted(r, &b, tpl_to_str(r, self).u.s, false);
		return tpl_buf_value(r, &b);
	}
	if (self.type == TPL_DICT) {
		struct tpl_view *view = tpl_alloc(r, 1, sizeof(*view));

		view->dict = self;
		view->what = 'i';
		self = (struct tpl_value){ .type = TPL_VIEW, .u.view = view };
	}
	it = tpl_iter(r, self);
	while (tpl_next(r, it, &item)) {
		struct tpl_value pair = tpl_to_list(r, item);

		if (pair.u.l->n != 2)
			tpl_fail(r, WEIR_E_INVALID, "urlencode: pairs are needed");
		if (b.len)
			tpl_puts(r, &b, "&");
		put_quoted(r, &b, tpl_to_str(r, pair.u.l->item[0]).u.s, true);
		tpl_puts(r, &b, "=");
		put_quoted(r, &b, tpl_to_str(r, pair.u.l->item[1]).u.s, true);
	}
	return tpl_buf_value(r, &b);
}

/* -- numbers -- */

/* A text as Python's int() reads it: blanks around, a sign, underscores between digits. */
static bool read_int(struct tpl_render *r, struct tpl_value s, int64_t base, int64_t *ret)
{
	const struct tpl_text *t = tpl_strip(r, s, tpl_none(), 'b').u.s;
	size_t i = 0, digits = 0;
	bool minus = false;

	*ret = 0;
	if (i < t->len && (t->data[i] == '-' || t->data[i] == '+'))
		minus = t->data[i++] == '-';
	if (t->len - i > 2 && t->data[i] == '0') {
		char c = (char)(t->data[i + 1] | 32);
		int64_t prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;

		if (prefix && (base == prefix || !base)) {
			base = prefix;
			i += 2;
		}
	}
	base = base ? base : 10;
	for (; i < t->len; i++) {
		int d = g_ascii_isdigit(t->data[i])   ? t->data[i] - '0'
			: g_ascii_isalpha(t->data[i]) ? (t->data[i] | 32) - 'a' + 10
						      : 99;

		if (t->data[i] == '_' && digits && i + 1 < t->len && t->data[i + 1] != '_')
			continue;
		if (d >= base)
			return false;
		digits++;
		if (__builtin_mul_overflow(*ret, base, ret) ||
		    __builtin_sub_overflow(*ret, (int64_t)d, ret))
			tpl_fail(r, WEIR_E_INVALID, "int: the number is beyond 64 bits");
	}
	if (!minus && __builtin_sub_overflow((int64_t)0, *ret, ret))
		tpl_fail(r, WEIR_E_INVALID, "int: the number is beyond 64 bits");
	return digits > 0;
}

/* A text as Python's float() reads it. */
static bool read_float(struct tpl_render *r, struct tpl_value s, double *ret)
{
	static const char *const words[] = { "inf", "infinity", "nan" };
	const struct tpl_text *t = tpl_strip(r, s, tpl_none(), 'b').u.s;
	char text[400], *end;
	size_t n = 0, sign;

	for (size_t i = 0; i < t->len; i++) {
		if (t->data[i] == '_' && i && i + 1 < t->len && g_ascii_isdigit(t->data[i - 1]) &&
		    g_ascii_isdigit(t->data[i + 1]))
			continue;
		if (n + 1 >= sizeof(text) || !t->data[i])
			return false;
		text[n++] = t->data[i];
	}
	text[n] = 0;
	sign = *text == '-' || *text == '+';
	for (size_t i = 0; i < TPL_LEN(words); i++)
		if (!g_ascii_strcasecmp(text + sign, words[i])) {
			*ret = i == 2 ? NAN : *text == '-' ? -INFINITY : INFINITY;
			return true;
		}
	if (!n || strspn(text, "0123456789+-.eE") != n)
		return false;
	*ret = g_ascii_strtod(text, &end);
	return !*end && end != text;
}

FILTER(int)
{
	struct tpl_value fallback = v[0].type == TPL_MISSING ? tpl_int(0) : v[0], ret;
	int64_t base = tpl_need_int(r, v[1], 10, "int"), i;
	double f;

	if (base && (base < 2 || base > 36))
		return fallback;
	if (self.type == TPL_BIG)
		return self;
	if (self.type == TPL_UNDEFINED)
		tpl_fail(r, WEIR_E_INVALID, "%s", self.u.why ? self.u.why : "undefined");
	if (tpl_as_int(self, &i)) {
		ret = tpl_int(i);
	} else if (self.type == TPL_STR && read_int(r, self, base, &i)) {
		ret = tpl_int(i);
	} else if (self.type == TPL_FLOAT || (self.type == TPL_STR && read_float(r, self, &f))) {
		f = self.type == TPL_FLOAT ? self.u.f : f;
		if (isnan(f) || (isinf(f)))
			return fallback;
		if (!(fabs(f) < 9.2e18))
			tpl_fail(r, WEIR_E_INVALID, "int: the number is beyond 64 bits");
		ret = tpl_int((int64_t)f);
	} else {
		return fallback;
	}
	ret.flags = tpl_is_input(self) ? TPL_INPUT : 0;
	return ret;
}

FILTER(float)
{
	struct tpl_value ret;
	double f;

	if (self.type == TPL_UNDEFINED)
		tpl_fail(r, WEIR_E_INVALID, "%s", self.u.why ? self.u.why : "undefined");
	if (!tpl_as_double(self, &f) && !(self.type == TPL_STR && read_float(r, self, &f)))
		return v[0].type == TPL_MISSING ? tpl_float(0) : v[0];
	ret = tpl_float(f);
	ret.flags = tpl_is_input(self) ? TPL_INPUT : 0;
	return ret;
}

FILTER(abs)
{
	if ((self.type == TPL_INT && self.u.i < 0) || (self.type == TPL_FLOAT && signbit(self.u.f)))
		return tpl_unary(r, TOK_SUB, self);
	if (self.type == TPL_BOOL)
		return tpl_int(self.u.b);
	if (!tpl_is_number(self))
		tpl_fail(r, WEIR_E_INVALID, "bad operand type for abs(): '%s'",
			 tpl_type_name(self));
	return self;
}

/* Half to even on the exact decimal value, as Python's round(). */
static double round_to(double f, int64_t digits)
{
	char text[700];
	double scale;

	if (isnan(f) || isinf(f) || digits > 300)
		return f;
	if (digits < 0) {
		if (digits < -308)
			return copysign(0.0, f);
		scale = pow(10, (double)-digits);
		return nearbyint(f / scale) * scale;
	}
	snprintf(text, sizeof(text), "%%.%df", (int)digits);
	return g_ascii_strtod(g_ascii_formatd(text + 350, 349, text, f), NULL);
}

/* precision, method */
FILTER(round)
{
	int64_t digits = tpl_need_int(r, v[0], 0, "round"), i, unit = 1;
	struct tpl_value ret;
	double f = 0, scale;

	if (v[1].type != TPL_MISSING && !tpl_is(v[1], "common") && !tpl_is(v[1], "ceil") &&
	    !tpl_is(v[1], "floor"))
		tpl_fail(r, WEIR_E_INVALID, "round: method must be common, ceil or floor");
	if (!tpl_as_double(self, &f))
		tpl_fail(r, WEIR_E_INVALID, "type %s doesn't define __round__ method",
			 tpl_type_name(self));
	if (v[1].type == TPL_MISSING || tpl_is(v[1], "common")) {
		if (self.type == TPL_BIG && digits < 0)
			tpl_fail(r, WEIR_E_INVALID, "round: an integer beyond 64 bits");
		if (self.type == TPL_BIG)
			return self;
		if (!tpl_as_int(self, &i)) {
			ret = tpl_float(round_to(f, digits));
		} else {
			for (int64_t k = 0; k > digits && unit < INT64_MAX / 10; k--)
				unit *= 10;
			int64_t rest = ((i % unit) + unit) % unit, low = i - rest;

			if (rest * 2 > unit || (rest * 2 == unit && low / unit % 2 != 0))
				low += unit;
			ret = tpl_int(digits >= 0 ? i : low);
		}
	} else {
		scale = pow(10, (double)digits);
		f = tpl_is(v[1], "ceil") ? ceil(f * scale) : floor(f * scale);
		ret = tpl_float(f / scale);
	}
	ret.flags = self.flags & TPL_INPUT;
	return ret;
}

FILTER(filesizeformat)
{
	static const char units[] = "kMGTPEZY";
	bool binary = tpl_truth(r, v[0]);
	double base = binary ? 1024 : 1000, size = 0, unit = 1;
	char text[64], number[40];
	size_t i = 0;

	if (!tpl_as_double(self, &size) && !(self.type == TPL_STR && read_float(r, self, &size)))
		tpl_fail(r, WEIR_E_INVALID, "filesizeformat: a number is needed");
	if (size == 1)
		return tpl_cstr(r, "1 Byte");
	if (size < base) {
		snprintf(text, sizeof(text), "%d Bytes", (int)size);
		return tpl_str(r, text, strlen(text), false);
	}
	for (unit = base * base; i < 7 && size >= unit; i++)
		unit *= base;
	g_ascii_formatd(number, sizeof(number), "%.1f", base * size / unit);
	snprintf(text, sizeof(text), "%s %c%sB", number,
		 binary ? g_ascii_toupper(units[i]) : units[i], binary ? "i" : "");
	return tpl_str(r, text, strlen(text), false);
}

const struct tpl_builtin tpl_text_filters[] = {
	{ "abs", f_abs, "/", 0 },
	{ "capitalize", f_capitalize, "/", 0 },
	{ "center", f_center, "width", 0 },
	{ "e", f_escape, "/", 0 },
	{ "escape", f_escape, "/", 0 },
	{ "filesizeformat", f_filesizeformat, "binary", 0 },
	{ "float", f_float, "default", 0 },
	{ "forceescape", f_forceescape, "/", 0 },
	{ "format", f_format, "*", 0 },
	{ "indent", f_indent, "width first blank", 0 },
	{ "int", f_int, "default base", 0 },
	{ "lower", f_lower, "/", 0 },
	{ "replace", f_replace, "old new count", 2 },
	{ "round", f_round, "precision method", 0 },
	{ "safe", f_safe, "/", 0 },
	{ "string", f_string, "/", 0 },
	{ "title", f_title, "/", 0 },
	{ "tojson", tpl_tojson, "ensure_ascii indent separators sort_keys", 0 },
	{ "trim", f_trim, "chars", 0 },
	{ "truncate", f_truncate, "length killwords end leeway", 0 },
	{ "upper", f_upper, "/", 0 },
	{ "urlencode", f_urlencode, "/", 0 },
	{ "wordcount", f_wordcount, "/", 0 },
	{ "pprint", NULL, "*", 0 },
	{ "striptags", NULL, "*", 0 },
	{ "urlize", NULL, "*", 0 },
	{ "wordwrap", NULL, "*", 0 },
	{ "xmlattr", NULL, "*", 0 },
	{ "random", NULL, "*", 0 },
};
const size_t tpl_n_text_filters = TPL_LEN(tpl_text_filters);
