/* SPDX-License-Identifier: MIT */
/*
 * gguf.h - reads GGUF model files (version 3, and 2, which has the same layout), little endian.
 *
 * Source of the format: the public GGUF specification (ggml, docs/gguf.md).
 *
 * The header is copied: every string and array that a getter hands out points into memory of g and
 * lives until weir_gguf_close(). The tensors' data is read by weir_gguf_read(), from the file that
 * was opened, which is never mapped: whatever is done to a file in the meantime (cut off, written
 * over, a disk that fails), reading it ends with an error, not with a signal, and what was checked
 * stays what it was. A struct weir_gguf never changes after open, so every function here but close
 * is [any] and may run on many threads at once.
 *
 * A file is hostile until proven otherwise. open() walks the whole header and refuses, with a text
 * that says what, where (byte offset, name) and what to do: counts that the file cannot hold, items
 * past the end, unknown value or tensor types, private types of forks, duplicate names, shapes that
 * overflow or do not fill whole blocks, data outside of the file. Memory taken is the header's (256
 * MiB at most), about 100 bytes for each key and tensor (a million of each at most) and 8 for each
 * string in an array.
 *
 * Everywhere: `err` may be NULL when the caller does not want the text; `ret` is written only on
 * success. Keys are NUL-terminated, tensor and key names never hold NUL bytes.
 */
#ifndef WEIR_TENSOR_GGUF_H
#define WEIR_TENSOR_GGUF_H

#include <weir/base.h>

struct weir_gguf;

/* The ids are those of the file. */
enum weir_gguf_value_type {
	WEIR_GGUF_U8 = 0,
	WEIR_GGUF_I8 = 1,
	WEIR_GGUF_U16 = 2,
	WEIR_GGUF_I16 = 3,
	WEIR_GGUF_U32 = 4,
	WEIR_GGUF_I32 = 5,
	WEIR_GGUF_F32 = 6,
	WEIR_GGUF_BOOL = 7,
	WEIR_GGUF_STRING = 8,
	WEIR_GGUF_ARRAY = 9,
	WEIR_GGUF_U64 = 10,
	WEIR_GGUF_I64 = 11,
	WEIR_GGUF_F64 = 12,
};

/* Tensor types, by their id in the file; the gaps are ids that were removed. */
enum weir_gguf_type_id {
	WEIR_GGUF_TYPE_F32 = 0,
	WEIR_GGUF_TYPE_F16 = 1,
	WEIR_GGUF_TYPE_Q4_0 = 2,
	WEIR_GGUF_TYPE_Q4_1 = 3,
	WEIR_GGUF_TYPE_Q5_0 = 6,
	WEIR_GGUF_TYPE_Q5_1 = 7,
	WEIR_GGUF_TYPE_Q8_0 = 8,
	WEIR_GGUF_TYPE_Q8_1 = 9,
	WEIR_GGUF_TYPE_Q2_K = 10,
	WEIR_GGUF_TYPE_Q3_K = 11,
	WEIR_GGUF_TYPE_Q4_K = 12,
	WEIR_GGUF_TYPE_Q5_K = 13,
	WEIR_GGUF_TYPE_Q6_K = 14,
	WEIR_GGUF_TYPE_Q8_K = 15,
	WEIR_GGUF_TYPE_IQ2_XXS = 16,
	WEIR_GGUF_TYPE_IQ2_XS = 17,
	WEIR_GGUF_TYPE_IQ3_XXS = 18,
	WEIR_GGUF_TYPE_IQ1_S = 19,
	WEIR_GGUF_TYPE_IQ4_NL = 20,
	WEIR_GGUF_TYPE_IQ3_S = 21,
	WEIR_GGUF_TYPE_IQ2_S = 22,
	WEIR_GGUF_TYPE_IQ4_XS = 23,
	WEIR_GGUF_TYPE_I8 = 24,
	WEIR_GGUF_TYPE_I16 = 25,
	WEIR_GGUF_TYPE_I32 = 26,
	WEIR_GGUF_TYPE_I64 = 27,
	WEIR_GGUF_TYPE_F64 = 28,
	WEIR_GGUF_TYPE_IQ1_M = 29,
	WEIR_GGUF_TYPE_BF16 = 30,
	WEIR_GGUF_TYPE_TQ1_0 = 34,
	WEIR_GGUF_TYPE_TQ2_0 = 35,
	WEIR_GGUF_TYPE_MXFP4 = 39,
	WEIR_GGUF_TYPE_NVFP4 = 40,
	WEIR_GGUF_TYPE_Q1_0 = 41,
	WEIR_GGUF_TYPE_Q2_0 = 42,
};

/* One tensor type: block_size weights of a row lie in block_bytes bytes. */
struct weir_gguf_type {
	const char *name; /* "Q4_K" */
	uint32_t block_size;
	uint32_t block_bytes;
};

/* A tensor as the file describes it. ne[0] is the row length (contiguous), a multiple of the type's
 * block size; dimensions past n_dims are 1 (all of them when n_dims is 0: one number); none is 0.
 */
struct weir_gguf_tensor {
	struct weir_str name;
	uint32_t type;
	uint32_t n_dims;
	uint64_t ne[4];
	uint64_t n_bytes;
	uint64_t offset;              /* of its data from the beginning of that file */
	const struct weir_gguf *file; /* that holds it: this one or another part of the model */
};

/* An array value, by value: free to copy, nothing to free. Elements are read with the functions
 * below, each O(1), strings too (open() indexes them). */
struct weir_gguf_array {
	uint32_t type; /* of the elements: enum weir_gguf_value_type */
	uint64_t n;
	const uint8_t *data;     /* the elements as in the file, perhaps unaligned */
	const uint64_t *offsets; /* of each element from data; strings and arrays only */
};

/* Which element types a caller of weir_gguf_get_array() can read. */
enum weir_gguf_array_kind {
	WEIR_GGUF_ARRAY_ANY,
	WEIR_GGUF_ARRAY_OF_STRINGS,
	WEIR_GGUF_ARRAY_OF_INTEGERS, /* every integer width, and bool */
	WEIR_GGUF_ARRAY_OF_FLOATS,   /* f32 and f64 */
};

/* Open and check a file. Of a model in several files (split.count) name the first,
 * <prefix>-00001-of-0000N.gguf: the others are opened beside it, and all their tensors are this
 * one's; keys are the first's. Errors: NOT_FOUND (no such file), DENIED (no permission), INVALID
 * (not a GGUF file, or a broken one), UNSUPPORTED (version 1, big endian, a fork's private tensor
 * type), EXHAUSTED (no memory, no address space), UNAVAILABLE (an I/O error). */
weir_status weir_gguf_open(const char *path, struct weir_gguf **ret, struct weir_error *err);

/* The same over memory that the caller keeps until close. For tests and fuzzing. */
weir_status weir_gguf_open_memory(const void *data, size_t len, struct weir_gguf **ret,
				  struct weir_error *err);

/* Accepts NULL. Every pointer that came out of g is dead after it. */
void weir_gguf_close(struct weir_gguf *g);

/* n bytes of the tensor's data from its byte `at` on; at + n beyond n_bytes is INVALID. Errors of
 * the file: UNAVAILABLE, when it ends before (it did not when it was opened, so it was changed
 * since) or cannot be read. */
weir_status weir_gguf_read(const struct weir_gguf_tensor *t, uint64_t at, void *ret, size_t n,
			   struct weir_error *err);

/* Tells the system that these bytes of a tensor, or what follows it in the file, are wanted soon. A
 * hint: out of range or impossible does nothing. */
void weir_gguf_read_ahead(const struct weir_gguf_tensor *t, uint64_t at, uint64_t n);

/* UNAVAILABLE: since it was opened the file, or another part of the model, has got another length
 * or was written to, so what was read of it may be of two files. Ask when all is read. */
weir_status weir_gguf_check_unchanged(const struct weir_gguf *g, struct weir_error *err);

/* The file's name for messages, without its folder (clients may read them): of a long one the end,
 * unprintable bytes as '?'; "memory" for open_memory. */
const char *weir_gguf_path(const struct weir_gguf *g);
/* The length of the (first) file. */
uint64_t weir_gguf_file_bytes(const struct weir_gguf *g);
uint32_t weir_gguf_version(const struct weir_gguf *g);

/* Keys in file order, for listing. i < weir_gguf_n_keys(). ret_type may be NULL. */
size_t weir_gguf_n_keys(const struct weir_gguf *g);
struct weir_str weir_gguf_key_at(const struct weir_gguf *g, size_t i, uint32_t *ret_type);

/* Values by key; a hash lookup. Status: OK; NOT_FOUND: no such key; INVALID: of another type, or
 * out of the asked type's range. Integers are read from every integer width (files differ by
 * habit); f32 and f64 from floats and integers; boolean from bool only. Strings are not checked to
 * be UTF-8. `.data` of a string is not NUL-terminated. */
bool weir_gguf_has(const struct weir_gguf *g, const char *key);
weir_status weir_gguf_u32(const struct weir_gguf *g, const char *key, uint32_t *ret,
			  struct weir_error *err);
weir_status weir_gguf_u64(const struct weir_gguf *g, const char *key, uint64_t *ret,
			  struct weir_error *err);
weir_status weir_gguf_i64(const struct weir_gguf *g, const char *key, int64_t *ret,
			  struct weir_error *err);
weir_status weir_gguf_f32(const struct weir_gguf *g, const char *key, float *ret,
			  struct weir_error *err);
weir_status weir_gguf_boolean(const struct weir_gguf *g, const char *key, bool *ret,
			      struct weir_error *err);
weir_status weir_gguf_string(const struct weir_gguf *g, const char *key, struct weir_str *ret,
			     struct weir_error *err);

/* An array of the wanted kind, else INVALID. Empty arrays have n 0 and any element type. */
weir_status weir_gguf_get_array(const struct weir_gguf *g, const char *key,
				enum weir_gguf_array_kind kind, struct weir_gguf_array *ret,
				struct weir_error *err);

/* Element i; past the end or of another kind: an empty string, 0, 0. A u64 above INT64_MAX reads as
 * INT64_MAX. */
struct weir_str weir_gguf_array_string(const struct weir_gguf_array *a, uint64_t i);
int64_t weir_gguf_array_i64(const struct weir_gguf_array *a, uint64_t i);
float weir_gguf_array_f32(const struct weir_gguf_array *a, uint64_t i);

/* Tensors in file order, and by name (hash lookup; NULL when absent). Valid until close. */
size_t weir_gguf_n_tensors(const struct weir_gguf *g);
const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i);
const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name);

/* Static description of a tensor type; NULL when the id is unknown, removed or a fork's own. Being
 * listed means that its size is known, not that a kernel exists. */
const struct weir_gguf_type *weir_gguf_type(uint32_t type);

#endif
