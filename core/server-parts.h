/*
 * core/server-parts.h - what server.c and server-reload.c share.
 */
#ifndef WEIR_CORE_SERVER_PARTS_H
#define WEIR_CORE_SERVER_PARTS_H

#include <stdatomic.h>

#include "gateway.h"
#include "models.h"
#include "server.h"

struct weir_server {
	struct weir_core *core;
	struct weir_profile *profile; /* what runs */
	struct weir_server_options options;
	struct weir_models *models;        /* the backends */
	GPtrArray *middleware, *frontends; /* struct weir_part, in the profile's order */
	GPtrArray *retired;        /* frontends that a reload replaced: drained, to be stopped */
	GPtrArray *old_middleware; /* of chains before this one; open requests may use them */
	int64_t retired_until_us;
	int64_t started_us;
	_Atomic uint32_t max_queue, max_concurrent;
	bool router_runs, announced;
	atomic_bool has_auth;
	int bell; /* eventfd */
	atomic_uint quits;
	atomic_bool reload, draining;
};

weir_status weir_server_create_part(struct weir_server *, const struct weir_profile_part *,
				    GPtrArray *to, struct weir_error *err);
/* Makes them the router's chain. */
weir_status weir_server_connect_chain(struct weir_server *, const GPtrArray *parts,
				      struct weir_error *err);
/* The router's limits, as [server] says them. */
struct weir_router_options weir_server_limits(const struct weir_settings *);
bool weir_server_find_auth(const struct weir_profile *);
/* Reads the profile again. A bad one is refused whole and changes nothing. */
void weir_server_reload(struct weir_server *);
/* Ends replaced frontends whose time has come, or all of them. True while some are left. */
bool weir_server_reap(struct weir_server *, bool all);

#endif
