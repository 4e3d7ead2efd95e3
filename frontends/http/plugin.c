/*
 * frontends/http/plugin.c - the http component: its options. [main]
 */
#include <string.h>

#include <weir/plugin.h>

#include <websocket/defaults.h>

#include "frontend.h"
#include "ui.h"

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
OPTION(resume_grace, "resume_grace", "60s", DURATION, 0, 3600000,
       "A stream that may be resumed, and a WebSocket's, waits so long for its client; 0: none "
       "may.");
OPTION(resume_memory, "resume_memory", "64MiB", SIZE, 65536, 1099511627776.0,
       "What is kept of such streams, all together.");
OPTION(responses_memory, "responses_memory", "64MiB", SIZE, 0, 1099511627776.0,
       "Responses that are stored, all together; the oldest go first; 0: none is stored.");
OPTION(responses_ttl, "responses_ttl", "24h", DURATION, 1000, 31536000000.0,
       "A stored response is forgotten after it.");
OPTION(request_timeout, "request_timeout", "300s", DURATION, 0, 86400000,
       "Deadline of a request in the backend; 0: none.");
OPTION(max_tokens, "max_tokens", "0", INT, 0, 2147483647,
       "Largest max_tokens accepted; 0: 2000000 (openai) or 4096 (fastapi).");
OPTION(max_input_chars, "max_input_chars", "0", INT, 0, 2147483647,
       "Most characters of one embedding input; 0: 8000 (fastapi) or the model's context "
       "(openai).");
OPTION(cors_origins, "cors_origins", NULL, LIST, 0, 0,
       "Origins whose pages may call; * for all; unset: no CORS headers.");
OPTION(admin, "admin", "false", BOOL, 0, 0,
       "Offer this machine /admin/reload, /v1/profile, and loading and unloading of models.");
OPTION(admin_hosts, "admin_hosts", NULL, LIST, 0, 0,
       "Names of this machine that administration is answered under besides localhost, loopback "
       "addresses and those of `listen`.");
OPTION(websocket, "websocket", "true", BOOL, 0, 0,
       "Answer WebSockets at /v1/ws, of pages of cors_origins and of this server.");
OPTION(swagger_ui, "swagger_ui", NULL, PATH, 0, 0,
       "Folder of the npm package swagger-ui-dist, for /docs.");
OPTION(health_listen, "health_listen", NULL, LIST, 0, 0,
       "Addresses of a health port of its own (/ping, /health); unset: none.");
OPTION(www, "www", NULL, PATH, 0, 0, "Folder of static files for all other paths.");
OPTION(ui, "ui", "true", BOOL, 0, 0,
       "The browser interface: at /ui/, and at / unless `www` has an index.html.");

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
	&option_resume_grace,
	&option_resume_memory,
	&option_responses_memory,
	&option_responses_ttl,
	&option_request_timeout,
	&option_api_profile,
	&option_max_tokens,
	&option_max_input_chars,
	&option_cors_origins,
	&option_admin,
	&option_admin_hosts,
	&option_websocket,
	&option_swagger_ui,
	&option_health_listen,
	&option_www,
	&option_ui,
	NULL,
};

static void configure(struct http_settings *s, const struct weir_kv *conf, size_t n)
{
	struct http_config *c = &s->config;
	struct api_config *api = &s->api;
	c->listen = http_option_list(conf, n, &option_listen);
	c->n_threads = (uint32_t)http_option_number(conf, n, &option_io_threads);
	c->max_connections = (uint32_t)http_option_number(conf, n, &option_max_connections);
	c->frame.max_body = http_option_number(conf, n, &option_max_body);
	c->max_bodies = http_option_number(conf, n, &option_max_bodies);
	c->frame.max_headers = (uint32_t)http_option_number(conf, n, &option_max_headers);
	c->frame.max_line = http_option_number(conf, n, &option_max_line);
	c->frame.max_head = http_option_number(conf, n, &option_max_head);
	c->header_timeout_ms = (uint32_t)http_option_number(conf, n, &option_header_timeout);
	c->body_timeout_ms = (uint32_t)http_option_number(conf, n, &option_body_timeout);
	c->idle_timeout_ms = (uint32_t)http_option_number(conf, n, &option_idle_timeout);
	c->write_timeout_ms = (uint32_t)http_option_number(conf, n, &option_write_timeout);
	c->ping_interval_ms = (uint32_t)http_option_number(conf, n, &option_ping_interval);
	api->request_timeout_ms = (uint32_t)http_option_number(conf, n, &option_request_timeout);
	api->profile = strcmp(http_option(conf, n, &option_api_profile), "fastapi") == 0
			       ? API_PROFILE_FASTAPI
			       : API_PROFILE_OPENAI;
	api->max_tokens = (uint32_t)http_option_number(conf, n, &option_max_tokens);
	if (api->max_tokens == 0)
		api->max_tokens = api->profile == API_PROFILE_FASTAPI ? 4096 : 2000000; /* C2 */
	api->max_input_chars = (uint32_t)http_option_number(conf, n, &option_max_input_chars);
	if (api->max_input_chars == 0 && api->profile == API_PROFILE_FASTAPI)
		api->max_input_chars = 8000; /* C11 */
	c->cors_origins = http_option_list(conf, n, &option_cors_origins);
	for (char **o = c->cors_origins; o && *o; o++)
		c->cors_any |= strcmp(*o, "*") == 0;
	c->admin_hosts = http_option_list(conf, n, &option_admin_hosts);
	c->admin = strcmp(http_option(conf, n, &option_admin), "true") == 0;
	c->websocket = strcmp(http_option(conf, n, &option_websocket), "true") == 0;
	ws_config_init(&s->websocket);
	c->resume_grace_ms = (uint32_t)http_option_number(conf, n, &option_resume_grace);
	s->websocket.grace_ms = c->resume_grace_ms;
	s->websocket.replay_budget = http_option_number(conf, n, &option_resume_memory);
	s->responses_memory = http_option_number(conf, n, &option_responses_memory);
	s->responses_ttl_ms = http_option_number(conf, n, &option_responses_ttl);
	s->websocket.limits.max_message = c->frame.max_body;
	s->websocket.handshake.origins = g_strdupv(c->cors_origins);
	c->www = g_strdup(http_option(conf, n, &option_www));
	if (strcmp(http_option(conf, n, &option_ui), "true") == 0)
		c->ui = ui_folder();
	c->swagger_ui = g_strdup(http_option(conf, n, &option_swagger_ui));
	c->health_listen = http_option_list(conf, n, &option_health_listen);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct http_settings settings = { 0 };
	configure(&settings, conf, n_conf);
	return http_frontend_create(host, "http", &settings, ret, err);
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "http",
	.title = "HTTP/1.1: OpenAI-compatible API with server-sent events",
	.help = "Serves /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/rerank, "
		"/v1/responses, /v1/messages, /v1/models, /tokenize, /detokenize, /v1/ws "
		"(WebSocket), /health, /ping, "
		"/metrics, /openapi.json, /docs and static files.",
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
