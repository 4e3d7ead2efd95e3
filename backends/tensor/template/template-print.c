/* SPDX-License-Identifier: MIT */
/*
 * template-print.c - values as text: Python's str() and repr(), and json.dumps() for |tojson.
 *
 * Called by the template interpreter, on the thread of one render. A text keeps its marks; what is
 * printed of a number or container that is input as a whole is input as a whole, brackets included.
 */
#include "template-ast.h"
#include "template-value.h"

#include <glib.h>
#include <math.h>
#include <stdio.h>

/* The shortest digits that read back as f; exponents as Python writes them. */
size_t tpl_format_double(char *ret, size_t cap, double f)
{
	char e[40], digits[24];
	int exponent, n = 0, precision;
	const char *p;
	size_t len = 0;

	if (isnan(f))
		return (size_t)snprintf(ret, cap, "nan");
	if (isinf(f))
		return (size_t)snprintf(ret, cap, f < 0 ? "-inf" : "inf");
	for (precision = 0; precision < 17; precision++) {
		char fmt[8];

		snprintf(fmt, sizeof(fmt), "%%.%de", precision);
		g_ascii_formatd(e, sizeof(e), fmt, f);
		if (g_ascii_strtod(e, NULL) == f)
			break;
	}
	for (p = e; *p && *p != 'e'; p++)
		if (g_ascii_isdigit(*p))
			digits[n++] = *p;
	digits[n] = 0;
	exponent = (int)g_ascii_strtoll(p + 1, NULL, 10);
	if (signbit(f))
		ret[len++] = '-';
	if (exponent < -4 || exponent >= 16) {
		len += (size_t)snprintf(ret + len, cap - len, "%c%s%se%c%02d", digits[0],
					n > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+',
					exponent < 0 ? -exponent : exponent);
	} else if (exponent < 0) {
		len += (size_t)snprintf(ret + len, cap - len, "0.%.*s%s", -exponent - 1, "0000",
					digits);
	} else {
		for (int i = 0; i <= exponent; i++)
			ret[len++] = i < n ? digits[i] : '0';
		len += (size_t)snprintf(ret + len, cap - len, ".%s",
					n > exponent + 1 ? digits + exponent + 1 : "0");
	}
	return len;
}

static void repr_text(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s)
{
	const char *end = s->data + s->len;
	bool single = s->len && memchr(s->data, '\'', s->len);
	bool twice = s->len && memchr(s->data, '"', s->len);
	char quote = single && !twice ? '"' : '\'';
	size_t n;

	tpl_step(r, s->len / 16);
	tpl_put(r, b, &quote, 1, false);
	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, end, &n);
		bool input = s->mark ? s->mark[at] : s->input;
		char esc[16];

		if (c == (uint8_t)quote || c == '\\')
			snprintf(esc, sizeof(esc), "\\%c", (int)c);
		else if (c == '\n' || c == '\r' || c == '\t')
			snprintf(esc, sizeof(esc), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else if (tpl_is_printable(c)) {
			tpl_put(r, b, s->data + at, n, input);
			continue;
		} else {
			snprintf(esc, sizeof(esc),
				 c < 0x100     ? "\\x%02x"
				 : c < 0x10000 ? "\\u%04x"
					       : "\\U%08x",
				 c);
		}
		tpl_put(r, b, esc, strlen(esc), input);
	}
	tpl_put(r, b, &quote, 1, false);
}

static void print_number(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	char text[64];
	size_t n;

	if (v.type == TPL_BOOL)
		n = (size_t)snprintf(text, sizeof(text), v.u.b ? "True" : "False");
	else if (v.type == TPL_INT)
		n = (size_t)snprintf(text, sizeof(text), "%lld", (long long)v.u.i);
	else
		n = tpl_format_double(text, sizeof(text), v.u.f);
	tpl_put(r, b, text, n, v.flags & TPL_INPUT);
}

static void repr_items(struct tpl_render *r, struct tpl_buf *b, const struct tpl_list *l,
		       const char *open, const char *close)
{
	tpl_puts(r, b, open);
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			tpl_puts(r, b, ", ");
		tpl_repr(r, b, l->item[i]);
	}
	tpl_puts(r, b, close);
}

static void repr_dict(struct tpl_render *r, struct tpl_buf *b, const struct tpl_dict *d, char what)
{
	for (size_t i = 0; i < d->n; i++) {
		if (i)
			tpl_puts(r, b, ", ");
		if (what == 'i')
			tpl_puts(r, b, "(");
		if (what != 'v')
			tpl_repr(r, b, d->pair[i].key);
		if (what == 'd' || what == 'i')
			tpl_puts(r, b, what == 'd' ? ": " : ", ");
		if (what != 'k')
			tpl_repr(r, b, d->pair[i].value);
		if (what == 'i')
			tpl_puts(r, b, ")");
	}
}

static void repr_other(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	char text[96];

	switch (v.type) {
	case TPL_VIEW:
		tpl_puts(r, b, tpl_type_name(v));
		tpl_puts(r, b, "([");
		repr_dict(r, b, v.u.view->dict.u.d, v.u.view->what);
		tpl_puts(r, b, "])");
		return;
	case TPL_NAMESPACE:
		tpl_puts(r, b, "<Namespace {");
		repr_dict(r, b, v.u.d, 'd');
		tpl_puts(r, b, "}>");
		return;
	case TPL_RANGE:
		if (v.u.range->step == 1)
			snprintf(text, sizeof(text), "range(%lld, %lld)",
				 (long long)v.u.range->start, (long long)v.u.range->stop);
		else
			snprintf(text, sizeof(text), "range(%lld, %lld, %lld)",
				 (long long)v.u.range->start, (long long)v.u.range->stop,
				 (long long)v.u.range->step);
		tpl_puts(r, b, text);
		return;
	case TPL_LOOP:
		snprintf(text, sizeof(text), "<LoopContext %lld/%zu>",
			 (long long)v.u.loop->index0 + 1, tpl_loop_length(r, v.u.loop));
		tpl_puts(r, b, text);
		return;
	case TPL_MACRO:
		tpl_puts(r, b, "<Macro ");
		if (v.u.macro->name.type == TPL_STR)
			tpl_repr(r, b, v.u.macro->name);
		else
			tpl_puts(r, b, "anonymous");
		tpl_puts(r, b, ">");
		return;
	case TPL_METHOD:
	case TPL_FUNCTION:
		snprintf(text, sizeof(text), "<built-in function %s>",
			 v.type == TPL_METHOD ? v.u.method->fn->name : v.u.fn->name);
		tpl_puts(r, b, text);
		return;
	default:
		snprintf(text, sizeof(text), "<%s object>", tpl_type_name(v));
		tpl_puts(r, b, text);
	}
}

static void repr_deep(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	switch (v.type) {
	case TPL_MISSING:
	case TPL_UNDEFINED:
		tpl_puts(r, b, "Undefined");
		return;
	case TPL_NONE:
		tpl_put(r, b, "None", 4, v.flags & TPL_INPUT);
		return;
	case TPL_BIG:
		tpl_put_text(r, b, v.u.s);
		return;
	case TPL_STR:
		if (v.flags & TPL_MARKUP)
			tpl_puts(r, b, "Markup(");
		repr_text(r, b, v.u.s);
		if (v.flags & TPL_MARKUP)
			tpl_puts(r, b, ")");
		return;
	case TPL_LIST:
		repr_items(r, b, v.u.l, "[", "]");
		return;
	case TPL_TUPLE:
		repr_items(r, b, v.u.l, "(", v.u.l->n == 1 ? ",)" : ")");
		return;
	case TPL_DICT:
		tpl_puts(r, b, "{");
		repr_dict(r, b, v.u.d, 'd');
		tpl_puts(r, b, "}");
		return;
	case TPL_BOOL:
	case TPL_INT:
	case TPL_FLOAT:
		print_number(r, b, v);
		return;
	default:
		repr_other(r, b, v);
	}
}

/* Everything that was added to b since `from` is input. */
static void mark_input(struct tpl_render *r, struct tpl_buf *b, size_t from)
{
	if (!b->mark && from < b->len) {
		if (!from || b->input) {
			b->input = from ? b->input : true;
			return;
		}
		b->mark = tpl_alloc(r, b->cap, 1);
	}
	if (b->mark)
		memset(b->mark + from, 1, b->len - from);
}

void tpl_repr(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	size_t from = b->len;

	tpl_step(r, 1);
	tpl_enter(r);
	repr_deep(r, b, v);
	tpl_leave(r);
	if (v.flags & TPL_INPUT)
		mark_input(r, b, from);
}

/* str(v) */
void tpl_print(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	if (v.type == TPL_STR)
		tpl_put_text(r, b, v.u.s);
	else if (v.type != TPL_UNDEFINED && v.type != TPL_MISSING)
		tpl_repr(r, b, v);
}

struct tpl_value tpl_to_str(struct tpl_render *r, struct tpl_value v)
{
	struct tpl_buf b = { 0 };

	if (v.type == TPL_STR)
		return v;
	tpl_print(r, &b, v);
	return tpl_buf_value(r, &b);
}

/* -- json.dumps() -- */

struct json_style {
	const struct tpl_text *item, *key; /* separators */
	struct tpl_value indent;           /* a str, or None for one line */
	bool ascii, sort;
};

static void json_text(struct tpl_render *r, struct tpl_buf *b, const struct tpl_text *s, bool ascii)
{
	static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
	const char *end = s->data + s->len;
	size_t n, plain = 0;

	tpl_step(r, s->len / 16);
	tpl_puts(r, b, "\"");
	for (size_t at = 0; at < s->len; at += n) {
		uint32_t c = tpl_char(s->data + at, end, &n);
		bool input = s->mark ? s->mark[at] : s->input;
		const char *simple = c && c < 0x80 ? strchr(from, (int)c) : NULL;
		char esc[16];

		if (!simple && c >= 0x20 && (c < 0x7f || !ascii))
			continue;
		if (simple)
			snprintf(esc, sizeof(esc), "\\%c", to[simple - from]);
		else if (c < 0x10000)
			snprintf(esc, sizeof(esc), "\\u%04x", c);
		else
			snprintf(esc, sizeof(esc), "\\u%04x\\u%04x", 0xd7c0 + (c >> 10),
				 0xdc00 + (c & 0x3ff));
		tpl_put_slice(r, b, s, plain, at);
		tpl_put(r, b, esc, strlen(esc), input);
		plain = at + n;
	}
	tpl_put_slice(r, b, s, plain, s->len);
	tpl_puts(r, b, "\"");
}

static void json_line(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		      size_t level)
{
	if (style->indent.type != TPL_STR)
		return;
	tpl_puts(r, b, "\n");
	while (level--)
		tpl_put_text(r, b, style->indent.u.s);
}

static void json_value(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		       struct tpl_value v, size_t level);

static void json_scalar(struct tpl_render *r, struct tpl_buf *b, struct tpl_value v)
{
	bool input = v.flags & TPL_INPUT;

	if (v.type == TPL_NONE)
		tpl_put(r, b, "null", 4, input);
	else if (v.type == TPL_BOOL)
		tpl_put(r, b, v.u.b ? "true" : "false", v.u.b ? 4 : 5, input);
	else if (v.type == TPL_BIG)
		tpl_put_text(r, b, v.u.s);
	else if (v.type == TPL_FLOAT && isnan(v.u.f))
		tpl_put(r, b, "NaN", 3, input);
	else if (v.type == TPL_FLOAT && isinf(v.u.f))
		tpl_put(r, b, v.u.f < 0 ? "-Infinity" : "Infinity", v.u.f < 0 ? 9 : 8, input);
	else if (v.type == TPL_INT || v.type == TPL_FLOAT)
		print_number(r, b, v);
	else
		tpl_fail(r, WEIR_E_INVALID, "Object of type %s is not JSON serializable",
			 tpl_type_name(v));
}

static void json_list(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		      const struct tpl_list *l, size_t level)
{
	tpl_puts(r, b, "[");
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			tpl_put_text(r, b, style->item);
		json_line(r, b, style, level + 1);
		json_value(r, b, style, l->item[i], level + 1);
	}
	if (l->n)
		json_line(r, b, style, level);
	tpl_puts(r, b, "]");
}

static void json_key(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		     struct tpl_value key)
{
	struct tpl_buf text = { 0 };

	if (key.type == TPL_STR) {
		json_text(r, b, key.u.s, style->ascii);
		return;
	}
	if (key.type != TPL_NONE && !tpl_is_number(key))
		tpl_fail(r, WEIR_E_INVALID, "keys must be str, int, float, bool or None, not %s",
			 tpl_type_name(key));
	json_scalar(r, &text, key);
	json_text(r, b, tpl_buf_value(r, &text).u.s, style->ascii);
}

static void json_dict(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		      const struct tpl_dict *d, size_t level)
{
	const struct tpl_pair *pair = d->pair;

	if (style->sort && d->n > 1) {
		struct tpl_pair *sorted = tpl_alloc(r, d->n, sizeof(*sorted));
		size_t i, k;

		for (i = 0; i < d->n; i++) {
			tpl_step(r, i / 4);
			for (k = i; k && tpl_less(r, pair[i].key, sorted[k - 1].key, "<"); k--)
				sorted[k] = sorted[k - 1];
			sorted[k] = pair[i];
		}
		pair = sorted;
	}
	tpl_puts(r, b, "{");
	for (size_t i = 0; i < d->n; i++) {
		if (i)
			tpl_put_text(r, b, style->item);
		json_line(r, b, style, level + 1);
		json_key(r, b, style, pair[i].key);
		tpl_put_text(r, b, style->key);
		json_value(r, b, style, pair[i].value, level + 1);
	}
	if (d->n)
		json_line(r, b, style, level);
	tpl_puts(r, b, "}");
}

static void json_value(struct tpl_render *r, struct tpl_buf *b, const struct json_style *style,
		       struct tpl_value v, size_t level)
{
	size_t from = b->len;

	tpl_step(r, 1);
	tpl_enter(r);
	if (v.type == TPL_STR)
		json_text(r, b, v.u.s, style->ascii);
	else if (v.type == TPL_LIST || v.type == TPL_TUPLE)
		json_list(r, b, style, v.u.l, level);
	else if (v.type == TPL_DICT)
		json_dict(r, b, style, v.u.d, level);
	else
		json_scalar(r, b, v);
	tpl_leave(r);
	if (v.flags & TPL_INPUT)
		mark_input(r, b, from);
}

/* v: ensure_ascii, indent, separators, sort_keys */
struct tpl_value tpl_tojson(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
			    const struct tpl_args *args)
{
	struct json_style style = { .ascii = tpl_truth(r, v[0]), .sort = tpl_truth(r, v[3]) };
	struct tpl_buf b = { 0 }, spaces = { 0 };
	int64_t width;

	style.indent = v[1].type == TPL_STR ? v[1] : tpl_none();
	if (tpl_as_int(v[1], &width)) {
		for (int64_t i = 0; i < width; i++)
			tpl_puts(r, &spaces, " ");
		style.indent = tpl_buf_value(r, &spaces);
	} else if (v[1].type != TPL_STR && v[1].type != TPL_NONE && v[1].type != TPL_MISSING) {
		tpl_fail(r, WEIR_E_INVALID, "tojson: indent must be an integer, a str or none");
	}
	style.item = tpl_cstr(r, style.indent.type == TPL_STR ? "," : ", ").u.s;
	style.key = tpl_cstr(r, ": ").u.s;
	if (v[2].type != TPL_NONE && v[2].type != TPL_MISSING) {
		struct tpl_value pair = tpl_to_list(r, v[2]);

		if (pair.u.l->n != 2)
			tpl_fail(r, WEIR_E_INVALID, "tojson: separators must be two strings");
		style.item = tpl_need_str(r, pair.u.l->item[0], "tojson: separators");
		style.key = tpl_need_str(r, pair.u.l->item[1], "tojson: separators");
	}
	json_value(r, &b, &style, self, 0);
	return tpl_buf_value(r, &b);
}
