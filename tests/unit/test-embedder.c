/* SPDX-License-Identifier: MIT */
/*
 * test-embedder.c - weir.embedder/1 of decoders and encoders on the scalar device: limits,
 * poolings, the same bits in any company, programs made when they are needed, everything that is
 * refused.
 *
 * tests/numeric/embed-oracle.py holds the numbers against transformers.
 */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <weir/services.h>

#include "device-scalar.h"
#include "model-writer.h"

enum { DIM = 32, VOCAB = 50, STEP = 24, CTX = 96 };

struct rig {
	struct device_scalar d;
	const struct weir_embedder *e;
	struct weir_embedder_info info;
	struct weir_model model;
	struct weir_error err;
};

static GString *logged;

static void log_write(const struct weir_host *h, uint32_t level, const char *topic,
		      const char *text)
{
	g_string_append_printf(logged, "%s\n", text);
}

static const struct weir_log host_log = { .size = sizeof(host_log), .write = log_write };

static const void *host_ext(const struct weir_host *h, const char *id)
{
	return strcmp(id, WEIR_HOST_LOG) == 0 ? &host_log : NULL;
}

static const struct weir_host host = { .size = sizeof(host), .get_ext = host_ext };

/* r->d is set up by the caller. The embedder is NULL where the model has none. */
static void rig_load(struct rig *r, struct model *m)
{
	g_autofree char *path = model_write(m);
	struct weir_kv conf[] = { { "model", path },        { "block_tokens", "8" },
				  { "max_sequences", "4" }, { "max_batch_tokens", "24" },
				  { "kv_type", "f32" },     { "context", "96" } };
	const struct weir_backend_step *step;

	g_string_set_size(logged, 0);
	if (weir_tensor_backend_new(&host, &r->d.instance, &device_scalar, conf, G_N_ELEMENTS(conf),
				    &r->d.backend, &r->err) < 0)
		g_error("%s", r->err.text);
	step = weir_tensor_backend_ext(r->d.backend, WEIR_BACKEND_STEP);
	r->model.size = sizeof(r->model);
	if (step->load(&r->d.instance, &r->model, &r->err) < 0)
		g_error("%s", r->err.text);
	r->e = weir_tensor_backend_ext(r->d.backend, WEIR_EMBEDDER);
	r->info.size = sizeof(r->info);
	if (r->e)
		r->e->info(&r->d.instance, &r->info);
	model_free(m);
	g_unlink(path);
}

static void rig_open(struct rig *r, struct model *m)
{
	memset(r, 0, sizeof(*r));
	device_scalar_init(&r->d);
	rig_load(r, m);
}

static void rig_close(struct rig *r)
{
	weir_tensor_backend_free(r->d.backend);
	g_assert_cmpint(r->d.n_buffers, ==, 0);
	g_assert_cmpint(r->d.n_programs, ==, 0);
}

static struct model *model_of(const char *arch)
{
	struct model_spec spec = model_small;

	spec.arch = arch;
	return model_new(&spec);
}

/* Text i of so many tokens; long enough for all tests. */
static void text_of(uint32_t i, uint32_t n, int32_t *ret)
{
	for (uint32_t t = 0; t < n; t++)
		ret[t] = (int32_t)((i * 13 + t * 7 + t * t) % VOCAB);
}

/* Texts of these lengths in one call; numbers[i] says which text. */
static weir_status embed(struct rig *r, const uint32_t *numbers, const uint32_t *lengths,
			 uint32_t n, float *ret)
{
	uint32_t first[80] = { 0 };
	int32_t tokens[80 * CTX];

	for (uint32_t i = 0; i < n; i++) {
		text_of(numbers[i], lengths[i], tokens + first[i]);
		first[i + 1] = first[i] + lengths[i];
	}
	return r->e->embed(&r->d.instance, tokens, first, n, ret, &r->err);
}

static void embed_ok(struct rig *r, const uint32_t *numbers, const uint32_t *lengths, uint32_t n,
		     float *ret)
{
	if (embed(r, numbers, lengths, n, ret) < 0)
		g_error("%s", r->err.text);
}

/* Lengths around everything: one token, a step, more than a step, the limit. */
static const uint32_t lengths[] = { 5, 1, 24, 8, 25, 96, 2, 40, 17, 24 };
enum { N = G_N_ELEMENTS(lengths) };

static void test_company(gconstpointer arch)
{
	struct rig r;
	float together[N * DIM], alone[DIM], back[N * DIM];
	uint32_t numbers[N], numbers_back[N], lengths_back[N];

	rig_open(&r, model_of(arch));
	g_assert_nonnull(r.e);
	g_assert_cmpuint(r.info.n_dim, ==, DIM);
	g_assert_cmpuint(r.info.max_tokens, ==, CTX);
	g_assert_cmpuint(r.info.max_batch, ==, CTX);
	g_assert_cmpuint(r.info.pooling, ==, WEIR_POOLING_MEAN);
	g_assert_cmpuint(r.info.normalize, ==, 1);
	for (uint32_t i = 0; i < N; i++) {
		numbers[i] = i;
		numbers_back[i] = N - 1 - i;
		lengths_back[i] = lengths[N - 1 - i];
	}
	embed_ok(&r, numbers, lengths, N, together);
	embed_ok(&r, numbers_back, lengths_back, N, back);
	for (uint32_t i = 0; i < N; i++) {
		double sum = 0;

		embed_ok(&r, &i, &lengths[i], 1, alone);
		g_assert_cmpmem(alone, sizeof(alone), together + i * DIM, sizeof(alone));
		g_assert_cmpmem(alone, sizeof(alone), back + (N - 1 - i) * DIM, sizeof(alone));
		for (uint32_t k = 0; k < DIM; k++)
			sum += (double)alone[k] * (double)alone[k];
		g_assert_cmpfloat_with_epsilon(sum, 1, 1e-5);
		if (i > 0)
			g_assert_true(memcmp(alone, together, sizeof(alone)) != 0);
	}
	rig_close(&r);
}

/* More texts than a run holds. */
static void test_many(gconstpointer arch)
{
	struct rig r;
	uint32_t numbers[70], ones[70];
	float all[70 * DIM], alone[DIM];

	rig_open(&r, model_of(arch));
	for (uint32_t i = 0; i < 70; i++) {
		numbers[i] = i;
		ones[i] = 1 + i % 3;
	}
	embed_ok(&r, numbers, ones, 70, all);
	for (uint32_t i = 0; i < 70; i += 23) {
		embed_ok(&r, &numbers[i], &ones[i], 1, alone);
		g_assert_cmpmem(alone, sizeof(alone), all + i * DIM, sizeof(alone));
	}
	rig_close(&r);
}

/* A decoder's program costs nothing until it is asked for, and grows with the longest text. */
static void test_lazy(void)
{
	struct rig r;
	float x[DIM], again[DIM];
	uint32_t zero = 0, little = 5, much = 90;

	rig_open(&r, model_of("llama"));
	g_assert_cmpint(r.d.n_programs, ==, 1);
	embed_ok(&r, &zero, &little, 1, x);
	g_assert_cmpint(r.d.n_programs, ==, 2);
	g_assert_nonnull(strstr(logged->str, "a program for 24 tokens"));
	embed_ok(&r, &zero, &much, 1, again);
	g_assert_cmpint(r.d.n_programs, ==, 2);
	g_assert_nonnull(strstr(logged->str, "a program for 96 tokens"));
	embed_ok(&r, &zero, &little, 1, again);
	g_assert_cmpmem(x, sizeof(x), again, sizeof(again));
	rig_close(&r);
	rig_open(&r, model_of("bert"));
	g_assert_cmpint(r.d.n_programs, ==, 1);
	embed_ok(&r, &zero, &much, 1, x);
	g_assert_cmpint(r.d.n_programs, ==, 1);
	rig_close(&r);
}

/* What the file says of pooling, and what is taken when it says nothing. */
static void test_pooling(void)
{
	static const struct {
		int key, ends; /* -1: absent */
		uint32_t pooling;
	} cases[] = {
		{ -1, -1, WEIR_POOLING_MEAN }, { -1, 0, WEIR_POOLING_MEAN },
		{ -1, 1, WEIR_POOLING_LAST },  { 0, 1, WEIR_POOLING_LAST },
		{ 1, 1, WEIR_POOLING_MEAN },   { 2, -1, WEIR_POOLING_CLS },
		{ 3, 0, WEIR_POOLING_LAST },   { 99, -1, WEIR_POOLING_MEAN },
	};
	uint32_t zero = 0, one = 1, n = 9;
	float of[4][DIM], token[DIM];
	struct rig r;

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct model *m = model_of("llama");

		if (cases[i].key >= 0)
			model_set_u32(m, "llama.pooling_type", (guint32)cases[i].key);
		if (cases[i].ends >= 0)
			model_set_bool(m, "tokenizer.ggml.add_eos_token", cases[i].ends);
		rig_open(&r, m);
		g_assert_cmpuint(r.info.pooling, ==, cases[i].pooling);
		embed_ok(&r, &zero, &n, 1, of[cases[i].pooling]);
		embed_ok(&r, &zero, &one, 1, token);
		rig_close(&r);
	}
	/* The first token sees nothing but itself. */
	g_assert_cmpmem(of[WEIR_POOLING_CLS], sizeof(token), token, sizeof(token));
	g_assert_true(memcmp(of[WEIR_POOLING_LAST], token, sizeof(token)) != 0);
	g_assert_true(memcmp(of[WEIR_POOLING_MEAN], of[WEIR_POOLING_LAST], sizeof(token)) != 0);
}

static void test_rank(void)
{
	struct model *m = model_of("bert");
	uint32_t numbers[2] = { 1, 2 }, n[2] = { 7, 9 };
	float score[2], alone;
	struct rig r;

	model_set_u32(m, "bert.pooling_type", 4);
	rig_open(&r, m);
	g_assert_cmpuint(r.info.n_dim, ==, 1);
	g_assert_cmpuint(r.info.pooling, ==, WEIR_POOLING_RANK);
	g_assert_cmpuint(r.info.normalize, ==, 0);
	embed_ok(&r, numbers, n, 2, score);
	embed_ok(&r, &numbers[1], &n[1], 1, &alone);
	g_assert_cmpfloat(score[1], ==, alone);
	g_assert_cmpfloat(score[0], !=, score[1]);
	rig_close(&r);
}

/* Models and devices that cannot embed still generate. */
static void test_none(void)
{
	struct model *m = model_of("llama");
	struct rig r;

	model_set_u32(m, "llama.pooling_type", 4);
	rig_open(&r, m);
	g_assert_null(r.e);
	g_assert_nonnull(strstr(logged->str, "no embeddings: scores of pairs"));
	rig_close(&r);
	memset(&r, 0, sizeof(r));
	device_scalar_init(&r.d);
	r.d.refuse_op = WEIR_OP_ATTENTION_PACKED;
	rig_load(&r, model_of("qwen3"));
	g_assert_null(r.e);
	g_assert_cmpuint(r.model.max_rows, ==, 4);
	g_assert_nonnull(strstr(logged->str, "attention without a cache"));
	rig_close(&r);
}

static void test_refusals(gconstpointer arch)
{
	static const struct {
		uint32_t first[3];
		int32_t token; /* the second one */
		const char *text;
	} cases[] = {
		{ { 0, 0, 2 }, 1, "text 0 has 0 tokens, it may have 1 to 96" },
		{ { 0, 2, 2 }, 1, "text 1 has 0 tokens" },
		{ { 0, 3, 1 }, 1, "text 1 has -2 tokens" },
		{ { 0, 97, 98 }, 1, "text 0 has 97 tokens" },
		{ { 1, 2, 3 }, 1, "begins at 1" },
		{ { 0, 2, 3 }, VOCAB, "token 50 in text 0 is not below 50" },
		{ { 0, 2, 3 }, -1, "token -1 in text 0" },
	};
	struct rig r;
	float want[2 * DIM], got[2 * DIM];
	int32_t tokens[CTX + 2] = { 1, 2, 3 };
	const uint32_t first[3] = { 0, 2, 3 };

	rig_open(&r, model_of(arch));
	g_assert_cmpint(r.e->embed(&r.d.instance, tokens, first, 2, want, &r.err), ==, WEIR_OK);
	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		tokens[1] = cases[i].token;
		g_assert_cmpint(r.e->embed(&r.d.instance, tokens, cases[i].first, 2, got, &r.err),
				==, WEIR_E_INVALID);
		if (!strstr(r.err.text, cases[i].text))
			g_error("case %zu: %s", i, r.err.text);
	}
	tokens[1] = 2;
	r.d.interrupted = true;
	g_assert_cmpint(r.e->embed(&r.d.instance, tokens, first, 2, got, &r.err), ==,
			WEIR_E_CANCELLED);
	g_assert_cmpint(r.e->embed(&r.d.instance, tokens, first, 2, got, &r.err), ==, WEIR_OK);
	g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
	rig_close(&r);
}

int main(int argc, char **argv)
{
	static const char *const archs[] = { "llama",    "qwen2",      "qwen3",   "phi3",
					     "gemma2",   "gemma3",     "smollm3", "qwen2moe",
					     "qwen3moe", "starcoder2", "falcon",  "gpt2",
					     "bert",     "nomic-bert" };
	int status;

	g_test_init(&argc, &argv, NULL);
	logged = g_string_new(NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
		g_autofree char *name = g_strdup_printf("/embedder/company/%s", archs[i]);

		g_test_add_data_func(name, archs[i], test_company);
	}
	g_test_add_data_func("/embedder/many/decoder", "llama", test_many);
	g_test_add_data_func("/embedder/many/encoder", "bert", test_many);
	g_test_add_func("/embedder/lazy", test_lazy);
	g_test_add_func("/embedder/pooling", test_pooling);
	g_test_add_func("/embedder/rank", test_rank);
	g_test_add_func("/embedder/none", test_none);
	g_test_add_data_func("/embedder/refusals/decoder", "llama", test_refusals);
	g_test_add_data_func("/embedder/refusals/encoder", "nomic-bert", test_refusals);
	status = g_test_run();
	g_string_free(logged, TRUE);
	return status;
}
