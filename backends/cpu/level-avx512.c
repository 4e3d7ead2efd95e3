/* SPDX-License-Identifier: MIT */
/*
 * level-avx512.c - the kernels for AVX-512 F, BW, VL, DQ.
 *
 * The only file built for that instruction set: nothing here may be called, and no inline function
 * shared with other files may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-avx512.h"

#include "kernel-all.h"

const struct weir_cpu_kernels weir_cpu_avx512 = {
	.name = "avx512",
	ALL_KERNELS,
};
