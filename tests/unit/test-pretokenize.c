/* SPDX-License-Identifier: MIT */
/*
 * test-pretokenize.c - the hand-written scanners against the regular expressions that models
 * publish (tokenizer.json of each), run by PCRE2 over random Unicode text. Without PCRE2 only the
 * properties that need no oracle are tested.
 */
#include <glib.h>
#include <string.h>

#include "pretokenize.h"
#include "unicode-tables.h"

static bool collect(void *user, const char *word, size_t len)
{
	GPtrArray *list = user;

	g_assert_cmpuint(len, >, 0);
	g_ptr_array_add(list, g_bytes_new(word, len));
	return true;
}

static GPtrArray *split(const struct weir_pretokenizer *pre, const char *text, gsize len)
{
	GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

	g_assert_true(weir_pretokenize(pre, (struct weir_str){ text, len }, collect, list));
	return list;
}

static const struct weir_pretokenizer *find(const char *name)
{
	return weir_pretokenizer_find((struct weir_str){ name, strlen(name) });
}

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(max)                                                                                \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1," max                 \
	"}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED_OF(upper, lower, suffix, max, slash)                                                 \
	"[^\\r\\n\\p{L}\\p{N}]?(?:" upper ")*(?:" lower ")+" suffix                                \
	"|[^\\r\\n\\p{L}\\p{N}]?(?:" upper ")+(?:" lower ")*" suffix "|\\p{N}{1," max              \
	"}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n" slash "]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CASED(suffix, max) CASED_OF(UPPER, LOWER, suffix, max, "/")
#define SUFFIX             "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
/* What a cut before each group of three from the right leaves: PCRE2's matches are not empty here.
 */
#define THREES "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))"
#define DEEPSEEK3                                                                                  \
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"                                   \
	"[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"                  \
	"\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define DEEPSEEK_CJK "[一-龥ࠀ-一가-퟿]+"
#define BLOOM        " ?[^(\\s|.,!?…。，、।۔،)]+"

/* The stages of each family, as published; superbpe, afmoe: see THREES. */
static const struct {
	const char *name;
	const char *stages[7];
} published[] = {
	{ "default", { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
	{ "gpt-2", { GPT2 } },
	{ "starcoder", { "\\p{N}", GPT2 } },
	{ "llama-bpe", { LLAMA3("3") } },
	{ "qwen2", { LLAMA3("1") } },
	{ "qwen35",
	  { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
	    "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
	{ "seed-coder",
	  { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| "
	    "?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
	{ "bailingmoe",
	  { "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
	    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+" } },
	{ "falcon", { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]" } },
	{ "deepseek-coder", { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "\\p{N}" } },
	{ "deepseek-llm",
	  { "[\\r\\n]",
	    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"
	    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"
	    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"
	    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"
	    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"
	    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"
	    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}"
	    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"
	    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"
	    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"
	    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}"
	    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}"
	    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"
	    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"
	    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"
	    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"
	    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"
	    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+",
	    "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", DEEPSEEK_CJK, "\\p{N}+" } },
	{ "deepseek-v3",
	  { "\\p{N}{1,3}", "[一-龥\\x{3040}-ゟ゠-ヿ]+",
	    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
	    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
	    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
	{ "tekken", { CASED("", "1") } },
	{ "gpt-4o", { CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "3") } },
	{ "kimi-k2",
	  { "\\p{sc:Han}+|" CASED_OF("(?!\\p{sc:Han})" UPPER, "(?!\\p{sc:Han})" LOWER, SUFFIX, "3",
				     "") } },
	{ "youtu",
	  { "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|"
	    "[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}"
	    "\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|"
	    "[\\x{3105}-\\x{312f}]+|"
	    "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
	    CASED(SUFFIX, "1") } },
	{ "superbpe", { THREES } },
	{ "afmoe",
	  { THREES,
	    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}"
	    "\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}"
	    "\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}"
	    "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+",
	    DEEPSEEK3 } },
	{ "minicpm5",
	  { "\\p{N}{1,3}", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| "
			   "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
	{ "laguna", { "[^\\n]+|[\\n]+", LLAMA3("1") } },
	{ "chameleon", { "([\\t\\n]|    |  )", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2 } },
	{ "poro-chat", { BLOOM } },
	{ "viking", { BLOOM, "\\p{N}" } },
};

/* Runes by the dozen of every kind that a pattern asks for, and assigned ones at random. */
static gsize random_text(GRand *rand, char *out, gsize cap)
{
	static const char *const common[] = {
		" ",
		" ",
		"\n",
		"\r",
		"\t",
		"'",
		"'s",
		"'LL",
		"'Re",
		"a",
		"b",
		"Z",
		"Q",
		"1",
		"2",
		"3",
		".",
		",",
		"!",
		"/",
		"|",
		"`",
		"$",
		"=",
		"(",
		"\xc2\xa0",
		"\xe3\x80\x80",
		"\xc5\xbf",
		"\xcc\x81",
		"\xe0\xa4\xbe",
		"\xe4\xb8\xad",
		"\xe3\x81\x82",
		"\xe2\x82\xac",
		"\xca\xb0",
		"\xc7\x85",
		"\xc2\xbd",
		"\xe2\x80\x98",
		"\xc3\xa9",
		"\xc3\x89",
		"\xf0\x9f\x9a\x80",
		"\xe2\x80\x8d",
		"\x01",
		"\xef\xbc\x81",
	};
	gsize n = 0, want = (gsize)g_rand_int_range(rand, 1, (gint)cap - 8);
	guint repeat;

	while (n < want) {
		char rune[8];
		const char *s = rune;

		if (g_rand_int_range(rand, 0, 4) > 0) {
			s = common[g_rand_int_range(rand, 0, G_N_ELEMENTS(common))];
		} else {
			gunichar r;

			/* Unassigned ones may be assigned in the oracle's version of Unicode. */
			do {
				r = (gunichar)g_rand_int_range(
					rand, 0, g_rand_boolean(rand) ? 0x110000 : 0x3000);
			} while (weir_rune_class(r) == WEIR_RUNE_NONE && !weir_rune_is_space(r));
			rune[g_unichar_to_utf8(r, rune)] = '\0';
		}
		repeat = g_rand_int_range(rand, 0, 6) ? 1 : (guint)g_rand_int_range(rand, 2, 6);
		for (; repeat > 0 && n + strlen(s) < cap; repeat--) {
			memcpy(out + n, s, strlen(s));
			n += strlen(s);
		}
	}
	return n;
}

#ifdef HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static pcre2_code *compile(const char *pattern)
{
	int error;
	PCRE2_SIZE at;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
					 PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);

	if (!code)
		g_error("%s: error %d at %zu", pattern, error, at);
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

/* Matches and what lies between them, each split by the next stage. */
static void oracle(pcre2_code *const *stages, const char *text, gsize len, GPtrArray *list)
{
	pcre2_match_data *match;
	gsize at = 0;

	if (len == 0)
		return;
	if (!stages[0]) {
		g_ptr_array_add(list, g_bytes_new(text, len));
		return;
	}
	match = pcre2_match_data_create_from_pattern(stages[0], NULL);
	while (at < len && pcre2_match(stages[0], (PCRE2_SPTR)text, len, at, 0, match, NULL) > 0) {
		const PCRE2_SIZE *where = pcre2_get_ovector_pointer(match);

		g_assert_cmpuint(where[1], >, where[0]);
		oracle(stages + 1, text + at, where[0] - at, list);
		oracle(stages + 1, text + where[0], where[1] - where[0], list);
		at = where[1];
	}
	oracle(stages + 1, text + at, len - at, list);
	pcre2_match_data_free(match);
}

static char *show(const GPtrArray *words)
{
	GString *s = g_string_new(NULL);

	for (guint i = 0; i < words->len; i++) {
		gsize len;
		const char *p = g_bytes_get_data(words->pdata[i], &len);
		g_autofree char *word = g_strndup(p, len), *escaped = g_strescape(word, NULL);

		g_string_append_printf(s, "[%s]", escaped);
	}
	return g_string_free(s, FALSE);
}

static void compare(const struct weir_pretokenizer *pre, pcre2_code *const *stages,
		    const char *text, gsize len)
{
	g_autoptr(GPtrArray) got = split(pre, text, len);
	g_autoptr(GPtrArray) expected =
		g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
	gboolean same;

	oracle(stages, text, len, expected);
	same = got->len == expected->len;
	for (guint i = 0; same && i < got->len; i++)
		same = g_bytes_equal(got->pdata[i], expected->pdata[i]);
	if (!same) {
		g_autofree char *a = show(got), *b = show(expected);

		g_test_message("got      %s", a);
		g_test_message("expected %s", b);
	}
	g_assert_true(same);
}

static void test_oracle(gconstpointer data)
{
	guint i = GPOINTER_TO_UINT(data);
	g_autoptr(GRand) rand = g_rand_new_with_seed(i);
	const struct weir_pretokenizer *pre = find(published[i].name);
	const char *rounds = g_getenv("WEIR_TEST_ROUNDS"); /* more, by hand */
	guint n = rounds ? (guint)g_ascii_strtoull(rounds, NULL, 10) : 3000;
	pcre2_code *stages[G_N_ELEMENTS(published[0].stages) + 1] = { NULL };
	char text[120];

	g_assert_nonnull(pre);
	for (guint s = 0; published[i].stages[s]; s++)
		stages[s] = compile(published[i].stages[s]);
	for (guint round = 0; round < n; round++)
		compare(pre, stages, text, random_text(rand, text, round % 2 ? sizeof(text) : 24));
	for (guint s = 0; stages[s]; s++)
		pcre2_code_free(stages[s]);
}
#endif

/* Whatever the bytes: the words are the text. */
static void test_whole(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	char text[100];

	for (guint round = 0; round < 20000; round++) {
		const struct weir_pretokenizer *pre =
			find(published[round % G_N_ELEMENTS(published)].name);
		gsize len = random_text(rand, text, sizeof(text)), at = 0;
		g_autoptr(GPtrArray) words = NULL;

		for (guint i = round % 4; i > 0; i--)
			text[g_rand_int_range(rand, 0, (gint)len)] = (char)g_rand_int(rand);
		words = split(pre, text, len);
		for (guint i = 0; i < words->len; i++) {
			gsize n;
			const char *p = g_bytes_get_data(words->pdata[i], &n);

			g_assert_cmpmem(p, n, text + at, MIN(n, len - at));
			at += n;
		}
		g_assert_cmpuint(at, ==, len);
	}
}

/* Each of these takes minutes where a scanner looks at the rest of a run again at every place. */
static void test_linear(void)
{
	static const char *const units[][2] = {
		{ " ", "x" },
		{ "\t", "x" },
		{ "\n", "x" },
		{ "A", "b" },
		{ "A", "." },
		{ "\xcc\x81", "." },
		{ "1", "x" },
		{ "'", "x" },
		{ " \n", "x" },
		{ "\xe4\xb8\xad", "A" },
		{ "\xff", "a" },
		{ ".", "\n" },
		{ "\xe3\x80\x80", "x" },
		{ "\xe4\xb8\xad"
		  "A",
		  "1" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
		g_autoptr(GString) s = g_string_new(NULL);

		while (s->len < 200000)
			g_string_append(s, units[i][0]);
		g_string_append(s, units[i][1]);
		for (gsize j = 0; j < G_N_ELEMENTS(published); j++) {
			g_autoptr(GPtrArray) words = split(find(published[j].name), s->str, s->len);

			g_assert_cmpuint(words->len, >, 0);
		}
	}
}

static void test_names(void)
{
	static const char *const unknown[] = { "",
					       " ",
					       "gpt",
					       "-2",
					       "gpt-2 phi-2",
					       "GPT-2",
					       "qwen",
					       "a-name-that-is-longer-than-any-of-those-known" };

	for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++)
		g_assert_null(find(unknown[i]));
	g_assert_true(find("default") == weir_pretokenizer_fallback());
	g_assert_true(find("llama3") == find("llama-bpe"));
	g_assert_true(weir_pretokenizer_ignores_merges(find("llama3")));
	g_assert_true(weir_pretokenizer_adds_bos(find("llama3")));
	g_assert_false(weir_pretokenizer_ignores_merges(find("qwen2")));
	g_assert_false(weir_pretokenizer_adds_bos(find("gpt-2")));
}

static bool stop_at_second(void *user, const char *word, size_t len)
{
	guint *n = user;

	return ++*n < 2;
}

static void test_stop(void)
{
	guint n = 0;

	g_assert_false(weir_pretokenize(find("gpt-2"), (struct weir_str){ "a b c", 5 },
					stop_at_second, &n));
	g_assert_cmpuint(n, ==, 2);
	g_assert_true(weir_pretokenize(find("gpt-2"), (struct weir_str){ NULL, 0 }, collect, NULL));
}

/* The reader of runes agrees with GLib's on what is valid. */
static void test_runes(void)
{
	static const char *const invalid[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc3",
		"\xc3(",
		"\xe0\x80\x80",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
	};
	char utf8[8];
	size_t len;

	for (gunichar r = 0; r < 0x110000; r++) {
		gint n;

		if (r >= 0xd800 && r < 0xe000)
			continue;
		n = g_unichar_to_utf8(r, utf8);
		g_assert_cmpuint(weir_rune_at(utf8, utf8 + n, &len), ==, r);
		g_assert_cmpint((gint)len, ==, n);
		if (n > 1)
			g_assert_cmpuint(weir_rune_at(utf8, utf8 + n - 1, &len), ==,
					 WEIR_RUNE_INVALID);
	}
	for (gsize i = 0; i < G_N_ELEMENTS(invalid); i++) {
		const char *s = invalid[i];

		g_assert_cmpuint(weir_rune_at(s, s + strlen(s), &len), ==, WEIR_RUNE_INVALID);
		g_assert_cmpuint(len, ==, 1);
	}
	g_assert_cmpint(weir_rune_class(WEIR_RUNE_INVALID), ==, WEIR_RUNE_NONE);
	g_assert_false(weir_rune_is_space(0x180e)); /* a space to some, but not in White_Space */
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/pretokenize/whole", test_whole);
	g_test_add_func("/pretokenize/linear", test_linear);
	g_test_add_func("/pretokenize/names", test_names);
	g_test_add_func("/pretokenize/stop", test_stop);
	g_test_add_func("/pretokenize/runes", test_runes);
#ifdef HAVE_PCRE2
	for (guint i = 0; i < G_N_ELEMENTS(published); i++) {
		g_autofree char *path =
			g_strdup_printf("/pretokenize/oracle/%s", published[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_oracle);
	}
#endif
	return g_test_run();
}
