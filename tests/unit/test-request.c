/*
 * test-request.c - fields, copies, defaults of a request.
 */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "request.h"

static void assert_field(const weir_request *r, const char *name, const char *want)
{
	struct weir_str s = weir_request_field(r, name);

	if (!want) {
		g_assert_null(s.data);
		g_assert_cmpuint(s.len, ==, 0);
		return;
	}
	g_assert_cmpmem(s.data, s.len, want, strlen(want));
	g_assert_cmpint(s.data[s.len], ==, 0);
}

static void test_fields(void)
{
	char value[] = "chat";
	struct weir_kv kv[] = {
		{ "kind", value },    { "model", "a" },    { "model", "b" },
		{ NULL, "nameless" }, { "nothing", NULL }, { "", "no name" },
	};
	weir_request *r = weir_request_new(kv, G_N_ELEMENTS(kv), NULL, NULL);
	struct weir_str part;

	value[0] = 'X'; /* copied */
	assert_field(r, "kind", "chat");
	assert_field(r, "model", "b");
	assert_field(r, "nothing", NULL);
	assert_field(r, "", NULL);
	g_assert_true(weir_request_is(r, "kind", "chat"));
	g_assert_false(weir_request_is(r, "kind", "cha"));
	g_assert_false(weir_request_is(r, "none", ""));

	/* A part of the old value may become the new one. */
	part = weir_request_field(r, "kind");
	part.data += 1;
	part.len -= 1;
	g_assert_cmpint(weir_request_set_field(r, "kind", part), ==, WEIR_OK);
	assert_field(r, "kind", "hat");
	g_assert_cmpint(weir_request_set_field(r, "kind", (struct weir_str){ NULL, 0 }), ==,
			WEIR_OK);
	assert_field(r, "kind", NULL);
	assert_field(r, "model", "b");
	g_assert_cmpint(weir_request_set_field(r, NULL, part), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_request_set_field(r, "x", (struct weir_str){ NULL, 3 }), ==,
			WEIR_E_INVALID);
	weir_request_unref(r);
}

static void test_too_many(void)
{
	weir_request *r = weir_request_new(NULL, 0, NULL, NULL);
	weir_status status = WEIR_OK;
	int n = 0;

	while (n < 10000) {
		g_autofree char *name = g_strdup_printf("f%d", n);

		status = weir_request_set_field(r, name, (struct weir_str){ name, strlen(name) });
		if (status < 0)
			break;
		n++;
	}
	g_assert_cmpint(status, ==, WEIR_E_INVALID);
	g_assert_cmpint(n, ==, WEIR_REQUEST_MAX_FIELDS);
	assert_field(r, "f0", "f0");
	assert_field(r, "f255", "f255");
	weir_request_unref(r);
}

static void test_defaults(void)
{
	weir_request *r = weir_request_new(NULL, 0, NULL, NULL);
	weir_request *other = weir_request_new(NULL, 0, NULL, NULL);
	const struct weir_sampling *s = weir_request_sampling(r);

	g_assert_cmpfloat(s->temperature, ==, 1.0f);
	g_assert_cmpfloat(s->top_p, ==, 1.0f);
	g_assert_cmpfloat(s->repetition_penalty, ==, 1.0f);
	g_assert_cmpuint(weir_request_limits(r)->n, ==, 1);
	g_assert_cmpuint(s->seed, !=, weir_request_sampling(other)->seed);
	weir_request_unref(r);
	weir_request_unref(other);
	weir_request_unref(NULL);
}

static void test_copies(void)
{
	struct weir_logit_bias bias[] = { { 1, 2.0f }, { 3, -100.0f } };
	struct weir_sampling s = {
		.size = sizeof(s),
		.seed_set = 1,
		.seed = 7,
		.temperature = NAN,
		.top_p = 0.5f,
		.typical_p = 1,
		.repetition_penalty = INFINITY,
		.top_logprobs = 1000,
		.n_logit_bias = 2,
		.logit_bias = bias,
	};
	struct weir_limits l = { .size = sizeof(l), .n = 0, .max_tokens = 9 };
	weir_request *r = weir_request_new(NULL, 0, &s, &l), *same;
	const struct weir_sampling *got = weir_request_sampling(r);

	bias[0].token = 99;
	g_assert_cmpfloat(got->temperature, ==, 1.0f);
	g_assert_cmpfloat(got->repetition_penalty, ==, 1.0f);
	g_assert_cmpfloat(got->top_p, ==, 0.5f);
	g_assert_cmpuint(got->seed, ==, 7);
	g_assert_cmpuint(got->top_logprobs, ==, 20);
	g_assert_cmpint(got->logit_bias[0].token, ==, 1);
	g_assert_cmpuint(weir_request_limits(r)->n, ==, 1);
	g_assert_cmpuint(weir_request_limits(r)->max_tokens, ==, 9);
	same = weir_request_ref(r);
	weir_request_unref(r);
	g_assert_cmpint(weir_request_sampling(same)->logit_bias[1].token, ==, 3);
	weir_request_unref(same);

	/* An older struct: what it lacks gets a default. */
	s.size = offsetof(struct weir_sampling, top_p);
	s.temperature = 0;
	r = weir_request_new(NULL, 0, &s, NULL);
	g_assert_cmpfloat(weir_request_sampling(r)->temperature, ==, 0);
	g_assert_cmpfloat(weir_request_sampling(r)->top_p, ==, 1.0f);
	g_assert_null(weir_request_sampling(r)->logit_bias);
	weir_request_unref(r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/request/fields", test_fields);
	g_test_add_func("/request/too-many", test_too_many);
	g_test_add_func("/request/defaults", test_defaults);
	g_test_add_func("/request/copies", test_copies);
	return g_test_run();
}
