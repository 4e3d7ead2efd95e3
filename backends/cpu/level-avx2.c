/* SPDX-License-Identifier: MIT */
/*
 * level-avx2.c - the kernels for AVX2, FMA, F16C.
 *
 * The only file built for that instruction set: nothing here may be called, and no inline function
 * shared with other files may be emitted from here, unless weir_cpu_level_kernels() says yes.
 * Built without contraction of a * b + c: what is fused is written so.
 */
#include <math.h>
#include <string.h>

#include "simd-avx2.h"

#include "kernel-quant.h"
#include "kernel-float.h"
#include "kernel-rows.h"
#include "kernel-attention.h"

const struct weir_cpu_kernels weir_cpu_avx2 = {
	.name = "avx2",
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
	ATTENTION_KERNELS,
};
