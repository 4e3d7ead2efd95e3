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
struct weir_handed;

struct weir_scheduler_options {
	const struct weir_core *core;
	const char *name;       /* of the instance; lent until free */
	const char *model_name; /* label of the metrics; NULL: what load() says */
	struct weir_instance *instance;
	const struct weir_backend_step *calls;
	uint32_t max_concurrent; /* admitted requests; 0: as the batch has rows */
	int64_t park_after_ms;
	/* On the scheduler's thread, with data; NULL: requests end where their backend does. */
	void (*lost)(
		void *data); /* the instance cannot go on: its requests come back, from here on */
	/* A request comes back without an end: the backend is lost, or was told to release it.
	 * False: its stream has ended already. */
	bool (*hand_back)(void *data, struct weir_channel *, const struct weir_handed *);
	void *data;
};

struct weir_handed {
	const char *told; /* the field `resume`; NULL: its client has seen nothing yet */
	bool output;      /* something of the prompt, the answer or the vectors was told */
	bool lived;       /* it was admitted: it may be the reason */
	bool lost;        /* else: released */
	uint64_t print;   /* weir_scheduler_print() */
	uint32_t longest;
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

/* Takes the producer's side of the channel: the end will come, or hand_back(). request: the
 * channel's, or one like it that is resumed. False: it cannot serve any more. [worker] */
bool weir_scheduler_submit(struct weir_scheduler *, struct weir_channel *, weir_request *request);
/* Hands every request back, and those that still come. [any] */
void weir_scheduler_release(struct weir_scheduler *);
/* Credit or cancellation changed. [any] */
void weir_scheduler_wake(struct weir_scheduler *, weir_stream *);

enum weir_scheduler_state weir_scheduler_state(const struct weir_scheduler *); /* [any] */
void weir_scheduler_status(const struct weir_scheduler *, struct weir_scheduler_status *ret);
/* Longest sequence, most rows in a step; 0 until loaded. [any] */
uint32_t weir_scheduler_context(const struct weir_scheduler *);
uint32_t weir_scheduler_rows(const struct weir_scheduler *);
/* Which texts its tokens are: two instances with one print can go on with each other's answers. 0:
 * unknown, or not loaded. [any] */
uint64_t weir_scheduler_print(const struct weir_scheduler *);
uint32_t weir_scheduler_longest(const struct weir_scheduler *); /* sequence; as context() */
/* The name of adapter i (1..), NULL past the last one and until loaded. [any] */
const char *weir_scheduler_adapter(const struct weir_scheduler *, uint32_t i);
/* Of a model's name "base:adapter" what stands behind the last colon; empty: no colon. Pure. */
struct weir_str weir_scheduler_suffix(struct weir_str model);

#endif
