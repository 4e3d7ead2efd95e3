/*
 * frontends/websocket/socket.h - one WebSocket after its handshake: bytes to messages and back.
 *
 * Transport-free: bytes come in by ws_socket_feed(), frames go to a buffer of the transport's, and
 * the time is told. Memory is bounded: one message of at most max_message bytes (after inflating),
 * one control frame, and zlib's windows. One thread at a time; no calls back from inside.
 *
 *   OPEN -> CLOSING (our close frame is out, the peer's is awaited) -> CLOSED
 *   OPEN -> CLOSED (the peer closed, or broke the protocol; our close frame is out)
 *
 * CLOSED: the transport sends what is in the buffer and shuts down. RFC 6455 is cited as plain
 * section numbers.
 */
#ifndef WEBSOCKET_SOCKET_H
#define WEBSOCKET_SOCKET_H

#include "deflate.h"
#include "frame.h"
#include "utf8.h"

struct ws_limits {
	size_t max_message;      /* bytes, inflated */
	uint32_t max_fragments;  /* frames of one message */
	uint32_t ping_ms;        /* silence after which the peer is asked; 0: never */
	uint32_t pong_ms;        /* it must answer within */
	uint32_t message_ms;     /* a begun frame or message must be complete within */
	uint32_t close_ms;       /* the peer's close frame must come within */
	uint32_t compress_above; /* messages of fewer bytes go out as they are */
};

enum ws_state { WS_STATE_OPEN, WS_STATE_CLOSING, WS_STATE_CLOSED };

enum ws_input {
	WS_INPUT_NONE,    /* all bytes are taken, no message is complete */
	WS_INPUT_MESSAGE, /* message holds a whole one: use it before the next feed */
	WS_INPUT_CONTROL, /* a control frame was handled */
	WS_INPUT_CLOSED,  /* just now: see close_code, why */
};

struct ws_socket {
	const struct ws_limits *limits;
	struct buf *out;            /* the transport's */
	struct ws_deflate *deflate; /* NULL: not negotiated */
	uint8_t state;              /* enum ws_state */
	uint8_t opcode;             /* of message: TEXT, BINARY; 0: none is begun */
	bool compressed, in_frame, message_taken, pinged;
	uint8_t n_head;
	uint8_t head[WS_HEAD_MAX];
	uint8_t control[WS_CONTROL_MAX];
	struct ws_frame frame; /* in_frame */
	uint64_t got;          /* of its payload */
	struct buf message;
	uint32_t n_fragments;
	struct ws_utf8 utf8;
	size_t checked;      /* of message, by utf8 */
	uint16_t close_code; /* CLOSED: the peer's, or that of our failure */
	const char *why;     /* CLOSED by failure: a sentence */
	uint64_t heard_ms;   /* a complete frame came last */
	uint64_t begun_ms;   /* 0: no frame and no message is half here */
	uint64_t closing_ms;
};

/* Takes over deflate. limits and out outlive the socket. */
void ws_socket_init(struct ws_socket *, const struct ws_limits *, struct buf *out,
		    struct ws_deflate *deflate, uint64_t now_ms);
void ws_socket_clear(struct ws_socket *);

/* Takes bytes up to the end of one message or control frame; *ret_used says how many. data is
 * changed (unmasked in place). */
enum ws_input ws_socket_feed(struct ws_socket *, char *data, size_t n, uint64_t now_ms,
			     size_t *ret_used);
/* OPEN: a whole message; otherwise nothing. Text is UTF-8. */
void ws_socket_send(struct ws_socket *, enum ws_opcode, const void *data, size_t len);
/* OPEN: begins to close. reason: at most 123 bytes, or NULL. */
void ws_socket_close(struct ws_socket *, enum ws_close code, const char *reason, uint64_t now_ms);
/* When to call ws_socket_tick() next; 0: not by this. */
uint64_t ws_socket_due(const struct ws_socket *);
/* Sends a ping, or fails a silent, slow or not closing peer; true: it is CLOSED by that. */
bool ws_socket_tick(struct ws_socket *, uint64_t now_ms);

#endif
