/*
 * tests/unit/ws-client.c - see ws-client.h.
 */
#include "ws-client.h"

#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <sys/socket.h>

void recv_more(struct client *c)
{
	char part[16384];
	ssize_t n = recv(c->fd, part, sizeof(part), 0);
	if (n <= 0)
		g_error("the server closed, or said nothing: %.*s", (int)c->in.len, c->in.data);
	buf_append(&c->in, part, (size_t)n);
}

char *handshake(struct harness *h, struct client *c, const char *more)
{
	g_autofree char *request =
		g_strdup_printf("GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
				"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
				more);
	*c = (struct client){ .fd = harness_connect(h) };
	harness_send(c->fd, request, strlen(request));
	char *end = NULL;
	while (!end) {
		recv_more(c);
		end = strstr(buf_terminate(&c->in), "\r\n\r\n");
	}
	size_t n = (size_t)(end + 4 - c->in.data);
	char *head = g_strndup(c->in.data, n);
	buf_consume(&c->in, n);
	return head;
}

struct client client_open(struct harness *h)
{
	struct client c;
	g_autofree char *head = handshake(h, &c, "");
	g_assert_true(g_str_has_prefix(head, "HTTP/1.1 101 Switching Protocols\r\n"));
	return c;
}

void client_close(struct client *c)
{
	close(c->fd);
	buf_free(&c->in);
}

void client_frame(struct client *c, uint8_t opcode, const char *text, size_t n)
{
	struct buf b = { NULL, 0, 0 };
	buf_putc(&b, (char)(0x80 | opcode));
	g_assert_cmpuint(n, <, 65536);
	if (n < 126) {
		buf_putc(&b, (char)(0x80 | n));
	} else {
		buf_putc(&b, (char)(0x80 | 126));
		buf_putc(&b, (char)(n >> 8));
		buf_putc(&b, (char)n);
	}
	buf_append(&b, "\0\0\0\0", 4); /* a mask that changes nothing */
	buf_append(&b, text, n);
	harness_send(c->fd, b.data, b.len);
	buf_free(&b);
}

void say(struct client *c, const char *text)
{
	client_frame(c, WS_OPCODE_TEXT, text, strlen(text));
}

/* A frame, if one is there; NULL: none. */
char *take_frame(struct client *c, uint8_t *ret_opcode)
{
	const uint8_t *p = (const uint8_t *)c->in.data;
	if (c->in.len < 2)
		return NULL;
	size_t n = p[1], head = 2;
	g_assert_cmpuint(n, <, 127);
	if (n == 126) {
		if (c->in.len < 4)
			return NULL;
		n = (size_t)p[2] << 8 | p[3];
		head = 4;
	}
	if (c->in.len < head + n)
		return NULL;
	*ret_opcode = p[0] & 15;
	char *text = g_strndup(c->in.data + head, n);
	buf_consume(&c->in, head + n);
	return text;
}

/* The next message. */
char *hear(struct client *c)
{
	uint8_t opcode;
	char *text;
	while (!(text = take_frame(c, &opcode)))
		recv_more(c);
	g_assert_cmpint(opcode, ==, WS_OPCODE_TEXT);
	return text;
}

void hears(struct client *c, const char *part)
{
	g_autofree char *text = hear(c);
	if (!strstr(text, part))
		g_error("%s is not in %s", part, text);
}

/* Until a close frame, and then the end; its code. */
unsigned hears_close(struct client *c)
{
	for (;;) {
		uint8_t opcode;
		g_autofree char *text = take_frame(c, &opcode);
		if (!text)
			recv_more(c);
		else if (opcode == WS_OPCODE_CLOSE)
			return (unsigned)(uint8_t)text[0] << 8 | (uint8_t)text[1];
	}
}

bool is_silent(struct client *c)
{
	char byte;
	g_usleep(60000);
	return c->in.len == 0 && recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

void end_with(struct fake_stream *s, weir_status status)
{
	struct weir_end end = { .size = sizeof(end),
				.status = status,
				.finish = WEIR_FINISH_STOP,
				.n_prompt = 5,
				.n_output = 3 };
	fake_end(s, &end);
}

/* As many tokens "t<i>" as max_tokens says; an empty one after each. */
void count_up(struct fake_gateway *g, struct fake_stream *s)
{
	fake_started(s, 5);
	bool on = true;
	for (uint32_t i = 0; on && i < fake_limits(s)->max_tokens; i++) {
		char text[16];
		g_snprintf(text, sizeof(text), "t%u", i);
		on = fake_token(s, 0, text) && fake_token(s, 0, "");
	}
	end_with(s, on ? WEIR_OK : WEIR_E_CANCELLED);
}

char *token_of(const char *accepted)
{
	const char *at = strstr(accepted, "\"resume\":\"");
	g_assert_nonnull(at);
	return g_strndup(at + strlen("\"resume\":\""), 32);
}

static gint64 seq_of(const char *message)
{
	const char *at = strstr(message, "\"seq\":");
	return at ? g_ascii_strtoll(at + 6, NULL, 10) : -1;
}

/* Reads messages from..to of a count; each once, in order. */
void hears_count(struct client *c, int64_t from, int64_t to)
{
	for (int64_t i = from; i <= to; i++) {
		g_autofree char *text = hear(c);
		g_autofree char *token = g_strdup_printf("\"t%d\"", (int)i - 1);
		g_assert_cmpint(seq_of(text), ==, i);
		if (i && !strstr(text, token))
			g_error("%s is not in %s", token, text);
	}
}

void resume(struct client *c, const char *token, int after)
{
	g_autofree char *text = g_strdup_printf(
		"{\"type\":\"resume\",\"token\":\"%s\",\"after\":%d}", token, after);
	say(c, text);
}
