/* SPDX-License-Identifier: MIT */
/*
 * gguf-types.c - sizes of every tensor type that GGUF defines. Static data; any thread.
 *
 * Source: the block structs of the ggml project as its specification and headers state them
 * (revision d99724f2). Q2_0 is the 64-weight layout of that revision; one fork wrote the same id
 * with blocks of 128 weights in 34 bytes, which the file cannot tell apart.
 */
#include "gguf.h"

static const struct weir_gguf_type types[] = {
	[WEIR_GGUF_TYPE_F32] = { "F32", 1, 4 },
	[WEIR_GGUF_TYPE_F16] = { "F16", 1, 2 },
	[WEIR_GGUF_TYPE_Q4_0] = { "Q4_0", 32, 18 },
	[WEIR_GGUF_TYPE_Q4_1] = { "Q4_1", 32, 20 },
	[WEIR_GGUF_TYPE_Q5_0] = { "Q5_0", 32, 22 },
	[WEIR_GGUF_TYPE_Q5_1] = { "Q5_1", 32, 24 },
	[WEIR_GGUF_TYPE_Q8_0] = { "Q8_0", 32, 34 },
	[WEIR_GGUF_TYPE_Q8_1] = { "Q8_1", 32, 36 },
	[WEIR_GGUF_TYPE_Q2_K] = { "Q2_K", 256, 84 },
	[WEIR_GGUF_TYPE_Q3_K] = { "Q3_K", 256, 110 },
	[WEIR_GGUF_TYPE_Q4_K] = { "Q4_K", 256, 144 },
	[WEIR_GGUF_TYPE_Q5_K] = { "Q5_K", 256, 176 },
	[WEIR_GGUF_TYPE_Q6_K] = { "Q6_K", 256, 210 },
	[WEIR_GGUF_TYPE_Q8_K] = { "Q8_K", 256, 292 },
	[WEIR_GGUF_TYPE_IQ2_XXS] = { "IQ2_XXS", 256, 66 },
	[WEIR_GGUF_TYPE_IQ2_XS] = { "IQ2_XS", 256, 74 },
	[WEIR_GGUF_TYPE_IQ3_XXS] = { "IQ3_XXS", 256, 98 },
	[WEIR_GGUF_TYPE_IQ1_S] = { "IQ1_S", 256, 50 },
	[WEIR_GGUF_TYPE_IQ4_NL] = { "IQ4_NL", 32, 18 },
	[WEIR_GGUF_TYPE_IQ3_S] = { "IQ3_S", 256, 110 },
	[WEIR_GGUF_TYPE_IQ2_S] = { "IQ2_S", 256, 82 },
	[WEIR_GGUF_TYPE_IQ4_XS] = { "IQ4_XS", 256, 136 },
	[WEIR_GGUF_TYPE_I8] = { "I8", 1, 1 },
	[WEIR_GGUF_TYPE_I16] = { "I16", 1, 2 },
	[WEIR_GGUF_TYPE_I32] = { "I32", 1, 4 },
	[WEIR_GGUF_TYPE_I64] = { "I64", 1, 8 },
	[WEIR_GGUF_TYPE_F64] = { "F64", 1, 8 },
	[WEIR_GGUF_TYPE_IQ1_M] = { "IQ1_M", 256, 56 },
	[WEIR_GGUF_TYPE_BF16] = { "BF16", 1, 2 },
	[WEIR_GGUF_TYPE_TQ1_0] = { "TQ1_0", 256, 54 },
	[WEIR_GGUF_TYPE_TQ2_0] = { "TQ2_0", 256, 66 },
	[WEIR_GGUF_TYPE_MXFP4] = { "MXFP4", 32, 17 },
	[WEIR_GGUF_TYPE_NVFP4] = { "NVFP4", 64, 36 },
	[WEIR_GGUF_TYPE_Q1_0] = { "Q1_0", 128, 18 },
	[WEIR_GGUF_TYPE_Q2_0] = { "Q2_0", 64, 18 },
};

const struct weir_gguf_type *weir_gguf_type(uint32_t type)
{
	if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
		return NULL;
	return &types[type];
}
