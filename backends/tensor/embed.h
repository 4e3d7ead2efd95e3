/* SPDX-License-Identifier: MIT */
/*
 * embed.h - runs a program that embeds on batches of texts, and pools what comes out.
 *
 * Made and freed by backend.c; run on the step's thread. A text's vector has the same bits alone
 * and in any company.
 */
#ifndef WEIR_TENSOR_EMBED_H
#define WEIR_TENSOR_EMBED_H

#include <weir/backend.h>
#include <weir/draft/device.h>

#include "gguf.h"

#define WEIR_EMBED_ROWS 64u /* texts in one run of the program */

/* What "<arch>.pooling_type" says; `otherwise` when it is absent, 0 (none) or unknown. */
uint32_t weir_embed_pooling(const struct weir_gguf *g, const char *arch, uint32_t otherwise);

struct weir_embed_config { /* pointers must outlive it */
	const struct weir_device *device;
	struct weir_instance *instance;
	weir_program *program; /* of at most WEIR_EMBED_ROWS sequences and outputs */
	uint32_t output;       /* tensor: of all tokens with MEAN, else of the outputs */
	uint32_t n_dim;        /* of a row of it */
	uint32_t n_vocab;
	uint32_t max_tokens; /* of a text */
	uint32_t max_batch;  /* tokens in one run, at least max_tokens */
	uint32_t pooling;    /* enum weir_pooling */
	int32_t sep; /* what follows the first of these is of type 1; -1: all is of type 0 */
};

struct weir_embed;

weir_status weir_embed_new(const struct weir_embed_config *config, struct weir_embed **ret,
			   struct weir_error *err);
void weir_embed_free(struct weir_embed *e); /* NULL is fine; the program stays */

/* As weir_embedder.embed. Vectors have length 1 but for RANK's. [step] */
weir_status weir_embed_run(struct weir_embed *e, const int32_t *tokens, const uint32_t *first,
			   uint32_t n_texts, float *ret, struct weir_error *err);

#endif
