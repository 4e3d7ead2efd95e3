/*
 * test-vulkan-extras.c - MOE, LORA, GLU, ATTENTION_PACKED and EMBED by type on the Vulkan device,
 * against the CPU device.
 */
#include "vulkan-fixture.h"

#include <string.h>

enum { MAX_ROWS = 24, EMBD = 64, FF = 96, EXPERTS = 6, RANK = 16 };

static struct desk cpu;

/* Three sequences of 1, 4 and the rest of n tokens. */
static struct weir_device_batch *three_sequences(unsigned n, uint32_t *adapter)
{
	struct weir_device_batch *batch = plain_batch(n, 1);
	uint32_t *first = g_new0(uint32_t, 4), *len = g_new0(uint32_t, 3);
	uint32_t start[] = { 0, 1, 5, n };

	g_free((void *)batch->first);
	g_free((void *)batch->kv_len);
	memcpy(first, start, sizeof(start));
	for (uint32_t r = 0; r < 3; r++) {
		len[r] = start[r + 1] - start[r];
		for (uint32_t t = start[r]; t < start[r + 1]; t++) {
			((int32_t *)batch->row)[t] = (int32_t)r;
			((int32_t *)batch->pos)[t] = (int32_t)(t - start[r]);
		}
	}
	batch->n_rows = 3;
	batch->first = first;
	batch->kv_len = len;
	batch->adapter = adapter;
	return batch;
}

/* The recipe's output y on both devices. */
static void compare(uint32_t without, struct recipe *r, uint32_t y, unsigned n,
		    const struct weir_device_batch *batch, double limit, const char *name)
{
	size_t width = r->parts[y].tensor.width;
	struct dish got, want;
	struct desk vk;
	double d;

	if (!desk_open(&vk, without))
		return;
	if (without) /* the sizes of the device with all its features */
		desk_small(&vk);
	r->max_tokens = r->max_out = MAX_ROWS;
	dish_make(&got, &vk, r);
	dish_make(&want, &cpu, r);
	dish_step(&got, batch);
	dish_step(&want, batch);
	d = distance(dish_output(&got, y), dish_output(&want, y), n * width);
	g_test_message("%s: %g", name, d);
	g_assert_cmpfloat(d, <=, limit);
	dish_free(&got);
	dish_free(&want);
	desk_close(&vk);
}

static uint32_t with_base(struct recipe *r, const float *x, size_t width)
{
	uint32_t y = recipe_temp(r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, width);
	struct weir_op *op = recipe_op(r, WEIR_OP_EMBED);

	op->src[0] = recipe_weight(r, WEIR_DTYPE_F32, width, MAX_ROWS, WEIR_WEIGHT_TABLE, x);
	op->dst[0] = y;
	op->f[0] = 1;
	return y;
}

static void test_moe(void)
{
	static const struct {
		uint32_t gate, down, flags;
		int32_t n, k;
		uint32_t without;
	} cases[] = {
		{ WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q4_0, WEIR_MOE_NORM | WEIR_ACT_SILU, EXPERTS, 2, 0 },
		{ WEIR_DTYPE_F16, WEIR_DTYPE_F16, WEIR_ACT_SILU, EXPERTS, 3,
		  WEIR_VK_WITHOUT_SUBGROUPS },
		{ WEIR_DTYPE_Q5_1, WEIR_DTYPE_F32, WEIR_MOE_SIGMOID | WEIR_ACT_GELU_TANH, 1, 1, 0 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(3);
		float x[MAX_ROWS * EMBD], z[MAX_ROWS * EMBD], logits[MAX_ROWS * EXPERTS];
		size_t n = (size_t)cases[i].n;
		g_autofree uint8_t *gate = reference_weights(rand, cases[i].gate, EMBD, n * FF);
		g_autofree uint8_t *up = reference_weights(rand, cases[i].gate, EMBD, n * FF);
		g_autofree uint8_t *down = reference_weights(rand, cases[i].down, FF, n * EMBD);
		struct weir_device_batch *batch = plain_batch(11, 1);
		struct recipe r = { .n_parts = 0 };
		uint32_t in, route, y;
		struct weir_op *op;

		reference_random(rand, x, G_N_ELEMENTS(x));
		reference_random(rand, z, G_N_ELEMENTS(z));
		reference_random(rand, logits, G_N_ELEMENTS(logits));
		logits[1] = logits[3]; /* a tie */
		in = recipe_input(&r, x, MAX_ROWS, EMBD);
		route = recipe_input(&r, logits, MAX_ROWS, n);
		y = with_base(&r, z, EMBD);
		op = recipe_op(&r, WEIR_OP_MOE);
		op->flags = cases[i].flags;
		op->src[0] = in;
		op->src[1] = route;
		op->src[2] =
			recipe_weight(&r, cases[i].gate, EMBD, n * FF, WEIR_WEIGHT_MATRIX, gate);
		op->src[3] = recipe_weight(&r, cases[i].gate, EMBD, n * FF, WEIR_WEIGHT_MATRIX, up);
		op->src[4] =
			recipe_weight(&r, cases[i].down, FF, n * EMBD, WEIR_WEIGHT_MATRIX, down);
		op->dst[0] = y;
		op->i[0] = cases[i].n;
		op->i[1] = cases[i].k;
		op->i[2] = FF;
		op->f[0] = 1.5f;
		compare(cases[i].without, &r, y, 11, batch, i == 1 ? 1e-5 : 3e-3, "moe");
		plain_batch_free(batch);
	}
}

/* Many rows' experts go in groups through tiles (sort.comp, tile-q and tile-f, mix.comp): near the
 * CPU's results, and each row the same bits as in company that goes row by row. */
struct group_case {
	const char *name;
	uint32_t gate, up, down;
	int32_t n, k;
	uint32_t rows, without;
	int skew; /* 1: all rows choose alike; 2: most experts are never chosen */
	bool out; /* rows of output, gathered */
};

static const struct group_case group_cases[] = {
	{ "q8", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, 8, 2, 40, 0, 0, false },
	{ "two types", WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q5_1, 8, 3, 33, 0, 2, false },
	{ "floats", WEIR_DTYPE_F16, WEIR_DTYPE_F16, WEIR_DTYPE_BF16, 6, 2, 31, 0, 0, false },
	{ "floats, bytes", WEIR_DTYPE_F32, WEIR_DTYPE_F32, WEIR_DTYPE_Q8_0, 6, 6, 24, 0, 0, false },
	{ "alike", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_F32, 8, 2, 48, 0, 1, false },
	{ "one", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, 1, 1, 21, 0, 0, false },
	{ "least", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, 6, 2, 29,
	  WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED | WEIR_VK_WITHOUT_WIDE, 0, false },
	{ "dot", WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q4_0, WEIR_DTYPE_Q8_0, 6, 2, 40,
	  WEIR_VK_WITH_DOT | WEIR_VK_WITHOUT_WIDE, 2, false },
	{ "output", WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, WEIR_DTYPE_Q8_0, 8, 2, 27, 0, 0, true },
};

enum { GROUP_ROWS = 48, GROUP_EXPERTS = 8 };

static void fill_logits(GRand *rand, const struct group_case *c, float *logits)
{
	reference_random(rand, logits, (size_t)(GROUP_ROWS * c->n));
	for (int i = 0; i < GROUP_ROWS * c->n; i++) {
		if (c->skew == 1)
			logits[i] = (float)(i % c->n == 1 || i % c->n == 6);
		else if (c->skew == 2 && i % c->n > c->k && i % c->n < c->n - 1)
			logits[i] -= 100;
	}
}

/* n rows from row `from` of the input on; how many dispatches they took. */
static uint32_t group_step(struct dish *dish, unsigned from, unsigned n)
{
	struct weir_device_batch *batch = plain_batch(n, 1);

	for (unsigned i = 0; i < n; i++)
		((int32_t *)batch->token)[i] = (int32_t)(from + i);
	dish_step(dish, batch);
	plain_batch_free(batch);
	return dish->desk->device == weir_vk_device() ? dish->desk->data.vk->last_dispatches : 0;
}

static uint32_t gather(struct recipe *r, uint32_t from, uint32_t kind)
{
	uint32_t to = recipe_temp(r, kind, WEIR_ROWS_OUT, r->parts[from].tensor.width);
	struct weir_op *op = recipe_op(r, WEIR_OP_GATHER);

	op->src[0] = from;
	op->dst[0] = to;
	return to;
}

static void check_groups(const struct recipe *r, const struct group_case *c, uint32_t y)
{
	static const unsigned parts[][2] = { { 0, 1 }, { 3, 8 }, { 20, 1 }, { 13, 8 } };
	bool is_float = c->gate == WEIR_DTYPE_F16 || c->gate == WEIR_DTYPE_F32;
	g_autofree float *all = NULL;
	struct dish got, want;
	struct desk vk;
	uint32_t own;
	double d;

	if (!desk_open(&vk, c->without))
		return;
	desk_small(&vk);
	if (c->without & WEIR_VK_WITH_DOT) { /* the sizes that GPUs get */
		vk.data.vk->tile_width = 128;
		vk.data.vk->tile_rows = 2;
		vk.data.vk->tile_cols = 16;
		vk.data.vk->width = 4 * vk.data.vk->lanes;
	}
	dish_make(&got, &vk, r);
	dish_make(&want, &cpu, r);
	/* The inputs (as bytes), y's base, the choice, the order, gate and up, down, the sum. */
	own = (is_float ? 3 : 4) + (c->out ? 2 : 0);
	g_assert_cmpuint(group_step(&got, 0, c->rows), ==, own + 5);
	group_step(&want, 0, c->rows);
	all = g_memdup2(dish_output(&got, y), c->rows * EMBD * sizeof(float));
	d = distance(all, dish_output(&want, y), c->rows * EMBD);
	g_test_message("groups, %s: %g", c->name, d);
	g_assert_cmpfloat(d, <=, is_float && c->down != WEIR_DTYPE_Q8_0 ? 1e-5 : 3e-3);
	for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
		unsigned from = parts[i][0], n = parts[i][1];

		g_assert_cmpuint(group_step(&got, from, n), ==, own + 3);
		g_assert_cmpmem(dish_output(&got, y), n * EMBD * sizeof(float), all + from * EMBD,
				n * EMBD * sizeof(float));
	}
	/* And in another company, in a bucket that is not full. */
	group_step(&got, 2, c->rows - 3);
	g_assert_cmpmem(dish_output(&got, y), (c->rows - 3) * EMBD * sizeof(float), all + 2 * EMBD,
			(c->rows - 3) * EMBD * sizeof(float));
	dish_free(&got);
	dish_free(&want);
	desk_close(&vk);
}

static void test_groups(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(group_cases); i++) {
		const struct group_case *c = &group_cases[i];
		g_autoptr(GRand) rand = g_rand_new_with_seed(5);
		float x[GROUP_ROWS * EMBD], z[GROUP_ROWS * EMBD];
		float logits[GROUP_ROWS * GROUP_EXPERTS];
		size_t n = (size_t)c->n;
		g_autofree uint8_t *gate = reference_weights(rand, c->gate, EMBD, n * FF);
		g_autofree uint8_t *up = reference_weights(rand, c->up, EMBD, n * FF);
		g_autofree uint8_t *down = reference_weights(rand, c->down, FF, n * EMBD);
		struct recipe r = { .max_tokens = GROUP_ROWS, .max_out = GROUP_ROWS };
		uint32_t in, route, y;
		struct weir_op *op;

		reference_random(rand, x, G_N_ELEMENTS(x));
		reference_random(rand, z, G_N_ELEMENTS(z));
		fill_logits(rand, c, logits);
		in = recipe_input(&r, x, GROUP_ROWS, EMBD);
		route = recipe_input(&r, logits, GROUP_ROWS, n);
		y = recipe_temp(&r, c->out ? WEIR_TENSOR_TEMP : WEIR_TENSOR_OUTPUT,
				WEIR_ROWS_TOKENS, EMBD);
		op = recipe_op(&r, WEIR_OP_EMBED);
		op->src[0] =
			recipe_weight(&r, WEIR_DTYPE_F32, EMBD, GROUP_ROWS, WEIR_WEIGHT_TABLE, z);
		op->dst[0] = y;
		op->f[0] = 1;
		if (c->out) {
			in = gather(&r, in, WEIR_TENSOR_TEMP);
			route = gather(&r, route, WEIR_TENSOR_TEMP);
			y = gather(&r, y, WEIR_TENSOR_OUTPUT);
		}
		op = recipe_op(&r, WEIR_OP_MOE);
		op->flags = WEIR_ACT_SILU | (c->n == 1 ? WEIR_MOE_SIGMOID : WEIR_MOE_NORM);
		op->src[0] = in;
		op->src[1] = route;
		op->src[2] = recipe_weight(&r, c->gate, EMBD, n * FF, WEIR_WEIGHT_MATRIX, gate);
		op->src[3] = recipe_weight(&r, c->up, EMBD, n * FF, WEIR_WEIGHT_MATRIX, up);
		op->src[4] = recipe_weight(&r, c->down, FF, n * EMBD, WEIR_WEIGHT_MATRIX, down);
		op->dst[0] = y;
		op->i[0] = c->n;
		op->i[1] = c->k;
		op->i[2] = FF;
		op->f[0] = 1.5f;
		check_groups(&r, c, y);
	}
}

static void test_lora(void)
{
	static const uint32_t types[][2] = { { WEIR_DTYPE_F32, WEIR_DTYPE_F16 },
					     { WEIR_DTYPE_Q8_0, WEIR_DTYPE_F32 } };
	uint32_t adapter[] = { 2, 0, 1 };

	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(4);
		float x[MAX_ROWS * EMBD], z[MAX_ROWS * FF];
		uint8_t *weights[4];
		struct weir_device_batch *batch = three_sequences(9, adapter);
		struct recipe r = { .n_parts = 0 };
		uint32_t in, y;

		reference_random(rand, x, G_N_ELEMENTS(x));
		reference_random(rand, z, G_N_ELEMENTS(z));
		in = recipe_input(&r, x, MAX_ROWS, EMBD);
		y = with_base(&r, z, FF);
		for (int k = 0; k < 2; k++) {
			struct weir_op *op = recipe_op(&r, WEIR_OP_LORA);

			weights[2 * k] = reference_weights(rand, types[i][0], EMBD, RANK);
			weights[2 * k + 1] = reference_weights(rand, types[i][1], RANK, FF);
			op->src[0] = in;
			op->src[1] = recipe_weight(&r, types[i][0], EMBD, RANK, WEIR_WEIGHT_MATRIX,
						   weights[2 * k]);
			op->src[2] = recipe_weight(&r, types[i][1], RANK, FF, WEIR_WEIGHT_MATRIX,
						   weights[2 * k + 1]);
			op->dst[0] = y;
			op->i[0] = k + 1;
			op->f[0] = 2;
		}
		compare(0, &r, y, 9, batch, i ? 3e-3 : 1e-5, "lora");
		batch->adapter = NULL;
		compare(0, &r, y, 9, batch, 0, "no adapter");
		plain_batch_free(batch);
		for (int k = 0; k < 4; k++)
			g_free(weights[k]);
	}
}

static void test_glu(void)
{
	static const uint32_t acts[] = { WEIR_ACT_SILU, WEIR_ACT_GELU_ERF, 0 };

	for (size_t i = 0; i < G_N_ELEMENTS(acts); i++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(6);
		float x[MAX_ROWS * FF], u[MAX_ROWS * FF];
		g_autofree uint8_t *matrix = reference_weights(rand, WEIR_DTYPE_Q8_0, FF, 20);
		struct weir_device_batch *batch = plain_batch(5, 1);
		struct recipe r = { .n_parts = 0 };
		uint32_t y, z;
		struct weir_op *op;

		reference_random(rand, x, G_N_ELEMENTS(x));
		reference_random(rand, u, G_N_ELEMENTS(u));
		y = recipe_input(&r, x, MAX_ROWS, FF);
		z = recipe_input(&r, u, MAX_ROWS, FF);
		op = recipe_op(&r, WEIR_OP_GLU);
		op->flags = acts[i];
		op->src[0] = y;
		op->src[1] = i == 1 ? WEIR_NO_TENSOR : z;
		op->dst[0] = i == 1 ? y : recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, FF);
		y = op->dst[0];
		op = recipe_op(&r, WEIR_OP_LINEAR);
		op->src[0] = y;
		op->src[1] = recipe_weight(&r, WEIR_DTYPE_Q8_0, FF, 20, WEIR_WEIGHT_MATRIX, matrix);
		op->dst[0] = z = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 20);
		op->i[0] = 1;
		op->f[0] = 1;
		if (i != 1)
			compare(0, &r, y, 5, batch, 1e-6, "glu");
		compare(0, &r, z, 5, batch, 2e-3, "glu and linear");
		plain_batch_free(batch);
	}
}

static void test_packed(void)
{
	static const struct {
		int heads, kv_heads, size, window, causal;
		float softcap;
		uint32_t without;
	} cases[] = {
		{ 4, 4, 32, 0, 0, 0, 0 },
		{ 6, 2, 20, 6, 0, 0, 0 },
		{ 4, 1, 64, 5, 1, 4, 0 },
		{ 2, 2, 16, 0, 1, 0, WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GRand) rand = g_rand_new_with_seed(7);
		size_t q_width = (size_t)(cases[i].heads * cases[i].size);
		size_t kv_width = (size_t)(cases[i].kv_heads * cases[i].size);
		g_autofree float *q = g_new(float, MAX_ROWS *q_width);
		g_autofree float *k = g_new(float, MAX_ROWS *kv_width);
		g_autofree float *v = g_new(float, MAX_ROWS *kv_width);
		struct weir_device_batch *batch = three_sequences(20, NULL);
		struct recipe r = { .n_parts = 0 };
		uint32_t in[3], y;
		struct weir_op *op;

		reference_random(rand, q, MAX_ROWS * q_width);
		reference_random(rand, k, MAX_ROWS * kv_width);
		reference_random(rand, v, MAX_ROWS * kv_width);
		in[0] = recipe_input(&r, q, MAX_ROWS, q_width);
		in[1] = recipe_input(&r, k, MAX_ROWS, kv_width);
		in[2] = recipe_input(&r, v, MAX_ROWS, kv_width);
		op = recipe_op(&r, WEIR_OP_ROPE_KV); /* in place, without a cache */
		memcpy(op->src, in, 2 * sizeof(uint32_t));
		memcpy(op->i,
		       (int32_t[]){ cases[i].heads, cases[i].kv_heads, cases[i].size,
				    i % 2 ? 0 : 16, WEIR_ROPE_NEOX },
		       5 * sizeof(int32_t));
		memcpy(op->f, (float[]){ 10000, 1, 0, 1 }, 4 * sizeof(float));
		y = recipe_temp(&r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, q_width);
		op = recipe_op(&r, WEIR_OP_ATTENTION_PACKED);
		memcpy(op->src, in, sizeof(in));
		op->dst[0] = y;
		memcpy(op->i,
		       (int32_t[]){ cases[i].heads, cases[i].kv_heads, cases[i].size,
				    cases[i].window, cases[i].causal },
		       5 * sizeof(int32_t));
		op->f[0] = 0.2f;
		op->f[1] = cases[i].softcap;
		compare(cases[i].without, &r, y, 20, batch, 1e-5, "packed");
		plain_batch_free(batch);
	}
}

static void test_types(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2);
	g_autofree uint8_t *table = reference_weights(rand, WEIR_DTYPE_F16, EMBD, 3);
	static const int32_t type[] = { 2, 0, 1, 1, 2 }, wrong[] = { 0, 0, 3, 0, 0 };
	struct weir_device_batch *batch = plain_batch(5, 1);
	struct recipe r = { .n_parts = 0 };
	float x[MAX_ROWS * EMBD];
	struct weir_error err = { 0 };
	struct weir_op *op;
	struct dish dish;
	struct desk vk;
	uint32_t y;

	reference_random(rand, x, G_N_ELEMENTS(x));
	y = with_base(&r, x, EMBD);
	op = recipe_op(&r, WEIR_OP_EMBED);
	op->flags = WEIR_EMBED_ADD | WEIR_EMBED_TYPE;
	op->src[0] = recipe_weight(&r, WEIR_DTYPE_F16, EMBD, 3, WEIR_WEIGHT_TABLE, table);
	op->dst[0] = y;
	op->f[0] = 2;
	batch->type = type;
	compare(0, &r, y, 5, batch, 1e-6, "types");
	batch->type = NULL;
	compare(0, &r, y, 5, batch, 1e-6, "no types");
	if (desk_open(&vk, 0)) {
		dish_make(&dish, &vk, &r);
		batch->type = wrong;
		g_assert_cmpint(vk.device->run(&vk.instance, dish.program, batch, &err), ==,
				WEIR_E_INVALID);
		dish_free(&dish);
		desk_close(&vk);
	}
	plain_batch_free(batch);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	desk_open_reference(&cpu);
	g_test_add_func("/vulkan/extras/moe", test_moe);
	g_test_add_func("/vulkan/extras/groups", test_groups);
	g_test_add_func("/vulkan/extras/lora", test_lora);
	g_test_add_func("/vulkan/extras/glu", test_glu);
	g_test_add_func("/vulkan/extras/packed", test_packed);
	g_test_add_func("/vulkan/extras/types", test_types);
	status = g_test_run();
	desk_close_reference(&cpu);
	return status;
}
