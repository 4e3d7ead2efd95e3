/*
 * graph.c - builds a model's programs; see graph.h.
 */
#include "graph.h"
#include "fail.h"

#include <weir/backend.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	const struct weir_hparams *h;
	const struct weir_weights *w;
	const struct weir_cache
		*cache; /* NULL: embeddings; attention is to the step's own tokens */
	const struct weir_lora *lora;
	struct weir_tensor *tensors;
	struct weir_op *ops;
	uint32_t n_tensors, n_ops, max_tensors, max_ops;
	uint32_t n_ctx;
	uint32_t q, k, v; /* temporaries that every layer uses again */
};

/* One side of a layer: the rows of all tokens, or only those whose logits are wanted. */
struct lane {
	uint32_t x;    /* the residual stream */
	uint32_t norm; /* x, normed */
	uint32_t attn; /* attention's result */
	/* Made when first used: */
	uint32_t ff, ff_up;
	uint32_t router, shared_router, shared_ff;
	uint32_t rows;
};

static uint32_t add_tensor(struct builder *b, struct weir_tensor t)
{
	assert(b->n_tensors < b->max_tensors); /* see the counts in weir_graph_build() */
	b->tensors[b->n_tensors] = t;
	return b->n_tensors++;
}

static uint32_t weight(struct builder *b, weir_buffer *buffer)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_WEIGHT, .buffer = buffer };

	return buffer ? add_tensor(b, t) : WEIR_NO_TENSOR;
}

static uint32_t kv(struct builder *b, weir_buffer *const *buffers, uint32_t layer)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_KV };

	if (!b->cache)
		return WEIR_NO_TENSOR;
	t.buffer = buffers[layer];
	return add_tensor(b, t);
}

static uint32_t temp(struct builder *b, uint32_t rows, uint64_t width)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_TEMP, .rows = rows, .width = width };

	return add_tensor(b, t);
}

static struct weir_op *add_op(struct builder *b, uint32_t code, uint32_t dst)
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
	return op;
}

/* A temporary of the lane, made the first time. */
static uint32_t once(struct builder *b, const struct lane *l, uint32_t *at, uint64_t width)
{
	if (*at == WEIR_NO_TENSOR)
		*at = temp(b, l->rows, width);
	return *at;
}

static void norm(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *scale,
		 weir_buffer *bias)
{
	struct weir_op *op = add_op(b, WEIR_OP_NORM, dst);

	op->flags = b->h->arch->norm;
	op->src[0] = src;
	op->src[1] = weight(b, scale);
	op->src[2] = weight(b, bias);
	op->f[0] = b->h->norm_eps;
}

static void linear(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *matrix,
		   weir_buffer *bias, uint32_t flags, float factor)
{
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, dst);

	op->flags = flags;
	op->src[0] = src;
	op->src[1] = weight(b, matrix);
	op->src[4] = weight(b, bias);
	op->i[0] = 1;
	op->f[0] = factor;
}

/* What the adapters add to a matrix's result. */
static void adapt(struct builder *b, uint32_t layer, enum weir_lora_place place, uint32_t src,
		  uint32_t dst, float factor)
{
	for (uint32_t i = 0; i < weir_lora_n(b->lora); i++) {
		const struct weir_lora_pair *pair = weir_lora_pair(b->lora, i, layer, place);
		struct weir_op *op;

		if (!pair->a)
			continue;
		op = add_op(b, WEIR_OP_LORA, dst);
		op->src[0] = src;
		op->src[1] = weight(b, pair->a);
		op->src[2] = weight(b, pair->b);
		op->i[0] = (int32_t)i + 1;
		op->f[0] = pair->scale * factor;
	}
}

static bool is_adapted(const struct builder *b, uint32_t layer, enum weir_lora_place place)
{
	for (uint32_t i = 0; i < weir_lora_n(b->lora); i++) {
		if (weir_lora_pair(b->lora, i, layer, place)->a)
			return true;
	}
	return false;
}

/* x += post norm(matrix . src), the norm only where the model has one. l->norm is free by then. */
static void add_to_stream(struct builder *b, const struct lane *l, uint32_t layer,
			  enum weir_lora_place place, uint32_t src, weir_buffer *bias,
			  weir_buffer *post)
{
	const struct weir_layer *w = &b->w->layers[layer];
	bool is_o = place == WEIR_LORA_O;
	weir_buffer *matrix = w->tensor[is_o ? WEIR_LAYER_O : WEIR_LAYER_DOWN];
	float residual = post ? 1.0f : b->h->residual_scale;
	float factor = residual * w->scale[is_o ? WEIR_SCALE_O : WEIR_SCALE_DOWN];
	uint32_t dst = post ? l->norm : l->x;

	linear(b, dst, src, matrix, bias, post ? 0 : WEIR_LINEAR_ADD, factor);
	adapt(b, layer, place, src, dst, residual);
	if (!post)
		return;
	norm(b, l->x, l->norm, post, NULL);
	b->ops[b->n_ops - 1].flags |= WEIR_NORM_ADD;
}

static void qkv(struct builder *b, uint32_t src, uint32_t layer)
{
	const struct weir_layer *w = &b->w->layers[layer];
	const uint32_t dst[3] = { b->q, b->k, b->v };
	bool scaled = false;
	struct weir_op *op;

	for (uint32_t i = 0; i < 3; i++)
		scaled |= w->scale[WEIR_SCALE_Q + i] != 1.0f;
	for (uint32_t i = 0; scaled && i < 3; i++)
		linear(b, dst[i], src, w->tensor[WEIR_LAYER_Q + i],
		       w->tensor[WEIR_LAYER_Q_BIAS + i], 0, w->scale[WEIR_SCALE_Q + i]);
	if (!scaled) {
		op = add_op(b, WEIR_OP_LINEAR, b->q);
		op->src[0] = src;
		for (uint32_t i = 0; i < 3; i++) {
			op->dst[i] = dst[i];
			op->src[1 + i] = weight(b, w->tensor[WEIR_LAYER_Q + i]);
			op->src[4 + i] = weight(b, w->tensor[WEIR_LAYER_Q_BIAS + i]);
		}
		op->i[0] = 3;
		op->f[0] = 1.0f;
	}
	for (uint32_t i = 0; i < 3; i++)
		adapt(b, layer, WEIR_LORA_Q + i, src, dst[i], 1.0f);
}

/* LongRoPE's long factors are for sequences beyond the original context. A cached key keeps its
 * rotation, so the choice is the server's, by the longest that a sequence can get. */
static weir_buffer *rope_factors(const struct builder *b)
{
	if (b->w->rope_long)
		return b->n_ctx > b->h->rope.orig_ctx ? b->w->rope_long : b->w->rope_short;
	return b->w->rope_freqs;
}

static void rope_kv(struct builder *b, uint32_t layer, uint32_t kc, uint32_t vc)
{
	const struct weir_hparams *h = b->h;
	const struct weir_hparams_rope *rope =
		weir_hparams_is_local(h, layer) ? &h->local_rope : &h->rope;
	weir_buffer *const *t = b->w->layers[layer].tensor;
	bool turns = weir_hparams_has_rope(h, layer);
	struct weir_op *op;

	if (!b->cache && !turns && !t[WEIR_LAYER_Q_NORM] && !t[WEIR_LAYER_K_NORM])
		return;
	op = add_op(b, WEIR_OP_ROPE_KV, WEIR_NO_TENSOR);
	op->src[0] = b->q;
	op->src[1] = b->k;
	op->src[2] = b->cache ? b->v : WEIR_NO_TENSOR;
	op->src[3] = kc;
	op->src[4] = vc;
	op->src[5] = weight(b, t[WEIR_LAYER_Q_NORM]);
	op->src[6] = weight(b, t[WEIR_LAYER_K_NORM]);
	op->src[7] = turns ? weight(b, rope_factors(b)) : WEIR_NO_TENSOR;
	op->i[0] = (int32_t)h->n_heads;
	op->i[1] = (int32_t)h->n_kv_heads;
	op->i[2] = (int32_t)h->head_size;
	op->i[3] = turns ? (int32_t)rope->size : 0;
	op->i[4] = (int32_t)h->arch->rope;
	op->i[5] = (int32_t)rope->orig_ctx;
	op->f[0] = rope->base;
	op->f[1] = rope->scale;
	op->f[2] = rope->ext;
	op->f[3] = rope->attn;
	op->f[4] = rope->beta_fast;
	op->f[5] = rope->beta_slow;
	op->f[6] = h->norm_eps;
}

static void attention(struct builder *b, uint32_t layer, uint32_t dst, uint32_t kc, uint32_t vc)
{
	const struct weir_hparams *h = b->h;
	struct weir_op *op =
		add_op(b, b->cache ? WEIR_OP_ATTENTION : WEIR_OP_ATTENTION_PACKED, dst);

	op->src[0] = b->q;
	op->src[1] = b->cache ? kc : b->k;
	op->src[2] = b->cache ? vc : b->v;
	op->i[0] = (int32_t)h->n_heads;
	op->i[1] = (int32_t)h->n_kv_heads;
	op->i[2] = (int32_t)h->head_size;
	op->i[3] = weir_hparams_is_local(h, layer) ? (int32_t)h->window : 0;
	op->f[0] = h->attn_scale;
	op->f[1] = h->attn_softcap;
	op->i[4] = b->cache ? 0 : 1;
}

static void gather(struct builder *b, uint32_t dst, uint32_t src)
{
	add_op(b, WEIR_OP_GATHER, dst)->src[0] = src;
}

static void glu(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *gate, weir_buffer *up)
{
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, dst);

	op->flags = WEIR_LINEAR_GLU | b->h->arch->act;
	op->src[0] = src;
	op->src[1] = weight(b, gate);
	op->src[2] = weight(b, up);
	op->i[0] = 2;
	op->f[0] = 1.0f;
}

/* Gate and up with something of their own before the activation. */
static void glu_in_pieces(struct builder *b, struct lane *l, uint32_t layer, uint32_t src,
			  uint32_t ff)
{
	const struct weir_layer *w = &b->w->layers[layer];
	bool gated = w->tensor[WEIR_LAYER_GATE] != NULL;
	uint32_t up = gated ? once(b, l, &l->ff_up, b->h->n_ff) : ff;
	struct weir_op *op;

	if (gated) {
		linear(b, ff, src, w->tensor[WEIR_LAYER_GATE], w->tensor[WEIR_LAYER_GATE_BIAS], 0,
		       w->scale[WEIR_SCALE_GATE]);
		adapt(b, layer, WEIR_LORA_GATE, src, ff, 1.0f);
	}
	linear(b, up, src, w->tensor[WEIR_LAYER_UP], w->tensor[WEIR_LAYER_UP_BIAS], 0,
	       w->scale[WEIR_SCALE_UP]);
	adapt(b, layer, WEIR_LORA_UP, src, up, 1.0f);
	op = add_op(b, WEIR_OP_GLU, ff);
	op->flags = b->h->arch->act;
	op->src[0] = ff;
	op->src[1] = gated ? up : WEIR_NO_TENSOR;
}

/* The stream, normed in src, through the dense feed-forward. */
static void dense(struct builder *b, struct lane *l, uint32_t layer, uint32_t src)
{
	const struct weir_layer *w = &b->w->layers[layer];
	weir_buffer *const *t = w->tensor;
	uint32_t ff = once(b, l, &l->ff, b->h->n_ff);

	if (w->scale[WEIR_SCALE_GATE] != 1.0f || w->scale[WEIR_SCALE_UP] != 1.0f ||
	    is_adapted(b, layer, WEIR_LORA_GATE) || is_adapted(b, layer, WEIR_LORA_UP)) {
		glu_in_pieces(b, l, layer, src, ff);
	} else if (!t[WEIR_LAYER_GATE]) {
		linear(b, ff, src, t[WEIR_LAYER_UP], t[WEIR_LAYER_UP_BIAS], b->h->arch->act, 1.0f);
	} else {
		glu(b, ff, src, t[WEIR_LAYER_GATE], t[WEIR_LAYER_UP]);
		b->ops[b->n_ops - 1].src[4] = weight(b, t[WEIR_LAYER_GATE_BIAS]);
		b->ops[b->n_ops - 1].src[5] = weight(b, t[WEIR_LAYER_UP_BIAS]);
	}
	if (t[WEIR_LAYER_FFN_SUB_NORM])
		norm(b, ff, ff, t[WEIR_LAYER_FFN_SUB_NORM], NULL);
	add_to_stream(b, l, layer, WEIR_LORA_DOWN, ff, t[WEIR_LAYER_DOWN_BIAS],
		      t[WEIR_LAYER_POST_FFN_NORM]);
}

/* One MOE operation, by its router's logits. */
static struct weir_op *mixture(struct builder *b, const struct lane *l, uint32_t src,
			       uint32_t logits, weir_buffer *const gate_up_down[3])
{
	struct weir_op *op = add_op(b, WEIR_OP_MOE, l->x);

	op->flags = b->h->arch->act;
	op->src[0] = src;
	op->src[1] = logits;
	for (uint32_t i = 0; i < 3; i++)
		op->src[2 + i] = weight(b, gate_up_down[i]);
	op->i[0] = op->i[1] = 1;
	op->f[0] = b->h->residual_scale;
	return op;
}

static void experts(struct builder *b, struct lane *l, uint32_t layer, uint32_t src)
{
	const struct weir_hparams *h = b->h;
	weir_buffer *const *t = b->w->layers[layer].tensor;
	struct weir_op *op;

	linear(b, once(b, l, &l->router, h->n_experts), src, t[WEIR_LAYER_ROUTER], NULL, 0, 1.0f);
	if (h->n_ff_shared && t[WEIR_LAYER_SHARED_ROUTER]) { /* in one operation */
		uint32_t logits = once(b, l, &l->shared_router, 1);

		op = &b->ops[b->n_ops - 1];
		op->i[0] = 2;
		op->src[2] = weight(b, t[WEIR_LAYER_SHARED_ROUTER]);
		op->dst[1] = logits;
	}
	op = mixture(b, l, src, l->router, &t[WEIR_LAYER_GATE_EXPERTS]);
	op->flags |= h->expert_norm ? WEIR_MOE_NORM : 0;
	op->i[0] = (int32_t)h->n_experts;
	op->i[1] = (int32_t)h->n_experts_used;
	op->i[2] = (int32_t)h->n_ff_expert;
	op->f[0] *= h->expert_scale;
	if (h->n_ff_shared == 0)
		return;
	if (t[WEIR_LAYER_SHARED_ROUTER]) {
		op = mixture(b, l, src, l->shared_router, &t[WEIR_LAYER_SHARED_GATE]);
		op->flags |= WEIR_MOE_SIGMOID;
		op->i[2] = (int32_t)h->n_ff_shared;
		return;
	}
	glu(b, once(b, l, &l->shared_ff, h->n_ff_shared), src, t[WEIR_LAYER_SHARED_GATE],
	    t[WEIR_LAYER_SHARED_UP]);
	linear(b, l->x, l->shared_ff, t[WEIR_LAYER_SHARED_DOWN], NULL, WEIR_LINEAR_ADD,
	       h->residual_scale);
}

static void feed_forward(struct builder *b, struct lane *l, uint32_t layer, uint32_t src)
{
	if (b->h->n_experts > 0)
		experts(b, l, layer, src);
	else
		dense(b, l, layer, src);
}

/* Attention's result is added to the stream. */
static void add_attention(struct builder *b, const struct lane *l, uint32_t layer)
{
	weir_buffer *const *t = b->w->layers[layer].tensor;

	if (t[WEIR_LAYER_ATTN_SUB_NORM])
		norm(b, l->attn, l->attn, t[WEIR_LAYER_ATTN_SUB_NORM], NULL);
	add_to_stream(b, l, layer, WEIR_LORA_O, l->attn, t[WEIR_LAYER_O_BIAS],
		      t[WEIR_LAYER_POST_ATTN_NORM]);
}

/* rest: all, or in the last layer the rows that are wanted of it. */
static void layer(struct builder *b, uint32_t i, struct lane *all, struct lane *rest)
{
	weir_buffer *const *t = b->w->layers[i].tensor;
	bool own = t[WEIR_LAYER_ATTN_NORM_2] != NULL; /* attention's norm is its own */
	bool one = b->h->parallel && b->h->arch->flags & WEIR_ARCH_ONE_NORM;
	uint32_t kc = kv(b, b->cache ? b->cache->k : NULL, i);
	uint32_t vc = kv(b, b->cache ? b->cache->v : NULL, i);

	norm(b, all->norm, all->x, t[own ? WEIR_LAYER_ATTN_NORM_2 : WEIR_LAYER_ATTN_NORM],
	     t[own ? WEIR_LAYER_ATTN_NORM_2_BIAS : WEIR_LAYER_ATTN_NORM_BIAS]);
	qkv(b, all->norm, i);
	rope_kv(b, i, kc, vc);
	attention(b, i, all->attn, kc, vc);
	if (rest != all) {
		gather(b, rest->attn, all->attn);
		gather(b, rest->x, all->x);
		if (one && !own)
			gather(b, rest->norm, all->norm);
	}
	if (!b->h->parallel)
		add_attention(b, rest, i);
	if (!one)
		norm(b, rest->norm, rest->x, t[WEIR_LAYER_FFN_NORM], t[WEIR_LAYER_FFN_NORM_BIAS]);
	else if (own)
		norm(b, rest->norm, rest->x, t[WEIR_LAYER_ATTN_NORM], t[WEIR_LAYER_ATTN_NORM_BIAS]);
	feed_forward(b, rest, i, rest->norm);
	if (b->h->parallel)
		add_attention(b, rest, i);
}

static struct lane make_lane(struct builder *b, uint32_t rows)
{
	const struct weir_hparams *h = b->h;

	return (struct lane){ .rows = rows,
			      .x = temp(b, rows, h->n_embd),
			      .norm = temp(b, rows, h->n_embd),
			      .attn = temp(b, rows, (uint64_t)h->n_heads * h->head_size),
			      .ff = WEIR_NO_TENSOR,
			      .ff_up = WEIR_NO_TENSOR,
			      .router = WEIR_NO_TENSOR,
			      .shared_router = WEIR_NO_TENSOR,
			      .shared_ff = WEIR_NO_TENSOR };
}

static void embed(struct builder *b, uint32_t dst)
{
	struct weir_op *op = add_op(b, WEIR_OP_EMBED, dst);

	op->src[0] = weight(b, b->w->token_embd);
	op->f[0] = b->h->embed_scale;
	if (!b->w->position_embd)
		return;
	op = add_op(b, WEIR_OP_EMBED, dst);
	op->flags = WEIR_EMBED_ADD | WEIR_EMBED_POSITION;
	op->src[0] = weight(b, b->w->position_embd);
	op->f[0] = 1.0f;
}

static uint32_t output(struct builder *b, uint32_t rows, uint64_t width)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_OUTPUT, .rows = rows, .width = width };

	return add_tensor(b, t);
}

/* rows: those whose result is wanted, WEIR_ROWS_*. */
static uint32_t whole_model(struct builder *b, uint32_t rows)
{
	const struct weir_hparams *h = b->h;
	struct lane all = make_lane(b, WEIR_ROWS_TOKENS), some, *out = &all;
	uint32_t at;

	b->q = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_heads * h->head_size);
	b->k = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_kv_heads * h->head_size);
	b->v = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_kv_heads * h->head_size);
	if (rows == WEIR_ROWS_OUT) {
		some = make_lane(b, rows);
		out = &some;
	}
	embed(b, all.x);
	for (uint32_t i = 0; i < b->w->n_layers; i++)
		layer(b, i, &all, i + 1 == b->w->n_layers ? out : &all);
	at = b->cache ? out->norm : output(b, rows, h->n_embd);
	norm(b, at, out->x, b->w->output_norm, b->w->output_norm_bias);
	if (!b->cache)
		return at;
	at = output(b, rows, h->n_vocab);
	linear(b, at, out->norm, b->w->output, b->w->output_bias, 0,
	       h->logit_scale * b->w->output_scale);
	b->ops[b->n_ops - 1].f[1] = h->output_softcap;
	adapt(b, b->w->n_layers, WEIR_LORA_OUTPUT, out->norm, at, h->logit_scale);
	return at;
}

static const char *op_name(uint32_t code)
{
	switch (code) {
	case WEIR_OP_EMBED:
		return "embed";
	case WEIR_OP_NORM:
		return "norm";
	case WEIR_OP_LINEAR:
		return "linear";
	case WEIR_OP_ROPE_KV:
		return "rope and KV write";
	case WEIR_OP_ATTENTION:
		return "attention";
	case WEIR_OP_ATTENTION_PACKED:
		return "attention without a cache";
	case WEIR_OP_GATHER:
		return "gather";
	case WEIR_OP_MOE:
		return "mixture of experts";
	case WEIR_OP_LORA:
		return "adapter";
	case WEIR_OP_GLU:
		return "gate";
	default:
		return "unknown";
	}
}

static weir_status check_support(const struct builder *b, struct weir_error *err)
{
	const struct weir_device *d = b->w->device;

	for (uint32_t i = 0; i < b->n_ops; i++) {
		const struct weir_op *op = &b->ops[i];

		if (d->supports(b->w->instance, op, b->tensors))
			continue;
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "the device has no kernel for operation %u of the model: %s "
				 "(flags 0x%x; i %d %d %d %d; heads %u/%u of %u, embedding %u, "
				 "feed-forward %u)",
				 i, op_name(op->code), op->flags, op->i[0], op->i[1], op->i[2],
				 op->i[3], b->h->n_heads, b->h->n_kv_heads, b->h->head_size,
				 b->h->n_embd, b->h->n_ff);
	}
	return WEIR_OK;
}

/* ret_program NULL: only asks whether the device can do it. */
static weir_status build(struct builder *b, const struct weir_graph_limits *limits, uint32_t rows,
			 weir_program **ret_program, uint32_t *ret_output, struct weir_error *err)
{
	const struct weir_weights *w = b->w;
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = limits->max_tokens,
					  .max_rows = limits->max_rows,
					  .max_out = limits->max_out };
	weir_program *program;
	uint32_t result;
	weir_status s;

	/* Per layer: two caches, its weights, the rope factors, two matrices of each adapter for
	 * each place; beside them 19 temporaries, the logits, and the weights of the whole. */
	b->max_tensors = w->n_layers * (WEIR_LAYER_N + 3) + 32;
	b->max_tensors += (w->n_layers + 1) * 2 * WEIR_LORA_N * weir_lora_n(b->lora);
	b->max_ops = w->n_layers * 24 + 8 + (w->n_layers + 1) * WEIR_LORA_N * weir_lora_n(b->lora);
	b->tensors = calloc(b->max_tensors, sizeof(*b->tensors));
	b->ops = calloc(b->max_ops, sizeof(*b->ops));
	if (!b->tensors || !b->ops) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the model's program");
		goto out;
	}
	result = whole_model(b, rows);
	s = check_support(b, err);
	if (s != WEIR_OK || !ret_program)
		goto out;
	desc.n_tensors = b->n_tensors;
	desc.n_ops = b->n_ops;
	desc.tensors = b->tensors;
	desc.ops = b->ops;
	s = w->device->program_new(w->instance, &desc, &program, err);
	if (s < 0)
		goto out;
	s = WEIR_OK;
	*ret_program = program;
	*ret_output = result;
out:
	free(b->tensors);
	free(b->ops);
	return s;
}

weir_status weir_graph_build(const struct weir_hparams *h, const struct weir_weights *w,
			     const struct weir_cache *cache, const struct weir_lora *lora,
			     const struct weir_graph_limits *limits, weir_program **ret_program,
			     uint32_t *ret_logits, struct weir_error *err)
{
	struct builder b = { .h = h, .w = w, .cache = cache, .lora = lora, .n_ctx = limits->n_ctx };

	return build(&b, limits, WEIR_ROWS_OUT, ret_program, ret_logits, err);
}

weir_status weir_graph_build_embed(const struct weir_hparams *h, const struct weir_weights *w,
				   const struct weir_graph_limits *limits, uint32_t pooling,
				   weir_program **ret_program, uint32_t *ret_output,
				   struct weir_error *err)
{
	struct builder b = { .h = h, .w = w, .n_ctx = limits->n_ctx };

	return build(&b, limits, pooling == WEIR_POOLING_MEAN ? WEIR_ROWS_TOKENS : WEIR_ROWS_OUT,
		     ret_program, ret_output, err);
}
