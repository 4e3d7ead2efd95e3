/*
 * test-text.c - UTF-8 repair and stop strings, against an oracle that sees the whole text at once.
 */
#include <string.h>

#include <glib.h>

#include "text.h"

#define STR(s) ((struct weir_str){ (s), strlen(s) })

static void test_valid(void)
{
	static const struct {
		const char *text;
		gsize len;
		const char *repaired; /* NULL: valid */
	} cases[] = {
		{ "", 0, NULL },
		{ "abc", 3, NULL },
		{ "a\0b", 3, NULL },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, NULL },
		{ "\x80", 1, "\xef\xbf\xbd" },
		{ "\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
		{ "\xe2\x82", 2, "\xef\xbf\xbd" },             /* one for a cut rune */
		{ "\xe2\x82z", 3, "\xef\xbf\xbdz" },           /* one maximal part */
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x98", 3, "\xef\xbf\xbd" },
		{ "a\xff"
		  "b",
		  3,
		  "a\xef\xbf\xbd"
		  "b" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_str s = { cases[i].text, cases[i].len };
		const char *want = cases[i].repaired ? cases[i].repaired : cases[i].text;
		gsize want_len = cases[i].repaired ? strlen(want) : cases[i].len, len;
		g_autofree char *fixed = weir_text_repair(s, &len);

		g_assert_cmpint(weir_text_valid(s), ==, cases[i].repaired == NULL);
		g_assert_cmpmem(fixed, len, want, want_len);
	}
}

static void test_json(void)
{
	g_autoptr(GString) out = g_string_new(NULL);

	weir_text_append_json(out, STR("a\"b\\c\n\x01\x7f\xc3\xa4\xff"));
	g_assert_cmpstr(out->str, ==, "\"a\\\"b\\\\c\\u000a\\u0001\\u007f\xc3\xa4\xef\xbf\xbd\"");
	g_assert_true(weir_text_json_shallow(STR("[{\"a\":\"[[[[\\\"[[\"}]"), 2));
	g_assert_false(weir_text_json_shallow(STR("[[[1]]]"), 2));
}

static void test_stop_lists(void)
{
	static const struct {
		const char *json;
		weir_status status;
	} cases[] = {
		{ "", WEIR_OK },
		{ "[]", WEIR_OK },
		{ "null", WEIR_OK },
		{ "[\"a\",\"\"]", WEIR_OK },
		{ "\"a\"", WEIR_OK },
		{ "[1]", WEIR_E_INVALID },
		{ "[[\"a\"]]", WEIR_E_INVALID },
		{ "{\"a\":1}", WEIR_E_INVALID },
		{ "[\"a\"", WEIR_E_INVALID },
		{ "[[[[[[[[[[[[", WEIR_E_INVALID },
	};
	g_autoptr(GString) many = g_string_new("[\"0\"");
	g_autofree char *long_one = NULL;
	struct weir_stops *stops;
	struct weir_error err;

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		stops = NULL;
		g_assert_cmpint(weir_stops_new(STR(cases[i].json), &stops, &err), ==,
				cases[i].status);
		if (cases[i].status < 0)
			g_assert_cmpstr(err.param, ==, "stop");
		weir_stops_free(stops);
	}
	for (int i = 0; i < WEIR_STOPS_MAX; i++)
		g_string_append(many, ",\"x\"");
	g_string_append_c(many, ']');
	g_assert_cmpint(weir_stops_new(STR(many->str), &stops, &err), ==, WEIR_E_INVALID);
	long_one = g_strnfill(WEIR_STOP_MAX_LEN + 3, 'a');
	long_one[0] = long_one[WEIR_STOP_MAX_LEN + 2] = '"';
	g_assert_cmpint(weir_stops_new(STR(long_one), &stops, &err), ==, WEIR_E_INVALID);
}

/* What is held back is exactly what may still change. */
static void test_hold(void)
{
	static const struct {
		const char *stops;
		const char *pieces[6];
		const char *gives[6]; /* "!" in front: stopped */
		const char *flush;
	} cases[] = {
		{ "[]", { "a", "b" }, { "a", "b" }, "" },
		{ "[\"</s>\"]", { "x<", "/", "b" }, { "x", "", "</b" }, "" },
		{ "[\"</s>\"]", { "x<", "/s", ">y" }, { "x", "", "!" }, "" },
		{ "[\"ab\"]", { "aa", "a", "b" }, { "a", "a", "!" }, "" },
		{ "[\"END\"]", { "THE EN" }, { "THE " }, "EN" },
		{ "[\"abcd\",\"bc\"]", { "xab", "c" }, { "x", "!a" }, "" },
		{ "[\"bc\",\"abc\"]", { "xabc" }, { "!x" }, "" },
		{ "[]", { "\xe2\x82", "\xac." }, { "", "\xe2\x82\xac." }, "" },
		{ "[]", { "a\xe2\x82" }, { "a" }, "\xef\xbf\xbd" },
		{ "[]", { "\xf0\x9f", "x" }, { "", "\xef\xbf\xbdx" }, "" },
		{ "[\"\\u20ac\"]", { "1\xe2", "\x82", "\xac" }, { "1", "", "!" }, "" },
		{ "[\"\\n\\n\"]", { "a\n", "b\n", "\n" }, { "a", "\nb", "!" }, "" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_stops *stops;
		struct weir_cutter *c;
		struct weir_str out;

		g_assert_cmpint(weir_stops_new(STR(cases[i].stops), &stops, NULL), ==, WEIR_OK);
		c = weir_cutter_new(stops);
		for (int k = 0; k < 6 && cases[i].pieces[k]; k++) {
			const char *want = cases[i].gives[k];
			bool stopped = weir_cutter_push(c, STR(cases[i].pieces[k]), &out);

			g_assert_cmpint(stopped, ==, *want == '!');
			want += *want == '!';
			g_assert_cmpmem(out.data, out.len, want, strlen(want));
		}
		out = weir_cutter_flush(c);
		g_assert_cmpmem(out.data, out.len, cases[i].flush, strlen(cases[i].flush));
		g_assert_cmpuint(weir_cutter_held(c), ==, 0);
		weir_cutter_free(c);
		weir_stops_free(stops);
	}
}

/* The stop that is complete first, in the whole text; returns where the text is cut. */
static gsize oracle(const char *text, gsize len, const char *const *stops, gsize n)
{
	for (gsize end = 1; end <= len; end++) {
		gsize longest = 0;

		for (gsize i = 0; i < n; i++) {
			gsize m = strlen(stops[i]);

			if (m <= end && memcmp(text + end - m, stops[i], m) == 0)
				longest = MAX(longest, m);
		}
		if (longest > 0)
			return end - longest;
	}
	return len;
}

/* However the bytes are divided, the text is the same, and nothing is ever taken back. */
static void test_random(void)
{
	static const char *const alphabet[] = { "a",        "b",    "a",    "b",
						"\xc3\xa4", "\xe2", "\x82", "\xf0\x9f\x98\x80",
						"\xff" };
	static const char *const words[] = { "a",
					     "b",
					     "ab",
					     "aab",
					     "\xc3\xa4",
					     "ba\xc3\xa4",
					     "abab",
					     "bbb",
					     "\xf0\x9f\x98\x80"
					     "a" };
	g_autoptr(GRand) rand = g_rand_new_with_seed(4711);

	for (int round = 0; round < 4000; round++) {
		g_autoptr(GString) text = g_string_new(NULL);
		g_autoptr(GString) json = g_string_new("[");
		g_autoptr(GString) got = g_string_new(NULL);
		g_autofree char *whole = NULL;
		const char *stops_text[4];
		gsize n_stops = (gsize)g_rand_int_range(rand, 0, 4), len, cut, at = 0;
		struct weir_stops *stops;
		struct weir_cutter *c;
		struct weir_str out;
		bool stopped = false;

		for (gsize i = 0; i < n_stops; i++) {
			/* One-byte stops would end nearly every text at once. */
			stops_text[i] = words[g_rand_int_range(rand, round % 8 ? 2 : 0, 9)];
			g_string_append_printf(json, "%s\"%s\"", i ? "," : "", stops_text[i]);
		}
		g_string_append_c(json, ']');
		for (int i = g_rand_int_range(rand, 0, 40); i > 0; i--)
			g_string_append(text, alphabet[g_rand_int_range(rand, 0, 9)]);
		whole = weir_text_repair((struct weir_str){ text->str, text->len }, &len);
		cut = oracle(whole, len, stops_text, n_stops);

		g_assert_cmpint(weir_stops_new(STR(json->str), &stops, NULL), ==, WEIR_OK);
		c = weir_cutter_new(stops);
		while (at < text->len && !stopped) {
			gsize most = MIN(text->len - at, 6);
			gsize n = (gsize)g_rand_int_range(rand, 0, (gint32)most + 1);

			stopped = weir_cutter_push(c, (struct weir_str){ text->str + at, n }, &out);
			g_string_append_len(got, out.data, (gssize)out.len);
			g_assert_true(weir_text_valid(out));
			at += n;
		}
		out = weir_cutter_flush(c);
		g_string_append_len(got, out.data, (gssize)out.len);
		g_assert_cmpmem(got->str, got->len, whole, cut);
		weir_cutter_free(c);
		weir_stops_free(stops);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/text/utf-8", test_valid);
	g_test_add_func("/text/json", test_json);
	g_test_add_func("/text/stop-lists", test_stop_lists);
	g_test_add_func("/text/hold-back", test_hold);
	g_test_add_func("/text/any-division", test_random);
	return g_test_run();
}
