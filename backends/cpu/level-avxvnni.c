/* SPDX-License-Identifier: MIT */
/*
 * level-avxvnni.c - the kernels for AVX2 with a 256-bit dot product: AVX-VNNI, or AVX-512's.
 *
 * Built twice, for processors with AVX-VNNI, and for those with AVX-512 VNNI and VL: there it runs
 * in tests, being no faster than the kernels of 512 bits. Nothing here may be called, and no inline
 * function shared with other files may be emitted from here, unless weir_cpu_level_kernels() says
 * yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-avx2.h"

#include "kernel-all.h"

#ifdef __AVXVNNI__
const struct weir_cpu_kernels weir_cpu_avxvnni = {
#else
const struct weir_cpu_kernels weir_cpu_avxvnni_evex = {
#endif
	.name = "avxvnni",
	ALL_KERNELS,
};
