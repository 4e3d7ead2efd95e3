/* SPDX-License-Identifier: MIT */
/*
 * moe.c - the MOE step, in four: each token chooses its experts; their tokens are brought together
 * in tiles; gate and up; down. Called by program.c while a model loads, by run.c on all threads.
 *
 * Only matrices of experts that some token has chosen are read. A token's experts are added in the
 * order of their numbers, whoever else is in the batch, and a column of a tile does not depend on
 * its neighbours: a row's result is the same bits alone and in company.
 */
#include <math.h>
#include <string.h>

#include "dequant.h"
#include "program.h"

enum { GROUPS = 4 }; /* of 16 rows: a unit of work */

/* What the last of the ROUTE step's threads writes: pairs (token, expert) by expert. */
struct route {
	uint32_t n_pairs, n_active;
	uint32_t *active;  /* [i0] experts with tokens */
	uint32_t *first;   /* [i0 + 1] first pair of an expert */
	uint32_t *order;   /* [n_pairs] token * i1 + place among the token's experts */
	uint32_t *experts; /* [n_tokens][i1] */
	float *shares;     /* [n_tokens][i1] */
};

static size_t take(size_t *at, size_t bytes)
{
	size_t where = *at;

	*at += (bytes + 63) & ~(size_t)63;
	return where;
}

/* Where everything lies in the program's mixture area, for this op and so many rows at most. */
struct area {
	size_t head, active, first, order, experts, shares;
	size_t x_q8, x_packed, h, h_q8, h_packed, end;
};

static struct area lay_out(const weir_program *p, const struct weir_op *op, size_t rows)
{
	size_t n_in = (size_t)p->temps[op->src[0]].width, n_ff = (size_t)op->i[2];
	size_t pairs = rows * (size_t)op->i[1], at = 0;
	bool q8[3], any_q8, any_packed;
	struct area a;

	for (int m = 0; m < 3; m++)
		q8[m] = weir_cpu_type(p->temps[op->src[2 + m]].buffer->type)->quantised;
	any_q8 = q8[0] || q8[1];
	any_packed = !q8[0] || !q8[1];
	a.head = take(&at, 2 * sizeof(uint32_t));
	a.active = take(&at, (size_t)op->i[0] * sizeof(uint32_t));
	a.first = take(&at, ((size_t)op->i[0] + 1) * sizeof(uint32_t));
	a.order = take(&at, pairs * sizeof(uint32_t));
	a.experts = take(&at, pairs * sizeof(uint32_t));
	a.shares = take(&at, pairs * sizeof(float));
	a.x_q8 = take(&at, any_q8 ? pairs * (n_in / 32) * WEIR_CPU_RECORD : 0);
	a.x_packed = take(&at, any_packed ? pairs * n_in * sizeof(float) : 0);
	a.h = take(&at, pairs * n_ff * sizeof(float));
	a.h_q8 = take(&at, q8[2] ? pairs * (n_ff / 32) * WEIR_CPU_RECORD : 0);
	a.h_packed = take(&at, q8[2] ? 0 : pairs * n_ff * sizeof(float));
	a.end = at;
	return a;
}

bool weir_cpu_moe_bytes(const weir_program *p, const struct weir_op *op, size_t *ret)
{
	const struct weir_cpu_temp *src = &p->temps[op->src[0]];
	size_t rows = src->rows == WEIR_ROWS_OUT ? p->max_out : p->max_tokens;
	/* An upper bound of the sum in lay_out(), in a type that it cannot overflow. */
	double most = ((double)rows * op->i[1] * (6.0 * (double)src->width + 10.0 * op->i[2] + 64) +
		       8.0 * op->i[0] + 1024);

	if (most > (double)(SIZE_MAX / 4))
		return false;
	*ret = lay_out(p, op, rows).end;
	return true;
}

static struct route route_of(const weir_program *p, const struct area *a)
{
	uint8_t *base = p->arena + p->mixture;
	const uint32_t *head = (const uint32_t *)(base + a->head);

	return (struct route){ .n_pairs = head[0],
			       .n_active = head[1],
			       .active = (uint32_t *)(base + a->active),
			       .first = (uint32_t *)(base + a->first),
			       .order = (uint32_t *)(base + a->order),
			       .experts = (uint32_t *)(base + a->experts),
			       .shares = (float *)(base + a->shares) };
}

static struct area area_of(const weir_program *p, const struct weir_op *op)
{
	return lay_out(p, op, weir_cpu_rows(p, &p->temps[op->src[0]]));
}

/* The i1 largest logits, in the order of their experts' numbers, and their shares. */
static void choose(const struct weir_op *op, const float *logits, uint32_t *experts, float *shares)
{
	uint32_t n = (uint32_t)op->i[0], k = (uint32_t)op->i[1], n_chosen = 0;
	float max = -INFINITY, sum = 0, total = 0;

	for (uint32_t e = 0; e < n; e++)
		max = logits[e] > max ? logits[e] : max;
	for (uint32_t e = 0; e < n; e++)
		sum += expf(logits[e] - max);
	/* An insertion into the k best so far: an equal one stays behind the earlier. */
	for (uint32_t e = 0; e < n; e++) {
		uint32_t at = n_chosen;

		while (at > 0 && logits[e] > logits[experts[at - 1]])
			at--;
		if (at == k)
			continue;
		n_chosen += n_chosen < k;
		for (uint32_t i = n_chosen - 1; i > at; i--)
			experts[i] = experts[i - 1];
		experts[at] = e;
	}
	for (uint32_t i = 1; i < k; i++) {
		uint32_t e = experts[i], at = i;

		for (; at > 0 && experts[at - 1] > e; at--)
			experts[at] = experts[at - 1];
		experts[at] = e;
	}
	for (uint32_t i = 0; i < k; i++) {
		float z = logits[experts[i]];

		shares[i] = op->flags & WEIR_MOE_SIGMOID ? 1.0f / (1.0f + expf(-z))
							 : expf(z - max) / sum;
		total += shares[i];
	}
	for (uint32_t i = 0; op->flags & WEIR_MOE_NORM && i < k; i++)
		shares[i] /= total;
}

/* A counting sort: pairs by expert, within one by token. */
static void sort_pairs(const weir_program *p, const struct weir_op *op, const struct area *a,
		       uint32_t n_rows)
{
	struct route r = route_of(p, a);
	uint32_t *head = (uint32_t *)(p->arena + p->mixture + a->head);
	uint32_t n = n_rows * (uint32_t)op->i[1], n_active = 0;

	memset(r.first, 0, ((size_t)op->i[0] + 1) * sizeof(*r.first));
	for (uint32_t i = 0; i < n; i++)
		r.first[r.experts[i] + 1]++;
	for (uint32_t e = 0; e < (uint32_t)op->i[0]; e++) {
		if (r.first[e + 1] > 0)
			r.active[n_active++] = e;
		r.first[e + 1] += r.first[e];
	}
	/* first[e] moves to the end of e while it is filled, and back again after. */
	for (uint32_t i = 0; i < n; i++)
		r.order[r.first[r.experts[i]]++] = i;
	for (uint32_t e = (uint32_t)op->i[0]; e > 0; e--)
		r.first[e] = r.first[e - 1];
	r.first[0] = 0;
	head[0] = n;
	head[1] = n_active;
}

static void step_route(weir_program *p, const struct weir_op *op, atomic_uint *next,
		       uint32_t thread, uint32_t n_threads)
{
	const struct weir_cpu_temp *logits = &p->temps[op->src[1]];
	uint32_t n = weir_cpu_rows(p, logits);
	uint32_t t = (uint32_t)((uint64_t)n * thread / n_threads);
	uint32_t end = (uint32_t)((uint64_t)n * (thread + 1) / n_threads);
	struct area a = area_of(p, op);
	struct route r = route_of(p, &a);

	for (; t < end; t++)
		choose(op, weir_cpu_values(p, logits) + t * logits->width,
		       r.experts + (size_t)t * (uint32_t)op->i[1],
		       r.shares + (size_t)t * (uint32_t)op->i[1]);
	/* Whoever is last has everybody's choices before its eyes. */
	if (atomic_fetch_add_explicit(next, 1, memory_order_acq_rel) == n_threads - 1)
		sort_pairs(p, op, &a, n);
}

/* The tile of an expert that holds pair i: its first pair and its width. */
static uint32_t tile_of(const struct route *r, uint32_t expert, uint32_t i, unsigned *ret_nc)
{
	uint32_t first = r->first[expert], end = r->first[expert + 1];
	uint32_t tile = first + (i - first) / WEIR_CPU_TILE * WEIR_CPU_TILE;

	*ret_nc = end - tile < WEIR_CPU_TILE ? end - tile : WEIR_CPU_TILE;
	return tile;
}

static void step_gather(weir_program *p, const struct weir_op *op, uint32_t thread,
			uint32_t n_threads)
{
	const struct weir_cpu_temp *src = &p->temps[op->src[0]];
	size_t width = (size_t)src->width;
	struct area a = area_of(p, op);
	struct route r = route_of(p, &a);
	uint32_t i = (uint32_t)((uint64_t)r.n_pairs * thread / n_threads);
	uint32_t end = (uint32_t)((uint64_t)r.n_pairs * (thread + 1) / n_threads);
	uint8_t *base = p->arena + p->mixture;

	for (; i < end; i++) {
		uint32_t pair = r.order[i];
		const float *x =
			weir_cpu_values(p, src) + (size_t)(pair / (uint32_t)op->i[1]) * width;
		unsigned nc;
		uint32_t tile = tile_of(&r, r.experts[pair], i, &nc);

		if (a.x_packed > a.x_q8)
			p->cpu->kernels->quantize(x, width / 32,
						  base + a.x_q8 +
							  tile * (width / 32) * WEIR_CPU_RECORD,
						  nc, i - tile);
		if (a.h > a.x_packed)
			weir_cpu_pack(x, width, (float *)(base + a.x_packed) + tile * width, nc,
				      i - tile);
	}
}

/* After rows `from` .. of h: the form that down wants. */
static void form_h(weir_program *p, const struct weir_op *op, const struct area *a, uint32_t tile,
		   unsigned nc, size_t from, size_t n)
{
	size_t n_ff = (size_t)op->i[2];
	uint8_t *base = p->arena + p->mixture;
	const float *h = (const float *)(base + a->h) + tile * n_ff + from;

	for (unsigned c = 0; c < nc; c++, h += n_ff) {
		if (a->h_packed > a->h_q8)
			p->cpu->kernels->quantize(h, n / 32,
						  base + a->h_q8 +
							  (tile * (n_ff / 32) + from / 32 * nc) *
								  WEIR_CPU_RECORD,
						  nc, c);
		else
			weir_cpu_pack(h, n, (float *)(base + a->h_packed) + tile * n_ff + from * nc,
				      nc, c);
	}
}

static const void *x_tile(const weir_program *p, const struct weir_op *op, const struct area *a,
			  const weir_buffer *w, uint32_t tile)
{
	size_t width = (size_t)p->temps[op->src[0]].width;
	const uint8_t *base = p->arena + p->mixture;

	if (weir_cpu_type(w->type)->quantised)
		return base + a->x_q8 + tile * (width / 32) * WEIR_CPU_RECORD;
	return (const float *)(base + a->x_packed) + tile * width;
}

/* Gate and up of groups g .. end (of the expert's own) for all its tokens. */
static void run_up(weir_program *p, const struct weir_op *op, const struct area *a,
		   const struct route *r, uint32_t expert, size_t g, size_t end)
{
	_Alignas(64) float y[2][GROUPS * WEIR_CPU_TILE * 16];
	size_t n_ff = (size_t)op->i[2], at = expert * (n_ff / 16) + g, n = end - g;
	float *h = (float *)(p->arena + p->mixture + a->h);
	struct weir_cpu_finish finish = {
		.scale = 1.0f, .flags = op->flags | WEIR_LINEAR_GLU, .n = 16, .stride = n_ff
	};
	unsigned nc;

	for (uint32_t tile = r->first[expert]; tile < r->first[expert + 1]; tile += nc) {
		tile_of(r, expert, tile, &nc);
		for (int m = 0; m < 2; m++) {
			const weir_buffer *w = p->temps[op->src[2 + m]].buffer;

			weir_cpu_multiply(p->cpu, w, at, n, x_tile(p, op, a, w, tile), nc, y[m]);
		}
		for (size_t j = 0; j < n; j++)
			p->cpu->kernels->finish(&finish, y[0] + j * nc * 16, y[1] + j * nc * 16, nc,
						h + tile * n_ff + (g + j) * 16);
		form_h(p, op, a, tile, nc, g * 16, n * 16);
	}
}

static void step_up(weir_program *p, const struct weir_op *op, atomic_uint *next)
{
	struct area a = area_of(p, op);
	struct route r = route_of(p, &a);
	size_t groups = (size_t)op->i[2] / 16, each = (groups + GROUPS - 1) / GROUPS;

	for (;;) {
		size_t unit = atomic_fetch_add_explicit(next, 1, memory_order_relaxed), g, end;

		if (unit >= r.n_active * each || weir_cpu_interrupted(p))
			return;
		g = unit % each * GROUPS;
		end = g + GROUPS < groups ? g + GROUPS : groups;
		run_up(p, op, &a, &r, r.active[unit / each], g, end);
	}
}

/* Rows of down, groups g .. end: all experts one after the other, each to its tokens' rows. */
static void run_down(weir_program *p, const struct weir_op *op, const struct area *a,
		     const struct route *r, size_t g, size_t end)
{
	_Alignas(64) float y[GROUPS * WEIR_CPU_TILE * 16];
	const struct weir_cpu_temp *dst = &p->temps[op->dst[0]];
	const weir_buffer *w = p->temps[op->src[4]].buffer;
	size_t n_ff = (size_t)op->i[2], n = end - g;
	const uint8_t *base = p->arena + p->mixture;
	unsigned nc;

	for (uint32_t i = 0; i < r->n_active; i++) {
		uint32_t e = r->active[i];

		for (uint32_t tile = r->first[e]; tile < r->first[e + 1]; tile += nc) {
			const void *h =
				a->h_packed > a->h_q8
					? (const void *)(base + a->h_q8 +
							 tile * (n_ff / 32) * WEIR_CPU_RECORD)
					: (const float *)(base + a->h_packed) + tile * n_ff;

			tile_of(r, e, tile, &nc);
			weir_cpu_multiply(p->cpu, w, e * (size_t)(dst->width / 16) + g, n, h, nc,
					  y);
			for (unsigned c = 0; c < nc; c++) {
				uint32_t pair = r->order[tile + c];
				float share = op->f[0] * r->shares[pair];
				float *to = weir_cpu_values(p, dst) + g * 16 +
					    (size_t)(pair / (uint32_t)op->i[1]) * dst->width;

				for (size_t j = 0; j < n; j++)
					for (unsigned k = 0; k < 16; k++)
						to[j * 16 + k] += share * y[(j * nc + c) * 16 + k];
			}
		}
	}
}

static void step_down(weir_program *p, const struct weir_op *op, atomic_uint *next)
{
	struct area a = area_of(p, op);
	struct route r = route_of(p, &a);
	size_t groups = (size_t)p->temps[op->dst[0]].width / 16;

	for (;;) {
		size_t g =
			atomic_fetch_add_explicit(next, 1, memory_order_relaxed) * (size_t)GROUPS;

		if (g >= groups || weir_cpu_interrupted(p))
			return;
		run_down(p, op, &a, &r, g, g + GROUPS < groups ? g + GROUPS : groups);
	}
}

void weir_cpu_step_moe(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
		       uint32_t thread, uint32_t n_threads)
{
	const struct weir_op *op = &step->op;

	if (weir_cpu_rows(p, &p->temps[op->src[0]]) == 0)
		return;
	switch (step->code) {
	case WEIR_CPU_STEP_ROUTE:
		step_route(p, op, next, thread, n_threads);
		break;
	case WEIR_CPU_STEP_EXPERTS:
		step_gather(p, op, thread, n_threads);
		break;
	case WEIR_CPU_STEP_UP:
		step_up(p, op, next);
		break;
	case WEIR_OP_MOE:
		step_down(p, op, next);
		break;
	}
}
