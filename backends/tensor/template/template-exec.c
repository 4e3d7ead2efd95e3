/* SPDX-License-Identifier: MIT */
/*
 * template-exec.c - runs the statements of a chat template: output, if, set, with, blocks, macros.
 *
 * Called by weir_template_render() and by loops and macros, on the thread of one render. Each scope
 * has one frame per entry; what a frame's variables start with is decided in template-scope.c.
 */
#include "template-ast.h"

static struct tpl_value lookup(struct tpl_render *r, const struct tpl_text *name)
{
	const struct tpl_builtin *fn;
	const struct tpl_value *v;

	v = tpl_get_name(r, r->exported, name->data, name->len);
	if (!v)
		v = tpl_get_name(r, r->context, name->data, name->len);
	if (v)
		return *v;
	fn = tpl_find_global(name->data, name->len);
	if (fn)
		return (struct tpl_value){ .type = TPL_FUNCTION, .u.fn = fn };
	return (struct tpl_value){ .type = TPL_MISSING };
}

void tpl_reset(struct tpl_render *r, struct tpl_env *env)
{
	tpl_step(r, env->scope->n);
	for (size_t i = 0; i < env->scope->n; i++) {
		const struct tpl_symbol *sym = &env->scope->symbol[i];
		struct tpl_env *from = env->parent;

		switch (sym->load) {
		case LOAD_PARAMETER:
			break;
		case LOAD_RESOLVE:
			env->slot[i] = lookup(r, sym->name);
			break;
		case LOAD_ALIAS:
			for (uint32_t up = sym->up; up; up--)
				from = from->parent;
			env->slot[i] = from->slot[sym->slot];
			break;
		default:
			env->slot[i] = (struct tpl_value){ .type = TPL_MISSING };
		}
	}
}

struct tpl_env *tpl_open(struct tpl_render *r, const struct tpl_scope *scope,
			 struct tpl_env *parent)
{
	struct tpl_env *env = tpl_alloc(r, 1, sizeof(*env) + scope->n * sizeof(struct tpl_value));

	env->scope = scope;
	env->parent = parent;
	tpl_reset(r, env);
	return env;
}

static struct tpl_env *frame_of(const struct tpl_node *node, struct tpl_env *env)
{
	for (uint32_t up = node->up; up; up--)
		env = env->parent;
	return env;
}

void tpl_assign(struct tpl_render *r, const struct tpl_node *target, struct tpl_env *env,
		struct tpl_value v)
{
	struct tpl_value item, ns;
	struct tpl_iter *it;
	size_t i;

	if (target->kind == NODE_NAME) {
		frame_of(target, env)->slot[target->slot] = v;
		if (target->exported)
			tpl_set(r, r->exported,
				(struct tpl_value){ .type = TPL_STR, .u.s = target->name }, v);
		return;
	}
	if (target->kind == NODE_NSREF) {
		ns = frame_of(target, env)->slot[target->slot];
		r->at = target;
		if (ns.type != TPL_NAMESPACE)
			tpl_fail(r, WEIR_E_INVALID,
				 "cannot assign attribute on non-namespace object");
		tpl_set(r, ns.u.d, target->value, v);
		return;
	}
	it = tpl_iter(r, v);
	for (i = 0; tpl_next(r, it, &item); i++) {
		if (i == target->kids.n)
			tpl_fail(r, WEIR_E_INVALID, "too many values to unpack (expected %zu)", i);
		tpl_assign(r, target->kids.node[i], env, item);
	}
	if (i < target->kids.n)
		tpl_fail(r, WEIR_E_INVALID, "not enough values to unpack (expected %zu, got %zu)",
			 target->kids.n, i);
}

static enum tpl_flow exec_if(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env,
			     struct tpl_buf *out)
{
	if (tpl_truth(r, tpl_eval(r, node->a, env)))
		return tpl_exec(r, &node->kids, env, out);
	for (size_t i = 0; i < node->other.n; i++) {
		const struct tpl_node *elif = node->other.node[i];

		if (tpl_truth(r, tpl_eval(r, elif->a, env)))
			return tpl_exec(r, &elif->kids, env, out);
	}
	return node->c ? tpl_exec(r, &node->c->kids, env, out) : FLOW_ON;
}

/* The body of a set or filter block goes into a text of its own, which the filters then change. */
static enum tpl_flow exec_capture(struct tpl_render *r, const struct tpl_node *node,
				  struct tpl_env *env, struct tpl_value *ret)
{
	const struct tpl_node *filter = node->kind == NODE_SET_BLOCK ? node->b : node->a;
	struct tpl_env *inner = tpl_open(r, node->scope, env);
	const struct tpl_node *chain[64];
	struct tpl_buf b = { 0 };
	enum tpl_flow flow = tpl_exec(r, &node->kids, inner, &b);
	size_t n = 0;

	if (flow != FLOW_ON)
		return flow;
	*ret = tpl_buf_value(r, &b);
	for (; filter; filter = filter->a) {
		if (n == TPL_LEN(chain))
			tpl_fail(r, WEIR_E_INVALID, "too many filters in a row");
		chain[n++] = filter;
	}
	while (n)
		*ret = tpl_apply_filter(r, chain[--n], *ret, inner);
	return FLOW_ON;
}

static struct tpl_value make_macro(struct tpl_render *r, const struct tpl_node *node,
				   struct tpl_env *env, struct tpl_value name)
{
	struct tpl_macro *m = tpl_alloc(r, 1, sizeof(*m));

	m->node = node;
	m->env = env;
	m->name = name;
	return (struct tpl_value){ .type = TPL_MACRO, .u.macro = m };
}

static void exec_call_block(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env,
			    struct tpl_buf *out)
{
	struct tpl_value caller = make_macro(r, node, env, tpl_none());
	struct tpl_args args = { 0 };
	struct tpl_keyword *kw;
	struct tpl_value fn;

	if (!node->a) {
		tpl_print(r, out, tpl_call_macro(r, caller.u.macro, &args));
		return;
	}
	fn = tpl_eval(r, node->a->a, env);
	tpl_eval_args(r, node->a->call, env, &args);
	r->at = node;
	kw = tpl_alloc(r, args.n_kw + 1, sizeof(*kw));
	if (args.n_kw)
		memcpy(kw, args.kw, args.n_kw * sizeof(*kw));
	kw[args.n_kw].name = tpl_cstr(r, "caller").u.s;
	kw[args.n_kw].value = caller;
	args.kw = kw;
	args.n_kw++;
	tpl_print(r, out, tpl_call(r, fn, &args));
}

static enum tpl_flow exec_with(struct tpl_render *r, const struct tpl_node *node,
			       struct tpl_env *env, struct tpl_buf *out)
{
	struct tpl_env *inner = tpl_open(r, node->scope, env);

	for (size_t i = 0; i + 1 < node->other.n; i += 2)
		tpl_assign(r, node->other.node[i], inner,
			   tpl_eval(r, node->other.node[i + 1], env));
	return tpl_exec(r, &node->kids, inner, out);
}

/* jinja2 looks at the namespaces of a target before it evaluates the right side. */
static void check_namespaces(struct tpl_render *r, const struct tpl_node *target,
			     struct tpl_env *env)
{
	if (target->kind == NODE_NSREF &&
	    frame_of(target, env)->slot[target->slot].type != TPL_NAMESPACE) {
		r->at = target;
		tpl_fail(r, WEIR_E_INVALID, "cannot assign attribute on non-namespace object");
	}
	for (size_t i = 0; i < target->kids.n; i++)
		check_namespaces(r, target->kids.node[i], env);
}

static enum tpl_flow exec_one(struct tpl_render *r, const struct tpl_node *node,
			      struct tpl_env *env, struct tpl_buf *out)
{
	struct tpl_value v;
	enum tpl_flow flow;

	switch (node->kind) {
	case NODE_DATA:
		tpl_put_text(r, out, node->name);
		return FLOW_ON;
	case NODE_OUTPUT:
		v = tpl_eval(r, node->a, env);
		r->at = node;
		tpl_print(r, out, v);
		return FLOW_ON;
	case NODE_IF:
		return exec_if(r, node, env, out);
	case NODE_FOR:
		return tpl_exec_for(r, node, env, out);
	case NODE_SET:
		check_namespaces(r, node->a, env);
		v = tpl_eval(r, node->b, env);
		tpl_assign(r, node->a, env, v);
		return FLOW_ON;
	case NODE_SET_BLOCK:
		flow = exec_capture(r, node, env, &v);
		if (flow == FLOW_ON)
			tpl_assign(r, node->a, env, v);
		return flow;
	case NODE_FILTER_BLOCK:
		flow = exec_capture(r, node, env, &v);
		if (flow == FLOW_ON)
			tpl_print(r, out, v);
		return flow;
	case NODE_MACRO:
		v = (struct tpl_value){ .type = TPL_STR, .u.s = node->a->name };
		tpl_assign(r, node->a, env, make_macro(r, node, env, v));
		return FLOW_ON;
	case NODE_CALL_BLOCK:
		exec_call_block(r, node, env, out);
		return FLOW_ON;
	case NODE_WITH:
		return exec_with(r, node, env, out);
	case NODE_SCOPE:
		return tpl_exec(r, &node->kids, env, out);
	case NODE_BLOCK:
		return tpl_exec(r, &node->kids, tpl_open(r, node->scope, NULL), out);
	case NODE_BREAK:
		return FLOW_BREAK;
	case NODE_CONTINUE:
		return FLOW_CONTINUE;
	default:
		tpl_fail(r, WEIR_E_INTERNAL, "not a statement");
	}
}

enum tpl_flow tpl_exec(struct tpl_render *r, const struct tpl_nodes *body, struct tpl_env *env,
		       struct tpl_buf *out)
{
	tpl_enter(r);
	for (size_t i = 0; i < body->n; i++) {
		enum tpl_flow flow;

		r->at = body->node[i];
		tpl_step(r, 1);
		flow = exec_one(r, body->node[i], env, out);
		if (flow != FLOW_ON) {
			tpl_leave(r);
			return flow;
		}
	}
	tpl_leave(r);
	return FLOW_ON;
}

/* The argument `name` among the keywords: taken out by setting its name to NULL. */
static struct tpl_value take(struct tpl_keyword *kw, size_t n, const struct tpl_text *name)
{
	for (size_t i = 0; i < n; i++)
		if (kw[i].name && kw[i].name->len == name->len &&
		    !memcmp(kw[i].name->data, name->data, name->len)) {
			kw[i].name = NULL;
			return kw[i].value;
		}
	return (struct tpl_value){ .type = TPL_MISSING };
}

struct tpl_value tpl_call_macro(struct tpl_render *r, const struct tpl_macro *macro,
				const struct tpl_args *args)
{
	const struct tpl_node *node = macro->node;
	const struct tpl_signature *sig = node->sig;
	struct tpl_keyword *kw = tpl_alloc(r, args->n_kw, sizeof(*kw));
	struct tpl_env *env = tpl_open(r, node->scope, macro->env);
	struct tpl_value rest = tpl_list(r, 0), more = tpl_dict(r), v;
	struct tpl_text caller = { .data = "caller", .len = 6 };
	bool found_caller = args->n_pos >= sig->param.n && sig->explicit_caller;
	struct tpl_buf b = { 0 };
	size_t i;

	tpl_enter(r);
	if (args->n_kw)
		memcpy(kw, args->kw, args->n_kw * sizeof(*kw));
	for (i = 0; i < sig->param.n; i++) {
		const struct tpl_node *param = sig->param.node[i];

		if (i >= args->n_pos && param->name->len == 6 &&
		    !memcmp(param->name->data, "caller", 6))
			found_caller = true;
		tpl_assign(r, param, env,
			   i < args->n_pos ? args->pos[i] : take(kw, args->n_kw, param->name));
	}
	if (sig->wants_caller && !found_caller) {
		v = take(kw, args->n_kw, &caller);
		if (v.type == TPL_MISSING || v.type == TPL_NONE)
			v = tpl_undefined("No caller defined");
		env->slot[sig->caller] = v;
	}
	for (i = 0; i < args->n_kw; i++) {
		if (!kw[i].name)
			continue;
		if (!sig->wants_kwargs)
			tpl_fail(r, WEIR_E_INVALID, "a macro takes no keyword argument '%.*s'",
				 kw[i].name->len > 60 ? 60 : (int)kw[i].name->len,
				 kw[i].name->data);
		tpl_set(r, more.u.d, (struct tpl_value){ .type = TPL_STR, .u.s = kw[i].name },
			kw[i].value);
	}
	if (sig->wants_kwargs)
		env->slot[sig->kwargs] = more;
	if (!sig->wants_varargs && args->n_pos > sig->param.n)
		tpl_fail(r, WEIR_E_INVALID, "a macro takes not more than %zu argument(s)",
			 sig->param.n);
	for (i = sig->param.n; i < args->n_pos; i++)
		tpl_push(r, rest, args->pos[i]);
	rest.type = TPL_TUPLE;
	if (sig->wants_varargs)
		env->slot[sig->varargs] = rest;
	for (i = 0; i < sig->param.n; i++) {
		const struct tpl_node *param = sig->param.node[i];
		size_t plain = sig->param.n - sig->defaults.n;

		if (env->slot[param->slot].type != TPL_MISSING)
			continue;
		env->slot[param->slot] =
			i >= plain
				? tpl_eval(r, sig->defaults.node[i - plain], env)
				: tpl_undefinedf(r, "parameter '%.*s' was not provided",
						 param->name->len > 60 ? 60 : (int)param->name->len,
						 param->name->data);
	}
	tpl_exec(r, &node->kids, env, &b);
	tpl_leave(r);
	return tpl_buf_value(r, &b);
}
