/* SPDX-License-Identifier: MIT */
/*
 * grammar-term.h - what GBNF and regular expressions are read into: terms over characters, and how
 * they become a network. One thread; the terms live as long as their tree.
 */
#ifndef WEIR_TENSOR_GRAMMAR_TERM_H
#define WEIR_TENSOR_GRAMMAR_TERM_H

#include "grammar-net.h"

#define WEIR_TERM_DEPTH 200
#define WEIR_TERM_MOST  1000000u /* the largest bound of a repetition */

enum weir_term_kind {
	WEIR_TERM_EMPTY,
	WEIR_TERM_RUNES,
	WEIR_TERM_SEQUENCE,
	WEIR_TERM_CHOICE,
	WEIR_TERM_REPEAT, /* of its only child */
	WEIR_TERM_RULE,
	WEIR_TERM_BEGIN, /* anchors: in regular expressions only, gone before emit() */
	WEIR_TERM_END,
};

struct weir_term {
	enum weir_term_kind kind;
	uint32_t min, max, rule;
	uint32_t size; /* about so many edges, saturating */
	uint32_t n_ranges;
	struct weir_rune_range *ranges;
	struct weir_term *first, *last, *next;
};

struct weir_terms {
	struct weir_terms_chunk *chunks;
	bool exhausted;
};

enum weir_term_mode {
	WEIR_TERM_JSON = 1, /* as the text of a JSON string, each character spelled in one way */
	WEIR_TERM_FLAT = 2, /* without calls: repetitions are written out */
};

void weir_terms_clear(struct weir_terms *);
/* NULL: no memory, and `exhausted` is set. */
struct weir_term *weir_term_new(struct weir_terms *, enum weir_term_kind kind);
struct weir_term *weir_term_runes(struct weir_terms *, const struct weir_rune_range *, size_t n);
struct weir_term *weir_term_repeat(struct weir_terms *, struct weir_term *, uint32_t min,
				   uint32_t max);
/* Also adds up sizes. */
void weir_term_append(struct weir_term *parent, struct weir_term *child);
void weir_term_emit(struct weir_net *, const struct weir_term *, uint32_t from, uint32_t to,
		    unsigned mode);

/* Sorts and joins ranges in place; returns how many are left. */
size_t weir_ranges_normalise(struct weir_rune_range *, size_t n);
/* The characters that are in none of the (normalised) ranges; out has room for n + 1. */
size_t weir_ranges_negate(const struct weir_rune_range *, size_t n, struct weir_rune_range *out);

/*
 * A regular expression: an ECMA-262 subset without lookaround, backreferences and word boundaries;
 * these are refused with their place (UNSUPPORTED), mistakes too (INVALID). A lazy quantifier means
 * the same as a greedy one here. search: as JSON Schema has it, the expression matches anywhere
 * unless ^ and $ hold it; else it is the whole text. Nothing may follow each other around anchors
 * that are not at the ends.
 */
weir_status weir_regex_read(struct weir_terms *, struct weir_str text, bool search,
			    struct weir_term **ret, struct weir_error *err);

/* A GBNF text into the net, whose root is set. INVALID with line and column. */
weir_status weir_gbnf_read(struct weir_net *, struct weir_str text, struct weir_error *err);

#endif
