/* SPDX-License-Identifier: MIT */
/*
 * simd-scalar.h - the vector types of kernel-*.h in plain C: what the other levels must equal.
 *
 * hf, hi: LANES floats, LANES int32 or 4 * LANES bytes; v16: 16 floats on every level. Every
 * operation rounds once, as IEEE says; v_sum adds lanes (i, i + 8), then (i, i + 4), (i, i + 2),
 * (i, i + 1). MAX_COLS: rows of activations that the linear kernels keep in registers at once.
 */
#ifndef WEIR_CPU_SIMD_SCALAR_H
#define WEIR_CPU_SIMD_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "float16.h"

#define INLINE static inline
#define UNROLL(n)
#define LANES     16
#define MAX_COLS  4
#define ANY_CODES 0 /* dot_codes() takes codes up to 255 */

typedef struct {
	float x[16];
} hf;
typedef union {
	int32_t i[16];
	uint8_t b[64];
} hi;
typedef hf v16;

#define EACH for (int i = 0; i < 16; i++)

INLINE hf hf_set1(float x)
{
	hf r;

	EACH r.x[i] = x;
	return r;
}

INLINE hf hf_zero(void)
{
	return hf_set1(0);
}

INLINE hf hf_load(const float *p)
{
	hf r;

	memcpy(r.x, p, sizeof(r.x));
	return r;
}

INLINE void hf_store(float *p, hf x)
{
	memcpy(p, x.x, sizeof(x.x));
}

INLINE hf hf_add(hf a, hf b)
{
	EACH a.x[i] += b.x[i];
	return a;
}

INLINE hf hf_mul(hf a, hf b)
{
	EACH a.x[i] *= b.x[i];
	return a;
}

/* a * b + c, rounded once */
INLINE hf hf_fma(hf a, hf b, hf c)
{
	EACH c.x[i] = fmaf(a.x[i], b.x[i], c.x[i]);
	return c;
}

/* c - a * b, rounded once */
INLINE hf hf_fnma(hf a, hf b, hf c)
{
	EACH c.x[i] = fmaf(-a.x[i], b.x[i], c.x[i]);
	return c;
}

INLINE hf hf_from_int(hi x)
{
	hf r;

	EACH r.x[i] = (float)x.i[i];
	return r;
}

INLINE hf hf_load_f16(const uint8_t *p)
{
	uint16_t h[16];
	hf r;

	memcpy(h, p, sizeof(h));
	EACH r.x[i] = weir_f16_to_f32(h[i]);
	return r;
}

INLINE hf hf_load_bf16(const uint8_t *p)
{
	uint16_t h[16];
	hf r;

	memcpy(h, p, sizeof(h));
	EACH r.x[i] = weir_bf16_to_f32(h[i]);
	return r;
}

INLINE hf hf_load_u8(const uint8_t *p)
{
	hf r;

	EACH r.x[i] = (float)p[i];
	return r;
}

INLINE hf hf_load_i8(const uint8_t *p)
{
	hf r;

	EACH r.x[i] = (float)(int8_t)p[i];
	return r;
}

/* Bits shift .. shift + 3 of each byte */
INLINE hf hf_load_u4(const uint8_t *p, int shift)
{
	hf r;

	EACH r.x[i] = (float)(p[i] >> shift & 15);
	return r;
}

/* 2^(e - 128): half of what an E8M0 exponent stands for; subnormal for 0 and 1 */
INLINE hf hf_load_e8m0(const uint8_t *p)
{
	hf r;

	EACH r.x[i] = weir_bits_float(p[i] < 2 ? 0x00200000u << p[i] : (uint32_t)(p[i] - 1) << 23);
	return r;
}

INLINE hi hi_set1(int32_t x)
{
	hi r;

	EACH r.i[i] = x;
	return r;
}

/* Each lane shifted, n a constant; hi_right() keeps the sign */
INLINE hi hi_left(hi x, int n)
{
	EACH x.i[i] *= 1 << n;
	return x;
}

INLINE hi hi_right(hi x, int n)
{
	EACH x.i[i] >>= n;
	return x;
}

INLINE hi hi_load(const uint8_t *p)
{
	hi r;

	memcpy(r.b, p, sizeof(r.b));
	return r;
}

INLINE hi hi_low(hi x)
{
	for (int i = 0; i < 64; i++)
		x.b[i] &= 15;
	return x;
}

INLINE hi hi_high(hi x)
{
	for (int i = 0; i < 64; i++)
		x.b[i] >>= 4;
	return x;
}

/* Bits 2 j, 2 j + 1 of each byte */
INLINE hi hi_two(hi x, int j)
{
	for (int i = 0; i < 64; i++)
		x.b[i] = x.b[i] >> (2 * j) & 3;
	return x;
}

/* Each byte & mask */
INLINE hi hi_pick(hi x, int mask)
{
	for (int i = 0; i < 64; i++)
		x.b[i] &= (uint8_t)mask;
	return x;
}

/* LANES pairs of signed bytes as pairs of int16 */
INLINE hi hi_load_pairs_i8(const uint8_t *p)
{
	hi r;

	EACH r.i[i] = (int32_t)((uint16_t)(int8_t)p[2 * i] |
				(uint32_t)(uint16_t)(int8_t)p[2 * i + 1] << 16);
	return r;
}

/* Pairs of int16 in each lane: LANES pairs of bytes; bits shift .. shift + 3 of those; the lower
 * half of `low` and the upper one of `high` */
INLINE hi hi_load_pairs_u8(const uint8_t *p)
{
	hi r;

	EACH r.i[i] = p[2 * i] | p[2 * i + 1] << 16;
	return r;
}

INLINE hi hi_pairs_u4(hi x, int shift)
{
	EACH x.i[i] = x.i[i] >> shift & 0x000f000f;
	return x;
}

INLINE hi hi_pair(hi low, hi high)
{
	EACH low.i[i] =
		(int32_t)(((uint32_t)low.i[i] & 0xffff) | ((uint32_t)high.i[i] & 0xffff0000));
	return low;
}

/* init + both products of pairs */
INLINE hi dot_pairs(hi init, hi a, hi b)
{
	EACH init.i[i] += (int16_t)(a.i[i] & 0xffff) * (int16_t)(b.i[i] & 0xffff) +
			  (a.i[i] >> 16) * (b.i[i] >> 16);
	return init;
}

INLINE int32_t scale_pair(int32_t a, int32_t b)
{
	return (a * b + (1 << 14)) >> 15;
}

/* Of each int16 in -32767..32767, a * b / 2^15 to the nearest, halves up */
INLINE hi hi_scale_pairs(hi a, hi b)
{
	EACH
	{
		int32_t low = scale_pair((int16_t)(a.i[i] & 0xffff), (int16_t)(b.i[i] & 0xffff));
		int32_t high = scale_pair(a.i[i] >> 16, b.i[i] >> 16);

		a.i[i] = (int32_t)((uint16_t)low | (uint32_t)(uint16_t)high << 16);
	}
	return a;
}

INLINE void hi_store(void *p, hi x)
{
	memcpy(p, x.b, sizeof(x.b));
}

/* Each byte of `low` with bits 2 j, 2 j + 1 of `bits` as its bits 4, 5 */
INLINE hi hi_with_bits(hi low, hi bits, int j)
{
	for (int i = 0; i < 64; i++)
		low.b[i] |= (uint8_t)((bits.b[i] >> (2 * j) & 3) << 4);
	return low;
}

/* Each byte of `low` with bit j of `bits` as its bit `to` */
INLINE hi hi_with_bit(hi low, hi bits, int j, int to)
{
	for (int i = 0; i < 64; i++)
		low.b[i] |= (uint8_t)((bits.b[i] >> j & 1) << to);
	return low;
}

/* book[x] for each byte, 0..15 */
INLINE hi hi_lookup(const uint8_t *book, hi x)
{
	for (int i = 0; i < 64; i++)
		x.b[i] = book[x.b[i]];
	return x;
}

/* init + the sum over n slices of 4 unsigned codes, none above `top` (a constant below 64), times 4
 * int8 in -127..127 */
INLINE hi dot_codes(hi init, const hi *w, const uint8_t *a, int n, int top)
{
	(void)top;
	EACH
	{
		for (int s = 0; s < n; s++)
			for (int k = 0; k < 4; k++)
				init.i[i] += w[s].b[4 * i + k] * (int8_t)a[4 * s + k];
	}
	return init;
}

/* n slices of codes up to 255; init is -128 times the sum of a: the sum over (w - 128) * a */
INLINE hi dot_byte(hi init, const hi *w, const uint8_t *a, int n)
{
	return dot_codes(init, w, a, n, 255);
}

INLINE v16 v_set1(float x)
{
	return hf_set1(x);
}

INLINE v16 v_load(const float *p)
{
	return hf_load(p);
}

INLINE v16 v_load_f16(const uint8_t *p)
{
	return hf_load_f16(p);
}

/* n <= 16 values, zeros after them */
INLINE v16 v_load_n(const float *p, size_t n)
{
	v16 r = hf_zero();

	memcpy(r.x, p, n * sizeof(float));
	return r;
}

INLINE void v_store(float *p, v16 x)
{
	hf_store(p, x);
}

INLINE void v_store_n(float *p, v16 x, size_t n)
{
	memcpy(p, x.x, n * sizeof(float));
}

INLINE v16 v_add(v16 a, v16 b)
{
	EACH a.x[i] += b.x[i];
	return a;
}

INLINE v16 v_sub(v16 a, v16 b)
{
	EACH a.x[i] -= b.x[i];
	return a;
}

INLINE v16 v_mul(v16 a, v16 b)
{
	return hf_mul(a, b);
}

INLINE v16 v_div(v16 a, v16 b)
{
	EACH a.x[i] /= b.x[i];
	return a;
}

INLINE v16 v_fma(v16 a, v16 b, v16 c)
{
	return hf_fma(a, b, c);
}

/* b where either is a NaN */
INLINE v16 v_max(v16 a, v16 b)
{
	EACH a.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i];
	return a;
}

INLINE v16 v_min(v16 a, v16 b)
{
	EACH a.x[i] = a.x[i] < b.x[i] ? a.x[i] : b.x[i];
	return a;
}

/* To the nearest integer, ties to even */
INLINE v16 v_round(v16 a)
{
	EACH a.x[i] = rintf(a.x[i]);
	return a;
}

/* 2^n for an integer n in -126..127 */
INLINE v16 v_power2(v16 n)
{
	EACH
	{
		float x = n.x[i];
		/* a NaN's result is not used, but its conversion must be defined */
		uint32_t e = x == x ? (uint32_t)((int32_t)x + 127) : 0;

		n.x[i] = weir_bits_float(e << 23);
	}
	return n;
}

INLINE v16 v_if_less(v16 a, v16 b, v16 yes, v16 no)
{
	EACH no.x[i] = a.x[i] < b.x[i] ? yes.x[i] : no.x[i];
	return no;
}

INLINE v16 v_abs(v16 a)
{
	EACH a.x[i] = fabsf(a.x[i]);
	return a;
}

/* Lane i: yes if low <= first + i <= high */
INLINE v16 v_if_between(int32_t first, int32_t low, int32_t high, v16 yes, v16 no)
{
	EACH if (first + i >= low && first + i <= high) no.x[i] = yes.x[i];
	return no;
}

INLINE float v_sum(v16 x)
{
	for (int n = 8; n; n /= 2)
		for (int i = 0; i < n; i++)
			x.x[i] += x.x[i + n];
	return x.x[0];
}

/* The largest lane; NaNs may be passed over */
INLINE float v_top(v16 x)
{
	for (int n = 8; n; n /= 2)
		for (int i = 0; i < n; i++)
			x.x[i] = x.x[i] > x.x[i + n] ? x.x[i] : x.x[i + n];
	return x.x[0];
}

/* The largest |value| of 32 as bits: a NaN or an infinity is at least 0x7f800000 */
INLINE uint32_t v_top_bits(v16 x, v16 y)
{
	uint32_t top = 0;

	EACH
	{
		uint32_t p = weir_float_bits(x.x[i]) & 0x7fffffff;
		uint32_t q = weir_float_bits(y.x[i]) & 0x7fffffff;

		top = p > top ? p : top;
		top = q > top ? q : top;
	}
	return top;
}

/* 16 values in -127..127 to the nearest int8, ties to even; returns their sum */
INLINE int32_t v_store_i8(int8_t *p, v16 x)
{
	int32_t sum = 0;

	EACH
	{
		int32_t q = (int32_t)lrintf(x.x[i]);

		p[i] = (int8_t)q;
		sum += q;
	}
	return sum;
}

/* 16 values in -32767..32767 to the nearest int16, ties to even */
INLINE void v_store_i16(int16_t *p, v16 x)
{
	EACH p[i] = (int16_t)lrintf(x.x[i]);
}

INLINE void v_store_f16(uint16_t *p, v16 x)
{
	EACH p[i] = weir_f32_to_f16(x.x[i]);
}

#undef EACH

#endif
