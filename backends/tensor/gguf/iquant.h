/* SPDX-License-Identifier: MIT */
/*
 * iquant.h - the weight types IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S in one form.
 *
 * Their blocks of 256 weights are entries of code books, which devices would have to look up for
 * each product. They have at most 16 values each, however, and a scale for each 16 weights, so that
 *   w[i] = d * scale[i / 16] * value[code[i]]
 * is the same number, exactly, in 4 bits a weight. Devices keep that. Source of the layouts: the
 * public GGUF specification and the Python package gguf. Pure; any thread.
 */
#ifndef WEIR_IQUANT_H
#define WEIR_IQUANT_H

#include <stdbool.h>
#include <stdint.h>

enum { WEIR_IQUANT_BLOCK = 256 }; /* weights */

struct weir_iquant {
	float d;
	int8_t scale[16];  /* 1..31 */
	uint8_t code[256]; /* 0..15 */
};

/* The 16 values of a type, -62..62; NULL: it is none of these. */
const int8_t *weir_iquant_values(uint32_t type);

/* One block of such a type. Every block is valid, whatever its bytes; d may be no number. */
void weir_iquant_decode(uint32_t type, const uint8_t *block, struct weir_iquant *ret);

#endif
