/*
 * frontends/http/framing-chunk.c - see framing-chunk.h.
 */
#include "framing-chunk.h"

#include <glib.h>

enum { SIZE, EXT, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST_CR, LAST_LF };

#define MAX_EXT 256

static const char *size_byte(struct chunk_guard *g, char c, uint64_t max_body)
{
	int digit = g_ascii_xdigit_value(c);
	if (digit >= 0) {
		if (++g->n_digits > 15)
			return "a chunk size is out of range";
		g->left = g->left * 16 + (uint64_t)digit;
		return NULL;
	}
	if (g->n_digits == 0 || (c != '\r' && c != ';'))
		return "a chunk size is not a hexadecimal number";
	if (g->left > max_body || g->total > max_body - g->left) {
		g->too_large = true;
		return "the request body is larger than this server allows";
	}
	g->total += g->left;
	g->n_ext = 0;
	g->state = c == '\r' ? SIZE_LF : EXT;
	return NULL;
}

static const char *frame_byte(struct chunk_guard *g, char c, uint64_t max_body)
{
	switch (g->state) {
	case SIZE:
		return size_byte(g, c, max_body);
	case EXT:
		if (c == '\r') {
			g->state = SIZE_LF;
			return NULL;
		}
		if (++g->n_ext > MAX_EXT || ((unsigned char)c < ' ' && c != '\t'))
			return "a chunk extension is too long or malformed";
		return NULL;
	case SIZE_LF:
		g->state = g->left ? DATA : LAST_CR;
		return c == '\n' ? NULL : "a chunk size does not end in CR LF";
	case DATA_CR:
		g->state = DATA_LF;
		return c == '\r' ? NULL : "a chunk does not end in CR LF";
	case DATA_LF:
		g->state = SIZE;
		g->n_digits = 0;
		return c == '\n' ? NULL : "a chunk does not end in CR LF";
	case LAST_CR:
		g->state = LAST_LF;
		return c == '\r' ? NULL : "trailers are not supported";
	default:
		g->done = true;
		return c == '\n' ? NULL : "the chunked body does not end in CR LF";
	}
}

const char *chunk_guard_feed(struct chunk_guard *g, const char *data, size_t len, uint64_t max_body,
			     size_t *ret_used)
{
	size_t i = 0;
	while (i < len && !g->done) {
		if (g->state == DATA) {
			size_t n = MIN((uint64_t)(len - i), g->left);
			g->left -= n;
			i += n;
			if (g->left == 0)
				g->state = DATA_CR;
			continue;
		}
		const char *why = frame_byte(g, data[i++], max_body);
		if (why)
			return why;
	}
	*ret_used = i;
	return NULL;
}
