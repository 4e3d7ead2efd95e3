/*
 * frontends/api/buf.c - see buf.h.
 */
#include "buf.h"

#include <stdio.h>
#include <string.h>

#include <glib.h>

void buf_reserve(struct buf *b, size_t more)
{
	g_assert(more <= G_MAXSSIZE - b->len);
	size_t need = b->len + more;
	if (need <= b->cap)
		return;
	size_t cap = b->cap ? b->cap : 256;
	while (cap < need)
		cap *= 2;
	b->data = g_realloc(b->data, cap);
	b->cap = cap;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	buf_reserve(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buf_puts(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_putc(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	buf_reserve(b, 128);
	int n = vsnprintf(b->data + b->len, b->cap - b->len, format, ap);
	va_end(ap);
	g_assert(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		buf_reserve(b, (size_t)n + 1);
		va_start(ap, format);
		vsnprintf(b->data + b->len, b->cap - b->len, format, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

char *buf_terminate(struct buf *b)
{
	buf_reserve(b, 1);
	b->data[b->len] = 0;
	return b->data;
}

char *buf_steal(struct buf *b, size_t *ret_len)
{
	char *data = buf_terminate(b);
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){ NULL, 0, 0 };
	return data;
}

void buf_free(struct buf *b)
{
	g_free(b->data);
	*b = (struct buf){ NULL, 0, 0 };
}
