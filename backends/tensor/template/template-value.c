/* SPDX-License-Identifier: MIT */
/*
 * template-value.c - making template values, asking them, walking over them.
 *
 * Called by all template-*.c, on the thread of one parse or render. The rules are Python's: what is
 * true, what has a length, what can be walked over and how often.
 */
#include "template-ast.h"
#include "template-value.h"

#include <glib.h>
#include <stdarg.h>
#include <stdio.h>

#define SMALL_DICT 8

struct tpl_value tpl_none(void)
{
	return (struct tpl_value){ .type = TPL_NONE };
}

struct tpl_value tpl_bool(bool b)
{
	return (struct tpl_value){ .type = TPL_BOOL, .u.b = b };
}

struct tpl_value tpl_int(int64_t i)
{
	return (struct tpl_value){ .type = TPL_INT, .u.i = i };
}

struct tpl_value tpl_float(double f)
{
	return (struct tpl_value){ .type = TPL_FLOAT, .u.f = f };
}

struct tpl_value tpl_undefined(const char *why)
{
	return (struct tpl_value){ .type = TPL_UNDEFINED, .u.why = why };
}

struct tpl_value tpl_undefinedf(struct tpl_render *r, const char *fmt, ...)
{
	char why[160];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	n = strlen(why);
	return tpl_undefined(memcpy(tpl_alloc(r, n + 1, 1), why, n));
}

struct tpl_value tpl_str(struct tpl_render *r, const char *data, size_t n, bool input)
{
	struct tpl_text *s = tpl_alloc(r, 1, sizeof(*s));
	char *copy = tpl_alloc(r, n, 1);

	if (n)
		memcpy(copy, data, n);
	s->data = copy;
	s->len = n;
	s->n_chars = SIZE_MAX;
	s->input = input;
	return (struct tpl_value){ .type = TPL_STR, .u.s = s };
}

struct tpl_value tpl_cstr(struct tpl_render *r, const char *text)
{
	struct tpl_text *s = tpl_alloc(r, 1, sizeof(*s));

	s->data = text;
	s->len = strlen(text);
	s->n_chars = SIZE_MAX;
	return (struct tpl_value){ .type = TPL_STR, .u.s = s };
}

/* Bytes [start, end) of a str, sharing its memory. */
struct tpl_value tpl_sub(struct tpl_render *r, struct tpl_value v, size_t start, size_t end)
{
	struct tpl_text *old = v.u.s;
	struct tpl_text *s;

	if (start == 0 && end == old->len)
		return v;
	s = tpl_alloc(r, 1, sizeof(*s));
	s->len = end > start ? end - start : 0;
	s->n_chars = SIZE_MAX;
	s->data = "";
	if (s->len) {
		s->data = old->data + start;
		s->mark = old->mark ? old->mark + start : NULL;
		s->input = old->input;
	}
	v.u.s = s;
	return v;
}

struct tpl_value tpl_list(struct tpl_render *r, size_t cap)
{
	struct tpl_list *l = tpl_alloc(r, 1, sizeof(*l));

	if (cap)
		l->item = tpl_alloc(r, cap, sizeof(*l->item));
	l->cap = cap;
	return (struct tpl_value){ .type = TPL_LIST, .u.l = l };
}

void tpl_push(struct tpl_render *r, struct tpl_value list, struct tpl_value item)
{
	struct tpl_list *l = list.u.l;

	l->item = tpl_grow(r, l->item, l->n, &l->cap, sizeof(*l->item));
	l->item[l->n++] = item;
}

struct tpl_value tpl_tuple2(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	struct tpl_value t = tpl_list(r, 2);

	tpl_push(r, t, a);
	tpl_push(r, t, b);
	t.type = TPL_TUPLE;
	return t;
}

struct tpl_value tpl_dict(struct tpl_render *r)
{
	return (struct tpl_value){ .type = TPL_DICT,
				   .u.d = tpl_alloc(r, 1, sizeof(struct tpl_dict)) };
}

static struct tpl_pair *dict_find(struct tpl_render *r, const struct tpl_dict *d,
				  struct tpl_value key, uint64_t hash)
{
	size_t i;

	if (!d->index) {
		for (i = 0; i < d->n; i++)
			if (d->pair[i].hash == hash && tpl_equal(r, d->pair[i].key, key))
				return &d->pair[i];
		return NULL;
	}
	for (i = hash & (d->n_index - 1); d->index[i]; i = (i + 1) & (d->n_index - 1)) {
		struct tpl_pair *p = &d->pair[d->index[i] - 1];

		tpl_step(r, 1);
		if (p->hash == hash && tpl_equal(r, p->key, key))
			return p;
	}
	return NULL;
}

static void dict_index(struct tpl_dict *d, size_t pos)
{
	size_t i = d->pair[pos].hash & (d->n_index - 1);

	while (d->index[i])
		i = (i + 1) & (d->n_index - 1);
	d->index[i] = (uint32_t)(pos + 1);
}

void tpl_set(struct tpl_render *r, struct tpl_dict *d, struct tpl_value key, struct tpl_value v)
{
	uint64_t hash = tpl_hash(r, key);
	struct tpl_pair *p = dict_find(r, d, key, hash);

	if (p) {
		p->value = v;
		return;
	}
	if (d->n >= UINT32_MAX / 4)
		tpl_fail(r, WEIR_E_EXHAUSTED, "a dict has too many members");
	d->pair = tpl_grow(r, d->pair, d->n, &d->cap, sizeof(*d->pair));
	d->pair[d->n++] = (struct tpl_pair){ key, v, hash };
	if (d->n <= SMALL_DICT)
		return;
	if (d->n * 2 > d->n_index) {
		size_t i;

		d->n_index = d->n_index ? d->n_index * 2 : SMALL_DICT * 4;
		d->index = tpl_alloc(r, d->n_index, sizeof(*d->index));
		for (i = 0; i < d->n; i++)
			dict_index(d, i);
	} else {
		dict_index(d, d->n - 1);
	}
}

struct tpl_value *tpl_get(struct tpl_render *r, const struct tpl_dict *d, struct tpl_value key)
{
	struct tpl_pair *p = dict_find(r, d, key, tpl_hash(r, key));

	return p ? &p->value : NULL;
}

struct tpl_value *tpl_get_name(struct tpl_render *r, const struct tpl_dict *d, const char *name,
			       size_t len)
{
	struct tpl_text s = { .data = name, .len = len, .n_chars = SIZE_MAX };

	return tpl_get(r, d, (struct tpl_value){ .type = TPL_STR, .u.s = &s });
}

struct tpl_value tpl_bind(struct tpl_render *r, struct tpl_value self, const struct tpl_builtin *fn)
{
	struct tpl_method *m = tpl_alloc(r, 1, sizeof(*m));

	m->self = self;
	m->fn = fn;
	return (struct tpl_value){ .type = TPL_METHOD, .u.method = m };
}

bool tpl_is(struct tpl_value v, const char *text)
{
	size_t n = strlen(text);

	return v.type == TPL_STR && v.u.s->len == n && (!n || !memcmp(v.u.s->data, text, n));
}

bool tpl_is_number(struct tpl_value v)
{
	return v.type >= TPL_BOOL && v.type <= TPL_FLOAT;
}

bool tpl_as_int(struct tpl_value v, int64_t *ret)
{
	if (v.type == TPL_INT)
		*ret = v.u.i;
	else if (v.type == TPL_BOOL)
		*ret = v.u.b;
	else
		return false;
	return true;
}

static double big_double(const struct tpl_text *s)
{
	char text[400]; /* readers refuse longer numbers */
	size_t n = s->len < sizeof(text) ? s->len : sizeof(text) - 1;

	memcpy(text, s->data, n);
	text[n] = 0;
	return g_ascii_strtod(text, NULL);
}

bool tpl_as_double(struct tpl_value v, double *ret)
{
	int64_t i;

	if (v.type == TPL_FLOAT)
		*ret = v.u.f;
	else if (tpl_as_int(v, &i))
		*ret = (double)i;
	else if (v.type == TPL_BIG)
		*ret = big_double(v.u.s);
	else
		return false;
	return true;
}

bool tpl_truth(struct tpl_render *r, struct tpl_value v)
{
	size_t n;

	switch (v.type) {
	case TPL_MISSING:
	case TPL_UNDEFINED:
	case TPL_NONE:
		return false;
	case TPL_BOOL:
		return v.u.b;
	case TPL_INT:
		return v.u.i != 0;
	case TPL_FLOAT:
		return v.u.f != 0;
	case TPL_STR:
		return v.u.s->len != 0;
	default:
		return !tpl_length(r, v, &n) || n != 0;
	}
}

const char *tpl_type_name(struct tpl_value v)
{
	static const char *const name[] = {
		[TPL_MISSING] = "Undefined",
		[TPL_UNDEFINED] = "Undefined",
		[TPL_NONE] = "NoneType",
		[TPL_BOOL] = "bool",
		[TPL_INT] = "int",
		[TPL_BIG] = "int",
		[TPL_FLOAT] = "float",
		[TPL_STR] = "str",
		[TPL_LIST] = "list",
		[TPL_TUPLE] = "tuple",
		[TPL_DICT] = "dict",
		[TPL_RANGE] = "range",
		[TPL_SLICE] = "slice",
		[TPL_ITER] = "generator",
		[TPL_NAMESPACE] = "Namespace",
		[TPL_LOOP] = "LoopContext",
		[TPL_MACRO] = "Macro",
		[TPL_METHOD] = "builtin_function_or_method",
		[TPL_FUNCTION] = "function",
		[TPL_CYCLER] = "Cycler",
		[TPL_JOINER] = "Joiner",
	};

	if (v.type == TPL_VIEW)
		return v.u.view->what == 'k'   ? "dict_keys"
		       : v.u.view->what == 'v' ? "dict_values"
					       : "dict_items";
	if (v.type == TPL_STR && v.flags & TPL_MARKUP)
		return "Markup";
	return name[v.type];
}

bool tpl_is_input(struct tpl_value v)
{
	if (v.type == TPL_STR)
		return v.u.s->len &&
		       (v.u.s->mark ? memchr(v.u.s->mark, 1, v.u.s->len) != NULL : v.u.s->input);
	return v.flags & TPL_INPUT;
}

bool tpl_length(struct tpl_render *r, struct tpl_value v, size_t *ret)
{
	switch (v.type) {
	case TPL_UNDEFINED:
		*ret = 0;
		return true;
	case TPL_STR:
		*ret = tpl_chars(v.u.s);
		return true;
	case TPL_LIST:
	case TPL_TUPLE:
		*ret = v.u.l->n;
		return true;
	case TPL_DICT:
		*ret = v.u.d->n;
		return true;
	case TPL_VIEW:
		*ret = v.u.view->dict.u.d->n;
		return true;
	case TPL_RANGE:
		*ret = v.u.range->n;
		return true;
	case TPL_LOOP:
		*ret = tpl_loop_length(r, v.u.loop);
		return true;
	default:
		return false;
	}
}

bool tpl_iterable(struct tpl_value v)
{
	switch (v.type) {
	case TPL_UNDEFINED:
	case TPL_STR:
	case TPL_LIST:
	case TPL_TUPLE:
	case TPL_DICT:
	case TPL_VIEW:
	case TPL_RANGE:
	case TPL_ITER:
	case TPL_LOOP:
		return true;
	default:
		return false;
	}
}

static bool next_of(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	struct tpl_value v = it->src;
	const struct tpl_pair *p;
	struct tpl_dict *d;
	size_t n;

	switch (v.type) {
	case TPL_STR:
		if (it->pos >= v.u.s->len)
			return false;
		tpl_char(v.u.s->data + it->pos, v.u.s->data + v.u.s->len, &n);
		*ret = tpl_sub(r, v, it->pos, it->pos + n);
		ret->flags = 0; /* the characters of a Markup are plain */
		it->pos += n;
		return true;
	case TPL_LIST:
	case TPL_TUPLE:
		if (it->pos >= v.u.l->n)
			return false;
		*ret = v.u.l->item[it->pos++];
		return true;
	case TPL_DICT:
	case TPL_VIEW:
		d = v.type == TPL_DICT ? v.u.d : v.u.view->dict.u.d;
		if (it->pos >= d->n)
			return false;
		p = &d->pair[it->pos++];
		if (v.type == TPL_DICT || v.u.view->what == 'k')
			*ret = p->key;
		else if (v.u.view->what == 'v')
			*ret = p->value;
		else
			*ret = tpl_tuple2(r, p->key, p->value);
		return true;
	case TPL_RANGE:
		if (it->pos >= v.u.range->n)
			return false;
		*ret = tpl_int(v.u.range->start + (int64_t)it->pos++ * v.u.range->step);
		return true;
	case TPL_LOOP:
		if (!tpl_loop_next(r, v.u.loop))
			return false;
		*ret = tpl_tuple2(r, v.u.loop->current, v);
		return true;
	default:
		return false;
	}
}

struct tpl_iter *tpl_iter(struct tpl_render *r, struct tpl_value v)
{
	struct tpl_iter *it;

	if (!tpl_iterable(v))
		tpl_fail(r, WEIR_E_INVALID, "'%s' object is not iterable", tpl_type_name(v));
	if (v.type == TPL_ITER)
		return v.u.iter;
	it = tpl_alloc(r, 1, sizeof(*it));
	it->next = next_of;
	it->src = v;
	return it;
}

bool tpl_next(struct tpl_render *r, struct tpl_iter *it, struct tpl_value *ret)
{
	bool more;

	tpl_step(r, 1);
	tpl_enter(r);
	more = it->next(r, it, ret);
	tpl_leave(r);
	return more;
}

struct tpl_value tpl_generator(struct tpl_iter *it)
{
	return (struct tpl_value){ .type = TPL_ITER, .u.iter = it };
}

struct tpl_value tpl_to_list(struct tpl_render *r, struct tpl_value v)
{
	struct tpl_iter *it = tpl_iter(r, v);
	struct tpl_value list = tpl_list(r, 0);
	struct tpl_value item;

	while (tpl_next(r, it, &item))
		tpl_push(r, list, item);
	return list;
}
