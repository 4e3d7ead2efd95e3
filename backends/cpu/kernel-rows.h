/* SPDX-License-Identifier: MIT */
/*
 * kernel-rows.h - the element-wise and reducing kernels, for one ISA.
 *
 * Included by level-*.c after a simd-*.h. All work on v16: 16 lanes in the same order on every
 * level, so that results agree to the bit. Contracts: struct weir_cpu_kernels.
 */

/* e^x to about 1 ulp; 0 below -87, no more than e^88 above; a NaN stays one. Cody-Waite reduction,
 * then the degree-5 minimax polynomial of Cephes' expf. */
INLINE v16 v_exp(v16 x)
{
	v16 t = v_max(v_set1(-87.0f), v_min(v_set1(88.0f), x));
	v16 n = v_round(v_mul(t, v_set1(1.44269504088896341f)));
	v16 r = v_fma(n, v_set1(-0.693359375f), t), p;

	r = v_fma(n, v_set1(2.12194440e-4f), r);
	p = v_fma(v_set1(1.9875691500e-4f), r, v_set1(1.3981999507e-3f));
	p = v_fma(p, r, v_set1(8.3334519073e-3f));
	p = v_fma(p, r, v_set1(4.1665795894e-2f));
	p = v_fma(p, r, v_set1(1.6666665459e-1f));
	p = v_fma(p, r, v_set1(5.0000001201e-1f));
	p = v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f));
	p = v_mul(p, v_power2(n));
	return v_if_less(x, v_set1(-87.0f), v_set1(0.0f), p);
}

INLINE v16 v_neg(v16 x)
{
	return v_sub(v_set1(0.0f), x);
}

/* x / (1 + e^-kx) */
INLINE v16 v_swish(v16 x, v16 kx)
{
	return v_div(x, v_add(v_set1(1.0f), v_exp(v_neg(kx))));
}

/* 1 - 2 / (e^2x + 1), by the series where that would cancel */
INLINE v16 v_tanh(v16 x)
{
	v16 one = v_set1(1.0f), xx = v_mul(x, x), s;
	v16 t = v_sub(one, v_div(v_set1(2.0f), v_add(one, v_exp(v_add(x, x)))));

	s = v_fma(xx, v_set1(-17.0f / 315.0f), v_set1(2.0f / 15.0f));
	s = v_fma(s, xx, v_set1(-1.0f / 3.0f));
	s = v_fma(v_mul(s, xx), x, x);
	return v_if_less(v_abs(x), v_set1(0.15f), s, t);
}

/* x Phi(x), Phi the normal distribution: its upper tail q is erfc(z) / 2, z = |x| / sqrt(2), by
 * Abramowitz & Stegun 7.1.26, within 8e-8 everywhere and relatively exact for negative x. */
INLINE v16 v_gelu(v16 x)
{
	v16 one = v_set1(1.0f), size = v_abs(x), z = v_mul(size, v_set1(0.70710678118654752f));
	v16 t = v_div(one, v_fma(z, v_set1(0.3275911f), one)), q;

	q = v_fma(t, v_set1(1.061405429f), v_set1(-1.453152027f));
	q = v_fma(q, t, v_set1(1.421413741f));
	q = v_fma(q, t, v_set1(-0.284496736f));
	q = v_fma(q, t, v_set1(0.254829592f));
	q = v_mul(v_mul(q, t), v_mul(v_set1(0.5f), v_exp(v_neg(v_mul(z, z)))));
	return v_sub(v_max(v_set1(0.0f), x), v_mul(size, q));
}

INLINE v16 v_act(uint32_t flags, v16 x)
{
	if (flags & WEIR_ACT_SILU)
		return v_swish(x, x);
	if (flags & WEIR_ACT_GELU_TANH) {
		/* x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
		v16 cube = v_fma(v_mul(v_mul(x, x), x), v_set1(0.044715f), x);

		return v_swish(x, v_mul(cube, v_set1(1.5957691216057308f)));
	}
	if (flags & WEIR_ACT_RELU2) {
		x = v_max(v_set1(0.0f), x);
		return v_mul(x, x);
	}
	if (flags & WEIR_ACT_GELU_ERF)
		return v_gelu(x);
	if (flags & WEIR_ACT_RELU)
		return v_max(v_set1(0.0f), x);
	if (flags & WEIR_ACT_TANH)
		return v_tanh(x);
	return x;
}

static void rows_quantize(const float *x, size_t n_blocks, uint8_t *tile, unsigned nc, unsigned c)
{
	for (size_t b = 0; b < n_blocks; b++, x += 32, tile += (size_t)nc * WEIR_CPU_RECORD) {
		v16 low = v_load(x), high = v_load(x + 16), id;
		uint32_t top = v_top_bits(low, high);
		float amax = weir_bits_float(top), scale = amax / 127.0f;
		int8_t *q = (int8_t *)tile + (size_t)c * 32;
		uint8_t *word = tile + (size_t)nc * 32 + (size_t)c * 4;
		int32_t sum_low, sum_high, words[7];
		int16_t halves[2];
		float sum_scaled;

		if (top >= 0x7f800000 || amax < 1e-30f) {
			/* all zero, or not finite: then the scale says so to every row */
			scale = top >= 0x7f800000 ? weir_bits_float(0x7fc00000) : 0.0f;
			low = high = v_set1(0.0f);
			id = low;
		} else {
			id = v_set1(127.0f / amax);
		}
		sum_low = v_store_i8(q, v_mul(low, id));
		sum_high = v_store_i8(q + 16, v_mul(high, id));
		sum_scaled = scale * (float)(sum_low + sum_high);
		memcpy(&words[0], &scale, 4);
		memcpy(&words[1], &sum_scaled, 4);
		words[2] = -8 * (sum_low + sum_high);
		words[3] = -128 * (sum_low + sum_high);
		words[4] = -32 * sum_low;
		words[5] = -32 * sum_high;
		halves[0] = (int16_t)sum_low;
		halves[1] = (int16_t)sum_high;
		memcpy(&words[6], halves, 4);
		for (size_t i = 0; i < 7; i++)
			memcpy(word + i * nc * 4, &words[i], 4);
	}
}

static void rows_norm(const float *x, const float *w, const float *b, size_t n, float eps,
		      bool layer, bool add, float *y)
{
	v16 sum = v_set1(0.0f), mean = v_set1(0.0f), scale;
	size_t whole = n & ~(size_t)15, rest = n & 15;

	if (layer) {
		for (size_t i = 0; i < whole; i += 16)
			sum = v_add(sum, v_load(x + i));
		if (rest)
			sum = v_add(sum, v_load_n(x + whole, rest));
		mean = v_set1(v_sum(sum) / (float)n);
		sum = v_set1(0.0f);
	}
	for (size_t i = 0; i < whole; i += 16) {
		v16 d = v_sub(v_load(x + i), mean);

		sum = v_fma(d, d, sum);
	}
	if (rest) {
		v16 d = v_sub(v_load_n(x + whole, rest), mean);
		float last[16] = { 0 };

		v_store_n(last, d, rest);
		d = v_load(last);
		sum = v_fma(d, d, sum);
	}
	scale = v_set1(1.0f / sqrtf(v_sum(sum) / (float)n + eps));
	for (size_t i = 0; i < n; i += 16) {
		size_t m = n - i < 16 ? n - i : 16;
		v16 d = v_mul(v_sub(v_load_n(x + i, m), mean), scale);

		d = v_mul(d, v_load_n(w + i, m));
		if (b)
			d = v_add(d, v_load_n(b + i, m));
		if (add)
			d = v_add(d, v_load_n(y + i, m));
		v_store_n(y + i, d, m);
	}
}

static void rows_finish(const struct weir_cpu_finish *f, const float *y0, const float *y1,
			unsigned nc, float *dst)
{
	v16 bias0 = f->bias[0] ? v_load_n(f->bias[0], f->n) : v_set1(0.0f);
	v16 bias1 = f->bias[1] ? v_load_n(f->bias[1], f->n) : v_set1(0.0f);

	for (unsigned c = 0; c < nc; c++, dst += f->stride) {
		v16 y = v_load(y0 + 16 * c);

		if (f->bias[0])
			y = v_add(y, bias0);
		y = v_act(f->flags, y);
		if (f->flags & WEIR_LINEAR_GLU) {
			v16 up = v_load(y1 + 16 * c);

			y = v_mul(y, f->bias[1] ? v_add(up, bias1) : up);
		}
		if (f->scale != 1.0f)
			y = v_mul(y, v_set1(f->scale));
		if (f->softcap > 0)
			y = v_mul(v_tanh(v_div(y, v_set1(f->softcap))), v_set1(f->softcap));
		if (f->flags & WEIR_LINEAR_ADD)
			y = v_add(v_load_n(dst, f->n), y);
		if (f->n == 16)
			v_store(dst, y);
		else
			v_store_n(dst, y, f->n);
	}
}

static void rows_rope(float *x, const float *cos, const float *sin, size_t half, bool neox)
{
	if (neox) {
		for (size_t i = 0; i < half; i += 16) {
			size_t n = half - i < 16 ? half - i : 16;
			v16 a = v_load_n(x + i, n), b = v_load_n(x + half + i, n);
			v16 c = v_load_n(cos + i, n), s = v_load_n(sin + i, n);

			v_store_n(x + i, v_sub(v_mul(a, c), v_mul(b, s)), n);
			v_store_n(x + half + i, v_add(v_mul(a, s), v_mul(b, c)), n);
		}
		return;
	}
	for (size_t i = 0; i < half; i++) {
		float a = x[2 * i], b = x[2 * i + 1];
		float ac = a * cos[i], bs = b * sin[i], as = a * sin[i], bc = b * cos[i];

		x[2 * i] = ac - bs;
		x[2 * i + 1] = as + bc;
	}
}

static void rows_convert(const float *x, size_t n, uint32_t type, void *dst)
{
	uint16_t *h = dst;
	size_t i = 0;

	switch (type) {
	case WEIR_DTYPE_F16:
		for (; i + 16 <= n; i += 16)
			v_store_f16(h + i, v_load(x + i));
		for (; i < n; i++)
			h[i] = weir_f32_to_f16(x[i]);
		break;
	case WEIR_DTYPE_BF16:
		for (; i < n; i++)
			h[i] = weir_f32_to_bf16(x[i]);
		break;
	default:
		memcpy(dst, x, n * sizeof(float));
	}
}

static void rows_softmax(const struct weir_cpu_softmax *s, float *scores, float *p, float *m,
			 float *l, float *o, size_t n_o)
{
	v16 none = v_set1(-INFINITY);
	unsigned nc = s->nc;

	for (unsigned c = 0; c < nc; c++) {
		v16 top = none, sum = v_set1(0.0f), shift;
		int32_t last = s->last[c] < s->end ? s->last[c] : s->end - 1;
		float high, pair[16];

		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = scores + ((size_t)g * nc + c) * 16;
			v16 x = v_load(score);

			if (s->softcap > 0)
				x = v_mul(v_tanh(v_div(x, v_set1(s->softcap))), v_set1(s->softcap));
			x = v_if_between(s->key0 + (int32_t)g * 16, s->first[c], last, x, none);
			v_store(score, x);
			top = v_max(top, x);
		}
		high = v_top(top);
		high = high > m[c] ? high : m[c];
		if (high == -INFINITY) { /* nothing visible yet */
			for (unsigned i = 0; i < s->n_groups * 16; i++)
				p[(size_t)i * nc + c] = 0;
			continue;
		}
		shift = v_set1(high);
		for (unsigned g = 0; g < s->n_groups; g++) {
			float *score = scores + ((size_t)g * nc + c) * 16;
			v16 e = v_exp(v_sub(v_load(score), shift));

			sum = v_add(sum, e);
			v_store(score, e);
			for (unsigned i = 0; i < 16; i++)
				p[((size_t)g * 16 + i) * nc + c] = score[i];
		}
		if (high != m[c]) {
			v16 f = v_exp(v_set1(m[c] - high));

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

static void rows_merge(unsigned nc, size_t n_o, float *m, float *l, float *o, const float *pm,
		       const float *pl, const float *po)
{
	for (unsigned c = 0; c < nc; c++) {
		float high = pm[c] > m[c] ? pm[c] : m[c], a[16], b[16];
		v16 va, vb;

		if (pm[c] == -INFINITY)
			continue;
		va = v_exp(v_set1(m[c] - high));
		vb = v_exp(v_set1(pm[c] - high));
		v_store(a, va);
		v_store(b, vb);
		l[c] = l[c] * a[0] + pl[c] * b[0];
		m[c] = high;
		for (size_t i = 0; i < n_o; i++) {
			float *x = o + (i * nc + c) * 16;

			v_store(x, v_fma(v_load(po + (i * nc + c) * 16), vb, v_mul(v_load(x), va)));
		}
	}
}
