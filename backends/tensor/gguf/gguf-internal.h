/* SPDX-License-Identifier: MIT */
/*
 * gguf-internal.h - what gguf.c (parses), gguf-file.c (reads files), gguf-split.c (joins) and
 * gguf-values.c (gives values) share.
 * Nobody else includes it.
 */
#ifndef WEIR_TENSOR_GGUF_INTERNAL_H
#define WEIR_TENSOR_GGUF_INTERNAL_H

#include "gguf.h"
#include "name-map.h"

#include <time.h>

#define GGUF_MAX_HEADER ((size_t)256 << 20) /* far above every real one */

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
	/* The file's first n_head bytes, in memory: our own where there is a file, room for `room`
	 * of them; else the caller's, and all there are. */
	const uint8_t *base;
	size_t n_head, room;
	uint64_t len; /* of the file */
	int fd;       /* -1: memory */
	struct timespec changed;
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

/* gguf-file.c: opens the file of a new g, and finds out its length; an empty one is no error here.
 * Then at least its first n bytes in memory, of the header's n <= room: what lies at g->base never
 * moves. trim() gives back what is beyond them. */
weir_status gguf_file_open(struct weir_gguf *g, const char *path, struct weir_error *err);
weir_status gguf_file_need(struct weir_gguf *g, size_t n, struct weir_error *err);
void gguf_file_trim(struct weir_gguf *g, size_t n);
void gguf_file_close(struct weir_gguf *g);

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
