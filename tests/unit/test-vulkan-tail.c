/*
 * test-vulkan-tail.c - what the last workgroup of a product does after it (tail.glsl): the routes
 * of one or two mixtures, and a NORM; held against the CPU's, and against the same as dispatches of
 * their own, which more rows take. With and without subgroups, one and several in a workgroup.
 */
#include "vulkan-fixture.h"

#include <string.h>

enum { ROWS = 11, EMBD = 64, FF = 160, EXPERT_FF = 32, EXPERTS = 70 };

static struct desk cpu;

struct variant {
	const char *name;
	uint32_t without, subs; /* subgroups in a workgroup of LINEAR; 0: the device's choice */
	size_t n_parts;         /* shaders for several rows take long to compile */
	bool all;               /* cases */
};

static const struct variant variants[] = {
	{ "all", 0, 0, 6, true },
	{ "least", WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED | WEIR_VK_WITHOUT_WIDE, 0, 2,
	  false },
	{ "subgroups", WEIR_VK_WITHOUT_WIDE, 4, 3, false },
};

/* A recipe, the memory of its weights, and its output. */
struct setup {
	struct recipe r;
	GRand *rand;
	GPtrArray *memory;
	uint32_t in, y;
};

static const float *numbers(struct setup *u, size_t n)
{
	float *x = g_new(float, n);

	reference_random(u->rand, x, n);
	g_ptr_array_add(u->memory, x);
	return x;
}

static uint32_t matrix(struct setup *u, uint32_t type, size_t n_in, size_t n_out)
{
	uint8_t *w = reference_weights(u->rand, type, n_in, n_out);

	g_ptr_array_add(u->memory, w);
	return recipe_weight(&u->r, type, n_in, n_out, WEIR_WEIGHT_MATRIX, w);
}

static void setup_init(struct setup *u)
{
	memset(u, 0, sizeof(*u));
	u->rand = g_rand_new_with_seed(11);
	u->memory = g_ptr_array_new_with_free_func(g_free);
	u->r.max_tokens = u->r.max_out = ROWS;
	u->in = recipe_input(&u->r, numbers(u, ROWS * EMBD), ROWS, EMBD);
}

static void setup_clear(struct setup *u)
{
	g_rand_free(u->rand);
	g_ptr_array_unref(u->memory);
}

static struct weir_op *mixture(struct setup *u, uint32_t logits, int32_t experts, int32_t used)
{
	struct weir_op *op = recipe_op(&u->r, WEIR_OP_MOE);
	size_t n = (size_t)experts;

	op->flags = WEIR_ACT_SILU;
	op->src[0] = u->in;
	op->src[1] = logits;
	op->src[2] = matrix(u, WEIR_DTYPE_Q8_0, EMBD, n * EXPERT_FF);
	op->src[3] = matrix(u, WEIR_DTYPE_Q8_0, EMBD, n * EXPERT_FF);
	op->src[4] = matrix(u, WEIR_DTYPE_Q8_0, EXPERT_FF, n * EMBD);
	op->dst[0] = u->y;
	op->i[0] = experts;
	op->i[1] = used;
	op->i[2] = EXPERT_FF;
	op->f[0] = 1;
	return op;
}

/* A router of 70 experts, three workgroups, 8 of them used; with `shared`, a gate of one more. */
static void add_routes(struct setup *u, uint32_t flags, bool shared)
{
	uint32_t logits = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, EXPERTS);
	uint32_t gate = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, 1);
	struct weir_op *op;

	u->y = recipe_temp(&u->r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, EMBD);
	op = recipe_op(&u->r, WEIR_OP_EMBED);
	op->src[0] = recipe_weight(&u->r, WEIR_DTYPE_F32, EMBD, ROWS, WEIR_WEIGHT_TABLE,
				   numbers(u, ROWS * EMBD));
	op->dst[0] = u->y;
	op->f[0] = 1;
	op = recipe_op(&u->r, WEIR_OP_LINEAR);
	op->src[0] = u->in;
	op->src[1] = matrix(u, WEIR_DTYPE_F32, EMBD, EXPERTS);
	op->dst[0] = logits;
	op->i[0] = 1;
	op->f[0] = 1;
	if (shared) {
		op->i[0] = 2;
		op->src[2] = matrix(u, WEIR_DTYPE_F32, EMBD, 1);
		op->dst[1] = gate;
	}
	mixture(u, logits, EXPERTS, 8)->flags |= flags;
	if (shared)
		mixture(u, gate, 1, 1)->flags |= WEIR_MOE_SIGMOID;
}

/* BitNet's feed-forward: gate and up, the norm in place, down. */
static void add_norm(struct setup *u, uint32_t type)
{
	uint32_t ff = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, FF);
	struct weir_op *op = recipe_op(&u->r, WEIR_OP_LINEAR);

	op->flags = WEIR_LINEAR_GLU | WEIR_ACT_RELU2;
	op->src[0] = u->in;
	op->src[1] = matrix(u, type, EMBD, FF);
	op->src[2] = matrix(u, type, EMBD, FF);
	op->dst[0] = ff;
	op->i[0] = 2;
	op->f[0] = 1;
	op = recipe_op(&u->r, WEIR_OP_NORM);
	op->src[0] = ff;
	op->src[1] =
		recipe_weight(&u->r, WEIR_DTYPE_F32, FF, 1, WEIR_WEIGHT_VECTOR, numbers(u, FF));
	op->dst[0] = ff;
	op->f[0] = 1e-5f;
	op = recipe_op(&u->r, WEIR_OP_LINEAR);
	u->y = recipe_temp(&u->r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, EMBD);
	op->src[0] = ff;
	op->src[1] = matrix(u, type, FF, EMBD);
	op->dst[0] = u->y;
	op->i[0] = 1;
	op->f[0] = 1;
}

/* The stream's next norm, in place of a layer's first: y is added to by a LINEAR, or by `mixed`
 * experts, and normed for a matrix of `type`. With a bias where `layer`. */
static void add_stream(struct setup *u, uint32_t type, bool mixed, bool layer)
{
	uint32_t x = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, EMBD);
	uint32_t normed = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, EMBD);
	uint32_t logits = recipe_temp(&u->r, WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, EXPERTS);
	struct weir_op *op = recipe_op(&u->r, WEIR_OP_EMBED);

	op->src[0] = recipe_weight(&u->r, WEIR_DTYPE_F32, EMBD, ROWS, WEIR_WEIGHT_TABLE,
				   numbers(u, ROWS * EMBD));
	op->dst[0] = x;
	op->f[0] = 1;
	if (mixed) {
		op = recipe_op(&u->r, WEIR_OP_LINEAR);
		op->src[0] = u->in;
		op->src[1] = matrix(u, WEIR_DTYPE_F32, EMBD, EXPERTS);
		op->dst[0] = logits;
		op->i[0] = 1;
		op->f[0] = 1;
		u->y = x;
		mixture(u, logits, EXPERTS, 3);
	} else {
		op = recipe_op(&u->r, WEIR_OP_LINEAR);
		op->flags = WEIR_LINEAR_ADD;
		op->src[0] = u->in;
		op->src[1] = matrix(u, type, EMBD, EMBD);
		op->src[4] = layer ? recipe_weight(&u->r, WEIR_DTYPE_F32, EMBD, 1,
						   WEIR_WEIGHT_VECTOR, numbers(u, EMBD))
				   : WEIR_NO_TENSOR;
		op->dst[0] = x;
		op->i[0] = 1;
		op->f[0] = 1;
	}
	op = recipe_op(&u->r, WEIR_OP_NORM);
	op->flags = layer ? WEIR_NORM_LAYER : 0;
	op->src[0] = x;
	op->src[1] =
		recipe_weight(&u->r, WEIR_DTYPE_F32, EMBD, 1, WEIR_WEIGHT_VECTOR, numbers(u, EMBD));
	if (layer)
		op->src[2] = recipe_weight(&u->r, WEIR_DTYPE_F32, EMBD, 1, WEIR_WEIGHT_VECTOR,
					   numbers(u, EMBD));
	op->dst[0] = normed;
	op->f[0] = 1e-5f;
	/* Both are read: the sum is still the stream. */
	u->y = recipe_temp(&u->r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, EMBD);
	op = recipe_op(&u->r, WEIR_OP_LINEAR);
	op->src[0] = normed;
	op->src[1] = matrix(u, type, EMBD, EMBD);
	op->dst[0] = u->y;
	op->i[0] = 1;
	op->f[0] = 1;
	op = recipe_op(&u->r, WEIR_OP_LINEAR);
	op->flags = WEIR_LINEAR_ADD;
	op->src[0] = x;
	op->src[1] = matrix(u, WEIR_DTYPE_F16, EMBD, EMBD);
	op->dst[0] = u->y;
	op->i[0] = 1;
	op->f[0] = 1;
}

/* n rows from one on; how many dispatches they took. */
static uint32_t step(struct dish *dish, unsigned from, unsigned n)
{
	struct weir_device_batch *batch = plain_batch(n, 1);

	for (unsigned i = 0; i < n; i++)
		((int32_t *)batch->token)[i] = (int32_t)(from + i);
	dish_step(dish, batch);
	plain_batch_free(batch);
	return dish->desk->device == weir_vk_device() ? dish->desk->data.vk->last_dispatches : 0;
}

/* tails: dispatches that few rows save. Twice for each number of rows: counters must be zero again.
 */
static void check(struct desk *vk, struct setup *u, uint32_t tails, size_t n_parts, double limit,
		  const char *name)
{
	static const unsigned parts[] = { 1, 1, 8, 3, 8, 5 };
	g_autofree float *all = NULL;
	struct dish got, want;
	uint32_t many;
	double d;

	dish_make(&got, vk, &u->r);
	dish_make(&want, &cpu, &u->r);
	many = step(&got, 0, ROWS);
	step(&want, 0, ROWS);
	all = g_memdup2(dish_output(&got, u->y), ROWS * EMBD * sizeof(float));
	d = distance(all, dish_output(&want, u->y), ROWS * EMBD);
	g_test_message("%s: %g, %u dispatches", name, d, many);
	g_assert_cmpfloat(d, <=, limit);
	for (size_t i = 0; i < n_parts; i++) {
		unsigned n = parts[i], from = i % 2 ? 0 : ROWS - n;

		g_assert_cmpuint(step(&got, from, n) + tails, ==, many);
		g_assert_cmpmem(dish_output(&got, u->y), n * EMBD * sizeof(float),
				all + from * EMBD, n * EMBD * sizeof(float));
	}
	dish_free(&got);
	dish_free(&want);
}

static void add_case(struct setup *u, int what, uint32_t flags, uint32_t type)
{
	if (what < 2)
		add_routes(u, flags, what == 1);
	else if (what == 2)
		add_norm(u, type);
	else
		add_stream(u, type, what == 4, what == 5);
}

static void test_tails(gconstpointer data)
{
	static const struct {
		const char *name;
		int what; /* 0 a route, 1 two, 2 BitNet's norm, 3 the stream's, 4 experts', 5 LAYER
			   */
		uint32_t flags, type;
		uint32_t tails; /* and what the shared expert's tiles have beside them */
		double limit;
		bool always;
	} cases[] = {
		{ "route", 0, 0, 0, 1, 2e-3, false },
		{ "route, shares of one", 0, WEIR_MOE_NORM, 0, 1, 2e-3, false },
		{ "two routes", 1, WEIR_MOE_NORM, 0, 2 + 2, 2e-3, true },
		{ "norm, floats", 2, 0, WEIR_DTYPE_F16, 1, 1e-5, false },
		{ "norm, bytes", 2, 0, WEIR_DTYPE_Q8_0, 1, 5e-3, true },
		{ "norm of a sum", 3, 0, WEIR_DTYPE_Q8_0, 1, 5e-3, false },
		{ "norm after experts", 4, 0, WEIR_DTYPE_Q8_0, 2, 5e-3, true },
		{ "norm of a sum, with means", 5, 0, WEIR_DTYPE_Q8_0, 1, 5e-3, true },
		{ "the same, floats", 5, 0, WEIR_DTYPE_F32, 1, 1e-5, false },
	};
	const struct variant *v = data;
	struct desk vk;

	if (!desk_open(&vk, v->without))
		return;
	if (v->subs) {
		vk.data.vk->subs = v->subs;
		vk.data.vk->width = v->subs * vk.data.vk->lanes;
	}
	vk.data.vk->tail_norms = 8;
	desk_small(&vk);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct setup u;

		if (!v->all && !cases[i].always)
			continue;
		setup_init(&u);
		add_case(&u, cases[i].what, cases[i].flags, cases[i].type);
		check(&vk, &u, cases[i].tails, cases[i].always ? v->n_parts : MIN(v->n_parts, 3),
		      cases[i].limit, cases[i].name);
		setup_clear(&u);
	}
	desk_close(&vk);
}

int main(int argc, char **argv)
{
	int result;

	g_test_init(&argc, &argv, NULL);
	desk_open_reference(&cpu);
	for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
		g_autofree char *path = g_strdup_printf("/vulkan/tail/%s", variants[i].name);

		g_test_add_data_func(path, &variants[i], test_tails);
	}
	result = g_test_run();
	desk_close_reference(&cpu);
	return result;
}
