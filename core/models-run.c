/*
 * models-run.c - loads, ends and replaces backends; see models-inside.h.
 */
#include "models-inside.h"

#include <inttypes.h>
#include <malloc.h>
#include <string.h>

#include "log.h"
#include "stream.h"

#define TOPIC    "models"
#define WATCH_MS 500 /* between looks at a backend that may fail by itself */

static void say(const struct weir_models *m, uint32_t level, const char *section, const char *text)
{
	weir_logf(m->options.core->log, level, TOPIC, "%s %s", section, text);
}

struct weir_slot *weir_place_slot(struct weir_models *m, const struct weir_profile_part *plan)
{
	const struct weir_slot_plan slot = {
		.name = plan->section,
		.component = plan->inner ? plan->inner->id : plan->component->id,
		.serves = (const char *const *)plan->serves,
		.on_demand = plan->life.on_demand,
		.hang_timeout_ms = plan->life.hang_timeout_ms,
	};
	return weir_slot_new(m->options.core->router, &slot);
}

/* --- leaving ------------------------------------------------------------------------------- */

bool weir_models_leaving(const struct weir_models *m, const char *section)
{
	for (unsigned i = 0; i < m->leavers->len; i++) {
		const struct weir_leaver *l = m->leavers->pdata[i];
		if (l->tenure.part && (!section || l->section == section))
			return true;
	}
	return false;
}

void weir_models_leave(struct weir_models *m, const char *section, struct weir_tenure *t)
{
	if (!t->slot)
		return;
	struct weir_leaver *l = g_new0(struct weir_leaver, 1);
	weir_slot_close(t->slot);
	l->section = section;
	l->tenure = *t;
	l->tenure.since_us = g_get_monotonic_time() + m->options.drain_timeout_ms * 1000;
	g_ptr_array_add(m->leavers, l);
	memset(t, 0, sizeof(*t));
}

/* True: it is gone. */
static bool leave_on(struct weir_models *m, struct weir_leaver *l)
{
	struct weir_tenure *t = &l->tenure;
	size_t n = weir_slot_inflight(t->slot);
	if (n > 0) {
		if (g_get_monotonic_time() < t->since_us)
			return false;
		if (!t->evacuated && weir_models_carry_over(m, l))
			return false;
		if (!t->cancelled)
			weir_logf(m->options.core->log, WEIR_LOG_WARNING, TOPIC,
				  "%s: drain_timeout is over, cancelling %zu requests", l->section,
				  n);
		t->cancelled = true;
		weir_slot_cancel(t->slot);
		return false;
	}
	if (!weir_slot_ended(t->slot))
		return false;
	weir_slot_unref(t->slot);
	if (!t->part)
		return true;
	weir_part_drain(t->part);
	weir_part_destroy(t->part);
#ifdef __GLIBC__
	malloc_trim(0); /* vocabularies are many small pieces, which would stay with the heap */
#endif
	say(m, WEIR_LOG_INFO, l->section, "is unloaded");
	return true;
}

static void run_leavers(struct weir_models *m)
{
	for (unsigned i = m->leavers->len; i > 0; i--) {
		struct weir_leaver *l = m->leavers->pdata[i - 1];
		if (!leave_on(m, l))
			continue;
		g_ptr_array_remove_index(m->leavers, i - 1);
		struct weir_place *p = weir_models_find(m, l->section);
		if (p)
			weir_slot_mark(p->now.slot, p->wanted, weir_models_leaving(m, p->section));
		g_free(l);
	}
}

bool weir_place_renew(struct weir_models *m, struct weir_place *p, bool only_idle)
{
	struct weir_slot *fresh = weir_place_slot(m, p->plan);
	bool going = p->now.part || weir_models_leaving(m, p->section);
	weir_slot_mark(fresh, p->wanted, going);
	if (!weir_router_replace(m->options.core->router, p->now.slot, fresh, only_idle)) {
		weir_slot_unref(fresh);
		return false;
	}
	/* Who waits for a load goes on waiting; who runs may follow. */
	if (p->wanted)
		weir_slot_pass_on(p->now.slot, fresh);
	weir_models_leave(m, p->section, &p->now);
	p->now.slot = fresh;
	return true;
}

/* --- loading ------------------------------------------------------------------------------- */

void weir_place_want(struct weir_models *m, struct weir_place *p)
{
	bool failed = weir_slot_state(p->now.slot, NULL, 0) == WEIR_ROUTER_FAILED;
	if (p->wanted || (p->now.part && !failed))
		return;
	p->wanted = true;
	if (failed)
		weir_place_renew(m, p, false);
	weir_slot_mark(p->now.slot, true, weir_models_leaving(m, p->section));
}

static weir_status begin(struct weir_models *m, const struct weir_profile_part *plan,
			 struct weir_tenure *t, struct weir_error *err)
{
	weir_status status = weir_part_create(m->options.core, plan->section, plan->component,
					      (const struct weir_kv *)plan->conf->data,
					      plan->conf->len, &t->part, err);
	if (status == WEIR_OK)
		status = weir_part_start(t->part, err);
	if (status == WEIR_OK)
		status = weir_slot_bind(t->slot, t->part->instance, err);
	if (status == WEIR_OK)
		status = weir_slot_load(t->slot, err);
	t->since_us = g_get_monotonic_time();
	t->loading = status == WEIR_OK;
	return status;
}

static void load(struct weir_models *m, struct weir_place *p)
{
	struct weir_error err;
	p->wanted = false;
	say(m, WEIR_LOG_INFO, p->section, "is being loaded");
	if (begin(m, p->plan, &p->now, &err) == WEIR_OK)
		return;
	say(m, WEIR_LOG_ERROR, p->section, err.text);
	if (weir_place_try_again(m, p))
		return;
	weir_slot_break(p->now.slot, err.text);
	weir_part_destroy(p->now.part);
	p->now.part = NULL;
}

static void report_ready(struct weir_models *m, const char *section, struct weir_tenure *t)
{
	int64_t ms = (g_get_monotonic_time() - t->since_us) / 1000;
	t->loading = false;
	weir_slot_set_load_ms(t->slot, ms);
	weir_logf(m->options.core->log, WEIR_LOG_INFO, TOPIC,
		  "%s was loaded in %.1f s, %" PRIu64 " MiB", section, (double)ms / 1000,
		  weir_slot_bytes(t->slot) >> 20);
}

/* A failed load gives its memory back at once; the reason stays. */
static void fail_load(struct weir_models *m, struct weir_place *p, const char *why)
{
	if (weir_place_try_again(m, p))
		return;
	struct weir_slot *broken = weir_place_slot(m, p->plan);
	weir_slot_settle(p->now.slot);
	weir_slot_break(broken, why);
	weir_router_replace(m->options.core->router, p->now.slot, broken, false);
	weir_models_leave(m, p->section, &p->now);
	p->now.slot = broken;
}

static void check_load(struct weir_models *m, struct weir_place *p)
{
	char why[448] = "";
	if (!p->now.loading) {
		/* What serves may still fail for good: weir.report/1. */
		if (p->now.part &&
		    weir_slot_state(p->now.slot, why, sizeof(why)) == WEIR_ROUTER_FAILED) {
			say(m, WEIR_LOG_ERROR, p->section, "has failed and ends");
			fail_load(m, p, why);
		}
		return;
	}
	switch (weir_slot_state(p->now.slot, why, sizeof(why))) {
	case WEIR_ROUTER_READY:
		report_ready(m, p->section, &p->now);
		p->ready_ns = weir_clock_ns();
		p->recovers = false;
		weir_slot_settle(p->now.slot);
		break;
	case WEIR_ROUTER_FAILED:
		fail_load(m, p, why);
		break;
	default:
		break;
	}
}

/* --- beside -------------------------------------------------------------------------------- */

void weir_place_drop_beside(struct weir_models *m, struct weir_place *p, bool adopt)
{
	weir_models_leave(m, p->section, &p->next);
	if (!p->coming)
		return;
	if (adopt) {
		weir_profile_part_free(p->plan);
		p->plan = p->coming;
	} else {
		weir_profile_part_free(p->coming);
	}
	p->coming = NULL;
}

static void fail_beside(struct weir_models *m, struct weir_place *p, const char *why)
{
	weir_logf(m->options.core->log, WEIR_LOG_ERROR, TOPIC,
		  "%s cannot be replaced, the old one goes on: %s", p->section, why);
	weir_place_drop_beside(m, p, false);
	p->wanted |= p->recovers && !p->now.part;
}

void weir_place_load_beside(struct weir_models *m, struct weir_place *p,
			    struct weir_profile_part *plan)
{
	struct weir_error err;
	weir_place_drop_beside(m, p, false);
	p->coming = plan;
	p->next.slot = weir_place_slot(m, plan);
	say(m, WEIR_LOG_INFO, p->section, "is being loaded again beside the one that serves");
	if (begin(m, plan, &p->next, &err) == WEIR_OK)
		return;
	/* Without its instance, which has no thread yet. */
	weir_slot_break(p->next.slot, err.text);
	weir_part_destroy(p->next.part);
	p->next.part = NULL;
	fail_beside(m, p, err.text);
}

static void check_beside(struct weir_models *m, struct weir_place *p)
{
	char why[448] = "";
	if (!p->next.slot)
		return;
	switch (weir_slot_state(p->next.slot, why, sizeof(why))) {
	case WEIR_ROUTER_READY: {
		struct weir_tenure next = p->next;
		memset(&p->next, 0, sizeof(p->next));
		report_ready(m, p->section, &next);
		weir_slot_settle(next.slot);
		weir_router_replace(m->options.core->router, p->now.slot, next.slot, false);
		weir_slot_pass_on(p->now.slot, next.slot);
		weir_models_leave(m, p->section, &p->now);
		p->now = next;
		p->ready_ns = weir_clock_ns();
		p->recovers = p->wanted = false;
		weir_place_drop_beside(m, p, true);
		say(m, WEIR_LOG_INFO, p->section, "is replaced");
		break;
	}
	case WEIR_ROUTER_FAILED:
		fail_beside(m, p, why);
		break;
	default:
		break;
	}
}

/* --- room and idleness --------------------------------------------------------------------- */

static int64_t last_used(const struct weir_place *p)
{
	return MAX(weir_slot_used_ns(p->now.slot), p->ready_ns);
}

static bool is_idle(const struct weir_place *p)
{
	return p->now.part && !p->now.loading && !p->next.slot &&
	       weir_slot_inflight(p->now.slot) == 0;
}

static unsigned count_loaded(const struct weir_models *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->places->len; i++)
		n += ((struct weir_place *)m->places->pdata[i])->now.part != NULL;
	return n;
}

/* Ends the one that was idle for longest. A request that comes meanwhile is a reason to take
 * another one next time. */
static void evict(struct weir_models *m)
{
	struct weir_place *oldest = NULL;
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		if (is_idle(p) && (!oldest || last_used(p) < last_used(oldest)))
			oldest = p;
	}
	if (oldest && weir_place_renew(m, oldest, true))
		say(m, WEIR_LOG_INFO, oldest->section, "makes room (max_loaded)");
}

static bool has_room(struct weir_models *m)
{
	unsigned max = m->options.max_loaded, n = count_loaded(m);
	if (max == 0 || (n < max && !weir_models_leaving(m, NULL)))
		return true;
	if (n < max) { /* somebody is on the way out: is that enough? */
		for (unsigned i = 0; i < m->leavers->len; i++)
			n += ((struct weir_leaver *)m->leavers->pdata[i])->tenure.part != NULL;
		return n < max;
	}
	if (!weir_models_leaving(m, NULL))
		evict(m);
	return false;
}

/* When the next one is due, in milliseconds; -1: none. */
static int run_idle(struct weir_models *m)
{
	int64_t now = weir_clock_ns(), due_ms = -1;
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		int64_t patience = p->plan->life.idle_unload_ms;
		if (patience <= 0 || !p->now.part || p->now.loading)
			continue;
		int64_t left_ms = patience - (now - last_used(p)) / 1000000;
		if (left_ms <= 0 && is_idle(p) && weir_place_renew(m, p, true)) {
			say(m, WEIR_LOG_INFO, p->section, "was idle for long (idle_unload)");
			continue;
		}
		/* A busy one is looked at now and then: its last request rings no bell. */
		left_ms = CLAMP(left_ms, MIN(patience, 1000), 3600000);
		due_ms = due_ms < 0 ? left_ms : MIN(due_ms, left_ms);
	}
	return (int)due_ms;
}

bool weir_models_run(struct weir_models *m, int *ret_due_ms)
{
	bool busy = false;
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		weir_place_check_lost(m, p);
		if (weir_slot_take_asked(p->now.slot) && !m->draining)
			weir_place_want(m, p);
		check_load(m, p);
		check_beside(m, p);
	}
	run_leavers(m);
	*ret_due_ms = -1;
	if (!m->draining) {
		*ret_due_ms = run_idle(m);
		if (m->options.max_loaded > 0 && count_loaded(m) > m->options.max_loaded)
			evict(m);
	}
	for (unsigned i = 0; i < m->places->len; i++) {
		struct weir_place *p = m->places->pdata[i];
		if (p->wanted && !m->draining && g_get_monotonic_time() >= p->due_us &&
		    !weir_models_leaving(m, p->section) && has_room(m))
			load(m, p);
		busy |= p->wanted || p->now.loading || p->next.slot;
		if (p->now.part && weir_slot_is_watched(p->now.slot) &&
		    (*ret_due_ms < 0 || *ret_due_ms > WATCH_MS))
			*ret_due_ms = WATCH_MS;
	}
	return busy || m->leavers->len > 0;
}
