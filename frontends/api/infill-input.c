/*
 * frontends/api/infill-input.c - bodies of /infill, as llama-server's clients (editors) send them.
 * Pure: any thread.
 */
#include "body-private.h"

#include <string.h>

#define MAX_FILES  1024
#define MAX_FIELDS 64

/* NULL: absent, or an error was added. */
static const char *read_text(JsonObject *o, const char *name, bool needed,
			     struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	if (!node && needed)
		api_error_missing(errors, name);
	else if (node && !body_is_string(node))
		api_error_field(errors, NULL, name, "%s must be a string", name);
	else if (node)
		return json_node_get_string(node);
	return NULL;
}

static bool is_file(JsonNode *node)
{
	JsonObject *file = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	return file && body_string(file, "text") &&
	       (!body_member(file, "filename") || body_string(file, "filename"));
}

/* Always an array: with it, what is far from the hole is cut to the context. */
static char *read_files(JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "input_extra");
	if (!node)
		return g_strdup("[]");
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	if (!list || json_array_get_length(list) > MAX_FILES) {
		api_error_field(errors, NULL, "input_extra",
				"input_extra must be an array of at most %d objects", MAX_FILES);
		return NULL;
	}
	for (guint i = 0; i < json_array_get_length(list); i++)
		if (!is_file(json_array_get_element(list, i))) {
			api_error_field(errors, NULL, "input_extra",
					"input_extra[%u] must be "
					"{\"filename\":\"...\",\"text\":\"...\"}",
					i);
			return NULL;
		}
	return body_json(node);
}

static char *read_fields(JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "response_fields");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	if (!node)
		return NULL;
	bool ok = list && json_array_get_length(list) <= MAX_FIELDS;
	for (guint i = 0; ok && i < json_array_get_length(list); i++)
		ok = body_is_string(json_array_get_element(list, i));
	if (!ok) {
		api_error_field(errors, NULL, "response_fields",
				"response_fields must be an array of at most %d strings",
				MAX_FIELDS);
		return NULL;
	}
	return json_array_get_length(list) ? body_json(node) : NULL;
}

void body_read_infill(struct api_body *b, JsonObject *o, const struct api_config *conf,
		      struct api_error_list *errors)
{
	const char *prefix = read_text(o, "input_prefix", true, errors);
	const char *suffix = read_text(o, "input_suffix", true, errors);
	const char *line = read_text(o, "prompt", false, errors);
	JsonNode *n = body_member(o, "n_predict");
	b->n_prompts = 1;
	b->prompts = g_new0(struct api_prompt, 1);
	b->prompts[0].text = g_strconcat(prefix ? prefix : "", line ? line : "", NULL);
	b->suffix = g_strdup(suffix);
	b->files = read_files(o, errors);
	b->answer_fields = read_fields(o, errors);
	/* Editors warm the cache that way: a token is drawn so that the prompt is read, and
	 * dropped. */
	b->only_reads = n && errors->n == 0 && json_node_get_double(n) == 0;
	if (b->only_reads)
		b->params.limits.max_tokens = 1;
	body_read_infill_options(b, o, errors);
	body_read_generate(b, o, errors);
}
