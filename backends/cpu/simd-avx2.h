/* SPDX-License-Identifier: MIT */
/*
 * simd-avx2.h - the vector types of kernel-*.h on AVX2 with FMA and F16C, and with the 256-bit dot
 * product of AVX-VNNI or AVX-512 VNNI when the file that includes it is built for it. See
 * simd-scalar.h for what each name means.
 */
#ifndef WEIR_CPU_SIMD_AVX2_H
#define WEIR_CPU_SIMD_AVX2_H

#include <immintrin.h>

#include "float16.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL(n) /* there speed does not count, and the compiler would take minutes */
#else
#define PRAGMA(x) _Pragma(#x)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif
#define LANES    8
#define MAX_COLS 4

typedef __m256 hf;
typedef __m256i hi;
typedef struct {
	__m256 a, b;
} v16;

INLINE hf hf_zero(void)
{
	return _mm256_setzero_ps();
}

INLINE hf hf_set1(float x)
{
	return _mm256_set1_ps(x);
}

INLINE hf hf_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

INLINE void hf_store(float *p, hf x)
{
	_mm256_storeu_ps(p, x);
}

INLINE hf hf_add(hf a, hf b)
{
	return _mm256_add_ps(a, b);
}

INLINE hf hf_mul(hf a, hf b)
{
	return _mm256_mul_ps(a, b);
}

INLINE hf hf_fma(hf a, hf b, hf c)
{
	return _mm256_fmadd_ps(a, b, c);
}

INLINE hf hf_fnma(hf a, hf b, hf c)
{
	return _mm256_fnmadd_ps(a, b, c);
}

INLINE hf hf_from_int(hi x)
{
	return _mm256_cvtepi32_ps(x);
}

INLINE hf hf_load_f16(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

INLINE hf hf_load_bf16(const uint8_t *p)
{
	__m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));

	return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

INLINE hf hf_load_u8(const uint8_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE hf hf_load_i8(const uint8_t *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE hf hf_load_u4(const uint8_t *p, int shift)
{
	__m128i x = _mm_srli_epi16(_mm_loadl_epi64((const __m128i *)p), shift);

	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_and_si128(x, _mm_set1_epi8(15))));
}

INLINE hf hf_load_e8m0(const uint8_t *p)
{
	__m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
	__m256i x = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
	__m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);

	x = _mm256_blendv_epi8(x, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e));
	return _mm256_castsi256_ps(x);
}

INLINE hi hi_set1(int32_t x)
{
	return _mm256_set1_epi32(x);
}

INLINE hi hi_load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

INLINE hi hi_low(hi x)
{
	return _mm256_and_si256(x, _mm256_set1_epi8(15));
}

INLINE hi hi_high(hi x)
{
	return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
}

INLINE hi hi_left(hi x, int n)
{
	return _mm256_slli_epi32(x, n);
}

INLINE hi hi_right(hi x, int n)
{
	return _mm256_srai_epi32(x, n);
}

INLINE hi hi_two(hi x, int j)
{
	return _mm256_and_si256(_mm256_srli_epi16(x, 2 * j), _mm256_set1_epi8(3));
}

INLINE hi hi_pick(hi x, int mask)
{
	return _mm256_and_si256(x, _mm256_set1_epi8((char)mask));
}

INLINE hi hi_load_pairs_u8(const uint8_t *p)
{
	return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

INLINE hi hi_load_pairs_i8(const uint8_t *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}

INLINE hi hi_scale_pairs(hi a, hi b)
{
	return _mm256_mulhrs_epi16(a, b);
}

INLINE void hi_store(void *p, hi x)
{
	_mm256_storeu_si256(p, x);
}

INLINE hi hi_pairs_u4(hi x, int shift)
{
	return _mm256_and_si256(_mm256_srli_epi16(x, shift), _mm256_set1_epi16(15));
}

INLINE hi hi_pair(hi low, hi high)
{
	return _mm256_blend_epi16(high, low, 0x55);
}

INLINE hi hi_with_bit(hi low, hi bits, int j, int to)
{
	bits = j < to ? _mm256_slli_epi16(bits, to - j) : _mm256_srli_epi16(bits, j - to);
	return _mm256_or_si256(low, _mm256_and_si256(bits, _mm256_set1_epi8((char)(1 << to))));
}

INLINE hi hi_lookup(const uint8_t *book, hi x)
{
	__m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)book));

	return _mm256_shuffle_epi8(table, x);
}

INLINE hi hi_with_bits(hi low, hi bits, int j)
{
	__m256i x = j == 0   ? _mm256_slli_epi16(bits, 4)
		    : j == 1 ? _mm256_slli_epi16(bits, 2)
		    : j == 2 ? bits
			     : _mm256_srli_epi16(bits, 2);

	return _mm256_or_si256(low, _mm256_and_si256(x, _mm256_set1_epi8(0x30)));
}

INLINE hi four(const uint8_t *a)
{
	int32_t x;

	memcpy(&x, a, sizeof(x));
	return _mm256_set1_epi32(x);
}

#if defined(__AVXVNNI__) || (defined(__AVX512VNNI__) && defined(__AVX512VL__))

#define ANY_CODES 1

INLINE hi dot_pairs(hi init, hi a, hi b)
{
	return _mm256_dpwssd_epi32(init, a, b);
}

INLINE hi dot_codes(hi init, const hi *w, const uint8_t *a, int n, int top)
{
	(void)top;
	UNROLL(8)
	for (int s = 0; s < n; s++)
		init = _mm256_dpbusd_epi32(init, w[s], four(a + 4 * s));
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
	return _mm256_add_epi32(init, _mm256_madd_epi16(a, b));
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
		hi sum = _mm256_maddubs_epi16(w[s], four(a + 4 * s));

		UNROLL(8)
		for (int i = s + 1; i < s + run; i++)
			sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w[i], four(a + 4 * i)));
		init = _mm256_add_epi32(init, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
	}
	return init;
}

/* |w - 128| * a with the sign of w - 128: at most 2 * 128 * 127 = 32512. */
INLINE hi dot_byte(hi init, const hi *w, const uint8_t *a, int n)
{
	hi sum = _mm256_setzero_si256(), one = _mm256_set1_epi16(1);

	(void)init;
	UNROLL(8)
	for (int s = 0; s < n; s++) {
		hi x = _mm256_xor_si256(w[s], _mm256_set1_epi8(-128));
		hi y = _mm256_sign_epi8(four(a + 4 * s), x);

		sum = _mm256_add_epi32(
			sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(x), y), one));
	}
	return sum;
}

#endif

/* Lanes below n, of eight. */
INLINE __m256i lanes_below(size_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
				  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE v16 v_set1(float x)
{
	return (v16){ _mm256_set1_ps(x), _mm256_set1_ps(x) };
}

INLINE v16 v_load(const float *p)
{
	return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}

INLINE v16 v_load_f16(const uint8_t *p)
{
	return (v16){ hf_load_f16(p), hf_load_f16(p + 16) };
}

INLINE v16 v_load_n(const float *p, size_t n)
{
	if (n <= 8)
		return (v16){ _mm256_maskload_ps(p, lanes_below(n)), _mm256_setzero_ps() };
	return (v16){ _mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, lanes_below(n - 8)) };
}

INLINE void v_store(float *p, v16 x)
{
	_mm256_storeu_ps(p, x.a);
	_mm256_storeu_ps(p + 8, x.b);
}

INLINE void v_store_n(float *p, v16 x, size_t n)
{
	if (n <= 8) {
		_mm256_maskstore_ps(p, lanes_below(n), x.a);
		return;
	}
	_mm256_storeu_ps(p, x.a);
	_mm256_maskstore_ps(p + 8, lanes_below(n - 8), x.b);
}

INLINE v16 v_add(v16 x, v16 y)
{
	return (v16){ _mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b) };
}

INLINE v16 v_sub(v16 x, v16 y)
{
	return (v16){ _mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b) };
}

INLINE v16 v_mul(v16 x, v16 y)
{
	return (v16){ _mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b) };
}

INLINE v16 v_div(v16 x, v16 y)
{
	return (v16){ _mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b) };
}

INLINE v16 v_fma(v16 x, v16 y, v16 z)
{
	return (v16){ _mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b) };
}

INLINE v16 v_max(v16 x, v16 y)
{
	return (v16){ _mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b) };
}

INLINE v16 v_min(v16 x, v16 y)
{
	return (v16){ _mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b) };
}

INLINE v16 v_round(v16 x)
{
	return (v16){
		_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
		_mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
	};
}

INLINE __m256 power2(__m256 n)
{
	__m256i i = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));

	return _mm256_castsi256_ps(_mm256_slli_epi32(i, 23));
}

INLINE v16 v_power2(v16 n)
{
	return (v16){ power2(n.a), power2(n.b) };
}

INLINE v16 v_if_less(v16 x, v16 y, v16 yes, v16 no)
{
	return (v16){
		_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
		_mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)),
	};
}

INLINE v16 v_abs(v16 x)
{
	__m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));

	return (v16){ _mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask) };
}

INLINE __m256 if_between(int32_t first, int32_t low, int32_t high, __m256 yes, __m256 no)
{
	__m256i i = _mm256_add_epi32(_mm256_set1_epi32(first),
				     _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
	__m256i out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(low), i),
				      _mm256_cmpgt_epi32(i, _mm256_set1_epi32(high)));

	return _mm256_blendv_ps(yes, no, _mm256_castsi256_ps(out));
}

INLINE v16 v_if_between(int32_t first, int32_t low, int32_t high, v16 yes, v16 no)
{
	return (v16){ if_between(first, low, high, yes.a, no.a),
		      if_between(first + 8, low, high, yes.b, no.b) };
}

INLINE float v_sum(v16 x)
{
	__m256 a = _mm256_add_ps(x.a, x.b);
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

INLINE float v_top(v16 x)
{
	__m256 a = _mm256_max_ps(x.a, x.b);
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

INLINE uint32_t v_top_bits(v16 x, v16 y)
{
	v16 p = v_abs(x), q = v_abs(y);
	__m256i a = _mm256_max_epi32(
		_mm256_max_epi32(_mm256_castps_si256(p.a), _mm256_castps_si256(p.b)),
		_mm256_max_epi32(_mm256_castps_si256(q.a), _mm256_castps_si256(q.b)));
	__m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

	b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
	b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1));
	return (uint32_t)_mm_cvtsi128_si32(b);
}

INLINE int32_t v_store_i8(int8_t *p, v16 x)
{
	__m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
	__m256i sum = _mm256_add_epi32(a, b);
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	__m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);

	_mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(words),
						       _mm256_extracti128_si256(words, 1)));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
	return _mm_cvtsi128_si32(s);
}

INLINE void v_store_i16(int16_t *p, v16 x)
{
	__m256i i = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));

	_mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(i, 0xd8));
}

INLINE void v_store_f16(uint16_t *p, v16 x)
{
	_mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
	_mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

#endif
