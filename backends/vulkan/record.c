/* SPDX-License-Identifier: MIT */
/*
 * record.c - a program's steps as command buffers for a bucket of batches, one for each segment of
 * a step. Called on the step thread when a bucket is met for the first time; while a model loads,
 * to find out which pipelines it will need.
 *
 * A barrier stands only where a dispatch depends on one since the last barrier.
 */
#include "layout.h"
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

/* As in the shaders. */
enum {
	NORM_LAYER = 1,
	NORM_ADD = 2,
	NORM_BIAS = 32,
	NORM_CHAIN = 64,
	NORM_CHAIN_BIAS = 128,
	ROWS_GATHER = 1,
	ROPE_NEOX = 1,
	ROPE_Q_NORM = 2,
	ROPE_K_NORM = 4,
	ROPE_CACHE = 8,
	ATTENTION_SOFTCAP = 1,
	ATTENTION_SPLIT = 2,
	ATTENTION_CAUSAL = 4,
};

static uint32_t scratch(const struct weir_vk_recorder *r)
{
	return r->p->n_temps;
}

static void barrier(struct weir_vk_recorder *r)
{
	VkMemoryBarrier b = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
			      .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
			      .dstAccessMask =
				      VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT };

	r->vk->api.CmdPipelineBarrier(r->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
				      VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &b, 0, NULL, 0,
				      NULL);
	memset(r->touched, 0, (size_t)r->p->n_temps + 2);
}

static void order(struct weir_vk_recorder *r, const struct touches *t)
{
	bool wait = false;

	for (unsigned i = 0; i < t->n_read; i++)
		wait |= (r->touched[t->read[i]] & 2) != 0;
	for (unsigned i = 0; i < t->n_written; i++)
		wait |= r->touched[t->written[i]] != 0;
	if (wait)
		barrier(r);
	for (unsigned i = 0; i < t->n_read; i++)
		r->touched[t->read[i]] |= 1;
	for (unsigned i = 0; i < t->n_written; i++)
		r->touched[t->written[i]] |= 2;
}

weir_status weir_vk_dispatch(struct weir_vk_recorder *r, enum weir_vk_shader shader,
			     const uint32_t *spec, uint32_t n_spec, const void *push,
			     uint32_t push_bytes, const struct touches *t, uint32_t x, uint32_t y,
			     uint32_t z)
{
	VkPipeline pipeline;
	weir_status s;

	if (r->dry)
		return weir_vk_pipeline_want(r->vk, shader, spec, n_spec, r->err);
	s = weir_vk_pipeline_get(r->vk, shader, spec, n_spec, &pipeline, r->err);

	if (s)
		return s;
	order(r, t);
	r->vk->api.CmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	r->vk->api.CmdPushConstants(r->commands, r->vk->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
				    push_bytes, push);
	r->vk->api.CmdDispatch(r->commands, x, y, z);
	r->n_dispatches++;
	return WEIR_OK;
}

static weir_status record_embed(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	const weir_buffer *table = buffer(r, op->src[0]);
	uint32_t spec[] = { r->vk->width, r->vk->lanes, table->format,
			    op->flags & WEIR_EMBED_TYPE       ? 3u
			    : op->flags & WEIR_EMBED_FIXED    ? 2u
			    : op->flags & WEIR_EMBED_POSITION ? 1u
							      : 0u,
			    op->flags & WEIR_EMBED_ADD ? 1u : 0u };
	struct {
		VkDeviceAddress batch, w, y;
		uint32_t n_in, n_out, row, stride;
		float scale;
	} push = { r->p->batch.address,         table->address,
		   temp(r, op->dst[0])->f32,    (uint32_t)table->n_in,
		   (uint32_t)table->n_out,      (uint32_t)op->i[0],
		   temp(r, op->dst[0])->stride, op->f[0] };
	struct touches t = { .n_read = 0 };

	writes(&t, op->dst[0]);
	return DISPATCH(r, WEIR_VK_SHADER_EMBED, spec, push, &t, r->bucket->tokens, 1, 1);
}

struct norm_push {
	VkDeviceAddress batch, x, w, b, y, w2, b2, z, q8;
	uint32_t group, w_stride, x_stride, y_stride, z_stride, q8_width, q8_meta;
	float eps, eps2;
};

static weir_status record_norm(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op, *next = &s->next;
	bool chain = s->code == WEIR_VK_STEP_NORM_CHAIN;
	const struct weir_op *last = chain ? next : op;
	struct weir_vk_temp *x = temp(r, op->src[0]), *y = temp(r, op->dst[0]);
	struct weir_vk_temp *z = temp(r, last->dst[0]);
	const weir_buffer *w = buffer(r, op->src[1]);
	uint32_t group = op->i[0] ? (uint32_t)op->i[0] : (uint32_t)x->width;
	uint32_t flags = row_flags(r, last->dst[0], s->f32[0], s->q8[0]);
	struct norm_push push = { .batch = r->p->batch.address,
				  .x = x->f32,
				  .w = w->vector,
				  .b = vector(r, op->src[2]),
				  .y = y->f32,
				  .q8 = z->q8,
				  .group = group,
				  .w_stride = w->n_in * w->n_out == group ? 0 : group,
				  .x_stride = x->stride,
				  .y_stride = y->stride,
				  .q8_width = (uint32_t)z->width,
				  .q8_meta = z->q8_meta,
				  .eps = op->f[0] };
	struct touches t = { .n_read = 0 };

	flags |= op->flags & WEIR_NORM_LAYER ? NORM_LAYER : 0u;
	flags |= op->flags & WEIR_NORM_ADD ? NORM_ADD : 0u;
	flags |= op->src[2] != WEIR_NO_TENSOR ? NORM_BIAS : 0u;
	reads(&t, op->src[0]);
	writes(&t, op->dst[0]);
	if (chain) {
		flags |= NORM_CHAIN | (next->src[2] != WEIR_NO_TENSOR ? NORM_CHAIN_BIAS : 0u);
		push.w2 = vector(r, next->src[1]);
		push.b2 = vector(r, next->src[2]);
		push.z = z->f32;
		push.z_stride = z->stride;
		push.eps2 = next->f[0];
		writes(&t, next->dst[0]);
	}
	/* In the order of additions of a product's last workgroup, where that does it for few rows.
	 */
	uint32_t width = s->tailed ? r->vk->lanes * r->vk->subs : r->vk->width;
	uint32_t spec[] = { width, r->vk->lanes, flags };
	return DISPATCH(r, WEIR_VK_SHADER_NORM, spec, push, &t, (uint32_t)(x->width / group),
			n_rows(r, op->dst[0]), 1);
}

static weir_status record_rows(struct weir_vk_recorder *r, uint32_t from, uint32_t to,
			       uint32_t flags)
{
	struct weir_vk_temp *x = temp(r, from), *y = temp(r, to);
	uint32_t spec[] = { r->vk->width, r->vk->lanes, flags };
	struct {
		VkDeviceAddress batch, x, y, q8;
		uint32_t width, x_stride, y_stride, q8_meta;
	} push = { r->p->batch.address, x->f32,    y->f32,    y->q8,
		   (uint32_t)x->width,  x->stride, y->stride, y->q8_meta };
	struct touches t = { .n_read = 0 };

	reads(&t, from);
	writes(&t, to);
	return DISPATCH(r, WEIR_VK_SHADER_ROWS, spec, push, &t, n_rows(r, to), 1, 1);
}

static weir_status record_glu(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	bool two = op->src[1] != WEIR_NO_TENSOR;
	struct weir_vk_temp *y = temp(r, op->dst[0]);
	uint32_t spec[] = { r->vk->width, r->vk->lanes,
			    row_flags(r, op->dst[0], s->f32[0], s->q8[0]) | (two ? 1u : 0u),
			    weir_vk_activation(op->flags) };
	struct {
		VkDeviceAddress batch, x, u, y, q8;
		uint32_t width, q8_meta;
	} push = { r->p->batch.address,
		   temp(r, op->src[0])->f32,
		   two ? temp(r, op->src[1])->f32 : 0,
		   y->f32,
		   y->q8,
		   (uint32_t)y->width,
		   y->q8_meta };
	struct touches t = { .n_read = 0 };

	reads(&t, op->src[0]);
	reads(&t, op->src[1]);
	writes(&t, op->dst[0]);
	return DISPATCH(r, WEIR_VK_SHADER_GLU, spec, push, &t, n_rows(r, op->dst[0]), 1, 1);
}

static uint32_t kv_kind(const weir_buffer *b)
{
	if (!b)
		return 0;
	return b->type == WEIR_DTYPE_F32    ? 0u
	       : b->type == WEIR_DTYPE_F16  ? 1u
	       : b->type == WEIR_DTYPE_BF16 ? 2u
					    : 3u;
}

/* Caches have no number among the temporaries' touches of their own: each is one tensor. */
static weir_status record_rope_kv(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	const weir_buffer *keys = buffer(r, op->src[3]), *values = buffer(r, op->src[4]);
	uint32_t flags = (op->i[4] == WEIR_ROPE_NEOX ? ROPE_NEOX : 0u) |
			 (op->src[5] != WEIR_NO_TENSOR ? ROPE_Q_NORM : 0u) |
			 (op->src[6] != WEIR_NO_TENSOR ? ROPE_K_NORM : 0u) |
			 (keys ? ROPE_CACHE : 0u);
	uint32_t width = r->vk->lanes;
	uint32_t spec[] = { width,
			    r->vk->lanes,
			    kv_kind(keys),
			    (uint32_t)op->i[2],
			    keys ? keys->block_tokens : 1,
			    (uint32_t)op->i[1],
			    (uint32_t)op->i[0],
			    (uint32_t)op->i[3],
			    flags,
			    s->angles };
	struct {
		VkDeviceAddress batch, q, k, v, keys, values, q_norm, k_norm;
		uint32_t q_stride, k_stride, v_stride;
		float eps;
	} push = { .batch = r->p->batch.address,
		   .q = temp(r, op->src[0])->f32,
		   .k = temp(r, op->src[1])->f32,
		   .keys = keys ? keys->address : 0,
		   .values = values ? values->address : 0,
		   .q_norm = vector(r, op->src[5]),
		   .k_norm = vector(r, op->src[6]),
		   .q_stride = temp(r, op->src[0])->stride,
		   .k_stride = temp(r, op->src[1])->stride,
		   .eps = op->f[6] };
	struct touches t = { .n_read = 0 };

	writes(&t, op->src[0]);
	if (keys) {
		push.v = temp(r, op->src[2])->f32;
		push.v_stride = temp(r, op->src[2])->stride;
		reads(&t, op->src[1]);
		reads(&t, op->src[2]);
		writes(&t, op->src[3]);
		writes(&t, op->src[4]);
	} else {
		writes(&t, op->src[1]);
	}
	return DISPATCH(r, WEIR_VK_SHADER_ROPE_KV, spec, push, &t, (uint32_t)(op->i[0] + op->i[1]),
			r->bucket->tokens, 1);
}

uint32_t weir_vk_attention_tile(const struct weir_op *op)
{
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), tile = group < 4 ? 4 : group;
	/* Shared memory: tile * (2 * head size + chunk) floats in 16 KiB. */
	uint32_t most = op->i[2] <= 128 ? 8 : op->i[2] <= 256 ? 4 : 2;

	return tile < most ? tile : most;
}

static weir_status record_attention(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	const struct weir_op *op = &s->op;
	bool packed = op->code == WEIR_OP_ATTENTION_PACKED;
	const weir_buffer *keys = buffer(r, op->src[1]), *values = buffer(r, op->src[2]);
	struct weir_vk_temp *q = temp(r, op->src[0]), *y = temp(r, op->dst[0]);
	uint32_t emit = row_flags(r, op->dst[0], s->f32[0], s->q8[0]);
	uint32_t group = (uint32_t)(op->i[0] / op->i[1]), tile = weir_vk_attention_tile(op);
	uint32_t heads = group < tile ? group : tile, slices = (group + heads - 1) / heads;
	uint32_t chunks = packed ? 0 : r->bucket->chunks;
	uint32_t flags = (op->f[1] > 0 ? ATTENTION_SOFTCAP : 0u) | (chunks ? ATTENTION_SPLIT : 0u) |
			 (packed && op->i[4] ? ATTENTION_CAUSAL : 0u);
	uint32_t spec[] = { r->vk->width,
			    r->vk->lanes,
			    packed ? 4u : kv_kind(keys),
			    (uint32_t)op->i[2],
			    packed ? 1 : keys->block_tokens,
			    (uint32_t)op->i[1],
			    (uint32_t)op->i[0],
			    tile,
			    WEIR_VK_CHUNK,
			    flags | (chunks ? 0 : emit) };
	struct {
		VkDeviceAddress batch, q, keys, values, y, q8, partial;
		uint32_t q_stride, y_stride, q8_meta, n_chunks;
		int32_t window;
		float scale, softcap;
		uint32_t k_stride, v_stride, reserved;
	} push = { .batch = r->p->batch.address,
		   .q = q->f32,
		   .keys = packed ? temp(r, op->src[1])->f32 : keys->address,
		   .values = packed ? temp(r, op->src[2])->f32 : values->address,
		   .y = y->f32,
		   .q8 = y->q8,
		   .partial = r->p->partial.address,
		   .q_stride = q->stride,
		   .y_stride = y->stride,
		   .q8_meta = y->q8_meta,
		   .n_chunks = chunks,
		   .window = op->i[3],
		   .scale = op->f[0],
		   .softcap = op->f[1],
		   .k_stride = temp(r, op->src[1])->stride,
		   .v_stride = temp(r, op->src[2])->stride };
	struct touches t = { .n_read = 0 }, merged = { .n_read = 0 };
	weir_status status;

	reads(&t, op->src[0]);
	reads(&t, op->src[1]);
	reads(&t, op->src[2]);
	writes(&t, chunks ? scratch(r) : op->dst[0]);
	status = DISPATCH(r, WEIR_VK_SHADER_ATTENTION, spec, push, &t, (uint32_t)op->i[1] * slices,
			  r->bucket->pieces, chunks ? chunks : 1);
	if (status || !chunks)
		return status;
	uint32_t merge_spec[] = { r->vk->width,       r->vk->lanes,  (uint32_t)op->i[2],
				  (uint32_t)op->i[0], WEIR_VK_CHUNK, emit };
	struct {
		VkDeviceAddress batch, partial, y, q8;
		uint32_t y_stride, q8_meta, n_chunks;
		int32_t window;
	} merge_push = { r->p->batch.address,
			 r->p->partial.address,
			 y->f32,
			 y->q8,
			 y->stride,
			 y->q8_meta,
			 chunks,
			 op->i[3] };
	reads(&merged, scratch(r));
	writes(&merged, op->dst[0]);
	return DISPATCH(r, WEIR_VK_SHADER_MERGE, merge_spec, merge_push, &merged,
			(uint32_t)op->i[0], r->bucket->tokens, 1);
}

static weir_status record_step(struct weir_vk_recorder *r, const struct weir_vk_step *s)
{
	switch (s->code) {
	case WEIR_OP_EMBED:
		return record_embed(r, s);
	case WEIR_OP_NORM:
	case WEIR_VK_STEP_NORM_CHAIN:
		return record_norm(r, s);
	case WEIR_OP_LINEAR:
		return weir_vk_record_linear(r, s);
	case WEIR_OP_ROPE_KV:
		return record_rope_kv(r, s);
	case WEIR_OP_ATTENTION:
	case WEIR_OP_ATTENTION_PACKED:
		return record_attention(r, s);
	case WEIR_OP_LORA:
	case WEIR_VK_STEP_LORA_DOWN:
		return weir_vk_record_lora(r, s);
	case WEIR_VK_STEP_ROUTE:
		return weir_vk_record_route(r, s);
	case WEIR_OP_MOE:
	case WEIR_VK_STEP_EXPERTS:
		return weir_vk_record_experts(r, s);
	case WEIR_OP_GLU:
		return record_glu(r, s);
	case WEIR_OP_GATHER:
		return record_rows(r, s->op.src[0], s->op.dst[0],
				   ROWS_GATHER | row_flags(r, s->op.dst[0], s->f32[0], s->q8[0]));
	case WEIR_VK_STEP_QUANTIZE:
		return record_rows(r, s->op.dst[0], s->op.dst[0],
				   row_flags(r, s->op.dst[0], false, true));
	default:
		return weir_vk_fail(r->err, WEIR_E_INTERNAL, "program: step %u", s->code);
	}
}

/* Outputs to memory that the host reads, and made visible to it. */
static void record_end(struct weir_vk_recorder *r)
{
	VkMemoryBarrier to_copy = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
				    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
				    .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT };
	VkMemoryBarrier to_host = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
				    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT |
						     VK_ACCESS_TRANSFER_WRITE_BIT,
				    .dstAccessMask = VK_ACCESS_HOST_READ_BIT };
	weir_program *p = r->p;

	if (!p->outputs_in_place && p->outputs.buffer) {
		r->vk->api.CmdPipelineBarrier(r->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
					      VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &to_copy, 0,
					      NULL, 0, NULL);
		for (uint32_t i = 0; i < p->n_temps; i++) {
			const struct weir_vk_temp *t = &p->temps[i];
			VkBufferCopy copy = { t->offset, t->output,
					      (uint64_t)t->stride * 4 * n_rows(r, i) };

			if (t->kind == WEIR_TENSOR_OUTPUT && t->want_f32 && copy.size)
				r->vk->api.CmdCopyBuffer(r->commands, p->arena.buffer,
							 p->outputs.buffer, 1, &copy);
		}
	}
	r->vk->api.CmdPipelineBarrier(
		r->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
		VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0, NULL, 0, NULL);
}

static weir_status record_steps(struct weir_vk_recorder *r, uint32_t from, uint32_t end)
{
	weir_status s = WEIR_OK;

	for (uint32_t i = from; i < end && !s; i++) {
		const struct weir_op *op = &r->p->steps[i].op;

		/* A batch may want no output: a dispatch of no workgroups is left out. */
		if (op->dst[0] != WEIR_NO_TENSOR && r->p->steps[i].code != WEIR_OP_ROPE_KV &&
		    !n_rows(r, op->dst[0]))
			continue;
		if (r->p->steps[i].tailed && weir_vk_does_tail(r, &r->p->steps[i]))
			continue;
		/* It may have to wait for its pipeline: nobody waits for all of them. */
		if (!r->dry && atomic_load(&r->vk->interrupted))
			return weir_vk_fail(r->err, WEIR_E_CANCELLED, "the step was interrupted");
		s = record_step(r, &r->p->steps[i]);
	}
	return s;
}

static weir_status record_segment(struct weir_vk_recorder *r, uint32_t k)
{
	VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
	weir_status s = weir_vk_result(r->vk, r->vk->api.BeginCommandBuffer(r->commands, &begin),
				       "vkBeginCommandBuffer", r->err);

	if (s)
		return s;
	/* What the last run or segment left is read and written over. */
	barrier(r);
	s = record_steps(r, r->bucket->first[k], r->bucket->first[k + 1]);
	if (s)
		return s;
	if (k + 1 == r->bucket->n_segments)
		record_end(r);
	return weir_vk_result(r->vk, r->vk->api.EndCommandBuffer(r->commands), "vkEndCommandBuffer",
			      r->err);
}

weir_status weir_vk_record(weir_program *p, struct weir_vk_bucket *bucket, struct weir_error *err)
{
	VkCommandBufferAllocateInfo info = { .sType =
						     VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
					     .commandPool = p->vk->pool,
					     .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
					     .commandBufferCount = 1 };
	struct weir_vk_recorder r = { .p = p, .vk = p->vk, .bucket = bucket, .err = err };
	weir_status s;

	r.touched = calloc((size_t)p->n_temps + 2, 1);
	if (!r.touched)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory to record a step");
	s = weir_vk_result(p->vk,
			   p->vk->api.AllocateCommandBuffers(p->vk->device, &info, &r.commands),
			   "vkAllocateCommandBuffers", err);
	if (!s) {
		s = record_segment(&r, bucket->n_recorded);
		if (s)
			p->vk->api.FreeCommandBuffers(p->vk->device, p->vk->pool, 1, &r.commands);
	}
	free(r.touched);
	if (s)
		return s;
	bucket->commands[bucket->n_recorded++] = r.commands;
	bucket->n_dispatches += r.n_dispatches;
	return WEIR_OK;
}

/* The shaders' constants depend on the number of rows up to a matrix-vector shader's most, on
 * whether there are more, and on whether attention is split; tile-c's also on what its tiles'
 * columns are enough for. */
weir_status weir_vk_prepare(weir_program *p, struct weir_error *err)
{
	static const uint32_t sizes[] = { 1, UINT32_MAX, 2, 4, 8, WEIR_VK_MATVEC_ROWS + 1, 32 };
	size_t n = p->vk->coop.cols ? 7 : 6;
	struct weir_vk_recorder r = { .p = p, .vk = p->vk, .dry = true, .err = err };
	weir_status s = WEIR_OK;

	for (size_t i = 0; i < n && !s; i++) {
		struct weir_vk_bucket b = { .tokens = sizes[i], .out = sizes[i], .pieces = 1 };

		b.tokens = b.tokens < p->max_tokens ? b.tokens : p->max_tokens;
		b.out = b.out < p->max_out ? b.out : p->max_out;
		r.bucket = &b;
		for (b.chunks = 0; b.chunks <= (p->n_caches && i == 0 ? 2u : 0u) && !s;
		     b.chunks += 2)
			s = record_steps(&r, 0, p->n_steps);
		/* Those of one row and of the most: with their errors, now. */
		if (!s && i == 1)
			s = weir_vk_pipelines_settle(p->vk, err);
	}
	return s;
}
