/*
 * core/check-device-ops.c - section device of `weir check`: every operation, with every type of
 * weights and caches that the device takes, against the reference. See check-device.h.
 */
#include <string.h>

#include "check-device.h"

static const uint32_t row_counts[] = { 1, 9, 33 };

enum { ROWS = 33 };

/* The plan on both, for several numbers of rows; one result or several. */
static void compare(struct weir_check_device *d, struct weir_check_plan *plan,
		    const uint32_t *outputs, unsigned n_outputs, double bound, const char *what)
{
	struct weir_check_made made;
	bool fine = true;

	if (weir_check_device_tired(d) || !weir_check_make(&made, d, plan, what))
		return;
	for (size_t i = 0; fine && i < G_N_ELEMENTS(row_counts); i++) {
		struct weir_check_batch *batch = weir_check_batch_one(row_counts[i], 0);

		for (uint32_t t = 0; t < row_counts[i]; t++)
			batch->type[t] = (int32_t)t % 2;
		fine = weir_check_made_step(&made, &batch->batch);
		if (fine)
			weir_check_reference(plan, &batch->batch);
		for (unsigned k = 0; fine && k < n_outputs; k++)
			fine = weir_check_made_compare(&made, &batch->batch, outputs[k], bound);
		weir_check_batch_free(batch);
	}
	weir_check_made_free(&made);
}

static void embed_type(struct weir_check_device *d, const struct weir_check_type *type)
{
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t table = weir_check_plan_weight(plan, type->type, type->n == 1 ? 37 : 2 * type->n,
						ROWS, WEIR_WEIGHT_TABLE);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS,
					  plan->parts[table].n_in);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_EMBED);
	g_autofree char *what = g_strdup_printf("EMBED of %s", type->name);

	op->src[0] = table;
	op->dst[0] = y;
	op->f[0] = 3;
	if (weir_check_device_values(d, plan, table))
		compare(d, plan, &y, 1, WEIR_CHECK_EXACT, what);
}

static void op_embed(struct weir_check *check)
{
	static const struct {
		const char *name;
		uint32_t flags;
		int32_t i0;
	} ways[] = { { "POSITION", WEIR_EMBED_POSITION, 2 },
		     { "FIXED", WEIR_EMBED_FIXED, 3 },
		     { "TYPE", WEIR_EMBED_TYPE, 0 } };
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < weir_check_n_types; i++)
		embed_type(&d, &weir_check_types[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
		uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, 96);
		struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_EMBED);
		g_autofree char *what = g_strdup_printf("EMBED with ADD and %s", ways[i].name);

		op->flags = WEIR_EMBED_ADD | ways[i].flags;
		op->src[0] = weir_check_plan_weight(plan, WEIR_DTYPE_F32, 96, ROWS + 2,
						    WEIR_WEIGHT_TABLE);
		op->dst[0] = x;
		op->f[0] = 0.5f;
		op->i[0] = ways[i].i0;
		compare(&d, plan, &x, 1, WEIR_CHECK_EXACT, what);
	}
	weir_check_device_close(&d);
}

static void op_norm(struct weir_check *check)
{
	static const struct {
		const char *name;
		uint32_t flags;
		uint64_t width;
		int32_t group;
		bool bias, wide;
	} ways[] = {
		{ "RMS", 0, 100, 0, false, false },
		{ "RMS of 1024", 0, 1024, 0, false, false },
		{ "LAYER with bias", WEIR_NORM_LAYER, 64, 0, true, false },
		{ "RMS with ADD", WEIR_NORM_ADD, 96, 0, false, false },
		{ "RMS of groups of 32", 0, 96, 32, false, false },
		{ "RMS of groups, a weight for each", 0, 96, 32, false, true },
		{ "LAYER of groups with ADD", WEIR_NORM_LAYER | WEIR_NORM_ADD, 60, 20, true,
		  false },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
		uint64_t n_w =
			ways[i].group && !ways[i].wide ? (uint64_t)ways[i].group : ways[i].width;
		uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, ways[i].width);
		uint32_t y = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, ways[i].width);
		struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_NORM);
		g_autofree char *what = g_strdup_printf("NORM %s", ways[i].name);

		op->flags = ways[i].flags;
		op->src[0] = x;
		op->src[1] = weir_check_plan_vector(plan, n_w);
		if (ways[i].bias)
			op->src[2] = weir_check_plan_vector(plan, n_w);
		op->dst[0] = y;
		op->i[0] = ways[i].group;
		op->f[0] = 1e-5f;
		compare(&d, plan, &y, 1, WEIR_CHECK_EXACT, what);
	}
	weir_check_device_close(&d);
}

struct linear_way {
	const char *name;
	uint32_t flags;
	int32_t n; /* matrices */
	bool bias;
	float scale, softcap;
};

static void linear_one(struct weir_check_device *d, const struct weir_check_type *type,
		       const struct linear_way *way, uint64_t n_in, uint64_t n_out)
{
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, n_in), y[3], w[3];
	int32_t n_results = way->flags & WEIR_LINEAR_GLU ? 1 : way->n;
	struct weir_op *op;
	g_autofree char *what = g_strdup_printf("LINEAR%s of %s, %d x %d", way->name, type->name,
						(int)n_out, (int)n_in);

	for (int32_t k = 0; k < n_results; k++)
		y[k] = way->flags & WEIR_LINEAR_ADD
			       ? weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT,
						       n_out + 8 * (uint64_t)k)
			       : weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS,
						      n_out + 8 * (uint64_t)k);
	op = weir_check_plan_op(plan, WEIR_OP_LINEAR);
	op->flags = way->flags;
	op->src[0] = x;
	op->i[0] = way->n;
	op->f[0] = way->scale;
	op->f[1] = way->softcap;
	for (int32_t k = 0; k < way->n; k++) {
		uint64_t rows = n_results == 1 ? n_out : n_out + 8 * (uint64_t)k;

		w[k] = op->src[1 + k] =
			weir_check_plan_weight(plan, type->type, n_in, rows, WEIR_WEIGHT_MATRIX);
		if (way->bias)
			op->src[4 + k] = weir_check_plan_vector(plan, rows);
		if (k < n_results)
			op->dst[k] = y[k];
	}
	for (int32_t k = 0; k < way->n; k++)
		if (!weir_check_device_values(d, plan, w[k]))
			return;
	compare(d, plan, y, (unsigned)n_results, weir_check_bound(type->type), what);
}

static void op_linear(struct weir_check *check)
{
	static const struct linear_way plain = { "", 0, 1, false, 1, 0 };
	static const struct linear_way ways[] = {
		{ " with ADD and bias", WEIR_LINEAR_ADD, 1, true, 1, 0 },
		{ " by three", 0, 3, true, 1, 0 },
		{ " by two with ADD", WEIR_LINEAR_ADD, 2, false, 0.5f, 0 },
		{ " with SILU and GLU", WEIR_LINEAR_GLU | WEIR_ACT_SILU, 2, true, 1, 0 },
		{ " with GELU_TANH and GLU", WEIR_LINEAR_GLU | WEIR_ACT_GELU_TANH, 2, false, 1, 0 },
		{ " with GELU_ERF", WEIR_ACT_GELU_ERF, 1, true, 1, 0 },
		{ " with RELU2", WEIR_ACT_RELU2, 1, false, 2, 0 },
		{ " with RELU", WEIR_ACT_RELU, 1, false, 1, 0 },
		{ " with TANH", WEIR_ACT_TANH, 1, false, 1, 0 },
		{ " with softcap", 0, 1, false, 0.25f, 3 },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < weir_check_n_types; i++) {
		const struct weir_check_type *type = &weir_check_types[i];

		linear_one(&d, type, &plain, type->n == 1 ? 37 : type->n, 7);
		linear_one(&d, type, &plain, 512, 45);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		static const uint32_t types[] = { WEIR_DTYPE_F32, WEIR_DTYPE_F16, WEIR_DTYPE_Q8_0,
						  WEIR_DTYPE_Q4_K };

		for (size_t k = 0; k < G_N_ELEMENTS(types); k++)
			linear_one(&d, weir_check_type(types[k]), &ways[i], 256, 40);
	}
	weir_check_device_close(&d);
}

static const uint32_t cache_types[] = { WEIR_DTYPE_F32, WEIR_DTYPE_F16, WEIR_DTYPE_BF16,
					WEIR_DTYPE_Q8_0 };

struct rope_way {
	const char *name;
	int32_t heads, kv_heads, size, turned, kind;
	float scale, yarn, factor;
	bool norms, factors;
};

/* q, k and, behind a cache, what attention makes of them. cache 0: none, else 1 + type. */
static void rope_one(struct weir_check_device *d, const struct rope_way *way, uint32_t cache)
{
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint64_t size = (uint64_t)way->size;
	uint32_t q = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, (uint64_t)way->heads * size);
	uint32_t k = weir_check_plan_input(plan, cache ? WEIR_TENSOR_TEMP : WEIR_TENSOR_OUTPUT,
					   (uint64_t)way->kv_heads * size);
	uint32_t v = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, (uint64_t)way->kv_heads * size);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_ROPE_KV);
	uint32_t y = 0;
	struct weir_check_made made;
	bool fine = true;
	g_autofree char *what =
		g_strdup_printf("ROPE_KV %s, %s", way->name,
				cache ? weir_check_type(cache - 1)->name : "without caches");

	op->src[0] = q;
	op->src[1] = k;
	op->src[2] = v;
	op->i[0] = way->heads;
	op->i[1] = way->kv_heads;
	op->i[2] = way->size;
	op->i[3] = way->turned;
	op->i[4] = way->kind;
	op->i[5] = 32;
	op->f[0] = 10000;
	op->f[1] = way->scale;
	op->f[2] = way->yarn;
	op->f[3] = way->factor;
	op->f[4] = 32;
	op->f[5] = 1;
	op->f[6] = 1e-6f;
	if (way->norms) {
		op->src[5] = weir_check_plan_vector(plan, size);
		op->src[6] = weir_check_plan_vector(plan, size);
	}
	if (way->factors) {
		struct weir_check_part *part;

		op->src[7] = weir_check_plan_vector(plan, (uint64_t)way->turned / 2);
		part = &plan->parts[op->src[7]]; /* factors are above 1 */
		for (uint64_t i = 0; i < part->n_in; i++) {
			float x = (float)(1.5 + part->values[i] / 4);

			memcpy(part->bytes + 4 * i, &x, sizeof(x));
			part->values[i] = (double)x;
		}
	}
	if (cache) { /* which ATTENTION lets see */
		struct weir_op *look = weir_check_plan_op(plan, WEIR_OP_ATTENTION);

		y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS,
					 (uint64_t)way->heads * size);
		look->src[0] = q;
		look->dst[0] = y;
		look->f[0] = 0.3f;
		memcpy(look->i, op->i, 3 * sizeof(op->i[0]));
		for (int side = 0; side < 2; side++)
			op->src[3 + side] = look->src[1 + side] = weir_check_plan_kv(
				plan, cache - 1, 3, (uint32_t)way->kv_heads, (uint32_t)way->size);
	}
	if (weir_check_device_tired(d) || !weir_check_make(&made, d, plan, what))
		return;
	for (size_t i = 0; fine && i < 3; i++) {
		const struct weir_check_seq seq = { .count = row_counts[i],
						    .start = i == 2 && !cache ? 600 : 0 };
		struct weir_check_batch *batch = weir_check_batch_new(&seq, 1, 3, 0);

		fine = weir_check_made_both(&made, &batch->batch, q, WEIR_CHECK_EXACT) &&
		       (cache ? weir_check_made_compare(&made, &batch->batch, y,
							weir_check_bound(cache - 1))
			      : weir_check_made_compare(&made, &batch->batch, k, WEIR_CHECK_EXACT));
		weir_check_batch_free(batch);
	}
	weir_check_made_free(&made);
}

static void op_rope_kv(struct weir_check *check)
{
	static const struct rope_way ways[] = {
		{ "NORM", 4, 2, 32, 32, WEIR_ROPE_NORM, 1, 0, 1, false, false },
		{ "NEOX", 4, 2, 64, 64, WEIR_ROPE_NEOX, 1, 0, 1, false, false },
		{ "NEOX of a part of the head", 2, 1, 64, 32, WEIR_ROPE_NEOX, 0.5f, 0, 1, false,
		  false },
		{ "NORM with head norms", 3, 1, 32, 32, WEIR_ROPE_NORM, 1, 0, 1, true, false },
		{ "NEOX with factors", 2, 2, 32, 32, WEIR_ROPE_NEOX, 1, 0, 1.2f, false, true },
		{ "NORM with YaRN", 2, 1, 64, 64, WEIR_ROPE_NORM, 0.25f, 1, 1.1f, false, false },
		{ "NEOX of heads of 128", 2, 2, 128, 128, WEIR_ROPE_NEOX, 1, 0, 1, true, false },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		rope_one(&d, &ways[i], 0);
		rope_one(&d, &ways[i], 1 + cache_types[i % G_N_ELEMENTS(cache_types)]);
	}
	weir_check_device_close(&d);
}

struct attention_way {
	const char *name;
	int32_t heads, kv_heads, size, window;
	float softcap;
};

static const struct attention_way attention_ways[] = {
	{ "4 heads of 32 over 2", 4, 2, 32, 0, 0 },
	{ "3 heads of 64 over 1, softcap", 3, 1, 64, 0, 5 },
	{ "2 heads of 128, window", 2, 2, 128, 20, 0 },
	{ "2 heads of 80 over 1", 2, 1, 80, 0, 0 },
	{ "8 heads of 256 over 1, window, softcap", 8, 1, 256, 7, 20 },
};

static void attention_one(struct weir_check_device *d, const struct attention_way *way,
			  uint32_t type)
{
	/* A prompt, a token, a longer piece, and a token. */
	static const uint32_t counts[] = { 9, 1, 33, 5, 1, 33, 1 };
	uint64_t q_width = (uint64_t)way->heads * (uint64_t)way->size;
	uint64_t width = (uint64_t)way->kv_heads * (uint64_t)way->size;
	struct weir_check_plan *plan = weir_check_device_plan(d, 2 * ROWS);
	uint32_t q = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, q_width);
	uint32_t k = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, width);
	uint32_t v = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, width);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, q_width);
	struct weir_op *store = weir_check_plan_op(plan, WEIR_OP_ROPE_KV), *op;
	struct weir_check_seq seq = { .count = 0 };
	struct weir_check_made made;
	bool fine = true;
	g_autofree char *what =
		g_strdup_printf("ATTENTION, %s, %s", way->name, weir_check_type(type)->name);

	op = weir_check_plan_op(plan, WEIR_OP_ATTENTION);
	store->src[0] = op->src[0] = q;
	store->src[1] = k;
	store->src[2] = v;
	for (uint32_t side = 0; side < 2; side++)
		store->src[3 + side] = op->src[1 + side] = weir_check_plan_kv(
			plan, type, 8, (uint32_t)way->kv_heads, (uint32_t)way->size);
	store->i[0] = op->i[0] = way->heads;
	store->i[1] = op->i[1] = way->kv_heads;
	store->i[2] = op->i[2] = way->size;
	op->i[3] = way->window;
	op->dst[0] = y;
	op->f[0] = 0.3f;
	op->f[1] = way->softcap;
	if (weir_check_device_tired(d) || !weir_check_make(&made, d, plan, what))
		return;
	for (size_t i = 0; fine && i < G_N_ELEMENTS(counts); i++) {
		struct weir_check_batch *batch;

		seq.count = counts[i];
		batch = weir_check_batch_new(&seq, 1, 8, (int32_t)i);
		fine = weir_check_made_both(&made, &batch->batch, y, weir_check_bound(type));
		weir_check_batch_free(batch);
		seq.start += seq.count;
	}
	weir_check_made_free(&made);
}

static void op_attention(struct weir_check *check)
{
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(attention_ways); i++)
		for (size_t k = 0; k < G_N_ELEMENTS(cache_types); k++)
			if (cache_types[k] != WEIR_DTYPE_Q8_0 || attention_ways[i].size % 32 == 0)
				attention_one(&d, &attention_ways[i], cache_types[k]);
	weir_check_device_close(&d);
}

static void packed_one(struct weir_check_device *d, const struct attention_way *way, int32_t causal)
{
	static const struct weir_check_seq seqs[] = {
		{ .count = 3 }, { .count = 17 }, { .count = 1 }, { .count = 12 }
	};
	uint64_t q_width = (uint64_t)way->heads * (uint64_t)way->size;
	uint64_t width = (uint64_t)way->kv_heads * (uint64_t)way->size;
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t q = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, q_width);
	uint32_t k = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, width);
	uint32_t v = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, width);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, q_width);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_ATTENTION_PACKED);
	struct weir_check_batch *batch;
	struct weir_check_made made;
	g_autofree char *what =
		g_strdup_printf("ATTENTION_PACKED, %s%s", way->name, causal ? ", causal" : "");

	op->src[0] = q;
	op->src[1] = k;
	op->src[2] = v;
	op->dst[0] = y;
	op->i[0] = way->heads;
	op->i[1] = way->kv_heads;
	op->i[2] = way->size;
	op->i[3] = way->window;
	op->i[4] = causal;
	op->f[0] = 0.3f;
	op->f[1] = way->softcap;
	if (weir_check_device_tired(d) || !weir_check_make(&made, d, plan, what))
		return;
	batch = weir_check_batch_new(seqs, G_N_ELEMENTS(seqs), 2, 0);
	weir_check_made_both(&made, &batch->batch, y, WEIR_CHECK_EXACT);
	weir_check_batch_free(batch);
	weir_check_made_free(&made);
}

static void op_packed(struct weir_check *check)
{
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(attention_ways); i++) {
		packed_one(&d, &attention_ways[i], 0);
		packed_one(&d, &attention_ways[i], 1);
	}
	weir_check_device_close(&d);
}

static void op_gather(struct weir_check *check)
{
	static const uint32_t rows[] = { 0, 3, 4, 30 };
	struct weir_check_device d;
	struct weir_check_made made;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 70);
	uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_OUT, 70);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_GATHER);

	op->src[0] = x;
	op->dst[0] = y;
	if (weir_check_make(&made, &d, plan, "GATHER")) {
		for (uint32_t n = 1; n <= G_N_ELEMENTS(rows); n++) {
			struct weir_check_batch *batch = weir_check_batch_one(ROWS, 0);

			memcpy(batch->out_row, rows + G_N_ELEMENTS(rows) - n, n * sizeof(*rows));
			batch->batch.n_out = n;
			weir_check_made_both(&made, &batch->batch, y, WEIR_CHECK_EXACT);
			weir_check_batch_free(batch);
		}
		weir_check_made_free(&made);
	}
	weir_check_device_close(&d);
}

struct moe_way {
	const char *name;
	uint32_t flags;
	int32_t experts, chosen;
	float scale;
};

static void moe_one(struct weir_check_device *d, const struct moe_way *way,
		    const struct weir_check_type *type)
{
	uint64_t n = type->n == 256 ? 256 : 64, n_ff = type->n == 256 ? 256 : 96;
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, n);
	uint32_t logits = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, (uint64_t)way->experts);
	uint32_t y = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, n);
	struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_MOE);
	uint64_t experts = (uint64_t)way->experts;
	g_autofree char *what = g_strdup_printf("MOE%s of %s", way->name, type->name);

	if (type->n == 64)
		n_ff = 128;
	op->flags = way->flags;
	op->src[0] = x;
	op->src[1] = logits;
	for (uint32_t m = 0; m < 3; m++)
		op->src[2 + m] =
			weir_check_plan_weight(plan, type->type, m < 2 ? n : n_ff,
					       experts * (m < 2 ? n_ff : n), WEIR_WEIGHT_MATRIX);
	op->dst[0] = y;
	op->i[0] = way->experts;
	op->i[1] = way->chosen;
	op->i[2] = (int32_t)n_ff;
	op->f[0] = way->scale;
	compare(d, plan, &y, 1, weir_check_bound(type->type), what);
}

static void op_moe(struct weir_check *check)
{
	static const struct moe_way plain = { "", WEIR_ACT_SILU, 4, 2, 1 };
	static const struct moe_way ways[] = {
		{ " with NORM", WEIR_ACT_SILU | WEIR_MOE_NORM, 5, 3, 0.5f },
		{ " with SIGMOID, one of one", WEIR_ACT_SILU | WEIR_MOE_SIGMOID, 1, 1, 1 },
		{ " with GELU_TANH, 8 of 16", WEIR_ACT_GELU_TANH, 16, 8, 2 },
	};
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < weir_check_n_types; i++)
		if (weir_check_types[i].decode)
			moe_one(&d, &plain, &weir_check_types[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		moe_one(&d, &ways[i], weir_check_type(WEIR_DTYPE_F32));
		moe_one(&d, &ways[i], weir_check_type(WEIR_DTYPE_Q8_0));
	}
	weir_check_device_close(&d);
}

static void lora_one(struct weir_check_device *d, const struct weir_check_type *type)
{
	static const struct weir_check_seq seqs[] = { { .count = 5, .adapter = 2 },
						      { .count = 1, .adapter = 0 },
						      { .count = 9, .adapter = 1 },
						      { .count = 2, .adapter = 2 } };
	struct weir_check_plan *plan = weir_check_device_plan(d, ROWS);
	uint32_t x = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 64);
	uint32_t y = weir_check_plan_input(plan, WEIR_TENSOR_OUTPUT, 48);
	struct weir_check_batch *batch;
	struct weir_check_made made;
	g_autofree char *what = g_strdup_printf("LORA of %s", type->name);

	for (int32_t adapter = 1; adapter <= 2; adapter++) {
		uint64_t rank = type->n > 1 ? 32 : 8 * (uint64_t)adapter;
		struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_LORA);

		op->src[0] = x;
		op->src[1] = weir_check_plan_weight(plan, type->type, 64, rank, WEIR_WEIGHT_MATRIX);
		op->src[2] = weir_check_plan_weight(plan, type->type, rank, 48, WEIR_WEIGHT_MATRIX);
		op->dst[0] = y;
		op->i[0] = adapter;
		op->f[0] = 0.5f;
	}
	if (weir_check_device_tired(d) || !weir_check_make(&made, d, plan, what))
		return;
	batch = weir_check_batch_new(seqs, G_N_ELEMENTS(seqs), 1, 0);
	if (weir_check_made_both(&made, &batch->batch, y, weir_check_bound(type->type))) {
		batch->batch.adapter = NULL; /* none anywhere */
		weir_check_made_both(&made, &batch->batch, y, weir_check_bound(type->type));
	}
	weir_check_batch_free(batch);
	weir_check_made_free(&made);
}

static void op_lora(struct weir_check *check)
{
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < weir_check_n_types; i++)
		if (weir_check_types[i].n <= 32)
			lora_one(&d, &weir_check_types[i]);
	weir_check_device_close(&d);
}

static void op_glu(struct weir_check *check)
{
	static const struct {
		const char *name;
		uint32_t flags;
	} acts[] = { { "SILU", WEIR_ACT_SILU },   { "GELU_TANH", WEIR_ACT_GELU_TANH },
		     { "RELU2", WEIR_ACT_RELU2 }, { "GELU_ERF", WEIR_ACT_GELU_ERF },
		     { "RELU", WEIR_ACT_RELU },   { "TANH", WEIR_ACT_TANH },
		     { "no activation", 0 } };
	struct weir_check_device d;

	if (!weir_check_device_open_quietly(&d, check))
		return;
	for (size_t i = 0; i < 2 * G_N_ELEMENTS(acts); i++) {
		struct weir_check_plan *plan = weir_check_device_plan(&d, ROWS);
		uint32_t gate = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 90);
		uint32_t up = weir_check_plan_input(plan, WEIR_TENSOR_TEMP, 90);
		uint32_t y = weir_check_plan_temp(plan, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 90);
		struct weir_op *op = weir_check_plan_op(plan, WEIR_OP_GLU);
		g_autofree char *what =
			g_strdup_printf("GLU with %s%s", acts[i / 2].name, i % 2 ? ", alone" : "");

		op->flags = acts[i / 2].flags;
		op->src[0] = gate;
		op->src[1] = i % 2 ? WEIR_NO_TENSOR : up;
		op->dst[0] = y;
		compare(&d, plan, &y, 1, WEIR_CHECK_EXACT, what);
	}
	weir_check_device_close(&d);
}

#define OP(name, op, run)                                                                          \
	{                                                                                          \
		"device", name,                                                                    \
			"where supports() says yes, " op                                           \
			" is what the contract says, within the bounds",                           \
			run, 5                                                                     \
	}

const struct weir_check_case weir_check_device_ops[] = {
	OP("embed", "EMBED", op_embed),
	OP("norm", "NORM", op_norm),
	OP("linear", "LINEAR", op_linear),
	OP("rope-kv", "ROPE_KV", op_rope_kv),
	OP("attention", "ATTENTION", op_attention),
	OP("gather", "GATHER", op_gather),
	OP("packed", "ATTENTION_PACKED", op_packed),
	OP("moe", "MOE", op_moe),
	OP("lora", "LORA", op_lora),
	OP("glu", "GLU", op_glu),
	{ NULL },
};
