/*
 * frontends/http/slots.c - GET /slots: which sequences a backend runs, with llama-server's names.
 * [loop]
 *
 * ?model= names the model, else it is the first backend's; ?fail_on_no_slot=1 answers 503 when all
 * are busy, for load balancers. A request's id and prompt are told to who administers only: with an
 * id one may ask for the answer.
 */
#include <string.h>

#include <api/json-write.h>

#include "handlers.h"
#include "props.h"
#include "resume.h"

#define MAX_LISTED 1024
#define MAX_PROMPT 16384 /* bytes of one that are shown */

struct listing {
	const struct weir_request_api *requests;
	struct buf out;
	uint32_t n, n_idle;
	bool full, speculative;
	int64_t now_ns;
};

static void put_field(struct listing *l, const char *name, struct weir_str text)
{
	size_t n = MIN(text.len, MAX_PROMPT);
	while (n < text.len && n > 0 && ((unsigned char)text.data[n] & 0xc0) == 0x80)
		n--;
	buf_putc(&l->out, ',');
	json_put_key(&l->out, name);
	json_put_string(&l->out, text.data ? text.data : "", n);
}

static void put_prompt(struct listing *l, const weir_request *request)
{
	static const char *const fields[] = { "messages", "prompt", "tokens", "inputs", "query" };
	const struct weir_request_api *api = l->requests;
	put_field(l, "request_id", api->field(request, "id"));
	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		struct weir_str text = api->field(request, fields[i]);
		if (!text.data)
			continue;
		put_field(l, "prompt", text);
		return;
	}
}

static void put_request(struct listing *l, const struct weir_seat *s)
{
	const struct weir_request_api *api = l->requests;
	const struct weir_limits *limits = api->limits(s->request);
	const struct weir_sampling *sampling = api->sampling(s->request);
	struct weir_str kind = api->field(s->request, "kind");
	struct weir_str model = api->field(s->request, "model");
	int64_t most = limits->max_tokens ? (int64_t)limits->max_tokens * MAX(limits->n, 1u) : -1;
	put_field(l, "kind", kind);
	put_field(l, "model", model);
	buf_printf(&l->out, ",\"choice\":%u,\"n_prompt_tokens\":%u,", s->choice, s->n_prompt);
	props_put_number(&l->out, "seconds", (double)(l->now_ns - s->opened_ns) / 1e9);
	buf_printf(&l->out, ",\"params\":{\"n_predict\":%" G_GINT64_FORMAT ",",
		   limits->max_tokens ? (int64_t)limits->max_tokens : -1);
	props_put_sampling(&l->out, sampling);
	buf_printf(&l->out,
		   ",\"n\":%u,\"priority\":%d,\"ignore_eos\":%s},\"next_token\":[{"
		   "\"has_next_token\":true,\"n_remain\":%" G_GINT64_FORMAT ",\"n_decoded\":%u}]",
		   limits->n, limits->priority, limits->ignore_end ? "true" : "false",
		   most < 0 ? -1 : MAX(most - s->n_output, 0), s->n_output);
	if (l->full)
		put_prompt(l, s->request);
}

static void each(void *data, const struct weir_seat *s)
{
	struct listing *l = data;
	l->n_idle += !s->request;
	if (l->n++ >= MAX_LISTED)
		return;
	if (l->n > 1)
		buf_putc(&l->out, ',');
	buf_printf(&l->out, "{\"id\":%u,\"id_task\":%" G_GINT64_FORMAT ",\"n_ctx\":%u,", s->id,
		   s->request ? (gint64)s->task : -1, s->context);
	buf_printf(&l->out, "\"speculative\":%s,\"is_processing\":%s,\"backend\":",
		   l->speculative ? "true" : "false", s->request ? "true" : "false");
	json_put_cstring(&l->out, s->backend);
	if (s->request)
		put_request(l, s);
	else
		buf_puts(&l->out, ",\"next_token\":[{\"has_next_token\":false,\"n_remain\":-1,"
				  "\"n_decoded\":0}]");
	buf_putc(&l->out, '}');
}

struct guesses {
	const char *model;
	bool found, any, counted; /* counted: there are only so many seats */
};

static void each_model(void *data, const struct weir_model_entry *e)
{
	struct guesses *g = data;
	bool more = WEIR_HAS(struct weir_model_entry, e, n_seats);
	bool same = !g->model || strcmp(g->model, e->id) == 0;
	if (g->found || !same)
		return;
	g->found = true;
	g->any = more && e->model && e->model->max_guesses > 0;
	g->counted = more && (e->n_seats || !e->state || strcmp(e->state, "ready") != 0);
}

void handle_slots(struct conn *c)
{
	const struct http *h = c->plane->http;
	const struct weir_gateway *gateway = h->api.gateway;
	g_autofree char *model = resume_query(c->req, "model");
	g_autofree char *fail = resume_query(c->req, "fail_on_no_slot");
	struct guesses g = { .model = model && *model ? model : NULL };
	struct listing l = { .requests = h->api.host->get_ext(h->api.host, WEIR_HOST_REQUEST),
			     .full = handle_is_admin(c),
			     .now_ns = g_get_monotonic_time() * 1000 };
	bool found = false;
	if (fail && strcmp(fail, "0") != 0 && strcmp(fail, "1") != 0) {
		conn_respond_error(c, 400, "invalid_value", "fail_on_no_slot must be 0 or 1");
		return;
	}
	if (!WEIR_HAS(struct weir_gateway, gateway, seats) || !l.requests) {
		conn_respond_error(c, 501, "not_supported", "this host does not tell");
		return;
	}
	gateway->models(h->api.host, each_model, &g);
	l.speculative = g.any;
	buf_putc(&l.out, '[');
	gateway->seats(h->api.host, model ? model : "", each, &l, &found);
	buf_putc(&l.out, ']');
	if (found && (!fail || strcmp(fail, "0") == 0 || l.n_idle > 0 || !g.counted)) {
		conn_respond_json(c, 200, &l.out);
		return;
	}
	buf_free(&l.out);
	if (found)
		conn_respond_error(c, 503, "unavailable", "no slot is free");
	else
		models_respond_not_found(c);
}
