/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/call.h - one request on its way: between its api_call and its peer. [loop]
 *
 * The answer is the API's, but for streamed text: that has the events of docs/line-protocol.md,
 * which event.c writes. A call dies with its last word or with its peer.
 */
#ifndef LINE_CALL_H
#define LINE_CALL_H

#include <api/call.h>

#include "peer.h"

struct call {
	struct peer *peer;
	struct api_call *api;
	char *id;         /* JSON text */
	bool names_model; /* the client has asked for it */
	int64_t balance;  /* manual flow: events that the client still wants */
	size_t frame_at;  /* where the frame begins in the peer's output */
};

struct call_flow { /* what a client asked for beside the body */
	bool manual, names_model;
	uint32_t credit;
	const char *bearer; /* NULL: none */
};

/* Takes body; begins. All that comes of it, a refusal too, goes to the peer. */
void call_open(struct peer *, const char *id, struct api_body *body, const struct call_flow *);
/* More events are welcome: the output is empty. */
void call_top_up(struct call *);
void call_cancel(struct call *);
bool call_grant(struct call *, uint32_t n); /* false: flow is automatic */
void call_detach(struct call *);            /* the peer is gone; it is freed */

/* event.c: the members of an event behind its id and seq. */
extern const struct api_format call_events;
/* What a streamed answer ends with. */
void call_put_summary(const struct call *, struct buf *);

#endif
