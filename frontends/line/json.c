/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/json.c - see json.h.
 */
#include "json.h"

#include <math.h>
#include <string.h>

struct scan {
	struct json_doc *doc;
	const char *p, *end;
	const char *what;
	uint32_t open[JSON_MAX_DEPTH]; /* the containers around p */
	uint32_t depth;
};

static bool fail(struct scan *s, const char *what)
{
	s->what = what;
	return false;
}

static bool at(const struct scan *s, char c)
{
	return s->p < s->end && *s->p == c;
}

static void skip_blanks(struct scan *s)
{
	while (at(s, ' ') || at(s, '\t') || at(s, '\n') || at(s, '\r'))
		s->p++;
}

static uint32_t add(struct scan *s, enum json_type type)
{
	struct json_doc *d = s->doc;
	if (d->n_nodes == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 64;
		d->nodes = g_renew(struct json_node, d->nodes, d->cap);
	}
	d->nodes[d->n_nodes] =
		(struct json_node){ .start = (uint32_t)(s->p - d->text), .type = type };
	return d->n_nodes++;
}

static void close_node(struct scan *s, uint32_t node)
{
	s->doc->nodes[node].end = (uint32_t)(s->p - s->doc->text);
	s->doc->nodes[node].next = s->doc->n_nodes;
}

static bool hex4(struct scan *s, unsigned *ret)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++, s->p++) {
		int d = s->p < s->end ? g_ascii_xdigit_value(*s->p) : -1;
		if (d < 0)
			return fail(s, "\\u needs four hexadecimal digits");
		v = v * 16 + (unsigned)d;
	}
	*ret = v;
	return true;
}

static bool escape(struct scan *s)
{
	unsigned v, low;
	if (++s->p == s->end)
		return fail(s, "the text ends inside a string");
	char c = *s->p++;
	if (c != 'u')
		return (c && strchr("\"\\/bfnrt", c)) || fail(s, "unknown escape in a string");
	if (!hex4(s, &v))
		return false;
	if (v == 0)
		return fail(s, "\\u0000 is not supported in a string");
	if (v < 0xd800 || v > 0xdfff)
		return true;
	if (v > 0xdbff || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
		return fail(s, "half of a surrogate pair in a string");
	s->p += 2;
	if (!hex4(s, &low))
		return false;
	return (low >= 0xdc00 && low <= 0xdfff) || fail(s, "half of a surrogate pair in a string");
}

static bool string(struct scan *s)
{
	uint32_t node = add(s, JSON_TYPE_STRING);
	s->p++;
	while (!at(s, '"')) {
		if (s->p == s->end)
			return fail(s, "the text ends inside a string");
		unsigned char c = (unsigned char)*s->p;
		if (c == '\\') {
			if (!escape(s))
				return false;
		} else if (c < ' ') {
			return fail(s, "a control character in a string must be escaped");
		} else if (c < 0x80) {
			s->p++;
		} else {
			/* Negative values also for what Unicode does not assign to characters. */
			gunichar rune = g_utf8_get_char_validated(s->p, s->end - s->p);
			if (rune >= 0x110000)
				return fail(s, "the text is not valid UTF-8");
			s->p = g_utf8_next_char(s->p);
		}
	}
	s->p++;
	close_node(s, node);
	return true;
}

static bool digits(struct scan *s)
{
	const char *start = s->p;
	while (s->p < s->end && g_ascii_isdigit(*s->p))
		s->p++;
	return s->p > start || fail(s, "a number lacks digits");
}

static bool number(struct scan *s)
{
	uint32_t node = add(s, JSON_TYPE_NUMBER);
	if (at(s, '-'))
		s->p++;
	if (at(s, '0')) {
		s->p++;
		if (s->p < s->end && g_ascii_isdigit(*s->p))
			return fail(s, "a number begins with 0");
	} else if (!digits(s)) {
		return false;
	}
	if (at(s, '.')) {
		s->p++;
		if (!digits(s))
			return false;
	}
	if (at(s, 'e') || at(s, 'E')) {
		s->p++;
		if (at(s, '+') || at(s, '-'))
			s->p++;
		if (!digits(s))
			return false;
	}
	close_node(s, node);
	return true;
}

static bool word(struct scan *s, const char *w, enum json_type type)
{
	size_t n = strlen(w);
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, w, n) != 0)
		return fail(s, "a value is expected");
	uint32_t node = add(s, type);
	s->p += n;
	close_node(s, node);
	return true;
}

static bool scalar(struct scan *s)
{
	switch (*s->p) {
	case '"':
		return string(s);
	case 't':
		return word(s, "true", JSON_TYPE_TRUE);
	case 'f':
		return word(s, "false", JSON_TYPE_FALSE);
	case 'n':
		return word(s, "null", JSON_TYPE_NULL);
	default:
		if (*s->p != '-' && !g_ascii_isdigit(*s->p))
			return fail(s, "a value is expected");
		return number(s);
	}
}

static bool in_object(const struct scan *s)
{
	return s->doc->nodes[s->open[s->depth - 1]].type == JSON_TYPE_OBJECT;
}

static bool member_name(struct scan *s)
{
	skip_blanks(s);
	if (!at(s, '"'))
		return fail(s, "a member name in quotes is expected");
	if (!string(s))
		return false;
	skip_blanks(s);
	if (!at(s, ':'))
		return fail(s, "a colon is expected");
	s->p++;
	return true;
}

/* Reads one scalar, or the opening of a container that is not empty: *ret_open. */
static bool value(struct scan *s, bool *ret_open)
{
	skip_blanks(s);
	*ret_open = false;
	if (s->p == s->end)
		return fail(s, "the text ends where a value is expected");
	if (*s->p != '{' && *s->p != '[')
		return scalar(s);
	if (s->depth == JSON_MAX_DEPTH)
		return fail(s, "the nesting is too deep");
	bool object = *s->p == '{';
	s->open[s->depth++] = add(s, object ? JSON_TYPE_OBJECT : JSON_TYPE_ARRAY);
	s->p++;
	skip_blanks(s);
	if (at(s, object ? '}' : ']'))
		return true; /* empty: after_value() closes it */
	*ret_open = true;
	return !object || member_name(s);
}

/* After a value: closes what closes. *ret_more: another value follows. */
static bool after_value(struct scan *s, bool *ret_more)
{
	*ret_more = false;
	while (s->depth) {
		bool object = in_object(s);
		skip_blanks(s);
		if (s->p == s->end)
			return fail(s, "the text ends inside an object or array");
		if (at(s, ',')) {
			s->p++;
			*ret_more = true;
			return !object || member_name(s);
		}
		if (!at(s, object ? '}' : ']'))
			return fail(s, "a comma or a closing bracket is expected");
		s->p++;
		close_node(s, s->open[--s->depth]);
	}
	skip_blanks(s);
	return s->p == s->end || fail(s, "there is text behind the value");
}

static bool document(struct scan *s)
{
	bool more = true, open;
	while (more) {
		if (!value(s, &open))
			return false;
		if (!open && !after_value(s, &more))
			return false;
	}
	return true;
}

bool json_parse(const char *text, size_t len, struct json_doc *ret, struct json_fault *ret_fault)
{
	struct scan s = { .doc = ret, .p = text, .end = text + len };
	*ret = (struct json_doc){ .text = text };
	bool ok = len <= JSON_MAX_TEXT ? document(&s) : fail(&s, "the text is too long");
	if (!ok)
		*ret_fault = (struct json_fault){ s.what, (size_t)(s.p - text) };
	return ok;
}

void json_doc_clear(struct json_doc *d)
{
	g_free(d->nodes);
	*d = (struct json_doc){ .text = NULL };
}

/* ---- access ---- */

enum json_type json_type_of(const struct json_doc *d, uint32_t node)
{
	return (enum json_type)d->nodes[node].type;
}

struct weir_str json_span(const struct json_doc *d, uint32_t node)
{
	const struct json_node *n = &d->nodes[node];
	return (struct weir_str){ d->text + n->start, n->end - n->start };
}

uint32_t json_member(const struct json_doc *d, uint32_t object, const char *name)
{
	uint32_t found = JSON_ABSENT;
	if (json_type_of(d, object) != JSON_TYPE_OBJECT)
		return JSON_ABSENT;
	for (uint32_t i = object + 1; i < d->nodes[object].next; i = d->nodes[i + 1].next)
		if (json_equals(d, i, name))
			found = i + 1;
	return found && json_type_of(d, found) != JSON_TYPE_NULL ? found : JSON_ABSENT;
}

uint32_t json_count(const struct json_doc *d, uint32_t container)
{
	uint32_t n = 0;
	for (uint32_t i = container + 1; i < d->nodes[container].next; i = d->nodes[i].next)
		n++;
	return json_type_of(d, container) == JSON_TYPE_OBJECT ? n / 2 : n;
}

static unsigned read_hex4(const char *p)
{
	unsigned v = 0;
	for (int i = 0; i < 4; i++)
		v = v * 16 + (unsigned)g_ascii_xdigit_value(p[i]);
	return v;
}

/* The escape at p (behind the backslash); it has been checked. */
static const char *put_unescaped(GString *out, const char *p)
{
	static const char codes[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *code = strchr(codes, *p);
	if (*p != 'u') {
		g_string_append_c(out, code ? values[code - codes] : *p);
		return p + 1;
	}
	unsigned v = read_hex4(p + 1);
	p += 5;
	if (v >= 0xd800 && v <= 0xdbff) {
		v = 0x10000 + ((v - 0xd800) << 10) + (read_hex4(p + 2) - 0xdc00);
		p += 6;
	}
	g_string_append_unichar(out, v);
	return p;
}

char *json_string(const struct json_doc *d, uint32_t node)
{
	if (json_type_of(d, node) != JSON_TYPE_STRING)
		return NULL;
	struct weir_str span = json_span(d, node);
	const char *p = span.data + 1, *end = span.data + span.len - 1;
	GString *out = g_string_sized_new(span.len);
	while (p < end) {
		const char *run = memchr(p, '\\', (size_t)(end - p));
		g_string_append_len(out, p, (run ? run : end) - p);
		p = run ? put_unescaped(out, run + 1) : end;
	}
	return g_string_free(out, FALSE);
}

bool json_equals(const struct json_doc *d, uint32_t node, const char *text)
{
	struct weir_str span = json_span(d, node);
	size_t n = strlen(text);
	if (json_type_of(d, node) != JSON_TYPE_STRING)
		return false;
	if (!memchr(span.data, '\\', span.len))
		return span.len == n + 2 && memcmp(span.data + 1, text, n) == 0;
	if (span.len > 6 * n + 2)
		return false;
	g_autofree char *plain = json_string(d, node);
	return strcmp(plain, text) == 0;
}

bool json_number(const struct json_doc *d, uint32_t node, double *ret)
{
	if (json_type_of(d, node) != JSON_TYPE_NUMBER)
		return false;
	struct weir_str span = json_span(d, node);
	g_autofree char *text = g_strndup(span.data, span.len);
	*ret = g_ascii_strtod(text, NULL);
	return true;
}

bool json_integer(const struct json_doc *d, uint32_t node, int64_t *ret)
{
	if (json_type_of(d, node) != JSON_TYPE_NUMBER)
		return false;
	struct weir_str span = json_span(d, node);
	g_autofree char *text = g_strndup(span.data, span.len);
	return g_ascii_string_to_signed(text, 10, INT64_MIN, INT64_MAX, ret, NULL);
}

/* ---- writing ---- */

static void put_special(GString *out, unsigned char c)
{
	static const char codes[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *value = c ? strchr(values, c) : NULL;
	if (c == '"' || c == '\\')
		g_string_append_printf(out, "\\%c", c);
	else if (value)
		g_string_append_printf(out, "\\%c", codes[value - values]);
	else
		g_string_append_printf(out, "\\u%04x", c);
}

void json_put_string(GString *out, const char *text, size_t len)
{
	size_t from = 0, i = 0;
	g_string_append_c(out, '"');
	while (i < len) {
		unsigned char c = (unsigned char)text[i];
		bool plain = c >= ' ' && c != '"' && c != '\\' && c < 0x7f;
		gunichar rune =
			c < 0x80 ? c : g_utf8_get_char_validated(text + i, (gssize)(len - i));
		if (plain || (c >= 0x80 && rune < 0x110000)) {
			i += plain ? 1 : (size_t)(g_utf8_next_char(text + i) - (text + i));
			continue;
		}
		if (i > from)
			g_string_append_len(out, text + from, (gssize)(i - from));
		if (c >= 0x80)
			g_string_append(out, "\xef\xbf\xbd");
		else
			put_special(out, c);
		from = ++i;
	}
	if (len > from)
		g_string_append_len(out, text + from, (gssize)(len - from));
	g_string_append_c(out, '"');
}

void json_put_cstring(GString *out, const char *text)
{
	if (text)
		json_put_string(out, text, strlen(text));
	else
		g_string_append(out, "null");
}

void json_put_logprob(GString *out, float value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	double v = value < -9999.0f ? -9999.0 : value > 0.0f ? 0.0 : (double)value;
	if (isnan(value))
		g_string_append(out, "null");
	else
		g_string_append(out, g_ascii_formatd(text, sizeof(text), "%.7g", v));
}

void json_put_compact(GString *out, const struct json_doc *d, uint32_t node)
{
	struct weir_str span = json_span(d, node);
	bool inside = false;
	for (size_t i = 0; i < span.len; i++) {
		char c = span.data[i];
		if (!inside && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
			continue;
		g_string_append_c(out, c);
		if (inside && c == '\\')
			g_string_append_c(out, span.data[++i]);
		else if (c == '"')
			inside = !inside;
	}
}
