/* SPDX-License-Identifier: MIT */
/*
 * layout.h - GGUF's weight types in the layout of the shaders. Pure; any thread.
 *
 * Floats keep their rows, padded with zeros to 8 elements. Quantised types become planes, one after
 * the other, each [row][block of 32 weights] and beginning at a multiple of 16 bytes:
 *   low     the low 2, 4 or 8 bits of the codes
 *   high    the next 1 or 2
 *   scale   what a block has of its own
 *   super   what eight blocks share
 * Within a block, codes are for words k = 0..7 of four bytes (weights 4k..4k+3): 8 bits, word k; 4
 * bits, word k % 4, shifted by 4 (k / 4); 2 bits, word k % 2, shifted by 2 (k / 2); 1 bit, one
 * word, shifted by k. shaders/codes.glsl reads it.
 *
 * The formats themselves: the public GGUF specification; block layouts as in ggml.
 */
#ifndef WEIR_VULKAN_LAYOUT_H
#define WEIR_VULKAN_LAYOUT_H

#include <weir/draft/device.h>

enum weir_vk_scale {
	WEIR_VK_SCALE_HALF = 0,     /* f16 a block */
	WEIR_VK_SCALE_HALVES = 1,   /* f16 scale, f16 minimum (added) */
	WEIR_VK_SCALE_MINIMUM = 2,  /* u8 scale, u8 minimum; super: f16 of scales, of minima */
	WEIR_VK_SCALE_SIGNED = 3,   /* i8 of each half; super: f16, f16 0 */
	WEIR_VK_SCALE_NIBBLES = 4,  /* 4 bits: scale, minimum of each half; super as MINIMUM */
	WEIR_VK_SCALE_SUPER = 5,    /* super: f16 */
	WEIR_VK_SCALE_EXPONENT = 6, /* E8M0 a block */
	WEIR_VK_SCALE_TWO = 7,      /* f16 of each half */
};

/* What codes of 4 bits stand for (IQ2 and IQ1: of 3); shaders/codes.glsl has the values. */
enum weir_vk_table {
	WEIR_VK_TABLE_NONE = 0, /* the code, less an offset */
	WEIR_VK_TABLE_IQ4_NL = 1,
	WEIR_VK_TABLE_MXFP4 = 2,   /* in halves; NVFP4 too */
	WEIR_VK_TABLE_IQ2 = 3,     /* in eighths */
	WEIR_VK_TABLE_IQ3_XXS = 4, /* in quarters */
	WEIR_VK_TABLE_IQ3_S = 5,
	WEIR_VK_TABLE_IQ1 = 6, /* in eighths */
};

#define WEIR_VK_FORMAT(low, high, scale, offset, table)                                            \
	((uint32_t)(low) | (uint32_t)(high) << 4 | (uint32_t)(scale) << 6 |                        \
	 (uint32_t)(offset) << 9 | (uint32_t)(table) << 15)
#define WEIR_VK_FORMAT_FLOATS (1u << 20) /* + 0 F32, 1 F16, 2 BF16 */

struct weir_vk_type {
	const char *name;
	uint32_t block, bytes; /* of GGUF: weights, bytes */
	uint32_t format;
	bool iquant; /* split() is of no use: iquant.h's form is */
	/* Blocks of 32 to planes; NULL: floats */
	void (*split)(const uint8_t *src, uint8_t codes[32], uint32_t k, uint8_t *scale,
		      uint8_t *super);
};

/* NULL: no kernel for it. */
const struct weir_vk_type *weir_vk_type(uint32_t type);
const char *weir_vk_type_names(void); /* "F32, F16, ..." */

struct weir_vk_planes {
	uint64_t high, scale, super, bytes; /* where they begin; of all */
};

/* False: too large. */
bool weir_vk_planes(const struct weir_vk_type *type, uint64_t n_in, uint64_t n_out,
		    struct weir_vk_planes *ret);

/* Bytes from .. from + n of the layout, written to dst. Any piece whose borders are multiples of
 * 4096 gives the same bytes as the whole. */
void weir_vk_layout(const struct weir_vk_type *type, uint64_t n_in, uint64_t n_out, const void *src,
		    uint64_t from, uint64_t n, uint8_t *dst);

/* Rows of F32, F16 or BF16 as floats. */
void weir_vk_floats(uint32_t type, const void *src, uint64_t n, float *dst);

/* IEEE half to and from float; ties to even. */
float weir_vk_half(uint16_t h);

#endif
