/*
 * tests/unit/ws-client.h - a blocking WebSocket client for the tests, and the script that counts. A
 * server that closes, or says nothing, fails the test.
 */
#ifndef TESTS_WS_CLIENT_H
#define TESTS_WS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <api/buf.h>

#include "frame.h"
#include "http-harness.h"

/* A request that count_up() answers with the tokens "t0" to "t<n - 1>"; more: further members. */
#define COUNT(id, n, more)                                                                         \
	"{\"type\":\"chat.create\",\"id\":\"" id "\"" more ",\"body\":{\"model\":\"m\","           \
	"\"max_tokens\":" n ",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}"

struct client {
	int fd;
	struct buf in;
};

/* more: header lines, each with CR LF; returns the head of the answer, g_free() it. */
char *handshake(struct harness *, struct client *ret, const char *more);
struct client client_open(struct harness *);
void client_close(struct client *);
void client_frame(struct client *, uint8_t opcode, const char *text, size_t n);
void say(struct client *, const char *text);
/* A frame, if one is there, with its opcode; NULL: none. */
char *take_frame(struct client *, uint8_t *ret_opcode);
void recv_more(struct client *);               /* waits for bytes */
char *hear(struct client *);                   /* the next message; g_free() it */
void hears(struct client *, const char *part); /* it holds this */
unsigned hears_close(struct client *);         /* until a close frame, and then the end; its code */
bool is_silent(struct client *);

char *token_of(const char *accepted); /* g_free() it */
void resume(struct client *, const char *token, int after);
/* Reads messages from..to of a count; each once, in order. */
void hears_count(struct client *, int64_t from, int64_t to);

/* As many tokens "t<i>" as max_tokens says; an empty one after each. */
void count_up(struct fake_gateway *, struct fake_stream *);
void end_with(struct fake_stream *, weir_status);

#endif
