/*
 * test-recovery-models.c - backends that are loaded again after a loss, and requests that outlast a
 * backend which is replaced (core/models-lost.c): the one backend of a name, so that its requests
 * wait for its heir.
 */
#include <string.h>

#include "fake-step.h"
#include "models.h"
#include "tape.h"

/* What the instances of one test do; atomic. */
static struct {
	gint n_created, n_destroyed;
	gint lose_at[16]; /* the step at which the n-th instance is lost; 0: never */
	gint lose_all;    /* each is lost at this step */
	gint fail_loads;  /* so many loads fail, from the second instance on */
	gint gate;        /* the first one's steps wait while it is 1 */
	gint other_model; /* from the second instance on */
	gint spare;       /* a second backend serves the name as well */
} world;

struct body {
	struct fake fake;
	gint number;
	const void *(*get_ext)(struct weir_instance *, const char *);
};

struct rig {
	struct harness h;
	struct weir_models *models;
};

/* --- the component ------------------------------------------------------------------------- */

static weir_status load(struct weir_instance *instance, struct weir_model *ret,
			struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	if (b->number > 0 && g_atomic_int_get(&world.fail_loads) > 0) {
		g_atomic_int_add(&world.fail_loads, -1);
		return weir_fail(err, WEIR_E_UNAVAILABLE, "the device is gone");
	}
	return calls->load(instance, ret, err);
}

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	struct body *b = (struct body *)instance->data;
	const struct weir_backend_step *calls = b->get_ext(instance, WEIR_BACKEND_STEP);

	while (b->number == 0 && g_atomic_int_get(&world.gate) &&
	       !g_atomic_int_get(&b->fake.interrupted))
		g_usleep(200);
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

	b->number = g_atomic_int_add(&world.n_created, 1);
	fake_init(&b->fake, 256, 8, 64, 16, 64);
	b->get_ext = b->fake.instance.get_ext;
	b->fake.instance.get_ext = body_ext;
	b->fake.instance.destroy = destroy;
	b->fake.pause_us = 300;
	b->fake.lose_at = world.lose_all ? world.lose_all : world.lose_at[b->number % 16];
	if (b->number > 0 && g_atomic_int_get(&world.other_model))
		b->fake.model.name = "another";
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

static struct weir_profile_part *plan_new(const char *name, const char *version,
					  struct weir_backend_life life)
{
	struct weir_profile_part *plan = g_new0(struct weir_profile_part, 1);
	struct weir_kv kv = { "version", g_strdup(version) };

	plan->section = g_strdup_printf("backend.%c", name[strlen(name) - 1] == '*' ? 'b' : 'a');
	plan->component = &component;
	plan->conf = g_array_new(false, false, sizeof(struct weir_kv));
	g_array_append_val(plan->conf, kv);
	plan->serves = g_strsplit(name, ",", -1);
	plan->life = life;
	return plan;
}

static void rung(void *data)
{
}

static void turn(struct rig *r)
{
	weir_models_step(r->models);
	harness_dispatch(&r->h, 1);
}

static void wait_end(struct rig *r, const struct tape *t)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	while (t->n_ends == 0) {
		turn(r);
		if (g_get_monotonic_time() > give_up) {
			g_autofree char *log = harness_log(&r->h);

			g_error("nothing came in a minute; log: %s", log);
		}
	}
}

static const char *state(struct rig *r)
{
	switch (weir_router_state(r->h.core.router)) {
	case WEIR_ROUTER_READY:
		return "ready";
	case WEIR_ROUTER_FAILED:
		return "failed";
	default:
		return "loading";
	}
}

static void wait_state(struct rig *r, const char *wanted)
{
	gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

	while (strcmp(state(r), wanted) != 0) {
		turn(r);
		g_assert_cmpint(g_get_monotonic_time(), <, give_up);
	}
}

static void rig_init(struct rig *r, int64_t drain_timeout_ms, struct weir_backend_life life)
{
	g_autoptr(GPtrArray) plans = g_ptr_array_new();
	struct weir_models_options options = {
		.drain_timeout_ms = drain_timeout_ms, .backoff_ms = 20, .ring = rung, .data = r
	};
	struct weir_error err;

	memset(r, 0, sizeof(*r));
	harness_init(&r->h, NULL);
	options.core = &r->h.core;
	r->models = weir_models_new(&options);
	g_ptr_array_add(plans, plan_new("a", "1", life));
	if (world.spare)
		g_ptr_array_add(plans, plan_new("a*", "1", life));
	if (weir_models_create(r->models, plans, &err) < 0 ||
	    weir_models_start(r->models, &err) < 0)
		g_error("%s", err.text);
	harness_start(&r->h);
	wait_state(r, "ready");
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

static void reload(struct rig *r, const char *version, struct weir_backend_life life)
{
	g_autoptr(GPtrArray) plans = g_ptr_array_new();

	g_ptr_array_add(plans, plan_new("a", version, life));
	weir_models_reload(r->models, plans);
}

static const struct weir_backend_life at_start = { .autoload = true };
static const struct weir_backend_life beside = { .autoload = true, .beside = true };

static const struct tape_ask ask = {
	.fields = { "kind", "completion", "model", "a", "prompt", "hello world" },
	.sampling = { .size = sizeof(struct weir_sampling),
		      .seed_set = 1,
		      .seed = 4,
		      .temperature = 1,
		      .repeat_last_n = -1 },
	.limits = { .size = sizeof(struct weir_limits), .max_tokens = 60 },
	.credit = 1000,
	.grant_each = 1,
};

static struct tape *undisturbed(const struct tape_ask *what)
{
	struct tape *t;
	struct rig r;

	rig_init(&r, 1000, at_start);
	t = tape_open(&r.h, what, NULL);
	wait_end(&r, t);
	g_assert_cmpint(t->status, ==, WEIR_OK);
	rig_clear(&r);
	return t;
}

/* --- losses -------------------------------------------------------------------------------- */

/* Eight at once wait for the heir, and go on. */
static void test_again(void)
{
	struct tape *whole = undisturbed(&ask), *t[8];
	struct rig r;

	world.lose_at[0] = 30;
	rig_init(&r, 1000, at_start);
	for (int i = 0; i < 8; i++)
		t[i] = tape_open(&r.h, &ask, NULL);
	for (int i = 0; i < 8; i++) {
		wait_end(&r, t[i]);
		if (t[i]->status < 0)
			g_error("%s", t[i]->text);
		tape_assert_same(whole, t[i]);
		tape_free(t[i]);
	}
	g_assert_cmpint(world.n_created, ==, 2);
	tape_free(whole);
	rig_clear(&r);
}

/* The device needs a while: two loads fail. */
static void test_late(void)
{
	struct tape *whole = undisturbed(&ask), *t;
	struct rig r;

	world.lose_at[0] = 30;
	world.fail_loads = 2;
	rig_init(&r, 1000, at_start);
	t = tape_open(&r.h, &ask, NULL);
	wait_end(&r, t);
	if (t->status < 0)
		g_error("%s", t->text);
	tape_assert_same(whole, t);
	g_assert_cmpint(world.n_created, ==, 4);
	tape_free(t);
	tape_free(whole);
	rig_clear(&r);
}

/* Too often: it stays failed, requests are refused, and a load by hand brings it back. */
static void test_hopeless(void)
{
	struct weir_error err = { 0 };
	struct tape *t[4], *late;
	struct rig r;

	world.lose_all = 1;
	rig_init(&r, 1000, at_start);
	for (int i = 0; i < 4; i++)
		t[i] = tape_open(&r.h, &ask, NULL);
	for (int i = 0; i < 4; i++) {
		wait_end(&r, t[i]);
		g_assert_cmpint(t[i]->status, <, 0);
		g_assert_cmpuint(t[i]->n_wrong, ==, 0);
		tape_free(t[i]);
	}
	/* Each loss took somebody; those that are left are asked until nothing is loaded again. */
	for (int i = 0; i < 8; i++) {
		for (int k = 0; k < 100; k++)
			turn(&r);
		if (strcmp(state(&r), "failed") == 0)
			break;
		wait_state(&r, "ready");
		late = tape_open(&r.h, &ask, NULL);
		wait_end(&r, late);
		g_assert_cmpint(late->status, <, 0);
		tape_free(late);
	}
	g_assert_cmpstr(state(&r), ==, "failed");
	g_assert_cmpint(world.n_created, ==, 4);
	{
		const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
		struct tape *refused = tape_new(0);
		struct weir_kv kv[] = { { "kind", "completion" }, { "model", "a" } };

		g_assert_cmpint(gateway->open(&r.h.host, r.h.loop,
					      gateway->request_new(&r.h.host, kv, 2, NULL, NULL),
					      &tape_sink, refused, 1, &refused->stream, &err),
				<, 0);
		tape_free(refused);
		world.lose_all = 0;
		g_assert_cmpint(
			gateway->change_model(&r.h.host, "a", WEIR_MODEL_LOAD, NULL, NULL, &err),
			==, WEIR_OK);
	}
	wait_state(&r, "ready");
	late = tape_open(&r.h, &ask, NULL);
	wait_end(&r, late);
	g_assert_cmpint(late->status, ==, WEIR_OK);
	tape_free(late);
	rig_clear(&r);
}

/* Cancelled, and out of time, while nothing is there to serve it. */
static void test_gone(void)
{
	struct tape_ask brief = ask;
	struct tape *a, *b;
	struct rig r;

	world.lose_at[0] = 5;
	world.fail_loads = 1000;
	rig_init(&r, 1000, at_start);
	brief.limits.deadline_ns = weir_clock_ns() + 300 * 1000000;
	a = tape_open(&r.h, &ask, NULL);
	b = tape_open(&r.h, &brief, NULL);
	while (a->all->len < 2)
		harness_dispatch(&r.h, 5);
	/* Main does not look: both wait where they were. */
	g_usleep(50000);
	weir_stream_cancel(a->stream, WEIR_E_CANCELLED);
	harness_until(&r.h, &a->n_ends);
	harness_until(&r.h, &b->n_ends);
	g_assert_cmpint(a->status, ==, WEIR_E_CANCELLED);
	g_assert_cmpint(b->status, ==, WEIR_E_DEADLINE);
	tape_free(a);
	tape_free(b);
	rig_clear(&r);
}

/* The server ends while requests wait for an heir. */
static void test_shutdown(void)
{
	struct tape *t;
	struct rig r;

	world.lose_at[0] = 5;
	rig_init(&r, 1000, at_start);
	t = tape_open(&r.h, &ask, NULL);
	while (t->all->len < 2)
		harness_dispatch(&r.h, 5);
	g_usleep(20000);
	weir_models_drain(r.models);
	wait_end(&r, t);
	g_assert_cmpint(t->status, ==, WEIR_E_UNAVAILABLE);
	tape_free(t);
	rig_clear(&r);
}

/* --- replacement --------------------------------------------------------------------------- */

static void check_reload(struct weir_backend_life life, bool same_model)
{
	struct tape *whole = undisturbed(&ask), *t;
	struct rig r;

	rig_init(&r, 10, life);
	t = tape_open(&r.h, &ask, NULL);
	while (t->all->len < 10)
		harness_dispatch(&r.h, 5);
	g_atomic_int_set(&world.gate, 1);
	world.other_model = !same_model;
	reload(&r, "2", life);
	for (gint64 until = g_get_monotonic_time() + 60000; g_get_monotonic_time() < until;)
		turn(&r);
	g_assert_cmpuint(t->n_ends, ==, 0);
	g_atomic_int_set(&world.gate, 0);
	wait_end(&r, t);
	g_assert_cmpuint(t->n_wrong, ==, 0);
	if (same_model) {
		tape_assert_same(whole, t);
	} else {
		g_assert_cmpint(t->status, ==, WEIR_E_NO_MODEL);
		g_assert_true(g_str_has_prefix(whole->choice[0]->str, t->choice[0]->str));
	}
	wait_state(&r, "ready");
	g_assert_cmpint(world.n_created, ==, 2);
	tape_free(t);
	tape_free(whole);
	rig_clear(&r);
}

static void test_beside(void)
{
	check_reload(beside, true);
	check_reload(beside, false);
}

static void test_after(void)
{
	check_reload(at_start, true);
	check_reload(at_start, false);
}

/* By hand there is no heir: as ever, unless another backend serves the name. */
static void check_unload(bool spare)
{
	struct tape *whole = undisturbed(&ask);
	const struct weir_gateway *gateway = weir_gateway_extension(WEIR_HOST_GATEWAY);
	struct weir_error err;
	struct tape *t;
	struct rig r;

	world.spare = spare;
	rig_init(&r, 10, at_start);
	t = tape_open(&r.h, &ask, NULL);
	while (t->all->len < 10)
		harness_dispatch(&r.h, 5);
	g_atomic_int_set(&world.gate, 1);
	g_assert_cmpint(gateway->change_model(&r.h.host, "a", WEIR_MODEL_UNLOAD, NULL, NULL, &err),
			==, WEIR_OK);
	for (gint64 until = g_get_monotonic_time() + 60000; g_get_monotonic_time() < until;)
		turn(&r);
	g_atomic_int_set(&world.gate, 0);
	wait_end(&r, t);
	if (spare)
		tape_assert_same(whole, t);
	else
		g_assert_cmpint(t->status, ==, WEIR_E_NO_MODEL);
	tape_free(t);
	tape_free(whole);
	rig_clear(&r);
}

static void test_unload(void)
{
	check_unload(false);
	check_unload(true);
}

/* Replaced again and again, and lost once, under streams with slow readers among them. */
static void test_churn(void)
{
	struct tape *whole = undisturbed(&ask), *t[8] = { NULL };
	gint64 next = 0, give_up = g_get_monotonic_time() + 100 * G_USEC_PER_SEC;
	guint n_opened = 0, n_over = 0, n_reloads = 0;
	struct rig r;

	world.lose_at[3] = 7;
	rig_init(&r, 1, beside);
	while (n_over < 60) {
		for (int i = 0; i < 8; i++) {
			struct tape_ask one = ask;

			if (t[i] && t[i]->n_ends > 0) {
				if (t[i]->status < 0)
					g_error("%u: %s", n_over, t[i]->text);
				tape_assert_same(whole, t[i]);
				g_clear_pointer(&t[i], tape_free);
				n_over++;
			}
			if (t[i] && t[i]->stream && !t[i]->grant_each)
				weir_stream_grant(t[i]->stream, 3);
			if (t[i] || n_opened >= 60 || strcmp(state(&r), "ready") != 0)
				continue;
			one.grant_each = n_opened++ % 2;
			one.credit = one.grant_each ? 1000 : 2;
			t[i] = tape_open(&r.h, &one, NULL);
		}
		if (g_get_monotonic_time() > next && n_reloads < 12) {
			g_autofree char *version = g_strdup_printf("v%u", n_reloads++);

			reload(&r, version, beside);
			next = g_get_monotonic_time() + 25000;
		}
		turn(&r);
		g_assert_cmpint(g_get_monotonic_time(), <, give_up);
	}
	g_assert_cmpint(world.n_created, >, 3);
	tape_free(whole);
	rig_clear(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/recovery-models/again", test_again);
	g_test_add_func("/recovery-models/late", test_late);
	g_test_add_func("/recovery-models/hopeless", test_hopeless);
	g_test_add_func("/recovery-models/gone", test_gone);
	g_test_add_func("/recovery-models/shutdown", test_shutdown);
	g_test_add_func("/recovery-models/beside", test_beside);
	g_test_add_func("/recovery-models/after", test_after);
	g_test_add_func("/recovery-models/unload", test_unload);
	g_test_add_func("/recovery-models/churn", test_churn);
	return g_test_run();
}
