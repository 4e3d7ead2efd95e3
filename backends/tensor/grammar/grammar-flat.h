/* SPDX-License-Identifier: MIT */
/*
 * grammar-flat.h - networks without calls, taken together: texts that several expressions match at
 * once, or that some match and others do not, and texts of a certain length. One thread, in a
 * compile.
 */
#ifndef WEIR_TENSOR_GRAMMAR_FLAT_H
#define WEIR_TENSOR_GRAMMAR_FLAT_H

#include "grammar-net.h"

#define WEIR_FLAT_MAX    64    /* expressions at once */
#define WEIR_FLAT_STATES 20000 /* situations, while they are taken apart */

struct weir_flat {
	struct weir_net *net;        /* without calls, not linked */
	uint32_t start;              /* of all of them */
	uint32_t end[WEIR_FLAT_MAX]; /* of each */
	uint32_t n;
};

weir_status weir_flat_init(struct weir_flat *, struct weir_error *err);
void weir_flat_clear(struct weir_flat *);
/* Two nodes between which one more expression is to be written. OUT: at most WEIR_FLAT_MAX. */
bool weir_flat_add(struct weir_flat *, uint32_t *ret_from, uint32_t *ret_to);

/* Which expressions (bit i: the i-th) match the text. */
weir_status weir_flat_match(const struct weir_flat *, struct weir_str text, uint64_t *ret,
			    struct weir_error *err);

/* Writes into `into`, from a node: all texts, each leading to the node that leads() names for the
 * set of expressions that match it; UINT32_MAX: such texts are left out. */
weir_status weir_flat_split(const struct weir_flat *, struct weir_net *into, uint32_t from,
			    uint32_t (*leads)(void *data, uint64_t matched), void *data,
			    struct weir_error *err);

/* Writes into `into`, from .. to: the texts of expression 0 that have min .. max characters. */
weir_status weir_flat_count(const struct weir_flat *, struct weir_net *into, uint32_t from,
			    uint32_t to, uint32_t min, uint32_t max, struct weir_error *err);

#endif
