/* SPDX-License-Identifier: MIT */
/*
 * hparams.h - a model's numbers, read from its GGUF file and checked.
 *
 * Called once by backend.c's load, on a worker. What comes out holds: every count is at least 1 and
 * within the limits below (those of experts may be 0), n_heads is a multiple of n_kv_heads,
 * rope_size is even and at most head_size (0: no rope), every float is finite, and no product of
 * two of the counts overflows 64 bits.
 */
#ifndef WEIR_TENSOR_HPARAMS_H
#define WEIR_TENSOR_HPARAMS_H

#include "arch.h"
#include "gguf.h"

/* Far above every model that is known, and small enough for products to fit. */
#define WEIR_MAX_LAYERS    4096u
#define WEIR_MAX_EMBD      (1u << 20)
#define WEIR_MAX_FF        (1u << 24)
#define WEIR_MAX_HEADS     (1u << 16)
#define WEIR_MAX_HEAD_SIZE (1u << 12)
#define WEIR_MAX_VOCAB     (1u << 24)
#define WEIR_MAX_CTX       (1u << 27)
#define WEIR_MAX_EXPERTS   1024u

struct weir_hparams_rope {
	uint32_t size;     /* elements of a head that turn */
	uint32_t orig_ctx; /* YaRN; beyond it the long factors of LongRoPE are taken */
	float base;
	float scale; /* 1 / factor */
	float ext;   /* YaRN's extrapolation mix; 0: none */
	float attn;  /* multiplies cos and sin, YaRN's magnitude included */
	float beta_fast, beta_slow;
};

struct weir_hparams {
	const struct weir_arch *arch;
	uint32_t n_layers, n_embd, n_ff, n_vocab;
	uint32_t n_heads, n_kv_heads, head_size; /* head_size: of q, k and v */
	uint32_t n_ctx;                          /* what the model was trained for */
	uint32_t window;       /* sliding window of local layers' attention; 0: none */
	uint32_t local_period; /* the last layer of a period is not local; 0: all are local */
	float norm_eps;
	float embed_scale;    /* multiplies embeddings */
	float attn_scale;     /* multiplies q k^T */
	float attn_softcap;   /* 0: none */
	float output_softcap; /* 0: none */
	float residual_scale; /* multiplies what a layer's halves add */
	float logit_scale;    /* multiplies logits */
	/* Mixture of experts, 0: none. n_ff is then that of no matrix. */
	uint32_t n_experts, n_experts_used;
	uint32_t n_ff_expert, n_ff_shared; /* n_ff_shared 0: no shared expert */
	float expert_scale;                /* multiplies what the experts add */
	bool expert_norm;                  /* the shares of the chosen ones add up to 1 */
	bool parallel;                     /* see WEIR_ARCH_PARALLEL */
	bool fused_qkv;                    /* see WEIR_ARCH_FUSED_QKV */
	struct weir_hparams_rope rope, local_rope;
	bool tied; /* output.weight is absent: token_embd.weight serves twice */
};

static inline bool weir_hparams_is_local(const struct weir_hparams *h, uint32_t layer)
{
	return h->local_period == 0 || layer % h->local_period < h->local_period - 1;
}

static inline bool weir_hparams_has_rope(const struct weir_hparams *h, uint32_t layer)
{
	uint32_t period = h->arch->no_rope_period;

	return h->rope.size > 0 && (period == 0 || (layer + 1) % period != 0);
}

/* Errors: INVALID (missing or impossible numbers: the key, the value and the bound are named),
 * UNSUPPORTED (another architecture, layers of different shapes, a rope scaling
 * that is not known: what is supported is named). */
weir_status weir_hparams_read(const struct weir_gguf *g, struct weir_hparams *ret,
			      struct weir_error *err);

#endif
