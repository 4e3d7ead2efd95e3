/* SPDX-License-Identifier: MIT */
/*
 * grammar-prelude.h - JSON itself as rules, the beginning of every network of a model.
 *
 * Every net begins with the same nodes and rules, so that what a vocabulary allows within them is
 * worked out once (grammar-mask.h). Between tokens of JSON there is one space or none; numbers have
 * at most 20 digits on either side; strings have no unpaired surrogates.
 */
#ifndef WEIR_TENSOR_GRAMMAR_PRELUDE_H
#define WEIR_TENSOR_GRAMMAR_PRELUDE_H

#include "grammar-net.h"

struct weir_prelude { /* rules, and nodes inside */
	uint32_t value, object, array, string, number, integer;
	uint32_t character; /* of a string: one, for strings whose length counts */
	uint32_t in_string; /* a node: between the quotes of any string */
};

struct weir_net *weir_prelude_new(struct weir_prelude *ret, struct weir_error *err);

/* One character inside of a string. single: it counts as one (no pair of escapes). */
void weir_prelude_character(struct weir_net *, uint32_t from, uint32_t to, bool single);
/* One space or none. */
void weir_prelude_space(struct weir_net *, uint32_t from, uint32_t to);
/* Up to n digits, more than the one that `from` stands behind. */
void weir_prelude_digits(struct weir_net *, uint32_t from, uint32_t to, unsigned n);

#endif
