/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/answer.c - events and results as lines (docs/line-protocol.md). See call.h.
 */
#include "call.h"

#include <math.h>
#include <string.h>

static const char *const type_names[] = {
	[WEIR_EVENT_STARTED] = "started", [WEIR_EVENT_TOKEN] = "token",
	[WEIR_EVENT_TEXT] = "text",       [WEIR_EVENT_REASONING] = "reasoning",
	[WEIR_EVENT_TOOL] = "tool",
};

static const char *finish_name(uint32_t finish)
{
	switch (finish) {
	case WEIR_FINISH_LENGTH:
		return "length";
	case WEIR_FINISH_TOOL:
		return "tool_calls";
	case WEIR_FINISH_FILTER:
		return "content_filter";
	default:
		return "stop";
	}
}

static void put_uint(GString *out, const char *key, uint64_t value)
{
	g_string_append_printf(out, ",\"%s\":%" G_GUINT64_FORMAT, key, value);
}

static void put_text(GString *out, const char *key, struct weir_str text)
{
	g_string_append_printf(out, ",\"%s\":", key);
	json_put_string(out, text.data, text.len);
}

/* The token's bytes, where its text does not tell them: a part of a rune. */
static void put_raw(GString *out, const struct weir_event *e)
{
	if (e->raw.len == 0 ||
	    (e->raw.len == e->text.len && memcmp(e->raw.data, e->text.data, e->raw.len) == 0))
		return;
	g_autofree char *raw = g_base64_encode((const guchar *)e->raw.data, e->raw.len);
	g_string_append_printf(out, ",\"raw\":\"%s\"", raw);
}

static void put_logprobs(const struct call *k, GString *out, const struct weir_event *e)
{
	if (!k->logprobs || isnan(e->logprob))
		return;
	g_string_append(out, ",\"logprob\":");
	json_put_logprob(out, e->logprob);
	if (e->n_top == 0)
		return;
	g_string_append(out, ",\"top\":[");
	for (uint32_t i = 0; i < e->n_top; i++) {
		g_string_append_printf(out, "%s{\"token\":%d", i ? "," : "", e->top[i].token);
		put_text(out, "text", e->top[i].text);
		g_string_append(out, ",\"logprob\":");
		json_put_logprob(out, e->top[i].logprob);
		g_string_append_c(out, '}');
	}
	g_string_append_c(out, ']');
}

/* A delta must be one JSON object, or the client could not read the line. */
static bool put_delta(const struct call *k, GString *out, struct weir_str text)
{
	struct json_doc d;
	struct json_fault fault;
	bool ok = json_parse(text.data ? text.data : "", text.len, &d, &fault) &&
		  json_type_of(&d, 0) == JSON_TYPE_OBJECT;
	if (ok)
		json_put_compact(out, &d, 0);
	else
		line_logf(k->line, WEIR_LOG_MISBEHAVING,
			  "request %s: a tool call delta that is no JSON object", k->log_id);
	json_doc_clear(&d);
	return ok;
}

void answer_event(struct call *k, const struct weir_event *e, GString *out)
{
	size_t before = out->len;
	g_string_append_printf(out,
			       "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"id\":%s,"
			       "\"seq\":%" G_GUINT64_FORMAT ",\"type\":\"%s\"",
			       k->id, e->seq, type_names[e->type]);
	if (k->n_choices > 1 && e->type != WEIR_EVENT_STARTED)
		put_uint(out, "index", e->index);
	if (e->type == WEIR_EVENT_STARTED) {
		put_uint(out, "prompt_tokens", k->n_prompt);
	} else if (e->type == WEIR_EVENT_TOOL) {
		g_string_append(out, ",\"delta\":");
		if (!put_delta(k, out, e->text)) {
			g_string_truncate(out, before);
			return;
		}
	} else {
		if (e->type == WEIR_EVENT_TOKEN)
			g_string_append_printf(out, ",\"token\":%d", e->token);
		put_text(out, "text", e->text);
		if (e->type == WEIR_EVENT_TOKEN) {
			put_raw(out, e);
			put_logprobs(k, out, e);
		}
	}
	g_string_append(out, "}}\n");
	k->n_events++;
}

size_t answer_gather(struct call *k, struct choice *c, const struct weir_event *e)
{
	GString **to = e->type == WEIR_EVENT_REASONING ? &c->reasoning
		       : e->type == WEIR_EVENT_TOOL    ? &c->tools
						       : &c->text;
	if (!*to)
		*to = g_string_new(NULL);
	size_t before = (*to)->len;
	if (e->type != WEIR_EVENT_TOOL) {
		g_string_append_len(*to, e->text.data, (gssize)e->text.len);
	} else {
		if (before)
			g_string_append_c(*to, ',');
		if (!put_delta(k, *to, e->text))
			g_string_truncate(*to, before);
	}
	return (*to)->len - before;
}

static void put_gathered(const struct choice *c, GString *out)
{
	struct weir_str text = { c->text ? c->text->str : NULL, c->text ? c->text->len : 0 };
	put_text(out, "text", text);
	if (c->reasoning)
		put_text(out, "reasoning",
			 (struct weir_str){ c->reasoning->str, c->reasoning->len });
	if (c->tools && c->tools->len)
		g_string_append_printf(out, ",\"tool_deltas\":[%s]", c->tools->str);
}

static void put_choices(struct call *k, const struct weir_end *end, GString *out)
{
	g_string_append(out, ",\"choices\":[");
	for (uint32_t i = 0; i < k->n_choices; i++) {
		bool own = end->choices && i < end->n_choices;
		uint32_t finish = own ? end->choices[i].finish : end->finish;
		g_string_append_printf(out, "%s{\"index\":%u", i ? "," : "", i);
		if (!k->streaming)
			put_gathered(&k->choices[i], out);
		g_string_append_printf(out, ",\"finish_reason\":\"%s\"", finish_name(finish));
		put_uint(out, "completion_tokens", own ? end->choices[i].n_output : end->n_output);
		g_string_append_c(out, '}');
	}
	g_string_append_c(out, ']');
}

static void put_about(const struct call *k, GString *out)
{
	g_string_append_printf(out, "{\"request\":\"%s\"", k->log_id);
	if (k->model) {
		g_string_append(out, ",\"model\":");
		json_put_cstring(out, k->model);
	}
}

/* False: a vector is missing, or holds what is no number. */
static bool put_vectors(const struct call *k, const struct weir_end *end, GString *out)
{
	uint32_t n_prompt = end->n_prompt ? end->n_prompt : k->n_prompt;
	char number[G_ASCII_DTOSTR_BUF_SIZE];
	put_about(k, out);
	g_string_append(out, ",\"embeddings\":[");
	for (uint32_t i = 0; i < k->n_vectors; i++) {
		gsize size = 0;
		const float *x = k->vectors[i] ? g_bytes_get_data(k->vectors[i], &size) : NULL;
		if (!x)
			return false;
		g_string_append(out, i ? ",[" : "[");
		for (gsize d = 0; d < size / sizeof(*x); d++) {
			if (!isfinite(x[d]))
				return false;
			if (d)
				g_string_append_c(out, ',');
			g_string_append(
				out, g_ascii_formatd(number, sizeof(number), "%.9g", (double)x[d]));
		}
		g_string_append_c(out, ']');
	}
	g_string_append_printf(out, "],\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}",
			       n_prompt, n_prompt);
	return true;
}

static void put_generated(struct call *k, const struct weir_end *end, GString *out)
{
	uint32_t n_prompt = end->n_prompt ? end->n_prompt : k->n_prompt;
	put_about(k, out);
	put_choices(k, end, out);
	g_string_append_printf(out,
			       ",\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,"
			       "\"total_tokens\":%" G_GUINT64_FORMAT ",\"cached_tokens\":%u}",
			       n_prompt, end->n_output, (uint64_t)n_prompt + end->n_output,
			       end->n_cached);
	if (k->streaming)
		put_uint(out, "events", k->n_events);
	g_string_append_c(out, '}');
}

/* Takes back what has been written since `before`. */
static void wrong_result(const struct call *k, size_t before, const char *what, GString *out)
{
	static const char text[] = "the backend's answer is not what was asked for";
	struct rpc_error err;
	g_string_truncate(out, before);
	line_logf(k->line, WEIR_LOG_MISBEHAVING, "request %s: a wrong result: %s", k->log_id, what);
	rpc_fail_status(&err, WEIR_E_INTERNAL, (struct weir_str){ text, sizeof(text) - 1 },
			(struct weir_str){ NULL, 0 }, 0);
	rpc_put_error(out, k->id, &err);
}

void answer_result(struct call *k, const struct weir_end *end, GString *out)
{
	size_t before = out->len;
	struct json_doc d;
	struct json_fault fault;
	rpc_put_result(out, k->id);
	if (k->method == RPC_METHOD_EMBED) {
		if (put_vectors(k, end, out))
			rpc_put_end(out);
		else
			wrong_result(k, before, "a vector is missing, or is not finite", out);
		return;
	}
	if (k->method & RPC_METHOD_GENERATE) {
		put_generated(k, end, out);
		rpc_put_end(out);
		return;
	}
	if (json_parse(k->json ? k->json->str : "", k->json ? k->json->len : 0, &d, &fault)) {
		json_put_compact(out, &d, 0);
		rpc_put_end(out);
	} else {
		wrong_result(k, before, fault.what, out);
	}
	json_doc_clear(&d);
}
