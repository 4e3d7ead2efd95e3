/*
 * tests/unit/test-registry.c - finding and refusing plugins, each refusal with its reason.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "place.h"
#include "registry.h"

static char *built(const char *path)
{
	return g_build_filename(g_getenv("WEIR_BUILD_ROOT"), path, NULL);
}

static void test_refusals(void)
{
	static const struct {
		const char *name, *reason; /* reason NULL: fine */
	} cases[] = {
		{ "good", NULL },
		{ "bad-crash", NULL }, /* loading creates nothing */
		{ "bad-no-symbol", "no weir_plugin_query()" },
		{ "bad-abi", "built for ABI 7.0" },
		{ "bad-abi-min", "needs a host of ABI" },
		{ "bad-sanitizer", "built with" },
		{ "bad-size", "was size set?" },
		{ "bad-null-id", "component id \"(NULL)\"" },
		{ "bad-option", "option count: its fallback \"65\" is not in the range 1 .. 64" },
	};
	struct weir_registry *registry = weir_registry_new();
	size_t n_refused = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *file = g_strdup_printf("tests/check/weir-%s.so", cases[i].name);
		g_autofree char *path = built(file);
		struct weir_error err = { 0 };
		weir_status status = weir_registry_load(registry, path, &err);
		g_test_message("%s: %s", cases[i].name, err.text);
		if (!cases[i].reason) {
			g_assert_cmpint(status, ==, WEIR_OK);
			g_assert_nonnull(
				weir_registry_find(registry, WEIR_ROLE_BACKEND, cases[i].name));
			continue;
		}
		g_assert_cmpint(status, <, 0);
		g_assert_nonnull(strstr(err.text, cases[i].reason));
		const struct weir_refusal *refusal = weir_registry_refusal(registry, n_refused++);
		g_assert_nonnull(refusal);
		g_assert_true(g_str_has_suffix(refusal->path, file));
		g_assert_cmpstr(refusal->reason, ==, err.text);
	}
	g_assert_null(weir_registry_refusal(registry, n_refused));
	g_assert_null(weir_registry_find(registry, WEIR_ROLE_FRONTEND, "good"));
	g_assert_null(weir_registry_entry(registry, 2));
	weir_registry_free(registry);
}

static void copy_file(const char *from, const char *to)
{
	g_autofree char *data = NULL;
	gsize len;
	g_assert_true(g_file_get_contents(from, &data, &len, NULL));
	g_assert_true(g_file_set_contents(to, data, (gssize)len, NULL));
}

/* Text files, other names and missing libraries in a folder; the loader's own words are kept. */
static void test_scan(void)
{
	g_autofree char *folder = g_dir_make_tmp("weir-registry-XXXXXX", NULL);
	g_autofree char *good = built("tests/check/weir-good.so");
	g_autofree char *first = g_build_filename(folder, "weir-a.so", NULL);
	g_autofree char *twin = g_build_filename(folder, "weir-b.so", NULL);
	g_autofree char *text = g_build_filename(folder, "weir-text.so", NULL);
	g_autofree char *other = g_build_filename(folder, "other.so", NULL);
	copy_file(good, first);
	copy_file(good, twin);
	g_assert_true(g_file_set_contents(text, "no library", -1, NULL));
	g_assert_true(g_file_set_contents(other, "no library", -1, NULL));
	struct weir_registry *registry = weir_registry_new();
	weir_registry_scan(registry, folder, true);
	weir_registry_scan(registry, folder, true); /* again: nothing new is loaded */
	const struct weir_registry_entry *entry = weir_registry_entry(registry, 0);
	g_assert_cmpstr(entry->component->id, ==, "good");
	g_assert_true(g_str_has_suffix(entry->path, "weir-a.so"));
	g_assert_null(weir_registry_entry(registry, 1));
	const struct weir_refusal *refusal = weir_registry_refusal(registry, 0);
	g_assert_true(g_str_has_suffix(refusal->path, "weir-b.so"));
	g_assert_nonnull(strstr(refusal->reason, "already loaded from"));
	refusal = weir_registry_refusal(registry, 1);
	g_assert_true(g_str_has_suffix(refusal->path, "weir-text.so"));
	g_assert_nonnull(strstr(refusal->reason, "file too short"));
	g_assert_cmpstr(weir_registry_folder(registry, 0), ==, folder);
	weir_registry_scan(registry, "/nonexistent/folder", true);
	size_t n = 0;
	while (weir_registry_refusal(registry, n))
		n++;
	g_assert_nonnull(strstr(weir_registry_refusal(registry, n - 1)->path, "/nonexistent"));
	weir_registry_scan(registry, "/nonexistent/folder", false);
	g_assert_null(weir_registry_refusal(registry, n));
	weir_registry_free(registry);
	const char *const files[] = { first, twin, text, other };
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		g_unlink(files[i]);
	g_rmdir(folder);
}

/* ROOT/core/weir finds ROOT/backends/X/weir-*.so; --plugin-path comes before it. */
static void test_build_tree(void)
{
	g_autofree char *root = g_dir_make_tmp("weir-registry-XXXXXX", NULL);
	g_autofree char *kind = g_build_filename(root, "backends", NULL);
	g_autofree char *folder = g_build_filename(kind, "good", NULL);
	g_autofree char *file = g_build_filename(folder, "weir-good.so", NULL);
	g_autofree char *program = g_build_filename(root, "core", "weir", NULL);
	g_autofree char *good = built("tests/check/weir-good.so");
	g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
	copy_file(good, file);
	struct weir_registry *registry = weir_registry_new();
	weir_registry_scan_default(registry, NULL, program);
	g_assert_cmpstr(weir_registry_entry(registry, 0)->path, ==, file);
	weir_registry_free(registry);

	g_autofree char *named = built("tests/check");
	const char *const folders[] = { named, NULL };
	registry = weir_registry_new();
	weir_registry_scan_default(registry, folders, program);
	const struct weir_registry_entry *entry =
		weir_registry_find(registry, WEIR_ROLE_BACKEND, "good");
	g_assert_cmpstr(entry->path, !=, file);
	g_assert_nonnull(weir_registry_find(registry, WEIR_ROLE_FRONTEND, "front"));
	weir_registry_free(registry);
	g_unlink(file);
	g_rmdir(folder);
	g_rmdir(kind);
	g_rmdir(root);
}

/* PREFIX/bin/weir finds what is installed below PREFIX; elsewhere a missing folder is told. */
static void test_installed(void)
{
	g_autofree char *prefix = g_dir_make_tmp("weir-registry-XXXXXX", NULL);
	g_autofree char *program = g_build_filename(prefix, "bin", "weir", NULL);
	g_autofree char *lib = g_build_filename(prefix, "lib", NULL);
	g_autofree char *folder = g_build_filename(lib, "weir", NULL);
	g_autofree char *found = weir_place_installed(program, "lib/weir", "/nonexistent");
	g_assert_cmpstr(found, ==, "/nonexistent");
	g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
	g_free(found);
	found = weir_place_installed(program, "lib/weir", "/nonexistent");
	g_assert_cmpstr(found, ==, folder);
	g_rmdir(folder);
	g_rmdir(lib);
	struct weir_registry *registry = weir_registry_new();
	weir_registry_scan_default(registry, NULL, program);
	g_assert_null(weir_registry_entry(registry, 0));
	g_assert_nonnull(weir_registry_refusal(registry, 0));
	weir_registry_free(registry);
	g_rmdir(prefix);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_unsetenv("WEIR_PLUGIN_PATH");
	g_test_add_func("/registry/refusals", test_refusals);
	g_test_add_func("/registry/scan", test_scan);
	g_test_add_func("/registry/build-tree", test_build_tree);
	g_test_add_func("/registry/installed", test_installed);
	return g_test_run();
}
