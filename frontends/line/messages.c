/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/messages.c - the shape of a chat's messages and tools. Values are passed on as
 * they are; only what no chat template could use is refused. See params.h.
 */
#include "params.h"

#include <string.h>

static bool is_string(const struct json_doc *d, uint32_t node)
{
	return node && json_type_of(d, node) == JSON_TYPE_STRING;
}

static bool is_object(const struct json_doc *d, uint32_t node)
{
	return node && json_type_of(d, node) == JSON_TYPE_OBJECT;
}

static bool bad(struct rpc_error *err, const char *at, const char *what)
{
	rpc_fail(err, RPC_CODE_PARAMS, at, "%s %s", at, what);
	return false;
}

static bool check_parts(const struct json_doc *d, uint32_t parts, const char *at,
			struct rpc_error *err)
{
	if (json_count(d, parts) == 0)
		return bad(err, at, "must not be empty");
	for (uint32_t i = parts + 1; i < d->nodes[parts].next; i = d->nodes[i].next) {
		uint32_t type = is_object(d, i) ? json_member(d, i, "type") : JSON_ABSENT;
		if (!is_string(d, type))
			return bad(err, at, "must hold objects with a type");
		if (!json_equals(d, type, "text"))
			return bad(err, at,
				   "holds a part whose type is not supported: only text is");
		if (!is_string(d, json_member(d, i, "text")))
			return bad(err, at, "holds a part whose text is not a string");
	}
	return true;
}

static bool check_tool_calls(const struct json_doc *d, uint32_t calls, const char *at,
			     struct rpc_error *err)
{
	if (json_type_of(d, calls) != JSON_TYPE_ARRAY)
		return bad(err, at, "must be an array");
	for (uint32_t i = calls + 1; i < d->nodes[calls].next; i = d->nodes[i].next) {
		uint32_t function = is_object(d, i) ? json_member(d, i, "function") : JSON_ABSENT;
		if (!is_object(d, function) || !is_string(d, json_member(d, function, "name")))
			return bad(err, at, "must hold calls with function.name");
	}
	return true;
}

static bool check_content(const struct json_doc *d, uint32_t message, bool assistant,
			  const char *at, struct rpc_error *err)
{
	uint32_t content = json_member(d, message, "content");
	if (!content) {
		bool may = assistant && (json_member(d, message, "tool_calls") ||
					 json_member(d, message, "refusal"));
		return may || bad(err, at, "is required");
	}
	if (json_type_of(d, content) == JSON_TYPE_ARRAY)
		return check_parts(d, content, at, err);
	return is_string(d, content) || bad(err, at, "must be a string or an array of parts");
}

static bool check_message(const struct json_doc *d, uint32_t message, unsigned i,
			  struct rpc_error *err)
{
	static const char *const roles[] = { "system",    "developer", "user",
					     "assistant", "tool",      "function" };
	char at[60];
	bool known = false;
	g_snprintf(at, sizeof(at), "messages[%u]", i);
	if (!is_object(d, message))
		return bad(err, at, "must be an object");
	uint32_t role = json_member(d, message, "role");
	g_snprintf(at, sizeof(at), "messages[%u].role", i);
	if (!role)
		return bad(err, at, "is required");
	for (size_t k = 0; k < G_N_ELEMENTS(roles); k++)
		known |= json_equals(d, role, roles[k]);
	if (!known)
		return bad(err, at,
			   "must be one of system, developer, user, assistant, tool, function");
	g_snprintf(at, sizeof(at), "messages[%u].content", i);
	if (!check_content(d, message, json_equals(d, role, "assistant"), at, err))
		return false;
	uint32_t calls = json_member(d, message, "tool_calls");
	g_snprintf(at, sizeof(at), "messages[%u].tool_calls", i);
	if (calls && !check_tool_calls(d, calls, at, err))
		return false;
	g_snprintf(at, sizeof(at), "messages[%u].tool_call_id", i);
	return !json_equals(d, role, "tool") ||
	       is_string(d, json_member(d, message, "tool_call_id")) || bad(err, at, "is required");
}

bool messages_check(const struct json_doc *d, uint32_t node, struct rpc_error *err)
{
	unsigned n = 0;
	if (json_type_of(d, node) != JSON_TYPE_ARRAY || json_count(d, node) == 0)
		return bad(err, "messages", "must be a non-empty array");
	for (uint32_t i = node + 1; i < d->nodes[node].next; i = d->nodes[i].next)
		if (!check_message(d, i, n++, err))
			return false;
	return true;
}

bool tools_check(const struct json_doc *d, uint32_t node, struct rpc_error *err)
{
	if (json_type_of(d, node) != JSON_TYPE_ARRAY)
		return bad(err, "tools", "must be an array");
	for (uint32_t i = node + 1; i < d->nodes[node].next; i = d->nodes[i].next) {
		uint32_t type = is_object(d, i) ? json_member(d, i, "type") : JSON_ABSENT;
		uint32_t function = is_object(d, i) ? json_member(d, i, "function") : JSON_ABSENT;
		if (!is_string(d, type) || !json_equals(d, type, "function") ||
		    !is_object(d, function) || !is_string(d, json_member(d, function, "name")))
			return bad(err, "tools",
				   "must hold {\"type\":\"function\",\"function\":{\"name\":...}}");
	}
	return true;
}
