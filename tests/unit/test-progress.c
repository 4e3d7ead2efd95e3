/*
 * test-progress.c - calls of a backend that do not return (core/scheduler-progress.c,
 * core/gateway-hang.c): where the scheduler is said to be, and that a hung one is told of once.
 */
#include <string.h>

#include "fake-step.h"
#include "gateway-router.h"
#include "harness.h"
#include "scheduler-progress.h"

static void test_marks(void)
{
	static struct weir_progress p;
	struct weir_progress_view v;
	int places[WEIR_PROGRESS_PLACES];

	weir_progress_look(&p, &v);
	g_assert_null(v.section);
	weir_progress_mark(&p, "step()");
	g_usleep(2000);
	weir_progress_look(&p, &v);
	g_assert_cmpstr(v.section, ==, "step()");
	g_assert_cmpint(v.ns, >=, 2000000);
	g_assert_cmpuint(v.count, ==, 0);
	places[0] = weir_progress_enter(&p);
	weir_progress_look(&p, &v);
	g_assert_cmpstr(v.section, ==, "step()"); /* the older one */
	weir_progress_mark(&p, NULL);
	weir_progress_look(&p, &v);
	g_assert_cmpstr(v.section, ==, "prepare");
	g_assert_cmpuint(v.count, ==, 1);
	for (int i = 1; i < WEIR_PROGRESS_PLACES; i++)
		g_assert_cmpint(places[i] = weir_progress_enter(&p), >=, 0);
	g_assert_cmpint(weir_progress_enter(&p), ==, -1);
	weir_progress_leave(&p, -1);
	for (int i = 0; i < WEIR_PROGRESS_PLACES; i++)
		weir_progress_leave(&p, places[i]);
	weir_progress_look(&p, &v);
	g_assert_null(v.section);
	weir_progress_mark(&p, NULL); /* waiting twice is no progress */
	weir_progress_look(&p, &v);
	g_assert_cmpuint(v.count, ==, 1);
}

static void keep(void *data, const char *json)
{
	g_string_append(data, json);
}

/* Whether the status says it, and the metric agrees. ret_where: whether it is said to be in step().
 */
static gboolean is_hung(struct harness *h, gboolean *ret_where)
{
	g_autoptr(GString) json = g_string_new(NULL);
	g_autofree char *metrics = NULL;
	gboolean hung;

	weir_router_status(h->core.router, NULL, NULL, keep, json);
	weir_router_measure(h->core.router);
	metrics = weir_metric_set_prometheus(h->core.metrics);
	g_assert_nonnull(strstr(json->str, "\"progress\":{\"count\":"));
	hung = strstr(json->str, "\"hung\":true") != NULL;
	*ret_where = strstr(json->str, "\"section\":\"step()\",\"seconds\":") != NULL;
	g_assert_nonnull(strstr(metrics, "weir_backend_hung{backend=\"backend.fake\"} "));
	return hung && strstr(metrics, "weir_backend_hung{backend=\"backend.fake\"} 1\n");
}

static void run(int64_t hang_timeout_ms, gboolean hangs)
{
	static const char *const serves[] = { "fake-model", NULL };
	static const struct weir_limits limits = { .size = sizeof(limits), .max_tokens = 8 };
	struct harness h;
	struct fake fake;
	struct weir_backend_binding b = { "backend.fake", &fake.instance, serves, "fake" };
	struct weir_error err = { 0 };
	struct seen *seen = seen_new(1);
	g_autoptr(GPtrArray) slots = NULL;
	g_autofree char *log = NULL;
	gboolean in_step;
	const char *told;

	harness_init(&h, NULL);
	fake_init(&fake, 90, 4, 12, 4, 60);
	g_assert_cmpint(weir_router_add_backend(h.core.router, &b, &err), ==, WEIR_OK);
	slots = weir_router_snapshot(h.core.router);
	weir_slot_set_hang_timeout(slots->pdata[0], hang_timeout_ms);
	g_atomic_int_set(&fake.gate, 1);
	harness_start(&h);
	while (weir_router_state(h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
	g_assert_cmpint(harness_open(&h, seen, 100, NULL, &limits, &err, "kind", "completion",
				     "model", "fake-model", "prompt", "hello", NULL),
			==, WEIR_OK);
	if (hangs)
		while (!is_hung(&h, &in_step))
			g_usleep(20000);
	g_usleep(1500000);
	g_assert_cmpint(is_hung(&h, &in_step), ==, hangs);
	g_assert_true(in_step);
	g_atomic_int_set(&fake.gate, 0);
	harness_until(&h, &seen->n_ends);
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	while (atomic_load(&((struct weir_slot *)slots->pdata[0])->hung))
		g_usleep(20000);
	log = harness_log(&h);
	told = strstr(log, "backend.fake: step() has not returned for");
	g_assert_cmpint(told != NULL, ==, hangs);
	if (hangs) {
		g_assert_nonnull(strstr(told, "1 requests wait for it"));
		g_assert_nonnull(strstr(told, "isolation = process"));
		g_assert_null(strstr(strstr(told, "returned"), "has not returned"));
		g_assert_nonnull(strstr(log, "backend.fake gets on again"));
	}
	g_ptr_array_unref(g_steal_pointer(&slots));
	harness_clear(&h);
	fake_clear(&fake);
	seen_free(seen);
}

static void test_hung(void)
{
	run(700, TRUE);
}

static void test_patient(void)
{
	run(60000, FALSE);
	run(0, FALSE);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/progress/marks", test_marks);
	g_test_add_func("/progress/hung", test_hung);
	g_test_add_func("/progress/patient", test_patient);
	return g_test_run();
}
