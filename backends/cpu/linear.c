/* SPDX-License-Identifier: MIT */
/*
 * linear.c - the LINEAR step: which thread multiplies which groups of rows, in which order.
 *
 * A unit is an even number of groups (32 rows), so that a unit's results can be quantised at once.
 * Few rows of activations: each thread has a fixed share of each matrix, which it streams once.
 * Many: units are handed out as threads come, and are small enough to stay in the L2 cache while
 * all tiles of activations pass over them.
 */
#include "dequant.h"
#include "program.h"

enum { UNIT_BYTES = 384 * 1024, GROUPS = 4 };

/* Rows of the tile at row `first` of n. */
static unsigned tile_rows(uint32_t n, uint32_t first)
{
	return n - first < WEIR_CPU_TILE ? n - first : WEIR_CPU_TILE;
}

void weir_cpu_multiply(const struct weir_cpu *cpu, const weir_buffer *w, size_t g, size_t n_groups,
		       const void *tile, unsigned nc, float *out)
{
	const struct weir_cpu_kernels *kernels = cpu->kernels;
	const uint8_t *group = w->data + g * w->group_bytes;
	size_t n_in = (size_t)w->n_in;
	weir_cpu_quant_fn quant = kernels->quant[w->type];

	if (quant)
		quant(group, n_groups, w->group_bytes, n_in / 32, tile, nc, out);
	else if (w->type == WEIR_DTYPE_F32)
		kernels->f32(group, n_groups, w->group_bytes, n_in, 64, tile, nc, false, out);
	else if (w->type == WEIR_DTYPE_F16)
		kernels->f16(group, n_groups, w->group_bytes, n_in, 32, tile, nc, false, out);
	else
		kernels->bf16(group, n_groups, w->group_bytes, n_in, 32, tile, nc, false, out);
}

/* n_groups (1..GROUPS) groups from g on of w, times the tile at row `first`: out [group][nc][16] */
static void multiply(const weir_program *p, const struct weir_cpu_temp *src, const weir_buffer *w,
		     size_t g, size_t n_groups, uint32_t n, uint32_t first, float *out)
{
	const void *tile;

	if (weir_cpu_type(w->type)->quantised)
		tile = p->arena + src->q8 + first * (src->width / 32) * WEIR_CPU_RECORD;
	else if (n == 1)
		tile = weir_cpu_values(p, src);
	else
		tile = (const float *)(p->arena + src->packed) + first * src->width;
	weir_cpu_multiply(p->cpu, w, g, n_groups, tile, tile_rows(n, first), out);
}

/* Groups g .. end of matrix k, for every row. */
static void run_unit(weir_program *p, const struct weir_cpu_step *step,
		     const struct weir_cpu_temp *src, unsigned k, size_t g, size_t end)
{
	_Alignas(64) float y0[GROUPS * WEIR_CPU_TILE * 16], y1[GROUPS * WEIR_CPU_TILE * 16];
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *dst = &p->temps[op->dst[k]];
	const weir_buffer *w = p->temps[op->src[1 + k]].buffer, *up = NULL;
	const float *bias[2] = { NULL, NULL };
	uint32_t n = weir_cpu_rows(p, src);
	uint64_t from = g * 16, to = end * 16 < dst->width ? end * 16 : dst->width;
	struct weir_cpu_finish finish = {
		.scale = op->f[0], .softcap = op->f[1], .flags = op->flags, .stride = dst->width
	};

	if (op->flags & WEIR_LINEAR_GLU)
		up = p->temps[op->src[2]].buffer;
	for (unsigned m = 0; m < (up ? 2u : 1u); m++)
		if (op->src[4 + k + m] != WEIR_NO_TENSOR)
			bias[m] = p->temps[op->src[4 + k + m]].buffer->vector;
	for (uint32_t first = 0; first < n; first += WEIR_CPU_TILE) {
		unsigned nc = tile_rows(n, first);

		for (size_t i = g; i < end; i += GROUPS) {
			size_t n_groups = end - i < GROUPS ? end - i : GROUPS;

			multiply(p, src, w, i, n_groups, n, first, y0);
			if (up)
				multiply(p, src, up, i, n_groups, n, first, y1);
			for (size_t j = 0; j < n_groups; j++) {
				uint64_t row = (i + j) * 16;

				finish.n =
					dst->width - row < 16 ? (uint32_t)(dst->width - row) : 16;
				finish.bias[0] = bias[0] ? bias[0] + row : NULL;
				finish.bias[1] = bias[1] ? bias[1] + row : NULL;
				p->cpu->kernels->finish(
					&finish, y0 + j * nc * 16, y1 + j * nc * 16, nc,
					weir_cpu_values(p, dst) + first * dst->width + row);
			}
		}
	}
	if (step->emit_q8[k] || step->emit_packed[k])
		for (uint32_t t = 0; t < n; t++)
			weir_cpu_emit(p, step, k, t, from, to - from);
}

/* This thread's share of a matrix when there are few rows: groups g .. end. */
static void share(const weir_buffer *w, uint32_t thread, uint32_t n_threads, size_t *ret_g,
		  size_t *ret_end)
{
	size_t pairs = (w->n_groups + 1) / 2, end = pairs * (thread + 1) / n_threads * 2;

	*ret_g = pairs * thread / n_threads * 2;
	*ret_end = end < w->n_groups ? end : w->n_groups;
}

const uint8_t *weir_cpu_linear_first(const weir_program *p, const struct weir_cpu_step *step,
				     uint32_t thread, uint32_t n_threads, size_t *ret_bytes)
{
	const weir_buffer *w = p->temps[step->op.src[1]].buffer;
	size_t g, end;

	share(w, thread, n_threads, &g, &end);
	*ret_bytes = g < end ? (end - g) * w->group_bytes : 0;
	return w->data + g * w->group_bytes;
}

void weir_cpu_step_linear(weir_program *p, const struct weir_cpu_step *step,
			  const struct weir_cpu_temp *src, atomic_uint *next, uint32_t thread,
			  uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	unsigned n_matrices = op->flags & WEIR_LINEAR_GLU ? 1 : (unsigned)op->i[0], k;
	uint32_t n = weir_cpu_rows(p, src);
	size_t each[3], units[3], total = 0;

	if (!n)
		return;
	for (k = 0; k < n_matrices; k++) {
		const weir_buffer *w = p->temps[op->src[1 + k]].buffer;
		size_t pairs = (w->n_groups + 1) / 2, fit = UNIT_BYTES / 2 / w->group_bytes;

		if (n <= WEIR_CPU_TILE) {
			size_t g, end;

			share(w, thread, n_threads, &g, &end);
			if (g < end && !weir_cpu_interrupted(p))
				run_unit(p, step, src, k, g, end);
			continue;
		}
		/* at least eight units a thread, or of one pair */
		if (fit > pairs / (8 * n_threads))
			fit = pairs / (8 * n_threads);
		each[k] = fit ? fit : 1;
		units[k] = (pairs + each[k] - 1) / each[k];
		total += units[k];
	}
	if (n <= WEIR_CPU_TILE)
		return;
	for (;;) {
		size_t unit = atomic_fetch_add_explicit(next, 1, memory_order_relaxed), g, end;

		if (unit >= total || weir_cpu_interrupted(p))
			return;
		for (k = 0; unit >= units[k]; k++)
			unit -= units[k];
		g = unit * each[k] * 2;
		end = g + each[k] * 2;
		if (end > p->temps[op->src[1 + k]].buffer->n_groups)
			end = p->temps[op->src[1 + k]].buffer->n_groups;
		run_unit(p, step, src, k, g, end);
	}
}
