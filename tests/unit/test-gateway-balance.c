/*
 * test-gateway-balance.c - which of several backends of one model gets a request: the policy as a
 * table (core/gateway-balance.h), and who served a prompt last (core/gateway-affinity.h).
 */
#include <string.h>

#include <glib.h>

#include "gateway-affinity.h"
#include "gateway-balance.h"
#include "request.h"

#define MOST 4

#define FAILED   WEIR_FITNESS_FAILED
#define UNLOADED WEIR_FITNESS_UNLOADED
#define LATER    WEIR_FITNESS_LATER
#define ASLEEP   WEIR_FITNESS_ASLEEP
#define COMING   WEIR_FITNESS_COMING
#define AWAY     WEIR_FITNESS_AWAY
#define READY    WEIR_FITNESS_READY

static void test_policy(void)
{
	static const struct {
		const char *what;
		size_t n;
		struct weir_candidate c[MOST]; /* fitness, full, busy, seats, affinity, picked */
		size_t expected;
	} cases[] = {
		{ "one", 1, { { FAILED, false, 9, 1, 0, 0 } }, 0 },
		{ "ready before all else",
		  4,
		  { { AWAY, false, 0, 8, 9, 0 },
		    { COMING, false, 0, 8, 9, 0 },
		    { READY, false, 7, 8, 0, 9 },
		    { FAILED, false, 0, 8, 9, 0 } },
		  2 },
		{ "away before loading",
		  3,
		  { { ASLEEP, false, 0, 8, 0, 0 },
		    { COMING, false, 0, 8, 0, 0 },
		    { AWAY, false, 5, 8, 0, 0 } },
		  2 },
		{ "one that loads before another load",
		  3,
		  { { ASLEEP, false, 0, 8, 0, 0 },
		    { COMING, false, 5, 8, 0, 0 },
		    { LATER, false, 0, 8, 0, 0 } },
		  1 },
		{ "asleep before a refusal",
		  3,
		  { { LATER, false, 0, 8, 0, 0 },
		    { ASLEEP, false, 0, 8, 0, 0 },
		    { UNLOADED, false, 0, 8, 0, 0 } },
		  1 },
		{ "the mildest refusal",
		  3,
		  { { FAILED, false, 0, 8, 0, 0 },
		    { UNLOADED, false, 0, 8, 0, 0 },
		    { LATER, false, 0, 8, 0, 0 } },
		  2 },
		{ "a full queue is passed over",
		  2,
		  { { READY, true, 3, 64, 9, 0 }, { READY, false, 60, 64, 0, 0 } },
		  1 },
		{ "ready and full before one that loads",
		  2,
		  { { COMING, false, 0, 8, 0, 0 }, { READY, true, 9, 8, 0, 0 } },
		  1 },
		{ "the least busy",
		  3,
		  { { READY, false, 3, 8, 0, 0 },
		    { READY, false, 2, 8, 0, 9 },
		    { READY, false, 4, 8, 0, 0 } },
		  1 },
		{ "by its seats",
		  2,
		  { { READY, false, 3, 4, 0, 0 }, { READY, false, 8, 16, 0, 0 } },
		  1 },
		{ "of any number",
		  2,
		  { { READY, false, 5, 0, 0, 0 }, { READY, false, 4, 0, 0, 0 } },
		  1 },
		{ "equal ratios: who was chosen longest ago",
		  3,
		  { { READY, false, 1, 3, 0, 7 },
		    { READY, false, 2, 6, 0, 5 },
		    { READY, false, 3, 9, 0, 6 } },
		  1 },
		{ "never chosen first",
		  2,
		  { { READY, false, 0, 8, 0, 1 }, { READY, false, 0, 8, 0, 0 } },
		  1 },
		{ "who knows the prompt",
		  3,
		  { { READY, false, 0, 8, 0, 0 },
		    { READY, false, 1, 8, 3, 9 },
		    { READY, false, 0, 8, 0, 1 } },
		  1 },
		{ "who knows more of it",
		  3,
		  { { READY, false, 1, 8, 5, 0 },
		    { READY, false, 2, 8, 7, 9 },
		    { READY, false, 0, 8, 0, 1 } },
		  1 },
		{ "a quarter of its seats more is not too much",
		  2,
		  { { READY, false, 0, 16, 0, 0 }, { READY, false, 4, 16, 1, 9 } },
		  1 },
		{ "but more than that",
		  2,
		  { { READY, false, 0, 16, 0, 0 }, { READY, false, 5, 16, 1, 9 } },
		  0 },
		{ "then who knows less of it",
		  3,
		  { { READY, false, 0, 16, 0, 0 },
		    { READY, false, 5, 16, 7, 9 },
		    { READY, false, 3, 16, 2, 9 } },
		  2 },
		{ "nobody waits where another seat is free",
		  2,
		  { { READY, false, 63, 64, 0, 0 }, { READY, false, 64, 64, 9, 9 } },
		  0 },
		{ "where all wait, the prompt counts",
		  2,
		  { { READY, false, 64, 64, 0, 0 }, { READY, false, 66, 64, 9, 9 } },
		  1 },
		{ "the prompt is no reason to wait for a load",
		  2,
		  { { READY, false, 7, 8, 0, 0 }, { COMING, false, 0, 8, 9, 0 } },
		  0 },
		{ "very many",
		  2,
		  { { READY, false, SIZE_MAX, UINT32_MAX, 0, 0 },
		    { READY, false, SIZE_MAX / 2, UINT32_MAX, 0, 9 } },
		  1 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_test_message("%s", cases[i].what);
		g_assert_cmpuint(weir_balance_pick(cases[i].c, cases[i].n), ==, cases[i].expected);
	}
}

/* Whatever the numbers: it is one of the fittest, and not much busier than the least busy. */
static void test_random(void)
{
	GRand *rand = g_rand_new_with_seed(42);

	for (int round = 0; round < 20000; round++) {
		struct weir_candidate c[MOST];
		size_t n = (size_t)g_rand_int_range(rand, 1, MOST + 1), at;
		double least = G_MAXDOUBLE, mine;

		for (size_t i = 0; i < n; i++)
			c[i] = (struct weir_candidate){
				.fitness = (enum weir_fitness)g_rand_int_range(rand, 4, 7),
				.full = g_rand_int_range(rand, 0, 4) == 0,
				.n_busy = (size_t)g_rand_int_range(rand, 0, 40),
				.n_seats = (uint32_t)g_rand_int_range(rand, 1, 33),
				.affinity = (uint32_t)g_rand_int_range(rand, 0, 4),
				.picked = g_rand_int(rand),
			};
		at = weir_balance_pick(c, n);
		g_assert_cmpuint(at, <, n);
		for (size_t i = 0; i < n; i++) {
			g_assert_cmpuint(c[i].fitness, <=, c[at].fitness);
			if (c[i].fitness != c[at].fitness)
				continue;
			g_assert_true(c[i].full || !c[at].full);
			if (c[i].full == c[at].full)
				least = MIN(least, (double)c[i].n_busy / c[i].n_seats);
		}
		mine = (double)c[at].n_busy / c[at].n_seats;
		g_assert_cmpfloat(mine, <=, least + (c[at].affinity ? 0.25 : 0));
	}
	g_rand_free(rand);
}

/* --- who served it ------------------------------------------------------------------------- */

static void hash(const struct weir_affinity *a, const char *kind, const char *field,
		 const char *text, const char *tenant, const char *tools,
		 struct weir_affinity_keys *ret)
{
	const struct weir_kv fields[] = {
		{ "kind", kind }, { field, text }, { "tenant", tenant }, { "tools", tools }
	};
	weir_request *request = weir_request_new(fields, G_N_ELEMENTS(fields), NULL, NULL);

	weir_affinity_hash(a, request, ret);
	g_assert_true(ret->made);
	weir_request_unref(request);
}

static char *text_of(gsize n, char what)
{
	char *text = g_malloc(n + 1);

	memset(text, what, n);
	text[n] = '\0';
	return text;
}

static void test_keys(void)
{
	static const struct {
		gsize len;
		guint n;
	} cases[] = { { 0, 0 },      { 255, 0 },    { 256, 1 },     { 383, 1 },  { 384, 2 },
		      { 512, 3 },    { 767, 3 },    { 768, 4 },     { 1024, 5 }, { 32768, 15 },
		      { 49151, 15 }, { 49152, 16 }, { 1000000, 16 } };
	struct weir_affinity *a = weir_affinity_new();
	g_autofree char *tools = text_of(300, 't');
	struct weir_affinity_keys keys, other;
	g_autofree char *whole = text_of(5000, 'x'), *longer = text_of(9000, 'x');

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = text_of(cases[i].len, 'x');

		hash(a, "chat", "messages", text, NULL, NULL, &keys);
		g_assert_cmpuint(keys.n, ==, cases[i].n);
		hash(a, "completion", "prompt", text, NULL, NULL, &keys);
		g_assert_cmpuint(keys.n, ==, cases[i].n);
		hash(a, "embed", "inputs", text, NULL, NULL, &keys);
		g_assert_cmpuint(keys.n, ==, 0);
	}
	/* A longer one has the keys of its beginning; another tenant's, or other tools, none. */
	hash(a, "chat", "messages", whole, NULL, NULL, &keys);
	hash(a, "chat", "messages", longer, NULL, NULL, &other);
	g_assert_cmpuint(other.n, >, keys.n);
	g_assert_cmpmem(keys.keys, keys.n * 8, other.keys, keys.n * 8);
	hash(a, "chat", "messages", longer, "somebody", NULL, &other);
	for (guint i = 0; i < keys.n; i++)
		g_assert_cmpuint(keys.keys[i], !=, other.keys[i]);
	hash(a, "chat", "messages", whole, NULL, tools, &other);
	g_assert_cmpuint(other.n, ==, keys.n + 1);
	for (guint i = 0; i < keys.n; i++)
		g_assert_cmpuint(keys.keys[i], !=, other.keys[i + 1]);
	longer[300] = 'y';
	hash(a, "chat", "messages", longer, NULL, NULL, &other);
	g_assert_cmpuint(keys.keys[0], ==, other.keys[0]);
	for (guint i = 1; i < keys.n; i++)
		g_assert_cmpuint(keys.keys[i], !=, other.keys[i]);
	weir_affinity_free(a);
	weir_affinity_free(NULL);
}

static void test_table(void)
{
	static const char one[] = "backend.a", two[] = "backend.b";
	struct weir_affinity *a = weir_affinity_new();
	struct weir_affinity_keys keys, other, none = { .made = true };
	g_autofree char *whole = text_of(1000, 'x'), *longer = text_of(3000, 'x');

	hash(a, "chat", "messages", whole, NULL, NULL, &keys);
	hash(a, "chat", "messages", longer, NULL, NULL, &other);
	g_assert_cmpuint(weir_affinity_find(a, &keys, one), ==, 0);
	weir_affinity_note(a, &keys, one);
	weir_affinity_note(a, &none, two);
	g_assert_cmpuint(weir_affinity_find(a, &keys, one), ==, keys.n);
	g_assert_cmpuint(weir_affinity_find(a, &keys, two), ==, 0);
	g_assert_cmpuint(weir_affinity_find(a, &other, one), ==, keys.n);
	weir_affinity_note(a, &other, two);
	g_assert_cmpuint(weir_affinity_find(a, &other, two), ==, other.n);
	g_assert_cmpuint(weir_affinity_find(a, &other, one), ==, 0);
	g_assert_cmpuint(weir_affinity_find(a, &keys, two), ==, keys.n);

	/* Many others push it out; what came last is still there. */
	for (guint64 i = 0; i < 20000; i++) {
		struct weir_affinity_keys many = { .made = true, .n = 1 };

		many.keys[0] = i * 0x9e3779b97f4a7c15u + 1;
		weir_affinity_note(a, &many, one);
		g_assert_cmpuint(weir_affinity_find(a, &many, one), ==, 1);
	}
	g_assert_cmpuint(weir_affinity_find(a, &keys, two), ==, 0);
	weir_affinity_free(a);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gateway-balance/policy", test_policy);
	g_test_add_func("/gateway-balance/random", test_random);
	g_test_add_func("/gateway-balance/keys", test_keys);
	g_test_add_func("/gateway-balance/table", test_table);
	return g_test_run();
}
