/*
 * frontends/http/upgrade.c - GET /v1/ws: from a request to a WebSocket that lives on the plane as
 * any connection does. [loop]
 *
 * A WebSocket lives on the thread that has accepted it. A client that comes back for an answer must
 * meet the thread on which that answer's streams are: its connection moves there.
 */
#include <string.h>

#include <websocket/session.h>

#include "handlers.h"

struct upgrade {
	struct conn *conn;
	struct ws_session *session;
	struct work_job *job; /* NULL: none */
};

struct work_job { /* a large message, in the pool */
	struct plane_job job;
	struct upgrade *upgrade; /* NULL: gone */
	struct ws_work *work;
	size_t charged;   /* taken over from the connection */
	atomic_bool gone; /* nobody waits: not worth the work */
};

/* ---- from the session; data is the connection ---- */

static void on_touch(void *data)
{
	conn_queued(data);
}

static void on_wake(void *data)
{
	struct conn *c = data;
	plane_mark_dirty(c->plane, c);
}

static struct plane *plane_of(struct ws_hub *hub)
{
	return (struct plane *)(void *)((char *)hub - offsetof(struct plane, websockets));
}

static void on_move(void *data, struct ws_hub *to)
{
	conn_move(data, plane_of(to));
}

static void cancel_there(struct plane *p, void *token)
{
	ws_hub_cancel(&p->websockets, token);
	g_free(token);
}

static void on_cancel(void *data, struct ws_hub *to, const char *token)
{
	plane_post(plane_of(to), cancel_there, g_strdup(token));
}

static void run_job(struct plane_job *job)
{
	struct work_job *j = (struct work_job *)job;
	if (!atomic_load(&j->gone))
		j->work->run(j->work);
}

static void job_done(struct plane_job *job)
{
	struct work_job *j = (struct work_job *)job;
	struct upgrade *u = j->upgrade;
	atomic_fetch_sub(&job->plane->http->bodies, j->charged);
	if (u) {
		u->job = NULL;
		u->conn->paused = false;
		plane_mark_dirty(u->conn->plane, u->conn);
	}
	j->work->done(j->work, !u);
	g_free(j);
}

static void on_work(void *data, struct ws_work *work)
{
	struct conn *c = data;
	struct upgrade *u = c->protocol_data;
	struct work_job *j = g_new0(struct work_job, 1);
	j->job.run = run_job;
	j->job.done = job_done;
	j->upgrade = u;
	j->work = work;
	if (!conn_charge(c, work->bytes))
		ws_session_fail(u->session, WS_CLOSE_TRY_LATER, "too many large messages at once");
	j->charged = c->charged;
	c->charged = 0;
	c->paused = true;
	u->job = j;
	plane_job_push(c->plane, &j->job);
}

static const struct ws_carrier carrier = {
	.touch = on_touch, .wake = on_wake, .move = on_move, .cancel = on_cancel, .work = on_work
};

/* ---- from the connection; data is the upgrade ---- */

static size_t on_input(void *data, char *bytes, size_t n)
{
	struct upgrade *u = data;
	size_t used = ws_session_input(u->session, bytes, n);
	if (!conn_charge(u->conn, u->session->socket.message.cap))
		ws_session_fail(u->session, WS_CLOSE_TRY_LATER, "too many large messages at once");
	return used;
}

static void on_settle(void *data)
{
	struct upgrade *u = data;
	struct conn *c = u->conn;
	if (u->session->cut) {
		http_count(c->plane->http, c->plane->http->m_stalled, 1);
		conn_close(c);
		return;
	}
	if (c->plane->draining)
		ws_session_drain(u->session);
	if (ws_session_over(u->session))
		conn_shut(c);
	else if (conn_unsent(c) == 0)
		ws_session_drained(u->session);
}

static uint64_t on_due(void *data)
{
	return ws_session_due(((struct upgrade *)data)->session);
}

static void on_timeout(void *data)
{
	ws_session_tick(((struct upgrade *)data)->session);
}

static void on_moved(void *data, bool stays)
{
	struct upgrade *u = data;
	ws_session_moved(u->session, &u->conn->plane->websockets, stays);
}

static void on_gone(void *data)
{
	struct upgrade *u = data;
	const struct http *h = u->conn->plane->http;
	http_count(h, h->m_websockets, -1);
	if (u->job) {
		u->job->upgrade = NULL;
		atomic_store(&u->job->gone, true);
	}
	ws_session_free(u->session);
	g_free(u);
}

static const struct conn_protocol protocol = { .input = on_input,
					       .settle = on_settle,
					       .due = on_due,
					       .timeout = on_timeout,
					       .moved = on_moved,
					       .gone = on_gone };

/* ---- the handshake ---- */

static void refuse(struct conn *c, const struct ws_handshake *h)
{
	struct buf body = { NULL, 0, 0 };
	struct api_error e;
	api_error_set(&e, h->status, NULL, h->why);
	api_error_body(&body, &e, 1, c->plane->http->api.config.profile);
	conn_respond(c, h->status, "application/json", body.data, body.len,
		     h->status == 426   ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		     : h->status == 405 ? "Allow: GET\r\n"
					: NULL);
	buf_free(&body);
}

static void begin(struct conn *c, struct ws_handshake *h, const struct weir_kv *headers, size_t n)
{
	struct plane *p = c->plane;
	struct buf lines = { NULL, 0, 0 };
	struct upgrade *u = g_new0(struct upgrade, 1);
	ws_handshake_put(&lines, h);
	conn_put_upgrade(c, &lines);
	buf_free(&lines);
	u->conn = c;
	u->session =
		ws_session_new(&p->websockets, &carrier, c, &c->out, h, headers, n, c->request_id);
	http_count(p->http, p->http->m_websockets, 1);
	conn_upgrade(c, &protocol, u);
}

void handle_websocket(struct conn *c)
{
	struct http *http = c->plane->http;
	struct ws_handshake h;
	g_autofree struct weir_kv *headers = g_new(struct weir_kv, c->req->n_headers);
	for (uint32_t i = 0; i < c->req->n_headers; i++)
		headers[i] = (struct weir_kv){ c->req->headers[i].name, c->req->headers[i].value };
	struct ws_handshake_config config = http->websocket.handshake;
	config.compress = ws_hub_may_compress(&c->plane->websockets, conn_is_loopback(c));
	ws_handshake_check(&config, c->req->method, c->req->minor, headers, c->req->n_headers, &h);
	if (h.status != 101 || http_request_has_body(c->req)) {
		if (h.status == 101) {
			h.status = 400;
			h.why = "a handshake has no body";
		}
		refuse(c, &h);
	} else if (c->plane->draining) {
		conn_respond_error(c, 503, NULL, "the server is going away");
	} else {
		begin(c, &h, headers, c->req->n_headers);
		return;
	}
	g_free(h.authorization);
}
