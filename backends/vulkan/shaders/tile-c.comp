/* tile-c.comp - LINEAR for quantised matrices and many rows of activations by cooperative matrices:
 * linear-q's products of signed bytes, sums of 32 bits, which are exact in whatever order the hardware
 * adds. All that is rounded is done as there and in that order (tile.glsl), so the result is the same,
 * bit by bit.
 *
 * Workgroups: x rows of activations (columns) in groups of COLS (columns.glsl: or an expert's), y rows
 * of the matrices in groups of SUBS * ROWS_EACH * TILE_M. A subgroup has ROWS_EACH by COLS / TILE_N
 * tiles of TILE_M by TILE_N, and leaves out those that have no column; its lanes share a tile's
 * elements, which they get by way of the workgroup's memory, since where a matrix's elements lie is
 * the driver's affair.
 *
 * A block's words are loaded into registers before the block before it is multiplied, and unpacked into
 * the workgroup's memory after that: into the other half, where there are two (HALVES). Software
 * renderers have nothing to wait for: 0, all after the block before.
 *
 * Written in GL_NV_cooperative_matrix, made KHR's by coop-spirv.py. With EMULATED=1 lanes multiply by
 * themselves, so that tests can try any shape on any device.
 */
#version 460
#if !EMULATED
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_NV_cooperative_matrix : require
#extension GL_NV_integer_cooperative_matrix : require
#endif
#extension GL_KHR_shader_subgroup_basic : require
/* Of the device's shape of matrices. LANES divides TILE_M or is a multiple; TILE_K is 8, 16 or 32. */
layout(constant_id = 17) const uint TILE_M = 16;
layout(constant_id = 18) const uint TILE_N = 16;
layout(constant_id = 19) const uint TILE_K = 32;
layout(constant_id = 20) const uint HALVES = 1; /* 0, 1, 2; see above */
#define GROUP_ROWS (SUBS * ROWS_EACH * TILE_M)
#include "common.glsl"
#include "quantize.glsl"
#include "codes.glsl"
#include "places.glsl"
#include "finish.glsl"
#include "columns.glsl"

const uint ROOMS = HALVES > 1u ? 2u : 1u; /* blocks in the workgroup's memory */

/* Formats whose halves of a block have scales of their own: their products are added up apart. */
#define HALVED(f) (0x98u >> (f >> 6 & 7u) & 1u) /* scales of kind 3, 4, 7 */
const uint PARTS = 1u + (HALVED(FORMAT_A) | HALVED(FORMAT_B));

const uint TILE_COLS = COLS / TILE_N;
const uint N_TILES = ROWS_EACH * TILE_COLS; /* of a subgroup */
const uint OWN = TILE_M * TILE_N / LANES;   /* elements of a lane in each */
const uint OWN_ROWS = TILE_M > LANES ? TILE_M / LANES : 1;
const uint STEPS = 32u / TILE_K;            /* multiplications to a block; two at least if its halves are apart */
const uint A_STEPS = STEPS > 1u ? STEPS : PARTS;

/* A block's 32 bytes by rows of A or columns of B: uvec4s with 16 each, or with 8 where TILE_K is 8, so
 * that every matrix begins at one. Where a step takes a whole block and the halves must be apart, A has
 * each half followed by as many zeros. One more keeps rows apart in the memory's banks. */
const uint B_UNITS = TILE_K == 8u ? 4u : 2u;
const uint A_UNITS = TILE_K == 8u ? 4u : TILE_K == 32u ? 2u * PARTS : 2u;
const uint A_STRIDE = A_UNITS + 1u, B_STRIDE = B_UNITS + 1u;
shared uvec4 a_room[ROOMS * GROUP_ROWS * A_STRIDE];
shared uvec4 b_room[ROOMS * COLS * B_STRIDE];
shared uvec4 scale_room[ROOMS * GROUP_ROWS]; /* s, m, i0 and i1, j0 and j1 of codes.glsl's Scales */
shared uvec2 meta_room[ROOMS * COLS];        /* as in x */
/* Tiles of sums, column by column; two for each subgroup, in turn. */
shared int sum_room[SUBS * 2 * PARTS * TILE_M * TILE_N];

#include "matrices.glsl"

float sums[N_TILES][OWN], totals[2][N_TILES][OWN];

bool halved(uint f)
{
	return HALVED(f) != 0u;
}

/* What an invocation stages: a block of a row or of a column in each slot. */
const uint SLOTS = (GROUP_ROWS + COLS + WIDTH - 1u) / WIDTH;
struct Slot {
	Codes codes; /* columns: low0 and low1, and the block's meta in high */
	Extras extras;
};
uint slot_base[SLOTS]; /* the first block of the row or column */

/* Is the slot's place that of a row? Known when compiled, where it is for all alike. */
bool holds_row(uint slot)
{
	return (slot + 1u) * WIDTH <= GROUP_ROWS ||
	       (slot * WIDTH < GROUP_ROWS && slot * WIDTH + lane() < GROUP_ROWS);
}

uint slot_col(uint slot)
{
	return slot * WIDTH + lane() - GROUP_ROWS;
}

/* Is there a tile that the column is in? */
bool is_multiplied(uint col)
{
	return col / TILE_N * TILE_N < here;
}

uint find_base(uint slot, uint n_rows, uint row)
{
	return (holds_row(slot) ? base + min(row + slot * WIDTH + lane(), n_rows - 1u)
				: x_row(slot_col(slot))) *
	       (n_in / 32u);
}

void load_slot(uint slot, uint f, Quads m, Planes p, uint block, inout Slot s)
{
	if (holds_row(slot)) {
		s.codes = fetch_codes(f, m, p, block);
		s.extras = load_extras(f, m, p, block, 1u);
	} else if (is_multiplied(slot_col(slot))) {
		s.codes.low0 = load4(x, 2u * block);
		s.codes.low1 = load4(x, 2u * block + 1u);
		s.codes.high = load2(Pairs(x), x_meta / 2u + block);
	}
}

void stage_row(uint f, Codes codes, Extras e, uint at_row)
{
	Scales s = scales_of(f, e, 0u);
	uint q[8], to = at_row * A_STRIDE;

	unpack_codes(f, codes, e.high.x, q);
	look_up_all(f, q);
	if (TILE_K == 8u) {
		[[unroll]] for (uint k = 0u; k < 4u; k++)
			a_room[to + k] = uvec4(q[2u * k], q[2u * k + 1u], 0u, 0u);
	} else {
		bool apart = TILE_K == 32u && halved(f);

		a_room[to] = uvec4(q[0], q[1], q[2], q[3]);
		a_room[to + (apart ? 2u : 1u)] = uvec4(q[4], q[5], q[6], q[7]);
		if (apart)
			a_room[to + 1u] = a_room[to + 3u] = uvec4(0u);
	}
	scale_room[at_row] = uvec4(floatBitsToUint(s.s), floatBitsToUint(s.m),
				   uint(s.i0) & 0xffffu | uint(s.i1) << 16,
				   uint(s.j0) & 0xffffu | uint(s.j1) << 16);
}

void stage_col(uint f, Codes codes, uint at_col)
{
	uint to = at_col * B_STRIDE;

	if (TILE_K == 8u) {
		b_room[to] = uvec4(codes.low0.xy, 0u, 0u);
		b_room[to + 1u] = uvec4(codes.low0.zw, 0u, 0u);
		b_room[to + 2u] = uvec4(codes.low1.xy, 0u, 0u);
		b_room[to + 3u] = uvec4(codes.low1.zw, 0u, 0u);
	} else {
		b_room[to] = codes.low0;
		b_room[to + 1u] = codes.low1;
		if (TILE_K == 32u && halved(f))
			b_room[to + 2u] = uvec4(0u);
	}
	meta_room[at_col] = codes.high;
}

/* What was loaded, to a half of the workgroup's memory. */
void stage_slot(uint slot, uint f, uint part, Slot s)
{
	if (holds_row(slot))
		stage_row(f, s.codes, s.extras, part * GROUP_ROWS + slot * WIDTH + lane());
	else if (is_multiplied(slot_col(slot)))
		stage_col(f, s.codes, part * COLS + slot_col(slot));
}

/* linear-q's last lines, for one element. */
float add_product(uint f, float sum, uvec4 scale, uvec2 meta, int lo, int hi)
{
	int off = int(fmt_offset(f)), i = int(scale.z), j = int(scale.w);
	int s0 = bitfieldExtract(int(meta.y), 0, 16), s1 = bitfieldExtract(int(meta.y), 16, 16);
	float d = uintBitsToFloat(meta.x), s = uintBitsToFloat(scale.x), m = uintBitsToFloat(scale.y);
	int product;

	if (has_two(f)) {
		sum = fma(s * d, float(lo), sum);
		return fma(m * d, float(hi), sum);
	}
	if (halved(f))
		product = bitfieldExtract(i, 0, 16) * (lo - off * s0) +
			  bitfieldExtract(i, 16, 16) * (hi - off * s1);
	else
		product = bitfieldExtract(i, 0, 16) * (lo - off * (s0 + s1));
	sum = fma(s * d, float(product), sum);
	if (has_minimum(f))
		sum = fma(m * d, float(bitfieldExtract(j, 0, 16) * s0 + bitfieldExtract(j, 16, 16) * s1),
			  sum);
	return sum;
}

/* Is the step one of a block of this format, and is it of the second half? */
bool is_step(uint f, uint k)
{
	return STEPS > 1u || k == 0u || halved(f);
}

bool is_second(uint f, uint k)
{
	return halved(f) && 2u * k >= A_STEPS;
}

/* Adds the products of the block that is staged in that half. */
void multiply_block(uint f, uint part)
{
	uint sub = lane() / LANES, turn = 0u;

	[[unroll]] for (uint i = 0u; i < ROWS_EACH; i++) {
		uint tile_row = part * GROUP_ROWS + (sub * ROWS_EACH + i) * TILE_M;
		MATRIX_A a[A_STEPS];
		uvec4 scale[OWN_ROWS];

		[[unroll]] for (uint k = 0u; k < A_STEPS; k++)
			if (is_step(f, k))
				load_a(a[k], tile_row * A_STRIDE + (STEPS > 1u ? k : 2u * k));
		[[unroll]] for (uint k = 0u; k < OWN_ROWS; k++) scale[k] = scale_room[tile_row + own_row(k)];
		[[unroll]] for (uint j = 0u; j < TILE_COLS; j++) {
			MATRIX_C lo = NO_SUMS, hi = NO_SUMS;
			uint tile = i * TILE_COLS + j, tile_col = part * COLS + j * TILE_N;
			/* That of the tile before the last: all have read it, since they are past the last
			 * one's barrier. */
			uint room = (2u * sub + turn) * PARTS * TILE_M * TILE_N;

			if (j > 0u && j * TILE_N >= here) /* no column; so for all of the workgroup */
				continue;
			turn = 1u - turn;
			[[unroll]] for (uint k = 0u; k < A_STEPS; k++) {
				MATRIX_B b;

				if (!is_step(f, k))
					continue;
				load_b(b, tile_col * B_STRIDE + k);
				if (is_second(f, k))
					MUL_ADD(a[k], b, hi);
				else
					MUL_ADD(a[k], b, lo);
			}
			store_c(lo, room);
			if (halved(f))
				store_c(hi, room + TILE_M * TILE_N);
			subgroupMemoryBarrierShared();
			subgroupBarrier();
			[[unroll]] for (uint k = 0u; k < OWN; k++) {
				uint at = room + own_col(k) * TILE_M + own_row(k);

				sums[tile][k] = add_product(f, sums[tile][k], scale[k % OWN_ROWS],
							    meta_room[tile_col + own_col(k)], sum_room[at],
							    halved(f) ? sum_room[at + TILE_M * TILE_N] : 0);
			}
		}
	}
}

void clear_sums()
{
	[[unroll]] for (uint t = 0u; t < N_TILES; t++)
		[[unroll]] for (uint k = 0u; k < OWN; k++) sums[t][k] = 0.0;
}

/* A step loads a block and multiplies the one before. */
void multiply(uint f, uint which, Quads m, uint n_rows, uint all, uint row)
{
	uint blocks = n_in / 32u, phase = 0u, b0 = 0u, at = 0u, part = 0u;
	Planes p = planes_of(f, all * blocks);
	bool is_last = false; /* of its phase: the block that is loaded */
	Slot slots[SLOTS];

	[[unroll]] for (uint i = 0u; i < SLOTS && HALVES > 0u; i++) slot_base[i] = find_base(i, n_rows, row);
	clear_sums();
	barrier();
	for (uint step = 0u; step <= blocks; step++) {
		uint b = b0 + at;
		bool was_last = is_last;

		if (step < blocks) {
			if (HALVES > 0u)
				[[unroll]] for (uint i = 0u; i < SLOTS; i++)
					load_slot(i, f, m, p, slot_base[i] + b, slots[i]);
			is_last = at + 1u == RUN && b0 + LANES * RUN >= blocks;
			at = at + 1u < RUN ? at + 1u : 0u;
			b0 = at > 0u ? b0 : is_last ? ++phase * RUN : b0 + LANES * RUN;
		}
		if (step > 0u)
			multiply_block(f, ROOMS - 1u - part);
		if (was_last) {
			[[unroll]] for (uint t = 0u; t < N_TILES; t++)
				[[unroll]] for (uint k = 0u; k < OWN; k++) totals[which][t][k] += sums[t][k];
			clear_sums();
		}
		if (ROOMS == 1u)
			barrier();
		if (step < blocks && HALVES > 0u) {
			[[unroll]] for (uint i = 0u; i < SLOTS; i++) stage_slot(i, f, part, slots[i]);
		} else if (step < blocks) {
			[[dont_unroll]] for (uint i = 0u; i < SLOTS; i++) {
				Slot s;

				load_slot(i, f, m, p, find_base(i, n_rows, row) + b, s);
				stage_slot(i, f, part, s);
			}
		}
		barrier();
		part = ROOMS - 1u - part;
	}
}

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
	uint n = n_cols(), col0 = gl_WorkGroupID.x * COLS, mat, row, tile_row = lane() / LANES * ROWS_EACH;

	if (!find_columns(col0, n) || !any_adapted(col0, n))
		return;
	locate(gl_WorkGroupID.y, mat, row);
	[[unroll]] for (uint t = 0u; t < N_TILES; t++)
		[[unroll]] for (uint k = 0u; k < OWN; k++) totals[0][t][k] = totals[1][t][k] = 0.0;
	multiply_mat(mat, 0u, row);
	if (GLU)
		multiply_mat(1u, 1u, row);
	for (uint slab = 0u; slab < GROUP_ROWS && row + slab < n_out[mat]; slab += 32u) {
		barrier();
		[[unroll]] for (uint t = 0u; t < N_TILES; t++)
			[[unroll]] for (uint k = 0u; k < OWN; k++) {
				uint at = (tile_row + t / TILE_COLS) * TILE_M + own_row(k) - slab;

				if (at < 32u)
					put_result(mat, row + slab, at, t % TILE_COLS * TILE_N + own_col(k),
						   totals[0][t][k], totals[1][t][k]);
			}
		store_results(mat, row + slab, col0);
	}
}
