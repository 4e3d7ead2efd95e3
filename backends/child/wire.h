/* SPDX-License-Identifier: MIT */
/*
 * backends/child/wire.h - requests as lines for the other process, and its lines as events, ends
 * and answers (docs/line-protocol.md, "Between two processes"). Pure.
 *
 * What comes back is untrusted: a line that is not what the protocol says is refused as a whole.
 */
#ifndef CHILD_WIRE_H
#define CHILD_WIRE_H

#include <weir/stream.h>

#include "json.h"
#include "tale.h"

#define WIRE_MAX_CHOICES 128u
#define WIRE_MAX_GRANT   1000000u /* of one line */

/* What stands behind the credit in a request's line. tale NULL: the answer begins. */
void wire_put_request(GString *, const struct weir_request_api *, const weir_request *,
		      const struct tale *);
/* The whole line of a request. */
void wire_put_submit(GString *, uint64_t id, uint32_t credit, const GString *request);
void wire_put_grant(GString *, uint64_t id, uint32_t n);
void wire_put_cancel(GString *, uint64_t id);
void wire_put_ask(GString *, const char *method); /* answered under the method's name as the id */

enum wire_kind {
	WIRE_EVENT,
	WIRE_END,
	WIRE_ANSWER, /* of wire_put_ask(): name, result */
	WIRE_FAULT,  /* it refuses what was asked: id or name, text */
};

struct wire_message { /* valid until the next wire_read() with the same scratch */
	enum wire_kind kind;
	uint64_t id;
	char name[16]; /* "": the id is a number */
	struct weir_event event;
	struct weir_end end;
	struct json_span result;
	struct weir_str text;
};

struct wire_scratch {
	GString *text, *raw, *tops;
	struct weir_top_logprob top[20];
	struct weir_choice_end choices[WIRE_MAX_CHOICES];
};

void wire_scratch_init(struct wire_scratch *);
void wire_scratch_clear(struct wire_scratch *);
/* NULL, or what is wrong with the line. */
const char *wire_read(const char *line, size_t len, struct wire_scratch *,
		      struct wire_message *ret);

#endif
