/*
 * frontends/websocket/handshake.c - see handshake.h.
 */
#include "handshake.h"

#include <string.h>

#include <glib.h>

#define KEY_LENGTH 24 /* 16 bytes in base64 */
#define KEY_PREFIX "openai-insecure-api-key."

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static const char *header(const struct weir_kv *headers, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(headers[i].key, name) == 0)
			return headers[i].value;
	return NULL;
}

static size_t count(const struct weir_kv *headers, size_t n, const char *name)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++)
		found += strcmp(headers[i].key, name) == 0;
	return found;
}

/* Calls each() with every element of the comma-separated lists of all headers of that name, until
 * it returns true. */
static bool any_element(const struct weir_kv *headers, size_t n, const char *name,
			bool (*each)(void *data, const char *element), void *data)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(headers[i].key, name) != 0)
			continue;
		g_auto(GStrv) list = g_strsplit(headers[i].value, ",", -1);
		for (char **e = list; *e; e++)
			if (each(data, g_strstrip(*e)))
				return true;
	}
	return false;
}

static bool is_text(void *data, const char *element)
{
	return g_ascii_strcasecmp(data, element) == 0;
}

bool ws_handshake_wanted(const struct weir_kv *headers, size_t n)
{
	return any_element(headers, n, "upgrade", is_text, (void *)(uintptr_t) "websocket");
}

static bool key_valid(const char *key)
{
	guchar raw[20];
	gint state = 0;
	guint save = 0;
	if (strlen(key) != KEY_LENGTH || strcmp(key + KEY_LENGTH - 2, "==") != 0)
		return false;
	for (int i = 0; i < KEY_LENGTH - 2; i++)
		if (!g_ascii_isalnum(key[i]) && key[i] != '+' && key[i] != '/')
			return false;
	return g_base64_decode_step(key, KEY_LENGTH, raw, &state, &save) == 16;
}

static void make_accept(const char *key, char accept[29])
{
	guint8 digest[20];
	gsize n = sizeof(digest);
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA1);
	g_checksum_update(sum, (const guchar *)key, -1);
	g_checksum_update(sum, (const guchar *)guid, sizeof(guid) - 1);
	g_checksum_get_digest(sum, digest, &n);
	g_checksum_free(sum);
	g_autofree char *text = g_base64_encode(digest, n);
	g_strlcpy(accept, text, 29);
}

static bool origin_allowed(const struct ws_handshake_config *c, const struct weir_kv *headers,
			   size_t n)
{
	const char *origin = header(headers, n, "origin"), *host = header(headers, n, "host");
	if (!origin)
		return true;
	for (char **o = c->origins; o && *o; o++)
		if (strcmp(*o, "*") == 0 || g_ascii_strcasecmp(*o, origin) == 0)
			return true;
	const char *authority = strstr(origin, "://");
	return authority && host && g_ascii_strcasecmp(authority + 3, host) == 0;
}

static bool look_at_protocol(void *data, const char *element)
{
	struct ws_handshake *h = data;
	if (strcmp(element, WS_SUBPROTOCOL) == 0)
		h->subprotocol = true;
	else if (g_str_has_prefix(element, KEY_PREFIX) && !h->authorization)
		h->authorization = g_strconcat("Bearer ", element + strlen(KEY_PREFIX), NULL);
	return false;
}

static void negotiate(const struct ws_handshake_config *c, const struct weir_kv *headers, size_t n,
		      struct ws_handshake *ret)
{
	for (size_t i = 0; c->compress && !ret->deflate.on && i < n; i++)
		if (strcmp(headers[i].key, "sec-websocket-extensions") == 0)
			ws_deflate_negotiate(headers[i].value, c->window_bits, &ret->deflate);
}

static int check(const struct ws_handshake_config *c, const char *method, unsigned minor,
		 const struct weir_kv *headers, size_t n, const char **why)
{
	const char *key = header(headers, n, "sec-websocket-key");
	const char *version = header(headers, n, "sec-websocket-version");
	if (strcmp(method, "GET") != 0) {
		*why = "a WebSocket is opened with GET";
		return 405;
	}
	if (!ws_handshake_wanted(headers, n)) {
		*why = "this is a WebSocket endpoint: connect with ws://, or send Upgrade: "
		       "websocket";
		return 426;
	}
	*why = "a WebSocket needs HTTP/1.1";
	if (minor < 1)
		return 400;
	*why = "Connection: Upgrade is missing";
	if (!any_element(headers, n, "connection", is_text, (void *)(uintptr_t) "upgrade"))
		return 400;
	*why = "Sec-WebSocket-Version must be 13";
	if (!version || count(headers, n, "sec-websocket-version") != 1 ||
	    strcmp(version, "13") != 0)
		return 426;
	*why = "Sec-WebSocket-Key must be 16 bytes in base64, once";
	if (!key || count(headers, n, "sec-websocket-key") != 1 || !key_valid(key))
		return 400;
	*why = "pages of this origin may not connect: see the option origins";
	if (count(headers, n, "origin") > 1 || !origin_allowed(c, headers, n))
		return 403;
	*why = NULL;
	return 101;
}

void ws_handshake_check(const struct ws_handshake_config *c, const char *method, unsigned minor,
			const struct weir_kv *headers, size_t n, struct ws_handshake *ret)
{
	*ret = (struct ws_handshake){ .status = 0 };
	ret->status = check(c, method, minor, headers, n, &ret->why);
	if (ret->status != 101)
		return;
	make_accept(header(headers, n, "sec-websocket-key"), ret->accept);
	any_element(headers, n, "sec-websocket-protocol", look_at_protocol, ret);
	negotiate(c, headers, n, ret);
}

void ws_handshake_put(struct buf *b, const struct ws_handshake *h)
{
	buf_printf(b, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
		   h->accept);
	if (h->subprotocol)
		buf_puts(b, "Sec-WebSocket-Protocol: " WS_SUBPROTOCOL "\r\n");
	if (h->deflate.on) {
		buf_puts(b, "Sec-WebSocket-Extensions: ");
		ws_deflate_put(b, &h->deflate);
		buf_puts(b, "\r\n");
	}
}
