/*
 * core/gateway-affinity.h - which backend was the last to serve a prompt that began alike: there
 * its KV blocks may still be.
 *
 * Keys stand for the first 256, 384, 512, 768 ... 49152 bytes of a prompt as the client has sent it
 * (messages, text or tokens), behind its tenant, adapter and tools: no tokenizer is asked, so that
 * it works for any backend. They are hashes under a key of their own process (prefix.h). The table
 * has a fixed size and forgets the oldest.
 */
#ifndef WEIR_CORE_GATEWAY_AFFINITY_H
#define WEIR_CORE_GATEWAY_AFFINITY_H

#include <weir/stream.h>

#define WEIR_AFFINITY_KEYS 16

struct weir_affinity;

struct weir_affinity_keys { /* of one prompt, the shortest beginning first */
	bool made;
	uint32_t n; /* 0: too short to matter, or no prompt */
	uint64_t keys[WEIR_AFFINITY_KEYS];
};

struct weir_affinity *weir_affinity_new(void);
void weir_affinity_free(struct weir_affinity *); /* NULL: nothing */
/* [any] */
void weir_affinity_hash(const struct weir_affinity *, const weir_request *,
			struct weir_affinity_keys *ret);
/* How many of the keys name: it was the last to serve the n-th, and 0 for none. name is compared as
 * a pointer. The caller's lock, as the next. */
uint32_t weir_affinity_find(const struct weir_affinity *, const struct weir_affinity_keys *,
			    const char *name);
/* It serves the prompt. name is kept. */
void weir_affinity_note(struct weir_affinity *, const struct weir_affinity_keys *,
			const char *name);

#endif
