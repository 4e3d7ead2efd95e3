/*
 * grammar-run.c - one step of all ways through a network; see grammar-run.h.
 *
 * First everything that follows from configurations that have taken a byte: empty edges and the
 * ends of rules. Calls met on the way only wait. Then the rules that wait are entered, lowest rank
 * first; in these nothing ends, since a rule that may be empty has an edge around its call.
 */
#include "grammar-run.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

static weir_status no_memory(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
}

/* Puts a configuration on the stack unless it has been there. */
static bool push(struct weir_run *r, uint32_t node, uint32_t frame)
{
	uint32_t at;

	if (2 * (r->n_seen + 1) > r->cap_seen) {
		uint32_t cap = r->cap_seen ? r->cap_seen * 2 : 128, had = r->cap_seen;
		struct weir_config *old = r->seen, *seen = malloc(cap * sizeof(*seen));

		if (!seen)
			return false;
		memset(seen, 0xff, cap * sizeof(*seen));
		for (uint32_t i = 0; i < had; i++) {
			if (old[i].node == NONE)
				continue;
			at = (old[i].node * 0x9e3779b1u + old[i].frame * 0x85ebca6bu) & (cap - 1);
			while (seen[at].node != NONE)
				at = (at + 1) & (cap - 1);
			seen[at] = old[i];
		}
		free(old);
		r->seen = seen;
		r->cap_seen = cap;
	}
	at = (node * 0x9e3779b1u + frame * 0x85ebca6bu) & (r->cap_seen - 1);
	for (; r->seen[at].node != NONE; at = (at + 1) & (r->cap_seen - 1))
		if (r->seen[at].node == node && r->seen[at].frame == frame)
			return true;
	r->seen[at] = (struct weir_config){ node, frame };
	r->n_seen++;
	return weir_configs_add(&r->stack, (struct weir_config){ node, frame });
}

static bool heap_push(struct weir_run *r, uint32_t rule)
{
	const struct weir_net_rule *rules = r->net->rules;
	uint32_t i = r->n_heap;

	if (r->n_heap == r->cap_heap) {
		uint32_t cap = r->cap_heap ? r->cap_heap * 2 : 32;
		uint32_t *heap = realloc(r->heap, cap * sizeof(*heap));

		if (!heap)
			return false;
		r->heap = heap;
		r->cap_heap = cap;
	}
	r->n_heap++;
	for (; i > 0 && rules[r->heap[(i - 1) / 2]].rank > rules[rule].rank; i = (i - 1) / 2)
		r->heap[i] = r->heap[(i - 1) / 2];
	r->heap[i] = rule;
	return true;
}

static uint32_t heap_pop(struct weir_run *r)
{
	const struct weir_net_rule *rules = r->net->rules;
	uint32_t top = r->heap[0], last = r->heap[--r->n_heap], i = 0;

	for (;;) {
		uint32_t k = 2 * i + 1;

		if (k >= r->n_heap)
			break;
		if (k + 1 < r->n_heap && rules[r->heap[k + 1]].rank < rules[r->heap[k]].rank)
			k++;
		if (rules[r->heap[k]].rank >= rules[last].rank)
			break;
		r->heap[i] = r->heap[k];
		i = k;
	}
	if (r->n_heap > 0)
		r->heap[i] = last;
	return top;
}

/* The rule is to be entered, with one more entry in its frame. */
static bool wait(struct weir_run *r, uint32_t rule, struct weir_entry entry)
{
	if (r->n_waits == r->cap_waits) {
		uint32_t cap = r->cap_waits ? r->cap_waits * 2 : 32;
		struct weir_wait *waits = realloc(r->waits, cap * sizeof(*waits));

		if (!waits)
			return false;
		r->waits = waits;
		r->cap_waits = cap;
	}
	if (r->slot[rule] == NONE && !heap_push(r, rule))
		return false;
	r->waits[r->n_waits] = (struct weir_wait){ entry, r->slot[rule] };
	r->slot[rule] = r->n_waits++;
	return true;
}

static bool call(struct weir_run *r, const struct weir_edge *e, uint32_t frame)
{
	const struct weir_frame *f = &r->frames[frame];
	bool ok = true;

	if (e->kind == WEIR_EDGE_LOOP)
		return wait(r, r->net->loops[e->arg].rule,
			    (struct weir_entry){ WEIR_TO_LOOP | e->arg, 0, frame });
	if (!(e->flags & WEIR_EDGE_TAIL))
		return wait(r, e->arg, (struct weir_entry){ e->target, 0, frame });
	for (uint32_t i = 0; ok && i < f->n; i++)
		ok = wait(r, e->arg, r->entries[f->first + i]);
	return ok;
}

/* A round of a repetition with unknown bounds is over: it may go on, or be the last one. */
static bool end_round(struct weir_run *r, struct weir_entry e)
{
	uint32_t frame;

	e.count++;
	if (!wait(r, e.to & WEIR_TO_VALUE, e))
		return false;
	frame = weir_run_frame(r, &e, 1);
	return frame != NONE && push(r, WEIR_NODE_EXIT, frame);
}

static bool end_one(struct weir_run *r, struct weir_entry e)
{
	const struct weir_net_loop *loop;
	uint32_t count;

	if ((e.to & WEIR_TO_KIND) == 0)
		return push(r, e.to, e.parent);
	if ((e.to & WEIR_TO_KIND) == WEIR_TO_ROUND)
		return end_round(r, e);
	loop = &r->net->loops[e.to & WEIR_TO_VALUE];
	count = e.count + 1;
	if (count >= loop->min && !push(r, loop->target, e.parent))
		return false;
	if (loop->max == WEIR_NET_MANY)
		e.count = count < loop->min ? count : loop->min;
	else
		e.count = count;
	return count >= loop->max || wait(r, loop->rule, e);
}

static bool end_rule(struct weir_run *r, uint32_t frame)
{
	bool ok = true;

	for (uint32_t i = 0; ok && i < r->frames[frame].n; i++)
		ok = end_one(r, r->entries[r->frames[frame].first + i]);
	return ok;
}

/* Follows what is on the stack. ends: the configurations have taken a byte. */
static bool follow(struct weir_run *r, bool ends, struct weir_configs *ret)
{
	const struct weir_net *net = r->net;

	while (r->stack.n > 0) {
		struct weir_config c = r->stack.at[--r->stack.n];
		bool keep = c.node < WEIR_NODE_FIRST, ok = true;

		for (uint32_t i = net->first[c.node]; ok && i < net->first[c.node + 1]; i++) {
			const struct weir_edge *e = &net->edges[i];

			if (e->kind == WEIR_EDGE_BYTE)
				keep = true;
			else if (e->kind == WEIR_EDGE_EMPTY)
				ok = push(r, e->target, c.frame);
			else
				ok = call(r, e, c.frame);
		}
		if (ok && ends && net->final[c.node])
			ok = end_rule(r, c.frame);
		if (!ok || (keep && !weir_configs_add(ret, c)))
			return false;
		if (r->n_seen > WEIR_RUN_CONFIGS)
			return false;
	}
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct weir_entry));
}

/* The frame of a rule that is entered. NONE with *ret_ok: it would be too deep. */
static uint32_t frame_of(struct weir_run *r, uint32_t rule, bool *ret_ok)
{
	uint32_t n = 0, kept = 0, frame;
	bool was_deep = r->too_deep;

	for (uint32_t w = r->slot[rule]; w != NONE; w = r->waits[w].next) {
		if (n == r->cap_sorted) {
			uint32_t cap = n ? n * 2 : 32;
			struct weir_entry *more = realloc(r->sorted, cap * sizeof(*more));

			if (!more) {
				*ret_ok = false;
				return NONE;
			}
			r->sorted = more;
			r->cap_sorted = cap;
		}
		r->sorted[n++] = r->waits[w].entry;
	}
	if (n > 1)
		qsort(r->sorted, n, sizeof(*r->sorted), compare_entries);
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || memcmp(&r->sorted[i], &r->sorted[kept - 1], sizeof(*r->sorted)) != 0)
			r->sorted[kept++] = r->sorted[i];
	r->too_deep = false;
	frame = weir_run_frame(r, r->sorted, kept);
	*ret_ok = frame != NONE || r->too_deep;
	r->too_deep |= was_deep;
	return frame;
}

static void forget_waits(struct weir_run *r)
{
	while (r->n_heap > 0)
		r->slot[r->heap[--r->n_heap]] = NONE;
	r->n_waits = 0;
}

/* All that follows from what was pushed. */
static weir_status close_over(struct weir_run *r, struct weir_configs *ret, struct weir_error *err)
{
	bool ok = follow(r, true, ret);

	while (ok && r->n_heap > 0) {
		uint32_t rule = heap_pop(r), frame = frame_of(r, rule, &ok);

		r->slot[rule] = NONE;
		if (frame == NONE)
			continue;
		ok = push(r, r->net->rules[rule].start, frame) && follow(r, false, ret);
	}
	forget_waits(r);
	r->stack.n = 0;
	if (!ok && (r->n_seen > WEIR_RUN_CONFIGS || r->n_entries + 64 > WEIR_RUN_ENTRIES))
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "the grammar is too ambiguous: more than %u ways to read the text",
				 WEIR_RUN_CONFIGS);
	if (!ok)
		return no_memory(err);
	weir_configs_sort(ret);
	return WEIR_OK;
}

static void begin(struct weir_run *r, struct weir_configs *ret)
{
	if (r->n_seen > 0)
		memset(r->seen, 0xff, r->cap_seen * sizeof(*r->seen));
	r->n_seen = 0;
	r->stack.n = 0;
	ret->n = 0;
}

weir_status weir_run_start(struct weir_run *r, struct weir_configs *ret, struct weir_error *err)
{
	begin(r, ret);
	if (!push(r, r->net->rules[r->net->root].start, WEIR_FRAME_ROOT))
		return no_memory(err);
	return close_over(r, ret, err);
}

weir_status weir_run_step(struct weir_run *r, const struct weir_configs *in, uint8_t byte,
			  struct weir_configs *ret, struct weir_error *err)
{
	const struct weir_net *net = r->net;

	begin(r, ret);
	for (uint32_t i = 0; i < in->n; i++) {
		struct weir_config c = in->at[i];

		for (uint32_t k = net->first[c.node]; k < net->first[c.node + 1]; k++) {
			const struct weir_edge *e = &net->edges[k];

			if (e->kind == WEIR_EDGE_BYTE && e->lo <= byte && byte <= e->hi &&
			    !push(r, e->target, c.frame))
				return no_memory(err);
		}
	}
	return r->stack.n > 0 ? close_over(r, ret, err) : WEIR_OK;
}

weir_status weir_run_return(struct weir_run *r, uint32_t frame, bool last, struct weir_configs *ret,
			    struct weir_error *err)
{
	struct weir_entry e = r->entries[r->frames[frame].first];
	bool ok;

	begin(r, ret);
	if (last)
		ok = push(r, r->net->loops[e.to & WEIR_TO_VALUE].target, e.parent);
	else
		ok = end_rule(r, frame);
	if (!ok) {
		forget_waits(r);
		return no_memory(err);
	}
	return close_over(r, ret, err);
}
