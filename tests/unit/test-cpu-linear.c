/*
 * test-cpu-linear.c - the LINEAR operation of the CPU device on every type and ISA level.
 *
 * Three oracles: double precision over the dequantised weights and the true activations
 * (reference/compute.md 6.5: 1e-2 for int8 activations, 1e-5 for floats); the same over activations
 * quantised as the device's contract says (2e-6: only the order of additions differs); and equality
 * to the bit between levels, batch sizes and numbers of threads.
 */
#include <math.h>
#include <string.h>

#include "codes.h"
#include "cpu-fixture.h"
#include "iquant.h"

/* y [n][n_out] of one LINEAR without extras; g_free(). */
static float *multiply(struct fixture *f, uint32_t type, const uint8_t *w, size_t n_in,
		       size_t n_out, const float *x, unsigned n, unsigned max_tokens)
{
	struct builder b = { 0 };
	uint32_t input, output;
	weir_buffer *table = add_input(f, &b, x, n, n_in, &input);
	weir_buffer *matrix = make_weight(f, type, n_in, n_out, WEIR_WEIGHT_MATRIX, w);
	struct weir_device_batch *batch = simple_batch(n, 16);
	struct weir_op *op = add_op(&b, WEIR_OP_LINEAR);
	weir_program *p;
	float *y;

	output = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, n_out);
	op->src[0] = input;
	op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, matrix);
	op->dst[0] = output;
	op->i[0] = 1;
	op->f[0] = 1;
	p = build(f, &b, max_tokens, max_tokens);
	run_ok(f, p, batch);
	y = g_memdup2(f->device->output(&f->instance, p, output), n * n_out * sizeof(float));
	f->device->program_free(&f->instance, p);
	f->device->buffer_free(&f->instance, matrix);
	f->device->buffer_free(&f->instance, table);
	simple_batch_free(batch);
	return y;
}

/* The activations after int8 quantisation in blocks of 32, in double. */
static void quantise(const float *x, size_t n, double *ret)
{
	for (size_t b = 0; b < n; b += 32) {
		float top = 0, inverse;

		for (int i = 0; i < 32; i++)
			top = fmaxf(top, fabsf(x[b + i]));
		inverse = 127.0f / top;
		for (int i = 0; i < 32; i++)
			ret[b + i] =
				nearbyint((double)(x[b + i] * inverse)) * (double)(top / 127.0f);
	}
}

static void reference(const float *w, const double *x, size_t n_in, size_t n_out, unsigned n,
		      double *ret)
{
	for (unsigned t = 0; t < n; t++)
		for (size_t o = 0; o < n_out; o++) {
			double sum = 0;

			for (size_t i = 0; i < n_in; i++)
				sum += (double)w[o * n_in + i] * x[t * n_in + i];
			ret[t * n_out + o] = sum;
		}
}

struct linear_case {
	const char *level;
	uint32_t type;
};

static void test_type(gconstpointer data)
{
	static const struct {
		size_t n_in, n_out;
		unsigned n;
	} shapes[] = {
		{ 256, 48, 1 },    { 256, 33, 2 },   { 512, 1, 3 },    { 768, 17, 4 },
		{ 256, 100, 5 },   { 512, 40, 6 },   { 256, 31, 7 },   { 256, 64, 8 },
		{ 512, 15, 9 },    { 256, 16, 12 },  { 256, 70, 15 },  { 256, 35, 16 },
		{ 1024, 129, 17 }, { 256, 300, 33 }, { 2048, 17, 10 }, { 256, 5, 11 },
		{ 512, 33, 13 },   { 768, 15, 14 },
	};
	const struct linear_case *c = data;
	gboolean quantised = weir_cpu_type(c->type)->quantised;
	g_autoptr(GRand) rand = g_rand_new_with_seed(c->type + 1);
	struct fixture f, scalar;

	if (!fixture_init(&f, c->level, 2))
		return;
	g_assert_true(fixture_init(&scalar, "scalar", 1));
	for (size_t s = 0; s < G_N_ELEMENTS(shapes); s++) {
		size_t block = weir_cpu_type(c->type)->block, n_out = shapes[s].n_out;
		/* odd widths where the type allows */
		size_t n_in = block == 256  ? shapes[s].n_in
			      : block >= 32 ? shapes[s].n_in - block * (s % (256 / block))
					    : shapes[s].n_in - 5 * s;
		unsigned n = shapes[s].n;
		g_autofree uint8_t *w = random_weights(rand, c->type, n_in, n_out);
		g_autofree float *wf = weights_as_floats(c->type, w, n_in, n_out);
		g_autofree float *x = g_new(float, n *n_in);
		g_autofree double *exact = g_new(double, n *n_in);
		g_autofree double *want = g_new(double, n *n_out);
		g_autofree float *y = NULL, *same = NULL;

		fill_random(rand, x, n * n_in);
		y = multiply(&f, c->type, w, n_in, n_out, x, n, 64);
		for (size_t i = 0; i < n * n_in; i++)
			exact[i] = (double)x[i];
		reference(wf, exact, n_in, n_out, n, want);
		if (n_out > 1) /* a single value may be near zero */
			g_assert_cmpfloat(relative_error(y, want, n * n_out), <,
					  quantised                     ? 1.5e-2
					  : fixture_rounds(&f, c->type) ? 5e-3
									: 1e-5);
		if (quantised) {
			quantise(x, n * n_in, exact);
			reference(wf, exact, n_in, n_out, n, want);
			if (n_out > 1)
				g_assert_cmpfloat(relative_error(y, want, n * n_out), <, 2e-6);
		}
		if (fixture_rounds(&f, c->type))
			continue;
		same = multiply(&scalar, c->type, w, n_in, n_out, x, n, n);
		g_assert_cmpmem(y, n * n_out * 4, same, n * n_out * 4);
	}
	fixture_clear(&scalar);
	fixture_clear(&f);
}

/* Kernels are slow under ThreadSanitizer: fewer tiles for each thread there, and fewer places in
 * the batch, but every number of rows and of threads. */
#ifdef __SANITIZE_THREAD__
enum { INVARIANCE_OUT = 72, INVARIANCE_STEP = 14 };
#else
enum { INVARIANCE_OUT = 200, INVARIANCE_STEP = 7 };
#endif

/* Each row alone, and with other numbers of threads, gives the bits that it gives in a batch. */
static void test_invariance(gconstpointer data)
{
	const struct linear_case *c = data;
	const size_t n_in = 512, n_out = INVARIANCE_OUT;
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);
	g_autofree uint8_t *w = random_weights(rand, c->type, n_in, n_out);
	g_autofree float *x = g_new(float, 37 * n_in);
	g_autofree float *all = NULL;
	struct fixture f;

	fill_random(rand, x, 37 * n_in);
	for (unsigned n_threads = 1; n_threads <= 3; n_threads += 2) {
		if (!fixture_init(&f, c->level, n_threads))
			return;
		if (!all)
			all = multiply(&f, c->type, w, n_in, n_out, x, 37, 37);
		for (unsigned t = 0; t < 37; t += INVARIANCE_STEP)
			for (unsigned n = 1; n < 20 && t + n <= 37; n += 3) {
				g_autofree float *y =
					multiply(&f, c->type, w, n_in, n_out, x + t * n_in, n, 37);

				g_assert_cmpmem(y, n * n_out * 4, all + t * n_out, n * n_out * 4);
			}
		if (n_threads == 3) { /* on the caller alone, as small steps are outside tests */
			g_autofree float *y = NULL;

			f.data.cpu->alone_below = SIZE_MAX;
			y = multiply(&f, c->type, w, n_in, n_out, x, 37, 37);
			g_assert_cmpmem(y, 37 * n_out * 4, all, 37 * n_out * 4);
		}
		fixture_clear(&f);
	}
}

/* `byte` to each byte of a block, but for the numbers that scale all of it. */
static void fill_block(uint32_t type, uint8_t *p, int byte)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	g_autofree uint8_t *old = g_memdup2(p, t->bytes);

	memset(p, byte, t->bytes);
	if (weir_iquant_values(type)) {
		memcpy(p, old, 2);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct weir_cpu_field field = weir_cpu_codes(type)->field[i];

		if (type == WEIR_DTYPE_NVFP4)
			memcpy(p, old, 4);
		else if (field.size == 2 || type == WEIR_DTYPE_MXFP4)
			memcpy(p + field.at, old + field.at, (size_t)field.size * field.count);
	}
}

/* Largest codes against largest activations: no instruction may saturate. */
static void test_extremes(gconstpointer data)
{
	const size_t n_in = 256, n_out = 16;
	struct fixture f;

	if (!fixture_init(&f, data, 1))
		return;
	for (size_t i = fixture_n_float_types; i < fixture_n_types; i++)
		for (int pattern = 0; pattern < 8; pattern++) {
			uint32_t type = fixture_types[i];
			const struct weir_cpu_type *t = weir_cpu_type(type);
			g_autoptr(GRand) rand = g_rand_new_with_seed(1);
			g_autofree uint8_t *w = random_weights(rand, type, n_in, n_out);
			g_autofree float *wf = NULL, *x = g_new(float, n_in), *y = NULL;
			double want[16], exact[256];

			for (size_t b = 0; b < n_in * n_out / t->block; b++)
				fill_block(type, w + b * t->bytes,
					   pattern & 1   ? 0x80
					   : pattern & 2 ? 0x7f
							 : 0xff);
			for (size_t k = 0; k < n_in; k++)
				exact[k] = (double)(x[k] = pattern & 4 ? -127 : k % 3 ? 127 : 126);
			wf = weights_as_floats(type, w, n_in, n_out);
			reference(wf, exact, n_in, n_out, 1, want);
			y = multiply(&f, type, w, n_in, n_out, x, 1, 1);
			g_assert_cmpfloat(relative_error(y, want, n_out), <, 1e-5);
		}
	fixture_clear(&f);
}

static double activate(uint32_t flags, double x)
{
	if (flags & WEIR_ACT_SILU)
		return x / (1 + exp(-x));
	if (flags & WEIR_ACT_GELU_TANH)
		return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
	if (flags & WEIR_ACT_RELU2)
		return x > 0 ? x * x : 0;
	if (flags & WEIR_ACT_GELU_ERF)
		return 0.5 * x * erfc(-x / sqrt(2));
	if (flags & WEIR_ACT_RELU)
		return x > 0 ? x : 0;
	if (flags & WEIR_ACT_TANH)
		return tanh(x);
	return x;
}

/* Bias, factor, softcap, ADD, GLU or not with each activation, three matrices, and the form that
 * the next LINEAR reads. */
static void test_epilogue(gconstpointer data)
{
	static const uint32_t acts[] = { 0,
					 WEIR_ACT_SILU,
					 WEIR_ACT_GELU_TANH,
					 WEIR_ACT_RELU2,
					 WEIR_ACT_GELU_ERF,
					 WEIR_ACT_RELU,
					 WEIR_ACT_TANH };
	const size_t n_in = 96, n_ff = 160;
	g_autoptr(GRand) rand = g_rand_new_with_seed(5);

	for (unsigned i = 0; i < 16 * G_N_ELEMENTS(acts); i++) {
		uint32_t act = acts[i / 16], down = i & 1 ? WEIR_DTYPE_Q8_0 : WEIR_DTYPE_F32;
		gboolean glu = i & 2, bias = i & 4;
		unsigned n = i % 3 == 0 ? 1 : i % 3 == 1 ? 5 : 21;
		float factor = i & 8 ? 0.25f : 1.0f, cap = i & 8 ? 2.0f : 0.0f;
		struct builder b = { 0 };
		struct fixture f;
		uint8_t *w[3];
		float *wf[3], bias_values[2][160];
		weir_buffer *buffers[8] = { NULL };
		g_autofree float *x = g_new(float, n *n_in);
		g_autofree double *h = g_new(double, n *n_ff), *want = g_new(double, n *n_in);
		struct weir_device_batch *batch;
		struct weir_op *op;
		uint32_t input, hidden;
		weir_program *p;

		if (!fixture_init(&f, data, 2))
			return;
		batch = simple_batch(n, 16);
		fill_random(rand, x, n * n_in);
		fill_random(rand, bias_values[0], n_ff);
		fill_random(rand, bias_values[1], n_ff);
		for (int m = 0; m < 2; m++) {
			w[m] = random_weights(rand, WEIR_DTYPE_F16, n_in, n_ff);
			wf[m] = weights_as_floats(WEIR_DTYPE_F16, w[m], n_in, n_ff);
			buffers[m] = make_weight(&f, WEIR_DTYPE_F16, n_in, n_ff, WEIR_WEIGHT_MATRIX,
						 w[m]);
			buffers[3 + m] = make_weight(&f, WEIR_DTYPE_F32, n_ff, 1,
						     WEIR_WEIGHT_VECTOR, bias_values[m]);
		}
		w[2] = random_weights(rand, down, n_ff, n_in);
		wf[2] = weights_as_floats(down, w[2], n_ff, n_in);
		buffers[2] = make_weight(&f, down, n_ff, n_in, WEIR_WEIGHT_MATRIX, w[2]);
		buffers[5] = add_input(&f, &b, x, n, n_in, &input);
		b.tensors[input].kind = WEIR_TENSOR_OUTPUT;
		hidden = add_temp(&b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, n_ff);
		op = add_op(&b, WEIR_OP_LINEAR);
		op->flags = act | (glu ? WEIR_LINEAR_GLU : 0);
		op->src[0] = input;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[0]);
		op->src[2] = glu ? add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[1]) : WEIR_NO_TENSOR;
		if (bias)
			op->src[4] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[3]);
		if (bias && glu)
			op->src[5] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[4]);
		op->dst[0] = hidden;
		op->i[0] = glu ? 2 : 1;
		op->f[0] = factor;
		op->f[1] = cap;
		op = add_op(&b, WEIR_OP_LINEAR); /* the residual: input += hidden . down^T */
		op->flags = WEIR_LINEAR_ADD;
		op->src[0] = hidden;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[2]);
		op->dst[0] = input;
		op->i[0] = 1;
		op->f[0] = 1;
		p = build(&f, &b, 32, 32);
		run_ok(&f, p, batch);
		for (unsigned t = 0; t < n; t++)
			for (size_t o = 0; o < n_ff; o++) {
				double y[2] = { 0, 0 };

				for (int m = 0; m < 2; m++) {
					for (size_t k = 0; k < n_in; k++)
						y[m] += (double)wf[m][o * n_in + k] *
							(double)x[t * n_in + k];
					y[m] += bias ? (double)bias_values[m][o] : 0;
				}
				y[0] = activate(act, y[0]) * (glu ? y[1] : 1) * (double)factor;
				h[t * n_ff + o] =
					cap > 0 ? (double)cap * tanh(y[0] / (double)cap) : y[0];
			}
		reference(wf[2], h, n_ff, n_in, n, want);
		for (size_t k = 0; k < n * n_in; k++)
			want[k] += (double)x[k];
		g_assert_cmpfloat(
			relative_error(f.device->output(&f.instance, p, input), want, n * n_in), <,
			down == WEIR_DTYPE_F32 ? 1e-5 : 1e-2);
		f.device->program_free(&f.instance, p);
		for (size_t m = 0; m < G_N_ELEMENTS(buffers); m++)
			f.device->buffer_free(&f.instance, buffers[m]);
		for (int m = 0; m < 3; m++) {
			g_free(w[m]);
			g_free(wf[m]);
		}
		simple_batch_free(batch);
		fixture_clear(&f);
	}
}

/* A NaN or an infinity in a row of activations stays in that row, and shows. */
static void test_not_finite(gconstpointer data)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	g_autofree uint8_t *w = random_weights(rand, WEIR_DTYPE_Q8_0, 64, 20);
	float x[3 * 64];
	struct fixture f;

	if (!fixture_init(&f, data, 1))
		return;
	for (int i = 0; i < 2; i++) {
		g_autofree float *y = NULL;

		fill_random(rand, x, 3 * 64);
		x[64 + 33] = i ? NAN : INFINITY;
		y = multiply(&f, WEIR_DTYPE_Q8_0, w, 64, 20, x, 3, 3);
		for (int o = 0; o < 20; o++) {
			g_assert_true(isfinite(y[o]) && isfinite(y[40 + o]));
			g_assert_true(isnan(y[20 + o]));
		}
	}
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	g_autofree struct linear_case *cases = g_new(struct linear_case, fixture_n_types * 8);
	size_t n = 0;

	g_test_init(&argc, &argv, NULL);
	for (size_t l = 0; fixture_levels[l]; l++) {
		const char *level = fixture_levels[l];
		g_autofree char *extremes = g_strdup_printf("/cpu/linear/%s/extremes", level);
		g_autofree char *epilogue = g_strdup_printf("/cpu/linear/%s/epilogue", level);
		g_autofree char *finite = g_strdup_printf("/cpu/linear/%s/not-finite", level);

		for (size_t i = 0; i < fixture_n_types; i++) {
			const char *name = weir_cpu_type(fixture_types[i])->name;
			g_autofree char *shapes = g_strdup_printf("/cpu/linear/%s/%s", level, name);
			g_autofree char *same =
				g_strdup_printf("/cpu/linear/%s/%s/invariance", level, name);

			cases[n] = (struct linear_case){ level, fixture_types[i] };
			g_test_add_data_func(shapes, &cases[n], test_type);
			g_test_add_data_func(same, &cases[n++], test_invariance);
		}
		g_test_add_data_func(extremes, level, test_extremes);
		g_test_add_data_func(epilogue, level, test_epilogue);
		g_test_add_data_func(finite, level, test_not_finite);
	}
	return g_test_run();
}
