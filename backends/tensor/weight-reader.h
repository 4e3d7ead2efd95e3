/* SPDX-License-Identifier: MIT */
/*
 * weight-reader.h - a tensor's bytes on their way from the file to the device. Used where a model
 * loads, on one worker; the device's host threads help to read.
 *
 * A device that reads by itself (weight_from()) gets no more memory beside its own. For others
 * there is one piece of memory for all tensors, as large as the largest.
 */
#ifndef WEIR_TENSOR_WEIGHT_READER_H
#define WEIR_TENSOR_WEIGHT_READER_H

#include <weir/draft/device.h>

#include "gguf.h"
#include "host-log.h"

struct weir_weight_reader { /* the first three by the caller, the rest 0 */
	const struct weir_device *device;
	struct weir_instance *instance;
	const struct weir_host_log *log;
	uint8_t *data;
	size_t room;
};

struct weir_weight_shape {
	uint64_t n_in, n_out;
	uint32_t use; /* enum weir_weight_use */
	float divisor;
};

/* The weight of n_out rows of n_in elements whose n bytes begin at the tensor's byte `at`; a
 * divisor other than 1 (F32 only) divides each of its elements. Errors: weir_gguf_read()'s, which
 * name the file; EXHAUSTED: no memory; CANCELLED: the load shall end; the device's. ret_device: was
 * it the device that refused? */
weir_status weir_weight_give(struct weir_weight_reader *r, const struct weir_gguf_tensor *t,
			     uint64_t at, uint64_t n, const struct weir_weight_shape *shape,
			     weir_buffer **ret, bool *ret_device, struct weir_error *err);

void weir_weight_reader_clear(struct weir_weight_reader *r);

#endif
