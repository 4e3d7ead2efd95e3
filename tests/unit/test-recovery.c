/*
 * test-recovery.c - backends that are lost while they serve (core/gateway-recover.c), with a second
 * one that serves the name as well: what a client sees is what it sees of an undisturbed run, event
 * by event.
 */
#include <string.h>

#include "fake-step.h"
#include "tape.h"

struct shape {
	const char *name;
	struct tape_ask ask;
	gboolean grammars, answers;
	uint32_t n_blocks, max_scores, memory, guesses, end_one_in;
	struct weir_embedder_info embed;
};

#define N_FAKES 3

/* Backends of one model; the first serves its name, the others take it over by patterns. */
struct rig {
	struct harness h;
	struct fake fakes[N_FAKES];
	guint n;
};

static void rig_start(struct rig *r, const struct shape *shape, guint n)
{
	static const char *const serves[N_FAKES][2] = { { "fake-model" }, { "fake-*" }, { "fa*" } };
	static const char *const names[N_FAKES] = { "backend.a", "backend.b", "backend.c" };
	struct weir_router_options options = { .n_workers = 3,
					       .park_after_ms = 1,
					       .cancel_grace_ms = 10000 };
	struct weir_error err = { 0 };

	r->n = n;
	harness_init(&r->h, &options);
	for (guint i = 0; i < n; i++) {
		struct fake *f = &r->fakes[i];
		struct weir_backend_binding b = { names[i], &f->instance, serves[i], "fake" };

		fake_init(f, 90, 4, 12, 4, shape->n_blocks ? shape->n_blocks : 60);
		f->grammars = shape->grammars;
		f->answers = shape->answers;
		f->memory = shape->memory;
		f->end_one_in = shape->end_one_in;
		f->embed = shape->embed;
		f->model.max_guesses = shape->guesses;
		f->model.max_scores = shape->max_scores;
		if (weir_router_add_backend(r->h.core.router, &b, &err) < 0)
			g_error("%s", err.text);
	}
}

static void rig_run(struct rig *r)
{
	harness_start(&r->h);
	while (weir_router_state(r->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(200);
}

static void rig_stop(struct rig *r)
{
	size_t active = 1, waiting = 1;
	g_autofree char *text = NULL;

	for (int i = 0; i < 5000 && (active || waiting); i++) {
		weir_router_status(r->h.core.router, &active, &waiting, NULL, NULL);
		g_usleep(active || waiting ? 1000 : 0);
	}
	g_assert_cmpuint(active + waiting, ==, 0);
	text = weir_metric_set_prometheus(r->h.core.metrics);
	g_assert_nonnull(strstr(text, "queue_depth 0\n"));
	harness_clear(&r->h);
	for (guint i = 0; i < r->n; i++) {
		struct fake *f = &r->fakes[i];

		if (f->n_breaches > 0)
			g_error("%u: %d breaches, the first: %s", i, f->n_breaches, f->breach);
		g_assert_cmpint(g_atomic_int_get(&f->n_places), ==, 0);
		fake_clear(f);
	}
}

static double metric(struct rig *r, const char *name)
{
	g_autofree char *text = weir_metric_set_prometheus(r->h.core.metrics);
	g_autofree char *line = g_strconcat("\n", name, " ", NULL);
	const char *at = strstr(text, line);

	return at ? g_ascii_strtod(at + strlen(line), NULL) : -1;
}

static struct tape *run_one(struct rig *r, const struct tape_ask *ask)
{
	struct tape *t = tape_open(&r->h, ask, NULL);

	harness_until(&r->h, &t->n_ends);
	return t;
}

static struct tape *undisturbed(const struct shape *shape)
{
	struct tape *t;
	struct rig r;

	rig_start(&r, shape, 1);
	rig_run(&r);
	t = run_one(&r, &shape->ask);
	g_assert_cmpint(t->status, ==, WEIR_OK);
	rig_stop(&r);
	return t;
}

/* Lost at each of its steps in turn. */
static void test_shape(gconstpointer data)
{
	const struct shape *shape = data;
	struct tape *whole = undisturbed(shape), *t;
	bool lost = true;

	for (gint k = 1; lost; k++) {
		struct rig r;

		rig_start(&r, shape, 2);
		g_atomic_int_set(&r.fakes[0].lose_at, k);
		rig_run(&r);
		t = run_one(&r, &shape->ask);
		if (t->status < 0)
			g_error("lost at step %d: %s", k, t->text);
		tape_assert_same(whole, t);
		tape_free(t);
		lost = g_atomic_int_get(&r.fakes[0].lost);
		g_assert_cmpfloat(metric(&r, "weir_requests_recovered_total"), ==, lost);
		g_assert_cmpfloat(metric(&r, "weir_requests_lost_total"), ==, 0);
		rig_stop(&r);
		g_assert_true(lost || k > 2);
	}
	tape_free(whole);
}

/* --- who waits ----------------------------------------------------------------------------- */

static const struct tape_ask plain_ask = {
	.fields = { "kind", "completion", "model", "fake-model", "prompt", "hello world" },
	.sampling = { .size = sizeof(struct weir_sampling),
		      .seed_set = 1,
		      .seed = 4,
		      .temperature = 1,
		      .repeat_last_n = -1 },
	.limits = { .size = sizeof(struct weir_limits), .max_tokens = 20 },
	.credit = 1000,
	.grant_each = 1,
};

static void lose(struct rig *r, guint i, const struct tape_ask *ask)
{
	struct tape *t;

	g_atomic_int_set(&r->fakes[i].lose, 1);
	t = run_one(r, ask);
	g_assert_cmpint(t->status, ==, WEIR_OK);
	g_assert_true(g_atomic_int_get(&r->fakes[i].lost));
	tape_free(t);
}

/* A reader that has stopped, parked by then, is not told anything twice when it comes back. */
static void test_parked(void)
{
	static const struct shape shape = { 0 };
	struct tape_ask slow = plain_ask;
	struct tape *whole, *t;
	struct rig r;

	slow.credit = 6;
	slow.grant_each = 0;
	rig_start(&r, &shape, 2);
	rig_run(&r);
	whole = run_one(&r, &plain_ask);
	t = tape_open(&r.h, &slow, NULL);
	while (t->all->len < 6)
		harness_dispatch(&r.h, 5);
	g_usleep(20000);
	lose(&r, 0, &plain_ask);
	g_assert_cmpuint(t->all->len, ==, 6);
	while (t->n_ends == 0) {
		if (t->stream)
			weir_stream_grant(t->stream, 1);
		harness_dispatch(&r.h, 1);
	}
	tape_assert_same(whole, t);
	tape_free(whole);
	tape_free(t);
	rig_stop(&r);
}

/* Cancelled and out of time while it is on its way: the loss hides neither. */
static void test_gone(void)
{
	static const struct shape shape = { 0 };
	struct tape_ask slow = plain_ask, brief = plain_ask;
	struct tape *a, *b;
	struct rig r;

	slow.credit = brief.credit = 6;
	slow.grant_each = brief.grant_each = 0;
	brief.limits.deadline_ns = weir_clock_ns() + 150 * 1000000;
	rig_start(&r, &shape, 2);
	rig_run(&r);
	a = tape_open(&r.h, &slow, NULL);
	b = tape_open(&r.h, &brief, NULL);
	while (a->all->len + b->all->len < 12)
		harness_dispatch(&r.h, 5);
	g_atomic_int_set(&r.fakes[0].lose, 1);
	weir_stream_cancel(a->stream, WEIR_E_CANCELLED);
	lose(&r, 0, &plain_ask);
	harness_until(&r.h, &a->n_ends);
	harness_until(&r.h, &b->n_ends);
	g_assert_cmpint(a->status, ==, WEIR_E_CANCELLED);
	g_assert_cmpint(b->status, ==, WEIR_E_DEADLINE);
	g_assert_cmpuint(a->n_wrong + b->n_wrong, ==, 0);
	tape_free(a);
	tape_free(b);
	rig_stop(&r);
}

/* Alive in two losses: it may be the reason of both. Who only waited goes on. */
static void test_poison(void)
{
	static const struct shape shape = { 0 };
	struct tape_ask later = plain_ask;
	struct tape *bad, *good;
	struct rig r;

	rig_start(&r, &shape, 3);
	later.credit = 0;
	g_atomic_int_set(&r.fakes[0].lose_at, 5);
	g_atomic_int_set(&r.fakes[1].lose_at, 5);
	g_atomic_int_set(&r.fakes[0].gate, 1);
	rig_run(&r);
	bad = tape_open(&r.h, &plain_ask, NULL);
	while (bad->all->len == 0)
		harness_dispatch(&r.h, 5);
	good = tape_open(&r.h, &later, NULL);
	g_usleep(10000);
	g_atomic_int_set(&r.fakes[0].gate, 0);
	harness_until(&r.h, &bad->n_ends);
	weir_stream_grant(good->stream, 1000);
	harness_until(&r.h, &good->n_ends);
	g_assert_cmpint(bad->status, ==, WEIR_E_INTERNAL);
	g_assert_nonnull(strstr(bad->text, "lost 2 times"));
	g_assert_cmpuint(bad->n_wrong, ==, 0);
	g_assert_cmpint(good->status, ==, WEIR_OK);
	g_assert_cmpfloat(metric(&r, "weir_requests_lost_total"), ==, 1);
	tape_free(bad);
	tape_free(good);
	rig_stop(&r);
}

/* Another vocabulary, another model, a shorter context, nobody: an end that says so. */
static void test_nobody(void)
{
	static const struct shape shape = { 0 };

	for (int i = 0; i < 4; i++) {
		struct tape *t;
		struct rig r;

		rig_start(&r, &shape, i == 3 ? 1 : 2);
		if (i == 0)
			r.fakes[1].model.n_vocab = FAKE_VOCAB - 1;
		else if (i == 1)
			r.fakes[1].model.name = "another";
		else if (i == 2)
			r.fakes[1].model.n_ctx = 60;
		g_atomic_int_set(&r.fakes[0].lose_at, 8);
		rig_run(&r);
		t = run_one(&r, &plain_ask);
		g_assert_cmpint(t->status, ==, WEIR_E_UNAVAILABLE);
		g_assert_nonnull(strstr(t->text, "lost"));
		g_assert_cmpuint(t->n_wrong, ==, 0);
		tape_free(t);
		rig_stop(&r);
	}
}

/* What has told nothing may begin anywhere. */
static void test_fresh(void)
{
	static const struct shape shape = { 0 };
	struct tape *t;
	struct rig r;

	rig_start(&r, &shape, 2);
	r.fakes[1].model.name = "another";
	g_atomic_int_set(&r.fakes[0].lose_at, 1);
	rig_run(&r);
	t = run_one(&r, &plain_ask);
	g_assert_cmpint(t->status, ==, WEIR_OK);
	g_assert_cmpuint(t->n_started, ==, 1);
	g_assert_cmpuint(t->n_wrong, ==, 0);
	tape_free(t);
	rig_stop(&r);
}

/* --- level A ------------------------------------------------------------------------------- */

/* Answers "again" to what it is given, and keeps the field. */
struct provider {
	struct weir_instance instance;
	gboolean resumes;
	char *field;
};

static weir_status provider_submit(struct weir_instance *instance, weir_request *request,
				   weir_stream *out, struct weir_error *err)
{
	struct provider *p = instance->data;
	const struct weir_event e = {
		.size = sizeof(e), .type = WEIR_EVENT_TEXT, .token = -1, .text = { "again", 5 }
	};
	const struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP };

	p->field = g_strdup(weir_request_field(request, "resume").data);
	weir_request_unref(request);
	(void)weir_stream_emit(out, &e, NULL);
	weir_stream_end(out, &end, NULL);
	return WEIR_OK;
}

static const void *provider_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_stream calls = { .size = sizeof(calls),
							  .submit = provider_submit };
	static const struct weir_resume resume = { .size = sizeof(resume) };

	if (strcmp(id, WEIR_BACKEND_STREAM) == 0)
		return &calls;
	return strcmp(id, WEIR_RESUME) == 0 && ((struct provider *)instance->data)->resumes
		       ? &resume
		       : NULL;
}

/* It gets what has told nothing yet, if it says that it can go on; nothing else. */
static void test_level_a(void)
{
	static const struct shape shape = { 0 };
	static const struct {
		gboolean resumes;
		gint lose_at;
		gboolean takes;
	} cases[] = { { TRUE, 1, TRUE }, { FALSE, 1, FALSE }, { TRUE, 9, FALSE } };
	static const char *const serves[] = { "*", NULL };

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct provider p = { .instance = { .size = sizeof(p.instance),
						    .data = &p,
						    .get_ext = provider_ext },
				      .resumes = cases[i].resumes };
		struct weir_backend_binding b = { "backend.p", &p.instance, serves, "provider" };
		struct weir_error err = { 0 };
		struct tape *t;
		struct rig r;

		rig_start(&r, &shape, 1);
		g_assert_cmpint(weir_router_add_backend(r.h.core.router, &b, &err), ==, WEIR_OK);
		g_atomic_int_set(&r.fakes[0].lose_at, cases[i].lose_at);
		rig_run(&r);
		t = run_one(&r, &plain_ask);
		g_assert_cmpuint(t->n_wrong, ==, 0);
		g_assert_cmpuint(t->n_started, ==, 1);
		if (cases[i].takes) {
			g_assert_cmpint(t->status, ==, WEIR_OK);
			g_assert_cmpstr(p.field, ==,
					"{\"seed\":\"4\",\"started\":true,\"prompt_events\":0,"
					"\"choices\":[{\"tokens\":[],\"events\":0}]}");
		} else {
			g_assert_cmpint(t->status, ==, WEIR_E_UNAVAILABLE);
			g_assert_null(p.field);
		}
		tape_free(t);
		rig_stop(&r);
		g_free(p.field);
	}
}

#define ASK(kind_, what, text, ...)                                                                \
	{                                                                                          \
		.fields = { "kind", kind_, "model", "fake-model", what, text, ##__VA_ARGS__ },     \
		.sampling = { .size = sizeof(struct weir_sampling),                                \
			      .seed_set = 1,                                                       \
			      .seed = 78,                                                          \
			      .temperature = 1,                                                    \
			      .repeat_last_n = -1,                                                 \
			      SAMPLING },                                                          \
		.limits = { .size = sizeof(struct weir_limits), LIMITS }, .credit = 5,             \
		.grant_each = 1                                                                    \
	}

int main(int argc, char **argv)
{
#define SAMPLING .top_p = 1
#define LIMITS   .max_tokens = 20
	static const struct shape plain = { "plain", ASK("completion", "prompt", "hello world") };
	static const struct shape tight = { "few-blocks",
					    ASK("completion", "prompt", "hello world"),
					    .n_blocks = 12 };
	static const struct shape stops = {
		"stop-strings", ASK("completion", "prompt", "abc", "stop", "[\"\\u0001\\u0001\"]"),
		.memory = 3
	};
	static const struct shape guesses = { "guesses", ASK("completion", "prompt", "abcabcabc"),
					      .memory = 1, .guesses = 8 };
	static const struct shape grammar = {
		"grammar", ASK("completion", "prompt", "x", "grammar", "abcdefgh"), .grammars = TRUE
	};
	static const struct shape vectors = {
		"vectors",
		ASK("embed", "inputs", "[\"one text\",\"another text\",\"a third\",\"4\"]"),
		.embed = { .size = sizeof(struct weir_embedder_info),
			   .n_dim = 4,
			   .max_tokens = 20,
			   .max_batch = 20 },
	};
	static const struct shape ranks = {
		"rerank",
		ASK("rerank", "query", "what", "documents", "[\"one text\",\"another\",\"third\"]"),
		.embed = { .size = sizeof(struct weir_embedder_info),
			   .n_dim = 4,
			   .max_tokens = 20,
			   .max_batch = 20 },
	};
#undef LIMITS
#define LIMITS .max_tokens = 9
	static const struct shape answers = { "tool-calls", ASK("chat", "messages", "[]"),
					      .answers = TRUE };
#undef LIMITS
#define LIMITS .max_tokens = 11, .n = 3
	static const struct shape choices = { "choices",
					      ASK("completion", "prompt", "one of three"),
					      .end_one_in = 12 };
	static const struct shape parts = { "choices-of-parts", ASK("chat", "messages", "[]"),
					    .answers = TRUE, .end_one_in = 8 };
	static const struct shape crowd = { "choices-few-blocks",
					    ASK("completion", "prompt", "one of three"),
					    .n_blocks = 9 };
#undef LIMITS
#define LIMITS .max_tokens = 6, .n = 2, .echo = 1
	static const struct shape echo = { "echo", ASK("completion", "prompt", "told it is") };
#undef SAMPLING
#define SAMPLING .logprobs = 1, .top_logprobs = 3, .prompt_logprobs = 1, .prompt_top_logprobs = 2
	static const struct shape scores = { "scores", ASK("completion", "prompt", "scored it is"),
					     .max_scores = 3 };
#undef LIMITS
#define LIMITS .max_tokens = 9, .n = 2
	static const struct shape logprobs = { "logprobs",
					       ASK("completion", "prompt", "and so on") };
	static const struct shape *const shapes[] = {
		&plain,   &tight,   &stops, &guesses, &grammar, &vectors, &ranks,
		&answers, &choices, &parts, &crowd,   &echo,    &scores,  &logprobs,
	};

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_autofree char *path = g_strdup_printf("/recovery/%s", shapes[i]->name);

		g_test_add_data_func(path, shapes[i], test_shape);
	}
	g_test_add_func("/recovery/parked", test_parked);
	g_test_add_func("/recovery/gone", test_gone);
	g_test_add_func("/recovery/poison", test_poison);
	g_test_add_func("/recovery/nobody", test_nobody);
	g_test_add_func("/recovery/fresh", test_fresh);
	g_test_add_func("/recovery/level-a", test_level_a);
	return g_test_run();
}
