/* SPDX-License-Identifier: MIT */
/*
 * level-avx2.c - the kernels for AVX2, FMA, F16C.
 *
 * The only file built for that instruction set: nothing here may be called, and no inline function
 * shared with other files may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-avx2.h"

#include "kernel-all.h"

const struct weir_cpu_kernels weir_cpu_avx2 = {
	.name = "avx2",
	ALL_KERNELS,
};
