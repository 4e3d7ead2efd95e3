/* SPDX-License-Identifier: MIT */
/*
 * attention.c - the ROPE_KV and ATTENTION steps over the paged cache.
 *
 * Keys lie as [dim][token] within a block and head, values as [token][dim], so that both products
 * have 16 keys (16 dims) in the lanes, and as columns all heads of one KV head by a few tokens.
 * Softmax is online (Milakov & Gimelshein 2018) over runs of at most WEIR_CPU_KEYS keys; partial
 * results of fixed chunks of positions are merged in ascending order, whether one thread did them
 * all or several shared a long context (Dao et al. 2023, "Flash-Decoding"). All borders are at
 * fixed positions, so a token's result depends neither on its batch nor on the threads.
 *
 * A Q8_0 cache: q is quantised as the activations of a LINEAR are, and keys are Q8_0 groups; values
 * stay integers until they are multiplied, by weights that hold their scales.
 */
#include <math.h>
#include <string.h>

#include "program.h"

struct partial {
	float m[WEIR_CPU_TILE], l[WEIR_CPU_TILE];
	float o[]; /* [dims / 16][nc][16] */
};

struct scratch {
	union {
		float q[WEIR_CPU_MAX_HEAD_SIZE * WEIR_CPU_TILE]; /* [dims / 16][nc][16] */
		uint8_t q8[WEIR_CPU_MAX_HEAD_SIZE / 32 * WEIR_CPU_TILE * WEIR_CPU_RECORD];
	};
	float p[WEIR_CPU_KEYS * WEIR_CPU_TILE];      /* [keys / 16][nc][16] */
	float scaled[WEIR_CPU_KEYS * WEIR_CPU_TILE]; /* p of one block by its values' scales */
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

/* q of the unit, scaled, and each column's visible positions. Column: token by head. */
static void load_q(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s)
{
	const struct weir_cpu_temp *q = &p->temps[op->src[0]];
	bool q8 = p->temps[op->src[1]].buffer->type == WEIR_DTYPE_Q8_0;
	size_t size = (size_t)op->i[2];
	float scaled[WEIR_CPU_MAX_HEAD_SIZE + 16] = { 0 }; /* the last 16 are padded with zeros */

	for (unsigned c = 0; c < u->nc; c++) {
		uint32_t t = u->piece.first + c / u->n_heads;
		const float *x =
			weir_cpu_values(p, q) + t * q->width + (u->head + c % u->n_heads) * size;

		for (size_t d = 0; d < size; d++)
			scaled[d] = x[d] * op->f[0];
		if (q8)
			p->cpu->kernels->quantize(scaled, size / 32, s->q8, u->nc, c);
		else
			for (size_t d = 0; d < size; d += 16)
				memcpy(s->q + d * u->nc + 16 * c, scaled + d, 16 * sizeof(float));
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

/* What the products of one unit need to know. */
struct view {
	const struct weir_cpu_kernels *kernels;
	const weir_buffer *keys, *values;
	const uint32_t *blocks;
	uint32_t n_blocks; /* of the sequence */
	weir_cpu_mix_fn mix;
	size_t size, head; /* bytes of an element; offset of the KV head in a block */
	unsigned nc;
};

static struct view view_of(const weir_program *p, const struct weir_op *op, const struct unit *u)
{
	const struct weir_cpu_kernels *kernels = p->cpu->kernels;
	const weir_buffer *keys = p->temps[op->src[1]].buffer;
	struct view v = { .kernels = kernels,
			  .keys = keys,
			  .values = p->temps[op->src[2]].buffer,
			  .blocks =
				  p->batch->blocks + (size_t)u->piece.row * p->batch->block_stride,
			  .n_blocks =
				  (uint32_t)(p->batch->pos[p->batch->first[u->piece.row + 1] - 1]) /
					  keys->block_tokens +
				  1,
			  .head = u->kv_head * keys->head_bytes,
			  .nc = u->nc };

	switch (keys->type) {
	case WEIR_DTYPE_F32:
		v.size = 4;
		v.mix = kernels->mix_f32;
		break;
	case WEIR_DTYPE_F16:
		v.size = 2;
		v.mix = kernels->mix_f16;
		break;
	case WEIR_DTYPE_BF16:
		v.size = 2;
		v.mix = kernels->mix_bf16;
		break;
	default: /* Q8_0 */
		v.size = 1;
		v.mix = kernels->mix_i8;
	}
	return v;
}

/* From position `at` to the same about a run later: far enough that memory has answered by then,
 * near enough that it is still in the cache. */
static ptrdiff_t to_next(const struct view *v, const weir_buffer *cache, int32_t at)
{
	uint32_t block = (uint32_t)at / cache->block_tokens, later;

	later = block + (WEIR_CPU_KEYS + cache->block_tokens - 1) / cache->block_tokens;
	if (later >= v->n_blocks)
		return 0;
	return ((ptrdiff_t)v->blocks[later] - (ptrdiff_t)v->blocks[block]) *
	       (ptrdiff_t)cache->block_bytes;
}

/* Scores of n keys, of one block, from position `at` on. */
static void score(const struct view *v, const struct scratch *s, int32_t at, int32_t n, float *out)
{
	const weir_buffer *keys = v->keys;
	uint32_t tokens = keys->block_tokens, offset = (uint32_t)at % tokens;
	const uint8_t *base =
		keys->data + v->blocks[(uint32_t)at / tokens] * keys->block_bytes + v->head;
	size_t n_groups = ((size_t)n + 15) / 16, n_blocks = keys->head_size / 32;

	ptrdiff_t next = to_next(v, keys, at);

	if (keys->type == WEIR_DTYPE_Q8_0 && next)
		for (size_t i = 0; i < keys->head_bytes; i += 64)
			__builtin_prefetch(base + next + i, 0, 2);
	if (keys->type == WEIR_DTYPE_Q8_0)
		v->kernels->quant[WEIR_DTYPE_Q8_0](base + offset / 16 * n_blocks * 544, n_groups,
						   n_blocks * 544, n_blocks, s->q8, v->nc, out);
	else
		v->mix(base + offset * v->size, n_groups, 16 * v->size, keys->head_size,
		       keys->key_stride * v->size, next, s->q, v->nc, false, out);
}

/* o += weights p times the values of n positions, of one block, from `at` on. */
static void gather_values(const struct view *v, struct scratch *s, int32_t at, int32_t n,
			  const float *p, float *o)
{
	const weir_buffer *values = v->values;
	uint32_t tokens = values->block_tokens, offset = (uint32_t)at % tokens;
	const uint8_t *base =
		values->data + v->blocks[(uint32_t)at / tokens] * values->block_bytes + v->head;
	const uint8_t *first = base + offset * values->dim_stride * v->size;
	const uint8_t *scales = base + (size_t)values->dim_stride * tokens + 2 * offset;
	ptrdiff_t next = to_next(v, values, at);

	if (values->type != WEIR_DTYPE_Q8_0) {
		v->mix(first, values->dim_stride / 16, 16 * v->size, (size_t)n,
		       values->dim_stride * v->size, next, p, v->nc, true, o);
		return;
	}
	for (uint32_t i = 0; i < values->head_size / 32; i++) {
		v->kernels->mix_weigh(p, scales + (size_t)i * 2 * values->key_stride,
				      ((size_t)n + 15) / 16, v->nc, s->scaled);
		v->mix(first + 32 * i, 2, 16, (size_t)n, values->dim_stride, next, s->scaled, v->nc,
		       true, o + (size_t)2 * i * v->nc * 16);
	}
}

/* Where the run that begins at `at` ends: several small blocks, or a piece of a large one. */
static int32_t run_end(int32_t tokens, int32_t at)
{
	int32_t keys = (int32_t)WEIR_CPU_KEYS, block = at / tokens * tokens + tokens;

	if (tokens % 16 == 0 && tokens < keys)
		return at + keys / tokens * tokens;
	return at + keys < block ? at + keys : block;
}

/* The unit's attention over positions from (a multiple of blocks) .. to (exclusive) alone. */
static void attend(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s, int32_t from, int32_t to, struct partial *out)
{
	struct view v = view_of(p, op, u);
	int32_t tokens = (int32_t)v.keys->block_tokens, end;
	size_t n_o = v.values->dim_stride / 16;
	struct weir_cpu_softmax softmax = {
		.softcap = op->f[1], .nc = u->nc, .first = s->first, .last = s->last
	};

	clear(out, u->nc, n_o);
	if (to > u->high + 1)
		to = u->high + 1;
	for (int32_t at = from; at < to; at = end) {
		int32_t low = u->low / tokens * tokens, next;

		end = run_end(tokens, at);
		if (end <= u->low)
			continue;
		end = end < to ? end : to;
		low = low > at ? low : at;
		softmax.key0 = low;
		softmax.end = end;
		softmax.n_groups = (uint32_t)(end - low + 15) / 16;
		for (int32_t b = low; b < end; b = next) {
			next = (b / tokens + 1) * tokens;
			next = next < end ? next : end;
			score(&v, s, b, next - b, s->p + (size_t)(b - low) * u->nc);
		}
		v.kernels->mix_softmax(&softmax, s->p, out->m, out->l, out->o, n_o);
		for (int32_t b = low; b < end; b = next) {
			next = (b / tokens + 1) * tokens;
			next = next < end ? next : end;
			gather_values(&v, s, b, next - b, s->p + (size_t)(b - low) * u->nc, out->o);
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

		for (size_t d = 0; d < size; d += 16) {
			const float *o = x->o + (d * u->nc + 16 * c);
			size_t n = size - d < 16 ? size - d : 16;

			for (size_t i = 0; i < n; i++)
				y[d + i] = o[i] * inverse;
		}
	}
	for (uint32_t i = 0; i < u->piece.count; i++)
		weir_cpu_emit(p, step, 0, u->piece.first + i, u->head * size, u->n_heads * size);
}

/* A long context of few sequences: all threads share each unit. */
static bool is_split(const weir_program *p, const struct weir_cpu_step *step, int32_t *ret_high)
{
	const struct weir_op *op = &step->op;
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t n_units = p->tilings[step->tiling].n_pieces * (uint32_t)op->i[1] *
			   ((group + width - 1) / width);
	int32_t high = 0;

	for (uint32_t r = 0; r < p->batch->n_rows; r++) {
		int32_t pos = p->batch->pos[p->batch->first[r + 1] - 1];

		high = pos > high ? pos : high;
	}
	*ret_high = high;
	return n_units <= p->split_units && high >= (int32_t)p->chunk;
}

bool weir_cpu_rope_joins(const weir_program *p, const struct weir_cpu_step *step)
{
	const struct weir_cpu_step *next = step + 1;
	int32_t high;

	return step->code == WEIR_OP_ROPE_KV && next->code == WEIR_OP_ATTENTION &&
	       step->adapters == next->adapters && step->op.src[0] == next->op.src[0] &&
	       step->op.src[3] == next->op.src[1] && step->op.src[4] == next->op.src[2] &&
	       step->op.i[0] / step->op.i[1] <= (int32_t)WEIR_CPU_TILE &&
	       p->batch->n_tokens == p->batch->n_rows && !is_split(p, next, &high);
}

static void rope_one(weir_program *p, const struct weir_cpu_step *step, uint32_t t, uint32_t head);

/* Sequences share a thread's time unevenly, so units are taken as threads come. */
static void whole_units(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			uint32_t n_units, struct scratch *s, struct partial *part,
			struct partial *sum)
{
	const struct weir_op *op = &step->op;
	bool rope = step > p->steps && weir_cpu_rope_joins(p, step - 1);
	const weir_buffer *values = p->temps[op->src[2]].buffer;
	size_t n_o = values->dim_stride / 16;
	uint32_t i;

	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < n_units &&
	       !weir_cpu_interrupted(p)) {
		struct unit u = unit_at(p, step, i);
		int32_t chunk = (int32_t)p->chunk;

		if (rope)
			rope_one(p, step - 1, u.piece.first, u.kv_head);
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
	int32_t high;

	if (is_split(p, step, &high))
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
	size_t n_blocks = cache->head_size / 32;
	uint16_t narrow[WEIR_CPU_MAX_HEAD_SIZE];
	int8_t codes[WEIR_CPU_MAX_HEAD_SIZE];

	if (cache->type == WEIR_DTYPE_F32) {
		for (size_t d = 0; d < cache->head_size; d++)
			((float *)at)[d * stride + token] = k[d];
		return;
	}
	if (cache->type == WEIR_DTYPE_Q8_0) {
		p->cpu->kernels->mix_narrow(k, n_blocks, codes, narrow);
		at += token / 16 * n_blocks * 544;
		for (size_t d = 0; d < cache->head_size; d++)
			at[d / 4 * 64 + token % 16 * 4 + d % 4] = (uint8_t)codes[d] ^ 0x80;
		at += n_blocks * 512 + token % 16 * 2;
		for (size_t b = 0; b < n_blocks; b++)
			memcpy(at + b * 32, &narrow[b], 2);
		return;
	}
	p->cpu->kernels->convert(k, cache->head_size, cache->type, narrow);
	for (size_t d = 0; d < cache->head_size; d++)
		((uint16_t *)at)[d * stride + token] = narrow[d];
}

static void store_value(const weir_program *p, weir_buffer *cache, const float *v, uint32_t head,
			uint32_t slot)
{
	size_t size = cache->type == WEIR_DTYPE_F32 ? 4 : cache->type == WEIR_DTYPE_Q8_0 ? 1 : 2;
	uint8_t *at = cache->data + slot / cache->block_tokens * cache->block_bytes +
		      head * cache->head_bytes;
	size_t token = slot % cache->block_tokens, n_blocks = cache->head_size / 32;
	uint8_t *row = at + token * cache->dim_stride * size;
	uint16_t scales[WEIR_CPU_MAX_HEAD_SIZE / 32];

	if (cache->type != WEIR_DTYPE_Q8_0) {
		p->cpu->kernels->convert(v, cache->head_size, cache->type, row);
		return;
	}
	p->cpu->kernels->mix_narrow(v, n_blocks, (int8_t *)row, scales);
	at += (size_t)cache->dim_stride * cache->block_tokens + 2 * token;
	for (size_t b = 0; b < n_blocks; b++)
		memcpy(at + 2 * b * cache->key_stride, &scales[b], 2);
}

static void rope_one(weir_program *p, const struct weir_cpu_step *step, uint32_t t, uint32_t head)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *q = &p->temps[op->src[0]], *k = &p->temps[op->src[1]];
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]);
	size_t size = (size_t)op->i[2];
	float *queries = weir_cpu_values(p, q) + t * q->width + head * group * size;
	float *key = weir_cpu_values(p, k) + t * k->width + head * size;

	for (uint32_t h = 0; h < group; h++)
		rope_head(p, step, queries + h * size, op->src[5], t);
	rope_head(p, step, key, op->src[6], t);
	if (op->src[3] != WEIR_NO_TENSOR) {
		const struct weir_cpu_temp *v = &p->temps[op->src[2]];

		store_key(p, p->temps[op->src[3]].buffer, key, head, p->batch->slot[t]);
		store_value(p, p->temps[op->src[4]].buffer,
			    weir_cpu_values(p, v) + t * v->width + head * size, head,
			    p->batch->slot[t]);
	}
}

void weir_cpu_step_rope_kv(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			   uint32_t n_threads)
{
	uint32_t n_kv = (uint32_t)step->op.i[1];
	uint64_t n = (uint64_t)p->batch->n_tokens * n_kv;

	for (uint64_t i = n * thread / n_threads; i < n * (thread + 1) / n_threads; i++)
		rope_one(p, step, (uint32_t)(i / n_kv), (uint32_t)(i % n_kv));
}
