/*
 * test-vulkan-faults.c - devices that are lost, memory that does not suffice, damaged pipeline
 * caches, interrupted and wrong steps: an error with a sentence, and nothing left behind; the
 * choice of a device.
 */
#include "vulkan-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

/* A program of one LINEAR, and a batch for it. */
struct small {
	float x[64], w[64 * 32];
	struct recipe recipe;
	struct weir_device_batch *batch;
};

static void small_init(struct small *s)
{
	struct weir_op *op;
	uint32_t in;

	memset(s, 0, sizeof(*s));
	s->recipe.max_tokens = s->recipe.max_out = 4;
	in = recipe_input(&s->recipe, s->x, 1, 64);
	op = recipe_op(&s->recipe, WEIR_OP_LINEAR);
	op->src[0] = in;
	op->src[1] = recipe_weight(&s->recipe, WEIR_DTYPE_F32, 64, 32, WEIR_WEIGHT_MATRIX, s->w);
	op->dst[0] = recipe_temp(&s->recipe, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, 32);
	op->i[0] = 1;
	op->f[0] = 1;
	s->batch = plain_batch(1, 1);
}

static VKAPI_ATTR VkResult VKAPI_CALL lost(VkQueue queue, uint32_t n, const VkSubmitInfo *info,
					   VkFence fence)
{
	return VK_ERROR_DEVICE_LOST;
}

static VKAPI_ATTR VkResult VKAPI_CALL full(VkDevice device, const VkMemoryAllocateInfo *info,
					   const VkAllocationCallbacks *callbacks,
					   VkDeviceMemory *ret)
{
	return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static VKAPI_ATTR VkResult VKAPI_CALL never(VkDevice device, const VkMemoryAllocateInfo *info,
					    const VkAllocationCallbacks *callbacks,
					    VkDeviceMemory *ret)
{
	g_assert_not_reached();
}

static void test_lost(void)
{
	struct weir_error err = { 0 };
	weir_buffer *buffer = NULL;
	struct small s;
	struct dish dish;
	struct desk d;
	PFN_vkQueueSubmit submit;

	if (!desk_open(&d, 0))
		return;
	small_init(&s);
	dish_make(&dish, &d, &s.recipe);
	dish_step(&dish, s.batch);
	submit = d.data.vk->api.QueueSubmit;
	d.data.vk->api.QueueSubmit = lost;
	g_assert_cmpint(d.device->run(&d.instance, dish.program, s.batch, &err), ==,
			WEIR_E_UNAVAILABLE);
	g_test_message("%s", err.text);
	g_assert_nonnull(strstr(err.text, "lost"));
	/* It stays lost: steps and loads say so. */
	d.data.vk->api.QueueSubmit = submit;
	g_assert_cmpint(d.device->run(&d.instance, dish.program, s.batch, &err), ==,
			WEIR_E_UNAVAILABLE);
	g_assert_cmpint(d.device->wait(&d.instance, dish.program, &err), ==, WEIR_E_UNAVAILABLE);
	g_assert_cmpint(d.device->weight(&d.instance, WEIR_DTYPE_F32, 64, 32, WEIR_WEIGHT_MATRIX,
					 s.w, &buffer, &err),
			==, WEIR_E_UNAVAILABLE);
	g_assert_cmpint(d.device->kv(&d.instance, WEIR_DTYPE_F16, 4, 16, 2, 32, &buffer, &err), ==,
			WEIR_E_UNAVAILABLE);
	dish_free(&dish);
	desk_close(&d);
	/* A new instance works. */
	g_assert_true(desk_open(&d, 0));
	dish_make(&dish, &d, &s.recipe);
	dish_step(&dish, s.batch);
	dish_free(&dish);
	desk_close(&d);
	plain_batch_free(s.batch);
}

static void test_memory(void)
{
	struct weir_error err = { 0 };
	weir_buffer *buffer = NULL;
	PFN_vkAllocateMemory allocate;
	struct weir_vk_memory memory;
	struct small s;
	struct dish dish;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	small_init(&s);
	allocate = d.data.vk->api.AllocateMemory;
	d.data.vk->api.AllocateMemory = full;
	g_assert_cmpint(d.device->weight(&d.instance, WEIR_DTYPE_F32, 64, 32, WEIR_WEIGHT_MATRIX,
					 s.w, &buffer, &err),
			==, WEIR_E_EXHAUSTED);
	g_test_message("%s", err.text);
	g_assert_cmpint(d.device->kv(&d.instance, WEIR_DTYPE_F16, 4, 16, 2, 32, &buffer, &err), ==,
			WEIR_E_EXHAUSTED);
	d.data.vk->api.AllocateMemory = allocate;
	/* More than the device gives at once. */
	g_assert_cmpint(d.device->kv(&d.instance, WEIR_DTYPE_F32, 1u << 30, 512, 1u << 10, 128,
				     &buffer, &err),
			==, WEIR_E_EXHAUSTED);
	g_assert_null(buffer);
	/* More than the system has, from a driver that would promise it. */
	if (weir_vk_is_shared(d.data.vk) && g_file_test("/proc/meminfo", G_FILE_TEST_EXISTS)) {
		d.data.vk->caps.max_allocation = 0;
		d.data.vk->api.AllocateMemory = never;
		g_assert_cmpint(weir_vk_memory_new(d.data.vk, UINT64_C(1) << 44,
						   WEIR_VK_PLACE_DEVICE, "a cache", &memory, &err),
				==, WEIR_E_EXHAUSTED);
		g_assert_nonnull(strstr(err.text, "more than the system has left"));
		d.data.vk->api.AllocateMemory = allocate;
	}
	/* And all is well after. */
	dish_make(&dish, &d, &s.recipe);
	dish_step(&dish, s.batch);
	dish_free(&dish);
	plain_batch_free(s.batch);
	desk_close(&d);
}

/* Steps that are longer than a dispatch may be: the option that is too large is named. */
static void test_long_steps(void)
{
	struct weir_program_desc desc = { .size = sizeof(desc), .max_tokens = 65536, .max_out = 1 };
	struct weir_error err = { 0 };
	weir_program *program = NULL;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	g_assert_cmpint(d.device->program_new(&d.instance, &desc, &program, &err), ==,
			WEIR_E_INVALID);
	g_assert_nonnull(
		strstr(err.text, "65535 tokens in a step, not 65536; set max_batch_tokens"));
	g_assert_null(program);
	desk_close(&d);
}

static void test_interrupt(void)
{
	struct weir_error err = { 0 };
	struct small s;
	struct dish dish;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	small_init(&s);
	dish_make(&dish, &d, &s.recipe);
	g_assert_cmpint(d.device->run(&d.instance, dish.program, s.batch, &err), ==, WEIR_OK);
	d.device->interrupt(&d.instance);
	g_assert_cmpint(d.device->wait(&d.instance, dish.program, &err), ==, WEIR_E_CANCELLED);
	dish_step(&dish, s.batch);
	*(int32_t *)s.batch->token = 1; /* of a table of one row */
	g_assert_cmpint(d.device->run(&d.instance, dish.program, s.batch, &err), ==,
			WEIR_E_INVALID);
	dish_free(&dish);
	plain_batch_free(s.batch);
	desk_close(&d);
}

static struct desk *interrupted;
static unsigned n_compiled;
static PFN_vkCreateComputePipelines compile;

static VKAPI_ATTR VkResult VKAPI_CALL compile_once(VkDevice device, VkPipelineCache cache,
						   uint32_t n,
						   const VkComputePipelineCreateInfo *info,
						   const VkAllocationCallbacks *callbacks,
						   VkPipeline *ret)
{
	n_compiled++;
	interrupted->device->interrupt(&interrupted->instance);
	return compile(device, cache, n, info, callbacks, ret);
}

/* A step that compiles its pipelines ends after the one at hand, and can be run again. */
static void test_interrupt_compile(void)
{
	struct weir_error err = { 0 };
	struct small s;
	struct dish dish;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	small_init(&s);
	dish_make(&dish, &d, &s.recipe);
	interrupted = &d;
	n_compiled = 0;
	compile = d.data.vk->api.CreateComputePipelines;
	d.data.vk->api.CreateComputePipelines = compile_once;
	g_assert_cmpint(d.device->run(&d.instance, dish.program, s.batch, &err), ==,
			WEIR_E_CANCELLED);
	g_assert_cmpuint(n_compiled, ==, 1);
	d.data.vk->api.CreateComputePipelines = compile;
	dish_step(&dish, s.batch);
	dish_free(&dish);
	plain_batch_free(s.batch);
	desk_close(&d);
}

/* The one file in the cache folder. */
static char *cache_file(const char *folder)
{
	g_autofree char *weir = g_build_filename(folder, "weir", NULL);
	g_autoptr(GDir) dir = g_dir_open(weir, 0, NULL);
	const char *name = dir ? g_dir_read_name(dir) : NULL;

	return name ? g_build_filename(weir, name, NULL) : NULL;
}

static void use_once(void)
{
	struct small s;
	struct dish dish;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	small_init(&s);
	dish_make(&dish, &d, &s.recipe);
	dish_step(&dish, s.batch);
	dish_free(&dish);
	plain_batch_free(s.batch);
	desk_close(&d);
}

/* What lies in a folder, the driver's own caches too, and the folder. */
static void remove_all(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *inner = g_build_filename(path, name, NULL);

		if (g_unlink(inner) != 0)
			remove_all(inner);
	}
	g_assert_cmpint(g_rmdir(path), ==, 0);
}

static void restore(const char *cache_home)
{
	if (cache_home)
		g_setenv("XDG_CACHE_HOME", cache_home, TRUE);
	else
		g_unsetenv("XDG_CACHE_HOME");
}

static void test_cache(void)
{
	g_autofree char *before = g_strdup(g_getenv("XDG_CACHE_HOME"));
	g_autofree char *folder = g_dir_make_tmp("weir-cache-XXXXXX", NULL);
	g_autofree char *data = NULL, *path = NULL;
	gsize n = 0;

	g_setenv("XDG_CACHE_HOME", folder, TRUE);
	use_once();
	path = cache_file(folder);
	if (!path) {
		g_test_skip("the driver keeps no pipeline cache, or there is no device");
		restore(before);
		remove_all(folder);
		return;
	}
	g_assert_true(g_file_get_contents(path, &data, &n, NULL));
	g_assert_cmpuint(n, >, 24);
	for (int i = 0; i < 4; i++) { /* cut short, changed, of another kind, empty */
		g_autofree char *bad = g_memdup2(data, n);

		bad[i == 2 ? 0 : n - 1] ^= 1;
		g_assert_true(g_file_set_contents(path, bad,
						  i == 0   ? (gssize)n / 2
						  : i == 3 ? 0
							   : (gssize)n,
						  NULL));
		use_once();
	}
	restore(before);
	remove_all(folder);
}

static void test_choice(void)
{
	struct weir_vk_config config = { .device = "no such device" };
	struct weir_error err = { 0 };
	struct weir_vk *vk = NULL;
	struct desk d;
	char uuid[40];

	if (!desk_open(&d, 0))
		return;
	g_assert_cmpint(weir_vk_new(&config, &vk, &err), ==, WEIR_E_NOT_FOUND);
	g_assert_nonnull(strstr(err.text, "here are 0: "));
	g_assert_null(vk);
	for (unsigned i = 0; i < VK_UUID_SIZE; i++)
		g_snprintf(uuid + 2 * i, 3, "%02X", d.data.vk->caps.uuid[i]);
	config.device = uuid;
	g_assert_cmpint(weir_vk_new(&config, &vk, &err), ==, WEIR_OK);
	weir_vk_free(vk);
	g_assert_cmpint(weir_vk_probe(&err), >, 0);
	desk_close(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/faults/lost", test_lost);
	g_test_add_func("/vulkan/faults/memory", test_memory);
	g_test_add_func("/vulkan/faults/long-steps", test_long_steps);
	g_test_add_func("/vulkan/faults/interrupt", test_interrupt);
	g_test_add_func("/vulkan/faults/interrupt-compile", test_interrupt_compile);
	g_test_add_func("/vulkan/faults/cache", test_cache);
	g_test_add_func("/vulkan/faults/choice", test_choice);
	return g_test_run();
}
