/*
 * core/gateway-router.h - the inside of the router, shared by gateway*.c only.
 */
#ifndef WEIR_CORE_GATEWAY_ROUTER_H
#define WEIR_CORE_GATEWAY_ROUTER_H

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

#include "chain.h"
#include "gateway-workers.h"
#include "gateway.h"
#include "metrics.h"
#include "scheduler.h"
#include "watchdog.h"

#define WEIR_RETRY_AFTER_MS 5000 /* with QUEUE_FULL and UNAVAILABLE (003-12) */

/* One backend instance. Constant after start, except what says otherwise. */
struct weir_slot {
	struct weir_router *router;
	struct weir_instance *instance;
	char *name, *component;
	char **serves;
	const struct weir_backend_stream *stream; /* level A, or NULL */
	struct weir_scheduler *scheduler;         /* level B, or NULL */
	int64_t created;
	atomic_size_t n_inflight; /* queued or running */
	/* Level A with max_concurrent: who waits for its turn. */
	pthread_mutex_t lock;
	size_t n_running;
	GQueue waiting; /* struct ticket, highest priority first */
};

struct weir_router {
	struct weir_core *core;
	struct weir_router_options options;
	struct weir_streams *streams;
	pthread_mutex_t chain_lock;
	struct weir_chain *chain; /* chain_lock; NULL: no middleware */
	struct weir_workers *workers;
	struct weir_watchdog *watchdog;
	GPtrArray *slots; /* struct weir_slot, in profile order */
	atomic_bool draining;
	atomic_size_t n_opening; /* calls of open() that are running */
	weir_metric *queue_depth, *queue_rejections, *queue_wait;
};

/* gateway-open.c */
extern const struct weir_gateway weir_gateway_calls;

/* gateway.c */
enum weir_router_state weir_slot_state(struct weir_slot *, char *ret_error, size_t error_size);
/* What it serves, NULL-terminated: the profile's names, else what its model is called once that is
 * known. own: room for the latter. */
const char *const *weir_slot_names(const struct weir_slot *, const char *own[2]);
/* Requests that it runs at most at a time; 0: no limit. */
size_t weir_slot_concurrency(const struct weir_slot *);
/* Length of the longest sequence, 0: unknown. */
uint32_t weir_slot_context(const struct weir_slot *);

#endif
