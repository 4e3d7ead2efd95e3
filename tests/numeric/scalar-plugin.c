/*
 * scalar-plugin.c - the scalar device of tests/unit as a backend plugin, loaded by logits-tool: it
 * shows that a model's program is right whatever a fast device does.
 */
#include "device-scalar.h"

#include <weir/plugin.h>

#include <stdlib.h>
#include <string.h>

static void destroy(struct weir_instance *instance)
{
	struct device_scalar *d = instance->data;

	weir_tensor_backend_free(d->backend);
	free(d);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	return weir_tensor_backend_ext(((struct device_scalar *)instance->data)->backend, id);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct device_scalar *d = calloc(1, sizeof(*d));
	weir_status s;

	if (!d)
		return WEIR_E_EXHAUSTED;
	device_scalar_init(d);
	d->instance.destroy = destroy;
	d->instance.get_ext = get_ext;
	s = weir_tensor_backend_new(host, &d->instance, &device_scalar, conf, n_conf, &d->backend,
				    err);
	if (s < 0) {
		free(d);
		return s;
	}
	*ret = &d->instance;
	return WEIR_OK;
}

static const struct weir_component scalar = {
	.size = sizeof(scalar),
	.role = WEIR_ROLE_BACKEND,
	.id = "scalar",
	.title = "Plain loops",
	.help = "A test's reference.",
	.options = weir_tensor_options,
	.create = create,
};

static const struct weir_component *const components[] = { &scalar, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI,
	.sanitizer = WEIR_SANITIZER,
	.name = "scalar",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
