/*
 * test-cpu-ops.c - EMBED, NORM and GATHER of the CPU device against double precision on every ISA
 * level, and the device's manners: what it refuses and how, interrupts, host work, block copies.
 */
#include <math.h>
#include <string.h>

#include "cpu-fixture.h"

/* Rows looked up are the dequantiser's own, to the bit; tied use as table and matrix. */
static void test_embed(gconstpointer data)
{
	const size_t width = 512, n_vocab = 50;
	g_autoptr(GRand) rand = g_rand_new_with_seed(2);
	struct fixture f;

	if (!fixture_init(&f, data, 2))
		return;
	for (size_t i = 0; i < fixture_n_types * 2; i++) {
		uint32_t type = fixture_types[i / 2];
		float factor = i % 2 ? 22.5f : 1.0f;
		struct builder b = { 0 };
		g_autofree uint8_t *src = random_weights(rand, type, width, n_vocab);
		g_autofree float *want = weights_as_floats(type, src, width, n_vocab);
		weir_buffer *table = make_weight(&f, type, width, n_vocab,
						 WEIR_WEIGHT_TABLE | WEIR_WEIGHT_MATRIX, src);
		struct weir_device_batch *batch = simple_batch(7, 16);
		int32_t token[7] = { 49, 0, 3, 3, 17, 48, 1 };
		struct weir_op *op = add_op(&b, WEIR_OP_EMBED);
		uint32_t x = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, width), logits;
		const float *got;
		weir_program *p;

		op->src[0] = add_buffer(&b, WEIR_TENSOR_WEIGHT, table);
		op->dst[0] = x;
		op->f[0] = factor;
		op = add_op(&b, WEIR_OP_LINEAR);
		logits = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, n_vocab);
		op->src[0] = x;
		op->src[1] = b.ops[0].src[0];
		op->dst[0] = logits;
		op->i[0] = 1;
		op->f[0] = 1;
		p = build(&f, &b, 7, 7);
		g_free((void *)batch->token);
		batch->token = g_memdup2(token, sizeof(token));
		run_ok(&f, p, batch);
		got = f.device->output(&f.instance, p, x);
		for (size_t t = 0; t < 7; t++)
			for (size_t k = 0; k < width; k++)
				g_assert_true(got[t * width + k] ==
					      want[(size_t)token[t] * width + k] * factor);
		got = f.device->output(&f.instance, p, logits);
		for (size_t t = 0; t < 7; t++) { /* a row is most like itself: its norm */
			double norm = 0, *one = &norm;

			for (size_t k = 0; k < width; k++)
				norm += pow((double)want[(size_t)token[t] * width + k], 2);
			norm *= (double)factor;
			g_assert_cmpfloat(relative_error(got + t * n_vocab + token[t], one, 1), <,
					  1e-2);
		}
		f.device->program_free(&f.instance, p);
		f.device->buffer_free(&f.instance, table);
		simple_batch_free(batch);
	}
	fixture_clear(&f);
}

static void test_norm(gconstpointer data)
{
	static const struct {
		size_t width, group, weight; /* weight: its length */
	} shapes[] = { { 64, 0, 64 },     { 40, 0, 40 },  { 1, 0, 1 },    { 129, 0, 129 },
		       { 4096, 0, 4096 }, { 96, 32, 32 }, { 96, 32, 96 }, { 60, 20, 20 } };
	g_autoptr(GRand) rand = g_rand_new_with_seed(4);
	struct fixture f;

	if (!fixture_init(&f, data, 2))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(shapes) * 8; i++) {
		size_t width = shapes[i / 8].width, n_w = shapes[i / 8].weight;
		size_t group = shapes[i / 8].group ? shapes[i / 8].group : width;
		gboolean layer = i & 1, bias = i & 2, add = i & 4;
		const unsigned n = 5;
		struct builder b = { 0 };
		g_autofree float *x = g_new(float, n *width), *w = g_new(float, 2 * n_w);
		g_autofree double *want = g_new(double, n *width);
		weir_buffer *buffers[3] = { NULL };
		struct weir_device_batch *batch = simple_batch(n, 16);
		uint32_t input, output;
		struct weir_op *op;
		weir_program *p;

		fill_random(rand, x, n * width);
		fill_random(rand, w, 2 * n_w);
		for (size_t k = 0; k < n * width; k++)
			x[k] = x[k] * 3 + 1;
		buffers[0] = add_input(&f, &b, x, n, width, &input);
		buffers[1] = make_weight(&f, WEIR_DTYPE_F32, n_w, 1, WEIR_WEIGHT_VECTOR, w);
		if (bias)
			buffers[2] = make_weight(&f, WEIR_DTYPE_F32, n_w, 1, WEIR_WEIGHT_VECTOR,
						 w + n_w);
		output = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, width);
		op = add_op(&b, WEIR_OP_NORM);
		op->flags = layer ? WEIR_NORM_LAYER : WEIR_NORM_RMS;
		op->src[0] = input;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[1]);
		op->src[2] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[2]);
		op->dst[0] = output;
		op->i[0] = (int32_t)shapes[i / 8].group;
		op->f[0] = 1e-5f;
		if (add) { /* the same once more on top */
			struct weir_op *again = add_op(&b, WEIR_OP_NORM);

			*again = b.ops[b.n_ops - 2];
			again->flags |= WEIR_NORM_ADD;
		}
		p = build(&f, &b, 8, 8);
		run_ok(&f, p, batch);
		for (size_t g = 0; g < n * width; g += group) {
			double mean = 0, var = 0;

			for (size_t k = 0; layer && k < group; k++)
				mean += (double)x[g + k] / (double)group;
			for (size_t k = 0; k < group; k++)
				var += pow((double)x[g + k] - mean, 2) / (double)group;
			for (size_t k = 0; k < group; k++) {
				size_t at = n_w == group ? k : (g + k) % width;

				want[g + k] = ((double)x[g + k] - mean) / sqrt(var + 1e-5) *
						      (double)w[at] +
					      (bias ? (double)w[n_w + at] : 0);
				want[g + k] *= add ? 2 : 1;
			}
		}
		g_assert_cmpfloat(
			relative_error(f.device->output(&f.instance, p, output), want, n * width),
			<, 1e-6);
		f.device->program_free(&f.instance, p);
		for (int k = 0; k < 3; k++)
			f.device->buffer_free(&f.instance, buffers[k]);
		simple_batch_free(batch);
	}
	fixture_clear(&f);
}

/* Rows of output: some, all, none; then a LINEAR on them alone. */
static void test_gather(gconstpointer data)
{
	const size_t width = 64, n_out = 20;
	g_autoptr(GRand) rand = g_rand_new_with_seed(6);
	g_autofree uint8_t *w = random_weights(rand, WEIR_DTYPE_F32, width, n_out);
	float x[40 * 64];
	struct fixture f;

	if (!fixture_init(&f, data, 2))
		return;
	fill_random(rand, x, G_N_ELEMENTS(x));
	for (unsigned every = 1; every <= 41; every += 8) {
		struct builder b = { 0 };
		struct weir_device_batch *batch = simple_batch(40, 16);
		weir_buffer *buffers[2];
		uint32_t input, rows, y, *out = (uint32_t *)batch->out_row;
		struct weir_op *op;
		const float *got;
		weir_program *p;

		batch->n_out = 0;
		for (uint32_t t = every - 1; t < 40; t += every)
			out[batch->n_out++] = t;
		buffers[0] = add_input(&f, &b, x, 40, width, &input);
		buffers[1] = make_weight(&f, WEIR_DTYPE_F32, width, n_out, WEIR_WEIGHT_MATRIX, w);
		rows = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, width);
		y = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, n_out);
		op = add_op(&b, WEIR_OP_GATHER);
		op->src[0] = input;
		op->dst[0] = rows;
		op = add_op(&b, WEIR_OP_LINEAR);
		op->src[0] = rows;
		op->src[1] = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[1]);
		op->dst[0] = y;
		op->i[0] = 1;
		op->f[0] = 1;
		p = build(&f, &b, 40, 40);
		run_ok(&f, p, batch);
		got = f.device->output(&f.instance, p, rows);
		for (uint32_t o = 0; o < batch->n_out; o++)
			g_assert_cmpmem(got + o * width, width * 4, x + out[o] * width, width * 4);
		got = f.device->output(&f.instance, p, y);
		for (uint32_t o = 0; o < batch->n_out; o++) {
			double want[20] = { 0 };

			for (size_t i = 0; i < n_out * width; i++)
				want[i / width] += (double)((float *)w)[i] *
						   (double)x[out[o] * width + i % width];
			g_assert_cmpfloat(relative_error(got + o * n_out, want, n_out), <, 1e-5);
		}
		f.device->program_free(&f.instance, p);
		f.device->buffer_free(&f.instance, buffers[0]);
		f.device->buffer_free(&f.instance, buffers[1]);
		simple_batch_free(batch);
	}
	fixture_clear(&f);
}

static void test_refusals(void)
{
	static const float x[64];
	struct builder b = { 0 };
	struct weir_error err = { 0 };
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = 4,
					  .max_rows = 4,
					  .max_out = 4,
					  .tensors = b.tensors,
					  .ops = b.ops };
	struct weir_device_batch *batch = simple_batch(4, 16);
	weir_buffer *none = NULL, *table;
	weir_program *p = NULL;
	uint32_t input;
	struct weir_op *op;
	struct fixture f;

	g_assert_true(fixture_init(&f, "scalar", 1));
	g_assert_cmpint(
		f.device->weight(&f.instance, 15, 256, 1, WEIR_WEIGHT_MATRIX, x, &none, &err), ==,
		WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(err.text, "Q8_K"));
	g_assert_cmpint(f.device->weight(&f.instance, WEIR_DTYPE_Q8_0, 33, 1, WEIR_WEIGHT_MATRIX, x,
					 &none, &err),
			==, WEIR_E_INVALID);
	g_assert_cmpint(f.device->weight(&f.instance, WEIR_DTYPE_F32, 8, 1, 0, x, &none, &err), ==,
			WEIR_E_INVALID);
	g_assert_cmpint(f.device->kv(&f.instance, WEIR_DTYPE_Q4_K, 1, 16, 1, 32, &none, &err), ==,
			WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(err.text, "Q4_K"));
	g_assert_cmpint(f.device->kv(&f.instance, WEIR_DTYPE_Q8_0, 1, 16, 1, 80, &none, &err), ==,
			WEIR_E_UNSUPPORTED);
	g_assert_nonnull(strstr(err.text, "multiple of 32, not 80"));
	g_assert_cmpint(f.device->kv(&f.instance, WEIR_DTYPE_F16, 0, 16, 1, 32, &none, &err), ==,
			WEIR_E_INVALID);
	g_assert_cmpint(f.device->kv(&f.instance, WEIR_DTYPE_F16, UINT32_MAX, 1 << 16, 1 << 16,
				     4096, &none, &err),
			!=, WEIR_OK);
	g_assert_null(none);
	f.device->buffer_free(&f.instance, NULL);
	f.device->program_free(&f.instance, NULL);

	table = add_input(&f, &b, x, 4, 16, &input);
	b.tensors[input].kind = WEIR_TENSOR_OUTPUT;
	op = add_op(&b, 99);
	desc.n_ops = 2;
	desc.n_tensors = b.n_tensors;
	g_assert_false(f.device->supports(&f.instance, op, b.tensors));
	g_assert_cmpint(f.device->program_new(&f.instance, &desc, &p, &err), ==,
			WEIR_E_UNSUPPORTED);
	op->code = WEIR_OP_GATHER;
	op->src[0] = 77; /* no such tensor */
	g_assert_cmpint(f.device->program_new(&f.instance, &desc, &p, &err), ==, WEIR_E_INVALID);
	op->src[0] = op->dst[0] = input;
	g_assert_cmpint(f.device->program_new(&f.instance, &desc, &p, &err), ==, WEIR_E_INVALID);
	desc.n_ops = 1;
	desc.max_tokens = 0;
	g_assert_cmpint(f.device->program_new(&f.instance, &desc, &p, &err), ==, WEIR_E_INVALID);
	g_assert_null(p);
	desc.max_tokens = 4;
	g_assert_cmpint(f.device->program_new(&f.instance, &desc, &p, &err), ==, WEIR_OK);
	g_assert_null(f.device->output(&f.instance, p, 1000));
	/* batches that would leave memory */
	((int32_t *)batch->token)[2] = 4;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	((int32_t *)batch->token)[2] = -1;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	((int32_t *)batch->token)[2] = 2;
	((uint32_t *)batch->out_row)[1] = 4;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	((uint32_t *)batch->out_row)[1] = 1;
	batch->n_tokens = 5;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	batch->n_tokens = 4;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_OK);
	f.device->program_free(&f.instance, p);
	f.device->buffer_free(&f.instance, table);
	simple_batch_free(batch);
	fixture_clear(&f);
}

static void test_isa(void)
{
	struct weir_error err = { 0 };
	struct weir_device_info info = { .size = sizeof(info) };
	struct weir_cpu *cpu = NULL;
	struct fixture f;

	g_setenv("WEIR_ISA", "sse9", TRUE);
	g_assert_cmpint(weir_cpu_new(1, false, &cpu, &err), ==, WEIR_E_INVALID);
	g_assert_nonnull(strstr(err.text, "sse9"));
	g_assert_null(cpu);
	g_unsetenv("WEIR_ISA");
	g_assert_true(fixture_init(&f, "scalar", 3));
	f.device->info(&f.instance, &info);
	g_assert_cmpuint(info.n_threads, ==, 3);
	g_assert_cmpuint(info.memory_free, >, 0);
	g_assert_cmpuint(info.memory_free, <=, info.memory_total);
	g_assert_true(g_str_has_suffix(info.name, ", scalar, 3 threads"));
	fixture_clear(&f);
}

static gpointer interrupt_soon(gpointer data)
{
	struct fixture *f = data;

	g_usleep(30 * 1000);
	f->device->interrupt(&f->instance);
	return NULL;
}

/* A run that would take long ends early when another thread interrupts it; the next one runs. */
static void test_interrupt(void)
{
	const size_t width = 512;
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);
	g_autofree uint8_t *w = random_weights(rand, WEIR_DTYPE_F32, width, width);
	g_autofree float *x = g_new0(float, 512 * width);
	struct builder b = { 0 };
	struct weir_device_batch *batch = simple_batch(512, 16), *small = simple_batch(1, 16);
	weir_buffer *buffers[2];
	struct weir_error err = { 0 };
	uint32_t temps[3], matrix;
	struct fixture f;
	weir_program *p;
	GThread *thread;

	g_assert_true(fixture_init(&f, "scalar", 2));
	buffers[0] = add_input(&f, &b, x, 512, width, &temps[0]);
	buffers[1] = make_weight(&f, WEIR_DTYPE_F32, width, width, WEIR_WEIGHT_MATRIX, w);
	matrix = add_buffer(&b, WEIR_TENSOR_WEIGHT, buffers[1]);
	temps[1] = add_temp(&b, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, width);
	for (int i = 0; i < 60; i++) { /* tens of seconds in plain C */
		struct weir_op *op = add_op(&b, WEIR_OP_LINEAR);

		op->src[0] = temps[i % 2];
		op->src[1] = matrix;
		op->dst[0] = temps[1 - i % 2];
		op->i[0] = 1;
		op->f[0] = 1;
	}
	p = build(&f, &b, 512, 1);
	batch->n_out = 0;
	small->n_out = 0;
	thread = g_thread_new("interrupt", interrupt_soon, &f);
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_CANCELLED);
	g_thread_join(thread);
	run_ok(&f, p, small);
	f.device->program_free(&f.instance, p);
	f.device->buffer_free(&f.instance, buffers[0]);
	f.device->buffer_free(&f.instance, buffers[1]);
	simple_batch_free(batch);
	simple_batch_free(small);
	fixture_clear(&f);
}

static void add_one(void *data, uint32_t i)
{
	((unsigned *)data)[i]++;
}

static void test_parallel(void)
{
	unsigned items[100] = { 0 };
	struct fixture f;

	g_assert_true(fixture_init(&f, "scalar", 3));
	f.device->parallel(&f.instance, 100, add_one, items);
	for (int i = 0; i < 100; i++)
		g_assert_cmpuint(items[i], ==, 1);
	fixture_clear(&f);
}

/* copies: block 0 to 2, then attention reads block 2 as if the prompt had been computed there. */
static void test_copies(void)
{
	const size_t width = 32;
	g_autoptr(GRand) rand = g_rand_new_with_seed(8);
	float x[17 * 32], first[32];
	struct builder b = { 0 };
	weir_buffer *buffers[3] = { NULL };
	struct weir_device_batch *batch = simple_batch(17, 16);
	struct weir_error err = { 0 };
	struct weir_op *op;
	struct fixture f;
	uint32_t input, y, keys, values, copies[2] = { 0, 2 };
	weir_program *p;

	g_assert_true(fixture_init(&f, "scalar", 2));
	fill_random(rand, x, G_N_ELEMENTS(x));
	for (int i = 0; i < 2; i++)
		g_assert_cmpint(
			f.device->kv(&f.instance, WEIR_DTYPE_F32, 4, 16, 1, 32, &buffers[i], &err),
			==, WEIR_OK);
	buffers[2] = add_input(&f, &b, x, 17, width, &input);
	keys = add_buffer(&b, WEIR_TENSOR_KV, buffers[0]);
	values = add_buffer(&b, WEIR_TENSOR_KV, buffers[1]);
	y = add_temp(&b, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, width);
	op = add_op(&b, WEIR_OP_ROPE_KV);
	op->src[0] = op->src[1] = op->src[2] = input;
	op->src[3] = keys;
	op->src[4] = values;
	op->i[0] = op->i[1] = 1;
	op->i[2] = 32;
	op = add_op(&b, WEIR_OP_ATTENTION);
	op->src[0] = input;
	op->src[1] = keys;
	op->src[2] = values;
	op->dst[0] = y;
	op->i[0] = op->i[1] = 1;
	op->i[2] = 32;
	op->f[0] = 1;
	p = build(&f, &b, 17, 1);
	batch->n_out = 0;
	run_ok(&f, p, batch); /* 17 tokens: blocks 0, 1 */
	memcpy(first, f.device->output(&f.instance, p, y) + 16 * width, sizeof(first));
	/* the last token again, its prompt now a copy in block 2, itself in block 3 */
	batch->n_tokens = 1;
	batch->n_copies = 1;
	batch->copies = copies;
	((int32_t *)batch->token)[0] = ((int32_t *)batch->pos)[0] = 16;
	((uint32_t *)batch->slot)[0] = 3 * 16;
	((uint32_t *)batch->first)[1] = 1;
	((uint32_t *)batch->blocks)[0] = 2;
	((uint32_t *)batch->blocks)[1] = 3;
	memset(buffers[0]->data + 2 * buffers[0]->block_bytes, 0, buffers[0]->block_bytes);
	run_ok(&f, p, batch);
	g_assert_cmpmem(first, sizeof(first), f.device->output(&f.instance, p, y), sizeof(first));
	/* out of range */
	copies[1] = 4;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	copies[1] = 2;
	((uint32_t *)batch->blocks)[1] = 4;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	((uint32_t *)batch->blocks)[1] = 3;
	((uint32_t *)batch->slot)[0] = 64;
	g_assert_cmpint(f.device->run(&f.instance, p, batch, &err), ==, WEIR_E_INVALID);
	f.device->program_free(&f.instance, p);
	for (int i = 0; i < 3; i++)
		f.device->buffer_free(&f.instance, buffers[i]);
	simple_batch_free(batch);
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t l = 0; fixture_levels[l]; l++) {
		g_autofree char *embed = g_strdup_printf("/cpu/ops/%s/embed", fixture_levels[l]);
		g_autofree char *norm = g_strdup_printf("/cpu/ops/%s/norm", fixture_levels[l]);
		g_autofree char *gather = g_strdup_printf("/cpu/ops/%s/gather", fixture_levels[l]);

		g_test_add_data_func(embed, fixture_levels[l], test_embed);
		g_test_add_data_func(norm, fixture_levels[l], test_norm);
		g_test_add_data_func(gather, fixture_levels[l], test_gather);
	}
	g_test_add_func("/cpu/ops/refusals", test_refusals);
	g_test_add_func("/cpu/ops/isa", test_isa);
	g_test_add_func("/cpu/ops/interrupt", test_interrupt);
	g_test_add_func("/cpu/ops/parallel", test_parallel);
	g_test_add_func("/cpu/ops/copies", test_copies);
	return g_test_run();
}
