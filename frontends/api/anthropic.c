/*
 * frontends/api/anthropic.c - the shapes of /v1/messages and /v1/messages/count_tokens. See
 * anthropic.h, items.h: an item is a content block.
 */
#include "anthropic.h"

#include <string.h>

#include "format.h"
#include "items.h"
#include "json-check.h"
#include "json-write.h"

static const char *stop_reason(const struct api_choice *c)
{
	if (c->stop && c->finish == WEIR_FINISH_STOP)
		return "stop_sequence";
	switch (c->finish) {
	case WEIR_FINISH_LENGTH:
		return "max_tokens";
	case WEIR_FINISH_TOOL:
		return "tool_use";
	case WEIR_FINISH_FILTER:
		return "refusal";
	default:
		return "end_turn";
	}
}

static void put_usage(const struct api_call *k, struct buf *out)
{
	struct api_usage u;
	api_call_usage(k, &u);
	u.cached = MIN(u.cached, u.prompt);
	buf_puts(out, "{\"input_tokens\":");
	json_put_uint(out, u.prompt - u.cached);
	buf_puts(out, ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":");
	json_put_uint(out, u.cached);
	buf_puts(out, ",\"output_tokens\":");
	json_put_uint(out, u.output);
	buf_putc(out, '}');
}

/* A block; full: with what it holds. */
static void put_block(struct buf *out, const struct api_choice *c, const struct api_item *i,
		      bool full)
{
	struct json_fault fault;
	if (i->type == API_ITEM_TEXT) {
		buf_puts(out, "{\"type\":\"text\",\"text\":");
	} else if (i->type == API_ITEM_REASONING) {
		buf_puts(out, "{\"type\":\"thinking\",\"signature\":\"\",\"thinking\":");
	} else {
		buf_puts(out, "{\"type\":\"tool_use\",\"id\":");
		json_put_cstring(out, i->call_id);
		buf_puts(out, ",\"name\":");
		json_put_cstring(out, i->name);
		buf_puts(out, ",\"input\":");
		const char *at = i->len ? c->text.data + i->start : "";
		bool object = full && i->len && at[0] == '{' && json_check(at, i->len, &fault);
		if (object)
			buf_append(out, at, i->len);
		else
			buf_puts(out, "{}"); /* a model may have written anything */
		buf_putc(out, '}');
		return;
	}
	if (full)
		api_item_put_text(out, c, i);
	else
		buf_puts(out, "\"\"");
	buf_putc(out, '}');
}

static void put_stop(const struct api_call *k, struct buf *out)
{
	g_autofree char *stop = api_stop_string(k, &k->choices[0]);
	buf_puts(out, ",\"stop_sequence\":");
	json_put_cstring(out, stop);
}

static void put_message(const struct api_call *k, struct buf *out, bool over)
{
	const struct api_items *items = k->state;
	buf_puts(out, "{\"id\":");
	json_put_cstring(out, k->id);
	buf_puts(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
	json_put_cstring(out, k->body->model);
	buf_puts(out, ",\"content\":[");
	for (guint n = 0; over && n < items->list->len; n++) {
		if (n)
			buf_putc(out, ',');
		put_block(out, &k->choices[0], items->list->pdata[n], true);
	}
	buf_puts(out, "],\"stop_reason\":");
	json_put_cstring(out, over ? stop_reason(&k->choices[0]) : NULL);
	put_stop(k, out);
	buf_puts(out, ",\"usage\":");
	put_usage(k, out);
	buf_putc(out, '}');
}

/* ---- events ---- */

static void opened(struct api_call *k, const struct api_choice *c, const struct api_item *i)
{
	struct buf *out = api_call_frame(k, "content_block_start");
	buf_printf(out,
		   "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":", i->index);
	put_block(out, c, i, false);
	buf_putc(out, '}');
	api_call_frame_end(k);
}

static void added(struct api_call *k, const struct api_item *i, const char *text, size_t n)
{
	static const char *const deltas[] = {
		"{\"type\":\"text_delta\",\"text\":",
		"{\"type\":\"thinking_delta\",\"thinking\":",
		"{\"type\":\"input_json_delta\",\"partial_json\":",
	};
	struct buf *out = api_call_frame(k, "content_block_delta");
	buf_printf(out, "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":", i->index);
	buf_puts(out, deltas[i->type]);
	json_put_string(out, text, n);
	buf_puts(out, "}}");
	api_call_frame_end(k);
}

static void closed(struct api_call *k, const struct api_choice *c, const struct api_item *i)
{
	struct buf *out = api_call_frame(k, "content_block_stop");
	buf_printf(out, "{\"type\":\"content_block_stop\",\"index\":%u}", i->index);
	api_call_frame_end(k);
}

static const struct api_item_sink sink = { opened, added, closed };

static void init(struct api_call *k)
{
	struct api_items *items = g_new0(struct api_items, 1);
	api_items_init(items, k->stream ? &sink : NULL);
	items->prefixes[API_ITEM_CALL] = "toolu_";
	k->state = items;
}

static void free_state(struct api_call *k)
{
	api_items_clear(k->state);
	g_free(k->state);
}

static void begin(struct api_call *k)
{
	struct buf *out = api_call_frame(k, "message_start");
	buf_puts(out, "{\"type\":\"message_start\",\"message\":");
	put_message(k, out, false);
	buf_putc(out, '}');
	api_call_frame_end(k);
}

static void take(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	api_items_take(k, k->state, c, e);
}

static void finish(struct api_call *k, struct api_choice *c)
{
	api_items_close(k, k->state, c);
}

static void end(struct api_call *k)
{
	struct buf *out = api_call_frame(k, "message_delta");
	buf_printf(out, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\"",
		   stop_reason(&k->choices[0]));
	put_stop(k, out);
	buf_puts(out, "},\"usage\":");
	put_usage(k, out);
	buf_putc(out, '}');
	api_call_frame_end(k);
	out = api_call_frame(k, "message_stop");
	buf_puts(out, "{\"type\":\"message_stop\"}");
	api_call_frame_end(k);
}

static void error(struct api_call *k, const struct api_error *e)
{
	struct buf *out = api_call_frame(k, "error");
	api_error_body(out, e, 1, API_PROFILE_ANTHROPIC);
	api_call_frame_end(k);
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	put_message(k, out, true);
	return true;
}

const struct api_format api_format_messages = {
	.id_prefix = "msg_",
	.events = API_EVENTS_TEXT,
	.ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
	.init = init,
	.free = free_state,
	.begin = begin,
	.event = take,
	.finish = finish,
	.end = end,
	.error = error,
	.gather = take,
	.whole = whole,
};

/* ---- count_tokens: the host tokenizes the chat; how many there are is in the stream's end ---- */

static void skip(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
}

static bool count(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	struct api_usage u;
	api_call_usage(k, &u);
	buf_printf(out, "{\"input_tokens\":%" G_GUINT64_FORMAT "}", u.prompt);
	return true;
}

const struct api_format api_format_count = {
	.id_prefix = "tok-",
	.events = API_EVENTS_TEXT | API_EVENT(JSON),
	.gather = skip,
	.whole = count,
};
