/* SPDX-License-Identifier: MIT */
/*
 * check.c - is an operation well formed, and is there a shader for it? Pure; any thread.
 *
 * supports() and program_new() both ask here, so that the answer is the same.
 */
#include "layout.h"
#include "program.h"

#include <math.h>

#define ACTS                                                                                       \
	((uint32_t)(WEIR_ACT_SILU | WEIR_ACT_GELU_TANH | WEIR_ACT_RELU2 | WEIR_ACT_GELU_ERF |      \
		    WEIR_ACT_RELU | WEIR_ACT_TANH))

#define REFUSE(...) weir_vk_fail(err, WEIR_E_INVALID, __VA_ARGS__)

static bool is_temp(const struct weir_tensor *t)
{
	return (t->kind == WEIR_TENSOR_TEMP || t->kind == WEIR_TENSOR_OUTPUT) && t->width &&
	       t->width <= UINT32_MAX / 64 &&
	       (t->rows == WEIR_ROWS_TOKENS || t->rows == WEIR_ROWS_OUT);
}

static const struct weir_tensor *temp_at(const struct weir_tensor *tensors, uint32_t i)
{
	return i != WEIR_NO_TENSOR && is_temp(&tensors[i]) ? &tensors[i] : NULL;
}

static const weir_buffer *weight_at(const struct weir_tensor *tensors, uint32_t i, uint32_t use)
{
	const weir_buffer *b;

	if (i == WEIR_NO_TENSOR || tensors[i].kind != WEIR_TENSOR_WEIGHT)
		return NULL;
	b = tensors[i].buffer;
	return b && (b->use & use) ? b : NULL;
}

static const weir_buffer *cache_at(const struct weir_tensor *tensors, uint32_t i)
{
	if (i == WEIR_NO_TENSOR || tensors[i].kind != WEIR_TENSOR_KV || !tensors[i].buffer)
		return NULL;
	return tensors[i].buffer->use ? NULL : tensors[i].buffer;
}

/* An optional vector of n elements: absent, or right. */
static bool vector_fits(const struct weir_tensor *tensors, uint32_t i, uint64_t n)
{
	const weir_buffer *b;

	if (i == WEIR_NO_TENSOR)
		return true;
	b = weight_at(tensors, i, WEIR_WEIGHT_VECTOR);
	return b && b->n_in * b->n_out == n;
}

static weir_status check_embed(const struct weir_op *op, const struct weir_tensor *tensors,
			       struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const weir_buffer *table = weight_at(tensors, op->src[0], WEIR_WEIGHT_TABLE);
	const uint32_t known =
		WEIR_EMBED_ADD | WEIR_EMBED_POSITION | WEIR_EMBED_FIXED | WEIR_EMBED_TYPE;

	if (!dst || !table || dst->width != table->n_in || dst->rows != WEIR_ROWS_TOKENS)
		return REFUSE("EMBED: needs a table and rows of tokens of its width");
	if (op->flags & ~known ||
	    __builtin_popcount(op->flags & known & ~(uint32_t)WEIR_EMBED_ADD) > 1)
		return REFUSE("EMBED: unknown flags 0x%x", op->flags);
	if (op->i[0] < 0 || (op->flags & WEIR_EMBED_FIXED && (uint64_t)op->i[0] >= table->n_out))
		return REFUSE("EMBED: row %d of %llu", op->i[0], (unsigned long long)table->n_out);
	return WEIR_OK;
}

static weir_status check_norm(const struct weir_op *op, const struct weir_tensor *tensors,
			      struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *src = temp_at(tensors, op->src[0]);
	uint64_t group, n;

	if (!dst || !src || dst->width != src->width || dst->rows != src->rows)
		return REFUSE("NORM: source and result differ in shape");
	group = op->i[0] > 0 ? (uint64_t)op->i[0] : src->width;
	n = group;
	if (op->i[0] < 0 || src->width % group)
		return REFUSE("NORM: groups of %d do not fill rows of %llu", op->i[0],
			      (unsigned long long)src->width);
	if (op->src[1] == WEIR_NO_TENSOR)
		return REFUSE("NORM: no weight");
	if (!vector_fits(tensors, op->src[1], n))
		n = src->width;
	if (!vector_fits(tensors, op->src[1], n) || !vector_fits(tensors, op->src[2], n))
		return REFUSE("NORM: weight or bias is not a vector of %llu",
			      (unsigned long long)n);
	if (op->flags & ~(uint32_t)(WEIR_NORM_LAYER | WEIR_NORM_ADD))
		return REFUSE("NORM: unknown flags 0x%x", op->flags);
	if (op->flags & WEIR_NORM_ADD && op->dst[0] == op->src[0])
		return REFUSE("NORM: adds to its own source");
	return WEIR_OK;
}

static weir_status check_linear(const struct weir_op *op, const struct weir_tensor *tensors,
				struct weir_error *err)
{
	const struct weir_tensor *src = temp_at(tensors, op->src[0]);
	bool glu = op->flags & WEIR_LINEAR_GLU, quantised[3];

	if (!src || op->i[0] < 1 || op->i[0] > 3 || (glu && op->i[0] != 2))
		return REFUSE("LINEAR: no source, or %d matrices", op->i[0]);
	if (op->flags & ~(ACTS | WEIR_LINEAR_ADD | WEIR_LINEAR_GLU) ||
	    __builtin_popcount(op->flags & ACTS) > 1)
		return REFUSE("LINEAR: unknown flags 0x%x", op->flags);
	if (op->f[0] == 0 || !isfinite(op->f[0]) || !(op->f[1] >= 0))
		return REFUSE("LINEAR: factor %g (1 changes nothing), softcap %g", (double)op->f[0],
			      (double)op->f[1]);
	for (int k = 0; k < op->i[0]; k++) {
		const weir_buffer *w = weight_at(tensors, op->src[1 + k], WEIR_WEIGHT_MATRIX);
		uint32_t dst_index = op->dst[glu ? 0 : k];
		const struct weir_tensor *dst = temp_at(tensors, dst_index);

		if (!w || !dst || w->n_in != src->width || w->n_out != dst->width)
			return REFUSE(
				"LINEAR: matrix %d does not lead from rows of %llu to its result",
				k, (unsigned long long)src->width);
		if (dst->rows != src->rows || dst_index == op->src[0])
			return REFUSE("LINEAR: result %d is the source, or has other rows", k);
		if (!vector_fits(tensors, op->src[4 + k], w->n_out))
			return REFUSE("LINEAR: bias %d is not a vector of %llu", k,
				      (unsigned long long)w->n_out);
		if (w->n_out > 32 * 65535)
			return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
					    "LINEAR: %llu rows; the vulkan backend has 2097120",
					    (unsigned long long)w->n_out);
		for (int j = 0; j < k && !glu; j++)
			if (op->dst[j] == dst_index)
				return REFUSE("LINEAR: results %d and %d are one", j, k);
		quantised[k] = weir_vk_type(w->type)->split;
	}
	if (glu && quantised[0] != quantised[1])
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "LINEAR: a gate of floats with a quantised matrix");
	return WEIR_OK;
}

/* What ROPE_KV and ATTENTION share. */
static weir_status check_heads(const struct weir_op *op, const struct weir_tensor *q,
			       const weir_buffer *keys, const weir_buffer *values,
			       struct weir_error *err)
{
	int32_t heads = op->i[0], kv_heads = op->i[1], size = op->i[2];

	if (heads < 1 || kv_heads < 1 || heads % kv_heads || heads > 1 << 15)
		return REFUSE("attention: %d heads over %d KV heads", heads, kv_heads);
	if (size < 1 || size > (int32_t)WEIR_VK_MAX_HEAD)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "attention: head size %d; the vulkan backend has 1 to %u", size,
				    WEIR_VK_MAX_HEAD);
	if (!q || q->width != (uint64_t)heads * (uint64_t)size || q->rows != WEIR_ROWS_TOKENS)
		return REFUSE("attention: q is not %d heads of %d", heads, size);
	if (!keys || !values)
		return WEIR_OK;
	if (keys->n_heads != (uint32_t)kv_heads || keys->head_size != (uint32_t)size ||
	    values->n_heads != keys->n_heads || values->head_size != keys->head_size ||
	    values->type != keys->type || values->n_blocks != keys->n_blocks ||
	    values->block_tokens != keys->block_tokens)
		return REFUSE("attention: the caches do not hold %d heads of %d", kv_heads, size);
	return WEIR_OK;
}

static weir_status check_rope_kv(const struct weir_op *op, const struct weir_tensor *tensors,
				 struct weir_error *err)
{
	const struct weir_tensor *k = temp_at(tensors, op->src[1]);
	const struct weir_tensor *v = temp_at(tensors, op->src[2]);
	const weir_buffer *keys = cache_at(tensors, op->src[3]);
	const weir_buffer *values = cache_at(tensors, op->src[4]);
	weir_status status = check_heads(op, temp_at(tensors, op->src[0]), keys, values, err);
	uint64_t width, size;

	if (status)
		return status;
	size = (uint64_t)op->i[2];
	width = (uint64_t)op->i[1] * size;
	if (!keys != (op->src[3] == WEIR_NO_TENSOR) || !values != !keys)
		return REFUSE("ROPE_KV: needs both caches, or none");
	if (!k || k->width != width || k->rows != WEIR_ROWS_TOKENS ||
	    (keys && (!v || v->width != width || v->rows != WEIR_ROWS_TOKENS)))
		return REFUSE("ROPE_KV: k or v is not %d heads of %d", op->i[1], op->i[2]);
	if (op->i[3] < 0 || op->i[3] % 2 || op->i[3] > op->i[2])
		return REFUSE("ROPE_KV: rope size %d of head size %d", op->i[3], op->i[2]);
	if (!vector_fits(tensors, op->src[5], size) || !vector_fits(tensors, op->src[6], size) ||
	    !vector_fits(tensors, op->src[7], (uint64_t)op->i[3] / 2))
		return REFUSE("ROPE_KV: a norm or the frequency factors have the wrong length");
	if (op->i[4] != WEIR_ROPE_NORM && op->i[4] != WEIR_ROPE_NEOX)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "ROPE_KV: unknown kind %d", op->i[4]);
	if (op->i[3] &&
	    (!(op->f[0] > 1) || !(op->f[1] > 0) || op->f[3] == 0 || !isfinite(op->f[3])))
		return REFUSE("ROPE_KV: base %g, frequency scale %g, attention factor %g (1 "
			      "changes nothing)",
			      (double)op->f[0], (double)op->f[1], (double)op->f[3]);
	if (op->f[2] != 0 && (op->i[5] < 1 || !(op->f[4] > 0) || !(op->f[5] > 0)))
		return REFUSE("ROPE_KV: yarn with original context %d, betas %g, %g", op->i[5],
			      (double)op->f[4], (double)op->f[5]);
	return WEIR_OK;
}

static weir_status check_attention(const struct weir_op *op, const struct weir_tensor *tensors,
				   struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *q = temp_at(tensors, op->src[0]);
	const weir_buffer *keys = cache_at(tensors, op->src[1]);
	const weir_buffer *values = cache_at(tensors, op->src[2]);
	weir_status status = check_heads(op, q, keys, values, err);

	if (status)
		return status;
	if (!keys || !values)
		return REFUSE("ATTENTION: no caches");
	if (!dst || dst->width != q->width || dst->rows != q->rows || op->dst[0] == op->src[0])
		return REFUSE("ATTENTION: the result is not like q, or is q");
	if (op->i[3] < 0 || !(op->f[1] >= 0))
		return REFUSE("ATTENTION: window %d, softcap %g", op->i[3], (double)op->f[1]);
	return WEIR_OK;
}

static weir_status check_packed(const struct weir_op *op, const struct weir_tensor *tensors,
				struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *q = temp_at(tensors, op->src[0]);
	weir_status status = check_heads(op, q, NULL, NULL, err);
	uint64_t width = (uint64_t)op->i[1] * (uint64_t)op->i[2];

	if (status)
		return status;
	for (int k = 1; k < 3; k++) {
		const struct weir_tensor *t = temp_at(tensors, op->src[k]);

		if (!t || t->width != width || t->rows != WEIR_ROWS_TOKENS ||
		    op->dst[0] == op->src[k])
			return REFUSE("ATTENTION_PACKED: k or v is not %d heads of %d, or the "
				      "result",
				      op->i[1], op->i[2]);
	}
	if (!dst || dst->width != q->width || dst->rows != q->rows || op->dst[0] == op->src[0])
		return REFUSE("ATTENTION_PACKED: the result is not like q, or is q");
	if (op->i[3] < 0 || (op->i[4] != 0 && op->i[4] != 1) || !(op->f[1] >= 0))
		return REFUSE("ATTENTION_PACKED: window %d, causal %d, softcap %g", op->i[3],
			      op->i[4], (double)op->f[1]);
	return WEIR_OK;
}

static weir_status check_moe(const struct weir_op *op, const struct weir_tensor *tensors,
			     struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *src = temp_at(tensors, op->src[0]);
	const struct weir_tensor *logits = temp_at(tensors, op->src[1]);
	uint64_t n, n_ff, n_embd;
	bool gate, up;

	if (op->i[0] < 1 || op->i[1] < 1 || op->i[1] > op->i[0] || op->i[2] < 1)
		return REFUSE("MOE: %d of %d experts of %d", op->i[1], op->i[0], op->i[2]);
	if (op->i[1] > (int32_t)WEIR_VK_MAX_CHOICES)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "MOE: %d experts for a token; the vulkan backend has 1 to %u",
				    op->i[1], WEIR_VK_MAX_CHOICES);
	n = (uint64_t)op->i[0];
	n_ff = (uint64_t)op->i[2];
	if (!dst || !src || !logits || dst->width != src->width || dst->rows != src->rows ||
	    logits->width != n || logits->rows != src->rows || op->dst[0] == op->src[0])
		return REFUSE("MOE: source, logits and result do not go together");
	n_embd = src->width;
	for (int m = 0; m < 3; m++) {
		const weir_buffer *w = weight_at(tensors, op->src[2 + m], WEIR_WEIGHT_MATRIX);

		if (!w || w->n_in != (m < 2 ? n_embd : n_ff) ||
		    w->n_out != n * (m < 2 ? n_ff : n_embd))
			return REFUSE("MOE: matrix %d does not hold %llu experts", m,
				      (unsigned long long)n);
	}
	if (op->flags & ~(ACTS | WEIR_MOE_NORM | WEIR_MOE_SIGMOID) || !isfinite(op->f[0]))
		return REFUSE("MOE: unknown flags 0x%x, or factor %g", op->flags, (double)op->f[0]);
	gate = weir_vk_type(tensors[op->src[2]].buffer->type)->split;
	up = weir_vk_type(tensors[op->src[3]].buffer->type)->split;
	if (gate != up || (weir_vk_type(tensors[op->src[4]].buffer->type)->split && n_ff % 32))
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "MOE: a gate of floats with a quantised matrix");
	if (n_ff > 32 * 65535 || n_embd > 32 * 65535)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "MOE: experts are too wide");
	return WEIR_OK;
}

static weir_status check_lora(const struct weir_op *op, const struct weir_tensor *tensors,
			      struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *src = temp_at(tensors, op->src[0]);
	const weir_buffer *a = weight_at(tensors, op->src[1], WEIR_WEIGHT_MATRIX);
	const weir_buffer *b = weight_at(tensors, op->src[2], WEIR_WEIGHT_MATRIX);

	if (op->i[0] < 1)
		return REFUSE("LORA: adapter %d", op->i[0]);
	if (!dst || !src || dst->rows != src->rows || op->dst[0] == op->src[0] || !a || !b ||
	    a->n_in != src->width || b->n_in != a->n_out || b->n_out != dst->width)
		return REFUSE("LORA: the two matrices do not lead from source to result");
	if (b->n_out > 32 * 65535)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED, "LORA: the result is too wide");
	if (op->flags || !isfinite(op->f[0]))
		return REFUSE("LORA: unknown flags 0x%x, or factor %g", op->flags,
			      (double)op->f[0]);
	return WEIR_OK;
}

static weir_status check_glu(const struct weir_op *op, const struct weir_tensor *tensors,
			     struct weir_error *err)
{
	const struct weir_tensor *dst = temp_at(tensors, op->dst[0]);
	const struct weir_tensor *gate = temp_at(tensors, op->src[0]);
	const struct weir_tensor *up = temp_at(tensors, op->src[1]);

	if (!dst || !gate || gate->width != dst->width || gate->rows != dst->rows ||
	    (op->src[1] != WEIR_NO_TENSOR &&
	     (!up || up->width != dst->width || up->rows != dst->rows)))
		return REFUSE("GLU: gate, up and result differ in shape");
	if (op->flags & ~ACTS || __builtin_popcount(op->flags & ACTS) > 1)
		return REFUSE("GLU: unknown flags 0x%x", op->flags);
	return WEIR_OK;
}

weir_status weir_vk_op_check(const struct weir_op *op, const struct weir_tensor *tensors,
			     struct weir_error *err)
{
	const struct weir_tensor *dst, *src;

	switch (op->code) {
	case WEIR_OP_EMBED:
		return check_embed(op, tensors, err);
	case WEIR_OP_NORM:
		return check_norm(op, tensors, err);
	case WEIR_OP_LINEAR:
		return check_linear(op, tensors, err);
	case WEIR_OP_ROPE_KV:
		return check_rope_kv(op, tensors, err);
	case WEIR_OP_ATTENTION:
		return check_attention(op, tensors, err);
	case WEIR_OP_GATHER:
		dst = temp_at(tensors, op->dst[0]);
		src = temp_at(tensors, op->src[0]);
		if (!dst || !src || dst->width != src->width || src->rows != WEIR_ROWS_TOKENS ||
		    dst->rows != WEIR_ROWS_OUT)
			return REFUSE("GATHER: leads from rows of tokens to rows of output");
		return WEIR_OK;
	case WEIR_OP_ATTENTION_PACKED:
		return check_packed(op, tensors, err);
	case WEIR_OP_MOE:
		return check_moe(op, tensors, err);
	case WEIR_OP_LORA:
		return check_lora(op, tensors, err);
	case WEIR_OP_GLU:
		return check_glu(op, tensors, err);
	default:
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "the vulkan backend has no operation %u", op->code);
	}
}

bool weir_vk_supports(struct weir_instance *instance, const struct weir_op *op,
		      const struct weir_tensor *tensors)
{
	return weir_vk_op_check(op, tensors, NULL) == WEIR_OK;
}
