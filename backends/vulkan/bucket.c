/* SPDX-License-Identifier: MIT */
/*
 * bucket.c - the buckets of a program, and how a long step is cut into segments. Called on the step
 * thread; the command buffers are record.c's.
 */
#include "program.h"

/* Multiplications of a step, about; attention's as over a thousand positions. */
static uint64_t step_work(const weir_program *p, const struct weir_vk_bucket *b,
			  const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	uint32_t t = op->dst[0] != WEIR_NO_TENSOR ? op->dst[0] : op->src[0];
	uint64_t rows = p->temps[t].rows == WEIR_ROWS_OUT ? b->out : b->tokens, work = 0;

	switch (s->code) {
	case WEIR_OP_LINEAR:
		for (int k = 0; k < op->i[0]; k++)
			work += p->temps[op->src[1 + k]].buffer->n_in *
				p->temps[op->src[1 + k]].buffer->n_out;
		break;
	case WEIR_OP_MOE:
	case WEIR_VK_STEP_EXPERTS:
		work = p->temps[op->src[2]].buffer->n_in * (uint64_t)op->i[2] * (uint64_t)op->i[1];
		break;
	case WEIR_OP_ATTENTION:
	case WEIR_OP_ATTENTION_PACKED:
		work = (uint64_t)op->i[0] * (uint64_t)op->i[2] * 2048;
		break;
	default:
		work = p->temps[t].width * 8;
	}
	return rows * work;
}

/* Segments of about the same work, no more than are worth their submits. */
static void cut_segments(const weir_program *p, struct weir_vk_bucket *b)
{
	uint64_t total = 0, done = 0, n;
	uint32_t k = 0;

	for (uint32_t i = 0; i < p->n_steps; i++)
		total += step_work(p, b, &p->steps[i]);
	n = total / p->vk->segment_work;
	n = n < 1 ? 1 : n < WEIR_VK_MAX_SEGMENTS ? n : WEIR_VK_MAX_SEGMENTS;
	for (uint32_t i = 0; i < p->n_steps; i++) {
		/* done < total: total / n first, so that nothing overflows */
		if (i > b->first[k] && k + 1 < n && done >= total / n * (k + 1))
			b->first[++k] = i;
		done += step_work(p, b, &p->steps[i]);
	}
	b->n_segments = k + 1;
	b->first[b->n_segments] = p->n_steps;
}

/* Room for one more: the bucket that was not used for longest goes. */
static struct weir_vk_bucket *take_slot(weir_program *p)
{
	struct weir_vk_bucket *oldest = &p->buckets[0];

	if (p->n_buckets < WEIR_VK_MAX_BUCKETS)
		return &p->buckets[p->n_buckets++];
	for (uint32_t i = 1; i < p->n_buckets; i++)
		if (p->buckets[i].last_used < oldest->last_used)
			oldest = &p->buckets[i];
	if (oldest->n_recorded)
		p->vk->api.FreeCommandBuffers(p->vk->device, p->vk->pool, oldest->n_recorded,
					      oldest->commands);
	return oldest;
}

struct weir_vk_bucket *weir_vk_bucket_of(weir_program *p, const struct weir_vk_bucket *want)
{
	struct weir_vk_bucket *b;

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		b = &p->buckets[i];
		if (b->tokens == want->tokens && b->out == want->out && b->pieces == want->pieces &&
		    b->chunks == want->chunks)
			return b;
	}
	b = take_slot(p);
	*b = *want;
	cut_segments(p, b);
	return b;
}

void weir_vk_forget(weir_program *p)
{
	for (uint32_t i = 0; i < p->n_buckets; i++)
		if (p->buckets[i].n_recorded)
			p->vk->api.FreeCommandBuffers(p->vk->device, p->vk->pool,
						      p->buckets[i].n_recorded,
						      p->buckets[i].commands);
	p->n_buckets = 0;
}
