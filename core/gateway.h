/*
 * core/gateway.h - the way from a frontend to a backend: model names, the middleware chain, level-A
 * backends directly, level-B backends through a scheduler each.
 *
 * server.c builds one router from the profile on main; frontends use it through
 * weir_gateway_extension(). Everything else here is [main].
 */
#ifndef WEIR_CORE_GATEWAY_H
#define WEIR_CORE_GATEWAY_H

#include <weir/backend.h>
#include <weir/frontend.h>

#include "core.h"

struct weir_router_options {
	uint32_t max_queue;      /* waiting requests per backend; 0: unlimited */
	uint32_t max_concurrent; /* running requests per backend; 0: as the backend can */
	int64_t park_after_ms;   /* no credit for so long: KV blocks are given up */
	int64_t cancel_grace_ms; /* a producer must end within it after cancel */
	uint32_t n_workers;      /* threads for load, submit, tokenising */
	bool single_model;       /* any model name is answered by the first backend (C4) */
};

struct weir_backend_binding {
	const char *name;               /* section name: "backend.main" */
	struct weir_instance *instance; /* created; start() has succeeded */
	const char *const *serves;      /* NULL-terminated: "weir-demo", "openrouter/" + "*" */
	const char *component;          /* "cpu", for the status; NULL: unknown */
};

/* core->log and core->metrics must be there. */
weir_status weir_router_new(struct weir_core *core, const struct weir_router_options *,
			    struct weir_router **ret, struct weir_error *err);
/* Both are copied in shape; instances must outlive the router. Names must be unique. */
weir_status weir_router_add_backend(struct weir_router *, const struct weir_backend_binding *,
				    struct weir_error *err);
/* Also while it runs: requests that are open keep the chain that they began with, so its instances
 * must live until those have ended. */
weir_status weir_router_set_chain(struct weir_router *, struct weir_instance *const *middleware,
				  size_t n, struct weir_error *err);
/* Starts workers and schedulers and queues every level-B load; returns before they are loaded. */
weir_status weir_router_start(struct weir_router *, struct weir_error *err);
/* How many requests are queued or running; 0 means that a drain is complete. [any] */
size_t weir_router_active(const struct weir_router *);
/* New requests are refused with UNAVAILABLE from now on. [any] */
void weir_router_drain(struct weir_router *);
/* Cancels what is left, waits for every end, joins all threads. */
void weir_router_stop(struct weir_router *);
void weir_router_free(struct weir_router *);

enum weir_router_state { WEIR_ROUTER_LOADING, WEIR_ROUTER_READY, WEIR_ROUTER_FAILED };
/* READY once every backend is loaded; FAILED when none can ever serve. [any] */
enum weir_router_state weir_router_state(const struct weir_router *);
/* Calls each() with a JSON object for every backend:
 * {"name","component","state","error","models":[..],
 * "model":{...},"queue":{"active","waiting","max_concurrent","max_queue_size"},"kv":{"blocks","used",
 * "cached"}}; `waiting` and `active` in all are returned. [any] */
void weir_router_status(const struct weir_router *, size_t *ret_active, size_t *ret_waiting,
			void (*each)(void *data, const char *json), void *data);

/* WEIR_HOST_GATEWAY, WEIR_HOST_REQUEST, WEIR_HOST_STREAM; NULL for any other id. [any] */
const void *weir_gateway_extension(const char *id);

#endif
