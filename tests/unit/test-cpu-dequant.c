/*
 * test-cpu-dequant.c - weight types as floats and as groups of 16 rows.
 *
 * Quantised types against values that another implementation computed (cpu-dequant-golden.h), to
 * the bit; F16 and BF16 against the compiler's own conversions and known values; repacking there
 * and back (reference/compute.md 6.5).
 */
#include <math.h>
#include <string.h>

#include "cpu-dequant-golden.h"
#include "cpu-fixture.h"
#include "float16.h"
#include "gguf/gguf.h"
#include "iquant-golden.h"
#include "iquant.h"
#include "nvfp4.h"
#include "repack.h"

struct golden {
	uint32_t type;
	const uint8_t *blocks;
	const uint32_t *values;
	size_t n;
};

#define GOLDEN(NAME, name, n)                                                                      \
	{                                                                                          \
		WEIR_DTYPE_##NAME, golden_##name##_blocks, golden_##name##_values, n               \
	}

static const struct golden goldens[] = {
	GOLDEN(Q8_0, q8_0, 96),        GOLDEN(Q4_0, q4_0, 96),      GOLDEN(Q4_1, q4_1, 96),
	GOLDEN(Q5_0, q5_0, 96),        GOLDEN(Q5_1, q5_1, 96),      GOLDEN(Q2_K, q2_k, 256),
	GOLDEN(Q3_K, q3_k, 256),       GOLDEN(Q4_K, q4_k, 256),     GOLDEN(Q5_K, q5_k, 256),
	GOLDEN(Q6_K, q6_k, 256),       GOLDEN(IQ4_NL, iq4_nl, 96),  GOLDEN(IQ4_XS, iq4_xs, 256),
	GOLDEN(MXFP4, mxfp4, 96),      GOLDEN(TQ1_0, tq1_0, 256),   GOLDEN(TQ2_0, tq2_0, 256),
	GOLDEN(IQ2_XXS, iq2_xxs, 256), GOLDEN(IQ2_XS, iq2_xs, 256), GOLDEN(IQ2_S, iq2_s, 256),
	GOLDEN(IQ3_XXS, iq3_xxs, 256), GOLDEN(IQ3_S, iq3_s, 256),   GOLDEN(IQ1_S, iq1_s, 256),
	GOLDEN(IQ1_M, iq1_m, 256),     GOLDEN(NVFP4, nvfp4, 128),
};

static void test_golden(void)
{
	size_t n_types = 0;

	for (uint32_t type = 0; type < 64; type++)
		n_types += weir_cpu_type(type) && weir_cpu_type(type)->quantised;
	g_assert_cmpuint(G_N_ELEMENTS(goldens), ==, n_types);
	for (size_t g = 0; g < G_N_ELEMENTS(goldens); g++) {
		const struct golden *x = &goldens[g];
		const struct weir_cpu_type *type = weir_cpu_type(x->type);
		float values[512];

		type->row(x->blocks, x->n / type->block, values);
		for (size_t i = 0; i < x->n; i++)
			if (weir_float_bits(values[i]) != x->values[i]) {
				g_test_message("%s, weight %zu: %a instead of %a", type->name, i,
					       (double)values[i],
					       (double)weir_bits_float(x->values[i]));
				g_test_fail();
			}
	}
}

/* Every half is a float and back; ties and limits as IEEE 754 says. */
static void test_f16(void)
{
	static const struct {
		float x;
		uint16_t h;
	} known[] = {
		{ 1.0f, 0x3c00 },         { -2.0f, 0xc000 },       { 65504.0f, 0x7bff },
		{ 65519.996f, 0x7bff },   { 65520.0f, 0x7c00 },    { 1e10f, 0x7c00 },
		{ 0x1p-14f, 0x0400 },     { 0x1p-24f, 0x0001 },    { 0x1p-25f, 0x0000 },
		{ 0x1.8p-25f, 0x0001 },   { 0x1.8p-24f, 0x0002 },  { -0.0f, 0x8000 },
		{ 0x1.ffcp-15f, 0x0400 }, { 1.00048828f, 0x3c00 }, { 1.00146484f, 0x3c02 },
		{ INFINITY, 0x7c00 },
	};

	for (uint32_t h = 0; h < 0x10000; h++) {
		float x = weir_f16_to_f32((uint16_t)h);

		if ((h & 0x7fff) > 0x7c00) {
			g_assert_true(isnan(x));
			g_assert_true(isnan(weir_f16_to_f32(weir_f32_to_f16(x))));
		} else {
			g_assert_cmphex(weir_f32_to_f16(x), ==, h);
			if ((h & 0x7fff) < 0x7c00) {
				int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
				double want = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);

				g_assert_true((double)x == (h & 0x8000 ? -want : want));
			}
		}
	}
	for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
		g_assert_cmphex(weir_f32_to_f16(known[i].x), ==, known[i].h);
}

static void test_bf16(void)
{
	static const struct {
		float x;
		uint16_t b;
	} known[] = {
		{ 1.0f, 0x3f80 },        { -2.0f, 0xc000 },      { 1.00390625f, 0x3f80 },
		{ 1.01171875f, 0x3f82 }, { 1.0039064f, 0x3f81 }, { 3.4e38f, 0x7f80 },
		{ 0x1.fep127f, 0x7f7f }, { INFINITY, 0x7f80 },   { 1e-40f, 0x0001 },
	};

	for (uint32_t b = 0; b < 0x10000; b++) {
		float x = weir_bf16_to_f32((uint16_t)b);

		if ((b & 0x7fff) > 0x7f80)
			g_assert_true(isnan(weir_bf16_to_f32(weir_f32_to_bf16(x))));
		else
			g_assert_cmphex(weir_f32_to_bf16(x), ==, b);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
		g_assert_cmphex(weir_f32_to_bf16(known[i].x), ==, known[i].b);
}

/* The levels' own conversions give the same bits as float16.h. */
static void test_convert(gconstpointer data)
{
	struct fixture f;
	float x[4096 + 7];
	uint16_t got[4096 + 7];
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);

	if (!fixture_init(&f, data, 1))
		return;
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < G_N_ELEMENTS(x); i++)
			x[i] = weir_bits_float(g_rand_int(rand));
		f.data.cpu->kernels->convert(x, G_N_ELEMENTS(x), WEIR_DTYPE_F16, got);
		for (size_t i = 0; i < G_N_ELEMENTS(x); i++)
			g_assert_cmphex(got[i], ==, weir_f32_to_f16(x[i]));
		f.data.cpu->kernels->convert(x, G_N_ELEMENTS(x), WEIR_DTYPE_BF16, got);
		for (size_t i = 0; i < G_N_ELEMENTS(x); i++)
			g_assert_cmphex(got[i], ==, weir_f32_to_bf16(x[i]));
	}
	fixture_clear(&f);
}

static void test_repack(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (size_t i = 0; i < fixture_n_types; i++)
		for (unsigned n_rows = 1; n_rows <= 16; n_rows += 5) {
			uint32_t id = fixture_types[i];
			const struct weir_cpu_type *type = weir_cpu_type(id);
			size_t n_in = type->block * 3, row = 3 * type->bytes;
			size_t bytes = weir_cpu_group_bytes(id, n_in);
			g_autofree uint8_t *src = g_malloc(n_rows * row), *back = g_malloc(row);
			g_autofree uint8_t *group = g_malloc0(bytes);
			float want[768], got[768];

			if (weir_iquant_values(id) || id == WEIR_DTYPE_NVFP4)
				continue; /* below */
			g_assert_cmpuint(bytes % 64, ==, 0);
			/* no bit more than the file's own, but for the padding of the group */
			g_assert_cmpuint(bytes, <,
					 16 * 3 * (id == WEIR_DTYPE_TQ1_0 ? 66 : type->bytes) + 64);
			for (size_t k = 0; k < n_rows * row; k++)
				src[k] = (uint8_t)g_rand_int(rand);
			weir_cpu_repack(id, src, row, n_rows, n_in, group);
			for (unsigned r = 0; r < n_rows; r++) {
				weir_cpu_unpack(id, group, r, n_in, 0, n_in, back);
				if (id == WEIR_DTYPE_TQ1_0) { /* several bytes mean the same */
					type->row(src + r * row, 3, want);
					type->row(back, 3, got);
					g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
				} else {
					g_assert_cmpmem(back, row, src + r * row, row);
				}
			}
		}
	g_assert_cmpuint(weir_cpu_group_bytes(9, 256), ==, 0);
	g_assert_cmpuint(weir_cpu_group_bytes(WEIR_DTYPE_F32, UINT64_MAX), ==, 0);
}

/* IQ1, IQ2, IQ3: a group's codes, scales and book make the same weights. */
static void test_repack_books(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (uint32_t id = 0; id < 64; id++) {
		const struct weir_cpu_type *type = weir_cpu_type(id);
		const size_t n_in = 512, codes = weir_cpu_codes_bytes(id) * 2;
		float want[512];

		if (!weir_iquant_values(id))
			continue;
		g_autofree uint8_t *src = random_weights(rand, id, n_in, 16);
		g_autofree uint8_t *group = g_malloc0(weir_cpu_group_bytes(id, n_in));
		const uint8_t *scales = group + codes, *book = scales + 2 * 320;

		weir_cpu_repack(id, src, 2 * type->bytes, 16, n_in, group);
		for (unsigned r = 0; r < 16; r++) {
			type->row(src + r * 2 * type->bytes, 2, want);
			for (size_t i = 0; i < n_in; i++) {
				const uint8_t *plane = group + i / 32 * 256,
					      *s = scales + i / 256 * 320;
				uint8_t byte = plane[i % 16 / 4 * 64 + r * 4 + i % 4];
				int value = book[i % 32 < 16 ? byte & 15 : byte >> 4] - 128;
				int scale = s[i % 256 / 16 * 16 + r];
				float d;

				memcpy(&d, s + 256 + 4 * r, 4);
				g_assert_cmpfloat(d * (float)(scale * value), ==, want[i]);
			}
		}
	}
}

/* NVFP4: any byte is a scale; a group's codes and scales make the same weights. */
static void test_repack_nvfp4(void)
{
	static const int8_t values[16] = {
		0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
	};
	const size_t n_in = 192, n_blocks = 3, row = n_blocks * 36;
	g_autofree uint8_t *src = g_malloc(16 * row);
	g_autofree uint8_t *group = g_malloc0(weir_cpu_group_bytes(WEIR_DTYPE_NVFP4, n_in));
	const uint8_t *scales = group + n_blocks * weir_cpu_codes_bytes(WEIR_DTYPE_NVFP4);
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	float want[192];

	for (size_t i = 0; i < 16 * row; i++)
		src[i] = (uint8_t)(i % 36 < 4 ? i / 36 * 4 + i % 36 : g_rand_int(rand));
	weir_cpu_repack(WEIR_DTYPE_NVFP4, src, row, 16, n_in, group);
	for (unsigned r = 0; r < 16; r++) {
		weir_cpu_type(WEIR_DTYPE_NVFP4)->row(src + r * row, n_blocks, want);
		for (size_t i = 0; i < n_in; i++) {
			uint8_t byte = group[i / 32 * 256 + i % 16 / 4 * 64 + r * 4 + i % 4];
			uint16_t scale;

			memcpy(&scale, scales + i / 16 * 32 + 2 * r, 2);
			byte = i % 32 < 16 ? byte & 15 : byte >> 4;
			g_assert_cmpfloat(weir_f16_to_f32(scale) * (float)values[byte], ==,
					  want[i]);
		}
	}
	for (int i = 0; i < 256; i++) { /* sign, 4 bits of exponent, 3 of mantissa */
		int e = i >> 3 & 15, m = i & 7;
		double scale = e ? ldexp(8 + m, e - 10) : ldexp(m, -9);

		g_assert_cmpfloat((double)weir_f16_to_f32(weir_nvfp4_scale((uint8_t)i)), ==,
				  i == 0x7f ? 0 : scale / 2);
	}
}

static void test_names(void)
{
	char buf[16];

	for (uint32_t i = 0; i < 64; i++) /* sizes are those of the file format */
		if (weir_cpu_type(i)) {
			const struct weir_gguf_type *type = weir_gguf_type(i);

			g_assert_cmpstr(weir_cpu_type(i)->name, ==, type->name);
			g_assert_cmpuint(weir_cpu_type(i)->block, ==, type->block_size);
			g_assert_cmpuint(weir_cpu_type(i)->bytes, ==, type->block_bytes);
		}
	g_assert_null(weir_cpu_type(9));
	g_assert_null(weir_cpu_type(UINT32_MAX));
	g_assert_cmpstr(weir_cpu_type_name(16, buf), ==, "IQ2_XXS");
	g_assert_cmpstr(weir_cpu_type_name(36, buf), ==, "type 36");
	g_assert_cmpstr(weir_cpu_type_name(UINT32_MAX, buf), ==, "type 4294967295");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/cpu/dequant/golden", test_golden);
	g_test_add_func("/cpu/dequant/f16", test_f16);
	g_test_add_func("/cpu/dequant/bf16", test_bf16);
	g_test_add_func("/cpu/dequant/repack", test_repack);
	g_test_add_func("/cpu/dequant/repack-books", test_repack_books);
	g_test_add_func("/cpu/dequant/repack-nvfp4", test_repack_nvfp4);
	g_test_add_func("/cpu/dequant/names", test_names);
	for (size_t l = 0; fixture_levels[l]; l++) {
		g_autofree char *name =
			g_strdup_printf("/cpu/dequant/convert/%s", fixture_levels[l]);

		g_test_add_data_func(name, fixture_levels[l], test_convert);
	}
	return g_test_run();
}
