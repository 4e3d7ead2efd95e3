/* SPDX-License-Identifier: MIT */
/*
 * test-terminal.c - frontends/terminal: server-sent events in pieces, settings, bodies.
 */
#include <string.h>

#include "sse.h"
#include "talk.h"

static void collect(void *user, const char *data, size_t len)
{
	GString *out = user;
	g_assert_cmpuint(strlen(data), ==, len);
	g_string_append_printf(out, "<%s>", data);
}

static void test_sse(void)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "" },
		{ "data: a\n\n", "<a>" },
		{ "data:a\n\ndata:  b\n\n", "<a>< b>" },
		{ "data: a\r\n\r\ndata: b\r\rdata: c\n\n", "<a><b><c>" },
		{ "data: a\ndata: b\n\n", "<a\nb>" },
		{ ": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n", "<a>" },
		{ "data\n\ndatum: x\n\n", "" },
		{ "data: a\n", "" },
		{ "data:\n\n", "<>" },
		{ "\n\n\ndata: [DONE]\n\n", "<[DONE]>" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		size_t len = strlen(cases[i].text);
		for (size_t n = 1; n <= len + 1; n++) {
			GString *out = g_string_new(NULL);
			struct sse sse;
			sse_init(&sse, collect, out);
			for (size_t at = 0; at < len; at += n)
				g_assert_true(sse_feed(&sse, cases[i].text + at, MIN(n, len - at)));
			g_assert_cmpstr(out->str, ==, cases[i].expected);
			sse_clear(&sse);
			g_string_free(out, TRUE);
		}
	}
}

static void test_sse_is_bounded(void)
{
	static char block[65536];
	GString *out = g_string_new(NULL);
	struct sse sse;
	bool ok = true;
	int n = 0;
	memset(block, 'x', sizeof(block));
	sse_init(&sse, collect, out);
	while (ok && n++ < 1000)
		ok = sse_feed(&sse, block, sizeof(block));
	g_assert_false(ok);
	g_assert_cmpint(n, <, 140);
	sse_clear(&sse);
	g_string_free(out, TRUE);
}

static void test_settings(void)
{
	static const struct {
		const char *name, *value, *error; /* NULL: fine */
	} cases[] = {
		{ "temperature", "0.7", NULL },
		{ "seed", "-3", NULL },
		{ "temperature", "warm", "a number" },
		{ "temperature", "", "a number" },
		{ "temperature", "inf", "a number" },
		{ "max_tokens", "1.5", "whole number" },
		{ "temprature", "1", "there are temperature" },
		{ "max_tokens", "20", NULL },
		{ "max_tokens", "default", NULL },
	};
	struct talk t;
	talk_init(&t);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *error = NULL;
		bool ok = talk_set(&t, cases[i].name, cases[i].value, &error);
		g_assert_cmpint(ok, ==, cases[i].error == NULL);
		if (cases[i].error)
			g_assert_nonnull(strstr(error, cases[i].error));
	}
	g_autofree char *body = talk_body(&t);
	/* json-glib writes all digits of the double. */
	g_assert_true(strstr(body, "\"temperature\":0.7,") ||
		      strstr(body, "\"temperature\":0.69999999999999996,"));
	g_assert_nonnull(strstr(body, "\"seed\":-3"));
	g_assert_null(strstr(body, "max_tokens"));
	talk_clear(&t);
}

static void test_body(void)
{
	struct talk t;
	talk_init(&t);
	talk_set_system(&t, "Be \"brief\".");
	talk_add(&t, "one");
	talk_add(&t, "1");
	talk_add(&t, "two");
	t.model = g_strdup("m");
	g_autofree char *body = talk_body(&t);
	g_assert_cmpstr(body, ==,
			"{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "
			"\\\"brief\\\".\"},{\"role\":\"user\",\"content\":\"one\"},{\"role\":"
			"\"assistant\",\"content\":\"1\"},{\"role\":\"user\",\"content\":\"two\"}],"
			"\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	talk_drop_last(&t);
	g_assert_cmpuint(t.turns->len, ==, 2);
	talk_reset(&t);
	talk_set_system(&t, "");
	g_autofree char *empty = talk_body(&t);
	g_assert_nonnull(strstr(empty, "\"messages\":[]"));
	talk_clear(&t);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/terminal/sse", test_sse);
	g_test_add_func("/terminal/sse-bounded", test_sse_is_bounded);
	g_test_add_func("/terminal/settings", test_settings);
	g_test_add_func("/terminal/body", test_body);
	return g_test_run();
}
