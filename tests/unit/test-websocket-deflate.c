/*
 * tests/unit/test-websocket-deflate.c - permessage-deflate: the RFC's own examples, context
 * takeover, bombs and rubbish.
 */
#include <string.h>

#include <glib.h>

#include "deflate.h"

#define LIMIT (1u << 20)

static struct ws_deflate *codec(bool no_context, uint8_t bits)
{
	struct ws_deflate_params p = { .on = true,
				       .server_no_context = no_context,
				       .client_no_context = no_context,
				       .server_bits = bits,
				       .client_bits = bits };
	return ws_deflate_new(&p);
}

static void inflates(struct ws_deflate *d, const void *data, size_t n, const char *text)
{
	/* Cut anywhere. */
	for (size_t cut = 0; cut <= 1; cut++) {
		struct buf out = { NULL, 0, 0 };
		size_t first = cut ? n / 2 : 0;
		if (first)
			g_assert_cmpint(ws_inflate_part(d, data, first, false, LIMIT, &out), ==,
					WS_INFLATE_OK);
		g_assert_cmpint(ws_inflate_part(d, (const char *)data + first, n - first, true,
						LIMIT, &out),
				==, WS_INFLATE_OK);
		g_assert_cmpmem(out.data, out.len, text, strlen(text));
		buf_free(&out);
	}
}

/* RFC 7692 7.2.3 */
static void test_examples(void)
{
	static const uint8_t one[] = { 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00 };
	static const uint8_t stored[] = { 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48,
					  0x65, 0x6c, 0x6c, 0x6f, 0x00 };
	static const uint8_t final[] = { 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00 };
	static const uint8_t two[] = { 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff,
				       0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00 };
	static const uint8_t again[] = { 0xf2, 0x00, 0x11, 0x00, 0x00 };
	struct ws_deflate *d = codec(false, 15);
	inflates(d, one, sizeof(one), "Hello");
	inflates(d, stored, sizeof(stored), "Hello");
	inflates(d, final, sizeof(final), "Hello");
	inflates(d, two, sizeof(two), "Hello");
	inflates(d, again, sizeof(again), "Hello"); /* by what came before */
	inflates(d, "\0", 1, "");
	ws_deflate_free(d);
	/* Without the context it refers to nothing. */
	struct buf out = { NULL, 0, 0 };
	d = codec(true, 15);
	inflates(d, one, sizeof(one), "Hello");
	g_assert_cmpint(ws_inflate_part(d, again, sizeof(again), true, LIMIT, &out), ==,
			WS_INFLATE_BAD);
	buf_free(&out);
	ws_deflate_free(d);
	/* A final block does not lose the context either. */
	d = codec(false, 15);
	inflates(d, final, sizeof(final), "Hello");
	inflates(d, again, sizeof(again), "Hello");
	ws_deflate_free(d);
}

static void test_round_trip(gconstpointer no_context)
{
	GRand *rand = g_rand_new_with_seed(7692);
	for (uint8_t bits = 9; bits <= 15; bits++) {
		struct ws_deflate *to = codec(no_context != NULL, bits);
		struct ws_deflate *from = codec(no_context != NULL, bits);
		size_t plain = 0, packed = 0;
		for (int i = 0; i < 60; i++) {
			size_t n = i < 3 ? (size_t)i
					 : (size_t)g_rand_int_range(rand, 0, 40000) / (i % 9 + 1);
			g_autofree char *text = g_malloc(n + 1);
			int spread = g_rand_int_range(rand, 2, 257);
			for (size_t k = 0; k < n; k++)
				text[k] = (char)g_rand_int_range(rand, 0, spread);
			struct buf mid = { NULL, 0, 0 }, out = { NULL, 0, 0 };
			g_assert_true(ws_deflate_message(to, text, n, &mid));
			for (size_t at = 0; at < mid.len;) {
				size_t part = (size_t)g_rand_int_range(rand, 1, 5000);
				part = MIN(part, mid.len - at);
				at += part;
				g_assert_cmpint(ws_inflate_part(from, mid.data + at - part, part,
								at == mid.len, LIMIT, &out),
						==, WS_INFLATE_OK);
			}
			g_assert_cmpmem(out.data, out.len, text, n);
			plain += n;
			packed += mid.len;
			buf_free(&mid);
			buf_free(&out);
		}
		g_assert_cmpuint(packed, <, plain);
		ws_deflate_free(to);
		ws_deflate_free(from);
	}
	g_rand_free(rand);
}

/* Messages that look alike cost a few bytes each once there is a context. */
static void test_takeover_pays(void)
{
	static const char format[] = "{\"type\":\"chat.completion.chunk\",\"id\":\"r1\",\"seq\":%d,"
				     "\"data\":{\"choices\":[{\"delta\":{\"content\":\"w%d\"}}]}}";
	struct ws_deflate *with = codec(false, 12), *without = codec(true, 12);
	size_t n_with = 0, n_without = 0;
	for (int i = 0; i < 50; i++) {
		struct buf a = { NULL, 0, 0 }, b = { NULL, 0, 0 };
		g_autofree char *text = g_strdup_printf(format, i, i);
		g_assert_true(ws_deflate_message(with, text, strlen(text), &a));
		g_assert_true(ws_deflate_message(without, text, strlen(text), &b));
		n_with += a.len;
		n_without += b.len;
		buf_free(&a);
		buf_free(&b);
	}
	g_assert_cmpuint(n_with * 3, <, n_without);
	ws_deflate_free(with);
	ws_deflate_free(without);
}

/* Each of these two bytes is a whole, empty, last block: a window is copied for each. */
static void test_many_ends(void)
{
	struct ws_deflate *d = codec(false, 15);
	g_autofree char *ends = g_malloc(LIMIT);
	struct buf out = { NULL, 0, 0 };
	for (size_t i = 0; i < LIMIT; i++)
		ends[i] = i % 2 ? 0 : 3;
	ends[64] = 0; /* where the tail that the sender took away is put again */
	for (int message = 0; message < 3; message++)
		g_assert_cmpint(ws_inflate_part(d, ends, 65, true, LIMIT, &out), ==, WS_INFLATE_OK);
	ends[64] = 3;
	g_assert_cmpuint(out.len, ==, 0);
	g_assert_cmpint(ws_inflate_part(d, ends, LIMIT, true, LIMIT, &out), ==, WS_INFLATE_BAD);
	buf_free(&out);
	ws_deflate_free(d);
}

static void test_bomb(void)
{
	struct ws_deflate *d = codec(false, 15);
	g_autofree char *zeros = g_malloc0(16u << 20);
	struct buf bomb = { NULL, 0, 0 }, out = { NULL, 0, 0 };
	g_assert_true(ws_deflate_message(d, zeros, 16u << 20, &bomb));
	g_assert_cmpuint(bomb.len, <, 100000);
	g_assert_cmpint(ws_inflate_part(d, bomb.data, bomb.len, true, 4096, &out), ==,
			WS_INFLATE_TOO_BIG);
	g_assert_cmpuint(out.cap, <, 32768);
	buf_free(&out);
	ws_deflate_free(d);
	/* Exactly the limit is not too much. */
	d = codec(false, 15);
	bomb.len = 0;
	g_assert_true(ws_deflate_message(d, zeros, 5000, &bomb));
	g_assert_cmpint(ws_inflate_part(d, bomb.data, bomb.len, true, 5000, &out), ==,
			WS_INFLATE_OK);
	g_assert_cmpuint(out.len, ==, 5000);
	buf_free(&out);
	buf_free(&bomb);
	ws_deflate_free(d);
}

static void test_rubbish(void)
{
	GRand *rand = g_rand_new_with_seed(3);
	int n_bad = 0;
	for (int i = 0; i < 20000; i++) {
		struct ws_deflate *d = codec(i & 1, (uint8_t)(8 + i % 8));
		struct buf out = { NULL, 0, 0 };
		uint8_t data[64];
		size_t n = (size_t)g_rand_int_range(rand, 0, sizeof(data));
		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)g_rand_int(rand);
		n_bad += ws_inflate_part(d, data, n, true, 1000, &out) != WS_INFLATE_OK;
		g_assert_cmpuint(out.len, <=, 1001);
		buf_free(&out);
		ws_deflate_free(d);
	}
	g_assert_cmpint(n_bad, >, 1000);
	g_rand_free(rand);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/deflate/examples", test_examples);
	g_test_add_data_func("/websocket/deflate/round-trip", NULL, test_round_trip);
	g_test_add_data_func("/websocket/deflate/round-trip-no-context", "", test_round_trip);
	g_test_add_func("/websocket/deflate/takeover-pays", test_takeover_pays);
	g_test_add_func("/websocket/deflate/bomb", test_bomb);
	g_test_add_func("/websocket/deflate/many-ends", test_many_ends);
	g_test_add_func("/websocket/deflate/rubbish", test_rubbish);
	return g_test_run();
}
