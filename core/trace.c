/*
 * core/trace.c - see trace.h. One lock for the ring: a span is copied under it, some hundreds of
 * bytes, and spans come by the step and by the request, not by the token.
 */
#include "trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>

#include "log.h"

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct weir_trace *weir_trace_new(void)
{
	struct weir_trace *t = g_new0(struct weir_trace, 1);

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void weir_recording_unref(struct weir_recording *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	g_free(r->events);
	g_free(r);
}

void weir_trace_free(struct weir_trace *t)
{
	if (!t)
		return;
	weir_recording_unref(t->recording);
	pthread_mutex_destroy(&t->lock);
	g_free(t);
}

uint64_t weir_trace_new_row(struct weir_trace *t)
{
	return atomic_fetch_add_explicit(&t->rows, 1, memory_order_relaxed) + 1;
}

/* Cut where a character begins. */
static void keep(char *to, size_t size, const char *from, size_t n)
{
	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	if (n > 0)
		memcpy(to, from, n);
	to[n] = '\0';
}

static void keep_text(char *to, size_t size, const char *from)
{
	keep(to, size, from, from ? strnlen(from, size) : 0);
}

/* Under the lock. */
static void end_recording(struct weir_trace *t, int64_t at_ns)
{
	atomic_store_explicit(&t->on, false, memory_order_relaxed);
	t->recording->stopped_ns = at_ns;
}

/* Under the lock: the recording that is under way, if its time is not over. */
static struct weir_recording *under_way(struct weir_trace *t)
{
	struct weir_recording *r = t->recording;

	if (!r || r->stopped_ns)
		return NULL;
	if (now_ns() < r->until_ns)
		return r;
	end_recording(t, r->until_ns);
	return NULL;
}

void weir_trace_add(struct weir_trace *t, const struct weir_trace_span *span)
{
	static _Thread_local int32_t thread;
	struct weir_trace_event e = {
		.start_ns = span->start_ns,
		.duration_ns = MAX(span->duration_ns, 0),
		.row = span->row,
		.n_args = MIN(span->n_args, WEIR_TRACE_MAX_ARGS),
	};
	struct weir_recording *r;

	if (!weir_trace_on(t))
		return;
	if (thread == 0)
		thread = (int32_t)gettid();
	e.thread = thread;
	keep_text(e.category, sizeof(e.category), span->category);
	keep_text(e.name, sizeof(e.name), span->name);
	keep(e.label, sizeof(e.label), span->label.data, span->label.len);
	for (uint32_t i = 0; i < e.n_args; i++) {
		keep_text(e.args[i], sizeof(e.args[i]), span->args[i].name);
		e.values[i] = span->args[i].value;
	}
	pthread_mutex_lock(&t->lock);
	r = under_way(t);
	if (r)
		r->events[r->n++ % r->capacity] = e;
	pthread_mutex_unlock(&t->lock);
}

void weir_trace_since(struct weir_trace *t, const char *category, const char *name,
		      const char *label, int64_t start_ns, const struct weir_trace_arg *args)
{
	struct weir_trace_span span = {
		.size = sizeof(span),
		.category = category,
		.name = name,
		.label = { label, label ? strlen(label) : 0 },
		.start_ns = start_ns,
		.args = args,
	};

	if (!weir_trace_on(t))
		return;
	span.duration_ns = now_ns() - start_ns;
	while (args && span.n_args < WEIR_TRACE_MAX_ARGS && args[span.n_args].name)
		span.n_args++;
	weir_trace_add(t, &span);
}

weir_status weir_trace_start(struct weir_trace *t, uint32_t seconds, uint32_t events,
			     struct weir_error *err)
{
	struct weir_recording *r, *old = NULL;
	bool busy;

	if (seconds < 1 || seconds > WEIR_TRACE_MAX_SECONDS)
		return weir_fail(err, WEIR_E_INVALID, "seconds must be between 1 and %u",
				 WEIR_TRACE_MAX_SECONDS);
	if (events < WEIR_TRACE_MIN_EVENTS || events > WEIR_TRACE_MAX_EVENTS)
		return weir_fail(err, WEIR_E_INVALID, "events must be between %u and %u",
				 WEIR_TRACE_MIN_EVENTS, WEIR_TRACE_MAX_EVENTS);
	r = g_new0(struct weir_recording, 1);
	atomic_init(&r->refs, 1);
	r->capacity = events;
	r->seconds = seconds;
	r->events = g_try_new0(struct weir_trace_event, events);
	if (!r->events) {
		g_free(r);
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for %u events", events);
	}
	pthread_mutex_lock(&t->lock);
	busy = under_way(t) != NULL;
	if (!busy) {
		old = t->recording;
		r->began_ns = now_ns();
		r->until_ns = r->began_ns + (int64_t)seconds * 1000000000;
		t->recording = r;
		atomic_store_explicit(&t->on, true, memory_order_relaxed);
	}
	pthread_mutex_unlock(&t->lock);
	weir_recording_unref(busy ? r : old);
	return busy ? weir_fail(err, WEIR_E_QUEUE_FULL, "a recording is under way: stop it first")
		    : WEIR_OK;
}

void weir_trace_stop(struct weir_trace *t)
{
	pthread_mutex_lock(&t->lock);
	if (under_way(t))
		end_recording(t, now_ns());
	pthread_mutex_unlock(&t->lock);
}

char *weir_trace_state(struct weir_trace *t)
{
	struct weir_recording now = { 0 };
	char elapsed[G_ASCII_DTOSTR_BUF_SIZE], *text;
	const char *state = "off";

	pthread_mutex_lock(&t->lock);
	if (t->recording) {
		const struct weir_recording *r = t->recording;

		state = under_way(t) ? "recording" : "stopped";
		now.capacity = r->capacity;
		now.seconds = r->seconds;
		now.n = r->n;
		now.began_ns = r->began_ns;
		now.stopped_ns = r->stopped_ns ? r->stopped_ns : now_ns();
	}
	pthread_mutex_unlock(&t->lock);
	g_ascii_formatd(elapsed, sizeof(elapsed), "%.3f",
			(double)(now.stopped_ns - now.began_ns) / 1e9);
	if (asprintf(&text,
		     "{\"state\":\"%s\",\"seconds\":%u,\"capacity\":%u,\"events\":%" PRIu64
		     ",\"dropped\":%" PRIu64 ",\"elapsed\":%s}",
		     state, now.seconds, now.capacity, MIN(now.n, now.capacity),
		     now.n > now.capacity ? now.n - now.capacity : 0, elapsed) < 0)
		return NULL;
	return text;
}

/* --- weir.host.trace/1 ---------------------------------------------------------------------- */

static struct weir_trace *trace_of(const struct weir_host *host)
{
	return ((const struct weir_core *)host->data)->trace;
}

static bool enabled(const struct weir_host *host)
{
	return weir_trace_on(trace_of(host));
}

static uint64_t new_row(const struct weir_host *host)
{
	return weir_trace_new_row(trace_of(host));
}

static void add(const struct weir_host *host, const struct weir_trace_span *span)
{
	if (span->size >= sizeof(*span))
		weir_trace_add(trace_of(host), span);
}

static weir_status start(const struct weir_host *host, uint32_t seconds, uint32_t events,
			 struct weir_error *err)
{
	return weir_trace_start(trace_of(host), seconds, events, err);
}

static void stop(const struct weir_host *host)
{
	weir_trace_stop(trace_of(host));
}

static char *state(const struct weir_host *host)
{
	return weir_trace_state(trace_of(host));
}

static weir_trace_reader *open_reader(const struct weir_host *host)
{
	return weir_trace_open(trace_of(host));
}

const struct weir_trace_api *weir_trace_extension(void)
{
	static const struct weir_trace_api api = {
		.size = sizeof(api),
		.enabled = enabled,
		.new_row = new_row,
		.span = add,
		.start = start,
		.stop = stop,
		.state = state,
		.open = open_reader,
		.next = weir_trace_next,
		.close = weir_trace_close,
	};

	return &api;
}
