/* SPDX-License-Identifier: MIT */
/*
 * weir/grammar.h - output that must be in a language, offered by a level-B backend beside step().
 *
 * A grammar is compiled once for a request (and may be cached by its text), then every choice of
 * the request has a state of its own. Before each draw the core asks for the mask of allowed
 * tokens and puts it into weir_row.mask; after the draw it tells the state the token. The end
 * tokens of the model are allowed exactly where the text so far is a whole sentence. Usable after
 * load() has succeeded.
 */
#ifndef WEIR_GRAMMAR_H
#define WEIR_GRAMMAR_H

#include <weir/plugin.h>

#define WEIR_GRAMMAR "weir.grammar/1"

typedef struct weir_grammar weir_grammar;             /* compiled, constant, reference-counted */
typedef struct weir_grammar_state weir_grammar_state; /* one choice's place in it */

struct weir_grammar_api {
	uint32_t size, reserved;
	/* spec: the request's field `grammar` (weir/stream.h). INVALID: what is wrong and where,
	 * with the line and column of a GBNF, the JSON pointer of a schema; UNSUPPORTED: a keyword
	 * that cannot be honoured is named, never ignored. Bounded in time and memory: EXHAUSTED.
	 * The caller gets a reference. [worker] */
	weir_status (*compile)(struct weir_instance *, struct weir_str spec, weir_grammar **ret,
			       struct weir_error *err);
	void (*unref)(weir_grammar *); /* [any] */
	/* A state at the beginning; keeps a reference of the grammar. [any] */
	weir_status (*state_new)(weir_grammar *, weir_grammar_state **ret, struct weir_error *err);
	void (*state_free)(weir_grammar_state *); /* [any] */
	/* The allowed tokens: bit t % 32 of word t / 32 of (n_vocab + 31) / 32 words. At least one
	 * bit is set. Different states may be asked from different threads at once. [any] */
	weir_status (*mask)(weir_grammar_state *, uint32_t *ret_mask, struct weir_error *err);
	/* The token was drawn. INVALID: the mask did not allow it; the state stays. [any] */
	weir_status (*accept)(weir_grammar_state *, int32_t token, struct weir_error *err);
	/* Nothing but the end may follow: the core ends the choice without another step. [any] */
	bool (*finished)(const weir_grammar_state *);
};
WEIR_FROZEN(struct weir_grammar_api, finished);

#endif
