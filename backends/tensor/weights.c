/*
 * weights.c - finds, checks and hands over a model's tensors; see weights.h. Called on a worker.
 */
#include "weights.h"
#include "fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extent { NONE, EMBD, FF, FF_TWICE, HEADS, KV_HEADS, QKV, HEAD, VOCAB, ROPE_HALF };

enum need {
	OPTIONAL,
	REQUIRED,
	BIAS,
	QKV_BIAS,
	QK_NORM,
	POST_NORM,
	SPLIT,
	FUSED,
	FACTORS,
	LONGROPE
};

struct shape {
	const char *name;
	enum extent n_in, n_out; /* n_out NONE: a vector */
	enum need need;
};

static const struct shape layer_shapes[WEIR_LAYER_N] = {
	[WEIR_LAYER_ATTN_NORM] = { "attn_norm.weight", EMBD, NONE, REQUIRED },
	[WEIR_LAYER_Q] = { "attn_q.weight", EMBD, HEADS, SPLIT },
	[WEIR_LAYER_K] = { "attn_k.weight", EMBD, KV_HEADS, SPLIT },
	[WEIR_LAYER_V] = { "attn_v.weight", EMBD, KV_HEADS, SPLIT },
	[WEIR_LAYER_O] = { "attn_output.weight", HEADS, EMBD, REQUIRED },
	[WEIR_LAYER_Q_BIAS] = { "attn_q.bias", HEADS, NONE, QKV_BIAS },
	[WEIR_LAYER_K_BIAS] = { "attn_k.bias", KV_HEADS, NONE, QKV_BIAS },
	[WEIR_LAYER_V_BIAS] = { "attn_v.bias", KV_HEADS, NONE, QKV_BIAS },
	[WEIR_LAYER_O_BIAS] = { "attn_output.bias", EMBD, NONE, BIAS },
	[WEIR_LAYER_Q_NORM] = { "attn_q_norm.weight", HEAD, NONE, QK_NORM },
	[WEIR_LAYER_K_NORM] = { "attn_k_norm.weight", HEAD, NONE, QK_NORM },
	[WEIR_LAYER_FFN_NORM] = { "ffn_norm.weight", EMBD, NONE, REQUIRED },
	[WEIR_LAYER_GATE] = { "ffn_gate.weight", EMBD, FF, SPLIT },
	[WEIR_LAYER_UP] = { "ffn_up.weight", EMBD, FF, SPLIT },
	[WEIR_LAYER_DOWN] = { "ffn_down.weight", FF, EMBD, REQUIRED },
	[WEIR_LAYER_GATE_BIAS] = { "ffn_gate.bias", FF, NONE, BIAS },
	[WEIR_LAYER_UP_BIAS] = { "ffn_up.bias", FF, NONE, BIAS },
	[WEIR_LAYER_DOWN_BIAS] = { "ffn_down.bias", EMBD, NONE, BIAS },
	[WEIR_LAYER_POST_ATTN_NORM] = { "post_attention_norm.weight", EMBD, NONE, POST_NORM },
	[WEIR_LAYER_POST_FFN_NORM] = { "post_ffw_norm.weight", EMBD, NONE, POST_NORM },
};

/* Matrices that hold the rows of several, one after the other. */
static const struct fused {
	struct shape shape;
	enum weir_layer_tensor first;
	uint32_t n_parts;
} layer_fused[] = {
	{ { "attn_qkv.weight", EMBD, QKV, FUSED }, WEIR_LAYER_Q, 3 },
	{ { "ffn_up.weight", EMBD, FF_TWICE, FUSED }, WEIR_LAYER_GATE, 2 },
};

#define N_FUSED (sizeof(layer_fused) / sizeof(layer_fused[0]))

static const struct shape token_embd_shape = { "token_embd.weight", EMBD, VOCAB, REQUIRED };
static const struct shape output_norm_shape = { "output_norm.weight", EMBD, NONE, REQUIRED };
static const struct shape output_shape = { "output.weight", EMBD, VOCAB, OPTIONAL };
static const struct shape rope_freqs_shape = { "rope_freqs.weight", ROPE_HALF, NONE, FACTORS };
static const struct shape rope_long_shape = { "rope_factors_long.weight", ROPE_HALF, NONE,
					      LONGROPE };
static const struct shape rope_short_shape = { "rope_factors_short.weight", ROPE_HALF, NONE,
					       LONGROPE };

struct loader {
	const struct weir_gguf *g;
	const struct weir_hparams *h;
	const struct weir_host_log *log;
	struct weir_weights *w;
	struct weir_error *err;
	bool hand_over;       /* false: the first pass, which only checks and counts */
	size_t n_used;        /* tensors that the model has a place for */
	uint64_t done, total; /* bytes */
	uint64_t by_type[64];
};

static uint64_t extent_of(const struct weir_hparams *h, enum extent e)
{
	switch (e) {
	case NONE:
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
	}
	return 0;
}

/* Has the architecture a place for it (may), and can it do without (must)? */
static void needs(const struct weir_hparams *h, enum need need, bool *ret_may, bool *ret_must)
{
	uint32_t f = h->arch->flags;

	*ret_may = true;
	*ret_must = false;
	switch (need) {
	case OPTIONAL:
		break;
	case REQUIRED:
		*ret_must = true;
		break;
	case BIAS:
		*ret_may = (f & WEIR_ARCH_OPTIONAL_BIAS) != 0;
		break;
	case QKV_BIAS:
		*ret_must = (f & WEIR_ARCH_QKV_BIAS) != 0;
		*ret_may = (f & (WEIR_ARCH_QKV_BIAS | WEIR_ARCH_OPTIONAL_BIAS)) != 0;
		break;
	case QK_NORM:
		*ret_may = *ret_must = (f & WEIR_ARCH_QK_NORM) != 0;
		break;
	case POST_NORM:
		*ret_may = *ret_must = (f & WEIR_ARCH_POST_NORM) != 0;
		break;
	case SPLIT:
		*ret_may = *ret_must = (f & WEIR_ARCH_FUSED) == 0;
		break;
	case FUSED:
		*ret_may = *ret_must = (f & WEIR_ARCH_FUSED) != 0;
		break;
	case LONGROPE: /* hparams.c has made sure that both are there or none */
		*ret_may = (f & WEIR_ARCH_LONGROPE) != 0;
		break;
	case FACTORS:
		*ret_may = (f & WEIR_ARCH_ROPE_FACTORS) != 0;
		break;
	}
}

static weir_status check_shape(struct loader *l, const char *name, const struct shape *shape,
			       const struct weir_gguf_tensor *t)
{
	uint64_t n_in = extent_of(l->h, shape->n_in), n_out = extent_of(l->h, shape->n_out);

	if (t->ne[0] == n_in && t->ne[1] == n_out && t->ne[2] == 1 && t->ne[3] == 1)
		return WEIR_OK;
	return weir_fail(l->err, WEIR_E_INVALID,
			 "tensor '%s' has the shape %llu x %llu x %llu x %llu, the model's numbers "
			 "ask for %llu x %llu",
			 name, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
			 (unsigned long long)t->ne[2], (unsigned long long)t->ne[3],
			 (unsigned long long)n_in, (unsigned long long)n_out);
}

/* One tensor, as n_parts ranges of its rows. */
static weir_status hand_over(struct loader *l, const char *name, const struct weir_gguf_tensor *t,
			     uint32_t use, const struct shape *parts, uint32_t n_parts,
			     weir_buffer **ret)
{
	const struct weir_gguf_type *type = weir_gguf_type(t->type);
	const uint8_t *at = t->data;
	weir_status s = WEIR_OK;

	weir_host_progress(l->log, "loading weights", l->done, l->total);
	for (uint32_t i = 0; i < n_parts && s >= 0; i++) {
		uint64_t n_out = extent_of(l->h, parts[i].n_out);

		s = l->w->device->weight(l->w->instance, t->type, t->ne[0], n_out, use, at, &ret[i],
					 l->err);
		at += n_out * (t->n_bytes / t->ne[1]);
	}
	if (s == WEIR_E_UNSUPPORTED)
		return weir_fail(l->err, s,
				 "tensor '%s' is of type %s, which the device has no kernels for; "
				 "use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K "
				 "to Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0 or TQ2_0",
				 name, type ? type->name : "?");
	if (s < 0) {
		weir_fail_prefix(l->err, name);
		return s;
	}
	l->done += t->n_bytes;
	return WEIR_OK;
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
	if (s != WEIR_OK)
		return s;
	l->n_used++;
	l->total += t->n_bytes;
	if (use & WEIR_WEIGHT_MATRIX && t->type < 64)
		l->by_type[t->type] += t->n_bytes;
	/* Cannot overflow: open() has made sure that each tensor lies inside of the file. */
	l->w->n_params += t->ne[0] * t->ne[1];
	return WEIR_OK;
}

static weir_status take(struct loader *l, const char *name, const struct shape *shape, uint32_t use,
			weir_buffer **ret)
{
	return take_parts(l, name, shape, use, shape, 1, ret);
}

static weir_status take_layer(struct loader *l, uint32_t layer)
{
	char name[64];
	weir_status s;

	for (size_t i = 0; i < N_FUSED; i++) {
		const struct fused *f = &layer_fused[i];

		snprintf(name, sizeof(name), "blk.%u.%s", layer, f->shape.name);
		s = take_parts(l, name, &f->shape, WEIR_WEIGHT_MATRIX, &layer_shapes[f->first],
			       f->n_parts, &l->w->layers[layer].tensor[f->first]);
		if (s != WEIR_OK)
			return s;
	}
	for (uint32_t i = 0; i < WEIR_LAYER_N; i++) {
		const struct shape *shape = &layer_shapes[i];
		uint32_t use = shape->n_out == NONE ? WEIR_WEIGHT_VECTOR : WEIR_WEIGHT_MATRIX;

		snprintf(name, sizeof(name), "blk.%u.%s", layer, shape->name);
		s = take(l, name, shape, use, &l->w->layers[layer].tensor[i]);
		if (s != WEIR_OK)
			return s;
	}
	return WEIR_OK;
}

static weir_status take_all(struct loader *l)
{
	struct weir_weights *w = l->w;
	uint32_t embd_use = WEIR_WEIGHT_TABLE | (l->h->tied ? WEIR_WEIGHT_MATRIX : 0);
	weir_status s;

	if ((s = take(l, "token_embd.weight", &token_embd_shape, embd_use, &w->token_embd)) ||
	    (s = take(l, "rope_freqs.weight", &rope_freqs_shape, WEIR_WEIGHT_VECTOR,
		      &w->rope_freqs)) ||
	    (s = take(l, "rope_factors_long.weight", &rope_long_shape, WEIR_WEIGHT_VECTOR,
		      &w->rope_long)) ||
	    (s = take(l, "rope_factors_short.weight", &rope_short_shape, WEIR_WEIGHT_VECTOR,
		      &w->rope_short)))
		return s;
	for (uint32_t i = 0; i < w->n_layers; i++) {
		if ((s = take_layer(l, i)))
			return s;
	}
	if ((s = take(l, "output_norm.weight", &output_norm_shape, WEIR_WEIGHT_VECTOR,
		      &w->output_norm)) ||
	    (s = take(l, "output.weight", &output_shape, WEIR_WEIGHT_MATRIX, &w->output)))
		return s;
	if (l->hand_over && l->h->tied)
		w->output = w->token_embd;
	return WEIR_OK;
}

static bool has_place(const struct loader *l, struct weir_str name)
{
	static const struct shape *const globals[] = { &token_embd_shape, &output_norm_shape,
						       &output_shape,     &rope_freqs_shape,
						       &rope_long_shape,  &rope_short_shape };
	char want[64], prefix[24];
	bool may, must;
	unsigned layer;
	size_t n;

	for (size_t i = 0; i < sizeof(globals) / sizeof(globals[0]); i++) {
		needs(l->h, globals[i]->need, &may, &must);
		if (may && name.len == strlen(globals[i]->name) &&
		    memcmp(name.data, globals[i]->name, name.len) == 0)
			return true;
	}
	if (name.len >= sizeof(want))
		return false;
	memcpy(want, name.data, name.len);
	want[name.len] = '\0';
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
	return false;
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
	if ((s = take_all(&l)))
		goto fail;
	weir_host_progress(log, "loading weights", l.total, l.total);
	*ret = l.w;
	return WEIR_OK;
fail:
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
	if (w->output && w->output != w->token_embd)
		w->device->buffer_free(w->instance, w->output);
	if (w->token_embd)
		w->device->buffer_free(w->instance, w->token_embd);
	if (w->output_norm)
		w->device->buffer_free(w->instance, w->output_norm);
	if (w->rope_freqs)
		w->device->buffer_free(w->instance, w->rope_freqs);
	if (w->rope_long)
		w->device->buffer_free(w->instance, w->rope_long);
	if (w->rope_short)
		w->device->buffer_free(w->instance, w->rope_short);
	free(w->layers);
	free(w);
}
