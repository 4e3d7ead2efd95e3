/*
 * frontends/websocket/plugin.c - the websocket component: WebSockets on a port of their own.
 * It is http's connection plane with one route; what is answered is the same as at /v1/ws of http.
 * [main]
 */
#include <string.h>

#include <weir/plugin.h>

#include <http/frontend.h>
#include <websocket/defaults.h>

#define OPTION(var, k, f, t, lo, hi, h)                                                            \
	static const struct weir_option option_##var = { .size = sizeof(struct weir_option),       \
							 .type = WEIR_OPTION_##t,                  \
							 .key = k,                                 \
							 .fallback = f,                            \
							 .help = h,                                \
							 .min = lo,                                \
							 .max = hi }

OPTION(listen, "listen", "127.0.0.1:8002", LIST, 0, 0,
       "Addresses to listen on, host:port each; port 0 takes a free one.");
OPTION(max_connections, "max_connections", "10000", INT, 1, 1000000,
       "Connections at once; those above get a 503.");
OPTION(origins, "origins", NULL, LIST, 0, 0,
       "Origins whose pages may connect; * for all; unset: only pages of this host and port. "
       "Programs, which send no Origin, always may.");
OPTION(max_message, "max_message", "10MiB", SIZE, 1024, 1073741824.0,
       "Largest message, inflated; larger ones close the socket (1009).");
OPTION(max_messages, "max_messages", "1024MiB", SIZE, 1048576, 1099511627776.0,
       "All messages that are being received, together; more close a socket (1013).");
OPTION(max_fragments, "max_fragments", "65536", INT, 1, 2147483647, "Frames of one message.");
OPTION(max_requests, "max_requests", "256", INT, 1, 65536, "Requests of a socket at once.");
OPTION(max_compressed, "max_compressed", "1000", INT, 0, 1000000,
       "Sockets with compression at once (up to 82 KiB each); the others go without.");
OPTION(compress_above, "compress_above", "64", SIZE, 0, 1073741824.0,
       "Smaller messages are not compressed.");
OPTION(ping_interval, "ping_interval", "20s", DURATION, 0, 3600000,
       "A silent client is pinged after it; 0: never.");
OPTION(ping_timeout, "ping_timeout", "20s", DURATION, 10, 3600000,
       "A client that does not answer a ping within it is cut off.");
OPTION(message_timeout, "message_timeout", "60s", DURATION, 10, 3600000,
       "A message must be complete within it.");
OPTION(header_timeout, "header_timeout", "30s", DURATION, 10, 3600000,
       "The handshake must be complete within it.");
OPTION(write_timeout, "write_timeout", "60s", DURATION, 10, 3600000,
       "A client that takes nothing of what is due to it for so long is cut off.");
OPTION(request_timeout, "request_timeout", "300s", DURATION, 0, 86400000,
       "Deadline of a request in the backend; 0: none.");
OPTION(resume_grace, "resume_grace", "60s", DURATION, 0, 3600000,
       "How long an answer that may be resumed waits for its client.");
OPTION(resume_events, "resume_events", "1024", INT, 1, 1000000,
       "Last messages of such an answer that are kept.");
OPTION(resume_bytes, "resume_bytes", "1MiB", SIZE, 1024, 1073741824.0,
       "Most bytes of them, for each answer.");
OPTION(resume_memory, "resume_memory", "64MiB", SIZE, 1024, 1099511627776.0,
       "Most bytes of them, for all answers together.");
OPTION(max_tokens, "max_tokens", "0", INT, 0, 2147483647,
       "Largest max_tokens accepted; 0: 2000000 (openai) or 4096 (fastapi).");

static const struct weir_option option_compression = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_CHOICE,
	.key = "compression",
	.fallback = "remote",
	.choices = "off|remote|on",
	.help = "permessage-deflate for clients that offer it; remote: not for those of this "
		"machine.",
};

static const struct weir_option option_api_profile = {
	.size = sizeof(struct weir_option),
	.type = WEIR_OPTION_CHOICE,
	.key = "api_profile",
	.fallback = "openai",
	.choices = "openai|fastapi",
	.help = "Ranges and statuses of validation: openai (400) or fastapi (422).",
};

static const struct weir_option *const options[] = {
	&option_listen,
	&option_max_connections,
	&option_origins,
	&option_max_message,
	&option_max_messages,
	&option_max_fragments,
	&option_max_requests,
	&option_compression,
	&option_max_compressed,
	&option_compress_above,
	&option_ping_interval,
	&option_ping_timeout,
	&option_message_timeout,
	&option_header_timeout,
	&option_write_timeout,
	&option_request_timeout,
	&option_resume_grace,
	&option_resume_events,
	&option_resume_bytes,
	&option_resume_memory,
	&option_api_profile,
	&option_max_tokens,
	NULL,
};

struct source {
	const struct weir_kv *conf;
	size_t n;
};

static uint32_t number(const struct source *s, const struct weir_option *o)
{
	return (uint32_t)MIN(http_option_number(s->conf, s->n, o), G_MAXUINT32);
}

static size_t size(const struct source *s, const struct weir_option *o)
{
	return http_option_number(s->conf, s->n, o);
}

static void configure_plane(struct http_config *c, const struct source *s)
{
	c->only_websocket = c->websocket = true;
	c->listen = http_option_list(s->conf, s->n, &option_listen);
	c->n_threads = 1; /* all sockets of an instance live on one thread: see http/upgrade.c */
	c->max_connections = number(s, &option_max_connections);
	c->max_bodies = size(s, &option_max_messages);
	c->frame = (struct frame_limits){
		.max_line = 8192, .max_head = 65536, .max_body = 1024, .max_headers = 64
	};
	c->header_timeout_ms = number(s, &option_header_timeout);
	c->body_timeout_ms = c->idle_timeout_ms = c->header_timeout_ms;
	c->write_timeout_ms = number(s, &option_write_timeout);
}

static void configure_websocket(struct ws_config *c, const struct source *s)
{
	const char *compression = http_option(s->conf, s->n, &option_compression);
	ws_config_init(c);
	c->limits.max_message = size(s, &option_max_message);
	c->limits.max_fragments = number(s, &option_max_fragments);
	c->limits.ping_ms = number(s, &option_ping_interval);
	c->limits.pong_ms = number(s, &option_ping_timeout);
	c->limits.message_ms = number(s, &option_message_timeout);
	c->limits.compress_above = number(s, &option_compress_above);
	c->handshake.origins = http_option_list(s->conf, s->n, &option_origins);
	c->compression = strcmp(compression, "on") == 0    ? WS_COMPRESSION_ON
			 : strcmp(compression, "off") == 0 ? WS_COMPRESSION_OFF
							   : WS_COMPRESSION_REMOTE;
	c->max_compressed = number(s, &option_max_compressed);
	c->max_requests = number(s, &option_max_requests);
	c->replay_events = number(s, &option_resume_events);
	c->replay_bytes = size(s, &option_resume_bytes);
	c->replay_budget = size(s, &option_resume_memory);
	c->grace_ms = number(s, &option_resume_grace);
}

static void configure_api(struct api_config *c, const struct source *s)
{
	bool fastapi = strcmp(http_option(s->conf, s->n, &option_api_profile), "fastapi") == 0;
	c->profile = fastapi ? API_PROFILE_FASTAPI : API_PROFILE_OPENAI;
	c->request_timeout_ms = number(s, &option_request_timeout);
	c->max_tokens = number(s, &option_max_tokens);
	if (c->max_tokens == 0)
		c->max_tokens = fastapi ? 4096 : 2000000;
	if (fastapi)
		c->max_input_chars = 8000;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	const struct source s = { conf, n_conf };
	struct http_settings settings = { 0 };
	configure_plane(&settings.config, &s);
	configure_websocket(&settings.websocket, &s);
	configure_api(&settings.api, &s);
	return http_frontend_create(host, "websocket", &settings, ret, err);
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_FRONTEND,
	.id = "websocket",
	.title = "WebSocket: many requests on one socket, with credit, cancel and resume",
	.help = "Serves /v1/ws on a port of its own; http serves the same on its port. The "
		"protocol "
		"is in docs/websocket-protocol.md.",
	.options = options,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI,
	.sanitizer = WEIR_SANITIZER,
	.name = "websocket",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return &plugin;
}
