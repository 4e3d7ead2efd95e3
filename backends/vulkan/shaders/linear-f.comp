/* linear-f.comp - LINEAR for matrices of F32, F16 and BF16, with float activations.
 *
 * Workgroups as in linear-q.comp. A lane takes runs of 8 elements; rows of the matrix are padded
 * with zeros to whole runs. FORMAT: 0 F32, 1 F16, 2 BF16.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"
#include "finish.glsl"
#include "sums.glsl"
#include "floats.glsl"

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row, uint col0, uint last)
{
	uint runs = (n_in + 7u) / 8u, first = lane() % LANES;

	for (uint b = first; b < runs; b += LANES) {
		bool whole = x_meta % 4u == 0u && b * 8u + 8u <= n_in;
		float v[COLS][8];

		[[unroll]] for (uint c = 0u; c < COLS; c++) load_run(x_row(col0 + c, last), b, whole, v[c]);
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
			float q[8];

			load_weights(f, m, (base + min(row + r, n_rows - 1u)) * runs + b, q);
			[[unroll]] for (uint c = 0u; c < COLS; c++)
				[[unroll]] for (int k = 0; k < 8; k++)
					sums[which][r][c] = fma(q[k], v[c][k], sums[which][r][c]);
		}
	}
}

#include "multiply.glsl"
