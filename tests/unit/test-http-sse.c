/*
 * tests/unit/test-http-sse.c - chats and completions over real sockets, with a scripted gateway:
 * the exact shapes, errors before and after the head, credit, clients that go away.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <json-glib/json-glib.h>
#include <sys/socket.h>

#include "http-harness.h"

#define CHAT(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" more "}"

static void end_with(struct fake_stream *s, uint32_t n_output)
{
	struct weir_end end = { .size = sizeof(end),
				.finish = WEIR_FINISH_STOP,
				.n_prompt = 5,
				.n_cached = 2,
				.n_output = n_output };
	fake_end(s, &end);
}

static void end_error(struct fake_stream *s, weir_status status, const char *text,
		      const char *param, uint32_t retry_after_ms)
{
	struct weir_end end = { .size = sizeof(end),
				.status = status,
				.retry_after_ms = retry_after_ms,
				.text = { text, strlen(text) },
				.param = { param, strlen(param) } };
	fake_end(s, &end);
}

static void say_hello(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 5);
	for (uint32_t i = 0; i < fake_limits(s)->n; i++) {
		fake_token(s, i, "Hel\"lo");
		fake_token(s, i, "");
		fake_token(s, i, " \xc3\xa4\n");
	}
	end_with(s, 3 * fake_limits(s)->n);
}

static void start(struct harness *h, void (*script)(struct fake_gateway *, struct fake_stream *))
{
	fake_gateway_init(&h->gateway);
	h->gateway.script = script;
}

/* id and created differ from run to run. */
static char *normalised(const char *text)
{
	g_autoptr(GRegex) id = g_regex_new("\"id\":\"(chatcmpl|cmpl)-[0-9a-f]{24}\"", 0, 0, NULL);
	g_autoptr(GRegex) created = g_regex_new("\"created\":1[0-9]{9}", 0, 0, NULL);
	g_autofree char *one = g_regex_replace(id, text, -1, 0, "ID", 0, NULL);
	return g_regex_replace(created, one, -1, 0, "T", 0, NULL);
}

static void test_chat_whole(void)
{
	struct harness h;
	start(&h, say_hello);
	harness_start(&h, NULL);
	g_autofree char *answer = harness_post(&h, "/v1/chat/completions", CHAT(",\"n\":2"));
	g_autofree char *body = normalised(harness_body(answer));
	g_assert_cmpstr(
		body, ==,
		"{ID,\"object\":\"chat.completion\",T,\"model\":\"m\",\"choices\":["
		"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hel\\\"lo "
		"\xc3\xa4\\n\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\","
		"\"stop_reason\":null},"
		"{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"Hel\\\"lo "
		"\xc3\xa4\\n\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\","
		"\"stop_reason\":null}],"
		"\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11,"
		"\"prompt_tokens_details\":{\"cached_tokens\":2},\"completion_tokens_details\":{"
		"\"reasoning_tokens\":0}},"
		"\"system_fingerprint\":\"weir-" WEIR_VERSION "\"}");
	harness_stop(&h);
}

#define CHUNK(c, u)                                                                                \
	"{ID,\"object\":\"chat.completion.chunk\",T,\"model\":\"m\","                              \
	"\"system_fingerprint\":\"weir-" WEIR_VERSION "\",\"choices\":[" c "]" u "}\n"
#define CHOICE(d, f) "{\"index\":0,\"delta\":" d ",\"logprobs\":null,\"finish_reason\":" f "}"

static void test_chat_stream(void)
{
	struct harness h;
	start(&h, say_hello);
	harness_start(&h, NULL);
	g_autofree char *answer =
		harness_post(&h, "/v1/chat/completions", CHAT(",\"stream\":true"));
	g_assert_nonnull(strstr(answer, "Content-Type: text/event-stream"));
	g_assert_nonnull(strstr(answer, "Transfer-Encoding: chunked"));
	g_assert_true(g_str_has_suffix(answer, "\r\n0\r\n\r\n"));
	g_autofree char *events = harness_sse(answer);
	g_autofree char *body = normalised(events);
	g_assert_cmpstr(
		body, ==,
		CHUNK(CHOICE("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null"),
		      "") CHUNK(CHOICE("{\"content\":\"Hel\\\"lo\"}", "null"),
				"") CHUNK(CHOICE("{\"content\":\" \xc3\xa4\\n\"}", "null"), "")
			CHUNK(CHOICE("{}", "\"stop\",\"stop_reason\":null"), "") "[DONE]\n");
	g_autofree char *usage =
		harness_post(&h, "/v1/chat/completions",
			     CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
	g_autofree char *more = harness_sse(usage);
	g_autofree char *last = normalised(more);
	g_assert_nonnull(strstr(
		last, CHUNK(CHOICE("{}", "\"stop\",\"stop_reason\":null"), ",\"usage\":null")));
	g_assert_true(g_str_has_suffix(
		last, CHUNK("", ",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,"
				"\"total_tokens\":8,\"prompt_tokens_details\":"
				"{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_"
				"tokens\":0}}") "[DONE]\n"));
	harness_stop(&h);
}

static void say_nothing_long(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 5);
	for (int i = 0; i < 1000; i++)
		fake_token(s, 0, "");
	fake_token(s, 0, "x");
	end_with(s, 1001);
}

/* Events that write nothing spend credit too, and get it back. */
static void test_silent_events(void)
{
	struct harness h;
	start(&h, say_nothing_long);
	harness_start(&h, NULL);
	g_autofree char *whole = harness_post(&h, "/v1/chat/completions", CHAT(""));
	g_assert_nonnull(strstr(whole, "\"content\":\"x\""));
	g_autofree char *stream =
		harness_post(&h, "/v1/chat/completions", CHAT(",\"stream\":true"));
	g_assert_nonnull(strstr(stream, "data: [DONE]"));
	harness_stop(&h);
}

static void test_http_1_0_stream(void)
{
	struct harness h;
	start(&h, say_hello);
	harness_start(&h, NULL);
	static const char body[] = CHAT(",\"stream\":true");
	g_autofree char *request = g_strdup_printf("POST /v1/chat/completions HTTP/1.0\r\n"
						   "Content-Length: %zu\r\n\r\n%s",
						   strlen(body), body);
	int fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	g_autofree char *answer = harness_read_all(fd);
	g_assert_null(strstr(answer, "chunked"));
	g_assert_true(g_str_has_prefix(harness_body(answer), "id: chatcmpl-"));
	g_assert_true(g_str_has_suffix(answer, "data: [DONE]\n\n"));
	harness_stop(&h);
}

/* ---- logprobs, tools, reasoning ---- */

static void say_logprobs(struct fake_gateway *g, struct fake_stream *s)
{
	struct weir_top_logprob top[] = { { 1, -0.25f, { "A", 1 } }, { 2, -2, { "B", 1 } } };
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_TOKEN,
				.token = 1,
				.logprob = -0.25f,
				.n_top = fake_sampling(s)->top_logprobs,
				.text = { "A", 1 },
				.raw = { "A", 1 },
				.top = top };
	fake_started(s, 1);
	fake_emit(s, &e);
	e.logprob = -INFINITY;
	e.text = (struct weir_str){ NULL, 0 };
	e.raw = (struct weir_str){ "\xe2\x82", 2 }; /* a part of a rune */
	e.n_top = 0;
	fake_emit(s, &e);
	e.raw = (struct weir_str){ NULL, 0 }; /* an end token: it has no text, nor has its like */
	e.logprob = -1;
	top[0] = (struct weir_top_logprob){ 3, -0.5f, { NULL, 0 } };
	e.n_top = MIN(fake_sampling(s)->top_logprobs, 1);
	fake_emit(s, &e);
	end_with(s, 3);
}

static void test_logprobs(void)
{
	struct harness h;
	start(&h, say_logprobs);
	harness_start(&h, NULL);
	static const char content[] =
		"\"logprobs\":{\"content\":[{\"token\":\"A\",\"logprob\":-0.25,\"bytes\":[65],"
		"\"top_logprobs\":[{\"token\":\"A\",\"logprob\":-0.25,\"bytes\":[65]},"
		"{\"token\":\"B\",\"logprob\":-2,\"bytes\":[66]}]}";
	g_autofree char *whole = harness_post(&h, "/v1/chat/completions",
					      CHAT(",\"logprobs\":true,\"top_logprobs\":2"));
	g_assert_nonnull(strstr(whole, content));
	g_assert_nonnull(strstr(
		whole, ",{\"token\":\"\\\\xe2\\\\x82\",\"logprob\":-9999,\"bytes\":[226,130],"
		       "\"top_logprobs\":[]},{\"token\":\"\",\"logprob\":-1,\"bytes\":[],"
		       "\"top_logprobs\":[{\"token\":\"\",\"logprob\":-0.5,\"bytes\":[]}]}],"
		       "\"refusal\":null}"));
	g_autofree char *stream =
		harness_post(&h, "/v1/chat/completions",
			     CHAT(",\"logprobs\":true,\"top_logprobs\":2,\"stream\":true"));
	g_assert_nonnull(strstr(stream, content));
	g_autofree char *text = harness_post(&h, "/v1/completions",
					     "{\"model\":\"m\",\"prompt\":\"p\",\"logprobs\":2}");
	g_assert_nonnull(strstr(text,
				"\"logprobs\":{\"tokens\":[\"A\",\"bytes:\\\\xe2\\\\x82\",\"\"],"
				"\"token_logprobs\":[-0.25,-9999,-1],"
				"\"top_logprobs\":[{\"A\":-0.25,\"B\":-2},"
				"{\"bytes:\\\\xe2\\\\x82\":-9999},{\"\":-0.5}],"
				"\"text_offset\":[0,1,1]}"));
	harness_stop(&h);
}

static void say_tools(struct fake_gateway *g, struct fake_stream *s)
{
	static const char *const parts[] = {
		"{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
		"\"arguments\":\"\"}}",
		"{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}",
		"{\"index\":0,\"function\":{\"arguments\":\"1}\"}}",
		"}],\"evil\":[{", /* not a delta: dropped */
	};
	struct weir_event e = { .size = sizeof(e), .type = WEIR_EVENT_REASONING, .token = -1 };
	fake_started(s, 1);
	e.text = (struct weir_str){ "hmm", 3 };
	fake_emit(s, &e);
	e.type = WEIR_EVENT_TOOL;
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		e.text = (struct weir_str){ parts[i], strlen(parts[i]) };
		fake_emit(s, &e);
	}
	end_with(s, 4);
}

static void test_tools(void)
{
	struct harness h;
	start(&h, say_tools);
	harness_start(&h, NULL);
	g_autofree char *whole = harness_post(&h, "/v1/chat/completions", CHAT(""));
	g_assert_nonnull(strstr(
		whole, "\"content\":null,\"refusal\":null,\"reasoning_content\":\"hmm\","
		       "\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\","
		       "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
		       "\"logprobs\":null,\"finish_reason\":\"tool_calls\",\"stop_reason\":null"));
	g_autofree char *stream =
		harness_post(&h, "/v1/chat/completions", CHAT(",\"stream\":true"));
	g_assert_nonnull(strstr(stream, "\"delta\":{\"reasoning_content\":\"hmm\"}"));
	g_assert_nonnull(strstr(stream, "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":"
					"{\"arguments\":\"1}\"}}]}"));
	g_assert_null(strstr(stream, "evil"));
	harness_stop(&h);
}

/* ---- completions ---- */

static void say_prompt(struct fake_gateway *g, struct fake_stream *s)
{
	const char *prompt = fake_field(s, "prompt");
	const char *tokens = fake_field(s, "tokens");
	fake_started(s, 5);
	fake_token(s, 0, prompt ? prompt : tokens);
	end_with(s, 1);
}

static void test_completions(void)
{
	struct harness h;
	start(&h, say_prompt);
	harness_start(&h, NULL);
	g_autofree char *answer = harness_post(
		&h, "/v1/completions", "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"echo\":true}");
	g_autofree char *body = normalised(harness_body(answer));
	g_assert_cmpstr(
		body, ==,
		"{ID,\"object\":\"text_completion\",T,\"model\":\"m\",\"choices\":["
		"{\"index\":0,\"text\":\"aa\",\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_"
		"reason\":null},"
		"{\"index\":1,\"text\":\"bb\",\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_"
		"reason\":null}],"
		"\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":12,"
		"\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{"
		"\"reasoning_tokens\":0}},"
		"\"system_fingerprint\":\"weir-" WEIR_VERSION "\"}");
	g_autofree char *ids = harness_post(&h, "/v1/completions",
					    "{\"model\":\"m\",\"prompt\":[[1,2],[3]],"
					    "\"stream\":true}");
	g_assert_nonnull(strstr(ids, "\"choices\":[{\"index\":0,\"text\":\"[1,2]\","
				     "\"logprobs\":null,\"finish_reason\":null}]}"));
	g_assert_nonnull(strstr(ids, "{\"index\":1,\"text\":\"[3]\""));
	g_assert_nonnull(strstr(ids, "data: [DONE]\n\n"));
	harness_stop(&h);
}

static void say_candidates(struct fake_gateway *g, struct fake_stream *s)
{
	static const float logprobs[] = { -3, -0.5f, -1, -2 };
	static const char *const names[] = { "w", "best", "second", "x" };
	fake_started(s, 5);
	for (uint32_t i = 0; i < fake_limits(s)->n; i++) {
		struct weir_event e = { .size = sizeof(e),
					.type = WEIR_EVENT_TOKEN,
					.index = i,
					.logprob = fake_sampling(s)->logprobs ? logprobs[i] : NAN,
					.text = { names[i], strlen(names[i]) } };
		fake_emit(s, &e);
	}
	end_with(s, 4);
}

static void test_best_of(void)
{
	struct harness h;
	start(&h, say_candidates);
	harness_start(&h, NULL);
	g_autofree char *answer = harness_post(
		&h, "/v1/completions", "{\"model\":\"m\",\"prompt\":\"p\",\"best_of\":4,\"n\":2}");
	g_assert_nonnull(
		strstr(answer, "\"choices\":[{\"index\":0,\"text\":\"best\","
			       "\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null},"
			       "{\"index\":1,\"text\":\"second\","));
	g_assert_nonnull(strstr(answer, "\"completion_tokens\":4"));
	harness_stop(&h);
}

static void say_json(struct fake_gateway *g, struct fake_stream *s)
{
	bool tokenize = strcmp(fake_field(s, "kind"), "tokenize") == 0;
	const char *json = g->data    ? "{\"tokens\":[1,]}"
			   : tokenize ? "{\"tokens\":[1,2],\"count\":2,\"max_model_len\":9}"
				      : "{\"prompt\":\"ab\"}";
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_JSON,
				.text = { json, strlen(json) } };
	if (tokenize)
		g_assert_cmpstr(fake_field(s, "options"), ==,
				"{\"add_special\":false,\"parse_special\":false,"
				"\"with_pieces\":false}");
	else
		g_assert_cmpstr(fake_field(s, "tokens"), ==, "[1,2]");
	fake_started(s, 2);
	fake_emit(s, &e);
	end_with(s, 0);
}

static void test_tokenize(void)
{
	struct harness h;
	start(&h, say_json);
	harness_start(&h, NULL);
	g_autofree char *tokens =
		harness_post(&h, "/tokenize", "{\"prompt\":\"ab\",\"add_special_tokens\":false}");
	g_assert_cmpstr(harness_body(tokens), ==,
			"{\"tokens\":[1,2],\"count\":2,\"max_model_len\":9}");
	g_autofree char *text = harness_post(&h, "/detokenize", "{\"tokens\":[1,2]}");
	g_assert_cmpstr(harness_body(text), ==, "{\"prompt\":\"ab\"}");
	h.gateway.data = &h; /* a backend whose JSON is none */
	g_autofree char *broken = harness_post(&h, "/detokenize", "{\"tokens\":[1,2]}");
	g_assert_cmpint(harness_status(broken), ==, 500);
	harness_stop(&h);
}

/* ---- failures ---- */

static weir_status refuse_all(struct fake_gateway *g, weir_request *r, struct weir_error *err)
{
	err->code = WEIR_E_QUEUE_FULL;
	g_strlcpy(err->text, "the queue is full", sizeof(err->text));
	return WEIR_E_QUEUE_FULL;
}

static void fail_early(struct fake_gateway *g, struct fake_stream *s)
{
	end_error(s, WEIR_E_OUT_OF_RANGE, "too long", "messages", 0);
}

static void fail_late(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 1);
	fake_token(s, 0, "begun");
	end_error(s, WEIR_E_INTERNAL, "the device is gone", "", 0);
}

static void test_failures(void)
{
	struct harness h;
	start(&h, fail_early);
	harness_start(&h, NULL);
	for (int stream = 0; stream < 2; stream++) {
		g_autofree char *early = harness_post(&h, "/v1/chat/completions",
						      stream ? CHAT(",\"stream\":true") : CHAT(""));
		g_assert_cmpint(harness_status(early), ==, 400);
		g_assert_cmpstr(harness_body(early), ==,
				"{\"error\":{\"message\":\"too long\","
				"\"type\":\"invalid_request_error\",\"param\":\"messages\","
				"\"code\":\"context_length_exceeded\"}}");
	}
	h.gateway.script = fail_late;
	g_autofree char *whole = harness_post(&h, "/v1/chat/completions", CHAT(""));
	g_assert_cmpint(harness_status(whole), ==, 500);
	g_assert_nonnull(strstr(whole, "\"message\":\"inference failed\""));
	g_autofree char *late = harness_post(&h, "/v1/chat/completions", CHAT(",\"stream\":true"));
	g_assert_cmpint(harness_status(late), ==, 200);
	g_assert_nonnull(strstr(late, "data: {\"error\":{\"message\":\"inference failed\","));
	g_assert_null(strstr(late, "[DONE]"));
	g_assert_true(g_str_has_suffix(late, "\r\n0\r\n\r\n"));
	h.gateway.check = refuse_all;
	g_autofree char *full =
		harness_post(&h, "/v1/completions", "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"]}");
	g_assert_cmpint(harness_status(full), ==, 503);
	g_assert_nonnull(strstr(full, "Retry-After: 5\r\n"));
	g_assert_nonnull(strstr(full, "\"code\":\"queue_full\""));
	harness_stop(&h);
}

/* ---- clients that go away, or do not read ---- */

static void wait_for_cancel(struct fake_gateway *g, struct fake_stream *s)
{
	if (g_atomic_pointer_get(&g->data))
		fake_started(s, 1);
	while (!fake_cancelled(s))
		g_usleep(1000);
	end_error(s, WEIR_E_CANCELLED, "", "", 0);
}

static void post_and(struct harness *h, const char *body, int how)
{
	g_autofree char *request = g_strdup_printf("POST /v1/chat/completions HTTP/1.1\r\n"
						   "Host: x\r\nContent-Length: %zu\r\n\r\n%s",
						   strlen(body), body);
	int fd = harness_connect(h), before = g_atomic_int_get(&h->gateway.n_opened);
	harness_send(fd, request, strlen(request));
	harness_await(&h->gateway.n_opened, before + 1);
	if (h->gateway.data && strstr(body, "stream"))
		g_free(harness_read_until(fd, "assistant"));
	int cancelled = g_atomic_int_get(&h->gateway.n_cancelled);
	struct linger reset = { 1, 0 };
	if (how == 0)
		shutdown(fd, SHUT_WR);
	if (how == 1)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (how)
		close(fd);
	harness_await(&h->gateway.n_cancelled, cancelled + 1);
	if (how == 0)
		close(fd);
}

/* Half-close, RST and FIN, before the first token and behind it, streamed and not. */
static void test_gone(void)
{
	struct harness h;
	start(&h, wait_for_cancel);
	harness_start(&h, NULL);
	for (int started = 0; started < 2; started++) {
		g_atomic_pointer_set(&h.gateway.data, started ? (void *)&h : NULL);
		for (int how = 0; how < 3; how++) {
			post_and(&h, CHAT(""), how);
			post_and(&h, CHAT(",\"stream\":true"), how);
		}
	}
	harness_stop(&h);
}

static void say_much(struct fake_gateway *g, struct fake_stream *s)
{
	int n = 0;
	fake_started(s, 1);
	while (n < 20000 && fake_token(s, 0, "abcdefghijklmnopqrstuvwxyz")) {
		n++;
		g_atomic_int_set((int *)g->data, n);
	}
	if (fake_cancelled(s))
		end_error(s, WEIR_E_CANCELLED, "", "", 0);
	else
		end_with(s, (uint32_t)n);
}

/* Credit: who does not read stops the producer, and is cut off at last. */
static void test_stalled(void)
{
	struct harness h;
	int n = 0;
	start(&h, say_much);
	h.gateway.data = &n;
	harness_start(&h, "write_timeout", "700", NULL);
	static const char body[] = CHAT(",\"stream\":true");
	g_autofree char *request = g_strdup_printf("POST /v1/chat/completions HTTP/1.1\r\n"
						   "Host: x\r\nContent-Length: %zu\r\n\r\n%s",
						   strlen(body), body);
	int fd = harness_connect(&h), small = 65536;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	harness_send(fd, request, strlen(request));
	harness_await(&h.gateway.n_cancelled, 1);
	g_assert_cmpint(g_atomic_int_get(&n), <, 10000);
	close(fd);
	/* a reader gets all of them, in one piece */
	fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	g_autofree char *all = harness_read_until(fd, "[DONE]");
	close(fd);
	g_autofree char *events = harness_sse(all);
	int n_lines = 0;
	for (const char *l = events; (l = strchr(l, '\n')); l++)
		n_lines++;
	g_assert_cmpint(n_lines, ==, 20000 + 3);
	harness_stop(&h);
}

static void think(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 1);
	for (int i = 0; i < 700 && !fake_cancelled(s); i++)
		g_usleep(1000);
	end_with(s, 0);
}

static void test_ping(void)
{
	struct harness h;
	start(&h, think);
	harness_start(&h, "ping_interval", "200", NULL);
	g_autofree char *answer =
		harness_post(&h, "/v1/chat/completions", CHAT(",\"stream\":true"));
	g_assert_nonnull(strstr(answer, "\r\n: ping\n\n\r\n"));
	g_assert_nonnull(strstr(answer, "[DONE]"));
	harness_stop(&h);
}

/* ---- fields, large bodies, draining ---- */

static void check_fields(struct fake_gateway *g, struct fake_stream *s)
{
	g_assert_cmpstr(fake_field(s, "kind"), ==, "chat");
	g_assert_cmpstr(fake_field(s, "model"), ==, "m");
	g_assert_true(g_str_has_prefix(fake_field(s, "id"), "chatcmpl-"));
	g_assert_cmpstr(fake_field(s, "header.authorization"), ==, "Bearer sk-1");
	g_assert_null(fake_field(s, "header.host"));
	g_assert_null(fake_field(s, "prompt"));
	g_assert_cmpint(fake_limits(s)->deadline_ns, >, g_get_monotonic_time() * 1000);
	say_hello(g, s);
}

static void test_fields(void)
{
	struct harness h;
	start(&h, check_fields);
	harness_start(&h, NULL);
	static const char request[] =
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		"Authorization: Bearer sk-1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"38\r\n" CHAT("") "\r\n0\r\n\r\n";
	g_assert_cmpuint(strlen(CHAT("")), ==, 0x38);
	int fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	g_autofree char *answer = harness_read_all(fd);
	g_assert_cmpint(harness_status(answer), ==, 200);
	harness_stop(&h);
}

static void test_large_body(void)
{
	struct harness h;
	start(&h, say_prompt);
	harness_start(&h, NULL);
	g_autofree char *prompt = g_strnfill(9 << 20, 'p');
	g_autofree char *body = g_strdup_printf("{\"model\":\"m\",\"prompt\":\"%s\"}", prompt);
	g_autofree char *answer = harness_post(&h, "/v1/completions", body);
	g_assert_cmpint(harness_status(answer), ==, 200);
	g_assert_cmpuint(strlen(answer), >, 9 << 20);
	body[strlen(body) - 1] = ',';
	g_autofree char *broken = harness_post(&h, "/v1/completions", body);
	g_assert_cmpint(harness_status(broken), ==, 400);
	/* gone while the pool parses */
	for (int i = 0; i < 5; i++) {
		int fd = harness_connect(&h);
		g_autofree char *head = g_strdup_printf(
			"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
			strlen(body));
		harness_send(fd, head, strlen(head));
		harness_send(fd, body, strlen(body));
		close(fd);
	}
	harness_stop(&h);
}

static void slow_end(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 1);
	fake_token(s, 0, "a");
	g_usleep(300000);
	fake_token(s, 0, "b");
	end_with(s, 2);
}

static void test_drain(void)
{
	struct harness h;
	start(&h, slow_end);
	harness_start(&h, NULL);
	static const char body[] = CHAT(",\"stream\":true");
	g_autofree char *request = g_strdup_printf("POST /v1/chat/completions HTTP/1.1\r\n"
						   "Host: x\r\nContent-Length: %zu\r\n\r\n%s",
						   strlen(body), body);
	int fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	g_free(harness_read_until(fd, "\"a\""));
	h.instance->drain(h.instance);
	g_autofree char *rest = harness_read_all(fd);
	g_assert_nonnull(strstr(rest, "[DONE]"));
	/* stop() in the middle of a stream: cancelled, not waited for */
	harness_stop(&h);
	start(&h, wait_for_cancel);
	harness_start(&h, NULL);
	fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	harness_await(&h.gateway.n_opened, 1);
	harness_stop(&h);
	g_free(harness_read_all(fd));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/http/sse/chat-whole", test_chat_whole);
	g_test_add_func("/http/sse/chat-stream", test_chat_stream);
	g_test_add_func("/http/sse/silent-events", test_silent_events);
	g_test_add_func("/http/sse/http-1.0-stream", test_http_1_0_stream);
	g_test_add_func("/http/sse/logprobs", test_logprobs);
	g_test_add_func("/http/sse/tools", test_tools);
	g_test_add_func("/http/sse/completions", test_completions);
	g_test_add_func("/http/sse/best-of", test_best_of);
	g_test_add_func("/http/sse/tokenize", test_tokenize);
	g_test_add_func("/http/sse/failures", test_failures);
	g_test_add_func("/http/sse/gone", test_gone);
	g_test_add_func("/http/sse/stalled", test_stalled);
	g_test_add_func("/http/sse/ping", test_ping);
	g_test_add_func("/http/sse/fields", test_fields);
	g_test_add_func("/http/sse/large-body", test_large_body);
	g_test_add_func("/http/sse/drain", test_drain);
	return g_test_run();
}
