/*
 * frontends/http/resume.c - GET and DELETE /v1/stream/{id}; see resume.h. Which event the client
 * had last is said by Last-Event-ID (WHATWG HTML 9.2), or in the query where a header cannot be
 * set.
 */
#include "resume.h"

#include <string.h>

#include <api/format.h>
#include <api/json-write.h>

#include "handlers.h"
#include "kept.h"
#include "routes.h"

#define DIGITS                                                                                     \
	24 /* hexadecimal ones at the end of an id, at least: an answer's that is kept has 32 */
#define MAX_ID 48

char *resume_query(const struct http_request *r, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = r->query; at && *at; at++) {
		size_t len = strcspn(at, "&");
		if (len > n && strncmp(at, name, n) == 0 && at[n] == '=')
			return g_uri_unescape_segment(at + n + 1, at + len, NULL);
		at += len;
		if (!*at)
			break;
	}
	return NULL;
}

bool resume_number(const char *text, uint64_t *ret_from)
{
	guint64 n;
	*ret_from = 0;
	if (!text)
		return true;
	if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &n, NULL))
		return false;
	*ret_from = n + 1;
	return true;
}

/* "<id>:<number>". */
static bool event_id(const char *text, char id[MAX_ID], uint64_t *ret_from)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	size_t n = colon ? (size_t)(colon - text) : 0;
	if (n < DIGITS || n >= MAX_ID || !colon[1] || !resume_number(colon + 1, ret_from))
		return false;
	for (size_t i = n - DIGITS; i < n; i++)
		if (!g_ascii_isxdigit(text[i]))
			return false;
	memcpy(id, text, n);
	id[n] = 0;
	return true;
}

bool resume_elsewhere(struct conn *c, const char *id)
{
	struct plane *p = kept_plane(c->plane->http, id);
	if (!p || p == c->plane)
		return false;
	conn_move(c, p);
	return true;
}

void resume_answer(struct conn *c, const char *id, uint64_t from)
{
	if (strcmp(c->req->method, "HEAD") == 0 && kept_streams(c->plane, id))
		conn_respond(c, 200, "text/event-stream; charset=utf-8", NULL, 0, NULL);
	else if (!kept_resume(c, id, from))
		conn_respond_error(
			c, 404, "stream_not_found",
			"there is no such stream, or it is not kept any more, or was not "
			"to be kept (X-Weir-Resume: true): send the request again without "
			"Last-Event-ID");
}

bool resume_again(struct conn *c, const struct api_endpoint *endpoint)
{
	char id[MAX_ID];
	uint64_t from;
	if (!endpoint->format->event ||
	    !event_id(http_request_header(c->req, "last-event-id"), id, &from))
		return false;
	if (resume_elsewhere(c, id))
		return true;
	buf_free(&c->req->body);
	conn_charge(c, 0);
	resume_answer(c, id, from);
	return true;
}

/* Where to go on. False: what the client says cannot be. */
static bool read_from(const struct http_request *r, const char *id, uint64_t *ret_from)
{
	char named[MAX_ID];
	const char *header = http_request_header(r, "last-event-id");
	g_autofree char *query = resume_query(r, "last_event_id");
	g_autofree char *after = resume_query(r, "starting_after");
	const char *last = header && header[0] ? header : query && query[0] ? query : NULL;
	if (last && strchr(last, ':'))
		return event_id(last, named, ret_from) && strcmp(named, id) == 0;
	return resume_number(last ? last : after, ret_from);
}

void handle_stream(struct conn *c)
{
	g_autofree char *id = g_strdup(c->req->path + strlen(c->route->path));
	uint64_t from = 0;
	if (resume_elsewhere(c, id))
		return;
	if (strcmp(c->req->method, "DELETE") != 0) {
		if (!kept_streams(c->plane, id) || read_from(c->req, id, &from))
			resume_answer(c, id, from);
		else
			conn_respond_error(c, 400, "invalid_value",
					   "Last-Event-ID, last_event_id or starting_after is no "
					   "event of this stream");
	} else if (kept_cancel(c->plane, id)) {
		struct buf b = { NULL, 0, 0 };
		buf_puts(&b, "{\"id\":");
		json_put_cstring(&b, id);
		buf_puts(&b, ",\"object\":\"stream\",\"cancelled\":true}");
		conn_respond_json(c, 200, &b);
	} else {
		conn_respond_error(c, 404, "stream_not_found", "there is no such stream");
	}
}
