/*
 * test-vulkan-memory.c - where weights lie on the Vulkan device: in the host's memory where the
 * device shares it, in the device's behind a small staging buffer; what happens when a
 * driver refuses; accounts of memory; the choice of a device by index and name; the host's threads.
 */
#include "vulkan-fixture.h"

#include <string.h>

enum { N_IN = 512, ROWS = 4 };

#define MIB (UINT64_C(1) << 20)

/* One LINEAR of ROWS rows by a matrix of a type. */
struct work {
	float x[ROWS * N_IN];
	uint8_t *matrix;
	struct recipe recipe;
	uint32_t y;
	size_t n_out;
};

static void work_init(struct work *w, uint32_t type, size_t n_out)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(3);
	struct weir_op *op;
	uint32_t in;

	memset(&w->recipe, 0, sizeof(w->recipe));
	w->recipe.max_tokens = w->recipe.max_out = ROWS;
	w->n_out = n_out;
	reference_random(rand, w->x, ROWS * N_IN);
	w->matrix = reference_weights(rand, type, N_IN, n_out);
	in = recipe_input(&w->recipe, w->x, ROWS, N_IN);
	op = recipe_op(&w->recipe, WEIR_OP_LINEAR);
	op->src[0] = in;
	op->src[1] = recipe_weight(&w->recipe, type, N_IN, n_out, WEIR_WEIGHT_MATRIX, w->matrix);
	op->dst[0] = w->y = recipe_temp(&w->recipe, WEIR_TENSOR_OUTPUT, WEIR_ROWS_TOKENS, n_out);
	op->i[0] = 1;
	op->f[0] = 1;
}

/* Its result on a device, to be freed. */
static float *work_do(struct work *w, struct desk *d)
{
	struct weir_device_batch *batch = plain_batch(ROWS, 1);
	struct dish dish;
	float *ret;

	dish_make(&dish, d, &w->recipe);
	dish_step(&dish, batch);
	ret = g_memdup2(dish_output(&dish, w->y), ROWS * w->n_out * sizeof(*ret));
	dish_free(&dish);
	plain_batch_free(batch);
	return ret;
}

static VKAPI_ATTR VkResult VKAPI_CALL refuse(VkDevice device,
					     VkExternalMemoryHandleTypeFlagBits type,
					     const void *host,
					     VkMemoryHostPointerPropertiesEXT *ret)
{
	return VK_ERROR_INVALID_EXTERNAL_HANDLE;
}

/* The same bits from imported memory, from the device's, and where import is refused. */
static void test_import(void)
{
	static const uint32_t types[] = { WEIR_DTYPE_Q4_K, WEIR_DTYPE_F16 };
	static const uint32_t without[] = { 0, WEIR_VK_WITHOUT_IMPORT, 0 };

	for (size_t t = 0; t < G_N_ELEMENTS(types); t++) {
		float *results[3] = { NULL };
		struct work w;

		work_init(&w, types[t], 700);
		for (size_t i = 0; i < G_N_ELEMENTS(without); i++) {
			weir_buffer *b = NULL;
			struct weir_error err = { 0 };
			struct desk d;

			if (!desk_open(&d, without[i])) {
				g_free(w.matrix);
				return;
			}
			if (i == 0 && !d.data.vk->import)
				g_test_message("host memory is not imported here");
			g_assert_true(i != 1 || !d.data.vk->import);
			if (i == 2)
				d.data.vk->api.GetMemoryHostPointerPropertiesEXT = refuse;
			g_assert_cmpint(d.device->weight(&d.instance, types[t], N_IN, 700,
							 WEIR_WEIGHT_MATRIX, w.matrix, &b, &err),
					==, WEIR_OK);
			if (i == 0 && d.data.vk->import) {
				g_assert_cmpuint(d.data.vk->bytes_allocated, ==, 0);
				g_assert_cmpuint(d.data.vk->bytes_imported, >=, b->bytes);
				g_assert_true(b->slab->memory.imported);
			} else {
				g_assert_cmpuint(d.data.vk->bytes_imported, ==, 0);
				g_assert_cmpuint(d.data.vk->bytes_allocated, >=, b->bytes);
				g_assert_false(d.data.vk->import);
			}
			d.device->buffer_free(&d.instance, b);
			results[i] = work_do(&w, &d);
			desk_close(&d);
			g_assert_cmpmem(results[i], ROWS * 700 * sizeof(float), results[0],
					ROWS * 700 * sizeof(float));
		}
		g_free(results[0]);
		g_free(results[1]);
		g_free(results[2]);
		g_free(w.matrix);
	}
}

static uint64_t most; /* bytes of one allocation */

static PFN_vkAllocateMemory allocate;

static VKAPI_ATTR VkResult VKAPI_CALL note(VkDevice device, const VkMemoryAllocateInfo *info,
					   const VkAllocationCallbacks *callbacks,
					   VkDeviceMemory *ret)
{
	most = MAX(most, info->allocationSize);
	return allocate(device, info, callbacks, ret);
}

/* Weights of many times the staging buffer: it stays small, and the weights are right. */
static void test_staging(void)
{
	g_autofree float *got = NULL, *want = NULL;
	struct desk vk, cpu;
	struct work w;

	if (!desk_open(&vk, WEIR_VK_WITHOUT_MAPPED))
		return;
	desk_open_reference(&cpu);
	work_init(&w, WEIR_DTYPE_Q8_0, 65536); /* 34 MiB */
	allocate = vk.data.vk->api.AllocateMemory;
	vk.data.vk->api.AllocateMemory = note;
	got = work_do(&w, &vk);
	want = work_do(&w, &cpu);
	g_assert_cmpfloat(distance(got, want, ROWS * w.n_out), <, 2e-3);
	g_assert_cmpuint(vk.data.vk->staging.bytes, >, 0);
	g_assert_cmpuint(vk.data.vk->staging.bytes, <=, 8 * MIB);
	g_assert_cmpuint(most, <=, 64 * MIB); /* a slab */
	g_free(w.matrix);
	desk_close_reference(&cpu);
	desk_close(&vk);
}

/* What info() calls free becomes less by what is taken. */
static void test_accounts(void)
{
	struct weir_device_info before = { .size = sizeof(before) }, after = before;
	struct weir_error err = { 0 };
	weir_buffer *kv = NULL;
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	d.device->info(&d.instance, &before);
	g_assert_cmpuint(before.memory_free, >, 0);
	g_assert_cmpuint(before.memory_free, <=, before.memory_total);
	g_assert_cmpint(d.device->kv(&d.instance, WEIR_DTYPE_F16, 256, 32, 8, 64, &kv, &err), ==,
			WEIR_OK);
	d.device->info(&d.instance, &after);
	g_assert_cmpuint(d.data.vk->bytes_allocated, ==, 8 * MIB);
	if (!d.data.vk->caps.memory_budget) /* a driver's budget is of all processes */
		g_assert_cmpuint(after.memory_free, <, before.memory_free);
	d.device->buffer_free(&d.instance, kv);
	desk_close(&d);
}

static void test_names(void)
{
	struct weir_vk_caps caps[3] = {
		{ .index = 0, .score = 5, .name = "llvmpipe (LLVM 15)", .uuid = { 0xab } },
		{ .index = 1, .score = 60, .name = "NVIDIA H200", .uuid = { 0xcd, 0x01 } },
		{ .index = 2,
		  .score = 0,
		  .name = "Old GPU",
		  .reason = "Old GPU has no Vulkan 1.2" },
	};
	static const struct {
		const char *wanted;
		uint32_t index;
		weir_status status;
	} cases[] = {
		{ NULL, 1, WEIR_OK },
		{ "", 1, WEIR_OK },
		{ "0", 0, WEIR_OK },
		{ "LLVM", 0, WEIR_OK },
		{ "h200", 1, WEIR_OK },
		{ "cd010000-0000-0000-0000-000000000000", 1, WEIR_OK },
		{ "AB000000000000000000000000000000", 0, WEIR_OK },
		{ "ab0000000000000000000000000000", 0, WEIR_E_NOT_FOUND },
		{ "3", 0, WEIR_E_NOT_FOUND },
		{ "4294967296", 0, WEIR_E_NOT_FOUND },
		{ "radeon", 0, WEIR_E_NOT_FOUND },
		{ "2", 0, WEIR_E_UNSUPPORTED },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_error err = { 0 };
		uint32_t index = 99;

		g_assert_cmpint(weir_vk_choose(caps, 3, cases[i].wanted, &index, &err), ==,
				cases[i].status);
		if (cases[i].status == WEIR_OK)
			g_assert_cmpuint(index, ==, cases[i].index);
		else
			g_assert_cmpstr(err.text, !=, "");
	}
}

static void count(void *data, uint32_t i)
{
	((uint8_t *)data)[i]++;
}

static void test_parallel(void)
{
	struct weir_device_info info = { .size = sizeof(info) };
	uint8_t counts[100] = { 0 };
	struct desk d;

	if (!desk_open(&d, 0))
		return;
	d.device->info(&d.instance, &info);
	g_assert_cmpuint(info.n_threads, >=, 1);
	d.device->parallel(&d.instance, 100, count, counts);
	for (size_t i = 0; i < 100; i++)
		g_assert_cmpuint(counts[i], ==, 1);
	desk_close(&d);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vulkan/memory/import", test_import);
	g_test_add_func("/vulkan/memory/staging", test_staging);
	g_test_add_func("/vulkan/memory/accounts", test_accounts);
	g_test_add_func("/vulkan/memory/names", test_names);
	g_test_add_func("/vulkan/memory/parallel", test_parallel);
	return g_test_run();
}
