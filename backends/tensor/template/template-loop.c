/* SPDX-License-Identifier: MIT */
/*
 * template-loop.c - {% for %} and its `loop` variable.
 *
 * Called by template-exec.c, on the thread of one render. Items are fetched one at a time, and one
 * ahead where the template asks for loop.last or loop.nextitem; the condition of `for x in y if c`
 * is evaluated as items are fetched, so it sees what the body has changed so far, as in jinja2.
 */
#include "template-ast.h"

/* The next item that passes the loop's condition. */
static bool fetch(struct tpl_render *r, struct tpl_loop *loop, struct tpl_value *ret)
{
	const struct tpl_node *node = loop->node;

	while (tpl_next(r, loop->source, ret)) {
		if (!node->c)
			return true;
		tpl_assign(r, node->d, loop->test_env, *ret);
		if (tpl_truth(r, tpl_eval(r, node->c, loop->test_env)))
			return true;
	}
	return false;
}

static bool peek(struct tpl_render *r, struct tpl_loop *loop, struct tpl_value *ret)
{
	if (loop->ahead_pos == loop->n_ahead) {
		struct tpl_value v;

		if (!fetch(r, loop, &v))
			return false;
		loop->ahead_pos = loop->n_ahead = 0;
		loop->ahead = tpl_grow(r, loop->ahead, 0, &loop->ahead_cap, sizeof(v));
		loop->ahead[loop->n_ahead++] = v;
	}
	*ret = loop->ahead[loop->ahead_pos];
	return true;
}

bool tpl_loop_next(struct tpl_render *r, struct tpl_loop *loop)
{
	struct tpl_value v;

	if (loop->ahead_pos < loop->n_ahead)
		v = loop->ahead[loop->ahead_pos++];
	else if (!fetch(r, loop, &v))
		return false;
	loop->index0++;
	loop->before = loop->current;
	loop->current = v;
	return true;
}

size_t tpl_loop_length(struct tpl_render *r, struct tpl_loop *loop)
{
	struct tpl_value v;
	size_t n;

	if (loop->length >= 0)
		return (size_t)loop->length;
	if (!loop->node->c && tpl_length(r, loop->iterable, &n)) {
		loop->length = (int64_t)n;
		return n;
	}
	while (fetch(r, loop, &v)) {
		if (loop->ahead_pos == loop->n_ahead)
			loop->ahead_pos = loop->n_ahead = 0;
		loop->ahead = tpl_grow(r, loop->ahead, loop->n_ahead, &loop->ahead_cap, sizeof(v));
		loop->ahead[loop->n_ahead++] = v;
	}
	loop->length = loop->index0 + 1 + (int64_t)(loop->n_ahead - loop->ahead_pos);
	return (size_t)loop->length;
}

/* Runs one loop over `items`; `env` is the frame around it. */
static enum tpl_flow run(struct tpl_render *r, const struct tpl_node *node, struct tpl_value items,
			 uint32_t depth0, struct tpl_env *env, struct tpl_buf *out)
{
	struct tpl_env *frame = tpl_open(r, node->scope, env);
	struct tpl_loop *loop = tpl_alloc(r, 1, sizeof(*loop));
	bool completed_one = false;

	loop->node = node;
	loop->outer = env;
	loop->iterable = items;
	loop->source = tpl_iter(r, items);
	loop->index0 = -1;
	loop->length = -1;
	loop->depth0 = depth0;
	if (node->c)
		loop->test_env = tpl_open(r, node->test_scope, env);
	if (node->extended)
		frame->slot[node->loop_slot] =
			(struct tpl_value){ .type = TPL_LOOP, .u.loop = loop };
	while (tpl_loop_next(r, loop)) {
		enum tpl_flow flow;

		tpl_assign(r, node->a, frame, loop->current);
		tpl_reset(r, frame);
		flow = tpl_exec(r, &node->kids, frame, out);
		if (flow == FLOW_BREAK)
			break;
		/* jinja2 notes an iteration at its end only, so `continue` skips the note. */
		if (flow == FLOW_ON)
			completed_one = true;
	}
	if (node->other.n && !completed_one)
		return tpl_exec(r, &node->other, tpl_open(r, node->else_scope, env), out);
	return FLOW_ON;
}

enum tpl_flow tpl_exec_for(struct tpl_render *r, const struct tpl_node *node, struct tpl_env *env,
			   struct tpl_buf *out)
{
	struct tpl_value items = tpl_eval(r, node->b, env);

	r->at = node;
	return run(r, node, items, 0, env, out);
}

struct tpl_value tpl_loop_recurse(struct tpl_render *r, struct tpl_loop *loop,
				  const struct tpl_args *args)
{
	struct tpl_buf b = { 0 };

	if (!loop->node->recursive)
		tpl_fail(r, WEIR_E_INVALID,
			 "the loop must have the 'recursive' marker to be called recursively");
	if (args->n_pos != 1 || args->n_kw)
		tpl_fail(r, WEIR_E_INVALID, "loop() takes one argument");
	tpl_enter(r);
	run(r, loop->node, args->pos[0], loop->depth0 + 1, loop->outer, &b);
	tpl_leave(r);
	return tpl_buf_value(r, &b);
}

static struct tpl_value loop_cycle(struct tpl_render *r, struct tpl_value self, struct tpl_value *v,
				   const struct tpl_args *args)
{
	if (!args->n_pos)
		tpl_fail(r, WEIR_E_INVALID, "no items for cycling given");
	return args->pos[(size_t)self.u.loop->index0 % args->n_pos];
}

static struct tpl_value loop_changed(struct tpl_render *r, struct tpl_value self,
				     struct tpl_value *v, const struct tpl_args *args)
{
	struct tpl_loop *loop = self.u.loop;
	struct tpl_value now = tpl_list(r, args->n_pos);

	for (size_t i = 0; i < args->n_pos; i++)
		tpl_push(r, now, args->pos[i]);
	now.type = TPL_TUPLE;
	if (loop->changed.type == TPL_TUPLE && tpl_equal(r, loop->changed, now))
		return tpl_bool(false);
	loop->changed = now;
	return tpl_bool(true);
}

static const struct tpl_builtin methods[] = {
	{ "cycle", loop_cycle, "*", 0 },
	{ "changed", loop_changed, "*", 0 },
};

bool tpl_loop_attr(struct tpl_render *r, struct tpl_value self, const char *name,
		   struct tpl_value *ret)
{
	struct tpl_loop *loop = self.u.loop;
	const struct tpl_builtin *fn = tpl_find(methods, TPL_LEN(methods), name, strlen(name));
	struct tpl_value next;

	if (fn)
		*ret = tpl_bind(r, self, fn);
	else if (!strcmp(name, "index"))
		*ret = tpl_int(loop->index0 + 1);
	else if (!strcmp(name, "index0"))
		*ret = tpl_int(loop->index0);
	else if (!strcmp(name, "revindex"))
		*ret = tpl_int((int64_t)tpl_loop_length(r, loop) - loop->index0);
	else if (!strcmp(name, "revindex0"))
		*ret = tpl_int((int64_t)tpl_loop_length(r, loop) - loop->index0 - 1);
	else if (!strcmp(name, "first"))
		*ret = tpl_bool(loop->index0 == 0);
	else if (!strcmp(name, "last"))
		*ret = tpl_bool(!peek(r, loop, &next));
	else if (!strcmp(name, "length"))
		*ret = tpl_int((int64_t)tpl_loop_length(r, loop));
	else if (!strcmp(name, "depth"))
		*ret = tpl_int(loop->depth0 + 1);
	else if (!strcmp(name, "depth0"))
		*ret = tpl_int(loop->depth0);
	else if (!strcmp(name, "previtem"))
		*ret = loop->index0 ? loop->before : tpl_undefined("there is no previous item");
	else if (!strcmp(name, "nextitem"))
		*ret = peek(r, loop, &next) ? next : tpl_undefined("there is no next item");
	else
		return false;
	return true;
}
