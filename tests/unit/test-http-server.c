/*
 * tests/unit/test-http-server.c - the connection plane on real sockets: routes, pipelining, limits,
 * deadlines, lent requests, CORS, draining. The gateway is a fake; it is not asked here.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>

#include "http-harness.h"

static void answers(struct harness *h, const char *request, size_t len, int status,
		    const char *part)
{
	int fd = harness_connect(h);
	harness_send(fd, request, len);
	g_autofree char *answer = harness_read_all(fd);
	if (harness_status(answer) != status || (part && !strstr(answer, part)))
		g_error("%.80s -> %s", request, answer);
}

static void test_routes(void)
{
	static const struct {
		const char *request;
		int status;
		const char *part;
	} cases[] = {
		{ "GET /ping", 200, "\r\n\r\npong" },
		{ "HEAD /ping", 200, "Content-Length: 4\r\n" },
		{ "GET /health", 200, "{\"status\":\"ready\",\"http\":{\"connections\":1" },
		{ "GET /v1/health", 200, "\"ready\"" },
		{ "GET /metrics", 200, "{\"counters\":{}}" },
		{ "GET /v1/models", 200,
		  "{\"object\":\"list\",\"data\":[{\"id\":\"weir-demo\",\"object\":\"model\","
		  "\"created\":1700000000,\"owned_by\":\"weir\",\"max_model_len\":4096,"
		  "\"state\":\"ready\",\"status\":{\"value\":\"loaded\"}},{\"id\":\"a/b\"," },
		{ "GET /v1/models/weir-demo", 200, "\r\n\r\n{\"id\":\"weir-demo\"" },
		{ "GET /v1/models/a%2Fb", 200, "\r\n\r\n{\"id\":\"a/b\"" },
		{ "GET /v1/models/cloud/x", 200, "\r\n\r\n{\"id\":\"cloud/x\"" },
		{ "GET /v1/models/none", 404, "\"message\":\"model not found\"" },
		{ "GET /v1/invalid", 404, "\"message\":\"endpoint not found\"" },
		{ "GET /nothing", 404, "endpoint not found" },
		{ "POST /ping", 405, "Allow: GET, HEAD, OPTIONS\r\n" },
		{ "GET /v1/chat/completions", 405, "Allow: POST, OPTIONS\r\n" },
		{ "DELETE /v1/models/x", 405, "method not allowed" },
		{ "POST /admin/reload", 404, NULL }, /* not enabled */
		{ "GET /", 200, "<a href=\"/v1/models\">" },
		{ "HEAD /", 200, "Content-Type: text/html" },
		{ "POST /v1/models/a%2Fb/load", 403, "\"code\":\"permission_denied\"" },
		{ "POST /v1/models/weir-demo/unload", 403, "set admin = true" },
		{ "POST /v1/models/none/load", 403, "set admin = true" },
		{ "POST /v1/models/load", 403, "set admin = true" },
		{ "POST /models/unload", 403, "set admin = true" },
		{ "GET /models", 200, "\"status\":{\"value\":\"loaded\"}" },
		{ "POST /v1/models//load", 404, "\"message\":\"model not found\"" },
		{ "POST /v1/models/%ff/unload", 404, "\"message\":\"model not found\"" },
		{ "POST /v1/models/weir-demo", 405, "Allow: GET, HEAD, OPTIONS\r\n" },
		{ "GET /v1/models/weir-demo/load", 405, "Allow: POST, OPTIONS\r\n" },
		{ "QUERY /v1/models", 405, "Allow: GET, HEAD, OPTIONS\r\n" },
		{ "GET /version", 200, "{\"version\":\"" WEIR_VERSION "\"}" },
		{ "GET /props", 200, "\"models\":[\"weir-demo\",\"a/b\"]" },
		{ "GET /openapi.json", 200, "\"openapi\" : \"3.1.0\"" },
		{ "GET /docs", 200, "Content-Security-Policy: default-src 'none'" },
		{ "GET /docs/init.js", 200, "url: '/openapi.json'" },
		{ "GET /docs/swagger-ui.css", 404, "endpoint not found" }, /* no package */
		{ "GET /docs/../docs", 404, NULL },
		{ "OPTIONS /v1/models", 204, "Allow: GET, HEAD, OPTIONS\r\n" },
	};
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "ui", "false", NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *request =
			g_strconcat(cases[i].request,
				    " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
		answers(&h, request, strlen(request), cases[i].status, cases[i].part);
	}
	static const char old[] = "GET /ping HTTP/1.0\r\n\r\n";
	answers(&h, old, strlen(old), 200, "Connection: close\r\n");
	g_autofree char *text = harness_get(&h, "/metrics", "Accept: text/plain;version=0.0.4\r\n");
	g_assert_nonnull(strstr(text, "Content-Type: text/plain; version=0.0.4"));
	g_assert_nonnull(strstr(text, "# HELP"));
	g_autofree char *id = harness_get(&h, "/ping", "X-Request-Id: mine-1\r\n");
	g_assert_nonnull(strstr(id, "X-Request-Id: mine-1\r\n"));
	g_autofree char *made = harness_get(&h, "/ping", "X-Request-Id: a\"b\r\n");
	g_assert_nonnull(strstr(made, "X-Request-Id: req_"));
	g_assert_nonnull(strstr(made, "\r\nDate: "));
	harness_stop(&h);
}

/* One write, many requests, hot and lent ones mixed: answered in order on one connection. */
static void test_pipelining(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, NULL);
	GString *s = g_string_new(NULL);
	for (int i = 0; i < 300; i++) {
		const char *path = i % 3 == 0 ? "/ping" : i % 3 == 1 ? "/" : "/v1/none";
		g_string_append_printf(s,
				       "GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: n%d-\r\n%s\r\n",
				       path, i, i == 299 ? "Connection: close\r\n" : "");
	}
	int fd = harness_connect(&h);
	harness_send(fd, s->str, s->len);
	g_autofree char *all = harness_read_all(fd);
	const char *at = all;
	for (int i = 0; i < 300; i++) {
		char id[40];
		g_snprintf(id, sizeof(id), "X-Request-Id: n%d-\r\n", i);
		at = strstr(at, id);
		if (!at)
			g_error("answer %d is missing or out of order", i);
	}
	g_string_free(s, TRUE);
	harness_stop(&h);
}

static void test_refusals_close(void)
{
	static const char smuggled[] = "POST /ping HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
				       "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
				       "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char large[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				    "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n";
	static const char wrong[] = "POST /nowhere HTTP/1.1\r\nHost: x\r\n"
				    "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, NULL);
	int fd = harness_connect(&h);
	harness_send(fd, smuggled, strlen(smuggled));
	g_autofree char *answer = harness_read_all(fd);
	g_assert_cmpint(harness_status(answer), ==, 400);
	g_assert_nonnull(strstr(answer, "Connection: close\r\n"));
	g_assert_null(strstr(answer, "weir-demo"));
	answers(&h, large, strlen(large), 413, "Connection: close\r\n");
	answers(&h, wrong, strlen(wrong), 404, "Connection: close\r\n");
	/* 100 megabytes in spite of it: the answer comes, the rest is not wanted */
	fd = harness_connect(&h);
	static const char head[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				   "Content-Length: 104857600\r\n\r\n";
	harness_send(fd, head, strlen(head));
	g_autofree char *megabyte = g_strnfill(1 << 20, 'x');
	for (int i = 0; i < 100; i++)
		harness_send(fd, megabyte, 1 << 20);
	g_free(harness_read_all(fd));
	harness_stop(&h);
}

static void test_expect_continue(void)
{
	static const char head[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				   "Connection: close\r\n"
				   "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, NULL);
	int fd = harness_connect(&h);
	harness_send(fd, head, strlen(head));
	g_autofree char *go = harness_read_until(fd, "\r\n\r\n");
	g_assert_cmpstr(go, ==, "HTTP/1.1 100 Continue\r\n\r\n");
	harness_send(fd, "{}", 2);
	g_autofree char *answer = harness_read_all(fd);
	g_assert_cmpint(harness_status(answer), ==, 400);
	g_assert_nonnull(strstr(answer, "model is required"));
	harness_stop(&h);
}

/* All bodies together are bounded too. */
static void test_body_budget(void)
{
	static const char head[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				   "Content-Length: 900000\r\n\r\n";
	static const char zipped[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				     "Connection: close\r\nContent-Encoding: gzip\r\n"
				     "Content-Length: 2\r\n\r\n{}";
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "max_bodies", "1048576", NULL);
	g_autofree char *part = g_strnfill(800000, ' ');
	int first = harness_connect(&h), second = harness_connect(&h);
	harness_send(first, head, strlen(head));
	harness_send(first, part, strlen(part));
	g_usleep(100000);
	harness_send(second, head, strlen(head));
	harness_send(second, part, strlen(part));
	g_autofree char *answer = harness_read_all(second);
	g_assert_cmpint(harness_status(answer), ==, 503);
	close(first);
	for (int i = 0; i < 3; i++) { /* and what is over is given back */
		int fd = harness_connect(&h);
		harness_send(fd, head, strlen(head));
		harness_send(fd, part, strlen(part));
		harness_send(fd, part, 100000);
		g_autofree char *next = harness_read_until(fd, "\r\n\r\n");
		g_assert_cmpint(harness_status(next), ==, 400);
		close(fd);
		g_usleep(50000);
	}
	answers(&h, zipped, strlen(zipped), 415, "compressed");
	harness_stop(&h);
}

static void test_deadlines(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "header_timeout", "300", "body_timeout", "300", "idle_timeout", "300",
		      NULL);
	/* nothing at all: closed without a word */
	g_autofree char *never = harness_read_all(harness_connect(&h));
	g_assert_cmpstr(never, ==, "");
	/* half a head, and a drip of it */
	answers(&h, "GET / HT", 8, 408, "Connection: close\r\n");
	int fd = harness_connect(&h);
	static const char drip[] = "GET /ping HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaa";
	for (size_t i = 0; i < sizeof(drip) - 1; i++) {
		harness_send(fd, drip + i, 1);
		g_usleep(15000);
	}
	g_autofree char *late = harness_read_all(fd);
	g_assert_cmpint(harness_status(late), ==, 408);
	/* half a body */
	static const char half[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
				   "Content-Length: 10\r\n\r\n{";
	answers(&h, half, strlen(half), 408, "body");
	/* idle after a request */
	fd = harness_connect(&h);
	static const char ping[] = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
	harness_send(fd, ping, strlen(ping));
	g_autofree char *idle = harness_read_all(fd);
	g_assert_true(g_str_has_suffix(idle, "pong"));
	harness_stop(&h);
}

static void test_connection_limit(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "max_connections", "3", NULL);
	int held[3];
	static const char ping[] = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
	for (int i = 0; i < 3; i++) {
		held[i] = harness_connect(&h);
		harness_send(held[i], ping, strlen(ping));
		g_free(harness_read_until(held[i], "pong"));
	}
	answers(&h, ping, strlen(ping), 503, "too many connections");
	close(held[0]);
	for (int i = 0; i < 200; i++) { /* one is free as soon as the close is seen */
		g_autofree char *again = harness_get(&h, "/ping", "");
		if (harness_status(again) == 200)
			break;
		g_assert_cmpint(i, <, 199);
		g_usleep(5000);
	}
	close(held[1]);
	close(held[2]);
	harness_stop(&h);
}

static void test_cors(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "cors_origins", "http://a.example,http://b.example", NULL);
	g_autofree char *simple = harness_get(&h, "/ping", "Origin: http://b.example\r\n");
	g_assert_nonnull(strstr(simple, "Access-Control-Allow-Origin: http://b.example\r\n"));
	g_assert_nonnull(strstr(simple, "Vary: Origin\r\n"));
	g_autofree char *other = harness_get(&h, "/ping", "Origin: http://evil.example\r\n");
	g_assert_null(strstr(other, "Access-Control-Allow-Origin"));
	g_autofree char *lent = harness_get(&h, "/", "Origin: http://a.example\r\n");
	g_assert_nonnull(strstr(lent, "Access-Control-Allow-Origin: http://a.example\r\n"));
	static const char preflight[] = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
					"Connection: close\r\nOrigin: http://a.example\r\n"
					"Access-Control-Request-Method: POST\r\n"
					"Access-Control-Request-Headers: content-type, x-a\r\n\r\n";
	int fd = harness_connect(&h);
	harness_send(fd, preflight, strlen(preflight));
	g_autofree char *answer = harness_read_all(fd);
	g_assert_cmpint(harness_status(answer), ==, 204);
	g_assert_nonnull(strstr(answer, "Access-Control-Max-Age: 86400\r\n"));
	g_assert_nonnull(strstr(answer, "Access-Control-Allow-Headers: content-type, x-a\r\n"));
	harness_stop(&h);
}

/* Files through libsoup: types, ranges, conditions, large ones to a slow reader, nothing outside.
 */
static void test_files(void)
{
	g_autofree char *dir = g_dir_make_tmp("weir-www-XXXXXX", NULL);
	g_autofree char *page = g_build_filename(dir, "index.html", NULL);
	g_autofree char *large = g_build_filename(dir, "large.bin", NULL);
	g_autofree char *secret = g_build_filename(dir, ".secret", NULL);
	g_autofree char *data = g_strnfill(9 << 20, 'z');
	g_file_set_contents(page, "<p>home</p>", -1, NULL);
	g_file_set_contents(large, data, 9 << 20, NULL);
	g_file_set_contents(secret, "no", -1, NULL);
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "www", dir, NULL);
	g_autofree char *home = harness_get(&h, "/", "");
	g_assert_true(g_str_has_suffix(home, "\r\n\r\n<p>home</p>"));
	g_assert_nonnull(strstr(home, "text/html"));
	g_autofree char *part = harness_get(&h, "/index.html", "Range: bytes=3-6\r\n");
	g_assert_cmpint(harness_status(part), ==, 206);
	g_assert_true(g_str_has_suffix(part, "\r\n\r\nhome"));
	const char *etag = strstr(home, "ETag: ") + 6;
	g_autofree char *condition =
		g_strdup_printf("If-None-Match: %.*s\r\n", (int)strcspn(etag, "\r"), etag);
	g_autofree char *same = harness_get(&h, "/index.html", condition);
	g_assert_cmpint(harness_status(same), ==, 304);
	g_autofree char *ranges = harness_get(&h, "/large.bin", "Range: bytes=0-,0-,0-,0-\r\n");
	g_assert_cmpint(harness_status(ranges), ==, 200);
	static const char *const outside[] = { "/../etc/passwd", "/%2e%2e/x",  "/.secret",
					       "/a%2f..%2fb",    "/%00",       "//etc/passwd",
					       "/x\\y",          "/none.html", "/index.html/" };
	for (size_t i = 0; i < G_N_ELEMENTS(outside); i++) {
		g_autofree char *none = harness_get(&h, outside[i], "");
		if (harness_status(none) != 404 && harness_status(none) != 400)
			g_error("%s -> %.100s", outside[i], none);
	}
	int fd = harness_connect(&h), small = 65536;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	static const char get[] = "GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	harness_send(fd, get, strlen(get));
	g_usleep(50000);
	g_autofree char *whole = harness_read_all(fd);
	g_assert_cmpuint(strlen(harness_body(whole)), ==, 9 << 20);
	/* and away in the middle of it */
	fd = harness_connect(&h);
	harness_send(fd, get, strlen(get));
	g_free(harness_read_until(fd, "zzz"));
	close(fd);
	harness_stop(&h);
	g_remove(page);
	g_remove(large);
	g_remove(secret);
	g_rmdir(dir);
}

static void test_threads(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, "io_threads", "3", NULL);
	for (int i = 0; i < 60; i++) {
		g_autofree char *answer = harness_get(&h, i % 2 ? "/ping" : "/", "");
		g_assert_cmpint(harness_status(answer), ==, 200);
	}
	harness_stop(&h);
}

static void test_port_in_use(void)
{
	struct harness h, other;
	struct weir_error err = { .code = WEIR_OK };
	fake_gateway_init(&h.gateway);
	fake_gateway_init(&other.gateway);
	harness_start(&h, "io_threads", "2", NULL);
	g_autofree char *address = g_strdup_printf("127.0.0.1:%d", h.gateway.port);
	struct weir_kv conf[] = { { "listen", address }, { "io_threads", "2" } };
	const struct weir_component *component = weir_plugin_query(WEIR_ABI)->components[0];
	g_assert_cmpint(component->create(&other.gateway.host, conf, 2, &other.instance, &err), ==,
			0);
	g_assert_cmpint(other.instance->start(other.instance, &err), ==, WEIR_E_UNAVAILABLE);
	g_assert_nonnull(strstr(err.text, "another program has this port"));
	other.instance->destroy(other.instance);
	harness_stop(&h);
}

static void test_drain(void)
{
	struct harness h;
	fake_gateway_init(&h.gateway);
	harness_start(&h, NULL);
	static const char ping[] = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
	int idle = harness_connect(&h), half = harness_connect(&h);
	harness_send(idle, ping, strlen(ping));
	g_free(harness_read_until(idle, "pong"));
	harness_send(half, ping, 20);
	g_usleep(50000);
	h.instance->drain(h.instance);
	g_autofree char *nothing = harness_read_all(idle);
	g_assert_cmpstr(nothing, ==, "");
	harness_send(half, ping + 20, strlen(ping) - 20);
	g_autofree char *last = harness_read_all(half);
	g_assert_nonnull(strstr(last, "Connection: close\r\n"));
	g_assert_true(g_str_has_suffix(last, "pong"));
	harness_stop(&h);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/http/server/routes", test_routes);
	g_test_add_func("/http/server/pipelining", test_pipelining);
	g_test_add_func("/http/server/refusals-close", test_refusals_close);
	g_test_add_func("/http/server/expect-continue", test_expect_continue);
	g_test_add_func("/http/server/body-budget", test_body_budget);
	g_test_add_func("/http/server/deadlines", test_deadlines);
	g_test_add_func("/http/server/connection-limit", test_connection_limit);
	g_test_add_func("/http/server/cors", test_cors);
	g_test_add_func("/http/server/files", test_files);
	g_test_add_func("/http/server/threads", test_threads);
	g_test_add_func("/http/server/port-in-use", test_port_in_use);
	g_test_add_func("/http/server/drain", test_drain);
	return g_test_run();
}
