/*
 * select.c - weighted quickselect; see select.h. No state; any thread.
 */
#include "select.h"

static void swap(struct weir_ranked *a, struct weir_ranked *b)
{
	struct weir_ranked t = *a;

	*a = *b;
	*b = t;
}

/* A pivot that hostile orders cannot make bad at will: the middle of three places that move with a
 * little generator. Its start is constant, so a result never depends on chance. */
static size_t choose_pivot(const struct weir_ranked *item, size_t lo, size_t hi, uint32_t *state)
{
	size_t at[3];

	for (int i = 0; i < 3; i++) {
		*state = *state * 1664525u + 1013904223u;
		at[i] = lo + (size_t)((uint64_t)*state * (hi - lo) >> 32);
	}
	if (weir_ranked_before(&item[at[1]], &item[at[0]])) {
		size_t t = at[0];

		at[0] = at[1];
		at[1] = t;
	}
	if (!weir_ranked_before(&item[at[2]], &item[at[1]]))
		return at[1];
	return weir_ranked_before(&item[at[2]], &item[at[0]]) ? at[0] : at[2];
}

/* Everything before `lo` is in the head, everything from `hi` on is not. */
size_t weir_select_head(struct weir_ranked *item, size_t n, double goal)
{
	size_t lo = 0, hi = n;
	double left = goal;
	uint32_t state = 1;

	while (hi - lo > 1) {
		struct weir_ranked pivot;
		double sum = 0;
		size_t mid = lo;

		swap(&item[choose_pivot(item, lo, hi, &state)], &item[hi - 1]);
		pivot = item[hi - 1];
		for (size_t i = lo; i + 1 < hi; i++) {
			if (weir_ranked_before(&item[i], &pivot)) {
				sum += item[i].weight;
				swap(&item[i], &item[mid++]);
			}
		}
		swap(&item[mid], &item[hi - 1]);
		if (mid > lo && sum >= left) {
			hi = mid;
		} else if (sum + pivot.weight >= left) {
			return mid + 1;
		} else {
			left -= sum + pivot.weight;
			lo = mid + 1;
		}
	}
	return hi;
}

/* The root is the item that comes last. */
static void sift_down(struct weir_ranked *heap, size_t n, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= n)
			return;
		if (child + 1 < n && weir_ranked_before(&heap[child], &heap[child + 1]))
			child++;
		if (!weir_ranked_before(&heap[at], &heap[child]))
			return;
		swap(&heap[at], &heap[child]);
		at = child;
	}
}

size_t weir_select_top(const float *x, size_t n, size_t k, struct weir_ranked *top)
{
	size_t m = n < k ? n : k;

	for (size_t i = 0; i < m; i++)
		top[i] = (struct weir_ranked){ .key = x[i], .id = (int32_t)i };
	for (size_t i = m / 2; i-- > 0;)
		sift_down(top, m, i);
	/* Later items have higher ids: an equal key never displaces. */
	for (size_t i = m; i < n && m > 0; i++) {
		if (x[i] > top[0].key) {
			top[0] = (struct weir_ranked){ .key = x[i], .id = (int32_t)i };
			sift_down(top, m, 0);
		}
	}
	return m;
}
