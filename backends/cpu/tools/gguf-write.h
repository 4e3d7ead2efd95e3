/* SPDX-License-Identifier: MIT */
/*
 * gguf-write.h - a new GGUF file from another one: its keys, and tensors of the same names in
 * perhaps other types. [main]
 *
 * The file comes into being under a name of its own beside the wanted one and is renamed when all
 * of it has arrived; until then, and after any failure, nothing of that name is touched or left.
 */
#ifndef WEIR_CPU_GGUF_WRITE_H
#define WEIR_CPU_GGUF_WRITE_H

#include "gguf.h"

struct gguf_writer;

/* types[i]: of tensor i of g. Makes room for the whole file at once where the file system can, so
 * that a full disk is known before the work. g stays open until close. Errors: INVALID (path exists
 * and not `replace`), EXHAUSTED (no space, no memory), DENIED, UNAVAILABLE. */
weir_status gguf_writer_new(const char *path, bool replace, const struct weir_gguf *g,
			    const uint32_t *types, uint32_t file_type, struct gguf_writer **ret,
			    struct weir_error *err);

/* The next bytes of tensor after tensor, as they come; padding is put between by tensor_end(). */
weir_status gguf_writer_put(struct gguf_writer *w, const void *data, size_t n,
			    struct weir_error *err);
weir_status gguf_writer_tensor_end(struct gguf_writer *w, struct weir_error *err);

/* The whole file is there: gives it its name. */
weir_status gguf_writer_finish(struct gguf_writer *w, struct weir_error *err);

/* Without finish() before: takes everything away. NULL is fine. */
void gguf_writer_free(struct gguf_writer *w);

uint64_t gguf_writer_bytes(const struct gguf_writer *w); /* of the whole file */

#endif
