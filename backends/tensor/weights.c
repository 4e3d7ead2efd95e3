/*
 * weights.c - finds, checks and hands over a model's tensors; see weights.h. Called on a worker.
 */
#include "weights.h"
#include "fail.h"
#include "weight-reader.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extent {
	NONE,
	ONE,
	EMBD,
	FF,
	FF_TWICE,
	HEADS,
	KV_HEADS,
	QKV,
	HEAD,
	VOCAB,
	ROPE_HALF,
	EXPERTS,
	FF_EXPERT,
	FF_SHARED,
	CONTEXT
};

enum need {
	OPTIONAL,
	REQUIRED,
	BIAS,
	GATE_BIAS,
	QKV_BIAS,
	FUSED_BIAS,
	NORM_BIAS,
	FFN_NORM,
	FFN_NORM_BIAS,
	ATTN_NORM_2,
	QK_NORM,
	POST_NORM,
	SUB_NORM,
	SPLIT_QKV,
	FUSED_QKV,
	GATE,
	UP,
	DOWN,
	FUSED_GATE,
	MIXTURE,
	SHARED,
	SHARED_ROUTER,
	POSITIONS,
	OUTPUT_BIAS,
	FACTORS,
	LONGROPE
};

struct shape {
	const char *name;
	enum extent n_in, n_out; /* n_out NONE: a vector */
	enum need need;
	enum extent stack; /* so many matrices, one after the other; NONE: one */
};

static const struct shape layer_shapes[WEIR_LAYER_N] = {
	[WEIR_LAYER_ATTN_NORM] = { "attn_norm.weight", EMBD, NONE, REQUIRED, NONE },
	[WEIR_LAYER_Q] = { "attn_q.weight", EMBD, HEADS, SPLIT_QKV, NONE },
	[WEIR_LAYER_K] = { "attn_k.weight", EMBD, KV_HEADS, SPLIT_QKV, NONE },
	[WEIR_LAYER_V] = { "attn_v.weight", EMBD, KV_HEADS, SPLIT_QKV, NONE },
	[WEIR_LAYER_O] = { "attn_output.weight", HEADS, EMBD, REQUIRED, NONE },
	[WEIR_LAYER_Q_BIAS] = { "attn_q.bias", HEADS, NONE, QKV_BIAS, NONE },
	[WEIR_LAYER_K_BIAS] = { "attn_k.bias", KV_HEADS, NONE, QKV_BIAS, NONE },
	[WEIR_LAYER_V_BIAS] = { "attn_v.bias", KV_HEADS, NONE, QKV_BIAS, NONE },
	[WEIR_LAYER_O_BIAS] = { "attn_output.bias", EMBD, NONE, BIAS, NONE },
	[WEIR_LAYER_Q_NORM] = { "attn_q_norm.weight", HEAD, NONE, QK_NORM, NONE },
	[WEIR_LAYER_K_NORM] = { "attn_k_norm.weight", HEAD, NONE, QK_NORM, NONE },
	[WEIR_LAYER_FFN_NORM] = { "ffn_norm.weight", EMBD, NONE, FFN_NORM, NONE },
	[WEIR_LAYER_GATE] = { "ffn_gate.weight", EMBD, FF, GATE, NONE },
	[WEIR_LAYER_UP] = { "ffn_up.weight", EMBD, FF, UP, NONE },
	[WEIR_LAYER_DOWN] = { "ffn_down.weight", FF, EMBD, DOWN, NONE },
	[WEIR_LAYER_GATE_BIAS] = { "ffn_gate.bias", FF, NONE, GATE_BIAS, NONE },
	[WEIR_LAYER_UP_BIAS] = { "ffn_up.bias", FF, NONE, BIAS, NONE },
	[WEIR_LAYER_DOWN_BIAS] = { "ffn_down.bias", EMBD, NONE, BIAS, NONE },
	[WEIR_LAYER_POST_ATTN_NORM] = { "post_attention_norm.weight", EMBD, NONE, POST_NORM, NONE },
	[WEIR_LAYER_POST_FFN_NORM] = { "post_ffw_norm.weight", EMBD, NONE, POST_NORM, NONE },
	[WEIR_LAYER_ATTN_NORM_BIAS] = { "attn_norm.bias", EMBD, NONE, NORM_BIAS, NONE },
	[WEIR_LAYER_ATTN_NORM_2] = { "attn_norm_2.weight", EMBD, NONE, ATTN_NORM_2, NONE },
	[WEIR_LAYER_ATTN_NORM_2_BIAS] = { "attn_norm_2.bias", EMBD, NONE, ATTN_NORM_2, NONE },
	[WEIR_LAYER_FFN_NORM_BIAS] = { "ffn_norm.bias", EMBD, NONE, FFN_NORM_BIAS, NONE },
	[WEIR_LAYER_ATTN_SUB_NORM] = { "attn_sub_norm.weight", HEADS, NONE, SUB_NORM, NONE },
	[WEIR_LAYER_FFN_SUB_NORM] = { "ffn_sub_norm.weight", FF, NONE, SUB_NORM, NONE },
	[WEIR_LAYER_ROUTER] = { "ffn_gate_inp.weight", EMBD, EXPERTS, MIXTURE, NONE },
	[WEIR_LAYER_GATE_EXPERTS] = { "ffn_gate_exps.weight", EMBD, FF_EXPERT, MIXTURE, EXPERTS },
	[WEIR_LAYER_UP_EXPERTS] = { "ffn_up_exps.weight", EMBD, FF_EXPERT, MIXTURE, EXPERTS },
	[WEIR_LAYER_DOWN_EXPERTS] = { "ffn_down_exps.weight", FF_EXPERT, EMBD, MIXTURE, EXPERTS },
	[WEIR_LAYER_SHARED_ROUTER] = { "ffn_gate_inp_shexp.weight", EMBD, ONE, SHARED_ROUTER,
				       NONE },
	[WEIR_LAYER_SHARED_GATE] = { "ffn_gate_shexp.weight", EMBD, FF_SHARED, SHARED, NONE },
	[WEIR_LAYER_SHARED_UP] = { "ffn_up_shexp.weight", EMBD, FF_SHARED, SHARED, NONE },
	[WEIR_LAYER_SHARED_DOWN] = { "ffn_down_shexp.weight", FF_SHARED, EMBD, SHARED, NONE },
};

/* The matrices of a layer whose tensor <name>.scale is a factor of theirs: BitNet's files have
 * them, and those of NVFP4, whose blocks' scales are relative to it. */
static const struct factor {
	const char *name;
	enum weir_layer_scale first;
	uint32_t n; /* matrices of it */
} layer_factors[] = {
	{ "attn_q", WEIR_SCALE_Q, 1 },      { "attn_k", WEIR_SCALE_K, 1 },
	{ "attn_v", WEIR_SCALE_V, 1 },      { "attn_qkv", WEIR_SCALE_Q, 3 },
	{ "attn_output", WEIR_SCALE_O, 1 }, { "ffn_gate", WEIR_SCALE_GATE, 1 },
	{ "ffn_up", WEIR_SCALE_UP, 1 },     { "ffn_down", WEIR_SCALE_DOWN, 1 },
};

#define N_FACTORS (sizeof(layer_factors) / sizeof(layer_factors[0]))

/* The bias of such a matrix, as WEIR_SCALE_* + 1. */
static const uint8_t bias_scales[WEIR_LAYER_N] = {
	[WEIR_LAYER_Q_BIAS] = WEIR_SCALE_Q + 1,       [WEIR_LAYER_K_BIAS] = WEIR_SCALE_K + 1,
	[WEIR_LAYER_V_BIAS] = WEIR_SCALE_V + 1,       [WEIR_LAYER_O_BIAS] = WEIR_SCALE_O + 1,
	[WEIR_LAYER_GATE_BIAS] = WEIR_SCALE_GATE + 1, [WEIR_LAYER_UP_BIAS] = WEIR_SCALE_UP + 1,
	[WEIR_LAYER_DOWN_BIAS] = WEIR_SCALE_DOWN + 1,
};

/* Tensors that hold the rows (a vector: the elements) of several, one after the other. */
static const struct fused {
	struct shape shape;
	enum weir_layer_tensor first;
	uint32_t n_parts;
} layer_fused[] = {
	{ { "attn_qkv.weight", EMBD, QKV, FUSED_QKV, NONE }, WEIR_LAYER_Q, 3 },
	{ { "attn_qkv.bias", QKV, NONE, FUSED_BIAS, NONE }, WEIR_LAYER_Q_BIAS, 3 },
	{ { "ffn_up.weight", EMBD, FF_TWICE, FUSED_GATE, NONE }, WEIR_LAYER_GATE, 2 },
};

#define N_FUSED (sizeof(layer_fused) / sizeof(layer_fused[0]))

/* Tensors of the whole model, and where weir_weights keeps them. */
static const struct global {
	struct shape shape;
	size_t offset;
} globals[] = {
	{ { "token_embd.weight", EMBD, VOCAB, REQUIRED, NONE },
	  offsetof(struct weir_weights, token_embd) },
	{ { "position_embd.weight", EMBD, CONTEXT, POSITIONS, NONE },
	  offsetof(struct weir_weights, position_embd) },
	{ { "rope_freqs.weight", ROPE_HALF, NONE, FACTORS, NONE },
	  offsetof(struct weir_weights, rope_freqs) },
	{ { "rope_factors_long.weight", ROPE_HALF, NONE, LONGROPE, NONE },
	  offsetof(struct weir_weights, rope_long) },
	{ { "rope_factors_short.weight", ROPE_HALF, NONE, LONGROPE, NONE },
	  offsetof(struct weir_weights, rope_short) },
	{ { "output_norm.weight", EMBD, NONE, REQUIRED, NONE },
	  offsetof(struct weir_weights, output_norm) },
	{ { "output_norm.bias", EMBD, NONE, NORM_BIAS, NONE },
	  offsetof(struct weir_weights, output_norm_bias) },
	{ { "output.weight", EMBD, VOCAB, OPTIONAL, NONE }, offsetof(struct weir_weights, output) },
	{ { "output.bias", VOCAB, NONE, OUTPUT_BIAS, NONE },
	  offsetof(struct weir_weights, output_bias) },
};

#define N_GLOBALS (sizeof(globals) / sizeof(globals[0]))

static weir_buffer **global_at(struct weir_weights *w, size_t i)
{
	return (weir_buffer **)(void *)((char *)w + globals[i].offset);
}

struct loader {
	const struct weir_gguf *g;
	const struct weir_hparams *h;
	const struct weir_host_log *log;
	struct weir_weights *w;
	struct weir_error *err;
	struct weir_weight_reader reader;
	bool hand_over;           /* false: the first pass, which only checks and counts */
	struct weir_layer *layer; /* that is taken, or NULL */
	size_t n_used;            /* tensors that the model has a place for */
	uint64_t done, total;     /* bytes */
	uint64_t by_type[64];
};

static uint64_t extent_of(const struct weir_hparams *h, enum extent e)
{
	switch (e) {
	case NONE:
	case ONE:
		return 1;
	case EMBD:
		return h->n_embd;
	case FF:
		return h->n_ff;
	case FF_TWICE:
		return 2 * (uint64_t)h->n_ff;
	case HEADS:
		return (uint64_t)h->n_heads * h->head_size;
	case KV_HEADS:
		return (uint64_t)h->n_kv_heads * h->head_size;
	case QKV:
		return ((uint64_t)h->n_heads + 2 * (uint64_t)h->n_kv_heads) * h->head_size;
	case HEAD:
		return h->head_size;
	case VOCAB:
		return h->n_vocab;
	case ROPE_HALF:
		return h->rope.size / 2;
	case EXPERTS:
		return h->n_experts;
	case FF_EXPERT:
		return h->n_ff_expert;
	case FF_SHARED:
		return h->n_ff_shared;
	case CONTEXT:
		return h->n_ctx;
	}
	return 0;
}

/* Has the architecture a place for it (may), and can it do without (must)? */
static void needs(const struct weir_hparams *h, enum need need, bool *ret_may, bool *ret_must)
{
	uint32_t f = h->arch->flags;
	bool gated = !(f & WEIR_ARCH_PLAIN_FF), fused_gate = f & WEIR_ARCH_FUSED_GATE;
	bool dense = h->n_experts == 0, may = true, must = false;

	switch (need) {
	case OPTIONAL:
		break;
	case REQUIRED:
		must = true;
		break;
	case GATE_BIAS:
		may = gated && f & WEIR_ARCH_OPTIONAL_BIAS;
		break;
	case BIAS:
		must = f & WEIR_ARCH_BIAS;
		may = f & (WEIR_ARCH_BIAS | WEIR_ARCH_OPTIONAL_BIAS);
		break;
	case QKV_BIAS:
		must = f & (WEIR_ARCH_BIAS | WEIR_ARCH_QKV_BIAS) && !h->fused_qkv;
		may = must || (f & WEIR_ARCH_OPTIONAL_BIAS && !h->fused_qkv);
		break;
	case FUSED_BIAS:
		may = must = f & WEIR_ARCH_BIAS && h->fused_qkv;
		break;
	case NORM_BIAS:
		may = must = f & WEIR_ARCH_NORM_BIAS;
		break;
	case FFN_NORM:
		may = must = !(f & WEIR_ARCH_ONE_NORM);
		break;
	case FFN_NORM_BIAS:
		may = must = f & WEIR_ARCH_NORM_BIAS && !(f & WEIR_ARCH_ONE_NORM);
		break;
	case ATTN_NORM_2: /* in pairs: check_pairs() */
		may = f & WEIR_ARCH_ONE_NORM;
		break;
	case QK_NORM:
		may = must = f & WEIR_ARCH_QK_NORM;
		break;
	case POST_NORM:
		may = must = f & WEIR_ARCH_POST_NORM;
		break;
	case SUB_NORM:
		may = must = f & WEIR_ARCH_SUB_NORM;
		break;
	case SPLIT_QKV:
		may = must = !h->fused_qkv;
		break;
	case FUSED_QKV:
		may = must = h->fused_qkv;
		break;
	case GATE:
		may = must = dense && gated && !fused_gate;
		break;
	case UP:
		may = must = dense && !fused_gate;
		break;
	case DOWN:
		may = must = dense;
		break;
	case FUSED_GATE:
		may = must = dense && fused_gate;
		break;
	case MIXTURE:
		may = must = !dense;
		break;
	case SHARED:
		may = must = h->n_ff_shared > 0;
		break;
	case SHARED_ROUTER:
		may = must = h->n_ff_shared > 0 && f & WEIR_ARCH_SHARED_GATE;
		break;
	case POSITIONS:
		may = must = f & WEIR_ARCH_POSITIONS;
		break;
	case OUTPUT_BIAS:
		may = must = f & WEIR_ARCH_OUTPUT_BIAS;
		break;
	case LONGROPE: /* hparams.c has made sure that both are there or none */
		may = f & WEIR_ARCH_LONGROPE;
		break;
	case FACTORS:
		may = f & WEIR_ARCH_ROPE_FACTORS;
		break;
	}
	*ret_may = may;
	*ret_must = must;
}

static weir_status check_shape(struct loader *l, const char *name, const struct shape *shape,
			       const struct weir_gguf_tensor *t)
{
	uint64_t n_in = extent_of(l->h, shape->n_in), n_out = extent_of(l->h, shape->n_out);
	uint64_t n_stack = extent_of(l->h, shape->stack);

	if (t->ne[0] == n_in && t->ne[1] == n_out && t->ne[2] == n_stack && t->ne[3] == 1)
		return WEIR_OK;
	return weir_fail(l->err, WEIR_E_INVALID,
			 "tensor '%s' has the shape %llu x %llu x %llu x %llu, the model's numbers "
			 "ask for %llu x %llu x %llu",
			 name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
			 (unsigned long long)t->ne[2], (unsigned long long)t->ne[3],
			 (unsigned long long)n_in, (unsigned long long)n_out,
			 (unsigned long long)n_stack);
}

/* The factor of the matrix whose bias goes to *at; 1 for all other tensors. */
static float factor_at(const struct loader *l, weir_buffer *const *at)
{
	uint8_t i;

	if (at == &l->w->output_bias)
		return l->w->output_scale;
	if (!l->layer)
		return 1.0f;
	i = bias_scales[at - l->layer->tensor];
	return i ? l->layer->scale[i - 1] : 1.0f;
}

/* One tensor, as n_parts ranges of its rows, or of a vector's elements. */
static weir_status hand_over(struct loader *l, const char *name, const struct weir_gguf_tensor *t,
			     uint32_t use, const struct shape *parts, uint32_t n_parts,
			     weir_buffer **ret)
{
	const struct weir_gguf_type *type = weir_gguf_type(t->type);
	uint64_t at = 0;
	bool device = false;
	weir_status s;

	weir_host_progress(l->log, "loading weights", l->done, l->total);
	s = weir_host_go_on(l->log, l->err);
	if (s < 0)
		return s;
	for (uint32_t i = 0; i < n_parts && s >= 0; i++) {
		uint64_t n_in = extent_of(l->h, parts[i].n_in);
		uint64_t n_out = extent_of(l->h, parts[i].n_out) * extent_of(l->h, parts[i].stack);
		uint64_t n = n_in * n_out / type->block_size * type->block_bytes;
		struct weir_weight_shape shape = { n_in, n_out, use, factor_at(l, &ret[i]) };

		s = weir_weight_give(&l->reader, t, at, n, &shape, &ret[i], &device, l->err);
		at += n;
	}
	if (s < 0 && !device)
		return s; /* it names the file */
	if (s == WEIR_E_UNSUPPORTED)
		return weir_fail(l->err, s,
				 "tensor '%s' is of type %s, which the device has no kernels for; "
				 "use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K "
				 "to Q6_K, IQ1_S to IQ4_XS, MXFP4, NVFP4, TQ1_0 or TQ2_0",
				 name, type->name);
	if (s < 0) {
		weir_fail_prefix(l->err, name);
		return s;
	}
	l->done += t->n_bytes;
	return WEIR_OK;
}

/* A vector that is cut in parts: blocks would have to end where the parts do. */
static weir_status check_elements(struct loader *l, const char *name,
				  const struct weir_gguf_tensor *t)
{
	const struct weir_gguf_type *type = weir_gguf_type(t->type);

	if (type->block_size == 1)
		return WEIR_OK;
	return weir_fail(l->err, WEIR_E_UNSUPPORTED,
			 "tensor '%s' is of type %s; a bias must be F32, F16 or BF16", name,
			 type->name);
}

static weir_status check_divisible(struct loader *l, const char *name,
				   const struct weir_gguf_tensor *t, float factor)
{
	if (factor == 1.0f || t->type == WEIR_GGUF_TYPE_F32)
		return WEIR_OK;
	return weir_fail(l->err, WEIR_E_UNSUPPORTED,
			 "tensor '%s' is of type %s; the bias of a matrix with a factor must be "
			 "F32",
			 name, weir_gguf_type(t->type)->name);
}

/* One tensor in either pass; ret[0..n_parts) stay NULL when the model has none. */
static weir_status take_parts(struct loader *l, const char *name, const struct shape *shape,
			      uint32_t use, const struct shape *parts, uint32_t n_parts,
			      weir_buffer **ret)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(l->g, name);
	bool may, must;
	weir_status s;

	needs(l->h, shape->need, &may, &must);
	if (!t && must)
		return weir_fail(l->err, WEIR_E_INVALID,
				 "tensor '%s' is missing: the file is damaged, or is not a whole "
				 "%s model",
				 name, l->h->arch->name);
	if (!t || !may)
		return WEIR_OK;
	if (l->hand_over)
		return hand_over(l, name, t, use, parts, n_parts, ret);
	s = check_shape(l, name, shape, t);
	if (s == WEIR_OK && n_parts > 1 && shape->n_out == NONE)
		s = check_elements(l, name, t);
	for (uint32_t i = 0; s == WEIR_OK && i < n_parts; i++)
		s = check_divisible(l, name, t, factor_at(l, &ret[i]));
	if (s != WEIR_OK)
		return s;
	l->n_used++;
	l->total += t->n_bytes;
	if (use & WEIR_WEIGHT_MATRIX && t->type < 64)
		l->by_type[t->type] += t->n_bytes;
	/* Cannot overflow: open() has made sure that each tensor lies inside of the file. */
	l->w->n_params += t->ne[0] * t->ne[1] * t->ne[2];
	return WEIR_OK;
}

static weir_status take(struct loader *l, const char *name, const struct shape *shape, uint32_t use,
			weir_buffer **ret)
{
	return take_parts(l, name, shape, use, shape, 1, ret);
}

static uint32_t use_of(const struct shape *shape)
{
	return shape->n_out == NONE ? WEIR_WEIGHT_VECTOR : WEIR_WEIGHT_MATRIX;
}

/* One number of type F32 beside the matrix <stem>.weight, in the first pass: what was decided by it
 * there must hold in the second. *ret stays as it is where there is none. */
static weir_status take_number(struct loader *l, const char *stem, const char *what, float *ret)
{
	const struct weir_gguf_tensor *t;
	char name[80];
	float x = 0;
	weir_status s;

	snprintf(name, sizeof(name), "%s.weight", stem);
	if (!weir_gguf_tensor(l->g, name)) /* what is alone is a leftover */
		return WEIR_OK;
	snprintf(name, sizeof(name), "%s.%s", stem, what);
	t = weir_gguf_tensor(l->g, name);
	if (!t)
		return WEIR_OK;
	if (t->type != WEIR_GGUF_TYPE_F32 || t->n_bytes != sizeof(x))
		return weir_fail(l->err, WEIR_E_INVALID,
				 "tensor '%s' must be one number of type F32, it has %llu bytes",
				 name, (unsigned long long)t->n_bytes);
	if (l->hand_over) {
		l->done += t->n_bytes;
		return WEIR_OK;
	}
	s = weir_gguf_read(t, 0, &x, sizeof(x), l->err);
	if (s < 0)
		return s;
	if (!isfinite(x) || x == 0)
		return weir_fail(l->err, WEIR_E_INVALID,
				 "tensor '%s' is %g, it must be finite and not 0", name, (double)x);
	*ret = x;
	l->n_used++;
	l->total += t->n_bytes;
	l->w->n_params++;
	return WEIR_OK;
}

/* A matrix's factor: a number for the graph, nothing for the device. What NVFP4's files call
 * input_scale is for devices that multiply activations of 4 bits, which none here does. */
static weir_status take_factor(struct loader *l, const char *stem, float *ret)
{
	float unused = 1.0f;
	weir_status s = take_number(l, stem, "scale", ret);

	return s ? s : take_number(l, stem, "input_scale", &unused);
}

static weir_status take_factors(struct loader *l, uint32_t layer)
{
	float *scale = l->w->layers[layer].scale;

	for (uint32_t i = 0; !l->hand_over && i < WEIR_SCALE_N; i++)
		scale[i] = 1.0f;
	for (size_t i = 0; i < N_FACTORS; i++) {
		const struct factor *f = &layer_factors[i];
		uint32_t first = f->first, n = f->n;
		float x = 1.0f;
		char stem[64];
		weir_status s;

		/* where the gate's rows are in ffn_up.weight */
		if (f->first == WEIR_SCALE_UP && l->h->arch->flags & WEIR_ARCH_FUSED_GATE) {
			first = WEIR_SCALE_GATE;
			n = 2;
		}
		snprintf(stem, sizeof(stem), "blk.%u.%s", layer, f->name);
		if ((s = take_factor(l, stem, &x)))
			return s;
		for (uint32_t k = 0; x != 1.0f && k < n; k++)
			scale[first + k] = x;
	}
	return WEIR_OK;
}

/* The names and their weights go together. */
static weir_status check_pairs(struct loader *l, uint32_t layer)
{
	weir_buffer *const *t = l->w->layers[layer].tensor;

	if (l->hand_over && !t[WEIR_LAYER_ATTN_NORM_2] != !t[WEIR_LAYER_ATTN_NORM_2_BIAS])
		return weir_fail(l->err, WEIR_E_INVALID,
				 "tensor 'blk.%u.attn_norm_2.%s' is missing: the file has only the "
				 "other of the two",
				 layer, t[WEIR_LAYER_ATTN_NORM_2] ? "bias" : "weight");
	return WEIR_OK;
}

static weir_status take_layer(struct loader *l, uint32_t layer)
{
	struct weir_layer *at = &l->w->layers[layer];
	char name[64];
	weir_status s;

	s = take_factors(l, layer);
	if (s != WEIR_OK)
		return s;
	l->layer = at;
	for (size_t i = 0; i < N_FUSED; i++) {
		const struct fused *f = &layer_fused[i];

		snprintf(name, sizeof(name), "blk.%u.%s", layer, f->shape.name);
		s = take_parts(l, name, &f->shape, use_of(&f->shape), &layer_shapes[f->first],
			       f->n_parts, &at->tensor[f->first]);
		if (s != WEIR_OK)
			return s;
	}
	for (uint32_t i = 0; i < WEIR_LAYER_N; i++) {
		const struct shape *shape = &layer_shapes[i];

		snprintf(name, sizeof(name), "blk.%u.%s", layer, shape->name);
		s = take(l, name, shape, use_of(shape), &at->tensor[i]);
		if (s != WEIR_OK)
			return s;
	}
	l->layer = NULL;
	return check_pairs(l, layer);
}

static weir_status take_all(struct loader *l)
{
	struct weir_weights *w = l->w;
	weir_status s;

	if (!l->hand_over)
		w->output_scale = 1.0f;
	if ((s = take_factor(l, "output", &w->output_scale)))
		return s;
	for (size_t i = 0; i < N_GLOBALS; i++) {
		const struct shape *shape = &globals[i].shape;
		uint32_t use = use_of(shape);

		if (globals[i].offset == offsetof(struct weir_weights, token_embd))
			use = WEIR_WEIGHT_TABLE | (l->h->tied ? WEIR_WEIGHT_MATRIX : 0);
		else if (globals[i].offset == offsetof(struct weir_weights, position_embd))
			use = WEIR_WEIGHT_TABLE;
		if ((s = take(l, shape->name, shape, use, global_at(w, i))))
			return s;
	}
	for (uint32_t i = 0; i < w->n_layers; i++) {
		if ((s = take_layer(l, i)))
			return s;
	}
	if (l->hand_over && l->h->tied)
		w->output = w->token_embd;
	return WEIR_OK;
}

/* The number of a matrix that the file has: <stem>.scale or <stem>.input_scale. */
static bool is_factor(const struct loader *l, const char *name)
{
	const char *dot = strrchr(name, '.');
	char weight[80];

	if (!dot || (strcmp(dot, ".scale") && strcmp(dot, ".input_scale")))
		return false;
	snprintf(weight, sizeof(weight), "%.*s.weight", (int)(dot - name), name);
	return weir_gguf_tensor(l->g, weight) != NULL;
}

static bool is_factored(const char *name)
{
	for (size_t i = 0; i < N_FACTORS; i++) {
		size_t len = strlen(layer_factors[i].name);

		if (strncmp(name, layer_factors[i].name, len) == 0 && name[len] == '.')
			return true;
	}
	return false;
}

static bool has_place(const struct loader *l, struct weir_str name)
{
	char want[64], prefix[24];
	bool may, must;
	unsigned layer;
	size_t n;

	for (size_t i = 0; i < N_GLOBALS; i++) {
		needs(l->h, globals[i].shape.need, &may, &must);
		if (may && name.len == strlen(globals[i].shape.name) &&
		    memcmp(name.data, globals[i].shape.name, name.len) == 0)
			return true;
	}
	if (name.len >= sizeof(want))
		return false;
	memcpy(want, name.data, name.len);
	want[name.len] = '\0';
	if (strncmp(want, "output.", 7) == 0)
		return is_factor(l, want);
	if (sscanf(want, "blk.%8u.", &layer) != 1 || layer >= l->h->n_layers)
		return false;
	n = (size_t)snprintf(prefix, sizeof(prefix), "blk.%u.", layer);
	if (strncmp(want, prefix, n) != 0) /* "blk.01." and the like */
		return false;
	for (uint32_t i = 0; i < WEIR_LAYER_N; i++) {
		needs(l->h, layer_shapes[i].need, &may, &must);
		if (may && strcmp(want + n, layer_shapes[i].name) == 0)
			return true;
	}
	for (size_t i = 0; i < N_FUSED; i++) {
		needs(l->h, layer_fused[i].shape.need, &may, &must);
		if (may && strcmp(want + n, layer_fused[i].shape.name) == 0)
			return true;
	}
	return is_factor(l, want) && is_factored(want + n);
}

/* A tensor without a place in the graph changes what the model computes: leaving it out would give
 * wrong answers. Old files carry the rope's inverse frequencies, which follow from the numbers. */
static weir_status check_leftovers(struct loader *l)
{
	static const char rot[] = "rot_embd";

	if (l->n_used == weir_gguf_n_tensors(l->g))
		return WEIR_OK;
	for (size_t i = 0; i < weir_gguf_n_tensors(l->g); i++) {
		struct weir_str name = weir_gguf_tensor_at(l->g, i)->name;

		if (has_place(l, name) || memmem(name.data, name.len, rot, sizeof(rot) - 1))
			continue;
		return weir_fail(l->err, WEIR_E_UNSUPPORTED,
				 "tensor '%s' has no place in a %s model of %u layers as it is "
				 "supported here",
				 weir_quote(name).text, l->h->arch->name, l->h->n_layers);
	}
	return WEIR_OK;
}

static void name_main_type(struct loader *l)
{
	for (uint32_t i = 0; i < 64; i++) {
		if (l->by_type[i] > l->by_type[l->w->main_type])
			l->w->main_type = i;
	}
}

weir_status weir_weights_load(const struct weir_gguf *g, const struct weir_hparams *h,
			      const struct weir_device *device, struct weir_instance *instance,
			      const struct weir_host_log *log, struct weir_weights **ret,
			      struct weir_error *err)
{
	struct loader l = { .g = g, .h = h, .log = log, .err = err };
	weir_status s;

	/* A layer has several tensors: don't let a number alone ask for memory. */
	if (h->n_layers > weir_gguf_n_tensors(g))
		return weir_fail(err, WEIR_E_INVALID,
				 "%s.block_count is %u, but the file holds %zu tensors in all",
				 h->arch->name, h->n_layers, weir_gguf_n_tensors(g));
	l.w = calloc(1, sizeof(*l.w));
	if (!l.w)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the list of weights");
	l.w->device = device;
	l.w->instance = instance;
	l.reader =
		(struct weir_weight_reader){ .device = device, .instance = instance, .log = log };
	l.w->n_layers = h->n_layers;
	l.w->layers = calloc(h->n_layers, sizeof(*l.w->layers));
	if (!l.w->layers) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the list of weights");
		goto fail;
	}
	if ((s = take_all(&l)) || (s = check_leftovers(&l)))
		goto fail;
	name_main_type(&l);
	l.w->n_bytes = l.total;
	l.hand_over = true;
	if ((s = take_all(&l)) || (s = weir_gguf_check_unchanged(g, err)))
		goto fail;
	weir_weight_reader_clear(&l.reader);
	weir_host_progress(log, "loading weights", l.total, l.total);
	*ret = l.w;
	return WEIR_OK;
fail:
	weir_weight_reader_clear(&l.reader);
	weir_weights_free(l.w);
	return s;
}

void weir_weights_free(struct weir_weights *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; w->layers && i < w->n_layers; i++) {
		for (uint32_t k = 0; k < WEIR_LAYER_N; k++) {
			if (w->layers[i].tensor[k])
				w->device->buffer_free(w->instance, w->layers[i].tensor[k]);
		}
	}
	if (w->output == w->token_embd)
		w->output = NULL;
	for (size_t i = 0; i < N_GLOBALS; i++) {
		weir_buffer *buffer = *global_at(w, i);

		if (buffer)
			w->device->buffer_free(w->instance, buffer);
	}
	free(w->layers);
	free(w);
}
