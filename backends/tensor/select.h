/* SPDX-License-Identifier: MIT */
/*
 * select.h - the smallest head of a sorted list, without sorting the list.
 *
 * Called by sampler.c on its thread. Expected O(n): quickselect (Hoare 1961) that also sums the
 * weights of what it passes over.
 */
#ifndef WEIR_TENSOR_SELECT_H
#define WEIR_TENSOR_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_ranked {
	float key;     /* larger is earlier; never NaN */
	int32_t id;    /* on equal keys the lower one is earlier; distinct */
	double weight; /* at least 0 */
};

static inline bool weir_ranked_before(const struct weir_ranked *a, const struct weir_ranked *b)
{
	return a->key > b->key || (a->key == b->key && a->id < b->id);
}

/* Moves the shortest head, in ranked order, whose weights sum to at least `goal` to the front of
 * item, in any order, and returns its length: at least 1 for n > 0, n when all together do not
 * reach it. */
size_t weir_select_head(struct weir_ranked *item, size_t n, double goal);

/* The k first of x[0..n) in ranked order, id being the index, into top[0..k): unsorted, but the
 * last of them is top[0]. Returns how many there are, min(n, k). A heap: quick when k is small. */
size_t weir_select_top(const float *x, size_t n, size_t k, struct weir_ranked *top);

#endif
