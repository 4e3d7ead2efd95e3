/* SPDX-License-Identifier: MIT */
/*
 * mix.h - which tensor of a model gets which type: `weir model quantize`'s names. Pure.
 */
#ifndef WEIR_CPU_MIX_H
#define WEIR_CPU_MIX_H

#include "gguf.h"

struct mix {
	const char *name;   /* "Q4_K_M" */
	uint32_t base;      /* of most matrices */
	uint32_t file_type; /* general.file_type */
	/* Of attn_v and ffn_down, which bear rounding worst: in every third layer, the first and
	 * the last eighth; and in the others. Of attn_output, and of the matrix of the logits. */
	uint32_t better, rest, attn_output, output;
};

/* By name, whatever the case; NULL: none. */
const struct mix *mix_find(const char *name);

/* All names, for messages. Static. */
const char *mix_names(void);

struct mix_wish {
	const struct mix *mix;
	uint32_t embedding, output; /* UINT32_MAX: as the mix says */
	const char *keep;           /* patterns with * and ?, separated by commas; or NULL */
	uint32_t n_layers;
	bool tied; /* token_embd makes the logits too */
};

/* The type that tensor t gets; t->type: it stays as it is. A row that is no whole number of blocks
 * gets the nearest type that has such rows; *ret_fell_back says so. */
uint32_t mix_type(const struct mix_wish *w, const struct weir_gguf_tensor *t, bool *ret_fell_back);

#endif
