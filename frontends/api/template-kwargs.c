/*
 * frontends/api/template-kwargs.c - variables for the chat template: chat_template_kwargs as they
 * are, and what reasoning_effort means to templates: gpt-oss and others read reasoning_effort,
 * Qwen3's and others enable_thinking. What the client gives by name stands. See body-private.h.
 */
#include <string.h>

#include "body-private.h"

static bool is_effort(JsonNode *node)
{
	static const char *const efforts[] = { "none", "minimal", "low", "medium",
					       "high", "xhigh",   NULL };
	return body_is_string(node) && g_strv_contains(efforts, json_node_get_string(node));
}

char *body_read_template_kwargs(JsonObject *o, struct api_error_list *errors)
{
	JsonNode *given = body_member(o, "chat_template_kwargs");
	JsonNode *effort = body_member(o, "reasoning_effort");
	uint32_t before = errors->n;
	if (given && !JSON_NODE_HOLDS_OBJECT(given))
		api_error_field(errors, NULL, "chat_template_kwargs",
				"chat_template_kwargs must be an object");
	if (effort && !is_effort(effort))
		api_error_field(errors, NULL, "reasoning_effort",
				"reasoning_effort must be one of none, minimal, low, medium, high, "
				"xhigh");
	if (errors->n > before || (!given && !effort))
		return NULL;
	if (!effort)
		return body_json(given);
	JsonObject *all = json_object_new();
	const char *word = json_node_get_string(effort);
	json_object_set_string_member(all, "reasoning_effort", word);
	json_object_set_boolean_member(all, "enable_thinking", strcmp(word, "none") != 0);
	if (given) {
		JsonObjectIter it;
		const char *key;
		JsonNode *value;
		json_object_iter_init_ordered(&it, json_node_get_object(given));
		while (json_object_iter_next_ordered(&it, &key, &value))
			json_object_set_member(all, key, json_node_copy(value));
	}
	g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), all);
	json_object_unref(all);
	return body_json(node);
}
