/* SPDX-License-Identifier: MIT */
/*
 * options.h - what a profile can say about a tensor backend. Read on main, at create().
 */
#ifndef WEIR_TENSOR_OPTIONS_H
#define WEIR_TENSOR_OPTIONS_H

#include <weir/plugin.h>

struct weir_lora_conf { /* name=path[:scale] */
	char *name, *path;
	float scale;
};

struct weir_tensor_conf {
	char *model;               /* path; free() it */
	uint32_t n_ctx;            /* 0: the model's */
	uint32_t max_sequences;    /* in a step */
	uint32_t max_batch_tokens; /* in a step, at least max_sequences */
	uint32_t block_tokens;     /* a power of two */
	uint32_t kv_type;          /* WEIR_DTYPE_* */
	uint32_t guesses;          /* in a step */
	char *draft_model;         /* NULL: none */
	uint64_t kv_memory;        /* bytes; 0: derived */
	struct weir_lora_conf *lora;
	uint32_t n_lora;
};

/* Keys that are not ours are ignored. Errors: INVALID with param set to the key. */
weir_status weir_tensor_conf_read(const struct weir_kv *conf, size_t n_conf,
				  struct weir_tensor_conf *ret, struct weir_error *err);

void weir_tensor_conf_clear(struct weir_tensor_conf *conf);

#endif
