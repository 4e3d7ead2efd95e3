/*
 * gateway.c - the router's life cycle and status; see gateway.h. A request's way is gateway-open.c.
 */
#include "gateway-router.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "request.h"
#include "text.h"

static const char *const state_names[] = { "loading", "ready", "failed" };

weir_status weir_router_new(struct weir_core *core, const struct weir_router_options *options,
			    struct weir_router **ret, struct weir_error *err)
{
	struct weir_router *r = g_new0(struct weir_router, 1);

	r->core = core;
	r->options = *options;
	r->streams = weir_streams_new(core);
	r->slots = g_ptr_array_new();
	pthread_mutex_init(&r->chain_lock, NULL);
	r->queue_depth = weir_metric_gauge(core->metrics, "queue_depth", "",
					   "Requests that wait for their turn.");
	r->queue_rejections = weir_metric_counter(core->metrics, "queue_rejections", "",
						  "Requests refused because the queue was full.");
	r->queue_wait = weir_metric_counter(core->metrics, "queue_wait_seconds", "",
					    "Time that requests have spent waiting.");
	*ret = r;
	return WEIR_OK;
}

static void slot_free(struct weir_slot *slot)
{
	weir_scheduler_free(slot->scheduler);
	g_queue_clear(&slot->waiting);
	pthread_mutex_destroy(&slot->lock);
	g_strfreev(slot->serves);
	g_free(slot->name);
	g_free(slot->component);
	g_free(slot);
}

/* Finds out which level of backend it is. */
static weir_status attach(struct weir_router *r, struct weir_slot *slot, struct weir_error *err)
{
	struct weir_instance *instance = slot->instance;
	const struct weir_backend_step *step = NULL;

	if (WEIR_HAS(struct weir_instance, instance, get_ext)) {
		step = instance->get_ext(instance, WEIR_BACKEND_STEP);
		slot->stream = instance->get_ext(instance, WEIR_BACKEND_STREAM);
	}
	if (step) {
		struct weir_scheduler_options options = {
			.core = r->core,
			.name = slot->name,
			.model_name = slot->serves ? slot->serves[0] : NULL,
			.instance = instance,
			.calls = step,
			.max_concurrent = r->options.max_concurrent,
			.park_after_ms = r->options.park_after_ms,
		};

		return weir_scheduler_new(&options, &slot->scheduler, err);
	}
	if (slot->stream && WEIR_HAS(struct weir_backend_stream, slot->stream, submit))
		return WEIR_OK;
	return weir_fail(err, WEIR_E_INVALID, "%s offers neither %s nor %s", slot->name,
			 WEIR_BACKEND_STREAM, WEIR_BACKEND_STEP);
}

weir_status weir_router_add_backend(struct weir_router *r, const struct weir_backend_binding *b,
				    struct weir_error *err)
{
	struct weir_slot *slot;
	weir_status status;

	for (guint i = 0; i < r->slots->len; i++) {
		const struct weir_slot *other = r->slots->pdata[i];

		if (strcmp(other->name, b->name) == 0)
			return weir_fail(err, WEIR_E_INVALID, "there are two backends named %s",
					 b->name);
		for (const char *const *s = b->serves; s && *s; s++)
			if (other->serves &&
			    g_strv_contains((const char *const *)other->serves, *s))
				return weir_fail(err, WEIR_E_INVALID, "both %s and %s serve \"%s\"",
						 other->name, b->name, *s);
	}
	slot = g_new0(struct weir_slot, 1);
	slot->router = r;
	slot->instance = b->instance;
	slot->name = g_strdup(b->name);
	slot->component = g_strdup(b->component);
	slot->serves = g_strdupv((char **)b->serves);
	slot->created = (int64_t)time(NULL);
	pthread_mutex_init(&slot->lock, NULL);
	g_queue_init(&slot->waiting);
	status = attach(r, slot, err);
	if (status < 0)
		slot_free(slot);
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
		status = weir_watchdog_new(r->streams, r->options.cancel_grace_ms, &r->watchdog,
					   err);
	for (guint i = 0; status == WEIR_OK && i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		if (slot->scheduler)
			status = weir_scheduler_start(slot->scheduler, err);
	}
	return status;
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
	for (guint i = 0; i < r->slots->len; i++)
		weir_scheduler_stop(((struct weir_slot *)r->slots->pdata[i])->scheduler);
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
	for (guint i = 0; i < r->slots->len; i++)
		slot_free(r->slots->pdata[i]);
	g_ptr_array_unref(r->slots);
	g_free(r);
}

/* --- state --------------------------------------------------------------------------------- */

enum weir_router_state weir_slot_state(struct weir_slot *slot, char *ret_error, size_t error_size)
{
	static const enum weir_router_state states[] = {
		[WEIR_SCHEDULER_LOADING] = WEIR_ROUTER_LOADING,
		[WEIR_SCHEDULER_READY] = WEIR_ROUTER_READY,
		[WEIR_SCHEDULER_FAILED] = WEIR_ROUTER_FAILED,
	};
	struct weir_scheduler_status status;

	if (!slot->scheduler)
		return WEIR_ROUTER_READY;
	if (weir_scheduler_state(slot->scheduler) != WEIR_SCHEDULER_FAILED || !ret_error)
		return states[weir_scheduler_state(slot->scheduler)];
	weir_scheduler_status(slot->scheduler, &status);
	g_strlcpy(ret_error, status.error, error_size);
	return states[status.state];
}

const char *const *weir_slot_names(const struct weir_slot *slot, const char *own[2])
{
	struct weir_scheduler_status status;

	if (slot->serves && slot->serves[0])
		return (const char *const *)slot->serves;
	own[0] = own[1] = NULL;
	if (slot->scheduler) {
		weir_scheduler_status(slot->scheduler, &status);
		own[0] = status.model.name;
	}
	return own;
}

size_t weir_slot_concurrency(const struct weir_slot *slot)
{
	size_t limit = slot->router->options.max_concurrent;

	return limit > 0 || !slot->scheduler ? limit : weir_scheduler_rows(slot->scheduler);
}

uint32_t weir_slot_context(const struct weir_slot *slot)
{
	return slot->scheduler ? weir_scheduler_context(slot->scheduler) : 0;
}

enum weir_router_state weir_router_state(const struct weir_router *r)
{
	guint n_failed = 0;

	for (guint i = 0; i < r->slots->len; i++) {
		enum weir_router_state state = weir_slot_state(r->slots->pdata[i], NULL, 0);

		if (state == WEIR_ROUTER_LOADING)
			return state;
		n_failed += state == WEIR_ROUTER_FAILED;
	}
	return n_failed > 0 && n_failed == r->slots->len ? WEIR_ROUTER_FAILED : WEIR_ROUTER_READY;
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
	if (slot->scheduler) {
		weir_scheduler_status(slot->scheduler, ret);
		return;
	}
	pthread_mutex_lock(&slot->lock);
	ret->active = slot->n_running;
	ret->waiting = slot->waiting.length;
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
	const char *own[2];
	const char *const *name = weir_slot_names(slot, own);

	append_key(json, "name", slot->name);
	g_string_append_c(json, ',');
	append_key(json, "component", slot->component);
	g_string_append_c(json, ',');
	append_key(json, "state", state_names[state]);
	g_string_append_c(json, ',');
	append_key(json, "error", *error ? error : NULL);
	g_string_append(json, ",\"models\":[");
	for (bool first = true; *name; name++, first = false) {
		if (!first)
			g_string_append_c(json, ',');
		weir_text_append_json(json, (struct weir_str){ *name, strlen(*name) });
	}
	g_string_append_c(json, ']');
	if (slot->scheduler && s->state == WEIR_SCHEDULER_READY)
		append_model(json, s);
	g_string_append_printf(json,
			       ",\"queue\":{\"active\":%zu,\"waiting\":%zu,\"max_concurrent\":%zu,"
			       "\"max_queue_size\":%u}}",
			       s->active, s->waiting, weir_slot_concurrency(slot),
			       slot->router->options.max_queue);
	return g_string_free(json, FALSE);
}

void weir_router_status(const struct weir_router *r, size_t *ret_active, size_t *ret_waiting,
			void (*each)(void *data, const char *json), void *data)
{
	size_t active = 0, waiting = 0;

	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];
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
