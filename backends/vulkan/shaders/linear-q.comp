/* linear-q.comp - LINEAR for quantised matrices: integer products of a block's codes and the
 * activations' bytes, then one float multiplication and addition a block.
 *
 * Workgroups: x columns of activations in groups of COLS, y 32 rows of the matrices. A lane takes
 * every LANES-th block; a result's order of additions depends on nothing but LANES.
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"
#include "codes.glsl"
#include "finish.glsl"

float sums[2][4][8];

void multiply(uint f, uint which, Quads m, uint n_rows, uint row, uint col0, uint last)
{
	uint blocks = n_in / 32u, first = lane() % LANES;
	Planes p = planes_of(f, n_rows * blocks);

	for (uint b = first; b < blocks; b += LANES) {
		uint a[8][8];
		float d[8];
		int s0[8], s1[8];

		[[unroll]] for (uint c = 0u; c < COLS; c++) {
			uint at = min(col0 + c, last) * blocks + b;
			uvec4 u = load4(x, 2u * at), v = load4(x, 2u * at + 1u);
			uvec2 meta = load2(Pairs(x), x_meta / 2u + at);

			[[unroll]] for (int k = 0; k < 4; k++) {
				a[c][k] = u[k];
				a[c][4 + k] = v[k];
			}
			d[c] = uintBitsToFloat(meta.x);
			s0[c] = bitfieldExtract(int(meta.y), 0, 16);
			s1[c] = bitfieldExtract(int(meta.y), 16, 16);
		}
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
			uint block = min(row + r, n_rows - 1u) * blocks + b;
			int off = int(fmt_offset(f));
			uint q[8];
			Scales s = load_scales(f, Words(m), p, block);

			load_codes(f, m, p, block, q);
			[[unroll]] for (uint c = 0u; c < COLS; c++) {
				int i0 = 0, i1 = 0;

				[[unroll]] for (int k = 0; k < 4; k++) {
					i0 += dot4(q[k], a[c][k]);
					i1 += dot4(q[4 + k], a[c][4 + k]);
				}
				i0 = s.i0 * (i0 - off * s0[c]) + s.i1 * (i1 - off * s1[c]);
				sums[which][r][c] = fma(s.s * d[c], float(i0), sums[which][r][c]);
				if (has_minimum(f))
					sums[which][r][c] = fma(s.m * d[c],
								float(s.j0 * s0[c] + s.j1 * s1[c]),
								sums[which][r][c]);
			}
		}
	}
}

void multiply_mat(uint mat, uint which, uint row, uint col0, uint last)
{
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
		[[unroll]] for (uint c = 0u; c < COLS; c++) sums[which][r][c] = 0.0;
	if (WHICH != 0u && (WHICH >> mat & 1u) != 0u)
		multiply(FORMAT_B, which, w[mat], n_out[mat], row, col0, last);
	else
		multiply(FORMAT_A, which, w[mat], n_out[mat], row, col0, last);
}

void main()
{
	uint n = n_cols(), col0 = gl_WorkGroupID.x * COLS, mat, row, sub = lane() / LANES;

	if (col0 >= n)
		return;
	locate(gl_WorkGroupID.y, mat, row);
	for (uint at = sub * ROWS_EACH; at < 32u; at += SUBS * ROWS_EACH) {
		if (row + at >= n_out[mat])
			break;
		multiply_mat(mat, 0u, row + at, col0, n - 1u);
		if (GLU)
			multiply_mat(1u, 1u, row + at, col0, n - 1u);
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
			[[unroll]] for (uint c = 0u; c < COLS; c++) {
				float y0 = lanes_sum(sums[0][r][c]), y1 = 0.0;

				if (GLU)
					y1 = lanes_sum(sums[1][r][c]);
				if (lane() % LANES == 0u)
					put_result(mat, row, at + r, c, y0, y1);
			}
		}
	}
	store_results(mat, row, col0);
}
