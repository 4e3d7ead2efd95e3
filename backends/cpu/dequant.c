/* SPDX-License-Identifier: MIT */
/*
 * dequant.c - rows of GGUF's types as float; see dequant.h. Built without contraction of a * b + c,
 * so that each result is what the format's formula gives in float.
 */
#include "dequant.h"

#include <stdio.h>
#include <string.h>

#include "float16.h"

#include <weir/draft/device.h>

static inline uint16_t load_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline float load_f16(const uint8_t *p)
{
	return weir_f16_to_f32(load_u16(p));
}

static void row_f32(const uint8_t *src, size_t n_blocks, float *dst)
{
	memcpy(dst, src, n_blocks * sizeof(float));
}

static void row_f16(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t i = 0; i < n_blocks; i++)
		dst[i] = load_f16(src + 2 * i);
}

static void row_bf16(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t i = 0; i < n_blocks; i++)
		dst[i] = weir_bf16_to_f32(load_u16(src + 2 * i));
}

/* f16 d; int8 q[32] */
static void row_q8_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 34, dst += 32) {
		float d = load_f16(src);

		for (int i = 0; i < 32; i++)
			dst[i] = d * (float)(int8_t)src[2 + i];
	}
}

/* f16 d; 16 bytes: low nibbles are weights 0..15, high ones 16..31; minus 8 */
static void row_q4_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 18, dst += 32) {
		float d = load_f16(src);

		for (int i = 0; i < 16; i++) {
			dst[i] = (float)((src[2 + i] & 15) - 8) * d;
			dst[16 + i] = (float)((src[2 + i] >> 4) - 8) * d;
		}
	}
}

void weir_q4_k_scale(const uint8_t *scales, unsigned j, uint8_t *ret_scale, uint8_t *ret_min)
{
	if (j < 4) {
		*ret_scale = scales[j] & 63;
		*ret_min = scales[j + 4] & 63;
	} else {
		*ret_scale = (uint8_t)((scales[j + 4] & 15) | scales[j - 4] >> 6 << 4);
		*ret_min = (uint8_t)(scales[j + 4] >> 4 | scales[j] >> 6 << 4);
	}
}

/* f16 d, dmin; 12 bytes of 6-bit scales; 128 bytes: per 64 weights 32 bytes, low nibbles first */
static void row_q4_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 144) {
		float d = load_f16(src), dmin = load_f16(src + 2);

		for (unsigned j = 0; j < 8; j++) {
			const uint8_t *q = src + 16 + j / 2 * 32;
			uint8_t scale, min;
			float ds, dm;

			weir_q4_k_scale(src + 4, j, &scale, &min);
			ds = d * (float)scale;
			dm = dmin * (float)min;
			for (int i = 0; i < 32; i++)
				*dst++ = ds * (float)(j & 1 ? q[i] >> 4 : q[i] & 15) - dm;
		}
	}
}

/* ql[128], qh[64], int8 scales[16], f16 d; two halves of 128, lanes l, l+32, l+64, l+96 */
static void row_q6_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 210) {
		const int8_t *scales = (const int8_t *)src + 192;
		float d = load_f16(src + 208);

		for (int i = 0; i < 256; i++) {
			int half = i / 128, lane = i % 128 / 32, l = i % 32;
			int low = src[half * 64 + lane % 2 * 32 + l] >> (lane / 2 * 4) & 15;
			int high = src[128 + half * 32 + l] >> (lane * 2) & 3;

			*dst++ = d * (float)scales[i / 16] * (float)((low | high << 4) - 32);
		}
	}
}

static const struct weir_cpu_type types[] = {
	[WEIR_DTYPE_F32] = { "F32", 1, 4, 0, row_f32 },
	[WEIR_DTYPE_F16] = { "F16", 1, 2, 0, row_f16 },
	[WEIR_DTYPE_Q4_0] = { "Q4_0", 32, 18, 1, row_q4_0 },
	[WEIR_DTYPE_Q8_0] = { "Q8_0", 32, 34, 1, row_q8_0 },
	[WEIR_DTYPE_Q4_K] = { "Q4_K", 256, 144, 1, row_q4_k },
	[WEIR_DTYPE_Q6_K] = { "Q6_K", 256, 210, 1, row_q6_k },
	[WEIR_DTYPE_BF16] = { "BF16", 1, 2, 0, row_bf16 },
};

/* Every id of GGUF, for messages about types without a kernel. */
static const char *const names[] = {
	[0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
	[7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
	[12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
	[17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
	[22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
	[27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
	[35] = "TQ2_0",  [39] = "MXFP4",   [40] = "NVFP4", [41] = "Q1_0",   [42] = "Q2_0",
};

const struct weir_cpu_type *weir_cpu_type(uint32_t type)
{
	if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
		return NULL;
	return &types[type];
}

const char *weir_cpu_type_name(uint32_t type, char buf[16])
{
	if (type < sizeof(names) / sizeof(names[0]) && names[type])
		return names[type];
	snprintf(buf, 16, "type %u", type);
	return buf;
}
