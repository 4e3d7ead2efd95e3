/* SPDX-License-Identifier: MIT */
/*
 * model-writer.h - small random models as GGUF files, for tests: right ones, and wrong ones
 * made by changing a right one. The same seed gives the same weights. F32.
 */
#ifndef WEIR_TEST_MODEL_WRITER_H
#define WEIR_TEST_MODEL_WRITER_H

#include <glib.h>

struct model_spec {
	guint32 n_layers, n_embd, n_heads, n_kv_heads, n_ff, n_vocab, n_ctx;
	gboolean tied, biases, factors; /* factors: rope_freqs.weight, or phi3's two */
	guint32 seed;
	const char *arch; /* NULL: llama */
};

extern const struct model_spec model_small; /* 2 layers, 4 heads of 8 over 2, 50 tokens, 128 ctx */

enum { MODEL_EXPERTS = 4 }; /* of a mixture, each 32 wide; 2 are used */

struct model;

struct model *model_new(const struct model_spec *spec);
void model_free(struct model *m);

/* Set or replace a key. */
void model_set_u32(struct model *m, const char *key, guint32 x);
void model_set_f32(struct model *m, const char *key, float x);
void model_set_string(struct model *m, const char *key, const char *x);
void model_set_bool(struct model *m, const char *key, gboolean x);
void model_set_u32s(struct model *m, const char *key, const guint32 *x, guint n);
void model_set_f32s(struct model *m, const char *key, guint n); /* 0, -1, -2 ... */
void model_set_strings(struct model *m, const char *key, const char *const *x, guint n);
void model_drop_key(struct model *m, const char *key);

/* Replace or add a tensor of random numbers; ne1 0: a vector. */
void model_set_tensor(struct model *m, const char *name, guint64 ne0, guint64 ne1);
void model_set_stack(struct model *m, const char *name, guint64 ne0, guint64 ne1, guint64 ne2);
void model_set_type(struct model *m, const char *name, guint32 type); /* keeps the bytes */
float *model_tensor_data(struct model *m, const char *name);          /* to be changed in place */
/* Every matrix whose rows are whole blocks becomes random weights of a type: make() gives the bytes
 * (freed by g_free()), row_bytes() how many a row has. */
void model_fill_matrices(struct model *m, guint32 type, guint32 block,
			 guint8 *(*make)(GRand *rand, guint32 type, gsize n_in, gsize n_out),
			 gsize (*row_bytes)(guint32 type, gsize n_in));
void model_drop_tensor(struct model *m, const char *name);

/* The file's bytes (*ret_header: how many come before the weights, or NULL); a file of its own in
 * the temporary folder, to be unlinked and freed. */
GByteArray *model_bytes(struct model *m, guint *ret_header);
char *model_write(struct model *m);

#endif
