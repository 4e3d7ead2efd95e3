/*
 * core/models.h - the backends of a running server: which of them are loaded, and how they come,
 * go and take each other's place.
 *
 * [main] but what says otherwise: instances are made and ended on main. Nothing here waits: step()
 * does what is due and says when it wants to be called again. Loads run on the schedulers' threads.
 * What ends leaves the router's table first, may finish its requests for drain_timeout, has the
 * rest cancelled, then its thread ends and its instance is destroyed.
 */
#ifndef WEIR_CORE_MODELS_H
#define WEIR_CORE_MODELS_H

#include <glib.h>

#include <weir/frontend.h>

#include "core.h"
#include "profile.h"

struct weir_models;

struct weir_models_options {
	struct weir_core *core; /* with log, metrics and router */
	int64_t drain_timeout_ms;
	uint32_t max_loaded;      /* backends with an instance; 0: any number */
	int64_t backoff_ms;       /* before a backend's second load after losses; 0: a second */
	void (*ring)(void *data); /* step() is wanted soon. [any] */
	void *data;
};

struct weir_models *weir_models_new(const struct weir_models_options *);
/* Takes the plans (struct weir_profile_part) and creates those that are loaded at the start: all
 * with autoload, in order, as many as max_loaded allows. plans is empty after it. */
weir_status weir_models_create(struct weir_models *, GPtrArray *plans, struct weir_error *err);
/* Starts them and fills the router's table; weir_router_start() then loads. */
weir_status weir_models_start(struct weir_models *, struct weir_error *err);
void weir_models_set_limits(struct weir_models *, int64_t drain_timeout_ms, uint32_t max_loaded);
/* plans is empty after it. */
void weir_models_reload(struct weir_models *, GPtrArray *plans);
/* Returns after how many milliseconds it wants to be called again; -1: when it is rung for. */
int weir_models_step(struct weir_models *);
/* The server ends: no load begins any more, who waits for one is refused; loads and unloads that
 * run go on while step() is called. */
void weir_models_drain(struct weir_models *);
void weir_models_drain_parts(struct weir_models *); /* drain() of every instance */
/* Calls done() of what a frontend's instance still waits for; before its stop(). NULL: of all. */
void weir_models_forget(struct weir_models *, const struct weir_host *);
void weir_models_free(struct weir_models *); /* the router is stopped; NULL: nothing */

#endif
