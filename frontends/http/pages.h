/*
 * frontends/http/pages.h - what the cold routes answer: files of the `www` folder, and an index of
 * the endpoints where it has no index.html. Called by lend.c from libsoup's handler. [loop]
 */
#ifndef HTTP_PAGES_H
#define HTTP_PAGES_H

#include <libsoup/soup.h>

#include "http.h"

struct pages; /* files in memory: all who are sent a file at once share one copy */

struct pages *pages_new(const struct http *);
void pages_free(struct pages *);
void pages_answer(struct pages *, SoupServerMessage *, const char *path);

#endif
