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

struct weir_model;

struct weir_model_entry {       /* lent for the call */
	uint32_t size, context; /* longest sequence; 0: unknown */
	const char *id;         /* as a client names it */
	const char *backend;    /* the instance that answers: "backend.main" */
	const char *state;      /* unloaded | loading | ready | failed | unloading */
	int64_t created;        /* unix seconds */
	uint64_t bytes;         /* of weights and KV in memory; 0: none, or unknown */
	const char *error;      /* of a failed one, else NULL */
	int64_t load_ms;        /* how long the load took; 0: not loaded, or nothing to load */
	/* Of a loaded level-B backend, else NULL; weir/backend.h. Its path is for who administers.
	 */
	const struct weir_model *model;
	uint32_t n_seats; /* sequences that it runs at a time; 0: unknown, any number */
	/* Backends that serve this name, its replicas, and those of them that are ready. The
	 * members above are of the first one whose state is best; bytes are of all. */
	uint32_t n_replicas; /* 0: unknown */
	uint32_t n_ready, reserved;
};
WEIR_FROZEN(struct weir_model_entry, reserved);

struct weir_seat {             /* of one sequence that a backend runs; lent for the call */
	uint32_t size, id;     /* from 0 in its backend; a sequence keeps it while it runs */
	const char *backend;   /* "backend.main" */
	uint32_t context;      /* as in an entry */
	uint32_t choice;       /* of the request's n */
	weir_request *request; /* that runs there; NULL: nobody does */
	uint64_t task;         /* its number among the server's requests, from 1 */
	int64_t opened_ns;     /* CLOCK_MONOTONIC: when it came */
	uint32_t n_prompt;     /* its tokens, as its producer has told */
	uint32_t n_output;     /* events of output so far, of all its choices: one for each token,
				* more where a token belongs to a thought and to text */
};
WEIR_FROZEN(struct weir_seat, n_output);

enum weir_model_change {
	WEIR_MODEL_LOAD = 1,
	WEIR_MODEL_UNLOAD = 2,
	WEIR_MODEL_WAIT = 1u << 8, /* flag: done() only when it is loaded, or gone */
};

struct weir_model_result { /* lent for the call */
	uint32_t size;
	/* OK; CANCELLED: somebody wanted the opposite meanwhile; UNAVAILABLE: the server ends;
	 * anything else: why the load failed. */
	weir_status status;
	const char *backend; /* "backend.main"; of several the one that the rest is about */
	const char *state;   /* now; as in an entry; of several that which is farthest from done */
	const char *text;    /* of an error, else "" */
};
WEIR_FROZEN(struct weir_model_result, text);

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
	/* Calls each() once for every name that is served, in profile order. [any] */
	void (*models)(const struct weir_host *,
		       void (*each)(void *data, const struct weir_model_entry *), void *data);
	/* Loads or unloads the backends of a model, or the one whose own name that is
	 * ("backend.main"); what is asked for already is no error. Does not block. Requests that
	 * are open at an unload may go on for drain_timeout. An error (NOT_FOUND, UNSUPPORTED: this
	 * host cannot) is a refusal without a done(). OK: done() comes exactly once, on [main], at
	 * the latest before the frontend's stop(); it must not block. Whether its clients may do so
	 * is for the frontend to say. [any] */
	weir_status (*change_model)(const struct weir_host *, const char *model, uint32_t change,
				    void (*done)(void *data, const struct weir_model_result *),
				    void *data, struct weir_error *err);
	/* Calls each() for the seats of the backend that answers to model ("": of the first one;
	 * of several one after the other), by id: n_seats of them, or more while the choices of one
	 * request take turns, busy ones only where n_seats is 0; a backend that is not loaded has
	 * none. Requests that wait have no seat yet. *ret_found: is there such a model? What is in
	 * a request is its client's: not for others to see. [any] */
	void (*seats)(const struct weir_host *, const char *model,
		      void (*each)(void *data, const struct weir_seat *), void *data,
		      bool *ret_found);
};
WEIR_FROZEN(struct weir_gateway, seats);

#endif
