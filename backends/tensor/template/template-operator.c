/* SPDX-License-Identifier: MIT */
/*
 * template-operator.c - arithmetic and repetition on template values, by Python's rules.
 *
 * Called by the evaluator and by |sum, on the thread of one render. Integers have 64 bits; what
 * does not fit is an error, never a wrong number.
 */
#include "template-ast.h"
#include "template-value.h"

#include <math.h>

static const char *op_name(int op)
{
	switch (op) {
	case TOK_ADD:
		return "+";
	case TOK_SUB:
		return "-";
	case TOK_MUL:
		return "*";
	case TOK_DIV:
		return "/";
	case TOK_FLOORDIV:
		return "//";
	case TOK_MOD:
		return "%";
	default:
		return "** or pow()";
	}
}

static _Noreturn void bad_operands(struct tpl_render *r, int op, struct tpl_value a,
				   struct tpl_value b)
{
	struct tpl_value u = a.type == TPL_UNDEFINED ? a : b;

	if (u.type == TPL_UNDEFINED)
		tpl_fail(r, WEIR_E_INVALID, "%s", u.u.why ? u.u.why : "a value is undefined");
	if (op == TOK_ADD && a.type == TPL_STR)
		tpl_fail(r, WEIR_E_INVALID, "can only concatenate str (not \"%s\") to str",
			 tpl_type_name(b));
	tpl_fail(r, WEIR_E_INVALID, "unsupported operand type(s) for %s: '%s' and '%s'",
		 op_name(op), tpl_type_name(a), tpl_type_name(b));
}

static _Noreturn void too_big(struct tpl_render *r)
{
	tpl_fail(r, WEIR_E_INVALID, "an integer beyond 64 bits");
}

static struct tpl_value add_lists(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	size_t n = a.u.l->n + b.u.l->n;
	struct tpl_value sum = tpl_list(r, n);

	tpl_step(r, n);
	for (size_t i = 0; i < n; i++)
		tpl_push(r, sum, i < a.u.l->n ? a.u.l->item[i] : b.u.l->item[i - a.u.l->n]);
	sum.type = a.type;
	return sum;
}

static struct tpl_value add_texts(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	struct tpl_buf buf = { 0 };
	uint8_t flags = (a.flags | b.flags) & TPL_MARKUP;
	struct tpl_value sum;

	if (flags && !(a.flags & TPL_MARKUP))
		a = tpl_escape(r, a);
	if (flags && !(b.flags & TPL_MARKUP))
		b = tpl_escape(r, b);
	tpl_put_text(r, &buf, a.u.s);
	tpl_put_text(r, &buf, b.u.s);
	sum = tpl_buf_value(r, &buf);
	sum.flags = flags;
	return sum;
}

static struct tpl_value repeat(struct tpl_render *r, struct tpl_value v, int64_t n)
{
	struct tpl_buf buf = { 0 };
	struct tpl_value ret;
	size_t total;

	if (n < 0)
		n = 0;
	if (v.type == TPL_STR) {
		if (__builtin_mul_overflow(v.u.s->len, (uint64_t)n, &total) ||
		    total > r->limits.max_output)
			tpl_fail(r, WEIR_E_EXHAUSTED, "makes a text of more than %zu bytes",
				 r->limits.max_output);
		tpl_step(r, v.u.s->len ? (uint64_t)n : 0);
		for (int64_t i = 0; v.u.s->len && i < n; i++)
			tpl_put_text(r, &buf, v.u.s);
		ret = tpl_buf_value(r, &buf);
		ret.flags = v.flags;
		return ret;
	}
	if (__builtin_mul_overflow(v.u.l->n, (uint64_t)n, &total))
		tpl_fail(r, WEIR_E_EXHAUSTED, "makes a list that is too long");
	tpl_step(r, total);
	ret = tpl_list(r, total);
	for (size_t i = 0; i < total; i++)
		tpl_push(r, ret, v.u.l->item[i % v.u.l->n]);
	ret.type = v.type;
	return ret;
}

static bool is_sequence(struct tpl_value v)
{
	return v.type == TPL_STR || v.type == TPL_LIST || v.type == TPL_TUPLE;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;

	return q - (a % b && (a < 0) != (b < 0));
}

static struct tpl_value int_power(struct tpl_render *r, int64_t base, int64_t e)
{
	int64_t result = 1;

	if (e < 0) {
		if (!base)
			tpl_fail(r, WEIR_E_INVALID, "0.0 cannot be raised to a negative power");
		return tpl_float(pow((double)base, (double)e));
	}
	if (base == 1 || base == 0 || base == -1)
		return tpl_int(base == -1 ? (e & 1 ? -1 : 1) : e ? base : 1);
	if (e > 64)
		too_big(r);
	while (e--)
		if (__builtin_mul_overflow(result, base, &result))
			too_big(r);
	return tpl_int(result);
}

static struct tpl_value int_math(struct tpl_render *r, int op, int64_t a, int64_t b)
{
	int64_t v = 0;
	bool over = false;

	if (!b && (op == TOK_DIV || op == TOK_FLOORDIV || op == TOK_MOD))
		tpl_fail(r, WEIR_E_INVALID, "division by zero");
	switch (op) {
	case TOK_ADD:
		over = __builtin_add_overflow(a, b, &v);
		break;
	case TOK_SUB:
		over = __builtin_sub_overflow(a, b, &v);
		break;
	case TOK_MUL:
		over = __builtin_mul_overflow(a, b, &v);
		break;
	case TOK_DIV:
		return tpl_float((double)((long double)a / (long double)b));
	case TOK_FLOORDIV:
		over = a == INT64_MIN && b == -1;
		v = over ? 0 : floor_div(a, b);
		break;
	case TOK_MOD:
		v = b == -1 ? 0 : a - floor_div(a, b) * b;
		break;
	default:
		return int_power(r, a, b);
	}
	if (over)
		too_big(r);
	return tpl_int(v);
}

static double float_mod(double a, double b)
{
	double m = fmod(a, b);

	if (m && (b < 0) != (m < 0))
		m += b;
	return m ? m : copysign(0.0, b);
}

static struct tpl_value float_math(struct tpl_render *r, int op, double a, double b)
{
	double m, div;

	if (b == 0 && (op == TOK_DIV || op == TOK_FLOORDIV || op == TOK_MOD))
		tpl_fail(r, WEIR_E_INVALID, "float division by zero");
	switch (op) {
	case TOK_ADD:
		return tpl_float(a + b);
	case TOK_SUB:
		return tpl_float(a - b);
	case TOK_MUL:
		return tpl_float(a * b);
	case TOK_DIV:
		return tpl_float(a / b);
	case TOK_MOD:
		return tpl_float(float_mod(a, b));
	case TOK_FLOORDIV:
		/* As Python: what is left after the remainder, rounded to a whole number. */
		m = fmod(a, b);
		div = (a - m) / b;
		if (m && (b < 0) != (m < 0))
			div -= 1;
		if (!div)
			return tpl_float(copysign(0.0, a / b));
		m = floor(div);
		return tpl_float(div - m > 0.5 ? m + 1 : m);
	default:
		if (a == 0 && b < 0)
			tpl_fail(r, WEIR_E_INVALID, "0.0 cannot be raised to a negative power");
		if (a < 0 && b != floor(b) && !isinf(b))
			tpl_fail(r, WEIR_E_INVALID, "complex numbers are not supported");
		m = pow(a, b);
		if (isinf(m) && !isinf(a) && !isinf(b))
			tpl_fail(r, WEIR_E_INVALID, "numerical result out of range");
		return tpl_float(m);
	}
}

struct tpl_value tpl_add(struct tpl_render *r, struct tpl_value a, struct tpl_value b)
{
	return tpl_binary(r, TOK_ADD, a, b);
}

struct tpl_value tpl_binary(struct tpl_render *r, int op, struct tpl_value a, struct tpl_value b)
{
	struct tpl_value v;
	int64_t i, j;
	double x, y;

	if (op == TOK_ADD && a.type == TPL_STR && b.type == TPL_STR)
		return add_texts(r, a, b);
	if (op == TOK_ADD && a.type == b.type && is_sequence(a))
		return add_lists(r, a, b);
	if (op == TOK_MUL && is_sequence(a) && tpl_as_int(b, &i))
		return repeat(r, a, i);
	if (op == TOK_MUL && is_sequence(b) && tpl_as_int(a, &i))
		return repeat(r, b, i);
	if (op == TOK_MOD && a.type == TPL_STR)
		return tpl_percent(r, a, b);
	if ((a.type == TPL_BIG && b.type != TPL_FLOAT && tpl_is_number(b)) ||
	    (b.type == TPL_BIG && a.type != TPL_FLOAT && tpl_is_number(a)))
		too_big(r);
	if (tpl_as_int(a, &i) && tpl_as_int(b, &j))
		v = int_math(r, op, i, j);
	else if (tpl_as_double(a, &x) && tpl_as_double(b, &y))
		v = float_math(r, op, x, y);
	else
		bad_operands(r, op, a, b);
	v.flags = (a.flags | b.flags) & TPL_INPUT;
	return v;
}

struct tpl_value tpl_unary(struct tpl_render *r, int op, struct tpl_value a)
{
	struct tpl_value v;
	int64_t i;

	if (tpl_as_int(a, &i)) {
		if (op == TOK_SUB && i == INT64_MIN)
			too_big(r);
		v = tpl_int(op == TOK_SUB ? -i : i);
	} else if (a.type == TPL_FLOAT) {
		v = tpl_float(op == TOK_SUB ? -a.u.f : a.u.f);
	} else if (a.type == TPL_BIG) {
		too_big(r);
	} else {
		if (a.type == TPL_UNDEFINED)
			bad_operands(r, TOK_SUB, a, a);
		tpl_fail(r, WEIR_E_INVALID, "bad operand type for unary %s: '%s'", op_name(op),
			 tpl_type_name(a));
	}
	v.flags = a.flags & TPL_INPUT;
	return v;
}
