/* SPDX-License-Identifier: MIT */
/*
 * weir-lossy.c - a backend that can be lost, for recovery.py: the plugin that WEIR_TEST_INNER
 * names, as the component "lossy". While the file that WEIR_TEST_LOSE names exists, a step takes it
 * away and says UNAVAILABLE instead of computing; so do that instance's later ones.
 * WEIR_TEST_STEP_US: a pause before each step.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weir/backend.h>

static const struct weir_component *inner;
static const struct weir_backend_step *inner_step;
static const void *(*inner_ext)(struct weir_instance *, const char *);
static _Atomic(struct weir_instance *) lost;

static weir_status step(struct weir_instance *instance, const struct weir_batch *batch,
			struct weir_step *ret, struct weir_error *err)
{
	const char *file = getenv("WEIR_TEST_LOSE"), *pause = getenv("WEIR_TEST_STEP_US");

	if (file && unlink(file) == 0)
		atomic_store(&lost, instance);
	if (atomic_load(&lost) == instance) {
		snprintf(err->text, sizeof(err->text), "lossy: the device was lost");
		return err->code = WEIR_E_UNAVAILABLE;
	}
	if (pause)
		usleep((useconds_t)strtoul(pause, NULL, 10));
	return inner_step->step(instance, batch, ret, err);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	static struct weir_backend_step calls;
	const void *ext = inner_ext(instance, id);

	if (!ext || strcmp(id, WEIR_BACKEND_STEP) != 0)
		return ext;
	inner_step = ext;
	calls = *inner_step;
	calls.step = step;
	return &calls;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n,
			  struct weir_instance **ret, struct weir_error *err)
{
	weir_status status = inner->create(host, conf, n, ret, err);

	if (status < 0)
		return status;
	/* A new one may lie where the lost one was. */
	if (atomic_load(&lost) == *ret)
		atomic_store(&lost, NULL);
	inner_ext = (*ret)->get_ext;
	(*ret)->get_ext = get_ext;
	return status;
}

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	static struct weir_component component;
	static const struct weir_component *const components[] = { &component, NULL };
	static struct weir_plugin plugin;
	const char *path = getenv("WEIR_TEST_INNER");
	void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct weir_plugin *(*query)(uint32_t) = NULL;
	const struct weir_plugin *found;

	if (library)
		*(void **)&query = dlsym(library, "weir_plugin_query");
	found = query ? query(host_abi) : NULL;
	if (!found)
		return NULL;
	for (size_t i = 0; found->components[i] && !inner; i++)
		if (found->components[i]->role == WEIR_ROLE_BACKEND)
			inner = found->components[i];
	if (!inner)
		return NULL;
	component = *inner;
	component.id = "lossy";
	component.title = "A backend that can be lost";
	component.create = create;
	plugin = *found;
	plugin.name = "lossy";
	plugin.components = components;
	return &plugin;
}
