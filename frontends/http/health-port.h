/*
 * frontends/http/health-port.h - a port of its own for health checks (003-10, 003-11): a thread
 * that shares nothing with the API's planes, so that it answers while they are busy, loading or
 * draining.
 *
 * GET /ping: pong, touches nothing. GET /health: the host's document, 503 when draining. No request
 * here reaches a backend or counts as activity.
 */
#ifndef HTTP_HEALTH_PORT_H
#define HTTP_HEALTH_PORT_H

#include "http.h"

struct health_port;

/* Binds config.health_listen and starts answering. *ret NULL: none configured. [main] */
weir_status health_port_start(const struct http *, struct health_port **ret, struct weir_error *);
void health_port_stop(struct health_port *); /* and frees. [main] */

#endif
