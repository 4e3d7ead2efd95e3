/*
 * frontends/api/responses.c - the objects and events of /v1/responses. See responses.h, items.h.
 */
#include "responses.h"

#include <string.h>

#include "format.h"
#include "items.h"
#include "json-write.h"
#include "response-store.h"

enum progress { QUEUED, IN_PROGRESS, COMPLETED, INCOMPLETE, FAILED, CANCELLED };

static const char *const words[] = { "queued",     "in_progress", "completed",
				     "incomplete", "failed",      "cancelled" };

struct state {
	struct api_items items;
	enum progress progress;
	int64_t completed_at;
	bool stored; /* it has an entry in the store */
	struct api_error error;
};

/* ---- objects ---- */

static void put_part(struct buf *out, const struct api_choice *c, const struct api_item *i,
		     bool full)
{
	if (i->type == API_ITEM_TEXT) {
		buf_puts(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[");
		if (full)
			api_item_put_logprobs(out, c, i, false);
		buf_puts(out, "],\"text\":");
	} else {
		buf_puts(out, "{\"type\":\"reasoning_text\",\"text\":");
	}
	if (full)
		api_item_put_text(out, c, i);
	else
		buf_puts(out, "\"\"");
	buf_putc(out, '}');
}

/* status: of an item that the end of the answer cut off it is incomplete. */
static void put_item(struct buf *out, const struct api_choice *c, const struct api_item *i,
		     const char *status, bool full)
{
	static const char *const types[] = { "message", "reasoning", "function_call" };
	buf_printf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\"", i->id, types[i->type],
		   status);
	if (i->type == API_ITEM_CALL) {
		buf_puts(out, ",\"call_id\":");
		json_put_cstring(out, i->call_id);
		buf_puts(out, ",\"name\":");
		json_put_cstring(out, i->name);
		buf_puts(out, ",\"arguments\":");
		if (full)
			api_item_put_text(out, c, i);
		else
			buf_puts(out, "\"\"");
	} else {
		buf_puts(out, i->type == API_ITEM_TEXT ? ",\"role\":\"assistant\",\"content\":["
						       : ",\"summary\":[],\"content\":[");
		if (full)
			put_part(out, c, i, true);
		buf_putc(out, ']');
	}
	buf_putc(out, '}');
}

static void put_output(const struct api_call *k, struct buf *out)
{
	const struct state *s = k->state;
	bool cut = s->progress > COMPLETED;
	buf_putc(out, '[');
	for (guint n = 0; n < s->items.list->len; n++) {
		const struct api_item *i = s->items.list->pdata[n];
		if (n)
			buf_putc(out, ',');
		put_item(out, &k->choices[0], i,
			 !i->closed                           ? "in_progress"
			 : cut && n + 1 == s->items.list->len ? "incomplete"
							      : "completed",
			 true);
	}
	buf_putc(out, ']');
}

static void put_usage(const struct api_call *k, struct buf *out)
{
	struct api_usage u;
	api_call_usage(k, &u);
	buf_printf(out,
		   "{\"input_tokens\":%" G_GUINT64_FORMAT ",\"input_tokens_details\":"
		   "{\"cached_tokens\":%" G_GUINT64_FORMAT ",\"cache_write_tokens\":0},"
		   "\"output_tokens\":%" G_GUINT64_FORMAT ",\"output_tokens_details\":"
		   "{\"reasoning_tokens\":%" G_GUINT64_FORMAT
		   "},\"total_tokens\":%" G_GUINT64_FORMAT "}",
		   u.prompt, u.cached, u.output, u.reasoning, u.prompt + u.output);
}

/* OpenAI's codes of a response's error are a closed list; what fits none of them is server_error.
 */
static void put_error(struct buf *out, const struct api_error *e)
{
	buf_puts(out, "{\"code\":");
	json_put_cstring(out, e->status == 429  ? "rate_limit_exceeded"
			      : e->status < 500 ? "invalid_prompt"
						: "server_error");
	buf_puts(out, ",\"message\":");
	json_put_cstring(out, e->message);
	buf_putc(out, '}');
}

static const char *incomplete_reason(const struct api_call *k)
{
	uint32_t f = k->choices[0].finish;
	return f == WEIR_FINISH_LENGTH   ? "max_output_tokens"
	       : f == WEIR_FINISH_FILTER ? "content_filter"
					 : NULL;
}

void api_response_put(const struct api_call *k, struct buf *out)
{
	const struct state *s = k->state;
	bool over = s->progress >= COMPLETED;
	buf_printf(out,
		   "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" G_GINT64_FORMAT
		   ",\"status\":\"%s\",\"error\":",
		   k->id, k->created, words[s->progress]);
	if (s->progress == FAILED)
		put_error(out, &s->error);
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"incomplete_details\":");
	if (s->progress == INCOMPLETE)
		buf_printf(out, "{\"reason\":\"%s\"}", incomplete_reason(k));
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"completed_at\":");
	if (s->progress == COMPLETED)
		json_put_int(out, s->completed_at);
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"model\":");
	json_put_cstring(out, k->body->model);
	buf_puts(out, ",\"output\":");
	if (over)
		put_output(k, out);
	else
		buf_puts(out, "[]");
	buf_puts(out, k->body->shown); /* begins with a comma */
	buf_puts(out, ",\"usage\":");
	if (over)
		put_usage(k, out);
	else
		buf_puts(out, "null");
	buf_putc(out, '}');
}

/* ---- the store ---- */

static void store(struct api_call *k)
{
	struct response_store *to = k->loop->api->config.responses;
	struct state *s = k->state;
	if (!s->stored)
		return;
	struct buf object = { NULL, 0, 0 }, output = { NULL, 0, 0 };
	bool over = s->progress >= COMPLETED;
	api_response_put(k, &object);
	if (over)
		put_output(k, &output);
	else
		buf_puts(&output, "[]");
	s->stored = response_store_update(to, k->id, buf_terminate(&object), buf_terminate(&output),
					  over);
	buf_free(&object);
	buf_free(&output);
}

static void set_progress(struct api_call *k, enum progress progress)
{
	struct state *s = k->state;
	if (s->progress >= COMPLETED)
		return;
	s->progress = progress;
	if (progress == COMPLETED)
		s->completed_at = g_get_real_time() / G_USEC_PER_SEC;
	store(k);
}

bool api_call_is_response(const struct api_call *k)
{
	return k->format == &api_format_responses;
}

void api_response_cancelled(struct api_call *k)
{
	struct state *s = k->state;
	api_items_close(k, &s->items, &k->choices[0]);
	set_progress(k, CANCELLED);
}

/* ---- events ---- */

static struct buf *say(struct api_call *k, const char *name)
{
	uint64_t number = k->n_frames;
	struct buf *out = api_call_frame(k, name);
	buf_printf(out, "{\"type\":\"%s\",\"sequence_number\":%" G_GUINT64_FORMAT, name, number);
	return out;
}

static void said(struct api_call *k, struct buf *out)
{
	buf_putc(out, '}');
	api_call_frame_end(k);
}

static void say_response(struct api_call *k, const char *name)
{
	struct buf *out = say(k, name);
	buf_puts(out, ",\"response\":");
	api_response_put(k, out);
	said(k, out);
}

static struct buf *say_of(struct api_call *k, const char *name, const struct api_item *i)
{
	struct buf *out = say(k, name);
	buf_printf(out, ",\"item_id\":\"%s\",\"output_index\":%u", i->id, i->index);
	if (i->type != API_ITEM_CALL)
		buf_puts(out, ",\"content_index\":0");
	return out;
}

static void say_item(struct api_call *k, const char *name, const struct api_choice *c,
		     const struct api_item *i, bool full)
{
	struct buf *out = say(k, name);
	buf_printf(out, ",\"output_index\":%u,\"item\":", i->index);
	put_item(out, c, i, full ? "completed" : "in_progress", full);
	said(k, out);
}

static void say_part(struct api_call *k, const char *name, const struct api_choice *c,
		     const struct api_item *i, bool full)
{
	struct buf *out = say_of(k, name, i);
	buf_puts(out, ",\"part\":");
	put_part(out, c, i, full);
	said(k, out);
}

static void opened(struct api_call *k, const struct api_choice *c, const struct api_item *i)
{
	say_item(k, "response.output_item.added", c, i, false);
	if (i->type != API_ITEM_CALL)
		say_part(k, "response.content_part.added", c, i, false);
}

static void put_logprobs(struct buf *out, const struct api_choice *c, const struct api_item *i,
			 bool only_piece)
{
	buf_puts(out, ",\"logprobs\":[");
	api_item_put_logprobs(out, c, i, only_piece);
	buf_putc(out, ']');
}

static void added(struct api_call *k, const struct api_item *i, const char *text, size_t n)
{
	static const char *const names[] = { "response.output_text.delta",
					     "response.reasoning_text.delta",
					     "response.function_call_arguments.delta" };
	struct buf *out = say_of(k, names[i->type], i);
	if (i->type == API_ITEM_TEXT)
		put_logprobs(out, &k->choices[0], i, true);
	buf_puts(out, ",\"delta\":");
	json_put_string(out, text, n);
	said(k, out);
}

static void closed(struct api_call *k, const struct api_choice *c, const struct api_item *i)
{
	static const char *const names[] = { "response.output_text.done",
					     "response.reasoning_text.done",
					     "response.function_call_arguments.done" };
	struct buf *out = say_of(k, names[i->type], i);
	if (i->type == API_ITEM_CALL) {
		buf_puts(out, ",\"name\":");
		json_put_cstring(out, i->name);
		buf_puts(out, ",\"arguments\":");
	} else {
		if (i->type == API_ITEM_TEXT)
			put_logprobs(out, c, i, false);
		buf_puts(out, ",\"text\":");
	}
	api_item_put_text(out, c, i);
	said(k, out);
	if (i->type != API_ITEM_CALL)
		say_part(k, "response.content_part.done", c, i, true);
	say_item(k, "response.output_item.done", c, i, true);
}

static const struct api_item_sink sink = { opened, added, closed };

/* ---- the format ---- */

static void init(struct api_call *k)
{
	struct response_store *to = k->loop->api->config.responses;
	struct state *s = g_new0(struct state, 1);
	const struct api_body *b = k->body;
	api_items_init(&s->items, k->stream ? &sink : NULL);
	s->items.logprobs = b->params.sampling.logprobs;
	s->progress = b->params.background ? QUEUED : IN_PROGRESS;
	k->state = s;
	if (!b->params.store || !to)
		return;
	struct buf object = { NULL, 0, 0 };
	api_response_put(k, &object);
	struct stored_response r = { .object = buf_terminate(&object),
				     .items = b->items,
				     .output = (char *)"[]",
				     .background = b->params.background };
	s->stored = response_store_add(to, k->id, &r);
	buf_free(&object);
}

static void free_state(struct api_call *k)
{
	struct state *s = k->state;
	set_progress(k, CANCELLED); /* the client has gone before the end */
	api_items_clear(&s->items);
	g_free(s);
}

static void admitted(struct api_call *k)
{
	set_progress(k, IN_PROGRESS);
}

static void begin(struct api_call *k)
{
	say_response(k, "response.created");
	say_response(k, "response.in_progress");
}

static void take(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	struct state *s = k->state;
	if (s->progress < COMPLETED)
		api_items_take(k, &s->items, c, e);
}

static void finish(struct api_call *k, struct api_choice *c)
{
	struct state *s = k->state;
	api_items_close(k, &s->items, c);
}

static void end(struct api_call *k)
{
	static const char *const names[] = { "response.completed", "response.incomplete",
					     "response.failed", "response.incomplete" };
	struct state *s = k->state;
	set_progress(k, incomplete_reason(k) ? INCOMPLETE : COMPLETED);
	say_response(k, names[s->progress - COMPLETED]);
}

static void failed(struct api_call *k, const struct api_error *e)
{
	struct state *s = k->state;
	bool cancelled = e->code && strcmp(e->code, "cancelled") == 0;
	bool refused = !k->body->params.background && k->n_frames == 0 && !s->items.list->len;
	s->error = *e;
	api_items_close(k, &s->items, &k->choices[0]);
	if (refused && s->stored) { /* the client was told: there is no response */
		response_store_remove(k->loop->api->config.responses, k->id);
		s->stored = false;
	}
	set_progress(k, cancelled ? CANCELLED : FAILED);
}

static void error(struct api_call *k, const struct api_error *e)
{
	const struct state *s = k->state;
	say_response(k, s->progress == FAILED ? "response.failed" : "response.incomplete");
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	struct state *s = k->state;
	api_items_close(k, &s->items, &k->choices[0]);
	set_progress(k, incomplete_reason(k) ? INCOMPLETE : COMPLETED);
	api_response_put(k, out);
	return true;
}

const struct api_format api_format_responses = {
	.id_prefix = "resp_",
	.secret_id = true,
	.events = API_EVENTS_TEXT,
	.init = init,
	.free = free_state,
	.admitted = admitted,
	.begin = begin,
	.event = take,
	.finish = finish,
	.end = end,
	.failed = failed,
	.error = error,
	.gather = take,
	.whole = whole,
};
