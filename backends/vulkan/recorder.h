/* SPDX-License-Identifier: MIT */
/*
 * recorder.h - what the files of record*.c share: the command buffer under way, which tensors
 * its dispatches touch, and the dispatch itself.
 */
#ifndef WEIR_VULKAN_RECORDER_H
#define WEIR_VULKAN_RECORDER_H

#include "program.h"

/* As in the shaders. */
enum {
	FLAG_OUT_ROWS = 4,
	FLAG_EMIT_F32 = 8,
	FLAG_EMIT_Q8 = 16,
};

/* Of linear and tiled shaders. */
enum {
	LINEAR_ADD = 1,
	LINEAR_GLU = 2,
	LINEAR_BIAS = 32, /* << k: of matrix k */
	LINEAR_SOFTCAP = 256,
};

struct linear_push {
	VkDeviceAddress batch, x, w[3], y[3], bias[3], y_q8;
	uint32_t n_in, x_meta, y_meta, n_out[3];
	float scale, softcap;
};

struct weir_vk_recorder {
	weir_program *p;
	struct weir_vk *vk;
	const struct weir_vk_bucket *bucket;
	VkCommandBuffer commands;
	/* [n_temps + 2] since the last barrier: 1 read, 2 written; last: partials, counters */
	uint8_t *touched;
	uint32_t n_dispatches;
	bool dry; /* only asks for the pipelines */
	struct weir_error *err;
};

/* Tensors that a dispatch reads and writes. */
struct touches {
	uint32_t read[12], written[6];
	unsigned n_read, n_written;
};

/* Appends a dispatch of x by y by z workgroups, behind a barrier where it needs one. */
weir_status weir_vk_dispatch(struct weir_vk_recorder *r, enum weir_vk_shader shader,
			     const uint32_t *spec, uint32_t n_spec, const void *push,
			     uint32_t push_bytes, const struct touches *t, uint32_t x, uint32_t y,
			     uint32_t z);

static inline void reads(struct touches *t, uint32_t tensor)
{
	if (tensor != WEIR_NO_TENSOR)
		t->read[t->n_read++] = tensor;
}

static inline void writes(struct touches *t, uint32_t tensor)
{
	t->written[t->n_written++] = tensor;
}

#define DISPATCH(r, shader, spec, push, t, x, y, z)                                                \
	weir_vk_dispatch(r, shader, spec, sizeof(spec) / sizeof((spec)[0]), &(push), sizeof(push), \
			 t, x, y, z)

static inline struct weir_vk_temp *temp(const struct weir_vk_recorder *r, uint32_t t)
{
	return &r->p->temps[t];
}

static inline const weir_buffer *buffer(const struct weir_vk_recorder *r, uint32_t t)
{
	return t == WEIR_NO_TENSOR ? NULL : r->p->temps[t].buffer;
}

static inline VkDeviceAddress vector(const struct weir_vk_recorder *r, uint32_t t)
{
	return t == WEIR_NO_TENSOR ? 0 : r->p->temps[t].buffer->vector;
}

static inline uint32_t n_rows(const struct weir_vk_recorder *r, uint32_t t)
{
	return temp(r, t)->rows == WEIR_ROWS_OUT ? r->bucket->out : r->bucket->tokens;
}

static inline uint32_t row_flags(const struct weir_vk_recorder *r, uint32_t t, bool f32, bool q8)
{
	return (temp(r, t)->rows == WEIR_ROWS_OUT ? FLAG_OUT_ROWS : 0u) |
	       (f32 ? FLAG_EMIT_F32 : 0u) | (q8 ? FLAG_EMIT_Q8 : 0u);
}

static inline uint32_t counters(const struct weir_vk_recorder *r)
{
	return r->p->n_temps + 1;
}

/* record-linear.c: the products of matrices, and what chooses and joins them. */
uint32_t weir_vk_activation(uint32_t flags);
/* Are rows so few that the last workgroup of the product before it does this step? */
bool weir_vk_does_tail(const struct weir_vk_recorder *r, const struct weir_vk_step *tail);
weir_status weir_vk_record_linear(struct weir_vk_recorder *r, const struct weir_vk_step *s);
weir_status weir_vk_record_lora(struct weir_vk_recorder *r, const struct weir_vk_step *s);
weir_status weir_vk_record_experts(struct weir_vk_recorder *r, const struct weir_vk_step *s);
/* Consecutive blocks of a lane; the same for all numbers of rows. */
uint32_t weir_vk_run_of(const struct weir_vk *vk, uint64_t n_in);
/* record-experts.c: do so many rows' experts multiply in tiles? Then the steps EXPERTS and MOE. */
bool weir_vk_in_groups(const struct weir_vk_recorder *r, const struct weir_vk_step *s);
weir_status weir_vk_record_groups(struct weir_vk_recorder *r, const struct weir_vk_step *s);
weir_status weir_vk_record_route(struct weir_vk_recorder *r, const struct weir_vk_step *s);

#endif
