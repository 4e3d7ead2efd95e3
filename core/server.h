/*
 * core/server.h - a running Weir: the instances of a profile, started and stopped in order.
 *
 * Start: router, every instance created, backends and middleware started, router started (models
 * load in the background), frontends started. End: new requests refused, frontends drained, running
 * requests awaited for drain_timeout, then the same way back. Everything is [main] but what says
 * otherwise.
 */
#ifndef WEIR_CORE_SERVER_H
#define WEIR_CORE_SERVER_H

#include <weir/base.h>

#include "core.h"
#include "profile.h"
#include "registry.h"

enum weir_ask {
	WEIR_ASK_RELOAD = 1u << 0,
	WEIR_ASK_QUIT = 1u << 1, /* the first drains, the second stops at once */
};

struct weir_server_options {
	const struct weir_registry *registry; /* outlives the server */
	const char *const *sets;              /* --set arguments, again at each reload */
};

/* Takes the profile. core->log and core->metrics must be there; sets core->server and
 * core->router, until free. */
weir_status weir_server_new(struct weir_core *core, struct weir_profile *profile,
			    const struct weir_server_options *, struct weir_server **ret,
			    struct weir_error *err);
weir_status weir_server_start(struct weir_server *, struct weir_error *err);
/* Serves until asked to end; returns when all is drained, before anything is stopped. */
void weir_server_run(struct weir_server *);
/* Stops what runs, destroys all; NULL and half-started ones are fine. */
void weir_server_free(struct weir_server *);

void weir_server_ask(struct weir_server *, uint32_t what); /* enum weir_ask; any signal or thread */
/* initializing | ready | draining | failed. [any] */
const char *weir_server_state(const struct weir_server *);
int64_t weir_server_uptime_ms(const struct weir_server *); /* [any] */
/* The limits and switches that /health shows. [any] */
uint32_t weir_server_max_queue(const struct weir_server *);
uint32_t weir_server_max_concurrent(const struct weir_server *);
bool weir_server_has_auth(const struct weir_server *);

#endif
