/*
 * tests/unit/test-websocket-socket.c - a WebSocket's rules (RFC 6455 5 to 7) as a table of frames
 * and what they lead to, each cut in several ways; limits, time, and rubbish.
 */
#include <string.h>

#include <glib.h>

#include "socket.h"

static const struct ws_limits limits = { .max_message = 1000,
					 .max_fragments = 8,
					 .ping_ms = 1000,
					 .pong_ms = 500,
					 .message_ms = 3000,
					 .close_ms = 700,
					 .compress_above = 0 };

struct peer {
	struct ws_socket s;
	struct buf out;
	GString *seen; /* "T<text> B<bytes> " of messages */
	uint64_t now;
	bool closed;
};

static void peer_init(struct peer *p, bool deflate)
{
	static const struct ws_deflate_params params = { .on = true,
							 .server_bits = 12,
							 .client_bits = 15 };
	*p = (struct peer){ .now = 1000, .seen = g_string_new(NULL) };
	ws_socket_init(&p->s, &limits, &p->out, deflate ? ws_deflate_new(&params) : NULL, p->now);
}

static void peer_clear(struct peer *p)
{
	ws_socket_clear(&p->s);
	buf_free(&p->out);
	g_string_free(p->seen, TRUE);
}

static void feed(struct peer *p, const char *data, size_t n)
{
	g_autofree char *copy = g_memdup2(data, n);
	for (size_t at = 0, used; at < n; at += used) {
		enum ws_input in = ws_socket_feed(&p->s, copy + at, n - at, p->now, &used);
		g_assert_true(used > 0 && used <= n - at);
		if (in == WS_INPUT_MESSAGE) {
			g_string_append_c(p->seen, p->s.opcode == WS_OPCODE_TEXT ? 'T' : 'B');
			g_string_append_len(p->seen, p->s.message.data, (gssize)p->s.message.len);
			g_string_append_c(p->seen, ' ');
		}
		if (in == WS_INPUT_CLOSED) {
			g_assert_false(p->closed);
			p->closed = true;
		}
	}
}

/* A masked frame of any first byte. */
static void put(struct buf *b, uint8_t first, const void *payload, size_t n)
{
	static const uint8_t mask[4] = { 0xa1, 0x5c, 0x00, 0x7e };
	buf_putc(b, (char)first);
	if (n < 126) {
		buf_putc(b, (char)(0x80 | n));
	} else {
		buf_putc(b, (char)(0x80 | 126));
		buf_putc(b, (char)(n >> 8));
		buf_putc(b, (char)n);
	}
	buf_append(b, mask, 4);
	size_t at = b->len;
	buf_append(b, payload, n);
	if (n)
		ws_frame_unmask(b->data + at, n, mask, 0);
}

struct piece {
	uint8_t first;
	const char *payload;
	size_t n; /* 0: strlen(payload) */
};

enum { TEXT = 0x81, BIN = 0x82, CLOSE = 0x88, PING = 0x89, PONG = 0x8A };

struct script {
	const char *name;
	struct piece pieces[8];
	const char *seen;
	const char *out; /* frames, as written; a close's reason is not compared */
	size_t n_out;
	int code; /* 0: still open */
};

#define OUT(text) text, sizeof(text) - 1

static const struct script scripts[] = {
	/* 1, 2: echoless framing and pings */
	{ "empty", { { TEXT, "" } }, "T ", OUT(""), 0 },
	{ "text", { { TEXT, "hello" } }, "Thello ", OUT(""), 0 },
	{ "binary", { { BIN, "\x00\xff", 2 } }, "B", OUT(""), 0 },
	{ "two", { { TEXT, "a" }, { BIN, "b" } }, "Ta Bb ", OUT(""), 0 },
	{ "ping", { { PING, "" } }, "", OUT("\x8A\x00"), 0 },
	{ "ping with payload", { { PING, "\x00\xff!", 3 } }, "", OUT("\x8A\x03\x00\xff!"), 0 },
	{ "unasked pong", { { PONG, "x" }, { PING, "" } }, "", OUT("\x8A\x00"), 0 },
	{ "pings in order",
	  { { PING, "1" }, { PING, "2" } },
	  "",
	  OUT("\x8A\x01"
	      "1\x8A\x01"
	      "2"),
	  0 },
	/* 3, 4: reserved bits and opcodes, behind good frames */
	{ "rsv behind text",
	  { { TEXT, "ok" }, { TEXT | 0x40, "no" }, { PING, "" } },
	  "Tok ",
	  OUT("\x88"),
	  1002 },
	{ "rsv2 of a ping", { { PING | 0x20, "" } }, "", OUT("\x88"), 1002 },
	{ "opcode 3", { { 0x83, "" } }, "", OUT("\x88"), 1002 },
	{ "opcode 11", { { TEXT, "ok" }, { 0x8B, "x" }, { PING, "" } }, "Tok ", OUT("\x88"), 1002 },
	/* 5: fragments */
	{ "fragments", { { 0x01, "a" }, { 0x00, "b" }, { 0x80, "c" } }, "Tabc ", OUT(""), 0 },
	{ "empty fragments", { { 0x01, "" }, { 0x00, "" }, { 0x80, "" } }, "T ", OUT(""), 0 },
	{ "ping between",
	  { { 0x01, "a" }, { PING, "p" }, { 0x80, "b" } },
	  "Tab ",
	  OUT("\x8A\x01p"),
	  0 },
	{ "fragmented ping", { { 0x09, "a" }, { 0x80, "b" } }, "", OUT("\x88"), 1002 },
	{ "nothing to continue", { { 0x80, "a" } }, "", OUT("\x88"), 1002 },
	{ "nothing to continue any more",
	  { { TEXT, "a" }, { 0x00, "b" } },
	  "Ta ",
	  OUT("\x88"),
	  1002 },
	{ "text within text", { { 0x01, "a" }, { TEXT, "b" } }, "", OUT("\x88"), 1002 },
	{ "text behind a ping within text",
	  { { 0x01, "a" }, { PING, "" }, { 0x01, "b" } },
	  "",
	  OUT("\x8A\x00\x88"),
	  1002 },
	/* 6: UTF-8 */
	{ "rune over fragments", { { 0x01, "\xce" }, { 0x80, "\xba" } }, "T\xce\xba ", OUT(""), 0 },
	{ "bad rune", { { TEXT, "\xed\xa0\x80" } }, "", OUT("\x88"), 1007 },
	{ "bad at once", { { 0x01, "ok\xff" } }, "", OUT("\x88"), 1007 },
	{ "unfinished rune", { { 0x01, "\xf0\x9f" }, { 0x80, "\x98" } }, "", OUT("\x88"), 1007 },
	{ "binary is not checked", { { BIN, "\xff" } }, "B\xff ", OUT(""), 0 },
	{ "good again after a message",
	  { { TEXT, "\xce\xba" }, { TEXT, "b" } },
	  "T\xce\xba Tb ",
	  OUT(""),
	  0 },
	/* 7: closing */
	{ "close", { { CLOSE, "" } }, "", OUT("\x88\x00"), 1005 },
	{ "close 1000", { { CLOSE, "\x03\xe8", 2 } }, "", OUT("\x88\x02\x03\xe8"), 1000 },
	{ "close 4999 bye",
	  { { CLOSE,
	      "\x13\x87"
	      "bye",
	      5 } },
	  "",
	  OUT("\x88\x02\x13\x87"),
	  4999 },
	{ "nothing behind a close",
	  { { CLOSE, "" }, { PING, "" }, { TEXT, "x" } },
	  "",
	  OUT("\x88\x00"),
	  1005 },
	{ "close within a message",
	  { { 0x01, "a" }, { CLOSE, "" }, { 0x80, "b" } },
	  "",
	  OUT("\x88\x00"),
	  1005 },
	{ "close of one byte", { { CLOSE, "x" } }, "", OUT("\x88"), 1002 },
	{ "close 1005", { { CLOSE, "\x03\xed", 2 } }, "", OUT("\x88"), 1002 },
	{ "close 1006", { { CLOSE, "\x03\xee", 2 } }, "", OUT("\x88"), 1002 },
	{ "close 0", { { CLOSE, "\0\0", 2 } }, "", OUT("\x88"), 1002 },
	{ "bad reason", { { CLOSE, "\x03\xe8\xff", 3 } }, "", OUT("\x88"), 1007 },
};

static void run_script(const struct script *c, size_t step)
{
	struct peer p;
	struct buf b = { NULL, 0, 0 };
	peer_init(&p, false);
	for (const struct piece *f = c->pieces; f->payload; f++)
		put(&b, f->first, f->payload, f->n ? f->n : strlen(f->payload));
	for (size_t at = 0; at < b.len; at += step)
		feed(&p, b.data + at, MIN(step, b.len - at));
	g_test_message("%s, by %zu", c->name, step);
	if (c->seen[0] != 'B' || strlen(c->seen) > 1)
		g_assert_cmpstr(p.seen->str, ==, c->seen);
	else
		g_assert_cmpmem(p.seen->str, p.seen->len, "B\x00\xff ", 4);
	g_assert_cmpuint(p.out.len, >=, c->n_out);
	g_assert_cmpmem(p.out.data, c->n_out, c->out, c->n_out);
	if (c->code == 0) {
		g_assert_cmpint(p.s.state, ==, WS_STATE_OPEN);
		g_assert_cmpuint(p.out.len, ==, c->n_out);
		g_assert_cmpuint(p.s.begun_ms, ==, 0);
	} else {
		g_assert_true(p.closed);
		g_assert_cmpint(p.s.state, ==, WS_STATE_CLOSED);
		g_assert_cmpint(p.s.close_code, ==, c->code);
		/* One close frame, and it is the last thing: a failure's has our code. */
		const uint8_t *last = (const uint8_t *)p.out.data + c->n_out - 1;
		if (p.s.why) {
			g_assert_cmpuint(*last, ==, 0x88);
			g_assert_cmpuint(last[2] << 8 | last[3], ==, (unsigned)c->code);
			g_assert_true(last + 2 + last[1] == (uint8_t *)p.out.data + p.out.len);
		} else {
			g_assert_cmpuint(p.out.len, ==, c->n_out);
		}
	}
	buf_free(&b);
	peer_clear(&p);
}

static void test_scripts(void)
{
	static const size_t steps[] = { 1, 2, 3, 7, 1000 };
	for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++)
		for (size_t k = 0; k < G_N_ELEMENTS(steps); k++)
			run_script(&scripts[i], steps[k]);
}

static int code_after(bool deflate, const struct buf *b)
{
	struct peer p;
	peer_init(&p, deflate);
	feed(&p, b->data, b->len);
	int code = p.s.state == WS_STATE_CLOSED ? p.s.close_code : 0;
	g_assert_cmpuint(p.s.message.cap, <=, 4096 + 1001);
	peer_clear(&p);
	return code;
}

static void test_sizes(void)
{
	g_autofree char *text = g_strnfill(2000, 'x');
	struct buf b = { NULL, 0, 0 };
	put(&b, TEXT, text, 1000);
	g_assert_cmpint(code_after(false, &b), ==, 0);
	b.len = 0;
	put(&b, TEXT, text, 1001);
	b.len = 8; /* refused by its head */
	g_assert_cmpint(code_after(false, &b), ==, 1009);
	b.len = 0;
	put(&b, 0x01, text, 600);
	put(&b, 0x80, text, 401);
	g_assert_cmpint(code_after(false, &b), ==, 1009);
	b.len = 0;
	put(&b, 0x01, "", 0);
	for (int i = 0; i < 7; i++)
		put(&b, 0x00, "", 0);
	g_assert_cmpint(code_after(false, &b), ==, 0);
	put(&b, 0x80, "", 0);
	g_assert_cmpint(code_after(false, &b), ==, 1008);
	/* A length that would overflow everything. */
	static const char huge[] = "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
				   "abcd";
	const struct buf h = { (char *)(uintptr_t)huge, sizeof(huge) - 1, 0 };
	g_assert_cmpint(code_after(false, &h), ==, 1009);
	buf_free(&b);
}

static void test_deflate(void)
{
	static const struct ws_deflate_params params = { .on = true,
							 .server_bits = 12,
							 .client_bits = 15 };
	struct ws_deflate *client = ws_deflate_new(&params);
	g_autofree char *zeros = g_malloc0(100000);
	struct buf packed = { NULL, 0, 0 }, b = { NULL, 0, 0 };
	struct peer p;
	peer_init(&p, true);
	/* Whole, in fragments with a ping between, and not compressed although it may be. */
	ws_deflate_message(client, "compressed", 10, &packed);
	put(&b, 0xC1, packed.data, packed.len);
	packed.len = 0;
	ws_deflate_message(client, "compressed again", 16, &packed);
	put(&b, 0x41, packed.data, 3);
	put(&b, PING, "", 0);
	put(&b, 0x80, packed.data + 3, packed.len - 3);
	put(&b, TEXT, "plain", 5);
	feed(&p, b.data, b.len);
	g_assert_cmpstr(p.seen->str, ==, "Tcompressed Tcompressed again Tplain ");
	/* What goes out can be inflated. */
	p.out.len = 0;
	ws_socket_send(&p.s, WS_OPCODE_TEXT, "answer", 6);
	g_assert_cmpuint((uint8_t)p.out.data[0], ==, 0xC1);
	packed.len = 0;
	g_assert_cmpint(ws_inflate_part(client, p.out.data + 2, p.out.len - 2, true, 100, &packed),
			==, WS_INFLATE_OK);
	g_assert_cmpmem(packed.data, packed.len, "answer", 6);
	peer_clear(&p);
	/* A bomb, text that is not UTF-8 inside, rubbish, the bit on a continuation. */
	packed.len = b.len = 0;
	ws_deflate_message(client, zeros, 100000, &packed);
	put(&b, 0xC2, packed.data, packed.len);
	g_assert_cmpint(code_after(true, &b), ==, 1009);
	ws_deflate_free(client);
	client = ws_deflate_new(&params);
	packed.len = b.len = 0;
	ws_deflate_message(client, "\xed\xa0\x80", 3, &packed);
	put(&b, 0xC1, packed.data, packed.len);
	g_assert_cmpint(code_after(true, &b), ==, 1007);
	b.len = 0;
	put(&b, 0xC1, "\xff\xff\xff", 3);
	g_assert_cmpint(code_after(true, &b), ==, 1007);
	b.len = 0;
	put(&b, 0x01, "a", 1);
	put(&b, 0xC0, "b", 1);
	g_assert_cmpint(code_after(true, &b), ==, 1002);
	b.len = 0;
	put(&b, 0xC1, "b", 1);
	g_assert_cmpint(code_after(false, &b), ==, 1002);
	ws_deflate_free(client);
	buf_free(&packed);
	buf_free(&b);
}

static void test_ping_timeout(void)
{
	struct peer p;
	struct buf b = { NULL, 0, 0 };
	peer_init(&p, false);
	g_assert_cmpuint(ws_socket_due(&p.s), ==, 2000);
	g_assert_false(ws_socket_tick(&p.s, 1999));
	g_assert_cmpuint(p.out.len, ==, 0);
	g_assert_false(ws_socket_tick(&p.s, 2000));
	g_assert_cmpmem(p.out.data, p.out.len, "\x89\x00", 2);
	g_assert_cmpuint(ws_socket_due(&p.s), ==, 2500);
	/* Anything heard counts. */
	p.now = 2400;
	put(&b, PONG, "", 0);
	feed(&p, b.data, b.len);
	g_assert_cmpuint(ws_socket_due(&p.s), ==, 3400);
	g_assert_false(ws_socket_tick(&p.s, 3400));
	g_assert_false(ws_socket_tick(&p.s, 3899));
	g_assert_true(ws_socket_tick(&p.s, 3900));
	g_assert_cmpint(p.s.state, ==, WS_STATE_CLOSED);
	g_assert_cmpuint(ws_socket_due(&p.s), ==, 0);
	buf_free(&b);
	peer_clear(&p);
}

/* A byte now and then keeps nothing alive: neither half a head nor half a message. */
static void test_slow(void)
{
	static const char *const begin[] = { "\x81", "\x81\xfe\x01\x00zzzz", "\x01\x80zzzz" };
	static const size_t n[] = { 1, 8, 6 };
	for (size_t i = 0; i < G_N_ELEMENTS(begin); i++) {
		struct peer p;
		peer_init(&p, false);
		p.now = 1500;
		feed(&p, begin[i], n[i]);
		bool closed = false;
		for (p.now = 1600; p.now <= 4500 && !closed; p.now += 100) {
			struct buf b = { NULL, 0, 0 };
			put(&b, PONG, "", 0);
			if (i == 2)
				feed(&p, b.data, b.len);
			buf_free(&b);
			closed = ws_socket_tick(&p.s, p.now);
		}
		g_assert_true(closed);
		peer_clear(&p);
	}
}

static void test_own_close(void)
{
	struct peer p;
	struct buf b = { NULL, 0, 0 };
	peer_init(&p, false);
	ws_socket_close(&p.s, WS_CLOSE_GOING_AWAY, "bye", p.now);
	g_assert_cmpmem(p.out.data, p.out.len,
			"\x88\x05\x03\xe9"
			"bye",
			7);
	ws_socket_send(&p.s, WS_OPCODE_TEXT, "late", 4);
	ws_socket_close(&p.s, WS_CLOSE_NORMAL, NULL, p.now);
	g_assert_cmpuint(p.out.len, ==, 7);
	/* Data on its way is thrown away, the answering close ends it. */
	put(&b, TEXT, "data", 4);
	put(&b, PING, "", 0);
	put(&b, CLOSE, "\x03\xe9", 2);
	feed(&p, b.data, b.len);
	g_assert_cmpstr(p.seen->str, ==, "");
	g_assert_cmpint(p.s.state, ==, WS_STATE_CLOSED);
	g_assert_cmpuint(p.out.len, ==, 7);
	peer_clear(&p);
	/* Nothing comes. */
	peer_init(&p, false);
	ws_socket_close(&p.s, WS_CLOSE_GOING_AWAY, NULL, p.now);
	g_assert_cmpuint(ws_socket_due(&p.s), ==, 1700);
	g_assert_true(ws_socket_tick(&p.s, 1700));
	peer_clear(&p);
	/* A reason is cut between runes. */
	peer_init(&p, false);
	GString *long_reason = g_string_new("x");
	while (long_reason->len < 200)
		g_string_append(long_reason, "\xce\xba");
	ws_socket_close(&p.s, WS_CLOSE_POLICY, long_reason->str, p.now);
	g_assert_true(g_utf8_validate(p.out.data + 4, (gssize)p.out.len - 4, NULL));
	g_assert_cmpuint(p.out.len, <=, 2 + 125);
	g_string_free(long_reason, TRUE);
	buf_free(&b);
	peer_clear(&p);
}

/* Good frames, mutated and cut anywhere: every end is an orderly one. */
static void test_fuzz(void)
{
	GRand *rand = g_rand_new_with_seed(13);
	int n_open = 0, n_closed = 0;
	for (int round = 0; round < 20000; round++) {
		static const uint8_t firsts[] = { TEXT, BIN,  0x01,  0x00, 0x80,
						  PING, PONG, CLOSE, 0xC1 };
		struct buf b = { NULL, 0, 0 };
		struct peer p;
		peer_init(&p, round & 1);
		for (int i = g_rand_int_range(rand, 1, 6); i > 0; i--) {
			char text[300];
			size_t n = (size_t)g_rand_int_range(rand, 0, i & 1 ? 20 : 300);
			memset(text, 'a' + i, n);
			put(&b, firsts[g_rand_int_range(rand, 0, G_N_ELEMENTS(firsts))], text, n);
		}
		for (int i = g_rand_int_range(rand, 0, 4); i > 0; i--)
			b.data[g_rand_int_range(rand, 0, (gint32)b.len)] ^=
				(char)(1 << g_rand_int_range(rand, 0, 8));
		for (size_t at = 0, n; at < b.len; at += n) {
			n = (size_t)g_rand_int_range(rand, 1, 200);
			n = MIN(n, b.len - at);
			feed(&p, b.data + at, n);
			g_assert_cmpuint(p.s.message.len, <=, limits.max_message + 1);
		}
		g_assert_true(p.closed == (p.s.state == WS_STATE_CLOSED));
		n_open += !p.closed;
		n_closed += p.closed;
		buf_free(&b);
		peer_clear(&p);
	}
	g_assert_cmpint(n_open, >, 500);
	g_assert_cmpint(n_closed, >, 500);
	g_rand_free(rand);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/socket/scripts", test_scripts);
	g_test_add_func("/websocket/socket/sizes", test_sizes);
	g_test_add_func("/websocket/socket/deflate", test_deflate);
	g_test_add_func("/websocket/socket/ping-timeout", test_ping_timeout);
	g_test_add_func("/websocket/socket/slow", test_slow);
	g_test_add_func("/websocket/socket/own-close", test_own_close);
	g_test_add_func("/websocket/socket/fuzz", test_fuzz);
	return g_test_run();
}
