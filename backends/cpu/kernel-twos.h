/* SPDX-License-Identifier: MIT */
/*
 * kernel-twos.h - the same as kernel-quant.h for types whose codes have two bits: Q2_K, TQ2_0.
 *
 * Included by kernel-quant.h. Few bits are many operations a byte, so these are saved: codes stay
 * at their place in the byte where dot products can take that, and only sums are shifted; the sums
 * of two sub-blocks of 16 are scaled as a pair of int16; and the float sum of a super-block meets
 * its d once. All integers are exact, so a result depends neither on the level nor on columns.
 */

/* How far left of bit 0 the codes of block p of four are kept. */
INLINE int twos_up(int p)
{
	return ANY_CODES ? 2 * p : 0;
}

/* The 8 slices of block p; codes: of 128 weights, at the first row. */
INLINE void twos_load(int p, const uint8_t *codes, hi *w)
{
	UNROLL(8)
	for (int s = 0; s < 8; s++) {
		hi x = hi_load(codes + 64 * s);

		w[s] = ANY_CODES ? hi_pick(x, 3 << (2 * p)) : hi_two(x, p);
	}
}

INLINE hi twos_shift(hi x, int left)
{
	return left < 0 ? hi_right(x, -left) : left > 0 ? hi_left(x, left) : x;
}

/* Block p times column c, scaled by the pairs of its two halves: exact, below 2^24 */
INLINE hi twos_dot(enum quant_kind kind, int p, const hi *w, hi scales, const struct columns *t,
		   unsigned c)
{
	const uint8_t *a = t->q + 32 * c;
	int up = twos_up(p);
	hi low = hi_set1(0), high = hi_set1(0);

	if (kind == QUANT_TQ2_0) { /* -1 */
		low = twos_shift(word_i32(t, WORD_8, c), up - 3);
		return twos_shift(dot_codes(low, w, a, 8, 3), -up);
	}
	low = dot_codes(low, w, a, 4, 3);
	high = dot_codes(high, w + 4, a + 16, 4, 3);
	return dot_pairs(hi_set1(0), hi_pair(twos_shift(low, -up), hi_left(high, 16 - up)), scales);
}

/* As cols_quant() */
INLINE void cols_twos(enum quant_kind kind, const uint8_t *group, size_t stride, unsigned row,
		      size_t n_blocks, struct columns t, unsigned cols, unsigned groups, float *out)
{
	const uint8_t *plane = group + n_blocks * kind_codes(kind);
	size_t ahead = distance(kind, cols, stride * groups);
	size_t at_d = kind == QUANT_Q2_K ? 256 : 0;
	hf acc[MAX_SUMS];

	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		acc[i] = hf_zero();
	for (size_t b = 0; b < n_blocks; b += 8, plane += kind_scales(kind)) {
		hf sum[MAX_SUMS], min[MAX_SUMS];

		UNROLL(16)
		for (unsigned i = 0; i < cols * groups; i++)
			sum[i] = min[i] = hf_zero();
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++)
			fetch(plane + g * stride + ahead, kind_scales(kind));
		for (unsigned h = 0; h < 2; h++) {
			UNROLL(4)
			for (int p = 0; p < 4; p++, columns_next(&t)) {
				UNROLL(4)
				for (unsigned g = 0; g < groups; g++) {
					const uint8_t *codes =
						group + g * stride + (b + 4 * h) * kind_codes(kind);
					size_t at = 32 * (4 * h + (unsigned)p) + 2 * row;
					hi w[8], bytes, scales = hi_set1(0), mins = hi_set1(0);

					fetch(codes + (size_t)p * kind_codes(kind) + ahead,
					      kind_codes(kind));
					twos_load(p, codes + 4 * row, w);
					if (kind == QUANT_Q2_K) {
						bytes = hi_load_pairs_u8(plane + g * stride + at);
						scales = hi_pairs_u4(bytes, 0);
						mins = hi_pairs_u4(bytes, 4);
					}
					UNROLL(16)
					for (unsigned c = 0; c < cols; c++) {
						hf scale = word_f32(&t, WORD_SCALE, c);
						unsigned i = g * cols + c;
						hi x = twos_dot(kind, p, w, scales, &t, c);

						sum[i] = hf_fma(hf_from_int(x), scale, sum[i]);
						if (kind != QUANT_Q2_K)
							continue;
						x = dot_pairs(hi_set1(0), mins,
							      word_i32(&t, WORD_HALVES, c));
						min[i] = hf_fma(hf_from_int(x), scale, min[i]);
					}
				}
			}
		}
		UNROLL(4)
		for (unsigned g = 0; g < groups; g++) {
			const uint8_t *d = plane + g * stride + at_d + 2 * row;

			UNROLL(16)
			for (unsigned c = 0; c < cols; c++) {
				unsigned i = g * cols + c;

				acc[i] = hf_fma(sum[i], hf_load_f16(d), acc[i]);
				if (kind == QUANT_Q2_K)
					acc[i] = hf_fnma(min[i], hf_load_f16(d + 32), acc[i]);
			}
		}
	}
	store_columns(acc, cols, groups, t.nc, out);
}

/* At most 8 columns at once: each has up to three sums. */
#define TWOS_GROUPS(n) ((n) <= 2 ? 2 : 1)

INLINE void tile_twos(enum quant_kind kind, const uint8_t *group, size_t n_groups, size_t stride,
		      size_t n_blocks, const uint8_t *tile, unsigned nc, float *out)
{
	for (unsigned row = 0; row < 16; row += LANES)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			struct columns t = columns_at(tile, nc, first);
			float *o = out + 16 * first + row;
			size_t g = 0;

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		for (; g + TWOS_GROUPS(n) <= n_groups; g += TWOS_GROUPS(n))                        \
			cols_twos(kind, group + g * stride, stride, row, n_blocks, t, n,           \
				  TWOS_GROUPS(n), o + g * nc * 16);                                \
		for (; g < n_groups; g++)                                                          \
			cols_twos(kind, group + g * stride, stride, row, n_blocks, t, n, 1,        \
				  o + g * nc * 16);                                                \
		step = n;                                                                          \
		break;
			COLS_SWITCH_8(nc - first)
#undef CASE
		}
}

#define TWOS(NAME, KIND)                                                                           \
	static void NAME(const uint8_t *group, size_t n_groups, size_t stride, size_t n_blocks,    \
			 const uint8_t *tile, unsigned nc, float *out)                             \
	{                                                                                          \
		tile_twos(KIND, group, n_groups, stride, n_blocks, tile, nc, out);                 \
	}
