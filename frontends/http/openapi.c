/*
 * frontends/http/openapi.c - see openapi.h. Schemas are JSON Schema 2020-12, as OpenAPI 3.1 has it.
 */
#include "openapi.h"

#include <string.h>

#include <api/body.h>
#include <json-glib/json-glib.h>

#include "handlers.h"
#include "routes.h"

extern const char openapi_base[]; /* base.json, built in */

/* What an endpoint's request and answer are called in the document. */
static const struct naming {
	const char *endpoint, *request, *answer, *tag;
} namings[] = {
	{ "chat", "ChatRequest", "ChatCompletion", "Chat" },
	{ "completions", "CompletionRequest", "Completion", "Completions" },
	{ "embeddings", "EmbeddingRequest", "EmbeddingList", "Embeddings" },
	{ "rerank", "RerankRequest", "Ranking", "Embeddings" },
	{ "responses", "ResponseRequest", "Response", "Responses" },
	{ "messages", "MessageRequest", "MessageAnswer", "Messages" },
	{ "count_tokens", "TokenCountRequest", "TokenCount", "Messages" },
	{ "tokenize", "TokenizeRequest", "Tokens", "Tokens" },
	{ "detokenize", "DetokenizeRequest", "Text", "Tokens" },
	{ "apply_template", "TemplateRequest", "Rendered", "Tokens" },
	{ "infill", "InfillRequest", "Infill", "Completions" },
};

static const struct {
	int status;
	const char *text;
	bool generate; /* of requests that reach a model only */
} failures[] = {
	{ 404, "No such model", true },
	{ 413, "The body is too large", false },
	{ 415, "The body is compressed", false },
	{ 500, "The backend failed", true },
	{ 503, "Not now: see Retry-After", true },
	{ 504, "The request took too long", true },
	{ 507, "Not enough memory for this request", true },
};

static JsonObject *new_member(JsonObject *o, const char *name)
{
	JsonObject *m = json_object_new();
	json_object_set_object_member(o, name, m);
	return m;
}

static JsonObject *get_member(JsonObject *o, const char *name)
{
	return json_object_get_object_member(o, name);
}

static void add_text(JsonArray *a, const char *text)
{
	json_array_add_string_element(a, text);
}

static void set_ref(JsonObject *o, const char *schema)
{
	g_autofree char *to = g_strconcat("#/components/schemas/", schema, NULL);
	json_object_set_string_member(o, "$ref", to);
}

static void set_content(JsonObject *response, const char *type, const char *schema)
{
	JsonObject *content = json_object_has_member(response, "content")
				      ? get_member(response, "content")
				      : new_member(response, "content");
	set_ref(new_member(new_member(content, type), "schema"), schema);
}

/* ---- request schemas ---- */

static void set_number(JsonObject *o, const char *name, double v)
{
	if (v == (double)(gint64)v)
		json_object_set_int_member(o, name, (gint64)v);
	else
		json_object_set_double_member(o, name, v);
}

/* Absent and null are the same; a field that is required cannot be null. */
static void set_type(JsonObject *o, const char *type, bool required)
{
	if (required) {
		json_object_set_string_member(o, "type", type);
		return;
	}
	JsonArray *types = json_array_new();
	add_text(types, type);
	add_text(types, "null");
	json_object_set_array_member(o, "type", types);
}

static void set_default(JsonObject *o, const struct param_rule *r, const struct api_params *p)
{
	const char *at = (const char *)p + r->offset;
	switch (r->type) {
	case PARAM_TYPE_FLOAT:
		set_number(o, "default", (double)*(const float *)(const void *)at);
		break;
	case PARAM_TYPE_INT:
		json_object_set_int_member(o, "default", *(const int32_t *)(const void *)at);
		break;
	case PARAM_TYPE_BOOL:
		json_object_set_boolean_member(o, "default", *(const bool *)at);
		break;
	case PARAM_TYPE_NOT:
		json_object_set_boolean_member(o, "default", !*(const bool *)at);
		break;
	case PARAM_TYPE_FLAG:
		json_object_set_boolean_member(o, "default", *(const uint32_t *)(const void *)at);
		break;
	default:
		break;
	}
}

static JsonNode *scalar_schema(const struct http *h, const struct param_rule *r, uint32_t kind)
{
	JsonObject *o = json_object_new();
	struct api_params defaults;
	params_init(&defaults, kind);
	switch (r->type) {
	case PARAM_TYPE_BOOL:
	case PARAM_TYPE_NOT:
	case PARAM_TYPE_FLAG:
		set_type(o, "boolean", r->required & kind);
		break;
	case PARAM_TYPE_SEED:
		set_type(o, "integer", r->required & kind);
		break;
	default:
		set_type(o, r->type == PARAM_TYPE_FLOAT ? "number" : "integer", r->required & kind);
		set_number(o, r->min_excluded ? "exclusiveMinimum" : "minimum", r->min);
		set_number(o, "maximum",
			   r->max_configured ? (double)h->api.config.max_tokens : r->max);
	}
	set_default(o, r, &defaults);
	JsonNode *node = json_node_init_object(json_node_alloc(), o);
	json_object_unref(o);
	return node;
}

static JsonNode *other_schema(const struct param_rule *r, uint32_t kind)
{
	JsonNode *schema = json_from_string(r->schema, NULL);
	g_assert(schema && JSON_NODE_HOLDS_OBJECT(schema));
	if (r->required & kind)
		return schema;
	JsonObject *o = json_object_new(), *null = json_object_new();
	JsonArray *any = json_array_new();
	json_array_add_element(any, schema);
	json_object_set_string_member(null, "type", "null");
	json_array_add_object_element(any, null);
	json_object_set_array_member(o, "anyOf", any);
	JsonNode *node = json_node_init_object(json_node_alloc(), o);
	json_object_unref(o);
	return node;
}

/* One of them must be there, and is no null. */
static void require_one(JsonObject *schema, const char *const *names)
{
	JsonArray *any = json_array_new();
	for (; *names; names++) {
		JsonObject *way = json_object_new();
		JsonArray *required = json_array_new();
		add_text(required, *names);
		json_object_set_array_member(way, "required", required);
		json_object_set_string_member(
			new_member(new_member(new_member(way, "properties"), *names), "not"),
			"type", "null");
		json_array_add_object_element(any, way);
	}
	json_object_set_array_member(schema, "anyOf", any);
}

static void add_request(const struct http *h, JsonObject *schemas, const struct api_endpoint *e,
			const char *name)
{
	uint32_t kind = api_kind_bit(e->kind);
	JsonObject *schema = new_member(schemas, name);
	JsonObject *properties;
	JsonArray *required = json_array_new();
	json_object_set_string_member(schema, "type", "object");
	properties = new_member(schema, "properties");
	for (const struct param_rule *r = params_table(); r->name; r++) {
		if (!(r->kinds & kind))
			continue;
		JsonNode *node = r->type == PARAM_TYPE_OTHER ? other_schema(r, kind)
							     : scalar_schema(h, r, kind);
		json_object_set_string_member(json_node_get_object(node), "description", r->help);
		json_object_set_member(properties, r->name, node);
		if (r->required & kind)
			add_text(required, r->name);
	}
	json_object_set_array_member(schema, "required", required);
	static const char *const texts[] = { "prompt", "content", "messages", NULL };
	if (e->kind == API_KIND_TOKENIZE)
		require_one(schema, texts);
}

/* ---- paths ---- */

static void add_failures(const struct http *h, JsonObject *responses, const struct api_endpoint *e)
{
	bool fastapi = api_endpoint_profile(&h->api.config, e) == API_PROFILE_FASTAPI;
	const char *failure = e->anthropic ? "AnthropicError" : "Failure";
	JsonObject *bad = new_member(responses, fastapi ? "422" : "400");
	json_object_set_string_member(bad, "description",
				      "The request is wrong: says what and where");
	set_content(bad, "application/json", failure);
	for (size_t i = 0; i < G_N_ELEMENTS(failures); i++) {
		char status[8];
		g_snprintf(status, sizeof(status), "%d",
			   e->anthropic && failures[i].status == 503 ? 529 : failures[i].status);
		JsonObject *f = new_member(responses, status);
		json_object_set_string_member(f, "description", failures[i].text);
		set_content(f, "application/json", failure);
	}
}

static void add_operation(const struct http *h, JsonObject *paths, const struct route *r,
			  const struct api_endpoint *e, const struct naming *n)
{
	JsonObject *post = new_member(new_member(paths, r->path), "post");
	g_autofree char *id = g_strdelimit(g_strdup(r->path + 1), "/", '_');
	JsonArray *tags = json_array_new();
	add_text(tags, n->tag);
	json_object_set_string_member(post, "summary", r->help);
	json_object_set_string_member(post, "operationId", id);
	json_object_set_array_member(post, "tags", tags);
	JsonObject *body = new_member(post, "requestBody");
	json_object_set_boolean_member(body, "required", TRUE);
	set_content(body, "application/json", n->request);
	JsonObject *responses = new_member(post, "responses");
	JsonObject *ok = new_member(responses, "200");
	json_object_set_string_member(ok, "description", "The answer");
	set_content(ok, "application/json", n->answer);
	if (api_kind_bit(e->kind) & PARAM_KIND_SAMPLED) {
		JsonObject *sse = new_member(get_member(ok, "content"), "text/event-stream");
		JsonObject *text = new_member(sse, "schema");
		if (e->kind != API_KIND_INFILL) /* its events are read one by one: no [DONE] */
			json_object_set_string_member(text, "type", "string");
		json_object_set_string_member(
			text, "description",
			e->kind == API_KIND_RESPONSES || e->kind == API_KIND_MESSAGES
				? "with stream: `event: `, its type, and `data: `, an object with "
				  "the same type, each"
			: e->kind == API_KIND_CHAT
				? "with stream: `data: ` and a ChatCompletionChunk each, then "
				  "[DONE]"
			: e->kind == API_KIND_INFILL
				? "with stream: `data: ` and an Infill each; the last has stop: "
				  "true"
				: "with stream: `data: ` and a Completion each, then [DONE]");
	}
	add_failures(h, responses, e);
}

static void add_paths(const struct http *h, JsonObject *paths, JsonObject *schemas)
{
	for (const struct route *r = routes_table(); r->path; r++) {
		const struct api_endpoint *e =
			r->run == handle_api ? api_endpoint_find(r->handler) : NULL;
		for (size_t i = 0; e && i < G_N_ELEMENTS(namings); i++) {
			if (strcmp(namings[i].endpoint, e->name) != 0)
				continue;
			add_operation(h, paths, r, e, &namings[i]);
			if (!json_object_has_member(schemas, namings[i].request))
				add_request(h, schemas, e, namings[i].request);
		}
	}
	for (const struct route *r = routes_table(); r->path; r++)
		if (!routes_enabled(h, r) && json_object_has_member(paths, r->path))
			json_object_remove_member(paths, r->path);
}

char *openapi_document(const struct http *h)
{
	g_autoptr(JsonNode) root = json_from_string(openapi_base, NULL);
	g_assert(root && JSON_NODE_HOLDS_OBJECT(root));
	JsonObject *doc = json_node_get_object(root);
	JsonObject *schemas = get_member(get_member(doc, "components"), "schemas");
	bool fastapi = h->api.config.profile == API_PROFILE_FASTAPI;
	json_object_set_string_member(get_member(doc, "info"), "version", WEIR_VERSION);
	set_ref(new_member(schemas, "Failure"), fastapi ? "Detail" : "Error");
	json_object_remove_member(schemas, fastapi ? "Error" : "Detail");
	add_paths(h, get_member(doc, "paths"), schemas);
	return json_to_string(root, TRUE);
}
