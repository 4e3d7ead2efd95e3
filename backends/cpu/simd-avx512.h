/* SPDX-License-Identifier: MIT */
/*
 * simd-avx512.h - the vector types of kernel-*.h on AVX-512 (F, BW, VL, DQ), with VNNI's dot
 * product when the file that includes it is built for it. See simd-scalar.h for what each name
 * means.
 */
#ifndef WEIR_CPU_SIMD_AVX512_H
#define WEIR_CPU_SIMD_AVX512_H

#include <immintrin.h>

#include "float16.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL(n) /* there speed does not count, and the compiler would take minutes */
#else
#define PRAGMA(x) _Pragma(#x)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif
#define LANES    16
#define MAX_COLS 16

typedef __m512 hf;
typedef __m512i hi;
typedef __m512 v16;

INLINE hf hf_zero(void)
{
	return _mm512_setzero_ps();
}

INLINE hf hf_set1(float x)
{
	return _mm512_set1_ps(x);
}

INLINE hf hf_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

INLINE void hf_store(float *p, hf x)
{
	_mm512_storeu_ps(p, x);
}

INLINE hf hf_add(hf a, hf b)
{
	return _mm512_add_ps(a, b);
}

INLINE hf hf_mul(hf a, hf b)
{
	return _mm512_mul_ps(a, b);
}

INLINE hf hf_fma(hf a, hf b, hf c)
{
	return _mm512_fmadd_ps(a, b, c);
}

INLINE hf hf_fnma(hf a, hf b, hf c)
{
	return _mm512_fnmadd_ps(a, b, c);
}

INLINE hf hf_from_int(hi x)
{
	return _mm512_cvtepi32_ps(x);
}

INLINE hf hf_load_f16(const uint8_t *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

INLINE hf hf_load_bf16(const uint8_t *p)
{
	__m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));

	return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

INLINE hf hf_load_u8(const uint8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE hf hf_load_i8(const uint8_t *p)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE hf hf_load_u4(const uint8_t *p, int shift)
{
	__m128i x = _mm_srli_epi16(_mm_loadu_si128((const __m128i *)p), shift);

	return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(x, _mm_set1_epi8(15))));
}

INLINE hf hf_load_e8m0(const uint8_t *p)
{
	__m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
	__m512i x = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);

	x = _mm512_mask_sllv_epi32(x, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)),
				   _mm512_set1_epi32(0x00200000), e);
	return _mm512_castsi512_ps(x);
}

INLINE hi hi_set1(int32_t x)
{
	return _mm512_set1_epi32(x);
}

INLINE hi hi_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

INLINE hi hi_low(hi x)
{
	return _mm512_and_si512(x, _mm512_set1_epi8(15));
}

INLINE hi hi_high(hi x)
{
	return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
}

INLINE hi hi_left(hi x, int n)
{
	return _mm512_slli_epi32(x, (unsigned)n);
}

INLINE hi hi_right(hi x, int n)
{
	return _mm512_srai_epi32(x, (unsigned)n);
}

INLINE hi hi_two(hi x, int j)
{
	return _mm512_and_si512(j ? _mm512_srli_epi16(x, 2 * (unsigned)j) : x, _mm512_set1_epi8(3));
}

INLINE hi hi_pick(hi x, int mask)
{
	return _mm512_and_si512(x, _mm512_set1_epi8((char)mask));
}

INLINE hi hi_load_pairs_u8(const uint8_t *p)
{
	return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}

INLINE hi hi_load_pairs_i8(const uint8_t *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
}

INLINE hi hi_scale_pairs(hi a, hi b)
{
	return _mm512_mulhrs_epi16(a, b);
}

INLINE void hi_store(void *p, hi x)
{
	_mm512_storeu_si512(p, x);
}

INLINE hi hi_pairs_u4(hi x, int shift)
{
	return _mm512_and_si512(_mm512_srli_epi16(x, (unsigned)shift), _mm512_set1_epi16(15));
}

INLINE hi hi_pair(hi low, hi high)
{
	return _mm512_mask_mov_epi16(high, 0x55555555, low);
}

INLINE hi hi_with_bit(hi low, hi bits, int j, int to)
{
	if (j < to)
		bits = _mm512_slli_epi16(bits, (unsigned)(to - j));
	else if (j > to)
		bits = _mm512_srli_epi16(bits, (unsigned)(j - to));
	/* low | (bits & 1 << to) */
	return _mm512_ternarylogic_epi32(low, bits, _mm512_set1_epi8((char)(1 << to)), 0xf8);
}

INLINE hi hi_lookup(const uint8_t *book, hi x)
{
	__m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)book));

	return _mm512_shuffle_epi8(table, x);
}

INLINE hi hi_with_bits(hi low, hi bits, int j)
{
	__m512i x = j == 0   ? _mm512_slli_epi16(bits, 4)
		    : j == 1 ? _mm512_slli_epi16(bits, 2)
		    : j == 2 ? bits
			     : _mm512_srli_epi16(bits, 2);

	/* low | (x & 0x30) */
	return _mm512_ternarylogic_epi32(low, x, _mm512_set1_epi8(0x30), 0xf8);
}

INLINE hi four(const uint8_t *a)
{
	int32_t x;

	memcpy(&x, a, sizeof(x));
	return _mm512_set1_epi32(x);
}

#ifdef __AVX512VNNI__

#define ANY_CODES 1

INLINE hi dot_pairs(hi init, hi a, hi b)
{
	return _mm512_dpwssd_epi32(init, a, b);
}

INLINE hi dot_codes(hi init, const hi *w, const uint8_t *a, int n, int top)
{
	(void)top;
	UNROLL(8)
	for (int s = 0; s < n; s++)
		init = _mm512_dpbusd_epi32(init, w[s], four(a + 4 * s));
	return init;
}

INLINE hi dot_byte(hi init, const hi *w, const uint8_t *a, int n)
{
	return dot_codes(init, w, a, n, 255);
}

#else

#define ANY_CODES 0

INLINE hi dot_pairs(hi init, hi a, hi b)
{
	return _mm512_add_epi32(init, _mm512_madd_epi16(a, b));
}

/* Sums of two products in 16 bits: as many slices as fit there are added before they are widened */
INLINE int slices_in_16_bits(int top)
{
	int n = 32767 / (2 * top * 127);

	return n >= 8 ? 8 : n >= 4 ? 4 : 2;
}

INLINE hi dot_codes(hi init, const hi *w, const uint8_t *a, int n, int top)
{
	int run = slices_in_16_bits(top) < n ? slices_in_16_bits(top) : n;

	UNROLL(4)
	for (int s = 0; s < n; s += run) {
		hi sum = _mm512_maddubs_epi16(w[s], four(a + 4 * s));

		UNROLL(8)
		for (int i = s + 1; i < s + run; i++)
			sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(w[i], four(a + 4 * i)));
		init = _mm512_add_epi32(init, _mm512_madd_epi16(sum, _mm512_set1_epi16(1)));
	}
	return init;
}

/* |w - 128| * a with the sign of w - 128: at most 2 * 128 * 127 = 32512. */
INLINE hi dot_byte(hi init, const hi *w, const uint8_t *a, int n)
{
	hi sum = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);

	(void)init;
	UNROLL(8)
	for (int s = 0; s < n; s++) {
		hi x = _mm512_xor_si512(w[s], _mm512_set1_epi8(-128)), y = four(a + 4 * s);

		y = _mm512_mask_sub_epi8(y, _mm512_movepi8_mask(x), _mm512_setzero_si512(), y);
		sum = _mm512_add_epi32(
			sum, _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_abs_epi8(x), y), one));
	}
	return sum;
}

#endif

INLINE v16 v_set1(float x)
{
	return _mm512_set1_ps(x);
}

INLINE v16 v_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

INLINE v16 v_load_f16(const uint8_t *p)
{
	return hf_load_f16(p);
}

INLINE v16 v_load_n(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void v_store(float *p, v16 x)
{
	_mm512_storeu_ps(p, x);
}

INLINE void v_store_n(float *p, v16 x, size_t n)
{
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}

INLINE v16 v_add(v16 a, v16 b)
{
	return _mm512_add_ps(a, b);
}

INLINE v16 v_sub(v16 a, v16 b)
{
	return _mm512_sub_ps(a, b);
}

INLINE v16 v_mul(v16 a, v16 b)
{
	return _mm512_mul_ps(a, b);
}

INLINE v16 v_div(v16 a, v16 b)
{
	return _mm512_div_ps(a, b);
}

INLINE v16 v_fma(v16 a, v16 b, v16 c)
{
	return _mm512_fmadd_ps(a, b, c);
}

INLINE v16 v_max(v16 a, v16 b)
{
	return _mm512_max_ps(a, b);
}

INLINE v16 v_min(v16 a, v16 b)
{
	return _mm512_min_ps(a, b);
}

INLINE v16 v_round(v16 a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE v16 v_power2(v16 n)
{
	__m512i i = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));

	return _mm512_castsi512_ps(_mm512_slli_epi32(i, 23));
}

INLINE v16 v_if_less(v16 a, v16 b, v16 yes, v16 no)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

INLINE v16 v_abs(v16 a)
{
	return _mm512_abs_ps(a);
}

INLINE v16 v_if_between(int32_t first, int32_t low, int32_t high, v16 yes, v16 no)
{
	__m512i i = _mm512_add_epi32(
		_mm512_set1_epi32(first),
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
	__mmask16 in = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32(low)) &
		       _mm512_cmple_epi32_mask(i, _mm512_set1_epi32(high));

	return _mm512_mask_blend_ps(in, no, yes);
}

INLINE float v_sum(v16 x)
{
	__m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

INLINE float v_top(v16 x)
{
	__m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

INLINE uint32_t v_top_bits(v16 x, v16 y)
{
	return (uint32_t)_mm512_reduce_max_epi32(
		_mm512_max_epi32(_mm512_castps_si512(v_abs(x)), _mm512_castps_si512(v_abs(y))));
}

INLINE int32_t v_store_i8(int8_t *p, v16 x)
{
	__m512i i = _mm512_cvtps_epi32(x);

	_mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(i));
	return _mm512_reduce_add_epi32(i);
}

INLINE void v_store_i16(int16_t *p, v16 x)
{
	_mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
}

INLINE void v_store_f16(uint16_t *p, v16 x)
{
	_mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#endif
