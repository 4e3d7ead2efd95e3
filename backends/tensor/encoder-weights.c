/* SPDX-License-Identifier: MIT */
/*
 * encoder-weights.c - finds, checks and hands over an encoder's tensors; see encoder-weights.h.
 * Called on a worker.
 *
 * One walk over the tables checks everything before a second one asks the device for memory.
 */
#include "encoder-weights.h"
#include "fail.h"
#include "weight-reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extent { NONE, ONE, EMBD, FF, QKV, VOCAB, ANY };

enum need {
	REQUIRED,
	OPTIONAL,
	SPLIT,     /* q, k and v each by themselves: where there is no attn_qkv */
	POSITIONS, /* a table of positions: models without rope */
	GATED,     /* models whose feed-forward has a gate */
	RANK,      /* the head of a cross-encoder */
	RANK_OPTIONAL,
};

struct shape {
	const char *name;
	enum extent n_in, n_out; /* n_out NONE: a vector */
	enum need need;
};

static const struct shape layer_shapes[WEIR_ENCODER_LAYER_N] = {
	[WEIR_ENCODER_Q] = { "attn_q.weight", EMBD, EMBD, SPLIT },
	[WEIR_ENCODER_K] = { "attn_k.weight", EMBD, EMBD, SPLIT },
	[WEIR_ENCODER_V] = { "attn_v.weight", EMBD, EMBD, SPLIT },
	[WEIR_ENCODER_Q_BIAS] = { "attn_q.bias", EMBD, NONE, OPTIONAL },
	[WEIR_ENCODER_K_BIAS] = { "attn_k.bias", EMBD, NONE, OPTIONAL },
	[WEIR_ENCODER_V_BIAS] = { "attn_v.bias", EMBD, NONE, OPTIONAL },
	[WEIR_ENCODER_O] = { "attn_output.weight", EMBD, EMBD, REQUIRED },
	[WEIR_ENCODER_O_BIAS] = { "attn_output.bias", EMBD, NONE, OPTIONAL },
	[WEIR_ENCODER_ATTN_NORM] = { "attn_output_norm.weight", EMBD, NONE, REQUIRED },
	[WEIR_ENCODER_ATTN_NORM_BIAS] = { "attn_output_norm.bias", EMBD, NONE, REQUIRED },
	[WEIR_ENCODER_GATE] = { "ffn_gate.weight", EMBD, FF, GATED },
	[WEIR_ENCODER_UP] = { "ffn_up.weight", EMBD, FF, REQUIRED },
	[WEIR_ENCODER_UP_BIAS] = { "ffn_up.bias", FF, NONE, OPTIONAL },
	[WEIR_ENCODER_DOWN] = { "ffn_down.weight", FF, EMBD, REQUIRED },
	[WEIR_ENCODER_DOWN_BIAS] = { "ffn_down.bias", EMBD, NONE, OPTIONAL },
	[WEIR_ENCODER_OUT_NORM] = { "layer_output_norm.weight", EMBD, NONE, REQUIRED },
	[WEIR_ENCODER_OUT_NORM_BIAS] = { "layer_output_norm.bias", EMBD, NONE, REQUIRED },
};

/* q, k and v as the rows of one. */
static const struct shape qkv_shape = { "attn_qkv.weight", EMBD, QKV, OPTIONAL };
static const struct shape qkv_bias_shape = { "attn_qkv.bias", QKV, NONE, OPTIONAL };

static const struct shape shapes[WEIR_ENCODER_N] = {
	[WEIR_ENCODER_TOKENS] = { "token_embd.weight", EMBD, VOCAB, REQUIRED },
	[WEIR_ENCODER_TYPES] = { "token_types.weight", EMBD, ANY, OPTIONAL },
	[WEIR_ENCODER_POSITIONS] = { "position_embd.weight", EMBD, ANY, POSITIONS },
	[WEIR_ENCODER_EMBD_NORM] = { "token_embd_norm.weight", EMBD, NONE, REQUIRED },
	[WEIR_ENCODER_EMBD_NORM_BIAS] = { "token_embd_norm.bias", EMBD, NONE, REQUIRED },
	[WEIR_ENCODER_CLS] = { "cls.weight", EMBD, EMBD, RANK_OPTIONAL },
	[WEIR_ENCODER_CLS_BIAS] = { "cls.bias", EMBD, NONE, RANK_OPTIONAL },
	[WEIR_ENCODER_SCORE] = { "cls.output.weight", EMBD, ONE, RANK },
	[WEIR_ENCODER_SCORE_BIAS] = { "cls.output.bias", ONE, NONE, RANK_OPTIONAL },
};

struct loader {
	const struct weir_gguf *g;
	const struct weir_hparams *h;
	const struct weir_host_log *log;
	struct weir_encoder_weights *w;
	struct weir_error *err;
	struct weir_weight_reader reader;
	bool rank, hand_over; /* hand_over false: the first walk, which only checks and counts */
	size_t n_used;
	uint64_t done, total; /* bytes */
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
	case QKV:
		return 3 * (uint64_t)h->n_embd;
	case VOCAB:
		return h->n_vocab;
	case ANY:
		break;
	}
	return 0;
}

static void needs(const struct loader *l, enum need need, bool fused, bool *ret_may, bool *ret_must)
{
	uint32_t flags = l->h->arch->flags;

	*ret_may = true;
	*ret_must = false;
	switch (need) {
	case REQUIRED:
		*ret_must = true;
		break;
	case OPTIONAL:
		break;
	case SPLIT:
		*ret_may = *ret_must = !fused;
		break;
	case POSITIONS:
		*ret_may = *ret_must = !(flags & WEIR_ARCH_ENCODER_ROPE);
		break;
	case GATED:
		*ret_may = *ret_must = flags & WEIR_ARCH_ENCODER_GATE;
		break;
	case RANK:
		*ret_may = *ret_must = l->rank;
		break;
	case RANK_OPTIONAL:
		*ret_may = l->rank;
		break;
	}
}

static weir_status check_shape(struct loader *l, const char *name, const struct shape *shape,
			       const struct weir_gguf_tensor *t)
{
	uint64_t n_in = extent_of(l->h, shape->n_in), n_out = extent_of(l->h, shape->n_out);

	if (shape->n_out == ANY && t->ne[1] >= 1 && t->ne[1] <= WEIR_MAX_CTX)
		n_out = t->ne[1];
	if (t->ne[0] == n_in && t->ne[1] == n_out && t->ne[2] == 1 && t->ne[3] == 1)
		return WEIR_OK;
	return weir_fail(l->err, WEIR_E_INVALID,
			 "tensor '%s' has the shape %llu x %llu x %llu x %llu, the model's numbers "
			 "ask for %llu x %llu",
			 name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
			 (unsigned long long)t->ne[2], (unsigned long long)t->ne[3],
			 (unsigned long long)n_in, (unsigned long long)n_out);
}

/* One tensor, as n_parts equal ranges of its rows, or of a vector's elements. */
static weir_status hand_over(struct loader *l, const char *name, const struct weir_gguf_tensor *t,
			     uint32_t use, uint32_t n_parts, weir_buffer **ret)
{
	const struct weir_gguf_type *type = weir_gguf_type(t->type);
	bool vector = t->ne[1] == 1 && n_parts > 1;
	uint64_t n_in = vector ? t->ne[0] / n_parts : t->ne[0];
	uint64_t n_out = vector ? 1 : t->ne[1] / n_parts;
	bool device = false;
	weir_status s;

	weir_host_progress(l->log, "loading weights", l->done, l->total);
	s = weir_host_go_on(l->log, l->err);
	if (s < 0)
		return s;
	for (uint32_t i = 0; i < n_parts && s >= 0; i++) {
		struct weir_weight_shape shape = { n_in, n_out, use, 1 };

		s = weir_weight_give(&l->reader, t, i * (t->n_bytes / n_parts),
				     t->n_bytes / n_parts, &shape, &ret[i], &device, l->err);
	}
	if (s < 0 && !device)
		return s; /* it names the file */
	if (s == WEIR_E_UNSUPPORTED)
		return weir_fail(l->err, s,
				 "tensor '%s' is of type %s, which the device has no kernels for "
				 "as it is used here",
				 name, type ? type->name : "?");
	if (s < 0) {
		weir_fail_prefix(l->err, name);
		return s;
	}
	l->done += t->n_bytes;
	return WEIR_OK;
}

static weir_status take(struct loader *l, const char *name, const struct shape *shape, bool fused,
			uint32_t use, uint32_t n_parts, weir_buffer **ret)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(l->g, name);
	bool may, must;
	weir_status s;

	needs(l, shape->need, fused, &may, &must);
	if (!t && must)
		return weir_fail(l->err, WEIR_E_INVALID,
				 "tensor '%s' is missing: the file is damaged, or is not a whole "
				 "%s model",
				 name, l->h->arch->name);
	if (!t || !may)
		return WEIR_OK;
	if (l->hand_over)
		return hand_over(l, name, t, use, n_parts, ret);
	s = check_shape(l, name, shape, t);
	if (s != WEIR_OK)
		return s;
	if (n_parts > 1 && shape->n_out == NONE && weir_gguf_type(t->type)->block_size != 1)
		return weir_fail(l->err, WEIR_E_UNSUPPORTED,
				 "tensor '%s' is of type %s; a bias must be F32, F16 or BF16", name,
				 weir_gguf_type(t->type)->name);
	l->n_used++;
	l->total += t->n_bytes;
	if (use & WEIR_WEIGHT_MATRIX && t->type < 64)
		l->by_type[t->type] += t->n_bytes;
	/* Cannot overflow: open() has made sure that each tensor lies inside of the file. */
	l->w->n_params += t->ne[0] * t->ne[1];
	return WEIR_OK;
}

static uint32_t use_of(const struct shape *shape)
{
	return shape->n_out == NONE ? WEIR_WEIGHT_VECTOR : WEIR_WEIGHT_MATRIX;
}

static weir_status take_layer(struct loader *l, uint32_t layer)
{
	weir_buffer **at = l->w->layers[layer].tensor;
	char name[64];
	bool fused;
	weir_status s;

	snprintf(name, sizeof(name), "blk.%u.%s", layer, qkv_shape.name);
	fused = weir_gguf_tensor(l->g, name) != NULL;
	s = take(l, name, &qkv_shape, fused, WEIR_WEIGHT_MATRIX, 3, &at[WEIR_ENCODER_Q]);
	if (s == WEIR_OK && fused) {
		snprintf(name, sizeof(name), "blk.%u.%s", layer, qkv_bias_shape.name);
		s = take(l, name, &qkv_bias_shape, fused, WEIR_WEIGHT_VECTOR, 3,
			 &at[WEIR_ENCODER_Q_BIAS]);
	}
	for (uint32_t i = 0; i < WEIR_ENCODER_LAYER_N && s == WEIR_OK; i++) {
		if (fused && i <= WEIR_ENCODER_V_BIAS)
			continue;
		snprintf(name, sizeof(name), "blk.%u.%s", layer, layer_shapes[i].name);
		s = take(l, name, &layer_shapes[i], fused, use_of(&layer_shapes[i]), 1, &at[i]);
	}
	return s;
}

static weir_status take_all(struct loader *l)
{
	weir_status s = WEIR_OK;

	for (uint32_t i = 0; i < WEIR_ENCODER_N && s == WEIR_OK; i++) {
		uint32_t use = i <= WEIR_ENCODER_POSITIONS ? WEIR_WEIGHT_TABLE : use_of(&shapes[i]);

		s = take(l, shapes[i].name, &shapes[i], false, use, 1, &l->w->tensor[i]);
	}
	for (uint32_t i = 0; i < l->w->n_layers && s == WEIR_OK; i++)
		s = take_layer(l, i);
	return s;
}

/* Has the model a place for it, or is it the head of another task? */
static bool has_place(const struct loader *l, struct weir_str name)
{
	static const char *const heads[] = { "cls.", "pooler.", "output.", "token_embd_norm" };
	char want[64], prefix[24];
	unsigned layer;
	size_t n;

	if (name.len >= sizeof(want))
		return false;
	memcpy(want, name.data, name.len);
	want[name.len] = '\0';
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (strncmp(want, heads[i], strlen(heads[i])) == 0)
			return true;
	for (uint32_t i = 0; i < WEIR_ENCODER_N; i++)
		if (strcmp(want, shapes[i].name) == 0) {
			bool may, must;

			needs(l, shapes[i].need, false, &may, &must);
			return may;
		}
	if (sscanf(want, "blk.%8u.", &layer) != 1 || layer >= l->h->n_layers)
		return false;
	n = (size_t)snprintf(prefix, sizeof(prefix), "blk.%u.", layer);
	if (strncmp(want, prefix, n) != 0)
		return false;
	if (strcmp(want + n, qkv_shape.name) == 0 || strcmp(want + n, qkv_bias_shape.name) == 0)
		return true;
	for (uint32_t i = 0; i < WEIR_ENCODER_LAYER_N; i++)
		if (strcmp(want + n, layer_shapes[i].name) == 0) {
			bool may, must;

			needs(l, layer_shapes[i].need, false, &may, &must);
			return may;
		}
	return false;
}

/* Leaving a tensor out would give wrong vectors. */
static weir_status check_leftovers(struct loader *l)
{
	if (l->n_used == weir_gguf_n_tensors(l->g))
		return WEIR_OK;
	for (size_t i = 0; i < weir_gguf_n_tensors(l->g); i++) {
		struct weir_str name = weir_gguf_tensor_at(l->g, i)->name;

		if (!has_place(l, name))
			return weir_fail(l->err, WEIR_E_UNSUPPORTED,
					 "tensor '%s' has no place in a %s model of %u layers as "
					 "it is supported here",
					 weir_quote(name).text, l->h->arch->name, l->h->n_layers);
	}
	return WEIR_OK;
}

static uint32_t rows_of(const struct weir_gguf *g, const char *name)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(g, name);

	return t ? (uint32_t)t->ne[1] : 0; /* within WEIR_MAX_CTX: check_shape() */
}

weir_status weir_encoder_weights_load(const struct weir_gguf *g, const struct weir_hparams *h,
				      bool rank, const struct weir_device *device,
				      struct weir_instance *instance,
				      const struct weir_host_log *log,
				      struct weir_encoder_weights **ret, struct weir_error *err)
{
	struct loader l = { .g = g, .h = h, .log = log, .rank = rank, .err = err };
	weir_status s;

	/* A layer has several tensors: don't let a number alone ask for memory. */
	if (h->n_layers > weir_gguf_n_tensors(g))
		return weir_fail(err, WEIR_E_INVALID,
				 "%s.block_count is %u, but the file holds %zu tensors in all",
				 h->arch->name, h->n_layers, weir_gguf_n_tensors(g));
	if ((uint64_t)h->n_heads * h->head_size != h->n_embd || h->n_kv_heads != h->n_heads)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "%u heads (%u of keys) of %u do not make an embedding of %u: %s "
				 "models of that shape are not supported",
				 h->n_heads, h->n_kv_heads, h->head_size, h->n_embd, h->arch->name);
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
	for (uint32_t i = 0; i < 64; i++)
		if (l.by_type[i] > l.by_type[l.w->main_type])
			l.w->main_type = i;
	l.w->n_bytes = l.total;
	l.hand_over = true;
	if ((s = take_all(&l)) || (s = weir_gguf_check_unchanged(g, err)))
		goto fail;
	weir_weight_reader_clear(&l.reader);
	weir_host_progress(log, "loading weights", l.total, l.total);
	l.w->n_types = rows_of(g, shapes[WEIR_ENCODER_TYPES].name);
	if (l.w->tensor[WEIR_ENCODER_POSITIONS])
		l.w->n_positions = rows_of(g, shapes[WEIR_ENCODER_POSITIONS].name);
	*ret = l.w;
	return WEIR_OK;
fail:
	weir_weight_reader_clear(&l.reader);
	weir_encoder_weights_free(l.w);
	return s;
}

void weir_encoder_weights_free(struct weir_encoder_weights *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; w->layers && i < w->n_layers; i++)
		for (uint32_t k = 0; k < WEIR_ENCODER_LAYER_N; k++)
			if (w->layers[i].tensor[k])
				w->device->buffer_free(w->instance, w->layers[i].tensor[k]);
	for (uint32_t k = 0; k < WEIR_ENCODER_N; k++)
		if (w->tensor[k])
			w->device->buffer_free(w->instance, w->tensor[k]);
	free(w->layers);
	free(w);
}
