/*
 * gateway-open.c - a request's way in: middleware, model name, queue limit, worker, backend.
 *
 * open() runs on a frontend's loop and never blocks; everything that may take long happens on a
 * worker. A ticket follows the request from then on: it is the channel's owner, counts in its
 * backend's slot and, for a level-A backend with max_concurrent, waits there for its turn.
 */
#include "gateway-ticket.h"

#include <string.h>

#include "log.h"
#include "loop.h"
#include "request.h"
#include "scheduler-trace.h"

void weir_ticket_unref(struct ticket *t)
{
	if (atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	weir_slot_unref(t->slot);
	g_free(t->seats.ids);
	weir_request_unref(t->resumed);
	g_free(t);
}

void weir_ticket_hold(struct ticket *t)
{
	atomic_fetch_add(&t->refs, 1);
	atomic_fetch_add(&t->holds, 1);
}

void weir_ticket_let_go(struct ticket *t)
{
	if (atomic_fetch_sub(&t->holds, 1) == (1 | TICKET_HANDED))
		weir_ticket_recover(t);
	weir_ticket_unref(t);
}

/* --- tickets ------------------------------------------------------------------------------- */

static void submit(void *data);

void weir_ticket_start(struct ticket *t)
{
	weir_ticket_hold(t);
	weir_channel_ref(t->channel);
	weir_workers_push(t->slot->router->workers, submit, t);
}

static void leave_queue(struct ticket *t)
{
	struct weir_router *r = t->slot->router;

	weir_metric_add(r->queue_depth, -1);
	weir_metric_add(r->queue_wait, (double)(weir_clock_ns() - t->queued_ns) / 1e9);
}

static gint by_priority(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct ticket *x = a, *y = b;

	return x->priority == y->priority ? 0 : x->priority > y->priority ? -1 : 1;
}

void weir_ticket_enqueue(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	GList *at = slot->waiting.tail;

	/* Behind everybody of its own priority: a stable order. */
	while (at && by_priority(t, at->data, NULL) < 0)
		at = at->prev;
	if (at)
		g_queue_insert_after(&slot->waiting, at, t);
	else
		g_queue_push_head(&slot->waiting, t);
	t->waited = true;
	t->queued_ns = weir_clock_ns();
	atomic_store(&t->state, TICKET_QUEUED);
	weir_metric_add(slot->router->queue_depth, 1);
}

/* How many it runs at a time by our counting; a scheduler, here or in another process, keeps a
 * queue of its own. 0: all that come. */
static size_t own_limit(const struct weir_slot *slot)
{
	return weir_slot_scheduler(slot) || weir_slot_report(slot) ? 0
								   : weir_slot_concurrency(slot);
}

/* Level A: it runs at once, or waits for somebody's end. */
void weir_ticket_admit(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	struct weir_channel *channel = weir_channel_ref(t->channel);
	size_t limit = own_limit(slot);
	bool waits;

	weir_ticket_hold(t);
	pthread_mutex_lock(&slot->lock);
	waits = slot->held || (limit > 0 && slot->n_running >= limit);
	if (waits) {
		weir_ticket_enqueue(t);
	} else if (!atomic_load(&slot->refused) && !weir_slot_scheduler(slot)) {
		slot->n_running++;
		t->counted = true;
	}
	pthread_mutex_unlock(&slot->lock);
	/* A ticket that waits may have been let in, ended and freed meanwhile. */
	if (waits)
		weir_channel_submitted(channel);
	else
		weir_ticket_start(t);
	weir_ticket_let_go(t);
	weir_channel_unref(channel);
}

/* Lets the first in, if there is room; slot lock. A cancelled one could end and be gone as soon as
 * the lock is. */
static bool start_next(struct weir_slot *slot, bool refused)
{
	bool counts = !refused && !weir_slot_scheduler(slot);
	size_t limit = own_limit(slot);
	struct ticket *t = g_queue_peek_head(&slot->waiting);

	if (!t || slot->held || (counts && limit > 0 && slot->n_running >= limit))
		return false;
	g_queue_pop_head(&slot->waiting);
	if (counts) {
		slot->n_running++;
		t->counted = true;
	}
	atomic_store(&t->state, TICKET_SUBMITTING);
	leave_queue(t);
	weir_ticket_start(t);
	return true;
}

void weir_slot_release(struct weir_slot *slot, bool refused)
{
	pthread_mutex_lock(&slot->lock);
	slot->held = false;
	if (refused)
		atomic_store(&slot->refused, true);
	while (start_next(slot, refused))
		;
	pthread_mutex_unlock(&slot->lock);
}

void weir_ticket_enlist(struct ticket *t)
{
	struct weir_slot *slot = t->slot;

	pthread_mutex_lock(&slot->lock);
	t->prev = NULL;
	t->next = slot->tickets;
	if (t->next)
		t->next->prev = t;
	slot->tickets = t;
	pthread_mutex_unlock(&slot->lock);
}

void weir_slot_cancel(struct weir_slot *slot)
{
	GPtrArray *channels = g_ptr_array_new();

	pthread_mutex_lock(&slot->lock);
	/* The channel lives until on_ended(), which takes its ticket off the list first. */
	for (struct ticket *t = slot->tickets; t; t = t->next)
		g_ptr_array_add(channels, weir_channel_ref(t->channel));
	pthread_mutex_unlock(&slot->lock);
	for (guint i = 0; i < channels->len; i++) {
		weir_stream_cancel(weir_channel_producer(channels->pdata[i]), WEIR_E_NO_MODEL);
		weir_channel_unref(channels->pdata[i]);
	}
	g_ptr_array_unref(channels);
}

void weir_slot_each_ticket(struct weir_slot *slot,
			   void (*each)(void *data, const struct weir_ticket_view *), void *data)
{
	/* New ones are put in front: from the back, who came first. */
	struct ticket *last = slot->tickets;

	while (last && last->next)
		last = last->next;
	for (struct ticket *t = last; t; t = t->prev) {
		struct weir_ticket_view view = { t->channel, t->task, t->opened_ns, &t->seats };

		each(data, &view);
	}
}

void weir_ticket_leave(struct ticket *t)
{
	struct weir_slot *slot = t->slot;

	pthread_mutex_lock(&slot->lock);
	if (t->prev)
		t->prev->next = t->next;
	else
		slot->tickets = t->next;
	if (t->next)
		t->next->prev = t->prev;
	g_clear_pointer(&t->seats.ids, g_free);
	t->seats.n = 0;
	if (t->counted) {
		slot->n_running--;
		t->counted = false;
		while (start_next(slot, false))
			;
	}
	pthread_mutex_unlock(&slot->lock);
	atomic_store(&slot->used_ns, weir_clock_ns());
	atomic_fetch_sub(&slot->n_inflight, 1);
}

static void on_ended(void *owner, weir_stream *out)
{
	struct ticket *t = owner;
	struct weir_slot *slot = t->slot;

	if (!weir_slot_scheduler(slot))
		weir_trace_stream(slot->router->core->trace, t->channel, slot->name, t->opened_ns);
	weir_ticket_leave(t);
	weir_ticket_unref(t);
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
			weir_ticket_start(t); /* the end's hooks belong on a worker */
		}
		break;
	default:
		break;
	}
}

static const struct weir_producer producer = { on_wake, on_ended };

/* As the client has sent it, or with what it has seen of the answer. */
static weir_request *request_of(const struct ticket *t)
{
	return t->resumed ? t->resumed : weir_channel_request(t->channel);
}

static void submit_stream(struct ticket *t)
{
	struct weir_slot *slot = t->slot;
	weir_request *request = weir_request_ref(request_of(t));
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

/* A scheduler does not know a stream before it has taken it: no wake() until then. */
static void submit_step(struct ticket *t)
{
	bool waited = t->waited;

	if (!waited)
		atomic_store(&t->state, TICKET_SUBMITTED);
	if (!weir_scheduler_submit(t->slot->scheduler, t->channel, request_of(t))) {
		weir_ticket_again(t);
		return;
	}
	if (!waited)
		return;
	atomic_store(&t->state, TICKET_SUBMITTED);
	weir_channel_submitted(t->channel);
}

static void refuse_slot(struct ticket *t)
{
	struct weir_error err = { 0 };

	(void)weir_slot_refusal(t->slot, &err);
	weir_stream_fail(t->out, &err, WEIR_RETRY_AFTER_MS, NULL);
}

static void submit(void *data)
{
	struct ticket *t = data;
	struct weir_channel *channel = t->channel;
	struct weir_end cancelled = { .size = sizeof(cancelled), .status = WEIR_E_CANCELLED };

	if (weir_stream_cancelled(t->out)) {
		weir_stream_end(t->out, &cancelled, NULL);
	} else if (atomic_load(&t->slot->refused)) {
		t->refused = true;
		if (weir_ticket_has_other(t))
			weir_ticket_again(t);
		else
			refuse_slot(t);
	} else if (!weir_ticket_fits(t, t->slot)) {
		weir_ticket_give_up(t);
	} else if (t->slot->scheduler) {
		submit_step(t);
	} else {
		submit_stream(t);
	}
	weir_ticket_let_go(t);
	weir_channel_unref(channel);
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
	size_t n = 0;

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
	status = weir_router_route(r, request, &slot, &n, err);
	if (status < 0) {
		weir_links_abandon(links);
		return status;
	}
	t = g_new0(struct ticket, 1);
	atomic_init(&t->refs, 1);
	t->slot = slot;
	t->priority = weir_request_limits(request)->priority;
	t->opened_ns = weir_clock_ns();
	t->task = atomic_fetch_add(&r->n_tasks, 1) + 1;
	if (links)
		weir_links_attach(links, &options);
	options.owner = t;
	options.name = slot->name;
	t->channel = weir_channel_new(r->streams, &options);
	t->out = weir_channel_producer(t->channel);
	*ret = weir_channel_handle(t->channel, 0);
	weir_ticket_enlist(t);
	if (weir_slot_is_full(slot, n))
		refuse_full(t);
	else
		weir_ticket_admit(t);
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

static weir_status gateway_change(const struct weir_host *host, const char *model, uint32_t change,
				  void (*done)(void *data, const struct weir_model_result *),
				  void *data, struct weir_error *err)
{
	const struct weir_core *core = host->data;
	const struct weir_loader *loader = core->router ? &core->router->loader : NULL;

	if (!loader || !loader->change)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "this host keeps its models as they are");
	return loader->change(loader->self, host, model, change, done, data, err);
}

const struct weir_gateway weir_gateway_calls = {
	.size = sizeof(struct weir_gateway),
	.loop_new = gateway_loop_new,
	.loop_free = weir_loop_free,
	.dispatch = weir_loop_dispatch,
	.request_new = gateway_request_new,
	.open = gateway_open,
	.models = weir_router_list,
	.change_model = gateway_change,
	.seats = weir_router_seats,
};
