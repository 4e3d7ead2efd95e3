/* SPDX-License-Identifier: MIT */
/*
 * arch.h - one row of data for each model architecture that the graph builder knows.
 *
 * Read by hparams.c, weights.c and graph.c at load. Constant; any thread. A new architecture of the
 * decoder family is a new row here; code is needed only for a flag that does not exist yet.
 */
#ifndef WEIR_TENSOR_ARCH_H
#define WEIR_TENSOR_ARCH_H

#include <weir/draft/device.h>

enum weir_arch_flag {
	WEIR_ARCH_QK_NORM = 1u << 0,       /* RMS norm of each head of q and k before rope */
	WEIR_ARCH_EMBED_SQRT = 1u << 1,    /* embeddings are multiplied by sqrt(n_embd) */
	WEIR_ARCH_QKV_BIAS = 1u << 2,      /* the biases of q, k and v must be there */
	WEIR_ARCH_ROPE_FACTORS = 1u << 3,  /* may hold rope_freqs.weight */
	WEIR_ARCH_OPTIONAL_BIAS = 1u << 4, /* a bias of any projection may be there */
};

struct weir_arch {
	const char *name;         /* general.architecture, and the prefix of the keys */
	uint32_t rope;            /* enum weir_rope */
	uint32_t norm;            /* WEIR_NORM_* */
	uint32_t act;             /* WEIR_ACT_* of the feed-forward gate */
	uint32_t flags;           /* WEIR_ARCH_* */
	const char *norm_eps_key; /* after "<name>." */
};

/* The row of that name, or NULL. */
const struct weir_arch *weir_arch_find(struct weir_str name);

/* All names, for messages: "llama, ...". Static. */
const char *weir_arch_names(void);

#endif
