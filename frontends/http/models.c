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

void handle_model(struct conn *c)
{
	const struct http *h = c->plane->http;
	g_autofree char *id = g_uri_unescape_string(c->req->path + strlen("/v1/models/"), NULL);
	struct listing l = { .wanted = id };
	if (id && g_utf8_validate(id, -1, NULL))
		h->api.gateway->models(h->api.host, each, &l);
	if (l.found) {
		conn_respond_json(c, 200, &l.out);
		return;
	}
	struct api_error e;
	struct weir_str none = { NULL, 0 };
	api_error_from_status(&e, h->api.config.profile, WEIR_E_NOT_FOUND, none, none, 0);
	conn_respond_errors(c, &e, 1);
}
