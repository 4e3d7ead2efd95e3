/*
 * test-cpu-attention.c - ROPE_KV, ATTENTION and what reads it, over a paged cache.
 *
 * Each case plays a small serving history: sequences of chosen lengths whose blocks are shuffled,
 * prefilled in chunks and decoded, several at once. Oracle: double precision over the values that
 * the cache type can hold. The same history with one sequence at a time, on other levels and with
 * other numbers of threads must give the same bits (reference/compute.md 6.5).
 */
#include <math.h>
#include <string.h>

#include "cpu-fixture.h"

#include "float16.h"

enum { MAX_TOKENS = 800, N_SEQUENCES = 3, N_PROJECTED = 24 };

struct attention_case {
	const char *name;
	int heads, kv_heads, size, rope, kind;
	uint32_t kv_type, block_tokens;
	int window, original; /* original > 0: yarn */
	float softcap, base, scale;
	gboolean norm, factors;
	unsigned lengths[N_SEQUENCES]; /* 0: no such sequence */
	unsigned chunk;                /* of prefill; the last 3 tokens are decoded one by one */
};

static const struct attention_case cases[] = {
	{ "mha-32", 2, 2, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_F32, 16, .base = 10000, .scale = 1,
	  .lengths = { 15, 16, 17 }, .chunk = 8 },
	{ "gqa-2-64", 4, 2, 64, 64, WEIR_ROPE_NEOX, WEIR_DTYPE_F16, 32, .base = 10000, .scale = 1,
	  .lengths = { 33, 64, 31 }, .chunk = 40 },
	{ "gqa-4-128", 8, 2, 128, 128, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 32, .base = 500000,
	  .scale = 1, .factors = TRUE, .lengths = { 70, 5, 0 }, .chunk = 32 },
	{ "gqa-8-80", 8, 1, 80, 80, WEIR_ROPE_NEOX, WEIR_DTYPE_BF16, 16, .base = 10000,
	  .scale = 0.25f, .lengths = { 20, 40, 3 }, .chunk = 7 },
	{ "mha-80-unaligned", 2, 2, 80, 32, WEIR_ROPE_NEOX, WEIR_DTYPE_F16, 8, .base = 10000,
	  .scale = 1, .lengths = { 20, 9, 8 }, .chunk = 20 },
	{ "gqa-3-96-norm", 6, 2, 96, 96, WEIR_ROPE_NEOX, WEIR_DTYPE_F16, 32, .base = 1000000,
	  .scale = 1, .norm = TRUE, .lengths = { 50, 33, 4 }, .chunk = 16 },
	{ "gqa-7-64-window", 7, 1, 64, 64, WEIR_ROPE_NEOX, WEIR_DTYPE_F16, 16, .window = 20,
	  .base = 10000, .scale = 1, .lengths = { 90, 21, 20 }, .chunk = 33 },
	{ "softcap", 4, 4, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 5, .softcap = 5, .base = 10000,
	  .scale = 1, .lengths = { 40, 6, 5 }, .chunk = 11 },
	{ "bf16-gqa-4-128", 8, 2, 128, 128, WEIR_ROPE_NORM, WEIR_DTYPE_BF16, 32, .base = 500000,
	  .scale = 1, .lengths = { 150, 33, 5 }, .chunk = 40 },
	{ "bf16-odd", 3, 1, 21, 12, WEIR_ROPE_NORM, WEIR_DTYPE_BF16, 16, .base = 10000, .scale = 1,
	  .lengths = { 18, 16, 2 }, .chunk = 5 },
	{ "yarn", 2, 1, 64, 64, WEIR_ROPE_NORM, WEIR_DTYPE_F32, 100, .original = 64, .base = 10000,
	  .scale = 0.25f, .lengths = { 120, 99, 101 }, .chunk = 64 },
	{ "odd-head", 3, 1, 20, 12, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 16, .base = 10000, .scale = 1,
	  .lengths = { 18, 16, 2 }, .chunk = 5 },
	{ "group-20", 20, 1, 32, 32, WEIR_ROPE_NEOX, WEIR_DTYPE_F16, 16, .base = 10000, .scale = 1,
	  .lengths = { 19, 7, 0 }, .chunk = 6 },
	{ "no-rope", 2, 2, 32, 0, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 16, .scale = 1,
	  .lengths = { 30, 12, 0 }, .chunk = 9 },
	{ "long", 2, 1, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 32, .base = 10000, .scale = 1,
	  .lengths = { 620, 40, 0 }, .chunk = 300 },
	/* several KV heads of each block together, in each thread's share of a long context */
	{ "long-13-heads", 13, 13, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 32, .base = 10000,
	  .scale = 1, .lengths = { 560, 0, 0 }, .chunk = 280 },
	{ "q8-gqa-4-128", 8, 2, 128, 128, WEIR_ROPE_NORM, WEIR_DTYPE_Q8_0, 32, .base = 500000,
	  .scale = 1, .lengths = { 150, 33, 5 }, .chunk = 40 },
	{ "q8-mha-32", 3, 3, 32, 32, WEIR_ROPE_NEOX, WEIR_DTYPE_Q8_0, 16, .base = 10000, .scale = 1,
	  .lengths = { 15, 16, 17 }, .chunk = 8 },
	{ "q8-gqa-8-64-unaligned", 8, 1, 64, 64, WEIR_ROPE_NORM, WEIR_DTYPE_Q8_0, 8, .base = 10000,
	  .scale = 1, .lengths = { 30, 9, 8 }, .chunk = 11 },
	{ "q8-96-window", 6, 2, 96, 96, WEIR_ROPE_NEOX, WEIR_DTYPE_Q8_0, 16, .window = 20,
	  .base = 10000, .scale = 1, .lengths = { 190, 21, 20 }, .chunk = 33 },
	{ "q8-large-block", 2, 1, 64, 64, WEIR_ROPE_NORM, WEIR_DTYPE_Q8_0, 256, .base = 10000,
	  .scale = 1, .softcap = 5, .lengths = { 300, 255, 257 }, .chunk = 100 },
	{ "q8-long", 2, 1, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_Q8_0, 32, .base = 10000, .scale = 1,
	  .lengths = { 620, 40, 0 }, .chunk = 300 },
	{ "large-block-window", 4, 1, 48, 48, WEIR_ROPE_NORM, WEIR_DTYPE_BF16, 200, .window = 150,
	  .base = 10000, .scale = 1, .lengths = { 500, 201, 0 }, .chunk = 90 },
	{ "long-window", 2, 1, 32, 32, WEIR_ROPE_NORM, WEIR_DTYPE_F16, 32, .window = 300,
	  .base = 10000, .scale = 1, .lengths = { 600, 0, 0 }, .chunk = 250 },
};

/* The inputs of a case: rows of all sequences, one after the other. */
struct input {
	const struct attention_case *c;
	size_t n, start[N_SEQUENCES + 1], q_width, kv_width;
	float *q, *k, *v, q_norm[128], k_norm[128], factors[64];
	uint8_t *
		projection; /* Q8_0, q_width to N_PROJECTED; NULL if q_width is no multiple of 32 */
};

static void input_init(struct input *in, const struct attention_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);

	memset(in, 0, sizeof(*in));
	in->c = c;
	for (int s = 0; s < N_SEQUENCES; s++)
		in->start[s + 1] = in->start[s] + c->lengths[s];
	in->n = in->start[N_SEQUENCES];
	in->q_width = (size_t)(c->heads * c->size);
	in->kv_width = (size_t)(c->kv_heads * c->size);
	in->q = g_new(float, in->n * in->q_width);
	in->k = g_new(float, in->n * in->kv_width);
	in->v = g_new(float, in->n * in->kv_width);
	fill_random(rand, in->q, in->n * in->q_width);
	fill_random(rand, in->k, in->n * in->kv_width);
	fill_random(rand, in->v, in->n * in->kv_width);
	fill_random(rand, in->q_norm, 128);
	fill_random(rand, in->k_norm, 128);
	for (int i = 0; i < 64; i++)
		in->factors[i] = (float)g_rand_double_range(rand, 1, 8);
	if (in->q_width % 32 == 0)
		in->projection = random_weights(rand, WEIR_DTYPE_Q8_0, in->q_width, N_PROJECTED);
}

static void input_clear(struct input *in)
{
	g_free(in->q);
	g_free(in->k);
	g_free(in->v);
	g_free(in->projection);
}

/* What a cache of the type keeps of one head's x. */
static void narrow(uint32_t type, double *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (type == WEIR_DTYPE_F16)
			x[i] = (double)weir_f16_to_f32(weir_f32_to_f16((float)x[i]));
		else if (type == WEIR_DTYPE_BF16)
			x[i] = (double)weir_bf16_to_f32(weir_f32_to_bf16((float)x[i]));
	for (size_t b = 0; type == WEIR_DTYPE_Q8_0 && b < n; b += 32) {
		double top = 0, d;

		for (size_t i = b; i < b + 32; i++)
			top = fmax(top, fabs(x[i]));
		d = (double)weir_f16_to_f32(weir_f32_to_f16((float)(top / 127)));
		for (size_t i = b; i < b + 32; i++)
			x[i] = d > 0 ? CLAMP(rint(x[i] / d), -127, 127) * d : 0;
	}
}

/* One head at one position: RMS norm, then rotation, by the books. */
static void rotate(const struct input *in, const float *x, const float *norm, int pos, double *ret)
{
	const struct attention_case *c = in->c;
	double sum = 0;

	for (int i = 0; i < c->size; i++) {
		ret[i] = (double)x[i];
		sum += ret[i] * ret[i];
	}
	for (int i = 0; c->norm && i < c->size; i++)
		ret[i] = ret[i] / sqrt(sum / c->size + 1e-6) * (double)norm[i];
	for (int i = 0; i < c->rope / 2; i++) {
		int a = c->kind == WEIR_ROPE_NEOX ? i : 2 * i;
		int b = c->kind == WEIR_ROPE_NEOX ? i + c->rope / 2 : 2 * i + 1;
		double plain = pow((double)c->base, -2.0 * i / c->rope), angle, p = ret[a],
		       q = ret[b];
		double factor = 1;

		if (c->factors)
			plain /= (double)in->factors[i];
		angle = plain * (double)c->scale;
		if (c->original) { /* Peng et al. 2023, with beta 32 and 1 */
			double turns = c->original * plain / (2 * G_PI);
			double low = c->rope * log(c->original / (32 * 2 * G_PI)) /
				     (2 * log((double)c->base));
			double high = c->rope * log(c->original / (2 * G_PI)) /
				      (2 * log((double)c->base));
			double ramp = (i - fmax(floor(low), 0)) /
				      (fmin(ceil(high), c->rope - 1) - fmax(floor(low), 0));

			g_assert_cmpfloat(turns, >, 0);
			ramp = CLAMP(ramp, 0, 1);
			angle = angle * ramp + plain * (1 - ramp);
			factor = 1.1386; /* the attention factor that the case sets */
		}
		angle = (double)((float)pos * (float)angle);
		ret[a] = (p * cos(angle) - q * sin(angle)) * factor;
		ret[b] = (p * sin(angle) + q * cos(angle)) * factor;
	}
}

/* want [n][q_width] for every token of every sequence. */
static void reference(const struct input *in, double *want)
{
	const struct attention_case *c = in->c;
	size_t size = (size_t)c->size;

	for (int s = 0; s < N_SEQUENCES; s++) {
		g_autofree double *keys = g_new(double, (c->lengths[s] + 1) * in->kv_width);
		g_autofree double *values = g_new(double, (c->lengths[s] + 1) * in->kv_width);
		g_autofree double *score = g_new(double, c->lengths[s] + 1);

		for (unsigned t = 0; t < c->lengths[s]; t++)
			for (int h = 0; h < c->kv_heads; h++) {
				double *key = keys + t * in->kv_width + (size_t)h * size;

				rotate(in,
				       in->k + (in->start[s] + t) * in->kv_width + (size_t)h * size,
				       in->k_norm, (int)t, key);
				narrow(c->kv_type, key, size);
				key = values + t * in->kv_width + (size_t)h * size;
				for (size_t d = 0; d < size; d++)
					key[d] = (double)in->v[(in->start[s] + t) * in->kv_width +
							       (size_t)h * size + d];
				narrow(c->kv_type, key, size);
			}
		for (unsigned t = 0; t < c->lengths[s]; t++)
			for (int h = 0; h < c->heads; h++) {
				size_t at = (size_t)(h / (c->heads / c->kv_heads)) * size;
				double q[128], top = -INFINITY, sum = 0;
				double *y =
					want + (in->start[s] + t) * in->q_width + (size_t)h * size;
				unsigned first = c->window && (int)t >= c->window
							 ? t - (unsigned)c->window + 1
							 : 0;

				rotate(in,
				       in->q + (in->start[s] + t) * in->q_width + (size_t)h * size,
				       in->q_norm, (int)t, q);
				for (unsigned j = first; j <= t; j++) {
					double x = 0, cap = (double)c->softcap;

					for (size_t d = 0; d < size; d++)
						x += q[d] * keys[j * in->kv_width + at + d];
					x /= sqrt((double)size);
					score[j] = c->softcap > 0 ? cap * tanh(x / cap) : x;
					top = fmax(top, score[j]);
				}
				memset(y, 0, size * sizeof(double));
				for (unsigned j = first; j <= t; j++) {
					double w = exp(score[j] - top);
					const double *v = values + j * in->kv_width + at;

					sum += w;
					for (size_t d = 0; d < size; d++)
						y[d] += w * v[d];
				}
				for (size_t d = 0; d < size; d++)
					y[d] /= sum;
			}
	}
}

/* One step of a history: for each sequence, how many of its tokens come now. */
struct plan {
	unsigned count[N_SEQUENCES];
};

static size_t make_plans(const struct attention_case *c, gboolean together, struct plan *plans)
{
	unsigned done[N_SEQUENCES] = { 0 };
	size_t n = 0;

	for (;;) {
		gboolean some = FALSE;

		plans[n] = (struct plan){ 0 };
		for (int s = 0; s < N_SEQUENCES; s++) {
			unsigned left = c->lengths[s] - done[s], take;

			if (!left || (some && !together))
				continue;
			take = left <= 3 ? 1 : MIN(left - 3, c->chunk);
			plans[n].count[s] = take;
			done[s] += take;
			some = TRUE;
		}
		if (!some)
			return n;
		n++;
	}
}

/* Plays the history; outputs of all tokens to got [n][q_width], projected [n][N_PROJECTED]. */
static void play(struct fixture *f, const struct input *in, gboolean together, float *got,
		 float *projected)
{
	const struct attention_case *c = in->c;
	unsigned bt = c->block_tokens, n_blocks = 0, stride = 0, per[N_SEQUENCES],
		 base[N_SEQUENCES];
	static struct plan plans[MAX_TOKENS];
	size_t n_plans = make_plans(c, together, plans);
	struct builder b = { 0 };
	weir_buffer *buffers[9] = { NULL };
	uint32_t q, k, v, y, z = 0, keys, values;
	struct weir_error err = { 0 };
	unsigned done[N_SEQUENCES] = { 0 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(together ? 1 : 2);
	g_autofree uint32_t *order = NULL, *table = NULL;
	struct weir_op *op;
	weir_program *p;

	for (int s = 0; s < N_SEQUENCES; s++) {
		per[s] = (c->lengths[s] + bt - 1) / bt;
		base[s] = n_blocks;
		n_blocks += per[s];
		stride = MAX(stride, per[s]);
	}
	n_blocks += 3;
	order = g_new(uint32_t, n_blocks);
	for (unsigned i = 0; i < n_blocks; i++) { /* Fisher and Yates */
		unsigned j = (unsigned)g_rand_int_range(rand, 0, (gint32)i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (int i = 0; i < 2; i++) {
		f->device->kv(&f->instance, c->kv_type, n_blocks, bt, (uint32_t)c->kv_heads,
			      (uint32_t)c->size, &buffers[i], &err);
		g_assert_cmpstr(err.text, ==, "");
	}
	buffers[2] = add_input(f, &b, in->q, in->n, in->q_width, &q);
	buffers[3] = add_input(f, &b, in->k, in->n, in->kv_width, &k);
	buffers[4] = add_input(f, &b, in->v, in->n, in->kv_width, &v);
	keys = add_buffer(&b, WEIR_TENSOR_KV, buffers[0]);
	values = add_buffer(&b, WEIR_TENSOR_KV, buffers[1]);
	op = add_op(&b, WEIR_OP_ROPE_KV);
	op->src[0] = q;
	op->src[1] = k;
	op->src[2] = v;
	op->src[3] = keys;
	op->src[4] = values;
	if (c->norm) {
		buffers[5] = make_weight(f, WEIR_DTYPE_F32, (size_t)c->size, 1, WEIR_WEIGHT_VECTOR,
					 in->q_norm);
		buffers[6] = make_weight(f, WEIR_DTYPE_F32, (size_t)c->size, 1, WEIR_WEIGHT_VECTOR,
					 in->k_norm);
		op->src[5] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[5]);
		op->src[6] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[6]);
	}
	if (c->factors) {
		buffers[7] = make_weight(f, WEIR_DTYPE_F32, (size_t)c->rope / 2, 1,
					 WEIR_WEIGHT_VECTOR, in->factors);
		op->src[7] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[7]);
	}
	memcpy(op->i, (int32_t[]){ c->heads, c->kv_heads, c->size, c->rope, c->kind, c->original },
	       6 * sizeof(int32_t));
	memcpy(op->f,
	       (float[]){ c->base, c->scale, c->original ? 1 : 0, c->original ? 1.1386f : 1, 32, 1,
			  1e-6f },
	       7 * sizeof(float));
	y = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, in->q_width);
	op = add_op(&b, WEIR_OP_ATTENTION);
	op->src[0] = q;
	op->src[1] = keys;
	op->src[2] = values;
	op->dst[0] = y;
	memcpy(op->i, (int32_t[]){ c->heads, c->kv_heads, c->size, c->window },
	       4 * sizeof(int32_t));
	op->f[0] = 1 / sqrtf((float)c->size);
	op->f[1] = c->softcap;
	if (in->projection) {
		buffers[8] = make_weight(f, WEIR_DTYPE_Q8_0, in->q_width, N_PROJECTED,
					 WEIR_WEIGHT_MATRIX, in->projection);
		z = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, N_PROJECTED);
		op = add_op(&b, WEIR_OP_LINEAR);
		op->src[0] = y;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[8]);
		op->dst[0] = z;
		op->i[0] = 1;
		op->f[0] = 1;
	}
	p = build(f, &b, MAX_TOKENS, 1);
	for (size_t i = 0; i < n_plans; i++) {
		int32_t token[MAX_TOKENS], pos[MAX_TOKENS], row[MAX_TOKENS];
		uint32_t slot[MAX_TOKENS], first[N_SEQUENCES + 1] = { 0 }, len[N_SEQUENCES];
		struct weir_device_batch batch = { .size = sizeof(batch), .block_stride = stride };
		const float *out, *out_z;

		g_free(table);
		table = g_new0(uint32_t, stride * N_SEQUENCES);
		for (int s = 0; s < N_SEQUENCES; s++) {
			if (!plans[i].count[s])
				continue;
			for (unsigned j = 0; j < per[s]; j++)
				table[batch.n_rows * stride + j] = order[base[s] + j];
			for (unsigned j = 0; j < plans[i].count[s]; j++, batch.n_tokens++) {
				unsigned at = done[s] + j;

				token[batch.n_tokens] = (int32_t)(in->start[s] + at);
				pos[batch.n_tokens] = (int32_t)at;
				row[batch.n_tokens] = (int32_t)batch.n_rows;
				slot[batch.n_tokens] = order[base[s] + at / bt] * bt + at % bt;
			}
			done[s] += plans[i].count[s];
			len[batch.n_rows++] = done[s];
			first[batch.n_rows] = batch.n_tokens;
		}
		batch.token = token;
		batch.pos = pos;
		batch.row = row;
		batch.slot = slot;
		batch.first = first;
		batch.kv_len = len;
		batch.blocks = table;
		run_ok(f, p, &batch);
		out = f->device->output(&f->instance, p, y);
		out_z = f->device->output(&f->instance, p, z);
		for (unsigned t = 0; t < batch.n_tokens; t++) {
			memcpy(got + (size_t)token[t] * in->q_width, out + t * in->q_width,
			       in->q_width * sizeof(float));
			if (in->projection)
				memcpy(projected + (size_t)token[t] * N_PROJECTED,
				       out_z + t * N_PROJECTED, N_PROJECTED * sizeof(float));
		}
	}
	f->device->program_free(&f->instance, p);
	for (size_t i = 0; i < G_N_ELEMENTS(buffers); i++)
		f->device->buffer_free(&f->instance, buffers[i]);
}

static void check_case(struct fixture *f, struct fixture *one, struct fixture *scalar,
		       const struct attention_case *c)
{
	struct input in;
	double *want, *want_z;
	float *got, *alone, *other, *z[3], *w;
	gboolean rounds = fixture_rounds(f, c->kv_type);
	size_t bytes;

	g_test_message("%s", c->name);
	input_init(&in, c);
	bytes = in.n * in.q_width * sizeof(float);
	want = g_new0(double, in.n *in.q_width);
	want_z = g_new0(double, in.n *N_PROJECTED);
	got = g_malloc0(bytes);
	alone = g_malloc0(bytes);
	other = g_malloc0(bytes);
	for (int i = 0; i < 3; i++)
		z[i] = g_new0(float, in.n *N_PROJECTED);
	reference(&in, want);
	play(f, &in, TRUE, got, z[0]);
	/* against Q8_0 keys q has 8 bits too, as activations have against weights */
	g_assert_cmpfloat(relative_error(got, want, in.n * in.q_width), <,
			  c->kv_type == WEIR_DTYPE_Q8_0 ? 1e-2
			  : rounds                      ? 5e-3
							: 1e-5);
	play(one, &in, FALSE, alone, z[1]);
	play(scalar, &in, TRUE, other, z[2]);
	g_assert_cmpmem(got, bytes, alone, bytes);
	if (!rounds)
		g_assert_cmpmem(got, bytes, other, bytes);
	if (in.projection) {
		w = weights_as_floats(WEIR_DTYPE_Q8_0, in.projection, in.q_width, N_PROJECTED);
		for (size_t t = 0; t < in.n; t++)
			for (size_t o = 0; o < N_PROJECTED; o++)
				for (size_t i = 0; i < in.q_width; i++)
					want_z[t * N_PROJECTED + o] +=
						(double)w[o * in.q_width + i] *
						want[t * in.q_width + i];
		g_assert_cmpfloat(relative_error(z[0], want_z, in.n * N_PROJECTED), <, 1e-2);
		g_assert_cmpmem(z[0], in.n * N_PROJECTED * 4, z[1], in.n * N_PROJECTED * 4);
		if (!rounds)
			g_assert_cmpmem(z[0], in.n * N_PROJECTED * 4, z[2], in.n * N_PROJECTED * 4);
		g_free(w);
	}
	for (int i = 0; i < 3; i++)
		g_free(z[i]);
	g_free(want);
	g_free(want_z);
	g_free(got);
	g_free(alone);
	g_free(other);
	input_clear(&in);
}

static void test_level(gconstpointer data)
{
	struct fixture f, one, scalar;

	if (!fixture_init(&f, data, 3))
		return;
	g_assert_true(fixture_init(&one, data, 1));
	one.data.cpu->alone_below = SIZE_MAX;
	g_assert_true(fixture_init(&scalar, "scalar", 2));
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check_case(&f, &one, &scalar, &cases[i]);
	fixture_clear(&scalar);
	fixture_clear(&one);
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t l = 0; fixture_levels[l]; l++) {
		g_autofree char *name = g_strdup_printf("/cpu/attention/%s", fixture_levels[l]);

		g_test_add_data_func(name, fixture_levels[l], test_level);
	}
	return g_test_run();
}
