/*
 * frontends/websocket/deflate.c - see deflate.h. The offers' grammar is RFC 7692 section 5, 7.1.
 */
#include "deflate.h"

#include <string.h>

#include <glib.h>
#include <zlib.h>

#define LEVEL        1 /* tokens are short: higher levels cost time and win a byte or two */
#define MEM_LEVEL    5
#define CHUNK        4096
#define TAIL_LENGTH  4
#define MAX_ELEMENTS 64
#define MAX_ENDS     64 /* blocks marked as the last one in a message: each costs a window's copy */

struct ws_deflate {
	struct ws_deflate_params params;
	z_stream out, in;
	bool has_out, has_in;
	unsigned n_ends; /* of the message that is being inflated */
};

/* ---- negotiation ---- */

/* "10" or 10 in [8, 15] without leading zeros; 0: it is not. */
static uint8_t window_bits(const char *text)
{
	size_t n = text ? strlen(text) : 0;
	if (n == 1 && (text[0] == '8' || text[0] == '9'))
		return (uint8_t)(text[0] - '0');
	if (n == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5')
		return (uint8_t)(10 + text[1] - '0');
	return 0;
}

/* One parameter of an offer; false: the offer is not acceptable. */
static bool take_param(struct ws_deflate_params *p, unsigned *seen, char *text)
{
	static const char *const names[] = { "server_no_context_takeover",
					     "client_no_context_takeover", "server_max_window_bits",
					     "client_max_window_bits" };
	char *value = strchr(text, '=');
	if (value) {
		*value++ = 0;
		g_strstrip(value);
		size_t n = strlen(value);
		if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
			value[n - 1] = 0;
			value++;
		}
	}
	g_strstrip(text);
	unsigned i = 0;
	while (i < G_N_ELEMENTS(names) && g_ascii_strcasecmp(text, names[i]) != 0)
		i++;
	if (i == G_N_ELEMENTS(names) || (*seen & 1u << i))
		return false;
	*seen |= 1u << i;
	if (i < 2) {
		if (i == 0)
			p->server_no_context = true;
		else
			p->client_no_context = true;
		return !value;
	}
	uint8_t bits = window_bits(value);
	if (i == 2) {
		/* zlib cannot write raw deflate with a window of 8 bits. */
		if (bits < 9)
			return false;
		p->server_bits = MIN(p->server_bits, bits);
		return true;
	}
	p->tell_client_bits = true;
	if (value) {
		if (!bits)
			return false;
		p->client_bits = bits;
	}
	return true;
}

static bool take_offer(const char *offer, uint8_t bits, struct ws_deflate_params *ret)
{
	struct ws_deflate_params p = { .on = true, .server_bits = bits, .client_bits = 15 };
	g_auto(GStrv) parts = g_strsplit(offer, ";", MAX_ELEMENTS);
	unsigned seen = 0;
	if (!parts[0] || g_ascii_strcasecmp(g_strstrip(parts[0]), "permessage-deflate") != 0)
		return false;
	for (char **part = parts + 1; *part; part++)
		if (!take_param(&p, &seen, *part))
			return false;
	if (p.tell_client_bits)
		p.client_bits = MIN(p.client_bits, bits);
	*ret = p;
	return true;
}

bool ws_deflate_negotiate(const char *offers, uint8_t bits, struct ws_deflate_params *ret)
{
	g_auto(GStrv) list = g_strsplit(offers, ",", MAX_ELEMENTS);
	for (char **offer = list; *offer; offer++)
		if (take_offer(*offer, bits, ret))
			return true;
	return false;
}

void ws_deflate_put(struct buf *b, const struct ws_deflate_params *p)
{
	buf_puts(b, "permessage-deflate");
	if (p->server_no_context)
		buf_puts(b, "; server_no_context_takeover");
	if (p->client_no_context)
		buf_puts(b, "; client_no_context_takeover");
	if (p->server_bits < 15)
		buf_printf(b, "; server_max_window_bits=%u", p->server_bits);
	if (p->tell_client_bits && p->client_bits < 15)
		buf_printf(b, "; client_max_window_bits=%u", p->client_bits);
}

/* ---- both directions ---- */

struct ws_deflate *ws_deflate_new(const struct ws_deflate_params *params)
{
	struct ws_deflate *d = g_new0(struct ws_deflate, 1);
	d->params = *params;
	return d;
}

static void drop_out(struct ws_deflate *d)
{
	if (d->has_out)
		deflateEnd(&d->out);
	d->has_out = false;
}

static void drop_in(struct ws_deflate *d)
{
	if (d->has_in)
		inflateEnd(&d->in);
	d->has_in = false;
}

void ws_deflate_free(struct ws_deflate *d)
{
	if (!d)
		return;
	drop_out(d);
	drop_in(d);
	g_free(d);
}

bool ws_deflate_message(struct ws_deflate *d, const void *data, size_t len, struct buf *out)
{
	size_t before = out->len;
	if (len > G_MAXUINT)
		return false;
	if (!d->has_out) {
		d->out = (z_stream){ 0 };
		if (deflateInit2(&d->out, LEVEL, Z_DEFLATED, -d->params.server_bits, MEM_LEVEL,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			return false;
		d->has_out = true;
	}
	d->out.next_in = (Bytef *)(uintptr_t)data;
	d->out.avail_in = (uInt)len;
	do {
		buf_reserve(out, CHUNK);
		size_t room = MIN(out->cap - out->len, G_MAXUINT);
		d->out.next_out = (Bytef *)out->data + out->len;
		d->out.avail_out = (uInt)room;
		deflate(&d->out,
			Z_SYNC_FLUSH); /* cannot fail: the stream is whole, room is there */
		out->len += room - d->out.avail_out;
	} while (d->out.avail_out == 0);
	/* The flush ends in 00 00 FF FF, which the receiver adds again; with nothing to flush since
	 * the last one zlib writes nothing at all. */
	if (out->len - before > TAIL_LENGTH)
		out->len -= TAIL_LENGTH;
	else
		out->len = before;
	if (out->len == before)
		buf_putc(out, 0);
	if (d->params.server_no_context)
		drop_out(d);
	return true;
}

/* A block marked as the last one ends zlib's stream but not the message (7.2.3.4): the next block
 * goes on with the same window. */
static bool go_on_behind_end(struct ws_deflate *d)
{
	Bytef window[32768];
	uInt n = 0;
	return ++d->n_ends <= MAX_ENDS && inflateGetDictionary(&d->in, window, &n) == Z_OK &&
	       inflateReset(&d->in) == Z_OK &&
	       (n == 0 || inflateSetDictionary(&d->in, window, n) == Z_OK);
}

static enum ws_inflate run(struct ws_deflate *d, const void *data, size_t len, size_t max,
			   struct buf *out)
{
	d->in.next_in = (Bytef *)(uintptr_t)data;
	d->in.avail_in = (uInt)len;
	for (;;) {
		buf_reserve(out, MIN(CHUNK, max - out->len + 1));
		size_t room = MIN(out->cap - out->len, max - out->len + 1);
		d->in.next_out = (Bytef *)out->data + out->len;
		d->in.avail_out = (uInt)MIN(room, G_MAXUINT);
		room = d->in.avail_out;
		int status = inflate(&d->in, Z_SYNC_FLUSH);
		out->len += room - d->in.avail_out;
		if (out->len > max)
			return WS_INFLATE_TOO_BIG;
		if (status == Z_STREAM_END) {
			if (!go_on_behind_end(d))
				return WS_INFLATE_BAD;
		} else if (status != Z_OK && status != Z_BUF_ERROR) {
			return WS_INFLATE_BAD;
		}
		if (d->in.avail_in == 0 && d->in.avail_out)
			return WS_INFLATE_OK;
		if (status == Z_BUF_ERROR && d->in.avail_out)
			return WS_INFLATE_BAD;
	}
}

enum ws_inflate ws_inflate_part(struct ws_deflate *d, const void *data, size_t len, bool last,
				size_t max, struct buf *out)
{
	static const uint8_t tail[TAIL_LENGTH] = { 0, 0, 0xFF, 0xFF };
	if (len > G_MAXUINT)
		return WS_INFLATE_TOO_BIG;
	if (!d->has_in) {
		d->in = (z_stream){ 0 };
		if (inflateInit2(&d->in, -MAX(d->params.client_bits, 9)) != Z_OK)
			return WS_INFLATE_BAD;
		d->has_in = true;
	}
	enum ws_inflate status = len ? run(d, data, len, max, out) : WS_INFLATE_OK;
	if (status != WS_INFLATE_OK || !last)
		return status;
	status = run(d, tail, sizeof(tail), max, out);
	d->n_ends = 0;
	if (d->params.client_no_context)
		drop_in(d);
	return status;
}
