/*
 * frontends/api/tokens.c - bodies of /tokenize, /detokenize and /apply-template: vLLM's fields, and
 * llama-server's. Pure: any thread.
 */
#include "body-private.h"

#include <string.h>

static bool is_boolean(JsonNode *node)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN;
}

static void read_flag(JsonObject *o, const char *name, bool *ret, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	if (node && !is_boolean(node))
		api_error_field(errors, NULL, name, "%s must be true or false", name);
	else if (node)
		*ret = json_node_get_boolean(node);
}

/* Whether the model is to speak next is for the template as any other variable of it. */
static char *read_variables(JsonObject *o, struct api_error_list *errors)
{
	bool speak = true;
	uint32_t before = errors->n;
	g_autofree char *given = body_read_template_kwargs(o, errors);
	read_flag(o, "add_generation_prompt", &speak, errors);
	if (errors->n > before || !body_member(o, "add_generation_prompt"))
		return g_steal_pointer(&given);
	g_autoptr(JsonNode) all = json_from_string(given ? given : "{}", NULL);
	json_object_set_boolean_member(json_node_get_object(all), "add_generation_prompt", speak);
	return body_json(all);
}

static void read_messages(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	messages_check(o, errors);
	b->template_kwargs = read_variables(o, errors);
	if (errors->n)
		return;
	b->messages = body_json(body_member(o, "messages"));
	if (body_member(o, "tools"))
		b->tools = body_json(body_member(o, "tools"));
}

/* What is wrong is told even where it would not be used. */
static void read_texts(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	static const char *const names[] = { "content", "prompt" };
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		JsonNode *node = body_member(o, names[i]);
		if (node && !body_is_string(node)) {
			api_error_field(errors, NULL, names[i], "%s must be a string", names[i]);
		} else if (node) {
			g_free(b->prompts[0].text);
			b->prompts[0].text = g_strdup(json_node_get_string(node));
		}
	}
	if (body_member(o, "messages")) {
		read_messages(b, o, errors);
		return;
	}
	messages_check_tools(o, errors);
	b->template_kwargs = read_variables(o, errors);
	if (!body_member(o, "prompt") && !body_member(o, "content"))
		api_error_missing(errors, "prompt");
}

void body_read_template(struct api_body *b, JsonObject *o, const struct api_config *conf,
			struct api_error_list *errors)
{
	b->n_prompts = 1;
	b->prompts = g_new0(struct api_prompt, 1);
	read_messages(b, o, errors);
}

void body_read_tokenize(struct api_body *b, JsonObject *o, const struct api_config *conf,
			struct api_error_list *errors)
{
	struct api_params *p = &b->params;
	bool content = !body_member(o, "prompt") && body_member(o, "content");
	if (content) { /* llama-server's defaults */
		p->add_special = false;
		p->parse_special = true;
	}
	read_flag(o, "add_special", &p->add_special, errors);
	read_flag(o, "parse_special", &p->parse_special, errors);
	b->n_prompts = 1;
	b->prompts = g_new0(struct api_prompt, 1);
	read_texts(b, o, errors);
}

void body_read_detokenize(struct api_body *b, JsonObject *o, const struct api_config *conf,
			  struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "tokens");
	b->n_prompts = 1;
	b->prompts = g_new0(struct api_prompt, 1);
	bool empty = node && JSON_NODE_HOLDS_ARRAY(node) &&
		     json_array_get_length(json_node_get_array(node)) == 0;
	if (!node)
		api_error_missing(errors, "tokens");
	else if (!empty &&
		 (!JSON_NODE_HOLDS_ARRAY(node) || !body_ids_only(json_node_get_array(node))))
		api_error_field(errors, NULL, "tokens", "tokens must be an array of token ids");
	else
		b->prompts[0] =
			(struct api_prompt){ body_ids_text(json_node_get_array(node)), true };
}
