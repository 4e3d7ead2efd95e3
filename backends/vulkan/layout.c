/* SPDX-License-Identifier: MIT */
/*
 * layout.c - splits GGUF's blocks into planes; see layout.h.
 */
#include "layout.h"

#include <string.h>

#include "iquant.h"
#include "nvfp4.h"

static uint8_t bits_at(const uint8_t *src, unsigned i, unsigned shift, unsigned mask)
{
	return (uint8_t)(src[i] >> shift & mask);
}

static void copy_half(uint8_t *dst, const uint8_t *src)
{
	if (dst) {
		dst[0] = src[0];
		dst[1] = src[1];
	}
}

/* Each split writes block k (of 32 weights) of the GGUF block at src: codes in order, its scale
 * and, where super is not NULL, what eight blocks share. */

static void split_q8_0(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	copy_half(scale, src);
	memcpy(codes, src + 2, 32);
}

static void nibbles(const uint8_t *src, uint8_t *codes)
{
	for (unsigned i = 0; i < 16; i++) {
		codes[i] = src[i] & 15;
		codes[16 + i] = src[i] >> 4;
	}
}

static void split_q4_0(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	copy_half(scale, src);
	nibbles(src + 2, codes);
}

static void split_q4_1(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	memcpy(scale, src, 4);
	nibbles(src + 4, codes);
}

static void fifth_bits(const uint8_t *src, uint8_t *codes)
{
	for (unsigned i = 0; i < 32; i++)
		codes[i] |= (uint8_t)(bits_at(src, i / 8, i % 8, 1) << 4);
}

static void split_q5_0(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	copy_half(scale, src);
	nibbles(src + 6, codes);
	fifth_bits(src + 2, codes);
}

static void split_q5_1(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	memcpy(scale, src, 4);
	nibbles(src + 8, codes);
	fifth_bits(src + 4, codes);
}

/* scales[16] of a 4-bit scale and minimum; 64 bytes of 2 bits; f16 d, dmin */
static void split_q2_k(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	const uint8_t *q = src + 16 + k / 4 * 32;

	for (unsigned i = 0; i < 32; i++)
		codes[i] = bits_at(q, i, k % 4 * 2, 3);
	memcpy(scale, src + 2 * k, 2);
	if (super)
		memcpy(super, src + 80, 4);
}

/* hmask[32]; 64 bytes of 2 bits; 12 bytes of 6-bit scales; f16 d */
static void split_q3_k(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	const uint8_t *q = src + 32 + k / 4 * 32, *s = src + 96;

	for (unsigned i = 0; i < 32; i++)
		codes[i] = (uint8_t)(bits_at(q, i, k % 4 * 2, 3) | bits_at(src, i, k, 1) << 2);
	for (unsigned h = 0; h < 2; h++) {
		unsigned j = 2 * k + h;
		unsigned low = bits_at(s, j % 8, j / 8 * 4, 15);
		unsigned high = bits_at(s, 8 + j % 4, j / 4 * 2, 3);

		scale[h] = (uint8_t)((low | high << 4) - 32);
	}
	if (super) {
		copy_half(super, src + 108);
		memset(super + 2, 0, 2);
	}
}

static void scale_min(const uint8_t *s, uint32_t j, uint8_t *ret)
{
	if (j < 4) {
		ret[0] = s[j] & 63;
		ret[1] = s[j + 4] & 63;
	} else {
		ret[0] = (uint8_t)((s[j + 4] & 15) | s[j - 4] >> 6 << 4);
		ret[1] = (uint8_t)(s[j + 4] >> 4 | s[j] >> 6 << 4);
	}
}

/* f16 d, dmin; 12 bytes of 6-bit pairs; per 64 weights 32 bytes, low nibbles first */
static void split_q4_k(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	for (unsigned i = 0; i < 32; i++)
		codes[i] = bits_at(src + 16 + k / 2 * 32, i, k % 2 * 4, 15);
	scale_min(src + 4, k, scale);
	if (super)
		memcpy(super, src, 4);
}

/* As Q4_K, with qh[32] before the nibbles: bit k of a byte for block k */
static void split_q5_k(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	for (unsigned i = 0; i < 32; i++)
		codes[i] = (uint8_t)(bits_at(src + 48 + k / 2 * 32, i, k % 2 * 4, 15) |
				     bits_at(src + 16, i, k, 1) << 4);
	scale_min(src + 4, k, scale);
	if (super)
		memcpy(super, src, 4);
}

/* ql[128], qh[64], int8 scales[16], f16 d; two halves of 128, lanes l, l+32, l+64, l+96 */
static void split_q6_k(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
		       uint8_t *super)
{
	unsigned half = k / 4, at = k % 4;

	for (unsigned i = 0; i < 32; i++)
		codes[i] = (uint8_t)(bits_at(src + half * 64 + at % 2 * 32, i, at / 2 * 4, 15) |
				     bits_at(src + 128 + half * 32, i, at * 2, 3) << 4);
	memcpy(scale, src + 192 + 2 * k, 2);
	if (super) {
		copy_half(super, src + 208);
		memset(super + 2, 0, 2);
	}
}

/* f16 d, u16 high bits of scales, 4 bytes of low ones, 128 bytes of nibbles, 32 weights in 16 */
static void split_iq4_xs(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			 uint8_t *super)
{
	unsigned high = (unsigned)(src[2] | src[3] << 8) >> (2 * k) & 3;
	unsigned low = bits_at(src + 4, k / 2, k % 2 * 4, 15);

	nibbles(src + 8 + 16 * k, codes);
	scale[0] = scale[1] = (uint8_t)((low | high << 4) - 32);
	if (super) {
		copy_half(super, src);
		memset(super + 2, 0, 2);
	}
}

/* u8 exponent; 16 bytes of nibbles */
static void split_mxfp4(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			uint8_t *super)
{
	*scale = src[0];
	nibbles(src + 1, codes);
}

/* u8 scales of 16 weights; 8 bytes of nibbles for each 16 weights */
static void split_nvfp4(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			uint8_t *super)
{
	for (unsigned i = 0; i < 32; i++)
		codes[i] = bits_at(src + 4 + 16 * k, i / 16 * 8 + i % 8, i % 16 / 8 * 4, 15);
	for (unsigned h = 0; h < 2; h++) {
		uint16_t half = weir_nvfp4_scale(src[2 * k + h]);

		scale[2 * h] = (uint8_t)half;
		scale[2 * h + 1] = (uint8_t)(half >> 8);
	}
}

/* qs[48], qh[4]: five (four) base-3 digits in a byte, as a fraction of 256; f16 d. 160 weights are
 * digits of qs[0..31], 80 of qs[32..47], 16 of qh. */
static void split_tq1_0(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			uint8_t *super)
{
	static const uint8_t power[5] = { 1, 3, 9, 27, 81 };

	for (unsigned i = 0; i < 32; i++) {
		unsigned w = 32 * k + i, byte, digit;

		if (w < 160) {
			byte = w % 32;
			digit = w / 32;
		} else if (w < 240) {
			byte = 32 + (w - 160) % 16;
			digit = (w - 160) / 16;
		} else {
			byte = 48 + (w - 240) % 4;
			digit = (w - 240) / 4;
		}
		codes[i] = (uint8_t)((unsigned)(uint8_t)(src[byte] * power[digit]) * 3 >> 8);
	}
	copy_half(super, src + 52);
}

/* 64 bytes of 2 bits, 128 weights in 32; f16 d */
static void split_tq2_0(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			uint8_t *super)
{
	for (unsigned i = 0; i < 32; i++)
		codes[i] = bits_at(src + k / 4 * 32, i, k % 4 * 2, 3);
	copy_half(super, src + 64);
}

/* IQ1, IQ2, IQ3: decoded before, by the 256. Only what blocks share is taken from the source. */
static void split_iquant(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			 uint8_t *super)
{
	const struct weir_iquant *q = (const void *)src;

	memcpy(codes, q->code + 32 * k, 32);
	memcpy(scale, q->scale + 2 * k, 2);
}

/* Three bits are all that differ in IQ1 and IQ2: the third is the sign. */
static void split_iquant3(const uint8_t *src, uint8_t *codes, uint32_t k, uint8_t *scale,
			  uint8_t *super)
{
	split_iquant(src, codes, k, scale, super);
	for (unsigned i = 0; i < 32; i++)
		codes[i] = (uint8_t)((codes[i] & 3) | codes[i] >> 3 << 2);
}

/* d of a block: its first two bytes, or the highest bits of IQ1_M's four words of scales. */
static void iquant_super(uint32_t type, const uint8_t *src, uint8_t *super)
{
	unsigned d = 0;

	memset(super, 0, 4);
	if (type != WEIR_DTYPE_IQ1_M) {
		copy_half(super, src);
		return;
	}
	for (unsigned s = 0; s < 4; s++)
		d |= (unsigned)(src[49 + 2 * s] >> 4) << 4 * s;
	super[0] = (uint8_t)d;
	super[1] = (uint8_t)(d >> 8);
}

#define IQUANT(name, bytes, table)                                                                 \
	[WEIR_DTYPE_##name] = { #name, 256,                                                        \
				bytes, WEIR_VK_FORMAT(4, 0, 3, 0, WEIR_VK_TABLE_##table),          \
				true,  split_iquant }
#define IQUANT3(name, bytes, table)                                                                \
	[WEIR_DTYPE_##name] = { #name, 256,                                                        \
				bytes, WEIR_VK_FORMAT(2, 1, 3, 0, WEIR_VK_TABLE_##table),          \
				true,  split_iquant3 }

static const struct weir_vk_type types[] = {
	[WEIR_DTYPE_F32] = { "F32", 1, 4, WEIR_VK_FORMAT_FLOATS + 0, false, NULL },
	[WEIR_DTYPE_F16] = { "F16", 1, 2, WEIR_VK_FORMAT_FLOATS + 1, false, NULL },
	[WEIR_DTYPE_BF16] = { "BF16", 1, 2, WEIR_VK_FORMAT_FLOATS + 2, false, NULL },
	[WEIR_DTYPE_Q8_0] = { "Q8_0", 32, 34, WEIR_VK_FORMAT(8, 0, 0, 0, 0), false, split_q8_0 },
	[WEIR_DTYPE_Q4_0] = { "Q4_0", 32, 18, WEIR_VK_FORMAT(4, 0, 0, 8, 0), false, split_q4_0 },
	[WEIR_DTYPE_Q4_1] = { "Q4_1", 32, 20, WEIR_VK_FORMAT(4, 0, 1, 0, 0), false, split_q4_1 },
	[WEIR_DTYPE_Q5_0] = { "Q5_0", 32, 22, WEIR_VK_FORMAT(4, 1, 0, 16, 0), false, split_q5_0 },
	[WEIR_DTYPE_Q5_1] = { "Q5_1", 32, 24, WEIR_VK_FORMAT(4, 1, 1, 0, 0), false, split_q5_1 },
	[WEIR_DTYPE_Q2_K] = { "Q2_K", 256, 84, WEIR_VK_FORMAT(2, 0, 4, 0, 0), false, split_q2_k },
	[WEIR_DTYPE_Q3_K] = { "Q3_K", 256, 110, WEIR_VK_FORMAT(2, 1, 3, 4, 0), false, split_q3_k },
	[WEIR_DTYPE_Q4_K] = { "Q4_K", 256, 144, WEIR_VK_FORMAT(4, 0, 2, 0, 0), false, split_q4_k },
	[WEIR_DTYPE_Q5_K] = { "Q5_K", 256, 176, WEIR_VK_FORMAT(4, 1, 2, 0, 0), false, split_q5_k },
	[WEIR_DTYPE_Q6_K] = { "Q6_K", 256, 210, WEIR_VK_FORMAT(4, 2, 3, 32, 0), false, split_q6_k },
	[WEIR_DTYPE_IQ4_NL] = { "IQ4_NL", 32, 18, WEIR_VK_FORMAT(4, 0, 0, 0, 1), false,
				split_q4_0 },
	[WEIR_DTYPE_IQ4_XS] = { "IQ4_XS", 256, 136, WEIR_VK_FORMAT(4, 0, 3, 0, 1), false,
				split_iq4_xs },
	[WEIR_DTYPE_TQ1_0] = { "TQ1_0", 256, 54, WEIR_VK_FORMAT(2, 0, 5, 1, 0), false,
			       split_tq1_0 },
	[WEIR_DTYPE_TQ2_0] = { "TQ2_0", 256, 66, WEIR_VK_FORMAT(2, 0, 5, 1, 0), false,
			       split_tq2_0 },
	[WEIR_DTYPE_MXFP4] = { "MXFP4", 32, 17, WEIR_VK_FORMAT(4, 0, 6, 0, 2), false, split_mxfp4 },
	[WEIR_DTYPE_NVFP4] = { "NVFP4", 64, 36, WEIR_VK_FORMAT(4, 0, 7, 0, 2), false, split_nvfp4 },
	IQUANT3(IQ1_S, 50, IQ1),
	IQUANT3(IQ1_M, 56, IQ1),
	IQUANT3(IQ2_XXS, 66, IQ2),
	IQUANT3(IQ2_XS, 74, IQ2),
	IQUANT3(IQ2_S, 82, IQ2),
	IQUANT(IQ3_XXS, 98, IQ3_XXS),
	IQUANT(IQ3_S, 110, IQ3_S),
};

const struct weir_vk_type *weir_vk_type(uint32_t type)
{
	if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
		return NULL;
	return &types[type];
}

static uint32_t type_id(const struct weir_vk_type *type)
{
	return (uint32_t)(type - types);
}

const char *weir_vk_type_names(void)
{
	return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, "
	       "TQ1_0, TQ2_0, MXFP4 and NVFP4";
}

static uint32_t low_bits(uint32_t format)
{
	return format & 15;
}

static uint32_t high_bits(uint32_t format)
{
	return format >> 4 & 3;
}

static uint32_t scale_bytes(uint32_t format)
{
	static const uint8_t bytes[] = { 2, 4, 2, 2, 2, 0, 1, 4 };

	return bytes[format >> 6 & 7];
}

/* Bytes of 8 blocks in the plane of supers. */
static uint32_t super_bytes(uint32_t format)
{
	static const uint8_t bytes[] = { 0, 0, 4, 4, 4, 2, 0, 0 };

	return bytes[format >> 6 & 7];
}

bool weir_vk_planes(const struct weir_vk_type *type, uint64_t n_in, uint64_t n_out,
		    struct weir_vk_planes *ret)
{
	uint64_t n;

	/* Shaders count words with 32 bits. */
	if (__builtin_mul_overflow((n_in + 31) / 32, n_out, &n) || n > UINT32_MAX / 16)
		return false;
	if (!type->split) {
		*ret = (struct weir_vk_planes){ .bytes = (n_in + 7) / 8 * 8 * n_out * type->bytes };
		return true;
	}
	ret->high = (n * low_bits(type->format) * 4 + 15) & ~UINT64_C(15);
	ret->scale = ret->high + ((n * high_bits(type->format) * 4 + 15) & ~UINT64_C(15));
	ret->super = ret->scale + ((n * scale_bytes(type->format) + 15) & ~UINT64_C(15));
	ret->bytes = ret->super + ((n / 8 * super_bytes(type->format) + 15) & ~UINT64_C(15));
	return true;
}

/* One block's plane of codes: `bits` of them from `shift` on. */
static void pack(const uint8_t codes[32], unsigned shift, unsigned bits, uint8_t *dst)
{
	unsigned words = bits; /* 32 weights of 1 bit are one word */

	memset(dst, 0, 4 * words);
	for (unsigned i = 0; i < 32; i++) {
		unsigned k = i / 4, byte = k % words * 4 + i % 4, at = k / words * bits;

		dst[byte] |= (uint8_t)((codes[i] >> shift & ((1u << bits) - 1)) << at);
	}
}

struct piece {
	const struct weir_vk_type *type;
	const uint8_t *src;
	uint64_t from, end; /* bytes of the layout */
	uint8_t *dst;
};

/* The part of one plane (which: 0 low .. 3 super) that lies in the piece: whole units. */
static void layout_plane(const struct piece *p, unsigned which, uint64_t begin, uint64_t unit,
			 uint64_t n_units, uint32_t blocks_each)
{
	uint32_t per = p->type->block / 32; /* blocks of 32 in one of GGUF */
	uint64_t u, end, top = begin + n_units * unit, decoded = UINT64_MAX;
	struct weir_iquant iquant;

	if (!unit || p->end <= begin || p->from >= top)
		return;
	u = p->from > begin ? (p->from - begin + unit - 1) / unit : 0;
	end = p->end < top ? (p->end - begin + unit - 1) / unit : n_units;
	for (; u < end; u++) {
		uint64_t b = u * blocks_each, at = begin + u * unit;
		const uint8_t *src = p->src + b / per * p->type->bytes;
		uint8_t codes[32], scale[4], super[4];
		const uint8_t *made = which == 2 ? scale : super;
		uint8_t packed[32];

		if (p->type->iquant) {
			if (b / per != decoded)
				weir_iquant_decode(type_id(p->type), src, &iquant);
			decoded = b / per;
			iquant_super(type_id(p->type), src, super);
			src = (const uint8_t *)&iquant;
		}
		p->type->split(src, codes, (uint32_t)(b % per), scale, per > 1 ? super : NULL);
		if (which == 0) {
			pack(codes, 0, low_bits(p->type->format), packed);
			made = packed;
		} else if (which == 1) {
			pack(codes, low_bits(p->type->format), high_bits(p->type->format), packed);
			made = packed;
		}
		memcpy(p->dst + (at - p->from), made, unit);
	}
}

void weir_vk_layout(const struct weir_vk_type *type, uint64_t n_in, uint64_t n_out, const void *src,
		    uint64_t from, uint64_t n, uint8_t *dst)
{
	struct piece p = { type, src, from, from + n, dst };
	uint64_t blocks = n_in / 32 * n_out;
	struct weir_vk_planes planes;

	weir_vk_planes(type, n_in, n_out, &planes);
	memset(dst, 0, n);
	if (!type->split) {
		uint64_t padded = (n_in + 7) / 8 * 8 * type->bytes, row = n_in * type->bytes;

		for (uint64_t r = from / padded; r * padded < p.end; r++) {
			uint64_t a = r * padded, b = a + row;

			a = a > from ? a : from;
			b = b < p.end ? b : p.end;
			if (a < b)
				memcpy(dst + (a - from),
				       (const uint8_t *)src + r * row + (a - r * padded), b - a);
		}
		return;
	}
	layout_plane(&p, 0, 0, low_bits(type->format) * 4, blocks, 1);
	layout_plane(&p, 1, planes.high, high_bits(type->format) * 4, blocks, 1);
	layout_plane(&p, 2, planes.scale, scale_bytes(type->format), blocks, 1);
	layout_plane(&p, 3, planes.super, super_bytes(type->format), blocks / 8, 8);
}

float weir_vk_half(uint16_t h)
{
	uint32_t rest = h & 0x7fff, bits = (uint32_t)(h & 0x8000) << 16;
	float x;

	if (rest >= 0x7c00)
		bits |= 0x7f800000 | rest << 13;
	else if (rest >= 0x0400)
		bits |= (rest << 13) + 0x38000000;
	else {
		float tiny = (float)rest * 0x1p-24f;
		uint32_t t;

		memcpy(&t, &tiny, 4);
		bits |= t;
	}
	memcpy(&x, &bits, 4);
	return x;
}

void weir_vk_floats(uint32_t type, const void *src, uint64_t n, float *dst)
{
	const uint8_t *p = src;

	for (uint64_t i = 0; i < n; i++) {
		uint16_t h = 0;
		uint32_t bits;

		if (type == WEIR_DTYPE_F32) {
			memcpy(&dst[i], p + 4 * i, 4);
			continue;
		}
		memcpy(&h, p + 2 * i, 2);
		if (type == WEIR_DTYPE_F16) {
			dst[i] = weir_vk_half(h);
			continue;
		}
		bits = (uint32_t)h << 16;
		memcpy(&dst[i], &bits, 4);
	}
}
