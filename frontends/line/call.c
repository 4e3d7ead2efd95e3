/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/call.c - see call.h.
 */
#include "call.h"

#include <string.h>

/* The call has had its last word, or nobody listens to it any more. */
static void call_free(struct call *k)
{
	g_hash_table_remove(k->peer->calls, k->id);
	g_free(k->id);
	g_free(k);
}

static void over(struct call *k)
{
	k->peer->t_active = k->peer->line->now_ms;
	call_free(k);
}

/* ---- from the call ---- */

static void begin(void *data)
{
}

static struct buf *frame(void *data, const char *event, uint64_t seq)
{
	struct call *k = data;
	struct buf *out = peer_output(k->peer);
	k->frame_at = out->len;
	buf_printf(out,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"id\":%s,"
		   "\"seq\":%" G_GUINT64_FORMAT ",",
		   k->id, seq);
	return out;
}

static void end_frame(void *data)
{
	struct call *k = data;
	k->balance--;
	rpc_put_end(&k->peer->output, k->frame_at, "}}");
	peer_relieve(k->peer); /* this may close the peer and free the call */
}

static void whole(void *data, struct buf *body)
{
	struct call *k = data;
	struct buf *out = peer_output(k->peer);
	size_t from = rpc_put_result(out, k->id);
	buf_append(out, body->data, body->len);
	rpc_put_end(out, from, "}");
	over(k);
}

static void end(void *data)
{
	struct call *k = data;
	struct buf *out = peer_output(k->peer);
	size_t from = rpc_put_result(out, k->id);
	call_put_summary(k, out);
	rpc_put_end(out, from, "}");
	over(k);
}

static void error(void *data, const struct api_error *e)
{
	struct call *k = data;
	struct rpc_error err;
	rpc_fail_api(&err, e);
	rpc_put_error(peer_output(k->peer), k->id, &err);
	over(k);
}

static void taken(void *data)
{
	struct call *k = data;
	peer_mark_dirty(k->peer); /* settling asks for more */
}

static const struct api_transport transport = { .begin = begin,
						.frame = frame,
						.frame_end = end_frame,
						.whole = whole,
						.end = end,
						.error = error,
						.taken = taken };

/* ---- from the client ---- */

void call_open(struct peer *peer, const char *id, struct api_body *body,
	       const struct call_flow *flow)
{
	struct line *line = peer->line;
	struct call *k = g_new0(struct call, 1);
	struct weir_kv bearer = { "header.authorization", flow->bearer };
	if (body->params.stream)
		body->endpoint =
			body->endpoint->kind == API_KIND_CHAT ? &line->chat : &line->complete;
	k->peer = peer;
	k->id = g_strdup(id);
	k->names_model = flow->names_model;
	k->balance = flow->credit;
	k->api = api_call_new(&line->loop, body, id, &transport, k);
	k->api->manual = flow->manual;
	g_hash_table_insert(peer->calls, k->id, k);
	api_call_open(k->api, &bearer, flow->bearer ? 1 : 0);
}

void call_top_up(struct call *k)
{
	struct api_call *a = k->api;
	uint64_t coming = 0;
	if (k->peer->eof)
		a->manual = false; /* nobody is left who could grant */
	for (uint32_t i = 0; i < a->n_streams; i++)
		if (a->streams[i].stream)
			coming += a->streams[i].outstanding;
	a->allowance =
		k->balance > 0 && (uint64_t)k->balance > coming ? (uint64_t)k->balance - coming : 0;
	api_call_drained(a);
}

bool call_grant(struct call *k, uint32_t n)
{
	if (!k->api->manual)
		return false;
	k->balance = MIN(k->balance + n, (int64_t)G_MAXUINT32);
	peer_mark_dirty(k->peer);
	return true;
}

void call_cancel(struct call *k)
{
	api_call_cancel(k->api);
}

void call_detach(struct call *k)
{
	api_call_detach(k->api);
	call_free(k);
}
