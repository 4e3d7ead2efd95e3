/*
 * test-grammar-hostile.c - backends/tensor/grammar against grammars that are meant to hurt: each is
 * refused or stays within its bounds, whatever follows. Time is bounded by the test's limit, memory
 * by what a grammar says it holds. Issue B, structured output; 000-22.
 */
#include "grammar-engine.h"

#include <glib.h>
#include <string.h>

enum { END = 256, N_VOCAB = 320, MOST_BYTES = 400 << 20 };

static struct weir_grammar_engine *engine;

/* All bytes, an end, and pairs of what grammars tell apart. */
static size_t piece(const void *ctx, int32_t token, char *out, size_t cap)
{
	static const char some[] = "\"{}[]:,a0\\";

	(void)ctx;
	if (token == END || cap < 2)
		return 0;
	out[0] = (char)token;
	if (token < END)
		return 1;
	out[0] = some[token % 10];
	out[1] = some[token / 10 % 10];
	return 2;
}

static bool is_end(const void *ctx, int32_t token)
{
	(void)ctx;
	return token == END;
}

/* Compiles, and if that goes well walks a little; every answer must be a clean one. */
static weir_status try_spec(const char *spec, size_t len, GRand *rand, int n_tokens)
{
	uint32_t mask[N_VOCAB / 32];
	struct weir_error err = { 0 };
	weir_grammar *g = NULL;
	weir_grammar_state *st = NULL;
	weir_status s = weir_grammar_compile(engine, (struct weir_str){ spec, len }, &g, &err);

	if (s != WEIR_OK) {
		g_assert_cmpint(s, <, 0);
		g_assert_cmpint(err.code, ==, s);
		g_assert_cmpstr(err.text, !=, "");
		g_assert_true(memchr(err.text, '\0', sizeof(err.text)) != NULL);
		return s;
	}
	g_assert_cmpint(weir_grammar_state_new(g, &st, &err), ==, WEIR_OK);
	for (int i = 0; i < n_tokens && !weir_grammar_finished(st); i++) {
		int32_t token = g_rand_int_range(rand, 0, N_VOCAB);
		bool bit;

		s = weir_grammar_mask(st, mask, &err);
		if (s != WEIR_OK)
			break;
		for (int k = 0; k < N_VOCAB && !(mask[token / 32] >> (token % 32) & 1); k++)
			token = (token + 1) % N_VOCAB;
		bit = mask[token / 32] >> (token % 32) & 1;
		g_assert_true(bit);
		s = weir_grammar_accept(st, token, &err);
		if (s != WEIR_OK)
			break;
	}
	if (s != WEIR_OK) /* the vocabulary has all bytes: only a bound may stand in the way */
		g_assert_cmpint(s, ==, WEIR_E_EXHAUSTED);
	g_assert_cmpuint(weir_grammar_bytes(g), <, MOST_BYTES);
	weir_grammar_state_free(st);
	weir_grammar_unref(g);
	return s;
}

static char *repeat(const char *before, const char *part, guint n, const char *after)
{
	GString *s = g_string_new(before);

	for (guint i = 0; i < n; i++)
		g_string_append(s, part);
	g_string_append(s, after);
	return g_string_free(s, FALSE);
}

#define REGEX  "{\"type\":\"regex\",\"value\":\""
#define GBNF   "{\"type\":\"gbnf\",\"value\":\""
#define SCHEMA "{\"type\":\"json_schema\",\"value\":"

static const struct hostile {
	const char *before, *part;
	guint n;
	const char *after;
	bool refused;
} hostiles[] = {
	/* depth */
	{ REGEX, "(", 100000, "\"}", true },
	{ REGEX "a", "{1,1000}", 1, "{1,1000}\"}", false },
	{ GBNF "root ::= ", "(", 50000, "\"}", true },
	{ SCHEMA, "[", 300000, "", true },
	{ SCHEMA, "{\"items\":", 100000, "", true },
	{ SCHEMA, "{\"type\":\"array\",\"items\":", 60, "true" /* closed below */, true },
	/* repetitions */
	{ REGEX "a{0,1000000}", "", 0, "\"}", false },
	{ REGEX "(ab?c{0,1000}){0,1000000}", "", 0, "\"}", false },
	{ REGEX "(a{0,1000}){0,1000}", "", 0, "\"}", false },
	{ REGEX "a{0,99999999999999999999}", "", 0, "\"}", true },
	{ REGEX "((((a{0,100}){0,100}){0,100}){0,100}){0,100}", "", 0, "\"}", false },
	{ GBNF "root ::= [a-z]{0,1000000}", "", 0, "\"}", false },
	{ SCHEMA "{\"type\":\"string\",\"maxLength\":1000000}", "", 0, "}", false },
	{ SCHEMA "{\"type\":\"array\",\"minItems\":1000000}", "", 0, "}", false },
	{ SCHEMA "{\"type\":\"array\",\"maxItems\":1e300}", "", 0, "}", true },
	/* ambiguity */
	{ REGEX "(a|a|aa|a*)*b", "", 0, "\"}", false },
	{ REGEX "(a*)*(a*)*(a*)*b", "", 0, "\"}", false },
	{ REGEX, "(a?)", 400, "a*\"}", false },
	{ REGEX "[ab]*a", "[ab]", 24, "\"}", false },
	{ REGEX "(.*a){1,60}.*", "", 0, "\"}", false },
	{ GBNF "root ::= s\\ns ::= \\\"a\\\" s s s | \\\"a\\\"", "", 0, "\"}", false },
	{ GBNF "root ::= s s s s s s s s\\ns ::= \\\"a\\\"? \\\"a\\\"? s? \\\"b\\\" |", "", 0,
	  "\"}", true },
	{ SCHEMA "{\"anyOf\":[{}", ",{\"type\":\"object\",\"additionalProperties\":true}", 300,
	  "]}}", false },
	/* recursion */
	{ GBNF "root ::= root root | \\\"a\\\"", "", 0, "\"}", true },
	{ GBNF "root ::= a\\na ::= b\\nb ::= c\\nc ::= a", "", 0, "\"}", true },
	{ GBNF "root ::= \\\"(\\\" root \\\")\\\" |", "", 0, "\"}", false },
	{ SCHEMA
	  "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":"
	  "\"#/$defs/a\"}}}",
	  "", 0, "}", true },
	{ SCHEMA "{\"allOf\":[{\"$ref\":\"#\"}]}", "", 0, "}", false },
	{ SCHEMA "{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", "", 0, "}", true },
	{ SCHEMA "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"allOf\":[{\"properties\":{\"a\":{"
		 "\"properties\":{\"a\":{\"$ref\":\"#\"}}}}}]}",
	  "", 0, "}", false },
	{ SCHEMA "{\"$ref\":\"", "/x", 100000, "\"}}", true },
	/* size */
	{ SCHEMA "{\"enum\":[0", ",\"0123456789\"", 60000, "]}}", false },
	{ SCHEMA "{\"type\":\"object\",\"required\":[\"a\"", ",\"a\"", 200000, "]}}", false },
	{ SCHEMA "{\"allOf\":[{}", ",{\"pattern\":\"x\"}", 5000, "]}}", true },
	{ SCHEMA "{\"oneOf\":[{\"const\":0}", ",{\"const\":1}", 3000, "]}}", true },
	{ SCHEMA "{\"pattern\":\"a\",\"allOf\":[{\"pattern\":\"(x|y)*z[xyz]{14}\"},{\"pattern\":"
		 "\"(z|y)*x[xyz]{14}\"}],\"maxLength\":90}",
	  "", 0, "}", true },
	/* what is no text */
	{ REGEX "\xff\xfe\xc0\x80", "", 0, "\"}", true },
	{ REGEX "\\ud800", "", 0, "\"}", true },
	{ SCHEMA "{\"const\":\"\xed\xa0\x80\"}", "", 0, "}", true },
	{ GBNF "root ::= [\xf5-\xff]", "", 0, "\"}", true },
};

static void test_hostile(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);

	for (gsize i = 0; i < G_N_ELEMENTS(hostiles); i++) {
		const struct hostile *h = &hostiles[i];
		g_autofree char *spec = repeat(h->before, h->part, h->n, h->after);
		gint64 start = g_get_monotonic_time();
		weir_status s = try_spec(spec, strlen(spec), rand, 40);

		g_autofree char *shown = g_strescape(spec, NULL);

		g_test_message("%.100s: %d, %ld ms", shown, s,
			       (long)(g_get_monotonic_time() - start) / 1000);
		if (h->refused && s == WEIR_OK)
			g_test_fail_printf("not refused: %.200s", spec);
		if (!h->refused && s != WEIR_OK && s != WEIR_E_EXHAUSTED)
			g_test_fail_printf("%d: %.200s", s, spec);
	}
}

/* Grammars that are right, of which some bytes are changed, left out or doubled. */
static const char *const seeds[] = {
	GBNF "root ::= a (\\\",\\\" a){0,5} # x\\na ::= [^a-f\\\\n]+ | \\\"\\\\x41\\\" root? "
	     "\\\"b\\\"\"}",
	REGEX "^(?:[a-z\\\\d]{2,9}|\\\\u00e9+?|(x|y)*)\\\\.[^\\\"]$\"}",
	"{\"type\":\"choice\",\"value\":[\"a\",\"\\u00e9\\ud83d\\ude00\",\"abc\"]}",
	SCHEMA
	"{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":[\"integer\","
	"\"null\"],"
	"\"minimum\":-15,\"maximum\":1e3},\"n\":{\"$ref\":\"#/$defs/t\"}},\"required\":[\"v\"],"
	"\"additionalProperties\":{\"enum\":[1,\"b\",null]}}},\"anyOf\":[{\"$ref\":\"#/$defs/t\"},"
	"{\"type\":\"array\",\"prefixItems\":[{\"const\":{\"a\":[2]}}],\"items\":{\"type\":"
	"\"string\","
	"\"pattern\":\"^a+b?$\",\"maxLength\":9},\"minItems\":2}]}}",
	SCHEMA "{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"type\":\"number\","
	       "\"exclusiveMinimum\":0.5},"
	       "\"y$\":{\"multipleOf\":3}},\"minProperties\":1,\"maxProperties\":3,\"allOf\":[{"
	       "\"properties\":"
	       "{\"d\":{\"format\":\"date-time\"}}}],\"oneOf\":[{\"required\":[\"x\"]}]}}",
};

static void test_fuzz(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2026);
	guint compiled = 0, refused = 0;

	for (int round = 0; round < 4000; round++) {
		const char *seed = seeds[round % G_N_ELEMENTS(seeds)];
		g_autoptr(GString) s = g_string_new(seed);
		int n = g_rand_int_range(rand, 1, 4);

		for (int k = 0; k < n; k++) {
			gssize at = g_rand_int_range(rand, 20, (gint32)s->len);
			gssize most = g_rand_int_range(rand, 1, 12);
			gssize len = MIN(most, (gssize)s->len - at);
			g_autofree char *part = g_strndup(s->str + at, (gsize)len);

			switch (g_rand_int_range(rand, 0, 4)) {
			case 0:
				s->str[at] = (char)g_rand_int_range(rand, 0, 256);
				break;
			case 1:
				g_string_erase(s, at, len);
				break;
			case 2:
				g_string_insert_len(s, at, part, len);
				break;
			default:
				s->str[at] =
					"\"{}[]():,*+?|^$0919\\"[g_rand_int_range(rand, 0, 20)];
			}
			if (s->len < 24)
				break;
		}
		if (try_spec(s->str, s->len, rand, 12) == WEIR_OK)
			compiled++;
		else
			refused++;
	}
	g_test_message("%u compiled, %u refused", compiled, refused);
	g_assert_cmpuint(compiled, >, 200);
	g_assert_cmpuint(refused, >, 200);
}

/* A grammar is shared: states of several threads ask at once. */
static gpointer ask(gpointer data)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(GPOINTER_TO_UINT(data));

	for (int i = 0; i < 60; i++) {
		const char *spec = seeds[3 + i % 2];

		g_assert_cmpint(try_spec(spec, strlen(spec), rand, 30), ==, WEIR_OK);
	}
	return NULL;
}

static void test_threads(void)
{
	GThread *threads[4];

	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		threads[i] = g_thread_new("asks", ask, GUINT_TO_POINTER(i + 1));
	for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
		g_thread_join(threads[i]);
}

int main(int argc, char **argv)
{
	struct weir_grammar_source source = { N_VOCAB, piece, is_end, NULL };
	struct weir_error err = { 0 };
	int rc;

	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(weir_grammar_engine_new(&source, &engine, &err), ==, WEIR_OK);
	g_test_add_func("/grammar/hostile", test_hostile);
	g_test_add_func("/grammar/fuzz", test_fuzz);
	g_test_add_func("/grammar/threads", test_threads);
	rc = g_test_run();
	weir_grammar_engine_free(engine);
	return rc;
}
