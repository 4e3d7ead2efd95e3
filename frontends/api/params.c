/*
 * frontends/api/params.c - see params.h.
 */
#include "params.h"

#include <math.h>
#include <string.h>

void params_init(struct api_params *p, uint32_t kind)
{
	*p = (struct api_params){ .add_special = true, .store = true };
	p->sampling.size = sizeof(p->sampling);
	p->sampling.temperature = 1;
	p->sampling.top_p = 1;
	p->sampling.typical_p = 1;
	p->sampling.repetition_penalty = 1;
	p->sampling.repeat_last_n = -1;
	p->limits.size = sizeof(p->limits);
	p->limits.n = 1;
	if (kind == PARAM_KIND_COMPLETION)
		p->limits.max_tokens = 16; /* as OpenAI has it for this one */
	if (kind == PARAM_KIND_INFILL) {   /* llama-server's: its clients leave them to it */
		p->sampling.temperature = 0.8f;
		p->sampling.top_k = 40;
		p->sampling.top_p = 0.95f;
		p->sampling.min_p = 0.05f;
	}
}

static void out_of_range(const struct param_rule *r, double max, struct api_error_list *errors)
{
	char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
	g_ascii_formatd(low, sizeof(low), "%.15g", r->min);
	g_ascii_formatd(high, sizeof(high), "%.15g", max);
	if (r->min_excluded)
		api_error_field(errors, NULL, r->name, "%s must be greater than %s and at most %s",
				r->name, low, high);
	else
		api_error_field(errors, NULL, r->name, "%s must be between %s and %s", r->name, low,
				high);
}

static bool is_number(JsonNode *node)
{
	if (!JSON_NODE_HOLDS_VALUE(node))
		return false;
	GType t = json_node_get_value_type(node);
	return t == G_TYPE_INT64 || t == G_TYPE_DOUBLE;
}

static void read_bool(void *to, const struct param_rule *r, JsonNode *node,
		      struct api_error_list *errors)
{
	if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
		api_error_field(errors, NULL, r->name, "%s must be true or false", r->name);
		return;
	}
	bool v = json_node_get_boolean(node);
	if (r->type == PARAM_TYPE_BOOL)
		*(bool *)to = v;
	else if (r->type == PARAM_TYPE_NOT)
		*(bool *)to = !v;
	else
		*(uint32_t *)to = v;
}

/* Any whole number is one; those that 64 bits do not hold are taken modulo 2^64, as well as a
 * double knows them: programs draw unsigned ones, which must not all be the same. */
static uint64_t seed_of(JsonNode *node)
{
	double v = json_node_get_double(node);
	if (json_node_get_value_type(node) == G_TYPE_INT64)
		return (uint64_t)json_node_get_int(node);
	if (!isfinite(v))
		return 0;
	uint64_t seed = (uint64_t)fmod(fabs(v), 0x1p64);
	return v < 0 ? 0 - seed : seed;
}

static void read_number(struct api_params *p, const struct param_rule *r, JsonNode *node,
			uint32_t max_tokens, struct api_error_list *errors)
{
	void *to = (char *)p + r->offset;
	if (!is_number(node)) {
		api_error_field(errors, NULL, r->name, "%s must be %s", r->name,
				r->type == PARAM_TYPE_FLOAT ? "a number" : "an integer");
		return;
	}
	double v = json_node_get_double(node);
	double max = r->max_configured ? max_tokens : r->max;
	if (r->type != PARAM_TYPE_FLOAT && isfinite(v) && v != floor(v)) {
		api_error_field(errors, NULL, r->name, "%s must be an integer", r->name);
	} else if (r->type == PARAM_TYPE_SEED) {
		p->sampling.seed = seed_of(node);
		p->sampling.seed_set = 1;
	} else if (!(v >= r->min && v <= max) || (r->min_excluded && v <= r->min)) {
		out_of_range(r, max, errors);
	} else if (r->type == PARAM_TYPE_FLOAT) {
		*(float *)to = (float)v;
	} else if (r->type == PARAM_TYPE_INT) {
		*(int32_t *)to = (int32_t)v;
	} else {
		*(uint32_t *)to = v < 0 ? 0 : (uint32_t)v;
		if (r->type == PARAM_TYPE_COUNT)
			p->sampling.logprobs = 1;
		if (r->type == PARAM_TYPE_PROMPT)
			p->sampling.prompt_logprobs = 1;
	}
}

void params_read(struct api_params *p, uint32_t kind, JsonObject *o, uint32_t max_tokens,
		 struct api_error_list *errors)
{
	for (const struct param_rule *r = params_table(); r->name; r++) {
		bool mine = r->kinds & kind && r->type != PARAM_TYPE_OTHER;
		JsonNode *node = mine ? json_object_get_member(o, r->name) : NULL;
		if (!node || JSON_NODE_HOLDS_NULL(node))
			continue;
		if (r->type == PARAM_TYPE_BOOL || r->type == PARAM_TYPE_NOT ||
		    r->type == PARAM_TYPE_FLAG)
			read_bool((char *)p + r->offset, r, node, errors);
		else
			read_number(p, r, node, max_tokens, errors);
	}
}
