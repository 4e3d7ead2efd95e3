/*
 * frontends/http/answer.c - see answer.h.
 *
 * A frame is "id: <answer>:<number>", "data: <JSON>" and a blank line; JSON has no raw line ends,
 * so one data line always does (WHATWG HTML 9.2.6). Only kept answers can be resumed by an id
 * (kept.h). It is written into the connection's buffer; what one dispatch appends leaves in one
 * send.
 */
#include <string.h>

#include <api/format.h>
#include <api/json-write.h>

#include "answer.h"
#include "kept.h"

#define MAX_BACKLOG (64u << 10)
#define MAX_UNSENT  (512u << 10) /* a stream that has more is cut off: its events are huge */

/* ---- from the call; data is the connection ---- */

static void begin(void *data)
{
	struct conn *c = data;
	c->n_events = 0;
	conn_stream_begin(c, "text/event-stream; charset=utf-8", NULL);
}

static struct buf *put_id(struct conn *c)
{
	struct buf *out = conn_stream(c);
	const struct api_call *k = c->waiter_data;
	buf_append(out, "id: ", 4);
	buf_puts(out, k->id);
	buf_putc(out, ':');
	json_put_uint(out, c->n_events++);
	buf_putc(out, '\n');
	return out;
}

static struct buf *frame(void *data, const char *event, uint64_t seq)
{
	struct buf *out = put_id(data);
	if (event) {
		buf_puts(out, "event: ");
		buf_puts(out, event);
		buf_putc(out, '\n');
	}
	buf_append(out, "data: ", 6);
	return out;
}

static void frame_end(void *data)
{
	struct conn *c = data;
	const struct http *h = c->plane->http;
	buf_append(&c->out, "\n\n", 2);
	if (conn_unsent(c) < MAX_BACKLOG)
		return;
	conn_flush(c); /* this may end the call */
	if (c->state == CONN_STATE_DEAD || conn_unsent(c) <= MAX_UNSENT)
		return;
	http_count(h, h->m_stalled, 1);
	api_logf(&h->api, WEIR_LOG_WARNING,
		 "request %s: the client does not take its stream: cut off", c->request_id);
	conn_close(c);
}

static void whole(void *data, struct buf *body)
{
	conn_respond_json(data, 200, body);
}

static void end(void *data)
{
	struct conn *c = data;
	const struct api_call *k = c->waiter_data;
	if (k->format->done_mark)
		buf_puts(put_id(c), "data: [DONE]\n\n");
	conn_end(c);
}

static void error(void *data, const struct api_error *e)
{
	struct conn *c = data;
	struct api_call *k = c->waiter_data;
	if (!k->begun) {
		conn_respond_errors(c, e, 1);
		return;
	}
	api_call_error_frame(k, e); /* the last frame: no [DONE] behind it */
	if (c->state != CONN_STATE_DEAD)
		conn_end(c);
}

static void taken(void *data)
{
	struct conn *c = data;
	plane_mark_dirty(c->plane, c); /* settling grants the credit again */
}

static const struct api_transport transport = { .begin = begin,
						.frame = frame,
						.frame_end = frame_end,
						.whole = whole,
						.end = end,
						.error = error,
						.taken = taken };

/* ---- from the connection; data is the call ---- */

static void on_gone(void *data)
{
	api_call_detach(data);
}

static void on_drained(void *data)
{
	api_call_drained(data);
}

static void on_ping(void *data)
{
	const struct api_call *k = data;
	if (k->begun)
		buf_puts(conn_stream(k->data), k->format->ping ? k->format->ping : ": ping\n\n");
}

static const struct conn_waiter waiter = { .gone = on_gone,
					   .drained = on_drained,
					   .ping = on_ping };

/* ---- starting ---- */

static GArray *header_fields(const struct http_request *r, GStringChunk *names)
{
	static const char *const ours[] = { "host",         "connection", "content-length",
					    "content-type", "expect",     "transfer-encoding",
					    "accept",       "cookie",     "upgrade" };
	GArray *fields = g_array_new(FALSE, FALSE, sizeof(struct weir_kv));
	for (uint32_t i = 0; i < r->n_headers; i++) {
		bool skip = !g_utf8_validate(r->headers[i].value, -1, NULL);
		for (size_t k = 0; k < G_N_ELEMENTS(ours); k++)
			skip |= strcmp(r->headers[i].name, ours[k]) == 0;
		if (skip)
			continue;
		g_autofree char *name = g_strconcat("header.", r->headers[i].name, NULL);
		struct weir_kv kv = { g_string_chunk_insert_const(names, name),
				      r->headers[i].value };
		g_array_append_val(fields, kv);
	}
	/* Anthropic's clients send their key by another name; whoever checks keys looks at one. */
	const char *key = http_request_header(r, "x-api-key");
	if (key && !http_request_header(r, "authorization") && g_utf8_validate(key, -1, NULL)) {
		g_autofree char *bearer = g_strconcat("Bearer ", key, NULL);
		struct weir_kv kv = { "header.authorization",
				      g_string_chunk_insert(names, bearer) };
		g_array_append_val(fields, kv);
	}
	return fields;
}

static bool asks_resume(const struct conn *c, const struct api_body *body)
{
	const char *header = http_request_header(c->req, "x-weir-resume");
	return body->params.stream && c->plane->http->config.resume_grace_ms &&
	       (body->params.resume || (header && g_ascii_strcasecmp(header, "true") == 0));
}

/* True: it has been answered, or will be. */
static bool start_kept(struct conn *c, struct api_body *body, const struct weir_kv *fields,
		       size_t n)
{
	body->params.resume = asks_resume(c, body);
	if (!body->params.resume && !body->params.background)
		return false;
	if (kept_start(c, body, fields, n))
		return true;
	if (!body->params.background) {
		body->params.resume = false; /* plain: without ids */
		return false;
	}
	api_body_free(body);
	conn_respond_error(c, 503, "queue_full", "too many responses in the background");
	return true;
}

void answer_start(struct conn *c, struct api_body *body)
{
	GStringChunk *names = g_string_chunk_new(256);
	g_autoptr(GArray) fields = header_fields(c->req, names);
	const struct weir_kv *kv = (const struct weir_kv *)(void *)fields->data;
	if (!start_kept(c, body, kv, fields->len)) {
		struct api_call *k =
			api_call_new(&c->plane->api, body, c->request_id, &transport, c);
		conn_wait(c, &waiter, k);
		if (api_call_open(k, kv, fields->len)) {
			buf_free(&c->req->body);
			conn_charge(c, 0);
		}
	}
	g_string_chunk_free(names);
}
