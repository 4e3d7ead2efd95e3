/* SPDX-License-Identifier: MIT */
/*
 * level-neon.c - the kernels for AArch64: for any, and for those with FEAT_DotProd.
 *
 * Built twice. Nothing of the second may be called, and no inline function shared with other files
 * may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include <math.h>
#include <string.h>

#include "simd-neon.h"

#include "kernel-quant.h"
#include "kernel-float.h"
#include "kernel-rows.h"

#ifdef __ARM_FEATURE_DOTPROD
const struct weir_cpu_kernels weir_cpu_dotprod = {
	.name = "dotprod",
#else
const struct weir_cpu_kernels weir_cpu_neon = {
	.name = "neon",
#endif
	.quant = QUANT_KERNELS,
	.f32 = float_f32,
	.f16 = float_f16,
	.bf16 = float_bf16,
	.quantize = rows_quantize,
	.norm = rows_norm,
	.finish = rows_finish,
	.rope = rows_rope,
	.convert = rows_convert,
	.softmax = rows_softmax,
	.merge = rows_merge,
};
