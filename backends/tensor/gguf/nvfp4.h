/* SPDX-License-Identifier: MIT */
/*
 * nvfp4.h - the scales of the weight type NVFP4.
 *
 * A block is 64 weights in 36 bytes: a scale for each 16 weights, then for each 16 weights 8 bytes,
 * weights 0..7 in their low nibbles, 8..15 in the high ones. A scale is a UE4M3: 4 bits of
 * exponent (bias 7), 3 of mantissa, subnormal below; 0x7f, which would be no number, is 0, and the
 * highest bit means nothing. Nibbles are E2M1, as integers doubled, so scales are halved here.
 * Source: the Python package gguf. Pure; any thread.
 */
#ifndef WEIR_NVFP4_H
#define WEIR_NVFP4_H

#include <stdint.h>

/* Half of a scale as the bits of an IEEE half: exact, 0 to 240. */
static inline uint16_t weir_nvfp4_scale(uint8_t ue4m3)
{
	unsigned exponent = ue4m3 >> 3 & 15, mantissa = ue4m3 & 7;

	if (ue4m3 == 0x7f || (ue4m3 & 0x7f) == 0)
		return 0;
	if (exponent > 0)
		return (uint16_t)((exponent + 7) << 10 | mantissa << 7);
	for (exponent = 8; mantissa < 8; exponent--) /* mantissa / 8 * 2^-7 */
		mantissa *= 2;
	return (uint16_t)(exponent << 10 | (mantissa & 7) << 7);
}

#endif
