/* SPDX-License-Identifier: MIT */
/*
 * repack.c - GGUF rows into groups of 16 and back; see repack.h for the layouts.
 *
 * A block's codes are taken out of GGUF's bits (codes.c), 32 of them at a time are packed to the
 * planes of the group, four bytes of a row side by side.
 */
#include "repack.h"

#include <string.h>

#include "codes.h"
#include "cpu.h"
#include "dequant.h"
#include "iquant.h"
#include "nvfp4.h"

#include <weir/draft/device.h>

size_t weir_cpu_codes_bytes(uint32_t type)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	const struct weir_cpu_codes *codes = weir_cpu_codes(type);

	return !t ? 0 : codes ? (size_t)t->block * codes->bits * 2 : (size_t)t->bytes * 16;
}

size_t weir_cpu_scales_bytes(uint32_t type)
{
	const struct weir_cpu_codes *codes = weir_cpu_codes(type);
	size_t bytes = 0;

	for (int i = 0; codes && i < 2; i++)
		bytes += (size_t)codes->field[i].size * codes->field[i].count * 16;
	return bytes;
}

size_t weir_cpu_group_bytes(uint32_t type, uint64_t n_in)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	uint64_t per_block, per_group;

	if (!t || n_in > UINT64_C(1) << 40)
		return 0;
	per_block = weir_cpu_codes_bytes(type) + weir_cpu_scales_bytes(type);
	per_group = weir_iquant_values(type) ? 16 : 0;
	return (size_t)((n_in / t->block * per_block + per_group + 63) & ~UINT64_C(63));
}

/* n slices of 4 bytes, 64 apart: a row's part of a plane. */
static void scatter(const uint8_t *bytes, unsigned n, uint8_t *plane)
{
	for (unsigned s = 0; s < n; s++)
		memcpy(plane + 64 * s, bytes + 4 * s, 4);
}

static void gather(const uint8_t *plane, unsigned n, uint8_t *bytes)
{
	for (unsigned s = 0; s < n; s++)
		memcpy(bytes + 4 * s, plane + 64 * s, 4);
}

/* Each of these: 32 codes q of one row, bits from `shift` up, to and from a plane at that row. */
static void pack_nibbles(const uint8_t *q, uint8_t *plane)
{
	uint8_t bytes[16];

	for (int i = 0; i < 16; i++)
		bytes[i] = (uint8_t)((q[i] & 15) | q[16 + i] << 4);
	scatter(bytes, 4, plane);
}

static void unpack_nibbles(const uint8_t *plane, uint8_t *q)
{
	uint8_t bytes[16];

	gather(plane, 4, bytes);
	for (int i = 0; i < 16; i++) {
		q[i] |= bytes[i] & 15;
		q[16 + i] |= bytes[i] >> 4;
	}
}

static void pack_twos(const uint8_t *q, unsigned shift, uint8_t *plane)
{
	uint8_t bytes[8] = { 0 };

	for (int i = 0; i < 32; i++)
		bytes[i / 16 * 4 + i % 4] |= (uint8_t)((q[i] >> shift & 3) << (i % 16 / 4 * 2));
	scatter(bytes, 2, plane);
}

static void unpack_twos(const uint8_t *plane, unsigned shift, uint8_t *q)
{
	uint8_t bytes[8];

	gather(plane, 2, bytes);
	for (int i = 0; i < 32; i++)
		q[i] |= (uint8_t)((bytes[i / 16 * 4 + i % 4] >> (i % 16 / 4 * 2) & 3) << shift);
}

/* Block p of a unit of four; the unit was zeros, or has the blocks before. */
static void pack_quarter(const uint8_t *q, unsigned p, uint8_t *plane)
{
	for (int i = 0; i < 32; i++)
		plane[64 * (i / 4) + i % 4] |= (uint8_t)((q[i] & 3) << (2 * p));
}

static void unpack_quarter(const uint8_t *plane, unsigned p, uint8_t *q)
{
	for (int i = 0; i < 32; i++)
		q[i] |= plane[64 * (i / 4) + i % 4] >> (2 * p) & 3;
}

static void pack_ones(const uint8_t *q, unsigned shift, uint8_t *plane)
{
	uint8_t bytes[4] = { 0 };

	for (int i = 0; i < 32; i++)
		bytes[i % 4] |= (uint8_t)((q[i] >> shift & 1) << (i / 4));
	scatter(bytes, 1, plane);
}

static void unpack_ones(const uint8_t *plane, unsigned shift, uint8_t *q)
{
	uint8_t bytes[4];

	gather(plane, 1, bytes);
	for (int i = 0; i < 32; i++)
		q[i] |= (uint8_t)((bytes[i % 4] >> (i / 4) & 1) << shift);
}

/* Codes i .. i + 31 of a block of one row, and its codes at that row. 2 and 3 bits: units of 128.
 */
static void pack_codes(unsigned bits, unsigned i, const uint8_t *q, uint8_t *codes)
{
	uint8_t *plane = codes + (size_t)i * bits * 2;

	switch (bits) {
	case 2:
		pack_quarter(q, i / 32 % 4, codes + (size_t)i / 128 * 512);
		break;
	case 3:
		pack_twos(q, 0, plane);
		pack_ones(q, 2, plane + 128);
		break;
	case 4:
		pack_nibbles(q, plane);
		break;
	case 5:
		pack_nibbles(q, plane);
		pack_ones(q, 4, plane + 256);
		break;
	case 6:
		pack_nibbles(q, plane);
		pack_twos(q, 4, plane + 256);
		break;
	default:
		scatter(q, 8, plane);
	}
}

static void unpack_codes(unsigned bits, unsigned i, const uint8_t *codes, uint8_t *q)
{
	const uint8_t *plane = codes + (size_t)i * bits * 2;

	memset(q, 0, 32);
	switch (bits) {
	case 2:
		unpack_quarter(codes + (size_t)i / 128 * 512, i / 32 % 4, q);
		break;
	case 3:
		unpack_twos(plane, 0, q);
		unpack_ones(plane + 128, 2, q);
		break;
	case 4:
		unpack_nibbles(plane, q);
		break;
	case 5:
		unpack_nibbles(plane, q);
		unpack_ones(plane + 256, 4, q);
		break;
	case 6:
		unpack_nibbles(plane, q);
		unpack_twos(plane + 256, 4, q);
		break;
	default:
		gather(plane, 8, q);
	}
}

/* One block of one row. */
static void pack_block(uint32_t type, const struct weir_cpu_codes *layout, unsigned block,
		       const uint8_t *src, unsigned row, uint8_t *codes, uint8_t *scales)
{
	uint8_t q[WEIR_CPU_MAX_BLOCK], numbers[20];

	if (weir_iquant_values(type)) {
		struct weir_iquant x;

		weir_iquant_decode(type, src, &x);
		memcpy(q, x.code, sizeof(q));
		memcpy(numbers, x.scale, 16);
		memcpy(numbers + 16, &x.d, 4);
		src = numbers;
	} else {
		weir_cpu_codes_get(type, src, q);
	}
	if (type == WEIR_DTYPE_NVFP4) {
		for (int i = 0; i < 4; i++) {
			uint16_t scale = weir_nvfp4_scale(src[i]);

			memcpy(numbers + 2 * i, &scale, 2);
		}
		src = numbers;
	}
	for (unsigned i = 0; i < block; i += 32)
		pack_codes(layout->bits, i, q + i, codes + row * 4);
	for (int f = 0; f < 2; f++) {
		struct weir_cpu_field field = layout->field[f];

		for (unsigned i = 0; i < field.count; i++, scales += 16 * field.size)
			memcpy(scales + row * field.size, src + field.at + i * field.size,
			       field.size);
	}
}

static void unpack_block(uint32_t type, const struct weir_cpu_codes *layout, unsigned block,
			 const uint8_t *codes, const uint8_t *scales, unsigned row, uint8_t *dst)
{
	uint8_t q[WEIR_CPU_MAX_BLOCK];

	for (unsigned i = 0; i < block; i += 32)
		unpack_codes(layout->bits, i, codes + row * 4, q + i);
	weir_cpu_codes_put(type, q, dst);
	for (int f = 0; f < 2; f++) {
		struct weir_cpu_field field = layout->field[f];

		for (unsigned i = 0; i < field.count; i++, scales += 16 * field.size)
			memcpy(dst + field.at + i * field.size, scales + row * field.size,
			       field.size);
	}
}

static void pack_float(const uint8_t *src, size_t size, unsigned r, uint64_t n, uint8_t *group)
{
	for (uint64_t k = 0; k < n; k++)
		memcpy(group + (k * 16 + r) * size, src + k * size, size);
}

void weir_cpu_repack(uint32_t type, const uint8_t *src, size_t row_bytes, unsigned n_rows,
		     uint64_t n_in, uint8_t *group)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	const struct weir_cpu_codes *layout = weir_cpu_codes(type);
	size_t codes_bytes = weir_cpu_codes_bytes(type), scales_bytes = weir_cpu_scales_bytes(type);
	uint64_t n_blocks = n_in / t->block;
	uint8_t *scales = group + n_blocks * codes_bytes;

	if (!layout) {
		for (unsigned r = 0; r < n_rows; r++)
			pack_float(src + r * row_bytes, t->bytes, r, n_in, group);
		return;
	}
	for (int i = 0; weir_iquant_values(type) && i < 16; i++)
		scales[n_blocks * scales_bytes + i] = (uint8_t)(weir_iquant_values(type)[i] + 128);
	for (uint64_t b = 0; b < n_blocks; b++)
		for (unsigned r = 0; r < n_rows; r++)
			pack_block(type, layout, t->block, src + r * row_bytes + b * t->bytes, r,
				   group + b * codes_bytes, scales + b * scales_bytes);
}

bool weir_cpu_unpacks(uint32_t type)
{
	return !weir_iquant_values(type) && type != WEIR_DTYPE_NVFP4;
}

void weir_cpu_unpack(uint32_t type, const uint8_t *group, unsigned row, uint64_t n_in, uint64_t at,
		     uint64_t n, uint8_t *dst)
{
	const struct weir_cpu_type *t = weir_cpu_type(type);
	const struct weir_cpu_codes *layout = weir_cpu_codes(type);
	size_t codes_bytes = weir_cpu_codes_bytes(type), scales_bytes = weir_cpu_scales_bytes(type);
	const uint8_t *scales = group + n_in / t->block * codes_bytes;
	uint64_t b = at / t->block, end = (at + n) / t->block;

	for (; b < end; b++, dst += t->bytes) {
		if (!layout) {
			memcpy(dst, group + (b * 16 + row) * t->bytes, t->bytes);
			continue;
		}
		memset(dst, 0, t->bytes);
		unpack_block(type, layout, t->block, group + b * codes_bytes,
			     scales + b * scales_bytes, row, dst);
	}
}
