/*
 * test-iquant.c - IQ1, IQ2 and IQ3 in 4 bits a weight are, to the bit, what the reference makes of
 * their blocks (reference/compute.md 3.1; iquant-golden.h).
 */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "gguf.h"
#include "iquant.h"

#include "iquant-golden.h"

#define GOLDEN(NAME, name)                                                                         \
	{                                                                                          \
		WEIR_GGUF_TYPE_##NAME, golden_##name##_blocks, golden_##name##_values              \
	}

static const struct {
	uint32_t type;
	const uint8_t *block;
	const uint32_t *values;
} goldens[] = { GOLDEN(IQ2_XXS, iq2_xxs), GOLDEN(IQ2_XS, iq2_xs), GOLDEN(IQ2_S, iq2_s),
		GOLDEN(IQ3_XXS, iq3_xxs), GOLDEN(IQ3_S, iq3_s),   GOLDEN(IQ1_S, iq1_s),
		GOLDEN(IQ1_M, iq1_m) };

static void test_golden(void)
{
	for (size_t g = 0; g < G_N_ELEMENTS(goldens); g++) {
		const int8_t *values = weir_iquant_values(goldens[g].type);
		struct weir_iquant q;

		weir_iquant_decode(goldens[g].type, goldens[g].block, &q);
		for (int i = 0; i < WEIR_IQUANT_BLOCK; i++) {
			float w = q.d * (float)q.scale[i / 16] * (float)values[q.code[i]];

			g_assert_cmpmem(&w, sizeof(w), &goldens[g].values[i], sizeof(w));
		}
	}
}

static void test_others(void)
{
	for (uint32_t type = 0; type < 64; type++) {
		bool ours = false;

		for (size_t g = 0; g < G_N_ELEMENTS(goldens); g++)
			ours |= goldens[g].type == type;
		g_assert_cmpint(weir_iquant_values(type) != NULL, ==, ours);
	}
}

/* Any bytes are a block: codes and scales stay in their ranges. */
static void test_any_bytes(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (int round = 0; round < 2000; round++) {
		uint8_t block[110];
		struct weir_iquant q;

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)(round == 0 ? 255 : g_rand_int_range(rand, 0, 256));
		for (size_t g = 0; g < G_N_ELEMENTS(goldens); g++) {
			weir_iquant_decode(goldens[g].type, block, &q);
			for (int i = 0; i < 256; i++)
				g_assert_cmpuint(q.code[i], <, 16);
			for (int i = 0; i < 16; i++)
				g_assert_true(q.scale[i] >= 1 && q.scale[i] <= 31);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/iquant/golden", test_golden);
	g_test_add_func("/iquant/others", test_others);
	g_test_add_func("/iquant/any-bytes", test_any_bytes);
	return g_test_run();
}
