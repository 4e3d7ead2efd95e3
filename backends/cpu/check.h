/* SPDX-License-Identifier: MIT */
/*
 * check.h - is an operation well formed, and is there a kernel for it? Pure; any thread.
 */
#ifndef WEIR_CPU_CHECK_H
#define WEIR_CPU_CHECK_H

#include <weir/draft/device.h>

/* The op's indices are within `tensors` or WEIR_NO_TENSOR. INVALID: shapes or parameters do not go
 * together; UNSUPPORTED: sound, but there is no kernel. */
weir_status weir_cpu_check(const struct weir_op *op, const struct weir_tensor *tensors,
			   struct weir_error *err);

#endif
