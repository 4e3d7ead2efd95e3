/* SPDX-License-Identifier: MIT */
/*
 * gguf-internal.h - what gguf.c (parses), gguf-split.c (joins) and gguf-values.c (reads) share.
 * Nobody else includes it.
 */
#ifndef WEIR_TENSOR_GGUF_INTERNAL_H
#define WEIR_TENSOR_GGUF_INTERNAL_H

#include "gguf.h"
#include "name-map.h"

struct gguf_key {
	struct weir_str name; /* first: the name map reads it */
	uint32_t type;
	uint32_t item_type;  /* arrays: of the elements */
	const uint8_t *data; /* the value's bytes; a string's after its length, an array's items */
	uint64_t n;          /* a string's bytes, an array's elements */
	uint64_t *offsets;   /* arrays of strings and arrays: each element from data */
};

struct weir_gguf {
	char *path;
	const uint8_t *base;
	size_t len;
	bool mapped;
	uint32_t version;
	struct gguf_key *keys;
	size_t n_keys;
	struct weir_name_map key_map;
	struct weir_gguf_tensor *tensors;
	size_t n_tensors;
	struct weir_name_map tensor_map;
	struct weir_gguf **parts; /* the other files of a split model */
	size_t n_parts;
};

/* gguf.c: one file, whatever it says of others. */
weir_status gguf_open_one(const char *path, struct weir_gguf **ret, struct weir_error *err);

/* gguf-split.c: after gguf_open_one(path, &g): the other parts, if there are any. path NULL: a
 * file in memory, whose parts cannot be found. */
weir_status gguf_open_parts(struct weir_gguf *g, const char *path, struct weir_error *err);

/* Little endian, any alignment. */
static inline uint64_t gguf_load(const uint8_t *p, unsigned n_bytes)
{
	uint64_t x = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

/* Bytes of a value type; 0 for strings, arrays and unknown types. */
static inline unsigned gguf_value_size(uint32_t type)
{
	static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

	return type < sizeof(sizes) ? sizes[type] : 0;
}

#endif
