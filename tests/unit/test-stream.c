/*
 * test-stream.c - credit, cancellation, exactly one end, and plugins that break the rules
 * (DESIGN.md, "Streams: credit, cancellation, exactly one end").
 */
#include <pthread.h>
#include <string.h>

#include "harness.h"

struct owner {
	gint n_wakes, n_ended;
	weir_stream *end_in_wake; /* a producer that ends from inside wake() */
};

static void on_wake(void *data, weir_stream *out)
{
	struct owner *owner = data;

	g_atomic_int_inc(&owner->n_wakes);
	if (owner->end_in_wake)
		weir_stream_end(out, NULL, NULL);
}

static void on_ended(void *data, weir_stream *out)
{
	g_atomic_int_inc(&((struct owner *)data)->n_ended);
}

static const struct weir_producer producer = { on_wake, on_ended };

struct fixture {
	struct harness h;
	struct weir_streams *streams;
	struct seen *seen;
	struct owner owner;
	struct weir_channel *channel;
	weir_stream *out;
};

static void setup_with(struct fixture *f, uint32_t credit, int64_t deadline_ns)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .deadline_ns = deadline_ns };
	struct weir_channel_options options = { .sink = &seen_sink, .producer = &producer };

	memset(f, 0, sizeof(*f));
	harness_init(&f->h, NULL);
	f->streams = weir_streams_new(&f->h.core);
	f->seen = seen_new(0);
	options.loop = f->h.loop;
	options.sink_data = f->seen;
	options.credit = credit;
	options.request = weir_request_new(NULL, 0, NULL, &limits);
	options.owner = &f->owner;
	options.name = "backend.test";
	f->channel = weir_channel_new(f->streams, &options);
	f->out = f->seen->stream = weir_channel_producer(f->channel);
	weir_request_unref(options.request);
	weir_channel_submitted(f->channel);
}

static void setup(struct fixture *f, gconstpointer unused)
{
	setup_with(f, 2, 0);
}

static void teardown(struct fixture *f, gconstpointer unused)
{
	harness_dispatch(&f->h, 0);
	g_assert_cmpuint(f->seen->n_ends, ==, 1);
	g_assert_cmpuint(f->seen->n_wrong, ==, 0);
	g_assert_cmpint(f->owner.n_ended, ==, 1);
	g_assert_cmpuint(weir_streams_active(f->streams), ==, 0);
	g_assert_cmpuint(weir_streams_producing(f->streams), ==, 0);
	weir_streams_close(f->streams);
	harness_clear(&f->h);
	seen_free(f->seen);
}

static weir_status emit(weir_stream *out, const char *text)
{
	struct weir_event e = { .size = sizeof(e),
				.type = WEIR_EVENT_TEXT,
				.token = -1,
				.text = { text, strlen(text) } };

	return weir_stream_extension.emit(out, &e);
}

static void end_ok(weir_stream *out)
{
	struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP };

	weir_stream_extension.end(out, &end);
}

static void assert_logged(struct fixture *f, const char *text)
{
	g_autofree char *log = harness_log(&f->h);

	if (!text)
		g_assert_cmpstr(log, ==, "");
	else if (!strstr(log, text) || !strstr(log, "backend.test"))
		g_error("not logged: %s; but: %s", text, log);
}

static void test_credit(struct fixture *f, gconstpointer unused)
{
	gint before;

	g_assert_cmpint(emit(f->out, "a"), ==, WEIR_OK);
	g_assert_cmpint(emit(f->out, "b"), ==, WEIR_OK);
	before = f->owner.n_wakes;
	g_assert_cmpint(emit(f->out, "c"), ==, WEIR_E_NO_CREDIT);
	g_assert_cmpuint(weir_stream_credit(f->out), ==, 0);
	harness_dispatch(&f->h, 0);
	g_assert_cmpstr(f->seen->text->str, ==, "ab");
	weir_stream_grant(f->seen->stream, 3);
	g_assert_cmpint(f->owner.n_wakes, ==, before + 1);
	weir_stream_grant(f->seen->stream, 1); /* it has not looked: no second hint */
	g_assert_cmpint(f->owner.n_wakes, ==, before + 1);
	g_assert_cmpuint(weir_stream_credit(f->out), ==, 4);
	g_assert_cmpint(emit(f->out, "c"), ==, WEIR_OK);
	weir_stream_grant(f->seen->stream, UINT32_MAX);
	weir_stream_grant(f->seen->stream, UINT32_MAX);
	g_assert_cmpuint(weir_stream_credit(f->out), >=, 1u << 30);
	end_ok(f->out);
	harness_dispatch(&f->h, 0);
	g_assert_cmpstr(f->seen->text->str, ==, "abc");
	g_assert_cmpint(f->seen->end.finish, ==, WEIR_FINISH_STOP);
	assert_logged(f, NULL);
}

static void test_cancel(struct fixture *f, gconstpointer unused)
{
	gint before = f->owner.n_wakes;
	struct weir_end end = { .size = sizeof(end), .status = WEIR_E_CANCELLED };

	weir_stream_cancel(f->seen->stream, WEIR_E_DEADLINE);
	weir_stream_cancel(f->seen->stream, WEIR_E_UNAVAILABLE); /* the first reason stands */
	g_assert_cmpint(f->owner.n_wakes, ==, before + 1);
	g_assert_true(weir_stream_cancelled(f->out));
	g_assert_cmpint(emit(f->out, "x"), ==, WEIR_E_CANCELLED);
	weir_stream_extension.end(f->out, &end);
	harness_dispatch(&f->h, 0);
	g_assert_cmpint(f->seen->end.status, ==, WEIR_E_DEADLINE);
	g_assert_cmpstr(f->seen->end_text, ==, "request timeout"); /* 001-16 */
	assert_logged(f, NULL);
}

static void test_misuse(struct fixture *f, gconstpointer unused)
{
	struct weir_event bad = { .size = sizeof(bad), .type = 77 };
	weir_stream *out = f->out;

	g_assert_cmpint(weir_stream_extension.emit(out, &bad), ==, WEIR_E_INVALID);
	assert_logged(f, "unknown type");
	g_assert_cmpint(weir_stream_extension.emit(out, NULL), ==, WEIR_E_INVALID);
	g_assert_cmpint(emit(out, "a\xff"), ==, WEIR_OK);
	assert_logged(f, "not UTF-8");
	end_ok(out);
	g_assert_cmpint(emit(out, "late"), ==, WEIR_E_CANCELLED);
	assert_logged(f, "emits after");
	end_ok(out);
	assert_logged(f, "end() twice");
	harness_dispatch(&f->h, 0);
	g_assert_cmpstr(f->seen->text->str, ==, "a\xef\xbf\xbd");
	/* The stream is over for both sides: the handle is a ghost, and still does no harm. */
	for (int i = 0; i < 100; i++) {
		g_assert_cmpint(emit(out, "later"), ==, WEIR_E_CANCELLED);
		end_ok(out);
		weir_stream_grant(out, 1);
		weir_stream_cancel(out, WEIR_E_CANCELLED);
		g_assert_null(weir_stream_get_data(out));
		g_assert_cmpuint(weir_stream_credit(out), ==, 0);
	}
	weir_stream_grant(NULL, 1);
	{
		/* Reports are bounded: a plugin cannot fill the log. */
		g_autofree char *log = harness_log(&f->h);
		int lines = 0;

		for (const char *p = log; (p = strchr(p, '\n')) != NULL; p++)
			lines++;
		g_assert_cmpint(lines, <=, 4);
	}
}

static void test_end_forms(struct fixture *f, gconstpointer unused)
{
	/* NULL is the worst that a plugin can pass. */
	weir_stream_extension.end(f->out, NULL);
	harness_dispatch(&f->h, 0);
	g_assert_cmpint(f->seen->end.status, ==, WEIR_E_INTERNAL);
	g_assert_cmpstr(f->seen->end_text, ==, "inference failed"); /* 001-16 */
}

static void test_end_in_wake(struct fixture *f, gconstpointer unused)
{
	f->owner.end_in_wake = f->out;
	weir_stream_cancel(f->out, WEIR_E_CANCELLED);
	assert_logged(f, "from inside wake()");
}

static void test_detach(struct fixture *f, gconstpointer unused)
{
	weir_stream *out = f->out;
	int64_t now = weir_clock_ns();

	weir_stream_cancel(out, WEIR_E_CANCELLED);
	weir_streams_check(f->streams, now, 1000000000);
	harness_dispatch(&f->h, 0);
	g_assert_cmpuint(f->seen->n_ends, ==, 0); /* within its grace */
	weir_streams_check(f->streams, now + 3000000000, 1000000000);
	harness_dispatch(&f->h, 0);
	g_assert_cmpuint(f->seen->n_ends, ==, 1);
	g_assert_cmpint(f->seen->end.status, ==, WEIR_E_CANCELLED);
	assert_logged(f, "detached");
	/* The producer wakes up at last: its handle is still there. */
	g_assert_cmpint(emit(out, "x"), ==, WEIR_E_CANCELLED);
	end_ok(out);
	end_ok(out);
	assert_logged(f, "end() twice");
}

static void test_deadline(struct fixture *f, gconstpointer unused)
{
	teardown(f, (end_ok(f->out), NULL));
	setup_with(f, 2, weir_clock_ns() + 50000000);
	g_assert_cmpint(weir_streams_check(f->streams, weir_clock_ns(), 1000), >, weir_clock_ns());
	g_assert_false(weir_stream_cancelled(f->out));
	weir_streams_check(f->streams, weir_clock_ns() + 100000000, INT64_MAX / 2);
	g_assert_cmpint(weir_stream_why(f->out), ==, WEIR_E_DEADLINE);
	weir_stream_fail(f->out, &(struct weir_error){ .code = WEIR_E_CANCELLED }, 0, NULL);
	harness_dispatch(&f->h, 0);
	g_assert_cmpint(f->seen->end.status, ==, WEIR_E_DEADLINE);
}

/* A producer, a consumer that grants one by one, and somebody who cancels, all at once. */
static void *run_producer(void *data)
{
	struct fixture *f = data;
	weir_status status = WEIR_OK;
	int n = 0;

	while (status != WEIR_E_CANCELLED && n < 5000) {
		status = emit(f->out, "x");
		n += status == WEIR_OK;
	}
	end_ok(f->out);
	return NULL;
}

static void *run_canceller(void *data)
{
	struct fixture *f = data;

	g_usleep((gulong)g_random_int_range(0, 3000));
	weir_stream_cancel(f->out, WEIR_E_CANCELLED);
	return NULL;
}

static void test_threads(struct fixture *f, gconstpointer unused)
{
	end_ok(f->out);
	for (int round = 0; round < 30; round++) {
		pthread_t a, b;
		bool cancels = round % 3 == 0;

		teardown(f, NULL);
		setup_with(f, 2, 0);
		f->seen->grant_each = 1;
		/* The handle outlives the stream only in the grace list: that is what is tested. */
		pthread_create(&a, NULL, run_producer, f);
		if (cancels)
			pthread_create(&b, NULL, run_canceller, f);
		harness_until(&f->h, &f->seen->n_ends);
		pthread_join(a, NULL);
		if (cancels)
			pthread_join(b, NULL);
		else
			g_assert_cmpuint(f->seen->n_events, ==, 5000);
	}
}

/* With a bell nothing is told until it rings, and then once; what comes without one does not wait.
 * A bell that is freed rings. */
static void test_bell(struct fixture *f, gconstpointer unused)
{
	const struct weir_stream_api *api = &weir_stream_extension;
	struct weir_event e = { .size = sizeof(e), .type = WEIR_EVENT_TEXT, .token = -1 };
	struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP };
	weir_bell *bell = api->bell_new();

	api->bell_free(NULL);
	weir_stream_grant(f->out, 3);
	for (int i = 0; i < 3; i++)
		g_assert_cmpint(api->emit_with(f->out, &e, bell), ==, WEIR_OK);
	g_assert_cmpint(f->h.n_rings, ==, 0);
	api->ring(bell);
	api->ring(bell);
	g_assert_cmpint(f->h.n_rings, ==, 1);
	harness_dispatch(&f->h, 0);
	g_assert_cmpuint(f->seen->n_events, ==, 3);
	g_assert_cmpint(api->emit_with(f->out, &e, bell), ==, WEIR_OK);
	g_assert_cmpint(emit(f->out, "x"), ==, WEIR_OK);
	g_assert_cmpint(f->h.n_rings, ==, 2);
	api->ring(bell);
	g_assert_cmpint(f->h.n_rings, ==, 2); /* it knows */
	harness_dispatch(&f->h, 0);
	g_assert_cmpint(api->emit_with(f->out, &e, bell), ==, WEIR_E_NO_CREDIT);
	api->end_with(f->out, &end, bell);
	g_assert_cmpint(f->h.n_rings, ==, 2);
	api->bell_free(bell);
	g_assert_cmpint(f->h.n_rings, ==, 3);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *, gconstpointer);
	} tests[] = {
		{ "/stream/credit", test_credit },
		{ "/stream/cancel", test_cancel },
		{ "/stream/misuse", test_misuse },
		{ "/stream/end-null", test_end_forms },
		{ "/stream/end-inside-wake", test_end_in_wake },
		{ "/stream/detach", test_detach },
		{ "/stream/deadline", test_deadline },
		{ "/stream/threads", test_threads },
		{ "/stream/bell", test_bell },
	};

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].name, struct fixture, NULL, setup, tests[i].run, teardown);
	return g_test_run();
}
