/* SPDX-License-Identifier: MIT */
/*
 * answer-call.h - reads one value of a tool call as it comes: a call object, or bare arguments.
 *
 * Fed byte by byte. Arguments are handed on as they are written, as soon as the function's name is
 * known; what stands before the name is kept until then, bounded. No thread of its own.
 */
#ifndef WEIR_TENSOR_ANSWER_CALL_H
#define WEIR_TENSOR_ANSWER_CALL_H

#include <weir/base.h>

#include "grammar-json.h"

enum weir_call_state {
	WEIR_CALL_MORE,   /* goes on */
	WEIR_CALL_DONE,   /* the byte was the value's last one */
	WEIR_CALL_BROKEN, /* no call */
};

struct weir_call {
	bool bare;     /* only arguments: the name came from elsewhere */
	uint8_t where; /* private to answer-call.c, as all that follows */
	bool escaped, in_string, has_args, has_name, quoted_args;
	uint8_t level;  /* 1, or 2 within {"function": {...}} */
	uint32_t depth; /* within the value that is being read */
	struct weir_text key, value;
	struct weir_text name, id; /* results */
	struct weir_text args;     /* arguments that have not been taken; the reader empties it */
};

/* bare: the value is the arguments. */
void weir_call_begin(struct weir_call *c, bool bare);
enum weir_call_state weir_call_feed(struct weir_call *c, char byte);
void weir_call_clear(struct weir_call *c);

#endif
