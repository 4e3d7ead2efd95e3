/*
 * frontends/api/inputs.c - bodies of embeddings and reranking. See body-private.h.
 */
#include <string.h>

#include "body-private.h"

#define MAX_INPUTS 2048 /* as OpenAI has it */

static void one_prompt(struct api_body *b)
{
	b->n_prompts = 1; /* one stream answers for all inputs */
	b->prompts = g_new0(struct api_prompt, 1);
}

static bool too_long(const char *text, const struct api_config *conf)
{
	return conf->max_input_chars && g_utf8_strlen(text, -1) > (glong)conf->max_input_chars;
}

/* "": right. Else what is wrong, or NULL where the shape as a whole is. */
static const char *check_input(JsonNode *node, const struct api_config *conf)
{
	if (body_is_string(node)) {
		const char *text = json_node_get_string(node);
		return !text[0] ? "input is required" : too_long(text, conf) ? "long" : "";
	}
	if (!JSON_NODE_HOLDS_ARRAY(node))
		return NULL;
	JsonArray *ids = json_node_get_array(node);
	if (json_array_get_length(ids) == 0)
		return "input is required";
	return body_ids_only(ids) ? "" : NULL;
}

static bool add_input(struct buf *inputs, JsonNode *node, const struct api_config *conf,
		      struct api_error_list *errors)
{
	const char *wrong = check_input(node, conf);
	if (wrong && !wrong[0]) {
		g_autofree char *text = JSON_NODE_HOLDS_ARRAY(node)
						? body_ids_text(json_node_get_array(node))
						: body_json(node);
		buf_puts(inputs, inputs->len > 1 ? "," : "");
		buf_puts(inputs, text);
		return true;
	}
	if (wrong && strcmp(wrong, "long") == 0) /* 001-14 */
		api_error_field(errors, NULL, "input", "input length must not exceed %u",
				conf->max_input_chars);
	else
		api_error_field(errors, NULL, "input", "%s",
				wrong ? wrong
				      : "input must be a string, an array of strings, or one or "
					"more arrays of token ids");
	return false;
}

static void read_input(struct api_body *b, JsonNode *node, const struct api_config *conf,
		       struct api_error_list *errors)
{
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	bool one = !list || json_array_get_length(list) == 0 || body_ids_only(list);
	guint n = one ? 1 : json_array_get_length(list);
	struct buf inputs = { NULL, 0, 0 };
	bool ok = n <= MAX_INPUTS;
	if (!ok)
		api_error_field(errors, NULL, "input", "input must have 1 to %d elements",
				MAX_INPUTS);
	buf_putc(&inputs, '[');
	for (guint i = 0; ok && i < n; i++)
		ok = add_input(&inputs, one ? node : json_array_get_element(list, i), conf, errors);
	buf_putc(&inputs, ']');
	b->n_inputs = n;
	b->inputs = buf_steal(&inputs, NULL);
}

void body_read_embed(struct api_body *b, JsonObject *o, const struct api_config *conf,
		     struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "input");
	JsonNode *format = body_member(o, "encoding_format");
	const char *word = format && body_is_string(format) ? json_node_get_string(format) : "";
	one_prompt(b);
	if (!node)
		api_error_missing(errors, "input");
	else
		read_input(b, node, conf, errors);
	b->params.base64 = strcmp(word, "base64") == 0;
	if (format && !b->params.base64 && strcmp(word, "float") != 0)
		api_error_field(errors, NULL, "encoding_format",
				"encoding_format must be float or base64");
}

void body_read_rerank(struct api_body *b, JsonObject *o, const struct api_config *conf,
		      struct api_error_list *errors)
{
	JsonNode *query = body_member(o, "query"), *node = body_member(o, "documents");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	guint n = list ? json_array_get_length(list) : 0;
	g_autoptr(JsonArray) texts = json_array_new();
	one_prompt(b);
	if (!query)
		api_error_missing(errors, "query");
	else if (!body_is_string(query) || !json_node_get_string(query)[0])
		api_error_field(errors, NULL, "query", "query must be a non-empty string");
	else
		b->query = g_strdup(json_node_get_string(query));
	if (!node)
		api_error_missing(errors, "documents");
	else if (n == 0 || n > MAX_INPUTS)
		api_error_field(errors, NULL, "documents",
				"documents must be an array of 1 to %d elements", MAX_INPUTS);
	for (guint i = 0; i < n && n <= MAX_INPUTS; i++) {
		JsonNode *d = json_array_get_element(list, i);
		const char *text = body_is_string(d) ? json_node_get_string(d)
				   : JSON_NODE_HOLDS_OBJECT(d)
					   ? body_string(json_node_get_object(d), "text")
					   : NULL;
		if (!text) {
			api_error_field(errors, NULL, "documents",
					"documents[%u] must be a string or an object with a text",
					i);
			return;
		}
		json_array_add_string_element(texts, text);
	}
	g_autoptr(JsonNode) out = json_node_init_array(json_node_alloc(), texts);
	b->documents = body_json(out);
	b->n_inputs = n;
}
