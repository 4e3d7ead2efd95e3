/*
 * frontends/websocket/responses.c - see responses.h. Events: OpenAI's API reference, "Responses,
 * streaming events".
 *
 * The text of all items lies in the choice's buffer, one behind the other, so that its size is
 * watched like that of any answer.
 */
#include "responses.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include <api/json-write.h>
#include <api/tools.h>

enum item_type { ITEM_MESSAGE, ITEM_REASONING, ITEM_FUNCTION };

struct item {
	enum item_type type;
	char id[40];
	size_t start, len; /* in the choice's text */
	char *name, *call_id;
	gint64 tool; /* index of the call */
};

struct state {
	GPtrArray *items;
	bool open; /* the last one */
};

static const char *const prefixes[] = { "msg_", "rs_", "fc_" };

static void item_free(gpointer data)
{
	struct item *i = data;
	g_free(i->name);
	g_free(i->call_id);
	g_free(i);
}

static void init(struct api_call *k)
{
	struct state *s = g_new0(struct state, 1);
	s->items = g_ptr_array_new_with_free_func(item_free);
	k->state = s;
}

static void free_state(struct api_call *k)
{
	struct state *s = k->state;
	g_ptr_array_unref(s->items);
	g_free(s);
}

/* ---- objects ---- */

static void put_slice(struct buf *out, const struct api_choice *c, const struct item *i)
{
	json_put_string(out, i->len ? c->text.data + i->start : "", i->len);
}

static void put_part(struct buf *out, const struct api_choice *c, const struct item *i, bool full)
{
	buf_puts(out, i->type == ITEM_MESSAGE ? "{\"type\":\"output_text\",\"annotations\":[],"
						"\"logprobs\":[],\"text\":"
					      : "{\"type\":\"reasoning_text\",\"text\":");
	if (full)
		put_slice(out, c, i);
	else
		buf_puts(out, "\"\"");
	buf_putc(out, '}');
}

static void put_item(struct buf *out, const struct api_choice *c, const struct item *i, bool full)
{
	static const char *const types[] = { "message", "reasoning", "function_call" };
	buf_printf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\"", i->id, types[i->type],
		   full ? "completed" : "in_progress");
	if (i->type == ITEM_FUNCTION) {
		buf_puts(out, ",\"call_id\":");
		json_put_cstring(out, i->call_id);
		buf_puts(out, ",\"name\":");
		json_put_cstring(out, i->name);
		buf_puts(out, ",\"arguments\":");
		if (full)
			put_slice(out, c, i);
		else
			buf_puts(out, "\"\"");
	} else {
		buf_puts(out, i->type == ITEM_MESSAGE ? ",\"role\":\"assistant\",\"content\":["
						      : ",\"summary\":[],\"content\":[");
		if (full)
			put_part(out, c, i, true);
		buf_putc(out, ']');
	}
	buf_putc(out, '}');
}

static void put_usage(const struct api_call *k, struct buf *out)
{
	struct api_usage u;
	api_call_usage(k, &u);
	buf_puts(out, "{\"input_tokens\":");
	json_put_uint(out, u.prompt);
	buf_puts(out, ",\"input_tokens_details\":{\"cached_tokens\":");
	json_put_uint(out, u.cached);
	buf_puts(out, "},\"output_tokens\":");
	json_put_uint(out, u.output);
	buf_puts(out, ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":");
	json_put_uint(out, u.prompt + u.output);
	buf_putc(out, '}');
}

static void put_error(struct buf *out, const struct api_error *e)
{
	if (!e) {
		buf_puts(out, "null");
		return;
	}
	buf_puts(out, "{\"code\":");
	json_put_cstring(out, e->code ? e->code : "server_error");
	buf_puts(out, ",\"message\":");
	json_put_cstring(out, e->message);
	buf_putc(out, '}');
}

/* over: all items are complete and usage is known. reason: why it is incomplete, or NULL. */
static void put_response(const struct api_call *k, struct buf *out, const char *status,
			 const char *reason, const struct api_error *e, bool over)
{
	const struct state *s = k->state;
	const struct weir_sampling *p = &k->body->params.sampling;
	char number[2][G_ASCII_DTOSTR_BUF_SIZE];
	buf_printf(out,
		   "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" G_GINT64_FORMAT
		   ",\"status\":\"%s\",\"error\":",
		   k->id, k->created, status);
	put_error(out, e);
	buf_puts(out, ",\"incomplete_details\":");
	if (reason)
		buf_printf(out, "{\"reason\":\"%s\"}", reason);
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"instructions\":null,\"max_output_tokens\":");
	if (k->body->params.limits.max_tokens)
		json_put_uint(out, k->body->params.limits.max_tokens);
	else
		buf_puts(out, "null");
	buf_puts(out, ",\"model\":");
	json_put_cstring(out, k->body->model);
	buf_puts(out, ",\"output\":[");
	for (guint i = 0; over && i < s->items->len; i++) {
		if (i)
			buf_putc(out, ',');
		put_item(out, &k->choices[0], s->items->pdata[i], true);
	}
	buf_printf(out,
		   "],\"parallel_tool_calls\":%s,\"previous_response_id\":null,\"store\":false,"
		   "\"temperature\":%s,\"top_p\":%s,\"text\":{\"format\":{\"type\":\"text\"}},"
		   "\"tool_choice\":\"auto\",\"tools\":[],\"truncation\":\"disabled\","
		   "\"metadata\":{},\"usage\":",
		   k->body->params.no_parallel_calls ? "false" : "true",
		   g_ascii_formatd(number[0], sizeof(number[0]), "%g", (double)p->temperature),
		   g_ascii_formatd(number[1], sizeof(number[1]), "%g", (double)p->top_p));
	if (over)
		put_usage(k, out);
	else
		buf_puts(out, "null");
	buf_putc(out, '}');
}

/* ---- events; nothing when the answer is not streamed ---- */

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

static void say_response(struct api_call *k, const char *name, const char *status,
			 const char *reason, const struct api_error *e, bool over)
{
	struct buf *out = say(k, name);
	buf_puts(out, ",\"response\":");
	put_response(k, out, status, reason, e, over);
	said(k, out);
}

static struct buf *say_of(struct api_call *k, const char *name, const struct item *i)
{
	const struct state *s = k->state;
	struct buf *out = say(k, name);
	buf_printf(out, ",\"item_id\":\"%s\",\"output_index\":%u", i->id, s->items->len - 1);
	if (i->type != ITEM_FUNCTION)
		buf_puts(out, ",\"content_index\":0");
	return out;
}

static void say_item(struct api_call *k, const char *name, const struct item *i, bool full)
{
	const struct state *s = k->state;
	struct buf *out = say(k, name);
	buf_printf(out, ",\"output_index\":%u,\"item\":", s->items->len - 1);
	put_item(out, &k->choices[0], i, full);
	said(k, out);
}

static void say_part(struct api_call *k, const char *name, const struct item *i, bool full)
{
	struct buf *out = say_of(k, name, i);
	buf_puts(out, ",\"part\":");
	put_part(out, &k->choices[0], i, full);
	said(k, out);
}

static void close_item(struct api_call *k, struct api_choice *c)
{
	static const char *const names[] = { "response.output_text.done",
					     "response.reasoning_text.done",
					     "response.function_call_arguments.done" };
	struct state *s = k->state;
	if (!s->open)
		return;
	s->open = false;
	if (!k->stream)
		return;
	const struct item *i = s->items->pdata[s->items->len - 1];
	struct buf *out = say_of(k, names[i->type], i);
	buf_puts(out, i->type == ITEM_FUNCTION  ? ",\"arguments\":"
		      : i->type == ITEM_MESSAGE ? ",\"logprobs\":[],\"text\":"
						: ",\"text\":");
	put_slice(out, c, i);
	said(k, out);
	if (i->type != ITEM_FUNCTION)
		say_part(k, "response.content_part.done", i, true);
	say_item(k, "response.output_item.done", i, true);
}

static struct item *open_item(struct api_call *k, struct api_choice *c, enum item_type type)
{
	struct state *s = k->state;
	struct item *i = g_new0(struct item, 1);
	char random[25];
	close_item(k, c);
	api_random_id(k->loop, random);
	g_snprintf(i->id, sizeof(i->id), "%s%s", prefixes[type], random);
	i->type = type;
	i->start = c->text.len;
	g_ptr_array_add(s->items, i);
	s->open = true;
	return i;
}

static void announce(struct api_call *k, const struct item *i)
{
	if (!k->stream)
		return;
	say_item(k, "response.output_item.added", i, false);
	if (i->type != ITEM_FUNCTION)
		say_part(k, "response.content_part.added", i, false);
}

static void add_text(struct api_call *k, struct api_choice *c, struct item *i, const char *text,
		     size_t n)
{
	static const char *const names[] = { "response.output_text.delta",
					     "response.reasoning_text.delta",
					     "response.function_call_arguments.delta" };
	if (n == 0)
		return;
	buf_append(&c->text, text, n);
	i->len += n;
	if (!k->stream)
		return;
	struct buf *out = say_of(k, names[i->type], i);
	buf_puts(out, i->type == ITEM_MESSAGE ? ",\"logprobs\":[],\"delta\":" : ",\"delta\":");
	json_put_string(out, text, n);
	said(k, out);
}

static struct item *current(struct api_call *k, enum item_type type)
{
	struct state *s = k->state;
	struct item *i = s->open ? s->items->pdata[s->items->len - 1] : NULL;
	return i && i->type == type ? i : NULL;
}

static const char *text_member(JsonObject *o, const char *name)
{
	JsonNode *n = o ? json_object_get_member(o, name) : NULL;
	bool text = n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_STRING;
	return text ? json_node_get_string(n) : NULL;
}

/* A part of a call as OpenAI's chat has it: index, and id and name with the first one. */
static void add_call(struct api_call *k, struct api_choice *c, struct weir_str delta)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	if (!tool_delta_valid(delta) ||
	    !json_parser_load_from_data(parser, delta.data, (gssize)delta.len, NULL))
		return;
	JsonObject *o = json_node_get_object(json_parser_get_root(parser));
	JsonNode *function = json_object_get_member(o, "function");
	JsonObject *f = function && JSON_NODE_HOLDS_OBJECT(function)
				? json_node_get_object(function)
				: NULL;
	JsonNode *number = json_object_get_member(o, "index");
	gint64 index = number && JSON_NODE_HOLDS_VALUE(number) ? json_node_get_int(number) : 0;
	const char *arguments = text_member(f, "arguments"), *name = text_member(f, "name");
	struct item *i = current(k, ITEM_FUNCTION);
	if (!i || i->tool != index) {
		i = open_item(k, c, ITEM_FUNCTION);
		i->tool = index;
		i->name = g_strdup(name ? name : "");
		i->call_id = g_strdup(text_member(o, "id") ? text_member(o, "id") : i->id);
		announce(k, i);
	}
	add_text(k, c, i, arguments ? arguments : "", arguments ? strlen(arguments) : 0);
}

static void take(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	enum item_type type = e->type == WEIR_EVENT_REASONING ? ITEM_REASONING : ITEM_MESSAGE;
	if (e->text.len == 0 || (type == ITEM_REASONING && k->body->params.no_reasoning))
		return;
	if (e->type == WEIR_EVENT_TOOL) {
		add_call(k, c, e->text);
		return;
	}
	struct item *i = current(k, type);
	if (!i) {
		i = open_item(k, c, type);
		announce(k, i);
	}
	add_text(k, c, i, e->text.data, e->text.len);
}

/* ---- the format ---- */

static void begin(struct api_call *k)
{
	say_response(k, "response.created", "in_progress", NULL, NULL, false);
	say_response(k, "response.in_progress", "in_progress", NULL, NULL, false);
}

static void finish(struct api_call *k, struct api_choice *c)
{
	close_item(k, c);
}

static const char *incomplete_reason(const struct api_call *k)
{
	uint32_t f = k->choices[0].finish;
	return f == WEIR_FINISH_LENGTH   ? "max_output_tokens"
	       : f == WEIR_FINISH_FILTER ? "content_filter"
					 : NULL;
}

static void end(struct api_call *k)
{
	const char *reason = incomplete_reason(k);
	say_response(k, reason ? "response.incomplete" : "response.completed",
		     reason ? "incomplete" : "completed", reason, NULL, true);
}

static void error(struct api_call *k, const struct api_error *e)
{
	bool cancelled = e->code && strcmp(e->code, "cancelled") == 0;
	close_item(k, &k->choices[0]);
	if (cancelled)
		say_response(k, "response.incomplete", "cancelled", NULL, NULL, true);
	else
		say_response(k, "response.failed", "failed", NULL, e, true);
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	const char *reason = incomplete_reason(k);
	put_response(k, out, reason ? "incomplete" : "completed", reason, NULL, true);
	return true;
}

static const struct api_format format = {
	.id_prefix = "resp_",
	.events = API_EVENTS_TEXT,
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

static void read_body(struct api_body *b, JsonObject *o, const struct api_config *conf,
		      struct api_error_list *errors)
{
	JsonNode *max = json_object_get_member(o, "max_output_tokens");
	if (max && !JSON_NODE_HOLDS_NULL(max)) {
		gint64 n =
			JSON_NODE_HOLDS_VALUE(max) && json_node_get_value_type(max) == G_TYPE_INT64
				? json_node_get_int(max)
				: 0;
		if (n < 1 || n > conf->max_tokens)
			api_error_field(errors, NULL, "max_output_tokens",
					"max_output_tokens must be between 1 and %u",
					conf->max_tokens);
		else
			b->params.limits.max_tokens = (uint32_t)n;
	}
	b->params.limits.n = 1;
	b->params.batch_tokens = 0;
	if (ws_responses_to_chat(o, errors))
		api_endpoint_find("chat")->read(b, o, conf, errors);
}

const struct api_endpoint ws_responses_endpoint = {
	.name = "responses", .kind = API_KIND_CHAT, .format = &format, .read = read_body
};
