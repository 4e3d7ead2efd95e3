/*
 * tests/unit/test-api-call.c - calls without HTTP: a transport that keeps frames in memory, client
 * driven credit, held-back text, vectors and scores, transports that go away.
 */
#include <math.h>
#include <string.h>

#include <glib.h>

#include <api/call.h>

#include "fake-gateway.h"

struct rig {
	struct fake_gateway gateway;
	struct api api;
	struct api_loop loop;
	struct api_call *call; /* NULL: over */
	int rung;              /* atomic */
	GString *log;          /* "begin", a line for each frame, "end" ... */
	struct buf frame;
	uint64_t n_frames;
	bool leave_at_frame;
};

static void ring(void *data)
{
	struct rig *r = data;
	g_atomic_int_set(&r->rung, 1);
}

static void on_begin(void *data)
{
	struct rig *r = data;
	g_string_append(r->log, "begin\n");
}

static struct buf *on_frame(void *data, const char *event, uint64_t seq)
{
	struct rig *r = data;
	g_assert_cmpuint(seq, ==, r->n_frames++);
	r->frame.len = 0;
	return &r->frame;
}

/* Of a frame only the text of its delta is of interest here. */
static void on_frame_end(void *data)
{
	struct rig *r = data;
	const char *text = strstr(buf_terminate(&r->frame), "\"text\":\"");
	if (text)
		g_string_append_printf(r->log, "%.*s|", (int)strcspn(text + 8, "\""), text + 8);
	if (r->leave_at_frame) {
		r->leave_at_frame = false;
		api_call_detach(g_steal_pointer(&r->call));
	}
}

static void on_taken(void *data)
{
	/* turn() calls api_call_drained() each time */
}

static void on_whole(void *data, struct buf *body)
{
	struct rig *r = data;
	g_string_append_len(r->log, body->data, (gssize)body->len);
	r->call = NULL;
}

static void on_end(void *data)
{
	struct rig *r = data;
	g_string_append(r->log, "end");
	r->call = NULL;
}

static void on_error(void *data, const struct api_error *e)
{
	struct rig *r = data;
	if (r->call && r->call->begun)
		api_call_error_frame(r->call, e);
	g_string_append_printf(r->log, "error %d %s", e->status, e->message);
	r->call = NULL;
}

static const struct api_transport transport = { .begin = on_begin,
						.frame = on_frame,
						.frame_end = on_frame_end,
						.taken = on_taken,
						.whole = on_whole,
						.end = on_end,
						.error = on_error };

static void rig_start(struct rig *r, void (*script)(struct fake_gateway *, struct fake_stream *),
		      const char *endpoint, const char *body, bool manual, uint32_t allowance)
{
	struct weir_error err;
	struct api_error_list errors;
	*r = (struct rig){ .log = g_string_new(NULL) };
	fake_gateway_init(&r->gateway);
	r->gateway.script = script;
	g_assert_cmpint(api_init(&r->api, &r->gateway.host, "test", &err), ==, WEIR_OK);
	r->api.config.max_tokens = 100;
	api_loop_init(&r->loop, &r->api);
	r->loop.loop = r->api.gateway->loop_new(r->api.host, ring, r);
	struct api_body *b = api_body_parse(&r->api.config, api_endpoint_find(endpoint), body,
					    strlen(body), &errors);
	if (!b)
		g_error("%s: %s", body, errors.items[0].message);
	r->call = api_call_new(&r->loop, b, NULL, &transport, r);
	r->call->manual = manual;
	r->call->allowance = allowance;
	api_call_open(r->call, NULL, 0);
}

static void turn(struct rig *r)
{
	if (g_atomic_int_compare_and_exchange(&r->rung, 1, 0))
		r->api.gateway->dispatch(r->loop.loop);
	else
		g_usleep(200);
	if (r->call)
		api_call_drained(r->call);
	uint64_t due = api_loop_due(&r->loop), now = (uint64_t)g_get_monotonic_time() / 1000;
	if (due && now >= due)
		api_loop_tick(&r->loop, now);
}

static void rig_stop(struct rig *r, const char *log)
{
	for (int i = 0; i < 50000 && (r->call || r->loop.n_streams); i++)
		turn(r);
	g_assert_null(r->call);
	g_assert_cmpuint(r->loop.n_streams, ==, 0);
	g_assert_cmpuint(r->loop.batching.length, ==, 0);
	while (g_atomic_int_get(&r->gateway.n_ended) < g_atomic_int_get(&r->gateway.n_opened))
		g_usleep(200);
	if (log)
		g_assert_cmpstr(r->log->str, ==, log);
	r->api.gateway->loop_free(r->loop.loop);
	buf_free(&r->frame);
	g_string_free(r->log, TRUE);
}

static void end_well(struct fake_stream *s, uint32_t n)
{
	struct weir_end end = {
		.size = sizeof(end), .finish = WEIR_FINISH_STOP, .n_prompt = 2, .n_output = n
	};
	fake_end(s, &end);
}

static void say_seven(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 2);
	for (int i = 0; i < 7; i++) {
		char text[] = { (char)('a' + i), 0 };
		fake_token(s, 0, text);
	}
	end_well(s, 7);
}

#define STREAM(prompt, more) "{\"model\":\"m\",\"prompt\":" prompt ",\"stream\":true" more "}"

static void test_stream(void)
{
	struct rig r;
	rig_start(&r, say_seven, "completions", STREAM("\"x\"", ""), false, 0);
	rig_stop(&r, "begin\na|b|c|d|e|f|g||end");
}

/* Nothing flows but what the client grants; what comes before the first token is free. */
static void test_manual(void)
{
	struct rig r;
	rig_start(&r, say_seven, "completions", STREAM("\"x\"", ""), true, 2);
	for (int i = 0; i < 300; i++)
		turn(&r);
	g_assert_cmpstr(r.log->str, ==, "begin\na|b|");
	api_call_grant(r.call, 1);
	for (int i = 0; i < 300; i++)
		turn(&r);
	g_assert_cmpstr(r.log->str, ==, "begin\na|b|c|");
	api_call_grant(r.call, 100);
	rig_stop(&r, "begin\na|b|c|d|e|f|g||end");
}

/* Two prompts share the allowance; one that has ended leaves its rest to the other. */
static void test_manual_two(void)
{
	struct rig r;
	rig_start(&r, say_seven, "completions", STREAM("[\"x\",\"y\"]", ""), true, 14);
	rig_stop(&r, NULL);
}

static void test_batch(void)
{
	struct rig r;
	rig_start(&r, say_seven, "completions",
		  STREAM("\"x\"", ",\"stream_options\":{\"batch_tokens\":3,"
				  "\"batch_timeout_ms\":10000}"),
		  false, 0);
	rig_stop(&r, "begin\nabc|def|g||end");
}

static void say_and_wait(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 2);
	fake_token(s, 0, "one");
	while (!fake_cancelled(s))
		g_usleep(1000);
	struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };
	fake_end(s, &end);
}

/* Time sends what is held; a cancel in band ends with an error. */
static void test_batch_timeout_and_cancel(void)
{
	struct rig r;
	rig_start(&r, say_and_wait, "completions",
		  STREAM("\"x\"", ",\"stream_options\":{\"batch_tokens\":8}"), false, 0);
	for (int i = 0; i < 50000 && !strstr(r.log->str, "one|"); i++)
		turn(&r);
	g_assert_cmpstr(r.log->str, ==, "begin\none|");
	api_call_cancel(r.call);
	rig_stop(&r, "begin\none|error 503 the request was cancelled");
	g_assert_cmpint(r.gateway.n_cancelled, ==, 1);
}

static void say_and_fail(struct fake_gateway *g, struct fake_stream *s)
{
	struct weir_end end = { .size = sizeof(end), .status = WEIR_E_INTERNAL };
	fake_started(s, 2);
	fake_token(s, 0, "one");
	fake_token(s, 0, "two");
	fake_end(s, &end);
}

/* What is held is told before the error, also to a client that goes away at that very moment. */
static void test_batch_before_error(void)
{
	struct rig r;
	static const char body[] = STREAM("\"x\"", ",\"stream_options\":{\"batch_tokens\":8,"
						   "\"batch_timeout_ms\":10000}");
	rig_start(&r, say_and_fail, "completions", body, false, 0);
	rig_stop(&r, "begin\nonetwo|error 500 inference failed");
	rig_start(&r, say_and_fail, "completions", body, false, 0);
	r.leave_at_frame = true;
	rig_stop(&r, "begin\nonetwo|");
}

static void test_gone_in_frame(void)
{
	struct rig r;
	rig_start(&r, say_and_wait, "completions", STREAM("\"x\"", ",\"echo\":true,\"n\":3"), false,
		  0);
	r.leave_at_frame = true;
	rig_stop(&r, "begin\nx|");
	g_assert_cmpint(r.gateway.n_cancelled, ==, 1);
}

static void embed(struct fake_gateway *g, struct fake_stream *s)
{
	static const float vectors[2][3] = { { 3, 4, 12 }, { 0, 1, 0 } };
	g_assert_cmpstr(fake_field(s, "kind"), ==, "embed");
	g_assert_cmpstr(fake_field(s, "inputs"), ==, "[\"a\",\"b\"]");
	fake_started(s, 2);
	for (int i = 1; i >= 0; i--) {
		struct weir_event e = { .size = sizeof(e),
					.type = WEIR_EVENT_VECTOR,
					.value = i,
					.logprob = NAN,
					.raw = { (const char *)vectors[i], sizeof(vectors[i]) } };
		fake_emit(s, &e);
	}
	end_well(s, 0);
}

#define EMBED(more) "{\"model\":\"m\",\"input\":[\"a\",\"b\"]" more "}"
#define EMBED_END   "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}"

static void test_embed(void)
{
	struct rig r;
	rig_start(&r, embed, "embeddings", EMBED(""), false, 0);
	rig_stop(&r, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		     "\"embedding\":[3,4,12]},{\"object\":\"embedding\",\"index\":1,"
		     "\"embedding\":[0,1,0]}" EMBED_END);
	rig_start(&r, embed, "embeddings", EMBED(",\"dimensions\":2"), false, 0);
	rig_stop(&r, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		     "\"embedding\":[0.600000024,0.800000012]},{\"object\":\"embedding\","
		     "\"index\":1,\"embedding\":[0,1]}" EMBED_END);
	rig_start(&r, embed, "embeddings", EMBED(",\"encoding_format\":\"base64\""), false, 0);
	rig_stop(&r, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
		     "\"embedding\":\"AABAQAAAgEAAAEBB\"},{\"object\":\"embedding\",\"index\":1,"
		     "\"embedding\":\"AAAAAAAAgD8AAAAA\"}" EMBED_END);
	rig_start(&r, embed, "embeddings", EMBED(",\"dimensions\":4"), false, 0);
	rig_stop(&r, "error 400 dimensions must be at most 3: this model has no more");
}

static void rank(struct fake_gateway *g, struct fake_stream *s)
{
	const char *scores = g->data;
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_JSON,
				.logprob = NAN,
				.text = { scores, strlen(scores) } };
	g_assert_cmpstr(fake_field(s, "query"), ==, "q");
	g_assert_cmpstr(fake_field(s, "documents"), ==, "[\"a\",\"b\",\"c\"]");
	fake_started(s, 0);
	fake_emit(s, &e);
	end_well(s, 0);
}

static char *rerank_with(const char *scores)
{
	struct rig r = { .log = NULL };
	struct api_error_list errors;
	static const char body[] = "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",\"b\","
				   "\"c\"],\"top_n\":2,\"return_documents\":true}";
	struct weir_error err;
	r.log = g_string_new(NULL);
	fake_gateway_init(&r.gateway);
	r.gateway.script = rank;
	r.gateway.data = (void *)scores;
	g_assert_cmpint(api_init(&r.api, &r.gateway.host, "test", &err), ==, WEIR_OK);
	api_loop_init(&r.loop, &r.api);
	r.loop.loop = r.api.gateway->loop_new(r.api.host, ring, &r);
	struct api_body *b = api_body_parse(&r.api.config, api_endpoint_find("rerank"), body,
					    sizeof(body) - 1, &errors);
	r.call = api_call_new(&r.loop, b, NULL, &transport, &r);
	api_call_open(r.call, NULL, 0);
	while (r.call || r.loop.n_streams)
		turn(&r);
	char *log = g_strdup(r.log->str);
	rig_stop(&r, NULL);
	return log;
}

static void test_rerank(void)
{
	g_autofree char *good = rerank_with("{\"scores\":[0.25,-1,3.5],\"n_tokens\":9}");
	g_autofree char *few = rerank_with("{\"scores\":[0.25,-1]}");
	g_autofree char *none = rerank_with("[]");
	const char *results = strstr(good, "\"results\"");
	g_assert_cmpstr(
		results, ==,
		"\"results\":[{\"index\":2,\"relevance_score\":3.5,\"document\":{\"text\":"
		"\"c\"}},{\"index\":0,\"relevance_score\":0.25,\"document\":{\"text\":\"a\"}"
		"}],\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}");
	g_assert_cmpstr(few, ==, "error 500 inference failed");
	g_assert_cmpstr(none, ==, "error 500 inference failed");
}

/* One token after the other: "a", the two halves of a rune, a marker before a thought, the thought,
 * its end marker, the first half of a rune that a text begins with, the second half, an end that no
 * text shows. */
static void say_parts(struct fake_gateway *g, struct fake_stream *s)
{
	static const struct {
		uint32_t type;
		const char *text, *raw;
	} tokens[] = {
		{ WEIR_EVENT_TOKEN, "a", "a" },           { WEIR_EVENT_TOKEN, "", "\xc3" },
		{ WEIR_EVENT_TOKEN, "\xc3\xa4", "\xa4" }, { WEIR_EVENT_TOKEN, "", "<think>" },
		{ WEIR_EVENT_REASONING, "hm", NULL },     { WEIR_EVENT_TOKEN, "", "</think>" },
		{ WEIR_EVENT_TOKEN, "", "\xc3" },         { WEIR_EVENT_TOKEN, "\xc3\xb6", "\xb6" },
		{ WEIR_EVENT_TOKEN, "", "<end>" },
	};
	g_assert_cmpuint(fake_sampling(s)->logprobs, ==, 1);
	g_assert_cmpuint(fake_sampling(s)->top_logprobs, ==, 1);
	fake_started(s, 2);
	for (size_t i = 0; i < G_N_ELEMENTS(tokens); i++) {
		struct weir_top_logprob top = { 7, -0.5f, { "t", 1 } };
		struct weir_event e = { .size = sizeof(e),
					.type = tokens[i].type,
					.logprob = -1 - (float)i,
					.n_top = 1,
					.top = &top };
		e.text = (struct weir_str){ tokens[i].text, strlen(tokens[i].text) };
		if (tokens[i].raw)
			e.raw = (struct weir_str){ tokens[i].raw, strlen(tokens[i].raw) };
		fake_emit(s, &e);
	}
	end_well(s, 9);
}

/* Responses: an entry for each token of a text, with the text that shows it; none for markers. */
static void test_response_logprobs(void)
{
	static const char entry[] = ",\"top_logprobs\":[{\"token\":\"t\",\"logprob\":-0.5,"
				    "\"bytes\":[116]}]}";
	struct rig r;
	rig_start(&r, say_parts, "responses",
		  "{\"model\":\"m\",\"input\":\"x\",\"top_logprobs\":1}", false, 0);
	while (r.call)
		turn(&r);
	g_autofree char *first = g_strdup_printf("\"logprobs\":[{\"token\":\"a\",\"logprob\":-1,"
						 "\"bytes\":[97]%s,{\"token\":\"\\\\xc3\","
						 "\"logprob\":-2,\"bytes\":[195]%s,{\"token\":"
						 "\"\\\\xa4\",\"logprob\":-3,\"bytes\":[164]"
						 "%s],\"text\":\"a\xc3\xa4\"",
						 entry, entry, entry);
	g_autofree char *second = g_strdup_printf(
		"\"logprobs\":[{\"token\":\"\\\\xc3\",\"logprob\":-7,\"bytes\":[195]%s,{\"token\":"
		"\"\\\\xb6\",\"logprob\":-8,\"bytes\":[182]%s],\"text\":\"\xc3\xb6\"",
		entry, entry);
	if (!strstr(r.log->str, first) || !strstr(r.log->str, second))
		g_error("%s\nlacks\n%s\nor\n%s", r.log->str, first, second);
	g_assert_nonnull(strstr(r.log->str, "\"top_logprobs\":1,\"top_p\""));
	rig_stop(&r, NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/call/stream", test_stream);
	g_test_add_func("/api/call/manual", test_manual);
	g_test_add_func("/api/call/manual-two", test_manual_two);
	g_test_add_func("/api/call/batch", test_batch);
	g_test_add_func("/api/call/batch-timeout-and-cancel", test_batch_timeout_and_cancel);
	g_test_add_func("/api/call/batch-before-error", test_batch_before_error);
	g_test_add_func("/api/call/gone-in-frame", test_gone_in_frame);
	g_test_add_func("/api/call/embed", test_embed);
	g_test_add_func("/api/call/rerank", test_rerank);
	g_test_add_func("/api/call/response-logprobs", test_response_logprobs);
	return g_test_run();
}
