/* SPDX-License-Identifier: MIT */
/*
 * embedder.h - weir.embedder/1 of a loaded model: encoders, which do nothing else, and decoders,
 * whose program for embeddings is compiled when the first text comes.
 *
 * Made and freed by backend.c (load on a worker, free on main); info() on any thread once it is
 * made, run() on the step's. A decoder's embeddings cost nothing until they are asked for.
 */
#ifndef WEIR_TENSOR_EMBEDDER_H
#define WEIR_TENSOR_EMBEDDER_H

#include <weir/backend.h>

#include "hparams.h"
#include "host-log.h"
#include "weights.h"

struct weir_tensor_embedder;

struct weir_tensor_embedder_config { /* lent for the call; what it points to outlives the embedder
				      */
	const struct weir_gguf *gguf;
	const struct weir_hparams *hparams;
	const struct weir_device *device;
	struct weir_instance *instance;
	const struct weir_host_log *log;
	uint32_t n_ctx;            /* what the profile asks for; 0: what the model can do */
	uint32_t max_batch_tokens; /* as the profile says; a longer text is a batch by itself */
	int32_t sep;               /* the vocabulary's separator, -1: none */
};

/* Loads an encoder's weights and compiles its program. Errors: as weir_encoder_weights_load() and
 * weir_graph_encoder_build(). */
weir_status weir_tensor_embedder_encoder(const struct weir_tensor_embedder_config *c,
					 struct weir_tensor_embedder **ret, struct weir_error *err);

/* For a decoder whose weights are loaded; w outlives the embedder, c->n_ctx is its sequences'
 * length. Pooling is what the file says; else the last token's row where texts end with an end
 * token, else the mean. A text has at most 8192 tokens, or a step's if these are more.
 * Errors: UNSUPPORTED (the device lacks an operation, or the file asks for scores), EXHAUSTED. */
weir_status weir_tensor_embedder_decoder(const struct weir_tensor_embedder_config *c,
					 const struct weir_weights *w,
					 struct weir_tensor_embedder **ret, struct weir_error *err);

void weir_tensor_embedder_free(struct weir_tensor_embedder *e); /* NULL is fine */

void weir_tensor_embedder_info(const struct weir_tensor_embedder *e,
			       struct weir_embedder_info *ret);

/* As weir_embedder.embed. */
weir_status weir_tensor_embedder_run(struct weir_tensor_embedder *e, const int32_t *tokens,
				     const uint32_t *first, uint32_t n_texts, float *ret,
				     struct weir_error *err);

/* Of an encoder, for the log and for status. */
uint64_t weir_tensor_embedder_bytes(const struct weir_tensor_embedder *e);
uint64_t weir_tensor_embedder_params(const struct weir_tensor_embedder *e);
uint32_t weir_tensor_embedder_type(const struct weir_tensor_embedder *e);

#endif
