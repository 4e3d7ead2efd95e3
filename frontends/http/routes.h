/*
 * frontends/http/routes.h - which path is answered by whom, and what is counted.
 *
 * Paths that are ours are answered on the plane; what a static file could answer is lent to libsoup
 * (lend.h); the rest is 404 or 405. [loop]
 */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include "conn.h"

enum route_method {                       /* bits */
		    ROUTE_METHOD_GET = 1, /* and HEAD */
		    ROUTE_METHOD_POST = 2,
		    ROUTE_METHOD_DELETE = 4,
};

struct route {
	const char *path;    /* exact, or a prefix that ends in "/" when `prefix` */
	const char *handler; /* the metrics label */
	uint32_t methods;
	bool prefix;
	void (*run)(struct conn *);
	const char *help; /* one line for the index page */
};

/* Hands the connection's complete request to its handler. */
void routes_dispatch(struct conn *);
/* Would this head be refused whatever its body holds? Then the status, else 0. */
int routes_refuses(const struct http *, const struct http_request *);
/* All routes, ended by a NULL path. */
const struct route *routes_table(void);
/* Do this server's options offer it? */
bool routes_enabled(const struct http *, const struct route *);

struct routes_metrics *routes_metrics_new(void);
void routes_metrics_free(struct routes_metrics *);
/* status 0: refused before a request was complete. */
void routes_count(struct conn *, int status);

#endif
