/*
 * grammar-link.c - weir_net_link(): what the run needs to know about a whole network. Three passes
 * in linear time: which rules may be empty, which nodes can reach an end, and in which order rules
 * call each other before any byte is taken (which must be no circle).
 */
#include "grammar-net.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct linker {
	struct weir_net *net;
	uint32_t *stack; /* of nodes, n_nodes deep at most: each is put there once */
	uint32_t n_stack;
	uint32_t *from;             /* of each edge */
	uint32_t *waits;            /* per rule: edges that wait for it, linked by wait_next */
	uint32_t *wait_next;        /* per edge */
	uint8_t *early;             /* nodes that their rule reaches without a byte */
	uint8_t *alive;             /* nodes that can reach the end of their rule */
	uint8_t *empty;             /* rules that may be empty */
	uint32_t *into, *into_next; /* edges by target */
	uint32_t *degree, *queue;
};

static void clear(struct linker *l)
{
	free(l->stack);
	free(l->from);
	free(l->waits);
	free(l->wait_next);
	free(l->early);
	free(l->alive);
	free(l->empty);
	free(l->into);
	free(l->into_next);
	free(l->degree);
	free(l->queue);
}

static bool prepare(struct linker *l)
{
	struct weir_net *net = l->net;
	size_t n = net->n_nodes, m = net->n_edges + 1, r = net->n_rules + 1;

	l->stack = calloc(n, sizeof(*l->stack));
	l->from = calloc(m, sizeof(*l->from));
	l->waits = calloc(r, sizeof(*l->waits));
	l->wait_next = calloc(m, sizeof(*l->wait_next));
	l->early = calloc(n, 1);
	l->alive = calloc(n, 1);
	l->empty = calloc(r, 1);
	l->into = calloc(n, sizeof(*l->into));
	l->into_next = calloc(m, sizeof(*l->into_next));
	l->degree = calloc(r, sizeof(*l->degree));
	l->queue = calloc(r, sizeof(*l->queue));
	if (!l->stack || !l->from || !l->waits || !l->wait_next || !l->early || !l->alive ||
	    !l->empty || !l->into || !l->into_next || !l->degree || !l->queue)
		return false;
	memset(l->into, 0xff, n * sizeof(*l->into));
	for (uint32_t i = 0; i < net->n_nodes; i++) {
		for (uint32_t e = net->head[i]; e != NONE; e = net->next[e]) {
			l->from[e] = i;
			l->into_next[e] = l->into[net->edges[e].target];
			l->into[net->edges[e].target] = e;
		}
	}
	return true;
}

static uint32_t callee(const struct weir_net *net, const struct weir_edge *e)
{
	return e->kind == WEIR_EDGE_CALL ? e->arg : net->loops[e->arg].rule;
}

static bool calls(const struct weir_edge *e)
{
	return e->kind == WEIR_EDGE_CALL || e->kind == WEIR_EDGE_LOOP;
}

static void reach(struct linker *l, uint8_t *mark, uint32_t node)
{
	if (!mark[node]) {
		mark[node] = 1;
		l->stack[l->n_stack++] = node;
	}
}

static void wait_for(struct linker *l, uint32_t rule, uint32_t edge)
{
	l->wait_next[edge] = l->waits[rule];
	l->waits[rule] = edge;
}

/* --- what may be empty --------------------------------------------------------------------- */

/* An end may have been reached: the callers that wait for this rule go on. */
static void rule_empty(struct linker *l, uint32_t rule)
{
	if (l->empty[rule])
		return;
	l->empty[rule] = 1;
	for (uint32_t e = l->waits[rule]; e != NONE; e = l->wait_next[e])
		reach(l, l->early, l->net->edges[e].target);
}

static void find_empty(struct linker *l, const uint32_t *rule_of_end)
{
	struct weir_net *net = l->net;

	memset(l->waits, 0xff, (net->n_rules + 1) * sizeof(*l->waits));
	for (uint32_t i = 0; i < net->n_rules; i++)
		reach(l, l->early, net->rules[i].start);
	while (l->n_stack > 0) {
		uint32_t node = l->stack[--l->n_stack];

		if (net->final[node])
			rule_empty(l, rule_of_end[node]);
		for (uint32_t e = net->head[node]; e != NONE; e = net->next[e]) {
			const struct weir_edge *edge = &net->edges[e];

			if (edge->kind == WEIR_EDGE_EMPTY ||
			    (edge->kind == WEIR_EDGE_LOOP && net->loops[edge->arg].min == 0))
				reach(l, l->early, edge->target);
			else if (calls(edge) && l->empty[callee(net, edge)])
				reach(l, l->early, edge->target);
			else if (calls(edge))
				wait_for(l, callee(net, edge), e);
		}
	}
}

/* --- what can end -------------------------------------------------------------------------- */

static void find_alive(struct linker *l, const uint32_t *rule_of_start)
{
	struct weir_net *net = l->net;

	memset(l->waits, 0xff, (net->n_rules + 1) * sizeof(*l->waits));
	for (uint32_t i = 0; i < net->n_rules; i++)
		reach(l, l->alive, net->rules[i].end);
	while (l->n_stack > 0) {
		uint32_t node = l->stack[--l->n_stack], rule = rule_of_start[node];

		if (rule != NONE)
			for (uint32_t e = l->waits[rule]; e != NONE; e = l->wait_next[e])
				reach(l, l->alive, l->from[e]);
		for (uint32_t e = l->into[node]; e != NONE; e = l->into_next[e]) {
			const struct weir_edge *edge = &net->edges[e];

			if (!calls(edge) || l->alive[net->rules[callee(net, edge)].start] ||
			    (edge->kind == WEIR_EDGE_LOOP && net->loops[edge->arg].min == 0))
				reach(l, l->alive, l->from[e]);
			else
				wait_for(l, callee(net, edge), e);
		}
	}
}

/* Edges to nowhere go; calls that may be empty get a way around them. */
static bool rewrite(struct linker *l)
{
	struct weir_net *net = l->net;
	uint32_t n = net->n_edges;

	for (uint32_t e = 0; e < n; e++) {
		struct weir_edge edge = net->edges[e];
		bool dead = !l->alive[edge.target], around = false;

		if (!dead && calls(&edge)) {
			uint32_t rule = callee(net, &edge);
			bool body = l->alive[net->rules[rule].start];
			struct weir_net_loop *loop =
				edge.kind == WEIR_EDGE_LOOP ? &net->loops[edge.arg] : NULL;

			around = l->empty[rule] || (loop && loop->min == 0);
			/* Each round takes a byte at least: empty ones are walked around. */
			if (loop && l->empty[rule])
				loop->min = 0;
			dead = !body;
		}
		if (dead)
			net->edges[e].kind = WEIR_EDGE_NONE;
		if (around && dead)
			net->edges[e] = (struct weir_edge){ .target = edge.target,
							    .kind = WEIR_EDGE_EMPTY };
		else if (around)
			weir_net_empty(net, l->from[e], edge.target);
	}
	return !net->exhausted;
}

/* --- order --------------------------------------------------------------------------------- */

static weir_status order(struct linker *l, struct weir_error *err)
{
	struct weir_net *net = l->net;
	uint32_t n_queue = 0, at = 0;
	uint32_t *list = l->waits, *list_next = l->wait_next; /* early calls by calling rule */
	uint32_t *rule_of = calloc(net->n_nodes, sizeof(*rule_of));

	if (!rule_of)
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	memset(list, 0xff, (net->n_rules + 1) * sizeof(*list));
	/* Which rule an early node is of: walk each rule's early part. */
	for (uint32_t i = 0; i < net->n_rules; i++) {
		l->n_stack = 0;
		if (l->early[net->rules[i].start] == 1) {
			l->early[net->rules[i].start] = 2;
			l->stack[l->n_stack++] = net->rules[i].start;
		}
		while (l->n_stack > 0) {
			uint32_t node = l->stack[--l->n_stack];

			rule_of[node] = i;
			for (uint32_t e = net->head[node]; e != NONE; e = net->next[e]) {
				const struct weir_edge *edge = &net->edges[e];

				if (calls(edge) && edge->kind != WEIR_EDGE_NONE) {
					list_next[e] = list[i];
					list[i] = e;
					l->degree[callee(net, edge)]++;
				} else if (edge->kind == WEIR_EDGE_EMPTY &&
					   l->early[edge->target] == 1) {
					l->early[edge->target] = 2;
					l->stack[l->n_stack++] = edge->target;
				}
			}
		}
	}
	free(rule_of);
	for (uint32_t i = 0; i < net->n_rules; i++)
		if (l->degree[i] == 0)
			l->queue[n_queue++] = i;
	for (; at < n_queue; at++) {
		uint32_t rule = l->queue[at];

		net->rules[rule].rank = at;
		for (uint32_t e = list[rule]; e != NONE; e = list_next[e]) {
			uint32_t to = callee(net, &net->edges[e]);

			if (--l->degree[to] == 0)
				l->queue[n_queue++] = to;
		}
	}
	for (uint32_t i = 0; i < net->n_rules; i++) {
		uint32_t rule = i;

		if (l->degree[rule] == 0)
			continue;
		return weir_fail(err, WEIR_E_INVALID,
				 "grammar: the rule %s comes back to itself before it has taken a "
				 "character (left recursion): write it as a repetition, "
				 "or with the recursion at its end",
				 net->rules[rule].name);
	}
	return WEIR_OK;
}

/* --- packing ------------------------------------------------------------------------------- */

static bool is_tail(const struct weir_net *net, uint32_t node)
{
	for (int steps = 0; steps < 8; steps++) {
		uint32_t n = net->first[node + 1] - net->first[node];

		if (net->final[node])
			return n == 0;
		if (n != 1 || net->edges[net->first[node]].kind != WEIR_EDGE_EMPTY)
			return false;
		node = net->edges[net->first[node]].target;
	}
	return false;
}

static bool pack(struct weir_net *net)
{
	struct weir_edge *packed = malloc((net->n_edges + 1) * sizeof(*packed));
	uint32_t n = 0;

	net->first = malloc((net->n_nodes + 1) * sizeof(*net->first));
	if (!packed || !net->first) {
		free(packed);
		return false;
	}
	for (uint32_t i = 0; i < net->n_nodes; i++) {
		uint32_t start = n;

		net->first[i] = n;
		for (uint32_t e = net->head[i]; e != NONE; e = net->next[e])
			if (net->edges[e].kind != WEIR_EDGE_NONE)
				packed[n++] = net->edges[e];
		for (uint32_t a = start, b = n; a + 1 < b; a++) { /* as they were written */
			struct weir_edge keep = packed[a];

			packed[a] = packed[--b];
			packed[b] = keep;
		}
	}
	net->first[net->n_nodes] = n;
	free(net->edges);
	net->edges = packed;
	net->cap_edges = net->n_edges + 1;
	net->n_edges = n;
	free(net->next);
	free(net->head);
	net->next = net->head = NULL;
	for (uint32_t e = 0; e < n; e++)
		if (packed[e].kind == WEIR_EDGE_CALL && is_tail(net, packed[e].target))
			packed[e].flags |= WEIR_EDGE_TAIL;
	return true;
}

/* Rules without calls: their repetitions are looked at with the number of rounds unknown. */
static bool is_flat(const struct weir_net *net, uint32_t start)
{
	uint32_t seen[64], n = 0, at = 0;

	seen[n++] = start;
	for (; at < n; at++) {
		for (uint32_t e = net->first[seen[at]]; e < net->first[seen[at] + 1]; e++) {
			uint32_t to = net->edges[e].target, k = 0;

			if (calls(&net->edges[e]))
				return false;
			while (k < n && seen[k] != to)
				k++;
			if (k < n)
				continue;
			if (n == sizeof(seen) / sizeof(*seen))
				return false;
			seen[n++] = to;
		}
	}
	return true;
}

static void find_classes(struct weir_net *net)
{
	uint8_t cut[257] = { 0 };

	for (uint32_t e = 0; e < net->n_edges; e++) {
		if (net->edges[e].kind == WEIR_EDGE_BYTE) {
			cut[net->edges[e].lo] = 1;
			cut[net->edges[e].hi + 1] = 1;
		}
	}
	net->n_classes = 0;
	for (unsigned b = 0; b < 256; b++) {
		if (b == 0 || cut[b])
			net->byte_of[net->n_classes++] = (uint8_t)b;
		net->class_of[b] = (uint8_t)(net->n_classes - 1);
	}
}

static weir_status no_memory(const struct weir_net *net, struct weir_error *err)
{
	if (!net->exhausted)
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	return weir_fail(err, WEIR_E_EXHAUSTED,
			 "the grammar is too large: more than %u places or %u edges once it is "
			 "written out; use fewer or shorter alternatives and repetitions",
			 WEIR_NET_NODES, WEIR_NET_EDGES);
}

weir_status weir_net_link(struct weir_net *net, struct weir_error *err)
{
	struct linker l = { .net = net };
	uint32_t *by_node = NULL;
	weir_status s;

	if (net->exhausted)
		return no_memory(net, err);
	by_node = malloc((size_t)net->n_nodes * sizeof(*by_node));
	if (!by_node || !prepare(&l)) {
		s = no_memory(net, err);
		goto out;
	}
	memset(by_node, 0xff, (size_t)net->n_nodes * sizeof(*by_node));
	for (uint32_t i = 0; i < net->n_rules; i++)
		by_node[net->rules[i].end] = i;
	find_empty(&l, by_node);
	memset(by_node, 0xff, (size_t)net->n_nodes * sizeof(*by_node));
	for (uint32_t i = 0; i < net->n_rules; i++)
		by_node[net->rules[i].start] = i;
	find_alive(&l, by_node);
	if (!l.alive[net->rules[net->root].start]) {
		s = weir_fail(err, WEIR_E_INVALID,
			      "the grammar allows no text: every way through %s needs something "
			      "that never ends or cannot be met",
			      net->rules[net->root].name);
		goto out;
	}
	if (!rewrite(&l)) {
		s = no_memory(net, err);
		goto out;
	}
	/* rewrite() has added edges: the arrays by edge must hold them. */
	free(l.wait_next);
	l.wait_next = calloc((size_t)net->n_edges + 1, sizeof(*l.wait_next));
	if (!l.wait_next) {
		s = no_memory(net, err);
		goto out;
	}
	s = order(&l, err);
	if (s == WEIR_OK && !pack(net))
		s = no_memory(net, err);
	if (s == WEIR_OK) {
		find_classes(net);
		for (uint32_t i = 0; i < net->n_rules; i++)
			net->rules[i].flat = is_flat(net, net->rules[i].start);
	}
out:
	free(by_node);
	clear(&l);
	return s;
}
