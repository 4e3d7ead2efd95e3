/*
 * frontends/http/models.h - what models.c (the list) and models-change.c (loading and unloading)
 * share. [loop]
 */
#ifndef HTTP_MODELS_H
#define HTTP_MODELS_H

#include "conn.h"

/* ,"status":{"value":...}: the state as llama-server's router names it. */
void models_put_status(struct buf *, const char *state);
void models_respond_not_found(struct conn *);
/* By the path's end, /load or /unload. model NULL: the body names it. */
void models_change(struct conn *, const char *model);

#endif
