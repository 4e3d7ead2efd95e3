/*
 * frontends/websocket/session.c - see session.h.
 */
#include "session.h"

#include <string.h>

#include <api/json-write.h>

#include "request.h"

#define EVENTS_UNDER_WAY 1024u /* of all requests of a session */
#define MIN_WINDOW       8u
#define MAX_WINDOW       256u
#define MAX_OUTPUT       (8u << 20) /* events are huge: the client is cut off */

static void put_hello(struct ws_session *s)
{
	const struct ws_config *c = s->hub->config;
	struct buf *b = &s->hub->json;
	buf_puts(b, "{\"type\":\"session.created\",\"session\":{\"protocol\":\"" WS_SUBPROTOCOL
		    "\",\"server\":\"weir-" WEIR_VERSION "\",\"max_message\":");
	json_put_uint(b, c->limits.max_message);
	buf_puts(b, ",\"max_requests\":");
	json_put_uint(b, c->max_requests);
	buf_puts(b, ",\"resume_grace_ms\":");
	json_put_uint(b, c->grace_ms);
	buf_puts(b, "}}");
	ws_session_send(s, b);
}

static void copy_headers(struct ws_session *s, const struct weir_kv *headers, size_t n,
			 const char *authorization)
{
	static const char *const ours[] = { "host",
					    "connection",
					    "upgrade",
					    "cookie",
					    "sec-websocket-key",
					    "sec-websocket-version",
					    "sec-websocket-extensions",
					    "sec-websocket-protocol" };
	bool authorized = false;
	for (size_t i = 0; i < n; i++) {
		bool skip = !g_utf8_validate(headers[i].value, -1, NULL);
		for (size_t k = 0; k < G_N_ELEMENTS(ours); k++)
			skip |= strcmp(headers[i].key, ours[k]) == 0;
		if (skip)
			continue;
		g_autofree char *name = g_strconcat("header.", headers[i].key, NULL);
		struct weir_kv kv = { g_string_chunk_insert(s->text, name),
				      g_string_chunk_insert(s->text, headers[i].value) };
		authorized |= strcmp(headers[i].key, "authorization") == 0;
		g_array_append_val(s->fields, kv);
	}
	if (authorization && !authorized && g_utf8_validate(authorization, -1, NULL)) {
		struct weir_kv kv = { "header.authorization",
				      g_string_chunk_insert(s->text, authorization) };
		g_array_append_val(s->fields, kv);
	}
}

bool ws_hub_may_compress(const struct ws_hub *h, bool loopback)
{
	if (h->config->compression == WS_COMPRESSION_OFF ||
	    atomic_load(&h->shared->n_compressed) >= h->config->max_compressed)
		return false;
	return h->config->compression == WS_COMPRESSION_ON || !loopback;
}

struct ws_session *ws_session_new(struct ws_hub *hub, const struct ws_carrier *carrier, void *data,
				  struct buf *out, struct ws_handshake *h,
				  const struct weir_kv *headers, size_t n, const char *trace)
{
	struct ws_session *s = g_new0(struct ws_session, 1);
	s->hub = hub;
	s->carrier = carrier;
	s->data = data;
	s->requests = g_hash_table_new(g_str_hash, g_str_equal);
	s->fields = g_array_new(FALSE, FALSE, sizeof(struct weir_kv));
	s->text = g_string_chunk_new(256);
	s->trace = g_strdup(trace);
	s->compressed = h->deflate.on;
	atomic_fetch_add(&hub->shared->n_compressed, s->compressed);
	copy_headers(s, headers, n, h->authorization);
	g_clear_pointer(&h->authorization, g_free);
	ws_socket_init(&s->socket, &hub->config->limits, out,
		       s->compressed ? ws_deflate_new(&h->deflate) : NULL, hub->now_ms);
	if (h->subprotocol)
		put_hello(s);
	return s;
}

static void forget(struct ws_session *s, struct ws_request *r)
{
	if (r->hungry.data)
		g_queue_unlink(&s->hungry, &r->hungry);
	r->hungry.data = NULL;
}

void ws_session_free(struct ws_session *s)
{
	if (!s)
		return;
	GHashTableIter iter;
	gpointer request;
	g_hash_table_iter_init(&iter, s->requests);
	while (g_hash_table_iter_next(&iter, NULL, &request)) {
		g_hash_table_iter_remove(&iter);
		forget(s, request);
		ws_request_leave(request);
	}
	atomic_fetch_sub(&s->hub->shared->n_compressed, s->compressed);
	g_hash_table_unref(s->requests);
	ws_socket_clear(&s->socket);
	g_array_unref(s->fields);
	g_string_chunk_free(s->text);
	g_free(s->trace);
	g_free(s->held);
	g_free(s);
}

void ws_session_moved(struct ws_session *s, struct ws_hub *hub, bool stays)
{
	struct buf held = { g_steal_pointer(&s->held), s->n_held, s->n_held };
	g_assert(g_hash_table_size(s->requests) == 0);
	s->hub = hub;
	if (held.data && stays)
		ws_message_take(s, &held);
	buf_free(&held);
}

/* ---- output ---- */

void ws_session_send(struct ws_session *s, struct buf *json)
{
	if (s->socket.state == WS_STATE_OPEN && !s->cut) {
		s->carrier->touch(s->data);
		ws_socket_send(&s->socket, WS_OPCODE_TEXT, json->data, json->len);
		s->cut = s->socket.out->len > MAX_OUTPUT;
	}
	json->len = 0;
}

void ws_session_error(struct ws_session *s, const char *id, const struct api_error *e)
{
	struct buf *b = &s->hub->json;
	buf_puts(b, "{\"type\":\"error\"");
	if (id) {
		buf_puts(b, ",\"id\":");
		json_put_cstring(b, id);
	}
	buf_printf(b, ",\"status\":%d,\"error\":", e->status);
	api_error_object(b, e);
	buf_putc(b, '}');
	ws_session_send(s, b);
}

void ws_session_add(struct ws_session *s, struct ws_request *r)
{
	g_hash_table_insert(s->requests, r->id, r);
	r->session = s;
	s->newest = r;
}

void ws_session_remove(struct ws_session *s, struct ws_request *r)
{
	g_hash_table_remove(s->requests, r->id);
	forget(s, r);
	r->session = NULL;
	if (s->newest == r)
		s->newest = NULL;
	s->carrier->wake(s->data); /* a draining session may be done now */
}

void ws_session_drained(struct ws_session *s)
{
	while (s->socket.state == WS_STATE_OPEN && s->hungry.head) {
		struct ws_request *r = s->hungry.head->data;
		guint n = g_hash_table_size(s->requests);
		forget(s, r);
		ws_request_refill(r, CLAMP(EVENTS_UNDER_WAY / MAX(n, 1), MIN_WINDOW, MAX_WINDOW));
	}
}

/* ---- input, time ---- */

size_t ws_session_input(struct ws_session *s, char *data, size_t n)
{
	size_t used = 0;
	s->carrier->touch(s->data);
	if (ws_socket_feed(&s->socket, data, n, s->hub->now_ms, &used) != WS_INPUT_MESSAGE)
		return used;
	if (s->socket.opcode == WS_OPCODE_TEXT)
		ws_message_take(s, &s->socket.message);
	else
		ws_socket_close(&s->socket, WS_CLOSE_UNSUPPORTED, "messages are JSON text",
				s->hub->now_ms);
	return used;
}

uint64_t ws_session_due(const struct ws_session *s)
{
	return ws_socket_due(&s->socket);
}

void ws_session_tick(struct ws_session *s)
{
	s->carrier->touch(s->data);
	ws_socket_tick(&s->socket, s->hub->now_ms);
}

void ws_session_drain(struct ws_session *s)
{
	if (s->socket.state != WS_STATE_OPEN || s->busy || g_hash_table_size(s->requests))
		return;
	s->carrier->touch(s->data);
	ws_socket_close(&s->socket, WS_CLOSE_GOING_AWAY, "the server is going away",
			s->hub->now_ms);
}

void ws_session_fail(struct ws_session *s, enum ws_close code, const char *reason)
{
	s->carrier->touch(s->data);
	ws_socket_close(&s->socket, code, reason, s->hub->now_ms);
	s->socket.state = WS_STATE_CLOSED;
}

bool ws_session_over(const struct ws_session *s)
{
	return s->socket.state == WS_STATE_CLOSED;
}
