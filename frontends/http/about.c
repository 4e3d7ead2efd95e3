/*
 * frontends/http/about.c - what the server tells about itself: /version, /openapi.json; /props and
 * /slots are in props.c and slots.c. [loop]
 */
#include <string.h>

#include "handlers.h"

void handle_version(struct conn *c)
{
	static const char body[] = "{\"version\":\"" WEIR_VERSION "\"}";
	conn_respond(c, 200, "application/json", body, sizeof(body) - 1, NULL);
}

void handle_openapi(struct conn *c)
{
	const char *text = c->plane->http->openapi;
	conn_respond(c, 200, "application/json", text, strlen(text), "Cache-Control: no-cache\r\n");
}
