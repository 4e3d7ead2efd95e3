/*
 * frontends/api/infill-options.c - what llama-server's clients send with /infill beyond what other
 * endpoints have. Pure: any thread.
 *
 * Facts: llama-server's README. Its samplers that are not here may be sent as long as they are off;
 * on, they are refused, since the text would not be what was asked for.
 */
#include <math.h>
#include <string.h>

#include "body-private.h"

/* NAN: absent, or an error was added. */
static double read_whole(JsonObject *o, const char *name, double min, double max,
			 struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	GType type =
		node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_NONE;
	double v = type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_double(node) : NAN;
	if (!node)
		return NAN;
	if (v >= min && v <= max && v == floor(v))
		return v;
	api_error_field(errors, NULL, name, "%s must be an integer between %.0f and %.0f", name,
			min, max);
	return NAN;
}

static bool read_bool(JsonObject *o, const char *name, struct api_error_list *errors)
{
	JsonNode *node = body_member(o, name);
	if (!node)
		return false;
	if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)
		return json_node_get_boolean(node);
	api_error_field(errors, NULL, name, "%s must be true or false", name);
	return false;
}

/* Which samplers are used; the order is this server's. */
static void read_samplers(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	enum { TOP_K, TOP_P, MIN_P, TYP_P, TEMPERATURE, PENALTIES, N_OURS };
	static const char *const names[] = { "top_k",       "top_p",     "min_p", "typ_p",
					     "temperature", "penalties", "dry",   "xtc",
					     "top_n_sigma", "infill",    NULL };
	struct weir_sampling *s = &b->params.sampling;
	JsonNode *node = body_member(o, "samplers");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	bool used[G_N_ELEMENTS(names)] = { false };
	bool ok = list;
	if (!node)
		return;
	for (guint i = 0; ok && i < json_array_get_length(list); i++) {
		JsonNode *one = json_array_get_element(list, i);
		const char *name = body_is_string(one) ? json_node_get_string(one) : "";
		guint at = 0;
		while (names[at] && strcmp(names[at], name) != 0)
			at++;
		ok = names[at];
		used[at] = true;
	}
	if (!ok) {
		api_error_field(errors, NULL, "samplers",
				"samplers must be an array of: top_k, top_p, min_p, typ_p, "
				"temperature, penalties, dry, xtc, top_n_sigma, infill");
		return;
	}
	s->top_k = used[TOP_K] ? s->top_k : 0;
	s->top_p = used[TOP_P] ? s->top_p : 1;
	s->min_p = used[MIN_P] ? s->min_p : 0;
	s->typical_p = used[TYP_P] ? s->typical_p : 1;
	s->temperature = used[TEMPERATURE] || s->temperature == 0 ? s->temperature : 1;
	if (!used[PENALTIES]) {
		s->repetition_penalty = 1;
		s->presence_penalty = s->frequency_penalty = 0;
	}
}

/* Samplers of llama-server's that this one has not: the value at which they do nothing. */
static void refuse_samplers(JsonObject *o, struct api_error_list *errors)
{
	static const struct {
		const char *name;
		double off;
		bool below; /* and all values below it */
	} samplers[] = {
		{ "mirostat", 0, false },        { "dry_multiplier", 0, false },
		{ "xtc_probability", 0, false }, { "dynatemp_range", 0, false },
		{ "top_n_sigma", 0, true },      { "tfs_z", 1, false },
		{ "id_slot", -1, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(samplers); i++) {
		const char *name = samplers[i].name;
		JsonNode *node = body_member(o, name);
		GType type = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node)
								 : G_TYPE_NONE;
		if (!node)
			continue;
		if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE) {
			api_error_field(errors, NULL, name, "%s must be a number", name);
			continue;
		}
		double v = json_node_get_double(node), off = samplers[i].off;
		if (v != off && !(samplers[i].below && v < off))
			api_error_field(errors, "unsupported_value", name,
					"%s is not supported: leave it out, or at %g", name, off);
	}
}

void body_read_infill_options(struct api_body *b, JsonObject *o, struct api_error_list *errors)
{
	struct weir_sampling *s = &b->params.sampling;
	double indent = read_whole(o, "n_indent", 0, 1000, errors);
	double ms = read_whole(o, "t_max_predict_ms", -1, 86400000, errors);
	double probs = read_whole(o, "n_probs", 0, 20, errors);
	if (indent > 0)
		b->n_indent = (uint32_t)indent;
	if (ms > 0)
		b->predict_ms = (uint32_t)ms;
	if (probs > 0) {
		s->logprobs = 1;
		s->top_logprobs = (uint32_t)probs;
	}
	b->return_tokens = read_bool(o, "return_tokens", errors);
	(void)read_bool(o, "cache_prompt", errors); /* the cache changes no text */
	read_samplers(b, o, errors);
	refuse_samplers(o, errors);
}
