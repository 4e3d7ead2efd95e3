/* SPDX-License-Identifier: MIT */
/*
 * level-neon.c - the kernels for AArch64: for any, and for those with FEAT_DotProd.
 *
 * Built twice. Nothing of the second may be called, and no inline function shared with other files
 * may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include "simd-neon.h"

#include "kernel-all.h"

#ifdef __ARM_FEATURE_DOTPROD
const struct weir_cpu_kernels weir_cpu_dotprod = {
	.name = "dotprod",
#else
const struct weir_cpu_kernels weir_cpu_neon = {
	.name = "neon",
#endif
	ALL_KERNELS,
};
