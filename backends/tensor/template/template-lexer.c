/* SPDX-License-Identifier: MIT */
/*
 * template-lexer.c - cuts a chat template into tokens.
 *
 * Called by weir_template_parse(), on its thread. White space control is settled here: trim_blocks
 * (the line end after a block tag goes), lstrip_blocks (blanks before a block tag that starts its
 * line go), "-" and "+" signs, raw blocks, comments. The token list always ends with TOK_EOF.
 */
#include "template-ast.h"

#include <glib.h>
#include <stdio.h>

#define MAX_NESTING 256

struct lexer {
	struct tpl_render *r;
	const char *p, *end;
	const char *line_start;
	uint32_t line;
	struct tpl_token *token;
	size_t n, cap;
	bool line_starting; /* the last match ended with a line end */
};

static _Noreturn void lex_fail(struct lexer *l, const char *at, const char *what)
{
	uint32_t line = l->line;
	const char *start = l->line_start;

	for (const char *q = start; q < at; q++)
		if (*q == '\n') {
			line++;
			start = q + 1;
		}
	tpl_fail_at(l->r, WEIR_E_INVALID, line, (uint32_t)(at - start) + 1, "%s", what);
}

static struct tpl_token *add(struct lexer *l, int type, const char *text, size_t len)
{
	struct tpl_token *t;

	l->token = tpl_grow(l->r, l->token, l->n, &l->cap, sizeof(*l->token));
	t = &l->token[l->n++];
	*t = (struct tpl_token){ .type = (uint8_t)type,
				 .line = l->line,
				 .column = (uint32_t)(text - l->line_start) + 1,
				 .text = text,
				 .len = len };
	return t;
}

/* Moves on to `to`, counting lines. */
static void advance(struct lexer *l, const char *to)
{
	for (; l->p < to; l->p++)
		if (*l->p == '\n') {
			l->line++;
			l->line_start = l->p + 1;
		}
}

static const char *skip_space(const char *p, const char *end)
{
	size_t n;

	while (p < end && tpl_is_space(tpl_char(p, end, &n)))
		p += n;
	return p;
}

static const char *back_over_space(const char *start, const char *end)
{
	while (end > start) {
		const char *q = end - 1;
		size_t n;

		while (q > start && ((uint8_t)*q & 0xc0) == 0x80)
			q--;
		if (!tpl_is_space(tpl_char(q, end, &n)))
			break;
		end = q;
	}
	return end;
}

static bool starts(const char *p, const char *end, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(end - p) >= n && !memcmp(p, text, n);
}

/* Template text before a tag, cut as the tag's sign demands. */
static void data(struct lexer *l, const char *start, const char *end, char sign, bool variable)
{
	const char *cut = end;

	if (sign == '-') {
		cut = back_over_space(start, end);
	} else if (sign != '+' && !variable) {
		const char *line = end;

		while (line > start && line[-1] != '\n')
			line--;
		if ((line > start || l->line_starting) && skip_space(line, end) == end)
			cut = line;
	}
	if (cut > start)
		add(l, TOK_DATA, start, (size_t)(cut - start));
}

/* Behind the end of a block or comment tag: what its sign and trim_blocks remove. `p` is at the
 * sign or the closing brace pair `close`; NULL when the tag does not end here. */
static const char *tag_end(const char *p, const char *end, const char *close, bool trim, bool plus)
{
	char sign = 0;

	if (p < end && (*p == '-' || (*p == '+' && plus)))
		sign = *p++;
	if (!starts(p, end, close))
		return NULL;
	p += 2;
	if (sign == '-')
		return skip_space(p, end);
	if (!sign && trim && p < end && *p == '\n')
		p++;
	return p;
}

static void comment(struct lexer *l, const char *p)
{
	for (; p < l->end; p++) {
		const char *q = tag_end(p, l->end, "#}", true, true);

		if (q) {
			advance(l, q);
			l->line_starting = q[-1] == '\n';
			return;
		}
	}
	lex_fail(l, l->p, "a comment is not closed by '#}'");
}

/* `p` is behind the "{%" of a possible raw tag. */
static bool raw(struct lexer *l, const char *p)
{
	const char *body, *q, *e;

	if (p < l->end && (*p == '-' || *p == '+'))
		p++;
	p = skip_space(p, l->end);
	if (!starts(p, l->end, "raw"))
		return false;
	p = skip_space(p + 3, l->end);
	body = tag_end(p, l->end, "%}", false, false);
	if (!body)
		return false;
	for (q = body; q < l->end; q++) {
		char sign = 0;

		if (!starts(q, l->end, "{%"))
			continue;
		e = q + 2;
		if (e < l->end && (*e == '-' || *e == '+'))
			sign = *e++;
		e = skip_space(e, l->end);
		if (!starts(e, l->end, "endraw"))
			continue;
		e = tag_end(skip_space(e + 6, l->end), l->end, "%}", true, true);
		if (!e)
			continue;
		advance(l, body);
		l->line_starting = body[-1] == '\n';
		data(l, body, q, sign, false);
		advance(l, e);
		l->line_starting = e[-1] == '\n';
		return true;
	}
	lex_fail(l, l->p, "a raw block is not closed by '{% endraw %}'");
}

static int hex_digits(const char *p, const char *end, int n, uint32_t *ret)
{
	*ret = 0;
	for (int i = 0; i < n; i++) {
		if (p + i >= end || !g_ascii_isxdigit(p[i]))
			return 0;
		*ret = *ret << 4 | (uint32_t)g_ascii_xdigit_value(p[i]);
	}
	return n;
}

/* Python's escapes; p is behind the backslash. Gives the place behind the escape. */
static const char *escape(struct lexer *l, struct tpl_buf *b, const char *p, const char *end)
{
	static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
	const char *simple = *p ? strchr(from, *p) : NULL;
	uint32_t c = 0;
	int n;

	if (*p == '\n')
		return p + 1;
	if (simple) {
		tpl_put(l->r, b, &to[simple - from], 1, false);
		return p + 1;
	}
	if (*p >= '0' && *p <= '7') {
		for (n = 0; n < 3 && p < end && *p >= '0' && *p <= '7'; n++)
			c = c * 8 + (uint32_t)(*p++ - '0');
		tpl_put_char(l->r, b, c, false);
		return p;
	}
	n = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
	if (n) {
		if (!hex_digits(p + 1, end, n, &c) || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			lex_fail(l, p, "not a valid escape of a character");
		tpl_put_char(l->r, b, c, false);
		return p + 1 + n;
	}
	if (*p == 'N')
		lex_fail(l, p, "escapes by character name are not supported");
	tpl_put(l->r, b, "\\", 1, false);
	return p;
}

static void string(struct lexer *l)
{
	const char *start = l->p, *p = start + 1;
	struct tpl_buf b = { 0 };
	struct tpl_token *t;

	while (p < l->end && *p != *start) {
		const char *q = p;

		while (q < l->end && *q != *start && *q != '\\')
			q++;
		tpl_put(l->r, &b, p, (size_t)(q - p), false);
		p = q;
		if (p + 1 < l->end && *p == '\\')
			p = escape(l, &b, p + 1, l->end);
		else if (p < l->end && *p == '\\')
			break;
	}
	if (p >= l->end || *p != *start)
		lex_fail(l, start, "a string is not closed");
	t = add(l, TOK_STRING, start, (size_t)(p + 1 - start));
	t->value = tpl_buf_value(l->r, &b);
	tpl_chars(t->value.u.s);
	advance(l, p + 1);
}

static const char *digits(const char *p, const char *end)
{
	while (p < end &&
	       (g_ascii_isdigit(*p) ||
		(*p == '_' && p + 1 < end && g_ascii_isdigit(p[1]) && g_ascii_isdigit(p[-1]))))
		p++;
	return p;
}

/* A float if it has a fraction or an exponent; not right behind a dot (a.0.1 are two items). */
static bool float_number(struct lexer *l)
{
	const char *p = digits(l->p, l->end), *q = p, *e;
	bool after_dot =
		l->n && l->token[l->n - 1].type == TOK_DOT && l->token[l->n - 1].text + 1 == l->p;
	char text[400];
	size_t n = 0;

	if (after_dot)
		return false;
	if (q + 1 < l->end && *q == '.' && g_ascii_isdigit(q[1]))
		q = digits(q + 2, l->end);
	e = q;
	if (e < l->end && (*e == 'e' || *e == 'E')) {
		e++;
		if (e < l->end && (*e == '+' || *e == '-'))
			e++;
		if (e < l->end && g_ascii_isdigit(*e))
			q = digits(e + 1, l->end);
	}
	if (q == p)
		return false;
	for (e = l->p; e < q; e++)
		if (*e != '_') {
			if (n + 1 >= sizeof(text))
				lex_fail(l, l->p, "the number has too many digits");
			text[n++] = *e;
		}
	text[n] = 0;
	add(l, TOK_FLOAT, l->p, (size_t)(q - l->p))->value = tpl_float(g_ascii_strtod(text, NULL));
	advance(l, q);
	return true;
}

static void integer(struct lexer *l)
{
	static const char kinds[] = "bBoOxX";
	const char *p = l->p, *kind;
	struct tpl_token *t;
	uint64_t v = 0;
	unsigned base = 10;
	bool big = false;
	char text[400];
	size_t n = 0;

	if (*p == '0' && p + 1 < l->end && p[1] && (kind = strchr(kinds, p[1])) != NULL) {
		static const uint8_t bases[] = { 2, 2, 8, 8, 16, 16 };
		const char *q = p + 2 + (p + 2 < l->end && p[2] == '_');
		int d = q < l->end ? g_ascii_xdigit_value(*q) : -1;

		if (d >= 0 && d < bases[kind - kinds]) {
			base = bases[kind - kinds];
			p = q;
		}
	}
	for (; p < l->end; p++) {
		int d = g_ascii_xdigit_value(*p);

		if (*p == '_' && p + 1 < l->end) {
			d = g_ascii_xdigit_value(p[1]);
			if (d < 0 || d >= (int)base || p[-1] == '_')
				break;
			continue;
		}
		if (d < 0 || d >= (int)base)
			break;
		/* "012" is a zero and a twelve, so no number of Python's */
		if (base == 10 && n == 1 && text[0] == '0' && d)
			break;
		if (n + 1 >= sizeof(text))
			lex_fail(l, l->p, "the number has too many digits");
		if (!(base == 10 && n == 1 && text[0] == '0'))
			text[n++] = *p;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v) || v > INT64_MAX)
			big = true;
	}
	if (big && base != 10)
		lex_fail(l, l->p, "the number is beyond 64 bits");
	t = add(l, TOK_INTEGER, l->p, (size_t)(p - l->p));
	t->value = tpl_int((int64_t)v);
	if (big) {
		t->value = tpl_str(l->r, text, n, false);
		t->value.type = TPL_BIG;
	}
	advance(l, p);
}

static void name(struct lexer *l)
{
	const char *p = l->p;
	size_t n;

	while (p < l->end) {
		uint32_t c = tpl_char(p, l->end, &n);

		if (c != '_' && !g_unichar_isalnum(c) && !(c >= 0x80 && g_unichar_ismark(c)))
			break;
		p += n;
	}
	if (p == l->p)
		lex_fail(l, l->p, "unexpected character");
	add(l, TOK_NAME, l->p, (size_t)(p - l->p));
	advance(l, p);
}

static int operator_at(const char *p, const char *end, size_t *ret_len)
{
	static const struct {
		const char *text;
		int type;
	} ops[] = {
		{ "//", TOK_FLOORDIV }, { "**", TOK_POW },      { "==", TOK_EQ },
		{ "!=", TOK_NE },       { ">=", TOK_GE },       { "<=", TOK_LE },
		{ "+", TOK_ADD },       { "-", TOK_SUB },       { "/", TOK_DIV },
		{ "*", TOK_MUL },       { "%", TOK_MOD },       { "~", TOK_TILDE },
		{ "[", TOK_LBRACKET },  { "]", TOK_RBRACKET },  { "(", TOK_LPAREN },
		{ ")", TOK_RPAREN },    { "{", TOK_LBRACE },    { "}", TOK_RBRACE },
		{ ">", TOK_GT },        { "<", TOK_LT },        { "=", TOK_ASSIGN },
		{ ".", TOK_DOT },       { ":", TOK_COLON },     { "|", TOK_PIPE },
		{ ",", TOK_COMMA },     { ";", TOK_SEMICOLON },
	};

	for (size_t i = 0; i < TPL_LEN(ops); i++)
		if (starts(p, end, ops[i].text)) {
			*ret_len = strlen(ops[i].text);
			return ops[i].type;
		}
	return -1;
}

/* The inside of one tag, up to and with its end. */
static void tag(struct lexer *l, bool variable)
{
	const char *close = variable ? "}}" : "%}";
	const char *opened = l->p;
	char stack[MAX_NESTING];
	size_t n_stack = 0, n;

	while (l->p < l->end) {
		const char *q = skip_space(l->p, l->end);
		int op;

		if (q > l->p) {
			advance(l, q);
			continue;
		}
		q = n_stack ? NULL : tag_end(l->p, l->end, close, !variable, !variable);
		if (q) {
			add(l, variable ? TOK_VARIABLE_END : TOK_BLOCK_END, l->p, 0);
			advance(l, q);
			l->line_starting = q[-1] == '\n';
			return;
		}
		if (g_ascii_isdigit(*l->p)) {
			if (!float_number(l))
				integer(l);
			continue;
		}
		if (*l->p == '\'' || *l->p == '"') {
			string(l);
			continue;
		}
		op = operator_at(l->p, l->end, &n);
		if (op < 0) {
			name(l);
			continue;
		}
		if (op == TOK_LBRACKET || op == TOK_LPAREN || op == TOK_LBRACE) {
			if (n_stack == MAX_NESTING)
				lex_fail(l, l->p, "brackets are nested too deeply");
			stack[n_stack++] = (char)(op + 1);
		} else if (op == TOK_RBRACKET || op == TOK_RPAREN || op == TOK_RBRACE) {
			if (!n_stack || stack[--n_stack] != op)
				lex_fail(l, l->p, "a closing bracket without its opening one");
		}
		add(l, op, l->p, n);
		advance(l, l->p + n);
	}
	lex_fail(l, opened,
		 variable ? "an expression is not closed by '}}'" : "a tag is not closed by '%}'");
}

/* All line ends become "\n"; the last one goes. */
static void normalize(struct lexer *l, struct weir_str source)
{
	char *copy = tpl_alloc(l->r, source.len + 1, 1);
	size_t n = 0;

	for (size_t i = 0; i < source.len; i++) {
		char c = source.data[i];

		if (c == '\r') {
			if (i + 1 < source.len && source.data[i + 1] == '\n')
				i++;
			c = '\n';
		}
		copy[n++] = c;
	}
	if (n && copy[n - 1] == '\n')
		n--;
	l->p = l->line_start = copy;
	l->end = copy + n;
	l->line = 1;
	l->line_starting = true;
}

struct tpl_token *tpl_tokenize(struct tpl_render *r, struct weir_str source, size_t *ret_n)
{
	struct lexer l = { .r = r };

	normalize(&l, source);
	while (l.p < l.end) {
		const char *q = l.p, *inside;
		char kind, sign;

		while (q < l.end && !(*q == '{' && q + 1 < l.end && strchr("%{#", q[1]) && q[1]))
			q++;
		if (q == l.end) {
			add(&l, TOK_DATA, l.p, (size_t)(q - l.p));
			advance(&l, q);
			break;
		}
		kind = q[1];
		sign = q + 2 < l.end ? q[2] : 0;
		inside = q + 2 + (sign == '-' || sign == '+');
		data(&l, l.p, q, sign, kind == '{');
		advance(&l, q);
		if (kind == '%' && raw(&l, q + 2))
			continue;
		if (kind == '#') {
			comment(&l, inside);
			continue;
		}
		add(&l, kind == '{' ? TOK_VARIABLE_BEGIN : TOK_BLOCK_BEGIN, q, 0);
		advance(&l, inside);
		tag(&l, kind == '{');
	}
	add(&l, TOK_EOF, l.p, 0);
	*ret_n = l.n;
	return l.token;
}
