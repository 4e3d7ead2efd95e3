/* SPDX-License-Identifier: MIT */
/*
 * test-tokenizer-encoder.c - the tokenizers of embedding models: WordPiece against a published
 * vocabulary and BERT's rules, unigram with small vocabularies made here, hostile files and texts.
 *
 * tests/numeric/tokenizer-oracle.py holds both against independent implementations.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "charsmap.h"
#include "gguf-writer.h"
#include "tokenizer.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"
#define SP        "\xe2\x96\x81"

static struct weir_vocab *load(GByteArray *f, weir_status expected, const char *text)
{
	struct weir_gguf *g = NULL;
	struct weir_vocab *v = NULL;
	struct weir_error err = { 0 };
	weir_status status;

	if (weir_gguf_open_memory(f->data, f->len, &g, &err) != WEIR_OK)
		g_error("%s", err.text);
	status = weir_vocab_load(g, &v, &err);
	if (status != expected || (text && !strstr(err.text, text)))
		g_error("status %d, expected %d: %s", status, expected, err.text);
	g_assert_true((v != NULL) == (status >= 0));
	weir_gguf_close(g);
	g_byte_array_unref(f);
	return v;
}

static char *encode_n(const struct weir_vocab *v, const char *text, gsize len, guint flags)
{
	GString *s = g_string_new(NULL);
	struct weir_error err;
	int32_t *ids = NULL;
	size_t n = 0;

	if (weir_vocab_encode(v, (struct weir_str){ text, len }, flags, NULL, 0, &ids, &n, &err) <
	    0)
		g_error("%s", err.text);
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(s, "%s%d", i ? " " : "", ids[i]);
	free(ids);
	return g_string_free(s, FALSE);
}

static void assert_ids(const struct weir_vocab *v, const char *text, guint flags, const char *want)
{
	g_autofree char *got = encode_n(v, text, strlen(text), flags);

	if (strcmp(got, want) != 0)
		g_test_message("text: %s", text);
	g_assert_cmpstr(got, ==, want);
}

struct token {
	const char *text;
	guint type;
	float score;
};

/* map NULL: none. More keys are "+flag" and "-flag". */
static GByteArray *file(const char *model, const struct token *tokens, gsize n, const guint8 *map,
			gsize n_map, const char *const *flags)
{
	GByteArray *f = g_byte_array_new();
	guint n_flags = flags ? g_strv_length((char **)flags) : 0;

	put_head(f, 3, 0, 5 + n_flags + (map != NULL));
	for (guint i = 0; i < n_flags; i++) {
		g_autofree char *key = g_strdup_printf("tokenizer.ggml.%s", flags[i] + 1);

		put_key(f, key, 7);
		put_int(f, flags[i][0] == '+', 1);
	}
	put_key_string(f, "tokenizer.ggml.model", model);
	put_key_u32(f, "tokenizer.ggml.unknown_token_id", 0);
	put_array(f, "tokenizer.ggml.tokens", 8, n);
	for (gsize i = 0; i < n; i++)
		put_string(f, tokens[i].text);
	put_array(f, "tokenizer.ggml.token_type", 5, n);
	for (gsize i = 0; i < n; i++)
		put_u32(f, tokens[i].type);
	put_array(f, "tokenizer.ggml.scores", 6, n);
	for (gsize i = 0; i < n; i++)
		g_byte_array_append(f, (const guint8 *)&tokens[i].score, 4);
	if (map) {
		put_array(f, "tokenizer.ggml.precompiled_charsmap", 0, n_map);
		g_byte_array_append(f, map, (guint)n_map);
	}
	return f;
}

/* ---- WordPiece ---- */

static struct weir_vocab *load_published(void)
{
	const char *folder = g_getenv("WEIR_TEST_DATA");
	g_autofree char *path = g_strdup_printf("%s/vocab/ggml-vocab-bert-bge.gguf",
						folder ? folder : "../shared/data");
	struct weir_gguf *g = NULL;
	struct weir_vocab *v = NULL;
	struct weir_error err;

	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_autofree char *why = g_strdup_printf("no %s; set WEIR_TEST_DATA", path);

		g_test_skip(why);
		return NULL;
	}
	if (weir_gguf_open(path, &g, &err) != WEIR_OK || weir_vocab_load(g, &v, &err) != WEIR_OK)
		g_error("%s", err.text);
	weir_gguf_close(g);
	return v;
}

static void test_published(void)
{
	const char *folder = g_getenv("WEIR_TEST_DATA");
	g_autofree char *base = g_strdup_printf("%s/vocab/ggml-vocab-bert-bge.gguf",
						folder ? folder : "../shared/data");
	g_autofree char *inp = g_strconcat(base, ".inp", NULL);
	g_autofree char *out = g_strconcat(base, ".out", NULL);
	g_autofree char *texts = NULL, *lines = NULL;
	g_auto(GStrv) cases = NULL, ids = NULL;
	struct weir_vocab *v = load_published();

	if (!v)
		return;
	g_assert_true(g_file_get_contents(inp, &texts, NULL, NULL));
	g_assert_true(g_file_get_contents(out, &lines, NULL, NULL));
	cases = g_strsplit(texts, SEPARATOR, -1);
	ids = g_strsplit(lines, "\n", -1);
	for (guint i = 0; i < 46; i++)
		assert_ids(v, cases[i], 0, g_strstrip(ids[i]));
	weir_vocab_free(v);
}

/* BERT's rules (Devlin et al. 2018), in bge's vocabulary. */
static void test_rules(void)
{
	static const struct {
		const char *text, *ids;
	} cases[] = {
		{ "", "101 102" },
		{ " \t\n\r ", "101 102" },
		{ "Hello, World!", "101 7592 1010 2088 999 102" },
		{ "h\xc3\xa9llo", "101 7592 102" },      /* é, composed */
		{ "he\xcc\x81llo", "101 7592 102" },     /* and not */
		{ "hel\x01lo", "101 7592 102" },         /* controls go */
		{ "hel\xe2\x80\x8blo", "101 7592 102" }, /* and formats */
		{ "hel\xfflo", "101 7592 102" },         /* and what is no UTF-8 */
		{ "hello\xc2\xa0world", "101 7592 2088 102" },
		{ "[CLS]", "101 1031 18856 2015 1033 102" },
		{ "\xe4\xb8\xad\xe5\x9b\xbd", "101 1746 1799 102" },
		{ "\xf0\x9f\xa6\x99", "101 100 102" },
	};
	struct weir_vocab *v = load_published();
	g_autofree char *word = g_strnfill(101, 'a'), *whole = NULL, *part = NULL;
	struct weir_error err;
	char *text;
	size_t n;
	const int32_t hello[] = { 101, 7592, 2088, 3406, 102 };

	if (!v)
		return;
	g_assert_cmpstr(weir_vocab_model(v), ==, "bert");
	g_assert_cmpint(weir_vocab_bos(v), ==, 101);
	g_assert_cmpint(weir_vocab_sep(v), ==, 102);
	g_assert_true(weir_vocab_adds_bos(v) && weir_vocab_adds_eos(v));
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
		assert_ids(v, cases[i].text, WEIR_VOCAB_ADD_SPECIAL, cases[i].ids);
	assert_ids(v, "[CLS]", WEIR_VOCAB_PARSE_SPECIAL, "101");
	whole = encode_n(v, word, 101, 0); /* a letter too long */
	g_assert_cmpstr(whole, ==, "100");
	part = encode_n(v, word, 100, 0);
	g_assert_true(strlen(part) > 3 && !strstr(part, "100"));
	g_assert_cmpint(weir_vocab_decode(v, hello, 5, WEIR_VOCAB_PIECE_FIRST, &text, &n, &err), ==,
			WEIR_OK);
	g_assert_cmpstr(text, ==, "hello worldto");
	free(text);
	weir_vocab_free(v);
}

/* A vocabulary with capitals keeps case and accents. */
static void test_cased(void)
{
	static const struct token tokens[] = {
		{ "[UNK]", 2, 0 }, { "[CLS]", 3, 0 },  { "[SEP]", 3, 0 },
		{ SP "Ab", 1, 0 }, { SP "ab", 1, 0 },  { "c\xc3\xa9", 1, 0 },
		{ "c", 1, 0 },     { "[MASK]", 1, 0 }, { SP "a", 1, 0 },
	};
	struct weir_vocab *v =
		load(file("bert", tokens, G_N_ELEMENTS(tokens), NULL, 0, NULL), WEIR_OK, NULL);

	assert_ids(v, "Abc\xc3\xa9 abc aB", 0, "3 5 4 6 0");
	weir_vocab_free(v);
	v = load(file("bert", tokens + 4, 5, NULL, 0, NULL), WEIR_OK, NULL);
	assert_ids(v, "ABc", 0, "0 2");
	weir_vocab_free(v);
}

/* ---- unigram ---- */

static const struct token uni[] = {
	{ "<unk>", 2, 0 },       { "</s>", 3, 0 },  { SP, 1, -3 },         { SP "a", 1, -2 },
	{ "a", 1, -2.5f },       { "b", 1, -2.6f }, { "ab", 1, -3 },       { SP "ab", 1, -6 },
	{ SP "abab", 1, -9.5f }, { "bab", 1, -4 },  { "\xc3\xa9", 1, -4 }, { "<0x58>", 6, 0 },
	{ "unused", 5, 0 },
};

static void test_unigram(void)
{
	static const char *const no_prefix[] = { "-add_space_prefix", NULL };
	static const char *const loose[] = { "-remove_extra_whitespaces", "-add_eos_token", NULL };
	struct weir_vocab *v =
		load(file("t5", uni, G_N_ELEMENTS(uni), NULL, 0, NULL), WEIR_OK, NULL);

	g_assert_cmpstr(weir_vocab_model(v), ==, "t5");
	assert_ids(v, "", WEIR_VOCAB_ADD_SPECIAL, "1");
	assert_ids(v, "   ", 0, "");
	assert_ids(v, "a", WEIR_VOCAB_ADD_SPECIAL, "3 1");
	assert_ids(v, "ab", 0, "3 5");   /* -4.6, not -6 */
	assert_ids(v, "abab", 0, "3 9"); /* -6, not -9.5 */
	assert_ids(v, "  a   a  ", 0, "3 3");
	assert_ids(v, "azzb", 0, "3 0 5"); /* a run of unknowns is one */
	assert_ids(v, "z z", 0, "2 0 2 0");
	assert_ids(v, "aXb", 0, "3 11 5"); /* a byte token */
	assert_ids(v, "a\xff", 0, "3 0");
	weir_vocab_free(v);
	v = load(file("t5", uni, G_N_ELEMENTS(uni), NULL, 0, no_prefix), WEIR_OK, NULL);
	assert_ids(v, " ab b", 0, "6 2 5");
	weir_vocab_free(v);
	v = load(file("t5", uni, G_N_ELEMENTS(uni), NULL, 0, loose), WEIR_OK, NULL);
	assert_ids(v, " a  ", WEIR_VOCAB_ADD_SPECIAL, "2 3 2 2");
	weir_vocab_free(v);
}

/* The array of a table that has 'A' for "b" and nothing else: root, child at 'A', its leaf. */
static void small_map(guint32 units[256], guint32 value)
{
	memset(units, 0, 256 * 4);
	units[0] = 1u << 10;                       /* children at 1 ^ byte */
	units[1 ^ 'A'] = 'A' | 1u << 8 | 2u << 10; /* a leaf at (1 ^ 'A') ^ 2 */
	units[1 ^ 'A' ^ 2] = 1u << 31 | value;
}

static GByteArray *map_bytes(const guint32 units[256], const char *text, gsize n)
{
	GByteArray *b = g_byte_array_new();

	put_u32(b, 256 * 4);
	for (int i = 0; i < 256; i++)
		put_u32(b, units[i]);
	g_byte_array_append(b, (const guint8 *)text, (guint)n);
	return b;
}

static void test_charsmap(void)
{
	static const char texts[] = "x\0b\0a  ab";
	g_autoptr(GRand) rand = g_rand_new_with_seed(6);
	guint32 units[256];
	g_autoptr(GByteArray) map = NULL;
	struct weir_vocab *v;

	small_map(units, 2);
	map = map_bytes(units, texts, sizeof(texts));
	v = load(file("t5", uni, G_N_ELEMENTS(uni), map->data, map->len, NULL), WEIR_OK, NULL);
	assert_ids(v, "aA", 0, "3 5");
	weir_vocab_free(v);
	small_map(units, 4); /* spaces that a replacement brings are joined as well */
	g_byte_array_unref(map);
	map = map_bytes(units, texts, sizeof(texts));
	v = load(file("t5", uni, G_N_ELEMENTS(uni), map->data, map->len, NULL), WEIR_OK, NULL);
	assert_ids(v, "A", 0, "3 3 5");
	weir_vocab_free(v);
	load(file("t5", uni, G_N_ELEMENTS(uni), map->data, 7, NULL), WEIR_E_INVALID, "7 bytes");
	load(file("t5", uni, G_N_ELEMENTS(uni), map->data, 1000, NULL), WEIR_E_INVALID, "1024");
	for (guint round = 0; round < 3000; round++) { /* units that lead anywhere */
		g_autoptr(GByteArray) wrong = g_byte_array_new();
		char text[40];

		g_byte_array_append(wrong, map->data, map->len);
		for (guint i = g_rand_int_range(rand, 1, 400); i > 0; i--)
			wrong->data[g_rand_int_range(rand, 4, (gint)wrong->len)] =
				(guint8)g_rand_int(rand);
		v = load(file("t5", uni, G_N_ELEMENTS(uni), wrong->data, wrong->len, NULL), WEIR_OK,
			 NULL);
		for (gsize i = 0; i < sizeof(text); i++)
			text[i] = (char)g_rand_int_range(rand, 0, 255);
		g_free(encode_n(v, text, sizeof(text), 0));
		weir_vocab_free(v);
	}
}

/* A table that makes kilobytes of a letter must not make gigabytes of a text. */
static void test_growth(void)
{
	g_autofree char *much = g_strnfill(50000, 'a');
	guint32 units[256];
	g_autoptr(GByteArray) map = NULL;
	struct weir_error err;
	struct weir_vocab *v;
	int32_t *ids;
	size_t n;

	small_map(units, 0);
	map = map_bytes(units, much, 50000);
	v = load(file("t5", uni, G_N_ELEMENTS(uni), map->data, map->len, NULL), WEIR_OK, NULL);
	g_assert_cmpint(weir_vocab_encode(v, (struct weir_str){ "AAAAAAAA", 8 }, 0, NULL, 0, &ids,
					  &n, &err),
			==, WEIR_E_EXHAUSTED);
	weir_vocab_free(v);
}

/* Texts and pieces of the worst kind: these take minutes when they cost their length squared. */
static void test_long(void)
{
	static const char *const units[] = { "a",    " ",        "ab",  "z",
					     "\xff", "\xc3\xa9", "ba ", "a\xcc\x81" };
	g_autofree char *long_piece = g_strnfill(1024, 'a'), *too_long = g_strnfill(1025, 'a');
	const struct token pieces[] = { { "<unk>", 2, 0 }, { long_piece, 1, -1 }, { "a", 1, -9 } };
	const struct token bad[] = { { "<unk>", 2, 0 }, { too_long, 1, -1 } };
	static const char *const models[] = { "bert", "t5" };

	for (gsize m = 0; m < G_N_ELEMENTS(models); m++) {
		struct weir_vocab *v[] = {
			load(file(models[m], uni, G_N_ELEMENTS(uni), NULL, 0, NULL), WEIR_OK, NULL),
			load(file(models[m], pieces, 3, NULL, 0, NULL), WEIR_OK, NULL)
		};

		for (gsize i = 0; i < G_N_ELEMENTS(units) * 2; i++) {
			g_autoptr(GString) s = g_string_new(NULL);

			while (s->len < 100000)
				g_string_append(s, units[i / 2]);
			g_free(encode_n(v[i % 2], s->str, s->len, 0));
		}
		weir_vocab_free(v[0]);
		weir_vocab_free(v[1]);
		load(file(models[m], bad, 2, NULL, 0, NULL), WEIR_E_INVALID, "1025 bytes long");
	}
}

static void test_refused(void)
{
	const struct token nan[] = { { "<unk>", 2, 0 }, { "a", 1, 0.0f / 0.0f } };

	load(file("t5", nan, 2, NULL, 0, NULL), WEIR_E_INVALID, "not a finite number");
	load(file("t5", nan, 0, NULL, 0, NULL), WEIR_E_INVALID, "0 items");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/tokenizer/wordpiece/published", test_published);
	g_test_add_func("/tokenizer/wordpiece/rules", test_rules);
	g_test_add_func("/tokenizer/wordpiece/cased", test_cased);
	g_test_add_func("/tokenizer/unigram/cases", test_unigram);
	g_test_add_func("/tokenizer/unigram/charsmap", test_charsmap);
	g_test_add_func("/tokenizer/unigram/growth", test_growth);
	g_test_add_func("/tokenizer/encoder/long", test_long);
	g_test_add_func("/tokenizer/encoder/refused", test_refused);
	return g_test_run();
}
