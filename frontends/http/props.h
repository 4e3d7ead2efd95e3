/*
 * frontends/http/props.h - what /props and /slots write alike.
 */
#ifndef HTTP_PROPS_H
#define HTTP_PROPS_H

#include <weir/backend.h>

#include "models.h"

void props_put_number(struct buf *, const char *name, double);
/* Members of an object, llama-server's names. */
void props_put_sampling(struct buf *, const struct weir_sampling *);
/* A JSON string of what may be no UTF-8; NULL: null. */
void props_put_text(struct buf *, const char *text);

#endif
