/*
 * frontends/api/completions.c - the shapes of /v1/completions, whole and in chunks. See call.h.
 */
#include "format.h"
#include "json-write.h"

#include <string.h>

static const struct api_stream *stream_of(const struct api_call *k, const struct api_choice *c)
{
	return &k->streams[c->index / k->n_each];
}

/* The prompt as the backend has told it, or else as it was sent. */
static struct weir_str echoed(const struct api_call *k, const struct api_choice *c)
{
	const struct buf *told = &stream_of(k, c)->prompt_text;
	if (!k->body->params.echo)
		return (struct weir_str){ NULL, 0 };
	if (k->body->params.limits.echo)
		return (struct weir_str){ told->data, told->len };
	const char *text = k->body->prompts[c->index / k->n_each].text;
	return (struct weir_str){ text, strlen(text) };
}

static void add_logprob(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	uint32_t before = k->stream || !k->body->params.echo ? 0 : stream_of(k, c)->prompt_runes;
	api_lp_add(c->lp, e, k->body->params.sampling.top_logprobs, before + c->offset);
}

static void put_chunk(struct api_call *k, struct api_choice *c, struct weir_str text, bool logprobs,
		      const struct api_choice *over)
{
	struct buf *out = api_chunk_begin(k, c);
	buf_puts(out, ",\"text\":");
	json_put_string(out, text.data, text.len);
	buf_puts(out, ",\"logprobs\":");
	if (logprobs)
		api_lp_put(out, NULL, c->lp);
	else
		buf_puts(out, "null");
	api_chunk_end(k, out, over);
}

static void begin(struct api_call *k)
{
	for (uint32_t i = 0; k->body->params.echo && i < k->n_choices; i++)
		if (!k->body->params.limits.echo)
			put_chunk(k, &k->choices[i], echoed(k, &k->choices[i]), false, NULL);
}

static void send(struct api_call *k, struct api_choice *c, const struct weir_event *e,
		 bool logprobs)
{
	if (e->text.len == 0 && !logprobs)
		return;
	if (logprobs)
		add_logprob(k, c, e);
	put_chunk(k, c, e->text, logprobs, NULL);
	c->offset += api_count_runes(e->text);
	for (int i = 0; i < 4; i++)
		c->lp[i].len = 0;
}

static void prompt(struct api_call *k, struct api_stream *s, const struct weir_event *e)
{
	if (!k->stream) {
		api_prompt_gather(k, s, e);
		return;
	}
	for (uint32_t i = 0; i < k->n_each && k->transport; i++)
		send(k, &k->choices[s->prompt * k->n_each + i], e,
		     k->body->params.sampling.logprobs);
}

static bool has_text(const struct weir_event *e)
{
	return e->type == WEIR_EVENT_TOKEN || e->type == WEIR_EVENT_TEXT;
}

static void event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	bool logprobs = k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN;
	if (has_text(e))
		send(k, c, e, logprobs);
}

static void finish(struct api_call *k, struct api_choice *c)
{
	struct weir_str none = { NULL, 0 };
	put_chunk(k, c, none, false, c);
}

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	if (!has_text(e))
		return;
	if (k->body->params.sampling.logprobs && e->type == WEIR_EVENT_TOKEN)
		add_logprob(k, c, e);
	c->offset += api_count_runes(e->text);
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
		api_lp_put(out, k->body->params.echo ? stream_of(k, c)->prompt_lp : NULL, c->lp);
	else
		buf_puts(out, "null");
	api_prompt_put_list(k, stream_of(k, c), out);
	buf_putc(out, ',');
	api_put_finish(k, c, out);
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
	.events = API_EVENTS_TEXT | API_EVENT(PROMPT),
	.done_mark = true,
	.init = init,
	.begin = begin,
	.event = event,
	.finish = finish,
	.end = api_chunk_usage,
	.error = api_chunk_error,
	.prompt = prompt,
	.gather = gather,
	.whole = whole,
};
