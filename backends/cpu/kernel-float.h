/* SPDX-License-Identifier: MIT */
/*
 * kernel-float.h - groups of 16 rows of F32, F16 or BF16 times a PACKED tile, for one ISA.
 *
 * Included by level-*.c after kernel-quant.h. Serves LINEAR, and both products of attention. One
 * fused multiply-add per row, column and k, k ascending, in runs of FLOAT_RUN whose sums are added
 * up: long rows lose less than in one sum. The result depends on neither the number of columns nor
 * of groups; several groups at once keep enough sums in flight.
 */

enum { FLOAT_RUN = 128 };

enum float_kind { FLOAT_F32, FLOAT_F16, FLOAT_BF16 };

INLINE hf load_weights(enum float_kind kind, const uint8_t *p)
{
	return kind == FLOAT_F32   ? hf_load((const float *)p)
	       : kind == FLOAT_F16 ? hf_load_f16(p)
				   : hf_load_bf16(p);
}

/* kind, cols, groups: constants, cols * groups <= 16. a: the tile's first column used here */
INLINE void cols_float(enum float_kind kind, const uint8_t *group, size_t group_stride, size_t k,
		       size_t k_stride, const float *a, unsigned nc, bool add, unsigned cols,
		       unsigned groups, float *out)
{
	for (size_t done = 0; done < k; done += FLOAT_RUN) {
		size_t n = k - done < FLOAT_RUN ? k - done : FLOAT_RUN;
		hf acc[16];

		UNROLL(16)
		for (unsigned i = 0; i < cols * groups; i++)
			acc[i] = hf_zero();
		for (size_t i = 0; i < n; i++, group += k_stride, a += nc) {
			hf w[4];

			UNROLL(4)
			for (unsigned g = 0; g < groups; g++)
				w[g] = load_weights(kind, group + g * group_stride);
			UNROLL(16)
			for (unsigned j = 0; j < cols * groups; j++)
				acc[j] = hf_fma(w[j / cols], hf_set1(a[j % cols]), acc[j]);
		}
		UNROLL(16)
		for (unsigned i = 0; i < cols * groups; i++) {
			float *o = out + ((size_t)(i / cols) * nc + i % cols) * 16;

			hf_store(o, add || done ? hf_add(hf_load(o), acc[i]) : acc[i]);
		}
	}
}

/* Groups at once for n columns: enough sums to hide the latency of an addition. */
#define GROUPS_AT_ONCE(n) (MAX_COLS == 16 ? ((n) <= 4 ? 4 : (n) <= 8 ? 2 : 1) : ((n) <= 2 ? 4 : 2))

INLINE void tile_float(enum float_kind kind, const uint8_t *group, size_t n_groups,
		       size_t group_stride, size_t k, size_t k_stride, const float *tile,
		       unsigned nc, bool add, float *out)
{
	size_t row_bytes = (kind == FLOAT_F32 ? 4 : 2) * LANES;

	for (unsigned half = 0; half < 16 / LANES; half++)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			const uint8_t *w = group + half * row_bytes;
			const float *a = tile + first;
			float *o = out + 16 * first + half * LANES;
			size_t g = 0;

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		for (; g + GROUPS_AT_ONCE(n) <= n_groups; g += GROUPS_AT_ONCE(n))                  \
			cols_float(kind, w + g * group_stride, group_stride, k, k_stride, a, nc,   \
				   add, n, GROUPS_AT_ONCE(n), o + g * nc * 16);                    \
		for (; g < n_groups; g++)                                                          \
			cols_float(kind, w + g * group_stride, group_stride, k, k_stride, a, nc,   \
				   add, n, 1, o + g * nc * 16);                                    \
		step = n;                                                                          \
		break;
			COLS_SWITCH(nc - first)
#undef CASE
		}
}

static void float_f32(const uint8_t *group, size_t n_groups, size_t group_stride, size_t k,
		      size_t k_stride, const float *tile, unsigned nc, bool add, float *out)
{
	tile_float(FLOAT_F32, group, n_groups, group_stride, k, k_stride, tile, nc, add, out);
}

static void float_f16(const uint8_t *group, size_t n_groups, size_t group_stride, size_t k,
		      size_t k_stride, const float *tile, unsigned nc, bool add, float *out)
{
	tile_float(FLOAT_F16, group, n_groups, group_stride, k, k_stride, tile, nc, add, out);
}

static void float_bf16(const uint8_t *group, size_t n_groups, size_t group_stride, size_t k,
		       size_t k_stride, const float *tile, unsigned nc, bool add, float *out)
{
	tile_float(FLOAT_BF16, group, n_groups, group_stride, k, k_stride, tile, nc, add, out);
}
