/* SPDX-License-Identifier: MIT */
/*
 * sampler.h - draws one token from one row of logits.
 *
 * Called by step.c for every row that wants output; a struct weir_sampler is scratch memory for one
 * thread at a time, nothing in it outlives a draw. The result depends on the arguments alone: not
 * on other rows, threads or earlier draws. Same seed, same history, same logits: same token.
 *
 * Order (temperature first, as OpenAI-compatible servers such as vLLM do, so that top_p and min_p
 * see the distribution that is drawn from):
 *   1. mask, end tokens (no_end)                         banned tokens are out for good
 *   2. repetition penalty, then presence and frequency   over the window repeat_last_n
 *   3. logit bias                                        <= -100 bans, >= 100: only such tokens;
 *      left out where it would leave nothing of what the mask allows: a grammar goes on
 *   4. temperature 0: the largest logit, on ties the lowest id; else division by temperature
 *   5. top_k, typical_p, top_p, min_p, each on what the one before left, renormalised
 *   6. the draw: Philox4x32-10 keyed by the seed at counter n_history
 * On ties of probability at the edge of a filter the lower id stays.
 *
 * The window holds the last repeat_last_n tokens of the history (0: none, negative: all). The
 * repetition penalty (Keskar et al. 2019) counts prompt and output in it, presence and frequency
 * (OpenAI) count output only.
 *
 * Numbers in weir_sampling are a client's: what is outside of its range switches the step off or is
 * clamped, never an error. Logits of minus infinity are banned tokens.
 */
#ifndef WEIR_TENSOR_SAMPLER_H
#define WEIR_TENSOR_SAMPLER_H

#include <weir/backend.h>

struct weir_sampler;

weir_status weir_sampler_new(uint32_t n_vocab, struct weir_sampler **ret, struct weir_error *err);

void weir_sampler_free(struct weir_sampler *s); /* NULL is fine */

struct weir_draw {
	const float *logits; /* [n_vocab], never changed */
	const struct weir_sampling *sampling;
	const int32_t *history; /* [n_history]; ids out of range are passed over */
	uint32_t n_history, n_prompt;
	uint64_t seed;
	const uint32_t *mask;      /* as weir_row.mask, or NULL */
	const int32_t *end_tokens; /* [n_end]: not to be drawn */
	uint32_t n_end;
};

struct weir_drawn {
	int32_t token;
	float logprob;       /* of the unmodified logits; NaN unless sampling->logprobs */
	struct weir_top top; /* first top_logprobs slots, then -1; unmodified logits */
};

/* How likely a token is by the unmodified logits, and the n_top (at most 20) most likely ones. *ret
 * has a logprob that is no number where the logits are none. Pure: no struct is needed. */
void weir_sampler_score(const float *logits, uint32_t n_vocab, int32_t token, uint32_t n_top,
			struct weir_score *ret, struct weir_top *ret_top);

/* Errors: INVALID (no token is allowed), INTERNAL (logits that are NaN or plus infinity). */
weir_status weir_sampler_draw(struct weir_sampler *s, const struct weir_draw *draw,
			      struct weir_drawn *ret, struct weir_error *err);

#endif
