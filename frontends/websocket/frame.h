/*
 * frontends/websocket/frame.h - the frames of RFC 6455, section 5: heads, masks, close codes.
 *
 * Pure. A server's view: what comes in is masked, what goes out is not (5.1).
 */
#ifndef WEBSOCKET_FRAME_H
#define WEBSOCKET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <api/buf.h>

#define WS_HEAD_MAX    14 /* bytes of the longest head */
#define WS_CONTROL_MAX 125

enum ws_opcode {
	WS_OPCODE_CONTINUATION = 0,
	WS_OPCODE_TEXT = 1,
	WS_OPCODE_BINARY = 2,
	WS_OPCODE_CLOSE = 8,
	WS_OPCODE_PING = 9,
	WS_OPCODE_PONG = 10,
};

enum ws_close { /* RFC 6455 7.4.1 and IANA's registry */
		WS_CLOSE_NORMAL = 1000,
		WS_CLOSE_GOING_AWAY = 1001,
		WS_CLOSE_PROTOCOL = 1002,
		WS_CLOSE_UNSUPPORTED = 1003,
		WS_CLOSE_NO_CODE = 1005, /* never on the wire: a close frame without a body */
		WS_CLOSE_BAD_DATA = 1007,
		WS_CLOSE_POLICY = 1008,
		WS_CLOSE_TOO_BIG = 1009,
		WS_CLOSE_INTERNAL = 1011,
		WS_CLOSE_TRY_LATER = 1013,
};

struct ws_frame {
	uint8_t opcode;
	bool fin, rsv1;
	uint8_t mask[4];
	uint64_t length; /* of the payload, at most 2^63 - 1 */
};

/* The head at the front of data[0..n). Returns its length; 0: more bytes are needed; -1: it breaks
 * the protocol (close with 1002), *ret_why says how. What needs no more bytes to be wrong is wrong
 * at once. rsv1_allowed: an extension gives the bit a meaning on the first frame of a message. */
int ws_frame_parse(const uint8_t *data, size_t n, bool rsv1_allowed, struct ws_frame *ret,
		   const char **ret_why);
bool ws_opcode_is_control(uint8_t opcode);
/* data[i] ^= mask[(offset + i) % 4] */
void ws_frame_unmask(char *data, size_t n, const uint8_t mask[4], uint64_t offset);
/* One unfragmented frame. */
void ws_frame_put(struct buf *out, uint8_t opcode, bool rsv1, const void *payload, size_t len);
/* May this code stand in a close frame (7.4.2)? */
bool ws_close_valid(uint32_t code);

#endif
