/* SPDX-License-Identifier: MIT */
/*
 * template-json.c - reads the JSON text of a template's context.
 *
 * Called by weir_template_render(), on its thread. An own reader because provenance starts here
 * (every text is born as input or trusted), because a NUL inside a text must survive, and because
 * integers must stay integers, also beyond 64 bits. Strict RFC 8259; nesting is bounded.
 */
#include "template-value.h"

#include <glib.h>

#define MAX_NESTING 200

struct reader {
	struct tpl_render *r;
	const char *start, *p, *end;
	uint32_t depth;
	bool input;
};

static struct tpl_value read_value(struct reader *d);

static _Noreturn void bad(struct reader *d, const char *what)
{
	g_strlcpy(d->r->err->param, "context", sizeof(d->r->err->param));
	g_snprintf(d->r->err->text, sizeof(d->r->err->text),
		   "the template's context is not valid JSON at byte %zu: %s",
		   (size_t)(d->p - d->start), what);
	d->r->status = d->r->err->code = WEIR_E_INVALID;
	longjmp(d->r->failed, 1);
}

static void skip(struct reader *d)
{
	while (d->p < d->end && strchr(" \t\r\n", *d->p) && *d->p)
		d->p++;
}

static bool take(struct reader *d, char c)
{
	skip(d);
	if (d->p == d->end || *d->p != c)
		return false;
	d->p++;
	return true;
}

static uint32_t hex4(struct reader *d)
{
	uint32_t c = 0;

	if (d->end - d->p < 4)
		bad(d, "a \\u escape is cut short");
	for (int i = 0; i < 4; i++, d->p++) {
		if (!g_ascii_isxdigit(*d->p))
			bad(d, "not a hexadecimal digit");
		c = c << 4 | (uint32_t)g_ascii_xdigit_value(*d->p);
	}
	return c;
}

static void read_escape(struct reader *d, struct tpl_buf *b)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *simple;
	uint32_t c;

	if (d->p == d->end)
		bad(d, "the text ends in an escape");
	simple = *d->p ? strchr(from, *d->p) : NULL;
	if (simple) {
		d->p++;
		tpl_put(d->r, b, &to[simple - from], 1, d->input);
		return;
	}
	if (*d->p != 'u')
		bad(d, "unknown escape");
	d->p++;
	c = hex4(d);
	if (c >= 0xd800 && c < 0xdc00 && d->end - d->p > 1 && d->p[0] == '\\' && d->p[1] == 'u') {
		uint32_t low;

		d->p += 2;
		low = hex4(d);
		if (low < 0xdc00 || low > 0xdfff)
			bad(d, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c >= 0xd800 && c < 0xe000)
		bad(d, "half of a surrogate pair");
	tpl_put_char(d->r, b, c, d->input);
}

/* The opening quote is taken already. A text without escapes lends the caller's bytes. */
static struct tpl_value read_text(struct reader *d)
{
	struct tpl_buf b = { 0 };
	const char *from = d->p;

	for (;;) {
		while (d->p < d->end && *d->p != '"' && *d->p != '\\' && (uint8_t)*d->p >= 0x20)
			d->p++;
		if (d->p == d->end)
			bad(d, "a text is not closed");
		if ((uint8_t)*d->p < 0x20)
			bad(d, "a control character inside a text");
		if (*d->p == '"' && !b.len && from < d->p) {
			struct tpl_text *s = tpl_alloc(d->r, 1, sizeof(*s));

			s->data = from;
			s->len = (size_t)(d->p++ - from);
			s->n_chars = SIZE_MAX;
			s->input = d->input;
			return (struct tpl_value){ .type = TPL_STR, .u.s = s };
		}
		tpl_put(d->r, &b, from, (size_t)(d->p - from), d->input);
		if (*d->p++ == '"')
			return tpl_buf_value(d->r, &b);
		read_escape(d, &b);
		from = d->p;
	}
}

static void digits(struct reader *d)
{
	if (d->p == d->end || !g_ascii_isdigit(*d->p))
		bad(d, "a digit is missing");
	while (d->p < d->end && g_ascii_isdigit(*d->p))
		d->p++;
}

static struct tpl_value read_number(struct reader *d)
{
	const char *from = d->p;
	bool is_float = false, minus = *d->p == '-';
	int64_t v = 0;
	struct tpl_value big;
	char text[400];
	size_t n;

	d->p += minus;
	if (d->p + 1 < d->end && *d->p == '0' && g_ascii_isdigit(d->p[1]))
		bad(d, "a number starts with 0");
	digits(d);
	if (d->p < d->end && *d->p == '.') {
		is_float = true;
		d->p++;
		digits(d);
	}
	if (d->p < d->end && (*d->p == 'e' || *d->p == 'E')) {
		is_float = true;
		d->p++;
		if (d->p < d->end && (*d->p == '+' || *d->p == '-'))
			d->p++;
		digits(d);
	}
	n = (size_t)(d->p - from);
	if (n >= sizeof(text))
		bad(d, "a number has too many digits");
	memcpy(text, from, n);
	text[n] = 0;
	if (is_float)
		return tpl_float(g_ascii_strtod(text, NULL));
	for (const char *q = text + minus; *q; q++)
		if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
		    __builtin_add_overflow(v, (int64_t)(*q - '0'), &v)) {
			big = tpl_str(d->r, text, n, d->input);
			big.type = TPL_BIG;
			return big;
		}
	return tpl_int(minus ? -v : v);
}

/* A role out of the known ones says nothing of its own: it may be part of a special token. */
static bool known_role(struct tpl_value v)
{
	static const char *const roles[] = { "system", "developer", "user",      "assistant",
					     "tool",   "function",  "ipython",   "tool_results",
					     "model",  "document",  "documents", "context" };

	for (size_t i = 0; i < TPL_LEN(roles); i++)
		if (tpl_is(v, roles[i]))
			return true;
	return false;
}

static void trust_roles(struct tpl_render *r, struct tpl_value messages)
{
	for (size_t i = 0; messages.type == TPL_LIST && i < messages.u.l->n; i++) {
		struct tpl_value m = messages.u.l->item[i];
		struct tpl_value *role =
			m.type == TPL_DICT ? tpl_get_name(r, m.u.d, "role", 4) : NULL;

		if (role && known_role(*role))
			role->u.s->input = false;
	}
}

static bool is_trusted(struct tpl_value name, const char *const *trusted)
{
	for (; *trusted; trusted++)
		if (tpl_is(name, *trusted))
			return true;
	return false;
}

/* Either kind of container; the bracket is taken already. */
static struct tpl_value read_list(struct reader *d)
{
	struct tpl_value list = tpl_list(d->r, 0);

	if (take(d, ']'))
		return list;
	do
		tpl_push(d->r, list, read_value(d));
	while (take(d, ','));
	if (!take(d, ']'))
		bad(d, "a list is not closed");
	return list;
}

static struct tpl_value read_dict(struct reader *d, const char *const *trusted)
{
	struct tpl_value dict = tpl_dict(d->r);

	if (take(d, '}'))
		return dict;
	do {
		struct tpl_value key;

		if (!take(d, '"'))
			bad(d, "a member has no name");
		key = read_text(d);
		if (!take(d, ':'))
			bad(d, "':' is missing");
		if (trusted)
			d->input = !is_trusted(key, trusted);
		tpl_set(d->r, dict.u.d, key, read_value(d));
		d->input = true;
	} while (take(d, ','));
	if (!take(d, '}'))
		bad(d, "an object is not closed");
	return dict;
}

static bool word(struct reader *d, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(d->end - d->p) < n || memcmp(d->p, text, n))
		return false;
	d->p += n;
	return true;
}

static struct tpl_value read_value(struct reader *d)
{
	bool input = d->input;
	struct tpl_value v;

	skip(d);
	tpl_step(d->r, 1);
	if (d->p == d->end)
		bad(d, "a value is missing");
	if (++d->depth > MAX_NESTING)
		bad(d, "nested too deeply");
	switch (*d->p) {
	case '"':
		d->p++;
		v = read_text(d);
		break;
	case '[':
		d->p++;
		v = read_list(d);
		break;
	case '{':
		d->p++;
		v = read_dict(d, NULL);
		break;
	default:
		if (word(d, "true"))
			v = tpl_bool(true);
		else if (word(d, "false"))
			v = tpl_bool(false);
		else if (word(d, "null"))
			v = tpl_none();
		else if (*d->p == '-' || g_ascii_isdigit(*d->p))
			v = read_number(d);
		else
			bad(d, "unexpected character");
	}
	d->depth--;
	d->input = input;
	if (input && v.type != TPL_STR)
		v.flags |= TPL_INPUT;
	return v;
}

struct tpl_value tpl_read_json(struct tpl_render *r, const char *text, size_t len,
			       const char *const *trusted)
{
	struct reader d = { .r = r, .start = text, .p = text, .end = text + len, .input = true };
	struct tpl_value v, *messages;

	if (!tpl_utf8_valid(text, len))
		bad(&d, "not UTF-8");
	if (!take(&d, '{'))
		bad(&d, "not an object");
	v = read_dict(&d, trusted);
	skip(&d);
	if (d.p < d.end)
		bad(&d, "something follows the object");
	messages = tpl_get_name(r, v.u.d, "messages", 8);
	if (messages)
		trust_roles(r, *messages);
	return v;
}
