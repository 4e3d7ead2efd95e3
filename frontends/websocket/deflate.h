/*
 * frontends/websocket/deflate.h - permessage-deflate, RFC 7692, as a server.
 *
 * Memory: zlib is asked for only when there is something to compress or to inflate, and given back
 * after each message where no context is taken over. With the windows below that is at most
 * 38 KiB out (12 bits, level 1) and 44 KiB in (a client that cannot be told a smaller window). What
 * a message inflates to is bounded by the caller, whatever the ratio; what it costs by a bound on
 * blocks that are marked as the last one. Pure; one thread at a time.
 */
#ifndef WEBSOCKET_DEFLATE_H
#define WEBSOCKET_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <api/buf.h>

struct ws_deflate_params {
	bool on;
	bool server_no_context, client_no_context;
	uint8_t server_bits; /* 9..15 */
	uint8_t client_bits; /* 8..15; 15 when the client did not say that it can be told */
	bool tell_client_bits;
};

/* Takes the first acceptable offer of one Sec-WebSocket-Extensions value. bits: the largest window
 * that this server wants, 9..15. false: none is acceptable; ret is not set. */
bool ws_deflate_negotiate(const char *offers, uint8_t bits, struct ws_deflate_params *ret);
/* The value of the answer's header. */
void ws_deflate_put(struct buf *, const struct ws_deflate_params *);

struct ws_deflate;

struct ws_deflate *ws_deflate_new(const struct ws_deflate_params *);
void ws_deflate_free(struct ws_deflate *);
/* Appends the compressed message to out (RFC 7692 7.2.1). false: out of memory; out is as it was
 * and the message can go uncompressed. */
bool ws_deflate_message(struct ws_deflate *, const void *data, size_t len, struct buf *out);

enum ws_inflate { WS_INFLATE_OK, WS_INFLATE_BAD, WS_INFLATE_TOO_BIG };

/* A part of a compressed message; last: it ends here. Appends to out, which may grow to max bytes.
 * Not OK: the connection must fail. */
enum ws_inflate ws_inflate_part(struct ws_deflate *, const void *data, size_t len, bool last,
				size_t max, struct buf *out);

#endif
