/* SPDX-License-Identifier: MIT */
/*
 * gguf-writer.h - writes GGUF files in memory for tests: right ones, and wrong ones on purpose.
 *
 * No function checks anything: a test writes exactly what it means to. Little endian, version 3
 * layout. Header-only; test-gguf.c and test-tokenizer.c include it.
 */
#ifndef WEIR_TEST_GGUF_WRITER_H
#define WEIR_TEST_GGUF_WRITER_H

#include <glib.h>
#include <string.h>

static inline void put_int(GByteArray *f, guint64 x, guint n_bytes)
{
	for (guint i = 0; i < n_bytes; i++) {
		guint8 byte = (guint8)(x >> (8 * i));

		g_byte_array_append(f, &byte, 1);
	}
}

static inline void put_u32(GByteArray *f, guint32 x)
{
	put_int(f, x, 4);
}

static inline void put_u64(GByteArray *f, guint64 x)
{
	put_int(f, x, 8);
}

static inline void put_bytes(GByteArray *f, const void *data, gsize len)
{
	put_u64(f, len);
	g_byte_array_append(f, data, (guint)len);
}

static inline void put_string(GByteArray *f, const char *s)
{
	put_bytes(f, s, strlen(s));
}

static inline void put_head(GByteArray *f, guint32 version, guint64 n_tensors, guint64 n_keys)
{
	g_byte_array_append(f, (const guint8 *)"GGUF", 4);
	put_u32(f, version);
	put_u64(f, n_tensors);
	put_u64(f, n_keys);
}

/* A key and its type; the value follows. */
static inline void put_key(GByteArray *f, const char *name, guint32 type)
{
	put_string(f, name);
	put_u32(f, type);
}

static inline void put_key_u32(GByteArray *f, const char *name, guint32 x)
{
	put_key(f, name, 4);
	put_u32(f, x);
}

static inline void put_key_string(GByteArray *f, const char *name, const char *x)
{
	put_key(f, name, 8);
	put_string(f, x);
}

/* An array's head; the n items follow. */
static inline void put_array(GByteArray *f, const char *name, guint32 item_type, guint64 n)
{
	put_key(f, name, 9);
	put_u32(f, item_type);
	put_u64(f, n);
}

static inline void put_tensor(GByteArray *f, const char *name, guint32 n_dims, const guint64 *ne,
			      guint32 type, guint64 offset)
{
	put_string(f, name);
	put_u32(f, n_dims);
	for (guint32 i = 0; i < n_dims; i++)
		put_u64(f, ne[i]);
	put_u32(f, type);
	put_u64(f, offset);
}

/* A tensor of one dimension. */
static inline void put_vector(GByteArray *f, const char *name, guint64 n, guint32 type,
			      guint64 offset)
{
	put_tensor(f, name, 1, &n, type, offset);
}

static inline void put_zeros(GByteArray *f, gsize n)
{
	for (gsize i = 0; i < n; i++)
		put_int(f, 0, 1);
}

static inline void put_padding(GByteArray *f, guint alignment)
{
	while (f->len % alignment != 0)
		put_int(f, 0, 1);
}

#endif
