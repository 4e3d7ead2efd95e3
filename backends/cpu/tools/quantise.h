/* SPDX-License-Identifier: MIT */
/*
 * quantise.h - float rows into GGUF's block types: the opposite of dequant.h.
 *
 * Pure; any thread. What a block of codes stands for is the format's (dequant.h, codes.h); which
 * codes and scales are chosen is ours: for a few candidate scales the nearest codes are taken, the
 * scale (and minimum) that fits these codes best by weighted least squares is solved for, and the
 * best of all is kept. A weight counts with its own size plus the block's root mean square, since
 * large ones move results more. Types of 256 fit each part first, round the parts' scales to the
 * format's integers, choose codes again, and then solve for the super-block's factors.
 */
#ifndef WEIR_CPU_QUANTISE_H
#define WEIR_CPU_QUANTISE_H

#include <weir/base.h>

/* One row of n weights (whole blocks) as `type` (any of WEIR_CPU_TYPE_NAMES) to dst. False: a
 * weight is not finite, or beyond what the type's numbers can hold; dst is then undefined. */
bool quantise_row(uint32_t type, const float *x, size_t n, uint8_t *dst);

/* quantise-fit.c: the fits, for quantise.c. Each takes n (at most 256) values with weights w. */

/* codes q in lo..hi, x ~ scale * q. Returns the scale, which may be negative. */
float quantise_fit_scale(const float *x, const float *w, unsigned n, int lo, int hi, int8_t *ret_q);

/* codes 0..hi, x ~ scale * q + min, scale >= 0; with `below` min <= 0. */
void quantise_fit_pair(const float *x, const float *w, unsigned n, int hi, bool below,
		       float *ret_scale, float *ret_min, uint8_t *ret_q);

/* x ~ scale * values[q]: the 16 values ascend. Returns the scale. */
float quantise_fit_values(const float *x, const float *w, unsigned n, const int8_t values[16],
			  uint8_t *ret_q);

/* The nearest of 16 ascending values. */
unsigned quantise_nearest(const int8_t values[16], float x);

/* x ~ scale * q, q in -1..1: exact. Returns the scale. */
float quantise_fit_ternary(const float *x, unsigned n, int8_t *ret_q);

static inline int quantise_round(float x, int lo, int hi)
{
	float y = x < (float)lo ? (float)lo : x > (float)hi ? (float)hi : x;

	return (int)(y + (y < 0 ? -0.5f : 0.5f));
}

#endif
