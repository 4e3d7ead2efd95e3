/* SPDX-License-Identifier: MIT */
/*
 * float16.h - IEEE half and bfloat16 to and from float, in integer arithmetic.
 *
 * The reference for every ISA level: to narrow is to round to nearest, ties to even; subnormals
 * are kept; a NaN stays a (quiet) NaN.
 */
#ifndef WEIR_CPU_FLOAT16_H
#define WEIR_CPU_FLOAT16_H

#include <stdint.h>
#include <string.h>

static inline uint32_t weir_float_bits(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return u;
}

static inline float weir_bits_float(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof(x));
	return x;
}

static inline float weir_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t rest = h & 0x7fff;

	if (rest >= 0x7c00) /* Inf; NaN made quiet */
		return weir_bits_float(sign | 0x7f800000 | rest << 13 |
				       (rest > 0x7c00 ? 0x400000 : 0));
	if (rest >= 0x0400)
		return weir_bits_float(sign | ((rest << 13) + 0x38000000));
	/* subnormal: rest * 2^-24, exact in float */
	return weir_bits_float(sign | weir_float_bits((float)rest * 0x1p-24f));
}

static inline uint16_t weir_f32_to_f16(float x)
{
	uint32_t bits = weir_float_bits(x);
	uint32_t sign = bits >> 16 & 0x8000;
	uint32_t rest = bits & 0x7fffffff;

	if (rest > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
	if (rest >= 0x477ff000) /* 65520 and up round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (rest < 0x38800000) { /* below 2^-14: adding 0.5 rounds at 2^-24 */
		float shifted = weir_bits_float(rest) + 0.5f;

		return (uint16_t)(sign | (weir_float_bits(shifted) - 0x3f000000));
	}
	rest += 0xfff + (rest >> 13 & 1);
	return (uint16_t)(sign | (rest - 0x38000000) >> 13);
}

static inline float weir_bf16_to_f32(uint16_t b)
{
	return weir_bits_float((uint32_t)b << 16);
}

static inline uint16_t weir_f32_to_bf16(float x)
{
	uint32_t bits = weir_float_bits(x);

	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
