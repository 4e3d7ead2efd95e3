/* SPDX-License-Identifier: MIT */
/*
 * codes.c - the codes of a block out of GGUF's bits, and back; see codes.h.
 *
 * A format's bits lie in planes: a plane holds `width` bits of each weight, in an order that one of
 * a few patterns describes. In every pattern 16 weights in a row (1 in BITS) are at the same bit of
 * 16 bytes in a row, which is what the loops run over; NVFP4 has but 8. TQ1_0 alone is no matter of
 * bits.
 */
#include "codes.h"

#include <string.h>

#include <weir/draft/device.h>

enum pattern {
	BYTES,    /* byte i */
	HALVES,   /* per 32 weights 16 bytes: low nibbles, then high ones */
	PAIRS,    /* per 64 weights 32 bytes: low nibbles, then high ones */
	QUARTERS, /* per 128 weights 64 bytes: low nibbles, then high ones */
	LANES2,   /* per 128 weights 32 bytes, four times 2 bits */
	LANES1,   /* 32 bytes, eight times 1 bit */
	BITS,     /* bit i */
	EIGHTS,   /* per 16 weights 8 bytes: low nibbles, then high ones */
	TERNARY,  /* TQ1_0 */
};

struct plane {
	uint8_t pattern, width, at, shift; /* first byte; lowest bit in the code */
};

struct layout {
	struct weir_cpu_codes codes;
	uint16_t n; /* weights */
	struct plane plane[2];
};

/* Neither got nor put here: iquant.h. The fields are those of repack.c. */
#define IQUANT                                                                                     \
	{                                                                                          \
		{ 4, { { 0, 1, 16 }, { 16, 4, 1 } } }, 256,                                        \
		{                                                                                  \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}

static const struct layout layouts[] = {
	[WEIR_DTYPE_Q8_0] = { { 8, { { 0, 2, 1 } } }, 32, { { BYTES, 8, 2, 0 } } },
	[WEIR_DTYPE_Q4_0] = { { 4, { { 0, 2, 1 } } }, 32, { { HALVES, 4, 2, 0 } } },
	[WEIR_DTYPE_Q4_1] = { { 4, { { 0, 2, 2 } } }, 32, { { HALVES, 4, 4, 0 } } },
	[WEIR_DTYPE_Q5_0] = { { 5, { { 0, 2, 1 } } },
			      32,
			      { { HALVES, 4, 6, 0 }, { BITS, 1, 2, 4 } } },
	[WEIR_DTYPE_Q5_1] = { { 5, { { 0, 2, 2 } } },
			      32,
			      { { HALVES, 4, 8, 0 }, { BITS, 1, 4, 4 } } },
	[WEIR_DTYPE_Q2_K] = { { 2, { { 0, 2, 8 }, { 80, 2, 2 } } }, 256, { { LANES2, 2, 16, 0 } } },
	[WEIR_DTYPE_Q3_K] = { { 3, { { 96, 1, 12 }, { 108, 2, 1 } } },
			      256,
			      { { LANES2, 2, 32, 0 }, { LANES1, 1, 0, 2 } } },
	[WEIR_DTYPE_Q4_K] = { { 4, { { 0, 2, 2 }, { 4, 1, 12 } } }, 256, { { PAIRS, 4, 16, 0 } } },
	[WEIR_DTYPE_Q5_K] = { { 5, { { 0, 2, 2 }, { 4, 1, 12 } } },
			      256,
			      { { PAIRS, 4, 48, 0 }, { LANES1, 1, 16, 4 } } },
	[WEIR_DTYPE_Q6_K] = { { 6, { { 192, 1, 16 }, { 208, 2, 1 } } },
			      256,
			      { { QUARTERS, 4, 0, 0 }, { LANES2, 2, 128, 4 } } },
	[WEIR_DTYPE_IQ4_NL] = { { 4, { { 0, 2, 1 } } }, 32, { { HALVES, 4, 2, 0 } } },
	[WEIR_DTYPE_IQ4_XS] = { { 4, { { 0, 2, 1 }, { 2, 1, 6 } } }, 256, { { HALVES, 4, 8, 0 } } },
	[WEIR_DTYPE_MXFP4] = { { 4, { { 0, 1, 1 } } }, 32, { { HALVES, 4, 1, 0 } } },
	/* The fields are those of repack.c. */
	[WEIR_DTYPE_NVFP4] = { { 4, { { 0, 2, 4 } } }, 64, { { EIGHTS, 4, 4, 0 } } },
	[WEIR_DTYPE_TQ1_0] = { { 2, { { 52, 2, 1 } } }, 256, { { TERNARY, 2, 0, 0 } } },
	[WEIR_DTYPE_TQ2_0] = { { 2, { { 64, 2, 1 } } }, 256, { { LANES2, 2, 0, 0 } } },
	[WEIR_DTYPE_IQ1_S] = IQUANT,
	[WEIR_DTYPE_IQ1_M] = IQUANT,
	[WEIR_DTYPE_IQ2_XXS] = IQUANT,
	[WEIR_DTYPE_IQ2_XS] = IQUANT,
	[WEIR_DTYPE_IQ2_S] = IQUANT,
	[WEIR_DTYPE_IQ3_XXS] = IQUANT,
	[WEIR_DTYPE_IQ3_S] = IQUANT,
};

const struct weir_cpu_codes *weir_cpu_codes(uint32_t type)
{
	if (type >= sizeof(layouts) / sizeof(layouts[0]) || !layouts[type].codes.bits)
		return NULL;
	return &layouts[type].codes;
}

/* The byte and the bit of weight i, which is the first of a run. */
static void place(unsigned pattern, unsigned i, unsigned *ret_byte, unsigned *ret_bit)
{
	switch (pattern) {
	case HALVES:
		*ret_byte = i / 32 * 16;
		*ret_bit = i % 32 / 16 * 4;
		break;
	case PAIRS:
		*ret_byte = i / 64 * 32 + i % 32;
		*ret_bit = i % 64 / 32 * 4;
		break;
	case QUARTERS:
		*ret_byte = i / 128 * 64 + i % 64;
		*ret_bit = i % 128 / 64 * 4;
		break;
	case LANES2:
		*ret_byte = i / 128 * 32 + i % 32;
		*ret_bit = i % 128 / 32 * 2;
		break;
	case LANES1:
		*ret_byte = i % 32;
		*ret_bit = i / 32;
		break;
	default:
		*ret_byte = i;
		*ret_bit = 0;
	}
}

static void get_eights(unsigned n, const uint8_t *src, uint8_t *codes)
{
	for (unsigned i = 0; i < n; i++)
		codes[i] = src[i / 16 * 8 + i % 8] >> (i % 16 / 8 * 4) & 15;
}

static void put_eights(unsigned n, const uint8_t *codes, uint8_t *dst)
{
	for (unsigned i = 0; i < n; i++)
		dst[i / 16 * 8 + i % 8] |= (uint8_t)(codes[i] << (i % 16 / 8 * 4));
}

static void get_plane(const struct plane *p, unsigned n, const uint8_t *restrict src,
		      uint8_t *restrict codes)
{
	unsigned mask = (1u << p->width) - 1, byte, bit;

	if (p->pattern == BITS) {
		for (unsigned i = 0; i < n; i++)
			codes[i] |= (uint8_t)((src[i / 8] >> (i % 8) & 1) << p->shift);
		return;
	}
	if (p->pattern == EIGHTS) {
		get_eights(n, src, codes);
		return;
	}
	for (unsigned i = 0; i < n; i += 16) {
		place(p->pattern, i, &byte, &bit);
		for (unsigned k = 0; k < 16; k++)
			codes[i + k] |= (uint8_t)((src[byte + k] >> bit & mask) << p->shift);
	}
}

static void put_plane(const struct plane *p, unsigned n, const uint8_t *restrict codes,
		      uint8_t *restrict dst)
{
	unsigned mask = (1u << p->width) - 1, byte, bit;

	if (p->pattern == BITS) {
		for (unsigned i = 0; i < n; i++)
			dst[i / 8] |= (uint8_t)((codes[i] >> p->shift & 1) << (i % 8));
		return;
	}
	if (p->pattern == EIGHTS) {
		put_eights(n, codes, dst);
		return;
	}
	for (unsigned i = 0; i < n; i += 16) {
		place(p->pattern, i, &byte, &bit);
		for (unsigned k = 0; k < 16; k++)
			dst[byte + k] |= (uint8_t)((codes[i + k] >> p->shift & mask) << bit);
	}
}

/* TQ1_0: five digits of base 3 in a byte, as the fraction that byte / 256 is: the next digit is
 * what times 3 carries out. First 32 bytes by 5 digits, then 16 bytes by 5, then 4 bytes by 4. */
static const struct {
	uint8_t at, n, digits;
} runs[] = { { 0, 32, 5 }, { 32, 16, 5 }, { 48, 4, 4 } };

static void get_ternary(const uint8_t *src, uint8_t *codes)
{
	for (size_t r = 0; r < 3; r++)
		for (unsigned d = 0, power = 1; d < runs[r].digits; d++, power *= 3)
			for (unsigned i = 0; i < runs[r].n; i++) {
				uint8_t fraction = (uint8_t)(src[runs[r].at + i] * power);

				*codes++ = (uint8_t)(fraction * 3u >> 8);
			}
}

static void put_ternary(const uint8_t *codes, uint8_t *dst)
{
	for (size_t r = 0; r < 3; codes += runs[r].n * runs[r].digits, r++)
		for (unsigned i = 0; i < runs[r].n; i++) {
			unsigned sum = 0;

			for (unsigned d = 0; d < 5; d++)
				sum = 3 * sum +
				      (d < runs[r].digits ? codes[d * runs[r].n + i] : 0u);
			dst[runs[r].at + i] = (uint8_t)((sum * 256 + 242) / 243);
		}
}

void weir_cpu_codes_get(uint32_t type, const uint8_t *block, uint8_t *ret_codes)
{
	const struct layout *l = &layouts[type];

	if (l->plane[0].pattern == TERNARY) {
		get_ternary(block, ret_codes);
		return;
	}
	memset(ret_codes, 0, l->n);
	for (int i = 0; i < 2 && l->plane[i].width; i++)
		get_plane(&l->plane[i], l->n, block + l->plane[i].at, ret_codes);
	if (type == WEIR_DTYPE_Q8_0)
		for (int i = 0; i < 32; i++)
			ret_codes[i] ^= 0x80;
}

void weir_cpu_codes_put(uint32_t type, const uint8_t *codes, uint8_t *block)
{
	const struct layout *l = &layouts[type];
	uint8_t bytes[32];

	if (l->plane[0].pattern == TERNARY) {
		put_ternary(codes, block);
		return;
	}
	if (type == WEIR_DTYPE_Q8_0) {
		for (int i = 0; i < 32; i++)
			bytes[i] = codes[i] ^ 0x80;
		codes = bytes;
	}
	for (int i = 0; i < 2 && l->plane[i].width; i++)
		put_plane(&l->plane[i], l->n, codes, block + l->plane[i].at);
}
