/*
 * frontends/http/framing-chunk.h - a strict watch over chunked bodies (RFC 9112 7.1).
 *
 * The packaged http_parser skips some checks of CR LF around chunks. Every byte passes through
 * this guard first; it decodes nothing, it only refuses. Extensions are allowed and ignored,
 * trailers are refused. Called by framing.c.
 */
#ifndef HTTP_FRAMING_CHUNK_H
#define HTTP_FRAMING_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_guard { /* all zero: before the first chunk */
	int state;
	uint32_t n_digits, n_ext;
	uint64_t left;  /* of the chunk's data */
	uint64_t total; /* of the whole body so far */
	bool done, too_large;
};

/* Takes bytes up to the end of the body. NULL: *ret_used bytes are fine; else why not. */
const char *chunk_guard_feed(struct chunk_guard *, const char *data, size_t len, uint64_t max_body,
			     size_t *ret_used);

#endif
