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
/* A part of a call as OpenAI's chat has it; id and name come with the first part. NULL: not in it.
 */
struct tool_delta {
	int64_t index;
	char *id, *name, *arguments;
};
bool tool_delta_read(struct weir_str text, struct tool_delta *ret); /* false: it is none */
void tool_delta_clear(struct tool_delta *);

/* deltas: valid ones, comma-separated. Appends the array of whole calls: strings of the same index
 * are joined, in order. */
void tool_deltas_merge(struct buf *deltas, struct buf *out);

#endif
