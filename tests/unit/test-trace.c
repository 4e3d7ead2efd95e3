/* The recorder of spans: its ring, its limits, its threads, and the JSON that is read from it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glib.h>
#include <json-glib/json-glib.h>

#include "host.h"
#include "trace.h"

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void add(struct weir_trace *t, const char *name, uint64_t row, int64_t from, int64_t length,
		int64_t value)
{
	const struct weir_trace_arg arg = { "value", value };

	weir_trace_add(t, &(struct weir_trace_span){ .size = sizeof(struct weir_trace_span),
						     .category = "test",
						     .name = name,
						     .label = { "who", 3 },
						     .row = row,
						     .start_ns = from,
						     .duration_ns = length,
						     .args = &arg,
						     .n_args = 1 });
}

static void start(struct weir_trace *t, uint32_t events)
{
	struct weir_error err;

	g_assert_cmpint(weir_trace_start(t, 60, events, &err), ==, WEIR_OK);
}

/* The complete document, parsed; *ret_spans: those that are spans, in order. */
static JsonNode *read_all(struct weir_trace *t, GPtrArray **ret_spans)
{
	g_autoptr(GString) text = g_string_new(NULL);
	weir_trace_reader *r = weir_trace_open(t);
	g_autoptr(GError) error = NULL;
	JsonArray *events;
	JsonNode *root;
	char *piece;

	g_assert_nonnull(r);
	while ((piece = weir_trace_next(r)) != NULL) {
		g_assert_cmpuint(strlen(piece), <, 32768);
		g_string_append(text, piece);
		free(piece);
	}
	g_assert_null(weir_trace_next(r));
	weir_trace_close(r);
	root = json_from_string(text->str, &error);
	g_assert_no_error(error);
	events = json_object_get_array_member(json_node_get_object(root), "traceEvents");
	*ret_spans = g_ptr_array_new();
	for (guint i = 0; i < json_array_get_length(events); i++) {
		JsonObject *e = json_array_get_object_element(events, i);

		if (strcmp(json_object_get_string_member(e, "ph"), "X") == 0)
			g_ptr_array_add(*ret_spans, e);
	}
	return root;
}

static int64_t value_of(const GPtrArray *spans, guint i)
{
	JsonObject *args = json_object_get_object_member(spans->pdata[i], "args");

	return json_object_get_int_member(args, "value");
}

static void test_off(void)
{
	struct weir_trace *t = weir_trace_new();
	char *state;

	g_assert_false(weir_trace_on(NULL));
	g_assert_false(weir_trace_on(t));
	add(t, "nobody looks", 0, 1, 1, 1);
	weir_trace_since(t, "test", "nor here", NULL, 1, NULL);
	weir_trace_stop(t);
	g_assert_null(weir_trace_open(t));
	state = weir_trace_state(t);
	g_assert_cmpstr(state, ==,
			"{\"state\":\"off\",\"seconds\":0,\"capacity\":0,\"events\":0,"
			"\"dropped\":0,\"elapsed\":0.000}");
	free(state);
	weir_trace_free(t);
	weir_trace_free(NULL);
}

static void test_limits(void)
{
	static const struct {
		uint32_t seconds, events;
		const char *word;
	} bad[] = { { 0, 100, "seconds" },
		    { WEIR_TRACE_MAX_SECONDS + 1, 100, "seconds" },
		    { 1, WEIR_TRACE_MIN_EVENTS - 1, "events" },
		    { 1, WEIR_TRACE_MAX_EVENTS + 1, "events" },
		    { 1, UINT32_MAX, "events" } };
	struct weir_trace *t = weir_trace_new();
	struct weir_error err;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_assert_cmpint(weir_trace_start(t, bad[i].seconds, bad[i].events, &err), ==,
				WEIR_E_INVALID);
		g_assert_nonnull(strstr(err.text, bad[i].word));
		g_assert_false(weir_trace_on(t));
	}
	start(t, 16);
	g_assert_true(weir_trace_on(t));
	g_assert_cmpint(weir_trace_start(t, 1, 16, &err), ==, WEIR_E_QUEUE_FULL);
	weir_trace_stop(t);
	g_assert_false(weir_trace_on(t));
	start(t, 16);
	weir_trace_free(t);
}

static void test_wrap(void)
{
	struct weir_trace *t = weir_trace_new();
	g_autoptr(GPtrArray) spans = NULL;
	g_autoptr(JsonNode) root = NULL;
	char *state;

	start(t, 16);
	for (int i = 0; i < 1000; i++)
		add(t, "span", 0, 1000 * i, 500, i);
	weir_trace_stop(t);
	add(t, "too late", 0, 1, 1, -1);
	root = read_all(t, &spans);
	g_assert_cmpuint(spans->len, ==, 16);
	for (guint i = 0; i < 16; i++) {
		g_assert_cmpint(value_of(spans, i), ==, 984 + (int)i);
		g_assert_cmpfloat(json_object_get_double_member(spans->pdata[i], "ts"), ==,
				  984 + (double)i);
		g_assert_cmpfloat(json_object_get_double_member(spans->pdata[i], "dur"), ==, 0.5);
	}
	state = weir_trace_state(t);
	g_assert_nonnull(strstr(state, "\"state\":\"stopped\""));
	g_assert_nonnull(strstr(state, "\"events\":16,\"dropped\":984"));
	free(state);
	weir_trace_free(t);
}

/* Rows share lines only where they do not overlap. */
static void test_lines(void)
{
	static const struct {
		int64_t from, to, line;
	} rows[] = { { 0, 100, 1 },   { 50, 150, 2 },  { 100, 200, 1 },
		     { 120, 130, 3 }, { 150, 160, 2 }, { 155, 300, 3 } };
	struct weir_trace *t = weir_trace_new();
	g_autoptr(GPtrArray) spans = NULL;
	g_autoptr(JsonNode) root = NULL;

	start(t, 100);
	for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint64_t row = weir_trace_new_row(t);

		g_assert_cmpuint(row, ==, i + 1);
		add(t, "inner", row, rows[i].from, 1, i);
		add(t, "outer", row, rows[i].from, rows[i].to - rows[i].from, i);
	}
	root = read_all(t, &spans);
	g_assert_cmpuint(spans->len, ==, 2 * G_N_ELEMENTS(rows));
	for (guint i = 0; i < spans->len; i++) {
		g_assert_cmpint(json_object_get_int_member(spans->pdata[i], "pid"), ==, 2);
		g_assert_cmpint(json_object_get_int_member(spans->pdata[i], "tid"), ==,
				rows[i / 2].line);
	}
	weir_trace_free(t);
}

/* What comes from outside is cut and escaped. */
static void test_text(void)
{
	static const char name[] = "a\"b\\c\n \xff\xc3\xa4 and much longer than what is kept";
	static const char label[] = "0123456789012345678901234567890123456789012345\xc3\xa4";
	struct weir_trace_arg args[10];
	struct weir_trace *t = weir_trace_new();
	g_autoptr(GPtrArray) spans = NULL;
	g_autoptr(JsonNode) root = NULL;
	JsonObject *o;

	for (size_t i = 0; i < G_N_ELEMENTS(args); i++)
		args[i] = (struct weir_trace_arg){ "a name that is far too long", INT64_MIN };
	start(t, 16);
	weir_trace_add(t, &(struct weir_trace_span){ .size = sizeof(struct weir_trace_span),
						     .category = NULL,
						     .name = name,
						     .label = { label, strlen(label) },
						     .start_ns = now_ns(),
						     .duration_ns = -5,
						     .args = args,
						     .n_args = G_N_ELEMENTS(args) });
	root = read_all(t, &spans);
	g_assert_cmpuint(spans->len, ==, 1);
	o = spans->pdata[0];
	g_assert_true(g_str_has_prefix(json_object_get_string_member(o, "name"), "a\"b\\c\n "));
	g_assert_cmpstr(json_object_get_string_member(o, "cat"), ==, "");
	g_assert_cmpfloat(json_object_get_double_member(o, "dur"), ==, 0);
	o = json_object_get_object_member(o, "args");
	g_assert_cmpstr(json_object_get_string_member(o, "of"), ==,
			"0123456789012345678901234567890123456789012345");
	g_assert_cmpint(json_object_get_int_member(o, "a name that is "), ==, INT64_MIN);
	weir_trace_free(t);
}

/* As a plugin sees it. */
static void test_extension(void)
{
	struct weir_core core = { .trace = weir_trace_new() };
	struct weir_host host;
	const struct weir_trace_api *api;
	struct weir_error err;
	g_autoptr(GPtrArray) spans = NULL;
	g_autoptr(JsonNode) root = NULL;
	struct weir_trace_span span = { .size = sizeof(span),
					.category = "device",
					.name = "kernel",
					.start_ns = 5000,
					.duration_ns = 1000 };

	weir_host_init(&host, &core, "backend.x");
	api = host.get_ext(&host, WEIR_HOST_TRACE);
	g_assert_true(WEIR_HAS(struct weir_trace_api, api, close));
	g_assert_false(api->enabled(&host));
	api->span(&host, &span);
	g_assert_cmpint(api->start(&host, 10, 16, &err), ==, WEIR_OK);
	g_assert_true(api->enabled(&host));
	span.row = api->new_row(&host);
	api->span(&host, &span);
	span.size = 8; /* what is not a whole span is not taken */
	api->span(&host, &span);
	api->stop(&host);
	g_assert_false(api->enabled(&host));
	root = read_all(core.trace, &spans);
	g_assert_cmpuint(spans->len, ==, 1);
	g_assert_cmpstr(json_object_get_string_member(spans->pdata[0], "name"), ==, "kernel");
	weir_trace_free(core.trace);
	core.trace = NULL;
	g_assert_null(host.get_ext(&host, WEIR_HOST_TRACE));
}

static void *record(void *data)
{
	struct weir_trace *t = data;

	for (int i = 0; i < 20000; i++) {
		int64_t began = now_ns();

		if (weir_trace_on(t))
			add(t, "span", i % 3 ? 0 : weir_trace_new_row(t), began, 10, i);
	}
	return NULL;
}

/* Starts, stops and readers while four threads record. */
static void test_threads(void)
{
	struct weir_trace *t = weir_trace_new();
	struct weir_error err;
	pthread_t threads[4];

	start(t, 64);
	for (int i = 0; i < 4; i++)
		g_assert_cmpint(pthread_create(&threads[i], NULL, record, t), ==, 0);
	for (int i = 0; i < 200; i++) {
		GPtrArray *spans;
		JsonNode *root = read_all(t, &spans);

		g_assert_cmpuint(spans->len, <=, 256);
		json_node_unref(root);
		g_ptr_array_unref(spans);
		if (i % 10 == 9)
			weir_trace_stop(t);
		free(weir_trace_state(t));
		(void)weir_trace_start(t, 1, 16u << (i % 5), &err);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	weir_trace_free(t);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/trace/off", test_off);
	g_test_add_func("/trace/limits", test_limits);
	g_test_add_func("/trace/wrap", test_wrap);
	g_test_add_func("/trace/lines", test_lines);
	g_test_add_func("/trace/text", test_text);
	g_test_add_func("/trace/extension", test_extension);
	g_test_add_func("/trace/threads", test_threads);
	return g_test_run();
}
