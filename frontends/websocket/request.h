/*
 * frontends/websocket/request.h - one request of a WebSocket: between its api_call and the messages
 * that the client gets (docs/websocket-protocol.md). [loop] throughout.
 *
 *   attached (session, call) -> detached (call) -> attached ...      only with a replay
 *                            -> kept (neither): complete, for a client that lost the end
 *                            -> gone
 *
 * Credit: every message of a request costs one; the balance may fall below 0 by messages that no
 * event of the backend causes (the first, the last). Events are asked for only while it is above.
 */
#ifndef WEBSOCKET_REQUEST_H
#define WEBSOCKET_REQUEST_H

#include <api/call.h>

#include "hub.h"

#define WS_ID_MAX 128 /* bytes of a client's id */

struct ws_session;

struct ws_request {
	struct ws_hub *hub;
	struct ws_session *session; /* NULL: the client has gone, or all is sent */
	struct api_call *call;      /* NULL: over */
	struct replay *replay;      /* NULL: not to be resumed */
	bool named;                 /* the client gave the id */
	bool own_credit;            /* the client grants; else the session does */
	bool cancelled;             /* by the client */
	bool events;                /* the format names its events: Responses */
	bool leaving;               /* in hub->leaving */
	GList link;                 /* there */
	int64_t balance;
	uint32_t window; /* of the last refill */
	GList hungry;    /* in session->hungry when its data is set */
	uint64_t seq;    /* of the next message */
	size_t frame_at; /* where the frame's JSON begins in hub->json */
	bool frame_named;
	uint64_t expires_ms;
	char token[REPLAY_TOKEN_SIZE];
	char id[WS_ID_MAX + 1];
	struct buf json_id; /* with quotes */
};

/* What a client asked for beside the body. */
struct ws_create {
	const char *id; /* NULL: the call's is taken */
	bool resume;
	bool own_credit;
	uint32_t credit;
};

/* Takes body; begins. All that comes of it, a refusal too, goes to the session. */
void ws_request_create(struct ws_session *, struct api_body *body, const struct ws_create *);
/* Asks for as many events as the balance allows. window: what it is without own credit. */
void ws_request_refill(struct ws_request *, uint32_t window);
void ws_request_credit(struct ws_request *, uint32_t n);
void ws_request_cancel(struct ws_request *);
/* The session is going: the request is kept for a while, or cancelled. Not in its list any more. */
void ws_request_leave(struct ws_request *);
/* From another session, or none, to this one, which gets the messages from number `from` on. The
 * caller has checked that they are there. */
void ws_request_resume(struct ws_request *, struct ws_session *, uint64_t from);
void ws_request_free(struct ws_request *); /* not in a session, no call */

#endif
