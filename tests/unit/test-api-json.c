/*
 * tests/unit/test-api-json.c - the JSON checker (positions, depth, UTF-8), the JSON writer, and
 * trees that come out as they went in.
 */
#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include <api/json-check.h>
#include <api/json-tree.h>
#include <api/json-write.h>

static void test_valid(void)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"null",
		" true ",
		"-0",
		"0.5",
		"1e9",
		"-1.25E-3",
		"\"\"",
		"{\"a\":[1,2,{\"b\":null}],\"c\":\"\\u00e4\\n\\ud83d\\ude00\"}",
		"[[[]],{}]",
		"\"\xc3\xa4\xf0\x9f\x98\x80\"",
		"\t\r\n[1 , 2 ]\n",
	};
	struct json_fault f;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (!json_check(cases[i], strlen(cases[i]), &f))
			g_error("%s: %s at %zu", cases[i], f.what, f.offset);
}

static void test_invalid(void)
{
	static const struct {
		const char *text;
		size_t offset;
	} cases[] = {
		{ "", 0 },
		{ "{", 1 },
		{ "[1,]", 3 },
		{ "{\"a\":1,}", 7 },
		{ "{a:1}", 1 },
		{ "{\"a\" 1}", 5 },
		{ "[1 2]", 3 },
		{ "01", 1 },
		{ "1.", 2 },
		{ "-", 1 },
		{ "1e", 2 },
		{ ".5", 0 },
		{ "+1", 0 },
		{ "nul", 0 },
		{ "True", 0 },
		{ "'a'", 0 },
		{ "\"a", 2 },
		{ "\"\n\"", 1 },
		{ "\"\\x\"", 2 },
		{ "\"\\u12g4\"", 5 },
		{ "\"\\ud800\"", 7 },
		{ "\"\\udc00\"", 7 },
		{ "\"\\u0000\"", 7 },
		{ "\"\xff\"", 1 },
		{ "\"\xc3(\"", 1 },
		{ "\"\xed\xa0\x80\"", 1 },
		{ "\"\xf0\x9f\"", 1 },
		{ "[1]]", 3 },
		{ "{}{}", 2 },
		{ "/* c */ 1", 0 },
		{ "[1}", 2 },
		{ "// x\n1", 0 },
		{ "NaN", 0 },
		{ "{\"a\":}", 5 },
		{ "{\"a\"}", 4 },
		{ "[,1]", 1 },
	};
	struct json_fault f;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_assert_false(json_check(cases[i].text, strlen(cases[i].text), &f));
		if (f.offset != cases[i].offset)
			g_error("%s: fault at %zu (%s), not %zu", cases[i].text, f.offset, f.what,
				cases[i].offset);
		g_assert_nonnull(f.what);
	}
}

static void test_position(void)
{
	static const char text[] = "{\n  \"a\": 1,\n  \"b\": x\n}";
	struct json_fault f;
	g_assert_false(json_check(text, strlen(text), &f));
	g_assert_cmpuint(f.line, ==, 3);
	g_assert_cmpuint(f.column, ==, 8);
}

static void test_depth(void)
{
	struct json_fault f;
	for (int depth = JSON_CHECK_MAX_DEPTH - 1; depth < JSON_CHECK_MAX_DEPTH + 2; depth++) {
		GString *s = g_string_new(NULL);
		for (int i = 0; i < depth; i++)
			g_string_append(s, i % 2 ? "{\"a\":" : "[");
		g_string_append_c(s, '1');
		for (int i = depth - 1; i >= 0; i--)
			g_string_append_c(s, i % 2 ? '}' : ']');
		g_assert_cmpint(json_check(s->str, s->len, &f), ==, depth <= JSON_CHECK_MAX_DEPTH);
		g_string_free(s, TRUE);
	}
	g_autofree char *deep = g_strnfill(1000000, '[');
	g_assert_false(json_check(deep, 1000000, &f));
}

static void test_members(void)
{
	struct json_fault f;
	for (int n = JSON_CHECK_MAX_MEMBERS; n < JSON_CHECK_MAX_MEMBERS + 2; n++) {
		GString *s = g_string_new("[{},{\"x\":{}");
		for (int i = 1; i < n; i++)
			g_string_append_printf(s, ",\"k%d\":%d", i, i);
		g_string_append(s, "},{\"y\":1}]");
		g_assert_cmpint(json_check(s->str, s->len, &f), ==, n <= JSON_CHECK_MAX_MEMBERS);
		g_string_free(s, TRUE);
	}
}

/* A list of n equal values. */
static bool takes(const char *value, size_t n)
{
	struct json_fault f;
	GString *s = g_string_new("[");
	for (size_t i = 0; i < n; i++)
		g_string_append(g_string_append(s, i ? "," : ""), value);
	g_string_append_c(s, ']');
	bool ok = json_check(s->str, s->len, &f);
	g_assert_true(ok || strstr(f.what, "too many"));
	g_string_free(s, TRUE);
	return ok;
}

static void test_values(void)
{
	g_assert_true(takes("1", JSON_CHECK_MAX_SCALARS));
	g_assert_false(takes("1", JSON_CHECK_MAX_SCALARS + 1));
	g_assert_true(takes("{}", JSON_CHECK_MAX_BRACKETS - 1)); /* the list is one too */
	g_assert_false(takes("{}", JSON_CHECK_MAX_BRACKETS));
	g_assert_false(takes("[]", JSON_CHECK_MAX_BRACKETS));
}

/* What comes out of a tree is what went in, NULL, or the same value in other words. */
static void test_tree(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "[0,-0,7,-9223372036854775808,9223372036854775807,true,false,null]",
		  "[0,0,7,"
		  "-9223372036854775808,9223372036854775807,true,false,null]" },
		{ "[1.0,0.1,-2.5,1e-7,5e-324,1e21,1e+300,1.5E10]",
		  "[1.0,0.1,-2.5,1e-07,4.94065645841247e-324,1e+21,1e+300,15000000000.0]" },
		{ "[0.30000000000000004,1e999]", "[0.30000000000000004,1.7976931348623157e+308]" },
		{ "{\"max\" : 18446744073709551615, \"s\":\"18446744073709551615 \\\" 1\"}",
		  "{\"max\":1.8446744073709552e+19,\"s\":\"18446744073709551615 \\\" 1\"}" },
		{ "[9223372036854775808,-9223372036854775809]",
		  "[9.223372036854776e+18,-9.223372036854776e+18]" },
		{ "{\"\\u001f\":\"\\u001f\\n\\\\\"}", NULL },
		{ "{\"a\":[{},[],\"\",{\"b\":{}}]}", NULL },
		{ "\"alone\"", NULL },
		{ "null", NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *in = cases[i].in;
		for (int twice = 0; twice < 2; twice++) { /* stable from then on */
			struct json_fault f;
			struct buf b = { NULL, 0, 0 };
			g_autoptr(JsonNode) node = json_tree_parse(in, strlen(in), i % 2 == 0, &f);
			g_assert_nonnull(node);
			json_tree_put(&b, node);
			in = cases[i].out ? cases[i].out : cases[i].in;
			g_assert_cmpstr(buf_terminate(&b), ==, in);
			buf_free(&b);
		}
	}
	struct json_fault f;
	g_assert_null(json_tree_parse("[1,", 3, true, &f));
	g_assert_cmpuint(f.offset, ==, 3);
}

/* Whatever passes must be readable by json-glib, whatever the bytes. */
static void test_mutations(void)
{
	static const char seed[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
				   "\"h\\u00e4 \xc3\xa4 \\\"\"}],\"n\":1,\"t\":[0.5,true,null]}";
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	unsigned good = 0;
	for (int i = 0; i < 30000; i++) {
		g_autoptr(GString) s = g_string_new(seed);
		for (int n = g_rand_int_range(rand, 1, 4); n; n--) {
			gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)s->len);
			if (g_rand_boolean(rand))
				s->str[at] = "{}[]\",:\\ 01eE.-\xc3"[g_rand_int_range(rand, 0, 16)];
			else
				g_string_erase(s, (gssize)at, 1);
		}
		struct json_fault f;
		if (!json_check(s->str, s->len, &f)) {
			g_assert_cmpuint(f.offset, <=, s->len);
			continue;
		}
		good++;
		g_autoptr(JsonParser) p = json_parser_new_immutable();
		g_autoptr(GError) error = NULL;
		json_parser_load_from_data(p, s->str, (gssize)s->len, &error);
		if (error) {
			g_autofree char *e = g_strescape(s->str, NULL);
			g_error("%s: %s", e, error->message);
		}
	}
	g_assert_cmpuint(good, >, 100);
}

static void test_escape(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "a\"b\\c", "a\\\"b\\\\c" },
		{ "\n\r\t\x01\x1f\x7f", "\\n\\r\\t\\u0001\\u001f\\u007f" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "a\xff\xfe z", "a\xef\xbf\xbd\xef\xbf\xbd z" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "</script>", "</script>" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct buf b = { NULL, 0, 0 };
		json_put_escaped(&b, cases[i].in, strlen(cases[i].in));
		g_assert_cmpstr(buf_terminate(&b), ==, cases[i].out);
		buf_free(&b);
	}
}

/* Any bytes come out as valid JSON that reads back, if they were UTF-8 without NUL, the same. */
static void test_round_trip(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	for (int i = 0; i < 5000; i++) {
		char in[24];
		size_t n = (size_t)g_rand_int_range(rand, 0, sizeof(in));
		for (size_t k = 0; k < n; k++)
			in[k] = (char)(i % 2 ? g_rand_int_range(rand, 1, 256)
					     : g_rand_int_range(rand, 1, 128));
		struct buf b = { NULL, 0, 0 };
		struct json_fault f;
		json_put_string(&b, in, n);
		g_assert_true(json_check(b.data, b.len, &f));
		if (g_utf8_validate(in, (gssize)n, NULL)) {
			g_autoptr(JsonNode) node = json_from_string(buf_terminate(&b), NULL);
			g_assert_cmpmem(json_node_get_string(node),
					strlen(json_node_get_string(node)), in, n);
		}
		buf_free(&b);
	}
}

static void test_numbers(void)
{
	struct buf b = { NULL, 0, 0 };
	json_put_uint(&b, 0);
	buf_putc(&b, ' ');
	json_put_uint(&b, UINT64_MAX);
	buf_putc(&b, ' ');
	json_put_int(&b, INT64_MIN);
	buf_putc(&b, ' ');
	json_put_logprob(&b, -0.25f);
	buf_putc(&b, ' ');
	json_put_logprob(&b, -INFINITY);
	buf_putc(&b, ' ');
	json_put_logprob(&b, NAN);
	buf_putc(&b, ' ');
	json_put_bytes(&b, "\xff\x01", 2);
	g_assert_cmpstr(buf_terminate(&b), ==,
			"0 18446744073709551615 -9223372036854775808 -0.25 -9999 null [255,1]");
	buf_free(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/api/json/valid", test_valid);
	g_test_add_func("/api/json/invalid", test_invalid);
	g_test_add_func("/api/json/position", test_position);
	g_test_add_func("/api/json/depth", test_depth);
	g_test_add_func("/api/json/members", test_members);
	g_test_add_func("/api/json/values", test_values);
	g_test_add_func("/api/json/tree", test_tree);
	g_test_add_func("/api/json/mutations", test_mutations);
	g_test_add_func("/api/json/escape", test_escape);
	g_test_add_func("/api/json/round-trip", test_round_trip);
	g_test_add_func("/api/json/numbers", test_numbers);
	return g_test_run();
}
