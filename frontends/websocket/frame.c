/*
 * frontends/websocket/frame.c - see frame.h.
 */
#include "frame.h"

#include <string.h>

#define FIN  0x80
#define RSV1 0x40
#define RSV  0x30
#define MASK 0x80

bool ws_opcode_is_control(uint8_t opcode)
{
	return opcode & 8;
}

static uint64_t big_endian(const uint8_t *p, int n)
{
	uint64_t v = 0;
	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static const char *check_first(uint8_t b, bool rsv1_allowed)
{
	uint8_t op = b & 15;
	if (b & RSV)
		return "a reserved bit is set";
	if ((b & RSV1) && (!rsv1_allowed || ws_opcode_is_control(op) || op == 0))
		return "the compression bit is set where it has no meaning";
	if (op > WS_OPCODE_BINARY && (op < WS_OPCODE_CLOSE || op > WS_OPCODE_PONG))
		return "a frame has a reserved opcode";
	if (ws_opcode_is_control(op) && !(b & FIN))
		return "a control frame is fragmented";
	return NULL;
}

static const char *check_second(uint8_t first, uint8_t b)
{
	if (!(b & MASK))
		return "a frame from the client is not masked";
	if (ws_opcode_is_control(first & 15) && (b & 127) > WS_CONTROL_MAX)
		return "a control frame is longer than 125 bytes";
	return NULL;
}

int ws_frame_parse(const uint8_t *data, size_t n, bool rsv1_allowed, struct ws_frame *ret,
		   const char **ret_why)
{
	const char *why = NULL;
	if (n >= 1)
		why = check_first(data[0], rsv1_allowed);
	if (n >= 2 && !why)
		why = check_second(data[0], data[1]);
	if (why) {
		*ret_why = why;
		return -1;
	}
	if (n < 2)
		return 0;
	int code = data[1] & 127;
	int extra = code == 127 ? 8 : code == 126 ? 2 : 0;
	if (n < 2u + (unsigned)extra)
		return 0;
	uint64_t length = extra ? big_endian(data + 2, extra) : (uint64_t)code;
	if ((extra == 2 && length < 126) || (extra == 8 && length < 65536)) {
		*ret_why = "a frame's length is not written in its shortest form";
		return -1;
	}
	if (length >> 63) {
		*ret_why = "a frame's length has its highest bit set";
		return -1;
	}
	if (n < 6u + (unsigned)extra)
		return 0;
	*ret = (struct ws_frame){ .opcode = data[0] & 15,
				  .fin = data[0] & FIN,
				  .rsv1 = data[0] & RSV1,
				  .length = length };
	memcpy(ret->mask, data + 2 + extra, 4);
	return 6 + extra;
}

void ws_frame_unmask(char *data, size_t n, const uint8_t mask[4], uint64_t offset)
{
	uint8_t turned[8];
	uint64_t key, word;
	for (unsigned i = 0; i < 8; i++)
		turned[i] = mask[(offset + i) & 3];
	memcpy(&key, turned, 8);
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		memcpy(&word, data + i, 8);
		word ^= key;
		memcpy(data + i, &word, 8);
	}
	for (; i < n; i++)
		data[i] = (char)(data[i] ^ (char)turned[i & 7]);
}

void ws_frame_put(struct buf *out, uint8_t opcode, bool rsv1, const void *payload, size_t len)
{
	uint8_t head[10] = { (uint8_t)(FIN | (rsv1 ? RSV1 : 0) | opcode) };
	size_t n = 2;
	if (len < 126) {
		head[1] = (uint8_t)len;
	} else {
		int bytes = len < 65536 ? 2 : 8;
		head[1] = bytes == 2 ? 126 : 127;
		for (int i = 0; i < bytes; i++)
			head[n++] = (uint8_t)((uint64_t)len >> 8 * (bytes - 1 - i));
	}
	buf_append(out, head, n);
	buf_append(out, payload, len);
}

bool ws_close_valid(uint32_t code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}
