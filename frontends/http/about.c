/*
 * frontends/http/about.c - what the server tells about itself: /version, /props, /openapi.json; and
 * why it does not load models on request. [loop]
 */
#include <string.h>

#include <api/json-write.h>
#include <api/params.h>

#include "handlers.h"
#include "routes.h"

void handle_version(struct conn *c)
{
	static const char body[] = "{\"version\":\"" WEIR_VERSION "\"}";
	conn_respond(c, 200, "application/json", body, sizeof(body) - 1, NULL);
}

void handle_openapi(struct conn *c)
{
	const char *text = c->plane->http->openapi;
	conn_respond(c, 200, "application/json", text, strlen(text), "Cache-Control: no-cache\r\n");
}

struct props {
	struct buf models;
	char *first;
	uint32_t context;
};

static void add_model(void *data, const struct weir_model_entry *e)
{
	struct props *p = data;
	size_t n = strlen(e->id);
	if (n && e->id[n - 1] == '*')
		return;
	if (!p->first) {
		p->first = g_strdup(e->id);
		p->context = e->context;
	}
	if (p->models.len)
		buf_putc(&p->models, ',');
	json_put_cstring(&p->models, e->id);
}

static void put_number(struct buf *b, const char *name, double v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	json_put_key(b, name);
	buf_puts(b, g_ascii_formatd(text, sizeof(text), "%.6g", v));
}

/* llama-server's names where the meaning is the same. */
void handle_props(struct conn *c)
{
	const struct http *h = c->plane->http;
	const struct api_config *conf = &h->api.config;
	struct props p = { .first = NULL };
	struct api_params d;
	struct buf b = { NULL, 0, 0 };
	params_init(&d, PARAM_KIND_CHAT);
	h->api.gateway->models(h->api.host, add_model, &p);
	buf_puts(&b, "{\"build_info\":\"weir-" WEIR_VERSION "\",\"model_alias\":");
	json_put_cstring(&b, p.first);
	buf_printf(&b, ",\"default_generation_settings\":{\"n_ctx\":%u,\"params\":{", p.context);
	put_number(&b, "temperature", (double)d.sampling.temperature);
	buf_putc(&b, ',');
	put_number(&b, "top_p", (double)d.sampling.top_p);
	buf_putc(&b, ',');
	put_number(&b, "top_k", d.sampling.top_k);
	buf_putc(&b, ',');
	put_number(&b, "min_p", (double)d.sampling.min_p);
	buf_putc(&b, ',');
	put_number(&b, "repetition_penalty", (double)d.sampling.repetition_penalty);
	buf_puts(&b, "}},\"models\":[");
	buf_append(&b, p.models.data, p.models.len);
	buf_printf(&b,
		   "],\"api_profile\":\"%s\",\"limits\":{\"max_tokens\":%u,\"max_body\":%zu,"
		   "\"request_timeout_ms\":%u},\"endpoints\":[",
		   conf->profile == API_PROFILE_FASTAPI ? "fastapi" : "openai", conf->max_tokens,
		   h->config.frame.max_body, conf->request_timeout_ms);
	for (const struct route *r = routes_table(); r->path; r++) {
		if (!routes_enabled(h, r))
			continue;
		if (r != routes_table())
			buf_putc(&b, ',');
		json_put_cstring(&b, r->path);
	}
	buf_puts(&b, "]}");
	buf_free(&p.models);
	g_free(p.first);
	conn_respond_json(c, 200, &b);
}
