/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - the device's memory: KV caches, and what weight.c has made. Called while a model
 * loads, on one worker thread.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "cpu.h"
#include "dequant.h"
#include "slab.h"

void *weir_cpu_map(size_t bytes, bool huge_pages)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (huge_pages)
		madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without it all works the same */
	return p;
}

void weir_cpu_unmap(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

weir_status weir_cpu_kv(struct weir_instance *instance, uint32_t type, uint32_t n_blocks,
			uint32_t block_tokens, uint32_t n_heads, uint32_t head_size,
			weir_buffer **ret, struct weir_error *err)
{
	struct weir_cpu *cpu = weir_cpu_of(instance);
	size_t keys, values;
	weir_buffer *b;
	char buf[16];

	if (type != WEIR_DTYPE_F32 && type != WEIR_DTYPE_F16 && type != WEIR_DTYPE_BF16 &&
	    type != WEIR_DTYPE_Q8_0)
		return weir_cpu_fail(
			err, WEIR_E_UNSUPPORTED,
			"the cpu backend keeps KV caches in F16, BF16, F32 or Q8_0, not in %s",
			weir_cpu_type_name(type, buf));
	if (type == WEIR_DTYPE_Q8_0 && head_size % 32)
		return weir_cpu_fail(
			err, WEIR_E_UNSUPPORTED,
			"a KV cache in Q8_0 needs a head size that is a multiple of 32, not %u; "
			"use f16",
			head_size);
	if (!n_blocks || !n_heads || !block_tokens || block_tokens > 1u << 16 || !head_size ||
	    head_size > 1u << 12 || n_heads > 1u << 16)
		return weir_cpu_fail(
			err, WEIR_E_INVALID,
			"KV cache of %u blocks of %u tokens, %u heads of %u: out of range",
			n_blocks, block_tokens, n_heads, head_size);
	b = calloc(1, sizeof(*b));
	if (!b)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a KV cache");
	*b = (weir_buffer){ .type = type,
			    .n_blocks = n_blocks,
			    .block_tokens = block_tokens,
			    .n_heads = n_heads,
			    .head_size = head_size };
	b->key_stride = (block_tokens + 15) & ~15u;
	b->dim_stride = (head_size + 15) & ~15u;
	if (type == WEIR_DTYPE_Q8_0) {
		b->head_bytes = (size_t)head_size / 32 * 34 * b->key_stride;
	} else {
		size_t size = type == WEIR_DTYPE_F32 ? 4 : 2;

		keys = (size_t)head_size * b->key_stride;
		values = (size_t)block_tokens * b->dim_stride;
		b->head_bytes = ((keys > values ? keys : values) * size + 63) & ~(size_t)63;
	}
	if (__builtin_mul_overflow(b->head_bytes, n_heads, &b->block_bytes) ||
	    __builtin_mul_overflow(b->block_bytes, n_blocks, &b->data_bytes)) {
		free(b);
		return weir_cpu_fail(err, WEIR_E_INVALID, "a KV cache is too large");
	}
	b->data = weir_cpu_map(b->data_bytes, cpu->huge_pages);
	if (!b->data) {
		weir_cpu_fail(
			err, WEIR_E_EXHAUSTED,
			"no memory for a KV cache of %zu bytes; set context or kv_memory lower",
			b->data_bytes);
		free(b);
		return WEIR_E_EXHAUSTED;
	}
	*ret = b;
	return WEIR_OK;
}

void weir_cpu_buffer_free(struct weir_instance *instance, weir_buffer *buffer)
{
	if (!buffer)
		return;
	if (buffer->use) /* a weight */
		weir_cpu_slab_return(weir_cpu_of(instance)->slabs, buffer->data);
	else
		weir_cpu_unmap(buffer->data, buffer->data_bytes);
	weir_cpu_slab_return(weir_cpu_of(instance)->slabs, buffer->table);
	free(buffer->vector);
	free(buffer);
}
