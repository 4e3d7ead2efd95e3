/*
 * test-blocks.c - KV blocks and prefix keys; fair queueing of tenants.
 */
#include <string.h>

#include "blocks.h"
#include "tenants.h"

/* The reference vectors of SipHash-2-4-128: key 00 01 .. 0f, input 00 01 .. n-1. */
static void test_hash(void)
{
	static const struct {
		size_t n;
		unsigned char want[16];
	} cases[] = {
		{ 0,
		  { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
		    0x55, 0x02, 0x93 } },
		{ 1,
		  { 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b,
		    0x22, 0xfc, 0x45 } },
	};
	struct weir_prefix_secret secret;
	unsigned char bytes[64];
	int32_t tokens[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	memcpy(&secret, bytes, 16);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_prefix_key key = weir_prefix_hash(&secret, bytes, cases[i].n);

		g_assert_cmpmem(&key, 16, cases[i].want, 16);
	}
	{
		/* The chain is the hash of parent and tokens, one after the other. */
		struct weir_prefix_key parent = { 3, 4 }, key;
		struct weir_prefix_key a = weir_prefix_next(&secret, parent, tokens, 7), b;

		memcpy(bytes, &parent, 16);
		memcpy(bytes + 16, tokens, 28);
		b = weir_prefix_hash(&secret, bytes, 44);
		g_assert_cmpmem(&a, 16, &b, 16);
		key = weir_prefix_next(&secret, parent, tokens, 8);
		g_assert_cmpuint(key.a, !=, a.a);
	}
}

static struct weir_blocks *make(uint32_t n, uint32_t size)
{
	struct weir_blocks *b;

	g_assert_cmpint(weir_blocks_new(n, size, &b, NULL), ==, WEIR_OK);
	return b;
}

static void test_take(void)
{
	struct weir_blocks *b = make(3, 4);
	uint32_t x[3], y;

	for (int i = 0; i < 3; i++)
		g_assert_true(weir_blocks_take(b, &x[i]));
	g_assert_false(weir_blocks_take(b, &y));
	g_assert_true(x[0] != x[1] && x[1] != x[2] && x[0] != x[2]);
	weir_blocks_ref(b, x[1]);
	weir_blocks_unref(b, x[1]);
	g_assert_cmpuint(weir_blocks_available(b), ==, 0);
	weir_blocks_unref(b, x[1]);
	g_assert_cmpuint(weir_blocks_available(b), ==, 1);
	g_assert_true(weir_blocks_take(b, &y));
	g_assert_cmpuint(y, ==, x[1]);
	weir_blocks_free(b);
	weir_blocks_free(NULL);
}

static void test_remember(void)
{
	static const int32_t one[] = { 1, 1 }, two[] = { 2, 2 };
	struct weir_blocks *b = make(3, 2);
	struct weir_prefix_key root = weir_blocks_root(b, (struct weir_str){ "a", 1 });
	struct weir_prefix_key other = weir_blocks_root(b, (struct weir_str){ "b", 1 });
	struct weir_prefix_key k1, k2, key;
	uint32_t x[3], y;

	for (int i = 0; i < 3; i++)
		g_assert_true(weir_blocks_take(b, &x[i]));
	k1 = weir_blocks_remember(b, x[0], root, one);
	k2 = weir_blocks_remember(b, x[1], k1, two);
	weir_blocks_remember(b, x[2], root, one); /* alike: the first one stays */
	weir_blocks_unref(b, x[2]);
	g_assert_cmpuint(weir_blocks_remembered(b), ==, 0);

	/* In use, and found: shared. */
	g_assert_true(weir_blocks_find(b, root, one, &key, &y));
	g_assert_cmpuint(y, ==, x[0]);
	g_assert_cmpuint(weir_blocks_refs(b, y), ==, 2);
	g_assert_cmpuint(key.a, ==, k1.a);
	weir_blocks_unref(b, y);
	/* Another tenant, another parent, other tokens: nothing. */
	g_assert_false(weir_blocks_find(b, other, one, &key, &y));
	g_assert_false(weir_blocks_find(b, root, two, &key, &y));
	g_assert_false(weir_blocks_find(b, k2, two, &key, &y));

	/* Tail first: the head is the last to be forgotten. */
	weir_blocks_unref(b, x[1]);
	weir_blocks_unref(b, x[0]);
	g_assert_cmpuint(weir_blocks_remembered(b), ==, 2);
	g_assert_cmpuint(weir_blocks_available(b), ==, 3);
	g_assert_true(weir_blocks_take(b, &y)); /* x[2], free */
	g_assert_cmpuint(y, ==, x[2]);
	g_assert_true(weir_blocks_take(b, &y));
	g_assert_cmpuint(y, ==, x[1]);
	g_assert_false(weir_blocks_find(b, k1, two, &key, &y));
	g_assert_true(weir_blocks_find(b, root, one, &key, &y)); /* back from idleness */
	g_assert_cmpuint(weir_blocks_available(b), ==, 0);
	weir_blocks_unref(b, y);
	weir_blocks_forget(b);
	g_assert_false(weir_blocks_find(b, root, one, &key, &y));
	g_assert_cmpuint(weir_blocks_available(b), ==, 1);
	weir_blocks_free(b);
}

/* Against a plain model: who has references, what may be found. */
static void test_random(void)
{
	enum { N = 16, KEYS = 40 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(99);
	struct weir_blocks *b = make(N, 1);
	struct weir_prefix_key root = weir_blocks_root(b, (struct weir_str){ NULL, 0 }), key;
	int refs[N] = { 0 };
	int32_t holds[N];
	uint32_t block;

	memset(holds, 0xff, sizeof(holds));
	for (int round = 0; round < 100000; round++) {
		int32_t token = g_rand_int_range(rand, 0, KEYS);
		int n_used = 0, i;

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			if (weir_blocks_take(b, &block)) {
				g_assert_cmpint(refs[block], ==, 0);
				refs[block] = 1;
				holds[block] = -1;
			}
			break;
		case 1:
			i = g_rand_int_range(rand, 0, N);
			if (refs[i] > 0 && holds[i] < 0) {
				weir_blocks_remember(b, (uint32_t)i, root, &token);
				for (int k = 0; k < N; k++)
					if (holds[k] == token)
						token = -2; /* known already */
				holds[i] = token;
			}
			break;
		case 2:
			if (weir_blocks_find(b, root, &token, &key, &block)) {
				g_assert_cmpint(holds[block], ==, token);
				refs[block]++;
			} else {
				for (i = 0; i < N; i++)
					g_assert_false(refs[i] > 0 && holds[i] == token);
			}
			break;
		default:
			i = g_rand_int_range(rand, 0, N);
			if (refs[i] > 0) {
				weir_blocks_unref(b, (uint32_t)i);
				refs[i]--;
			}
		}
		for (i = 0; i < N; i++) {
			n_used += refs[i] > 0;
			g_assert_cmpuint(weir_blocks_refs(b, (uint32_t)i), ==, refs[i]);
		}
		g_assert_cmpuint(weir_blocks_available(b), ==, N - n_used);
	}
	weir_blocks_free(b);
}

/* --- tenants ------------------------------------------------------------------------------- */

static bool yes(struct weir_waiter *w, void *data)
{
	return true;
}

static bool not_this(struct weir_waiter *w, void *data)
{
	return w != data;
}

static void test_fair(void)
{
	enum { N = 60 };
	struct weir_tenants *t = weir_tenants_new();
	struct weir_waiter w[N] = { 0 }, *next;
	int served[2] = { 0, 0 };

	/* One tenant has sent 50 requests before the other sends 10: they are let in in turns. */
	for (int i = 0; i < N; i++)
		weir_tenants_add(t, &w[i], (struct weir_str){ i < 50 ? "a" : "b", 1 });
	for (int i = 0; i < 20; i++) {
		next = weir_tenants_next(t, yes, NULL);
		weir_tenants_admit(t, next);
		weir_tenants_charge(next, 100);
		served[next - w >= 50]++;
	}
	g_assert_cmpint(served[0], ==, 10);
	g_assert_cmpint(served[1], ==, 10);
	g_assert_cmpuint(weir_tenants_waiting(t), ==, 40);
	/* Priority goes before fairness. */
	w[10].priority = 0;
	weir_tenants_leave(t, &w[49]);
	w[49] = (struct weir_waiter){ .priority = 3 };
	weir_tenants_add(t, &w[49], (struct weir_str){ "a", 1 });
	g_assert_true(weir_tenants_next(t, yes, NULL) == &w[49]);
	g_assert_true(weir_tenants_next(t, not_this, &w[49]) == &w[10]);
	for (int i = 0; i < N; i++)
		weir_tenants_leave(t, &w[i]);
	g_assert_null(weir_tenants_next(t, yes, NULL));
	g_assert_null(weir_tenants_any(t));
	weir_tenants_free(t);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/blocks/siphash", test_hash);
	g_test_add_func("/blocks/take", test_take);
	g_test_add_func("/blocks/remember", test_remember);
	g_test_add_func("/blocks/random", test_random);
	g_test_add_func("/tenants/fair", test_fair);
	return g_test_run();
}
