/*
 * ceilings.c - what this machine can do: reading, int8, bf16 and float arithmetic. For bench-cpu.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

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

static double read_rate(struct bench *b, struct weir_pool *pool, const uint64_t *data, size_t bytes)
{
	uint32_t n_threads = weir_pool_n_threads(pool);
	struct probe *probe = calloc(1, sizeof(*probe));
	double best = 0;

	if (!probe)
		bench_die("no memory");
	probe->n = bytes / 8 / n_threads / 32 * 32;
	probe->data = data;
	for (int i = 0; i < 7; i++) {
		double t = bench_now(b), rate;

		weir_pool_run(pool, read_memory, probe);
		rate = (double)(probe->n * 8 * n_threads) / (bench_now(b) - t);
		best = rate > best ? rate : best;
	}
	free(probe);
	return best;
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
PEAK(peak_bf16, "vdpbf16ps", "zmm")
PEAK(peak_fma512, "vfmadd231ps", "zmm")
PEAK(peak_fma256, "vfmadd231ps", "ymm")

static void run_peak(void *data, uint32_t thread, uint32_t n_threads)
{
	((struct probe *)data)->peak();
}

/* Operations a second; `each`: of one instruction. */
static double peak_rate(struct bench *b, void (*peak)(void), double each)
{
	struct probe probe = { .peak = peak };
	double best = 0;

	for (int i = 0; i < 3; i++) {
		double t = bench_now(b);

		weir_pool_run(b->cpu->pool, run_peak, &probe);
		t = 12.0 * PEAK_ROUNDS * each * weir_pool_n_threads(b->cpu->pool) /
		    (bench_now(b) - t);
		best = t > best ? t : best;
	}
	return best;
}

static void find_peaks(struct bench *b)
{
	bool avx2 = b->cpu->kernels == weir_cpu_level_kernels(WEIR_CPU_AVX2);

	if (b->cpu->kernels == weir_cpu_level_kernels(WEIR_CPU_SCALAR))
		return;
	b->ceilings.f32 = avx2 ? peak_rate(b, peak_fma256, 16) : peak_rate(b, peak_fma512, 32);
	if (!avx2 && __builtin_cpu_supports("avx512vnni"))
		b->ceilings.int8 = peak_rate(b, peak_vnni, 128);
	if (!avx2 && __builtin_cpu_supports("avx512bf16"))
		b->ceilings.bf16 = peak_rate(b, peak_bf16, 64);
}

#else

static void find_peaks(struct bench *b)
{
}

#endif

void bench_find_ceilings(struct bench *b)
{
	size_t bytes = b->total > 64u << 20 ? b->total : 64u << 20;
	struct weir_pool *one = weir_pool_new(1);
	uint64_t *data = weir_cpu_map(bytes, true);

	if (!one || !data)
		bench_die("no memory");
	memset(data, 1, bytes);
	b->ceilings.read_one = read_rate(b, one, data, bytes);
	b->ceilings.read = weir_pool_n_threads(b->cpu->pool) > 1
				   ? read_rate(b, b->cpu->pool, data, bytes)
				   : b->ceilings.read_one;
	weir_cpu_unmap(data, bytes);
	weir_pool_free(one);
	find_peaks(b);
}
