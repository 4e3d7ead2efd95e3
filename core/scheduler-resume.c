/*
 * scheduler-resume.c - an answer goes on that another instance has begun: the request's field
 * `resume` (weir/backend.h, weir.resume/1), read and written.
 *
 * Reading runs on the worker that brings the request. The tokens that were told go through the same
 * functions as drawn ones do, so that what hangs on them (stop strings, the answer's reader, the
 * grammar's place, counts) is as it was; only their events are not sent again. What the last token
 * still had to tell waits in the job, as if credit had run out there. From then on the job is like
 * one that was preempted: prompt and tokens are computed again, and no draw can tell the
 * difference.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "log.h"
#include "request.h"

struct past {
	uint64_t seed;
	bool started;
	uint32_t prompt_events;
	JsonArray *choices; /* the parser's */
};

/* --- what was taken ------------------------------------------------------------------------ */

void weir_job_told(struct weir_job *job, const struct weir_event *e)
{
	struct weir_sequence *seq = &job->seqs[e->index];

	if (e->type == WEIR_EVENT_PROMPT) {
		job->n_told_prompt++;
		return;
	}
	seq->n_told_events++;
	seq->n_told += e->token >= 0;
}

bool weir_job_skips(struct weir_job *job, const struct weir_event *e)
{
	struct weir_sequence *seq = &job->seqs[e->index];

	if (e->type == WEIR_EVENT_PROMPT || seq->skip == 0)
		return false;
	seq->skip--;
	weir_job_told(job, e);
	return true;
}

uint32_t weir_job_told_vectors(const struct weir_job *job)
{
	return job->embed && !job->embed->is_rerank ? job->embed->n_done : 0;
}

char *weir_scheduler_told(const struct weir_job *job)
{
	GString *out;

	if (!job->started)
		return NULL;
	out = g_string_new(NULL);
	g_string_append_printf(
		out, "{\"seed\":\"%" G_GUINT64_FORMAT "\",\"started\":true,\"prompt_events\":%u",
		job->seed, job->n_told_prompt);
	g_string_append(out, ",\"choices\":[");
	for (uint32_t i = 0; i < job->n; i++) {
		const struct weir_sequence *seq = &job->seqs[i];
		uint64_t n_events = seq->n_told_events + weir_job_told_vectors(job);

		g_string_append(out, i ? ",{\"tokens\":[" : "{\"tokens\":[");
		for (uint32_t k = 0; k < seq->n_told; k++)
			g_string_append_printf(out, k ? ",%d" : "%d",
					       seq->tokens[job->n_prompt + k]);
		g_string_append_printf(out, "],\"events\":%" G_GUINT64_FORMAT "}", n_events);
	}
	g_string_append(out, "]}");
	return g_string_free(out, FALSE);
}

/* --- reading ------------------------------------------------------------------------------- */

static weir_status misfit(struct weir_error *err, const char *format, ...) G_GNUC_PRINTF(2, 3);

static weir_status misfit(struct weir_error *err, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	return weir_fail(err, WEIR_E_INTERNAL, "the answer cannot be resumed: %s", text);
}

/* A number from 0 to max that is a member of an object. */
static bool read_count(JsonObject *object, const char *name, uint64_t max, uint64_t *ret)
{
	JsonNode *node = json_object_get_member(object, name);
	gint64 value;

	if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
		return false;
	value = json_node_get_int(node);
	if (value < 0 || (uint64_t)value > max)
		return false;
	*ret = (uint64_t)value;
	return true;
}

static bool read_seed(JsonObject *object, uint64_t *ret)
{
	JsonNode *node = json_object_get_member(object, "seed");
	const char *text = NULL;
	guint64 value;

	if (node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING)
		text = json_node_get_string(node);
	if (!text || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &value, NULL))
		return false;
	*ret = value;
	return true;
}

static bool read_flag(JsonObject *object, const char *name, bool *ret)
{
	JsonNode *node = json_object_get_member(object, name);

	if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
	    json_node_get_value_type(node) != G_TYPE_BOOLEAN)
		return false;
	*ret = json_node_get_boolean(node);
	return true;
}

static JsonArray *read_list(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static weir_status read_past(const struct weir_scheduler *s, const struct weir_job *job,
			     struct weir_str json, JsonParser *parser, struct past *ret,
			     struct weir_error *err)
{
	uint64_t most = ((uint64_t)s->longest * 12 + 64) * job->n + 256, n;
	JsonNode *root = NULL;
	JsonObject *object;

	if (json.len > most)
		return misfit(err, "its tokens are more than the context of %u holds", s->longest);
	if (weir_text_json_shallow(json, 5) &&
	    json_parser_load_from_data(parser, json.data, (gssize)json.len, NULL))
		root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_OBJECT(root))
		return misfit(err, "the field is no JSON object");
	object = json_node_get_object(root);
	if (json_object_get_size(object) != 4 || !read_seed(object, &ret->seed) ||
	    !read_flag(object, "started", &ret->started) ||
	    !read_count(object, "prompt_events", UINT32_MAX, &n) ||
	    !(ret->choices = read_list(object, "choices")))
		return misfit(err, "the field must hold seed, started, prompt_events, choices and "
				   "nothing else");
	ret->prompt_events = (uint32_t)n;
	n = json_array_get_length(ret->choices);
	if (n != job->n)
		return misfit(err, "it has %u choices, the request %u", (unsigned)n, job->n);
	return WEIR_OK;
}

static weir_status read_choice(const struct past *past, uint32_t i, JsonArray **ret_tokens,
			       uint64_t *ret_events, struct weir_error *err)
{
	JsonNode *node = json_array_get_element(past->choices, i);
	JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;

	if (!object || json_object_get_size(object) != 2 ||
	    !read_count(object, "events", INT64_MAX, ret_events) ||
	    !(*ret_tokens = read_list(object, "tokens")))
		return misfit(err, "choice %u must hold tokens, events and nothing else", i);
	return WEIR_OK;
}

static bool read_token(JsonArray *tokens, guint k, uint32_t n_vocab, int32_t *ret)
{
	JsonNode *node = json_array_get_element(tokens, k);
	gint64 id = -1;

	if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64)
		id = json_node_get_int(node);
	if (id < 0 || id >= n_vocab)
		return false;
	*ret = (int32_t)id;
	return true;
}

/* --- going through it again ---------------------------------------------------------------- */

static weir_status replay_token(struct weir_scheduler *s, struct weir_sequence *seq, int32_t token,
				GString *text, GString *bytes, struct weir_error *err)
{
	struct weir_error why;
	weir_status status = weir_scheduler_accept(seq, token, &why);

	if (status < 0)
		return misfit(err, "choice %u, token %u: %.200s", seq->index, seq->n_output,
			      why.text);
	weir_sequence_append(seq, token);
	seq->finish = weir_scheduler_take_token(s, seq, token, text, bytes);
	return weir_scheduler_emit(s, seq,
				   &(struct weir_event){
					   .size = sizeof(struct weir_event),
					   .type = WEIR_EVENT_TOKEN,
					   .token = token,
					   .index = seq->index,
					   .logprob = NAN,
					   .text = { text->str, text->len },
					   .raw = { bytes->str, bytes->len },
				   });
}

static weir_status replay_choice(struct weir_scheduler *s, struct weir_sequence *seq,
				 JsonArray *tokens, uint64_t n_events, struct weir_error *err)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GString) bytes = g_string_new(NULL);
	guint n = json_array_get_length(tokens);
	weir_status status = WEIR_OK;

	if (n > seq->job->max_output)
		return misfit(err, "choice %u has %u tokens, at most %u are possible", seq->index,
			      n, seq->job->max_output);
	if (!seq->tokens)
		weir_sequence_give_prompt(seq);
	seq->skip = n_events;
	for (guint k = 0; status >= 0 && k < n; k++) {
		int32_t token;

		if (!read_token(tokens, k, s->model.n_vocab, &token))
			return misfit(err, "choice %u, token %u is no id below %u", seq->index, k,
				      s->model.n_vocab);
		if (seq->finish != WEIR_FINISH_NONE)
			return misfit(err, "choice %u goes on behind its end", seq->index);
		if (seq->skip == 0)
			return misfit(err, "choice %u tells less than its tokens", seq->index);
		status = replay_token(s, seq, token, text, bytes, err);
	}
	if (status < 0)
		return status;
	if (seq->skip > 0)
		return misfit(err, "choice %u tells more than its tokens", seq->index);
	if (seq->finish != WEIR_FINISH_NONE) {
		seq->state = WEIR_SEQUENCE_DONE;
		seq->job->n_live--;
	}
	return WEIR_OK;
}

/* What was told of the prompt: all of it, before anything else could be. */
static weir_status resume_prompt(struct weir_scheduler *s, struct weir_job *job,
				 const struct past *past, uint32_t n_tokens, struct weir_error *err)
{
	uint32_t n = past->prompt_events;

	if (n > (job->echoed ? job->n_prompt : 0))
		return misfit(err, "it tells %u tokens of the prompt, which has %u", n,
			      job->echoed ? job->n_prompt : 0);
	if ((n_tokens > 0 && job->echoed && n < job->n_prompt) ||
	    (n_tokens + n > 0 && !past->started))
		return misfit(err, "its output comes before its beginning");
	if (n_tokens > 0 && job->limits->no_output)
		return misfit(err, "the request wants no output");
	weir_scheduler_skip_echo(s, job, n);
	return WEIR_OK;
}

static weir_status resume_text(struct weir_scheduler *s, struct weir_job *job,
			       const struct past *past, struct weir_error *err)
{
	uint32_t n_tokens = 0;
	weir_status status = WEIR_OK;

	weir_job_give_seeds(job, past->seed);
	for (uint32_t i = 0; status >= 0 && i < job->n; i++) {
		uint64_t n_events = 0;
		JsonArray *tokens = NULL;

		status = read_choice(past, i, &tokens, &n_events, err);
		if (status < 0)
			return status;
		n_tokens += json_array_get_length(tokens) > 0;
		status = replay_choice(s, &job->seqs[i], tokens, n_events, err);
	}
	if (status >= 0)
		status = resume_prompt(s, job, past, n_tokens, err);
	if (status < 0)
		return status;
	while (job->lead + 1 < job->n && job->seqs[job->lead].state == WEIR_SEQUENCE_DONE)
		job->lead++;
	/* Several choices share the prompt first; each gets its output where they part. */
	for (uint32_t i = 0; !job->forked && i < job->n; i++)
		job->seqs[i].n_tokens = job->n_prompt;
	/* How long the first token took is not for this instance to say. */
	if (n_tokens > 0)
		job->first_ns = job->last_ns = job->admitted_ns = job->arrived_ns;
	return WEIR_OK;
}

/* Vectors come in the order of their texts: events is how many did. */
static weir_status resume_vectors(struct weir_job *job, const struct past *past,
				  struct weir_error *err)
{
	struct weir_embed_work *w = job->embed;
	uint64_t n_events;
	JsonArray *tokens;
	weir_status status = read_choice(past, 0, &tokens, &n_events, err);

	if (status < 0)
		return status;
	if (past->prompt_events > 0 || json_array_get_length(tokens) > 0 ||
	    n_events > (w->is_rerank ? 0 : w->n_texts))
		return misfit(err, "it tells what is not of its kind");
	w->n_taken = w->n_done = (uint32_t)n_events;
	if (w->n_done == w->n_texts) {
		job->seqs[0].finish = WEIR_FINISH_STOP;
		job->n_live = 0;
		job->first_ns = job->last_ns = job->admitted_ns = job->arrived_ns;
	}
	return WEIR_OK;
}

weir_status weir_scheduler_resume(struct weir_scheduler *s, struct weir_job *job,
				  struct weir_error *err)
{
	struct weir_str json = weir_request_field(job->request, "resume");
	g_autoptr(JsonParser) parser = NULL;
	struct past past = { 0 };
	weir_status status;

	if (!json.data)
		return WEIR_OK;
	parser = json_parser_new();
	status = read_past(s, job, json, parser, &past, err);
	if (status < 0)
		return status;
	job->started = past.started;
	job->replays = true;
	status = job->embed ? resume_vectors(job, &past, err) : resume_text(s, job, &past, err);
	job->replays = false;
	return status;
}
