/* SPDX-License-Identifier: MIT */
/*
 * dequant.h - the weight types that this device knows, and their rows as float.
 *
 * Source of the formats: the public GGUF specification; block layouts as in ggml. Pure; any thread.
 */
#ifndef WEIR_CPU_DEQUANT_H
#define WEIR_CPU_DEQUANT_H

#include <weir/base.h>

struct weir_cpu_type {
	const char *name;
	uint32_t block;     /* weights in a block */
	uint32_t bytes;     /* of a block */
	uint32_t quantised; /* 1: its LINEAR takes activations in Q8 form */
	/* n_blocks blocks to floats: the format's formula, each operation rounded to float */
	void (*row)(const uint8_t *src, size_t n_blocks, float *dst);
};

/* WEIR_CPU_TYPE_NAMES; NULL for any other id. */
const struct weir_cpu_type *weir_cpu_type(uint32_t type);

#define WEIR_CPU_TYPE_NAMES                                                                        \
	"F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ1_S to IQ4_XS, MXFP4, "     \
	"NVFP4, TQ1_0 and TQ2_0"

/* The name of any type id of GGUF ("Q5_K"), "type 99" in buf otherwise; for messages. */
const char *weir_cpu_type_name(uint32_t type, char buf[16]);

/* Q4_K's packed 6-bit pair of sub-block j (0..7) of a super-block. */
void weir_q4_k_scale(const uint8_t *scales, unsigned j, uint8_t *ret_scale, uint8_t *ret_min);

#endif
