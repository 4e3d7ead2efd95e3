/*
 * frontends/api/responses-items.c - items of Responses as the messages of a chat, and as they are
 * stored. What is wrong inside of a message is found by the check of chats. See responses.h.
 *
 * Nothing here changes a node that came from outside: parsed bodies are immutable.
 */
#include <string.h>

#include "responses.h"

static JsonObject *add_object(JsonArray *to)
{
	JsonObject *o = json_object_new();
	json_array_add_object_element(to, o);
	return o;
}

/* NULL: it is no text. */
static const char *text_of(JsonNode *node)
{
	JsonObject *part = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	const char *type = part ? body_string(part, "type") : NULL;
	if (g_strcmp0(type, "refusal") == 0)
		return body_string(part, "refusal");
	bool text = g_strcmp0(type, "input_text") == 0 || g_strcmp0(type, "output_text") == 0 ||
		    g_strcmp0(type, "text") == 0;
	return text ? body_string(part, "text") : NULL;
}

/* Parts that are texts become one text: many templates take no other. Else the parts stay as they
 * are, for the check of chats. */
static JsonNode *content_of(JsonNode *content)
{
	if (!JSON_NODE_HOLDS_ARRAY(content))
		return json_node_copy(content);
	JsonArray *from = json_node_get_array(content);
	g_autoptr(GString) all = g_string_new(NULL);
	for (guint i = 0; i < json_array_get_length(from); i++) {
		const char *text = text_of(json_array_get_element(from, i));
		if (!text)
			return json_node_copy(content);
		if (i)
			g_string_append_c(all, '\n');
		g_string_append(all, text);
	}
	if (json_array_get_length(from) == 0)
		return json_node_copy(content);
	JsonNode *node = json_node_new(JSON_NODE_VALUE);
	json_node_set_string(node, all->str);
	return node;
}

/* Calls one behind the other are one message with several: templates expect it so. */
static JsonArray *calls_of_last(JsonArray *messages)
{
	guint n = json_array_get_length(messages);
	JsonObject *last = n ? json_array_get_object_element(messages, n - 1) : NULL;
	if (last && g_strcmp0(body_string(last, "role"), "assistant") == 0) {
		if (!json_object_has_member(last, "tool_calls"))
			json_object_set_array_member(last, "tool_calls", json_array_new());
		return json_object_get_array_member(last, "tool_calls");
	}
	JsonObject *m = add_object(messages);
	JsonArray *calls = json_array_new();
	json_object_set_string_member(m, "role", "assistant");
	json_object_set_null_member(m, "content");
	json_object_set_array_member(m, "tool_calls", calls);
	return calls;
}

static bool add_call(JsonArray *messages, JsonObject *item)
{
	const char *id = body_string(item, "call_id"), *name = body_string(item, "name");
	const char *arguments = body_string(item, "arguments");
	if (!id || !name || !arguments)
		return false;
	JsonObject *call = add_object(calls_of_last(messages)), *function = json_object_new();
	json_object_set_string_member(function, "name", name);
	json_object_set_string_member(function, "arguments", arguments);
	json_object_set_string_member(call, "id", id);
	json_object_set_string_member(call, "type", "function");
	json_object_set_object_member(call, "function", function);
	return true;
}

static bool add_output(JsonArray *messages, JsonObject *item)
{
	const char *id = body_string(item, "call_id");
	JsonNode *output = body_member(item, "output");
	if (!id || !output || (!body_is_string(output) && !JSON_NODE_HOLDS_ARRAY(output)))
		return false;
	JsonObject *m = add_object(messages);
	json_object_set_string_member(m, "role", "tool");
	json_object_set_member(m, "content", content_of(output));
	json_object_set_string_member(m, "tool_call_id", id);
	return true;
}

static bool add_item(JsonArray *messages, JsonNode *node)
{
	if (!JSON_NODE_HOLDS_OBJECT(node))
		return false;
	JsonObject *item = json_node_get_object(node);
	const char *type = body_string(item, "type"), *role = body_string(item, "role");
	if (type && strcmp(type, "function_call") == 0)
		return add_call(messages, item);
	if (type && strcmp(type, "function_call_output") == 0)
		return add_output(messages, item);
	if (type && strcmp(type, "reasoning") == 0)
		return true; /* what a model thought is no part of what it reads */
	if ((type && strcmp(type, "message") != 0) || !role || !body_member(item, "content"))
		return false;
	JsonObject *m = add_object(messages);
	json_object_set_string_member(m, "role", role);
	json_object_set_member(m, "content", content_of(body_member(item, "content")));
	return true;
}

void responses_add_items(JsonArray *messages, JsonArray *items, const char *at,
			 struct api_error_list *errors)
{
	for (guint i = 0; i < json_array_get_length(items); i++) {
		if (add_item(messages, json_array_get_element(items, i)))
			continue;
		api_error_field(errors, NULL, at,
				"%s[%u] must be a message, a function_call, a "
				"function_call_output or a reasoning item, with its members",
				at, i);
		return;
	}
}

/* ---- as they are stored ---- */

static void set_id(JsonObject *o, const char *type)
{
	char id[40];
	const char *prefix = strcmp(type, "function_call") == 0          ? "fc"
			     : strcmp(type, "function_call_output") == 0 ? "fco"
			     : strcmp(type, "reasoning") == 0            ? "rs"
									 : "msg";
	g_snprintf(id, sizeof(id), "%s_%08x%08x%08x", prefix, g_random_int(), g_random_int(),
		   g_random_int());
	json_object_set_string_member(o, "id", id);
}

/* A message's text becomes a list of one part. */
static JsonNode *parts_of(JsonNode *content, const char *role)
{
	if (!body_is_string(content))
		return json_node_copy(content);
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);
	JsonArray *parts = json_array_new();
	JsonObject *part = add_object(parts);
	bool ours = g_strcmp0(role, "assistant") == 0;
	json_object_set_string_member(part, "type", ours ? "output_text" : "input_text");
	json_object_set_string_member(part, "text", json_node_get_string(content));
	if (ours)
		json_object_set_array_member(part, "annotations", json_array_new());
	json_node_take_array(node, parts);
	return node;
}

static void store_item(JsonArray *to, JsonObject *from)
{
	JsonObject *o = add_object(to);
	const char *type = body_string(from, "type"), *name;
	JsonObjectIter it;
	JsonNode *value;
	if (!type)
		type = "message";
	if (body_string(from, "id"))
		json_object_set_string_member(o, "id", body_string(from, "id"));
	else
		set_id(o, type);
	json_object_set_string_member(o, "type", type);
	if (!body_member(from, "status") && strcmp(type, "reasoning") != 0)
		json_object_set_string_member(o, "status", "completed");
	json_object_iter_init_ordered(&it, from);
	while (json_object_iter_next_ordered(&it, &name, &value)) {
		if (strcmp(name, "id") == 0 || strcmp(name, "type") == 0)
			continue;
		bool content = strcmp(name, "content") == 0 && strcmp(type, "message") == 0;
		json_object_set_member(o, name,
				       content ? parts_of(value, body_string(from, "role"))
					       : json_node_copy(value));
	}
}

static void copy_all(JsonArray *to, JsonArray *from)
{
	for (guint i = 0; from && i < json_array_get_length(from); i++)
		json_array_add_element(to, json_node_copy(json_array_get_element(from, i)));
}

char *responses_stored_items(JsonArray *earlier, JsonArray *earlier_output, JsonNode *input)
{
	g_autoptr(JsonArray) all = json_array_new();
	copy_all(all, earlier);
	copy_all(all, earlier_output);
	if (body_is_string(input)) {
		g_autoptr(JsonObject) m = json_object_new();
		json_object_set_string_member(m, "role", "user");
		json_object_set_string_member(m, "content", json_node_get_string(input));
		store_item(all, m);
	} else {
		JsonArray *items = json_node_get_array(input);
		for (guint i = 0; i < json_array_get_length(items); i++)
			store_item(all, json_array_get_object_element(items, i));
	}
	g_autoptr(JsonNode) node = json_node_init_array(json_node_alloc(), all);
	return body_json(node);
}
