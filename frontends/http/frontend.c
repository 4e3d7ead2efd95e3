/*
 * frontends/http/frontend.c - see frontend.h. [main]
 */
#include "frontend.h"

#include <stdlib.h>
#include <string.h>

#include <api/response-store.h>

#include "health-port.h"
#include "kept.h"
#include "openapi.h"
#include "plane.h"

#define POOL_THREADS 2

struct frontend {
	struct weir_instance instance;
	struct http http;
	bool running;
};

void http_count(const struct http *h, weir_metric *m, double by)
{
	if (m)
		h->metrics->add(m, by);
}

const char *http_option(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(conf[i].key, o->key) == 0)
			return conf[i].value;
	return o->fallback;
}

/* A fallback that the host did not hand over is as the table has it. */
uint64_t http_option_number(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = http_option(conf, n, o);
	char *end = NULL;
	uint64_t v = strtoull(text, &end, 10);
	if (o->type == WEIR_OPTION_DURATION && strcmp(end, "s") == 0)
		v *= 1000;
	else if (o->type == WEIR_OPTION_SIZE && strcmp(end, "KiB") == 0)
		v <<= 10;
	else if (o->type == WEIR_OPTION_SIZE && strcmp(end, "MiB") == 0)
		v <<= 20;
	return v;
}

char **http_option_list(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = http_option(conf, n, o);
	if (!text || !text[0])
		return NULL;
	char **list = g_strsplit(text, ",", -1);
	for (char **l = list; *l; l++)
		g_strstrip(*l);
	return list;
}

static void free_planes(struct http *h)
{
	pool_free(g_steal_pointer(&h->pool)); /* its threads may still be ringing a plane */
	for (uint32_t i = 0; h->planes && i < h->config.n_threads; i++)
		plane_free(h->planes[i]);
	g_free(g_steal_pointer(&h->planes));
}

static void post_all(struct frontend *f, void (*call)(struct plane *, void *))
{
	for (uint32_t i = 0; i < f->http.config.n_threads; i++)
		if (f->http.planes[i]->thread)
			plane_post(f->http.planes[i], call, NULL);
}

static void stop(struct weir_instance *i)
{
	struct frontend *f = i->data;
	if (!f->http.planes)
		return;
	post_all(f, plane_stop);
	for (uint32_t k = 0; k < f->http.config.n_threads; k++)
		if (f->http.planes[k]->thread)
			g_thread_join(g_steal_pointer(&f->http.planes[k]->thread));
	free_planes(&f->http);
	health_port_stop(g_steal_pointer(&f->http.health)); /* last: it tells of the drain */
	g_clear_pointer(&f->http.openapi, g_free);
	f->running = false;
}

static void drain(struct weir_instance *i)
{
	struct frontend *f = i->data;
	if (f->running)
		post_all(f, plane_drain);
}

static void make_metrics(struct http *h)
{
	const struct weir_metrics *m = h->metrics;
	if (!m)
		return;
	h->m_connections = m->gauge(h->api.host, "http_connections", "", "Open connections.");
	h->m_websockets = m->gauge(h->api.host, "websocket_connections", "", "Open WebSockets.");
	h->m_streams = m->gauge(h->api.host, "http_streams", "", "Answers being streamed.");
	h->m_refused = m->counter(h->api.host, "http_connections_refused", "",
				  "Connections over the limit, or without a descriptor.");
	h->m_gone = m->counter(h->api.host, "http_clients_gone", "",
			       "Clients that went away before their answer was complete.");
	h->m_stalled = m->counter(h->api.host, "http_clients_stalled", "",
				  "Clients that took nothing for write_timeout and were cut off.");
}

static weir_status start(struct weir_instance *i, struct weir_error *err)
{
	struct frontend *f = i->data;
	struct http *h = &f->http;
	make_metrics(h);
	h->planes = g_new0(struct plane *, h->config.n_threads);
	for (uint32_t k = 0; k < h->config.n_threads; k++)
		h->planes[k] = plane_new(h);
	h->pool = pool_new(POOL_THREADS);
	h->openapi = openapi_document(h);
	weir_status status = health_port_start(h, &h->health, err);
	if (status == WEIR_OK)
		status = plane_listen(h, err);
	for (uint32_t k = 0; status == WEIR_OK && k < h->config.n_threads; k++)
		status = plane_start(h->planes[k], err);
	if (status == WEIR_OK)
		f->running = true;
	else
		stop(i);
	return status;
}

static void settings_clear(struct http_config *c, struct ws_config *w)
{
	g_strfreev(c->listen);
	g_strfreev(c->cors_origins);
	g_strfreev(c->admin_hosts);
	g_strfreev(w->handshake.origins);
	g_strfreev(c->health_listen);
	g_free(c->swagger_ui);
	g_free(c->www);
	g_free(c->ui);
}

static void destroy(struct weir_instance *i)
{
	if (!i)
		return;
	struct frontend *f = i->data;
	settings_clear(&f->http.config, &f->http.websocket);
	kept_ids_clear(&f->http.kept);
	ws_shared_clear(&f->http.websockets);
	response_store_free(f->http.api.config.responses);
	g_free(f);
}

weir_status http_frontend_create(const struct weir_host *host, const char *topic,
				 const struct http_settings *settings, struct weir_instance **ret,
				 struct weir_error *err)
{
	struct api api = { 0 };
	struct http_config config = settings->config;
	struct ws_config websocket = settings->websocket;
	weir_status status = api_init(&api, host, topic, err);
	if (status == WEIR_OK && !config.listen) {
		status = err->code = WEIR_E_INVALID;
		g_strlcpy(err->param, "listen", sizeof(err->param));
		g_snprintf(err->text, sizeof(err->text),
			   "%s: listen is empty: give at least one host:port", topic);
	}
	if (status != WEIR_OK) {
		settings_clear(&config, &websocket);
		return status;
	}
	struct frontend *f = g_new0(struct frontend, 1);
	f->instance = (struct weir_instance){ .size = sizeof(f->instance),
					      .data = f,
					      .start = start,
					      .drain = drain,
					      .stop = stop,
					      .destroy = destroy };
	f->http.api = api;
	f->http.api.config = settings->api;
	f->http.config = config;
	f->http.websocket = websocket;
	f->http.replays.max = websocket.replay_budget;
	kept_ids_init(&f->http.kept);
	ws_shared_init(&f->http.websockets);
	if (settings->responses_memory)
		f->http.api.config.responses =
			response_store_new(settings->responses_memory, settings->responses_ttl_ms);
	f->http.metrics = host->get_ext(host, WEIR_HOST_METRICS);
	f->http.status = host->get_ext(host, WEIR_HOST_STATUS);
	*ret = &f->instance;
	return WEIR_OK;
}
