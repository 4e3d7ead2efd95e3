/*
 * guess.c - see guess.h.
 */
#include "guess.h"

#include <stdbool.h>
#include <string.h>

#include <glib.h>

#define RUN        3u  /* tokens that must agree before a guess is made */
#define MAX_PLACES 16u /* earlier places that are looked at */
#define MAX_AGREE  32u /* a longer agreement is as good */
#define FADE       0.98
#define UNKNOWN    0.35 /* the price before steps of different sizes have been seen */

struct weir_guesser {
	uint32_t *head; /* [size] newest place of a run with this hash, + 1; the place: its end */
	uint32_t *last; /* [cap] the place before it, + 1, by place */
	uint32_t size, cap, n; /* n: tokens that are known */
	double right;          /* how often a guess comes true, when those before it have */
};

struct weir_guesser *weir_guesser_new(void)
{
	struct weir_guesser *g = g_new0(struct weir_guesser, 1);

	g->right = 0.7;
	return g;
}

void weir_guesser_free(struct weir_guesser *g)
{
	if (!g)
		return;
	g_free(g->head);
	g_free(g->last);
	g_free(g);
}

static uint32_t slot(const struct weir_guesser *g, const int32_t *end)
{
	uint32_t h = 0;

	for (uint32_t i = 1; i <= RUN; i++)
		h = (h ^ (uint32_t)end[-(ptrdiff_t)i]) * 0x9e3779b1u;
	return h >> 7 & (g->size - 1);
}

static void add(struct weir_guesser *g, const int32_t *tokens, uint32_t end)
{
	uint32_t at = slot(g, tokens + end);

	g->last[end] = g->head[at];
	g->head[at] = end + 1;
}

static void grow(struct weir_guesser *g, const int32_t *tokens, uint32_t n)
{
	if (n < g->cap)
		return;
	g->cap = MAX(256u, n + n / 2);
	g->last = g_renew(uint32_t, g->last, g->cap);
	for (g->size = 256; g->size < g->cap; g->size *= 2)
		;
	g_free(g->head);
	g->head = g_new0(uint32_t, g->size);
	for (uint32_t end = RUN; end < g->n; end++)
		add(g, tokens, end);
}

/* The chain is older and older: the first of those that agree longest is the newest. */
static uint32_t best_place(const struct weir_guesser *g, const int32_t *tokens, uint32_t n)
{
	uint32_t best = 0, longest = RUN - 1;
	uint32_t at = g->head[slot(g, tokens + n)];

	for (uint32_t i = 0; i < MAX_PLACES && at > 0; i++, at = g->last[at - 1]) {
		uint32_t end = at - 1, same = 0;

		while (same < MAX_AGREE && same < end &&
		       tokens[end - 1 - same] == tokens[n - 1 - same])
			same++;
		if (same > longest) {
			longest = same;
			best = end;
		}
	}
	return best;
}

uint32_t weir_guesser_find(struct weir_guesser *g, const int32_t *tokens, uint32_t n, uint32_t want,
			   int32_t *ret)
{
	uint32_t place, found = 0;

	if (n <= RUN || want == 0)
		return 0;
	grow(g, tokens, n);
	/* All places but the last: that one is what is asked about. */
	for (g->n = MAX(g->n, RUN); g->n < n; g->n++)
		add(g, tokens, g->n);
	place = best_place(g, tokens, n);
	/* What follows may reach into the guess itself: a loop goes on. */
	while (place > 0 && found < want) {
		uint32_t at = place + found;

		ret[found] = at < n ? tokens[at] : ret[at - n];
		found++;
	}
	return found;
}

void weir_guesser_learn(struct weir_guesser *g, uint32_t n, uint32_t right)
{
	for (uint32_t i = 0; i < n && i <= right; i++)
		g->right += 0.1 * ((i < right ? 1.0 : 0.0) - g->right);
}

uint32_t weir_guesser_worth(struct weir_guesser *g, double price, uint32_t most)
{
	double likely = MIN(g->right, 0.98);
	uint32_t n = 0;

	if (!(price < 1))
		return 0;
	for (double p = likely; n < most && p > price; p *= likely)
		n++;
	/* Given up: now and then it is tried again, since texts change. */
	if (n == 0)
		g->right += 0.005;
	return n;
}

void weir_pace_observe(struct weir_pace *p, uint32_t tokens, double seconds)
{
	double t = tokens;

	p->n = p->n * FADE + 1;
	p->tokens = p->tokens * FADE + t;
	p->tokens2 = p->tokens2 * FADE + t * t;
	p->seconds = p->seconds * FADE + seconds;
	p->both = p->both * FADE + t * seconds;
}

/* seconds = a + b * tokens. False: too little has been seen. */
static bool fit(const struct weir_pace *p, double *ret_a, double *ret_b)
{
	double mean, spread;

	if (p->n < 4)
		return false;
	mean = p->tokens / p->n;
	spread = p->tokens2 / p->n - mean * mean;
	if (spread < 0.05 || !(p->seconds > 0))
		return false;
	*ret_b = (p->both / p->n - mean * p->seconds / p->n) / spread;
	*ret_a = p->seconds / p->n - *ret_b * mean;
	return true;
}

double weir_pace_token(const struct weir_pace *p, uint32_t rows)
{
	double a, b;

	if (rows == 0 || !(p->tokens > 0))
		return 0;
	if (fit(p, &a, &b) && a + b * rows > 0)
		return (a + b * rows) / rows;
	return p->seconds / p->tokens;
}

double weir_pace_price(const struct weir_pace *p, uint32_t rows)
{
	double a, b;

	if (rows == 0 || !fit(p, &a, &b))
		return UNKNOWN;
	if (!(b > 0))
		return 0.02; /* a step costs the same whatever is in it */
	if (!(a > 0))
		return 1;
	return b * rows / (a + b * rows);
}
