/* SPDX-License-Identifier: MIT */
/*
 * grammar-mask.h - which tokens may follow: a network against the tree of a vocabulary.
 *
 * A masker makes a network deterministic as far as it is asked, remembers masks of whole
 * situations, and of parts of them. A part is what the nodes of one rule allow while nothing is
 * known of the rule's callers: its tokens, and the places in the tree where the rule may end, from
 * where the walk goes on in the callers. The text of a JSON string is one part in all schemas, so a
 * model keeps it once, in the masker of the prelude. A counted repetition of a rule without calls
 * is one part as well: each token is kept with the number of rounds that it takes.
 *
 * Locked inside: [any]. What it remembers is bounded; beyond, it forgets all of it and goes on.
 */
#ifndef WEIR_TENSOR_GRAMMAR_MASK_H
#define WEIR_TENSOR_GRAMMAR_MASK_H

#include "grammar-run.h"
#include "grammar-trie.h"

struct weir_masker;

/* All but err live as long as the masker. prelude: of the net that `net` was built on, or NULL. */
weir_status weir_masker_new(const struct weir_net *net, const struct weir_trie *trie,
			    struct weir_masker *prelude, struct weir_masker **ret,
			    struct weir_error *err);
void weir_masker_free(struct weir_masker *); /* NULL is fine */

/* The mask of configurations of another run of the net: trie->n_words words, all written.
 * EXHAUSTED: too ambiguous. INVALID: no token fits. */
weir_status weir_masker_mask(struct weir_masker *, const struct weir_run *run,
			     const struct weir_configs *configs, uint32_t *ret_mask,
			     struct weir_error *err);

/* Works out ahead what a node allows: as it is, or in rounds of its rule. */
weir_status weir_masker_warm(struct weir_masker *, uint32_t node, uint32_t rule, bool rounds,
			     struct weir_error *err);

size_t weir_masker_bytes(struct weir_masker *); /* what is remembered */

#endif
