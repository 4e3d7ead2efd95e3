/*
 * test-gateway.c - model names, refusals (conflict C4, 001-15), queue limits (003-12), watchdog and
 * orderly ends, with level-A backends that do what their test says.
 */
#include <pthread.h>
#include <string.h>

#include <weir/middleware.h>

#include "harness.h"

/* Keeps its streams until told to end them. */
struct keeper {
	struct weir_instance instance;
	pthread_mutex_t lock;
	GPtrArray *streams;
	GPtrArray *requests;
	gint tells, is_away; /* tells: it has a report; atomic */
	gint n_submitted;
	bool refuses, ignores_cancel;
};

static weir_status on_submit(struct weir_instance *instance, weir_request *request,
			     weir_stream *out, struct weir_error *err)
{
	struct keeper *k = instance->data;

	g_atomic_int_inc(&k->n_submitted);
	if (k->refuses)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "not today");
	pthread_mutex_lock(&k->lock);
	g_ptr_array_add(k->streams, out);
	g_ptr_array_add(k->requests, request);
	pthread_mutex_unlock(&k->lock);
	return WEIR_OK;
}

/* Ends one; false: there is none. */
static bool end_one(struct keeper *k, weir_stream *which, weir_status status)
{
	struct weir_end end = { .size = sizeof(end), .status = status };
	weir_stream *out = NULL;
	guint at = 0;

	pthread_mutex_lock(&k->lock);
	if (k->streams->len > 0 && (!which || g_ptr_array_find(k->streams, which, &at))) {
		out = g_ptr_array_remove_index(k->streams, at);
		weir_request_unref(g_ptr_array_remove_index(k->requests, at));
	}
	pthread_mutex_unlock(&k->lock);
	if (out)
		weir_stream_extension.end(out, &end);
	return out != NULL;
}

struct cancelled {
	struct keeper *keeper;
	weir_stream *out;
};

static void *end_cancelled(void *data)
{
	struct cancelled *c = data;

	end_one(c->keeper, c->out, WEIR_E_CANCELLED);
	g_free(c);
	return NULL;
}

static void on_wake(struct weir_instance *instance, weir_stream *out)
{
	struct keeper *k = instance->data;
	struct cancelled *c;
	pthread_t thread;

	if (!weir_stream_extension.cancelled(out) || k->ignores_cancel)
		return;
	c = g_new0(struct cancelled, 1);
	c->keeper = k;
	c->out = out;
	pthread_create(&thread, NULL, end_cancelled, c);
	pthread_detach(thread);
}

static void on_info(struct weir_instance *instance, struct weir_report_info *ret)
{
	struct keeper *k = instance->data;

	ret->state = WEIR_REPORT_READY;
	ret->is_away = (uint32_t)g_atomic_int_get(&k->is_away);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_stream calls = {
		.size = sizeof(calls),
		.submit = on_submit,
		.wake = on_wake,
	};

	static const struct weir_report report = { .size = sizeof(report), .info = on_info };
	const struct keeper *k = instance->data;

	if (strcmp(id, WEIR_REPORT) == 0)
		return k->tells ? &report : NULL;
	return strcmp(id, WEIR_BACKEND_STREAM) == 0 ? &calls : NULL;
}

static void keeper_init(struct keeper *k)
{
	memset(k, 0, sizeof(*k));
	k->instance = (struct weir_instance){ .size = sizeof(k->instance),
					      .data = k,
					      .get_ext = get_ext };
	pthread_mutex_init(&k->lock, NULL);
	k->streams = g_ptr_array_new();
	k->requests = g_ptr_array_new();
}

static void keeper_clear(struct keeper *k)
{
	g_assert_cmpuint(k->streams->len, ==, 0);
	g_ptr_array_unref(k->streams);
	g_ptr_array_unref(k->requests);
	pthread_mutex_destroy(&k->lock);
}

static void add(struct harness *h, struct keeper *k, const char *name, const char *serves)
{
	g_auto(GStrv) list = g_strsplit(serves, ",", -1);
	struct weir_backend_binding b = { name, &k->instance, (const char *const *)list, "test" };
	struct weir_error err = { 0 };

	if (weir_router_add_backend(h->core.router, &b, &err) < 0)
		g_error("%s", err.text);
}

static void wait_submitted(struct keeper *k, gint n)
{
	for (int i = 0; i < 20000 && g_atomic_int_get(&k->n_submitted) < n; i++)
		g_usleep(1000);
	g_assert_cmpint(g_atomic_int_get(&k->n_submitted), ==, n);
	for (int i = 0; i < 20000; i++) {
		guint len;

		pthread_mutex_lock(&k->lock);
		len = k->streams->len;
		pthread_mutex_unlock(&k->lock);
		if (len > 0 || k->refuses)
			break;
		g_usleep(1000);
	}
}

static void test_names(void)
{
	static const struct {
		const char *model;
		int who; /* -1: not found */
	} cases[] = {
		{ "a", 0 },   { "b", 1 },         { "x/y/z", 1 },
		{ "x/y", 1 }, { "x/exact", 0 },   { "x/y/deep/one", 2 },
		{ "", 0 },    { "A", -1 },        { "aa", -1 },
		{ "x", -1 },  { "x/y/deep/", 2 },
	};
	struct weir_error err = { 0 };
	struct keeper k[3];
	struct harness h;

	harness_init(&h, NULL);
	for (int i = 0; i < 3; i++)
		keeper_init(&k[i]);
	add(&h, &k[0], "backend.0", "a,x/exact");
	add(&h, &k[1], "backend.1", "b,x/*");
	add(&h, &k[2], "backend.2", "x/y/deep/*");
	{
		struct weir_backend_binding same = { "backend.0", &k[0].instance, NULL, NULL };

		g_assert_cmpint(weir_router_add_backend(h.core.router, &same, &err), ==,
				WEIR_E_INVALID);
	}
	harness_start(&h);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct seen *seen = seen_new(0);
		weir_status status =
			harness_open(&h, seen, 9, NULL, NULL, &err, "model", cases[i].model, NULL);

		if (cases[i].who < 0) {
			g_assert_cmpint(status, ==, WEIR_E_NOT_FOUND);
			g_assert_cmpstr(err.text, ==, "model not found"); /* 001-15 */
			g_assert_cmpstr(err.param, ==, "model");
		} else {
			struct keeper *who = &k[cases[i].who];

			g_assert_cmpint(status, ==, WEIR_OK);
			wait_submitted(who, 1);
			g_assert_true(end_one(who, NULL, WEIR_OK));
			who->n_submitted = 0;
			harness_until(&h, &seen->n_ends);
		}
		seen_free(seen);
	}
	harness_clear(&h);
	for (int i = 0; i < 3; i++)
		keeper_clear(&k[i]);
}

static void test_no_model(void)
{
	struct weir_router_options options = { .n_workers = 1, .single_model = true };
	struct weir_error err = { 0 };
	struct seen *seen = seen_new(0);
	struct harness h;
	struct keeper k;

	harness_init(&h, NULL);
	harness_start(&h);
	g_assert_cmpint(harness_open(&h, seen, 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_E_NO_MODEL);
	g_assert_cmpint(weir_router_state(h.core.router), ==, WEIR_ROUTER_READY);
	harness_clear(&h);

	/* single_model: any name is answered; and a backend that refuses gives an end. */
	keeper_init(&k);
	k.refuses = true;
	harness_init(&h, &options);
	add(&h, &k, "backend.main", "a");
	harness_start(&h);
	g_assert_cmpint(harness_open(&h, seen, 9, NULL, NULL, &err, "model", "any", NULL), ==,
			WEIR_OK);
	harness_until(&h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_E_UNSUPPORTED);
	g_assert_cmpstr(seen->end_text, ==, "not today");
	weir_router_drain(h.core.router);
	g_assert_cmpint(harness_open(&h, seen, 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_E_UNAVAILABLE);
	harness_clear(&h);
	keeper_clear(&k);
	seen_free(seen);
}

/* 003-12: one at a time and two in the queue: of four at once, one is refused. */
static void test_queue(void)
{
	struct weir_router_options options = {
		.n_workers = 2,
		.max_concurrent = 1,
		.max_queue = 2,
		.cancel_grace_ms = 10000,
	};
	struct weir_limits urgent = { .size = sizeof(urgent), .n = 1, .priority = 5 };
	struct weir_error err = { 0 };
	struct seen *seen[5];
	struct harness h;
	struct keeper k;
	size_t active, waiting;

	keeper_init(&k);
	harness_init(&h, &options);
	add(&h, &k, "backend.main", "a");
	harness_start(&h);
	for (int i = 0; i < 4; i++) {
		seen[i] = seen_new(0);
		g_assert_cmpint(harness_open(&h, seen[i], 9, NULL, i == 2 ? &urgent : NULL, &err,
					     "model", "a", NULL),
				==, WEIR_OK);
	}
	harness_until(&h, &seen[3]->n_ends);
	g_assert_cmpint(seen[3]->end.status, ==, WEIR_E_QUEUE_FULL);
	g_assert_cmpuint(seen[3]->end.retry_after_ms, ==, 5000);
	wait_submitted(&k, 1);
	weir_router_status(h.core.router, &active, &waiting, NULL, NULL);
	g_assert_cmpuint(active, ==, 1);
	g_assert_cmpuint(waiting, ==, 2);
	g_assert_cmpuint(weir_router_active(h.core.router), ==, 3);
	g_assert_true(end_one(&k, NULL, WEIR_OK));
	harness_until(&h, &seen[0]->n_ends);
	wait_submitted(&k, 2);
	g_assert_cmpuint(seen[1]->n_ends, ==, 0);
	g_assert_true(end_one(&k, NULL, WEIR_OK));
	harness_until(&h, &seen[2]->n_ends); /* the urgent one came first */
	g_assert_cmpuint(seen[1]->n_ends, ==, 0);

	/* Cancelled in the queue: the end comes at once, the place is free again. */
	wait_submitted(&k, 3);
	seen[4] = seen_new(0);
	g_assert_cmpint(harness_open(&h, seen[4], 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_OK);
	weir_stream_cancel(seen[4]->stream, WEIR_E_CANCELLED);
	harness_until(&h, &seen[4]->n_ends);
	g_assert_cmpint(seen[4]->end.status, ==, WEIR_E_CANCELLED);
	weir_router_status(h.core.router, &active, &waiting, NULL, NULL);
	g_assert_cmpuint(waiting, ==, 0);
	weir_stream_cancel(seen[1]->stream, WEIR_E_CANCELLED);
	harness_until(&h, &seen[1]->n_ends);
	g_assert_cmpint(k.n_submitted, ==, 3);
	{
		g_autofree char *text = weir_metric_set_prometheus(h.core.metrics);

		/* 003-13 */
		g_assert_nonnull(strstr(text, "queue_depth 0"));
		g_assert_nonnull(strstr(text, "queue_rejections_total 1"));
		g_assert_nonnull(strstr(text, "queue_wait_seconds_total"));
	}
	g_assert_cmpuint(weir_router_active(h.core.router), ==, 0);
	harness_clear(&h);
	keeper_clear(&k);
	for (int i = 0; i < 5; i++)
		seen_free(seen[i]);
}

/* 001-16: 504 request timeout. And a backend that never ends is detached. */
static void test_watchdog(void)
{
	struct weir_router_options options = { .n_workers = 1, .cancel_grace_ms = 50 };
	struct weir_limits limits = { .size = sizeof(limits), .n = 1 };
	struct weir_error err = { 0 };
	struct seen *seen = seen_new(0);
	g_autofree char *log = NULL;
	struct harness h;
	struct keeper k;

	keeper_init(&k);
	k.ignores_cancel = true;
	harness_init(&h, &options);
	add(&h, &k, "backend.main", "a");
	harness_start(&h);
	limits.deadline_ns = weir_clock_ns() + 30000000;
	g_assert_cmpint(harness_open(&h, seen, 9, NULL, &limits, &err, "model", "a", NULL), ==,
			WEIR_OK);
	harness_until(&h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_E_DEADLINE);
	g_assert_cmpstr(seen->end_text, ==, "request timeout");
	log = harness_log(&h);
	g_assert_nonnull(strstr(log, "backend.main"));
	g_assert_nonnull(strstr(log, "detached"));
	g_assert_true(end_one(&k, NULL, WEIR_OK)); /* at last */
	harness_clear(&h);
	keeper_clear(&k);
	seen_free(seen);
}

/* A middleware that refuses, or lets pass and counts. */
struct guard {
	struct weir_instance instance;
	struct weir_middleware calls;
	bool refuses;
	gint n_requests, n_done;
};

static weir_status guard_request(struct weir_instance *instance, void *scratch,
				 weir_request *request, struct weir_error *err)
{
	struct guard *g = instance->data;

	g->n_requests++;
	return g->refuses ? weir_fail(err, WEIR_E_DENIED, "no") : WEIR_OK;
}

static void guard_done(struct weir_instance *instance, void *scratch)
{
	g_atomic_int_inc(&((struct guard *)instance->data)->n_done);
}

static const void *guard_ext(struct weir_instance *instance, const char *id)
{
	return strcmp(id, WEIR_MIDDLEWARE) == 0 ? &((struct guard *)instance->data)->calls : NULL;
}

static void guard_init(struct guard *g, bool refuses)
{
	memset(g, 0, sizeof(*g));
	g->instance = (struct weir_instance){ .size = sizeof(g->instance),
					      .data = g,
					      .get_ext = guard_ext };
	g->calls = (struct weir_middleware){ .size = sizeof(g->calls),
					     .request = guard_request,
					     .done = guard_done };
	g->refuses = refuses;
}

/* A chain that is replaced while requests are open: each keeps the one that it met. And a request
 * that middleware has let pass, but no backend answers, is over for the middleware too. */
static void test_chain(void)
{
	struct weir_error err = { 0 };
	struct weir_instance *chain[2];
	struct guard pass, refuse;
	struct seen *seen[2];
	struct harness h;
	struct keeper k;

	keeper_init(&k);
	guard_init(&pass, false);
	guard_init(&refuse, true);
	harness_init(&h, NULL);
	add(&h, &k, "backend.main", "a");
	chain[0] = &pass.instance;
	chain[1] = &refuse.instance;
	g_assert_cmpint(weir_router_set_chain(h.core.router, chain, 1, &err), ==, WEIR_OK);
	harness_start(&h);
	seen[0] = seen_new(0);
	seen[1] = seen_new(0);
	g_assert_cmpint(harness_open(&h, seen[0], 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_OK);
	g_assert_cmpint(harness_open(&h, seen[1], 9, NULL, NULL, &err, "model", "b", NULL), ==,
			WEIR_E_NOT_FOUND);
	g_assert_cmpint(pass.n_done, ==, 1);
	g_assert_cmpint(weir_router_set_chain(h.core.router, chain, 2, &err), ==, WEIR_OK);
	g_assert_cmpint(harness_open(&h, seen[1], 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_E_DENIED);
	g_assert_cmpint(pass.n_requests, ==, 3);
	g_assert_cmpint(pass.n_done, ==, 2);
	g_assert_cmpint(refuse.n_done, ==, 0);
	wait_submitted(&k, 1);
	g_assert_true(end_one(&k, NULL, WEIR_OK));
	harness_until(&h, &seen[0]->n_ends);
	g_assert_cmpint(pass.n_done, ==, 3);
	chain[0] = &k.instance; /* no middleware: refused, the old chain stays */
	g_assert_cmpint(weir_router_set_chain(h.core.router, chain, 1, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(harness_open(&h, seen[1], 9, NULL, NULL, &err, "model", "a", NULL), ==,
			WEIR_E_DENIED);
	g_assert_cmpint(weir_router_set_chain(h.core.router, NULL, 0, &err), ==, WEIR_OK);
	harness_clear(&h);
	keeper_clear(&k);
	seen_free(seen[0]);
	seen_free(seen[1]);
}

static void on_model(void *data, const struct weir_model_entry *entry)
{
	g_string_append_printf(data, "%s %s %s;", entry->id, entry->backend, entry->state);
}

static void on_status(void *data, const char *json)
{
	g_string_append(data, json);
}

static void on_seat(void *data, const struct weir_seat *s)
{
	g_string_append_printf(data, "%u:%" G_GUINT64_FORMAT ".%u+%u ", s->id,
			       s->request ? s->task : 0, s->choice, s->n_output);
}

static void look(struct harness *h, const char *model, const char *expected)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	g_autoptr(GString) text = g_string_new(NULL);
	bool found = false;

	gateway->seats(&h->host, model, on_seat, text, &found);
	g_assert_cmpstr(found ? text->str : "none", ==, expected);
}

static void say(struct keeper *k, guint i, uint32_t type)
{
	const struct weir_event e = {
		.size = sizeof(e), .type = type, .value = 7, .text = { "x", 1 }
	};

	pthread_mutex_lock(&k->lock);
	g_assert_cmpint(weir_stream_emit(k->streams->pdata[i], &e, NULL), ==, WEIR_OK);
	pthread_mutex_unlock(&k->lock);
}

/* Who runs sits where it was first seen, whoever comes and goes; who waits has no seat. */
static void test_seats(void)
{
	struct weir_router_options options = {
		.n_workers = 1, .max_concurrent = 3, .max_queue = 5, .cancel_grace_ms = 10000
	};
	struct weir_limits two = { .size = sizeof(two), .n = 2 };
	struct weir_error err = { 0 };
	struct seen *seen[3];
	struct harness h;
	struct keeper k;

	keeper_init(&k);
	harness_init(&h, &options);
	add(&h, &k, "backend.main", "a");
	harness_start(&h);
	look(&h, "b", "none");
	look(&h, "", "0:0.0+0 1:0.0+0 2:0.0+0 ");
	for (int i = 0; i < 3; i++) {
		seen[i] = seen_new(1);
		g_assert_cmpint(harness_open(&h, seen[i], 9, NULL, i == 1 ? &two : NULL, &err,
					     "model", "a", NULL),
				==, WEIR_OK);
		wait_submitted(&k, i + 1);
	}
	look(&h, "a", "0:0.0+0 1:0.0+0 2:0.0+0 "); /* none has begun */
	say(&k, 1, WEIR_EVENT_STARTED);
	look(&h, "a", "0:2.0+0 1:2.1+0 2:0.0+0 ");
	say(&k, 0, WEIR_EVENT_STARTED);
	say(&k, 0, WEIR_EVENT_TOKEN);
	say(&k, 0, WEIR_EVENT_TEXT);
	say(&k, 2, WEIR_EVENT_STARTED);
	look(&h, "a",
	     "0:2.0+0 1:2.1+0 2:1.0+2 3:3.0+0 "); /* more than there are: they take turns */
	weir_stream_cancel(seen[1]->stream, WEIR_E_CANCELLED);
	harness_until(&h, &seen[1]->n_ends);
	look(&h, "a", "0:0.0+0 1:0.0+0 2:1.0+2 3:3.0+0 ");
	for (int i = 0; i < 3; i += 2) {
		weir_stream_cancel(seen[i]->stream, WEIR_E_CANCELLED);
		harness_until(&h, &seen[i]->n_ends);
	}
	look(&h, "a", "0:0.0+0 1:0.0+0 2:0.0+0 ");
	harness_clear(&h);
	keeper_clear(&k);
	for (int i = 0; i < 3; i++)
		seen_free(seen[i]);
}

/* Who is away for the moment gets nothing while another is there, and waits gladly else. */
static void test_away(void)
{
	static const struct {
		gint away[2];
		gint expected[2];
	} cases[] = { { { 0, 0 }, { 2, 2 } },
		      { { 1, 0 }, { 0, 4 } },
		      { { 0, 1 }, { 4, 0 } },
		      { { 1, 1 }, { 2, 2 } } };
	struct weir_error err = { 0 };
	struct keeper k[2];
	struct harness h;

	harness_init(&h, NULL);
	for (int i = 0; i < 2; i++) {
		keeper_init(&k[i]);
		k[i].tells = 1;
		add(&h, &k[i], i ? "backend.b" : "backend.a", "m");
	}
	harness_start(&h);
	for (gsize c = 0; c < G_N_ELEMENTS(cases); c++) {
		struct seen *seen[4];

		for (int i = 0; i < 2; i++) {
			g_atomic_int_set(&k[i].is_away, cases[c].away[i]);
			g_atomic_int_set(&k[i].n_submitted, 0);
		}
		for (int i = 0; i < 4; i++) {
			seen[i] = seen_new(0);
			g_assert_cmpint(
				harness_open(&h, seen[i], 9, NULL, NULL, &err, "model", "m", NULL),
				==, WEIR_OK);
		}
		for (int i = 0; i < 2; i++)
			for (int n = 0; n < cases[c].expected[i]; n++)
				while (!end_one(&k[i], NULL, WEIR_OK))
					g_usleep(500);
		for (int i = 0; i < 4; i++) {
			harness_until(&h, &seen[i]->n_ends);
			g_assert_cmpint(seen[i]->end.status, ==, WEIR_OK);
			seen_free(seen[i]);
		}
		for (int i = 0; i < 2; i++)
			g_assert_cmpint(g_atomic_int_get(&k[i].n_submitted), ==,
					cases[c].expected[i]);
	}
	harness_clear(&h);
	for (int i = 0; i < 2; i++)
		keeper_clear(&k[i]);
}

static void test_stop(void)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct weir_error err = { 0 };
	g_autoptr(GString) text = g_string_new(NULL);
	struct seen *seen[20];
	struct harness h;
	struct keeper k;

	keeper_init(&k);
	harness_init(&h, NULL);
	add(&h, &k, "backend.main", "a,cloud/*");
	harness_start(&h);
	gateway->models(&h.host, on_model, text);
	g_assert_cmpstr(text->str, ==, "a backend.main ready;");
	weir_router_status(h.core.router, NULL, NULL, on_status, text);
	g_assert_nonnull(strstr(text->str, "{\"name\":\"backend.main\",\"component\":\"test\","
					   "\"state\":\"ready\",\"error\":null,"));
	for (int i = 0; i < 20; i++) {
		seen[i] = seen_new(0);
		g_assert_cmpint(harness_open(&h, seen[i], 9, NULL, NULL, &err, "model", "a", NULL),
				==, WEIR_OK);
	}
	weir_router_stop(h.core.router);
	while (harness_dispatch(&h, 0) > 0)
		;
	for (int i = 0; i < 20; i++) {
		g_assert_cmpuint(seen[i]->n_ends, ==, 1);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_E_UNAVAILABLE);
		seen_free(seen[i]);
	}
	g_assert_null(weir_gateway_extension("weir.host.nothing/1"));
	harness_clear(&h);
	keeper_clear(&k);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gateway/names", test_names);
	g_test_add_func("/gateway/no-model-and-drain", test_no_model);
	g_test_add_func("/gateway/queue", test_queue);
	g_test_add_func("/gateway/watchdog", test_watchdog);
	g_test_add_func("/gateway/chain-replaced", test_chain);
	g_test_add_func("/gateway/seats", test_seats);
	g_test_add_func("/gateway/away", test_away);
	g_test_add_func("/gateway/stop", test_stop);
	return g_test_run();
}
