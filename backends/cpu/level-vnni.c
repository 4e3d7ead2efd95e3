/* SPDX-License-Identifier: MIT */
/*
 * level-vnni.c - the kernels for AVX-512 with VNNI, and the same with BF16's two beside them.
 *
 * The only file built for that instruction set: nothing here may be called, and no inline function
 * shared with other files may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-avx512.h"

#include "kernel-all.h"

const struct weir_cpu_kernels weir_cpu_vnni = {
	.name = "vnni",
	ALL_KERNELS,
};

const struct weir_cpu_kernels weir_cpu_avx512bf16 = {
	.name = "avx512bf16",
	.bf16 = weir_cpu_bf16_linear,
	.mix_bf16 = weir_cpu_bf16_mix,
	KERNELS_BUT_BF16,
};
