/*
 * core/registry.h - the plugins that were found, their components, and the files that were refused.
 *
 * [main] only, before workers start: loading a library runs its constructors. Nothing is ever
 * unloaded, so the pointers that a registry hands out outlive it.
 */
#ifndef WEIR_CORE_REGISTRY_H
#define WEIR_CORE_REGISTRY_H

#include <weir/plugin.h>

struct weir_registry;

struct weir_registry_entry {
	const struct weir_component *component;
	const struct weir_plugin *plugin;
	const char *path;
};

struct weir_refusal {
	const char *path;
	const char *reason; /* dlerror()'s own words where it was dlopen() that refused */
};

struct weir_registry *weir_registry_new(void);
void weir_registry_free(struct weir_registry *);

/* Loads every weir-*.so of a folder in the order of their names. A folder that cannot be read is a
 * refusal if it was asked for by name. */
void weir_registry_scan(struct weir_registry *, const char *folder, bool asked_for);
/* Loads one file whatever its name. A file that was loaded before is OK. */
weir_status weir_registry_load(struct weir_registry *, const char *path, struct weir_error *err);
/* Scans the folders of --plugin-path and WEIR_PLUGIN_PATH, then the build tree that `program` (a
 * path of this executable, NULL: found out) lies in, or else the installed folder. Of two plugins
 * with one name the first stays. */
void weir_registry_scan_default(struct weir_registry *, const char *const *folders,
				const char *program);

/* NULL past the end. Entries are in order of loading; refusals too. */
const struct weir_registry_entry *weir_registry_entry(const struct weir_registry *, size_t i);
const struct weir_refusal *weir_registry_refusal(const struct weir_registry *, size_t i);
const char *weir_registry_folder(const struct weir_registry *, size_t i);

const struct weir_registry_entry *weir_registry_find(const struct weir_registry *, uint32_t role,
						     const char *id);
const char *weir_role_name(uint32_t role); /* "backend" */

/* Everything that can be told of a plugin without creating anything: ABI, sizes, ids, options. */
weir_status weir_plugin_validate(const struct weir_plugin *, struct weir_error *err);

#endif
