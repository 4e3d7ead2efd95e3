/* SPDX-License-Identifier: MIT */
/*
 * weir/plugin.h - what a plugin's .so exports, and the host that it meets.
 *
 * A .so exports one function, weir_plugin_query(). It lists components: classes that the host makes
 * instances of, one for each profile section that names them. Life of an instance:
 *
 *   probe()  create()  start()  ...work...  stop()  destroy()          all [main], in this order
 *
 * A failed create() or start() is followed by destroy() only if create() had succeeded. Nothing is
 * ever unloaded: a .so stays mapped until the process ends. probe() opens whatever driver library
 * the component needs (dlopen), so that a .so loads on machines that lack it.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include <weir/base.h>

struct weir_instance;

/* The host, as one instance sees it. Valid until that instance's destroy() has returned. */
struct weir_host {
	uint32_t size, abi;
	const char *name, *version; /* "weir", "0.1.0" */
	const char *instance; /* the profile section's name, e.g. "backend.main"; "" in probe() */
	void *data;           /* the host's own */
	/* A service of the host by id (WEIR_HOST_*), NULL if absent. [any] */
	const void *(*get_ext)(const struct weir_host *, const char *id);
};
WEIR_FROZEN(struct weir_host, get_ext);

enum weir_option_type {
	WEIR_OPTION_STRING = 0,
	WEIR_OPTION_INT = 1, /* decimal, optional suffix k, m, g (powers of 1000) */
	WEIR_OPTION_FLOAT = 2,
	WEIR_OPTION_BOOL = 3,     /* true/false, yes/no, on/off, 1/0; passed on as "true"/"false" */
	WEIR_OPTION_DURATION = 4, /* 250ms, 30s, 5m, 1h; passed on in milliseconds */
	WEIR_OPTION_SIZE = 5,     /* bytes; 64KiB, 10MiB, 2GiB, 500MB; passed on in bytes */
	WEIR_OPTION_PATH = 6,     /* relative to the profile's folder, else the working directory */
	WEIR_OPTION_LIST = 7,     /* comma separated; passed on trimmed, "a,b,c" */
	WEIR_OPTION_CHOICE = 8,   /* one of `choices` */
};

enum weir_option_flag {
	WEIR_OPTION_REQUIRED = 1u << 0,
	WEIR_OPTION_SECRET = 1u << 1, /* never printed, logged or shown by inspect */
	WEIR_OPTION_LIVE = 1u << 2,   /* a reload may change it without a new instance */
};

/* One key that a component's profile section may hold. The host parses, checks the range and hands
 * create() the normalised text of every declared option: the profile's, else the fallback's. */
struct weir_option {
	uint32_t size, type, flags, reserved;
	const char *key, *fallback; /* fallback NULL: unset unless the profile sets it */
	const char *help;           /* one sentence */
	const char *choices;        /* CHOICE: "a|b|c" */
	double min, max;            /* INT, FLOAT, DURATION (ms), SIZE; both 0: no range */
};
WEIR_FROZEN(struct weir_option, max);

enum weir_role {
	WEIR_ROLE_FRONTEND = 1,
	WEIR_ROLE_BACKEND = 2,
	WEIR_ROLE_MIDDLEWARE = 3,
	WEIR_ROLE_COMMAND = 4, /* offers weir.command/1; needs no profile section */
};

/* A class; static const inside the plugin. */
struct weir_component {
	uint32_t size, role;
	const char *id;    /* the name in profiles: "cpu", "http"; [a-z0-9-]+ */
	const char *title; /* "CPU (AVX2, AVX-512)" */
	const char *help;  /* a paragraph for `weir inspect` */
	const struct weir_option *const *options; /* NULL-terminated; NULL: none */
	/* Can it run here? 0 (no) to 100; why says the reason either way. Below 10: a last resort,
	 * taken only where the profile's list has nothing better. NULL: 50. [main] */
	int32_t (*probe)(const struct weir_host *, struct weir_error *why);
	/* conf: every declared option that has a value, in declaration order; lent for the call.
	 * [main] */
	weir_status (*create)(const struct weir_host *, const struct weir_kv *conf, size_t n_conf,
			      struct weir_instance **ret, struct weir_error *err);
};
WEIR_FROZEN(struct weir_component, create);

struct weir_instance {
	uint32_t size, reserved;
	void *data; /* the plugin's own */
	/* Threads, sockets and devices start here; NULL: nothing to start. [main & !running] */
	weir_status (*start)(struct weir_instance *, struct weir_error *);
	/* No new work: let what runs finish. The host calls stop() when all is quiet or its
	 * patience (server.drain_timeout) ends; NULL: nothing to do. [main & running] */
	void (*drain)(struct weir_instance *);
	/* Returns with own threads joined and sockets closed. [main & running] */
	void (*stop)(struct weir_instance *);
	void (*destroy)(struct weir_instance *); /* [main & !running] */
	/* An interface by id (WEIR_BACKEND_STREAM ...), owned by the instance; NULL if absent.
	 * [any] */
	const void *(*get_ext)(struct weir_instance *, const char *id);
};
WEIR_FROZEN(struct weir_instance, get_ext);

enum weir_sanitizer {
	WEIR_SANITIZER_NONE = 0,
	WEIR_SANITIZER_ADDRESS = 1,
	WEIR_SANITIZER_THREAD = 2
};

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_SANITIZER WEIR_SANITIZER_ADDRESS
#elif defined(__SANITIZE_THREAD__)
#define WEIR_SANITIZER WEIR_SANITIZER_THREAD
#else
#define WEIR_SANITIZER WEIR_SANITIZER_NONE
#endif

struct weir_plugin {
	uint32_t size;
	uint32_t abi;       /* WEIR_ABI of the headers it was built with */
	uint32_t abi_min;   /* the oldest host it works with; same major */
	uint32_t sanitizer; /* WEIR_SANITIZER: must equal the host's */
	const char *name, *version, *vendor, *license;
	const struct weir_component *const *components; /* NULL-terminated */
};
WEIR_FROZEN(struct weir_plugin, components);

/* The one exported symbol. Pure: no threads, no device, no I/O; may be called many times. Returns
 * static data, or NULL when the plugin cannot work with host_abi at all. [any] */
WEIR_EXPORT const struct weir_plugin *weir_plugin_query(uint32_t host_abi);

#endif
