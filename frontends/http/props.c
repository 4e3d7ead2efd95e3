/*
 * frontends/http/props.c - GET /props: defaults and limits of this server, and what its model is;
 * llama-server's names where the meaning is the same. [loop]
 *
 * ?model= names the model; else it is the first. The path of its file is for who administers:
 * others get its last part.
 */
#include "props.h"

#include <string.h>

#include <api/json-write.h>
#include <api/params.h>

#include "handlers.h"
#include "resume.h"
#include "routes.h"

struct found {
	struct buf *out;
	const char *wanted; /* NULL: the first */
	struct buf models;
	char *first;
	uint32_t context, n_seats;
	bool full, found, sleeping, speculative;
};

void props_put_number(struct buf *b, const char *name, double v)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	json_put_key(b, name);
	buf_puts(b, g_ascii_formatd(text, sizeof(text), "%.6g", v));
}

void props_put_sampling(struct buf *b, const struct weir_sampling *s)
{
	const struct {
		const char *name;
		double value;
	} numbers[] = {
		{ "temperature", (double)s->temperature },
		{ "top_k", s->top_k },
		{ "top_p", (double)s->top_p },
		{ "min_p", (double)s->min_p },
		{ "typical_p", (double)s->typical_p },
		{ "repeat_last_n", s->repeat_last_n },
		{ "repeat_penalty", (double)s->repetition_penalty },
		{ "repetition_penalty", (double)s->repetition_penalty },
		{ "presence_penalty", (double)s->presence_penalty },
		{ "frequency_penalty", (double)s->frequency_penalty },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		if (i)
			buf_putc(b, ',');
		props_put_number(b, numbers[i].name, numbers[i].value);
	}
}

void props_put_text(struct buf *b, const char *text)
{
	g_autofree char *valid = text ? g_utf8_make_valid(text, -1) : NULL;
	json_put_cstring(b, valid);
}

static void put_model(struct buf *b, const struct weir_model *m, bool full)
{
	g_autofree char *name = m && m->path ? g_path_get_basename(m->path) : NULL;
	buf_puts(b, ",\"model_path\":");
	props_put_text(b, full && m ? m->path : name);
	buf_puts(b, ",\"chat_template\":");
	props_put_text(b, m && m->chat_template ? m->chat_template : "");
	buf_puts(b, ",\"bos_token\":");
	props_put_text(b, m && m->bos ? m->bos : "");
	buf_puts(b, ",\"eos_token\":");
	props_put_text(b, m && m->eos ? m->eos : "");
}

static void add_model(void *data, const struct weir_model_entry *e)
{
	struct found *f = data;
	bool more = WEIR_HAS(struct weir_model_entry, e, n_seats);
	size_t n = strlen(e->id);
	bool pattern = n && e->id[n - 1] == '*';
	bool same = !f->wanted ? !pattern
		    : pattern  ? strncmp(f->wanted, e->id, n - 1) == 0
			       : strcmp(f->wanted, e->id) == 0;
	if (same && !f->found) {
		f->found = true;
		f->first = g_strdup(f->wanted ? f->wanted : e->id);
		f->context = e->context;
		f->n_seats = more ? e->n_seats : 0;
		f->sleeping = e->state && strcmp(e->state, "unloaded") == 0;
		f->speculative = more && e->model && e->model->max_guesses > 0;
		put_model(f->out, more ? e->model : NULL, f->full);
	}
	if (pattern)
		return;
	if (f->models.len)
		buf_putc(&f->models, ',');
	json_put_cstring(&f->models, e->id);
}

static void put_settings(struct buf *b, const struct found *f)
{
	struct api_params d;
	params_init(&d, PARAM_KIND_CHAT);
	buf_printf(b,
		   ",\"default_generation_settings\":{\"id\":0,\"id_task\":-1,\"n_ctx\":%u,"
		   "\"speculative\":%s,\"is_processing\":false,\"params\":{\"n_predict\":-1,"
		   "\"max_tokens\":-1,\"seed\":4294967295,",
		   f->context, f->speculative ? "true" : "false");
	props_put_sampling(b, &d.sampling);
	buf_puts(b, ",\"stop\":[],\"ignore_eos\":false,\"stream\":false,\"n_probs\":0},\"prompt\":"
		    "\"\",\"next_token\":[{\"has_next_token\":false,\"has_new_line\":false,"
		    "\"n_remain\":-1,\"n_decoded\":0}]}");
}

static void put_server(struct buf *b, const struct http *h)
{
	const struct api_config *conf = &h->api.config;
	bool first = true;
	buf_printf(b,
		   ",\"api_profile\":\"%s\",\"limits\":{\"max_tokens\":%u,\"max_body\":%zu,"
		   "\"request_timeout_ms\":%u},\"endpoints\":[",
		   conf->profile == API_PROFILE_FASTAPI ? "fastapi" : "openai", conf->max_tokens,
		   h->config.frame.max_body, conf->request_timeout_ms);
	for (const struct route *r = routes_table(); r->path; r++) {
		if (!routes_enabled(h, r))
			continue;
		if (!first)
			buf_putc(b, ',');
		first = false;
		json_put_cstring(b, r->path);
	}
	buf_putc(b, ']');
}

void handle_props(struct conn *c)
{
	const struct http *h = c->plane->http;
	g_autofree char *wanted = resume_query(c->req, "model");
	struct buf b = { NULL, 0, 0 };
	struct found f = { .out = &b,
			   .wanted = wanted && *wanted ? wanted : NULL,
			   .full = handle_is_admin(c) };
	buf_puts(&b, "{\"build_info\":\"weir-" WEIR_VERSION "\"");
	h->api.gateway->models(h->api.host, add_model, &f);
	if (f.wanted && !f.found) {
		buf_free(&b);
		models_respond_not_found(c);
	} else {
		if (!f.found)
			put_model(&b, NULL, false);
		buf_puts(&b, ",\"model_alias\":");
		json_put_cstring(&b, f.first);
		buf_printf(
			&b,
			",\"total_slots\":%u,\"is_sleeping\":%s,\"modalities\":{\"vision\":false,"
			"\"audio\":false}",
			f.n_seats, f.sleeping ? "true" : "false");
		put_settings(&b, &f);
		buf_puts(&b, ",\"models\":[");
		buf_append(&b, f.models.data, f.models.len);
		buf_putc(&b, ']');
		put_server(&b, h);
		buf_putc(&b, '}');
		conn_respond_json(c, 200, &b);
	}
	buf_free(&f.models);
	g_free(f.first);
}
