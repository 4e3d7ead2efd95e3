/*
 * frontends/http/plane.c - see plane.h. Listening and accepting are in accept.c.
 */
#include "plane.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <glib-unix.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "accept.h"
#include "conn.h"
#include "kept.h"
#include "lend.h"
#include "routes.h"

#define EVENTS_A_DISPATCH 256
#define STOP_FLUSH_MS     2000

struct post {
	void (*call)(struct plane *, void *);
	void *data;
};

static uint64_t monotonic_ms(void)
{
	return (uint64_t)g_get_monotonic_time() / 1000;
}

static void ring(void *data)
{
	struct plane *p = data;
	uint64_t one = 1;
	ssize_t n = write(p->event_fd, &one, sizeof(one));
	(void)n; /* full counter: the thread is awake already */
}

void plane_post(struct plane *p, void (*call)(struct plane *, void *), void *data)
{
	struct post *post = g_new(struct post, 1);
	*post = (struct post){ call, data };
	pthread_mutex_lock(&p->lock);
	g_queue_push_tail(&p->posts, post);
	pthread_mutex_unlock(&p->lock);
	ring(p);
}

void plane_kick(struct plane *p)
{
	ring(p);
}

static void run_posts(struct plane *p)
{
	for (;;) {
		pthread_mutex_lock(&p->lock);
		struct post *post = g_queue_pop_head(&p->posts);
		pthread_mutex_unlock(&p->lock);
		if (!post)
			return;
		post->call(p, post->data);
		g_free(post);
	}
}

/* ---- jobs ---- */

static void job_done(struct plane *p, void *data)
{
	struct plane_job *job = data;
	p->n_jobs--;
	job->done(job);
}

static void job_run(struct pool_job *data)
{
	struct plane_job *job = (struct plane_job *)data;
	job->run(job);
	plane_post(job->plane, job_done, job);
}

void plane_job_push(struct plane *p, struct plane_job *job)
{
	job->plane = p;
	job->job.run = job_run;
	p->n_jobs++;
	pool_push(p->http->pool, &job->job);
}

/* ---- small things ---- */

const char *plane_date(struct plane *p)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec == p->date_s)
		return p->date;
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm;
	p->date_s = now.tv_sec;
	gmtime_r(&now.tv_sec, &tm);
	g_snprintf(p->date, sizeof(p->date), "%.3s, %02d %.3s %d %02d:%02d:%02d GMT",
		   days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, 1900 + tm.tm_year,
		   tm.tm_hour, tm.tm_min, tm.tm_sec);
	return p->date;
}

void plane_mark_dirty(struct plane *p, struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = p->dirty;
	p->dirty = c;
}

static void settle_all(struct plane *p)
{
	while (p->dirty) {
		struct conn *c = p->dirty;
		p->dirty = c->next_dirty;
		if (p->dirty) /* cold, unlike the connections: their events were just written */
			__builtin_prefetch(p->dirty->protocol_data);
		if (c->state != CONN_STATE_DEAD) {
			c->dirty = false;
			conn_settle(c);
		} else { /* stays marked, so that nothing puts it back */
			c->next_dirty = p->dead;
			p->dead = c;
		}
	}
	while (p->dead) {
		struct conn *c = p->dead;
		p->dead = c->next_dirty;
		conn_free(c);
	}
}

/* ---- the wheel ---- */

static void unlink_wheel(struct plane *p, struct conn *c)
{
	size_t slot = c->wheel_ms / PLANE_TICK_MS % PLANE_WHEEL_SLOTS;
	if (c->wheel_prev)
		c->wheel_prev->wheel_next = c->wheel_next;
	else
		p->wheel[slot] = c->wheel_next;
	if (c->wheel_next)
		c->wheel_next->wheel_prev = c->wheel_prev;
	c->wheel_next = c->wheel_prev = NULL;
	c->wheel_ms = 0;
}

static void link_wheel(struct plane *p, struct conn *c)
{
	/* Not beyond the horizon: a later deadline is looked at once a turn. */
	uint64_t last = (p->wheel_tick + PLANE_WHEEL_SLOTS - 1) * PLANE_TICK_MS;
	uint64_t first = (p->wheel_tick + 1) * PLANE_TICK_MS;
	c->wheel_ms = CLAMP(c->due_ms + PLANE_TICK_MS - 1, first, last);
	size_t slot = c->wheel_ms / PLANE_TICK_MS % PLANE_WHEEL_SLOTS;
	c->wheel_next = p->wheel[slot];
	c->wheel_prev = NULL;
	if (c->wheel_next)
		c->wheel_next->wheel_prev = c;
	p->wheel[slot] = c;
}

void plane_set_due(struct plane *p, struct conn *c, uint64_t due_ms)
{
	c->due_ms = due_ms;
	if (due_ms == 0) {
		if (c->wheel_ms)
			unlink_wheel(p, c);
		return;
	}
	if (c->wheel_ms && c->wheel_ms <= due_ms + PLANE_TICK_MS)
		return; /* looked at in time */
	if (c->wheel_ms)
		unlink_wheel(p, c);
	link_wheel(p, c);
}

static void run_wheel(struct plane *p)
{
	uint64_t now = p->now_ms / PLANE_TICK_MS;
	if (now > p->wheel_tick + PLANE_WHEEL_SLOTS)
		p->wheel_tick = now - PLANE_WHEEL_SLOTS;
	while (p->wheel_tick < now) {
		p->wheel_tick++;
		struct conn *list = NULL, *c;
		size_t slot = p->wheel_tick % PLANE_WHEEL_SLOTS;
		while ((c = p->wheel[slot])) { /* apart: a timeout may link it again, here even */
			unlink_wheel(p, c);
			c->wheel_next = list;
			list = c;
		}
		while ((c = list)) {
			list = c->wheel_next;
			c->wheel_next = NULL;
			if (c->due_ms > p->now_ms)
				link_wheel(p, c);
			else if (c->state != CONN_STATE_DEAD)
				conn_timeout(c);
		}
	}
}

static void set_timer(struct plane *p)
{
	bool want = p->n_conns || p->accept_at || p->stopping || ws_hub_due(&p->websockets) ||
		    kept_waits(p);
	if (want == p->timer_on)
		return;
	struct itimerspec it = { 0 };
	if (want)
		it.it_interval.tv_nsec = it.it_value.tv_nsec = PLANE_TICK_MS * 1000000L;
	timerfd_settime(p->timer_fd, 0, &it, NULL);
	p->timer_on = want;
}

/* Calls that hold text back wait shorter than the wheel's tick. */
static void set_batch_timer(struct plane *p)
{
	uint64_t due = api_loop_due(&p->api);
	if (due == p->batch_at)
		return;
	struct itimerspec it = { .it_value = { .tv_sec = (time_t)(due / 1000),
					       .tv_nsec = (long)(due % 1000) * 1000000L } };
	timerfd_settime(p->batch_fd, TFD_TIMER_ABSTIME, &it, NULL);
	p->batch_at = due;
}

static void on_batch_timer(struct plane *p)
{
	uint64_t expirations;
	if (read(p->batch_fd, &expirations, sizeof(expirations)) < 0)
		return;
	p->batch_at = 0;
	api_loop_tick(&p->api, p->now_ms);
}

static void on_timer(struct plane *p)
{
	uint64_t expirations;
	if (read(p->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	run_wheel(p);
	ws_hub_tick(&p->websockets, p->now_ms);
	kept_tick(p);
	if (p->accept_at && p->now_ms >= p->accept_at)
		accept_resume(p);
}

/* ---- life ---- */

void plane_drain(struct plane *p, void *unused)
{
	p->draining = true;
	accept_close(p);
	ws_hub_drain(&p->websockets);
	kept_drain(p);
	for (struct conn *c = p->conns; c; c = c->next)
		plane_mark_dirty(p, c);
}

void plane_stop(struct plane *p, void *unused)
{
	plane_drain(p, NULL);
	p->stopping = true;
	p->stop_at = p->now_ms + STOP_FLUSH_MS;
}

static void check_stopped(struct plane *p)
{
	struct conn *next;
	for (struct conn *c = p->conns; c; c = next) {
		next = c->next;
		bool sending = c->state != CONN_STATE_BUSY && conn_unsent(c);
		if (!sending || p->now_ms >= p->stop_at)
			conn_close(c);
	}
	settle_all(p);
	kept_clear(p);
	if (p->n_conns == 0 && p->api.n_streams == 0 && p->n_jobs == 0)
		g_main_loop_quit(p->main_loop);
}

static gboolean on_epoll(gint fd, GIOCondition condition, gpointer data)
{
	struct plane *p = data;
	struct epoll_event events[EVENTS_A_DISPATCH];
	int n = epoll_wait(p->epoll_fd, events, EVENTS_A_DISPATCH, 0);
	bool rung = false;
	p->now_ms = p->websockets.now_ms = monotonic_ms();
	if (!p->timer_on)
		p->wheel_tick = p->now_ms / PLANE_TICK_MS;
	for (int i = 0; i < n; i++) {
		enum plane_tag *tag = events[i].data.ptr;
		if (*tag == PLANE_TAG_CONN)
			conn_events((struct conn *)tag, events[i].events);
		else if (*tag == PLANE_TAG_LISTENER)
			accept_connections(p, (struct listener *)tag);
		else if (*tag == PLANE_TAG_EVENT)
			rung = true;
		else if (*tag == PLANE_TAG_BATCH)
			on_batch_timer(p);
		else
			on_timer(p);
	}
	if (rung) {
		uint64_t count;
		ssize_t got = read(p->event_fd, &count, sizeof(count));
		(void)got;
		run_posts(p);
		p->http->api.gateway->dispatch(p->api.loop);
	}
	settle_all(p);
	if (p->stopping)
		check_stopped(p);
	set_timer(p);
	set_batch_timer(p);
	return G_SOURCE_CONTINUE;
}

static gpointer thread_main(gpointer data)
{
	struct plane *p = data;
	g_main_context_push_thread_default(p->context);
	p->lender = lender_new(p);
	GSource *source = g_unix_fd_source_new(p->epoll_fd, G_IO_IN);
	g_source_set_can_recurse(source, TRUE);
	g_source_set_callback(source, G_SOURCE_FUNC(on_epoll), p, NULL);
	g_source_attach(source, p->context);
	g_main_loop_run(p->main_loop);
	g_source_destroy(source);
	g_source_unref(source);
	lender_free(p->lender);
	p->lender = NULL;
	while (g_main_context_iteration(p->context, FALSE))
		;
	g_main_context_pop_thread_default(p->context);
	return NULL;
}

static bool watch_fd(struct plane *p, int fd, enum plane_tag *tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = tag };
	return fd >= 0 && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

struct plane *plane_new(struct http *http)
{
	struct plane *p = g_new0(struct plane, 1);
	p->http = http;
	p->event_tag = PLANE_TAG_EVENT;
	p->timer_tag = PLANE_TAG_TIMER;
	p->batch_tag = PLANE_TAG_BATCH;
	p->epoll_fd = p->event_fd = p->timer_fd = p->batch_fd = p->spare_fd = -1;
	p->date_s = -1;
	pthread_mutex_init(&p->lock, NULL);
	g_queue_init(&p->posts);
	g_queue_init(&p->kept);
	g_queue_init(&p->leaving);
	p->rbuf = g_malloc(PLANE_READ_SIZE);
	p->metrics = routes_metrics_new();
	api_loop_init(&p->api, &http->api);
	ws_hub_init(&p->websockets, &p->api, &http->websocket, &http->replays, &http->websockets);
	return p;
}

weir_status plane_start(struct plane *p, struct weir_error *err)
{
	p->now_ms = monotonic_ms();
	p->wheel_tick = p->now_ms / PLANE_TICK_MS;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	p->batch_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->epoll_fd < 0 || !watch_fd(p, p->event_fd, &p->event_tag) ||
	    !watch_fd(p, p->timer_fd, &p->timer_tag) || !watch_fd(p, p->batch_fd, &p->batch_tag) ||
	    !accept_start(p)) {
		err->code = WEIR_E_INTERNAL;
		g_snprintf(err->text, sizeof(err->text), "http: cannot set up an I/O thread: %s",
			   g_strerror(errno));
		return WEIR_E_INTERNAL;
	}
	p->api.loop = p->http->api.gateway->loop_new(p->http->api.host, ring, p);
	p->context = g_main_context_new();
	p->main_loop = g_main_loop_new(p->context, FALSE);
	p->thread = g_thread_new("weir-http", thread_main, p);
	return WEIR_OK;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void plane_free(struct plane *p)
{
	if (!p)
		return;
	accept_close(p);
	run_posts(p); /* connections on their way here when the thread ended */
	ws_hub_clear(&p->websockets);
	g_free(p->listeners);
	if (p->api.loop)
		p->http->api.gateway->loop_free(p->api.loop);
	if (p->main_loop)
		g_main_loop_unref(p->main_loop);
	if (p->context)
		g_main_context_unref(p->context);
	close_fd(p->epoll_fd);
	close_fd(p->event_fd);
	close_fd(p->timer_fd);
	close_fd(p->batch_fd);
	close_fd(p->spare_fd);
	g_queue_clear_full(&p->posts, g_free);
	pthread_mutex_destroy(&p->lock);
	routes_metrics_free(p->metrics);
	g_free(p->rbuf);
	g_free(p);
}
