/*
 * frontends/websocket/socket.c - see socket.h.
 */
#include "socket.h"

#include <string.h>

#include <glib.h>

#define REASON_MAX 123

void ws_socket_init(struct ws_socket *s, const struct ws_limits *limits, struct buf *out,
		    struct ws_deflate *deflate, uint64_t now_ms)
{
	*s = (struct ws_socket){
		.limits = limits, .out = out, .deflate = deflate, .heard_ms = now_ms
	};
}

void ws_socket_clear(struct ws_socket *s)
{
	buf_free(&s->message);
	ws_deflate_free(g_steal_pointer(&s->deflate));
}

/* ---- closing ---- */

static void put_close(struct ws_socket *s, unsigned code, const char *reason)
{
	char body[2 + REASON_MAX];
	size_t n = reason ? MIN(strlen(reason), REASON_MAX) : 0;
	while (n && reason[n] && ((unsigned char)reason[n] & 0xC0) == 0x80)
		n--; /* not within a rune */
	if (code == WS_CLOSE_NO_CODE) {
		ws_frame_put(s->out, WS_OPCODE_CLOSE, false, NULL, 0);
		return;
	}
	body[0] = (char)(code >> 8);
	body[1] = (char)code;
	if (n)
		memcpy(body + 2, reason, n);
	ws_frame_put(s->out, WS_OPCODE_CLOSE, false, body, 2 + n);
}

static enum ws_input fail(struct ws_socket *s, enum ws_close code, const char *why)
{
	if (s->state == WS_STATE_OPEN)
		put_close(s, code, why);
	s->state = WS_STATE_CLOSED;
	s->close_code = (uint16_t)code;
	s->why = why;
	return WS_INPUT_CLOSED;
}

void ws_socket_close(struct ws_socket *s, enum ws_close code, const char *reason, uint64_t now_ms)
{
	if (s->state != WS_STATE_OPEN)
		return;
	put_close(s, code, reason);
	s->state = WS_STATE_CLOSING;
	s->closing_ms = now_ms;
}

/* 5.5.1, 7.1.5: the answer has the peer's code. */
static enum ws_input closed_by_peer(struct ws_socket *s)
{
	size_t n = (size_t)s->frame.length;
	unsigned code = WS_CLOSE_NO_CODE;
	struct ws_utf8 utf8 = { 0 };
	if (n == 1)
		return fail(s, WS_CLOSE_PROTOCOL, "a close frame has one byte");
	if (n >= 2) {
		code = (unsigned)s->control[0] << 8 | s->control[1];
		if (!ws_close_valid(code))
			return fail(s, WS_CLOSE_PROTOCOL,
				    "a close frame has a code that may not be sent");
		if (!ws_utf8_feed(&utf8, (char *)s->control + 2, n - 2) || !ws_utf8_complete(&utf8))
			return fail(s, WS_CLOSE_BAD_DATA, "a close reason is not UTF-8");
	}
	if (s->state == WS_STATE_OPEN)
		put_close(s, code, NULL);
	s->state = WS_STATE_CLOSED;
	s->close_code = (uint16_t)code;
	return WS_INPUT_CLOSED;
}

/* ---- input ---- */

static enum ws_input begin_message(struct ws_socket *s)
{
	const struct ws_frame *f = &s->frame;
	if (f->opcode == WS_OPCODE_CONTINUATION) {
		if (!s->opcode)
			return fail(s, WS_CLOSE_PROTOCOL, "nothing is there to continue");
		if (++s->n_fragments > s->limits->max_fragments)
			return fail(s, WS_CLOSE_POLICY, "a message has too many fragments");
	} else {
		if (s->opcode)
			return fail(s, WS_CLOSE_PROTOCOL,
				    "a message begins before the last one has ended");
		s->opcode = f->opcode;
		s->compressed = f->rsv1;
		s->n_fragments = 1;
		s->utf8 = (struct ws_utf8){ 0 };
		s->checked = 0;
	}
	/* An inflated message is measured as it grows; its frames are no longer than that either,
	 * but for what deflate adds to data that it cannot make smaller. */
	uint64_t room =
		s->limits->max_message + (s->compressed ? s->limits->max_message / 8 + 64 : 0);
	if (f->length > room || (!s->compressed && f->length > room - s->message.len))
		return fail(s, WS_CLOSE_TOO_BIG, "a message is larger than this server takes");
	return WS_INPUT_NONE;
}

/* The head is complete. */
static enum ws_input begin_frame(struct ws_socket *s)
{
	s->in_frame = true;
	s->n_head = 0;
	s->got = 0;
	return ws_opcode_is_control(s->frame.opcode) ? WS_INPUT_NONE : begin_message(s);
}

/* Bytes of the head, one frame's at most; returns how many. */
static size_t feed_head(struct ws_socket *s, const char *data, size_t n, enum ws_input *ret)
{
	size_t used = 0;
	const char *why = NULL;
	while (used < n) {
		s->head[s->n_head++] = (uint8_t)data[used++];
		int len = ws_frame_parse(s->head, s->n_head, s->deflate != NULL, &s->frame, &why);
		if (len < 0)
			*ret = fail(s, WS_CLOSE_PROTOCOL, why);
		else if (len > 0)
			*ret = begin_frame(s);
		if (len)
			break;
	}
	return used;
}

static enum ws_input check_text(struct ws_socket *s, bool last)
{
	if (s->opcode != WS_OPCODE_TEXT)
		return WS_INPUT_NONE;
	if (!ws_utf8_feed(&s->utf8, s->message.data + s->checked, s->message.len - s->checked) ||
	    (last && !ws_utf8_complete(&s->utf8)))
		return fail(s, WS_CLOSE_BAD_DATA, "a text message is not UTF-8");
	s->checked = s->message.len;
	return WS_INPUT_NONE;
}

static enum ws_input add_data(struct ws_socket *s, const char *data, size_t n, bool last)
{
	if (!s->compressed) {
		buf_append(&s->message, data, n);
		return check_text(s, last);
	}
	switch (ws_inflate_part(s->deflate, data, n, last, s->limits->max_message, &s->message)) {
	case WS_INFLATE_OK:
		return check_text(s, last);
	case WS_INFLATE_TOO_BIG:
		return fail(s, WS_CLOSE_TOO_BIG,
			    "a message inflates to more than this server takes");
	default:
		return fail(s, WS_CLOSE_BAD_DATA, "a compressed message cannot be inflated");
	}
}

static enum ws_input end_frame(struct ws_socket *s, uint64_t now_ms)
{
	s->in_frame = false;
	s->heard_ms = now_ms;
	s->pinged = false;
	if (!s->opcode)
		s->begun_ms = 0;
	switch (s->frame.opcode) {
	case WS_OPCODE_CLOSE:
		return closed_by_peer(s);
	case WS_OPCODE_PING:
		if (s->state == WS_STATE_OPEN)
			ws_frame_put(s->out, WS_OPCODE_PONG, false, s->control,
				     (size_t)s->frame.length);
		return WS_INPUT_CONTROL;
	case WS_OPCODE_PONG:
		return WS_INPUT_CONTROL;
	default:
		break;
	}
	if (!s->frame.fin)
		return WS_INPUT_NONE;
	s->begun_ms = 0;
	s->message_taken = true; /* by the next feed, which makes room for another one */
	/* Data that comes behind our close frame is read for the peer's, and thrown away. */
	return s->state == WS_STATE_OPEN ? WS_INPUT_MESSAGE : WS_INPUT_NONE;
}

static size_t feed_payload(struct ws_socket *s, char *data, size_t n, enum ws_input *ret)
{
	struct ws_frame *f = &s->frame;
	size_t part = (size_t)MIN(f->length - s->got, n);
	bool last = s->got + part == f->length;
	ws_frame_unmask(data, part, f->mask, s->got);
	if (!ws_opcode_is_control(f->opcode))
		*ret = add_data(s, data, part, last && f->fin);
	else if (part)
		memcpy(s->control + s->got, data, part);
	s->got += part;
	return part;
}

enum ws_input ws_socket_feed(struct ws_socket *s, char *data, size_t n, uint64_t now_ms,
			     size_t *ret_used)
{
	enum ws_input result = WS_INPUT_NONE;
	size_t used = 0;
	if (s->message_taken) {
		buf_free(&s->message);
		s->opcode = 0;
		s->message_taken = false;
	}
	if (n && !s->begun_ms)
		s->begun_ms = now_ms;
	while (s->state != WS_STATE_CLOSED && result == WS_INPUT_NONE && used < n) {
		if (!s->in_frame)
			used += feed_head(s, data + used, n - used, &result);
		if (s->in_frame && result == WS_INPUT_NONE) {
			used += feed_payload(s, data + used, n - used, &result);
			if (result == WS_INPUT_NONE && s->got == s->frame.length)
				result = end_frame(s, now_ms);
		}
		if (s->message_taken && result == WS_INPUT_NONE) {
			buf_free(&s->message);
			s->opcode = 0;
			s->message_taken = false;
		}
	}
	if (s->state == WS_STATE_CLOSED)
		used = n;
	*ret_used = used;
	return result;
}

/* ---- output ---- */

void ws_socket_send(struct ws_socket *s, enum ws_opcode opcode, const void *data, size_t len)
{
	if (s->state != WS_STATE_OPEN)
		return;
	if (s->deflate && len >= s->limits->compress_above) {
		struct buf packed = { NULL, 0, 0 };
		bool done = ws_deflate_message(s->deflate, data, len, &packed);
		if (done)
			ws_frame_put(s->out, (uint8_t)opcode, true, packed.data, packed.len);
		buf_free(&packed);
		if (done)
			return;
	}
	ws_frame_put(s->out, (uint8_t)opcode, false, data, len);
}

/* ---- time ---- */

static void earlier(uint64_t *due, uint64_t t)
{
	if (*due == 0 || t < *due)
		*due = t;
}

uint64_t ws_socket_due(const struct ws_socket *s)
{
	uint64_t due = 0;
	if (s->state == WS_STATE_CLOSED)
		return 0;
	if (s->state == WS_STATE_CLOSING)
		earlier(&due, s->closing_ms + s->limits->close_ms);
	if (s->begun_ms && s->limits->message_ms)
		earlier(&due, s->begun_ms + s->limits->message_ms);
	if (s->limits->ping_ms)
		earlier(&due,
			s->heard_ms + s->limits->ping_ms + (s->pinged ? s->limits->pong_ms : 0));
	return due;
}

bool ws_socket_tick(struct ws_socket *s, uint64_t now_ms)
{
	const struct ws_limits *l = s->limits;
	if (s->state == WS_STATE_CLOSED)
		return false;
	if (s->state == WS_STATE_CLOSING && now_ms >= s->closing_ms + l->close_ms)
		return fail(s, WS_CLOSE_NORMAL, "no close frame came") == WS_INPUT_CLOSED;
	if (s->begun_ms && l->message_ms && now_ms >= s->begun_ms + l->message_ms)
		return fail(s, WS_CLOSE_POLICY, "a message did not come in time") ==
		       WS_INPUT_CLOSED;
	if (!l->ping_ms || now_ms < s->heard_ms + l->ping_ms)
		return false;
	if (!s->pinged) {
		if (s->state == WS_STATE_OPEN)
			ws_frame_put(s->out, WS_OPCODE_PING, false, NULL, 0);
		s->pinged = true;
		return false;
	}
	if (now_ms < s->heard_ms + l->ping_ms + l->pong_ms)
		return false;
	return fail(s, WS_CLOSE_POLICY, "no pong came") == WS_INPUT_CLOSED;
}
