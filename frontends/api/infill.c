/*
 * frontends/api/infill.c - the answers of /infill: llama-server's object of a completion, whole and
 * in chunks. See format.h.
 *
 * Facts: llama-server's README (the result of /completion): content; stop, true in the last chunk;
 * stop_type none, eos, limit or word; timings; response_fields picks members, "a/b" one inside
 * another, of the answer or the last chunk. Its streams have no [DONE].
 */
#include <string.h>

#include "format.h"
#include "json-tree.h"
#include "json-write.h"

struct infill {
	/* Of the call (the queue is a part of reading the prompt), of its first and last token; 0:
	 * none. */
	gint64 t_open, t_first, t_last;
	bool has_line;
	/* With n_indent: blanks so far of the line that has begun; -1: it has text, or is the
	 * first. */
	int64_t indent;
	struct buf ids, probabilities; /* of one event */
};

static void init(struct api_call *k)
{
	struct infill *s = g_new0(struct infill, 1);
	s->t_open = g_get_monotonic_time();
	s->indent = -1;
	k->state = s;
}

static void end_state(struct api_call *k)
{
	struct infill *s = k->state;
	buf_free(&s->ids);
	buf_free(&s->probabilities);
	g_free(s);
}

static bool has_text(const struct api_call *k, const struct weir_event *e)
{
	return !k->body->only_reads && (e->type == WEIR_EVENT_TOKEN || e->type == WEIR_EVENT_TEXT ||
					e->type == WEIR_EVENT_REASONING);
}

/* How much of the text is before a line that is indented too little. */
static size_t indented(struct infill *s, uint32_t least, struct weir_str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		if (c == '\n')
			s->indent = 0;
		else if (s->indent >= 0 && (c == ' ' || c == '\t'))
			s->indent++;
		else if (s->indent >= 0 && c != '\r' && s->indent < least)
			return i;
		else if (c != '\r')
			s->indent = -1;
	}
	return text.len;
}

static void put_probability(struct buf *b, const struct weir_event *e)
{
	static const struct weir_str none = { NULL, 0 };
	buf_printf(b, "{\"id\":%d,", e->token);
	api_put_token_members(b, e->text, e->raw, e->logprob);
	buf_puts(b, ",\"top_logprobs\":[");
	for (uint32_t i = 0; i < e->n_top; i++) {
		buf_printf(b, "%s{\"id\":%d,", i ? "," : "", e->top[i].token);
		api_put_token_members(b, e->top[i].text, none, e->top[i].logprob);
		buf_putc(b, '}');
	}
	buf_puts(b, "]}");
}

/* Takes the event's text as far as it counts, and its token; sets k->cut at the end. */
static struct weir_str take(struct api_call *k, const struct weir_event *e)
{
	struct infill *s = k->state;
	const struct api_body *b = k->body;
	struct weir_str text = e->text;
	s->t_last = g_get_monotonic_time();
	if (!s->t_first)
		s->t_first = s->t_last;
	if (b->n_indent && text.len) {
		text.len = indented(s, b->n_indent, text);
		k->cut = text.len < e->text.len;
	}
	s->has_line |= text.len && memchr(text.data, '\n', text.len);
	if (b->predict_ms && s->has_line && s->t_last - s->t_first > b->predict_ms * 1000ll)
		k->cut = true;
	s->ids.len = s->probabilities.len = 0;
	if (e->type == WEIR_EVENT_TOKEN && b->return_tokens && e->token >= 0)
		buf_printf(&s->ids, "%d", e->token);
	if (e->type == WEIR_EVENT_TOKEN && b->params.sampling.logprobs)
		put_probability(&s->probabilities, e);
	return text;
}

static void put_tokens(const struct api_call *k, const struct buf *ids,
		       const struct buf *probabilities, struct buf *out)
{
	if (k->body->return_tokens) {
		buf_puts(out, ",\"tokens\":[");
		buf_append(out, ids->data, ids->len);
		buf_putc(out, ']');
	}
	if (!k->body->params.sampling.logprobs)
		return;
	buf_puts(out, ",\"completion_probabilities\":[");
	buf_append(out, probabilities->data, probabilities->len);
	buf_putc(out, ']');
}

static void put_double(struct buf *b, const char *name, double v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	json_put_key(b, name);
	buf_puts(b, g_ascii_formatd(text, sizeof(text), "%.6g", v));
}

static void put_rate(struct buf *b, const char *what, uint64_t n, double ms)
{
	char name[40];
	buf_printf(b, "\"%s_n\":%" G_GUINT64_FORMAT ",", what, n);
	g_snprintf(name, sizeof(name), "%s_ms", what);
	put_double(b, name, ms);
	buf_putc(b, ',');
	g_snprintf(name, sizeof(name), "%s_per_token_ms", what);
	put_double(b, name, n ? ms / (double)n : 0);
	buf_putc(b, ',');
	g_snprintf(name, sizeof(name), "%s_per_second", what);
	put_double(b, name, ms > 0 ? (double)n * 1e3 / ms : 0);
}

static void put_timings(const struct api_call *k, const struct api_usage *u, struct buf *b)
{
	const struct infill *s = k->state;
	gint64 now = g_get_monotonic_time(), first = s->t_first ? s->t_first : now;
	buf_printf(b, ",\"timings\":{\"cache_n\":%" G_GUINT64_FORMAT ",", u->cached);
	put_rate(b, "prompt", u->prompt - MIN(u->cached, u->prompt),
		 (double)(first - s->t_open) / 1e3);
	buf_putc(b, ',');
	put_rate(b, "predicted", u->output, (double)(MAX(s->t_last, first) - first) / 1e3);
	buf_putc(b, '}');
}

static void put_settings(const struct api_call *k, struct buf *b)
{
	const struct weir_sampling *s = &k->body->params.sampling;
	const struct weir_limits *l = &k->body->params.limits;
	buf_printf(b, ",\"generation_settings\":{\"n_predict\":%d,",
		   k->body->only_reads ? 0
		   : l->max_tokens     ? (int)l->max_tokens
				       : -1);
	put_double(b, "temperature", (double)s->temperature);
	buf_printf(b, ",\"top_k\":%u,", s->top_k);
	put_double(b, "top_p", (double)s->top_p);
	buf_putc(b, ',');
	put_double(b, "min_p", (double)s->min_p);
	buf_printf(b, ",\"stream\":%s}", k->stream ? "true" : "false");
}

static void put_numbers(const struct api_usage *u, struct buf *b)
{
	buf_puts(b, ",\"tokens_predicted\":");
	json_put_uint(b, u->output);
	buf_puts(b, ",\"tokens_evaluated\":");
	json_put_uint(b, u->prompt);
}

static const char *stop_type(const struct api_choice *c)
{
	if (c->finish == WEIR_FINISH_STOP)
		return c->stop ? "word" : "eos";
	return c->finish == WEIR_FINISH_LENGTH ? "limit" : "none";
}

/* The whole answer; streamed: the last chunk. */
static void put_result(struct api_call *k, struct buf *b)
{
	const struct api_choice *c = &k->choices[0];
	const struct infill *s = k->state;
	g_autofree char *word = api_stop_string(k, c);
	struct api_usage u;
	api_call_usage(k, &u);
	if (k->body->only_reads)
		u.output = 0;
	buf_puts(b, "{\"index\":0,\"content\":");
	json_put_string(b, c->text.data, c->text.len);
	put_tokens(k, &c->lp[1], &c->lp[0], b);
	buf_puts(b, ",\"id_slot\":-1,\"stop\":true,\"model\":");
	json_put_cstring(b, k->body->model);
	put_numbers(&u, b);
	buf_puts(b, ",\"tokens_cached\":");
	json_put_uint(b, u.cached);
	put_settings(k, b);
	buf_printf(b, ",\"has_new_line\":%s,\"truncated\":false,\"stop_type\":\"%s\"",
		   s->has_line ? "true" : "false", stop_type(c));
	buf_puts(b, ",\"stopping_word\":");
	json_put_cstring(b, word ? word : "");
	put_timings(k, &u, b);
	buf_putc(b, '}');
}

static JsonNode *find(JsonObject *o, const char *path)
{
	g_auto(GStrv) names = g_strsplit(path, "/", 8);
	JsonNode *at = NULL;
	for (guint i = 0; names[i]; i++) {
		at = o ? json_object_get_member(o, names[i]) : NULL;
		o = at && JSON_NODE_HOLDS_OBJECT(at) ? json_node_get_object(at) : NULL;
	}
	return at;
}

/* What the client asked for of it; what is not there is left out. */
static void put_picked(const struct api_call *k, const struct buf *all, struct buf *out)
{
	struct json_fault fault;
	g_autoptr(JsonNode) from = json_tree_parse(all->data, all->len, true, &fault);
	g_autoptr(JsonNode) wanted = json_from_string(k->body->answer_fields, NULL);
	JsonArray *names = json_node_get_array(wanted);
	g_autoptr(JsonObject) picked = json_object_new();
	for (guint i = 0; from && i < json_array_get_length(names); i++) {
		const char *name = json_array_get_string_element(names, i);
		JsonNode *node = find(json_node_get_object(from), name);
		if (node)
			json_object_set_member(picked, name, json_node_copy(node));
	}
	g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), picked);
	json_tree_put(out, root);
}

static void result(struct api_call *k, struct buf *out)
{
	struct buf all = { NULL, 0, 0 };
	if (!k->body->answer_fields) {
		put_result(k, out);
		return;
	}
	put_result(k, &all);
	put_picked(k, &all, out);
	buf_free(&all);
}

static void event(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	struct api_usage u;
	if (!has_text(k, e))
		return;
	const struct infill *s = k->state;
	struct weir_str text = take(k, e);
	if (text.len == 0 && s->ids.len == 0 && s->probabilities.len == 0)
		return;
	api_call_usage(k, &u);
	struct buf *out = api_call_frame(k, NULL);
	buf_puts(out, "{\"index\":0,\"content\":");
	json_put_string(out, text.data, text.len);
	put_tokens(k, &s->ids, &s->probabilities, out);
	buf_puts(out, ",\"stop\":false,\"id_slot\":-1");
	put_numbers(&u, out);
	buf_putc(out, '}');
	api_call_frame_end(k);
}

static void end(struct api_call *k)
{
	result(k, api_call_frame(k, NULL));
	api_call_frame_end(k);
}

static void gather(struct api_call *k, struct api_choice *c, const struct weir_event *e)
{
	if (!has_text(k, e))
		return;
	const struct infill *s = k->state;
	struct weir_str text = take(k, e);
	const struct buf *from[2] = { &s->probabilities, &s->ids };
	buf_append(&c->text, text.data, text.len);
	for (int i = 0; i < 2; i++) {
		if (from[i]->len && c->lp[i].len)
			buf_putc(&c->lp[i], ',');
		buf_append(&c->lp[i], from[i]->data, from[i]->len);
	}
}

static bool whole(struct api_call *k, struct buf *out, struct api_error *ret_error)
{
	result(k, out);
	return true;
}

const struct api_format api_format_infill = {
	.id_prefix = "infill-",
	.events = API_EVENTS_TEXT,
	.init = init,
	.free = end_state,
	.event = event,
	.end = end,
	.error = api_chunk_error,
	.gather = gather,
	.whole = whole,
};
