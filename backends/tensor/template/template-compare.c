/* SPDX-License-Identifier: MIT */
/*
 * template-compare.c - equality, order, membership and hashes of template values, by Python's
 * rules.
 *
 * Called by the operators, tests, filters and dicts of the template interpreter, on the thread of
 * one render. Where text came from plays no part in any comparison.
 */
#include "template-ast.h"
#include "template-value.h"

#include <math.h>

static int sign(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int text_order(const struct tpl_text *a, const struct tpl_text *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int c = n ? memcmp(a->data, b->data, n) : 0; /* UTF-8 sorts as its code points do */

	return c ? c : sign((int64_t)a->len, (int64_t)b->len);
}

/* Integers as text: the sign, then the length, then the digits. */
static int big_order(const struct tpl_text *a, const struct tpl_text *b)
{
	bool neg_a = a->data[0] == '-', neg_b = b->data[0] == '-';
	int c;

	if (neg_a != neg_b)
		return neg_a ? -1 : 1;
	c = a->len != b->len ? sign((int64_t)a->len, (int64_t)b->len) : text_order(a, b);
	return neg_a ? -c : c;
}

/* An exact comparison: the double is cut into its integer part and the rest. */
static int int_float_order(int64_t i, double f)
{
	double whole = floor(f);

	if (f >= 9223372036854775808.0)
		return -1;
	if (f < -9223372036854775808.0)
		return 1;
	if (i != (int64_t)whole)
		return sign(i, (int64_t)whole);
	return f > whole ? -1 : 0;
}

/* Both are numbers. False: a NaN takes part, nothing holds. */
static bool number_order(struct tpl_value a, struct tpl_value b, int *ret)
{
	int64_t i, j;

	if ((a.type == TPL_FLOAT && isnan(a.u.f)) || (b.type == TPL_FLOAT && isnan(b.u.f)))
		return false;
	if (a.type == TPL_BIG && b.type == TPL_BIG) {
		*ret = big_order(a.u.s, b.u.s);
	} else if (a.type == TPL_BIG) {
		*ret = b.type == TPL_FLOAT && isinf(b.u.f) ? (b.u.f < 0 ? 1 : -1)
		       : a.u.s->data[0] == '-'             ? -1
							   : 1;
	} else if (b.type == TPL_BIG) {
		*ret = a.type == TPL_FLOAT && isinf(a.u.f) ? (a.u.f < 0 ? -1 : 1)
		       : b.u.s->data[0] == '-'             ? 1
							   : -1;
	} else if (tpl_as_int(a, &i)) {
		*ret = tpl_as_int(b, &j) ? sign(i, j) : int_float_order(i, b.u.f);
	} else if (tpl_as_int(b, &j)) {
		*ret = -int_float_order(j, a.u.f);
	} else {
		*ret = a.u.f < b.u.f ? -1 : a.u.f > b.u.f;
	}
	return true;
}

static bool list_equal(struct tpl_render *r, const struct tpl_list *a, const struct tpl_list *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (!tpl_equal(r, a->item[i], b->item[i]))
			return false;
	return true;
}

static bool dict_equal(struct tpl_render *r, const struct tpl_dict *a, const struct tpl_dict *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++) {
		const struct tpl_value *v = tpl_get(r, b, a->pair[i].key);

		if (!v || !tpl_equal(r, a->pair[i].value, *v))
			return false;
	}
	return true;
}

/* Keys and items compare as sets; values never are equal unless they are the same object. */
static bool view_equal(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	const struct tpl_dict *d = a.u.view->dict.u.d, *e = b.u.view->dict.u.d;
	size_t i;

	if (a.u.view->what == 'v' || b.u.view->what == 'v')
		return a.u.view == b.u.view;
	if (a.u.view->what == b.u.view->what && a.u.view->what == 'i')
		return dict_equal(r, d, e);
	if (a.u.view->what != b.u.view->what || d->n != e->n)
		return !d->n && !e->n;
	for (i = 0; i < d->n; i++)
		if (!tpl_get(r, e, d->pair[i].key))
			return false;
	return true;
}

static bool equal_deep(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	int order;

	if (tpl_is_number(a) && tpl_is_number(b))
		return number_order(a, b, &order) && !order;
	if (a.type != b.type)
		return false;
	switch (a.type) {
	case TPL_UNDEFINED:
	case TPL_NONE:
		return true;
	case TPL_STR:
		tpl_step(r, a.u.s->len / 64);
		return a.u.s->len == b.u.s->len && !text_order(a.u.s, b.u.s);
	case TPL_LIST:
	case TPL_TUPLE:
		return a.u.l == b.u.l || list_equal(r, a.u.l, b.u.l);
	case TPL_DICT:
		return a.u.d == b.u.d || dict_equal(r, a.u.d, b.u.d);
	case TPL_VIEW:
		return view_equal(r, a, b);
	case TPL_RANGE:
		return a.u.range->n == b.u.range->n &&
		       (!a.u.range->n ||
			(a.u.range->start == b.u.range->start &&
			 (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
	case TPL_METHOD:
		return a.u.method->fn == b.u.method->fn &&
		       tpl_same(a.u.method->self, b.u.method->self);
	default:
		return tpl_same(a, b);
	}
}

bool tpl_equal(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	bool equal;

	tpl_step(r, 1);
	tpl_enter(r);
	equal = equal_deep(r, a, b);
	tpl_leave(r);
	return equal;
}

static _Noreturn void cannot_order(struct tpl_render *r, struct tpl_value a, struct tpl_value b,
				   const char *op)
{
	if (a.type == TPL_UNDEFINED || b.type == TPL_UNDEFINED) {
		const char *why = a.type == TPL_UNDEFINED ? a.u.why : b.u.why;

		tpl_fail(r, WEIR_E_INVALID, "%s", why ? why : "an undefined value is compared");
	}
	tpl_fail(r, WEIR_E_INVALID, "'%s' not supported between instances of '%s' and '%s'", op,
		 tpl_type_name(a), tpl_type_name(b));
}

/* -1, 0, 1, or 2 where a NaN makes every order false. */
int tpl_order(struct tpl_render *r, struct tpl_value a, struct tpl_value b, const char *op)
{
	int order = 2;
	size_t i;

	tpl_step(r, 1);
	if (tpl_is_number(a) && tpl_is_number(b))
		return number_order(a, b, &order) ? order : 2;
	if (a.type == TPL_STR && b.type == TPL_STR) {
		order = text_order(a.u.s, b.u.s);
		return order < 0 ? -1 : order > 0;
	}
	if (a.type != b.type || (a.type != TPL_LIST && a.type != TPL_TUPLE))
		cannot_order(r, a, b, op);
	for (i = 0; i < a.u.l->n && i < b.u.l->n; i++) {
		if (tpl_equal(r, a.u.l->item[i], b.u.l->item[i]))
			continue;
		tpl_enter(r);
		order = tpl_order(r, a.u.l->item[i], b.u.l->item[i], op);
		tpl_leave(r);
		return order;
	}
	return sign((int64_t)a.u.l->n, (int64_t)b.u.l->n);
}

bool tpl_less(struct tpl_render *r, struct tpl_value a, struct tpl_value b, const char *op)
{
	return tpl_order(r, a, b, op) == -1;
}

bool tpl_same(struct tpl_value a, struct tpl_value b)
{
	if (a.type != b.type)
		return false;
	switch (a.type) {
	case TPL_NONE:
		return true;
	case TPL_BOOL:
		return a.u.b == b.u.b;
	case TPL_INT:
		/* CPython keeps small integers only once. */
		return a.u.i == b.u.i && a.u.i >= -5 && a.u.i <= 256;
	case TPL_FLOAT:
		return a.u.f == b.u.f;
	case TPL_STR:
		return a.u.s == b.u.s || (!a.u.s->len && !b.u.s->len);
	default:
		return a.u.l == b.u.l;
	}
}

bool tpl_contains(struct tpl_render *r, struct tpl_value seq, struct tpl_value v)
{
	struct tpl_value item;
	struct tpl_iter *it;

	if (seq.type == TPL_STR) {
		if (v.type == TPL_UNDEFINED || v.type != TPL_STR)
			tpl_fail(r, WEIR_E_INVALID,
				 "'in <string>' requires string as left operand, not %s",
				 tpl_type_name(v));
		tpl_step(r, seq.u.s->len / 64);
		return !v.u.s->len || (seq.u.s->len && memmem(seq.u.s->data, seq.u.s->len,
							      v.u.s->data, v.u.s->len));
	}
	if (seq.type == TPL_DICT)
		return tpl_get(r, seq.u.d, v) != NULL;
	if (seq.type == TPL_VIEW && seq.u.view->what == 'k')
		return tpl_get(r, seq.u.view->dict.u.d, v) != NULL;
	if (!tpl_iterable(seq))
		tpl_fail(r, WEIR_E_INVALID, "argument of type '%s' is not iterable",
			 tpl_type_name(seq));
	it = tpl_iter(r, seq);
	while (tpl_next(r, it, &item))
		if (tpl_same(item, v) || tpl_equal(r, item, v))
			return true;
	return false;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t hash_bytes(const char *p, size_t n, uint64_t h)
{
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 0x100000001b3ULL;
	return mix(h);
}

uint64_t tpl_hash(struct tpl_render *r, struct tpl_value v)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL;
	int64_t n;
	size_t i;

	switch (v.type) {
	case TPL_STR:
		tpl_step(r, v.u.s->len / 64);
		return hash_bytes(v.u.s->data, v.u.s->len, 0xcbf29ce484222325ULL);
	case TPL_BIG:
		return hash_bytes(v.u.s->data, v.u.s->len, 1);
	case TPL_FLOAT:
		/* Equal numbers have one hash, whatever their type. */
		if (v.u.f == floor(v.u.f) && fabs(v.u.f) < 9e18)
			return mix((uint64_t)(int64_t)v.u.f);
		memcpy(&h, &v.u.f, sizeof(h));
		return mix(h);
	case TPL_BOOL:
	case TPL_INT:
		tpl_as_int(v, &n);
		return mix((uint64_t)n);
	case TPL_NONE:
	case TPL_UNDEFINED:
		return h + v.type;
	case TPL_TUPLE:
		tpl_enter(r);
		for (i = 0; i < v.u.l->n; i++)
			h = mix(h ^ tpl_hash(r, v.u.l->item[i])) + i;
		tpl_leave(r);
		return h;
	case TPL_LIST:
	case TPL_DICT:
	case TPL_VIEW:
	case TPL_SLICE:
		tpl_fail(r, WEIR_E_INVALID, "unhashable type: '%s'", tpl_type_name(v));
	default:
		memcpy(&h, &v.u, sizeof(h) < sizeof(v.u) ? sizeof(h) : sizeof(v.u));
		return mix(h);
	}
}
