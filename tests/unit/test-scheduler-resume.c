/*
 * test-scheduler-resume.c - the request's field `resume` (core/scheduler-resume.c): an answer is
 * cut behind each of its events and begun again on another instance; the two parts together must be
 * the whole word by word, and the end that of the whole.
 */
#include <string.h>

#include "fake-step.h"
#include "tape.h"
#include "text.h"

struct fixture {
	struct harness h;
	struct fake fake;
};

struct shape {
	const char *name;
	struct tape_ask ask;
	gboolean grammars, answers;
	uint32_t n_blocks, max_scores, memory, guesses, end_one_in;
};

static void start(struct fixture *f, const struct shape *shape)
{
	const char *const serves[] = { "fake-model", NULL };
	struct weir_backend_binding b = { "backend.fake", &f->fake.instance, serves, "fake" };
	struct weir_router_options options = { .n_workers = 2,
					       .park_after_ms = 1,
					       .cancel_grace_ms = 10000 };
	struct weir_error err = { 0 };

	fake_init(&f->fake, 90, 4, 12, 4, shape->n_blocks ? shape->n_blocks : 60);
	f->fake.grammars = shape->grammars;
	f->fake.answers = shape->answers;
	f->fake.memory = shape->memory;
	f->fake.end_one_in = shape->end_one_in;
	f->fake.model.max_guesses = shape->guesses;
	f->fake.model.max_scores = shape->max_scores;
	harness_init(&f->h, &options);
	if (weir_router_add_backend(f->h.core.router, &b, &err) < 0)
		g_error("%s", err.text);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
}

static void stop(struct fixture *f)
{
	size_t active = 1, waiting = 1;
	g_autofree char *text = NULL;

	for (int i = 0; i < 5000 && (active || waiting); i++) {
		weir_router_status(f->h.core.router, &active, &waiting, NULL, NULL);
		g_usleep(active || waiting ? 1000 : 0);
	}
	g_assert_cmpuint(active + waiting, ==, 0);
	g_usleep(2000);
	text = weir_metric_set_prometheus(f->h.core.metrics);
	g_assert_nonnull(strstr(
		text, "vllm:kv_cache_usage_perc{model_name=\"fake-model\",engine=\"0\"} 0\n"));
	g_assert_nonnull(strstr(text, "queue_depth 0\n"));
	harness_clear(&f->h);
	if (f->fake.n_breaches > 0)
		g_error("%d breaches, the first: %s", f->fake.n_breaches, f->fake.breach);
	g_assert_cmpint(g_atomic_int_get(&f->fake.n_places), ==, 0);
	fake_clear(&f->fake);
}

static struct tape *run_one(struct harness *h, const struct tape_ask *ask, const char *resume)
{
	struct tape *t = tape_open(h, ask, resume);

	harness_until(h, &t->n_ends);
	return t;
}

/* Every cut of what `ask` is answered. */
static void check_cuts(struct fixture *f, const struct tape_ask *ask)
{
	struct tape_ask again = *ask;
	struct tape *whole = run_one(&f->h, ask, NULL), *rest;

	g_assert_cmpint(whole->status, ==, WEIR_OK);
	/* The seed is the field's. */
	again.sampling.seed += 12345;
	for (guint n = 0; n <= whole->all->len; n++) {
		g_autofree char *field =
			tape_field(whole, n, ask->sampling.seed, MAX(1, ask->limits.n));

		/* At most what it wants, and drop by drop. */
		again.credit = n % 3 == 0 ? 0 : n % 3 == 1 ? 1 : 100;
		rest = tape_open(&f->h, &again, field);
		if (again.credit == 0)
			weir_stream_grant(rest->stream, 1);
		harness_until(&f->h, &rest->n_ends);
		if (rest->status < 0)
			g_error("cut behind %u: %s", n, rest->text);
		tape_assert_joined(whole, n, rest);
		tape_free(rest);
	}
	tape_free(whole);
}

static void test_shape(gconstpointer data)
{
	const struct shape *shape = data;
	struct fixture f;

	start(&f, shape);
	check_cuts(&f, &shape->ask);
	stop(&f);
}

/* A stop string of three tokens, and one that begins as the text does and then differs. */
static void test_stops(void)
{
	static const struct shape shape = { .memory = 1 };
	struct tape_ask ask = {
		.fields = { "kind", "completion", "model", "fake-model", "prompt", "stop me", "id",
			    "x" },
		.sampling = { .size = sizeof(ask.sampling),
			      .seed_set = 1,
			      .seed = 5,
			      .temperature = 1 },
		.limits = { .size = sizeof(ask.limits), .max_tokens = 30 },
		.credit = 1000,
		.grant_each = 1,
	};
	g_autoptr(GString) bytes = g_string_new(NULL);
	g_autoptr(GString) stops = g_string_new("[");
	struct fixture f;
	struct tape *t;

	start(&f, &shape);
	t = run_one(&f.h, &ask, NULL);
	for (guint i = 0; i < t->all->len; i++) {
		const struct tape_event *e = t->all->pdata[i];

		if (e->type == WEIR_EVENT_TOKEN && e->token >= 2)
			g_string_append_c(bytes, (char)(e->token - 2));
	}
	g_assert_cmpuint(bytes->len, >, 20);
	weir_text_append_json(stops, (struct weir_str){ bytes->str + 14, 3 });
	g_string_append_c(stops, ',');
	bytes->str[12] = 127;
	weir_text_append_json(stops, (struct weir_str){ bytes->str + 8, 5 });
	g_string_append_c(stops, ']');
	tape_free(t);
	ask.fields[6] = "stop";
	ask.fields[7] = stops->str;
	t = run_one(&f.h, &ask, NULL);
	g_assert_nonnull(strstr(t->end->str, "; 1 "));
	g_assert_true(g_str_has_suffix(t->end->str, " 1 0")); /* by the first of the list */
	tape_free(t);
	check_cuts(&f, &ask);
	stop(&f);
}

/* --- what does not fit --------------------------------------------------------------------- */

static void test_misfits(void)
{
	static const struct shape shape = { 0 };
	static const struct {
		const char *field, *says;
	} cases[] = {
		{ "", "no JSON" },
		{ "[]", "no JSON object" },
		{ "{}", "must hold" },
		{ "{\"seed\":1,\"started\":true,\"prompt_events\":0,\"choices\":[]}", "must hold" },
		{ "{\"seed\":\"x\",\"started\":true,\"prompt_events\":0,\"choices\":[]}",
		  "must hold" },
		{ "{\"seed\":\"1\",\"started\":1,\"prompt_events\":0,\"choices\":[]}",
		  "must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":-1,\"choices\":[]}",
		  "must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":{}}",
		  "must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[],\"x\":1}",
		  "must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[]}",
		  "0 choices" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[1]}",
		  "choice 0 must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":[]"
		  "}]}",
		  "choice 0 must hold" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":2,\"choices\":[{\"tokens\":["
		  "],"
		  "\"events\":0}]}",
		  "2 tokens of the prompt" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "],"
		  "\"events\":1}]}",
		  "tells more" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "5],"
		  "\"events\":0}]}",
		  "tells less" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "258],\"events\":1}]}",
		  "no id below 258" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "-1],\"events\":1}]}",
		  "no id below 258" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "1.5],\"events\":1}]}",
		  "no id below 258" },
		{ "{\"seed\":\"1\",\"started\":false,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "5],\"events\":1}]}",
		  "before its beginning" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "0,5],\"events\":2}]}",
		  "behind its end" },
		{ "{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":["
		  "5,5,5,5,5,5,5,5,5],\"events\":9}]}",
		  "at most 8" },
	};
	const struct tape_ask ask = {
		.fields = { "kind", "completion", "model", "fake-model", "prompt", "ab" },
		.sampling = { .size = sizeof(ask.sampling), .seed_set = 1, .temperature = 1 },
		.limits = { .size = sizeof(ask.limits), .max_tokens = 8 },
		.credit = 100,
	};
	struct fixture f;

	start(&f, &shape);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct tape *t = run_one(&f.h, &ask, cases[i].field);

		g_assert_cmpint(t->status, ==, WEIR_E_INTERNAL);
		g_assert_cmpuint(t->all->len, ==, 0);
		if (!strstr(t->text, cases[i].says))
			g_error("%s: %s", cases[i].field, t->text);
		tape_free(t);
	}
	stop(&f);
}

/* More tokens than the context: refused before they are read. */
static void test_long(void)
{
	static const struct shape shape = { 0 };
	struct tape_ask ask = {
		.fields = { "kind", "completion", "model", "fake-model", "prompt", "ab" },
		.sampling = { .size = sizeof(ask.sampling), .temperature = 1 },
		.limits = { .size = sizeof(ask.limits) },
		.credit = 100,
	};
	g_autoptr(GString) field = g_string_new(
		"{\"seed\":\"1\",\"started\":true,\"prompt_events\":0,\"choices\":[{\"tokens\":[5");
	struct fixture f;
	struct tape *t;

	start(&f, &shape);
	for (int i = 0; i < 100000; i++)
		g_string_append(field, ",5");
	g_string_append(field, "],\"events\":100001}]}");
	t = run_one(&f.h, &ask, field->str);
	g_assert_cmpint(t->status, ==, WEIR_E_INTERNAL);
	g_assert_nonnull(strstr(t->text, "context"));
	tape_free(t);
	stop(&f);
}

/* Damaged fields end with an error or an answer, never otherwise. */
static void test_damage(void)
{
	static const struct shape shape = { .answers = TRUE };
	struct tape_ask ask = {
		.fields = { "kind", "chat", "model", "fake-model", "messages", "[]" },
		.sampling = { .size = sizeof(ask.sampling),
			      .seed_set = 1,
			      .seed = 3,
			      .temperature = 1 },
		.limits = { .size = sizeof(ask.limits), .max_tokens = 6, .n = 2 },
		.credit = 1000,
	};
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	g_autofree char *field = NULL;
	struct tape *whole, *t;
	struct fixture f;

	start(&f, &shape);
	whole = run_one(&f.h, &ask, NULL);
	field = tape_field(whole, whole->all->len / 2, 3, 2);
	for (int i = 0; i < 600; i++) {
		g_autofree char *damaged = g_strdup(field);
		gsize len = strlen(damaged);

		for (int k = g_rand_int_range(rand, 1, 4); k > 0; k--) {
			static const char bytes[] = "0129-,:[]{}\" tfe.";

			damaged[g_rand_int_range(rand, 0, (gint32)len)] =
				bytes[g_rand_int_range(rand, 0, sizeof(bytes) - 1)];
		}
		t = run_one(&f.h, &ask, damaged);
		g_assert_cmpuint(t->n_wrong, ==, 0);
		g_assert_true(t->status == WEIR_OK || t->status == WEIR_E_INTERNAL);
		tape_free(t);
	}
	tape_free(whole);
	stop(&f);
}

#define ASK(kind_, what, text, ...)                                                                \
	{                                                                                          \
		.fields = { "kind", kind_, "model", "fake-model", what, text, ##__VA_ARGS__ },     \
		.sampling = { .size = sizeof(struct weir_sampling),                                \
			      .seed_set = 1,                                                       \
			      .seed = 77,                                                          \
			      .temperature = 1,                                                    \
			      .repeat_last_n = -1,                                                 \
			      SAMPLING },                                                          \
		.limits = { .size = sizeof(struct weir_limits), LIMITS }, .credit = 1000,          \
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
	static const struct shape ends = { "end-token", ASK("completion", "prompt", "hm"),
					   .end_one_in = 9 };
	static const struct shape guesses = { "guesses", ASK("completion", "prompt", "abcabcabc"),
					      .memory = 1, .guesses = 8 };
	static const struct shape grammar = {
		"grammar", ASK("completion", "prompt", "x", "grammar", "abcdefgh"), .grammars = TRUE
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
	static const struct shape places = { "choices-grammar",
					     ASK("completion", "prompt", "x", "grammar", "abcdef"),
					     .grammars = TRUE };
	static const struct shape crowd = { "choices-few-blocks",
					    ASK("completion", "prompt", "one of three"),
					    .n_blocks = 9 };
#undef LIMITS
#define LIMITS .max_tokens = 6, .n = 2, .echo = 1
	static const struct shape echo = { "echo", ASK("completion", "prompt", "told it is") };
#undef LIMITS
#define LIMITS .echo = 1, .no_output = 1
	static const struct shape silent = { "echo-alone", ASK("completion", "prompt", "told") };
#undef SAMPLING
#define SAMPLING .logprobs = 1, .top_logprobs = 3, .prompt_logprobs = 1, .prompt_top_logprobs = 2
	static const struct shape evaluated = { "scores-alone",
						ASK("completion", "prompt", "evaluated"),
						.max_scores = 3 };
#undef LIMITS
#define LIMITS .max_tokens = 5, .n = 2, .echo = 1
	static const struct shape scores = { "scores", ASK("completion", "prompt", "scored it is"),
					     .max_scores = 3 };
	static const struct shape *const shapes[] = {
		&plain, &tight,  &ends,  &guesses, &grammar, &answers,   &choices,
		&parts, &places, &crowd, &echo,    &silent,  &evaluated, &scores,
	};

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_autofree char *path = g_strdup_printf("/resume/%s", shapes[i]->name);

		g_test_add_data_func(path, shapes[i], test_shape);
	}
	g_test_add_func("/resume/stop-strings", test_stops);
	g_test_add_func("/resume/misfits", test_misfits);
	g_test_add_func("/resume/long", test_long);
	g_test_add_func("/resume/damage", test_damage);
	return g_test_run();
}
