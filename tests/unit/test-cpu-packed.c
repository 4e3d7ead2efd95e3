/*
 * test-cpu-packed.c - the operations that encoders add on the CPU device: EMBED by position and of
 * a fixed row, ROPE_KV without a cache, ATTENTION_PACKED.
 *
 * Oracle: double precision. Each sequence alone, in another order, on other levels and with other
 * numbers of threads must give the same bits.
 */
#include <math.h>
#include <string.h>

#include "cpu-fixture.h"

enum { MAX_ROWS = 5, MAX_TOKENS = 400, N_PROJECTED = 24 };

struct packed_case {
	const char *name;
	int heads, kv_heads, size, rope, window, causal;
	float softcap;
	unsigned lengths[MAX_ROWS]; /* 0: no such sequence */
};

static const struct packed_case cases[] = {
	{ "bert", 4, 4, 32, 0, 0, 0, 0, { 17, 1, 16, 64, 65 } },
	{ "one", 2, 2, 64, 0, 0, 0, 0, { 1 } },
	{ "nomic", 3, 3, 64, 64, 0, 0, 0, { 130, 15, 33 } },
	{ "gqa-causal", 8, 2, 64, 64, 0, 1, 0, { 70, 5, 129, 2 } },
	{ "local", 2, 2, 32, 32, 20, 0, 0, { 90, 21, 20, 10 } },
	{ "local-causal", 4, 2, 32, 32, 7, 1, 0, { 90, 7, 8, 150 } },
	{ "softcap", 2, 1, 80, 16, 0, 1, 3, { 40, 9 } },
	{ "odd-head", 3, 1, 20, 12, 0, 0, 0, { 18, 16, 2 } },
	{ "group-20", 20, 1, 32, 32, 0, 0, 0, { 19, 7 } },
};

struct input {
	const struct packed_case *c;
	unsigned n_rows;
	size_t n, start[MAX_ROWS + 1], q_width, kv_width;
	float *q, *k, *v;
	uint8_t *projection; /* Q8_0, or NULL if q_width is no multiple of 32 */
};

static void input_init(struct input *in, const struct packed_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(12);

	memset(in, 0, sizeof(*in));
	in->c = c;
	for (; in->n_rows < MAX_ROWS && c->lengths[in->n_rows]; in->n_rows++)
		in->start[in->n_rows + 1] = in->start[in->n_rows] + c->lengths[in->n_rows];
	in->n = in->start[in->n_rows];
	in->q_width = (size_t)(c->heads * c->size);
	in->kv_width = (size_t)(c->kv_heads * c->size);
	in->q = g_new(float, in->n * in->q_width);
	in->k = g_new(float, in->n * in->kv_width);
	in->v = g_new(float, in->n * in->kv_width);
	fill_random(rand, in->q, in->n * in->q_width);
	fill_random(rand, in->k, in->n * in->kv_width);
	fill_random(rand, in->v, in->n * in->kv_width);
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

/* One head at one position, in pairs (i, i + rope / 2). */
static void rotate(const struct packed_case *c, const float *x, int pos, double *ret)
{
	for (int i = 0; i < c->size; i++)
		ret[i] = (double)x[i];
	for (int i = 0; i < c->rope / 2; i++) {
		double a = pos * pow(10000, -2.0 * i / c->rope), u = ret[i],
		       v = ret[i + c->rope / 2];

		ret[i] = u * cos(a) - v * sin(a);
		ret[i + c->rope / 2] = u * sin(a) + v * cos(a);
	}
}

static void attend(const struct input *in, unsigned row, int t, int head, double *ret)
{
	const struct packed_case *c = in->c;
	int n = (int)c->lengths[row], kv = head / (c->heads / c->kv_heads);
	double q[128], k[128], w[MAX_TOKENS], sum = 0;

	rotate(c, in->q + (in->start[row] + (size_t)t) * in->q_width + head * c->size, t, q);
	for (int i = 0; i < n; i++) {
		int away = t - i;

		w[i] = 0;
		if (c->causal ? away < 0 || (c->window && away >= c->window)
			      : c->window && abs(away) > c->window / 2)
			continue;
		rotate(c, in->k + (in->start[row] + (size_t)i) * in->kv_width + kv * c->size, i, k);
		for (int d = 0; d < c->size; d++)
			w[i] += q[d] * k[d];
		w[i] /= sqrt(c->size);
		if (c->softcap > 0)
			w[i] = (double)c->softcap * tanh(w[i] / (double)c->softcap);
		sum += w[i] = exp(w[i]);
	}
	for (int d = 0; d < c->size; d++) {
		ret[d] = 0;
		for (int i = 0; i < n; i++)
			ret[d] += w[i] / sum *
				  (double)in->v[(in->start[row] + (size_t)i) * in->kv_width +
						(size_t)(kv * c->size + d)];
	}
}

/* The operations over a batch of the rows that `which` lists; y: their results in that order, and
 * the projection's after them. */
static float *play(struct fixture *f, const struct input *in, const unsigned *which, unsigned n)
{
	const struct packed_case *c = in->c;
	struct builder b = { 0 };
	g_autofree float *q = g_new(float, in->n * in->q_width);
	g_autofree float *k = g_new(float, in->n * in->kv_width);
	g_autofree float *v = g_new(float, in->n * in->kv_width);
	struct weir_device_batch *batch = simple_batch(MAX_TOKENS, 16);
	uint32_t first[MAX_ROWS + 1] = { 0 }, tq, tk, tv, y, z = 0;
	weir_buffer *buffers[4] = { NULL };
	size_t at = 0, n_y, n_z;
	struct weir_op *op;
	weir_program *p;
	float *ret;

	for (unsigned i = 0; i < n; i++) {
		size_t from = in->start[which[i]], len = c->lengths[which[i]];

		memcpy(q + at * in->q_width, in->q + from * in->q_width, len * in->q_width * 4);
		memcpy(k + at * in->kv_width, in->k + from * in->kv_width, len * in->kv_width * 4);
		memcpy(v + at * in->kv_width, in->v + from * in->kv_width, len * in->kv_width * 4);
		for (size_t t = 0; t < len; t++) {
			((int32_t *)batch->token)[at + t] = (int32_t)(at + t);
			((int32_t *)batch->pos)[at + t] = (int32_t)t;
			((int32_t *)batch->row)[at + t] = (int32_t)i;
		}
		at += len;
		first[i + 1] = (uint32_t)at;
	}
	batch->n_tokens = (uint32_t)at;
	batch->n_rows = n;
	batch->n_out = 0;
	g_free((void *)batch->first);
	batch->first = g_memdup2(first, sizeof(first));
	buffers[0] = add_input(f, &b, q, in->n, in->q_width, &tq);
	buffers[1] = add_input(f, &b, k, in->n, in->kv_width, &tk);
	buffers[2] = add_input(f, &b, v, in->n, in->kv_width, &tv);
	if (c->rope) {
		op = add_op(&b, WEIR_OP_ROPE_KV);
		op->src[0] = tq;
		op->src[1] = tk;
		op->i[0] = c->heads;
		op->i[1] = c->kv_heads;
		op->i[2] = c->size;
		op->i[3] = c->rope;
		op->i[4] = WEIR_ROPE_NEOX;
		op->f[0] = 10000;
		op->f[1] = op->f[3] = 1;
	}
	y = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, in->q_width);
	op = add_op(&b, WEIR_OP_ATTENTION_PACKED);
	op->src[0] = tq;
	op->src[1] = tk;
	op->src[2] = tv;
	op->dst[0] = y;
	op->i[0] = c->heads;
	op->i[1] = c->kv_heads;
	op->i[2] = c->size;
	op->i[3] = c->window;
	op->i[4] = c->causal;
	op->f[0] = 1 / sqrtf((float)c->size);
	op->f[1] = c->softcap;
	if (in->projection) {
		z = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, N_PROJECTED);
		buffers[3] = make_weight(f, WEIR_DTYPE_Q8_0, in->q_width, N_PROJECTED,
					 WEIR_WEIGHT_MATRIX, in->projection);
		op = add_op(&b, WEIR_OP_LINEAR);
		op->src[0] = y;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[3]);
		op->dst[0] = z;
		op->i[0] = 1;
		op->f[0] = 1;
	}
	p = build(f, &b, (unsigned)in->n, 0);
	run_ok(f, p, batch);
	n_y = at * in->q_width;
	n_z = in->projection ? at * N_PROJECTED : 0;
	ret = g_new(float, n_y + n_z);
	memcpy(ret, f->device->output(&f->instance, p, y), n_y * sizeof(float));
	if (n_z)
		memcpy(ret + n_y, f->device->output(&f->instance, p, z), n_z * sizeof(float));
	f->device->program_free(&f->instance, p);
	for (size_t i = 0; i < G_N_ELEMENTS(buffers); i++)
		f->device->buffer_free(&f->instance, buffers[i]);
	simple_batch_free(batch);
	return ret;
}

static void test_attention(gconstpointer data)
{
	const char *level = data;

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct packed_case *c = &cases[i];
		const unsigned all[MAX_ROWS] = { 0, 1, 2, 3, 4 };
		g_autofree double *want = NULL;
		g_autofree float *y = NULL, *scalar_y = NULL;
		struct fixture f, scalar;
		struct input in;
		size_t n_y, n_z;

		if (!fixture_init(&f, level, 2))
			return;
		g_assert_true(fixture_init(&scalar, "scalar", 3));
		input_init(&in, c);
		n_y = in.n * in.q_width;
		n_z = in.projection ? in.n * N_PROJECTED : 0;
		want = g_new(double, n_y);
		for (unsigned r = 0; r < in.n_rows; r++)
			for (unsigned t = 0; t < c->lengths[r]; t++)
				for (int h = 0; h < c->heads; h++)
					attend(&in, r, (int)t, h,
					       want + (in.start[r] + t) * in.q_width +
						       (size_t)(h * c->size));
		y = play(&f, &in, all, in.n_rows);
		g_assert_cmpfloat(relative_error(y, want, n_y), <, 1e-5);
		scalar_y = play(&scalar, &in, all, in.n_rows);
		g_assert_cmpmem(y, (n_y + n_z) * 4, scalar_y, (n_y + n_z) * 4);
		for (unsigned r = 0; r < in.n_rows; r++) { /* alone */
			g_autofree float *one = play(&f, &in, &r, 1);
			size_t at = in.start[r] * in.q_width, n = c->lengths[r] * in.q_width;

			g_assert_cmpmem(one, n * 4, y + at, n * 4);
			if (n_z)
				g_assert_cmpmem(one + n, c->lengths[r] * N_PROJECTED * 4,
						y + n_y + in.start[r] * N_PROJECTED,
						c->lengths[r] * N_PROJECTED * 4);
		}
		if (in.n_rows > 1) { /* backwards */
			unsigned order[MAX_ROWS];
			g_autofree float *back = NULL;
			size_t at = 0;

			for (unsigned r = 0; r < in.n_rows; r++)
				order[r] = in.n_rows - 1 - r;
			back = play(&f, &in, order, in.n_rows);
			for (unsigned r = in.n_rows; r-- > 0;) {
				size_t n = c->lengths[r] * in.q_width;

				g_assert_cmpmem(back + at, n * 4, y + in.start[r] * in.q_width,
						n * 4);
				at += n;
			}
		}
		input_clear(&in);
		fixture_clear(&scalar);
		fixture_clear(&f);
	}
}

/* x = word[token] + position[pos + 2] + type[1], as BERT adds them, then a LINEAR that reads it. */
static void test_embed(gconstpointer data)
{
	enum { WIDTH = 1056, N_WORDS = 9, N_POSITIONS = 12, N = 10 };
	static const uint32_t types[] = { WEIR_DTYPE_F32, WEIR_DTYPE_F16, WEIR_DTYPE_Q8_0 };
	struct weir_error err = { 0 };
	struct fixture f;

	if (!fixture_init(&f, data, 2))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(4);
		static const size_t rows[] = { N_WORDS, N_POSITIONS, 2 };
		static const uint32_t flags[] = { 0, WEIR_EMBED_ADD | WEIR_EMBED_POSITION,
						  WEIR_EMBED_ADD | WEIR_EMBED_FIXED };
		struct weir_device_batch *batch = simple_batch(N, 16);
		struct builder b = { 0 };
		weir_buffer *tables[3];
		uint8_t *src[3];
		float *floats[3];
		double want[N * WIDTH];
		int32_t type[N] = { 0, 1, 0, 1, 1, 0, 0, 0, 1, 0 };
		uint32_t x = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, WIDTH);
		weir_program *p;

		for (int k = 0; k < 3; k++) {
			struct weir_op *op = add_op(&b, WEIR_OP_EMBED);

			src[k] = random_weights(rand, types[i], WIDTH, rows[k]);
			floats[k] = weights_as_floats(types[i], src[k], WIDTH, rows[k]);
			tables[k] = make_weight(&f, types[i], WIDTH, rows[k], WEIR_WEIGHT_TABLE,
						src[k]);
			op->flags = flags[k];
			op->src[0] = add_buffer(&b, WEIR_TENSOR_WEIGHT, tables[k]);
			op->dst[0] = x;
			op->f[0] = k == 1 ? 0.5f : 1;
			op->i[0] = k == 0 ? 0 : k == 1 ? 2 : 1;
		}
		p = build(&f, &b, N, 0);
		batch->n_out = 0;
		for (int t = 0; t < N; t++) {
			((int32_t *)batch->token)[t] = (t * 5) % N_WORDS;
			for (int d = 0; d < WIDTH; d++)
				want[t * WIDTH + d] =
					(double)floats[0][(t * 5) % N_WORDS * WIDTH + d] +
					0.5 * (double)floats[1][(t + 2) * WIDTH + d] +
					(double)floats[2][WIDTH + d];
		}
		run_ok(&f, p, batch);
		g_assert_cmpfloat(
			relative_error(f.device->output(&f.instance, p, x), want, N * WIDTH), <,
			1e-6);
		/* the table of positions ends at 12, less the 2 */
		((int32_t *)batch->pos)[N - 1] = 10;
		g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
		g_assert_nonnull(strstr(err.text, "position 10 of 10"));
		b.ops[2].i[0] = 2; /* no such row */
		g_assert_false(f.device->supports(&f.instance, &b.ops[2], b.tensors));
		((int32_t *)batch->pos)[N - 1] = 9;
		b.ops[2].i[0] = 1;
		b.ops[2].flags |= WEIR_EMBED_POSITION; /* both */
		g_assert_false(f.device->supports(&f.instance, &b.ops[2], b.tensors));
		f.device->program_free(&f.instance, p);
		/* a type for each token */
		b.ops[2].flags = WEIR_EMBED_ADD | WEIR_EMBED_TYPE;
		p = build(&f, &b, N, 0);
		for (int t = 0; t < N; t++)
			for (int d = 0; d < WIDTH && type[t] == 0; d++)
				want[t * WIDTH + d] +=
					(double)floats[2][d] - (double)floats[2][WIDTH + d];
		batch->type = type;
		run_ok(&f, p, batch);
		g_assert_cmpfloat(
			relative_error(f.device->output(&f.instance, p, x), want, N * WIDTH), <,
			1e-6);
		type[3] = 2; /* of two */
		g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
		f.device->program_free(&f.instance, p);
		for (int k = 0; k < 3; k++) {
			f.device->buffer_free(&f.instance, tables[k]);
			g_free(src[k]);
			g_free(floats[k]);
		}
		simple_batch_free(batch);
	}
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t l = 0; fixture_levels[l]; l++) {
		g_autofree char *attention =
			g_strdup_printf("/cpu/packed/%s/attention", fixture_levels[l]);
		g_autofree char *embed = g_strdup_printf("/cpu/packed/%s/embed", fixture_levels[l]);

		g_test_add_data_func(attention, fixture_levels[l], test_attention);
		g_test_add_data_func(embed, fixture_levels[l], test_embed);
	}
	return g_test_run();
}
