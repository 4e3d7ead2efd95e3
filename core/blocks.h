/*
 * core/blocks.h - which KV block belongs to whom: reference counts, free blocks, and blocks whose
 * contents are remembered for requests that begin alike (prefix caching).
 *
 * Only the scheduler's thread calls. A block is free, or used (refs > 0), or remembered: nobody
 * uses it, but find() may bring it back until take() needs it, the one that was let go first going
 * first. Who lets go of a sequence's blocks begins at its tail, so that heads, which more requests
 * share, stay longest. Only full blocks are remembered.
 */
#ifndef WEIR_CORE_BLOCKS_H
#define WEIR_CORE_BLOCKS_H

#include "prefix.h"

struct weir_blocks;

/* EXHAUSTED: so many blocks cannot be managed. */
weir_status weir_blocks_new(uint32_t n_blocks, uint32_t block_tokens, struct weir_blocks **ret,
			    struct weir_error *err);
void weir_blocks_free(struct weir_blocks *);

/* A block with one reference; false: every block is in use. */
bool weir_blocks_take(struct weir_blocks *, uint32_t *ret);
void weir_blocks_ref(struct weir_blocks *, uint32_t block);
void weir_blocks_unref(struct weir_blocks *, uint32_t block);
uint32_t weir_blocks_refs(const struct weir_blocks *, uint32_t block);

uint32_t weir_blocks_size(const struct weir_blocks *);      /* tokens in a block */
uint32_t weir_blocks_available(const struct weir_blocks *); /* take() succeeds so often */
uint32_t weir_blocks_remembered(const struct weir_blocks *);

struct weir_prefix_key weir_blocks_root(const struct weir_blocks *, struct weir_str salt);
/* The block that holds these block_tokens tokens behind parent, with a reference more. The ids and
 * the parent are compared, not only the hash. */
bool weir_blocks_find(struct weir_blocks *, struct weir_prefix_key parent, const int32_t *tokens,
		      struct weir_prefix_key *ret_key, uint32_t *ret_block);
/* Remembers a full block whose contents have been computed; the first of two alike stays. */
struct weir_prefix_key weir_blocks_remember(struct weir_blocks *, uint32_t block,
					    struct weir_prefix_key parent, const int32_t *tokens);
/* After a failed device: nothing that is remembered can be trusted. */
void weir_blocks_forget(struct weir_blocks *);

#endif
