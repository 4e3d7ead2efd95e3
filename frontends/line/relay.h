/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/relay.h - the methods for a parent process: requests, events and ends as they are,
 * one to one (docs/line-protocol.md, "Between two processes"). [loop]
 *
 * Only on a connection that was inherited as a descriptor (listen = fd:N) and with the option
 * relay: whoever may speak here says what the API would have checked. backends/child is the other
 * side.
 */
#ifndef LINE_RELAY_H
#define LINE_RELAY_H

#include "peer.h"

struct relay {
	struct peer *peer; /* NULL: gone, the end is awaited */
	struct line *line;
	char *id; /* JSON text */
	weir_stream *stream;
};

/* `submit`. False: err. */
bool relay_submit(struct peer *, const struct rpc_request *, struct rpc_error *);
void relay_cancel(struct relay *);
void relay_grant(struct relay *, uint32_t n);
void relay_detach(struct relay *); /* the peer is gone: cancelled, freed at its end */
/* `metrics` */
void relay_metrics(struct peer *, const char *id);

/* relay-text.c: what is read and written; pure. */

/* What a request is made of. */
struct relay_request {
	struct weir_kv *fields; /* n_fields */
	size_t n_fields;
	struct weir_sampling sampling;
	struct weir_limits limits;
	uint32_t credit;
};

/* False: err names the param that is wrong. relay_request_clear() in either case. */
bool relay_request_read(JsonObject *params, struct relay_request *ret, struct rpc_error *err);
void relay_request_clear(struct relay_request *);
/* Whole lines. */
void relay_put_event(struct buf *, const char *id, const struct weir_event *);
void relay_put_end(struct buf *, const char *id, const struct weir_end *);

#endif
