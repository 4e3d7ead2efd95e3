/*
 * tests/unit/test-http-kept.c - answers that outlive their connection, over real sockets with a
 * scripted gateway: resumed after a cut, during prefill and by other threads, cancelled when nobody
 * comes; responses in the background; what Responses and Messages make of events, and refuse.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "http-harness.h"

#define CHAT                                                                                       \
	"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true,"   \
	"\"stream_options\":{\"resume\":true}}"
#define RESPONSE(more) "{\"model\":\"m\",\"input\":\"x\"" more "}"
#define MESSAGE(more)                                                                              \
	"{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}"    \
	"]" more "}"

static void end_with(struct fake_stream *s, uint32_t finish)
{
	struct weir_end end = {
		.size = sizeof(end), .finish = finish, .n_prompt = 5, .n_cached = 2, .n_output = 9
	};
	if (fake_cancelled(s)) /* as the core ends what was cancelled */
		end.status = WEIR_E_CANCELLED;
	fake_end(s, &end);
}

/* data, an int: where the script waits until the test sets it to the next number. */
static void await_turn(struct fake_gateway *g, struct fake_stream *s, int turn)
{
	int *at = g->data;
	while (at && g_atomic_int_get(at) < turn && !fake_cancelled(s))
		g_usleep(1000);
}

static void say_letters(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 5);
	await_turn(g, s, 1);
	for (char c = 'a'; c <= 'f'; c++) {
		char text[2] = { c, 0 };
		fake_token(s, 0, text);
		if (c == 'c')
			await_turn(g, s, 2);
	}
	end_with(s, WEIR_FINISH_STOP);
}

static void start(struct harness *h, void (*script)(struct fake_gateway *, struct fake_stream *),
		  void *data)
{
	fake_gateway_init(&h->gateway);
	h->gateway.script = script;
	h->gateway.data = data;
}

static int post(struct harness *h, const char *path, const char *body)
{
	int fd = harness_connect(h);
	g_autofree char *request =
		g_strdup_printf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
				path, strlen(body), body);
	harness_send(fd, request, strlen(request));
	return fd;
}

static char *call(struct harness *h, const char *method, const char *path)
{
	int fd = harness_connect(h);
	g_autofree char *request = g_strdup_printf(
		"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
	harness_send(fd, request, strlen(request));
	return harness_read_all(fd);
}

static char *between(const char *text, const char *from, char to)
{
	const char *at = strstr(text, from);
	g_assert_nonnull(at);
	at += strlen(from);
	const char *end = strchr(at, to);
	g_assert_nonnull(end);
	return g_strndup(at, (gsize)(end - at));
}

/* What was said, from the chunks of an SSE answer. */
static char *letters(const char *answer)
{
	GString *s = g_string_new(NULL);
	for (const char *at = answer; (at = strstr(at, "\"delta\":{\"content\":\"")); at++)
		g_string_append_c(s, at[20]);
	return g_string_free(s, FALSE);
}

static void cut_and_resume(const char *threads)
{
	struct harness h;
	int turn = 1;
	start(&h, say_letters, &turn);
	harness_start(&h, "io_threads", threads, NULL);
	for (int i = 0; i < 8; i++) {
		g_atomic_int_set(&turn, 1);
		int fd = post(&h, "/v1/chat/completions", CHAT);
		g_autofree char *first = harness_read_until(fd, "\"content\":\"c\"");
		close(fd);
		g_autofree char *id = between(first, "X-Weir-Stream: ", '\r');
		g_assert_cmpuint(strlen(id), ==, strlen("chatcmpl-") + 32);
		g_atomic_int_set(&turn, 2);
		g_autofree char *path = g_strdup_printf("/v1/stream/%s?last_event_id=%s:3", id, id);
		g_autofree char *rest = call(&h, "GET", path);
		g_autofree char *said = letters(rest);
		g_assert_cmpstr(said, ==, "def");
		g_assert_nonnull(strstr(rest, "data: [DONE]"));
	}
	harness_stop(&h);
}

static void test_resume(void)
{
	cut_and_resume("1");
}

static void test_threads(void)
{
	cut_and_resume("4");
}

static void test_prefill(void)
{
	struct harness h;
	int turn = 0;
	start(&h, say_letters, &turn);
	harness_start(&h, NULL);
	int fd = post(&h, "/v1/chat/completions", CHAT);
	g_autofree char *head = harness_read_until(fd, ":0\n");
	close(fd);
	g_autofree char *id = between(head, "X-Weir-Stream: ", '\r');
	g_autofree char *path = g_strdup_printf("/v1/stream/%s", id);
	g_autofree char *request =
		g_strdup_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	fd = harness_connect(&h);
	harness_send(fd, request, strlen(request));
	g_autofree char *again = harness_read_until(fd, ":0\n");
	g_atomic_int_set(&turn, 2);
	g_autofree char *rest = harness_read_all(fd);
	g_autofree char *said = letters(rest);
	g_assert_cmpstr(said, ==, "abcdef");
	g_assert_cmpint(h.gateway.n_cancelled, ==, 0);
	harness_stop(&h);
}

static void test_nobody(void)
{
	struct harness h;
	int turn = 1;
	start(&h, say_letters, &turn);
	harness_start(&h, "resume_grace", "300ms", NULL);
	int fd = post(&h, "/v1/chat/completions", CHAT);
	g_free(harness_read_until(fd, "\"content\":\"c\""));
	close(fd);
	harness_await(&h.gateway.n_ended, 1);
	g_assert_cmpint(g_atomic_int_get(&h.gateway.n_cancelled), ==, 1);
	harness_stop(&h);
}

/* Ends while answers are attached, left and complete. */
static void test_stop(void)
{
	struct harness h;
	int turn = 1, fds[6];
	start(&h, say_letters, &turn);
	harness_start(&h, "io_threads", "2", NULL);
	for (int i = 0; i < 6; i++) {
		fds[i] = post(&h, "/v1/chat/completions", CHAT);
		g_free(harness_read_until(fds[i], "\"content\":\"c\""));
		if (i % 2)
			close(fds[i]);
	}
	g_free(harness_post(&h, "/v1/responses", RESPONSE(",\"background\":true")));
	harness_stop(&h);
	for (int i = 0; i < 6; i += 2)
		close(fds[i]);
}

static void test_delete(void)
{
	struct harness h;
	int turn = 1;
	start(&h, say_letters, &turn);
	harness_start(&h, NULL);
	int fd = post(&h, "/v1/chat/completions", CHAT);
	g_autofree char *first = harness_read_until(fd, "\"content\":\"c\"");
	g_autofree char *id = between(first, "X-Weir-Stream: ", '\r');
	g_autofree char *path = g_strdup_printf("/v1/stream/%s", id);
	g_autofree char *answer = call(&h, "DELETE", path);
	g_assert_nonnull(strstr(answer, "\"cancelled\":true"));
	g_autofree char *rest = harness_read_until(fd, "0\r\n\r\n");
	g_assert_nonnull(strstr(rest, "\"code\":\"cancelled\""));
	close(fd);
	harness_stop(&h);
}

static void test_background(void)
{
	struct harness h;
	int turn = 1;
	start(&h, say_letters, &turn);
	harness_start(&h, "io_threads", "3", NULL);
	g_autofree char *queued =
		harness_post(&h, "/v1/responses", RESPONSE(",\"background\":true"));
	g_assert_nonnull(strstr(queued, "\"status\":\"queued\""));
	g_autofree char *id = between(harness_body(queued), "{\"id\":\"", '"');
	g_autofree char *path = g_strdup_printf("/v1/responses/%s", id);
	g_autofree char *cancel = g_strdup_printf("/v1/responses/%s/cancel", id);
	g_autofree char *cancelled = call(&h, "POST", cancel);
	g_assert_nonnull(strstr(cancelled, "\"status\":\"cancelled\""));
	harness_await(&h.gateway.n_ended, 1);
	g_autofree char *after = call(&h, "GET", path);
	g_assert_nonnull(strstr(after, "\"status\":\"cancelled\""));
	g_atomic_int_set(&turn, 2);
	g_autofree char *second =
		harness_post(&h, "/v1/responses", RESPONSE(",\"background\":true"));
	g_autofree char *id2 = between(harness_body(second), "{\"id\":\"", '"');
	g_autofree char *path2 = g_strdup_printf("/v1/responses/%s", id2);
	harness_await(&h.gateway.n_ended, 2);
	bool done = false;
	for (int i = 0; i < 500 && !done; i++) {
		g_autofree char *now = call(&h, "GET", path2);
		done = strstr(now, "\"status\":\"completed\"") && strstr(now, "\"abcdef\"");
		if (!done)
			g_usleep(5000);
	}
	g_assert_true(done);
	g_autofree char *gone = call(&h, "DELETE", path2);
	g_assert_nonnull(strstr(gone, "\"deleted\":true"));
	g_autofree char *none = call(&h, "GET", path2);
	g_assert_cmpint(harness_status(none), ==, 404);
	harness_stop(&h);
}

/* What was deleted cannot be read by its events either. */
static void test_forget(void)
{
	struct harness h;
	int turn = 2;
	start(&h, say_letters, &turn);
	harness_start(&h, "io_threads", "3", NULL);
	g_autofree char *done =
		harness_post(&h, "/v1/responses", RESPONSE(",\"background\":true,\"stream\":true"));
	g_autofree char *id = between(done, "\"response\":{\"id\":\"", '"');
	g_autofree char *path = g_strdup_printf("/v1/responses/%s", id);
	g_autofree char *events = g_strdup_printf("%s?stream=true", path);
	g_autofree char *stream = g_strdup_printf("/v1/stream/%s", id);
	g_autofree char *again = call(&h, "GET", events);
	g_assert_nonnull(strstr(again, "\"response.completed\""));
	g_autofree char *gone = call(&h, "DELETE", path);
	g_assert_nonnull(strstr(gone, "\"deleted\":true"));
	const char *const paths[] = { path, events, stream };
	for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
		g_autofree char *none = call(&h, "GET", paths[i]);
		g_assert_cmpint(harness_status(none), ==, 404);
	}
	harness_stop(&h);
}

static void say_turn(struct fake_gateway *g, struct fake_stream *s)
{
	static const char *const calls[] = {
		"{\"index\":0,\"id\":\"call_1\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}",
		"{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}",
		"{\"index\":1,\"id\":\"call_2\",\"function\":{\"name\":\"g\",\"arguments\":\"no\"}"
		"}",
		"}],\"evil\":[{",
	};
	struct weir_event e = { .size = sizeof(e), .type = WEIR_EVENT_REASONING, .token = -1 };
	fake_started(s, 5);
	e.text = (struct weir_str){ "hm", 2 };
	fake_emit(s, &e);
	fake_token(s, 0, "\"ok\"");
	e.type = WEIR_EVENT_TOOL;
	for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
		e.text = (struct weir_str){ calls[i], strlen(calls[i]) };
		fake_emit(s, &e);
	}
	end_with(s, WEIR_FINISH_TOOL);
}

static void test_formats(void)
{
	static const struct {
		const char *path, *body, *needle;
	} cases[] = {
		{ "/v1/messages",
		  MESSAGE(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1}"),
		  "\"content\":[{\"type\":\"thinking\",\"signature\":\"\",\"thinking\":\"hm\"},"
		  "{\"type\":\"text\",\"text\":\"\\\"ok\\\"\"},{\"type\":\"tool_use\",\"id\":"
		  "\"call_1\",\"name\":\"f\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":"
		  "\"call_2\",\"name\":\"g\",\"input\":{}}],\"stop_reason\":\"tool_use\","
		  "\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,"
		  "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":2,"
		  "\"output_tokens\":9}}" },
		{ "/v1/messages", MESSAGE(""), "\"content\":[{\"type\":\"text\"" },
		{ "/v1/messages", MESSAGE(",\"stream\":true"),
		  "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1}\"}" },
		{ "/v1/responses", RESPONSE(""),
		  "\"call_id\":\"call_1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}" },
		{ "/v1/responses", RESPONSE(",\"stream\":true"),
		  "\"output_tokens_details\":{\"reasoning_tokens\":1},\"total_tokens\":14}" },
	};
	struct harness h;
	start(&h, say_turn, NULL);
	harness_start(&h, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *answer = harness_post(&h, cases[i].path, cases[i].body);
		if (!strstr(answer, cases[i].needle) || strstr(answer, "evil"))
			g_error("%s is not in %s", cases[i].needle, answer);
	}
	harness_stop(&h);
}

static void test_refusals(void)
{
#define TURNS(turns) "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" turns "]}"
	static const struct {
		const char *path, *body, *needle;
	} cases[] = {
		{ "/v1/messages", "{\"model\":\"m\",\"messages\":[]}", "at least one message" },
		{ "/v1/messages", TURNS("{\"role\":\"system\",\"content\":\"x\"}"),
		  "messages.0.role: must be user or assistant" },
		{ "/v1/messages",
		  TURNS("{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{}}]}"),
		  "'image' are not supported" },
		{ "/v1/messages",
		  TURNS("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\"}]}"),
		  "a tool_use needs" },
		{ "/v1/messages",
		  TURNS("{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}"),
		  "a tool_result needs" },
		{ "/v1/messages", MESSAGE(",\"temperature\":1.5"), "between 0 and 1" },
		{ "/v1/messages", MESSAGE(",\"stop_sequences\":\"x\""), "stop_sequences: must be" },
		{ "/v1/messages", MESSAGE(",\"tools\":[{\"name\":\"f\"}]"), "input_schema" },
		{ "/v1/messages", MESSAGE(",\"tool_choice\":{\"type\":\"tool\"}"), "with a name" },
		{ "/v1/messages", MESSAGE(",\"thinking\":{\"type\":\"x\"}"), "thinking: its type" },
		{ "/v1/messages", "{", "\"type\":\"invalid_request_error\"" },
		{ "/v1/responses", "{\"model\":\"m\"}", "input is required" },
		{ "/v1/responses", RESPONSE(",\"metadata\":{\"a\":1}"), "metadata must be" },
		{ "/v1/responses", RESPONSE(",\"background\":true,\"store\":false"),
		  "needs store" },
		{ "/v1/responses", RESPONSE(",\"truncation\":\"x\""), "truncation must be" },
		{ "/v1/responses", RESPONSE(",\"conversation\":\"c\""), "is not supported" },
		{ "/v1/responses", RESPONSE(",\"tools\":[{\"type\":\"web_search\"}]"),
		  "only functions are supported" },
		{ "/v1/responses", RESPONSE(",\"previous_response_id\":\"resp_1\""), "not found" },
		{ "/v1/responses", "{\"model\":\"m\",\"input\":[{\"type\":\"x\"}]}",
		  "input[0] must" },
	};
	struct harness h;
	start(&h, say_turn, NULL);
	harness_start(&h, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *answer = harness_post(&h, cases[i].path, cases[i].body);
		if (harness_status(answer) != 400 || !strstr(answer, cases[i].needle))
			g_error("%s is not in %s", cases[i].needle, answer);
	}
	g_assert_cmpint(h.gateway.n_opened, ==, 0);
	harness_stop(&h);
}

/* Damaged bodies are refused or answered; nothing else happens. */
static void test_mutations(void)
{
	static const char *const seeds[] = {
		"{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],"
		"\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
		"\"a\","
		"\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_"
		"result\","
		"\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]}]}",
		"{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_"
		"text\","
		"\"text\":\"x\"}]},{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","
		"\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c\","
		"\"output\":"
		"\"1\"}],\"metadata\":{\"a\":\"b\"},\"text\":{\"format\":{\"type\":\"text\"}}}",
	};
	static const char *const pieces[] = { "null", "[]", "{}", "3", "\"\"", "true" };
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	struct harness h;
	start(&h, say_turn, NULL);
	harness_start(&h, NULL);
	for (int i = 0; i < 400; i++) {
		const char *seed = seeds[i % 2];
		g_autoptr(GString) s = g_string_new(seed);
		/* A value, or a few bytes, become something else. */
		gint at = g_rand_int_range(rand, 0, (gint)s->len - 1);
		const char *colon = strchr(s->str + at, ':');
		gsize from = colon ? (gsize)(colon + 1 - s->str) : (gsize)at;
		gsize n = from < s->len && s->str[from] == '"'
				  ? strcspn(s->str + from + 1, "\"") + 2
				  : 1;
		g_string_erase(s, (gssize)from, (gssize)MIN(n, s->len - from));
		g_string_insert(s, (gssize)from, pieces[g_rand_int_range(rand, 0, 6)]);
		g_autofree char *answer =
			harness_post(&h, i % 2 ? "/v1/responses" : "/v1/messages", s->str);
		int status = harness_status(answer);
		if (status != 200 && status != 400)
			g_error("%d for %s", status, s->str);
	}
	harness_stop(&h);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/http-kept/resume", test_resume);
	g_test_add_func("/http-kept/threads", test_threads);
	g_test_add_func("/http-kept/prefill", test_prefill);
	g_test_add_func("/http-kept/nobody", test_nobody);
	g_test_add_func("/http-kept/stop", test_stop);
	g_test_add_func("/http-kept/delete", test_delete);
	g_test_add_func("/http-kept/forget", test_forget);
	g_test_add_func("/http-kept/background", test_background);
	g_test_add_func("/http-kept/formats", test_formats);
	g_test_add_func("/http-kept/refusals", test_refusals);
	g_test_add_func("/http-kept/mutations", test_mutations);
	return g_test_run();
}
