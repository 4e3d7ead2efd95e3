/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/relay-text.c - requests from JSON, events and ends to JSON, without loss: 64-bit
 * numbers as decimal text, floats with the nine digits that they need, bytes that are not UTF-8 in
 * base64. See relay.h.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include <api/json-write.h>

#include "relay.h"

#define MAX_FIELDS 256
#define MAX_BIAS   4096

enum kind { KIND_FLOAT, KIND_U32, KIND_I32, KIND_I64, KIND_U64 };

struct member {
	const char *name;
	enum kind kind;
	size_t at;
};

#define S(m, k)                                                                                    \
	{                                                                                          \
#m, KIND_##k, offsetof(struct weir_sampling, m)                                    \
	}
static const struct member sampling_members[] = {
	S(seed_set, U32),
	S(seed, U64),
	S(temperature, FLOAT),
	S(top_p, FLOAT),
	S(min_p, FLOAT),
	S(typical_p, FLOAT),
	S(top_k, U32),
	S(repeat_last_n, I32),
	S(repetition_penalty, FLOAT),
	S(presence_penalty, FLOAT),
	S(frequency_penalty, FLOAT),
	S(top_logprobs, U32),
	S(logprobs, U32),
	S(prompt_logprobs, U32),
	S(prompt_top_logprobs, U32),
};
#undef S
#define L(m, k)                                                                                    \
	{                                                                                          \
#m, KIND_##k, offsetof(struct weir_limits, m)                                      \
	}
static const struct member limits_members[] = {
	L(max_tokens, U32), L(min_tokens, U32),  L(ignore_end, U32), L(n, U32),
	L(priority, I32),   L(deadline_ns, I64), L(echo, U32),       L(no_output, U32),
};
#undef L

static bool bad(struct rpc_error *err, const char *param, const char *text)
{
	rpc_fail(err, RPC_CODE_PARAMS, param, "%s: %s", param, text);
	return false;
}

static bool is_int(JsonNode *node)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64;
}

static bool is_text(JsonNode *node)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
}

static bool is_number(JsonNode *node)
{
	return is_int(node) ||
	       (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_DOUBLE);
}

static bool read_member(const struct member *m, JsonNode *node, void *at)
{
	gint64 v = is_int(node) ? json_node_get_int(node) : 0;
	guint64 u;
	switch (m->kind) {
	case KIND_FLOAT:
		if (!is_number(node))
			return false;
		*(float *)at = (float)(is_int(node) ? (double)v : json_node_get_double(node));
		return true;
	case KIND_U64: /* text: JSON's numbers end where a signed one does */
		if (!is_text(node) || !g_ascii_string_to_unsigned(json_node_get_string(node), 10, 0,
								  G_MAXUINT64, &u, NULL))
			return false;
		*(uint64_t *)at = u;
		return true;
	case KIND_I64:
		*(int64_t *)at = v;
		return is_int(node);
	case KIND_I32:
		*(int32_t *)at = (int32_t)CLAMP(v, G_MININT32, G_MAXINT32);
		return is_int(node) && v >= G_MININT32 && v <= G_MAXINT32;
	default:
		*(uint32_t *)at = (uint32_t)CLAMP(v, 0, (gint64)G_MAXUINT32);
		return is_int(node) && v >= 0 && v <= (gint64)G_MAXUINT32;
	}
}

/* What is not there stays. A name that is unknown is of a newer parent. */
static bool read_members(JsonObject *from, const struct member *members, size_t n, void *to,
			 struct rpc_error *err)
{
	for (size_t i = 0; i < n; i++) {
		JsonNode *node = json_object_get_member(from, members[i].name);
		if (node && !read_member(&members[i], node, (char *)to + members[i].at))
			return bad(err, members[i].name, "a number in its range is expected");
	}
	return true;
}

static bool read_bias(JsonNode *node, struct weir_sampling *s, struct rpc_error *err)
{
	JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
	guint n = list ? json_array_get_length(list) : 0;
	if (!list || n > MAX_BIAS)
		return bad(err, "logit_bias", "an array of at most 4096 pairs is expected");
	struct weir_logit_bias *bias = g_new0(struct weir_logit_bias, MAX(n, 1));
	s->logit_bias = bias;
	s->n_logit_bias = n;
	for (guint i = 0; i < n; i++) {
		static const struct member token = { "", KIND_I32, 0 },
					   value = { "", KIND_FLOAT, 0 };
		JsonNode *pair = json_array_get_element(list, i);
		JsonArray *p = JSON_NODE_HOLDS_ARRAY(pair) ? json_node_get_array(pair) : NULL;
		if (!p || json_array_get_length(p) != 2 ||
		    !read_member(&token, json_array_get_element(p, 0), &bias[i].token) ||
		    !read_member(&value, json_array_get_element(p, 1), &bias[i].bias))
			return bad(err, "logit_bias", "[token, bias] is expected");
	}
	return true;
}

/* A string, or {"base64": "..."}; NULL: neither, or it holds a NUL byte. */
static char *read_text(JsonNode *node)
{
	if (is_text(node))
		return g_strdup(json_node_get_string(node));
	JsonNode *inner = JSON_NODE_HOLDS_OBJECT(node)
				  ? json_object_get_member(json_node_get_object(node), "base64")
				  : NULL;
	if (!inner || !is_text(inner))
		return NULL;
	gsize n;
	const char *text = json_node_get_string(inner);
	if (strlen(text) % 4 != 0)
		return NULL;
	g_autofree guchar *bytes = g_base64_decode(text, &n);
	return memchr(bytes, 0, n) ? NULL : g_strndup((const char *)bytes, n);
}

static bool read_fields(JsonObject *from, struct relay_request *r, struct rpc_error *err)
{
	g_autoptr(GList) names = json_object_get_members(from);
	guint n = g_list_length(names);
	if (n > MAX_FIELDS)
		return bad(err, "fields", "more than 256");
	r->fields = g_new0(struct weir_kv, MAX(n, 1));
	for (GList *l = names; l; l = l->next) {
		char *value = read_text(json_object_get_member(from, l->data));
		if (!value)
			return bad(err, "fields", "text without NUL bytes is expected");
		r->fields[r->n_fields++] = (struct weir_kv){ g_strdup(l->data), value };
	}
	return true;
}

static JsonObject *object_of(JsonObject *params, const char *name)
{
	JsonNode *node = json_object_get_member(params, name);
	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

bool relay_request_read(JsonObject *params, struct relay_request *ret, struct rpc_error *err)
{
	static const struct member credit = { "credit", KIND_U32,
					      offsetof(struct relay_request, credit) };
	JsonObject *fields = object_of(params, "fields");
	JsonObject *sampling = object_of(params, "sampling"), *limits = object_of(params, "limits");
	*ret = (struct relay_request){
		.sampling = { .size = sizeof(ret->sampling),
			      .temperature = 1,
			      .top_p = 1,
			      .typical_p = 1,
			      .repeat_last_n = -1,
			      .repetition_penalty = 1 },
		.limits = { .size = sizeof(ret->limits), .n = 1 },
	};
	if (!fields)
		return bad(err, "fields", "an object is expected");
	if (!read_fields(fields, ret, err) || !read_members(params, &credit, 1, ret, err))
		return false;
	if (limits &&
	    !read_members(limits, limits_members, G_N_ELEMENTS(limits_members), &ret->limits, err))
		return false;
	if (!sampling)
		return true;
	JsonNode *bias = json_object_get_member(sampling, "logit_bias");
	return read_members(sampling, sampling_members, G_N_ELEMENTS(sampling_members),
			    &ret->sampling, err) &&
	       (!bias || read_bias(bias, &ret->sampling, err));
}

void relay_request_clear(struct relay_request *r)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		g_free((char *)r->fields[i].key);
		g_free((char *)r->fields[i].value);
	}
	g_free(r->fields);
	g_free((void *)r->sampling.logit_bias);
	*r = (struct relay_request){ .n_fields = 0 };
}

/* ---- events ---- */

static const char *const type_names[] = {
	[WEIR_EVENT_STARTED] = "started", [WEIR_EVENT_TOKEN] = "token",
	[WEIR_EVENT_TEXT] = "text",       [WEIR_EVENT_REASONING] = "reasoning",
	[WEIR_EVENT_TOOL] = "tool",       [WEIR_EVENT_JSON] = "json",
	[WEIR_EVENT_VECTOR] = "vector",   [WEIR_EVENT_PROMPT] = "prompt",
};

static void put_key(struct buf *out, const char *key)
{
	buf_putc(out, ',');
	json_put_key(out, key);
}

static void put_text(struct buf *out, const char *key, struct weir_str text)
{
	if (!text.len)
		return;
	put_key(out, key);
	json_put_string(out, text.data, text.len);
}

/* Reads back as the same float. */
static void put_float(struct buf *out, float v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	if (isnan(v))
		buf_puts(out, "null");
	else if (isinf(v))
		buf_puts(out, v > 0 ? "1e999" : "-1e999");
	else
		buf_puts(out, g_ascii_formatd(text, sizeof(text), "%.9g", (double)v));
}

static void put_raw(struct buf *out, const struct weir_event *e)
{
	if (!e->raw.len)
		return;
	put_key(out, "raw");
	if (e->raw.len == e->text.len && !memcmp(e->raw.data, e->text.data, e->raw.len)) {
		buf_puts(out, "true"); /* as the text */
		return;
	}
	g_autofree char *raw = g_base64_encode((const guchar *)e->raw.data, e->raw.len);
	buf_putc(out, '"');
	buf_puts(out, raw);
	buf_putc(out, '"');
}

static void put_top(struct buf *out, const struct weir_event *e)
{
	for (uint32_t i = 0; i < e->n_top; i++) {
		buf_puts(out, i ? ",[" : ",\"top\":[[");
		json_put_int(out, e->top[i].token);
		buf_putc(out, ',');
		put_float(out, e->top[i].logprob);
		buf_putc(out, ',');
		json_put_string(out, e->top[i].text.data, e->top[i].text.len);
		buf_puts(out, i + 1 < e->n_top ? "]" : "]]");
	}
}

void relay_put_event(struct buf *out, const char *id, const struct weir_event *e)
{
	buf_puts(out, "{\"method\":\"event\",\"params\":{\"id\":");
	buf_puts(out, id);
	buf_puts(out, ",\"seq\":");
	json_put_uint(out, e->seq);
	buf_puts(out, ",\"type\":\"");
	buf_puts(out, type_names[e->type]);
	buf_putc(out, '"');
	if (e->index) {
		put_key(out, "index");
		json_put_uint(out, e->index);
	}
	if (e->token != -1) {
		put_key(out, "token");
		json_put_int(out, e->token);
	}
	if (e->value) {
		put_key(out, "value");
		json_put_int(out, e->value);
	}
	put_text(out, "text", e->text);
	put_raw(out, e);
	if (!isnan(e->logprob)) {
		put_key(out, "logprob");
		put_float(out, e->logprob);
	}
	put_top(out, e);
	buf_puts(out, "}}\n");
}

void relay_put_end(struct buf *out, const char *id, const struct weir_end *e)
{
	size_t from = rpc_put_result(out, id);
	buf_printf(out,
		   "{\"status\":%d,\"finish\":%u,\"n_prompt\":%u,\"n_cached\":%u,\"n_output\":%u,"
		   "\"retry_after_ms\":%u,\"stop\":%u,\"n_reasoning\":%u",
		   e->status, e->finish, e->n_prompt, e->n_cached, e->n_output, e->retry_after_ms,
		   e->stop, e->n_reasoning);
	for (uint32_t i = 0; e->choices && i < e->n_choices; i++) {
		struct weir_choice_end c = weir_end_choice(e, i);
		buf_printf(out, "%s[%u,%u,%u,%u]%s", i ? "," : ",\"choices\":[", c.finish,
			   c.n_output, c.stop, c.n_reasoning, i + 1 < e->n_choices ? "" : "]");
	}
	put_text(out, "text", e->text);
	put_text(out, "param", e->param);
	rpc_put_end(out, from, "}}");
}
