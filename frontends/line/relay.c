/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/relay.c - a parent's requests on their way through the gateway; see relay.h.
 */
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#include <api/json-write.h>

static void relay_free(struct relay *r)
{
	g_free(r->id);
	g_free(r);
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct relay *r = data;
	struct peer *p = r->peer;
	if (!p)
		return;
	relay_put_event(peer_output(p), r->id, e);
	peer_relieve(p); /* this may close the peer and detach the relay */
}

/* Main says so first, and this thread learns it a little later. */
static bool is_ending(const struct line *line)
{
	return line->draining ||
	       (line->status && strcmp(line->status->state(line->api.host), "draining") == 0);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *e)
{
	struct relay *r = data;
	r->line->loop.n_streams--;
	/* What this server could not finish, because it stops, the parent takes elsewhere. */
	bool left = (e->status == WEIR_E_UNAVAILABLE || e->status == WEIR_E_CANCELLED) &&
		    is_ending(r->line);
	if (r->peer) {
		if (!left)
			relay_put_end(peer_output(r->peer), r->id, e);
		g_hash_table_remove(r->peer->relays, r->id);
	}
	relay_free(r);
}

static const struct weir_sink sink = { .size = sizeof(sink), .event = on_event, .end = on_end };

/* A refusal is an end like any other: the parent knows how to tell it. */
static void refuse(struct peer *p, const char *id, const struct weir_error *err)
{
	const struct weir_end end = {
		.size = sizeof(end),
		.status = err->code,
		.retry_after_ms = err->code == WEIR_E_UNAVAILABLE ? 1000 : 0,
		.text = { err->text, strnlen(err->text, sizeof(err->text)) },
		.param = { err->param, strnlen(err->param, sizeof(err->param)) },
	};
	relay_put_end(peer_output(p), id, &end);
}

static void open_stream(struct peer *p, const char *id, const struct relay_request *q)
{
	const struct api *api = &p->line->api;
	struct weir_error err = { 0 };
	struct relay *r = g_new0(struct relay, 1);
	weir_request *request = api->gateway->request_new(api->host, q->fields, q->n_fields,
							  &q->sampling, &q->limits);
	r->peer = p;
	r->line = p->line;
	r->id = g_strdup(id);
	weir_status status = api->gateway->open(api->host, p->line->loop.loop, request, &sink, r,
						q->credit, &r->stream, &err);
	if (status < 0) {
		err.code = status;
		if (!is_ending(p->line))
			refuse(p, id, &err);
		relay_free(r);
		return;
	}
	p->line->loop.n_streams++;
	g_hash_table_insert(p->relays, r->id, r);
}

bool relay_submit(struct peer *p, const struct rpc_request *r, struct rpc_error *err)
{
	struct relay_request q;
	line_count(p->line, p->line->m_requests, 1);
	if (g_hash_table_contains(p->relays, r->id)) {
		rpc_fail(err, RPC_CODE_REQUEST, "id", "a request with the id %.80s is running",
			 r->id);
		return false;
	}
	bool good = relay_request_read(r->params, &q, err);
	if (good)
		open_stream(p, r->id, &q);
	relay_request_clear(&q);
	return good;
}

void relay_cancel(struct relay *r)
{
	r->line->api.stream->cancel(r->stream, WEIR_E_CANCELLED);
}

void relay_grant(struct relay *r, uint32_t n)
{
	r->line->api.stream->grant(r->stream, n);
}

void relay_detach(struct relay *r)
{
	r->peer = NULL;
	relay_cancel(r);
}

void relay_metrics(struct peer *p, const char *id)
{
	const struct line *line = p->line;
	struct buf *out = peer_output(p);
	size_t from = rpc_put_result(out, id);
	char *text = line->status ? line->status->document(line->api.host, WEIR_STATUS_PROMETHEUS)
				  : NULL;
	buf_puts(out, "{\"text\":");
	json_put_cstring(out, text ? text : "");
	rpc_put_end(out, from, "}}");
	free(text);
}
