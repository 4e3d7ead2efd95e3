/* SPDX-License-Identifier: MIT */
/*
 * grammar-ext.h - weir.grammar/1 for a model's vocabulary: which of its tokens are text. Used by
 * backend.c's load; the engine's functions do the rest.
 */
#ifndef WEIR_TENSOR_GRAMMAR_EXT_H
#define WEIR_TENSOR_GRAMMAR_EXT_H

#include "grammar-engine.h"
#include "vocab-ext.h"

/* vocab must outlive the engine's first grammar. Control, unknown and unused tokens, and markers
 * such as <|so|>, are never allowed by a grammar. */
weir_status weir_grammar_ext_new(const struct weir_vocab_ext *vocab, uint32_t n_vocab,
				 struct weir_grammar_engine **ret, struct weir_error *err);

#endif
