/*
 * tests/unit/test-http-framing.c - which bytes are a request, and which are refused with what.
 *
 * Every input is fed whole, byte by byte and in random cuts: the outcome must be the same. Then
 * seeded mutations of good requests: no crash, no overrun, never two answers (run under ASan).
 */
#include <string.h>

#include <glib.h>

#include "framing.h"

static const struct frame_limits limits = {
	.max_line = 200,
	.max_head = 1000,
	.max_body = 100,
	.max_headers = 8,
};

struct outcome {
	enum frame_state state;
	int status;
	size_t used;
	char *text; /* of the request, or NULL */
};

static char *describe(const struct http_request *r)
{
	GString *s = g_string_new(NULL);
	g_string_append_printf(s, "%s %s%s%s 1.%d%s", r->method, r->path, r->query ? "?" : "",
			       r->query ? r->query : "", r->minor, r->keep_alive ? " keep" : "");
	for (uint32_t i = 0; i < r->n_headers; i++)
		g_string_append_printf(s, " [%s=%s]", r->headers[i].name, r->headers[i].value);
	g_string_append_printf(s, " {%.*s}", (int)r->body.len, r->body.data ? r->body.data : "");
	return g_string_free(s, FALSE);
}

/* cut: 0 whole, 1 byte by byte, else random pieces */
static struct outcome feed(const char *data, size_t len, unsigned cut, GRand *rand)
{
	struct framer *f = framer_new(&limits);
	struct outcome o = { 0 };
	while (o.used < len) {
		size_t n = cut == 0   ? len - o.used
			   : cut == 1 ? 1
				      : (size_t)g_rand_int_range(rand, 1, 40);
		n = MIN(n, len - o.used);
		size_t took = framer_feed(f, data + o.used, n);
		g_assert_cmpuint(took, <=, n);
		o.used += took;
		o.state = framer_state(f);
		if (o.state == FRAME_STATE_DONE || o.state == FRAME_STATE_BAD)
			break;
		g_assert_true(took > 0);
	}
	o.state = framer_state(f);
	if (o.state == FRAME_STATE_BAD) {
		o.status = framer_status(f);
		g_assert_cmpint(o.status, >=, 400);
		g_assert_nonnull(framer_reason(f));
	}
	if (o.state == FRAME_STATE_DONE) {
		struct http_request *r = framer_take(f);
		o.text = describe(r);
		http_request_free(r);
	}
	framer_free(f);
	return o;
}

static void check(const char *data, size_t len, enum frame_state state, int status,
		  const char *text)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	for (unsigned cut = 0; cut < 5; cut++) {
		struct outcome o = feed(data, len, cut, rand);
		if (o.state != state || o.status != status)
			g_error("\"%.60s\", cut %u: state %d status %d, not %d %d", data, cut,
				o.state, o.status, state, status);
		if (text)
			g_assert_cmpstr(o.text, ==, text);
		g_free(o.text);
	}
}

#define HOST "Host: h\r\n"

static void test_good(void)
{
	static const struct {
		const char *data, *text;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1 keep [host=h] {}" },
		{ "\r\n\r\nGET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n",
		  "GET /a?b=c&d 1.1 keep [host=h] {}" },
		{ "GET / HTTP/1.0\r\n\r\n", "GET / 1.0 {}" },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		  "GET / 1.0 keep [connection=keep-alive] {}" },
		{ "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		  "GET / 1.1 [host=h] [connection=close] {}" },
		{ "GET http://h:1/x?y HTTP/1.1\r\n" HOST "\r\n", "GET /x?y 1.1 keep [host=h] {}" },
		{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * 1.1 keep [host=h] {}" },
		{ "GET / HTTP/1.1\r\nHOST:h\r\nX-Empty:\r\nX-T: \t a b \t\r\n\r\n",
		  "GET / 1.1 keep [host=h] [x-empty=] [x-t=a b] {}" },
		{ "POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
		  "POST /p 1.1 keep [host=h] [content-length=5] {hello}" },
		{ "POST /p HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
		  "POST /p 1.1 keep [host=h] [content-length=0] {}" },
		{ "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
		  "5\r\nhello\r\n0006;x=\"y\"\r\n world\r\n0\r\n\r\n",
		  "POST /p 1.1 keep [host=h] [transfer-encoding=Chunked] {hello world}" },
		/* Java's client offers h2c with each request: an offer that a server may ignore */
		{ "POST /p HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n"
		  "Content-Length: 2\r\n\r\nok",
		  "POST /p 1.1 keep [host=h] [connection=Upgrade] [upgrade=h2c] "
		  "[content-length=2] {ok}" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check(cases[i].data, strlen(cases[i].data), FRAME_STATE_DONE, 0, cases[i].text);
}

/* The gap table of the reference, and its relatives. */
static void test_refused(void)
{
	static const struct {
		const char *data;
		int status;
	} cases[] = {
		{ "POST / HTTP/1.1\r\n" HOST
		  "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\n" HOST
		  "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Length: 5\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Length: 4\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 4, 4\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n", 400 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n", 413 },
		{ "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
		  413 },
		{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501 },
		{ "POST / HTTP/1.1\r\n" HOST
		  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\n" HOST "\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: h\n\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST ": v\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "X(: y\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\n", 505 },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
		{ "GET / HTTP/1.2\r\n", 505 },
		{ "GET / HTTP/1.10\r\n", 400 },
		{ "GET / http/1.1\r\n", 400 },
		{ "GET /\r\n", 400 },
		{ "GET  / HTTP/1.1\r\n", 400 },
		{ "GET / HTTP/1.1 \r\n", 400 },
		{ "GET /a b HTTP/1.1\r\n", 400 },
		{ "GET /\x80 HTTP/1.1\r\n", 400 },
		{ "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET x HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "GET * HTTP/1.1\r\n" HOST "\r\n", 400 },
		{ "CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n", 501 },
		{ "BREW / HTTP/1.1\r\n" HOST "\r\n", 501 },
		{ "\x16\x03\x01\r\n", 400 }, /* TLS to a plain port */
		{ "\r\n\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n", 417 },
		{ "GET / HTTP/1.1\r\n" HOST "a:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\na:1\r\n"
		  "a:1\r\n\r\n",
		  431 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check(cases[i].data, strlen(cases[i].data), FRAME_STATE_BAD, cases[i].status, NULL);
	static const char nul[] = "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n";
	check(nul, sizeof(nul) - 1, FRAME_STATE_BAD, 400, NULL);
}

static void test_chunks_refused(void)
{
	static const struct {
		const char *body;
		int status;
	} cases[] = {
		{ "ffffffffffffffff\r\n", 400 },
		{ "10000000000000000\r\n", 400 },
		{ "65\r\n", 413 },
		{ "-1\r\n", 400 },
		{ "+5\r\nhello\r\n", 400 },
		{ "0x5\r\nhello\r\n", 400 },
		{ " 5\r\nhello\r\n", 400 },
		{ "5 \r\nhello\r\n", 400 },
		{ "5\nhello\r\n", 400 },
		{ "5\r\nhelloX\r\n", 400 },
		{ "5\r\nhello\n0\r\n", 400 },
		{ "5\r\nhello\r0\r\n", 400 },
		{ "\r\n", 400 },
		{ "5\rXhello\r\n", 400 },
		{ "0\r\nTrailer: x\r\n\r\n", 400 },
		{ "0\r\n\n", 400 },
		{ "5;\x01\r\nhello\r\n", 400 },
		{ "40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n"
		  "30\r\n",
		  413 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *data =
			g_strconcat("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
				    cases[i].body, NULL);
		check(data, strlen(data), FRAME_STATE_BAD, cases[i].status, NULL);
	}
	g_autofree char *ext = g_strnfill(300, 'x');
	g_autofree char *data =
		g_strconcat("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5;", ext,
			    "\r\nhello\r\n0\r\n\r\n", NULL);
	check(data, strlen(data), FRAME_STATE_BAD, 400, NULL);
}

static void test_sizes(void)
{
	g_autofree char *long_text = g_strnfill(300, 'a');
	g_autofree char *uri = g_strconcat("GET /", long_text, " HTTP/1.1\r\n" HOST "\r\n", NULL);
	check(uri, strlen(uri), FRAME_STATE_BAD, 414, NULL);
	check(uri, 250, FRAME_STATE_BAD, 414, NULL); /* without its end too */
	g_autofree char *line =
		g_strconcat("GET / HTTP/1.1\r\n" HOST "X: ", long_text, "\r\n\r\n", NULL);
	check(line, strlen(line), FRAME_STATE_BAD, 431, NULL);
	check(line, 250, FRAME_STATE_BAD, 431, NULL);
	GString *many = g_string_new("GET / HTTP/1.1\r\n" HOST);
	g_autofree char *part = g_strnfill(180, 'b');
	for (int i = 0; i < 6; i++)
		g_string_append_printf(many, "X%d: %s\r\n", i, part);
	g_string_append(many, "\r\n");
	check(many->str, many->len, FRAME_STATE_BAD, 431, NULL);
	g_string_free(many, TRUE);
	/* exactly at the limits: eight headers, a line of 200 */
	static const char eight[] = "GET / HTTP/1.1\r\n" HOST "a:1\r\na:1\r\na:1\r\na:1\r\na:1\r\n"
				    "a:1\r\na:1\r\n\r\n";
	check(eight, strlen(eight), FRAME_STATE_DONE, 0, NULL);
	g_autofree char *fit = g_strnfill(200 - 3, 'c');
	g_autofree char *good = g_strconcat("GET / HTTP/1.1\r\n" HOST "X: ", fit, "\r\n\r\n", NULL);
	check(good, strlen(good), FRAME_STATE_DONE, 0, NULL);
}

static void test_incomplete(void)
{
	static const char whole[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello";
	for (size_t n = 1; n < sizeof(whole) - 1; n++) {
		struct outcome o = feed(whole, n, 0, NULL);
		g_assert_cmpuint(o.used, ==, n);
		g_assert_true(o.state == FRAME_STATE_HEAD || o.state == FRAME_STATE_BODY);
	}
}

/* The framer takes its request and not a byte of what follows. */
static void test_pipelined(void)
{
	static const char *const parts[] = {
		"GET /1 HTTP/1.1\r\n" HOST "\r\n",
		"POST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
		"POST /3 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	};
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		g_autofree char *data = g_strconcat(parts[i], "GET /next HTTP/1.1\r\n", NULL);
		struct outcome o = feed(data, strlen(data), 0, NULL);
		g_assert_cmpint(o.state, ==, FRAME_STATE_DONE);
		g_assert_cmpuint(o.used, ==, strlen(parts[i]));
		g_free(o.text);
	}
}

static void mutate(GRand *rand, GString *s, const char *seed)
{
	static const char *const bits[] = { "\r\n",
					    "\n",
					    "\r",
					    " ",
					    "\t",
					    ":",
					    "0",
					    "f",
					    "-",
					    "+",
					    "%00",
					    "\r\n\r\n",
					    "Content-Length: 3\r\n",
					    "Transfer-Encoding: chunked\r\n",
					    "HTTP/1.1",
					    "\xff",
					    ";",
					    "\r\n " };
	int n = g_rand_int_range(rand, 1, 6);
	while (n-- && s->len) {
		gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)s->len);
		gsize count = (gsize)g_rand_int_range(rand, 1, 60);
		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			s->str[at] = (char)g_rand_int_range(rand, 0, 256);
			break;
		case 1:
			g_string_erase(s, (gssize)at, (gssize)MIN(s->len - at, count / 6));
			break;
		case 2:
			g_string_insert(s, (gssize)at,
					bits[g_rand_int_range(rand, 0, G_N_ELEMENTS(bits))]);
			break;
		default:
			g_string_insert_len(s, (gssize)at, seed, (gssize)MIN(strlen(seed), count));
			break;
		}
	}
}

static void test_mutations(void)
{
	static const char *const seeds[] = {
		"GET /v1/models HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\n{\"a\":\"b\"   }",
		"POST /v1/x HTTP/1.1\r\n" HOST
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
	};
	g_autoptr(GRand) rand = g_rand_new_with_seed(20);
	unsigned done = 0, refused = 0;
	for (int i = 0; i < 60000; i++) {
		g_autoptr(GString) s = g_string_new(seeds[i % 3]);
		mutate(rand, s, seeds[(i + 1) % 3]);
		struct outcome whole = feed(s->str, s->len, 0, rand);
		struct outcome cut = feed(s->str, s->len, 2, rand);
		g_assert_cmpint(whole.state, ==, cut.state);
		g_assert_cmpint(whole.status, ==, cut.status);
		g_assert_cmpstr(whole.text, ==, cut.text);
		if (whole.state == FRAME_STATE_DONE)
			g_assert_cmpuint(whole.used, ==, cut.used);
		done += whole.state == FRAME_STATE_DONE;
		refused += whole.state == FRAME_STATE_BAD;
		g_free(whole.text);
		g_free(cut.text);
	}
	g_assert_cmpuint(done, >, 1000);
	g_assert_cmpuint(refused, >, 10000);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/http/framing/good", test_good);
	g_test_add_func("/http/framing/refused", test_refused);
	g_test_add_func("/http/framing/chunks-refused", test_chunks_refused);
	g_test_add_func("/http/framing/sizes", test_sizes);
	g_test_add_func("/http/framing/incomplete", test_incomplete);
	g_test_add_func("/http/framing/pipelined", test_pipelined);
	g_test_add_func("/http/framing/mutations", test_mutations);
	return g_test_run();
}
