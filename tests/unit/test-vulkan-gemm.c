/*
 * test-vulkan-gemm.c - LINEAR with many rows on the Vulkan device: the tiled shaders against the
 * CPU device, and bit by bit against the matrix-vector shaders, which take up to eight rows.
 */
#include "vulkan-fixture.h"
#include "layout.h"

#include <string.h>

enum { MAX_ROWS = 48 };

static struct desk cpu;

struct variant {
	const char *name;
	uint32_t without;
	unsigned every; /* of the types */
};

static const struct variant variants[] = {
	{ "all", 0, 1 },
	{ "least", WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED | WEIR_VK_WITHOUT_WIDE, 6 },
	{ "dot", WEIR_VK_WITH_DOT | WEIR_VK_WITHOUT_WIDE, 5 },
	{ "narrow", WEIR_VK_WITHOUT_WIDE, 9 },
	{ "wide-dot", WEIR_VK_WITH_DOT, 9 },
};

struct gemm_case {
	const char *name;
	uint32_t type[3];
	size_t n_in, n_out[3];
	unsigned rows;
	uint32_t flags;
	bool bias;
	float scale, softcap;
};

static const struct gemm_case cases[] = {
	{ "bias-add", { WEIR_DTYPE_Q8_0 }, 96, { 300 }, 17, WEIR_LINEAR_ADD, true, 0.5f, 0 },
	{ "glu",
	  { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K },
	  256,
	  { 160, 160 },
	  33,
	  WEIR_LINEAR_GLU | WEIR_ACT_SILU,
	  true,
	  1,
	  0 },
	{ "qkv",
	  { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K },
	  512,
	  { 264, 32, 33 },
	  9,
	  0,
	  true,
	  1,
	  0 },
	{ "softcap", { WEIR_DTYPE_Q5_1 }, 64, { 40 }, 48, 0, false, 1, 3 },
	{ "act", { WEIR_DTYPE_F16 }, 96, { 70 }, 12, WEIR_ACT_RELU2, true, 2, 0 },
	{ "odd", { WEIR_DTYPE_F32 }, 65, { 33 }, 40, WEIR_LINEAR_ADD, false, 1, 0 },
	{ "qkv-bf16",
	  { WEIR_DTYPE_BF16, WEIR_DTYPE_F32, WEIR_DTYPE_BF16 },
	  128,
	  { 100, 20, 300 },
	  10,
	  0,
	  false,
	  1,
	  0 },
};

/* The case's LINEAR, with what it reads; n outputs. */
struct setup {
	struct recipe recipe;
	uint32_t outputs[3];
	unsigned n_outputs;
	float *x, *sum, *bias;
	uint8_t *weights[3];
};

static void setup_init(struct setup *u, const struct gemm_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(21);
	unsigned n = c->n_out[2] ? 3 : c->n_out[1] ? 2 : 1;
	struct weir_op *op;
	uint32_t input;

	*u = (struct setup){ .recipe = { .max_tokens = MAX_ROWS, .max_out = MAX_ROWS },
			     .n_outputs = c->flags & WEIR_LINEAR_GLU ? 1 : n,
			     .x = g_new(float, MAX_ROWS * c->n_in),
			     .sum = g_new(float, MAX_ROWS * 512),
			     .bias = g_new(float, 512) };
	reference_random(rand, u->x, MAX_ROWS * c->n_in);
	reference_random(rand, u->sum, MAX_ROWS * 512);
	reference_random(rand, u->bias, 512);
	input = recipe_input(&u->recipe, u->x, MAX_ROWS, c->n_in);
	for (unsigned k = 0; k < u->n_outputs; k++) {
		u->outputs[k] =
			recipe_temp(&u->recipe, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, c->n_out[k]);
		if (!(c->flags & WEIR_LINEAR_ADD))
			continue;
		op = recipe_op(&u->recipe, WEIR_OP_EMBED);
		op->src[0] = recipe_weight(&u->recipe, WEIR_DTYPE_F32, c->n_out[k], MAX_ROWS,
					   WEIR_WEIGHT_TABLE, u->sum);
		op->dst[0] = u->outputs[k];
		op->f[0] = 1;
	}
	op = recipe_op(&u->recipe, WEIR_OP_LINEAR);
	op->flags = c->flags;
	op->src[0] = input;
	op->i[0] = (int32_t)n;
	op->f[0] = c->scale;
	op->f[1] = c->softcap;
	for (unsigned k = 0; k < n; k++) {
		u->weights[k] = reference_weights(rand, c->type[k], c->n_in, c->n_out[k]);
		op->src[1 + k] = recipe_weight(&u->recipe, c->type[k], c->n_in, c->n_out[k],
					       WEIR_WEIGHT_MATRIX, u->weights[k]);
		if (c->bias)
			op->src[4 + k] = recipe_weight(&u->recipe, WEIR_DTYPE_F32, c->n_out[k], 1,
						       WEIR_WEIGHT_VECTOR, u->bias + 50 * k);
		if (k < u->n_outputs)
			op->dst[k] = u->outputs[k];
	}
}

static void setup_clear(struct setup *u)
{
	g_free(u->x);
	g_free(u->sum);
	g_free(u->bias);
	for (int k = 0; k < 3; k++)
		g_free(u->weights[k]);
}

static bool is_float(uint32_t type)
{
	return type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_F16 || type == WEIR_DTYPE_BF16;
}

/* n rows from row `from` of the input on. */
static void step(struct dish *dish, unsigned from, unsigned n)
{
	struct weir_device_batch *batch = plain_batch(n, 1);

	for (unsigned i = 0; i < n; i++)
		((int32_t *)batch->token)[i] = (int32_t)(from + i);
	dish_step(dish, batch);
	plain_batch_free(batch);
}

/* As many rows as the case has: near the CPU's results, and the same as in parts of one to eight.
 */
static void check_case(struct desk *vk, const struct gemm_case *c, size_t n_parts)
{
	static const unsigned parts[] = { 1, 8, 2, 4 };
	double limit = is_float(c->type[0]) ? 1e-5 : 2e-3;
	float *got[3] = { NULL };
	struct dish dish, want;
	struct setup u;

	setup_init(&u, c);
	dish_make(&dish, vk, &u.recipe);
	dish_make(&want, &cpu, &u.recipe);
	step(&dish, 0, c->rows);
	step(&want, 0, c->rows);
	for (unsigned k = 0; k < u.n_outputs; k++) {
		size_t n = c->rows * c->n_out[k];
		double d = distance(dish_output(&dish, u.outputs[k]),
				    dish_output(&want, u.outputs[k]), n);

		if (d > limit)
			g_test_message("%s: result %u is off by %g", c->name, k, d);
		g_assert_cmpfloat(d, <=, limit);
		got[k] = g_memdup2(dish_output(&dish, u.outputs[k]), n * sizeof(float));
	}
	for (size_t i = 0; i < n_parts; i++) {
		unsigned n = MIN(parts[i], c->rows), from = i % 2 ? 0 : c->rows - n;

		step(&dish, from, n);
		for (unsigned k = 0; k < u.n_outputs; k++)
			g_assert_cmpmem(
				dish_output(&dish, u.outputs[k]), n * c->n_out[k] * sizeof(float),
				got[k] + from * c->n_out[k], n * c->n_out[k] * sizeof(float));
	}
	for (unsigned k = 0; k < u.n_outputs; k++)
		g_free(got[k]);
	dish_free(&dish);
	dish_free(&want);
	setup_clear(&u);
}

/* The sizes of the device are tested with all its features. */
static gboolean open_variant(struct desk *vk, const struct variant *v)
{
	if (!desk_open(vk, v->without))
		return FALSE;
	if (v != &variants[0])
		desk_small(vk);
	return TRUE;
}

static void test_cases(gconstpointer data)
{
	const struct variant *v = data;
	struct desk vk;

	if (!open_variant(&vk, v))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (v == &variants[0] ? i % 2 == 0 || i == 1 : i == 6)
			check_case(&vk, &cases[i], v == &variants[0] ? 4 : 2);
	desk_close(&vk);
}

static void test_types(gconstpointer data)
{
	const struct variant *v = data;
	struct desk vk;

	if (!open_variant(&vk, v))
		return;
	for (size_t i = 0; i < reference_n_types(); i += v->every) {
		struct gemm_case c = { .name = reference_type_name(reference_types[i]),
				       .type = { reference_types[i] },
				       .n_in = 768,
				       .n_out = { 45 },
				       .rows = 19,
				       .scale = 1 };

		if (!weir_vk_type(reference_types[i]))
			continue;
		check_case(&vk, &c, 1);
	}
	desk_close(&vk);
}

/* Products of integers, as packed bytes or as floats, give the same bits. */
static void test_same_by_dot(void)
{
	static const uint32_t types[] = { WEIR_DTYPE_Q6_K, WEIR_DTYPE_Q4_K,  WEIR_DTYPE_IQ4_XS,
					  WEIR_DTYPE_Q8_0, WEIR_DTYPE_MXFP4, WEIR_DTYPE_NVFP4 };
	struct desk with, plain;

	if (!desk_open(&plain, 0))
		return;
	g_assert_true(desk_open(&with, WEIR_VK_WITH_DOT));
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		struct gemm_case c = {
			.type = { types[i] }, .n_in = 512, .n_out = { 70 }, .scale = 1
		};
		struct dish a, b;
		struct setup u;

		setup_init(&u, &c);
		dish_make(&a, &plain, &u.recipe);
		dish_make(&b, &with, &u.recipe);
		step(&a, 0, 16);
		step(&b, 0, 16);
		g_assert_cmpmem(dish_output(&a, u.outputs[0]), 16 * 70 * sizeof(float),
				dish_output(&b, u.outputs[0]), 16 * 70 * sizeof(float));
		dish_free(&a);
		dish_free(&b);
		setup_clear(&u);
	}
	desk_close(&with);
	desk_close(&plain);
}

/* The sizes that GPUs get. */
static void test_large_tile(void)
{
	struct desk vk;

	if (!desk_open(&vk, WEIR_VK_WITH_DOT | WEIR_VK_WITHOUT_WIDE))
		return;
	desk_small(&vk);
	vk.data.vk->tile_width = 128;
	vk.data.vk->tile_rows = 2;
	vk.data.vk->tile_cols = 16;
	check_case(&vk, &cases[0], 1);
	check_case(&vk, &cases[2], 1);
	desk_close(&vk);
}

/* Matrices one after the other; the last result is the output. */
static void chain(struct recipe *r, const float *x, const uint8_t *matrix, uint32_t *ret)
{
	uint32_t t = recipe_input(r, x, MAX_ROWS, 64);
	uint32_t w = recipe_weight(r, WEIR_DTYPE_Q8_0, 64, 64, WEIR_WEIGHT_MATRIX, matrix);

	for (unsigned i = 0; i < 8; i++) {
		struct weir_op *op = recipe_op(r, WEIR_OP_LINEAR);

		op->src[0] = t;
		op->src[1] = w;
		t = recipe_temp(r, i == 7 ? WEIR_TENSOR_OUTPUT : WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS,
				64);
		op->dst[0] = t;
		op->i[0] = 1;
		op->f[0] = 1;
	}
	r->max_tokens = r->max_out = MAX_ROWS;
	*ret = t;
}

/* A step in many submits gives what it gives in one; an interrupted one ends before its last, and
 * leaves the program as it was. */
static void test_segments(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(4);
	g_autofree uint8_t *matrix = reference_weights(rand, WEIR_DTYPE_Q8_0, 64, 64);
	float x[MAX_ROWS * 64], whole[20 * 64];
	struct weir_device_batch *batch = plain_batch(20, 1);
	struct weir_error err = { 0 };
	struct recipe r = { .n_parts = 0 };
	struct dish dish;
	struct desk vk;
	uint32_t y;

	if (!desk_open(&vk, 0))
		return;
	reference_random(rand, x, G_N_ELEMENTS(x));
	chain(&r, x, matrix, &y);
	dish_make(&dish, &vk, &r);
	dish_step(&dish, batch);
	g_assert_cmpuint(dish.program->bucket->n_segments, ==, 1);
	memcpy(whole, dish_output(&dish, y), sizeof(whole));
	weir_vk_forget(dish.program);
	vk.data.vk->segment_work = 1;
	for (int i = 0; i < 3; i++) {
		weir_status want = i == 1 ? WEIR_E_CANCELLED : WEIR_OK;

		g_assert_cmpint(vk.device->run(&vk.instance, dish.program, batch, &err), ==,
				WEIR_OK);
		if (i == 1)
			vk.device->interrupt(&vk.instance);
		g_assert_cmpint(vk.device->wait(&vk.instance, dish.program, &err), ==, want);
		g_assert_cmpuint(dish.program->bucket->n_segments, >=, 4);
		if (i == 1)
			g_assert_cmpuint(dish.program->n_submitted, <,
					 dish.program->bucket->n_segments);
		else
			g_assert_cmpmem(dish_output(&dish, y), sizeof(whole), whole, sizeof(whole));
	}
	/* One that nobody waited for is brought to its end by the next. */
	g_assert_cmpint(vk.device->run(&vk.instance, dish.program, batch, &err), ==, WEIR_OK);
	dish_step(&dish, batch);
	g_assert_cmpmem(dish_output(&dish, y), sizeof(whole), whole, sizeof(whole));
	dish_free(&dish);
	plain_batch_free(batch);
	desk_close(&vk);
}

static unsigned n_pipelines(struct weir_vk *vk)
{
	unsigned n = 0;

	pthread_mutex_lock(&vk->pipeline_lock);
	for (const struct weir_vk_pipeline *p = vk->pipelines; p; p = p->next)
		n++;
	pthread_mutex_unlock(&vk->pipeline_lock);
	return n;
}

static VkResult fail_pipeline(VkDevice device, VkPipelineCache cache, uint32_t n,
			      const VkComputePipelineCreateInfo *infos,
			      const VkAllocationCallbacks *allocator, VkPipeline *ret)
{
	*ret = VK_NULL_HANDLE;
	return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

/* Steps need no pipeline that was not asked for at load; a failure is the load's. */
static void test_ahead(void)
{
	static const unsigned counts[] = { 1, 2, 3, 8, 9, 40 };
	g_autoptr(GRand) rand = g_rand_new_with_seed(4);
	g_autofree uint8_t *matrix = reference_weights(rand, WEIR_DTYPE_Q8_0, 64, 64);
	float x[MAX_ROWS * 64] = { 1 };
	struct recipe r = { .n_parts = 0 };
	struct weir_error err = { 0 };
	PFN_vkCreateComputePipelines create;
	weir_program *program = NULL;
	struct weir_tensor tensors[64];
	struct dish dish;
	struct desk vk;
	unsigned n;
	uint32_t y;

	if (!desk_open(&vk, 0))
		return;
	vk.data.vk->config.without &= ~(uint32_t)WEIR_VK_WITHOUT_AHEAD;
	chain(&r, x, matrix, &y);
	dish_make(&dish, &vk, &r);
	n = n_pipelines(vk.data.vk);
	for (size_t i = 0; i < G_N_ELEMENTS(counts); i++)
		step(&dish, 0, counts[i]);
	g_assert_cmpuint(n_pipelines(vk.data.vk), ==, n);
	for (uint32_t i = 0; i < r.n_parts; i++) {
		tensors[i] = r.parts[i].tensor;
		tensors[i].buffer = dish.buffers[i];
	}
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .n_tensors = r.n_parts,
					  .n_ops = r.n_ops,
					  .max_tokens = 4,
					  .max_rows = 4,
					  .max_out = 4,
					  .tensors = tensors,
					  .ops = r.ops };
	/* Another activation: pipelines that are not there yet. */
	r.ops[3].flags = WEIR_ACT_SILU;
	g_assert_cmpint(weir_vk_pipelines_settle(vk.data.vk, &err), ==, WEIR_OK);
	create = vk.data.vk->api.CreateComputePipelines;
	vk.data.vk->api.CreateComputePipelines = fail_pipeline;
	g_assert_cmpint(vk.device->program_new(&vk.instance, &desc, &program, &err), ==,
			WEIR_E_EXHAUSTED);
	g_assert_null(program);
	while (weir_vk_pipelines_settle(vk.data.vk, &err) != WEIR_OK)
		;
	vk.data.vk->api.CreateComputePipelines = create;
	err.text[0] = '\0';
	g_assert_cmpint(vk.device->program_new(&vk.instance, &desc, &program, &err), ==, WEIR_OK);
	vk.device->program_free(&vk.instance, program);
	dish_free(&dish);
	desk_close(&vk);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	desk_open_reference(&cpu);
	for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
		g_autofree char *a = g_strdup_printf("/vulkan/gemm/%s/cases", variants[i].name);
		g_autofree char *b = g_strdup_printf("/vulkan/gemm/%s/types", variants[i].name);

		g_test_add_data_func(a, &variants[i], test_cases);
		g_test_add_data_func(b, &variants[i], test_types);
	}
	g_test_add_func("/vulkan/gemm/same-by-dot", test_same_by_dot);
	g_test_add_func("/vulkan/gemm/large-tile", test_large_tile);
	g_test_add_func("/vulkan/gemm/segments", test_segments);
	g_test_add_func("/vulkan/gemm/ahead", test_ahead);
	status = g_test_run();
	desk_close_reference(&cpu);
	return status;
}
