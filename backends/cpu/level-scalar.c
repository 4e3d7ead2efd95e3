/* SPDX-License-Identifier: MIT */
/*
 * level-scalar.c - the kernels for plain C.
 *
 * The only file built for that instruction set: nothing here may be called, and no inline function
 * shared with other files may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-scalar.h"

#include "kernel-all.h"

const struct weir_cpu_kernels weir_cpu_scalar = {
	.name = "scalar",
	ALL_KERNELS,
};
