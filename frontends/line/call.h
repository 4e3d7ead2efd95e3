/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/call.h - one request on its way: its stream, its credit, its answer. [loop]
 *
 * A call outlives its peer: when that is gone the stream is cancelled, and its end frees the call.
 * Credit: `outstanding` events may still come; they are topped up to a window while the peer's
 * output is empty, in manual flow no further than `allowance`.
 */
#ifndef LINE_CALL_H
#define LINE_CALL_H

#include "params.h"
#include "peer.h"

struct choice { /* gathered when the answer is not streamed */
	GString *text, *reasoning;
	GString *tools; /* deltas, comma-separated */
	uint32_t finish, n_output;
};

struct call {
	struct line *line;
	struct peer *peer; /* NULL: gone */
	weir_stream *stream;
	char *id; /* JSON text */
	char log_id[40];
	char *model; /* as asked for; NULL: the default */
	uint32_t method;
	bool streaming, manual, logprobs;
	uint32_t window, event_bytes;
	uint32_t outstanding;
	uint64_t allowance;
	uint64_t n_events; /* sent to the client */
	uint32_t n_prompt;
	uint32_t n_choices;
	struct choice *choices;
	GString *json;    /* the result of tokenize, detokenize */
	GBytes **vectors; /* of embed: n_vectors; NULL: not here yet */
	uint32_t n_vectors;
	size_t gathered;
};

/* Opens the stream. False: err, and there is no call. Takes nothing over. */
bool call_open(struct peer *, const struct rpc_request *, const struct params *,
	       struct rpc_error *err);
void call_top_up(struct call *);
void call_cancel(struct call *);
/* More events are welcome; false: flow is automatic. */
bool call_grant(struct call *, uint32_t n);
void call_detach(struct call *); /* the peer is gone */

/* answer.c: what is written for the client. */
void answer_event(struct call *, const struct weir_event *, GString *out);
void answer_result(struct call *, const struct weir_end *, GString *out);
/* Gathers; returns the bytes that it took. */
size_t answer_gather(struct call *, struct choice *, const struct weir_event *);

#endif
