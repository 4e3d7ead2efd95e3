/*
 * core/prefix.h - keys of KV blocks: a keyed hash over everything that a block's contents depend
 * on.
 *
 * A block's key is SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", and their 128-bit extension) over its parent's key and its own token ids; the
 * first parent is the hash of a salt, the tenant. The hash's own key is drawn once a process, so
 * that no client can construct collisions, or learn by timing what another tenant has asked.
 */
#ifndef WEIR_CORE_PREFIX_H
#define WEIR_CORE_PREFIX_H

#include <weir/base.h>

struct weir_prefix_key {
	uint64_t a, b;
};

struct weir_prefix_secret {
	uint64_t k0, k1;
};

void weir_prefix_secret_draw(struct weir_prefix_secret *ret);
struct weir_prefix_key weir_prefix_hash(const struct weir_prefix_secret *, const void *data,
					size_t len);
struct weir_prefix_key weir_prefix_root(const struct weir_prefix_secret *, struct weir_str salt);
struct weir_prefix_key weir_prefix_next(const struct weir_prefix_secret *,
					struct weir_prefix_key parent, const int32_t *tokens,
					uint32_t n);

#endif
