/*
 * frontends/http/respond.c - answers of a connection: heads, whole bodies, streams. See conn.h.
 */
#include <string.h>

#include <sys/socket.h>

#include <api/body.h>
#include <api/json-write.h>

#include "conn.h"
#include "routes.h"

#define CHUNK_LINE 10 /* eight digits, CR LF */

void conn_queued(struct conn *c)
{
	if (conn_unsent(c) == 0)
		c->t_progress = c->plane->now_ms;
	plane_mark_dirty(c->plane, c);
}

static const char *allowed_origin(const struct conn *c)
{
	const struct http_config *conf = &c->plane->http->config;
	const char *origin = c->req ? http_request_header(c->req, "origin") : NULL;
	if (!origin || !conf->cors_origins)
		return NULL;
	if (conf->cors_any)
		return "*";
	for (char **o = conf->cors_origins; *o; o++)
		if (strcmp(*o, origin) == 0)
			return *o;
	return NULL;
}

void conn_put_common(struct conn *c, struct buf *b)
{
	const struct http_config *conf = &c->plane->http->config;
	if (c->request_id[0])
		buf_printf(b, "X-Request-Id: %s\r\n", c->request_id);
	if (c->request_id[0] && c->route && g_str_has_prefix(c->route->path, "/v1/messages"))
		buf_printf(b, "Request-Id: %s\r\n", c->request_id); /* Anthropic's */
	if (conf->cors_origins && !conf->cors_any)
		buf_puts(b, "Vary: Origin\r\n");
	const char *origin = allowed_origin(c);
	if (origin)
		buf_printf(b,
			   "Access-Control-Allow-Origin: %s\r\n"
			   "Access-Control-Expose-Headers: X-Request-Id, X-Weir-Stream, "
			   "Retry-After\r\n",
			   origin);
	if (!c->keep_alive || c->plane->draining)
		buf_puts(b, "Connection: close\r\n");
	else if (c->req && c->req->minor == 0)
		buf_puts(b, "Connection: keep-alive\r\n");
}

static void put_head(struct conn *c, int status, const char *type)
{
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, api_status_text(status),
		   plane_date(c->plane));
	if (type)
		buf_printf(&c->out, "Content-Type: %s\r\n", type);
	conn_put_common(c, &c->out);
}

void conn_respond(struct conn *c, int status, const char *type, const void *body, size_t len,
		  const char *headers)
{
	g_assert(c->state == CONN_STATE_BUSY && !c->handled && !c->streaming);
	conn_queued(c);
	c->handled = true;
	put_head(c, status, type);
	if (headers)
		buf_puts(&c->out, headers);
	if (status != 204)
		buf_printf(&c->out, "Content-Length: %zu\r\n", len);
	buf_append(&c->out, "\r\n", 2);
	if (len && !(c->req && strcmp(c->req->method, "HEAD") == 0))
		buf_append(&c->out, body, len);
	conn_finish(c, status);
}

void conn_respond_json(struct conn *c, int status, struct buf *body)
{
	conn_respond(c, status, "application/json", body->data, body->len, NULL);
	buf_free(body);
}

void conn_respond_errors(struct conn *c, const struct api_error *errors, uint32_t n)
{
	struct buf body = { NULL, 0, 0 };
	char retry[64] = "";
	const struct api_endpoint *e = c->route ? api_endpoint_find(c->route->handler) : NULL;
	api_error_body(&body, errors, n, api_endpoint_profile(&c->plane->http->api.config, e));
	if (e && e->anthropic && c->request_id[0] && body.len) { /* inside the object */
		body.len--;
		buf_puts(&body, ",\"request_id\":");
		json_put_cstring(&body, c->request_id);
		buf_putc(&body, '}');
	}
	if (errors[0].retry_after_s)
		g_snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", errors[0].retry_after_s);
	if (errors[0].status == 401)
		g_strlcpy(retry, "WWW-Authenticate: Bearer\r\n", sizeof(retry));
	conn_respond(c, errors[0].status, "application/json", body.data, body.len, retry);
	buf_free(&body);
}

void conn_respond_error(struct conn *c, int status, const char *code, const char *message)
{
	struct api_error e;
	api_error_set(&e, status, code, message);
	conn_respond_errors(c, &e, 1);
}

void conn_stream_begin(struct conn *c, const char *type, const char *headers)
{
	g_assert(c->state == CONN_STATE_BUSY && !c->handled && !c->streaming);
	conn_queued(c);
	c->handled = c->streaming = true;
	c->status = 200;
	c->chunked = c->req->minor >= 1;
	if (!c->chunked)
		conn_last(c); /* the end of the connection is the end of the body */
	put_head(c, 200, type);
	if (headers)
		buf_puts(&c->out, headers);
	buf_puts(&c->out, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
	buf_puts(&c->out, c->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	buf_free(&c->req->body);
	http_count(c->plane->http, c->plane->http->m_streams, 1);
}

struct buf *conn_stream(struct conn *c)
{
	conn_queued(c);
	if (c->chunked && c->chunk_at == SIZE_MAX) {
		c->chunk_at = c->out.len;
		buf_append(&c->out, "00000000\r\n", CHUNK_LINE);
	}
	return &c->out;
}

void conn_close_chunk(struct conn *c)
{
	if (c->chunk_at == SIZE_MAX)
		return;
	size_t n = c->out.len - c->chunk_at - CHUNK_LINE;
	static const char hex[] = "0123456789abcdef";
	if (n == 0) { /* an empty chunk would end the body */
		c->out.len = c->chunk_at;
	} else {
		g_assert(n <= G_MAXUINT32);
		for (int i = 0; i < 8; i++) /* CR LF is there */
			c->out.data[c->chunk_at + (size_t)i] = hex[n >> (28 - 4 * i) & 15];
		buf_append(&c->out, "\r\n", 2);
	}
	c->chunk_at = SIZE_MAX;
}

void conn_end(struct conn *c)
{
	g_assert(c->streaming);
	conn_queued(c);
	if (c->chunked) {
		conn_close_chunk(c);
		buf_append(&c->out, "0\r\n\r\n", 5);
	}
	conn_finish(c, 200);
}

void conn_put_upgrade(struct conn *c, const struct buf *lines)
{
	g_assert(c->state == CONN_STATE_BUSY && !c->handled);
	conn_queued(c);
	c->handled = true;
	buf_printf(&c->out, "HTTP/1.1 101 %s\r\nDate: %s\r\nX-Request-Id: %s\r\n",
		   api_status_text(101), plane_date(c->plane), c->request_id);
	buf_append(&c->out, lines->data, lines->len);
	buf_append(&c->out, "\r\n", 2);
}

void conn_write_raw(struct conn *c, const void *data, size_t len)
{
	conn_queued(c);
	buf_append(&c->out, data, len);
}
