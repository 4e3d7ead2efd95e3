/* SPDX-License-Identifier: MIT */
/*
 * backends/child/suspects.c - see suspects.h.
 */
#include "suspects.h"

#include <glib.h>

#define ENOUGH      2u   /* deaths that make a suspect */
#define ONE_BY_ONE  16u  /* so many suspects at most; of more, groups */
#define MOST_NEEDED 256u /* events */
#define PATIENCE_MS 10000

void suspect_sent(struct suspect *s, int64_t now)
{
	s->told = 0;
	s->since = now;
}

void suspect_told(struct suspect *s, int64_t now)
{
	s->told++;
	s->since = now;
}

uint32_t suspect_credit(const struct suspect *s)
{
	return (uint32_t)MIN(s->need, MOST_NEEDED) + 1;
}

void suspects_lost(struct suspect *const *all, size_t n, bool company, int64_t now)
{
	for (size_t i = 0; i < n; i++) {
		struct suspect *s = all[i];
		bool again = ++s->deaths > ENOUGH;
		/* Twice the time that it took to kill, and what a start may need. */
		s->patience_ms = 2 * MAX(now - s->since, 0) + PATIENCE_MS;
		s->need = again ? MIN(s->told + 1, MOST_NEEDED) : 1;
		s->state = s->deaths >= ENOUGH ? SUSPICION_WAITS : SUSPICION_NONE;
		s->ends = s->deaths >= SUSPECTS_MOST_DEATHS ||
			  (n == 1 && !company && s->deaths >= ENOUGH);
	}
}

void suspect_look(struct suspect *s, bool still, int64_t now)
{
	if (s->state == SUSPICION_TRIED &&
	    (still || s->told >= s->need || now > s->since + s->patience_ms))
		s->state = SUSPICION_CLEARED;
}

static size_t group_of(size_t n)
{
	size_t root = 1;
	while (n > ONE_BY_ONE && root * root < n)
		root++;
	return root;
}

size_t suspects_pick(struct suspect *const *all, size_t n, bool *ret_over)
{
	unsigned most = 0;
	size_t n_most = 0, n_picked = 0;
	bool busy = false;
	for (size_t i = 0; i < n; i++) {
		busy |= all[i]->state == SUSPICION_TRIED;
		if (all[i]->state != SUSPICION_WAITS || all[i]->deaths < most)
			continue;
		n_most = all[i]->deaths > most ? 1 : n_most + 1;
		most = all[i]->deaths;
	}
	*ret_over = !busy && n_most == 0;
	/* Those of the group that has died last come first. */
	for (size_t i = 0; i < n && !busy && n_picked < MIN(n_most, group_of(n_most)); i++) {
		if (all[i]->state != SUSPICION_WAITS || all[i]->deaths != most)
			continue;
		all[i]->state = SUSPICION_TRIED;
		n_picked++;
	}
	return n_picked;
}

bool suspects_forget(struct suspect *const *all, size_t n, bool guilty)
{
	bool cleared = false;
	for (size_t i = 0; i < n; i++) {
		cleared |= all[i]->state == SUSPICION_CLEARED;
		all[i]->state = SUSPICION_NONE;
		if (guilty)
			all[i]->deaths = 0;
	}
	return cleared;
}
