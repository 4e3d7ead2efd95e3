/*
 * core/status.c - see status.h.
 */
#include "status.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "gateway.h"
#include "metrics.h"
#include "server.h"

static void append_backend(void *data, const char *json)
{
	GString *out = data;
	if (out->len > 0)
		g_string_append_c(out, ',');
	g_string_append(out, json);
}

static int status_code(const char *state)
{
	if (!strcmp(state, "ready"))
		return WEIR_OK;
	return !strcmp(state, "failed") ? WEIR_E_NO_MODEL : WEIR_E_UNAVAILABLE;
}

char *weir_status_health(struct weir_core *core)
{
	const char *state = weir_server_state(core->server);
	size_t active = 0, waiting = 0;
	g_autoptr(GString) backends = g_string_new(NULL);
	weir_router_status(core->router, &active, &waiting, append_backend, backends);
	unsigned healthy = (unsigned)weir_metric_set_sum(core->metrics, "gpus_healthy");
	unsigned total = (unsigned)weir_metric_set_sum(core->metrics, "gpus_total");
	g_autoptr(GString) out = g_string_new(NULL);
	char uptime[G_ASCII_DTOSTR_BUF_SIZE];
	g_ascii_formatd(uptime, sizeof(uptime), "%.3f",
			(double)weir_server_uptime_ms(core->server) / 1000);
	g_string_append_printf(out,
			       "{\"status\":\"%s\",\"code\":%d,\"version\":\"%s\",\"uptime\":%s,"
			       "\"gpus\":{\"healthy\":%u,\"total\":%u,\"summary\":\"%u/%u\"},"
			       "\"queue\":{\"max_concurrent\":%u,\"max_queue_size\":%u,"
			       "\"active\":%zu,\"waiting\":%zu},\"backends\":[%s],"
			       "\"authentication\":{\"enabled\":%s}}",
			       state, status_code(state), WEIR_VERSION, uptime, healthy, total,
			       healthy, total, weir_server_max_concurrent(core->server),
			       weir_server_max_queue(core->server), active, waiting, backends->str,
			       weir_server_has_auth(core->server) ? "true" : "false");
	return strdup(out->str); /* the caller uses free() */
}

static char *document(const struct weir_host *host, uint32_t which)
{
	struct weir_core *core = host->data;
	if (which != WEIR_STATUS_HEALTH && core->metrics && core->router)
		weir_router_measure(core->router);
	switch (which) {
	case WEIR_STATUS_HEALTH:
		return core->server && core->router ? weir_status_health(core) : NULL;
	case WEIR_STATUS_PROMETHEUS:
		return core->metrics ? weir_metric_set_prometheus(core->metrics) : NULL;
	case WEIR_STATUS_METRICS:
		return core->metrics ? weir_metric_set_json(core->metrics) : NULL;
	default:
		return NULL;
	}
}

static const char *state(const struct weir_host *host)
{
	const struct weir_core *core = host->data;
	return weir_server_state(core->server);
}

static void reload(const struct weir_host *host)
{
	const struct weir_core *core = host->data;
	weir_server_ask(core->server, WEIR_ASK_RELOAD);
}

static void quit(const struct weir_host *host)
{
	const struct weir_core *core = host->data;
	weir_server_ask(core->server, WEIR_ASK_QUIT);
}

const struct weir_status_api *weir_status_extension(void)
{
	static const struct weir_status_api api = {
		.size = sizeof(api),
		.document = document,
		.state = state,
		.reload = reload,
		.quit = quit,
	};
	return &api;
}
