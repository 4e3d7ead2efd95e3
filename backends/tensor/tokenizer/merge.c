/* SPDX-License-Identifier: MIT */
/*
 * merge.c - joins neighbours in a list of symbols, best pair first; see vocab-internal.h.
 *
 * The heap holds (key, left symbol) in one integer and is never cleaned: an entry is stale when the
 * pair that now begins at its symbol has another key.
 */
#include "vocab-internal.h"

#include <stdlib.h>

static bool grow(void **p, size_t *cap, size_t wanted, size_t item)
{
	size_t n = *cap ? *cap : 64;
	void *bigger;

	while (n < wanted)
		n += n / 2;
	bigger = realloc(*p, n * item);
	if (!bigger)
		return false;
	*p = bigger;
	*cap = n;
	return true;
}

bool merger_add(struct merger *m, uint32_t start, uint32_t len, int32_t token)
{
	void *nodes = m->nodes;

	if (m->n >= INT32_MAX)
		return false;
	if (m->n == m->cap) {
		if (!grow(&nodes, &m->cap, m->n + 1, sizeof(*m->nodes)))
			return false;
		m->nodes = nodes;
	}
	m->nodes[m->n] = (struct merge_node){ .prev = (int32_t)m->n - 1,
					      .next = -1,
					      .start = start,
					      .len = len,
					      .token = token,
					      .key = MERGE_NONE };
	if (m->n > 0)
		m->nodes[m->n - 1].next = (int32_t)m->n;
	m->n++;
	return true;
}

static void sift_down(uint64_t *heap, size_t n, size_t at)
{
	uint64_t x = heap[at];

	for (;;) {
		size_t child = at * 2 + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1] < heap[child])
			child++;
		if (heap[child] >= x)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = x;
}

static void sift_up(uint64_t *heap, size_t at)
{
	uint64_t x = heap[at];

	while (at > 0 && heap[(at - 1) / 2] > x) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = x;
}

static uint64_t pop(struct merger *m)
{
	uint64_t top = m->heap[0];

	m->heap[0] = m->heap[--m->n_heap];
	if (m->n_heap > 0)
		sift_down(m->heap, m->n_heap, 0);
	return top;
}

/* Finds the key of the pair at node i and appends it to the heap, not yet in its place. */
static bool note_pair(struct merger *m, int32_t i, merge_fn merge, const void *user)
{
	struct merge_node *left = &m->nodes[i];
	void *heap = m->heap;

	left->key = MERGE_NONE;
	if (left->next < 0 ||
	    !merge(user, left, &m->nodes[left->next], &left->key, &left->result)) {
		left->key = MERGE_NONE;
		return true;
	}
	if (m->n_heap == m->heap_cap) {
		if (!grow(&heap, &m->heap_cap, m->n_heap + 1, sizeof(*m->heap)))
			return false;
		m->heap = heap;
	}
	m->heap[m->n_heap++] = (uint64_t)left->key << 32 | (uint32_t)i;
	return true;
}

static bool push_pair(struct merger *m, int32_t i, merge_fn merge, const void *user)
{
	size_t n = m->n_heap;

	if (!note_pair(m, i, merge, user))
		return false;
	if (m->n_heap > n)
		sift_up(m->heap, n);
	return true;
}

bool merger_run(struct merger *m, merge_fn merge, const void *user)
{
	m->n_heap = 0;
	for (size_t i = 0; i + 1 < m->n; i++)
		if (!note_pair(m, (int32_t)i, merge, user))
			return false;
	for (size_t i = m->n_heap / 2; i-- > 0;)
		sift_down(m->heap, m->n_heap, i);
	while (m->n_heap > 0) {
		uint64_t top = pop(m);
		int32_t i = (int32_t)(uint32_t)top;
		struct merge_node *left = &m->nodes[i], *right;

		if (left->key != (uint32_t)(top >> 32))
			continue;
		right = &m->nodes[left->next];
		right->key = MERGE_NONE;
		left->len += right->len;
		left->token = left->result;
		left->next = right->next;
		if (left->next >= 0)
			m->nodes[left->next].prev = i;
		if (!push_pair(m, i, merge, user) ||
		    (left->prev >= 0 && !push_pair(m, left->prev, merge, user)))
			return false;
	}
	return true;
}

void merger_clear(struct merger *m)
{
	m->n = 0;
	m->n_heap = 0;
}

void merger_free(struct merger *m)
{
	free(m->nodes);
	free(m->heap);
}
