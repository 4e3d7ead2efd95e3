/*
 * test-archs.c - the architectures beside llama on the scalar device: each loads and runs, whole
 * and in pieces alike, and files that do not keep to their architecture are refused with a
 * sentence. The numbers themselves are checked by tests/numeric.
 */
#include "arch.h"
#include "backend.h"
#include "device-scalar.h"
#include "model-writer.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define VOCAB 50
#define N     40

static const struct weir_host host = { .size = sizeof(host) };

struct rig {
	struct device_scalar d;
	const struct weir_backend_step *step;
	struct weir_model model;
	struct weir_error err;
	char *path;
};

static weir_status rig_open(struct rig *r, struct model *m, const char *context)
{
	struct weir_kv conf[] = { { "model", NULL },      { "block_tokens", "8" },
				  { "kv_type", "f32" },   { "max_batch_tokens", "64" },
				  { "context", context }, { "max_sequences", "4" } };
	weir_status s;

	memset(r, 0, sizeof(*r));
	device_scalar_init(&r->d);
	r->path = model_write(m);
	conf[0].value = r->path;
	s = weir_tensor_backend_new(&host, &r->d.instance, &device_scalar, conf, G_N_ELEMENTS(conf),
				    &r->d.backend, &r->err);
	g_assert_cmpint(s, ==, WEIR_OK);
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

/* N tokens of one sequence, in steps of at most n; the last one's logits. */
static void run(struct rig *r, uint32_t n, float *ret_logits)
{
	static const uint32_t blocks[] = { 5, 2, 9, 0, 7 };
	static const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	int32_t tokens[N], drawn;
	float logprob;
	struct weir_error error;

	for (int32_t i = 0; i < N; i++)
		tokens[i] = (i * 7 + i * i) % VOCAB;
	for (uint32_t done = 0; done < N; done += n) {
		uint32_t count = MIN(n, N - done);
		struct weir_row row = { .count = count,
					.pos = done,
					.n_blocks = G_N_ELEMENTS(blocks),
					.blocks = blocks,
					.sampling = &greedy,
					.history = tokens,
					.n_history = done + count,
					.n_prompt = done + count };
		struct weir_batch b = { .size = sizeof(b),
					.row_size = sizeof(row),
					.n_rows = 1,
					.n_tokens = count,
					.want_logits = 1,
					.tokens = tokens + done,
					.rows = &row };
		struct weir_step ret = { .size = sizeof(ret),
					 .token = &drawn,
					 .logprob = &logprob,
					 .logits = ret_logits,
					 .error = &error };

		g_assert_cmpint(r->step->step(&r->d.instance, &b, &ret, &r->err), ==, WEIR_OK);
		g_assert_cmpint(drawn, >=, 0);
	}
	for (uint32_t i = 0; i < VOCAB; i++)
		g_assert_true(isfinite(ret_logits[i]));
}

static struct model_spec spec_of(const char *arch)
{
	struct model_spec s = model_small;

	s.arch = arch;
	s.n_layers = 3;
	return s;
}

/* With a change or none: loads, and computes the same whole and in pieces. */
static void load_and_run(const struct model_spec *spec, const char *context,
			 void (*change)(struct model *), float *ret_logits)
{
	float pieces[VOCAB];
	struct model *m = model_new(spec);
	struct rig r;

	if (change)
		change(m);
	if (rig_open(&r, m, context) != WEIR_OK)
		g_error("%s: %s", spec->arch, r.err.text);
	g_assert_true(g_str_has_prefix(r.model.summary, spec->arch));
	run(&r, N, ret_logits);
	run(&r, 7, pieces);
	g_assert_cmpmem(ret_logits, VOCAB * sizeof(float), pieces, sizeof(pieces));
	rig_close(&r);
	model_free(m);
}

static void test_run(void)
{
	g_auto(GStrv) names = g_strsplit(weir_arch_names(), ", ", -1);

	g_assert_cmpuint(g_strv_length(names), >=, 19);
	for (gsize i = 0; names[i]; i++) {
		struct model_spec s = spec_of(names[i]);
		struct weir_str name = { names[i], strlen(names[i]) };
		float logits[VOCAB];

		if (weir_arch_find(name)->flags & WEIR_ARCH_ENCODER)
			continue; /* tests/numeric/embed-oracle.py */
		for (int tied = 0; tied < 2; tied++) {
			s.tied = tied;
			load_and_run(&s, "0", NULL, logits);
		}
	}
}

#define CHANGE(name, ...)                                                                          \
	static void name(struct model *m)                                                          \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}

static const guint32 alternate[3] = { 1, 0, 1 }, all_local[3] = { 1, 1, 1 },
		     uneven[4] = { 1, 0, 0, 1 };

CHANGE(window_8, model_set_u32(m, "gemma2.attention.sliding_window", 8))
CHANGE(window_8_odd, window_8(m); model_set_u32(m, "gemma2.attention.sliding_window_pattern", 2))
CHANGE(window_8_flags, window_8(m);
       model_set_u32s(m, "gemma2.attention.sliding_window_pattern", alternate, 3))
CHANGE(window_8_all, window_8(m); model_set_u32(m, "gemma2.attention.sliding_window_pattern", 0))
CHANGE(window_8_all_flags, window_8(m);
       model_set_u32s(m, "gemma2.attention.sliding_window_pattern", all_local, 3))
CHANGE(window_8_none, window_8(m); model_set_u32(m, "gemma2.attention.sliding_window_pattern", 1))
CHANGE(window_0, model_set_u32(m, "gemma2.attention.sliding_window", 0))

/* A window has an effect, and the ways to write a pattern down mean what they say. */
static void test_pattern(void)
{
	struct model_spec s = spec_of("gemma2");
	float half[VOCAB], other[VOCAB], all[VOCAB], none[VOCAB];

	load_and_run(&s, "0", window_8, half);
	load_and_run(&s, "0", window_8_odd, other);
	g_assert_cmpmem(half, sizeof(half), other, sizeof(other));
	load_and_run(&s, "0", window_8_flags, other);
	g_assert_cmpmem(half, sizeof(half), other, sizeof(other));
	load_and_run(&s, "0", window_8_all, all);
	g_assert_cmpint(memcmp(half, all, sizeof(all)), !=, 0);
	load_and_run(&s, "0", window_8_all_flags, other);
	g_assert_cmpmem(all, sizeof(all), other, sizeof(other));
	load_and_run(&s, "0", window_8_none, none);
	g_assert_cmpint(memcmp(half, none, sizeof(none)), !=, 0);
	g_assert_cmpint(memcmp(all, none, sizeof(none)), !=, 0);
	load_and_run(&s, "0", window_0, other);
	g_assert_cmpmem(none, sizeof(none), other, sizeof(other));
	load_and_run(&s, "0", NULL, other); /* the architecture's window is longer than the text */
	g_assert_cmpmem(none, sizeof(none), other, sizeof(other));
}

CHANGE(original_64, model_set_u32(m, "phi3.rope.scaling.original_context_length", 64))
CHANGE(scaling_name, original_64(m); model_set_string(m, "phi3.rope.scaling.type", "longrope"))
CHANGE(magnitude, original_64(m); model_set_f32(m, "phi3.rope.scaling.attn_factor", 1.5f))

/* Beyond the original context the long factors count. */
static void test_longrope(void)
{
	struct model_spec s = spec_of("phi3");
	float longer[VOCAB], shorter[VOCAB], other[VOCAB];

	s.factors = TRUE;
	load_and_run(&s, "128", original_64, longer);
	load_and_run(&s, "64", original_64, shorter);
	g_assert_cmpint(memcmp(longer, shorter, sizeof(longer)), !=, 0);
	load_and_run(&s, "64", scaling_name, other);
	g_assert_cmpmem(shorter, sizeof(shorter), other, sizeof(other));
	load_and_run(&s, "64", magnitude, other);
	g_assert_cmpint(memcmp(shorter, other, sizeof(other)), !=, 0);
}

/* ---- hostile files ---- */

CHANGE(no_q_bias, model_drop_tensor(m, "blk.1.attn_q.bias"))
CHANGE(bias_shape, model_set_tensor(m, "blk.1.attn_k.bias", 15, 0))
CHANGE(o_bias, model_set_tensor(m, "blk.0.attn_output.bias", 32, 0))
CHANGE(no_k_norm, model_drop_tensor(m, "blk.2.attn_k_norm.weight"))
CHANGE(q_norm_shape, model_set_tensor(m, "blk.0.attn_q_norm.weight", 32, 0))
CHANGE(split_q, model_set_tensor(m, "blk.0.attn_q.weight", 32, 32))
CHANGE(split_gate, model_set_tensor(m, "blk.0.ffn_gate.weight", 32, 48))
CHANGE(no_qkv, model_drop_tensor(m, "blk.0.attn_qkv.weight"))
CHANGE(qkv_shape, model_set_tensor(m, "blk.1.attn_qkv.weight", 32, 63))
CHANGE(qkv_type, model_set_type(m, "blk.1.attn_qkv.weight", 12))
CHANGE(gate_up_shape, model_set_tensor(m, "blk.0.ffn_up.weight", 32, 48))
CHANGE(only_long, model_set_tensor(m, "rope_factors_long.weight", 4, 0))
CHANGE(only_short, model_set_tensor(m, "rope_factors_short.weight", 4, 0))
CHANGE(factor_shape, model_set_tensor(m, "rope_factors_long.weight", 4, 0);
       model_set_tensor(m, "rope_factors_short.weight", 5, 0))
CHANGE(freqs, model_set_tensor(m, "rope_freqs.weight", 4, 0))
CHANGE(no_original, model_set_u32(m, "phi3.rope.scaling.original_context_length", 0))
CHANGE(nan_magnitude, model_set_f32(m, "phi3.rope.scaling.attn_factor", NAN))
CHANGE(fused, model_set_tensor(m, "blk.0.attn_qkv.weight", 32, 64))
CHANGE(no_post_norm, model_drop_tensor(m, "blk.0.post_ffw_norm.weight"))
CHANGE(post_norm_shape, model_set_tensor(m, "blk.0.post_attention_norm.weight", 8, 0))
CHANGE(post_norm, model_set_tensor(m, "blk.0.post_attention_norm.weight", 32, 0))
CHANGE(bad_cap, model_set_f32(m, "gemma2.attn_logit_softcapping", -50))
CHANGE(inf_cap, model_set_f32(m, "gemma2.final_logit_softcapping", INFINITY))
CHANGE(nan_scale, model_set_f32(m, "gemma2.attention.scale", NAN))
CHANGE(huge_window, model_set_u32(m, "gemma2.attention.sliding_window", 0xffffffff))
CHANGE(huge_period, model_set_u32(m, "gemma2.attention.sliding_window_pattern", 5000))
CHANGE(text_pattern, model_set_string(m, "gemma2.attention.sliding_window_pattern", "2"))
CHANGE(flags_short, model_set_u32s(m, "gemma2.attention.sliding_window_pattern", alternate, 2))
CHANGE(flags_long, model_set_u32s(m, "gemma2.attention.sliding_window_pattern", uneven, 4))
CHANGE(flags_uneven, model_set_u32s(m, "gemma2.attention.sliding_window_pattern", uneven, 3))
CHANGE(local_base, model_set_f32(m, "gemma3.rope.freq_base_swa", 0))
CHANGE(llama_pattern, model_set_u32(m, "llama.attention.sliding_window_pattern", 2))

CHANGE(no_used, model_drop_key(m, "qwen3moe.expert_used_count"))
CHANGE(used_many, model_set_u32(m, "qwen3moe.expert_used_count", 5))
CHANGE(experts_many, model_set_u32(m, "qwen3moe.expert_count", 0xffffffff))
CHANGE(experts_other, model_set_u32(m, "qwen3moe.expert_count", 3))
CHANGE(expert_width, model_set_u32(m, "qwen3moe.expert_feed_forward_length", 33))
CHANGE(no_router, model_drop_tensor(m, "blk.1.ffn_gate_inp.weight"))
CHANGE(no_experts, model_drop_tensor(m, "blk.2.ffn_down_exps.weight"))
CHANGE(flat_experts, model_set_tensor(m, "blk.0.ffn_up_exps.weight", 32, 32 * 4))
CHANGE(dense_too, model_set_tensor(m, "blk.0.ffn_up.weight", 32, 48))
CHANGE(qwen2_experts, model_set_u32(m, "qwen2.expert_count", 4))
CHANGE(no_shared, model_drop_tensor(m, "blk.0.ffn_up_shexp.weight"))
CHANGE(no_shared_gate, model_drop_tensor(m, "blk.0.ffn_gate_inp_shexp.weight"))
CHANGE(no_sub_norm, model_drop_tensor(m, "blk.1.attn_sub_norm.weight"))
CHANGE(scale_two, model_set_tensor(m, "blk.1.attn_q.scale", 2, 0))
CHANGE(scale_type, model_set_tensor(m, "blk.1.attn_q.scale", 1, 0);
       model_set_type(m, "blk.1.attn_q.scale", 1))
CHANGE(phi3_scale, model_set_tensor(m, "blk.1.attn_q.scale", 1, 0))
CHANGE(experts_scale, model_set_tensor(m, "blk.1.ffn_up_exps.scale", 4, 0))
CHANGE(input_scale, model_set_tensor(m, "blk.1.ffn_up.input_scale", 3, 0))
CHANGE(no_up_bias, model_drop_tensor(m, "blk.1.ffn_up.bias"))
CHANGE(no_norm_bias, model_drop_tensor(m, "blk.1.ffn_norm.bias"))
CHANGE(no_end_bias, model_drop_tensor(m, "output_norm.bias"))
CHANGE(no_output_bias, model_drop_tensor(m, "output.bias"))
CHANGE(a_gate, model_set_tensor(m, "blk.0.ffn_gate.weight", 32, 48))
CHANGE(no_qkv_bias, model_drop_tensor(m, "blk.0.attn_qkv.bias"))
CHANGE(qkv_bias_shape, model_set_tensor(m, "blk.0.attn_qkv.bias", 63, 0))
CHANGE(no_positions, model_drop_tensor(m, "position_embd.weight"))
CHANGE(few_positions, model_set_tensor(m, "position_embd.weight", 32, 64))
CHANGE(half_norm, model_set_tensor(m, "blk.0.attn_norm_2.weight", 32, 0))
CHANGE(tiny_factor, model_set_f32(m, "granite.logit_scale", 1e-9f))
CHANGE(nan_factor, model_set_f32(m, "granite.residual_scale", NAN))

static void test_hostile(void)
{
	static const struct {
		const char *arch;
		void (*change)(struct model *m);
		weir_status status;
		const char *text;
	} bads[] = {
		{ "qwen2", no_q_bias, WEIR_E_INVALID, "blk.1.attn_q.bias" },
		{ "qwen2", bias_shape, WEIR_E_INVALID, "ask for 16" },
		{ "qwen2", o_bias, WEIR_E_UNSUPPORTED, "in a qwen2 model" },
		{ "qwen2", fused, WEIR_E_UNSUPPORTED, "attn_qkv" },
		{ "qwen3", no_k_norm, WEIR_E_INVALID, "blk.2.attn_k_norm.weight" },
		{ "qwen3", q_norm_shape, WEIR_E_INVALID, "attn_q_norm" },
		{ "qwen3", post_norm, WEIR_E_UNSUPPORTED, "post_attention_norm" },
		{ "phi3", split_q, WEIR_E_UNSUPPORTED, "attn_q.weight" },
		{ "phi3", split_gate, WEIR_E_UNSUPPORTED, "ffn_gate.weight" },
		{ "phi3", no_qkv, WEIR_E_INVALID, "attn_qkv.weight' is missing" },
		{ "phi3", qkv_shape, WEIR_E_INVALID, "ask for 32 x 64" },
		{ "phi3", qkv_type, WEIR_E_INVALID, "attn_qkv" },
		{ "phi3", gate_up_shape, WEIR_E_INVALID, "ask for 32 x 96" },
		{ "phi3", only_long, WEIR_E_INVALID, "rope_factors_short.weight' is missing" },
		{ "phi3", only_short, WEIR_E_INVALID, "rope_factors_long.weight' is missing" },
		{ "phi3", factor_shape, WEIR_E_INVALID, "rope_factors_short" },
		{ "phi3", freqs, WEIR_E_UNSUPPORTED, "rope_freqs" },
		{ "phi3", no_original, WEIR_E_INVALID, "original_context_length is 0" },
		{ "phi3", nan_magnitude, WEIR_E_INVALID, "attn_factor" },
		{ "gemma2", no_post_norm, WEIR_E_INVALID, "blk.0.post_ffw_norm.weight" },
		{ "gemma2", post_norm_shape, WEIR_E_INVALID, "post_attention_norm" },
		{ "gemma2", bad_cap, WEIR_E_INVALID, "attn_logit_softcapping" },
		{ "gemma2", inf_cap, WEIR_E_INVALID, "final_logit_softcapping" },
		{ "gemma2", nan_scale, WEIR_E_INVALID, "attention.scale" },
		{ "gemma2", huge_window, WEIR_E_INVALID, "sliding_window is 4294967295" },
		{ "gemma2", huge_period, WEIR_E_INVALID, "sliding_window_pattern is 5000" },
		{ "gemma2", text_pattern, WEIR_E_INVALID, "sliding_window_pattern" },
		{ "gemma2", flags_short, WEIR_E_INVALID, "2 flags for 3 layers" },
		{ "gemma2", flags_long, WEIR_E_INVALID, "4 flags for 3 layers" },
		{ "gemma2", flags_uneven, WEIR_E_UNSUPPORTED, "layer 2 breaks the period of 2" },
		{ "gemma3", no_k_norm, WEIR_E_INVALID, "blk.2.attn_k_norm.weight" },
		{ "gemma3", local_base, WEIR_E_INVALID, "freq_base_swa" },
		{ "qwen3moe", no_used, WEIR_E_INVALID, "expert_used_count" },
		{ "qwen3moe", used_many, WEIR_E_INVALID, "expert_used_count is 5" },
		{ "qwen3moe", experts_many, WEIR_E_INVALID, "expert_count is 4294967295" },
		{ "qwen3moe", experts_other, WEIR_E_INVALID, "ask for 32 x 3" },
		{ "qwen3moe", expert_width, WEIR_E_INVALID, "ask for 32 x 33 x 4" },
		{ "qwen3moe", no_router, WEIR_E_INVALID, "blk.1.ffn_gate_inp.weight" },
		{ "qwen3moe", no_experts, WEIR_E_INVALID, "blk.2.ffn_down_exps.weight" },
		{ "qwen3moe", flat_experts, WEIR_E_INVALID, "32 x 128 x 1 x 1" },
		{ "qwen3moe", dense_too, WEIR_E_UNSUPPORTED, "blk.0.ffn_up.weight" },
		{ "qwen2", qwen2_experts, WEIR_E_UNSUPPORTED, "mixture of 4 experts" },
		{ "qwen2moe", no_shared, WEIR_E_INVALID, "ffn_up_shexp" },
		{ "qwen2moe", no_shared_gate, WEIR_E_INVALID, "ffn_gate_inp_shexp" },
		{ "bitnet", no_sub_norm, WEIR_E_INVALID, "blk.1.attn_sub_norm.weight" },
		{ "bitnet-b1.58", scale_two, WEIR_E_INVALID, "one number of type F32" },
		{ "bitnet-b1.58", scale_type, WEIR_E_INVALID, "one number of type F32" },
		{ "llama", scale_two, WEIR_E_INVALID, "one number of type F32" },
		{ "llama", input_scale, WEIR_E_INVALID, "one number of type F32" },
		{ "phi3", phi3_scale, WEIR_E_UNSUPPORTED, "attn_q.scale" },
		{ "qwen3moe", experts_scale, WEIR_E_UNSUPPORTED, "ffn_up_exps.scale" },
		{ "starcoder2", no_up_bias, WEIR_E_INVALID, "blk.1.ffn_up.bias" },
		{ "starcoder2", no_norm_bias, WEIR_E_INVALID, "blk.1.ffn_norm.bias" },
		{ "starcoder2", no_end_bias, WEIR_E_INVALID, "output_norm.bias" },
		{ "starcoder2", a_gate, WEIR_E_UNSUPPORTED, "ffn_gate" },
		{ "phi2", no_output_bias, WEIR_E_INVALID, "output.bias" },
		{ "gptneox", no_qkv_bias, WEIR_E_INVALID, "attn_qkv.bias" },
		{ "gptneox", qkv_bias_shape, WEIR_E_INVALID, "ask for 64 x 1" },
		{ "gpt2", no_positions, WEIR_E_INVALID, "position_embd" },
		{ "gpt2", few_positions, WEIR_E_INVALID, "position_embd" },
		{ "falcon", half_norm, WEIR_E_INVALID, "attn_norm_2.bias" },
		{ "granite", tiny_factor, WEIR_E_INVALID, "logit_scale" },
		{ "granite", nan_factor, WEIR_E_INVALID, "residual_scale" },
		{ "llama", llama_pattern, WEIR_E_UNSUPPORTED, "sliding_window_pattern" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(bads); i++) {
		struct model_spec spec = spec_of(bads[i].arch);
		struct model *m = model_new(&spec);
		struct rig r;
		weir_status s;

		bads[i].change(m);
		s = rig_open(&r, m, "0");
		g_test_message("%s: %s", bads[i].arch, r.err.text);
		g_assert_cmpint(s, ==, bads[i].status);
		g_assert_nonnull(strstr(r.err.text, bads[i].text));
		g_assert_cmpint(r.d.n_buffers, ==, 0);
		model_free(m);
		rig_close(&r);
	}
}

/* Every weight can fail, those that are parts of a tensor too: nothing is left. */
static void test_device_fails(void)
{
	struct model_spec spec = spec_of("phi3");

	spec.factors = TRUE;
	for (uint32_t i = 1; i <= 14; i++) {
		struct model *m = model_new(&spec);
		struct weir_kv conf[] = { { "model", model_write(m) }, { "kv_type", "f32" } };
		struct device_scalar d;
		struct weir_model model = { .size = sizeof(model) };
		struct weir_error err = { 0 };
		const struct weir_backend_step *step;

		device_scalar_init(&d);
		d.fail_weight = i;
		g_assert_cmpint(weir_tensor_backend_new(&host, &d.instance, &device_scalar, conf, 2,
							&d.backend, &err),
				==, WEIR_OK);
		step = weir_tensor_backend_ext(d.backend, WEIR_BACKEND_STEP);
		g_assert_cmpint(step->load(&d.instance, &model, &err), ==, WEIR_E_EXHAUSTED);
		g_assert_cmpint(d.n_buffers, ==, 0);
		weir_tensor_backend_free(d.backend);
		g_unlink(conf[0].value);
		g_free((char *)conf[0].value);
		model_free(m);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/archs/run", test_run);
	g_test_add_func("/archs/pattern", test_pattern);
	g_test_add_func("/archs/longrope", test_longrope);
	g_test_add_func("/archs/hostile", test_hostile);
	g_test_add_func("/archs/device-fails", test_device_fails);
	return g_test_run();
}
