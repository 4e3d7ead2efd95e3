/*
 * frontends/api/open.c - from a checked body to open streams. See call.h.
 */
#include <string.h>

#include "call-private.h"
#include "format.h"
#include "replay.h"

#define WINDOW     256u
#define MIN_WINDOW 16u
#define BACKLOG    (64u << 10) /* what the credit of a stream should fill at most */

struct api_call *api_call_new(struct api_loop *loop, struct api_body *body, const char *trace,
			      const struct api_transport *transport, void *data)
{
	struct api_call *k = g_new0(struct api_call, 1);
	char secret[REPLAY_TOKEN_SIZE];
	k->loop = loop;
	k->transport = transport;
	k->data = data;
	k->format = body->endpoint->format;
	k->body = body;
	k->trace = g_strdup(trace);
	k->stream = body->params.stream;
	k->n_streams = body->n_prompts;
	k->n_each = MAX(body->params.limits.n, body->params.best_of);
	k->n_choices = k->n_each * k->n_streams;
	k->created = g_get_real_time() / G_USEC_PER_SEC;
	if (!((k->format->secret_id || body->params.resume) && replay_token(secret)))
		api_random_id(loop, secret);
	g_snprintf(k->id, sizeof(k->id), "%s%s", k->format->id_prefix, secret);
	k->streams = g_new0(struct api_stream, k->n_streams);
	k->choices = g_new0(struct api_choice, k->n_choices);
	for (uint32_t i = 0; i < k->n_streams; i++)
		k->streams[i] = (struct api_stream){ .call = k, .prompt = i };
	for (uint32_t i = 0; i < k->n_choices; i++)
		k->choices[i].index = i;
	if (k->format->init)
		k->format->init(k);
	return k;
}

/* As many events as fill the backlog, when each is as long as such events are. */
static uint32_t window(const struct api_call *k)
{
	size_t bytes = k->prefix.len + 160;
	if (k->body->params.sampling.logprobs)
		bytes += 120 + 100u * k->body->params.sampling.top_logprobs;
	return k->stream ? CLAMP(BACKLOG / (uint32_t)bytes, MIN_WINDOW, WINDOW) : WINDOW;
}

static void add_field(GArray *fields, const char *key, const char *value)
{
	struct weir_kv kv = { key, value };
	if (value)
		g_array_append_val(fields, kv);
}

/* NULL: this kind has none. */
static const char *put_options(const struct api_body *b, char *out, size_t size)
{
	const struct api_params *p = &b->params;
	if (b->endpoint->kind == API_KIND_TEMPLATE)
		return "{\"render\":true}";
	if (b->endpoint->kind != API_KIND_TOKENIZE)
		return NULL;
	g_snprintf(out, size, "{\"add_special\":%s,\"parse_special\":%s,\"with_pieces\":%s%s}",
		   p->add_special ? "true" : "false", p->parse_special ? "true" : "false",
		   p->with_pieces ? "true" : "false",
		   p->token_objects ? ",\"token_objects\":true" : "");
	return out;
}

static weir_request *make_request(struct api_call *k, uint32_t prompt, const struct weir_kv *extra,
				  size_t n_extra)
{
	static const char *const kinds[API_N_KINDS] = {
		"chat", "completion", "tokenize", "detokenize", "embed",      "rerank",
		"chat", "chat",       "tokenize", "tokenize",   "completion",
	};
	const struct api *a = k->loop->api;
	const struct api_body *b = k->body;
	const struct api_prompt *p = &b->prompts[prompt];
	struct weir_sampling sampling = b->params.sampling;
	struct weir_limits limits = b->params.limits;
	g_autoptr(GArray) fields = g_array_new(FALSE, FALSE, sizeof(struct weir_kv));
	char id[sizeof(k->id) + 12];
	g_snprintf(id, sizeof(id), k->n_streams > 1 ? "%s-%u" : "%s", k->id, prompt);
	add_field(fields, "kind", kinds[b->endpoint->kind]);
	add_field(fields, "id", id);
	add_field(fields, "model", b->model);
	add_field(fields, "messages", b->messages);
	add_field(fields, "tools", b->tools);
	add_field(fields, "tool_choice", b->tool_choice);
	add_field(fields, "template_kwargs", b->template_kwargs);
	add_field(fields, p->is_tokens ? "tokens" : "prompt", p->text);
	add_field(fields, "stop", b->stop);
	add_field(fields, "grammar", b->grammar);
	add_field(fields, "adapter", b->adapter);
	add_field(fields, "suffix", b->suffix);
	add_field(fields, "parallel_tool_calls", b->params.no_parallel_calls ? "false" : NULL);
	add_field(fields, "reasoning", b->keep_reasoning ? "none" : NULL);
	add_field(fields, "inputs", b->inputs);
	add_field(fields, "query", b->query);
	add_field(fields, "documents", b->documents);
	add_field(fields, "files", b->files);
	char options[160];
	add_field(fields, "options", put_options(b, options, sizeof(options)));
	g_array_append_vals(fields, extra, (guint)n_extra);
	limits.n = k->n_each;
	if (k->n_each > b->params.limits.n)
		sampling.logprobs = 1; /* best_of ranks by them */
	if (a->config.request_timeout_ms)
		limits.deadline_ns = g_get_monotonic_time() * 1000 +
				     (int64_t)a->config.request_timeout_ms * 1000000;
	return a->gateway->request_new(a->host, (struct weir_kv *)(void *)fields->data, fields->len,
				       &sampling, &limits);
}

/* The answer needs the model's name, the parameters and, for echo, the prompts. */
static void slim_body(struct api_body *b)
{
	g_clear_pointer(&b->messages, g_free);
	g_clear_pointer(&b->tools, g_free);
	g_clear_pointer(&b->tool_choice, g_free);
	g_clear_pointer(&b->template_kwargs, g_free);
	g_clear_pointer(&b->grammar, g_free);
	g_clear_pointer(&b->items, g_free);
	g_clear_pointer(&b->suffix, g_free);
	g_clear_pointer(&b->files, g_free);
	g_clear_pointer(&b->inputs, g_free);
	g_clear_pointer(&b->query, g_free);
	if (!b->params.return_documents)
		g_clear_pointer(&b->documents, g_free);
	for (uint32_t i = 0; !b->params.echo && i < b->n_prompts; i++)
		g_clear_pointer(&b->prompts[i].text, g_free);
}

bool api_call_open(struct api_call *k, const struct weir_kv *extra, size_t n_extra)
{
	const struct api *a = k->loop->api;
	bool manual = k->manual && k->stream;
	k->window = window(k);
	for (uint32_t i = 0; i < k->n_streams; i++) {
		struct weir_error err = { .code = WEIR_OK };
		struct api_stream *s = &k->streams[i];
		/* Manual: one for STARTED; the rest when it has come. */
		s->outstanding = manual ? 1 : k->window;
		weir_status status =
			a->gateway->open(a->host, k->loop->loop, make_request(k, i, extra, n_extra),
					 &api_call_sink, s, s->outstanding, &s->stream, &err);
		if (status < 0) {
			s->stream = NULL;
			err.text[sizeof(err.text) - 1] = err.param[sizeof(err.param) - 1] = 0;
			k->inside = true;
			api_call_fail(k, status, (struct weir_str){ err.text, strlen(err.text) },
				      (struct weir_str){ err.param, strlen(err.param) }, 0);
			api_call_leave(k);
			return false;
		}
		k->n_open++;
		k->loop->n_streams++;
	}
	slim_body(k->body);
	return true;
}
