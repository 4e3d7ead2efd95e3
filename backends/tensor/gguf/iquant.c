/* SPDX-License-Identifier: MIT */
/*
 * iquant.c - see iquant.h.
 *
 * A code is the number of a magnitude, and 8 more for the negative one. IQ1's values are digits
 * -1, 0, 1 and an eighth more or less: eight times that, with 8 more for less.
 */
#include "iquant.h"

#include <string.h>

#include "gguf.h"
#include "iquant-tables.h"

static const int8_t values_iq2[16] = { 8, 25, 43, 0, 0, 0, 0, 0, -8, -25, -43, 0, 0, 0, 0, 0 };
static const int8_t values_iq3_xxs[16] = { 4,  12,  20,  28,  36,  44,  52,  62,
					   -4, -12, -20, -28, -36, -44, -52, -62 };
static const int8_t values_iq3_s[16] = { 1,  3,  5,  7,  9,  11,  13,  15,
					 -1, -3, -5, -7, -9, -11, -13, -15 };
static const int8_t values_iq1[16] = { -7, 1, 9, 0, 0, 0, 0, 0, -9, -1, 7, 0, 0, 0, 0, 0 };

const int8_t *weir_iquant_values(uint32_t type)
{
	switch (type) {
	case WEIR_GGUF_TYPE_IQ2_XXS:
	case WEIR_GGUF_TYPE_IQ2_XS:
	case WEIR_GGUF_TYPE_IQ2_S:
		return values_iq2;
	case WEIR_GGUF_TYPE_IQ3_XXS:
		return values_iq3_xxs;
	case WEIR_GGUF_TYPE_IQ3_S:
		return values_iq3_s;
	case WEIR_GGUF_TYPE_IQ1_S:
	case WEIR_GGUF_TYPE_IQ1_M:
		return values_iq1;
	default:
		return NULL;
	}
}

static uint32_t load_u16(const uint8_t *p)
{
	return (uint32_t)(p[0] | p[1] << 8);
}

static uint32_t load_u32(const uint8_t *p)
{
	return load_u16(p) | load_u16(p + 2) << 16;
}

/* A half as float (IEEE 754): exact. */
static float load_half(uint32_t h)
{
	uint32_t exponent = h >> 10 & 31, mantissa = h & 1023, bits;
	float x;

	if (exponent == 0) {
		x = (float)mantissa * 0x1p-24f;
		return h >> 15 ? -x : x;
	}
	bits = (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13 | h >> 15 << 31;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* 8 weights: an entry of 2 bits each, and a bit of sign each. */
static void put_eight(uint32_t entry, uint32_t signs, uint8_t *code)
{
	for (int i = 0; i < 8; i++)
		code[i] = (uint8_t)((entry >> 2 * i & 3) | (signs >> i & 1) << 3);
}

/* 4 weights: 3 bits each. */
static void put_four(uint32_t entry, uint32_t signs, uint8_t *code)
{
	for (int i = 0; i < 4; i++)
		code[i] = (uint8_t)((entry >> 3 * i & 7) | (signs >> i & 1) << 3);
}

/* 7 bits of signs: the eighth makes their number even. */
static uint32_t even(uint32_t signs)
{
	signs &= 127;
	return signs | (uint32_t)__builtin_parity(signs) << 7;
}

static int8_t odd(uint32_t s)
{
	return (int8_t)(2 * s + 1);
}

/* per 32 weights: four entries, then four times 7 signs and 4 bits of scale */
static void iq2_xxs(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b)) * 0.125f;
	for (int g = 0; g < 8; g++) {
		const uint8_t *q = b + 2 + 8 * g;
		uint32_t rest = load_u32(q + 4);

		r->scale[2 * g] = r->scale[2 * g + 1] = odd(rest >> 28);
		for (int k = 0; k < 4; k++)
			put_eight(weir_iquant_iq2_xxs[q[k]], even(rest >> 7 * k),
				  r->code + 32 * g + 8 * k);
	}
}

/* per 8 weights: 9 bits of entry, 7 signs; then 4 bits of scale for 16 weights */
static void iq2_xs(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b)) * 0.125f;
	for (int k = 0; k < 32; k++) {
		uint32_t q = load_u16(b + 2 + 2 * k);

		put_eight(weir_iquant_iq2_xs[q & 511], even(q >> 9), r->code + 8 * k);
	}
	for (int s = 0; s < 16; s++)
		r->scale[s] = odd(b[66 + s / 2] >> s % 2 * 4 & 15);
}

/* 8 low bits of entries, signs, 2 high bits of entries, scales as of IQ2_XS */
static void iq2_s(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b)) * 0.125f;
	for (int k = 0; k < 32; k++) {
		uint32_t high = b[66 + k / 4] >> k % 4 * 2 & 3;

		put_eight(weir_iquant_iq2_s[b[2 + k] | high << 8], b[34 + k], r->code + 8 * k);
	}
	for (int s = 0; s < 16; s++)
		r->scale[s] = odd(b[74 + s / 2] >> s % 2 * 4 & 15);
}

/* entries of 4 weights; then, per 32 weights, signs and scale as of IQ2_XXS */
static void iq3_xxs(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b)) * 0.25f;
	for (int g = 0; g < 8; g++) {
		uint32_t rest = load_u32(b + 66 + 4 * g);

		r->scale[2 * g] = r->scale[2 * g + 1] = odd(rest >> 28);
		for (int k = 0; k < 8; k++)
			put_four(weir_iquant_iq3_xxs[b[2 + 8 * g + k]],
				 even(rest >> 7 * (k / 2)) >> k % 2 * 4, r->code + 32 * g + 4 * k);
	}
}

/* 8 low bits of entries, the ninth ones, signs, 4 bits of scale for 32 weights */
static void iq3_s(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b));
	for (int k = 0; k < 64; k++) {
		uint32_t high = b[66 + k / 8] >> k % 8 & 1;

		put_four(weir_iquant_iq3_s[b[2 + k] | high << 8], b[74 + k / 2] >> k % 2 * 4u,
			 r->code + 4 * k);
	}
	for (int s = 0; s < 16; s++)
		r->scale[s] = odd(b[106 + s / 4] >> s / 2 % 2 * 4 & 15);
}

/* 8 low bits of entries; then, per 32 weights, four times 3 high bits, scale, sign of the eighth */
static void iq1_s(const uint8_t *b, struct weir_iquant *r)
{
	r->d = load_half(load_u16(b)) * 0.125f;
	for (int g = 0; g < 8; g++) {
		uint32_t rest = load_u16(b + 34 + 2 * g);

		r->scale[2 * g] = r->scale[2 * g + 1] = odd(rest >> 12 & 7);
		for (int k = 0; k < 4; k++)
			put_eight(weir_iquant_iq1[b[2 + 4 * g + k] | (rest >> 3 * k & 7) << 8],
				  rest >> 15 ? 255 : 0, r->code + 32 * g + 8 * k);
	}
}

/* 8 low bits of entries; per 8 weights 3 high bits and the sign of the eighth; then four words of
 * 3 bits of scale for 16 weights, whose highest bits are d */
static void iq1_m(const uint8_t *b, struct weir_iquant *r)
{
	uint32_t d = 0;

	for (int s = 0; s < 4; s++)
		d |= load_u16(b + 48 + 2 * s) >> 12 << 4 * s;
	r->d = load_half(d) * 0.125f;
	for (int k = 0; k < 32; k++) {
		uint32_t high = b[32 + k / 2] >> k % 2 * 4 & 15;

		put_eight(weir_iquant_iq1[b[k] | (high & 7) << 8], high >> 3 ? 255 : 0,
			  r->code + 8 * k);
	}
	for (int s = 0; s < 16; s++)
		r->scale[s] = odd(load_u16(b + 48 + s / 4 * 2) >> s % 4 * 3 & 7);
}

void weir_iquant_decode(uint32_t type, const uint8_t *block, struct weir_iquant *ret)
{
	switch (type) {
	case WEIR_GGUF_TYPE_IQ2_XXS:
		iq2_xxs(block, ret);
		break;
	case WEIR_GGUF_TYPE_IQ2_XS:
		iq2_xs(block, ret);
		break;
	case WEIR_GGUF_TYPE_IQ2_S:
		iq2_s(block, ret);
		break;
	case WEIR_GGUF_TYPE_IQ3_XXS:
		iq3_xxs(block, ret);
		break;
	case WEIR_GGUF_TYPE_IQ3_S:
		iq3_s(block, ret);
		break;
	case WEIR_GGUF_TYPE_IQ1_S:
		iq1_s(block, ret);
		break;
	default:
		iq1_m(block, ret);
	}
}
