/*
 * frontends/api/chat.c - the shapes of /v1/chat/completions, whole and in chunks. See call.h.
 */
#include "format.h"
#include "json-check.h"
#include "json-write.h"
#include "tools.h"

#include <string.h>

static void begin(struct api_call *k)
{
	for (uint32_t i = 0; i < k->n_choices; i++) {
		struct buf *out = api_chunk_begin(k, &k->choices[i]);
		buf_puts(out, ",\"delta\":{\"role\":\"assistant\",\"content\":\"\","
			      "\"refusal\":null},\"logprobs\":null");
		api_chunk_end(k, out, NULL);
	}
}

static void put_delta(struct buf *out, const struct weir_event *e)
{
	if (e->type == WEIR_EVENT_TOOL) {
		buf_puts(out, ",\"delta\":{\"tool_calls\":[");
		buf_append(out, e->text.data, e->text.len);
		buf_puts(out, "]}");
		return;
	}
	buf_puts(out, e->type == WEIR_EVENT_REASONING ? ",\"delta\":{\"reasoning_content\":\""
						      : ",\"delta\":{\"content\":\"");
	json_put_escaped(out, e->text.data, e->text.len);
	buf_puts(out, "\"}");
}

static void event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	bool logprobs = k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN;
	if (e->text.len == 0 && !logprobs)
		return;
	if (e->type == WEIR_EVENT_REASONING && k->body->params.no_reasoning)
		return;
	if (e->type == WEIR_EVENT_TOOL && !tool_delta_valid(e->text))
		return;
	struct buf *out = api_chunk_begin(k, c);
	put_delta(out, e);
	if (logprobs) {
		buf_puts(out, ",\"logprobs\":{\"content\":[");
		api_put_logprob(out, e);
		buf_puts(out, "],\"refusal\":null}");
	} else {
		buf_puts(out, ",\"logprobs\":null");
	}
	api_chunk_end(k, out, NULL);
}

static void finish(struct api_call *k, struct api_choice *c)
{
	struct buf *out = api_chunk_begin(k, c);
	buf_puts(out, ",\"delta\":{},\"logprobs\":null");
	api_chunk_end(k, out, c);
}

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	if (e->type == WEIR_EVENT_REASONING) {
		if (!k->body->params.no_reasoning)
			buf_append(&c->reasoning, e->text.data, e->text.len);
	} else if (e->type == WEIR_EVENT_TOOL) {
		if (!tool_delta_valid(e->text))
			return;
		if (c->tools.len)
			buf_putc(&c->tools, ',');
		buf_append(&c->tools, e->text.data, e->text.len);
	} else {
		buf_append(&c->text, e->text.data, e->text.len);
		if (!k->body->params.sampling.logprobs || e->type != WEIR_EVENT_TOKEN)
			return;
		if (c->lp[0].len)
			buf_putc(&c->lp[0], ',');
		api_put_logprob(&c->lp[0], e);
	}
}

static void choice(struct api_call *k, struct api_choice *c, uint32_t index, struct buf *out)
{
	buf_puts(out, "{\"index\":");
	json_put_uint(out, index);
	buf_puts(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
	if (c->text.len == 0 && c->tools.len)
		buf_puts(out, "null");
	else
		json_put_string(out, c->text.data, c->text.len);
	buf_puts(out, ",\"refusal\":null");
	if (c->reasoning.len) {
		buf_puts(out, ",\"reasoning_content\":");
		json_put_string(out, c->reasoning.data, c->reasoning.len);
	}
	if (c->tools.len) {
		buf_puts(out, ",\"tool_calls\":");
		tool_deltas_merge(&c->tools, out);
	}
	buf_puts(out, "},\"logprobs\":");
	if (k->body->params.sampling.logprobs) {
		buf_puts(out, "{\"content\":[");
		buf_append(out, c->lp[0].data, c->lp[0].len);
		buf_puts(out, "],\"refusal\":null}");
	} else {
		buf_puts(out, "null");
	}
	buf_putc(out, ',');
	api_put_finish(k, c, out);
	buf_putc(out, '}');
}

static void init(struct api_call *k)
{
	api_chunk_init(k, "chat.completion.chunk");
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	api_chunk_whole(k, "chat.completion", out, choice);
	return true;
}

const struct api_format api_format_chat = {
	.id_prefix = "chatcmpl-",
	.events = API_EVENTS_TEXT | API_EVENT(PROMPT),
	.done_mark = true,
	.init = init,
	.begin = begin,
	.event = event,
	.finish = finish,
	.end = api_chunk_usage,
	.error = api_chunk_error,
	.prompt = api_prompt_gather,
	.gather = gather,
	.whole = whole,
};
