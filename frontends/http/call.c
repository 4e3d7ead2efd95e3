/*
 * frontends/http/call.c - see call.h.
 */
#include "call.h"

#include <string.h>

#include "json-check.h"
#include "json-write.h"

#define CREDIT        256u
#define MAX_BACKLOG   (64u << 10)  /* what the credit of a stream should fill at most */
#define MAX_UNSENT    (512u << 10) /* a stream that has more is cut off: its events are huge */
#define MAX_COLLECTED (64u << 20)

static void on_event(void *data, weir_stream *, const struct weir_event *);
static void on_end(void *data, weir_stream *, const struct weir_end *);

static const struct weir_sink sink = { .size = sizeof(sink), .event = on_event, .end = on_end };

static void call_free(struct call *k)
{
	g_assert(k->n_open == 0 && !k->conn);
	for (uint32_t i = 0; i < k->n_choices; i++) {
		struct choice *c = &k->choices[i];
		buf_free(&c->text);
		buf_free(&c->reasoning);
		buf_free(&c->tools);
		for (int j = 0; j < 4; j++)
			buf_free(&c->lp[j]);
	}
	api_body_free(k->body);
	buf_free(&k->prefix);
	buf_free(&k->json);
	g_free(k->choices);
	g_free(k->streams);
	g_free(k);
}

/* No more to do with the connection. Frees the call when no end is awaited. */
static void detach(struct call *k)
{
	const struct weir_stream_api *api = k->plane->http->stream;
	k->conn = NULL;
	for (uint32_t i = 0; i < k->n_streams; i++)
		if (k->streams[i].stream)
			api->cancel(k->streams[i].stream, WEIR_E_CANCELLED);
	if (k->n_open == 0)
		call_free(k);
}

/* ---- the connection's side ---- */

static void on_gone(void *data)
{
	detach(data);
}

static void on_drained(void *data)
{
	struct call *k = data;
	for (uint32_t i = 0; i < k->n_streams; i++) {
		struct call_stream *s = &k->streams[i];
		if (s->stream && s->spent)
			k->plane->http->stream->grant(s->stream, s->spent);
		s->spent = 0;
	}
}

static void on_ping(void *data)
{
	struct call *k = data;
	if (k->head_sent)
		buf_puts(conn_stream(k->conn), ": ping\n\n");
}

static const struct conn_waiter waiter = { .gone = on_gone,
					   .drained = on_drained,
					   .ping = on_ping };

static void respond_errors(struct call *k, const struct http_error *e)
{
	struct conn *c = k->conn;
	detach(k);
	conn_respond_errors(c, e, 1);
}

static void fail(struct call *k, weir_status status, struct weir_str text, struct weir_str param,
		 uint32_t retry_after_ms)
{
	const struct http *h = k->plane->http;
	struct http_error e;
	struct conn *c = k->conn;
	http_error_from_status(&e, h->config.profile, status, text, param, retry_after_ms);
	if (e.status >= 500)
		http_logf(h, e.status == 500 ? WEIR_LOG_ERROR : WEIR_LOG_WARNING,
			  "request %s (%s) failed: status %d: %.*s", c->request_id, k->id, status,
			  (int)MIN(text.len, 400), text.data ? text.data : "");
	if (!k->head_sent) {
		respond_errors(k, &e);
		return;
	}
	detach(k);
	sse_error(conn_stream(c), &e); /* the last frame: no [DONE] behind it */
	conn_end(c);
}

/* ---- events ---- */

static void begin_stream(struct call *k)
{
	if (k->head_sent || !k->stream)
		return;
	k->head_sent = true;
	conn_stream_begin(k->conn, "text/event-stream; charset=utf-8");
	for (uint32_t i = 0; k->format->start && i < k->n_choices; i++)
		k->format->start(k, &k->choices[i], conn_stream(k->conn));
}

static size_t collected(const struct choice *c)
{
	size_t n = c->text.len + c->reasoning.len + c->tools.len;
	for (int i = 0; i < 4; i++)
		n += c->lp[i].len;
	return n;
}

static void stream_event(struct call *k, struct choice *c, const struct weir_event *e)
{
	k->format->event(k, c, e, conn_stream(k->conn));
	if (conn_unsent(k->conn) < MAX_BACKLOG)
		return;
	conn_flush(k->conn); /* this may already have ended the call */
}

static bool cut_if_stuck(struct conn *c)
{
	const struct http *h = c->plane->http;
	if (c->state == CONN_STATE_DEAD || conn_unsent(c) <= MAX_UNSENT)
		return false;
	http_count(h, h->m_stalled, 1);
	http_logf(h, WEIR_LOG_WARNING, "request %s: the client does not take its stream: cut off",
		  c->request_id);
	conn_close(c);
	return true;
}

static void collect_event(struct call *k, struct choice *c, const struct weir_event *e)
{
	static const char text[] = "the answer is larger than this server keeps";
	size_t before = collected(c);
	k->format->collect(k, c, e);
	k->collected += collected(c) - before;
	if (k->collected > MAX_COLLECTED)
		fail(k, WEIR_E_EXHAUSTED, (struct weir_str){ text, sizeof(text) - 1 },
		     (struct weir_str){ NULL, 0 }, 0);
}

static void choice_event(struct call_stream *s, const struct weir_event *e)
{
	struct call *k = s->call;
	if (!k->format || e->index >= k->n_each) {
		http_logf(k->plane->http, WEIR_LOG_MISBEHAVING,
			  "request %s: event of type %u for choice %u of %u", k->id, e->type,
			  e->index, k->n_each);
		return;
	}
	struct choice *c = &k->choices[s->prompt * k->n_each + e->index];
	if (e->type == WEIR_EVENT_TOKEN && e->logprob == e->logprob) {
		c->logprob += (double)e->logprob;
		c->n_tokens++;
	}
	c->has_tools |= e->type == WEIR_EVENT_TOOL;
	struct conn *conn = k->conn;
	if (!k->stream) {
		collect_event(k, c, e);
	} else {
		stream_event(k, c, e);
		cut_if_stuck(conn);
	}
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct call_stream *s = data;
	struct call *k = s->call;
	s->spent++;
	if (!k->conn)
		return;                      /* cancelled: no credit any more, the end is near */
	plane_mark_dirty(k->plane, k->conn); /* settling grants the credit again */
	s->started = true;
	if (e->type == WEIR_EVENT_STARTED) {
		if (e->value > 0)
			s->n_prompt = (uint32_t)MIN(e->value, G_MAXUINT32);
		begin_stream(k);
	} else if (e->type == WEIR_EVENT_JSON) {
		if (k->json.len + e->text.len <= MAX_COLLECTED)
			buf_append(&k->json, e->text.data, e->text.len);
	} else {
		begin_stream(k);
		choice_event(s, e);
	}
}

/* ---- ends ---- */

static int by_likelihood(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;
	double lx = x->n_tokens ? x->logprob / x->n_tokens : -1e30;
	double ly = y->n_tokens ? y->logprob / y->n_tokens : -1e30;
	return (lx < ly) - (lx > ly);
}

/* best_of: of each prompt's candidates the n most likely, by mean log-probability of a token. */
static void put_choices(struct call *k, struct buf *b)
{
	uint32_t n = k->body->params.limits.n, at = 0;
	for (uint32_t p = 0; p < k->n_streams; p++) {
		struct choice *first = &k->choices[p * k->n_each];
		if (n < k->n_each)
			qsort(first, k->n_each, sizeof(*first), by_likelihood);
		for (uint32_t i = 0; i < n; i++) {
			struct choice *c = &first[i];
			if (at)
				buf_putc(b, ',');
			k->format->choice(k, c, at++, b);
		}
	}
}

static void respond_whole(struct call *k)
{
	struct buf b = { NULL, 0, 0 };
	buf_puts(&b, "{\"id\":");
	json_put_cstring(&b, k->id);
	buf_printf(&b, ",\"object\":\"%s\",\"created\":%" G_GINT64_FORMAT ",\"model\":",
		   k->format->object, k->created);
	json_put_cstring(&b, k->body->model);
	buf_puts(&b, ",\"choices\":[");
	put_choices(k, &b);
	buf_puts(&b, "],\"usage\":");
	put_usage(k, &b);
	buf_puts(&b, ",\"system_fingerprint\":\"weir-" WEIR_VERSION "\"}");
	struct conn *c = k->conn;
	detach(k);
	conn_respond_json(c, 200, &b);
}

/* The result of tokenize and detokenize goes out as the host made it, if it is an object at all. */
static void respond_json(struct call *k)
{
	static const char text[] = "the backend's answer is not a JSON object";
	struct json_fault fault;
	if (!k->json.len || k->json.data[0] != '{' ||
	    !json_check(k->json.data, k->json.len, &fault)) {
		fail(k, WEIR_E_INTERNAL, (struct weir_str){ text, sizeof(text) - 1 },
		     (struct weir_str){ NULL, 0 }, 0);
		return;
	}
	struct conn *c = k->conn;
	struct buf body = k->json;
	k->json = (struct buf){ NULL, 0, 0 };
	detach(k);
	conn_respond_json(c, 200, &body);
}

static void complete(struct call *k)
{
	struct conn *c = k->conn;
	if (!k->format) {
		respond_json(k);
	} else if (!k->stream) {
		respond_whole(k);
	} else {
		begin_stream(k);
		if (k->include_usage)
			sse_usage(k, conn_stream(c));
		sse_done(conn_stream(c));
		detach(k);
		conn_end(c);
	}
}

static void finish_choices(struct call_stream *s, const struct weir_end *end)
{
	struct call *k = s->call;
	if (!k->format)
		return;
	begin_stream(k);
	for (uint32_t i = 0; i < k->n_each; i++) {
		struct choice *c = &k->choices[s->prompt * k->n_each + i];
		c->finish =
			end->choices && i < end->n_choices ? end->choices[i].finish : end->finish;
		if (c->finish == WEIR_FINISH_NONE)
			c->finish = WEIR_FINISH_STOP;
		if (c->has_tools && c->finish == WEIR_FINISH_STOP)
			c->finish = WEIR_FINISH_TOOL;
		if (k->stream)
			k->format->finish(k, c, conn_stream(k->conn));
	}
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct call_stream *s = data;
	struct call *k = s->call;
	s->stream = NULL;
	k->n_open--;
	k->plane->n_streams--;
	if (!k->conn) {
		if (k->n_open == 0)
			call_free(k);
		return;
	}
	plane_mark_dirty(k->plane, k->conn);
	if (end->status < 0) {
		fail(k, end->status, end->text, end->param, end->retry_after_ms);
		return;
	}
	if (end->n_prompt)
		s->n_prompt = end->n_prompt;
	s->n_cached = end->n_cached;
	s->n_output = end->n_output;
	finish_choices(s, end);
	if (k->n_open == 0)
		complete(k);
}

/* ---- opening ---- */

static void make_prefix(struct call *k)
{
	struct buf *b = &k->prefix;
	buf_puts(b, "data: {\"id\":");
	json_put_cstring(b, k->id);
	buf_printf(b, ",\"object\":\"%s\",\"created\":%" G_GINT64_FORMAT ",\"model\":",
		   k->format->chunk_object, k->created);
	json_put_cstring(b, k->body->model);
	buf_puts(b, ",\"system_fingerprint\":\"weir-" WEIR_VERSION "\",\"choices\":[{\"index\":");
}

/* As many events as fill the backlog, when each is as long as such events are. */
static uint32_t credit(const struct call *k)
{
	size_t bytes = k->prefix.len + 160;
	if (k->body->params.sampling.logprobs)
		bytes += 120 + 100u * k->body->params.sampling.top_logprobs;
	return k->stream ? CLAMP(MAX_BACKLOG / (uint32_t)bytes, 16, CREDIT) : CREDIT;
}

static void add_field(GArray *fields, const char *key, const char *value)
{
	struct weir_kv kv = { key, value };
	if (value)
		g_array_append_val(fields, kv);
}

static void add_headers(GArray *fields, const struct http_request *r, GStringChunk *names)
{
	static const char *const ours[] = { "host",         "connection", "content-length",
					    "content-type", "expect",     "transfer-encoding",
					    "accept",       "cookie",     "upgrade" };
	for (uint32_t i = 0; i < r->n_headers; i++) {
		bool skip = !g_utf8_validate(r->headers[i].value, -1, NULL);
		for (size_t k = 0; k < G_N_ELEMENTS(ours); k++)
			skip |= strcmp(r->headers[i].name, ours[k]) == 0;
		if (skip)
			continue;
		g_autofree char *name = g_strconcat("header.", r->headers[i].name, NULL);
		add_field(fields, g_string_chunk_insert_const(names, name), r->headers[i].value);
	}
}

static weir_request *make_request(struct call *k, uint32_t prompt)
{
	static const char *const kinds[] = { "chat", "completion", "tokenize", "detokenize" };
	const struct http *h = k->plane->http;
	const struct api_body *b = k->body;
	const struct api_prompt *p = &b->prompts[prompt];
	struct weir_sampling sampling = b->params.sampling;
	struct weir_limits limits = b->params.limits;
	g_autoptr(GArray) fields = g_array_new(FALSE, FALSE, sizeof(struct weir_kv));
	GStringChunk *names = g_string_chunk_new(256);
	char id[sizeof(k->id) + 12];
	g_snprintf(id, sizeof(id), k->n_streams > 1 ? "%s-%u" : "%s", k->id, prompt);
	add_field(fields, "kind", kinds[k->kind]);
	add_field(fields, "id", id);
	add_field(fields, "model", b->model);
	add_field(fields, "messages", b->messages);
	add_field(fields, "tools", b->tools);
	add_field(fields, "tool_choice", b->tool_choice);
	add_field(fields, "template_kwargs", b->template_kwargs);
	add_field(fields, p->is_tokens ? "tokens" : "prompt", p->text);
	add_field(fields, "stop", b->stop);
	char options[100];
	g_snprintf(options, sizeof(options),
		   "{\"add_special\":%s,\"parse_special\":%s,\"with_pieces\":%s}",
		   b->params.add_special ? "true" : "false",
		   b->params.parse_special ? "true" : "false",
		   b->params.with_pieces ? "true" : "false");
	add_field(fields, "options", k->kind == API_KIND_TOKENIZE ? options : NULL);
	add_headers(fields, k->conn->req, names);
	limits.n = k->n_each;
	if (k->n_each > b->params.limits.n)
		sampling.logprobs = 1; /* best_of ranks by them */
	if (h->config.request_timeout_ms)
		limits.deadline_ns = g_get_monotonic_time() * 1000 +
				     (int64_t)h->config.request_timeout_ms * 1000000;
	weir_request *r = h->gateway->request_new(h->host, (struct weir_kv *)(void *)fields->data,
						  fields->len, &sampling, &limits);
	g_string_chunk_free(names);
	return r;
}

static bool open_all(struct call *k)
{
	const struct http *h = k->plane->http;
	for (uint32_t i = 0; i < k->n_streams; i++) {
		struct weir_error err = { .code = WEIR_OK };
		struct call_stream *s = &k->streams[i];
		weir_status status = h->gateway->open(h->host, k->plane->loop, make_request(k, i),
						      &sink, s, credit(k), &s->stream, &err);
		if (status < 0) {
			s->stream = NULL;
			fail(k, status, (struct weir_str){ err.text, strlen(err.text) },
			     (struct weir_str){ err.param, strlen(err.param) }, 0);
			return false;
		}
		k->n_open++;
		k->plane->n_streams++;
	}
	return true;
}

/* The answer needs the model's name, the parameters and, for echo, the prompts. */
static void slim_body(struct call *k)
{
	struct api_body *b = k->body;
	g_clear_pointer(&b->messages, g_free);
	g_clear_pointer(&b->tools, g_free);
	g_clear_pointer(&b->tool_choice, g_free);
	g_clear_pointer(&b->template_kwargs, g_free);
	for (uint32_t i = 0; !b->params.echo && i < b->n_prompts; i++)
		g_clear_pointer(&b->prompts[i].text, g_free);
	buf_free(&k->conn->req->body);
	conn_charge(k->conn, 0);
}

void call_start(struct conn *c, struct api_body *body)
{
	static const struct call_format *const formats[] = { &chat_format, &completion_format, NULL,
							     NULL };
	struct call *k = g_new0(struct call, 1);
	char random[25];
	k->plane = c->plane;
	k->conn = c;
	k->kind = body->kind;
	k->body = body;
	k->format = formats[body->kind];
	k->stream = body->params.stream;
	k->include_usage = body->params.include_usage;
	k->n_streams = body->n_prompts;
	k->n_each = MAX(body->params.limits.n, body->params.best_of);
	k->n_choices = k->n_each * k->n_streams;
	k->created = g_get_real_time() / G_USEC_PER_SEC;
	plane_random_id(c->plane, random);
	g_snprintf(k->id, sizeof(k->id), "%s%s", k->format ? k->format->id_prefix : "tok-", random);
	k->streams = g_new0(struct call_stream, k->n_streams);
	k->choices = g_new0(struct choice, k->n_choices);
	for (uint32_t i = 0; i < k->n_streams; i++)
		k->streams[i] = (struct call_stream){ .call = k, .prompt = i };
	for (uint32_t i = 0; i < k->n_choices; i++)
		k->choices[i].index = i;
	if (k->format)
		make_prefix(k);
	conn_wait(c, &waiter, k);
	if (open_all(k))
		slim_body(k);
}
