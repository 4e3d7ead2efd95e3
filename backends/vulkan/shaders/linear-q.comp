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

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row, uint col0, uint last)
{
	uint blocks = n_in / 32u, first = lane() % LANES;
	Planes p = planes_of(f, all * blocks);

	for (uint b = first; b < blocks; b += LANES) {
		uint a[8][8];
		float d[8];
		int s0[8], s1[8];

		[[unroll]] for (uint c = 0u; c < COLS; c++) {
			uint at = x_row(col0 + c, last) * blocks + b;
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
			uint block = (base + min(row + r, n_rows - 1u)) * blocks + b;
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

#include "multiply.glsl"
