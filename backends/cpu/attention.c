/* SPDX-License-Identifier: MIT */
/*
 * attention.c - the ROPE_KV and ATTENTION steps over the paged cache.
 *
 * A unit of work is several KV heads of a sequence, of which each block of the run is read in one
 * go: what one direction of reading gives (docs/performance.md).
 *
 * Keys lie as [dim][token] within a block and head, values as [token][dim], so that both products
 * have 16 keys (16 dims) in the lanes, and as columns all heads of one KV head by a few tokens.
 * Softmax is online (Milakov & Gimelshein 2018) over runs of at most WEIR_CPU_KEYS keys; partial
 * results of fixed chunks of positions are merged in ascending order, whether one thread did them
 * all or several shared a long context (Dao et al. 2023, "Flash-Decoding"). All borders are at
 * fixed positions, so a token's result depends neither on its batch nor on the threads.
 *
 * A Q8_0 cache: q is quantised as the activations of a LINEAR are, against keys in blocks; values
 * are multiplied by weights of 16 bits that hold their scales.
 */
#include <math.h>
#include <string.h>

#include "program.h"

struct partial {
	float m[WEIR_CPU_TILE], l[WEIR_CPU_TILE];
	float o[]; /* [dims / 16][nc][16] */
};

enum {
	HEADS = 16, /* KV heads of a unit, at most */
	AHEAD = 2,  /* pieces: how far what is asked for is from what is multiplied */
	PIECES = HEADS * WEIR_CPU_KEYS / 16, /* a KV head's part of a block, of one run */
	ENOUGH = 4, /* units a thread has at least, where that is possible */
	Q_FLOATS = WEIR_CPU_MAX_HEAD_SIZE * WEIR_CPU_TILE,
};

struct scratch {
	/* Of each KV head, close together: [dims / 16][nc][16], and a Q8 tile against Q8_0 */
	union {
		float q[HEADS * Q_FLOATS];
		uint8_t q8[HEADS * WEIR_CPU_MAX_HEAD_SIZE / 32 * WEIR_CPU_TILE * WEIR_CPU_RECORD];
	};
	float p[HEADS * WEIR_CPU_KEYS * WEIR_CPU_TILE];            /* [head][keys / 16][nc][16] */
	int16_t codes[HEADS * WEIR_CPU_KEYS * WEIR_CPU_TILE + 32]; /* p for values in Q8_0 */
	float factor[HEADS * WEIR_CPU_TILE];
	int32_t first[WEIR_CPU_TILE], last[WEIR_CPU_TILE];
	/* then HEADS times two struct partial */
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
	return round64(sizeof(struct scratch)) + 2 * HEADS * weir_cpu_attention_partial(head_size);
}

/* Some KV heads, all or some query heads of each, by some tokens of one sequence. */
struct unit {
	struct weir_cpu_piece piece;
	uint32_t kv_head, n_kv; /* more than one only with all query heads */
	uint32_t head, n_heads; /* first query head, and how many of each KV head */
	unsigned nc;
	int32_t low, high; /* positions that any column sees */
};

static uint32_t slices_of(const struct weir_op *op)
{
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);

	return (group + width - 1) / width;
}

static uint32_t n_units_of(const weir_program *p, const struct weir_cpu_step *step,
			   uint32_t together)
{
	uint32_t n_kv = (uint32_t)step->op.i[1];

	return p->tilings[step->tiling].n_pieces * ((n_kv + together - 1) / together) *
	       slices_of(&step->op);
}

/* How many KV heads a unit has. Those of a block lie side by side, and memory is read fastest in
 * one direction; but all threads must have something to do. */
static uint32_t heads_together(const weir_program *p, const struct weir_cpu_step *step,
			       uint32_t n_chunks, uint32_t n_threads)
{
	uint32_t n = slices_of(&step->op) > 1 || p->batch->n_tokens > p->batch->n_rows ? 1 : HEADS;

	while (n > 1 && n_threads > 1 && n_units_of(p, step, n) * n_chunks < ENOUGH * n_threads)
		n /= 2;
	return n;
}

static struct unit unit_at(const weir_program *p, const struct weir_cpu_step *step, uint32_t index,
			   uint32_t together)
{
	const struct weir_op *op = &step->op;
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), width = weir_cpu_attention_heads(op);
	uint32_t slices = slices_of(op), n_kv = (uint32_t)op->i[1], slice;
	uint32_t sets = (n_kv + together - 1) / together;
	struct unit u = { .piece = p->tilings[step->tiling].pieces[index / (sets * slices)] };

	u.kv_head = index / slices % sets * together;
	u.n_kv = n_kv - u.kv_head < together ? n_kv - u.kv_head : together;
	slice = index % slices;
	u.head = u.kv_head * group + slice * width;
	u.n_heads = group - slice * width < width ? group - slice * width : width;
	u.nc = u.n_heads * u.piece.count;
	u.low = op->i[3] ? p->batch->pos[u.piece.first] - op->i[3] + 1 : 0;
	u.low = u.low < 0 ? 0 : u.low;
	u.high = p->batch->pos[u.piece.first + u.piece.count - 1];
	return u;
}

/* Of one KV head's q. */
static size_t q8_bytes(size_t head_size, unsigned nc)
{
	return head_size / 32 * nc * WEIR_CPU_RECORD;
}

static size_t q_floats(size_t head_size, unsigned nc)
{
	return (head_size + 15) / 16 * 16 * nc;
}

/* q of the unit, scaled, and each column's visible positions. Column: token by head. */
static void load_q(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s)
{
	const struct weir_cpu_temp *q = &p->temps[op->src[0]];
	bool q8 = p->temps[op->src[1]].buffer->type == WEIR_DTYPE_Q8_0;
	size_t size = (size_t)op->i[2];
	float scaled[WEIR_CPU_MAX_HEAD_SIZE + 16] = { 0 }; /* the last 16 are padded with zeros */

	for (unsigned i = 0; i < u->n_kv * u->nc; i++) {
		uint32_t h = i / u->nc, c = i % u->nc, t = u->piece.first + c / u->n_heads;
		const float *x = weir_cpu_values(p, q) + t * q->width +
				 (u->head + h * u->n_heads + c % u->n_heads) * size;
		float *at = s->q + h * q_floats(size, u->nc) + (size_t)16 * c;

		for (size_t d = 0; d < size; d++)
			scaled[d] = x[d] * op->f[0];
		if (q8)
			p->cpu->kernels->quantize(scaled, size / 32,
						  s->q8 + h * q8_bytes(size, u->nc), u->nc, c);
		else
			for (size_t d = 0; d < size; d += 16)
				memcpy(at + d * u->nc, scaled + d, 16 * sizeof(float));
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
	size_t size; /* bytes of an element */
	uint32_t kv_head, n_kv;
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
			  .kv_head = u->kv_head,
			  .n_kv = u->n_kv,
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
	}
	return v;
}

/* Dims of the first strip of values. */
static size_t first_strip(const weir_buffer *values)
{
	return values->dim_stride < 32 ? values->dim_stride : 32;
}

/* The first KV head's keys or values in one block, from position `at` on. */
static const uint8_t *piece_of(const struct view *v, bool values, int32_t at)
{
	const weir_buffer *cache = values ? v->values : v->keys;
	uint32_t block = (uint32_t)at / cache->block_tokens;
	uint32_t offset = (uint32_t)at % cache->block_tokens;
	const uint8_t *base = cache->data + v->blocks[block] * cache->block_bytes +
			      v->kv_head * cache->head_bytes;

	if (values && cache->type == WEIR_DTYPE_Q8_0)
		return base + 2 * cache->key_stride + (size_t)offset * 32;
	if (values) /* in the first strip */
		return base + (size_t)offset * first_strip(cache) * v->size;
	if (cache->type == WEIR_DTYPE_Q8_0)
		return base + (size_t)(offset / 16) * (cache->head_size / 32) * 544;
	return base + offset * v->size;
}

/* Adds the pieces of low .. end (exclusive) in the order in which they are read: by block, then by
 * head. At most `max`, and only of blocks that the sequence has. */
static uint32_t list_pieces(const struct view *v, bool values, int32_t low, int32_t end,
			    uint32_t max, const uint8_t **list)
{
	const weir_buffer *cache = values ? v->values : v->keys;
	uint32_t n = 0;

	for (int32_t b = low, tokens = (int32_t)cache->block_tokens; b < end && n < max;
	     b = (b / tokens + 1) * tokens) {
		const uint8_t *first;

		if ((uint32_t)(b / tokens) >= v->n_blocks)
			break;
		first = piece_of(v, values, b);
		for (uint32_t h = 0; h < v->n_kv && n < max; h++)
			list[n++] = first + h * cache->head_bytes;
	}
	return n;
}

/* Of one KV head in one run. */
static size_t n_weights(unsigned nc)
{
	return (size_t)WEIR_CPU_KEYS * nc;
}

/* Scores of n keys of KV head h at `base`, of one block. */
static void score(const struct view *v, const struct scratch *s, uint32_t h, const uint8_t *base,
		  int32_t n, ptrdiff_t next, float *out)
{
	const weir_buffer *keys = v->keys;
	size_t n_groups = ((size_t)n + 15) / 16, n_blocks = keys->head_size / 32;

	if (keys->type != WEIR_DTYPE_Q8_0) {
		v->mix(base, n_groups, 32 * v->size, keys->head_size, keys->key_stride * v->size,
		       next, s->q + h * q_floats(keys->head_size, v->nc), v->nc, false, out);
		return;
	}
	v->kernels->mix_keys(base, n_groups, n_blocks, next,
			     s->q8 + h * q8_bytes(keys->head_size, v->nc), v->nc, out);
}

/* o += weights of KV head h times the values at `first` of n positions, of one block, the first of
 * which has the number `offset` there, and `at` in the run. */
static void gather_values(const struct view *v, const struct scratch *s, uint32_t h,
			  const uint8_t *first, uint32_t offset, int32_t n, ptrdiff_t next,
			  size_t at, float *o)
{
	const weir_buffer *values = v->values;
	const float *p = s->p + h * n_weights(v->nc) + at * v->nc;
	size_t n_strips = values->dim_stride / 32, strip = 32 * values->block_tokens;

	if (values->type == WEIR_DTYPE_Q8_0) {
		struct weir_cpu_values x = { .codes = first,
					     .scales = first - 30 * (size_t)offset -
						       2 * values->key_stride,
					     .strip = 34 * (size_t)values->key_stride,
					     .n_strips = n_strips,
					     .n = (size_t)n,
					     .ahead = next };

		v->kernels->mix_values(&x, s->codes + h * n_weights(v->nc) + at,
				       s->factor + h * v->nc, v->nc, o);
		return;
	}
	v->mix(first, 2 * n_strips, strip * v->size, (size_t)n, 32 * v->size, next, p, v->nc, true,
	       o);
	if (values->dim_stride % 32) { /* half a strip */
		first -= offset * first_strip(values) * v->size;
		first += (n_strips * strip + 16 * offset) * v->size;
		v->mix(first, 1, 0, (size_t)n, 16 * v->size, next, p, v->nc, true,
		       o + n_strips * 2 * v->nc * 16);
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

/* Result of KV head h, `apart` bytes from that of the one before. */
static struct partial *partial_at(struct partial *first, uint32_t h, size_t apart)
{
	return (struct partial *)((uint8_t *)first + h * apart);
}

/* The unit over the keys of low .. end (exclusive), which are one run. */
static void attend_run(const struct view *v, const struct weir_op *op, const struct unit *u,
		       struct scratch *s, int32_t low, int32_t end, struct partial *out,
		       size_t apart)
{
	const uint8_t *pieces[2 * PIECES + AHEAD] = { NULL }, **at = pieces;
	int32_t tokens = (int32_t)v->keys->block_tokens, next;
	size_t n_o = v->values->dim_stride / 16, n_p = n_weights(u->nc);
	struct weir_cpu_softmax softmax = { .softcap = op->f[1],
					    .nc = u->nc,
					    .n_groups = (uint32_t)(end - low + 15) / 16,
					    .key0 = low,
					    .end = end,
					    .first = s->first,
					    .last = s->last };
	uint32_t n = list_pieces(v, false, low, end, PIECES, pieces);

	n += list_pieces(v, true, low, end, PIECES, pieces + n);
	list_pieces(v, false, end, INT32_MAX, AHEAD, pieces + n);
	for (int32_t b = low; b < end; b = next) {
		next = (b / tokens + 1) * tokens;
		next = next < end ? next : end;
		for (uint32_t h = 0; h < u->n_kv; h++, at++)
			score(v, s, h, *at, next - b, at[AHEAD] ? at[AHEAD] - *at : 0,
			      s->p + h * n_p + (size_t)(b - low) * u->nc);
	}
	for (uint32_t h = 0; h < u->n_kv; h++) {
		struct partial *x = partial_at(out, h, apart);

		if (v->values->type == WEIR_DTYPE_Q8_0)
			v->kernels->mix_softmax_codes(&softmax, s->p + h * n_p, x->m, x->l, x->o,
						      n_o, s->codes + h * n_p,
						      s->factor + h * u->nc);
		else
			v->kernels->mix_softmax(&softmax, s->p + h * n_p, x->m, x->l, x->o, n_o);
	}
	for (int32_t b = low; b < end; b = next) {
		next = (b / tokens + 1) * tokens;
		next = next < end ? next : end;
		for (uint32_t h = 0; h < u->n_kv; h++, at++)
			gather_values(v, s, h, *at, (uint32_t)(b % tokens), next - b,
				      at[AHEAD] ? at[AHEAD] - *at : 0, (size_t)(b - low),
				      partial_at(out, h, apart)->o);
	}
}

/* The unit's attention over positions from (a multiple of blocks) .. to (exclusive) alone. */
static void attend(const weir_program *p, const struct weir_op *op, const struct unit *u,
		   struct scratch *s, int32_t from, int32_t to, struct partial *out, size_t apart)
{
	struct view v = view_of(p, op, u);
	int32_t tokens = (int32_t)v.keys->block_tokens, end;

	for (uint32_t h = 0; h < u->n_kv; h++)
		clear(partial_at(out, h, apart), u->nc, v.values->dim_stride / 16);
	if (to > u->high + 1)
		to = u->high + 1;
	for (int32_t at = from; at < to; at = end) {
		int32_t low = u->low / tokens * tokens;

		end = run_end(tokens, at);
		if (end <= u->low)
			continue;
		end = end < to ? end : to;
		attend_run(&v, op, u, s, low > at ? low : at, end, out, apart);
	}
}

static void store(weir_program *p, const struct weir_cpu_step *step, const struct unit *u,
		  uint32_t h, const struct partial *x)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *dst = &p->temps[op->dst[0]];
	size_t size = (size_t)op->i[2], head = u->head + h * u->n_heads;

	for (unsigned c = 0; c < u->nc; c++) {
		uint32_t t = u->piece.first + c / u->n_heads;
		float *y =
			weir_cpu_values(p, dst) + t * dst->width + (head + c % u->n_heads) * size;
		float inverse = 1.0f / x->l[c];

		for (size_t d = 0; d < size; d += 16) {
			const float *o = x->o + (d * u->nc + 16 * c);
			size_t n = size - d < 16 ? size - d : 16;

			for (size_t i = 0; i < n; i++)
				y[d + i] = o[i] * inverse;
		}
	}
	for (uint32_t i = 0; i < u->piece.count; i++)
		weir_cpu_emit(p, step, 0, u->piece.first + i, head * size, u->n_heads * size);
}

/* A long context of few sequences: all threads share each unit. */
static bool is_split(const weir_program *p, const struct weir_cpu_step *step, int32_t *ret_high)
{
	int32_t high = 0;

	for (uint32_t r = 0; r < p->batch->n_rows; r++) {
		int32_t pos = p->batch->pos[p->batch->first[r + 1] - 1];

		high = pos > high ? pos : high;
	}
	*ret_high = high;
	return n_units_of(p, step, 1) <= p->split_units && high >= (int32_t)p->chunk;
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
			uint32_t n_threads, struct scratch *s, struct partial *part,
			struct partial *sum)
{
	const struct weir_op *op = &step->op;
	bool rope = step > p->steps && weir_cpu_rope_joins(p, step - 1);
	size_t n_o = p->temps[op->src[2]].buffer->dim_stride / 16;
	size_t apart = weir_cpu_attention_partial((uint32_t)op->i[2]);
	uint32_t together = heads_together(p, step, 1, n_threads);
	uint32_t n_units = n_units_of(p, step, together), i;

	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < n_units &&
	       !weir_cpu_interrupted(p)) {
		struct unit u = unit_at(p, step, i, together);
		int32_t chunk = (int32_t)p->chunk;

		for (uint32_t h = 0; h < u.n_kv; h++) {
			if (rope)
				rope_one(p, step - 1, u.piece.first, u.kv_head + h);
			clear(partial_at(sum, h, apart), u.nc, n_o);
		}
		load_q(p, op, &u, s);
		for (int32_t c = u.low / chunk; c <= u.high / chunk; c++) {
			attend(p, op, &u, s, c * chunk, (c + 1) * chunk, part, apart);
			for (uint32_t h = 0; h < u.n_kv; h++) {
				const struct partial *x = partial_at(part, h, apart);
				struct partial *y = partial_at(sum, h, apart);

				p->cpu->kernels->merge(u.nc, n_o, y->m, y->l, y->o, x->m, x->l,
						       x->o);
			}
		}
		for (uint32_t h = 0; h < u.n_kv; h++)
			store(p, step, &u, h, partial_at(sum, h, apart));
	}
}

static void split_units(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			uint32_t n_chunks, uint32_t thread, uint32_t n_threads, struct scratch *s,
			struct partial *sum)
{
	const struct weir_op *op = &step->op;
	size_t n_o = p->temps[op->src[2]].buffer->dim_stride / 16;
	size_t part_bytes = weir_cpu_attention_partial((uint32_t)op->i[2]);
	uint32_t together = heads_together(p, step, n_chunks, n_threads);
	uint32_t n_units = n_units_of(p, step, together), sets, i;
	struct partial *parts = (struct partial *)(p->arena + p->split);
	int32_t chunk = (int32_t)p->chunk;

	sets = ((uint32_t)op->i[1] + together - 1) / together;
	while ((i = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) <
		       n_units * n_chunks &&
	       !weir_cpu_interrupted(p)) {
		uint32_t index = i / n_chunks;
		struct unit u = unit_at(p, step, index, together);
		int32_t c = (int32_t)(i % n_chunks);

		if (c < u.low / chunk || c > u.high / chunk)
			continue;
		if (together > 1) /* as a number of units of one KV head */
			index = index / sets * (uint32_t)op->i[1] + u.kv_head;
		load_q(p, op, &u, s);
		attend(p, op, &u, s, c * chunk, (c + 1) * chunk,
		       partial_at(parts, index * n_chunks + (uint32_t)c, part_bytes),
		       n_chunks * part_bytes);
	}
	weir_cpu_barrier(p);
	n_units = n_units_of(p, step, 1);
	for (i = thread; i < n_units; i += n_threads) {
		struct unit u = unit_at(p, step, i, 1);

		clear(sum, u.nc, n_o);
		for (int32_t c = u.low / chunk; c <= u.high / chunk; c++) {
			const struct partial *part =
				partial_at(parts, i * n_chunks + (uint32_t)c, part_bytes);

			p->cpu->kernels->merge(u.nc, n_o, sum->m, sum->l, sum->o, part->m, part->l,
					       part->o);
		}
		store(p, step, &u, 0, sum);
	}
}

void weir_cpu_step_attention(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			     uint32_t thread, uint32_t n_threads)
{
	const struct weir_op *op = &step->op;
	uint8_t *at = p->arena + p->scratch + thread * p->scratch_bytes;
	struct scratch *s = (struct scratch *)at;
	struct partial *part = (struct partial *)(at + round64(sizeof(*s)));
	struct partial *sum =
		partial_at(part, HEADS, weir_cpu_attention_partial((uint32_t)op->i[2]));
	int32_t high;

	if (is_split(p, step, &high))
		split_units(p, step, next, (uint32_t)high / p->chunk + 1, thread, n_threads, s,
			    sum);
	else
		whole_units(p, step, next, n_threads, s, part, sum);
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
			at[n_blocks * 32 + d / 4 * 64 + token % 16 * 4 + d % 4] =
				(uint8_t)codes[d] ^ 0x80;
		at += token % 16 * 2;
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
	uint16_t scales[WEIR_CPU_MAX_HEAD_SIZE / 32];
	int8_t codes[WEIR_CPU_MAX_HEAD_SIZE];

	if (cache->type != WEIR_DTYPE_Q8_0) {
		for (size_t d = 0; d < cache->head_size;
		     d += 32, at += 32 * cache->block_tokens * size) {
			size_t width = cache->dim_stride - d < 32 ? 16 : 32;
			size_t n_dims = cache->head_size - d < width ? cache->head_size - d : width;

			p->cpu->kernels->convert(v + d, n_dims, cache->type,
						 at + token * width * size);
		}
		return;
	}
	p->cpu->kernels->mix_narrow(v, n_blocks, codes, scales);
	for (size_t b = 0; b < n_blocks; b++, at += 34 * (size_t)cache->key_stride) {
		uint8_t *line = at + 2 * cache->key_stride + token / 2 * 64 + token % 2;

		memcpy(at + 2 * token, &scales[b], 2);
		for (size_t d = 0; d < 32; d++)
			line[2 * d] = (uint8_t)codes[32 * b + d];
	}
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
