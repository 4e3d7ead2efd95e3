/*
 * test-infill.c - prompts with a hole (backends/tensor/tokenizer/infill.c): which tokens of a
 * vocabulary stand around it, in which order, and that no user's text becomes one of them.
 */
#include "gguf-writer.h"
#include "tokenizer.h"

#include <string.h>

#define SPACE "\xe2\x96\x81"
#define BAR   "\xef\xbd\x9c"

/* Tokens 0 .. 255 are bytes, 256 unknown, 257 begins, 258 ends, from 259 on `more`. */
enum { UNK = 256, BOS, EOS, MORE };

struct rig {
	GByteArray *file;
	struct weir_gguf *gguf;
	struct weir_vocab *vocab;
};

static void open_rig(struct rig *r, const char *const *more, guint32 type, const char *key,
		     guint32 id)
{
	guint n = g_strv_length((char **)more), n_tokens = MORE + n;
	struct weir_error err = { 0 };

	r->file = g_byte_array_new();
	put_head(r->file, 3, 0, 7 + (key != NULL));
	put_key(r->file, "general.architecture", 8);
	put_string(r->file, "llama");
	put_key(r->file, "tokenizer.ggml.model", 8);
	put_string(r->file, "llama");
	put_key(r->file, "tokenizer.ggml.tokens", 9);
	put_u32(r->file, 8);
	put_u64(r->file, n_tokens);
	for (guint i = 0; i < n_tokens; i++) {
		g_autofree char *byte = g_strdup_printf("<0x%02X>", i & 255);

		put_string(r->file, i < 256    ? byte
				    : i == UNK ? "<unk>"
				    : i == BOS ? "<s>"
				    : i == EOS ? "</s>"
					       : more[i - MORE]);
	}
	put_key(r->file, "tokenizer.ggml.scores", 9);
	put_u32(r->file, 6);
	put_u64(r->file, n_tokens);
	for (guint i = 0; i < n_tokens; i++)
		put_u32(r->file, 0);
	put_key(r->file, "tokenizer.ggml.token_type", 9);
	put_u32(r->file, 5);
	put_u64(r->file, n_tokens);
	for (guint i = 0; i < n_tokens; i++)
		put_u32(r->file, i < 256 ? 6 : i == UNK ? 2 : i < MORE ? 3 : type);
	put_key_u32(r->file, "tokenizer.ggml.bos_token_id", BOS);
	put_key_u32(r->file, "tokenizer.ggml.eos_token_id", EOS);
	if (key)
		put_key_u32(r->file, key, id);
	g_assert_cmpint(weir_gguf_open_memory(r->file->data, r->file->len, &r->gguf, &err), ==,
			WEIR_OK);
	if (weir_vocab_load(r->gguf, &r->vocab, &err) < 0)
		g_error("%s", err.text);
}

static void close_rig(struct rig *r)
{
	weir_vocab_free(r->vocab);
	weir_gguf_close(r->gguf);
	g_byte_array_unref(r->file);
}

/* Bytes as letters, ▁ as _, the tokens around holes as <their number among `more`>. */
static char *show(const int32_t *t, size_t n)
{
	GString *out = g_string_new(NULL);

	for (size_t i = 0; i < n; i++) {
		if (t[i] >= MORE)
			g_string_append_printf(out, "<%d>", t[i] - MORE);
		else if (t[i] == BOS)
			g_string_append_c(out, '^');
		else if (t[i] == 0xe2)
			g_string_append_c(out, '_');
		else if (t[i] < 128)
			g_string_append_c(out, t[i] == '\n' ? '/' : (char)t[i]);
	}
	return g_string_free(out, FALSE);
}

static char *fill(const struct rig *r, const struct weir_infill *hole)
{
	int32_t out[200];
	size_t n = 0;
	struct weir_error err = { 0 };

	g_assert_cmpint(weir_vocab_encode_infill(r->vocab, hole, out, 200, &n, &err), ==, WEIR_OK);
	g_assert_cmpuint(n, <=, 200);
	return show(out, n);
}

#define STR(text)                                                                                  \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

static void test_families(void)
{
	static const struct {
		const char *more[5];
		const char *want;
	} cases[] = {
		{ { "<|fim_suffix|>", "<|fim_middle|>", "<|fim_prefix|>" }, "^<2>_ab<0>c<1>" },
		{ { "<fim_prefix>", "<fim_suffix>", "<fim_middle>" }, "^<0>_ab<1>c<2>" },
		{ { "<fim-prefix>", "<fim-suffix>", "<fim-middle>" }, "^<0>_ab<1>c<2>" },
		{ { SPACE "<PRE>", SPACE "<MID>", SPACE "<SUF>" }, "^<0>_ab<2>c<1>" },
		{ { "<" BAR "fim" SPACE "begin" BAR ">", "<" BAR "fim" SPACE "hole" BAR ">",
		    "<" BAR "fim" SPACE "end" BAR ">" },
		  "^<0>_ab<1>c<2>" },
		{ { "[SUFFIX]", "[PREFIX]" }, "^<0>c<1>_ab" },
	};
	struct weir_infill hole = { .size = sizeof(hole), .prefix = STR("ab"), .suffix = STR("c") };

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		for (guint32 type = 1; type <= 4; type++) {
			g_autofree char *got = NULL;
			struct rig r;

			if (type == 2)
				continue;
			open_rig(&r, cases[i].more, type, NULL, 0);
			got = fill(&r, &hole);
			g_assert_cmpstr(got, ==, cases[i].want);
			close_rig(&r);
		}
	}
}

/* What people write is never one of them, however the file classes them. */
static void test_plain(void)
{
	static const char *const more[] = { "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
					    NULL };
	struct weir_infill hole = { .size = sizeof(hole),
				    .prefix = STR("<|fim_suffix|>x"),
				    .suffix = STR("<|fim_middle|><s>") };

	for (guint32 type = 1; type <= 4; type += 1 + (type == 1)) {
		g_autofree char *got = NULL;
		struct rig r;

		open_rig(&r, more, type, NULL, 0);
		got = fill(&r, &hole);
		g_assert_cmpstr(got, ==, "^<0>_<|fim_suffix|>x<1><|fim_middle|><s><2>");
		close_rig(&r);
	}
}

/* The file's keys count more than names; pad, rep and sep end an answer. */
static void test_keys(void)
{
	static const char *const more[] = { "<|fim_prefix|>", "<|fim_suffix|>",
					    "<|fim_middle|>", "<hole>",
					    "<|fim_pad|>",    "<|repo_name|>",
					    "<|file_sep|>",   NULL };
	struct weir_infill hole = { .size = sizeof(hole), .prefix = STR("a"), .suffix = STR("b") };
	g_autofree char *got = NULL;
	struct rig r;

	open_rig(&r, more, 1, "tokenizer.ggml.fim_mid_token_id", MORE + 3);
	got = fill(&r, &hole);
	g_assert_cmpstr(got, ==, "^<0>_a<1>b<3>");
	for (int32_t i = 0; i < 7; i++)
		g_assert_cmpint(weir_vocab_is_end(r.vocab, MORE + i), ==, i >= 4);
	close_rig(&r);
}

static void test_files_and_room(void)
{
	static const char *const more[] = { "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
					    "<|file_sep|>", NULL };
	static const struct weir_infill_file files[] = { { STR("f"), STR("old") },
							 { STR("g"), STR("new") } };
	static const struct {
		size_t room;
		const char *want;
	} cases[] = {
		{ 0, "^<3>_f/old/<3>_g/new/<0>_abcdefgh<1>ijklmnop<2>" },
		/* _ is three bytes here */
		{ 4 + 19 + 4, "^new/<0>_abcdefgh<1>ijklmnop<2>" },
		{ 4 + 8, "^<0>cdefgh<1>ij<2>" },
		{ 1, "^<0>h<1><2>" },
	};
	struct weir_infill hole = { .size = sizeof(hole),
				    .n_files = 2,
				    .files = files,
				    .prefix = STR("abcdefgh"),
				    .suffix = STR("ijklmnop") };
	struct rig r;

	open_rig(&r, more, 3, NULL, 0);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *got = NULL;

		hole.room = cases[i].room;
		got = fill(&r, &hole);
		g_assert_cmpstr(got, ==, cases[i].want);
	}
	close_rig(&r);
}

static void test_unsupported(void)
{
	static const char *const more[] = { "<|fim_prefix|>", "<|fim_suffix|>", NULL };
	struct weir_infill hole = { .size = sizeof(hole), .prefix = STR("a"), .suffix = STR("b") };
	struct weir_error err = { 0 };
	struct rig r;
	size_t n;

	open_rig(&r, more, 3, NULL, 0);
	g_assert_cmpint(weir_vocab_encode_infill(r.vocab, &hole, NULL, 0, &n, &err), ==,
			WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(err.text, "was not trained to fill"));
	close_rig(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/infill/families", test_families);
	g_test_add_func("/infill/plain", test_plain);
	g_test_add_func("/infill/keys", test_keys);
	g_test_add_func("/infill/files-and-room", test_files_and_room);
	g_test_add_func("/infill/unsupported", test_unsupported);
	return g_test_run();
}
