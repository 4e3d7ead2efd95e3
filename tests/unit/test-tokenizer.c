/* SPDX-License-Identifier: MIT */
/*
 * test-tokenizer.c - the tokenizers, against published vocabularies and with small ones made here.
 *
 * The published cases (text and the ids that the reference implementation gives) lie in
 * $WEIR_TEST_DATA/vocab; without them those tests are skipped and say so.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "gguf-writer.h"
#include "tokenizer.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

/* ---- loading ---- */

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
	weir_gguf_close(g); /* the vocabulary needs the file no longer */
	return v;
}

static char *data_path(const char *name, const char *ending)
{
	const char *folder = g_getenv("WEIR_TEST_DATA");

	return g_strdup_printf("%s/vocab/ggml-vocab-%s.gguf%s", folder ? folder : "../shared/data",
			       name, ending);
}

/* NULL, and the test marked as skipped, where the data is not there. */
static struct weir_vocab *load_published(const char *name)
{
	g_autofree char *path = data_path(name, "");
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

/* ---- encoding ---- */

struct ids {
	int32_t *ids;
	size_t n;
};

static struct ids encode_spans(const struct weir_vocab *v, const char *text, gsize len, guint flags,
			       const struct weir_vocab_span *plain, size_t n_plain)
{
	struct ids r = { NULL, 0 };
	struct weir_error err;
	weir_status status = weir_vocab_encode(v, (struct weir_str){ text, len }, flags, plain,
					       n_plain, &r.ids, &r.n, &err);

	if (status < 0)
		g_error("%s", err.text);
	return r;
}

static struct ids encode(const struct weir_vocab *v, const char *text, guint flags)
{
	return encode_spans(v, text, strlen(text), flags, NULL, 0);
}

static char *join(struct ids r)
{
	GString *s = g_string_new(NULL);

	for (size_t i = 0; i < r.n; i++)
		g_string_append_printf(s, "%s%d", i ? " " : "", r.ids[i]);
	return g_string_free(s, FALSE);
}

static void assert_ids(struct ids r, const char *expected)
{
	g_autofree char *got = join(r);

	g_assert_cmpstr(got, ==, expected);
	free(r.ids);
}

static void assert_text(const struct weir_vocab *v, struct ids r, guint flags, const char *expected,
			gsize len)
{
	struct weir_error err;
	char *text;
	size_t n;

	g_assert_cmpint(weir_vocab_decode(v, r.ids, r.n, flags, &text, &n, &err), ==, WEIR_OK);
	g_assert_cmpmem(text, n, expected, len);
	free(text);
}

static void assert_round_trip(const struct weir_vocab *v, const char *text, gsize len)
{
	struct ids r = encode_spans(v, text, len, 0, NULL, 0);

	assert_text(v, r, 0, text, len);
	free(r.ids);
}

/* ---- the published cases ---- */

static void test_published(gconstpointer name)
{
	g_autofree char *inp = data_path(name, ".inp"), *out = data_path(name, ".out");
	g_autofree char *texts = NULL, *lines = NULL;
	g_auto(GStrv) cases = NULL, ids = NULL;
	struct weir_vocab *v = load_published(name);

	if (!v)
		return;
	g_assert_true(g_file_get_contents(inp, &texts, NULL, NULL));
	g_assert_true(g_file_get_contents(out, &lines, NULL, NULL));
	cases = g_strsplit(texts, SEPARATOR, -1);
	ids = g_strsplit(lines, "\n", -1);
	g_assert_cmpuint(g_strv_length(cases), ==, 47); /* the last one is the end of the file */
	g_assert_cmpuint(g_strv_length(ids), >=, 46);
	for (guint i = 0; i < 46; i++) {
		struct ids r = encode(v, cases[i], 0);
		g_autofree char *got = join(r);
		gsize len = strlen(cases[i]);

		if (strcmp(got, g_strstrip(ids[i])) != 0)
			g_test_message("case %u: '%s'", i, cases[i]);
		g_assert_cmpstr(got, ==, ids[i]);
		assert_text(v, r, 0, cases[i], len);
		free(r.ids);
	}
	weir_vocab_free(v);
}

static void test_published_ids(void)
{
	struct weir_vocab *v = load_published("llama-spm");
	char piece[8];

	if (!v)
		return;
	g_assert_cmpstr(weir_vocab_model(v), ==, "llama");
	g_assert_cmpuint(weir_vocab_n_tokens(v), ==, 32000);
	g_assert_cmpint(weir_vocab_bos(v), ==, 1);
	g_assert_cmpint(weir_vocab_eos(v), ==, 2);
	g_assert_cmpint(weir_vocab_unk(v), ==, 0);
	g_assert_cmpint(weir_vocab_pad(v), ==, -1);
	g_assert_true(weir_vocab_adds_bos(v));
	g_assert_false(weir_vocab_adds_eos(v));
	g_assert_true(weir_vocab_is_end(v, 2));
	g_assert_false(weir_vocab_is_end(v, 1));
	g_assert_cmpint(weir_vocab_token_type(v, 3), ==, WEIR_VOCAB_BYTE);
	assert_ids(encode(v, "Hello", WEIR_VOCAB_ADD_SPECIAL), "1 15043");
	assert_ids(encode(v, "</s>", WEIR_VOCAB_PARSE_SPECIAL), "2");
	/* Typed by a user it is text, and merging does not make the control token either. */
	assert_ids(encode(v, "</s>", 0), "1533 29879 29958");
	assert_ids(encode(v, "<s>x", WEIR_VOCAB_ADD_SPECIAL | WEIR_VOCAB_PARSE_SPECIAL), "1 921");
	g_assert_cmpuint(weir_vocab_piece(v, 15043, 0, piece, sizeof(piece)), ==, 6);
	g_assert_cmpmem(piece, 6, " Hello", 6);
	g_assert_cmpuint(weir_vocab_piece(v, 15043, WEIR_VOCAB_PIECE_FIRST, piece, 2), ==, 5);
	g_assert_cmpmem(piece, 2, "He", 2);
	g_assert_cmpuint(weir_vocab_piece(v, 2, 0, piece, sizeof(piece)), ==, 0);
	g_assert_cmpuint(weir_vocab_piece(v, 2, WEIR_VOCAB_PIECE_SPECIAL, piece, 8), ==, 4);
	g_assert_cmpuint(weir_vocab_piece(v, -1, 0, piece, 8), ==, 0);
	g_assert_cmpuint(weir_vocab_piece(v, 32000, 0, piece, 8), ==, 0);
	weir_vocab_free(v);
}

/* ---- round trips ---- */

/* Text of pieces of words, random runes and stray bytes, but without the bytes in `missing`. */
static gsize random_text(GRand *rand, const gboolean *missing, char *out, gsize cap)
{
	static const char *const bits[] = { " ",
					    "  ",
					    "\n",
					    "\t",
					    "'s",
					    "'LL",
					    "a",
					    "the",
					    " of",
					    "ing",
					    "Z",
					    "1",
					    "2025",
					    ".",
					    "!!",
					    "\xc3\xbc",
					    "\xe4\xb8\xad\xe6\x96\x87",
					    "\xf0\x9f\xa6\x99",
					    "\xe2\x80\x8d",
					    "\xd9\x83",
					    "\r\n",
					    "\xcc\x81" };
	gsize n = 0, want = (gsize)g_rand_int_range(rand, 0, (gint)cap - 20);

	while (n < want) {
		gint kind = g_rand_int_range(rand, 0, 5);
		gsize len = 1;

		if (kind < 3) {
			const char *s = bits[g_rand_int_range(rand, 0, G_N_ELEMENTS(bits))];

			len = strlen(s);
			memcpy(out + n, s, len);
		} else if (kind == 3) {
			gunichar rune = (gunichar)g_rand_int_range(rand, 1, 0x110000);

			if (rune >= 0xd800 && rune < 0xe000)
				rune -= 0x800;
			len = (gsize)g_unichar_to_utf8(rune, out + n);
		} else {
			out[n] = (char)g_rand_int_range(rand, 0, 256);
		}
		for (gsize i = 0; missing && i < len; i++)
			if (missing[(guint8)out[n + i]])
				len = 0;
		n += len;
	}
	return n;
}

static void test_fuzz(gconstpointer name)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1120);
	struct weir_vocab *v = load_published(name);
	gboolean missing[256];
	guint n_missing = 0;
	char text[300];

	if (!v)
		return;
	for (guint b = 0; b < 256; b++) {
		struct ids r = encode_spans(v, (const char[]){ (char)b }, 1, 0, NULL, 0);

		missing[b] = r.n == 0;
		n_missing += missing[b];
		free(r.ids);
	}
	/* Bytes that no valid UTF-8 has; and falcon was made without some control characters. */
	g_assert_cmpuint(n_missing, ==,
			 strcmp(name, "deepseek-coder") == 0 ? 13
			 : strcmp(name, "falcon") == 0       ? 28
							     : 0);
	for (guint round = 0; round < 4000; round++) {
		gsize len = random_text(rand, missing, text, sizeof(text));

		/* SentencePiece takes U+2581 for a space. */
		if (strcmp(name, "llama-spm") != 0 || !memmem(text, len, "\xe2\x96\x81", 3))
			assert_round_trip(v, text, len);
	}
	weir_vocab_free(v);
}

/* Words of this length take minutes when they cost their length squared. */
static void test_long(gconstpointer name)
{
	static const char *const units[] = { "a",    " ",    "\n",
					     "ab",   "1",    "\xe4\xb8\xad",
					     "=",    "\xff", "the quick brown fox. ",
					     "aaaa " };
	struct weir_vocab *v = load_published(name);

	if (!v)
		return;
	for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
		g_autoptr(GString) s = g_string_new(NULL);

		if (units[i][0] == '\xff' && strcmp(name, "gpt-2") != 0)
			continue;
		while (s->len < 250000)
			g_string_append(s, units[i]);
		assert_round_trip(v, s->str, s->len);
	}
	weir_vocab_free(v);
}

/* ---- small vocabularies made here ---- */

struct small_token {
	const char *text;
	guint type;
	float score;
};

static GByteArray *small_file_with(const char *model, const struct small_token *tokens, gsize n,
				   const char *const *merges, gsize n_merges,
				   const char *const *flags)
{
	GByteArray *f = g_byte_array_new();
	guint n_flags = flags ? g_strv_length((char **)flags) : 0;

	put_head(f, 3, 0, 5 + (merges != NULL) + n_flags);
	for (guint i = 0; i < n_flags; i++) {
		put_key(f, flags[i] + 1, 7);
		put_int(f, flags[i][0] == '+', 1);
	}
	put_key_string(f, "tokenizer.ggml.model", model);
	put_key_string(f, "tokenizer.ggml.pre", "gpt-2");
	put_array(f, "tokenizer.ggml.tokens", 8, n);
	for (gsize i = 0; i < n; i++)
		put_string(f, tokens[i].text);
	put_array(f, "tokenizer.ggml.token_type", 5, n);
	for (gsize i = 0; i < n; i++)
		put_u32(f, tokens[i].type);
	put_array(f, "tokenizer.ggml.scores", 6, n);
	for (gsize i = 0; i < n; i++)
		g_byte_array_append(f, (const guint8 *)&tokens[i].score, 4);
	if (merges) {
		put_array(f, "tokenizer.ggml.merges", 8, n_merges);
		for (gsize i = 0; i < n_merges; i++)
			put_string(f, merges[i]);
	}
	return f;
}

static GByteArray *small_file(const char *model, const struct small_token *tokens, gsize n,
			      const char *const *merges, gsize n_merges)
{
	return small_file_with(model, tokens, n, merges, n_merges, NULL);
}

static const struct small_token bpe_tokens[] = {
	/* 0 */ { "a", 1, 0 },
	{ "b", 1, 0 },
	{ "c", 1, 0 },
	{ "ab", 1, 0 },
	{ "bc", 1, 0 },
	{ "abc", 1, 0 },
	{ "<", 1, 0 },
	{ "|", 1, 0 },
	{ ">", 1, 0 },
	{ "<|", 1, 0 },
	/* 10 */ { "<||", 1, 0 },
	{ "never", 5, 0 },
	{ "<||>", 3, 0 },
	{ "<|im_end|>", 1, 0 }, /* mistyped, as some files have it */
	{ "bb", 4, 0 },
	{ "bbb", 4, 0 },
	{ "bbc", 3, 0 },
	{ "<|user|>", 4, 0 },
};

static const char *const bpe_merges[] = { "b c", "a b", "a bc", "< |", "<| |", "<|| >", "x y" };

static struct weir_vocab *small_bpe(void)
{
	g_autoptr(GByteArray) f = small_file("gpt2", bpe_tokens, G_N_ELEMENTS(bpe_tokens),
					     bpe_merges, G_N_ELEMENTS(bpe_merges));

	return load(f, WEIR_VOCAB_NOTE, "2 of 7 merges");
}

static void test_merges(void)
{
	struct weir_vocab *v = small_bpe();

	assert_ids(encode(v, "abc", 0), "5"); /* rank decides: bc before ab */
	assert_ids(encode(v, "ab", 0), "3");
	assert_ids(encode(v, "abab", 0), "3 3");
	assert_ids(encode(v, "", 0), "");
	g_assert_cmpint(weir_vocab_bos(v), ==, -1);
	assert_ids(encode(v, "a", WEIR_VOCAB_ADD_SPECIAL), "0");
	weir_vocab_free(v);
}

/* A byte without a token is left out, and the caller hears of it. */
static void test_lost(void)
{
	struct weir_vocab *v = small_bpe();
	struct weir_error err;
	int32_t *ids;
	size_t n;

	g_assert_cmpint(
		weir_vocab_encode(v, (struct weir_str){ "axb\xff", 4 }, 0, NULL, 0, &ids, &n, &err),
		==, WEIR_VOCAB_NOTE);
	g_assert_nonnull(strstr(err.text, "2 bytes"));
	assert_ids((struct ids){ ids, n }, "0 1");
	weir_vocab_free(v);
}

static void test_specials(void)
{
	struct weir_vocab *v = small_bpe();
	const guint parse = WEIR_VOCAB_PARSE_SPECIAL;

	/* The control token comes from parsing only, never from merges. */
	assert_ids(encode(v, "a<||>c", parse), "0 12 2");
	assert_ids(encode(v, "a<||>c", 0), "0 10 8 2");
	/* User-defined tokens always; the longest, from the left. */
	assert_ids(encode(v, "abba", 0), "0 14 0");
	assert_ids(encode(v, "bbbbb", 0), "15 14");
	assert_ids(encode(v, "bbc", 0), "14 2");
	assert_ids(encode(v, "bbc", parse), "16");
	assert_ids(encode(v, "bb", parse), "14");
	/* Markers that the file types as user-defined, or as normal, are guarded too. */
	assert_ids(encode(v, "<|user|>", parse), "17");
	assert_ids(encode(v, "<|im_end|>", parse), "13");
	g_assert_true(weir_vocab_is_end(v, 13));
	g_assert_cmpint(weir_vocab_eot(v), ==, 13);
	g_assert_cmpint(weir_vocab_find(v, (struct weir_str){ "<|user|>", 8 }), ==, 17);
	g_assert_cmpint(weir_vocab_find(v, (struct weir_str){ "<|use", 5 }), ==, -1);
	assert_ids(encode(v, "<|user|>", 0), "9 7 8");
	weir_vocab_free(v);
}

/* The texts that end a turn in the families of models that are served, without a key to say so. */
static void test_family_ends(void)
{
	static const struct small_token tokens[][3] = {
		{ { "a", 1, 0 }, { "<|endoftext|>", 3, 0 }, { "<|im_end|>", 3, 0 } }, /* qwen */
		{ { "a", 1, 0 }, { "<|endoftext|>", 3, 0 }, { "<|end|>", 3, 0 } },    /* phi */
		{ { "a", 1, 0 }, { "<eos>", 3, 0 }, { "<end_of_turn>", 3, 0 } },      /* gemma */
	};

	for (gsize i = 0; i < G_N_ELEMENTS(tokens); i++) {
		g_autoptr(GByteArray) f = small_file("gpt2", tokens[i], 3, bpe_merges, 1);
		struct weir_vocab *v = load(f, WEIR_VOCAB_NOTE, "1 of 1 merges");

		g_assert_cmpint(weir_vocab_eot(v), ==, 2);
		g_assert_true(weir_vocab_is_end(v, 2));
		g_assert_true(weir_vocab_is_end(v, 1));
		g_assert_false(weir_vocab_is_end(v, 0));
		weir_vocab_free(v);
	}
}

/* What lies in a plain span never becomes a control token, not even with help from outside of it.
 */
static void test_spans(void)
{
	static const struct {
		struct weir_vocab_span span;
		const char *ids; /* of "<||>a<||>bb" */
	} cases[] = {
		{ { 0, 0 }, "12 0 12 14" },   { { 0, 11 }, "10 8 0 10 8 14" },
		{ { 4, 5 }, "12 0 12 14" },   { { 0, 4 }, "10 8 0 12 14" },
		{ { 3, 5 }, "10 8 0 12 14" }, { { 4, 6 }, "12 0 10 8 14" },
		{ { 7, 8 }, "12 0 10 8 14" }, { { 9, 11 }, "12 0 12 14" },
		{ { 8, 9 }, "12 0 10 8 14" },
	};
	static const struct weir_vocab_span wrong[][2] = { { { 3, 2 }, { 4, 5 } },
							   { { 0, 4 }, { 3, 5 } },
							   { { 0, 1 }, { 2, 12 } } };
	struct weir_vocab *v = small_bpe();
	const char *text = "<||>a<||>bb";
	struct weir_error err;
	int32_t *ids;
	size_t n;

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
		assert_ids(encode_spans(v, text, 11, WEIR_VOCAB_PARSE_SPECIAL, &cases[i].span, 1),
			   cases[i].ids);
	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_cmpint(weir_vocab_encode(v, (struct weir_str){ text, 11 }, 0, wrong[i], 2,
						  &ids, &n, &err),
				==, WEIR_E_INVALID);
	weir_vocab_free(v);
}

#define SPACE "\xe2\x96\x81"

static void test_small_spm(void)
{
	static const struct small_token tokens[] = {
		/* 0 */ { "<unk>", 2, 0 },
		{ "<s>", 3, 0 },
		{ "</s>", 3, 0 },
		{ SPACE, 1, -9 },
		{ "a", 1, -9 },
		{ "b", 1, -9 },
		{ "ab", 1, -2 },
		{ "ba", 1, -1 },
		{ SPACE "a", 1, -3 },
		{ "b" SPACE "a", 1, -8 },
		{ "<0x0A>", 6, 0 },
		{ "xx", 4, 0 },
		{ "<s", 1, -1 },
		{ "<", 1, -1 },
		{ "s", 1, -1 },
		{ ">", 1, -1 },
	};
	g_autoptr(GByteArray) f = small_file("llama", tokens, G_N_ELEMENTS(tokens), NULL, 0);
	struct weir_vocab *v = load(f, WEIR_OK, NULL);
	struct ids r;

	assert_ids(encode(v, "aba", 0), "8 7");   /* ba scores highest, then _a */
	assert_ids(encode(v, "bab", 0), "3 7 5"); /* ba before ab */
	assert_ids(encode(v, "b a", 0), "3 9");   /* across the space: no cut between words */
	assert_ids(encode(v, "a\n", 0), "8 10");
	assert_ids(encode(v,
			  "\xc3\xa9"
			  "a",
			  0),
		   "3 0 4");                        /* no byte tokens: one unk a rune */
	assert_ids(encode(v, "<s>", 0), "3 12 15"); /* <s> is no piece to merge to */
	assert_ids(encode(v, "a<s>a", WEIR_VOCAB_PARSE_SPECIAL), "8 1 8");
	assert_ids(encode(v, "axxa", 0), "8 11 8");
	assert_ids(encode(v, "", WEIR_VOCAB_ADD_SPECIAL), "1");
	r = encode(v, " a<s> axxa", WEIR_VOCAB_PARSE_SPECIAL);
	assert_text(v, r, WEIR_VOCAB_PIECE_SPECIAL, " a<s> axxa", 10);
	free(r.ids);
	weir_vocab_free(v);
}

/* What the file says of bos, eos and the space in front. */
static void test_flags(void)
{
	static const struct small_token tokens[] = {
		{ "<unk>", 2, 0 }, { "<s>", 3, 0 }, { "</s>", 3, 0 },   { SPACE, 1, -1 },
		{ "a", 1, -1 },    { "|>", 1, -1 }, { "<|x|>", 4, -1 }, { "<|x", 1, -1 },
		{ "<|", 1, -1 },   { "<", 1, -1 },  { "|", 1, -1 },     { "x", 1, -1 },
		{ ">", 1, -1 },
	};
	static const char *const flags[] = { "-tokenizer.ggml.add_space_prefix",
					     "-tokenizer.ggml.add_bos_token",
					     "+tokenizer.ggml.add_eos_token", NULL };
	const guint both = WEIR_VOCAB_ADD_SPECIAL | WEIR_VOCAB_PARSE_SPECIAL;
	g_autoptr(GByteArray) f =
		small_file_with("llama", tokens, G_N_ELEMENTS(tokens), NULL, 0, flags);
	struct weir_vocab *v = load(f, WEIR_OK, NULL);
	char piece[4];

	assert_ids(encode(v, "a", 0), "4");
	assert_ids(encode(v, " a", 0), "3 4");
	assert_round_trip(v, " a", 2);
	g_assert_cmpuint(weir_vocab_piece(v, 3, WEIR_VOCAB_PIECE_FIRST, piece, 4), ==, 1);
	assert_ids(encode(v, "a", WEIR_VOCAB_ADD_SPECIAL), "4 2");
	assert_ids(encode(v, "a</s>", both), "4 2");
	g_assert_false(weir_vocab_adds_bos(v));
	g_assert_true(weir_vocab_adds_eos(v));
	/* A guarded marker is no piece that merging could end in. */
	assert_ids(encode(v, "<|x|>", WEIR_VOCAB_PARSE_SPECIAL), "6");
	assert_ids(encode(v, "<|x|>", 0), "7 5");
	weir_vocab_free(v);
}

/* ---- files that are refused ---- */

static void test_refused(void)
{
	static const struct small_token one[] = { { "a", 1, 0 } };
	static const char *const models[] = { "rwkv", "plamo2", "none", "" };
	static const char *const merges[] = { "a a" };
	const float nan = 0.0f / 0.0f * -1.0f;
	struct small_token bad = { "a", 1, nan };
	GByteArray *f;

	for (gsize i = 0; i < G_N_ELEMENTS(models); i++) {
		f = small_file(models[i], one, 1, NULL, 0);
		load(f, WEIR_E_UNSUPPORTED, "not supported");
		g_byte_array_unref(f);
	}
	f = small_file("gpt2", one, 1, NULL, 0);
	load(f, WEIR_E_NOT_FOUND, "tokenizer.ggml.merges");
	g_byte_array_unref(f);
	f = small_file("gpt2", one, 0, merges, 1);
	load(f, WEIR_E_INVALID, "0 items");
	g_byte_array_unref(f);
	f = small_file("llama", &bad, 1, NULL, 0);
	load(f, WEIR_E_INVALID, "not a number");
	g_byte_array_unref(f);

	f = g_byte_array_new();
	put_head(f, 3, 0, 0);
	load(f, WEIR_E_NOT_FOUND, "tokenizer.ggml.model");
	g_byte_array_unref(f);

	f = g_byte_array_new(); /* fewer types than tokens */
	put_head(f, 3, 0, 3);
	put_key_string(f, "tokenizer.ggml.model", "llama");
	put_array(f, "tokenizer.ggml.tokens", 8, 2), put_string(f, "a"), put_string(f, "b");
	put_array(f, "tokenizer.ggml.token_type", 5, 1), put_u32(f, 1);
	load(f, WEIR_E_INVALID, "1 items for 2 tokens");
	g_byte_array_unref(f);

	f = g_byte_array_new(); /* ids out of range are as good as none; an unknown pre is a note */
	put_head(f, 3, 0, 6);
	put_key_string(f, "tokenizer.ggml.model", "gpt2");
	put_key_string(f, "tokenizer.ggml.pre", "a-new-one");
	put_array(f, "tokenizer.ggml.tokens", 8, 1), put_string(f, "a");
	put_array(f, "tokenizer.ggml.merges", 8, 0);
	put_key_u32(f, "tokenizer.ggml.bos_token_id", 1);
	put_key_u32(f, "tokenizer.ggml.eos_token_id", G_MAXUINT32);
	{
		struct weir_vocab *v = load(f, WEIR_VOCAB_NOTE, "a-new-one");

		g_assert_cmpint(weir_vocab_bos(v), ==, -1);
		g_assert_cmpint(weir_vocab_eos(v), ==, -1);
		g_assert_false(weir_vocab_adds_bos(v));
		weir_vocab_free(v);
	}
	g_byte_array_unref(f);
}

/* Random token texts, types and merges: whatever loads must encode anything without harm. */
static void test_hostile(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(46);
	static const char *const texts[] = { "",
					     "a",
					     "b",
					     "ab",
					     "<0x41>",
					     "<0xZZ>",
					     SPACE,
					     "\xff",
					     SPACE "a",
					     "<|x|>",
					     "<s>",
					     "\xc4\xa0",
					     "aa",
					     "aaa",
					     " ",
					     "a b",
					     "\xc4\xa0"
					     "a",
					     "<|",
					     "<|end|>" };

	for (guint round = 0; round < 3000; round++) {
		struct small_token tokens[12];
		const char *merges[6];
		gsize n = (gsize)g_rand_int_range(rand, 1, 13);
		g_autoptr(GByteArray) f = NULL;
		struct weir_gguf *g = NULL;
		struct weir_vocab *v = NULL;
		char text[40];

		for (gsize i = 0; i < n; i++) {
			tokens[i].text = texts[g_rand_int_range(rand, 0, G_N_ELEMENTS(texts))];
			tokens[i].type = (guint)g_rand_int_range(rand, 0, 9);
			tokens[i].score = (float)g_rand_double_range(rand, -2, 2);
		}
		for (gsize i = 0; i < G_N_ELEMENTS(merges); i++)
			merges[i] = (const char *[]){
				"a b",        "a a", "aa a", " ",  "",
				"\xc4\xa0 a", "ab",  "a ",   " a", "a b c"
			}[g_rand_int_range(rand, 0, 10)];
		f = small_file(round % 2 ? "gpt2" : "llama", tokens, n, merges,
			       G_N_ELEMENTS(merges));
		g_assert_cmpint(weir_gguf_open_memory(f->data, f->len, &g, NULL), ==, WEIR_OK);
		g_assert_cmpint(weir_vocab_load(g, &v, NULL), >=, 0);
		for (guint i = 0; i < 4; i++) {
			gsize len = random_text(rand, NULL, text, sizeof(text));
			struct ids r = encode_spans(v, text, len, i, NULL, 0);
			struct weir_error err;
			char *back;
			size_t back_len;

			for (size_t j = 0; j < r.n; j++)
				g_assert_true(r.ids[j] >= 0 && (gsize)r.ids[j] < n);
			g_assert_cmpint(weir_vocab_decode(v, r.ids, r.n, i, &back, &back_len, &err),
					==, WEIR_OK);
			free(back);
			free(r.ids);
		}
		weir_vocab_free(v);
		weir_gguf_close(g);
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "llama-spm", "gpt-2", "deepseek-coder", "falcon" };

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *published = g_strdup_printf("/tokenizer/published/%s", names[i]);
		g_autofree char *fuzz = g_strdup_printf("/tokenizer/fuzz/%s", names[i]);
		g_autofree char *longs = g_strdup_printf("/tokenizer/long/%s", names[i]);

		g_test_add_data_func(published, names[i], test_published);
		g_test_add_data_func(fuzz, names[i], test_fuzz);
		g_test_add_data_func(longs, names[i], test_long);
	}
	g_test_add_func("/tokenizer/published-ids", test_published_ids);
	g_test_add_func("/tokenizer/merges", test_merges);
	g_test_add_func("/tokenizer/lost", test_lost);
	g_test_add_func("/tokenizer/specials", test_specials);
	g_test_add_func("/tokenizer/family-ends", test_family_ends);
	g_test_add_func("/tokenizer/spans", test_spans);
	g_test_add_func("/tokenizer/small-spm", test_small_spm);
	g_test_add_func("/tokenizer/flags", test_flags);
	g_test_add_func("/tokenizer/refused", test_refused);
	g_test_add_func("/tokenizer/hostile", test_hostile);
	return g_test_run();
}
