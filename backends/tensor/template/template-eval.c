/* SPDX-License-Identifier: MIT */
/*
 * template-eval.c - evaluates the expressions of a chat template.
 *
 * Called by the statements (template-exec.c) and macros, on the thread of one render. Recursion
 * follows the syntax tree and is bounded by limits.max_depth; each node costs one step.
 */
#include "template-ast.h"

static struct tpl_value eval_name(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env)
{
	struct tpl_value v;

	for (uint32_t up = node->up; up; up--)
		env = env->parent;
	v = env->slot[node->slot];
	if (v.type == TPL_MISSING)
		return tpl_undefinedf(r, "'%.*s' is undefined",
				      node->name->len > 80 ? 80 : (int)node->name->len,
				      node->name->data);
	return v;
}

static struct tpl_value eval_sequence(struct tpl_render *r, const struct tpl_node *node,
				      struct tpl_env *env)
{
	struct tpl_value list = tpl_list(r, node->kids.n);

	for (size_t i = 0; i < node->kids.n; i++)
		tpl_push(r, list, tpl_eval(r, node->kids.node[i], env));
	if (node->kind == NODE_TUPLE)
		list.type = TPL_TUPLE;
	return list;
}

static struct tpl_value eval_dict(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env)
{
	struct tpl_value dict = tpl_dict(r);

	for (size_t i = 0; i + 1 < node->kids.n; i += 2) {
		struct tpl_value key = tpl_eval(r, node->kids.node[i], env);
		struct tpl_value v = tpl_eval(r, node->kids.node[i + 1], env);

		r->at = node;
		tpl_set(r, dict.u.d, key, v);
	}
	return dict;
}

static struct tpl_value eval_slice(struct tpl_render *r, const struct tpl_node *node,
				   struct tpl_env *env)
{
	struct tpl_slice *s = tpl_alloc(r, 1, sizeof(*s));

	s->start = node->a ? tpl_eval(r, node->a, env) : tpl_none();
	s->stop = node->b ? tpl_eval(r, node->b, env) : tpl_none();
	s->step = node->c ? tpl_eval(r, node->c, env) : tpl_none();
	return (struct tpl_value){ .type = TPL_SLICE, .u.slice = s };
}

static struct tpl_value eval_concat(struct tpl_render *r, const struct tpl_node *node,
				    struct tpl_env *env)
{
	struct tpl_buf b = { 0 };
	struct tpl_value list = eval_sequence(r, node, env);

	r->at = node;
	for (size_t i = 0; i < list.u.l->n; i++)
		tpl_print(r, &b, list.u.l->item[i]);
	return tpl_buf_value(r, &b);
}

static bool compare(struct tpl_render *r, int op, struct tpl_value a, struct tpl_value b)
{
	switch (op) {
	case TOK_EQ:
		return tpl_equal(r, a, b);
	case TOK_NE:
		return !tpl_equal(r, a, b);
	case TOK_LT:
		return tpl_order(r, a, b, "<") == -1;
	case TOK_LE:
		return tpl_order(r, a, b, "<=") <= 0;
	case TOK_GT:
		return tpl_order(r, a, b, ">") == 1;
	case TOK_GE: {
		int order = tpl_order(r, a, b, ">=");

		return order == 0 || order == 1;
	}
	case TOK_IN:
		return tpl_contains(r, b, a);
	default:
		return !tpl_contains(r, b, a);
	}
}

static struct tpl_value eval_compare(struct tpl_render *r, const struct tpl_node *node,
				     struct tpl_env *env)
{
	struct tpl_value left = tpl_eval(r, node->a, env);

	for (size_t i = 0; i < node->kids.n; i++) {
		struct tpl_value right = tpl_eval(r, node->kids.node[i]->a, env);

		r->at = node;
		if (!compare(r, node->kids.node[i]->op, left, right))
			return tpl_bool(false);
		left = right;
	}
	return tpl_bool(true);
}

static struct tpl_keyword *add_keyword(struct tpl_render *r, struct tpl_args *args, size_t *cap,
				       struct tpl_text *name, struct tpl_value v)
{
	for (size_t i = 0; i < args->n_kw; i++)
		if (args->kw[i].name->len == name->len &&
		    !memcmp(args->kw[i].name->data, name->data, name->len))
			tpl_fail(r, WEIR_E_INVALID,
				 "got multiple values for keyword argument '%.*s'",
				 name->len > 60 ? 60 : (int)name->len, name->data);
	tpl_step(r, args->n_kw);
	args->kw = tpl_grow(r, args->kw, args->n_kw, cap, sizeof(*args->kw));
	args->kw[args->n_kw] = (struct tpl_keyword){ name, v };
	return &args->kw[args->n_kw++];
}

void tpl_eval_args(struct tpl_render *r, const struct tpl_call *call, struct tpl_env *env,
		   struct tpl_args *ret)
{
	struct tpl_value pos, item;
	size_t cap = 0;

	*ret = (struct tpl_args){ 0 };
	if (!call)
		return;
	pos = tpl_list(r, call->pos.n);
	for (size_t i = 0; i < call->pos.n; i++)
		tpl_push(r, pos, tpl_eval(r, call->pos.node[i], env));
	if (call->star) {
		struct tpl_iter *it = tpl_iter(r, tpl_eval(r, call->star, env));

		while (tpl_next(r, it, &item))
			tpl_push(r, pos, item);
	}
	for (size_t i = 0; i < call->kw.n; i++)
		add_keyword(r, ret, &cap, call->kw.node[i]->name,
			    tpl_eval(r, call->kw.node[i]->a, env));
	if (call->star_star) {
		struct tpl_value more = tpl_eval(r, call->star_star, env);

		if (more.type != TPL_DICT)
			tpl_fail(r, WEIR_E_INVALID, "argument after ** must be a mapping, not %s",
				 tpl_type_name(more));
		for (size_t i = 0; i < more.u.d->n; i++) {
			if (more.u.d->pair[i].key.type != TPL_STR)
				tpl_fail(r, WEIR_E_INVALID, "keywords must be strings");
			add_keyword(r, ret, &cap, more.u.d->pair[i].key.u.s,
				    more.u.d->pair[i].value);
		}
	}
	ret->pos = pos.u.l->item;
	ret->n_pos = pos.u.l->n;
}

static struct tpl_value eval_call(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env)
{
	struct tpl_value fn = tpl_eval(r, node->a, env);
	struct tpl_args args;

	tpl_eval_args(r, node->call, env, &args);
	r->at = node;
	return tpl_call(r, fn, &args);
}

static _Noreturn void no_such(struct tpl_render *r, const struct tpl_node *node)
{
	tpl_fail(r, WEIR_E_INVALID, "no %s named '%.*s'",
		 node->kind == NODE_TEST ? "test" : "filter",
		 node->name->len > 60 ? 60 : (int)node->name->len, node->name->data);
}

struct tpl_value tpl_apply_filter(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_value v, struct tpl_env *env)
{
	struct tpl_args args;

	tpl_eval_args(r, node->call, env, &args);
	r->at = node;
	if (!node->fn)
		no_such(r, node);
	return tpl_call_builtin(r, node->fn, v, &args);
}

static struct tpl_value eval_filter(struct tpl_render *r, const struct tpl_node *node,
				    struct tpl_env *env)
{
	struct tpl_value v = tpl_eval(r, node->a, env);

	if (node->kind == NODE_FILTER)
		return tpl_apply_filter(r, node, v, env);
	v = tpl_apply_filter(r, node, v, env);
	return node->negated ? tpl_bool(!tpl_truth(r, v)) : v;
}

static struct tpl_value eval_item(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env)
{
	struct tpl_value v = tpl_eval(r, node->a, env), key;

	if (node->kind == NODE_GETATTR) {
		r->at = node;
		return tpl_getattr(r, v, node->value);
	}
	key = tpl_eval(r, node->b, env);
	r->at = node;
	return tpl_getitem(r, v, key);
}

static struct tpl_value eval_operator(struct tpl_render *r, const struct tpl_node *node,
				      struct tpl_env *env)
{
	struct tpl_value a = tpl_eval(r, node->a, env), b;

	if (node->kind == NODE_UNARY) {
		r->at = node;
		return tpl_unary(r, node->op, a);
	}
	b = tpl_eval(r, node->b, env);
	r->at = node;
	return tpl_binary(r, node->op, a, b);
}

static struct tpl_value eval_logic(struct tpl_render *r, const struct tpl_node *node,
				   struct tpl_env *env)
{
	struct tpl_value v = tpl_eval(r, node->a, env);
	bool truth;

	r->at = node;
	truth = tpl_truth(r, v);
	switch (node->kind) {
	case NODE_NOT:
		return tpl_bool(!truth);
	case NODE_AND:
		return truth ? tpl_eval(r, node->b, env) : v;
	case NODE_OR:
		return truth ? v : tpl_eval(r, node->b, env);
	default:
		if (truth)
			return tpl_eval(r, node->b, env);
		if (node->c)
			return tpl_eval(r, node->c, env);
		return tpl_undefinedf(r,
				      "the inline if-expression on line %u evaluated to false and "
				      "no else section was defined",
				      node->line);
	}
}

static struct tpl_value eval_kind(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env)
{
	switch (node->kind) {
	case NODE_CONST:
		return node->value;
	case NODE_NAME:
		return eval_name(r, node, env);
	case NODE_TUPLE:
	case NODE_LIST:
		return eval_sequence(r, node, env);
	case NODE_DICT:
		return eval_dict(r, node, env);
	case NODE_GETATTR:
	case NODE_GETITEM:
		return eval_item(r, node, env);
	case NODE_SLICE:
		return eval_slice(r, node, env);
	case NODE_CALL:
		return eval_call(r, node, env);
	case NODE_FILTER:
	case NODE_TEST:
		return eval_filter(r, node, env);
	case NODE_UNARY:
	case NODE_BINARY:
		return eval_operator(r, node, env);
	case NODE_NOT:
	case NODE_AND:
	case NODE_OR:
	case NODE_COND:
		return eval_logic(r, node, env);
	case NODE_CONCAT:
		return eval_concat(r, node, env);
	case NODE_COMPARE:
		return eval_compare(r, node, env);
	default:
		tpl_fail(r, WEIR_E_INTERNAL, "not an expression");
	}
}

struct tpl_value tpl_eval(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env)
{
	struct tpl_value v;

	r->at = node;
	tpl_step(r, 1);
	tpl_enter(r);
	v = eval_kind(r, node, env);
	tpl_leave(r);
	return v;
}
