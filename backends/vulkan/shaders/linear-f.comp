/* linear-f.comp - LINEAR for matrices of F32, F16 and BF16, with float activations.
 *
 * Workgroups as in linear-q.comp. A lane takes runs of 8 elements; rows of the matrix are padded
 * with zeros to whole runs. FORMAT: 0 F32, 1 F16, 2 BF16.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"
#include "finish.glsl"

void load_weights(uint f, Quads m, uint run, out float q[8])
{
	if (f == 0u) {
		uvec4 a = load4(m, 2u * run), b = load4(m, 2u * run + 1u);

		[[unroll]] for (int k = 0; k < 4; k++) {
			q[k] = uintBitsToFloat(a[k]);
			q[4 + k] = uintBitsToFloat(b[k]);
		}
	} else {
		uvec4 a = load4(m, run);

		[[unroll]] for (int k = 0; k < 4; k++) {
			if (f == 1u) {
				vec2 v = unpackHalf2x16(a[k]);
				q[2 * k] = v.x;
				q[2 * k + 1] = v.y;
			} else {
				q[2 * k] = bf16_low(a[k]);
				q[2 * k + 1] = bf16_high(a[k]);
			}
		}
	}
}

/* x_meta: floats between two rows of x; a multiple of 4 lets whole quads be loaded. */
void load_x(uint col, uint run, bool whole, out float v[8])
{
	uint at = col * x_meta + run * 8u;

	if (whole) {
		uvec4 a = load4(x, at / 4u), b = load4(x, at / 4u + 1u);

		[[unroll]] for (int k = 0; k < 4; k++) {
			v[k] = uintBitsToFloat(a[k]);
			v[4 + k] = uintBitsToFloat(b[k]);
		}
	} else {
		[[unroll]] for (uint k = 0u; k < 8u; k++)
			v[k] = run * 8u + k < n_in ? Floats(x).at[at + k] : 0.0;
	}
}

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row, uint col0, uint last)
{
	uint runs = (n_in + 7u) / 8u, first = lane() % LANES;

	for (uint b = first; b < runs; b += LANES) {
		bool whole = x_meta % 4u == 0u && b * 8u + 8u <= n_in;
		float v[8][8];

		[[unroll]] for (uint c = 0u; c < COLS; c++) load_x(x_row(col0 + c, last), b, whole, v[c]);
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
