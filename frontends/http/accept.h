/*
 * frontends/http/accept.h - listening sockets and the accept loop of a plane.
 *
 * Neither a connection too many nor a lack of descriptors ends listening: the first is told 503,
 * the second is closed with the help of a spare descriptor, and accepting pauses for a moment.
 */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include "plane.h"

/* plane_listen() of plane.h is implemented here too. */
bool accept_start(struct plane *); /* watches the listeners; false: errno. [main] */
void accept_connections(struct plane *, struct listener *);
void accept_resume(struct plane *);
void accept_close(struct plane *);
/* A listening socket of no plane, not blocking; logs "<what>: listening on N". -1: err. [main] */
int accept_bind(const struct http *, const char *address, const char *what, struct weir_error *err);

#endif
