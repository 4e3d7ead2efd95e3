/*
 * scheduler-embed.c - texts as vectors: the kinds embed and rerank, by weir.embedder/1.
 *
 * A worker turns the request's texts into tokens and checks them. On the scheduler's thread a turn
 * computes at most one batch of texts, beside the step of what generates. A request goes on waiting
 * in tenants.h until its last text is taken, and is charged text by text: so texts of all tenants
 * take turns, and a large request does not keep a small one waiting. A text is taken only when the
 * stream has credit for its vector.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "log.h"
#include "request.h"
#include "scheduler-trace.h"

#define MAX_TEXTS  2048       /* of a request, as OpenAI has it */
#define MAX_TOKENS (1u << 24) /* of a request */
#define MAX_DIM    (1u << 20)
#define MAX_BATCH  256 /* texts in a batch */

struct weir_embed_engine {
	const struct weir_embedder *calls;
	struct weir_embedder_info info;
	uint32_t budget; /* tokens of a batch; a longer text is one by itself */
	/* Of the batch being made. */
	uint32_t n_texts;
	GArray *tokens;
	uint32_t first[MAX_BATCH + 1];
	struct weir_job *job[MAX_BATCH];
	uint32_t text[MAX_BATCH];
	float *vectors; /* MAX_BATCH of n_dim */
};

weir_status weir_embed_engine_new(struct weir_scheduler *s, struct weir_error *err)
{
	struct weir_instance *instance = s->options.instance;
	struct weir_embedder_info info = { .size = sizeof(info) };
	const struct weir_embedder *calls = NULL;
	struct weir_embed_engine *e;

	if (WEIR_HAS(struct weir_instance, instance, get_ext))
		calls = instance->get_ext(instance, WEIR_EMBEDDER);
	if (!calls)
		return s->model.flags & WEIR_MODEL_ENCODER
			       ? weir_fail(err, WEIR_E_INTERNAL,
					   "its model generates nothing, and it offers no %s",
					   WEIR_EMBEDDER)
			       : WEIR_OK;
	if (!WEIR_HAS(struct weir_embedder, calls, info) ||
	    !WEIR_HAS(struct weir_embedder, calls, embed))
		return weir_fail(err, WEIR_E_INTERNAL, "its embedder lacks a function");
	calls->info(instance, &info);
	if (info.n_dim == 0 || info.n_dim > MAX_DIM || info.max_tokens == 0 ||
	    info.max_batch < info.max_tokens || info.max_batch > MAX_TOKENS ||
	    (info.pooling == WEIR_POOLING_RANK && info.n_dim != 1))
		return weir_fail(err, WEIR_E_INTERNAL,
				 "its embedder's numbers cannot be: %u dimensions, texts of %u "
				 "tokens in batches of %u",
				 info.n_dim, info.max_tokens, info.max_batch);
	e = g_new0(struct weir_embed_engine, 1);
	e->calls = calls;
	e->info = info;
	e->budget = MIN(info.max_batch, MAX(s->model.max_tokens, 1u));
	e->tokens = g_array_new(FALSE, FALSE, sizeof(int32_t));
	e->vectors = g_new0(float, (size_t)MAX_BATCH *info.n_dim);
	s->embed = e;
	return WEIR_OK;
}

void weir_embed_engine_free(struct weir_embed_engine *e)
{
	if (!e)
		return;
	g_array_unref(e->tokens);
	g_free(e->vectors);
	g_free(e);
}

/* --- the request becomes tokens, on a worker ----------------------------------------------- */

struct reader {
	const struct weir_scheduler *s;
	struct weir_embed_work *work;
	const char *field, *param; /* "inputs"; "input", as clients know it */
	const char *what;          /* of one text, for messages */
	struct weir_error *err;
};

static weir_status fail(struct reader *r, weir_status code, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

static weir_status fail(struct reader *r, weir_status code, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	weir_fail(r->err, code, "%s", text);
	g_strlcpy(r->err->param, r->param, sizeof(r->err->param));
	return code;
}

/* Text `i` of the request, as the client counts. */
static weir_status add_text(struct reader *r, guint i, const int32_t *ids, uint32_t n)
{
	uint32_t max = r->s->embed->info.max_tokens;

	if (n == 0)
		return fail(r, WEIR_E_INVALID, "%s %u is empty", r->what, i);
	if (n > max)
		return fail(r, WEIR_E_OUT_OF_RANGE,
			    "%s %u has %u tokens; this model takes at most %u in a text", r->what,
			    i, n, max);
	for (uint32_t k = 0; k < n; k++)
		if (ids[k] < 0 || (uint32_t)ids[k] >= r->s->model.n_vocab)
			return fail(r, WEIR_E_INVALID,
				    "%s %u holds the token id %d; ids must be below %u, the "
				    "vocabulary's size",
				    r->what, i, ids[k], r->s->model.n_vocab);
	if (n > MAX_TOKENS - r->work->tokens->len)
		return fail(r, WEIR_E_OUT_OF_RANGE, "%s hold more than %u tokens together",
			    r->param, MAX_TOKENS);
	weir_embed_work_add(r->work, ids, n);
	return WEIR_OK;
}

static weir_status add_string(struct reader *r, guint i, struct weir_str text)
{
	g_autofree int32_t *ids = NULL;
	uint32_t n = 0;
	weir_status status =
		weir_scheduler_encode(r->s, text, WEIR_ENCODE_ADD_SPECIAL, &ids, &n, r->err);

	if (status < 0) {
		if (!r->err->param[0])
			g_strlcpy(r->err->param, r->param, sizeof(r->err->param));
		return status;
	}
	return add_text(r, i, ids, n);
}

static bool is_string(JsonNode *node)
{
	return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
}

static struct weir_str string_of(JsonNode *node)
{
	const char *text = json_node_get_string(node);

	return (struct weir_str){ text, strlen(text) };
}

static weir_status add_ids(struct reader *r, guint i, JsonArray *array)
{
	guint n = json_array_get_length(array);
	g_autofree int32_t *ids = NULL;

	if (n > r->s->embed->info.max_tokens)
		return fail(r, WEIR_E_OUT_OF_RANGE,
			    "%s %u has %u tokens; this model takes at most %u in a text", r->what,
			    i, n, r->s->embed->info.max_tokens);
	ids = g_new(int32_t, n + 1);
	for (guint k = 0; k < n; k++) {
		JsonNode *node = json_array_get_element(array, k);
		gint64 id = -1;

		if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64)
			id = json_node_get_int(node);
		if (id < 0 || id >= r->s->model.n_vocab)
			return fail(r, WEIR_E_INVALID,
				    "%s %u: element %u is no token id below %u, the vocabulary's "
				    "size",
				    r->what, i, k, r->s->model.n_vocab);
		ids[k] = (int32_t)id;
	}
	return add_text(r, i, ids, n);
}

/* The request's list of texts; parser keeps it. */
static weir_status read_list(struct reader *r, JsonParser *parser, const weir_request *request,
			     JsonArray **ret)
{
	struct weir_str json = weir_request_field(request, r->field);
	JsonNode *root = NULL;
	guint n;

	if (json.len == 0)
		return fail(r, WEIR_E_INVALID, "%s is required", r->param);
	if (weir_text_json_shallow(json, 3) &&
	    json_parser_load_from_data(parser, json.data, (gssize)json.len, NULL))
		root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_ARRAY(root))
		return fail(r, WEIR_E_INVALID, "%s must be a list", r->param);
	*ret = json_node_get_array(root);
	n = json_array_get_length(*ret);
	if (n == 0)
		return fail(r, WEIR_E_INVALID, "%s is required", r->param);
	if (n > MAX_TEXTS)
		return fail(r, WEIR_E_OUT_OF_RANGE, "%s has %u entries, at most %d are possible",
			    r->param, n, MAX_TEXTS);
	return WEIR_OK;
}

static weir_status read_inputs(struct reader *r, const weir_request *request)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonArray *list;
	weir_status status = read_list(r, parser, request, &list);

	for (guint i = 0; status >= 0 && i < json_array_get_length(list); i++) {
		JsonNode *node = json_array_get_element(list, i);

		if (is_string(node))
			status = add_string(r, i, string_of(node));
		else if (JSON_NODE_HOLDS_ARRAY(node))
			status = add_ids(r, i, json_node_get_array(node));
		else
			status = fail(r, WEIR_E_INVALID,
				      "%s %u must be a text or a list of token ids", r->what, i);
	}
	return status;
}

/* The query and a document as the model was trained to see them. */
static weir_status add_pair(struct reader *r, guint i, struct weir_str query,
			    struct weir_str document)
{
	const struct weir_embed_engine *e = r->s->embed;
	size_t cap = (size_t)e->info.max_tokens + 1, n = 0;
	g_autofree int32_t *ids = g_new(int32_t, cap);
	weir_status status = e->calls->encode_pair(r->s->options.instance, query, document, ids,
						   cap, &n, r->err);

	if (status < 0) {
		r->err->code = status;
		r->err->text[sizeof(r->err->text) - 1] = '\0';
		g_strlcpy(r->err->param, r->param, sizeof(r->err->param));
		return status;
	}
	if (n > e->info.max_tokens)
		return fail(r, WEIR_E_OUT_OF_RANGE,
			    "%s %u and the query have %zu tokens; this model takes at most %u",
			    r->what, i, n, e->info.max_tokens);
	return add_text(r, i, ids, (uint32_t)n);
}

static weir_status read_rerank(struct reader *r, const weir_request *request)
{
	const struct weir_embed_engine *e = r->s->embed;
	struct weir_str query = weir_request_field(request, "query");
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonArray *list;
	weir_status status;

	r->work->is_rerank = true;
	r->work->has_query = e->info.pooling != WEIR_POOLING_RANK;
	if (!r->work->has_query && !WEIR_HAS(struct weir_embedder, e->calls, encode_pair))
		return weir_fail(r->err, WEIR_E_INTERNAL, "the embedder lacks encode_pair()");
	if (query.len == 0) {
		r->param = "query";
		return fail(r, WEIR_E_INVALID, "query is required");
	}
	status = read_list(r, parser, request, &list);
	if (status >= 0 && r->work->has_query) {
		struct reader q = *r;

		q.param = q.what = "query";
		status = add_string(&q, 0, query);
	}
	for (guint i = 0; status >= 0 && i < json_array_get_length(list); i++) {
		JsonNode *node = json_array_get_element(list, i);

		if (!is_string(node))
			status = fail(r, WEIR_E_INVALID, "%s %u must be a text", r->what, i);
		else if (r->work->has_query)
			status = add_string(r, i, string_of(node));
		else
			status = add_pair(r, i, query, string_of(node));
	}
	return status;
}

weir_status weir_scheduler_prepare_embed(struct weir_scheduler *s, struct weir_job *job,
					 struct weir_error *err)
{
	bool rerank = weir_request_is(job->request, "kind", "rerank");
	struct reader r = { .s = s,
			    .field = rerank ? "documents" : "inputs",
			    .param = rerank ? "documents" : "input",
			    .what = rerank ? "document" : "input",
			    .err = err };
	weir_status status;

	if (!s->embed) {
		weir_fail(err, WEIR_E_UNSUPPORTED,
			  "this model completes text; it cannot do what was asked for: it makes "
			  "no embeddings");
		g_strlcpy(err->param, "model", sizeof(err->param));
		return WEIR_E_UNSUPPORTED;
	}
	if (!rerank && s->embed->info.pooling == WEIR_POOLING_RANK) {
		weir_fail(err, WEIR_E_UNSUPPORTED,
			  "this model scores pairs of texts: it can rerank, and makes no "
			  "embeddings");
		g_strlcpy(err->param, "model", sizeof(err->param));
		return WEIR_E_UNSUPPORTED;
	}
	job->embed = r.work = weir_embed_work_new();
	status = rerank ? read_rerank(&r, job->request) : read_inputs(&r, job->request);
	if (status < 0)
		return status;
	job->n = job->n_live = 1;
	job->n_prompt = r.work->tokens->len;
	return weir_scheduler_resume(s, job, err);
}

/* --- a batch, on the thread ---------------------------------------------------------------- */

static bool is_ready(struct weir_waiter *w, void *data)
{
	const struct weir_job *job = (const struct weir_job *)w;
	const struct weir_embed_engine *e = data;
	uint32_t n, flying, credit;

	if (!job->embed || job->over || job->embed->n_taken == job->embed->n_texts)
		return false;
	/* A text that does not fit beside the others waits for the next batch. */
	weir_embed_work_text(job->embed, job->embed->n_taken, &n);
	if (e->n_texts > 0 && e->tokens->len + n > e->budget)
		return false;
	credit = weir_stream_credit(job->out);
	if (!job->admitted) /* STARTED takes one; take() looks at what is left */
		return credit > 0;
	flying = job->embed->is_rerank ? 0 : job->embed->n_taken - job->embed->n_done;
	return credit > flying;
}

/* False: nothing more can be taken now. */
static bool take(struct weir_scheduler *s, struct weir_job *job)
{
	struct weir_embed_engine *e = s->embed;
	struct weir_embed_work *w = job->embed;
	const int32_t *tokens;
	uint32_t n;

	if (!job->admitted) {
		if (!weir_scheduler_begin(s, job))
			return false;
		if (job->over)
			return true;
		weir_metric_observe(s->metrics.queue,
				    (double)(job->admitted_ns - job->arrived_ns) / 1e9);
		weir_metric_add(s->metrics.prompt_tokens, job->n_prompt);
		if (!w->is_rerank && weir_stream_credit(job->out) == 0)
			return true;
	}
	tokens = weir_embed_work_text(w, w->n_taken, &n);
	g_array_append_vals(e->tokens, tokens, n);
	e->job[e->n_texts] = job;
	e->text[e->n_texts] = w->n_taken++;
	e->first[++e->n_texts] = e->tokens->len;
	weir_tenants_charge(&job->waiter, n);
	if (w->n_taken == w->n_texts)
		weir_tenants_admit(s->tenants, &job->waiter);
	else
		weir_tenants_requeue(s->tenants, &job->waiter);
	return true;
}

static void gather(struct weir_scheduler *s)
{
	struct weir_embed_engine *e = s->embed;
	struct weir_waiter *w;

	e->n_texts = 0;
	g_array_set_size(e->tokens, 0);
	while (e->n_texts < MAX_BATCH && e->tokens->len < e->budget) {
		w = weir_tenants_next(s->tenants, is_ready, e);
		if (!w || !take(s, (struct weir_job *)w))
			break;
	}
}

static float cosine(const float *a, const float *b, uint32_t n)
{
	double ab = 0, aa = 0, bb = 0;

	for (uint32_t i = 0; i < n; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa * bb)) : 0;
}

static void score(const struct weir_embed_engine *e, struct weir_embed_work *w, uint32_t text,
		  const float *vector)
{
	float x;

	if (w->has_query && text == 0) {
		w->query = g_memdup2(vector, e->info.n_dim * sizeof(float));
		return;
	}
	/* A cross-encoder is trained on the logistic of what it says. */
	x = w->has_query ? cosine(w->query, vector, e->info.n_dim)
			 : (float)(1 / (1 + exp(-(double)vector[0])));
	g_array_append_val(w->scores, x);
}

static char *scores_json(const struct weir_job *job)
{
	GString *out = g_string_new("{\"scores\":[");
	char number[G_ASCII_DTOSTR_BUF_SIZE];

	for (guint i = 0; i < job->embed->scores->len; i++) {
		double x = (double)g_array_index(job->embed->scores, float, i);

		g_string_append_printf(out, "%s%s", i ? "," : "",
				       g_ascii_formatd(number, sizeof(number), "%.9g", x));
	}
	g_string_append_printf(out, "],\"n_tokens\":%u}", job->n_prompt);
	return g_string_free(out, FALSE);
}

static bool finite_vector(const float *x, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

static void finish_with(struct weir_scheduler *s, struct weir_job *job, weir_status code)
{
	struct weir_error err;

	weir_fail(&err, code, code == WEIR_E_CANCELLED ? "cancelled" : "inference failed");
	weir_scheduler_finish(s, job, &err, 0);
}

static void deliver(struct weir_scheduler *s, uint32_t i)
{
	struct weir_embed_engine *e = s->embed;
	struct weir_job *job = e->job[i];
	struct weir_embed_work *w = job->embed;
	const float *vector = e->vectors + (size_t)i * e->info.n_dim;
	weir_status status = WEIR_OK;

	job->last_ns = weir_clock_ns();
	if (job->first_ns == 0)
		job->first_ns = job->last_ns;
	if (!finite_vector(vector, e->info.n_dim)) {
		weir_logf(s->options.core->log, WEIR_LOG_WARNING, "scheduler",
			  "%s: a text's vector holds numbers that are not finite", s->options.name);
		finish_with(s, job, WEIR_E_INTERNAL);
		return;
	}
	w->n_done++;
	if (w->is_rerank)
		score(e, w, e->text[i], vector);
	else
		status = weir_stream_emit(
			job->out,
			&(struct weir_event){
				.size = sizeof(struct weir_event),
				.type = WEIR_EVENT_VECTOR,
				.token = -1,
				.logprob = NAN,
				.value = e->text[i],
				.raw = { (const char *)vector, e->info.n_dim * sizeof(float) },
			},
			&s->bell);
	if (status < 0) {
		finish_with(s, job, status == WEIR_E_CANCELLED ? status : WEIR_E_INTERNAL);
		return;
	}
	if (w->n_done < w->n_texts)
		return;
	if (w->is_rerank) {
		/* As tokenize answers: sent when there is credit for it. */
		job->reply = scores_json(job);
		weir_scheduler_try_reply(s, job);
		return;
	}
	job->seqs[0].finish = WEIR_FINISH_STOP;
	weir_scheduler_finish(s, job, NULL, 0);
}

static void fail_batch(struct weir_scheduler *s, weir_status status, struct weir_error *why)
{
	struct weir_embed_engine *e = s->embed;

	why->text[sizeof(why->text) - 1] = '\0';
	/* Interrupted: everybody ends in the next turn. */
	if (status == WEIR_E_CANCELLED && weir_scheduler_stopping(s))
		return;
	if (status == WEIR_E_UNAVAILABLE) {
		weir_scheduler_lose(s, why->text);
		return;
	}
	weir_logf(s->options.core->log, WEIR_LOG_ERROR, "scheduler",
		  "%s: a batch of %u texts failed: %s", s->options.name, e->n_texts,
		  why->text[0] ? why->text : "no reason given");
	for (uint32_t i = 0; i < e->n_texts; i++)
		finish_with(s, e->job[i], WEIR_E_INTERNAL);
	weir_scheduler_failed(s, why->text);
}

bool weir_scheduler_run_embeds(struct weir_scheduler *s)
{
	struct weir_embed_engine *e = s->embed;
	struct weir_error err = { 0 };
	weir_status status;
	int64_t began;

	if (!e || weir_tenants_waiting(s->tenants) == 0)
		return false;
	gather(s);
	if (e->n_texts == 0)
		return false;
	began = weir_clock_ns();
	weir_progress_mark(&s->progress, "embed()");
	status = e->calls->embed(s->options.instance, (const int32_t *)(void *)e->tokens->data,
				 e->first, e->n_texts, e->vectors, &err);
	weir_progress_mark(&s->progress, "turn");
	weir_trace_embed(s, e->n_texts, e->tokens->len, began, status);
	if (status < 0) {
		fail_batch(s, status, &err);
		return true;
	}
	s->n_failures = 0;
	weir_metric_observe(s->metrics.iteration, e->tokens->len);
	for (uint32_t i = 0; i < e->n_texts; i++)
		if (!e->job[i]->over)
			deliver(s, i);
	return true;
}
