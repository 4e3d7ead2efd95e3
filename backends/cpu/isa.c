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
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "cpu.h"

static const char *const level_names[] = { "scalar", "avx2",       "avxvnni", "avx512",
					   "vnni",   "avx512bf16", "neon",    "dotprod" };

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

#ifndef WEIR_CPU_FEW_KERNELS
/* AVX-VNNI: leaf 7, subleaf 1, EAX bit 4. What the system must save is AVX2's. */
static bool has_avxvnni(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
	       __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & 1u << 4;
}
#endif

const struct weir_cpu_kernels *weir_cpu_level_kernels(enum weir_cpu_level level)
{
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		    __builtin_cpu_supports("f16c");
	bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
		      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		      __builtin_cpu_supports("avx512dq");

	bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");

	switch (level) {
	case WEIR_CPU_SCALAR:
		return &weir_cpu_scalar;
	case WEIR_CPU_AVX2:
		return avx2 ? &weir_cpu_avx2 : NULL;
#ifndef WEIR_CPU_FEW_KERNELS
	case WEIR_CPU_AVXVNNI: /* EVEX has all of VEX's 256-bit instructions */
		return avx2 && has_avxvnni() ? &weir_cpu_avxvnni
		       : vnni                ? &weir_cpu_avxvnni_evex
					     : NULL;
	case WEIR_CPU_AVX512:
		return avx512 ? &weir_cpu_avx512 : NULL;
#endif
	case WEIR_CPU_VNNI:
		return vnni ? &weir_cpu_vnni : NULL;
	case WEIR_CPU_BF16:
		return vnni && __builtin_cpu_supports("avx512bf16") ? &weir_cpu_avx512bf16 : NULL;
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

#elif defined(__aarch64__)

const struct weir_cpu_kernels *weir_cpu_level_kernels(enum weir_cpu_level level)
{
	switch (level) {
	case WEIR_CPU_SCALAR:
		return &weir_cpu_scalar;
	case WEIR_CPU_NEON: /* a part of the architecture */
		return &weir_cpu_neon;
#ifndef WEIR_CPU_FEW_KERNELS
	case WEIR_CPU_DOTPROD: /* HWCAP_ASIMDDP */
		return getauxval(AT_HWCAP) & 1ul << 20 ? &weir_cpu_dotprod : NULL;
#endif
	default:
		return NULL;
	}
}

void weir_cpu_brand(char *ret, size_t len)
{
	snprintf(ret, len, "AArch64");
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
				     "avxvnni, avx512, vnni or avx512bf16 (AArch64: neon or "
				     "dotprod), or unset it",
				     wish);
	if (!weir_cpu_level_kernels((enum weir_cpu_level)level))
		return weir_cpu_fail(err, WEIR_E_UNSUPPORTED,
				     "WEIR_ISA=%s: this processor lacks it; unset WEIR_ISA to take "
				     "the best that it has",
				     wish);
	*ret = weir_cpu_level_kernels((enum weir_cpu_level)level);
	return WEIR_OK;
}
