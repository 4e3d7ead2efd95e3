/*
 * frontends/api/buf.h - a growing byte buffer.
 *
 * {NULL, 0, 0} is an empty one. Sizes are bounded by whoever appends (limits of the configuration);
 * memory comes from GLib's allocator. Not thread-safe; moved between threads as a whole.
 */
#ifndef API_BUF_H
#define API_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data; /* len bytes, not NUL-terminated unless buf_terminate() was called */
	size_t len, cap;
};

void buf_reserve(struct buf *, size_t more);
void buf_append(struct buf *, const void *data, size_t len);
void buf_puts(struct buf *, const char *text);
void buf_putc(struct buf *, char c);
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *, size_t n); /* drops n bytes at the front */
/* NUL after the content (not counted); returns data. */
char *buf_terminate(struct buf *);
/* The content as a NUL-terminated string of the caller's (g_free); the buffer is empty after it. */
char *buf_steal(struct buf *, size_t *ret_len);
void buf_free(struct buf *); /* frees the memory, not the struct; leaves it empty */

#endif
