/*
 * core/nearest.c - see nearest.h.
 */
#include "nearest.h"

#include <stdbool.h>
#include <string.h>

#include <glib.h>

#define MAX_WORD 64 /* longer names are compared by nobody */

/* Optimal string alignment, three rows of the table at a time. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t rows[3][MAX_WORD + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t k = 0; k <= n_b; k++)
		above[k] = k;
	for (size_t i = 1; i <= n_a; i++) {
		row[0] = i;
		for (size_t k = 1; k <= n_b; k++) {
			char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[k - 1]);
			size_t best = above[k - 1] + (x != y);
			best = MIN(best, above[k] + 1);
			best = MIN(best, row[k - 1] + 1);
			bool swapped = i > 1 && k > 1 && x == g_ascii_tolower(b[k - 2]) &&
				       y == g_ascii_tolower(a[i - 2]);
			if (swapped)
				best = MIN(best, before[k - 2] + 1);
			row[k] = best;
		}
		size_t *spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[n_b];
}

const char *weir_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t len = strlen(word);
	if (len == 0 || len > MAX_WORD)
		return NULL;
	size_t best = MIN(CLAMP(len / 3, 1, 3) + 1, len);
	const char *found = NULL;
	for (size_t i = 0; i < n; i++) {
		size_t other = strlen(candidates[i]);
		if (other > MAX_WORD)
			continue;
		size_t d = distance(word, len, candidates[i], other);
		if (d < best) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}
