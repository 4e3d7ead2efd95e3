/* SPDX-License-Identifier: MIT */
/*
 * isa.c - which kernels this processor can run, and which of them to take. Pure; any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu.h"

static const char *const level_names[] = { "scalar", "avx2", "avx512", "vnni" };

weir_status weir_cpu_fail(struct weir_error *err, weir_status code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	err->param[0] = '\0';
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

#if defined(__x86_64__)

const struct weir_cpu_kernels *weir_cpu_level_kernels(enum weir_cpu_level level)
{
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		    __builtin_cpu_supports("f16c");
	bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
		      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		      __builtin_cpu_supports("avx512dq");

	switch (level) {
	case WEIR_CPU_SCALAR:
		return &weir_cpu_scalar;
	case WEIR_CPU_AVX2:
		return avx2 ? &weir_cpu_avx2 : NULL;
	case WEIR_CPU_AVX512:
		return avx512 ? &weir_cpu_avx512 : NULL;
	case WEIR_CPU_VNNI:
		return avx512 && __builtin_cpu_supports("avx512vnni") ? &weir_cpu_vnni : NULL;
	default:
		return NULL;
	}
}

void weir_cpu_brand(char *ret, size_t len)
{
	unsigned regs[12] = { 0 };
	char brand[49] = "x86-64";
	size_t first = 0, last;

	if (__get_cpuid_max(0x80000000, NULL) >= 0x80000004) {
		for (unsigned i = 0; i < 3; i++)
			__cpuid(0x80000002 + i, regs[4 * i], regs[4 * i + 1], regs[4 * i + 2],
				regs[4 * i + 3]);
		memcpy(brand, regs, 48);
		brand[48] = '\0';
	}
	while (brand[first] == ' ')
		first++;
	last = strlen(brand);
	while (last > first && brand[last - 1] == ' ')
		brand[--last] = '\0';
	snprintf(ret, len, "%s", brand + first);
}

#else

const struct weir_cpu_kernels *weir_cpu_level_kernels(enum weir_cpu_level level)
{
	return level == WEIR_CPU_SCALAR ? &weir_cpu_scalar : NULL;
}

void weir_cpu_brand(char *ret, size_t len)
{
	snprintf(ret, len, "CPU");
}

#endif

weir_status weir_cpu_kernels_select(const struct weir_cpu_kernels **ret, struct weir_error *err)
{
	const char *wish = getenv("WEIR_ISA");
	int level;

	if (!wish || !*wish) {
		for (level = WEIR_CPU_N_LEVELS - 1; level > WEIR_CPU_SCALAR; level--)
			if (weir_cpu_level_kernels((enum weir_cpu_level)level))
				break;
		*ret = weir_cpu_level_kernels((enum weir_cpu_level)level);
		return WEIR_OK;
	}
	for (level = 0; level < WEIR_CPU_N_LEVELS; level++)
		if (!strcmp(wish, level_names[level]))
			break;
	if (level == WEIR_CPU_N_LEVELS)
		return weir_cpu_fail(err, WEIR_E_INVALID,
				     "WEIR_ISA=%.40s: not an instruction set; use scalar, avx2, "
				     "avx512 or vnni, or unset it",
				     wish);
	if (!weir_cpu_level_kernels((enum weir_cpu_level)level))
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
				     "WEIR_ISA=%s: this processor lacks it; unset WEIR_ISA to take "
				     "the best that it has",
				     wish);
	*ret = weir_cpu_level_kernels((enum weir_cpu_level)level);
	return WEIR_OK;
}
