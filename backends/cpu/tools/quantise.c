/* SPDX-License-Identifier: MIT */
/*
 * quantise.c - rows into blocks; see quantise.h. Codes are placed by codes.c, scales here.
 */
#include "quantise.h"

#include <math.h>
#include <string.h>

#include "codes.h"
#include "dequant.h"
#include "float16.h"
#include "nvfp4.h"

#include <weir/draft/device.h>

enum { SUPER = 256 };

/* What the codes of IQ4 stand for; those of E2M1, doubled, in ascending order with their codes. */
static const int8_t values_nl[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
				      1,    13,   25,  38,  53,  69,  89,  113 };
static const int8_t values_fp4[16] = { -12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12 };
static const uint8_t codes_fp4[16] = { 15, 14, 13, 12, 11, 10, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7 };

static void put_u16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

/* Writes x as F16 and returns what was written. */
static float put_f16(uint8_t *at, float x)
{
	uint16_t h = weir_f32_to_f16(x);

	put_u16(at, h);
	return weir_f16_to_f32(h);
}

static void weigh(const float *x, unsigned n, float *ret_w)
{
	float sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += x[i] * x[i];
	sum = sqrtf(sum / (float)n);
	for (unsigned i = 0; i < n; i++)
		ret_w[i] = sum + fabsf(x[i]);
}

static float inverse_of(float x)
{
	return x != 0 && fabsf(x) > 0x1p-120f ? 1 / x : 0;
}

/* ---- blocks of 32 ---- */

static bool block_q8_0(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	float max = 0, inverse, d;
	uint8_t q[32];

	for (int i = 0; i < 32; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	d = put_f16(dst, max / 127);
	inverse = inverse_of(d);
	for (int i = 0; i < 32; i++)
		q[i] = (uint8_t)(quantise_round(x[i] * inverse, -128, 127) + 128);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d);
}

/* Q4_0, Q5_0: w = d (q - half) */
static bool block_scaled(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	int half = type == WEIR_DTYPE_Q4_0 ? 8 : 16;
	float d, inverse;
	int8_t s[32];
	uint8_t q[32];

	d = put_f16(dst, quantise_fit_scale(x, w, 32, -half, half - 1, s));
	inverse = inverse_of(d);
	for (int i = 0; i < 32; i++)
		q[i] = (uint8_t)(quantise_round(x[i] * inverse, -half, half - 1) + half);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d);
}

/* Q4_1, Q5_1: w = d q + m */
static bool block_paired(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	int hi = type == WEIR_DTYPE_Q4_1 ? 15 : 31;
	float d, m, inverse;
	uint8_t q[32];

	quantise_fit_pair(x, w, 32, hi, false, &d, &m, q);
	d = put_f16(dst, d);
	m = put_f16(dst + 2, m);
	inverse = inverse_of(d);
	for (int i = 0; i < 32; i++)
		q[i] = (uint8_t)quantise_round((x[i] - m) * inverse, 0, hi);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d) && isfinite(m);
}

static bool block_iq4_nl(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	float d, inverse;
	uint8_t q[32];

	d = put_f16(dst, quantise_fit_values(x, w, 32, values_nl, q));
	inverse = inverse_of(d);
	for (int i = 0; i < 32; i++)
		q[i] = (uint8_t)quantise_nearest(values_nl, x[i] * inverse);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d);
}

/* The scale is a power of two: those around the largest weight's are tried. */
static bool block_mxfp4(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	uint8_t q[32], best_q[32] = { 0 };
	float max = 0, best = INFINITY;
	int exponent, best_e = 0;

	for (int i = 0; i < 32; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	if (max > 0) {
		frexpf(max / 6, &exponent);
		for (int e = exponent - 2; e <= exponent + 1; e++) {
			float d = ldexpf(0.5f, e), error = 0; /* values are doubled */

			if (e < -127 || e > 127)
				continue;
			for (int i = 0; i < 32; i++) {
				unsigned k = quantise_nearest(values_fp4, x[i] / d);
				float off = x[i] - d * (float)values_fp4[k];

				q[i] = codes_fp4[k];
				error += w[i] * off * off;
			}
			if (error < best) {
				best = error;
				best_e = e + 127;
				memcpy(best_q, q, sizeof(q));
			}
		}
		if (!(best < INFINITY) && max > 1)
			return false;
	}
	dst[0] = (uint8_t)best_e;
	weir_cpu_codes_put(type, best_q, dst);
	return true;
}

/* The byte of the scale of 16 weights, and their codes. Scales from half of what the largest weight
 * asks for to the next above are tried. */
static uint8_t fit_ue4m3(const float *x, const float *w, uint8_t *ret_q)
{
	float max = 0, best = INFINITY;
	uint8_t q[16], best_byte = 0;
	int top = 1;

	memset(ret_q, 0, 16);
	for (int i = 0; i < 16; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	while (top < 126 && weir_f16_to_f32(weir_nvfp4_scale((uint8_t)top)) * 12 < max)
		top++;
	for (int byte = top > 8 ? top - 8 : 1; byte <= top + 1 && byte < 127; byte++) {
		float d = weir_f16_to_f32(weir_nvfp4_scale((uint8_t)byte)), error = 0;

		for (int i = 0; i < 16; i++) {
			unsigned k = quantise_nearest(values_fp4, x[i] / d);
			float off = x[i] - d * (float)values_fp4[k];

			q[i] = codes_fp4[k];
			error += w[i] * off * off;
		}
		if (error < best) {
			best = error;
			best_byte = (uint8_t)byte;
			memcpy(ret_q, q, sizeof(q));
		}
	}
	return best_byte;
}

/* Weights that are larger than the largest scale's largest value cannot be stored. */
static bool block_nvfp4(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	uint8_t q[64];

	for (int i = 0; i < 64; i++)
		if (!(fabsf(x[i]) <= 448 * 6))
			return false;
	for (int j = 0; j < 4; j++)
		dst[j] = fit_ue4m3(x + 16 * j, w + 16 * j, q + 16 * j);
	weir_cpu_codes_put(type, q, dst);
	return true;
}

/* ---- super-blocks of 256 ---- */

/* x ~ d * s_j * q_i - dmin * m_j: given the parts' integers and the codes, both factors by least
 * squares; kept only where the result is better. */
static void refine_pairs(const float *x, const float *w, unsigned part, const uint8_t *s,
			 const uint8_t *m, const uint8_t *q, float *d, float *dmin)
{
	double aa = 0, bb = 0, ab = 0, xa = 0, xb = 0, det, nd, nm;

	for (unsigned i = 0; i < SUPER; i++) {
		double a = (double)s[i / part] * q[i], b = m[i / part];

		aa += w[i] * a * a;
		bb += w[i] * b * b;
		ab += w[i] * a * b;
		xa += w[i] * x[i] * a;
		xb += w[i] * x[i] * b;
	}
	det = aa * bb - ab * ab;
	if (!(det > 1e-9 * aa * bb))
		return;
	nd = (xa * bb - xb * ab) / det;
	nm = (xa * ab - xb * aa) / det;
	if (nd > 0 && nm >= 0) {
		*d = (float)nd;
		*dmin = (float)nm;
	}
}

/* The codes that are nearest under the scales as stored; returns the error. */
static double code_pairs(const float *x, const float *w, unsigned part, int hi, const uint8_t *s,
			 const uint8_t *m, float d, float dmin, uint8_t *ret_q)
{
	double error = 0;

	for (unsigned j = 0; j < SUPER / part; j++) {
		float ds = d * (float)s[j], dm = dmin * (float)m[j], inverse = inverse_of(ds);

		for (unsigned i = j * part; i < (j + 1) * part; i++) {
			int code = quantise_round((x[i] + dm) * inverse, 0, hi);
			float off = x[i] - (ds * (float)code - dm);

			ret_q[i] = (uint8_t)code;
			error += w[i] * off * off;
		}
	}
	return error;
}

/* Parts of `part` weights with scales and minimums of 0..top; the factors go to F16. */
static bool super_pairs(const float *x, const float *w, unsigned part, int hi, int top,
			uint8_t *ret_s, uint8_t *ret_m, uint8_t *ret_q, uint8_t *at_d)
{
	unsigned n = SUPER / part;
	float scale[16], min[16], d = 0, dmin = 0, inverse_d, inverse_m;
	uint8_t again[SUPER], bits[4];
	double first, second;

	for (unsigned j = 0; j < n; j++) {
		quantise_fit_pair(x + j * part, w + j * part, part, hi, true, &scale[j], &min[j],
				  ret_q + j * part);
		d = scale[j] > d ? scale[j] : d;
		dmin = -min[j] > dmin ? -min[j] : dmin;
	}
	d = put_f16(at_d, d / (float)top);
	dmin = put_f16(at_d + 2, dmin / (float)top);
	inverse_d = inverse_of(d);
	inverse_m = inverse_of(dmin);
	for (unsigned j = 0; j < n; j++) {
		ret_s[j] = (uint8_t)quantise_round(scale[j] * inverse_d, 0, top);
		ret_m[j] = (uint8_t)quantise_round(-min[j] * inverse_m, 0, top);
	}
	first = code_pairs(x, w, part, hi, ret_s, ret_m, d, dmin, ret_q);
	refine_pairs(x, w, part, ret_s, ret_m, ret_q, &d, &dmin);
	d = put_f16(bits, d);
	dmin = put_f16(bits + 2, dmin);
	second = code_pairs(x, w, part, hi, ret_s, ret_m, d, dmin, again);
	if (second < first) {
		memcpy(at_d, bits, sizeof(bits));
		memcpy(ret_q, again, sizeof(again));
	}
	return isfinite(d) && isfinite(dmin) && isfinite(first);
}

static bool block_q2_k(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	uint8_t s[16], m[16], q[SUPER];
	bool ok = super_pairs(x, w, 16, 3, 15, s, m, q, dst + 80);

	for (int j = 0; j < 16; j++)
		dst[j] = (uint8_t)(s[j] | m[j] << 4);
	weir_cpu_codes_put(type, q, dst);
	return ok;
}

/* Eight pairs of 6 bits: the first four whole, of the others four bits and, above the first four,
 * two. */
static void pack_pairs(const uint8_t s[8], const uint8_t m[8], uint8_t *at)
{
	for (int j = 0; j < 4; j++) {
		at[j] = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
		at[j + 4] = (uint8_t)(m[j] | m[j + 4] >> 4 << 6);
		at[j + 8] = (uint8_t)((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
	}
}

static bool block_q45_k(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	uint8_t s[8], m[8], q[SUPER];
	bool ok = super_pairs(x, w, 32, type == WEIR_DTYPE_Q4_K ? 15 : 31, 63, s, m, q, dst);

	pack_pairs(s, m, dst + 4);
	weir_cpu_codes_put(type, q, dst);
	return ok;
}

/* Signed scales s_j in lo..hi and codes in -half..half-1: x ~ d * s_j * q_i. */
struct scaled {
	unsigned part;
	int lo, hi, half;
};

static double code_scaled(const struct scaled *f, const float *x, const float *w, const int8_t *s,
			  float d, int8_t *ret_q)
{
	double error = 0;

	for (unsigned j = 0; j < SUPER / f->part; j++) {
		float ds = d * (float)s[j], inverse = inverse_of(ds);

		for (unsigned i = j * f->part; i < (j + 1) * f->part; i++) {
			int code = quantise_round(x[i] * inverse, -f->half, f->half - 1);
			float off = x[i] - ds * (float)code;

			ret_q[i] = (int8_t)code;
			error += w[i] * off * off;
		}
	}
	return error;
}

static float refine_scaled(const float *x, const float *w, unsigned part, const int8_t *s,
			   const int8_t *v, float d)
{
	double num = 0, den = 0;

	for (unsigned i = 0; i < SUPER; i++) {
		double a = (double)s[i / part] * v[i];

		num += w[i] * x[i] * a;
		den += w[i] * a * a;
	}
	return den > 0 ? (float)(num / den) : d;
}

static bool super_scaled(const struct scaled *f, const float *x, const float *w, int8_t *ret_s,
			 int8_t *ret_q, uint8_t *at_d)
{
	unsigned n = SUPER / f->part;
	float scale[16], largest = 0, d, inverse;
	int8_t again[SUPER];
	uint8_t bits[2];
	double first;

	for (unsigned j = 0; j < n; j++) {
		scale[j] = quantise_fit_scale(x + j * f->part, w + j * f->part, f->part, -f->half,
					      f->half - 1, ret_q + j * f->part);
		largest = fabsf(scale[j]) > fabsf(largest) ? scale[j] : largest;
	}
	d = put_f16(at_d, largest / (float)f->lo);
	inverse = inverse_of(d);
	for (unsigned j = 0; j < n; j++)
		ret_s[j] = (int8_t)quantise_round(scale[j] * inverse, f->lo, f->hi);
	first = code_scaled(f, x, w, ret_s, d, ret_q);
	d = put_f16(bits, refine_scaled(x, w, f->part, ret_s, ret_q, d));
	if (code_scaled(f, x, w, ret_s, d, again) < first) {
		memcpy(at_d, bits, sizeof(bits));
		memcpy(ret_q, again, sizeof(again));
	}
	return isfinite(d) && isfinite(first);
}

static bool block_q3_k(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	static const struct scaled f = { 16, -32, 31, 4 };
	int8_t s[16], v[SUPER];
	uint8_t q[SUPER];
	bool ok = super_scaled(&f, x, w, s, v, dst + 108);

	for (int j = 0; j < 16; j++) {
		unsigned code = (unsigned)(s[j] + 32);

		dst[96 + j % 8] |= (uint8_t)((code & 15) << (j / 8 * 4));
		dst[96 + 8 + j % 4] |= (uint8_t)(code >> 4 << (j / 4 * 2));
	}
	for (int i = 0; i < SUPER; i++)
		q[i] = (uint8_t)(v[i] + 4);
	weir_cpu_codes_put(type, q, dst);
	return ok;
}

static bool block_q6_k(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	static const struct scaled f = { 16, -128, 127, 32 };
	int8_t v[SUPER];
	uint8_t q[SUPER];
	bool ok = super_scaled(&f, x, w, (int8_t *)dst + 192, v, dst + 208);

	for (int i = 0; i < SUPER; i++)
		q[i] = (uint8_t)(v[i] + 32);
	weir_cpu_codes_put(type, q, dst);
	return ok;
}

static double code_xs(const float *x, const float *w, const int8_t *s, float d, uint8_t *ret_q)
{
	double error = 0;

	for (unsigned i = 0; i < SUPER; i++) {
		float ds = d * (float)s[i / 32], off;

		ret_q[i] = (uint8_t)quantise_nearest(values_nl, x[i] * inverse_of(ds));
		off = x[i] - ds * (float)values_nl[ret_q[i]];
		error += w[i] * off * off;
	}
	return error;
}

static bool block_iq4_xs(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	float scale[8], largest = 0, d, inverse;
	uint8_t q[SUPER], again[SUPER], bits[2];
	int8_t s[8], v[SUPER];
	unsigned high = 0;
	double first;

	for (int j = 0; j < 8; j++) {
		scale[j] = quantise_fit_values(x + 32 * j, w + 32 * j, 32, values_nl, q + 32 * j);
		largest = fabsf(scale[j]) > fabsf(largest) ? scale[j] : largest;
	}
	d = put_f16(dst, largest / -32);
	inverse = inverse_of(d);
	for (int j = 0; j < 8; j++)
		s[j] = (int8_t)quantise_round(scale[j] * inverse, -32, 31);
	first = code_xs(x, w, s, d, q);
	for (int i = 0; i < SUPER; i++)
		v[i] = values_nl[q[i]];
	d = put_f16(bits, refine_scaled(x, w, 32, s, v, d));
	if (code_xs(x, w, s, d, again) < first) {
		memcpy(dst, bits, sizeof(bits));
		memcpy(q, again, sizeof(q));
	}
	for (int j = 0; j < 8; j++) {
		unsigned code = (unsigned)(s[j] + 32);

		dst[4 + j / 2] |= (uint8_t)((code & 15) << (j % 2 * 4));
		high |= code >> 4 << (2 * j);
	}
	put_u16(dst + 2, (uint16_t)high);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d) && isfinite(first);
}

static bool block_ternary(uint32_t type, const float *x, const float *w, uint8_t *dst)
{
	size_t at = type == WEIR_DTYPE_TQ1_0 ? 52 : 64;
	uint8_t q[SUPER];
	int8_t v[SUPER];
	float d = put_f16(dst + at, quantise_fit_ternary(x, SUPER, v));

	for (int i = 0; i < SUPER; i++)
		q[i] = (uint8_t)(v[i] + 1);
	weir_cpu_codes_put(type, q, dst);
	return isfinite(d);
}

typedef bool (*block_fn)(uint32_t type, const float *x, const float *w, uint8_t *dst);

static const block_fn blocks[] = {
	[WEIR_DTYPE_Q4_0] = block_scaled,   [WEIR_DTYPE_Q4_1] = block_paired,
	[WEIR_DTYPE_Q5_0] = block_scaled,   [WEIR_DTYPE_Q5_1] = block_paired,
	[WEIR_DTYPE_Q8_0] = block_q8_0,     [WEIR_DTYPE_Q2_K] = block_q2_k,
	[WEIR_DTYPE_Q3_K] = block_q3_k,     [WEIR_DTYPE_Q4_K] = block_q45_k,
	[WEIR_DTYPE_Q5_K] = block_q45_k,    [WEIR_DTYPE_Q6_K] = block_q6_k,
	[WEIR_DTYPE_IQ4_NL] = block_iq4_nl, [WEIR_DTYPE_IQ4_XS] = block_iq4_xs,
	[WEIR_DTYPE_MXFP4] = block_mxfp4,   [WEIR_DTYPE_TQ1_0] = block_ternary,
	[WEIR_DTYPE_TQ2_0] = block_ternary, [WEIR_DTYPE_NVFP4] = block_nvfp4,
};

static bool row_of_numbers(uint32_t type, const float *x, size_t n, uint8_t *dst)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t h;

		if (!isfinite(x[i]))
			return false;
		if (type == WEIR_DTYPE_F32) {
			memcpy(dst + 4 * i, &x[i], 4);
			continue;
		}
		h = type == WEIR_DTYPE_BF16 ? weir_f32_to_bf16(x[i]) : weir_f32_to_f16(x[i]);
		if (!isfinite(type == WEIR_DTYPE_BF16 ? weir_bf16_to_f32(h) : weir_f16_to_f32(h)))
			return false;
		put_u16(dst + 2 * i, h);
	}
	return true;
}

bool quantise_row(uint32_t type, const float *x, size_t n, uint8_t *dst)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	float w[SUPER];

	if (type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_F16 || type == WEIR_DTYPE_BF16)
		return row_of_numbers(type, x, n, dst);
	for (size_t i = 0; i < n; i += t->block, dst += t->bytes) {
		for (size_t k = 0; k < t->block; k++)
			if (!(fabsf(x[i + k]) < 0x1p60f)) /* squares must stay finite */
				return false;
		memset(dst, 0, t->bytes);
		weigh(x + i, t->block, w);
		if (!blocks[type](type, x + i, w, dst))
			return false;
	}
	return true;
}
