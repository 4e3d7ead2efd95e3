/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/requests.c - what a line asks for, and the answers that need no stream. [loop]
 */
#include "call.h"
#include "relay.h"

#include <stdlib.h>
#include <string.h>

#include <api/format.h>
#include <api/json-write.h>

#define CREDIT     256u
#define MAX_CREDIT 1000000u

static bool holds(JsonNode *node, GType type)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

static bool bad(struct rpc_error *err, const char *param, const char *text)
{
	rpc_fail(err, RPC_CODE_PARAMS, param, "%s", text);
	return false;
}

/* ---- params ---- */

/* Those that the method has beside the table of the API. */
static bool is_own(const struct rpc_request *r, const struct api_endpoint *e, const char *name)
{
	static const struct {
		const char *name;
		enum rpc_method method;
		bool streamed;
	} own[] = { { "api_key", RPC_METHOD_CALL, false }, { "flow", RPC_METHOD_CALL, true },
		    { "credit", RPC_METHOD_CALL, true },   { "id", RPC_METHOD_CANCEL, false },
		    { "id", RPC_METHOD_GRANT, false },     { "n", RPC_METHOD_GRANT, false } };
	for (size_t i = 0; i < G_N_ELEMENTS(own); i++)
		if (own[i].method == r->method && strcmp(own[i].name, name) == 0)
			return !own[i].streamed || e->format->event;
	return false;
}

/* A slip of the pen is told, where HTTP must take what every client sends. */
static bool known_names(const struct rpc_request *r, const struct api_endpoint *e,
			struct rpc_error *err)
{
	g_autoptr(GList) names = json_object_get_members(r->params);
	for (GList *l = names; l; l = l->next) {
		const struct param_rule *p = params_table();
		while (e && p->name &&
		       !((p->kinds & api_kind_bit(e->kind)) && strcmp(p->name, l->data) == 0))
			p++;
		if ((e && p->name) || is_own(r, e, l->data))
			continue;
		rpc_fail(err, RPC_CODE_PARAMS, l->data, "%s has no parameter '%.60s'", r->name,
			 (const char *)l->data);
		return false;
	}
	return true;
}

static bool read_count(const struct rpc_request *r, const char *name, uint32_t min, uint32_t *ret,
		       struct rpc_error *err)
{
	JsonNode *node = rpc_param(r, name);
	if (!node)
		return true;
	if (!holds(node, G_TYPE_INT64)) {
		rpc_fail(err, RPC_CODE_PARAMS, name, "%s must be an integer", name);
		return false;
	}
	gint64 v = json_node_get_int(node);
	if (v < min || v > MAX_CREDIT) {
		rpc_fail(err, RPC_CODE_PARAMS, name, "%s must be between %u and %u", name, min,
			 MAX_CREDIT);
		return false;
	}
	*ret = (uint32_t)v;
	return true;
}

static bool read_flow(const struct rpc_request *r, struct call_flow *ret, struct rpc_error *err)
{
	JsonNode *node = rpc_param(r, "flow");
	const char *flow = node && holds(node, G_TYPE_STRING) ? json_node_get_string(node) : "";
	ret->manual = strcmp(flow, "manual") == 0;
	ret->credit = CREDIT;
	if (node && !ret->manual && strcmp(flow, "auto") != 0)
		return bad(err, "flow", "flow must be auto or manual");
	if (!read_count(r, "credit", 0, &ret->credit, err))
		return false;
	if (!ret->manual && ret->credit == 0)
		return bad(err, "credit", "credit must be at least 1 unless flow is manual");
	return true;
}

static bool read_key(const struct rpc_request *r, char **ret_bearer, struct rpc_error *err)
{
	JsonNode *node = rpc_param(r, "api_key");
	const char *key = node && holds(node, G_TYPE_STRING) ? json_node_get_string(node) : "";
	if (node && !*key)
		return bad(err, "api_key", "api_key must be a non-empty string");
	*ret_bearer = node ? g_strconcat("Bearer ", key, NULL) : NULL;
	return true;
}

static void first_model(void *data, const struct weir_model_entry *e)
{
	char **name = data;
	if (!*name)
		*name = g_strdup(e->id);
}

/* What the API would not know by itself: streamed, and the first model, unless told otherwise.
 * False: no model has a name yet. */
static bool fill_in(const struct line *line, struct rpc_request *r, const struct api_endpoint *e)
{
	g_autofree char *model = NULL;
	if (e->format->event && !rpc_param(r, "stream"))
		json_object_set_boolean_member(r->params, "stream", TRUE);
	if (rpc_param(r, "model"))
		return true;
	line->api.gateway->models(line->api.host, first_model, &model);
	json_object_set_string_member(r->params, "model", model ? model : "-");
	return model != NULL;
}

/* ---- requests ---- */

static bool may_open(struct peer *peer, struct rpc_request *r, struct rpc_error *err)
{
	const struct line *line = peer->line;
	if (g_hash_table_contains(peer->calls, r->id)) {
		rpc_fail(err, RPC_CODE_REQUEST, "id", "a request with the id %.80s is running",
			 r->id);
		/* Under its id the answer would end the running request at the client. */
		g_clear_pointer(&r->id, g_free);
		return false;
	}
	if (g_hash_table_size(peer->calls) >= line->config.max_requests)
		rpc_fail_status(err, WEIR_E_QUEUE_FULL,
				"too many requests on this connection: wait for one to end");
	else if (line->draining)
		rpc_fail_status(err, WEIR_E_UNAVAILABLE, "the server is stopping");
	else
		return true;
	return false;
}

static bool open_call(struct peer *peer, struct rpc_request *r, const struct api_endpoint *e,
		      struct rpc_error *err)
{
	const struct line *line = peer->line;
	struct api_error_list errors;
	struct call_flow flow = { .manual = false };
	g_autofree char *bearer = NULL;
	line_count(line, line->m_requests, 1);
	if (!may_open(peer, r, err) || !read_flow(r, &flow, err) || !read_key(r, &bearer, err))
		return false;
	flow.bearer = bearer;
	flow.names_model = rpc_param(r, "model") != NULL;
	bool named = fill_in(line, r, e);
	struct api_body *body = api_body_read(&line->api.config, e, r->params, &errors);
	if (!body) {
		rpc_fail_api(err, &errors.items[0]);
		return false;
	}
	if (flow.manual && !body->params.stream) {
		api_body_free(body);
		return bad(err, "flow", "flow manual needs stream true");
	}
	if (!named) /* the first backend answers, or says that it is loading */
		g_clear_pointer(&body->model, g_free);
	call_open(peer, r->id, body, &flow);
	return true;
}

static bool read_id(struct rpc_request *r, char **ret, struct rpc_error *err)
{
	JsonNode *node = rpc_param(r, "id");
	if (!node)
		return bad(err, "id", "id is required");
	*ret = rpc_id(node);
	return *ret || bad(err, "id", "id must be the integer or string of a request");
}

static void put_count(struct peer *peer, const char *id, const char *text)
{
	if (!id)
		return;
	struct buf *out = peer_output(peer);
	size_t from = rpc_put_result(out, id);
	buf_puts(out, text);
	rpc_put_end(out, from, "}");
}

static bool answer_cancel(struct peer *peer, struct rpc_request *r, struct rpc_error *err)
{
	g_autofree char *id = NULL;
	if (!read_id(r, &id, err))
		return false;
	struct relay *relay = peer->relays ? g_hash_table_lookup(peer->relays, id) : NULL;
	struct call *k = g_hash_table_lookup(peer->calls, id);
	if (relay)
		relay_cancel(relay);
	put_count(peer, r->id, k || relay ? "{\"cancelled\":true}" : "{\"cancelled\":false}");
	if (k)
		call_cancel(k);
	return true;
}

/* An unknown id is no error: the request may just have ended. */
static bool answer_grant(struct peer *peer, struct rpc_request *r, struct rpc_error *err)
{
	g_autofree char *id = NULL;
	char text[40];
	uint32_t n = 0;
	if (!read_id(r, &id, err) || !read_count(r, "n", 1, &n, err))
		return false;
	if (n == 0)
		return bad(err, "n", "n is required");
	struct relay *relay = peer->relays ? g_hash_table_lookup(peer->relays, id) : NULL;
	struct call *k = g_hash_table_lookup(peer->calls, id);
	if (relay)
		relay_grant(relay, n);
	if (k && !call_grant(k, n)) {
		rpc_fail(err, RPC_CODE_PARAMS, "id",
			 "request %.40s has automatic flow: only flow manual takes grants", id);
		return false;
	}
	g_snprintf(text, sizeof(text), "{\"granted\":%u}", k || relay ? n : 0);
	put_count(peer, r->id, text);
	return true;
}

static void put_model(void *data, const struct weir_model_entry *e)
{
	struct buf *out = data;
	buf_puts(out, out->data[out->len - 1] == '[' ? "{\"id\":" : ",{\"id\":");
	json_put_cstring(out, e->id);
	buf_puts(out, ",\"backend\":");
	json_put_cstring(out, e->backend);
	buf_puts(out, ",\"state\":");
	json_put_cstring(out, e->state);
	buf_printf(out, ",\"created\":%" G_GINT64_FORMAT, e->created);
	if (e->context)
		buf_printf(out, ",\"context\":%u", e->context);
	buf_putc(out, '}');
}

static void answer_models(struct peer *peer, const char *id)
{
	const struct api *api = &peer->line->api;
	struct buf *out = peer_output(peer);
	size_t from = rpc_put_result(out, id);
	buf_puts(out, "{\"models\":[");
	api->gateway->models(api->host, put_model, out);
	rpc_put_end(out, from, "]}}");
}

static void answer_health(struct peer *peer, const char *id)
{
	const struct line *line = peer->line;
	const struct weir_status_api *s = line->status;
	struct buf *out = peer_output(peer);
	size_t from = rpc_put_result(out, id);
	char *text = s ? s->document(line->api.host, WEIR_STATUS_HEALTH) : NULL;
	if (text)
		buf_puts(out, text);
	else
		buf_printf(out, "{\"status\":\"%s\"}", s ? s->state(line->api.host) : "ready");
	rpc_put_end(out, from, "}");
	free(text);
}

/* Methods for a parent, where there is one. */
static bool run_relay(struct peer *peer, const struct rpc_request *r, struct rpc_error *err)
{
	if (!peer->relays) {
		rpc_fail(err, RPC_CODE_METHOD, "method",
			 "%s is between a server and the process that started it", r->name);
		return false;
	}
	if (r->method == RPC_METHOD_SUBMIT)
		return relay_submit(peer, r, err);
	relay_metrics(peer, r->id);
	return true;
}

static bool run(struct peer *peer, struct rpc_request *r, struct rpc_error *err)
{
	const struct api_endpoint *e = r->endpoint ? api_endpoint_find(r->endpoint) : NULL;
	if (r->method == RPC_METHOD_SUBMIT || r->method == RPC_METHOD_METRICS)
		return run_relay(peer, r, err);
	if (!known_names(r, e, err))
		return false;
	switch (r->method) {
	case RPC_METHOD_MODELS:
		answer_models(peer, r->id);
		return true;
	case RPC_METHOD_HEALTH:
		answer_health(peer, r->id);
		return true;
	case RPC_METHOD_CANCEL:
		return answer_cancel(peer, r, err);
	case RPC_METHOD_GRANT:
		return answer_grant(peer, r, err);
	default:
		return open_call(peer, r, e, err);
	}
}

void request_line(struct peer *peer, const char *line, size_t len)
{
	struct rpc_request r;
	struct rpc_error err;
	if (!rpc_parse(line, len, &r, &err) || !run(peer, &r, &err))
		rpc_put_error(peer_output(peer), r.id, &err);
	rpc_request_clear(&r);
}
