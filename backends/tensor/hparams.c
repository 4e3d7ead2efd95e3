/*
 * hparams.c - reads a model's numbers; see hparams.h. No state; called by load on a worker.
 */
#include "hparams.h"
#include "fail.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct reader {
	const struct weir_gguf *g;
	struct weir_error *err;
	struct weir_hparams h;
	char key[96];
};

static const char *key_of(struct reader *r, const char *name)
{
	snprintf(r->key, sizeof(r->key), "%s.%s", r->h.arch->name, name);
	return r->key;
}

/* One number per layer: fine when all are equal. */
static weir_status uniform_u32(struct reader *r, const char *key, uint64_t *ret)
{
	struct weir_gguf_array a;
	weir_status s = weir_gguf_get_array(r->g, key, WEIR_GGUF_ARRAY_OF_INTEGERS, &a, NULL);
	int64_t first;

	if (s != WEIR_OK || a.n == 0)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is not an integer", key);
	first = weir_gguf_array_i64(&a, 0);
	for (uint64_t i = 1; i < a.n; i++) {
		if (weir_gguf_array_i64(&a, i) != first)
			return weir_fail(r->err, WEIR_E_UNSUPPORTED,
					 "%s differs between layers (%lld in layer 0, %lld in "
					 "layer %llu): only models whose layers have one shape "
					 "are supported",
					 key, (long long)first,
					 (long long)weir_gguf_array_i64(&a, i),
					 (unsigned long long)i);
	}
	if (first < 0)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %lld", key, (long long)first);
	*ret = (uint64_t)first;
	return WEIR_OK;
}

/* An integer in min..max; absent: *ret stays, or an error when required. */
static weir_status read_u32(struct reader *r, const char *name, bool required, uint32_t min,
			    uint32_t max, uint32_t *ret)
{
	const char *key = key_of(r, name);
	uint64_t v = 0;
	weir_status s;

	if (!weir_gguf_has(r->g, key)) {
		if (!required)
			return WEIR_OK;
		return weir_fail(r->err, WEIR_E_INVALID,
				 "the file lacks %s: it is damaged, or was written by a converter "
				 "that does not follow the GGUF specification",
				 key);
	}
	s = weir_gguf_u64(r->g, key, &v, NULL);
	if (s != WEIR_OK)
		s = uniform_u32(r, key, &v);
	if (s != WEIR_OK)
		return s;
	if (v < min || v > max)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %llu, it must be %u to %u", key,
				 (unsigned long long)v, min, max);
	*ret = (uint32_t)v;
	return WEIR_OK;
}

static weir_status read_f32(struct reader *r, const char *name, float min, float max, float *ret)
{
	const char *key = key_of(r, name);
	float v;
	weir_status s;

	if (!weir_gguf_has(r->g, key))
		return WEIR_OK;
	s = weir_gguf_f32(r->g, key, &v, r->err);
	if (s != WEIR_OK)
		return s;
	if (!(v >= min && v <= max))
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %g, it must be %g to %g", key,
				 (double)v, (double)min, (double)max);
	*ret = v;
	return WEIR_OK;
}

static weir_status read_bool(struct reader *r, const char *name, bool *ret)
{
	const char *key = key_of(r, name);

	return weir_gguf_has(r->g, key) ? weir_gguf_boolean(r->g, key, ret, r->err) : WEIR_OK;
}

static weir_status find_arch(struct reader *r)
{
	struct weir_str name;
	weir_status s;

	if (!weir_gguf_has(r->g, "general.architecture"))
		return weir_fail(r->err, WEIR_E_INVALID,
				 "the file lacks general.architecture: it holds no model");
	s = weir_gguf_string(r->g, "general.architecture", &name, r->err);
	if (s != WEIR_OK)
		return s;
	r->h.arch = weir_arch_find(name);
	if (!r->h.arch)
		return weir_fail(r->err, WEIR_E_UNSUPPORTED,
				 "architecture '%s' is not supported; supported: %s",
				 weir_quote(name).text, weir_arch_names());
	return WEIR_OK;
}

static weir_status read_sizes(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	weir_status s;

	if ((s = read_u32(r, "block_count", true, 1, WEIR_MAX_LAYERS, &h->n_layers)) ||
	    (s = read_u32(r, "embedding_length", true, 1, WEIR_MAX_EMBD, &h->n_embd)) ||
	    (s = read_u32(r, "feed_forward_length", true, 1, WEIR_MAX_FF, &h->n_ff)) ||
	    (s = read_u32(r, "context_length", true, 1, WEIR_MAX_CTX, &h->n_ctx)))
		return s;
	return WEIR_OK;
}

/* The pattern is a period, or one flag for each layer, true for local ones. */
static weir_status read_pattern(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	const char *key = key_of(r, "attention.sliding_window_pattern");
	struct weir_gguf_array a;

	if (!weir_gguf_has(r->g, key))
		return WEIR_OK;
	if (h->arch->local_period == 0)
		return weir_fail(r->err, WEIR_E_UNSUPPORTED,
				 "%s: layers with different windows are not supported in %s models",
				 key, h->arch->name);
	if (weir_gguf_get_array(r->g, key, WEIR_GGUF_ARRAY_OF_INTEGERS, &a, NULL) != WEIR_OK)
		return read_u32(r, "attention.sliding_window_pattern", true, 0, WEIR_MAX_LAYERS,
				&h->local_period);
	if (a.n != h->n_layers)
		return weir_fail(r->err, WEIR_E_INVALID, "%s has %llu flags for %u layers", key,
				 (unsigned long long)a.n, h->n_layers);
	h->local_period = 0;
	for (uint32_t i = 0; i < h->n_layers && h->local_period == 0; i++)
		h->local_period = weir_gguf_array_i64(&a, i) == 0 ? i + 1 : 0;
	for (uint32_t i = 0; i < h->n_layers; i++) {
		if (weir_hparams_is_local(h, i) != (weir_gguf_array_i64(&a, i) != 0))
			return weir_fail(r->err, WEIR_E_UNSUPPORTED,
					 "%s: layer %u breaks the period of %u layers; only "
					 "periodic patterns are supported",
					 key, i, h->local_period);
	}
	return WEIR_OK;
}

static weir_status read_window(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	weir_status s;

	h->window = h->arch->window;
	h->local_period = h->arch->local_period;
	if ((s = read_u32(r, "attention.sliding_window", false, 0, WEIR_MAX_CTX, &h->window)) ||
	    (s = read_pattern(r)))
		return s;
	if (h->window == 0 && h->arch->local_period > 0)
		h->local_period = 1; /* none is local */
	if (h->window >= h->n_ctx)
		h->window = 0;
	return WEIR_OK;
}

static weir_status read_heads(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	uint32_t value_size;
	weir_status s;

	if ((s = read_u32(r, "attention.head_count", true, 1, WEIR_MAX_HEADS, &h->n_heads)))
		return s;
	h->n_kv_heads = h->n_heads;
	if ((s = read_u32(r, "attention.head_count_kv", false, 1, WEIR_MAX_HEADS, &h->n_kv_heads)))
		return s;
	if (h->n_heads % h->n_kv_heads != 0)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "%s: %u heads cannot share %u key/value heads evenly",
				 key_of(r, "attention.head_count_kv"), h->n_heads, h->n_kv_heads);
	if (!weir_gguf_has(r->g, key_of(r, "attention.key_length"))) {
		if (h->n_embd % h->n_heads != 0)
			return weir_fail(r->err, WEIR_E_INVALID,
					 "an embedding of %u cannot be split into %u heads, and "
					 "%s is absent",
					 h->n_embd, h->n_heads, r->key);
		h->head_size = h->n_embd / h->n_heads;
		if (h->head_size > WEIR_MAX_HEAD_SIZE)
			return weir_fail(r->err, WEIR_E_INVALID,
					 "a head size of %u is above the limit of %u", h->head_size,
					 WEIR_MAX_HEAD_SIZE);
	}
	if ((s = read_u32(r, "attention.key_length", false, 1, WEIR_MAX_HEAD_SIZE, &h->head_size)))
		return s;
	value_size = h->head_size;
	if ((s = read_u32(r, "attention.value_length", false, 1, WEIR_MAX_HEAD_SIZE, &value_size)))
		return s;
	if (value_size != h->head_size)
		return weir_fail(r->err, WEIR_E_UNSUPPORTED,
				 "heads whose keys (%u) and values (%u) differ in size are not "
				 "supported",
				 h->head_size, value_size);
	return WEIR_OK;
}

/* Some converters write 0 for "none". */
static weir_status read_factor(struct reader *r, const char *name, float *ret)
{
	float x = 0;
	weir_status s = read_f32(r, name, 0, 1e6f, &x);

	if (s == WEIR_OK && x > 0 && x < 1e-6f)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %g, it must be 1e-6 to 1e6",
				 key_of(r, name), (double)x);
	if (s == WEIR_OK && x > 0)
		*ret = x;
	return s;
}

/* Granite's: logits are divided by theirs. */
static weir_status read_factors(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	float divisor = 1.0f;
	weir_status s;

	if (!(h->arch->flags & WEIR_ARCH_FACTORS))
		return WEIR_OK;
	if ((s = read_factor(r, "embedding_scale", &h->embed_scale)) ||
	    (s = read_factor(r, "residual_scale", &h->residual_scale)) ||
	    (s = read_factor(r, "logit_scale", &divisor)))
		return s;
	h->logit_scale = 1.0f / divisor;
	return WEIR_OK;
}

static weir_status read_floats(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	weir_status s;

	h->norm_eps = -1;
	if ((s = read_f32(r, h->arch->norm_eps_key, 0, 1, &h->norm_eps)))
		return s;
	if (h->norm_eps < 0)
		return weir_fail(r->err, WEIR_E_INVALID, "the file lacks %s",
				 key_of(r, h->arch->norm_eps_key));
	h->embed_scale = h->arch->flags & WEIR_ARCH_EMBED_SQRT ? sqrtf((float)h->n_embd) : 1.0f;
	h->residual_scale = h->logit_scale = 1.0f;
	if ((s = read_factors(r)))
		return s;
	h->attn_softcap = h->arch->attn_softcap;
	h->output_softcap = h->arch->output_softcap;
	if ((s = read_f32(r, "attention.scale", 0, 1e6f, &h->attn_scale)) ||
	    (s = read_f32(r, "attn_logit_softcapping", 0, 1e6f, &h->attn_softcap)) ||
	    (s = read_f32(r, "final_logit_softcapping", 0, 1e6f, &h->output_softcap)))
		return s;
	if (h->attn_scale == 0 && h->n_layers == h->arch->embd_scaled_layers)
		h->attn_scale = 1.0f / sqrtf((float)h->n_embd / (float)h->n_heads);
	if (h->attn_scale == 0) /* absent; some converters write 0 for "the usual" */
		h->attn_scale = 1.0f / sqrtf((float)h->head_size);
	return WEIR_OK;
}

/* YaRN (Peng et al. 2023): the magnitude is 0.1 ln(factor) + 1 unless the file overrides it. */
static weir_status read_yarn(struct reader *r, float factor)
{
	struct weir_hparams *h = &r->h;
	float attn = 1.0f, ext = 1.0f;
	weir_status s;

	h->rope.orig_ctx = h->n_ctx;
	h->rope.beta_fast = 32;
	h->rope.beta_slow = 1;
	if ((s = read_u32(r, "rope.scaling.original_context_length", false, 1, WEIR_MAX_CTX,
			  &h->rope.orig_ctx)) ||
	    (s = read_f32(r, "rope.scaling.yarn_ext_factor", -1, 1, &ext)) ||
	    (s = read_f32(r, "rope.scaling.yarn_beta_fast", 0, 1e6f, &h->rope.beta_fast)) ||
	    (s = read_f32(r, "rope.scaling.yarn_beta_slow", 0, 1e6f, &h->rope.beta_slow)) ||
	    (s = read_f32(r, "rope.scaling.attn_factor", 0, 1e3f, &attn)) ||
	    (s = read_f32(r, "rope.scaling.yarn_attn_factor", 0, 1e3f, &attn)))
		return s;
	if (weir_gguf_has(r->g, key_of(r, "rope.scaling.yarn_log_multiplier")))
		return weir_fail(r->err, WEIR_E_UNSUPPORTED, "%s is not supported", r->key);
	if (attn == 0)
		attn = 1;
	h->rope.ext = ext < 0 ? 1.0f : ext;
	if (h->rope.ext > 0)
		attn *= 1.0f + 0.1f * logf(factor);
	h->rope.attn = attn;
	return WEIR_OK;
}

/* LongRoPE (Ding et al. 2024): two sets of factors, and a magnitude that the file gives. */
static weir_status read_longrope(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	bool has_long = weir_gguf_tensor(r->g, "rope_factors_long.weight") != NULL;
	bool has_short = weir_gguf_tensor(r->g, "rope_factors_short.weight") != NULL;
	weir_status s;

	if (has_long != has_short)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "tensor 'rope_factors_%s.weight' is missing: the file has only "
				 "the other of the two",
				 has_long ? "short" : "long");
	if ((s = read_u32(r, "rope.scaling.original_context_length", false, 1, WEIR_MAX_CTX,
			  &h->rope.orig_ctx)) ||
	    (s = read_f32(r, "rope.scaling.attn_factor", 0, 1e3f, &h->rope.attn)))
		return s;
	if (h->rope.attn == 0)
		h->rope.attn = 1;
	return WEIR_OK;
}

static bool is(struct weir_str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static weir_status read_scaling(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	struct weir_str type = { "none", 4 };
	float factor = 1.0f;
	weir_status s;

	if (weir_gguf_has(r->g, key_of(r, "rope.scaling.type")) &&
	    (s = weir_gguf_string(r->g, r->key, &type, r->err)))
		return s;
	if ((s = read_f32(r, "rope.scaling.factor", 0, 1e6f, &factor)))
		return s;
	if (factor == 0) /* "unset" */
		factor = 1.0f;
	if (factor < 1e-3f)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %g, it must be 0.001 to 1e6",
				 key_of(r, "rope.scaling.factor"), (double)factor);
	if (h->arch->flags & WEIR_ARCH_LONGROPE && (is(type, "none") || is(type, "longrope")))
		return read_longrope(r);
	if (is(type, "none"))
		return WEIR_OK;
	h->rope.scale = 1.0f / factor;
	if (is(type, "linear"))
		return WEIR_OK;
	if (is(type, "yarn"))
		return read_yarn(r, factor);
	return weir_fail(r->err, WEIR_E_UNSUPPORTED,
			 "rope scaling '%s' is not supported; supported: none, linear, yarn, and "
			 "frequency factors in rope_freqs.weight",
			 weir_quote(type).text);
}

static weir_status read_rope(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	weir_status s;

	h->rope.size = h->arch->flags & WEIR_ARCH_POSITIONS ? 0 : h->head_size;
	h->rope.base = 10000.0f;
	h->rope.scale = 1.0f;
	h->rope.attn = 1.0f;
	h->rope.orig_ctx = h->n_ctx;
	h->rope.beta_fast = 32;
	h->rope.beta_slow = 1;
	if (h->rope.size == 0)
		return WEIR_OK;
	if ((s = read_u32(r, "rope.dimension_count", false, 2, h->head_size, &h->rope.size)) ||
	    (s = read_f32(r, "rope.freq_base", 1.0f, 1e12f, &h->rope.base)))
		return s;
	if (h->rope.size % 2 != 0)
		return weir_fail(r->err, WEIR_E_INVALID, "%s is %u, it must be even",
				 key_of(r, "rope.dimension_count"), h->rope.size);
	h->local_rope = h->rope;
	if ((s = read_scaling(r)))
		return s;
	if (h->arch->local_rope_base == 0) {
		h->local_rope = h->rope;
		return WEIR_OK;
	}
	h->local_rope.base = h->arch->local_rope_base;
	return read_f32(r, "rope.freq_base_swa", 1.0f, 1e12f, &h->local_rope.base);
}

/* The embedding's rows are the vocabulary; whatever else counts it must agree. */
static weir_status read_vocab(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	const struct weir_gguf_tensor *t = weir_gguf_tensor(r->g, "token_embd.weight");
	struct weir_gguf_array tokens;
	uint32_t size;
	weir_status s;

	if (!t)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "tensor 'token_embd.weight' is missing: the file holds a "
				 "vocabulary only, or is damaged");
	if (t->ne[1] > WEIR_MAX_VOCAB)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "tensor 'token_embd.weight' has %llu rows, the limit is %u",
				 (unsigned long long)t->ne[1], WEIR_MAX_VOCAB);
	h->n_vocab = (uint32_t)t->ne[1];
	size = h->n_vocab;
	if ((s = read_u32(r, "vocab_size", false, 1, WEIR_MAX_VOCAB, &size)))
		return s;
	if (size != h->n_vocab)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "%s is %u, but tensor 'token_embd.weight' has %u rows",
				 key_of(r, "vocab_size"), size, h->n_vocab);
	if (weir_gguf_has(r->g, "tokenizer.ggml.tokens")) {
		s = weir_gguf_get_array(r->g, "tokenizer.ggml.tokens", WEIR_GGUF_ARRAY_OF_STRINGS,
					&tokens, r->err);
		if (s != WEIR_OK)
			return s;
		if (tokens.n != h->n_vocab)
			return weir_fail(r->err, WEIR_E_INVALID,
					 "tokenizer.ggml.tokens has %llu tokens, but tensor "
					 "'token_embd.weight' has %u rows",
					 (unsigned long long)tokens.n, h->n_vocab);
	}
	h->tied = !weir_gguf_tensor(r->g, "output.weight");
	return WEIR_OK;
}

static weir_status read_experts(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	uint64_t all;
	weir_status s;

	if ((s = read_u32(r, "expert_count", false, 0, WEIR_MAX_EXPERTS, &h->n_experts)))
		return s;
	if (h->n_experts == 0)
		return WEIR_OK;
	if (!(h->arch->flags & WEIR_ARCH_EXPERTS))
		return weir_fail(r->err, WEIR_E_UNSUPPORTED,
				 "the model is a mixture of %u experts; of %s models only dense "
				 "ones are supported",
				 h->n_experts, h->arch->name);
	h->n_ff_expert = h->n_ff;
	h->expert_scale = 1.0f;
	h->expert_norm = h->arch->flags & WEIR_ARCH_EXPERTS_NORM;
	if ((s = read_u32(r, "expert_used_count", true, 1, h->n_experts, &h->n_experts_used)) ||
	    (s = read_u32(r, "expert_feed_forward_length", false, 1, WEIR_MAX_FF,
			  &h->n_ff_expert)) ||
	    (s = read_u32(r, "expert_shared_feed_forward_length", false, 0, WEIR_MAX_FF,
			  &h->n_ff_shared)) ||
	    (s = read_bool(r, "expert_weights_norm", &h->expert_norm)) ||
	    (s = read_f32(r, "expert_weights_scale", 0, 1e6f, &h->expert_scale)))
		return s;
	if (h->arch->flags & WEIR_ARCH_SHARED_GATE && h->n_ff_shared == 0)
		h->n_ff_shared = h->n_ff; /* old files have only this one */
	if (h->expert_scale == 0)         /* "unset" */
		h->expert_scale = 1.0f;
	all = (uint64_t)h->n_experts * (h->n_ff_expert > h->n_embd ? h->n_ff_expert : h->n_embd);
	if (all > UINT32_MAX)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "%u experts of %u x %u are more than a matrix can hold",
				 h->n_experts, h->n_ff_expert, h->n_embd);
	return WEIR_OK;
}

/* How the file's tensors are laid out, and what would give wrong answers if it were ignored. */
static weir_status read_layout(struct reader *r)
{
	struct weir_hparams *h = &r->h;
	bool causal = true;
	weir_status s;

	h->fused_qkv = h->arch->flags & WEIR_ARCH_FUSED_QKV &&
		       (weir_gguf_tensor(r->g, "blk.0.attn_qkv.weight") ||
			!weir_gguf_tensor(r->g, "blk.0.attn_q.weight"));
	h->parallel = h->arch->flags & WEIR_ARCH_PARALLEL;
	if (h->parallel && !(h->arch->flags & WEIR_ARCH_ONE_NORM) &&
	    (s = read_bool(r, "use_parallel_residual", &h->parallel)))
		return s;
	if ((s = read_bool(r, "attention.causal", &causal)))
		return s;
	if (causal && weir_gguf_has(r->g, key_of(r, "attention.causal")) &&
	    r->h.arch->flags & WEIR_ARCH_ENCODER)
		return weir_fail(
			r->err, WEIR_E_UNSUPPORTED,
			"%s is true: %s models whose attention is causal are not supported", r->key,
			r->h.arch->name);
	if (!causal && !(r->h.arch->flags & WEIR_ARCH_ENCODER))
		return weir_fail(r->err, WEIR_E_UNSUPPORTED,
				 "the model's attention is not causal: it cannot generate text");
	return WEIR_OK;
}

weir_status weir_hparams_read(const struct weir_gguf *g, struct weir_hparams *ret,
			      struct weir_error *err)
{
	struct reader r = { .g = g, .err = err };
	weir_status s;

	if ((s = find_arch(&r)) || (s = read_sizes(&r)) || (s = read_layout(&r)) ||
	    (s = read_window(&r)) || (s = read_heads(&r)) || (s = read_floats(&r)) ||
	    (s = read_rope(&r)) || (s = read_experts(&r)) || (s = read_vocab(&r)))
		return s;
	*ret = r.h;
	return WEIR_OK;
}
