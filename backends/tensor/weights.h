/* SPDX-License-Identifier: MIT */
/*
 * weights.h - a model's tensors, found by name, checked, and given to the device.
 *
 * Called by backend.c's load and by free, on a worker; read by graph.c. The file is needed no
 * longer than the load.
 */
#ifndef WEIR_TENSOR_WEIGHTS_H
#define WEIR_TENSOR_WEIGHTS_H

#include "hparams.h"
#include "host-log.h"

/* The tensors of a layer; the file calls them blk.<layer>.<name>. */
enum weir_layer_tensor {
	WEIR_LAYER_ATTN_NORM,
	WEIR_LAYER_Q,
	WEIR_LAYER_K,
	WEIR_LAYER_V,
	WEIR_LAYER_O,
	WEIR_LAYER_Q_BIAS,
	WEIR_LAYER_K_BIAS,
	WEIR_LAYER_V_BIAS,
	WEIR_LAYER_O_BIAS,
	WEIR_LAYER_Q_NORM,
	WEIR_LAYER_K_NORM,
	WEIR_LAYER_FFN_NORM,
	WEIR_LAYER_GATE,
	WEIR_LAYER_UP,
	WEIR_LAYER_DOWN,
	WEIR_LAYER_GATE_BIAS,
	WEIR_LAYER_UP_BIAS,
	WEIR_LAYER_DOWN_BIAS,
	WEIR_LAYER_POST_ATTN_NORM,
	WEIR_LAYER_POST_FFN_NORM,
	WEIR_LAYER_ATTN_NORM_BIAS,
	WEIR_LAYER_ATTN_NORM_2,
	WEIR_LAYER_ATTN_NORM_2_BIAS,
	WEIR_LAYER_FFN_NORM_BIAS,
	WEIR_LAYER_ATTN_SUB_NORM,
	WEIR_LAYER_FFN_SUB_NORM,
	WEIR_LAYER_ROUTER,
	WEIR_LAYER_GATE_EXPERTS, /* the experts' matrices, one after the other */
	WEIR_LAYER_UP_EXPERTS,
	WEIR_LAYER_DOWN_EXPERTS,
	WEIR_LAYER_SHARED_ROUTER,
	WEIR_LAYER_SHARED_GATE,
	WEIR_LAYER_SHARED_UP,
	WEIR_LAYER_SHARED_DOWN,
	WEIR_LAYER_N,
};

/* The matrices that may have a factor of their own: blk.<layer>.<matrix>.scale. y = factor W x + b
 */
enum weir_layer_scale {
	WEIR_SCALE_Q,
	WEIR_SCALE_K,
	WEIR_SCALE_V,
	WEIR_SCALE_O,
	WEIR_SCALE_GATE,
	WEIR_SCALE_UP,
	WEIR_SCALE_DOWN,
	WEIR_SCALE_N,
};

struct weir_layer {
	weir_buffer *tensor[WEIR_LAYER_N]; /* NULL: the model has none */
	/* 1: none; finite and never 0. Biases are given to the device divided by it, since LINEAR's
	 * factor multiplies them too. */
	float scale[WEIR_SCALE_N];
};

struct weir_weights {
	const struct weir_device *device;
	struct weir_instance *instance;
	uint32_t n_layers;
	struct weir_layer *layers;
	weir_buffer *token_embd, *output_norm;
	weir_buffer *position_embd, *output_norm_bias, *output_bias; /* or NULL */
	weir_buffer *output;                 /* token_embd when the two are tied */
	weir_buffer *rope_freqs;             /* or NULL */
	weir_buffer *rope_long, *rope_short; /* LongRoPE's factors, or both NULL */
	float output_scale;                  /* as a layer's */
	uint64_t n_params, n_bytes;
	uint32_t main_type; /* the matrices' most frequent type, by bytes: WEIR_DTYPE_* */
};

/* Checks all tensors first, then hands them over one by one, with progress in the log. Errors:
 * INVALID (missing, of another shape: name, expected and found), UNSUPPORTED (a tensor that this
 * architecture does not have here, or a type that the device cannot take), UNAVAILABLE (the file
 * cannot be read, or was changed meanwhile), and the device's own. Needs g no longer when it is
 * done; on failure nothing stays behind. */
weir_status weir_weights_load(const struct weir_gguf *g, const struct weir_hparams *h,
			      const struct weir_device *device, struct weir_instance *instance,
			      const struct weir_host_log *log, struct weir_weights **ret,
			      struct weir_error *err);

void weir_weights_free(struct weir_weights *w); /* NULL is fine */

#endif
