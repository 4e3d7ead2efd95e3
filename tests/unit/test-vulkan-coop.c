/*
 * test-vulkan-coop.c - LINEAR and MOE by cooperative matrices, bit by bit against the other
 * shaders: with the device's matrices where it has any, and on every device with ones that the
 * shader makes by hand, which can have the shapes of all GPUs.
 */
#include "vulkan-fixture.h"
#include "coop.h"
#include "layout.h"

#include <string.h>

enum { MAX_ROWS = 600, EMBD = 256 };

/* shaders/tile-c.comp with EMULATED=1 */
static const uint32_t emulated[] = {
#include "tile-c-emulated.inc"
};

/* A shape with how it is used; m 0: what the device has. Tiles are small, since software renderers
 * take seconds to compile large ones. */
struct variant {
	const char *name;
	struct weir_vk_shape shape;
	struct weir_vk_coop size;
	unsigned cases; /* bits */
	unsigned every; /* of the types; 0: none */
	unsigned mixtures;
};

static const struct variant variants[] = {
	{ "device", { 0 }, { 4, 1, 16, 2 }, 0x7f, 1, 0x3d },
	{ "device-small", { 0 }, { 1, 4, 8, 0 }, 0x02, 0, 0x02 },
	{ "nvidia", { 16, 16, 32 }, { 2, 1, 16, 2 }, 0x42, 9, 0x01 },
	{ "amd", { 16, 16, 16 }, { 2, 1, 16, 1 }, 0x04, 12, 0 },
	{ "intel", { 8, 16, 32 }, { 2, 2, 16, 0 }, 0x01, 15, 0 },
	{ "tall", { 32, 8, 32 }, { 1, 1, 16, 0 }, 0x10, 16, 0 },
	{ "mesa", { 8, 8, 8 }, { 2, 2, 16, 2 }, 0x28, 10, 0 },
};

struct product_case {
	const char *name;
	uint32_t type[3];
	size_t n_in, n_out[3];
	unsigned rows;
	uint32_t flags;
	bool bias, adapter;
	bool alone; /* a few rows by themselves, too: test-vulkan-gemm.c has all types */
	float scale, softcap;
};

static const struct product_case cases[] = {
	{ .name = "bias-add",
	  .alone = true,
	  .type = { WEIR_DTYPE_Q8_0 },
	  .n_in = 96,
	  .n_out = { 300 },
	  .rows = 17,
	  .flags = WEIR_LINEAR_ADD,
	  .bias = true,
	  .scale = 0.5f },
	{ .name = "glu",
	  .alone = true,
	  .type = { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K },
	  .n_in = 256,
	  .n_out = { 160, 160 },
	  .rows = 33,
	  .flags = WEIR_LINEAR_GLU | WEIR_ACT_SILU,
	  .bias = true,
	  .scale = 1 },
	{ .name = "qkv",
	  .alone = true,
	  .type = { WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K },
	  .n_in = 512,
	  .n_out = { 264, 32, 33 },
	  .rows = 9,
	  .bias = true,
	  .scale = 1 },
	{ .name = "softcap",
	  .type = { WEIR_DTYPE_Q5_1 },
	  .n_in = 64,
	  .n_out = { 40 },
	  .rows = 48,
	  .scale = 1,
	  .softcap = 3 },
	{ .name = "one-block",
	  .type = { WEIR_DTYPE_IQ4_NL },
	  .n_in = 32,
	  .n_out = { 1 },
	  .rows = 65,
	  .flags = WEIR_ACT_RELU2,
	  .scale = 2 },
	{ .name = "long",
	  .alone = true,
	  .type = { WEIR_DTYPE_Q4_0 },
	  .n_in = 1056,
	  .n_out = { 31 },
	  .rows = MAX_ROWS,
	  .scale = 1 },
	{ .name = "adapter",
	  .type = { WEIR_DTYPE_Q8_0 },
	  .n_in = 128,
	  .n_out = { 96 },
	  .rows = 40,
	  .bias = true,
	  .adapter = true,
	  .scale = 1 },
};

/* The case's operations and what they read. */
struct setup {
	struct recipe recipe;
	uint32_t outputs[3];
	unsigned n_outputs;
	float *x, *sum, *bias;
	uint8_t *weights[5];
};

static void setup_init(struct setup *u, const struct product_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(22);
	unsigned n = c->n_out[2] ? 3 : c->n_out[1] ? 2 : 1;
	struct weir_op *op;
	uint32_t input;

	*u = (struct setup){ .recipe = { .max_tokens = c->rows, .max_out = c->rows },
			     .n_outputs = c->flags & WEIR_LINEAR_GLU ? 1 : n,
			     .x = g_new(float, c->rows * c->n_in),
			     .sum = g_new(float, c->rows * 512),
			     .bias = g_new(float, 512) };
	reference_random(rand, u->x, c->rows * c->n_in);
	reference_random(rand, u->sum, c->rows * 512);
	reference_random(rand, u->bias, 512);
	input = recipe_input(&u->recipe, u->x, c->rows, c->n_in);
	for (unsigned k = 0; k < u->n_outputs; k++) {
		u->outputs[k] =
			recipe_temp(&u->recipe, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, c->n_out[k]);
		if (!(c->flags & WEIR_LINEAR_ADD))
			continue;
		op = recipe_op(&u->recipe, WEIR_OP_EMBED);
		op->src[0] = recipe_weight(&u->recipe, WEIR_DTYPE_F32, c->n_out[k], c->rows,
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
	if (!c->adapter)
		return;
	op = recipe_op(&u->recipe, WEIR_OP_LORA);
	u->weights[3] = reference_weights(rand, c->type[0], c->n_in, 64);
	u->weights[4] = reference_weights(rand, c->type[0], 64, c->n_out[0]);
	op->src[0] = input;
	op->src[1] = recipe_weight(&u->recipe, c->type[0], c->n_in, 64, WEIR_WEIGHT_MATRIX,
				   u->weights[3]);
	op->src[2] = recipe_weight(&u->recipe, c->type[0], 64, c->n_out[0], WEIR_WEIGHT_MATRIX,
				   u->weights[4]);
	op->dst[0] = u->outputs[0];
	op->i[0] = 1;
	op->f[0] = 0.25f;
}

static void setup_clear(struct setup *u)
{
	g_free(u->x);
	g_free(u->sum);
	g_free(u->bias);
	for (size_t k = 0; k < G_N_ELEMENTS(u->weights); k++)
		g_free(u->weights[k]);
}

/* Rows `from` on of the input, which is one row a token: token i is row i. */
static void step(struct dish *dish, unsigned from, unsigned n, bool adapter)
{
	struct weir_device_batch *batch = plain_batch(n, 1);
	uint32_t with = 1;

	for (unsigned i = 0; i < n; i++)
		((int32_t *)batch->token)[i] = (int32_t)(from + i);
	if (adapter)
		batch->adapter = &with;
	dish_step(dish, batch);
	batch->adapter = NULL;
	plain_batch_free(batch);
}

/* All rows at once are what they are without cooperative matrices, and a few are what they are
 * alone.
 */
static void check_case(struct desk *coop, struct desk *plain, const struct product_case *c)
{
	struct dish dish, want;
	struct setup u;

	g_test_message("%s", c->name);
	setup_init(&u, c);
	dish_make(&dish, coop, &u.recipe);
	dish_make(&want, plain, &u.recipe);
	step(&dish, 0, c->rows, c->adapter);
	step(&want, 0, c->rows, c->adapter);
	for (unsigned k = 0; k < u.n_outputs; k++)
		g_assert_cmpmem(
			dish_output(&dish, u.outputs[k]), c->rows * c->n_out[k] * sizeof(float),
			dish_output(&want, u.outputs[k]), c->rows * c->n_out[k] * sizeof(float));
	if (c->alone)
		step(&want, c->rows - 5, 5, c->adapter);
	for (unsigned k = 0; k < u.n_outputs && c->alone; k++)
		g_assert_cmpmem(dish_output(&dish, u.outputs[k]) + (c->rows - 5) * c->n_out[k],
				5 * c->n_out[k] * sizeof(float), dish_output(&want, u.outputs[k]),
				5 * c->n_out[k] * sizeof(float));
	dish_free(&dish);
	dish_free(&want);
	setup_clear(&u);
}

/* Experts that have nearly all rows, few, and none, by groups of one expert. */
struct mixture {
	const char *name;
	uint32_t gate, up, down;
	int32_t n, k;
	size_t ff;
	unsigned rows;
};

static const struct mixture mixtures[] = {
	{ "k", WEIR_DTYPE_Q4_K, WEIR_DTYPE_Q6_K, WEIR_DTYPE_Q5_1, 6, 2, 96, 41 },
	{ "one type", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, 5, 3, 96, 37 },
	{ "to floats", WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_0, WEIR_DTYPE_F16, 8, 2, 32, 40 },
	{ "from floats", WEIR_DTYPE_F32, WEIR_DTYPE_F32, WEIR_DTYPE_Q2_K, 8, 3, 256, 33 },
	{ "one", WEIR_DTYPE_Q3_K, WEIR_DTYPE_Q3_K, WEIR_DTYPE_IQ4_NL, 1, 1, 64, 21 },
	{ "many", WEIR_DTYPE_Q4_1, WEIR_DTYPE_Q4_1, WEIR_DTYPE_Q5_0, 24, 4, 64, 150 },
};

static void mixture_init(struct setup *u, const struct mixture *m)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(23);
	size_t n = (size_t)m->n;
	uint32_t in, route;
	struct weir_op *op;

	*u = (struct setup){ .recipe = { .max_tokens = m->rows, .max_out = m->rows },
			     .n_outputs = 1,
			     .x = g_new(float, m->rows *EMBD),
			     .sum = g_new(float, m->rows *EMBD),
			     .bias = g_new(float, m->rows *n) };
	reference_random(rand, u->x, m->rows * EMBD);
	reference_random(rand, u->sum, m->rows * EMBD);
	reference_random(rand, u->bias, m->rows * n);
	for (size_t i = 0; i < m->rows * n; i++)
		u->bias[i] += i % n == 0 ? 2 : n > 4 && (i % n == 2 || i % n == n - 1) ? -100 : 0;
	in = recipe_input(&u->recipe, u->x, m->rows, EMBD);
	route = recipe_input(&u->recipe, u->bias, m->rows, n);
	u->outputs[0] = recipe_temp(&u->recipe, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, EMBD);
	op = recipe_op(&u->recipe, WEIR_OP_EMBED);
	op->src[0] =
		recipe_weight(&u->recipe, WEIR_DTYPE_F32, EMBD, m->rows, WEIR_WEIGHT_TABLE, u->sum);
	op->dst[0] = u->outputs[0];
	op->f[0] = 1;
	u->weights[0] = reference_weights(rand, m->gate, EMBD, n * m->ff);
	u->weights[1] = reference_weights(rand, m->up, EMBD, n * m->ff);
	u->weights[2] = reference_weights(rand, m->down, m->ff, n * EMBD);
	op = recipe_op(&u->recipe, WEIR_OP_MOE);
	op->flags = WEIR_ACT_SILU | (m->n == 1 ? WEIR_MOE_SIGMOID : WEIR_MOE_NORM);
	op->src[0] = in;
	op->src[1] = route;
	op->src[2] = recipe_weight(&u->recipe, m->gate, EMBD, n * m->ff, WEIR_WEIGHT_MATRIX,
				   u->weights[0]);
	op->src[3] = recipe_weight(&u->recipe, m->up, EMBD, n * m->ff, WEIR_WEIGHT_MATRIX,
				   u->weights[1]);
	op->src[4] = recipe_weight(&u->recipe, m->down, m->ff, n * EMBD, WEIR_WEIGHT_MATRIX,
				   u->weights[2]);
	op->dst[0] = u->outputs[0];
	op->i[0] = m->n;
	op->i[1] = m->k;
	op->i[2] = (int32_t)m->ff;
	op->f[0] = 1.5f;
}

/* Pipelines of tiles by this shader, for gate and up (1) or down (2), that steps have needed. */
static unsigned n_tiled(struct weir_vk *vk, uint32_t shader, uint32_t what)
{
	unsigned n = 0;

	for (const struct weir_vk_pipeline *p = vk->pipelines; p; p = p->next)
		n += p->shader == shader && p->spec[11] == what;
	return n;
}

static bool is_float(uint32_t type)
{
	return weir_vk_type(type)->format >= WEIR_VK_FORMAT_FLOATS;
}

/* All rows, and some in other company, are what they are without cooperative matrices; and the
 * latter are not in use. */
static void check_mixture(struct desk *coop, struct desk *plain, const struct mixture *m)
{
	unsigned up = n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_C, 1);
	unsigned down = n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_C, 2);
	struct dish dish, want;
	struct setup u;

	g_test_message("mixture, %s", m->name);
	mixture_init(&u, m);
	dish_make(&dish, coop, &u.recipe);
	dish_make(&want, plain, &u.recipe);
	step(&dish, 0, m->rows, false);
	step(&want, 0, m->rows, false);
	g_assert_cmpmem(dish_output(&dish, u.outputs[0]), m->rows * EMBD * sizeof(float),
			dish_output(&want, u.outputs[0]), m->rows * EMBD * sizeof(float));
	/* Mixtures of one variant have types of their own. */
	g_assert_cmpuint(n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_C, 1) - up, ==,
			 !is_float(m->gate));
	g_assert_cmpuint(n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_C, 2) - down, ==,
			 !is_float(m->down));
	g_assert_cmpuint(n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_Q, 1), ==, 0);
	g_assert_cmpuint(n_tiled(coop->data.vk, WEIR_VK_SHADER_TILE_Q, 2), ==, 0);
	/* As many as fill the same tiles, and one by one. */
	step(&dish, 3, m->rows - 4, false);
	g_assert_cmpmem(dish_output(&dish, u.outputs[0]), (m->rows - 4) * EMBD * sizeof(float),
			dish_output(&want, u.outputs[0]) + 3 * EMBD,
			(m->rows - 4) * EMBD * sizeof(float));
	step(&dish, m->rows - 2, 2, false);
	g_assert_cmpmem(dish_output(&dish, u.outputs[0]), 2 * EMBD * sizeof(float),
			dish_output(&want, u.outputs[0]) + (m->rows - 2) * EMBD,
			2 * EMBD * sizeof(float));
	dish_free(&dish);
	dish_free(&want);
	setup_clear(&u);
}

/* Puts the shader without matrices in place. */
static void emulate(struct weir_vk *vk, const struct variant *v)
{
	VkShaderModuleCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
					  .codeSize = sizeof(emulated),
					  .pCode = emulated };

	if (vk->modules[WEIR_VK_SHADER_TILE_C])
		vk->api.DestroyShaderModule(vk->device, vk->modules[WEIR_VK_SHADER_TILE_C], NULL);
	g_assert_cmpint(vk->api.CreateShaderModule(vk->device, &info, NULL,
						   &vk->modules[WEIR_VK_SHADER_TILE_C]),
			==, VK_SUCCESS);
	vk->caps.coop = v->shape;
	vk->coop = v->size;
}

static gboolean open_both(struct desk *coop, struct desk *plain, const struct variant *v)
{
	if (!desk_open(plain, WEIR_VK_WITHOUT_COOP))
		return FALSE;
	g_assert_cmpuint(plain->data.vk->coop.cols, ==, 0);
	g_assert_true(desk_open(coop, WEIR_VK_WITH_COOP));
	desk_small(plain);
	if (v->shape.m) {
		if (coop->data.vk->subgroups) {
			emulate(coop->data.vk, v);
			return TRUE;
		}
		g_test_skip("the device has no subgroups of a known size");
	} else if (coop->data.vk->coop.cols) {
		coop->data.vk->coop = v->size;
		return TRUE;
	} else {
		g_test_skip("the device has no cooperative matrices of signed bytes");
	}
	desk_close(coop);
	desk_close(plain);
	return FALSE;
}

static void test_variant(gconstpointer data)
{
	const struct variant *v = data;
	struct desk coop, plain;

	if (!open_both(&coop, &plain, v))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (v->cases >> i & 1)
			check_case(&coop, &plain, &cases[i]);
	for (size_t i = v->every - 1; v->every && i < reference_n_types(); i += v->every) {
		const struct weir_vk_type *type = weir_vk_type(reference_types[i]);
		struct product_case c = { .name = reference_type_name(reference_types[i]),
					  .type = { reference_types[i] },
					  .n_in = 768,
					  .n_out = { 45 },
					  .rows = 19,
					  .scale = 1 };

		if (type && type->format < WEIR_VK_FORMAT_FLOATS)
			check_case(&coop, &plain, &c);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(mixtures); i++)
		if (v->mixtures >> i & 1)
			check_mixture(&coop, &plain, &mixtures[i]);
	desk_close(&coop);
	desk_close(&plain);
}

/* What GPUs get: enough columns, and no more of the workgroup's memory than there is. */
static void test_sizes(void)
{
	static const struct {
		struct weir_vk_shape shape;
		uint32_t lanes, max_workgroup, shared_bytes;
		VkPhysicalDeviceType type;
		struct weir_vk_coop want; /* halves: of the widest tile */
	} rows[] = {
		{ { 16, 16, 32 },
		  32,
		  1024,
		  49152,
		  VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
		  { 4, 1, 64, 2 } },
		{ { 16, 16, 16 },
		  64,
		  1024,
		  65536,
		  VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
		  { 4, 1, 64, 2 } },
		{ { 16, 16, 16 },
		  64,
		  1024,
		  32768,
		  VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
		  { 4, 1, 64, 1 } },
		{ { 16, 16, 32 },
		  32,
		  64,
		  49152,
		  VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
		  { 2, 2, 32, 2 } },
		{ { 8, 16, 32 },
		  8,
		  512,
		  65536,
		  VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
		  { 4, 2, 16, 2 } },
		{ { 16, 16, 32 },
		  32,
		  1024,
		  16384,
		  VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
		  { 4, 1, 0 } },
		{ { 8, 8, 8 }, 8, 1024, 32768, VK_PHYSICAL_DEVICE_TYPE_CPU, { 0 } },
		{ { 0 }, 32, 1024, 49152, VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, { 0 } },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct weir_vk vk = { .subgroups = true,
				      .lanes = rows[i].lanes,
				      .caps = { .coop = rows[i].shape,
						.subgroup = rows[i].lanes,
						.max_workgroup = rows[i].max_workgroup,
						.shared_bytes = rows[i].shared_bytes,
						.type = rows[i].type } };
		uint32_t spec[WEIR_VK_MAX_SPEC] = { 0 };

		weir_vk_coop_size(&vk);
		g_assert_cmpuint(vk.coop.cols, ==, rows[i].want.cols);
		if (!vk.coop.cols)
			continue;
		g_assert_cmpuint(vk.coop.subs, ==, rows[i].want.subs);
		g_assert_cmpuint(vk.coop.tiles, ==, rows[i].want.tiles);
		weir_vk_coop_spec(&vk, vk.coop.cols, spec);
		g_assert_cmpuint(spec[0], <=, rows[i].max_workgroup);
		g_assert_cmpuint(spec[4], ==, vk.coop.cols);
		g_assert_cmpuint(spec[20], ==, rows[i].want.halves);
		g_assert_cmpuint(weir_vk_coop_bytes(&vk, vk.coop.cols, spec[20]), <=,
				 rows[i].shared_bytes);
		/* Narrower tiles leave room for both. */
		weir_vk_coop_spec(&vk, weir_vk_coop_cols(&vk, 9), spec);
		g_assert_cmpuint(spec[20], ==, 2);
		g_assert_cmpuint(weir_vk_coop_cols(&vk, 9), ==, 16);
		g_assert_cmpuint(weir_vk_coop_cols(&vk, 33), ==, MIN(64, vk.coop.cols));
		g_assert_cmpuint(weir_vk_coop_cols(&vk, 1000), ==, vk.coop.cols);
		vk.config.without = WEIR_VK_WITHOUT_COOP;
		weir_vk_coop_size(&vk);
		g_assert_cmpuint(vk.coop.cols, ==, 0);
	}
}

static const VkCooperativeMatrixPropertiesKHR *driver_shapes;
static uint32_t driver_n;
static VkResult driver_result;

static VkResult driver_list(VkPhysicalDevice device, uint32_t *n,
			    VkCooperativeMatrixPropertiesKHR *list)
{
	if (list)
		memcpy(list, driver_shapes, *n * sizeof(*list));
	else
		*n = driver_n;
	return driver_result;
}

static PFN_vkVoidFunction driver_function(VkInstance instance, const char *name)
{
	return driver_shapes ? (PFN_vkVoidFunction)driver_list : NULL;
}

/* The shape that is taken of those a driver lists. */
static void test_choice(void)
{
#define SHAPE(m, n, k, a, c, scope)                                                                \
	{                                                                                          \
		VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR, NULL, m, n, k,                \
			(VkComponentTypeKHR)(a), (VkComponentTypeKHR)(a), (VkComponentTypeKHR)(c), \
			(VkComponentTypeKHR)(c), VK_FALSE, (VkScopeKHR)(scope)                     \
	}
	static const VkCooperativeMatrixPropertiesKHR list[] = {
		SHAPE(16, 16, 16, 0, 1, 3), SHAPE(16, 8, 32, 3, 5, 3),  SHAPE(16, 16, 32, 3, 5, 3),
		SHAPE(32, 32, 32, 3, 5, 3), SHAPE(16, 16, 16, 3, 5, 3), SHAPE(16, 16, 32, 7, 9, 3),
		SHAPE(64, 64, 64, 3, 5, 2), SHAPE(16, 16, 64, 3, 5, 3), SHAPE(24, 16, 32, 3, 5, 3),
	};
	struct weir_vk_api api = { .GetInstanceProcAddr = driver_function };
	struct weir_vk_caps caps = { .subgroup = 32 };

	driver_shapes = NULL;
	weir_vk_coop_find(&api, VK_NULL_HANDLE, &caps);
	g_assert_cmpuint(caps.coop.k, ==, 0);
	driver_shapes = list;
	driver_n = 1;
	weir_vk_coop_find(&api, VK_NULL_HANDLE, &caps);
	g_assert_cmpuint(caps.coop.k, ==, 0);
	driver_n = G_N_ELEMENTS(list);
	driver_result = VK_ERROR_OUT_OF_HOST_MEMORY;
	weir_vk_coop_find(&api, VK_NULL_HANDLE, &caps);
	g_assert_cmpuint(caps.coop.k, ==, 0);
	driver_result = VK_SUCCESS;
	weir_vk_coop_find(&api, VK_NULL_HANDLE, &caps);
	g_assert_cmpuint(caps.coop.m, ==, 16);
	g_assert_cmpuint(caps.coop.n, ==, 16);
	g_assert_cmpuint(caps.coop.k, ==, 32);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/coop/choice", test_choice);
	g_test_add_func("/vulkan/coop/sizes", test_sizes);
	for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
		g_autofree char *name = g_strdup_printf("/vulkan/coop/%s", variants[i].name);

		g_test_add_data_func(name, &variants[i], test_variant);
	}
	return g_test_run();
}
