/* sums.glsl - what a lane of linear-q or linear-f adds up. */
float sums[2][ROWS_EACH][COLS];
uint base; /* rows of a matrix before the expert's own */

/* The rows of x that the columns from col0 on multiply. */
uint x_row(uint col, uint last)
{
	return MIXTURE == 1u ? min(col, last) / CHOICES : min(col, last);
}
