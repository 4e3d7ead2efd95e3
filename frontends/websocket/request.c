/*
 * frontends/websocket/request.c - see request.h.
 */
#include "request.h"

#include <string.h>

#include <api/format.h>
#include <api/json-write.h>

#include "session.h"

static void stay(struct ws_request *r)
{
	if (r->leaving)
		g_queue_unlink(&r->hub->leaving, &r->link);
	r->leaving = false;
	r->expires_ms = 0;
}

void ws_request_free(struct ws_request *r)
{
	if (!r)
		return;
	g_assert(!r->session && !r->call);
	stay(r);
	if (r->token[0])
		ws_hub_remove(r->hub, r);
	replay_free(r->replay);
	buf_free(&r->json_id);
	g_free(r);
}

/* From now on it is dropped when nobody comes for it in time. */
static void leave_later(struct ws_request *r)
{
	stay(r);
	r->leaving = true;
	r->expires_ms = r->hub->now_ms + r->hub->config->grace_ms;
	r->link.data = r;
	g_queue_push_tail_link(&r->hub->leaving, &r->link);
}

/* The call has had its last word. */
static void over(struct ws_request *r)
{
	r->call = NULL;
	if (r->session)
		ws_session_remove(r->session, r);
	if (r->replay && !r->hub->draining)
		leave_later(r);
	else
		ws_request_free(r);
}

void ws_request_leave(struct ws_request *r)
{
	r->session = NULL;
	if (r->replay && !r->hub->draining) {
		leave_later(r);
		return;
	}
	if (r->call)
		api_call_detach(g_steal_pointer(&r->call));
	ws_request_free(r);
}

/* ---- credit ---- */

/* Half of what the call was last given has come, of one stream at least: the session fills it up
 * when the output is empty. A token then costs no look at all requests of its socket. */
static bool may_want(const struct ws_request *r)
{
	const struct api_call *k = r->call;
	for (uint32_t i = 0; i < k->n_streams; i++) {
		const struct api_stream *s = &k->streams[i];
		if (s->stream && s->outstanding <= r->window / 2 / k->n_streams)
			return true;
	}
	return false;
}

static void want(struct ws_request *r)
{
	struct ws_session *s = r->session;
	if (!s || !r->call || r->hungry.data || !may_want(r))
		return;
	r->hungry.data = r;
	g_queue_push_tail_link(&s->hungry, &r->hungry);
	s->carrier->wake(s->data);
}

/* ---- messages ---- */

static void put_head(struct ws_request *r, const char *type)
{
	struct buf *b = &r->hub->json;
	b->len = 0;
	buf_puts(b, "{\"type\":\"");
	buf_puts(b, type);
	buf_puts(b, "\",\"id\":");
	buf_append(b, r->json_id.data, r->json_id.len);
}

static void put_seq(struct ws_request *r)
{
	buf_puts(&r->hub->json, ",\"seq\":");
	json_put_uint(&r->hub->json, r->seq);
}

/* The message in hub->json is complete: one of those that are numbered. */
static void deliver(struct ws_request *r)
{
	struct buf *b = &r->hub->json;
	r->seq++;
	r->balance--;
	if (r->replay)
		replay_push(r->replay, b->data, b->len);
	if (r->session)
		ws_session_send(r->session, b);
	b->len = 0;
	want(r);
}

static void put_usage(struct ws_request *r)
{
	struct buf *b = &r->hub->json;
	struct api_usage u;
	api_call_usage(r->call, &u);
	buf_puts(b, ",\"usage\":{\"prompt_tokens\":");
	json_put_uint(b, u.prompt);
	buf_puts(b, ",\"completion_tokens\":");
	json_put_uint(b, u.output);
	buf_puts(b, ",\"total_tokens\":");
	json_put_uint(b, u.prompt + u.output);
	buf_puts(b, ",\"prompt_tokens_details\":{\"cached_tokens\":");
	json_put_uint(b, u.cached);
	buf_puts(b, "}}");
}

/* ---- from the call ---- */

static void begin(void *data)
{
	want(data);
}

/* OpenAI's events have a type of their own and are one object with id and seq; other frames are a
 * member of ours. */
static struct buf *frame(void *data, const char *event, uint64_t seq)
{
	struct ws_request *r = data;
	struct buf *b = &r->hub->json;
	r->frame_named = event != NULL;
	r->events |= r->frame_named;
	if (!event) {
		put_head(r, "chunk");
		put_seq(r);
		buf_puts(b, ",\"data\":");
	} else {
		b->len = 0;
		if (r->named) {
			buf_puts(b, "{\"id\":");
			buf_append(b, r->json_id.data, r->json_id.len);
			put_seq(r);
			buf_putc(b, ',');
		}
	}
	r->frame_at = b->len;
	return b;
}

static void frame_end(void *data)
{
	struct ws_request *r = data;
	struct buf *b = &r->hub->json;
	if (!r->frame_named) {
		buf_putc(b, '}');
	} else if (r->named && b->len > r->frame_at) { /* the event's opening brace */
		memmove(b->data + r->frame_at, b->data + r->frame_at + 1, b->len - r->frame_at - 1);
		b->len--;
	}
	deliver(r);
}

static void whole(void *data, struct buf *body)
{
	struct ws_request *r = data;
	put_head(r, "result");
	put_seq(r);
	buf_puts(&r->hub->json, ",\"data\":");
	buf_append(&r->hub->json, body->data, body->len);
	buf_putc(&r->hub->json, '}');
	deliver(r);
	over(r);
}

static void end(void *data)
{
	struct ws_request *r = data;
	if (r->named || !r->events) {
		put_head(r, "done");
		put_seq(r);
		put_usage(r);
		buf_putc(&r->hub->json, '}');
		deliver(r);
	}
	over(r);
}

static void error(void *data, const struct api_error *e)
{
	struct ws_request *r = data;
	bool cancelled = r->cancelled && e->code && strcmp(e->code, "cancelled") == 0;
	bool told = r->events && r->call->begun && r->call->format->error;
	if (told)
		api_call_error_frame(r->call, e);
	if (!told || r->named) {
		put_head(r, cancelled ? "cancelled" : "error");
		put_seq(r);
		if (cancelled) {
			put_usage(r);
		} else {
			buf_printf(&r->hub->json, ",\"status\":%d,\"error\":", e->status);
			api_error_object(&r->hub->json, e);
			if (e->retry_after_s)
				buf_printf(&r->hub->json, ",\"retry_after\":%u", e->retry_after_s);
		}
		buf_putc(&r->hub->json, '}');
		deliver(r);
	}
	over(r);
}

static void taken(void *data)
{
	want(data);
}

static const struct api_transport transport = { .begin = begin,
						.frame = frame,
						.frame_end = frame_end,
						.whole = whole,
						.end = end,
						.error = error,
						.taken = taken };

/* ---- from the client ---- */

static void make_resumable(struct ws_request *r)
{
	const struct ws_config *c = r->hub->config;
	if (!replay_token(r->token)) {
		r->token[0] = 0;
		return;
	}
	r->replay = replay_new(r->hub->budget, c->replay_events, c->replay_bytes);
	ws_hub_add(r->hub, r);
}

static void accept(struct ws_request *r)
{
	struct buf *b = &r->hub->json;
	put_head(r, "accepted");
	buf_puts(b, ",\"request\":");
	json_put_cstring(b, r->call->id);
	if (r->replay) {
		buf_puts(b, ",\"resume\":");
		json_put_cstring(b, r->token);
	}
	buf_putc(b, '}');
	ws_session_send(r->session, b);
}

void ws_request_create(struct ws_session *s, struct api_body *body, const struct ws_create *create)
{
	struct ws_request *r = g_new0(struct ws_request, 1);
	r->hub = s->hub;
	r->named = create->id != NULL;
	r->own_credit = create->own_credit;
	r->balance = create->own_credit ? create->credit : 0;
	r->call = api_call_new(s->hub->api, body, s->trace, &transport, r);
	r->call->manual = true;
	g_strlcpy(r->id, create->id ? create->id : r->call->id, sizeof(r->id));
	json_put_cstring(&r->json_id, r->id);
	if (create->resume)
		make_resumable(r);
	ws_session_add(s, r);
	if (r->named)
		accept(r);
	api_call_open(r->call, (const struct weir_kv *)(void *)s->fields->data, s->fields->len);
}

void ws_request_refill(struct ws_request *r, uint32_t window)
{
	struct api_call *k = r->call;
	uint64_t coming = 0;
	r->window = r->own_credit ? k->window : window;
	if (!r->own_credit)
		r->balance = window;
	for (uint32_t i = 0; i < k->n_streams; i++)
		if (k->streams[i].stream && k->streams[i].started)
			coming += k->streams[i].outstanding;
	k->allowance =
		r->balance > 0 && (uint64_t)r->balance > coming ? (uint64_t)r->balance - coming : 0;
	api_call_drained(k);
}

void ws_request_credit(struct ws_request *r, uint32_t n)
{
	if (!r->own_credit)
		r->balance = 0;
	r->own_credit = true;
	r->balance = MIN(r->balance + n, (int64_t)G_MAXUINT32);
	want(r);
}

void ws_request_cancel(struct ws_request *r)
{
	r->cancelled = true;
	api_call_cancel(r->call);
}

void ws_request_resume(struct ws_request *r, struct ws_session *s, uint64_t from)
{
	const char *data;
	size_t n;
	struct buf *b = &r->hub->json;
	if (r->session && r->session != s) {
		put_head(r, "moved");
		buf_putc(b, '}');
		ws_session_send(r->session, b);
		ws_session_remove(r->session, r);
	}
	stay(r);
	if (!r->session && r->call)
		ws_session_add(s, r);
	put_head(r, "resumed");
	buf_puts(b, ",\"from\":");
	json_put_uint(b, from);
	buf_putc(b, '}');
	ws_session_send(s, b);
	for (uint64_t i = from; replay_get(r->replay, i, &data, &n); i++) {
		b->len = 0;
		buf_append(b, data, n);
		ws_session_send(s, b);
	}
	if (!r->call)
		leave_later(r);
	want(r);
}
