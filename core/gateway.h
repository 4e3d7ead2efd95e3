/*
 * core/gateway.h - the way from a frontend to a backend: model names, the middleware chain, level-A
 * backends directly, level-B backends through a scheduler each.
 *
 * server.c builds one router from the profile on main; frontends use it through
 * weir_gateway_extension(). Everything else here is [main].
 */
#ifndef WEIR_CORE_GATEWAY_H
#define WEIR_CORE_GATEWAY_H

#include <glib.h>

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
/* Both are copied in shape; instances must outlive the router. Names of backends must be unique;
 * those that serve one model name are its replicas. */
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

/* What a reload may change: max_queue, max_concurrent, park_after_ms, cancel_grace_ms,
 * single_model. */
void weir_router_set_limits(struct weir_router *, const struct weir_router_options *);

enum weir_router_state {
	WEIR_ROUTER_LOADING,
	WEIR_ROUTER_READY,
	WEIR_ROUTER_FAILED,
	WEIR_ROUTER_UNLOADED,  /* a slot's only, as the next one */
	WEIR_ROUTER_UNLOADING, /* the one before it still ends requests */
};
extern const char *const weir_router_state_names[];
/* The higher, the nearer to serving: FAILED, UNLOADED, UNLOADING, LOADING, READY. Pure. */
int weir_router_state_rank(enum weir_router_state);
/* LOADING until every backend of the start is ready or has failed; later only when none is ready.
 * FAILED when none can ever serve. [any] */
enum weir_router_state weir_router_state(const struct weir_router *);
/* Calls each() with a JSON object for every backend:
 * {"name","component","state","error","models":[..],
 * "load_seconds","model":{...},"queue":{"active","waiting","max_concurrent","max_queue_size"},"kv":{"blocks","used",
 * "cached"}}; `waiting` and `active` in all are returned. [any] */
void weir_router_status(const struct weir_router *, size_t *ret_active, size_t *ret_waiting,
			void (*each)(void *data, const char *json), void *data);

/* Gauges of every backend's state, load time and memory; before metrics are rendered. [any] */
void weir_router_measure(struct weir_router *);

/* --- backends that come and go while the router runs; core/models.c decides when --- */

/* Who loads, and takes weir_gateway.change_model. [any] */
struct weir_loader {
	void (*ring)(void *self); /* a request has asked for a load */
	weir_status (*change)(void *self, const struct weir_host *, const char *model,
			      uint32_t change,
			      void (*done)(void *data, const struct weir_model_result *),
			      void *data, struct weir_error *err);
	void *self;
};
/* Before start; NULL, from stop on. Without one, backends stay as they are. */
void weir_router_set_loader(struct weir_router *, const struct weir_loader *);

struct weir_slot; /* one life of a backend: unloaded, loading, ready or failed, then gone */
struct weir_slot_plan {
	const char *name, *component;
	const char *const *serves; /* as in a binding */
	bool on_demand;            /* its requests wait for the load that they ask for */
	int64_t hang_timeout_ms;   /* calls that last longer are told of; 0: none are */
};
/* An unloaded one that nobody can see, with one reference. */
struct weir_slot *weir_slot_new(struct weir_router *, const struct weir_slot_plan *);
void weir_slot_unref(struct weir_slot *); /* NULL: nothing. [any] */
/* An instance that was started; it must live until the slot has ended and is unref'd. */
weir_status weir_slot_bind(struct weir_slot *, struct weir_instance *, struct weir_error *err);
weir_status weir_slot_load(struct weir_slot *, struct weir_error *err); /* begins, if need be */
/* It cannot be loaded: the slot has failed. */
void weir_slot_break(struct weir_slot *, const char *why);
/* After a load: who waits is let in, or refused. [main] */
void weir_slot_settle(struct weir_slot *);
/* Shown as loading (coming) or unloading (going) while it has no instance. */
void weir_slot_mark(struct weir_slot *, bool coming, bool going);
/* Another hang_timeout, as in the plan. [any] */
void weir_slot_set_hang_timeout(struct weir_slot *, int64_t ms);
/* Has a request asked for a load since the last call? */
bool weir_slot_take_asked(struct weir_slot *);
/* ret_error: of a failed one; may be NULL. [any] */
enum weir_router_state weir_slot_state(struct weir_slot *, char *ret_error, size_t error_size);
/* May it fail by itself after it was ready? (weir.report/1) */
bool weir_slot_is_watched(const struct weir_slot *);
const char *weir_slot_name(const struct weir_slot *);
size_t weir_slot_inflight(const struct weir_slot *);
int64_t weir_slot_used_ns(const struct weir_slot *); /* when a request last came or ended */
void weir_slot_set_load_ms(struct weir_slot *, int64_t ms);
/* Bytes of weights and KV; 0: not loaded, or unknown. [any] */
uint64_t weir_slot_bytes(const struct weir_slot *);
/* Length of the longest sequence, 0: unknown. [any] */
uint32_t weir_slot_context(const struct weir_slot *);
/* Its instance was lost while it served: requests wait in it for an heir, or to be refused. */
bool weir_slot_is_lost(const struct weir_slot *);
/* Who waits in old goes to the heir, now and later; one that is not ready yet keeps them until it
 * is settled. [main] */
void weir_slot_pass_on(struct weir_slot *old, struct weir_slot *heir);
/* A lost one gets no heir: who waits in it is refused, now and later. [main] */
void weir_slot_abandon(struct weir_slot *);
/* Its requests leave a ready level-B backend: for another slot that can go on with them, or its
 * heir, or they end as cancel() would end them. False: it has none to give. [main] */
bool weir_slot_evacuate(struct weir_slot *);
/* Out of the table: ends what waits in it; then cancels what runs; then, when weir_slot_inflight()
 * is 0, ends its thread. ended() asks and does not wait: false means ask again. */
void weir_slot_close(struct weir_slot *);
void weir_slot_cancel(struct weir_slot *);
bool weir_slot_ended(struct weir_slot *);

/* The whole table, in order of weight. */
void weir_router_put(struct weir_router *, struct weir_slot *const *, size_t n);
/* fresh takes the place of old; with only_idle not while old has requests: false. */
bool weir_router_replace(struct weir_router *, struct weir_slot *old, struct weir_slot *fresh,
			 bool only_idle);
void weir_slot_rename(struct weir_slot *, const char *const *serves); /* other model names */
/* The names of the backends that a model's name means, interned: all that serve it; else the one
 * that is called so ("backend.main"); else those whose patterns cover it. To be unref'd. [any] */
GPtrArray *weir_router_backends_of(struct weir_router *, struct weir_str model);

/* WEIR_HOST_GATEWAY, WEIR_HOST_REQUEST, WEIR_HOST_STREAM; NULL for any other id. [any] */
const void *weir_gateway_extension(const char *id);

#endif
