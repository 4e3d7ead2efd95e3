/*
 * test-scheduler.c - continuous batching over a backend whose output betrays every mistake in
 * blocks, copies, prefixes and recomputation (fake-step.h), through the router, as a frontend sees
 * it.
 */
#include <math.h>
#include <string.h>

#include "fake-step.h"
#include "harness.h"
#include "text.h"

struct fixture {
	struct harness h;
	struct fake fake;
};

static void start_with(struct fixture *f, const struct weir_router_options *options)
{
	const char *const serves[] = { "fake-model", NULL };
	struct weir_backend_binding b = { "backend.fake", &f->fake.instance, serves, "fake" };
	struct weir_error err = { 0 };

	harness_init(&f->h, options);
	if (weir_router_add_backend(f->h.core.router, &b, &err) < 0)
		g_error("%s", err.text);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
}

static void assert_sound(struct fixture *f)
{
	if (g_atomic_int_get(&f->fake.n_breaches) > 0)
		g_error("%d breaches, the first: %s", f->fake.n_breaches, f->fake.breach);
}

/* Waits until no block is in use and nobody active, then ends. */
static void stop(struct fixture *f, bool quiet)
{
	size_t active = 1, waiting = 1;

	for (int i = 0; i < 5000 && quiet && (active || waiting); i++) {
		weir_router_status(f->h.core.router, &active, &waiting, NULL, NULL);
		g_usleep(active || waiting ? 1000 : 0);
	}
	if (quiet) {
		g_autofree char *text = NULL;

		g_assert_cmpuint(active + waiting, ==, 0);
		g_usleep(2000); /* the turn's gauges are set right after the last end */
		text = weir_metric_set_prometheus(f->h.core.metrics);
		if (!strstr(text,
			    "vllm:kv_cache_usage_perc{model_name=\"fake-model\",engine=\"0\"} 0\n"))
			g_error("blocks are still in use: %s", strstr(text, "vllm:kv_cache"));
	}
	harness_clear(&f->h);
	assert_sound(f);
	fake_clear(&f->fake);
}

static weir_status ask(struct fixture *f, struct seen *seen, uint32_t credit,
		       const struct weir_sampling *sampling, const struct weir_limits *limits,
		       const char *prompt, const char *stops)
{
	struct weir_error err = { 0 };

	return harness_open(&f->h, seen, credit, sampling, limits, &err, "kind", "completion",
			    "model", "fake-model", "prompt", prompt, "stop", stops, NULL);
}

static GArray *tokens_of(const char *prompt)
{
	GArray *a = g_array_new(FALSE, FALSE, sizeof(int32_t));

	for (; *prompt; prompt++) {
		int32_t token = 2 + (unsigned char)*prompt;

		g_array_append_val(a, token);
	}
	return a;
}

/* What the bytes of these tokens are as text, cut at a stop string; longest == whole. */
static char *text_of(const GArray *tokens, const char *stop_string, guint *ret_n)
{
	g_autoptr(GString) bytes = g_string_new(NULL);
	gsize len;

	*ret_n = tokens->len;
	for (guint i = 0; i < tokens->len; i++) {
		int32_t token = g_array_index(tokens, int32_t, i);

		if (token >= 2)
			g_string_append_c(bytes, (char)(token - 2));
		if (stop_string && g_str_has_suffix(bytes->str, stop_string)) {
			g_string_truncate(bytes, bytes->len - strlen(stop_string));
			*ret_n = i + 1;
			break;
		}
	}
	return weir_text_repair((struct weir_str){ bytes->str, bytes->len }, &len);
}

static void assert_answer(struct fixture *f, struct seen *seen, const char *prompt, guint64 seed,
			  guint max, guint min, const char *stop_string)
{
	g_autoptr(GArray) ids = tokens_of(prompt);
	g_autoptr(GArray) want =
		fake_oracle(&f->fake, (int32_t *)(void *)ids->data, ids->len, seed, max, min);
	guint n;
	g_autofree char *text = text_of(want, stop_string, &n);

	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	g_assert_cmpuint(seen->n_wrong, ==, 0);
	g_assert_cmpuint(seen->tokens->len, ==, n);
	g_assert_cmpmem(seen->tokens->data, n * 4, want->data, n * 4);
	g_assert_cmpstr(seen->text->str, ==, text);
	g_assert_cmpuint(seen->end.n_prompt, ==, ids->len);
	g_assert_cmpuint(seen->end.n_output, ==, n);
}

static void test_one(void)
{
	static const struct {
		const char *prompt, *stop;
		uint32_t max, min, ignore_end, end_one_in;
	} cases[] = {
		{ "a", NULL, 10, 0, 0, 0 },
		{ "hello world, this is longer than one block", NULL, 30, 0, 0, 0 },
		{ "x", NULL, 60, 0, 0, 5 },
		{ "x", NULL, 60, 20, 0, 5 },
		{ "x", NULL, 60, 0, 1, 5 },
		{ "exactly 8", NULL, 1, 0, 0, 0 },
		{ "exactly8exactly8", NULL, 17, 0, 0, 0 },
		{ "up to the context", NULL, 0, 0, 0, 0 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_limits limits = { .size = sizeof(limits),
					      .n = 1,
					      .max_tokens = cases[i].max,
					      .min_tokens = cases[i].min,
					      .ignore_end = cases[i].ignore_end };
		struct weir_sampling sampling = {
			.size = sizeof(sampling), .seed = 3, .seed_set = 1, .temperature = 1
		};
		struct seen *seen = seen_new(1);
		struct fixture f;
		guint max = cases[i].max ? cases[i].max : 100 - (guint)strlen(cases[i].prompt);

		fake_init(&f.fake, 100, 4, 16, 8, 20);
		f.fake.end_one_in = cases[i].end_one_in;
		start_with(&f, NULL);
		g_assert_cmpint(ask(&f, seen, 2, &sampling, &limits, cases[i].prompt, NULL), ==,
				WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		assert_answer(&f, seen, cases[i].prompt, 3, max,
			      cases[i].ignore_end ? max : cases[i].min, NULL);
		g_assert_cmpuint(seen->n_started, ==, 1);
		g_assert_cmpint(seen->prompt, ==, (gint64)strlen(cases[i].prompt));
		g_assert_cmpuint(seen->end.finish, ==,
				 seen->tokens->len == max ? WEIR_FINISH_LENGTH : WEIR_FINISH_STOP);
		stop(&f, true);
		seen_free(seen);
	}
}

/* A stop string is never seen, wherever the tokens divide it. */
static void test_stop_string(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 80 };
	struct weir_sampling greedy = { .size = sizeof(greedy), .temperature = 0 };
	g_autoptr(GString) json = g_string_new(NULL);
	g_autoptr(GArray) ids = tokens_of("seed text"), want = NULL;
	struct seen *seen = seen_new(1);
	char stop_string[3] = { 0 };
	struct fixture f;

	fake_init(&f.fake, 200, 4, 16, 8, 40);
	start_with(&f, NULL);
	want = fake_oracle(&f.fake, (int32_t *)(void *)ids->data, ids->len, 0, 80, 0);
	/* Two bytes that do come, one after the other. */
	for (guint i = 5; i + 1 < want->len && !stop_string[1]; i++) {
		int32_t a = g_array_index(want, int32_t, i) - 2;
		int32_t b = g_array_index(want, int32_t, i + 1) - 2;

		if (a > 32 && a < 127 && b > 32 && b < 127) {
			stop_string[0] = (char)a;
			stop_string[1] = (char)b;
		}
	}
	g_assert_true(stop_string[1]);
	weir_text_append_json(json, (struct weir_str){ stop_string, 2 });
	g_assert_cmpint(ask(&f, seen, 9, &greedy, &limits, "seed text", json->str), ==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	assert_answer(&f, seen, "seed text", 0, 80, 0, stop_string);
	g_assert_null(strstr(seen->text->str, stop_string));
	g_assert_cmpuint(seen->end.finish, ==, WEIR_FINISH_STOP);
	stop(&f, true);
	seen_free(seen);
}

static void test_choices(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 4, .max_tokens = 12 };
	struct weir_sampling sampling = {
		.size = sizeof(sampling), .seed = 77, .seed_set = 1, .temperature = 1
	};
	static const char *const prompts[] = { "p", "a prompt of some blocks", "sixteen letters.",
					       "seventeen letters" };

	for (gsize i = 0; i < G_N_ELEMENTS(prompts); i++) {
		g_autoptr(GArray) ids = tokens_of(prompts[i]);
		struct seen *seen = seen_new(1);
		struct fixture f;

		fake_init(&f.fake, 100, 3, 16, 8,
			  12); /* fewer rows and blocks than it would like */
		f.fake.end_one_in = 20;
		start_with(&f, NULL);
		g_assert_cmpint(ask(&f, seen, 3, &sampling, &limits, prompts[i], NULL), ==,
				WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpint(seen->end.status, ==, WEIR_OK);
		g_assert_cmpuint(seen->n_wrong, ==, 0);
		g_assert_cmpuint(seen->end.n_choices, ==, 4);
		for (guint k = 0; k < 4; k++) {
			g_autoptr(GArray) want = fake_oracle(&f.fake, (int32_t *)(void *)ids->data,
							     ids->len, fake_seed(77, k), 12, 0);

			g_assert_cmpmem(seen->choice_tokens[k]->data,
					seen->choice_tokens[k]->len * 4, want->data, want->len * 4);
			g_assert_cmpuint(seen->choices[k].n_output, ==, want->len);
		}
		/* The prompt was computed once; a part of a block is copied, not computed again. */
		if (ids->len % 8 != 1 && ids->len > 1)
			g_assert_cmpint(f.fake.n_copies, >, 0);
		stop(&f, true);
		seen_free(seen);
	}
}

/* What was computed for one request is not computed for the next; another tenant's is. */
static void test_prefix(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 3 };
	struct weir_error err;
	struct fixture f;
	gint before;

	fake_init(&f.fake, 200, 4, 64, 8, 40);
	start_with(&f, NULL);
	for (int round = 0; round < 4; round++) {
		static const char *const tenants[] = { "a", "a", "b", "a" };
		static const guint cached[] = { 0, 32, 0, 32 };
		struct seen *seen = seen_new(1);

		before = g_atomic_int_get(&f.fake.n_tokens);
		g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, &limits, &err, "kind",
					     "completion", "model", "fake-model", "tenant",
					     tenants[round], "prompt",
					     "a common beginning of forty letters, now", NULL),
				==, WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpuint(seen->end.n_cached, ==, cached[round]);
		g_assert_cmpint(g_atomic_int_get(&f.fake.n_tokens) - before, ==,
				(gint)(40 - cached[round] + 2));
		seen_free(seen);
	}
	stop(&f, true);
}

static void test_refusals(void)
{
	static const struct {
		const char *key[8];
		weir_status status;
		const char *text, *param;
	} cases[] = {
		{ { "kind", "completion", "prompt", "" }, WEIR_E_INVALID, "no token", "prompt" },
		{ { "kind", "completion", "prompt", "x", "stop", "[1]" },
		  WEIR_E_INVALID,
		  "list of strings",
		  "stop" },
		{ { "kind", "completion", "tokens", "[1,2" },
		  WEIR_E_INVALID,
		  "token ids",
		  "prompt" },
		{ { "kind", "completion", "tokens", "[99999999999999999999]" },
		  WEIR_E_INVALID,
		  "below 258",
		  "prompt" },
		{ { "kind", "completion", "tokens", "[-1]" },
		  WEIR_E_INVALID,
		  "token ids",
		  "prompt" },
		{ { "kind", "completion", "prompt",
		    "12345678901234567890123456789012345678901234567890123456789012345" },
		  WEIR_E_OUT_OF_RANGE,
		  "maximum context length is 60 tokens",
		  "prompt" },
		{ { "kind", "completion", "prompt",
		    "1234567890123456789012345678901234567890123456789012345" },
		  WEIR_E_EXHAUSTED,
		  "insufficient memory",
		  "" },
		{ { "kind", "embed", "prompt", "x" }, WEIR_E_UNSUPPORTED, "cannot do", "model" },
		{ { "kind", "chat" }, WEIR_E_INVALID, "messages is required", "messages" },
		{ { "kind", "chat", "messages", "[]", "template_kwargs", "[[[" },
		  WEIR_E_INVALID,
		  "must be an object",
		  "chat_template_kwargs" },
		{ { "kind", "detokenize", "tokens", "{}" }, WEIR_E_INVALID, "token ids", "tokens" },
		{ { "kind", "tokenize", "prompt", "x", "options", "7" },
		  WEIR_E_INVALID,
		  "must be an object",
		  "options" },
	};
	struct fixture f;

	fake_init(&f.fake, 60, 4, 16, 8, 6); /* 48 positions, fewer than the context */
	start_with(&f, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *const *k = cases[i].key;
		struct seen *seen = seen_new(1);
		struct weir_error err;

		g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, NULL, &err, k[0], k[1], "model",
					     "fake-model", k[2] ? k[2] : NULL, k[3], k[4], k[5],
					     NULL),
				==, WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		if (seen->end.status != cases[i].status || !strstr(seen->end_text, cases[i].text))
			g_error("case %zu: %d %s", i, seen->end.status, seen->end_text);
		g_assert_cmpstr(seen->end_param, ==, cases[i].param);
		g_assert_cmpuint(seen->n_events, ==, 0); /* refused: nothing has STARTED */
		seen_free(seen);
	}
	stop(&f, true);
}

/* What a chat template is given, member by member: the fake tokenizer makes a token of each byte.
 */
static void test_chat_context(void)
{
	static const struct {
		const char *key[4], *context;
	} cases[] = {
		{ { "messages", "[]" },
		  "{\"add_generation_prompt\":true,\"tools\":null,\"messages\":[]}" },
		{ { "messages", "[]", "tools", "[7]" },
		  "{\"add_generation_prompt\":true,\"tools\":[7],\"messages\":[]}" },
		{ { "messages", "[]", "template_kwargs", "{\"tools\":1,\"a\":2}" },
		  "{\"a\":2,\"add_generation_prompt\":true,\"tools\":null,\"messages\":[]}" },
		{ { "messages", "[]", "template_kwargs", "{\"a\":\"\\u001f\"}" },
		  "{\"a\":\"\\u001f\",\"add_generation_prompt\":true,\"tools\":null,"
		  "\"messages\":[]}" },
	};
	struct fixture f;

	fake_init(&f.fake, 200, 4, 16, 8, 100);
	start_with(&f, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *const *k = cases[i].key;
		struct seen *seen = seen_new(2);
		struct weir_error err;

		g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, NULL, &err, "kind", "chat",
					     "model", "fake-model", k[0], k[1], k[2], k[3], NULL),
				==, WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpuint(seen->end.n_prompt, ==, strlen(cases[i].context));
		seen_free(seen);
	}
	stop(&f, true);
}

static void test_replies(void)
{
	static const struct {
		const char *key[6], *reply;
	} cases[] = {
		{ { "kind", "tokenize", "prompt", "ab" },
		  "{\"tokens\":[99,100],\"count\":2,\"max_model_len\":60}" },
		{ { "kind", "tokenize", "prompt", "a\xc3\xa4", "options",
		    "{\"with_pieces\":true}" },
		  "{\"tokens\":[99,197,166],\"count\":3,\"max_model_len\":60,"
		  "\"token_strs\":[\"a\",[195],[164]]}" },
		{ { "kind", "tokenize", "prompt", "a\xc3", "options", "{\"token_objects\":true}" },
		  "{\"tokens\":[{\"id\":99,\"piece\":\"a\"},{\"id\":197,\"piece\":[195]}],"
		  "\"count\":2,"
		  "\"max_model_len\":60}" },
		{ { "kind", "tokenize", "messages", "[7]", "options", "{\"render\":true}" },
		  "{\"prompt\":\"{\\\"add_generation_prompt\\\":true,\\\"tools\\\":null,"
		  "\\\"messages\\\":[7]}\"}" },
		{ { "kind", "detokenize", "tokens", "[99, 197,166 ,1]" },
		  "{\"prompt\":\"a\xc3\xa4\",\"content\":\"a\xc3\xa4\"}" },
		{ { "kind", "detokenize", "tokens", "[]" }, "{\"prompt\":\"\",\"content\":\"\"}" },
	};
	struct fixture f;

	fake_init(&f.fake, 60, 4, 16, 8, 6);
	start_with(&f, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *const *k = cases[i].key;
		struct seen *seen = seen_new(1);
		struct weir_error err;

		/* Without credit even a reply waits. */
		g_assert_cmpint(harness_open(&f.h, seen, i % 2, NULL, NULL, &err, k[0], k[1],
					     "model", "fake-model", k[2], k[3], k[4], k[5], NULL),
				==, WEIR_OK);
		if (i % 2 == 0) {
			g_usleep(3000);
			g_assert_cmpuint(seen->n_ends, ==, 0);
			weir_stream_grant(seen->stream, 1);
		}
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpstr(seen->text->str, ==, cases[i].reply);
		g_assert_cmpint(seen->end.status, ==, WEIR_OK);
		seen_free(seen);
	}
	stop(&f, true);
}

static void test_logprobs(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 2 };
	struct weir_sampling s = { .size = sizeof(s), .logprobs = 1, .top_logprobs = 5 };
	struct seen *seen = seen_new(1);
	struct fixture f;

	fake_init(&f.fake, 60, 4, 16, 8, 6);
	start_with(&f, NULL);
	g_assert_cmpint(ask(&f, seen, 9, &s, &limits, "x", NULL), ==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpstr(seen->tops->str, ==, "-1.5 a:-1 b:-2 c:-3;-1.5 a:-1 b:-2 c:-3;");
	stop(&f, true);
	seen_free(seen);
}

/* 003-12 with a step backend: one runs, two wait, the fourth is refused. */
static void test_queue(void)
{
	struct weir_router_options options = { .n_workers = 2,
					       .max_concurrent = 1,
					       .max_queue = 2,
					       .park_after_ms = 1000,
					       .cancel_grace_ms = 10000 };
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 5 };
	struct seen *seen[4];
	size_t active = 0, waiting = 0;
	struct fixture f;

	fake_init(&f.fake, 60, 4, 16, 8, 30);
	f.fake.gate = 1;
	start_with(&f, &options);
	for (int i = 0; i < 4; i++) {
		seen[i] = seen_new(1);
		g_assert_cmpint(ask(&f, seen[i], 9, NULL, &limits, "x", NULL), ==, WEIR_OK);
	}
	harness_until(&f.h, &seen[3]->n_ends);
	g_assert_cmpint(seen[3]->end.status, ==, WEIR_E_QUEUE_FULL);
	g_assert_cmpuint(seen[3]->end.retry_after_ms, ==, 5000);
	while (g_atomic_int_get(&f.fake.n_steps) == 0 || waiting != 2) {
		harness_dispatch(&f.h, 1);
		weir_router_status(f.h.core.router, &active, &waiting, NULL, NULL);
	}
	g_atomic_int_set(&f.fake.gate, 0);
	for (int i = 0; i < 3; i++) {
		harness_until(&f.h, &seen[i]->n_ends);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_OK);
		g_assert_cmpuint(seen[i]->end.n_output, ==, 5);
	}
	g_assert_cmpint(f.fake.most_rows, ==, 1);
	stop(&f, true);
	for (int i = 0; i < 4; i++)
		seen_free(seen[i]);
}

/* A client that does not read costs no step, then no block; nothing of its answer is lost. */
static void test_slow_reader(void)
{
	struct weir_router_options options = { .n_workers = 1,
					       .park_after_ms = 20,
					       .cancel_grace_ms = 10000 };
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 40 };
	struct weir_sampling s = { .size = sizeof(s), .seed = 5, .seed_set = 1, .temperature = 1 };
	struct seen *slow = seen_new(0);
	g_autofree char *text = NULL;
	struct fixture f;
	gint steps;

	fake_init(&f.fake, 100, 4, 16, 8, 20);
	start_with(&f, &options);
	g_assert_cmpint(ask(&f, slow, 6, &s, &limits, "a prompt of some length", NULL), ==,
			WEIR_OK);
	while (slow->n_events < 6)
		harness_dispatch(&f.h, 5);
	g_usleep(5000);
	steps = g_atomic_int_get(&f.fake.n_steps);
	g_usleep(80000); /* parked meanwhile */
	g_assert_cmpint(g_atomic_int_get(&f.fake.n_steps), ==, steps);
	text = weir_metric_set_prometheus(f.h.core.metrics);
	g_assert_nonnull(
		strstr(text, "weir:streams_stalled{model_name=\"fake-model\",engine=\"0\"} 1"));
	g_assert_nonnull(
		strstr(text, "vllm:kv_cache_usage_perc{model_name=\"fake-model\",engine=\"0\"} 0"));
	slow->grant_each = 1;
	weir_stream_grant(slow->stream, 2);
	harness_until(&f.h, &slow->n_ends);
	assert_answer(&f, slow, "a prompt of some length", 5, 40, 0, NULL);
	stop(&f, true);
	seen_free(slow);
}

static void test_failures(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = 30 };
	struct weir_sampling s = { .size = sizeof(s), .seed = 5, .seed_set = 1, .temperature = 1 };
	struct seen *a = seen_new(0), *b = seen_new(1), *c;
	struct weir_error err;
	struct fixture f;

	/* a stalls with its blocks; the step of b fails; a goes on, and is right. */
	fake_init(&f.fake, 100, 4, 16, 8, 20);
	start_with(&f, NULL);
	g_assert_cmpint(ask(&f, a, 5, &s, &limits, "the first of two", NULL), ==, WEIR_OK);
	while (a->n_events < 5)
		harness_dispatch(&f.h, 5);
	g_atomic_int_set(&f.fake.fail_steps, 1);
	g_assert_cmpint(ask(&f, b, 9, &s, &limits, "the second", NULL), ==, WEIR_OK);
	harness_until(&f.h, &b->n_ends);
	g_assert_cmpint(b->end.status, ==, WEIR_E_INTERNAL);
	g_assert_cmpstr(b->end_text, ==, "inference failed"); /* 001-16 */
	a->grant_each = 1;
	weir_stream_grant(a->stream, 1);
	harness_until(&f.h, &a->n_ends);
	assert_answer(&f, a, "the first of two", 5, 30, 0, NULL);
	seen_free(b);

	/* A row that fails alone takes nobody with it. */
	b = seen_new(1);
	c = seen_new(1);
	g_atomic_int_set(&f.fake.fail_row_at, 20);
	g_assert_cmpint(ask(&f, b, 9, &s, &limits, "twelve bytes", NULL), ==, WEIR_OK);
	limits.max_tokens = 6;
	g_assert_cmpint(ask(&f, c, 9, &s, &limits, "twelve bytes", NULL), ==, WEIR_OK);
	harness_until(&f.h, &b->n_ends);
	harness_until(&f.h, &c->n_ends);
	g_assert_cmpint(b->end.status, ==, WEIR_E_INVALID);
	g_assert_cmpstr(b->end_text, ==, "all banned");
	g_assert_cmpuint(b->end.n_output, ==, 8);
	assert_answer(&f, c, "twelve bytes", 5, 6, 0, NULL);
	seen_free(b);
	seen_free(c);

	/* Failing again and again: the backend is given up, and says so. */
	g_atomic_int_set(&f.fake.fail_steps, 1000000);
	for (int i = 0; i < 5; i++) {
		b = seen_new(1);
		g_assert_cmpint(ask(&f, b, 9, &s, &limits, "x", NULL), ==, WEIR_OK);
		harness_until(&f.h, &b->n_ends);
		g_assert_cmpint(b->end.status, ==, WEIR_E_INTERNAL);
		seen_free(b);
	}
	while (weir_router_state(f.h.core.router) != WEIR_ROUTER_FAILED)
		g_usleep(500);
	b = seen_new(1);
	g_assert_cmpint(harness_open(&f.h, b, 9, NULL, NULL, &err, "model", "fake-model", NULL), ==,
			WEIR_E_NO_MODEL);
	g_assert_nonnull(strstr(err.text, "the device has failed"));
	stop(&f, false);
	seen_free(a);
	seen_free(b);
}

static void test_load_failure(void)
{
	struct seen *seen = seen_new(1);
	struct weir_error err;
	struct fixture f;

	fake_init(&f.fake, 100, 4, 16, 8, 20);
	f.fake.fail_load = 1;
	start_with(&f, NULL);
	g_assert_cmpint(weir_router_state(f.h.core.router), ==, WEIR_ROUTER_FAILED);
	g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, NULL, &err, "model", "fake-model", NULL),
			==, WEIR_E_NO_MODEL);
	g_assert_nonnull(strstr(err.text, "no such file"));
	stop(&f, false);
	/* A model that cannot be is refused, not believed. */
	fake_init(&f.fake, 100, 4, 16, 8, 20);
	f.fake.model.block_tokens = 0;
	start_with(&f, NULL);
	g_assert_cmpint(weir_router_state(f.h.core.router), ==, WEIR_ROUTER_FAILED);
	stop(&f, false);
	seen_free(seen);
}

/* Cancelled: at most the step that is running is wasted. And the end of everything. */
static void test_cancel_and_stop(void)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1 };
	struct seen *seen[6];
	struct fixture f;
	gint steps;

	fake_init(&f.fake, 100000, 4, 16, 8, 20000);
	f.fake.pause_us = 1000;
	start_with(&f, NULL);
	seen[0] = seen_new(1);
	g_assert_cmpint(ask(&f, seen[0], 100, NULL, &limits, "go on", NULL), ==, WEIR_OK);
	while (seen[0]->n_events < 10)
		harness_dispatch(&f.h, 5);
	weir_stream_cancel(seen[0]->stream, WEIR_E_CANCELLED);
	steps = g_atomic_int_get(&f.fake.n_steps);
	harness_until(&f.h, &seen[0]->n_ends);
	g_assert_cmpint(g_atomic_int_get(&f.fake.n_steps), <=, steps + 1);
	g_assert_cmpint(seen[0]->end.status, ==, WEIR_E_CANCELLED);
	seen_free(seen[0]);
	for (int i = 0; i < 6; i++) {
		seen[i] = seen_new(i % 2);
		g_assert_cmpint(ask(&f, seen[i], 10, NULL, &limits, "go on", NULL), ==, WEIR_OK);
	}
	while (seen[1]->n_events < 10)
		harness_dispatch(&f.h, 5);
	g_atomic_int_set(&f.fake.gate, 1); /* a step that would never end by itself */
	weir_router_stop(f.h.core.router);
	while (harness_dispatch(&f.h, 0) > 0)
		;
	for (int i = 0; i < 6; i++) {
		g_assert_cmpuint(seen[i]->n_ends, ==, 1);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_E_UNAVAILABLE);
		seen_free(seen[i]);
	}
	stop(&f, false);
}

/* --- what an answer means ------------------------------------------------------------------ */

struct kinds { /* of events, per choice */
	GString *text[8][2];
	guint n_events, n_ends, n_tokens[2];
	struct weir_choice_end ends[2];
	weir_status status;
};

static void on_kind(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct kinds *k = data;

	g_assert_cmpuint(k->n_ends, ==, 0);
	k->n_events++;
	if (e->type == WEIR_EVENT_STARTED)
		return;
	k->n_tokens[e->index] += e->token >= 0;
	g_string_append_len(
		k->text[e->type == WEIR_EVENT_TOKEN ? WEIR_EVENT_TEXT : e->type][e->index],
		e->text.data, (gssize)e->text.len);
}

static void on_kinds_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct kinds *k = data;

	k->n_ends++;
	k->status = end->status;
	for (uint32_t i = 0; i < 2 && end->choices; i++)
		k->ends[i] = end->choices[i];
}

/* A token that means three things takes three events, and they come however slowly they are taken,
 * each choice's in order, all of them before the end. */
static void test_parts(void)
{
	static const struct weir_sink sink = { sizeof(sink), 0, on_kind, on_kinds_end };
	const struct weir_sampling sampling = {
		.size = sizeof(sampling), .seed_set = 1, .seed = 5, .temperature = 1
	};
	const struct weir_limits limits = { .size = sizeof(limits), .n = 2, .max_tokens = 30 };
	const struct weir_kv fields[] = { { "kind", "chat" },
					  { "model", "fake-model" },
					  { "messages", "[]" } };
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct fixture f;

	for (uint32_t credit = 1; credit < 400; credit = credit * 3 + 1) {
		struct kinds k = { 0 };
		struct weir_error err;
		weir_stream *stream;
		weir_request *r;

		fake_init(&f.fake, 200, 8, 64, 8, 200);
		f.fake.answers = TRUE;
		f.fake.end_one_in = 25;
		start_with(&f, NULL);
		for (int t = 0; t < 8; t++)
			for (int i = 0; i < 2; i++)
				k.text[t][i] = g_string_new(NULL);
		r = gateway->request_new(&f.h.host, fields, G_N_ELEMENTS(fields), &sampling,
					 &limits);
		g_assert_cmpint(
			gateway->open(&f.h.host, f.h.loop, r, &sink, &k, credit, &stream, &err), ==,
			WEIR_OK);
		for (guint seen = 0; k.n_ends == 0;) {
			harness_dispatch(&f.h, 20);
			if (k.n_ends == 0 && k.n_events > seen)
				weir_stream_grant(stream, k.n_events - seen);
			seen = k.n_events;
		}
		g_assert_cmpint(k.status, ==, WEIR_OK);
		for (int i = 0; i < 2; i++) {
			GString *content = k.text[WEIR_EVENT_TEXT][i];

			g_assert_cmpuint(k.n_tokens[i], ==, k.ends[i].n_output);
			g_assert_true(g_str_has_suffix(content->str, "."));
			g_string_truncate(content, content->len - 1);
			g_assert_cmpstr(k.text[WEIR_EVENT_REASONING][i]->str, ==, content->str);
			g_assert_cmpuint(k.text[WEIR_EVENT_TOOL][i]->len, >, 0);
			if (k.ends[i].n_output < 30)
				g_assert_cmpuint(k.ends[i].finish, ==, WEIR_FINISH_TOOL);
		}
		for (int t = 0; t < 8; t++)
			for (int i = 0; i < 2; i++)
				g_string_free(k.text[t][i], TRUE);
		stop(&f, true);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scheduler/one", test_one);
	g_test_add_func("/scheduler/stop-string", test_stop_string);
	g_test_add_func("/scheduler/choices", test_choices);
	g_test_add_func("/scheduler/chat-context", test_chat_context);
	g_test_add_func("/scheduler/prefix", test_prefix);
	g_test_add_func("/scheduler/refusals", test_refusals);
	g_test_add_func("/scheduler/tokenize-detokenize", test_replies);
	g_test_add_func("/scheduler/logprobs", test_logprobs);
	g_test_add_func("/scheduler/queue", test_queue);
	g_test_add_func("/scheduler/slow-reader", test_slow_reader);
	g_test_add_func("/scheduler/failures", test_failures);
	g_test_add_func("/scheduler/load-failure", test_load_failure);
	g_test_add_func("/scheduler/cancel-and-stop", test_cancel_and_stop);
	g_test_add_func("/scheduler/parts", test_parts);
	return g_test_run();
}
