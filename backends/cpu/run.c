/* SPDX-License-Identifier: MIT */
/*
 * run.c - runs a program on a batch: every thread of the pool walks the steps, with a barrier after
 * each; and the small steps (copies, angles, EMBED, NORM, GATHER, forms).
 *
 * Work is split by rows, so a row's result never depends on the number of threads.
 */
#include <math.h>
#include <string.h>

#include "dequant.h"
#include "program.h"
#include "repack.h"

/* Of n things, this thread's share: first .. end. */
static void share(uint32_t n, uint32_t thread, uint32_t n_threads, uint32_t *ret_first,
		  uint32_t *ret_end)
{
	*ret_first = (uint32_t)((uint64_t)n * thread / n_threads);
	*ret_end = (uint32_t)((uint64_t)n * (thread + 1) / n_threads);
}

void weir_cpu_emit(weir_program *p, const struct weir_cpu_step *step, unsigned k, uint32_t t,
		   uint64_t from, uint64_t n)
{
	weir_cpu_form(p, &p->temps[step->op.dst[k]], step->emit_q8[k], step->emit_packed[k], t,
		      from, n);
}

void weir_cpu_form(const weir_program *p, const struct weir_cpu_temp *temp, bool q8, bool packed,
		   uint32_t t, uint64_t from, uint64_t n)
{
	uint32_t n_rows = weir_cpu_rows(p, temp), tile = t & ~(WEIR_CPU_TILE - 1);
	unsigned nc = n_rows - tile < WEIR_CPU_TILE ? n_rows - tile : WEIR_CPU_TILE, c = t - tile;
	const float *x = weir_cpu_values(p, temp) + t * temp->width + from;

	if (q8)
		p->cpu->kernels->quantize(x, n / 32,
					  p->arena + temp->q8 +
						  tile * (temp->width / 32) * WEIR_CPU_RECORD +
						  from / 32 * nc * WEIR_CPU_RECORD,
					  nc, c);
	if (packed && n_rows > 1) {
		float *y = (float *)(p->arena + temp->packed) + tile * temp->width + from * nc + c;

		for (uint64_t i = 0; i < n; i++)
			y[i * nc] = x[i];
	}
}

static void step_copy(weir_program *p, uint32_t thread, uint32_t n_threads)
{
	const struct weir_device_batch *batch = p->batch;

	for (uint32_t i = thread; i < p->n_caches; i += n_threads)
		for (uint32_t c = 0; c < batch->n_copies; c++) {
			weir_buffer *b = p->caches[i];

			if (batch->copies[2 * c] != batch->copies[2 * c + 1])
				memcpy(b->data + batch->copies[2 * c + 1] * b->block_bytes,
				       b->data + batch->copies[2 * c] * b->block_bytes,
				       b->block_bytes);
		}
}

static void step_angles(weir_program *p, uint32_t thread, uint32_t n_threads)
{
	uint32_t first, end;

	share(p->batch->n_tokens, thread, n_threads, &first, &end);
	for (uint32_t a = 0; a < p->n_angles; a++) {
		struct weir_cpu_angles *angles = &p->angles[a];
		float factor = angles->op.f[3];

		for (uint32_t t = first; t < end; t++)
			for (size_t i = 0; i < angles->half; i++) {
				float x = (float)p->batch->pos[t] * angles->frequency[i];

				angles->cos[t * angles->half + i] = cosf(x) * factor;
				angles->sin[t * angles->half + i] = sinf(x) * factor;
			}
	}
}

enum { AHEAD = 4096 };      /* bytes of weights: from there on the kernel asks */
enum { OWN_MORE = 1024 };   /* elements that a thread norms beyond its share, at most */
enum { EMBED_PART = 1024 }; /* elements at once: a multiple of every block */

/* n weights of a table's row, from `at` on; both multiples of the block. */
static void table_values(const weir_buffer *table, size_t row, uint64_t at, uint64_t n, float *ret)
{
	const struct weir_cpu_type *type = weir_cpu_type(table->type);
	_Alignas(64) uint8_t bytes[EMBED_PART * sizeof(float)];
	const uint8_t *src = bytes;

	if (table->table)
		src = table->table + row * table->src_row + at / type->block * type->bytes;
	else
		weir_cpu_unpack(table->type, table->data + row / 16 * table->group_bytes, row % 16,
				table->n_in, at, n, bytes);
	type->row(src, (size_t)(n / type->block), ret);
}

static void step_embed(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		       uint32_t n_threads)
{
	const struct weir_cpu_temp *dst = &p->temps[step->op.dst[0]];
	const weir_buffer *table = p->temps[step->op.src[0]].buffer;
	float factor = step->op.f[0], part[EMBED_PART];
	uint32_t first, end, flags = step->op.flags;

	share(p->batch->n_tokens, thread, n_threads, &first, &end);
	for (uint32_t t = first; t < end; t++) {
		float *x = weir_cpu_values(p, dst) + t * dst->width;
		size_t row = (size_t)step->op.i[0];

		if (flags & WEIR_EMBED_POSITION)
			row += (size_t)p->batch->pos[t];
		else if (flags & WEIR_EMBED_TYPE)
			row = p->batch->type ? (size_t)p->batch->type[t] : 0;
		else if (!(flags & WEIR_EMBED_FIXED))
			row = (size_t)p->batch->token[t];
		for (uint64_t at = 0; at < dst->width; at += EMBED_PART) {
			uint64_t n = dst->width - at;

			n = n < EMBED_PART ? n : EMBED_PART;
			table_values(table, row, at, n, part);
			for (uint64_t i = 0; i < n; i++)
				x[at + i] = flags & WEIR_EMBED_ADD ? x[at + i] + part[i] * factor
								   : part[i] * factor;
		}
		weir_cpu_emit(p, step, 0, t, 0, dst->width);
	}
}

/* Rows first .. end of a NORM, to dst. */
static void norm_rows(weir_program *p, const struct weir_cpu_step *step,
		      const struct weir_cpu_temp *dst, uint32_t first, uint32_t end)
{
	const struct weir_op *op = &step->op;
	const struct weir_cpu_temp *src = &p->temps[op->src[0]];
	const weir_buffer *w = p->temps[op->src[1]].buffer;
	const float *b = op->src[2] == WEIR_NO_TENSOR ? NULL : p->temps[op->src[2]].buffer->vector;
	uint64_t group = op->i[0] ? (uint64_t)op->i[0] : src->width;
	uint64_t stride = w->n_in * w->n_out == group ? 0 : group; /* weight: per group, or row */

	for (uint32_t t = first; t < end; t++) {
		const float *x = weir_cpu_values(p, src) + t * src->width;
		float *y = weir_cpu_values(p, dst) + t * dst->width;

		for (uint64_t g = 0; g < src->width / group; g++)
			p->cpu->kernels->norm(x + g * group, w->vector + g * stride,
					      b ? b + g * stride : NULL, group, op->f[0],
					      op->flags & WEIR_NORM_LAYER,
					      op->flags & WEIR_NORM_ADD, y + g * group);
		weir_cpu_form(p, dst, step->emit_q8[0], step->emit_packed[0], t, 0, dst->width);
	}
}

static void step_norm(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		      uint32_t n_threads)
{
	const struct weir_cpu_temp *dst = &p->temps[step->op.dst[0]];
	uint32_t first, end;

	share(weir_cpu_rows(p, dst), thread, n_threads, &first, &end);
	norm_rows(p, step, dst, first, end);
}

/* Does each thread norm all rows for itself, just before the LINEAR that reads them? Where what it
 * then does of the others' share costs less than waiting for them. */
static bool norm_joins(const weir_program *p, const struct weir_cpu_step *step, uint32_t n_threads)
{
	const struct weir_cpu_temp *dst;
	uint32_t n;

	if (!step->joins || n_threads < 2)
		return false;
	dst = &p->temps[step->op.dst[0]];
	n = weir_cpu_rows(p, dst);
	return n <= WEIR_CPU_OWN_ROWS &&
	       (n - (n + n_threads - 1) / n_threads) * dst->width <= OWN_MORE;
}

static void step_linear(weir_program *p, const struct weir_cpu_step *step, atomic_uint *next,
			uint32_t thread, uint32_t n_threads)
{
	struct weir_cpu_temp own;

	if (step == p->steps || !norm_joins(p, step - 1, n_threads)) {
		weir_cpu_step_linear(p, step, &p->temps[step->op.src[0]], next, thread, n_threads);
		return;
	}
	own = weir_cpu_own(p, step->op.src[0], thread);
	norm_rows(p, step - 1, &own, 0, weir_cpu_rows(p, &own));
	weir_cpu_step_linear(p, step, &own, next, thread, n_threads);
}

static void step_gather(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
			uint32_t n_threads)
{
	const struct weir_cpu_temp *src = &p->temps[step->op.src[0]];
	const struct weir_cpu_temp *dst = &p->temps[step->op.dst[0]];
	uint32_t first, end;

	share(p->batch->n_out, thread, n_threads, &first, &end);
	for (uint32_t o = first; o < end; o++) {
		memcpy(weir_cpu_values(p, dst) + o * dst->width,
		       weir_cpu_values(p, src) + p->batch->out_row[o] * src->width,
		       dst->width * sizeof(float));
		weir_cpu_emit(p, step, 0, o, 0, dst->width);
	}
}

static void step_form(weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		      uint32_t n_threads)
{
	const struct weir_cpu_temp *src = &p->temps[step->op.src[0]];
	uint32_t first, end;

	share(weir_cpu_rows(p, src), thread, n_threads, &first, &end);
	for (uint32_t t = first; t < end; t++)
		weir_cpu_emit(p, step, 0, t, 0, src->width);
}

/* May the next step begin before all threads are through with this one? */
static bool flows_on(const weir_program *p, const struct weir_cpu_step *step)
{
	const struct weir_cpu_step *next = step + 1;

	if (next == p->steps + p->n_steps || next->adapters)
		return false;
	switch (step->code) {
	case WEIR_CPU_STEP_COPY: /* caches; tables; rows: nothing that the other reads */
	case WEIR_CPU_STEP_ANGLES:
		return next->code == WEIR_CPU_STEP_ANGLES || next->code == WEIR_OP_EMBED;
	default:
		return false;
	}
}

/* The barrier. With few rows the weights come from memory, and waiting is time to ask for them. */
static void meet(const weir_program *p, const struct weir_cpu_step *step, uint32_t thread,
		 uint32_t n_threads)
{
	const uint8_t *ahead = NULL;
	size_t bytes = 0;

	if (p->alone)
		return;
	if (step->big < p->n_steps && p->batch->n_tokens <= WEIR_CPU_TILE)
		ahead = weir_cpu_linear_first(p, &p->steps[step->big], thread, n_threads, &bytes);
	weir_pool_barrier_ahead(p->cpu->pool, ahead, bytes < AHEAD ? bytes : AHEAD);
}

static void walk(void *data, uint32_t thread, uint32_t n_threads)
{
	weir_program *p = data;
	unsigned turn = 0;

	for (uint32_t i = 0; i < p->n_steps; i++) {
		const struct weir_cpu_step *step = &p->steps[i];

		/* All threads see the same batch, and pass over the same steps. */
		if (step->adapters && !(step->adapters & p->adapters))
			continue;
		if (i + 1 < p->n_steps && weir_cpu_rope_joins(p, step))
			continue;
		if (norm_joins(p, step, n_threads))
			continue;
		switch (step->code) {
		case WEIR_CPU_STEP_COPY:
			step_copy(p, thread, n_threads);
			break;
		case WEIR_CPU_STEP_ANGLES:
			step_angles(p, thread, n_threads);
			break;
		case WEIR_CPU_STEP_FORM:
			step_form(p, step, thread, n_threads);
			break;
		case WEIR_OP_EMBED:
			step_embed(p, step, thread, n_threads);
			break;
		case WEIR_OP_NORM:
			step_norm(p, step, thread, n_threads);
			break;
		case WEIR_OP_LINEAR:
			step_linear(p, step, &p->next[i], thread, n_threads);
			break;
		case WEIR_OP_ROPE_KV:
			weir_cpu_step_rope_kv(p, step, thread, n_threads);
			break;
		case WEIR_OP_ATTENTION:
			weir_cpu_step_attention(p, step, &p->next[i], thread, n_threads);
			break;
		case WEIR_OP_ATTENTION_PACKED:
			weir_cpu_step_packed(p, step, &p->next[i], thread, n_threads);
			break;
		case WEIR_OP_GATHER:
			step_gather(p, step, thread, n_threads);
			break;
		case WEIR_OP_MOE:
		case WEIR_CPU_STEP_ROUTE:
		case WEIR_CPU_STEP_EXPERTS:
		case WEIR_CPU_STEP_UP:
			weir_cpu_step_moe(p, step, &p->next[i], thread, n_threads);
			break;
		case WEIR_OP_LORA:
		case WEIR_CPU_STEP_LORA_DOWN:
			weir_cpu_step_lora(p, step, thread, n_threads);
			break;
		case WEIR_OP_GLU:
			weir_cpu_step_glu(p, step, thread, n_threads);
			break;
		}
		if (step->code == WEIR_OP_LORA || step->code == WEIR_CPU_STEP_LORA_DOWN)
			continue; /* a MEET follows the last of several */
		if (flows_on(p, step))
			continue;
		/* All must agree on whether to go on: one thread looks, the barrier publishes. Two
		 * slots, since a slow reader may still be at the last one. */
		turn ^= 1;
		if (thread == 0)
			p->stop[turn] = weir_cpu_interrupted(p);
		meet(p, step, thread, n_threads);
		if (p->stop[turn])
			return;
	}
}

/* Shapes are the caller's word; indices into memory are looked at once more. */
static weir_status check_batch(const weir_program *p, const struct weir_device_batch *b,
			       struct weir_error *err)
{
	uint32_t n_blocks = p->n_caches ? p->caches[0]->n_blocks : 0;
	uint32_t block_tokens = p->n_caches ? p->caches[0]->block_tokens : 1;

	if (b->size < sizeof(*b) || !b->n_tokens || b->n_tokens > p->max_tokens ||
	    b->n_out > p->max_out || !b->n_rows || b->n_rows > b->n_tokens ||
	    b->n_rows > p->max_rows)
		return weir_cpu_fail(err, WEIR_E_INVALID,
				     "batch: %u tokens of %u, %u outputs of %u, %u sequences",
				     b->n_tokens, p->max_tokens, b->n_out, p->max_out, b->n_rows);
	for (uint32_t t = 0; t < b->n_tokens; t++) {
		if (p->n_vocab && (b->token[t] < 0 || (uint32_t)b->token[t] >= p->n_vocab))
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: token %d of %u",
					     b->token[t], p->n_vocab);
		if (p->n_caches && b->slot[t] / block_tokens >= n_blocks)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: slot %u of %u blocks",
					     b->slot[t], n_blocks);
		if (b->pos[t] < 0)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: position %d", b->pos[t]);
		if (p->n_types && b->type && (b->type[t] < 0 || (uint32_t)b->type[t] >= p->n_types))
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: type %d of %u",
					     b->type[t], p->n_types);
		if (p->n_positions && (uint32_t)b->pos[t] >= p->n_positions)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: position %d of %u",
					     b->pos[t], p->n_positions);
	}
	for (uint32_t o = 0; o < b->n_out; o++)
		if (b->out_row[o] >= b->n_tokens)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: output of token %u",
					     b->out_row[o]);
	for (uint32_t c = 0; c < 2 * b->n_copies; c++)
		if (b->copies[c] >= n_blocks)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: copy of block %u of %u",
					     b->copies[c], n_blocks);
	if (b->first[0] != 0 || b->first[b->n_rows] != b->n_tokens)
		return weir_cpu_fail(err, WEIR_E_INVALID, "batch: sequences do not cover it");
	for (uint32_t r = 0; r < b->n_rows; r++) {
		uint32_t end = b->first[r + 1], used;

		if (end <= b->first[r] || end > b->n_tokens)
			return weir_cpu_fail(err, WEIR_E_INVALID,
					     "batch: sequence %u has no tokens", r);
		if (!p->n_caches)
			continue;
		used = (uint32_t)b->pos[end - 1] / block_tokens + 1;
		if ((uint32_t)b->pos[end - 1] >= b->kv_len[r] || used > b->block_stride)
			return weir_cpu_fail(err, WEIR_E_INVALID,
					     "batch: sequence %u is at %d, past its %u positions",
					     r, b->pos[end - 1], b->kv_len[r]);
		for (uint32_t i = 0; i < used; i++)
			if (b->blocks[(size_t)r * b->block_stride + i] >= n_blocks)
				return weir_cpu_fail(err, WEIR_E_INVALID,
						     "batch: sequence %u has block %u of %u", r,
						     b->blocks[(size_t)r * b->block_stride + i],
						     n_blocks);
	}
	return WEIR_OK;
}

static weir_status find_adapters(weir_program *p, const struct weir_device_batch *batch,
				 struct weir_error *err)
{
	p->adapters = 0;
	for (uint32_t r = 0; batch->adapter && r < batch->n_rows; r++) {
		if (batch->adapter[r] > WEIR_CPU_MAX_ADAPTERS)
			return weir_cpu_fail(err, WEIR_E_INVALID, "batch: adapter %u of %u",
					     batch->adapter[r], WEIR_CPU_MAX_ADAPTERS);
		if (batch->adapter[r] > 0)
			p->adapters |= (uint64_t)1 << (batch->adapter[r] - 1);
	}
	return WEIR_OK;
}

static void cut_pieces(struct weir_cpu_tiling *tiling, const struct weir_device_batch *batch)
{
	tiling->n_pieces = 0;
	for (uint32_t r = 0; r < batch->n_rows; r++)
		for (uint32_t t = batch->first[r]; t < batch->first[r + 1]; t += tiling->tokens) {
			uint32_t left = batch->first[r + 1] - t;

			tiling->pieces[tiling->n_pieces++] = (struct weir_cpu_piece){
				r, t, left < tiling->tokens ? left : tiling->tokens
			};
		}
}

/* Roughly how many bytes the step is worth: weights once, and again for every eight rows that are
 * multiplied; the positions that attention looks at. */
static double reads(const weir_program *p, const struct weir_device_batch *batch)
{
	double bytes = (double)p->matrix_bytes * (1 + batch->n_tokens / 8);

	for (uint32_t r = 0; p->n_caches && r < batch->n_rows; r++)
		bytes += (double)p->position_bytes * batch->kv_len[r];
	return bytes;
}

weir_status weir_cpu_run(struct weir_instance *instance, weir_program *p,
			 const struct weir_device_batch *batch, struct weir_error *err)
{
	weir_status status = check_batch(p, batch, err);

	if (!status)
		status = find_adapters(p, batch, err);
	if (status)
		return status;
	atomic_store(&p->cpu->interrupted, 0);
	p->cpu->has_run = true;
	p->batch = batch;
	for (uint32_t i = 0; i < p->n_steps; i++)
		atomic_store_explicit(&p->next[i], 0, memory_order_relaxed);
	for (uint32_t t = 0; t < p->n_tilings; t++)
		cut_pieces(&p->tilings[t], batch);
	if (p->packed_bytes)
		weir_cpu_packed_begin(p, batch);
	p->alone = reads(p, batch) < (double)p->cpu->alone_below;
	if (p->alone)
		walk(p, 0, 1);
	else
		weir_pool_run(p->cpu->pool, walk, p);
	p->batch = NULL;
	if (weir_cpu_interrupted(p))
		return weir_cpu_fail(err, WEIR_E_CANCELLED, "the step was interrupted");
	return WEIR_OK;
}

const float *weir_cpu_output(struct weir_instance *instance, weir_program *program, uint32_t tensor)
{
	if (tensor >= program->n_temps || program->temps[tensor].values == WEIR_CPU_NOWHERE)
		return NULL;
	return weir_cpu_values(program, &program->temps[tensor]);
}
