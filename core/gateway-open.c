/*
 * gateway-open.c - a request's way in: middleware, model name, queue limit, worker, backend.
 *
 * open() runs on a frontend's loop and never blocks; everything that may take long happens on a
 * worker. A ticket follows the request from then on: it is the channel's owner, counts in its
 * backend's slot and, for a level-A backend with max_concurrent, waits there for its turn.
 */
#include "gateway-router.h"

#include <string.h>

#include "log.h"
#include "loop.h"
#include "request.h"
#include "scheduler-trace.h"

enum ticket_state { TICKET_SUBMITTING, TICKET_QUEUED, TICKET_SUBMITTED, TICKET_ENDING };

struct ticket {
	atomic_int refs; /* the channel's until ended(), a worker's while it works */
	struct weir_slot *slot;
	struct weir_channel *channel;
	weir_stream *out;
	_Atomic uint32_t state;
	bool counted; /* it is one of slot->n_running; slot lock */
	int32_t priority;
	int64_t opened_ns;
};

static void ticket_unref(struct ticket *t)
{
	if (atomic_fetch_sub(&t->refs, 1) == 1)
		g_free(t);
}

/* --- names --------------------------------------------------------------------------------- */

/* How well a pattern fits: 0 not, else 1 + the length of the match; exact beats every prefix. */
static size_t fit(const char *pattern, struct weir_str model)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*') {
		n--;
		return model.len >= n && memcmp(pattern, model.data, n) == 0 ? 1 + n : 0;
	}
	return model.len == n && memcmp(pattern, model.data, n) == 0 ? SIZE_MAX : 0;
}

static bool has_adapter(const struct weir_slot *slot, struct weir_str wanted)
{
	const char *name;

	for (uint32_t i = 1; slot->scheduler; i++) {
		name = weir_scheduler_adapter(slot->scheduler, i);
		if (!name)
			break;
		if (strlen(name) == wanted.len && memcmp(name, wanted.data, wanted.len) == 0)
			return true;
	}
	return false;
}

/* The best fit; with an adapter, only where it is. */
static struct weir_slot *find_fit(const struct weir_router *r, struct weir_str model,
				  const struct weir_str *adapter)
{
	struct weir_slot *best = NULL;
	const char *own[2];
	size_t best_fit = 0;

	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		const char *const *names = weir_slot_names(slot, own);

		if (adapter && !has_adapter(slot, *adapter))
			continue;
		for (; *names; names++) {
			size_t f = fit(*names, model);

			if (f > best_fit) {
				best = slot;
				best_fit = f;
			}
		}
	}
	return best;
}

static struct weir_slot *find_slot(const struct weir_router *r, struct weir_str model)
{
	struct weir_slot *slot;
	struct weir_str suffix;

	if (r->options.single_model || model.len == 0)
		return r->slots->pdata[0];
	slot = find_fit(r, model, NULL);
	if (slot)
		return slot;
	suffix = weir_scheduler_suffix(model);
	if (suffix.len == 0)
		return NULL;
	return find_fit(r, (struct weir_str){ model.data, model.len - suffix.len - 1 }, &suffix);
}

/* A backend that will tell its model's name when it has loaded it. */
static bool name_is_coming(const struct weir_router *r)
{
	for (guint i = 0; i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];

		if ((!slot->serves || !slot->serves[0]) &&
		    weir_slot_state(slot, NULL, 0) == WEIR_ROUTER_LOADING)
			return true;
	}
	return false;
}

/* The three situations of conflict C4, told apart. */
static weir_status route(const struct weir_router *r, const weir_request *request,
			 struct weir_slot **ret, struct weir_error *err)
{
	char why[sizeof(err->text)] = "";
	struct weir_slot *slot;
	guint n_failed = 0;

	for (guint i = 0; i < r->slots->len; i++)
		n_failed +=
			weir_slot_state(r->slots->pdata[i], why, sizeof(why)) == WEIR_ROUTER_FAILED;
	if (n_failed == r->slots->len)
		return weir_fail(err, WEIR_E_NO_MODEL, "no model is loaded%s%s", *why ? ": " : "",
				 why);
	slot = find_slot(r, weir_request_field(request, "model"));
	if (!slot && name_is_coming(r))
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the model is still loading, try again");
	if (!slot) {
		weir_fail(err, WEIR_E_NOT_FOUND, "model not found");
		g_strlcpy(err->param, "model", sizeof(err->param));
		return WEIR_E_NOT_FOUND;
	}
	switch (weir_slot_state(slot, why, sizeof(why))) {
	case WEIR_ROUTER_LOADING:
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the model is still loading, try again");
	case WEIR_ROUTER_FAILED:
		return weir_fail(err, WEIR_E_UNAVAILABLE, "%s cannot serve: %s", slot->name, why);
	default:
		*ret = slot;
		return WEIR_OK;
	}
}

/* --- tickets ------------------------------------------------------------------------------- */

static void submit(void *data);

static void start_ticket(struct ticket *t)
{
	atomic_fetch_add(&t->refs, 1);
	weir_channel_ref(t->channel);
	weir_workers_push(t->slot->router->workers, submit, t);
}

static void leave_queue(struct ticket *t)
{
	struct weir_router *r = t->slot->router;

	weir_metric_add(r->queue_depth, -1);
	weir_metric_add(r->queue_wait, (double)(weir_clock_ns() - t->opened_ns) / 1e9);
}

static gint by_priority(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct ticket *x = a, *y = b;

	return x->priority == y->priority ? 0 : x->priority > y->priority ? -1 : 1;
}

/* Level A: it runs at once, or waits for somebody's end. */
static void admit(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	struct weir_channel *channel = weir_channel_ref(t->channel);
	size_t limit = weir_slot_concurrency(slot);
	bool waits;

	pthread_mutex_lock(&slot->lock);
	/* A scheduler keeps its own queue. */
	waits = !slot->scheduler && limit > 0 && slot->n_running >= limit;
	if (waits) {
		GList *at = slot->waiting.tail;

		/* Behind everybody of its own priority: a stable order. */
		while (at && by_priority(t, at->data, NULL) < 0)
			at = at->prev;
		if (at)
			g_queue_insert_after(&slot->waiting, at, t);
		else
			g_queue_push_head(&slot->waiting, t);
		atomic_store(&t->state, TICKET_QUEUED);
		weir_metric_add(slot->router->queue_depth, 1);
	} else {
		slot->n_running++;
		t->counted = true;
	}
	pthread_mutex_unlock(&slot->lock);
	/* A ticket that waits may have been let in, ended and freed meanwhile. */
	if (waits)
		weir_channel_submitted(channel);
	else
		start_ticket(t);
	weir_channel_unref(channel);
}

static void on_ended(void *owner, weir_stream *out)
{
	struct ticket *t = owner, *next = NULL;
	struct weir_slot *slot = t->slot;

	pthread_mutex_lock(&slot->lock);
	if (t->counted) {
		slot->n_running--;
		next = g_queue_pop_head(&slot->waiting);
		if (next) {
			slot->n_running++;
			next->counted = true;
			atomic_store(&next->state, TICKET_SUBMITTING);
			/* Under the lock: a cancelled one could end and be gone. */
			start_ticket(next);
		}
	}
	pthread_mutex_unlock(&slot->lock);
	if (next)
		leave_queue(next);
	if (!slot->scheduler)
		weir_trace_stream(slot->router->core->trace, t->channel, slot->name, t->opened_ns);
	atomic_fetch_sub(&slot->n_inflight, 1);
	ticket_unref(t);
}

static void on_wake(void *owner, weir_stream *out)
{
	struct ticket *t = owner;
	struct weir_slot *slot = t->slot;
	bool removed = false;

	switch (atomic_load(&t->state)) {
	case TICKET_SUBMITTED:
		if (slot->scheduler)
			weir_scheduler_wake(slot->scheduler, out);
		else if (WEIR_HAS(struct weir_backend_stream, slot->stream, wake))
			slot->stream->wake(slot->instance, out);
		break;
	case TICKET_QUEUED:
		if (!weir_stream_cancelled(out))
			break;
		pthread_mutex_lock(&slot->lock);
		if (atomic_load(&t->state) == TICKET_QUEUED) {
			removed = g_queue_remove(&slot->waiting, t);
			atomic_store(&t->state, TICKET_ENDING);
		}
		pthread_mutex_unlock(&slot->lock);
		if (removed) {
			leave_queue(t);
			start_ticket(t); /* the end's hooks belong on a worker */
		}
		break;
	default:
		break;
	}
}

static const struct weir_producer producer = { on_wake, on_ended };

static void submit_stream(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	weir_request *request = weir_request_ref(weir_channel_request(t->channel));
	struct weir_error err = { 0 };
	weir_status status;

	status = slot->stream->submit(slot->instance, request, t->out, &err);
	if (status >= 0) {
		atomic_store(&t->state, TICKET_SUBMITTED);
		weir_channel_submitted(t->channel);
		return;
	}
	weir_request_unref(request);
	err.code = status;
	err.text[sizeof(err.text) - 1] = err.param[sizeof(err.param) - 1] = '\0';
	if (!err.text[0])
		weir_fail(&err, status, "%s refused the request", slot->name);
	weir_stream_fail(t->out, &err, status == WEIR_E_UNAVAILABLE ? WEIR_RETRY_AFTER_MS : 0,
			 NULL);
}

static void submit(void *data)
{
	struct ticket *t = data;
	struct weir_channel *channel = t->channel;
	struct weir_end cancelled = { .size = sizeof(cancelled), .status = WEIR_E_CANCELLED };

	if (weir_stream_cancelled(t->out)) {
		weir_stream_end(t->out, &cancelled, NULL);
	} else if (t->slot->scheduler) {
		atomic_store(&t->state, TICKET_SUBMITTED);
		weir_scheduler_submit(t->slot->scheduler, channel);
	} else {
		submit_stream(t);
	}
	weir_channel_unref(channel);
	ticket_unref(t);
}

/* --- the gateway's calls ------------------------------------------------------------------- */

static void refuse_full(struct ticket *t)
{
	struct weir_error err;

	weir_metric_add(t->slot->router->queue_rejections, 1);
	weir_fail(&err, WEIR_E_QUEUE_FULL, "the queue is full, try again later");
	weir_stream_fail(t->out, &err, WEIR_RETRY_AFTER_MS, NULL);
}

static struct weir_chain *present_chain(struct weir_router *r)
{
	struct weir_chain *chain;

	pthread_mutex_lock(&r->chain_lock);
	chain = r->chain ? weir_chain_ref(r->chain) : NULL;
	pthread_mutex_unlock(&r->chain_lock);
	return chain;
}

static weir_status open_request(struct weir_router *r, weir_loop *loop, weir_request *request,
				const struct weir_sink *sink, void *sink_data, uint32_t credit,
				weir_stream **ret, struct weir_error *err)
{
	struct weir_channel_options options = {
		.loop = loop,
		.sink = sink,
		.sink_data = sink_data,
		.credit = credit,
		.request = request,
		.producer = &producer,
	};
	struct weir_chain *chain;
	struct weir_links *links = NULL;
	struct weir_slot *slot = NULL;
	struct ticket *t;
	weir_status status;
	size_t limit, n;

	if (atomic_load(&r->draining))
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the server is shutting down");
	chain = present_chain(r);
	if (chain) {
		int64_t began = weir_clock_ns();

		status = weir_chain_request(chain, request, &links, err);
		weir_trace_since(r->core->trace, "request", "middleware", NULL, began, NULL);
		weir_chain_unref(chain);
		if (status < 0)
			return status;
	}
	status = route(r, request, &slot, err);
	if (status < 0) {
		weir_links_abandon(links);
		return status;
	}
	t = g_new0(struct ticket, 1);
	atomic_init(&t->refs, 1);
	t->slot = slot;
	t->priority = weir_request_limits(request)->priority;
	t->opened_ns = weir_clock_ns();
	if (links)
		weir_links_attach(links, &options);
	options.owner = t;
	options.name = slot->name;
	n = atomic_fetch_add(&slot->n_inflight, 1);
	limit = weir_slot_concurrency(slot);
	t->channel = weir_channel_new(r->streams, &options);
	t->out = weir_channel_producer(t->channel);
	*ret = weir_channel_handle(t->channel, 0);
	if (limit > 0 && r->options.max_queue > 0 && n >= limit + r->options.max_queue)
		refuse_full(t);
	else
		admit(t);
	return WEIR_OK;
}

static weir_status gateway_open(const struct weir_host *host, weir_loop *loop,
				weir_request *request, const struct weir_sink *sink,
				void *sink_data, uint32_t credit, weir_stream **ret,
				struct weir_error *err)
{
	const struct weir_core *core = host->data;
	struct weir_router *r = core->router;
	weir_status status;

	if (!r || !loop || !request || !sink || !sink->event || !sink->end) {
		status = weir_fail(err, r ? WEIR_E_INVALID : WEIR_E_UNAVAILABLE,
				   r ? "open() needs a loop, a request, a sink with event and end"
				     : "the gateway is not running");
	} else {
		atomic_fetch_add(&r->n_opening, 1);
		status = open_request(r, loop, request, sink, sink_data, credit, ret, err);
		atomic_fetch_sub(&r->n_opening, 1);
	}
	weir_request_unref(request);
	return status;
}

static weir_loop *gateway_loop_new(const struct weir_host *host, void (*ring)(void *data),
				   void *data)
{
	return weir_loop_new(ring, data);
}

static weir_request *gateway_request_new(const struct weir_host *host, const struct weir_kv *fields,
					 size_t n, const struct weir_sampling *sampling,
					 const struct weir_limits *limits)
{
	return weir_request_new(fields, n, sampling, limits);
}

/* Each adapter is a model of its own: "base:adapter". */
static void list_adapters(const struct weir_slot *slot, const char *base,
			  struct weir_model_entry entry,
			  void (*each)(void *data, const struct weir_model_entry *), void *data)
{
	const char *adapter;

	for (uint32_t i = 1; slot->scheduler; i++) {
		g_autofree char *id = NULL;

		adapter = weir_scheduler_adapter(slot->scheduler, i);
		if (!adapter)
			break;
		entry.id = id = g_strdup_printf("%s:%s", base, adapter);
		each(data, &entry);
	}
}

static void gateway_models(const struct weir_host *host,
			   void (*each)(void *data, const struct weir_model_entry *), void *data)
{
	static const char *const states[] = { "loading", "ready", "failed" };
	const struct weir_core *core = host->data;
	struct weir_router *r = core->router;

	for (guint i = 0; r && i < r->slots->len; i++) {
		struct weir_slot *slot = r->slots->pdata[i];
		struct weir_model_entry entry = {
			.size = sizeof(entry),
			.context = weir_slot_context(slot),
			.backend = slot->name,
			.state = states[weir_slot_state(slot, NULL, 0)],
			.created = slot->created,
		};
		const char *own[2];
		const char *const *name = weir_slot_names(slot, own);

		for (; *name; name++) {
			if (g_str_has_suffix(*name, "*"))
				continue; /* a pattern names no model */
			entry.id = *name;
			each(data, &entry);
			list_adapters(slot, *name, entry, each, data);
		}
	}
}

const struct weir_gateway weir_gateway_calls = {
	.size = sizeof(struct weir_gateway),
	.loop_new = gateway_loop_new,
	.loop_free = weir_loop_free,
	.dispatch = weir_loop_dispatch,
	.request_new = gateway_request_new,
	.open = gateway_open,
	.models = gateway_models,
};
