/*
 * cache.c - plans and makes KV memory; see cache.h. Called on a worker.
 */
#include "cache.h"
#include "fail.h"

#include <stdlib.h>

#define MIB (1024.0 * 1024.0)

/* Slots are numbered with 32 bits: block * block_tokens + offset. */
#define MAX_SLOTS (UINT64_C(1) << 31)

const char *weir_cache_type_name(uint32_t type)
{
	switch (type) {
	case WEIR_DTYPE_F32:
		return "F32";
	case WEIR_DTYPE_F16:
		return "F16";
	case WEIR_DTYPE_BF16:
		return "BF16";
	case WEIR_DTYPE_Q8_0:
		return "Q8_0";
	default:
		return "?";
	}
}

/* Bytes of one head's K or V at one position. */
static weir_status head_bytes(const struct weir_hparams *h, uint32_t type, uint64_t *ret,
			      struct weir_error *err)
{
	const struct weir_gguf_type *t = weir_gguf_type(type);

	if (weir_cache_type_name(type)[0] == '?' || !t)
		return weir_fail(err, WEIR_E_INVALID, "kv_type %u is no type of a cache", type);
	if (h->head_size % t->block_size != 0)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "kv_type %s needs a head size that is a multiple of %u, this "
				 "model's is %u; use f16",
				 t->name, t->block_size, h->head_size);
	*ret = (uint64_t)h->head_size / t->block_size * t->block_bytes;
	return WEIR_OK;
}

static uint64_t blocks_of(uint64_t n_tokens, uint32_t block_tokens)
{
	return (n_tokens + block_tokens - 1) / block_tokens;
}

weir_status weir_cache_plan(const struct weir_hparams *h, const struct weir_cache_wish *w,
			    struct weir_cache_plan *ret, struct weir_error *err)
{
	struct weir_cache_plan p = { .block_tokens = w->block_tokens, .type = w->type };
	uint64_t per_head = 0, want, n, limit = UINT64_MAX;
	weir_status s;

	if (w->block_tokens == 0 || w->max_sequences == 0)
		return weir_fail(err, WEIR_E_INVALID,
				 "block_tokens and max_sequences must be at least 1");
	s = head_bytes(h, w->type, &per_head, err);
	if (s != WEIR_OK)
		return s;
	p.n_ctx = w->n_ctx ? w->n_ctx : h->n_ctx;
	/* The limits of hparams.h keep this below 2^16 * 2^15 * 2^12 * 2 * 2^13 = 2^57. */
	p.block_bytes = per_head * h->n_kv_heads * h->n_layers * 2 * w->block_tokens;
	want = blocks_of(p.n_ctx, w->block_tokens) * w->max_sequences;
	if (w->memory)
		limit = w->memory / p.block_bytes;
	else if (w->memory_free)
		/* The rest is for temporaries, the page cache and whoever else lives here. */
		limit = w->memory_free / 2 / p.block_bytes;
	if (limit > MAX_SLOTS / w->block_tokens)
		limit = MAX_SLOTS / w->block_tokens;
	/* An explicit budget is used whole: blocks beyond `want` hold shared prefixes. */
	n = w->memory ? limit : want < limit ? want : limit;
	if (n < blocks_of(p.n_ctx, w->block_tokens)) {
		uint64_t fits = n * w->block_tokens;

		if (w->n_ctx || n == 0)
			return weir_fail(err, WEIR_E_EXHAUSTED,
					 "one sequence of %u tokens takes %.1f MiB of KV memory, "
					 "there is room for %llu tokens; lower context, raise "
					 "kv_memory, or use a smaller kv_type",
					 p.n_ctx,
					 (double)blocks_of(p.n_ctx, w->block_tokens) *
						 (double)p.block_bytes / MIB,
					 (unsigned long long)fits);
		p.n_ctx = (uint32_t)fits;
	}
	p.short_of_memory = n < want;
	p.n_blocks = (uint32_t)n;
	p.bytes = n * p.block_bytes;
	*ret = p;
	return WEIR_OK;
}

weir_status weir_cache_new(const struct weir_cache_plan *plan, const struct weir_hparams *h,
			   const struct weir_device *device, struct weir_instance *instance,
			   struct weir_cache **ret, struct weir_error *err)
{
	struct weir_cache *c = calloc(1, sizeof(*c));
	weir_status s = WEIR_OK;

	if (!c)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the KV cache");
	c->device = device;
	c->instance = instance;
	c->n_layers = h->n_layers;
	c->k = calloc(h->n_layers, sizeof(weir_buffer *));
	c->v = calloc(h->n_layers, sizeof(weir_buffer *));
	if (!c->k || !c->v) {
		s = weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the KV cache");
		goto fail;
	}
	for (uint32_t i = 0; i < 2 * h->n_layers; i++) {
		weir_buffer **at = i % 2 ? &c->v[i / 2] : &c->k[i / 2];

		s = device->kv(instance, plan->type, plan->n_blocks, plan->block_tokens,
			       h->n_kv_heads, h->head_size, at, err);
		if (s == WEIR_E_UNSUPPORTED) {
			weir_fail_prefix(err, "kv_type is not supported by the device");
			goto fail;
		}
		if (s < 0)
			goto fail;
	}
	*ret = c;
	return WEIR_OK;
fail:
	weir_cache_free(c);
	return s;
}

void weir_cache_free(struct weir_cache *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_layers; i++) {
		if (c->k && c->k[i])
			c->device->buffer_free(c->instance, c->k[i]);
		if (c->v && c->v[i])
			c->device->buffer_free(c->instance, c->v[i]);
	}
	free(c->k);
	free(c->v);
	free(c);
}
