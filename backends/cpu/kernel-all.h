/* SPDX-License-Identifier: MIT */
/*
 * kernel-all.h - all kernels for one ISA, and the table of them.
 *
 * Included by level-*.c after a simd-*.h: a kernel that is added here is in every level.
 */
#include <math.h>
#include <string.h>

#include "kernel-quant.h"
#include "kernel-float.h"
#include "kernel-rows.h"
#include "kernel-attention.h"

/* The members of struct weir_cpu_kernels after its name; and without those that a unit of its own
 * for BF16 replaces */
#define KERNELS_BUT_BF16                                                                           \
	.quant = QUANT_KERNELS, .f32 = float_f32, .f16 = float_f16, .quantize = rows_quantize,     \
	.norm = rows_norm, .finish = rows_finish, .rope = rows_rope, .convert = rows_convert,      \
	.softmax = rows_softmax, .merge = rows_merge, ATTENTION_KERNELS
#define ALL_KERNELS .bf16 = float_bf16, .mix_bf16 = mix_bf16, KERNELS_BUT_BF16
