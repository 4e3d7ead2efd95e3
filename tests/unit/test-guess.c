/*
 * test-guess.c - prompt lookup finds what followed the longest and newest agreement, and guesses
 * are made only while they pay.
 */
#include <string.h>

#include <glib.h>

#include "guess.h"

static GArray *ids(const char *text)
{
	GArray *a = g_array_new(FALSE, FALSE, sizeof(int32_t));

	for (; *text; text++) {
		int32_t id = *text;

		g_array_append_val(a, id);
	}
	return a;
}

static void test_find(void)
{
	static const struct {
		const char *text, *guess;
		uint32_t want;
	} cases[] = {
		{ "", "", 4 },
		{ "abc", "", 4 },
		{ "abcabc", "abca", 4 }, /* a loop goes on beyond what is known */
		{ "xabcd--abc", "d--a", 4 },
		{ "xabcd--abc", "d", 1 },
		{ "xabcd--abc", "", 0 },
		{ "abcd abce abc", "e ab", 4 },    /* the newest */
		{ "1abcd 2abce 1abc", "d 2a", 4 }, /* the longest */
		{ "nothing here is", "", 4 },
		{ "aaaaaaaa", "aaaaaa", 6 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GArray) a = ids(cases[i].text);
		struct weir_guesser *g = weir_guesser_new();
		int32_t guess[8];
		char text[9] = "";
		uint32_t n = 0;

		/* Token by token, as a sequence grows. */
		for (guint k = 1; k <= a->len; k++)
			n = weir_guesser_find(g, (int32_t *)(void *)a->data, k, cases[i].want,
					      guess);
		for (uint32_t k = 0; k < n; k++)
			text[k] = (char)guess[k];
		g_assert_cmpstr(text, ==, cases[i].guess);
		weir_guesser_free(g);
	}
	weir_guesser_free(NULL);
}

/* However long the text, and whether it came at once or in pieces: a guess follows an agreement. */
static void test_random(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	g_autofree int32_t *tokens = g_new(int32_t, 5000);
	struct weir_guesser *g = weir_guesser_new();
	uint32_t found = 0;

	for (uint32_t n = 0; n < 5000; n++)
		tokens[n] = g_rand_int_range(rand, 0, 9);
	for (uint32_t n = 1; n <= 5000; n += (uint32_t)g_rand_int_range(rand, 1, 90)) {
		int32_t guess[5];
		uint32_t k = weir_guesser_find(g, tokens, n, 5, guess);
		gboolean seen = k == 0;

		g_assert_true(k == 0 || k == 5);
		for (uint32_t at = 3; !seen && at < n; at++)
			seen = !memcmp(tokens + at - 3, tokens + n - 3, 12) &&
			       tokens[at] == guess[0];
		g_assert_true(seen);
		found += k;
	}
	g_assert_cmpuint(found, >, 100);
	weir_guesser_free(g);
}

static void test_worth(void)
{
	struct weir_guesser *g = weir_guesser_new();
	uint32_t n = 0;

	g_assert_cmpuint(weir_guesser_worth(g, 1.0, 8), ==, 0);
	g_assert_cmpuint(weir_guesser_worth(g, 0.01, 8), ==, 8);
	for (int i = 0; i < 60; i++)
		weir_guesser_learn(g, 4, 0);
	g_assert_cmpuint(weir_guesser_worth(g, 0.3, 8), ==, 0);
	while (weir_guesser_worth(g, 0.3, 8) == 0)
		g_assert_cmpuint(++n, <, 200); /* it is tried again */
	for (int i = 0; i < 60; i++)
		weir_guesser_learn(g, 4, 4);
	g_assert_cmpuint(weir_guesser_worth(g, 0.3, 8), ==, 8);
	weir_guesser_free(g);
}

static void test_pace(void)
{
	struct weir_pace p = { 0 }, flat = { 0 }, steep = { 0 };

	g_assert_cmpfloat(weir_pace_price(&p, 1), >, 0.1);
	g_assert_cmpfloat(weir_pace_price(&p, 1), <, 1);
	for (uint32_t i = 0; i < 200; i++) {
		weir_pace_observe(&p, 1 + i % 4, 0.009 + 0.001 * (1 + i % 4));
		weir_pace_observe(&flat, 1 + i % 4, 0.01);
		weir_pace_observe(&steep, 1 + i % 4, 0.01 * (1 + i % 4));
	}
	g_assert_cmpfloat_with_epsilon(weir_pace_price(&p, 1), 0.1, 1e-6);
	g_assert_cmpfloat_with_epsilon(weir_pace_price(&p, 9), 0.5, 1e-6);
	g_assert_cmpfloat(weir_pace_price(&flat, 1), <, 0.05);
	g_assert_cmpfloat(weir_pace_price(&steep, 1), >, 0.95);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/guess/find", test_find);
	g_test_add_func("/guess/random", test_random);
	g_test_add_func("/guess/worth", test_worth);
	g_test_add_func("/guess/pace", test_pace);
	return g_test_run();
}
