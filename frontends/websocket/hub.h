/*
 * frontends/websocket/hub.h - what the WebSockets of one I/O thread share: the configuration and
 * the answers that wait for a client to come back. [loop] throughout, but for struct ws_shared.
 *
 * A request stays on the thread that began it. The table of all threads says which one has the
 * answer of a token, so that a socket that resumes can move there.
 */
#ifndef WEBSOCKET_HUB_H
#define WEBSOCKET_HUB_H

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

#include <api/api.h>
#include <api/replay.h>

#include "handshake.h"
#include "socket.h"

enum ws_compression {
	WS_COMPRESSION_OFF,
	WS_COMPRESSION_REMOTE, /* not on this machine: it costs more than it saves there */
	WS_COMPRESSION_ON,
};

struct ws_config {
	struct ws_limits limits;
	struct ws_handshake_config handshake; /* compress: set for each connection */
	enum ws_compression compression;
	uint32_t max_compressed; /* connections with a compressor at once */
	uint32_t max_requests;   /* of a socket, at once */
	uint32_t replay_events;  /* kept for each answer that may be resumed ... */
	size_t replay_bytes;
	size_t replay_budget; /* ... and for all together */
	uint32_t grace_ms;    /* how long they are kept once their client has gone, or they are
			       * complete */
};

struct ws_request;
struct ws_hub;

struct ws_shared { /* of all hubs of an instance. [any] */
	pthread_mutex_t lock;
	GHashTable *tokens; /* of resumable requests -> struct ws_hub */
	atomic_uint n_compressed;
};

struct ws_hub {
	struct api_loop *api;
	const struct ws_config *config;
	struct replay_budget *budget;
	struct ws_shared *shared;
	GHashTable *resumable; /* token -> struct ws_request, which owns it */
	GQueue leaving;        /* those with an expires_ms, earliest first */
	struct buf json;       /* the message that is being written */
	uint64_t now_ms;
	bool draining;
};

void ws_hub_init(struct ws_hub *, struct api_loop *, const struct ws_config *,
		 struct replay_budget *, struct ws_shared *);
void ws_shared_init(struct ws_shared *);
void ws_shared_clear(struct ws_shared *); /* all hubs have been cleared */
/* Whose answer a token means; NULL: nobody's. */
struct ws_hub *ws_shared_find(struct ws_shared *, const char *token);
/* The hub's own table and the shared one. */
void ws_hub_add(struct ws_hub *, struct ws_request *);
void ws_hub_remove(struct ws_hub *, struct ws_request *);
/* All sessions are gone, all streams have ended. */
void ws_hub_clear(struct ws_hub *);
/* When to call ws_hub_tick(); 0: nothing waits. */
uint64_t ws_hub_due(const struct ws_hub *);
void ws_hub_tick(struct ws_hub *, uint64_t now_ms);
/* Cancels the request of that token, if it is still there. */
void ws_hub_cancel(struct ws_hub *, const char *token);
/* The server ends: nobody can come back any more. Sessions are told by ws_session_drain(). */
void ws_hub_drain(struct ws_hub *);

#endif
