/*
 * frontends/http/ui.h - the browser interface: where its files (data/www) are, and by which paths
 * they are asked for. Called by pages.c and routes.c, and by plugin.c when options are read. Pure.
 */
#ifndef HTTP_UI_H
#define HTTP_UI_H

#include "http.h"

/* The folder with its files, to be g_free()d: www in WEIR_DATA_DIR, beside the build tree, or where
 * it was installed. NULL: nowhere. */
char *ui_folder(void);
/* "/" and everything below "/ui/"; false where the interface is off. */
bool ui_has(const struct http *, const char *path);
/* Content-Security-Policy of its files: nothing but this origin, nothing inline. */
const char *ui_policy(void);

#endif
