/* tile-f.comp - LINEAR for matrices of F32, F16 and BF16 and many rows of activations: linear-f's
 * products, tiled (tile.glsl). A block is a run of 8 elements.
 */
#version 460
#define GROUP_ROWS (WIDTH * ROWS_EACH)
#include "common.glsl"
#include "quantize.glsl"
#include "places.glsl"
#include "finish.glsl"
#include "floats.glsl"

#define UNIT float
const uint UNITS = 8u;
const uint METAS = 1u; /* none in truth */

#include "tile.glsl"

void load_x(uint row, uint b, out float v[UNITS], out float meta[METAS])
{
	load_run(row, b, x_meta % 4u == 0u && b * 8u + 8u <= n_in, v);
	meta[0] = 0.0;
}

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row)
{
	uint runs = (n_in + 7u) / 8u;

	for (uint phase = 0u; phase < LANES; phase++) {
		clear_sums();
		for (uint b = phase; b < runs; b += LANES) {
			float q[ROWS_EACH][8];

			stage_x(b);
			[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
				load_weights(f, m, (base + min(row + r, n_rows - 1u)) * runs + b, q[r]);
			[[unroll]] for (uint c = 0u; c < COLS; c++)
				[[unroll]] for (uint k = 0u; k < 8u; k++) {
					float u = x_unit(c, k);

					[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
						sums[r][c] = fma(q[r][k], u, sums[r][c]);
				}
		}
		add_totals(which);
	}
}

#include "tile-main.glsl"
