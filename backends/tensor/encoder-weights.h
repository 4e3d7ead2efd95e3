/* SPDX-License-Identifier: MIT */
/*
 * encoder-weights.h - the tensors of a model that only encodes, found by name, checked, and given
 * to the device: BERT and its descendants.
 *
 * Called by backend.c's load and by free, on a worker; read by graph-encoder.c. The file is needed
 * no longer than the load.
 */
#ifndef WEIR_TENSOR_ENCODER_WEIGHTS_H
#define WEIR_TENSOR_ENCODER_WEIGHTS_H

#include "hparams.h"
#include "host-log.h"

/* Of a layer; the file calls them blk.<layer>.<name>. */
enum weir_encoder_layer_tensor {
	WEIR_ENCODER_Q,
	WEIR_ENCODER_K,
	WEIR_ENCODER_V,
	WEIR_ENCODER_Q_BIAS,
	WEIR_ENCODER_K_BIAS,
	WEIR_ENCODER_V_BIAS,
	WEIR_ENCODER_O,
	WEIR_ENCODER_O_BIAS,
	WEIR_ENCODER_ATTN_NORM,
	WEIR_ENCODER_ATTN_NORM_BIAS,
	WEIR_ENCODER_GATE,
	WEIR_ENCODER_UP,
	WEIR_ENCODER_UP_BIAS,
	WEIR_ENCODER_DOWN,
	WEIR_ENCODER_DOWN_BIAS,
	WEIR_ENCODER_OUT_NORM,
	WEIR_ENCODER_OUT_NORM_BIAS,
	WEIR_ENCODER_LAYER_N,
};

/* Of the whole model. */
enum weir_encoder_tensor {
	WEIR_ENCODER_TOKENS,
	WEIR_ENCODER_TYPES,     /* or NULL */
	WEIR_ENCODER_POSITIONS, /* NULL with rope */
	WEIR_ENCODER_EMBD_NORM,
	WEIR_ENCODER_EMBD_NORM_BIAS,
	WEIR_ENCODER_CLS, /* these four: with pooling RANK only; CLS and its bias may be NULL */
	WEIR_ENCODER_CLS_BIAS,
	WEIR_ENCODER_SCORE,
	WEIR_ENCODER_SCORE_BIAS, /* or NULL */
	WEIR_ENCODER_N,
};

struct weir_encoder_layer {
	weir_buffer *tensor[WEIR_ENCODER_LAYER_N]; /* NULL: the model has none */
};

struct weir_encoder_weights {
	const struct weir_device *device;
	struct weir_instance *instance;
	uint32_t n_layers;
	uint32_t n_types, n_positions; /* rows of their tables; n_positions 0: rope */
	struct weir_encoder_layer *layers;
	weir_buffer *tensor[WEIR_ENCODER_N];
	uint64_t n_params, n_bytes;
	uint32_t main_type; /* the matrices' most frequent type, by bytes: WEIR_DTYPE_* */
};

/* As weir_weights_load(). rank: the head of a cross-encoder is wanted as well. */
weir_status weir_encoder_weights_load(const struct weir_gguf *g, const struct weir_hparams *h,
				      bool rank, const struct weir_device *device,
				      struct weir_instance *instance,
				      const struct weir_host_log *log,
				      struct weir_encoder_weights **ret, struct weir_error *err);

void weir_encoder_weights_free(struct weir_encoder_weights *w); /* NULL is fine */

#endif
