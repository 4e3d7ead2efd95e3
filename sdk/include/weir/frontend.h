/* SPDX-License-Identifier: MIT */
/*
 * weir/frontend.h - how a frontend meets the core. It needs no vtable of its own: start() listens,
 * drain() stops listening, stop() ends what is left. Everything goes through the gateway.
 *
 * A frontend thread that opens streams has a weir_loop. Producers never call into the frontend:
 * they queue events at the loop and ring it, once for a whole batch of events; the frontend's
 * thread then calls dispatch(), which calls the sinks. One ring for each scheduler step, not for
 * each token.
 */
#ifndef WEIR_FRONTEND_H
#define WEIR_FRONTEND_H

#include <weir/plugin.h>
#include <weir/stream.h>

typedef struct weir_loop weir_loop;

struct weir_sink { /* called from dispatch() of the stream's loop, never from inside open() */
	uint32_t size, reserved;
	void (*event)(void *data, weir_stream *, const struct weir_event *);
	/* The last call for this stream; the pointer is dead when it returns. */
	void (*end)(void *data, weir_stream *, const struct weir_end *);
};
WEIR_FROZEN(struct weir_sink, end);

struct weir_model_entry {       /* lent for the call */
	uint32_t size, context; /* longest sequence; 0: unknown */
	const char *id;         /* as a client names it */
	const char *backend;    /* the instance that answers: "backend.main" */
	const char *state;      /* loading | ready | failed */
	int64_t created;        /* unix seconds */
	uint64_t reserved;
};
WEIR_FROZEN(struct weir_model_entry, reserved);

#define WEIR_HOST_GATEWAY "weir.host.gateway/1"
struct weir_gateway {
	uint32_t size, reserved;
	/* ring(data) is called by any thread when the queue turns from empty to filled: it must
	 * make the loop's thread call dispatch() soon (write an eventfd). free() only after every
	 * stream of the loop has ended. */
	weir_loop *(*loop_new)(const struct weir_host *, void (*ring)(void *data), void *data);
	void (*loop_free)(weir_loop *);
	size_t (*dispatch)(weir_loop *); /* returns the number of events delivered. [loop] */
	/* A request from its fields (copied). sampling and limits NULL: defaults. Never fails.
	 * [any] */
	weir_request *(*request_new)(const struct weir_host *, const struct weir_kv *fields,
				     size_t n, const struct weir_sampling *,
				     const struct weir_limits *);
	/* Starts a request. Takes over the caller's reference of req in any case. An error is a
	 * refusal that no stream follows (unknown model, middleware said no). OK: sink->end() will
	 * come exactly once, through dispatch(). Does not block. [loop] */
	weir_status (*open)(const struct weir_host *, weir_loop *, weir_request *req,
			    const struct weir_sink *, void *sink_data, uint32_t credit,
			    weir_stream **ret, struct weir_error *err);
	/* Calls each() for every model that is served, in profile order. [any] */
	void (*models)(const struct weir_host *,
		       void (*each)(void *data, const struct weir_model_entry *), void *data);
};
WEIR_FROZEN(struct weir_gateway, models);

#endif
