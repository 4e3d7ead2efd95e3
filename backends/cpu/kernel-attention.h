/* SPDX-License-Identifier: MIT */
/*
 * kernel-attention.h - the products of attention and its softmax, for one ISA.
 *
 * Included by level-*.c after kernel-rows.h. Like kernel-float.h, but what is multiplied lies as
 * [k / 16][nc][16], which is what a softmax over lanes of keys writes without a transposition. One
 * fused multiply-add per lane, column and k, k ascending; a sum of one call is added to `out` at
 * its end, so long contexts lose less. Neither the number of columns nor of groups changes a bit.
 */

enum mix_kind { MIX_F32, MIX_F16, MIX_BF16, MIX_I8 };

INLINE hf load_lanes(enum mix_kind kind, const uint8_t *p)
{
	return kind == MIX_F32   ? hf_load((const float *)p)
	       : kind == MIX_F16 ? hf_load_f16(p)
	       : kind == MIX_I8  ? hf_load_i8(p)
				 : hf_load_bf16(p);
}

INLINE size_t lane_bytes(enum mix_kind kind)
{
	return kind == MIX_F32 ? 4 : kind == MIX_I8 ? 1 : 2;
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

static void mix_i8(const uint8_t *group, size_t n_groups, size_t pair_stride, size_t k,
		   size_t k_stride, ptrdiff_t ahead, const float *a, unsigned nc, bool add,
		   float *out)
{
	mix_tile(MIX_I8, group, n_groups, pair_stride, k, k_stride, ahead, a, nc, add, out);
}

static void mix_weigh(const float *p, const uint8_t *scales, size_t n_groups, unsigned nc,
		      float *ret)
{
	for (size_t g = 0; g < n_groups; g++)
		for (unsigned i = 0; i < 16; i += LANES) {
			hf d = hf_load_f16(scales + 2 * (16 * g + i));

			for (unsigned c = 0; c < nc; c++) {
				size_t at = (g * nc + c) * 16 + i;

				hf_store(ret + at, hf_mul(hf_load(p + at), d));
			}
		}
}

static void mix_softmax(const struct weir_cpu_softmax *s, float *p, float *m, float *l, float *o,
			size_t n_o)
{
	v16 none = v_set1(-INFINITY);
	unsigned nc = s->nc;

	for (unsigned c = 0; c < nc; c++) {
		v16 top = none, sum = v_set1(0.0f), shift;
		int32_t last = s->last[c] < s->end ? s->last[c] : s->end - 1;
		float high;

		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = p + ((size_t)g * nc + c) * 16;
			int32_t key = s->key0 + (int32_t)g * 16;
			v16 x = v_load(score);

			if (s->softcap > 0)
				x = v_mul(v_tanh(v_div(x, v_set1(s->softcap))), v_set1(s->softcap));
			if (key < s->first[c] || key + 15 > last)
				x = v_if_between(key, s->first[c], last, x, none);
			v_store(score, x);
			top = v_max(top, x);
		}
		high = v_top(top);
		high = high > m[c] ? high : m[c];
		if (high == -INFINITY) { /* nothing visible yet */
			for (unsigned g = 0; g < s->n_groups; g++)
				v_store(p + ((size_t)g * nc + c) * 16, v_set1(0.0f));
			continue;
		}
		shift = v_set1(high);
		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = p + ((size_t)g * nc + c) * 16;
			v16 e = v_exp(v_sub(v_load(score), shift));

			sum = v_add(sum, e);
			v_store(score, e);
		}
		if (high != m[c]) {
			v16 f = v_exp(v_set1(m[c] - high));
			float pair[16];

			v_store(pair, f);
			l[c] *= pair[0];
			m[c] = high;
			for (size_t i = 0; i < n_o; i++) {
				float *x = o + (i * nc + c) * 16;

				v_store(x, v_mul(v_load(x), f));
			}
		}
		l[c] += v_sum(sum);
	}
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
	.mix_f32 = mix_f32, .mix_f16 = mix_f16, .mix_i8 = mix_i8, .mix_weigh = mix_weigh,          \
	.mix_softmax = mix_softmax, .mix_narrow = mix_narrow
