/* SPDX-License-Identifier: MIT */
/*
 * repack.h - GGUF rows into the groups of 16 rows that the kernels read (see cpu.h), and back.
 *
 * A group of a quantised type is a plane of codes, then a plane of scales, padded to 64 bytes.
 *
 * Codes, per 32 weights of 16 rows, by the bits of a code. A slice is 4 weights: 64 bytes, in which
 * byte 4 r + i is weight 4 s + i of row r.
 *   8  slices s = 0..7.
 *   4  s = 0..3: slice s in the low nibbles, slice s + 4 in the high ones.
 *   2  128 weights together: slice s of their block p = 0..3 in bits 2 p, 2 p + 1.
 *   5  the low four bits as 4; then 64 bytes: bit s is the fifth bit of slice s.
 *   6  the low four bits as 4; then the high two: h = 0..1: slice 4 h + j in bits 2 j, 2 j + 1.
 *   3  the low two bits as the high two of 6; then 64 bytes: bit s is the third bit of slice s.
 * Scales, per block of the format: the fields that codes.c lists, each number [16 rows]: Q4_K 16
 * f16 d, 16 f16 dmin, then the 12 bytes of packed scales as [byte][row]; Q6_K [16][row] int8, 16
 * f16 d; Q2_K two bytes of scales at a time: [8][row][2]; IQ1, IQ2, IQ3 [16][16] int8, 16 float d,
 * and at the end of the group the 16 values that codes stand for, plus 128; NVFP4 [4][row] f16.
 *
 * No bit is added to the format's own, so decode reads what the file holds; but for TQ1_0, which is
 * kept in 2 bits as TQ2_0 is: to divide by 3 costs more than to read; for IQ1, IQ2 and IQ3,
 * whose entries of code books are 4 bits a weight here; and for NVFP4, whose scales processors
 * convert from f16 but not from 8 bits. Pure; any thread.
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

/* Can a group's rows be had back? Not those of IQ1, IQ2, IQ3, NVFP4. */
bool weir_cpu_unpacks(uint32_t type);

/* Weights at .. at + n of row `row` of a group as in a GGUF row, bit for bit (of TQ1_0: the same
 * digits); both multiples of the type's block. Of types that weir_cpu_unpacks() says yes to. */
void weir_cpu_unpack(uint32_t type, const uint8_t *group, unsigned row, uint64_t n_in, uint64_t at,
		     uint64_t n, uint8_t *dst);

#endif
