/*
 * grammar-schema-number.c - numbers of a JSON Schema, with bounds told digit by digit, and when no
 * value can meet two schemas; see grammar-schema.h.
 */
#include "fail.h"
#include "grammar-schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS    60 /* of a bound, each side of the point */
#define FREE      15 /* digits of a number without a bound: what a double holds */
#define MAX_STEP  1000
#define MAX_SCALE 15

/* A number that is not negative, digit by digit. */
struct decimal {
	uint8_t whole[DIGITS + 1], fraction[DIGITS + 1];
	int n_whole, n_fraction;    /* whole: no zeros in front, "0" is one digit */
	bool negative, there, open; /* open: the bound itself is not allowed */
};

struct range {
	struct weir_net *net;
	struct decimal lo, hi;
	bool integer;
	/* Multiples of step / 10^scale: the digits with `scale` of them behind the point, read as
	 * a whole number, leave no remainder by step. */
	uint32_t step, scale, to, n_fraction;
	uint32_t *free;     /* nodes by digits left and remainder, UINT32_MAX: not made */
	uint32_t *fraction; /* the same by digits of the fraction, with scale; else one node */
};

static bool is_zero(const struct decimal *d)
{
	for (int i = 0; i < d->n_whole; i++)
		if (d->whole[i])
			return false;
	for (int i = 0; i < d->n_fraction; i++)
		if (d->fraction[i])
			return false;
	return true;
}

static bool read_decimal(struct weir_str text, struct decimal *ret)
{
	char digits[2 * DIGITS + 2];
	int n = 0, point = -1, exponent = 0, first = 0;
	size_t i = 0;

	memset(ret, 0, sizeof(*ret));
	if (text.len > 0 && text.data[0] == '-') {
		ret->negative = true;
		i++;
	}
	for (; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
		if (text.data[i] == '.')
			point = n;
		else if (n < 2 * DIGITS)
			digits[n++] = (char)(text.data[i] - '0');
		else
			return false;
	}
	if (i < text.len)
		exponent = atoi(text.data + i + 1);
	if (abs(exponent) > DIGITS)
		return false;
	point = (point < 0 ? n : point) + exponent;
	while (first < n && first < point - 1 && digits[first] == 0)
		first++;
	if (point - first > DIGITS || n - point > DIGITS)
		return false;
	for (int k = first; k < point; k++)
		ret->whole[ret->n_whole++] = (uint8_t)(k < n && k >= 0 ? digits[k] : 0);
	if (ret->n_whole == 0)
		ret->n_whole = 1;
	for (int k = point; k < n; k++)
		ret->fraction[ret->n_fraction++] = (uint8_t)(k < 0 ? 0 : digits[k]);
	while (ret->n_fraction > 0 && ret->fraction[ret->n_fraction - 1] == 0)
		ret->n_fraction--;
	ret->there = true;
	if (is_zero(ret))
		ret->negative = false;
	return true;
}

/* By size, without the sign. */
static int compare_size(const struct decimal *a, const struct decimal *b)
{
	int c = a->n_whole - b->n_whole;

	if (c == 0)
		c = memcmp(a->whole, b->whole, (size_t)a->n_whole);
	return c ? c : memcmp(a->fraction, b->fraction, DIGITS);
}

static int compare(const struct decimal *a, const struct decimal *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? -compare_size(a, b) : compare_size(a, b);
}

/* --- the network --------------------------------------------------------------------------- */

/* May the number end here? tl, th: it equals the bound so far; `at` digits of the fraction. */
static bool may_end(const struct range *r, bool tl, bool th, int at)
{
	bool more_lo = tl && r->lo.n_fraction > at, more_hi = th && r->hi.n_fraction > at;

	if (tl && (more_lo || r->lo.open))
		return false;
	return !th || more_hi || !r->hi.open;
}

/* Is it a multiple, with zeros for the digits behind the first `at` of the fraction? */
static bool divides(const struct range *r, uint32_t rest, uint32_t at)
{
	for (; at < r->scale; at++)
		rest = rest * 10 % r->step;
	return rest == 0;
}

static uint32_t then(const struct range *r, uint32_t rest, int digit)
{
	return (rest * 10 + (uint32_t)digit) % r->step;
}

static void edges(struct weir_net *net, uint32_t from, uint32_t to, int lo, int hi)
{
	if (lo <= hi)
		weir_net_byte(net, from, to, (uint8_t)('0' + lo), (uint8_t)('0' + hi));
}

/* Any digits up to the limit; the first `at` are there. */
static uint32_t any_fraction(struct range *r, uint32_t at, uint32_t rest)
{
	uint32_t *known = r->scale ? &r->fraction[at * r->step + rest] : NULL;
	uint32_t node = known ? *known : UINT32_MAX;

	if (node != UINT32_MAX || r->net->exhausted)
		return node == UINT32_MAX ? WEIR_NODE_EXIT : node;
	node = weir_net_node(r->net);
	if (known)
		*known = node;
	if (divides(r, rest, at))
		weir_net_empty(r->net, node, r->to);
	if (at < r->n_fraction && r->step == 1)
		edges(r->net, node, any_fraction(r, at + 1, 0), 0, 9);
	for (int d = 0; at < r->n_fraction && r->step > 1 && d <= 9; d++)
		edges(r->net, node, any_fraction(r, at + 1, then(r, rest, d)), d, d);
	return node;
}

/* Digits lo .. hi, and then anything. */
static void free_fraction(struct range *r, uint32_t from, uint32_t at, uint32_t rest, int lo,
			  int hi)
{
	if (r->step == 1 && lo <= hi)
		edges(r->net, from, any_fraction(r, at + 1, 0), lo, hi);
	for (int d = lo; r->step > 1 && d <= hi; d++)
		edges(r->net, from, any_fraction(r, at + 1, then(r, rest, d)), d, d);
}

/* The fraction behind `at` digits, while it equals a bound. */
static void tight_fraction(struct range *r, uint32_t from, bool tl, bool th, uint32_t at,
			   uint32_t rest)
{
	while ((tl || th) && at < r->n_fraction && !r->net->exhausted) {
		int lo = tl ? r->lo.fraction[at] : 0, hi = th ? r->hi.fraction[at] : 9;
		uint32_t next = weir_net_node(r->net);

		if (lo > hi)
			return;
		free_fraction(r, from, at, rest, tl ? lo + 1 : 0, th ? hi - 1 : 9);
		if (tl && th && lo != hi) {
			uint32_t other = weir_net_node(r->net), left = then(r, rest, hi);

			edges(r->net, from, other, hi, hi);
			if (may_end(r, false, true, (int)at + 1) && divides(r, left, at + 1))
				weir_net_empty(r->net, other, r->to);
			tight_fraction(r, other, false, true, at + 1, left);
			th = false;
			hi = lo;
		}
		edges(r->net, from, next, tl ? lo : hi, tl ? lo : hi);
		rest = then(r, rest, tl ? lo : hi);
		at++;
		if (may_end(r, tl, th, (int)at) && divides(r, rest, at))
			weir_net_empty(r->net, next, r->to);
		from = next;
	}
}

static void end_whole(struct range *r, uint32_t from, bool tl, bool th, uint32_t rest)
{
	uint32_t point;

	if (may_end(r, tl, th, 0) && divides(r, rest, 0))
		weir_net_empty(r->net, from, r->to);
	if (r->integer || r->n_fraction == 0)
		return;
	point = weir_net_node(r->net);
	weir_net_byte(r->net, from, point, '.', '.');
	if (tl || th)
		tight_fraction(r, point, tl, th, 0, rest);
	else
		free_fraction(r, point, 0, rest, 0, 9);
}

/* `left` more digits, any of them, with this remainder so far. */
static uint32_t free_digits(struct range *r, uint32_t left, uint32_t rest)
{
	uint32_t *node = &r->free[left * r->step + rest], made;

	if (*node != UINT32_MAX || r->net->exhausted)
		return *node == UINT32_MAX ? WEIR_NODE_EXIT : *node;
	made = *node = weir_net_node(r->net);
	if (left == 0 && (rest == 0 || r->scale))
		end_whole(r, made, false, false, rest);
	if (left > 0 && r->step == 1)
		edges(r->net, made, free_digits(r, left - 1, 0), 0, 9);
	for (int d = 0; left > 0 && r->step > 1 && d <= 9; d++)
		edges(r->net, made, free_digits(r, left - 1, then(r, rest, d)), d, d);
	return made;
}

/* Whole parts of n digits, while they equal a bound. */
static void tight_digits(struct range *r, uint32_t from, int n, int at, bool tl, bool th,
			 uint32_t rest)
{
	for (; at < n && !r->net->exhausted; at++) {
		int lo = tl ? r->lo.whole[at] : 0, hi = th ? r->hi.whole[at] : 9;
		bool lo_tight, hi_tight;

		if (at == 0 && n > 1 && lo == 0)
			lo = 1;
		if (lo > hi)
			return;
		lo_tight = tl && lo == r->lo.whole[at];
		hi_tight = th;
		for (int d = lo; d <= hi; d++) {
			bool tight = (lo_tight && d == lo) || (hi_tight && d == hi);
			int last = d;

			if (tight)
				continue;
			if (r->step == 1) /* all of them at once */
				last = hi_tight ? hi - 1 : hi;
			edges(r->net, from,
			      free_digits(r, (uint32_t)(n - at - 1), then(r, rest, d)), d, last);
			d = last;
		}
		if (hi_tight && !(lo_tight && lo == hi)) {
			uint32_t other = weir_net_node(r->net);

			edges(r->net, from, other, hi, hi);
			tight_digits(r, other, n, at + 1, false, true, then(r, rest, hi));
			th = false;
		}
		if (!lo_tight)
			return;
		{
			uint32_t next = weir_net_node(r->net);

			edges(r->net, from, next, lo, lo);
			rest = then(r, rest, lo);
			from = next;
			th = th && lo == hi;
		}
	}
	if (rest == 0 || r->scale)
		end_whole(r, from, tl, th, rest);
}

/* Numbers that are not negative, lo .. hi. */
static bool emit_size(struct range *r, uint32_t from)
{
	int longest = r->hi.there ? r->hi.n_whole : FREE, n;
	size_t size;

	if (!r->lo.there) {
		read_decimal((struct weir_str){ "0", 1 }, &r->lo);
		r->lo.open = false;
	}
	if (!r->hi.there && longest < r->lo.n_whole + 1)
		longest = r->lo.n_whole + 1;
	r->n_fraction = (uint32_t)(longest < FREE ? FREE - longest : 1);
	if ((uint32_t)r->lo.n_fraction + 1 > r->n_fraction)
		r->n_fraction = (uint32_t)r->lo.n_fraction + 1;
	if ((uint32_t)r->hi.n_fraction + 1 > r->n_fraction)
		r->n_fraction = (uint32_t)r->hi.n_fraction + 1;
	if (r->n_fraction > DIGITS)
		r->n_fraction = DIGITS;
	if (r->scale)
		r->n_fraction = r->scale;
	size = ((size_t)longest + 2 + r->n_fraction) * r->step;
	r->free = malloc(size * sizeof(*r->free));
	if (!r->free)
		return false;
	memset(r->free, 0xff, size * sizeof(*r->free));
	r->fraction = r->free + ((size_t)longest + 1) * r->step;
	for (n = r->lo.n_whole; n <= longest; n++) {
		uint32_t start = weir_net_node(r->net);

		weir_net_empty(r->net, from, start);
		tight_digits(r, start, n, 0, n == r->lo.n_whole, r->hi.there && n == longest, 0);
	}
	free(r->free);
	r->free = NULL;
	return true;
}

static bool read_bounds(struct weir_schema *sc, const struct weir_view *v, struct decimal *lo,
			struct decimal *hi)
{
	static const char *const names[] = { "minimum", "exclusiveMinimum", "maximum",
					     "exclusiveMaximum" };

	memset(lo, 0, sizeof(*lo));
	memset(hi, 0, sizeof(*hi));
	for (uint32_t i = 0; i < v->n; i++) {
		for (int k = 0; k < 4; k++) {
			const struct weir_json *b = weir_schema_get(sc, v->at[i].node, names[k]);
			struct decimal d, *have = k < 2 ? lo : hi;
			int c;

			if (!b)
				continue;
			if (b->type != WEIR_JSON_NUMBER)
				return weir_schema_fail(sc, WEIR_E_INVALID, b,
							"a number is needed");
			if (!read_decimal(b->text, &d))
				return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, b,
							"a bound of more than 60 digits");
			d.open = k % 2 == 1;
			c = have->there ? compare(&d, have) : 0;
			if (!have->there || (k < 2 ? c > 0 : c < 0))
				*have = d;
			else if (c == 0)
				have->open |= d.open;
		}
		{
			const struct weir_json *f = weir_schema_get(sc, v->at[i].node, "format");
			bool is32 = weir_json_is(f, "int32");

			if (!is32 && !weir_json_is(f, "int64"))
				continue;
			if (!hi->there)
				read_decimal(is32 ? (struct weir_str){ "2147483647", 10 }
						  : (struct weir_str){ "9223372036854775807", 19 },
					     hi);
			if (!lo->there)
				read_decimal(is32 ? (struct weir_str){ "-2147483648", 11 }
						  : (struct weir_str){ "-9223372036854775808", 20 },
					     lo);
		}
	}
	return sc->status == WEIR_OK;
}

/* text as a whole number of 10^-scale. */
static bool read_scaled(struct weir_str text, uint32_t scale, uint64_t *ret)
{
	struct decimal d;
	uint64_t v = 0;

	if (!read_decimal(text, &d) || d.negative || is_zero(&d) || d.n_whole > 4 ||
	    (uint32_t)d.n_fraction > scale)
		return false;
	for (int i = 0; i < d.n_whole; i++)
		v = v * 10 + d.whole[i];
	for (uint32_t i = 0; i < scale; i++)
		v = v * 10 + d.fraction[i];
	*ret = v;
	return true;
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* All multipleOf as one: a multiple of step / 10^scale. */
static bool read_step(struct weir_schema *sc, const struct weir_view *v, struct range *r)
{
	uint64_t step = 1;
	bool any = false;

	r->scale = MAX_SCALE;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct weir_json *m = weir_schema_get(sc, v->at[i].node, "multipleOf");
		uint64_t a;

		if (!m)
			continue;
		if (m->type != WEIR_JSON_NUMBER || !read_scaled(m->text, MAX_SCALE, &a))
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, m,
						"multipleOf can only be a number from 1e-15 to "
						"1000");
		if (__builtin_mul_overflow(any ? step / divisor(step, a) : 1, a, &step))
			return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, m,
						"multipleOf of several parts together");
		any = true;
	}
	if (!any) {
		step = 1;
		r->scale = 0;
	}
	for (; r->scale > 0 && step % 10 == 0; r->scale--)
		step /= 10;
	for (uint64_t ten; r->integer && r->scale > 0; r->scale--) { /* whole numbers alone */
		ten = divisor(step, 10);
		step /= ten;
	}
	if (step > MAX_STEP)
		return weir_schema_fail(sc, WEIR_E_UNSUPPORTED, v->at[0].node,
					"multipleOf with more than three digits that count");
	r->step = (uint32_t)step;
	return sc->status == WEIR_OK;
}

bool weir_schema_number(struct weir_schema *sc, const struct weir_view *v, bool integer,
			uint32_t from, uint32_t to)
{
	struct range r = { .net = sc->net, .to = to, .integer = integer };
	struct decimal lo, hi, zero;
	bool multiple = false, ok = true;

	if (!read_bounds(sc, v, &lo, &hi) || !read_step(sc, v, &r))
		return false;
	for (uint32_t i = 0; i < v->n; i++)
		multiple |= weir_schema_get(sc, v->at[i].node, "multipleOf") != NULL;
	if (!lo.there && !hi.there && !multiple) {
		weir_net_call(sc->net, from, to,
			      integer ? sc->prelude->integer : sc->prelude->number);
		return true;
	}
	r.integer = integer || (multiple && r.scale == 0);
	read_decimal((struct weir_str){ "0", 1 }, &zero);
	if (lo.there && hi.there && compare(&lo, &hi) > 0)
		return true;             /* nothing */
	if (!hi.there || !hi.negative) { /* from zero up */
		r.lo = lo;
		if (lo.there && lo.negative)
			r.lo.there = false;
		r.hi = hi;
		ok = emit_size(&r, from);
	}
	if (ok && (!lo.there || lo.negative)) { /* below zero: the bounds change places */
		uint32_t minus = weir_net_node(sc->net);

		r.lo = hi;
		if (!hi.there || !hi.negative) {
			r.lo = zero;
			r.lo.open = true;
		}
		r.hi = lo;
		weir_net_byte(sc->net, from, minus, '-', '-');
		ok = emit_size(&r, minus);
	}
	return ok || weir_schema_no_memory(sc);
}

/* --- schemas that no value meets both of --------------------------------------------------- */

/* A schema without its bare references; NULL: not to be told. */
static const struct weir_json *resolve(struct weir_schema *sc, const struct weir_json *s)
{
	for (int i = 0; i < 20 && s && s->type == WEIR_JSON_OBJECT; i++) {
		const struct weir_json *ref = weir_schema_get(sc, s, "$ref");

		if (!ref)
			return s;
		s = weir_schema_target(sc, ref);
	}
	return s && s->type == WEIR_JSON_FALSE ? s : NULL;
}

/* A property that a needs, and that b either forbids or wants otherwise. */
static bool apart_by_property(struct weir_schema *sc, const struct weir_json *a,
			      const struct weir_json *b, int depth)
{
	const struct weir_json *list = weir_schema_get(sc, a, "required");
	const struct weir_json *more = weir_schema_get(sc, b, "additionalProperties");
	bool closed = more && more->type == WEIR_JSON_FALSE &&
		      !weir_schema_get(sc, b, "patternProperties");

	for (const struct weir_json *c = list ? list->first : NULL; c; c = c->next) {
		const struct weir_json *pa, *pb;

		if (c->type != WEIR_JSON_STRING || sc->status != WEIR_OK)
			continue;
		pa = weir_schema_find(sc, weir_schema_get(sc, a, "properties"), c->text);
		pb = weir_schema_find(sc, weir_schema_get(sc, b, "properties"), c->text);
		if (!pb && closed)
			return true;
		if (pa && pb && weir_schema_apart(sc, pa, pb, depth + 1))
			return true;
	}
	return false;
}

static const struct weir_json *values_of(struct weir_schema *sc, const struct weir_json *s,
					 uint32_t *n)
{
	const struct weir_json *list = weir_schema_get(sc, s, "enum");
	const struct weir_json *value = weir_schema_get(sc, s, "const");

	*n = value ? 1 : list && list->type == WEIR_JSON_ARRAY ? list->n : 0;
	return value ? value : *n > 0 ? list->first : NULL;
}

bool weir_schema_apart(struct weir_schema *sc, const struct weir_json *a, const struct weir_json *b,
		       int depth)
{
	const struct weir_json *va, *vb;
	unsigned ta, tb, both;
	uint32_t na, nb;

	a = resolve(sc, a);
	b = resolve(sc, b);
	if (!a || !b || depth > 4)
		return false;
	if (a->type == WEIR_JSON_FALSE || b->type == WEIR_JSON_FALSE)
		return true;
	if (a->type != WEIR_JSON_OBJECT || b->type != WEIR_JSON_OBJECT)
		return false;
	va = values_of(sc, a, &na);
	vb = values_of(sc, b, &nb);
	if (va && vb) {
		bool same = false;

		for (uint32_t i = 0; i < na && !same; i++, va = va->next) {
			const struct weir_json *x = vb;

			for (uint32_t k = 0; k < nb && !same; k++, x = x->next, sc->work++)
				same = weir_json_equal(va, x);
		}
		return !same;
	}
	/* Values are written of the types that are meant, and judged by those that are said. */
	ta = weir_schema_types(sc, a, true);
	tb = weir_schema_types(sc, b, true);
	both = (ta & weir_schema_types(sc, b, false)) | (tb & weir_schema_types(sc, a, false));
	if ((ta & WEIR_TYPE_NUMBER) && (tb & WEIR_TYPE_INTEGER))
		both |= WEIR_TYPE_INTEGER;
	if ((tb & WEIR_TYPE_NUMBER) && (ta & WEIR_TYPE_INTEGER))
		both |= WEIR_TYPE_INTEGER;
	if (both == 0 && sc->status == WEIR_OK)
		return true;
	return both == WEIR_TYPE_OBJECT &&
	       (apart_by_property(sc, a, b, depth) || apart_by_property(sc, b, a, depth));
}
