/*
 * core/registry.c - see registry.h.
 */
#include "registry.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "log.h"
#include "place.h"

#ifndef WEIR_PLUGIN_DIR
#define WEIR_PLUGIN_DIR    "/usr/lib/weir"
#define WEIR_PLUGIN_SUBDIR "lib/weir"
#endif

struct weir_registry {
	GPtrArray *entries;  /* struct weir_registry_entry */
	GPtrArray *refusals; /* struct weir_refusal */
	GPtrArray *folders;  /* char *, scanned */
	GPtrArray *paths;    /* char *, real paths of the files that were loaded */
};

static void refusal_free(void *data)
{
	struct weir_refusal *refusal = data;
	g_free((char *)refusal->path);
	g_free((char *)refusal->reason);
	g_free(refusal);
}

struct weir_registry *weir_registry_new(void)
{
	struct weir_registry *registry = g_new0(struct weir_registry, 1);
	registry->entries = g_ptr_array_new_with_free_func(g_free);
	registry->refusals = g_ptr_array_new_with_free_func(refusal_free);
	registry->folders = g_ptr_array_new_with_free_func(g_free);
	registry->paths = g_ptr_array_new_with_free_func(g_free);
	return registry;
}

void weir_registry_free(struct weir_registry *registry)
{
	if (!registry)
		return;
	g_ptr_array_unref(registry->entries);
	g_ptr_array_unref(registry->refusals);
	g_ptr_array_unref(registry->folders);
	g_ptr_array_unref(registry->paths);
	g_free(registry);
}

static void refuse(struct weir_registry *registry, const char *path, const char *reason)
{
	struct weir_refusal *refusal = g_new0(struct weir_refusal, 1);
	refusal->path = g_strdup(path);
	refusal->reason = g_strdup(reason);
	g_ptr_array_add(registry->refusals, refusal);
}

/* The first plugin stays: a build tree beside an installed Weir must not mix the two. */
static weir_status check_unique(const struct weir_registry *registry,
				const struct weir_plugin *plugin, struct weir_error *err)
{
	for (unsigned i = 0; i < registry->entries->len; i++) {
		const struct weir_registry_entry *entry = g_ptr_array_index(registry->entries, i);
		if (!strcmp(entry->plugin->name, plugin->name))
			return weir_fail(err, WEIR_E_INVALID, "plugin %s is already loaded from %s",
					 plugin->name, entry->path);
		for (size_t k = 0; plugin->components[k]; k++) {
			const struct weir_component *one = plugin->components[k];
			if (one->role == entry->component->role &&
			    !strcmp(one->id, entry->component->id))
				return weir_fail(err, WEIR_E_INVALID,
						 "its %s %s is already there, from %s",
						 weir_role_name(one->role), one->id, entry->path);
		}
	}
	return WEIR_OK;
}

static weir_status open_plugin(const char *path, const struct weir_plugin **ret,
			       struct weir_error *err)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return weir_fail(err, WEIR_E_NOT_FOUND, "%s", dlerror());
	const struct weir_plugin *(*query)(uint32_t);
	*(void **)&query = dlsym(library, "weir_plugin_query");
	if (!query)
		return weir_fail(err, WEIR_E_INVALID,
				 "no weir_plugin_query() in it: this is no Weir plugin");
	const struct weir_plugin *plugin = query(WEIR_ABI);
	if (!plugin)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "it says that it cannot work with ABI %u.%u", WEIR_ABI_MAJOR,
				 WEIR_ABI_MINOR);
	weir_status status = weir_plugin_validate(plugin, err);
	if (status == WEIR_OK)
		*ret = plugin;
	return status;
}

weir_status weir_registry_load(struct weir_registry *registry, const char *path,
			       struct weir_error *err)
{
	g_autofree char *real = NULL;
	char *resolved = realpath(path, NULL);
	real = g_strdup(resolved ? resolved : path);
	free(resolved);
	if (g_ptr_array_find_with_equal_func(registry->paths, real, g_str_equal, NULL))
		return WEIR_OK;
	const struct weir_plugin *plugin = NULL;
	struct weir_error why;
	weir_status status = open_plugin(real, &plugin, &why);
	if (status == WEIR_OK)
		status = check_unique(registry, plugin, &why);
	if (status != WEIR_OK) {
		refuse(registry, real, why.text);
		if (err)
			*err = why;
		return status;
	}
	char *kept = g_steal_pointer(&real);
	g_ptr_array_add(registry->paths, kept);
	for (size_t i = 0; plugin->components[i]; i++) {
		struct weir_registry_entry *entry = g_new0(struct weir_registry_entry, 1);
		entry->component = plugin->components[i];
		entry->plugin = plugin;
		entry->path = kept;
		g_ptr_array_add(registry->entries, entry);
	}
	return WEIR_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *list_folder(const char *folder, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
	if (!dir)
		return NULL;
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	const char *name;
	while ((name = g_dir_read_name(dir)))
		g_ptr_array_add(names, g_strdup(name));
	g_ptr_array_sort(names, compare_names);
	return names;
}

void weir_registry_scan(struct weir_registry *registry, const char *folder, bool asked_for)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) names = list_folder(folder, &error);
	if (!names) {
		if (asked_for)
			refuse(registry, folder, error->message);
		return;
	}
	bool found = false;
	for (unsigned i = 0; i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i);
		if (!g_str_has_prefix(name, "weir-") || !g_str_has_suffix(name, ".so"))
			continue;
		g_autofree char *path = g_build_filename(folder, name, NULL);
		weir_registry_load(registry, path, NULL); /* a refusal is kept */
		found = true;
	}
	if (found || asked_for)
		g_ptr_array_add(registry->folders, g_strdup(folder));
}

/* build/core/weir finds build/backends/cpu/weir-cpu.so: plugins lie two levels below the root. */
static bool scan_build_tree(struct weir_registry *registry, const char *program)
{
	static const char *const kinds[] = { "backends", "frontends", "plugins" };
	g_autofree char *bin = g_path_get_dirname(program);
	g_autofree char *root = g_path_get_dirname(bin);
	bool found = false;
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autofree char *kind = g_build_filename(root, kinds[i], NULL);
		g_autoptr(GPtrArray) names = list_folder(kind, NULL);
		for (unsigned k = 0; names && k < names->len; k++) {
			g_autofree char *folder =
				g_build_filename(kind, g_ptr_array_index(names, k), NULL);
			if (!g_file_test(folder, G_FILE_TEST_IS_DIR))
				continue;
			weir_registry_scan(registry, folder, false);
			found = true;
		}
	}
	return found;
}

void weir_registry_scan_default(struct weir_registry *registry, const char *const *folders,
				const char *program)
{
	for (size_t i = 0; folders && folders[i]; i++)
		weir_registry_scan(registry, folders[i], true);
	const char *path = g_getenv("WEIR_PLUGIN_PATH");
	g_auto(GStrv) more = g_strsplit(path ? path : "", ":", -1);
	for (size_t i = 0; more[i]; i++)
		if (*more[i])
			weir_registry_scan(registry, more[i], true);
	g_autofree char *self =
		program ? g_strdup(program) : g_file_read_link("/proc/self/exe", NULL);
	if (self && scan_build_tree(registry, self))
		return;
	g_autofree char *installed =
		weir_place_installed(self, WEIR_PLUGIN_SUBDIR, WEIR_PLUGIN_DIR);
	/* Without any plugin nothing works: then it is worth a line that this folder is missing. */
	weir_registry_scan(registry, installed, registry->entries->len == 0);
}

const struct weir_registry_entry *weir_registry_entry(const struct weir_registry *registry,
						      size_t i)
{
	return i < registry->entries->len ? g_ptr_array_index(registry->entries, i) : NULL;
}

const struct weir_refusal *weir_registry_refusal(const struct weir_registry *registry, size_t i)
{
	return i < registry->refusals->len ? g_ptr_array_index(registry->refusals, i) : NULL;
}

const char *weir_registry_folder(const struct weir_registry *registry, size_t i)
{
	return i < registry->folders->len ? g_ptr_array_index(registry->folders, i) : NULL;
}

const struct weir_registry_entry *weir_registry_find(const struct weir_registry *registry,
						     uint32_t role, const char *id)
{
	for (unsigned i = 0; i < registry->entries->len; i++) {
		const struct weir_registry_entry *entry = g_ptr_array_index(registry->entries, i);
		if (entry->component->role == role && !strcmp(entry->component->id, id))
			return entry;
	}
	return NULL;
}
