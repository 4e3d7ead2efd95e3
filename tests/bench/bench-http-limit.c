/*
 * bench-http-limit.c - the bare limit that the HTTP frontend is compared with: one thread, one
 * epoll descriptor, nothing parsed but the head's end and its Content-Length. A POST whose body
 * holds
 * `"stream":true` becomes a stream of chunks like ours, `rate` a second, each with the time at
 * which it was due; any other gets a fixed answer. A head that asks for a WebSocket makes one, each
 * of whose frames begins a stream of messages like ours. Never leaves the loop; ended by a signal.
 *
 *     bench-http-limit PORT RATE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define GROUPS 64 /* streams are spread over the ticks of one interval */

struct stream {
	struct conn *conn;
	struct stream *next, **prev; /* of its group; prev NULL: there is none */
	struct stream *others;       /* of the connection */
};

struct conn {
	int fd;
	bool websocket;
	size_t have;
	struct stream first;
	char in[4096];
};

static struct stream *groups[GROUPS];
static unsigned n_streams;

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
			   "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char chunk[] =
	"data: {\"id\":\"chatcmpl-0123456789abcdef01234567\",\"object\":\"chat.completion.chunk\","
	"\"created\":1700000000,\"model\":\"echo\",\"system_fingerprint\":\"weir-0.1.0\","
	"\"choices\":"
	"[{\"index\":0,\"delta\":{\"content\":\"%lld "
	"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			      "Connection: Upgrade\r\n" /* for RFC 6455's example key */
			      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char answer[] =
	"{\"id\":\"chatcmpl-0123456789abcdef01234567\",\"object\":\"chat.completion\",\"created\":"
	"1700000000,\"model\":\"echo\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
	"\"assistant\","
	"\"content\":\"fixed\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
	"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}";

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void drop(struct conn *c)
{
	for (struct stream *s = &c->first, *others; s; s = others) {
		others = s->others;
		if (s->prev) {
			*s->prev = s->next;
			if (s->next)
				s->next->prev = s->prev;
		}
		if (s != &c->first)
			free(s);
	}
	close(c->fd);
	free(c);
}

static void put(struct conn *c, const char *data, size_t n)
{
	/* What the kernel does not take is lost: the limit has no slow readers. */
	if (send(c->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		shutdown(c->fd, SHUT_RDWR);
}

static size_t make_chunk(char *out, size_t cap, int64_t due)
{
	char body[512];
	int n = snprintf(body, sizeof(body), chunk, (long long)due);

	return (size_t)snprintf(out, cap, "%x\r\n%s\r\n", (unsigned)n, body);
}

/* The same as a WebSocket's message. */
static size_t make_frame(char *out, int64_t due)
{
	char *json = out + 4;
	int n = sprintf(json, "{\"type\":\"chunk\",\"id\":\"stream-0\",\"seq\":1000,\"data\":");

	n += sprintf(json + n, chunk + sizeof("data: ") - 1, (long long)due) - 2;
	json[n++] = '}';
	out[0] = (char)0x81;
	out[1] = 126;
	out[2] = (char)(n >> 8);
	out[3] = (char)n;
	return (size_t)n + 4;
}

static void begin_stream(struct conn *c)
{
	struct stream **at = &groups[n_streams++ % GROUPS], *s = &c->first;
	char out[1024];
	size_t n = 0;

	if (s->prev) {
		s = calloc(1, sizeof(*s));
		s->others = c->first.others;
		c->first.others = s;
	}
	if (c->websocket) {
		n = make_frame(out, now_ns());
	} else {
		memcpy(out, head, sizeof(head) - 1);
		n = sizeof(head) - 1 + make_chunk(out + sizeof(head) - 1, 600, now_ns());
	}
	put(c, out, n);
	s->conn = c;
	s->next = *at;
	s->prev = at;
	if (s->next)
		s->next->prev = &s->next;
	*at = s;
}

/* Whole frames are taken, whatever is in them; those of bench-http have two bytes of length. */
static bool read_frames(struct conn *c)
{
	for (;;) {
		const unsigned char *in = (const unsigned char *)c->in;
		size_t all = c->have < 4 ? 4 : 8u + ((size_t)in[2] << 8 | in[3]);

		if (c->have < all)
			return all < sizeof(c->in);
		begin_stream(c);
		memmove(c->in, c->in + all, c->have - all);
		c->have -= all;
	}
}

/* False: the connection is over. */
static int read_requests(struct conn *c)
{
	ssize_t got = recv(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have, MSG_DONTWAIT);
	char out[1024];

	if (got <= 0)
		return got < 0 && errno == EAGAIN;
	c->have += (size_t)got;
	while (!c->websocket) {
		char *end = memmem(c->in, c->have, "\r\n\r\n", 4), *length;
		size_t all;

		c->in[c->have] = '\0';
		if (!end)
			return c->have < sizeof(c->in) - 1;
		length = strcasestr(c->in, "content-length:");
		all = (size_t)(end + 4 - c->in) +
		      (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
		if (c->have < all)
			return all < sizeof(c->in);
		if (strstr(c->in, "\"stream\":true")) {
			begin_stream(c);
		} else if (strcasestr(c->in, "upgrade: websocket")) {
			put(c, upgrade, sizeof(upgrade) - 1);
			c->websocket = true;
		} else {
			int n = snprintf(out, sizeof(out),
					 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
					 "Content-Length: %zu\r\n\r\n%s",
					 sizeof(answer) - 1, answer);
			put(c, out, (size_t)n);
		}
		memmove(c->in, c->in + all, c->have - all);
		c->have -= all;
	}
	return read_frames(c);
}

static void accept_all(int epoll, int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };

		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	}
}

static void tick(int timer, int64_t start, int64_t gap)
{
	static int64_t n;
	uint64_t ignored;
	char out[600], frame[600];

	if (read(timer, &ignored, sizeof(ignored)) < 0)
		return;
	for (; start + n * gap <= now_ns(); n++) {
		size_t len = make_chunk(out, sizeof(out), start + n * gap);
		size_t frame_len = make_frame(frame, start + n * gap);

		for (struct stream *s = groups[n % GROUPS]; s; s = s->next)
			if (s->conn->websocket)
				put(s->conn, frame, frame_len);
			else
				put(s->conn, out, len);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1;
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event listening = { .events = EPOLLIN, .data.ptr = &listening };
	struct epoll_event ticking = { .events = EPOLLIN, .data.ptr = &ticking };
	struct itimerspec every = { 0 };
	struct rlimit files;
	int64_t gap, start;

	if (argc != 3 || atoi(argv[1]) <= 0 || atof(argv[2]) <= 0) {
		fprintf(stderr, "usage: %s PORT RATE\n", argv[0]);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	gap = (int64_t)(1e9 / atof(argv[2]) / GROUPS);
	every.it_interval.tv_nsec = every.it_value.tv_nsec = gap;
	timerfd_settime(timer, 0, &every, NULL);
	start = now_ns();
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	if (bind(listener, (struct sockaddr *)&to, sizeof(to)) < 0 || listen(listener, 4096) < 0) {
		perror("listen");
		return 1;
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
	epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &ticking);
	for (;;) {
		struct epoll_event events[256];
		int n = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (events[i].data.ptr == &listening)
				accept_all(epoll, listener);
			else if (events[i].data.ptr == &ticking)
				tick(timer, start, gap);
			else if (events[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP) ||
				 !read_requests(c))
				drop(c);
		}
	}
}
