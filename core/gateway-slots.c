/*
 * gateway-slots.c - one life of a backend, and the table of those that requests can reach; see
 * gateway-router.h. Slots are made, bound and closed on main; everybody may hold a reference.
 */
#include "gateway-router.h"

#include <string.h>
#include <time.h>

#include "log.h"
#include "metrics-import.h"

/* --- life ---------------------------------------------------------------------------------- */

struct weir_slot *weir_slot_new(struct weir_router *r, const struct weir_slot_plan *plan)
{
	struct weir_slot *slot = g_new0(struct weir_slot, 1);
	g_autofree char *labels = g_strdup_printf("backend=\"%s\"", plan->name);

	atomic_init(&slot->refs, 1);
	slot->router = r;
	slot->name = g_intern_string(plan->name);
	slot->component = g_intern_string(plan->component);
	slot->serves = g_strdupv((char **)plan->serves);
	slot->model = g_intern_string(slot->serves ? slot->serves[0] : NULL);
	slot->on_demand = slot->held = plan->on_demand;
	slot->created = (int64_t)time(NULL);
	atomic_init(&slot->hang_ms, plan->hang_timeout_ms);
	slot->losses = weir_metric_counter(r->core->metrics, "weir_backend_losses", labels,
					   "Instances that were lost while they served.");
	atomic_init(&slot->used_ns, weir_clock_ns());
	pthread_mutex_init(&slot->lock, NULL);
	g_queue_init(&slot->waiting);
	pthread_mutex_lock(&r->lock);
	g_ptr_array_add(r->all, slot);
	pthread_mutex_unlock(&r->lock);
	return slot;
}

struct weir_slot *weir_slot_ref(struct weir_slot *slot)
{
	atomic_fetch_add(&slot->refs, 1);
	return slot;
}

void weir_slot_unref(struct weir_slot *slot)
{
	if (!slot || atomic_fetch_sub(&slot->refs, 1) > 1)
		return;
	pthread_mutex_lock(&slot->router->lock);
	g_ptr_array_remove_fast(slot->router->all, slot);
	pthread_mutex_unlock(&slot->router->lock);
	weir_scheduler_free(slot->scheduler);
	weir_slot_unref(slot->heir);
	weir_metric_import_free(slot->import);
	g_queue_clear(&slot->waiting);
	pthread_mutex_destroy(&slot->lock);
	g_strfreev(slot->serves);
	g_free(slot);
}

/* Finds out which level of backend it is. */
weir_status weir_slot_bind(struct weir_slot *slot, struct weir_instance *instance,
			   struct weir_error *err)
{
	struct weir_router *r = slot->router;
	const struct weir_backend_step *step = NULL;
	weir_status status = WEIR_OK;

	slot->instance = instance;
	if (WEIR_HAS(struct weir_instance, instance, get_ext)) {
		step = instance->get_ext(instance, WEIR_BACKEND_STEP);
		slot->stream = instance->get_ext(instance, WEIR_BACKEND_STREAM);
	}
	if (step) {
		struct weir_scheduler_options options = {
			.core = r->core,
			.name = slot->name,
			.model_name = slot->model,
			.instance = instance,
			.calls = step,
			.max_concurrent = atomic_load(&r->max_concurrent),
			.park_after_ms = atomic_load(&r->park_after_ms),
			.lost = weir_slot_lost,
			.hand_back = weir_slot_hand_back,
			.data = slot,
		};

		status = weir_scheduler_new(&options, &slot->scheduler, err);
	} else if (!slot->stream || !WEIR_HAS(struct weir_backend_stream, slot->stream, submit)) {
		status = weir_fail(err, WEIR_E_INVALID, "%s offers neither %s nor %s", slot->name,
				   WEIR_BACKEND_STREAM, WEIR_BACKEND_STEP);
	}
	if (status == WEIR_OK && !step)
		weir_slot_bind_report(slot);
	if (status == WEIR_OK)
		atomic_store(&slot->phase, WEIR_SLOT_BOUND);
	return status;
}

weir_status weir_slot_load(struct weir_slot *slot, struct weir_error *err)
{
	return slot->scheduler ? weir_scheduler_start(slot->scheduler, err) : WEIR_OK;
}

void weir_slot_break(struct weir_slot *slot, const char *why)
{
	pthread_mutex_lock(&slot->lock);
	g_strlcpy(slot->why, why, sizeof(slot->why));
	pthread_mutex_unlock(&slot->lock);
	atomic_store(&slot->broken_ns, weir_clock_ns());
	atomic_store(&slot->phase, WEIR_SLOT_BROKEN);
	weir_slot_release(slot, true);
}

void weir_slot_settle(struct weir_slot *slot)
{
	enum weir_router_state state = weir_slot_state(slot, NULL, 0);

	if (state == WEIR_ROUTER_READY || state == WEIR_ROUTER_FAILED)
		weir_slot_release(slot, state == WEIR_ROUTER_FAILED);
}

void weir_slot_mark(struct weir_slot *slot, bool coming, bool going)
{
	atomic_store(&slot->coming, coming);
	atomic_store(&slot->going, going);
}

bool weir_slot_take_asked(struct weir_slot *slot)
{
	return atomic_exchange(&slot->asked, false);
}

void weir_slot_close(struct weir_slot *slot)
{
	bool ready = weir_slot_state(slot, NULL, 0) == WEIR_ROUTER_READY;
	bool held;

	pthread_mutex_lock(&slot->lock);
	held = slot->held;
	pthread_mutex_unlock(&slot->lock);
	/* One that has become ready since main last looked still serves who waits in it. */
	if (held)
		weir_slot_release(slot, !ready);
}

bool weir_slot_ended(struct weir_slot *slot)
{
	if (slot->scheduler && !weir_scheduler_quit(slot->scheduler))
		return false;
	weir_scheduler_stop(slot->scheduler);
	/* A worker may still be on its way out of submit(), a reader within a document. */
	return atomic_load(&slot->refs) == 1;
}

/* --- what is known of it ------------------------------------------------------------------- */

struct weir_scheduler *weir_slot_scheduler(const struct weir_slot *slot)
{
	return atomic_load(&((struct weir_slot *)slot)->phase) == WEIR_SLOT_BOUND ? slot->scheduler
										  : NULL;
}

enum weir_router_state weir_slot_state(struct weir_slot *slot, char *ret_error, size_t error_size)
{
	static const enum weir_router_state states[] = {
		[WEIR_SCHEDULER_LOADING] = WEIR_ROUTER_LOADING,
		[WEIR_SCHEDULER_READY] = WEIR_ROUTER_READY,
		[WEIR_SCHEDULER_FAILED] = WEIR_ROUTER_FAILED,
	};
	struct weir_scheduler_status status;

	switch (atomic_load(&slot->phase)) {
	case WEIR_SLOT_EMPTY:
		if (atomic_load(&slot->coming))
			return WEIR_ROUTER_LOADING;
		return atomic_load(&slot->going) ? WEIR_ROUTER_UNLOADING : WEIR_ROUTER_UNLOADED;
	case WEIR_SLOT_BROKEN:
		pthread_mutex_lock(&slot->lock);
		if (ret_error)
			g_strlcpy(ret_error, slot->why, error_size);
		pthread_mutex_unlock(&slot->lock);
		return WEIR_ROUTER_FAILED;
	default:
		break;
	}
	if (slot->report)
		return weir_slot_reported(slot, ret_error, error_size);
	if (!slot->scheduler)
		return WEIR_ROUTER_READY;
	if (weir_scheduler_state(slot->scheduler) != WEIR_SCHEDULER_FAILED || !ret_error)
		return states[weir_scheduler_state(slot->scheduler)];
	weir_scheduler_status(slot->scheduler, &status);
	g_strlcpy(ret_error, status.error, error_size);
	return states[status.state];
}

char **weir_slot_names(const struct weir_slot *slot)
{
	struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	struct weir_scheduler_status status;
	char **names;

	pthread_mutex_lock(&slot->router->lock);
	names = g_strdupv(slot->serves);
	pthread_mutex_unlock(&slot->router->lock);
	if (names && names[0])
		return names;
	g_strfreev(names);
	names = g_new0(char *, 2);
	if (scheduler) {
		weir_scheduler_status(scheduler, &status);
		names[0] = g_strdup(status.model.name);
	}
	return names;
}

size_t weir_slot_concurrency(const struct weir_slot *slot)
{
	size_t limit = atomic_load(&slot->router->max_concurrent);
	struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	struct weir_scheduler_status told = { 0 };

	if (limit == 0 && weir_slot_report_model(slot, &told))
		return told.model.max_rows;
	return limit > 0 || !scheduler ? limit : weir_scheduler_rows(scheduler);
}

uint32_t weir_slot_context(const struct weir_slot *slot)
{
	struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	struct weir_scheduler_status told = { 0 };

	if (weir_slot_report_model(slot, &told))
		return told.model.n_ctx;
	return scheduler ? weir_scheduler_context(scheduler) : 0;
}

uint64_t weir_slot_bytes(const struct weir_slot *slot)
{
	struct weir_scheduler *scheduler = weir_slot_scheduler(slot);
	struct weir_scheduler_status status = { 0 };

	if (scheduler)
		weir_scheduler_status(scheduler, &status);
	else if (!weir_slot_report_model(slot, &status))
		return 0;
	return status.model.bytes_weights + status.model.bytes_kv;
}

const char *weir_slot_name(const struct weir_slot *slot)
{
	return slot->name;
}

size_t weir_slot_inflight(const struct weir_slot *slot)
{
	return atomic_load(&((struct weir_slot *)slot)->n_inflight);
}

int64_t weir_slot_used_ns(const struct weir_slot *slot)
{
	return atomic_load(&((struct weir_slot *)slot)->used_ns);
}

void weir_slot_set_load_ms(struct weir_slot *slot, int64_t ms)
{
	atomic_store(&slot->load_ms, ms);
}

/* --- the table ----------------------------------------------------------------------------- */

GPtrArray *weir_router_snapshot(const struct weir_router *cr)
{
	struct weir_router *r = (struct weir_router *)cr;
	GPtrArray *slots = g_ptr_array_new_with_free_func((GDestroyNotify)weir_slot_unref);

	pthread_mutex_lock(&r->lock);
	for (guint i = 0; i < r->slots->len; i++)
		g_ptr_array_add(slots, weir_slot_ref(r->slots->pdata[i]));
	pthread_mutex_unlock(&r->lock);
	return slots;
}

void weir_router_put(struct weir_router *r, struct weir_slot *const *slots, size_t n)
{
	GPtrArray *next = g_ptr_array_new_with_free_func((GDestroyNotify)weir_slot_unref);
	GPtrArray *old;

	for (size_t i = 0; i < n; i++)
		g_ptr_array_add(next, weir_slot_ref(slots[i]));
	pthread_mutex_lock(&r->lock);
	old = r->slots;
	r->slots = next;
	pthread_mutex_unlock(&r->lock);
	g_ptr_array_unref(old);
}

bool weir_router_replace(struct weir_router *r, struct weir_slot *old, struct weir_slot *fresh,
			 bool only_idle)
{
	bool found = false;
	guint at = 0;

	pthread_mutex_lock(&r->lock);
	/* Requests are counted under this lock: who is not counted finds the fresh one. */
	if (!only_idle || atomic_load(&old->n_inflight) == 0)
		found = g_ptr_array_find(r->slots, old, &at);
	if (found) {
		fresh->created = old->created;
		fresh->picked = old->picked;
		r->slots->pdata[at] = weir_slot_ref(fresh);
	}
	pthread_mutex_unlock(&r->lock);
	if (found)
		weir_slot_unref(old);
	return found;
}

void weir_slot_rename(struct weir_slot *slot, const char *const *serves)
{
	char **next = g_strdupv((char **)serves), **old;

	pthread_mutex_lock(&slot->router->lock);
	old = slot->serves;
	slot->serves = next;
	pthread_mutex_unlock(&slot->router->lock);
	g_strfreev(old);
}
