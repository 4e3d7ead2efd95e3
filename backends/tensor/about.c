/* SPDX-License-Identifier: MIT */
/*
 * about.c - see about.h.
 */
#include "about.h"

#include <stdlib.h>
#include <string.h>

#define TEMPLATE_KEY "tokenizer.chat_template"

static char *copy(const char *data, size_t n)
{
	char *text = n < SIZE_MAX ? malloc(n + 1) : NULL;

	if (!text)
		return NULL;
	if (n > 0)
		memcpy(text, data, n);
	text[n] = '\0';
	return text;
}

static char *token_text(const struct weir_vocab_ext *x, int32_t token)
{
	char text[256];
	size_t n;

	if (token < 0)
		return NULL;
	n = weir_vocab_ext_piece(x, token, WEIR_PIECE_SPECIAL, text, sizeof(text));
	return n > 0 && n <= sizeof(text) ? copy(text, n) : NULL;
}

void weir_about_read(const struct weir_gguf *g, const struct weir_vocab_ext *x,
		     struct weir_about *a, struct weir_model *ret)
{
	struct weir_error err;
	struct weir_str source;

	weir_about_clear(a);
	if (weir_gguf_has(g, TEMPLATE_KEY) &&
	    weir_gguf_string(g, TEMPLATE_KEY, &source, &err) == WEIR_OK)
		a->chat_template = copy(source.data, source.len);
	a->bos = token_text(x, weir_vocab_ext_bos(x));
	a->eos = token_text(x, weir_vocab_ext_eos(x));
	ret->chat_template = a->chat_template;
	ret->bos = a->bos;
	ret->eos = a->eos;
}

void weir_about_clear(struct weir_about *a)
{
	free(a->chat_template);
	free(a->bos);
	free(a->eos);
	*a = (struct weir_about){ NULL, NULL, NULL };
}
