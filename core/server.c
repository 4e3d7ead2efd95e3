/*
 * core/server.c - see server.h.
 *
 * Other threads talk to the main thread through `asked` and an eventfd only.
 */
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway.h"
#include "instance.h"
#include "log.h"
#include "server-parts.h"

#define TOPIC   "server"
#define TICK_MS 20 /* while something is awaited that rings no bell */

bool weir_server_find_auth(const struct weir_profile *profile)
{
	for (unsigned i = 0; i < profile->middleware->len; i++) {
		const struct weir_profile_part *part = g_ptr_array_index(profile->middleware, i);
		if (!strcmp(part->component->id, "auth"))
			return true;
	}
	return false;
}

struct weir_router_options weir_server_limits(const struct weir_settings *settings)
{
	return (struct weir_router_options){
		.max_queue = settings->max_queue,
		.max_concurrent = settings->max_concurrent,
		.park_after_ms = settings->park_after_ms,
		.cancel_grace_ms = settings->cancel_grace_ms,
		.n_workers = settings->workers,
		.single_model = settings->single_model,
	};
}

static void ring_bell(void *data)
{
	const struct weir_server *server = data;
	uint64_t one = 1;
	ssize_t n = write(server->bell, &one, sizeof(one));
	(void)n; /* full means rung already */
}

weir_status weir_server_new(struct weir_core *core, struct weir_profile *profile,
			    const struct weir_server_options *options, struct weir_server **ret,
			    struct weir_error *err)
{
	const struct weir_settings *settings = &profile->settings;
	struct weir_server *server = g_new0(struct weir_server, 1);
	server->core = core;
	server->profile = profile;
	server->options = *options;
	server->started_us = g_get_monotonic_time();
	atomic_store(&server->max_queue, settings->max_queue);
	atomic_store(&server->max_concurrent, settings->max_concurrent);
	atomic_store(&server->has_auth, weir_server_find_auth(profile));
	server->middleware = g_ptr_array_new();
	server->frontends = g_ptr_array_new();
	server->retired = g_ptr_array_new();
	server->old_middleware = g_ptr_array_new();
	server->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	core->server = server;
	weir_status status = WEIR_OK;
	if (server->bell < 0)
		status = weir_fail(err, WEIR_E_INTERNAL, "eventfd: %s", g_strerror(errno));
	const struct weir_router_options router = weir_server_limits(settings);
	if (status == WEIR_OK)
		status = weir_router_new(core, &router, &core->router, err);
	if (status != WEIR_OK) {
		weir_server_free(server);
		return status;
	}
	const struct weir_models_options models = {
		.core = core,
		.drain_timeout_ms = settings->drain_timeout_ms,
		.max_loaded = settings->max_loaded,
		.ring = ring_bell,
		.data = server,
	};
	server->models = weir_models_new(&models);
	*ret = server;
	return WEIR_OK;
}

weir_status weir_server_create_part(struct weir_server *server,
				    const struct weir_profile_part *plan, GPtrArray *to,
				    struct weir_error *err)
{
	struct weir_part *part;
	weir_status status = weir_part_create(server->core, plan->section, plan->component,
					      (const struct weir_kv *)plan->conf->data,
					      plan->conf->len, &part, err);
	if (status == WEIR_OK)
		g_ptr_array_add(to, part);
	return status;
}

static weir_status create_all(struct weir_server *server, const GPtrArray *plans, GPtrArray *to,
			      struct weir_error *err)
{
	weir_status status = WEIR_OK;
	for (unsigned i = 0; status == WEIR_OK && i < plans->len; i++)
		status = weir_server_create_part(server, g_ptr_array_index(plans, i), to, err);
	return status;
}

static weir_status start_all(const GPtrArray *parts, struct weir_error *err)
{
	weir_status status = WEIR_OK;
	for (unsigned i = 0; status == WEIR_OK && i < parts->len; i++)
		status = weir_part_start(g_ptr_array_index(parts, i), err);
	return status;
}

weir_status weir_server_connect_chain(struct weir_server *server, const GPtrArray *parts,
				      struct weir_error *err)
{
	g_autofree struct weir_instance **chain = g_new(struct weir_instance *, parts->len + 1);
	for (unsigned i = 0; i < parts->len; i++)
		chain[i] = ((struct weir_part *)g_ptr_array_index(parts, i))->instance;
	return weir_router_set_chain(server->core->router, chain, parts->len, err);
}

weir_status weir_server_start(struct weir_server *server, struct weir_error *err)
{
	const struct weir_profile *profile = server->profile;
	weir_status status = weir_models_create(server->models, profile->backends, err);
	if (status == WEIR_OK)
		status = create_all(server, profile->middleware, server->middleware, err);
	if (status == WEIR_OK)
		status = create_all(server, profile->frontends, server->frontends, err);
	if (status == WEIR_OK)
		status = weir_models_start(server->models, err);
	if (status == WEIR_OK)
		status = start_all(server->middleware, err);
	if (status == WEIR_OK)
		status = weir_server_connect_chain(server, server->middleware, err);
	if (status == WEIR_OK)
		status = weir_router_start(server->core->router, err);
	if (status != WEIR_OK)
		return status;
	server->router_runs = true;
	return start_all(server->frontends, err);
}

void weir_server_ask(struct weir_server *server, uint32_t what)
{
	if (what & WEIR_ASK_QUIT)
		atomic_fetch_add(&server->quits, 1);
	if (what & WEIR_ASK_RELOAD)
		atomic_store(&server->reload, true);
	ring_bell(server);
}

static void wait_bell(struct weir_server *server, int timeout_ms)
{
	struct pollfd poll_bell = { .fd = server->bell, .events = POLLIN };
	uint64_t count;
	if (poll(&poll_bell, 1, timeout_ms) > 0) {
		ssize_t n = read(server->bell, &count, sizeof(count));
		(void)n;
	}
}

static bool still_loading(struct weir_server *server)
{
	const char *state = weir_server_state(server);
	if (!strcmp(state, "initializing"))
		return true;
	if (server->announced)
		return false;
	server->announced = true;
	double seconds = (double)weir_server_uptime_ms(server) / 1000;
	if (!strcmp(state, "ready"))
		weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC, "ready after %.1f s", seconds);
	else if (!strcmp(state, "failed"))
		weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC,
			  "no backend could be loaded: requests will be refused; the lines above "
			  "say why, and a reload (SIGHUP) tries again");
	return false;
}

static void drain(struct weir_server *server)
{
	int64_t patience_us = server->profile->settings.drain_timeout_ms * 1000;
	int64_t end = g_get_monotonic_time() + patience_us;
	atomic_store(&server->draining, true);
	weir_router_drain(server->core->router);
	weir_models_drain(server->models);
	for (unsigned i = 0; i < server->frontends->len; i++)
		weir_part_drain(g_ptr_array_index(server->frontends, i));
	size_t active = weir_router_active(server->core->router);
	if (active > 0)
		weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC,
			  "stopping: %zu requests may go on for %.1f s; a second signal stops at "
			  "once",
			  active, (double)patience_us / 1e6);
	while (weir_router_active(server->core->router) > 0) {
		if (g_get_monotonic_time() >= end) {
			weir_logf(server->core->log, WEIR_LOG_WARNING, TOPIC,
				  "drain_timeout is over: cancelling %zu requests",
				  weir_router_active(server->core->router));
			break;
		}
		if (atomic_load(&server->quits) > 1) {
			weir_logf(server->core->log, WEIR_LOG_WARNING, TOPIC,
				  "asked again: cancelling %zu requests",
				  weir_router_active(server->core->router));
			break;
		}
		weir_models_step(server->models);
		wait_bell(server, TICK_MS);
	}
	weir_models_step(server->models);
	for (unsigned i = 0; i < server->middleware->len; i++)
		weir_part_drain(g_ptr_array_index(server->middleware, i));
	weir_models_drain_parts(server->models);
}

void weir_server_run(struct weir_server *server)
{
	while (atomic_load(&server->quits) == 0) {
		bool loading = still_loading(server);
		bool retiring = weir_server_reap(server, false);
		int due_ms = weir_models_step(server->models);
		if ((loading || retiring) && (due_ms < 0 || due_ms > TICK_MS))
			due_ms = TICK_MS;
		wait_bell(server, due_ms);
		if (atomic_exchange(&server->reload, false))
			weir_server_reload(server);
	}
	drain(server);
}

static void stop_all(GPtrArray *parts)
{
	for (unsigned i = parts->len; i > 0; i--)
		weir_part_stop(g_ptr_array_index(parts, i - 1));
}

static void destroy_all(GPtrArray *parts)
{
	for (unsigned i = parts->len; i > 0; i--)
		weir_part_destroy(g_ptr_array_index(parts, i - 1));
	g_ptr_array_unref(parts);
}

void weir_server_free(struct weir_server *server)
{
	if (!server)
		return;
	atomic_store(&server->draining, true);
	/* Frontends still dispatch while the router ends their streams, and stop after it. */
	if (server->router_runs)
		weir_router_stop(server->core->router);
	weir_models_forget(server->models, NULL);
	stop_all(server->frontends);
	destroy_all(server->retired);
	destroy_all(server->frontends);
	weir_models_free(server->models);
	weir_router_free(server->core->router);
	server->core->router = NULL;
	stop_all(server->middleware);
	destroy_all(server->old_middleware);
	destroy_all(server->middleware);
	server->core->server = NULL;
	weir_profile_free(server->profile);
	if (server->bell >= 0)
		close(server->bell);
	g_free(server);
}

const char *weir_server_state(const struct weir_server *server)
{
	if (atomic_load(&server->draining))
		return "draining";
	switch (weir_router_state(server->core->router)) {
	case WEIR_ROUTER_READY:
		return "ready";
	case WEIR_ROUTER_FAILED:
		return "failed";
	default:
		return "initializing";
	}
}

int64_t weir_server_uptime_ms(const struct weir_server *server)
{
	return (g_get_monotonic_time() - server->started_us) / 1000;
}

uint32_t weir_server_max_queue(const struct weir_server *server)
{
	return atomic_load(&((struct weir_server *)server)->max_queue);
}

uint32_t weir_server_max_concurrent(const struct weir_server *server)
{
	return atomic_load(&((struct weir_server *)server)->max_concurrent);
}

bool weir_server_has_auth(const struct weir_server *server)
{
	return atomic_load(&server->has_auth);
}
