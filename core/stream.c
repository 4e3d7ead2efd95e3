/*
 * stream.c - handles, credit, cancellation, exactly one end; see stream.h.
 *
 * Locks: a channel's `lock` serialises its producer side (emit, end, detach); its `wake_lock` keeps
 * wake() and the end apart. Neither is held by the other's owner, except that the end passes
 * through wake_lock. The pool's lock (stream-pool.c) is a leaf.
 */
#include "stream-channel.h"

#include <string.h>

#include <glib.h>

#include "log.h"
#include "request.h"
#include "text.h"

#define MAX_CREDIT  (1u << 30)
#define MAX_REPORTS 4

static uintptr_t self(void)
{
	return (uintptr_t)pthread_self();
}

/* Only a thread itself can have written its own id there: no order is needed. */
static bool inside_emit(const struct weir_channel *c)
{
	return atomic_load_explicit(&((struct weir_channel *)c)->emitter, memory_order_relaxed) ==
	       self();
}

static void set_emitter(struct weir_channel *c, uintptr_t thread)
{
	atomic_store_explicit(&c->emitter, thread, memory_order_relaxed);
}

void weir_channel_misbehaving(struct weir_channel *c, const char *who, const char *how)
{
	if (atomic_fetch_add(&c->n_reports, 1) < MAX_REPORTS)
		weir_streams_report(c->pool, who ? who : c->name, how);
}

/* The channel of a handle, or NULL when its stream is over for good. */
static struct weir_channel *channel_of(const weir_stream *s, const char *call)
{
	uint32_t magic;

	if (!s)
		return NULL;
	magic = atomic_load(&((weir_stream *)s)->magic);
	if (magic == HANDLE_LIVE)
		return s->channel;
	if (magic == HANDLE_DEAD)
		weir_channel_misbehaving(s->channel, NULL, call);
	return NULL;
}

/* --- credit and waking --------------------------------------------------------------------- */

static uint32_t credit_at(const struct weir_channel *c, uint32_t level)
{
	return atomic_load(&((struct weir_channel *)c)->credit) / c->handles[level].divisor;
}

/* Looks once more after leaving the mark: a grant between the two looks would not wake us. */
static uint32_t credit_or_mark(struct weir_channel *c, uint32_t level)
{
	uint32_t n = credit_at(c, level);

	if (n > 0)
		return n;
	atomic_store(&c->hungry, true);
	return credit_at(c, level);
}

static void wake(struct weir_channel *c)
{
	/* A producer that cancels from inside its own emit() learns it from emit()'s answer; one
	 * that is being woken knows. */
	if (inside_emit(c) || atomic_load(&c->waker) == self())
		return;
	pthread_mutex_lock(&c->wake_lock);
	atomic_store(&c->waker, self());
	if (atomic_load(&c->submitted) && !atomic_load(&c->ended))
		c->producer->wake(c->owner, &c->handles[c->top]);
	atomic_store(&c->waker, 0);
	pthread_mutex_unlock(&c->wake_lock);
}

void weir_channel_submitted(struct weir_channel *c)
{
	atomic_store(&c->submitted, true);
	wake(c);
}

bool weir_channel_recall(struct weir_channel *c, void (*with)(void *owner, void *data), void *data)
{
	bool lives;

	pthread_mutex_lock(&c->lock);
	pthread_mutex_lock(&c->wake_lock);
	atomic_store(&c->submitted, false);
	atomic_store(&c->producer_data, NULL);
	pthread_mutex_unlock(&c->wake_lock);
	lives = !atomic_load(&c->ended);
	if (lives && with)
		with(c->owner, data);
	pthread_mutex_unlock(&c->lock);
	return lives;
}

uint32_t weir_stream_credit(const weir_stream *s)
{
	struct weir_channel *c = channel_of(s, "credit() after the end");

	return c ? credit_or_mark(c, s->level) : 0;
}

void weir_stream_grant(weir_stream *s, uint32_t n)
{
	struct weir_channel *c = channel_of(s, "grant() after the end");
	uint32_t old, sum;

	if (!c)
		return;
	old = atomic_load(&c->credit);
	do
		sum = n > MAX_CREDIT - MIN(old, MAX_CREDIT) ? MAX_CREDIT : old + n;
	while (!atomic_compare_exchange_weak(&c->credit, &old, sum));
	if (!atomic_exchange(&c->hungry, false))
		return;
	if (credit_or_mark(c, c->top) > 0)
		wake(c);
}

void weir_stream_cancel(weir_stream *s, weir_status why)
{
	struct weir_channel *c = channel_of(s, "cancel() after the end");
	int32_t none = 0;

	if (!c)
		return;
	if (why >= 0)
		why = WEIR_E_CANCELLED;
	if (!atomic_compare_exchange_strong(&c->why, &none, why))
		return;
	weir_streams_note_cancel(c);
	wake(c);
}

weir_status weir_stream_why(const weir_stream *s)
{
	struct weir_channel *c = channel_of(s, "use after the end");

	return c ? atomic_load(&c->why) : WEIR_E_CANCELLED;
}

bool weir_stream_cancelled(const weir_stream *s)
{
	return weir_stream_why(s) != 0;
}

void weir_stream_set_data(weir_stream *s, void *data)
{
	struct weir_channel *c = channel_of(s, "set_data() after the end");

	if (c)
		atomic_store(&c->producer_data, data);
}

void *weir_stream_get_data(const weir_stream *s)
{
	struct weir_channel *c = channel_of(s, "get_data() after the end");

	return c ? atomic_load(&c->producer_data) : NULL;
}

/* --- events -------------------------------------------------------------------------------- */

static void on_event(void *target, const struct weir_event *event)
{
	struct weir_channel *c = target;

	c->sink.event(c->sink_data, &c->handles[0], event);
}

/* The consumer may see the end while the hooks that sent it are still coming back: whoever is later
 * ends the passage, and with it the time in which the middleware must live. */
static void leave_passage(struct weir_channel *c)
{
	if (atomic_fetch_sub(&c->in_passage, 1) != 1)
		return;
	if (c->passage->done)
		c->passage->done(c->passage_data);
	weir_streams_delivered(c);
}

static void on_end(void *target, const struct weir_end *end)
{
	struct weir_channel *c = target;

	c->sink.end(c->sink_data, &c->handles[0], end);
	if (c->passage)
		leave_passage(c);
	else
		weir_streams_delivered(c);
	weir_channel_unref(c);
}

static void on_soon(void *target)
{
	__builtin_prefetch(((struct weir_channel *)target)->sink_data);
}

static const struct weir_loop_calls loop_calls = { on_soon, on_event, on_end };

/* One writer at a time: it has the channel's lock. */
static void note_progress(struct weir_channel *c, const struct weir_event *e)
{
	uint32_t n;

	if (e->type >= WEIR_EVENT_TOKEN && e->type <= WEIR_EVENT_TOOL) {
		n = atomic_load_explicit(&c->n_output, memory_order_relaxed);
		atomic_store_explicit(&c->n_output, n + 1, memory_order_relaxed);
	} else if (e->type == WEIR_EVENT_STARTED) {
		n = (uint32_t)CLAMP(e->value, 0, UINT32_MAX);
		atomic_store_explicit(&c->n_prompt, n, memory_order_relaxed);
	}
	if (e->seq == 0)
		atomic_store_explicit(&c->started, true, memory_order_relaxed);
}

bool weir_channel_progress(const struct weir_channel *cc, uint32_t *ret_prompt,
			   uint32_t *ret_output)
{
	struct weir_channel *c = (struct weir_channel *)cc;

	*ret_prompt = atomic_load_explicit(&c->n_prompt, memory_order_relaxed);
	*ret_output = atomic_load_explicit(&c->n_output, memory_order_relaxed);
	return atomic_load_explicit(&c->started, memory_order_relaxed);
}

weir_status weir_channel_deliver_event(struct weir_channel *c, const struct weir_event *event)
{
	struct weir_event e = *event;
	uint32_t credit = atomic_load(&c->credit);

	/* What middleware held back leaves with the end, when nobody can be asked to wait. */
	if (credit > 0)
		atomic_fetch_sub(&c->credit, 1);
	else if (!c->ending)
		return WEIR_E_NO_CREDIT;
	e.seq = c->next_seq++;
	note_progress(c, &e);
	weir_loop_push_event(c->loop, &loop_calls, c, &e, c->bell);
	return WEIR_OK;
}

/* A copy that the rest of the host can rely on. top: room for the alternatives. */
static bool check_event(struct weir_channel *c, const struct weir_event *in, struct weir_event *out,
			struct weir_top_logprob *top, char **ret_fixed)
{
	memset(out, 0, sizeof(*out));
	memcpy(out, in, MIN(in->size, sizeof(*out)));
	out->size = sizeof(*out);
	if (out->type < WEIR_EVENT_STARTED || out->type > WEIR_EVENT_PROMPT) {
		weir_channel_misbehaving(c, NULL, "emits an event of unknown type");
		return false;
	}
	if (!out->text.data)
		out->text.len = 0;
	if (!out->raw.data)
		out->raw.len = 0;
	if (!weir_text_valid(out->text)) {
		weir_channel_misbehaving(c, NULL, "emits text that is not UTF-8");
		*ret_fixed = weir_text_repair(out->text, &out->text.len);
		out->text.data = *ret_fixed;
	}
	if (!out->top)
		out->n_top = 0;
	out->n_top = MIN(out->n_top, 20u);
	for (uint32_t i = 0; i < out->n_top; i++) {
		top[i] = out->top[i];
		if (!top[i].text.data || !weir_text_valid(top[i].text))
			top[i].text = (struct weir_str){ NULL, 0 };
	}
	out->top = top;
	return true;
}

static weir_status send_event(struct weir_channel *c, uint32_t level, const struct weir_event *e)
{
	if (c->passage)
		return c->passage->event(c, level, e);
	return weir_channel_deliver_event(c, e);
}

/* What middleware emits from inside its hooks. */
static weir_status pass_on(struct weir_channel *c, uint32_t level, const struct weir_event *event)
{
	struct weir_top_logprob top[20];
	g_autofree char *fixed = NULL;
	struct weir_event e;

	if (!check_event(c, event, &e, top, &fixed))
		return WEIR_E_INVALID;
	return send_event(c, level, &e);
}

/* The producer's own emit, under the lock. */
static weir_status produce(struct weir_channel *c, const struct weir_event *event)
{
	struct weir_top_logprob top[20];
	g_autofree char *fixed = NULL;
	struct weir_event e;
	weir_status status;

	if (c->ended) {
		if (!c->detached)
			weir_channel_misbehaving(c, NULL, "emits after its end()");
		return WEIR_E_CANCELLED;
	}
	if (atomic_load(&c->why))
		return WEIR_E_CANCELLED;
	if (!check_event(c, event, &e, top, &fixed))
		return WEIR_E_INVALID;
	if (credit_or_mark(c, c->top) == 0)
		return WEIR_E_NO_CREDIT;
	status = send_event(c, c->top, &e);
	if (atomic_load(&c->why))
		return WEIR_E_CANCELLED;
	if (status < 0 && status != WEIR_E_NO_CREDIT) {
		weir_channel_misbehaving(c, "middleware", "refuses an event");
		weir_stream_cancel(&c->handles[c->top], WEIR_E_INTERNAL);
		return WEIR_E_CANCELLED;
	}
	return status;
}

weir_status weir_stream_emit(weir_stream *s, const struct weir_event *event, struct weir_bell *bell)
{
	struct weir_channel *c = channel_of(s, "emits after its end()");
	weir_status status;

	if (!c)
		return WEIR_E_CANCELLED;
	if (!event)
		return WEIR_E_INVALID;
	if (s->level < c->top) {
		if (inside_emit(c))
			return pass_on(c, s->level, event);
		weir_channel_misbehaving(c, "middleware", "emits outside its event() and end()");
		return WEIR_E_INVALID;
	}
	if (inside_emit(c)) {
		weir_channel_misbehaving(c, NULL, "emits from inside emit()");
		return WEIR_E_INVALID;
	}
	pthread_mutex_lock(&c->lock);
	set_emitter(c, self());
	c->bell = bell;
	status = produce(c, event);
	c->bell = NULL;
	set_emitter(c, 0);
	pthread_mutex_unlock(&c->lock);
	return status;
}

/* --- the end ------------------------------------------------------------------------------- */

static const char *text_of(weir_status status)
{
	switch (status) {
	case WEIR_E_CANCELLED:
		return "cancelled";
	case WEIR_E_DEADLINE:
		return "request timeout";
	case WEIR_E_EXHAUSTED:
		return "insufficient memory";
	case WEIR_E_UNAVAILABLE:
		return "the server is shutting down";
	case WEIR_E_INTERNAL:
		return "inference failed";
	case WEIR_E_NO_MODEL:
		return "the model was unloaded";
	default:
		return "the request failed";
	}
}

void weir_channel_deliver_end(struct weir_channel *c, const struct weir_end *end)
{
	if (c->end_queued) {
		weir_channel_misbehaving(c, "middleware", "ends a stream twice");
		return;
	}
	c->end_queued = true;
	weir_loop_push_end(c->loop, &loop_calls, c, end, c->bell);
}

static void check_end(struct weir_channel *c, const struct weir_end *in, struct weir_end *e)
{
	weir_status why = atomic_load(&c->why);

	memset(e, 0, sizeof(*e));
	if (in)
		memcpy(e, in, MIN(in->size, sizeof(*e)));
	else
		e->status = WEIR_E_INTERNAL;
	e->size = sizeof(*e);
	e->status = MIN(e->status, 0);
	/* The producer only knows that it was stopped; the consumer is told why. */
	if (why && e->status == WEIR_E_CANCELLED) {
		e->status = why;
		e->text.len = 0;
	}
	if (e->status < 0)
		e->finish = WEIR_FINISH_NONE;
	else if (e->finish == WEIR_FINISH_NONE || e->finish > WEIR_FINISH_FILTER)
		e->finish = WEIR_FINISH_STOP;
	if (!e->choices)
		e->n_choices = MIN(e->n_choices, 1u);
	e->n_choices = MIN(e->n_choices, (uint32_t)WEIR_REQUEST_MAX_N);
	if (!e->text.data || !weir_text_valid(e->text))
		e->text.len = 0;
	if (!e->param.data || !weir_text_valid(e->param))
		e->param = (struct weir_str){ NULL, 0 };
	if (e->status == 0)
		e->text = (struct weir_str){ NULL, 0 };
	else if (e->text.len == 0)
		e->text = (struct weir_str){ text_of(e->status), strlen(text_of(e->status)) };
}

/* Under the lock, once: c->ended has just been set. */
static void run_end(struct weir_channel *c, const struct weir_end *end, struct weir_bell *bell)
{
	struct weir_end e;

	check_end(c, end, &e);
	set_emitter(c, self());
	c->ending = true;
	c->bell = bell;
	if (c->passage)
		c->passage->end(c, c->top, &e);
	if (!c->end_queued)
		weir_channel_deliver_end(c, &e);
	c->bell = NULL;
	set_emitter(c, 0);
	if (c->passage)
		leave_passage(c);
}

/* Waits until no wake() is running; later ones see `ended`. */
static void bar_wakes(struct weir_channel *c)
{
	if (atomic_load(&c->waker) == self()) {
		weir_channel_misbehaving(c, NULL, "ends a stream from inside wake()");
		return;
	}
	pthread_mutex_lock(&c->wake_lock);
	pthread_mutex_unlock(&c->wake_lock);
}

void weir_stream_end(weir_stream *s, const struct weir_end *end, struct weir_bell *bell)
{
	struct weir_channel *c = channel_of(s, "calls end() twice");
	bool late;

	if (!c)
		return;
	if (s->level < c->top) {
		struct weir_end checked;

		if (inside_emit(c) && c->ending) {
			check_end(c, end, &checked);
			c->passage->end(c, s->level, &checked);
		} else {
			weir_channel_misbehaving(c, "middleware", "calls end() outside its end()");
		}
		return;
	}
	if (inside_emit(c)) {
		weir_channel_misbehaving(c, NULL, "calls end() from inside emit()");
		return;
	}
	pthread_mutex_lock(&c->lock);
	if (c->ended) {
		late = c->detached && !c->late;
		if (late)
			c->late = true;
		else
			weir_channel_misbehaving(c, NULL, "calls end() twice");
		pthread_mutex_unlock(&c->lock);
		if (late)
			weir_channel_unref(c);
		return;
	}
	atomic_store(&c->ended, true);
	bar_wakes(c);
	weir_streams_ended(c);
	/* Before the consumer can see the end: whoever waits for it may take the producer apart. */
	c->producer->ended(c->owner, s);
	run_end(c, end, bell);
	pthread_mutex_unlock(&c->lock);
	weir_channel_unref(c);
}

bool weir_channel_detach(struct weir_channel *c)
{
	struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };

	/* Busy in a hook or in wake(): the watchdog comes again. */
	if (pthread_mutex_trylock(&c->lock) != 0)
		return false;
	if (c->ended || pthread_mutex_trylock(&c->wake_lock) != 0) {
		pthread_mutex_unlock(&c->lock);
		return false;
	}
	atomic_store(&c->ended, true);
	c->detached = true;
	pthread_mutex_unlock(&c->wake_lock);
	weir_streams_ended(c);
	c->producer->ended(c->owner, &c->handles[c->top]);
	weir_channel_misbehaving(c, NULL, "did not end a cancelled stream in time: detached");
	run_end(c, &end, NULL);
	pthread_mutex_unlock(&c->lock);
	return true;
}

void weir_stream_fail(weir_stream *s, const struct weir_error *err, uint32_t retry_after_ms,
		      struct weir_bell *bell)
{
	struct weir_end end = {
		.size = sizeof(end),
		.status = err->code < 0 ? err->code : WEIR_E_INTERNAL,
		.retry_after_ms = retry_after_ms,
		.text = { err->text, strnlen(err->text, sizeof(err->text)) },
		.param = { err->param, strnlen(err->param, sizeof(err->param)) },
	};

	weir_stream_end(s, &end, bell);
}

/* --- the plugins' side --------------------------------------------------------------------- */

static weir_status api_emit(weir_stream *s, const struct weir_event *event)
{
	return weir_stream_emit(s, event, NULL);
}

static void api_end(weir_stream *s, const struct weir_end *end)
{
	weir_stream_end(s, end, NULL);
}

static weir_bell *bell_new(void)
{
	return g_new0(weir_bell, 1);
}

static void bell_free(weir_bell *bell)
{
	if (bell)
		weir_bell_clear(bell);
	g_free(bell);
}

const struct weir_stream_api weir_stream_extension = {
	.size = sizeof(struct weir_stream_api),
	.emit = api_emit,
	.end = api_end,
	.credit = weir_stream_credit,
	.cancelled = weir_stream_cancelled,
	.set_data = weir_stream_set_data,
	.get_data = weir_stream_get_data,
	.grant = weir_stream_grant,
	.cancel = weir_stream_cancel,
	.bell_new = bell_new,
	.bell_free = bell_free,
	.emit_with = weir_stream_emit,
	.end_with = weir_stream_end,
	.ring = weir_bell_ring,
};
