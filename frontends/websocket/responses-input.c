/*
 * frontends/websocket/responses-input.c - the members of a Responses request as those of a chat.
 * See responses.h. What is wrong inside of a message is found by the check of chats.
 */
#include <string.h>

#include "responses.h"

static JsonNode *member(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	return node && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

static const char *text_of(JsonObject *o, const char *name)
{
	JsonNode *node = member(o, name);
	bool is_text = node && JSON_NODE_HOLDS_VALUE(node) &&
		       json_node_get_value_type(node) == G_TYPE_STRING;
	return is_text ? json_node_get_string(node) : NULL;
}

static void add_text(JsonArray *messages, const char *role, const char *text)
{
	JsonObject *m = json_object_new();
	json_object_set_string_member(m, "role", role);
	json_object_set_string_member(m, "content", text);
	json_array_add_object_element(messages, m);
}

/* input_text and output_text parts are texts of a chat; others keep their type, for its check. */
static JsonNode *content_of(JsonNode *content)
{
	if (!JSON_NODE_HOLDS_ARRAY(content))
		return json_node_copy(content);
	JsonArray *from = json_node_get_array(content), *to = json_array_new();
	for (guint i = 0; i < json_array_get_length(from); i++) {
		JsonNode *part = json_node_copy(json_array_get_element(from, i));
		json_array_add_element(to, part);
		if (!JSON_NODE_HOLDS_OBJECT(part))
			continue;
		const char *type = text_of(json_node_get_object(part), "type");
		const char *text = text_of(json_node_get_object(part), "text");
		if (!type || !text ||
		    (strcmp(type, "input_text") != 0 && strcmp(type, "output_text") != 0))
			continue;
		JsonObject *plain = json_object_new();
		json_object_set_string_member(plain, "type", "text");
		json_object_set_string_member(plain, "text", text);
		json_node_take_object(part, plain);
	}
	JsonNode *node = json_node_new(JSON_NODE_ARRAY);
	json_node_take_array(node, to);
	return node;
}

static bool add_call(JsonArray *messages, JsonObject *item)
{
	const char *id = text_of(item, "call_id"), *name = text_of(item, "name");
	const char *arguments = text_of(item, "arguments");
	if (!id || !name || !arguments)
		return false;
	JsonObject *function = json_object_new(), *call = json_object_new();
	json_object_set_string_member(function, "name", name);
	json_object_set_string_member(function, "arguments", arguments);
	json_object_set_string_member(call, "id", id);
	json_object_set_string_member(call, "type", "function");
	json_object_set_object_member(call, "function", function);
	JsonArray *calls = json_array_new();
	json_array_add_object_element(calls, call);
	JsonObject *m = json_object_new();
	json_object_set_string_member(m, "role", "assistant");
	json_object_set_null_member(m, "content");
	json_object_set_array_member(m, "tool_calls", calls);
	json_array_add_object_element(messages, m);
	return true;
}

static bool add_output(JsonArray *messages, JsonObject *item)
{
	const char *id = text_of(item, "call_id"), *output = text_of(item, "output");
	if (!id || !output)
		return false;
	add_text(messages, "tool", output);
	json_object_set_string_member(
		json_array_get_object_element(messages, json_array_get_length(messages) - 1),
		"tool_call_id", id);
	return true;
}

static bool add_item(JsonArray *messages, JsonNode *node)
{
	if (!JSON_NODE_HOLDS_OBJECT(node))
		return false;
	JsonObject *item = json_node_get_object(node);
	const char *type = text_of(item, "type"), *role = text_of(item, "role");
	if (type && strcmp(type, "function_call") == 0)
		return add_call(messages, item);
	if (type && strcmp(type, "function_call_output") == 0)
		return add_output(messages, item);
	if (type && strcmp(type, "reasoning") == 0)
		return true; /* what a model thought is no part of what it reads */
	if ((type && strcmp(type, "message") != 0) || !role || !member(item, "content"))
		return false;
	JsonObject *m = json_object_new();
	json_object_set_string_member(m, "role", role);
	json_object_set_member(m, "content", content_of(member(item, "content")));
	json_array_add_object_element(messages, m);
	return true;
}

static void read_input(JsonObject *o, struct api_error_list *errors)
{
	JsonNode *input = member(o, "input");
	const char *text = text_of(o, "input"), *instructions = text_of(o, "instructions");
	JsonArray *messages = json_array_new();
	if (!input)
		api_error_missing(errors, "input");
	if (member(o, "instructions") && !instructions)
		api_error_field(errors, NULL, "instructions", "instructions must be a string");
	if (instructions)
		add_text(messages, "system", instructions);
	if (text)
		add_text(messages, "user", text);
	else if (input && !JSON_NODE_HOLDS_ARRAY(input))
		api_error_field(errors, NULL, "input", "input must be a string or an array");
	else if (input)
		for (guint i = 0; i < json_array_get_length(json_node_get_array(input)); i++)
			if (!add_item(messages,
				      json_array_get_element(json_node_get_array(input), i))) {
				api_error_field(errors, NULL, "input",
						"input[%u] must be a message, a function_call or a "
						"function_call_output, with its members",
						i);
				break;
			}
	json_object_set_array_member(o, "messages", messages);
}

/* {"type":"function","name":...}: a chat has the members one level deeper. */
static JsonNode *nested(JsonNode *node)
{
	JsonNode *copy = json_node_copy(node);
	if (!JSON_NODE_HOLDS_OBJECT(copy))
		return copy;
	JsonObject *flat = json_node_get_object(copy);
	const char *type = text_of(flat, "type");
	if (!type || strcmp(type, "function") != 0 || member(flat, "function"))
		return copy;
	JsonObject *function = json_object_new(), *tool = json_object_new();
	JsonObjectIter it;
	const char *name;
	JsonNode *value;
	json_object_iter_init(&it, flat);
	while (json_object_iter_next(&it, &name, &value))
		if (strcmp(name, "type") != 0)
			json_object_set_member(function, name, json_node_copy(value));
	json_object_set_string_member(tool, "type", "function");
	json_object_set_object_member(tool, "function", function);
	json_node_take_object(copy, tool);
	return copy;
}

static void read_tools(JsonObject *o)
{
	JsonNode *tools = member(o, "tools"), *choice = member(o, "tool_choice");
	if (tools && JSON_NODE_HOLDS_ARRAY(tools)) {
		JsonArray *from = json_node_get_array(tools), *to = json_array_new();
		for (guint i = 0; i < json_array_get_length(from); i++)
			json_array_add_element(to, nested(json_array_get_element(from, i)));
		json_object_set_array_member(o, "tools", to);
		if (json_array_get_length(to) == 0)
			json_object_remove_member(o, "tools");
	}
	if (choice)
		json_object_set_member(o, "tool_choice", nested(choice));
}

/* text.format is response_format, but for json_schema, whose members a chat has one level deeper.
 */
static void read_text(JsonObject *o, struct api_error_list *errors)
{
	JsonNode *text = member(o, "text");
	JsonNode *format = text && JSON_NODE_HOLDS_OBJECT(text)
				   ? member(json_node_get_object(text), "format")
				   : NULL;
	if (text && !JSON_NODE_HOLDS_OBJECT(text))
		api_error_field(errors, NULL, "text", "text must be an object");
	if (!format)
		return;
	JsonNode *copy = json_node_copy(format);
	const char *type =
		JSON_NODE_HOLDS_OBJECT(copy) ? text_of(json_node_get_object(copy), "type") : NULL;
	if (type && strcmp(type, "json_schema") == 0) {
		JsonObject *outer = json_object_new();
		json_object_set_string_member(outer, "type", "json_schema");
		json_object_set_member(outer, "json_schema", copy);
		copy = json_node_new(JSON_NODE_OBJECT);
		json_node_take_object(copy, outer);
	}
	json_object_set_member(o, "response_format", copy);
}

bool ws_responses_to_chat(JsonObject *o, struct api_error_list *errors)
{
	static const char *const stored[] = { "previous_response_id", "conversation", "prompt" };
	JsonNode *background = member(o, "background"), *reasoning = member(o, "reasoning");
	uint32_t before = errors->n;
	for (size_t i = 0; i < G_N_ELEMENTS(stored); i++)
		if (member(o, stored[i]))
			api_error_field(
				errors, "unsupported_value", stored[i],
				"%s is not supported here: nothing is stored; send the whole "
				"input",
				stored[i]);
	if (background && JSON_NODE_HOLDS_VALUE(background) && json_node_get_boolean(background))
		api_error_field(errors, "unsupported_value", "background",
				"background is not supported on a WebSocket: use resume");
	if (reasoning && JSON_NODE_HOLDS_OBJECT(reasoning) &&
	    text_of(json_node_get_object(reasoning), "effort"))
		json_object_set_string_member(o, "reasoning_effort",
					      text_of(json_node_get_object(reasoning), "effort"));
	read_input(o, errors);
	read_tools(o);
	read_text(o, errors);
	return errors->n == before;
}
