/*
 * frontends/http/conn.h - one connection: its input, its request, its output. [loop] throughout.
 *
 *   READING -> BUSY -> READING (keep-alive) | CLOSING -> LINGER -> DEAD
 *                   -> UPGRADED -> CLOSING
 *
 * READING: a framer may hold a part of a request. BUSY: a request is with its handler, which
 * answers now (conn_respond) or later (conn_wait, then conn_respond or a stream). CLOSING: the
 * output is being sent. LINGER: our side is shut down and input is thrown away for a moment, so
 * that the client gets the answer and not a reset. UPGRADED: no longer HTTP; bytes, time and the
 * end go to a conn_protocol. Nothing is read from the socket but in READING, UPGRADED and LINGER;
 * that the client has gone is seen in every state.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include <sys/socket.h>

#include "plane.h"

struct route;

enum conn_state {
	CONN_STATE_READING,
	CONN_STATE_BUSY,
	CONN_STATE_UPGRADED,
	CONN_STATE_CLOSING,
	CONN_STATE_LINGER,
	CONN_STATE_DEAD
};

/* Who answers a BUSY connection later. */
struct conn_waiter {
	void (*gone)(void *data);    /* the connection dies: forget it. The last call */
	void (*drained)(void *data); /* the output has been sent; may be NULL */
	void (*ping)(void *data);    /* nothing was sent for ping_interval; may be NULL */
};

/* Who has an UPGRADED connection. */
struct conn_protocol {
	size_t (*input)(void *data, char *bytes, size_t n); /* takes one byte at least */
	/* The last thing of a dispatch that touched it; output has been offered to the kernel. */
	void (*settle)(void *data);
	uint64_t (*due)(void *data); /* when timeout() wants to be called; 0: not */
	void (*timeout)(void *data);
	/* conn_move() is done: this is its new thread. stays: false: it could not be taken in
	 * there, gone() comes next, and nothing may be written. */
	void (*moved)(void *data, bool stays);
	void (*gone)(void *data); /* the connection is no longer its. The last call */
};

struct conn {
	enum plane_tag tag; /* first */
	int fd;
	uint8_t state;
	bool keep_alive, eof, dirty, streaming, chunked, body_seen, handled;
	bool paused;       /* UPGRADED: its protocol wants no input now */
	uint32_t interest; /* what epoll watches */
	struct plane *plane;
	struct conn *next, *prev;             /* plane->conns */
	struct conn *next_dirty;              /* dirty, and then dead */
	struct conn *wheel_next, *wheel_prev; /* in plane->wheel[slot] */
	uint64_t due_ms, wheel_ms;            /* wheel_ms 0: not in the wheel */
	uint64_t t_phase;                     /* when the state, the head or the body began */
	uint64_t t_progress; /* when output was last taken by the kernel, or first queued */
	uint64_t t_request;  /* microseconds; when the request was complete */
	uint64_t lingered;   /* bytes thrown away */
	uint64_t n_events;   /* of the stream that is being sent (answer.c) */
	struct framer *framer;
	struct http_request *req; /* BUSY; headers and path stay until the answer is complete */
	const struct route *route;
	const struct conn_waiter *waiter;
	void *waiter_data;
	const struct conn_protocol *protocol; /* UPGRADED */
	void *protocol_data;
	struct plane *move_to; /* its thread takes the connection over */
	struct buf in, out;    /* in: bytes behind the current request */
	size_t sent;           /* of out */
	size_t charged;        /* bytes of request body, in http->bodies */
	size_t chunk_at;       /* offset in out of the open chunk's size line; SIZE_MAX: none */
	int status;            /* of the answer, for metrics */
	struct sockaddr_storage peer;
	char request_id[129];
};

struct conn *conn_new(struct plane *, int fd, const struct sockaddr_storage *peer);
void conn_free(struct conn *); /* a dead one */
void conn_events(struct conn *, uint32_t events);
void conn_timeout(struct conn *); /* due_ms has come */
void conn_settle(struct conn *);
void conn_flush(struct conn *); /* sends what the kernel takes now; may close */
void conn_close(struct conn *); /* at once; tells the waiter */
/* READING: answers without a request, with an error, and closes. */
void conn_refuse(struct conn *, int status, const char *message);
/* The connection holds so many bytes of request body now; false: all together hold too many. */
bool conn_charge(struct conn *, size_t bytes);
/* No other request after this one. */
void conn_last(struct conn *);
bool conn_is_loopback(const struct conn *);
size_t conn_unsent(const struct conn *);

/* A whole answer. type NULL: none; headers: more header lines, each with CR LF, or NULL. */
void conn_respond(struct conn *, int status, const char *type, const void *body, size_t len,
		  const char *headers);
void conn_respond_json(struct conn *, int status, struct buf *body); /* empties body */
/* errors[0..n) in the configured shape. */
void conn_respond_errors(struct conn *, const struct api_error *errors, uint32_t n);
void conn_respond_error(struct conn *, int status, const char *code, const char *message);

/* The handler returns without an answer; waiter is static. */
void conn_wait(struct conn *, const struct conn_waiter *, void *data);
/* A 200 head without a length (headers as in conn_respond); then conn_stream() gives the buffer to
 * append to, and conn_end() completes it. What one dispatch appends leaves as one chunk in one
 * send. */
void conn_stream_begin(struct conn *, const char *type, const char *headers);
struct buf *conn_stream(struct conn *);
void conn_close_chunk(struct conn *); /* fills in the size of the open chunk, if any */
void conn_end(struct conn *);
/* 101: the head; then the protocol may write and conn_upgrade() hands it the connection. Lines with
 * CR LF each, without the blank one. The request is gone after it. */
void conn_put_upgrade(struct conn *, const struct buf *lines);
void conn_upgrade(struct conn *, const struct conn_protocol *, void *data);
/* UPGRADED: what is in the output is sent, then the connection is closed in order. */
void conn_shut(struct conn *);
/* Output is being added: call it before. */
void conn_queued(struct conn *);
/* To the thread of that plane once the dispatch is over. BUSY: the request is dispatched again
 * there. UPGRADED: its protocol is told there; until then it gets no input. */
void conn_move(struct conn *, struct plane *);
/* Raw output of the lender. */
void conn_write_raw(struct conn *, const void *data, size_t len);
/* The answer is complete (queued): the next request, or the end. */
void conn_finish(struct conn *, int status);
/* CORS, X-Request-Id and Connection lines of the current request. */
void conn_put_common(struct conn *, struct buf *);

#endif
