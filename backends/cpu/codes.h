/* SPDX-License-Identifier: MIT */
/*
 * codes.h - where the blocks of GGUF's quantised types keep their codes and their scales.
 *
 * A code is the unsigned number that a weight's bits make, low bits first: Q8_0's is q + 128 (its
 * sign bit turned), all others' as stored; of TQ1_0 the digit. dequant.c gives codes their values,
 * repack.c their places in groups of 16 rows. Source of the layouts: the public GGUF specification;
 * blocks as in ggml. Pure; any thread.
 */
#ifndef WEIR_CPU_CODES_H
#define WEIR_CPU_CODES_H

#include <stddef.h>
#include <stdint.h>

enum { WEIR_CPU_MAX_BLOCK = 256 }; /* weights */

/* Numbers of a block that are no codes: `count` of `size` bytes from byte `at` on. */
struct weir_cpu_field {
	uint8_t at, size, count;
};

struct weir_cpu_codes {
	uint8_t bits;                   /* of a code: 2, 3, 4, 5, 6 or 8 */
	struct weir_cpu_field field[2]; /* count 0: none */
};

/* NULL for types that are not quantised, or not known. */
const struct weir_cpu_codes *weir_cpu_codes(uint32_t type);

/* The codes of one block of a quantised type; not of IQ1, IQ2, IQ3 (iquant.h), whose fields are 16
 * scales of one byte and d as a float, in this order. NVFP4's fields are its scales as nvfp4.h has
 * them, not its bytes. */
void weir_cpu_codes_get(uint32_t type, const uint8_t *block, uint8_t *ret_codes);

/* The opposite: codes into a zeroed block; other bytes stay as they are. */
void weir_cpu_codes_put(uint32_t type, const uint8_t *codes, uint8_t *block);

#endif
