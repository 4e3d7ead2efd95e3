/* SPDX-License-Identifier: MIT */
/*
 * repack.c - GGUF rows into groups of 16 and back; see repack.h for the layouts.
 *
 * Both directions walk the same address functions, one byte at a time where bits move and four at
 * a time where they do not: loading is bound by the disk long before this.
 */
#include "repack.h"

#include <string.h>

#include "cpu.h"
#include "dequant.h"

size_t weir_cpu_codes_bytes(uint32_t type)
{
	switch (type) {
	case WEIR_DTYPE_F32:
		return 64;
	case WEIR_DTYPE_F16:
	case WEIR_DTYPE_BF16:
		return 32;
	case WEIR_DTYPE_Q8_0:
		return 512;
	case WEIR_DTYPE_Q4_0:
		return 256;
	case WEIR_DTYPE_Q4_K:
		return 2048;
	case WEIR_DTYPE_Q6_K:
		return 3072;
	default:
		return 0;
	}
}

size_t weir_cpu_scales_bytes(uint32_t type)
{
	switch (type) {
	case WEIR_DTYPE_Q8_0:
	case WEIR_DTYPE_Q4_0:
		return 32;
	case WEIR_DTYPE_Q4_K:
		return 256;
	case WEIR_DTYPE_Q6_K:
		return 288;
	default:
		return 0;
	}
}

size_t weir_cpu_group_bytes(uint32_t type, uint64_t n_in)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	uint64_t per_block;

	if (!t || n_in > UINT64_C(1) << 40)
		return 0;
	per_block = weir_cpu_codes_bytes(type) + weir_cpu_scales_bytes(type);
	return (size_t)((n_in / t->block * per_block + 63) & ~UINT64_C(63));
}

/* The two nibbles' byte of weight i (0..31) of row r in a 256-byte sub-block. */
static inline size_t nibble_at(unsigned i, unsigned r)
{
	return (i % 16 / 4) * 64 + r * 4 + i % 4;
}

static void pack_float(const uint8_t *src, size_t size, unsigned r, uint64_t n, uint8_t *group)
{
	for (uint64_t k = 0; k < n; k++)
		memcpy(group + (k * 16 + r) * size, src + k * size, size);
}

static void pack_q8_0(const uint8_t *src, unsigned r, uint64_t n_blocks, uint8_t *codes,
		      uint8_t *scales)
{
	for (uint64_t b = 0; b < n_blocks; b++, src += 34, codes += 512, scales += 32) {
		memcpy(scales + 2 * r, src, 2);
		for (unsigned i = 0; i < 32; i++)
			codes[i / 4 * 64 + r * 4 + i % 4] = src[2 + i] ^ 0x80;
	}
}

static void pack_q4_0(const uint8_t *src, unsigned r, uint64_t n_blocks, uint8_t *codes,
		      uint8_t *scales)
{
	for (uint64_t b = 0; b < n_blocks; b++, src += 18, codes += 256, scales += 32) {
		memcpy(scales + 2 * r, src, 2);
		for (unsigned s = 0; s < 4; s++)
			memcpy(codes + s * 64 + r * 4, src + 2 + s * 4, 4);
	}
}

static void pack_q4_k(const uint8_t *src, unsigned r, uint64_t n_blocks, uint8_t *codes,
		      uint8_t *scales)
{
	for (uint64_t b = 0; b < n_blocks; b++, src += 144, scales += 256) {
		memcpy(scales + 2 * r, src, 2);
		memcpy(scales + 32 + 2 * r, src + 2, 2);
		for (unsigned i = 0; i < 12; i++)
			scales[64 + i * 16 + r] = src[4 + i];
		for (unsigned j = 0; j < 8; j++, codes += 256) {
			const uint8_t *q = src + 16 + j / 2 * 32;
			unsigned shift = j % 2 * 4;

			for (unsigned i = 0; i < 16; i++)
				codes[nibble_at(i, r)] = (uint8_t)((q[i] >> shift & 15) |
								   (q[16 + i] >> shift & 15) << 4);
		}
	}
}

static void pack_q6_k(const uint8_t *src, unsigned r, uint64_t n_blocks, uint8_t *codes,
		      uint8_t *scales)
{
	for (uint64_t b = 0; b < n_blocks; b++, src += 210, scales += 288) {
		for (unsigned i = 0; i < 16; i++)
			scales[i * 16 + r] = src[192 + i];
		memcpy(scales + 256 + 2 * r, src + 208, 2);
		for (unsigned j = 0; j < 8; j++, codes += 384) {
			const uint8_t *low = src + j / 4 * 64 + j % 2 * 32;
			const uint8_t *high = src + 128 + j / 4 * 32;
			unsigned shift = j % 4 / 2 * 4, bits = j % 4 * 2;

			for (unsigned i = 0; i < 16; i++)
				codes[nibble_at(i, r)] =
					(uint8_t)((low[i] >> shift & 15) |
						  (low[16 + i] >> shift & 15) << 4);
			for (unsigned i = 0; i < 32; i++)
				codes[256 + i / 16 * 64 + r * 4 + i % 4] |=
					(uint8_t)((high[i] >> bits & 3) << (i % 16 / 4 * 2));
		}
	}
}

void weir_cpu_repack(uint32_t type, const uint8_t *src, size_t row_bytes, unsigned n_rows,
		     uint64_t n_in, uint8_t *group)
{
	uint64_t n_blocks = n_in / weir_cpu_type(type)->block;
	uint8_t *scales = group + n_blocks * weir_cpu_codes_bytes(type);

	for (unsigned r = 0; r < n_rows; r++, src += row_bytes) {
		switch (type) {
		case WEIR_DTYPE_F32:
			pack_float(src, 4, r, n_in, group);
			break;
		case WEIR_DTYPE_F16:
		case WEIR_DTYPE_BF16:
			pack_float(src, 2, r, n_in, group);
			break;
		case WEIR_DTYPE_Q8_0:
			pack_q8_0(src, r, n_blocks, group, scales);
			break;
		case WEIR_DTYPE_Q4_0:
			pack_q4_0(src, r, n_blocks, group, scales);
			break;
		case WEIR_DTYPE_Q4_K:
			pack_q4_k(src, r, n_blocks, group, scales);
			break;
		case WEIR_DTYPE_Q6_K:
			pack_q6_k(src, r, n_blocks, group, scales);
			break;
		}
	}
}

static void unpack_q4_k(const uint8_t *codes, const uint8_t *scales, unsigned r, uint8_t *dst)
{
	memset(dst, 0, 144);
	memcpy(dst, scales + 2 * r, 2);
	memcpy(dst + 2, scales + 32 + 2 * r, 2);
	for (unsigned i = 0; i < 12; i++)
		dst[4 + i] = scales[64 + i * 16 + r];
	for (unsigned i = 0; i < 256; i++) {
		unsigned j = i / 32, w = i % 32;
		uint8_t byte = codes[j * 256 + nibble_at(w, r)];

		dst[16 + j / 2 * 32 + w] |=
			(uint8_t)((w < 16 ? byte & 15 : byte >> 4) << (j % 2 * 4));
	}
}

static void unpack_q6_k(const uint8_t *codes, const uint8_t *scales, unsigned r, uint8_t *dst)
{
	memset(dst, 0, 210);
	for (unsigned i = 0; i < 16; i++)
		dst[192 + i] = scales[i * 16 + r];
	memcpy(dst + 208, scales + 256 + 2 * r, 2);
	for (unsigned i = 0; i < 256; i++) {
		unsigned j = i / 32, w = i % 32;
		const uint8_t *block = codes + j * 384;
		uint8_t byte = block[nibble_at(w, r)];
		uint8_t bits = block[256 + w / 16 * 64 + r * 4 + w % 4] >> (w % 16 / 4 * 2) & 3;

		dst[j / 4 * 64 + j % 2 * 32 + w] |=
			(uint8_t)((w < 16 ? byte & 15 : byte >> 4) << (j % 4 / 2 * 4));
		dst[128 + j / 4 * 32 + w] |= (uint8_t)(bits << (j % 4 * 2));
	}
}

void weir_cpu_unpack(uint32_t type, const uint8_t *group, unsigned row, uint64_t n_in, uint8_t *dst)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	size_t codes_bytes = weir_cpu_codes_bytes(type), scales_bytes = weir_cpu_scales_bytes(type);
	uint64_t n_blocks = n_in / t->block;
	const uint8_t *codes = group, *scales = group + n_blocks * codes_bytes;

	for (uint64_t b = 0; b < n_blocks; b++) {
		switch (type) {
		case WEIR_DTYPE_Q8_0:
			memcpy(dst, scales + 2 * row, 2);
			for (unsigned i = 0; i < 32; i++)
				dst[2 + i] = codes[i / 4 * 64 + row * 4 + i % 4] ^ 0x80;
			break;
		case WEIR_DTYPE_Q4_0:
			memcpy(dst, scales + 2 * row, 2);
			for (unsigned s = 0; s < 4; s++)
				memcpy(dst + 2 + s * 4, codes + s * 64 + row * 4, 4);
			break;
		case WEIR_DTYPE_Q4_K:
			unpack_q4_k(codes, scales, row, dst);
			break;
		case WEIR_DTYPE_Q6_K:
			unpack_q6_k(codes, scales, row, dst);
			break;
		default:
			memcpy(dst, codes + row * t->bytes, t->bytes);
		}
		codes += codes_bytes;
		scales += scales_bytes;
		dst += t->bytes;
	}
}
