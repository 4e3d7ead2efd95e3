/* SPDX-License-Identifier: MIT */
/*
 * graph.h - a model as a program for a device: the list of its operations over its tensors.
 *
 * Called by backend.c's load, on a worker, and for embeddings by embedder.c, on the step's thread
 * too. Row counts stay symbolic: one program serves every batch. A layer is eight operations (norm,
 * q k v, rope and cache, attention, output + residual, norm, gated feed-forward, down + residual),
 * two more where output and down are normed before they are added; the last layer keeps only the
 * rows whose logits are wanted from its attention on, since nothing later reads the others.
 */
#ifndef WEIR_TENSOR_GRAPH_H
#define WEIR_TENSOR_GRAPH_H

#include "cache.h"
#include "lora.h"
#include "weights.h"

struct weir_graph_limits {
	uint32_t max_tokens, max_rows, max_out;
	uint32_t n_ctx; /* of a sequence, at most */
};

/* lora: the adapters that the program has, or NULL: none. Builds the list, asks the device whether
 * it supports each operation, and compiles it. *ret_logits is the OUTPUT tensor of n_vocab for
 * output(). Errors: UNSUPPORTED (names the operation and the layer), EXHAUSTED, and the device's
 * own. */
weir_status weir_graph_build(const struct weir_hparams *h, const struct weir_weights *w,
			     const struct weir_cache *cache, const struct weir_lora *lora,
			     const struct weir_graph_limits *limits, weir_program **ret_program,
			     uint32_t *ret_logits, struct weir_error *err);

/* The same layers for texts that come whole: without a cache, without adapters, and it ends at the
 * output norm. *ret_output is an OUTPUT tensor of n_embd, of all tokens with pooling MEAN (enum
 * weir_pooling), else of the batch's out_rows. ret_program NULL: only asks whether the device
 * supports it, and *ret_output stays. Errors: as above. */
weir_status weir_graph_build_embed(const struct weir_hparams *h, const struct weir_weights *w,
				   const struct weir_graph_limits *limits, uint32_t pooling,
				   weir_program **ret_program, uint32_t *ret_output,
				   struct weir_error *err);

#endif
