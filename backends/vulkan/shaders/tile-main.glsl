/* tile-main.glsl - main() of tile-q and tile-f, around their multiply(). */
void multiply_mat(uint mat, uint which, uint row)
{
	uint all = MIXTURE != 0u ? n_out[mat] * n_out[2] : n_out[mat];

	if (WHICH != 0u && (WHICH >> mat & 1u) != 0u)
		multiply(FORMAT_B, which, w[mat], n_out[mat], all, row);
	else
		multiply(FORMAT_A, which, w[mat], n_out[mat], all, row);
}

void main()
{
	uint n = n_cols(), col0 = gl_WorkGroupID.x * COLS, mat, row, mine = lane() * ROWS_EACH;

	if (!find_columns(col0, n) || !any_adapted(col0, n))
		return;
	begin_x();
	locate(gl_WorkGroupID.y, mat, row);
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
		[[unroll]] for (uint c = 0u; c < COLS; c++) totals[0][r][c] = totals[1][r][c] = 0.0;
	multiply_mat(mat, 0u, row + mine);
	if (GLU)
		multiply_mat(1u, 1u, row + mine);
	for (uint slab = 0u; slab < GROUP_ROWS && row + slab < n_out[mat]; slab += 32u) {
		barrier();
		if (mine / 32u * 32u == slab)
			[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
				[[unroll]] for (uint c = 0u; c < COLS; c++)
					put_result(mat, row + slab, mine - slab + r, c, totals[0][r][c],
						   totals[1][r][c]);
		store_results(mat, row + slab, col0);
	}
}
