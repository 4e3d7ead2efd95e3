/*
 * test-vulkan-choice.c - which device a profile names, drivers that are missing or damaged, and
 * what of the cache folder a driver is given. Nothing is compiled.
 */
#include "vk.h"

#include <glib.h>
#include <dlfcn.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_names(void)
{
	static const struct {
		const char *wanted;
		int index; /* -1: none */
	} cases[] = {
		{ "", 1 },
		{ NULL, 1 },
		{ "0", 0 },
		{ "1", 1 },
		{ "01", 1 },
		{ "2", 2 },
		{ "rtx", 1 },
		{ "4090", 1 },
		{ "660", 0 },
		{ "3", -1 },
		{ "-1", -1 },
		{ "1x", -1 },
		{ "99999999999999999999", -1 },
		{ "LLVMPIPE", 2 },
		{ "10203040-0000-0000-0000-000000000002", 2 },
		{ "10203040000000000000000000000000", 0 },
		{ "1020304000000000000000000000000", -1 },
		{ "102030400000000000000000000000000", -1 },
		{ "10203040-0000-0000-0000-00000000000f", -1 },
	};
	struct weir_vk_caps caps[3] = { { .index = 1, .score = 60, .name = "NVIDIA RTX 4090" },
					{ .index = 0, .score = 30, .name = "UHD Graphics 660" },
					{ .index = 2, .score = 5, .name = "llvmpipe" } };

	for (size_t i = 0; i < 3; i++) {
		memcpy(caps[i].uuid, "\x10\x20\x30\x40", 4);
		caps[i].uuid[15] = (uint8_t)caps[i].index;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_error err = { 0 };
		uint32_t found = 9;
		weir_status s = weir_vk_choose(caps, 3, cases[i].wanted, &found, &err);

		g_test_message("%s: %s", cases[i].wanted ? cases[i].wanted : "unset", err.text);
		g_assert_cmpint(s, ==, cases[i].index < 0 ? WEIR_E_NOT_FOUND : WEIR_OK);
		if (!s)
			g_assert_cmpint((int)caps[found].index, ==, cases[i].index);
		else
			g_assert_nonnull(
				strstr(err.text, "here are 1: NVIDIA RTX 4090 (10203040-"));
	}
}

/* Of the loader's two answers neither says what to do. */
static void test_drivers(void)
{
	static const struct {
		const char *json; /* NULL: no such file */
		const char *says;
	} cases[] = {
		{ NULL, "found no driver (ICD)" },
		{ "{\"ICD\": {\"library_path\": ", "VK_LOADER_DEBUG=error" },
		{ "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": "
		  "\"/nonexistent.so\", \"api_version\": \"1.3.0\"}}",
		  "found no driver (ICD)" },
	};
	g_autofree char *folder = g_dir_make_tmp("weir-driver-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "icd.json", NULL);
	struct weir_vk_api api;
	struct weir_error err = { 0 };

	if (weir_vk_api_open(&api, &err)) {
		g_rmdir(folder);
		g_test_skip(err.text);
		return;
	}
	g_setenv("VK_DRIVER_FILES", path, TRUE);
	g_setenv("VK_ICD_FILENAMES", path, TRUE); /* of older loaders */
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (cases[i].json)
			g_file_set_contents(path, cases[i].json, -1, NULL);
		err = (struct weir_error){ 0 };
		g_assert_cmpint(weir_vk_probe(&err), ==, 0);
		g_test_message("%s", err.text);
		g_assert_nonnull(strstr(err.text, cases[i].says));
	}
	g_unsetenv("VK_DRIVER_FILES");
	g_unsetenv("VK_ICD_FILENAMES");
	g_unlink(path);
	g_rmdir(folder);
}

/* How many bytes of the cache file the driver was given. */
static size_t open_once(char **ret_path)
{
	struct weir_vk_config config = { .device = g_getenv("WEIR_VULKAN_DEVICE") };
	struct weir_error err = { 0 };
	struct weir_vk *vk = NULL;
	size_t bytes;

	g_assert_cmpint(weir_vk_new(&config, &vk, &err), ==, WEIR_OK);
	bytes = vk->cache_bytes;
	if (ret_path)
		*ret_path = g_strdup(vk->cache_path);
	weir_vk_free(vk);
	return bytes;
}

/* A file that others could have written is not the driver's to run; a pipe is not waited for. */
static void try_cache(const char *folder)
{
	g_autofree char *path = NULL, *other = g_build_filename(folder, "other", NULL);
	g_autofree char *weir = NULL;
	struct stat st;

	g_assert_cmpuint(open_once(&path), ==, 0);
	weir = g_path_get_dirname(path);
	g_assert_cmpint(stat(weir, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0700);
	if (stat(path, &st) != 0) {
		g_test_skip("the driver keeps no pipeline cache");
		g_rmdir(weir);
		return;
	}
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	g_assert_cmpuint(open_once(NULL), >, 0);
	g_assert_cmpint(g_chmod(path, 0620), ==, 0);
	g_assert_cmpuint(open_once(NULL), ==, 0);
	g_assert_cmpuint(open_once(NULL), >, 0); /* written anew */
	g_assert_cmpint(g_rename(path, other), ==, 0);
	g_assert_cmpint(symlink(other, path), ==, 0);
	g_assert_cmpuint(open_once(NULL), ==, 0);
	g_assert_cmpuint(open_once(NULL), >, 0);
	g_unlink(path);
	g_assert_cmpint(mkfifo(path, 0600), ==, 0);
	g_assert_cmpuint(open_once(NULL), ==, 0);
	g_assert_cmpuint(open_once(NULL), >, 0);
	g_unlink(path);
	g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
	g_assert_cmpuint(open_once(NULL), ==, 0);
	g_rmdir(path);
	g_unlink(other);
	g_rmdir(weir);
}

static void test_cache(void)
{
	g_autofree char *folder = g_dir_make_tmp("weir-cache-XXXXXX", NULL);
	g_autofree char *between = g_build_filename(folder, "between", NULL);
	g_autofree char *base = g_build_filename(between, "cache", NULL);
	struct weir_error err = { 0 };

	/* Kept in memory, so that a leak report can name (and suppress) the driver's own leaks. */
	dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
	if (weir_vk_probe(&err) > 0) {
		g_setenv("XDG_CACHE_HOME", base, TRUE);
		/* Else lavapipe keeps files of its own there. */
		g_setenv("MESA_SHADER_CACHE_DISABLE", "true", TRUE);
		try_cache(folder);
		g_unsetenv("XDG_CACHE_HOME");
	} else {
		g_test_skip(err.text);
	}
	g_rmdir(base);
	g_rmdir(between);
	g_assert_cmpint(g_rmdir(folder), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/choice/names", test_names);
	g_test_add_func("/vulkan/choice/cache", test_cache);
	g_test_add_func("/vulkan/choice/drivers", test_drivers);
	return g_test_run();
}
