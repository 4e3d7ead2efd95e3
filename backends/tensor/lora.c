/* SPDX-License-Identifier: MIT */
/*
 * lora.c - reads adapters; see lora.h. On a worker, while a model loads.
 */
#include "lora.h"
#include "fail.h"
#include "weight-reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adapter {
	char *name;
	struct weir_gguf *g;          /* while it loads */
	struct weir_lora_pair *pairs; /* [n_layers + 1][WEIR_LORA_N] */
};

struct weir_lora {
	const struct weir_device *device;
	struct weir_instance *instance;
	uint32_t n, n_layers;
	uint64_t bytes;
	struct adapter *adapters;
};

struct reader {
	struct weir_lora *l;
	struct adapter *to;
	const struct weir_hparams *h;
	struct weir_error *err;
	struct weir_weight_reader bytes;
	float alpha, scale;
};

/* One matrix of the model as adapters name it: the places whose rows it holds. */
struct target {
	uint32_t layer, n_parts;
	enum weir_lora_place first;
	uint64_t n_in, n_out[3];
};

static const struct target_name {
	const char *name;
	enum weir_lora_place first;
	uint32_t n_parts;
} target_names[] = {
	{ "attn_q.weight", WEIR_LORA_Q, 1 },      { "attn_k.weight", WEIR_LORA_K, 1 },
	{ "attn_v.weight", WEIR_LORA_V, 1 },      { "attn_output.weight", WEIR_LORA_O, 1 },
	{ "ffn_gate.weight", WEIR_LORA_GATE, 1 }, { "ffn_up.weight", WEIR_LORA_UP, 1 },
	{ "ffn_down.weight", WEIR_LORA_DOWN, 1 }, { "attn_qkv.weight", WEIR_LORA_Q, 3 },
	{ "ffn_up.weight", WEIR_LORA_GATE, 2 },
};

static uint64_t rows_of(const struct weir_hparams *h, enum weir_lora_place place)
{
	switch (place) {
	case WEIR_LORA_Q:
		return (uint64_t)h->n_heads * h->head_size;
	case WEIR_LORA_K:
	case WEIR_LORA_V:
		return (uint64_t)h->n_kv_heads * h->head_size;
	case WEIR_LORA_GATE:
	case WEIR_LORA_UP:
		return h->n_ff;
	case WEIR_LORA_OUTPUT:
		return h->n_vocab;
	default:
		return h->n_embd;
	}
}

static uint64_t columns_of(const struct weir_hparams *h, enum weir_lora_place place)
{
	if (place == WEIR_LORA_O)
		return (uint64_t)h->n_heads * h->head_size;
	return place == WEIR_LORA_DOWN ? h->n_ff : h->n_embd;
}

/* Is the matrix there under this name, in a model of this layout? */
static bool has_target(const struct weir_hparams *h, const struct target_name *t)
{
	bool fused_gate = h->arch->flags & WEIR_ARCH_FUSED_GATE;

	if (t->first <= WEIR_LORA_V)
		return h->fused_qkv == (t->n_parts == 3);
	if (t->first == WEIR_LORA_O)
		return true;
	if (h->n_experts > 0)
		return false;
	if (t->first == WEIR_LORA_DOWN)
		return true;
	if (t->first == WEIR_LORA_GATE && t->n_parts == 1)
		return !fused_gate && !(h->arch->flags & WEIR_ARCH_PLAIN_FF);
	return fused_gate == (t->n_parts == 2);
}

static bool find_target(const struct reader *r, const char *base, struct target *ret)
{
	const struct weir_hparams *h = r->h;
	struct target t = { .layer = h->n_layers, .n_parts = 1, .first = WEIR_LORA_OUTPUT };
	char prefix[24];
	int n = 0;

	/* What caps logits would cap what an adapter adds as well. */
	if (strcmp(base, "output.weight") == 0 && h->output_softcap == 0)
		goto found;
	if (sscanf(base, "blk.%8u.", &t.layer) != 1 || t.layer >= h->n_layers)
		return false;
	n = snprintf(prefix, sizeof(prefix), "blk.%u.", t.layer);
	if (strncmp(base, prefix, (size_t)n) != 0)
		return false;
	for (size_t i = 0; i < sizeof(target_names) / sizeof(target_names[0]); i++) {
		const struct target_name *name = &target_names[i];

		if (strcmp(base + n, name->name) == 0 && has_target(h, name)) {
			t.first = name->first;
			t.n_parts = name->n_parts;
			goto found;
		}
	}
	return false;
found:
	t.n_in = columns_of(h, t.first);
	for (uint32_t i = 0; i < t.n_parts; i++)
		t.n_out[i] = rows_of(h, t.first + i);
	*ret = t;
	return true;
}

static weir_status check_pair(const struct reader *r, const char *base, const struct target *t,
			      const struct weir_gguf_tensor *a, const struct weir_gguf_tensor *b)
{
	uint64_t n_out = 0;

	for (uint32_t i = 0; i < t->n_parts; i++)
		n_out += t->n_out[i];
	if (a->ne[0] == t->n_in && b->ne[1] == n_out && a->ne[1] == b->ne[0] && a->ne[1] > 0 &&
	    a->ne[1] <= WEIR_MAX_RANK && a->ne[2] == 1 && b->ne[2] == 1 && a->ne[3] == 1 &&
	    b->ne[3] == 1)
		return WEIR_OK;
	return weir_fail(r->err, WEIR_E_INVALID,
			 "adapter '%s': '%s.lora_a' is %llu x %llu and lora_b %llu x %llu; this "
			 "model asks for %llu x rank and rank x %llu, rank 1 to %u: is the adapter "
			 "another model's?",
			 r->to->name, base, (unsigned long long)a->ne[0],
			 (unsigned long long)a->ne[1], (unsigned long long)b->ne[0],
			 (unsigned long long)b->ne[1], (unsigned long long)t->n_in,
			 (unsigned long long)n_out, WEIR_MAX_RANK);
}

/* n_out rows of a tensor from its byte `at` on, which they are n bytes of. */
static weir_status give(struct reader *r, const struct weir_gguf_tensor *t, uint64_t n_out,
			uint64_t at, uint64_t n, weir_buffer **ret)
{
	struct weir_weight_shape shape = { t->ne[0], n_out, WEIR_WEIGHT_MATRIX, 1 };
	bool device = false;
	weir_status s = weir_weight_give(&r->bytes, t, at, n, &shape, ret, &device, r->err);

	if (s >= 0)
		return WEIR_OK;
	if (!device)
		return s; /* it names the file */
	if (s == WEIR_E_UNSUPPORTED)
		return weir_fail(r->err, s,
				 "adapter '%s': tensor '%s' is of type %s, which the device has no "
				 "kernels for; use F32 or F16",
				 r->to->name, weir_quote(t->name).text,
				 weir_gguf_type(t->type)->name);
	weir_fail_prefix(r->err, r->to->name);
	return s;
}

static weir_status hand_over(struct reader *r, const struct target *t,
			     const struct weir_gguf_tensor *a, const struct weir_gguf_tensor *b)
{
	struct weir_lora_pair *pairs = r->to->pairs + (size_t)t->layer * WEIR_LORA_N + t->first;
	uint64_t at = 0;
	weir_status s;

	for (uint32_t i = 0; i < t->n_parts; i++) {
		uint64_t n = t->n_out[i] * (b->n_bytes / b->ne[1]);

		pairs[i].scale = r->alpha == 0 ? r->scale : r->scale * r->alpha / (float)a->ne[1];
		if ((s = give(r, a, a->ne[1], 0, a->n_bytes, &pairs[i].a)) ||
		    (s = give(r, b, t->n_out[i], at, n, &pairs[i].b)))
			return s;
		at += n;
	}
	r->l->bytes += a->n_bytes + b->n_bytes;
	return WEIR_OK;
}

/* "<base>.lora_a" and its partner. */
static weir_status take_tensor(struct reader *r, const struct weir_gguf_tensor *a)
{
	static const char end_a[] = ".lora_a", end_b[] = ".lora_b";
	const size_t n_end = sizeof(end_a) - 1;
	const struct weir_gguf_tensor *b;
	struct target t;
	char name[80];
	weir_status s;
	bool is_a;

	if (a->name.len <= n_end || a->name.len >= sizeof(name))
		goto alien;
	memcpy(name, a->name.data, a->name.len);
	name[a->name.len] = '\0';
	is_a = strcmp(name + a->name.len - n_end, end_a) == 0;
	if (!is_a && strcmp(name + a->name.len - n_end, end_b) != 0)
		goto alien;
	memcpy(name + a->name.len - n_end, is_a ? end_b : end_a, n_end);
	b = weir_gguf_tensor(r->to->g, name);
	if (!b)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "adapter '%s': tensor '%s' is missing: the file has only the "
				 "other of the two",
				 r->to->name,
				 weir_quote((struct weir_str){ name, strlen(name) }).text);
	if (!is_a)
		return WEIR_OK;
	name[a->name.len - n_end] = '\0';
	if (!find_target(r, name, &t))
		goto alien;
	s = check_pair(r, name, &t, a, b);
	return s == WEIR_OK ? hand_over(r, &t, a, b) : s;
alien:
	return weir_fail(r->err, WEIR_E_UNSUPPORTED,
			 "adapter '%s': tensor '%s' has no place in this %s model; adapted can be "
			 "the projections of attention, a dense feed-forward's and the output's",
			 r->to->name, weir_quote(a->name).text, r->h->arch->name);
}

static weir_status expect(const struct reader *r, const char *key, const char *want)
{
	struct weir_str got = { "", 0 };
	weir_status s = WEIR_OK;

	if (weir_gguf_has(r->to->g, key))
		s = weir_gguf_string(r->to->g, key, &got, r->err);
	if (s != WEIR_OK)
		return s;
	if (got.len == strlen(want) && memcmp(got.data, want, got.len) == 0)
		return WEIR_OK;
	return weir_fail(r->err, WEIR_E_INVALID,
			 "adapter '%s': %s is '%s', it must be '%s' for this model", r->to->name,
			 key, weir_quote(got).text, want);
}

static weir_status read_adapter(struct reader *r, const struct weir_lora_conf *conf)
{
	struct adapter *to = r->to;
	weir_status s;

	to->name = strdup(conf->name);
	to->pairs = calloc(((size_t)r->h->n_layers + 1) * WEIR_LORA_N, sizeof(*to->pairs));
	if (!to->name || !to->pairs)
		return weir_fail(r->err, WEIR_E_EXHAUSTED, "no memory for adapter '%s'",
				 conf->name);
	s = weir_gguf_open(conf->path, &to->g, r->err);
	if (s < 0)
		return s;
	r->scale = conf->scale;
	r->alpha = 0;
	if ((s = expect(r, "general.type", "adapter")) || (s = expect(r, "adapter.type", "lora")) ||
	    (s = expect(r, "general.architecture", r->h->arch->name)))
		return s;
	if (weir_gguf_has(to->g, "adapter.lora.alpha") &&
	    (s = weir_gguf_f32(to->g, "adapter.lora.alpha", &r->alpha, r->err)))
		return s;
	if (!isfinite(r->alpha) || fabsf(r->alpha) > 1e6f)
		return weir_fail(r->err, WEIR_E_INVALID,
				 "adapter '%s': adapter.lora.alpha is %g, it must be -1e6 to 1e6",
				 to->name, (double)r->alpha);
	if (weir_gguf_n_tensors(to->g) == 0)
		return weir_fail(r->err, WEIR_E_INVALID, "adapter '%s' holds no tensors", to->name);
	for (size_t i = 0; i < weir_gguf_n_tensors(to->g); i++) {
		if ((s = take_tensor(r, weir_gguf_tensor_at(to->g, i))))
			return s;
	}
	return weir_gguf_check_unchanged(to->g, r->err);
}

weir_status weir_lora_load(const struct weir_tensor_conf *conf, const struct weir_hparams *h,
			   const struct weir_device *device, struct weir_instance *instance,
			   const struct weir_host_log *log, struct weir_lora **ret,
			   struct weir_error *err)
{
	struct reader r = { .h = h, .err = err };
	weir_status s;

	*ret = NULL;
	if (conf->n_lora == 0)
		return WEIR_OK;
	r.l = calloc(1, sizeof(*r.l));
	if (!r.l)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for adapters");
	*r.l = (struct weir_lora){ .device = device,
				   .instance = instance,
				   .n_layers = h->n_layers };
	r.bytes = (struct weir_weight_reader){ .device = device, .instance = instance, .log = log };
	r.l->adapters = calloc(conf->n_lora, sizeof(*r.l->adapters));
	if (!r.l->adapters) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for adapters");
		goto fail;
	}
	for (uint32_t i = 0; i < conf->n_lora; i++) {
		weir_host_logf(log, WEIR_LOG_INFO, "adapter %s is read from %s", conf->lora[i].name,
			       conf->lora[i].path);
		r.to = &r.l->adapters[r.l->n++];
		s = read_adapter(&r, &conf->lora[i]);
		if (s != WEIR_OK)
			goto fail;
		weir_host_logf(log, WEIR_LOG_INFO, "adapter %s: %s, %zu tensors, scale %g",
			       r.to->name, weir_gguf_path(r.to->g), weir_gguf_n_tensors(r.to->g),
			       (double)conf->lora[i].scale);
		weir_gguf_close(r.to->g);
		r.to->g = NULL;
	}
	weir_weight_reader_clear(&r.bytes);
	*ret = r.l;
	return WEIR_OK;
fail:
	weir_weight_reader_clear(&r.bytes);
	weir_lora_free(r.l);
	return s;
}

void weir_lora_free(struct weir_lora *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->n; i++) {
		struct adapter *a = &l->adapters[i];

		for (size_t k = 0; a->pairs && k < ((size_t)l->n_layers + 1) * WEIR_LORA_N; k++) {
			if (a->pairs[k].a)
				l->device->buffer_free(l->instance, a->pairs[k].a);
			if (a->pairs[k].b)
				l->device->buffer_free(l->instance, a->pairs[k].b);
		}
		weir_gguf_close(a->g);
		free(a->pairs);
		free(a->name);
	}
	free(l->adapters);
	free(l);
}

uint32_t weir_lora_n(const struct weir_lora *l)
{
	return l ? l->n : 0;
}

const char *weir_lora_name(const struct weir_lora *l, uint32_t i)
{
	return l && i < l->n ? l->adapters[i].name : NULL;
}

const struct weir_lora_pair *weir_lora_pair(const struct weir_lora *l, uint32_t i, uint32_t layer,
					    enum weir_lora_place place)
{
	return &l->adapters[i].pairs[(size_t)layer * WEIR_LORA_N + place];
}

uint64_t weir_lora_bytes(const struct weir_lora *l)
{
	return l ? l->bytes : 0;
}
