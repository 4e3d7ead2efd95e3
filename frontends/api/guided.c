/*
 * frontends/api/guided.c - OpenAI's response_format, vLLM's guided_* and structured_outputs,
 * llama-server's grammar and json_schema, all as the request field `grammar`. See body-private.h.
 *
 * Whether a schema or a grammar can be honoured is the backend's to say (weir/grammar.h).
 */
#include <string.h>

#include "body-private.h"
#include "json-tree.h"

#define MAX_CHOICES 1024

struct guide {
	struct api_error_list *errors;
	JsonNode *spec;     /* {"type", "value"}, owned */
	const char *source; /* the field that gave it */
};

static void set(struct guide *g, const char *source, const char *type, JsonNode *value)
{
	if (g->spec) {
		api_error_field(g->errors, NULL, source, "%s cannot be combined with %s", source,
				g->source);
		return;
	}
	JsonObject *o = json_object_new();
	json_object_set_string_member(o, "type", type);
	if (value)
		json_object_set_member(o, "value", json_node_copy(value));
	g->spec = json_node_init_object(json_node_alloc(), o);
	json_object_unref(o);
	g->source = source;
}

/* A schema is an object, true or false; vLLM takes it as text too. */
static void set_schema(struct guide *g, const char *source, JsonNode *node)
{
	if (JSON_NODE_HOLDS_OBJECT(node) ||
	    (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)) {
		set(g, source, "json_schema", node);
		return;
	}
	const char *text = body_is_string(node) ? json_node_get_string(node) : NULL;
	struct json_fault fault;
	g_autoptr(JsonNode) parsed =
		text ? json_tree_parse(text, strlen(text), true, &fault) : NULL;
	if (parsed && JSON_NODE_HOLDS_OBJECT(parsed))
		set(g, source, "json_schema", parsed);
	else
		api_error_field(g->errors, NULL, source, "%s must be a JSON Schema: an object",
				source);
}

static void set_text(struct guide *g, const char *source, const char *type, JsonNode *node)
{
	if (!body_is_string(node) || !json_node_get_string(node)[0])
		api_error_field(g->errors, NULL, source, "%s must be a non-empty string", source);
	else
		set(g, source, type, node);
}

static void set_choice(struct guide *g, const char *source, JsonNode *node)
{
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	guint n = list ? json_array_get_length(list) : 0;
	if (n == 0 || n > MAX_CHOICES || !body_strings_only(list))
		api_error_field(g->errors, NULL, source,
				"%s must be an array of 1 to %d non-empty strings", source,
				MAX_CHOICES);
	else
		set(g, source, "choice", node);
}

static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return n > 0 && n <= 64 && !name[n];
}

static void read_json_schema(struct guide *g, JsonObject *format)
{
	static const char at[] = "response_format";
	JsonNode *node = body_member(format, "json_schema");
	JsonObject *o = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	JsonNode *schema = o ? body_member(o, "schema") : body_member(format, "schema");
	JsonNode *name = o ? body_member(o, "name") : NULL;
	JsonNode *strict = o ? body_member(o, "strict") : NULL;
	if (!schema)
		api_error_field(g->errors, NULL, at,
				"response_format.json_schema.schema is required");
	else if (name && !(body_is_string(name) && is_name(json_node_get_string(name))))
		api_error_field(g->errors, NULL, at,
				"response_format.json_schema.name must be 1 to 64 letters, digits, "
				"underscores and dashes");
	else if (strict && !(JSON_NODE_HOLDS_VALUE(strict) &&
			     json_node_get_value_type(strict) == G_TYPE_BOOLEAN))
		api_error_field(g->errors, NULL, at,
				"response_format.json_schema.strict must be true or false");
	else
		set_schema(g, at, schema);
}

static void read_response_format(struct guide *g, JsonNode *node)
{
	static const char at[] = "response_format";
	JsonObject *o = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	const char *type = o ? body_string(o, "type") : NULL;
	if (!type)
		api_error_field(g->errors, NULL, at,
				"response_format must be an object with a type");
	else if (strcmp(type, "json_schema") == 0)
		read_json_schema(g, o);
	else if (strcmp(type, "json_object") == 0 && body_member(o, "schema"))
		set_schema(g, at, body_member(o, "schema"));
	else if (strcmp(type, "json_object") == 0)
		set(g, at, "json_object", NULL);
	else if (strcmp(type, "text") != 0)
		api_error_field(g->errors, "unsupported_value", at,
				"response_format '%.40s' is not supported: text, json_object and "
				"json_schema are",
				type);
}

static void read_structured(struct guide *g, JsonNode *node)
{
	static const char at[] = "structured_outputs";
	if (!JSON_NODE_HOLDS_OBJECT(node)) {
		api_error_field(g->errors, NULL, at, "structured_outputs must be an object");
		return;
	}
	JsonObject *o = json_node_get_object(node);
	JsonNode *value;
	guint before = g->errors->n;
	if ((value = body_member(o, "json")))
		set_schema(g, at, value);
	if ((value = body_member(o, "regex")))
		set_text(g, at, "regex", value);
	if ((value = body_member(o, "choice")))
		set_choice(g, at, value);
	if ((value = body_member(o, "grammar")))
		set_text(g, at, "gbnf", value);
	value = body_member(o, "json_object");
	if (value && JSON_NODE_HOLDS_VALUE(value) && json_node_get_boolean(value))
		set(g, at, "json_object", NULL);
	if (!g->source && g->errors->n == before)
		api_error_field(g->errors, "unsupported_value", at,
				"structured_outputs must hold json, regex, choice, grammar or "
				"json_object: true");
}

char *body_read_grammar(JsonObject *o, struct api_error_list *errors, const char **ret_from)
{
	struct guide g = { .errors = errors };
	uint32_t before = errors->n;
	JsonNode *node;
	if ((node = body_member(o, "response_format")))
		read_response_format(&g, node);
	if ((node = body_member(o, "structured_outputs")))
		read_structured(&g, node);
	if ((node = body_member(o, "guided_json")))
		set_schema(&g, "guided_json", node);
	if ((node = body_member(o, "guided_regex")))
		set_text(&g, "guided_regex", "regex", node);
	if ((node = body_member(o, "guided_choice")))
		set_choice(&g, "guided_choice", node);
	if ((node = body_member(o, "guided_grammar")))
		set_text(&g, "guided_grammar", "gbnf", node);
	if ((node = body_member(o, "grammar")))
		set_text(&g, "grammar", "gbnf", node);
	if ((node = body_member(o, "json_schema")))
		set_schema(&g, "json_schema", node);
	char *text = g.spec && errors->n == before ? body_json(g.spec) : NULL;
	if (text)
		*ret_from = g.source;
	g_clear_pointer(&g.spec, json_node_unref);
	return text;
}
