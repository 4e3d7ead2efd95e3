/*
 * frontends/http/pages.h - what the cold routes answer: files of the `www` folder, and an index of
 * the endpoints where it has no index.html. Called by lend.c from libsoup's handler. [loop]
 */
#ifndef HTTP_PAGES_H
#define HTTP_PAGES_H

#include <libsoup/soup.h>

#include "http.h"

void pages_answer(const struct http *, SoupServerMessage *, const char *path);

#endif
