/*
 * bench-cpu.c - how fast the CPU device is against what this machine can do. Not a test.
 *
 *     bench-cpu [threads [MiB]]
 *
 * First the ceilings: how fast memory is read, and how many int8 and float operations a second the
 * vector units do. Then LINEAR for each weight type, over matrices that no cache holds (MiB in all,
 * 256 unless told): decode (1 row, and 8) as GB/s of weights, prefill (512 rows) as Gop/s. Best of
 * several runs; with one thread the clock counts CPU time, so that a busy machine disturbs it less.
 * WEIR_ISA chooses the kernels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "dequant.h"
#include "program.h"

enum { WIDTH = 4096, HEIGHT = 4096, MAX_MATRICES = 256, PREFILL = 512 };

static bool use_cpu_time;

static double now(void)
{
	struct timespec t;

	clock_gettime(use_cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-cpu: %s\n", what);
	exit(1);
}

struct probe {
	const uint64_t *data;
	size_t n; /* words of each thread */
	uint64_t sums[1024];
	void (*peak)(void);
};

static void read_memory(void *data, uint32_t thread, uint32_t n_threads)
{
	struct probe *probe = data;
	const uint64_t *p = probe->data + thread * probe->n;
	uint64_t sum[32] = { 0 };

	for (size_t i = 0; i < probe->n; i += 32)
		for (int k = 0; k < 32; k++)
			sum[k] ^= p[i + (size_t)k];
	for (int k = 0; k < 32; k++)
		probe->sums[thread] ^= sum[k];
}

#if defined(__x86_64__)

enum { PEAK_ROUNDS = 20000000 };

/* Twelve independent sums: more than latency times throughput of any core so far. */
#define PEAK(NAME, OP, REG)                                                                        \
	static void NAME(void)                                                                     \
	{                                                                                          \
		for (long i = 0; i < PEAK_ROUNDS; i++)                                             \
			__asm__ volatile(                                                          \
				OP " %%" REG "12, %%" REG "13, %%" REG "0\n\t" OP " %%" REG        \
				   "12, %%" REG "13, %%" REG "1\n\t" OP " %%" REG "12, %%" REG     \
				   "13, %%" REG "2\n\t" OP " %%" REG "12, %%" REG "13, %%" REG     \
				   "3\n\t" OP " %%" REG "12, %%" REG "13, %%" REG "4\n\t" OP       \
				   " %%" REG "12, %%" REG "13, %%" REG "5\n\t" OP " %%" REG        \
				   "12, %%" REG "13, %%" REG "6\n\t" OP " %%" REG "12, %%" REG     \
				   "13, %%" REG "7\n\t" OP " %%" REG "12, %%" REG "13, %%" REG     \
				   "8\n\t" OP " %%" REG "12, %%" REG "13, %%" REG "9\n\t" OP       \
				   " %%" REG "12, %%" REG "13, %%" REG "10\n\t" OP " %%" REG       \
				   "12, %%" REG "13, %%" REG "11" ::                               \
					   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",       \
					     "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");    \
	}

PEAK(peak_vnni, "vpdpbusd", "zmm")
PEAK(peak_fma512, "vfmadd231ps", "zmm")
PEAK(peak_fma256, "vfmadd231ps", "ymm")

static void run_peak(void *data, uint32_t thread, uint32_t n_threads)
{
	((struct probe *)data)->peak();
}

/* Operations a second; lanes * 2 operations an instruction. */
static double peak_rate(struct weir_cpu *cpu, void (*peak)(void), double lanes)
{
	struct probe probe = { .peak = peak };
	double best = 0;

	for (int i = 0; i < 3; i++) {
		double t = now();

		weir_pool_run(cpu->pool, run_peak, &probe);
		t = 12.0 * PEAK_ROUNDS * 2 * lanes * weir_pool_n_threads(cpu->pool) / (now() - t);
		best = t > best ? t : best;
	}
	return best;
}

#endif

static double read_rate(struct weir_cpu *cpu, size_t bytes)
{
	uint32_t n_threads = weir_pool_n_threads(cpu->pool);
	struct probe *probe = calloc(1, sizeof(*probe));
	double best = 0;

	if (!probe)
		die("no memory");
	probe->n = bytes / 8 / n_threads / 32 * 32;
	probe->data = weir_cpu_map(bytes, true);
	if (!probe->data)
		die("no memory");
	memset((void *)probe->data, 1, bytes);
	for (int i = 0; i < 7; i++) {
		double t = now(), rate;

		weir_pool_run(cpu->pool, read_memory, probe);
		rate = (double)(probe->n * 8 * n_threads) / (now() - t);
		best = rate > best ? rate : best;
	}
	weir_cpu_unmap((void *)probe->data, bytes);
	free(probe);
	return best;
}

/* Random bytes are valid weights of every type here, as long as no scale is a NaN: its top bits are
 * cleared. Speed does not depend on values. */
static void fill(uint8_t *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24) & 0xbf;
	}
}

static double best_run(struct weir_instance *instance, weir_program *p, uint32_t n, int runs)
{
	static int32_t token[PREFILL], pos[PREFILL], row[PREFILL];
	static uint32_t slot[PREFILL], first[2], len[1], out[1];
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_tokens = n,
					   .n_rows = 1,
					   .token = token,
					   .pos = pos,
					   .row = row,
					   .slot = slot,
					   .first = first,
					   .kv_len = len,
					   .out_row = out };
	struct weir_error err = { 0 };
	double best = 1e9;

	first[1] = n;
	for (int i = 0; i < runs; i++) {
		double t = now();

		if (weir_cpu_run(instance, p, &batch, &err))
			die(err.text);
		t = now() - t;
		best = t < best ? t : best;
	}
	return best;
}

static void bench_type(struct weir_instance *instance, uint32_t type, size_t total, double read,
		       double peak)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	size_t row = WIDTH / t->block * t->bytes, bytes = row * HEIGHT, n = total / bytes + 1;
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
	double one, eight, many, ops_each = 2.0 * WIDTH * HEIGHT;

	n = n > MAX_MATRICES ? MAX_MATRICES : n;
	if (!src)
		die("no memory");
	fill(src, bytes);
	for (int i = 0; i < WIDTH; i++)
		table[i] = (float)(i % 13) - 6;
	for (uint32_t i = 0; i < n + 1; i++) {
		weir_buffer **b = &tensors[i].buffer;

		tensors[i].kind = WEIR_TENSOR_WEIGHT;
		if (i == n ? weir_cpu_weight(instance, WEIR_DTYPE_F32, WIDTH, 1, WEIR_WEIGHT_TABLE,
					     table, b, &err)
			   : weir_cpu_weight(instance, type, WIDTH, HEIGHT, WEIR_WEIGHT_MATRIX, src,
					     b, &err))
			die(err.text);
	}
	for (uint32_t i = n + 1; i < n + 3; i++)
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
	if (weir_cpu_program_new(instance, &desc, &p, &err))
		die(err.text);
	one = best_run(instance, p, 1, 7);
	eight = best_run(instance, p, 8, 5);
	many = best_run(instance, p, PREFILL, 2);
	printf("%-6s %7.1f GB/s (%3.0f %%) %8.2f x %10.0f Gop/s (%3.0f %%)\n", t->name,
	       (double)(n * bytes) / one * 1e-9, 100 * (double)(n * bytes) / one / read,
	       8 * one / eight, (double)n * ops_each * PREFILL / many * 1e-9,
	       peak > 0 ? 100 * (double)n * ops_each * PREFILL / many / peak : 0);
	fflush(stdout);
	weir_cpu_program_free(instance, p);
	for (uint32_t i = 0; i < n + 1; i++)
		weir_cpu_buffer_free(instance, tensors[i].buffer);
	free(src);
}

/* Attention of a model of 8e9 weights (32 heads, 8 KV heads of 128) with an F16 cache: one row at
 * the end of CONTEXT positions, and the last PREFILL of them at once. */
static void bench_attention(struct weir_instance *instance, double read, double peak)
{
	enum { CONTEXT = 4096, BLOCK = 32, HEADS = 32, KV_HEADS = 8, SIZE = 128 };
	static int32_t token[PREFILL], pos[PREFILL], row[PREFILL];
	static uint32_t slot[PREFILL], first[2], len[1] = { CONTEXT }, blocks[CONTEXT / BLOCK];
	static float table[HEADS * SIZE];
	struct weir_device_batch batch = { .size = sizeof(batch),
					   .n_rows = 1,
					   .block_stride = CONTEXT / BLOCK,
					   .token = token,
					   .pos = pos,
					   .row = row,
					   .slot = slot,
					   .first = first,
					   .kv_len = len,
					   .blocks = blocks };
	struct weir_tensor tensors[5] = {
		{ WEIR_TENSOR_WEIGHT, 0, NULL, 0 },
		{ WEIR_TENSOR_KV, 0, NULL, 0 },
		{ WEIR_TENSOR_KV, 0, NULL, 0 },
		{ WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, NULL, HEADS * SIZE },
		{ WEIR_TENSOR_TEMP, WEIR_ROWS_TOKENS, NULL, HEADS * SIZE },
	};
	struct weir_op ops[2] = {
		{ .code = WEIR_OP_EMBED, .dst = { 3 }, .src = { 0 }, .f = { 1 } },
		{ .code = WEIR_OP_ATTENTION,
		  .dst = { 4 },
		  .src = { 3, 1, 2 },
		  .i = { HEADS, KV_HEADS, SIZE },
		  .f = { 0.088f } },
	};
	struct weir_program_desc desc = { .size = sizeof(desc),
					  .max_tokens = PREFILL,
					  .max_rows = 1,
					  .max_out = 1,
					  .n_tensors = 5,
					  .n_ops = 2,
					  .tensors = tensors,
					  .ops = ops };
	double bytes = 2.0 * 2 * CONTEXT * KV_HEADS * SIZE, times[2] = { 1e9, 1e9 };
	double ops_many = 4.0 * HEADS * SIZE * PREFILL * (CONTEXT - PREFILL / 2);
	struct weir_error err = { 0 };
	weir_program *p = NULL;

	for (int i = 0; i < SIZE * HEADS; i++)
		table[i] = (float)(i % 7) - 3;
	if (weir_cpu_weight(instance, WEIR_DTYPE_F32, HEADS * SIZE, 1, WEIR_WEIGHT_TABLE, table,
			    &tensors[0].buffer, &err))
		die(err.text);
	for (int i = 1; i < 3; i++) {
		if (weir_cpu_kv(instance, WEIR_DTYPE_F16, CONTEXT / BLOCK, BLOCK, KV_HEADS, SIZE,
				&tensors[i].buffer, &err))
			die(err.text);
		fill(tensors[i].buffer->data, tensors[i].buffer->data_bytes);
	}
	for (uint32_t i = 0; i < CONTEXT / BLOCK; i++)
		blocks[i] = i * 37 % (CONTEXT / BLOCK);
	if (weir_cpu_program_new(instance, &desc, &p, &err))
		die(err.text);
	for (int many = 0; many < 2; many++) {
		uint32_t n = many ? PREFILL : 1;

		batch.n_tokens = first[1] = n;
		for (uint32_t i = 0; i < n; i++)
			pos[i] = (int32_t)(CONTEXT - n + i);
		for (int i = 0; i < 5; i++) {
			double t = now();

			if (weir_cpu_run(instance, p, &batch, &err))
				die(err.text);
			t = now() - t;
			times[many] = t < times[many] ? t : times[many];
		}
	}
	printf("attn  %8.1f GB/s (%3.0f %%)            %10.0f Gop/s (%3.0f %%)   %d positions\n",
	       bytes / times[0] * 1e-9, 100 * bytes / times[0] / read, ops_many / times[1] * 1e-9,
	       peak > 0 ? 100 * ops_many / times[1] / peak : 0, CONTEXT);
	weir_cpu_program_free(instance, p);
	for (int i = 0; i < 3; i++)
		weir_cpu_buffer_free(instance, tensors[i].buffer);
}

int main(int argc, char **argv)
{
	static const uint32_t types[] = { WEIR_DTYPE_Q8_0,   WEIR_DTYPE_Q4_0,   WEIR_DTYPE_Q4_1,
					  WEIR_DTYPE_Q5_0,   WEIR_DTYPE_Q5_1,   WEIR_DTYPE_Q2_K,
					  WEIR_DTYPE_Q3_K,   WEIR_DTYPE_Q4_K,   WEIR_DTYPE_Q5_K,
					  WEIR_DTYPE_IQ4_NL, WEIR_DTYPE_IQ4_XS, WEIR_DTYPE_MXFP4,
					  WEIR_DTYPE_TQ2_0,  WEIR_DTYPE_Q6_K,   WEIR_DTYPE_F16,
					  WEIR_DTYPE_BF16,   WEIR_DTYPE_F32 };
	struct weir_cpu_instance data = { NULL, NULL };
	struct weir_instance instance = { .size = sizeof(instance), .data = &data };
	struct weir_error err = { 0 };
	uint32_t n_threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	size_t total = (argc > 2 ? strtoul(argv[2], NULL, 10) : 256) * 1024 * 1024;
	double read, int8 = 0, fma = 0;

	if (!total || weir_cpu_new(n_threads, true, &data.cpu, &err))
		die(err.text[0] ? err.text : "no size");
	use_cpu_time = weir_pool_n_threads(data.cpu->pool) == 1;
	printf("%s%s\n", data.cpu->name, use_cpu_time ? ", CPU time" : "");
	read = read_rate(data.cpu, total > 64u << 20 ? total : 64u << 20);
#if defined(__x86_64__)
	if (data.cpu->kernels == weir_cpu_level_kernels(WEIR_CPU_VNNI))
		int8 = peak_rate(data.cpu, peak_vnni, 64);
	if (data.cpu->kernels == weir_cpu_level_kernels(WEIR_CPU_AVX2))
		fma = peak_rate(data.cpu, peak_fma256, 8);
	else if (data.cpu->kernels != weir_cpu_level_kernels(WEIR_CPU_SCALAR))
		fma = peak_rate(data.cpu, peak_fma512, 16);
#endif
	printf("ceilings: read %.1f GB/s, int8 dot %.0f Gop/s, float %.0f Gop/s\n", read * 1e-9,
	       int8 * 1e-9, fma * 1e-9);
	printf("type  decode, 1 row          8 rows    prefill, %d rows\n", PREFILL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		bench_type(&instance, types[i], total, read,
			   weir_cpu_type(types[i])->quantised ? int8 : fma);
	bench_attention(&instance, read, fma);
	weir_cpu_free(data.cpu);
	return 0;
}
