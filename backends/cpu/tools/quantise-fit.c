/* SPDX-License-Identifier: MIT */
/*
 * quantise-fit.c - scales and codes of one block by weighted least squares; see quantise.h.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

enum { MAX_BLOCK = 256, CANDIDATES = 9 };

static float largest(const float *x, unsigned n)
{
	float best = 0;

	for (unsigned i = 0; i < n; i++)
		if (fabsf(x[i]) > fabsf(best))
			best = x[i];
	return best;
}

/* Of all scales that fit codes q, the best explains num^2 / den of the weighted squares. */
static float explained(float num, float den)
{
	return den > 0 ? num * (num / den) : 0;
}

float quantise_fit_scale(const float *x, const float *w, unsigned n, int lo, int hi, int8_t *ret_q)
{
	float max = largest(x, n), best = -1, scale = 0;
	int8_t q[MAX_BLOCK];

	memset(ret_q, 0, n);
	if (!(fabsf(max) > 0x1p-120f))
		return 0;
	/* The largest weight goes to the end that reaches further, give or take some steps. */
	for (int k = -CANDIDATES; k <= CANDIDATES; k++) {
		float inverse = ((float)lo + 0.1f * (float)k) / max, num = 0, den = 0, got;

		for (unsigned i = 0; i < n; i++) {
			int code = quantise_round(inverse * x[i], lo, hi);

			q[i] = (int8_t)code;
			num += w[i] * x[i] * (float)code;
			den += w[i] * (float)code * (float)code;
		}
		got = explained(num, den);
		if (got > best && den > 0) {
			best = got;
			scale = num / den;
			memcpy(ret_q, q, n);
		}
	}
	return scale;
}

struct sums {
	double w, x, xx, q, qq, xq; /* weighted */
};

/* The best scale and minimum for the codes behind the sums, and the error that is left. */
static double solve_pair(const struct sums *s, bool below, float *ret_scale, float *ret_min)
{
	double det = s->w * s->qq - s->q * s->q, scale = 0, min = s->w > 0 ? s->x / s->w : 0;

	if (det > 1e-12 * s->w * s->qq) {
		scale = (s->w * s->xq - s->q * s->x) / det;
		min = (s->qq * s->x - s->q * s->xq) / det;
	}
	if (below && min > 0) {
		min = 0;
		scale = s->qq > 0 ? s->xq / s->qq : 0;
	}
	if (scale < 0)
		scale = 0;
	*ret_scale = (float)scale;
	*ret_min = (float)min;
	return s->xx + scale * scale * s->qq + min * min * s->w - 2 * scale * s->xq -
	       2 * min * s->x + 2 * scale * min * s->q;
}

void quantise_fit_pair(const float *x, const float *w, unsigned n, int hi, bool below,
		       float *ret_scale, float *ret_min, uint8_t *ret_q)
{
	float low = x[0], high = x[0];
	double best = INFINITY;
	uint8_t q[MAX_BLOCK];

	for (unsigned i = 1; i < n; i++) {
		low = x[i] < low ? x[i] : low;
		high = x[i] > high ? x[i] : high;
	}
	if (below && low > 0)
		low = 0;
	*ret_scale = 0;
	*ret_min = low;
	memset(ret_q, 0, n);
	if (!(high - low > 0x1p-120f))
		return;
	for (int k = -CANDIDATES; k <= CANDIDATES; k++) {
		float inverse = ((float)hi + 0.1f * (float)k) / (high - low), from = low;

		/* the second round starts from what the first one has solved for */
		for (int round = 0; round < 2 && inverse > 0; round++) {
			struct sums s = { 0 };
			float scale, min;
			double left;

			for (unsigned i = 0; i < n; i++) {
				int code = quantise_round(inverse * (x[i] - from), 0, hi);
				double wi = w[i], c = code;

				q[i] = (uint8_t)code;
				s.w += wi;
				s.x += wi * x[i];
				s.xx += wi * x[i] * x[i];
				s.q += wi * c;
				s.qq += wi * c * c;
				s.xq += wi * x[i] * c;
			}
			left = solve_pair(&s, below, &scale, &min);
			if (left < best) {
				best = left;
				*ret_scale = scale;
				*ret_min = min;
				memcpy(ret_q, q, n);
			}
			inverse = scale > 0 ? 1 / scale : 0;
			from = min;
		}
	}
}

unsigned quantise_nearest(const int8_t values[16], float x)
{
	unsigned lo = 0, hi = 15;

	if (!(x > values[0]))
		return 0;
	if (x >= values[15])
		return 15;
	while (hi - lo > 1) {
		unsigned mid = (lo + hi) / 2;

		if (x >= values[mid])
			lo = mid;
		else
			hi = mid;
	}
	return x - values[lo] < values[hi] - x ? lo : hi;
}

float quantise_fit_values(const float *x, const float *w, unsigned n, const int8_t values[16],
			  uint8_t *ret_q)
{
	float max = largest(x, n), best = -1, scale = 0;
	uint8_t q[MAX_BLOCK];

	memset(ret_q, (int)quantise_nearest(values, 0), n);
	if (!(fabsf(max) > 0x1p-120f))
		return 0;
	for (int k = -CANDIDATES; k <= CANDIDATES; k++) {
		float inverse = ((float)values[0] + 2.0f * (float)k) / max, num = 0, den = 0, got;

		for (unsigned i = 0; i < n; i++) {
			float v;

			q[i] = (uint8_t)quantise_nearest(values, inverse * x[i]);
			v = values[q[i]];
			num += w[i] * x[i] * v;
			den += w[i] * v * v;
		}
		got = explained(num, den);
		if (got > best && den > 0) {
			best = got;
			scale = num / den;
			memcpy(ret_q, q, n);
		}
	}
	return scale;
}

static int descending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The k largest get a sign and the rest nothing: the error falls by (sum of the k)^2 / k, so the
 * best k is found by trying them all. */
float quantise_fit_ternary(const float *x, unsigned n, int8_t *ret_q)
{
	float size[MAX_BLOCK], best = 0, scale = 0, sum = 0, least = INFINITY;

	for (unsigned i = 0; i < n; i++)
		size[i] = fabsf(x[i]);
	qsort(size, n, sizeof(size[0]), descending);
	for (unsigned k = 0; k < n && size[k] > 0; k++) {
		sum += size[k];
		if (explained(sum, (float)(k + 1)) > best) {
			best = explained(sum, (float)(k + 1));
			scale = sum / (float)(k + 1);
			least = size[k];
		}
	}
	for (unsigned i = 0; i < n; i++)
		ret_q[i] = (int8_t)(fabsf(x[i]) < least ? 0 : x[i] < 0 ? -1 : 1);
	return scale;
}
