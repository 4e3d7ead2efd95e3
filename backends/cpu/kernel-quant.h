/* SPDX-License-Identifier: MIT */
/*
 * kernel-quant.h - groups of 16 quantised rows times a tile of Q8 activations, for one ISA.
 *
 * Included by level-*.c after a simd-*.h. One template for all types, which differ in two things:
 * how codes are unpacked (load_codes), and how the dot product of 32 codes is folded into a sum
 * (scales_of, fold). A block's codes are unpacked to registers once for up to MAX_COLS columns; the
 * integer dot product of a block is exact, and is then folded into one float per row and column,
 * block by block in ascending order. So a result does not depend on the number of columns, and is
 * the same on every level. Layouts: repack.h.
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
enum { WORD_SCALE, WORD_SUM, WORD_8, WORD_128, WORD_32_LOW, WORD_32_HIGH, WORD_HALVES };

INLINE hf word_f32(const struct columns *t, int word, unsigned c)
{
	float x;

	memcpy(&x, t->word + ((size_t)word * t->nc + c) * 4, sizeof(x));
	return hf_set1(x);
}

INLINE hi word_i32(const struct columns *t, int word, unsigned c)
{
	int32_t x;

	memcpy(&x, t->word + ((size_t)word * t->nc + c) * 4, sizeof(x));
	return hi_set1(x);
}

enum quant_kind {
	QUANT_Q8_0,
	QUANT_Q4_0,
	QUANT_Q4_1,
	QUANT_Q5_0,
	QUANT_Q5_1,
	QUANT_Q2_K,
	QUANT_Q3_K,
	QUANT_Q4_K,
	QUANT_Q5_K,
	QUANT_Q6_K,
	QUANT_IQ4_NL,
	QUANT_IQ4_XS,
	QUANT_MXFP4,
	QUANT_NVFP4,
	QUANT_BOOK,  /* IQ1, IQ2, IQ3: nibbles that a book of 16 values follows (iquant.h) */
	QUANT_TQ2_0, /* and TQ1_0, which is repacked to the same */
};

/* Every function of a kind below is called with constants, so that each switch folds away. */

INLINE size_t kind_codes(enum quant_kind kind) /* bytes of 16 rows of 32 weights */
{
	switch (kind) {
	case QUANT_Q8_0:
		return 512;
	case QUANT_Q6_K:
		return 384;
	case QUANT_Q5_0:
	case QUANT_Q5_1:
	case QUANT_Q5_K:
		return 320;
	case QUANT_Q3_K:
		return 192;
	case QUANT_Q2_K:
	case QUANT_TQ2_0:
		return 128;
	default:
		return 256;
	}
}

INLINE size_t kind_scales(enum quant_kind kind) /* bytes of 16 rows of one (super-)block */
{
	switch (kind) {
	case QUANT_Q4_1:
	case QUANT_Q5_1:
		return 64;
	case QUANT_Q2_K:
		return 320;
	case QUANT_Q3_K:
		return 224;
	case QUANT_Q4_K:
	case QUANT_Q5_K:
		return 256;
	case QUANT_Q6_K:
		return 288;
	case QUANT_BOOK:
		return 320;
	case QUANT_IQ4_XS:
	case QUANT_NVFP4:
		return 128;
	case QUANT_MXFP4:
		return 16;
	default:
		return 32;
	}
}

INLINE size_t kind_super(enum quant_kind kind) /* blocks of 32 in one block of the format */
{
	switch (kind) {
	case QUANT_Q2_K:
	case QUANT_Q3_K:
	case QUANT_Q4_K:
	case QUANT_Q5_K:
	case QUANT_Q6_K:
	case QUANT_IQ4_XS:
	case QUANT_BOOK:
	case QUANT_TQ2_0:
		return 8;
	case QUANT_NVFP4:
		return 2;
	default:
		return 1;
	}
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

INLINE void load_pairs(const uint8_t *codes, hi *w)
{
	UNROLL(2)
	for (int h = 0; h < 2; h++) {
		hi x = hi_load(codes + 64 * h);

		UNROLL(4)
		for (int s = 0; s < 4; s++)
			w[4 * h + s] = hi_two(x, s);
	}
}

/* The 8 slices of 4 codes of 32 weights, unsigned. book: of QUANT_BOOK, the values plus 128 */
INLINE void load_codes(enum quant_kind kind, const uint8_t *codes, const uint8_t *book, hi *w)
{
	/* The values of GGUF's IQ4_NL and of E2M1 (doubled), plus 128 */
	static const uint8_t book_nl[16] = { 1,   24,  45,  63,  79,  93,  106, 118,
					     129, 141, 153, 166, 181, 197, 217, 241 };
	static const uint8_t book_fp4[16] = { 128, 129, 130, 131, 132, 134, 136, 140,
					      128, 127, 126, 125, 124, 122, 120, 116 };
	hi high;

	switch (kind) {
	case QUANT_Q8_0:
		UNROLL(8)
		for (int s = 0; s < 8; s++)
			w[s] = hi_load(codes + 64 * s);
		return;
	case QUANT_Q3_K:
		load_pairs(codes, w);
		high = hi_load(codes + 128);
		UNROLL(8)
		for (int s = 0; s < 8; s++)
			w[s] = hi_with_bit(w[s], high, s, 2);
		return;
	default:
		load_nibbles(codes, w);
	}
	switch (kind) {
	case QUANT_Q5_0:
	case QUANT_Q5_1:
	case QUANT_Q5_K:
		high = hi_load(codes + 256);
		UNROLL(8)
		for (int s = 0; s < 8; s++)
			w[s] = hi_with_bit(w[s], high, s, 4);
		break;
	case QUANT_Q6_K:
		UNROLL(2)
		for (int h = 0; h < 2; h++) {
			high = hi_load(codes + 256 + 64 * h);
			UNROLL(4)
			for (int s = 0; s < 4; s++)
				w[4 * h + s] = hi_with_bits(w[4 * h + s], high, s);
		}
		break;
	case QUANT_IQ4_NL:
	case QUANT_IQ4_XS:
	case QUANT_MXFP4:
	case QUANT_NVFP4:
	case QUANT_BOOK:
		if (kind == QUANT_MXFP4 || kind == QUANT_NVFP4)
			book = book_fp4;
		else if (kind != QUANT_BOOK)
			book = book_nl;
		UNROLL(8)
		for (int s = 0; s < 8; s++)
			w[s] = hi_lookup(book, w[s]);
		break;
	default:
		break;
	}
}

/* What a super-block's scales are before they belong to 32 weights. */
struct super {
	hf d, dmin;
	uint8_t split[256]; /* [8][16] scales, then mins; or [16][16] scales */
};

/* 12 packed bytes [byte][16] of Q4_K and Q5_K to [8][16] scales and [8][16] mins */
INLINE void split_pairs(const uint8_t *restrict p, uint8_t *restrict scales, uint8_t *restrict mins)
{
	for (int i = 0; i < 64; i++) {
		scales[i] = p[i] & 63;
		mins[i] = p[64 + i] & 63;
		scales[64 + i] = (uint8_t)((p[128 + i] & 15) | (p[i] >> 2 & 48));
		mins[64 + i] = (uint8_t)(p[128 + i] >> 4 | (p[64 + i] >> 2 & 48));
	}
}

/* 12 packed bytes [byte][16] of Q3_K to [16][16] signed scales */
INLINE void split_signed(const uint8_t *restrict p, uint8_t *restrict scales)
{
	for (int i = 0; i < 64; i++) {
		uint8_t high = p[128 + i];

		scales[i] = (uint8_t)(((p[i] & 15) | (high << 4 & 48)) - 32);
		scales[64 + i] = (uint8_t)(((p[64 + i] & 15) | (high << 2 & 48)) - 32);
		scales[128 + i] = (uint8_t)((p[i] >> 4 | (high & 48)) - 32);
		scales[192 + i] = (uint8_t)((p[64 + i] >> 4 | (high >> 2 & 48)) - 32);
	}
}

/* 2 bytes of high bits and 4 of nibbles [byte][16] of IQ4_XS to [8][16] signed scales */
INLINE void split_xs(const uint8_t *restrict p, uint8_t *restrict scales)
{
	for (int j = 0; j < 4; j++) {
		const uint8_t *low = p + 32 + 16 * j, *high = p + j / 2 * 16;

		for (int i = 0; i < 16; i++) {
			uint8_t bits = (uint8_t)(high[i] >> (j % 2 * 4));

			scales[32 * j + i] = (uint8_t)(((low[i] & 15) | (bits << 4 & 48)) - 32);
			scales[32 * j + 16 + i] = (uint8_t)((low[i] >> 4 | (bits << 2 & 48)) - 32);
		}
	}
}

INLINE void super_of(enum quant_kind kind, const uint8_t *scales, unsigned row, struct super *s)
{
	switch (kind) {
	case QUANT_Q4_K:
	case QUANT_Q5_K:
		s->d = hf_load_f16(scales + 2 * row);
		s->dmin = hf_load_f16(scales + 32 + 2 * row);
		split_pairs(scales + 64, s->split, s->split + 128);
		break;
	case QUANT_Q3_K:
		s->d = hf_load_f16(scales + 192 + 2 * row);
		split_signed(scales, s->split);
		break;
	case QUANT_Q6_K:
		s->d = hf_load_f16(scales + 256 + 2 * row);
		break;
	case QUANT_IQ4_XS:
		s->d = hf_load_f16(scales + 2 * row);
		split_xs(scales + 32, s->split);
		break;
	case QUANT_BOOK:
		s->d = hf_load((const float *)(const void *)(scales + 256) + row);
		break;
	default:
		break;
	}
}

/* The factors of 32 weights: d alone; and a minimum; or d, and scales of two halves. */
struct factors {
	hf d, min, low, high;
};

/* scales: of the block that b (0..7, of a super-block) is in */
INLINE struct factors factors_of(enum quant_kind kind, const uint8_t *scales, unsigned row,
				 const struct super *s, unsigned b)
{
	struct factors f;

	f.d = f.min = f.low = f.high = hf_zero();
	switch (kind) {
	case QUANT_Q4_1:
	case QUANT_Q5_1:
		f.d = hf_load_f16(scales + 2 * row);
		f.min = hf_load_f16(scales + 32 + 2 * row);
		break;
	case QUANT_Q4_K:
	case QUANT_Q5_K:
		f.d = hf_mul(s->d, hf_load_u8(s->split + 16 * b + row));
		f.min = hf_mul(s->dmin, hf_load_u8(s->split + 128 + 16 * b + row));
		break;
	case QUANT_Q3_K:
		f.d = s->d;
		f.low = hf_load_i8(s->split + 32 * b + row);
		f.high = hf_load_i8(s->split + 32 * b + 16 + row);
		break;
	case QUANT_Q6_K:
	case QUANT_BOOK:
		f.d = s->d;
		f.low = hf_load_i8(scales + 32 * b + row);
		f.high = hf_load_i8(scales + 32 * b + 16 + row);
		break;
	case QUANT_IQ4_XS:
		f.d = hf_mul(s->d, hf_load_i8(s->split + 16 * b + row));
		break;
	case QUANT_MXFP4:
		f.d = hf_load_e8m0(scales + row);
		break;
	case QUANT_NVFP4:
		f.low = hf_load_f16(scales + 64 * b + 2 * row);
		f.high = hf_load_f16(scales + 64 * b + 32 + 2 * row);
		break;
	default:
		f.d = hf_load_f16(scales + 2 * row);
	}
	return f;
}

/* sum + the 32 weights w times column c */
INLINE hf fold(enum quant_kind kind, const hi *w, const struct factors *f, const struct columns *t,
	       unsigned c, hf sum)
{
	const uint8_t *a = t->q + 32 * c;
	hf scale = word_f32(t, WORD_SCALE, c), x;
	hi dot = hi_set1(0), high;

	switch (kind) {
	case QUANT_Q8_0:
	case QUANT_IQ4_NL:
	case QUANT_IQ4_XS:
	case QUANT_MXFP4:
		dot = dot_byte(word_i32(t, WORD_128, c), w, a, 8);
		break;
	case QUANT_Q4_0:
		dot = dot_codes(word_i32(t, WORD_8, c), w, a, 8, 15);
		break;
	case QUANT_Q5_0: /* -16 */
		dot = dot_codes(hi_left(word_i32(t, WORD_8, c), 1), w, a, 8, 31);
		break;
	case QUANT_Q4_1:
	case QUANT_Q4_K:
		dot = dot_codes(hi_set1(0), w, a, 8, 15);
		break;
	case QUANT_Q5_1:
	case QUANT_Q5_K:
		dot = dot_codes(hi_set1(0), w, a, 8, 31);
		break;
	case QUANT_Q3_K:
	case QUANT_Q6_K:
	case QUANT_NVFP4:
	case QUANT_BOOK:
		dot = word_i32(t, WORD_32_LOW, c);
		high = word_i32(t, WORD_32_HIGH, c);
		if (kind == QUANT_BOOK || kind == QUANT_NVFP4) {
			dot = dot_byte(hi_left(dot, 2), w, a, 4);
			high = dot_byte(hi_left(high, 2), w + 4, a + 16, 4);
		} else if (kind == QUANT_Q3_K) { /* -4 */
			dot = dot_codes(hi_right(dot, 3), w, a, 4, 7);
			high = dot_codes(hi_right(high, 3), w + 4, a + 16, 4, 7);
		} else {
			dot = dot_codes(dot, w, a, 4, 63);
			high = dot_codes(high, w + 4, a + 16, 4, 63);
		}
		/* below 2^24, so exact: 16 * 32 * 127 * 128 twice; of NVFP4 not always */
		x = hf_fma(hf_from_int(high), f->high, hf_mul(hf_from_int(dot), f->low));
		if (kind == QUANT_NVFP4)
			return hf_fma(x, scale, sum);
		return hf_fma(hf_mul(x, scale), f->d, sum);
	default: /* kernel-twos.h */
		break;
	}
	sum = hf_fma(hf_mul(hf_from_int(dot), scale), f->d, sum);
	if (kind == QUANT_Q4_K || kind == QUANT_Q5_K)
		return hf_fnma(word_f32(t, WORD_SUM, c), f->min, sum);
	if (kind == QUANT_Q4_1 || kind == QUANT_Q5_1)
		return hf_fma(word_f32(t, WORD_SUM, c), f->min, sum);
	return sum;
}

/* Accumulators of `groups` groups by `cols` columns, out as [group][nc][16]. */
INLINE void store_columns(const hf *acc, unsigned cols, unsigned groups, size_t nc, float *out)
{
	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		hf_store(out + (i / cols * nc + i % cols) * 16, acc[i]);
}

/* How far ahead memory is asked for: what the next pass over `bytes` of groups reads, if that fits
 * into a second cache. Units that wait for data fill up with what depends on it, so that loads
 * alone do not run far enough ahead. Only Q8_0 has so few operations a byte that they nearly do. */
INLINE size_t distance(enum quant_kind kind, unsigned cols, size_t bytes)
{
	if (kind == QUANT_Q8_0 && cols == 1)
		return 1024;
	return bytes <= 256 * 1024 ? bytes : 4096;
}

/* It may be past the matrix: nothing is read. */
INLINE void fetch(const uint8_t *p, size_t bytes)
{
	UNROLL(8)
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch(p + i, 0, 2);
}

/* Rows row .. row + LANES - 1 of some groups, `stride` bytes apart, times columns of t. kind, cols,
 * groups: constants */
INLINE void cols_quant(enum quant_kind kind, const uint8_t *group, size_t stride, unsigned row,
		       size_t n_blocks, struct columns t, unsigned cols, unsigned groups,
		       float *out)
{
	const uint8_t *plane = group + n_blocks * kind_codes(kind);
	const uint8_t *book = plane + n_blocks / kind_super(kind) * kind_scales(kind);
	size_t per = kind_super(kind), ahead = distance(kind, cols, stride * groups);
	hf acc[MAX_SUMS];

	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		acc[i] = hf_zero();
	for (size_t b = 0; b < n_blocks; b += per, plane += kind_scales(kind)) {
		struct super super[4];

		UNROLL(4)
		for (unsigned g = 0; g < groups; g++)
			super_of(kind, plane + g * stride, row, &super[g]);
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++)
			fetch(plane + g * stride + ahead, kind_scales(kind));
		for (unsigned j = 0; j < per; j++, columns_next(&t)) {
			UNROLL(4)
			for (unsigned g = 0; g < groups; g++) {
				struct factors f =
					factors_of(kind, plane + g * stride, row, &super[g], j);
				hi w[8];

				/* always true; but without a branch between groups compilers mix
				 * them up until registers run out (0.7 to 0.9 x at 2, 3 columns) */
				if (ahead)
					fetch(group + g * stride + (b + j) * kind_codes(kind) +
						      ahead,
					      kind_codes(kind));
				load_codes(kind,
					   group + g * stride + (b + j) * kind_codes(kind) +
						   4 * row,
					   book, w);
				UNROLL(16)
				for (unsigned c = 0; c < cols; c++)
					acc[g * cols + c] =
						fold(kind, w, &f, &t, c, acc[g * cols + c]);
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

/* Statement CASE(n) with the largest constant n <= left that has a kernel. Under sanitizers, where
 * only results count, few: the compiler takes long for each. */
#ifdef WEIR_CPU_FEW_KERNELS
#define COLS_SWITCH(left)                                                                          \
	switch ((left) >= 4 ? 4 : (left) >= 2 ? 2 : 1) {                                           \
		CASE(4) CASE(2) CASE(1)                                                            \
	}
#elif MAX_COLS == 16
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

#if MAX_COLS == 16 && !defined(WEIR_CPU_FEW_KERNELS)
#define COLS_SWITCH_8(left)                                                                        \
	switch ((left) >= 8 ? 8 : (left)) {                                                        \
		CASE(8) CASE(7) CASE(6) CASE(5) CASE(4) CASE(3) CASE(2) CASE(1)                    \
	}
#else
#define COLS_SWITCH_8(left) COLS_SWITCH(left)
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

#include "kernel-twos.h"

#define QUANT(NAME, KIND)                                                                          \
	static void NAME(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,    \
			 const uint8_t *tile, unsigned nc, float *out)                             \
	{                                                                                          \
		tile_quant(KIND, group, n_groups, stride, n_blocks, tile, nc, out);                \
	}

QUANT(quant_q8_0, QUANT_Q8_0)
QUANT(quant_q4_0, QUANT_Q4_0)
QUANT(quant_q4_1, QUANT_Q4_1)
QUANT(quant_q5_0, QUANT_Q5_0)
QUANT(quant_q5_1, QUANT_Q5_1)
TWOS(quant_q2_k, QUANT_Q2_K)
QUANT(quant_q3_k, QUANT_Q3_K)
QUANT(quant_q4_k, QUANT_Q4_K)
QUANT(quant_q5_k, QUANT_Q5_K)
QUANT(quant_q6_k, QUANT_Q6_K)
QUANT(quant_iq4_nl, QUANT_IQ4_NL)
QUANT(quant_iq4_xs, QUANT_IQ4_XS)
QUANT(quant_mxfp4, QUANT_MXFP4)
QUANT(quant_nvfp4, QUANT_NVFP4)
QUANT(quant_book, QUANT_BOOK)
TWOS(quant_tq2_0, QUANT_TQ2_0)

/* For struct weir_cpu_kernels */
#define QUANT_KERNELS                                                                              \
	{                                                                                          \
		[WEIR_DTYPE_Q8_0] = quant_q8_0, [WEIR_DTYPE_Q4_0] = quant_q4_0,                    \
		[WEIR_DTYPE_Q4_1] = quant_q4_1, [WEIR_DTYPE_Q5_0] = quant_q5_0,                    \
		[WEIR_DTYPE_Q5_1] = quant_q5_1, [WEIR_DTYPE_Q2_K] = quant_q2_k,                    \
		[WEIR_DTYPE_Q3_K] = quant_q3_k, [WEIR_DTYPE_Q4_K] = quant_q4_k,                    \
		[WEIR_DTYPE_Q5_K] = quant_q5_k, [WEIR_DTYPE_Q6_K] = quant_q6_k,                    \
		[WEIR_DTYPE_IQ4_NL] = quant_iq4_nl, [WEIR_DTYPE_IQ4_XS] = quant_iq4_xs,            \
		[WEIR_DTYPE_MXFP4] = quant_mxfp4, [WEIR_DTYPE_TQ1_0] = quant_tq2_0,                \
		[WEIR_DTYPE_TQ2_0] = quant_tq2_0, [WEIR_DTYPE_IQ1_S] = quant_book,                 \
		[WEIR_DTYPE_IQ1_M] = quant_book, [WEIR_DTYPE_IQ2_XXS] = quant_book,                \
		[WEIR_DTYPE_IQ2_XS] = quant_book, [WEIR_DTYPE_IQ2_S] = quant_book,                 \
		[WEIR_DTYPE_IQ3_XXS] = quant_book, [WEIR_DTYPE_IQ3_S] = quant_book,                \
		[WEIR_DTYPE_NVFP4] = quant_nvfp4,                                                  \
	}
