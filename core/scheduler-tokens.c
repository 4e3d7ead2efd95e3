/*
 * scheduler-tokens.c - tokenize, detokenize and a chat's rendered text, answered altogether on a
 * worker; and the prompt of a text with a hole. Pure, as scheduler-prompt.c is.
 */
#include "scheduler-inside.h"

#include <string.h>

#include <json-glib/json-glib.h>

#include "log.h"
#include "request.h"

#define MAX_DEPTH 64
#define MAX_TEXT  (64u << 20) /* bytes of a rendered conversation */
#define MAX_FILES 4096

/* --- a text with a hole -------------------------------------------------------------------- */

static struct weir_str member(JsonObject *object, const char *name)
{
	JsonNode *node = object ? json_object_get_member(object, name) : NULL;
	const char *text = NULL;

	if (node && JSON_NODE_HOLDS_VALUE(node))
		text = json_node_get_string(node);
	return (struct weir_str){ text, text ? strlen(text) : 0 };
}

/* The texts belong to the parser. */
static weir_status read_files(struct weir_str json, JsonParser *parser,
			      struct weir_infill_file **ret, uint32_t *ret_n,
			      struct weir_error *err)
{
	JsonNode *root = NULL;
	JsonArray *list;

	if (weir_text_json_shallow(json, MAX_DEPTH) &&
	    json_parser_load_from_data(parser, json.data, (gssize)json.len, NULL))
		root = json_parser_get_root(parser);
	list = root && JSON_NODE_HOLDS_ARRAY(root) ? json_node_get_array(root) : NULL;
	if (!list || json_array_get_length(list) > MAX_FILES)
		return weir_fail(err, WEIR_E_INVALID, "files must be a list of at most %d objects",
				 MAX_FILES);
	*ret_n = json_array_get_length(list);
	*ret = g_new0(struct weir_infill_file, *ret_n + 1);
	for (uint32_t i = 0; i < *ret_n; i++) {
		JsonNode *node = json_array_get_element(list, i);
		JsonObject *file = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;

		(*ret)[i].name = member(file, "filename");
		(*ret)[i].text = member(file, "text");
	}
	return WEIR_OK;
}

/* Room for the answer: what was asked for, but never more than half of all. */
static size_t room_for_prompt(const struct weir_scheduler *s, const weir_request *r)
{
	uint32_t wanted = weir_request_limits(r)->max_tokens;

	return s->longest - MIN(wanted > 0 ? wanted : s->longest / 4, s->longest / 2);
}

weir_status weir_scheduler_encode_hole(const struct weir_scheduler *s, const weir_request *r,
				       int32_t **ret, uint32_t *ret_n, struct weir_error *err)
{
	struct weir_infill hole = { .size = sizeof(hole),
				    .prefix = weir_request_field(r, "prompt"),
				    .suffix = weir_request_field(r, "suffix") };
	struct weir_str json = weir_request_field(r, "files");
	g_autoptr(JsonParser) parser = json_parser_new();
	g_autofree struct weir_infill_file *files = NULL;
	size_t cap = (hole.prefix.len + hole.suffix.len + json.len) / 2 + 64, n = 0;
	weir_status status;
	int32_t *out;

	if (!s->tokenizer || !WEIR_HAS(struct weir_tokenizer, s->tokenizer, encode_infill))
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "this model cannot fill a hole in a text");
	if (json.data) {
		status = read_files(json, parser, &files, &hole.n_files, err);
		if (status < 0)
			return status;
		hole.files = files;
		hole.room = room_for_prompt(s, r);
	}
	for (;;) {
		out = g_try_new(int32_t, cap);
		if (!out)
			return weir_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
		status = s->tokenizer->encode_infill(s->options.instance, &hole, out, cap, &n, err);
		if (status >= 0 && n <= cap)
			break;
		g_free(out);
		if (status < 0)
			return status;
		if (n > WEIR_SCHEDULER_MAX_TOKENS)
			return weir_fail(err, WEIR_E_OUT_OF_RANGE, "the text is too long");
		cap = n;
	}
	*ret = out;
	*ret_n = (uint32_t)n;
	return WEIR_OK;
}

/* --- tokenize, detokenize ------------------------------------------------------------------ */

struct tokenize_options {
	bool add_special, parse_special, with_pieces, objects, render;
};

static bool flag(JsonObject *object, const char *name, bool fallback)
{
	JsonNode *node = json_object_get_member(object, name);

	return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_boolean(node) : fallback;
}

static weir_status read_options(const weir_request *r, struct tokenize_options *ret,
				struct weir_error *err)
{
	struct weir_str json = weir_request_field(r, "options");
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonNode *root = NULL;
	JsonObject *object;

	*ret = (struct tokenize_options){ .add_special = true };
	if (json.len == 0)
		return WEIR_OK;
	if (weir_text_json_shallow(json, MAX_DEPTH) &&
	    json_parser_load_from_data(parser, json.data, (gssize)json.len, NULL))
		root = json_parser_get_root(parser);
	if (!root || !JSON_NODE_HOLDS_OBJECT(root))
		return weir_fail(err, WEIR_E_INVALID, "options must be an object");
	object = json_node_get_object(root);
	ret->add_special = flag(object, "add_special", true);
	ret->parse_special = flag(object, "parse_special", false);
	ret->with_pieces = flag(object, "with_pieces", false);
	ret->objects = flag(object, "token_objects", false);
	ret->render = flag(object, "render", false);
	return WEIR_OK;
}

/* Text where the bytes are text, else a list of bytes: a token may hold a part of a rune. */
static void append_piece(const struct weir_scheduler *s, int32_t token, GString *out)
{
	g_autoptr(GString) bytes = g_string_new(NULL);

	weir_scheduler_piece(s, token, WEIR_PIECE_SPECIAL, bytes);
	if (weir_text_valid((struct weir_str){ bytes->str, bytes->len })) {
		weir_text_append_json(out, (struct weir_str){ bytes->str, bytes->len });
		return;
	}
	for (gsize i = 0; i < bytes->len; i++)
		g_string_append_printf(out, "%c%u", i ? ',' : '[', (unsigned char)bytes->str[i]);
	g_string_append_c(out, ']');
}

/* What encode_chat() would make tokens of. */
static weir_status render(const struct weir_scheduler *s, struct weir_job *job,
			  struct weir_error *err)
{
	g_autoptr(GString) context = g_string_new(NULL);
	struct weir_instance *instance = s->options.instance;
	weir_status status = weir_scheduler_chat_context(job->request, context, err);
	g_autofree char *text = NULL;
	size_t n = 0, cap = 4096;
	GString *out;

	if (status < 0)
		return status;
	if (!s->tokenizer || !WEIR_HAS(struct weir_tokenizer, s->tokenizer, render_chat))
		return weir_fail(err, WEIR_E_UNSUPPORTED, "this model has no chat template");
	for (;;) {
		text = g_try_malloc(cap);
		if (!text)
			return weir_fail(err, WEIR_E_EXHAUSTED, "insufficient memory");
		status = s->tokenizer->render_chat(instance,
						   (struct weir_str){ context->str, context->len },
						   text, cap, &n, err);
		if (status < 0 || n <= cap)
			break;
		if (n > MAX_TEXT)
			return weir_fail(err, WEIR_E_OUT_OF_RANGE, "the text is too long");
		g_clear_pointer(&text, g_free);
		cap = n;
	}
	if (status < 0)
		return status;
	if (!weir_text_valid((struct weir_str){ text, n }))
		return weir_fail(err, WEIR_E_INTERNAL, "the chat template gave no UTF-8");
	out = g_string_new("{\"prompt\":");
	weir_text_append_json(out, (struct weir_str){ text, n });
	g_string_append_c(out, '}');
	job->reply = g_string_free(out, FALSE);
	return WEIR_OK;
}

static void append_tokens(const struct weir_scheduler *s, const int32_t *ids, uint32_t n,
			  bool objects, GString *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			g_string_append_c(out, ',');
		g_string_append_printf(out, objects ? "{\"id\":%d,\"piece\":" : "%d", ids[i]);
		if (!objects)
			continue;
		append_piece(s, ids[i], out);
		g_string_append_c(out, '}');
	}
}

weir_status weir_scheduler_tokenize(struct weir_scheduler *s, struct weir_job *job,
				    struct weir_error *err)
{
	g_autoptr(GString) context = g_string_new(NULL);
	struct tokenize_options options;
	uint32_t flags;
	weir_status status;
	GString *out;

	status = read_options(job->request, &options, err);
	if (status < 0) {
		g_strlcpy(err->param, "options", sizeof(err->param));
		return status;
	}
	if (options.render) {
		status = render(s, job, err);
		if (status < 0 && !err->param[0])
			g_strlcpy(err->param, "messages", sizeof(err->param));
		return status;
	}
	flags = (options.add_special ? WEIR_ENCODE_ADD_SPECIAL : 0u) |
		(options.parse_special ? WEIR_ENCODE_PARSE_SPECIAL : 0u);
	status = weir_scheduler_read_prompt(s, job->request, flags, context, &job->prompt,
					    &job->n_prompt, err);
	/* A chat is as long as it would be for its answer. */
	if (status == WEIR_OK && context->len > 0)
		status = weir_scheduler_begin_answer(
			s, job, (struct weir_str){ context->str, context->len }, err);
	if (status < 0)
		return status;
	out = g_string_new("{\"tokens\":[");
	append_tokens(s, job->prompt, job->n_prompt, options.objects, out);
	g_string_append_printf(out, "],\"count\":%u,\"max_model_len\":%u", job->n_prompt,
			       s->model.n_ctx);
	if (options.with_pieces) {
		g_string_append(out, ",\"token_strs\":[");
		for (uint32_t i = 0; i < job->n_prompt; i++) {
			if (i > 0)
				g_string_append_c(out, ',');
			append_piece(s, job->prompt[i], out);
		}
		g_string_append_c(out, ']');
	}
	g_string_append_c(out, '}');
	job->reply = g_string_free(out, FALSE);
	return WEIR_OK;
}

weir_status weir_scheduler_detokenize(const struct weir_scheduler *s, struct weir_job *job,
				      struct weir_error *err)
{
	struct weir_str json = weir_request_field(job->request, "tokens");
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree int32_t *ids = NULL;
	weir_status status;
	GString *out;
	uint32_t n;

	if (!s->tokenizer)
		return weir_fail(err, WEIR_E_UNSUPPORTED, "this backend has no tokenizer");
	status = weir_scheduler_read_ids(json, s->model.n_vocab, &ids, &n, err);
	if (status < 0) {
		g_strlcpy(err->param, "tokens", sizeof(err->param));
		return status;
	}
	for (uint32_t i = 0; i < n; i++)
		weir_scheduler_piece(s, ids[i],
				     WEIR_PIECE_SPECIAL | (i == 0 ? WEIR_PIECE_FIRST : 0u), text);
	out = g_string_new("{\"prompt\":");
	weir_text_append_json(out, (struct weir_str){ text->str, text->len });
	g_string_append(out, ",\"content\":"); /* as llama-server names it */
	weir_text_append_json(out, (struct weir_str){ text->str, text->len });
	g_string_append_c(out, '}');
	job->reply = g_string_free(out, FALSE);
	return WEIR_OK;
}
