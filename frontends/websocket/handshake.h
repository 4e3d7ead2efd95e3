/*
 * frontends/websocket/handshake.h - the opening handshake, RFC 6455 section 4.2.
 *
 * Pure: from the request's headers to an answer. Origins: a browser says which page opens the
 * socket; unless the configuration lists origins only pages of this very host and port may, because
 * neither cookies nor CORS stand between other pages and a WebSocket. Programs send no Origin.
 */
#ifndef WEBSOCKET_HANDSHAKE_H
#define WEBSOCKET_HANDSHAKE_H

#include <weir/base.h>

#include "deflate.h"

#define WS_SUBPROTOCOL "weir.v1"

struct ws_handshake_config {
	char **origins; /* NULL: the same origin only; "*": all */
	bool compress;  /* accept permessage-deflate */
	uint8_t window_bits;
};

struct ws_handshake {
	int status;      /* 101, or an HTTP error */
	const char *why; /* of an error: a sentence for the client; static */
	bool subprotocol;
	struct ws_deflate_params deflate;
	char accept[29]; /* Sec-WebSocket-Accept */
	/* From a subprotocol "openai-insecure-api-key.KEY", with which browsers pass a key because
	 * they cannot set headers: "Bearer KEY", to be freed with g_free(); or NULL. */
	char *authorization;
};

/* Is this a wish to upgrade to a WebSocket at all? names of headers in lower case. */
bool ws_handshake_wanted(const struct weir_kv *headers, size_t n);
/* minor: of HTTP/1.minor. Sets every member of ret. */
void ws_handshake_check(const struct ws_handshake_config *, const char *method, unsigned minor,
			const struct weir_kv *headers, size_t n, struct ws_handshake *ret);
/* The 101's lines from Upgrade on, each with CR LF, without the blank one. */
void ws_handshake_put(struct buf *, const struct ws_handshake *);

#endif
