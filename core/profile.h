/*
 * core/profile.h - what a server is made of: read from an .ini file, overridden, checked against
 * what the loaded components declare, all before anything is created.
 *
 * [main]. In order of weight: --set section.key=value, the environment WEIR_<SECTION>_<KEY> (dots
 * and dashes become underscores, upper case), the file, the component's fallback. ${NAME} and
 * ${NAME:-otherwise} in a value of the file or of --set are replaced by the environment. An empty
 * value is as good as none. Every problem goes to the list; a profile with one is not used.
 *
 *   [server]             settings of the host itself
 *   [chain]              order = auth, limit      middleware, first to last
 *   [frontend.NAME]      plugin = http            and that component's options
 *   [backend.NAME]       plugin = cuda, cpu       the first whose probe() is above 0, and
 *                                            below 10 (a last resort) only without a better; serves
 * = ... [middleware.NAME]    options of a NAME in the chain; without it NAME is a component as it
 * is
 *
 * plugin may be left out when it would repeat NAME.
 */
#ifndef WEIR_CORE_PROFILE_H
#define WEIR_CORE_PROFILE_H

#include <glib.h>

#include "core.h"
#include "ini.h"
#include "problems.h"
#include "registry.h"

struct weir_settings { /* [server] */
	int64_t drain_timeout_ms, park_after_ms, cancel_grace_ms;
	uint32_t max_queue, max_concurrent, workers, max_loaded;
	bool single_model, log_json;
	char *log_level;
	char **plugin_path;
};

struct weir_backend_life { /* what the host knows of a backend besides its component's options */
	bool autoload;     /* at the start */
	bool on_demand;    /* by the first request, which waits */
	bool beside;       /* a reload's new instance is loaded before the old one ends */
	int64_t idle_unload_ms;  /* unloaded after so long without a request; 0: never */
	bool isolated;           /* in a process of its own (isolation.h) */
	int64_t hang_timeout_ms; /* of such a one */
};

struct weir_profile_part {
	char *section; /* "backend.main" */
	const struct weir_component *component;
	/* isolation = process: what the profile names; component then is the one that runs it. */
	const struct weir_component *inner;
	GArray *conf;  /* struct weir_kv, normalised, declaration order */
	char **serves; /* backends only, as the next */
	struct weir_backend_life life;
};

struct weir_profile {
	char *path;
	struct weir_settings settings;
	GPtrArray *backends, *middleware, *frontends; /* struct weir_profile_part */
	GPtrArray *notes; /* char *: which plugin was chosen and why, what was overlooked */
};

/* The file that a name means: a path, or NAME.ini in the data folders. g_free(*ret). */
weir_status weir_profile_find(const char *name, char **ret, struct weir_error *err);
/* The folders of data files, most particular first: WEIR_DATA_DIR, beside the build tree,
 * installed. NULL-terminated; g_strfreev(). */
char **weir_data_folders(void);

/* File and --set arguments; NULL if the file cannot be read at all. */
struct weir_ini *weir_profile_read(const char *path, const char *const *sets,
				   struct weir_problems *);
/* [server] alone: what the host must know before plugins can be loaded. seen may be NULL: a set
 * of the environment variables that were asked for. */
void weir_profile_settings(const struct weir_ini *, const char *path, struct weir_settings *ret,
			   GHashTable *seen, struct weir_problems *);
/* The whole. Probes the components that it names. NULL if there is any problem. */
struct weir_profile *weir_profile_check(const struct weir_ini *, const char *path,
					const struct weir_registry *, struct weir_core *,
					struct weir_problems *);
void weir_profile_free(struct weir_profile *);
void weir_profile_part_free(struct weir_profile_part *); /* NULL: nothing */
void weir_settings_clear(struct weir_settings *);
/* Is b made of the same component with the same options as a? */
bool weir_profile_part_same(const struct weir_profile_part *a, const struct weir_profile_part *b);
/* And has it the same names? */
bool weir_profile_part_equal(const struct weir_profile_part *a, const struct weir_profile_part *b);

/* The options of the host's own sections, NULL-terminated: "server", "chain", and what every
 * "frontend", "backend", "middleware" section knows besides its component's. NULL: no such. */
const struct weir_option *const *weir_host_options(const char *section);

#endif
