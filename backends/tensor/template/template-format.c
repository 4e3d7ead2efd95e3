/* SPDX-License-Identifier: MIT */
/*
 * template-format.c - "%s and %d" % values, "{} and {x}".format(), and HTML escaping.
 *
 * Called by the % operator, |format, str.format() and |escape, on the thread of one render. Literal
 * parts keep the format's marks, inserted values their own.
 */
#include "template-value.h"

#include <glib.h>
#include <math.h>
#include <stdio.h>

#define MAX_WIDTH 100000

struct spec {
	uint32_t fill;
	char align; /* < > ^ =, 0 = the type's own */
	char sign;  /* + - or blank */
	bool alternate, comma;
	int64_t width, precision; /* precision -1 = not given */
	char type;
};

struct tpl_value tpl_escape(struct tpl_render *r, struct tpl_value v)
{
	static const char from[] = "&<>'\"";
	static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
	struct tpl_buf b = { 0 };
	struct tpl_text *s;
	size_t plain = 0;

	if (v.type == TPL_STR && v.flags & TPL_MARKUP)
		return v;
	s = tpl_to_str(r, v).u.s;
	for (size_t i = 0; i < s->len; i++) {
		const char *c = s->data[i] ? strchr(from, s->data[i]) : NULL;

		if (!c)
			continue;
		tpl_put_slice(r, &b, s, plain, i);
		tpl_put(r, &b, to[c - from], strlen(to[c - from]), s->mark ? s->mark[i] : s->input);
		plain = i + 1;
	}
	tpl_put_slice(r, &b, s, plain, s->len);
	v = tpl_buf_value(r, &b);
	v.flags = TPL_MARKUP;
	return v;
}

static void pad(struct tpl_render *r, struct tpl_buf *b, struct tpl_text *s, size_t sign_len,
		const struct spec *spec)
{
	int64_t gap = spec->width - (int64_t)tpl_chars(s), before = 0;

	if (gap < 0)
		gap = 0;
	if (spec->align == '>' || spec->align == '=')
		before = gap;
	else if (spec->align == '^')
		before = gap / 2;
	if (spec->align == '=')
		tpl_put_slice(r, b, s, 0, sign_len);
	for (int64_t i = 0; i < before; i++)
		tpl_put_char(r, b, spec->fill, false);
	tpl_put_slice(r, b, s, spec->align == '=' ? sign_len : 0, s->len);
	for (int64_t i = before; i < gap; i++)
		tpl_put_char(r, b, spec->fill, false);
}

/* Commas between groups of three digits of the integer part; text holds digits only up to `n`. */
static size_t put_grouped(char *out, const char *digits, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			out[len++] = ',';
		out[len++] = digits[i];
	}
	return len;
}

static void put_number(struct tpl_render *r, struct tpl_buf *b, const char *digits, bool negative,
		       const char *prefix, bool input, struct spec *spec)
{
	struct tpl_buf text = { 0 };
	size_t sign_len, whole = strspn(digits, "0123456789");

	if (negative)
		tpl_put(r, &text, "-", 1, input);
	else if (spec->sign == '+' || spec->sign == ' ')
		tpl_put(r, &text, &spec->sign, 1, input);
	tpl_put(r, &text, prefix, strlen(prefix), input);
	sign_len = text.len;
	if (spec->comma) {
		char *grouped = tpl_alloc(r, whole + whole / 3 + 1, 1);

		tpl_put(r, &text, grouped, put_grouped(grouped, digits, whole), input);
		digits += whole;
	}
	tpl_put(r, &text, digits, strlen(digits), input);
	if (!spec->align)
		spec->align = '>';
	pad(r, b, tpl_buf_value(r, &text).u.s, sign_len, spec);
}

static void put_int(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v, struct spec *spec)
{
	char digits[72];
	const char *prefix = "";
	int64_t i = 0;
	uint64_t u;
	size_t n = 0;

	if (v.type == TPL_BIG) {
		bool minus = v.u.s->data[0] == '-';
		char *text = tpl_alloc(r, v.u.s->len + 1, 1);

		if (spec->type && !strchr("diun", spec->type))
			tpl_fail(r, WEIR_E_INVALID, "an integer beyond 64 bits");
		memcpy(text, v.u.s->data + minus, v.u.s->len - minus);
		put_number(r, b, text, minus, "", v.u.s->input, spec);
		return;
	}
	tpl_as_int(v, &i);
	u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
	switch (spec->type) {
	case 'x':
	case 'X':
		snprintf(digits, sizeof(digits), spec->type == 'x' ? "%llx" : "%llX",
			 (unsigned long long)u);
		prefix = spec->alternate ? spec->type == 'x' ? "0x" : "0X" : "";
		break;
	case 'o':
		snprintf(digits, sizeof(digits), "%llo", (unsigned long long)u);
		prefix = spec->alternate ? "0o" : "";
		break;
	case 'b':
		for (int bit = 63; bit >= 0; bit--)
			if (n || u >> bit & 1 || !bit)
				digits[n++] = (char)('0' + (u >> bit & 1));
		digits[n] = 0;
		prefix = spec->alternate ? "0b" : "";
		break;
	default:
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)u);
	}
	put_number(r, b, digits, i < 0, prefix, v.flags & TPL_INPUT, spec);
}

static void put_float(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v,
		      struct spec *spec)
{
	int precision = spec->precision < 0 ? 6 : (int)spec->precision;
	size_t cap = 512 + (size_t)precision;
	char *digits = tpl_alloc(r, cap, 1);
	char fmt[24], type = spec->type == '%' ? 'f' : spec->type;
	double f = 0;

	if (!tpl_as_double(v, &f))
		tpl_fail(r, WEIR_E_INVALID, "must be real number, not %s", tpl_type_name(v));
	if (spec->type == '%')
		f *= 100;
	if (isnan(f) || isinf(f)) {
		g_snprintf(digits, (gulong)cap, "%s", isnan(f) ? "nan" : "inf");
		if (g_ascii_isupper(type))
			digits = g_strcmp0(digits, "nan") ? memcpy(digits, "INF", 4)
							  : memcpy(digits, "NAN", 4);
	} else if (!type && spec->precision < 0) {
		tpl_format_double(digits, cap, fabs(f));
	} else {
		if (!type) {
			type = 'g';
			precision = precision ? precision : 1;
		}
		g_snprintf(fmt, sizeof(fmt), "%%%s.%d%c", spec->alternate ? "#" : "", precision,
			   type);
		g_ascii_formatd(digits, (gint)cap, fmt, fabs(f));
		if (!spec->type && !strpbrk(digits, ".e"))
			g_strlcat(digits, ".0", cap);
		if (spec->type == '%')
			g_strlcat(digits, "%", cap);
	}
	put_number(r, b, digits, signbit(f) && !isnan(f), "", v.flags & TPL_INPUT, spec);
}

static void put_string(struct tpl_render *r, struct tpl_buf *b, struct tpl_value s,
		       struct spec *spec)
{
	struct tpl_text *text = s.u.s;

	if (spec->precision >= 0 && (size_t)spec->precision < tpl_chars(text))
		text = tpl_sub(r, s, 0, tpl_offset(text, (size_t)spec->precision)).u.s;
	if (!spec->align)
		spec->align = '<';
	pad(r, b, text, 0, spec);
}

static struct tpl_value repr_value(struct tpl_render *r, struct tpl_value v)
{
	struct tpl_buf b = { 0 };

	tpl_repr(r, &b, v);
	return tpl_buf_value(r, &b);
}

/* -- the % operator -- */

struct percent {
	struct tpl_render *r;
	struct tpl_value values;
	struct tpl_list *tuple; /* NULL: one value */
	size_t used;
	bool keyed;
};

static struct tpl_value next_value(struct percent *p)
{
	if (p->tuple ? p->used >= p->tuple->n : p->used > 0)
		tpl_fail(p->r, WEIR_E_INVALID, "not enough arguments for format string");
	p->used++;
	return p->tuple ? p->tuple->item[p->used - 1] : p->values;
}

static int64_t width_at(struct percent *p, const char **at, const char *end)
{
	int64_t n = 0;

	if (*at < end && **at == '*') {
		(*at)++;
		n = tpl_need_int(p->r, next_value(p), 0, "* wants int");
	} else {
		for (; *at < end && g_ascii_isdigit(**at) && n <= MAX_WIDTH; (*at)++)
			n = n * 10 + (**at - '0');
	}
	if (n > MAX_WIDTH || n < -MAX_WIDTH)
		tpl_fail(p->r, WEIR_E_EXHAUSTED, "the format's width is too large");
	return n;
}

static void percent_one(struct percent *p, struct tpl_buf *b, struct tpl_value v, struct spec *spec)
{
	struct tpl_render *r = p->r;
	int64_t i;

	switch (spec->type) {
	case 's':
		put_string(r, b, tpl_to_str(r, v), spec);
		return;
	case 'r':
	case 'a':
		put_string(r, b, repr_value(r, v), spec);
		return;
	case 'c':
		if (v.type == TPL_STR && tpl_chars(v.u.s) == 1) {
			put_string(r, b, v, spec);
			return;
		}
		if (!tpl_as_int(v, &i) || i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
			tpl_fail(r, WEIR_E_INVALID, "%%c requires int or char");
		struct tpl_buf one = { 0 };

		tpl_put_char(r, &one, (uint32_t)i, v.flags & TPL_INPUT);
		put_string(r, b, tpl_buf_value(r, &one), spec);
		return;
	case 'd':
	case 'i':
	case 'u':
		if (v.type == TPL_FLOAT) {
			if (!(fabs(v.u.f) < 9.2e18))
				tpl_fail(r, WEIR_E_INVALID, "cannot convert float to integer");
			v = tpl_int((int64_t)v.u.f);
		}
		/* fall through */
	case 'x':
	case 'X':
	case 'o':
		if (v.type != TPL_BIG && !tpl_as_int(v, &i))
			tpl_fail(r, WEIR_E_INVALID, "%%%c format: an integer is required, not %s",
				 spec->type, tpl_type_name(v));
		put_int(r, b, v, spec);
		return;
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		put_float(r, b, v, spec);
		return;
	default:
		tpl_fail(r, WEIR_E_INVALID, "unsupported format character");
	}
}

struct tpl_value tpl_percent(struct tpl_render *r, struct tpl_value fmt, struct tpl_value values)
{
	struct percent p = { .r = r, .values = values };
	const struct tpl_text *s = fmt.u.s;
	const char *at = s->data, *end = at + s->len;
	struct tpl_buf b = { 0 };
	bool mapping = values.type == TPL_DICT || values.type == TPL_LIST ||
		       values.type == TPL_UNDEFINED || values.type == TPL_RANGE;
	struct tpl_value ret;

	if (values.type == TPL_TUPLE)
		p.tuple = values.u.l;
	while (at < end) {
		struct spec spec = { .fill = ' ', .precision = -1 };
		struct tpl_value v = { 0 };
		const char *percent = memchr(at, '%', (size_t)(end - at));

		if (!percent)
			percent = end;
		tpl_put_slice(r, &b, s, (size_t)(at - s->data), (size_t)(percent - s->data));
		at = percent;
		if (at == end)
			break;
		at++;
		if (at < end && *at == '(') {
			const char *close = memchr(at, ')', (size_t)(end - at));

			if (!close)
				tpl_fail(r, WEIR_E_INVALID, "incomplete format key");
			if (values.type != TPL_DICT)
				tpl_fail(r, WEIR_E_INVALID, "format requires a mapping");
			at++;
			struct tpl_value *found =
				tpl_get_name(r, values.u.d, at, (size_t)(close - at));
			if (!found)
				tpl_fail(r, WEIR_E_INVALID, "the format's mapping has no '%.*s'",
					 close - at > 60 ? 60 : (int)(close - at), at);
			v = *found;
			p.keyed = true;
			at = close + 1;
		}
		for (; at < end && strchr("-+ #0", *at) && *at; at++) {
			if (*at == '-')
				spec.align = '<';
			else if (*at == '#')
				spec.alternate = true;
			else if (*at == '0')
				spec.fill = '0';
			else if (spec.sign != '+')
				spec.sign = *at;
		}
		spec.width = width_at(&p, &at, end);
		if (spec.width < 0) {
			spec.align = '<';
			spec.width = -spec.width;
		}
		if (at < end && *at == '.') {
			at++;
			spec.precision = width_at(&p, &at, end);
			spec.precision = spec.precision < 0 ? 0 : spec.precision;
		}
		while (at < end && (*at == 'l' || *at == 'h' || *at == 'L'))
			at++;
		if (at == end)
			tpl_fail(r, WEIR_E_INVALID, "incomplete format");
		spec.type = *at++;
		if (spec.type == '%') {
			tpl_put_slice(r, &b, s, (size_t)(at - 1 - s->data), (size_t)(at - s->data));
			continue;
		}
		if (v.type == TPL_MISSING)
			v = next_value(&p);
		if (strchr("src", spec.type) || spec.type == 'a') {
			spec.fill = ' ';
			spec.align = spec.align ? spec.align : '>';
		} else if (spec.fill == '0') {
			spec.align = spec.align ? spec.align : '=';
			if (spec.align == '<')
				spec.fill = ' ';
		}
		if (fmt.flags & TPL_MARKUP && !tpl_is_number(v))
			v = tpl_escape(r, spec.type == 'r' ? repr_value(r, v) : v);
		if (spec.type == 'r' && fmt.flags & TPL_MARKUP)
			spec.type = 's';
		percent_one(&p, &b, v, &spec);
	}
	if (p.tuple ? p.used < p.tuple->n : !p.used && !p.keyed && !mapping)
		tpl_fail(r, WEIR_E_INVALID, "not all arguments converted during string formatting");
	ret = tpl_buf_value(r, &b);
	ret.flags = fmt.flags;
	return ret;
}

/* -- str.format() -- */

static struct spec parse_spec(struct tpl_render *r, const struct tpl_text *s)
{
	struct spec spec = { .fill = ' ', .precision = -1 };
	const char *p = s->data, *end = p + s->len;
	size_t n = 0;

	if (p < end)
		tpl_char(p, end, &n);
	if (p < end && p + n < end && strchr("<>^=", p[n])) {
		spec.fill = tpl_char(p, end, &n);
		spec.align = p[n];
		p += n + 1;
	} else if (p < end && *p && strchr("<>^=", *p)) {
		spec.align = *p++;
	}
	if (p < end && *p && strchr("+- ", *p))
		spec.sign = *p++;
	if (p < end && *p == '#') {
		spec.alternate = true;
		p++;
	}
	if (p < end && *p == '0') {
		if (!spec.align) {
			spec.fill = '0';
			spec.align = '=';
		}
		p++;
	}
	for (; p < end && g_ascii_isdigit(*p) && spec.width <= MAX_WIDTH; p++)
		spec.width = spec.width * 10 + (*p - '0');
	if (p < end && *p == ',') {
		spec.comma = true;
		p++;
	}
	if (p + 1 < end && *p == '.' && g_ascii_isdigit(p[1])) {
		spec.precision = 0;
		for (p++; p < end && g_ascii_isdigit(*p) && spec.precision <= MAX_WIDTH; p++)
			spec.precision = spec.precision * 10 + (*p - '0');
	}
	if (p < end)
		spec.type = *p++;
	if (p < end || spec.width > MAX_WIDTH || spec.precision > MAX_WIDTH)
		tpl_fail(r, WEIR_E_INVALID, "invalid format specifier");
	return spec;
}

static void format_one(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v,
		       const struct tpl_text *text)
{
	struct spec spec;

	if (!text->len) {
		tpl_print(r, b, v);
		return;
	}
	spec = parse_spec(r, text);
	if (v.type == TPL_STR && (!spec.type || spec.type == 's') && spec.align != '=' &&
	    !spec.comma && !spec.alternate && !spec.sign) {
		put_string(r, b, v, &spec);
	} else if (v.type == TPL_STR && (!spec.type || spec.type == 's') && spec.fill == '0') {
		spec.align = '<';
		put_string(r, b, v, &spec);
	} else if (tpl_is_number(v) && spec.type && strchr("eEfFgG%", spec.type)) {
		put_float(r, b, v, &spec);
	} else if (v.type == TPL_FLOAT && !spec.type) {
		put_float(r, b, v, &spec);
	} else if (v.type != TPL_FLOAT && tpl_is_number(v) && spec.precision < 0 &&
		   (!spec.type || strchr("dxXobn", spec.type))) {
		put_int(r, b, v, &spec);
	} else {
		tpl_fail(r, WEIR_E_INVALID, "unsupported format string for '%s'", tpl_type_name(v));
	}
}

struct fields {
	struct tpl_render *r;
	const struct tpl_args *args;
	int64_t next;
	int numbering; /* 1 automatic, 2 by hand */
};

/* "name.attr[key]" up to the conversion or the specifier. */
static struct tpl_value field_value(struct fields *f, struct tpl_value s, size_t from, size_t to)
{
	const char *p = s.u.s->data;
	size_t end = from;
	struct tpl_value v = { 0 };
	int64_t n = 0;

	while (end < to && p[end] != '.' && p[end] != '[')
		end++;
	for (size_t i = from; i < end && n >= 0; i++)
		n = g_ascii_isdigit(p[i]) && n < MAX_WIDTH ? n * 10 + (p[i] - '0') : -1;
	if (n >= 0) {
		int how = end == from ? 1 : 2;

		if (f->numbering && f->numbering != how)
			tpl_fail(f->r, WEIR_E_INVALID,
				 "cannot switch between automatic and manual field numbering");
		f->numbering = how;
		n = how == 1 ? f->next++ : n;
		if ((size_t)n >= f->args->n_pos)
			tpl_fail(f->r, WEIR_E_INVALID, "replacement index %lld out of range",
				 (long long)n);
		v = f->args->pos[n];
	} else {
		for (size_t i = 0; i < f->args->n_kw; i++)
			if (f->args->kw[i].name->len == end - from &&
			    !memcmp(f->args->kw[i].name->data, p + from, end - from))
				v = f->args->kw[i].value;
		if (v.type == TPL_MISSING)
			tpl_fail(f->r, WEIR_E_INVALID, "format has no argument '%.*s'",
				 end - from > 60 ? 60 : (int)(end - from), p + from);
	}
	while (end < to) {
		bool attr = p[end] == '.';
		size_t start = ++end;
		bool digits = true;

		while (end < to && (attr ? p[end] != '.' && p[end] != '[' : p[end] != ']'))
			digits = g_ascii_isdigit(p[end++]) && digits;
		if (start == end || (!attr && end == to))
			tpl_fail(f->r, WEIR_E_INVALID, "empty attribute in format string");
		if (attr)
			v = tpl_getattr(f->r, v, tpl_sub(f->r, s, start, end));
		else
			v = tpl_getitem(f->r, v,
					digits && end - start < 18
						? tpl_int(g_ascii_strtoll(p + start, NULL, 10))
						: tpl_sub(f->r, s, start, end));
		end += !attr;
	}
	return v;
}

struct tpl_value tpl_format(struct tpl_render *r, struct tpl_value fmt, const struct tpl_args *args)
{
	struct fields f = { .r = r, .args = args };
	const struct tpl_text *s = fmt.u.s;
	struct tpl_buf b = { 0 };
	struct tpl_value ret;

	for (size_t i = 0; i < s->len; i++) {
		size_t name = i + 1, end, spec;
		struct tpl_value v;
		char how = 0;

		if (s->data[i] != '{' && s->data[i] != '}') {
			tpl_put_slice(r, &b, s, i, i + 1);
			continue;
		}
		if (i + 1 < s->len && s->data[i + 1] == s->data[i]) {
			tpl_put_slice(r, &b, s, i, i + 1);
			i++;
			continue;
		}
		if (s->data[i] == '}')
			tpl_fail(r, WEIR_E_INVALID, "single '}' encountered in format string");
		for (end = name; end < s->len && !strchr("}!:{", s->data[end]); end++)
			;
		spec = end;
		if (end + 1 < s->len && s->data[end] == '!') {
			how = s->data[end + 1];
			spec = end + 2;
		}
		if (spec >= s->len || (s->data[spec] != ':' && s->data[spec] != '}') ||
		    (how && !strchr("sra", how)))
			tpl_fail(r, WEIR_E_INVALID, "not a format string that is supported");
		v = field_value(&f, fmt, name, end);
		if (how)
			v = how == 's' ? tpl_to_str(r, v) : repr_value(r, v);
		i = spec;
		if (s->data[spec] == ':')
			for (i = ++spec; i < s->len && s->data[i] != '}'; i++)
				if (s->data[i] == '{')
					tpl_fail(r, WEIR_E_UNSUPPORTED,
						 "nested fields in format strings");
		if (i >= s->len)
			tpl_fail(r, WEIR_E_INVALID, "expected '}' before end of string");
		if (fmt.flags & TPL_MARKUP)
			v = tpl_escape(r, v);
		format_one(r, &b, v, tpl_sub(r, fmt, spec, i).u.s);
	}
	ret = tpl_buf_value(r, &b);
	ret.flags = fmt.flags;
	return ret;
}
