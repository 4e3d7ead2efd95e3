/* places.glsl - before finish.glsl: tiles' results go where tile.glsl says. */
uint result_row(uint col0, uint c);
uint result_cols();
#define RESULT_ROW(col0, c) result_row(col0, c)
#define RESULT_COLS(col0) result_cols()
