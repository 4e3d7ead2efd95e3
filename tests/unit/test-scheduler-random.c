/*
 * test-scheduler-random.c - hundreds of sequences at once, with few blocks, shared prefixes, slow
 * and vanishing clients, priorities, several choices: every stream must be what its prompt and seed
 * say, as if it had been alone (fake-step.h), end exactly once, and leave no block in use. Where
 * backends are lost one after the other, the next one goes on with what they had.
 */
#include <string.h>

#include "fake-step.h"
#include "harness.h"
#include "text.h"

#define MOST_BACKENDS 4

struct shape {
	uint32_t n_ctx, max_rows, max_tokens, block_tokens, n_blocks;
	uint32_t max_concurrent;
	int64_t park_after_ms;
	guint n_requests, n_open; /* in all, at a time */
	guint fail_one_in;        /* a step in so many fails; 0: none */
	guint end_one_in;
	guint memory, guesses; /* texts that repeat themselves, and guesses of them */
	guint n_lost;          /* backends that are lost, before the last one */
};

struct ask {
	struct seen *seen;
	char *prompt;
	uint32_t max_tokens, min_tokens, n;
	uint64_t seed;
	char stop[2]; /* one letter, or none */
	enum { STEADY, PAUSES, VANISHES } client;
	guint vanish_at; /* events */
	bool opened, cancelled;
};

static char *random_prompt(GRand *rand, uint32_t longest)
{
	static const char *const heads[] = {
		"",
		"You are a helpful assistant. Answer briefly and to the point. ",
		"You are a helpful assistant. Answer at length, with examples, and do not hurry. ",
		"Translate: ",
	};
	GString *s = g_string_new(heads[g_rand_int_range(rand, 0, 4)]);
	gint32 n = g_rand_int_range(rand, 1, (gint32)longest / 3);

	if (g_rand_int_range(rand, 0, 6) == 0)
		n = 1;
	for (gint32 i = 0; i < n; i++)
		g_string_append_c(s, (char)g_rand_int_range(rand, 'a', 'a' + 3));
	g_string_truncate(s, MIN(s->len, longest / 2));
	return g_string_free(s, FALSE);
}

static void ask_init(struct ask *a, GRand *rand, uint32_t longest)
{
	memset(a, 0, sizeof(*a));
	a->seen = seen_new(0);
	a->prompt = random_prompt(rand, longest);
	a->max_tokens = (uint32_t)g_rand_int_range(rand, 0, 50);
	a->min_tokens = g_rand_int_range(rand, 0, 5) ? 0 : (uint32_t)g_rand_int_range(rand, 1, 20);
	a->n = g_rand_int_range(rand, 0, 4) ? 1 : (uint32_t)g_rand_int_range(rand, 2, 5);
	a->seed = g_rand_int(rand) | (uint64_t)g_rand_int(rand) << 32;
	if (g_rand_int_range(rand, 0, 3) == 0)
		a->stop[0] = (char)g_rand_int_range(rand, 'a', 'z');
	a->client = g_rand_int_range(rand, 0, 3);
	a->vanish_at = (guint)g_rand_int_range(rand, 0, 30);
	a->seen->grant_each = a->client == STEADY;
}

static void ask_open(struct harness *h, struct ask *a, GRand *rand)
{
	static const char *const tenants[] = { "", "", "a", "b" };
	struct weir_sampling sampling = {
		.size = sizeof(sampling), .seed_set = 1, .seed = a->seed, .temperature = 1
	};
	struct weir_limits limits = { .size = sizeof(limits),
				      .n = a->n,
				      .max_tokens = a->max_tokens,
				      .min_tokens = a->min_tokens,
				      .priority = g_rand_int_range(rand, 0, 3) };
	g_autoptr(GString) stop = g_string_new(NULL);
	struct weir_error err = { 0 };

	if (a->stop[0])
		g_string_printf(stop, "[\"%s\"]", a->stop);
	if (harness_open(h, a->seen, (uint32_t)g_rand_int_range(rand, 0, 9), &sampling, &limits,
			 &err, "kind", "completion", "model", "fake-model", "prompt", a->prompt,
			 "stop", stop->str, "tenant", tenants[g_rand_int_range(rand, 0, 4)],
			 NULL) < 0)
		g_error("%s", err.text);
	a->opened = true;
}

static void poke(struct ask *a, GRand *rand)
{
	if (!a->seen->stream)
		return;
	if (a->client == VANISHES && a->seen->n_events >= a->vanish_at && !a->cancelled) {
		weir_stream_cancel(a->seen->stream, WEIR_E_CANCELLED);
		a->cancelled = true;
	}
	if (g_rand_int_range(rand, 0, a->client == STEADY ? 4 : 30) == 0)
		weir_stream_grant(a->seen->stream, (uint32_t)g_rand_int_range(rand, 1, 12));
}

static void check_choice(const struct fake *fake, const struct ask *a, uint32_t k, uint32_t longest,
			 uint32_t *ret_n)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int32_t));
	g_autoptr(GArray) want = NULL;
	g_autoptr(GString) bytes = g_string_new(NULL);
	g_autofree char *text = NULL;
	const GArray *got = a->seen->choice_tokens[k];
	guint max, n = 0;
	gsize len;

	for (const char *p = a->prompt; *p; p++) {
		int32_t id = 2 + (unsigned char)*p;

		g_array_append_val(ids, id);
	}
	max = longest - ids->len;
	if (a->max_tokens > 0)
		max = MIN(max, a->max_tokens);
	want = fake_oracle(fake, (int32_t *)(void *)ids->data, ids->len, fake_seed(a->seed, k), max,
			   a->min_tokens);
	while (n < want->len) {
		int32_t token = g_array_index(want, int32_t, n++);

		if (token >= 2 && token - 2 == a->stop[0] && a->stop[0])
			break;
		if (token >= 2)
			g_string_append_c(bytes, (char)(token - 2));
	}
	text = weir_text_repair((struct weir_str){ bytes->str, bytes->len }, &len);
	if (a->seen->end.status == WEIR_OK) {
		g_assert_cmpuint(got->len, ==, n);
		g_assert_cmpstr(a->seen->choice_text[k]->str, ==, text);
	} else {
		g_assert_cmpuint(got->len, <=, n);
		g_assert_true(g_str_has_prefix(text, a->seen->choice_text[k]->str));
	}
	g_assert_cmpmem(got->data, got->len * 4, want->data, got->len * 4);
	*ret_n = got->len;
}

static void check(const struct fake *fake, const struct shape *shape, const struct ask *a)
{
	uint32_t longest = MIN(shape->n_ctx, shape->n_blocks * shape->block_tokens);
	uint32_t n_output = 0;

	g_assert_cmpuint(a->seen->n_ends, ==, 1);
	g_assert_cmpuint(a->seen->n_wrong, ==, 0);
	/* Alive in two losses: it may be the reason. */
	if (!a->cancelled &&
	    !((shape->fail_one_in || shape->n_lost > 1) && a->seen->end.status == WEIR_E_INTERNAL))
		g_assert_cmpint(a->seen->end.status, ==, WEIR_OK);
	for (uint32_t k = 0; k < a->n; k++) {
		uint32_t n;

		check_choice(fake, a, k, longest, &n);
		n_output += n;
		if (a->seen->end.status == WEIR_OK && a->n > 1)
			g_assert_cmpuint(a->seen->choices[k].n_output, ==, n);
	}
	if (a->seen->end.status == WEIR_OK)
		g_assert_cmpuint(a->seen->end.n_output, ==, n_output);
}

static void run(const struct shape *shape, guint32 seed)
{
	struct weir_router_options options = {
		.n_workers = 3,
		.max_concurrent = shape->max_concurrent,
		.park_after_ms = shape->park_after_ms,
		.cancel_grace_ms = 60000,
	};
	/* The first serves the name, then the longest pattern. */
	static const char *const serves[MOST_BACKENDS][2] = {
		{ "fake-model" }, { "fake-mode*" }, { "fake-mod*" }, { "fake-mo*" }
	};
	static const char *const names[MOST_BACKENDS] = { "backend.fake", "backend.b", "backend.c",
							  "backend.d" };
	g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
	g_autofree struct ask *asks = g_new0(struct ask, shape->n_requests);
	gint64 give_up = g_get_monotonic_time() + 200 * G_USEC_PER_SEC;
	g_autofree char *text = NULL;
	guint n_opened = 0, n_over = 0;
	struct weir_error err = { 0 };
	size_t active = 1, waiting = 1;
	struct harness h;
	struct fake fakes[MOST_BACKENDS];
	guint at = 0; /* the one that serves */

	harness_init(&h, &options);
	for (guint i = 0; i <= shape->n_lost; i++) {
		struct weir_backend_binding b = { names[i], &fakes[i].instance, serves[i], "fake" };

		fake_init(&fakes[i], shape->n_ctx, shape->max_rows, shape->max_tokens,
			  shape->block_tokens, shape->n_blocks);
		fakes[i].end_one_in = shape->end_one_in;
		fakes[i].memory = shape->memory;
		fakes[i].model.max_guesses = shape->guesses;
		g_assert_cmpint(weir_router_add_backend(h.core.router, &b, &err), ==, WEIR_OK);
	}
	harness_start(&h);
	while (weir_router_state(h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
	for (guint i = 0; i < shape->n_requests; i++)
		ask_init(&asks[i], rand, MIN(shape->n_ctx, shape->n_blocks * shape->block_tokens));
	while (n_over < shape->n_requests) {
		while (n_opened < shape->n_requests && n_opened - n_over < shape->n_open)
			ask_open(&h, &asks[n_opened++], rand);
		harness_dispatch(&h, 1);
		n_over = 0;
		for (guint i = 0; i < n_opened; i++) {
			poke(&asks[i], rand);
			n_over += asks[i].seen->n_ends;
		}
		if (shape->fail_one_in &&
		    g_rand_int_range(rand, 0, (gint32)shape->fail_one_in) == 0)
			g_atomic_int_set(&fakes[at].fail_steps, 1);
		if (at < shape->n_lost && n_over > (at + 1) * shape->n_requests / 5)
			g_atomic_int_set(&fakes[at++].lose, 1);
		if (g_get_monotonic_time() > give_up)
			g_error("%u of %u have ended after 200 s; %s", n_over, shape->n_requests,
				fakes[at].breach);
	}
	for (int i = 0; i < 5000 && (active || waiting); i++) {
		weir_router_status(h.core.router, &active, &waiting, NULL, NULL);
		g_usleep(active || waiting ? 1000 : 0);
	}
	g_assert_cmpuint(active + waiting, ==, 0);
	g_usleep(5000);
	text = weir_metric_set_prometheus(h.core.metrics);
	g_assert_nonnull(strstr(
		text, "vllm:kv_cache_usage_perc{model_name=\"fake-model\",engine=\"0\"} 0\n"));
	g_assert_nonnull(strstr(text, "queue_depth 0\n"));
	for (guint i = 0; i <= shape->n_lost; i++)
		if (fakes[i].n_breaches)
			g_error("%u: %d breaches, the first: %s", i, fakes[i].n_breaches,
				fakes[i].breach);
	for (guint i = 0; i < shape->n_requests; i++) {
		check(&fakes[0], shape, &asks[i]);
		seen_free(asks[i].seen);
		g_free(asks[i].prompt);
	}
	{
		const char *preempted = strstr(text, "vllm:num_preemptions_total{");

		const struct fake *fake = &fakes[at];

		g_test_message("%d guesses, %d right", fake->n_guesses, fake->n_right);
		g_test_message("%d steps, %d tokens, %d copies, %d gone, at most %d rows; %.*s",
			       fake->n_steps, fake->n_tokens, fake->n_copies, fake->n_gone,
			       fake->most_rows, (int)strcspn(preempted, "\n"), preempted);
	}
	g_assert_cmpint(fakes[at].n_right > 0, ==, shape->guesses > 0);
	harness_clear(&h);
	for (guint i = 0; i <= shape->n_lost; i++)
		fake_clear(&fakes[i]);
}

static void test_shape(gconstpointer data)
{
	guint32 seed = 1;
	const char *from = g_getenv("WEIR_TEST_SEED");

	if (from)
		seed = (guint32)g_ascii_strtoull(from, NULL, 10);
	run(data, seed);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		struct shape shape;
	} tests[] = {
		{ "/scheduler/random/roomy",
		  { .n_ctx = 300,
		    .max_rows = 16,
		    .max_tokens = 64,
		    .block_tokens = 8,
		    .n_blocks = 1000,
		    .park_after_ms = 1000,
		    .n_requests = 200,
		    .n_open = 60,
		    .end_one_in = 60 } },
		{ "/scheduler/random/few-blocks",
		  { .n_ctx = 200,
		    .max_rows = 8,
		    .max_tokens = 24,
		    .block_tokens = 4,
		    .n_blocks = 60,
		    .park_after_ms = 5,
		    .n_requests = 200,
		    .n_open = 40,
		    .end_one_in = 60 } },
		{ "/scheduler/random/hardly-any",
		  { .n_ctx = 200,
		    .max_rows = 3,
		    .max_tokens = 5,
		    .block_tokens = 4,
		    .n_blocks = 26,
		    .park_after_ms = 0,
		    .n_requests = 150,
		    .n_open = 150,
		    .end_one_in = 40 } },
		{ "/scheduler/random/one-by-one",
		  { .n_ctx = 120,
		    .max_rows = 1,
		    .max_tokens = 1,
		    .block_tokens = 1,
		    .n_blocks = 120,
		    .max_concurrent = 2,
		    .park_after_ms = 2,
		    .n_requests = 60,
		    .n_open = 20,
		    .end_one_in = 20 } },
		{ "/scheduler/random/failing",
		  { .n_ctx = 200,
		    .max_rows = 8,
		    .max_tokens = 24,
		    .block_tokens = 8,
		    .n_blocks = 60,
		    .park_after_ms = 10,
		    .n_requests = 150,
		    .n_open = 40,
		    .fail_one_in = 40,
		    .end_one_in = 60 } },
		{ "/scheduler/random/guesses",
		  { .n_ctx = 300,
		    .max_rows = 16,
		    .max_tokens = 64,
		    .block_tokens = 8,
		    .n_blocks = 1000,
		    .park_after_ms = 20,
		    .n_requests = 200,
		    .n_open = 12,
		    .end_one_in = 60,
		    .memory = 1,
		    .guesses = 40 } },
		{ "/scheduler/random/guesses-few-blocks",
		  { .n_ctx = 200,
		    .max_rows = 4,
		    .max_tokens = 9,
		    .block_tokens = 4,
		    .n_blocks = 52,
		    .park_after_ms = 2,
		    .n_requests = 200,
		    .n_open = 20,
		    .fail_one_in = 60,
		    .end_one_in = 60,
		    .memory = 4,
		    .guesses = 5 } },
		{ "/scheduler/random/lost",
		  { .n_ctx = 300,
		    .max_rows = 16,
		    .max_tokens = 64,
		    .block_tokens = 8,
		    .n_blocks = 1000,
		    .park_after_ms = 10,
		    .n_requests = 200,
		    .n_open = 40,
		    .end_one_in = 60,
		    .n_lost = 1 } },
		{ "/scheduler/random/lost-few-blocks",
		  { .n_ctx = 200,
		    .max_rows = 4,
		    .max_tokens = 9,
		    .block_tokens = 4,
		    .n_blocks = 52,
		    .park_after_ms = 2,
		    .n_requests = 200,
		    .n_open = 30,
		    .end_one_in = 60,
		    .memory = 4,
		    .guesses = 5,
		    .n_lost = 3 } },
	};

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add_data_func(tests[i].name, &tests[i].shape, test_shape);
	return g_test_run();
}
