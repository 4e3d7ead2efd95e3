/* SPDX-License-Identifier: MIT */
/*
 * attention-packed.c - the ATTENTION_PACKED step: tokens attend to those of their sequence in the
 * same batch, without a cache. For encoders, and for decoders that only embed.
 *
 * Run by every thread of the pool. First keys and values are laid out by sequence and head, in
 * tiles of 16 tokens: keys as [dim][16], values as [token][dims]; then units of one KV head by a
 * few tokens go over all keys in runs of at most 64, with the online softmax of attention.c. All
 * borders count from the sequence's own first token, so a text's result depends neither on its
 * neighbours in the batch nor on the threads.
 */
#include <math.h>
#include <string.h>

#include "program.h"

enum { KEY_TILE = 16 };

struct sums {
	float m[WEIR_CPU_TILE], l[WEIR_CPU_TILE];
	float o[]; /* [dims / 16][nc][16] */
};

struct scratch {
	float q[WEIR_CPU_MAX_HEAD_SIZE * WEIR_CPU_TILE]; /* [dim][nc] */
	float scores[WEIR_CPU_KEYS * WEIR_CPU_TILE];     /* [keys / 16][nc][16] */
	float p[WEIR_CPU_KEYS * WEIR_CPU_TILE];          /* [key][nc] */
	int32_t first[WEIR_CPU_TILE], last[WEIR_CPU_TILE];
	struct sums sums; /* last: it has a tail */
};

static size_t n_groups_of(const struct weir_op *op)
{
	return ((size_t)op->i[2] + 15) / 16;
}

static uint32_t tiles_of(const struct weir_device_batch *b, uint32_t row)
{
	return (b->first[row + 1] - b->first[row] + KEY_TILE - 1) / KEY_TILE;
}

size_t weir_cpu_packed_scratch(uint32_t head_size)
{
	size_t n = sizeof(struct scratch) +
		   ((size_t)head_size + 15) / 16 * 16 * WEIR_CPU_TILE * sizeof(float);

	return (n + 63) & ~(size_t)63;
}

bool weir_cpu_packed_bytes(const struct weir_op *op, uint32_t max_tokens, uint32_t max_rows,
			   size_t *ret)
{
	/* Each sequence's last tile may be a token only. */
	size_t rows = max_rows < max_tokens ? max_rows : max_tokens;
	size_t tokens = (size_t)max_tokens + rows * (KEY_TILE - 1);
	size_t dims = (size_t)op->i[2] + n_groups_of(op) * 16;

	return !__builtin_mul_overflow(tokens, dims * (size_t)op->i[1] * sizeof(float), ret);
}

/* Where the tiles of a KV head begin: keys, then values. */
static float *keys_at(const weir_program *p, const struct weir_op *op, uint32_t head, uint32_t tile)
{
	return (float *)(p->arena + p->packed) +
	       ((size_t)head * p->n_tiles + tile) * KEY_TILE * (size_t)op->i[2];
}

static float *values_at(const weir_program *p, const struct weir_op *op, uint32_t head,
			uint32_t tile)
{
	size_t dims = n_groups_of(op) * 16;

	return keys_at(p, op, (uint32_t)op->i[1], 0) +
	       ((size_t)head * p->n_tiles + tile) * KEY_TILE * dims;
}

static void pack_tile(weir_program *p, const struct weir_op *op, uint32_t tile, uint32_t first,
		      uint32_t n)
{
	const struct weir_cpu_temp *k = &p->temps[op->src[1]], *v = &p->temps[op->src[2]];
	size_t size = (size_t)op->i[2], dims = n_groups_of(op) * 16;

	for (uint32_t h = 0; h < (uint32_t)op->i[1]; h++) {
		float *keys = keys_at(p, op, h, tile), *values = values_at(p, op, h, tile);

		for (uint32_t t = 0; t < n; t++) {
			const float *x = weir_cpu_values(p, k) + (first + t) * k->width + h * size;

			for (size_t d = 0; d < size; d++)
				keys[d * KEY_TILE + t] = x[d];
			memcpy(values + t * dims,
			       weir_cpu_values(p, v) + (first + t) * v->width + h * size,
			       size * sizeof(float));
			memset(values + t * dims + size, 0, (dims - size) * sizeof(float));
		}
		for (uint32_t t = n; t < KEY_TILE; t++)
			for (size_t d = 0; d < size; d++)
				keys[d * KEY_TILE + t] = 0;
	}
}

static void pack(weir_program *p, const struct weir_op *op, uint32_t thread, uint32_t n_threads)
{
	const struct weir_device_batch *b = p->batch;

	for (uint32_t r = 0; r < b->n_rows; r++) {
		uint32_t n = b->first[r + 1] - b->first[r];

		for (uint32_t i = 0; i < tiles_of(b, r); i++) {
			uint32_t left = n - i * KEY_TILE, tile = p->row_tile[r] + i;

			if (tile % n_threads == thread)
				pack_tile(p, op, tile, b->first[r] + i * KEY_TILE,
					  left < KEY_TILE ? left : KEY_TILE);
		}
	}
}

/* Some heads of one KV head by some tokens of one sequence. */
struct unit {
	struct weir_cpu_piece piece;
	uint32_t kv_head, head, n_heads;
	unsigned nc;
	int32_t low, high; /* keys that any column sees, as numbers within the sequence */
};

static struct unit unit_at(const weir_program *p, const struct weir_cpu_step *step, uint32_t index,
			   struct scratch *s)
{
	const struct weir_op *op = &step->op;
	const uint32_t *first = p->batch->first;
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t slices = (group + width - 1) / width, n_kv = (uint32_t)op->i[1], slice;
	struct unit u = { .piece = p->tilings[step->tiling].pieces[index / (n_kv * slices)] };
	int32_t end = (int32_t)(first[u.piece.row + 1] - first[u.piece.row]);

	u.kv_head = index / slices % n_kv;
	slice = index % slices;
	u.head = u.kv_head * group + slice * width;
	u.n_heads = group - slice * width < width ? group - slice * width : width;
	u.nc = u.n_heads * u.piece.count;
	u.low = end;
	for (unsigned c = 0; c < u.nc; c++) {
		int32_t at = (int32_t)(u.piece.first - first[u.piece.row] + c / u.n_heads);
		int32_t before = op->i[3] == 0 ? at : op->i[4] ? op->i[3] - 1 : op->i[3] / 2;
		int32_t after = op->i[4] ? 0 : op->i[3] == 0 ? end : op->i[3] / 2;

		s->first[c] = at > before ? at - before : 0;
		s->last[c] = after < end - 1 - at ? at + after : end - 1;
		u.low = s->first[c] < u.low ? s->first[c] : u.low;
		u.high = s->last[c] > u.high ? s->last[c] : u.high;
	}
	return u;
}

static void load_q(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s)
{
	const struct weir_cpu_temp *q = &p->temps[op->src[0]];
	size_t size = (size_t)op->i[2];

	for (unsigned c = 0; c < u->nc; c++) {
		const float *x = weir_cpu_values(p, q) +
				 (u->piece.first + c / u->n_heads) * q->width +
				 (u->head + c % u->n_heads) * size;

		for (size_t d = 0; d < size; d++)
			s->q[d * u->nc + c] = x[d] * op->f[0];
	}
}

static void attend(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s)
{
	const struct weir_cpu_kernels *kernels = p->cpu->kernels;
	size_t size = (size_t)op->i[2], n_o = n_groups_of(op);
	struct weir_cpu_softmax softmax = {
		.softcap = op->f[1], .nc = u->nc, .first = s->first, .last = s->last
	};

	for (unsigned c = 0; c < u->nc; c++) {
		s->sums.m[c] = -INFINITY;
		s->sums.l[c] = 0;
	}
	memset(s->sums.o, 0, n_o * u->nc * 16 * sizeof(float));
	for (int32_t key0 = u->low - u->low % (int32_t)WEIR_CPU_KEYS; key0 <= u->high;
	     key0 += (int32_t)WEIR_CPU_KEYS) {
		int32_t n = u->high + 1 - key0;
		uint32_t tile = p->row_tile[u->piece.row] + (uint32_t)key0 / KEY_TILE;

		n = n < (int32_t)WEIR_CPU_KEYS ? n : (int32_t)WEIR_CPU_KEYS;
		softmax.key0 = key0;
		softmax.end = key0 + n;
		softmax.n_groups = ((uint32_t)n + KEY_TILE - 1) / KEY_TILE;
		kernels->f32((const uint8_t *)keys_at(p, op, u->kv_head, tile), softmax.n_groups,
			     size * KEY_TILE * sizeof(float), size, KEY_TILE * sizeof(float), s->q,
			     u->nc, false, s->scores);
		kernels->softmax(&softmax, s->scores, s->p, s->sums.m, s->sums.l, s->sums.o, n_o);
		kernels->f32((const uint8_t *)values_at(p, op, u->kv_head, tile), n_o,
			     16 * sizeof(float), (size_t)n, n_o * 16 * sizeof(float), s->p, u->nc,
			     true, s->sums.o);
	}
}

static void store(weir_program *p, const struct weir_cpu_step *step, const struct unit *u,
		  const struct sums *x)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *dst = &p->temps[op->dst[0]];
	size_t size = (size_t)op->i[2];

	for (unsigned c = 0; c < u->nc; c++) {
		uint32_t t = u->piece.first + c / u->n_heads;
		float *y = weir_cpu_values(p, dst) + t * dst->width +
			   (u->head + c % u->n_heads) * size;
		float inverse = 1.0f / x->l[c];

		for (size_t d = 0; d < size; d++)
			y[d] = x->o[(d / 16 * u->nc + c) * 16 + d % 16] * inverse;
	}
	for (uint32_t i = 0; i < u->piece.count; i++)
		weir_cpu_emit(p, step, 0, u->piece.first + i, u->head * size, u->n_heads * size);
}

void weir_cpu_packed_begin(weir_program *p, const struct weir_device_batch *batch)
{
	p->n_tiles = 0;
	for (uint32_t r = 0; r < batch->n_rows; r++) {
		p->row_tile[r] = p->n_tiles;
		p->n_tiles += tiles_of(batch, r);
	}
}

void weir_cpu_step_packed(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			  uint32_t thread, uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	struct scratch *s = (struct scratch *)(p->arena + p->scratch + thread * p->scratch_bytes);
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t n_units = p->tilings[step->tiling].n_pieces * (uint32_t)op->i[1] *
			   ((group + width - 1) / width),
		 i;

	pack(p, op, thread, n_threads);
	weir_cpu_barrier(p);
	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < n_units &&
	       !weir_cpu_interrupted(p)) {
		struct unit u = unit_at(p, step, i, s);

		load_q(p, op, &u, s);
		attend(p, op, &u, s);
		store(p, step, &u, &s->sums);
	}
}
