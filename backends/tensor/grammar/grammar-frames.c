/*
 * grammar-frames.c - frames and sets of configurations; see grammar-run.h. The steps themselves are
 * in grammar-run.c.
 */
#include "grammar-run.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

static uint32_t hash_entries(const struct weir_entry *e, uint32_t n)
{
	uint64_t h = n;

	for (uint32_t i = 0; i < n; i++) {
		h = (h ^ e[i].to) * 0x9e3779b97f4a7c15u;
		h = (h ^ h >> 29 ^ e[i].count) * 0xbf58476d1ce4e5b9u;
		h = (h ^ h >> 32 ^ e[i].parent) * 0x94d049bb133111ebu;
	}
	return (uint32_t)(h ^ h >> 32);
}

static bool more_frames(struct weir_run *r)
{
	uint32_t cap = r->cap_frames ? r->cap_frames * 2 : 64;
	struct weir_frame *frames;
	uint32_t *buckets;

	if (r->n_frames < r->cap_frames)
		return true;
	frames = realloc(r->frames, cap * sizeof(*frames));
	if (!frames)
		return false;
	r->frames = frames;
	buckets = realloc(r->buckets, 2 * (size_t)cap * sizeof(*buckets));
	if (!buckets)
		return false;
	r->buckets = buckets;
	r->cap_frames = cap;
	r->n_buckets = 2 * cap;
	memset(buckets, 0xff, r->n_buckets * sizeof(*buckets));
	for (uint32_t i = 0; i < r->n_frames; i++) {
		uint32_t *b = &buckets[hash_entries(r->entries + frames[i].first, frames[i].n) &
				       (r->n_buckets - 1)];

		frames[i].next = *b;
		*b = i;
	}
	return true;
}

static bool more_entries(struct weir_run *r, uint32_t n)
{
	uint32_t cap = r->cap_entries ? r->cap_entries : 64;
	struct weir_entry *entries;

	if (n > WEIR_RUN_ENTRIES || r->n_entries + n > WEIR_RUN_ENTRIES)
		return false;
	while (cap < r->n_entries + n)
		cap *= 2;
	if (cap == r->cap_entries)
		return true;
	entries = realloc(r->entries, cap * sizeof(*entries));
	if (!entries)
		return false;
	r->entries = entries;
	r->cap_entries = cap;
	return true;
}

uint32_t weir_run_frame(struct weir_run *r, const struct weir_entry *entries, uint32_t n)
{
	uint32_t hash = hash_entries(entries, n), depth = 0;
	struct weir_frame *f;

	if (r->n_buckets > 0) {
		for (uint32_t i = r->buckets[hash & (r->n_buckets - 1)]; i != NONE;
		     i = r->frames[i].next) {
			f = &r->frames[i];
			if (f->n == n &&
			    memcmp(r->entries + f->first, entries, n * sizeof(*entries)) == 0)
				return i;
		}
	}
	for (uint32_t i = 0; i < n && r->n_frames >= WEIR_FRAME_FIRST; i++) {
		uint32_t below = r->frames[entries[i].parent].depth + 1;

		depth = below > depth ? below : depth;
	}
	if (depth > WEIR_RUN_DEPTH) {
		r->too_deep = true;
		return NONE;
	}
	if (!more_frames(r) || !more_entries(r, n))
		return NONE;
	f = &r->frames[r->n_frames];
	*f = (struct weir_frame){ r->n_entries, n, depth, r->buckets[hash & (r->n_buckets - 1)] };
	r->buckets[hash & (r->n_buckets - 1)] = r->n_frames;
	memcpy(r->entries + r->n_entries, entries, n * sizeof(*entries));
	r->n_entries += n;
	return r->n_frames++;
}

void weir_run_reset(struct weir_run *r)
{
	static const struct weir_entry root = { WEIR_NODE_ACCEPT, 0, WEIR_FRAME_ROOT };
	static const struct weir_entry hole = { WEIR_NODE_EXIT, 0, WEIR_FRAME_HOLE };

	r->n_frames = r->n_entries = 0;
	if (r->n_buckets > 0)
		memset(r->buckets, 0xff, r->n_buckets * sizeof(*r->buckets));
	/* init() has made room for these. */
	weir_run_frame(r, &root, 1);
	weir_run_frame(r, &hole, 1);
}

weir_status weir_run_init(struct weir_run *r, const struct weir_net *net, struct weir_error *err)
{
	memset(r, 0, sizeof(*r));
	r->net = net;
	r->slot = malloc((net->n_rules + 1) * sizeof(*r->slot));
	if (!r->slot || !more_frames(r) || !more_entries(r, 8)) {
		weir_run_clear(r);
		return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	}
	memset(r->slot, 0xff, (net->n_rules + 1) * sizeof(*r->slot));
	weir_run_reset(r);
	return WEIR_OK;
}

void weir_run_clear(struct weir_run *r)
{
	free(r->frames);
	free(r->entries);
	free(r->buckets);
	free(r->seen);
	free(r->stack.at);
	free(r->waits);
	free(r->slot);
	free(r->heap);
	free(r->sorted);
	free(r->map);
	memset(r, 0, sizeof(*r));
}

bool weir_configs_add(struct weir_configs *c, struct weir_config one)
{
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 16;
		struct weir_config *at = realloc(c->at, cap * sizeof(*at));

		if (!at)
			return false;
		c->at = at;
		c->cap = cap;
	}
	c->at[c->n++] = one;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct weir_config *x = a, *y = b;

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

void weir_configs_sort(struct weir_configs *c)
{
	if (c->n > 16) {
		qsort(c->at, c->n, sizeof(*c->at), compare);
		return;
	}
	for (uint32_t i = 1; i < c->n; i++) {
		struct weir_config one = c->at[i];
		uint32_t k = i;

		for (; k > 0 && compare(&c->at[k - 1], &one) > 0; k--)
			c->at[k] = c->at[k - 1];
		c->at[k] = one;
	}
}

static int compare_entries(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct weir_entry));
}

weir_status weir_run_import(struct weir_run *r, const struct weir_run *from,
			    const struct weir_configs *in, struct weir_configs *ret,
			    struct weir_error *err)
{
	struct weir_entry one[16], *many = NULL;
	uint32_t top = WEIR_FRAME_HOLE;

	if (r->cap_map < from->n_frames) {
		uint32_t *map = realloc(r->map, from->cap_frames * sizeof(*map));

		if (!map)
			return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
		r->map = map;
		r->cap_map = from->cap_frames;
	}
	/* A frame's parents have lower numbers: mark downwards, then make upwards. */
	memset(r->map, 0, from->n_frames * sizeof(*r->map));
	for (uint32_t i = 0; i < in->n; i++) {
		r->map[in->at[i].frame] = 1;
		top = in->at[i].frame > top ? in->at[i].frame : top;
	}
	for (uint32_t f = top; f >= WEIR_FRAME_FIRST; f--)
		for (uint32_t k = 0; r->map[f] && k < from->frames[f].n; k++)
			r->map[from->entries[from->frames[f].first + k].parent] = 1;
	r->map[WEIR_FRAME_ROOT] = WEIR_FRAME_ROOT;
	r->map[WEIR_FRAME_HOLE] = WEIR_FRAME_HOLE;
	for (uint32_t f = WEIR_FRAME_FIRST; f <= top; f++) {
		uint32_t n = from->frames[f].n;
		struct weir_entry *entries = one;

		if (!r->map[f])
			continue;
		if (n > 16)
			entries = many = malloc(n * sizeof(*many));
		if (entries) {
			memcpy(entries, from->entries + from->frames[f].first,
			       n * sizeof(*entries));
			for (uint32_t k = 0; k < n; k++)
				entries[k].parent = r->map[entries[k].parent];
			/* Sorted by its bytes: the numbers of the parents are others here. */
			qsort(entries, n, sizeof(*entries), compare_entries);
			r->map[f] = weir_run_frame(r, entries, n);
		}
		free(many);
		many = NULL;
		if (!entries || r->map[f] == NONE)
			return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	}
	ret->n = 0;
	for (uint32_t i = 0; i < in->n; i++)
		if (!weir_configs_add(
			    ret, (struct weir_config){ in->at[i].node, r->map[in->at[i].frame] }))
			return weir_fail(err, WEIR_E_EXHAUSTED, "grammar: out of memory");
	weir_configs_sort(ret);
	return WEIR_OK;
}
