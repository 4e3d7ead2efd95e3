/* SPDX-License-Identifier: MIT */
/*
 * device-check.h - does an operation keep to the contract of <weir/draft/device.h>: the shapes of
 * its tensors, its flags, its numbers? One list for all level-C devices. Pure; any thread.
 *
 * A device's supports() and program_new() ask here first, and then for what they themselves cannot
 * do: types without a kernel, heads that are too large.
 */
#ifndef WEIR_DEVICE_CHECK_H
#define WEIR_DEVICE_CHECK_H

#include <weir/draft/device.h>

#define WEIR_DEVICE_ACTS                                                                           \
	((uint32_t)(WEIR_ACT_SILU | WEIR_ACT_GELU_TANH | WEIR_ACT_RELU2 | WEIR_ACT_GELU_ERF |      \
		    WEIR_ACT_RELU | WEIR_ACT_TANH))

/* What a device knows of a buffer of its own. */
struct weir_device_view {
	uint32_t type, use;                                  /* weir_weight_use; 0: a KV cache */
	uint64_t n_in, n_out;                                /* weights */
	uint32_t n_blocks, block_tokens, n_heads, head_size; /* caches */
};

struct weir_device_checker {
	const char *name; /* "the cpu backend", for its sentences */
	void (*view)(const weir_buffer *buffer, struct weir_device_view *ret);
};

/* The op's indices are within `tensors` or WEIR_NO_TENSOR. INVALID: shapes or parameters do not go
 * together; UNSUPPORTED: an operation or a kind of it that the contract does not have. err: NULL or
 * filled. */
weir_status weir_device_check(const struct weir_device_checker *checker, const struct weir_op *op,
			      const struct weir_tensor *tensors, struct weir_error *err);

#endif
