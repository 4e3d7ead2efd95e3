/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - the device's memory: weights in their final layout, KV caches.
 *
 * Called while a model loads, on one worker thread; weights are converted by the whole pool.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu.h"
#include "dequant.h"
#include "repack.h"

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

struct conversion {
	weir_buffer *buffer;
	size_t groups_each;
	const struct weir_cpu *cpu;
};

/* While a model loads, that is before the first run. */
static bool is_interrupted(const struct weir_cpu *cpu)
{
	return !cpu->has_run && atomic_load(&cpu->interrupted);
}

static void convert_groups(void *data, uint32_t i)
{
	struct conversion *conversion = data;
	weir_buffer *b = conversion->buffer;
	size_t g = i * conversion->groups_each, end = g + conversion->groups_each;

	for (; g < end && g < b->n_groups && !is_interrupted(conversion->cpu); g++) {
		uint64_t first = g * 16, left = b->n_out - first;

		weir_cpu_repack(b->type, b->src + first * b->src_row, b->src_row,
				left < 16 ? (unsigned)left : 16, b->n_in,
				b->data + g * b->group_bytes);
	}
}

static weir_status make_matrix(struct weir_cpu *cpu, weir_buffer *b, struct weir_error *err)
{
	struct conversion conversion = { b, 1, cpu };
	size_t n;

	b->group_bytes = weir_cpu_group_bytes(b->type, b->n_in);
	b->n_groups = (size_t)((b->n_out + 15) / 16);
	if (!b->group_bytes || __builtin_mul_overflow(b->group_bytes, b->n_groups, &b->data_bytes))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a matrix of %llu x %llu is too large",
				     (unsigned long long)b->n_out, (unsigned long long)b->n_in);
	b->data = weir_cpu_slab_take(cpu->slabs, b->data_bytes);
	if (!b->data)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED,
				     "no memory for a matrix of %zu bytes; use a smaller model or "
				     "quantisation",
				     b->data_bytes);
	conversion.groups_each = b->n_groups / 4096 + 1;
	n = (b->n_groups + conversion.groups_each - 1) / conversion.groups_each;
	weir_pool_each(cpu->pool, (uint32_t)n, convert_groups, &conversion);
	if (is_interrupted(cpu))
		return weir_cpu_fail(err, WEIR_E_CANCELLED, "the load was interrupted");
	return WEIR_OK;
}

static weir_status make_vector(weir_buffer *b, const struct weir_cpu_type *type,
			       struct weir_error *err)
{
	uint64_t n;

	if (__builtin_mul_overflow(b->n_in, b->n_out, &n) || n > SIZE_MAX / sizeof(float))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a vector is too large");
	b->vector = malloc((size_t)n * sizeof(float));
	if (!b->vector)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a vector of %llu floats",
				     (unsigned long long)n);
	for (uint64_t r = 0; r < b->n_out; r++)
		type->row(b->src + r * b->src_row, (size_t)(b->n_in / type->block),
			  b->vector + r * b->n_in);
	return WEIR_OK;
}

weir_status weir_cpu_weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			    uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			    struct weir_error *err)
{
	struct weir_cpu *cpu = weir_cpu_of(instance);
	const struct weir_cpu_type *t = weir_cpu_type(type);
	weir_status status = WEIR_OK;
	weir_buffer *b;
	char buf[16];

	if (!t)
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
				     "the cpu backend has no kernel for %s weights; it "
				     "knows " WEIR_CPU_TYPE_NAMES,
				     weir_cpu_type_name(type, buf));
	if (!n_in || !n_out || n_in % t->block || n_in > UINT32_MAX || n_out > UINT32_MAX)
		return weir_cpu_fail(err, WEIR_E_INVALID,
				     "%s weights of %llu x %llu: rows must be whole blocks of %u",
				     t->name, (unsigned long long)n_out, (unsigned long long)n_in,
				     t->block);
	if (!(use & (WEIR_WEIGHT_MATRIX | WEIR_WEIGHT_TABLE | WEIR_WEIGHT_VECTOR)))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a weight without use");
	b = calloc(1, sizeof(*b));
	if (!b)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a weight");
	*b = (weir_buffer){ .type = type, .use = use, .n_in = n_in, .n_out = n_out, .src = src };
	b->src_row = (size_t)(n_in / t->block * t->bytes);
	if (use & WEIR_WEIGHT_MATRIX)
		status = make_matrix(cpu, b, err);
	if (!status && (use & WEIR_WEIGHT_VECTOR))
		status = make_vector(b, t, err);
	if (status) {
		weir_cpu_buffer_free(instance, b);
		return status;
	}
	*ret = b;
	return WEIR_OK;
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
	free(buffer->vector);
	free(buffer);
}
