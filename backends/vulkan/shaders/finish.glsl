/* finish.glsl - the last stage of LINEAR, and the results of one workgroup: shared by linear-q,
 * linear-f and the tiled tile-q and tile-f. GROUP_ROWS rows of a matrix by COLS rows of activations.
 */
#ifndef GROUP_ROWS
#define GROUP_ROWS 32u
#endif
layout(constant_id = 2) const uint SUBS = 1;      /* subgroups; in linear-* SUBS * ROWS_EACH is 32 at most */
layout(constant_id = 3) const uint ROWS_EACH = 4; /* rows of a subgroup, or of a tile's lane, at a time: 1, 2, 4, 8 */
layout(constant_id = 4) const uint COLS = 1;      /* 1 to 8; tile: any */
layout(constant_id = 5) const uint FLAGS = 0;     /* FLAG_* */
layout(constant_id = 6) const uint FORMAT_A = 0;
layout(constant_id = 7) const uint FORMAT_B = 0;
layout(constant_id = 8) const uint WHICH = 0; /* bit k: matrix k is in FORMAT_B */
layout(constant_id = 9) const uint N_MATS = 1;
layout(constant_id = 10) const uint ADAPTER = 0; /* only for tokens of sequences that have it */
/* Mixture of experts: 1 gate and up, 2 down; then bias[2] has each row's CHOICES experts and shares,
 * and n_out[2] is how many experts a matrix holds. */
layout(constant_id = 11) const uint MIXTURE = 0;
layout(constant_id = 12) const uint CHOICES = 1;
layout(constant_id = 13) const uint RUN = 1; /* consecutive blocks of a lane: 1, or 4 in rows of 4 n */
/* What the last workgroup of a group of columns does when all are done (tail.glsl): 0 nothing,
 * 1 route MOE, 2 NORM. Its flags; experts a token. */
layout(constant_id = 14) const uint TAIL = 0;
layout(constant_id = 15) const uint TAIL_FLAGS = 0;
layout(constant_id = 16) const uint ROUTE_CHOICES = 1;

const uint FLAG_ADD = 1u, FLAG_GLU = 2u, FLAG_OUT_ROWS = 4u, FLAG_EMIT_F32 = 8u, FLAG_EMIT_Q8 = 16u,
	   FLAG_BIAS = 32u, FLAG_SOFTCAP = 256u; /* FLAG_BIAS << k: of matrix k */
const uint ACT = (FLAGS >> 16) & 15u;
const bool GLU = (FLAGS & FLAG_GLU) != 0u;

layout(push_constant, std430) uniform Push {
	Batch batch;
	Quads x;       /* Q8 form, or float rows */
	Quads w[3];
	Floats y[3];
	Floats bias[3];
	Words y_q8;
	uint n_in, x_meta, y_meta; /* x_meta: words before the scales; or the stride of float rows */
	uint n_out[3];
	float scale, softcap;
};

shared float results[COLS * 32];

#include "activate.glsl"

/* The matrix of a workgroup, and its first row there. */
void locate(uint group, out uint mat, out uint row)
{
	mat = 0u;
	if (!GLU && N_MATS > 1u) {
		uint n0 = (n_out[0] + GROUP_ROWS - 1u) / GROUP_ROWS;
		uint n1 = (n_out[1] + GROUP_ROWS - 1u) / GROUP_ROWS;

		if (group >= n0) {
			mat = 1u;
			group -= n0;
			if (N_MATS > 2u && group >= n1) {
				mat = 2u;
				group -= n1;
			}
		}
	}
	row = group * GROUP_ROWS;
}

uint n_cols()
{
	uint n = (FLAGS & FLAG_OUT_ROWS) != 0u ? batch.n_out : batch.n_tokens;

	return MIXTURE == 1u ? n * CHOICES : n;
}

/* The expert of a row's choice, in ascending order; its share. */
uint expert_of(uint pair)
{
	return Words(bias[2]).at[2u * pair];
}

float share_of(uint pair)
{
	return bias[2].at[2u * pair + 1u];
}

/* Is the row's sequence one that uses this adapter? */
bool is_adapted(uint col)
{
	uint t = (FLAGS & FLAG_OUT_ROWS) != 0u ? batch.out_row.at[col] : col;

	return ADAPTER == 0u || batch.adapter.at[batch.row.at[t]] == ADAPTER;
}

bool any_adapted(uint col0, uint n)
{
	if (ADAPTER == 0u)
		return true;
	for (uint c = col0; c < min(col0 + COLS, n); c++)
		if (is_adapted(c))
			return true;
	return false;
}

float bias_at(uint mat, uint row)
{
	return MIXTURE == 0u && (FLAGS & FLAG_BIAS << mat) != 0u ? bias[mat].at[row] : 0.0;
}

/* One result: row `at` (0..31) after `row`, column c. y0 (and y1 with GLU) are the products. */
void put_result(uint mat, uint row, uint at, uint c, float y0, float y1)
{
	float v = y0 + bias_at(mat, min(row + at, n_out[mat] - 1u));

	if (GLU)
		v = activate(v) * (y1 + bias_at(1u, min(row + at, n_out[1] - 1u)));
	else if (ACT != 0u)
		v = activate(v);
	v *= scale;
	if ((FLAGS & FLAG_SOFTCAP) != 0u) {
		float e = exp(-2.0 * abs(v / softcap));
		v = sign(v) * softcap * (1.0 - e) / (1.0 + e);
	}
	results[c * 32u + at] = v;
}

/* Where a column's results go, and how many columns there are: tiles of experts have their own. */
#ifndef RESULT_ROW
#define RESULT_ROW(col0, c) ((col0) + (c))
#define RESULT_COLS(col0) min(COLS, n_cols() - (col0))
#endif

/* After all results are in: to memory, in the forms that are wanted. */
void store_results(uint mat, uint row, uint col0)
{
	uint n = RESULT_COLS(col0), rows = min(32u, n_out[mat] - row);

	barrier();
	for (uint i = lane(); i < n * 32u; i += WIDTH) {
		uint c = i / 32u, r = i % 32u, at = RESULT_ROW(col0, c) * n_out[mat] + row + r;

		if (r >= rows || !is_adapted(col0 + c))
			continue;
		if ((FLAGS & FLAG_ADD) != 0u)
			results[i] += y[mat].at[at];
		if (TAIL != 0u)
			Passed(y[mat]).at[at] = results[i];
		else if ((FLAGS & FLAG_EMIT_F32) != 0u)
			y[mat].at[at] = results[i];
	}
	if ((FLAGS & FLAG_EMIT_Q8) != 0u) {
		barrier();
		for (uint c = lane(); c < n; c += WIDTH) {
			float v[32];

			for (int i = 0; i < 32; i++)
				v[i] = results[c * 32u + uint(i)];
			put_q8(y_q8, y_meta, (RESULT_ROW(col0, c) * n_out[mat] + row) / 32u, v);
		}
	}
}
