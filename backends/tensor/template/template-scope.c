/* SPDX-License-Identifier: MIT */
/*
 * template-scope.c - decides at parse time where each variable of a chat template lives.
 *
 * Called by weir_template_parse(), on its thread. jinja2 does the same when it compiles: a scope
 * (template, loop, macro, with, set block ...) first collects the names that its own statements
 * read and set, then its inner scopes do. So a name that is set anywhere in a scope is that scope's
 * everywhere, even where it is read earlier, and a `set` in a loop never reaches out of it. What a
 * variable starts with when its scope is entered is its `load`: the caller's value, the outer
 * scope's, nothing, or an argument.
 */
#include "template-ast.h"

struct resolver {
	struct tpl_render *r;
	struct tpl_scope *scope;
	bool soft; /* inside an if: unknown filters fail only when they are reached */
};

static void collect(struct resolver *v, struct tpl_node *node);
static void place(struct resolver *v, struct tpl_node *node);
static void place_all(struct resolver *v, struct tpl_nodes *nodes);

static bool same_name(const struct tpl_text *a, const struct tpl_text *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static bool named(const struct tpl_text *a, const char *name)
{
	return a->len == strlen(name) && !memcmp(a->data, name, a->len);
}

static bool find_own(struct resolver *v, const struct tpl_scope *s, const struct tpl_text *name,
		     uint32_t *ret)
{
	tpl_step(v->r, s->n);
	for (size_t i = 0; i < s->n; i++)
		if (same_name(s->symbol[i].name, name)) {
			*ret = (uint32_t)i;
			return true;
		}
	return false;
}

static bool find(struct resolver *v, const struct tpl_scope *s, const struct tpl_text *name,
		 uint32_t *ret_up, uint32_t *ret_slot)
{
	for (*ret_up = 0; s; s = s->parent, (*ret_up)++)
		if (find_own(v, s, name, ret_slot))
			return true;
	return false;
}

static struct tpl_symbol *add(struct resolver *v, struct tpl_text *name, enum tpl_load load)
{
	struct tpl_scope *s = v->scope;
	struct tpl_symbol *sym;

	s->symbol = tpl_grow(v->r, s->symbol, s->n, &s->cap, sizeof(*s->symbol));
	sym = &s->symbol[s->n++];
	*sym = (struct tpl_symbol){ .name = name, .load = (uint8_t)load };
	return sym;
}

static void alias_or(struct resolver *v, struct tpl_symbol *sym, enum tpl_load otherwise)
{
	bool outer = find(v, v->scope->parent, sym->name, &sym->up, &sym->slot);

	sym->load = (uint8_t)(outer ? LOAD_ALIAS : otherwise);
}

static void store(struct resolver *v, struct tpl_text *name)
{
	uint32_t slot;

	if (find_own(v, v->scope, name, &slot))
		v->scope->symbol[slot].stored = true;
	else {
		struct tpl_symbol *sym = add(v, name, LOAD_UNDEFINED);

		sym->stored = true;
		alias_or(v, sym, LOAD_UNDEFINED);
	}
}

static void load(struct resolver *v, struct tpl_text *name)
{
	uint32_t up, slot;

	if (!find(v, v->scope, name, &up, &slot))
		add(v, name, LOAD_RESOLVE);
}

static uint32_t parameter(struct resolver *v, struct tpl_text *name)
{
	uint32_t slot;

	if (!find_own(v, v->scope, name, &slot)) {
		add(v, name, LOAD_PARAMETER);
		slot = (uint32_t)v->scope->n - 1;
	}
	v->scope->symbol[slot].load = LOAD_PARAMETER;
	v->scope->symbol[slot].stored = true;
	return slot;
}

static uint32_t special(struct resolver *v, const char *name)
{
	return parameter(v, tpl_cstr(v->r, name).u.s);
}

static void collect_all(struct resolver *v, struct tpl_nodes *nodes)
{
	for (size_t i = 0; i < nodes->n; i++)
		collect(v, nodes->node[i]);
}

static void collect_call(struct resolver *v, struct tpl_call *call)
{
	collect_all(v, &call->pos);
	for (size_t i = 0; i < call->kw.n; i++)
		collect(v, call->kw.node[i]->a);
	collect(v, call->star);
	collect(v, call->star_star);
}

/* A branch starts from the state before the if, and leaves its own state in *ret. */
static void collect_branch(struct resolver *v, const struct tpl_scope *before,
			   struct tpl_nodes *nodes, struct tpl_scope *ret)
{
	struct tpl_scope *own = v->scope, branch = *before;

	tpl_step(v->r, before->n);
	branch.cap = before->n + 4;
	branch.symbol = tpl_alloc(v->r, branch.cap, sizeof(*branch.symbol));
	if (before->n)
		memcpy(branch.symbol, before->symbol, before->n * sizeof(*branch.symbol));
	v->scope = &branch;
	collect_all(v, nodes);
	v->scope = own;
	*ret = branch;
}

static void collect_if(struct resolver *v, struct tpl_node *node)
{
	struct tpl_nodes none = { 0 };
	struct tpl_scope before, branch[3];
	struct tpl_scope *own = v->scope;

	collect(v, node->a);
	before = *own;
	collect_branch(v, &before, &node->kids, &branch[0]);
	collect_branch(v, &before, &node->other, &branch[1]);
	collect_branch(v, &before, node->c ? &node->c->kids : &none, &branch[2]);
	/* The branches' variables live in this scope; what only some of them set starts with the
	 * value that the name has outside. */
	own->symbol = tpl_alloc(v->r, before.n + 4, sizeof(*own->symbol));
	own->cap = before.n + 4;
	if (before.n)
		memcpy(own->symbol, before.symbol, before.n * sizeof(*own->symbol));
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < branch[k].n; i++) {
			struct tpl_symbol *from = &branch[k].symbol[i], *to;
			bool was_stored;
			uint32_t slot;

			if (!find_own(v, own, from->name, &slot)) {
				add(v, from->name, from->load);
				slot = (uint32_t)own->n - 1;
			}
			to = &own->symbol[slot];
			was_stored = slot < before.n && before.symbol[slot].stored;
			if (from->stored && !was_stored) {
				alias_or(v, to, LOAD_RESOLVE);
			} else if (!to->stored || was_stored) {
				to->load = from->load;
				to->up = from->up;
				to->slot = from->slot;
			}
			to->stored |= from->stored;
		}
}

/* First pass: the names that a statement or expression reads or sets in the current scope. */
static void collect(struct resolver *v, struct tpl_node *node)
{
	if (!node)
		return;
	tpl_step(v->r, 1);
	switch (node->kind) {
	case NODE_NAME:
		if (node->store)
			store(v, node->name);
		else
			load(v, node->name);
		return;
	case NODE_NSREF:
		load(v, node->name);
		return;
	case NODE_IF:
		collect_if(v, node);
		return;
	case NODE_FOR:
		collect(v, node->b);
		return;
	case NODE_SET:
		collect(v, node->b);
		collect(v, node->a);
		return;
	case NODE_SET_BLOCK:
	case NODE_MACRO:
	case NODE_CALL_BLOCK:
	case NODE_FILTER_BLOCK:
		collect(v, node->a);
		return;
	case NODE_WITH:
		for (size_t i = 1; i < node->other.n; i += 2)
			collect(v, node->other.node[i]);
		return;
	case NODE_BLOCK:
		return;
	default:
		collect(v, node->a);
		collect(v, node->b);
		collect(v, node->c);
		collect_all(v, &node->kids);
		if (node->call)
			collect_call(v, node->call);
	}
}

static void declare(struct resolver *v, struct tpl_node *target)
{
	if (target->kind == NODE_NAME)
		parameter(v, target->name);
	for (size_t i = 0; i < target->kids.n; i++)
		declare(v, target->kids.node[i]);
}

/* Is `name` read anywhere below before something there sets it? Blocks are left out. */
struct search {
	const char *name;
	bool found, hidden;
};

static void search_all(struct resolver *v, struct search *s, const struct tpl_nodes *nodes);

static void search(struct resolver *v, struct search *s, const struct tpl_node *node)
{
	if (!node || s->found || s->hidden || node->kind == NODE_BLOCK)
		return;
	tpl_step(v->r, 1);
	if (node->kind == NODE_NAME && named(node->name, s->name)) {
		s->found = !node->store;
		s->hidden = node->store;
		return;
	}
	if (node->kind == NODE_MACRO) {
		search_all(v, s, &node->sig->param);
		search_all(v, s, &node->sig->defaults);
		search_all(v, s, &node->kids);
		return;
	}
	search(v, s, node->a);
	if (node->sig) {
		search_all(v, s, &node->sig->param);
		search_all(v, s, &node->sig->defaults);
	}
	search(v, s, node->b);
	if (node->kind != NODE_IF)
		search(v, s, node->c);
	search_all(v, s, &node->kids);
	search_all(v, s, &node->other);
	if (node->kind == NODE_IF)
		search(v, s, node->c);
	if (node->call) {
		search_all(v, s, &node->call->pos);
		search_all(v, s, &node->call->kw);
		search(v, s, node->call->star);
		search(v, s, node->call->star_star);
	}
}

static void search_all(struct resolver *v, struct search *s, const struct tpl_nodes *nodes)
{
	for (size_t i = 0; i < nodes->n; i++)
		search(v, s, nodes->node[i]);
}

static bool reads(struct resolver *v, const struct tpl_nodes *nodes, const char *name)
{
	struct search s = { .name = name };

	search_all(v, &s, nodes);
	return s.found;
}

static bool stores_loop(struct resolver *v, const struct tpl_node *node)
{
	if (!node)
		return false;
	tpl_step(v->r, 1);
	if (node->kind == NODE_NAME)
		return node->store && named(node->name, "loop");
	for (size_t i = 0; i < node->kids.n; i++)
		if (stores_loop(v, node->kids.node[i]))
			return true;
	for (size_t i = 0; i < node->other.n; i++)
		if (stores_loop(v, node->other.node[i]))
			return true;
	for (size_t i = 0; node->sig && i < node->sig->param.n; i++)
		if (stores_loop(v, node->sig->param.node[i]))
			return true;
	return stores_loop(v, node->a) || (node->kind == NODE_IF && stores_loop(v, node->c));
}

static struct tpl_scope *push(struct resolver *v, struct tpl_scope *parent)
{
	struct tpl_scope *s = tpl_alloc(v->r, 1, sizeof(*s));

	s->parent = parent;
	v->scope = s;
	v->soft = false;
	return s;
}

static void place_for(struct resolver *v, struct tpl_node *node)
{
	struct resolver outer = *v;

	if (stores_loop(v, node))
		tpl_fail_at(v->r, WEIR_E_INVALID, node->line, node->column,
			    "can't assign to special loop variable in for-loop");
	node->extended = node->recursive || reads(v, &node->kids, "loop");
	place(v, node->b);
	if (node->c) {
		node->test_scope = push(v, outer.scope);
		declare(v, node->d);
		collect(v, node->c);
		place(v, node->d);
		place(v, node->c);
	}
	node->scope = push(v, outer.scope);
	if (node->extended)
		node->loop_slot = special(v, "loop");
	declare(v, node->a);
	collect_all(v, &node->kids);
	place(v, node->a);
	place_all(v, &node->kids);
	node->else_scope = push(v, outer.scope);
	collect_all(v, &node->other);
	place_all(v, &node->other);
	*v = outer;
}

static void place_function(struct resolver *v, struct tpl_node *node)
{
	static const char *const names[] = { "caller", "kwargs", "varargs" };
	struct tpl_signature *sig = node->sig;
	struct resolver outer = *v;
	bool wants[3];

	node->scope = push(v, outer.scope);
	for (size_t i = 0; i < sig->param.n; i++)
		declare(v, sig->param.node[i]);
	for (size_t k = 0; k < 3; k++) {
		bool is_param = false;

		for (size_t i = 0; i < sig->param.n; i++) {
			if (!named(sig->param.node[i]->name, names[k]))
				continue;
			is_param = true;
			if (k == 0)
				sig->explicit_caller = true;
			if (k == 0 && i < sig->param.n - sig->defaults.n &&
			    reads(v, &node->kids, names[0]))
				tpl_fail_at(v->r, WEIR_E_INVALID, node->line, node->column,
					    "the special 'caller' argument must be omitted or be "
					    "given a default");
		}
		wants[k] = reads(v, &node->kids, names[k]) && !is_param;
		if (k == 0)
			sig->wants_caller = reads(v, &node->kids, names[0]);
	}
	if (wants[0])
		sig->caller = special(v, names[0]);
	sig->wants_kwargs = wants[1];
	if (wants[1])
		sig->kwargs = special(v, names[1]);
	sig->wants_varargs = wants[2];
	if (wants[2])
		sig->varargs = special(v, names[2]);
	collect_all(v, &sig->defaults);
	collect_all(v, &node->kids);
	place_all(v, &sig->param);
	place_all(v, &sig->defaults);
	place_all(v, &node->kids);
	*v = outer;
}

static void place_name(struct resolver *v, struct tpl_node *node)
{
	if (!find(v, v->scope, node->name, &node->up, &node->slot))
		tpl_fail_at(v->r, WEIR_E_INTERNAL, node->line, node->column, "lost the name '%.*s'",
			    (int)node->name->len, node->name->data);
	node->exported = node->store && v->scope->top;
}

static void place_body(struct resolver *v, struct tpl_node *node, struct tpl_scope *parent)
{
	struct resolver outer = *v;

	node->scope = push(v, parent);
	if (node->kind == NODE_WITH)
		for (size_t i = 0; i < node->other.n; i += 2)
			declare(v, node->other.node[i]);
	collect_all(v, &node->kids);
	if (node->kind == NODE_SET_BLOCK)
		collect(v, node->b);
	if (node->kind == NODE_FILTER_BLOCK)
		collect(v, node->a);
	if (node->kind == NODE_WITH)
		for (size_t i = 0; i < node->other.n; i += 2)
			place(v, node->other.node[i]);
	place_all(v, &node->kids);
	if (node->kind == NODE_SET_BLOCK)
		place(v, node->b);
	if (node->kind == NODE_FILTER_BLOCK)
		place(v, node->a);
	*v = outer;
}

/* Second pass: gives every name its frame and slot, and does both passes for inner scopes. */
static void place(struct resolver *v, struct tpl_node *node)
{
	bool soft = v->soft;

	if (!node)
		return;
	tpl_step(v->r, 1);
	switch (node->kind) {
	case NODE_NAME:
	case NODE_NSREF:
		place_name(v, node);
		return;
	case NODE_FOR:
		place_for(v, node);
		return;
	case NODE_MACRO:
		place(v, node->a);
		place_function(v, node);
		return;
	case NODE_CALL_BLOCK:
		place(v, node->a);
		place_function(v, node);
		return;
	case NODE_SET_BLOCK:
		place(v, node->a);
		place_body(v, node, v->scope);
		return;
	case NODE_FILTER_BLOCK:
		place_body(v, node, v->scope);
		return;
	case NODE_WITH:
		for (size_t i = 1; i < node->other.n; i += 2)
			place(v, node->other.node[i]);
		place_body(v, node, v->scope);
		return;
	case NODE_BLOCK:
		place_body(v, node, NULL);
		return;
	case NODE_FILTER:
	case NODE_TEST:
		if (!node->fn && !v->soft)
			tpl_fail_at(
				v->r, WEIR_E_INVALID, node->line, node->column,
				"no %s named '%.*s'", node->kind == NODE_TEST ? "test" : "filter",
				node->name->len > 60 ? 60 : (int)node->name->len, node->name->data);
		break;
	case NODE_IF:
	case NODE_COND:
		v->soft = true;
		break;
	default:
		break;
	}
	place(v, node->a);
	place(v, node->b);
	place(v, node->c);
	place_all(v, &node->kids);
	place_all(v, &node->other);
	if (node->call) {
		place_all(v, &node->call->pos);
		for (size_t i = 0; i < node->call->kw.n; i++)
			place(v, node->call->kw.node[i]->a);
		place(v, node->call->star);
		place(v, node->call->star_star);
	}
	v->soft = soft;
}

static void place_all(struct resolver *v, struct tpl_nodes *nodes)
{
	for (size_t i = 0; i < nodes->n; i++)
		place(v, nodes->node[i]);
}

struct tpl_scope *tpl_resolve(struct tpl_render *r, struct tpl_nodes *body)
{
	struct resolver v = { .r = r };
	struct tpl_scope *scope = push(&v, NULL);

	scope->top = true;
	collect_all(&v, body);
	place_all(&v, body);
	return scope;
}
