/* SPDX-License-Identifier: MIT */
/*
 * check.c - is an operation well formed, and is there a kernel for it? Pure; any thread.
 *
 * supports() and program_new() both ask here, so that the answer is the same. What all devices ask
 * is in device-check.h; here are the limits of the kernels.
 */
#include "check.h"

#include "device-check.h"
#include "program.h"

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

static const struct weir_device_checker checker = { "the cpu backend", view };

weir_status weir_cpu_check(const struct weir_op *op, const struct weir_tensor *tensors,
			   struct weir_error *err)
{
	weir_status status = weir_device_check(&checker, op, tensors, err);
	uint64_t n_embd;

	if (status)
		return status;
	switch (op->code) {
	case WEIR_OP_ROPE_KV:
	case WEIR_OP_ATTENTION:
	case WEIR_OP_ATTENTION_PACKED:
		if (op->i[2] > (int32_t)WEIR_CPU_MAX_HEAD_SIZE)
			return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
					     "attention: head size %d; the cpu backend has 1 to %u",
					     op->i[2], WEIR_CPU_MAX_HEAD_SIZE);
		return WEIR_OK;
	case WEIR_OP_MOE:
		n_embd = tensors[op->src[0]].width;
		if (op->i[2] % 16 || n_embd % 16)
			return weir_cpu_fail(
				err, WEIR_E_UNSUPPORTED,
				"MOE: experts of %d x %llu; the cpu backend takes multiples of 16",
				op->i[2], (unsigned long long)n_embd);
		return WEIR_OK;
	case WEIR_OP_LORA:
		if (op->i[0] > (int32_t)WEIR_CPU_MAX_ADAPTERS)
			return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
					     "LORA: adapter %d; the cpu backend has 1 to %u",
					     op->i[0], WEIR_CPU_MAX_ADAPTERS);
		return WEIR_OK;
	default:
		return WEIR_OK;
	}
}

bool weir_cpu_supports(struct weir_instance *instance, const struct weir_op *op,
		       const struct weir_tensor *tensors)
{
	return weir_cpu_check(op, tensors, NULL) == WEIR_OK;
}
