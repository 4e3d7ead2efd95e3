/*
 * frontends/websocket/session.h - one client: its socket and its requests. Knows no transport: the
 * http frontend's connections carry it, and the tests. [loop] throughout.
 *
 * The carrier gives bytes and takes what is in the output buffer. Output is bounded by credit: all
 * requests together have at most about 1,024 events under way while the buffer is not empty. A
 * client that takes nothing is cut off by the carrier's deadline; until then its generations stand
 * still and cost a place in a batch nothing.
 */
#ifndef WEBSOCKET_SESSION_H
#define WEBSOCKET_SESSION_H

#include <weir/base.h>

#include "hub.h"

struct ws_request;

/* A message that would hold up the thread's other clients: it is read elsewhere. */
struct ws_work {
	size_t bytes;                  /* that it holds */
	void (*run)(struct ws_work *); /* in a thread of its own; touches no session */
	/* Back on the session's thread. gone: the session is no more. Frees it. */
	void (*done)(struct ws_work *, bool gone);
};

struct ws_carrier {
	/* Something will be written to the output buffer now. */
	void (*touch)(void *data);
	/* Look at the session soon: ws_session_drained() if the output is empty. */
	void (*wake)(void *data);
	/* To the thread of that hub, where ws_session_moved() is called; no input comes before. */
	void (*move)(void *data, struct ws_hub *to);
	/* ws_hub_cancel(to, token), on its thread. */
	void (*cancel)(void *data, struct ws_hub *to, const char *token);
	/* Runs it; no input comes before its done(). */
	void (*work)(void *data, struct ws_work *);
};

struct ws_session {
	struct ws_hub *hub;
	const struct ws_carrier *carrier;
	void *data;
	struct ws_socket socket;
	GHashTable *requests;      /* id -> struct ws_request; those that have a call */
	struct ws_request *newest; /* of them; for a cancel without an id */
	GQueue hungry;             /* those that may ask for more events once the output is empty */
	GArray *fields;            /* struct weir_kv: header.* of the handshake, for each request */
	GStringChunk *text;        /* of fields */
	char *trace;
	char *held; /* a message of n_held bytes that is taken when it has moved; or NULL */
	size_t n_held;
	bool compressed; /* counted in hub->shared->n_compressed */
	bool cut;        /* too much output: close at once */
	bool busy;       /* a message is being read elsewhere */
};

/* h: a successful one; its authorization is taken over. out: the carrier's. headers are copied:
 * those of the client that middleware may want. trace: the request id of the handshake. */
struct ws_session *ws_session_new(struct ws_hub *, const struct ws_carrier *, void *data,
				  struct buf *out, struct ws_handshake *h,
				  const struct weir_kv *headers, size_t n, const char *trace);
/* The connection has gone. */
void ws_session_free(struct ws_session *);
/* It belongs to the thread of that hub from now on. stays: it will not be freed at once. */
void ws_session_moved(struct ws_session *, struct ws_hub *, bool stays);
/* May data be compressed for such a client? For ws_handshake_config. */
bool ws_hub_may_compress(const struct ws_hub *, bool loopback);

/* Takes up to one message; returns how many bytes. data is changed. */
size_t ws_session_input(struct ws_session *, char *data, size_t n);
/* The output is empty: more events are welcome. */
void ws_session_drained(struct ws_session *);
uint64_t ws_session_due(const struct ws_session *); /* 0: none */
void ws_session_tick(struct ws_session *);
/* The server ends: no new requests, a close frame once the last one is answered. */
void ws_session_drain(struct ws_session *);
/* At once, without waiting for the client's close frame. */
void ws_session_fail(struct ws_session *, enum ws_close code, const char *reason);
/* Send what is in the buffer, then close. */
bool ws_session_over(const struct ws_session *);

/* For request.c and messages.c. One text message; hub->json is emptied. */
void ws_session_send(struct ws_session *, struct buf *json);
void ws_session_add(struct ws_session *, struct ws_request *);
void ws_session_remove(struct ws_session *, struct ws_request *);
/* An error that belongs to no request, or to one that did not come to be (id NULL: unknown). */
void ws_session_error(struct ws_session *, const char *id, const struct api_error *);
/* messages.c: what a client says. text may be taken: it is empty then. */
void ws_message_take(struct ws_session *, struct buf *text);

#endif
