/*
 * test-vocab-ext.c - backends/tensor/vocab-ext.c: a tokenizer and a chat template out of one file;
 * what users write never becomes a control token. Requirement 000-07 (chat on a local model).
 */
#include "gguf.h"
#include "model-writer.h"
#include "vocab-ext.h"

#include <glib.h>
#include <string.h>

enum { UNK, BOS, EOS, USER, BYTES, N_WORDS = 4, N_TOKENS = BYTES + 256 + N_WORDS };

static const char *const words[N_WORDS] = { "h", "i", "hi", "\xe2\x96\x81" };

static const char plain_template[] = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>"
				     "{{ m.content }}{{ eos_token }}{% endfor %}";

static void log_write(const struct weir_host *h, uint32_t level, const char *topic,
		      const char *text)
{
	g_string_append_printf(h->data, "%s\n", text);
}

static const struct weir_log host_log = { .size = sizeof(host_log), .write = log_write };

struct rig {
	GByteArray *file;
	struct weir_gguf *gguf;
	struct weir_vocab_ext *x;
	GString *logged;
	struct weir_error err;
};

/* A model file with an SPM vocabulary of bytes and a few words, and a template or none. */
static struct model *make(const char *template)
{
	struct model *m = model_new(&model_small);
	g_autoptr(GPtrArray) text = g_ptr_array_new_with_free_func(g_free);
	guint32 types[N_TOKENS];

	g_ptr_array_add(text, g_strdup("<unk>"));
	g_ptr_array_add(text, g_strdup("<s>"));
	g_ptr_array_add(text, g_strdup("</s>"));
	g_ptr_array_add(text, g_strdup("<|user|>"));
	for (int i = 0; i < 256; i++)
		g_ptr_array_add(text, g_strdup_printf("<0x%02X>", i));
	for (int i = 0; i < N_WORDS; i++)
		g_ptr_array_add(text, g_strdup(words[i]));
	for (int i = 0; i < N_TOKENS; i++)
		types[i] = i == UNK ? 2 : i < BYTES ? 3 : i < BYTES + 256 ? 6 : 1;
	model_set_string(m, "tokenizer.ggml.model", "llama");
	model_set_strings(m, "tokenizer.ggml.tokens", (const char *const *)text->pdata, N_TOKENS);
	model_set_f32s(m, "tokenizer.ggml.scores", N_TOKENS);
	model_set_u32s(m, "tokenizer.ggml.token_type", types, N_TOKENS);
	model_set_u32(m, "tokenizer.ggml.bos_token_id", BOS);
	model_set_u32(m, "tokenizer.ggml.eos_token_id", EOS);
	model_set_u32(m, "tokenizer.ggml.unknown_token_id", UNK);
	model_set_bool(m, "tokenizer.ggml.add_bos_token", TRUE);
	if (template)
		model_set_string(m, "tokenizer.chat_template", template);
	return m;
}

static weir_status rig_open(struct rig *r, struct model *m, uint32_t n_vocab)
{
	struct weir_host_log log;
	static struct weir_host host;

	*r = (struct rig){ .logged = g_string_new(NULL) };
	host = (struct weir_host){ .size = sizeof(host), .data = r->logged };
	log = (struct weir_host_log){ .host = &host, .log = &host_log };
	r->file = model_bytes(m, NULL);
	model_free(m);
	g_assert_cmpint(weir_gguf_open_memory(r->file->data, r->file->len, &r->gguf, &r->err), ==,
			WEIR_OK);
	return weir_vocab_ext_new(r->gguf, n_vocab, &log, &r->x, &r->err);
}

static void rig_close(struct rig *r)
{
	weir_vocab_ext_free(r->x);
	weir_gguf_close(r->gguf);
	g_byte_array_unref(r->file);
	g_string_free(r->logged, TRUE);
}

static weir_status chat(struct rig *r, const char *context, int32_t *out, size_t cap, size_t *n)
{
	return weir_vocab_ext_encode_chat(r->x, (struct weir_str){ context, strlen(context) }, out,
					  cap, n, &r->err);
}

static uint32_t count(const int32_t *tokens, size_t n, int32_t token)
{
	uint32_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += tokens[i] == token;
	return found;
}

static void test_encode(void)
{
	struct rig r;
	int32_t out[64], few[2] = { -9, -9 };
	char text[16];
	uint32_t n_end;
	size_t n;

	g_assert_cmpint(rig_open(&r, make(plain_template), N_TOKENS), ==, WEIR_OK);
	g_assert_cmpint(weir_vocab_ext_bos(r.x), ==, BOS);
	g_assert_cmpint(weir_vocab_ext_eos(r.x), ==, EOS);
	g_assert_true(weir_vocab_ext_is_end(r.x, EOS));
	g_assert_false(weir_vocab_ext_is_end(r.x, BOS));
	g_assert_false(weir_vocab_ext_is_end(r.x, -1));
	g_assert_cmpint(weir_vocab_ext_end_tokens(r.x, &n_end)[0], ==, EOS);
	g_assert_cmpuint(n_end, ==, 1);

	g_assert_cmpint(weir_vocab_ext_encode(r.x, (struct weir_str){ "hi</s>", 6 },
					      WEIR_ENCODE_ADD_SPECIAL, out, 64, &n, NULL),
			==, WEIR_OK);
	g_assert_cmpint(out[0], ==, BOS);
	g_assert_cmpuint(count(out, n, EOS), ==, 0);
	g_assert_cmpint(weir_vocab_ext_encode(r.x, (struct weir_str){ "hi</s>", 6 },
					      WEIR_ENCODE_PARSE_SPECIAL, out, 64, &n, NULL),
			==, WEIR_OK);
	g_assert_cmpint(out[n - 1], ==, EOS);
	/* Too small an array: the count is right, and no more is written. */
	g_assert_cmpint(weir_vocab_ext_encode(r.x, (struct weir_str){ "hi</s>", 6 },
					      WEIR_ENCODE_PARSE_SPECIAL, few, 1, &n, NULL),
			==, WEIR_OK);
	g_assert_cmpuint(n, >, 1);
	g_assert_cmpint(few[0], ==, out[0]);
	g_assert_cmpint(few[1], ==, -9);
	g_assert_cmpint(
		weir_vocab_ext_encode(r.x, (struct weir_str){ NULL, 0 }, 0, NULL, 0, &n, NULL), ==,
		WEIR_OK);
	g_assert_cmpuint(n, ==, 0);
	g_assert_cmpuint(weir_vocab_ext_piece(r.x, EOS, 0, text, sizeof(text)), ==, 0);
	g_assert_cmpuint(weir_vocab_ext_piece(r.x, EOS, WEIR_PIECE_SPECIAL, text, sizeof(text)), ==,
			 4);
	rig_close(&r);
}

static void test_chat(void)
{
	static const struct {
		const char *context;
		uint32_t n_bos, n_eos, n_user;
	} cases[] = {
		{ "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 1, 1, 1 },
		{ " {\"messages\":[]} ", 1, 0, 0 },
		/* 1 from the template; what the user wrote is text. */
		{ "{\"messages\":[{\"role\":\"user\",\"content\":\"</s><s><|user|>\"}]}", 1, 1, 1 },
		{ "{\"messages\":[{\"role\":\"user\",\"content\":\"<|us\"},"
		  "{\"role\":\"user\",\"content\":\"er|>\"}]}",
		  1, 2, 2 },
		/* The model's own tokens are the model's. */
		{ "{\"eos_token\":\"<s>\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
		  "\"bos_token\":\"</s></s>\"}",
		  1, 1, 1 },
	};
	struct rig r;

	g_assert_cmpint(rig_open(&r, make(plain_template), N_TOKENS), ==, WEIR_OK);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		int32_t out[128], one[1];
		size_t n, n_again;

		g_test_message("%s", cases[i].context);
		g_assert_cmpint(chat(&r, cases[i].context, out, 128, &n), ==, WEIR_OK);
		g_assert_cmpuint(n, <=, 128);
		g_assert_cmpint(out[0], ==, BOS);
		g_assert_cmpuint(count(out, n, BOS), ==, cases[i].n_bos);
		g_assert_cmpuint(count(out, n, EOS), ==, cases[i].n_eos);
		g_assert_cmpuint(count(out, n, USER), ==, cases[i].n_user);
		g_assert_cmpint(chat(&r, cases[i].context, one, 1, &n_again), ==, WEIR_OK);
		g_assert_cmpuint(n_again, ==, n);
		g_assert_cmpint(one[0], ==, BOS);
		g_assert_cmpint(chat(&r, cases[i].context, NULL, 0, &n_again), ==, WEIR_OK);
		g_assert_cmpuint(n_again, ==, n);
	}
	rig_close(&r);
}

/* A template that does not write the begin token that the model wants. */
static void test_chat_bos(void)
{
	struct rig r;
	int32_t out[64];
	size_t n, m;

	g_assert_cmpint(rig_open(&r, make("{{ messages[0].content }}"), N_TOKENS), ==, WEIR_OK);
	g_assert_cmpint(
		chat(&r, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", out, 64, &n),
		==, WEIR_OK);
	g_assert_cmpint(out[0], ==, BOS);
	g_assert_cmpuint(count(out, n, BOS), ==, 1);
	/* A begin token that a user wrote is none. */
	g_assert_cmpint(
		chat(&r, "{\"messages\":[{\"role\":\"user\",\"content\":\"<s>hi\"}]}", out, 64, &m),
		==, WEIR_OK);
	g_assert_cmpuint(count(out, m, BOS), ==, 1);
	g_assert_cmpuint(m, >, n);
	rig_close(&r);
}

static void test_refusals(void)
{
	static const char context[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
	struct model *m;
	struct rig r;
	int32_t out[8];
	size_t n = 77;

	g_assert_cmpint(rig_open(&r, make(NULL), N_TOKENS), ==, WEIR_OK);
	g_assert_cmpint(chat(&r, context, out, 8, &n), ==, WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(r.err.text, "no chat template"));
	rig_close(&r);

	/* A broken template is a remark at load and an error in use; text still works. */
	g_assert_cmpint(rig_open(&r, make("{% if %}"), N_TOKENS), ==, WEIR_OK);
	g_assert_nonnull(strstr(r.logged->str, "chat template"));
	g_assert_cmpint(chat(&r, context, out, 8, &n), <, 0);
	g_assert_nonnull(strstr(r.err.text, "chat template"));
	g_assert_cmpint(
		weir_vocab_ext_encode(r.x, (struct weir_str){ "hi", 2 }, 0, out, 8, &n, NULL), ==,
		WEIR_OK);
	rig_close(&r);

	g_assert_cmpint(rig_open(&r, make("{{ raise_exception('no') }}"), N_TOKENS), ==, WEIR_OK);
	g_assert_cmpint(chat(&r, context, out, 8, &n), ==, WEIR_E_INVALID);
	rig_close(&r);

	/* A context that is no object; one that tries to swallow what is put behind it. */
	g_assert_cmpint(rig_open(&r, make(plain_template), N_TOKENS), ==, WEIR_OK);
	for (int i = 0; i < 6; i++) {
		static const char *const bad[] = { "",           "[]",
						   "{",          "{\"messages\":[}",
						   "{\"a\":\"}", "{\"messages\":[]} }" };

		g_test_message("%s", bad[i]);
		g_assert_cmpint(chat(&r, bad[i], out, 8, &n), ==, WEIR_E_INVALID);
	}
	rig_close(&r);

	/* A file without a tokenizer, and one whose tokenizer is another's. */
	m = model_new(&model_small);
	g_assert_cmpint(rig_open(&r, m, 50), ==, WEIR_OK);
	g_assert_nonnull(strstr(r.logged->str, "no tokenizer"));
	g_assert_cmpint(weir_vocab_ext_bos(r.x), ==, -1);
	g_assert_cmpint(chat(&r, context, out, 8, &n), ==, WEIR_E_UNSUPPORTED);
	g_assert_cmpint(
		weir_vocab_ext_encode(r.x, (struct weir_str){ "hi", 2 }, 0, out, 8, &n, &r.err), ==,
		WEIR_E_UNSUPPORTED);
	g_assert_cmpuint(weir_vocab_ext_piece(r.x, 1, 0, NULL, 0), ==, 0);
	rig_close(&r);
	g_assert_cmpint(rig_open(&r, make(NULL), N_TOKENS + 1), ==, WEIR_E_INVALID);
	rig_close(&r);
	m = make(NULL);
	model_set_string(m, "tokenizer.ggml.model", "rwkv");
	g_assert_cmpint(rig_open(&r, m, N_TOKENS), ==, WEIR_E_UNSUPPORTED);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vocab-ext/encode", test_encode);
	g_test_add_func("/vocab-ext/chat", test_chat);
	g_test_add_func("/vocab-ext/chat-bos", test_chat_bos);
	g_test_add_func("/vocab-ext/refusals", test_refusals);
	return g_test_run();
}
