/*
 * gateway.c - the router's life cycle and status; see gateway.h. A request's way is gateway-route.c
 * and gateway-open.c, the backends' own life gateway-slots.c.
 */
#include "gateway-router.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "request.h"
#include "text.h"

const char *const weir_router_state_names[] = {
	[WEIR_ROUTER_LOADING] = "loading",     [WEIR_ROUTER_READY] = "ready",
	[WEIR_ROUTER_FAILED] = "failed",       [WEIR_ROUTER_UNLOADED] = "unloaded",
	[WEIR_ROUTER_UNLOADING] = "unloading",
};

int weir_router_state_rank(enum weir_router_state state)
{
	static const int ranks[] = {
		[WEIR_ROUTER_FAILED] = 0,  [WEIR_ROUTER_UNLOADED] = 1, [WEIR_ROUTER_UNLOADING] = 2,
		[WEIR_ROUTER_LOADING] = 3, [WEIR_ROUTER_READY] = 4,
	};

	return ranks[state];
}

weir_status weir_router_new(struct weir_core *core, const struct weir_router_options *options,
			    struct weir_router **ret, struct weir_error *err)
{
	struct weir_router *r = g_new0(struct weir_router, 1);

	r->core = core;
	r->options = *options;
	r->streams = weir_streams_new(core);
	r->slots = g_ptr_array_new_with_free_func((GDestroyNotify)weir_slot_unref);
	r->all = g_ptr_array_new();
	r->found = g_ptr_array_new();
	r->candidates = g_array_new(FALSE, FALSE, sizeof(struct weir_candidate));
	r->affinity = weir_affinity_new();
	pthread_mutex_init(&r->chain_lock, NULL);
	pthread_mutex_init(&r->lock, NULL);
	weir_router_set_limits(r, options);
	r->queue_depth = weir_metric_gauge(core->metrics, "queue_depth", "",
					   "Requests that wait for their turn.");
	r->queue_rejections = weir_metric_counter(core->metrics, "queue_rejections", "",
						  "Requests refused because the queue was full.");
	r->queue_wait = weir_metric_counter(core->metrics, "queue_wait_seconds", "",
					    "Time that requests have spent waiting.");
	r->n_recovered = weir_metric_counter(
		core->metrics, "weir_requests_recovered", "",
		"Answers that went on behind a backend that was lost or replaced.");
	r->n_lost = weir_metric_counter(
		core->metrics, "weir_requests_lost", "",
		"Requests that ended because their backend was lost or unloaded.");
	*ret = r;
	return WEIR_OK;
}

weir_status weir_router_add_backend(struct weir_router *r, const struct weir_backend_binding *b,
				    struct weir_error *err)
{
	const struct weir_slot_plan plan = { b->name, b->component, b->serves, false, 0 };
	struct weir_slot *slot;
	weir_status status;

	for (guint i = 0; i < r->slots->len; i++) {
		const struct weir_slot *other = r->slots->pdata[i];

		if (strcmp(other->name, b->name) == 0)
			return weir_fail(err, WEIR_E_INVALID, "there are two backends named %s",
					 b->name);
	}
	slot = weir_slot_new(r, &plan);
	status = weir_slot_bind(slot, b->instance, err);
	if (status < 0)
		weir_slot_unref(slot);
	else
		g_ptr_array_add(r->slots, slot);
	return status;
}

weir_status weir_router_set_chain(struct weir_router *r, struct weir_instance *const *middleware,
				  size_t n, struct weir_error *err)
{
	struct weir_chain *chain = NULL, *old;
	weir_status status;

	if (n > 0) {
		status = weir_chain_new(middleware, NULL, n, &chain, err);
		if (status < 0)
			return status;
	}
	pthread_mutex_lock(&r->chain_lock);
	old = r->chain;
	r->chain = chain;
	pthread_mutex_unlock(&r->chain_lock);
	weir_chain_unref(old);
	return WEIR_OK;
}

weir_status weir_router_start(struct weir_router *r, struct weir_error *err)
{
	weir_status status = weir_workers_new(r->options.n_workers, &r->workers, err);

	if (status == WEIR_OK)
		status = weir_watchdog_new(
			&(struct weir_watchdog_options){ .streams = r->streams,
							 .cancel_grace_ms =
								 r->options.cancel_grace_ms,
							 .look = weir_router_look_for_hangs,
							 .data = r },
			&r->watchdog, err);
	for (guint i = 0; status == WEIR_OK && i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		if (weir_slot_scheduler(slot))
			status = weir_slot_load(slot, err);
	}
	return status;
}

void weir_router_set_loader(struct weir_router *r, const struct weir_loader *loader)
{
	r->loader = loader ? *loader : (struct weir_loader){ 0 };
}

void weir_router_set_limits(struct weir_router *r, const struct weir_router_options *options)
{
	atomic_store(&r->max_queue, options->max_queue);
	atomic_store(&r->max_concurrent, options->max_concurrent);
	atomic_store(&r->park_after_ms, options->park_after_ms);
	atomic_store(&r->single_model, options->single_model);
	if (r->watchdog)
		weir_watchdog_set_grace(r->watchdog, options->cancel_grace_ms);
	pthread_mutex_lock(&r->lock);
	for (guint i = 0; i < r->all->len; i++) {
		struct weir_scheduler *s = weir_slot_scheduler(r->all->pdata[i]);

		if (s)
			weir_scheduler_set_limits(s, options->max_concurrent,
						  options->park_after_ms);
	}
	pthread_mutex_unlock(&r->lock);
}

size_t weir_router_active(const struct weir_router *r)
{
	return weir_streams_active(r->streams);
}

void weir_router_drain(struct weir_router *r)
{
	atomic_store(&r->draining, true);
}

void weir_router_stop(struct weir_router *r)
{
	if (!r)
		return;
	weir_router_drain(r);
	weir_streams_cancel_all(r->streams, WEIR_E_UNAVAILABLE);
	/* What waits for a load will not see it; main alone makes and frees slots. */
	for (guint i = 0; i < r->all->len; i++)
		weir_slot_close(r->all->pdata[i]);
	for (guint i = 0; i < r->all->len; i++)
		weir_scheduler_stop(((struct weir_slot *)r->all->pdata[i])->scheduler);
	/* Whoever slipped in before the flag is cancelled in the next round. */
	do {
		weir_streams_cancel_all(r->streams, WEIR_E_UNAVAILABLE);
		if (weir_streams_producing(r->streams) == 0 && atomic_load(&r->n_opening) == 0)
			break;
		g_usleep(2000);
	} while (r->watchdog);
	weir_workers_free(r->workers);
	weir_watchdog_free(r->watchdog);
	r->workers = NULL;
	r->watchdog = NULL;
}

void weir_router_free(struct weir_router *r)
{
	if (!r)
		return;
	weir_router_stop(r);
	weir_streams_close(r->streams);
	weir_chain_unref(r->chain);
	pthread_mutex_destroy(&r->chain_lock);
	g_ptr_array_unref(r->slots);
	g_ptr_array_unref(r->all);
	g_ptr_array_unref(r->found);
	g_array_unref(r->candidates);
	weir_affinity_free(r->affinity);
	pthread_mutex_destroy(&r->lock);
	g_free(r);
}

/* --- state --------------------------------------------------------------------------------- */

/* After the start a load is one backend's affair. */
enum weir_router_state weir_router_state(const struct weir_router *cr)
{
	struct weir_router *r = (struct weir_router *)cr;
	guint n[5] = { 0 }, all;

	pthread_mutex_lock(&r->lock);
	for (guint i = 0; i < r->slots->len; i++)
		n[weir_slot_state(r->slots->pdata[i], NULL, 0)]++;
	all = r->slots->len;
	pthread_mutex_unlock(&r->lock);
	if (n[WEIR_ROUTER_LOADING] > 0 && (!atomic_load(&r->settled) || n[WEIR_ROUTER_READY] == 0))
		return WEIR_ROUTER_LOADING;
	atomic_store(&r->settled, true);
	return all > 0 && n[WEIR_ROUTER_FAILED] == all ? WEIR_ROUTER_FAILED : WEIR_ROUTER_READY;
}

static void append_key(GString *json, const char *key, const char *value)
{
	g_string_append_printf(json, "\"%s\":", key);
	if (value)
		weir_text_append_json(json, (struct weir_str){ value, strlen(value) });
	else
		g_string_append(json, "null");
}

static void slot_counts(struct weir_slot *slot, struct weir_scheduler_status *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (weir_slot_scheduler(slot))
		weir_scheduler_status(slot->scheduler, ret);
	else
		(void)weir_slot_report_model(slot, ret);
	pthread_mutex_lock(&slot->lock);
	/* What waits in the other process runs as far as we have let it in. */
	if (slot->report)
		ret->waiting = MIN(slot->n_running, ret->waiting);
	ret->active += slot->n_running - (slot->report ? ret->waiting : 0);
	ret->waiting += slot->waiting.length;
	pthread_mutex_unlock(&slot->lock);
}

static void append_model(GString *json, const struct weir_scheduler_status *s)
{
	const struct weir_model *m = &s->model;

	g_string_append(json, ",\"model\":{");
	append_key(json, "name", m->name);
	g_string_append_c(json, ',');
	append_key(json, "summary", m->summary);
	g_string_append_printf(
		json,
		",\"context\":%u,\"vocabulary\":%u,\"max_rows\":%u,\"max_tokens\":%u,"
		"\"bytes_weights\":%" PRIu64 ",\"bytes_kv\":%" PRIu64 "}",
		m->n_ctx, m->n_vocab, m->max_rows, m->max_tokens, m->bytes_weights, m->bytes_kv);
	g_string_append_printf(json, ",\"kv\":{\"blocks\":%u,\"used\":%u,\"cached\":%u}",
			       s->n_blocks, s->n_used, s->n_cached);
}

static char *slot_json(struct weir_slot *slot, const struct weir_scheduler_status *s)
{
	char error[256] = "";
	enum weir_router_state state = weir_slot_state(slot, error, sizeof(error));
	GString *json = g_string_new("{");
	g_auto(GStrv) names = weir_slot_names(slot);
	int64_t load_ms = atomic_load(&slot->load_ms);

	append_key(json, "name", slot->name);
	g_string_append_c(json, ',');
	append_key(json, "component", slot->component);
	g_string_append_c(json, ',');
	append_key(json, "state", weir_router_state_names[state]);
	g_string_append_c(json, ',');
	append_key(json, "error", *error ? error : NULL);
	g_string_append(json, ",\"models\":[");
	for (char **name = names; *name; name++) {
		if (name > names)
			g_string_append_c(json, ',');
		weir_text_append_json(json, (struct weir_str){ *name, strlen(*name) });
	}
	g_string_append_c(json, ']');
	if (state == WEIR_ROUTER_READY)
		g_string_append_printf(json, ",\"load_seconds\":%" PRId64 ".%03d", load_ms / 1000,
				       (int)(load_ms % 1000));
	if (weir_slot_scheduler(slot) && s->state == WEIR_SCHEDULER_READY)
		append_model(json, s);
	weir_slot_append_progress(slot, json);
	weir_slot_append_report(slot, json);
	g_string_append_printf(json,
			       ",\"queue\":{\"active\":%zu,\"waiting\":%zu,\"max_concurrent\":%zu,"
			       "\"max_queue_size\":%u}}",
			       s->active, s->waiting, weir_slot_concurrency(slot),
			       atomic_load(&slot->router->max_queue));
	return g_string_free(json, FALSE);
}

void weir_router_status(const struct weir_router *r, size_t *ret_active, size_t *ret_waiting,
			void (*each)(void *data, const char *json), void *data)
{
	g_autoptr(GPtrArray) slots = weir_router_snapshot(r);
	size_t active = 0, waiting = 0;

	for (guint i = 0; i < slots->len; i++) {
		struct weir_slot *slot = slots->pdata[i];
		struct weir_scheduler_status status;

		slot_counts(slot, &status);
		active += status.active;
		waiting += status.waiting;
		if (each) {
			g_autofree char *json = slot_json(slot, &status);

			each(data, json);
		}
	}
	if (ret_active)
		*ret_active = active;
	if (ret_waiting)
		*ret_waiting = waiting;
}

void weir_router_measure(struct weir_router *r)
{
	g_autoptr(GPtrArray) slots = weir_router_snapshot(r);
	struct weir_metric_set *set = r->core->metrics;

	for (guint i = 0; i < slots->len; i++) {
		struct weir_slot *slot = slots->pdata[i];
		enum weir_router_state state = weir_slot_state(slot, NULL, 0);
		g_autofree char *backend = g_strdup_printf("backend=\"%s\"", slot->name);

		weir_slot_import(slot);
		weir_slot_measure_hang(slot, backend);
		for (guint k = 0; k < G_N_ELEMENTS(weir_router_state_names); k++) {
			g_autofree char *labels = g_strdup_printf("%s,state=\"%s\"", backend,
								  weir_router_state_names[k]);

			weir_metric_set_value(
				weir_metric_gauge(set, "weir_model_state", labels,
						  "1 for the state that a backend is in."),
				k == state);
		}
		weir_metric_set_value(weir_metric_gauge(set, "weir_model_load_seconds", backend,
							"How long the last load took."),
				      (double)atomic_load(&slot->load_ms) / 1e3);
		weir_metric_set_value(
			weir_metric_gauge(set, "weir_model_bytes", backend,
					  "Memory of a loaded model's weights and KV."),
			(double)weir_slot_bytes(slot));
	}
}

const void *weir_gateway_extension(const char *id)
{
	if (strcmp(id, WEIR_HOST_GATEWAY) == 0)
		return &weir_gateway_calls;
	if (strcmp(id, WEIR_HOST_REQUEST) == 0)
		return &weir_request_extension;
	if (strcmp(id, WEIR_HOST_STREAM) == 0)
		return &weir_stream_extension;
	return NULL;
}
