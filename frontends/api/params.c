/*
 * frontends/api/params.c - see params.h.
 */
#include "params.h"

#include <math.h>
#include <string.h>

#define AT(field) offsetof(struct api_params, field)
#define MAX_N     128

static const struct param_rule table[] = {
	{ "temperature", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, 0, 2, false, false,
	  AT(sampling.temperature), "0 is greedy" },
	{ "top_p", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, 0, 1, false, false, AT(sampling.top_p),
	  "nucleus sampling; 1 is off" },
	{ "top_k", PARAM_TYPE_UINT, PARAM_KIND_GENERATE, -1, 1000, false, false, AT(sampling.top_k),
	  "most likely tokens only; 0 and -1 are off" },
	{ "min_p", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, 0, 1, false, false, AT(sampling.min_p),
	  "least share of the most likely token's probability; 0 is off" },
	{ "typical_p", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, 0, 1, true, false,
	  AT(sampling.typical_p), "locally typical sampling; 1 is off" },
	{ "repetition_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, 0, 2, true, false,
	  AT(sampling.repetition_penalty), "1 is off" },
	{ "presence_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, -2, 2, false, false,
	  AT(sampling.presence_penalty), "0 is off" },
	{ "frequency_penalty", PARAM_TYPE_FLOAT, PARAM_KIND_GENERATE, -2, 2, false, false,
	  AT(sampling.frequency_penalty), "0 is off" },
	{ "repeat_last_n", PARAM_TYPE_INT, PARAM_KIND_GENERATE, -1, 2000000, false, false,
	  AT(sampling.repeat_last_n), "window of the penalties; -1: everything" },
	{ "max_tokens", PARAM_TYPE_UINT, PARAM_KIND_GENERATE, 1, 0, false, true,
	  AT(limits.max_tokens), "longest output" },
	{ "max_completion_tokens", PARAM_TYPE_UINT, PARAM_KIND_CHAT, 1, 0, false, true,
	  AT(limits.max_tokens), "the same as max_tokens" },
	{ "min_tokens", PARAM_TYPE_UINT, PARAM_KIND_GENERATE, 0, 2000000, false, false,
	  AT(limits.min_tokens), "no end before" },
	{ "ignore_eos", PARAM_TYPE_FLAG, PARAM_KIND_GENERATE, 0, 0, false, false,
	  AT(limits.ignore_end), "go on past end tokens" },
	{ "priority", PARAM_TYPE_INT, PARAM_KIND_GENERATE, -1000000, 1000000, false, false,
	  AT(limits.priority), "higher goes first" },
	{ "n", PARAM_TYPE_UINT, PARAM_KIND_GENERATE, 1, MAX_N, false, false, AT(limits.n),
	  "choices" },
	{ "best_of", PARAM_TYPE_UINT, PARAM_KIND_COMPLETION, 1, MAX_N, false, false, AT(best_of),
	  "candidates of which the n most likely are returned" },
	{ "seed", PARAM_TYPE_SEED, PARAM_KIND_GENERATE, 0, 0, false, false, AT(sampling.seed),
	  "same seed, same output" },
	{ "logprobs", PARAM_TYPE_FLAG, PARAM_KIND_CHAT, 0, 0, false, false, AT(sampling.logprobs),
	  "report log-probabilities" },
	{ "top_logprobs", PARAM_TYPE_UINT, PARAM_KIND_CHAT, 0, 20, false, false,
	  AT(sampling.top_logprobs), "alternatives to each token; needs logprobs" },
	{ "logprobs", PARAM_TYPE_COUNT, PARAM_KIND_COMPLETION, 0, 20, false, false,
	  AT(sampling.top_logprobs), "alternatives to each token" },
	{ "stream", PARAM_TYPE_BOOL, PARAM_KIND_GENERATE, 0, 0, false, false, AT(stream),
	  "server-sent events" },
	{ "echo", PARAM_TYPE_BOOL, PARAM_KIND_COMPLETION, 0, 0, false, false, AT(echo),
	  "the prompt before the completion" },
	{ "add_special_tokens", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(add_special), "begin-of-text token and the like" },
	{ "parse_special_tokens", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(parse_special), "special tokens in the text count as such" },
	{ "return_token_strs", PARAM_TYPE_BOOL, PARAM_KIND_TOKENIZE, 0, 0, false, false,
	  AT(with_pieces), "the text of each token too" },
	{ NULL, PARAM_TYPE_BOOL, 0, 0, 0, false, false, 0, NULL },
};

const struct param_rule *params_table(void)
{
	return table;
}

void params_init(struct api_params *p, uint32_t kind)
{
	*p = (struct api_params){ .add_special = true };
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
	else
		*(uint32_t *)to = v;
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
		p->sampling.seed = json_node_get_value_type(node) == G_TYPE_INT64
					   ? (uint64_t)json_node_get_int(node)
				   : fabs(v) < 9e18 ? (uint64_t)(int64_t)v
						    : 0;
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
	}
}

void params_read(struct api_params *p, uint32_t kind, JsonObject *o, uint32_t max_tokens,
		 struct api_error_list *errors)
{
	for (const struct param_rule *r = table; r->name; r++) {
		JsonNode *node = r->kinds & kind ? json_object_get_member(o, r->name) : NULL;
		if (!node || JSON_NODE_HOLDS_NULL(node))
			continue;
		if (r->type == PARAM_TYPE_BOOL || r->type == PARAM_TYPE_FLAG)
			read_bool((char *)p + r->offset, r, node, errors);
		else
			read_number(p, r, node, max_tokens, errors);
	}
}
