/* SPDX-License-Identifier: MIT */
/*
 * weir/middleware.h - hooks between frontends and backends, in the order that [chain] lists them.
 *
 * Middleware sees requests and events, no sockets. An unset hook passes everything through.
 */
#ifndef WEIR_MIDDLEWARE_H
#define WEIR_MIDDLEWARE_H

#include <weir/plugin.h>
#include <weir/stream.h>

#define WEIR_MIDDLEWARE "weir.middleware/1"
struct weir_middleware {
	uint32_t size;
	uint32_t scratch_size; /* bytes of zeroed memory per request, owned by the host */
	uint32_t fanout; /* most events sent on per event taken (0 = 1): the host keeps credit */
	uint32_t reserved;
	/* OK | SKIP: leave me out of this request | <0: refuse it with err. Must not block: the
	 * frontend's loop waits. [loop] */
	weir_status (*request)(struct weir_instance *, void *scratch, weir_request *,
			       struct weir_error *err);
	/* Pass on, change, hold back or multiply: call emit(next, ...) up to fanout times. What is
	 * held back must leave in a later event() or in end(). Returns OK or emit's status.
	 * [worker] */
	weir_status (*event)(struct weir_instance *, void *scratch, weir_stream *next,
			     const struct weir_event *);
	/* Must call end(next, ...) exactly once, after up to fanout emit()s. [worker] */
	void (*end)(struct weir_instance *, void *scratch, weir_stream *next,
		    const struct weir_end *);
	/* The request is over, or was refused after request() had returned OK: free what scratch
	 * points to. Called once, the last of all. [any] */
	void (*done)(struct weir_instance *, void *scratch);
	/* Bytes leaving a frontend (compression): calls out any number of times. flush: 0 none, 1
	 * all given so far must become decodable, 2 the last call. [loop] */
	weir_status (*wire)(struct weir_instance *, void *scratch, struct weir_str in,
			    uint32_t flush, void (*out)(void *data, struct weir_str),
			    void *out_data);
};
WEIR_FROZEN(struct weir_middleware, wire);

#endif
