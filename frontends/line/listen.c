/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/listen.c - addresses, listening sockets and accepting.
 *
 * Neither a connection too many nor a lack of descriptors ends listening: the first is told, the
 * second is closed with the help of a spare descriptor, and accepting pauses for a moment. A unix
 * socket is never wider than socket_mode, not even for a moment; one that another process listens
 * on is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "peer.h"

#define BACKLOG          1024
#define ACCEPTS_A_VISIT  64
#define OUT_OF_FDS_MS    100
#define MAX_TOLD         64 /* connections above the limit that are told why */
#define KEEPALIVE_IDLE_S 60

static weir_status fail(struct weir_error *err, const char *address, const char *what)
{
	err->code = WEIR_E_UNAVAILABLE;
	g_strlcpy(err->param, "listen", sizeof(err->param));
	g_snprintf(err->text, sizeof(err->text), "line: cannot listen on %s: %s", address, what);
	return err->code;
}

static const char *why(int e)
{
	switch (e) {
	case EADDRINUSE:
		return "another program has this port: stop it or choose another one";
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

/* ---- TCP ---- */

static int bind_tcp(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* Connections inherit these. */
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

static void tell_tcp(const struct line *line, int fd)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t size = sizeof(bound);
	char host[64] = "?", port[16] = "?";
	if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
		getnameinfo((struct sockaddr *)&bound, size, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	api_logf(&line->api, WEIR_LOG_INFO,
		 strchr(host, ':') ? "listening on [%s]:%s" : "listening on %s:%s", host, port);
}

/* "host:port", "[v6]:port", ":port", "*:port" */
static weir_status open_tcp(struct line *line, const char *address, struct listener *l,
			    struct weir_error *err)
{
	g_autofree char *copy = g_strdup(address);
	char *name = copy, *colon = strrchr(copy, ':');
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	if (!colon || !colon[1])
		return fail(err, address, "write host:port, unix:/path/of/socket, or stdio");
	/* getaddrinfo() takes the port modulo 65536. */
	if (!g_ascii_string_to_unsigned(colon + 1, 10, 0, UINT16_MAX, NULL, NULL))
		return fail(err, address,
			    "a port is a number from 1 to 65535, or 0 for a free one");
	*colon = 0;
	if (name[0] == '[' && colon[-1] == ']') {
		colon[-1] = 0;
		name++;
	}
	bool any = !name[0] || strcmp(name, "*") == 0;
	if (any)
		hints.ai_family = AF_INET;
	int e = getaddrinfo(any ? NULL : name, colon + 1, &hints, &list);
	if (e)
		return fail(err, address, gai_strerror(e));
	l->fd = bind_tcp(list);
	l->is_tcp = true;
	e = errno;
	freeaddrinfo(list);
	if (l->fd < 0)
		return fail(err, address, why(e));
	tell_tcp(line, l->fd);
	return WEIR_OK;
}

/* ---- unix sockets ---- */

/* What lies at the path is removed if it is a socket that nobody listens on. NULL: the path is
 * free. */
static const char *clear_path(const struct sockaddr_un *a)
{
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? NULL : g_strerror(errno);
	if (!S_ISSOCK(st.st_mode))
		return "something else than a socket is there: remove it or choose another path";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return g_strerror(errno);
	bool dead =
		connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED;
	close(fd);
	if (!dead)
		return "another process listens there: stop it or choose another path";
	return unlink(a->sun_path) < 0 && errno != ENOENT ? g_strerror(errno) : NULL;
}

static int bind_unix(const struct sockaddr_un *a, uint32_t mode)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* bind() makes the file with the mode of the socket, less umask; chmod() adds the rest. */
	if (fchmod(fd, mode) == 0 && bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 &&
	    chmod(a->sun_path, mode) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int e = errno;
	close(fd);
	errno = e;
	return -1;
}

static weir_status open_unix(struct line *line, const char *path, struct listener *l,
			     struct weir_error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct stat st;
	if (!path[0] || strlen(path) >= sizeof(a.sun_path))
		return fail(err, path[0] ? path : "unix:",
			    "a path of 1 to 107 bytes is expected behind unix:");
	memcpy(a.sun_path, path, strlen(path));
	const char *obstacle = clear_path(&a);
	if (obstacle)
		return fail(err, path, obstacle);
	l->fd = bind_unix(&a, line->config.socket_mode);
	if (l->fd < 0)
		return fail(err, path, g_strerror(errno));
	if (lstat(path, &st) == 0) {
		l->path = g_strdup(path);
		l->device = st.st_dev;
		l->inode = st.st_ino;
	}
	api_logf(&line->api, WEIR_LOG_INFO, "listening on unix:%s", path);
	return WEIR_OK;
}

static void remove_path(struct listener *l)
{
	struct stat st;
	/* Somebody may have put their own there meanwhile. */
	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
	g_clear_pointer(&l->path, g_free);
}

/* ---- inherited sockets ---- */

static weir_status open_inherited(struct line *line, const char *address, struct weir_error *err)
{
	guint64 number;
	int type, kept;
	socklen_t size = sizeof(type);
	if (!g_ascii_string_to_unsigned(address + 3, 10, 3, 1u << 20, &number, NULL))
		return fail(err, address, "the number of a descriptor, from 3, is expected");
	if (getsockopt((int)number, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
		return fail(err, address, "it is no connected socket of whoever started this");
	kept = fcntl((int)number, F_DUPFD_CLOEXEC, 3);
	if (kept < 0)
		return fail(err, address, g_strerror(errno));
	if (!line->inherited)
		line->inherited = g_array_new(FALSE, FALSE, sizeof(int));
	g_array_append_val(line->inherited, kept);
	fcntl((int)number, F_SETFD, FD_CLOEXEC);
	return WEIR_OK;
}

/* ---- all of them ---- */

weir_status listen_open(struct line *line, struct weir_error *err)
{
	size_t n = g_strv_length(line->config.listen);
	line->listeners = g_new0(struct listener, n);
	for (size_t i = 0; i < n; i++) {
		const char *address = line->config.listen[i];
		struct listener *l = &line->listeners[line->n_listeners];
		if (strcmp(address, "stdio") == 0) {
			line->has_stdio = true;
			continue;
		}
		if (g_str_has_prefix(address, "fd:")) {
			weir_status status = open_inherited(line, address, err);
			if (status < 0)
				return status;
			continue;
		}
		*l = (struct listener){ .tag = LINE_TAG_LISTENER, .fd = -1 };
		weir_status status = g_str_has_prefix(address, "unix:")
					     ? open_unix(line, address + 5, l, err)
					     : open_tcp(line, address, l, err);
		if (status < 0)
			return status;
		line->n_listeners++;
	}
	if (line->has_stdio)
		api_logf(&line->api, WEIR_LOG_INFO, "listening on standard input");
	return WEIR_OK;
}

static void unwatch(struct line *line)
{
	for (size_t i = 0; line->accepting && i < line->n_listeners; i++)
		epoll_ctl(line->epoll_fd, EPOLL_CTL_DEL, line->listeners[i].fd, NULL);
	line->accepting = false;
}

bool listen_watch(struct line *line)
{
	for (size_t i = 0; i < line->n_listeners; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &line->listeners[i] };
		if (epoll_ctl(line->epoll_fd, EPOLL_CTL_ADD, line->listeners[i].fd, &e) < 0)
			return false;
	}
	line->accepting = true;
	return true;
}

void listen_resume(struct line *line)
{
	line->accept_at = 0;
	if (line->spare_fd < 0)
		line->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!line->draining && !line->accepting && !listen_watch(line))
		line->accept_at = line->now_ms + OUT_OF_FDS_MS;
}

void listen_close(struct line *line)
{
	unwatch(line);
	for (size_t i = 0; i < line->n_listeners; i++) {
		close(line->listeners[i].fd);
		remove_path(&line->listeners[i]);
	}
	line->n_listeners = 0;
}

/* The spare descriptor is given up for a moment, so that the client is told by a close instead of
 * waiting in the backlog; then a pause. */
static void out_of_fds(struct line *line, struct listener *l)
{
	if (line->spare_fd >= 0)
		close(line->spare_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	line->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!line->accept_at)
		api_logf(&line->api, WEIR_LOG_WARNING,
			 "out of file descriptors with %u connections: raise the limit (ulimit "
			 "-n)",
			 line->n_peers);
	line_count(line, line->m_refused, 1);
	unwatch(line);
	line->accept_at = line->now_ms + OUT_OF_FDS_MS;
}

static void welcome(struct line *line, const struct listener *l, int fd)
{
	uint32_t max = line->config.max_connections;
	if (line->n_peers >= max)
		line_count(line, line->m_refused, 1);
	if (line->n_peers >= max + MAX_TOLD) {
		close(fd);
		return;
	}
	struct peer *p = peer_new(line, l->is_tcp ? PEER_KIND_TCP : PEER_KIND_UNIX, fd, fd);
	if (p && line->n_peers > max)
		peer_refuse(p, WEIR_E_UNAVAILABLE, "too many connections");
}

void listen_accept(struct line *line, struct listener *l)
{
	for (int i = 0; i < ACCEPTS_A_VISIT && line->accepting; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			welcome(line, l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			out_of_fds(line, l);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}
