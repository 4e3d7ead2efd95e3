/* SPDX-License-Identifier: MIT */
/*
 * template-tests.c - what may stand behind `is` in a chat template.
 *
 * Called through tpl_find_test() by the evaluator and by select and reject, on the thread of one
 * render. Each takes the tested value as self and gives a bool.
 */
#include "template-ast.h"
#include "template-value.h"

#define TEST(NAME)                                                                                 \
	static struct tpl_value is_##NAME(struct tpl_render *r, struct tpl_value self,             \
					  struct tpl_value *v, const struct tpl_args *args)

/* Is the remainder one? *ret_zero: is it zero? A text may have one too, which is neither. */
static bool remainder_of(struct tpl_render *r, struct tpl_value a, struct tpl_value b,
			 bool *ret_zero)
{
	struct tpl_value m = tpl_binary(r, TOK_MOD, a, b);
	double f = 0;
	bool number = tpl_as_double(m, &f);

	*ret_zero = number && f == 0;
	return number && f == 1;
}

TEST(odd)
{
	bool zero;

	return tpl_bool(remainder_of(r, self, tpl_int(2), &zero));
}

TEST(even)
{
	bool zero;

	remainder_of(r, self, tpl_int(2), &zero);
	return tpl_bool(zero);
}

TEST(divisibleby)
{
	bool zero;

	remainder_of(r, self, v[0], &zero);
	return tpl_bool(zero);
}

TEST(defined)
{
	return tpl_bool(self.type != TPL_UNDEFINED);
}

TEST(undefined)
{
	return tpl_bool(self.type == TPL_UNDEFINED);
}

TEST(none)
{
	return tpl_bool(self.type == TPL_NONE);
}

TEST(boolean)
{
	return tpl_bool(self.type == TPL_BOOL);
}

TEST(true)
{
	return tpl_bool(self.type == TPL_BOOL && self.u.b);
}

TEST(false)
{
	return tpl_bool(self.type == TPL_BOOL && !self.u.b);
}

TEST(integer)
{
	return tpl_bool(self.type == TPL_INT || self.type == TPL_BIG);
}

TEST(float)
{
	return tpl_bool(self.type == TPL_FLOAT);
}

TEST(number)
{
	return tpl_bool(tpl_is_number(self));
}

TEST(string)
{
	return tpl_bool(self.type == TPL_STR);
}

TEST(mapping)
{
	return tpl_bool(self.type == TPL_DICT);
}

TEST(iterable)
{
	return tpl_bool(tpl_iterable(self));
}

TEST(sequence)
{
	return tpl_bool(self.type == TPL_UNDEFINED || self.type == TPL_STR ||
			self.type == TPL_LIST || self.type == TPL_TUPLE || self.type == TPL_DICT ||
			self.type == TPL_RANGE);
}

TEST(callable)
{
	return tpl_bool(self.type == TPL_MACRO || self.type == TPL_METHOD ||
			self.type == TPL_FUNCTION || self.type == TPL_LOOP ||
			self.type == TPL_JOINER || self.type == TPL_UNDEFINED);
}

TEST(sameas)
{
	return tpl_bool(tpl_same(self, v[0]));
}

TEST(escaped)
{
	return tpl_bool(self.type == TPL_STR && self.flags & TPL_MARKUP);
}

TEST(in)
{
	return tpl_bool(tpl_contains(r, v[0], self));
}

TEST(eq)
{
	return tpl_bool(tpl_equal(r, self, v[0]));
}

TEST(ne)
{
	return tpl_bool(!tpl_equal(r, self, v[0]));
}

TEST(lt)
{
	return tpl_bool(tpl_order(r, self, v[0], "<") == -1);
}

TEST(le)
{
	return tpl_bool(tpl_order(r, self, v[0], "<=") <= 0);
}

TEST(gt)
{
	return tpl_bool(tpl_order(r, self, v[0], ">") == 1);
}

TEST(ge)
{
	int order = tpl_order(r, self, v[0], ">=");

	return tpl_bool(order == 0 || order == 1);
}

static struct tpl_value ask(struct tpl_render *r, struct tpl_value self, const char *method)
{
	struct tpl_args none = { 0 };

	return tpl_call_builtin(
		r, tpl_find(tpl_str_queries, tpl_n_str_queries, method, strlen(method)),
		tpl_to_str(r, self), &none);
}

TEST(lower)
{
	return ask(r, self, "islower");
}

TEST(upper)
{
	return ask(r, self, "isupper");
}

TEST(filter)
{
	tpl_hash(r, self); /* jinja2 looks it up in a dict */
	return tpl_bool(self.type == TPL_STR && tpl_find_filter(self.u.s->data, self.u.s->len));
}

TEST(test)
{
	tpl_hash(r, self);
	return tpl_bool(self.type == TPL_STR && tpl_find_test(self.u.s->data, self.u.s->len));
}

static const struct tpl_builtin tests[] = {
	{ "odd", is_odd, "/", 0 },
	{ "even", is_even, "/", 0 },
	{ "divisibleby", is_divisibleby, "num", 1 },
	{ "defined", is_defined, "/", 0 },
	{ "undefined", is_undefined, "/", 0 },
	{ "filter", is_filter, "/", 0 },
	{ "test", is_test, "/", 0 },
	{ "none", is_none, "/", 0 },
	{ "boolean", is_boolean, "/", 0 },
	{ "false", is_false, "/", 0 },
	{ "true", is_true, "/", 0 },
	{ "integer", is_integer, "/", 0 },
	{ "float", is_float, "/", 0 },
	{ "lower", is_lower, "/", 0 },
	{ "upper", is_upper, "/", 0 },
	{ "string", is_string, "/", 0 },
	{ "mapping", is_mapping, "/", 0 },
	{ "number", is_number, "/", 0 },
	{ "sequence", is_sequence, "/", 0 },
	{ "iterable", is_iterable, "/", 0 },
	{ "callable", is_callable, "/", 0 },
	{ "sameas", is_sameas, "other", 1 },
	{ "escaped", is_escaped, "/", 0 },
	{ "in", is_in, "seq", 1 },
	{ "==", is_eq, "/other", 1 },
	{ "eq", is_eq, "/other", 1 },
	{ "equalto", is_eq, "/other", 1 },
	{ "!=", is_ne, "/other", 1 },
	{ "ne", is_ne, "/other", 1 },
	{ ">", is_gt, "/other", 1 },
	{ "gt", is_gt, "/other", 1 },
	{ "greaterthan", is_gt, "/other", 1 },
	{ ">=", is_ge, "/other", 1 },
	{ "ge", is_ge, "/other", 1 },
	{ "<", is_lt, "/other", 1 },
	{ "lt", is_lt, "/other", 1 },
	{ "lessthan", is_lt, "/other", 1 },
	{ "<=", is_le, "/other", 1 },
	{ "le", is_le, "/other", 1 },
};

const struct tpl_builtin *tpl_find_test(const char *name, size_t len)
{
	return tpl_find(tests, TPL_LEN(tests), name, len);
}
