/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/thread.c - the frontend's one thread: epoll, the bell, deadlines, the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "peer.h"

#define EVENTS_A_VISIT 256
#define TICK_MS        100
#define STOP_FLUSH_MS  2000

static uint64_t monotonic_ms(void)
{
	return (uint64_t)g_get_monotonic_time() / 1000;
}

void line_ring(void *data)
{
	struct line *line = data;
	uint64_t one = 1;
	ssize_t n = write(line->bell_fd, &one, sizeof(one));
	(void)n; /* full counter: the thread is awake already */
}

static void settle_all(struct line *line)
{
	while (line->dirty) {
		struct peer *p = line->dirty;
		line->dirty = p->next_dirty;
		if (p->state != PEER_STATE_DEAD) {
			p->is_dirty = false;
			peer_settle(p);
		} else { /* stays marked, so that nothing puts it back */
			p->next_dirty = line->dead;
			line->dead = p;
		}
	}
	while (line->dead) {
		struct peer *p = line->dead;
		line->dead = p->next_dirty;
		peer_free(p);
	}
}

static void drain(struct line *line)
{
	if (line->draining)
		return;
	line->draining = true;
	listen_close(line);
	for (struct peer *p = line->peers; p; p = p->next)
		peer_mark_dirty(p);
	pthread_mutex_lock(&line->lock);
	line->drained = true;
	pthread_cond_signal(&line->changed);
	pthread_mutex_unlock(&line->lock);
}

static void answer_bell(struct line *line)
{
	uint64_t count;
	ssize_t n = read(line->bell_fd, &count, sizeof(count));
	(void)n;
	if (g_atomic_int_get(&line->want_drain))
		drain(line);
	if (g_atomic_int_get(&line->want_stop) && !line->stopping) {
		line->stopping = true;
		line->stop_at = line->now_ms + STOP_FLUSH_MS;
	}
	line->api.gateway->dispatch(line->loop.loop);
}

static void tick(struct line *line)
{
	struct peer *next;
	line->tick_at = line->now_ms + TICK_MS;
	for (struct peer *p = line->peers; p; p = next) {
		next = p->next;
		peer_check_deadlines(p);
	}
	if (line->accept_at && line->now_ms >= line->accept_at)
		listen_resume(line);
}

static bool has_stopped(struct line *line)
{
	struct peer *next;
	for (struct peer *p = line->peers; p; p = next) {
		next = p->next;
		if (!peer_unsent(p) || line->now_ms >= line->stop_at)
			peer_close(p);
	}
	settle_all(line);
	return line->n_peers == 0 && line->loop.n_streams == 0;
}

static void quit(struct line *line)
{
	line->quitting = false;
	if (line->status && !line->draining) {
		api_logf(&line->api, WEIR_LOG_INFO, "the input has ended: so does the server");
		line->status->quit(line->api.host);
	}
}

static int patience(const struct line *line)
{
	if (line->n_unpollable)
		for (struct peer *p = line->peers; p; p = p->next)
			if (!p->in_pollable && p->ready && !p->eof && !peer_unsent(p))
				return 0;
	uint64_t due = api_loop_due(&line->loop), now = monotonic_ms();
	if (due)
		return due > now ? (int)MIN(due - now, TICK_MS) : 0;
	return line->n_peers || line->accept_at || line->stopping ? TICK_MS : -1;
}

static void visit(struct line *line)
{
	struct epoll_event events[EVENTS_A_VISIT];
	int n = epoll_wait(line->epoll_fd, events, EVENTS_A_VISIT, patience(line));
	bool rung = false;
	line->now_ms = monotonic_ms();
	for (int i = 0; i < n; i++) {
		enum line_tag *tag = events[i].data.ptr;
		switch (*tag) {
		case LINE_TAG_LISTENER:
			listen_accept(line, (struct listener *)tag);
			break;
		case LINE_TAG_PEER:
			peer_events((struct peer *)tag, false, events[i].events);
			break;
		case LINE_TAG_PEER_OUT:
			peer_events((struct peer *)((char *)tag - offsetof(struct peer, out_tag)),
				    true, events[i].events);
			break;
		case LINE_TAG_BELL:
			rung = true;
			break;
		}
	}
	if (rung)
		answer_bell(line);
	api_loop_tick(&line->loop, line->now_ms);
	if (line->now_ms >= line->tick_at)
		tick(line);
	for (struct peer *p = line->n_unpollable ? line->peers : NULL; p; p = p->next)
		if (!p->in_pollable)
			peer_mark_dirty(p);
	settle_all(line);
	if (line->quitting)
		quit(line);
}

static void open_stdio(struct line *line)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	struct peer *p = NULL;
	if (in >= 0 && out >= 0) {
		p = peer_new(line, PEER_KIND_STDIO, in, out);
	} else if (in >= 0 || out >= 0) {
		int e = errno;
		close(in >= 0 ? in : out);
		errno = e;
	}
	if (p)
		return;
	line->has_stdio = false;
	api_logf(&line->api, WEIR_LOG_ERROR, "standard input and output cannot be used: %s",
		 g_strerror(errno));
}

static void open_inherited(struct line *line)
{
	for (guint i = 0; i < line->inherited->len; i++) {
		int fd = g_array_index(line->inherited, int, i);
		if (!peer_new(line, PEER_KIND_PARENT, fd, fd))
			api_logf(&line->api, WEIR_LOG_ERROR, "fd:%d cannot be used: %s", fd,
				 g_strerror(errno));
	}
	g_array_set_size(line->inherited, 0);
}

static gpointer thread_main(gpointer data)
{
	struct line *line = data;
	if (line->has_stdio)
		open_stdio(line);
	if (line->inherited)
		open_inherited(line);
	settle_all(line);
	do
		visit(line);
	while (!line->stopping || !has_stopped(line));
	return NULL;
}

weir_status line_thread_start(struct line *line, struct weir_error *err)
{
	line->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	line->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	line->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	line->bell_tag = LINE_TAG_BELL;
	line->now_ms = monotonic_ms();
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = &line->bell_tag };
	if (line->epoll_fd < 0 || line->bell_fd < 0 || line->spare_fd < 0 ||
	    epoll_ctl(line->epoll_fd, EPOLL_CTL_ADD, line->bell_fd, &e) < 0 ||
	    !listen_watch(line)) {
		err->code = WEIR_E_INTERNAL;
		g_snprintf(err->text, sizeof(err->text), "line: cannot set up the thread: %s",
			   g_strerror(errno));
		return err->code;
	}
	api_loop_init(&line->loop, &line->api);
	line->loop.loop = line->api.gateway->loop_new(line->api.host, line_ring, line);
	line->thread = g_thread_new("weir-line", thread_main, line);
	return WEIR_OK;
}
