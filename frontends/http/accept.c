/*
 * frontends/http/accept.c - see accept.h.
 */
#include "accept.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "conn.h"

#define BACKLOG           4096
#define ACCEPTS_A_VISIT   64
#define OUT_OF_FDS_MS     100
#define NOTSENT_LOWAT     16384
#define KEEPALIVE_IDLE_S  60
#define KEEPALIVE_EVERY_S 15
#define MAX_TOLD          64 /* connections above the limit that get a 503 */

static int fail(struct weir_error *err, const char *address, const char *what)
{
	err->code = WEIR_E_UNAVAILABLE;
	g_strlcpy(err->param, "listen", sizeof(err->param));
	g_snprintf(err->text, sizeof(err->text), "http: cannot listen on %s: %s", address, what);
	return -1;
}

/* Of an errno: what it means here, and what to do. */
static const char *why(int e)
{
	switch (e) {
	case EADDRINUSE:
		return "Address already in use; another program has this port: stop it or choose "
		       "another one";
	case EACCES:
		return "Permission denied; ports below 1024 are root's: choose a higher one";
	case EADDRNOTAVAIL:
		return "this machine has no such address; 127.0.0.1 is for this machine only, "
		       "0.0.0.0 for all of its networks";
	default:
		return g_strerror(e);
	}
}

static void set_option(int fd, int level, int name, int value)
{
	(void)setsockopt(fd, level, name, &value, sizeof(value)); /* a wish: works without it */
}

static int bind_one(const struct addrinfo *a, bool share)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (share)
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	/* Connections inherit these. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

/* "host:port", "[v6]:port", ":port", "*:port" */
static struct addrinfo *resolve(const char *address, struct weir_error *err)
{
	g_autofree char *host = g_strdup(address);
	char *colon = strrchr(host, ':');
	if (!colon || !colon[1]) {
		fail(err, address, "a port is missing: write host:port, like 127.0.0.1:8000");
		return NULL;
	}
	if (g_str_has_prefix(address, "unix:")) {
		fail(err, address,
		     "HTTP is spoken over TCP here: write host:port; the line frontend listens on "
		     "unix sockets");
		return NULL;
	}
	/* getaddrinfo() takes the port modulo 65536. */
	if (!g_ascii_string_to_unsigned(colon + 1, 10, 0, UINT16_MAX, NULL, NULL)) {
		fail(err, address, "a port is a number from 1 to 65535, or 0 for a free one");
		return NULL;
	}
	*colon = 0;
	char *name = host;
	if (name[0] == '[' && colon > name && colon[-1] == ']') {
		colon[-1] = 0;
		name++;
	}
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	bool any = !name[0] || strcmp(name, "*") == 0;
	if (any)
		hints.ai_family = AF_INET;
	int e = getaddrinfo(any ? NULL : name, colon + 1, &hints, &list);
	if (e)
		fail(err, address, gai_strerror(e));
	return e ? NULL : list;
}

static uint16_t *port_of(struct sockaddr *a)
{
	return a->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)a)->sin6_port
					: &((struct sockaddr_in *)a)->sin_port;
}

/* One address for every plane. Sharing a port hides that another program has it, so the first try
 * does not share. */
static int listen_all(struct http *h, const char *address, size_t at, struct weir_error *err)
{
	struct addrinfo *list = resolve(address, err);
	if (!list)
		return -1;
	int probe = bind_one(list, false), status = -1;
	struct sockaddr_storage bound = { 0 };
	socklen_t size = sizeof(bound);
	if (probe < 0 || getsockname(probe, (struct sockaddr *)&bound, &size) < 0) {
		fail(err, address, why(errno));
		goto out;
	}
	*port_of(list->ai_addr) = *port_of((struct sockaddr *)&bound);
	if (h->config.n_threads == 1) {
		h->planes[0]->listeners[at].fd = probe;
		probe = -1;
	} else {
		close(probe);
		probe = -1;
		for (uint32_t i = 0; i < h->config.n_threads; i++) {
			int fd = bind_one(list, true);
			if (fd < 0) {
				fail(err, address, why(errno));
				goto out;
			}
			h->planes[i]->listeners[at].fd = fd;
		}
	}
	char host[64] = "?";
	getnameinfo((struct sockaddr *)&bound, size, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	api_logf(&h->api, WEIR_LOG_INFO,
		 strchr(host, ':') ? "listening on %s://[%s]:%u" : "listening on %s://%s:%u",
		 h->config.only_websocket ? "ws" : "http", host,
		 ntohs(*port_of((struct sockaddr *)&bound)));
	status = 0;
out:
	if (probe >= 0)
		close(probe);
	freeaddrinfo(list);
	return status;
}

int accept_bind(const struct http *h, const char *address, const char *what, struct weir_error *err)
{
	struct addrinfo *list = resolve(address, err);
	int fd = list ? bind_one(list, false) : -1;
	struct sockaddr_storage bound = { 0 };
	socklen_t size = sizeof(bound);
	if (list && (fd < 0 || getsockname(fd, (struct sockaddr *)&bound, &size) < 0))
		fail(err, address, why(errno));
	else if (list)
		api_logf(&h->api, WEIR_LOG_INFO, "%s: listening on %u", what,
			 ntohs(*port_of((struct sockaddr *)&bound)));
	if (list)
		freeaddrinfo(list);
	return fd;
}

weir_status plane_listen(struct http *h, struct weir_error *err)
{
	size_t n = g_strv_length(h->config.listen);
	for (uint32_t i = 0; i < h->config.n_threads; i++) {
		struct plane *p = h->planes[i];
		p->listeners = g_new0(struct listener, n);
		p->n_listeners = n;
		for (size_t k = 0; k < n; k++)
			p->listeners[k] = (struct listener){ PLANE_TAG_LISTENER, -1 };
	}
	for (size_t k = 0; k < n; k++)
		if (listen_all(h, h->config.listen[k], k, err) < 0)
			return err->code;
	return WEIR_OK;
}

/* ---- accepting ---- */

static bool watch_listeners(struct plane *p)
{
	for (size_t i = 0; i < p->n_listeners; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &p->listeners[i] };
		if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->listeners[i].fd, &e) < 0)
			return false;
	}
	p->listening = true;
	return true;
}

static void unwatch_listeners(struct plane *p)
{
	for (size_t i = 0; p->listening && i < p->n_listeners; i++)
		epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, p->listeners[i].fd, NULL);
	p->listening = false;
}

bool accept_start(struct plane *p)
{
	p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return p->spare_fd >= 0 && watch_listeners(p);
}

void accept_resume(struct plane *p)
{
	p->accept_at = 0;
	if (p->spare_fd < 0)
		p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!p->draining && !p->listening && !watch_listeners(p))
		p->accept_at = p->now_ms + OUT_OF_FDS_MS;
}

void accept_close(struct plane *p)
{
	unwatch_listeners(p);
	for (size_t i = 0; i < p->n_listeners; i++)
		if (p->listeners[i].fd >= 0)
			close(p->listeners[i].fd);
	p->n_listeners = 0;
}

/* Out of descriptors: the spare one is given up for a moment, so that the client is told by a
 * close instead of waiting in the backlog; then a pause. */
static void out_of_fds(struct plane *p, struct listener *l)
{
	if (p->spare_fd >= 0)
		close(p->spare_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!p->accept_at)
		api_logf(&p->http->api, WEIR_LOG_WARNING,
			 "out of file descriptors with %d connections: raise the limit (ulimit -n)",
			 g_atomic_int_get(&p->http->n_connections));
	http_count(p->http, p->http->m_refused, 1);
	unwatch_listeners(p);
	p->accept_at = p->now_ms + OUT_OF_FDS_MS;
}

/* Over the limit. A few are told and linger like any closed connection, so that the answer is not
 * lost in a reset; those beyond are closed without a word. */
static void refuse(struct plane *p, int fd, const struct sockaddr_storage *peer, uint32_t n)
{
	http_count(p->http, p->http->m_refused, 1);
	struct conn *c =
		n < p->http->config.max_connections + MAX_TOLD ? conn_new(p, fd, peer) : NULL;
	if (!c) {
		g_atomic_int_add(&p->http->n_connections, -1);
		close(fd);
		return;
	}
	http_count(p->http, p->http->m_connections, 1);
	conn_refuse(c, 503, "too many connections");
}

void accept_connections(struct plane *p, struct listener *l)
{
	for (int i = 0; i < ACCEPTS_A_VISIT && p->listening; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t size = sizeof(peer);
		int fd = accept4(l->fd, (struct sockaddr *)&peer, &size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				out_of_fds(p, l);
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return;
		}
		int n = g_atomic_int_add(&p->http->n_connections, 1);
		if ((uint32_t)n >= p->http->config.max_connections) {
			refuse(p, fd, &peer, (uint32_t)n);
		} else if (!conn_new(p, fd, &peer)) {
			g_atomic_int_add(&p->http->n_connections, -1);
			close(fd);
		} else {
			http_count(p->http, p->http->m_connections, 1);
		}
	}
}
