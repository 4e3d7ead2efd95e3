/*
 * cpu-levels.c - do the CPU kernels of every level that this processor has give the scalar level's
 * bits? In plain C, without GLib, so that it also runs where nothing but a compiler is at hand:
 * cpu-neon.py builds it for AArch64 and runs it under emulation.
 *
 *     cpu-levels LEVEL...    TAP; a level that is missing is skipped
 *
 * That the scalar level is right is what tests/unit/test-cpu-linear.c shows.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "cpu.h"
#include "dequant.h"
#include "float16.h"
#include "iquant.h"
#include "repack.h"

enum { MAX_IN = 1024, MAX_GROUPS = 5, TILE = WEIR_CPU_TILE };

static const uint32_t types[] = {
	WEIR_DTYPE_Q8_0,  WEIR_DTYPE_Q4_0,   WEIR_DTYPE_Q4_1,   WEIR_DTYPE_Q5_0,   WEIR_DTYPE_Q5_1,
	WEIR_DTYPE_Q2_K,  WEIR_DTYPE_Q3_K,   WEIR_DTYPE_Q4_K,   WEIR_DTYPE_Q5_K,   WEIR_DTYPE_Q6_K,
	WEIR_DTYPE_TQ1_0, WEIR_DTYPE_TQ2_0,  WEIR_DTYPE_IQ4_NL, WEIR_DTYPE_IQ4_XS, WEIR_DTYPE_MXFP4,
	WEIR_DTYPE_NVFP4, WEIR_DTYPE_IQ2_XS, WEIR_DTYPE_IQ3_S,
};

static uint32_t state = 1;
static int n_tests, n_failed;

static uint32_t random_bits(void)
{
	state = state * 1664525u + 1013904223u;
	return state >> 8;
}

/* -2 .. 2 */
static float random_float(void)
{
	return ((float)(random_bits() & 0xffff) - 32768.0f) / 16384.0f;
}

static void fill(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = random_float();
}

static void result(const char *level, const char *what, int failed)
{
	printf("%sok %d %s/%s\n", failed ? "not " : "", ++n_tests, level, what);
	n_failed += failed;
}

/* One row of random blocks, whose f16 numbers are of ordinary size. */
static void random_row(uint32_t type, size_t n_blocks, uint8_t *row)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	const struct weir_cpu_codes *codes = weir_cpu_codes(type);

	for (size_t i = 0; i < n_blocks * t->bytes; i++)
		row[i] = (uint8_t)random_bits();
	for (size_t b = 0; b < n_blocks; b++, row += t->bytes)
		for (int f = 0; f < 2; f++)
			for (int i = 0; i < codes->field[f].count; i++) {
				uint16_t h = weir_f32_to_f16(random_float() / 16);

				if (weir_iquant_values(type))
					memcpy(row, &h, 2);
				else if (type == WEIR_DTYPE_NVFP4)
					row[i] = (uint8_t)(random_bits() % 128);
				else if (codes->field[f].size == 2)
					memcpy(row + codes->field[f].at + 2 * i, &h, 2);
				else if (type == WEIR_DTYPE_MXFP4)
					row[0] = (uint8_t)(random_bits() % 8 ? 120 + row[0] % 8
									     : row[0] % 3);
			}
}

/* One matrix of n_groups groups (the last of one row) times tiles of 1..16 columns. */
static int check_shape(const struct weir_cpu_kernels *level, uint32_t type, size_t n_in,
		       size_t n_groups)
{
	static uint8_t group[MAX_GROUPS * 16 * MAX_IN * 5 / 4], row[16 * MAX_IN * 2];
	static uint8_t tiles[2][MAX_IN / 32 * TILE * WEIR_CPU_RECORD];
	static float x[MAX_IN], out[2][MAX_GROUPS * TILE * 16];
	const struct weir_cpu_type *t = weir_cpu_type(type);
	size_t group_bytes = weir_cpu_group_bytes(type, n_in),
	       row_bytes = n_in / t->block * t->bytes;
	int failed = 0;

	memset(group, 0, sizeof(group));
	for (size_t g = 0; g < n_groups; g++) {
		unsigned n_rows = g + 1 < n_groups ? 16 : 1;

		for (unsigned r = 0; r < n_rows; r++)
			random_row(type, n_in / t->block, row + r * row_bytes);
		weir_cpu_repack(type, row, row_bytes, n_rows, n_in, group + g * group_bytes);
	}
	for (unsigned nc = 1; nc <= TILE; nc++) {
		for (unsigned c = 0; c < nc; c++) {
			fill(x, n_in);
			if (c % 5 == 3)
				memset(x, 0, 32 * sizeof(float));
			weir_cpu_scalar.quantize(x, n_in / 32, tiles[0], nc, c);
			level->quantize(x, n_in / 32, tiles[1], nc, c);
		}
		failed |= memcmp(tiles[0], tiles[1], n_in / 32 * nc * WEIR_CPU_RECORD) != 0;
		memset(out, 0xff, sizeof(out));
		weir_cpu_scalar.quant[type](group, n_groups, group_bytes, n_in / 32, tiles[0], nc,
					    out[0]);
		level->quant[type](group, n_groups, group_bytes, n_in / 32, tiles[0], nc, out[1]);
		failed |= memcmp(out[0], out[1], sizeof(out[0])) != 0;
	}
	return failed;
}

static void check_quant(const struct weir_cpu_kernels *level)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct weir_cpu_type *t = weir_cpu_type(types[i]);
		int failed = 0;

		for (size_t n_groups = 1; n_groups <= MAX_GROUPS; n_groups += 2) {
			failed |= check_shape(level, types[i], t->block, n_groups);
			failed |= check_shape(level, types[i], 3 * (size_t)t->block, n_groups);
		}
		result(level->name, t->name, failed);
	}
}

static void check_float(const struct weir_cpu_kernels *level)
{
	static float w[5 * 300 * 16], tile[300 * TILE], out[2][5 * TILE * 16];
	static uint16_t narrow[5 * 300 * 16];
	weir_cpu_float_fn all[2][3] = {
		{ weir_cpu_scalar.f32, weir_cpu_scalar.f16, weir_cpu_scalar.bf16 },
		{ level->f32, level->f16, level->bf16 },
	};
	static const char *const names[] = { "F32", "F16", "BF16" };
	static const uint32_t kinds[] = { WEIR_DTYPE_F32, WEIR_DTYPE_F16, WEIR_DTYPE_BF16 };

	for (int kind = 0; kind < 3; kind++) {
		size_t size = kind ? 2 : 4;
		const uint8_t *at = kind ? (const uint8_t *)narrow : (const uint8_t *)w;
		int failed = 0;

		fill(w, 5 * 300 * 16);
		fill(tile, 300 * TILE);
		level->convert(w, 5 * 300 * 16, kinds[kind], narrow);
		for (unsigned nc = 1; nc <= TILE; nc++)
			for (size_t k = 1; k <= 300; k += 131) {
				memset(out, 0, sizeof(out));
				for (int l = 0; l < 2; l++) {
					all[l][kind](at, 5, 300 * 16 * size, k, 16 * size, tile, nc,
						     false, out[l]);
					all[l][kind](at, 5, 300 * 16 * size, k, 16 * size, tile, nc,
						     true, out[l]);
				}
				failed |= memcmp(out[0], out[1], sizeof(out[0])) != 0;
			}
		result(level->name, names[kind], failed);
	}
}

static void check_rows(const struct weir_cpu_kernels *level)
{
	static const uint32_t acts[] = { 0,
					 WEIR_ACT_SILU,
					 WEIR_ACT_GELU_TANH,
					 WEIR_ACT_RELU2,
					 WEIR_ACT_GELU_ERF,
					 WEIR_ACT_RELU,
					 WEIR_ACT_TANH };
	const struct weir_cpu_kernels *levels[2] = { &weir_cpu_scalar, level };
	float x[2][40 * 16], w[40 * 16], b[40 * 16], y[2][40 * 16];
	uint16_t h[2][40 * 16];
	int norm = 0, finish = 0, rope = 0, convert = 0;

	for (unsigned round = 0; round < 200; round++) {
		size_t n = 1 + random_bits() % (40 * 16 - 1);
		struct weir_cpu_finish f = { .scale = round & 1 ? 1.0f : 0.3f,
					     .softcap = round & 2 ? 3.0f : 0.0f,
					     .flags = acts[round % 7] |
						      (round & 4 ? WEIR_LINEAR_GLU : 0u) |
						      (round & 8 ? WEIR_LINEAR_ADD : 0u),
					     .n = 1 + round % 16,
					     .stride = 16 };

		fill(x[0], 40 * 16);
		memcpy(x[1], x[0], sizeof(x[0]));
		fill(w, 40 * 16);
		fill(b, 40 * 16);
		memset(y, 0, sizeof(y));
		for (int l = 0; l < 2; l++)
			levels[l]->norm(x[l], w, round & 1 ? b : NULL, n, 1e-5f, round & 2,
					round & 4, y[l]);
		norm |= memcmp(y[0], y[1], sizeof(y[0])) != 0;
		f.bias[0] = round & 16 ? b : NULL;
		f.bias[1] = round & 16 ? b + 16 : NULL;
		for (int l = 0; l < 2; l++)
			levels[l]->finish(&f, x[l], w, 16, y[l]);
		finish |= memcmp(y[0], y[1], sizeof(y[0])) != 0;
		for (int l = 0; l < 2; l++)
			levels[l]->rope(x[l], w, b, n / 2, round & 1);
		rope |= memcmp(x[0], x[1], sizeof(x[0])) != 0;
		for (size_t i = 0; i < 40 * 16; i++)
			w[i] = weir_bits_float(random_bits() << 8 ^ random_bits());
		memset(h, 0, sizeof(h));
		for (int l = 0; l < 2; l++)
			levels[l]->convert(w, n, round & 1 ? WEIR_DTYPE_F16 : WEIR_DTYPE_BF16,
					   h[l]);
		convert |= memcmp(h[0], h[1], sizeof(h[0])) != 0;
	}
	result(level->name, "norm", norm);
	result(level->name, "finish", finish);
	result(level->name, "rope", rope);
	result(level->name, "convert", convert);
}

static void check_softmax(const struct weir_cpu_kernels *level)
{
	const struct weir_cpu_kernels *levels[2] = { &weir_cpu_scalar, level };
	static float scores[2][4 * TILE * 16], p[2][64 * TILE], m[2][TILE], l[2][TILE];
	static float o[2][3 * TILE * 16], part[2 * TILE + 3 * TILE * 16];
	int32_t first[TILE], last[TILE];
	int failed = 0;

	for (unsigned nc = 1; nc <= TILE; nc++) {
		struct weir_cpu_softmax s = { .softcap = nc & 1 ? 5.0f : 0.0f,
					      .nc = nc,
					      .n_groups = 1 + nc % 4,
					      .key0 = 32,
					      .end = 32 + 16 * (int32_t)(1 + nc % 4) - 3,
					      .first = first,
					      .last = last };

		fill(scores[0], 4 * TILE * 16);
		memcpy(scores[1], scores[0], sizeof(scores[0]));
		fill(o[0], 3 * TILE * 16);
		memcpy(o[1], o[0], sizeof(o[0]));
		fill(part, sizeof(part) / sizeof(part[0]));
		for (unsigned c = 0; c < nc; c++) {
			first[c] = (int32_t)(random_bits() % 50);
			last[c] = first[c] + (int32_t)(random_bits() % 50);
			m[0][c] = m[1][c] = c % 3 ? random_float() : -INFINITY;
			l[0][c] = l[1][c] = c % 3 ? 2.0f : 0.0f;
		}
		for (int i = 0; i < 2; i++) {
			levels[i]->softmax(&s, scores[i], p[i], m[i], l[i], o[i], 3);
			levels[i]->merge(nc, 3, m[i], l[i], o[i], part, part + TILE,
					 part + 2 * TILE);
		}
		failed |= memcmp(p[0], p[1], sizeof(p[0])) || memcmp(m[0], m[1], sizeof(m[0])) ||
			  memcmp(l[0], l[1], sizeof(l[0])) || memcmp(o[0], o[1], sizeof(o[0]));
	}
	result(level->name, "softmax", failed);
}

/* The products of attention over a cache, its softmax, and the narrowing of what goes there. */
static void check_mix(const struct weir_cpu_kernels *level)
{
	const struct weir_cpu_kernels *levels[2] = { &weir_cpu_scalar, level };
	static float w[6 * 64 * 16], a[5 * 16 * TILE], out[2][2][5 * TILE * 16];
	static float p[2][4 * TILE * 16], m[2][TILE], l[2][TILE], o[2][3 * TILE * 16];
	static uint16_t half[6 * 64 * 16], scales[2][64];
	static int8_t codes[2][2048];
	int32_t first[TILE], last[TILE];
	int mix = 0, softmax = 0, narrow = 0;

	fill(w, 6 * 64 * 16);
	level->convert(w, 6 * 64 * 16, WEIR_DTYPE_F16, half);
	for (int i = 0; i < 2; i++)
		levels[i]->mix_narrow(w, 64, codes[i], scales[i]);
	narrow |= memcmp(codes[0], codes[1], sizeof(codes[0])) != 0 ||
		  memcmp(scales[0], scales[1], sizeof(scales[0])) != 0;
	for (unsigned nc = 1; nc <= TILE; nc++) {
		size_t k = 64 - nc % 3 * 7, n_groups = 1 + nc % 5;
		struct weir_cpu_softmax s = { .softcap = nc & 1 ? 5.0f : 0.0f,
					      .nc = nc,
					      .n_groups = 1 + nc % 4,
					      .key0 = 32,
					      .end = 32 + 16 * (int32_t)(1 + nc % 4) - 3,
					      .first = first,
					      .last = last };

		fill(a, sizeof(a) / sizeof(a[0]));
		fill(p[0], 4 * TILE * 16);
		memcpy(p[1], p[0], sizeof(p[0]));
		memset(out, 0, sizeof(out));
		memset(o, 0, sizeof(o));
		for (unsigned c = 0; c < nc; c++) {
			first[c] = (int32_t)(random_bits() % 50);
			last[c] = first[c] + (int32_t)(random_bits() % 50);
			m[0][c] = m[1][c] = c % 3 ? random_float() : -INFINITY;
			l[0][c] = l[1][c] = c % 3 ? 2.0f : 0.0f;
		}
		for (int i = 0; i < 2; i++) {
			const struct weir_cpu_kernels *x = levels[i];

			x->mix_f32((uint8_t *)w, n_groups, 128 * 64, k, 128, 0, a, nc, false,
				   out[i][0]);
			x->mix_f16((uint8_t *)half, n_groups, 64 * 64, k, 64, 0, a, nc, false,
				   out[i][1]);
			x->mix_bf16((uint8_t *)half, n_groups, 64 * 64, k, 64, 0, a, nc, true,
				    out[i][1]);
			x->mix_softmax(&s, p[i], m[i], l[i], o[i], 3);
		}
		mix |= memcmp(out[0], out[1], sizeof(out[0])) != 0;
		softmax |= memcmp(p[0], p[1], sizeof(p[0])) || memcmp(m[0], m[1], sizeof(m[0])) ||
			   memcmp(l[0], l[1], sizeof(l[0]));
	}
	result(level->name, "attention/products", mix);
	result(level->name, "attention/softmax", softmax);
	result(level->name, "attention/narrow", narrow);
}

/* The same over a cache in Q8_0: 64 dims of 32 keys, and of 1 to 128 values. */
static void check_mix_q8(const struct weir_cpu_kernels *level)
{
	enum { KEYS = WEIR_CPU_KEYS, STRIP = 34 * KEYS, SCORES = KEYS * TILE };
	const struct weir_cpu_kernels *levels[2] = { &weir_cpu_scalar, level };
	static float a[SCORES], p[2][SCORES], out[2][SCORES], m[2][TILE], l[2][TILE];
	static float o[2][4 * TILE * 16], factor[2][TILE];
	static uint8_t keys[2 * 1088], cache[2 * STRIP], tile[2][2 * TILE * WEIR_CPU_RECORD];
	static int16_t weights[2][TILE * KEYS + 32];
	int32_t first[TILE], last[TILE];
	int scores = 0, softmax = 0, values = 0;

	for (size_t i = 0; i < sizeof(keys); i++)
		keys[i] = (uint8_t)random_bits();
	for (size_t i = 0; i < sizeof(cache); i++)
		cache[i] = (uint8_t)random_bits();
	for (int i = 0; i < 2; i++) {
		fill(a, KEYS);
		for (int j = 0; j < KEYS; j++)
			a[j] = fabsf(a[j]);
		level->convert(a, 32, WEIR_DTYPE_F16, keys + 1088 * i);
		level->convert(a, KEYS, WEIR_DTYPE_F16, cache + STRIP * i);
	}
	for (unsigned nc = 1; nc <= TILE; nc++) {
		unsigned n = nc == 1 ? KEYS : 1 + random_bits() % KEYS;
		struct weir_cpu_softmax s = { .softcap = nc & 1 ? 5.0f : 0.0f,
					      .nc = nc,
					      .n_groups = (n + 15) / 16,
					      .end = (int32_t)n,
					      .first = first,
					      .last = last };
		struct weir_cpu_values v = { .codes = cache + 2 * KEYS,
					     .scales = cache,
					     .strip = STRIP,
					     .n_strips = 2,
					     .n = n };

		fill(a, SCORES);
		memset(out, 0, sizeof(out));
		for (unsigned c = 0; c < nc; c++) {
			first[c] = (int32_t)(random_bits() % 50);
			last[c] = first[c] + (int32_t)(random_bits() % 100);
			m[0][c] = m[1][c] = c % 3 ? random_float() : -INFINITY;
			l[0][c] = l[1][c] = c % 3 ? 2.0f : 0.0f;
		}
		for (int i = 0; i < 2; i++) {
			const struct weir_cpu_kernels *x = levels[i];

			for (unsigned c = 0; c < nc; c++)
				x->quantize(a + 3 * c, 2, tile[i], nc, c);
			x->mix_keys(keys, 2, 2, 0, tile[i], nc, out[i]);
			memcpy(p[i], a, sizeof(a));
			memcpy(o[i], a, sizeof(o[i]));
			x->mix_softmax_codes(&s, p[i], m[i], l[i], o[i], 4, weights[i], factor[i]);
			x->mix_values(&v, weights[i], factor[i], nc, o[i]);
		}
		scores |= memcmp(out[0], out[1], sizeof(out[0])) != 0;
		softmax |= memcmp(weights[0], weights[1], sizeof(weights[0])) ||
			   memcmp(factor[0], factor[1], sizeof(factor[0])) ||
			   memcmp(m[0], m[1], sizeof(m[0])) || memcmp(l[0], l[1], sizeof(l[0]));
		values |= memcmp(o[0], o[1], sizeof(o[0])) != 0;
	}
	result(level->name, "attention/q8/keys", scores);
	result(level->name, "attention/q8/softmax", softmax);
	result(level->name, "attention/q8/values", values);
}

/* A member that was forgotten would be called as NULL. */
static void check_whole(const struct weir_cpu_kernels *level)
{
	const uint8_t *want = (const uint8_t *)&weir_cpu_scalar, *got = (const uint8_t *)level;
	void *a, *b;
	int failed = 0;

	for (size_t at = 0; at < sizeof(*level); at += sizeof(a)) {
		memcpy(&a, want + at, sizeof(a));
		memcpy(&b, got + at, sizeof(b));
		failed |= !a != !b;
	}
	result(level->name, "whole", failed);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct weir_cpu_kernels *level = NULL;

		for (int l = 0; l < WEIR_CPU_N_LEVELS; l++) {
			const struct weir_cpu_kernels *k =
				weir_cpu_level_kernels((enum weir_cpu_level)l);

			if (k && !strcmp(k->name, argv[i]))
				level = k;
		}
		if (!level) {
			printf("ok %d %s # SKIP this processor lacks it\n", ++n_tests, argv[i]);
			continue;
		}
		check_whole(level);
		check_quant(level);
		check_float(level);
		check_rows(level);
		check_softmax(level);
		check_mix_q8(level);
		check_mix(level);
	}
	printf("1..%d\n", n_tests);
	return n_failed ? 1 : 0;
}
