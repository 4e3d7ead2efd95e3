/*
 * tests/unit/test-metrics.c - series, their two documents, hostile names and labels, threads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>
#include <json-glib/json-glib.h>

#include "metrics.h"

static void assert_exposes(const struct weir_metric_set *set, const char *want)
{
	char *text = weir_metric_set_prometheus(set);
	g_assert_cmpstr(text, ==, want);
	free(text);
}

static void test_prometheus(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	weir_metric *ok = weir_metric_counter(set, "requests", "code=\"200\"", "Requests\nseen");
	weir_metric *bad = weir_metric_counter(set, "requests", "code=\"500\"", "ignored");
	weir_metric *depth = weir_metric_gauge(set, "queue_depth", "", "Waiting");
	static const double bounds[] = { 0.1, 1, 10 };
	weir_metric *wait =
		weir_metric_histogram(set, "wait_seconds", "b=\"m\"", "Wait", bounds, 3);
	weir_metric_add(ok, 2);
	weir_metric_add(bad, 0.5);
	weir_metric_set_value(depth, 3);
	weir_metric_add(depth, -1);
	weir_metric_observe(wait, 0.1); /* le is inclusive */
	weir_metric_observe(wait, 0.2);
	weir_metric_observe(wait, 100);
	assert_exposes(set, "# HELP requests_total Requests\\nseen\n"
			    "# TYPE requests_total counter\n"
			    "requests_total{code=\"200\"} 2\n"
			    "requests_total{code=\"500\"} 0.5\n"
			    "# HELP queue_depth Waiting\n"
			    "# TYPE queue_depth gauge\n"
			    "queue_depth 2\n"
			    "# HELP wait_seconds Wait\n"
			    "# TYPE wait_seconds histogram\n"
			    "wait_seconds_bucket{b=\"m\",le=\"0.1\"} 1\n"
			    "wait_seconds_bucket{b=\"m\",le=\"1\"} 2\n"
			    "wait_seconds_bucket{b=\"m\",le=\"10\"} 2\n"
			    "wait_seconds_bucket{b=\"m\",le=\"+Inf\"} 3\n"
			    "wait_seconds_sum{b=\"m\"} 100.3\n"
			    "wait_seconds_count{b=\"m\"} 3\n");
	weir_metric_set_free(set);
}

static void test_same_series(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	weir_metric *a = weir_metric_counter(set, "n", "", "");
	g_assert_true(a == weir_metric_counter(set, "n", "", ""));
	g_assert_true(a == weir_metric_counter(set, "n_total", NULL, NULL));
	g_assert_true(a != weir_metric_counter(set, "n", "x=\"1\"", ""));
	weir_metric *gauge = weir_metric_gauge(set, "g", "", "");
	weir_metric *wrong = weir_metric_histogram(set, "g", "", "", NULL, 0);
	g_assert_nonnull(wrong);
	g_assert_true(wrong != gauge);
	weir_metric_observe(wrong, 5);
	weir_metric_observe(gauge, 5);
	weir_metric_add(a, -1);
	weir_metric_add(a, NAN);
	weir_metric_set_value(a, 9);
	assert_exposes(set, "# HELP n_total \n# TYPE n_total counter\nn_total 0\n"
			    "n_total{x=\"1\"} 0\n# HELP g \n# TYPE g gauge\ng 0\n");
	weir_metric_set_free(set);
}

static void test_hostile_labels(void)
{
	static const struct {
		const char *labels, *want;
	} cases[] = {
		{ "a=\"x\"", "{a=\"x\"}" },
		{ "a=\"x\",b=\"y\"", "{a=\"x\",b=\"y\"}" },
		{ "a=\"say \"hi\"\"", "{a=\"say \\\"hi\\\"\"}" },
		{ "a=\"q\\\"q\"", "{a=\"q\\\"q\"}" },
		{ "a=\"two\nlines\"", "{a=\"two\\nlines\"}" },
		{ "a=\"c:\\dir\"", "{a=\"c:\\\\dir\"}" },
		{ "a=\"\"", "{a=\"\"}" },
		{ "nonsense", "{text=\"nonsense\"}" },
		{ "a=x", "{text=\"a=x\"}" },
		{ "a=\"open", "{text=\"a=\\\"open\"}" },
		{ "1a=\"x\"", "{text=\"1a=\\\"x\\\"\"}" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_metric_set *set = weir_metric_set_new();
		weir_metric_gauge(set, "g", cases[i].labels, "h");
		g_autofree char *want =
			g_strdup_printf("# HELP g h\n# TYPE g gauge\ng%s 0\n", cases[i].want);
		assert_exposes(set, want);
		char *json = weir_metric_set_json(set);
		g_autoptr(JsonNode) node = json_from_string(json, NULL);
		g_assert_nonnull(node);
		free(json);
		weir_metric_set_free(set);
	}
	struct weir_metric_set *set = weir_metric_set_new();
	weir_metric_gauge(set, "9 bad-name", "", "");
	weir_metric_gauge(set, "", "", "");
	weir_metric_gauge(set, "u", "a=\"\xff\"", "\xfe");
	char *text = weir_metric_set_prometheus(set);
	g_assert_nonnull(strstr(text, "\n__bad_name 0\n"));
	g_assert_nonnull(strstr(text, "\nunnamed 0\n"));
	g_assert_true(g_utf8_validate(text, -1, NULL));
	free(text);
	weir_metric_set_free(set);
}

static void test_json(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	static const double bounds[] = { 1, 2, 4 };
	weir_metric_add(weir_metric_counter(set, "c", "k=\"v\"", ""), 7);
	weir_metric_set_value(weir_metric_gauge(set, "g", "", ""), INFINITY);
	weir_metric *h = weir_metric_histogram(set, "h", "", "", bounds, 3);
	for (int i = 0; i < 100; i++)
		weir_metric_observe(h, i < 50 ? 0.5 : 1.5);
	weir_metric_histogram(set, "empty", "", "", bounds, 3);
	char *text = weir_metric_set_json(set);
	g_autoptr(JsonNode) node = json_from_string(text, NULL);
	free(text);
	JsonObject *top = json_node_get_object(node);
	JsonObject *counters = json_object_get_object_member(top, "counters");
	g_assert_cmpfloat(json_object_get_double_member(counters, "c_total{k=\"v\"}"), ==, 7);
	g_assert_true(
		json_object_get_null_member(json_object_get_object_member(top, "gauges"), "g"));
	JsonObject *all = json_object_get_object_member(top, "histograms");
	JsonObject *one = json_object_get_object_member(all, "h");
	g_assert_cmpint(json_object_get_int_member(one, "count"), ==, 100);
	g_assert_cmpfloat(json_object_get_double_member(one, "sum"), ==, 100);
	g_assert_cmpfloat_with_epsilon(json_object_get_double_member(one, "p50"), 1, 1e-9);
	g_assert_cmpfloat_with_epsilon(json_object_get_double_member(one, "p95"), 1.9, 1e-9);
	g_assert_true(
		json_object_get_null_member(json_object_get_object_member(all, "empty"), "p99"));
	weir_metric_set_free(set);
}

static void test_limit(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	for (int i = 0; i < 25000; i++) {
		g_autofree char *labels = g_strdup_printf("i=\"%d\"", i);
		weir_metric *metric = weir_metric_counter(set, "many", labels, "");
		g_assert_nonnull(metric);
		weir_metric_add(metric, 1);
	}
	char *text = weir_metric_set_prometheus(set);
	size_t n = 0;
	for (const char *p = text; (p = strstr(p, "\nmany_total{")); p++)
		n++;
	g_assert_cmpuint(n, ==, 20000);
	free(text);
	weir_metric_set_free(set);
}

static void test_bounds(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	static const double odd[] = { 2, 1, NAN, 3, INFINITY, 3 };
	weir_metric *h = weir_metric_histogram(set, "h", "", "", odd, G_N_ELEMENTS(odd));
	static const double others[] = { 7 };
	weir_metric_histogram(set, "h", "a=\"1\"", "", others, 1);
	weir_metric_observe(h, 2.5);
	weir_metric_observe(h, NAN);
	weir_metric_observe(h, INFINITY);
	assert_exposes(set,
		       "# HELP h \n# TYPE h histogram\n"
		       "h_bucket{le=\"2\"} 0\nh_bucket{le=\"3\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
		       "h_sum 2.5\nh_count 2\n"
		       "h_bucket{a=\"1\",le=\"2\"} 0\nh_bucket{a=\"1\",le=\"3\"} 0\n"
		       "h_bucket{a=\"1\",le=\"+Inf\"} 0\nh_sum{a=\"1\"} 0\nh_count{a=\"1\"} 0\n");
	weir_metric_set_free(set);
}

static void *count(void *data)
{
	struct weir_metric_set *set = data;
	static const double bounds[] = { 1 };
	for (int i = 0; i < 5000; i++) {
		weir_metric_add(weir_metric_counter(set, "c", "", ""), 1);
		weir_metric_observe(weir_metric_histogram(set, "h", "", "", bounds, 1), 0.5);
		if (i % 1000 == 0)
			free(weir_metric_set_json(set));
	}
	return NULL;
}

static void test_threads(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	GThread *threads[4];
	for (size_t i = 0; i < 4; i++)
		threads[i] = g_thread_new("metrics", count, set);
	for (size_t i = 0; i < 4; i++)
		g_thread_join(threads[i]);
	char *text = weir_metric_set_prometheus(set);
	g_assert_nonnull(strstr(text, "\nc_total 20000\n"));
	g_assert_nonnull(strstr(text, "\nh_sum 10000\n"));
	g_assert_nonnull(strstr(text, "\nh_count 20000\n"));
	free(text);
	weir_metric_set_free(set);
}

static void test_extension(void)
{
	struct weir_metric_set *set = weir_metric_set_new();
	struct weir_core core = { .metrics = set };
	struct weir_host host = { .size = sizeof(host), .data = &core };
	const struct weir_metrics *api = weir_metrics_extension();
	api->add(api->counter(&host, "c", "", "help"), 1);
	api->set(api->gauge(&host, "g", "", "help"), 4);
	static const double bounds[] = { 1 };
	api->observe(api->histogram(&host, "h", "", "help", bounds, 1), 2);
	char *text = weir_metric_set_prometheus(set);
	g_assert_nonnull(strstr(text, "\nc_total 1\n"));
	g_assert_nonnull(strstr(text, "\ng 4\n"));
	g_assert_nonnull(strstr(text, "\nh_count 1\n"));
	free(text);
	weir_metric_set_free(set);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/metrics/prometheus", test_prometheus);
	g_test_add_func("/metrics/same-series", test_same_series);
	g_test_add_func("/metrics/hostile-labels", test_hostile_labels);
	g_test_add_func("/metrics/json", test_json);
	g_test_add_func("/metrics/limit", test_limit);
	g_test_add_func("/metrics/bounds", test_bounds);
	g_test_add_func("/metrics/threads", test_threads);
	g_test_add_func("/metrics/extension", test_extension);
	return g_test_run();
}
