/*
 * frontends/http/ui.c - see ui.h.
 */
#include "ui.h"

#include <string.h>

#ifndef WEIR_DATA_DIR
#define WEIR_DATA_DIR    "/usr/share/weir"
#define WEIR_DATA_SUBDIR "share/weir"
#endif

static char *folder_in(const char *data)
{
	g_autofree char *index = g_build_filename(data, "www", "index.html", NULL);
	return g_file_test(index, G_FILE_TEST_IS_REGULAR) ? g_path_get_dirname(index) : NULL;
}

/* SOURCE/build/core/weir and SOURCE/build/tests/unit/test-x: SOURCE/data. */
static char *beside_build(void)
{
	g_autofree char *dir = g_file_read_link("/proc/self/exe", NULL);
	for (int level = 0; dir && level < 3; level++) {
		char *up = g_path_get_dirname(dir);
		g_free(dir);
		dir = up;
		g_autofree char *marker = g_build_filename(dir, "build.ninja", NULL);
		if (!g_file_test(marker, G_FILE_TEST_EXISTS))
			continue;
		g_autofree char *source = g_path_get_dirname(dir);
		return g_build_filename(source, "data", NULL);
	}
	return NULL;
}

/* PREFIX/bin/weir: PREFIX/share/weir, wherever the tree was moved. */
static char *below_prefix(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *bin = self ? g_path_get_dirname(self) : NULL;
	g_autofree char *prefix = bin ? g_path_get_dirname(bin) : NULL;
	return prefix ? g_build_filename(prefix, WEIR_DATA_SUBDIR, NULL) : NULL;
}

char *ui_folder(void)
{
	const char *named = g_getenv("WEIR_DATA_DIR");
	char *found = named && *named ? folder_in(named) : NULL;
	g_autofree char *beside = found ? NULL : beside_build();
	if (!found && beside)
		found = folder_in(beside);
	g_autofree char *moved = found ? NULL : below_prefix();
	if (!found && moved)
		found = folder_in(moved);
	return found ? found : folder_in(WEIR_DATA_DIR);
}

bool ui_has(const struct http *h, const char *path)
{
	return h->config.ui && (strcmp(path, "/") == 0 || strncmp(path, "/ui/", 4) == 0);
}

const char *ui_policy(void)
{
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	       "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}
