/* SPDX-License-Identifier: MIT */
/*
 * test-line-json.c - frontends/line/json: strict reading, spans, safe writing.
 */
#include <math.h>
#include <string.h>

#include "json.h"

static void test_valid(void)
{
	static const char *const cases[] = {
		"null",
		"true",
		" false ",
		"0",
		"-0",
		"12.5e-3",
		"1E+2",
		"\"\"",
		"\"a\\u00e9\\n\\/\"",
		"[]",
		"[ ]",
		"{}",
		"{ }",
		"[1,[2,[3]],{}]",
		"{\"a\":{\"b\":[1,2]},\"c\":null}",
		"\"\\ud83d\\ude00\"",
		"\"\xf0\x9f\x98\x80\"",
		"\t\r[\n1 , 2 ]\n",
		"1e999",
		"\"\x7f\"",
		"{\"\":1}",
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct json_doc d;
		struct json_fault fault;
		g_test_message("%s", cases[i]);
		g_assert_true(json_parse(cases[i], strlen(cases[i]), &d, &fault));
		g_assert_cmpuint(d.nodes[0].next, ==, d.n_nodes);
		json_doc_clear(&d);
	}
}

static void test_invalid(void)
{
	static const struct {
		const char *text;
		size_t offset;
	} cases[] = {
		{ "", 0 },
		{ " ", 1 },
		{ "nul", 0 },
		{ "tru", 0 },
		{ "01", 1 },
		{ "-", 1 },
		{ "1.", 2 },
		{ "1e", 2 },
		{ ".5", 0 },
		{ "+1", 0 },
		{ "[1,]", 3 },
		{ "[1 2]", 3 },
		{ "[", 1 },
		{ "{", 1 },
		{ "{\"a\"}", 4 },
		{ "{\"a\":1,}", 7 },
		{ "{a:1}", 1 },
		{ "{\"a\":1", 6 },
		{ "[1}", 2 },
		{ "1 2", 2 },
		{ "// x\n1", 0 },
		{ "\"a", 2 },
		{ "\"\\", 2 },
		{ "\"\\x\"", 3 },
		{ "\"\\u12", 5 },
		{ "\"\\u0000\"", 7 },
		{ "\"\\ud800\"", 7 },
		{ "\"\\udc00\"", 7 },
		{ "\"\\ud800\\u0041\"", 13 },
		{ "\"\t\"", 1 },
		{ "\"\xff\"", 1 },
		{ "\"\xc0\x80\"", 1 },
		{ "\"\xed\xa0\x80\"", 1 },
		{ "\"\xe2\x82\"", 1 },
		{ "NaN", 0 },
		{ "'a'", 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct json_doc d;
		struct json_fault fault;
		g_autofree char *shown = g_strescape(cases[i].text, NULL);
		g_test_message("%s", shown);
		g_assert_false(json_parse(cases[i].text, strlen(cases[i].text), &d, &fault));
		g_assert_cmpuint(fault.offset, ==, cases[i].offset);
		json_doc_clear(&d);
	}
}

static void test_depth(void)
{
	for (int deep = 0; deep < 2; deep++) {
		size_t n = JSON_MAX_DEPTH + (size_t)deep;
		struct json_doc d;
		struct json_fault fault;
		GString *text = g_string_new(NULL);
		for (size_t i = 0; i < n; i++)
			g_string_append(text, i % 2 ? "[" : "{\"a\":");
		g_string_append(text, "1");
		for (size_t i = n; i-- > 0;)
			g_string_append_c(text, i % 2 ? ']' : '}');
		g_assert_cmpint(json_parse(text->str, text->len, &d, &fault), ==, !deep);
		if (deep)
			g_assert_cmpstr(fault.what, ==, "the nesting is too deep");
		json_doc_clear(&d);
		g_string_free(text, TRUE);
	}
}

static void test_access(void)
{
	static const char text[] = "{\"a\": 1, \"b\":[ {\"x\":\"y\"} , 2.5, \"s\"], \"n\":null, "
				   "\"\\u0061\": \"last \\ud83d\\ude00\\t\", \"big\": "
				   "9223372036854775807, \"bigger\": 9223372036854775808}";
	struct json_doc d;
	struct json_fault fault;
	int64_t whole;
	double number;
	g_assert_true(json_parse(text, strlen(text), &d, &fault));
	g_assert_cmpuint(json_count(&d, 0), ==, 6);
	uint32_t a = json_member(&d, 0, "a"), b = json_member(&d, 0, "b");
	g_autofree char *last = json_string(&d, a);
	g_assert_cmpstr(last, ==,
			"last \xf0\x9f\x98\x80\t"); /* the last of two, escapes seen through */
	g_assert_cmpuint(json_count(&d, b), ==, 3);
	struct weir_str span = json_span(&d, b);
	g_assert_cmpmem(span.data, span.len, "[ {\"x\":\"y\"} , 2.5, \"s\"]", 23);
	g_assert_cmpuint(json_member(&d, 0, "n"), ==, JSON_ABSENT);
	g_assert_cmpuint(json_member(&d, 0, "x"), ==, JSON_ABSENT); /* of another object */
	g_assert_cmpuint(json_member(&d, b, "x"), ==, JSON_ABSENT);
	g_assert_true(json_integer(&d, json_member(&d, 0, "big"), &whole));
	g_assert_cmpint(whole, ==, G_MAXINT64);
	g_assert_false(json_integer(&d, json_member(&d, 0, "bigger"), &whole));
	g_assert_true(json_number(&d, json_member(&d, 0, "bigger"), &number));
	g_assert_cmpfloat(number, ==, 9223372036854775808.0);
	g_assert_false(json_number(&d, b, &number));
	GString *compact = g_string_new(NULL);
	json_put_compact(compact, &d, b);
	g_assert_cmpstr(compact->str, ==, "[{\"x\":\"y\"},2.5,\"s\"]");
	g_string_free(compact, TRUE);
	json_doc_clear(&d);
}

static void test_write(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *expected;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "plain", 5, "\"plain\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "\n\r\t\b\f\x01\x1f\x7f", 8, "\"\\n\\r\\t\\b\\f\\u0001\\u001f\\u007f\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "\xff\xc3", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "x\xe2\x82y", 4, "\"x\xef\xbf\xbd\xef\xbf\xbdy\"" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		GString *out = g_string_new(NULL);
		/* An own block of the very size, so that a sanitizer sees a read behind it. */
		g_autofree char *text = g_memdup2(cases[i].text, cases[i].len);
		json_put_string(out, text, cases[i].len);
		g_assert_cmpstr(out->str, ==, cases[i].expected);
		g_string_free(out, TRUE);
	}
	GString *out = g_string_new(NULL);
	json_put_logprob(out, -INFINITY);
	g_string_append_c(out, ' ');
	json_put_logprob(out, NAN);
	g_string_append_c(out, ' ');
	json_put_logprob(out, -0.5f);
	g_assert_cmpstr(out->str, ==, "-9999 null -0.5");
	g_string_free(out, TRUE);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/line-json/valid", test_valid);
	g_test_add_func("/line-json/invalid", test_invalid);
	g_test_add_func("/line-json/depth", test_depth);
	g_test_add_func("/line-json/access", test_access);
	g_test_add_func("/line-json/write", test_write);
	return g_test_run();
}
