/* SPDX-License-Identifier: MIT */
/*
 * graph-encoder.h - an encoder as a program for a device: BERT's post-norm layers over all tokens
 * of a batch of texts, without a cache.
 *
 * Called once by backend.c's load, on a worker. Where one row of a text is all that pooling wants,
 * the last layer computes only these rows (GATHER) from its attention on.
 */
#ifndef WEIR_TENSOR_GRAPH_ENCODER_H
#define WEIR_TENSOR_GRAPH_ENCODER_H

#include "encoder-weights.h"

struct weir_graph_encoder_limits {
	uint32_t max_tokens, max_rows;
	uint32_t pooling; /* enum weir_pooling */
};

/* *ret_output: the OUTPUT tensor, n_embd wide and of all tokens with pooling MEAN, else of the
 * batch's out_rows; with RANK one number each. Errors: as weir_graph_build(). */
weir_status weir_graph_encoder_build(const struct weir_hparams *h,
				     const struct weir_encoder_weights *w,
				     const struct weir_graph_encoder_limits *limits,
				     weir_program **ret_program, uint32_t *ret_output,
				     struct weir_error *err);

#endif
