/*
 * tests/unit/test-websocket-session.c - requests on WebSockets, over real sockets and with a
 * scripted gateway: shapes, credit, cancel, resume, clients that do not read or go away, draining.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <sys/socket.h>

#include "ws-client.h"

#define BODY             "\"body\":{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
#define CREATE(id, more) "{\"type\":\"chat.create\",\"id\":\"" id "\"" more "," BODY "}"

static void start(struct harness *h)
{
	fake_gateway_init(&h->gateway);
	h->gateway.script = count_up;
	harness_start(h, NULL);
}

static void test_shapes(void)
{
	struct harness h;
	start(&h);
	struct client c;
	g_autofree char *head = handshake(&h, &c, "Sec-WebSocket-Protocol: weir.v1\r\n");
	g_assert_nonnull(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	g_assert_nonnull(strstr(head, "Sec-WebSocket-Protocol: weir.v1\r\n"));
	hears(&c, "{\"type\":\"session.created\",\"session\":{\"protocol\":\"weir.v1\"");
	say(&c, COUNT("a\\n\\\"", "2", ""));
	hears(&c, "{\"type\":\"accepted\",\"id\":\"a\\n\\\"\",\"request\":\"chatcmpl-");
	hears(&c, "{\"type\":\"chunk\",\"id\":\"a\\n\\\"\",\"seq\":0,\"data\":{\"id\":\"chatcmpl-");
	hears(&c, "\"seq\":1,\"data\":{");
	hears(&c, "\"delta\":{\"content\":\"t1\"}");
	hears(&c, "\"finish_reason\":\"stop\",\"stop_reason\":null}]}}");
	hears(&c, "{\"type\":\"done\",\"id\":\"a\\n\\\"\",\"seq\":4,\"usage\":{\"prompt_tokens\":5,"
		  "\"completion_tokens\":4,\"total_tokens\":9,");
	/* Not streamed when it says so; the id is free again; without id there is one. */
	say(&c, "{\"type\":\"chat.create\",\"model\":\"m\",\"stream\":false,\"max_tokens\":1,"
		"\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
	hears(&c, "{\"type\":\"result\",\"id\":\"chatcmpl-");
	say(&c, "{\"type\":\"ping\",\"id\":\"p\",\"echo\":[1,{\"a\":\"\\u00e4\\u001f\"}]}");
	hears(&c, "{\"type\":\"pong\",\"id\":\"p\",\"echo\":[1,{\"a\":\"\xc3\xa4\\u001f\"}]}");
	client_frame(&c, WS_OPCODE_CLOSE, "\x03\xe8", 2);
	g_assert_cmpuint(hears_close(&c), ==, 1000);
	client_close(&c);
	harness_stop(&h);
}

static void speak(struct fake_gateway *g, struct fake_stream *s)
{
	static const struct {
		uint32_t type;
		const char *text;
	} events[] = {
		{ WEIR_EVENT_REASONING, "hm" },
		{ WEIR_EVENT_TOKEN, "Hel" },
		{ WEIR_EVENT_TOKEN, "lo" },
		{ WEIR_EVENT_TOOL,
		  "{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":"
		  "{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}" },
		{ WEIR_EVENT_TOOL, "{\"index\":0,\"function\":{\"arguments\":\":1}\"}}" },
		{ WEIR_EVENT_TOOL, "{\"index\":1,\"function\":{\"name\":\"g\"}}" },
	};
	bool on = fake_started(s, 5);
	for (size_t i = 0; on && i < G_N_ELEMENTS(events); i++) {
		struct weir_event e = { .size = sizeof(e),
					.type = events[i].type,
					.logprob = NAN,
					.text = { events[i].text, strlen(events[i].text) } };
		on = fake_emit(s, &e);
	}
	end_with(s, strcmp(fake_field(s, "model"), "bad") == 0 ? WEIR_E_INTERNAL : WEIR_OK);
}

static const char *const response_events[] = {
	"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_",
	"response.in_progress\",\"sequence_number\":1",
	"response.output_item.added\",\"sequence_number\":2,\"output_index\":0,\"item\":{\"id\":"
	"\"rs_",
	"response.content_part.added",
	"response.reasoning_text.delta",
	"response.reasoning_text.done",
	"response.content_part.done",
	"\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}]",
	"response.output_item.added\",\"sequence_number\":8,\"output_index\":1,\"item\":{\"id\":"
	"\"msg_",
	"response.content_part.added",
	"\"content_index\":0,\"logprobs\":[],\"delta\":\"Hel\"}",
	"\"delta\":\"lo\"}",
	"response.output_text.done\",\"sequence_number\":12,",
	"\"text\":\"Hello\"}}",
	"response.output_item.done",
	"\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"call_1\",\"name\":"
	"\"f\"",
	"\"delta\":\"{\\\"a\\\"\"}",
	"response.function_call_arguments.delta",
	"\"arguments\":\"{\\\"a\\\":1}\"}",
	"response.output_item.done",
	"\"output_index\":3,\"item\":{\"id\":\"fc_",
	"response.function_call_arguments.done",
	"response.output_item.done",
};

/* OpenAI's events; with an id of the client's they have it, and a number. */
static void test_responses(void)
{
	struct harness h;
	start(&h);
	h.gateway.script = speak;
	struct client c = client_open(&h);
	for (int named = 0; named < 2; named++) {
		say(&c,
		    named ? "{\"type\":\"response.create\",\"id\":\"a\",\"response\":{\"model\":"
			    "\"m\","
			    "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
			    "\"text\":\"x\"}]}]}}"
			  : "{\"type\":\"response.create\",\"model\":\"m\",\"input\":\"x\","
			    "\"instructions\":\"be kind\"}");
		if (named)
			hears(&c, "accepted");
		for (size_t i = 0; i < G_N_ELEMENTS(response_events); i++) {
			g_autofree char *text = hear(&c);
			if (!strstr(text, response_events[i]))
				g_error("%zu: %s is not in %s", i, response_events[i], text);
			g_assert_true(g_str_has_prefix(text, named ? "{\"id\":\"a\",\"seq\":"
								   : "{\"type\":\"response."));
		}
		g_autofree char *last = hear(&c);
		g_assert_nonnull(strstr(last, "\"type\":\"response.completed\""));
		g_assert_nonnull(strstr(last, "\"arguments\":\"{\\\"a\\\":1}\"}"));
		g_assert_nonnull(strstr(last, "\"usage\":{\"input_tokens\":5,"));
		if (named)
			hears(&c, "{\"type\":\"done\",\"id\":\"a\",\"seq\":24,");
	}
	say(&c, "{\"type\":\"response.create\",\"model\":\"m\",\"input\":\"x\",\"stream\":false,"
		"\"max_output_tokens\":7}");
	hears(&c, "\"model\":\"m\",\"output\":[{\"id\":\"rs_");
	say(&c, "{\"type\":\"response.create\",\"model\":\"bad\",\"input\":\"x\"}");
	for (bool failed = false; !failed;) {
		g_autofree char *text = hear(&c);
		failed = strstr(text, "\"type\":\"response.failed\"") != NULL;
		g_assert_true(!failed || strstr(text, "\"status\":\"failed\",\"error\":{\"code\""));
	}
	client_close(&c);
	harness_stop(&h);
}

static void test_response_errors(void)
{
#define RESPONSE(more) "{\"type\":\"response.create\",\"model\":\"m\"" more "}"
	static const char *const cases[][2] = {
		{ RESPONSE(""), "input is required" },
		{ RESPONSE(",\"input\":3"), "input must be" },
		{ RESPONSE(",\"input\":[3]"), "input[0] must be" },
		{ RESPONSE(",\"input\":[{\"type\":\"function_call\"}]"), "input[0] must be" },
		{ RESPONSE(",\"input\":\"x\",\"previous_response_id\":\"r\""), "not found" },
		{ RESPONSE(",\"input\":\"x\",\"background\":true"), "background is not" },
		{ RESPONSE(",\"input\":\"x\",\"max_output_tokens\":0"), "max_output_tokens must" },
		{ RESPONSE(",\"input\":\"x\",\"text\":3"), "text must be" },
		{ RESPONSE(",\"input\":\"x\",\"instructions\":3"), "instructions must be" },
		{ RESPONSE(",\"input\":\"x\",\"tools\":[{\"type\":\"function\"}]"),
		  "\"status\":400" },
	};
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		say(&c, cases[i][0]);
		hears(&c, cases[i][1]);
	}
	/* The whole of a conversation with tools is a chat's. */
	h.gateway.script = speak;
	say(&c, RESPONSE(",\"stream\":false,\"input\":[{\"role\":\"user\",\"content\":\"x\"},"
			 "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\","
			 "\"arguments\":\"{}\"},"
			 "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"1\"}],"
			 "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}]"));
	hears(&c, "\"status\":\"completed\"");
	client_close(&c);
	harness_stop(&h);
}

static void test_errors(void)
{
	static const char *const cases[][2] = {
		{ "{", "\"code\":\"invalid_json\"" },
		{ "[]", "a message must be a JSON object" },
		{ "{}", "\"type is required\"" },
		{ "{\"type\":1}", "\"type is required\"" },
		{ "{\"type\":\"x\",\"id\":1}", "\"param\":\"id\",\"code\":\"invalid_value\"" },
		{ "{\"type\":\"x\",\"id\":\"i\"}",
		  "\"id\":\"i\",\"status\":400,\"error\":{\"message\":"
		  "\"there is no message of this type\"" },
		{ "{\"type\":\"chat.create\",\"id\":\"i\",\"body\":3}", "body must be an object" },
		{ "{\"type\":\"chat.create\",\"id\":\"i\",\"body\":{}}", "model is required" },
		{ "{\"type\":\"none.create\",\"id\":\"i\"}", "unknown_type" },
		{ CREATE("i", ",\"credit\":-1"), "credit must be an integer from 0" },
		{ CREATE("i", ",\"resume\":1"), "resume must be true or false" },
		{ "{\"type\":\"cancel\",\"id\":\"none\"}", "request_not_found" },
		{ "{\"type\":\"response.cancel\"}", "request_not_found" },
		{ "{\"type\":\"resume\",\"token\":\"00\"}", "resume_not_found" },
		{ "{\"type\":\"resume\",\"token\":\"00\",\"after\":\"x\"}", "after must be" },
	};
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		say(&c, cases[i][0]);
		hears(&c, cases[i][1]);
	}
	/* Credit for what has ended is nothing wrong. */
	say(&c, "{\"type\":\"credit\",\"id\":\"ended\",\"n\":5}");
	say(&c, COUNT("i", "1000000", ",\"credit\":1"));
	hears(&c, "accepted");
	hears(&c, "\"seq\":0");
	say(&c, COUNT("i", "1", ""));
	hears(&c, "duplicate_id");
	client_close(&c);
	harness_await(&h.gateway.n_ended, 1);
	harness_stop(&h);
}

static weir_status refuse_all(struct fake_gateway *g, weir_request *r, struct weir_error *err)
{
	err->code = WEIR_E_NOT_FOUND;
	g_strlcpy(err->text, "no such model", sizeof(err->text));
	g_strlcpy(err->param, "model", sizeof(err->param));
	return WEIR_E_NOT_FOUND;
}

static void fail_late(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 5);
	fake_token(s, 0, "half");
	end_with(s, WEIR_E_INTERNAL);
}

static void test_failures(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	h.gateway.check = refuse_all;
	say(&c, CREATE("a", ",\"resume\":true"));
	hears(&c, "accepted");
	hears(&c,
	      "{\"type\":\"error\",\"id\":\"a\",\"seq\":0,\"status\":404,\"error\":{\"message\":"
	      "\"model not found\",\"type\":\"invalid_request_error\",\"param\":\"model\"");
	h.gateway.check = NULL;
	h.gateway.script = fail_late;
	say(&c, CREATE("a", ""));
	hears(&c, "accepted");
	hears(&c, "\"seq\":0");
	hears(&c, "\"content\":\"half\"");
	hears(&c, "{\"type\":\"error\",\"id\":\"a\",\"seq\":2,\"status\":500,");
	client_close(&c);
	harness_stop(&h);
}

/* One message for each credit, the empty tokens in between notwithstanding. */
static void test_credit(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	say(&c, COUNT("a", "20", ",\"credit\":1"));
	hears(&c, "accepted");
	hears(&c, "\"seq\":0");
	for (int i = 0; i < 5; i++) {
		g_assert_true(is_silent(&c));
		say(&c, "{\"type\":\"credit\",\"id\":\"a\"}");
		char text[16];
		g_snprintf(text, sizeof(text), "\"t%d\"", i);
		hears(&c, text);
	}
	g_assert_true(is_silent(&c));
	/* Another request of the socket is not held up. */
	say(&c, COUNT("b", "3", ""));
	for (int i = 0; i < 6; i++)
		hears(&c, "\"id\":\"b\"");
	hears(&c, "\"type\":\"done\",\"id\":\"b\"");
	say(&c, "{\"type\":\"credit\",\"id\":\"a\",\"n\":100}");
	for (int i = 5; i < 20; i++)
		hears(&c, "\"content\":\"t");
	hears(&c, "\"finish_reason\":\"stop\",\"stop_reason\":null");
	hears(&c, "\"type\":\"done\"");
	client_close(&c);
	harness_stop(&h);
}

static void test_cancel(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	for (int round = 0; round < 3; round++) {
		say(&c, COUNT("a", "1000000", ""));
		hears(&c, "accepted");
		hears(&c, "\"seq\":0");
		hears(&c, "\"t0\"");
		say(&c, round == 0   ? "{\"type\":\"cancel\",\"id\":\"a\"}"
			: round == 1 ? "{\"type\":\"response.cancel\"}"
				     : "{\"type\":\"response.cancel\",\"id\":\"a\"}");
		bool cancelled = false;
		for (int i = 0; i < 3000 && !cancelled; i++) {
			g_autofree char *text = hear(&c);
			cancelled = g_str_has_prefix(text, "{\"type\":\"cancelled\",\"id\":\"a\"");
			if (cancelled)
				g_assert_nonnull(strstr(text, "\"usage\":{"));
		}
		g_assert_true(cancelled);
	}
	harness_await(&h.gateway.n_ended, 3);
	g_assert_true(is_silent(&c));
	client_close(&c);
	harness_stop(&h);
}

static void test_gone(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	say(&c, COUNT("a", "1000000", ",\"credit\":3"));
	say(&c, COUNT("b", "1000000", ""));
	harness_await(&h.gateway.n_opened, 2);
	client_close(&c);
	harness_await(&h.gateway.n_cancelled, 2);
	harness_await(&h.gateway.n_ended, 2);
	harness_stop(&h);
}

/* Lost in the middle, several times, at last after the end: every token comes once. */
static void test_resume(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	say(&c, COUNT("a", "600", ",\"resume\":true"));
	g_autofree char *accepted = hear(&c);
	g_autofree char *token = token_of(accepted);
	hears_count(&c, 0, 50);
	client_close(&c);
	for (int at = 50; at < 600; at += 250) {
		c = client_open(&h);
		resume(&c, token, at);
		hears(&c, "{\"type\":\"resumed\",\"id\":\"a\",\"from\":");
		hears_count(&c, at + 1, MIN(at + 250, 600));
		if (at + 250 < 600)
			client_close(&c);
	}
	hears(&c, "\"finish_reason\":\"stop\",\"stop_reason\":null");
	hears(&c, "\"type\":\"done\",\"id\":\"a\",\"seq\":602");
	client_close(&c);
	/* The end was lost. */
	c = client_open(&h);
	resume(&c, token, 600);
	hears(&c, "resumed");
	hears(&c, "\"seq\":601");
	hears(&c, "\"type\":\"done\"");
	resume(&c, token, 603);
	hears(&c, "after is a message that has not been sent");
	/* Its number is free for another one, on this very socket. */
	say(&c, COUNT("a", "1", ""));
	hears(&c, "accepted");
	client_close(&c);
	harness_stop(&h);
	g_assert_cmpint(h.gateway.n_opened, ==, 2);
}

/* The old socket is still there (the network is not): the answer moves. Then on the same socket. */
static void test_resume_moves(void)
{
	struct harness h;
	start(&h);
	struct client a = client_open(&h), b = client_open(&h);
	say(&a, COUNT("a", "100000", ",\"resume\":true,\"credit\":5"));
	g_autofree char *accepted = hear(&a);
	g_autofree char *token = token_of(accepted);
	hears_count(&a, 0, 4);
	resume(&b, token, 2);
	hears(&a, "{\"type\":\"moved\",\"id\":\"a\"}");
	hears(&b, "\"from\":3");
	hears_count(&b, 3, 4);
	g_assert_true(is_silent(&a) && is_silent(&b));
	say(&b, "{\"type\":\"credit\",\"id\":\"a\",\"n\":2}");
	hears_count(&b, 5, 6);
	resume(&b, token, 0);
	hears(&b, "\"from\":1");
	hears_count(&b, 1, 6);
	say(&a, "{\"type\":\"cancel\",\"id\":\"a\"}");
	hears(&a, "request_not_found");
	client_close(&a);
	g_assert_cmpint(h.gateway.n_cancelled, ==, 0);
	say(&b, "{\"type\":\"cancel\",\"id\":\"a\"}");
	hears(&b, "\"type\":\"cancelled\"");
	client_close(&b);
	harness_stop(&h);
}

/* Nobody reads: production stands still, and what is kept is bounded; going on from what has gone
 * is an error and not a gap. */
static void test_lost(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	say(&c, COUNT("a", "3000", ",\"resume\":true"));
	g_autofree char *accepted = hear(&c);
	g_autofree char *token = token_of(accepted);
	hears_count(&c, 0, 2500);
	client_close(&c);
	c = client_open(&h);
	resume(&c, token, 10);
	hears(&c, "events_lost");
	resume(&c, token, 2500);
	hears(&c, "resumed");
	hears_count(&c, 2501, 3000);
	client_close(&c);
	harness_stop(&h);
}

static int n_emitted; /* atomic */

static void flood(struct fake_gateway *g, struct fake_stream *s)
{
	g_autofree char *text = g_strnfill(200, 'x');
	fake_started(s, 5);
	while (fake_token(s, 0, text))
		g_atomic_int_inc(&n_emitted);
	end_with(s, WEIR_E_CANCELLED);
}

static void test_never_reads(void)
{
	struct harness h;
	start(&h);
	h.gateway.script = flood;
	struct client c = client_open(&h), other;
	int before = -1, small = 4096;
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 20; i++) {
		g_autofree char *text =
			g_strdup_printf("{\"type\":\"chat.create\",\"id\":\"r%d\"," BODY "}", i);
		say(&c, text);
	}
	harness_await(&h.gateway.n_opened, 20);
	for (int i = 0; i < 100 && before != g_atomic_int_get(&n_emitted); i++) {
		before = g_atomic_int_get(&n_emitted);
		g_usleep(100000);
	}
	g_assert_cmpint(before, ==, g_atomic_int_get(&n_emitted));
	g_assert_cmpint(before, <, 60000);
	/* The others are served. */
	h.gateway.script = count_up;
	other = client_open(&h);
	say(&other, COUNT("a", "5", ""));
	hears(&other, "accepted");
	hears_count(&other, 0, 5);
	client_close(&other);
	client_close(&c);
	harness_await(&h.gateway.n_cancelled, 20);
	harness_stop(&h);
}

static void test_socket_rules(void)
{
	struct harness h;
	start(&h);
	struct client c = client_open(&h);
	client_frame(&c, WS_OPCODE_PING, "ping", 4);
	uint8_t opcode = 0;
	g_autofree char *pong = NULL;
	while (!(pong = take_frame(&c, &opcode)))
		recv_more(&c);
	g_assert_cmpint(opcode, ==, WS_OPCODE_PONG);
	g_assert_cmpstr(pong, ==, "ping");
	client_frame(&c, WS_OPCODE_BINARY, "x", 1);
	g_assert_cmpuint(hears_close(&c), ==, 1003);
	client_close(&c);
	/* A request under way ends with its socket. */
	c = client_open(&h);
	say(&c, COUNT("a", "1000000", ""));
	harness_await(&h.gateway.n_opened, 1);
	client_frame(&c, 3, "x", 1);
	g_assert_cmpuint(hears_close(&c), ==, 1002);
	char byte;
	while (recv(c.fd, &byte, 1, 0) > 0)
		; /* the server ends the connection */
	client_close(&c);
	harness_await(&h.gateway.n_cancelled, 1);
	harness_stop(&h);
}

static void test_refused_upgrades(void)
{
	struct harness h;
	start(&h);
	g_autofree char *plain = harness_get(&h, "/v1/ws", "");
	g_assert_cmpint(harness_status(plain), ==, 426);
	g_assert_nonnull(strstr(plain, "Upgrade: websocket\r\n"));
	struct client c;
	g_autofree char *foreign = handshake(&h, &c, "Origin: http://evil.example\r\n");
	g_assert_cmpint(harness_status(foreign), ==, 403);
	client_close(&c);
	g_autofree char *own = handshake(&h, &c, "Origin: http://x\r\n");
	g_assert_cmpint(harness_status(own), ==, 101);
	client_close(&c);
	harness_stop(&h);
	harness_start(&h, "websocket", "false", NULL);
	g_autofree char *off = harness_get(&h, "/v1/ws", "");
	g_assert_cmpint(harness_status(off), ==, 404);
	harness_stop(&h);
}

/* What is under way is answered, nothing new begins, then a close frame says why. */
static void test_drain(void)
{
	struct harness h;
	start(&h);
	struct client idle = client_open(&h), c = client_open(&h);
	say(&c, COUNT("a", "10", ",\"credit\":1"));
	hears(&c, "accepted");
	hears(&c, "\"seq\":0");
	h.instance->drain(h.instance);
	g_assert_cmpuint(hears_close(&idle), ==, 1001);
	say(&c, COUNT("b", "1", ""));
	hears(&c, "server_draining");
	say(&c, "{\"type\":\"credit\",\"id\":\"a\",\"n\":100}");
	hears_count(&c, 1, 10);
	hears(&c, "\"seq\":11");
	hears(&c, "\"type\":\"done\"");
	g_assert_cmpuint(hears_close(&c), ==, 1001);
	client_close(&idle);
	client_close(&c);
	harness_stop(&h);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/session/shapes", test_shapes);
	g_test_add_func("/websocket/session/responses", test_responses);
	g_test_add_func("/websocket/session/response-errors", test_response_errors);
	g_test_add_func("/websocket/session/errors", test_errors);
	g_test_add_func("/websocket/session/failures", test_failures);
	g_test_add_func("/websocket/session/credit", test_credit);
	g_test_add_func("/websocket/session/cancel", test_cancel);
	g_test_add_func("/websocket/session/gone", test_gone);
	g_test_add_func("/websocket/session/resume", test_resume);
	g_test_add_func("/websocket/session/resume-moves", test_resume_moves);
	g_test_add_func("/websocket/session/lost", test_lost);
	g_test_add_func("/websocket/session/never-reads", test_never_reads);
	g_test_add_func("/websocket/session/socket-rules", test_socket_rules);
	g_test_add_func("/websocket/session/refused-upgrades", test_refused_upgrades);
	g_test_add_func("/websocket/session/drain", test_drain);
	return g_test_run();
}
