/*
 * test-replicas.c - two backends of one model's name: requests are spread, go on with the other one
 * when theirs is lost, ends or cannot be loaded, and both are loaded and unloaded by the name
 * (core/gateway-route.c, gateway-recover.c, models.c). The test's thread is main and the frontend's
 * loop in one; backends are fakes with a scheduler each.
 */
#include <string.h>

#include "fake-step.h"
#include "gateway-router.h"
#include "models.h"
#include "profile-replicas.h"
#include "tape.h"

/* What the instances of one test do; atomic. */
static struct {
	gint n_created, n_destroyed;
	gint lose_first; /* the step at which the first instance is lost; 0: never */
	gint gate_load;  /* loads wait while it is 1 */
	gint gate_step;  /* steps do */
	gint fail_loads; /* so many loads fail */
} world;

struct body {
	struct fake fake;
	const void *(*get_ext)(struct weir_instance *, const char *);
};

struct rig {
	struct harness h;
	struct weir_models *models;
};

/* What became of a change. */
struct told {
	guint n;
	weir_status status;
	char backend[20], state[20], text[512];
};

/* --- the component ------------------------------------------------------------------------- */

static void wait_gate(struct body *b, const gint *gate)
{
	while (g_atomic_int_get(gate) && !g_atomic_int_get(&b->fake.interrupted))
		g_usleep(200);
}

static weir_status load(struct weir_instance *instance, struct weir_model *ret,
			struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	wait_gate(b, &world.gate_load);
	if (g_atomic_int_get(&world.fail_loads) > 0) {
		g_atomic_int_add(&world.fail_loads, -1);
		return weir_fail(err, WEIR_E_UNAVAILABLE, "no such device");
	}
	return calls->load(instance, ret, err);
}

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	wait_gate(b, &world.gate_step);
	return calls->step(instance, batch, ret, err);
}

static void interrupt(struct weir_instance *instance)
{
	g_atomic_int_set(&((struct body *)instance->data)->fake.interrupted, 1);
}

static const void *body_ext(struct weir_instance *instance, const char *id)
{
	static const struct weir_backend_step calls = {
		.size = sizeof(calls), .load = load, .step = step, .interrupt = interrupt
	};

	if (strcmp(id, WEIR_BACKEND_STEP) == 0)
		return &calls;
	return ((struct body *)instance->data)->get_ext(instance, id);
}

static void destroy(struct weir_instance *instance)
{
	struct body *b = (struct body *)instance->data;

	if (b->fake.n_breaches > 0)
		g_error("%d breaches, the first: %s", b->fake.n_breaches, b->fake.breach);
	g_atomic_int_inc(&world.n_destroyed);
	fake_clear(&b->fake);
	g_free(b);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct body *b = g_new0(struct body, 1);

	fake_init(&b->fake, 256, 8, 64, 16, 64);
	b->get_ext = b->fake.instance.get_ext;
	b->fake.instance.get_ext = body_ext;
	b->fake.instance.destroy = destroy;
	b->fake.pause_us = 300;
	if (g_atomic_int_add(&world.n_created, 1) == 0)
		b->fake.lose_at = world.lose_first;
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

static const struct weir_backend_life at_start = { .autoload = true };
static const struct weir_backend_life on_demand = { .on_demand = true };
static const struct weir_backend_life by_hand = { .autoload = false };

static struct weir_profile_part *plan_new(char name, struct weir_backend_life life)
{
	struct weir_profile_part *plan = g_new0(struct weir_profile_part, 1);

	plan->section = g_strdup_printf("backend.%c", name);
	plan->component = &component;
	plan->conf = g_array_new(false, false, sizeof(struct weir_kv));
	plan->serves = g_strsplit("m,also", ",", -1);
	plan->life = life;
	return plan;
}

/* "ab": backend.a and backend.b. */
static GPtrArray *plans_new(const char *names, struct weir_backend_life life)
{
	GPtrArray *plans = g_ptr_array_new();

	for (; *names; names++)
		g_ptr_array_add(plans, plan_new(*names, life));
	return plans;
}

static void rung(void *data)
{
}

static void turn(struct rig *r)
{
	weir_models_step(r->models);
	harness_dispatch(&r->h, 1);
}

static void on_entry(void *data, const struct weir_model_entry *e)
{
	g_string_append_printf(data, "%s %s %s %u/%u;", e->id, e->backend + 8, e->state, e->n_ready,
			       e->n_replicas);
}

/* "m a ready 2/2;" */
static char *listed(struct rig *r)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	GString *text = g_string_new(NULL);

	gateway->models(&r->h.host, on_entry, text);
	*strstr(text->str, "also") = '\0';
	return g_string_free(text, FALSE);
}

static void wait_listed(struct rig *r, const char *wanted)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	for (;;) {
		g_autofree char *now = listed(r);

		if (strcmp(now, wanted) == 0)
			return;
		if (g_get_monotonic_time() > give_up) {
			g_autofree char *log = harness_log(&r->h);

			g_error("%s instead of %s in a minute; log: %s", now, wanted, log);
		}
		turn(r);
	}
}

static void wait_set(struct rig *r, const guint *flag)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	while (*flag == 0) {
		turn(r);
		g_assert_cmpint(g_get_monotonic_time(), <, give_up);
	}
}

static void rig_init(struct rig *r, const char *names, int64_t drain_timeout_ms,
		     struct weir_backend_life life)
{
	g_autoptr(GPtrArray) plans = plans_new(names, life);
	struct weir_models_options options = {
		.drain_timeout_ms = drain_timeout_ms, .backoff_ms = 20, .ring = rung, .data = r
	};
	struct weir_error err;

	memset(r, 0, sizeof(*r));
	harness_init(&r->h, NULL);
	options.core = &r->h.core;
	r->models = weir_models_new(&options);
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
	g_assert_cmpint(world.n_created, ==, world.n_destroyed);
	memset(&world, 0, sizeof(world));
}

static void reload(struct rig *r, const char *names)
{
	g_autoptr(GPtrArray) plans = plans_new(names, at_start);

	weir_models_reload(r->models, plans);
	g_assert_cmpuint(plans->len, ==, 0);
}

static void on_told(void *data, const struct weir_model_result *result)
{
	struct told *t = data;

	t->n++;
	t->status = result->status;
	g_strlcpy(t->backend, result->backend, sizeof(t->backend));
	g_strlcpy(t->state, result->state, sizeof(t->state));
	g_strlcpy(t->text, result->text, sizeof(t->text));
}

static void change(struct rig *r, const char *name, uint32_t what, struct told *told)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct weir_error err;

	memset(told, 0, sizeof(*told));
	if (gateway->change_model(&r->h.host, name, what, on_told, told, &err) < 0)
		g_error("%s", err.text);
	wait_set(r, &told->n);
	for (int i = 0; i < 3; i++)
		turn(r);
	g_assert_cmpuint(told->n, ==, 1);
}

static const struct tape_ask ask = {
	.fields = { "kind", "completion", "model", "m", "prompt", "hello world" },
	.sampling = { .size = sizeof(struct weir_sampling),
		      .seed_set = 1,
		      .seed = 4,
		      .temperature = 1,
		      .repeat_last_n = -1 },
	.limits = { .size = sizeof(struct weir_limits), .max_tokens = 60 },
	.credit = 1000,
	.grant_each = 1,
};

static void open_all(struct rig *r, struct tape **t, guint n)
{
	for (guint i = 0; i < n; i++)
		t[i] = tape_open(&r->h, &ask, NULL);
}

/* Each is as if nothing had happened. with_main: it goes on, too. */
static void end_all(struct rig *r, struct tape **t, guint n, const struct tape *whole,
		    bool with_main)
{
	for (guint i = 0; i < n; i++) {
		if (with_main)
			wait_set(r, &t[i]->n_ends);
		else
			harness_until(&r->h, &t[i]->n_ends);
		if (t[i]->status < 0)
			g_error("%s", t[i]->text);
		g_assert_cmpuint(t[i]->n_wrong, ==, 0);
		tape_assert_same(whole, t[i]);
		tape_free(t[i]);
	}
}

static struct tape *undisturbed(void)
{
	struct tape *t;
	struct rig r;

	rig_init(&r, "a", 1000, at_start);
	wait_listed(&r, "m a ready 1/1;");
	t = tape_open(&r.h, &ask, NULL);
	wait_set(&r, &t->n_ends);
	g_assert_cmpint(t->status, ==, WEIR_OK);
	rig_clear(&r);
	return t;
}

/* How many requests each has, in profile order. */
static char *busy(struct rig *r)
{
	g_autoptr(GPtrArray) slots = weir_router_snapshot(r->h.core.router);
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < slots->len; i++)
		g_string_append_printf(text, "%zu ", weir_slot_inflight(slots->pdata[i]));
	return g_string_free(text, FALSE);
}

static void wait_busy(struct rig *r, const char *wanted)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	for (;;) {
		g_autofree char *now = busy(r);

		if (strcmp(now, wanted) == 0)
			return;
		if (g_get_monotonic_time() > give_up)
			g_error("%s instead of %s", now, wanted);
		turn(r);
	}
}

/* Whoever copied a section and forgot its name is told. */
static void test_lines(void)
{
	static const struct {
		const char *names, *line;
	} cases[] = {
		{ "", NULL },
		{ "a", NULL },
		{ "ab", "\"m\" is served by backend.a and backend.b" },
		{ "cab", "\"m\" is served by backend.c, backend.a and backend.b" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GPtrArray) plans = plans_new(cases[i].names, at_start);
		g_autoptr(GPtrArray) lines = weir_replicas_lines(plans);

		g_assert_cmpuint(lines->len, ==, cases[i].line ? 2 : 0); /* m, also */
		if (cases[i].line)
			g_assert_cmpstr(lines->pdata[0], ==, cases[i].line);
		g_ptr_array_set_free_func(plans, (GDestroyNotify)weir_profile_part_free);
	}
}

/* --- tests --------------------------------------------------------------------------------- */

static void test_spread(void)
{
	struct tape *whole = undisturbed(), *t[10];
	struct rig r;

	rig_init(&r, "abc", 1000, at_start);
	wait_listed(&r, "m a ready 3/3;");
	g_atomic_int_set(&world.gate_step, 1);
	open_all(&r, t, 9);
	wait_busy(&r, "3 3 3 ");
	/* One more goes anywhere; one without a model's name is the first one's or its siblings'.
	 */
	t[9] = tape_open(&r.h, &ask, NULL);
	g_atomic_int_set(&world.gate_step, 0);
	end_all(&r, t, 10, whole, true);
	tape_free(whole);
	rig_clear(&r);
}

/* The other one goes on at once: main, which would load a fresh instance, does not even look. */
static void test_lost(void)
{
	struct tape *whole = undisturbed(), *t[8];
	struct rig r;
	g_autofree char *metrics = NULL;

	world.lose_first = 30;
	rig_init(&r, "ab", 1000, at_start);
	wait_listed(&r, "m a ready 2/2;");
	open_all(&r, t, 8);
	end_all(&r, t, 8, whole, false);
	g_assert_cmpint(world.n_created, ==, 2);
	metrics = weir_metric_set_prometheus(r.h.core.metrics);
	g_assert_nonnull(strstr(metrics, "weir_requests_recovered_total 4\n"));
	g_assert_nonnull(strstr(metrics, "weir_backend_losses_total{backend=\"backend.a\"} 1\n"));
	/* New ones go to it as well, until the first is there again. */
	open_all(&r, t, 3);
	end_all(&r, t, 3, whole, false);
	wait_listed(&r, "m a ready 2/2;");
	g_assert_cmpint(world.n_created, ==, 3);
	tape_free(whole);
	rig_clear(&r);
}

static void test_reload(void)
{
	struct tape *whole = undisturbed(), *t[8], *more[2];
	struct rig r;

	rig_init(&r, "a", 10, at_start);
	wait_listed(&r, "m a ready 1/1;");
	g_atomic_int_set(&world.gate_step, 1);
	open_all(&r, t, 2);
	wait_busy(&r, "2 ");
	/* One more: it gets the next ones. */
	reload(&r, "ab");
	wait_listed(&r, "m a ready 2/2;");
	open_all(&r, t + 2, 2);
	wait_busy(&r, "2 2 ");
	/* One less: what it has begun goes on in the other. */
	g_atomic_int_set(&world.gate_step, 0);
	open_all(&r, more, 2);
	while (t[0]->all->len < 10)
		harness_dispatch(&r.h, 5);
	g_atomic_int_set(&world.gate_step, 1);
	reload(&r, "b");
	for (gint64 until = g_get_monotonic_time() + 60000; g_get_monotonic_time() < until;)
		turn(&r);
	g_atomic_int_set(&world.gate_step, 0);
	end_all(&r, t, 4, whole, true);
	end_all(&r, more, 2, whole, true);
	wait_listed(&r, "m b ready 1/1;");
	g_assert_cmpint(world.n_created, ==, 2);
	tape_free(whole);
	rig_clear(&r);
}

static void test_by_hand(void)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct tape *whole = undisturbed(), *t[2];
	struct weir_error err;
	struct told told;
	struct rig r;

	rig_init(&r, "ab", 60000, by_hand);
	wait_listed(&r, "m a unloaded 0/2;");
	change(&r, "backend.b", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	g_assert_cmpstr(told.state, ==, "ready");
	g_assert_cmpstr(told.backend, ==, "backend.b");
	wait_listed(&r, "m b ready 1/2;");
	g_assert_cmpint(world.n_created, ==, 1);
	open_all(&r, t, 2); /* who is not loaded is passed over */
	end_all(&r, t, 2, whole, true);

	g_atomic_int_set(&world.gate_load, 1);
	change(&r, "m", WEIR_MODEL_LOAD, &told);
	g_assert_cmpstr(told.state, ==, "loading"); /* not all are ready */
	g_assert_cmpstr(told.backend, ==, "backend.a");
	wait_listed(&r, "m b ready 1/2;");
	open_all(&r, t, 2);
	end_all(&r, t, 2, whole, true);
	g_atomic_int_set(&world.gate_load, 0);
	change(&r, "also", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	g_assert_cmpstr(told.state, ==, "ready");
	wait_listed(&r, "m a ready 2/2;");

	change(&r, "backend.a", WEIR_MODEL_UNLOAD | WEIR_MODEL_WAIT, &told);
	g_assert_cmpstr(told.state, ==, "unloaded");
	wait_listed(&r, "m b ready 1/2;");
	change(&r, "m", WEIR_MODEL_UNLOAD | WEIR_MODEL_WAIT, &told);
	g_assert_cmpstr(told.state, ==, "unloaded");
	wait_listed(&r, "m a unloaded 0/2;");
	g_assert_cmpint(world.n_destroyed, ==, 2);

	/* One of them cannot be loaded: that is told, by its name, and the other one serves. */
	world.fail_loads = 1;
	change(&r, "m", WEIR_MODEL_LOAD | WEIR_MODEL_WAIT, &told);
	g_assert_cmpint(told.status, ==, WEIR_E_UNAVAILABLE);
	g_assert_true(g_str_has_prefix(told.text, "backend."));
	g_assert_true(g_str_has_suffix(told.text, ": no such device"));
	open_all(&r, t, 2);
	end_all(&r, t, 2, whole, true);
	g_assert_cmpint(gateway->change_model(&r.h.host, "backend.x", WEIR_MODEL_LOAD, on_told,
					      &told, &err),
			==, WEIR_E_NOT_FOUND);
	tape_free(whole);
	rig_clear(&r);
}

/* One load for all who wait; if it fails, the other one gets them. */
static void test_on_demand(void)
{
	struct tape *whole = undisturbed(), *t[4], *late[2];
	struct told told;
	struct rig r;

	rig_init(&r, "ab", 1000, on_demand);
	g_atomic_int_set(&world.gate_load, 1);
	open_all(&r, t, 4);
	for (int i = 0; i < 20; i++)
		turn(&r);
	wait_listed(&r, "m a loading 0/2;");
	g_assert_cmpint(world.n_created, ==, 1);
	g_atomic_int_set(&world.gate_load, 0);
	end_all(&r, t, 4, whole, true);
	wait_listed(&r, "m a ready 1/2;");
	open_all(&r, late, 2);
	end_all(&r, late, 2, whole, true);
	g_assert_cmpint(world.n_created, ==, 1);

	/* They wait for a, b has come meanwhile, and a's load fails. */
	change(&r, "m", WEIR_MODEL_UNLOAD | WEIR_MODEL_WAIT, &told);
	g_atomic_int_set(&world.gate_load, 1);
	open_all(&r, t, 4);
	for (int i = 0; i < 20; i++)
		turn(&r);
	wait_listed(&r, "m b loading 0/2;"); /* the one that was chosen longer ago */
	g_atomic_int_set(&world.fail_loads, 1);
	g_atomic_int_set(&world.gate_load, 0);
	for (int i = 0; i < 4; i++) {
		wait_set(&r, &t[i]->n_ends);
		g_assert_cmpint(t[i]->status, ==, WEIR_E_UNAVAILABLE); /* nobody else was there */
		g_assert_cmpstr(t[i]->text, ==, "backend.b cannot serve: no such device");
		tape_free(t[i]);
	}
	/* The next one tries a. */
	open_all(&r, t, 2);
	end_all(&r, t, 2, whole, true);
	wait_listed(&r, "m a ready 1/2;");
	tape_free(whole);
	rig_clear(&r);
}

/* Who waits for a load that fails goes on to the one that has become ready meanwhile. */
static void test_waits_in_vain(void)
{
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct tape *whole = undisturbed(), *t[3];
	struct told told = { 0 };
	struct weir_error err;
	struct rig r;

	rig_init(&r, "ab", 1000, on_demand);
	g_atomic_int_set(&world.gate_load, 1);
	open_all(&r, t, 3);
	for (int i = 0; i < 20; i++)
		turn(&r);
	wait_listed(&r, "m a loading 0/2;");
	/* b loads, too; it is ready before a's end of loading is looked at. */
	g_assert_cmpint(gateway->change_model(&r.h.host, "backend.b", WEIR_MODEL_LOAD, on_told,
					      &told, &err),
			==, WEIR_OK);
	for (int i = 0; i < 20; i++)
		turn(&r);
	g_assert_cmpint(world.n_created, ==, 2);
	g_atomic_int_set(&world.fail_loads, 1);
	g_atomic_int_set(&world.gate_load, 0);
	for (;;) { /* without main */
		g_autofree char *now = listed(&r);

		if (strstr(now, "ready 1/2") && g_atomic_int_get(&world.fail_loads) == 0)
			break;
		g_usleep(500);
	}
	if (strcmp(told.state, "loading") != 0)
		g_error("%s", told.state);
	/* Either of them may have been the one that failed: if b, there is nothing to see. */
	end_all(&r, t, 3, whole, true);
	tape_free(whole);
	rig_clear(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/replicas/lines", test_lines);
	g_test_add_func("/replicas/spread", test_spread);
	g_test_add_func("/replicas/lost", test_lost);
	g_test_add_func("/replicas/reload", test_reload);
	g_test_add_func("/replicas/by-hand", test_by_hand);
	g_test_add_func("/replicas/on-demand", test_on_demand);
	g_test_add_func("/replicas/waits-in-vain", test_waits_in_vain);
	return g_test_run();
}
