/* SPDX-License-Identifier: MIT */
/*
 * answer-notation.h - how a family of models writes its thoughts and its tool calls.
 *
 * Data, chosen once per model by what its chat template contains: a template that renders earlier
 * calls shows how the model writes new ones. Constant; any thread.
 */
#ifndef WEIR_TENSOR_ANSWER_NOTATION_H
#define WEIR_TENSOR_ANSWER_NOTATION_H

#include <weir/base.h>

enum weir_call_style {
	WEIR_CALL_NONE,
	WEIR_CALL_OBJECTS,  /* JSON: {"name": f, "arguments": {...}}, or a list of such */
	WEIR_CALL_HEADER,   /* f, a separator, the arguments as JSON */
	WEIR_CALL_FUNCTION, /* <function=f><parameter=p>value</parameter></function> */
	WEIR_CALL_KEYS,     /* f <arg_key>p</arg_key><arg_value>value</arg_value> */
	WEIR_CALL_HARMONY,  /* <|channel|>commentary to=functions.f<|message|>{...}<|call|> */
};

#define WEIR_MAX_MARKERS 4

struct weir_call_notation {
	const char *probe[2]; /* all of these are in the template */
	enum weir_call_style style;
	const char *open;      /* begins calls; NULL: the answer's first character is a brace */
	const char *close;     /* ends them; NULL: the value's own end does */
	const char *separator; /* HEADER: between name and arguments */
	const char *drop[WEIR_MAX_MARKERS]; /* around calls, without a meaning of their own */
	const char *arguments;              /* OBJECTS: the member's name, for forced calls */
};

struct weir_thought_notation {
	const char *open, *close;
};

struct weir_answer_notation {
	const struct weir_call_notation *calls;       /* NULL: none known */
	const struct weir_thought_notation *thoughts; /* NULL: none */
};

void weir_answer_notation_of(struct weir_str chat_template, struct weir_answer_notation *ret);

/* Is this text one of the notation's markers? */
bool weir_answer_notation_has(const struct weir_answer_notation *n, struct weir_str text);

#endif
