/*
 * frontends/http/models.c - GET /v1/models and /v1/models/{id} (001-11). A served name
 * that ends in a star is a pattern: it is not listed, but a name that it covers is found.
 */
#include <string.h>

#include "handlers.h"
#include <api/json-write.h>

struct listing {
	struct buf out;
	const char *wanted; /* NULL: all */
	bool found;
};

static void put_model(struct buf *b, const struct weir_model_entry *e, const char *id)
{
	buf_puts(b, "{\"id\":");
	json_put_cstring(b, id);
	buf_puts(b, ",\"object\":\"model\",\"created\":");
	json_put_int(b, e->created);
	buf_puts(b, ",\"owned_by\":\"weir\"");
	if (e->context)
		buf_printf(b, ",\"max_model_len\":%u", e->context);
	if (e->state) {
		buf_puts(b, ",\"state\":");
		json_put_cstring(b, e->state);
	}
	buf_putc(b, '}');
}

static void each(void *data, const struct weir_model_entry *e)
{
	struct listing *l = data;
	size_t n = strlen(e->id);
	bool pattern = n && e->id[n - 1] == '*';
	if (l->wanted) {
		bool same = pattern ? strncmp(l->wanted, e->id, n - 1) == 0
				    : strcmp(l->wanted, e->id) == 0;
		if (!same || l->found)
			return;
		l->found = true;
		put_model(&l->out, e, l->wanted);
	} else if (!pattern) {
		if (l->found)
			buf_putc(&l->out, ',');
		l->found = true;
		put_model(&l->out, e, e->id);
	}
}

void handle_models(struct conn *c)
{
	const struct http *h = c->plane->http;
	struct listing l = { .wanted = NULL };
	buf_puts(&l.out, "{\"object\":\"list\",\"data\":[");
	h->api.gateway->models(h->api.host, each, &l);
	buf_puts(&l.out, "]}");
	conn_respond_json(c, 200, &l.out);
}

/* The model that the path names, percent-decoded, without the last n bytes. */
static struct listing find(struct conn *c, size_t n)
{
	const struct http *h = c->plane->http;
	const char *name = c->req->path + strlen("/v1/models/");
	size_t len = strlen(name);
	if (len <= n) /* /v1/models/load names no model */
		return (struct listing){ .wanted = NULL };
	g_autofree char *part = g_strndup(name, len - n);
	g_autofree char *id = g_uri_unescape_string(part, NULL);
	struct listing l = { .wanted = id };
	if (id && g_utf8_validate(id, -1, NULL))
		h->api.gateway->models(h->api.host, each, &l);
	l.wanted = NULL;
	return l;
}

static void respond_not_found(struct conn *c)
{
	struct api_error e;
	struct weir_str none = { NULL, 0 };
	api_error_from_status(&e, c->plane->http->api.config.profile, WEIR_E_NOT_FOUND, none, none,
			      0);
	conn_respond_errors(c, &e, 1);
}

static void handle_change(struct conn *c)
{
	const char *path = c->req->path;
	size_t n = g_str_has_suffix(path, "/load") ? strlen("/load") : strlen("/unload");
	struct listing l = find(c, n);
	if (l.found)
		conn_respond_error(c, 501, "not_supported",
				   "models are loaded when the server starts: change the profile "
				   "and restart");
	else
		respond_not_found(c);
	buf_free(&l.out);
}

void handle_model(struct conn *c)
{
	if (strcmp(c->req->method, "POST") == 0) {
		handle_change(c);
		return;
	}
	struct listing l = find(c, 0);
	if (l.found)
		conn_respond_json(c, 200, &l.out);
	else
		respond_not_found(c);
}
