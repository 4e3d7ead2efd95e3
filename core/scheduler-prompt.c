/*
 * scheduler-prompt.c - a request's text becomes tokens, on a worker. The tokenizer is pure and
 * thread-safe, the model constant by now.
 */
#include "scheduler-inside.h"

#include <stdlib.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "log.h"
#include "message-parts.h"
#include "request.h"

#define MAX_TOKENS WEIR_SCHEDULER_MAX_TOKENS
#define MAX_DEPTH  64

static weir_status fail_at(struct weir_error *err, const char *param, weir_status code,
			   const char *text)
{
	weir_fail(err, code, "%s", text);
	g_strlcpy(err->param, param, sizeof(err->param));
	return code;
}

void weir_scheduler_piece(const struct weir_scheduler *s, int32_t token, uint32_t flags,
			  GString *out)
{
	struct weir_instance *instance = s->options.instance;
	size_t had = out->len, n, cap = 64;

	if (!s->tokenizer)
		return;
	g_string_set_size(out, had + cap);
	n = s->tokenizer->piece(instance, token, flags, out->str + had, cap);
	if (n > cap && n <= 1u << 16) {
		cap = n;
		g_string_set_size(out, had + cap);
		n = s->tokenizer->piece(instance, token, flags, out->str + had, cap);
	}
	g_string_truncate(out, had + MIN(n, cap));
}

/* --- encoding ------------------------------------------------------------------------------ */

typedef weir_status (*encode_fn)(const struct weir_scheduler *, struct weir_str text,
				 uint32_t flags, int32_t *out, size_t cap, size_t *ret_n,
				 struct weir_error *err);

static weir_status encode_text(const struct weir_scheduler *s, struct weir_str text, uint32_t flags,
			       int32_t *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	return s->tokenizer->encode(s->options.instance, text, flags, out, cap, ret_n, err);
}

static weir_status encode_chat(const struct weir_scheduler *s, struct weir_str context,
			       uint32_t flags, int32_t *out, size_t cap, size_t *ret_n,
			       struct weir_error *err)
{
	if (!WEIR_HAS(struct weir_tokenizer, s->tokenizer, encode_chat))
		return weir_fail(err, WEIR_E_UNSUPPORTED, "this model has no chat template");
	return s->tokenizer->encode_chat(s->options.instance, context, out, cap, ret_n, err);
}

/* Runs the tokenizer with an array that is long enough. */
static weir_status encode(const struct weir_scheduler *s, encode_fn run, struct weir_str text,
			  uint32_t flags, int32_t **ret, uint32_t *ret_n, struct weir_error *err)
{
	size_t cap = text.len / 2 + 64, n = 0;
	weir_status status;
	int32_t *out;

	if (!s->tokenizer)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "this backend takes token ids only: it has no tokenizer");
	cap = MIN(cap, MAX_TOKENS);
	for (;;) {
		out = g_try_new(int32_t, cap);
		if (!out)
			return weir_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
		status = run(s, text, flags, out, cap, &n, err);
		if (status < 0 || n <= cap)
			break;
		g_free(out);
		if (n > MAX_TOKENS)
			return weir_fail(err, WEIR_E_OUT_OF_RANGE, "the text is too long");
		cap = n;
	}
	if (status < 0) {
		g_free(out);
		err->code = status;
		err->text[sizeof(err->text) - 1] = err->param[sizeof(err->param) - 1] = '\0';
		return status;
	}
	*ret = out;
	*ret_n = (uint32_t)n;
	return WEIR_OK;
}

weir_status weir_scheduler_encode(const struct weir_scheduler *s, struct weir_str text,
				  uint32_t flags, int32_t **ret, uint32_t *ret_n,
				  struct weir_error *err)
{
	return encode(s, encode_text, text, flags, ret, ret_n, err);
}

weir_status weir_scheduler_chat_context(const weir_request *r, GString *out, struct weir_error *err)
{
	static const char *const ours[] = {
		"messages", "tools", "tool_choice", "reasoning", "parallel_tool_calls", NULL
	};
	struct weir_str kwargs = weir_request_field(r, "template_kwargs");
	struct weir_str messages = weir_request_field(r, "messages");
	struct weir_str tools = weir_request_field(r, "tools");
	struct weir_str choice = weir_request_field(r, "tool_choice");
	struct weir_str parallel = weir_request_field(r, "parallel_tool_calls");
	g_autoptr(JsonParser) parser = json_parser_new();
	bool prompt = false;

	if (messages.len == 0)
		return fail_at(err, "messages", WEIR_E_INVALID, "messages is required");
	g_string_append_c(out, '{');
	if (kwargs.len > 0) {
		JsonNode *root = NULL;
		JsonObjectIter iter;
		const char *name;
		JsonNode *value;

		if (weir_text_json_shallow(kwargs, MAX_DEPTH) &&
		    json_parser_load_from_data(parser, kwargs.data, (gssize)kwargs.len, NULL))
			root = json_parser_get_root(parser);
		if (!root || !JSON_NODE_HOLDS_OBJECT(root))
			return fail_at(err, "chat_template_kwargs", WEIR_E_INVALID,
				       "chat_template_kwargs must be an object");
		json_object_iter_init(&iter, json_node_get_object(root));
		while (json_object_iter_next(&iter, &name, &value)) {
			if (g_strv_contains(ours, name))
				continue;
			prompt |= strcmp(name, "add_generation_prompt") == 0;
			weir_text_append_json(out, (struct weir_str){ name, strlen(name) });
			g_string_append_c(out, ':');
			weir_json_append(out, value);
			g_string_append_c(out, ',');
		}
	}
	if (!prompt)
		g_string_append(out, "\"add_generation_prompt\":true,");
	/* null, not absent, as transformers has it: templates ask `tools is not none`. */
	if (tools.len == 0 || weir_request_is(r, "tool_choice", "\"none\""))
		tools = (struct weir_str){ "null", 4 };
	if (choice.len > 0)
		g_string_append_printf(out, "\"tool_choice\":%.*s,", (int)choice.len, choice.data);
	if (parallel.len > 0)
		g_string_append_printf(out, "\"parallel_tool_calls\":%.*s,", (int)parallel.len,
				       parallel.data);
	if (weir_request_is(r, "reasoning", "none"))
		g_string_append(out, "\"reasoning\":\"none\",");
	g_string_append(out, "\"tools\":");
	g_string_append_len(out, tools.data, (gssize)tools.len);
	g_string_append(out, ",\"messages\":");
	if (!weir_messages_join(messages, out))
		return fail_at(err, "messages", WEIR_E_INVALID, "messages must be a JSON array");
	g_string_append_c(out, '}');
	return WEIR_OK;
}

weir_status weir_scheduler_read_ids(struct weir_str json, uint32_t n_vocab, int32_t **ret,
				    uint32_t *ret_n, struct weir_error *err)
{
	GArray *ids = g_array_new(FALSE, FALSE, sizeof(int32_t));
	const char *at = json.data, *end = json.data + json.len;
	enum { START, FIRST, NUMBER, COMMA, DONE, WRONG } state = START;

	while (at < end && state != WRONG) {
		char c = *at;
		int64_t value = 0;
		int32_t id;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			at++;
		} else if ((state == FIRST || state == NUMBER) && c >= '0' && c <= '9') {
			while (at < end && *at >= '0' && *at <= '9' && value < n_vocab)
				value = value * 10 + (*at++ - '0');
			id = (int32_t)value;
			if (value >= n_vocab || ids->len >= MAX_TOKENS) {
				g_array_unref(ids);
				return weir_fail(
					err, WEIR_E_INVALID,
					"token ids must be below %u, the vocabulary's size",
					n_vocab);
			}
			g_array_append_val(ids, id);
			state = COMMA;
		} else {
			state = state == START && c == '['   ? FIRST
				: state == COMMA && c == ',' ? NUMBER
				: state == COMMA && c == ']' ? DONE
				: state == FIRST && c == ']' ? DONE
							     : WRONG;
			at++;
		}
	}
	if (state != DONE) {
		g_array_unref(ids);
		return weir_fail(err, WEIR_E_INVALID, "tokens must be a list of token ids");
	}
	*ret_n = ids->len;
	*ret = (int32_t *)(void *)g_array_free(ids, FALSE);
	return WEIR_OK;
}

weir_status weir_scheduler_read_prompt(const struct weir_scheduler *s, const weir_request *r,
				       uint32_t flags, GString *context, int32_t **ret,
				       uint32_t *ret_n, struct weir_error *err)
{
	struct weir_str text = weir_request_field(r, "prompt");
	struct weir_str ids = weir_request_field(r, "tokens");
	struct weir_str suffix = weir_request_field(r, "suffix");
	const char *param = "prompt";
	weir_status status;

	if (weir_request_is(r, "kind", "chat") ||
	    (!text.data && weir_request_field(r, "messages").len > 0)) {
		param = "messages";
		status = weir_scheduler_chat_context(r, context, err);
		if (status == WEIR_OK)
			status = encode(s, encode_chat,
					(struct weir_str){ context->str, context->len }, 0, ret,
					ret_n, err);
	} else if (suffix.data) {
		param = weir_request_field(r, "files").data ? "input_suffix" : "suffix";
		status = weir_scheduler_encode_hole(s, r, ret, ret_n, err);
	} else if (!text.data && ids.data) {
		status = weir_scheduler_read_ids(ids, s->model.n_vocab, ret, ret_n, err);
	} else {
		status = encode(s, encode_text, text, flags, ret, ret_n, err);
	}
	if (status < 0 && !err->param[0])
		g_strlcpy(err->param, param, sizeof(err->param));
	return status;
}

/* --- all of it ----------------------------------------------------------------------------- */

static weir_status check_length(const struct weir_scheduler *s, struct weir_job *job,
				const char *what, struct weir_error *err)
{
	uint32_t wanted = job->limits->max_tokens;

	if (job->n_prompt >= s->model.n_ctx) {
		weir_fail(err, WEIR_E_OUT_OF_RANGE,
			  "This model's maximum context length is %u tokens. However, your %s "
			  "resulted in %u tokens. Please reduce the length of the %s.",
			  s->model.n_ctx, what, job->n_prompt, what);
		g_strlcpy(err->param, what, sizeof(err->param));
		return WEIR_E_OUT_OF_RANGE;
	}
	if (job->n_prompt >= s->longest)
		return weir_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
	/* Accepted, then clamped to the context (conflict C2). */
	job->max_output = s->longest - job->n_prompt;
	if (wanted > 0)
		job->max_output = MIN(job->max_output, wanted);
	return WEIR_OK;
}

weir_status weir_scheduler_begin_answer(struct weir_scheduler *s, struct weir_job *job,
					struct weir_str context, struct weir_error *err)
{
	char *prefix = NULL;
	int32_t *more = NULL;
	uint32_t n = 0;
	weir_status status = weir_scheduler_open_answers(s, job, context, &prefix, err);

	if (status == WEIR_OK && prefix)
		status = encode(s, encode_text, (struct weir_str){ prefix, strlen(prefix) },
				WEIR_ENCODE_PARSE_SPECIAL, &more, &n, err);
	if (n > 0) {
		job->prompt = g_renew(int32_t, job->prompt, (gsize)job->n_prompt + n);
		memcpy(job->prompt + job->n_prompt, more, n * sizeof(*more));
		job->n_prompt += n;
	}
	g_free(more);
	free(prefix);
	return status;
}

weir_status weir_scheduler_prepare(struct weir_scheduler *s, struct weir_job *job,
				   struct weir_error *err)
{
	const weir_request *r = job->request;
	g_autoptr(GString) context = g_string_new(NULL);
	bool chat = weir_request_is(r, "kind", "chat");
	weir_status status;

	memset(err, 0, sizeof(*err));
	if (weir_request_is(r, "kind", "tokenize"))
		return weir_scheduler_tokenize(s, job, err);
	if (weir_request_is(r, "kind", "detokenize"))
		return weir_scheduler_detokenize(s, job, err);
	if (weir_request_is(r, "kind", "embed") || weir_request_is(r, "kind", "rerank"))
		return weir_scheduler_prepare_embed(s, job, err);
	if (s->model.flags & WEIR_MODEL_ENCODER)
		return fail_at(err, "model", WEIR_E_UNSUPPORTED,
			       "this is an embedding model: it makes vectors of texts and cannot "
			       "write text");
	if (!chat && !weir_request_is(r, "kind", "completion"))
		return fail_at(err, "model", WEIR_E_UNSUPPORTED,
			       "this model completes text; it cannot do what was asked for");
	status = weir_stops_new(weir_request_field(r, "stop"), &job->stops, err);
	if (status < 0)
		return status;
	status = weir_scheduler_read_prompt(s, r, WEIR_ENCODE_ADD_SPECIAL, context, &job->prompt,
					    &job->n_prompt, err);
	if (status == WEIR_OK && chat)
		status = weir_scheduler_begin_answer(
			s, job, (struct weir_str){ context->str, context->len }, err);
	if (status < 0)
		return status;
	if (job->n_prompt == 0)
		return fail_at(err, chat ? "messages" : "prompt", WEIR_E_INVALID,
			       "the prompt holds no token");
	for (uint32_t i = 0; i < job->n_prompt; i++)
		if (job->prompt[i] < 0 || (uint32_t)job->prompt[i] >= s->model.n_vocab)
			return weir_fail(err, WEIR_E_INTERNAL,
					 "the tokenizer gave a token outside of the vocabulary");
	status = check_length(s, job, chat ? "messages" : "prompt", err);
	if (status < 0)
		return status;
	status = weir_scheduler_prepare_echo(s, job, err);
	if (status < 0)
		return status;
	status = weir_scheduler_choose_adapter(s, job, err);
	if (status < 0)
		return status;
	status = weir_scheduler_prepare_grammar(s, job, err);
	if (status < 0)
		return status;
	weir_job_prepare(job);
	return weir_scheduler_resume(s, job, err);
}
