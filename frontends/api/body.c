/*
 * frontends/api/body.c - see body.h.
 */
#include "body-private.h"

#include <math.h>
#include <string.h>

#include "format.h"
#include "json-tree.h"
#include "anthropic.h"
#include "responses.h"

#define MAX_MODEL 256
#define MAX_STOP  16
#define MAX_BIAS  1024

#define MAX_BATCH    64
#define MAX_BATCH_MS 10000

uint32_t api_kind_bit(enum api_kind kind)
{
	static const uint32_t bits[API_N_KINDS] = {
		[API_KIND_CHAT] = PARAM_KIND_CHAT,
		[API_KIND_COMPLETION] = PARAM_KIND_COMPLETION,
		[API_KIND_TOKENIZE] = PARAM_KIND_TOKENIZE,
		[API_KIND_DETOKENIZE] = PARAM_KIND_DETOKENIZE,
		[API_KIND_EMBED] = PARAM_KIND_EMBED,
		[API_KIND_RERANK] = PARAM_KIND_RERANK,
		[API_KIND_RESPONSES] = PARAM_KIND_RESPONSES,
		[API_KIND_MESSAGES] = PARAM_KIND_MESSAGES,
		[API_KIND_COUNT] = PARAM_KIND_COUNT,
		[API_KIND_TEMPLATE] = PARAM_KIND_TEMPLATE,
		[API_KIND_INFILL] = PARAM_KIND_INFILL,
	};
	return bits[kind];
}

JsonNode *body_member(JsonObject *o, const char *name)
{
	JsonNode *node = json_object_get_member(o, name);
	return node && !JSON_NODE_HOLDS_NULL(node) ? node : NULL;
}

bool body_is_string(JsonNode *node)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
}

const char *body_string(JsonObject *o, const char *name)
{
	JsonNode *node = body_member(o, name);
	return node && body_is_string(node) ? json_node_get_string(node) : NULL;
}

char *body_json(JsonNode *node)
{
	struct buf b = { NULL, 0, 0 };
	json_tree_put(&b, node);
	return buf_steal(&b, NULL);
}

/* Whole numbers may be written 7.0: JSON has one kind of number. -1: it is no token id. */
static gint64 id_of(JsonNode *node)
{
	GType t = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_NONE;
	double v = t == G_TYPE_INT64 || t == G_TYPE_DOUBLE ? json_node_get_double(node) : -1;
	return v >= 0 && v <= G_MAXINT32 && v == floor(v) ? (gint64)v : -1;
}

static void read_model(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	bool needed = !(api_kind_bit(b->endpoint->kind) & PARAM_KIND_NAMELESS);
	JsonNode *node = body_member(o, "model");
	if (node && !body_is_string(node)) {
		api_error_field(errors, NULL, "model", "model must be a string");
		return;
	}
	const char *name = node ? json_node_get_string(node) : "";
	if (!name[0] && (needed || node))
		api_error_missing(errors, "model");
	else if (strlen(name) > MAX_MODEL)
		api_error_field(errors, NULL, "model", "model must have at most %d bytes",
				MAX_MODEL);
	else if (name[0])
		b->model = g_strdup(name);
}

bool body_ids_only(JsonArray *a)
{
	for (guint i = 0; i < json_array_get_length(a); i++)
		if (id_of(json_array_get_element(a, i)) < 0)
			return false;
	return json_array_get_length(a) > 0;
}

char *body_ids_text(JsonArray *a)
{
	GString *s = g_string_new("[");
	for (guint i = 0; i < json_array_get_length(a); i++)
		g_string_append_printf(s, i ? ",%" G_GINT64_FORMAT : "%" G_GINT64_FORMAT,
				       id_of(json_array_get_element(a, i)));
	return g_string_free(g_string_append_c(s, ']'), FALSE);
}

bool body_strings_only(JsonArray *a)
{
	for (guint i = 0; i < json_array_get_length(a); i++) {
		JsonNode *node = json_array_get_element(a, i);
		if (!body_is_string(node) || !json_node_get_string(node)[0])
			return false;
	}
	return true;
}

static bool read_prompt(struct api_prompt *p, JsonNode *node)
{
	if (body_is_string(node)) {
		p->text = g_strdup(json_node_get_string(node));
		return true;
	}
	if (!JSON_NODE_HOLDS_ARRAY(node) || !body_ids_only(json_node_get_array(node)))
		return false;
	p->text = body_ids_text(json_node_get_array(node));
	p->is_tokens = true;
	return true;
}

static void read_prompts(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "prompt");
	if (!node) {
		api_error_missing(errors, "prompt");
		return;
	}
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	bool one = !list || body_ids_only(list);
	guint n = one ? 1 : json_array_get_length(list);
	if (n == 0 || n > API_MAX_PROMPTS) {
		api_error_field(errors, NULL, "prompt", "prompt must have 1 to %d elements",
				API_MAX_PROMPTS);
		return;
	}
	b->prompts = g_new0(struct api_prompt, n);
	b->n_prompts = n;
	for (guint i = 0; i < n; i++)
		if (!read_prompt(&b->prompts[i], one ? node : json_array_get_element(list, i))) {
			api_error_field(errors, NULL, "prompt",
					"prompt must be a string, an array of strings, or one or "
					"more arrays of token ids");
			return;
		}
}

static void read_stop(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "stop");
	if (!node)
		return;
	g_autoptr(JsonArray) list = json_array_new();
	bool ok = body_is_string(node) || JSON_NODE_HOLDS_ARRAY(node);
	if (body_is_string(node)) {
		json_array_add_string_element(list, json_node_get_string(node));
	} else if (ok) {
		JsonArray *given = json_node_get_array(node);
		ok = json_array_get_length(given) <= MAX_STOP;
		for (guint i = 0; ok && i < json_array_get_length(given); i++) {
			JsonNode *s = json_array_get_element(given, i);
			ok = body_is_string(s);
			if (ok)
				json_array_add_string_element(list, json_node_get_string(s));
		}
	}
	for (guint i = 0; ok && i < json_array_get_length(list); i++)
		ok = json_array_get_string_element(list, i)[0] != 0;
	if (!ok) {
		api_error_field(errors, NULL, "stop",
				"stop must be a non-empty string or an array of at most %d of "
				"them",
				MAX_STOP);
		return;
	}
	if (json_array_get_length(list) == 0)
		return;
	g_autoptr(JsonNode) out = json_node_init_array(json_node_alloc(), list);
	b->stop = body_json(out);
}

static void read_bias(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "logit_bias");
	if (!node)
		return;
	JsonObject *map = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	if (!map || json_object_get_size(map) > MAX_BIAS) {
		api_error_field(errors, NULL, "logit_bias",
				"logit_bias must be an object with at most %d members", MAX_BIAS);
		return;
	}
	b->bias = g_new0(struct weir_logit_bias, MAX(json_object_get_size(map), 1));
	JsonObjectIter it;
	const char *key;
	JsonNode *value;
	json_object_iter_init_ordered(&it, map);
	while (json_object_iter_next_ordered(&it, &key, &value)) {
		guint64 token;
		bool number = JSON_NODE_HOLDS_VALUE(value) &&
			      (json_node_get_value_type(value) == G_TYPE_INT64 ||
			       json_node_get_value_type(value) == G_TYPE_DOUBLE);
		double bias = number ? json_node_get_double(value) : 0;
		if (!g_ascii_string_to_unsigned(key, 10, 0, G_MAXINT32, &token, NULL) || !number) {
			api_error_field(errors, NULL, "logit_bias",
					"logit_bias must map token ids to numbers");
			return;
		}
		if (!(bias >= -100 && bias <= 100)) {
			api_error_field(errors, NULL, "logit_bias",
					"logit_bias must be between -100 and 100");
			return;
		}
		b->bias[b->params.sampling.n_logit_bias++] =
			(struct weir_logit_bias){ (int32_t)token, (float)bias };
	}
	b->params.sampling.logit_bias = b->bias;
}

static void option_bool(JsonObject *o, const char *name, bool *ret, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	if (!node)
		return;
	if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN)
		api_error_field(errors, NULL, "stream_options",
				"stream_options.%s must be true or false", name);
	else
		*ret = json_node_get_boolean(node);
}

static void option_uint(JsonObject *o, const char *name, int max, uint32_t *ret,
			struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	if (!node)
		return;
	if (id_of(node) < 1 || id_of(node) > max)
		api_error_field(errors, NULL, "stream_options",
				"stream_options.%s must be an integer between 1 and %d", name, max);
	else
		*ret = (uint32_t)id_of(node);
}

static void read_stream_options(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "stream_options");
	if (!node)
		return;
	if (!JSON_NODE_HOLDS_OBJECT(node)) {
		api_error_field(errors, NULL, "stream_options", "stream_options must be an object");
		return;
	}
	if (!b->params.stream) {
		api_error_field(errors, NULL, "stream_options",
				"stream_options is allowed only when stream is true");
		return;
	}
	JsonObject *options = json_node_get_object(node);
	struct api_params *p = &b->params;
	option_bool(options, "include_usage", &p->include_usage, errors);
	option_bool(options, "continuous_usage_stats", &p->continuous_usage, errors);
	option_bool(options, "resume", &p->resume, errors);
	option_uint(options, "batch_tokens", MAX_BATCH, &p->batch_tokens, errors);
	option_uint(options, "batch_timeout_ms", MAX_BATCH_MS, &p->batch_ms, errors);
	if (p->batch_ms && !p->batch_tokens)
		p->batch_tokens = 3; /* 001u-1 */
	if (p->batch_tokens && !p->batch_ms)
		p->batch_ms = 50;
}

static void refuse_unsupported(JsonObject *o, struct api_error_list *errors)
{
	for (int i = 0; i < 2; i++) {
		const char *old = i ? "function_call" : "functions";
		if (body_member(o, old))
			api_error_field(errors, "unsupported_value", old,
					"%s is not supported: use %s", old,
					i ? "tool_choice" : "tools");
	}
}

static void read_adapter(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, "lora");
	const char *name = body_string(o, "lora");
	if (!node)
		return;
	if (!name || !name[0] || strlen(name) > MAX_MODEL)
		api_error_field(errors, NULL, "lora",
				"lora must be the name of an adapter: 1 to %d bytes", MAX_MODEL);
	else
		b->adapter = g_strdup(name);
}

void body_read_generate(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	read_stop(b, o, errors);
	read_bias(b, o, errors);
	read_stream_options(b, o, errors);
	refuse_unsupported(o, errors);
	read_adapter(b, o, errors);
	b->grammar = body_read_grammar(o, errors, &b->grammar_from);
	b->lists_prompt = b->params.sampling.prompt_logprobs;
	b->params.limits.echo = b->lists_prompt;
	b->params.sampling.prompt_top_logprobs = b->params.prompt_top;
	if (b->lists_prompt && b->params.stream)
		api_error_field(errors, "unsupported_value", "prompt_logprobs",
				"prompt_logprobs is not available when stream is true");
	uint32_t each = MAX(b->params.limits.n, b->params.best_of);
	if ((uint64_t)each * b->n_prompts > API_MAX_CHOICES)
		api_error_field(errors, NULL, "n", "prompts times n must be at most %d",
				API_MAX_CHOICES);
}

static void read_chat(struct api_body *b, JsonObject *o, const struct api_config *conf,
		      struct api_error_list *errors)
{
	messages_check(o, errors);
	b->n_prompts = 1;
	b->prompts = g_new0(struct api_prompt, 1);
	static const char *const formats[] = { "none", "auto", "deepseek", NULL };
	const char *format = body_string(o, "reasoning_format");
	b->template_kwargs = body_read_template_kwargs(o, errors);
	b->keep_reasoning = format && strcmp(format, "none") == 0;
	if (body_member(o, "reasoning_format") && !(format && g_strv_contains(formats, format)))
		api_error_field(errors, NULL, "reasoning_format",
				"reasoning_format must be one of none, auto, deepseek");
	if (b->params.sampling.top_logprobs && !b->params.sampling.logprobs)
		api_error_field(errors, NULL, "top_logprobs",
				"top_logprobs is allowed only when logprobs is true");
	JsonNode *modalities = body_member(o, "modalities");
	JsonArray *forms = modalities && JSON_NODE_HOLDS_ARRAY(modalities)
				   ? json_node_get_array(modalities)
				   : NULL;
	for (guint i = 0; forms && i < json_array_get_length(forms); i++) {
		JsonNode *form = json_array_get_element(forms, i);
		if (body_is_string(form) && strcmp(json_node_get_string(form), "text") != 0)
			api_error_field(
				errors, "unsupported_value", "modalities",
				"modalities can be text only: this server writes no '%.40s'",
				json_node_get_string(form));
	}
	body_read_generate(b, o, errors);
	if (errors->n)
		return;
	b->messages = body_json(body_member(o, "messages"));
	if (body_member(o, "tools"))
		b->tools = body_json(body_member(o, "tools"));
	if (body_member(o, "tool_choice"))
		b->tool_choice = body_json(body_member(o, "tool_choice"));
}

static void read_completion(struct api_body *b, JsonObject *o, const struct api_config *conf,
			    struct api_error_list *errors)
{
	struct api_params *p = &b->params;
	read_prompts(b, o, errors);
	if (p->best_of && p->best_of < p->limits.n)
		api_error_field(errors, NULL, "best_of", "best_of must be at least n");
	if (p->best_of > p->limits.n && p->stream)
		api_error_field(errors, NULL, "best_of", "best_of cannot be streamed");
	JsonNode *suffix = body_member(o, "suffix");
	if (suffix && !body_is_string(suffix))
		api_error_field(errors, NULL, "suffix", "suffix must be a string");
	else if (suffix && json_node_get_string(suffix)[0])
		b->suffix = g_strdup(json_node_get_string(suffix));
	for (uint32_t i = 0; b->suffix && i < b->n_prompts; i++)
		if (p->echo || b->prompts[i].is_tokens) {
			api_error_field(errors, NULL, "suffix",
					"suffix needs a prompt of text and cannot be combined with "
					"echo");
			break;
		}
	if (body_member(o, "max_tokens") && p->limits.max_tokens == 0) {
		p->limits.no_output = 1;
		if (!p->echo && !p->sampling.prompt_logprobs)
			api_error_field(errors, NULL, "max_tokens",
					"max_tokens must be between 1 and %u, or 0 with echo or "
					"prompt_logprobs",
					conf->max_tokens);
	}
	body_read_generate(b, o, errors);
	for (uint32_t i = 0; i < b->n_prompts; i++)
		if (p->echo && (p->sampling.logprobs || b->prompts[i].is_tokens))
			p->limits.echo = 1;
	if (p->echo && p->sampling.logprobs)
		p->sampling.prompt_logprobs = 1;
	p->sampling.prompt_top_logprobs =
		MAX(p->prompt_top, p->echo ? p->sampling.top_logprobs : 0);
}

struct api_body *api_body_read(const struct api_config *conf, const struct api_endpoint *endpoint,
			       JsonObject *o, struct api_error_list *errors)
{
	*errors = (struct api_error_list){ .profile = api_endpoint_profile(conf, endpoint) };
	struct api_body *b = g_new0(struct api_body, 1);
	b->endpoint = endpoint;
	params_init(&b->params, api_kind_bit(endpoint->kind));
	read_model(b, o, errors);
	params_read(&b->params, api_kind_bit(endpoint->kind), o, conf->max_tokens, errors);
	endpoint->read(b, o, conf, errors);
	if (errors->n == 0)
		return b;
	api_body_free(b);
	return NULL;
}

struct api_body *api_body_parse(const struct api_config *conf, const struct api_endpoint *endpoint,
				const char *text, size_t len, struct api_error_list *errors)
{
	struct json_fault fault;
	*errors = (struct api_error_list){ .profile = api_endpoint_profile(conf, endpoint) };
	g_autoptr(JsonNode) root = json_tree_parse(text, len, true, &fault);
	if (!root) {
		api_error_field(errors, "invalid_json", "",
				"the body is not valid JSON: %s at byte %zu (line %u, column %u)",
				fault.what, fault.offset, fault.line, fault.column);
		return NULL;
	}
	if (!JSON_NODE_HOLDS_OBJECT(root)) {
		api_error_field(errors, "invalid_json", "", "the body must be a JSON object");
		return NULL;
	}
	return api_body_read(conf, endpoint, json_node_get_object(root), errors);
}

static const struct api_endpoint endpoints[] = {
	{ "chat", "/v1/chat/completions", API_KIND_CHAT, &api_format_chat, read_chat, false },
	{ "completions", "/v1/completions", API_KIND_COMPLETION, &api_format_completion,
	  read_completion, false },
	{ "tokenize", "/tokenize", API_KIND_TOKENIZE, &api_format_plain, body_read_tokenize,
	  false },
	{ "detokenize", "/detokenize", API_KIND_DETOKENIZE, &api_format_plain, body_read_detokenize,
	  false },
	{ "apply_template", "/apply-template", API_KIND_TEMPLATE, &api_format_plain,
	  body_read_template, false },
	{ "infill", "/infill", API_KIND_INFILL, &api_format_infill, body_read_infill, false },
	{ "embeddings", "/v1/embeddings", API_KIND_EMBED, &api_format_embed, body_read_embed,
	  false },
	{ "rerank", "/v1/rerank", API_KIND_RERANK, &api_format_rerank, body_read_rerank, false },
	{ "responses", "/v1/responses", API_KIND_RESPONSES, &api_format_responses, responses_read,
	  false },
	{ "messages", "/v1/messages", API_KIND_MESSAGES, &api_format_messages, messages_read,
	  true },
	{ "count_tokens", "/v1/messages/count_tokens", API_KIND_COUNT, &api_format_count,
	  messages_read, true },
	{ NULL, NULL, API_KIND_CHAT, NULL, NULL, false },
};

enum api_profile api_endpoint_profile(const struct api_config *conf, const struct api_endpoint *e)
{
	return e && e->anthropic ? API_PROFILE_ANTHROPIC : conf->profile;
}

const struct api_endpoint *api_endpoints(void)
{
	return endpoints;
}

const struct api_endpoint *api_endpoint_find(const char *name)
{
	for (const struct api_endpoint *e = endpoints; e->name; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

void api_body_free(struct api_body *b)
{
	if (!b)
		return;
	g_free(b->model);
	g_free(b->messages);
	g_free(b->tools);
	g_free(b->tool_choice);
	g_free(b->template_kwargs);
	g_free(b->stop);
	g_free(b->grammar);
	g_free(b->adapter);
	g_free(b->suffix);
	g_free(b->files);
	g_free(b->answer_fields);
	g_free(b->inputs);
	g_free(b->shown);
	g_free(b->items);
	g_free(b->query);
	g_free(b->documents);
	for (uint32_t i = 0; i < b->n_prompts; i++)
		g_free(b->prompts[i].text);
	g_free(b->prompts);
	g_free(b->bias);
	g_free(b);
}
