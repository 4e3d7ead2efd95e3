/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/params.c - see params.h.
 */
#include "params.h"

#include <math.h>
#include <string.h>

#define MAX_N      128
#define MAX_TOKENS 2000000
#define MAX_STOP   16
#define MAX_BIAS   4096

static bool bad(struct rpc_error *err, const char *param, const char *text)
{
	rpc_fail(err, RPC_CODE_PARAMS, param, "%s", text);
	return false;
}

static char *span_text(const struct json_doc *d, uint32_t node)
{
	struct weir_str span = json_span(d, node);
	return g_strndup(span.data, span.len);
}

/* ---- what is no scalar ---- */

static bool read_messages(struct params *p, const struct json_doc *d, uint32_t node,
			  struct rpc_error *err)
{
	if (!messages_check(d, node, err))
		return false;
	p->messages = span_text(d, node);
	return true;
}

static bool read_tools(struct params *p, const struct json_doc *d, uint32_t node,
		       struct rpc_error *err)
{
	if (!tools_check(d, node, err))
		return false;
	p->tools = span_text(d, node);
	return true;
}

static bool read_tool_choice(struct params *p, const struct json_doc *d, uint32_t node,
			     struct rpc_error *err)
{
	if (json_type_of(d, node) != JSON_TYPE_OBJECT && !json_equals(d, node, "none") &&
	    !json_equals(d, node, "auto") && !json_equals(d, node, "required"))
		return bad(err, "tool_choice",
			   "tool_choice must be none, auto, required or an object");
	p->tool_choice = span_text(d, node);
	return true;
}

static bool read_kwargs(struct params *p, const struct json_doc *d, uint32_t node,
			struct rpc_error *err)
{
	if (json_type_of(d, node) != JSON_TYPE_OBJECT)
		return bad(err, "chat_template_kwargs", "chat_template_kwargs must be an object");
	p->template_kwargs = span_text(d, node);
	return true;
}

static bool ids_only(const struct json_doc *d, uint32_t list)
{
	if (json_type_of(d, list) != JSON_TYPE_ARRAY)
		return false;
	for (uint32_t i = list + 1; i < d->nodes[list].next; i = d->nodes[i].next) {
		int64_t id;
		if (!json_integer(d, i, &id) || id < 0 || id > INT32_MAX)
			return false;
	}
	return true;
}

/* A string, or an array of token ids. */
static bool read_prompt(struct params *p, const struct json_doc *d, uint32_t node,
			struct rpc_error *err)
{
	p->prompt = json_string(d, node);
	if (p->prompt)
		return true;
	if (!ids_only(d, node) || json_count(d, node) == 0)
		return bad(err, "prompt", "prompt must be a string or an array of token ids");
	p->tokens = span_text(d, node);
	return true;
}

static bool read_input(struct params *p, const struct json_doc *d, uint32_t node,
		       struct rpc_error *err)
{
	bool list = json_type_of(d, node) == JSON_TYPE_ARRAY;
	uint32_t n = list ? json_count(d, node) : 1;
	if (n > 0 && (json_type_of(d, node) == JSON_TYPE_STRING || ids_only(d, node))) {
		struct weir_str one = json_span(d, node);
		p->inputs = g_strdup_printf("[%.*s]", (int)one.len, one.data);
		p->n_inputs = 1;
		return true;
	}
	bool ok = list && n > 0;
	for (uint32_t i = node + 1; ok && i < d->nodes[node].next; i = d->nodes[i].next)
		ok = json_type_of(d, i) == JSON_TYPE_STRING ||
		     (ids_only(d, i) && json_count(d, i) > 0);
	if (!ok)
		return bad(err, "input",
			   "input must be a string or an array of token ids, or an array of these");
	p->inputs = span_text(d, node);
	p->n_inputs = n;
	return true;
}

static bool read_text(struct params *p, const struct json_doc *d, uint32_t node,
		      struct rpc_error *err)
{
	p->prompt = json_string(d, node);
	return p->prompt || bad(err, "prompt", "prompt must be a string");
}

static bool read_tokens(struct params *p, const struct json_doc *d, uint32_t node,
			struct rpc_error *err)
{
	if (!ids_only(d, node))
		return bad(err, "tokens", "tokens must be an array of token ids");
	p->tokens = span_text(d, node);
	return true;
}

static bool is_stop(const struct json_doc *d, uint32_t node)
{
	return json_type_of(d, node) == JSON_TYPE_STRING && json_span(d, node).len > 2;
}

static bool read_stop(struct params *p, const struct json_doc *d, uint32_t node,
		      struct rpc_error *err)
{
	bool ok = is_stop(d, node);
	if (ok) {
		struct weir_str s = json_span(d, node);
		p->stop = g_strdup_printf("[%.*s]", (int)s.len, s.data);
		return true;
	}
	ok = json_type_of(d, node) == JSON_TYPE_ARRAY && json_count(d, node) <= MAX_STOP;
	for (uint32_t i = node + 1; ok && i < d->nodes[node].next; i = d->nodes[i].next)
		ok = is_stop(d, i);
	if (!ok) {
		rpc_fail(err, RPC_CODE_PARAMS, "stop",
			 "stop must be a non-empty string or an array of at most %d of them",
			 MAX_STOP);
		return false;
	}
	p->stop = span_text(d, node);
	return true;
}

static bool read_bias(struct params *p, const struct json_doc *d, uint32_t node,
		      struct rpc_error *err)
{
	uint32_t n = json_type_of(d, node) == JSON_TYPE_OBJECT ? json_count(d, node) : 0;
	if (json_type_of(d, node) != JSON_TYPE_OBJECT || n > MAX_BIAS) {
		rpc_fail(err, RPC_CODE_PARAMS, "logit_bias",
			 "logit_bias must be an object with at most %d members", MAX_BIAS);
		return false;
	}
	g_free(p->bias);
	p->bias = g_new0(struct weir_logit_bias, n + 1);
	n = 0;
	for (uint32_t i = node + 1; i < d->nodes[node].next; i = d->nodes[i + 1].next) {
		g_autofree char *key = json_string(d, i);
		guint64 token;
		double bias;
		if (!g_ascii_string_to_unsigned(key, 10, 0, G_MAXINT32, &token, NULL) ||
		    !json_number(d, i + 1, &bias))
			return bad(err, "logit_bias", "logit_bias must map token ids to numbers");
		if (!(bias >= -100 && bias <= 100))
			return bad(err, "logit_bias", "logit_bias must be between -100 and 100");
		p->bias[n++] = (struct weir_logit_bias){ (int32_t)token, (float)bias };
	}
	p->sampling.logit_bias = p->bias;
	p->sampling.n_logit_bias = n;
	return true;
}

static bool read_flow(struct params *p, const struct json_doc *d, uint32_t node,
		      struct rpc_error *err)
{
	p->manual = json_equals(d, node, "manual");
	return p->manual || json_equals(d, node, "auto") ||
	       bad(err, "flow", "flow must be auto or manual");
}

static bool read_id(struct params *p, const struct json_doc *d, uint32_t node,
		    struct rpc_error *err)
{
	g_free(p->id);
	p->id = rpc_id(d, node);
	return p->id || bad(err, "id", "id must be the integer or string of a request");
}

/* ---- the table ---- */

#define AT(field) offsetof(struct params, field)
#define GENERATE  RPC_METHOD_GENERATE
#define CHAT      RPC_METHOD_CHAT
#define COMPLETE  RPC_METHOD_COMPLETE
#define TOKENIZE  RPC_METHOD_TOKENIZE

static const struct param_rule table[] = {
	{ "temperature", PARAM_TYPE_FLOAT, GENERATE, 0, 2, false, AT(sampling.temperature), NULL },
	{ "top_p", PARAM_TYPE_FLOAT, GENERATE, 0, 1, false, AT(sampling.top_p), NULL },
	{ "top_k", PARAM_TYPE_UINT, GENERATE, -1, 1000, false, AT(sampling.top_k), NULL },
	{ "min_p", PARAM_TYPE_FLOAT, GENERATE, 0, 1, false, AT(sampling.min_p), NULL },
	{ "typical_p", PARAM_TYPE_FLOAT, GENERATE, 0, 1, true, AT(sampling.typical_p), NULL },
	{ "repetition_penalty", PARAM_TYPE_FLOAT, GENERATE, 0, 2, true,
	  AT(sampling.repetition_penalty), NULL },
	{ "presence_penalty", PARAM_TYPE_FLOAT, GENERATE, -2, 2, false,
	  AT(sampling.presence_penalty), NULL },
	{ "frequency_penalty", PARAM_TYPE_FLOAT, GENERATE, -2, 2, false,
	  AT(sampling.frequency_penalty), NULL },
	{ "repeat_last_n", PARAM_TYPE_INT, GENERATE, -1, 2000000, false, AT(sampling.repeat_last_n),
	  NULL },
	{ "max_tokens", PARAM_TYPE_UINT, GENERATE, 1, MAX_TOKENS, false, AT(limits.max_tokens),
	  NULL },
	{ "max_completion_tokens", PARAM_TYPE_UINT, CHAT, 1, MAX_TOKENS, false,
	  AT(limits.max_tokens), NULL },
	{ "min_tokens", PARAM_TYPE_UINT, GENERATE, 0, MAX_TOKENS, false, AT(limits.min_tokens),
	  NULL },
	{ "ignore_eos", PARAM_TYPE_FLAG, GENERATE, 0, 0, false, AT(limits.ignore_end), NULL },
	{ "priority", PARAM_TYPE_INT, GENERATE, -1000000, 1000000, false, AT(limits.priority),
	  NULL },
	{ "n", PARAM_TYPE_UINT, GENERATE, 1, MAX_N, false, AT(limits.n), NULL },
	{ "seed", PARAM_TYPE_SEED, GENERATE, 0, 0, false, AT(sampling.seed), NULL },
	{ "logprobs", PARAM_TYPE_FLAG, CHAT, 0, 0, false, AT(sampling.logprobs), NULL },
	{ "top_logprobs", PARAM_TYPE_UINT, CHAT, 0, 20, false, AT(sampling.top_logprobs), NULL },
	{ "logprobs", PARAM_TYPE_COUNT, COMPLETE, 0, 20, false, AT(sampling.top_logprobs), NULL },
	{ "stop", PARAM_TYPE_OTHER, GENERATE, 0, 0, false, 0, read_stop },
	{ "logit_bias", PARAM_TYPE_OTHER, GENERATE, 0, 0, false, 0, read_bias },
	{ "stream", PARAM_TYPE_BOOL, GENERATE, 0, 0, false, AT(stream), NULL },
	{ "credit", PARAM_TYPE_UINT, GENERATE, 0, PARAMS_MAX_CREDIT, false, AT(credit), NULL },
	{ "flow", PARAM_TYPE_OTHER, GENERATE, 0, 0, false, 0, read_flow },
	{ "messages", PARAM_TYPE_OTHER, CHAT, 0, 0, false, 0, read_messages },
	{ "tools", PARAM_TYPE_OTHER, CHAT, 0, 0, false, 0, read_tools },
	{ "tool_choice", PARAM_TYPE_OTHER, CHAT, 0, 0, false, 0, read_tool_choice },
	{ "chat_template_kwargs", PARAM_TYPE_OTHER, CHAT, 0, 0, false, 0, read_kwargs },
	{ "prompt", PARAM_TYPE_OTHER, COMPLETE, 0, 0, false, 0, read_prompt },
	{ "prompt", PARAM_TYPE_OTHER, TOKENIZE, 0, 0, false, 0, read_text },
	{ "input", PARAM_TYPE_OTHER, RPC_METHOD_EMBED, 0, 0, false, 0, read_input },
	{ "tokens", PARAM_TYPE_OTHER, RPC_METHOD_DETOKENIZE, 0, 0, false, 0, read_tokens },
	{ "add_special_tokens", PARAM_TYPE_BOOL, TOKENIZE, 0, 0, false, AT(add_special), NULL },
	{ "parse_special_tokens", PARAM_TYPE_BOOL, TOKENIZE, 0, 0, false, AT(parse_special), NULL },
	{ "return_token_strs", PARAM_TYPE_BOOL, TOKENIZE, 0, 0, false, AT(with_pieces), NULL },
	{ "model", PARAM_TYPE_TEXT, RPC_METHOD_WORK, 0, 0, false, AT(model), NULL },
	{ "api_key", PARAM_TYPE_TEXT, RPC_METHOD_WORK, 0, 0, false, AT(api_key), NULL },
	{ "id", PARAM_TYPE_OTHER, RPC_METHOD_CANCEL | RPC_METHOD_GRANT, 0, 0, false, 0, read_id },
	{ "n", PARAM_TYPE_UINT, RPC_METHOD_GRANT, 1, PARAMS_MAX_CREDIT, false, AT(credit), NULL },
	{ NULL, PARAM_TYPE_BOOL, 0, 0, 0, false, 0, NULL },
};

const struct param_rule *params_table(void)
{
	return table;
}

/* ---- scalars ---- */

static bool out_of_range(const struct param_rule *r, struct rpc_error *err)
{
	char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
	g_ascii_formatd(low, sizeof(low), "%.15g", r->min);
	g_ascii_formatd(high, sizeof(high), "%.15g", r->max);
	rpc_fail(err, RPC_CODE_PARAMS, r->name,
		 r->min_excluded ? "%s must be greater than %s and at most %s"
				 : "%s must be between %s and %s",
		 r->name, low, high);
	return false;
}

static bool read_bool(void *to, const struct param_rule *r, const struct json_doc *d, uint32_t node,
		      struct rpc_error *err)
{
	bool v = json_type_of(d, node) == JSON_TYPE_TRUE;
	if (!v && json_type_of(d, node) != JSON_TYPE_FALSE) {
		rpc_fail(err, RPC_CODE_PARAMS, r->name, "%s must be true or false", r->name);
		return false;
	}
	if (r->type == PARAM_TYPE_BOOL)
		*(bool *)to = v;
	else
		*(uint32_t *)to = v;
	return true;
}

static void set_seed(struct params *p, const struct json_doc *d, uint32_t node, double v)
{
	int64_t whole = 0;
	if (!json_integer(d, node, &whole) && fabs(v) < 9e18)
		whole = (int64_t)v;
	p->sampling.seed = (uint64_t)whole;
	p->sampling.seed_set = 1;
}

static bool read_number(struct params *p, const struct param_rule *r, const struct json_doc *d,
			uint32_t node, struct rpc_error *err)
{
	void *to = (char *)p + r->offset;
	double v;
	if (!json_number(d, node, &v)) {
		rpc_fail(err, RPC_CODE_PARAMS, r->name, "%s must be %s", r->name,
			 r->type == PARAM_TYPE_FLOAT ? "a number" : "an integer");
		return false;
	}
	if (r->type != PARAM_TYPE_FLOAT && !(isfinite(v) && v == floor(v))) {
		rpc_fail(err, RPC_CODE_PARAMS, r->name, "%s must be an integer", r->name);
		return false;
	}
	if (r->type == PARAM_TYPE_SEED) {
		set_seed(p, d, node, v);
		return true;
	}
	if (!(v >= r->min && v <= r->max) || (r->min_excluded && v <= r->min))
		return out_of_range(r, err);
	if (r->type == PARAM_TYPE_FLOAT) {
		*(float *)to = (float)v;
	} else if (r->type == PARAM_TYPE_INT) {
		*(int32_t *)to = (int32_t)v;
	} else {
		*(uint32_t *)to = v < 0 ? 0 : (uint32_t)v;
		if (r->type == PARAM_TYPE_COUNT)
			p->sampling.logprobs = 1;
	}
	return true;
}

static bool read_one(struct params *p, const struct param_rule *r, const struct json_doc *d,
		     uint32_t node, struct rpc_error *err)
{
	char **text = (char **)((char *)p + r->offset);
	switch (r->type) {
	case PARAM_TYPE_BOOL:
	case PARAM_TYPE_FLAG:
		return read_bool((char *)p + r->offset, r, d, node, err);
	case PARAM_TYPE_OTHER:
		return r->read(p, d, node, err);
	case PARAM_TYPE_TEXT:
		*text = json_string(d, node);
		if (*text && **text)
			return true;
		rpc_fail(err, RPC_CODE_PARAMS, r->name, "%s must be a non-empty string", r->name);
		return false;
	default:
		return read_number(p, r, d, node, err);
	}
}

/* ---- the whole ---- */

static void init(struct params *p, uint32_t method)
{
	*p = (struct params){ .stream = true, .add_special = true, .credit = PARAMS_CREDIT };
	p->sampling.size = sizeof(p->sampling);
	p->sampling.temperature = 1;
	p->sampling.top_p = 1;
	p->sampling.typical_p = 1;
	p->sampling.repetition_penalty = 1;
	p->sampling.repeat_last_n = -1;
	p->limits.size = sizeof(p->limits);
	p->limits.n = 1;
	if (method == RPC_METHOD_COMPLETE)
		p->limits.max_tokens = 16; /* as OpenAI has it for this one */
	if (method == RPC_METHOD_GRANT)
		p->credit = 0;
}

static const struct param_rule *find(const struct json_doc *d, uint32_t name, uint32_t method)
{
	for (const struct param_rule *r = table; r->name; r++)
		if ((r->methods & method) && json_equals(d, name, r->name))
			return r;
	return NULL;
}

static bool known_names(const struct rpc_request *r, struct rpc_error *err)
{
	const struct json_doc *d = &r->doc;
	if (!r->params)
		return true;
	for (uint32_t i = r->params + 1; i < d->nodes[r->params].next; i = d->nodes[i + 1].next) {
		if (find(d, i, r->method))
			continue;
		g_autofree char *name = json_string(d, i);
		rpc_fail(err, RPC_CODE_PARAMS, name, "%s has no parameter '%.60s'",
			 rpc_method_name(r->method), name);
		return false;
	}
	return true;
}

static bool require(bool there, const char *name, struct rpc_error *err)
{
	if (!there)
		rpc_fail(err, RPC_CODE_PARAMS, name, "%s is required", name);
	return there;
}

static bool check(const struct params *p, uint32_t method, struct rpc_error *err)
{
	switch (method) {
	case RPC_METHOD_CHAT:
		if (p->sampling.top_logprobs && !p->sampling.logprobs)
			return bad(err, "top_logprobs",
				   "top_logprobs is allowed only when logprobs is true");
		return require(p->messages, "messages", err);
	case RPC_METHOD_COMPLETE:
		return require(p->prompt || p->tokens, "prompt", err);
	case RPC_METHOD_TOKENIZE:
		return require(p->prompt, "prompt", err);
	case RPC_METHOD_EMBED:
		return require(p->inputs, "input", err);
	case RPC_METHOD_DETOKENIZE:
		return require(p->tokens, "tokens", err);
	case RPC_METHOD_CANCEL:
		return require(p->id, "id", err);
	case RPC_METHOD_GRANT:
		return require(p->id, "id", err) && require(p->credit > 0, "n", err);
	default:
		return true;
	}
}

bool params_read(struct params *p, const struct rpc_request *r, struct rpc_error *err)
{
	init(p, r->method);
	if (!known_names(r, err))
		return false;
	for (const struct param_rule *rule = table; r->params && rule->name; rule++) {
		uint32_t node = rule->methods & r->method
					? json_member(&r->doc, r->params, rule->name)
					: JSON_ABSENT;
		if (node && !read_one(p, rule, &r->doc, node, err))
			return false;
	}
	if (!check(p, r->method, err))
		return false;
	if (!p->stream && p->manual)
		return bad(err, "flow", "flow manual needs stream true");
	if (!p->manual && p->credit == 0)
		return bad(err, "credit", "credit must be at least 1 unless flow is manual");
	return true;
}

void params_clear(struct params *p)
{
	g_free(p->bias);
	g_free(p->model);
	g_free(p->api_key);
	g_free(p->messages);
	g_free(p->tools);
	g_free(p->tool_choice);
	g_free(p->template_kwargs);
	g_free(p->stop);
	g_free(p->prompt);
	g_free(p->tokens);
	g_free(p->inputs);
	g_free(p->id);
	*p = (struct params){ .stream = false };
}
