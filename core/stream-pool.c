/*
 * stream-pool.c - all channels of a router: birth, death, the watchdog's lists; see stream.h.
 *
 * The lists are plain arrays, so that looking through 10,000 streams costs one sweep over memory. A
 * channel leaves them when its producer has ended. Dead channels stay in a queue for GRACE_NS.
 */
#include "stream-channel.h"

#include <time.h>

#include <glib.h>

#include "log.h"
#include "request.h"

#define GRACE_NS  (5 * G_GINT64_CONSTANT(1000000000))
#define GRACE_MAX 4096u
#define NOWHERE   SIZE_MAX

struct watched {
	int64_t when_ns; /* a deadline, or when it was cancelled */
	struct weir_channel *channel;
};

struct list {
	struct watched *at;
	size_t n, cap;
};

struct weir_streams {
	atomic_int refs; /* the router's, and one for each channel that is not retired */
	atomic_size_t n_active, n_producing;
	pthread_mutex_t lock;
	struct weir_logger *log; /* NULL once closed */
	struct list watch, cancelled;
	struct weir_channel *oldest, *newest; /* retired */
	size_t n_retired;
};

int64_t weir_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct weir_streams *weir_streams_new(const struct weir_core *core)
{
	struct weir_streams *pool = g_new0(struct weir_streams, 1);

	atomic_init(&pool->refs, 1);
	pool->log = core->log;
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

static void channel_destroy(struct weir_channel *c)
{
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->wake_lock);
	g_free(c);
}

static void pool_unref(struct weir_streams *pool)
{
	if (atomic_fetch_sub(&pool->refs, 1) > 1)
		return;
	while (pool->oldest) {
		struct weir_channel *c = pool->oldest;

		pool->oldest = c->next_retired;
		channel_destroy(c);
	}
	g_free(pool->watch.at);
	g_free(pool->cancelled.at);
	pthread_mutex_destroy(&pool->lock);
	g_free(pool);
}

void weir_streams_close(struct weir_streams *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->log = NULL;
	pthread_mutex_unlock(&pool->lock);
	pool_unref(pool);
}

size_t weir_streams_active(const struct weir_streams *pool)
{
	return atomic_load(&((struct weir_streams *)pool)->n_active);
}

size_t weir_streams_producing(const struct weir_streams *pool)
{
	return atomic_load(&((struct weir_streams *)pool)->n_producing);
}

void weir_streams_report(struct weir_streams *pool, const char *who, const char *how)
{
	/* The lock keeps the logger alive: closing takes it too. */
	pthread_mutex_lock(&pool->lock);
	if (pool->log)
		weir_logf(pool->log, WEIR_LOG_MISBEHAVING, "stream", "%s %s", who ? who : "?", how);
	pthread_mutex_unlock(&pool->lock);
}

/* --- the lists ----------------------------------------------------------------------------- */

static size_t list_add(struct list *list, struct weir_channel *c, int64_t when_ns)
{
	if (list->n == list->cap) {
		list->cap = MAX(64u, list->cap * 2);
		list->at = g_renew(struct watched, list->at, list->cap);
	}
	list->at[list->n] = (struct watched){ when_ns, c };
	return list->n++;
}

void weir_streams_note_cancel(struct weir_channel *c)
{
	struct weir_streams *pool = c->pool;

	pthread_mutex_lock(&pool->lock);
	if (c->watch_at != NOWHERE && c->cancel_at == NOWHERE)
		c->cancel_at = list_add(&pool->cancelled, c, weir_clock_ns());
	pthread_mutex_unlock(&pool->lock);
}

void weir_streams_ended(struct weir_channel *c)
{
	struct weir_streams *pool = c->pool;

	pthread_mutex_lock(&pool->lock);
	if (c->watch_at != NOWHERE) {
		struct watched last = pool->watch.at[--pool->watch.n];

		pool->watch.at[c->watch_at] = last;
		last.channel->watch_at = c->watch_at;
		c->watch_at = NOWHERE;
	}
	if (c->cancel_at != NOWHERE) {
		struct watched last = pool->cancelled.at[--pool->cancelled.n];

		pool->cancelled.at[c->cancel_at] = last;
		last.channel->cancel_at = c->cancel_at;
		c->cancel_at = NOWHERE;
	}
	pthread_mutex_unlock(&pool->lock);
	atomic_fetch_sub(&pool->n_producing, 1);
}

void weir_streams_delivered(struct weir_channel *c)
{
	atomic_fetch_sub(&c->pool->n_active, 1);
}

/* Those of the list that are due, each with a reference; their time becomes `again`. */
static GPtrArray *take_due(struct weir_streams *pool, struct list *list, int64_t before_ns,
			   int64_t again, int64_t *ret_next)
{
	GPtrArray *due = NULL;

	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < list->n; i++) {
		struct watched *w = &list->at[i];

		if (w->when_ns <= before_ns) {
			if (!due)
				due = g_ptr_array_new();
			atomic_fetch_add(&w->channel->refs, 1);
			g_ptr_array_add(due, w->channel);
			if (again)
				w->when_ns = again;
		} else {
			*ret_next = MIN(*ret_next, w->when_ns);
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return due;
}

static void cancel_each(GPtrArray *channels, weir_status why)
{
	for (guint i = 0; channels && i < channels->len; i++) {
		struct weir_channel *c = channels->pdata[i];

		weir_stream_cancel(&c->handles[c->top], why);
		weir_channel_unref(c);
	}
	if (channels)
		g_ptr_array_unref(channels);
}

int64_t weir_streams_check(struct weir_streams *pool, int64_t now_ns, int64_t grace_ns)
{
	int64_t next = INT64_MAX, unused = INT64_MAX;
	GPtrArray *due;

	cancel_each(take_due(pool, &pool->watch, now_ns, INT64_MAX, &next), WEIR_E_DEADLINE);
	due = take_due(pool, &pool->cancelled, now_ns - grace_ns, 0, &unused);
	for (guint i = 0; due && i < due->len; i++) {
		(void)weir_channel_detach(due->pdata[i]);
		weir_channel_unref(due->pdata[i]);
	}
	if (due)
		g_ptr_array_unref(due);
	return next;
}

void weir_streams_cancel_all(struct weir_streams *pool, weir_status why)
{
	int64_t unused = 0;

	cancel_each(take_due(pool, &pool->watch, INT64_MAX, 0, &unused), why);
}

/* --- birth and death ----------------------------------------------------------------------- */

struct weir_channel *weir_channel_new(struct weir_streams *pool,
				      const struct weir_channel_options *o)
{
	size_t n = (size_t)o->n_links + 1;
	struct weir_channel *c = g_malloc0(sizeof(*c) + n * sizeof(c->handles[0]));
	const struct weir_limits *limits = weir_request_limits(o->request);
	uint64_t divisor = 1;

	atomic_init(&c->refs, 2);
	c->pool = pool;
	atomic_fetch_add(&pool->refs, 1);
	c->loop = weir_loop_ref(o->loop);
	memcpy(&c->sink, o->sink, MIN(o->sink->size, sizeof(c->sink)));
	c->sink_data = o->sink_data;
	c->request = weir_request_ref(o->request);
	c->passage = o->passage;
	c->passage_data = o->passage_data;
	atomic_init(&c->in_passage, 2);
	c->producer = o->producer;
	c->owner = o->owner;
	c->name = o->name;
	atomic_init(&c->credit, MIN(o->credit, 1u << 30));
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->wake_lock, NULL);
	c->top = o->n_links;
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			divisor = MIN(divisor * MAX(1u, o->fanout[i - 1]), UINT32_MAX);
		c->handles[i].level = i;
		c->handles[i].divisor = (uint32_t)divisor;
		c->handles[i].channel = c;
		atomic_init(&c->handles[i].magic, HANDLE_LIVE);
	}
	atomic_fetch_add(&pool->n_active, 1);
	atomic_fetch_add(&pool->n_producing, 1);
	c->cancel_at = NOWHERE;
	pthread_mutex_lock(&pool->lock);
	c->watch_at = list_add(&pool->watch, c,
			       limits->deadline_ns > 0 ? limits->deadline_ns : INT64_MAX - 1);
	pthread_mutex_unlock(&pool->lock);
	return c;
}

static void release(struct weir_channel *c)
{
	for (uint32_t i = 0; i <= c->top; i++)
		atomic_store(&c->handles[i].magic, HANDLE_DEAD);
	weir_request_unref(c->request);
	weir_loop_unref(c->loop);
	c->request = NULL;
	c->loop = NULL;
}

struct weir_channel *weir_channel_ref(struct weir_channel *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void weir_channel_unref(struct weir_channel *c)
{
	struct weir_streams *pool = c->pool;
	struct weir_channel *old = NULL;

	if (atomic_fetch_sub(&c->refs, 1) > 1)
		return;
	release(c);
	c->retired_ns = weir_clock_ns();
	pthread_mutex_lock(&pool->lock);
	if (pool->newest)
		pool->newest->next_retired = c;
	else
		pool->oldest = c;
	pool->newest = c;
	pool->n_retired++;
	if (pool->oldest != c &&
	    (pool->n_retired > GRACE_MAX || c->retired_ns - pool->oldest->retired_ns > GRACE_NS)) {
		old = pool->oldest;
		pool->oldest = old->next_retired;
		pool->n_retired--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (old)
		channel_destroy(old);
	pool_unref(pool);
}

weir_stream *weir_channel_handle(struct weir_channel *c, uint32_t level)
{
	return &c->handles[level];
}

weir_stream *weir_channel_producer(struct weir_channel *c)
{
	return &c->handles[c->top];
}

void *weir_channel_passage_data(struct weir_channel *c)
{
	return c->passage_data;
}

weir_request *weir_channel_request(struct weir_channel *c)
{
	return c->request;
}
