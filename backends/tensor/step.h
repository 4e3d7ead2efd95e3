/* SPDX-License-Identifier: MIT */
/*
 * step.h - one step: the core's batch to the device's, the run, and sampling.
 *
 * Made by backend.c's load; run on the step thread, never twice at once. All memory is taken in
 * new(): a step allocates nothing.
 */
#ifndef WEIR_TENSOR_STEP_H
#define WEIR_TENSOR_STEP_H

#include <weir/backend.h>
#include <weir/draft/device.h>

struct weir_stepper;

struct weir_stepper_config { /* pointers must outlive the stepper */
	const struct weir_device *device;
	struct weir_instance *instance;
	weir_program *program;
	weir_program *adapted;           /* for steps with adapters; NULL when n_adapters is 0 */
	uint32_t logits, adapted_logits; /* the programs' output tensors */
	uint32_t n_adapters;
	uint32_t n_vocab, n_ctx, block_tokens, n_blocks, max_rows, max_tokens;
	/* Of a step. The program has max_rows + max_guesses + max_scores outputs. */
	uint32_t max_guesses, max_scores;
	const int32_t *end_tokens;
	uint32_t n_end;
	struct weir_drafter *drafter; /* or NULL */
};

weir_status weir_stepper_new(const struct weir_stepper_config *config, struct weir_stepper **ret,
			     struct weir_error *err);

void weir_stepper_free(struct weir_stepper *s); /* NULL is fine */

/* As weir_backend_step.step. The batch comes from the core and is checked all the same: what does
 * not fit the model's limits is INVALID and nothing runs. Rows without an answer of their own (all
 * tokens banned, logits that are not numbers) get token -1 and ret->error; without ret->error they
 * fail the step. CANCELLED after interrupt. [step] */
weir_status weir_stepper_run(struct weir_stepper *s, const struct weir_batch *batch,
			     struct weir_step *ret, struct weir_error *err);

#endif
