/* SPDX-License-Identifier: MIT */
/*
 * test-quantise.c - rows into every block type and back: errors within bounds, edges, and what
 * cannot be stored is refused. dequant.c, which has tests of its own, reads the result.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "dequant.h"
#include "quantise.h"

#include <weir/draft/device.h>

enum { WIDTH = 4096 };

/* normal: relative error allowed for normally distributed weights, a few per cent above what the
 * best codes of so many bits reach. smooth: the bound that ggml's own test of its quantisers has
 * (tests/test-quantize-fns): sqrt(sum of squares) / n of 0.1 + 2 cos(i). */
static const struct {
	uint32_t type;
	double normal, smooth;
} cases[] = {
	{ WEIR_DTYPE_F32, 0, 0 },
	{ WEIR_DTYPE_F16, 0.0003, 0.002 },
	{ WEIR_DTYPE_BF16, 0.0025, 0.002 },
	{ WEIR_DTYPE_Q8_0, 0.0060, 0.002 },
	{ WEIR_DTYPE_Q4_0, 0.0870, 0.002 },
	{ WEIR_DTYPE_Q4_1, 0.0760, 0.002 },
	{ WEIR_DTYPE_Q5_0, 0.0440, 0.002 },
	{ WEIR_DTYPE_Q5_1, 0.0370, 0.002 },
	{ WEIR_DTYPE_Q2_K, 0.2900, 0.0075 },
	{ WEIR_DTYPE_Q3_K, 0.1550, 0.0040 },
	{ WEIR_DTYPE_Q4_K, 0.0760, 0.002 },
	{ WEIR_DTYPE_Q5_K, 0.0385, 0.002 },
	{ WEIR_DTYPE_Q6_K, 0.0190, 0.002 },
	{ WEIR_DTYPE_IQ4_NL, 0.0790, 0.002 },
	{ WEIR_DTYPE_IQ4_XS, 0.0800, 0.002 },
	{ WEIR_DTYPE_MXFP4, 0.1250, 0.0030 },
	{ WEIR_DTYPE_NVFP4, 0.1160, 0.0025 },
	{ WEIR_DTYPE_TQ1_0, 0.4600, 0.0100 },
	{ WEIR_DTYPE_TQ2_0, 0.4600, 0.0100 },
};

static uint8_t blocks[WIDTH * 4];
static float x[WIDTH], y[WIDTH];

static void there_and_back(uint32_t type)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);

	memset(blocks, 0xaa, sizeof(blocks)); /* what was there must not matter */
	if (!quantise_row(type, x, WIDTH, blocks))
		g_error("%s: refused", t->name);
	t->row(blocks, WIDTH / t->block, y);
}

static double error_of(double *ret_squares)
{
	double error = 0, squares = 0;

	for (int i = 0; i < WIDTH; i++) {
		error += (x[i] - y[i]) * (double)(x[i] - y[i]);
		squares += x[i] * (double)x[i];
	}
	*ret_squares = squares;
	return error;
}

static float normal(GRand *r)
{
	double u = g_rand_double(r), v = g_rand_double(r);

	return (float)(sqrt(-2 * log(1 - u)) * cos(2 * G_PI * v));
}

static void test_bounds(void)
{
	GRand *r = g_rand_new_with_seed(5);

	for (gsize c = 0; c < G_N_ELEMENTS(cases); c++) {
		const char *name = weir_cpu_type(cases[c].type)->name;
		double squares, error;

		/* also far from 1: scales must follow */
		for (int e = -8; e <= 4; e += 6) {
			for (int i = 0; i < WIDTH; i++)
				x[i] = ldexpf(normal(r), e);
			there_and_back(cases[c].type);
			error = sqrt(error_of(&squares) / squares);
			g_test_message("%s: %.4f", name, error);
			if (error > cases[c].normal)
				g_error("%s: %.4f of normal weights, at most %.4f", name, error,
					cases[c].normal);
		}
		for (int i = 0; i < WIDTH; i++)
			x[i] = 0.1f + 2 * cosf((float)i);
		there_and_back(cases[c].type);
		error = sqrt(error_of(&squares)) / WIDTH;
		g_test_message("%s: smooth %.5f", name, error);
		g_assert_cmpfloat(error, <=, cases[c].smooth);
	}
	g_rand_free(r);
}

/* More bits are never worse. */
static void test_order(void)
{
	static const uint32_t order[] = { WEIR_DTYPE_TQ2_0, WEIR_DTYPE_Q2_K, WEIR_DTYPE_Q3_K,
					  WEIR_DTYPE_Q4_K,  WEIR_DTYPE_Q5_K, WEIR_DTYPE_Q6_K,
					  WEIR_DTYPE_Q8_0,  WEIR_DTYPE_F16 };
	GRand *r = g_rand_new_with_seed(6);
	double before = INFINITY, squares;

	for (int i = 0; i < WIDTH; i++)
		x[i] = normal(r) * (1 + i % 256 / 64);
	for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
		double error;

		there_and_back(order[i]);
		error = error_of(&squares);
		g_assert_cmpfloat(error, <, before);
		before = error;
	}
	g_rand_free(r);
}

static void test_edges(void)
{
	for (gsize c = 0; c < G_N_ELEMENTS(cases); c++) {
		const struct weir_cpu_type *t = weir_cpu_type(cases[c].type);
		double squares;

		/* zeros stay zeros */
		memset(x, 0, sizeof(x));
		there_and_back(cases[c].type);
		for (int i = 0; i < WIDTH; i++)
			g_assert_cmpfloat(y[i], ==, 0);
		/* one number everywhere, of either sign */
		for (int sign = -1; sign <= 1; sign += 2) {
			for (int i = 0; i < WIDTH; i++)
				x[i] = 0.75f * (float)sign;
			there_and_back(cases[c].type);
			g_test_message("%s constant %g -> %g", t->name, (double)x[0], (double)y[0]);
			g_assert_cmpfloat(sqrt(error_of(&squares) / squares), <, 0.07);
		}
		/* one large among zeros: it must survive, and harm nothing */
		memset(x, 0, sizeof(x));
		x[77] = -3;
		x[3000] = 5;
		there_and_back(cases[c].type);
		g_assert_cmpfloat(fabsf(y[77] + 3), <, 0.3f);
		g_assert_cmpfloat(fabsf(y[3000] - 5), <, 1.1f);
		g_assert_cmpfloat(sqrt(error_of(&squares) / squares), <, 0.2);
		/* too small for the scale's F16: nothing, rather than nonsense */
		for (int i = 0; i < WIDTH; i++)
			x[i] = i % 2 ? 1e-30f : -1e-38f;
		there_and_back(cases[c].type);
		for (int i = 0; i < WIDTH; i++)
			g_assert_cmpfloat(fabsf(y[i]), <=, 2e-30f);
	}
}

static void test_ternary(void)
{
	for (gsize c = G_N_ELEMENTS(cases) - 2; c < G_N_ELEMENTS(cases); c++) {
		for (int i = 0; i < WIDTH; i++)
			x[i] = 0.03125f * (float)(i * 7 % 3 - 1);
		there_and_back(cases[c].type);
		g_assert_cmpmem(x, sizeof(x), y, sizeof(y));
	}
}

static void test_refused(void)
{
	static const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };

	for (gsize c = 0; c < G_N_ELEMENTS(cases); c++)
		for (gsize k = 0; k < G_N_ELEMENTS(bad); k++) {
			uint32_t type = cases[c].type;
			bool holds = bad[k] == 1e30f &&
				     (type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_BF16);

			for (int i = 0; i < WIDTH; i++)
				x[i] = 1;
			x[2500] = bad[k];
			g_assert_cmpint(quantise_row(type, x, WIDTH, blocks), ==, holds);
		}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/quantise/bounds", test_bounds);
	g_test_add_func("/quantise/order", test_order);
	g_test_add_func("/quantise/edges", test_edges);
	g_test_add_func("/quantise/ternary", test_ternary);
	g_test_add_func("/quantise/refused", test_refused);
	return g_test_run();
}
