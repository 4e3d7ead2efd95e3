/*
 * frontends/api/anthropic-input.c - the body of POST /v1/messages as that of a chat. See
 * anthropic.h. Nothing here changes a node of the body: it is immutable.
 *
 * A user's message may hold tool results and text: each result is a message of the role tool, which
 * comes before the text. An assistant's message may hold text and calls. Thoughts are accepted and
 * dropped: what a model thought is no part of what it reads.
 */
#include <string.h>

#include "anthropic.h"

#define MAX_STOP 16

struct reading {
	struct api_body *body;
	JsonObject *from, *chat;
	struct api_error_list *errors;
	JsonArray *messages; /* of the chat */
};

static void wrong(const struct reading *r, const char *at, const char *what)
{
	api_error_field(r->errors, NULL, at, "%s: %s", at, what);
}

static JsonObject *object_of(JsonNode *node)
{
	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonObject *add_message(const struct reading *r, const char *role)
{
	JsonObject *m = json_object_new();
	json_object_set_string_member(m, "role", role);
	json_array_add_object_element(r->messages, m);
	return m;
}

/* ---- blocks ---- */

/* The text of a text block, or of a document that is plain text; NULL: it is neither. */
static const char *text_of(JsonObject *block, const char *type)
{
	if (strcmp(type, "text") == 0)
		return body_string(block, "text");
	JsonObject *source =
		strcmp(type, "document") == 0 ? object_of(body_member(block, "source")) : NULL;
	return source && g_strcmp0(body_string(source, "type"), "text") == 0
		       ? body_string(source, "data")
		       : NULL;
}

static void refuse_block(const struct reading *r, const char *at, guint i, const char *type)
{
	static const char *const known[] = { "image", "document", "search_result",
					     "container_upload", NULL };
	if (type && g_strv_contains(known, type))
		api_error_field(r->errors, "unsupported_value", at,
				"%s.%u: blocks of the type '%s' are not supported, only text", at,
				i, type);
	else if (type && strcmp(type, "text") == 0)
		api_error_field(r->errors, NULL, at, "%s.%u.text: must be a string", at, i);
	else
		api_error_field(r->errors, NULL, at,
				"%s.%u: a block of type '%.40s' cannot be here", at, i,
				type ? type : "");
}

/* Text, or blocks of text, joined. NULL: an error was added. */
static char *joined(const struct reading *r, JsonNode *node, const char *at)
{
	if (body_is_string(node))
		return g_strdup(json_node_get_string(node));
	if (!JSON_NODE_HOLDS_ARRAY(node)) {
		wrong(r, at, "must be a string or an array of blocks");
		return NULL;
	}
	GString *all = g_string_new(NULL);
	JsonArray *blocks = json_node_get_array(node);
	for (guint i = 0; i < json_array_get_length(blocks); i++) {
		JsonObject *block = object_of(json_array_get_element(blocks, i));
		const char *type = block ? body_string(block, "type") : NULL;
		const char *text = type ? text_of(block, type) : NULL;
		if (!text) {
			refuse_block(r, at, i, type);
			g_string_free(all, TRUE);
			return NULL;
		}
		if (all->len)
			g_string_append_c(all, '\n');
		g_string_append(all, text);
	}
	return g_string_free(all, FALSE);
}

static void add_result(const struct reading *r, JsonObject *block, const char *at)
{
	const char *id = body_string(block, "tool_use_id");
	JsonNode *content = body_member(block, "content");
	if (!id) {
		wrong(r, at, "a tool_result needs a tool_use_id");
		return;
	}
	g_autofree char *text = content ? joined(r, content, at) : g_strdup("");
	if (!text)
		return;
	JsonObject *m = add_message(r, "tool");
	json_object_set_string_member(m, "content", text);
	json_object_set_string_member(m, "tool_call_id", id);
}

static bool add_call(const struct reading *r, JsonArray *calls, JsonObject *block, const char *at)
{
	const char *id = body_string(block, "id"), *name = body_string(block, "name");
	JsonNode *input = body_member(block, "input");
	if (!id || !name || !input || !JSON_NODE_HOLDS_OBJECT(input)) {
		wrong(r, at, "a tool_use needs an id, a name and an input, which is an object");
		return false;
	}
	JsonObject *call = json_object_new(), *function = json_object_new();
	g_autofree char *arguments = body_json(input);
	json_object_set_string_member(function, "name", name);
	json_object_set_string_member(function, "arguments", arguments);
	json_object_set_string_member(call, "id", id);
	json_object_set_string_member(call, "type", "function");
	json_object_set_object_member(call, "function", function);
	json_array_add_object_element(calls, call);
	return true;
}

static bool is_thought(const char *type)
{
	return strcmp(type, "thinking") == 0 || strcmp(type, "redacted_thinking") == 0;
}

static void add_blocks(const struct reading *r, JsonArray *blocks, bool user, const char *at)
{
	g_autoptr(GString) text = g_string_new(NULL);
	JsonArray *calls = json_array_new();
	bool ok = true, results = false;
	for (guint i = 0; ok && i < json_array_get_length(blocks); i++) {
		JsonObject *block = object_of(json_array_get_element(blocks, i));
		const char *type = block ? body_string(block, "type") : NULL;
		const char *part = type ? text_of(block, type) : NULL;
		uint32_t before = r->errors->n;
		if (part) {
			if (text->len)
				g_string_append_c(text, '\n');
			g_string_append(text, part);
		} else if (type && user && strcmp(type, "tool_result") == 0) {
			add_result(r, block, at);
			results = true;
		} else if (type && !user && strcmp(type, "tool_use") == 0) {
			add_call(r, calls, block, at);
		} else if (!type || user || !is_thought(type)) {
			refuse_block(r, at, i, type);
		}
		ok = r->errors->n == before;
	}
	guint n_calls = json_array_get_length(calls);
	if (ok && (text->len || n_calls || !results)) {
		JsonObject *m = add_message(r, user ? "user" : "assistant");
		if (text->len || !n_calls)
			json_object_set_string_member(m, "content", text->str);
		else
			json_object_set_null_member(m, "content");
		if (n_calls)
			json_object_set_array_member(m, "tool_calls", json_array_ref(calls));
	}
	json_array_unref(calls);
}

static void add_one(const struct reading *r, JsonNode *node, guint i)
{
	char at[60];
	JsonObject *m = object_of(node);
	const char *role = m ? body_string(m, "role") : NULL;
	JsonNode *content = m ? body_member(m, "content") : NULL;
	g_snprintf(at, sizeof(at), "messages.%u", i);
	if (!m) {
		wrong(r, at, "must be an object");
		return;
	}
	g_snprintf(at, sizeof(at), "messages.%u.role", i);
	if (g_strcmp0(role, "user") != 0 && g_strcmp0(role, "assistant") != 0) {
		wrong(r, at, "must be user or assistant");
		return;
	}
	g_snprintf(at, sizeof(at), "messages.%u.content", i);
	if (!content)
		wrong(r, at, "is required");
	else if (body_is_string(content))
		json_object_set_string_member(add_message(r, role), "content",
					      json_node_get_string(content));
	else if (JSON_NODE_HOLDS_ARRAY(content))
		add_blocks(r, json_node_get_array(content), strcmp(role, "user") == 0, at);
	else
		wrong(r, at, "must be a string or an array of blocks");
}

static void read_conversation(const struct reading *r)
{
	JsonNode *system = body_member(r->from, "system");
	JsonNode *node = body_member(r->from, "messages");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	g_autofree char *text = system ? joined(r, system, "system") : NULL;
	if (text && text[0])
		json_object_set_string_member(add_message(r, "system"), "content", text);
	if (!node)
		api_error_missing(r->errors, "messages");
	else if (!list || json_array_get_length(list) == 0)
		wrong(r, "messages", "must be an array with at least one message");
	for (guint i = 0; list && i < json_array_get_length(list); i++)
		if (r->errors->n < API_ERROR_LIST_MAX)
			add_one(r, json_array_get_element(list, i), i);
}

/* ---- tools ---- */

static void add_tool(const struct reading *r, JsonArray *to, JsonNode *node, guint i)
{
	JsonObject *tool = object_of(node);
	const char *type = tool ? body_string(tool, "type") : NULL;
	const char *name = tool ? body_string(tool, "name") : NULL;
	JsonNode *schema = tool ? body_member(tool, "input_schema") : NULL;
	if (type && strcmp(type, "custom") != 0) {
		api_error_field(r->errors, "unsupported_value", "tools",
				"tools.%u: tools of the type '%.40s' are not supported, only your "
				"own",
				i, type);
		return;
	}
	if (!name || !schema || !JSON_NODE_HOLDS_OBJECT(schema)) {
		api_error_field(r->errors, NULL, "tools",
				"tools.%u: a tool needs a name and an input_schema, which is an "
				"object",
				i);
		return;
	}
	JsonObject *function = json_object_new(), *o = json_object_new();
	json_object_set_string_member(function, "name", name);
	if (body_string(tool, "description"))
		json_object_set_string_member(function, "description",
					      body_string(tool, "description"));
	json_object_set_member(function, "parameters", json_node_copy(schema));
	json_object_set_string_member(o, "type", "function");
	json_object_set_object_member(o, "function", function);
	json_array_add_object_element(to, o);
}

static void read_tools(const struct reading *r)
{
	JsonNode *node = body_member(r->from, "tools");
	if (!node)
		return;
	if (!JSON_NODE_HOLDS_ARRAY(node)) {
		wrong(r, "tools", "must be an array");
		return;
	}
	JsonArray *from = json_node_get_array(node), *to = json_array_new();
	for (guint i = 0; i < json_array_get_length(from); i++)
		if (r->errors->n < API_ERROR_LIST_MAX)
			add_tool(r, to, json_array_get_element(from, i), i);
	if (json_array_get_length(to))
		json_object_set_array_member(r->chat, "tools", to);
	else
		json_array_unref(to);
}

static void read_tool_choice(const struct reading *r)
{
	static const char *const types[] = { "auto", "any", "none", "tool" };
	static const char *const words[] = { "auto", "required", "none" };
	JsonNode *node = body_member(r->from, "tool_choice");
	JsonObject *o = object_of(node);
	const char *type = o ? body_string(o, "type") : NULL;
	const char *name = o ? body_string(o, "name") : NULL;
	JsonNode *single = o ? body_member(o, "disable_parallel_tool_use") : NULL;
	guint i = 0;
	if (!node)
		return;
	while (i < 4 && g_strcmp0(type, types[i]) != 0)
		i++;
	if (i == 4 || (i == 3 && !name)) {
		wrong(r, "tool_choice", "its type must be auto, any, tool (with a name) or none");
		return;
	}
	if (single && JSON_NODE_HOLDS_VALUE(single) && json_node_get_boolean(single))
		r->body->params.no_parallel_calls = true;
	if (i < 3) {
		json_object_set_string_member(r->chat, "tool_choice", words[i]);
		return;
	}
	JsonObject *function = json_object_new(), *choice = json_object_new();
	json_object_set_string_member(function, "name", name);
	json_object_set_string_member(choice, "type", "function");
	json_object_set_object_member(choice, "function", function);
	json_object_set_object_member(r->chat, "tool_choice", choice);
}

/* ---- the rest ---- */

static void read_stop(const struct reading *r)
{
	JsonNode *node = body_member(r->from, "stop_sequences");
	if (!node)
		return;
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	if (!list || json_array_get_length(list) > MAX_STOP || !body_strings_only(list))
		api_error_field(r->errors, NULL, "stop_sequences",
				"stop_sequences: must be an array of at most %d non-empty strings",
				MAX_STOP);
	else
		json_object_set_member(r->chat, "stop", json_node_copy(node));
}

/* Off unless it is asked for, as Anthropic has it: templates that know enable_thinking are told,
 * and thoughts that come all the same are not sent. */
static void read_thinking(const struct reading *r)
{
	JsonNode *node = body_member(r->from, "thinking");
	JsonObject *o = object_of(node);
	JsonObject *given = object_of(body_member(r->from, "chat_template_kwargs"));
	const char *type = o ? body_string(o, "type") : NULL;
	bool on = g_strcmp0(type, "enabled") == 0 || g_strcmp0(type, "adaptive") == 0;
	if (node && !on && g_strcmp0(type, "disabled") != 0)
		wrong(r, "thinking", "its type must be enabled, adaptive or disabled");
	if (!given && body_member(r->from, "chat_template_kwargs"))
		wrong(r, "chat_template_kwargs", "must be an object");
	r->body->params.no_reasoning = !on;
	JsonObject *kwargs = json_object_new();
	json_object_set_boolean_member(kwargs, "enable_thinking", on);
	if (given) {
		JsonObjectIter it;
		const char *name;
		JsonNode *value;
		json_object_iter_init_ordered(&it, given);
		while (json_object_iter_next_ordered(&it, &name, &value))
			json_object_set_member(kwargs, name, json_node_copy(value));
	}
	json_object_set_object_member(r->chat, "chat_template_kwargs", kwargs);
}

void messages_read(struct api_body *b, JsonObject *o, const struct api_config *conf,
		   struct api_error_list *errors)
{
	struct reading r = { .body = b,
			     .from = o,
			     .chat = json_object_new(),
			     .errors = errors,
			     .messages = json_array_new() };
	JsonNode *metadata = body_member(o, "metadata");
	read_conversation(&r);
	read_tools(&r);
	read_tool_choice(&r);
	read_thinking(&r);
	if (b->endpoint->kind == API_KIND_MESSAGES) {
		read_stop(&r);
		if (!body_member(o, "max_tokens"))
			api_error_missing(errors, "max_tokens");
		if (metadata && !JSON_NODE_HOLDS_OBJECT(metadata))
			wrong(&r, "metadata", "must be an object");
		if (body_member(o, "lora"))
			json_object_set_member(r.chat, "lora",
					       json_node_copy(body_member(o, "lora")));
	}
	json_object_set_array_member(r.chat, "messages", r.messages);
	if (errors->n == 0)
		api_endpoint_find("chat")->read(b, r.chat, conf, errors);
	json_object_unref(r.chat);
}
