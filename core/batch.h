/*
 * core/batch.h - what goes into the next step: continuous batching over paged KV memory.
 *
 * plan() gives every sequence its share, in this order: one token for each that decodes; chunks of
 * prompts while the step's budget of tokens lasts; sequences that had lost their blocks, if these
 * suffice again. Within each, higher priority first, then who was admitted first. When blocks run
 * out, sequences without credit lose theirs first, then the lowest and youngest: those are computed
 * again later, so no token is lost. The first in order can always go on: nothing can starve.
 *
 * When a step holds nothing but rows that draw, what room is left may go to guesses of their next
 * tokens (guess.h); nobody loses anything for a guess.
 *
 * Only the scheduler's thread calls. All arrays are made once; a step allocates nothing.
 */
#ifndef WEIR_CORE_BATCH_H
#define WEIR_CORE_BATCH_H

#include "sequence.h"

struct weir_batcher {
	struct weir_blocks *blocks;
	uint32_t max_rows, max_tokens, n_blocks;
	uint32_t max_guesses; /* of a step; 0: guesses are never made */
	uint32_t max_scores;  /* tokens of a step in rows that are scored */
	uint32_t longest;     /* positions of a sequence */
	bool asks;            /* the backend makes guesses itself */
	GPtrArray *live;      /* struct weir_sequence, admitted and not done, in order */
	GArray *gone;         /* uint64_t: numbers that the backend may forget */
	uint64_t next_number;

	/* Of the step being planned. */
	uint32_t n_rows, budget, score_budget;
	bool short_of_blocks; /* somebody had to give up blocks, or could not come back */
	uint64_t n_preempted, n_recomputed; /* ever */
	uint64_t n_drafts, n_guesses,
		n_right; /* ever: rows with guesses, these, those that were so */
	uint64_t n_right_at[WEIR_MAX_DRAFT];
	struct weir_pace pace;
	double offer_s; /* what a guess of the backend takes to make, on average */

	/* Of the step that was built. */
	int32_t *tokens, *targets;
	struct weir_row *rows;
	struct weir_sequence **row_of; /* the sequence of each row */
	uint32_t *copies;
	uint32_t n_copies_cap;
};

weir_status weir_batcher_new(const struct weir_model *, struct weir_batcher **ret,
			     struct weir_error *err);
void weir_batcher_free(struct weir_batcher *);

/* Counts blocks that n tokens fill. */
uint32_t weir_batcher_blocks_for(const struct weir_batcher *, uint32_t n_tokens);
void weir_batcher_plan(struct weir_batcher *);
/* Can a request of so many tokens be let in beside what runs? May take blocks away from
 * sequences that have no credit. */
bool weir_batcher_fits(struct weir_batcher *, uint32_t n_tokens);
/* An admitted job joins, and gets its share of the step being planned. */
void weir_batcher_add(struct weir_batcher *, struct weir_job *);
/* A sequence is over: blocks back, out of the list. */
void weir_batcher_remove(struct weir_batcher *, struct weir_sequence *);
/* Takes a sequence's blocks: it will be computed again when there is room and credit. */
void weir_batcher_preempt(struct weir_batcher *, struct weir_sequence *);
/* Guesses for the rows of the plan, where they pay. Last, before build(). */
void weir_batcher_guess(struct weir_batcher *);
/* The step took so long: what guesses cost is learnt from it. */
void weir_batcher_timed(struct weir_batcher *, const struct weir_batch *, const struct weir_step *,
			int64_t ns);
/* What of the guesses of each row was right, before done(). */
void weir_batcher_judge(struct weir_batcher *, const struct weir_batch *, const struct weir_step *);
/* The batch of what was planned, lent until the next plan(). False: nothing to do. */
bool weir_batcher_build(struct weir_batcher *, struct weir_batch *ret);
/* The backend's own guesses, once the draws have joined the sequences. */
void weir_batcher_offer(struct weir_batcher *, const struct weir_batch *, const struct weir_step *);
/* The step has been computed: rows advance, copies are done, `gone` has been heard. */
void weir_batcher_done(struct weir_batcher *, const struct weir_batch *);

#endif
