/*
 * core/check-rig.h - a backend behind the real gateway, and a consumer in front of it: what the
 * stream section of `weir check` works with. A middleware stands between a backend of our own and
 * that consumer.
 *
 * Main thread of a case's child only, except for what the gateway calls.
 */
#ifndef WEIR_CORE_CHECK_RIG_H
#define WEIR_CORE_CHECK_RIG_H

#include <weir/frontend.h>

#include "check.h"

struct weir_check_rig {
	struct weir_check *check;
	struct weir_host host; /* the consumer's */
	struct weir_part *part;
	struct weir_instance *producer; /* with a middleware: what it stands before */
	unsigned fanout;                /* events that a middleware may add at the end */
	const struct weir_gateway *gateway;
	const struct weir_stream_api *streams;
	weir_loop *loop;
	int bell;
};

struct weir_check_stream { /* one request as its consumer saw it */
	struct weir_check_rig *rig;
	weir_stream *stream; /* NULL after the end */
	unsigned n_events, n_ends;
	bool started, early; /* early: content before STARTED */
	uint64_t next_seq;
	bool gap; /* event numbers that do not follow each other */
	weir_status status;
	GString *text, *error;
};

/* A rig with the component started and ready; false after a skip or failure was recorded, or for a
 * component that has no streams. max_tokens bounds each answer. */
bool weir_check_rig_open(struct weir_check_rig *, struct weir_check *);
/* The same with a frontend: it stands before a backend of our own, and nothing is asked here. */
bool weir_check_rig_open_frontend(struct weir_check_rig *, struct weir_check *);
void weir_check_rig_close(struct weir_check_rig *);
/* Sends that request, whose reference it takes; an error is a refusal: no end comes. */
weir_status weir_check_open(struct weir_check_rig *, struct weir_check_stream *, weir_request *,
			    uint32_t credit, struct weir_error *);
/* Sends a request. False, with a failure, if it is refused. */
bool weir_check_ask(struct weir_check_rig *, struct weir_check_stream *, uint32_t credit,
		    uint32_t max_tokens);
/* Dispatches events until the stream has ended or the time is up; true: ended. */
bool weir_check_pump(struct weir_check_stream *, int ms);
/* Dispatches for a while, whatever ends. */
void weir_check_pump_all(struct weir_check_rig *, int ms);
void weir_check_stream_clear(struct weir_check_stream *);
/* The longest row of emit() calls without credit that the backend made since the last grant. */
unsigned weir_check_rig_spins(void);

#endif
