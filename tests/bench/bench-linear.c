/*
 * bench-linear.c - LINEAR for each weight type, for bench-cpu, over matrices that no cache holds:
 * 1, 2, 4, 8 and 16 rows as GB/s of weights and tokens a second against one row, 512 rows as Gop/s.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "dequant.h"

enum { WIDTH = 4096, HEIGHT = 4096, MAX_MATRICES = 256, PREFILL = 512 };

static const uint32_t rows[] = { 1, 2, 4, 8, 16, PREFILL };

static void measure(struct bench *b, weir_program *p, const struct weir_cpu_type *t, double bytes,
		    double ops)
{
	static int32_t token[PREFILL], pos[PREFILL], row[PREFILL];
	static uint32_t slot[PREFILL];
	uint32_t first[2] = { 0 }, len[1] = { 0 }, out[1] = { 0 };
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_rows = 1,
					   .token = token,
					   .pos = pos,
					   .row = row,
					   .slot = slot,
					   .first = first,
					   .kv_len = len,
					   .out_row = out };
	double seconds[BENCH_MAX_REPEATS], peak, rate, one = 0;
	char name[64];

	peak = t->quantised ? b->ceilings.int8 : b->ceilings.f32;
	if (!strcmp(t->name, "BF16") && b->ceilings.bf16 > 0)
		peak = b->ceilings.bf16;
	printf("%-7s", t->name);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		batch.n_tokens = first[1] = rows[i];
		bench_run(b, p, &batch, seconds);
		snprintf(name, sizeof(name), "linear.%s.%u", t->name, rows[i]);
		if (rows[i] == PREFILL) {
			rate = bench_record(b, name, "op/s", ops * PREFILL, seconds, peak);
			printf("%9.0f Gop/s (%3.0f %%)\n", rate * 1e-9,
			       peak > 0 ? 100 * rate / peak : 0);
			continue;
		}
		rate = bench_record(b, name, "B/s", bytes, seconds, b->ceilings.read);
		one = rows[i] == 1 ? rate : one;
		if (rows[i] == 1)
			printf("%7.1f GB/s (%3.0f %%)", rate * 1e-9, 100 * rate / b->ceilings.read);
		else
			printf(" %6.2f x", rows[i] * rate / one);
	}
	fflush(stdout);
}

static void bench_type(struct bench *b, uint32_t type)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	size_t row = WIDTH / t->block * t->bytes, bytes = row * HEIGHT, n = b->total / bytes + 1;
	static struct weir_tensor tensors[MAX_MATRICES + 4];
	static struct weir_op ops[MAX_MATRICES + 1];
	static float table[WIDTH];
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = PREFILL,
					  .max_rows = 1,
					  .max_out = 1,
					  .tensors = tensors,
					  .ops = ops };
	struct weir_error err = { 0 };
	uint8_t *src = malloc(bytes);
	weir_program *p = NULL;

	n = n > MAX_MATRICES ? MAX_MATRICES : n;
	if (!src)
		bench_die("no memory");
	bench_fill(src, bytes);
	for (int i = 0; i < WIDTH; i++)
		table[i] = (float)(i % 13) - 6;
	for (uint32_t i = 0; i < n + 1; i++) {
		weir_buffer **w = &tensors[i].buffer;

		tensors[i].kind = WEIR_TENSOR_WEIGHT;
		if (i == n ? weir_cpu_weight(b->instance, WEIR_DTYPE_F32, WIDTH, 1,
					     WEIR_WEIGHT_TABLE, table, w, &err)
			   : weir_cpu_weight(b->instance, type, WIDTH, HEIGHT, WEIR_WEIGHT_MATRIX,
					     src, w, &err))
			bench_die(err.text);
	}
	for (uint32_t i = (uint32_t)n + 1; i < n + 3; i++)
		tensors[i] =
			(struct weir_tensor){ WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, NULL, WIDTH };
	for (uint32_t i = 0; i < n + 1; i++) {
		struct weir_op *op = &ops[i];

		*op = (struct weir_op){ .code = i ? WEIR_OP_LINEAR : WEIR_OP_EMBED, .f = { 1 } };
		memset(op->src, 0xff, sizeof(op->src));
		op->dst[0] = i ? (uint32_t)n + 2 : (uint32_t)n + 1;
		op->src[0] = i ? (uint32_t)n + 1 : (uint32_t)n;
		op->src[1] = i ? i - 1 : WEIR_NO_TENSOR;
		op->i[0] = i ? 1 : 0;
	}
	desc.n_tensors = (uint32_t)n + 3;
	desc.n_ops = (uint32_t)n + 1;
	if (weir_cpu_program_new(b->instance, &desc, &p, &err))
		bench_die(err.text);
	measure(b, p, t, (double)(n * bytes), 2.0 * WIDTH * HEIGHT * (double)n);
	weir_cpu_program_free(b->instance, p);
	for (uint32_t i = 0; i < n + 1; i++)
		weir_cpu_buffer_free(b->instance, tensors[i].buffer);
	free(src);
}

void bench_linear(struct bench *b)
{
	static const uint32_t types[] = { WEIR_DTYPE_Q8_0,  WEIR_DTYPE_Q4_0,   WEIR_DTYPE_Q4_1,
					  WEIR_DTYPE_Q5_0,  WEIR_DTYPE_Q5_1,   WEIR_DTYPE_Q2_K,
					  WEIR_DTYPE_Q3_K,  WEIR_DTYPE_Q4_K,   WEIR_DTYPE_Q5_K,
					  WEIR_DTYPE_Q6_K,  WEIR_DTYPE_IQ4_NL, WEIR_DTYPE_IQ4_XS,
					  WEIR_DTYPE_MXFP4, WEIR_DTYPE_TQ2_0,  WEIR_DTYPE_F16,
					  WEIR_DTYPE_BF16,  WEIR_DTYPE_F32 };

	printf("linear, 1 row; tokens a second of 2, 4, 8 and 16 against it; %d rows\n", PREFILL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		bench_type(b, types[i]);
}
