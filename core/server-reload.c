/*
 * core/server-reload.c - SIGHUP, and whoever asks for it: reads the profile again.
 *
 * [main]. What changes at once: log levels and format, the limits of [server], backends (models.h),
 * frontends (new ones start, replaced ones drain and stop) and the chain (new instances; requests
 * that are open keep the old ones, which end when nothing is open). What waits for a restart, and
 * is named in the log: the number of workers and plugin_path. A bad profile changes nothing.
 */
#include <string.h>

#include "instance.h"
#include "log.h"
#include "server-parts.h"

#define TOPIC "reload"

static const struct weir_profile_part *find_plan(const GPtrArray *plans, const char *section)
{
	for (unsigned i = 0; i < plans->len; i++) {
		const struct weir_profile_part *plan = g_ptr_array_index(plans, i);
		if (!strcmp(plan->section, section))
			return plan;
	}
	return NULL;
}

static struct weir_part *take_part(GPtrArray *parts, const char *section)
{
	for (unsigned i = 0; i < parts->len; i++) {
		struct weir_part *part = g_ptr_array_index(parts, i);
		if (!strcmp(part->section, section))
			return g_ptr_array_remove_index(parts, i);
	}
	return NULL;
}

static void wait_for_restart(struct weir_server *server, const char *what)
{
	weir_logf(server->core->log, WEIR_LOG_WARNING, TOPIC,
		  "%s changed; that waits for a restart", what);
}

static bool same_plans(const GPtrArray *a, const GPtrArray *b)
{
	if (a->len != b->len)
		return false;
	for (unsigned i = 0; i < a->len; i++) {
		const struct weir_profile_part *x = g_ptr_array_index(a, i);
		const struct weir_profile_part *y = g_ptr_array_index(b, i);
		if (strcmp(x->section, y->section) || !weir_profile_part_equal(x, y))
			return false;
	}
	return true;
}

static void swap_plans(GPtrArray **a, GPtrArray **b)
{
	GPtrArray *old = *a;
	*a = *b;
	*b = old;
}

static void retire(struct weir_server *server, struct weir_part *part)
{
	weir_part_drain(part);
	g_ptr_array_add(server->retired, part);
	server->retired_until_us =
		g_get_monotonic_time() + server->profile->settings.drain_timeout_ms * 1000;
}

static void destroy_parts(struct weir_server *server, GPtrArray *parts)
{
	for (unsigned i = parts->len; i > 0; i--) {
		struct weir_part *part = g_ptr_array_index(parts, i - 1);
		weir_models_forget(server->models, &part->host);
		weir_part_destroy(part);
	}
	g_ptr_array_set_size(parts, 0);
}

bool weir_server_reap(struct weir_server *server, bool all)
{
	if (server->retired->len + server->old_middleware->len == 0)
		return false;
	bool quiet = all || weir_router_active(server->core->router) == 0;
	if (quiet || g_get_monotonic_time() >= server->retired_until_us)
		destroy_parts(server, server->retired);
	/* An open request may still go through its chain: no time limit here. */
	if (quiet)
		destroy_parts(server, server->old_middleware);
	return server->retired->len + server->old_middleware->len > 0;
}

/* The old one closes its sockets first: the new one mostly wants the same port. If the new one
 * fails, one like the old takes its place. */
static bool replace_frontend(struct weir_server *server, const struct weir_profile_part *plan,
			     const struct weir_profile_part *old_plan)
{
	struct weir_error err;
	struct weir_part *old = take_part(server->frontends, plan->section);
	if (old)
		retire(server, old);
	for (int attempt = 0; attempt < 2; attempt++) {
		const struct weir_profile_part *now = attempt == 0 ? plan : old_plan;
		weir_status status =
			now ? weir_server_create_part(server, now, server->frontends, &err)
			    : WEIR_E_NOT_FOUND;
		if (status == WEIR_OK) {
			struct weir_part *part =
				g_ptr_array_index(server->frontends, server->frontends->len - 1);
			status = weir_part_start(part, &err);
			if (status == WEIR_OK)
				return attempt == 0;
			g_ptr_array_set_size(server->frontends, (int)server->frontends->len - 1);
			weir_part_destroy(part);
		}
		if (now)
			weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC, "%s%s", err.text,
				  attempt == 0 && old_plan ? "; going back to the old settings"
							   : "");
	}
	return false;
}

/* All of the new chain, or the old one goes on. */
static void reload_chain(struct weir_server *server, struct weir_profile *next)
{
	struct weir_error err;
	weir_status status = WEIR_OK;
	GPtrArray *parts = g_ptr_array_new();
	for (unsigned i = 0; status == WEIR_OK && i < next->middleware->len; i++) {
		status = weir_server_create_part(server, g_ptr_array_index(next->middleware, i),
						 parts, &err);
		if (status == WEIR_OK)
			status = weir_part_start(g_ptr_array_index(parts, i), &err);
	}
	if (status == WEIR_OK)
		status = weir_server_connect_chain(server, parts, &err);
	if (status != WEIR_OK) {
		weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC, "%s; the old chain goes on",
			  err.text);
		destroy_parts(server, parts);
		g_ptr_array_unref(parts);
		return;
	}
	g_ptr_array_extend(server->old_middleware, server->middleware, NULL, NULL);
	g_ptr_array_unref(server->middleware);
	server->middleware = parts;
	swap_plans(&server->profile->middleware, &next->middleware);
	atomic_store(&server->has_auth, weir_server_find_auth(server->profile));
	weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC, "the chain is new: %u middleware",
		  parts->len);
}

static void reload_frontends(struct weir_server *server, struct weir_profile *next)
{
	GPtrArray *old = server->profile->frontends;
	for (unsigned i = 0; i < old->len; i++) {
		const struct weir_profile_part *plan = g_ptr_array_index(old, i);
		if (find_plan(next->frontends, plan->section))
			continue;
		struct weir_part *part = take_part(server->frontends, plan->section);
		if (part)
			retire(server, part);
		weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC, "%s is gone", plan->section);
	}
	for (unsigned i = 0; i < next->frontends->len; i++) {
		const struct weir_profile_part *plan = g_ptr_array_index(next->frontends, i);
		const struct weir_profile_part *before = find_plan(old, plan->section);
		if (before && weir_profile_part_equal(before, plan))
			continue;
		if (replace_frontend(server, plan, before))
			weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC, "%s is new",
				  plan->section);
	}
	swap_plans(&server->profile->frontends, &next->frontends);
}

static void reload_settings(struct weir_server *server, struct weir_settings *next)
{
	struct weir_settings *now = &server->profile->settings;
	const char *environment = g_getenv("WEIR_LOG");
	struct weir_error err;
	if (!environment &&
	    weir_logger_set_levels(server->core->log, next->log_level, &err) != WEIR_OK)
		weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC, "%s", err.text);
	weir_logger_set_json(server->core->log, next->log_json);
	const struct weir_router_options limits = weir_server_limits(next);
	weir_router_set_limits(server->core->router, &limits);
	weir_models_set_limits(server->models, next->drain_timeout_ms, next->max_loaded);
	atomic_store(&server->max_queue, next->max_queue);
	atomic_store(&server->max_concurrent, next->max_concurrent);
	if (now->workers != next->workers)
		wait_for_restart(server, "workers");
	if (!g_strv_equal((const char *const *)now->plugin_path,
			  (const char *const *)next->plugin_path))
		wait_for_restart(server, "plugin_path");
	now->drain_timeout_ms = next->drain_timeout_ms;
}

static void reload_parts(struct weir_server *server, struct weir_profile *next)
{
	const char *path = server->profile->path;
	weir_models_reload(server->models, next->backends);
	reload_settings(server, &next->settings);
	if (!same_plans(server->profile->middleware, next->middleware))
		reload_chain(server, next);
	reload_frontends(server, next);
	weir_logf(server->core->log, WEIR_LOG_INFO, TOPIC, "%s was read again", path);
}

void weir_server_reload(struct weir_server *server)
{
	const char *path = server->profile->path;
	struct weir_problems *problems = weir_problems_new();
	struct weir_ini *ini = weir_profile_read(path, server->options.sets, problems);
	struct weir_profile *next = NULL;
	if (ini)
		next = weir_profile_check(ini, path, server->options.registry, server->core,
					  problems);
	if (!next) {
		const char *line;
		for (size_t i = 0; (line = weir_problems_line(problems, i)); i++)
			weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC, "%s", line);
		weir_logf(server->core->log, WEIR_LOG_ERROR, TOPIC,
			  "%zu problems: the profile is refused, the old one goes on",
			  weir_problems_count(problems));
	} else {
		reload_parts(server, next);
	}
	weir_profile_free(next);
	weir_ini_free(ini);
	weir_problems_free(problems);
}
