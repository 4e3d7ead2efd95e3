/*
 * core/models-lost.c - backends that were lost while they served, and requests that outlast their
 * backend's time: [main], from models-run.c.
 *
 * A lost backend gets a fresh slot in the old one's place at once, in which its requests wait; it
 * is loaded as soon as the old instance is gone, the second time within a minute after a pause, the
 * third after a longer one. Then it stays failed until somebody loads it.
 */
#include <string.h>

#include "log.h"
#include "models-inside.h"

#define TOPIC     "models"
#define WINDOW_US (60 * G_USEC_PER_SEC)
#define CARRY_US  (5 * G_USEC_PER_SEC) /* to hand everybody on; who is left is cancelled */

/* Notes a loss. False: too many of them in too short a time. */
static bool note_loss(struct weir_models *m, struct weir_place *p)
{
	int64_t now = g_get_monotonic_time();
	int64_t pause = (m->options.backoff_ms > 0 ? m->options.backoff_ms : 1000) * 1000;
	while (p->n_lost > 0 && now - p->lost_us[0] > WINDOW_US)
		memmove(p->lost_us, p->lost_us + 1, --p->n_lost * sizeof(p->lost_us[0]));
	if (p->n_lost == G_N_ELEMENTS(p->lost_us))
		return false;
	p->due_us = p->n_lost == 0 ? 0 : now + pause * (p->n_lost == 1 ? 1 : 4);
	p->lost_us[p->n_lost++] = now;
	return true;
}

/* The old slot, and who waits in it, give way to a fresh one. */
static void begin_again(struct weir_models *m, struct weir_place *p)
{
	struct weir_slot *fresh = weir_place_slot(m, p->plan);
	p->recovers = true;
	p->wanted = !p->next.slot;
	weir_slot_mark(fresh, true, false);
	weir_router_replace(m->options.core->router, p->now.slot, fresh, false);
	weir_slot_pass_on(p->now.slot, fresh);
	weir_models_leave(m, p->section, &p->now);
	p->now.slot = fresh;
}

void weir_place_check_lost(struct weir_models *m, struct weir_place *p)
{
	struct weir_slot *slot = p->now.slot;
	if (!p->now.part || !weir_slot_is_lost(slot) || p->now.given_up)
		return;
	if (!m->draining && note_loss(m, p)) {
		weir_logf(m->options.core->log, WEIR_LOG_WARNING, TOPIC,
			  "%s was lost, %zu requests wait for it; it is loaded again", p->section,
			  weir_slot_inflight(slot));
		begin_again(m, p);
		return;
	}
	if (!m->draining)
		weir_logf(m->options.core->log, WEIR_LOG_ERROR, TOPIC,
			  "%s was lost %u times within a minute and stays so: load it by hand",
			  p->section, p->n_lost + 1);
	p->now.given_up = true;
	weir_slot_abandon(slot);
}

bool weir_place_try_again(struct weir_models *m, struct weir_place *p)
{
	if (!p->recovers || m->draining || !note_loss(m, p)) {
		p->recovers = false;
		return false;
	}
	weir_logf(m->options.core->log, WEIR_LOG_WARNING, TOPIC,
		  "%s could not be loaded after its loss, and is tried again", p->section);
	begin_again(m, p);
	return true;
}

bool weir_models_carry_over(struct weir_models *m, struct weir_leaver *l)
{
	struct weir_place *p = weir_models_find(m, l->section);
	struct weir_tenure *t = &l->tenure;
	size_t n = weir_slot_inflight(t->slot);
	bool comes = p && !m->draining &&
		     (p->wanted || p->now.loading ||
		      weir_slot_state(p->now.slot, NULL, 0) == WEIR_ROUTER_READY);
	if (comes && !weir_slot_is_lost(p->now.slot))
		weir_slot_pass_on(t->slot, p->now.slot);
	if (!weir_slot_evacuate(t->slot))
		return false;
	t->evacuated = true;
	t->since_us = g_get_monotonic_time() + CARRY_US;
	weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC,
		  "%s: drain_timeout is over, %zu requests go on elsewhere if they can", l->section,
		  n);
	return true;
}
