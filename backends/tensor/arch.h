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
	WEIR_ARCH_FUSED_QKV = 1u << 5,     /* q, k, v are rows of attn_qkv, or by themselves */
	WEIR_ARCH_FUSED_GATE = 1u << 6,    /* gate and up are rows of ffn_up */
	WEIR_ARCH_LONGROPE = 1u << 7,      /* may hold rope_factors_long and _short.weight */
	WEIR_ARCH_POST_NORM = 1u << 8,     /* what a layer's halves add is normed before */
	WEIR_ARCH_BIAS = 1u << 9,          /* every projection of a layer must have a bias */
	WEIR_ARCH_NORM_BIAS = 1u << 10,    /* every norm of the stream must have a bias */
	WEIR_ARCH_PLAIN_FF = 1u << 11,     /* feed-forward without a gate: down . act(up . x) */
	/* Attention and feed-forward read the same stream, and both are added to it. */
	WEIR_ARCH_PARALLEL = 1u << 12,
	/* With PARALLEL: one norm, attn_norm, for both; attn_norm_2, if there, is attention's. */
	WEIR_ARCH_ONE_NORM = 1u << 13,
	WEIR_ARCH_POSITIONS = 1u << 14,    /* learned position_embd.weight, and no rope */
	WEIR_ARCH_SUB_NORM = 1u << 15,     /* attention's and the gate's result is normed */
	WEIR_ARCH_OUTPUT_BIAS = 1u << 17,  /* output.bias must be there */
	WEIR_ARCH_EXPERTS = 1u << 18,      /* may be a mixture of experts */
	WEIR_ARCH_EXPERTS_NORM = 1u << 19, /* the chosen experts' shares add up to 1 */
	WEIR_ARCH_SHARED_GATE = 1u << 20,  /* a shared expert beside them, with a sigmoid gate */
	WEIR_ARCH_FACTORS = 1u << 21,      /* keys embedding_scale, residual_scale, logit_scale */
	/* Models that only encode: encoder-weights.h, graph-encoder.h. */
	WEIR_ARCH_ENCODER = 1u << 28,
	WEIR_ARCH_ENCODER_ROPE = 1u << 29, /* instead of a table of positions */
	WEIR_ARCH_ENCODER_GATE = 1u << 30, /* a gated feed-forward */
};

struct weir_arch {
	const char *name;         /* general.architecture, and the prefix of the keys */
	uint32_t rope;            /* enum weir_rope */
	uint32_t norm;            /* WEIR_NORM_* */
	uint32_t act;             /* WEIR_ACT_* of the feed-forward */
	uint32_t flags;           /* WEIR_ARCH_* */
	const char *norm_eps_key; /* after "<name>." */
	/* Local layers have a sliding window; see hparams.h for the period. 0: all are alike. */
	uint32_t local_period;
	float local_rope_base; /* 0: that of the other layers, scaling included */
	/* Where the file does not say: */
	uint32_t window;
	float attn_softcap, output_softcap;
	/* A model of so many layers scales scores by 1/sqrt(n_embd / n_heads) rather than by
	 * 1/sqrt(head size): its files do not say so. 0: none. */
	uint32_t embd_scaled_layers;
	uint32_t no_rope_period; /* the last layer of a period has no rope; 0: all have it */
};

/* The row of that name, or NULL. */
const struct weir_arch *weir_arch_find(struct weir_str name);

/* All names, for messages: "llama, qwen2, ...". Static. */
const char *weir_arch_names(void);

#endif
