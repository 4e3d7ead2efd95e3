/*
 * tests/unit/http-harness.h - the http plugin, running on a free port behind a fake gateway, and a
 * blocking client.
 */
#ifndef TESTS_HTTP_HARNESS_H
#define TESTS_HTTP_HARNESS_H

#include "fake-gateway.h"

struct harness {
	struct fake_gateway gateway;
	struct weir_instance *instance;
};

/* options: key, value, ..., NULL. Fails the test when the plugin does not start. */
void harness_start(struct harness *, ...);
void harness_stop(struct harness *);

int harness_connect(struct harness *);
void harness_send(int fd, const char *data, size_t len);
/* Reads until the other side closes; NUL-terminated, to be g_free()d. Closes fd. */
char *harness_read_all(int fd);
/* Reads until `text` has come; what came so far. Fails the test at a close before it. */
char *harness_read_until(int fd, const char *text);
/* One request on a connection of its own, "Connection: close" added; the whole answer. */
char *harness_get(struct harness *, const char *path, const char *headers);
char *harness_post(struct harness *, const char *path, const char *body);
int harness_status(const char *answer);
const char *harness_body(const char *answer); /* behind the blank line */
/* The "data: " payloads of a chunked SSE answer, one a line. */
char *harness_sse(const char *answer);
/* Waits until *n >= at_least, five seconds at most. */
void harness_await(const int *n, int at_least);

#endif
