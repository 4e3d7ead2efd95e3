/*
 * frontends/http/chat.c - the shapes of /v1/chat/completions, whole and in chunks. See call.h.
 */
#include "call.h"
#include "json-check.h"
#include "json-write.h"
#include "tools.h"

#include <string.h>

static void put_token(struct buf *b, struct weir_str text, struct weir_str raw, float logprob)
{
	struct weir_str bytes = raw.len ? raw : text;
	buf_puts(b, "{\"token\":");
	json_put_string(b, text.data, text.len);
	buf_puts(b, ",\"logprob\":");
	json_put_logprob(b, logprob);
	buf_puts(b, ",\"bytes\":");
	json_put_bytes(b, bytes.data, bytes.len);
}

static void put_logprob(struct buf *b, const struct weir_event *e)
{
	struct weir_str none = { NULL, 0 };
	put_token(b, e->text, e->raw, e->logprob);
	buf_puts(b, ",\"top_logprobs\":[");
	for (uint32_t i = 0; i < e->n_top; i++) {
		if (i)
			buf_putc(b, ',');
		put_token(b, e->top[i].text, none, e->top[i].logprob);
		buf_putc(b, '}');
	}
	buf_puts(b, "]}");
}

static void start(struct call *k, struct choice *c, struct buf *out)
{
	sse_begin(k, c, out);
	buf_puts(out, ",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
		      "\"logprobs\":null");
	sse_finish(k, WEIR_FINISH_NONE, out);
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

static void event(struct call *k, struct choice *c, const struct weir_event *e, struct buf *out)
{
	bool logprobs = k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN;
	if (e->text.len == 0 && !logprobs)
		return;
	if (e->type == WEIR_EVENT_TOOL && !tool_delta_valid(e->text))
		return;
	sse_begin(k, c, out);
	put_delta(out, e);
	if (logprobs) {
		buf_puts(out, ",\"logprobs\":{\"content\":[");
		put_logprob(out, e);
		buf_puts(out, "],\"refusal\":null}");
	} else {
		buf_puts(out, ",\"logprobs\":null");
	}
	sse_finish(k, WEIR_FINISH_NONE, out);
}

static void finish(struct call *k, struct choice *c, struct buf *out)
{
	sse_begin(k, c, out);
	buf_puts(out, ",\"delta\":{},\"logprobs\":null");
	sse_finish(k, c->finish, out);
}

static void collect(struct call *k, struct choice *c, const struct weir_event *e)
{
	if (e->type == WEIR_EVENT_REASONING) {
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
		put_logprob(&c->lp[0], e);
	}
}

static void choice(struct call *k, struct choice *c, uint32_t index, struct buf *out)
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
	buf_puts(out, ",\"finish_reason\":");
	buf_puts(out, finish_reason(c->finish));
	buf_putc(out, '}');
}

const struct call_format chat_format = {
	.id_prefix = "chatcmpl-",
	.object = "chat.completion",
	.chunk_object = "chat.completion.chunk",
	.start = start,
	.event = event,
	.finish = finish,
	.collect = collect,
	.choice = choice,
};
