/*
 * frontends/http/docs.h - /docs: Swagger UI over /openapi.json, from the npm package
 * swagger-ui-dist, which `./dev` installs; without it the page says how to get it. Nothing comes
 * from another host. Pure.
 */
#ifndef HTTP_DOCS_H
#define HTTP_DOCS_H

#include "http.h"

bool docs_has(const char *path);
/* The package's file behind the path, to be g_free()d; NULL: it is not one of them. */
char *docs_file(const struct http *, const char *path);
/* Our own text for the path and its type, static; NULL: none. */
const char *docs_text(const struct http *, const char *path, const char **ret_type);
/* Content-Security-Policy of these pages: this origin only, so that "Try it out" works. */
const char *docs_policy(void);

#endif
