/* SPDX-License-Identifier: MIT */
/*
 * simd-neon.h - the vector types of kernel-*.h on AArch64's Advanced SIMD, with the dot product of
 * FEAT_DotProd when the file that includes it is built for it. See simd-scalar.h for what each name
 * means.
 */
#ifndef WEIR_CPU_SIMD_NEON_H
#define WEIR_CPU_SIMD_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include "float16.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL(n) /* there speed does not count, and the compiler would take minutes */
#else
#define PRAGMA(x) _Pragma(#x)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif
#define LANES     4
#define MAX_COLS  16
#define ANY_CODES 0

typedef float32x4_t hf;
typedef int32x4_t hi;
typedef struct {
	float32x4_t v[4];
} v16;

#define EACH for (int i = 0; i < 4; i++)

INLINE hf hf_zero(void)
{
	return vdupq_n_f32(0);
}

INLINE hf hf_set1(float x)
{
	return vdupq_n_f32(x);
}

INLINE hf hf_load(const float *p)
{
	return vld1q_f32(p);
}

INLINE void hf_store(float *p, hf x)
{
	vst1q_f32(p, x);
}

INLINE hf hf_add(hf a, hf b)
{
	return vaddq_f32(a, b);
}

INLINE hf hf_mul(hf a, hf b)
{
	return vmulq_f32(a, b);
}

INLINE hf hf_fma(hf a, hf b, hf c)
{
	return vfmaq_f32(c, a, b);
}

INLINE hf hf_fnma(hf a, hf b, hf c)
{
	return vfmsq_f32(c, a, b);
}

INLINE hf hf_from_int(hi x)
{
	return vcvtq_f32_s32(x);
}

INLINE uint16x4_t load_halves(const uint8_t *p)
{
	return vreinterpret_u16_u8(vld1_u8(p));
}

/* 4 bytes, each in a lane */
INLINE uint32x4_t load_bytes(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(x)))));
}

INLINE hf hf_load_f16(const uint8_t *p)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(p)));
}

INLINE hf hf_load_bf16(const uint8_t *p)
{
	return vreinterpretq_f32_u32(vshll_n_u16(load_halves(p), 16));
}

INLINE hf hf_load_u8(const uint8_t *p)
{
	return vcvtq_f32_u32(load_bytes(p));
}

INLINE hf hf_load_i8(const uint8_t *p)
{
	int32x4_t x = vshlq_n_s32(vreinterpretq_s32_u32(load_bytes(p)), 24);

	return vcvtq_f32_s32(vshrq_n_s32(x, 24));
}

INLINE hf hf_load_u4(const uint8_t *p, int shift)
{
	uint32x4_t x = vshlq_u32(load_bytes(p), vdupq_n_s32(-shift));

	return vcvtq_f32_u32(vandq_u32(x, vdupq_n_u32(15)));
}

INLINE hf hf_load_e8m0(const uint8_t *p)
{
	uint32x4_t e = load_bytes(p);
	uint32x4_t x = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
	uint32x4_t small = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));

	return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), small, x));
}

INLINE hi hi_set1(int32_t x)
{
	return vdupq_n_s32(x);
}

INLINE hi hi_left(hi x, int n)
{
	return vshlq_s32(x, vdupq_n_s32(n));
}

INLINE hi hi_right(hi x, int n)
{
	return vshlq_s32(x, vdupq_n_s32(-n));
}

INLINE hi hi_load(const uint8_t *p)
{
	return vreinterpretq_s32_u8(vld1q_u8(p));
}

INLINE uint8x16_t bytes_of(hi x)
{
	return vreinterpretq_u8_s32(x);
}

INLINE hi hi_low(hi x)
{
	return vreinterpretq_s32_u8(vandq_u8(bytes_of(x), vdupq_n_u8(15)));
}

INLINE hi hi_high(hi x)
{
	return vreinterpretq_s32_u8(vshrq_n_u8(bytes_of(x), 4));
}

INLINE hi hi_two(hi x, int j)
{
	uint8x16_t y = vshlq_u8(bytes_of(x), vdupq_n_s8((int8_t)(-2 * j)));

	return vreinterpretq_s32_u8(vandq_u8(y, vdupq_n_u8(3)));
}

INLINE hi hi_pick(hi x, int mask)
{
	return vreinterpretq_s32_u8(vandq_u8(bytes_of(x), vdupq_n_u8((uint8_t)mask)));
}

INLINE hi hi_load_pairs_u8(const uint8_t *p)
{
	return vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p)));
}

INLINE hi hi_load_pairs_i8(const uint8_t *p)
{
	return vreinterpretq_s32_s16(vmovl_s8(vreinterpret_s8_u8(vld1_u8(p))));
}

INLINE hi hi_scale_pairs(hi a, hi b)
{
	return vreinterpretq_s32_s16(
		vqrdmulhq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));
}

INLINE void hi_store(void *p, hi x)
{
	vst1q_u8(p, bytes_of(x));
}

INLINE hi hi_pairs_u4(hi x, int shift)
{
	uint16x8_t y = vshlq_u16(vreinterpretq_u16_s32(x), vdupq_n_s16((int16_t)-shift));

	return vreinterpretq_s32_u16(vandq_u16(y, vdupq_n_u16(15)));
}

INLINE hi hi_pair(hi low, hi high)
{
	return vbslq_s32(vdupq_n_u32(0xffff), low, high);
}

INLINE hi dot_pairs(hi init, hi a, hi b)
{
	int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);

	return vaddq_s32(init, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)),
					  vmull_high_s16(x, y)));
}

INLINE hi hi_with_bits(hi low, hi bits, int j)
{
	uint8x16_t y = vshlq_u8(bytes_of(bits), vdupq_n_s8((int8_t)(4 - 2 * j)));

	y = vandq_u8(y, vdupq_n_u8(0x30));
	return vreinterpretq_s32_u8(vorrq_u8(bytes_of(low), y));
}

INLINE hi hi_with_bit(hi low, hi bits, int j, int to)
{
	uint8x16_t y = vshlq_u8(bytes_of(bits), vdupq_n_s8((int8_t)(to - j)));

	y = vandq_u8(y, vdupq_n_u8((uint8_t)(1 << to)));
	return vreinterpretq_s32_u8(vorrq_u8(bytes_of(low), y));
}

INLINE hi hi_lookup(const uint8_t *book, hi x)
{
	return vreinterpretq_s32_u8(vqtbl1q_u8(vld1q_u8(book), bytes_of(x)));
}

INLINE int8x16_t four(const uint8_t *a)
{
	int32_t x;

	memcpy(&x, a, sizeof(x));
	return vreinterpretq_s8_s32(vdupq_n_s32(x));
}

/* sum + 4 products in each lane; two of them are at most 2 * 128 * 127 = 32512 */
INLINE hi dot_four(hi sum, int8x16_t w, int8x16_t a)
{
#ifdef __ARM_FEATURE_DOTPROD
	return vdotq_s32(sum, w, a);
#else
	int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(a)), high = vmull_high_s8(w, a);

	return vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
}

INLINE hi dot_codes(hi init, const hi *w, const uint8_t *a, int n, int top)
{
	(void)top; /* below 128: no sign */
	UNROLL(8)
	for (int s = 0; s < n; s++)
		init = dot_four(init, vreinterpretq_s8_s32(w[s]), four(a + 4 * s));
	return init;
}

INLINE hi dot_byte(hi init, const hi *w, const uint8_t *a, int n)
{
	hi sum = vdupq_n_s32(0);

	(void)init;
	UNROLL(8)
	for (int s = 0; s < n; s++) {
		uint8x16_t x = veorq_u8(bytes_of(w[s]), vdupq_n_u8(0x80));

		sum = dot_four(sum, vreinterpretq_s8_u8(x), four(a + 4 * s));
	}
	return sum;
}

INLINE v16 v_set1(float x)
{
	float32x4_t y = vdupq_n_f32(x);

	return (v16){ { y, y, y, y } };
}

INLINE v16 v_load(const float *p)
{
	return (v16){ { vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12) } };
}

INLINE v16 v_load_f16(const uint8_t *p)
{
	return (v16){ { hf_load_f16(p), hf_load_f16(p + 8), hf_load_f16(p + 16),
			hf_load_f16(p + 24) } };
}

INLINE v16 v_load_n(const float *p, size_t n)
{
	float x[16] = { 0 };

	if (n == 16)
		return v_load(p);
	memcpy(x, p, n * sizeof(float));
	return v_load(x);
}

INLINE void v_store(float *p, v16 x)
{
	EACH vst1q_f32(p + 4 * i, x.v[i]);
}

INLINE void v_store_n(float *p, v16 x, size_t n)
{
	float y[16];

	v_store(y, x);
	memcpy(p, y, n * sizeof(float));
}

INLINE v16 v_add(v16 a, v16 b)
{
	EACH a.v[i] = vaddq_f32(a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_sub(v16 a, v16 b)
{
	EACH a.v[i] = vsubq_f32(a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_mul(v16 a, v16 b)
{
	EACH a.v[i] = vmulq_f32(a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_div(v16 a, v16 b)
{
	EACH a.v[i] = vdivq_f32(a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_fma(v16 a, v16 b, v16 c)
{
	EACH c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
	return c;
}

INLINE v16 v_max(v16 a, v16 b)
{
	EACH a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_min(v16 a, v16 b)
{
	EACH a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
	return a;
}

INLINE v16 v_round(v16 a)
{
	EACH a.v[i] = vrndnq_f32(a.v[i]);
	return a;
}

INLINE v16 v_power2(v16 n)
{
	EACH
	{
		int32x4_t e = vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127));

		n.v[i] = vreinterpretq_f32_s32(vshlq_n_s32(e, 23));
	}
	return n;
}

INLINE v16 v_if_less(v16 a, v16 b, v16 yes, v16 no)
{
	EACH no.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), yes.v[i], no.v[i]);
	return no;
}

INLINE v16 v_abs(v16 a)
{
	EACH a.v[i] = vabsq_f32(a.v[i]);
	return a;
}

INLINE v16 v_if_between(int32_t first, int32_t low, int32_t high, v16 yes, v16 no)
{
	static const int32_t steps[4] = { 0, 1, 2, 3 };

	EACH
	{
		int32x4_t at = vaddq_s32(vld1q_s32(steps), vdupq_n_s32(first + 4 * i));
		uint32x4_t in = vandq_u32(vcgeq_s32(at, vdupq_n_s32(low)),
					  vcleq_s32(at, vdupq_n_s32(high)));

		no.v[i] = vbslq_f32(in, yes.v[i], no.v[i]);
	}
	return no;
}

INLINE float v_sum(v16 x)
{
	float32x4_t a = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
	float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));

	return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}

INLINE float v_top(v16 x)
{
	float32x4_t a = vbslq_f32(vcgtq_f32(x.v[0], x.v[2]), x.v[0], x.v[2]);
	float32x4_t b = vbslq_f32(vcgtq_f32(x.v[1], x.v[3]), x.v[1], x.v[3]);

	return vmaxnmvq_f32(vmaxnmq_f32(a, b));
}

INLINE uint32_t v_top_bits(v16 x, v16 y)
{
	uint32x4_t top = vdupq_n_u32(0);

	EACH
	{
		top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(x.v[i])));
		top = vmaxq_u32(top, vreinterpretq_u32_f32(vabsq_f32(y.v[i])));
	}
	return vmaxvq_u32(top);
}

INLINE int32_t v_store_i8(int8_t *p, v16 x)
{
	int32x4_t q[4];
	int16x8_t low, high;

	EACH q[i] = vcvtnq_s32_f32(x.v[i]);
	low = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]));
	high = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));
	vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
	return vaddvq_s32(vaddq_s32(vaddq_s32(q[0], q[1]), vaddq_s32(q[2], q[3])));
}

INLINE void v_store_i16(int16_t *p, v16 x)
{
	EACH vst1_s16(p + 4 * i, vmovn_s32(vcvtnq_s32_f32(x.v[i])));
}

INLINE void v_store_f16(uint16_t *p, v16 x)
{
	EACH vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}

#undef EACH

#endif
