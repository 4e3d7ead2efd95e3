/* SPDX-License-Identifier: MIT */
/*
 * kernel-quant.h - one group of 16 quantised rows times a tile of Q8 activations, for one ISA.
 *
 * Included by level-*.c after a simd-*.h. A block's codes are unpacked to registers once for up to
 * MAX_COLS columns; the integer dot product of a block is exact, and is then folded into one float
 * per row and column, block by block in ascending order. So a result does not depend on the number
 * of columns, and is the same on every level.
 */
#include "cpu.h"

/* Where column c of a tile lies: codes at q + c * 32, words at word[i * nc + c], and both go on by
 * `next` bytes a block. */
struct columns {
	const uint8_t *q, *word;
	size_t next, nc;
};

INLINE struct columns columns_at(const uint8_t *tile, unsigned nc, unsigned first)
{
	return (struct columns){ tile + (size_t)first * 32,
				 tile + (size_t)nc * 32 + (size_t)first * 4,
				 (size_t)nc * WEIR_CPU_RECORD, nc };
}

INLINE void columns_next(struct columns *t)
{
	t->q += t->next;
	t->word += t->next;
}

enum { MAX_SUMS = 16 };
enum { WORD_SCALE, WORD_SUM, WORD_8, WORD_128, WORD_32_LOW, WORD_32_HIGH };

INLINE float word_f32(const struct columns *t, int word, unsigned c)
{
	float x;

	memcpy(&x, t->word + ((size_t)word * t->nc + c) * 4, sizeof(x));
	return x;
}

INLINE int32_t word_i32(const struct columns *t, int word, unsigned c)
{
	int32_t x;

	memcpy(&x, t->word + ((size_t)word * t->nc + c) * 4, sizeof(x));
	return x;
}

INLINE void load_nibbles(const uint8_t *codes, hi *w)
{
	UNROLL(4)
	for (int s = 0; s < 4; s++) {
		hi x = hi_load(codes + 64 * s);

		w[s] = hi_low(x);
		w[s + 4] = hi_high(x);
	}
}

/* Accumulators of `groups` groups by `cols` columns, out as [group][nc][16]. */
INLINE void store_columns(const hf *acc, unsigned cols, unsigned groups, size_t nc, float *out)
{
	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		hf_store(out + (i / cols * nc + i % cols) * 16, acc[i]);
}

INLINE void clear_columns(hf *acc, unsigned n)
{
	UNROLL(16)
	for (unsigned i = 0; i < n; i++)
		acc[i] = hf_zero();
}

/* Where the planes of the first of some groups begin, and how far apart the groups are. */
struct planes {
	const uint8_t *codes, *scales;
	size_t stride;
	unsigned row; /* the first row that this pass computes: 0, or 8 where LANES is 8 */
};

INLINE void cols_q8_0(struct planes p, size_t n_blocks, struct columns t, unsigned cols,
		      unsigned groups, float *out)
{
	hf acc[MAX_SUMS];

	clear_columns(acc, cols * groups);
	for (size_t b = 0; b < n_blocks; b++, columns_next(&t)) {
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++) {
			const uint8_t *codes = p.codes + g * p.stride + b * 512 + 4 * p.row;
			hf d = hf_load_f16(p.scales + g * p.stride + b * 32 + 2 * p.row);
			hi w[8];

			UNROLL(8)
			for (int s = 0; s < 8; s++)
				w[s] = hi_load(codes + 64 * s);
			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				hi dot = dot_byte(word_i32(&t, WORD_128, c), w, t.q + 32 * c);
				hf x = hf_mul(hf_from_int(dot),
					      hf_set1(word_f32(&t, WORD_SCALE, c)));

				acc[g * cols + c] = hf_fma(x, d, acc[g * cols + c]);
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

INLINE void cols_q4_0(struct planes p, size_t n_blocks, struct columns t, unsigned cols,
		      unsigned groups, float *out)
{
	hf acc[MAX_SUMS];

	clear_columns(acc, cols * groups);
	for (size_t b = 0; b < n_blocks; b++, columns_next(&t)) {
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++) {
			hf d = hf_load_f16(p.scales + g * p.stride + b * 32 + 2 * p.row);
			hi w[8];

			load_nibbles(p.codes + g * p.stride + b * 256 + 4 * p.row, w);
			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				hi dot = dot_low(word_i32(&t, WORD_8, c), w, t.q + 32 * c);
				hf x = hf_mul(hf_from_int(dot),
					      hf_set1(word_f32(&t, WORD_SCALE, c)));

				acc[g * cols + c] = hf_fma(x, d, acc[g * cols + c]);
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

INLINE void cols_q4_k(struct planes p, size_t n_blocks, struct columns t, unsigned cols,
		      unsigned groups, float *out)
{
	hf acc[MAX_SUMS];

	clear_columns(acc, cols * groups);
	for (size_t b = 0; b < n_blocks; b += 8) {
		uint8_t split[4][2][128];
		hf d[4], dmin[4];

		UNROLL(4)
		for (unsigned g = 0; g < groups; g++) {
			const uint8_t *scales = p.scales + g * p.stride + b * 32;

			d[g] = hf_load_f16(scales + 2 * p.row);
			dmin[g] = hf_load_f16(scales + 32 + 2 * p.row);
			split_scales(scales + 64, split[g][0], split[g][1]);
		}
		for (unsigned j = 0; j < 8; j++, columns_next(&t)) {
			UNROLL(4)
			for (unsigned g = 0; g < groups; g++) {
				hf ds = hf_mul(d[g], hf_load_u8(split[g][0] + 16 * j + p.row));
				hf dm = hf_mul(dmin[g], hf_load_u8(split[g][1] + 16 * j + p.row));
				hi w[8];

				load_nibbles(p.codes + g * p.stride + (b + j) * 256 + 4 * p.row, w);
				UNROLL(16)
				for (unsigned c = 0; c < cols; c++) {
					hi dot = dot_low(0, w, t.q + 32 * c);
					hf x = hf_mul(hf_from_int(dot),
						      hf_set1(word_f32(&t, WORD_SCALE, c)));
					hf *sum = &acc[g * cols + c];

					*sum = hf_fma(x, ds, *sum);
					*sum = hf_fnma(hf_set1(word_f32(&t, WORD_SUM, c)), dm,
						       *sum);
				}
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

INLINE void load_six(const uint8_t *codes, hi *w)
{
	load_nibbles(codes, w);
	UNROLL(2)
	for (int h = 0; h < 2; h++) {
		hi bits = hi_load(codes + 256 + 64 * h);

		UNROLL(4)
		for (int s = 0; s < 4; s++)
			w[4 * h + s] = hi_with_bits(w[4 * h + s], bits, s);
	}
}

INLINE void cols_q6_k(struct planes p, size_t n_blocks, struct columns t, unsigned cols,
		      unsigned groups, float *out)
{
	hf acc[MAX_SUMS];

	clear_columns(acc, cols * groups);
	for (size_t b = 0; b < n_blocks; b++, columns_next(&t)) {
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++) {
			const uint8_t *scales = p.scales + g * p.stride + b / 8 * 288;
			hf d = hf_load_f16(scales + 256 + 2 * p.row);
			hf low = hf_load_i8(scales + b % 8 * 32 + p.row);
			hf high = hf_load_i8(scales + b % 8 * 32 + 16 + p.row);
			hi w[8];

			load_six(p.codes + g * p.stride + b * 384 + 4 * p.row, w);
			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				hi x = dot_half(word_i32(&t, WORD_32_LOW, c), w, t.q + 32 * c);
				hi y = dot_half(word_i32(&t, WORD_32_HIGH, c), w + 4,
						t.q + 32 * c + 16);
				/* below 2^24, so exact: 16 * 32 * 127 * 128 twice */
				hf sum = hf_fma(hf_from_int(y), high, hf_mul(hf_from_int(x), low));

				sum = hf_mul(sum, hf_set1(word_f32(&t, WORD_SCALE, c)));
				acc[g * cols + c] = hf_fma(sum, d, acc[g * cols + c]);
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

enum quant_kind { QUANT_Q8_0, QUANT_Q4_0, QUANT_Q4_K, QUANT_Q6_K };

/* kind, cols, groups: constants */
INLINE void cols_quant(enum quant_kind kind, const uint8_t *group, size_t stride, unsigned row,
		       size_t n_blocks, struct columns t, unsigned cols, unsigned groups,
		       float *out)
{
	size_t plane = n_blocks * (kind == QUANT_Q8_0 ? 512 : kind == QUANT_Q6_K ? 384 : 256);
	struct planes p = { group, group + plane, stride, row };

	switch (kind) {
	case QUANT_Q8_0:
		cols_q8_0(p, n_blocks, t, cols, groups, out);
		break;
	case QUANT_Q4_0:
		cols_q4_0(p, n_blocks, t, cols, groups, out);
		break;
	case QUANT_Q4_K:
		cols_q4_k(p, n_blocks, t, cols, groups, out);
		break;
	case QUANT_Q6_K:
		cols_q6_k(p, n_blocks, t, cols, groups, out);
		break;
	}
}

/* Statement CASE(n) with the largest constant n <= left that has a kernel. */
#if MAX_COLS == 16
#define COLS_SWITCH(left)                                                                          \
	switch ((left) >= 16 ? 16 : (left) >= 8 ? 8 : (left)) {                                    \
		CASE(16) CASE(8) CASE(7) CASE(6) CASE(5) CASE(4) CASE(3) CASE(2) CASE(1)           \
	}
#else
#define COLS_SWITCH(left)                                                                          \
	switch ((left) >= 4 ? 4 : (left)) {                                                        \
		CASE(4) CASE(3) CASE(2) CASE(1)                                                    \
	}
#endif

/* Groups at once for n columns. With one column the kernel waits for memory: several groups are
 * several streams, which processors fetch ahead better than one. */
#if MAX_COLS == 16
#define QUANT_GROUPS(n) ((n) <= 4 ? 4 : 1)
#else
#define QUANT_GROUPS(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#endif

INLINE void tile_quant(enum quant_kind kind, const uint8_t *group, size_t n_groups, size_t stride,
		       size_t n_blocks, const uint8_t *tile, unsigned nc, float *out)
{
	for (unsigned row = 0; row < 16; row += LANES)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			struct columns t = columns_at(tile, nc, first);
			float *o = out + 16 * first + row;
			size_t g = 0;

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		for (; g + QUANT_GROUPS(n) <= n_groups; g += QUANT_GROUPS(n))                      \
			cols_quant(kind, group + g * stride, stride, row, n_blocks, t, n,          \
				   QUANT_GROUPS(n), o + g * nc * 16);                              \
		for (; g < n_groups; g++)                                                          \
			cols_quant(kind, group + g * stride, stride, row, n_blocks, t, n, 1,       \
				   o + g * nc * 16);                                               \
		step = n;                                                                          \
		break;
			COLS_SWITCH(nc - first)
#undef CASE
		}
}

static void quant_q8_0(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,
		       const uint8_t *tile, unsigned nc, float *out)
{
	tile_quant(QUANT_Q8_0, group, n_groups, stride, n_blocks, tile, nc, out);
}

static void quant_q4_0(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,
		       const uint8_t *tile, unsigned nc, float *out)
{
	tile_quant(QUANT_Q4_0, group, n_groups, stride, n_blocks, tile, nc, out);
}

static void quant_q4_k(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,
		       const uint8_t *tile, unsigned nc, float *out)
{
	tile_quant(QUANT_Q4_K, group, n_groups, stride, n_blocks, tile, nc, out);
}

static void quant_q6_k(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,
		       const uint8_t *tile, unsigned nc, float *out)
{
	tile_quant(QUANT_Q6_K, group, n_groups, stride, n_blocks, tile, nc, out);
}
