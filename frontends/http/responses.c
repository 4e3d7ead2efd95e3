/*
 * frontends/http/responses.c - stored responses: GET and DELETE /v1/responses/{id}, POST
 * .../cancel, GET .../input_items. The store is api/response-store.h; one in progress is a kept
 * answer (kept.h).
 */
#include <string.h>

#include <api/body-private.h>
#include <api/json-write.h>
#include <api/response-store.h>
#include <json-glib/json-glib.h>

#include "handlers.h"
#include "kept.h"
#include "resume.h"
#include "routes.h"

#define DEFAULT_LIMIT 20
#define MAX_LIMIT     100

static struct response_store *store_of(const struct conn *c)
{
	return c->plane->http->api.config.responses;
}

static void not_found(struct conn *c, const char *id)
{
	struct api_error e;
	char text[160];
	g_autofree char *safe = g_utf8_make_valid(id, -1);
	g_snprintf(text, sizeof(text), "Response with id '%.64s' not found.", safe);
	api_error_set(&e, 404, NULL, text);
	g_strlcpy(e.param, "id", sizeof(e.param));
	conn_respond_errors(c, &e, 1);
}

static void respond_text(struct conn *c, const char *json)
{
	conn_respond(c, 200, "application/json", json, strlen(json), NULL);
}

/* ---- get, as it is or as a stream ---- */

static void get_stream(struct conn *c, const char *id, uint64_t from)
{
	struct stored_response r = { 0 };
	if (resume_elsewhere(c, id))
		return;
	if (kept_streams(c->plane, id))
		resume_answer(c, id, from);
	else if (!response_store_get(store_of(c), id, &r))
		not_found(c, id);
	else if (r.done)
		conn_respond_error(c, 410, "events_lost",
				   "the events of this response are not kept any more: get it "
				   "without stream");
	else
		conn_respond_error(c, 400, "invalid_value",
				   "only a response that was created with stream and background "
				   "can be streamed again");
	stored_response_clear(&r);
}

static void get(struct conn *c, const char *id)
{
	struct stored_response r = { 0 };
	g_autofree char *stream = resume_query(c->req, "stream");
	g_autofree char *after = resume_query(c->req, "starting_after");
	uint64_t from;
	if (!resume_number(after, &from)) {
		conn_respond_error(c, 400, "invalid_value",
				   "starting_after must be a sequence_number");
		return;
	}
	if (stream && strcmp(stream, "false") != 0) {
		if (strcmp(stream, "true") == 0)
			get_stream(c, id, from);
		else
			conn_respond_error(c, 400, "invalid_value", "stream must be true or false");
		return;
	}
	if (response_store_get(store_of(c), id, &r))
		respond_text(c, r.object);
	else
		not_found(c, id);
	stored_response_clear(&r);
}

/* ---- cancel, delete ---- */

static void cancel(struct conn *c, const char *id)
{
	struct stored_response r = { 0 };
	if (resume_elsewhere(c, id))
		return;
	if (!response_store_get(store_of(c), id, &r)) {
		not_found(c, id);
		return;
	}
	if (!r.background) {
		conn_respond_error(c, 400, NULL,
				   "only a response that was created with background can be "
				   "cancelled");
	} else if (!r.done && kept_cancel(c->plane, id)) {
		stored_response_clear(&r);
		if (response_store_get(store_of(c), id, &r))
			respond_text(c, r.object);
		else
			not_found(c, id);
	} else {
		respond_text(c, r.object);
	}
	stored_response_clear(&r);
}

static void delete (struct conn *c, const char *id)
{
	struct stored_response r = { 0 };
	if (resume_elsewhere(c, id))
		return;
	if (!response_store_get(store_of(c), id, &r)) {
		not_found(c, id);
		return;
	}
	stored_response_clear(&r);
	kept_forget(c->plane, id);
	response_store_remove(store_of(c), id);
	struct buf b = { NULL, 0, 0 };
	buf_puts(&b, "{\"id\":");
	json_put_cstring(&b, id);
	buf_puts(&b, ",\"object\":\"response\",\"deleted\":true}");
	conn_respond_json(c, 200, &b);
}

/* ---- input_items ---- */

static const char *item_id(JsonArray *items, guint i)
{
	return json_object_get_string_member_with_default(json_array_get_object_element(items, i),
							  "id", "");
}

/* The page that starts behind `after`; order: true for the oldest first. */
static void put_page(struct buf *b, JsonArray *items, bool ascending, const char *after,
		     guint64 limit)
{
	guint n = json_array_get_length(items), put = 0, first = 0, last = 0;
	bool skipping = after != NULL, more = false;
	buf_puts(b, "{\"object\":\"list\",\"data\":[");
	for (guint k = 0; k < n; k++) {
		guint i = ascending ? k : n - 1 - k;
		if (skipping) {
			skipping = strcmp(item_id(items, i), after) != 0;
			continue;
		}
		more = put == limit;
		if (more)
			break;
		g_autofree char *text = body_json(json_array_get_element(items, i));
		buf_puts(b, put ? "," : "");
		buf_puts(b, text);
		first = put ? first : i;
		last = i;
		put++;
	}
	buf_puts(b, "],\"first_id\":");
	json_put_cstring(b, put ? item_id(items, first) : NULL);
	buf_puts(b, ",\"last_id\":");
	json_put_cstring(b, put ? item_id(items, last) : NULL);
	buf_printf(b, ",\"has_more\":%s}", more ? "true" : "false");
}

static void input_items(struct conn *c, const char *id)
{
	struct stored_response r = { 0 };
	g_autofree char *limit = resume_query(c->req, "limit");
	g_autofree char *order = resume_query(c->req, "order");
	g_autofree char *after = resume_query(c->req, "after");
	guint64 n = DEFAULT_LIMIT;
	if (limit && !g_ascii_string_to_unsigned(limit, 10, 1, MAX_LIMIT, &n, NULL)) {
		conn_respond_error(c, 400, "invalid_value", "limit must be between 1 and 100");
		return;
	}
	if (order && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0) {
		conn_respond_error(c, 400, "invalid_value", "order must be asc or desc");
		return;
	}
	if (!response_store_get(store_of(c), id, &r)) {
		not_found(c, id);
		return;
	}
	g_autoptr(JsonNode) node = json_from_string(r.items, NULL);
	struct buf b = { NULL, 0, 0 };
	put_page(&b, json_node_get_array(node), order && strcmp(order, "asc") == 0, after, n);
	conn_respond_json(c, 200, &b);
	stored_response_clear(&r);
}

static const struct {
	const char *suffix, *method;
	void (*run)(struct conn *, const char *id);
} actions[] = {
	{ "/cancel", "POST", cancel },
	{ "/input_items", "GET", input_items },
	{ "", "GET", get },
	{ "", "DELETE", delete },
};

void handle_response(struct conn *c)
{
	const char *name = c->req->path + strlen(c->route->path);
	const char *method = strcmp(c->req->method, "HEAD") == 0 ? "GET" : c->req->method;
	const char *slash = strchr(name, '/');
	g_autofree char *id = slash ? g_strndup(name, (gsize)(slash - name)) : g_strdup(name);
	if (!store_of(c)) {
		not_found(c, id);
		return;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
		if (strcmp(slash ? slash : "", actions[i].suffix) != 0)
			continue;
		if (strcmp(method, actions[i].method) == 0) {
			actions[i].run(c, id);
			return;
		}
	}
	conn_respond_error(c, 404, NULL, "endpoint not found");
}
