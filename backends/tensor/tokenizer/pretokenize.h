/* SPDX-License-Identifier: MIT */
/*
 * pretokenize.h - cuts text into the words within which byte-level BPE merges. Constant; any
 * thread.
 *
 * Models publish this step as regular expressions; here each is a hand-written scanner with the
 * same result, linear in the text whatever the text is. Bytes that are no UTF-8 count as runes of
 * no class. tests/unit/test-pretokenize.c holds the published patterns and compares.
 */
#ifndef WEIR_TENSOR_PRETOKENIZE_H
#define WEIR_TENSOR_PRETOKENIZE_H

#include <weir/base.h>

struct weir_pretokenizer;

/* By the file's tokenizer.ggml.pre; NULL: unknown here. */
const struct weir_pretokenizer *weir_pretokenizer_find(struct weir_str name);

/* What a file without, or with an unknown name gets ("default"). */
const struct weir_pretokenizer *weir_pretokenizer_fallback(void);

/* Models of this family take a word that is a token as that token, whatever the merges say. */
bool weir_pretokenizer_ignores_merges(const struct weir_pretokenizer *pre);

/* Models of this family begin with bos unless their file says otherwise. */
bool weir_pretokenizer_adds_bos(const struct weir_pretokenizer *pre);

/* Gets each word, in order, none of them empty; together they are the text. False stops. */
typedef bool (*weir_word_fn)(void *user, const char *word, size_t len);

/* False: word_fn has stopped it. */
bool weir_pretokenize(const struct weir_pretokenizer *pre, struct weir_str text,
		      weir_word_fn word_fn, void *user);

#endif
