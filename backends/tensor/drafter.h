/* SPDX-License-Identifier: MIT */
/*
 * drafter.h - a second, smaller model that guesses what the first will draw (speculative decoding:
 * Leviathan et al. 2023, Chen et al. 2023; here a guess must equal the draw, see weir_row.n_draft).
 *
 * It has a KV cache with blocks of the same numbers and sizes as the model's, so the core's block
 * tables serve both: whatever tokens a step computes, the drafter computes after it. It draws with
 * the row's own seed and counter: where the two models agree, so do the draws.
 *
 * Made by backend.c's load; run on the step thread at the end of each step. Guesses are a bonus: if
 * the drafter fails, it says so once in the log, and the model goes on without.
 */
#ifndef WEIR_TENSOR_DRAFTER_H
#define WEIR_TENSOR_DRAFTER_H

#include <weir/backend.h>

#include "cache.h"
#include "host-log.h"

struct weir_drafter;

struct weir_drafter_config { /* pointers must outlive the drafter */
	const struct weir_device *device;
	struct weir_instance *instance;
	const struct weir_host_log *log;
	const char *path;
	const struct weir_gguf *model; /* the one that is served: vocabularies must agree */
	struct weir_cache_plan plan;   /* of that one */
	uint32_t n_vocab, max_rows, max_tokens;
	const int32_t *end_tokens;
	uint32_t n_end;
};

/* Errors: those of reading a model; INVALID: another vocabulary, a shorter context. */
weir_status weir_drafter_new(const struct weir_drafter_config *config, struct weir_drafter **ret,
			     struct weir_error *err);
void weir_drafter_free(struct weir_drafter *d); /* NULL is fine */

/* Bytes of its weights and its cache. */
uint64_t weir_drafter_bytes(const struct weir_drafter *d);

/* After the model's own step: computes what was certain in the batch, and fills n_next, next and
 * next_ns of ret for rows with n_want. [step] */
void weir_drafter_run(struct weir_drafter *d, const struct weir_batch *batch,
		      struct weir_step *ret);

#endif
