/*
 * frontends/http/plugin.c - the http component: its options and its life. [main]
 */
#include <stdlib.h>
#include <string.h>

#include <weir/plugin.h>

#include "http.h"
#include "plane.h"

#define POOL_THREADS 2

/* key, fallback, type, range, help */
#define OPTION(var, k, f, t, lo, hi, h)                                                            \
	static const struct weir_option option_##var = { .size = sizeof(struct weir_option),       \
							 .type = WEIR_OPTION_##t,                  \
							 .key = k,                                 \
							 .fallback = f,                            \
							 .help = h,                                \
							 .min = lo,                                \
							 .max = hi }

OPTION(listen, "listen", "127.0.0.1:8000", LIST, 0, 0,
       "Addresses to listen on, host:port each; port 0 takes a free one.");
OPTION(io_threads, "io_threads", "1", INT, 1, 64, "I/O threads; each has its own listeners.");
OPTION(max_connections, "max_connections", "10000", INT, 1, 1000000,
       "Connections at once; those above get a 503.");
OPTION(max_body, "max_body", "10MiB", SIZE, 1024, 1073741824.0,
       "Largest request body; larger ones get a 413.");
OPTION(max_bodies, "max_bodies", "1024MiB", SIZE, 1048576, 1099511627776.0,
       "All request bodies that are being read or parsed, together; those above get a 503.");
OPTION(max_headers, "max_headers", "64", INT, 1, 1000, "Header lines of a request.");
OPTION(max_line, "max_line", "8KiB", SIZE, 256, 65536, "Longest request or header line.");
OPTION(max_head, "max_head", "64KiB", SIZE, 1024, 1048576, "Largest request head.");
OPTION(header_timeout, "header_timeout", "30s", DURATION, 10, 3600000,
       "A request head must be complete within it.");
OPTION(body_timeout, "body_timeout", "60s", DURATION, 10, 3600000,
       "A request body must be complete within it.");
OPTION(idle_timeout, "idle_timeout", "75s", DURATION, 10, 86400000,
       "A connection without requests is closed after it.");
OPTION(write_timeout, "write_timeout", "60s", DURATION, 10, 3600000,
       "A client that takes nothing for so long is cut off and its request cancelled.");
OPTION(ping_interval, "ping_interval", "15s", DURATION, 0, 3600000,
       "A silent stream gets an SSE comment after it; 0: never.");
OPTION(request_timeout, "request_timeout", "300s", DURATION, 0, 86400000,
       "Deadline of a request in the backend; 0: none.");
OPTION(max_tokens, "max_tokens", "0", INT, 0, 2147483647,
       "Largest max_tokens accepted; 0: 2000000 (openai) or 4096 (fastapi).");
OPTION(max_input_chars, "max_input_chars", "0", INT, 0, 2147483647,
       "Most characters of one embedding input; 0: 8000 (fastapi) or the model's context "
       "(openai).");
OPTION(cors_origins, "cors_origins", NULL, LIST, 0, 0,
       "Origins whose pages may call; * for all; unset: no CORS headers.");
OPTION(admin, "admin", "false", BOOL, 0, 0, "Offer POST /admin/reload to this machine.");
OPTION(www, "www", NULL, PATH, 0, 0, "Folder of static files for all other paths.");

static const struct weir_option option_api_profile = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_CHOICE,
	.key = "api_profile",
	.fallback = "openai",
	.choices = "openai|fastapi",
	.help = "Errors of validation: openai (400, error object) or fastapi (422, detail list).",
};

static const struct weir_option *const options[] = {
	&option_listen,
	&option_io_threads,
	&option_max_connections,
	&option_max_body,
	&option_max_bodies,
	&option_max_headers,
	&option_max_line,
	&option_max_head,
	&option_header_timeout,
	&option_body_timeout,
	&option_idle_timeout,
	&option_write_timeout,
	&option_ping_interval,
	&option_request_timeout,
	&option_api_profile,
	&option_max_tokens,
	&option_max_input_chars,
	&option_cors_origins,
	&option_admin,
	&option_www,
	NULL,
};

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

static const char *get(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(conf[i].key, o->key) == 0)
			return conf[i].value;
	return o->fallback;
}

/* The host hands over normalised text; a fallback that it did not, as the table has it. */
static uint64_t get_number(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = get(conf, n, o);
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

static char **get_list(const struct weir_kv *conf, size_t n, const struct weir_option *o)
{
	const char *text = get(conf, n, o);
	if (!text || !text[0])
		return NULL;
	char **list = g_strsplit(text, ",", -1);
	for (char **l = list; *l; l++)
		g_strstrip(*l);
	return list;
}

static void configure(struct http_config *c, struct api_config *api, const struct weir_kv *conf,
		      size_t n)
{
	c->listen = get_list(conf, n, &option_listen);
	c->n_threads = (uint32_t)get_number(conf, n, &option_io_threads);
	c->max_connections = (uint32_t)get_number(conf, n, &option_max_connections);
	c->frame.max_body = get_number(conf, n, &option_max_body);
	c->max_bodies = get_number(conf, n, &option_max_bodies);
	c->frame.max_headers = (uint32_t)get_number(conf, n, &option_max_headers);
	c->frame.max_line = get_number(conf, n, &option_max_line);
	c->frame.max_head = get_number(conf, n, &option_max_head);
	c->header_timeout_ms = (uint32_t)get_number(conf, n, &option_header_timeout);
	c->body_timeout_ms = (uint32_t)get_number(conf, n, &option_body_timeout);
	c->idle_timeout_ms = (uint32_t)get_number(conf, n, &option_idle_timeout);
	c->write_timeout_ms = (uint32_t)get_number(conf, n, &option_write_timeout);
	c->ping_interval_ms = (uint32_t)get_number(conf, n, &option_ping_interval);
	api->request_timeout_ms = (uint32_t)get_number(conf, n, &option_request_timeout);
	api->profile = strcmp(get(conf, n, &option_api_profile), "fastapi") == 0
			       ? API_PROFILE_FASTAPI
			       : API_PROFILE_OPENAI;
	api->max_tokens = (uint32_t)get_number(conf, n, &option_max_tokens);
	if (api->max_tokens == 0)
		api->max_tokens = api->profile == API_PROFILE_FASTAPI ? 4096 : 2000000; /* C2 */
	api->max_input_chars = (uint32_t)get_number(conf, n, &option_max_input_chars);
	if (api->max_input_chars == 0 && api->profile == API_PROFILE_FASTAPI)
		api->max_input_chars = 8000; /* C11 */
	c->cors_origins = get_list(conf, n, &option_cors_origins);
	for (char **o = c->cors_origins; o && *o; o++)
		c->cors_any |= strcmp(*o, "*") == 0;
	c->admin = strcmp(get(conf, n, &option_admin), "true") == 0;
	c->www = g_strdup(get(conf, n, &option_www));
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
	weir_status status = plane_listen(h, err);
	for (uint32_t k = 0; status == WEIR_OK && k < h->config.n_threads; k++)
		status = plane_start(h->planes[k], err);
	if (status == WEIR_OK)
		f->running = true;
	else
		stop(i);
	return status;
}

static void destroy(struct weir_instance *i)
{
	if (!i)
		return;
	struct frontend *f = i->data;
	g_strfreev(f->http.config.listen);
	g_strfreev(f->http.config.cors_origins);
	g_free(f->http.config.www);
	g_free(f);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct api api = { 0 };
	weir_status status = api_init(&api, host, "http", err);
	if (status != WEIR_OK)
		return status;
	struct frontend *f = g_new0(struct frontend, 1);
	f->instance = (struct weir_instance){ .size = sizeof(f->instance),
					      .data = f,
					      .start = start,
					      .drain = drain,
					      .stop = stop,
					      .destroy = destroy };
	f->http.api = api;
	f->http.metrics = host->get_ext(host, WEIR_HOST_METRICS);
	f->http.status = host->get_ext(host, WEIR_HOST_STATUS);
	configure(&f->http.config, &f->http.api.config, conf, n_conf);
	if (!f->http.config.listen) {
		err->code = WEIR_E_INVALID;
		g_strlcpy(err->param, "listen", sizeof(err->param));
		g_strlcpy(err->text, "http: listen is empty: give at least one host:port",
			  sizeof(err->text));
		destroy(&f->instance);
		return WEIR_E_INVALID;
	}
	*ret = &f->instance;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "http",
	.title = "HTTP/1.1: OpenAI-compatible API with server-sent events",
	.help = "Serves /v1/chat/completions, /v1/completions, /v1/models, /tokenize, "
		"/detokenize, /health, /ping, /metrics and static files.",
	.options = options,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI,
	.sanitizer = WEIR_SANITIZER,
	.name = "http",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return &plugin;
}
