/* SPDX-License-Identifier: MIT */
/*
 * answer.h - reads a model's answer: thoughts, content and tool calls; weir.answer/1 without the
 * instance.
 *
 * A weir_answer belongs to one choice and is used by one thread at a time; what it reads is a
 * model's and therefore untrusted: whatever is written, every byte comes out as content, reasoning
 * or arguments, but for markers and the white space around them.
 */
#ifndef WEIR_TENSOR_ANSWER_H
#define WEIR_TENSOR_ANSWER_H

#include <weir/answer.h>

#include "answer-notation.h"

/* As weir_answer_api.open. tail: the end of the rendered prompt, where a template may have begun a
 * thought. ret_prefix, ret_grammar: as there, set in any case. Errors: INVALID (tools or
 * tool_choice cannot be: param says which), EXHAUSTED. */
weir_status weir_answer_open(const struct weir_answer_notation *n, struct weir_str context,
			     struct weir_str tail, struct weir_str id, weir_answer **ret,
			     char **ret_prefix, char **ret_grammar, struct weir_error *err);
void weir_answer_feed(weir_answer *a, struct weir_str text,
		      void (*part)(void *data, uint32_t kind, struct weir_str text), void *data);
bool weir_answer_finish(weir_answer *a,
			void (*part)(void *data, uint32_t kind, struct weir_str text), void *data);
bool weir_answer_thinks(const weir_answer *a);
void weir_answer_free(weir_answer *a); /* NULL is fine */

#endif
