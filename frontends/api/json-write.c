/*
 * frontends/api/json-write.c - see json-write.h.
 */
#include "json-write.h"

#include <math.h>
#include <string.h>

#include <glib.h>

size_t json_rune_length(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static void put_special(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	switch (c) {
	case '"':
		buf_append(b, "\\\"", 2);
		return;
	case '\\':
		buf_append(b, "\\\\", 2);
		return;
	case '\n':
		buf_append(b, "\\n", 2);
		return;
	case '\r':
		buf_append(b, "\\r", 2);
		return;
	case '\t':
		buf_append(b, "\\t", 2);
		return;
	default:
		break;
	}
	char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
	buf_append(b, u, sizeof(u));
}

void json_put_escaped(struct buf *b, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t from = 0, i = 0;
	while (i < len) {
		unsigned char c = p[i];
		if (c >= ' ' && c != '"' && c != '\\' && c < 0x7f) {
			i++;
			continue;
		}
		size_t n = c >= 0x80 ? json_rune_length(text + i, len - i) : 0;
		if (n) {
			i += n;
			continue;
		}
		buf_append(b, text + from, i - from);
		if (c >= 0x80)
			buf_append(b, "\xef\xbf\xbd", 3);
		else
			put_special(b, c);
		from = ++i;
	}
	if (len > from)
		buf_append(b, text + from, len - from);
}

void json_put_string(struct buf *b, const char *text, size_t len)
{
	buf_putc(b, '"');
	json_put_escaped(b, text, len);
	buf_putc(b, '"');
}

void json_put_cstring(struct buf *b, const char *text)
{
	if (text)
		json_put_string(b, text, strlen(text));
	else
		buf_append(b, "null", 4);
}

void json_put_key(struct buf *b, const char *name)
{
	buf_putc(b, '"');
	buf_puts(b, name);
	buf_append(b, "\":", 2);
}

void json_put_uint(struct buf *b, uint64_t value)
{
	char text[20];
	size_t i = sizeof(text);
	do {
		text[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_append(b, text + i, sizeof(text) - i);
}

void json_put_int(struct buf *b, int64_t value)
{
	if (value < 0)
		buf_putc(b, '-');
	json_put_uint(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_put_logprob(struct buf *b, float value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	if (isnan(value)) {
		buf_append(b, "null", 4);
		return;
	}
	double v = value < -9999.0f ? -9999.0 : value > 0.0f ? 0.0 : (double)value;
	buf_puts(b, g_ascii_formatd(text, sizeof(text), "%.7g", v));
}

void json_put_bytes(struct buf *b, const char *data, size_t len)
{
	buf_putc(b, '[');
	for (size_t i = 0; i < len; i++) {
		if (i)
			buf_putc(b, ',');
		json_put_uint(b, (unsigned char)data[i]);
	}
	buf_putc(b, ']');
}
