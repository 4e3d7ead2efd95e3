/* SPDX-License-Identifier: MIT */
/*
 * backends/child/tale.h - what has been told of an answer, so that another process can go on with
 * it (weir/backend.h, weir.resume/1) or begin it again without a repetition. Pure.
 */
#ifndef CHILD_TALE_H
#define CHILD_TALE_H

#include <weir/stream.h>

#include "json.h"

struct tale_choice {
	GArray *tokens; /* int32_t; NULL: none */
	uint64_t events;
};

struct tale {
	bool started, result; /* result: a JSON event was told */
	uint64_t seed;
	uint64_t prompt_events;
	uint32_t n; /* choices */
	struct tale_choice *choices;
	GHashTable *vectors; /* values of VECTOR events; NULL: none */
};

void tale_init(struct tale *, uint32_t n, uint64_t seed);
void tale_clear(struct tale *);
void tale_add(struct tale *, const struct weir_event *); /* it was taken */
/* Is it of those that are told once, and was it? For what begins again: embeddings, results. */
bool tale_has(const struct tale *, const struct weir_event *);
bool tale_is_new(const struct tale *); /* nothing was told, or nothing but STARTED */
/* The field `resume`. */
void tale_put(const struct tale *, GString *out);
/* From the field; false: it does not fit n choices, and there is nothing to clear. */
bool tale_read(struct tale *, uint32_t n, const char *text, size_t len);

#endif
