/*
 * frontends/api/completions.c - the shapes of /v1/completions, whole and in chunks. See call.h.
 */
#include "format.h"
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

static void add_logprob(struct api_choice *c, const struct weir_event *e)
{
	for (int i = 0; c->lp[0].len && i < 4; i++)
		buf_putc(&c->lp[i], ',');
	json_put_string(&c->lp[TOKENS], e->text.data, e->text.len);
	json_put_logprob(&c->lp[TOKEN_LOGPROBS], e->logprob);
	put_top(&c->lp[TOP_LOGPROBS], e);
	json_put_uint(&c->lp[TEXT_OFFSET], c->offset);
}

static void put_logprobs(struct api_choice *c, struct buf *out)
{
	static const char *const names[] = { "{\"tokens\":[", "],\"token_logprobs\":[",
					     "],\"top_logprobs\":[", "],\"text_offset\":[" };
	for (int i = 0; i < 4; i++) {
		buf_puts(out, names[i]);
		buf_append(out, c->lp[i].data, c->lp[i].len);
	}
	buf_puts(out, "]}");
}

static struct weir_str echoed(const struct api_call *k, const struct api_choice *c)
{
	const char *text =
		k->body->params.echo ? k->body->prompts[c->index / k->n_each].text : NULL;
	return (struct weir_str){ text, text ? strlen(text) : 0 };
}

static void put_chunk(struct api_call *k, struct api_choice *c, struct weir_str text, bool logprobs,
		      uint32_t why)
{
	struct buf *out = api_chunk_begin(k, c);
	buf_puts(out, ",\"text\":");
	json_put_string(out, text.data, text.len);
	buf_puts(out, ",\"logprobs\":");
	if (logprobs)
		put_logprobs(c, out);
	else
		buf_puts(out, "null");
	api_chunk_end(k, out, why);
}

static void begin(struct api_call *k)
{
	for (uint32_t i = 0; k->body->params.echo && i < k->n_choices; i++)
		put_chunk(k, &k->choices[i], echoed(k, &k->choices[i]), false, WEIR_FINISH_NONE);
}

static bool has_text(const struct weir_event *e)
{
	return e->type == WEIR_EVENT_TOKEN || e->type == WEIR_EVENT_TEXT;
}

static void event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	bool logprobs = k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN;
	if (!has_text(e) || (e->text.len == 0 && !logprobs))
		return;
	if (logprobs)
		add_logprob(c, e);
	put_chunk(k, c, e->text, logprobs, WEIR_FINISH_NONE);
	c->offset += count_runes(e->text);
	for (int i = 0; i < 4; i++)
		c->lp[i].len = 0;
}

static void finish(struct api_call *k, struct api_choice *c)
{
	struct weir_str none = { NULL, 0 };
	put_chunk(k, c, none, false, c->finish);
}

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	if (!has_text(e))
		return;
	if (k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN)
		add_logprob(c, e);
	c->offset += count_runes(e->text);
	buf_append(&c->text, e->text.data, e->text.len);
}

static void choice(struct api_call *k, struct api_choice *c, uint32_t index, struct buf *out)
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
	buf_puts(out, api_finish_reason(c->finish));
	buf_putc(out, '}');
}

static void init(struct api_call *k)
{
	api_chunk_init(k, "text_completion");
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	api_chunk_whole(k, "text_completion", out, choice);
	return true;
}

const struct api_format api_format_completion = {
	.id_prefix = "cmpl-",
	.events = API_EVENTS_TEXT,
	.done_mark = true,
	.init = init,
	.begin = begin,
	.event = event,
	.finish = finish,
	.end = api_chunk_usage,
	.error = api_chunk_error,
	.gather = gather,
	.whole = whole,
};
