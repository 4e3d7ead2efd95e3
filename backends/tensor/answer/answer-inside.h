/* SPDX-License-Identifier: MIT */
/*
 * answer-inside.h - a reader's state, shared by answer*.c only.
 */
#ifndef WEIR_TENSOR_ANSWER_INSIDE_H
#define WEIR_TENSOR_ANSWER_INSIDE_H

#include "answer-call.h"
#include "answer.h"
#include "grammar-json.h"

enum weir_answer_state {
	WEIR_READ_CONTENT,
	WEIR_READ_THOUGHT,
	WEIR_READ_CALLS,      /* OBJECTS: between two */
	WEIR_READ_OBJECT,     /* within one */
	WEIR_READ_NAME,       /* HEADER, FUNCTION, KEYS: the function's name */
	WEIR_READ_FENCE,      /* HEADER: up to the arguments' brace */
	WEIR_READ_ARGS,       /* HEADER: the arguments */
	WEIR_READ_TAIL,       /* HEADER: up to the closing marker */
	WEIR_READ_PARAMETERS, /* FUNCTION, KEYS */
	WEIR_READ_HEADER,     /* HARMONY: a message's header */
	WEIR_READ_BODY,       /* and its body */
};

typedef void (*weir_part_fn)(void *data, uint32_t kind, struct weir_str text);

struct weir_answer {
	struct weir_answer_notation n;
	struct weir_json_tree *context;
	const struct weir_json *tools; /* a non-empty array, or NULL: calls are not looked for */
	char id[48];
	bool parallel, thinks;

	enum weir_answer_state state;
	bool lead;             /* nothing but white space has come since the last marker */
	bool listed, closed;   /* OBJECTS: within [ ]; behind its end */
	struct weir_text held; /* text that has not been understood yet */
	size_t at;             /* of held: so much is done */
	struct weir_text raw;  /* what to give back if it is no call after all */
	struct weir_call call;
	bool started, muted; /* the call's first fragment went out; a call too many */
	uint32_t n_calls, n_params;
	uint32_t body; /* HARMONY: enum weir_answer_part of the body */

	/* Of the feed() that runs. */
	weir_part_fn part;
	void *data;
	uint32_t out_kind;
	struct weir_text out;
};

/* answer-parts.c: what goes out. Neighbours of a kind leave as one part. */
void weir_answer_put(weir_answer *a, uint32_t kind, const char *data, size_t len);
void weir_answer_flush(weir_answer *a);
/* A call begins: true if there is such a function (calls too many are muted). */
bool weir_answer_call_starts(weir_answer *a, struct weir_str name, struct weir_str id);
void weir_answer_call_args(weir_answer *a, const char *data, size_t len);
void weir_answer_call_ends(weir_answer *a);
/* The function of that name in tools, or NULL. */
const struct weir_json *weir_answer_function(const struct weir_json *tools, struct weir_str name);

/* answer-xml.c: one step over the held text in state PARAMETERS. False: more text is needed. */
bool weir_answer_parameters(weir_answer *a);

/* answer-read.c, for answer-xml.c. The first place of a marker from `at` on, or SIZE_MAX. */
size_t weir_answer_find(const weir_answer *a, const char *marker);

#endif
