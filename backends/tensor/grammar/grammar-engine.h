/* SPDX-License-Identifier: MIT */
/*
 * grammar-engine.h - weir.grammar/1 for one vocabulary; knows no model and no device.
 *
 * backend.c makes an engine for a loaded model, and with it the tree of the vocabulary and what
 * JSON allows in it. Compiled grammars are kept by their text, the last WEIR_GRAMMAR_KEPT of them.
 * All [any] but free; weir_grammar and weir_grammar_state as <weir/grammar.h> has them, with the
 * functions of the same names.
 */
#ifndef WEIR_TENSOR_GRAMMAR_ENGINE_H
#define WEIR_TENSOR_GRAMMAR_ENGINE_H

#include <weir/grammar.h>

#include "grammar-trie.h"

#define WEIR_GRAMMAR_KEPT 16
#define WEIR_GRAMMAR_TEXT ((size_t)4 << 20) /* bytes of a request's grammar */

struct weir_grammar_engine;

/* source->ctx must live as long as the engine. */
weir_status weir_grammar_engine_new(const struct weir_grammar_source *source,
				    struct weir_grammar_engine **ret, struct weir_error *err);
/* Makes ahead what the first grammar needs: tens of milliseconds for a large vocabulary. Without it
 * the first compile does. */
weir_status weir_grammar_engine_prepare(struct weir_grammar_engine *, struct weir_error *err);
/* Grammars and states may live on: the engine goes with the last of them. NULL is fine. */
void weir_grammar_engine_free(struct weir_grammar_engine *);

weir_status weir_grammar_compile(struct weir_grammar_engine *, struct weir_str spec,
				 weir_grammar **ret, struct weir_error *err);
void weir_grammar_unref(weir_grammar *); /* NULL is fine */
weir_status weir_grammar_state_new(weir_grammar *, weir_grammar_state **ret,
				   struct weir_error *err);
void weir_grammar_state_free(weir_grammar_state *); /* NULL is fine */
weir_status weir_grammar_mask(weir_grammar_state *, uint32_t *ret_mask, struct weir_error *err);
weir_status weir_grammar_accept(weir_grammar_state *, int32_t token, struct weir_error *err);
bool weir_grammar_finished(const weir_grammar_state *);

/* For tests and measurements: bytes in place of a token; is the text so far a whole sentence? */
weir_status weir_grammar_accept_bytes(weir_grammar_state *, const char *bytes, size_t n,
				      struct weir_error *err);
bool weir_grammar_complete(const weir_grammar_state *);
size_t weir_grammar_bytes(weir_grammar *); /* memory, what it remembers included */

#endif
