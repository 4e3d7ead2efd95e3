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

INLINE void store_columns(const hf *acc, unsigned cols, float *out)
{
	UNROLL(16)
	for (unsigned c = 0; c < cols; c++)
		hf_store(out + 16 * c, acc[c]);
}

#define CLEAR(acc) UNROLL(16) for (unsigned c = 0; c < cols; c++)(acc)[c] = hf_zero()

INLINE void cols_q8_0(const uint8_t *codes, const uint8_t *scales, size_t n_blocks,
		      struct columns t, unsigned cols, float *out)
{
	hf acc[MAX_COLS];

	CLEAR(acc);
	for (size_t b = 0; b < n_blocks; b++, codes += 512, scales += 32, columns_next(&t)) {
		hf d = hf_load_f16(scales);
		hi w[8];

		UNROLL(8)
		for (int s = 0; s < 8; s++)
			w[s] = hi_load(codes + 64 * s);
		UNROLL(16)
		for (unsigned c = 0; c < cols; c++) {
			hi dot = dot_byte(word_i32(&t, WORD_128, c), w, t.q + 32 * c);
			hf x = hf_mul(hf_from_int(dot), hf_set1(word_f32(&t, WORD_SCALE, c)));

			acc[c] = hf_fma(x, d, acc[c]);
		}
	}
	store_columns(acc, cols, out);
}

INLINE void cols_q4_0(const uint8_t *codes, const uint8_t *scales, size_t n_blocks,
		      struct columns t, unsigned cols, float *out)
{
	hf acc[MAX_COLS];

	CLEAR(acc);
	for (size_t b = 0; b < n_blocks; b++, codes += 256, scales += 32, columns_next(&t)) {
		hf d = hf_load_f16(scales);
		hi w[8];

		load_nibbles(codes, w);
		UNROLL(16)
		for (unsigned c = 0; c < cols; c++) {
			hi dot = dot_low(word_i32(&t, WORD_8, c), w, t.q + 32 * c);
			hf x = hf_mul(hf_from_int(dot), hf_set1(word_f32(&t, WORD_SCALE, c)));

			acc[c] = hf_fma(x, d, acc[c]);
		}
	}
	store_columns(acc, cols, out);
}

/* first: the half's first row */
INLINE void cols_q4_k(const uint8_t *codes, const uint8_t *scales, unsigned first, size_t n_blocks,
		      struct columns t, unsigned cols, float *out)
{
	hf acc[MAX_COLS];

	CLEAR(acc);
	for (size_t b = 0; b < n_blocks; b++, scales += 256) {
		uint8_t split[2][128];
		hf d = hf_load_f16(scales + 2 * first), dmin = hf_load_f16(scales + 32 + 2 * first);

		split_scales(scales + 64, split[0], split[1]);
		for (unsigned j = 0; j < 8; j++, codes += 256, columns_next(&t)) {
			hf ds = hf_mul(d, hf_load_u8(split[0] + 16 * j + first));
			hf dm = hf_mul(dmin, hf_load_u8(split[1] + 16 * j + first));
			hi w[8];

			load_nibbles(codes, w);
			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				hi dot = dot_low(0, w, t.q + 32 * c);
				hf x = hf_mul(hf_from_int(dot),
					      hf_set1(word_f32(&t, WORD_SCALE, c)));

				acc[c] = hf_fma(x, ds, acc[c]);
				acc[c] = hf_fnma(hf_set1(word_f32(&t, WORD_SUM, c)), dm, acc[c]);
			}
		}
	}
	store_columns(acc, cols, out);
}

INLINE void cols_q6_k(const uint8_t *codes, const uint8_t *scales, unsigned first, size_t n_blocks,
		      struct columns t, unsigned cols, float *out)
{
	hf acc[MAX_COLS];

	CLEAR(acc);
	for (size_t b = 0; b < n_blocks; b++, scales += 288) {
		hf d = hf_load_f16(scales + 256 + 2 * first);

		for (unsigned j = 0; j < 8; j++, codes += 384, columns_next(&t)) {
			hf low = hf_load_i8(scales + 32 * j + first);
			hf high = hf_load_i8(scales + 32 * j + 16 + first);
			hi w[8];

			load_nibbles(codes, w);
			UNROLL(2)
			for (int h = 0; h < 2; h++) {
				hi bits = hi_load(codes + 256 + 64 * h);

				UNROLL(4)
				for (int s = 0; s < 4; s++)
					w[4 * h + s] = hi_with_bits(w[4 * h + s], bits, s);
			}
			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				hi x = dot_half(word_i32(&t, WORD_32_LOW, c), w, t.q + 32 * c);
				hi y = dot_half(word_i32(&t, WORD_32_HIGH, c), w + 4,
						t.q + 32 * c + 16);
				/* below 2^24, so exact: 16 * 32 * 127 * 128 twice */
				hf sum = hf_fma(hf_from_int(y), high, hf_mul(hf_from_int(x), low));

				sum = hf_mul(sum, hf_set1(word_f32(&t, WORD_SCALE, c)));
				acc[c] = hf_fma(sum, d, acc[c]);
			}
		}
	}
	store_columns(acc, cols, out);
}

enum quant_kind { QUANT_Q8_0, QUANT_Q4_0, QUANT_Q4_K, QUANT_Q6_K };

/* kind, cols: constants. row: the half's first row */
INLINE void cols_quant(enum quant_kind kind, const uint8_t *group, unsigned row, size_t n_blocks,
		       struct columns t, unsigned cols, float *out)
{
	const uint8_t *codes = group + 4 * row;

	switch (kind) {
	case QUANT_Q8_0:
		cols_q8_0(codes, group + n_blocks * 512 + 2 * row, n_blocks, t, cols, out);
		break;
	case QUANT_Q4_0:
		cols_q4_0(codes, group + n_blocks * 256 + 2 * row, n_blocks, t, cols, out);
		break;
	case QUANT_Q4_K:
		cols_q4_k(codes, group + n_blocks * 256, row, n_blocks / 8, t, cols, out);
		break;
	case QUANT_Q6_K:
		cols_q6_k(codes, group + n_blocks * 384, row, n_blocks / 8, t, cols, out);
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

INLINE void tile_quant(enum quant_kind kind, const uint8_t *group, size_t n_blocks,
		       const uint8_t *tile, unsigned nc, float *out)
{
	for (unsigned row = 0; row < 16; row += LANES)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			struct columns t = columns_at(tile, nc, first);
			float *o = out + 16 * first + row;

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		cols_quant(kind, group, row, n_blocks, t, n, o);                                   \
		step = n;                                                                          \
		break;
			COLS_SWITCH(nc - first)
#undef CASE
		}
}

static void quant_q8_0(const uint8_t *group, size_t n_blocks, const uint8_t *tile, unsigned nc,
		       float *out)
{
	tile_quant(QUANT_Q8_0, group, n_blocks, tile, nc, out);
}

static void quant_q4_0(const uint8_t *group, size_t n_blocks, const uint8_t *tile, unsigned nc,
		       float *out)
{
	tile_quant(QUANT_Q4_0, group, n_blocks, tile, nc, out);
}

static void quant_q4_k(const uint8_t *group, size_t n_blocks, const uint8_t *tile, unsigned nc,
		       float *out)
{
	tile_quant(QUANT_Q4_K, group, n_blocks, tile, nc, out);
}

static void quant_q6_k(const uint8_t *group, size_t n_blocks, const uint8_t *tile, unsigned nc,
		       float *out)
{
	tile_quant(QUANT_Q6_K, group, n_blocks, tile, nc, out);
}
