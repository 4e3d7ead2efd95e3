/*
 * test-loop.c - the queue of a frontend thread: order, copies, one ring for many events.
 */
#include <pthread.h>
#include <string.h>

#include <glib.h>

#include "loop.h"

static void count_ring(void *data)
{
	g_atomic_int_inc((gint *)data);
}

struct got {
	GString *log;
	weir_loop *loop;
	guint64 sum;
	guint n, n_ends;
};

static void on_event(void *target, const struct weir_event *e)
{
	struct got *got = target;

	got->n++;
	got->sum += (guint64)e->value;
	if (!got->log)
		return;
	g_string_append_printf(got->log, "[%.*s|%.*s", (int)e->text.len,
			       e->text.data ? e->text.data : "", (int)e->raw.len,
			       e->raw.data ? e->raw.data : "");
	for (uint32_t i = 0; i < e->n_top; i++)
		g_string_append_printf(got->log, "|%d:%.*s", e->top[i].token,
				       (int)e->top[i].text.len, e->top[i].text.data);
	g_string_append_c(got->log, ']');
	/* Not again from inside. */
	g_assert_cmpuint(weir_loop_dispatch(got->loop), ==, 0);
}

static void on_end(void *target, const struct weir_end *e)
{
	struct got *got = target;

	got->n_ends++;
	if (!got->log)
		return;
	g_string_append_printf(got->log, "(%.*s|%.*s", (int)e->text.len, e->text.data,
			       (int)e->param.len, e->param.data);
	for (uint32_t i = 0; i < e->n_choices; i++)
		g_string_append_printf(got->log, "|%u", e->choices[i].n_output);
	g_string_append_c(got->log, ')');
}

static const struct weir_loop_calls calls = { .event = on_event, .end = on_end };

#define STR(s)                                                                                     \
	{                                                                                          \
		(s), sizeof(s) - 1                                                                 \
	}

static void test_copies(void)
{
	char text[] = "ab", alternative[] = "alt";
	struct weir_top_logprob top[] = { { 5, -1, STR("x") }, { 6, -2, { alternative, 3 } } };
	struct weir_choice_end ends[] = { { 1, 10 }, { 2, 20 } };
	struct weir_event e = { .text = { text, 2 }, .raw = STR("raw"), .n_top = 2, .top = top };
	struct weir_end end = { .size = sizeof(end),
				.choice_size = sizeof(struct weir_choice_end),
				.text = STR("why"),
				.param = STR("p"),
				.n_choices = 2,
				.choices = ends };
	gint rings = 0;
	weir_loop *loop = weir_loop_new(count_ring, &rings);
	struct got got = { .log = g_string_new(NULL), .loop = loop };

	weir_loop_push_event(loop, &calls, &got, &e, NULL);
	e = (struct weir_event){ .text = { text, 1 } };
	weir_loop_push_event(loop, &calls, &got, &e, NULL);
	weir_loop_push_end(loop, &calls, &got, &end, NULL);
	g_assert_cmpint(rings, ==, 1);
	memset(text, '?', sizeof(text));
	memset(alternative, '?', sizeof(alternative));
	ends[0].n_output = 99;
	g_assert_cmpuint(weir_loop_dispatch(loop), ==, 3);
	g_assert_cmpstr(got.log->str, ==, "[ab|raw|5:x|6:alt][a|](why|p|10|20)");
	g_assert_cmpuint(weir_loop_dispatch(loop), ==, 0);
	weir_loop_push_event(loop, &calls, &got, &e, NULL);
	g_assert_cmpint(rings, ==, 2);
	g_string_free(got.log, TRUE);
	weir_loop_free(loop);
}

/* http-server.md 7: one wake-up for a scheduler's step, not one for each token. */
static void test_bell(void)
{
	gint rings[2] = { 0, 0 };
	weir_loop *loops[2];
	struct weir_bell bell = { 0 };
	struct weir_event e = { .value = 1 };
	struct got got = { 0 };

	for (int i = 0; i < 2; i++)
		loops[i] = weir_loop_new(count_ring, &rings[i]);
	for (int step = 1; step <= 3; step++) {
		for (int i = 0; i < 64; i++)
			weir_loop_push_event(loops[i % 2], &calls, &got, &e, &bell);
		g_assert_cmpint(rings[0], ==, step - 1);
		weir_bell_ring(&bell);
		g_assert_cmpint(rings[0], ==, step);
		g_assert_cmpint(rings[1], ==, step);
		g_assert_cmpuint(weir_loop_dispatch(loops[0]), ==, 32);
		g_assert_cmpuint(weir_loop_dispatch(loops[1]), ==, 32);
	}
	/* Emptied before the bell: nothing to ring for. Freed before the bell: no ring at all. */
	weir_loop_push_event(loops[0], &calls, &got, &e, &bell);
	weir_loop_push_event(loops[1], &calls, &got, &e, &bell);
	weir_loop_dispatch(loops[0]);
	weir_loop_free(loops[1]);
	weir_bell_clear(&bell);
	g_assert_cmpint(rings[0], ==, 3);
	g_assert_cmpint(rings[1], ==, 3);
	weir_loop_free(loops[0]);
}

#define N_THREADS 4
#define N_EACH    20000

struct pusher {
	weir_loop *loop;
	struct got got;
};

static void *push(void *data)
{
	struct pusher *p = data;
	char text[64] = { 0 };

	for (int i = 0; i < N_EACH; i++) {
		struct weir_event e = { .value = i, .text = { text, (size_t)i % sizeof(text) } };

		weir_loop_push_event(p->loop, &calls, &p->got, &e, NULL);
	}
	weir_loop_push_end(p->loop, &calls, &p->got, &(struct weir_end){ 0 }, NULL);
	return NULL;
}

static void test_threads(void)
{
	gint rings = 0;
	weir_loop *loop = weir_loop_new(count_ring, &rings);
	struct pusher pushers[N_THREADS] = { 0 };
	pthread_t threads[N_THREADS];
	size_t n = 0;

	for (int i = 0; i < N_THREADS; i++) {
		pushers[i].loop = loop;
		pthread_create(&threads[i], NULL, push, &pushers[i]);
	}
	while (n < N_THREADS * (N_EACH + 1))
		n += weir_loop_dispatch(loop);
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		g_assert_cmpuint(pushers[i].got.n, ==, N_EACH);
		g_assert_cmpuint(pushers[i].got.sum, ==, (guint64)N_EACH * (N_EACH - 1) / 2);
		g_assert_cmpuint(pushers[i].got.n_ends, ==, 1);
	}
	weir_loop_free(loop);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/loop/copies", test_copies);
	g_test_add_func("/loop/one-ring-for-a-step", test_bell);
	g_test_add_func("/loop/threads", test_threads);
	return g_test_run();
}
