/*
 * frontends/http/framing.h - where a request begins and ends on a connection: strictly.
 *
 * A framer is fed the bytes of a connection as they come and takes exactly one request from them.
 * Every line is first checked by rules of our own (RFC 9112, each ambiguity refused instead of
 * resolved: sections 2.2, 3, 5.1, 5.2, 6.1, 6.3, 7.1); what passes is parsed by http_parser, whose
 * Debian build is the lenient one; both must come to the same end. A refused request leaves no
 * way to find the next one: answer `status` and close.
 *
 * Pure: no I/O, no clock, no globals. One thread at a time.
 */
#ifndef HTTP_FRAMING_H
#define HTTP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <api/buf.h>

struct frame_limits {
	size_t max_line;      /* of the request line (else 414) and of a header line (else 431) */
	size_t max_head;      /* of the whole head (431) */
	uint64_t max_body;    /* decoded (413) */
	uint32_t max_headers; /* (431) */
};

struct http_header {
	const char *name;  /* lower case */
	const char *value; /* without surrounding blanks */
};

/* One request. All text is NUL-terminated and lives in `head`; no value holds a NUL, CR or LF. */
struct http_request {
	struct buf head;
	struct buf body; /* decoded; whole once the framer is done */
	const char *method;
	const char *path;  /* as sent, still percent-encoded; begins with "/", or is "*" */
	const char *query; /* without the question mark; NULL: none */
	struct http_header *headers;
	uint32_t n_headers;
	uint8_t minor;        /* HTTP/1.minor */
	bool keep_alive;      /* the client allows another request after this one */
	bool chunked;         /* the body has, or had, no length in the head */
	bool expect_continue; /* waits for "100 Continue" before it sends the body */
	uint64_t content_length;
};

void http_request_free(struct http_request *);
/* The value of the first header of that (lower-case) name, or NULL. */
const char *http_request_header(const struct http_request *, const char *name);
bool http_request_has_body(const struct http_request *);

enum frame_state {
	FRAME_STATE_IDLE, /* not a byte of a request yet */
	FRAME_STATE_HEAD,
	FRAME_STATE_BODY, /* request->head is complete */
	FRAME_STATE_DONE,
	FRAME_STATE_BAD, /* see status, reason */
};

struct framer;

struct framer *framer_new(const struct frame_limits *); /* limits must outlive it */
void framer_free(struct framer *);
/* Returns how many bytes it took; fewer than len only when it is DONE or BAD, or has just come to
 * BODY (so that the caller can look at the head first; call again with the rest). */
size_t framer_feed(struct framer *, const char *data, size_t len);
enum frame_state framer_state(const struct framer *);
int framer_status(const struct framer *);                      /* BAD: the HTTP status to answer */
const char *framer_reason(const struct framer *);              /* BAD: a sentence for the client */
const struct http_request *framer_peek(const struct framer *); /* BODY and DONE */
struct http_request *framer_take(struct framer *);             /* DONE: the caller's */

#endif
