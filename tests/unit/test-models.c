/*
 * test-models.c - backends that come and go (core/models.h) under requests: by hand, on demand,
 * idle, too many of them, by a reload, and at the end of the server. The test's thread is main and
 * the frontend's loop in one; backends are fakes with a scheduler each.
 */
#include <pthread.h>
#include <string.h>

#include "fake-step.h"
#include "harness.h"
#include "models.h"

/* What the fakes of one test do, and have done; all atomic. */
static struct {
	gint gate_load; /* load() waits while it is 1 */
	gint gate_step; /* so does the first step() of a new one */
	gint fail_load, fail_create;
	gint n_created, n_destroyed, n_loads, most_alive;
} fakes;

struct rig {
	struct harness h;
	struct weir_models *models;
	gint rung;
};

/* What became of a change. */
struct told {
	guint n;
	weir_status status;
	char state[20], text[448];
};

/* --- the component ------------------------------------------------------------------------- */

struct body {
	struct fake fake;
	const void *(*get_ext)(struct weir_instance *, const char *);
};

static weir_status gated_load(struct weir_instance *instance, struct weir_model *ret,
			      struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	g_atomic_int_inc(&fakes.n_loads);
	while (g_atomic_int_get(&fakes.gate_load) && !g_atomic_int_get(&b->fake.interrupted))
		g_usleep(500);
	b->fake.fail_load = g_atomic_int_get(&fakes.fail_load);
	return calls->load(instance, ret, err);
}

static weir_status plain_step(struct weir_instance *instance, const struct weir_batch *batch,
			      struct weir_step *ret, struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	while (g_atomic_int_get(&fakes.gate_step) && !g_atomic_int_get(&b->fake.interrupted))
		g_usleep(500);
	return calls->step(instance, batch, ret, err);
}

static void interrupt_load(struct weir_instance *instance)
{
	g_atomic_int_set(&((struct body *)instance->data)->fake.interrupted, 1);
}

static const void *body_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_step calls = {
		.size = sizeof(calls),
		.load = gated_load,
		.step = plain_step,
		.interrupt = interrupt_load,
	};

	if (strcmp(id, WEIR_BACKEND_STEP) == 0)
		return &calls;
	return ((struct body *)instance->data)->get_ext(instance, id);
}

static void destroy(struct weir_instance *instance)
{
	struct body *b = (struct body *)instance->data;

	g_assert_cmpint(b->fake.n_breaches, ==, 0);
	g_atomic_int_inc(&fakes.n_destroyed);
	fake_clear(&b->fake);
	g_free(b);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct body *b;
	gint alive;

	if (g_atomic_int_get(&fakes.fail_create))
		return weir_fail(err, WEIR_E_NOT_FOUND, "nothing to make it of");
	b = g_new0(struct body, 1);
	fake_init(&b->fake, 256, 8, 64, 16, 64);
	b->get_ext = b->fake.instance.get_ext;
	b->fake.instance.get_ext = body_ext;
	b->fake.instance.destroy = destroy;
	b->fake.pause_us = 200;
	alive = g_atomic_int_add(&fakes.n_created, 1) + 1 - g_atomic_int_get(&fakes.n_destroyed);
	fakes.most_alive = MAX(fakes.most_alive, alive);
	*ret = &b->fake.instance;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "fake",
	.create = create,
};

/* --- the rig ------------------------------------------------------------------------------- */

/* "backend.a" serving "a"; version: an option, so that another one means another instance. */
static struct weir_profile_part *plan_new(const char *name, const char *version,
					  struct weir_backend_life life)
{
	struct weir_profile_part *plan = g_new0(struct weir_profile_part, 1);
	struct weir_kv kv = { "version", g_strdup(version) };

	plan->section = g_strdup_printf("backend.%s", name);
	plan->component = &component;
	plan->conf = g_array_new(false, false, sizeof(struct weir_kv));
	g_array_append_val(plan->conf, kv);
	plan->serves = g_strsplit(name, ",", -1);
	plan->life = life;
	return plan;
}

static void rung(void *data)
{
	g_atomic_int_set(&((struct rig *)data)->rung, 1);
}

static void turn(struct rig *r)
{
	weir_models_step(r->models);
	harness_dispatch(&r->h, 1);
}

static void wait_for(struct rig *r, bool (*is_so)(struct rig *, const void *), const void *data)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	while (!is_so(r, data)) {
		turn(r);
		if (g_get_monotonic_time() > give_up) {
			g_autofree char *log = harness_log(&r->h);

			g_error("nothing came in a minute; log: %s", log);
		}
	}
}

static bool is_set(struct rig *r, const void *flag)
{
	return *(const guint *)flag != 0;
}

static void append_state(void *data, const struct weir_model_entry *e)
{
	g_string_append_printf(data, "%s:%s ", e->id, e->state);
}

static char *states(struct rig *r)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	GString *text = g_string_new(NULL);

	gateway->models(&r->h.host, append_state, text);
	return g_string_free(text, FALSE);
}

static bool has_states(struct rig *r, const void *wanted)
{
	g_autofree char *now = states(r);

	return strcmp(now, wanted) == 0;
}

static void wait_states(struct rig *r, const char *wanted)
{
	wait_for(r, has_states, wanted);
}

static bool none_leaves(struct rig *r, const void *alive)
{
	return g_atomic_int_get(&fakes.n_created) - g_atomic_int_get(&fakes.n_destroyed) ==
	       GPOINTER_TO_INT(alive);
}

static void rig_init(struct rig *r, uint32_t max_loaded, int64_t drain_timeout_ms, guint n,
		     const struct weir_backend_life *lives)
{
	static const char *const names[] = { "a", "b", "c" };
	g_autoptr(GPtrArray) plans = g_ptr_array_new();
	struct weir_models_options options = { .drain_timeout_ms = drain_timeout_ms,
					       .max_loaded = max_loaded,
					       .ring = rung,
					       .data = r };
	struct weir_error err;

	memset(&fakes, 0, sizeof(fakes));
	memset(r, 0, sizeof(*r));
	harness_init(&r->h, NULL);
	options.core = &r->h.core;
	r->models = weir_models_new(&options);
	for (guint i = 0; i < n; i++)
		g_ptr_array_add(plans, plan_new(names[i], "1", lives[i]));
	if (weir_models_create(r->models, plans, &err) < 0 ||
	    weir_models_start(r->models, &err) < 0)
		g_error("%s", err.text);
	harness_start(&r->h);
}

static void rig_clear(struct rig *r)
{
	weir_models_drain(r->models);
	weir_router_stop(r->h.core.router);
	while (harness_dispatch(&r->h, 0) > 0)
		;
	weir_models_forget(r->models, NULL);
	weir_models_free(r->models);
	harness_clear(&r->h);
	g_assert_cmpint(fakes.n_created, ==, fakes.n_destroyed);
}

static weir_status ask(struct rig *r, struct seen *seen, const char *model, uint32_t max_tokens)
{
	struct weir_limits limits = { .size = sizeof(limits), .n = 1, .max_tokens = max_tokens };
	struct weir_error err = { 0 };
	weir_status status = harness_open(&r->h, seen, 100, NULL, &limits, &err, "kind",
					  "completion", "model", model, "prompt", "abc", NULL);

	if (status < 0) {
		g_free(seen->end_text);
		seen->end_text = g_strdup(err.text);
	}
	return status;
}

static void on_told(void *data, const struct weir_model_result *result)
{
	struct told *t = data;

	t->n++;
	t->status = result->status;
	g_strlcpy(t->state, result->state, sizeof(t->state));
	g_strlcpy(t->text, result->text, sizeof(t->text));
}

static void change(struct rig *r, const char *model, uint32_t what, struct told *told)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct weir_error err;

	memset(told, 0, sizeof(*told));
	if (gateway->change_model(&r->h.host, model, what, on_told, told, &err) < 0)
		g_error("%s", err.text);
}

/* And waits for the answer. */
static void change_now(struct rig *r, const char *model, uint32_t what, struct told *told)
{
	change(r, model, what | WEIR_MODEL_WAIT, told);
	wait_for(r, is_set, &told->n);
	g_assert_cmpuint(told->n, ==, 1);
}

static void reload(struct rig *r, struct weir_profile_part *one, struct weir_profile_part *two)
{
	g_autoptr(GPtrArray) plans = g_ptr_array_new();

	g_ptr_array_add(plans, one);
	if (two)
		g_ptr_array_add(plans, two);
	weir_models_reload(r->models, plans);
}

static const struct weir_backend_life at_start = { .autoload = true };
static const struct weir_backend_life on_demand = { .on_demand = true };

/* --- by hand ------------------------------------------------------------------------------- */

static void test_by_hand(void)
{
	struct seen *open = seen_new(1), *refused = seen_new(0), *again = seen_new(1);
	struct told told, other;
	struct weir_error err;
	struct rig r;

	rig_init(&r, 0, 60000, 1, &at_start);
	wait_states(&r, "a:ready ");
	change_now(&r, "a", WEIR_MODEL_LOAD, &told); /* of a loaded one: nothing */
	g_assert_cmpstr(told.state, ==, "ready");
	g_assert_cmpint(fakes.n_loads, ==, 1);

	/* What is open goes on, what comes is told how to get it back. */
	g_atomic_int_set(&fakes.gate_step, 1);
	g_assert_cmpint(ask(&r, open, "a", 50), ==, WEIR_OK);
	change(&r, "a", WEIR_MODEL_UNLOAD, &told);
	wait_for(&r, is_set, &told.n);
	g_assert_cmpstr(told.state, ==, "unloading");
	wait_states(&r, "a:unloading ");
	g_assert_cmpint(ask(&r, refused, "a", 5), ==, WEIR_E_NO_MODEL);
	g_assert_cmpstr(refused->end_text, ==, "model a is not loaded: POST /v1/models/a/load");
	/* Load and unload wait for the same end; the last wish counts. */
	change(&r, "a", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	change(&r, "a", WEIR_MODEL_UNLOAD | WEIR_MODEL_WAIT, &other);
	wait_for(&r, is_set, &told.n);
	g_assert_cmpint(told.status, ==, WEIR_E_CANCELLED);
	g_assert_cmpuint(open->n_ends + other.n, ==, 0);
	g_atomic_int_set(&fakes.gate_step, 0);
	wait_for(&r, is_set, &other.n);
	g_assert_cmpint(other.status, ==, WEIR_OK);
	g_assert_cmpstr(other.state, ==, "unloaded");
	g_assert_cmpint(fakes.n_destroyed, ==, 1);
	wait_for(&r, is_set, &open->n_ends);
	g_assert_cmpint(open->end.status, ==, WEIR_OK);
	g_assert_cmpuint(open->n_wrong, ==, 0);

	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	g_assert_cmpint(told.status, ==, WEIR_OK);
	g_assert_cmpstr(told.state, ==, "ready");
	g_assert_cmpint(ask(&r, again, "a", 5), ==, WEIR_OK);
	wait_for(&r, is_set, &again->n_ends);
	g_assert_cmpint(again->end.status, ==, WEIR_OK);
	g_assert_cmpint(
		((const struct weir_gateway *)weir_gateway_extension(WEIR_HOST_GATEWAY))
			->change_model(&r.h.host, "nobody", WEIR_MODEL_LOAD, on_told, &told, &err),
		==, WEIR_E_NOT_FOUND);
	seen_free(open);
	seen_free(refused);
	seen_free(again);
	rig_clear(&r);
}

/* drain_timeout is over: cancelled, and told why. */
static void test_drain_timeout(void)
{
	struct seen *open = seen_new(1);
	struct told told;
	struct rig r;

	rig_init(&r, 0, 20, 1, &at_start);
	wait_states(&r, "a:ready ");
	open->grant_each = 0; /* reads 100 events, and no more: it would never end */
	g_assert_cmpint(ask(&r, open, "a", 200), ==, WEIR_OK);
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	g_assert_cmpint(told.status, ==, WEIR_OK);
	wait_for(&r, is_set, &open->n_ends);
	g_assert_cmpint(open->end.status, ==, WEIR_E_NO_MODEL);
	g_assert_cmpstr(open->end_text, ==, "the model was unloaded");
	wait_for(&r, none_leaves, NULL);
	seen_free(open);
	rig_clear(&r);
}

static void test_failing(void)
{
	struct seen *seen = seen_new(1);
	struct told told;
	struct rig r;

	rig_init(&r, 0, 1000, 1, &at_start);
	wait_states(&r, "a:ready ");
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	g_atomic_int_set(&fakes.fail_load, 1);
	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	g_assert_cmpint(told.status, ==, WEIR_E_UNAVAILABLE);
	g_assert_cmpstr(told.state, ==, "failed");
	g_assert_cmpstr(told.text, ==, "no such file");
	wait_for(&r, none_leaves, NULL); /* its memory is free, its reason is not forgotten */
	g_assert_cmpint(weir_router_state(r.h.core.router), ==, WEIR_ROUTER_FAILED);
	g_assert_cmpint(ask(&r, seen, "a", 5), ==, WEIR_E_NO_MODEL);
	g_assert_cmpstr(seen->end_text, ==, "no model is loaded: no such file");
	g_atomic_int_set(&fakes.fail_create, 1);
	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	g_assert_cmpstr(told.text, ==, "[backend.a] nothing to make it of");
	g_atomic_int_set(&fakes.fail_create, 0);
	g_atomic_int_set(&fakes.fail_load, 0);
	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	g_assert_cmpstr(told.state, ==, "ready");
	g_assert_cmpint(ask(&r, seen, "a", 5), ==, WEIR_OK);
	wait_for(&r, is_set, &seen->n_ends);
	/* Unloaded while it loads: load() is interrupted, who waits is told. */
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	g_atomic_int_set(&fakes.gate_load, 1);
	change(&r, "a", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	wait_states(&r, "a:loading ");
	struct told gone;
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &gone);
	g_assert_cmpstr(gone.state, ==, "unloaded");
	g_assert_cmpint(told.status, ==, WEIR_E_CANCELLED);
	seen_free(seen);
	rig_clear(&r);
}

/* --- on demand ----------------------------------------------------------------------------- */

static void test_on_demand(void)
{
	enum { N = 12 };
	struct seen *seen[N], *cancelled = seen_new(1), *refused = seen_new(1);
	struct told told;
	struct rig r;

	rig_init(&r, 0, 1000, 1, &on_demand);
	g_assert_true(has_states(&r, "a:unloaded "));
	g_assert_cmpint(weir_router_state(r.h.core.router), ==, WEIR_ROUTER_READY);
	g_atomic_int_set(&fakes.gate_load, 1);
	for (int i = 0; i < N; i++) {
		seen[i] = seen_new(1);
		g_assert_cmpint(ask(&r, seen[i], "a", 10), ==, WEIR_OK);
	}
	g_assert_cmpint(g_atomic_int_get(&r.rung), ==, 1);
	g_assert_cmpint(ask(&r, cancelled, "a", 10), ==, WEIR_OK);
	wait_states(&r, "a:loading ");
	weir_stream_cancel(cancelled->stream, WEIR_E_CANCELLED);
	wait_for(&r, is_set, &cancelled->n_ends);
	g_assert_cmpint(cancelled->end.status, ==, WEIR_E_CANCELLED);
	g_atomic_int_set(&fakes.gate_load, 0);
	for (int i = 0; i < N; i++) {
		wait_for(&r, is_set, &seen[i]->n_ends);
		g_assert_cmpint(seen[i]->end.status, ==, WEIR_OK);
		g_assert_cmpuint(seen[i]->n_ends, ==, 1);
		g_assert_cmpuint(seen[i]->n_wrong, ==, 0);
		g_assert_cmpuint(seen[i]->tokens->len, ==, 10);
		seen_free(seen[i]);
	}
	g_assert_cmpint(fakes.n_loads, ==, 1);

	/* A load that fails, and one that is taken back, end who waits. */
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	g_atomic_int_set(&fakes.fail_load, 1);
	g_assert_cmpint(ask(&r, refused, "a", 10), ==, WEIR_OK);
	wait_for(&r, is_set, &refused->n_ends);
	g_assert_cmpint(refused->end.status, ==, WEIR_E_UNAVAILABLE);
	g_assert_cmpstr(refused->end_text, ==, "backend.a cannot serve: no such file");
	g_atomic_int_set(&fakes.fail_load, 0);
	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	g_atomic_int_set(&fakes.gate_load, 1);
	refused->n_ends = 0;
	g_assert_cmpint(ask(&r, refused, "a", 10), ==, WEIR_OK);
	wait_states(&r, "a:loading ");
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	wait_for(&r, is_set, &refused->n_ends);
	g_assert_cmpint(refused->end.status, ==, WEIR_E_NO_MODEL);
	seen_free(cancelled);
	seen_free(refused);
	rig_clear(&r);
}

/* One at a time: each request makes the others leave, and waits for a busy one. */
static void test_room_and_idle(void)
{
	const struct weir_backend_life lives[] = { at_start, on_demand, on_demand };
	struct seen *seen = seen_new(1), *busy = seen_new(1);
	struct told told;
	struct rig r;

	rig_init(&r, 1, 60000, 3, lives);
	wait_states(&r, "a:ready b:unloaded c:unloaded ");
	for (int i = 0; i < 6; i++) {
		seen->n_ends = 0;
		g_assert_cmpint(ask(&r, seen, i % 2 ? "c" : "b", 5), ==, WEIR_OK);
		wait_for(&r, is_set, &seen->n_ends);
		g_assert_cmpint(seen->end.status, ==, WEIR_OK);
		g_assert_true(has_states(&r, i % 2 ? "a:unloaded b:unloaded c:ready "
						   : "a:unloaded b:ready c:unloaded "));
	}
	g_assert_cmpint(fakes.most_alive, ==, 1);
	g_atomic_int_set(&fakes.gate_step, 1);
	seen->n_ends = 0;
	g_assert_cmpint(ask(&r, busy, "c", 5), ==, WEIR_OK);
	g_assert_cmpint(ask(&r, seen, "b", 5), ==, WEIR_OK);
	for (int i = 0; i < 30; i++)
		turn(&r);
	g_assert_true(has_states(&r, "a:unloaded b:loading c:ready "));
	g_atomic_int_set(&fakes.gate_step, 0);
	wait_for(&r, is_set, &seen->n_ends);
	g_assert_cmpuint(busy->n_ends, ==, 1);
	g_assert_cmpint(busy->end.status + seen->end.status, ==, WEIR_OK);
	g_assert_cmpint(fakes.most_alive, ==, 1);

	/* The least recently used of two. */
	weir_models_set_limits(r.models, 1000, 2);
	change_now(&r, "a", WEIR_MODEL_LOAD, &told);
	wait_states(&r, "a:ready b:ready c:unloaded ");
	seen->n_ends = 0;
	g_assert_cmpint(ask(&r, seen, "b", 5), ==, WEIR_OK);
	wait_for(&r, is_set, &seen->n_ends);
	change_now(&r, "c", WEIR_MODEL_LOAD, &told);
	wait_states(&r, "a:unloaded b:ready c:ready ");

	/* Idle for 30 ms; the other one has no such habit. */
	struct weir_backend_life idle = { .idle_unload_ms = 30 };
	reload(&r, plan_new("b", "1", idle), plan_new("c", "1", at_start));
	wait_states(&r, "b:unloaded c:ready ");
	wait_for(&r, none_leaves, GINT_TO_POINTER(1));
	seen_free(seen);
	seen_free(busy);
	rig_clear(&r);
}

/* --- reload -------------------------------------------------------------------------------- */

static void test_replace(void)
{
	struct weir_backend_life beside = { .autoload = true, .beside = true };
	struct seen *old = seen_new(1), *seen = seen_new(1), *late = seen_new(1);
	struct rig r;

	rig_init(&r, 0, 60000, 1, &at_start);
	wait_states(&r, "a:ready ");
	/* The same but for its names and habits: the same instance. */
	reload(&r, plan_new("a", "1", beside), plan_new("b", "1", at_start));
	wait_states(&r, "a:ready b:ready ");
	g_assert_cmpint(fakes.n_created, ==, 2);

	/* Beside: never without one; the old one ends with its last request. */
	g_atomic_int_set(&fakes.gate_step, 1);
	g_assert_cmpint(ask(&r, old, "a", 20), ==, WEIR_OK);
	reload(&r, plan_new("a", "2", beside), NULL);
	for (int i = 0; i < 400 && g_atomic_int_get(&fakes.n_loads) < 3; i++) {
		g_assert_true(has_states(&r, "a:ready "));
		turn(&r);
	}
	g_atomic_int_set(&fakes.gate_step, 0);
	g_assert_cmpint(ask(&r, seen, "a", 20), ==, WEIR_OK);
	wait_for(&r, is_set, &old->n_ends);
	wait_for(&r, is_set, &seen->n_ends);
	g_assert_cmpint(old->end.status + seen->end.status, ==, WEIR_OK);
	wait_for(&r, none_leaves, GINT_TO_POINTER(1));

	/* One that fails changes nothing, and is tried again by the next reload. */
	g_atomic_int_set(&fakes.fail_load, 1);
	reload(&r, plan_new("a", "3", beside), NULL);
	for (int i = 0; i < 400 && g_atomic_int_get(&fakes.n_loads) < 4; i++)
		turn(&r);
	wait_for(&r, none_leaves, GINT_TO_POINTER(1));
	g_assert_true(has_states(&r, "a:ready "));
	{
		g_autofree char *log = harness_log(&r.h);

		g_assert_nonnull(strstr(log, "the old one goes on: no such file"));
	}
	/* After: refused in between, failed if it fails, loaded when it can be. */
	reload(&r, plan_new("a", "4", at_start), NULL);
	g_assert_true(has_states(&r, "a:loading "));
	g_assert_cmpint(ask(&r, late, "a", 5), ==, WEIR_E_UNAVAILABLE);
	g_assert_cmpstr(late->end_text, ==, "the model is still loading, try again");
	wait_states(&r, "a:failed ");
	g_atomic_int_set(&fakes.fail_load, 0);
	reload(&r, plan_new("a", "4", at_start), NULL);
	wait_states(&r, "a:ready ");
	g_assert_cmpint(ask(&r, late, "a", 5), ==, WEIR_OK);
	wait_for(&r, is_set, &late->n_ends);
	g_assert_cmpint(late->end.status, ==, WEIR_OK);

	/* One that has become ready while main looked elsewhere serves who waits in it, although it
	 * is replaced at once. */
	reload(&r, plan_new("a", "4", on_demand), NULL);
	struct told told;
	change_now(&r, "a", WEIR_MODEL_UNLOAD, &told);
	seen->n_ends = 0;
	gint n_loads = g_atomic_int_get(&fakes.n_loads);
	g_assert_cmpint(ask(&r, seen, "a", 5), ==, WEIR_OK);
	weir_models_step(r.models);
	while (g_atomic_int_get(&fakes.n_loads) == n_loads || !has_states(&r, "a:ready "))
		g_usleep(500);
	reload(&r, plan_new("a", "6", on_demand), NULL);
	wait_for(&r, is_set, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);

	seen_free(old);
	seen_free(seen);
	seen_free(late);
	rig_clear(&r);
}

/* --- the server ends ----------------------------------------------------------------------- */

static void test_server_ends(void)
{
	const struct weir_backend_life lives[] = { on_demand, on_demand };
	struct seen *loading = seen_new(1), *queued = seen_new(1);
	struct told told;
	struct rig r;

	rig_init(&r, 1, 1000, 2, lives);
	g_atomic_int_set(&fakes.gate_load, 1);
	g_assert_cmpint(ask(&r, loading, "a", 5), ==, WEIR_OK);
	wait_states(&r, "a:loading b:unloaded ");
	g_assert_cmpint(ask(&r, queued, "b", 5), ==, WEIR_OK);
	change(&r, "b", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	wait_states(&r, "a:loading b:loading "); /* b waits for room */
	weir_router_drain(r.h.core.router);
	weir_models_drain(r.models);
	wait_for(&r, is_set, &queued->n_ends);
	g_assert_cmpint(queued->end.status, ==, WEIR_E_UNAVAILABLE);
	g_assert_cmpstr(queued->end_text, ==, "the server is shutting down");
	wait_for(&r, is_set, &told.n);
	g_assert_cmpint(told.status, ==, WEIR_E_UNAVAILABLE);
	/* The load that runs may still serve who waits for it. */
	g_atomic_int_set(&fakes.gate_load, 0);
	wait_for(&r, is_set, &loading->n_ends);
	g_assert_cmpint(loading->end.status, ==, WEIR_OK);
	rig_clear(&r);

	/* Stopped at once in the middle of a load, with somebody waiting. */
	rig_init(&r, 0, 1000, 1, &on_demand);
	g_atomic_int_set(&fakes.gate_load, 1);
	loading->n_ends = 0;
	g_assert_cmpint(ask(&r, loading, "a", 5), ==, WEIR_OK);
	change(&r, "a", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	wait_states(&r, "a:loading ");
	rig_clear(&r);
	g_assert_cmpuint(loading->n_ends, ==, 1);
	g_assert_cmpuint(told.n, ==, 1);
	g_assert_cmpint(told.status, ==, WEIR_E_UNAVAILABLE);
	seen_free(loading);
	seen_free(queued);
}

/* --- all at once --------------------------------------------------------------------------- */

struct meddler {
	struct rig *rig;
	gint stop;
	gint n_asked, n_told; /* atomic */
};

static void count_told(void *data, const struct weir_model_result *result)
{
	g_atomic_int_inc(&((struct meddler *)data)->n_told);
}

static void *meddle(void *data)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct meddler *m = data;
	guint32 x = 12345;
	struct weir_error err;

	while (!g_atomic_int_get(&m->stop)) {
		x = x * 1664525 + 1013904223;
		uint32_t what = (x >> 20) % 3 ? WEIR_MODEL_LOAD : WEIR_MODEL_UNLOAD;

		g_atomic_int_inc(&m->n_asked);
		g_assert_cmpint(gateway->change_model(&m->rig->h.host, (x >> 24) % 2 ? "a" : "b",
						      what | ((x >> 26) % 2 ? WEIR_MODEL_WAIT : 0),
						      count_told, m, &err),
				==, WEIR_OK);
		g_free(states(m->rig));
		weir_router_measure(m->rig->h.core.router);
		g_usleep(300 + (x >> 16) % 3000);
	}
	return NULL;
}

/* Loads, unloads, replacements and requests: every stream has one end, every wish one answer. */
static void test_all_at_once(void)
{
	const struct weir_backend_life lives[] = { on_demand, at_start };
	enum { N = 24, ROUNDS = 400 };
	struct seen *seen[N] = { NULL };
	guint n_ok = 0, n_not = 0, n_refused = 0;
	struct meddler m = { 0 };
	pthread_t thread;
	struct rig r;

	rig_init(&r, 0, 5, 2, lives);
	m.rig = &r;
	g_assert_cmpint(pthread_create(&thread, NULL, meddle, &m), ==, 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct seen **at = &seen[i % N];

		if (*at) {
			wait_for(&r, is_set, &(*at)->n_ends);
			g_assert_cmpuint((*at)->n_ends, ==, 1);
			g_assert_cmpuint((*at)->n_wrong, ==, 0);
			*((*at)->end.status == WEIR_OK ? &n_ok : &n_not) += 1;
			seen_free(*at);
		}
		*at = seen_new(1);
		if (ask(&r, *at, i % 3 ? "a" : "b", 1 + i % 40) < 0) {
			g_clear_pointer(at, seen_free);
			n_refused++;
		}
		if (i % 50 == 49) {
			struct weir_backend_life life = on_demand;
			g_autofree char *version = g_strdup_printf("%d", i);

			life.beside = i % 100 == 99;
			reload(&r, plan_new("a", version, life), plan_new("b", "1", at_start));
		}
		turn(&r);
	}
	g_atomic_int_set(&m.stop, 1);
	pthread_join(thread, NULL);
	for (int i = 0; i < N; i++) {
		if (!seen[i])
			continue;
		wait_for(&r, is_set, &seen[i]->n_ends);
		seen_free(seen[i]);
	}
	rig_clear(&r);
	g_test_message("%u served, %u ended otherwise, %u refused; %d instances, %d wishes", n_ok,
		       n_not, n_refused, fakes.n_created, m.n_asked);
	g_assert_cmpint(m.n_asked, ==, m.n_told);
	g_assert_cmpuint(n_ok, >, 20);
	g_assert_cmpint(fakes.n_created, >, 5);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/models/by-hand", test_by_hand);
	g_test_add_func("/models/drain-timeout", test_drain_timeout);
	g_test_add_func("/models/failing", test_failing);
	g_test_add_func("/models/on-demand", test_on_demand);
	g_test_add_func("/models/room-and-idle", test_room_and_idle);
	g_test_add_func("/models/replace", test_replace);
	g_test_add_func("/models/server-ends", test_server_ends);
	g_test_add_func("/models/all-at-once", test_all_at_once);
	return g_test_run();
}
