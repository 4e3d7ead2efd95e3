/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - the "cpu" component: backends/tensor on top of the CPU device.
 *
 * create() and destroy() on main; weights are read in the tensor backend's load().
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "cpu.h"
#include "dequant.h"

/* instance->data: a struct weir_cpu_instance, whose first member is the tensor backend's pointer.
 */
struct cpu_instance {
	struct weir_cpu_instance data;
	struct weir_instance base;
};

static const struct weir_option option_threads = {
	.size = sizeof(option_threads),
	.type = WEIR_OPTION_INT,
	.key = "threads",
	.fallback = "0",
	.help = "Threads that compute; 0: one for each physical core that this process may use.",
	.max = 1024,
};

static const struct weir_option option_huge_pages = {
	.size = sizeof(option_huge_pages),
	.type = WEIR_OPTION_BOOL,
	.key = "huge_pages",
	.fallback = "true",
	.help = "Ask the system for huge pages for weights and caches: faster where it grants "
		"them.",
};

enum { MAX_OPTIONS = 32 };

/* weir_tensor_options and ours; the former are in a library, so the list is put together once. */
static const struct weir_option *options[MAX_OPTIONS + 1];
static pthread_once_t options_once = PTHREAD_ONCE_INIT;

static void collect_options(void)
{
	size_t n = 0;

	while (weir_tensor_options[n] && n < MAX_OPTIONS - 2) {
		options[n] = weir_tensor_options[n];
		n++;
	}
	options[n++] = &option_threads;
	options[n] = &option_huge_pages;
}

static int32_t probe(const struct weir_host *host, struct weir_error *why)
{
	const struct weir_cpu_kernels *kernels;
	char brand[64];

	if (weir_cpu_kernels_select(&kernels, why))
		return 0;
	weir_cpu_brand(brand, sizeof(brand));
	weir_cpu_fail(why, WEIR_OK, "%s: kernels for %s, %u cores", brand, kernels->name,
		      weir_pool_default_threads());
	return 10;
}

static const void *get_ext(struct weir_instance *instance, const char *id)
{
	struct weir_cpu_instance *data = instance->data;

	if (!strcmp(id, WEIR_DEVICE))
		return weir_cpu_device();
	return weir_tensor_backend_ext(data->tensor_backend, id);
}

static void destroy(struct weir_instance *instance)
{
	struct cpu_instance *self =
		(struct cpu_instance *)((char *)instance - offsetof(struct cpu_instance, base));

	weir_tensor_backend_free(self->data.tensor_backend);
	weir_cpu_free(self->data.cpu);
	free(self);
}

static weir_status create(const struct weir_host *host, const struct weir_kv *conf, size_t n_conf,
			  struct weir_instance **ret, struct weir_error *err)
{
	struct weir_tensor_backend *tensor_backend = NULL;
	struct cpu_instance *self;
	bool huge_pages = true;
	uint32_t n_threads = 0;
	weir_status status;

	for (size_t i = 0; i < n_conf; i++) {
		if (!strcmp(conf[i].key, "threads")) {
			char *end;
			long n = strtol(conf[i].value, &end, 10);

			if (*end || end == conf[i].value || n < 0 || n > 1024)
				return weir_cpu_fail(err, WEIR_E_INVALID,
						     "threads is '%.20s', it must be 0 to 1024",
						     conf[i].value);
			n_threads = (uint32_t)n;
		} else if (!strcmp(conf[i].key, "huge_pages")) {
			huge_pages = strcmp(conf[i].value, "false") != 0;
		}
	}
	self = calloc(1, sizeof(*self));
	if (!self)
		return weir_cpu_fail(err, WEIR_E_EXHAUSTED, "no memory for the cpu backend");
	self->base = (struct weir_instance){
		.size = sizeof(self->base),
		.data = &self->data,
		.destroy = destroy,
		.get_ext = get_ext,
	};
	status = weir_cpu_new(n_threads, huge_pages, &self->data.cpu, err);
	if (status == WEIR_OK)
		status = weir_tensor_backend_new(host, &self->base, weir_cpu_device(), conf, n_conf,
						 &tensor_backend, err);
	if (status != WEIR_OK) {
		destroy(&self->base);
		return status;
	}
	self->data.tensor_backend = tensor_backend;
	*ret = &self->base;
	return WEIR_OK;
}

static const struct weir_component component = {
	.size = sizeof(component),
	.role = WEIR_ROLE_BACKEND,
	.id = "cpu",
	.title = "CPU (AVX2, AVX-512, NEON)",
	.help = "Runs GGUF models on the processor: weights in " WEIR_CPU_TYPE_NAMES
		". The environment variable WEIR_ISA (scalar, avx2, avxvnni, avx512, vnni, "
		"avx512bf16; neon, dotprod) forces an instruction set; results are the same on "
		"all, "
		"but for BF16 on avx512bf16.",
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
	.name = "cpu",
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
