/*
 * test-grammar-language.c - backends/tensor/grammar: which texts grammars allow, which grammars are
 * refused and why, and that a mask says the same as asking token by token. Issue B, structured
 * output.
 */
#include "grammar-engine.h"

#include <glib.h>
#include <string.h>

/* All bytes, some longer tokens that cross what a grammar tells apart, one twice, and an end. */
static const char *const longer[] = {
	"{\"",      "\":",      "\": \"",   "\",",  "\"}",        "\"", "ab", "abc",  "tr",
	"true",     "e,",       "12",       "1.",   "0}",         "]}", "}}", ", \"", "\xc3\xa9",
	"\xa9\"",   "\xf0\x9f", "\x98\x80", "name", "\"name\": ", "ab", "  ", "\\u",  "\\n",
	"aaaaaaaa", "2026-",    "-",        "()",   "((",         "))", "x,x"
};
enum { N_LONGER = G_N_ELEMENTS(longer), END = 256 + N_LONGER, CONTROL, N_VOCAB };

static size_t piece(const void *ctx, int32_t token, char *out, size_t cap)
{
	size_t n = 1;

	(void)ctx;
	if (token >= END)
		return 0;
	if (token < 256) {
		out[0] = (char)token;
		return 1;
	}
	n = strlen(longer[token - 256]);
	memcpy(out, longer[token - 256], MIN(n, cap));
	return n;
}

static bool is_end(const void *ctx, int32_t token)
{
	(void)ctx;
	return token == END;
}

static struct weir_grammar_engine *engine;

static weir_grammar *compile(const char *spec, struct weir_error *err)
{
	weir_grammar *g = NULL;
	weir_status s;

	memset(err, 0, sizeof(*err));
	s = weir_grammar_compile(engine, (struct weir_str){ spec, strlen(spec) }, &g, err);
	g_assert_cmpint(s, ==, g ? WEIR_OK : err->code);
	return g;
}

/* {"type": T, "value": V}; for gbnf and regex V is text that becomes a JSON string. */
static char *spec_of(const char *type, const char *value)
{
	g_autoptr(GString) out = g_string_new(NULL);

	if (strcmp(type, "gbnf") != 0 && strcmp(type, "regex") != 0)
		return g_strdup_printf("{\"type\":\"%s\",\"value\":%s}", type, value);
	for (const char *c = value; *c; c++) {
		if (*c == '"' || *c == '\\')
			g_string_append_printf(out, "\\%c", *c);
		else if ((unsigned char)*c < 0x20)
			g_string_append_printf(out, "\\u%04x", *c);
		else
			g_string_append_c(out, *c);
	}
	return g_strdup_printf("{\"type\":\"%s\",\"value\":\"%s\"}", type, out->str);
}

static bool accepts(weir_grammar *g, const char *text)
{
	weir_grammar_state *st = NULL;
	struct weir_error err = { 0 };
	bool yes;

	g_assert_cmpint(weir_grammar_state_new(g, &st, &err), ==, WEIR_OK);
	yes = weir_grammar_accept_bytes(st, text, strlen(text), &err) == WEIR_OK &&
	      weir_grammar_complete(st);
	weir_grammar_state_free(st);
	return yes;
}

struct language {
	const char *type, *value;
	const char *yes[10], *no[14];
};

#define OBJECT "{\"type\":\"object\","
#define CLOSED "\"additionalProperties\":false}"

static const struct language languages[] = {
	{ "choice",
	  "[\"red\",\"green\",\"gre\"]",
	  { "red", "gre", "green" },
	  { "", "re", "greeny" } },
	{ "choice", "[\"\",\"\\u00e9\"]", { "", "\xc3\xa9" }, { "\xc3", "e" } },
	{ "json_object",
	  "null",
	  { "{}", "{\"a\":1}", "{\"a\": [1, {\"b\": null}], \"c\":\"\\u00e9\\n\"}",
	    "{\"a\":-1.5e+3}" },
	  { "", "[]", "{", "{\"a\"}", "{\"a\":01}", "{\"a\":1,}", "{\"a\":\"\\ud800\"}",
	    "{\"a\":\"\n\"}", "{ }x", "{\"a\":  1}" } },
	/* GBNF */
	{ "gbnf",
	  "root ::= \"a\" [0-9]+ (\"x\" | \"y\")?\n",
	  { "a1", "a123x", "a0y" },
	  { "a", "ax", "a1xy", "b1" } },
	{ "gbnf",
	  "# words\nroot ::= w (\",\" w){1,2}\nw ::= [^,\\x00-\\x20]{2,3}",
	  { "ab,cd", "\xc3\xa9z,abc,xx" },
	  { "ab", "a,bb", "ab,ab,ab,ab", "abcd,ab", "a b,cc" } },
	{ "gbnf",
	  "root ::= \"(\" root \")\" root |",
	  { "", "()", "(())()" },
	  { "(", ")(", "())" } },
	{ "gbnf",
	  "root ::=\n  \"a\"\n  | \"b\" \"\\u00e9\"\n",
	  { "a", "b\xc3\xa9" },
	  { "ab", "b" } },
	{ "gbnf",
	  "root ::= s s s\ns ::= \"a\"? \"b\"?",
	  { "", "ab", "abab", "aabb", "bbb" },
	  { "aaaa", "bababb" } },
	{ "gbnf",
	  "root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9] | \"(\" e \")\"",
	  { "1", "1+2", "(1+2)+3" },
	  { "+", "1+", "(1" } },
	{ "gbnf", "root ::= ([a-c] \"x\"?){3,}", { "abc", "axbxcxa" }, { "ab", "xabc" } },
	{ "gbnf", "root ::= \"a\"{100,200} x\nx ::= .", { NULL }, { "a" } },
	/* regular expressions */
	{ "regex", "\\d{3}-[A-F]+\\.?", { "123-AB", "000-F." }, { "12-A", "123-", "123-AG" } },
	{ "regex", "^(?:cat|(?<x>dog))s?$", { "cat", "dogs" }, { "cats ", "do" } },
	{ "regex", "[^a-z\\d]|\\u00e9{2}", { "A", "\xc3\xa9\xc3\xa9" }, { "a", "7" } },
	{ "regex", "(a|aa){1,50}b", { "ab", "aaaab" }, { "b", "a" } },
	{ "regex", "a{0}b{2,}", { "bb", "bbbbb" }, { "b", "abb" } },
	{ "regex", "\\w+@\\w+\\.(com|org)", { "a_1@b.org" }, { "a@b.net" } },
	/* schemas: types */
	{ "json_schema",
	  "{\"type\":\"string\"}",
	  { "\"\"", "\"a\\\"\xf0\x9f\x98\x80\"" },
	  { "\"", "\"\\x\"", "1" } },
	{ "json_schema",
	  "{\"type\":[\"integer\",\"null\"]}",
	  { "0", "-12", "null" },
	  { "1.5", "01", "nul", "\"\"" } },
	{ "json_schema", "{\"type\":\"boolean\"}", { "true", "false" }, { "1", "tru" } },
	{ "json_schema", "true", { "1", "[{}]", "\"x\"" }, { "", "[" } },
	{ "json_schema", "{}", { "1", "{\"a\":null}" }, { "nul" } },
	{ "json_schema",
	  "{\"enum\":[\"a\\\"\",1,null,{\"b\":[1,2]}]}",
	  { "\"a\\\"\"", "1", "null", "{\"b\":[1,2]}" },
	  { "2", "{}" } },
	{ "json_schema", "{\"type\":\"string\",\"enum\":[\"a\",1]}", { "\"a\"" }, { "1" } },
	{ "json_schema", "{\"const\":\"x\"}", { "\"x\"" }, { "\"y\"" } },
	/* numbers */
	{ "json_schema",
	  "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":17}",
	  { "-5", "0", "9", "10", "17", "-1" },
	  { "-6", "18", "20", "100", "-0", "5.0" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"exclusiveMinimum\":99,\"maximum\":1001}",
	  { "100", "999", "1000", "1001" },
	  { "99", "1002", "10", "2000", "-100" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"minimum\":2.5}",
	  { "3", "12", "99999" },
	  { "2", "-3", "0" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"maximum\":-10}",
	  { "-10", "-11", "-100" },
	  { "-9", "10", "0" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10}",
	  { "14", "21", "700" },
	  { "7", "15", "0" } },
	{ "json_schema",
	  "{\"type\":\"number\",\"multipleOf\":0.01,\"minimum\":0.005}",
	  { "0.01", "1", "1.5", "1.50", "999999.99" },
	  { "0.001", "0.00", "0", "1.005", "-0.01", "1.500" } },
	{ "json_schema",
	  "{\"type\":\"number\",\"multipleOf\":0.25,\"exclusiveMaximum\":2}",
	  { "0", "0.25", "0.5", "1.75", "-3.25", "-0.75" },
	  { "0.1", "0.3", "2", "2.25", "1.80", "-0.2" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"multipleOf\":1.5}",
	  { "0", "3", "-6", "12" },
	  { "1", "1.5", "2", "4" } },
	{ "json_schema",
	  "{\"type\":\"number\",\"multipleOf\":0.3,\"minimum\":-1,\"maximum\":1}",
	  { "0", "0.3", "-0.6", "0.9", "-0.9" },
	  { "0.1", "1", "-1", "1.2", "-1.2" } },
	{ "json_schema",
	  "{\"allOf\":[{\"type\":\"number\",\"multipleOf\":0.2},{\"multipleOf\":0.5}]}",
	  { "0", "1", "12" },
	  { "0.5", "0.2", "1.5" } },
	{ "json_schema",
	  "{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
	  { "0", "1", "0.5", "1.0", "0.001" },
	  { "1.1", "-0.1", "1.01", "2" } },
	{ "json_schema",
	  "{\"type\":\"number\",\"exclusiveMinimum\":-0.25,\"exclusiveMaximum\":12.5}",
	  { "-0.24", "12.49", "0", "12", "7.123" },
	  { "-0.25", "12.5", "12.50", "12.51", "13", "-0.3", "-1" } },
	{ "json_schema",
	  "{\"type\":\"integer\",\"format\":\"int32\"}",
	  { "2147483647", "-2147483648" },
	  { "2147483648" } },
	/* strings */
	{ "json_schema",
	  "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
	  { "\"ab\"", "\"a\\n\xf0\x9f\x98\x80\"", "\"\\u00e9bc\"" },
	  { "\"a\"", "\"abcd\"", "\"\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"minLength\":9}",
	  { "\"123456789\"", "\"1234567890\"" },
	  { "\"12345678\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"pattern\":\"^[a-z]+$\"}",
	  { "\"abc\"" },
	  { "\"\"", "\"a1\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"pattern\":\"b\"}",
	  { "\"b\"", "\"abc\"", "\"\\\"b\"" },
	  { "\"ac\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"pattern\":\"^a|b$\"}",
	  { "\"ax\"", "\"xb\"" },
	  { "\"xa\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"pattern\":\"^[^x]*$\",\"maxLength\":2}",
	  { "\"ab\"", "\"\\\"\\\\\"" },
	  { "\"ax\"", "\"abc\"" } },
	{ "json_schema",
	  "{\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"z$\"}],\"type\":\"string\"}",
	  { "\"az\"", "\"a-z\"" },
	  { "\"a\"", "\"z\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"format\":\"date\"}",
	  { "\"2026-11-21\"" },
	  { "\"2026-13-01\"", "\"2026-02-30\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"format\":\"date-time\"}",
	  { "\"2026-11-21T00:01:02.5Z\"" },
	  { "\"2026-11-21\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"format\":\"ipv4\"}",
	  { "\"192.168.0.255\"" },
	  { "\"256.1.1.1\"", "\"01.1.1.1\"" } },
	{ "json_schema",
	  "{\"type\":\"string\",\"format\":\"uuid\"}",
	  { "\"00000000-0000-4000-8000-00000000000f\"" },
	  { "\"0\"" } },
	/* arrays */
	{ "json_schema",
	  "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
	  { "[]", "[1]", "[1, 2,3 ]" },
	  { "[1,]", "[\"a\"]", "[,]" } },
	{ "json_schema",
	  "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}",
	  { "[1,2]", "[1,2,3]" },
	  { "[]", "[1]", "[1,2,3,4]" } },
	{ "json_schema",
	  "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"null\"}],"
	  "\"items\":false,\"minItems\":1}",
	  { "[1]", "[1,null]" },
	  { "[]", "[null]", "[1,null,2]" } },
	{ "json_schema", "{\"type\":\"array\",\"maxItems\":0}", { "[]" }, { "[1]" } },
	{ "json_schema",
	  "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"const\":1},\"maxItems\":"
	  "2},\"maxItems\":2}",
	  { "[[1,1],[]]", "[[1]]" },
	  { "[[1,1,1]]", "[[],[],[]]" } },
	/* objects */
	{ "json_schema",
	  OBJECT "\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"}},"
		 "\"required\":[\"name\"]," CLOSED,
	  { "{\"name\":\"x\"}", "{\"name\": \"x\", \"age\": 3}" },
	  { "{}", "{\"age\":3}", "{\"age\":3,\"name\":\"x\"}", "{\"name\":1}", "{\"name\":\"x\",}",
	    "{\"name\":\"x\",\"b\":1}" } },
	{ "json_schema",
	  OBJECT "\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2},\"c\":{\"const\":3}}}",
	  { "{}", "{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"c\":3}", "{\"a\":1,\"b\":2,\"c\":3}",
	    "{ }" },
	  { "{,\"a\":1}", "{\"a\":1\"b\":2}", "{\"d\":1}" } },
	{ "json_schema",
	  OBJECT "\"additionalProperties\":{\"type\":\"integer\"}}",
	  { "{}", "{\"x\":1,\"y\":2}" },
	  { "{\"x\":\"1\"}" } },
	{ "json_schema",
	  OBJECT
	  "\"properties\":{\"ab\":{\"const\":1}},\"additionalProperties\":{\"type\":\"null\"}}",
	  { "{}", "{\"ab\":1}", "{\"a\":null}", "{\"abc\":null}",
	    "{\"ab\":1,\"\":null,\"x\":null}" },
	  { "{\"ab\":null}", "{\"a\":1}", "{\"\\u0061b\":null}" } },
	{ "json_schema",
	  OBJECT
	  "\"patternProperties\":{\"^x-\":{\"type\":\"integer\"},\"z$\":{\"minimum\":5}}," CLOSED,
	  { "{\"x-a\":1}", "{\"x-z\":7}", "{\"z\":5}" },
	  { "{\"x-z\":1}", "{\"y\":1}" } },
	{ "json_schema",
	  OBJECT "\"maxProperties\":2,\"minProperties\":1,\"additionalProperties\":{\"const\":1}}",
	  { "{\"a\":1}", "{\"a\":1,\"b\":1}" },
	  { "{}", "{\"a\":1,\"b\":1,\"c\":1}" } },
	{ "json_schema",
	  OBJECT "\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2," CLOSED,
	  { "{\"a\":1,\"b\":2}", "{\"b\":1,\"c\":2}", "{\"a\":1,\"b\":1,\"c\":1}" },
	  { "{}", "{\"a\":1}" } },
	{ "json_schema", OBJECT "\"required\":[\"q\"]}", { "{\"q\":1}" }, { "{}" } },
	/* together */
	{ "json_schema",
	  "{\"anyOf\":[{\"type\":\"integer\"},{\"const\":\"x\"}]}",
	  { "5", "\"x\"" },
	  { "\"y\"" } },
	{ "json_schema",
	  "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{"
	  "\"type\":\"integer\"}},\"required\":[\"k\",\"v\"]},"
	  "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}]}",
	  { "{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\"}" },
	  { "{\"k\":\"a\"}", "{\"k\":\"b\",\"v\":1}" } },
	{ "json_schema",
	  "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{"
	  "\"properties\":{\"a\":{\"minimum\":5},\"b\":{\"const\":1}}}]}",
	  { "{\"a\":5}", "{\"a\":12,\"b\":1}" },
	  { "{\"a\":4}", "{}" } },
	{ "json_schema",
	  "{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
	  "\"next\":{\"$ref\":\"#/$defs/t\"}},\"required\":[\"v\"]}},\"$ref\":\"#/$defs/t\"}",
	  { "{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}" },
	  { "{\"v\":1,\"next\":{}}" } },
	{ "json_schema",
	  "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}",
	  { "[]", "[[],[[]]]" },
	  { "[1]", "[[]" } },
	{ "json_schema",
	  "{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"const\":1}}}",
	  { "1" },
	  { "2" } },
};

static void test_languages(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(languages); i++) {
		const struct language *l = &languages[i];
		g_autofree char *spec = spec_of(l->type, l->value);
		struct weir_error err;
		weir_grammar *g = compile(spec, &err);

		if (!g)
			g_error("%s: %s", l->value, err.text);
		for (size_t k = 0; k < G_N_ELEMENTS(l->yes) && l->yes[k]; k++)
			if (!accepts(g, l->yes[k]))
				g_error("%s should allow %s", l->value, l->yes[k]);
		for (size_t k = 0; k < G_N_ELEMENTS(l->no) && l->no[k]; k++)
			if (accepts(g, l->no[k]))
				g_error("%s should not allow %s", l->value, l->no[k]);
		weir_grammar_unref(g);
	}
}

static const struct refusal {
	const char *type, *value;
	weir_status code;
	const char *text;
} refusals[] = {
	{ "choice", "[]", WEIR_E_INVALID, "one at least" },
	{ "choice", "[1]", WEIR_E_INVALID, "choice 1" },
	{ "poem", "1", WEIR_E_INVALID, "type is one of" },
	{ "gbnf", "root ::= a", WEIR_E_INVALID, "line 1, column 10: there is no rule a" },
	{ "gbnf", "a ::= \"x\"", WEIR_E_INVALID, "named root" },
	{ "gbnf", "root ::= \"x\n", WEIR_E_INVALID, "line 1, column 12" },
	{ "gbnf", "root ::= (\"x\"", WEIR_E_INVALID, ") is missing" },
	{ "gbnf", "root ::= \"a\"\nroot ::= \"b\"", WEIR_E_INVALID, "line 2, column 1" },
	{ "gbnf", "root ::= root \"a\" | \"b\"", WEIR_E_INVALID, "root comes back to itself" },
	{ "gbnf", "root ::= a\na ::= b? root \"x\" | \"y\"\nb ::= \"z\"", WEIR_E_INVALID,
	  "left recursion" },
	{ "gbnf", "root ::= \"a\" root", WEIR_E_INVALID, "allows no text" },
	{ "gbnf", "root ::= \"a\"{3,2}", WEIR_E_INVALID, "backwards" },
	{ "gbnf", "root ::= [z-a]", WEIR_E_INVALID, "backwards" },
	{ "gbnf", "root ::= \"\\q\"", WEIR_E_INVALID, "escape" },
	{ "regex", "a(?=b)", WEIR_E_UNSUPPORTED, "character 4: lookaround" },
	{ "regex", "(a)\\1", WEIR_E_UNSUPPORTED, "backreferences" },
	{ "regex", "a**", WEIR_E_INVALID, "nothing to repeat" },
	{ "regex", "[a", WEIR_E_INVALID, "] is missing" },
	{ "regex", "a)", WEIR_E_INVALID, "closes nothing" },
	{ "regex", "\\bx", WEIR_E_UNSUPPORTED, "word boundaries" },
	{ "regex", "a^b", WEIR_E_UNSUPPORTED, "at the ends" },
	{ "regex", "[]", WEIR_E_INVALID, "allows no text" },
	{ "json_schema", "{\"type\":\"strin\"}", WEIR_E_INVALID,
	  "at #/type: there is no such type" },
	{ "json_schema", "{\"properties\":{\"a\":{\"not\":{}}}}", WEIR_E_UNSUPPORTED,
	  "#/properties/a/not: the keyword \"not\"" },
	{ "json_schema", "{\"type\":\"array\",\"uniqueItems\":true}", WEIR_E_UNSUPPORTED,
	  "uniqueItems" },
	{ "json_schema", "{\"type\":\"string\",\"format\":\"iri\"}", WEIR_E_UNSUPPORTED,
	  "format \"iri\"" },
	{ "json_schema", "{\"$ref\":\"#/$defs/x\"}", WEIR_E_INVALID, "points to nothing" },
	{ "json_schema", "{\"$ref\":\"http://x/y\"}", WEIR_E_UNSUPPORTED, "same schema" },
	{ "json_schema", "{\"$ref\":\"#\"}", WEIR_E_INVALID, "comes back to itself" },
	{ "json_schema", "{\"anyOf\":[{\"$ref\":\"#\"}]}", WEIR_E_INVALID, "" },
	{ "json_schema", "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
	  WEIR_E_UNSUPPORTED, "oneOf" },
	{ "json_schema", "{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", WEIR_E_INVALID,
	  "allows no text" },
	{ "json_schema", "{\"type\":\"string\",\"pattern\":\"(?!a)\"}", WEIR_E_UNSUPPORTED,
	  "#/pattern: regex, character" },
	{ "json_schema", "3", WEIR_E_INVALID, "must be an object" },
	{ "json_schema", "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":false}}",
	  WEIR_E_INVALID, "allows no text" },
};

static void test_refusals(void)
{
	struct weir_error err;

	g_assert_null(compile("{\"type\":\"json_object\"", &err));
	g_assert_nonnull(strstr(err.text, "line 1"));
	g_assert_null(compile("[]", &err));
	g_assert_null(compile("", &err));
	for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
		g_autofree char *spec = spec_of(refusals[i].type, refusals[i].value);
		weir_grammar *g = compile(spec, &err);

		if (g)
			g_error("%s was not refused", spec);
		if (err.code != refusals[i].code || !strstr(err.text, refusals[i].text))
			g_error("%s: %d %s", spec, err.code, err.text);
	}
}

/* The mask against each token by itself, along random ways. */
static void check_masks(weir_grammar *g, GRand *rand, int n_steps)
{
	uint32_t mask[(N_VOCAB + 31) / 32];
	weir_grammar_state *st = NULL, *copy = NULL;
	g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(int32_t));
	struct weir_error err = { 0 };

	g_assert_cmpint(weir_grammar_state_new(g, &st, &err), ==, WEIR_OK);
	for (int step = 0; step < n_steps; step++) {
		int32_t allowed[N_VOCAB], n = 0, token;
		weir_status s = weir_grammar_mask(st, mask, &err);

		if (s != WEIR_OK)
			g_error("mask: %s", err.text);
		for (int32_t t = 0; t < N_VOCAB; t++) {
			bool bit = mask[t / 32] >> (t % 32) & 1;

			g_assert_cmpint(weir_grammar_state_new(g, &copy, &err), ==, WEIR_OK);
			for (guint k = 0; k < taken->len; k++)
				g_assert_cmpint(
					weir_grammar_accept(copy, g_array_index(taken, int32_t, k),
							    &err),
					==, WEIR_OK);
			s = weir_grammar_accept(copy, t, &err);
			if (bit != (s == WEIR_OK))
				g_error("token %d: mask %d, accept %d", t, bit, s);
			weir_grammar_state_free(copy);
			if (bit)
				allowed[n++] = t;
		}
		g_assert_cmpint(n, >, 0);
		if (weir_grammar_finished(st)) {
			g_assert_cmpint(n, ==, 1);
			break;
		}
		token = allowed[g_rand_int_range(rand, 0, n)];
		if (token == END && n > 1)
			token = allowed[g_rand_int_range(rand, 0, n)];
		g_assert_cmpint(weir_grammar_accept(st, token, &err), ==, WEIR_OK);
		g_array_append_val(taken, token);
	}
	weir_grammar_state_free(st);
}

static void test_masks(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);

	for (size_t i = 0; i < G_N_ELEMENTS(languages); i++) {
		g_autofree char *spec = spec_of(languages[i].type, languages[i].value);
		struct weir_error err;
		weir_grammar *g = compile(spec, &err);

		g_assert_nonnull(g);
		for (int k = 0; k < 2; k++)
			check_masks(g, rand, 14);
		weir_grammar_unref(g);
	}
}

static void test_states(void)
{
	weir_grammar *a, *b;
	weir_grammar_state *st = NULL;
	struct weir_error err;
	uint32_t mask[(N_VOCAB + 31) / 32];

	a = compile("{\"type\":\"choice\",\"value\":[\"ab\",\"abc\"]}", &err);
	b = compile("{\"type\":\"choice\",\"value\":[\"ab\",\"abc\"]}", &err);
	g_assert_true(a == b); /* kept by its text */
	weir_grammar_unref(b);
	g_assert_cmpint(weir_grammar_state_new(a, &st, &err), ==, WEIR_OK);
	weir_grammar_unref(a);
	g_assert_cmpint(weir_grammar_accept(st, 'x', &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_grammar_accept(st, END, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_grammar_accept(st, CONTROL, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_grammar_accept(st, -1, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_grammar_accept(st, 'a', &err), ==, WEIR_OK);
	g_assert_cmpint(weir_grammar_accept(st, 'b', &err), ==, WEIR_OK);
	g_assert_true(weir_grammar_complete(st) && !weir_grammar_finished(st));
	g_assert_cmpint(weir_grammar_mask(st, mask, &err), ==, WEIR_OK);
	g_assert_true(mask[END / 32] >> (END % 32) & 1);
	g_assert_false(mask[CONTROL / 32] >> (CONTROL % 32) & 1);
	g_assert_cmpint(weir_grammar_accept(st, 'c', &err), ==, WEIR_OK);
	g_assert_true(weir_grammar_finished(st));
	g_assert_cmpint(weir_grammar_accept(st, END, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_grammar_mask(st, mask, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_grammar_accept(st, 'c', &err), ==, WEIR_E_INVALID);
	weir_grammar_state_free(st);
}

int main(int argc, char **argv)
{
	struct weir_grammar_source source = { N_VOCAB, piece, is_end, NULL };
	struct weir_error err = { 0 };
	int rc;

	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(weir_grammar_engine_new(&source, &engine, &err), ==, WEIR_OK);
	g_test_add_func("/grammar/languages", test_languages);
	g_test_add_func("/grammar/refusals", test_refusals);
	g_test_add_func("/grammar/masks", test_masks);
	g_test_add_func("/grammar/states", test_states);
	rc = g_test_run();
	weir_grammar_engine_free(engine);
	return rc;
}
