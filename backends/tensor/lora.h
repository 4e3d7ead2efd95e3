/* SPDX-License-Identifier: MIT */
/*
 * lora.h - low-rank adapters (Hu et al. 2021), read from GGUF files beside the model's.
 *
 * Made by backend.c's load on a worker after the weights, read by graph.c. Format: general.type
 * "adapter", adapter.type "lora", adapter.lora.alpha, and for each matrix W of the model two
 * tensors, W.lora_a [rank][n_in] and W.lora_b [n_out][rank]; what is added is scale * alpha / rank
 * (alpha 0: scale) times B A x.
 */
#ifndef WEIR_TENSOR_LORA_H
#define WEIR_TENSOR_LORA_H

#include "host-log.h"
#include "options.h"
#include "weights.h"

#define WEIR_MAX_ADAPTERS 64u
#define WEIR_MAX_RANK     4096u

/* The matrices that an adapter may change. */
enum weir_lora_place {
	WEIR_LORA_Q,
	WEIR_LORA_K,
	WEIR_LORA_V,
	WEIR_LORA_O,
	WEIR_LORA_GATE,
	WEIR_LORA_UP,
	WEIR_LORA_DOWN,
	WEIR_LORA_OUTPUT, /* of layer n_layers */
	WEIR_LORA_N,
};

struct weir_lora_pair {
	weir_buffer *a, *b; /* NULL, both: the adapter leaves this matrix alone */
	float scale;
};

struct weir_lora;

/* Opens and checks the files in the order of the configuration, and hands their matrices to the
 * device. *ret is NULL when none is configured. Errors: those of weir_gguf_open(), INVALID (no
 * adapter; one for another model: the tensor, expected and found), UNSUPPORTED (a place that cannot
 * be adapted); the adapter is named. */
weir_status weir_lora_load(const struct weir_tensor_conf *conf, const struct weir_hparams *h,
			   const struct weir_device *device, struct weir_instance *instance,
			   const struct weir_host_log *log, struct weir_lora **ret,
			   struct weir_error *err);

void weir_lora_free(struct weir_lora *l); /* NULL is fine */

uint32_t weir_lora_n(const struct weir_lora *l); /* 0 for NULL */

/* The name of adapter i (0..), or NULL past the last one. */
const char *weir_lora_name(const struct weir_lora *l, uint32_t i);

/* Never NULL; i, layer (n_layers: the output's) and place in range. */
const struct weir_lora_pair *weir_lora_pair(const struct weir_lora *l, uint32_t i, uint32_t layer,
					    enum weir_lora_place place);

/* Bytes of all adapters' matrices, as in the files. */
uint64_t weir_lora_bytes(const struct weir_lora *l);

#endif
