/* SPDX-License-Identifier: MIT */
/*
 * lora.c - adapters: the LORA step, in two (down to the rank, up again), and the GLU step. Called
 * by run.c on all threads.
 *
 * Steps of adapters that no row has are passed over by run.c, barriers included. Tokens of an
 * adapter are taken in tiles of neighbours; a column of a tile does not depend on the others.
 */
#include <string.h>

#include "dequant.h"
#include "program.h"

/* Bytes of a tile of 16 rows of `width` in either form. */
static size_t tile_bytes(uint64_t width)
{
	return (size_t)(width * WEIR_CPU_TILE * sizeof(float) + 63) & ~(size_t)63;
}

size_t weir_cpu_lora_scratch(const weir_program *p, const struct weir_op *op)
{
	const weir_buffer *a = p->temps[op->src[1]].buffer;
	uint64_t most = a->n_in > a->n_out ? a->n_in : a->n_out;

	return tile_bytes(most);
}

/* A x of a row, for this step. */
static float *low_of(const weir_program *p, const struct weir_cpu_step *step, uint32_t row)
{
	return (float *)(p->arena + p->low) + (size_t)row * p->low_width + step->low;
}

static uint32_t sequence_of(const weir_program *p, const struct weir_cpu_temp *temp, uint32_t row)
{
	uint32_t token = temp->rows == WEIR_ROWS_OUT ? p->batch->out_row[row] : row;

	return (uint32_t)p->batch->row[token];
}

/* The next tile of rows that have the adapter, from *at on; 0: no more. */
static unsigned next_tile(const weir_program *p, const struct weir_op *op, uint32_t *at,
			  uint32_t rows[WEIR_CPU_TILE])
{
	const struct weir_cpu_temp *src = &p->temps[op->src[0]];
	uint32_t n = weir_cpu_rows(p, src);
	unsigned nc = 0;

	for (; *at < n && nc < WEIR_CPU_TILE; (*at)++)
		if (p->batch->adapter[sequence_of(p, src, *at)] == (uint32_t)op->i[0])
			rows[nc++] = *at;
	return nc;
}

/* Rows x of `width` (row r at x + r * stride) as a tile in the form that w wants. */
static const void *make_tile(const weir_program *p, const weir_buffer *w, uint32_t thread,
			     const float *x, size_t stride, const uint32_t *rows, unsigned nc)
{
	uint8_t *tile = p->arena + p->scratch + thread * p->scratch_bytes;

	for (unsigned c = 0; c < nc; c++) {
		if (weir_cpu_type(w->type)->quantised)
			p->cpu->kernels->quantize(x + rows[c] * stride, (size_t)w->n_in / 32, tile,
						  nc, c);
		else
			weir_cpu_pack(x + rows[c] * stride, (size_t)w->n_in, (float *)tile, nc, c);
	}
	return tile;
}

void weir_cpu_step_lora(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			uint32_t n_threads)
{
	_Alignas(64) float y[WEIR_CPU_TILE * 16];
	const struct weir_op *op = &step->op;
	bool down = step->code == WEIR_CPU_STEP_LORA_DOWN;
	const struct weir_cpu_temp *src = &p->temps[op->src[0]], *dst = &p->temps[op->dst[0]];
	const weir_buffer *w = p->temps[op->src[down ? 1 : 2]].buffer;
	size_t g = w->n_groups * thread / n_threads, end = w->n_groups * (thread + 1) / n_threads;
	uint32_t rows[WEIR_CPU_TILE], at = 0;
	unsigned nc;

	if (g == end)
		return;
	while ((nc = next_tile(p, op, &at, rows)) > 0 && !weir_cpu_interrupted(p)) {
		const void *tile =
			make_tile(p, w, thread, down ? weir_cpu_values(p, src) : low_of(p, step, 0),
				  down ? (size_t)src->width : p->low_width, rows, nc);

		for (size_t i = g; i < end; i++) {
			size_t left = (size_t)w->n_out - i * 16, n = left < 16 ? left : 16;

			weir_cpu_multiply(p->cpu, w, i, 1, tile, nc, y);
			for (unsigned c = 0; c < nc; c++) {
				const float *from = y + c * 16;
				float *to = down ? low_of(p, step, rows[c]) + i * 16
						 : weir_cpu_values(p, dst) + rows[c] * dst->width +
							    i * 16;

				if (down)
					memcpy(to, from, n * sizeof(*to));
				for (size_t k = 0; !down && k < n; k++)
					to[k] += op->f[0] * from[k];
			}
		}
	}
}

void weir_cpu_step_glu(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		       uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *dst = &p->temps[op->dst[0]], *up = NULL;
	uint32_t n = weir_cpu_rows(p, dst);
	uint32_t t = (uint32_t)((uint64_t)n * thread / n_threads);
	uint32_t end = (uint32_t)((uint64_t)n * (thread + 1) / n_threads);
	struct weir_cpu_finish finish = { .scale = 1.0f, .flags = op->flags, .stride = dst->width };

	if (op->src[1] != WEIR_NO_TENSOR) {
		up = &p->temps[op->src[1]];
		finish.flags |= WEIR_LINEAR_GLU;
	}
	for (; t < end; t++) {
		size_t row = t * (size_t)dst->width;
		const float *x = weir_cpu_values(p, &p->temps[op->src[0]]) + row;
		float *y = weir_cpu_values(p, dst) + row;

		for (size_t i = 0; i < dst->width; i += 16) {
			_Alignas(64) float a[16] = { 0 }, b[16] = { 0 };

			finish.n = dst->width - i < 16 ? (uint32_t)(dst->width - i) : 16;
			memcpy(a, x + i, finish.n * sizeof(*a));
			if (up)
				memcpy(b, weir_cpu_values(p, up) + row + i, finish.n * sizeof(*b));
			p->cpu->kernels->finish(&finish, a, b, 1, y + i);
		}
		weir_cpu_emit(p, step, 0, t, 0, dst->width);
	}
}
