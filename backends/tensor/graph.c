/*
 * graph.c - builds a model's program; see graph.h. Called once, on a worker.
 */
#include "graph.h"
#include "fail.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	const struct weir_hparams *h;
	const struct weir_weights *w;
	const struct weir_cache *cache;
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
	uint32_t ff;
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

static uint32_t kv(struct builder *b, weir_buffer *buffer)
{
	struct weir_tensor t = { .kind = WEIR_TENSOR_KV, .buffer = buffer };

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

static void norm(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *scale)
{
	struct weir_op *op = add_op(b, WEIR_OP_NORM, dst);

	op->flags = b->h->arch->norm;
	op->src[0] = src;
	op->src[1] = weight(b, scale);
	op->f[0] = b->h->norm_eps;
}

static void linear(struct builder *b, uint32_t dst, uint32_t src, weir_buffer *matrix,
		   weir_buffer *bias, uint32_t flags)
{
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, dst);

	op->flags = flags;
	op->src[0] = src;
	op->src[1] = weight(b, matrix);
	op->src[4] = weight(b, bias);
	op->i[0] = 1;
	op->f[0] = 1.0f;
}

/* x += post norm(matrix . src), the norm only where the model has one. l->norm is free by then. */
static void add_to_stream(struct builder *b, const struct lane *l, uint32_t src,
			  weir_buffer *matrix, weir_buffer *bias, weir_buffer *post)
{
	if (!post) {
		linear(b, l->x, src, matrix, bias, WEIR_LINEAR_ADD);
		return;
	}
	linear(b, l->norm, src, matrix, bias, 0);
	norm(b, l->x, l->norm, post);
	b->ops[b->n_ops - 1].flags |= WEIR_NORM_ADD;
}

static void qkv(struct builder *b, uint32_t src, weir_buffer *const *t)
{
	struct weir_op *op = add_op(b, WEIR_OP_LINEAR, b->q);

	op->dst[1] = b->k;
	op->dst[2] = b->v;
	op->src[0] = src;
	for (uint32_t i = 0; i < 3; i++) {
		op->src[1 + i] = weight(b, t[WEIR_LAYER_Q + i]);
		op->src[4 + i] = weight(b, t[WEIR_LAYER_Q_BIAS + i]);
	}
	op->i[0] = 3;
	op->f[0] = 1.0f;
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
	struct weir_op *op = add_op(b, WEIR_OP_ROPE_KV, WEIR_NO_TENSOR);

	op->src[0] = b->q;
	op->src[1] = b->k;
	op->src[2] = b->v;
	op->src[3] = kc;
	op->src[4] = vc;
	op->src[5] = weight(b, t[WEIR_LAYER_Q_NORM]);
	op->src[6] = weight(b, t[WEIR_LAYER_K_NORM]);
	op->src[7] = weight(b, rope_factors(b));
	op->i[0] = (int32_t)h->n_heads;
	op->i[1] = (int32_t)h->n_kv_heads;
	op->i[2] = (int32_t)h->head_size;
	op->i[3] = (int32_t)rope->size;
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
	struct weir_op *op = add_op(b, WEIR_OP_ATTENTION, dst);

	op->src[0] = b->q;
	op->src[1] = kc;
	op->src[2] = vc;
	op->i[0] = (int32_t)h->n_heads;
	op->i[1] = (int32_t)h->n_kv_heads;
	op->i[2] = (int32_t)h->head_size;
	op->i[3] = weir_hparams_is_local(h, layer) ? (int32_t)h->window : 0;
	op->f[0] = h->attn_scale;
	op->f[1] = h->attn_softcap;
}

static void gather(struct builder *b, uint32_t dst, uint32_t src)
{
	add_op(b, WEIR_OP_GATHER, dst)->src[0] = src;
}

static void feed_forward(struct builder *b, const struct lane *l, weir_buffer *const *t)
{
	struct weir_op *op;

	norm(b, l->norm, l->x, t[WEIR_LAYER_FFN_NORM]);
	op = add_op(b, WEIR_OP_LINEAR, l->ff);
	op->flags = WEIR_LINEAR_GLU | b->h->arch->act;
	op->src[0] = l->norm;
	op->src[1] = weight(b, t[WEIR_LAYER_GATE]);
	op->src[2] = weight(b, t[WEIR_LAYER_UP]);
	op->src[4] = weight(b, t[WEIR_LAYER_GATE_BIAS]);
	op->src[5] = weight(b, t[WEIR_LAYER_UP_BIAS]);
	op->i[0] = 2;
	op->f[0] = 1.0f;
	add_to_stream(b, l, l->ff, t[WEIR_LAYER_DOWN], t[WEIR_LAYER_DOWN_BIAS],
		      t[WEIR_LAYER_POST_FFN_NORM]);
}

static void layer(struct builder *b, uint32_t i, const struct lane *all, const struct lane *out)
{
	weir_buffer *const *t = b->w->layers[i].tensor;
	const struct lane *rest = all;
	uint32_t kc = kv(b, b->cache->k[i]), vc = kv(b, b->cache->v[i]);

	norm(b, all->norm, all->x, t[WEIR_LAYER_ATTN_NORM]);
	qkv(b, all->norm, t);
	rope_kv(b, i, kc, vc);
	attention(b, i, all->attn, kc, vc);
	if (i + 1 == b->w->n_layers) {
		gather(b, out->attn, all->attn);
		gather(b, out->x, all->x);
		rest = out;
	}
	add_to_stream(b, rest, rest->attn, t[WEIR_LAYER_O], t[WEIR_LAYER_O_BIAS],
		      t[WEIR_LAYER_POST_ATTN_NORM]);
	feed_forward(b, rest, t);
}

static struct lane make_lane(struct builder *b, uint32_t rows)
{
	const struct weir_hparams *h = b->h;
	struct lane l;

	l.x = temp(b, rows, h->n_embd);
	l.norm = temp(b, rows, h->n_embd);
	l.attn = temp(b, rows, (uint64_t)h->n_heads * h->head_size);
	/* A model of one layer has no feed-forward over all tokens. */
	l.ff = rows == WEIR_ROWS_OUT || b->w->n_layers > 1 ? temp(b, rows, h->n_ff)
							   : WEIR_NO_TENSOR;
	return l;
}

static uint32_t whole_model(struct builder *b)
{
	const struct weir_hparams *h = b->h;
	struct lane all = make_lane(b, WEIR_ROWS_TOKENS), out = make_lane(b, WEIR_ROWS_OUT);
	struct weir_tensor logits = { .kind = WEIR_TENSOR_OUTPUT,
				      .rows = WEIR_ROWS_OUT,
				      .width = h->n_vocab };
	struct weir_op *op;
	uint32_t at;

	b->q = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_heads * h->head_size);
	b->k = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_kv_heads * h->head_size);
	b->v = temp(b, WEIR_ROWS_TOKENS, (uint64_t)h->n_kv_heads * h->head_size);
	op = add_op(b, WEIR_OP_EMBED, all.x);
	op->src[0] = weight(b, b->w->token_embd);
	op->f[0] = h->embed_scale;
	for (uint32_t i = 0; i < b->w->n_layers; i++)
		layer(b, i, &all, &out);
	norm(b, out.norm, out.x, b->w->output_norm);
	at = add_tensor(b, logits);
	linear(b, at, out.norm, b->w->output, NULL, 0);
	b->ops[b->n_ops - 1].f[1] = h->output_softcap;
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
	case WEIR_OP_GATHER:
		return "gather";
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

weir_status weir_graph_build(const struct weir_hparams *h, const struct weir_weights *w,
			     const struct weir_cache *cache, const struct weir_graph_limits *limits,
			     weir_program **ret_program, uint32_t *ret_logits,
			     struct weir_error *err)
{
	struct builder b = { .h = h, .w = w, .cache = cache, .n_ctx = limits->n_ctx };
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = limits->max_tokens,
					  .max_rows = limits->max_rows,
					  .max_out = limits->max_out };
	weir_program *program;
	uint32_t logits;
	weir_status s;

	/* Per layer: two caches, its weights, the rope factors; beside them 11 temporaries, the
	 * logits, and three weights. */
	b.max_tensors = w->n_layers * (WEIR_LAYER_N + 3) + 16;
	b.max_ops = w->n_layers * 10 + 6;
	b.tensors = calloc(b.max_tensors, sizeof(*b.tensors));
	b.ops = calloc(b.max_ops, sizeof(*b.ops));
	if (!b.tensors || !b.ops) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the model's program");
		goto out;
	}
	logits = whole_model(&b);
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
	*ret_logits = logits;
out:
	free(b.tensors);
	free(b.ops);
	return s;
}
