/*
 * grammar-json.c - see grammar-json.h.
 */
#include "grammar-json.h"
#include "fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) char data[];
};

struct weir_json_tree {
	struct chunk *chunks;
	struct weir_json *root;
};

struct reader {
	struct weir_json_tree *tree;
	const char *start, *at, *end;
	const char *wrong; /* what; NULL: out of memory */
};

static void *take(struct weir_json_tree *t, size_t size)
{
	struct chunk *c = t->chunks;
	void *at;

	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK ? size : CHUNK;

		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct chunk){ t->chunks, 0, room };
		t->chunks = c;
	}
	at = c->data + c->used;
	c->used += size;
	return at;
}

unsigned weir_rune_put(uint32_t r, char *out)
{
	unsigned n = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;

	if (n == 1) {
		out[0] = (char)r;
		return 1;
	}
	for (unsigned i = n - 1; i > 0; i--, r >>= 6)
		out[i] = (char)(0x80 | (r & 0x3f));
	out[0] = (char)((0xf00 >> n) | r);
	return n;
}

uint32_t weir_rune_next(const char *data, size_t len, size_t *at)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)data + *at;
	unsigned n = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;
	uint32_t r = n < 2 ? p[0] : p[0] & (0x7fu >> n);

	if (n == 0 || n > len - *at)
		goto wrong;
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			goto wrong;
		r = r << 6 | (p[i] & 0x3fu);
	}
	if (r < least[n] || r > 0x10ffff || (r >= 0xd800 && r < 0xe000))
		goto wrong;
	*at += n;
	return r;
wrong:
	*at += 1;
	return 0xfffd;
}

/* --- reading ------------------------------------------------------------------------------- */

static bool wrong(struct reader *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
	return false;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool read_hex(struct reader *r, uint32_t *ret)
{
	uint32_t value = 0;

	if (r->end - r->at < 4)
		return wrong(r, "a \\u needs four hexadecimal digits");
	for (int i = 0; i < 4; i++) {
		char c = *r->at++;
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return wrong(r, "a \\u needs four hexadecimal digits");
		value = value * 16 + (uint32_t)digit;
	}
	*ret = value;
	return true;
}

static bool read_escape(struct reader *r, char **out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint32_t rune, low;
	const char *found;
	char c;

	if (r->at == r->end)
		return wrong(r, "a string has no end");
	c = *r->at++;
	found = c ? strchr(from, c) : NULL;
	if (found) {
		*(*out)++ = to[found - from];
		return true;
	}
	if (c != 'u')
		return wrong(r, "there is no such escape");
	if (!read_hex(r, &rune))
		return false;
	if (rune >= 0xd800 && rune < 0xdc00) {
		if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
			return wrong(r, "half of a surrogate pair");
		r->at += 2;
		if (!read_hex(r, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return wrong(r, "half of a surrogate pair");
		rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
	} else if (rune >= 0xdc00 && rune < 0xe000) {
		return wrong(r, "half of a surrogate pair");
	}
	*out += weir_rune_put(rune, *out);
	return true;
}

static bool read_string(struct reader *r, struct weir_str *ret)
{
	const char *close = r->at;
	char *text, *out;

	for (; close < r->end && *close != '"'; close++)
		close += *close == '\\';
	if (close >= r->end)
		return wrong(r, "a string has no end");
	text = out = take(r->tree, (size_t)(close - r->at) + 1);
	if (!text)
		return false;
	while (*r->at != '"') {
		size_t at = 0, left = (size_t)(close - r->at);

		if (*r->at == '\\') {
			r->at++;
			if (!read_escape(r, &out))
				return false;
			continue;
		}
		if ((unsigned char)*r->at < 0x20)
			return wrong(r, "a control character in a string");
		if (weir_rune_next(r->at, left, &at) == 0xfffd && at == 1)
			return wrong(r, "a string is no valid UTF-8");
		memcpy(out, r->at, at);
		out += at;
		r->at += at;
	}
	r->at++;
	*out = '\0';
	*ret = (struct weir_str){ text, (size_t)(out - text) };
	return true;
}

static bool digits(struct reader *r)
{
	const char *from = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return r->at > from || wrong(r, "a number is not complete");
}

static bool read_number(struct reader *r, struct weir_str *ret)
{
	const char *from = r->at;

	if (*r->at == '-')
		r->at++;
	if (r->at < r->end && *r->at == '0')
		r->at++;
	else if (!digits(r))
		return false;
	if (r->at < r->end && *r->at == '.') {
		r->at++;
		if (!digits(r))
			return false;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		r->at++;
		if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
			r->at++;
		if (!digits(r))
			return false;
	}
	*ret = (struct weir_str){ from, (size_t)(r->at - from) };
	return true;
}

static bool word(struct reader *r, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
		return wrong(r, "there is no value here");
	r->at += n;
	return true;
}

static bool read_value(struct reader *r, struct weir_json *v, int depth);

static bool read_children(struct reader *r, struct weir_json *v, int depth)
{
	char close = v->type == WEIR_JSON_OBJECT ? '}' : ']';
	struct weir_json **last = &v->first;

	if (depth >= WEIR_JSON_DEPTH)
		return wrong(r, "nested too deeply");
	r->at++;
	skip_space(r);
	if (r->at < r->end && *r->at == close) {
		r->at++;
		return true;
	}
	for (;;) {
		struct weir_json *child = take(r->tree, sizeof(*child));

		if (!child)
			return false;
		*child = (struct weir_json){ .parent = v, .index = v->n++ };
		skip_space(r);
		if (v->type == WEIR_JSON_OBJECT) {
			if (r->at == r->end || *r->at != '"')
				return wrong(r, "a name in quotes is missing");
			r->at++;
			if (!read_string(r, &child->key))
				return false;
			skip_space(r);
			if (r->at == r->end || *r->at != ':')
				return wrong(r, "a colon is missing");
			r->at++;
			skip_space(r);
		}
		if (!read_value(r, child, depth + 1))
			return false;
		*last = child;
		last = &child->next;
		skip_space(r);
		if (r->at < r->end && *r->at == close) {
			r->at++;
			return true;
		}
		if (r->at == r->end || *r->at != ',')
			return wrong(r, "a comma or the end is missing");
		r->at++;
	}
}

static bool read_value(struct reader *r, struct weir_json *v, int depth)
{
	char c = r->at < r->end ? *r->at : '\0';

	if (c == '{' || c == '[') {
		v->type = c == '{' ? WEIR_JSON_OBJECT : WEIR_JSON_ARRAY;
		return read_children(r, v, depth);
	}
	if (c == '"') {
		v->type = WEIR_JSON_STRING;
		r->at++;
		return read_string(r, &v->text);
	}
	if (c == '-' || (c >= '0' && c <= '9')) {
		v->type = WEIR_JSON_NUMBER;
		return read_number(r, &v->text);
	}
	v->type = c == 't' ? WEIR_JSON_TRUE : c == 'f' ? WEIR_JSON_FALSE : WEIR_JSON_NULL;
	return word(r, c == 't' ? "true" : c == 'f' ? "false" : "null");
}

/* Numbers point into the text: it must not go before the tree. */
static char *copy_text(struct weir_json_tree *t, struct weir_str text)
{
	char *copy = take(t, text.len + 1);

	if (copy && text.len > 0)
		memcpy(copy, text.data, text.len);
	return copy;
}

weir_status weir_json_read(struct weir_str text, struct weir_json_tree **ret,
			   struct weir_error *err)
{
	struct weir_json_tree *t = calloc(1, sizeof(*t));
	struct reader r = { .tree = t };
	unsigned line = 1, column = 1;
	bool ok;

	r.start = r.at = t ? copy_text(t, text) : NULL;
	if (!r.at || !(t->root = take(t, sizeof(*t->root)))) {
		weir_json_free(t);
		return weir_fail(err, WEIR_E_EXHAUSTED, "JSON: out of memory");
	}
	r.end = r.start + text.len;
	*t->root = (struct weir_json){ 0 };
	skip_space(&r);
	ok = read_value(&r, t->root, 0);
	skip_space(&r);
	if (ok && r.at != r.end)
		ok = wrong(&r, "more text after the value");
	if (ok) {
		*ret = t;
		return WEIR_OK;
	}
	for (const char *p = r.start; p < r.at && p < r.end; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	weir_json_free(t);
	if (!r.wrong)
		return weir_fail(err, WEIR_E_EXHAUSTED, "JSON: out of memory");
	return weir_fail(err, WEIR_E_INVALID, "JSON, line %u, column %u: %s", line, column,
			 r.wrong);
}

void weir_json_free(struct weir_json_tree *t)
{
	struct chunk *c = t ? t->chunks : NULL;

	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
	free(t);
}

const struct weir_json *weir_json_root(const struct weir_json_tree *t)
{
	return t->root;
}

/* --- questions ----------------------------------------------------------------------------- */

const struct weir_json *weir_json_find(const struct weir_json *v, struct weir_str name)
{
	const struct weir_json *found = NULL;

	if (!v || v->type != WEIR_JSON_OBJECT)
		return NULL;
	for (const struct weir_json *c = v->first; c; c = c->next)
		if (c->key.len == name.len && memcmp(c->key.data, name.data, name.len) == 0)
			found = c;
	return found;
}

const struct weir_json *weir_json_get(const struct weir_json *v, const char *name)
{
	return weir_json_find(v, (struct weir_str){ name, strlen(name) });
}

bool weir_json_is(const struct weir_json *v, const char *text)
{
	return v && v->type == WEIR_JSON_STRING && v->text.len == strlen(text) &&
	       memcmp(v->text.data, text, v->text.len) == 0;
}

bool weir_json_equal(const struct weir_json *a, const struct weir_json *b)
{
	const struct weir_json *x, *y;

	if (a->type != b->type || (a->n != b->n && a->type == WEIR_JSON_ARRAY))
		return false;
	if (a->type == WEIR_JSON_NUMBER)
		return strtod(a->text.data, NULL) == strtod(b->text.data, NULL);
	if (a->type == WEIR_JSON_STRING)
		return a->text.len == b->text.len &&
		       memcmp(a->text.data, b->text.data, a->text.len) == 0;
	if (a->type == WEIR_JSON_ARRAY) {
		for (x = a->first, y = b->first; x; x = x->next, y = y->next)
			if (!weir_json_equal(x, y))
				return false;
		return true;
	}
	if (a->type != WEIR_JSON_OBJECT)
		return true;
	for (x = a->first; x; x = x->next) {
		y = weir_json_find(b, x->key);
		if (!y || !weir_json_equal(weir_json_find(a, x->key), y))
			return false;
	}
	for (y = b->first; y; y = y->next)
		if (!weir_json_find(a, y->key))
			return false;
	return true;
}

void weir_json_pointer(const struct weir_json *v, char *out, size_t cap)
{
	const struct weir_json *path[WEIR_JSON_DEPTH + 2];
	size_t n = 0, at = 1;

	if (cap < 8)
		return;
	for (; v && v->parent && n < WEIR_JSON_DEPTH + 2; v = v->parent)
		path[n++] = v;
	out[0] = '#';
	out[1] = '\0';
	while (n-- > 0) {
		char part[100];
		int len;

		if (path[n]->parent->type == WEIR_JSON_ARRAY)
			len = snprintf(part, sizeof(part), "/%u", path[n]->index);
		else
			len = snprintf(part, sizeof(part), "/%s", weir_quote(path[n]->key).text);
		if (at + (size_t)len + 5 > cap) {
			memcpy(out + at, "/...", 5);
			return;
		}
		memcpy(out + at, part, (size_t)len + 1);
		at += (size_t)len;
	}
}

/* --- writing ------------------------------------------------------------------------------- */

void weir_text_add(struct weir_text *t, const char *data, size_t len)
{
	if (t->failed || len == 0)
		return;
	if (t->cap - t->len < len) {
		size_t cap = (t->cap + len) * 2 + 64;
		char *more = realloc(t->data, cap);

		if (!more) {
			t->failed = true;
			return;
		}
		t->data = more;
		t->cap = cap;
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
}

void weir_text_clear(struct weir_text *t)
{
	free(t->data);
	memset(t, 0, sizeof(*t));
}

void weir_text_add_string(struct weir_text *t, struct weir_str s)
{
	static const char named[] = "\b\t\n\f\r\"\\", names[] = "btnfr\"\\";

	weir_text_add(t, "\"", 1);
	for (size_t i = 0; i < s.len; i++) {
		const char *found = s.data[i] ? strchr(named, s.data[i]) : NULL;
		char escape[8];

		if (found) {
			escape[0] = '\\';
			escape[1] = names[found - named];
			weir_text_add(t, escape, 2);
		} else if ((unsigned char)s.data[i] < 0x20) {
			weir_text_add(t, escape,
				      (size_t)snprintf(escape, sizeof(escape), "\\u%04x",
						       (unsigned)(unsigned char)s.data[i]));
		} else {
			weir_text_add(t, s.data + i, 1);
		}
	}
	weir_text_add(t, "\"", 1);
}

void weir_text_add_json(struct weir_text *t, const struct weir_json *v)
{
	bool object = v->type == WEIR_JSON_OBJECT;

	switch (v->type) {
	case WEIR_JSON_NULL:
		weir_text_add(t, "null", 4);
		return;
	case WEIR_JSON_FALSE:
		weir_text_add(t, "false", 5);
		return;
	case WEIR_JSON_TRUE:
		weir_text_add(t, "true", 4);
		return;
	case WEIR_JSON_NUMBER:
		weir_text_add(t, v->text.data, v->text.len);
		return;
	case WEIR_JSON_STRING:
		weir_text_add_string(t, v->text);
		return;
	case WEIR_JSON_ARRAY:
	case WEIR_JSON_OBJECT:
		break;
	}
	weir_text_add(t, object ? "{" : "[", 1);
	for (const struct weir_json *c = v->first; c; c = c->next) {
		if (c != v->first)
			weir_text_add(t, ",", 1);
		if (object) {
			weir_text_add_string(t, c->key);
			weir_text_add(t, ":", 1);
		}
		weir_text_add_json(t, c);
	}
	weir_text_add(t, object ? "}" : "]", 1);
}
