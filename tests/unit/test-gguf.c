/* SPDX-License-Identifier: MIT */
/*
 * test-gguf.c - the GGUF reader: values, tensors, and every kind of broken file.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf-writer.h"
#include "gguf.h"

/* ---- a file that has one of everything ---- */

static GByteArray *good_file(void)
{
	static const guint64 matrix[] = { 64, 3 };
	GByteArray *f = g_byte_array_new();
	const float pi = 3.25f;
	const double e = 2.5;

	put_head(f, 3, 4, 17);
	put_key_string(f, "general.architecture", "llama");
	put_key(f, "u8", WEIR_GGUF_U8), put_int(f, 200, 1);
	put_key(f, "i8", WEIR_GGUF_I8), put_int(f, (guint64)-5, 1);
	put_key(f, "u16", WEIR_GGUF_U16), put_int(f, 60000, 2);
	put_key(f, "i16", WEIR_GGUF_I16), put_int(f, (guint64)-6, 2);
	put_key_u32(f, "u32", 4000000000u);
	put_key(f, "i32", WEIR_GGUF_I32), put_u32(f, (guint32)-7);
	put_key(f, "u64", WEIR_GGUF_U64), put_u64(f, G_MAXUINT64);
	put_key(f, "i64", WEIR_GGUF_I64), put_u64(f, (guint64)-8);
	put_key(f, "f32", WEIR_GGUF_F32), g_byte_array_append(f, (const guint8 *)&pi, 4);
	put_key(f, "f64", WEIR_GGUF_F64), g_byte_array_append(f, (const guint8 *)&e, 8);
	put_key(f, "bool", WEIR_GGUF_BOOL), put_int(f, 1, 1);
	put_key_u32(f, "general.alignment", 64);
	put_array(f, "words", WEIR_GGUF_STRING, 3);
	put_string(f, "one"), put_string(f, ""), put_string(f, "three");
	put_array(f, "heads", WEIR_GGUF_I32, 3);
	put_u32(f, 1), put_u32(f, (guint32)-2), put_u32(f, 3);
	put_array(f, "scores", WEIR_GGUF_F32, 1), g_byte_array_append(f, (const guint8 *)&pi, 4);
	put_array(f, "nested", WEIR_GGUF_ARRAY, 2);
	put_u32(f, WEIR_GGUF_U8), put_u64(f, 3), put_int(f, 0x010203, 3);
	put_u32(f, WEIR_GGUF_STRING), put_u64(f, 1), put_string(f, "deep");
	put_tensor(f, "matrix", 2, matrix, WEIR_GGUF_TYPE_Q8_0, 0);
	put_vector(f, "vector", 5, WEIR_GGUF_TYPE_F32, 256);
	put_tensor(f, "scalar", 0, NULL, WEIR_GGUF_TYPE_F32, 256);
	put_vector(f, "bytes", 64, WEIR_GGUF_TYPE_I8, 320);
	put_padding(f, 64);
	put_zeros(f, 256);
	for (int i = 0; i < 5; i++) {
		float x = (float)i;

		g_byte_array_append(f, (const guint8 *)&x, 4);
	}
	put_padding(f, 64);
	for (guint i = 0; i < 64; i++)
		put_int(f, i, 1);
	return f;
}

static void assert_str(struct weir_str s, const char *expected)
{
	g_assert_cmpmem(s.data, s.len, expected, strlen(expected));
}

static void test_values(void)
{
	g_autoptr(GByteArray) f = good_file();
	struct weir_error err;
	struct weir_gguf *g = NULL;
	struct weir_gguf_array a;
	struct weir_str s;
	uint32_t u32, type;
	uint64_t u64;
	int64_t i64;
	float f32;
	bool b;

	g_assert_cmpint(weir_gguf_open_memory(f->data, f->len, &g, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_gguf_version(g), ==, 3);
	g_assert_cmpint(weir_gguf_n_keys(g), ==, 17);
	assert_str(weir_gguf_key_at(g, 1, &type), "u8");
	g_assert_cmpint(type, ==, WEIR_GGUF_U8);
	assert_str(weir_gguf_key_at(g, 17, &type), "");
	g_assert_true(weir_gguf_has(g, "words"));
	g_assert_false(weir_gguf_has(g, "word"));

	g_assert_cmpint(weir_gguf_string(g, "general.architecture", &s, &err), ==, WEIR_OK);
	assert_str(s, "llama");
	g_assert_cmpint(weir_gguf_u32(g, "u8", &u32, &err), ==, WEIR_OK);
	g_assert_cmpuint(u32, ==, 200);
	g_assert_cmpint(weir_gguf_u32(g, "u16", &u32, &err), ==, WEIR_OK);
	g_assert_cmpuint(u32, ==, 60000);
	g_assert_cmpint(weir_gguf_u32(g, "u32", &u32, &err), ==, WEIR_OK);
	g_assert_cmpuint(u32, ==, 4000000000u);
	g_assert_cmpint(weir_gguf_u64(g, "u64", &u64, &err), ==, WEIR_OK);
	g_assert_cmpuint(u64, ==, G_MAXUINT64);
	g_assert_cmpint(weir_gguf_i64(g, "i8", &i64, &err), ==, WEIR_OK);
	g_assert_cmpint(i64, ==, -5);
	g_assert_cmpint(weir_gguf_i64(g, "i16", &i64, &err), ==, WEIR_OK);
	g_assert_cmpint(i64, ==, -6);
	g_assert_cmpint(weir_gguf_i64(g, "i32", &i64, &err), ==, WEIR_OK);
	g_assert_cmpint(i64, ==, -7);
	g_assert_cmpint(weir_gguf_i64(g, "i64", &i64, &err), ==, WEIR_OK);
	g_assert_cmpint(i64, ==, -8);
	g_assert_cmpint(weir_gguf_f32(g, "f32", &f32, &err), ==, WEIR_OK);
	g_assert_cmpfloat(f32, ==, 3.25f);
	g_assert_cmpint(weir_gguf_f32(g, "f64", &f32, &err), ==, WEIR_OK);
	g_assert_cmpfloat(f32, ==, 2.5f);
	g_assert_cmpint(weir_gguf_f32(g, "i8", &f32, &err), ==, WEIR_OK);
	g_assert_cmpfloat(f32, ==, -5.0f);
	g_assert_cmpint(weir_gguf_boolean(g, "bool", &b, &err), ==, WEIR_OK);
	g_assert_true(b);

	g_assert_cmpint(weir_gguf_u32(g, "absent", &u32, &err), ==, WEIR_E_NOT_FOUND);
	g_assert_nonnull(strstr(err.text, "absent"));
	g_assert_cmpint(weir_gguf_u32(g, "absent", &u32, NULL), ==, WEIR_E_NOT_FOUND);
	g_assert_cmpint(weir_gguf_u32(g, "i8", &u32, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_u32(g, "u64", &u32, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_i64(g, "u64", &i64, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_u32(g, "f32", &u32, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_f32(g, "words", &f32, &err), ==, WEIR_E_INVALID);
	g_assert_nonnull(strstr(err.text, "array of string"));
	g_assert_cmpint(weir_gguf_string(g, "u8", &s, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_boolean(g, "u8", &b, &err), ==, WEIR_E_INVALID);

	g_assert_cmpint(weir_gguf_get_array(g, "words", WEIR_GGUF_ARRAY_OF_STRINGS, &a, &err), ==,
			WEIR_OK);
	g_assert_cmpuint(a.n, ==, 3);
	assert_str(weir_gguf_array_string(&a, 0), "one");
	assert_str(weir_gguf_array_string(&a, 1), "");
	assert_str(weir_gguf_array_string(&a, 2), "three");
	assert_str(weir_gguf_array_string(&a, 3), "");
	g_assert_cmpint(weir_gguf_array_i64(&a, 0), ==, 0);
	g_assert_cmpint(weir_gguf_get_array(g, "heads", WEIR_GGUF_ARRAY_OF_INTEGERS, &a, &err), ==,
			WEIR_OK);
	g_assert_cmpint(weir_gguf_array_i64(&a, 1), ==, -2);
	g_assert_cmpint(weir_gguf_array_i64(&a, 2), ==, 3);
	g_assert_cmpint(weir_gguf_array_i64(&a, G_MAXUINT64), ==, 0);
	assert_str(weir_gguf_array_string(&a, 0), "");
	g_assert_cmpint(weir_gguf_get_array(g, "scores", WEIR_GGUF_ARRAY_OF_FLOATS, &a, &err), ==,
			WEIR_OK);
	g_assert_cmpfloat(weir_gguf_array_f32(&a, 0), ==, 3.25f);
	g_assert_cmpfloat(weir_gguf_array_f32(&a, 1), ==, 0.0f);
	g_assert_cmpint(weir_gguf_get_array(g, "nested", WEIR_GGUF_ARRAY_ANY, &a, &err), ==,
			WEIR_OK);
	g_assert_cmpint(weir_gguf_get_array(g, "words", WEIR_GGUF_ARRAY_OF_FLOATS, &a, &err), ==,
			WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_get_array(g, "u8", WEIR_GGUF_ARRAY_ANY, &a, &err), ==,
			WEIR_E_INVALID);
	weir_gguf_close(g);
}

static void test_tensors(void)
{
	g_autoptr(GByteArray) f = good_file();
	const struct weir_gguf_tensor *t;
	struct weir_gguf *g = NULL;
	struct weir_error err;
	guint8 byte = 0;
	float x;

	g_assert_cmpint(weir_gguf_open_memory(f->data, f->len, &g, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_gguf_n_tensors(g), ==, 4);
	g_assert_null(weir_gguf_tensor_at(g, 4));
	g_assert_null(weir_gguf_tensor(g, "absent"));
	t = weir_gguf_tensor(g, "matrix");
	g_assert_true(t == weir_gguf_tensor_at(g, 0));
	g_assert_cmpuint(t->ne[0], ==, 64);
	g_assert_cmpuint(t->ne[1], ==, 3);
	g_assert_cmpuint(t->ne[2], ==, 1);
	g_assert_cmpuint(t->n_bytes, ==, 6 * 34);
	t = weir_gguf_tensor(g, "vector");
	g_assert_cmpuint(t->n_bytes, ==, 20);
	g_assert_cmpint(weir_gguf_read(t, 16, &x, 4, &err), ==, WEIR_OK);
	g_assert_cmpfloat(x, ==, 4.0f);
	g_assert_cmpint(weir_gguf_read(t, 20, &x, 0, &err), ==, WEIR_OK);
	g_assert_cmpint(weir_gguf_read(t, 17, &x, 4, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_read(t, 21, &x, 0, &err), ==, WEIR_E_INVALID);
	g_assert_cmpint(weir_gguf_read(t, UINT64_MAX, &x, 4, NULL), ==, WEIR_E_INVALID);
	t = weir_gguf_tensor(g, "scalar");
	g_assert_cmpuint(t->n_bytes, ==, 4);
	t = weir_gguf_tensor(g, "bytes");
	g_assert_cmpint(weir_gguf_read(t, 63, &byte, 1, &err), ==, WEIR_OK);
	g_assert_cmpuint(byte, ==, 63);
	g_assert_cmpint(weir_gguf_check_unchanged(g, &err), ==, WEIR_OK);
	weir_gguf_close(g);
	weir_gguf_close(NULL);
}

/* The sizes come from compute.md 3.1 and 3.2 of the project's references. */
static void test_types(void)
{
	static const struct {
		guint32 id;
		const char *name;
		double bits;
	} known[] = {
		{ 0, "F32", 32 },          { 1, "F16", 16 },        { 2, "Q4_0", 4.5 },
		{ 3, "Q4_1", 5 },          { 6, "Q5_0", 5.5 },      { 7, "Q5_1", 6 },
		{ 8, "Q8_0", 8.5 },        { 9, "Q8_1", 9 },        { 10, "Q2_K", 2.625 },
		{ 11, "Q3_K", 3.4375 },    { 12, "Q4_K", 4.5 },     { 13, "Q5_K", 5.5 },
		{ 14, "Q6_K", 6.5625 },    { 15, "Q8_K", 9.125 },   { 16, "IQ2_XXS", 2.0625 },
		{ 18, "IQ3_XXS", 3.0625 }, { 19, "IQ1_S", 1.5625 }, { 20, "IQ4_NL", 4.5 },
		{ 21, "IQ3_S", 3.4375 },   { 23, "IQ4_XS", 4.25 },  { 24, "I8", 8 },
		{ 27, "I64", 64 },         { 28, "F64", 64 },       { 29, "IQ1_M", 1.75 },
		{ 30, "BF16", 16 },        { 34, "TQ1_0", 1.6875 }, { 35, "TQ2_0", 2.0625 },
		{ 39, "MXFP4", 4.25 },     { 40, "NVFP4", 4.5 },    { 41, "Q1_0", 1.125 },
		{ 42, "Q2_0", 2.25 },
	};
	static const guint32 unknown[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 137, G_MAXUINT32 };

	for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
		const struct weir_gguf_type *t = weir_gguf_type(known[i].id);

		g_assert_nonnull(t);
		g_assert_cmpstr(t->name, ==, known[i].name);
		g_assert_cmpfloat(8.0 * t->block_bytes / t->block_size, ==, known[i].bits);
	}
	for (gsize i = 0; i < G_N_ELEMENTS(unknown); i++)
		g_assert_null(weir_gguf_type(unknown[i]));
}

/* ---- broken files ---- */

static void two_dims(GByteArray *f, guint64 a, guint64 b, guint32 type)
{
	const guint64 ne[] = { a, b };

	put_head(f, 3, 1, 0);
	put_tensor(f, "t", 2, ne, type, 0);
	put_padding(f, 32);
	put_zeros(f, 4096);
}

static void one_tensor(GByteArray *f, guint32 alignment, guint32 type, guint64 offset)
{
	put_head(f, 3, 1, 1);
	put_key_u32(f, "general.alignment", alignment);
	put_vector(f, "t", 256, type, offset);
	put_padding(f, 32);
	put_zeros(f, 4096);
}

static void nested(GByteArray *f, guint depth)
{
	put_head(f, 3, 0, 1);
	put_array(f, "deep", WEIR_GGUF_ARRAY, 1);
	for (guint i = 1; i < depth; i++)
		put_u32(f, WEIR_GGUF_ARRAY), put_u64(f, 1);
	put_u32(f, WEIR_GGUF_U8), put_u64(f, 0);
}

static void long_name(GByteArray *f, guint n, gboolean tensor)
{
	g_autofree char *name = g_strnfill(n, 'n');

	put_head(f, 3, tensor, !tensor);
	if (tensor)
		put_vector(f, name, 8, 0, 0);
	else
		put_key_u32(f, name, 1);
	put_padding(f, 32);
	put_zeros(f, 32);
}

/* Case i of the table below, by number, so that each file is a few lines beside its expectation. */
static void build(GByteArray *f, guint i)
{
	static const char *const starts[] = { "",
					      "GG",
					      "GGUG",
					      "Hello, this is a text file.\n",
					      "version https://git-lfs.github.com/spec/v1\n",
					      "FUGG....",
					      "tjgg....",
					      "PK\x03\x04...." };
	const guint64 max = G_MAXUINT64;
	const guint64 five[] = { 1, 1, 1, 1, 1 };

	if (i < G_N_ELEMENTS(starts)) {
		g_byte_array_append(f, (const guint8 *)starts[i], (guint)strlen(starts[i]));
		return;
	}
	/* clang-format off */
	switch (i) {
	case 8: g_byte_array_append(f, (const guint8 *)"\x40\0\0\0\0\0\0\0{\"a\":1}", 15); break;
	case 9: put_head(f, 1, 0, 0); break;
	case 10: put_head(f, 0x03000000, 0, 0); break;
	case 11: put_head(f, 4, 0, 0); break;
	case 12: put_head(f, 0, 0, 0); break;
	case 13: put_head(f, 3, max, 0); break;
	case 14: put_head(f, 3, 0, max); break;
	case 15: put_head(f, 3, max / 25 + 1, max / 14 + 1); break;
	case 16: put_head(f, 3, 100000, 0), put_zeros(f, 2400000); break;
	case 17: put_head(f, 3, 0, 100000), put_zeros(f, 1300000); break;
	case 18: put_head(f, 3, 0, 1), put_u64(f, max), put_zeros(f, 64); break;
	case 19: put_head(f, 3, 0, 1), put_key_u32(f, "", 1), put_zeros(f, 64); break;
	case 20: put_head(f, 3, 0, 1), put_bytes(f, "a\0b", 3), put_zeros(f, 64); break;
	case 21: long_name(f, 65536, FALSE); break;
	case 22: long_name(f, 65, TRUE); break;
	case 23: put_head(f, 3, 0, 1), put_key(f, "k", 13), put_zeros(f, 64); break;
	case 24: put_head(f, 3, 0, 1), put_key(f, "k", 7), put_int(f, 2, 1); break;
	case 25: put_head(f, 3, 0, 1), put_array(f, "k", 7, 2), put_int(f, 0x0201, 2); break;
	case 26: put_head(f, 3, 0, 1), put_key(f, "k", 8), put_u64(f, max); break;
	case 27: put_head(f, 3, 0, 1), put_array(f, "k", 8, max / 8), put_zeros(f, 64); break;
	case 28: put_head(f, 3, 0, 1), put_array(f, "k", 12, max / 8 + 2); break;
	case 29: put_head(f, 3, 0, 1), put_array(f, "k", 77, 0); break;
	case 30: put_head(f, 3, 0, 1), put_array(f, "k", 8, 2), put_zeros(f, 15); break;
	case 31: nested(f, 5); break;
	case 32: nested(f, 60000); break;
	case 33: put_head(f, 3, 0, 2), put_key_u32(f, "k", 1), put_key_u32(f, "k", 1); break;
	case 34:
		put_head(f, 3, 2, 0);
		put_vector(f, "t", 8, 0, 0), put_vector(f, "t", 8, 0, 32), put_zeros(f, 99);
		break;
	case 35: put_head(f, 3, 1, 0), put_tensor(f, "t", 5, five, 0, 0), put_zeros(f, 99); break;
	case 36: two_dims(f, 0, 4, 0); break;
	case 37: two_dims(f, 4, 0, 0); break;
	case 38: two_dims(f, max, max, 0); break;
	case 39: two_dims(f, (guint64)1 << 32, (guint64)1 << 32, 24); break;
	case 40: two_dims(f, (guint64)1 << 62, 1, 0); break;
	case 41: two_dims(f, (guint64)1 << 62, 1, 12); break;
	case 42: two_dims(f, 31, 4, 8); break;
	case 43: two_dims(f, 128, 4, 12); break;
	case 44: two_dims(f, 256, 4, 4); break;
	case 45: two_dims(f, 256, 4, 36); break;
	case 46: two_dims(f, 256, 4, 137); break;
	case 47: two_dims(f, 256, 4, 99); break;
	case 48: two_dims(f, 1025, 1, 0); break;
	case 49: one_tensor(f, 0, 0, 0); break;
	case 50: one_tensor(f, 4, 0, 0); break;
	case 51: one_tensor(f, 24, 0, 0); break;
	case 52: one_tensor(f, 0x80000000u, 0, 0); break;
	case 53: one_tensor(f, 32, 0, 8); break;
	case 54: one_tensor(f, 32, 0, 4096); break;
	case 55: one_tensor(f, 32, 0, max - 31); break;
	case 56: one_tensor(f, 8192, 0, 0); break;
	case 57: put_head(f, 3, 0, 1), put_key_string(f, "general.alignment", "32"); break;
	case 58: put_head(f, 3, 0, 1), put_key(f, "split.count", 2), put_int(f, 2, 2); break;
	case 59: put_head(f, 3, 0, 1), put_key_string(f, "split.count", "2"); break;
	case 60: put_head(f, 3, 1, 0), put_vector(f, "", 8, 0, 0), put_zeros(f, 99); break;
	case 61: put_head(f, 3, 1, 0), put_vector(f, "t\n\x1b[31m", 8, 0, 0); break;
	default: g_assert_not_reached();
	}
	/* clang-format on */
}

static const struct {
	weir_status status;
	const char *text; /* a part of the message */
} broken[] = {
	/* 0 */ { WEIR_E_INVALID, "empty" },
	{ WEIR_E_INVALID, "GGUF" },
	{ WEIR_E_INVALID, "GGUF" },
	{ WEIR_E_INVALID, "text file" },
	{ WEIR_E_INVALID, "Git LFS" },
	{ WEIR_E_INVALID, "big-endian" },
	{ WEIR_E_INVALID, "before GGUF" },
	{ WEIR_E_INVALID, "zip" },
	{ WEIR_E_INVALID, "safetensors" },
	{ WEIR_E_UNSUPPORTED, "version 1 " },
	/* 10 */ { WEIR_E_UNSUPPORTED, "big-endian" },
	{ WEIR_E_UNSUPPORTED, "version 4" },
	{ WEIR_E_UNSUPPORTED, "" },
	{ WEIR_E_INVALID, "more than a million" },
	{ WEIR_E_INVALID, "more than a million" },
	{ WEIR_E_INVALID, "more than a million" },
	{ WEIR_E_INVALID, "do not fit" },
	{ WEIR_E_INVALID, "do not fit" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "empty name" },
	/* 20 */ { WEIR_E_INVALID, "NUL" },
	{ WEIR_E_INVALID, "too long" },
	{ WEIR_E_INVALID, "too long" },
	{ WEIR_E_INVALID, "unknown type" },
	{ WEIR_E_INVALID, "neither 0 nor 1" },
	{ WEIR_E_INVALID, "neither 0 nor 1" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "array of an unknown type" },
	/* 30 */ { WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "nested" },
	{ WEIR_E_INVALID, "nested" },
	{ WEIR_E_INVALID, "key 'k'" },
	{ WEIR_E_INVALID, "tensor 't'" },
	{ WEIR_E_INVALID, "4 dimensions" },
	{ WEIR_E_INVALID, "dimension of 0" },
	{ WEIR_E_INVALID, "dimension of 0" },
	{ WEIR_E_INVALID, "overflow" },
	{ WEIR_E_INVALID, "overflow" },
	/* 40 */ { WEIR_E_INVALID, "overflow" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "no whole number of Q8_0 blocks" },
	{ WEIR_E_INVALID, "no whole number of Q4_K blocks" },
	{ WEIR_E_UNSUPPORTED, "type id 4 (it was removed" },
	{ WEIR_E_UNSUPPORTED, "I2_S" },
	{ WEIR_E_UNSUPPORTED, "private type of the ik_llama.cpp fork" },
	{ WEIR_E_UNSUPPORTED, "newer" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "power of two" },
	/* 50 */ { WEIR_E_INVALID, "power of two" },
	{ WEIR_E_INVALID, "power of two" },
	{ WEIR_E_INVALID, "power of two" },
	{ WEIR_E_INVALID, "not aligned" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "truncated" },
	{ WEIR_E_INVALID, "general.alignment" },
	{ WEIR_E_UNSUPPORTED, "2 parts" },
	{ WEIR_E_INVALID, "split.count" },
	/* 60 */ { WEIR_E_INVALID, "empty name" },
	{ WEIR_E_INVALID, "t\\x0a\\x1b[31m" },
};

static void test_broken(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(broken); i++) {
		g_autoptr(GByteArray) f = g_byte_array_new();
		struct weir_gguf *g = NULL;
		struct weir_error err;
		g_autofree void *copy = NULL;
		weir_status status;

		build(f, i);
		copy = g_memdup2(f->data, f->len); /* exact size: ASan sees one byte too far */
		status = weir_gguf_open_memory(copy, f->len, &g, &err);
		if (status != broken[i].status || !strstr(err.text, broken[i].text))
			g_test_message("case %u: status %d, %s", i, status, err.text);
		g_assert_cmpint(status, ==, broken[i].status);
		g_assert_nonnull(strstr(err.text, broken[i].text));
		g_assert_cmpint(err.code, ==, status);
		g_assert_null(g);
		g_assert_true(g_utf8_validate(err.text, -1, NULL));
		g_assert_cmpint(weir_gguf_open_memory(copy, f->len, &g, NULL), ==, status);
	}
}

/* Values at the edge that are right. */
static void test_allowed(void)
{
	for (guint i = 0; i < 5; i++) {
		g_autoptr(GByteArray) f = g_byte_array_new();
		struct weir_gguf *g = NULL;
		struct weir_error err;

		/* clang-format off */
		switch (i) {
		case 0: put_head(f, 2, 0, 0); break;
		case 1: nested(f, 4); break;
		case 2: long_name(f, 65535, FALSE); break;
		case 3: long_name(f, 64, TRUE); break;
		case 4:
			put_head(f, 3, 0, 1);
			put_key(f, "split.count", WEIR_GGUF_U16), put_int(f, 1, 2);
			break;
		}
		/* clang-format on */
		if (weir_gguf_open_memory(f->data, f->len, &g, &err) != WEIR_OK)
			g_error("case %u: %s", i, err.text);
		weir_gguf_close(g);
	}
}

/* Reads all that the file offers, so that ASan sees what open() let through. */
static guint64 read_everything(const struct weir_gguf *g)
{
	guint64 sum = 0;

	for (size_t i = 0; i < weir_gguf_n_keys(g); i++) {
		struct weir_str name = weir_gguf_key_at(g, i, NULL), s;
		g_autofree char *key = g_strndup(name.data, name.len);
		struct weir_gguf_array a;
		float f;

		if (weir_gguf_string(g, key, &s, NULL) == WEIR_OK)
			for (size_t j = 0; j < s.len; j++)
				sum += (guint8)s.data[j];
		if (weir_gguf_f32(g, key, &f, NULL) == WEIR_OK)
			sum++;
		if (weir_gguf_get_array(g, key, WEIR_GGUF_ARRAY_ANY, &a, NULL) != WEIR_OK)
			continue;
		for (guint64 j = 0; j < a.n; j++) {
			s = weir_gguf_array_string(&a, j);
			for (size_t k = 0; k < s.len; k++)
				sum += (guint8)s.data[k];
			sum += (guint64)weir_gguf_array_i64(&a, j);
			sum += isnan(weir_gguf_array_f32(&a, j));
		}
	}
	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(g, i);

		g_autofree guint8 *data = g_malloc(t->n_bytes);

		g_assert_cmpint(weir_gguf_read(t, 0, data, t->n_bytes, NULL), ==, WEIR_OK);
		for (guint64 j = 0; j < t->n_bytes; j++)
			sum += data[j];
	}
	return sum;
}

static void test_truncated(void)
{
	g_autoptr(GByteArray) f = good_file();

	for (guint len = 0; len < f->len; len++) {
		g_autofree guint8 *copy = g_memdup2(f->data, len);
		struct weir_gguf *g = NULL;
		struct weir_error err;
		weir_status status = weir_gguf_open_memory(copy, len, &g, &err);

		g_assert_cmpint(status, ==, WEIR_E_INVALID);
		g_assert_true(len < 28 || strstr(err.text, "truncated"));
	}
}

static void test_mutated(void)
{
	g_autoptr(GByteArray) f = good_file();
	g_autoptr(GRand) rand = g_rand_new_with_seed(20261120);
	guint n_accepted = 0;

	for (guint round = 0; round < 30000; round++) {
		guint len = round % 3 ? f->len : (guint)g_rand_int_range(rand, 0, (gint)f->len + 1);
		g_autofree guint8 *copy = g_memdup2(f->data, len);
		struct weir_gguf *g = NULL;

		for (gint n = g_rand_int_range(rand, 1, 5); n > 0 && len > 0; n--) {
			guint at = (guint)g_rand_int_range(rand, 0, (gint)len);
			guint8 edge[] = { 0, 1, 0x7f, 0x80, 0xff, (guint8)g_rand_int(rand) };

			copy[at] = edge[g_rand_int_range(rand, 0, 6)];
		}
		if (weir_gguf_open_memory(copy, len, &g, NULL) == WEIR_OK) {
			n_accepted++;
			read_everything(g);
			weir_gguf_close(g);
		}
	}
	g_assert_cmpuint(n_accepted, >, 1000); /* the mutations reach past the header's checks */
}

static void assert_open_fails(const char *path, weir_status status, const char *text)
{
	struct weir_gguf *g = NULL;
	struct weir_error err;

	g_assert_cmpint(weir_gguf_open(path, &g, &err), ==, status);
	g_assert_true(g_str_has_prefix(err.text, strrchr(path, '/') + 1));
	g_assert_nonnull(strstr(err.text, text));
	g_assert_null(g);
}

static void test_files(void)
{
	g_autofree char *dir = g_dir_make_tmp("weir-test-gguf-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "m.gguf", NULL);
	g_autoptr(GByteArray) f = good_file();
	struct weir_gguf *g = NULL;
	struct weir_error err;

	assert_open_fails(path, WEIR_E_NOT_FOUND, "No such file");
	assert_open_fails(dir, WEIR_E_INVALID, "directory");
	{ /* A long path leaves room for the reason. */
		g_autofree char *name = g_strnfill(250, 'x');
		g_autofree char *deep = g_strdup_printf("/%s/\xff\n%s", name, name);

		g_assert_cmpint(weir_gguf_open(deep, &g, &err), ==, WEIR_E_NOT_FOUND);
		g_assert_nonnull(strstr(err.text, "No such file"));
		g_assert_true(g_str_has_prefix(err.text, "...xxx"));
		g_assert_cmpint(weir_gguf_open("/a\xff\n.gguf", &g, &err), ==, WEIR_E_NOT_FOUND);
		g_assert_true(g_str_has_prefix(err.text, "a??.gguf: "));
	}
	g_assert_true(g_file_set_contents(path, "", 0, NULL));
	assert_open_fails(path, WEIR_E_INVALID, "empty");
	g_assert_true(g_file_set_contents(path, "key = value\n", -1, NULL));
	assert_open_fails(path, WEIR_E_INVALID, "text file");
	g_unlink(path);
	g_assert_cmpint(mkfifo(path, 0600), ==, 0);
	assert_open_fails(path, WEIR_E_INVALID, "regular file");
	g_unlink(path);
	g_assert_true(g_file_set_contents(path, (const char *)f->data, f->len, NULL));
	g_assert_cmpint(weir_gguf_open(path, &g, &err), ==, WEIR_OK);
	/* clients may read it: no folder */
	g_assert_cmpstr(weir_gguf_path(g), ==, strrchr(path, '/') + 1);
	g_assert_cmpuint(weir_gguf_file_bytes(g), ==, f->len);
	for (size_t i = 0; i < weir_gguf_n_tensors(g); i++)
		g_assert_cmpuint(weir_gguf_tensor_at(g, i)->offset % 64, ==, 0);
	g_assert_cmpuint(read_everything(g), >, 0);
	weir_gguf_close(g);
	g_unlink(path);
	g_rmdir(dir);
}

struct part { /* one file of a split model, with a vector of 8 floats */
	guint32 no, count, total;
	const char *tensor;
};

static char *write_part(const char *dir, const char *name, const struct part *p)
{
	g_autoptr(GByteArray) f = g_byte_array_new();
	char *path = g_build_filename(dir, name, NULL);
	float x[8];

	for (guint i = 0; i < 8; i++)
		x[i] = (float)(100 * p->no + i);
	put_head(f, 3, 1, p->total ? 3 : 2);
	put_key_u32(f, "split.no", p->no);
	put_key_u32(f, "split.count", p->count);
	if (p->total)
		put_key_u32(f, "split.tensors.count", p->total);
	put_vector(f, p->tensor, 8, 0, 0);
	put_padding(f, 32);
	g_byte_array_append(f, (const guint8 *)x, sizeof(x));
	g_assert_true(g_file_set_contents(path, (const char *)f->data, (gssize)f->len, NULL));
	return path;
}

static void test_split(void)
{
	static const char *const names[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
					     "m-00003-of-00003.gguf" };
	static const struct {
		guint which; /* this part is replaced; 3: only the name of the first is another */
		struct part part;
		weir_status status;
		const char *text;
	} cases[] = {
		{ 0, { 0, 3, 3, "a" }, WEIR_OK, NULL },
		{ 0, { 0, 3, 4, "a" }, WEIR_E_INVALID, "hold 3 tensors" },
		{ 0, { 0, 3, 0, "a" }, WEIR_E_INVALID, "without split.tensors.count" },
		{ 0, { 1, 3, 3, "a" }, WEIR_E_INVALID, "name the first part" },
		{ 0, { 0, 2, 3, "a" }, WEIR_E_INVALID, "must be called" },
		{ 0, { 0, 0xffffffff, 3, "a" }, WEIR_E_INVALID, "the limit is 4096" },
		{ 1, { 2, 3, 0, "b" }, WEIR_E_INVALID, "says that it is part 3 of 3" },
		{ 1, { 1, 4, 0, "b" }, WEIR_E_INVALID, "part 2 of 4" },
		{ 1, { 1, 3, 0, "a" }, WEIR_E_INVALID, "'a' is in two parts" },
		{ 2, { 2, 3, 0, "b" }, WEIR_E_INVALID, "'b' is in two parts" },
		{ 2, { 0, 0, 0, NULL }, WEIR_E_NOT_FOUND, "m-00003-of-00003.gguf: part 3 of 3" },
		{ 3, { 0, 3, 3, "a" }, WEIR_E_INVALID, "must be called *-00001-of-00003.gguf" },
	};
	g_autofree char *dir = g_dir_make_tmp("weir-gguf-XXXXXX", NULL);

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct part parts[3] = { { 0, 3, 3, "a" }, { 1, 3, 0, "b" }, { 2, 3, 0, "c" } };
		char *path[3] = { NULL };
		struct weir_gguf *g = NULL;
		struct weir_error err = { 0 };
		weir_status status;

		if (cases[i].which < 3)
			parts[cases[i].which] = cases[i].part;
		for (guint k = 0; k < 3; k++) {
			const char *name = k == 0 && cases[i].which == 3 ? "m.gguf" : names[k];

			if (parts[k].tensor)
				path[k] = write_part(dir, name, &parts[k]);
		}
		status = weir_gguf_open(path[0], &g, &err);
		g_test_message("%s", err.text);
		g_assert_cmpint(status, ==, cases[i].status);
		if (status == WEIR_OK) {
			g_assert_cmpuint(weir_gguf_n_tensors(g), ==, 3);
			for (guint k = 0; k < 3; k++) {
				const struct weir_gguf_tensor *t =
					weir_gguf_tensor(g, parts[k].tensor);

				g_assert_true(t == weir_gguf_tensor_at(g, k));
				float x = 0;

				g_assert_cmpint(weir_gguf_read(t, 28, &x, 4, NULL), ==, WEIR_OK);
				g_assert_cmpfloat(x, ==, (float)(100 * k + 7));
			}
			g_assert_cmpuint(read_everything(g), >, 0);
			weir_gguf_close(g);
		} else {
			g_assert_nonnull(strstr(err.text, cases[i].text));
		}
		for (guint k = 0; k < 3; k++) {
			if (path[k])
				g_unlink(path[k]);
			g_free(g_steal_pointer(&path[k]));
		}
	}
	g_rmdir(dir);
}

/* Published vocabularies open, and their keys are found among many. */
static void test_published(void)
{
	static const char *const names[] = { "bert-bge", "deepseek-coder", "falcon", "gpt-2",
					     "llama-spm" };
	const char *folder = g_getenv("WEIR_TEST_DATA");

	if (!folder)
		folder = "../shared/data";
	for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path =
			g_strdup_printf("%s/vocab/ggml-vocab-%s.gguf", folder, names[i]);
		struct weir_gguf_array a;
		struct weir_gguf *g = NULL;
		struct weir_error err;

		if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
			g_autofree char *why = g_strdup_printf("no %s; set WEIR_TEST_DATA", path);

			g_test_skip(why);
			return;
		}
		if (weir_gguf_open(path, &g, &err) != WEIR_OK)
			g_error("%s", err.text);
		g_assert_cmpint(weir_gguf_get_array(g, "tokenizer.ggml.tokens",
						    WEIR_GGUF_ARRAY_OF_STRINGS, &a, &err),
				==, WEIR_OK);
		g_assert_cmpuint(a.n, >, 30000);
		g_assert_cmpuint(read_everything(g), >, 0);
		weir_gguf_close(g);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/gguf/values", test_values);
	g_test_add_func("/gguf/tensors", test_tensors);
	g_test_add_func("/gguf/types", test_types);
	g_test_add_func("/gguf/broken", test_broken);
	g_test_add_func("/gguf/allowed", test_allowed);
	g_test_add_func("/gguf/truncated", test_truncated);
	g_test_add_func("/gguf/mutated", test_mutated);
	g_test_add_func("/gguf/files", test_files);
	g_test_add_func("/gguf/split", test_split);
	g_test_add_func("/gguf/published", test_published);
	return g_test_run();
}
