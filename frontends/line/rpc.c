/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/rpc.c - see rpc.h.
 */
#include "rpc.h"

#include <stdarg.h>
#include <string.h>

#define MAX_ID 200 /* bytes as written */

static const struct {
	const char *name;
	uint32_t method;
} methods[] = {
	{ "chat", RPC_METHOD_CHAT },
	{ "complete", RPC_METHOD_COMPLETE },
	{ "embed", RPC_METHOD_EMBED },
	{ "tokenize", RPC_METHOD_TOKENIZE },
	{ "detokenize", RPC_METHOD_DETOKENIZE },
	{ "cancel", RPC_METHOD_CANCEL },
	{ "grant", RPC_METHOD_GRANT },
	{ "models", RPC_METHOD_MODELS },
	{ "health", RPC_METHOD_HEALTH },
};

static const struct {
	weir_status status;
	const char *name, *text;
} statuses[] = {
	{ WEIR_E_CANCELLED, "CANCELLED", "the request was cancelled" },
	{ WEIR_E_INVALID, "INVALID", "the request is invalid" },
	{ WEIR_E_DEADLINE, "DEADLINE", "request timeout" },
	{ WEIR_E_NOT_FOUND, "NOT_FOUND", "model not found" },
	{ WEIR_E_DENIED, "DENIED", "permission denied" },
	{ WEIR_E_EXHAUSTED, "EXHAUSTED", "insufficient memory" },
	{ WEIR_E_OUT_OF_RANGE, "OUT_OF_RANGE", "the request is longer than the model's context" },
	{ WEIR_E_UNSUPPORTED, "UNSUPPORTED",
	  "the request asks for something that this model does not support" },
	{ WEIR_E_INTERNAL, "INTERNAL", "inference failed" },
	{ WEIR_E_UNAVAILABLE, "UNAVAILABLE", "the server is not available" },
	{ WEIR_E_UNAUTH, "UNAUTH", "no or wrong credentials" },
	{ WEIR_E_NO_CREDIT, "NO_CREDIT", "no credit" },
	{ WEIR_E_QUEUE_FULL, "QUEUE_FULL", "the server is busy: the queue is full" },
	{ WEIR_E_RATE_LIMITED, "RATE_LIMITED", "rate limit exceeded" },
	{ WEIR_E_NO_MODEL, "NO_MODEL", "no model is loaded" },
};

/* Cuts at a rune's start, so that the result stays UTF-8. */
static void copy_text(char *to, size_t size, const char *from, size_t n)
{
	if (n >= size) {
		n = size - 1;
		while (n && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	if (n)
		memcpy(to, from, n);
	to[n] = 0;
}

void rpc_fail(struct rpc_error *err, int code, const char *param, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	g_autofree char *text = g_strdup_vprintf(format, ap);
	va_end(ap);
	*err = (struct rpc_error){ .code = code, .status = WEIR_E_INVALID };
	copy_text(err->text, sizeof(err->text), text, strlen(text));
	if (param)
		copy_text(err->param, sizeof(err->param), param, strlen(param));
}

static size_t find_status(weir_status status)
{
	size_t internal = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
		if (statuses[i].status == status)
			return i;
		if (statuses[i].status == WEIR_E_INTERNAL)
			internal = i;
	}
	return internal;
}

const char *rpc_status_name(weir_status status)
{
	return statuses[find_status(status)].name;
}

void rpc_fail_status(struct rpc_error *err, weir_status status, struct weir_str text,
		     struct weir_str param, uint32_t retry_after_ms)
{
	size_t i = find_status(status);
	*err = (struct rpc_error){ .code = RPC_CODE_HOST + statuses[i].status,
				   .status = statuses[i].status,
				   .retry_after_ms = retry_after_ms };
	if (text.len == 0)
		text = (struct weir_str){ statuses[i].text, strlen(statuses[i].text) };
	copy_text(err->text, sizeof(err->text), text.data, text.len);
	if (param.len)
		copy_text(err->param, sizeof(err->param), param.data, param.len);
}

const char *rpc_method_name(uint32_t method)
{
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return "?";
}

char *rpc_id(const struct json_doc *doc, uint32_t node)
{
	int64_t number;
	if (json_span(doc, node).len > MAX_ID)
		return NULL;
	if (json_integer(doc, node, &number))
		return g_strdup_printf("%" G_GINT64_FORMAT, number);
	g_autofree char *text = json_string(doc, node);
	if (!text)
		return NULL;
	GString *id = g_string_new(NULL);
	json_put_cstring(id, text);
	return g_string_free(id, FALSE);
}

static bool read_method(struct rpc_request *r, struct rpc_error *err)
{
	uint32_t node = json_member(&r->doc, 0, "method");
	if (!node || json_type_of(&r->doc, node) != JSON_TYPE_STRING) {
		rpc_fail(err, RPC_CODE_REQUEST, "method",
			 node ? "method must be a string" : "method is required");
		return false;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
		if (json_equals(&r->doc, node, methods[i].name))
			r->method = methods[i].method;
	if (r->method)
		return true;
	g_autofree char *name = json_string(&r->doc, node);
	rpc_fail(err, RPC_CODE_METHOD, "method",
		 "there is no method '%.40s': there are chat, complete, embed, tokenize, "
		 "detokenize, cancel, grant, models and health",
		 name);
	return false;
}

static bool read_envelope(struct rpc_request *r, struct rpc_error *err)
{
	const struct json_doc *d = &r->doc;
	if (json_type_of(d, 0) == JSON_TYPE_ARRAY) {
		rpc_fail(err, RPC_CODE_REQUEST, NULL,
			 "batches are not supported: write each request on a line of its own");
		return false;
	}
	if (json_type_of(d, 0) != JSON_TYPE_OBJECT) {
		rpc_fail(err, RPC_CODE_REQUEST, NULL, "a request must be a JSON object");
		return false;
	}
	uint32_t id = json_member(d, 0, "id"), version = json_member(d, 0, "jsonrpc");
	if (id && !(r->id = rpc_id(d, id))) {
		rpc_fail(err, RPC_CODE_REQUEST, "id",
			 "id must be an integer or a string of at most %d bytes", MAX_ID - 2);
		return false;
	}
	if (version && !json_equals(d, version, "2.0")) {
		rpc_fail(err, RPC_CODE_REQUEST, "jsonrpc", "jsonrpc must be \"2.0\"");
		return false;
	}
	if (!read_method(r, err))
		return false;
	r->params = json_member(d, 0, "params");
	if (r->params && json_type_of(d, r->params) != JSON_TYPE_OBJECT) {
		rpc_fail(err, RPC_CODE_PARAMS, "params", "params must be an object");
		return false;
	}
	if (!id && !(r->method & (RPC_METHOD_CANCEL | RPC_METHOD_GRANT))) {
		rpc_fail(err, RPC_CODE_REQUEST, "id",
			 "id is required: an integer or a string that the answer will carry");
		return false;
	}
	return true;
}

bool rpc_parse(const char *text, size_t len, struct rpc_request *ret, struct rpc_error *err)
{
	struct json_fault fault;
	*ret = (struct rpc_request){ .id = NULL };
	if (json_parse(text, len, &ret->doc, &fault))
		return read_envelope(ret, err);
	rpc_fail(err, RPC_CODE_PARSE, NULL, "the line is not valid JSON: %s at byte %zu",
		 fault.what, fault.offset);
	return false;
}

void rpc_request_clear(struct rpc_request *r)
{
	json_doc_clear(&r->doc);
	g_free(r->id);
	r->id = NULL;
}

void rpc_put_error(GString *out, const char *id, const struct rpc_error *err)
{
	g_string_append_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,",
			       id ? id : "null", err->code);
	g_string_append(out, "\"message\":");
	json_put_cstring(out, err->text);
	g_string_append_printf(out, ",\"data\":{\"status\":\"%s\"", rpc_status_name(err->status));
	if (err->param[0]) {
		g_string_append(out, ",\"param\":");
		json_put_cstring(out, err->param);
	}
	if (err->retry_after_ms)
		g_string_append_printf(out, ",\"retry_after_ms\":%u", err->retry_after_ms);
	g_string_append(out, "}}}\n");
}

void rpc_put_result(GString *out, const char *id)
{
	g_string_append_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id ? id : "null");
}

void rpc_put_end(GString *out)
{
	g_string_append(out, "}\n");
}
