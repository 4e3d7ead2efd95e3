/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/requests.c - what a line asks for, and the answers that need no stream. [loop]
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>

static void put_model(void *data, const struct weir_model_entry *e)
{
	GString *out = data;
	g_string_append(out, out->str[out->len - 1] == '[' ? "{\"id\":" : ",{\"id\":");
	json_put_cstring(out, e->id);
	g_string_append(out, ",\"backend\":");
	json_put_cstring(out, e->backend);
	g_string_append(out, ",\"state\":");
	json_put_cstring(out, e->state);
	g_string_append_printf(out, ",\"created\":%" G_GINT64_FORMAT, e->created);
	if (e->context)
		g_string_append_printf(out, ",\"context\":%u", e->context);
	g_string_append_c(out, '}');
}

static void answer_models(struct peer *peer, const char *id)
{
	const struct line *line = peer->line;
	GString *out = peer_output(peer);
	rpc_put_result(out, id);
	g_string_append(out, "{\"models\":[");
	line->gateway->models(line->host, put_model, out);
	g_string_append(out, "]}");
	rpc_put_end(out);
}

static void answer_health(struct peer *peer, const char *id)
{
	const struct line *line = peer->line;
	GString *out = peer_output(peer);
	char *text = line->status ? line->status->document(line->host, WEIR_STATUS_HEALTH) : NULL;
	struct json_doc d = { .text = NULL };
	struct json_fault fault;
	rpc_put_result(out, id);
	if (text && json_parse(text, strlen(text), &d, &fault)) {
		json_put_compact(out, &d, 0);
	} else {
		g_string_append(out, "{\"status\":");
		json_put_cstring(out, line->status ? line->status->state(line->host) : "ready");
		g_string_append_c(out, '}');
	}
	rpc_put_end(out);
	json_doc_clear(&d);
	free(text);
}

static void answer_cancel(struct peer *peer, const char *id, const struct params *p)
{
	struct call *k = g_hash_table_lookup(peer->calls, p->id);
	if (k)
		call_cancel(k);
	if (!id)
		return;
	rpc_put_result(peer_output(peer), id);
	g_string_append_printf(peer->output, "{\"cancelled\":%s}", k ? "true" : "false");
	rpc_put_end(peer->output);
}

/* An unknown id is no error: the request may just have ended. */
static bool answer_grant(struct peer *peer, const char *id, const struct params *p,
			 struct rpc_error *err)
{
	struct call *k = g_hash_table_lookup(peer->calls, p->id);
	if (k && !call_grant(k, p->credit)) {
		rpc_fail(err, RPC_CODE_PARAMS, "id",
			 "request %.40s has automatic flow: only flow manual takes grants", p->id);
		return false;
	}
	if (!id)
		return true;
	rpc_put_result(peer_output(peer), id);
	g_string_append_printf(peer->output, "{\"granted\":%u}", k ? p->credit : 0);
	rpc_put_end(peer->output);
	return true;
}

static bool may_open(struct peer *peer, struct rpc_request *r, struct rpc_error *err)
{
	const struct line *line = peer->line;
	struct weir_str none = { NULL, 0 }, text = none;
	weir_status status = WEIR_E_UNAVAILABLE;
	if (g_hash_table_contains(peer->calls, r->id)) {
		rpc_fail(err, RPC_CODE_REQUEST, "id", "a request with the id %.80s is running",
			 r->id);
		/* Under its id the answer would end the running request at the client. */
		g_clear_pointer(&r->id, g_free);
		return false;
	}
	if (g_hash_table_size(peer->calls) >= line->config.max_requests) {
		static const char full[] = "too many requests on this connection: wait for one to "
					   "end";
		text = (struct weir_str){ full, sizeof(full) - 1 };
		status = WEIR_E_QUEUE_FULL;
	} else if (line->draining) {
		static const char stopping[] = "the server is stopping";
		text = (struct weir_str){ stopping, sizeof(stopping) - 1 };
	} else {
		return true;
	}
	rpc_fail_status(err, status, text, none, 5000);
	return false;
}

static bool run(struct peer *peer, struct rpc_request *r, const struct params *p,
		struct rpc_error *err)
{
	switch (r->method) {
	case RPC_METHOD_MODELS:
		answer_models(peer, r->id);
		return true;
	case RPC_METHOD_HEALTH:
		answer_health(peer, r->id);
		return true;
	case RPC_METHOD_CANCEL:
		answer_cancel(peer, r->id, p);
		return true;
	case RPC_METHOD_GRANT:
		return answer_grant(peer, r->id, p, err);
	default:
		line_count(peer->line, peer->line->m_requests, 1);
		return may_open(peer, r, err) && call_open(peer, r, p, err);
	}
}

void request_line(struct peer *peer, const char *line, size_t len)
{
	struct rpc_request r;
	struct rpc_error err;
	bool ok = rpc_parse(line, len, &r, &err);
	if (ok) {
		struct params p;
		ok = params_read(&p, &r, &err) && run(peer, &r, &p, &err);
		params_clear(&p);
	}
	if (!ok)
		rpc_put_error(peer_output(peer), r.id, &err);
	rpc_request_clear(&r);
}
