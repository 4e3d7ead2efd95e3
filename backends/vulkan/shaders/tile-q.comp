/* tile-q.comp - LINEAR for quantised matrices and many rows of activations: linear-q's products,
 * tiled (tile.glsl).
 *
 * Without integer dot products codes and bytes are multiplied as floats. That is exact too: 32
 * products and their integer scale stay below 2^24 in every format (Q6_K: 2 * 128 * 16 * 32 * 127).
 */
#version 460
#define GROUP_ROWS (WIDTH * ROWS_EACH)
#include "common.glsl"
#include "quantize.glsl"
#include "codes.glsl"
#include "places.glsl"
#include "finish.glsl"

#if SDOT
#define UNIT uint
const uint UNITS = 8u; /* of a block of 32 */
#else
#define UNIT float
const uint UNITS = 32u;
#endif
const uint METAS = 3u; /* scale, sums of the halves */
const uint PER_STEP = 32u;

#include "tile.glsl"

/* Block b of column `row` of x. */
void load_x(uint row, uint b, out UNIT v[UNITS], out float meta[METAS])
{
	uint at = row * (n_in / 32u) + b;
	uvec4 lo = load4(x, 2u * at), hi = load4(x, 2u * at + 1u);
	uvec2 m = load2(Pairs(x), x_meta / 2u + at);

	[[unroll]] for (uint k = 0u; k < UNITS; k++) {
#if SDOT
		v[k] = k < 4u ? lo[k & 3u] : hi[k & 3u];
#else
		uint word = k < 16u ? lo[k / 4u & 3u] : hi[k / 4u & 3u];
		v[k] = float(bitfieldExtract(int(word), int(8u * (k & 3u)), 8));
#endif
	}
	meta[0] = uintBitsToFloat(m.x);
	meta[1] = float(bitfieldExtract(int(m.y), 0, 16));
	meta[2] = float(bitfieldExtract(int(m.y), 16, 16));
}

/* Adds the products of block b0 + at. */
void multiply_block(uint f, Quads m, Planes p, uint n_rows, uint row, uint blocks, uint b0, uint at,
		    Extras extras[ROWS_EACH])
{
	int off = int(fmt_offset(f));
	UNIT q[ROWS_EACH][UNITS];
	Scales s[ROWS_EACH];

	stage_x(b0 + at);
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
		uint words[8];

		s[r] = scales_of(f, extras[r], at);
		load_codes(f, m, p, (base + min(row + r, n_rows - 1u)) * blocks + b0 + at, extras[r], at, words);
		look_up_all(f, words);
		[[unroll]] for (uint k = 0u; k < UNITS; k++)
#if SDOT
			q[r][k] = words[k];
#else
			q[r][k] = float(bitfieldExtract(int(words[k / 4u]), int(8u * (k & 3u)), 8) - off);
#endif
	}
	[[unroll]] for (uint c = 0u; c < COLS; c++) {
		UNIT lo[ROWS_EACH], hi[ROWS_EACH];
		float d = x_scale(c, 0u);

		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) lo[r] = hi[r] = UNIT(0);
		[[unroll]] for (uint k = 0u; k < UNITS / 2u; k++) {
			UNIT u = x_unit(c, k), v = x_unit(c, UNITS / 2u + k);

			[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
#if SDOT
				lo[r] += uint(dot4(q[r][k], u));
				hi[r] += uint(dot4(q[r][UNITS / 2u + k], v));
#else
				lo[r] += q[r][k] * u;
				hi[r] += q[r][UNITS / 2u + k] * v;
#endif
			}
		}
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
			if (has_two(f)) {
#if SDOT
				float v = float(int(lo[r])), u = float(int(hi[r]));
#else
				float v = lo[r], u = hi[r];
#endif
				sums[r][c] = fma(s[r].m * d, u, fma(s[r].s * d, v, sums[r][c]));
				continue;
			}
#if SDOT
			int i = s[r].i0 * (int(lo[r]) - off * int(x_scale(c, 1u))) +
				s[r].i1 * (int(hi[r]) - off * int(x_scale(c, 2u)));
			float v = float(i);
#else
			float v = float(s[r].i0) * lo[r] + float(s[r].i1) * hi[r];
#endif
			sums[r][c] = fma(s[r].s * d, v, sums[r][c]);
			if (has_minimum(f)) {
				float j = float(s[r].j0) * x_scale(c, 1u) +
					  float(s[r].j1) * x_scale(c, 2u);
				sums[r][c] = fma(s[r].m * d, j, sums[r][c]);
			}
		}
	}
}

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row)
{
	uint blocks = n_in / 32u;
	Planes p = planes_of(f, all * blocks);

	for (uint phase = 0u; phase < LANES; phase++) {
		clear_sums();
		for (uint b0 = phase * RUN; b0 < blocks; b0 += LANES * RUN) {
			Extras extras[ROWS_EACH];

			[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
				extras[r] = load_extras(f, m, p, (base + min(row + r, n_rows - 1u)) * blocks + b0,
							RUN);
			for (uint at = 0u; at < RUN; at++)
				multiply_block(f, m, p, n_rows, row, blocks, b0, at, extras);
		}
		add_totals(which);
	}
}

#include "tile-main.glsl"
