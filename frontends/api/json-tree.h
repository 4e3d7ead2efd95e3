/*
 * frontends/api/json-tree.h - JSON text from outside as json-glib's tree, and the tree as text.
 *
 * Around what json-glib does by itself: text is checked first (json-check.h), whole numbers beyond
 * 64 bits become doubles instead of other whole numbers, and what is written is JSON again: doubles
 * in their shortest form that reads back the same (1e999 as the largest), control characters
 * escaped. Pure; any thread.
 */
#ifndef API_JSON_TREE_H
#define API_JSON_TREE_H

#include <json-glib/json-glib.h>

#include "buf.h"
#include "json-check.h"

/* NULL: it is not JSON, see *ret_fault. The tree is immutable if asked for. To be unref'd. */
JsonNode *json_tree_parse(const char *text, size_t len, bool immutable,
			  struct json_fault *ret_fault);
/* Of trees from json_tree_parse(), or no deeper: it is recursive. */
void json_tree_put(struct buf *, JsonNode *);

#endif
