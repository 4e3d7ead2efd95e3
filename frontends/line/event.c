/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/event.c - streamed text as events, and what they end with (docs/line-protocol.md).
 * See call.h. [loop]
 */
#include <math.h>
#include <string.h>

#include <api/format.h>
#include <api/json-write.h>
#include <api/tools.h>

#include "call.h"

static const char *const type_names[] = {
	[WEIR_EVENT_TOKEN] = "token",         [WEIR_EVENT_TEXT] = "text",
	[WEIR_EVENT_REASONING] = "reasoning", [WEIR_EVENT_TOOL] = "tool",
	[WEIR_EVENT_PROMPT] = "prompt",
};

static void put_text(struct buf *out, const char *key, struct weir_str text)
{
	buf_printf(out, ",\"%s\":", key);
	json_put_string(out, text.data, text.len);
}

static struct buf *begin_event(struct api_call *k, uint32_t index, uint32_t type)
{
	struct buf *out = api_call_frame(k, NULL);
	buf_printf(out, "\"type\":\"%s\"", type_names[type]);
	if (k->n_choices > 1)
		buf_printf(out, ",\"index\":%u", index);
	return out;
}

static void begin(struct api_call *k)
{
	struct api_usage u;
	struct buf *out = api_call_frame(k, NULL);
	api_call_usage(k, &u);
	buf_printf(out, "\"type\":\"started\",\"prompt_tokens\":%" G_GUINT64_FORMAT, u.prompt);
	api_call_frame_end(k);
	bool echo = k->body->params.echo && !k->body->params.limits.echo; /* else by prompt() */
	for (uint32_t i = 0; echo && i < k->n_choices; i++) {
		const char *prompt = k->body->prompts[i / k->n_each].text;
		out = begin_event(k, i, WEIR_EVENT_TEXT);
		put_text(out, "text", (struct weir_str){ prompt, strlen(prompt) });
		api_call_frame_end(k);
	}
}

/* The token's bytes, where its text does not tell them: a part of a rune. */
static void put_raw(struct buf *out, const struct weir_event *e)
{
	if (e->raw.len == 0 ||
	    (e->raw.len == e->text.len && memcmp(e->raw.data, e->text.data, e->raw.len) == 0))
		return;
	g_autofree char *raw = g_base64_encode((const guchar *)e->raw.data, e->raw.len);
	buf_printf(out, ",\"raw\":\"%s\"", raw);
}

static void put_logprobs(struct buf *out, const struct weir_event *e)
{
	if (isnan(e->logprob))
		return;
	buf_puts(out, ",\"logprob\":");
	json_put_logprob(out, e->logprob);
	for (uint32_t i = 0; i < e->n_top; i++) {
		buf_printf(out, "%s{\"token\":%d", i ? "," : ",\"top\":[", e->top[i].token);
		put_text(out, "text", e->top[i].text);
		buf_puts(out, ",\"logprob\":");
		json_put_logprob(out, e->top[i].logprob);
		buf_puts(out, i + 1 < e->n_top ? "}" : "}]");
	}
}

static void put_token(struct api_call *k, struct buf *out, const struct weir_event *e)
{
	buf_printf(out, ",\"token\":%d", e->token);
	put_text(out, "text", e->text);
	put_raw(out, e);
	if (k->body->params.sampling.logprobs)
		put_logprobs(out, e);
}

/* Once for all choices of the prompt. */
static void prompt(struct api_call *k, struct api_stream *s, const struct weir_event *e)
{
	struct buf *out = begin_event(k, s->prompt * k->n_each, e->type);
	put_token(k, out, e);
	api_call_frame_end(k);
}

static void event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	if (e->type == WEIR_EVENT_REASONING && k->body->params.no_reasoning)
		return;
	if (e->type == WEIR_EVENT_TOOL && !tool_delta_valid(e->text)) {
		api_logf(k->loop->api, WEIR_LOG_MISBEHAVING,
			 "request %s: a tool call delta that is no JSON object", k->id);
		return;
	}
	struct buf *out = begin_event(k, c->index, e->type);
	if (e->type == WEIR_EVENT_TOOL) {
		buf_puts(out, ",\"delta\":");
		buf_append(out, e->text.data, e->text.len);
	} else if (e->type != WEIR_EVENT_TOKEN) {
		put_text(out, "text", e->text);
	} else {
		put_token(k, out, e);
	}
	api_call_frame_end(k);
}

const struct api_format call_events = {
	.id_prefix = "line-",
	.events = API_EVENTS_TEXT | API_EVENT(PROMPT),
	.begin = begin,
	.event = event,
	.prompt = prompt,
};

void call_put_summary(const struct call *call, struct buf *out)
{
	const struct api_call *k = call->api;
	struct api_usage u;
	api_call_usage(k, &u);
	buf_printf(out, "{\"request\":\"%s\"", k->id);
	if (call->names_model) {
		buf_puts(out, ",\"model\":");
		json_put_cstring(out, k->body->model);
	}
	for (uint32_t i = 0; i < k->n_choices; i++) {
		buf_printf(out, "%s{\"index\":%u,", i ? "," : ",\"choices\":[", i);
		api_put_finish(k, &k->choices[i], out);
		buf_printf(out, ",\"completion_tokens\":%u}", k->choices[i].n_output);
	}
	buf_printf(out,
		   "],\"usage\":{\"prompt_tokens\":%" G_GUINT64_FORMAT
		   ",\"completion_tokens\":%" G_GUINT64_FORMAT
		   ",\"total_tokens\":%" G_GUINT64_FORMAT ",\"cached_tokens\":%" G_GUINT64_FORMAT
		   "},\"events\":%" G_GUINT64_FORMAT "}",
		   u.prompt, u.output, u.prompt + u.output, u.cached, k->n_frames);
}
