/*
 * frontends/http/conn.c - see conn.h. Answers are put together in respond.c.
 */
#include "conn.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "routes.h"

#define MAX_UNSENT    (256u << 10) /* pipelined requests wait while so much is queued */
#define MAX_LINGER    (1u << 20)
#define LINGER_MS     2000
#define OUT_KEEP      2048 /* an empty output buffer of at most this size is kept */
#define READS_A_VISIT 16   /* then other connections get their turn */

static bool join_plane(struct conn *c, struct plane *p)
{
	struct epoll_event e = { .events = c->interest, .data.ptr = c };
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0)
		return false;
	c->plane = p;
	c->prev = NULL;
	c->next = p->conns;
	if (c->next)
		c->next->prev = c;
	p->conns = c;
	p->n_conns++;
	return true;
}

static void leave_plane(struct conn *c)
{
	struct plane *p = c->plane;
	plane_set_due(p, c, 0);
	if (c->prev)
		c->prev->next = c->next;
	else
		p->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	p->n_conns--;
	epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

struct conn *conn_new(struct plane *p, int fd, const struct sockaddr_storage *peer)
{
	struct conn *c = g_new0(struct conn, 1);
	c->tag = PLANE_TAG_CONN;
	c->fd = fd;
	c->plane = p;
	c->peer = *peer;
	c->keep_alive = true;
	c->chunk_at = SIZE_MAX;
	c->t_phase = p->now_ms;
	c->interest = EPOLLIN | EPOLLRDHUP;
	if (!join_plane(c, p)) {
		g_free(c);
		return NULL;
	}
	plane_set_due(p, c, p->now_ms + p->http->config.header_timeout_ms);
	return c;
}

void conn_free(struct conn *c)
{
	g_assert(c->state == CONN_STATE_DEAD);
	framer_free(c->framer);
	http_request_free(c->req);
	buf_free(&c->in);
	buf_free(&c->out);
	g_free(c);
}

void conn_close(struct conn *c)
{
	struct plane *p = c->plane;
	if (c->state == CONN_STATE_DEAD)
		return;
	bool busy = c->state == CONN_STATE_BUSY;
	bool upgraded = c->state == CONN_STATE_UPGRADED;
	c->state = CONN_STATE_DEAD;
	conn_charge(c, 0);
	if (upgraded)
		c->protocol->gone(c->protocol_data);
	if (busy) {
		routes_count(c, c->streaming ? c->status : 499);
		http_count(p->http, p->http->m_gone, 1);
		if (c->waiter)
			c->waiter->gone(c->waiter_data);
	}
	c->waiter = NULL;
	if (c->streaming)
		http_count(p->http, p->http->m_streams, -1);
	leave_plane(c);
	close(c->fd);
	c->fd = -1;
	g_atomic_int_add(&p->http->n_connections, -1);
	http_count(p->http, p->http->m_connections, -1);
	plane_mark_dirty(p, c); /* freed when the dispatch is over */
}

size_t conn_unsent(const struct conn *c)
{
	return c->out.len - c->sent;
}

void conn_last(struct conn *c)
{
	c->keep_alive = false;
}

bool conn_is_loopback(const struct conn *c)
{
	if (c->peer.ss_family == AF_INET) {
		const struct sockaddr_in *a = (const struct sockaddr_in *)&c->peer;
		return ntohl(a->sin_addr.s_addr) >> 24 == 127;
	}
	const struct in6_addr *a = &((const struct sockaddr_in6 *)&c->peer)->sin6_addr;
	if (c->peer.ss_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

bool conn_charge(struct conn *c, size_t bytes)
{
	struct http *h = c->plane->http;
	size_t before = c->charged, all;
	c->charged = bytes;
	if (bytes <= before) {
		atomic_fetch_sub_explicit(&h->bodies, before - bytes, memory_order_relaxed);
		return true;
	}
	all = atomic_fetch_add_explicit(&h->bodies, bytes - before, memory_order_relaxed);
	return all + (bytes - before) <= h->config.max_bodies;
}

/* ---- input ---- */

void conn_refuse(struct conn *c, int status, const char *message)
{
	struct api_error e;
	api_error_set(&e, status, NULL, message);
	if (status == 503)
		e.retry_after_s = 5;
	c->request_id[0] = 0;
	conn_last(c);
	c->state = CONN_STATE_BUSY;
	c->handled = false;
	conn_respond_errors(c, &e, 1);
}

static void begin_body(struct conn *c)
{
	const struct http_request *r = framer_peek(c->framer);
	c->body_seen = true;
	c->t_phase = c->plane->now_ms;
	if (!r->expect_continue)
		return;
	int status = routes_refuses(c->plane->http, r);
	if (status) {
		conn_refuse(c, status, status == 404 ? "endpoint not found" : "method not allowed");
		return;
	}
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	conn_write_raw(c, go_on, sizeof(go_on) - 1);
}

static void dispatch(struct conn *c)
{
	c->req = framer_take(c->framer);
	framer_free(g_steal_pointer(&c->framer));
	if (!c->req->keep_alive || c->plane->draining)
		conn_last(c);
	c->state = CONN_STATE_BUSY;
	c->body_seen = false;
	c->handled = false;
	c->status = 0;
	c->t_request = (uint64_t)g_get_monotonic_time();
	routes_dispatch(c);
}

/* Feeds the framer until a request is with its handler; returns what it took. */
static size_t consume(struct conn *c, char *data, size_t len)
{
	size_t used = 0;
	while (used < len && c->state == CONN_STATE_UPGRADED && !c->move_to && !c->paused &&
	       conn_unsent(c) < MAX_UNSENT)
		used += c->protocol->input(c->protocol_data, data + used, len - used);
	while (used < len && c->state == CONN_STATE_READING && conn_unsent(c) < MAX_UNSENT) {
		if (!c->framer) {
			c->framer = framer_new(&c->plane->http->config.frame);
			c->t_phase = c->plane->now_ms;
		}
		used += framer_feed(c->framer, data + used, len - used);
		switch (framer_state(c->framer)) {
		case FRAME_STATE_BAD:
			conn_refuse(c, framer_status(c->framer), framer_reason(c->framer));
			return len;
		case FRAME_STATE_BODY:
			if (!c->body_seen)
				begin_body(c);
			else if (!conn_charge(c, framer_peek(c->framer)->body.len))
				conn_refuse(c, 503, "too many large request bodies at once");
			break;
		case FRAME_STATE_DONE:
			dispatch(c);
			break;
		default:
			break;
		}
	}
	return used;
}

static bool takes_input(const struct conn *c)
{
	return (c->state == CONN_STATE_READING || c->state == CONN_STATE_UPGRADED) && !c->move_to &&
	       !c->paused && conn_unsent(c) < MAX_UNSENT;
}

/* Input that lay behind the last request. */
static void resume_input(struct conn *c)
{
	if (c->in.len == 0 || !takes_input(c))
		return;
	struct buf in = c->in;
	c->in = (struct buf){ NULL, 0, 0 };
	size_t used = consume(c, in.data, in.len);
	buf_consume(&in, used);
	if (in.len)
		c->in = in;
	else
		buf_free(&in);
}

static bool wants_input(const struct conn *c)
{
	return takes_input(c) && !c->eof && c->in.len == 0;
}

static void read_input(struct conn *c)
{
	struct plane *p = c->plane;
	for (int i = 0; i < READS_A_VISIT && wants_input(c); i++) {
		ssize_t n = recv(c->fd, p->rbuf, PLANE_READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			conn_close(c);
			return;
		}
		if (n == 0) {
			c->eof = true;
			return;
		}
		size_t used = consume(c, p->rbuf, (size_t)n);
		if (used < (size_t)n && c->state != CONN_STATE_DEAD)
			buf_append(&c->in, p->rbuf + used, (size_t)n - used);
		if (n < PLANE_READ_SIZE)
			return;
	}
}

static void linger(struct conn *c)
{
	for (int i = 0; i < READS_A_VISIT; i++) {
		ssize_t n = recv(c->fd, c->plane->rbuf, PLANE_READ_SIZE, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n > 0)
			c->lingered += (uint64_t)n;
		if (n <= 0 || c->lingered > MAX_LINGER) {
			conn_close(c);
			return;
		}
	}
}

/* ---- output ---- */

void conn_flush(struct conn *c)
{
	conn_close_chunk(c);
	while (conn_unsent(c)) {
		ssize_t n = send(c->fd, c->out.data + c->sent, conn_unsent(c),
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_close(c);
			return;
		}
		c->sent += (size_t)n;
		c->t_progress = c->plane->now_ms;
	}
	if (conn_unsent(c)) {
		if (c->sent > PLANE_READ_SIZE) {
			buf_consume(&c->out, c->sent);
			c->sent = 0;
		}
		return;
	}
	c->sent = c->out.len = 0;
	if (c->out.cap > OUT_KEEP || (c->state == CONN_STATE_READING && !c->framer))
		buf_free(&c->out);
	if (c->state == CONN_STATE_CLOSING) {
		if (c->eof || shutdown(c->fd, SHUT_WR) < 0) {
			conn_close(c);
			return;
		}
		c->state = CONN_STATE_LINGER;
		c->t_phase = c->plane->now_ms;
		buf_free(&c->in);
		linger(c);
	}
}

/* ---- what is next ---- */

static void earlier(uint64_t *due, uint64_t t)
{
	if (*due == 0 || t < *due)
		*due = t;
}

static uint64_t deadline(const struct conn *c)
{
	const struct http_config *conf = &c->plane->http->config;
	uint64_t due = 0;
	if (conn_unsent(c))
		earlier(&due, c->t_progress + conf->write_timeout_ms);
	else if (c->state == CONN_STATE_BUSY && c->streaming && conf->ping_interval_ms)
		earlier(&due, c->t_progress + conf->ping_interval_ms);
	if (c->state == CONN_STATE_LINGER)
		earlier(&due, c->t_phase + LINGER_MS);
	uint64_t own = c->state == CONN_STATE_UPGRADED ? c->protocol->due(c->protocol_data) : 0;
	if (own)
		earlier(&due, own);
	if (c->state == CONN_STATE_READING) {
		if (c->body_seen)
			earlier(&due, c->t_phase + conf->body_timeout_ms);
		else if (c->framer || !c->t_request)
			earlier(&due, c->t_phase + conf->header_timeout_ms);
		else
			earlier(&due, c->t_phase + conf->idle_timeout_ms);
	}
	return due;
}

static void watch(struct conn *c)
{
	uint32_t want = 0;
	if (wants_input(c) || c->state == CONN_STATE_LINGER)
		want |= EPOLLIN;
	if (c->state <= CONN_STATE_UPGRADED)
		want |= EPOLLRDHUP;
	if (conn_unsent(c))
		want |= EPOLLOUT;
	if (want == c->interest)
		return;
	struct epoll_event e = { .events = want, .data.ptr = c };
	if (epoll_ctl(c->plane->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) == 0)
		c->interest = want;
}

static void conn_arrive(struct plane *p, void *data)
{
	struct conn *c = data;
	c->move_to = NULL;
	c->plane = p;
	bool upgraded = c->state == CONN_STATE_UPGRADED;
	bool stays = !p->stopping && join_plane(c, p);
	if (stays)
		plane_mark_dirty(p, c);
	if (upgraded)
		c->protocol->moved(c->protocol_data, stays);
	if (!stays) {
		if (upgraded)
			c->protocol->gone(c->protocol_data);
		close(c->fd);
		g_atomic_int_add(&p->http->n_connections, -1);
		http_count(p->http, p->http->m_connections, -1);
		conn_charge(c, 0);
		c->state = CONN_STATE_DEAD;
		conn_free(c);
		return;
	}
	if (!upgraded)
		routes_dispatch(c);
}

void conn_move(struct conn *c, struct plane *to)
{
	c->move_to = to;
	plane_mark_dirty(c->plane, c);
}

void conn_settle(struct conn *c)
{
	/* Each turn takes input, so it ends; not turning again would leave input that no event
	 * tells of. */
	do {
		resume_input(c);
		if (c->state != CONN_STATE_DEAD && (c->out.len || c->state == CONN_STATE_CLOSING))
			conn_flush(c);
		if (c->state == CONN_STATE_BUSY && !conn_unsent(c) && c->waiter &&
		    c->waiter->drained)
			c->waiter->drained(c->waiter_data);
		if (c->state == CONN_STATE_UPGRADED)
			c->protocol->settle(c->protocol_data);
	} while (takes_input(c) && c->in.len);
	/* The client closed its side: nobody waits for what is not being sent already. */
	if (c->eof && (c->state == CONN_STATE_BUSY || c->state == CONN_STATE_UPGRADED ||
		       (c->state == CONN_STATE_READING && !conn_unsent(c))))
		conn_close(c);
	else if (c->state == CONN_STATE_READING && c->eof)
		c->state = CONN_STATE_CLOSING;
	if (c->state == CONN_STATE_READING && c->plane->draining && !c->framer && !conn_unsent(c))
		conn_close(c);
	if (c->state == CONN_STATE_DEAD)
		return;
	if (c->move_to && (c->state == CONN_STATE_BUSY || c->state == CONN_STATE_UPGRADED)) {
		if (c->dirty) /* its protocol has written: this plane is not done with it */
			return;
		leave_plane(c);
		plane_post(c->move_to, conn_arrive, c);
		return;
	}
	watch(c);
	plane_set_due(c->plane, c, deadline(c));
}

void conn_events(struct conn *c, uint32_t events)
{
	if (c->state == CONN_STATE_DEAD)
		return;
	plane_mark_dirty(c->plane, c);
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(c);
		return;
	}
	if (c->state == CONN_STATE_LINGER) {
		linger(c);
		return;
	}
	if (events & EPOLLIN)
		read_input(c);
	/* With input waiting, the end behind it is seen by read(): what came before is answered. */
	if ((events & EPOLLRDHUP) && !(events & EPOLLIN))
		c->eof = true;
	else if ((events & EPOLLRDHUP) && c->state == CONN_STATE_BUSY)
		c->eof = true;
}

void conn_timeout(struct conn *c)
{
	const struct http *h = c->plane->http;
	plane_mark_dirty(c->plane, c);
	if (conn_unsent(c)) {
		if (c->plane->now_ms < c->t_progress + h->config.write_timeout_ms)
			return;
		http_count(h, h->m_stalled, 1);
		conn_close(c);
	} else if (c->state == CONN_STATE_UPGRADED) {
		c->protocol->timeout(c->protocol_data);
	} else if (c->state == CONN_STATE_BUSY) {
		if (c->waiter && c->waiter->ping)
			c->waiter->ping(c->waiter_data);
	} else if (c->state == CONN_STATE_READING && (c->framer || c->body_seen)) {
		conn_refuse(c, 408,
			    c->body_seen ? "the request body did not come in time"
					 : "the request head did not come in time");
	} else {
		conn_close(c);
	}
}

void conn_wait(struct conn *c, const struct conn_waiter *waiter, void *data)
{
	c->waiter = waiter;
	c->waiter_data = data;
}

void conn_upgrade(struct conn *c, const struct conn_protocol *protocol, void *data)
{
	g_assert(c->state == CONN_STATE_BUSY && c->handled);
	routes_count(c, 101);
	c->waiter = NULL;
	http_request_free(g_steal_pointer(&c->req));
	conn_charge(c, 0);
	c->route = NULL;
	c->state = CONN_STATE_UPGRADED;
	c->protocol = protocol;
	c->protocol_data = data;
	plane_mark_dirty(c->plane, c);
}

void conn_shut(struct conn *c)
{
	c->state = CONN_STATE_CLOSING;
	conn_charge(c, 0);
	plane_mark_dirty(c->plane, c);
	c->protocol->gone(c->protocol_data);
}

void conn_finish(struct conn *c, int status)
{
	g_assert(c->state == CONN_STATE_BUSY);
	routes_count(c, status);
	c->waiter = NULL;
	if (c->streaming)
		http_count(c->plane->http, c->plane->http->m_streams, -1);
	c->streaming = false;
	http_request_free(g_steal_pointer(&c->req));
	framer_free(g_steal_pointer(&c->framer));
	c->body_seen = false;
	conn_charge(c, 0);
	c->route = NULL;
	c->t_phase = c->plane->now_ms;
	c->state = c->keep_alive && !c->plane->draining ? CONN_STATE_READING : CONN_STATE_CLOSING;
	plane_mark_dirty(c->plane, c);
}
