/*
 * core/instance.h - one instance of a component, held through its life: create, start, drain, stop,
 * destroy, in this order whatever fails.
 *
 * [main]. What a plugin answers is checked: a create() that returns OK without an instance, or one
 * whose struct is too small, is an error that names the plugin, not a crash.
 */
#ifndef WEIR_CORE_INSTANCE_H
#define WEIR_CORE_INSTANCE_H

#include <weir/plugin.h>

#include "core.h"

enum weir_part_state {
	WEIR_PART_CREATED = 0,
	WEIR_PART_RUNNING = 1,
	WEIR_PART_DRAINING = 2,
	WEIR_PART_STOPPED = 3,
};

struct weir_part {
	char *section; /* "backend.main" */
	const struct weir_component *component;
	struct weir_host host;
	struct weir_instance *instance;
	enum weir_part_state state;
};

/* conf is lent for the call. */
weir_status weir_part_create(struct weir_core *core, const char *section,
			     const struct weir_component *component, const struct weir_kv *conf,
			     size_t n_conf, struct weir_part **ret, struct weir_error *err);
/* The same behind another host: its get_ext() and data are taken. For `weir check`. */
weir_status weir_part_create_behind(const struct weir_host *host, const char *section,
				    const struct weir_component *component,
				    const struct weir_kv *conf, size_t n_conf,
				    struct weir_part **ret, struct weir_error *err);
weir_status weir_part_start(struct weir_part *, struct weir_error *err);
void weir_part_drain(struct weir_part *);
void weir_part_stop(struct weir_part *);    /* once; nothing if it never started */
void weir_part_destroy(struct weir_part *); /* stops first if need be; NULL is fine */
/* NULL if the instance has no such interface. */
const void *weir_part_ext(const struct weir_part *, const char *id);

/* probe() of a component: 0 to 100, with the reason in why. */
int32_t weir_component_probe(struct weir_core *core, const struct weir_component *component,
			     struct weir_error *why);

#endif
