/* linear-q.comp - LINEAR for quantised matrices: integer products of a block's codes and the
 * activations' bytes, then one float multiplication and addition a block.
 *
 * Workgroups: x columns of activations in groups of COLS, y 32 rows of the matrices. A lane takes
 * every LANES-th run of RUN blocks; a result's order of additions depends on nothing but these two
 * (multiply.glsl).
 */
#version 460
#include "common.glsl"
#include "quantize.glsl"
#include "codes.glsl"
#include "finish.glsl"
#include "sums.glsl"

/* Without a dot product of bytes, two products a multiplication: (q0 + 2^16 q2) (2^16 a0 + a2) =
 * q0 a2 + 2^16 (q0 a0 + q2 a2) + ..., modulo 2^32. Sums are exact while both parts stay within 16 bits:
 * 16 weights for codes of -16 to 15, 8 for those of -32 to 31, 4 up to 64. Wider ones go byte by byte. */
bool in_pairs(uint f)
{
#if SDOT
	return false;
#else
	return fmt_low(f) != 8u && fmt_table(f) != 1u;
#endif
}

/* A table's values are not packed into bytes where they would be unpacked again. */
bool one_by_one(uint f)
{
#if SDOT
	return false;
#else
	return fmt_table(f) == 1u;
#endif
}

/* So many words of codes can be added up. */
int words_exact(uint f)
{
	return fmt_table(f) == 3u || fmt_table(f) == 4u ? 1 : fmt_high(f) == 2u ? 2 : 4;
}

/* What pair() takes from the codes: they are then around zero. */
int pair_offset(uint f)
{
	return in_pairs(f) && fmt_low(f) == 4u && fmt_high(f) != 0u ? 8 << fmt_high(f) : 0;
}

/* The bytes 0 and 2 of a word of codes, or 1 and 3. */
uint pair(uint f, uint q, int odd)
{
	uint sign = fmt_table(f) != 0u ? 0x80u : 0u;

	return ((q ^ sign * 0x01010101u) >> (8 * odd) & 0x00ff00ffu) -
	       (sign + uint(pair_offset(f))) * 0x00010001u;
}

/* The same bytes of activations, in turn. */
uint turned(uint a, int odd)
{
	return odd == 0 ? uint((int(a << 24) >> 8) + bitfieldExtract(int(a), 16, 8))
			: uint((int(a << 16) >> 8 & 0xffff0000) + (int(a) >> 24));
}

/* Sum of the products of 16 codes and activations. */
int products(uint f, uint q[8], uint a[16], int half_block)
{
	int sum = 0, part = 0;

	[[unroll]] for (int k = 0; k < 4; k++) {
		int w = 4 * half_block + k;

		if (one_by_one(f)) {
			[[unroll]] for (int i = 0; i < 4; i++)
				sum += look_up_one(q[w], i) * bitfieldExtract(int(a[w]), 8 * i, 8);
			continue;
		}
		if (!in_pairs(f)) {
			sum += dot4(q[w], a[w]);
			continue;
		}
		part += int(pair(f, q[w], 0) * a[2 * w]) + int(pair(f, q[w], 1) * a[2 * w + 1]);
		if (k % words_exact(f) == words_exact(f) - 1) {
			sum += (part + 0x8000) >> 16;
			part = 0;
		}
	}
	return sum;
}

void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row, uint col0, uint last)
{
	uint blocks = n_in / 32u, first = lane() % LANES * RUN;
	Planes p = planes_of(f, all * blocks);

	for (uint b0 = first; b0 < blocks; b0 += LANES * RUN) {
		Extras extras[ROWS_EACH];

		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
			extras[r] = load_extras(f, m, p, (base + min(row + r, n_rows - 1u)) * blocks + b0,
						RUN);
		for (uint at = 0u; at < RUN; at++) {
			uint b = b0 + at;
			uint a[8][16];
			float d[8];
			int s0[8], s1[8];

			[[unroll]] for (uint c = 0u; c < COLS; c++) {
				uint i = x_row(col0 + c, last) * blocks + b;
				uvec4 u = load4(x, 2u * i), v = load4(x, 2u * i + 1u);
				uvec2 meta = load2(Pairs(x), x_meta / 2u + i);

				[[unroll]] for (int k = 0; k < 4; k++) {
					if (in_pairs(f)) {
						a[c][2 * k] = turned(u[k], 0);
						a[c][2 * k + 1] = turned(u[k], 1);
						a[c][8 + 2 * k] = turned(v[k], 0);
						a[c][9 + 2 * k] = turned(v[k], 1);
					} else {
						a[c][k] = u[k];
						a[c][4 + k] = v[k];
					}
				}
				d[c] = uintBitsToFloat(meta.x);
				s0[c] = bitfieldExtract(int(meta.y), 0, 16);
				s1[c] = bitfieldExtract(int(meta.y), 16, 16);
			}
			[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
				uint block = (base + min(row + r, n_rows - 1u)) * blocks + b;
				int off = int(fmt_offset(f)) - pair_offset(f);
				Scales s = scales_of(f, extras[r], at);
				uint q[8];

				load_codes(f, m, p, block, extras[r], at, q);
				if (!one_by_one(f))
					look_up_all(f, q);
				[[unroll]] for (uint c = 0u; c < COLS; c++) {
					int i0 = products(f, q, a[c], 0), i1 = products(f, q, a[c], 1);
					float sum = sums[which][r][c];

					if (has_two(f)) {
						sum = fma(s.s * d[c], float(i0), sum);
						sums[which][r][c] = fma(s.m * d[c], float(i1), sum);
						continue;
					}
					i0 = s.i0 * (i0 - off * s0[c]) + s.i1 * (i1 - off * s1[c]);
					sum = fma(s.s * d[c], float(i0), sum);
					if (has_minimum(f))
						sum = fma(s.m * d[c],
							  float(s.j0 * s0[c] + s.j1 * s1[c]), sum);
					sums[which][r][c] = sum;
				}
			}
		}
	}
}

#include "multiply.glsl"
