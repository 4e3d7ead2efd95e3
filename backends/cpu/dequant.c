/* SPDX-License-Identifier: MIT */
/*
 * dequant.c - rows of GGUF's types as float; see dequant.h. Built without contraction of a * b + c,
 * so that each result is what the format's formula gives in float.
 */
#include "dequant.h"

#include <stdio.h>
#include <string.h>

#include "codes.h"
#include "float16.h"
#include "iquant.h"
#include "nvfp4.h"

#include <weir/draft/device.h>

/* What the codes of IQ4_NL and IQ4_XS stand for, and those of E2M1, doubled. */
static const int8_t values_nl[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
				      1,    13,   25,  38,  53,  69,  89,  113 };
static const int8_t values_fp4[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

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

/* One plain block: w = d * value[code] */
static void block_of_values(uint32_t type, const uint8_t *src, float d, const int8_t *values,
			    float *dst)
{
	uint8_t q[32];

	weir_cpu_codes_get(type, src, q);
	for (int i = 0; i < 32; i++)
		dst[i] = d * (float)values[q[i]];
}

/* w = d * (q - zero) */
static void block_of_codes(uint32_t type, const uint8_t *src, float d, int zero, float *dst)
{
	uint8_t q[32];

	weir_cpu_codes_get(type, src, q);
	for (int i = 0; i < 32; i++)
		dst[i] = d * (float)(q[i] - zero);
}

/* w = d * q + m */
static void block_with_min(uint32_t type, const uint8_t *src, float *dst)
{
	float d = load_f16(src), m = load_f16(src + 2);

	block_of_codes(type, src, d, 0, dst);
	for (int i = 0; i < 32; i++)
		dst[i] += m;
}

static void row_q8_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 34, dst += 32)
		block_of_codes(WEIR_DTYPE_Q8_0, src, load_f16(src), 128, dst);
}

static void row_q4_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 18, dst += 32)
		block_of_codes(WEIR_DTYPE_Q4_0, src, load_f16(src), 8, dst);
}

static void row_q4_1(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 20, dst += 32)
		block_with_min(WEIR_DTYPE_Q4_1, src, dst);
}

static void row_q5_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 22, dst += 32)
		block_of_codes(WEIR_DTYPE_Q5_0, src, load_f16(src), 16, dst);
}

static void row_q5_1(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 24, dst += 32)
		block_with_min(WEIR_DTYPE_Q5_1, src, dst);
}

static void row_iq4_nl(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 18, dst += 32)
		block_of_values(WEIR_DTYPE_IQ4_NL, src, load_f16(src), values_nl, dst);
}

/* E8M0: a power of two; halved, as the values are doubled */
static void row_mxfp4(const uint8_t *src, size_t n_blocks, float *dst)
{
	for (size_t b = 0; b < n_blocks; b++, src += 17, dst += 32) {
		uint32_t bits = src[0] < 2 ? 0x00200000u << src[0] : (uint32_t)(src[0] - 1) << 23;

		block_of_values(WEIR_DTYPE_MXFP4, src, weir_bits_float(bits), values_fp4, dst);
	}
}

static void row_nvfp4(const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[64];

	for (size_t b = 0; b < n_blocks; b++, src += 36, dst += 64) {
		weir_cpu_codes_get(WEIR_DTYPE_NVFP4, src, q);
		for (int i = 0; i < 64; i++)
			dst[i] = weir_f16_to_f32(weir_nvfp4_scale(src[i / 16])) *
				 (float)values_fp4[q[i]];
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

/* Q4_K and Q5_K: w = (d * scale) * q - (dmin * min), per 32 weights */
static void row_pairs(uint32_t type, size_t bytes, const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += bytes) {
		float d = load_f16(src), dmin = load_f16(src + 2);

		weir_cpu_codes_get(type, src, q);
		for (unsigned j = 0; j < 8; j++) {
			uint8_t scale, min;
			float ds, dm;

			weir_q4_k_scale(src + 4, j, &scale, &min);
			ds = d * (float)scale;
			dm = dmin * (float)min;
			for (unsigned i = 32 * j; i < 32 * j + 32; i++)
				*dst++ = ds * (float)q[i] - dm;
		}
	}
}

static void row_q4_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	row_pairs(WEIR_DTYPE_Q4_K, 144, src, n_blocks, dst);
}

static void row_q5_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	row_pairs(WEIR_DTYPE_Q5_K, 176, src, n_blocks, dst);
}

/* scales[16]: low nibble the scale, high one the minimum, of 16 weights */
static void row_q2_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += 84) {
		float d = load_f16(src + 80), dmin = load_f16(src + 82);

		weir_cpu_codes_get(WEIR_DTYPE_Q2_K, src, q);
		for (int i = 0; i < 256; i++)
			*dst++ = d * (float)(src[i / 16] & 15) * (float)q[i] -
				 dmin * (float)(src[i / 16] >> 4);
	}
}

/* 6-bit scales minus 32 of 16 weights: j's low nibble in byte j % 8, its high bits in 8 + j % 4 */
static void row_q3_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += 110) {
		const uint8_t *scales = src + 96;
		float d = load_f16(src + 108);

		weir_cpu_codes_get(WEIR_DTYPE_Q3_K, src, q);
		for (int j = 0; j < 16; j++) {
			int low = scales[j % 8] >> (j / 8 * 4) & 15;
			int high = scales[8 + j % 4] >> (j / 4 * 2) & 3;
			float ds = d * (float)((low | high << 4) - 32);

			for (int i = 16 * j; i < 16 * j + 16; i++)
				*dst++ = ds * (float)(q[i] - 4);
		}
	}
}

/* int8 scales of 16 weights */
static void row_q6_k(const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += 210) {
		float d = load_f16(src + 208);

		weir_cpu_codes_get(WEIR_DTYPE_Q6_K, src, q);
		for (int i = 0; i < 256; i++)
			*dst++ = d * (float)(int8_t)src[192 + i / 16] * (float)(q[i] - 32);
	}
}

/* f16 d, two bytes with the high bits of 8 scales, four with their low nibbles; minus 32 */
static void row_iq4_xs(const uint8_t *src, size_t n_blocks, float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += 136) {
		float d = load_f16(src);
		unsigned high = load_u16(src + 2);

		weir_cpu_codes_get(WEIR_DTYPE_IQ4_XS, src, q);
		for (int j = 0; j < 8; j++) {
			unsigned low = src[4 + j / 2] >> (j % 2 * 4) & 15u;
			float ds = d * (float)((int)(low | (high >> (2 * j) & 3u) << 4) - 32);

			for (int i = 32 * j; i < 32 * j + 32; i++)
				*dst++ = ds * (float)values_nl[q[i]];
		}
	}
}

static void row_ternary(uint32_t type, size_t bytes, const uint8_t *src, size_t n_blocks,
			float *dst)
{
	uint8_t q[256];

	for (size_t b = 0; b < n_blocks; b++, src += bytes) {
		float d = load_f16(src + bytes - 2);

		weir_cpu_codes_get(type, src, q);
		for (int i = 0; i < 256; i++)
			*dst++ = d * (float)(q[i] - 1);
	}
}

static void row_tq1_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	row_ternary(WEIR_DTYPE_TQ1_0, 54, src, n_blocks, dst);
}

static void row_tq2_0(const uint8_t *src, size_t n_blocks, float *dst)
{
	row_ternary(WEIR_DTYPE_TQ2_0, 66, src, n_blocks, dst);
}

static void row_iquant(uint32_t type, size_t bytes, const uint8_t *src, size_t n_blocks, float *dst)
{
	const int8_t *values = weir_iquant_values(type);
	struct weir_iquant q;

	for (size_t b = 0; b < n_blocks; b++, src += bytes, dst += WEIR_IQUANT_BLOCK) {
		weir_iquant_decode(type, src, &q);
		for (int i = 0; i < WEIR_IQUANT_BLOCK; i++)
			dst[i] = q.d * (float)(q.scale[i / 16] * values[q.code[i]]);
	}
}

#define ROW_IQUANT(name, NAME, bytes)                                                              \
	static void row_##name(const uint8_t *src, size_t n_blocks, float *dst)                    \
	{                                                                                          \
		row_iquant(WEIR_DTYPE_##NAME, bytes, src, n_blocks, dst);                          \
	}

ROW_IQUANT(iq2_xxs, IQ2_XXS, 66)
ROW_IQUANT(iq2_xs, IQ2_XS, 74)
ROW_IQUANT(iq2_s, IQ2_S, 82)
ROW_IQUANT(iq3_xxs, IQ3_XXS, 98)
ROW_IQUANT(iq3_s, IQ3_S, 110)
ROW_IQUANT(iq1_s, IQ1_S, 50)
ROW_IQUANT(iq1_m, IQ1_M, 56)

static const struct weir_cpu_type types[] = {
	[WEIR_DTYPE_F32] = { "F32", 1, 4, 0, row_f32 },
	[WEIR_DTYPE_F16] = { "F16", 1, 2, 0, row_f16 },
	[WEIR_DTYPE_Q4_0] = { "Q4_0", 32, 18, 1, row_q4_0 },
	[WEIR_DTYPE_Q4_1] = { "Q4_1", 32, 20, 1, row_q4_1 },
	[WEIR_DTYPE_Q5_0] = { "Q5_0", 32, 22, 1, row_q5_0 },
	[WEIR_DTYPE_Q5_1] = { "Q5_1", 32, 24, 1, row_q5_1 },
	[WEIR_DTYPE_Q8_0] = { "Q8_0", 32, 34, 1, row_q8_0 },
	[WEIR_DTYPE_Q2_K] = { "Q2_K", 256, 84, 1, row_q2_k },
	[WEIR_DTYPE_Q3_K] = { "Q3_K", 256, 110, 1, row_q3_k },
	[WEIR_DTYPE_Q4_K] = { "Q4_K", 256, 144, 1, row_q4_k },
	[WEIR_DTYPE_Q5_K] = { "Q5_K", 256, 176, 1, row_q5_k },
	[WEIR_DTYPE_Q6_K] = { "Q6_K", 256, 210, 1, row_q6_k },
	[WEIR_DTYPE_IQ4_NL] = { "IQ4_NL", 32, 18, 1, row_iq4_nl },
	[WEIR_DTYPE_IQ4_XS] = { "IQ4_XS", 256, 136, 1, row_iq4_xs },
	[WEIR_DTYPE_BF16] = { "BF16", 1, 2, 0, row_bf16 },
	[WEIR_DTYPE_TQ1_0] = { "TQ1_0", 256, 54, 1, row_tq1_0 },
	[WEIR_DTYPE_TQ2_0] = { "TQ2_0", 256, 66, 1, row_tq2_0 },
	[WEIR_DTYPE_MXFP4] = { "MXFP4", 32, 17, 1, row_mxfp4 },
	[WEIR_DTYPE_NVFP4] = { "NVFP4", 64, 36, 1, row_nvfp4 },
	[WEIR_DTYPE_IQ2_XXS] = { "IQ2_XXS", 256, 66, 1, row_iq2_xxs },
	[WEIR_DTYPE_IQ2_XS] = { "IQ2_XS", 256, 74, 1, row_iq2_xs },
	[WEIR_DTYPE_IQ2_S] = { "IQ2_S", 256, 82, 1, row_iq2_s },
	[WEIR_DTYPE_IQ3_XXS] = { "IQ3_XXS", 256, 98, 1, row_iq3_xxs },
	[WEIR_DTYPE_IQ3_S] = { "IQ3_S", 256, 110, 1, row_iq3_s },
	[WEIR_DTYPE_IQ1_S] = { "IQ1_S", 256, 50, 1, row_iq1_s },
	[WEIR_DTYPE_IQ1_M] = { "IQ1_M", 256, 56, 1, row_iq1_m },
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
