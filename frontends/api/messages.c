/*
 * frontends/api/messages.c - the shape of a chat's messages and tools, as OpenAI defines it.
 * Values are passed on as they are; only what no template could use is refused. See body.h.
 */
#include <string.h>

#include "body.h"

#define MAX_TOOLS 128

static const char *const roles[] = { "system", "developer", "user", "assistant",
				     "tool",   "function",  NULL };

static const char *string_member(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
	    json_node_get_value_type(node) != G_TYPE_STRING)
		return NULL;
	return json_node_get_string(node);
}

static bool absent(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	return !node || JSON_NODE_HOLDS_NULL(node);
}

static void check_parts(JsonArray *parts, const char *at, struct api_error_list *errors)
{
	guint n = json_array_get_length(parts);
	if (n == 0)
		api_error_field(errors, NULL, at, "%s must not be empty", at);
	for (guint i = 0; i < n && errors->n < API_ERROR_LIST_MAX; i++) {
		JsonNode *node = json_array_get_element(parts, i);
		JsonObject *part = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
		const char *type = part ? string_member(part, "type") : NULL;
		if (!type)
			api_error_field(errors, NULL, at, "%s[%u] must be an object with a type",
					at, i);
		else if (strcmp(type, "text") != 0)
			api_error_field(errors, "unsupported_value", at,
					"%s[%u] has the type '%.40s': only text is supported", at,
					i, type);
		else if (!string_member(part, "text"))
			api_error_field(errors, NULL, at, "%s[%u].text must be a string", at, i);
	}
}

static void check_tool_calls(JsonObject *message, const char *at, struct api_error_list *errors)
{
	JsonNode *node = json_object_get_member(message, "tool_calls");
	if (!JSON_NODE_HOLDS_ARRAY(node)) {
		api_error_field(errors, NULL, at, "%s.tool_calls must be an array", at);
		return;
	}
	JsonArray *calls = json_node_get_array(node);
	for (guint i = 0; i < json_array_get_length(calls); i++) {
		JsonNode *call = json_array_get_element(calls, i);
		JsonObject *o = JSON_NODE_HOLDS_OBJECT(call) ? json_node_get_object(call) : NULL;
		JsonNode *f = o ? json_object_get_member(o, "function") : NULL;
		JsonObject *function =
			f && JSON_NODE_HOLDS_OBJECT(f) ? json_node_get_object(f) : NULL;
		if (!function || !string_member(function, "name")) {
			api_error_field(errors, NULL, at,
					"%s.tool_calls[%u].function.name must be a string", at, i);
			return;
		}
	}
}

static void check_content(JsonObject *message, const char *role, const char *at,
			  struct api_error_list *errors)
{
	char field[60];
	g_snprintf(field, sizeof(field), "%s.content", at);
	bool calls = !absent(message, "tool_calls");
	if (absent(message, "content")) {
		bool may =
			strcmp(role, "assistant") == 0 &&
			(calls || !absent(message, "refusal") || !absent(message, "function_call"));
		if (!may)
			api_error_missing(errors, field);
		return;
	}
	JsonNode *content = json_object_get_member(message, "content");
	if (JSON_NODE_HOLDS_ARRAY(content))
		check_parts(json_node_get_array(content), field, errors);
	else if (!string_member(message, "content"))
		api_error_field(errors, NULL, field, "%s must be a string or an array of parts",
				field);
}

static void check_message(JsonNode *node, guint i, struct api_error_list *errors)
{
	char at[40], field[60];
	g_snprintf(at, sizeof(at), "messages[%u]", i);
	if (!JSON_NODE_HOLDS_OBJECT(node)) {
		api_error_field(errors, NULL, at, "%s must be an object", at);
		return;
	}
	JsonObject *message = json_node_get_object(node);
	g_snprintf(field, sizeof(field), "%s.role", at);
	if (absent(message, "role")) {
		api_error_missing(errors, field);
		return;
	}
	const char *role = string_member(message, "role");
	if (!role || !g_strv_contains(roles, role)) {
		api_error_field(errors, NULL, field,
				"%s must be one of system, developer, user, assistant, tool, "
				"function",
				field);
		return;
	}
	check_content(message, role, at, errors);
	if (!absent(message, "name") && !string_member(message, "name"))
		api_error_field(errors, NULL, at, "%s.name must be a string", at);
	if (!absent(message, "tool_calls"))
		check_tool_calls(message, at, errors);
	if (strcmp(role, "tool") == 0 && !string_member(message, "tool_call_id")) {
		g_snprintf(field, sizeof(field), "%s.tool_call_id", at);
		api_error_missing(errors, field);
	}
}

static bool is_null(JsonNode *node)
{
	return !node || JSON_NODE_HOLDS_NULL(node);
}

/* The member of a function that is not what it should be; NULL: none. */
static const char *wrong_member(JsonObject *f)
{
	JsonNode *parameters = json_object_get_member(f, "parameters");
	JsonNode *strict = json_object_get_member(f, "strict");
	if (!is_null(parameters) && !JSON_NODE_HOLDS_OBJECT(parameters))
		return "parameters must be an object";
	if (!is_null(json_object_get_member(f, "description")) && !string_member(f, "description"))
		return "description must be a string";
	if (!is_null(strict) &&
	    (!JSON_NODE_HOLDS_VALUE(strict) || json_node_get_value_type(strict) != G_TYPE_BOOLEAN))
		return "strict must be true or false";
	return NULL;
}

void messages_check_tools(JsonObject *body, struct api_error_list *errors)
{
	JsonNode *node = json_object_get_member(body, "tools");
	if (absent(body, "tools"))
		return;
	if (!JSON_NODE_HOLDS_ARRAY(node)) {
		api_error_field(errors, NULL, "tools", "tools must be an array");
		return;
	}
	JsonArray *tools = json_node_get_array(node);
	if (json_array_get_length(tools) > MAX_TOOLS) {
		api_error_field(errors, NULL, "tools", "tools must have at most %d elements",
				MAX_TOOLS);
		return;
	}
	for (guint i = 0; i < json_array_get_length(tools); i++) {
		JsonNode *t = json_array_get_element(tools, i);
		JsonObject *tool = JSON_NODE_HOLDS_OBJECT(t) ? json_node_get_object(t) : NULL;
		JsonNode *f = tool ? json_object_get_member(tool, "function") : NULL;
		const char *type = tool ? string_member(tool, "type") : NULL;
		if (g_strcmp0(type, "function") != 0 || !f || !JSON_NODE_HOLDS_OBJECT(f) ||
		    !string_member(json_node_get_object(f), "name")) {
			api_error_field(errors, NULL, "tools",
					"tools[%u] must be {\"type\":\"function\","
					"\"function\":{\"name\":...}}",
					i);
			return;
		}
		const char *wrong = wrong_member(json_node_get_object(f));
		if (wrong) {
			api_error_field(errors, NULL, "tools", "tools[%u].function.%s", i, wrong);
			return;
		}
	}
}

static bool has_tool(JsonObject *body, const char *name)
{
	JsonNode *node = json_object_get_member(body, "tools");
	JsonArray *tools = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	for (guint i = 0; tools && i < json_array_get_length(tools); i++) {
		JsonObject *tool = json_array_get_object_element(tools, i);
		JsonObject *f = json_object_get_object_member(tool, "function");
		if (strcmp(string_member(f, "name"), name) == 0)
			return true;
	}
	return false;
}

/* The tools have passed messages_check_tools(). */
static void check_tool_choice(JsonObject *body, struct api_error_list *errors)
{
	static const char *const words[] = { "none", "auto", "required", NULL };
	JsonNode *node = json_object_get_member(body, "tool_choice");
	const char *word = string_member(body, "tool_choice");
	if (word && g_strv_contains(words, word)) {
		if (strcmp(word, "required") == 0 && absent(body, "tools"))
			api_error_field(errors, NULL, "tool_choice",
					"tool_choice is required only with tools to choose from");
		return;
	}
	JsonObject *o = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	JsonNode *f = o ? json_object_get_member(o, "function") : NULL;
	const char *name = f && JSON_NODE_HOLDS_OBJECT(f)
				   ? string_member(json_node_get_object(f), "name")
				   : NULL;
	if (!name)
		api_error_field(errors, NULL, "tool_choice",
				"tool_choice must be none, auto, required or "
				"{\"type\":\"function\",\"function\":{\"name\":...}}");
	else if (!has_tool(body, name))
		api_error_field(errors, NULL, "tool_choice",
				"tool_choice names '%.60s', which is not among the tools", name);
}

void messages_check(JsonObject *body, struct api_error_list *errors)
{
	if (absent(body, "messages")) {
		api_error_missing(errors, "messages");
		return;
	}
	JsonNode *node = json_object_get_member(body, "messages");
	guint n =
		JSON_NODE_HOLDS_ARRAY(node) ? json_array_get_length(json_node_get_array(node)) : 0;
	if (n == 0)
		api_error_field(errors, NULL, "messages", "messages must be a non-empty array");
	for (guint i = 0; i < n && errors->n < API_ERROR_LIST_MAX; i++)
		check_message(json_array_get_element(json_node_get_array(node), i), i, errors);
	guint before = errors->n;
	messages_check_tools(body, errors);
	if (!absent(body, "tool_choice") && errors->n == before)
		check_tool_choice(body, errors);
}
