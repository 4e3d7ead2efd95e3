/* SPDX-License-Identifier: MIT */
/*
 * level-bf16.c - the two products over BF16 with AVX-512's BF16 dot product.
 *
 * Built for that instruction set alone: called only where weir_cpu_level_kernels() says yes. Two
 * neighbouring k are multiplied by one instruction, twice as many a second as in float; what is
 * multiplied by is rounded to BF16 for it. So this level's sums are its own: near those of the
 * others (relative error up to 5e-3), and the same in whatever batch.
 */
#include <immintrin.h>
#include <string.h>

#include "cpu.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL(n) /* there speed does not count, and the compiler would take minutes */
#else
#define PRAGMA(x) _Pragma(#x)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

enum { BF16_RUN = 512 }; /* k of one sum; its factors stay in the first cache */

/* Of two rows of 16 in one register: element i of both, side by side. */
INLINE __m512i side_by_side(__m512i rows)
{
	const __m512i index =
		_mm512_add_epi32(_mm512_set1_epi32(16 << 16),
				 _mm512_mullo_epi32(_mm512_set1_epi32(0x10001),
						    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
								      10, 11, 12, 13, 14, 15)));

	return _mm512_permutexvar_epi16(index, rows);
}

/* 16 lanes of k and, if there is one, of k + 1. */
INLINE __m512bh load_pair(const uint8_t *p, size_t k_stride, bool both)
{
	__m512i x = _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)p));

	if (both)
		x = _mm512_inserti64x4(x, _mm256_loadu_si256((const __m256i *)(p + k_stride)), 1);
	return (__m512bh)side_by_side(x);
}

/* One pair: the groups' lanes at p by the pair a[apart * c] of each column. Groups that lie side by
 * side (`lines`) are taken by two, with one shuffle each: lanes 8 i to 8 i + 3 of both are in the
 * first register, the others in the second, see in_order(). */
INLINE void dot_one(bool lines, const uint8_t *p, size_t group_stride, size_t k_stride, bool both,
		    const uint32_t *a, size_t apart, unsigned cols, unsigned groups, __m512 *acc)
{
	__m512bh w[4];

	UNROLL(4)
	for (unsigned g = 0; g < groups; g++) {
		__m512i x, y = _mm512_setzero_si512();

		if (!lines) {
			w[g] = load_pair(p + g * group_stride, k_stride, both);
			continue;
		}
		x = _mm512_loadu_si512(p + g * 32);
		if (both)
			y = _mm512_loadu_si512(p + g * 32 + k_stride);
		w[g++] = (__m512bh)_mm512_unpacklo_epi16(x, y);
		w[g] = (__m512bh)_mm512_unpackhi_epi16(x, y);
	}
	UNROLL(16)
	for (unsigned j = 0; j < cols * groups; j++)
		acc[j] = _mm512_dpbf16_ps(
			acc[j], w[j / cols],
			(__m512bh)_mm512_set1_epi32((int32_t)a[apart * (j % cols)]));
}

/* Two groups of one column as dot_one() has mixed them. */
INLINE void in_order(__m512 *low, __m512 *high)
{
	const __m512i first =
		_mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
	__m512 x = *low, y = *high;

	*low = _mm512_permutex2var_ps(x, first, y);
	*high = _mm512_permutex2var_ps(x, _mm512_add_epi32(first, _mm512_set1_epi32(8)), y);
}

/* chunked, cols, groups: constants; chunked: groups are 32 bytes apart. Pairs a: [k / 16][nc][8] if
 * chunked, else [k / 2][nc]; from the first column used here on. ahead: see weir_cpu_mix_fn. */
INLINE void dot_cols(bool chunked, const uint8_t *p, size_t group_stride, size_t k, size_t k_stride,
		     ptrdiff_t ahead, const uint32_t *a, unsigned nc, bool add, unsigned cols,
		     unsigned groups, float *out)
{
	size_t apart = chunked ? 8 : 1, next = chunked ? 1 : nc;
	bool lines = chunked && groups % 2 == 0;
	__m512 acc[16];

	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		acc[i] = _mm512_setzero_ps();
	for (; k >= 16; k -= 16, a += 8 * nc)
		UNROLL(2)
	for (unsigned i = 0; i < 8; i++, p += 2 * k_stride) {
		dot_one(lines, p, group_stride, k_stride, true, a + i * next, apart, cols, groups,
			acc);
		/* with few columns the processor itself fetches what is read next */
		if (chunked && cols > 4) {
			__builtin_prefetch(p + ahead, 0, 2);
			__builtin_prefetch(p + ahead + k_stride, 0, 2);
		}
	}
	for (unsigned i = 0; 2 * i < k; i++, p += 2 * k_stride)
		dot_one(lines, p, group_stride, k_stride, 2 * i + 1 < k, a + i * next, apart, cols,
			groups, acc);
	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		if (lines && i / cols % 2 == 0)
			in_order(&acc[i], &acc[i + cols]);
	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++) {
		float *o = out + ((size_t)(i / cols) * nc + i % cols) * 16;

		_mm512_storeu_ps(o, add ? _mm512_add_ps(_mm512_loadu_ps(o), acc[i]) : acc[i]);
	}
}

#define GROUPS_AT_ONCE(n) ((n) <= 4 && !chunked ? 4 : (n) <= 8 ? 2 : 1)

/* stride: from one group to the next; chunked: from one pair of groups to the next */
INLINE void dot_tile(bool chunked, const uint8_t *group, size_t n_groups, size_t stride, size_t k,
		     size_t k_stride, ptrdiff_t ahead, const uint32_t *pairs, unsigned nc, bool add,
		     float *out)
{
	for (unsigned first = 0, step = 0; first < nc; first += step) {
		const uint32_t *a = pairs + (chunked ? 8 : 1) * first;
		float *o = out + 16 * first;
		size_t g = 0;

#define RUN_GROUPS(n, m)                                                                           \
	for (; g + (m) <= n_groups; g += (m))                                                      \
	dot_cols(chunked, group + (chunked ? g / 2 * stride + g % 2 * 32 : g * stride), stride, k, \
		 k_stride, first ? 0 : ahead, a, nc, add, n, m, o + g * nc * 16)
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		RUN_GROUPS(n, GROUPS_AT_ONCE(n));                                                  \
		if (GROUPS_AT_ONCE(n) > 2)                                                         \
			RUN_GROUPS(n, 2);                                                          \
		RUN_GROUPS(n, 1);                                                                  \
		step = n;                                                                          \
		break;
		switch (nc - first >= 16 ? 16 : nc - first >= 8 ? 8 : nc - first) {
			CASE(16) CASE(8) CASE(7) CASE(6) CASE(5) CASE(4) CASE(3) CASE(2) CASE(1)
		}
#undef CASE
#undef RUN_GROUPS
	}
}

/* k rows of nc factors to pairs [k / 2][nc]; the last one's second is 0 where k is odd */
static void pair_rows(const float *tile, size_t k, unsigned nc, uint32_t *ret)
{
	__mmask16 mask = (__mmask16)((1u << nc) - 1);
	size_t i = 0;

	for (; nc == 1 && i + 32 <= k; i += 32)
		_mm512_storeu_si512(ret + i / 2,
				    (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(tile + i + 16),
								 _mm512_loadu_ps(tile + i)));
	for (; i < k; i += 2) {
		__m512 a = _mm512_maskz_loadu_ps(mask, tile + i * nc), b = _mm512_setzero_ps();

		if (i + 1 < k)
			b = _mm512_maskz_loadu_ps(mask, tile + (i + 1) * nc);
		_mm512_mask_storeu_epi32(ret + i / 2 * nc, mask,
					 side_by_side((__m512i)_mm512_cvtne2ps_pbh(b, a)));
	}
}

void weir_cpu_bf16_linear(const uint8_t *group, size_t n_groups, size_t group_stride, size_t k,
			  size_t k_stride, const float *tile, unsigned nc, bool add, float *out)
{
	uint32_t pairs[BF16_RUN / 2 * WEIR_CPU_TILE];

	for (size_t done = 0; done < k; done += BF16_RUN) {
		size_t n = k - done < BF16_RUN ? k - done : BF16_RUN;

		pair_rows(tile + done * nc, n, nc, pairs);
		dot_tile(false, group + done * k_stride, n_groups, group_stride, n, k_stride, 0,
			 pairs, nc, add || done, out);
	}
}

void weir_cpu_bf16_mix(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		       size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		       float *out)
{
	uint32_t pairs[BF16_RUN / 2 * WEIR_CPU_TILE];

	for (size_t done = 0; done < k; done += BF16_RUN) {
		size_t n = k - done < BF16_RUN ? k - done : BF16_RUN;
		size_t n_values = (n + 15) / 16 * nc * 16;

		for (size_t i = 0; i < n_values; i += 16)
			_mm256_storeu_si256(
				(__m256i *)(pairs + i / 2),
				(__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(a + done * nc + i)));
		dot_tile(true, group + done * k_stride, n_groups, pair_stride, n, k_stride, ahead,
			 pairs, nc, add || done, out);
	}
}
