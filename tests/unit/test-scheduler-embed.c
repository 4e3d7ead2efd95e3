/*
 * test-scheduler-embed.c - the kinds embed and rerank through the router, as a frontend sees them,
 * over a backend whose vectors are hashes (fake-step.h): order, credit, cancellation, fairness,
 * company of generations, and everything that is refused.
 */
#include <math.h>
#include <string.h>

#include "fake-step.h"
#include "harness.h"

enum { DIM = 5 };

struct fixture {
	struct harness h;
	struct fake fake;
};

static void start_fixture(struct fixture *f, uint32_t pooling, uint32_t flags)
{
	const char *const serves[] = { "fake-model", NULL };
	struct weir_backend_binding b = { "backend.fake", &f->fake.instance, serves, "fake" };
	struct weir_error err = { 0 };

	fake_init(&f->fake, 64, 4, 32, 8, 16);
	f->fake.model.flags = flags;
	if (flags & WEIR_MODEL_ENCODER)
		f->fake.model.n_blocks = f->fake.model.block_tokens = 0;
	f->fake.embed =
		(struct weir_embedder_info){ .size = sizeof(f->fake.embed),
					     .n_dim = pooling == WEIR_POOLING_RANK ? 1 : DIM,
					     .max_tokens = 40,
					     .max_batch = 100,
					     .pooling = pooling,
					     .normalize = 1 };
	harness_init(&f->h, NULL);
	if (weir_router_add_backend(f->h.core.router, &b, &err) < 0)
		g_error("%s", err.text);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
	g_assert_cmpint(weir_router_state(f->h.core.router), ==, WEIR_ROUTER_READY);
}

static void stop(struct fixture *f)
{
	size_t active = 1, waiting = 1;

	for (int i = 0; i < 5000 && (active || waiting); i++) {
		weir_router_status(f->h.core.router, &active, &waiting, NULL, NULL);
		g_usleep(active || waiting ? 1000 : 0);
	}
	g_assert_cmpuint(active + waiting, ==, 0);
	harness_clear(&f->h);
	if (f->fake.n_breaches > 0)
		g_error("%d breaches, the first: %s", f->fake.n_breaches, f->fake.breach);
	fake_clear(&f->fake);
}

static void embed(struct fixture *f, struct seen *seen, uint32_t credit, const char *tenant,
		  const char *inputs)
{
	struct weir_error err = { 0 };

	if (harness_open(&f->h, seen, credit, NULL, NULL, &err, "kind", "embed", "model",
			 "fake-model", "inputs", inputs, "tenant", tenant, NULL) < 0)
		g_error("%s", err.text);
}

static void vector_of(struct fixture *f, const char *text, float *ret)
{
	int32_t ids[128];
	guint n = 0;

	for (; *text; text++)
		ids[n++] = 2 + (unsigned char)*text;
	fake_vector(&f->fake, ids, n, ret);
}

static char *many(guint n, const char *text)
{
	GString *s = g_string_new("[");

	for (guint i = 0; i < n; i++)
		g_string_append_printf(s, "%s\"%s %u\"", i ? "," : "", text, i);
	return g_string_free(g_string_append_c(s, ']'), FALSE);
}

static void test_embed(void)
{
	struct fixture f;
	struct seen *seen = seen_new(1);
	const int32_t ids[] = { 7, 8, 9 };
	float want[3 * DIM];
	g_autofree char *metrics = NULL;

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	embed(&f, seen, 2, "", "[\"hello\", [7, 8, 9], \"x\"]");
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpstr(seen->end_text, ==, "");
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	g_assert_cmpuint(seen->n_wrong, ==, 0);
	g_assert_cmpuint(seen->n_started, ==, 1);
	g_assert_cmpint(seen->prompt, ==, 9);
	g_assert_cmpuint(seen->end.n_prompt, ==, 9);
	g_assert_cmpuint(seen->end.n_output, ==, 0);
	g_assert_cmpuint(seen->n_events, ==, 4);
	vector_of(&f, "hello", want);
	fake_vector(&f.fake, ids, 3, want + DIM);
	vector_of(&f, "x", want + 2 * DIM);
	g_assert_cmpmem(seen->raw->str, seen->raw->len, want, sizeof(want));
	seen_free(seen);
	g_usleep(5000);
	metrics = weir_metric_set_prometheus(f.h.core.metrics);
	g_assert_nonnull(strstr(metrics, "vllm:prompt_tokens_total{model_name=\"fake-model\","
					 "engine=\"0\"} 9\n"));
	g_assert_nonnull(strstr(metrics, "finished_reason=\"stop\"} 1\n"));
	stop(&f);
}

/* Batches hold the step's tokens at most, a longer text stands alone; a generation goes on. */
static void test_batches(void)
{
	struct fixture f;
	struct seen *seen = seen_new(1), *chat = seen_new(1);
	g_autofree char *inputs = many(100, "a text of about twenty"),
			*longest = g_strnfill(40, 'z'), *all = NULL;
	const struct weir_limits limits = {
		.size = sizeof(limits), .max_tokens = 20, .n = 1, .ignore_end = 1
	};
	struct weir_error err = { 0 };
	float want[DIM];

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	f.fake.pause_us = 500;
	inputs[strlen(inputs) - 1] = '\0';
	all = g_strdup_printf("%s,\"%s\"]", inputs, longest);
	embed(&f, seen, 200, "", all);
	g_assert_cmpint(harness_open(&f.h, chat, 200, NULL, &limits, &err, "kind", "completion",
				     "model", "fake-model", "prompt", "hi", NULL),
			==, WEIR_OK);
	harness_until(&f.h, &chat->n_ends);
	/* The generation did not wait for the hundred texts. */
	g_assert_cmpuint(seen->n_ends, ==, 0);
	g_assert_cmpuint(chat->tokens->len, ==, 20);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpuint(seen->n_events, ==, 102);
	g_assert_cmpuint(seen->raw->len, ==, 101 * sizeof(want));
	vector_of(&f, longest, want);
	g_assert_cmpmem(seen->raw->str + 100 * sizeof(want), sizeof(want), want, sizeof(want));
	vector_of(&f, "a text of about twenty 57", want);
	g_assert_cmpmem(seen->raw->str + 57 * sizeof(want), sizeof(want), want, sizeof(want));
	g_assert_cmpint(f.fake.most_embed_tokens, ==, 40);
	g_assert_cmpint(f.fake.n_embed_texts, ==, 101);
	seen_free(seen);
	seen_free(chat);
	stop(&f);
}

/* No vector beyond the credit, and none computed for whom nobody reads; cancelling ends it. */
static void test_credit(void)
{
	struct fixture f;
	struct seen *seen = seen_new(0);
	g_autofree char *inputs = many(50, "text");
	weir_stream *stream;

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	embed(&f, seen, 4, "", inputs);
	while (seen->n_events < 4)
		harness_dispatch(&f.h, 20);
	g_usleep(20000);
	harness_dispatch(&f.h, 0);
	g_assert_cmpuint(seen->n_events, ==, 4); /* STARTED and three vectors */
	g_assert_cmpint(g_atomic_int_get(&f.fake.n_embed_texts), ==, 3);
	weir_stream_grant(seen->stream, 2);
	while (seen->n_events < 6)
		harness_dispatch(&f.h, 20);
	g_usleep(10000);
	g_assert_cmpint(g_atomic_int_get(&f.fake.n_embed_texts), ==, 5);
	stream = seen->stream;
	weir_stream_cancel(stream, WEIR_E_CANCELLED);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_E_CANCELLED);
	g_assert_cmpuint(seen->n_wrong, ==, 0);
	seen_free(seen);
	stop(&f);
}

/* A tenant with little to do does not wait for one with much, nor a small request for a large. */
static void test_fairness(void)
{
	struct fixture f;
	struct seen *large[3], *small[2];
	g_autofree char *inputs = many(200, "a text of about twenty");
	guint sum = 0;

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	f.fake.pause_us = 500;
	g_atomic_int_set(&f.fake.gate, 1);
	for (int i = 0; i < 3; i++) {
		large[i] = seen_new(1);
		embed(&f, large[i], 300, "busy", inputs);
	}
	while (g_atomic_int_get(&f.fake.busy) == 0)
		g_usleep(200);
	small[0] = seen_new(1);
	embed(&f, small[0], 300, "quiet", "[\"one\", \"two\"]");
	small[1] = seen_new(1);
	embed(&f, small[1], 300, "busy", "[\"one\", \"two\"]");
	g_usleep(20000); /* the workers hand them over */
	g_atomic_int_set(&f.fake.gate, 0);
	harness_until(&f.h, &small[0]->n_ends);
	harness_until(&f.h, &small[1]->n_ends);
	for (int i = 0; i < 3; i++)
		sum += large[i]->n_ends;
	g_assert_cmpuint(sum, ==, 0);
	for (int i = 0; i < 3; i++) {
		harness_until(&f.h, &large[i]->n_ends);
		g_assert_cmpint(large[i]->end.status, ==, WEIR_OK);
		g_assert_cmpuint(large[i]->n_events, ==, 201);
		seen_free(large[i]);
	}
	seen_free(small[0]);
	seen_free(small[1]);
	stop(&f);
}

static double cosine(const float *a, const float *b)
{
	double ab = 0, aa = 0, bb = 0;

	for (int i = 0; i < DIM; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return ab / sqrt(aa * bb);
}

static void rerank(struct fixture *f, struct seen *seen, uint32_t credit)
{
	struct weir_error err = { 0 };

	if (harness_open(&f->h, seen, credit, NULL, NULL, &err, "kind", "rerank", "model",
			 "fake-model", "query", "what", "documents", "[\"this\", \"that one\"]",
			 NULL) < 0)
		g_error("%s", err.text);
	harness_until(&f->h, &seen->n_ends);
	g_assert_cmpstr(seen->end_text, ==, "");
	g_assert_cmpuint(seen->n_events, ==, 2);
}

static void test_rerank(void)
{
	struct fixture f;
	struct seen *seen = seen_new(1);
	float query[DIM], a[DIM], b[DIM], score[2];
	double got[2];
	unsigned n;

	start_fixture(&f, WEIR_POOLING_CLS, 0);
	rerank(&f, seen, 1); /* the credit for the answer comes with the event before it */
	g_assert_cmpint(sscanf(seen->text->str, "{\"scores\":[%lf,%lf],\"n_tokens\":%u}", &got[0],
			       &got[1], &n),
			==, 3);
	vector_of(&f, "what", query);
	vector_of(&f, "this", a);
	vector_of(&f, "that one", b);
	g_assert_cmpfloat_with_epsilon(got[0], cosine(query, a), 1e-6);
	g_assert_cmpfloat_with_epsilon(got[1], cosine(query, b), 1e-6);
	g_assert_cmpuint(n, ==, 4 + 4 + 8);
	seen_free(seen);
	stop(&f);

	start_fixture(&f, WEIR_POOLING_RANK, 0);
	seen = seen_new(1);
	rerank(&f, seen, 4);
	g_assert_cmpint(sscanf(seen->text->str, "{\"scores\":[%lf,%lf],\"n_tokens\":%u}", &got[0],
			       &got[1], &n),
			==, 3);
	for (int i = 0; i < 2; i++) {
		int32_t ids[20];
		const char *text = i ? "what\xff"
				       "that one"
				     : "what\xff"
				       "this";
		guint k = 0;

		for (; text[k]; k++)
			ids[k] = text[k] == '\xff' ? 1 : 2 + text[k];
		fake_vector(&f.fake, ids, k, &score[i]);
		g_assert_cmpfloat_with_epsilon(got[i], 1 / (1 + exp(-(double)score[i])), 1e-6);
	}
	g_assert_cmpuint(n, ==, 5 + 4 + 5 + 8);
	seen_free(seen);
	stop(&f);
}

struct refusal {
	const char *kind, *key, *value, *key2, *value2;
	weir_status status;
	const char *text, *param;
};

static void check_refusals(struct fixture *f, const struct refusal *list, gsize n)
{
	for (gsize i = 0; i < n; i++) {
		const struct refusal *c = &list[i];
		struct seen *seen = seen_new(1);
		struct weir_error err = { 0 };

		g_assert_cmpint(harness_open(&f->h, seen, 9, NULL, NULL, &err, "kind", c->kind,
					     "model", "fake-model", c->key, c->value, c->key2,
					     c->value2, NULL),
				==, WEIR_OK);
		harness_until(&f->h, &seen->n_ends);
		if (seen->end.status != c->status || !strstr(seen->end_text, c->text) ||
		    strcmp(seen->end_param, c->param) != 0)
			g_error("case %zu: %d %s (%s)", i, seen->end.status, seen->end_text,
				seen->end_param);
		g_assert_cmpuint(seen->n_events, ==, 0);
		seen_free(seen);
	}
}

static void test_refusals(void)
{
	g_autofree char *too_long = g_strdup_printf("[\"a\", \"%041d\"]", 0);
	g_autofree char *too_many = many(2049, "x");
	const struct refusal cases[] = {
		{ "embed", NULL, NULL, NULL, NULL, WEIR_E_INVALID, "input is required", "input" },
		{ "embed", "inputs", "[]", NULL, NULL, WEIR_E_INVALID, "input is required",
		  "input" },
		{ "embed", "inputs", "{}", NULL, NULL, WEIR_E_INVALID, "must be a list", "input" },
		{ "embed", "inputs", "[\"a\"", NULL, NULL, WEIR_E_INVALID, "must be a list",
		  "input" },
		{ "embed", "inputs", "[[[[1]]]]", NULL, NULL, WEIR_E_INVALID, "must be a list",
		  "input" },
		{ "embed", "inputs", "[\"a\", 7]", NULL, NULL, WEIR_E_INVALID,
		  "input 1 must be a text", "input" },
		{ "embed", "inputs", "[\"a\", \"\"]", NULL, NULL, WEIR_E_INVALID,
		  "input 1 is empty", "input" },
		{ "embed", "inputs", "[[]]", NULL, NULL, WEIR_E_INVALID, "input 0 is empty",
		  "input" },
		{ "embed", "inputs", "[[258]]", NULL, NULL, WEIR_E_INVALID, "below 258", "input" },
		{ "embed", "inputs", "[[3, -1]]", NULL, NULL, WEIR_E_INVALID, "element 1",
		  "input" },
		{ "embed", "inputs", "[[3, 1.5]]", NULL, NULL, WEIR_E_INVALID, "element 1",
		  "input" },
		{ "embed", "inputs", too_long, NULL, NULL, WEIR_E_OUT_OF_RANGE,
		  "input 1 has 41 tokens; this model takes at most 40", "input" },
		{ "embed", "inputs", too_many, NULL, NULL, WEIR_E_OUT_OF_RANGE, "at most 2048",
		  "input" },
		{ "rerank", "documents", "[\"a\"]", NULL, NULL, WEIR_E_INVALID, "query is required",
		  "query" },
		{ "rerank", "query", "q", NULL, NULL, WEIR_E_INVALID, "documents is required",
		  "documents" },
		{ "rerank", "query", "q", "documents", "[[1]]", WEIR_E_INVALID,
		  "document 0 must be a text", "documents" },
	};
	const struct refusal only_rank[] = {
		{ "embed", "inputs", "[\"a\"]", NULL, NULL, WEIR_E_UNSUPPORTED, "it can rerank",
		  "model" },
		{ "rerank", "query", "q", "documents", too_long, WEIR_E_OUT_OF_RANGE,
		  "document 1 and the query have 43 tokens", "documents" },
	};
	struct fixture f;

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	check_refusals(&f, cases, G_N_ELEMENTS(cases));
	stop(&f);
	start_fixture(&f, WEIR_POOLING_RANK, 0);
	check_refusals(&f, only_rank, G_N_ELEMENTS(only_rank));
	stop(&f);
}

/* A model without generation: no KV block is asked for, vectors work, text is refused. */
static void test_encoder(void)
{
	static const struct refusal cases[] = {
		{ "completion", "prompt", "x", NULL, NULL, WEIR_E_UNSUPPORTED, "embedding model",
		  "model" },
		{ "chat", "messages", "[{\"role\":\"user\",\"content\":\"x\"}]", NULL, NULL,
		  WEIR_E_UNSUPPORTED, "embedding model", "model" },
	};
	struct fixture f;
	struct seen *seen = seen_new(1);
	float want[DIM];

	start_fixture(&f, WEIR_POOLING_MEAN, WEIR_MODEL_ENCODER);
	check_refusals(&f, cases, G_N_ELEMENTS(cases));
	embed(&f, seen, 9, "", "[\"hello\"]");
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	vector_of(&f, "hello", want);
	g_assert_cmpmem(seen->raw->str, seen->raw->len, want, sizeof(want));
	seen_free(seen);
	stop(&f);
}

/* A batch that fails ends its requests only; after too many in a row the backend is given up. */
static void test_failures(void)
{
	struct fixture f;

	start_fixture(&f, WEIR_POOLING_MEAN, 0);
	for (int i = 0; i < 7; i++) {
		struct seen *seen = seen_new(1);

		g_atomic_int_set(&f.fake.fail_embeds, i != 1);
		embed(&f, seen, 9, "", "[\"hello\"]");
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpint(seen->end.status, ==, i == 1 ? WEIR_OK : WEIR_E_INTERNAL);
		seen_free(seen);
	}
	g_usleep(5000);
	g_assert_cmpint(weir_router_state(f.h.core.router), ==, WEIR_ROUTER_FAILED);
	harness_clear(&f.h);
	fake_clear(&f.fake);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scheduler-embed/embed", test_embed);
	g_test_add_func("/scheduler-embed/batches", test_batches);
	g_test_add_func("/scheduler-embed/credit", test_credit);
	g_test_add_func("/scheduler-embed/fairness", test_fairness);
	g_test_add_func("/scheduler-embed/rerank", test_rerank);
	g_test_add_func("/scheduler-embed/refusals", test_refusals);
	g_test_add_func("/scheduler-embed/encoder", test_encoder);
	g_test_add_func("/scheduler-embed/failures", test_failures);
	return g_test_run();
}
