/* SPDX-License-Identifier: MIT */
/*
 * kernel-attention.h - the products of attention and its softmax, for one ISA.
 *
 * Included by level-*.c after kernel-rows.h. Like kernel-float.h, but what is multiplied lies as
 * [k / 16][nc][16], which is what a softmax over lanes of keys writes without a transposition. One
 * fused multiply-add per lane, column and k, k ascending; a sum of one call is added to `out` at
 * its end, so long contexts lose less. Neither the number of columns nor of groups changes a bit.
 */

enum mix_kind { MIX_F32, MIX_F16, MIX_BF16 };

INLINE hf load_lanes(enum mix_kind kind, const uint8_t *p)
{
	return kind == MIX_F32   ? hf_load((const float *)p)
	       : kind == MIX_F16 ? hf_load_f16(p)
				 : hf_load_bf16(p);
}

INLINE size_t lane_bytes(enum mix_kind kind)
{
	return kind == MIX_F32 ? 4 : 2;
}

/* One k: the lanes at p, and those that lie beside them, times factor a[16 * c] of each column.
 * With one column the processor fetches what is read next by itself; multiplications of more let
 * too few loads run ahead, so each line then asks for one that is `ahead` of it. */
INLINE void mix_one(enum mix_kind kind, const uint8_t *p, size_t pair_stride, ptrdiff_t ahead,
		    const float *a, unsigned cols, unsigned groups, hf *acc)
{
	hf w[4];

	UNROLL(4)
	for (unsigned g = 0; g < groups; g++) {
		const uint8_t *at = p + g / 2 * pair_stride + g % 2 * 16 * lane_bytes(kind);

		w[g] = load_lanes(kind, at);
		if (cols > 1 && g * lane_bytes(kind) % 4 == 0)
			__builtin_prefetch(at + ahead, 0, 2);
	}
	UNROLL(16)
	for (unsigned j = 0; j < cols * groups; j++)
		acc[j] = hf_fma(w[j / cols], hf_set1(a[16 * (j % cols)]), acc[j]);
}

/* kind, cols, groups: constants, cols * groups <= 16. a: the first column used here */
INLINE void mix_cols(enum mix_kind kind, const uint8_t *p, size_t pair_stride, size_t k,
		     size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		     unsigned cols, unsigned groups, float *out)
{
	hf acc[16];

	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++)
		acc[i] = hf_zero();
	for (; k >= 16; k -= 16, a += 16 * nc)
		UNROLL(4)
	for (unsigned i = 0; i < 16; i++, p += k_stride)
		mix_one(kind, p, pair_stride, ahead, a + i, cols, groups, acc);
	for (unsigned i = 0; i < k; i++, p += k_stride)
		mix_one(kind, p, pair_stride, ahead, a + i, cols, groups, acc);
	UNROLL(16)
	for (unsigned i = 0; i < cols * groups; i++) {
		float *o = out + ((size_t)(i / cols) * nc + i % cols) * 16;

		hf_store(o, add ? hf_add(hf_load(o), acc[i]) : acc[i]);
	}
}

/* Groups at once for n columns: two are one line of F16, which one column reads in order; several
 * have the more to multiply the less they load. */
#define MIX_GROUPS(n) (MAX_COLS == 16 && (n) > 1 && (n) <= 4 ? 4 : (n) <= 8 ? 2 : 1)

INLINE void mix_tile(enum mix_kind kind, const uint8_t *group, size_t n_groups, size_t pair_stride,
		     size_t k, size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc,
		     bool add, float *out)
{
	for (unsigned half = 0; half < 16 / LANES; half++)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			const uint8_t *w = group + half * LANES * lane_bytes(kind);
			float *o = out + 16 * first + half * LANES;
			size_t g = 0;

#define RUN_GROUPS(n, m)                                                                           \
	for (; g + (m) <= n_groups; g += (m))                                                      \
	mix_cols(kind, w + g / 2 * pair_stride + g % 2 * 16 * lane_bytes(kind), pair_stride, k,    \
		 k_stride, first ? 0 : ahead, a + 16 * first, nc, add, n, m, o + g * nc * 16)
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		RUN_GROUPS(n, MIX_GROUPS(n));                                                      \
		if (MIX_GROUPS(n) > 2)                                                             \
			RUN_GROUPS(n, 2);                                                          \
		RUN_GROUPS(n, 1);                                                                  \
		step = n;                                                                          \
		break;
			COLS_SWITCH(nc - first)
#undef CASE
#undef RUN_GROUPS
		}
}

static void mix_f32(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		    size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		    float *out)
{
	mix_tile(MIX_F32, group, n_groups, pair_stride, k, k_stride, ahead, a, nc, add, out);
}

static void mix_f16(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		    size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		    float *out)
{
	mix_tile(MIX_F16, group, n_groups, pair_stride, k, k_stride, ahead, a, nc, add, out);
}

static void mix_bf16(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		     size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		     float *out)
{
	mix_tile(MIX_BF16, group, n_groups, pair_stride, k, k_stride, ahead, a, nc, add, out);
}

/* Where up to four heads share what is read, the processor itself fetches what comes next. */
#define ASKS(cols) ((cols) > 4)

/* Keys row .. row + LANES - 1 of a group by columns of t, as cols_quant(). cols: a constant */
INLINE void keys_cols(const uint8_t *group, unsigned row, size_t n_blocks, ptrdiff_t ahead,
		      struct columns t, unsigned cols, float *out)
{
	const uint8_t *codes = group + 32 * n_blocks;
	hf acc[16];

	UNROLL(16)
	for (unsigned c = 0; c < cols; c++)
		acc[c] = hf_zero();
	for (size_t b = 0; b < n_blocks; b++, codes += 512, columns_next(&t)) {
		struct factors f = factors_of(QUANT_Q8_0, group + 32 * b, row, NULL, 0);
		hi w[8];

		load_codes(QUANT_Q8_0, codes + 4 * row, NULL, w);
		UNROLL(16)
		for (unsigned c = 0; c < cols; c++) {
			if (ASKS(cols)) /* evenly between the products */
				for (unsigned i = 8 * c / cols; i < 8 * (c + 1) / cols; i++)
					__builtin_prefetch(codes + ahead + 64 * i, 0, 2);
			acc[c] = fold(QUANT_Q8_0, w, &f, &t, c, acc[c]);
		}
	}
	store_columns(acc, cols, 1, t.nc, out);
}

static void mix_keys(const uint8_t *group, size_t n_groups, size_t n_blocks, ptrdiff_t ahead,
		     const uint8_t *tile, unsigned nc, float *out)
{
	for (unsigned row = 0; row < 16; row += LANES)
		for (unsigned first = 0, step = 0; first < nc; first += step) {
			struct columns t = columns_at(tile, nc, first);

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		for (size_t g = 0; g < n_groups; g++)                                              \
			keys_cols(group + g * n_blocks * 544, row, n_blocks,                       \
				  row || first ? 0 : ahead, t, n,                                  \
				  out + (g * nc + first) * 16 + row);                              \
		step = n;                                                                          \
		break;
			COLS_SWITCH(nc - first)
#undef CASE
		}
}

/* The scales of n tokens as shares of the largest, which d / 2^15 are; returns what a sum over
 * them is to be multiplied by, with weights that are shares of 32767. */
INLINE float scale_codes(const uint8_t *scales, size_t n, int16_t *d)
{
	v16 x[WEIR_CPU_KEYS / 16], zero = v_set1(0.0f), id = zero;
	uint32_t top = 0;
	float most;

	for (size_t i = 0; i < n; i += 32) {
		uint32_t bits;

		x[i / 16] = v_load_f16(scales + 2 * i);
		x[i / 16 + 1] = i + 16 < n ? v_load_f16(scales + 2 * i + 32) : zero;
		if (i + 32 > n)
			for (size_t j = i; j < i + 32; j += 16)
				x[j / 16] = v_if_between((int32_t)j, 0, (int32_t)n - 1, x[j / 16],
							 zero);
		bits = v_top_bits(x[i / 16], x[i / 16 + 1]);
		top = bits > top ? bits : top;
	}
	most = weir_bits_float(top);
	if (top >= 0x7f800000) { /* one that was not finite */
		memset(d, 0, WEIR_CPU_KEYS * sizeof(*d));
		return NAN;
	}
	if (most > 0)
		id = v_set1(32767.0f / most);
	for (size_t i = 0; i < n; i += 32) {
		v_store_i16(d + i, v_mul(x[i / 16], id));
		v_store_i16(d + i + 16, v_mul(x[i / 16 + 1], id));
	}
	return most * (32768.0f / (32767.0f * 32767.0f));
}

/* Two groups of LANES dims of one strip by columns of w [cols][WEIR_CPU_KEYS], and what their sums
 * are to be multiplied by. cols: a constant, at most 8 */
INLINE void values_cols(const uint8_t *codes, size_t n_pairs, ptrdiff_t ahead, const int16_t *w,
			const float *factor, float scale, unsigned cols, float *o, size_t apart)
{
	hi acc[16];

	UNROLL(16)
	for (unsigned i = 0; i < 2 * cols; i++)
		acc[i] = hi_set1(0);
	for (size_t i = 0; i < n_pairs; i++, codes += 64, w += 2) {
		hi low = hi_load_pairs_i8(codes), high = hi_load_pairs_i8(codes + 2 * LANES);

		if (ASKS(cols))
			__builtin_prefetch(codes + ahead, 0, 2);
		UNROLL(8)
		for (unsigned c = 0; c < cols; c++) {
			int32_t pair;
			hi x;

			memcpy(&pair, w + c * WEIR_CPU_KEYS, sizeof(pair));
			x = hi_set1(pair);
			acc[c] = dot_pairs(acc[c], low, x);
			acc[cols + c] = dot_pairs(acc[cols + c], high, x);
		}
	}
	UNROLL(8)
	for (unsigned c = 0; c < cols; c++) {
		hf x = hf_set1(factor[c] * scale);
		float *y = o + 16 * c;

		hf_store(y, hf_fma(hf_from_int(acc[c]), x, hf_load(y)));
		y += apart;
		hf_store(y, hf_fma(hf_from_int(acc[cols + c]), x, hf_load(y)));
	}
}

static void mix_values(const struct weir_cpu_values *v, const int16_t *p, const float *factor,
		       unsigned nc, float *o)
{
	int16_t d[WEIR_CPU_KEYS], w[WEIR_CPU_TILE * WEIR_CPU_KEYS];
	size_t n_pairs = (v->n + 1) / 2;

	for (size_t s = 0; s < v->n_strips; s++, o += (size_t)2 * nc * 16) {
		const uint8_t *codes = v->codes + s * v->strip;
		float scale = scale_codes(v->scales + s * v->strip, v->n, d);

		for (unsigned c = 0; c < nc; c++)
			for (size_t i = 0; i < v->n; i += 2 * LANES)
				hi_store(w + c * WEIR_CPU_KEYS + i,
					 hi_scale_pairs(
						 hi_load((const uint8_t *)(d + i)),
						 hi_load((const uint8_t *)(p + c * WEIR_CPU_KEYS +
									   i))));
		for (unsigned part = 0; part < 32; part += 2 * LANES)
			for (unsigned first = 0, step = 0; first < nc; first += step) {
				float *y = o + (part / 16 * nc + first) * 16 + part % 16;

#define CASE(n)                                                                                    \
	case n:                                                                                    \
		values_cols(codes + 2 * part, n_pairs, part || first ? 0 : v->ahead,               \
			    w + first * WEIR_CPU_KEYS, factor + first, scale, n, y,                \
			    LANES == 16 ? (size_t)nc * 16 : LANES);                                \
		step = n;                                                                          \
		break;
				COLS_SWITCH_8(nc - first)
#undef CASE
			}
	}
}

/* In passes over all columns, each of which waits for nothing within it. codes: what is written is
 * not p but int16 of the run's own largest, and what that is. */
INLINE void softmax_passes(const struct weir_cpu_softmax *s, bool as_codes, float *p, float *m,
			   float *l, float *o, size_t n_o, int16_t *codes, float *factor)
{
	float top[WEIR_CPU_TILE], sums[WEIR_CPU_TILE * 16];
	unsigned nc = s->nc;

	for (unsigned c = 0; c < nc; c++) {
		v16 none = v_set1(-INFINITY), x, most = none;
		int32_t last = s->last[c] < s->end ? s->last[c] : s->end - 1;

		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = p + ((size_t)g * nc + c) * 16;
			int32_t key = s->key0 + (int32_t)g * 16;
			bool all = key >= s->first[c] && key + 15 <= last;

			x = v_load(score);
			if (s->softcap > 0)
				x = v_mul(v_tanh(v_div(x, v_set1(s->softcap))), v_set1(s->softcap));
			if (!all)
				x = v_if_between(key, s->first[c], last, x, none);
			if (!all || s->softcap > 0)
				v_store(score, x);
			most = v_max(most, x);
		}
		top[c] = v_top(most);
		if (!as_codes)
			top[c] = top[c] > m[c] ? top[c] : m[c];
	}
	for (unsigned c = 0; c < nc; c++) {
		bool some = top[c] != -INFINITY; /* is visible */
		v16 shift = v_set1(top[c]), sum = v_set1(0.0f);

		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = p + ((size_t)g * nc + c) * 16;
			v16 e = some ? v_exp(v_sub(v_load(score), shift)) : v_set1(0.0f);

			sum = v_add(sum, e);
			if (as_codes) /* a NaN has one too; the sum tells */
				v_store_i16(codes + c * WEIR_CPU_KEYS + (size_t)g * 16,
					    v_min(v_mul(e, v_set1(32767.0f)), v_set1(32767.0f)));
			else
				v_store(score, e);
		}
		v_store(sums + 16 * c, sum);
	}
	for (unsigned c = 0; c < nc; c++) {
		float high = top[c] > m[c] ? top[c] : m[c], more = v_sum(v_load(sums + 16 * c));
		float f[16];

		if (as_codes) {
			v_store(f, v_exp(v_set1(top[c] - high)));
			factor[c] = top[c] == high ? 1.0f : f[0];
			more *= factor[c];
		}
		if (high != m[c]) {
			v16 x = v_exp(v_set1(m[c] - high));

			v_store(f, x);
			l[c] *= f[0];
			m[c] = high;
			for (size_t i = 0; i < n_o; i++) {
				float *y = o + (i * nc + c) * 16;

				v_store(y, v_mul(v_load(y), x));
			}
		}
		l[c] += more;
	}
}

static void mix_softmax(const struct weir_cpu_softmax *s, float *p, float *m, float *l, float *o,
			size_t n_o)
{
	softmax_passes(s, false, p, m, l, o, n_o, NULL, NULL);
}

static void mix_softmax_codes(const struct weir_cpu_softmax *s, float *p, float *m, float *l,
			      float *o, size_t n_o, int16_t *codes, float *factor)
{
	softmax_passes(s, true, p, m, l, o, n_o, codes, factor);
}

/* As GGUF's Q8_0: the codes are those of the scale as it is kept. */
static void mix_narrow(const float *x, size_t n_blocks, int8_t *codes, uint16_t *scales)
{
	for (size_t b = 0; b < n_blocks; b++, x += 32, codes += 32) {
		v16 low = v_load(x), high = v_load(x + 16), id = v_set1(0.0f);
		uint32_t top = v_top_bits(low, high);
		float d;

		if (top >= 0x7f800000) { /* not finite: the scale says so to every reader */
			scales[b] = 0x7e00;
			low = high = id;
		} else {
			scales[b] = weir_f32_to_f16(weir_bits_float(top) / 127.0f);
			d = weir_f16_to_f32(scales[b]);
			if (d > 0)
				id = v_set1(1.0f / d);
		}
		/* rounding the scale down may push the largest past 127 */
		low = v_max(v_set1(-127.0f), v_min(v_set1(127.0f), v_mul(low, id)));
		high = v_max(v_set1(-127.0f), v_min(v_set1(127.0f), v_mul(high, id)));
		v_store_i8(codes, low);
		v_store_i8(codes + 16, high);
	}
}

/* All but mix_bf16, of which there is more than one. */
#define ATTENTION_KERNELS                                                                          \
	.mix_f32 = mix_f32, .mix_f16 = mix_f16, .mix_keys = mix_keys, .mix_values = mix_values,    \
	.mix_softmax = mix_softmax, .mix_softmax_codes = mix_softmax_codes,                        \
	.mix_narrow = mix_narrow
