/*
 * frontends/http/handlers.h - the handlers of the route table. Each answers the connection's
 * request, at once or later (conn_wait). [loop]
 */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include "conn.h"

void handle_ping(struct conn *);
void handle_health(struct conn *);
void handle_metrics(struct conn *);
void handle_reload(struct conn *);
/* Administration: false when the client is elsewhere, or a page of another site's in a browser
 * here; it has been told so. */
bool handle_from_here(struct conn *);
/* The same, asked only, and with option admin: may this client know what is others'? */
bool handle_is_admin(struct conn *);
void handle_profile(struct conn *); /* /v1/profile and below */
void handle_models(struct conn *);
void handle_model(struct conn *);
void handle_change(struct conn *); /* /v1/models/load, /unload: the model is in the body */
void handle_websocket(struct conn *);
void handle_version(struct conn *);
void handle_props(struct conn *);
void handle_slots(struct conn *);
void handle_stream(struct conn *);   /* /v1/stream/{id} */
void handle_response(struct conn *); /* /v1/responses/{id} and below */
void handle_openapi(struct conn *);
void handle_api(struct conn *); /* everything that has an api_endpoint */

#endif
