/*
 * test-vulkan-attention.c - ROPE_KV and ATTENTION of the Vulkan device against the CPU device:
 * head sizes, groups, windows, softcaps, kinds of rotary embedding, types of caches, shuffled
 * blocks, prompts in pieces and mixed batches. Alone, in company, and with attention split into
 * chunks, bit by bit.
 */
#include "vulkan-fixture.h"

#include <string.h>

enum { MAX_TOKENS = 256, N_SEQUENCES = 3 };

struct attention_case {
	const char *name;
	int heads, kv_heads, size, rope, kind;
	uint32_t kv_type;
	unsigned block_tokens;
	int window, original; /* original: YaRN with this context */
	float softcap, base, scale;
	gboolean norm, factors, quantised; /* quantised: what reads it is */
	unsigned lengths[N_SEQUENCES], chunk;
};

static const struct attention_case cases[] = {
	{ "f32",
	  2,
	  2,
	  16,
	  16,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F32,
	  8,
	  0,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 20, 9, 8 },
	  20 },
	{ "gqa-2",
	  4,
	  2,
	  64,
	  64,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_F16,
	  32,
	  0,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  TRUE,
	  { 33, 64, 31 },
	  40 },
	{ "gqa-4-128-factors",
	  8,
	  2,
	  128,
	  128,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F16,
	  32,
	  0,
	  0,
	  0,
	  500000,
	  1,
	  FALSE,
	  TRUE,
	  FALSE,
	  { 40, 5, 0 },
	  32 },
	{ "gqa-8-80",
	  8,
	  1,
	  80,
	  80,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_BF16,
	  16,
	  0,
	  0,
	  0,
	  10000,
	  0.25f,
	  FALSE,
	  FALSE,
	  TRUE,
	  { 20, 40, 3 },
	  7 },
	{ "gqa-3-96-norm",
	  6,
	  2,
	  96,
	  96,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_Q8_0,
	  32,
	  0,
	  0,
	  0,
	  1000000,
	  1,
	  TRUE,
	  FALSE,
	  TRUE,
	  { 50, 33, 4 },
	  16 },
	{ "gqa-7-window",
	  7,
	  1,
	  64,
	  64,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_F16,
	  16,
	  20,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 90, 21, 20 },
	  33 },
	{ "softcap",
	  4,
	  4,
	  32,
	  32,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F16,
	  5,
	  0,
	  0,
	  5,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 40, 6, 5 },
	  11 },
	{ "yarn",
	  2,
	  1,
	  64,
	  64,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F32,
	  100,
	  0,
	  64,
	  0,
	  10000,
	  0.25f,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 120, 9, 11 },
	  64 },
	{ "odd-head",
	  3,
	  1,
	  20,
	  12,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F16,
	  16,
	  0,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 18, 16, 2 },
	  5 },
	{ "group-20",
	  20,
	  1,
	  32,
	  32,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_F16,
	  16,
	  0,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  TRUE,
	  { 19, 7, 0 },
	  6 },
	{ "no-rope",
	  2,
	  2,
	  32,
	  0,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F16,
	  16,
	  0,
	  0,
	  0,
	  0,
	  1,
	  FALSE,
	  FALSE,
	  FALSE,
	  { 30, 12, 0 },
	  9 },
	{ "head-256",
	  2,
	  1,
	  256,
	  256,
	  WEIR_ROPE_NEOX,
	  WEIR_DTYPE_F16,
	  32,
	  0,
	  0,
	  0,
	  10000,
	  1,
	  TRUE,
	  FALSE,
	  TRUE,
	  { 12, 0, 0 },
	  9 },
	{ "long-window",
	  2,
	  1,
	  32,
	  32,
	  WEIR_ROPE_NORM,
	  WEIR_DTYPE_F16,
	  32,
	  150,
	  0,
	  0,
	  10000,
	  1,
	  FALSE,
	  FALSE,
	  TRUE,
	  { 420, 40, 0 },
	  200 },
};

/* A case's inputs, and the program over them. */
struct setting {
	const struct attention_case *c;
	struct recipe recipe;
	size_t n, start[N_SEQUENCES + 1], q_width, kv_width;
	float *q, *k, *v, q_norm[256], k_norm[256], factors[128];
	uint8_t *projection;
	uint32_t y, z, n_blocks, stride, base[N_SEQUENCES], *order;
};

static void set(struct setting *s, const struct attention_case *c)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);
	struct recipe *r = &s->recipe;
	uint32_t q, k, v, keys, values;
	struct weir_op *op;

	memset(s, 0, sizeof(*s));
	s->c = c;
	for (int i = 0; i < N_SEQUENCES; i++) {
		unsigned n = (c->lengths[i] + c->block_tokens - 1) / c->block_tokens;

		s->start[i + 1] = s->start[i] + c->lengths[i];
		s->base[i] = s->n_blocks;
		s->n_blocks += n;
		s->stride = MAX(s->stride, n);
	}
	s->n_blocks += 3;
	s->order = g_new(uint32_t, s->n_blocks);
	for (unsigned i = 0; i < s->n_blocks; i++) { /* Fisher and Yates */
		unsigned j = (unsigned)g_rand_int_range(rand, 0, (gint32)i + 1);

		s->order[i] = s->order[j];
		s->order[j] = i;
	}
	s->n = s->start[N_SEQUENCES];
	s->q_width = (size_t)(c->heads * c->size);
	s->kv_width = (size_t)(c->kv_heads * c->size);
	s->q = g_new(float, s->n * s->q_width);
	s->k = g_new(float, s->n * s->kv_width);
	s->v = g_new(float, s->n * s->kv_width);
	reference_random(rand, s->q, s->n * s->q_width);
	reference_random(rand, s->k, s->n * s->kv_width);
	reference_random(rand, s->v, s->n * s->kv_width);
	reference_random(rand, s->q_norm, 256);
	reference_random(rand, s->k_norm, 256);
	for (int i = 0; i < 128; i++)
		s->factors[i] = (float)g_rand_double_range(rand, 1, 8);
	r->max_tokens = MAX_TOKENS;
	r->max_out = 1;
	q = recipe_input(r, s->q, s->n, s->q_width);
	k = recipe_input(r, s->k, s->n, s->kv_width);
	v = recipe_input(r, s->v, s->n, s->kv_width);
	keys = recipe_kv(r, c->kv_type, s->n_blocks, c->block_tokens, (uint32_t)c->kv_heads,
			 (uint32_t)c->size);
	values = recipe_kv(r, c->kv_type, s->n_blocks, c->block_tokens, (uint32_t)c->kv_heads,
			   (uint32_t)c->size);
	op = recipe_op(r, WEIR_OP_ROPE_KV);
	memcpy(op->src, (uint32_t[]){ q, k, v, keys, values }, 5 * sizeof(uint32_t));
	if (c->norm) {
		op->src[5] = recipe_weight(r, WEIR_DTYPE_F32, (size_t)c->size, 1,
					   WEIR_WEIGHT_VECTOR, s->q_norm);
		op->src[6] = recipe_weight(r, WEIR_DTYPE_F32, (size_t)c->size, 1,
					   WEIR_WEIGHT_VECTOR, s->k_norm);
	}
	if (c->factors)
		op->src[7] = recipe_weight(r, WEIR_DTYPE_F32, (size_t)c->rope / 2, 1,
					   WEIR_WEIGHT_VECTOR, s->factors);
	memcpy(op->i, (int32_t[]){ c->heads, c->kv_heads, c->size, c->rope, c->kind, c->original },
	       6 * sizeof(int32_t));
	memcpy(op->f,
	       (float[]){ c->base, c->scale, c->original ? 1 : 0, c->original ? 1.1386f : 1, 32, 1,
			  1e-6f },
	       7 * sizeof(float));
	s->y = recipe_temp(r, c->quantised ? WEIR_TENSOR_TEMP : WEIR_TENSOR_OUTPUT,
			   WEIR_ROWS_TOKENS, s->q_width);
	op = recipe_op(r, WEIR_OP_ATTENTION);
	memcpy(op->src, (uint32_t[]){ q, keys, values }, 3 * sizeof(uint32_t));
	op->dst[0] = s->y;
	memcpy(op->i, (int32_t[]){ c->heads, c->kv_heads, c->size, c->window },
	       4 * sizeof(int32_t));
	op->f[0] = 0.1f;
	op->f[1] = c->softcap;
	if (!c->quantised)
		return;
	s->projection = reference_weights(rand, WEIR_DTYPE_Q8_0, s->q_width, s->q_width);
	s->z = recipe_temp(r, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, s->q_width);
	op = recipe_op(r, WEIR_OP_LINEAR);
	op->src[0] = s->y;
	op->src[1] = recipe_weight(r, WEIR_DTYPE_Q8_0, s->q_width, s->q_width, WEIR_WEIGHT_MATRIX,
				   s->projection);
	op->dst[0] = s->z;
	op->i[0] = 1;
	op->f[0] = 1;
	s->y = s->z;
}

static void unset(struct setting *s)
{
	g_free(s->order);
	g_free(s->q);
	g_free(s->k);
	g_free(s->v);
	g_free(s->projection);
}

/* Tokens done of each sequence, then the next step: a piece of a prompt, and single tokens at its
 * end. */
static unsigned next_count(const struct attention_case *c, unsigned done, int i)
{
	unsigned left = c->lengths[i] - done;

	return left == 0 ? 0 : left <= 3 ? 1 : MIN(left - 3, c->chunk);
}

/* Plays all sequences, together or one after the other; results of every token to got. */
static void play(struct desk *desk, const struct setting *s, gboolean together, float *got)
{
	const struct attention_case *c = s->c;
	unsigned done[N_SEQUENCES] = { 0 }, bt = c->block_tokens;
	g_autofree uint32_t *table = g_new0(uint32_t, s->stride * N_SEQUENCES);
	struct dish dish;
	gboolean some = TRUE;

	dish_make(&dish, desk, &s->recipe);
	while (some) {
		int32_t token[MAX_TOKENS], pos[MAX_TOKENS], row[MAX_TOKENS];
		uint32_t slot[MAX_TOKENS], first[N_SEQUENCES + 1] = { 0 }, len[N_SEQUENCES];
		struct weir_device_batch batch = { .size = sizeof(batch),
						   .block_stride = s->stride,
						   .token = token,
						   .pos = pos,
						   .row = row,
						   .slot = slot,
						   .first = first,
						   .kv_len = len,
						   .blocks = table };

		some = FALSE;
		for (int i = 0; i < N_SEQUENCES; i++) {
			unsigned n = some && !together ? 0 : next_count(c, done[i], i);
			unsigned per = (c->lengths[i] + bt - 1) / bt;

			if (!n)
				continue;
			some = TRUE;
			for (unsigned j = 0; j < per; j++)
				table[batch.n_rows * s->stride + j] = s->order[s->base[i] + j];
			for (unsigned j = 0; j < n; j++, batch.n_tokens++) {
				unsigned at = done[i] + j;

				token[batch.n_tokens] = (int32_t)(s->start[i] + at);
				pos[batch.n_tokens] = (int32_t)at;
				row[batch.n_tokens] = (int32_t)batch.n_rows;
				slot[batch.n_tokens] =
					s->order[s->base[i] + at / bt] * bt + at % bt;
			}
			done[i] += n;
			len[batch.n_rows++] = done[i];
			first[batch.n_rows] = batch.n_tokens;
		}
		if (!some)
			break;
		dish_step(&dish, &batch);
		for (unsigned t = 0; t < batch.n_tokens; t++)
			memcpy(got + (size_t)token[t] * s->q_width,
			       dish_output(&dish, s->y) + t * s->q_width,
			       s->q_width * sizeof(float));
	}
	dish_free(&dish);
}

static void check_case(struct desk *vk, struct desk *cpu, const struct attention_case *c,
		       gboolean all)
{
	struct setting s;
	g_autofree float *got = NULL, *want = NULL, *other = NULL;
	size_t n;
	double d;

	set(&s, c);
	n = s.n * s.q_width;
	got = g_new0(float, n);
	want = g_new0(float, n);
	other = g_new0(float, n);
	play(vk, &s, TRUE, got);
	play(cpu, &s, TRUE, want);
	d = distance(got, want, n);
	g_test_message("%s: %g", c->name, d);
	/* Two ways to round a cache to 8 bits differ by what either costs. */
	g_assert_cmpfloat(d, <,
			  c->kv_type == WEIR_DTYPE_Q8_0 ? 1.5e-2
			  : c->quantised                ? 2e-3
							: 1e-5);
	if (all) {
		uint32_t busy = vk->data.vk->busy;

		play(vk, &s, FALSE, other);
		g_assert_cmpmem(got, n * sizeof(float), other, n * sizeof(float));
		vk->data.vk->busy = 1000;
		memset(other, 0, n * sizeof(float));
		play(vk, &s, TRUE, other);
		g_assert_cmpmem(got, n * sizeof(float), other, n * sizeof(float));
		vk->data.vk->busy = busy;
	}
	unset(&s);
}

static void test_all(void)
{
	struct desk vk, cpu;

	if (!desk_open(&vk, 0))
		return;
	desk_open_reference(&cpu);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		check_case(&vk, &cpu, &cases[i], TRUE);
	desk_close_reference(&cpu);
	desk_close(&vk);
}

static void test_least(void)
{
	struct desk vk, cpu;

	if (!desk_open(&vk,
		       WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_MAPPED | WEIR_VK_WITHOUT_WIDE))
		return;
	desk_open_reference(&cpu);
	for (size_t i = 0; i < 5; i += 2)
		check_case(&vk, &cpu, &cases[i], FALSE);
	desk_close_reference(&cpu);
	desk_close(&vk);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/attention/all", test_all);
	g_test_add_func("/vulkan/attention/least", test_least);
	return g_test_run();
}
