/*
 * frontends/http/routes.c - see routes.h. The small handlers are in status.c and models.c, those
 * that open streams in api.c.
 */
#include "routes.h"

#include <string.h>

#include "docs.h"
#include "handlers.h"
#include "lend.h"
#include "ui.h"

static const struct route table[] = {
	{ "/v1/chat/completions", "chat", ROUTE_METHOD_POST, false, handle_api,
	  "Chat completion, whole or streamed (SSE)." },
	{ "/v1/completions", "completions", ROUTE_METHOD_POST, false, handle_api,
	  "Text completion, whole or streamed (SSE)." },
	{ "/v1/embeddings", "embeddings", ROUTE_METHOD_POST, false, handle_api,
	  "Vectors of texts." },
	{ "/v1/rerank", "rerank", ROUTE_METHOD_POST, false, handle_api,
	  "Documents, ordered by how well they answer a query." },
	{ "/rerank", "rerank", ROUTE_METHOD_POST, false, handle_api, "The same as /v1/rerank." },
	{ "/v1/reranking", "rerank", ROUTE_METHOD_POST, false, handle_api,
	  "The same as /v1/rerank." },
	{ "/reranking", "rerank", ROUTE_METHOD_POST, false, handle_api, "The same as /v1/rerank." },
	{ "/v1/responses", "responses", ROUTE_METHOD_POST, false, handle_api,
	  "OpenAI's Responses, whole, streamed (SSE) or in the background." },
	{ "/v1/responses/", "response", ROUTE_METHOD_GET | ROUTE_METHOD_POST | ROUTE_METHOD_DELETE,
	  true, handle_response,
	  "A stored response: get, stream, delete; /cancel, /input_items behind it." },
	{ "/v1/messages", "messages", ROUTE_METHOD_POST, false, handle_api,
	  "Anthropic's Messages, whole or streamed (SSE)." },
	{ "/v1/messages/count_tokens", "count_tokens", ROUTE_METHOD_POST, false, handle_api,
	  "How many tokens the input of a message has." },
	{ "/v1/stream/", "stream", ROUTE_METHOD_GET | ROUTE_METHOD_DELETE, true, handle_stream,
	  "A stream that was started with X-Weir-Resume: go on with it, or cancel it." },
	{ "/v1/models", "models", ROUTE_METHOD_GET, false, handle_models, "The models served." },
	{ "/v1/models/load", "models", ROUTE_METHOD_POST, false, handle_change,
	  "Loads the model that the body names; from this machine only, with option admin." },
	{ "/v1/models/unload", "models", ROUTE_METHOD_POST, false, handle_change,
	  "Unloads the model that the body names." },
	{ "/v1/models/", "models", ROUTE_METHOD_GET | ROUTE_METHOD_POST, true, handle_model,
	  "One model; POST with /load or /unload behind it: loads or unloads it." },
	{ "/models", "models", ROUTE_METHOD_GET, false, handle_models, "The same as /v1/models." },
	{ "/models/load", "models", ROUTE_METHOD_POST, false, handle_change,
	  "The same as /v1/models/load." },
	{ "/models/unload", "models", ROUTE_METHOD_POST, false, handle_change,
	  "The same as /v1/models/unload." },
	{ "/tokenize", "tokenize", ROUTE_METHOD_POST, false, handle_api, "Text to token ids." },
	{ "/detokenize", "detokenize", ROUTE_METHOD_POST, false, handle_api, "Token ids to text." },
	{ "/apply-template", "apply_template", ROUTE_METHOD_POST, false, handle_api,
	  "A conversation as the model's chat template writes it." },
	{ "/infill", "infill", ROUTE_METHOD_POST, false, handle_api,
	  "llama-server's: what belongs between two texts, whole or streamed (SSE)." },
	{ "/v1/ws", "websocket", ROUTE_METHOD_GET, false, handle_websocket,
	  "WebSocket: many requests at once (docs/websocket-protocol.md)." },
	{ "/health", "health", ROUTE_METHOD_GET, false, handle_health,
	  "State, backends and queue." },
	{ "/v1/health", "health", ROUTE_METHOD_GET, false, handle_health, "The same." },
	{ "/ping", "ping", ROUTE_METHOD_GET, false, handle_ping, "Answers pong." },
	{ "/metrics", "metrics", ROUTE_METHOD_GET, false, handle_metrics,
	  "JSON; Prometheus text when Accept names text/plain or openmetrics." },
	{ "/props", "props", ROUTE_METHOD_GET, false, handle_props,
	  "Defaults and limits of this server." },
	{ "/slots", "slots", ROUTE_METHOD_GET, false, handle_slots,
	  "llama-server's: which sequences run; with option admin, on this machine, whose." },
	{ "/version", "version", ROUTE_METHOD_GET, false, handle_version, "The server's version." },
	{ "/openapi.json", "openapi", ROUTE_METHOD_GET, false, handle_openapi,
	  "The OpenAPI 3.1 document of all of this; /docs shows it." },
	{ "/admin/reload", "reload", ROUTE_METHOD_POST, false, handle_reload,
	  "Reads the profile again; from this machine only, with option admin." },
	{ "/v1/profile", "profile", ROUTE_METHOD_GET, false, handle_profile,
	  "The state of the recording of what took how long (docs/profiling.md)." },
	{ "/v1/profile/start", "profile_start", ROUTE_METHOD_POST, false, handle_profile,
	  "Begins one." },
	{ "/v1/profile/stop", "profile_stop", ROUTE_METHOD_POST, false, handle_profile,
	  "Ends it." },
	{ "/v1/profile/trace", "profile_trace", ROUTE_METHOD_GET, false, handle_profile,
	  "The recording as trace-event JSON, for Perfetto." },
	{ "/start_profile", "profile_start", ROUTE_METHOD_POST, false, handle_profile,
	  "The same as /v1/profile/start." },
	{ "/stop_profile", "profile_stop", ROUTE_METHOD_POST, false, handle_profile,
	  "The same as /v1/profile/stop." },
	{ NULL, NULL, 0, false, NULL, NULL },
};

static const struct route lent_route = { "/", "pages", ROUTE_METHOD_GET, true, lend, NULL };

static const double duration_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
					  0.5,   1,      2.5,   5,    10,    25,   50,  100 };

struct routes_metrics {
	GHashTable *counters; /* GUINT_TO_POINTER(route, method, status) -> weir_metric */
	weir_metric *durations[G_N_ELEMENTS(table) + 1];
};

const struct route *routes_table(void)
{
	return table;
}

bool routes_enabled(const struct http *h, const struct route *r)
{
	if (h->config.only_websocket && r->run != handle_websocket && r->run != handle_ping)
		return false;
	if (r->run == handle_websocket)
		return h->config.websocket;
	return (r->run != handle_reload && r->run != handle_profile) || h->config.admin;
}

static const struct route *find(const struct http *h, const char *path)
{
	for (const struct route *r = table; r->path; r++) {
		if (!routes_enabled(h, r))
			continue;
		size_t n = strlen(r->path);
		if (r->prefix ? strncmp(path, r->path, n) == 0 && path[n]
			      : strcmp(path, r->path) == 0)
			return r;
	}
	return NULL;
}

/* What is below a prefix has methods of its own. */
static uint32_t methods_of(const struct route *r, const char *path)
{
	bool load = g_str_has_suffix(path, "/load") || g_str_has_suffix(path, "/unload");
	if (r->run == handle_model)
		return load ? ROUTE_METHOD_POST : ROUTE_METHOD_GET;
	if (r->run != handle_response)
		return r->methods;
	return g_str_has_suffix(path, "/cancel")        ? ROUTE_METHOD_POST
	       : g_str_has_suffix(path, "/input_items") ? ROUTE_METHOD_GET
							: ROUTE_METHOD_GET | ROUTE_METHOD_DELETE;
}

static bool allows(const struct route *r, const char *path, const char *method)
{
	uint32_t methods = methods_of(r, path);
	if (strcmp(method, "POST") == 0)
		return methods & ROUTE_METHOD_POST;
	if (strcmp(method, "DELETE") == 0)
		return methods & ROUTE_METHOD_DELETE;
	return (methods & ROUTE_METHOD_GET) &&
	       (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

/* May libsoup have something there? */
static bool is_page(const struct http *h, const char *path)
{
	if (strncmp(path, "/v1/", 4) == 0 || path[0] != '/')
		return false;
	if (h->config.only_websocket)
		return h->config.www;
	return h->config.www || strcmp(path, "/") == 0 || docs_has(path) || ui_has(h, path);
}

int routes_refuses(const struct http *h, const struct http_request *r)
{
	const struct route *route = find(h, r->path);
	if (!route)
		return is_page(h, r->path) ? 405 : 404;
	return allows(route, r->path, r->method) ? 0 : 405;
}

static const char *allow_line(const struct route *r, const char *path)
{
	static const char *const lines[] = { "Allow: OPTIONS\r\n",
					     "Allow: GET, HEAD, OPTIONS\r\n",
					     "Allow: POST, OPTIONS\r\n",
					     "Allow: GET, HEAD, POST, OPTIONS\r\n",
					     "Allow: DELETE, OPTIONS\r\n",
					     "Allow: GET, HEAD, DELETE, OPTIONS\r\n",
					     "Allow: POST, DELETE, OPTIONS\r\n",
					     "Allow: GET, HEAD, POST, DELETE, OPTIONS\r\n" };
	return lines[methods_of(r, path) & 7];
}

static void answer_options(struct conn *c, const struct route *r)
{
	if (!http_request_header(c->req, "access-control-request-method") ||
	    !c->plane->http->config.cors_origins) {
		conn_respond(c, 204, NULL, NULL, 0,
			     r ? allow_line(r, c->req->path) : "Allow: GET, HEAD\r\n");
		return;
	}
	const char *wanted = http_request_header(c->req, "access-control-request-headers");
	g_autofree char *lines = g_strdup_printf(
		"Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\n"
		"Access-Control-Allow-Headers: %s\r\n"
		"Access-Control-Max-Age: 86400\r\n",
		wanted && wanted[0] ? wanted
				    : "Authorization, Content-Type, X-Request-Id, X-Weir-Resume, "
				      "Last-Event-ID");
	conn_respond(c, 204, NULL, NULL, 0, lines);
}

/* The client's id, when it is one that logs and headers can hold; else our own. */
static void set_request_id(struct conn *c)
{
	const char *id = http_request_header(c->req, "x-request-id");
	size_t n = id ? strlen(id) : 0;
	bool usable = n > 0 && n < sizeof(c->request_id);
	for (size_t i = 0; usable && i < n; i++)
		usable = g_ascii_isgraph(id[i]) && id[i] != '"' && id[i] != '\\';
	if (usable) {
		memcpy(c->request_id, id, n + 1);
		return;
	}
	char random[25];
	api_random_id(&c->plane->api, random);
	g_snprintf(c->request_id, sizeof(c->request_id), "req_%s", random);
}

void routes_dispatch(struct conn *c)
{
	const struct http *h = c->plane->http;
	const char *path = c->req->path, *method = c->req->method;
	const struct route *r = c->route = find(h, path);
	set_request_id(c);
	if (strcmp(method, "OPTIONS") == 0 && (r || is_page(h, path) || path[0] == '*')) {
		answer_options(c, r);
	} else if (!r && is_page(h, path)) {
		c->route = &lent_route;
		lend(c);
	} else if (!r) {
		conn_respond_error(c, 404, NULL, "endpoint not found");
	} else if (!allows(r, path, method)) {
		struct api_error e;
		struct buf b = { NULL, 0, 0 };
		api_error_set(&e, 405, NULL, "method not allowed");
		api_error_body(&b, &e, 1, h->api.config.profile);
		conn_respond(c, 405, "application/json", b.data, b.len, allow_line(r, path));
		buf_free(&b);
	} else {
		r->run(c);
	}
}

/* ---- counting ---- */

struct routes_metrics *routes_metrics_new(void)
{
	struct routes_metrics *m = g_new0(struct routes_metrics, 1);
	m->counters = g_hash_table_new(NULL, NULL);
	return m;
}

void routes_metrics_free(struct routes_metrics *m)
{
	if (!m)
		return;
	g_hash_table_unref(m->counters);
	g_free(m);
}

void routes_count(struct conn *c, int status)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "OPTIONS", "other" };
	const struct http *h = c->plane->http;
	struct routes_metrics *m = c->plane->metrics;
	const char *handler = c->route ? c->route->handler : "none";
	guint route = G_N_ELEMENTS(table) - 1, method = 0;
	if (c->route)
		route = c->route == &lent_route ? G_N_ELEMENTS(table) : (guint)(c->route - table);
	while (method < 4 && !(c->req && strcmp(c->req->method, methods[method]) == 0))
		method++;
	double seconds = c->req ? (double)(g_get_monotonic_time() - (gint64)c->t_request) / 1e6 : 0;
	api_logf(&h->api, WEIR_LOG_DEBUG, "%s %s %d %.1f ms %s", c->req ? c->req->method : "-",
		 c->req ? c->req->path : "-", status, seconds * 1e3, c->request_id);
	if (!h->metrics)
		return;
	gpointer key = GUINT_TO_POINTER(route << 16 | method << 12 | (guint)status);
	weir_metric *counter = g_hash_table_lookup(m->counters, key);
	if (!counter) {
		char labels[128];
		g_snprintf(labels, sizeof(labels), "handler=\"%s\",method=\"%s\",status=\"%d\"",
			   handler, methods[method], status);
		counter = h->metrics->counter(h->api.host, "http_requests", labels,
					      "HTTP requests answered; status 499: the client went "
					      "away first.");
		g_hash_table_insert(m->counters, key, counter);
	}
	http_count(h, counter, 1);
	if (!c->req)
		return;
	if (!m->durations[route]) {
		char labels[64];
		g_snprintf(labels, sizeof(labels), "handler=\"%s\"", handler);
		m->durations[route] =
			h->metrics->histogram(h->api.host, "http_request_duration_seconds", labels,
					      "From a complete request to its complete answer.",
					      duration_bounds, G_N_ELEMENTS(duration_bounds));
	}
	if (m->durations[route])
		h->metrics->observe(m->durations[route], seconds);
}
