/* columns.glsl - the rows of activations (columns) of a tile's workgroup, for tile-q, tile-f and tile-c.
 *
 * Experts: workgroups x are sort.comp's groups, whose pairs of a row and a choice are the columns.
 */
uint base; /* rows of a matrix before the expert's own */
uint here; /* columns of the workgroup */
shared uint places[COLS]; /* of columns: rows of the result */

uint result_row(uint col0, uint c)
{
	return MIXTURE != 0u ? places[c] : col0 + c;
}

uint result_cols()
{
	return here;
}

uint x_row(uint c)
{
	uint place = places[min(c, here - 1u)];

	return MIXTURE == 1u ? place / CHOICES : place;
}

/* The columns of the workgroup; false: there are none. */
bool find_columns(uint col0, uint n)
{
	Words groups = Words(bias[1]), order = Words(bias[2]);
	uint first = 0u;

	base = 0u;
	if (MIXTURE != 0u) {
		base = groups.at[3u * gl_WorkGroupID.x] * n_out[0];
		first = groups.at[3u * gl_WorkGroupID.x + 1u];
		here = groups.at[3u * gl_WorkGroupID.x + 2u];
	} else {
		here = col0 < n ? min(COLS, n - col0) : 0u;
	}
	if (here == 0u)
		return false;
	for (uint c = lane(); c < here; c += WIDTH)
		places[c] = MIXTURE != 0u ? order.at[first + c] : col0 + c;
	barrier();
	return true;
}
