/* SPDX-License-Identifier: MIT */
/*
 * grammar-run.h - following a network byte by byte: all ways at once.
 *
 * A configuration is a node and a frame: what to do when the node's rule ends. A frame is a set of
 * entries (node to go on at, or a repetition and how many rounds are done; the caller's frame), and
 * frames with the same entries are one: ways that called the same rule at the same byte share one
 * frame, so that the work stays polynomial however ambiguous a grammar is (as in Earley 1970, and
 * in the graph-structured stacks of Tomita 1985). Rules that call each other without taking a byte
 * are visited in the order of their rank: all callers of a rule are known when its frame is made.
 *
 * A run belongs to one thread at a time. Bounds: WEIR_RUN_CONFIGS configurations alive,
 * WEIR_RUN_DEPTH frames upon each other (deeper calls are not taken), WEIR_RUN_ENTRIES entries.
 */
#ifndef WEIR_TENSOR_GRAMMAR_RUN_H
#define WEIR_TENSOR_GRAMMAR_RUN_H

#include "grammar-net.h"

#define WEIR_RUN_CONFIGS 20000u
#define WEIR_RUN_DEPTH   400u
#define WEIR_RUN_ENTRIES (1u << 20)

enum { WEIR_FRAME_ROOT, WEIR_FRAME_HOLE, WEIR_FRAME_FIRST };

/* What an entry's `to` is beside a node: a repetition by its number, or one whose bounds are not
 * known, by the rule that it repeats (grammar-mask.c looks at such parts alone). */
#define WEIR_TO_LOOP  0x80000000u
#define WEIR_TO_ROUND 0xc0000000u
#define WEIR_TO_KIND  0xc0000000u
#define WEIR_TO_VALUE 0x3fffffffu

struct weir_entry {
	uint32_t to, count, parent;
};

struct weir_frame {
	uint32_t first, n, depth, next; /* next with the same hash */
};

struct weir_config {
	uint32_t node, frame;
};

struct weir_configs {
	struct weir_config *at; /* sorted by frame, then node */
	uint32_t n, cap;
};

struct weir_run {
	const struct weir_net *net;
	struct weir_frame *frames;
	struct weir_entry *entries;
	uint32_t *buckets;
	uint32_t n_frames, cap_frames, n_entries, cap_entries, n_buckets;
	bool too_deep; /* a call was not taken for its depth, ever */
	/* Of the step being made. */
	struct weir_config *seen;
	uint32_t n_seen, cap_seen;
	struct weir_configs stack;
	struct weir_wait {
		struct weir_entry entry;
		uint32_t next;
	} * waits;
	uint32_t n_waits, cap_waits;
	uint32_t *slot; /* by rule: its first wait, or UINT32_MAX */
	uint32_t *heap; /* of rules that wait, lowest rank first */
	uint32_t n_heap, cap_heap;
	struct weir_entry *sorted;
	uint32_t cap_sorted;
	uint32_t *map; /* of import() */
	uint32_t cap_map;
};

weir_status weir_run_init(struct weir_run *, const struct weir_net *, struct weir_error *err);
void weir_run_clear(struct weir_run *);
/* Forgets all frames but the first two. */
void weir_run_reset(struct weir_run *);

/* The frame with these entries (sorted, each once). UINT32_MAX: no memory, or too deep. */
uint32_t weir_run_frame(struct weir_run *, const struct weir_entry *, uint32_t n);
/* Configurations at the beginning of the net. */
weir_status weir_run_start(struct weir_run *, struct weir_configs *ret, struct weir_error *err);
/* What `in` becomes by a byte; ret->n 0: nothing. ret is not in. */
weir_status weir_run_step(struct weir_run *, const struct weir_configs *in, uint8_t byte,
			  struct weir_configs *ret, struct weir_error *err);
/* What comes when the rule above `frame` has ended. last: the frame is one repetition, and that
 * was its last round. */
weir_status weir_run_return(struct weir_run *, uint32_t frame, bool last, struct weir_configs *ret,
			    struct weir_error *err);
/* The configurations of another run of the same net, in this one's frames. */
weir_status weir_run_import(struct weir_run *, const struct weir_run *from,
			    const struct weir_configs *in, struct weir_configs *ret,
			    struct weir_error *err);

bool weir_configs_add(struct weir_configs *, struct weir_config); /* false: no memory */
void weir_configs_sort(struct weir_configs *);

#endif
