/*
 * tests/unit/test-websocket-frame.c - frame heads, masks, close codes and UTF-8 of RFC 6455.
 */
#include <string.h>

#include <glib.h>

#include "frame.h"
#include "utf8.h"

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

struct head_case {
	const char *name;
	const uint8_t *data;
	size_t n;
	bool rsv1_allowed;
	int result; /* of ws_frame_parse() */
	uint64_t length;
	uint8_t opcode;
	bool fin, rsv1;
};

static void test_heads(void)
{
	static const uint8_t m = 0x80;
	const struct head_case cases[] = {
		{ "empty text", BYTES(0x81, m, 1, 2, 3, 4), false, 6, 0, 1, true, false },
		{ "short binary", BYTES(0x82, m | 125, 1, 2, 3, 4), false, 6, 125, 2, true, false },
		{ "first fragment", BYTES(0x01, m | 3, 1, 2, 3, 4), false, 6, 3, 1, false, false },
		{ "continuation", BYTES(0x80, m | 3, 1, 2, 3, 4), false, 6, 3, 0, true, false },
		{ "16 bits", BYTES(0x81, m | 126, 0, 126, 1, 2, 3, 4), false, 8, 126, 1, true,
		  false },
		{ "16 bits, most", BYTES(0x81, m | 126, 255, 255, 1, 2, 3, 4), false, 8, 65535, 1,
		  true, false },
		{ "64 bits", BYTES(0x81, m | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4), false, 14,
		  65536, 1, true, false },
		{ "ping", BYTES(0x89, m | 125, 1, 2, 3, 4), false, 6, 125, 9, true, false },
		{ "pong", BYTES(0x8A, m, 1, 2, 3, 4), false, 6, 0, 10, true, false },
		{ "close", BYTES(0x88, m | 2, 1, 2, 3, 4), false, 6, 2, 8, true, false },
		{ "compressed", BYTES(0xC1, m | 2, 1, 2, 3, 4), true, 6, 2, 1, true, true },
		{ "nothing", NULL, 0, false, 0 },
		{ "one byte", BYTES(0x81), false, 0 },
		{ "no mask yet", BYTES(0x81, m | 1, 1, 2, 3), false, 0 },
		{ "half a length", BYTES(0x81, m | 126, 1), false, 0 },
		{ "long without mask bytes", BYTES(0x81, m | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3),
		  false, 0 },
		/* 5.2: reserved bits without an extension */
		{ "rsv1", BYTES(0xC1), false, -1 },
		{ "rsv2", BYTES(0xA1), true, -1 },
		{ "rsv3", BYTES(0x91), true, -1 },
		{ "rsv1 of a ping", BYTES(0xC9), true, -1 },
		{ "rsv1 of a continuation", BYTES(0xC0), true, -1 },
		/* 5.2: reserved opcodes */
		{ "opcode 3", BYTES(0x83), false, -1 },
		{ "opcode 7", BYTES(0x87), false, -1 },
		{ "opcode 11", BYTES(0x8B), false, -1 },
		{ "opcode 15", BYTES(0x8F), false, -1 },
		/* 5.5: control frames */
		{ "fragmented ping", BYTES(0x09), false, -1 },
		{ "fragmented close", BYTES(0x08), false, -1 },
		{ "long ping", BYTES(0x89, m | 126), false, -1 },
		{ "very long close", BYTES(0x88, m | 127), false, -1 },
		/* 5.1: a client masks */
		{ "no mask", BYTES(0x81, 5), false, -1 },
		/* 5.2: the shortest form, no highest bit */
		{ "16 bits for 125", BYTES(0x81, m | 126, 0, 125), false, -1 },
		{ "64 bits for 65535", BYTES(0x81, m | 127, 0, 0, 0, 0, 0, 0, 255, 255), false,
		  -1 },
		{ "negative", BYTES(0x81, m | 127, 0x80, 0, 0, 0, 0, 0, 0, 0), false, -1 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct head_case *c = &cases[i];
		struct ws_frame f = { 0 };
		const char *why = NULL;
		int n = ws_frame_parse(c->data, c->n, c->rsv1_allowed, &f, &why);
		g_test_message("%s", c->name);
		g_assert_cmpint(n, ==, c->result);
		g_assert_true((n < 0) == (why != NULL));
		if (n <= 0)
			continue;
		g_assert_cmpuint(f.length, ==, c->length);
		g_assert_cmpuint(f.opcode, ==, c->opcode);
		g_assert_true(f.fin == c->fin && f.rsv1 == c->rsv1);
		g_assert_cmpmem(f.mask, 4, c->data + n - 4, 4);
	}
}

static void test_unmask(void)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	/* 5.7: the masked "Hello" */
	char hello[] = { 0x7f, (char)0x9f, 0x4d, 0x51, 0x58 };
	ws_frame_unmask(hello, 5, mask, 0);
	g_assert_cmpmem(hello, 5, "Hello", 5);
	/* Any cut gives the same. */
	char whole[100], parts[100];
	for (int i = 0; i < 100; i++)
		whole[i] = parts[i] = (char)(i * 7);
	ws_frame_unmask(whole, 100, mask, 0);
	for (size_t at = 0, n = 1; at < 100; at += n, n = n * 5 % 17 + 1) {
		n = MIN(n, 100 - at);
		ws_frame_unmask(parts + at, n, mask, at);
	}
	g_assert_cmpmem(whole, 100, parts, 100);
}

static void test_put(void)
{
	static const struct {
		size_t len;
		uint8_t head[10];
		size_t n_head;
	} cases[] = {
		{ 0, { 0x81, 0 }, 2 },
		{ 125, { 0x81, 125 }, 2 },
		{ 126, { 0x81, 126, 0, 126 }, 4 },
		{ 65535, { 0x81, 126, 255, 255 }, 4 },
		{ 65536, { 0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0 }, 10 },
	};
	g_autofree char *payload = g_malloc0(65536);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct buf b = { NULL, 0, 0 };
		ws_frame_put(&b, WS_OPCODE_TEXT, false, payload, cases[i].len);
		g_assert_cmpuint(b.len, ==, cases[i].n_head + cases[i].len);
		g_assert_cmpmem(b.data, cases[i].n_head, cases[i].head, cases[i].n_head);
		buf_free(&b);
	}
}

/* 7.4: Autobahn's lists 7.7 and 7.9 */
static void test_close_codes(void)
{
	static const uint32_t good[] = { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
					 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999 };
	static const uint32_t bad[] = { 0,    1,    999,  1004, 1005, 1006,  1015,
					1016, 1100, 2000, 2999, 5000, 65535, 0x10000 };
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		g_assert_true(ws_close_valid(good[i]));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(ws_close_valid(bad[i]));
}

static bool valid(const char *text, size_t n, size_t cut)
{
	struct ws_utf8 u = { 0 };
	return ws_utf8_feed(&u, text, cut) && ws_utf8_feed(&u, text + cut, n - cut) &&
	       ws_utf8_complete(&u);
}

static void test_utf8_table(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "", true },
		{ "plain text that is longer than eight bytes", true },
		{ "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", true },
		{ "eight by\xf0\x9f\x98\x80te steps", true },
		{ "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xed\x9f\xbf\xee\x80\x80", true },
		{ "\x80", false },
		{ "\xbf", false },
		{ "\xc0\x80", false },
		{ "\xc1\xbf", false },
		{ "\xc2", false },
		{ "\xc2 ", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xe0\xa0", false },
		{ "\xed\xa0\x80", false },
		{ "\xed\xbf\xbf", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xf0\x9f\x98", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf5\x80\x80\x80", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xfe", false },
		{ "\xff", false },
		{ "good until here\xce\xba\xed\xa0\x80 no more", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t n = strlen(cases[i].text);
		for (size_t cut = 0; cut <= n; cut++)
			g_assert_cmpint(valid(cases[i].text, n, cut), ==, cases[i].good);
	}
}

/* Against GLib's own, on random bytes near the edges of the table. */
static void test_utf8_random(void)
{
	static const uint8_t edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
					 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
					 0xef, 0xf0, 0xf3, 0xf4, 0xf5, 0xff };
	GRand *rand = g_rand_new_with_seed(6455);
	int n_good = 0;
	for (int round = 0; round < 200000; round++) {
		char text[9];
		size_t n = (size_t)g_rand_int_range(rand, 0, 6);
		for (size_t i = 0; i < n; i++)
			text[i] = (char)edges[g_rand_int_range(rand, 1, G_N_ELEMENTS(edges))];
		bool good = g_utf8_validate(text, (gssize)n, NULL);
		n_good += good;
		g_assert_cmpint(valid(text, n, n / 2), ==, good);
	}
	g_assert_cmpint(n_good, >, 1000);
	g_rand_free(rand);
}

/* Only the first bad byte matters: a text is refused as early as it can be (6.4 of Autobahn). */
static void test_utf8_early(void)
{
	struct ws_utf8 u = { 0 };
	g_assert_true(ws_utf8_feed(&u, "\xf4", 1));
	g_assert_false(ws_utf8_complete(&u));
	g_assert_false(ws_utf8_feed(&u, "\x90", 1));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/frame/heads", test_heads);
	g_test_add_func("/websocket/frame/unmask", test_unmask);
	g_test_add_func("/websocket/frame/put", test_put);
	g_test_add_func("/websocket/frame/close-codes", test_close_codes);
	g_test_add_func("/websocket/utf8/table", test_utf8_table);
	g_test_add_func("/websocket/utf8/random", test_utf8_random);
	g_test_add_func("/websocket/utf8/early", test_utf8_early);
	return g_test_run();
}
