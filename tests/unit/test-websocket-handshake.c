/*
 * tests/unit/test-websocket-handshake.c - the opening handshake, RFC 6455 4.2, and the negotiation
 * of permessage-deflate, RFC 7692 7.1.
 */
#include <string.h>

#include <glib.h>

#include "handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const struct weir_kv good[] = {
	{ "host", "weir.example:8000" },   { "upgrade", "websocket" },
	{ "connection", "Upgrade" },       { "sec-websocket-key", KEY },
	{ "sec-websocket-version", "13" },
};

/* `good` with changes: "name: value" replaces or adds, "-name" removes, "+name: value" adds. */
static struct ws_handshake shake(const struct ws_handshake_config *config, const char *method,
				 unsigned minor, const char *const *changes)
{
	struct weir_kv headers[24];
	size_t n = G_N_ELEMENTS(good);
	memcpy(headers, good, sizeof(good));
	g_autoptr(GPtrArray) keep = g_ptr_array_new_with_free_func(g_free);
	for (; changes && *changes; changes++) {
		char *name = g_strdup(*changes + strspn(*changes, "+-"));
		char *value = strstr(name, ": ");
		g_ptr_array_add(keep, name);
		if (value) {
			*value = 0;
			value += 2;
		}
		size_t at = 0;
		while (at < n && strcmp(headers[at].key, name) != 0)
			at++;
		if (**changes == '-') {
			g_assert_cmpuint(at, <, n);
			headers[at] = headers[--n];
			continue;
		}
		if (at == n || **changes == '+')
			at = n++;
		headers[at] = (struct weir_kv){ name, value };
	}
	struct ws_handshake h;
	ws_handshake_check(config, method, minor, headers, n, &h);
	g_assert_true((h.status == 101) == (h.why == NULL));
	return h;
}

static void test_accept(void)
{
	static const struct ws_handshake_config config = { .window_bits = 12 };
	struct ws_handshake h = shake(&config, "GET", 1, NULL);
	struct buf b = { NULL, 0, 0 };
	g_assert_cmpint(h.status, ==, 101);
	g_assert_cmpstr(h.accept, ==, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* 1.3 */
	ws_handshake_put(&b, &h);
	g_assert_cmpstr(buf_terminate(&b), ==,
			"Upgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	buf_free(&b);
}

static void test_refusals(void)
{
	static const struct ws_handshake_config config = { .window_bits = 12 };
	static const struct {
		const char *method;
		unsigned minor;
		const char *changes[3];
		int status;
	} cases[] = {
		{ "POST", 1, { NULL }, 405 },
		{ "GET", 0, { NULL }, 400 },
		{ "GET", 1, { "-upgrade" }, 426 },
		{ "GET", 1, { "upgrade: h2c" }, 426 },
		{ "GET", 1, { "upgrade: h2c, WebSocket" }, 101 },
		{ "GET", 1, { "-connection" }, 400 },
		{ "GET", 1, { "connection: keep-alive" }, 400 },
		{ "GET", 1, { "connection: keep-alive, upgrade" }, 101 },
		{ "GET", 1, { "connection: keep-alive", "+connection: UPGRADE" }, 101 },
		{ "GET", 1, { "-sec-websocket-version" }, 426 },
		{ "GET", 1, { "sec-websocket-version: 8" }, 426 },
		{ "GET", 1, { "sec-websocket-version: 13 " }, 426 },
		{ "GET", 1, { "+sec-websocket-version: 13" }, 426 },
		{ "GET", 1, { "-sec-websocket-key" }, 400 },
		{ "GET", 1, { "sec-websocket-key: short" }, 400 },
		{ "GET", 1, { "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQAA" }, 400 },
		{ "GET", 1, { "sec-websocket-key: dGhl!HNhbXBsZSBub25jZQ==" }, 400 },
		{ "GET", 1, { "+sec-websocket-key: " KEY }, 400 },
		/* Only our own pages unless origins are configured. */
		{ "GET", 1, { "origin: http://weir.example:8000" }, 101 },
		{ "GET", 1, { "origin: https://WEIR.example:8000" }, 101 },
		{ "GET", 1, { "origin: http://weir.example" }, 403 },
		{ "GET", 1, { "origin: http://evil.example" }, 403 },
		{ "GET", 1, { "origin: null" }, 403 },
		{ "GET", 1, { "origin: http://weir.example:8000", "+origin: http://evil" }, 403 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct ws_handshake h =
			shake(&config, cases[i].method, cases[i].minor, cases[i].changes);
		g_test_message("%zu: %s", i, cases[i].changes[0] ? cases[i].changes[0] : "-");
		g_assert_cmpint(h.status, ==, cases[i].status);
	}
}

static void test_origins(void)
{
	char *list[] = { (char[]){ "https://app.example" }, NULL };
	char *any[] = { (char[]){ "*" }, NULL };
	const struct ws_handshake_config some = { .origins = list }, all = { .origins = any };
	static const char *const app[] = { "origin: https://app.example", NULL };
	static const char *const other[] = { "origin: https://app.example.evil", NULL };
	g_assert_cmpint(shake(&some, "GET", 1, app).status, ==, 101);
	g_assert_cmpint(shake(&some, "GET", 1, other).status, ==, 403);
	g_assert_cmpint(shake(&some, "GET", 1, NULL).status, ==, 101); /* no browser */
	g_assert_cmpint(shake(&all, "GET", 1, other).status, ==, 101);
}

static void test_subprotocols(void)
{
	static const struct ws_handshake_config config = { .window_bits = 12 };
	static const char *const ours[] = { "sec-websocket-protocol: chat, weir.v1", NULL };
	static const char *const others[] = { "sec-websocket-protocol: weir.v2,realtime", NULL };
	static const char *const key[] = {
		"sec-websocket-protocol: realtime, openai-insecure-api-key.sk-1, weir.v1", NULL
	};
	g_assert_true(shake(&config, "GET", 1, ours).subprotocol);
	g_assert_false(shake(&config, "GET", 1, others).subprotocol);
	struct ws_handshake h = shake(&config, "GET", 1, key);
	g_assert_true(h.subprotocol);
	g_assert_cmpstr(h.authorization, ==, "Bearer sk-1");
	g_free(h.authorization);
}

static void test_deflate_offers(void)
{
	static const struct {
		const char *offer, *answer; /* NULL: declined */
	} cases[] = {
		{ "permessage-deflate", "permessage-deflate; server_max_window_bits=12" },
		{ "PerMessage-Deflate ; client_max_window_bits",
		  "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12" },
		{ "permessage-deflate; client_max_window_bits=10",
		  "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10" },
		{ "permessage-deflate; client_max_window_bits=\"15\"",
		  "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12" },
		{ "permessage-deflate; server_max_window_bits=9",
		  "permessage-deflate; server_max_window_bits=9" },
		{ "permessage-deflate; server_max_window_bits=8", NULL }, /* zlib cannot */
		{ "permessage-deflate; server_max_window_bits=8, permessage-deflate",
		  "permessage-deflate; server_max_window_bits=12" },
		{ "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		  "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
		  "server_max_window_bits=12" },
		{ "x-webkit-deflate-frame, permessage-deflate",
		  "permessage-deflate; server_max_window_bits=12" },
		{ "permessage-bzip2", NULL },
		{ "permessage-deflate; server_max_window_bits", NULL },
		{ "permessage-deflate; server_max_window_bits=16", NULL },
		{ "permessage-deflate; server_max_window_bits=09", NULL },
		{ "permessage-deflate; client_max_window_bits=7", NULL },
		{ "permessage-deflate; client_max_window_bits=abc", NULL },
		{ "permessage-deflate; server_no_context_takeover=1", NULL },
		{ "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		  NULL },
		{ "permessage-deflate; unknown", NULL },
		{ "permessage-deflate; ", NULL },
		{ "", NULL },
		{ ",;=,", NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct ws_deflate_params p = { 0 };
		bool taken = ws_deflate_negotiate(cases[i].offer, 12, &p);
		g_test_message("%s", cases[i].offer);
		g_assert_cmpint(taken, ==, cases[i].answer != NULL);
		g_assert_cmpint(p.on, ==, taken);
		if (!taken)
			continue;
		struct buf b = { NULL, 0, 0 };
		ws_deflate_put(&b, &p);
		g_assert_cmpstr(buf_terminate(&b), ==, cases[i].answer);
		buf_free(&b);
	}
}

static void test_compression_is_asked_for(void)
{
	const struct ws_handshake_config off = { .compress = false, .window_bits = 12 };
	const struct ws_handshake_config on = { .compress = true, .window_bits = 12 };
	static const char *const offer[] = { "sec-websocket-extensions: foo",
					     "+sec-websocket-extensions: permessage-deflate",
					     NULL };
	g_assert_false(shake(&off, "GET", 1, offer).deflate.on);
	g_assert_true(shake(&on, "GET", 1, offer).deflate.on);
	g_assert_false(shake(&on, "GET", 1, NULL).deflate.on);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/handshake/accept", test_accept);
	g_test_add_func("/websocket/handshake/refusals", test_refusals);
	g_test_add_func("/websocket/handshake/origins", test_origins);
	g_test_add_func("/websocket/handshake/subprotocols", test_subprotocols);
	g_test_add_func("/websocket/handshake/deflate-offers", test_deflate_offers);
	g_test_add_func("/websocket/handshake/compression", test_compression_is_asked_for);
	return g_test_run();
}
