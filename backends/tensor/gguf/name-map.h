/* SPDX-License-Identifier: MIT */
/*
 * name-map.h - names to indices: an open-addressing hash over an array that the caller owns.
 *
 * For tables whose names come out of untrusted files (keys, tensors, tokens): the hash is
 * SipHash-1-3 (Aumasson and Bernstein, 2012) under a random key per map, so nobody can prepare a
 * file whose names collide. Filled by one thread, then read by any number of threads.
 */
#ifndef WEIR_TENSOR_NAME_MAP_H
#define WEIR_TENSOR_NAME_MAP_H

#include <weir/base.h>

#define WEIR_NAME_MAP_NONE UINT32_MAX

struct weir_name_map {
	const char *items; /* each item begins with its struct weir_str name */
	size_t stride;
	uint32_t *slots; /* index + 1; 0 is free */
	size_t mask;
	uint64_t key[2];
};

/* A map that can take n names of items[0 .. n), none of them in it yet. False: no memory, or n does
 * not fit 31 bits. The items may be filled after init, each before it is added. */
bool weir_name_map_init(struct weir_name_map *map, const void *items, size_t stride, size_t n);
void weir_name_map_clear(struct weir_name_map *map);

/* Adds item i. Gives WEIR_NAME_MAP_NONE, or the index of the earlier item of the same name, which
 * then stays the one that is found. */
uint32_t weir_name_map_add(struct weir_name_map *map, uint32_t i);

/* The index of the name, or WEIR_NAME_MAP_NONE. */
uint32_t weir_name_map_find(const struct weir_name_map *map, const char *name, size_t len);

/* 16 random bytes for a hash key; never fails (falls back to the clock and addresses). */
void weir_random_key(uint64_t key[2]);

uint64_t weir_siphash(const uint64_t key[2], const void *data, size_t len);

#endif
