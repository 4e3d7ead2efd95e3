/* SPDX-License-Identifier: MIT */
/*
 * grammar-machine.h - a network made deterministic as far as it is asked: sets of configurations
 * with numbers, and where each goes by each class of bytes. Used by grammar-mask.c only, which
 * holds the lock.
 */
#ifndef WEIR_TENSOR_GRAMMAR_MACHINE_H
#define WEIR_TENSOR_GRAMMAR_MACHINE_H

#include <pthread.h>

#include "grammar-run.h"

#define MACHINE_UNKNOWN UINT32_MAX
#define MACHINE_DEAD    (UINT32_MAX - 1)
#define MACHINE_BYTES   ((size_t)24 << 20)  /* remembered between masks */
#define MACHINE_MOST    ((size_t)160 << 20) /* while one mask is made */

enum { SET_EXITS = 1 };

struct weir_part;
void weir_part_free(struct weir_part *); /* grammar-mask.c */

struct set {
	uint32_t first, n, next;
	uint16_t flags;
	uint16_t rounds; /* of a set that is looked at in rounds: how many it needs at least */
	struct weir_part *part;
	uint32_t *mask;
};

struct machine {
	pthread_mutex_t lock;
	const struct weir_net *net;
	struct weir_run run;
	struct set *sets;
	struct weir_config *configs;
	uint32_t *moves; /* n_classes for each set */
	uint32_t *buckets;
	uint32_t n_sets, cap_sets, n_configs, cap_configs, n_buckets;
	size_t bytes;
	struct weir_configs in, out;
};

weir_status machine_init(struct machine *, const struct weir_net *, struct weir_error *err);
void machine_clear(struct machine *);
/* Forgets everything if that has become too much: numbers of sets and frames are void. */
void machine_tidy(struct machine *);
/* The number of a set; it is sorted. */
weir_status machine_set(struct machine *, const struct weir_configs *, uint32_t *ret,
			struct weir_error *err);
weir_status machine_step(struct machine *, uint32_t set, uint8_t byte, uint32_t *ret,
			 struct weir_error *err);
/* The rounds that a frame of unknown bounds has seen; 0 for others. */
uint32_t machine_count(const struct machine *, uint32_t frame);

static inline uint32_t machine_peek(const struct machine *m, uint32_t set, uint8_t byte)
{
	return m->moves[(size_t)set * m->net->n_classes + m->net->class_of[byte]];
}

#endif
