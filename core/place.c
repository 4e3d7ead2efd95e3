/*
 * core/place.c - see place.h.
 */
#include "place.h"

#include <glib.h>

char *weir_place_installed(const char *program, const char *below, const char *configured)
{
	g_autofree char *self =
		program ? g_strdup(program) : g_file_read_link("/proc/self/exe", NULL);
	if (!self)
		return g_strdup(configured);
	g_autofree char *bin = g_path_get_dirname(self);
	g_autofree char *prefix = g_path_get_dirname(bin);
	char *folder = g_build_filename(prefix, below, NULL);
	if (g_file_test(folder, G_FILE_TEST_IS_DIR))
		return folder;
	g_free(folder);
	return g_strdup(configured);
}
