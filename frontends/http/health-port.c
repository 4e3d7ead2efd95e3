/*
 * frontends/http/health-port.c - see health-port.h. One poll loop; a connection brings one request,
 * and is closed with its answer.
 */
#include "health-port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#include "accept.h"

#define MAX_CLIENTS   64
#define MAX_LISTENERS 8
#define CLIENT_MS     5000

struct client {
	int fd; /* -1: free */
	int64_t due_ms;
	struct framer *framer;
};

struct health_port {
	const struct http *http;
	GThread *thread;
	int stop_fd;
	int listeners[MAX_LISTENERS];
	unsigned n_listeners;
	struct client clients[MAX_CLIENTS];
};

static const struct frame_limits limits = {
	.max_line = 4096, .max_head = 16384, .max_body = 4096, .max_headers = 64
};

static int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

static void drop(struct client *c)
{
	framer_free(g_steal_pointer(&c->framer));
	close(c->fd);
	c->fd = -1;
}

static void answer(struct client *c, int status, const char *type, const char *body)
{
	struct buf b = { NULL, 0, 0 };
	buf_printf(&b,
		   "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n%s",
		   status, api_status_text(status), type, strlen(body), body);
	/* A fresh socket takes these few bytes; a peer that does not is dropped. */
	ssize_t n = send(c->fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n;
	shutdown(c->fd, SHUT_WR);
	buf_free(&b);
	drop(c);
}

static void answer_error(struct client *c, int status, const char *text)
{
	struct api_error e;
	struct buf b = { NULL, 0, 0 };
	api_error_set(&e, status, NULL, text);
	api_error_body(&b, &e, 1, API_PROFILE_OPENAI);
	answer(c, status, "application/json", buf_terminate(&b));
	buf_free(&b);
}

static void answer_health(const struct http *h, struct client *c)
{
	const struct weir_status_api *s = h->status;
	const char *state = s && s->state ? s->state(h->api.host) : "ready";
	char *text = s && s->document ? s->document(h->api.host, WEIR_STATUS_HEALTH) : NULL;
	g_autofree char *plain = g_strdup_printf("{\"status\":\"%s\"}", state);
	answer(c, strcmp(state, "draining") == 0 ? 503 : 200, "application/json",
	       text ? text : plain);
	free(text);
}

static void respond(const struct http *h, struct client *c, const struct http_request *r)
{
	bool health = strcmp(r->path, "/health") == 0 || strcmp(r->path, "/v1/health") == 0;
	if (strcmp(r->path, "/ping") != 0 && !health)
		answer_error(c, 404, "endpoint not found");
	else if (strcmp(r->method, "GET") != 0)
		answer_error(c, 405, "method not allowed");
	else if (health)
		answer_health(h, c);
	else
		answer(c, 200, "text/plain; charset=utf-8", "pong");
}

static void read_client(const struct http *h, struct client *c)
{
	char bytes[4096];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	framer_feed(c->framer, bytes, (size_t)n);
	if (framer_state(c->framer) == FRAME_STATE_BAD)
		answer_error(c, framer_status(c->framer), framer_reason(c->framer));
	else if (framer_state(c->framer) == FRAME_STATE_DONE)
		respond(h, c, framer_peek(c->framer));
}

static void accept_client(struct health_port *p, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct client *oldest = &p->clients[0];
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *c = &p->clients[i];
		if (c->fd < 0 || (oldest->fd >= 0 && c->due_ms < oldest->due_ms))
			oldest = c;
	}
	if (oldest->fd >= 0)
		drop(oldest); /* whoever waits longest makes room: a probe always gets in */
	*oldest = (struct client){ fd, now_ms() + CLIENT_MS, framer_new(&limits) };
}

static gpointer thread_main(gpointer data)
{
	struct health_port *p = data;
	for (;;) {
		struct pollfd fds[1 + MAX_LISTENERS + MAX_CLIENTS] = { { p->stop_fd, POLLIN, 0 } };
		struct client *of[MAX_CLIENTS];
		unsigned n = 1, n_clients = 0;
		for (unsigned i = 0; i < p->n_listeners; i++)
			fds[n++] = (struct pollfd){ p->listeners[i], POLLIN, 0 };
		for (int i = 0; i < MAX_CLIENTS; i++) {
			if (p->clients[i].fd >= 0 && p->clients[i].due_ms < now_ms())
				drop(&p->clients[i]);
			if (p->clients[i].fd < 0)
				continue;
			of[n_clients++] = &p->clients[i];
			fds[n++] = (struct pollfd){ p->clients[i].fd, POLLIN, 0 };
		}
		if (poll(fds, n, n_clients ? 1000 : -1) < 0 && errno != EINTR)
			g_usleep(100000); /* out of kernel memory: try again */
		if (fds[0].revents)
			return NULL;
		unsigned first = 1 + p->n_listeners;
		for (unsigned i = 0; i < n_clients; i++)
			if (fds[first + i].revents)
				read_client(p->http, of[i]);
		for (unsigned i = 1; i < first; i++)
			if (fds[i].revents)
				accept_client(p, fds[i].fd);
	}
}

weir_status health_port_start(const struct http *h, struct health_port **ret,
			      struct weir_error *err)
{
	char **listen = h->config.health_listen;
	if (!listen) {
		*ret = NULL;
		return WEIR_OK;
	}
	struct health_port *p = g_new0(struct health_port, 1);
	weir_status status = WEIR_OK;
	p->http = h;
	for (int i = 0; i < MAX_CLIENTS; i++)
		p->clients[i].fd = -1;
	p->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (char **l = listen; *l && status == WEIR_OK; l++) {
		int fd = p->n_listeners < MAX_LISTENERS ? accept_bind(h, *l, "health port", err)
							: -1;
		if (fd >= 0) {
			p->listeners[p->n_listeners++] = fd;
			continue;
		}
		status = p->n_listeners < MAX_LISTENERS ? err->code : WEIR_E_INVALID;
		err->code = status;
		g_strlcpy(err->param, "health_listen", sizeof(err->param));
		if (p->n_listeners == MAX_LISTENERS)
			g_strlcpy(err->text, "http: too many addresses", sizeof(err->text));
	}
	if (status != WEIR_OK) {
		health_port_stop(p);
		return status;
	}
	p->thread = g_thread_new("weir-health", thread_main, p);
	*ret = p;
	return WEIR_OK;
}

void health_port_stop(struct health_port *p)
{
	if (!p)
		return;
	uint64_t one = 1;
	if (p->thread && write(p->stop_fd, &one, sizeof(one)) == sizeof(one))
		g_thread_join(p->thread);
	for (unsigned i = 0; i < p->n_listeners; i++)
		close(p->listeners[i]);
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (p->clients[i].fd >= 0)
			drop(&p->clients[i]);
	close(p->stop_fd);
	g_free(p);
}
