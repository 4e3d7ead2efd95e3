/* SPDX-License-Identifier: MIT */
/*
 * weir/answer.h - what a model's text means: reasoning, content, tool calls. Offered by a level-B
 * backend beside step(), because it hangs on the model's chat template.
 *
 * The core makes one reader for each choice of a chat, hands it the text as it comes (after stop
 * strings, whole runes) and emits what it gets back. Nothing is held back longer than a proper
 * prefix of a marker; finish() gives what was held. Text that only looks like a call comes back as
 * content, unchanged: concatenated, parts are never lost.
 */
#ifndef WEIR_ANSWER_H
#define WEIR_ANSWER_H

#include <weir/plugin.h>

#define WEIR_ANSWER "weir.answer/1"

typedef struct weir_answer weir_answer; /* one choice's reader; not thread-safe */

enum weir_answer_part {
	WEIR_PART_CONTENT = 1,
	WEIR_PART_REASONING = 2,
	WEIR_PART_TOOL = 3, /* a fragment of OpenAI's delta object: {"index", "id"?, "type"?,
			       "function": {"name"?, "arguments"?}} */
};

struct weir_answer_api {
	uint32_t size, reserved;
	/* context: the object that encode_chat() got, with "tool_choice", "parallel_tool_calls" and
	 * "reasoning" (the request's fields of these names, where given) beside it; id: the
	 * request's, from which call ids are made. *ret NULL and OK: this model's text is plain.
	 * When tool_choice demands a call (required, a named function): *ret_prefix goes behind the
	 * prompt, with control tokens recognised, as if the model had begun so (the reader knows of
	 * it), and *ret_grammar is a spec (weir/grammar.h) for what follows; either may be NULL;
	 * both are freed with free(). INVALID: no such function. [worker] */
	weir_status (*open)(struct weir_instance *, struct weir_str context, struct weir_str id,
			    weir_answer **ret, char **ret_prefix, char **ret_grammar,
			    struct weir_error *err);
	/* This control token belongs to the notation: feed() wants its text, which is else left out
	 * of an answer. [any] */
	bool (*shows)(struct weir_instance *, int32_t token);
	/* Calls part() for each part of the text. [any] */
	void (*feed)(weir_answer *, struct weir_str text,
		     void (*part)(void *data, uint32_t kind, struct weir_str text), void *data);
	/* The answer is over. Returns true if it holds tool calls. */
	bool (*finish)(weir_answer *, void (*part)(void *data, uint32_t kind, struct weir_str text),
		       void *data);
	void (*free)(weir_answer *);
	/* Would more text be a thought? NULL: see what the parts were. [any] */
	bool (*thinks)(const weir_answer *);
};
WEIR_FROZEN(struct weir_answer_api, thinks);

#endif
