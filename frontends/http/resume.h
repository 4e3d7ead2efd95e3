/*
 * frontends/http/resume.h - requests for an answer that is already there (kept.h). [loop]
 */
#ifndef HTTP_RESUME_H
#define HTTP_RESUME_H

#include <api/body.h>

#include "conn.h"

/* The value of a query member, decoded, to be freed; NULL: absent. */
char *resume_query(const struct http_request *, const char *name);
/* "?starting_after=7" and the like: from is 8. False: it is no number; absent: 0. */
bool resume_number(const char *text, uint64_t *ret_from);
/* The answer of that id is another plane's: the connection goes there, and its request is handled
 * again. */
bool resume_elsewhere(struct conn *, const char *id);
/* The frames from number `from` on; 404 when there is no such answer. On the answer's plane. */
void resume_answer(struct conn *, const char *id, uint64_t from);
/* A POST that carries a Last-Event-ID of ours: true: it is handled, its body does not count. */
bool resume_again(struct conn *, const struct api_endpoint *);

#endif
