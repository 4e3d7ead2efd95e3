/*
 * frontends/http/completions.c - the shapes of /v1/completions, whole and in chunks. See call.h.
 */
#include "call.h"
#include "json-write.h"

#include <string.h>

enum { TOKENS, TOKEN_LOGPROBS, TOP_LOGPROBS, TEXT_OFFSET }; /* in choice.lp */

static uint32_t count_runes(struct weir_str text)
{
	uint32_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
	return n;
}

static void put_top(struct buf *b, const struct weir_event *e)
{
	buf_putc(b, '{');
	for (uint32_t i = 0; i < e->n_top; i++) {
		if (i)
			buf_putc(b, ',');
		json_put_string(b, e->top[i].text.data, e->top[i].text.len);
		buf_putc(b, ':');
		json_put_logprob(b, e->top[i].logprob);
	}
	buf_putc(b, '}');
}

static void add_logprob(struct choice *c, const struct weir_event *e)
{
	for (int i = 0; c->lp[0].len && i < 4; i++)
		buf_putc(&c->lp[i], ',');
	json_put_string(&c->lp[TOKENS], e->text.data, e->text.len);
	json_put_logprob(&c->lp[TOKEN_LOGPROBS], e->logprob);
	put_top(&c->lp[TOP_LOGPROBS], e);
	json_put_uint(&c->lp[TEXT_OFFSET], c->offset);
}

static void put_logprobs(struct choice *c, struct buf *out)
{
	static const char *const names[] = { "{\"tokens\":[", "],\"token_logprobs\":[",
					     "],\"top_logprobs\":[", "],\"text_offset\":[" };
	for (int i = 0; i < 4; i++) {
		buf_puts(out, names[i]);
		buf_append(out, c->lp[i].data, c->lp[i].len);
	}
	buf_puts(out, "]}");
}

static struct weir_str echoed(const struct call *k, const struct choice *c)
{
	const char *text =
		k->body->params.echo ? k->body->prompts[c->index / k->n_each].text : NULL;
	return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static void put_chunk(struct call *k, struct choice *c, struct weir_str text, bool logprobs,
		      uint32_t why, struct buf *out)
{
	sse_begin(k, c, out);
	buf_puts(out, ",\"text\":");
	json_put_string(out, text.data, text.len);
	buf_puts(out, ",\"logprobs\":");
	if (logprobs)
		put_logprobs(c, out);
	else
		buf_puts(out, "null");
	sse_finish(k, why, out);
}

static void start(struct call *k, struct choice *c, struct buf *out)
{
	if (k->body->params.echo)
		put_chunk(k, c, echoed(k, c), false, WEIR_FINISH_NONE, out);
}

static bool has_text(const struct weir_event *e)
{
	return e->type == WEIR_EVENT_TOKEN || e->type == WEIR_EVENT_TEXT;
}

static void event(struct call *k, struct choice *c, const struct weir_event *e, struct buf *out)
{
	bool logprobs = k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN;
	if (!has_text(e) || (e->text.len == 0 && !logprobs))
		return;
	if (logprobs)
		add_logprob(c, e);
	put_chunk(k, c, e->text, logprobs, WEIR_FINISH_NONE, out);
	c->offset += count_runes(e->text);
	for (int i = 0; i < 4; i++)
		c->lp[i].len = 0;
}

static void finish(struct call *k, struct choice *c, struct buf *out)
{
	struct weir_str none = { NULL, 0 };
	put_chunk(k, c, none, false, c->finish, out);
}

static void collect(struct call *k, struct choice *c, const struct weir_event *e)
{
	if (!has_text(e))
		return;
	if (k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN)
		add_logprob(c, e);
	c->offset += count_runes(e->text);
	buf_append(&c->text, e->text.data, e->text.len);
}

static void choice(struct call *k, struct choice *c, uint32_t index, struct buf *out)
{
	struct weir_str echo = echoed(k, c);
	buf_puts(out, "{\"index\":");
	json_put_uint(out, index);
	buf_puts(out, ",\"text\":\"");
	json_put_escaped(out, echo.data, echo.len);
	json_put_escaped(out, c->text.data, c->text.len);
	buf_puts(out, "\",\"logprobs\":");
	if (k->body->params.sampling.logprobs)
		put_logprobs(c, out);
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"finish_reason\":");
	buf_puts(out, finish_reason(c->finish));
	buf_putc(out, '}');
}

const struct call_format completion_format = {
	.id_prefix = "cmpl-",
	.object = "text_completion",
	.chunk_object = "text_completion",
	.start = start,
	.event = event,
	.finish = finish,
	.collect = collect,
	.choice = choice,
};
