/*
 * vocab-ext.c - a model's tokenizer and chat template as weir.tokenizer/1; see vocab-ext.h.
 */
#include "vocab-ext.h"
#include "answer.h"
#include "fail.h"
#include "template.h"
#include "tokenizer.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_KEY "tokenizer.chat_template"

_Static_assert((int)WEIR_ENCODE_ADD_SPECIAL == (int)WEIR_VOCAB_ADD_SPECIAL, "flags");
_Static_assert((int)WEIR_ENCODE_PARSE_SPECIAL == (int)WEIR_VOCAB_PARSE_SPECIAL, "flags");
_Static_assert((int)WEIR_PIECE_SPECIAL == (int)WEIR_VOCAB_PIECE_SPECIAL, "flags");
_Static_assert((int)WEIR_PIECE_FIRST == (int)WEIR_VOCAB_PIECE_FIRST, "flags");

struct weir_vocab_ext {
	struct weir_vocab *vocab;     /* NULL: the file has none */
	struct weir_template *chat;   /* NULL: none, or broken */
	struct weir_error chat_error; /* code 0: the model has no template */
	struct weir_answer_notation notation;
	char *special; /* members of the context that are the model's */
	int32_t *end_tokens;
	uint32_t n_end;
};

/* A token's text as a JSON string; "" for none and for what is not UTF-8. */
static void put_token(FILE *out, const struct weir_vocab *vocab, const char *name, int32_t token)
{
	struct weir_str text = weir_vocab_token_text(vocab, token);

	fprintf(out, "\"%s\":\"", name);
	if (token < 0 || !g_utf8_validate_len(text.data, text.len, NULL))
		text.len = 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fprintf(out, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
	}
	fputc('"', out);
}

static weir_status find_special(struct weir_vocab_ext *x, struct weir_error *err)
{
	size_t len;
	FILE *out = open_memstream(&x->special, &len);

	if (!out)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the tokenizer");
	put_token(out, x->vocab, "bos_token", weir_vocab_bos(x->vocab));
	fputc(',', out);
	put_token(out, x->vocab, "eos_token", weir_vocab_eos(x->vocab));
	fputc(',', out);
	put_token(out, x->vocab, "unk_token", weir_vocab_unk(x->vocab));
	fputc(',', out);
	put_token(out, x->vocab, "pad_token", weir_vocab_pad(x->vocab));
	if (fclose(out) != 0)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the tokenizer");
	return WEIR_OK;
}

static weir_status find_end_tokens(struct weir_vocab_ext *x, uint32_t n_vocab,
				   struct weir_error *err)
{
	for (uint32_t i = 0; i < n_vocab; i++)
		x->n_end += weir_vocab_is_end(x->vocab, (int32_t)i);
	x->end_tokens = calloc(x->n_end ? x->n_end : 1, sizeof(*x->end_tokens));
	if (!x->end_tokens)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the tokenizer");
	x->n_end = 0;
	for (uint32_t i = 0; i < n_vocab; i++) {
		if (weir_vocab_is_end(x->vocab, (int32_t)i))
			x->end_tokens[x->n_end++] = (int32_t)i;
	}
	return WEIR_OK;
}

static void load_template(struct weir_vocab_ext *x, const struct weir_gguf *g,
			  const struct weir_host_log *log)
{
	struct weir_str source;
	weir_status s;

	if (!weir_gguf_has(g, TEMPLATE_KEY))
		return;
	s = weir_gguf_string(g, TEMPLATE_KEY, &source, &x->chat_error);
	if (s == WEIR_OK)
		s = weir_template_parse(source, &x->chat, &x->chat_error);
	if (s >= 0) {
		weir_answer_notation_of(source, &x->notation);
		x->chat_error.code = 0;
		return;
	}
	weir_fail_prefix(&x->chat_error, "the model's chat template");
	weir_host_logf(log, WEIR_LOG_WARNING, "%s; chat requests will be refused",
		       x->chat_error.text);
}

weir_status weir_vocab_ext_new(const struct weir_gguf *g, uint32_t n_vocab,
			       const struct weir_host_log *log, struct weir_vocab_ext **ret,
			       struct weir_error *err)
{
	struct weir_vocab_ext *x = calloc(1, sizeof(*x));
	struct weir_error why;
	weir_status s;

	if (!x)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for the tokenizer");
	s = weir_vocab_load(g, &x->vocab, &why);
	if (s == WEIR_E_NOT_FOUND) {
		weir_host_logf(log, WEIR_LOG_WARNING,
			       "the file holds no tokenizer: only token ids can be used");
		*ret = x;
		return WEIR_OK;
	}
	if (s < 0)
		goto fail;
	if (s > 0)
		weir_host_logf(log, WEIR_LOG_WARNING, "%s", why.text);
	if (weir_vocab_n_tokens(x->vocab) != n_vocab) {
		s = weir_fail(&why, WEIR_E_INVALID, "the tokenizer has %zu tokens, the model %u",
			      weir_vocab_n_tokens(x->vocab), n_vocab);
		goto fail;
	}
	if ((s = find_end_tokens(x, n_vocab, &why)) || (s = find_special(x, &why)))
		goto fail;
	load_template(x, g, log);
	*ret = x;
	return WEIR_OK;
fail:
	weir_vocab_ext_free(x);
	if (err)
		*err = why;
	return s;
}

void weir_vocab_ext_free(struct weir_vocab_ext *x)
{
	if (!x)
		return;
	weir_template_free(x->chat);
	weir_vocab_free(x->vocab);
	free(x->special);
	free(x->end_tokens);
	free(x);
}

const int32_t *weir_vocab_ext_end_tokens(const struct weir_vocab_ext *x, uint32_t *ret_n)
{
	*ret_n = x->n_end;
	return x->end_tokens;
}

int32_t weir_vocab_ext_bos(const struct weir_vocab_ext *x)
{
	return x->vocab ? weir_vocab_bos(x->vocab) : -1;
}

int32_t weir_vocab_ext_eos(const struct weir_vocab_ext *x)
{
	return x->vocab ? weir_vocab_eos(x->vocab) : -1;
}

static weir_status no_vocab(struct weir_error *err)
{
	return weir_fail(err, WEIR_E_UNSUPPORTED,
			 "the model's file holds no tokenizer: send token ids instead of text");
}

/* What fits of n tokens, after one more in front unless it is -1. */
static void hand_out(int32_t first, const int32_t *tokens, size_t n, int32_t *out, size_t cap,
		     size_t *ret_n)
{
	size_t at = 0;

	if (first >= 0) {
		if (cap > 0)
			out[0] = first;
		at = 1;
	}
	if (n > 0 && at < cap)
		memcpy(out + at, tokens, (n < cap - at ? n : cap - at) * sizeof(*out));
	*ret_n = at + n;
}

int32_t weir_vocab_ext_sep(const struct weir_vocab_ext *x)
{
	if (!x->vocab)
		return -1;
	return weir_vocab_sep(x->vocab) >= 0 ? weir_vocab_sep(x->vocab) : weir_vocab_eos(x->vocab);
}

weir_status weir_vocab_ext_encode_pair(const struct weir_vocab_ext *x, struct weir_str query,
				       struct weir_str document, int32_t *out, size_t cap,
				       size_t *ret_n, struct weir_error *err)
{
	int32_t sep = weir_vocab_ext_sep(x), *tokens[2] = { NULL, NULL }, mark[3];
	size_t n[2], at = 0, n_marks;
	weir_status s;

	if (!x->vocab)
		return no_vocab(err);
	if (sep < 0 || weir_vocab_bos(x->vocab) < 0)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "the vocabulary has no tokens that separate texts");
	s = weir_vocab_encode(x->vocab, query, 0, NULL, 0, &tokens[0], &n[0], err);
	if (s >= 0)
		s = weir_vocab_encode(x->vocab, document, 0, NULL, 0, &tokens[1], &n[1], err);
	for (int i = 0; s >= 0 && i < 2; i++) {
		n_marks = 0;
		if (i == 0)
			mark[n_marks++] = weir_vocab_bos(x->vocab);
		else if (strcmp(weir_vocab_model(x->vocab), "bert") != 0)
			mark[n_marks++] = sep;
		for (size_t k = 0; k < n_marks; k++, at++)
			if (at < cap)
				out[at] = mark[k];
		for (size_t k = 0; k < n[i]; k++, at++)
			if (at < cap)
				out[at] = tokens[i][k];
		if (at < cap)
			out[at] = sep;
		at++;
	}
	free(tokens[0]);
	free(tokens[1]);
	if (s < 0)
		return s;
	*ret_n = at;
	return WEIR_OK;
}

weir_status weir_vocab_ext_encode(const struct weir_vocab_ext *x, struct weir_str text,
				  uint32_t flags, int32_t *out, size_t cap, size_t *ret_n,
				  struct weir_error *err)
{
	int32_t *tokens = NULL;
	size_t n;
	weir_status s;

	if (!x->vocab)
		return no_vocab(err);
	s = weir_vocab_encode(x->vocab, text, flags, NULL, 0, &tokens, &n, err);
	if (s < 0)
		return s;
	hand_out(-1, tokens, n, out, cap, ret_n);
	free(tokens);
	return WEIR_OK;
}

weir_status weir_vocab_ext_encode_infill(const struct weir_vocab_ext *x,
					 const struct weir_infill *hole, int32_t *out, size_t cap,
					 size_t *ret_n, struct weir_error *err)
{
	return x->vocab ? weir_vocab_encode_infill(x->vocab, hole, out, cap, ret_n, err)
			: no_vocab(err);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The context with the model's own members at its end. The last one of two members with the same
 * name counts: a client's bos_token cannot stand. */
static weir_status with_special(const struct weir_vocab_ext *x, struct weir_str context,
				struct weir_str *ret, struct weir_error *err)
{
	size_t len = context.len, start = 0, at, special = strlen(x->special);
	char *out;

	while (len > 0 && is_space(context.data[len - 1]))
		len--;
	while (start < len && is_space(context.data[start]))
		start++;
	if (len < start + 2 || context.data[start] != '{' || context.data[len - 1] != '}')
		return weir_fail(err, WEIR_E_INVALID, "the context of a chat is no JSON object");
	len--;
	while (len > start + 1 && is_space(context.data[len - 1]))
		len--;
	out = malloc(len - start + special + 2);
	if (!out)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a chat");
	at = len - start;
	memcpy(out, context.data + start, at);
	if (at > 1) /* more than the brace */
		out[at++] = ',';
	memcpy(out + at, x->special, special);
	out[at + special] = '}';
	*ret = (struct weir_str){ out, at + special + 1 };
	return WEIR_OK;
}

static weir_status encode_rendered(const struct weir_vocab_ext *x,
				   const struct weir_template_out *text, int32_t *out, size_t cap,
				   size_t *ret_n, struct weir_error *err)
{
	struct weir_vocab_span *plain = calloc(text->n_spans + 1, sizeof(*plain));
	struct weir_str str = { text->text, text->len };
	int32_t *tokens = NULL, bos = weir_vocab_bos(x->vocab);
	size_t n;
	weir_status s;

	if (!plain)
		return weir_fail(err, WEIR_E_EXHAUSTED, "no memory for a chat's tokens");
	for (size_t i = 0; i < text->n_spans; i++)
		plain[i] = (struct weir_vocab_span){ text->span[i].start, text->span[i].end };
	s = weir_vocab_encode(x->vocab, str, WEIR_VOCAB_PARSE_SPECIAL, plain, text->n_spans,
			      &tokens, &n, err);
	free(plain);
	if (s < 0)
		return s;
	if (!weir_vocab_adds_bos(x->vocab) || (n > 0 && tokens[0] == bos))
		bos = -1;
	hand_out(bos, tokens, n, out, cap, ret_n);
	free(tokens);
	return WEIR_OK;
}

static weir_status render(const struct weir_vocab_ext *x, struct weir_str context,
			  struct weir_template_out *ret, struct weir_error *err)
{
	struct weir_template_limits limits = { .size = sizeof(limits) };
	struct weir_error why;
	struct weir_str whole;
	weir_status s;

	if (!x->vocab)
		return no_vocab(err);
	if (!x->chat && x->chat_error.code) {
		if (err)
			*err = x->chat_error;
		return x->chat_error.code;
	}
	if (!x->chat)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "the model has no chat template: it is no chat model; use "
				 "completions instead");
	s = with_special(x, context, &whole, err);
	if (s != WEIR_OK)
		return s;
	s = weir_template_render(x->chat, whole, &limits, ret, &why);
	free((char *)whole.data);
	if (s < 0 && err)
		*err = why;
	return s;
}

weir_status weir_vocab_ext_encode_chat(const struct weir_vocab_ext *x, struct weir_str context,
				       int32_t *out, size_t cap, size_t *ret_n,
				       struct weir_error *err)
{
	struct weir_template_out text;
	weir_status s = render(x, context, &text, err);

	if (s < 0)
		return s;
	s = encode_rendered(x, &text, out, cap, ret_n, err);
	weir_template_out_clear(&text);
	return s;
}

weir_status weir_vocab_ext_render_chat(const struct weir_vocab_ext *x, struct weir_str context,
				       char *out, size_t cap, size_t *ret_n, struct weir_error *err)
{
	struct weir_template_out text;
	weir_status s = render(x, context, &text, err);

	if (s < 0)
		return s;
	if (text.len > 0 && cap > 0)
		memcpy(out, text.text, text.len < cap ? text.len : cap);
	*ret_n = text.len;
	weir_template_out_clear(&text);
	return WEIR_OK;
}

weir_status weir_vocab_ext_answer(const struct weir_vocab_ext *x, struct weir_str context,
				  struct weir_str id, weir_answer **ret, char **ret_prefix,
				  char **ret_grammar, struct weir_error *err)
{
	struct weir_template_out text = { 0 };
	struct weir_str tail = { NULL, 0 };
	weir_status s;

	/* A template may have begun a thought already. */
	if (x->notation.thoughts) {
		s = render(x, context, &text, err);
		if (s < 0)
			return s;
		tail.len = text.len < 64 ? text.len : 64;
		tail.data = text.text + text.len - tail.len;
	}
	s = weir_answer_open(&x->notation, context, tail, id, ret, ret_prefix, ret_grammar, err);
	if (x->notation.thoughts)
		weir_template_out_clear(&text);
	return s;
}

bool weir_vocab_ext_shows(const struct weir_vocab_ext *x, int32_t token)
{
	return x->vocab &&
	       weir_answer_notation_has(&x->notation, weir_vocab_token_text(x->vocab, token));
}

size_t weir_vocab_ext_piece(const struct weir_vocab_ext *x, int32_t token, uint32_t flags,
			    char *out, size_t cap)
{
	return x->vocab ? weir_vocab_piece(x->vocab, token, flags, out, cap) : 0;
}

bool weir_vocab_ext_is_end(const struct weir_vocab_ext *x, int32_t token)
{
	return x->vocab && weir_vocab_is_end(x->vocab, token);
}

bool weir_vocab_ext_is_text(const struct weir_vocab_ext *x, int32_t token)
{
	return x->vocab && weir_vocab_is_text(x->vocab, token);
}
