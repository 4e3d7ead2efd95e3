/*
 * frontends/http/frontend.h - an instance of the connection plane from its settings: what the
 * component http and the component websocket have in common. [main]
 */
#ifndef HTTP_FRONTEND_H
#define HTTP_FRONTEND_H

#include <weir/plugin.h>

#include "http.h"

struct http_settings {
	struct http_config config;
	struct api_config api;
	struct ws_config websocket;
	size_t responses_memory; /* of stored responses; 0: none is stored */
	uint64_t responses_ttl_ms;
};

/* Takes over what settings points to, in any case. topic: of log lines, static. */
weir_status http_frontend_create(const struct weir_host *, const char *topic,
				 const struct http_settings *settings, struct weir_instance **ret,
				 struct weir_error *err);

/* The text of an option, or its fallback, which may be NULL. */
const char *http_option(const struct weir_kv *conf, size_t n, const struct weir_option *);
/* Of an INT, SIZE or DURATION (milliseconds). */
uint64_t http_option_number(const struct weir_kv *conf, size_t n, const struct weir_option *);
/* Of a LIST; NULL: empty. To be freed with g_strfreev(). */
char **http_option_list(const struct weir_kv *conf, size_t n, const struct weir_option *);

#endif
