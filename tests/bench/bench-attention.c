/*
 * bench-attention.c - ATTENTION over long contexts, for bench-cpu: for each shape and cache type,
 * one row at the end of the context through as many layers as no processor's cache holds (GB/s of
 * KV cache), and the last 512 positions at once through one (Gop/s). Blocks are in the order in
 * which an empty server hands them out.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { BLOCK = 32, MANY = 512, MAX_CONTEXT = 8192, MAX_LAYERS = 64 };

static const struct shape {
	const char *name;
	int heads, kv_heads, size;
} shapes[] = { { "32/8x128", 32, 8, 128 }, { "32/4x64", 32, 4, 64 }, { "16/16x64", 16, 16, 64 } };

static const struct {
	const char *name;
	uint32_t type;
	double bytes;
} types[] = { { "F16", WEIR_DTYPE_F16, 2 },
	      { "BF16", WEIR_DTYPE_BF16, 2 },
	      { "Q8_0", WEIR_DTYPE_Q8_0, 34.0 / 32 } };

/* One row, or MANY, at the end of the context, through a program. */
static void run(struct bench *b, weir_program *p, int n, int context, double *seconds)
{
	static int32_t token[MANY], pos[MANY], row[MANY];
	static uint32_t slot[MANY], blocks[MAX_CONTEXT / BLOCK];
	uint32_t first[2] = { 0, (uint32_t)n }, len[1] = { (uint32_t)context };
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_tokens = (uint32_t)n,
					   .n_rows = 1,
					   .block_stride = (uint32_t)context / BLOCK,
					   .token = token,
					   .pos = pos,
					   .row = row,
					   .slot = slot,
					   .first = first,
					   .kv_len = len,
					   .blocks = blocks };

	for (int i = 0; i < context / BLOCK; i++)
		blocks[i] = (uint32_t)i;
	for (int i = 0; i < n; i++)
		pos[i] = context - n + i;
	bench_run(b, p, &batch, seconds);
}

/* Seconds of n rows through `layers` layers, each with a cache of its own. */
static void measure(struct bench *b, const struct shape *s, size_t t, int context, int layers,
		    int n, double *seconds)
{
	size_t width = (size_t)(s->heads * s->size);
	float *table = calloc(width, sizeof(*table));
	struct weir_tensor tensors[3 + 2 * MAX_LAYERS] = {
		{ WEIR_TENSOR_WEIGHT, 0, NULL, 0 },
		{ WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, NULL, width },
		{ WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, NULL, width },
	};
	struct weir_op ops[1 + MAX_LAYERS] = {
		{ .code = WEIR_OP_EMBED, .dst = { 1 }, .src = { 0 }, .f = { 1 } },
	};
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = MANY,
					  .max_rows = 1,
					  .max_out = 1,
					  .n_tensors = 3 + 2 * (uint32_t)layers,
					  .n_ops = 1 + (uint32_t)layers,
					  .tensors = tensors,
					  .ops = ops };
	struct weir_error err = { 0 };
	weir_program *p = NULL;

	if (!table)
		bench_die("no memory");
	for (size_t i = 0; i < width; i++)
		table[i] = (float)(i % 7) - 3;
	if (weir_cpu_weight(b->instance, WEIR_DTYPE_F32, width, 1, WEIR_WEIGHT_TABLE, table,
			    &tensors[0].buffer, &err))
		bench_die(err.text);
	for (uint32_t i = 3; i < desc.n_tensors; i++) {
		tensors[i].kind = WEIR_TENSOR_KV;
		if (weir_cpu_kv(b->instance, types[t].type, (uint32_t)context / BLOCK, BLOCK,
				(uint32_t)s->kv_heads, (uint32_t)s->size, &tensors[i].buffer, &err))
			bench_die(err.text);
		bench_fill(tensors[i].buffer->data, tensors[i].buffer->data_bytes);
	}
	for (uint32_t i = 0; i < (uint32_t)layers; i++)
		ops[1 + i] = (struct weir_op){ .code = WEIR_OP_ATTENTION,
					       .dst = { 2 },
					       .src = { 1, 3 + 2 * i, 4 + 2 * i },
					       .i = { s->heads, s->kv_heads, s->size },
					       .f = { 0.088f } };
	if (weir_cpu_program_new(b->instance, &desc, &p, &err))
		bench_die(err.text);
	run(b, p, n, context, seconds);
	weir_cpu_program_free(b->instance, p);
	for (uint32_t i = 0; i < desc.n_tensors; i++)
		weir_cpu_buffer_free(b->instance, tensors[i].buffer);
	free(table);
}

static void bench_shape(struct bench *b, const struct shape *s, size_t t, int context)
{
	double seconds[BENCH_MAX_REPEATS], bytes, ops, one, many, limit;
	double f32 = b->ceilings.f32, group = s->heads / s->kv_heads;
	char name[64];
	int layers;

	bytes = 2.0 * types[t].bytes * context * s->kv_heads * s->size;
	ops = 4.0 * s->heads * s->size * MANY * (context - MANY / 2);
	/* in float, each element is multiplied and added once for every head of its KV head */
	limit = f32 > 0 ? f32 / (2 * group) * types[t].bytes : 0;
	layers = (int)((double)b->total / bytes) + 1;
	layers = layers > MAX_LAYERS ? MAX_LAYERS : layers;
	measure(b, s, t, context, layers, 1, seconds);
	snprintf(name, sizeof(name), "attention.%s.%s.%d.decode", s->name, types[t].name, context);
	one = bench_record(b, name, "B/s", bytes * layers, seconds, b->ceilings.read);
	measure(b, s, t, context, 1, MANY, seconds);
	snprintf(name, sizeof(name), "attention.%s.%s.%d.prefill", s->name, types[t].name, context);
	many = bench_record(b, name, "op/s", ops, seconds, f32);
	printf("%-9s %-5s %6.1f GB/s (%3.0f %% of read, %3.0f %% of float) %6.0f Gop/s (%3.0f "
	       "%%)\n",
	       s->name, types[t].name, one * 1e-9, 100 * one / b->ceilings.read,
	       limit > 0 ? 100 * one / limit : 0, many * 1e-9, f32 > 0 ? 100 * many / f32 : 0);
	fflush(stdout);
}

void bench_attention(struct bench *b)
{
	printf("attention, %d positions: 1 row, and %d rows\n", MAX_CONTEXT, MANY);
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			bench_shape(b, &shapes[s], t, MAX_CONTEXT);
}
