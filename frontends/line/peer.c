/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/peer.c - see peer.h.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "call.h"
#include "relay.h"

#define MAX_WAITING   (256u << 10) /* unsent; requests are not read while there is more */
#define FLUSH_AT      (64u << 10)
#define MAX_UNSENT    (16u << 20) /* a stream that fills so much has huge events: cut off */
#define OUT_KEEP      4096        /* an empty buffer of at most this size is kept */
#define PIPE_WRITE    4096        /* PIPE_BUF: does not block once poll() has said yes */
#define READS_A_VISIT 8           /* then other peers get their turn */
#define MAX_LINGER    (1u << 20)
#define LINGER_MS     2000

static bool is_socket(int fd)
{
	int type;
	socklen_t size = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

/* EPERM: a regular file, which is always ready. */
static bool register_fd(struct peer *p, int fd, enum line_tag *tag, uint32_t events, bool *pollable)
{
	struct epoll_event e = { .events = events, .data.ptr = tag };
	*pollable = epoll_ctl(p->line->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
	return *pollable || errno == EPERM;
}

struct peer *peer_new(struct line *line, enum peer_kind kind, int in, int out)
{
	struct peer *p = g_new0(struct peer, 1);
	p->tag = LINE_TAG_PEER;
	p->out_tag = LINE_TAG_PEER_OUT;
	p->line = line;
	p->kind = kind;
	p->in = in;
	p->out = out;
	p->out_is_socket = in == out || is_socket(out);
	p->t_progress = p->t_active = line->now_ms;
	if (!register_fd(p, in, &p->tag, 0, &p->in_pollable) ||
	    (out != in && !register_fd(p, out, &p->out_tag, 0, &p->out_pollable))) {
		int e = errno;
		close(in);
		if (out != in)
			close(out);
		g_free(p);
		errno = e;
		return NULL;
	}
	if (out != in && p->in_pollable)
		epoll_ctl(line->epoll_fd, EPOLL_CTL_DEL, in, NULL); /* see watch_input() */
	frame_init(&p->frame, line->config.max_line);
	p->calls = g_hash_table_new(g_str_hash, g_str_equal);
	if (kind == PEER_KIND_PARENT && line->config.relay)
		p->relays = g_hash_table_new(g_str_hash, g_str_equal);
	p->next = line->peers;
	if (p->next)
		p->next->prev = p;
	line->peers = p;
	line->n_peers++;
	line->n_unpollable += !p->in_pollable;
	line_count(line, line->m_connections, 1);
	peer_mark_dirty(p);
	return p;
}

void peer_free(struct peer *p)
{
	frame_clear(&p->frame);
	buf_free(&p->output);
	g_hash_table_unref(p->calls);
	g_clear_pointer(&p->relays, g_hash_table_unref);
	g_free(p);
}

void peer_mark_dirty(struct peer *p)
{
	if (p->is_dirty)
		return;
	p->is_dirty = true;
	p->next_dirty = p->line->dirty;
	p->line->dirty = p;
}

/* The description may live on (standard input): closing does not unregister. */
static void drop_fd(struct peer *p, int fd)
{
	epoll_ctl(p->line->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
}

static void detach_calls(struct peer *p)
{
	GHashTableIter it;
	gpointer call;
	g_hash_table_iter_init(&it, p->calls);
	while (g_hash_table_iter_next(&it, NULL, &call)) {
		g_hash_table_iter_remove(&it);
		call_detach(call);
	}
	if (!p->relays)
		return;
	g_hash_table_iter_init(&it, p->relays);
	while (g_hash_table_iter_next(&it, NULL, &call))
		relay_detach(call);
	g_hash_table_remove_all(p->relays);
}

static guint count_running(const struct peer *p)
{
	return g_hash_table_size(p->calls) + (p->relays ? g_hash_table_size(p->relays) : 0);
}

void peer_close(struct peer *p)
{
	struct line *line = p->line;
	if (p->state == PEER_STATE_DEAD)
		return;
	p->state = PEER_STATE_DEAD;
	if (count_running(p))
		line_count(line, line->m_gone, 1);
	detach_calls(p);
	if (p->prev)
		p->prev->next = p->next;
	else
		line->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	line->n_peers--;
	line->n_unpollable -= !p->in_pollable;
	line_count(line, line->m_connections, -1);
	drop_fd(p, p->in);
	if (p->out != p->in)
		drop_fd(p, p->out);
	if (p->kind == PEER_KIND_STDIO)
		line->has_stdio = false;
	if (p->kind == PEER_KIND_STDIO || p->kind == PEER_KIND_PARENT)
		line->quitting = line->config.quit_at_eof;
	peer_mark_dirty(p); /* freed when the dispatch is over */
}

/* ---- output ---- */

size_t peer_unsent(const struct peer *p)
{
	return p->output.len - p->sent;
}

struct buf *peer_output(struct peer *p)
{
	peer_mark_dirty(p);
	if (peer_unsent(p) == 0)
		p->t_progress = p->line->now_ms;
	return &p->output;
}

static ssize_t send_some(struct peer *p, const char *data, size_t n)
{
	if (p->out_is_socket)
		return send(p->out, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Standard output is shared with whoever started us: it is not made non-blocking. */
	struct pollfd fd = { .fd = p->out, .events = POLLOUT };
	if (poll(&fd, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(p->out, data, MIN(n, PIPE_WRITE));
}

static void flush(struct peer *p)
{
	while (peer_unsent(p)) {
		ssize_t n = send_some(p, p->output.data + p->sent, peer_unsent(p));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			peer_close(p);
			return;
		}
		p->sent += (size_t)n;
		p->t_progress = p->line->now_ms;
	}
	if (peer_unsent(p)) {
		if (p->sent > FLUSH_AT) {
			buf_consume(&p->output, p->sent);
			p->sent = 0;
		}
		return;
	}
	p->sent = p->output.len = 0;
	if (p->output.cap > OUT_KEEP)
		buf_free(&p->output);
}

void peer_relieve(struct peer *p)
{
	if (peer_unsent(p) < FLUSH_AT)
		return;
	flush(p);
	/* A parent is waited for: what it may be sent is bounded by its own credit. */
	if (p->state == PEER_STATE_DEAD || peer_unsent(p) <= MAX_UNSENT || p->relays)
		return;
	line_count(p->line, p->line->m_stalled, 1);
	api_logf(&p->line->api, WEIR_LOG_WARNING, "a client does not take its stream: cut off");
	peer_close(p);
}

void peer_refuse(struct peer *p, weir_status status, const char *text)
{
	struct rpc_error err;
	rpc_fail_status(&err, status, text);
	rpc_put_error(peer_output(p), NULL, &err);
	p->state = PEER_STATE_CLOSING;
}

/* ---- input ---- */

static void linger(struct peer *p)
{
	for (int i = 0; i < READS_A_VISIT; i++) {
		ssize_t n = recv(p->in, p->line->rbuf, LINE_READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			p->lingered += (size_t)n;
		if (n <= 0 || p->lingered > MAX_LINGER) {
			peer_close(p);
			return;
		}
	}
}

static void handle_lines(struct peer *p)
{
	const char *line;
	size_t len;
	while (p->state == PEER_STATE_OPEN && (peer_unsent(p) <= MAX_WAITING || p->relays) &&
	       frame_next(&p->frame, &line, &len)) {
		p->t_active = p->line->now_ms;
		request_line(p, line, len);
	}
	if (p->state == PEER_STATE_OPEN && p->frame.too_long) {
		struct rpc_error err;
		rpc_fail(&err, RPC_CODE_REQUEST, NULL, "the line is longer than %zu bytes",
			 p->line->config.max_line);
		rpc_put_error(peer_output(p), NULL, &err);
		p->state = PEER_STATE_CLOSING;
	}
}

static bool wants_input(const struct peer *p)
{
	if (p->kind == PEER_KIND_STDIO && p->line->draining)
		return false; /* after a reload it is the next instance's */
	return p->state == PEER_STATE_OPEN && !p->eof && p->ready &&
	       (peer_unsent(p) <= MAX_WAITING || p->relays);
}

static void read_input(struct peer *p)
{
	char *buf = p->line->rbuf;
	for (int i = 0; i < READS_A_VISIT && wants_input(p); i++) {
		ssize_t n = p->kind == PEER_KIND_STDIO
				    ? read(p->in, buf, LINE_READ_SIZE)
				    : recv(p->in, buf, LINE_READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0 && p->kind != PEER_KIND_STDIO) {
			peer_close(p);
			return;
		}
		if (n <= 0) {
			p->eof = true;
			frame_end(&p->frame);
			handle_lines(p);
			return;
		}
		frame_feed(&p->frame, buf, (size_t)n);
		handle_lines(p);
		/* A blocking descriptor is read once for each time that it is ready. */
		if (n < LINE_READ_SIZE || p->kind == PEER_KIND_STDIO)
			return;
	}
}

/* ---- what is next ---- */

static void watch_one(struct peer *p, int fd, enum line_tag *tag, uint32_t want, uint32_t *have)
{
	struct epoll_event e = { .events = want, .data.ptr = tag };
	if (want != *have && epoll_ctl(p->line->epoll_fd, EPOLL_CTL_MOD, fd, &e) == 0)
		*have = want;
}

/* The end of a pipe is told for as long as it is watched, wanted or not. */
static void watch_input(struct peer *p, uint32_t want)
{
	struct epoll_event e = { .events = want, .data.ptr = &p->tag };
	int op = want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
	if (want != p->in_interest && epoll_ctl(p->line->epoll_fd, op, p->in, &e) == 0)
		p->in_interest = want;
}

static void watch(struct peer *p)
{
	uint32_t in = 0, out = peer_unsent(p) ? EPOLLOUT : 0;
	if (wants_input(p) || p->state == PEER_STATE_LINGER)
		in |= EPOLLIN;
	if (p->in != p->out) {
		if (p->in_pollable)
			watch_input(p, in);
		if (p->out_pollable)
			watch_one(p, p->out, &p->out_tag, out, &p->out_interest);
		return;
	}
	/* Once the end has been seen it would be told again and again. */
	if (p->state == PEER_STATE_OPEN && !p->eof)
		in |= EPOLLRDHUP;
	watch_one(p, p->in, &p->tag, in | out, &p->in_interest);
}

/* Does a client that writes no more still wait for answers? Over TCP that cannot be told. */
static bool may_wait(const struct peer *p)
{
	return p->kind != PEER_KIND_TCP || p->line->config.half_close;
}

static void check_end(struct peer *p)
{
	guint n = count_running(p);
	bool over = p->eof && !p->frame.buf;
	if (p->state == PEER_STATE_OPEN && over && n && !may_wait(p))
		peer_close(p);
	else if (p->state == PEER_STATE_OPEN && n == 0 && (over || p->line->draining))
		p->state = PEER_STATE_CLOSING;
	if (p->state != PEER_STATE_CLOSING || peer_unsent(p))
		return;
	if (p->eof || p->kind == PEER_KIND_STDIO || shutdown(p->out, SHUT_WR) < 0) {
		peer_close(p);
		return;
	}
	/* Closing with input unread would reset the connection, and the answer could be lost. */
	detach_calls(p);
	p->state = PEER_STATE_LINGER;
	p->t_active = p->line->now_ms;
	frame_clear(&p->frame);
	linger(p);
}

void peer_settle(struct peer *p)
{
	bool full;
	if (!p->ready)
		p->ready = p->kind != PEER_KIND_STDIO || line_is_ready(p->line);
	if (!p->in_pollable)
		read_input(p);
	do {
		handle_lines(p);
		full = peer_unsent(p) > MAX_WAITING;
		flush(p);
	} while (p->state == PEER_STATE_OPEN && full && peer_unsent(p) <= MAX_WAITING);
	if (p->state != PEER_STATE_DEAD)
		check_end(p);
	if (p->state == PEER_STATE_DEAD)
		return;
	if (p->state == PEER_STATE_OPEN && peer_unsent(p) == 0) {
		GHashTableIter it;
		gpointer call;
		g_hash_table_iter_init(&it, p->calls);
		while (g_hash_table_iter_next(&it, NULL, &call))
			call_top_up(call);
	}
	watch(p);
}

void peer_events(struct peer *p, bool is_out, uint32_t events)
{
	if (p->state == PEER_STATE_DEAD)
		return;
	peer_mark_dirty(p);
	if (is_out) {
		if (events & (EPOLLERR | EPOLLHUP))
			peer_close(p);
		return;
	}
	if (p->kind != PEER_KIND_STDIO && (events & (EPOLLERR | EPOLLHUP))) {
		peer_close(p);
		return;
	}
	if (p->state == PEER_STATE_LINGER) {
		linger(p);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_input(p);
	/* With input that is not being read: the end behind it counts now, over TCP. */
	if ((events & EPOLLRDHUP) && p->state == PEER_STATE_OPEN && !p->eof) {
		if (!wants_input(p) && !may_wait(p))
			peer_close(p);
	}
}

void peer_check_deadlines(struct peer *p)
{
	const struct line_config *conf = &p->line->config;
	uint64_t now = p->line->now_ms;
	if (p->kind == PEER_KIND_STDIO && !p->ready)
		peer_mark_dirty(p);
	if (peer_unsent(p)) {
		if (p->relays || now < p->t_progress + conf->write_timeout_ms)
			return;
		line_count(p->line, p->line->m_stalled, 1);
		peer_close(p);
	} else if (p->state == PEER_STATE_LINGER) {
		if (now >= p->t_active + LINGER_MS)
			peer_close(p);
	} else if (p->kind != PEER_KIND_STDIO && !p->relays && conf->idle_timeout_ms &&
		   g_hash_table_size(p->calls) == 0 && now >= p->t_active + conf->idle_timeout_ms) {
		p->state = PEER_STATE_CLOSING;
		peer_mark_dirty(p);
	}
}
