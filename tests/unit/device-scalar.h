/* SPDX-License-Identifier: MIT */
/*
 * device-scalar.h - the plainest possible level-C device: what each operation of
 * weir/draft/device.h means, in loops over doubles. For tests: it shows that a program is right,
 * and is the reference that other devices can be held against. One thread. F32 weights; F32 and F16
 * caches.
 */
#ifndef WEIR_TEST_DEVICE_SCALAR_H
#define WEIR_TEST_DEVICE_SCALAR_H

#include "backend.h"

struct device_scalar {
	struct weir_tensor_backend *backend; /* first: what instance.data points to */
	struct weir_instance instance;
	_Atomic bool interrupted; /* the next run ends with CANCELLED */
	uint32_t refuse_op;       /* supports() says no to this code */
	uint32_t fail_weight;     /* the n-th weight() fails, from 1 */
	uint32_t n_weights, n_runs;
	int32_t n_buffers, n_programs; /* alive */
	bool poison;                   /* logits become NaN in the first output row */
};

extern const struct weir_device device_scalar;

/* Ready for weir_tensor_backend_new(). */
void device_scalar_init(struct device_scalar *d);

#endif
