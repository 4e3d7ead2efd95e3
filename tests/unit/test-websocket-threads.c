/*
 * tests/unit/test-websocket-threads.c - WebSockets on several I/O threads: each lives where it was
 * accepted, one that resumes moves to its answer's thread with all it has said, a cancel by token
 * reaches any thread, and ends in the middle of a move lose nothing.
 */
#include <string.h>

#include <glib.h>

#include "ws-client.h"

#define N 16 /* sockets: the kernel chooses the threads */

static void start(struct harness *h)
{
	fake_gateway_init(&h->gateway);
	h->gateway.script = count_up;
	harness_start(h, "io_threads", "4", NULL);
}

/* Lost and taken up again, whatever threads the two sockets are on. */
static void test_resume(void)
{
	struct harness h;
	struct client c[N];
	start(&h);
	for (int i = 0; i < N; i++) {
		c[i] = client_open(&h);
		say(&c[i], COUNT("a", "300", ",\"resume\":true"));
	}
	for (int i = 0; i < N; i++) {
		g_autofree char *accepted = hear(&c[i]);
		g_autofree char *token = token_of(accepted);
		hears_count(&c[i], 0, 20);
		client_close(&c[i]);
		c[i] = client_open(&h);
		resume(&c[i], token, 20);
		hears(&c[i], "resumed");
		hears_count(&c[i], 21, 300);
	}
	for (int i = 0; i < N / 2; i++)
		client_close(&c[i]);
	harness_stop(&h);
	for (int i = N / 2; i < N; i++)
		client_close(&c[i]);
}

/* The old socket is still there, and the new one has said more before and behind: in order. */
static void test_order(void)
{
	struct harness h;
	start(&h);
	for (int i = 0; i < N; i++) {
		struct client a = client_open(&h), b = client_open(&h);
		say(&a, COUNT("a", "100000", ",\"resume\":true,\"credit\":5"));
		g_autofree char *accepted = hear(&a);
		g_autofree char *token = token_of(accepted);
		hears_count(&a, 0, 4);
		say(&b, "{\"type\":\"ping\",\"id\":\"one\"}");
		resume(&b, token, 2);
		say(&b, "{\"type\":\"ping\",\"id\":\"two\"}");
		say(&b, "{\"type\":\"credit\",\"id\":\"a\",\"n\":2}");
		hears(&a, "{\"type\":\"moved\",\"id\":\"a\"}");
		hears(&b, "\"one\"");
		hears(&b, "\"from\":3");
		hears_count(&b, 3, 4);
		hears(&b, "\"two\"");
		hears_count(&b, 5, 6);
		say(&b, "{\"type\":\"cancel\",\"id\":\"a\"}");
		hears(&b, "\"type\":\"cancelled\"");
		client_close(&a);
		client_close(&b);
	}
	harness_stop(&h);
}

/* By its token, from any socket. */
static void test_cancel(void)
{
	struct harness h;
	start(&h);
	for (int i = 0; i < N; i++) {
		struct client a = client_open(&h), b = client_open(&h);
		say(&a, COUNT("a", "100000", ",\"resume\":true,\"credit\":5"));
		g_autofree char *accepted = hear(&a);
		g_autofree char *token = token_of(accepted);
		g_autofree char *text =
			g_strdup_printf("{\"type\":\"cancel\",\"token\":\"%s\"}", token);
		hears_count(&a, 0, 4);
		say(&b, text);
		hears(&a, "\"type\":\"cancelled\"");
		client_close(&a);
		client_close(&b);
	}
	harness_stop(&h);
}

/* A socket with requests under way stays where it is: an answer of another thread is refused, and
 * nothing is lost by it. With four threads it is refused now and then, which shows that sockets are
 * spread over them. */
static void test_busy(void)
{
	struct harness h;
	int n_refused = 0;
	start(&h);
	for (int i = 0; i < 2 * N; i++) {
		struct client a = client_open(&h), b = client_open(&h), c = client_open(&h);
		say(&a, COUNT("a", "100000", ",\"resume\":true,\"credit\":5"));
		g_autofree char *accepted = hear(&a);
		g_autofree char *token = token_of(accepted);
		hears_count(&a, 0, 4);
		say(&b, COUNT("b", "100000", ",\"credit\":5"));
		hears(&b, "accepted");
		hears_count(&b, 0, 4);
		resume(&b, token, 2);
		g_autofree char *answer = hear(&b);
		if (strstr(answer, "resume_elsewhere")) {
			n_refused++;
			resume(&c, token, 2); /* a socket of its own */
			hears(&c, "\"from\":3");
			hears_count(&c, 3, 4);
		} else {
			g_assert_nonnull(strstr(answer, "\"from\":3"));
			hears_count(&b, 3, 4);
		}
		say(&b, "{\"type\":\"credit\",\"id\":\"b\",\"n\":2}");
		hears_count(&b, 5, 6);
		client_close(&a);
		client_close(&b);
		client_close(&c);
	}
	g_assert_cmpint(n_refused, >, 0);
	harness_stop(&h);
}

/* Gone, or the server stops, in the middle of a move. */
static void test_gone(void)
{
	for (int round = 0; round < 4; round++) {
		struct harness h;
		struct client a, b[N];
		start(&h);
		a = client_open(&h);
		say(&a, COUNT("a", "100000", ",\"resume\":true,\"credit\":5"));
		g_autofree char *accepted = hear(&a);
		g_autofree char *token = token_of(accepted);
		for (int i = 0; i < N; i++) {
			b[i] = client_open(&h);
			resume(&b[i], token, 0);
			if (i % 3 == 0)
				client_close(&b[i]);
		}
		harness_stop(&h);
		for (int i = 0; i < N; i++)
			if (i % 3)
				client_close(&b[i]);
		client_close(&a);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/websocket/threads/resume", test_resume);
	g_test_add_func("/websocket/threads/order", test_order);
	g_test_add_func("/websocket/threads/cancel", test_cancel);
	g_test_add_func("/websocket/threads/busy", test_busy);
	g_test_add_func("/websocket/threads/gone", test_gone);
	return g_test_run();
}
