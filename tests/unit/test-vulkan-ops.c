/*
 * test-vulkan-ops.c - EMBED, NORM, LINEAR and GATHER of the Vulkan device against the CPU device:
 * every type of weights, odd and even shapes, with and without the device's features; rows alone
 * and in company, bit by bit.
 */
#include "vulkan-fixture.h"

#include <string.h>

enum { MAX_ROWS = 40 };

static struct desk cpu;

/* Features that a device may lack. */
static const uint32_t without[] = {
	0,
	WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED | WEIR_VK_WITHOUT_WIDE,
	WEIR_VK_WITH_DOT | WEIR_VK_WITHOUT_WIDE,
};

/* The sizes of the device are tested with all its features. */
static gboolean open_variant(struct desk *vk, const uint32_t *features)
{
	if (!desk_open(vk, *features))
		return FALSE;
	if (features != &without[0])
		desk_small(vk);
	return TRUE;
}

/* A program with one input, held against the CPU device for n rows. */
static void compare(struct desk *vk, struct recipe *r, const uint32_t *outputs, unsigned n_outputs,
		    unsigned n, double limit, const char *name)
{
	struct weir_device_batch *batch = plain_batch(n, 1);
	struct dish got, want;

	r->max_tokens = r->max_out = MAX_ROWS;
	dish_make(&got, vk, r);
	dish_make(&want, &cpu, r);
	dish_step(&got, batch);
	dish_step(&want, batch);
	for (unsigned i = 0; i < n_outputs; i++) {
		size_t width = r->parts[outputs[i]].tensor.width;
		double d = distance(dish_output(&got, outputs[i]), dish_output(&want, outputs[i]),
				    n * width);

		if (d > limit)
			g_test_message("%s: result %u of %u rows is off by %g", name, i, n, d);
		g_assert_cmpfloat(d, <=, limit);
	}
	dish_free(&got);
	dish_free(&want);
	plain_batch_free(batch);
}

struct linear_case {
	const char *name;
	uint32_t type[3]; /* of the matrices; as many as n_out are not 0 */
	size_t n_in, n_out[3];
	unsigned rows;
	uint32_t flags;
	bool bias;
	float scale, softcap;
};

static const struct linear_case linear_cases[] = {
	{ "f32", { WEIR_DTYPE_F32 }, 65, { 33 }, 1, 0, false, 1, 0 },
	{ "f16", { WEIR_DTYPE_F16 }, 96, { 50 }, 3, WEIR_LINEAR_ADD, false, 1, 0 },
	{ "bf16", { WEIR_DTYPE_BF16 }, 260, { 7 }, 1, 0, true, 0.5f, 0 },
	{ "qkv-f16-f32",
	  { WEIR_DTYPE_F16, WEIR_DTYPE_F16, WEIR_DTYPE_F32 },
	  64,
	  { 64, 16, 16 },
	  2,
	  0,
	  true,
	  1,
	  0 },
	{ "softcap", { WEIR_DTYPE_Q8_0 }, 64, { 100 }, 5, 0, false, 1, 3 },
	{ "glu-q4_0",
	  { WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_0 },
	  128,
	  { 96, 96 },
	  1,
	  WEIR_LINEAR_GLU | WEIR_ACT_SILU,
	  true,
	  1,
	  0 },
	{ "glu-mixed",
	  { WEIR_DTYPE_Q5_0, WEIR_DTYPE_Q8_0 },
	  96,
	  { 40, 40 },
	  2,
	  WEIR_LINEAR_GLU | WEIR_ACT_GELU_TANH,
	  false,
	  1,
	  0 },
	{ "qkv-q4_k-q6_k",
	  { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K },
	  256,
	  { 64, 32, 33 },
	  1,
	  0,
	  true,
	  1,
	  0 },
	{ "qkv-three",
	  { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q5_K, WEIR_DTYPE_F16 },
	  256,
	  { 32, 40, 8 },
	  1,
	  0,
	  false,
	  1,
	  0 },
	{ "erf", { WEIR_DTYPE_Q8_0 }, 64, { 48 }, 9, WEIR_ACT_GELU_ERF, true, 1, 0 },
	{ "relu2", { WEIR_DTYPE_F16 }, 64, { 48 }, 1, WEIR_ACT_RELU2, false, 2, 0 },
	{ "relu", { WEIR_DTYPE_F32 }, 32, { 48 }, 1, WEIR_ACT_RELU, false, 1, 0 },
	{ "tanh", { WEIR_DTYPE_F32 }, 32, { 48 }, 1, WEIR_ACT_TANH, true, 1, 0 },
};

static unsigned n_mats(const struct linear_case *c)
{
	return c->n_out[2] ? 3 : c->n_out[1] ? 2 : 1;
}

static void check_linear(struct desk *vk, const struct linear_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(5);
	g_autofree float *x = g_new(float, MAX_ROWS * c->n_in);
	g_autofree float *sum = g_new(float, MAX_ROWS * 128);
	g_autofree float *bias = g_new(float, 512);
	uint8_t *weights[3] = { NULL };
	uint32_t outputs[3], input, base;
	struct recipe r = { .n_parts = 0 };
	bool floats = c->type[0] == WEIR_DTYPE_F32 || c->type[0] == WEIR_DTYPE_F16 ||
		      c->type[0] == WEIR_DTYPE_BF16;
	unsigned n = n_mats(c), n_outputs = c->flags & WEIR_LINEAR_GLU ? 1 : n;
	struct weir_op *op;

	reference_random(rand, x, MAX_ROWS * c->n_in);
	reference_random(rand, sum, MAX_ROWS * 128);
	reference_random(rand, bias, 512);
	input = recipe_input(&r, x, MAX_ROWS, c->n_in);
	for (unsigned k = 0; k < n_outputs; k++) {
		outputs[k] = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, c->n_out[k]);
		if (!(c->flags & WEIR_LINEAR_ADD))
			continue;
		base = recipe_weight(&r, WEIR_DTYPE_F32, c->n_out[k], MAX_ROWS, WEIR_WEIGHT_TABLE,
				     sum);
		op = recipe_op(&r, WEIR_OP_EMBED);
		op->src[0] = base;
		op->dst[0] = outputs[k];
		op->f[0] = 1;
	}
	op = recipe_op(&r, WEIR_OP_LINEAR);
	op->flags = c->flags;
	op->src[0] = input;
	op->i[0] = (int32_t)n;
	op->f[0] = c->scale;
	op->f[1] = c->softcap;
	for (unsigned k = 0; k < n; k++) {
		weights[k] = reference_weights(rand, c->type[k], c->n_in, c->n_out[k]);
		op->src[1 + k] = recipe_weight(&r, c->type[k], c->n_in, c->n_out[k],
					       WEIR_WEIGHT_MATRIX, weights[k]);
		if (c->bias)
			op->src[4 + k] = recipe_weight(&r, WEIR_DTYPE_F32, c->n_out[k], 1,
						       WEIR_WEIGHT_VECTOR, bias + 100 * k);
		if (k < n_outputs)
			op->dst[k] = outputs[k];
	}
	compare(vk, &r, outputs, n_outputs, c->rows, floats ? 1e-5 : 2e-3, c->name);
	for (unsigned k = 0; k < n; k++)
		g_free(weights[k]);
}

static void test_linear(gconstpointer data)
{
	struct desk vk;

	if (!open_variant(&vk, data))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(linear_cases); i++)
		if (data == &without[0] || i % 3 == 0)
			check_linear(&vk, &linear_cases[i]);
	desk_close(&vk);
}

/* Every type: as a matrix, and as a table of the same rows. */
static void check_type(struct desk *vk, uint32_t type)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(type + 1);
	size_t n_in = 512, n_out = 45;
	g_autofree uint8_t *weights = reference_weights(rand, type, n_in, n_out);
	g_autofree float *x = g_new(float, MAX_ROWS *n_in);
	struct recipe r = { .n_parts = 0 };
	bool floats = type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_F16 || type == WEIR_DTYPE_BF16;
	uint32_t input, y, table, z;
	struct weir_op *op;

	reference_random(rand, x, MAX_ROWS * n_in);
	input = recipe_input(&r, x, MAX_ROWS, n_in);
	table = recipe_weight(&r, type, n_in, n_out, WEIR_WEIGHT_MATRIX | WEIR_WEIGHT_TABLE,
			      weights);
	op = recipe_op(&r, WEIR_OP_LINEAR);
	op->src[0] = input;
	op->src[1] = table;
	op->dst[0] = y = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, n_out);
	op->i[0] = 1;
	op->f[0] = 1;
	op = recipe_op(&r, WEIR_OP_EMBED);
	op->src[0] = table;
	op->dst[0] = z = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, n_in);
	op->f[0] = 3;
	compare(vk, &r, &y, 1, 1, floats ? 1e-5 : 2e-3, reference_type_name(type));
	compare(vk, &r, &z, 1, 1, 1e-6, reference_type_name(type));
}

/* Those that are not among the reference's, since others of their kind are. */
static const uint32_t rare_types[] = { WEIR_DTYPE_IQ1_S, WEIR_DTYPE_IQ1_M, WEIR_DTYPE_IQ2_XXS,
				       WEIR_DTYPE_IQ2_S, WEIR_DTYPE_IQ3_S };

static void test_types(gconstpointer data)
{
	struct desk vk;

	if (!open_variant(&vk, data))
		return;
	for (size_t i = 0; i < reference_n_types(); i++)
		check_type(&vk, reference_types[i]);
	for (size_t i = 0; data == &without[0] && i < G_N_ELEMENTS(rare_types); i++)
		check_type(&vk, rare_types[i]);
	desk_close(&vk);
}

struct norm_case {
	uint32_t flags;
	size_t width;
	int32_t group;
	bool bias, wide_weight, chain, quantised;
};

static const struct norm_case norm_cases[] = {
	{ WEIR_NORM_RMS, 100, 0, false, false, false, false },
	{ WEIR_NORM_LAYER, 64, 0, true, false, false, true },
	{ WEIR_NORM_RMS | WEIR_NORM_ADD, 96, 0, false, false, false, true },
	{ WEIR_NORM_RMS, 96, 32, false, true, false, true },
	{ WEIR_NORM_LAYER | WEIR_NORM_ADD, 60, 20, true, false, false, false },
	{ WEIR_NORM_RMS | WEIR_NORM_ADD, 64, 0, false, false, true, true },
	{ WEIR_NORM_LAYER | WEIR_NORM_ADD, 70, 0, true, false, true, false },
};

static void check_norm(struct desk *vk, const struct norm_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(8);
	float x[MAX_ROWS * 128], w[128], b[128];
	size_t n_w = c->group && !c->wide_weight ? (size_t)c->group : c->width;
	uint32_t type = c->quantised ? WEIR_DTYPE_Q8_0 : WEIR_DTYPE_F32;
	g_autofree uint8_t *matrix = reference_weights(rand, type, c->width, 40);
	struct recipe r = { .n_parts = 0 };
	uint32_t input, outputs[3], n = 0, last;
	struct weir_op *op;

	reference_random(rand, x, G_N_ELEMENTS(x));
	reference_random(rand, w, 128);
	reference_random(rand, b, 128);
	input = recipe_input(&r, x, MAX_ROWS, c->width);
	last = outputs[n++] = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, c->width);
	if (c->flags & WEIR_NORM_ADD) {
		op = recipe_op(&r, WEIR_OP_EMBED);
		op->src[0] =
			recipe_weight(&r, WEIR_DTYPE_F32, c->width, MAX_ROWS, WEIR_WEIGHT_TABLE, x);
		op->dst[0] = last;
		op->f[0] = 2;
	}
	for (int k = 0; k < (c->chain ? 2 : 1); k++) {
		op = recipe_op(&r, WEIR_OP_NORM);
		op->flags = k ? c->flags & ~(uint32_t)WEIR_NORM_ADD : c->flags;
		op->src[0] = k ? last : input;
		op->src[1] = recipe_weight(&r, WEIR_DTYPE_F32, n_w, 1, WEIR_WEIGHT_VECTOR, w);
		if (c->bias)
			op->src[2] =
				recipe_weight(&r, WEIR_DTYPE_F32, n_w, 1, WEIR_WEIGHT_VECTOR, b);
		if (k)
			last = outputs[n++] =
				recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, c->width);
		op->dst[0] = last;
		op->i[0] = c->group;
		op->f[0] = 1e-5f;
	}
	op = recipe_op(&r, WEIR_OP_LINEAR);
	op->src[0] = last;
	op->src[1] = recipe_weight(&r, type, c->width, 40, WEIR_WEIGHT_MATRIX, matrix);
	op->dst[0] = outputs[n++] = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 40);
	op->i[0] = 1;
	op->f[0] = 1;
	compare(vk, &r, outputs, n - 1, 3, 1e-5, "norm");
	compare(vk, &r, outputs + n - 1, 1, 3, c->quantised ? 2e-3 : 1e-5, "norm and linear");
}

static void test_norm(gconstpointer data)
{
	struct desk vk;

	if (!open_variant(&vk, data))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(norm_cases); i++)
		check_norm(&vk, &norm_cases[i]);
	desk_close(&vk);
}

/* Positions, fixed rows, sums; rows gathered, as floats and for a quantised matrix. */
static void test_rows(gconstpointer data)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(9);
	g_autofree uint8_t *table = reference_weights(rand, WEIR_DTYPE_Q4_K, 256, 70);
	g_autofree uint8_t *matrix = reference_weights(rand, WEIR_DTYPE_Q6_K, 256, 64);
	g_autofree uint8_t *second = reference_weights(rand, WEIR_DTYPE_Q8_0, 64, 33);
	static const uint32_t flags[] = { 0, WEIR_EMBED_ADD | WEIR_EMBED_POSITION,
					  WEIR_EMBED_ADD | WEIR_EMBED_FIXED };
	uint32_t x, y, z, t, w, v, outs[] = { 1, 2, 6 };
	struct weir_device_batch *batch = plain_batch(7, 1);
	struct recipe r = { .max_tokens = MAX_ROWS, .max_out = MAX_ROWS };
	struct dish got, want;
	struct weir_op *op;
	struct desk vk;

	if (!open_variant(&vk, data))
		return;
	t = recipe_weight(&r, WEIR_DTYPE_Q4_K, 256, 70, WEIR_WEIGHT_TABLE, table);
	x = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 256);
	for (int i = 0; i < 3; i++) {
		op = recipe_op(&r, WEIR_OP_EMBED);
		op->flags = flags[i];
		op->src[0] = t;
		op->dst[0] = x;
		op->i[0] = i * 5;
		op->f[0] = 0.5f + (float)i;
	}
	y = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 256);
	op = recipe_op(&r, WEIR_OP_GATHER);
	op->src[0] = x;
	op->dst[0] = y;
	z = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 64);
	w = recipe_weight(&r, WEIR_DTYPE_Q6_K, 256, 64, WEIR_WEIGHT_MATRIX, matrix);
	op = recipe_op(&r, WEIR_OP_LINEAR);
	op->src[0] = y;
	op->src[1] = w;
	op->dst[0] = z;
	op->i[0] = 1;
	op->f[0] = 1;
	/* what a LINEAR quantised itself, and one whose sum is quantised by a step of its own */
	v = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 33);
	op = recipe_op(&r, WEIR_OP_LINEAR);
	op->src[0] = z;
	op->src[1] = recipe_weight(&r, WEIR_DTYPE_Q8_0, 64, 33, WEIR_WEIGHT_MATRIX, second);
	op->dst[0] = v;
	op->i[0] = 1;
	op->f[0] = 1;
	dish_make(&got, &vk, &r);
	dish_make(&want, &cpu, &r);
	batch->n_out = 3;
	memcpy((uint32_t *)batch->out_row, outs, sizeof(outs));
	dish_step(&got, batch);
	dish_step(&want, batch);
	g_assert_cmpfloat(distance(dish_output(&got, x), dish_output(&want, x), 7 * 256), <, 1e-6);
	g_assert_cmpfloat(distance(dish_output(&got, y), dish_output(&want, y), 3 * 256), <, 1e-6);
	g_assert_cmpfloat(distance(dish_output(&got, z), dish_output(&want, z), 3 * 64), <, 2e-3);
	g_assert_cmpfloat(distance(dish_output(&got, v), dish_output(&want, v), 3 * 33), <, 5e-3);
	dish_free(&got);
	dish_free(&want);
	plain_batch_free(batch);
	desk_close(&vk);
}

/* A row's result is the same alone and among others, however many. */
static void test_company(gconstpointer data)
{
	static const uint32_t types[] = { WEIR_DTYPE_Q4_K, WEIR_DTYPE_F16 };
	static const unsigned counts[] = { 1, 2, 3, 7, 21 };
	struct desk vk;

	if (!desk_open(&vk, 0))
		return;
	for (size_t k = 0; k < G_N_ELEMENTS(types); k++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(12);
		g_autofree uint8_t *gate = reference_weights(rand, types[k], 512, 64);
		g_autofree uint8_t *up = reference_weights(rand, types[k], 512, 64);
		g_autofree float *x = g_new(float, MAX_ROWS * 512);
		struct recipe r = { .max_tokens = MAX_ROWS, .max_out = MAX_ROWS };
		float alone[MAX_ROWS * 64];
		uint32_t input, y;
		struct weir_op *op;
		struct dish dish;

		reference_random(rand, x, MAX_ROWS * 512);
		input = recipe_input(&r, x, MAX_ROWS, 512);
		op = recipe_op(&r, WEIR_OP_LINEAR);
		op->flags = WEIR_LINEAR_GLU | WEIR_ACT_SILU;
		op->src[0] = input;
		op->src[1] = recipe_weight(&r, types[k], 512, 64, WEIR_WEIGHT_MATRIX, gate);
		op->src[2] = recipe_weight(&r, types[k], 512, 64, WEIR_WEIGHT_MATRIX, up);
		op->dst[0] = y = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 64);
		op->i[0] = 2;
		op->f[0] = 1;
		dish_make(&dish, &vk, &r);
		for (unsigned i = 0; i < MAX_ROWS; i++) {
			struct weir_device_batch *batch = plain_batch(1, 1);

			*(int32_t *)batch->token = (int32_t)i;
			dish_step(&dish, batch);
			memcpy(alone + (size_t)i * 64, dish_output(&dish, y), 64 * sizeof(float));
			plain_batch_free(batch);
		}
		for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
			struct weir_device_batch *batch = plain_batch(counts[i], 1);

			dish_step(&dish, batch);
			g_assert_cmpmem(dish_output(&dish, y), counts[i] * 64 * sizeof(float),
					alone, counts[i] * 64 * sizeof(float));
			plain_batch_free(batch);
		}
		dish_free(&dish);
	}
	desk_close(&vk);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "all", "least", "dot" };
	int status;

	g_test_init(&argc, &argv, NULL);
	desk_open_reference(&cpu);
	for (size_t i = 0; i < G_N_ELEMENTS(without); i++) {
		static const struct {
			const char *name;
			GTestDataFunc run;
		} tests[] = { { "linear", test_linear },
			      { "types", test_types },
			      { "norm", test_norm },
			      { "rows", test_rows } };

		for (size_t k = 0; k < G_N_ELEMENTS(tests); k++) {
			g_autofree char *path =
				g_strdup_printf("/vulkan/ops/%s/%s", names[i], tests[k].name);

			if (i < 2 || k == 1)
				g_test_add_data_func(path, &without[i], tests[k].run);
		}
	}
	g_test_add_data_func("/vulkan/ops/company", NULL, test_company);
	status = g_test_run();
	desk_close_reference(&cpu);
	return status;
}
