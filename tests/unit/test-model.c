/*
 * test-model.c - backends/tensor from a GGUF file to tokens, on the scalar device: what loads, what
 * is refused and how, that a sequence's answers do not depend on how it is cut, batched or placed,
 * and that nothing is left behind. The numbers themselves are checked by tests/numeric.
 */
#include "backend.h"
#include "device-scalar.h"
#include "model-writer.h"

#include <weir/services.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define BLOCK 8
#define VOCAB 50

static GString *logged;

static void log_write(const struct weir_host *h, uint32_t level, const char *topic,
		      const char *text)
{
	g_string_append_printf(logged, "%u %s %s\n", level, topic, text);
}

static void log_progress(const struct weir_host *h, const char *what, uint64_t done, uint64_t total)
{
	g_assert_cmpuint(done, <=, total);
	if (done == total)
		g_string_append_printf(logged, "progress %s\n", what);
}

static const struct weir_log host_log = { .size = sizeof(host_log),
					  .write = log_write,
					  .progress = log_progress };

static const void *host_ext(const struct weir_host *h, const char *id)
{
	return strcmp(id, WEIR_HOST_LOG) == 0 ? &host_log : NULL;
}

static const struct weir_host host = { .size = sizeof(host), .get_ext = host_ext };

/* ---- a backend over a model ---- */

struct rig {
	struct device_scalar d;
	const struct weir_backend_step *step;
	struct weir_model model;
	struct weir_error err;
	char *path;
};

static weir_status rig_open(struct rig *r, struct model *m, const struct weir_kv *extra)
{
	struct weir_kv conf[] = { { "model", NULL },         { "block_tokens", "8" },
				  { "max_sequences", "4" },  { "max_batch_tokens", "64" },
				  { "another_key", "mine" }, { "kv_type", "f32" },
				  { "context", "0" } };
	weir_status s;

	r->path = model_write(m);
	conf[0].value = r->path;
	if (extra)
		conf[6] = *extra;
	g_string_set_size(logged, 0);
	s = weir_tensor_backend_new(&host, &r->d.instance, &device_scalar, conf, G_N_ELEMENTS(conf),
				    &r->d.backend, &r->err);
	if (s != WEIR_OK)
		return s;
	r->step = weir_tensor_backend_ext(r->d.backend, WEIR_BACKEND_STEP);
	r->model.size = sizeof(r->model);
	return r->step->load(&r->d.instance, &r->model, &r->err);
}

static void rig_close(struct rig *r)
{
	weir_tensor_backend_free(r->d.backend);
	g_assert_cmpint(r->d.n_buffers, ==, 0);
	g_assert_cmpint(r->d.n_programs, ==, 0);
	g_unlink(r->path);
	g_free(r->path);
}

static struct rig *rig_new(const struct model_spec *spec)
{
	struct rig *r = g_new0(struct rig, 1);
	struct model *m = model_new(spec);
	weir_status s;

	device_scalar_init(&r->d);
	s = rig_open(r, m, NULL);
	if (s != WEIR_OK)
		g_test_message("%s", r->err.text);
	g_assert_cmpint(s, ==, WEIR_OK);
	model_free(m);
	return r;
}

static void rig_free(struct rig *r)
{
	rig_close(r);
	g_free(r);
}

/* ---- sequences ---- */

struct seq {
	uint64_t id;
	int32_t token[128];
	uint32_t n_token, n_done, n_prompt; /* known; in the cache */
	uint32_t block[16];
	float logits[VOCAB]; /* of its last step with output */
	int32_t drawn;
	float logprob;
	struct weir_top top;
	struct weir_error err;
};

static const struct weir_sampling sampling = { .size = sizeof(sampling),
					       .temperature = 1.5f,
					       .top_p = 0.95f,
					       .typical_p = 1,
					       .repetition_penalty = 1.1f,
					       .repeat_last_n = -1,
					       .top_logprobs = 3,
					       .logprobs = 1 };

static void seq_init(struct seq *s, uint32_t id, uint32_t n, const uint32_t *blocks)
{
	*s = (struct seq){ .id = id, .n_token = n, .n_prompt = n };
	for (uint32_t i = 0; i < n; i++)
		s->token[i] = (int32_t)((id * 31 + i * 7 + i * i) % VOCAB);
	memcpy(s->block, blocks, sizeof(s->block));
}

/* One step: count[i] tokens of seqs[i] that are not in the cache yet; output where it ends. */
static weir_status run(struct rig *r, struct seq **seqs, const uint32_t *count, uint32_t n,
		       const uint32_t *copies, uint32_t n_copies)
{
	struct weir_row rows[8] = { 0 };
	int32_t tokens[256], token[8];
	float logprob[8], logits[8 * VOCAB];
	struct weir_top top[8];
	struct weir_error error[8];
	struct weir_batch b = { .size = sizeof(b),
				.row_size = sizeof(rows[0]),
				.n_rows = n,
				.n_copies = n_copies,
				.want_logits = 1,
				.tokens = tokens,
				.rows = rows,
				.copies = copies };
	struct weir_step ret = { .size = sizeof(ret),
				 .token = token,
				 .logprob = logprob,
				 .top = top,
				 .logits = logits,
				 .error = error };
	weir_status s;

	for (uint32_t i = 0; i < n; i++) {
		struct seq *q = seqs[i];

		rows[i] = (struct weir_row){ .seq = q->id,
					     .first = b.n_tokens,
					     .count = count[i],
					     .pos = q->n_done,
					     .n_blocks = 16,
					     .blocks = q->block,
					     .history = q->token,
					     .n_history = q->n_done + count[i],
					     .n_prompt = MIN(q->n_prompt, q->n_done + count[i]),
					     .seed = 77 };
		if (q->n_done + count[i] == q->n_token)
			rows[i].sampling = &sampling;
		/* Some tests lie about the position. */
		memcpy(tokens + b.n_tokens, q->token + (q->n_done < 64 ? q->n_done : 0),
		       count[i] * sizeof(*tokens));
		b.n_tokens += count[i];
	}
	s = r->step->step(&r->d.instance, &b, &ret, &r->err);
	for (uint32_t i = 0; i < n && s == WEIR_OK; i++) {
		seqs[i]->n_done += count[i];
		if (!rows[i].sampling)
			continue;
		seqs[i]->drawn = token[i];
		seqs[i]->logprob = logprob[i];
		seqs[i]->top = top[i];
		seqs[i]->err = error[i];
		memcpy(seqs[i]->logits, logits + i * VOCAB, sizeof(seqs[i]->logits));
	}
	return s;
}

static void run_ok(struct rig *r, struct seq *s, uint32_t count)
{
	weir_status status = run(r, &s, &count, 1, NULL, 0);

	if (status != WEIR_OK)
		g_test_message("%s", r->err.text);
	g_assert_cmpint(status, ==, WEIR_OK);
}

static void append(struct seq *s)
{
	s->token[s->n_token++] = s->drawn;
}

static const uint32_t straight[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint32_t shuffled[16] = { 40, 17, 63, 22, 51, 33, 16, 48,
				       60, 21, 35, 57, 29, 44, 38, 26 };
static const uint32_t third[16] = {
	18, 19, 20, 23, 24, 25, 27, 28, 30, 31, 32, 34, 36, 37, 39, 41
};

static void assert_same(const struct seq *a, const struct seq *b)
{
	g_assert_cmpmem(a->logits, sizeof(a->logits), b->logits, sizeof(b->logits));
	g_assert_cmpint(a->drawn, ==, b->drawn);
	g_assert_cmpfloat(a->logprob, ==, b->logprob);
}

/* ---- tests ---- */

static void test_load(void)
{
	struct rig *r = rig_new(&model_small);
	struct weir_error err;

	g_assert_cmpuint(r->model.n_vocab, ==, VOCAB);
	g_assert_cmpuint(r->model.n_ctx, ==, 128);
	g_assert_cmpuint(r->model.max_rows, ==, 4);
	g_assert_cmpuint(r->model.max_tokens, ==, 64);
	g_assert_cmpuint(r->model.block_tokens, ==, BLOCK);
	g_assert_cmpuint(r->model.n_blocks, ==, 4 * 128 / BLOCK);
	/* K and V, 2 layers, 2 heads of 8, 4 bytes, 512 positions */
	g_assert_cmpuint(r->model.bytes_kv, ==, 2 * 2 * 2 * 8 * 4 * 512);
	/* embedding, output, norms, and per layer q, o, k, v, gate, up, down, norms */
	g_assert_cmpuint(r->model.bytes_weights, ==,
			 4 * (2 * 1600 + 32 + 2 * (2 * 1024 + 2 * 512 + 3 * 1536 + 64)));
	g_assert_true(g_str_has_prefix(r->model.name, "weir-"));
	g_assert_null(strstr(r->model.name, ".gguf"));
	g_assert_nonnull(strstr(r->model.summary, "llama"));
	g_assert_nonnull(strstr(r->model.summary, "F32"));
	g_assert_nonnull(strstr(logged->str, "KV cache 131072 bytes"));
	g_assert_nonnull(strstr(logged->str, "progress loading weights"));
	g_assert_null(weir_tensor_backend_ext(r->d.backend, "weir.something/1"));
	g_assert_cmpint(r->step->load(&r->d.instance, &r->model, &err), ==, WEIR_E_INVALID);
	rig_free(r);
}

/* However the prompt is cut and wherever its blocks lie: the same bits. */
static void test_chunks(void)
{
	static const struct model_spec specs[] = {
		{ 2, 32, 4, 2, 48, VOCAB, 128, FALSE, FALSE, FALSE, 1 },
		{ 1, 32, 4, 1, 48, VOCAB, 128, TRUE, FALSE, TRUE, 2 },
		{ 3, 32, 2, 2, 40, VOCAB, 128, TRUE, TRUE, FALSE, 3 },
	};
	static const uint32_t cuts[][6] = { { 29 },       { 1, 28 },      { 8, 21 },
					    { 7, 1, 21 }, { 9, 8, 8, 4 }, { 13, 3, 12, 1 } };

	for (gsize k = 0; k < G_N_ELEMENTS(specs); k++) {
		struct rig *r = rig_new(&specs[k]);
		struct seq whole, cut;

		seq_init(&whole, 5, 29, straight);
		run_ok(r, &whole, 29);
		g_assert_true(isfinite(whole.logits[0]));
		for (gsize c = 0; c < G_N_ELEMENTS(cuts); c++) {
			seq_init(&cut, 5, 29, c % 2 ? shuffled : straight);
			for (gsize i = 0; i < 6 && cuts[c][i]; i++)
				run_ok(r, &cut, cuts[c][i]);
			assert_same(&whole, &cut);
		}
		rig_free(r);
	}
}

/* Three sequences of different lengths, prefill and decode mixed: as each alone. */
static void test_batch(void)
{
	static const uint32_t *const blocks[3] = { straight, shuffled, third };
	struct rig *r = rig_new(&model_small);
	struct seq alone[3], together[3], *p[3] = { &together[0], &together[1], &together[2] };

	for (uint32_t i = 0; i < 3; i++) {
		seq_init(&alone[i], i, 5 + 9 * i, straight);
		seq_init(&together[i], i, 5 + 9 * i, blocks[i]);
		for (int k = 0; k < 12; k++) {
			run_ok(r, &alone[i], alone[i].n_token - alone[i].n_done);
			append(&alone[i]);
		}
	}
	/* The first decodes while the others' prompts come in pieces. */
	for (int k = 0; k < 32; k++) {
		uint32_t count[3], n = 0;
		struct seq *now[3];

		for (uint32_t i = 0; i < 3; i++) {
			uint32_t left = together[i].n_token - together[i].n_done;

			if (together[i].n_token == together[i].n_prompt + 12)
				continue;
			now[n] = p[i];
			count[n++] = MIN(left, 1 + (uint32_t)k % 4 + i);
		}
		if (n == 0)
			break;
		g_assert_cmpint(run(r, now, count, n, NULL, 0), ==, WEIR_OK);
		for (uint32_t i = 0; i < n; i++) {
			if (now[i]->n_done == now[i]->n_token)
				append(now[i]);
		}
	}
	for (uint32_t i = 0; i < 3; i++) {
		g_assert_cmpuint(together[i].n_token, ==, alone[i].n_token);
		g_assert_cmpmem(together[i].token, together[i].n_token * 4, alone[i].token,
				alone[i].n_token * 4);
		assert_same(&alone[i], &together[i]);
	}
	rig_free(r);
}

/* A shared prefix: its whole blocks are used by both, its last one is copied before it diverges. */
static void test_copies(void)
{
	static const uint32_t copy[2] = { 2, 45 };
	struct rig *r = rig_new(&model_small);
	struct seq a, b, fresh, *p = &b;
	uint32_t count = 3;

	seq_init(&a, 1, 20, straight);
	run_ok(r, &a, 20);
	append(&a);
	b = a;
	b.block[2] = 45; /* holds positions 16 .. 23 */
	b.n_token = 23;
	b.token[20] = 3;
	b.token[21] = 4;
	b.token[22] = 5;
	g_assert_cmpint(run(r, &p, &count, 1, copy, 1), ==, WEIR_OK);
	fresh = b;
	memcpy(fresh.block, third, sizeof(third));
	fresh.n_done = 0;
	run_ok(r, &fresh, 23);
	assert_same(&b, &fresh);
	/* The first one's own block is as it was. */
	run_ok(r, &a, 1);
	fresh = a;
	memcpy(fresh.block, third, sizeof(third));
	fresh.n_done = 0;
	run_ok(r, &fresh, 21);
	assert_same(&a, &fresh);
	/* Copies alone are a step too. */
	g_assert_cmpint(run(r, NULL, NULL, 0, copy, 1), ==, WEIR_OK);
	g_assert_cmpint(run(r, NULL, NULL, 0, NULL, 0), ==, WEIR_OK);
	rig_free(r);
}

static void test_logprobs(void)
{
	struct rig *r = rig_new(&model_small);
	struct seq s;
	double sum = 0;

	seq_init(&s, 3, 6, straight);
	run_ok(r, &s, 6);
	for (int i = 0; i < VOCAB; i++)
		sum += exp((double)s.logits[i]);
	g_assert_cmpfloat_with_epsilon((double)s.logprob, (double)s.logits[s.drawn] - log(sum),
				       1e-5);
	g_assert_cmpint(s.top.token[2], >=, 0);
	g_assert_cmpint(s.top.token[3], ==, -1);
	rig_free(r);
}

/* A row whose logits are not numbers fails alone; without room for that, the step fails. */
static void test_row_error(void)
{
	struct rig *r = rig_new(&model_small);
	struct seq a, b, *p[2] = { &a, &b };
	uint32_t count[2] = { 4, 5 };
	int32_t token[1];
	float logprob[1];
	struct weir_top top[1];
	struct weir_row row;
	struct weir_batch batch = { .size = sizeof(batch),
				    .row_size = sizeof(row),
				    .n_rows = 1,
				    .rows = &row,
				    .tokens = a.token,
				    .n_tokens = 4 };
	struct weir_step ret = { .size = sizeof(ret) };

	seq_init(&a, 1, 4, straight);
	seq_init(&b, 2, 5, shuffled);
	r->d.poison = true;
	g_assert_cmpint(run(r, p, count, 2, NULL, 0), ==, WEIR_OK);
	g_assert_cmpint(a.drawn, ==, -1);
	g_assert_cmpint(a.err.code, ==, WEIR_E_INTERNAL);
	g_assert_nonnull(strstr(a.err.text, "not a number"));
	g_assert_cmpint(b.drawn, >=, 0);

	row = (struct weir_row){ .count = 4,
				 .n_blocks = 16,
				 .blocks = straight,
				 .sampling = &sampling,
				 .history = a.token,
				 .n_history = 4,
				 .n_prompt = 4 };
	ret.token = token;
	ret.logprob = logprob;
	ret.top = top;
	g_assert_cmpint(r->step->step(&r->d.instance, &batch, &ret, &r->err), ==, WEIR_E_INTERNAL);
	rig_free(r);
}

static void test_interrupt(void)
{
	struct rig *r = rig_new(&model_small);
	struct seq s, *p = &s;
	uint32_t count = 4;

	seq_init(&s, 1, 4, straight);
	r->step->interrupt(&r->d.instance);
	g_assert_cmpint(run(r, &p, &count, 1, NULL, 0), ==, WEIR_E_CANCELLED);
	g_assert_cmpint(run(r, &p, &count, 1, NULL, 0), ==, WEIR_OK);
	rig_free(r);
}

/* What the core must never do gives an error, and nothing runs. */
static void test_bad_batches(void)
{
	static const uint32_t bad_blocks[16] = { 0, 64 };
	static const uint32_t bad_copy[2] = { 0, 64 };
	struct rig *r = rig_new(&model_small);
	uint32_t runs;

	for (int c = 0; c < 12; c++) {
		struct seq a, b, *p[5] = { &a, &b, &b, &b, &b };
		uint32_t count[5] = { 12, 3, 3, 3, 3 }, n = 2, n_copies = 0;

		seq_init(&a, 1, 12, straight);
		seq_init(&b, 2, 3, shuffled);
		switch (c) {
		case 0:
			a.token[4] = VOCAB;
			break;
		case 1:
			a.token[4] = -1;
			break;
		case 2:
			memcpy(a.block, bad_blocks, sizeof(bad_blocks));
			break;
		case 3:
			a.n_done = 120;
			break;
		case 4:
			a.n_done = UINT32_MAX - 3;
			break;
		case 5:
			n = 5;
			break;
		case 6:
			count[1] = 0;
			break;
		case 7:
			a.n_token = count[0] = 65;
			break;
		case 8:
			n_copies = 1;
			break;
		case 9:
			a.n_token = count[0] = 62;
			break;
		}
		runs = r->d.n_runs;
		g_assert_true((run(r, p, count, n, bad_copy, n_copies) < 0) == (c < 10));
		g_assert_cmpuint(r->d.n_runs, ==, runs + (c >= 10));
	}
	rig_free(r);
}

/* ---- hostile files ---- */

struct bad {
	const char *what;
	void (*change)(struct model *m);
	weir_status status;
	const char *text;
};

#define CHANGE(name, ...)                                                                          \
	static void name(struct model *m)                                                          \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}

static const guint32 uneven[2] = { 48, 64 }, even[2] = { 48, 48 };
static const char *const three_tokens[3] = { "a", "b", "c" };

CHANGE(no_arch, model_drop_key(m, "general.architecture"))
CHANGE(bad_arch, model_set_string(m, "general.architecture", "mamba\n\x01"))
CHANGE(int_arch, model_set_u32(m, "general.architecture", 3))
CHANGE(no_layers, model_set_u32(m, "llama.block_count", 0))
CHANGE(no_layer_key, model_drop_key(m, "llama.block_count"))
CHANGE(many_layers, model_set_u32(m, "llama.block_count", 4096))
CHANGE(huge_layers, model_set_u32(m, "llama.block_count", 0xffffffff))
CHANGE(one_layer_less, model_set_u32(m, "llama.block_count", 1))
CHANGE(one_layer_more, model_set_u32(m, "llama.block_count", 3))
CHANGE(no_heads, model_set_u32(m, "llama.attention.head_count", 0))
CHANGE(odd_heads, model_set_u32(m, "llama.attention.head_count", 5))
CHANGE(no_kv_heads, model_set_u32(m, "llama.attention.head_count_kv", 0))
CHANGE(odd_kv_heads, model_set_u32(m, "llama.attention.head_count_kv", 3))
CHANGE(more_kv_heads, model_set_u32(m, "llama.attention.head_count_kv", 8))
CHANGE(head_text, model_set_string(m, "llama.attention.head_count", "four"))
CHANGE(key_size, model_set_u32(m, "llama.attention.key_length", 16))
CHANGE(value_size, model_set_u32(m, "llama.attention.value_length", 4))
CHANGE(huge_embd, model_set_u32(m, "llama.embedding_length", 1u << 31))
CHANGE(other_embd, model_set_u32(m, "llama.embedding_length", 64))
CHANGE(no_ctx, model_set_u32(m, "llama.context_length", 0))
CHANGE(no_ff, model_drop_key(m, "llama.feed_forward_length"))
CHANGE(uneven_ff, model_set_u32s(m, "llama.feed_forward_length", uneven, 2))
CHANGE(empty_ff, model_set_u32s(m, "llama.feed_forward_length", uneven, 0))
CHANGE(no_eps, model_drop_key(m, "llama.attention.layer_norm_rms_epsilon"))
CHANGE(nan_eps, model_set_f32(m, "llama.attention.layer_norm_rms_epsilon", NAN))
CHANGE(rope_odd, model_set_u32(m, "llama.rope.dimension_count", 3))
CHANGE(rope_big, model_set_u32(m, "llama.rope.dimension_count", 10))
CHANGE(rope_base, model_set_f32(m, "llama.rope.freq_base", 0))
CHANGE(rope_type, model_set_string(m, "llama.rope.scaling.type", "longrope"))
CHANGE(rope_factor, model_set_string(m, "llama.rope.scaling.type", "linear");
       model_set_f32(m, "llama.rope.scaling.factor", -2))
CHANGE(rope_inf, model_set_f32(m, "llama.rope.scaling.factor", INFINITY))
CHANGE(experts, model_set_u32(m, "llama.expert_count", 8))
CHANGE(not_causal, model_set_bool(m, "llama.attention.causal", FALSE))
CHANGE(vocab_size, model_set_u32(m, "llama.vocab_size", 51))
CHANGE(vocab_list, model_set_strings(m, "tokenizer.ggml.tokens", three_tokens, 3))
CHANGE(no_embd, model_drop_tensor(m, "token_embd.weight"))
CHANGE(no_norm, model_drop_tensor(m, "output_norm.weight"))
CHANGE(no_q, model_drop_tensor(m, "blk.1.attn_q.weight"))
CHANGE(q_shape, model_set_tensor(m, "blk.1.attn_q.weight", 32, 31))
CHANGE(norm_shape, model_set_tensor(m, "blk.0.attn_norm.weight", 32, 2))
CHANGE(output_shape, model_set_tensor(m, "output.weight", 32, 49))
CHANGE(factor_shape, model_set_tensor(m, "rope_freqs.weight", 5, 0))
CHANGE(extra_tensor, model_set_tensor(m, "blk.0.attn_sinks.weight", 32, 0))
CHANGE(extra_qk_norm, model_set_tensor(m, "blk.0.attn_q_norm.weight", 8, 0))
CHANGE(odd_name, model_set_tensor(m, "blk.00.attn_q.weight", 32, 32))
CHANGE(type_i32, model_set_type(m, "blk.0.ffn_up.weight", 26))
CHANGE(type_rows, model_set_type(m, "blk.0.ffn_up.weight", 12))

static void test_hostile(void)
{
	static const struct bad bads[] = {
#define INVALID     WEIR_E_INVALID
#define UNSUPPORTED WEIR_E_UNSUPPORTED
		{ "no architecture", no_arch, INVALID, "general.architecture" },
		{ "other architecture", bad_arch, UNSUPPORTED, "supported: llama" },
		{ "number as architecture", int_arch, INVALID, "general.architecture" },
		{ "0 layers", no_layers, INVALID, "llama.block_count is 0" },
		{ "no layer count", no_layer_key, INVALID, "lacks llama.block_count" },
		{ "4096 layers", many_layers, INVALID, "llama.block_count is 4096" },
		{ "2^32 - 1 layers", huge_layers, INVALID, "llama.block_count is 4294967295" },
		{ "a layer too many in the file", one_layer_less, UNSUPPORTED, "blk.1." },
		{ "a layer missing", one_layer_more, INVALID, "blk.2.attn_norm.weight" },
		{ "0 heads", no_heads, INVALID, "head_count is 0" },
		{ "5 heads", odd_heads, INVALID, "5 heads" },
		{ "0 kv heads", no_kv_heads, INVALID, "head_count_kv is 0" },
		{ "3 kv heads", odd_kv_heads, INVALID, "evenly" },
		{ "8 kv heads", more_kv_heads, INVALID, "evenly" },
		{ "text as head count", head_text, INVALID, "head_count" },
		{ "key length", key_size, INVALID, "blk.0.attn_q.weight" },
		{ "value length", value_size, UNSUPPORTED, "values (4)" },
		{ "huge embedding", huge_embd, INVALID, "embedding_length" },
		{ "other embedding", other_embd, INVALID, "token_embd.weight" },
		{ "no context", no_ctx, INVALID, "context_length" },
		{ "no feed-forward", no_ff, INVALID, "feed_forward_length" },
		{ "layers of two sizes", uneven_ff, UNSUPPORTED, "differs between layers" },
		{ "sizes of no layer", empty_ff, INVALID, "feed_forward_length" },
		{ "no epsilon", no_eps, INVALID, "epsilon" },
		{ "NaN epsilon", nan_eps, INVALID, "epsilon" },
		{ "odd rope size", rope_odd, INVALID, "even" },
		{ "large rope size", rope_big, INVALID, "dimension_count" },
		{ "rope base 0", rope_base, INVALID, "freq_base" },
		{ "rope type", rope_type, UNSUPPORTED, "linear, yarn" },
		{ "rope factor -2", rope_factor, INVALID, "factor" },
		{ "rope factor inf", rope_inf, INVALID, "factor" },
		{ "experts", experts, INVALID, "llama.expert_used_count" },
		{ "not causal", not_causal, UNSUPPORTED, "causal" },
		{ "vocab size", vocab_size, INVALID, "vocab_size is 51" },
		{ "vocab list", vocab_list, INVALID, "has 3 tokens" },
		{ "no embedding", no_embd, INVALID, "token_embd.weight" },
		{ "no output norm", no_norm, INVALID, "output_norm.weight" },
		{ "no q", no_q, INVALID, "blk.1.attn_q.weight" },
		{ "q's shape", q_shape, INVALID, "32 x 31" },
		{ "norm's shape", norm_shape, INVALID, "blk.0.attn_norm.weight" },
		{ "output's shape", output_shape, INVALID, "output.weight" },
		{ "factors' shape", factor_shape, INVALID, "rope_freqs.weight" },
		{ "tensor without place", extra_tensor, UNSUPPORTED, "attn_sinks" },
		{ "qk norm in llama", extra_qk_norm, UNSUPPORTED, "attn_q_norm" },
		{ "odd name", odd_name, UNSUPPORTED, "blk.00." },
		{ "type without kernel", type_i32, UNSUPPORTED, "I32" },
		{ "type that does not fit", type_rows, INVALID, "ffn_up" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(bads); i++) {
		struct rig r = { 0 };
		struct model *m = model_new(&model_small);
		weir_status s;

		device_scalar_init(&r.d);
		bads[i].change(m);
		s = rig_open(&r, m, NULL);
		g_test_message("%s: %s", bads[i].what, r.err.text);
		g_assert_cmpint(s, ==, bads[i].status);
		g_assert_nonnull(strstr(r.err.text, bads[i].text));
		/* A failed load leaves nothing, and the backend can be asked again. */
		g_assert_cmpint(r.d.n_buffers, ==, 0);
		g_assert_cmpint(r.step->load(&r.d.instance, &r.model, &r.err), <, 0);
		model_free(m);
		rig_close(&r);
	}
}

/* Unusual, and fine. */
CHANGE(even_ff, model_set_u32s(m, "llama.feed_forward_length", even, 2))
CHANGE(no_vocab_size, model_drop_key(m, "llama.vocab_size"))
CHANGE(rot_embd, model_set_tensor(m, "blk.0.attn_rot_embd.weight", 4, 0))
CHANGE(yarn, model_set_string(m, "llama.rope.scaling.type", "yarn");
       model_set_f32(m, "llama.rope.scaling.factor", 4);
       model_set_u32(m, "llama.rope.scaling.original_context_length", 32))
CHANGE(part_rope, model_set_u32(m, "llama.rope.dimension_count", 4))

static void test_unusual(void)
{
	static void (*const changes[])(struct model *) = { even_ff, no_vocab_size, rot_embd, yarn,
							   part_rope };

	for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
		struct rig r = { 0 };
		struct model *m = model_new(&model_small);
		struct seq s;

		device_scalar_init(&r.d);
		changes[i](m);
		g_assert_cmpint(rig_open(&r, m, NULL), ==, WEIR_OK);
		seq_init(&s, 1, 9, straight);
		run_ok(&r, &s, 9);
		g_assert_cmpint(s.drawn, >=, 0);
		model_free(m);
		rig_close(&r);
	}
}

static void test_options(void)
{
	static const struct {
		struct weir_kv kv;
		weir_status status;
		const char *text;
	} cases[] = {
		{ { "kv_type", "f16" }, WEIR_OK, "KV cache 65536 bytes" },
		{ { "kv_type", "bf16" }, WEIR_E_UNSUPPORTED, "kv_type" },
		{ { "kv_type", "q8_0" }, WEIR_E_UNSUPPORTED, "multiple of 32" },
		{ { "kv_type", "q4_0" }, WEIR_E_INVALID, "f16, bf16" },
		{ { "context", "64" }, WEIR_OK, "context 64" },
		{ { "context", "1000" }, WEIR_OK, "longer than the 128" },
		{ { "context", "100000000" }, WEIR_E_EXHAUSTED, "kv_memory" },
		{ { "context", "-1" }, WEIR_E_INVALID, "context" },
		{ { "context", "12x" }, WEIR_E_INVALID, "context" },
		{ { "context", "99999999999999999999" }, WEIR_E_INVALID, "context" },
		/* 2 * 2 layers * 16 * 4 bytes * 8 tokens = 2 KiB for a block */
		{ { "kv_memory", "20480" }, WEIR_OK, "10 blocks" },
		{ { "kv_memory", "20480" }, WEIR_OK, "memory holds 80 tokens" },
		{ { "kv_memory", "1024" }, WEIR_E_EXHAUSTED, "room for 0 tokens" },
		{ { "block_tokens", "12" }, WEIR_E_INVALID, "power of two" },
		{ { "block_tokens", "4" }, WEIR_E_INVALID, "block_tokens" },
		{ { "max_sequences", "0" }, WEIR_E_INVALID, "max_sequences" },
		{ { "model", "/nowhere/at/all.gguf" }, WEIR_E_NOT_FOUND, "all.gguf: cannot open" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct rig r = { 0 };
		struct model *m = model_new(&model_small);
		weir_status s;

		device_scalar_init(&r.d);
		s = rig_open(&r, m, &cases[i].kv);
		g_test_message("%s = %s: %s", cases[i].kv.key, cases[i].kv.value,
			       s == WEIR_OK ? logged->str : r.err.text);
		g_assert_cmpint(s, ==, cases[i].status);
		g_assert_nonnull(strstr(s == WEIR_OK ? logged->str : r.err.text, cases[i].text));
		model_free(m);
		rig_close(&r);
	}
}

/* Every operation can be refused and every weight can fail: a sentence, and nothing left. */
static void test_device_fails(void)
{
	struct model *m = model_new(&model_small);

	for (uint32_t i = 1; i <= 6 + 20; i++) {
		struct rig r = { 0 };

		device_scalar_init(&r.d);
		if (i <= 6)
			r.d.refuse_op = i;
		else
			r.d.fail_weight = i - 6;
		g_assert_cmpint(rig_open(&r, m, NULL), ==,
				i <= 6 ? WEIR_E_UNSUPPORTED : WEIR_E_EXHAUSTED);
		g_assert_cmpint(r.d.n_buffers, ==, 0);
		rig_close(&r);
	}
	model_free(m);
}

int main(int argc, char **argv)
{
	int rc;

	g_test_init(&argc, &argv, NULL);
	logged = g_string_new(NULL);
	g_test_add_func("/model/load", test_load);
	g_test_add_func("/model/chunks", test_chunks);
	g_test_add_func("/model/batch", test_batch);
	g_test_add_func("/model/copies", test_copies);
	g_test_add_func("/model/logprobs", test_logprobs);
	g_test_add_func("/model/row-error", test_row_error);
	g_test_add_func("/model/interrupt", test_interrupt);
	g_test_add_func("/model/bad-batches", test_bad_batches);
	g_test_add_func("/model/hostile", test_hostile);
	g_test_add_func("/model/unusual", test_unusual);
	g_test_add_func("/model/options", test_options);
	g_test_add_func("/model/device-fails", test_device_fails);
	rc = g_test_run();
	g_string_free(logged, TRUE);
	return rc;
}
