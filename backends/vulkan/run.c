/* SPDX-License-Identifier: MIT */
/*
 * run.c - one step: the batch to the device's memory, the bucket's command buffers to the queue,
 * and the wait for them. On the step thread, but for interrupt().
 */
#include "program.h"

#include <math.h>
#include <string.h>

/* A batch of n rows runs in the bucket of the next size up. */
static uint32_t round_up(uint32_t n, uint32_t most)
{
	uint32_t step = 1;

	if (n > 8) {
		while (step * 8 < n)
			step *= 2;
		step = step < 8 ? 8 : step; /* 16, 24, 32, 48, 64, 96 ... */
		if (step * 8 >= n && step > 8 && n <= step * 6)
			step = step / 2 < 8 ? 8 : step / 2;
	} else {
		while (step < n)
			step *= 2;
	}
	n = (n + step - 1) / step * step;
	return n < most ? n : most;
}

static weir_status check_tokens(const weir_program *p, const struct weir_device_batch *b,
				struct weir_error *err)
{
	uint32_t n_blocks = p->n_caches ? p->caches[0]->n_blocks : 0;
	uint32_t block_tokens = p->n_caches ? p->caches[0]->block_tokens : 1;

	for (uint32_t t = 0; t < b->n_tokens; t++) {
		if (p->n_vocab && (b->token[t] < 0 || (uint32_t)b->token[t] >= p->n_vocab))
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: token %d of %u",
					    b->token[t], p->n_vocab);
		if (p->n_caches && b->slot[t] / block_tokens >= n_blocks)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: slot %u of %u blocks",
					    b->slot[t], n_blocks);
		if (b->pos[t] < 0)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: position %d", b->pos[t]);
		if (p->n_positions && (uint32_t)b->pos[t] >= p->n_positions)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: position %d of %u",
					    b->pos[t], p->n_positions);
		if (p->n_types && WEIR_HAS(struct weir_device_batch, b, type) &&
		    (b->type[t] < 0 || (uint32_t)b->type[t] >= p->n_types))
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: type %d of %u", b->type[t],
					    p->n_types);
		if (b->row[t] < 0 || (uint32_t)b->row[t] >= b->n_rows)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: sequence %d of %u",
					    b->row[t], b->n_rows);
	}
	return WEIR_OK;
}

/* Shapes are the caller's word; indices into memory are looked at once more. */
static weir_status check_batch(const weir_program *p, const struct weir_device_batch *b,
			       struct weir_error *err)
{
	uint32_t n_blocks = p->n_caches ? p->caches[0]->n_blocks : 0;
	uint32_t block_tokens = p->n_caches ? p->caches[0]->block_tokens : 1;
	weir_status s;

	if (b->size < offsetof(struct weir_device_batch, adapter) || b->n_tokens > p->max_tokens ||
	    b->n_out > p->max_out || b->n_rows > b->n_tokens || (b->n_tokens && !b->n_rows))
		return weir_vk_fail(err, WEIR_E_INVALID,
				    "batch: %u tokens of %u, %u outputs of %u, %u sequences",
				    b->n_tokens, p->max_tokens, b->n_out, p->max_out, b->n_rows);
	for (uint64_t c = 0; c < 2 * (uint64_t)b->n_copies; c++)
		if (b->copies[c] >= n_blocks)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: copy of block %u of %u",
					    b->copies[c], n_blocks);
	if (!b->n_tokens)
		return WEIR_OK;
	s = check_tokens(p, b, err);
	if (s)
		return s;
	for (uint32_t o = 0; o < b->n_out; o++)
		if (b->out_row[o] >= b->n_tokens)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: output of token %u",
					    b->out_row[o]);
	if (b->first[0] != 0 || b->first[b->n_rows] != b->n_tokens)
		return weir_vk_fail(err, WEIR_E_INVALID, "batch: sequences do not cover it");
	for (uint32_t r = 0; r < b->n_rows; r++) {
		uint32_t end = b->first[r + 1], used;

		if (end <= b->first[r] || end > b->n_tokens)
			return weir_vk_fail(err, WEIR_E_INVALID, "batch: sequence %u has no tokens",
					    r);
		if (!p->n_caches)
			continue;
		used = (uint32_t)b->pos[end - 1] / block_tokens + 1;
		if ((uint32_t)b->pos[end - 1] >= b->kv_len[r] || used > b->block_stride)
			return weir_vk_fail(err, WEIR_E_INVALID,
					    "batch: sequence %u is at %d, past its %u positions", r,
					    b->pos[end - 1], b->kv_len[r]);
		for (uint32_t i = 0; i < used; i++)
			if (b->blocks[(size_t)r * b->block_stride + i] >= n_blocks)
				return weir_vk_fail(err, WEIR_E_INVALID,
						    "batch: sequence %u has block %u of %u", r,
						    b->blocks[(size_t)r * b->block_stride + i],
						    n_blocks);
	}
	return WEIR_OK;
}

/* One block after the other, in all caches: a later copy may read what an earlier one wrote. */
static weir_status copy_blocks(weir_program *p, const struct weir_device_batch *b,
			       struct weir_error *err)
{
	VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
				 VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT
	};
	const VkPipelineStageFlags stages =
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
	VkCommandBuffer commands;
	weir_status s = weir_vk_once_begin(p->vk, &commands, err);

	if (s)
		return s;
	for (uint32_t c = 0; c < b->n_copies; c++) {
		uint32_t from = b->copies[2 * c], to = b->copies[2 * c + 1];

		if (from == to)
			continue;
		p->vk->api.CmdPipelineBarrier(commands, stages, stages, 0, 1, &barrier, 0, NULL, 0,
					      NULL);
		for (uint32_t i = 0; i < p->n_caches; i++) {
			weir_buffer *cache = p->caches[i];
			VkBufferCopy copy = { from * cache->block_bytes, to * cache->block_bytes,
					      cache->block_bytes };

			p->vk->api.CmdCopyBuffer(commands, cache->memory.buffer,
						 cache->memory.buffer, 1, &copy);
		}
	}
	p->vk->api.CmdPipelineBarrier(commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
	return weir_vk_once_end(p->vk, commands, err);
}

/* Block tables, with rows no longer than the longest sequence; their memory grows. */
static weir_status write_blocks(weir_program *p, const struct weir_device_batch *b,
				struct weir_error *err)
{
	uint32_t block_tokens, stride = 1;
	uint32_t *to;
	uint64_t need;

	if (!p->n_caches)
		return WEIR_OK;
	block_tokens = p->caches[0]->block_tokens;
	for (uint32_t r = 0; r < b->n_rows; r++) {
		uint32_t used = (uint32_t)b->pos[b->first[r + 1] - 1] / block_tokens + 1;

		stride = used > stride ? used : stride;
	}
	need = (uint64_t)stride * b->n_rows * 4;
	if (need > p->blocks.bytes) {
		struct weir_vk_memory more;
		weir_status s = weir_vk_memory_new(p->vk, need * 2, WEIR_VK_PLACE_BATCH,
						   "block tables", &more, err);

		if (s)
			return s;
		weir_vk_memory_free(p->vk, &p->blocks);
		p->blocks = more;
		p->header->blocks = more.address;
	}
	to = p->blocks.mapped;
	for (uint32_t r = 0; r < b->n_rows; r++) {
		uint32_t used = (uint32_t)b->pos[b->first[r + 1] - 1] / block_tokens + 1;

		memcpy(to + (size_t)r * stride, b->blocks + (size_t)r * b->block_stride,
		       used * sizeof(*to));
	}
	p->header->block_stride = stride;
	return WEIR_OK;
}

static void write_angles(weir_program *p, const struct weir_device_batch *b)
{
	for (uint32_t a = 0; a < p->n_angles; a++) {
		const struct weir_vk_angles *angles = &p->angles[a];
		float factor = angles->op.f[3], *to = angles->table;

		for (uint32_t t = 0; t < b->n_tokens; t++)
			for (uint32_t i = 0; i < angles->half; i++) {
				float x = (float)b->pos[t] * angles->frequency[i];

				*to++ = cosf(x) * factor;
				*to++ = sinf(x) * factor;
			}
	}
}

static void cut_pieces(weir_program *p, const struct weir_device_batch *b)
{
	uint32_t n = 0;

	for (uint32_t r = 0; p->piece_tokens != UINT32_MAX && r < b->n_rows; r++)
		for (uint32_t t = b->first[r]; t < b->first[r + 1]; t += p->piece_tokens) {
			uint32_t left = b->first[r + 1] - t;

			p->pieces[n++] = (struct weir_vk_piece){
				r, t, left < p->piece_tokens ? left : p->piece_tokens
			};
			if (left <= p->piece_tokens)
				break;
		}
	p->header->n_pieces = n;
}

static void write_batch(weir_program *p, const struct weir_device_batch *b)
{
	size_t n = b->n_tokens * sizeof(uint32_t);

	p->header->n_tokens = b->n_tokens;
	p->header->n_rows = b->n_rows;
	p->header->n_out = b->n_out;
	memcpy(p->token, b->token, n);
	memcpy(p->pos, b->pos, n);
	memcpy(p->row, b->row, n);
	if (p->n_caches) {
		memcpy(p->slot, b->slot, n);
		memcpy(p->kv_len, b->kv_len, b->n_rows * sizeof(uint32_t));
	}
	memcpy(p->first, b->first, (b->n_rows + 1) * sizeof(uint32_t));
	if (b->n_out)
		memcpy(p->out_row, b->out_row, b->n_out * sizeof(uint32_t));
	if (WEIR_HAS(struct weir_device_batch, b, adapter))
		memcpy(p->adapter, b->adapter, b->n_rows * sizeof(uint32_t));
	else
		memset(p->adapter, 0, b->n_rows * sizeof(uint32_t));
	if (WEIR_HAS(struct weir_device_batch, b, type))
		memcpy(p->type, b->type, n);
	else
		memset(p->type, 0, n);
	write_angles(p, b);
	cut_pieces(p, b);
}

/* How many chunks of positions attention is split into: none where pieces and heads alone keep the
 * device busy, or where the partial results would take too much room. */
static weir_status split_chunks(weir_program *p, struct weir_vk_bucket *bucket,
				const struct weir_device_batch *b, struct weir_error *err)
{
	const uint64_t room = UINT64_C(256) << 20;
	uint32_t longest = 0, chunks;
	uint64_t need;
	struct weir_vk_memory more;
	weir_status s;

	if (!p->n_caches || bucket->pieces >= p->vk->busy)
		return WEIR_OK;
	for (uint32_t r = 0; r < b->n_rows; r++)
		longest = b->kv_len[r] > longest ? b->kv_len[r] : longest;
	chunks = round_up((longest + WEIR_VK_CHUNK - 1) / WEIR_VK_CHUNK, 65535);
	need = p->partial_bytes * chunks * bucket->tokens;
	if (chunks < 2 || need > room)
		return WEIR_OK;
	if (need > p->partial.bytes) {
		s = weir_vk_memory_new(p->vk, need, WEIR_VK_PLACE_DEVICE, "partial attention",
				       &more, err);
		if (s)
			return s;
		weir_vk_forget(p); /* they have the old address */
		weir_vk_memory_free(p->vk, &p->partial);
		p->partial = more;
	}
	bucket->chunks = chunks;
	return WEIR_OK;
}

/* Segments that the device has in advance: it does one while the next waits. */
enum { AHEAD = 2 };

static weir_status submit_next(weir_program *p, struct weir_error *err)
{
	struct weir_vk_bucket *b = p->bucket;
	weir_status s = WEIR_OK;

	if (p->n_submitted == b->n_recorded)
		s = weir_vk_record(p, b, err);
	if (!s)
		s = weir_vk_submit(p->vk, &b->commands[p->n_submitted], 1, err);
	if (!s)
		p->done_at[p->n_submitted++] = p->vk->submitted;
	return s;
}

/* The rest of a step, one segment whenever one is done; none after interrupt(). What was submitted
 * is over in any case. */
static weir_status finish(weir_program *p, struct weir_error *err)
{
	struct weir_vk *vk = p->vk;
	weir_status s = WEIR_OK, drained;

	while (!s && p->n_submitted < p->bucket->n_segments && !atomic_load(&vk->interrupted)) {
		VkSemaphoreWaitInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
					     .semaphoreCount = 1,
					     .pSemaphores = &vk->timeline,
					     .pValues = &p->done_at[p->n_submitted - AHEAD] };

		s = weir_vk_result(vk, vk->api.WaitSemaphores(vk->device, &info, UINT64_MAX),
				   "vkWaitSemaphores", err);
		if (!s && !atomic_load(&vk->interrupted))
			s = submit_next(p, err);
	}
	vk->last_dispatches = p->bucket->n_dispatches;
	drained = weir_vk_drain(vk, s ? NULL : err);
	return s ? s : drained;
}

weir_status weir_vk_run(struct weir_instance *instance, weir_program *p,
			const struct weir_device_batch *batch, struct weir_error *err)
{
	struct weir_vk *vk = weir_vk_of(instance);
	struct weir_vk_bucket want = { 0 };
	weir_status s = weir_vk_alive(vk, err);

	if (s || (s = check_batch(p, batch, err)))
		return s;
	atomic_store(&vk->interrupted, 0);
	vk->has_run = true;
	if (p->running && (s = finish(p, err)))
		return s;
	p->running = false;
	if (batch->n_copies && (s = copy_blocks(p, batch, err)))
		return s;
	if (!batch->n_tokens)
		return WEIR_OK;
	if ((s = write_blocks(p, batch, err)))
		return s;
	write_batch(p, batch);
	want.tokens = round_up(batch->n_tokens, p->max_tokens);
	want.out = round_up(batch->n_out, p->max_out);
	want.pieces = round_up(p->header->n_pieces, p->max_tokens);
	if ((s = split_chunks(p, &want, batch, err)))
		return s;
	p->bucket = weir_vk_bucket_of(p, &want);
	p->bucket->last_used = ++p->n_runs;
	p->n_submitted = 0;
	while (!s && p->n_submitted < AHEAD && p->n_submitted < p->bucket->n_segments)
		s = submit_next(p, err);
	p->running = p->n_submitted > 0;
	if (s && p->running) {
		weir_vk_drain(vk, NULL);
		p->running = false;
	}
	return s;
}

weir_status weir_vk_wait(struct weir_instance *instance, weir_program *p, struct weir_error *err)
{
	struct weir_vk *vk = weir_vk_of(instance);
	weir_status s = p->running ? finish(p, err) : weir_vk_drain(vk, err);

	p->running = false;
	if (s)
		return s;
	if (atomic_load(&vk->interrupted))
		return weir_vk_fail(err, WEIR_E_CANCELLED, "the step was interrupted");
	return WEIR_OK;
}

const float *weir_vk_output(struct weir_instance *instance, weir_program *p, uint32_t tensor)
{
	const struct weir_vk_temp *t;

	if (tensor >= p->n_temps)
		return NULL;
	t = &p->temps[tensor];
	if (t->kind != WEIR_TENSOR_OUTPUT || !t->want_f32 || !p->outputs.mapped)
		return NULL;
	return (const float *)((const uint8_t *)p->outputs.mapped + t->output);
}
