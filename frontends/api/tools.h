/*
 * frontends/api/tools.h - tool call deltas, which a backend emits as JSON text. Pure.
 */
#ifndef API_TOOLS_H
#define API_TOOLS_H

#include <stdbool.h>

#include <weir/base.h>

#include "buf.h"

/* May this text stand in a tool_calls array of a chunk? One JSON object. */
bool tool_delta_valid(struct weir_str text);
/* deltas: valid ones, comma-separated. Appends the array of whole calls: strings of the same index
 * are joined, in order. */
void tool_deltas_merge(struct buf *deltas, struct buf *out);

#endif
