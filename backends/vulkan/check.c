/* SPDX-License-Identifier: MIT */
/*
 * check.c - is an operation well formed, and is there a shader for it? Pure; any thread.
 *
 * supports() and program_new() both ask here, so that the answer is the same. What all devices ask
 * is in device-check.h; here are the limits of the shaders.
 */
#include "device-check.h"
#include "layout.h"
#include "program.h"

enum {
	MAX_ROWS = 32 * 65535, /* of a matrix: 32 a workgroup, 65535 workgroups */
	MAX_HEADS = 1 << 15
};

#define NO_SHADER(...) weir_vk_fail(err, WEIR_E_UNSUPPORTED, __VA_ARGS__)

static void view(const weir_buffer *b, struct weir_device_view *ret)
{
	*ret = (struct weir_device_view){ .type = b->type,
					  .use = b->use,
					  .n_in = b->n_in,
					  .n_out = b->n_out,
					  .n_blocks = b->n_blocks,
					  .block_tokens = b->block_tokens,
					  .n_heads = b->n_heads,
					  .head_size = b->head_size };
}

static const struct weir_device_checker checker = { "the vulkan backend", view };

static bool is_quantised(const struct weir_tensor *tensors, uint32_t i)
{
	return weir_vk_type(tensors[i].buffer->type)->split != NULL;
}

static weir_status linear_limits(const struct weir_op *op, const struct weir_tensor *tensors,
				 struct weir_error *err)
{
	for (int k = 0; k < op->i[0]; k++)
		if (tensors[op->src[1 + k]].buffer->n_out > MAX_ROWS)
			return NO_SHADER("LINEAR: a matrix of %llu rows; the vulkan backend has %d",
					 (unsigned long long)tensors[op->src[1 + k]].buffer->n_out,
					 MAX_ROWS);
	if (op->flags & WEIR_LINEAR_GLU &&
	    is_quantised(tensors, op->src[1]) != is_quantised(tensors, op->src[2]))
		return NO_SHADER("LINEAR: a gate of floats with a quantised matrix");
	return WEIR_OK;
}

static weir_status moe_limits(const struct weir_op *op, const struct weir_tensor *tensors,
			      struct weir_error *err)
{
	if (op->i[1] > (int32_t)WEIR_VK_MAX_CHOICES)
		return NO_SHADER("MOE: %d experts for a token; the vulkan backend has 1 to %u",
				 op->i[1], WEIR_VK_MAX_CHOICES);
	if (is_quantised(tensors, op->src[2]) != is_quantised(tensors, op->src[3]) ||
	    (is_quantised(tensors, op->src[4]) && op->i[2] % 32))
		return NO_SHADER("MOE: a gate of floats with a quantised matrix");
	if (op->i[2] > MAX_ROWS || tensors[op->src[0]].width > MAX_ROWS)
		return NO_SHADER("MOE: experts are too wide");
	return WEIR_OK;
}

/* Rows that shaders count with 32 bits of bytes. */
static weir_status check_widths(const struct weir_op *op, const struct weir_tensor *tensors,
				struct weir_error *err)
{
	const uint32_t *lists[] = { op->dst, op->src };
	const int counts[] = { 3, 8 };

	for (int l = 0; l < 2; l++)
		for (int k = 0; k < counts[l]; k++) {
			uint32_t i = lists[l][k];

			if (i != WEIR_NO_TENSOR && tensors[i].kind >= WEIR_TENSOR_TEMP &&
			    tensors[i].width > UINT32_MAX / 64)
				return NO_SHADER("rows of %llu are too wide",
						 (unsigned long long)tensors[i].width);
		}
	return WEIR_OK;
}

weir_status weir_vk_op_check(const struct weir_op *op, const struct weir_tensor *tensors,
			     struct weir_error *err)
{
	weir_status status = weir_device_check(&checker, op, tensors, err);

	if (!status)
		status = check_widths(op, tensors, err);
	if (status)
		return status;
	switch (op->code) {
	case WEIR_OP_NORM:
		if (op->flags & WEIR_NORM_ADD && op->dst[0] == op->src[0])
			return NO_SHADER("NORM: adds to its own source");
		return WEIR_OK;
	case WEIR_OP_LINEAR:
		return linear_limits(op, tensors, err);
	case WEIR_OP_ROPE_KV:
	case WEIR_OP_ATTENTION:
	case WEIR_OP_ATTENTION_PACKED:
		if (op->i[0] > MAX_HEADS || op->i[2] > (int32_t)WEIR_VK_MAX_HEAD)
			return NO_SHADER(
				"attention: %d heads of %d; the vulkan backend has %d of %u",
				op->i[0], op->i[2], MAX_HEADS, WEIR_VK_MAX_HEAD);
		return WEIR_OK;
	case WEIR_OP_MOE:
		return moe_limits(op, tensors, err);
	case WEIR_OP_LORA:
		if (tensors[op->src[2]].buffer->n_out > MAX_ROWS)
			return NO_SHADER("LORA: the result is too wide");
		return WEIR_OK;
	default:
		return WEIR_OK;
	}
}

bool weir_vk_supports(struct weir_instance *instance, const struct weir_op *op,
		      const struct weir_tensor *tensors)
{
	return weir_vk_op_check(op, tensors, NULL) == WEIR_OK;
}
