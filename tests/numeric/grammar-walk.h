/*
 * grammar-walk.h - a vocabulary's file as a source of grammars, and random walks along masks. Used
 * by bench-grammar and grammar-tool; one thread.
 */
#ifndef WEIR_TEST_GRAMMAR_WALK_H
#define WEIR_TEST_GRAMMAR_WALK_H

#include "grammar-engine.h"
#include "tokenizer.h"

struct walk_vocab {
	struct weir_vocab *vocab;
	struct weir_grammar_source source;
	int32_t end;       /* a token that ends an answer, or -1 */
	int32_t byte[256]; /* the token of one byte, or -1 */
};

/* Exits with a message when the file is not one. */
void walk_open(struct walk_vocab *, const char *path);
void walk_close(struct walk_vocab *);

/* A sequence of numbers from a seed (xorshift64*). */
uint64_t walk_random(uint64_t *seed);

/* One of the mask's tokens: any, or with `closing` preferably one that ends an open thing. -1: the
 * mask is empty. */
int32_t walk_pick(const struct walk_vocab *, const uint32_t *mask, uint64_t *seed, bool closing);

#endif
