/*
 * core/check-device-types.c - GGUF's formats of weights, as they are published, decoded one element
 * at a time in doubles: what `weir check` holds a device's kernels against. See check-device.h.
 *
 * Shares no line with backends/. The formats with lattices of code words (IQ1, IQ2, IQ3) are filled
 * but not decoded: their tables would be the same tables again.
 */
#include <math.h>
#include <string.h>

#include "check-device.h"

static const double nonlinear[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
				      1,    13,   25,  38,  53,  69,  89,  113 };
static const double e2m1[16] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6, -0., -0.5, -1, -1.5, -2, -3, -4, -6 };

static uint32_t u16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static double half(const uint8_t *p)
{
	uint32_t bits = u16(p), exponent = bits >> 10 & 31, mantissa = bits & 1023;
	double x = exponent ? ldexp(1024 + mantissa, (int)exponent - 25) : ldexp(mantissa, -24);

	return bits >> 15 ? -x : x;
}

static double single(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof(x));
	return (double)x;
}

static void put_half(uint8_t *p, double x)
{
	int exponent;
	double mantissa = frexp(fabs(x), &exponent); /* 0.5 to 1 */
	/* Below the normal ones the mantissa is in units of 2^-24. */
	uint32_t bits = exponent + 14 > 0 ? (uint32_t)(exponent + 14) << 10 |
						    ((uint32_t)(mantissa * 2048) & 1023)
					  : (uint32_t)ldexp(fabs(x), 24);

	bits |= x < 0 ? 0x8000 : 0;
	p[0] = (uint8_t)bits;
	p[1] = (uint8_t)(bits >> 8);
}

static void fill_f32(GRand *rand, uint8_t *p)
{
	float x = (float)g_rand_double_range(rand, -1, 1);

	memcpy(p, &x, sizeof(x));
}

static void fill_f16(GRand *rand, uint8_t *p)
{
	uint32_t bits = (g_rand_int(rand) & 0x83ff) | (uint32_t)g_rand_int_range(rand, 9, 14) << 10;

	p[0] = (uint8_t)bits;
	p[1] = (uint8_t)(bits >> 8);
}

static void fill_bf16(GRand *rand, uint8_t *p)
{
	uint32_t bits = (g_rand_int(rand) & 0x807f) | (uint32_t)g_rand_int_range(rand, 121, 126)
							      << 7;

	p[0] = (uint8_t)bits;
	p[1] = (uint8_t)(bits >> 8);
}

static void decode_f32(const uint8_t *p, double *y)
{
	y[0] = single(u16(p) | u16(p + 2) << 16);
}

static void decode_f16(const uint8_t *p, double *y)
{
	y[0] = half(p);
}

static void decode_bf16(const uint8_t *p, double *y)
{
	y[0] = single(u16(p) << 16);
}

/* Random codes; the scale at `at` such that weights are about 0.1 large, which codes of that spread
 * make of it; and where the format has a minimum, `ratio` times the scale, so that their mean is 0:
 * what a model's weights are like. */
static void fill_codes(GRand *rand, uint8_t *p, size_t n, unsigned at, double spread, int at_min,
		       double ratio)
{
	double scale = 0.1 / spread * g_rand_double_range(rand, 0.7, 1.4);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)g_rand_int(rand);
	put_half(p + at, scale);
	if (at_min >= 0)
		put_half(p + at_min, ratio * scale);
}

#define FILL(name, bytes, at, spread, at_min, ratio)                                               \
	static void name(GRand *rand, uint8_t *p)                                                  \
	{                                                                                          \
		fill_codes(rand, p, bytes, at, spread, at_min, ratio);                             \
	}

FILL(fill_q4_0, 18, 0, 4.6, -1, 0)
FILL(fill_q4_1, 20, 0, 4.6, 2, -7.5)
FILL(fill_q5_0, 22, 0, 9.2, -1, 0)
FILL(fill_q5_1, 24, 0, 9.2, 2, -15.5)
FILL(fill_q8_0, 34, 0, 74, -1, 0)
FILL(fill_q2_k, 84, 80, 14, 82, 1.5)
FILL(fill_q3_k, 110, 108, 43, -1, 0)
FILL(fill_q4_k, 144, 0, 258, 2, 7.5)
FILL(fill_q5_k, 176, 0, 525, 2, 15.5)
FILL(fill_q6_k, 210, 208, 1369, -1, 0)
FILL(fill_iq4_nl, 18, 0, 68, -1, 0)
FILL(fill_iq4_xs, 136, 0, 1258, -1, 0)
FILL(fill_tq1_0, 54, 52, 1, -1, 0)
FILL(fill_tq2_0, 66, 64, 1, -1, 0)
FILL(fill_iq2_xxs, 66, 0, 56, -1, 0)
FILL(fill_iq2_xs, 74, 0, 56, -1, 0)
FILL(fill_iq2_s, 82, 0, 56, -1, 0)
FILL(fill_iq3_xxs, 98, 0, 135, -1, 0)
FILL(fill_iq3_s, 110, 0, 160, -1, 0)
FILL(fill_iq1_s, 50, 0, 8, -1, 0)

/* The half float is in the top nibbles of the last four 16-bit words. */
static void fill_iq1_m(GRand *rand, uint8_t *p)
{
	uint8_t codes[56];

	fill_codes(rand, codes, 56, 0, 8, -1, 0);
	for (unsigned i = 0; i < 56; i++)
		p[i] = (uint8_t)g_rand_int(rand);
	for (unsigned i = 0; i < 4; i++)
		p[49 + 2 * i] = (uint8_t)((p[49 + 2 * i] & 15) | (u16(codes) >> 4 * i & 15) << 4);
}

static void fill_mxfp4(GRand *rand, uint8_t *p)
{
	fill_codes(rand, p, 17, 0, 1, -1, 0);
	p[0] = (uint8_t)g_rand_int_range(rand, 121, 124);
}

static void fill_nvfp4(GRand *rand, uint8_t *p)
{
	fill_codes(rand, p, 36, 0, 1, -1, 0);
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)g_rand_int_range(rand, 0x0c, 0x1c);
}

static void decode_q4_0(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * ((int)(p[2 + i % 16] >> 4 * (i / 16) & 15) - 8);
}

static void decode_q4_1(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * (p[4 + i % 16] >> 4 * (i / 16) & 15) + half(p + 2);
}

/* The fifth bits are a 32-bit word. */
static int five(const uint8_t *high, const uint8_t *low, unsigned i)
{
	return (low[i % 16] >> 4 * (i / 16) & 15) | (high[i / 8] >> i % 8 & 1) << 4;
}

static void decode_q5_0(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * (five(p + 2, p + 6, i) - 16);
}

static void decode_q5_1(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * five(p + 4, p + 8, i) + half(p + 2);
}

static void decode_q8_0(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * (int8_t)p[2 + i];
}

/* Two bits of element i of 256: 128 elements lie in 32 bytes. */
static int two_bits(const uint8_t *q, unsigned i)
{
	return q[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3;
}

static void decode_q2_k(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++)
		y[i] = half(p + 80) * (p[i / 16] & 15) * two_bits(p + 16, i) -
		       half(p + 82) * (p[i / 16] >> 4);
}

static void decode_q3_k(const uint8_t *p, double *y)
{
	const uint8_t *scales = p + 96;

	for (unsigned i = 0; i < 256; i++) {
		unsigned s = i / 16;
		int scale = (scales[s % 8] >> 4 * (s / 8) & 15) |
			    (scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4;
		int high = p[i % 32] >> (i / 32) & 1;

		y[i] = half(p + 108) * (scale - 32) * (two_bits(p + 32, i) - (high ? 0 : 4));
	}
}

/* Scale and minimum of the j-th of eight groups, 6 bits each in 12 bytes. */
static void six_bits(const uint8_t *s, unsigned j, int *ret_scale, int *ret_min)
{
	if (j < 4) {
		*ret_scale = s[j] & 63;
		*ret_min = s[j + 4] & 63;
		return;
	}
	*ret_scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
	*ret_min = s[j + 4] >> 4 | s[j] >> 6 << 4;
}

/* 64 elements lie in 32 bytes: low nibbles, then high ones. */
static int nibble(const uint8_t *q, unsigned i)
{
	return q[i / 64 * 32 + i % 32] >> 4 * (i % 64 / 32) & 15;
}

static void decode_q4_k(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++) {
		int scale, min;

		six_bits(p + 4, i / 32, &scale, &min);
		y[i] = half(p) * scale * nibble(p + 16, i) - half(p + 2) * min;
	}
}

static void decode_q5_k(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++) {
		int scale, min, q = nibble(p + 48, i) | (p[16 + i % 32] >> (i / 32) & 1) << 4;

		six_bits(p + 4, i / 32, &scale, &min);
		y[i] = half(p) * scale * q - half(p + 2) * min;
	}
}

static void decode_q6_k(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++) {
		unsigned part = i / 128, lane = i % 32, turn = i % 128 / 32;
		int low = p[part * 64 + turn % 2 * 32 + lane] >> 4 * (turn / 2) & 15;
		int high = p[128 + part * 32 + lane] >> 2 * turn & 3;

		y[i] = half(p + 208) * (int8_t)p[192 + i / 16] * ((low | high << 4) - 32);
	}
}

static void decode_iq4_nl(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = half(p) * nonlinear[p[2 + i % 16] >> 4 * (i / 16) & 15];
}

static void decode_iq4_xs(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++) {
		unsigned j = i / 32;
		int scale = (p[4 + j / 2] >> 4 * (j % 2) & 15) | (int)(u16(p + 2) >> 2 * j & 3)
									 << 4;

		y[i] = half(p) * (scale - 32) *
		       nonlinear[p[8 + j * 16 + i % 16] >> 4 * (i % 32 / 16) & 15];
	}
}

/* Five digits of base 3 in a byte, the first one on top, as a fraction of 256. */
static void decode_tq1_0(const uint8_t *p, double *y)
{
	static const unsigned power[] = { 1, 3, 9, 27, 81 };

	for (unsigned i = 0; i < 256; i++) {
		unsigned at, digit;

		if (i < 160) {
			at = i % 32;
			digit = i / 32;
		} else if (i < 240) {
			at = 32 + (i - 160) % 16;
			digit = (i - 160) / 16;
		} else {
			at = 48 + (i - 240) % 4;
			digit = (i - 240) / 4;
		}
		y[i] = half(p + 52) * ((int)((p[at] * power[digit] & 255) * 3 >> 8) - 1);
	}
}

static void decode_tq2_0(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 256; i++)
		y[i] = half(p + 64) * (two_bits(p, i) - 1);
}

static void decode_mxfp4(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 32; i++)
		y[i] = ldexp(e2m1[p[1 + i % 16] >> 4 * (i / 16) & 15], p[0] - 127);
}

/* Scales are E4M3 without a sign, one for 16 elements. */
static void decode_nvfp4(const uint8_t *p, double *y)
{
	for (unsigned i = 0; i < 64; i++) {
		unsigned s = p[i / 16], exponent = s >> 3 & 15, mantissa = s & 7;
		double scale =
			exponent ? ldexp(8 + mantissa, (int)exponent - 10) : ldexp(mantissa, -9);

		y[i] = scale * e2m1[p[4 + i / 16 * 8 + i % 8] >> 4 * (i % 16 / 8) & 15];
	}
}

const struct weir_check_type weir_check_types[] = {
	{ WEIR_DTYPE_F32, "F32", 1, 4, fill_f32, decode_f32 },
	{ WEIR_DTYPE_F16, "F16", 1, 2, fill_f16, decode_f16 },
	{ WEIR_DTYPE_BF16, "BF16", 1, 2, fill_bf16, decode_bf16 },
	{ WEIR_DTYPE_Q8_0, "Q8_0", 32, 34, fill_q8_0, decode_q8_0 },
	{ WEIR_DTYPE_Q4_0, "Q4_0", 32, 18, fill_q4_0, decode_q4_0 },
	{ WEIR_DTYPE_Q4_1, "Q4_1", 32, 20, fill_q4_1, decode_q4_1 },
	{ WEIR_DTYPE_Q5_0, "Q5_0", 32, 22, fill_q5_0, decode_q5_0 },
	{ WEIR_DTYPE_Q5_1, "Q5_1", 32, 24, fill_q5_1, decode_q5_1 },
	{ WEIR_DTYPE_Q2_K, "Q2_K", 256, 84, fill_q2_k, decode_q2_k },
	{ WEIR_DTYPE_Q3_K, "Q3_K", 256, 110, fill_q3_k, decode_q3_k },
	{ WEIR_DTYPE_Q4_K, "Q4_K", 256, 144, fill_q4_k, decode_q4_k },
	{ WEIR_DTYPE_Q5_K, "Q5_K", 256, 176, fill_q5_k, decode_q5_k },
	{ WEIR_DTYPE_Q6_K, "Q6_K", 256, 210, fill_q6_k, decode_q6_k },
	{ WEIR_DTYPE_IQ4_NL, "IQ4_NL", 32, 18, fill_iq4_nl, decode_iq4_nl },
	{ WEIR_DTYPE_IQ4_XS, "IQ4_XS", 256, 136, fill_iq4_xs, decode_iq4_xs },
	{ WEIR_DTYPE_TQ1_0, "TQ1_0", 256, 54, fill_tq1_0, decode_tq1_0 },
	{ WEIR_DTYPE_TQ2_0, "TQ2_0", 256, 66, fill_tq2_0, decode_tq2_0 },
	{ WEIR_DTYPE_MXFP4, "MXFP4", 32, 17, fill_mxfp4, decode_mxfp4 },
	{ WEIR_DTYPE_NVFP4, "NVFP4", 64, 36, fill_nvfp4, decode_nvfp4 },
	{ WEIR_DTYPE_IQ2_XXS, "IQ2_XXS", 256, 66, fill_iq2_xxs, NULL },
	{ WEIR_DTYPE_IQ2_XS, "IQ2_XS", 256, 74, fill_iq2_xs, NULL },
	{ WEIR_DTYPE_IQ2_S, "IQ2_S", 256, 82, fill_iq2_s, NULL },
	{ WEIR_DTYPE_IQ3_XXS, "IQ3_XXS", 256, 98, fill_iq3_xxs, NULL },
	{ WEIR_DTYPE_IQ3_S, "IQ3_S", 256, 110, fill_iq3_s, NULL },
	{ WEIR_DTYPE_IQ1_S, "IQ1_S", 256, 50, fill_iq1_s, NULL },
	{ WEIR_DTYPE_IQ1_M, "IQ1_M", 256, 56, fill_iq1_m, NULL },
};

const size_t weir_check_n_types = G_N_ELEMENTS(weir_check_types);

const struct weir_check_type *weir_check_type(uint32_t type)
{
	for (size_t i = 0; i < weir_check_n_types; i++)
		if (weir_check_types[i].type == type)
			return &weir_check_types[i];
	return NULL;
}

bool weir_check_is_float(uint32_t type)
{
	return type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_F16 || type == WEIR_DTYPE_BF16;
}

double weir_check_bound(uint32_t type)
{
	return type == WEIR_DTYPE_F32 ? WEIR_CHECK_EXACT : WEIR_CHECK_APPROX;
}
