/*
 * test-scheduler-grammar.c - output in a language (core/scheduler-grammar.c) over the fake backend:
 * masks reach the rows that draw, each choice has a place of its own, and every way to fail ends
 * the one request with a reason.
 */
#include <string.h>

#include "fake-step.h"
#include "harness.h"

struct fixture {
	struct harness h;
	struct fake fake;
};

static void start_with(struct fixture *f, uint32_t n_blocks, gboolean grammars)
{
	const char *const serves[] = { "fake-model", NULL };
	struct weir_backend_binding b = { "backend.fake", &f->fake.instance, serves, "fake" };
	struct weir_router_options options = {
		.n_workers = 2, .max_queue = 100, .park_after_ms = 1, .cancel_grace_ms = 10000
	};
	struct weir_error err = { 0 };

	fake_init(&f->fake, 80, 4, 12, 4, n_blocks);
	f->fake.grammars = grammars;
	f->fake.model.max_guesses = 8;
	f->fake.memory = 1;
	harness_init(&f->h, &options);
	if (weir_router_add_backend(f->h.core.router, &b, &err) < 0)
		g_error("%s", err.text);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
}

static void start(struct fixture *f, uint32_t n_blocks)
{
	start_with(f, n_blocks, TRUE);
}

static void stop(struct fixture *f)
{
	harness_clear(&f->h);
	if (g_atomic_int_get(&f->fake.n_breaches) > 0)
		g_error("%d breaches, the first: %s", f->fake.n_breaches, f->fake.breach);
	/* Grammars and places all went. */
	g_assert_cmpint(g_atomic_int_get(&f->fake.n_places), ==, 0);
	fake_clear(&f->fake);
}

static struct seen *ask(struct fixture *f, uint32_t n, uint32_t max, const char *prompt,
			const char *grammar, uint32_t credit)
{
	struct weir_sampling s = { .size = sizeof(s), .temperature = 1, .seed = 7, .seed_set = 1 };
	struct weir_limits l = { .size = sizeof(l), .n = n, .max_tokens = max };
	struct weir_error err = { 0 };
	struct seen *seen = seen_new(1);

	g_assert_cmpint(harness_open(&f->h, seen, credit, &s, &l, &err, "kind", "completion",
				     "model", "fake-model", "prompt", prompt, "grammar", grammar,
				     NULL),
			==, WEIR_OK);
	return seen;
}

static void assert_text(const char *text, const char *language)
{
	g_autofree char *lower = g_ascii_strdown(text, -1);

	g_assert_cmpstr(lower, ==, language);
}

/* Each choice is in the language, and stops where nothing may follow, without an end token. */
static void test_language(void)
{
	struct fixture f;

	start(&f, 60);
	for (uint32_t n = 1; n <= 4; n++) {
		struct seen *seen = ask(&f, n, 0, "abcabcabc", "the language", 3);

		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpint(seen->end.status, ==, WEIR_OK);
		g_assert_cmpuint(seen->end.finish, ==, WEIR_FINISH_STOP);
		for (uint32_t i = 0; i < n; i++)
			assert_text(seen->choice_text[i]->str, "the language");
		g_assert_cmpuint(seen->end.n_output, ==, n * strlen("the language"));
		seen_free(seen);
	}
	stop(&f);
}

/* Cut by max_tokens it is a beginning of the language. */
static void test_length(void)
{
	struct fixture f;
	struct seen *seen;

	start(&f, 60);
	seen = ask(&f, 1, 4, "x", "language", 9);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpuint(seen->end.finish, ==, WEIR_FINISH_LENGTH);
	assert_text(seen->text->str, "lang");
	g_assert_cmpint(g_atomic_int_get(&f.fake.n_masks), ==, 4);
	seen_free(seen);
	stop(&f);
}

/* Sequences that lose their blocks keep their place; those beside them have no mask. */
static void test_crowd(void)
{
	static const char language[] = "a language of some length indeed";
	struct seen *seen[10];
	struct fixture f;

	start(&f, 21);
	for (guint i = 0; i < 10; i++)
		seen[i] = ask(&f, 1, 40, "prompt of a kind", i % 3 ? language : NULL, 1 + i % 2);
	for (guint i = 0; i < 10; i++) {
		harness_until(&f.h, &seen[i]->n_ends);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_OK);
		if (i % 3)
			assert_text(seen[i]->text->str, language);
		else
			g_assert_cmpuint(seen[i]->end.n_output, ==, 40);
		seen_free(seen[i]);
	}
	stop(&f);
}

static void test_failures(void)
{
	static const struct {
		const char *grammar, *text;
		weir_status status;
		gboolean offered, heedless;
	} cases[] = {
		{ "!", "no such language", WEIR_E_INVALID, TRUE, FALSE },
		{ "ab?", "the grammar is too large", WEIR_E_EXHAUSTED, TRUE, FALSE },
		{ "ab", "cannot hold its output to a grammar", WEIR_E_UNSUPPORTED, FALSE, FALSE },
		/* A backend that does not heed the mask has failed. */
		{ "\x7f\x7f", "not in the language", WEIR_E_INTERNAL, TRUE, TRUE },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct seen *seen, *other;
		struct fixture f;

		start_with(&f, 60, cases[i].offered);
		f.fake.heedless = cases[i].heedless;
		other = ask(&f, 1, 10, "somebody else", NULL, 9);
		seen = ask(&f, 2, 10, "x", cases[i].grammar, 9);
		harness_until(&f.h, &seen->n_ends);
		harness_until(&f.h, &other->n_ends);
		g_assert_cmpint(seen->end.status, ==, cases[i].status);
		g_assert_nonnull(strstr(seen->end_text, cases[i].text));
		g_assert_cmpint(other->end.status, ==, WEIR_OK);
		g_assert_cmpuint(other->end.n_output, ==, 10);
		seen_free(seen);
		seen_free(other);
		stop(&f);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scheduler-grammar/language", test_language);
	g_test_add_func("/scheduler-grammar/length", test_length);
	g_test_add_func("/scheduler-grammar/crowd", test_crowd);
	g_test_add_func("/scheduler-grammar/failures", test_failures);
	return g_test_run();
}
