/*
 * gateway-balance.c - see gateway-balance.h.
 */
#include "gateway-balance.h"

#define SOME_SEATS 16   /* of a backend that does not tell */
#define MUCH_MORE  0.25 /* of its seats */

/* Two equal ratios are equal as doubles, too: division rounds correctly. */
static double load_of(const struct weir_candidate *c)
{
	return (double)c->n_busy / (double)(c->n_seats ? c->n_seats : SOME_SEATS);
}

static bool would_wait(const struct weir_candidate *c)
{
	return c->n_seats > 0 && c->n_busy >= c->n_seats;
}

/* Is a to be looked at before b, whatever they have to do? */
static int compare_fitness(const struct weir_candidate *a, const struct weir_candidate *b)
{
	if (a->fitness != b->fitness)
		return a->fitness > b->fitness ? 1 : -1;
	return (int)b->full - (int)a->full;
}

/* a and b are equally fit. */
static bool is_less_busy(const struct weir_candidate *a, const struct weir_candidate *b)
{
	double x = load_of(a), y = load_of(b);

	if (x < y || x > y)
		return x < y;
	if (a->affinity != b->affinity)
		return a->affinity > b->affinity;
	return a->picked < b->picked;
}

static bool is_too_busy(const struct weir_candidate *c, const struct weir_candidate *least)
{
	return load_of(c) - load_of(least) > MUCH_MORE || (would_wait(c) && !would_wait(least));
}

size_t weir_balance_pick(const struct weir_candidate *c, size_t n)
{
	size_t least = 0, known;

	for (size_t i = 1; i < n; i++) {
		int fitter = compare_fitness(&c[i], &c[least]);

		if (fitter > 0 || (fitter == 0 && is_less_busy(&c[i], &c[least])))
			least = i;
	}
	known = least;
	for (size_t i = 0; i < n; i++)
		if (compare_fitness(&c[i], &c[least]) == 0 && c[i].affinity > c[known].affinity &&
		    !is_too_busy(&c[i], &c[least]))
			known = i;
	return known;
}
