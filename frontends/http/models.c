/*
 * frontends/http/models.c - GET /v1/models and /v1/models/{id} (001-11). A served name
 * that ends in a star is a pattern: it is not listed, but a name that it covers is found.
 */
#include <inttypes.h>
#include <string.h>

#include <weir/backend.h>

#include "handlers.h"
#include "models.h"
#include <api/json-write.h>

struct listing {
	struct buf out;
	const char *wanted; /* NULL: all */
	bool found;
};

void models_put_status(struct buf *b, const char *state)
{
	const char *value = !strcmp(state, "ready")     ? "loaded"
			    : !strcmp(state, "loading") ? "loading"
							: "unloaded";
	buf_printf(b, ",\"status\":{\"value\":\"%s\"%s}", value,
		   strcmp(state, "failed") ? "" : ",\"failed\":true");
}

/* As llama-server has it; what is not known is left out. */
static void put_meta(struct buf *b, const struct weir_model *m)
{
	buf_printf(b, ",\"meta\":{\"n_vocab\":%u,\"n_ctx\":%u,\"size\":%" PRIu64, m->n_vocab,
		   m->n_ctx, m->bytes_weights);
	if (m->n_ctx_train)
		buf_printf(b, ",\"n_ctx_train\":%u", m->n_ctx_train);
	if (m->n_embd)
		buf_printf(b, ",\"n_embd\":%u", m->n_embd);
	if (m->n_params)
		buf_printf(b, ",\"n_params\":%" PRIu64, m->n_params);
	buf_putc(b, '}');
}

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
		models_put_status(b, e->state);
	}
	if (WEIR_HAS(struct weir_model_entry, e, bytes))
		buf_printf(b, ",\"bytes\":%" PRIu64, e->bytes);
	if (WEIR_HAS(struct weir_model_entry, e, error)) {
		buf_puts(b, ",\"error\":");
		json_put_cstring(b, e->error);
	}
	if (WEIR_HAS(struct weir_model_entry, e, n_replicas))
		buf_printf(b, ",\"replicas\":%u,\"replicas_ready\":%u", e->n_replicas, e->n_ready);
	if (WEIR_HAS(struct weir_model_entry, e, n_seats) && e->model)
		put_meta(b, e->model);
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

/* The model that the path names, percent-decoded, without the last n bytes; NULL: none. */
static char *path_model(const struct conn *c, size_t n)
{
	const char *name = c->req->path + strlen("/v1/models/");
	size_t len = strlen(name);
	g_autofree char *part = len > n ? g_strndup(name, len - n) : NULL;
	char *id = part ? g_uri_unescape_string(part, NULL) : NULL;
	if (id && !g_utf8_validate(id, -1, NULL))
		g_clear_pointer(&id, g_free);
	return id;
}

void models_respond_not_found(struct conn *c)
{
	struct api_error e;
	struct weir_str none = { NULL, 0 };
	api_error_from_status(&e, c->plane->http->api.config.profile, WEIR_E_NOT_FOUND, none, none,
			      0);
	conn_respond_errors(c, &e, 1);
}

void handle_model(struct conn *c)
{
	const struct http *h = c->plane->http;
	bool change = strcmp(c->req->method, "POST") == 0;
	size_t n = !change                                   ? 0
		   : g_str_has_suffix(c->req->path, "/load") ? strlen("/load")
							     : strlen("/unload");
	g_autofree char *id = path_model(c, n);
	if (change && id) {
		models_change(c, id);
		return;
	}
	struct listing l = { .wanted = id };
	if (id && !change)
		h->api.gateway->models(h->api.host, each, &l);
	if (l.found)
		conn_respond_json(c, 200, &l.out);
	else
		models_respond_not_found(c);
}
