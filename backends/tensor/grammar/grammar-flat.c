/*
 * grammar-flat.c - see grammar-flat.h: the subset construction (Rabin and Scott 1959) with the set
 * of expressions that match as what an end is, and the product with a counter.
 */
#include "grammar-flat.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* Sets of nodes with numbers. */
struct subsets {
	const struct weir_net *net;
	uint32_t *nodes;         /* of all sets, one after the other */
	uint32_t *first;         /* n + 1 */
	uint32_t *next, *bucket; /* by hash */
	uint32_t *mark, *stack;  /* by node */
	uint32_t n, n_nodes, cap_nodes, stamp;
};

static weir_status no_memory(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
}

weir_status weir_flat_init(struct weir_flat *f, struct weir_error *err)
{
	memset(f, 0, sizeof(*f));
	f->net = weir_net_new();
	if (!f->net)
		return no_memory(err);
	f->start = weir_net_node(f->net);
	return WEIR_OK;
}

void weir_flat_clear(struct weir_flat *f)
{
	weir_net_free(f->net);
	memset(f, 0, sizeof(*f));
}

bool weir_flat_add(struct weir_flat *f, uint32_t *ret_from, uint32_t *ret_to)
{
	if (f->n == WEIR_FLAT_MAX)
		return false;
	*ret_from = weir_net_node(f->net);
	*ret_to = f->end[f->n++] = weir_net_node(f->net);
	weir_net_empty(f->net, f->start, *ret_from);
	return !f->net->exhausted;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void clear(struct subsets *s)
{
	free(s->nodes);
	free(s->first);
	free(s->next);
	free(s->bucket);
	free(s->mark);
	free(s->stack);
}

static bool init(struct subsets *s, const struct weir_net *net)
{
	memset(s, 0, sizeof(*s));
	s->net = net;
	s->first = calloc(WEIR_FLAT_STATES + 2, sizeof(*s->first));
	s->next = calloc(WEIR_FLAT_STATES + 2, sizeof(*s->next));
	s->bucket = malloc(4096 * sizeof(*s->bucket));
	s->mark = calloc(net->n_nodes, sizeof(*s->mark));
	s->stack = calloc(net->n_nodes, sizeof(*s->stack));
	if (!s->first || !s->next || !s->bucket || !s->mark || !s->stack)
		return false;
	memset(s->bucket, 0xff, 4096 * sizeof(*s->bucket));
	return true;
}

/* Begins a set behind the last one. */
static void begin(struct subsets *s)
{
	s->stamp++;
	s->n_nodes = s->first[s->n];
}

/* A node and what follows it without a byte. */
static bool add(struct subsets *s, uint32_t node)
{
	uint32_t n = 0;

	if (s->mark[node] == s->stamp)
		return true;
	s->mark[node] = s->stamp;
	s->stack[n++] = node;
	while (n > 0) {
		node = s->stack[--n];
		if (s->n_nodes == s->cap_nodes) {
			uint32_t cap = s->cap_nodes ? s->cap_nodes * 2 : 1024;
			uint32_t *more =
				cap > 1u << 24 ? NULL : realloc(s->nodes, cap * sizeof(*more));

			if (!more)
				return false;
			s->nodes = more;
			s->cap_nodes = cap;
		}
		s->nodes[s->n_nodes++] = node;
		for (uint32_t e = s->net->head[node]; e != NONE; e = s->net->next[e]) {
			uint32_t to = s->net->edges[e].target;

			if (s->net->edges[e].kind == WEIR_EDGE_EMPTY && s->mark[to] != s->stamp) {
				s->mark[to] = s->stamp;
				s->stack[n++] = to;
			}
		}
	}
	return true;
}

/* The number of the set that was begun; an old one if there is the same. NONE: too many. */
static uint32_t end(struct subsets *s)
{
	uint32_t from = s->first[s->n], n = s->n_nodes - from, hash = n;

	qsort(s->nodes + from, n, sizeof(*s->nodes), compare);
	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ s->nodes[from + i]) * 16777619u;
	hash = (hash ^ hash >> 15) & 4095;
	for (uint32_t i = s->bucket[hash]; i != NONE; i = s->next[i])
		if (s->first[i + 1] - s->first[i] == n &&
		    memcmp(s->nodes + s->first[i], s->nodes + from, n * sizeof(*s->nodes)) == 0)
			return i;
	if (s->n == WEIR_FLAT_STATES)
		return NONE;
	s->next[s->n] = s->bucket[hash];
	s->bucket[hash] = s->n;
	s->first[s->n + 1] = s->n_nodes;
	return s->n++;
}

static uint64_t matched(const struct weir_flat *f, const struct subsets *s, uint32_t set)
{
	uint64_t bits = 0;

	for (uint32_t k = 0; k < f->n; k++)
		if (bsearch(&f->end[k], s->nodes + s->first[set], s->first[set + 1] - s->first[set],
			    sizeof(*s->nodes), compare))
			bits |= (uint64_t)1 << k;
	return bits;
}

static bool step(struct subsets *s, uint32_t set, uint8_t byte, bool *ret_starts)
{
	*ret_starts = false;
	begin(s);
	for (uint32_t i = s->first[set]; i < s->first[set + 1]; i++) {
		for (uint32_t e = s->net->head[s->nodes[i]]; e != NONE; e = s->net->next[e]) {
			const struct weir_edge *edge = &s->net->edges[e];

			if (edge->kind != WEIR_EDGE_BYTE || byte < edge->lo || byte > edge->hi)
				continue;
			*ret_starts |= edge->flags & WEIR_EDGE_STARTS;
			if (!add(s, edge->target))
				return false;
		}
	}
	return true;
}

weir_status weir_flat_match(const struct weir_flat *f, struct weir_str text, uint64_t *ret,
			    struct weir_error *err)
{
	struct subsets s;
	uint32_t set = 0;
	bool ok = init(&s, f->net), starts;

	if (ok) {
		begin(&s);
		ok = add(&s, f->start);
		set = end(&s);
	}
	for (size_t i = 0; ok && i < text.len && set != NONE; i++) {
		ok = step(&s, set, (uint8_t)text.data[i], &starts);
		set = end(&s);
	}
	if (ok && set != NONE)
		*ret = matched(f, &s, set);
	clear(&s);
	return ok && set != NONE ? WEIR_OK : no_memory(err);
}

/* Where a set's bytes are told apart. */
static void cuts_of(const struct subsets *s, uint32_t set, uint8_t cut[257])
{
	memset(cut, 0, 257);
	cut[0] = 1;
	for (uint32_t i = s->first[set]; i < s->first[set + 1]; i++) {
		for (uint32_t e = s->net->head[s->nodes[i]]; e != NONE; e = s->net->next[e]) {
			const struct weir_edge *edge = &s->net->edges[e];

			if (edge->kind == WEIR_EDGE_BYTE)
				cut[edge->lo] = cut[edge->hi + 1] = 1;
		}
	}
}

weir_status weir_flat_split(const struct weir_flat *f, struct weir_net *into, uint32_t from,
			    uint32_t (*leads)(void *data, uint64_t matched), void *data,
			    struct weir_error *err)
{
	uint32_t *node_of = calloc(WEIR_FLAT_STATES + 1, sizeof(*node_of));
	struct subsets s;
	bool ok = init(&s, f->net) && node_of;

	if (ok) {
		begin(&s);
		ok = add(&s, f->start);
		(void)end(&s);
		node_of[0] = from;
	}
	for (uint32_t at = 0; ok && at < s.n && !into->exhausted; at++) {
		uint64_t bits = matched(f, &s, at);
		uint32_t to = bits ? leads(data, bits) : NONE;
		uint8_t cut[257];

		if (to != NONE)
			weir_net_empty(into, node_of[at], to);
		cuts_of(&s, at, cut);
		for (unsigned lo = 0, hi; ok && lo < 256; lo = hi) {
			uint32_t had = s.n, first_edge = into->n_edges;
			bool starts;

			for (hi = lo + 1; hi < 256 && !cut[hi];)
				hi++;
			ok = step(&s, at, (uint8_t)lo, &starts);
			if (!ok || s.n_nodes == s.first[s.n])
				continue;
			to = end(&s);
			if (to == NONE) {
				ok = false;
				break;
			}
			if (s.n > had)
				node_of[to] = weir_net_node(into);
			weir_net_byte(into, node_of[at], node_of[to], (uint8_t)lo,
				      (uint8_t)(hi - 1));
			if (starts && into->n_edges > first_edge)
				into->edges[first_edge].flags |= WEIR_EDGE_STARTS;
		}
	}
	clear(&s);
	free(node_of);
	if (!ok || f->net->exhausted)
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "the patterns are too complex together: more than %d situations",
				 WEIR_FLAT_STATES);
	return WEIR_OK;
}

/* --- the counter --------------------------------------------------------------------------- */

weir_status weir_flat_count(const struct weir_flat *f, struct weir_net *into, uint32_t from,
			    uint32_t to, uint32_t min, uint32_t max, struct weir_error *err)
{
	/* Beyond min all counts are the same when there is no max. */
	uint32_t top = max == WEIR_NET_MANY ? min : max, n = 0;
	uint64_t room = (uint64_t)f->net->n_nodes * ((uint64_t)top + 1);
	uint32_t *made, *stack;

	if (room > WEIR_NET_NODES * 8u || f->net->exhausted)
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "the pattern is too complex for a length of %u beside it", top);
	made = calloc(room, sizeof(*made));
	stack = calloc(room, sizeof(*stack));
	if (!made || !stack) {
		free(made);
		free(stack);
		return no_memory(err);
	}
	made[f->start * ((uint64_t)top + 1)] = from + 1;
	stack[n++] = (uint32_t)(f->start * ((uint64_t)top + 1));
	while (n > 0 && !into->exhausted) {
		uint32_t key = stack[--n], node = key / (top + 1), count = key % (top + 1);
		uint32_t here = made[key] - 1;

		if (node == f->end[0] && count >= min)
			weir_net_empty(into, here, to);
		for (uint32_t e = f->net->head[node]; e != NONE; e = f->net->next[e]) {
			const struct weir_edge *edge = &f->net->edges[e];
			bool starts =
				edge->kind == WEIR_EDGE_BYTE && (edge->flags & WEIR_EDGE_STARTS);
			uint32_t more = count + starts, first_edge = into->n_edges;
			uint64_t there;

			if (more > top && max != WEIR_NET_MANY)
				continue;
			more = more > top ? top : more;
			there = edge->target * ((uint64_t)top + 1) + more;
			if (!made[there]) {
				made[there] = weir_net_node(into) + 1;
				stack[n++] = (uint32_t)there;
			}
			if (edge->kind == WEIR_EDGE_BYTE)
				weir_net_byte(into, here, made[there] - 1, edge->lo, edge->hi);
			else
				weir_net_empty(into, here, made[there] - 1);
			if (starts && into->n_edges > first_edge)
				into->edges[first_edge].flags |= WEIR_EDGE_STARTS;
		}
	}
	free(made);
	free(stack);
	return WEIR_OK;
}
