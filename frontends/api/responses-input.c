/*
 * frontends/api/responses-input.c - the body of POST /v1/responses: read as a chat's, with what the
 * response repeats of it and what is stored. See responses.h.
 */
#include <string.h>

#include "json-write.h"
#include "response-store.h"
#include "responses.h"

#define MAX_METADATA       16
#define MAX_METADATA_KEY   64
#define MAX_METADATA_VALUE 512

struct reading {
	struct api_body *body;
	JsonObject *from;
	const struct api_config *conf;
	struct api_error_list *errors;
	JsonObject *chat;         /* what is read as a chat */
	JsonNode *items, *output; /* of the previous response, or NULL */
};

static JsonObject *object_member(JsonObject *o, const char *name)
{
	JsonNode *node = body_member(o, name);
	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static void must_be(const struct reading *r, const char *name, const char *what)
{
	api_error_field(r->errors, NULL, name, "%s must be %s", name, what);
}

/* Members that mean the same in a chat pass as they are. */
static void copy_rest(const struct reading *r)
{
	static const char *const ours[] = { "input",       "instructions",
					    "messages",    "tools",
					    "tool_choice", "text",
					    "reasoning",   "response_format",
					    "max_tokens",  "max_completion_tokens",
					    "metadata",    "stop",
					    NULL };
	JsonObjectIter it;
	const char *name;
	JsonNode *value;
	json_object_iter_init_ordered(&it, r->from);
	while (json_object_iter_next_ordered(&it, &name, &value))
		if (!g_strv_contains(ours, name))
			json_object_set_member(r->chat, name, json_node_copy(value));
}

/* ---- the conversation ---- */

static void read_previous(struct reading *r)
{
	static const char at[] = "previous_response_id";
	JsonNode *node = body_member(r->from, at);
	struct stored_response stored = { 0 };
	if (!node)
		return;
	if (!body_is_string(node)) {
		must_be(r, at, "a string");
	} else if (!r->conf->responses) {
		api_error_field(r->errors, "unsupported_value", at,
				"previous_response_id is not supported here: this server stores no "
				"responses; send the whole input");
	} else if (!response_store_get(r->conf->responses, json_node_get_string(node), &stored)) {
		api_error_field(r->errors, "previous_response_not_found", at,
				"Previous response with id '%.64s' not found.",
				json_node_get_string(node));
	} else if (!stored.done) {
		api_error_field(r->errors, "previous_response_not_ready", at,
				"the previous response is still in progress");
	} else {
		r->items = json_from_string(stored.items, NULL);
		r->output = json_from_string(stored.output, NULL);
	}
	stored_response_clear(&stored);
}

static void add_text(JsonArray *messages, const char *role, const char *text)
{
	JsonObject *m = json_object_new();
	json_object_set_string_member(m, "role", role);
	json_object_set_string_member(m, "content", text);
	json_array_add_object_element(messages, m);
}

static void read_input(struct reading *r)
{
	JsonNode *input = body_member(r->from, "input");
	const char *instructions = body_string(r->from, "instructions");
	JsonArray *messages = json_array_new();
	if (body_member(r->from, "instructions") && !instructions)
		must_be(r, "instructions", "a string");
	if (instructions)
		add_text(messages, "system", instructions);
	if (r->items)
		responses_add_items(messages, json_node_get_array(r->items), "previous_response_id",
				    r->errors);
	if (r->output)
		responses_add_items(messages, json_node_get_array(r->output),
				    "previous_response_id", r->errors);
	if (!input)
		api_error_missing(r->errors, "input");
	else if (body_is_string(input))
		add_text(messages, "user", json_node_get_string(input));
	else if (JSON_NODE_HOLDS_ARRAY(input))
		responses_add_items(messages, json_node_get_array(input), "input", r->errors);
	else
		must_be(r, "input", "a string or an array of items");
	if (r->errors->n == 0 && json_array_get_length(messages) == 0)
		api_error_field(r->errors, NULL, "input", "input must hold a message");
	json_object_set_array_member(r->chat, "messages", messages);
}

/* ---- tools and forms ---- */

/* {"type":"function","name":...}: a chat has the members one level deeper. */
static JsonNode *nested(JsonNode *node)
{
	JsonObject *flat = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	const char *type = flat ? body_string(flat, "type") : NULL;
	if (!type || strcmp(type, "function") != 0 || body_member(flat, "function"))
		return json_node_copy(node);
	JsonObject *function = json_object_new(), *tool = json_object_new();
	JsonObjectIter it;
	const char *name;
	JsonNode *value;
	json_object_iter_init_ordered(&it, flat);
	while (json_object_iter_next_ordered(&it, &name, &value))
		if (strcmp(name, "type") != 0)
			json_object_set_member(function, name, json_node_copy(value));
	json_object_set_string_member(tool, "type", "function");
	json_object_set_object_member(tool, "function", function);
	JsonNode *ret = json_node_new(JSON_NODE_OBJECT);
	json_node_take_object(ret, tool);
	return ret;
}

static void read_tools(const struct reading *r)
{
	JsonNode *tools = body_member(r->from, "tools");
	JsonNode *choice = body_member(r->from, "tool_choice");
	JsonArray *from = tools && JSON_NODE_HOLDS_ARRAY(tools) ? json_node_get_array(tools) : NULL;
	JsonArray *to = json_array_new();
	for (guint i = 0; from && i < json_array_get_length(from); i++) {
		JsonNode *node = json_array_get_element(from, i);
		const char *type = JSON_NODE_HOLDS_OBJECT(node)
					   ? body_string(json_node_get_object(node), "type")
					   : NULL;
		if (type && strcmp(type, "function") != 0) {
			api_error_field(r->errors, "unsupported_value", "tools",
					"tools[%u] has the type '%.40s': only functions are "
					"supported",
					i, type);
			break;
		}
		json_array_add_element(to, nested(node));
	}
	if (tools && !from)
		must_be(r, "tools", "an array");
	if (json_array_get_length(to))
		json_object_set_array_member(r->chat, "tools", to);
	else
		json_array_unref(to);
	if (choice)
		json_object_set_member(r->chat, "tool_choice", nested(choice));
}

/* text.format is response_format, but for json_schema, whose members a chat has one level deeper.
 */
static void read_text(const struct reading *r)
{
	JsonNode *text = body_member(r->from, "text");
	if (text && !JSON_NODE_HOLDS_OBJECT(text))
		must_be(r, "text", "an object");
	JsonNode *format = text && JSON_NODE_HOLDS_OBJECT(text)
				   ? body_member(json_node_get_object(text), "format")
				   : NULL;
	if (!format)
		return;
	const char *type = JSON_NODE_HOLDS_OBJECT(format)
				   ? body_string(json_node_get_object(format), "type")
				   : NULL;
	if (g_strcmp0(type, "json_schema") != 0) {
		json_object_set_member(r->chat, "response_format", json_node_copy(format));
		return;
	}
	JsonObject *outer = json_object_new();
	json_object_set_string_member(outer, "type", "json_schema");
	json_object_set_member(outer, "json_schema", json_node_copy(format));
	json_object_set_object_member(r->chat, "response_format", outer);
}

static void read_reasoning(const struct reading *r)
{
	JsonNode *node = body_member(r->from, "reasoning");
	JsonObject *o = object_member(r->from, "reasoning");
	if (node && !o)
		must_be(r, "reasoning", "an object");
	if (o && body_member(o, "effort"))
		json_object_set_member(r->chat, "reasoning_effort",
				       json_node_copy(body_member(o, "effort")));
}

/* ---- what is not a chat's ---- */

static void check_metadata(const struct reading *r)
{
	JsonNode *node = body_member(r->from, "metadata");
	JsonObject *o = object_member(r->from, "metadata");
	JsonObjectIter it;
	const char *name;
	JsonNode *value;
	if (!node)
		return;
	bool ok = o && json_object_get_size(o) <= MAX_METADATA;
	if (o)
		json_object_iter_init(&it, o);
	while (ok && json_object_iter_next(&it, &name, &value))
		ok = g_utf8_strlen(name, -1) <= MAX_METADATA_KEY && body_is_string(value) &&
		     g_utf8_strlen(json_node_get_string(value), -1) <= MAX_METADATA_VALUE;
	if (!ok)
		api_error_field(r->errors, NULL, "metadata",
				"metadata must be an object of at most %d strings, with names of "
				"at most %d and values of at most %d characters",
				MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE);
}

/* What answers of this server could hold beyond the usual is log-probabilities; the rest of what
 * OpenAI lets clients include belongs to tools and pictures that are not here. */
static void read_include(const struct reading *r)
{
	static const char *const known[] = { "message.output_text.logprobs",
					     "reasoning.encrypted_content",
					     "file_search_call.results",
					     "web_search_call.results",
					     "web_search_call.action.sources",
					     "message.input_image.image_url",
					     "computer_call_output.output.image_url",
					     "code_interpreter_call.outputs",
					     NULL };
	struct weir_sampling *sampling = &r->body->params.sampling;
	JsonNode *node = body_member(r->from, "include");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	if (node && !list)
		must_be(r, "include", "an array of strings");
	for (guint i = 0; list && i < json_array_get_length(list); i++) {
		JsonNode *one = json_array_get_element(list, i);
		const char *name = body_is_string(one) ? json_node_get_string(one) : "";
		if (!g_strv_contains(known, name)) {
			api_error_field(r->errors, NULL, "include",
					"include[%u] must be one of the names that OpenAI has for "
					"it, such as message.output_text.logprobs",
					i);
			return;
		}
		sampling->logprobs |= strcmp(name, known[0]) == 0;
	}
	if (sampling->top_logprobs)
		sampling->logprobs = 1;
}

static void check_rest(const struct reading *r)
{
	static const char *const elsewhere[] = { "conversation", "prompt" };
	struct api_params *p = &r->body->params;
	const char *truncation = body_string(r->from, "truncation");
	for (size_t i = 0; i < G_N_ELEMENTS(elsewhere); i++)
		if (body_member(r->from, elsewhere[i]))
			api_error_field(r->errors, "unsupported_value", elsewhere[i],
					"%s is not supported: use previous_response_id, or send "
					"the whole input",
					elsewhere[i]);
	if (body_member(r->from, "truncation") &&
	    !(truncation && (strcmp(truncation, "disabled") == 0 || !strcmp(truncation, "auto"))))
		must_be(r, "truncation", "disabled or auto");
	if (p->background && (!p->store || !r->conf->responses))
		api_error_field(r->errors, NULL, "background",
				r->conf->responses
					? "background needs store to be true"
					: "background is not supported here: this server stores "
					  "no responses");
	check_metadata(r);
}

/* ---- what the response repeats ---- */

static void show(struct buf *b, const char *name, JsonNode *node, const char *otherwise)
{
	g_autofree char *text = node ? body_json(node) : NULL;
	buf_putc(b, ',');
	json_put_key(b, name);
	buf_puts(b, text ? text : otherwise);
}

static void show_number(struct buf *b, const char *name, float value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	buf_printf(b, ",\"%s\":%s", name,
		   g_ascii_formatd(text, sizeof(text), "%.7g", (double)value));
}

static void show_text(struct buf *b, JsonObject *from)
{
	JsonObject *o = object_member(from, "text");
	buf_puts(b, ",\"text\":{\"format\":");
	g_autofree char *format =
		o && body_member(o, "format") ? body_json(body_member(o, "format")) : NULL;
	buf_puts(b, format ? format : "{\"type\":\"text\"}");
	buf_puts(b, ",\"verbosity\":\"medium\"}");
}

static void show_reasoning(struct buf *b, JsonObject *from)
{
	JsonObject *o = object_member(from, "reasoning");
	buf_puts(b, ",\"reasoning\":{\"effort\":");
	json_put_cstring(b, o ? body_string(o, "effort") : NULL);
	buf_puts(b, ",\"summary\":null}");
}

static char *shown(const struct reading *r)
{
	const struct api_params *p = &r->body->params;
	JsonObject *o = r->from;
	bool store = p->store && r->conf->responses;
	struct buf b = { NULL, 0, 0 };
	buf_printf(&b, ",\"background\":%s", p->background ? "true" : "false");
	show(&b, "instructions", body_member(o, "instructions"), "null");
	buf_puts(&b, ",\"max_output_tokens\":");
	if (p->limits.max_tokens)
		json_put_uint(&b, p->limits.max_tokens);
	else
		buf_puts(&b, "null");
	buf_puts(&b, ",\"max_tool_calls\":null");
	show(&b, "metadata", body_member(o, "metadata"), "{}");
	buf_printf(&b, ",\"parallel_tool_calls\":%s", p->no_parallel_calls ? "false" : "true");
	show(&b, "previous_response_id", body_member(o, "previous_response_id"), "null");
	show_reasoning(&b, o);
	buf_printf(&b, ",\"service_tier\":\"default\",\"store\":%s", store ? "true" : "false");
	show_number(&b, "temperature", p->sampling.temperature);
	show_text(&b, o);
	show(&b, "tool_choice", body_member(o, "tool_choice"), "\"auto\"");
	show(&b, "tools", body_member(o, "tools"), "[]");
	buf_printf(&b, ",\"top_logprobs\":%u", p->sampling.top_logprobs);
	show_number(&b, "top_p", p->sampling.top_p);
	buf_puts(&b, ",\"truncation\":\"disabled\"");
	show(&b, "user", body_member(o, "user"), "null");
	return buf_steal(&b, NULL);
}

void responses_read(struct api_body *b, JsonObject *o, const struct api_config *conf,
		    struct api_error_list *errors)
{
	struct reading r = {
		.body = b, .from = o, .conf = conf, .errors = errors, .chat = json_object_new()
	};
	b->params.batch_tokens = 0;
	copy_rest(&r);
	check_rest(&r);
	read_previous(&r);
	read_input(&r);
	read_tools(&r);
	read_text(&r);
	read_reasoning(&r);
	read_include(&r);
	if (errors->n == 0)
		api_endpoint_find("chat")->read(b, r.chat, conf, errors);
	if (errors->n == 0) {
		b->shown = shown(&r);
		b->items = responses_stored_items(r.items ? json_node_get_array(r.items) : NULL,
						  r.output ? json_node_get_array(r.output) : NULL,
						  body_member(o, "input"));
	}
	g_clear_pointer(&r.items, json_node_unref);
	g_clear_pointer(&r.output, json_node_unref);
	json_object_unref(r.chat);
}
