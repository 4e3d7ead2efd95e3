/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/rpc.c - see rpc.h.
 */
#include "rpc.h"

#include <stdarg.h>
#include <string.h>

#include <api/json-write.h>

#define MAX_ID   200 /* bytes as written */
#define N_PUBLIC (G_N_ELEMENTS(methods) - 2)

static const struct {
	const char *name;
	enum rpc_method method;
	const char *endpoint;
} methods[] = {
	{ "chat", RPC_METHOD_CALL, "chat" },
	{ "complete", RPC_METHOD_CALL, "completions" },
	{ "embed", RPC_METHOD_CALL, "embeddings" },
	{ "rerank", RPC_METHOD_CALL, "rerank" },
	{ "tokenize", RPC_METHOD_CALL, "tokenize" },
	{ "detokenize", RPC_METHOD_CALL, "detokenize" },
	{ "cancel", RPC_METHOD_CANCEL, NULL },
	{ "grant", RPC_METHOD_GRANT, NULL },
	{ "models", RPC_METHOD_MODELS, NULL },
	{ "health", RPC_METHOD_HEALTH, NULL },
	/* Not among those that a mistake is told of. */
	{ "submit", RPC_METHOD_SUBMIT, NULL },
	{ "metrics", RPC_METHOD_METRICS, NULL },
};

static const struct {
	weir_status status;
	const char *name;
} statuses[] = {
	{ WEIR_E_CANCELLED, "CANCELLED" },
	{ WEIR_E_INVALID, "INVALID" },
	{ WEIR_E_DEADLINE, "DEADLINE" },
	{ WEIR_E_NOT_FOUND, "NOT_FOUND" },
	{ WEIR_E_DENIED, "DENIED" },
	{ WEIR_E_EXHAUSTED, "EXHAUSTED" },
	{ WEIR_E_OUT_OF_RANGE, "OUT_OF_RANGE" },
	{ WEIR_E_UNSUPPORTED, "UNSUPPORTED" },
	{ WEIR_E_UNAVAILABLE, "UNAVAILABLE" },
	{ WEIR_E_UNAUTH, "UNAUTH" },
	{ WEIR_E_QUEUE_FULL, "QUEUE_FULL" },
	{ WEIR_E_RATE_LIMITED, "RATE_LIMITED" },
	{ WEIR_E_NO_MODEL, "NO_MODEL" },
	{ WEIR_E_INTERNAL, "INTERNAL" },
};

void rpc_fail(struct rpc_error *err, int code, const char *param, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	g_autofree char *text = g_strdup_vprintf(format, ap);
	va_end(ap);
	err->code = code;
	api_error_set(&err->api, 400, code == RPC_CODE_PARAMS ? "invalid_value" : NULL, text);
	if (param)
		g_strlcpy(err->api.param, param, sizeof(err->api.param));
}

void rpc_fail_api(struct rpc_error *err, const struct api_error *e)
{
	err->code = e->host ? RPC_CODE_HOST + e->host : RPC_CODE_PARAMS;
	err->api = *e;
}

void rpc_fail_status(struct rpc_error *err, weir_status status, const char *text)
{
	struct api_error e;
	api_error_from_status(&e, API_PROFILE_OPENAI, status,
			      (struct weir_str){ text, strlen(text) }, (struct weir_str){ NULL, 0 },
			      0);
	rpc_fail_api(err, &e);
}

static bool holds(JsonNode *node, GType type)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

static JsonNode *member(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	return node && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

JsonNode *rpc_param(const struct rpc_request *r, const char *name)
{
	return member(r->params, name);
}

char *rpc_id(JsonNode *node)
{
	struct buf b = { NULL, 0, 0 };
	if (holds(node, G_TYPE_INT64))
		json_put_int(&b, json_node_get_int(node));
	else if (holds(node, G_TYPE_STRING))
		json_put_cstring(&b, json_node_get_string(node));
	if (b.len && b.len <= MAX_ID)
		return buf_steal(&b, NULL);
	buf_free(&b);
	return NULL;
}

static bool read_method(struct rpc_request *r, JsonObject *o, struct rpc_error *err)
{
	JsonNode *node = member(o, "method");
	if (!node || !holds(node, G_TYPE_STRING)) {
		rpc_fail(err, RPC_CODE_REQUEST, "method",
			 node ? "method must be a string" : "method is required");
		return false;
	}
	const char *name = json_node_get_string(node);
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
		if (strcmp(name, methods[i].name) == 0) {
			r->name = methods[i].name;
			r->method = methods[i].method;
			r->endpoint = methods[i].endpoint;
			return true;
		}
	g_autoptr(GString) all = g_string_new(methods[0].name);
	for (size_t i = 1; i < N_PUBLIC; i++)
		g_string_append_printf(all, ", %s", methods[i].name);
	rpc_fail(err, RPC_CODE_METHOD, "method", "there is no method '%.40s': there are %s", name,
		 all->str);
	return false;
}

static bool read_envelope(struct rpc_request *r, struct rpc_error *err)
{
	if (!JSON_NODE_HOLDS_OBJECT(r->root)) {
		rpc_fail(err, RPC_CODE_REQUEST, NULL,
			 JSON_NODE_HOLDS_ARRAY(r->root)
				 ? "batches are not supported: write each request on a line of its "
				   "own"
				 : "a request must be a JSON object");
		return false;
	}
	JsonObject *o = json_node_get_object(r->root);
	JsonNode *id = member(o, "id"), *version = member(o, "jsonrpc"), *p = member(o, "params");
	if (id && !(r->id = rpc_id(id))) {
		rpc_fail(err, RPC_CODE_REQUEST, "id",
			 "id must be an integer or a string of at most %d bytes", MAX_ID - 2);
		return false;
	}
	if (version &&
	    !(holds(version, G_TYPE_STRING) && strcmp(json_node_get_string(version), "2.0") == 0)) {
		rpc_fail(err, RPC_CODE_REQUEST, "jsonrpc", "jsonrpc must be \"2.0\"");
		return false;
	}
	if (!read_method(r, o, err))
		return false;
	if (p && !JSON_NODE_HOLDS_OBJECT(p)) {
		rpc_fail(err, RPC_CODE_PARAMS, "params", "params must be an object");
		return false;
	}
	r->params = p ? json_object_ref(json_node_get_object(p)) : json_object_new();
	if (!id && r->method != RPC_METHOD_CANCEL && r->method != RPC_METHOD_GRANT) {
		rpc_fail(err, RPC_CODE_REQUEST, "id",
			 "id is required: an integer or a string that the answer will carry");
		return false;
	}
	return true;
}

bool rpc_parse(const char *text, size_t len, struct rpc_request *ret, struct rpc_error *err)
{
	struct json_fault fault;
	*ret = (struct rpc_request){ .root = json_tree_parse(text, len, false, &fault) };
	if (ret->root)
		return read_envelope(ret, err);
	rpc_fail(err, RPC_CODE_PARSE, NULL, "the line is not valid JSON: %s at byte %zu",
		 fault.what, fault.offset);
	return false;
}

void rpc_request_clear(struct rpc_request *r)
{
	g_clear_pointer(&r->params, json_object_unref);
	g_clear_pointer(&r->root, json_node_unref);
	g_clear_pointer(&r->id, g_free);
}

/* ---- answers ---- */

static const char *status_name(weir_status status)
{
	for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++)
		if (statuses[i].status == (status ? status : WEIR_E_INVALID))
			return statuses[i].name;
	return "INTERNAL";
}

void rpc_put_error(struct buf *b, const char *id, const struct rpc_error *err)
{
	const struct api_error *e = &err->api;
	buf_printf(b, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":",
		   id ? id : "null", err->code);
	json_put_cstring(b, e->message);
	buf_printf(b, ",\"data\":{\"status\":\"%s\"", status_name(e->host));
	if (e->code) {
		buf_puts(b, ",\"code\":");
		json_put_cstring(b, e->code);
	}
	if (e->param[0]) {
		buf_puts(b, ",\"param\":");
		json_put_cstring(b, e->param);
	}
	if (e->retry_after_s && e->host != WEIR_E_CANCELLED)
		buf_printf(b, ",\"retry_after_ms\":%" G_GUINT64_FORMAT,
			   (guint64)e->retry_after_s * 1000);
	buf_puts(b, "}}}\n");
}

size_t rpc_put_result(struct buf *b, const char *id)
{
	buf_printf(b, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id ? id : "null");
	return b->len;
}

/* Line ends in JSON text stand between its tokens only. */
void rpc_put_end(struct buf *b, size_t from, const char *text)
{
	for (size_t i = from; i < b->len; i++)
		if (b->data[i] == '\n' || b->data[i] == '\r')
			b->data[i] = ' ';
	buf_puts(b, text);
	buf_putc(b, '\n');
}
