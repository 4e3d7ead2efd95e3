/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - weights in the shaders' layout, KV caches. Called while a model loads, on one worker.
 */
#include "layout.h"
#include "vk.h"

#include <stdlib.h>
#include <string.h>

struct source {
	const struct weir_vk_type *type;
	uint64_t n_in, n_out;
	const void *src;
};

static void fill_layout(void *data, uint64_t at, uint64_t n, uint8_t *dst)
{
	const struct source *s = data;

	weir_vk_layout(s->type, s->n_in, s->n_out, s->src, at, n, dst);
}

static void fill_bytes(void *data, uint64_t at, uint64_t n, uint8_t *dst)
{
	memcpy(dst, (const uint8_t *)data + at, n);
}

static weir_status make_matrix(struct weir_vk *vk, weir_buffer *b, const struct source *s,
			       struct weir_error *err)
{
	struct weir_vk_planes planes;
	uint64_t offset;
	weir_status status;

	if (!weir_vk_planes(s->type, s->n_in, s->n_out, &planes))
		return weir_vk_fail(err, WEIR_E_INVALID,
				    "a matrix of %llu x %llu is too large for the vulkan backend",
				    (unsigned long long)s->n_out, (unsigned long long)s->n_in);
	b->bytes = planes.bytes;
	status = weir_vk_slab_take(vk, b->bytes, &b->slab, &offset, err);
	if (status)
		return status;
	b->address = b->slab->memory.address + offset;
	return weir_vk_upload(vk, &b->slab->memory, offset, b->bytes, 4096, fill_layout, (void *)s,
			      err);
}

static weir_status make_vector(struct weir_vk *vk, weir_buffer *b, const struct source *s,
			       struct weir_error *err)
{
	uint64_t n, offset;
	weir_status status;

	if (s->type->split)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "vectors of %s; the vulkan backend takes F32, F16 and BF16",
				    s->type->name);
	if (__builtin_mul_overflow(b->n_in, b->n_out, &n) || n > UINT32_MAX / 4)
		return weir_vk_fail(err, WEIR_E_INVALID, "a vector is too large");
	b->values = malloc(n * sizeof(float));
	if (!b->values)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a vector");
	weir_vk_floats(b->type, s->src, n, b->values);
	status = weir_vk_slab_take(vk, n * sizeof(float), &b->vector_slab, &offset, err);
	if (status)
		return status;
	b->vector = b->vector_slab->memory.address + offset;
	return weir_vk_upload(vk, &b->vector_slab->memory, offset, n * sizeof(float), 4, fill_bytes,
			      b->values, err);
}

weir_status weir_vk_weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			   uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			   struct weir_error *err)
{
	struct weir_vk *vk = weir_vk_of(instance);
	struct source s = { weir_vk_type(type), n_in, n_out, src };
	weir_status status = WEIR_OK;
	weir_buffer *b;

	if (!s.type)
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "the vulkan backend has no kernel for type %u; it knows %s",
				    type, weir_vk_type_names());
	if (!n_in || !n_out || n_in % s.type->block || n_in > UINT32_MAX || n_out > UINT32_MAX ||
	    !use)
		return weir_vk_fail(err, WEIR_E_INVALID,
				    "%s weights of %llu x %llu: rows must be whole blocks of %u",
				    s.type->name, (unsigned long long)n_out,
				    (unsigned long long)n_in, s.type->block);
	b = calloc(1, sizeof(*b));
	if (!b)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a weight");
	*b = (weir_buffer){
		.type = type, .use = use, .n_in = n_in, .n_out = n_out, .format = s.type->format
	};
	if (use & (WEIR_WEIGHT_MATRIX | WEIR_WEIGHT_TABLE))
		status = make_matrix(vk, b, &s, err);
	if (!status && use & WEIR_WEIGHT_VECTOR)
		status = make_vector(vk, b, &s, err);
	if (status) {
		weir_vk_buffer_free(instance, b);
		return status;
	}
	*ret = b;
	return WEIR_OK;
}

static weir_status head_words(uint32_t type, uint32_t block_tokens, uint32_t head_size,
			      uint64_t *ret, struct weir_error *err)
{
	uint64_t padded = ((uint64_t)head_size + 7) / 8 * 8;

	switch (type) {
	case WEIR_DTYPE_F32:
		*ret = padded * block_tokens;
		return WEIR_OK;
	case WEIR_DTYPE_F16:
	case WEIR_DTYPE_BF16:
		*ret = padded / 2 * block_tokens;
		return WEIR_OK;
	case WEIR_DTYPE_Q8_0:
		if (head_size % 32)
			return weir_vk_fail(err, WEIR_E_INVALID,
					    "a Q8_0 cache needs a head size that is a multiple of "
					    "32, not %u",
					    head_size);
		*ret = (padded / 4 + padded / 32) * block_tokens;
		return WEIR_OK;
	default:
		return weir_vk_fail(err, WEIR_E_UNSUPPORTED,
				    "the vulkan backend keeps KV caches in F16, BF16, Q8_0 or "
				    "F32, not in type %u",
				    type);
	}
}

weir_status weir_vk_kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
		       uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
		       weir_buffer **ret, struct weir_error *err)
{
	struct weir_vk *vk = weir_vk_of(instance);
	uint64_t words = 0, all;
	weir_status status;
	weir_buffer *b;

	if (!n_blocks || !n_heads || !block_tokens || block_tokens > 1u << 16 || !head_size ||
	    head_size > 1u << 12 || n_heads > 1u << 16)
		return weir_vk_fail(
			err, WEIR_E_INVALID,
			"KV cache of %u blocks of %u tokens, %u heads of %u: out of range",
			n_blocks, block_tokens, n_heads, head_size);
	status = head_words(type, block_tokens, head_size, &words, err);
	if (status)
		return status;
	/* Shaders count words with 32 bits. */
	if (__builtin_mul_overflow(words, n_heads, &words) ||
	    __builtin_mul_overflow(words, n_blocks, &all) || all > UINT32_MAX)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED,
				    "a KV cache of %u blocks is too large for the vulkan backend; "
				    "set context or kv_memory lower",
				    n_blocks);
	b = calloc(1, sizeof(*b));
	if (!b)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for a KV cache");
	*b = (weir_buffer){ .type = type,
			    .n_blocks = n_blocks,
			    .block_tokens = block_tokens,
			    .n_heads = n_heads,
			    .head_size = head_size,
			    .block_bytes = words * 4 };
	status = weir_vk_memory_new(vk, all * 4, WEIR_VK_PLACE_DEVICE, "a KV cache", &b->memory,
				    err);
	if (status) {
		free(b);
		return status;
	}
	b->address = b->memory.address;
	*ret = b;
	return WEIR_OK;
}

void weir_vk_buffer_free(struct weir_instance *instance, weir_buffer *b)
{
	struct weir_vk *vk = weir_vk_of(instance);

	if (!b)
		return;
	weir_vk_slab_give(vk, b->slab);
	weir_vk_slab_give(vk, b->vector_slab);
	weir_vk_memory_free(vk, &b->memory);
	free(b->values);
	free(b);
}
