/*
 * core/check-fuzz-requests.c - section fuzz of `weir check`: requests with hostile fields for
 * backends and middleware, over the real gateway; hostile bytes for frontends that listen.
 */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check-fuzz.h"
#include "check-rig.h"
#include "request.h"

#define ANSWER_MS 40 /* a frontend has for its answer; it need not give one */

static const struct weir_kv fields[] = {
	{ "messages", "[{\"role\":\"user\",\"content\":\"one two three\"},{\"role\":\"assistant\","
		      "\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
		      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
		      "\"tool_call_id\":\"c\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]" },
	{ "tools", "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"
		   "\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}}]" },
	{ "tool_choice", "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}" },
	{ "template_kwargs", "{\"enable_thinking\":true}" },
	{ "prompt", "Once upon a time" },
	{ "tokens", "[1,2,3,4]" },
	{ "suffix", "the end." },
	{ "files", "[{\"filename\":\"a.c\",\"text\":\"int main(void);\"}]" },
	{ "options", "{\"add_special\":true,\"parse_special\":true,\"with_pieces\":true}" },
	{ "stop", "[\"\\n\",\"STOP\"]" },
	{ "grammar", "{\"type\":\"regex\",\"value\":\"[a-z]{1,5}\"}" },
	{ "parallel_tool_calls", "false" },
	{ "reasoning", "none" },
	{ "adapter", "mine" },
	{ "inputs", "[\"one\",[1,2,3]]" },
	{ "query", "which one?" },
	{ "documents", "[\"this\",\"that\"]" },
	{ "tenant", "somebody" },
	{ "id", "check-1" },
	{ "header.authorization", "Bearer sk-check" },
	{ "header.content-type", "application/json" },
};

/* Fields are UTF-8, NULs and all: the contract of weir/stream.h, which frontends keep. */
static void make_utf8(GString *text)
{
	g_autoptr(GString) from = g_string_new_len(text->str, (gssize)text->len);
	const char *at = from->str, *end = from->str + from->len, *bad;

	g_string_truncate(text, 0);
	while (!g_utf8_validate(at, end - at, &bad)) {
		g_string_append_len(text, at, bad - at);
		g_string_append_c(text, *bad ? '?' : '\0');
		at = bad + 1;
	}
	g_string_append_len(text, at, end - at);
}

static weir_request *random_request(struct weir_check_fuzz *f, struct weir_check_rig *rig)
{
	static const char *const kinds[] = { "chat",       "chat",  "completion", "tokenize",
					     "detokenize", "embed", "rerank",     "nonsense" };
	const struct weir_kv basis[] = {
		{ "model", "check" },
		{ "kind", kinds[g_rand_int_range(f->rand, 0, G_N_ELEMENTS(kinds))] },
	};
	const struct weir_sampling sampling = {
		.size = sizeof(sampling),
		.seed_set = 1,
		.seed = f->seed,
		.temperature = (float)g_rand_int_range(f->rand, 0, 2),
		.top_p = 1,
		.typical_p = 1,
		.repetition_penalty = 1,
		.logprobs = (uint32_t)g_rand_boolean(f->rand),
		.top_logprobs = (uint32_t)g_rand_int_range(f->rand, 0, 21),
	};
	const struct weir_limits limits = {
		.size = sizeof(limits),
		.max_tokens = (uint32_t)g_rand_int_range(f->rand, 1, 7),
		.n = (uint32_t)g_rand_int_range(f->rand, 1, 4),
		.echo = g_rand_int_range(f->rand, 0, 8) == 0,
	};
	weir_request *request = rig->gateway->request_new(&rig->host, basis, G_N_ELEMENTS(basis),
							  &sampling, &limits);
	bool all = g_rand_boolean(f->rand);

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		g_autoptr(GString) value = g_string_new(fields[i].value);

		if (!all && i > 0 && g_rand_int_range(f->rand, 0, 4))
			continue;
		if (g_rand_int_range(f->rand, 0, 4) == 0)
			weir_check_fuzz_text(f, value);
		make_utf8(value);
		(void)weir_request_set_field(request, fields[i].key,
					     (struct weir_str){ value->str, value->len });
	}
	return request;
}

static void fuzz_requests(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_stream one;
	struct weir_check_fuzz f;
	struct weir_error err;

	if (!weir_check_rig_open(&rig, check))
		return;
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		weir_request *request = random_request(&f, &rig);

		weir_check_fuzz_at(&f, "a request of hostile fields");
		weir_status s = weir_check_open(&rig, &one, request, 10000, &err);
		if (s >= 0 && !weir_check_pump(&one, check->patience_s * 1000)) {
			weir_check_fuzz_fail(&f, "a request has no end within %d s",
					     check->patience_s);
			return;
		}
		weir_check_fuzz_judge(&f, "a refused request", s, &err);
		/* What generates nothing may leave STARTED out. */
		bool early = one.started && one.early;
		if (s >= 0 && (one.n_ends != 1 || one.gap || early))
			weir_check_fuzz_fail(&f, "%u ends%s%s", one.n_ends,
					     one.gap ? ", a gap in the numbers of events" : "",
					     early ? ", content before STARTED" : "");
		if (s >= 0 && one.status < 0 && one.error->len == 0)
			weir_check_fuzz_fail(&f, "an end with status %d and no text", one.status);
		weir_check_stream_clear(&one);
	}
	if (!weir_check_going(check))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "a plain request after hostile ones");
	if (!weir_check_ask(&rig, &one, 1000, 4))
		return;
	if (!weir_check_pump(&one, check->patience_s * 1000)) {
		weir_check_fail(check, "a plain request after hostile ones has no end");
		return;
	}
	weir_check_fuzz_end(&f);
	weir_check_rig_close(&rig);
}

static const char *const openings[] = {
	"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	"Content-Length: 73\r\n\r\n{\"model\":\"check\",\"messages\":[{\"role\":\"user\","
	"\"content\":\"hi\"}],\"stream\":true}",
	"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	"1e\r\n{\"model\":\"check\",\"prompt\":\"hi\"}\r\n0\r\n\r\n",
	"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	"\x81\x85\x01\x02\x03\x04hello",
	"{\"id\":1,\"kind\":\"chat\",\"model\":\"check\",\"messages\":[{\"role\":\"user\","
	"\"content\":\"hi\"}]}\n",
	"{\"type\":\"request\",\"id\":\"1\",\"path\":\"/v1/chat/completions\",\"body\":{\"model\":"
	"\"check\",\"messages\":[]}}\n{\"type\":\"cancel\",\"id\":\"1\"}\n",
};

/* A port that nobody has; 0: none. */
static uint16_t free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port = 0;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		port = ntohs(at.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Somebody accepts there, if not at once. */
static bool accepts(uint16_t port)
{
	for (int i = 0; i < 500; i++) {
		int fd = dial(port);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		usleep(10000);
	}
	return false;
}

static void talk(int fd, const GString *text)
{
	char answer[4096];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	for (size_t at = 0; at < text->len;) {
		ssize_t n = send(fd, text->str + at, text->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	while (poll(&poll_fd, 1, ANSWER_MS) > 0 && recv(fd, answer, sizeof(answer), 0) > 0)
		;
}

static bool listens(const struct weir_check *check)
{
	const struct weir_option *const *options = check->component->options;

	for (size_t i = 0; options && options[i]; i++)
		if (!strcmp(options[i]->key, "listen"))
			return check->component->role == WEIR_ROLE_FRONTEND;
	return false;
}

static void fuzz_bytes(struct weir_check *check)
{
	struct weir_check_rig rig;
	struct weir_check_fuzz f;

	if (!listens(check)) {
		weir_check_absent(check);
		return;
	}
	uint16_t port = free_port();
	const GPtrArray *given = check->options;
	g_autoptr(GPtrArray) options = g_ptr_array_new();
	g_autofree char *listen = g_strdup_printf("listen=127.0.0.1:%u", port);
	for (unsigned i = 0; i < given->len; i++)
		g_ptr_array_add(options, g_ptr_array_index(given, i));
	g_ptr_array_add(options, listen);
	check->options = options;
	bool open = port && weir_check_rig_open_frontend(&rig, check);
	check->options = given;
	if (!open)
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "waiting for 127.0.0.1:%u", port);
	if (!accepts(port)) {
		weir_check_fail(check, "started with %s it does not accept there", listen);
		return;
	}
	weir_check_fuzz_init(&f, check);
	while (weir_check_fuzz_round(&f)) {
		g_autoptr(GString) text =
			g_string_new(openings[g_rand_int_range(f.rand, 0, G_N_ELEMENTS(openings))]);

		if (g_rand_int_range(f.rand, 0, 8))
			weir_check_fuzz_text(&f, text);
		weir_check_fuzz_at(&f, "%zu hostile bytes to a port", text->len);
		int fd = dial(port);
		if (fd < 0 && !accepts(port))
			weir_check_fuzz_fail(&f, "after hostile bytes it accepts no more");
		if (fd < 0)
			continue;
		talk(fd, text);
		close(fd);
	}
	if (!weir_check_going(check))
		return;
	snprintf(check->trace, WEIR_CHECK_TRACE, "ending after hostile bytes");
	weir_check_fuzz_end(&f);
	weir_check_rig_close(&rig);
}

const struct weir_check_case weir_check_fuzz_requests[] = {
	{ "fuzz", "requests", "any request ends once, or is refused with a reason", fuzz_requests,
	  2 },
	{ "fuzz", "bytes", "a frontend outlives what anybody sends to its port", fuzz_bytes, 1 },
	{ NULL },
};
