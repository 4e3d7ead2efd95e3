/* SPDX-License-Identifier: MIT */
/*
 * attention.c - the ROPE_KV and ATTENTION steps over the paged cache.
 *
 * Keys lie as [dim][token] within a block and head, values as [token][dim], so that both products
 * are those of kernel-float.h: 16 keys (16 dims) in the lanes, and as columns all heads of one KV
 * head by a few tokens. Softmax is online (Milakov & Gimelshein 2018) over runs of at most 64 keys;
 * partial results of fixed chunks of positions are merged in ascending order, whether one thread
 * did them all or several shared a long context (Dao et al. 2023, "Flash-Decoding"). All borders
 * are at fixed positions, so a token's result depends neither on its batch nor on the threads.
 */
#include <math.h>
#include <string.h>

#include "program.h"

struct partial {
	float m[WEIR_CPU_TILE], l[WEIR_CPU_TILE];
	float o[]; /* [dims / 16][nc][16] */
};

struct scratch {
	float q[WEIR_CPU_MAX_HEAD_SIZE * WEIR_CPU_TILE]; /* [dim][nc] */
	float scores[WEIR_CPU_KEYS * WEIR_CPU_TILE];     /* [keys / 16][nc][16] */
	float p[WEIR_CPU_KEYS * WEIR_CPU_TILE];          /* [key][nc] */
	int32_t first[WEIR_CPU_TILE], last[WEIR_CPU_TILE];
	/* then two struct partial */
};

static size_t round64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

size_t weir_cpu_attention_partial(uint32_t head_size)
{
	size_t dims = (head_size + 15) / 16;

	return round64(sizeof(struct partial) + dims * 16 * WEIR_CPU_TILE * sizeof(float));
}

size_t weir_cpu_attention_scratch(uint32_t head_size)
{
	return round64(sizeof(struct scratch)) + 2 * weir_cpu_attention_partial(head_size);
}

/* Some heads of one KV head by some tokens of one sequence. */
struct unit {
	struct weir_cpu_piece piece;
	uint32_t kv_head, head, n_heads; /* first query head, and how many */
	unsigned nc;
	int32_t low, high; /* positions that any column sees */
};

static struct unit unit_at(const weir_program *p, const struct weir_cpu_step *step, uint32_t index)
{
	const struct weir_op *op = &step->op;
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t slices = (group + width - 1) / width, n_kv = (uint32_t)op->i[1], slice;
	struct unit u = { .piece = p->tilings[step->tiling].pieces[index / (n_kv * slices)] };

	u.kv_head = index / slices % n_kv;
	slice = index % slices;
	u.head = u.kv_head * group + slice * width;
	u.n_heads = group - slice * width < width ? group - slice * width : width;
	u.nc = u.n_heads * u.piece.count;
	u.low = op->i[3] ? p->batch->pos[u.piece.first] - op->i[3] + 1 : 0;
	u.low = u.low < 0 ? 0 : u.low;
	u.high = p->batch->pos[u.piece.first + u.piece.count - 1];
	return u;
}

/* q of the unit, scaled, as [dim][nc], and each column's visible positions. Column: token by
 * head. */
static void load_q(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s)
{
	const struct weir_cpu_temp *q = &p->temps[op->src[0]];
	size_t size = (size_t)op->i[2];

	for (unsigned c = 0; c < u->nc; c++) {
		uint32_t t = u->piece.first + c / u->n_heads;
		const float *x =
			weir_cpu_values(p, q) + t * q->width + (u->head + c % u->n_heads) * size;

		for (size_t d = 0; d < size; d++)
			s->q[d * u->nc + c] = x[d] * op->f[0];
		s->last[c] = p->batch->pos[t];
		s->first[c] = op->i[3] ? p->batch->pos[t] - op->i[3] + 1 : 0;
	}
}

static void clear(struct partial *x, unsigned nc, size_t n_o)
{
	for (unsigned c = 0; c < nc; c++) {
		x->m[c] = -INFINITY;
		x->l[c] = 0;
	}
	memset(x->o, 0, n_o * nc * 16 * sizeof(float));
}

/* The unit's attention over positions from .. to (exclusive) alone. */
static void attend(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s, int32_t from, int32_t to, struct partial *out)
{
	const struct weir_cpu_kernels *kernels = p->cpu->kernels;
	const weir_buffer *keys = p->temps[op->src[1]].buffer,
			  *values = p->temps[op->src[2]].buffer;
	const uint32_t *blocks = p->batch->blocks + (size_t)u->piece.row * p->batch->block_stride;
	size_t size = keys->type == WEIR_DTYPE_F32 ? 4 : 2, n_o = values->dim_stride / 16;
	int32_t block_tokens = (int32_t)keys->block_tokens;
	weir_cpu_float_fn product = keys->type == WEIR_DTYPE_F32   ? kernels->f32
				    : keys->type == WEIR_DTYPE_F16 ? kernels->f16
								   : kernels->bf16;
	struct weir_cpu_softmax softmax = {
		.softcap = op->f[1], .nc = u->nc, .first = s->first, .last = s->last
	};

	clear(out, u->nc, n_o);
	if (from < u->low)
		from = u->low;
	if (to > u->high + 1)
		to = u->high + 1;
	for (int32_t b = from / block_tokens; b * block_tokens < to; b++) {
		size_t at = blocks[b] * keys->block_bytes + u->kv_head * keys->head_bytes;

		for (int32_t run = 0; run < block_tokens; run += (int32_t)WEIR_CPU_KEYS) {
			int32_t key0 = b * block_tokens + run, n = block_tokens - run;

			n = n < (int32_t)WEIR_CPU_KEYS ? n : (int32_t)WEIR_CPU_KEYS;
			if (key0 + n <= from || key0 >= to)
				continue;
			n = key0 + n > to ? to - key0 : n;
			softmax.key0 = key0;
			softmax.end = key0 + n;
			softmax.n_groups = (uint32_t)(n + 15) / 16;
			product(keys->data + at + (size_t)run * size, softmax.n_groups, 16 * size,
				keys->head_size, keys->key_stride * size, s->q, u->nc, false,
				s->scores);
			kernels->softmax(&softmax, s->scores, s->p, out->m, out->l, out->o, n_o);
			product(values->data + at + (size_t)run * values->dim_stride * size, n_o,
				16 * size, (size_t)n, values->dim_stride * size, s->p, u->nc, true,
				out->o);
		}
	}
}

static void store(weir_program *p, const struct weir_cpu_step *step, const struct unit *u,
		  const struct partial *x)
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

/* Sequences share a thread's time unevenly, so units are taken as threads come. */
static void whole_units(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			uint32_t n_units, struct scratch *s, struct partial *part,
			struct partial *sum)
{
	const struct weir_op *op = &step->op;
	const weir_buffer *values = p->temps[op->src[2]].buffer;
	size_t n_o = values->dim_stride / 16;
	uint32_t i;

	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < n_units &&
	       !weir_cpu_interrupted(p)) {
		struct unit u = unit_at(p, step, i);
		int32_t chunk = (int32_t)p->chunk;

		load_q(p, op, &u, s);
		clear(sum, u.nc, n_o);
		for (int32_t c = u.low / chunk; c <= u.high / chunk; c++) {
			attend(p, op, &u, s, c * chunk, (c + 1) * chunk, part);
			p->cpu->kernels->merge(u.nc, n_o, sum->m, sum->l, sum->o, part->m, part->l,
					       part->o);
		}
		store(p, step, &u, sum);
	}
}

static void split_units(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			uint32_t n_units, uint32_t n_chunks, uint32_t thread, uint32_t n_threads,
			struct scratch *s, struct partial *sum)
{
	const struct weir_op *op = &step->op;
	size_t n_o = p->temps[op->src[2]].buffer->dim_stride / 16;
	size_t part_bytes = weir_cpu_attention_partial((uint32_t)op->i[2]);
	int32_t chunk = (int32_t)p->chunk;
	uint32_t i;

	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) <
		       n_units * n_chunks &&
	       !weir_cpu_interrupted(p)) {
		struct unit u = unit_at(p, step, i / n_chunks);
		int32_t c = (int32_t)(i % n_chunks);

		if (c < u.low / chunk || c > u.high / chunk)
			continue;
		load_q(p, op, &u, s);
		attend(p, op, &u, s, c * chunk, (c + 1) * chunk,
		       (struct partial *)(p->arena + p->split + i * part_bytes));
	}
	weir_cpu_barrier(p);
	for (i = thread; i < n_units; i += n_threads) {
		struct unit u = unit_at(p, step, i);

		clear(sum, u.nc, n_o);
		for (int32_t c = u.low / chunk; c <= u.high / chunk; c++) {
			const uint8_t *at = p->arena + p->split +
					    ((size_t)i * n_chunks + (size_t)c) * part_bytes;
			const struct partial *part = (const struct partial *)at;

			p->cpu->kernels->merge(u.nc, n_o, sum->m, sum->l, sum->o, part->m, part->l,
					       part->o);
		}
		store(p, step, &u, sum);
	}
}

void weir_cpu_step_attention(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			     uint32_t thread, uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	uint8_t *at = p->arena + p->scratch + thread * p->scratch_bytes;
	struct scratch *s = (struct scratch *)at;
	struct partial *part = (struct partial *)(at + round64(sizeof(*s)));
	struct partial *sum = (struct partial *)((uint8_t *)part +
						 weir_cpu_attention_partial((uint32_t)op->i[2]));
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t n_units = p->tilings[step->tiling].n_pieces * (uint32_t)op->i[1] *
			   ((group + width - 1) / width);
	int32_t high = 0;

	for (uint32_t r = 0; r < p->batch->n_rows; r++) {
		int32_t pos = p->batch->pos[p->batch->first[r + 1] - 1];

		high = pos > high ? pos : high;
	}
	if (n_units <= p->split_units && high >= (int32_t)p->chunk)
		split_units(p, step, next, n_units, (uint32_t)high / p->chunk + 1, thread,
			    n_threads, s, sum);
	else
		whole_units(p, step, next, n_units, s, part, sum);
}

/* Heads of q and k that belong to one KV head, of one token. */
static void rope_head(weir_program *p, const struct weir_cpu_step *step, float *x, uint32_t norm,
		      uint32_t t)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_angles *a = &p->angles[step->angles];

	if (norm != WEIR_NO_TENSOR)
		p->cpu->kernels->norm(x, p->temps[norm].buffer->vector, NULL, (size_t)op->i[2],
				      op->f[6], false, false, x);
	if (op->i[3])
		p->cpu->kernels->rope(x, a->cos + t * a->half, a->sin + t * a->half, a->half,
				      op->i[4] == WEIR_ROPE_NEOX);
}

static void store_key(const weir_program *p, weir_buffer *cache, const float *k, uint32_t head,
		      uint32_t slot)
{
	uint8_t *at = cache->data + slot / cache->block_tokens * cache->block_bytes +
		      head * cache->head_bytes;
	size_t token = slot % cache->block_tokens, stride = cache->key_stride;
	uint16_t narrow[WEIR_CPU_MAX_HEAD_SIZE];

	if (cache->type == WEIR_DTYPE_F32) {
		for (size_t d = 0; d < cache->head_size; d++)
			((float *)at)[d * stride + token] = k[d];
		return;
	}
	p->cpu->kernels->convert(k, cache->head_size, cache->type, narrow);
	for (size_t d = 0; d < cache->head_size; d++)
		((uint16_t *)at)[d * stride + token] = narrow[d];
}

static void store_value(const weir_program *p, weir_buffer *cache, const float *v, uint32_t head,
			uint32_t slot)
{
	size_t size = cache->type == WEIR_DTYPE_F32 ? 4 : 2;
	uint8_t *at = cache->data + slot / cache->block_tokens * cache->block_bytes +
		      head * cache->head_bytes +
		      slot % cache->block_tokens * cache->dim_stride * size;

	p->cpu->kernels->convert(v, cache->head_size, cache->type, at);
}

void weir_cpu_step_rope_kv(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			   uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *q = &p->temps[op->src[0]], *k = &p->temps[op->src[1]];
	bool cached = op->src[3] != WEIR_NO_TENSOR;
	uint32_t n_kv = (uint32_t)op->i[1], group = (uint32_t)op->i[0] / n_kv;
	size_t size = (size_t)op->i[2];
	uint64_t n = (uint64_t)p->batch->n_tokens * n_kv;

	for (uint64_t i = n * thread / n_threads; i < n * (thread + 1) / n_threads; i++) {
		uint32_t t = (uint32_t)(i / n_kv), head = (uint32_t)(i % n_kv);
		float *queries = weir_cpu_values(p, q) + t * q->width + head * group * size;
		float *key = weir_cpu_values(p, k) + t * k->width + head * size;

		for (uint32_t h = 0; h < group; h++)
			rope_head(p, step, queries + h * size, op->src[5], t);
		rope_head(p, step, key, op->src[6], t);
		if (cached) {
			const struct weir_cpu_temp *v = &p->temps[op->src[2]];

			store_key(p, p->temps[op->src[3]].buffer, key, head, p->batch->slot[t]);
			store_value(p, p->temps[op->src[4]].buffer,
				    weir_cpu_values(p, v) + t * v->width + head * size, head,
				    p->batch->slot[t]);
		}
	}
}
