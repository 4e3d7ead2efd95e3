/*
 * bench-http.c - the client of the HTTP benchmarks: one thread, one epoll descriptor. It sends chat
 * requests and prints one JSON object with what it has seen; serving.py runs it against the server
 * and against the bare limit in turns.
 *
 *     bench-http streams PORT N SECONDS    N streams at once; each content is a due time (ns)
 *     bench-http websocket PORT N SECONDS PER
 *                                          the same over WebSockets, PER streams on each
 *     bench-http ttft PORT N               N requests in a row: head sent to first content
 *     bench-http posts PORT N SECONDS      N connections, 1 KB each, answers a second
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
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES (1u << 22)

struct conn {
	int fd;
	int64_t sent_ns;
	size_t have;
	char in[8192];
};

struct samples {
	float *us;
	size_t n;
};

static char streaming[2048], plain[2048];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A body of about a kilobyte, as chats are. */
static void make_requests(int port)
{
	char text[800], body[1200];

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 5; i < sizeof(text) - 1; i += 6)
		text[i] = ' ';
	text[sizeof(text) - 1] = '\0';
	for (int stream = 0; stream < 2; stream++) {
		int n = snprintf(
			body, sizeof(body),
			"{\"model\":\"echo\",%s\"temperature\":0.7,\"messages\":[{\"role\":"
			"\"system\",\"content\":\"%s\"},{\"role\":\"user\",\"content\":\"hi\"}]}",
			stream ? "\"stream\":true," : "", text);
		snprintf(stream ? streaming : plain, 2048,
			 "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
			 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			 port, n, body);
	}
}

static struct conn *dial(int epoll, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	if (!c)
		die("calloc");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
	return c;
}

static void ask(struct conn *c, const char *request)
{
	size_t n = strlen(request);

	c->sent_ns = now_ns();
	if (send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
}

static bool fill(struct conn *c)
{
	ssize_t got = recv(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have, MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		fprintf(stderr, "the server closed a connection: %.300s\n", c->in);
		exit(1);
	}
	if (got > 0)
		c->have += (size_t)got;
	c->in[c->have] = '\0';
	return got > 0;
}

static void sample(struct samples *s, int64_t ns)
{
	if (s->n < MAX_SAMPLES)
		s->us[s->n++] = (float)ns / 1000;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double percentile(const struct samples *s, double p)
{
	size_t at = (size_t)(p * (double)(s->n ? s->n - 1 : 0));

	return s->n ? (double)s->us[at] : 0;
}

static size_t end_of(const struct conn *c, const char *from)
{
	return from < c->in + c->have ? (size_t)(c->in + c->have - from) : 0;
}

/* Frames in the buffer: their number; due times become samples when wanted. */
static size_t take_frames(struct conn *c, int64_t now, struct samples *s)
{
	static const char mark[] = "\"content\":\"";
	char *at = c->in, *p, *last = c->in;
	size_t n = 0;

	/* The heads of frames may hold any byte. */
	while ((p = memmem(at, end_of(c, at), mark, sizeof(mark) - 1)) != NULL &&
	       memchr(p + sizeof(mark), '"', end_of(c, p + sizeof(mark)))) {
		int64_t due = strtoll(p + sizeof(mark) - 1, NULL, 10);

		if (due > 0) {
			n++;
			if (s)
				sample(s, now - due);
		}
		at = last = p + sizeof(mark);
	}
	/* A mark may be cut: its beginning is kept. */
	p = p ? p : (c->have > 40 ? c->in + c->have - 40 : c->in);
	if (p < last)
		p = last;
	c->have -= (size_t)(p - c->in);
	memmove(c->in, p, c->have + 1);
	return n;
}

static void open_websocket(struct conn *c, int port)
{
	char head[300];

	snprintf(head, sizeof(head),
		 "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
		 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		 port);
	ask(c, head);
}

/* One more stream: a masked frame; a mask of zeros changes nothing. */
static void ask_websocket(struct conn *c, int number)
{
	char frame[2048];
	size_t n = (size_t)snprintf(frame + 8, sizeof(frame) - 8,
				    "{\"type\":\"chat.create\",\"id\":\"stream-%d\",\"body\":%s}",
				    number, strstr(streaming, "\r\n\r\n") + 4);

	frame[0] = (char)0x81;
	frame[1] = (char)(0x80 | 126);
	frame[2] = (char)(n >> 8);
	frame[3] = (char)n;
	memset(frame + 4, 0, 4);
	if (send(c->fd, frame, n + 8, MSG_NOSIGNAL) != (ssize_t)n + 8)
		die("send");
}

/* per 0: each stream is a request of its own connection; else so many share a WebSocket. */
static int run_streams(int epoll, int port, int n, double seconds, int per)
{
	struct conn *shared = NULL;
	struct samples s = { calloc(MAX_SAMPLES, sizeof(float)), 0 };
	int64_t begin, from, until;
	uint64_t frames = 0;
	double opening;
	int n_open = 0;

	begin = now_ns();
	/* Two seconds to open 5,000 of them, then one to settle. */
	opening = (n > 5000 ? n / 2500.0 : 2.0) * 1e9;
	from = begin + (int64_t)opening + 1000000000;
	until = from + (int64_t)(seconds * 1e9);
	while (now_ns() < until) {
		struct epoll_event events[256];
		int64_t now = now_ns();
		int k;

		while (n_open < n && (double)n_open < (double)(now - begin) / opening * n) {
			if (per == 0) {
				ask(dial(epoll, port), streaming);
			} else {
				if (n_open % per == 0)
					open_websocket(shared = dial(epoll, port), port);
				ask_websocket(shared, n_open);
			}
			n_open++;
		}
		k = epoll_wait(epoll, events, 256, 1);
		now = now_ns();
		for (int i = 0; i < k; i++) {
			struct conn *c = events[i].data.ptr;

			while (fill(c)) {
				size_t got = take_frames(c, now, now >= from ? &s : NULL);

				frames += now >= from ? got : 0;
			}
		}
	}
	qsort(s.us, s.n, sizeof(*s.us), by_size);
	printf("{\"streams\": %d, \"tokens\": %llu, \"tokens_per_s\": %.0f, \"late_us_p50\": %.0f, "
	       "\"late_us_p99\": %.0f, \"late_us_max\": %.0f}\n",
	       n_open, (unsigned long long)frames, (double)frames / seconds, percentile(&s, 0.5),
	       percentile(&s, 0.99), percentile(&s, 1));
	free(s.us);
	return 0;
}

/* Contents are clocks: the first one is not empty, as that of the role's event is. */
static bool has_content(const char *in)
{
	static const char name[] = "\"content\":\"";
	const char *at = in;

	while ((at = strstr(at, name))) {
		at += sizeof(name) - 1;
		if (*at >= '0' && *at <= '9')
			return true;
	}
	return false;
}

static int run_ttft(int epoll, int port, int n)
{
	struct samples s = { calloc(MAX_SAMPLES, sizeof(float)), 0 };

	for (int i = 0; i < n; i++) {
		struct conn *c = dial(epoll, port);
		struct epoll_event e;

		usleep(500);
		ask(c, streaming);
		while (!has_content(c->in))
			if (epoll_wait(epoll, &e, 1, 5000) == 1)
				(void)fill(c);
		sample(&s, now_ns() - c->sent_ns);
		close(c->fd);
		free(c);
	}
	qsort(s.us, s.n, sizeof(*s.us), by_size);
	printf("{\"requests\": %d, \"ttft_us_p50\": %.1f, \"ttft_us_p99\": %.1f}\n", n,
	       percentile(&s, 0.5), percentile(&s, 0.99));
	free(s.us);
	return 0;
}

/* One whole answer at the buffer's beginning, taken out. */
static bool take_answer(struct conn *c)
{
	char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length:");
	size_t all;

	if (!end || !length)
		return false;
	all = (size_t)(end + 4 - c->in) + strtoul(length + 15, NULL, 10);
	if (c->have < all)
		return false;
	if (strncmp(c->in, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "an answer that is none: %.300s\n", c->in);
		exit(1);
	}
	c->have -= all;
	memmove(c->in, c->in + all, c->have + 1);
	return true;
}

static int run_posts(int epoll, int port, int n, double seconds)
{
	struct samples s = { calloc(MAX_SAMPLES, sizeof(float)), 0 };
	int64_t from = now_ns() + 500000000, until = from + (int64_t)(seconds * 1e9);
	uint64_t answers = 0;

	for (int i = 0; i < n; i++)
		ask(dial(epoll, port), plain);
	while (now_ns() < until) {
		struct epoll_event events[64];
		int k = epoll_wait(epoll, events, 64, 100);

		for (int i = 0; i < k; i++) {
			struct conn *c = events[i].data.ptr;

			if (!fill(c) || !take_answer(c))
				continue;
			if (now_ns() >= from) {
				answers++;
				sample(&s, now_ns() - c->sent_ns);
			}
			ask(c, plain);
		}
	}
	qsort(s.us, s.n, sizeof(*s.us), by_size);
	printf("{\"connections\": %d, \"answers_per_s\": %.0f, \"us_p50\": %.0f, \"us_p99\": "
	       "%.0f}\n",
	       n, (double)answers / seconds, percentile(&s, 0.5), percentile(&s, 0.99));
	free(s.us);
	return 0;
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), port = argc > 2 ? atoi(argv[2]) : 0;
	int n = argc > 3 ? atoi(argv[3]) : 0;
	double seconds = argc > 4 ? atof(argv[4]) : 0;
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	make_requests(port);
	if (argc == 5 && strcmp(argv[1], "streams") == 0 && n > 0 && seconds > 0)
		return run_streams(epoll, port, n, seconds, 0);
	if (argc == 6 && strcmp(argv[1], "websocket") == 0 && n > 0 && seconds > 0 &&
	    atoi(argv[5]) > 0)
		return run_streams(epoll, port, n, seconds, atoi(argv[5]));
	if (argc == 4 && strcmp(argv[1], "ttft") == 0 && n > 0)
		return run_ttft(epoll, port, n);
	if (argc == 5 && strcmp(argv[1], "posts") == 0 && n > 0 && seconds > 0)
		return run_posts(epoll, port, n, seconds);
	fprintf(stderr,
		"usage: %s streams PORT N SECONDS | websocket PORT N SECONDS PER | ttft PORT N |\n"
		"       posts PORT N SECONDS\n",
		argv[0]);
	return 2;
}
