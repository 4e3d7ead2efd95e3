/* SPDX-License-Identifier: MIT */
/*
 * vocab-ext.h - a model's tokenizer and chat template as weir.tokenizer/1.
 *
 * Made by backend.c's load on a worker; never changes afterwards, so everything but new and free is
 * thread-safe. backend.c's functions find it through the instance and call it.
 */
#ifndef WEIR_TENSOR_VOCAB_EXT_H
#define WEIR_TENSOR_VOCAB_EXT_H

#include <weir/answer.h>
#include <weir/tokenizer.h>

#include "gguf.h"
#include "host-log.h"

struct weir_vocab_ext;

/* A file without a tokenizer is fine (a remark in the log): token ids can still be used, and text
 * functions say UNSUPPORTED. So is one whose chat template is missing or broken (a remark). Errors:
 * UNSUPPORTED (a tokenizer of another kind), INVALID (a broken one), EXHAUSTED. */
weir_status weir_vocab_ext_new(const struct weir_gguf *g, uint32_t n_vocab,
			       const struct weir_host_log *log, struct weir_vocab_ext **ret,
			       struct weir_error *err);

void weir_vocab_ext_free(struct weir_vocab_ext *x); /* NULL is fine */

/* Tokens that end an answer; lives as long as x. */
const int32_t *weir_vocab_ext_end_tokens(const struct weir_vocab_ext *x, uint32_t *ret_n);

int32_t weir_vocab_ext_bos(const struct weir_vocab_ext *x);
int32_t weir_vocab_ext_eos(const struct weir_vocab_ext *x);

/* The functions of struct weir_tokenizer, without the instance. */
weir_status weir_vocab_ext_encode(const struct weir_vocab_ext *x, struct weir_str text,
				  uint32_t flags, int32_t *out, size_t cap, size_t *ret_n,
				  struct weir_error *err);

/* The template's text goes through the tokenizer with control tokens recognised outside of what
 * came from messages and tools only. A begin token that the model wants and the template did not
 * write is put in front; nothing is put behind. */
weir_status weir_vocab_ext_encode_chat(const struct weir_vocab_ext *x, struct weir_str context,
				       int32_t *out, size_t cap, size_t *ret_n,
				       struct weir_error *err);

/* As weir_tokenizer.render_chat, without the instance. */
weir_status weir_vocab_ext_render_chat(const struct weir_vocab_ext *x, struct weir_str context,
				       char *out, size_t cap, size_t *ret_n,
				       struct weir_error *err);

/* A query and a document for a cross-encoder: [CLS] query [SEP] document [SEP], or as XLM-R has it
 * <s> query </s></s> document </s>. */
weir_status weir_vocab_ext_encode_pair(const struct weir_vocab_ext *x, struct weir_str query,
				       struct weir_str document, int32_t *out, size_t cap,
				       size_t *ret_n, struct weir_error *err);

/* What ends each text of a pair; -1: none. */
int32_t weir_vocab_ext_sep(const struct weir_vocab_ext *x);

weir_status weir_vocab_ext_encode_infill(const struct weir_vocab_ext *x,
					 const struct weir_infill *hole, int32_t *out, size_t cap,
					 size_t *ret_n, struct weir_error *err);

size_t weir_vocab_ext_piece(const struct weir_vocab_ext *x, int32_t token, uint32_t flags,
			    char *out, size_t cap);

/* As weir_answer_api.open and shows, without the instance. */
weir_status weir_vocab_ext_answer(const struct weir_vocab_ext *x, struct weir_str context,
				  struct weir_str id, weir_answer **ret, char **ret_prefix,
				  char **ret_grammar, struct weir_error *err);
bool weir_vocab_ext_shows(const struct weir_vocab_ext *x, int32_t token);

bool weir_vocab_ext_is_end(const struct weir_vocab_ext *x, int32_t token);

bool weir_vocab_ext_is_text(const struct weir_vocab_ext *x, int32_t token);

#endif
