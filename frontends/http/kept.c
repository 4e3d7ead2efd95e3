/*
 * frontends/http/kept.c - see kept.h.
 */
#include "kept.h"

#include <string.h>

#include <api/format.h>
#include <api/replay.h>
#include <api/response-store.h>
#include <api/responses.h>

#define MAX_EVENTS  16384u
#define MAX_BYTES   (4u << 20)
#define MAX_BACKLOG (64u << 10)  /* unsent bytes of a connection, but for one frame */
#define MAX_UNSENT  (512u << 10) /* beyond it a live frame waits in the replay */
#define OVERHEAD    2048u        /* of a kept answer, in the budget */

struct kept {
	struct plane *plane;
	struct api_call *call; /* NULL: over */
	struct conn *conn;     /* NULL: nobody is there */
	struct replay *replay; /* NULL: not streamed, nothing to resume */
	bool background, begun;
	bool forgotten; /* deleted: nobody comes back to it */
	bool failed;    /* before its first frame: `failure` is the answer */
	struct api_error failure;
	uint64_t sent;       /* number of the next frame for conn */
	uint64_t left_at;    /* number of the next frame when the client went */
	size_t unseen;       /* bytes of the frames since then */
	uint64_t expires_ms; /* 0: not in plane->leaving */
	GList link;          /* in plane->kept */
	GList leaving;       /* in plane->leaving */
	struct buf line;     /* the frame that is being written */
	char id[48];
};

void kept_ids_init(struct kept_ids *t)
{
	pthread_mutex_init(&t->lock, NULL);
	t->table = g_hash_table_new(g_str_hash, g_str_equal);
}

void kept_ids_clear(struct kept_ids *t)
{
	if (!t->table)
		return;
	g_hash_table_unref(g_steal_pointer(&t->table));
	pthread_mutex_destroy(&t->lock);
}

/* ---- life ---- */

static void stay(struct kept *k)
{
	if (k->expires_ms)
		g_queue_unlink(&k->plane->leaving, &k->leaving);
	k->expires_ms = 0;
}

static void kept_free(struct kept *k)
{
	struct http *h = k->plane->http;
	struct conn *c = g_steal_pointer(&k->conn);
	stay(k);
	pthread_mutex_lock(&h->kept.lock);
	g_hash_table_remove(h->kept.table, k->id);
	pthread_mutex_unlock(&h->kept.lock);
	g_queue_unlink(&k->plane->kept, &k->link);
	if (k->call)
		api_call_detach(g_steal_pointer(&k->call));
	if (c) {
		c->waiter = NULL;
		conn_close(c);
	}
	replay_free(k->replay);
	atomic_fetch_sub(&h->replays.used, OVERHEAD);
	buf_free(&k->line);
	g_free(k);
}

/* Nobody is there: kept for a while, or not at all. */
static void leave(struct kept *k)
{
	const struct http_config *conf = &k->plane->http->config;
	k->left_at = k->replay ? replay_next(k->replay) : 0;
	k->unseen = 0;
	if (k->background && k->call) {
		api_call_drained(k->call);
		return;
	}
	if (!k->replay || k->forgotten || k->plane->draining || !conf->resume_grace_ms) {
		kept_free(k);
		return;
	}
	stay(k);
	k->expires_ms = k->plane->now_ms + conf->resume_grace_ms;
	k->leaving.data = k;
	g_queue_push_tail_link(&k->plane->leaving, &k->leaving);
	if (k->call)
		api_call_drained(k->call);
}

/* ---- to the connection ---- */

static void put_frame(struct conn *c, const struct kept *k, const char *data, size_t n)
{
	struct buf *out = conn_stream(c);
	buf_printf(out, "id: %s:%" G_GUINT64_FORMAT "\n", k->id, k->sent);
	buf_append(out, data, n);
	buf_append(out, "\n\n", 2);
}

/* Sends what there is and the connection takes. From the connection only: may free. */
static void pump(struct kept *k)
{
	const struct http *h = k->plane->http;
	struct conn *c = k->conn;
	const char *data;
	size_t n;
	while (k->sent < replay_next(k->replay) && conn_unsent(c) < MAX_BACKLOG) {
		if (!replay_get(k->replay, k->sent, &data, &n)) {
			http_count(h, h->m_stalled, 1);
			api_logf(&h->api, WEIR_LOG_WARNING,
				 "request %s: the client does not take its stream: cut off",
				 c->request_id);
			conn_close(c);
			return;
		}
		put_frame(c, k, data, n);
		k->sent++;
	}
	if (k->call || k->sent < replay_next(k->replay))
		return;
	k->conn = NULL;
	conn_end(c);
	leave(k);
}

/* May the backend go on with nobody there? */
static bool may_go_on(const struct kept *k)
{
	const struct replay_budget *b = &k->plane->http->replays;
	if (k->background || !k->replay)
		return true;
	return replay_next(k->replay) - k->left_at < MAX_EVENTS / 2 && k->unseen < MAX_BYTES / 2 &&
	       atomic_load(&b->used) < b->max - b->max / 8;
}

/* ---- from the call; data is the kept answer ---- */

static void begin(void *data)
{
	struct kept *k = data;
	char header[80];
	k->begun = true;
	g_snprintf(header, sizeof(header), "X-Weir-Stream: %s\r\n", k->id);
	if (k->conn)
		conn_stream_begin(k->conn, "text/event-stream; charset=utf-8", header);
}

static struct buf *frame(void *data, const char *event, uint64_t seq)
{
	struct kept *k = data;
	k->line.len = 0;
	if (event)
		buf_printf(&k->line, "event: %s\n", event);
	buf_append(&k->line, "data: ", 6);
	return &k->line;
}

static void frame_end(void *data)
{
	struct kept *k = data;
	uint64_t number = replay_push(k->replay, k->line.data, k->line.len);
	k->unseen += k->line.len;
	if (!k->conn)
		return;
	if (k->sent == number && conn_unsent(k->conn) < MAX_UNSENT) { /* kept or not */
		put_frame(k->conn, k, k->line.data, k->line.len);
		k->sent++;
	}
	plane_mark_dirty(k->plane, k->conn); /* settling sends what was missed: on_drained() */
}

/* The call has had its last word. May free. */
static void over(struct kept *k)
{
	k->call = NULL;
	if (k->conn)
		plane_mark_dirty(k->plane, k->conn);
	else
		leave(k);
}

static void whole(void *data, struct buf *body)
{
	over(data); /* in the background: it is in the store */
}

static void end(void *data)
{
	struct kept *k = data;
	if (k->call->format->done_mark) {
		k->line.len = 0;
		buf_puts(&k->line, "data: [DONE]");
		frame_end(k);
	}
	over(k);
}

static void error(void *data, const struct api_error *e)
{
	struct kept *k = data;
	if (k->begun) {
		api_call_error_frame(k->call, e);
		over(k);
		return;
	}
	k->failed = true;
	k->failure = *e;
	k->call = NULL;
	struct conn *c = g_steal_pointer(&k->conn);
	if (c) {
		conn_respond_errors(c, e, 1);
		kept_free(k);
	} else {
		leave(k);
	}
}

static void taken(void *data)
{
	struct kept *k = data;
	if (k->conn)
		plane_mark_dirty(k->plane, k->conn); /* settling grants the credit again */
	else if (may_go_on(k))
		api_call_drained(k->call);
}

static const struct api_transport transport = { .begin = begin,
						.frame = frame,
						.frame_end = frame_end,
						.whole = whole,
						.end = end,
						.error = error,
						.taken = taken };

/* ---- from the connection ---- */

static void on_gone(void *data)
{
	struct kept *k = data;
	k->conn = NULL;
	leave(k);
}

static void on_drained(void *data)
{
	struct kept *k = data;
	if (k->begun && (!k->call || k->sent < replay_next(k->replay)))
		pump(k);
	else if (k->call)
		api_call_drained(k->call);
}

static void on_ping(void *data)
{
	const struct kept *k = data;
	if (!k->call || !k->begun)
		return;
	const char *ping = k->call->format->ping;
	buf_puts(conn_stream(k->conn), ping ? ping : ": ping\n\n");
}

static const struct conn_waiter waiter = { .gone = on_gone,
					   .drained = on_drained,
					   .ping = on_ping };

/* ---- starting ---- */

static struct kept *kept_new(struct conn *c, struct api_body *body)
{
	struct plane *p = c->plane;
	struct kept *k = g_new0(struct kept, 1);
	k->plane = p;
	k->background = body->params.background;
	if (body->params.stream)
		k->replay = replay_new(&p->http->replays, MAX_EVENTS, MAX_BYTES);
	k->call = api_call_new(&p->api, body, c->request_id, &transport, k);
	g_strlcpy(k->id, k->call->id, sizeof(k->id));
	k->link.data = k;
	g_queue_push_tail_link(&p->kept, &k->link);
	pthread_mutex_lock(&p->http->kept.lock);
	g_hash_table_insert(p->http->kept.table, k->id, k);
	pthread_mutex_unlock(&p->http->kept.lock);
	return k;
}

/* The response as it is stored now: queued. The connection is answered, the call goes on. */
static void start_background(struct conn *c, struct kept *k, const struct weir_kv *fields, size_t n)
{
	struct response_store *store = k->plane->http->api.config.responses;
	struct buf object = { NULL, 0, 0 };
	char id[sizeof(k->id)];
	g_strlcpy(id, k->id, sizeof(id));
	k->conn = c; /* a refusal is its answer, and the end of k */
	api_response_put(k->call, &object);
	if (!api_call_open(k->call, fields, n)) {
		response_store_remove(store, id);
		buf_free(&object);
		return;
	}
	k->conn = NULL;
	conn_respond_json(c, 200, &object);
}

/* Complete ones that nobody came back for yet make room for new ones, the oldest first. */
static bool take_room(struct plane *p)
{
	struct replay_budget *b = &p->http->replays;
	GList *i = p->leaving.head;
	while (atomic_fetch_add(&b->used, OVERHEAD) + OVERHEAD > b->max) {
		atomic_fetch_sub(&b->used, OVERHEAD);
		while (i && ((struct kept *)i->data)->call)
			i = i->next;
		if (!i)
			return false;
		struct kept *k = i->data;
		i = i->next;
		kept_free(k);
	}
	return true;
}

bool kept_start(struct conn *c, struct api_body *body, const struct weir_kv *fields, size_t n)
{
	if (!take_room(c->plane))
		return false;
	bool stream = body->params.stream;
	struct kept *k = kept_new(c, body);
	if (!stream) {
		start_background(c, k, fields, n);
		return true;
	}
	k->conn = c;
	conn_wait(c, &waiter, k);
	if (api_call_open(k->call, fields, n)) {
		buf_free(&c->req->body);
		conn_charge(c, 0);
	}
	return true;
}

/* ---- coming back ---- */

/* One of this plane; those of others may be freed at any time. */
static struct kept *find_here(struct plane *p, const char *id)
{
	struct http *h = p->http;
	pthread_mutex_lock(&h->kept.lock);
	struct kept *k = g_hash_table_lookup(h->kept.table, id);
	if (k && (k->plane != p || k->forgotten))
		k = NULL;
	pthread_mutex_unlock(&h->kept.lock);
	return k;
}

struct plane *kept_plane(struct http *h, const char *id)
{
	pthread_mutex_lock(&h->kept.lock);
	const struct kept *k = g_hash_table_lookup(h->kept.table, id);
	struct plane *p = k ? k->plane : NULL;
	pthread_mutex_unlock(&h->kept.lock);
	return p;
}

bool kept_streams(struct plane *p, const char *id)
{
	const struct kept *k = find_here(p, id);
	return k && k->replay;
}

bool kept_resume(struct conn *c, const char *id, uint64_t from)
{
	struct kept *k = find_here(c->plane, id);
	if (!k || !k->replay)
		return false;
	if (from > replay_next(k->replay)) {
		conn_respond_error(c, 400, "invalid_value", "there is no such event yet");
		return true;
	}
	if (from < replay_first(k->replay)) {
		conn_respond_error(c, 410, "events_lost",
				   "the events after the one you had are not kept any more");
		return true;
	}
	struct conn *before = g_steal_pointer(&k->conn);
	if (before) { /* its client has lost it, or looks away: nothing more comes there */
		before->waiter = NULL;
		conn_close(before);
	}
	if (k->failed) {
		conn_respond_errors(c, &k->failure, 1);
		return true;
	}
	stay(k);
	k->conn = c;
	k->sent = from;
	conn_wait(c, &waiter, k);
	if (!k->begun)
		return true;
	begin(k);
	pump(k);
	return true;
}

bool kept_cancel(struct plane *p, const char *id)
{
	struct kept *k = find_here(p, id);
	if (!k)
		return false;
	if (!k->call)
		return true;
	if (api_call_is_response(k->call))
		api_response_cancelled(k->call);
	api_call_cancel(k->call);
	return true;
}

void kept_forget(struct plane *p, const char *id)
{
	struct kept *k = find_here(p, id);
	if (!k)
		return;
	if (k->background)
		kept_cancel(p, id);
	k->forgotten = true;
	if (!k->call && !k->conn) /* else whoever reads it has its end first */
		kept_free(k);
}

/* ---- time ---- */

bool kept_waits(const struct plane *p)
{
	return p->leaving.head;
}

void kept_tick(struct plane *p)
{
	GList *first;
	while ((first = p->leaving.head)) {
		struct kept *k = first->data;
		if (k->expires_ms > p->now_ms)
			return;
		kept_free(k);
	}
}

void kept_drain(struct plane *p)
{
	while (p->leaving.head)
		kept_free(p->leaving.head->data);
}

void kept_clear(struct plane *p)
{
	while (p->kept.head)
		kept_free(p->kept.head->data);
}
