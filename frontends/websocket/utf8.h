/*
 * frontends/websocket/utf8.h - UTF-8 checked as it comes, cut anywhere (Unicode 15, table 3-7).
 *
 * Overlong forms, surrogates and code points above U+10FFFF are wrong at the first byte that makes
 * them so. All zero is the beginning of a text. Pure.
 */
#ifndef WEBSOCKET_UTF8_H
#define WEBSOCKET_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_utf8 {
	uint8_t need;   /* continuation bytes that are missing */
	uint8_t lo, hi; /* what the next one may be */
};

/* false: wrong, and nothing more can be said about this text. */
bool ws_utf8_feed(struct ws_utf8 *, const char *data, size_t n);
/* May the text end here? */
bool ws_utf8_complete(const struct ws_utf8 *);

#endif
