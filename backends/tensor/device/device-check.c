/* SPDX-License-Identifier: MIT */
/*
 * device-check.c - see device-check.h.
 */
#include "device-check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

struct check {
	const struct weir_device_checker *checker;
	const struct weir_op *op;
	const struct weir_tensor *tensors;
	struct weir_error *err;
};

static weir_status fail(const struct check *c, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static weir_status fail(const struct check *c, weir_status code, const char *format, ...)
{
	va_list args;

	if (!c->err)
		return code;
	c->err->code = code;
	c->err->param[0] = '\0';
	va_start(args, format);
	vsnprintf(c->err->text, sizeof(c->err->text), format, args);
	va_end(args);
	return code;
}

#define REFUSE(...) fail(c, WEIR_E_INVALID, __VA_ARGS__)

static bool is_temp(const struct weir_tensor *t)
{
	return (t->kind == WEIR_TENSOR_TEMP || t->kind == WEIR_TENSOR_OUTPUT) && t->width &&
	       t->width <= UINT32_MAX && (t->rows == WEIR_ROWS_TOKENS || t->rows == WEIR_ROWS_OUT);
}

static const struct weir_tensor *temp_at(const struct check *c, uint32_t i)
{
	return i != WEIR_NO_TENSOR && is_temp(&c->tensors[i]) ? &c->tensors[i] : NULL;
}

/* A weight for one of the uses. */
static bool weight_at(const struct check *c, uint32_t i, uint32_t use, struct weir_device_view *ret)
{
	if (i == WEIR_NO_TENSOR || c->tensors[i].kind != WEIR_TENSOR_WEIGHT ||
	    !c->tensors[i].buffer)
		return false;
	c->checker->view(c->tensors[i].buffer, ret);
	return (ret->use & use) != 0;
}

static bool cache_at(const struct check *c, uint32_t i, struct weir_device_view *ret)
{
	if (i == WEIR_NO_TENSOR || c->tensors[i].kind != WEIR_TENSOR_KV || !c->tensors[i].buffer)
		return false;
	c->checker->view(c->tensors[i].buffer, ret);
	return ret->use == 0;
}

/* An optional vector of n elements: absent, or right. */
static bool vector_fits(const struct check *c, uint32_t i, uint64_t n)
{
	struct weir_device_view b;

	if (i == WEIR_NO_TENSOR)
		return true;
	return weight_at(c, i, WEIR_WEIGHT_VECTOR, &b) && b.n_in * b.n_out == n;
}

static bool alike(const struct weir_tensor *a, const struct weir_tensor *b)
{
	return a && b && a->width == b->width && a->rows == b->rows;
}

static bool known_acts(uint32_t flags, uint32_t others)
{
	return !(flags & ~(WEIR_DEVICE_ACTS | others)) &&
	       __builtin_popcount(flags & WEIR_DEVICE_ACTS) <= 1;
}

static weir_status check_embed(const struct check *c)
{
	const uint32_t which_row = WEIR_EMBED_POSITION | WEIR_EMBED_FIXED | WEIR_EMBED_TYPE;
	const struct weir_op *op = c->op;
	const struct weir_tensor *dst = temp_at(c, op->dst[0]);
	struct weir_device_view table;

	if (!dst || !weight_at(c, op->src[0], WEIR_WEIGHT_TABLE, &table) ||
	    dst->width != table.n_in || dst->rows != WEIR_ROWS_TOKENS)
		return REFUSE("EMBED: needs a table and rows of tokens of its width");
	if (op->flags & ~(which_row | WEIR_EMBED_ADD) ||
	    __builtin_popcount(op->flags & which_row) > 1)
		return REFUSE("EMBED: flags 0x%x", op->flags);
	if (op->flags & (WEIR_EMBED_POSITION | WEIR_EMBED_FIXED) &&
	    (op->i[0] < 0 || (uint64_t)op->i[0] >= table.n_out))
		return REFUSE("EMBED: row %d of a table of %llu", op->i[0],
			      (unsigned long long)table.n_out);
	return WEIR_OK;
}

static weir_status check_norm(const struct check *c)
{
	const struct weir_op *op = c->op;
	const struct weir_tensor *src = temp_at(c, op->src[0]);
	uint64_t group, n;

	if (!alike(temp_at(c, op->dst[0]), src))
		return REFUSE("NORM: source and result differ in shape");
	group = op->i[0] > 0 ? (uint64_t)op->i[0] : src->width;
	n = group;
	if (op->i[0] < 0 || src->width % group)
		return REFUSE("NORM: groups of %d do not fill rows of %llu", op->i[0],
			      (unsigned long long)src->width);
	if (op->src[1] == WEIR_NO_TENSOR)
		return REFUSE("NORM: no weight");
	if (!vector_fits(c, op->src[1], n))
		n = src->width;
	if (!vector_fits(c, op->src[1], n) || !vector_fits(c, op->src[2], n))
		return REFUSE("NORM: weight or bias is not a vector of %llu",
			      (unsigned long long)n);
	if (op->flags & ~(uint32_t)(WEIR_NORM_LAYER | WEIR_NORM_ADD))
		return REFUSE("NORM: unknown flags 0x%x", op->flags);
	return WEIR_OK;
}

static weir_status check_linear(const struct check *c)
{
	const struct weir_op *op = c->op;
	const struct weir_tensor *src = temp_at(c, op->src[0]);
	bool glu = op->flags & WEIR_LINEAR_GLU;

	if (!src || op->i[0] < 1 || op->i[0] > 3 || (glu && op->i[0] != 2))
		return REFUSE("LINEAR: no source, or %d matrices", op->i[0]);
	if (!known_acts(op->flags, WEIR_LINEAR_ADD | WEIR_LINEAR_GLU))
		return REFUSE("LINEAR: unknown flags 0x%x", op->flags);
	if (op->f[0] == 0 || !isfinite(op->f[0]) || !(op->f[1] >= 0))
		return REFUSE("LINEAR: factor %g (1 changes nothing), softcap %g", (double)op->f[0],
			      (double)op->f[1]);
	for (int k = 0; k < op->i[0]; k++) {
		uint32_t dst_index = op->dst[glu ? 0 : k];
		const struct weir_tensor *dst = temp_at(c, dst_index);
		struct weir_device_view w;

		if (!weight_at(c, op->src[1 + k], WEIR_WEIGHT_MATRIX, &w) || !dst ||
		    w.n_in != src->width || w.n_out != dst->width)
			return REFUSE(
				"LINEAR: matrix %d does not lead from rows of %llu to its result",
				k, (unsigned long long)src->width);
		if (dst->rows != src->rows || dst_index == op->src[0])
			return REFUSE("LINEAR: result %d is the source, or has other rows", k);
		if (!vector_fits(c, op->src[4 + k], w.n_out))
			return REFUSE("LINEAR: bias %d is not a vector of %llu", k,
				      (unsigned long long)w.n_out);
		for (int j = 0; j < k && !glu; j++)
			if (op->dst[j] == dst_index)
				return REFUSE("LINEAR: results %d and %d are one", j, k);
	}
	return WEIR_OK;
}

/* What ROPE_KV and both attentions share. */
static weir_status check_heads(const struct check *c)
{
	int32_t heads = c->op->i[0], kv_heads = c->op->i[1], size = c->op->i[2];
	const struct weir_tensor *q = temp_at(c, c->op->src[0]);

	if (heads < 1 || kv_heads < 1 || heads % kv_heads || heads > 1 << 16 || size < 1)
		return REFUSE("attention: %d heads of %d over %d KV heads", heads, size, kv_heads);
	if (!q || q->width != (uint64_t)heads * (uint64_t)size || q->rows != WEIR_ROWS_TOKENS)
		return REFUSE("attention: q is not %d heads of %d", heads, size);
	return WEIR_OK;
}

static weir_status check_caches(const struct check *c, uint32_t k, uint32_t v)
{
	struct weir_device_view keys, values;

	if (!cache_at(c, k, &keys) || !cache_at(c, v, &values) ||
	    keys.n_heads != (uint32_t)c->op->i[1] || keys.head_size != (uint32_t)c->op->i[2] ||
	    values.n_heads != keys.n_heads || values.head_size != keys.head_size ||
	    values.type != keys.type || values.n_blocks != keys.n_blocks ||
	    values.block_tokens != keys.block_tokens)
		return REFUSE("attention: the caches do not hold %d heads of %d", c->op->i[1],
			      c->op->i[2]);
	return WEIR_OK;
}

/* k or v as a temporary: the KV heads of each token. */
static bool holds_kv_heads(const struct check *c, uint32_t i)
{
	const struct weir_tensor *t = temp_at(c, i);

	return t && t->width == (uint64_t)c->op->i[1] * (uint64_t)c->op->i[2] &&
	       t->rows == WEIR_ROWS_TOKENS;
}

static weir_status check_rope_kv(const struct check *c)
{
	const struct weir_op *op = c->op;
	bool cached = op->src[3] != WEIR_NO_TENSOR || op->src[4] != WEIR_NO_TENSOR;
	weir_status status = check_heads(c);

	if (!status && cached)
		status = check_caches(c, op->src[3], op->src[4]);
	if (status)
		return status;
	if (!holds_kv_heads(c, op->src[1]) || (cached && !holds_kv_heads(c, op->src[2])))
		return REFUSE("ROPE_KV: k or v is not %d heads of %d", op->i[1], op->i[2]);
	if (op->i[3] < 0 || op->i[3] % 2 || op->i[3] > op->i[2])
		return REFUSE("ROPE_KV: rope size %d of head size %d", op->i[3], op->i[2]);
	if (!vector_fits(c, op->src[5], (uint64_t)op->i[2]) ||
	    !vector_fits(c, op->src[6], (uint64_t)op->i[2]) ||
	    !vector_fits(c, op->src[7], (uint64_t)op->i[3] / 2))
		return REFUSE("ROPE_KV: a norm or the frequency factors have the wrong length");
	if (op->i[4] != WEIR_ROPE_NORM && op->i[4] != WEIR_ROPE_NEOX)
		return fail(c, WEIR_E_UNSUPPORTED, "ROPE_KV: unknown kind %d", op->i[4]);
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

static weir_status check_attention(const struct check *c)
{
	const struct weir_op *op = c->op;
	weir_status status = check_heads(c);

	if (!status)
		status = check_caches(c, op->src[1], op->src[2]);
	if (status)
		return status;
	if (!alike(temp_at(c, op->dst[0]), temp_at(c, op->src[0])) || op->dst[0] == op->src[0])
		return REFUSE("ATTENTION: the result is not like q, or is q");
	if (op->i[3] < 0 || !(op->f[1] >= 0))
		return REFUSE("ATTENTION: window %d, softcap %g", op->i[3], (double)op->f[1]);
	return WEIR_OK;
}

static weir_status check_packed(const struct check *c)
{
	const struct weir_op *op = c->op;
	weir_status status = check_heads(c);

	if (status)
		return status;
	if (!holds_kv_heads(c, op->src[1]) || !holds_kv_heads(c, op->src[2]))
		return REFUSE("ATTENTION_PACKED: k or v is not %d heads of %d", op->i[1], op->i[2]);
	if (!alike(temp_at(c, op->dst[0]), temp_at(c, op->src[0])) || op->dst[0] == op->src[0] ||
	    op->dst[0] == op->src[1] || op->dst[0] == op->src[2])
		return REFUSE("ATTENTION_PACKED: the result is not like q, or is a source");
	if (op->i[3] < 0 || (op->i[4] != 0 && op->i[4] != 1) || !(op->f[1] >= 0))
		return REFUSE("ATTENTION_PACKED: window %d, causal %d, softcap %g", op->i[3],
			      op->i[4], (double)op->f[1]);
	return WEIR_OK;
}

static weir_status check_moe(const struct check *c)
{
	const struct weir_op *op = c->op;
	const struct weir_tensor *dst = temp_at(c, op->dst[0]), *src = temp_at(c, op->src[0]);
	const struct weir_tensor *logits = temp_at(c, op->src[1]);
	uint64_t n, n_ff;

	if (op->i[0] < 1 || op->i[1] < 1 || op->i[1] > op->i[0] || op->i[2] < 1)
		return REFUSE("MOE: %d of %d experts of %d", op->i[1], op->i[0], op->i[2]);
	n = (uint64_t)op->i[0];
	n_ff = (uint64_t)op->i[2];
	if (!alike(dst, src) || !logits || logits->width != n || logits->rows != src->rows ||
	    op->dst[0] == op->src[0])
		return REFUSE("MOE: source, logits and result do not go together");
	for (int m = 0; m < 3; m++) {
		struct weir_device_view w;

		if (!weight_at(c, op->src[2 + m], WEIR_WEIGHT_MATRIX, &w) ||
		    w.n_in != (m < 2 ? src->width : n_ff) ||
		    w.n_out != n * (m < 2 ? n_ff : src->width))
			return REFUSE("MOE: matrix %d does not hold %llu experts", m,
				      (unsigned long long)n);
	}
	if (!known_acts(op->flags, WEIR_MOE_NORM | WEIR_MOE_SIGMOID) || !isfinite(op->f[0]))
		return REFUSE("MOE: unknown flags 0x%x, or factor %g", op->flags, (double)op->f[0]);
	return WEIR_OK;
}

static weir_status check_lora(const struct check *c)
{
	const struct weir_op *op = c->op;
	const struct weir_tensor *dst = temp_at(c, op->dst[0]), *src = temp_at(c, op->src[0]);
	struct weir_device_view a, b;

	if (op->i[0] < 1)
		return REFUSE("LORA: adapter %d", op->i[0]);
	if (!dst || !src || dst->rows != src->rows || op->dst[0] == op->src[0] ||
	    !weight_at(c, op->src[1], WEIR_WEIGHT_MATRIX, &a) ||
	    !weight_at(c, op->src[2], WEIR_WEIGHT_MATRIX, &b) || a.n_in != src->width ||
	    b.n_in != a.n_out || b.n_out != dst->width)
		return REFUSE("LORA: the two matrices do not lead from source to result");
	if (op->flags || !isfinite(op->f[0]))
		return REFUSE("LORA: unknown flags 0x%x, or factor %g", op->flags,
			      (double)op->f[0]);
	return WEIR_OK;
}

static weir_status check_glu(const struct check *c)
{
	const struct weir_op *op = c->op;
	const struct weir_tensor *dst = temp_at(c, op->dst[0]);

	if (!alike(dst, temp_at(c, op->src[0])) ||
	    (op->src[1] != WEIR_NO_TENSOR && !alike(dst, temp_at(c, op->src[1]))))
		return REFUSE("GLU: gate, up and result differ in shape");
	if (!known_acts(op->flags, 0))
		return REFUSE("GLU: unknown flags 0x%x", op->flags);
	return WEIR_OK;
}

static weir_status check_gather(const struct check *c)
{
	const struct weir_tensor *dst = temp_at(c, c->op->dst[0]), *src = temp_at(c, c->op->src[0]);

	if (!dst || !src || dst->width != src->width || src->rows != WEIR_ROWS_TOKENS ||
	    dst->rows != WEIR_ROWS_OUT)
		return REFUSE("GATHER: leads from rows of tokens to rows of output");
	return WEIR_OK;
}

weir_status weir_device_check(const struct weir_device_checker *checker, const struct weir_op *op,
			      const struct weir_tensor *tensors, struct weir_error *err)
{
	static weir_status (*const checks[])(const struct check *) = {
		[WEIR_OP_EMBED] = check_embed,
		[WEIR_OP_NORM] = check_norm,
		[WEIR_OP_LINEAR] = check_linear,
		[WEIR_OP_ROPE_KV] = check_rope_kv,
		[WEIR_OP_ATTENTION] = check_attention,
		[WEIR_OP_GATHER] = check_gather,
		[WEIR_OP_ATTENTION_PACKED] = check_packed,
		[WEIR_OP_MOE] = check_moe,
		[WEIR_OP_LORA] = check_lora,
		[WEIR_OP_GLU] = check_glu,
	};
	const struct check c = { checker, op, tensors, err };

	if (op->code >= sizeof(checks) / sizeof(checks[0]) || !checks[op->code])
		return fail(&c, WEIR_E_UNSUPPORTED, "%s has no operation %u", checker->name,
			    op->code);
	return checks[op->code](&c);
}
