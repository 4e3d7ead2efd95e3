/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/call.c - see call.h.
 */
#include "call.h"

#include <string.h>
#include <time.h>

#define MAX_WINDOW   256u
#define MIN_WINDOW   4u
#define BACKLOG      (512u << 10) /* what the windows of one peer may fill */
#define MAX_GATHERED (8u << 20)

static void on_event(void *data, weir_stream *, const struct weir_event *);
static void on_end(void *data, weir_stream *, const struct weir_end *);

static const struct weir_sink sink = { .size = sizeof(sink), .event = on_event, .end = on_end };

static void free_string(GString *s)
{
	if (s)
		g_string_free(s, TRUE);
}

static void call_free(struct call *k)
{
	for (uint32_t i = 0; i < k->n_choices; i++) {
		free_string(k->choices[i].text);
		free_string(k->choices[i].reasoning);
		free_string(k->choices[i].tools);
	}
	free_string(k->json);
	for (uint32_t i = 0; i < k->n_vectors; i++)
		if (k->vectors[i])
			g_bytes_unref(k->vectors[i]);
	g_free(k->vectors);
	g_free(k->choices);
	g_free(k->model);
	g_free(k->id);
	g_free(k);
}

/* ---- credit ---- */

static uint32_t window(const struct call *k)
{
	uint32_t n = MAX(1, g_hash_table_size(k->peer->calls));
	uint64_t share = BACKLOG / ((uint64_t)n * k->event_bytes);
	return MIN(k->window, (uint32_t)CLAMP(share, MIN_WINDOW, MAX_WINDOW));
}

void call_top_up(struct call *k)
{
	uint32_t room = window(k);
	if (k->peer->eof)
		k->manual = false; /* nobody is left who could grant */
	/* In automatic flow half a window at a time: fewer wake-ups of the producer. */
	if (k->outstanding >= room || (!k->manual && k->outstanding > room / 2))
		return;
	uint32_t n = room - k->outstanding;
	if (k->manual) {
		n = (uint32_t)MIN(n, k->allowance);
		k->allowance -= n;
	}
	if (n == 0)
		return;
	k->outstanding += n;
	k->line->stream->grant(k->stream, n);
}

bool call_grant(struct call *k, uint32_t n)
{
	if (!k->manual)
		return false;
	k->allowance = MIN(k->allowance + n, UINT32_MAX);
	return true;
}

void call_cancel(struct call *k)
{
	k->line->stream->cancel(k->stream, WEIR_E_CANCELLED);
}

void call_detach(struct call *k)
{
	k->peer = NULL;
	call_cancel(k);
}

/* ---- events ---- */

static void too_large(struct call *k)
{
	const char *text = k->method == RPC_METHOD_EMBED
				   ? "the vectors take more than this server keeps for an answer: "
				     "send fewer texts in a request"
				   : "the answer is larger than this server keeps: set stream";
	struct rpc_error err;
	struct peer *peer = k->peer;
	rpc_fail_status(&err, WEIR_E_EXHAUSTED, (struct weir_str){ text, strlen(text) },
			(struct weir_str){ NULL, 0 }, 0);
	rpc_put_error(peer_output(peer), k->id, &err);
	g_hash_table_remove(peer->calls, k->id);
	call_detach(k);
}

static void gather(struct call *k, const struct weir_event *e)
{
	if (k->method & RPC_METHOD_GENERATE) {
		k->gathered += answer_gather(k, &k->choices[e->index], e);
	} else if (e->type == WEIR_EVENT_JSON) {
		if (!k->json)
			k->json = g_string_new(NULL);
		g_string_append_len(k->json, e->text.data, (gssize)e->text.len);
		k->gathered += e->text.len;
	} else if (e->type == WEIR_EVENT_VECTOR) {
		k->vectors[e->value] = g_bytes_new(e->raw.data, e->raw.len);
		k->gathered += e->raw.len;
	}
	if (k->gathered > MAX_GATHERED)
		too_large(k);
}

static bool is_expected(const struct call *k, const struct weir_event *e)
{
	bool text = e->type >= WEIR_EVENT_TOKEN && e->type <= WEIR_EVENT_TOOL;
	bool ok = e->type == WEIR_EVENT_JSON;
	if (k->method & RPC_METHOD_GENERATE)
		ok = text && e->index < k->n_choices;
	else if (k->method == RPC_METHOD_EMBED)
		ok = e->type == WEIR_EVENT_VECTOR && e->value >= 0 && e->value < k->n_vectors &&
		     !k->vectors[e->value] && e->raw.len % sizeof(float) == 0;
	if (!ok)
		line_logf(k->line, WEIR_LOG_MISBEHAVING,
			  "request %s: event of type %u for choice %u of %u", k->log_id, e->type,
			  e->index, k->n_choices);
	return ok;
}

static void on_event(void *data, weir_stream *stream, const struct weir_event *e)
{
	struct call *k = data;
	if (k->outstanding)
		k->outstanding--;
	if (!k->peer)
		return; /* cancelled: the end is near */
	peer_mark_dirty(k->peer);
	if (e->type == WEIR_EVENT_STARTED)
		k->n_prompt = (uint32_t)CLAMP(e->value, 0, G_MAXUINT32);
	else if (!is_expected(k, e))
		return;
	if (!k->streaming) {
		if (e->type != WEIR_EVENT_STARTED)
			gather(k, e);
		return;
	}
	answer_event(k, e, peer_output(k->peer));
	peer_relieve(k->peer); /* this may close the peer and detach the call */
}

static void on_end(void *data, weir_stream *stream, const struct weir_end *end)
{
	struct call *k = data;
	struct peer *peer = k->peer;
	k->line->n_calls--;
	if (peer) {
		struct rpc_error err;
		if (end->status < 0) {
			rpc_fail_status(&err, end->status, end->text, end->param,
					end->retry_after_ms);
			rpc_put_error(peer_output(peer), k->id, &err);
		} else {
			answer_result(k, end, peer_output(peer));
		}
		peer->t_active = k->line->now_ms;
		g_hash_table_remove(peer->calls, k->id);
	}
	call_free(k);
}

/* ---- opening ---- */

struct fields {
	struct weir_kv list[13];
	size_t n;
};

static void add(struct fields *f, const char *key, const char *value)
{
	if (value)
		f->list[f->n++] = (struct weir_kv){ key, value };
}

static const char *kind_of(uint32_t method)
{
	return method == RPC_METHOD_COMPLETE ? "completion" : rpc_method_name(method);
}

static weir_request *make_request(const struct call *k, const struct params *p)
{
	const struct line *line = k->line;
	struct fields f = { .n = 0 };
	char options[100];
	g_autofree char *bearer = p->api_key ? g_strconcat("Bearer ", p->api_key, NULL) : NULL;
	struct weir_limits limits = p->limits;
	struct timespec now;
	g_snprintf(options, sizeof(options),
		   "{\"add_special\":%s,\"parse_special\":%s,\"with_pieces\":%s}",
		   p->add_special ? "true" : "false", p->parse_special ? "true" : "false",
		   p->with_pieces ? "true" : "false");
	add(&f, "kind", kind_of(k->method));
	add(&f, "id", k->log_id);
	add(&f, "model", p->model);
	add(&f, "messages", p->messages);
	add(&f, "tools", p->tools);
	add(&f, "tool_choice", p->tool_choice);
	add(&f, "template_kwargs", p->template_kwargs);
	add(&f, "prompt", p->prompt);
	add(&f, "tokens", p->tokens);
	add(&f, "inputs", p->inputs);
	add(&f, "stop", p->stop);
	add(&f, "options", k->method == RPC_METHOD_TOKENIZE ? options : NULL);
	add(&f, "header.authorization", bearer);
	if (line->config.request_timeout_ms) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		limits.deadline_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec +
				     (int64_t)line->config.request_timeout_ms * 1000000;
	}
	return line->gateway->request_new(line->host, f.list, f.n, &p->sampling, &limits);
}

static struct call *call_new(struct peer *peer, const struct rpc_request *r, const struct params *p)
{
	struct call *k = g_new0(struct call, 1);
	k->line = peer->line;
	k->peer = peer;
	k->id = g_strdup(r->id);
	k->method = r->method;
	k->model = g_strdup(p->model);
	k->streaming = p->stream && (r->method & RPC_METHOD_GENERATE);
	k->manual = p->manual;
	k->logprobs = p->sampling.logprobs;
	k->event_bytes = 160 + (k->logprobs ? 120 + 100 * p->sampling.top_logprobs : 0);
	k->window = p->manual ? MAX_WINDOW : MIN(p->credit, MAX_WINDOW);
	k->allowance = p->credit;
	k->n_choices = r->method & RPC_METHOD_GENERATE ? p->limits.n : 0;
	k->choices = g_new0(struct choice, k->n_choices + 1);
	k->n_vectors = p->n_inputs;
	k->vectors = g_new0(GBytes *, k->n_vectors + 1);
	g_snprintf(k->log_id, sizeof(k->log_id), "line-%" G_GINT64_MODIFIER "x-%" G_GUINT64_FORMAT,
		   (uint64_t)g_get_real_time() & 0xffffffffffu, ++peer->line->n_ids);
	return k;
}

bool call_open(struct peer *peer, const struct rpc_request *r, const struct params *p,
	       struct rpc_error *err)
{
	struct line *line = peer->line;
	struct call *k = call_new(peer, r, p);
	struct weir_error why = { .code = WEIR_OK };
	g_hash_table_insert(peer->calls, k->id, k);
	uint32_t credit = MIN(window(k), p->credit);
	k->outstanding = credit;
	k->allowance -= credit;
	weir_status status = line->gateway->open(line->host, line->loop, make_request(k, p), &sink,
						 k, credit, &k->stream, &why);
	if (status >= 0) {
		line->n_calls++;
		return true;
	}
	why.text[sizeof(why.text) - 1] = why.param[sizeof(why.param) - 1] = 0;
	bool full = status == WEIR_E_QUEUE_FULL || status == WEIR_E_RATE_LIMITED ||
		    status == WEIR_E_UNAVAILABLE;
	rpc_fail_status(err, status, (struct weir_str){ why.text, strlen(why.text) },
			(struct weir_str){ why.param, strlen(why.param) }, full ? 5000 : 0);
	g_hash_table_remove(peer->calls, k->id);
	call_free(k);
	return false;
}
