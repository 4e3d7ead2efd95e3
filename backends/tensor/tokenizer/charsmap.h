/* SPDX-License-Identifier: MIT */
/*
 * charsmap.h - SentencePiece's table of text normalisation: a double array (Aoe 1989) from
 * sequences of bytes to what stands for them. Constant after load; any thread.
 *
 * As files have it: u32 bytes of the array, the array of u32 units, then NUL-terminated texts at
 * the offsets that the array holds.
 */
#ifndef WEIR_TENSOR_CHARSMAP_H
#define WEIR_TENSOR_CHARSMAP_H

#include <weir/base.h>

#include "gguf.h"

struct weir_charsmap;

/* From an array of bytes. An empty one gives NULL. Errors: INVALID, EXHAUSTED. */
weir_status weir_charsmap_load(const struct weir_gguf_array *bytes, struct weir_charsmap **ret,
			       struct weir_error *err);
void weir_charsmap_free(struct weir_charsmap *map); /* NULL is fine */

/* The longest sequence at p that the table replaces: its length, and what stands for it, which
 * lives as long as the table. 0: none. map NULL: none. */
size_t weir_charsmap_match(const struct weir_charsmap *map, const char *p, size_t len,
			   struct weir_str *ret);

#endif
