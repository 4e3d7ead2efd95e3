/*
 * frontends/api/call.c - events become frames, ends become answers. See call.h; calls are made and
 * opened in open.c.
 */
#include <string.h>

#include "call-private.h"
#include "format.h"

#define MAX_GATHERED (64u << 20)

static void call_free(struct api_call *k)
{
	g_assert(k->n_open == 0 && !k->transport);
	if (k->format->free)
		k->format->free(k);
	for (uint32_t i = 0; i < k->n_choices; i++) {
		struct api_choice *c = &k->choices[i];
		buf_free(&c->text);
		buf_free(&c->reasoning);
		buf_free(&c->tools);
		for (int j = 0; j < 4; j++)
			buf_free(&c->lp[j]);
		buf_free(&c->held);
	}
	for (uint32_t i = 0; i < k->n_streams; i++) {
		struct api_stream *s = &k->streams[i];
		buf_free(&s->prompt_text);
		buf_free(&s->prompt_list);
		for (int j = 0; j < 4; j++)
			buf_free(&s->prompt_lp[j]);
	}
	api_batch_forget(k);
	api_body_free(k->body);
	buf_free(&k->prefix);
	buf_free(&k->scratch);
	g_free(k->choices);
	g_free(k->streams);
	g_free(k->trace);
	g_free(k);
}

void api_call_leave(struct api_call *k)
{
	k->inside = false;
	if (!k->transport && k->n_open == 0)
		call_free(k);
}

static void cancel_streams(struct api_call *k)
{
	for (uint32_t i = 0; i < k->n_streams; i++)
		if (k->streams[i].stream)
			k->loop->api->stream->cancel(k->streams[i].stream, WEIR_E_CANCELLED);
}

void api_call_detach(struct api_call *k)
{
	k->transport = NULL;
	cancel_streams(k);
	if (!k->inside)
		api_call_leave(k);
}

void api_call_attach(struct api_call *k, const struct api_transport *t, void *data)
{
	k->transport = t;
	k->data = data;
}

void api_call_cancel(struct api_call *k)
{
	cancel_streams(k);
}

/* ---- credit ---- */

/* Once half a window has come, the window is filled up: a token costs no grant of its own. Manual:
 * as far as the allowance goes, evenly, and only to streams that have started, so that one that
 * waits in a queue keeps nothing from the others. */
void api_call_drained(struct api_call *k)
{
	const struct weir_stream_api *api = k->loop->api->stream;
	bool manual = k->manual && k->stream;
	uint32_t live = 0;
	for (uint32_t i = 0; manual && i < k->n_streams; i++)
		live += k->streams[i].stream && k->streams[i].started;
	for (uint32_t i = 0; i < k->n_streams; i++) {
		struct api_stream *s = &k->streams[i];
		uint32_t n = k->window - MIN(s->outstanding, k->window);
		if (!s->stream || n < k->window - k->window / 2)
			continue;
		if (manual) {
			if (!s->started)
				continue;
			n = (uint32_t)MIN(n, (k->allowance + live - 1) / live);
			k->allowance -= n;
			live--;
			if (n == 0)
				continue;
		}
		s->outstanding += n;
		api->grant(s->stream, n);
	}
}

void api_call_grant(struct api_call *k, uint32_t n)
{
	k->allowance = MIN(k->allowance + n, (uint64_t)G_MAXUINT32);
}

void api_call_usage(const struct api_call *k, struct api_usage *ret)
{
	*ret = (struct api_usage){ 0, 0, 0, 0 };
	for (uint32_t i = 0; i < k->n_streams; i++) {
		const struct api_stream *s = &k->streams[i];
		ret->prompt += s->n_prompt;
		ret->cached += s->n_cached;
		ret->output += MAX(s->n_output, s->n_tokens);
		ret->reasoning += s->n_reasoning;
	}
	ret->reasoning = MIN(ret->reasoning, ret->output);
}

/* ---- frames ---- */

struct buf *api_call_frame(struct api_call *k, const char *event)
{
	g_assert(!k->open_frame);
	k->open_frame = true;
	uint64_t seq = k->n_frames++;
	if (k->transport)
		return k->transport->frame(k->data, event, seq);
	k->scratch.len = 0;
	return &k->scratch;
}

void api_call_frame_end(struct api_call *k)
{
	g_assert(k->open_frame);
	k->open_frame = false;
	if (k->transport)
		k->transport->frame_end(k->data);
}

void api_call_error_frame(struct api_call *k, const struct api_error *e)
{
	if (k->format->error)
		k->format->error(k, e);
}

/* ---- the answer; all inside ---- */

static void over(struct api_call *k)
{
	k->transport = NULL;
	cancel_streams(k);
}

static void fail_with(struct api_call *k, const struct api_error *e)
{
	/* What has come before the error is told before it. */
	for (uint32_t i = 0; k->begun && k->transport && i < k->n_choices; i++)
		api_batch_flush(k, &k->choices[i]);
	if (k->transport && k->format->failed)
		k->format->failed(k, e);
	if (k->transport)
		k->transport->error(k->data, e);
	over(k);
}

void api_call_fail(struct api_call *k, weir_status status, struct weir_str text,
		   struct weir_str param, uint32_t retry_after_ms)
{
	const struct api *a = k->loop->api;
	const char *from = k->body->grammar_from;
	struct api_error e;
	/* The client wrote no field `grammar`, but response_format, guided_json ... */
	if (from && param.len == strlen("grammar") && !memcmp(param.data, "grammar", param.len))
		param = (struct weir_str){ from, strlen(from) };
	api_error_from_status(&e, api_endpoint_profile(&a->config, k->body->endpoint), status, text,
			      param, retry_after_ms);
	if (e.status >= 500 && status != WEIR_E_CANCELLED)
		api_logf(a, e.status == 500 ? WEIR_LOG_ERROR : WEIR_LOG_WARNING,
			 "request %s (%s) failed: status %d: %.*s", k->trace ? k->trace : "-",
			 k->id, status, (int)MIN(text.len, 400), text.data ? text.data : "");
	fail_with(k, &e);
}

static void begin(struct api_call *k)
{
	if (k->begun || !k->stream || !k->transport)
		return;
	k->begun = true;
	k->transport->begin(k->data);
	if (k->format->begin)
		k->format->begin(k);
}

static size_t gathered(const struct api_choice *c)
{
	size_t n = c->text.len + c->reasoning.len + c->tools.len + c->held.len;
	for (int i = 0; i < 4; i++)
		n += c->lp[i].len;
	return n;
}

static void check_size(struct api_call *k)
{
	static const char text[] = "the answer is larger than this server keeps";
	size_t most = k->loop->api->config.max_answer;
	if (k->gathered > (most ? most : MAX_GATHERED))
		api_call_fail(k, WEIR_E_EXHAUSTED, (struct weir_str){ text, sizeof(text) - 1 },
			      (struct weir_str){ NULL, 0 }, 0);
}

static size_t prompt_size(const struct api_stream *s)
{
	size_t n = s->prompt_text.len + s->prompt_list.len;
	for (int i = 0; i < 4; i++)
		n += s->prompt_lp[i].len;
	return n;
}

static void prompt_event(struct api_stream *s, const struct weir_event *e)
{
	struct api_call *k = s->call;
	size_t before = prompt_size(s);
	if (!k->format->prompt || !k->body->params.limits.echo)
		return;
	s->n_told++;
	k->format->prompt(k, s, e);
	k->gathered += prompt_size(s) - before;
	check_size(k);
}

static void take_event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	size_t before = gathered(c);
	if (!k->stream)
		k->format->gather(k, c, e);
	else if (!api_batch_take(k, c, e))
		k->format->event(k, c, e);
	k->gathered += gathered(c) - before;
	if (e->type == WEIR_EVENT_VECTOR)
		k->gathered += e->raw.len;
	check_size(k);
}

static void complete(struct api_call *k);

/* The format wants no more of it: as if the choice had ended here. */
static void cut_short(struct api_call *k, struct api_choice *c)
{
	c->finish = WEIR_FINISH_LENGTH;
	if (k->stream && k->format->finish)
		k->format->finish(k, c);
	if (k->transport)
		complete(k);
}

static void choice_event(struct api_stream *s, const struct weir_event *e)
{
	struct api_call *k = s->call;
	bool expected = e->type < 32 && (k->format->events >> e->type & 1);
	if (!expected || e->index >= k->n_each) {
		api_logf(k->loop->api, WEIR_LOG_MISBEHAVING,
			 "request %s: event of type %u for choice %u of %u", k->id, e->type,
			 e->index, k->n_each);
		return;
	}
	struct api_choice *c = &k->choices[s->prompt * k->n_each + e->index];
	if (e->type == WEIR_EVENT_PROMPT) {
		prompt_event(s, e);
		return;
	}
	s->n_reasoning += e->type == WEIR_EVENT_REASONING;
	if (e->type == WEIR_EVENT_TOKEN) {
		s->n_tokens++;
		if (e->logprob == e->logprob) {
			c->logprob += (double)e->logprob;
			c->n_tokens++;
		}
	}
	c->has_tools |= e->type == WEIR_EVENT_TOOL;
	take_event(k, c, e);
	if (k->cut && k->transport)
		cut_short(k, c);
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct api_stream *s = data;
	struct api_call *k = s->call;
	if (s->outstanding)
		s->outstanding--;
	if (!k->transport)
		return; /* cancelled: no credit any more, the end is near */
	k->inside = true;
	if (e->type == WEIR_EVENT_STARTED && e->value > 0)
		s->n_prompt = (uint32_t)MIN(e->value, G_MAXUINT32);
	if (!s->started && k->format->admitted)
		k->format->admitted(k);
	s->started = true;
	begin(k);
	if (e->type != WEIR_EVENT_STARTED)
		choice_event(s, e);
	if (k->transport)
		k->transport->taken(k->data);
	/* Its end is still to come: the call is not freed here. */
	api_call_leave(k);
}

/* ---- ends ---- */

static void complete(struct api_call *k)
{
	if (k->stream) {
		if (k->format->end)
			k->format->end(k);
		if (k->transport)
			k->transport->end(k->data);
		over(k);
		return;
	}
	struct buf body = { NULL, 0, 0 };
	struct api_error e;
	if (!k->format->whole(k, &body, &e)) {
		if (e.status >= 500)
			api_logf(k->loop->api, WEIR_LOG_ERROR, "request %s (%s) failed: %s",
				 k->trace ? k->trace : "-", k->id, e.message);
		fail_with(k, &e);
	} else if (k->transport) {
		k->transport->whole(k->data, &body);
		over(k);
	}
	buf_free(&body);
}

static void finish_choices(struct api_stream *s, const struct weir_end *end)
{
	struct api_call *k = s->call;
	for (uint32_t i = 0; i < k->n_each; i++) {
		struct api_choice *c = &k->choices[s->prompt * k->n_each + i];
		struct weir_choice_end how = weir_end_choice(end, i);
		c->finish = how.finish;
		c->stop = how.stop;
		c->n_output = how.n_output;
		if (c->finish == WEIR_FINISH_NONE)
			c->finish = WEIR_FINISH_STOP;
		if (c->has_tools && c->finish == WEIR_FINISH_STOP)
			c->finish = WEIR_FINISH_TOOL;
		if (!k->stream)
			continue;
		api_batch_flush(k, c);
		if (k->format->finish)
			k->format->finish(k, c);
	}
}

static void stream_ended(struct api_stream *s, const struct weir_end *end)
{
	struct api_call *k = s->call;
	if (end->n_prompt)
		s->n_prompt = end->n_prompt;
	s->n_cached = end->n_cached;
	s->n_output = end->n_output;
	if (end->n_reasoning) /* else: as many as there were events */
		s->n_reasoning = end->n_reasoning;
	if (k->manual) /* what it was given and did not use is for the others */
		k->allowance += s->outstanding;
	s->outstanding = 0;
	if (end->status < 0) {
		api_call_fail(k, end->status, end->text, end->param, end->retry_after_ms);
		return;
	}
	static const char silent[] = "the backend of this model cannot tell the tokens of a prompt";
	if (k->body->params.limits.echo && s->n_told == 0) {
		api_call_fail(k, WEIR_E_UNSUPPORTED,
			      (struct weir_str){ silent, sizeof(silent) - 1 },
			      k->body->params.echo ? (struct weir_str){ "echo", 4 }
						   : (struct weir_str){ "prompt_logprobs", 15 },
			      0);
		return;
	}
	begin(k);
	finish_choices(s, end);
	if (k->n_open == 0 && k->transport)
		complete(k);
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct api_stream *s = data;
	struct api_call *k = s->call;
	s->stream = NULL;
	k->n_open--;
	k->loop->n_streams--;
	k->inside = true;
	if (k->transport)
		stream_ended(s, end);
	api_call_leave(k);
}

const struct weir_sink api_call_sink = { .size = sizeof(api_call_sink),
					 .event = on_event,
					 .end = on_end };
