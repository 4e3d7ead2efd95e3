/* SPDX-License-Identifier: MIT */
/*
 * grammar-trie.h - the tokens of a vocabulary as a tree of bytes, flat in depth-first order.
 *
 * Made once for a model; constant afterwards, [any]. Node 0 is the root; the subtree of node i is
 * i + 1 .. nodes[i].end. Tokens without text, control tokens and end tokens are not in it.
 */
#ifndef WEIR_TENSOR_GRAMMAR_TRIE_H
#define WEIR_TENSOR_GRAMMAR_TRIE_H

#include <weir/base.h>

#define WEIR_TRIE_DEPTH 512u /* longer tokens are left out */

/* Where tokens come from. Called while the tree is made only. */
struct weir_grammar_source {
	uint32_t n_vocab;
	/* The bytes that a token adds to the text, as weir_tokenizer.piece; 0: never allowed. */
	size_t (*piece)(const void *ctx, int32_t token, char *out, size_t cap);
	bool (*is_end)(const void *ctx, int32_t token);
	const void *ctx;
};

struct weir_trie_node {
	uint32_t end;
	int32_t token; /* -1: no token ends here; more with the same bytes by same[] */
	uint16_t depth;
	uint8_t byte, reserved;
};

struct weir_trie {
	uint32_t n_vocab, n_words, n_nodes, n_tokens, n_ends, longest;
	struct weir_trie_node *nodes;
	int32_t *same;    /* by token: the next one with the same bytes, or -1 */
	uint32_t *offset; /* by token, n_vocab + 1: its bytes in text */
	char *text;
	int32_t *ends;
};

weir_status weir_trie_new(const struct weir_grammar_source *, struct weir_trie **ret,
			  struct weir_error *err);
void weir_trie_free(struct weir_trie *); /* NULL is fine */

#endif
