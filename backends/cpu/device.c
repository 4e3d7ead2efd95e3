/* SPDX-License-Identifier: MIT */
/*
 * device.c - the CPU as a level-C device: life cycle and vtable.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

/* About a tenth of a millisecond of one thread: below it, waking and waiting for others costs as
 * much as they help, and far more when other programs want the cores. */
enum { ALONE_BELOW = 4 * 1024 * 1024 };

static void device_info(struct weir_instance *instance, struct weir_device_info *ret)
{
	struct weir_cpu *cpu = weir_cpu_of(instance);
	struct weir_device_info info = { .size = sizeof(info) };
	uint32_t size = ret->size < sizeof(info) ? ret->size : (uint32_t)sizeof(info);
	long page = sysconf(_SC_PAGESIZE), total = sysconf(_SC_PHYS_PAGES);
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];

	info.n_threads = weir_pool_n_threads(cpu->pool);
	info.memory_total = page > 0 && total > 0 ? (uint64_t)page * (uint64_t)total : 0;
	info.memory_free = info.memory_total;
	while (file && fgets(line, sizeof(line), file)) {
		unsigned long long kib;

		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			info.memory_free = kib * 1024;
	}
	if (file)
		fclose(file);
	snprintf(info.name, sizeof(info.name), "%s", cpu->name);
	info.size = size;
	memcpy(ret, &info, size);
}

static weir_status device_wait(struct weir_instance *instance, weir_program *program,
			       struct weir_error *err)
{
	return WEIR_OK; /* run() has done all */
}

static void device_interrupt(struct weir_instance *instance)
{
	atomic_store(&weir_cpu_of(instance)->interrupted, 1);
}

static void device_parallel(struct weir_instance *instance, uint32_t n,
			    void (*fn)(void *data, uint32_t i), void *data)
{
	weir_pool_each(weir_cpu_of(instance)->pool, n, fn, data);
}

static const struct weir_device device = {
	.size = sizeof(device),
	.info = device_info,
	.supports = weir_cpu_supports,
	.weight = weir_cpu_weight,
	.kv = weir_cpu_kv,
	.buffer_free = weir_cpu_buffer_free,
	.program_new = weir_cpu_program_new,
	.program_free = weir_cpu_program_free,
	.run = weir_cpu_run,
	.wait = device_wait,
	.output = weir_cpu_output,
	.interrupt = device_interrupt,
	.parallel = device_parallel,
	.weight_from = weir_cpu_weight_from,
};

const struct weir_device *weir_cpu_device(void)
{
	return &device;
}

weir_status weir_cpu_new(uint32_t n_threads, bool huge_pages, struct weir_cpu **ret,
			 struct weir_error *err)
{
	static const char *const titles[] = { "scalar",       "AVX2",
					      "AVX-VNNI",     "AVX-512",
					      "AVX-512 VNNI", "AVX-512 VNNI and BF16",
					      "NEON",         "NEON dot product" };
	const char *title = titles[0];
	struct weir_cpu *cpu;
	weir_status status;
	char brand[64];

	cpu = calloc(1, sizeof(*cpu));
	if (!cpu)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for the cpu device");
	cpu->huge_pages = huge_pages;
	cpu->alone_below = ALONE_BELOW;
	status = weir_cpu_kernels_select(&cpu->kernels, err);
	if (status)
		goto fail;
	if (!n_threads)
		n_threads = weir_pool_default_threads();
	cpu->slabs = weir_cpu_slabs_new(huge_pages);
	if (!cpu->slabs) {
		status = weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for the cpu device");
		goto fail;
	}
	cpu->pool = weir_pool_new(n_threads);
	if (!cpu->pool) {
		status = weir_cpu_fail(err, WEIR_E_EXHAUSTED, "could not start %u threads",
				       n_threads);
		goto fail;
	}
	for (int level = 0; level < WEIR_CPU_N_LEVELS; level++)
		if (weir_cpu_level_kernels((enum weir_cpu_level)level) == cpu->kernels)
			title = titles[level];
	weir_cpu_brand(brand, sizeof(brand));
	snprintf(cpu->name, sizeof(cpu->name), "%s, %s, %u thread%s", brand, title, n_threads,
		 n_threads == 1 ? "" : "s");
	*ret = cpu;
	return WEIR_OK;
fail:
	weir_cpu_free(cpu);
	return status;
}

void weir_cpu_free(struct weir_cpu *cpu)
{
	if (!cpu)
		return;
	weir_pool_free(cpu->pool);
	weir_cpu_slabs_free(cpu->slabs);
	free(cpu);
}
