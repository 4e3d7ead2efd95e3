/* SPDX-License-Identifier: MIT */
/*
 * graph-encoder.c - builds an encoder's program; see graph-encoder.h. Called once, on a worker.
 *
 * A layer of BERT (Devlin et al. 2018): h += attention(h); x = norm(h); x += feed_forward(x);
 * h = norm(x). The two streams take turns, so that no operation reads what it writes.
 */
#include "graph-encoder.h"
#include "fail.h"

#include <weir/backend.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	const struct weir_hparams *h;
	const struct weir_encoder_weights *w;
	struct weir_tensor *tensors;
	struct weir_op *ops;
	uint32_t n_tensors, n_ops, max_tensors, max_ops;
	uint32_t q, k, v, attn;
};

/* The rows of all tokens, or only those that pooling wants. */
struct lane {
	uint32_t h, x, ff;
};

static uint32_t add_tensor(struct builder *b, struct weir_tensor t)
{
	assert(b->n_tensors < b->max_tensors); /* see the counts below */
	b->tensors[b->n_tensors] = t;
	return b->n_tensors++;
}

static uint32_t weight(struct builder *b, weir_buffer *buffer)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_WEIGHT, .buffer = buffer };

	return buffer ? add_tensor(b, t) : WEIR_NO_TENSOR;
}

static uint32_t rows(struct builder *b, uint32_t kind, uint32_t which, uint64_t width)
{
	struct weir_tensor t = { .kind = kind, .rows = which, .width = width };

	return add_tensor(b, t);
}

static struct weir_op *add_op(struct builder *b, uint32_t code, uint32_t dst, uint32_t src)
{
	struct weir_op *op;

	assert(b->n_ops < b->max_ops);
	op = &b->ops[b->n_ops++];
	memset(op, 0, sizeof(*op));
	op->code = code;
	for (size_t i = 0; i < sizeof(op->dst) / sizeof(op->dst[0]); i++)
		op->dst[i] = WEIR_NO_TENSOR;
	for (size_t i = 0; i < sizeof(op->src) / sizeof(op->src[0]); i++)
		op->src[i] = WEIR_NO_TENSOR;
	op->dst[0] = dst;
	op->src[0] = src;
	return op;
}

static void embed(struct builder *b, uint32_t dst, enum weir_encoder_tensor table, uint32_t flags)
{
	struct weir_op *op;

	if (!b->w->tensor[table])
		return;
	op = add_op(b, WEIR_OP_EMBED, dst, weight(b, b->w->tensor[table]));
	op->flags = flags;
	op->f[0] = 1.0f;
}

static void norm(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *scale,
		 weir_buffer *bias)
{
	struct weir_op *op = add_op(b, WEIR_OP_NORM, dst, src);

	op->flags = WEIR_NORM_LAYER;
	op->src[1] = weight(b, scale);
	op->src[2] = weight(b, bias);
	op->f[0] = b->h->norm_eps;
}

static struct weir_op *linear(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *matrix,
			      weir_buffer *bias, uint32_t flags)
{
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, dst, src);

	op->flags = flags;
	op->src[1] = weight(b, matrix);
	op->src[4] = weight(b, bias);
	op->i[0] = 1;
	op->f[0] = 1.0f;
	return op;
}

static void attention(struct builder *b, uint32_t src, weir_buffer *const *t)
{
	const struct weir_hparams *h = b->h;
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, b->q, src);

	op->dst[1] = b->k;
	op->dst[2] = b->v;
	for (uint32_t i = 0; i < 3; i++) {
		op->src[1 + i] = weight(b, t[WEIR_ENCODER_Q + i]);
		op->src[4 + i] = weight(b, t[WEIR_ENCODER_Q_BIAS + i]);
	}
	op->i[0] = 3;
	op->f[0] = 1.0f;
	if (h->arch->flags & WEIR_ARCH_ENCODER_ROPE) {
		op = add_op(b, WEIR_OP_ROPE_KV, WEIR_NO_TENSOR, b->q);
		op->src[1] = b->k;
		op->i[0] = op->i[1] = (int32_t)h->n_heads;
		op->i[2] = (int32_t)h->head_size;
		op->i[3] = (int32_t)h->rope.size;
		op->i[4] = (int32_t)h->arch->rope;
		op->i[5] = (int32_t)h->rope.orig_ctx;
		op->f[0] = h->rope.base;
		op->f[1] = h->rope.scale;
		op->f[2] = h->rope.ext;
		op->f[3] = h->rope.attn;
		op->f[4] = h->rope.beta_fast;
		op->f[5] = h->rope.beta_slow;
	}
	op = add_op(b, WEIR_OP_ATTENTION_PACKED, b->attn, b->q);
	op->src[1] = b->k;
	op->src[2] = b->v;
	op->i[0] = op->i[1] = (int32_t)h->n_heads;
	op->i[2] = (int32_t)h->head_size;
	op->f[0] = h->attn_scale;
}

static void feed_forward(struct builder *b, const struct lane *l, weir_buffer *const *t)
{
	struct weir_op *op;

	if (t[WEIR_ENCODER_GATE]) {
		op = linear(b, l->ff, l->x, t[WEIR_ENCODER_GATE], NULL,
			    WEIR_LINEAR_GLU | b->h->arch->act);
		op->i[0] = 2;
		op->src[2] = weight(b, t[WEIR_ENCODER_UP]);
		op->src[5] = weight(b, t[WEIR_ENCODER_UP_BIAS]);
	} else {
		linear(b, l->ff, l->x, t[WEIR_ENCODER_UP], t[WEIR_ENCODER_UP_BIAS],
		       b->h->arch->act);
	}
	linear(b, l->x, l->ff, t[WEIR_ENCODER_DOWN], t[WEIR_ENCODER_DOWN_BIAS], WEIR_LINEAR_ADD);
}

/* dst: where the layer's result goes. */
static void layer(struct builder *b, weir_buffer *const *t, const struct lane *all,
		  const struct lane *rest, uint32_t dst)
{
	uint32_t attn = b->attn;

	attention(b, all->h, t);
	if (rest != all) {
		attn = rows(b, WEIR_TENSOR_TEMP, WEIR_ROWS_OUT, b->h->n_embd);
		add_op(b, WEIR_OP_GATHER, attn, b->attn);
		add_op(b, WEIR_OP_GATHER, rest->h, all->h);
	}
	linear(b, rest->h, attn, t[WEIR_ENCODER_O], t[WEIR_ENCODER_O_BIAS], WEIR_LINEAR_ADD);
	norm(b, rest->x, rest->h, t[WEIR_ENCODER_ATTN_NORM], t[WEIR_ENCODER_ATTN_NORM_BIAS]);
	feed_forward(b, rest, t);
	norm(b, dst, rest->x, t[WEIR_ENCODER_OUT_NORM], t[WEIR_ENCODER_OUT_NORM_BIAS]);
}

static struct lane make_lane(struct builder *b, uint32_t which)
{
	struct lane l;

	l.h = rows(b, WEIR_TENSOR_TEMP, which, b->h->n_embd);
	l.x = rows(b, WEIR_TENSOR_TEMP, which, b->h->n_embd);
	l.ff = rows(b, WEIR_TENSOR_TEMP, which, b->h->n_ff);
	return l;
}

static uint32_t whole_model(struct builder *b, uint32_t pooling)
{
	weir_buffer *const *t = b->w->tensor;
	struct lane all = make_lane(b, WEIR_ROWS_TOKENS), out = all;
	bool gathers = pooling != WEIR_POOLING_MEAN;
	uint32_t which = gathers ? WEIR_ROWS_OUT : WEIR_ROWS_TOKENS, result, dst;

	b->q = rows(b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, b->h->n_embd);
	b->k = rows(b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, b->h->n_embd);
	b->v = rows(b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, b->h->n_embd);
	b->attn = rows(b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, b->h->n_embd);
	if (gathers)
		out = make_lane(b, WEIR_ROWS_OUT);
	dst = rows(b, pooling == WEIR_POOLING_RANK ? WEIR_TENSOR_TEMP : WEIR_TENSOR_OUTPUT, which,
		   b->h->n_embd);
	embed(b, all.x, WEIR_ENCODER_TOKENS, 0);
	embed(b, all.x, WEIR_ENCODER_TYPES, WEIR_EMBED_ADD | WEIR_EMBED_TYPE);
	embed(b, all.x, WEIR_ENCODER_POSITIONS, WEIR_EMBED_ADD | WEIR_EMBED_POSITION);
	norm(b, all.h, all.x, t[WEIR_ENCODER_EMBD_NORM], t[WEIR_ENCODER_EMBD_NORM_BIAS]);
	for (uint32_t i = 0; i < b->w->n_layers; i++) {
		bool last = i + 1 == b->w->n_layers;

		layer(b, b->w->layers[i].tensor, &all, last && gathers ? &out : &all,
		      last ? dst : all.h);
	}
	if (pooling != WEIR_POOLING_RANK)
		return dst;
	if (t[WEIR_ENCODER_CLS]) {
		linear(b, out.h, dst, t[WEIR_ENCODER_CLS], t[WEIR_ENCODER_CLS_BIAS], WEIR_ACT_TANH);
		dst = out.h;
	}
	result = rows(b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 1);
	linear(b, result, dst, t[WEIR_ENCODER_SCORE], t[WEIR_ENCODER_SCORE_BIAS], 0);
	return result;
}

static weir_status check_support(const struct builder *b, struct weir_error *err)
{
	for (uint32_t i = 0; i < b->n_ops; i++)
		if (!b->w->device->supports(b->w->instance, &b->ops[i], b->tensors))
			return weir_fail(err, WEIR_E_UNSUPPORTED,
					 "the device has no kernel for operation %u of the encoder "
					 "(code %u, flags 0x%x; %u heads of %u, feed-forward %u)",
					 i, b->ops[i].code, b->ops[i].flags, b->h->n_heads,
					 b->h->head_size, b->h->n_ff);
	return WEIR_OK;
}

weir_status weir_graph_encoder_build(const struct weir_hparams *h,
				     const struct weir_encoder_weights *w,
				     const struct weir_graph_encoder_limits *limits,
				     weir_program **ret_program, uint32_t *ret_output,
				     struct weir_error *err)
{
	struct builder b = { .h = h, .w = w };
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = limits->max_tokens,
					  .max_rows = limits->max_rows,
					  .max_out = limits->max_rows };
	weir_program *program;
	uint32_t output;
	weir_status s;

	b.max_tensors = w->n_layers * WEIR_ENCODER_LAYER_N + WEIR_ENCODER_N + 16;
	b.max_ops = w->n_layers * 9 + 8;
	b.tensors = calloc(b.max_tensors, sizeof(*b.tensors));
	b.ops = calloc(b.max_ops, sizeof(*b.ops));
	if (!b.tensors || !b.ops) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the model's program");
		goto out;
	}
	output = whole_model(&b, limits->pooling);
	s = check_support(&b, err);
	if (s != WEIR_OK)
		goto out;
	desc.n_tensors = b.n_tensors;
	desc.n_ops = b.n_ops;
	desc.tensors = b.tensors;
	desc.ops = b.ops;
	s = w->device->program_new(w->instance, &desc, &program, err);
	if (s < 0)
		goto out;
	s = WEIR_OK;
	*ret_program = program;
	*ret_output = output;
out:
	free(b.tensors);
	free(b.ops);
	return s;
}
