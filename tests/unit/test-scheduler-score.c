/*
 * test-scheduler-score.c - prompts that are told token by token, with log-probabilities or without,
 * over a backend whose scores betray a wrong position, a wrong block or a wrong target
 * (fake-step.h); stop strings and thoughts in the ends.
 */
#include <math.h>
#include <string.h>

#include "fake-step.h"
#include "harness.h"

struct fixture {
	struct harness h;
	struct fake fake;
};

static void start(struct fixture *f, uint32_t max_scores)
{
	const char *const serves[] = { "fake-model", NULL };
	struct weir_backend_binding b = { "backend.fake", &f->fake.instance, serves, "fake" };
	struct weir_router_options options = {
		.n_workers = 2, .max_queue = 100, .park_after_ms = 1, .cancel_grace_ms = 10000
	};
	struct weir_error err = { 0 };

	f->fake.model.max_scores = max_scores;
	harness_init(&f->h, &options);
	if (weir_router_add_backend(f->h.core.router, &b, &err) < 0)
		g_error("%s", err.text);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
}

static void stop(struct fixture *f)
{
	harness_clear(&f->h);
	if (g_atomic_int_get(&f->fake.n_breaches) > 0)
		g_error("%d breaches, the first: %s", f->fake.n_breaches, f->fake.breach);
	fake_clear(&f->fake);
}

static weir_status ask(struct fixture *f, struct seen *seen, uint32_t credit,
		       const struct weir_sampling *s, const struct weir_limits *l, const char *key,
		       const char *prompt)
{
	struct weir_error err = { 0 };

	return harness_open(&f->h, seen, credit, s, l, &err, "kind", "completion", "model",
			    "fake-model", key, prompt, NULL);
}

/* What the PROMPT events of a text must be. */
static char *told(const struct fake *f, const char *prompt, uint32_t n_top)
{
	GString *out = g_string_new(NULL);
	g_autofree int32_t *ids = g_new(int32_t, strlen(prompt));

	for (guint i = 0; prompt[i]; i++) {
		uint32_t rank = 0;
		float logprob = NAN;

		ids[i] = 2 + (guchar)prompt[i];
		if (i > 0)
			logprob = fake_score(f, ids, i, &rank);
		g_string_append_printf(out, "%c|%d|%.2f|%u|%u;", prompt[i], ids[i], (double)logprob,
				       rank, i > 0 ? MIN(n_top, 3u) : 0);
	}
	return g_string_free(out, FALSE);
}

/* Slices of every size, one choice and several, with output and without, quick readers and slow. */
static void test_scores(void)
{
	static const char prompt[] = "a prompt that is longer than two blocks";
	static const struct {
		uint32_t max_scores, max_tokens, n, no_output, credit, top;
	} cases[] = {
		{ 1, 16, 1, 0, 100, 0 }, { 3, 16, 1, 0, 100, 5 },  { 16, 16, 3, 0, 100, 1 },
		{ 64, 40, 1, 0, 1, 2 },  { 64, 64, 2, 1, 100, 0 }, { 7, 16, 1, 1, 1, 20 },
		{ 5, 16, 4, 0, 2, 0 },   { 64, 64, 1, 1, 3, 0 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_sampling s = { .size = sizeof(s),
					   .prompt_logprobs = 1,
					   .prompt_top_logprobs = cases[i].top };
		struct weir_limits l = { .size = sizeof(l),
					 .n = cases[i].n,
					 .max_tokens = 6,
					 .echo = 1,
					 .no_output = cases[i].no_output };
		struct seen *seen = seen_new(1);
		struct fixture f;
		g_autofree char *want = NULL;

		fake_init(&f.fake, 120, 4, cases[i].max_tokens, 8, 30);
		start(&f, cases[i].max_scores);
		g_assert_cmpint(ask(&f, seen, cases[i].credit, &s, &l, "prompt", prompt), ==,
				WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		want = told(&f.fake, prompt, cases[i].top);
		g_assert_cmpint(seen->end.status, ==, WEIR_OK);
		g_assert_cmpstr(seen->prompts->str, ==, want);
		g_assert_cmpuint(seen->n_wrong, ==, 0);
		g_assert_cmpuint(seen->end.n_output, ==, cases[i].no_output ? 0 : 6 * cases[i].n);
		g_assert_cmpuint(seen->end.finish, ==, WEIR_FINISH_LENGTH);
		g_assert_cmpint(g_atomic_int_get(&f.fake.n_scored), ==, (gint)strlen(prompt) - 1);
		seen_free(seen);
		stop(&f);
	}
}

/* What the cache holds is computed again, for its scores; and what was scored is in the cache. */
static void test_cache(void)
{
	static const char prompt[] = "the same prompt again and again";
	struct weir_sampling plain = { .size = sizeof(plain) };
	struct weir_sampling s = { .size = sizeof(s), .prompt_logprobs = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = 1, .max_tokens = 2 };
	struct fixture f;
	g_autofree char *want = NULL;

	fake_init(&f.fake, 120, 4, 16, 8, 30);
	start(&f, 16);
	want = told(&f.fake, prompt, 0);
	for (guint i = 0; i < 4; i++) {
		struct seen *seen = seen_new(1);
		bool scored = i == 1 || i == 2;

		l.echo = scored;
		g_assert_cmpint(ask(&f, seen, 9, scored ? &s : &plain, &l, "prompt", prompt), ==,
				WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpstr(seen->prompts->str, ==, scored ? want : "");
		g_assert_cmpuint(seen->end.n_cached, ==, i == 3 ? 24 : 0);
		seen_free(seen);
	}
	stop(&f);
}

/* Blocks are short, readers slow, all at once: sequences lose their blocks and go on. */
static void test_crowd(void)
{
	struct weir_sampling s = { .size = sizeof(s), .prompt_logprobs = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = 1, .max_tokens = 8, .echo = 1 };
	struct seen *seen[12];
	char prompts[12][64];
	struct fixture f;

	fake_init(&f.fake, 80, 4, 12, 4, 22);
	start(&f, 6);
	for (guint i = 0; i < 12; i++) {
		g_snprintf(prompts[i], sizeof(prompts[i]), "%u: a prompt of some length, number %u",
			   i * 7919, i);
		seen[i] = seen_new(1);
		g_assert_cmpint(ask(&f, seen[i], 1 + i % 3, &s, &l, "prompt", prompts[i]), ==,
				WEIR_OK);
	}
	for (guint i = 0; i < 12; i++) {
		g_autofree char *want = told(&f.fake, prompts[i], 0);

		harness_until(&f.h, &seen[i]->n_ends);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_OK);
		g_assert_cmpstr(seen[i]->prompts->str, ==, want);
		g_assert_cmpuint(seen[i]->tokens->len, ==, 8);
		g_assert_cmpuint(seen[i]->n_wrong, ==, 0);
		seen_free(seen[i]);
	}
	stop(&f);
}

/* Without scores nothing of the model is needed: token ids become text. */
static void test_echo(void)
{
	static const struct {
		const char *key, *prompt, *want;
		uint32_t credit, no_output;
	} cases[] = {
		{ "prompt", "ab", "a|99|nan|0|0;b|100|nan|0|0;", 9, 1 },
		{ "tokens", "[99, 1, 100]", "a|99|nan|0|0;|1|nan|0|0;b|100|nan|0|0;", 9, 0 },
		{ "tokens", "[197, 166, 197]",
		  "|197|nan|0|0;\xc3\xa4|166|nan|0|0;\xef\xbf\xbd|197|nan|0|0;", 1, 1 },
		{ "prompt", "x", "x|122|nan|0|0;", 1, 1 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_sampling s = { .size = sizeof(s) };
		struct weir_limits l = { .size = sizeof(l),
					 .n = 2,
					 .max_tokens = 3,
					 .echo = 1,
					 .no_output = cases[i].no_output };
		struct seen *seen = seen_new(1);
		struct fixture f;

		fake_init(&f.fake, 60, 4, 16, 8, 30);
		start(&f, 0);
		g_assert_cmpint(
			ask(&f, seen, cases[i].credit, &s, &l, cases[i].key, cases[i].prompt), ==,
			WEIR_OK);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpstr(seen->prompts->str, ==, cases[i].want);
		g_assert_cmpuint(seen->end.n_output, ==, cases[i].no_output ? 0 : 6);
		if (cases[i].no_output)
			g_assert_cmpint(g_atomic_int_get(&f.fake.n_tokens), ==, 0);
		seen_free(seen);
		stop(&f);
	}
}

static void test_refused(void)
{
	struct weir_sampling s = { .size = sizeof(s), .prompt_logprobs = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = 1, .max_tokens = 3, .echo = 1 };
	struct seen *seen = seen_new(1);
	struct fixture f;

	fake_init(&f.fake, 60, 4, 16, 8, 30);
	start(&f, 0);
	g_assert_cmpint(ask(&f, seen, 9, &s, &l, "prompt", "abc"), ==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(seen->end_text, "log-probabilities of a prompt"));
	seen_free(seen);
	stop(&f);
}

/* Cancelled in the middle of being told. */
static void test_cancel(void)
{
	struct weir_sampling s = { .size = sizeof(s), .prompt_logprobs = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = 1, .echo = 1, .no_output = 1 };
	struct fixture f;

	fake_init(&f.fake, 200, 4, 16, 8, 40);
	start(&f, 4);
	for (guint credit = 1; credit < 12; credit++) {
		struct seen *seen = seen_new(0);

		g_assert_cmpint(ask(&f, seen, credit, &s, &l, "prompt",
				    "something of which only a part is read"),
				==, WEIR_OK);
		while (seen->n_events < credit)
			harness_dispatch(&f.h, 100);
		weir_stream_cancel(seen->stream, WEIR_E_CANCELLED);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpint(seen->end.status, ==, WEIR_E_CANCELLED);
		g_assert_cmpuint(seen->n_prompts, ==, credit - 1);
		seen_free(seen);
	}
	stop(&f);
}

/* Which stop string it was, in each choice; the empty one keeps its place. */
static void test_stops(void)
{
	struct weir_sampling s = { .size = sizeof(s), .temperature = 1, .seed = 4, .seed_set = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = 3, .max_tokens = 4 };
	struct weir_error err;
	struct seen *seen = seen_new(1);
	struct fixture f;
	g_autofree char *stops = NULL;
	GString *first;
	char c = 0;

	fake_init(&f.fake, 60, 4, 16, 8, 30);
	start(&f, 0);
	/* What will be written, without stop strings. */
	g_assert_cmpint(ask(&f, seen, 9, &s, &l, "prompt", "abc"), ==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	first = seen->choice_text[1];
	for (guint i = 0; i < first->len && !c; i++)
		if (g_ascii_isalnum(first->str[i]) &&
		    !strchr(seen->choice_text[0]->str, first->str[i]))
			c = first->str[i];
	for (guint i = 0; i < 3; i++)
		g_assert_cmpuint(seen->choices[i].stop, ==, 0);
	if (c == 0) {
		g_test_skip("this seed writes no letter of its own");
	} else {
		struct seen *again = seen_new(1);

		stops = g_strdup_printf("[\"zzz\",\"\",\"%c\"]", c);
		g_assert_cmpint(harness_open(&f.h, again, 9, &s, &l, &err, "kind", "completion",
					     "model", "fake-model", "prompt", "abc", "stop", stops,
					     NULL),
				==, WEIR_OK);
		harness_until(&f.h, &again->n_ends);
		g_assert_cmpuint(again->choices[0].stop, ==, 0);
		g_assert_cmpuint(again->end.stop, ==, 0);
		g_assert_cmpuint(again->choices[1].stop, ==, 3);
		g_assert_cmpuint(again->choices[1].finish, ==, WEIR_FINISH_STOP);
		seen_free(again);
	}
	seen_free(seen);
	stop(&f);
}

/* The fake reader makes a thought of every text: each token with text counts. */
static void test_thoughts(void)
{
	struct weir_sampling s = { .size = sizeof(s) };
	struct weir_limits l = { .size = sizeof(l), .n = 2, .max_tokens = 5 };
	struct weir_error err;
	struct seen *seen = seen_new(8);
	g_autoptr(GArray) want = NULL;
	struct fixture f;
	guint n = 0;

	fake_init(&f.fake, 200, 4, 32, 8, 60);
	f.fake.answers = TRUE;
	f.fake.memory = 1; /* writes ASCII */
	start(&f, 0);
	g_assert_cmpint(harness_open(&f.h, seen, 100, &s, &l, &err, "kind", "chat", "model",
				     "fake-model", "messages",
				     "[{\"role\":\"user\",\"content\":\"x\"}]", NULL),
			==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	/* With a memory of one token it goes on from the reader's prefix alone. */
	want = fake_oracle(&f.fake, (const int32_t[]){ 2 + '!' }, 1, 0, 5, 0);
	for (guint i = 0; i < want->len; i++)
		n += g_array_index(want, int32_t, i) >= 2;
	g_assert_cmpuint(n, >, 1);
	g_assert_cmpuint(seen->choices[0].n_reasoning, ==, n);
	g_assert_cmpuint(seen->choices[1].n_reasoning, ==, n);
	g_assert_cmpuint(seen->end.n_reasoning, ==, 2 * n);
	seen_free(seen);
	stop(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scheduler-score/scores", test_scores);
	g_test_add_func("/scheduler-score/cache", test_cache);
	g_test_add_func("/scheduler-score/crowd", test_crowd);
	g_test_add_func("/scheduler-score/echo", test_echo);
	g_test_add_func("/scheduler-score/refused", test_refused);
	g_test_add_func("/scheduler-score/cancel", test_cancel);
	g_test_add_func("/scheduler-score/stops", test_stops);
	g_test_add_func("/scheduler-score/thoughts", test_thoughts);
	return g_test_run();
}
