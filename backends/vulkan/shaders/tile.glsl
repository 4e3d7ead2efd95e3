/* tile.glsl - LINEAR for many rows of activations: what tile-q and tile-f do alike.
 *
 * Workgroups: x rows of activations (columns) in groups of COLS, y rows of the matrices in groups of
 * WIDTH * ROWS_EACH, of which a lane has ROWS_EACH. One block of every column at a time is shared by
 * the workgroup, through its memory; software renderers, which go to that memory lane by lane, keep
 * it in registers and pass it around their one subgroup (WIDTH = LANES).
 *
 * The order of additions is that of the matrix-vector shaders: for each of LANES phases every
 * LANES-th block from that on, then the phases' sums one after the other. So a row's result is the
 * same, bit by bit, whatever the number of rows that come with it.
 */
float sums[ROWS_EACH][COLS], totals[2][ROWS_EACH][COLS];

#include "columns.glsl"

#if SUBGROUP && WIDE
const uint SETS = (COLS + LANES - 1u) / LANES;
uint x_rows[SETS];
UNIT x_lane[SETS][UNITS];
float x_meta_lane[SETS][METAS];
#else
shared UNIT x_room[COLS * UNITS];
shared float x_meta_room[COLS * METAS];
#endif

UNIT x_unit(uint c, uint k)
{
#if SUBGROUP && WIDE
	return subgroupShuffle(x_lane[c / LANES][k], c % LANES);
#else
	return x_room[c * UNITS + k];
#endif
}

float x_scale(uint c, uint k)
{
#if SUBGROUP && WIDE
	return subgroupShuffle(x_meta_lane[c / LANES][k], c % LANES);
#else
	return x_meta_room[c * METAS + k];
#endif
}

void load_x(uint row, uint b, out UNIT v[UNITS], out float meta[METAS]);

/* Before any block. */
void begin_x()
{
#if SUBGROUP && WIDE
	[[unroll]] for (uint i = 0u; i < SETS; i++) x_rows[i] = x_row(i * LANES + lane());
#endif
}

/* Block b of all columns. */
void stage_x(uint b)
{
#if SUBGROUP && WIDE
	[[unroll]] for (uint i = 0u; i < SETS; i++) load_x(x_rows[i], b, x_lane[i], x_meta_lane[i]);
#else
	barrier();
	for (uint c = lane(); c < COLS; c += WIDTH) {
		UNIT v[UNITS];
		float meta[METAS];

		load_x(x_row(c), b, v, meta);
		[[unroll]] for (uint k = 0u; k < UNITS; k++) x_room[c * UNITS + k] = v[k];
		[[unroll]] for (uint k = 0u; k < METAS; k++) x_meta_room[c * METAS + k] = meta[k];
	}
	barrier();
#endif
}

void clear_sums()
{
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
		[[unroll]] for (uint c = 0u; c < COLS; c++) sums[r][c] = 0.0;
}

void add_totals(uint which)
{
	[[unroll]] for (uint r = 0u; r < ROWS_EACH; r++)
		[[unroll]] for (uint c = 0u; c < COLS; c++) totals[which][r][c] += sums[r][c];
}
