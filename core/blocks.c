/*
 * blocks.c - see blocks.h. All links are indices into one array; NONE ends a list.
 */
#include "blocks.h"

#include <string.h>

#include <glib.h>

#include "log.h"

#define NONE UINT32_MAX

struct block {
	uint32_t refs;
	uint32_t older, newer; /* among those nobody uses; older also chains the free ones */
	uint32_t same_bucket;
	bool known; /* in the index */
	struct weir_prefix_key key, parent;
};

struct weir_blocks {
	uint32_t n, block_tokens, n_buckets;
	uint32_t first_free, n_free;
	uint32_t oldest, newest, n_idle; /* remembered and unused */
	struct weir_prefix_secret secret;
	struct block *at;
	uint32_t *buckets;
	int32_t *tokens; /* block_tokens for each block, of those known */
};

weir_status weir_blocks_new(uint32_t n_blocks, uint32_t block_tokens, struct weir_blocks **ret,
			    struct weir_error *err)
{
	struct weir_blocks *b = g_new0(struct weir_blocks, 1);

	b->n = n_blocks;
	b->block_tokens = block_tokens;
	b->n_buckets = 1;
	while (b->n_buckets < n_blocks && b->n_buckets < 1u << 30)
		b->n_buckets *= 2;
	b->at = g_try_new0(struct block, MAX(1u, n_blocks));
	b->buckets = g_try_new(uint32_t, b->n_buckets);
	b->tokens = (uint64_t)n_blocks * block_tokens > SIZE_MAX / 64
			    ? NULL
			    : g_try_malloc((size_t)MAX(1u, n_blocks) * MAX(1u, block_tokens) * 4);
	if (!b->at || !b->buckets || !b->tokens) {
		weir_blocks_free(b);
		return weir_fail(err, WEIR_E_EXHAUSTED,
				 "no memory for a table of %u KV blocks of %u tokens", n_blocks,
				 block_tokens);
	}
	weir_prefix_secret_draw(&b->secret);
	memset(b->buckets, 0xff, b->n_buckets * sizeof(*b->buckets));
	b->oldest = b->newest = b->first_free = NONE;
	for (uint32_t i = n_blocks; i-- > 0;) {
		b->at[i].older = b->first_free;
		b->first_free = i;
	}
	b->n_free = n_blocks;
	*ret = b;
	return WEIR_OK;
}

void weir_blocks_free(struct weir_blocks *b)
{
	if (!b)
		return;
	g_free(b->at);
	g_free(b->buckets);
	g_free(b->tokens);
	g_free(b);
}

/* --- the index ----------------------------------------------------------------------------- */

static uint32_t *bucket(struct weir_blocks *b, struct weir_prefix_key key)
{
	return &b->buckets[key.a & (b->n_buckets - 1)];
}

static int32_t *tokens_of(struct weir_blocks *b, uint32_t block)
{
	return b->tokens + (size_t)block * b->block_tokens;
}

static void index_remove(struct weir_blocks *b, uint32_t block)
{
	uint32_t *at = bucket(b, b->at[block].key);

	while (*at != block)
		at = &b->at[*at].same_bucket;
	*at = b->at[block].same_bucket;
	b->at[block].known = false;
}

static bool same_key(struct weir_prefix_key a, struct weir_prefix_key b)
{
	return a.a == b.a && a.b == b.b;
}

static uint32_t lookup(struct weir_blocks *b, struct weir_prefix_key key,
		       struct weir_prefix_key parent, const int32_t *tokens)
{
	uint32_t i = *bucket(b, key);

	while (i != NONE && !(same_key(b->at[i].key, key) && same_key(b->at[i].parent, parent) &&
			      memcmp(tokens_of(b, i), tokens, b->block_tokens * 4u) == 0))
		i = b->at[i].same_bucket;
	return i;
}

/* --- idle blocks --------------------------------------------------------------------------- */

static void idle_add(struct weir_blocks *b, uint32_t block)
{
	b->at[block].older = b->newest;
	b->at[block].newer = NONE;
	if (b->newest != NONE)
		b->at[b->newest].newer = block;
	else
		b->oldest = block;
	b->newest = block;
	b->n_idle++;
}

static void idle_remove(struct weir_blocks *b, uint32_t block)
{
	struct block *x = &b->at[block];

	if (x->older != NONE)
		b->at[x->older].newer = x->newer;
	else
		b->oldest = x->newer;
	if (x->newer != NONE)
		b->at[x->newer].older = x->older;
	else
		b->newest = x->older;
	b->n_idle--;
}

static void free_add(struct weir_blocks *b, uint32_t block)
{
	b->at[block].older = b->first_free;
	b->first_free = block;
	b->n_free++;
}

/* --- the calls ----------------------------------------------------------------------------- */

bool weir_blocks_take(struct weir_blocks *b, uint32_t *ret)
{
	uint32_t block = b->first_free;

	if (block != NONE) {
		b->first_free = b->at[block].older;
		b->n_free--;
	} else if (b->oldest != NONE) {
		block = b->oldest;
		idle_remove(b, block);
		index_remove(b, block);
	} else {
		return false;
	}
	b->at[block].refs = 1;
	*ret = block;
	return true;
}

void weir_blocks_ref(struct weir_blocks *b, uint32_t block)
{
	if (b->at[block].refs++ == 0)
		idle_remove(b, block);
}

void weir_blocks_unref(struct weir_blocks *b, uint32_t block)
{
	g_assert(b->at[block].refs > 0);
	if (--b->at[block].refs > 0)
		return;
	if (b->at[block].known)
		idle_add(b, block);
	else
		free_add(b, block);
}

uint32_t weir_blocks_refs(const struct weir_blocks *b, uint32_t block)
{
	return b->at[block].refs;
}

uint32_t weir_blocks_size(const struct weir_blocks *b)
{
	return b->block_tokens;
}

uint32_t weir_blocks_available(const struct weir_blocks *b)
{
	return b->n_free + b->n_idle;
}

uint32_t weir_blocks_remembered(const struct weir_blocks *b)
{
	return b->n_idle;
}

struct weir_prefix_key weir_blocks_root(const struct weir_blocks *b, struct weir_str salt)
{
	return weir_prefix_root(&b->secret, salt);
}

bool weir_blocks_find(struct weir_blocks *b, struct weir_prefix_key parent, const int32_t *tokens,
		      struct weir_prefix_key *ret_key, uint32_t *ret_block)
{
	struct weir_prefix_key key = weir_prefix_next(&b->secret, parent, tokens, b->block_tokens);
	uint32_t block = lookup(b, key, parent, tokens);

	if (block == NONE)
		return false;
	weir_blocks_ref(b, block);
	*ret_key = key;
	*ret_block = block;
	return true;
}

struct weir_prefix_key weir_blocks_remember(struct weir_blocks *b, uint32_t block,
					    struct weir_prefix_key parent, const int32_t *tokens)
{
	struct weir_prefix_key key = weir_prefix_next(&b->secret, parent, tokens, b->block_tokens);
	struct block *x = &b->at[block];

	if (x->known || lookup(b, key, parent, tokens) != NONE)
		return key;
	x->known = true;
	x->key = key;
	x->parent = parent;
	memcpy(tokens_of(b, block), tokens, b->block_tokens * 4u);
	x->same_bucket = *bucket(b, key);
	*bucket(b, key) = block;
	return key;
}

void weir_blocks_forget(struct weir_blocks *b)
{
	while (b->oldest != NONE) {
		uint32_t block = b->oldest;

		idle_remove(b, block);
		index_remove(b, block);
		free_add(b, block);
	}
	for (uint32_t i = 0; i < b->n; i++)
		if (b->at[i].known)
			index_remove(b, i);
}
