/*
 * tests/unit/test-api-errors.c - every status of the host as HTTP, in both shapes (001-14..16,
 * 001u-2, C1, C4, C5).
 */
#include <string.h>

#include <glib.h>

#include <api/errors.h>
#include <api/json-check.h>

static const struct weir_str none = { NULL, 0 };

static struct weir_str str(const char *s)
{
	return (struct weir_str){ s, strlen(s) };
}

static void test_mapping(void)
{
	static const struct {
		weir_status status;
		int openai, fastapi;
		const char *code, *message; /* message NULL: the host's own */
		uint32_t retry;
	} cases[] = {
		{ WEIR_E_INVALID, 400, 422, "invalid_value", NULL, 0 },
		{ WEIR_E_UNAUTH, 401, 401, "invalid_api_key", NULL, 0 },
		{ WEIR_E_DENIED, 403, 403, "permission_denied", NULL, 0 },
		{ WEIR_E_NOT_FOUND, 404, 404, "model_not_found", "model not found", 0 },
		{ WEIR_E_RATE_LIMITED, 429, 429, "rate_limit_exceeded", NULL, 7 },
		{ WEIR_E_EXHAUSTED, 507, 507, "insufficient_memory", "insufficient memory", 0 },
		{ WEIR_E_DEADLINE, 504, 504, "timeout", "request timeout", 0 },
		{ WEIR_E_QUEUE_FULL, 503, 503, "queue_full", NULL, 7 },
		{ WEIR_E_UNAVAILABLE, 503, 503, "unavailable", NULL, 7 },
		{ WEIR_E_NO_MODEL, 503, 500, "model_not_loaded", NULL, 7 },
		{ WEIR_E_OUT_OF_RANGE, 400, 422, "context_length_exceeded", NULL, 0 },
		{ WEIR_E_UNSUPPORTED, 400, 422, "unsupported_value", NULL, 0 },
		{ WEIR_E_INTERNAL, 500, 500, "backend_error", "inference failed", 0 },
		{ -4711, 500, 500, "backend_error", "inference failed", 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct api_error e;
		api_error_from_status(&e, API_PROFILE_OPENAI, cases[i].status, str("own text"),
				      none, 6001);
		g_assert_cmpint(e.status, ==, cases[i].openai);
		g_assert_cmpstr(e.code, ==, cases[i].code);
		g_assert_cmpstr(e.message, ==, cases[i].message ? cases[i].message : "own text");
		g_assert_cmpuint(e.retry_after_s, ==, cases[i].retry);
		g_assert_cmpstr(e.type, ==,
				cases[i].openai >= 500   ? "server_error"
				: cases[i].openai == 429 ? "rate_limit_error"
							 : "invalid_request_error");
		api_error_from_status(&e, API_PROFILE_FASTAPI, cases[i].status, none, none, 0);
		g_assert_cmpint(e.status, ==, cases[i].fastapi);
		g_assert_cmpuint(strlen(e.message), >, 0);
		g_assert_cmpstr(api_status_text(e.status), !=, "Unknown");
		g_assert_cmpuint(e.retry_after_s, ==, cases[i].retry ? 5 : 0); /* 003-12 */
	}
}

static void is_body(const struct api_error_list *l, enum api_profile profile, const char *body)
{
	struct buf b = { NULL, 0, 0 };
	struct json_fault f;
	api_error_body(&b, l->items, l->n, profile);
	g_assert_true(json_check(b.data, b.len, &f));
	g_assert_cmpstr(buf_terminate(&b), ==, body);
	buf_free(&b);
}

static void test_shapes(void)
{
	struct api_error_list l = { .profile = API_PROFILE_OPENAI };
	api_error_missing(&l, "model");
	api_error_field(&l, NULL, "temperature", "temperature must be between %d and %d", 0, 2);
	g_assert_cmpint(l.items[0].status, ==, 400);
	is_body(&l, API_PROFILE_OPENAI,
		"{\"error\":{\"message\":\"model is required\",\"type\":\"invalid_request_error\","
		"\"param\":\"model\",\"code\":\"invalid_value\"}}");
	is_body(&l, API_PROFILE_FASTAPI,
		"{\"detail\":[{\"loc\":[\"body\",\"model\"],\"msg\":\"model is required\","
		"\"type\":\"missing\"},{\"loc\":[\"body\",\"temperature\"],"
		"\"msg\":\"temperature must be between 0 and 2\",\"type\":\"value_error\"}]}");
	struct api_error_list other = { .n = 1 };
	api_error_set(&other.items[0], 404, NULL, "endpoint not found");
	is_body(&other, API_PROFILE_OPENAI,
		"{\"error\":{\"message\":\"endpoint not found\","
		"\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
	is_body(&other, API_PROFILE_FASTAPI, "{\"detail\":\"endpoint not found\"}");
}

static void test_bounds(void)
{
	struct api_error_list l = { .profile = API_PROFILE_FASTAPI };
	for (int i = 0; i < 20; i++)
		api_error_field(&l, NULL, "x", "%d", i);
	g_assert_cmpuint(l.n, ==, API_ERROR_LIST_MAX);
	g_assert_cmpint(l.items[0].status, ==, 422);
	/* a cut text stays UTF-8 */
	GString *s = g_string_new(NULL);
	for (int i = 0; i < 400; i++)
		g_string_append(s, "\xe2\x82\xac");
	struct api_error e;
	api_error_from_status(&e, API_PROFILE_OPENAI, WEIR_E_INVALID, str(s->str), str(s->str), 0);
	g_assert_true(g_utf8_validate(e.message, -1, NULL));
	g_assert_true(g_utf8_validate(e.param, -1, NULL));
	g_assert_cmpuint(strlen(e.message), >, 500);
	g_string_free(s, TRUE);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/errors/mapping", test_mapping);
	g_test_add_func("/api/errors/shapes", test_shapes);
	g_test_add_func("/api/errors/bounds", test_bounds);
	return g_test_run();
}
