/* SPDX-License-Identifier: MIT */
/*
 * repack.h - GGUF rows into the groups of 16 rows that the kernels read (see cpu.h), and back.
 *
 * Per block of 32 weights (Q8_0, Q4_0) or 256 (Q4_K, Q6_K), for 16 rows:
 *   Q8_0  codes 512 bytes, unsigned (q + 128): slice s, row r, byte i = weight 4 s + i.
 *         scales: 16 f16.
 *   Q4_0  codes 256 bytes: slice s = 0..3; low nibble: weight 4 s + i, high: weight 16 + 4 s + i.
 *         scales: 16 f16.
 *   Q4_K  codes 2048 bytes: 8 sub-blocks as Q4_0's. scales 256 bytes: 16 f16 d, 16 f16 dmin, then
 *         the 12 bytes of packed scales, [byte][row].
 *   Q6_K  codes 3072 bytes: per sub-block of 32 first 256 bytes of low nibbles as Q4_0's, then 128
 *         of high bits: half h, row r, byte i, bits 2 j..2 j + 1 = weight 4 (4 h + j) + i.
 *         scales 288 bytes: [16][row] int8, then 16 f16 d.
 * A group is its plane of codes, then its plane of scales, padded to 64 bytes: no bit is added to
 * the format's own, so decode reads what the file holds. Pure; any thread.
 */
#ifndef WEIR_CPU_REPACK_H
#define WEIR_CPU_REPACK_H

#include <weir/base.h>

/* Bytes of codes, and of scales, of one block of 16 rows; scales 0 for float types. */
size_t weir_cpu_codes_bytes(uint32_t type);
size_t weir_cpu_scales_bytes(uint32_t type);

/* Bytes of one group of rows that are n_in wide: a multiple of 64; 0: too many. */
size_t weir_cpu_group_bytes(uint32_t type, uint64_t n_in);

/* n_rows (1..16) GGUF rows, row_bytes apart, into one zeroed group. */
void weir_cpu_repack(uint32_t type, const uint8_t *src, size_t row_bytes, unsigned n_rows,
		     uint64_t n_in, uint8_t *group);

/* Row `row` of a group as a GGUF row, bit for bit: for tests. */
void weir_cpu_unpack(uint32_t type, const uint8_t *group, unsigned row, uint64_t n_in,
		     uint8_t *dst);

#endif
