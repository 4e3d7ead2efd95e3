/* SPDX-License-Identifier: MIT */
/*
 * ceilings.c - what this machine can do; see ceilings.h.
 */
#include "ceilings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

double ceilings_now(bool cpu_time)
{
	struct timespec t;

	clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double ceilings_read(struct weir_pool *pool, const void *data, size_t bytes, unsigned rounds,
		     bool cpu_time)
{
	uint32_t n_threads = weir_pool_n_threads(pool);
	struct probe *probe = calloc(1, sizeof(*probe));
	double best = 0;

	if (!probe)
		return 0;
	probe->n = bytes / 8 / n_threads / 32 * 32;
	probe->data = data;
	for (unsigned i = 0; i < rounds; i++) {
		double t = ceilings_now(cpu_time), rate;

		weir_pool_run(pool, read_memory, probe);
		rate = (double)(probe->n * 8 * n_threads) / (ceilings_now(cpu_time) - t);
		best = rate > best ? rate : best;
	}
	free(probe);
	return best;
}

#if defined(__x86_64__)

#include <cpuid.h>

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
PEAK(peak_vnni256, "vpdpbusd", "ymm")
PEAK(peak_avxvnni, "%{vex%} vpdpbusd", "ymm")

static void run_peak(void *data, uint32_t thread, uint32_t n_threads)
{
	((struct probe *)data)->peak();
}

/* Operations a second; `each`: of one instruction. */
static double peak_rate(struct weir_cpu *cpu, bool cpu_time, void (*peak)(void), double each)
{
	struct probe probe = { .peak = peak };
	double best = 0;

	for (int i = 0; i < 3; i++) {
		double t = ceilings_now(cpu_time);

		weir_pool_run(cpu->pool, run_peak, &probe);
		t = 12.0 * PEAK_ROUNDS * each * weir_pool_n_threads(cpu->pool) /
		    (ceilings_now(cpu_time) - t);
		best = t > best ? t : best;
	}
	return best;
}

/* The VEX form; where it is missing the level runs the same instructions of AVX-512. */
static bool has_avxvnni(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
}

static void find_peaks(struct weir_cpu *cpu, bool cpu_time, struct ceilings *ret)
{
	const struct weir_cpu_kernels *k = cpu->kernels;
	bool wide = (k == weir_cpu_level_kernels(WEIR_CPU_AVX512) ||
		     k == weir_cpu_level_kernels(WEIR_CPU_VNNI) ||
		     k == weir_cpu_level_kernels(WEIR_CPU_BF16));

	if (k == weir_cpu_level_kernels(WEIR_CPU_SCALAR))
		return;
	ret->f32 = wide ? peak_rate(cpu, cpu_time, peak_fma512, 32)
			: peak_rate(cpu, cpu_time, peak_fma256, 16);
	if (k == weir_cpu_level_kernels(WEIR_CPU_AVXVNNI))
		ret->int8 =
			peak_rate(cpu, cpu_time, has_avxvnni() ? peak_avxvnni : peak_vnni256, 64);
	else if (wide && __builtin_cpu_supports("avx512vnni"))
		ret->int8 = peak_rate(cpu, cpu_time, peak_vnni, 128);
	if (wide && __builtin_cpu_supports("avx512bf16"))
		ret->bf16 = peak_rate(cpu, cpu_time, peak_bf16, 64);
}

#else

static void find_peaks(struct weir_cpu *cpu, bool cpu_time, struct ceilings *ret)
{
}

#endif

bool ceilings_find(struct weir_cpu *cpu, size_t bytes, bool cpu_time, struct ceilings *ret)
{
	size_t n = bytes > CEILINGS_LEAST ? bytes : CEILINGS_LEAST;
	struct weir_pool *one = weir_pool_new(1);
	void *data = weir_cpu_map(n, true);
	bool ok = one && data;

	*ret = (struct ceilings){ .read = 0 };
	if (ok) {
		memset(data, 1, n);
		ret->read_one = ceilings_read(one, data, n, 7, cpu_time);
		ret->read = weir_pool_n_threads(cpu->pool) > 1
				    ? ceilings_read(cpu->pool, data, n, 7, cpu_time)
				    : ret->read_one;
		find_peaks(cpu, cpu_time, ret);
	}
	weir_cpu_unmap(data, n);
	weir_pool_free(one);
	return ok;
}
