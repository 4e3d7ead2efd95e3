/* SPDX-License-Identifier: MIT */
/*
 * weight.c - weights into their final layout: matrices in groups of rows, tables, vectors.
 *
 * Called while a model loads, on one worker thread; the whole pool reads and converts, a piece of
 * the rows at a time, so that a piece is still in the processor's cache when it is converted.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "dequant.h"
#include "repack.h"
#include "slab.h"

#define PIECE_BYTES ((size_t)256 << 10) /* of the source, about */

/* Bytes that are in memory already. */
struct memory_source {
	struct weir_source base; /* first */
	const uint8_t *data;
};

static weir_status read_memory(const struct weir_source *base, uint64_t at, void *ret, size_t n,
			       struct weir_error *err)
{
	memcpy(ret, ((const struct memory_source *)(const void *)base)->data + at, n);
	return WEIR_OK;
}

/* n pieces of work for the pool. */
struct making {
	struct weir_cpu *cpu;
	weir_buffer *buffer;
	const struct weir_source *src;
	size_t rows_each; /* of a matrix: whole groups */
	uint64_t n;       /* pieces */
	uint8_t *scratch; /* of thread t: at t * scratch_bytes */
	size_t scratch_bytes;
	weir_status (*piece)(struct making *m, uint64_t i, uint8_t *scratch,
			     struct weir_error *err);
	atomic_uint_fast64_t next;
	atomic_int status;
	struct weir_error why; /* of who set the status */
};

/* While a model loads, that is before the first run. */
static weir_status go_on(const struct weir_cpu *cpu, struct weir_error *err)
{
	if (cpu->has_run || !atomic_load(&cpu->interrupted))
		return WEIR_OK;
	return weir_cpu_fail(err, WEIR_E_CANCELLED, "the load was interrupted");
}

static void make_pieces(void *data, uint32_t thread, uint32_t n_threads)
{
	struct making *m = data;
	uint8_t *scratch = m->scratch + thread * m->scratch_bytes;

	while (atomic_load(&m->status) == WEIR_OK) {
		uint64_t i = atomic_fetch_add(&m->next, 1);
		struct weir_error why = { 0 };
		int none = WEIR_OK;
		weir_status s;

		if (i >= m->n)
			break;
		s = go_on(m->cpu, &why);
		if (s == WEIR_OK)
			s = m->piece(m, i, scratch, &why);
		if (s != WEIR_OK && atomic_compare_exchange_strong(&m->status, &none, s))
			m->why = why;
	}
}

static weir_status make(struct making *m, struct weir_error *err)
{
	size_t bytes;

	if (m->scratch_bytes &&
	    (__builtin_mul_overflow(m->scratch_bytes, weir_pool_n_threads(m->cpu->pool), &bytes) ||
	     !(m->scratch = malloc(bytes))))
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory to read a weight");
	if (m->n > 1)
		weir_pool_run(m->cpu->pool, make_pieces, m);
	else
		make_pieces(m, 0, 1);
	free(m->scratch);
	if (atomic_load(&m->status) != WEIR_OK && err)
		*err = m->why;
	return atomic_load(&m->status);
}

static weir_status matrix_piece(struct making *m, uint64_t i, uint8_t *scratch,
				struct weir_error *err)
{
	weir_buffer *b = m->buffer;
	uint64_t row = i * m->rows_each, end = row + m->rows_each;
	weir_status s;

	end = end < b->n_out ? end : b->n_out;
	s = m->src->read(m->src, row * b->src_row, scratch, (size_t)(end - row) * b->src_row, err);
	for (; s == WEIR_OK && row < end; row += 16, scratch += 16 * b->src_row)
		weir_cpu_repack(b->type, scratch, b->src_row,
				end - row < 16 ? (unsigned)(end - row) : 16, b->n_in,
				b->data + row / 16 * b->group_bytes);
	return s;
}

static weir_status make_matrix(struct making *m, struct weir_error *err)
{
	weir_buffer *b = m->buffer;
	size_t group;

	b->group_bytes = weir_cpu_group_bytes(b->type, b->n_in);
	b->n_groups = (size_t)((b->n_out + 15) / 16);
	if (!b->group_bytes ||
	    __builtin_mul_overflow(b->group_bytes, b->n_groups, &b->data_bytes) ||
	    __builtin_mul_overflow(b->src_row, (size_t)16, &group))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a matrix of %llu x %llu is too large",
				     (unsigned long long)b->n_out, (unsigned long long)b->n_in);
	b->data = weir_cpu_slab_take(m->cpu->slabs, b->data_bytes);
	if (!b->data)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED,
				     "no memory for a matrix of %zu bytes; use a smaller model or "
				     "quantisation",
				     b->data_bytes);
	m->rows_each = (PIECE_BYTES / group + 1) * 16;
	m->scratch_bytes = m->rows_each * b->src_row;
	m->n = (b->n_out + m->rows_each - 1) / m->rows_each;
	m->piece = matrix_piece;
	return make(m, err);
}

bool weir_cpu_keeps_table(uint32_t type, uint32_t use)
{
	return use & WEIR_WEIGHT_TABLE && !(use & WEIR_WEIGHT_MATRIX && weir_cpu_unpacks(type));
}

static weir_status table_piece(struct making *m, uint64_t i, uint8_t *scratch,
			       struct weir_error *err)
{
	const weir_buffer *b = m->buffer;
	size_t all = (size_t)b->n_out * b->src_row, at = (size_t)i * PIECE_BYTES;

	return m->src->read(m->src, at, b->table + at,
			    all - at < PIECE_BYTES ? all - at : PIECE_BYTES, err);
}

/* A table whose rows cannot be read out of a matrix. */
static weir_status make_table(struct making *m, struct weir_error *err)
{
	weir_buffer *b = m->buffer;
	size_t bytes;

	if (__builtin_mul_overflow(b->src_row, (size_t)b->n_out, &bytes))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a table of %llu x %llu is too large",
				     (unsigned long long)b->n_out, (unsigned long long)b->n_in);
	b->table = weir_cpu_slab_take(m->cpu->slabs, bytes);
	if (!b->table)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED,
				     "no memory for a table of %zu bytes; use a smaller model or "
				     "quantisation",
				     bytes);
	m->n = (bytes + PIECE_BYTES - 1) / PIECE_BYTES;
	m->piece = table_piece;
	return make(m, err);
}

static weir_status vector_piece(struct making *m, uint64_t i, uint8_t *scratch,
				struct weir_error *err)
{
	weir_buffer *b = m->buffer;
	const struct weir_cpu_type *type = weir_cpu_type(b->type);
	weir_status s = m->src->read(m->src, i * b->src_row, scratch, b->src_row, err);

	if (s == WEIR_OK)
		type->row(scratch, (size_t)(b->n_in / type->block), b->vector + i * b->n_in);
	return s;
}

static weir_status make_vector(struct making *m, struct weir_error *err)
{
	weir_buffer *b = m->buffer;
	uint64_t n;

	if (__builtin_mul_overflow(b->n_in, b->n_out, &n) || n > SIZE_MAX / sizeof(float))
		return weir_cpu_fail(err, WEIR_E_INVALID, "a vector is too large");
	b->vector = malloc((size_t)n * sizeof(float));
	if (!b->vector)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for a vector of %llu floats",
				     (unsigned long long)n);
	m->n = b->n_out;
	m->scratch_bytes = b->src_row;
	m->piece = vector_piece;
	return make(m, err);
}

weir_status weir_cpu_weight_from(struct weir_instance *instance, uint32_t type, uint64_t n_in,
				 uint64_t n_out, uint32_t use, const struct weir_source *src,
				 weir_buffer **ret, struct weir_error *err)
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
	*b = (weir_buffer){ .type = type, .use = use, .n_in = n_in, .n_out = n_out };
	b->src_row = (size_t)(n_in / t->block * t->bytes);
	if (use & WEIR_WEIGHT_MATRIX)
		status = make_matrix(&(struct making){ .cpu = cpu, .buffer = b, .src = src }, err);
	if (!status && weir_cpu_keeps_table(type, use))
		status = make_table(&(struct making){ .cpu = cpu, .buffer = b, .src = src }, err);
	if (!status && use & WEIR_WEIGHT_VECTOR)
		status = make_vector(&(struct making){ .cpu = cpu, .buffer = b, .src = src }, err);
	if (status) {
		weir_cpu_buffer_free(instance, b);
		return status;
	}
	*ret = b;
	return WEIR_OK;
}

weir_status weir_cpu_weight(struct weir_instance *instance, uint32_t type, uint64_t n_in,
			    uint64_t n_out, uint32_t use, const void *src, weir_buffer **ret,
			    struct weir_error *err)
{
	const struct memory_source memory = { { .size = sizeof(memory.base), .read = read_memory },
					      src };

	return weir_cpu_weight_from(instance, type, n_in, n_out, use, &memory.base, ret, err);
}
