/*
 * gateway-hang.c - backends of this process that do not return from a call: said once, shown in
 * /health and weir_backend_hung. Nothing can end such a call from here; a process of its own can
 * be ended (isolation = process), and the log says so.
 *
 * A call hangs when its scheduler has not got on for the section's hang_timeout, counted on the
 * watchdog's thread, so that the time in which this process was stopped is nobody's fault.
 */
#include <inttypes.h>

#include "gateway-router.h"
#include "log.h"
#include "scheduler-progress.h"

#define LATE_NS 2000000000 /* who is called so much later did not run */

static void say_hung(const struct weir_slot *slot, const struct weir_progress_view *view)
{
	weir_logf(
		slot->router->core->log, WEIR_LOG_ERROR, "gateway",
		"%s: %s has not returned for %.1f s, %zu requests wait for it; it cannot be ended "
		"from here, but a backend with isolation = process would be ended and started "
		"again (hang_timeout)",
		slot->name, view->section, (double)slot->hang.ns / 1e9, weir_slot_inflight(slot));
}

static void look(struct weir_slot *slot, int64_t passed_ns)
{
	const struct weir_scheduler *s = weir_slot_scheduler(slot);
	int64_t patience = atomic_load(&slot->hang_ms) * 1000000;
	struct weir_progress_view view = { 0 };
	bool hangs = false;

	if (s && patience > 0 && weir_scheduler_state(s) == WEIR_SCHEDULER_READY)
		weir_scheduler_look(s, &view);
	if (!view.section || view.count != slot->hang.count || !slot->hang.seen) {
		slot->hang.ns = 0;
	} else {
		slot->hang.ns += passed_ns;
		hangs = slot->hang.ns >= patience && view.ns >= patience;
	}
	slot->hang.count = view.count;
	slot->hang.seen = view.section != NULL;
	if (hangs && !atomic_load(&slot->hung))
		say_hung(slot, &view);
	else if (!hangs && atomic_load(&slot->hung))
		weir_logf(slot->router->core->log, WEIR_LOG_WARNING, "gateway", "%s gets on again",
			  slot->name);
	atomic_store(&slot->hung, hangs);
}

void weir_router_look_for_hangs(void *data, int64_t passed_ns)
{
	struct weir_router *r = data;

	passed_ns = passed_ns > LATE_NS ? 0 : passed_ns;
	pthread_mutex_lock(&r->lock);
	for (guint i = 0; i < r->all->len; i++)
		look(r->all->pdata[i], passed_ns);
	pthread_mutex_unlock(&r->lock);
}

void weir_slot_set_hang_timeout(struct weir_slot *slot, int64_t ms)
{
	atomic_store(&slot->hang_ms, ms);
}

void weir_slot_append_progress(const struct weir_slot *slot, GString *json)
{
	const struct weir_scheduler *s = weir_slot_scheduler(slot);
	struct weir_progress_view view;
	bool hung = atomic_load(&((struct weir_slot *)slot)->hung);

	if (!s || weir_scheduler_state(s) != WEIR_SCHEDULER_READY)
		return;
	weir_scheduler_look(s, &view);
	g_string_append_printf(json, ",\"progress\":{\"count\":%" PRIu64, view.count);
	if (view.section)
		g_string_append_printf(json, ",\"section\":\"%s\",\"seconds\":%" PRId64 ".%03d",
				       view.section, view.ns / 1000000000,
				       (int)(view.ns / 1000000 % 1000));
	g_string_append_printf(json, ",\"hung\":%s}", hung && view.section ? "true" : "false");
}

void weir_slot_measure_hang(const struct weir_slot *slot, const char *labels)
{
	/* Of an isolated one the other process tells. */
	if (weir_slot_scheduler(slot))
		weir_metric_set_value(
			weir_metric_gauge(slot->router->core->metrics, "weir_backend_hung", labels,
					  "1: a call of the backend has not returned for its "
					  "hang_timeout."),
			atomic_load(&((struct weir_slot *)slot)->hung));
}
