/* multiply.glsl - what linear-q and linear-f do alike, around their multiply(), which they call with
 * sums and base declared by "sums.glsl".
 *
 * A lane has added every LANES-th block; fold() adds the lanes' parts in the order of the lanes. The
 * tiled shaders add in the same order, so that a result does not depend on which shader made it.
 */
#if !(SUBGROUP && WIDE)
shared float fold_room[SUBS * COLS * (LANES + 1u)];

void fold_sync()
{
#if SUBGROUP
	subgroupMemoryBarrierShared();
	subgroupBarrier();
#else
	barrier();
#endif
}
#endif

/* The sum for column `lane() % LANES`, where that is less than COLS (at most LANES). */
float fold(uint which, uint r)
{
	uint me = lane() % LANES;
	float y = 0.0;

#if SUBGROUP && WIDE
	[[unroll]] for (uint c = 0u; c < COLS; c++) {
		float sum = 0.0;

		[[unroll]] for (uint i = 0u; i < LANES; i++) sum += subgroupShuffle(sums[which][r][c], i);
		y = me == c ? sum : y;
	}
#else
	uint room = lane() / LANES * COLS * (LANES + 1u);

	fold_sync();
	[[unroll]] for (uint c = 0u; c < COLS; c++) fold_room[room + c * (LANES + 1u) + me] = sums[which][r][c];
	fold_sync();
	if (me < COLS)
		for (uint i = 0u; i < LANES; i++)
			y += fold_room[room + me * (LANES + 1u) + i];
#endif
	return y;
}

void multiply_mat(uint mat, uint which, uint row, uint col0, uint last)
{
	uint all = MIXTURE != 0u ? n_out[mat] * n_out[2] : n_out[mat];

	if (WHICH != 0u && (WHICH >> mat & 1u) != 0u)
		multiply(FORMAT_B, which, w[mat], n_out[mat], all, row, col0, last);
	else
		multiply(FORMAT_A, which, w[mat], n_out[mat], all, row, col0, last);
}

void clear_sums()
{
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
		[[unroll]] for (uint c = 0u; c < COLS; c++) sums[0][r][c] = sums[1][r][c] = 0.0;
}

/* Down: the experts of one row, one after the other, by their shares. */
void mix(uint mat, uint row, uint at, uint col)
{
	float mixed[ROWS_EACH];

	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) mixed[r] = 0.0;
	for (uint k = 0u; k < CHOICES; k++) {
		uint pair = col * CHOICES + k;

		base = expert_of(pair) * n_out[0];
		clear_sums();
		multiply_mat(0u, 0u, row + at, pair, pair);
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
			mixed[r] = fma(share_of(pair), fold(0u, r), mixed[r]);
	}
	if (lane() % LANES == 0u)
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) put_result(mat, row, at + r, 0u, mixed[r], 0.0);
}

#include "tail.glsl"

void main()
{
	uint n = n_cols(), col0 = gl_WorkGroupID.x * COLS, mat, row, sub = lane() / LANES;

	if (col0 >= n || !any_adapted(col0, n))
		return;
	locate(gl_WorkGroupID.y, mat, row);
	base = MIXTURE == 1u ? expert_of(col0) * n_out[0] : 0u;
	/* All subgroups as often as the first, though their rows may lie past the end: some drivers make
	 * a subgroup's barrier one of the workgroup. */
	for (uint step = 0u; step < 32u && row + step < n_out[mat]; step += SUBS * ROWS_EACH) {
		uint at = step + sub * ROWS_EACH;

		if (MIXTURE == 2u) {
			mix(mat, row, at, col0);
			continue;
		}
		clear_sums();
		multiply_mat(mat, 0u, row + at, col0, n - 1u);
		if (GLU)
			multiply_mat(1u, 1u, row + at, col0, n - 1u);
		[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++) {
			float y0 = fold(0u, r), y1 = 0.0;

			if (GLU)
				y1 = fold(1u, r);
			if (lane() % LANES < COLS)
				put_result(mat, row, at + r, lane() % LANES, y0, y1);
		}
	}
	store_results(mat, row, col0);
	if (TAIL != 0u && is_last_of(gl_WorkGroupID.x))
		tail(col0, min(col0 + COLS, n));
}
