/* SPDX-License-Identifier: MIT */
/*
 * philox.h - Philox4x32-10, a counter-based random generator: the n-th number of a seed without the
 * ones before it. Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
 * Pure; any thread.
 */
#ifndef WEIR_TENSOR_PHILOX_H
#define WEIR_TENSOR_PHILOX_H

#include <stdint.h>

/* The block of 4 numbers at a counter under a key. */
static inline void weir_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t ret[4])
{
	uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] };
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xd2511f53u * c[0];
		uint64_t p1 = (uint64_t)0xcd9e8d57u * c[2];

		c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
		c[1] = (uint32_t)p1;
		c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
		c[3] = (uint32_t)p0;
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
	for (int i = 0; i < 4; i++)
		ret[i] = c[i];
}

/* Uniform in [0, 1) with 53 bits: the draw of step n under a seed. */
static inline double weir_philox_uniform(uint64_t seed, uint64_t n)
{
	uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t counter[4] = { (uint32_t)n, (uint32_t)(n >> 32), 0, 0 };
	uint32_t out[4];
	uint64_t bits;

	weir_philox(key, counter, out);
	bits = (uint64_t)out[0] << 32 | out[1];
	return (double)(bits >> 11) * 0x1p-53;
}

#endif
