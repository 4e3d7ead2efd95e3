/*
 * core/gateway-workers.h - threads that may block: they submit to backends and turn text into
 * tokens. Jobs run in the order they came, on as many threads as there are.
 */
#ifndef WEIR_CORE_GATEWAY_WORKERS_H
#define WEIR_CORE_GATEWAY_WORKERS_H

#include <weir/base.h>

struct weir_workers;

weir_status weir_workers_new(uint32_t n_threads, struct weir_workers **ret, struct weir_error *err);
/* Runs what is queued, then joins. NULL: nothing. */
void weir_workers_free(struct weir_workers *);
void weir_workers_push(struct weir_workers *, void (*run)(void *data), void *data); /* [any] */

#endif
