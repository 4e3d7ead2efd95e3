/*
 * frontends/http/openapi.h - the OpenAPI 3.1 document of this instance: data/openapi/base.json with
 * the paths and request schemas made from the tables that the server works by (000-16, 000-17).
 */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

#include "http.h"

/* JSON text, NUL-terminated, to be g_free()d. Pure: any thread. */
char *openapi_document(const struct http *);

#endif
