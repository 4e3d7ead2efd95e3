/*
 * core/scheduler.h - turns a level-B backend (step) into streams: one thread for each backend.
 *
 * The thread loads the model, then runs steps as long as there is work: it lets requests in, plans
 * a batch (batch.h), calls step(), hands out tokens and rings every loop once. Requests are
 * prepared by the workers that bring them (scheduler-prompt.c).
 */
#ifndef WEIR_CORE_SCHEDULER_H
#define WEIR_CORE_SCHEDULER_H

#include <weir/backend.h>
#include <weir/tokenizer.h>

#include "core.h"
#include "stream.h"

struct weir_scheduler;

struct weir_scheduler_options {
	const struct weir_core *core;
	const char *name;       /* of the instance; lent until free */
	const char *model_name; /* label of the metrics; NULL: what load() says */
	struct weir_instance *instance;
	const struct weir_backend_step *calls;
	uint32_t max_concurrent; /* admitted requests; 0: as the batch has rows */
	int64_t park_after_ms;
};

enum weir_scheduler_state {
	WEIR_SCHEDULER_LOADING,
	WEIR_SCHEDULER_READY,
	WEIR_SCHEDULER_FAILED,
};

struct weir_scheduler_status {
	enum weir_scheduler_state state;
	char error[448];
	struct weir_model model; /* of a loaded one; its texts live as long as the instance */
	size_t active, waiting;
	uint32_t n_blocks, n_used, n_cached;
};

weir_status weir_scheduler_new(const struct weir_scheduler_options *, struct weir_scheduler **ret,
			       struct weir_error *err);
/* Starts the thread, which loads first. [main] */
weir_status weir_scheduler_start(struct weir_scheduler *, struct weir_error *err);
/* What a reload may change, from the next turn on. [any] */
void weir_scheduler_set_limits(struct weir_scheduler *, uint32_t max_concurrent,
			       int64_t park_after_ms);
/* As stop(), but does not wait: false while the thread still works, ask again then. [main] */
bool weir_scheduler_quit(struct weir_scheduler *);
/* Ends every request with UNAVAILABLE, interrupts a running step, joins. [main] */
void weir_scheduler_stop(struct weir_scheduler *);
void weir_scheduler_free(struct weir_scheduler *); /* stopped; NULL: nothing */

/* Takes the producer's side of the channel: the end will come. [worker] */
void weir_scheduler_submit(struct weir_scheduler *, struct weir_channel *);
/* Credit or cancellation changed. [any] */
void weir_scheduler_wake(struct weir_scheduler *, weir_stream *);

enum weir_scheduler_state weir_scheduler_state(const struct weir_scheduler *); /* [any] */
void weir_scheduler_status(const struct weir_scheduler *, struct weir_scheduler_status *ret);
/* Longest sequence, most rows in a step; 0 until loaded. [any] */
uint32_t weir_scheduler_context(const struct weir_scheduler *);
uint32_t weir_scheduler_rows(const struct weir_scheduler *);
/* The name of adapter i (1..), NULL past the last one and until loaded. [any] */
const char *weir_scheduler_adapter(const struct weir_scheduler *, uint32_t i);
/* Of a model's name "base:adapter" what stands behind the last colon; empty: no colon. Pure. */
struct weir_str weir_scheduler_suffix(struct weir_str model);

#endif
