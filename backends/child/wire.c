/* SPDX-License-Identifier: MIT */
/*
 * backends/child/wire.c - see wire.h: what goes out. Numbers lose nothing: 64-bit ones are decimal
 * text, floats have the nine digits that they need; bytes that are not UTF-8 go in base64.
 */
#include "wire.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* "-0" would be a whole number, which has no sign. */
static void put_number(GString *out, float v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	g_string_append(out, g_ascii_formatd(text, sizeof(text), "%.9g", (double)v));
	if (v == 0)
		g_string_append(out, ".0");
}

static void put_float(GString *out, const char *key, float v)
{
	if (!isfinite(v)) /* the host has made them finite */
		return;
	g_string_append_printf(out, ",\"%s\":", key);
	put_number(out, v);
}

struct fields {
	GString *out;
	bool any;
};

static void put_field(void *data, const char *name, struct weir_str value)
{
	struct fields *f = data;
	if (strcmp(name, "resume") == 0) /* ours, if any */
		return;
	g_string_append(f->out, f->any ? "," : "");
	f->any = true;
	span_put_string(f->out, name, strlen(name));
	g_string_append_c(f->out, ':');
	if (g_utf8_validate_len(value.data, value.len, NULL)) {
		span_put_string(f->out, value.data, value.len);
		return;
	}
	g_autofree char *base64 = g_base64_encode((const guchar *)value.data, value.len);
	g_string_append_printf(f->out, "{\"base64\":\"%s\"}", base64);
}

static void put_sampling(GString *out, const struct weir_sampling *s)
{
	/* The seed that the host has drawn, so that another process would draw the same tokens. */
	g_string_append_printf(out, ",\"sampling\":{\"seed_set\":1,\"seed\":\"%" PRIu64 "\"",
			       s->seed);
	put_float(out, "temperature", s->temperature);
	put_float(out, "top_p", s->top_p);
	put_float(out, "min_p", s->min_p);
	put_float(out, "typical_p", s->typical_p);
	put_float(out, "repetition_penalty", s->repetition_penalty);
	put_float(out, "presence_penalty", s->presence_penalty);
	put_float(out, "frequency_penalty", s->frequency_penalty);
	g_string_append_printf(out,
			       ",\"top_k\":%u,\"repeat_last_n\":%d,\"top_logprobs\":%u,"
			       "\"logprobs\":%u,\"prompt_logprobs\":%u,\"prompt_top_logprobs\":%u",
			       s->top_k, s->repeat_last_n, s->top_logprobs, s->logprobs,
			       s->prompt_logprobs, s->prompt_top_logprobs);
	for (uint32_t i = 0; i < s->n_logit_bias; i++) {
		const struct weir_logit_bias *bias = &s->logit_bias[i];
		float v = bias->bias;
		g_string_append_printf(out, i ? ",[%d," : ",\"logit_bias\":[[%d,", bias->token);
		put_number(out, isfinite(v) ? v : v > 0 ? 100.f : -100.f);
		g_string_append(out, i + 1 < s->n_logit_bias ? "]" : "]]");
	}
	g_string_append_c(out, '}');
}

static void put_limits(GString *out, const struct weir_limits *l)
{
	g_string_append_printf(out,
			       ",\"limits\":{\"max_tokens\":%u,\"min_tokens\":%u,\"ignore_end\":%u,"
			       "\"n\":%u,\"priority\":%d,\"deadline_ns\":%" PRId64
			       ",\"echo\":%u,\"no_output\":%u}",
			       l->max_tokens, l->min_tokens, l->ignore_end, l->n, l->priority,
			       l->deadline_ns, l->echo, l->no_output);
}

void wire_put_request(GString *out, const struct weir_request_api *api, const weir_request *r,
		      const struct tale *tale)
{
	struct fields f = { .out = out };
	g_string_append(out, "\"fields\":{");
	api->each(r, put_field, &f);
	if (tale) {
		g_autoptr(GString) resume = g_string_new(NULL);
		tale_put(tale, resume);
		g_string_append(out, f.any ? ",\"resume\":" : "\"resume\":");
		span_put_string(out, resume->str, resume->len);
	}
	g_string_append_c(out, '}');
	put_sampling(out, api->sampling(r));
	put_limits(out, api->limits(r));
}

void wire_put_submit(GString *out, uint64_t id, uint32_t credit, const GString *request)
{
	g_string_append_printf(
		out, "{\"id\":%" PRIu64 ",\"method\":\"submit\",\"params\":{\"credit\":%u,", id,
		credit);
	g_string_append_len(out, request->str, (gssize)request->len);
	g_string_append(out, "}}\n");
}

void wire_put_grant(GString *out, uint64_t id, uint32_t n)
{
	while (n > 0) {
		uint32_t now = MIN(n, WIRE_MAX_GRANT);
		g_string_append_printf(
			out, "{\"method\":\"grant\",\"params\":{\"id\":%" PRIu64 ",\"n\":%u}}\n",
			id, now);
		n -= now;
	}
}

void wire_put_cancel(GString *out, uint64_t id)
{
	g_string_append_printf(out, "{\"method\":\"cancel\",\"params\":{\"id\":%" PRIu64 "}}\n",
			       id);
}

void wire_put_ask(GString *out, const char *method)
{
	g_string_append_printf(out, "{\"id\":\"%s\",\"method\":\"%s\"}\n", method, method);
}
