/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - the "vulkan" component: backends/tensor on top of the Vulkan device.
 *
 * create() and destroy() on main; weights are read in the tensor backend's load().
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/services.h>

#include "backend.h"
#include "vk.h"

/* instance->data: a struct weir_vk_instance, whose first member is the tensor backend's pointer. */
struct vulkan_instance {
	struct weir_vk_instance data;
	struct weir_instance base;
	const struct weir_host *host;
	const struct weir_log *log;
};

static const struct weir_option option_device = {
	.size = sizeof(option_device),
	.type = WEIR_OPTION_STRING,
	.key = "device",
	.help = "Which device: its index, its UUID, or a part of its name (a wrong one makes an "
		"error that lists them); unset: the environment variable WEIR_VULKAN_DEVICE, or "
		"else the "
		"best.",
};

static const struct weir_option option_validate = {
	.size = sizeof(option_validate),
	.type = WEIR_OPTION_BOOL,
	.key = "validate",
	.fallback = "false",
	.help = "Load Khronos's validation layer and log what it says: slow, to find faults.",
};

static const struct weir_option option_without = {
	.size = sizeof(option_without),
	.type = WEIR_OPTION_STRING,
	.key = "without",
	.help = "Features of the device to leave unused, for drivers with faults: any of "
		"subgroups, mapped, wide, dot, coop, import, unroll (shaders' hints to unroll "
		"loops), ahead (pipelines are then compiled when a step first needs them); "
		"separated by commas.",
};

static const struct weir_option option_threads = {
	.size = sizeof(option_threads),
	.type = WEIR_OPTION_INT,
	.key = "threads",
	.fallback = "0",
	.help = "Host threads that sample the rows of a batch side by side, at most 64; 0: one for "
		"each core, at most 8.",
	.max = 64,
};

enum { MAX_OPTIONS = 32, OWN_OPTIONS = 4 };

/* weir_tensor_options and ours; the former are in a library, so the list is put together once. */
static const struct weir_option *options[MAX_OPTIONS + 1];
static pthread_once_t options_once = PTHREAD_ONCE_INIT;

static void collect_options(void)
{
	size_t n = 0;

	while (weir_tensor_options[n] && n < MAX_OPTIONS - OWN_OPTIONS) {
		options[n] = weir_tensor_options[n];
		n++;
	}
	options[n++] = &option_device;
	options[n++] = &option_validate;
	options[n++] = &option_without;
	options[n] = &option_threads;
}

static int32_t probe(const struct weir_host *host, struct weir_error *why)
{
	return weir_vk_probe(why);
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	struct weir_vk_instance *data = instance->data;

	if (!strcmp(id, WEIR_DEVICE))
		return weir_vk_device();
	return weir_tensor_backend_ext(data->tensor_backend, id);
}

static void destroy(struct weir_instance *instance)
{
	struct vulkan_instance *self =
		(struct vulkan_instance *)((char *)instance -
					   offsetof(struct vulkan_instance, base));

	weir_tensor_backend_free(self->data.tensor_backend);
	weir_vk_free(self->data.vk);
	free(self);
}

static void write_log(void *data, uint32_t level, const char *text)
{
	struct vulkan_instance *self = data;

	if (self->log && self->log->enabled(self->host, level, "vulkan"))
		self->log->write(self->host, level, "vulkan", text);
}

static weir_status read_without(const char *text, uint32_t *ret, struct weir_error *err)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{ "subgroups", WEIR_VK_WITHOUT_SUBGROUPS }, { "mapped", WEIR_VK_WITHOUT_MAPPED },
		{ "wide", WEIR_VK_WITHOUT_WIDE },           { "dot", WEIR_VK_WITHOUT_DOT },
		{ "import", WEIR_VK_WITHOUT_IMPORT },       { "ahead", WEIR_VK_WITHOUT_AHEAD },
		{ "coop", WEIR_VK_WITHOUT_COOP },           { "unroll", WEIR_VK_WITHOUT_UNROLL }
	};
	enum { N = sizeof(names) / sizeof(names[0]) };
	uint32_t without = 0;

	while (*text) {
		size_t n = strcspn(text, ", "), i = 0;

		while (n && i < N &&
		       (strlen(names[i].name) != n || strncmp(names[i].name, text, n) != 0))
			i++;
		if (i == N)
			return weir_vk_fail(err, WEIR_E_INVALID,
					    "without has '%.*s'; it may have subgroups, mapped, "
					    "wide, dot, coop, import, unroll, ahead",
					    (int)(n < 40 ? n : 40), text);
		if (n)
			without |= names[i].flag;
		text += n + (text[n] != '\0');
	}
	*ret = without;
	return WEIR_OK;
}

static weir_status read_threads(const char *text, uint32_t *ret, struct weir_error *err)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 0 || n > 64)
		return weir_vk_fail(err, WEIR_E_INVALID, "threads is '%.20s', it must be 0 to 64",
				    text);
	*ret = (uint32_t)n;
	return WEIR_OK;
}

static weir_status read_conf(const struct weir_kv *conf, size_t n_conf,
			     struct weir_vk_config *config, struct weir_error *err)
{
	config->device = getenv("WEIR_VULKAN_DEVICE");
	for (size_t i = 0; i < n_conf; i++) {
		weir_status s;

		if (!strcmp(conf[i].key, "device") && *conf[i].value)
			config->device = conf[i].value;
		else if (!strcmp(conf[i].key, "validate"))
			config->validate = strcmp(conf[i].value, "true") == 0;
		else if (!strcmp(conf[i].key, "threads") &&
			 (s = read_threads(conf[i].value, &config->threads, err)))
			return s;
		else if (!strcmp(conf[i].key, "without") &&
			 (s = read_without(conf[i].value, &config->without, err)))
			return s;
	}
	return WEIR_OK;
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct weir_tensor_backend *tensor_backend = NULL;
	struct weir_vk_config config = { 0 };
	struct vulkan_instance *self;
	weir_status status;

	self = calloc(1, sizeof(*self));
	if (!self)
		return weir_vk_fail(err, WEIR_E_EXHAUSTED, "no memory for the vulkan backend");
	self->base = (struct weir_instance){
		.size = sizeof(self->base),
		.data = &self->data,
		.destroy = destroy,
		.get_ext = get_ext,
	};
	self->host = host;
	if (WEIR_HAS(struct weir_host, host, get_ext))
		self->log = host->get_ext(host, WEIR_HOST_LOG);
	config.log = write_log;
	config.log_data = self;
	status = read_conf(conf, n_conf, &config, err);
	if (status == WEIR_OK)
		status = weir_vk_new(&config, &self->data.vk, err);
	if (status == WEIR_OK)
		status = weir_tensor_backend_new(host, &self->base, weir_vk_device(), conf, n_conf,
						 &tensor_backend, err);
	if (status != WEIR_OK) {
		destroy(&self->base);
		return status;
	}
	self->data.tensor_backend = tensor_backend;
	write_log(self, WEIR_LOG_INFO, self->data.vk->title);
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "vulkan",
	.title = "Vulkan (any GPU)",
	.help = "Runs GGUF models on a device with a Vulkan 1.2 driver that has buffer device "
		"addresses and timeline semaphores; what else it can do is found out. Software "
		"renderers work, and are slower than the cpu plugin: a list of plugins passes "
		"them over, unless WEIR_VULKAN_DEVICE names one.",
	.options = options,
	.probe = probe,
	.create = create,
};

static const struct weir_component *const components[] = { &component, NULL };

static const struct weir_plugin plugin = {
	.size = sizeof(plugin),
	.abi = WEIR_ABI,
	.abi_min = WEIR_ABI_MAJOR << 16,
	.sanitizer = WEIR_SANITIZER,
	.name = "vulkan",
	.version = WEIR_VERSION,
	.vendor = "Weir",
	.license = "MIT",
	.components = components,
};

const struct weir_plugin *weir_plugin_query(uint32_t host_abi)
{
	pthread_once(&options_once, collect_options);
	return host_abi >> 16 == WEIR_ABI_MAJOR ? &plugin : NULL;
}
