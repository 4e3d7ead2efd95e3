/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/peer.h - one client: a TCP or unix connection, or standard input and output.
 * [loop]
 *
 * Output is bounded: a stream gets credit only while nothing waits to be sent, requests are not
 * read while much does, and a client that takes nothing for write_timeout is cut off. When a peer
 * is closed its calls are cancelled at once.
 */
#ifndef LINE_PEER_H
#define LINE_PEER_H

#include "frame.h"
#include "line.h"
#include "rpc.h"

struct call;

/* PARENT: a socket that was inherited from the process that started this one. */
enum peer_kind { PEER_KIND_TCP, PEER_KIND_UNIX, PEER_KIND_STDIO, PEER_KIND_PARENT };

enum peer_state {
	PEER_STATE_OPEN,
	PEER_STATE_CLOSING, /* what is queued is sent, then it is closed */
	PEER_STATE_LINGER,  /* all is sent; what the client still writes is thrown away */
	PEER_STATE_DEAD,
};

struct peer {
	enum line_tag tag;     /* first: epoll's data points at it */
	enum line_tag out_tag; /* the same for `out`, when it is another descriptor */
	struct line *line;
	enum peer_kind kind;
	enum peer_state state;
	int in, out;
	bool in_pollable, out_pollable, out_is_socket;
	bool eof;   /* no more input will come */
	bool ready; /* the server has been seen ready: before that nothing is read */
	uint32_t in_interest, out_interest;
	struct frame frame;
	struct buf output; /* from `sent` on it waits to be sent */
	size_t sent;
	size_t lingered;
	uint64_t t_progress; /* something was sent, or output began to wait */
	uint64_t t_active;   /* a line came, a call ended, lingering began */
	GHashTable *calls;   /* id as JSON text -> struct call */
	GHashTable *relays;  /* the same -> struct relay; NULL: not for a parent */
	struct peer *prev, *next, *next_dirty;
	bool is_dirty;
};

/* Takes the descriptors over in either case. NULL: errno. */
struct peer *peer_new(struct line *, enum peer_kind, int in, int out);
void peer_free(struct peer *); /* dead */
void peer_mark_dirty(struct peer *);
void peer_events(struct peer *, bool is_out, uint32_t events);
void peer_settle(struct peer *);
void peer_check_deadlines(struct peer *);
void peer_close(struct peer *);
size_t peer_unsent(const struct peer *);
/* To append to; the peer is settled at the end of the dispatch. */
struct buf *peer_output(struct peer *);
/* Output that a stream has just filled: sends some; closes the peer if there is far too much. */
void peer_relieve(struct peer *);
/* Says why, then closes. */
void peer_refuse(struct peer *, weir_status, const char *text);

/* requests.c: one line, answered at once or by a call. */
void request_line(struct peer *, const char *line, size_t len);

#endif
