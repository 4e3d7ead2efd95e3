/*
 * frontends/http/status.c - /ping, /health, /metrics, /admin/reload. No backend is touched: the
 * host's documents are ready when asked for (003-06).
 */
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include <api/json-write.h>

void handle_ping(struct conn *c)
{
	conn_respond(c, 200, "text/plain; charset=utf-8", "pong", 4, NULL);
}

static char *document(const struct http *h, uint32_t which)
{
	return h->status && h->status->document ? h->status->document(h->api.host, which) : NULL;
}

/* The host's object, with the frontend's part behind its members. */
void handle_health(struct conn *c)
{
	const struct http *h = c->plane->http;
	const char *state = h->status && h->status->state ? h->status->state(h->api.host) : "ready";
	bool draining = c->plane->draining || strcmp(state, "draining") == 0;
	char *text = document(h, WEIR_STATUS_HEALTH);
	struct buf b = { NULL, 0, 0 };
	size_t n = text ? strlen(text) : 0;
	while (n && g_ascii_isspace(text[n - 1]))
		n--;
	if (n > 1 && text[n - 1] == '}') {
		n--;
		while (n && g_ascii_isspace(text[n - 1]))
			n--;
		buf_append(&b, text, n);
		if (text[n - 1] != '{')
			buf_putc(&b, ',');
	} else {
		buf_puts(&b, "{\"status\":");
		json_put_cstring(&b, draining ? "draining" : state);
		buf_putc(&b, ',');
	}
	buf_printf(&b, "\"http\":{\"connections\":%d,\"streams\":%zu,\"draining\":%s}}",
		   g_atomic_int_get(&h->n_connections), c->plane->api.n_streams,
		   draining ? "true" : "false");
	free(text);
	conn_respond_json(c, draining ? 503 : 200, &b);
}

/* JSON unless the client asks for Prometheus text only (003u-1, C6): scrapers name text/plain or
 * openmetrics in Accept, curl and browsers do not or name JSON as well. */
static bool wants_prometheus(const struct http_request *r)
{
	const char *accept = http_request_header(r, "accept");
	g_autofree char *lower = g_ascii_strdown(accept ? accept : "", -1);
	if (strstr(lower, "application/json"))
		return false;
	return strstr(lower, "text/plain") || strstr(lower, "openmetrics");
}

void handle_metrics(struct conn *c)
{
	bool text = wants_prometheus(c->req);
	char *body = document(c->plane->http, text ? WEIR_STATUS_PROMETHEUS : WEIR_STATUS_METRICS);
	if (!body) {
		conn_respond_error(c, 503, "unavailable", "Metrics collector not initialized");
		return;
	}
	conn_respond(c, 200, text ? "text/plain; version=0.0.4; charset=utf-8" : "application/json",
		     body, strlen(body), "Vary: Accept\r\n");
	free(body);
}

void handle_reload(struct conn *c)
{
	const struct http *h = c->plane->http;
	if (!handle_from_here(c))
		return;
	if (!h->status || !h->status->reload) {
		conn_respond_error(c, 501, NULL, "this host cannot reload");
		return;
	}
	h->status->reload(h->api.host);
	static const char done[] = "{\"status\":\"reload requested\"}";
	conn_respond(c, 200, "application/json", done, sizeof(done) - 1, NULL);
}
