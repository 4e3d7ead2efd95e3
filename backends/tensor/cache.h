/* SPDX-License-Identifier: MIT */
/*
 * cache.h - the plan of KV memory, and the memory itself: K and V of each layer in blocks.
 *
 * Called by backend.c's load and free, on a worker; read by graph.c and step.c. The core allots
 * blocks to sequences; here they are only made. Paging after Kwon et al. 2023 (PagedAttention).
 */
#ifndef WEIR_TENSOR_CACHE_H
#define WEIR_TENSOR_CACHE_H

#include "hparams.h"

/* What the profile asks for; 0: not set. */
struct weir_cache_wish {
	uint32_t n_ctx;         /* 0: the model's, less when memory does not suffice */
	uint32_t max_sequences; /* at least 1 */
	uint32_t block_tokens;  /* a power of two */
	uint32_t type;          /* WEIR_DTYPE_F32, F16, BF16 or Q8_0 */
	uint64_t memory;        /* bytes for K and V; 0: n_ctx for max_sequences if it fits */
	uint64_t memory_free;   /* what the device has left, or 0: unknown */
};

struct weir_cache_plan {
	uint32_t n_ctx, n_blocks, block_tokens, type;
	uint64_t block_bytes; /* K and V of all layers */
	uint64_t bytes;       /* n_blocks * block_bytes */
	bool short_of_memory; /* fewer blocks than n_ctx for max_sequences would take */
};

/* Pure arithmetic. Errors: EXHAUSTED (one sequence of n_ctx does not fit: says what would),
 * UNSUPPORTED (Q8_0 with head sizes that are not a multiple of 32), INVALID. */
weir_status weir_cache_plan(const struct weir_hparams *h, const struct weir_cache_wish *wish,
			    struct weir_cache_plan *ret, struct weir_error *err);

struct weir_cache {
	const struct weir_device *device;
	struct weir_instance *instance;
	uint32_t n_layers;
	weir_buffer **k, **v; /* [n_layers] */
};

weir_status weir_cache_new(const struct weir_cache_plan *plan, const struct weir_hparams *h,
			   const struct weir_device *device, struct weir_instance *instance,
			   struct weir_cache **ret, struct weir_error *err);

void weir_cache_free(struct weir_cache *c); /* NULL is fine */

/* "F16" and so on; "?" for what is no type of a cache. */
const char *weir_cache_type_name(uint32_t type);

#endif
