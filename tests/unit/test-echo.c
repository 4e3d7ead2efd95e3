/*
 * test-echo.c - the echo backend: its script's format, what it finds in messages, and streams
 * through a real router.
 */
#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include "echo.h"
#include "harness.h"
#include "wheel.h"

static void test_script(void)
{
	static const struct {
		const char *text, *wrong; /* NULL: fine */
		size_t n;
	} cases[] = {
		{ "echo", NULL, 1 },
		{ "# nothing\n\n  words a b\r\nrepeat 3\ndelay 1.5s\nerror INTERNAL oh no", NULL,
		  3 },
		{ "text a\\nb", NULL, 1 },
		{ "finish length", NULL, 1 },
		{ "error UNAVAILABLE", NULL, 1 },
		{ "", "says nothing", 0 },
		{ "# only", "says nothing", 0 },
		{ "echo\nsing a song", "t:2: unknown instruction", 0 },
		{ "text", "needs an argument", 0 },
		{ "echo twice", "takes no argument", 0 },
		{ "repeat 2", "needs a line before it", 0 },
		{ "echo\nrepeat 0", "from 1 to", 0 },
		{ "echo\nrepeat 2x", "from 1 to", 0 },
		{ "delay 5", "200ms", 0 },
		{ "delay -1s", "200ms", 0 },
		{ "delay nans", "200ms", 0 },
		{ "delay 1e300s", "200ms", 0 },
		{ "finish never", "finish is one of", 0 },
		{ "error OOPS x", "code of weir/base.h", 0 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct echo_script script = { NULL, 0 };
		struct weir_error err = { 0 };
		weir_status status =
			echo_script_parse("t", cases[i].text, strlen(cases[i].text), &script, &err);

		if (!cases[i].wrong) {
			g_assert_cmpint(status, ==, WEIR_OK);
			g_assert_cmpuint(script.n, ==, cases[i].n);
		} else if (status != WEIR_E_INVALID || !strstr(err.text, cases[i].wrong)) {
			g_error("case %zu: %d %s", i, status, err.text);
		}
		echo_script_clear(&script);
	}
	{
		struct echo_script script;
		struct weir_error err;

		g_assert_cmpint(echo_script_read("/nonexistent/file", &script, &err), ==,
				WEIR_E_NOT_FOUND);
		g_assert_nonnull(strstr(err.text, "/nonexistent/file"));
		g_assert_cmpint(echo_script_parse("t", "a\0b", 3, &script, &err), ==,
				WEIR_E_INVALID);
	}
}

static void test_last_user(void)
{
	static const struct {
		const char *json, *want;
	} cases[] = {
		{ "[{\"role\":\"user\",\"content\":\"hi\"}]", "hi" },
		{ " [ { \"content\" : \"a\" , \"role\" : \"user\" } , {\"role\":\"assistant\","
		  "\"content\":\"b\"} ] ",
		  "a" },
		{ "[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"user\",\"content\":\"2\"}]",
		  "2" },
		{ "[{\"role\":\"user\",\"content\":\"a\\n\\\"\\u00e4\\ud83d\\ude00\\ud800.\"}]",
		  "a\n\"\xc3\xa4\xf0\x9f\x98\x80\xef\xbf\xbd." },
		{ "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":"
		  "\"image_url\",\"image_url\":{\"url\":\"]}\"}},{\"text\":\"y\"}]}]",
		  "xy" },
		{ "[{\"tool_calls\":[{\"a\":[1,2,{\"role\":\"user\"}]}],\"role\":\"user\","
		  "\"content\":\"z\"}]",
		  "z" },
		{ "[{\"role\":\"system\",\"content\":\"hi\"}]", NULL },
		{ "[]", NULL },
		{ "", NULL },
		{ "{}", NULL },
		{ "[{\"role\":\"user\",\"content\":\"hi\"", NULL },
		{ "[{\"role\":\"user\",\"content\":\"hi", NULL },
		{ "[{\"role\":\"user\",\"content\":[[[[[[", NULL },
		{ "[{\"role\":\"user\",\"content\":null}]", "" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t len = 0;
		char *got = echo_last_user(
			(struct weir_str){ cases[i].json, strlen(cases[i].json) }, &len);

		g_assert_cmpstr(got, ==, cases[i].want);
		if (got)
			g_assert_cmpuint(len, ==, strlen(cases[i].want));
		free(got);
	}
	/* Every cut of a good one ends well. */
	for (size_t n = 0; n < strlen(cases[4].json); n++) {
		g_autofree char *part = g_memdup2(cases[4].json, n + 1);
		size_t len;

		free(echo_last_user((struct weir_str){ part, n }, &len));
	}
}

/* Against a plain list: nothing is later than a tick after its time, what is removed does not come,
 * and next() never sleeps past something. */
static void test_wheel(void)
{
	enum { N = 500 };
	const int64_t tick = ECHO_WHEEL_TICK_NS;
	struct echo_due items[N] = { 0 }, due;
	g_autofree struct echo_wheel *w = g_new(struct echo_wheel, 1);
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	int64_t now = 12345 * tick + 678, added[N] = { 0 };
	int n_came = 0;

	echo_wheel_init(w, now);
	g_assert_cmpint(echo_wheel_next(w), ==, INT64_MAX);
	for (int round = 0; round < 20000; round++) {
		struct echo_due *d = &items[g_rand_int_range(rand, 0, N)];
		int64_t first = INT64_MAX, next;

		if (d->next && g_rand_boolean(rand)) {
			echo_list_remove(d);
		} else if (!d->next) { /* some far beyond a turn, some in the past */
			int range = g_rand_int_range(rand, 0, 10) ? 60 : 5000;

			d->ns = now + g_rand_int_range(rand, -3, range) * tick +
				g_rand_int_range(rand, 0, tick);
			added[d - items] = now;
			echo_wheel_add(w, d);
		}
		for (int i = 0; i < N; i++)
			if (items[i].next)
				first = MIN(first, items[i].ns);
		next = echo_wheel_next(w);
		g_assert_true(first == INT64_MAX ? next == INT64_MAX
						 : next <= MAX(first, now) + tick);
		if (g_rand_int_range(rand, 0, 4))
			continue;
		/* Time goes on by less than a tick, a few, or more than a turn. */
		now += g_rand_int_range(rand, 0, 50) ? g_rand_int_range(rand, 0, 3 * tick)
						     : 1500 * tick;
		echo_list_init(&due);
		echo_wheel_take(w, now, &due);
		while (!echo_list_empty(&due)) {
			d = due.next;
			echo_list_remove(d);
			if (d->ns > now)
				echo_wheel_add(w, d);
			else
				n_came++;
		}
		for (int i = 0; i < N; i++)
			g_assert_true(!items[i].next || MAX(items[i].ns, added[i]) > now - tick);
	}
	g_assert_cmpint(n_came, >, 1000);
}

struct fixture {
	struct harness h;
	struct weir_instance *instance;
	char *path;
};

static void start(struct fixture *f, const char *rate, const char *script)
{
	const struct weir_component *echo = weir_plugin_query(WEIR_ABI)->components[0];
	const char *const serves[] = { "echo", NULL };
	struct weir_kv conf[2] = { { "rate", rate } };
	struct weir_error err = { 0 };
	struct weir_backend_binding b = { "backend.echo", NULL, serves, "echo" };

	memset(f, 0, sizeof(*f));
	harness_init(&f->h, NULL);
	if (script) {
		int fd = g_file_open_tmp("echo-XXXXXX", &f->path, NULL);

		g_assert_cmpint(fd, >=, 0);
		g_close(fd, NULL);
		g_assert_true(g_file_set_contents(f->path, script, -1, NULL));
		conf[1] = (struct weir_kv){ "script", f->path };
	}
	g_assert_cmpint(echo->probe(&f->h.host, &err), >, 0);
	if (echo->create(&f->h.host, conf, script ? 2 : 1, &f->instance, &err) < 0)
		g_error("%s", err.text);
	g_assert_cmpint(f->instance->start(f->instance, &err), ==, WEIR_OK);
	b.instance = f->instance;
	g_assert_cmpint(weir_router_add_backend(f->h.core.router, &b, &err), ==, WEIR_OK);
	harness_start(&f->h);
}

static void stop(struct fixture *f)
{
	g_autofree char *log = NULL;

	weir_router_stop(f->h.core.router);
	f->instance->stop(f->instance);
	log = harness_log(&f->h);
	g_assert_cmpstr(log, ==, "");
	harness_clear(&f->h);
	f->instance->destroy(f->instance);
	if (f->path)
		g_unlink(f->path);
	g_free(f->path);
}

static void ask(struct fixture *f, struct seen *seen, uint32_t credit, uint32_t max_tokens,
		uint32_t n, const char *text)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = n, .max_tokens = max_tokens };
	struct weir_error err = { 0 };

	if (harness_open(&f->h, seen, credit, NULL, &limits, &err, "kind", "completion", "model",
			 "echo", "prompt", text, NULL) < 0)
		g_error("%s", err.text);
}

static void test_play(void)
{
	static const struct {
		const char *script, *prompt, *text, *error;
		uint32_t max_tokens, n, n_output, finish;
		weir_status status;
	} cases[] = {
		{ NULL, "one two  three", "one two  three", "", 0, 1, 3, WEIR_FINISH_STOP, 0 },
		{ NULL, "one two three", "one two", "", 2, 1, 2, WEIR_FINISH_LENGTH, 0 },
		{ NULL, "one two three", "one two three", "", 3, 1, 3, WEIR_FINISH_STOP, 0 },
		{ NULL, "", "", "", 0, 1, 0, WEIR_FINISH_STOP, 0 },
		{ NULL, "x y", "x yx y", "", 0, 2, 4, WEIR_FINISH_STOP, 0 },
		{ "text a b\nwords c d", "", "a bc d", "", 0, 1, 3, WEIR_FINISH_STOP, 0 },
		{ "words ab \nrepeat 3\nfinish tool", "", "ab ab ab ", "", 0, 1, 6,
		  WEIR_FINISH_TOOL, 0 },
		{ "text a\ndelay 1ms\nerror UNAVAILABLE come\\nback", "", "a", "come\nback", 0, 1,
		  1, WEIR_FINISH_NONE, WEIR_E_UNAVAILABLE },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct seen *seen = seen_new(1);
		struct fixture f;

		start(&f, i % 2 ? "0" : "2000", cases[i].script);
		ask(&f, seen, 1, cases[i].max_tokens, cases[i].n, cases[i].prompt);
		harness_until(&f.h, &seen->n_ends);
		g_assert_cmpstr(seen->text->str, ==, cases[i].text);
		g_assert_cmpuint(seen->n_wrong, ==, 0);
		g_assert_cmpuint(seen->n_started, ==, 1);
		g_assert_cmpint(seen->end.status, ==, cases[i].status);
		g_assert_cmpuint(seen->end.finish, ==, cases[i].finish);
		g_assert_cmpuint(seen->end.n_output, ==, cases[i].n_output);
		g_assert_cmpstr(seen->end_text, ==, cases[i].error);
		stop(&f);
		seen_free(seen);
	}
}

/* Without credit nothing moves; a cancel during a delay or a wait for credit is heard at once. */
static void test_credit_and_cancel(void)
{
	struct seen *slow = seen_new(0), *late = seen_new(0), *quick = seen_new(8);
	struct fixture f;

	start(&f, "0", "words a b c d e f\nrepeat 1000\ndelay 3600s");
	ask(&f, slow, 4, 0, 1, "");
	ask(&f, late, 100000, 0, 1, "");
	ask(&f, quick, 8, 50, 1, "");
	harness_until(&f.h, &quick->n_ends);
	while (late->n_events < 6001)
		harness_dispatch(&f.h, 10);
	g_assert_cmpuint(slow->n_events, ==, 4); /* STARTED and three words */
	weir_stream_grant(slow->stream, 2);
	while (slow->n_events < 6)
		harness_dispatch(&f.h, 10);
	weir_stream_cancel(slow->stream, WEIR_E_CANCELLED);
	weir_stream_cancel(late->stream, WEIR_E_CANCELLED);
	harness_until(&f.h, &slow->n_ends);
	harness_until(&f.h, &late->n_ends);
	g_assert_cmpstr(slow->text->str, ==, "a b c d e");
	g_assert_cmpint(late->end.status, ==, WEIR_E_CANCELLED);
	stop(&f);
	seen_free(slow);
	seen_free(late);
	seen_free(quick);
}

static void test_kinds(void)
{
	struct seen *seen = seen_new(1);
	struct weir_error err;
	struct fixture f;

	start(&f, "0", NULL);
	g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, NULL, &err, "kind", "chat", "model",
				     "echo", "messages",
				     "[{\"role\":\"user\",\"content\":\"hi there\"}]", NULL),
			==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpstr(seen->text->str, ==, "hi there");
	g_assert_cmpint(seen->prompt, ==, 2);
	seen_free(seen);
	seen = seen_new(1);
	g_assert_cmpint(harness_open(&f.h, seen, 9, NULL, NULL, &err, "kind", "embed", "model",
				     "echo", NULL),
			==, WEIR_OK);
	harness_until(&f.h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_E_UNSUPPORTED);
	stop(&f);
	seen_free(seen);
}

/* Events that say when they were due: one behind the other, none in the future. */
static void test_clock(void)
{
	struct seen *seen = seen_new(1);
	struct fixture f;
	gint64 last = 0;

	start(&f, "1000", "clock\nrepeat 3");
	ask(&f, seen, 9, 0, 1, "");
	harness_until(&f.h, &seen->n_ends);
	{
		g_auto(GStrv) times = g_strsplit(seen->text->str, " ", -1);

		g_assert_cmpuint(g_strv_length(times), ==, 4);
		for (int i = 0; i < 3; i++) {
			gint64 t = g_ascii_strtoll(times[i], NULL, 10);

			g_assert_cmpint(t, >, last);
			g_assert_cmpint(t, <=, g_get_monotonic_time() * 1000 + 1000);
			last = t;
		}
	}
	stop(&f);
	seen_free(seen);
}

/* Many streams at a rate on one thread; stopped in the middle of it. */
static void test_many(void)
{
	enum { N = 2000 };
	struct seen **seen = g_new0(struct seen *, N);
	struct fixture f;
	guint n_events = 0, n_ends = 0;

	start(&f, "50", "words a b c d e f g h i j\nrepeat 1000");
	for (int i = 0; i < N; i++) {
		seen[i] = seen_new(1);
		ask(&f, seen[i], 4, i % 2 ? 5 : 0, 1, "");
	}
	while (n_ends < N / 2) {
		harness_dispatch(&f.h, 10);
		n_ends = n_events = 0;
		for (int i = 0; i < N; i++) {
			n_ends += seen[i]->n_ends;
			n_events += seen[i]->n_events;
		}
	}
	/* Fewer rings than events: they come together. */
	g_assert_cmpint(g_atomic_int_get(&f.h.n_rings), <=, n_events);
	for (int i = 1; i < N; i += 2)
		g_assert_cmpstr(seen[i]->text->str, ==, "a b c d e");
	weir_router_stop(f.h.core.router);
	while (harness_dispatch(&f.h, 0) > 0)
		;
	for (int i = 0; i < N; i++) {
		g_assert_cmpuint(seen[i]->n_ends, ==, 1);
		g_assert_cmpuint(seen[i]->n_wrong, ==, 0);
		seen_free(seen[i]);
	}
	stop(&f);
	g_free(seen);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/echo/script", test_script);
	g_test_add_func("/echo/last-user", test_last_user);
	g_test_add_func("/echo/wheel", test_wheel);
	g_test_add_func("/echo/play", test_play);
	g_test_add_func("/echo/credit-and-cancel", test_credit_and_cancel);
	g_test_add_func("/echo/kinds", test_kinds);
	g_test_add_func("/echo/clock", test_clock);
	g_test_add_func("/echo/many", test_many);
	return g_test_run();
}
