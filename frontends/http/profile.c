/*
 * frontends/http/profile.c - /v1/profile and what is below it: recordings of what took how long
 * (001-19, docs/profiling.md). With option admin, from this machine only. [loop]
 *
 * A recording is read in pieces, each when the one before it has been sent: however long it is, a
 * connection holds some KiB of it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <api/json-tree.h>
#include <json-glib/json-glib.h>

#include "handlers.h"
#include "routes.h"

#define SECONDS  60
#define EVENTS   65536
#define SEND_MAX (128u << 10)

static const struct weir_trace_api *trace_of(const struct conn *c)
{
	const struct weir_host *host = c->plane->http->api.host;
	const struct weir_trace_api *trace = host->get_ext(host, WEIR_HOST_TRACE);
	return trace && WEIR_HAS(struct weir_trace_api, trace, close) ? trace : NULL;
}

static void answer_state(struct conn *c, const struct weir_trace_api *trace)
{
	char *text = trace->state(c->plane->http->api.host);
	if (text)
		conn_respond(c, 200, "application/json", text, strlen(text),
			     "Cache-Control: no-store\r\n");
	else
		conn_respond_error(c, 503, "unavailable", "no memory");
	free(text);
}

/* ---- start, stop ---- */

static void read_count(JsonObject *o, const char *name, double min, double max, uint32_t *ret,
		       struct api_error_list *errors)
{
	JsonNode *node = json_object_get_member(o, name);
	if (!node || JSON_NODE_HOLDS_NULL(node))
		return;
	GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_NONE;
	bool number = type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
	double v = number ? json_node_get_double(node) : 0;
	if (!number || !isfinite(v) || v != floor(v)) /* 30.0 is one */
		api_error_field(errors, NULL, name, "%s must be an integer", name);
	else if (v < min || v > max)
		api_error_field(errors, NULL, name, "%s must be between %.0f and %.0f", name, min,
				max);
	else
		*ret = (uint32_t)v;
}

static bool read_start(struct conn *c, uint32_t *seconds, uint32_t *events)
{
	const struct buf *body = &c->req->body;
	struct json_fault fault;
	struct api_error_list errors = { .profile = c->plane->http->api.config.profile };
	g_autoptr(JsonNode) root = NULL;
	if (body->len == 0)
		return true;
	root = json_tree_parse(body->data, body->len, true, &fault);
	if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
		conn_respond_error(c, 400, "invalid_json", "the body must be a JSON object");
		return false;
	}
	read_count(json_node_get_object(root), "seconds", 1, 3600, seconds, &errors);
	read_count(json_node_get_object(root), "events", 16, 262144, events, &errors);
	if (errors.n)
		conn_respond_errors(c, errors.items, errors.n);
	return errors.n == 0;
}

static void start(struct conn *c, const struct weir_trace_api *trace)
{
	uint32_t seconds = SECONDS, events = EVENTS;
	struct weir_error err = { .code = WEIR_OK };
	if (!read_start(c, &seconds, &events))
		return;
	weir_status status = trace->start(c->plane->http->api.host, seconds, events, &err);
	if (status >= 0)
		answer_state(c, trace);
	else if (status == WEIR_E_QUEUE_FULL)
		conn_respond_error(c, 409, "profile_under_way", err.text);
	else
		conn_respond_error(c, status == WEIR_E_EXHAUSTED ? 507 : 400, NULL, err.text);
}

/* ---- reading ---- */

struct reading {
	struct conn *conn;
	const struct weir_trace_api *trace;
	weir_trace_reader *reader;
};

static void on_gone(void *data)
{
	struct reading *r = data;
	r->trace->close(r->reader);
	g_free(r);
}

static void on_drained(void *data)
{
	struct reading *r = data;
	struct conn *c = r->conn;
	for (size_t n = 0; n < SEND_MAX;) {
		char *text = r->trace->next(r->reader);
		if (!text) {
			on_gone(r);
			conn_end(c);
			return;
		}
		buf_puts(conn_stream(c), text);
		n += strlen(text);
		free(text);
	}
}

static const struct conn_waiter waiter = { .gone = on_gone, .drained = on_drained };

static void send_trace(struct conn *c, const struct weir_trace_api *trace)
{
	static const char head[] =
		"Content-Disposition: attachment; filename=\"weir-trace.json\"\r\n";
	weir_trace_reader *reader = trace->open(c->plane->http->api.host);
	if (!reader) {
		conn_respond_error(c, 404, "no_profile",
				   "nothing was recorded: POST /v1/profile/start first");
		return;
	}
	if (strcmp(c->req->method, "HEAD") == 0) {
		trace->close(reader);
		conn_respond(c, 200, "application/json", NULL, 0, head);
		return;
	}
	struct reading *r = g_new(struct reading, 1);
	*r = (struct reading){ c, trace, reader };
	conn_stream_begin(c, "application/json", head);
	conn_wait(c, &waiter, r);
	on_drained(r);
}

void handle_profile(struct conn *c)
{
	const struct weir_trace_api *trace = trace_of(c);
	const char *what = c->route->handler + strlen("profile");
	if (!handle_from_here(c))
		return;
	if (!trace) {
		conn_respond_error(c, 501, "not_supported", "this host records nothing");
	} else if (strcmp(what, "_start") == 0) {
		start(c, trace);
	} else if (strcmp(what, "_trace") == 0) {
		send_trace(c, trace);
	} else {
		if (strcmp(what, "_stop") == 0)
			trace->stop(c->plane->http->api.host);
		answer_state(c, trace);
	}
}
