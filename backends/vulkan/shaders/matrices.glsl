/* matrices.glsl - tile-c's matrices: the device's, or ones that its lanes make by hand. A lies in a_room
 * row by row, B in b_room column by column, sums go to sum_room column by column.
 */
/* The row in its tile, and the column, of a lane's k-th element. */
uint own_row(uint k)
{
	return lane() % LANES % TILE_M + k % OWN_ROWS * LANES;
}

uint own_col(uint k)
{
	return lane() % LANES / TILE_M + k / OWN_ROWS * (LANES > TILE_M ? LANES / TILE_M : 1u);
}

#if EMULATED
struct Sums {
	int own[64]; /* OWN of them */
};
#define MATRIX_A uint /* where it begins */
#define MATRIX_B uint
#define MATRIX_C Sums
#define NO_SUMS no_sums()
#define MUL_ADD(a, b, c) c = mul_add(a, b, c)

Sums no_sums()
{
	Sums c;

	[[unroll]] for (uint k = 0u; k < OWN; k++) c.own[k] = 0;
	return c;
}

void load_a(out uint a, uint at)
{
	a = at;
}

void load_b(out uint b, uint at)
{
	b = at;
}

Sums mul_add(uint a, uint b, Sums c)
{
	[[dont_unroll]] for (uint k = 0u; k < OWN; k++)
		[[dont_unroll]] for (uint i = 0u; i < TILE_K / 4u; i++)
			c.own[k] += dot4(a_room[a + own_row(k) * A_STRIDE + i / 4u][i & 3u],
					 b_room[b + own_col(k) * B_STRIDE + i / 4u][i & 3u]);
	return c;
}

void store_c(Sums c, uint at)
{
	[[dont_unroll]] for (uint k = 0u; k < OWN; k++)
		sum_room[at + own_col(k) * TILE_M + own_row(k)] = c.own[k];
}
#else
#define MATRIX_A icoopmatNV<8, gl_ScopeSubgroup, TILE_M, TILE_K>
#define MATRIX_B icoopmatNV<8, gl_ScopeSubgroup, TILE_K, TILE_N>
#define MATRIX_C icoopmatNV<32, gl_ScopeSubgroup, TILE_M, TILE_N>
#define NO_SUMS MATRIX_C(0)
#define MUL_ADD(a, b, c) c = coopMatMulAddNV(a, b, c)

void load_a(out MATRIX_A a, uint at)
{
	coopMatLoadNV(a, a_room, at, A_STRIDE, false);
}

void load_b(out MATRIX_B b, uint at)
{
	coopMatLoadNV(b, b_room, at, B_STRIDE, true);
}

void store_c(MATRIX_C c, uint at)
{
	coopMatStoreNV(c, sum_room, at, TILE_M, true);
}
#endif
