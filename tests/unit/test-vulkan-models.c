/*
 * test-vulkan-models.c - whole models by Vulkan and by the CPU: every architecture, every type of
 * weights, a prompt in pieces and single tokens; how many dispatches a token takes.
 */
#include "arch.h"
#include "backend.h"
#include "model-writer.h"
#include "vulkan-fixture.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

enum { VOCAB = 50, N = 24 };

static const struct weir_host host = { .size = sizeof(host) };

static weir_status load(struct desk *d, const char *path, const char *kv_type,
			struct weir_tensor_backend **ret, struct weir_error *err)
{
	struct weir_kv conf[] = { { "model", path },      { "block_tokens", "8" },
				  { "kv_type", kv_type }, { "max_batch_tokens", "32" },
				  { "context", "128" },   { "max_sequences", "4" } };
	struct weir_model model = { .size = sizeof(model) };
	const struct weir_backend_step *step;

	g_assert_cmpint(weir_tensor_backend_new(&host, &d->instance, d->device, conf,
						G_N_ELEMENTS(conf), ret, err),
			==, WEIR_OK);
	*(struct weir_tensor_backend **)d->instance.data = *ret;
	step = weir_tensor_backend_ext(*ret, WEIR_BACKEND_STEP);
	return step->load(&d->instance, &model, err);
}

/* The next `count` tokens; their last one's logits. */
static weir_status step(struct desk *d, struct weir_tensor_backend *backend, uint32_t done,
			uint32_t count, float *ret_logits, struct weir_error *err)
{
	static const uint32_t blocks[] = { 5, 2, 9, 0, 7 };
	static const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	const struct weir_backend_step *ext = weir_tensor_backend_ext(backend, WEIR_BACKEND_STEP);
	int32_t tokens[N], drawn;
	float logprob;
	struct weir_error error;
	struct weir_row row = { .count = count,
				.pos = done,
				.n_blocks = G_N_ELEMENTS(blocks),
				.blocks = blocks,
				.sampling = &greedy,
				.history = tokens,
				.n_history = done + count,
				.n_prompt = done + count };
	struct weir_batch b = { .size = sizeof(b),
				.row_size = sizeof(row),
				.n_rows = 1,
				.n_tokens = count,
				.want_logits = 1,
				.tokens = tokens + done,
				.rows = &row };
	struct weir_step ret = { .size = sizeof(ret),
				 .token = &drawn,
				 .logprob = &logprob,
				 .logits = ret_logits,
				 .error = &error };

	for (int32_t i = 0; i < N; i++)
		tokens[i] = (i * 7 + i * i) % VOCAB;
	return ext->step(&d->instance, &b, &ret, err);
}

enum { N_STEPS = 4 };

/* A prompt in two pieces, then single tokens; or all tokens one by one. */
static const uint32_t in_pieces[N_STEPS] = { 13, 8, 1, 1 }, one_by_one[N_STEPS] = { 1, 1, 1, 1 };

/* The logits of each step. */
static void play(struct desk *d, const char *path, const char *kv_type, const uint32_t *counts,
		 float *ret)
{
	struct weir_tensor_backend *backend = NULL;
	struct weir_error err = { 0 };
	uint32_t done = 0;

	load(d, path, kv_type, &backend, &err);
	g_assert_cmpstr(err.text, ==, "");
	for (size_t i = 0; i < N_STEPS; i++, ret += VOCAB) {
		step(d, backend, done, counts[i], ret, &err);
		g_assert_cmpstr(err.text, ==, "");
		done += counts[i];
	}
	weir_tensor_backend_free(backend);
}

/* Dispatches of a single token in a model of n layers. */
static uint32_t dispatches(struct desk *vk, const char *arch, uint32_t n_layers)
{
	struct model_spec s = model_small;
	struct weir_tensor_backend *backend = NULL;
	struct weir_error err = { 0 };
	float logits[VOCAB];
	struct model *m;
	char *path;

	s.arch = arch;
	s.n_layers = n_layers;
	m = model_new(&s);
	path = model_write(m);
	load(vk, path, "f16", &backend, &err);
	g_assert_cmpstr(err.text, ==, "");
	step(vk, backend, 0, 1, logits, &err);
	g_assert_cmpstr(err.text, ==, "");
	weir_tensor_backend_free(backend);
	g_unlink(path);
	g_free(path);
	model_free(m);
	return vk->data.vk->last_dispatches;
}

/* Workgroups of several subgroups. */
static void as_a_gpu(struct desk *vk)
{
	vk->data.vk->subs = 4;
	vk->data.vk->width = 2 * vk->data.vk->lanes;
}

/* What only records needs no shaders. */
static VkResult no_pipeline(VkDevice device, VkPipelineCache cache, uint32_t n,
			    const VkComputePipelineCreateInfo *infos,
			    const VkAllocationCallbacks *allocator, VkPipeline *ret)
{
	*ret = VK_NULL_HANDLE;
	return VK_SUCCESS;
}

static void no_bind(VkCommandBuffer commands, VkPipelineBindPoint point, VkPipeline pipeline)
{
}

static void no_dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z)
{
}

/* For each layer: q, k and v; rope; attention; its output; gate and up; down. One more where
 * attention over a long context is split. Norms are by the last workgroup of the product before
 * them, but those of two in a row (gemma's), a second one of the same sum (gptneox's) and bitnet's
 * between attention and its output. A mixture has one more, its router, whose last workgroup makes
 * the choice; qwen2moe's shared expert is a second mixture. */
static void test_dispatches(gconstpointer data)
{
	static const struct {
		const char *arch;
		uint32_t most; /* a layer */
	} cases[] = {
		{ "llama", 6 },    { "qwen2", 6 },      { "qwen3", 6 },   { "phi3", 6 },
		{ "gemma2", 8 },   { "gemma3", 8 },     { "granite", 6 }, { "smollm3", 6 },
		{ "gptneox", 7 },  { "starcoder2", 6 }, { "gpt2", 6 },    { "starcoder", 6 },
		{ "falcon", 6 },   { "phi2", 6 },       { "bitnet", 7 },  { "qwen3moe", 7 },
		{ "qwen2moe", 9 }, { "granitemoe", 7 },
	};
	uint32_t without = GPOINTER_TO_UINT(data);
	struct desk vk;

	if (!desk_open(&vk, without))
		return;
	if (without == WEIR_VK_WITHOUT_WIDE)
		as_a_gpu(&vk);
	vk.data.vk->api.CreateComputePipelines = no_pipeline;
	vk.data.vk->api.CmdBindPipeline = no_bind;
	vk.data.vk->api.CmdDispatch = no_dispatch;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint32_t a = dispatches(&vk, cases[i].arch, 2);
		uint32_t b = dispatches(&vk, cases[i].arch, 4);

		g_test_message("%s: %u and %u dispatches", cases[i].arch, a, b);
		g_assert_cmpuint(b - a, ==, 2 * cases[i].most);
	}
	desk_close(&vk);
}

static void compare(struct desk *vk, struct desk *cpu, struct model *m, const char *kv_type,
		    const uint32_t *counts, double limit, const char *name)
{
	float got[N_STEPS * VOCAB], want[N_STEPS * VOCAB];
	char *path = model_write(m);
	double d;

	play(vk, path, kv_type, counts, got);
	play(cpu, path, kv_type, counts, want);
	d = distance(got, want, N_STEPS * VOCAB);
	g_test_message("%s: %g", name, d);
	g_assert_cmpfloat(d, <, limit);
	g_unlink(path);
	g_free(path);
}

static void test_archs(void)
{
	g_auto(GStrv) names = g_strsplit(weir_arch_names(), ", ", -1);
	struct desk vk, cpu;

	if (!desk_open(&vk, 0))
		return;
	desk_small(&vk);
	desk_open_reference(&cpu);
	for (gsize i = 0; names[i]; i++) {
		struct weir_str name = { names[i], strlen(names[i]) };
		struct model_spec s = model_small;
		struct model *m;

		if (weir_arch_find(name)->flags & WEIR_ARCH_ENCODER)
			continue; /* tests/numeric/embed-oracle.py */
		s.arch = names[i];
		m = model_new(&s);
		compare(&vk, &cpu, m, "f32", in_pieces, 1e-4, names[i]);
		/* where rows are not whole blocks of 32, matrices stay floats */
		model_fill_matrices(m, WEIR_DTYPE_Q8_0, 32, reference_weights, reference_row_bytes);
		compare(&vk, &cpu, m, "f16", one_by_one, 3e-2, names[i]);
		model_free(m);
	}
	desk_close_reference(&cpu);
	desk_close(&vk);
}

/* Models whose layers differ most, on devices with fewer features. */
static void test_features(gconstpointer data)
{
	static const char *const names[] = { "gemma2", "bitnet", "qwen2moe" };
	uint32_t without = GPOINTER_TO_UINT(data);
	struct desk vk, cpu;

	if (!desk_open(&vk, without))
		return;
	desk_small(&vk);
	if (without == WEIR_VK_WITHOUT_WIDE)
		as_a_gpu(&vk);
	desk_open_reference(&cpu);
	for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
		struct model_spec s = model_small;
		struct model *m;

		s.arch = names[i];
		m = model_new(&s);
		compare(&vk, &cpu, m, "f16", one_by_one, 1e-3, names[i]);
		model_free(m);
	}
	desk_close_reference(&cpu);
	desk_close(&vk);
}

static void test_types(void)
{
	struct desk vk, cpu;

	if (!desk_open(&vk, 0))
		return;
	desk_small(&vk);
	desk_open_reference(&cpu);
	for (size_t i = 0; i < reference_n_types(); i++) {
		uint32_t type = reference_types[i];
		bool floats =
			type == WEIR_DTYPE_F32 || type == WEIR_DTYPE_F16 || type == WEIR_DTYPE_BF16;
		struct model_spec s = model_small;
		struct model *m;

		s.n_embd = s.n_ff = 256;
		s.n_layers = i % 8 ? 1 : 2; /* all but the last have shaders of their own */
		m = model_new(&s);
		model_fill_matrices(m, type, 1, reference_weights, reference_row_bytes);
		/* Shaders for several rows take long to compile; test-vulkan-gemm.c has all. */
		compare(&vk, &cpu, m, "f16", i % 8 ? one_by_one : in_pieces, floats ? 1e-3 : 3e-2,
			reference_type_name(type));
		model_free(m);
	}
	desk_close_reference(&cpu);
	desk_close(&vk);
}

/* A load that is interrupted ends before its next matrix, and its pipelines are not waited for; the
 * device goes on with the next step. */
static void test_interrupted(void)
{
	struct weir_tensor_backend *backend = NULL;
	const struct weir_backend_step *step_ext;
	struct weir_error err = { 0 };
	struct model_spec s = model_small;
	struct model *m = model_new(&s);
	char *path = model_write(m);
	float logits[VOCAB];
	struct desk vk;

	if (desk_open(&vk, WEIR_VK_WITHOUT_IMPORT)) {
		vk.device->interrupt(&vk.instance);
		g_assert_cmpint(load(&vk, path, "f16", &backend, &err), ==, WEIR_E_CANCELLED);
		g_assert_nonnull(strstr(err.text, "interrupted"));
		weir_tensor_backend_free(backend);
		g_assert_cmpint(weir_vk_pipelines_settle(vk.data.vk, &err), ==, WEIR_E_CANCELLED);
		desk_close(&vk);
	}
	if (desk_open(&vk, 0)) {
		err.text[0] = '\0';
		load(&vk, path, "f16", &backend, &err);
		g_assert_cmpstr(err.text, ==, "");
		step_ext = weir_tensor_backend_ext(backend, WEIR_BACKEND_STEP);
		step_ext->interrupt(&vk.instance);
		step(&vk, backend, 0, 1, logits, &err);
		g_assert_cmpstr(err.text, ==, "");
		g_assert_cmpint(weir_vk_pipelines_settle(vk.data.vk, &err), ==, WEIR_OK);
		weir_tensor_backend_free(backend);
		desk_close(&vk);
	}
	g_unlink(path);
	g_free(path);
	model_free(m);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/vulkan/models/dispatches/all", NULL, test_dispatches);
	g_test_add_data_func("/vulkan/models/dispatches/least",
			     GUINT_TO_POINTER(WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_WIDE),
			     test_dispatches);
	g_test_add_data_func("/vulkan/models/dispatches/subgroups",
			     GUINT_TO_POINTER(WEIR_VK_WITHOUT_WIDE), test_dispatches);
	g_test_add_func("/vulkan/models/archs", test_archs);
	g_test_add_data_func("/vulkan/models/features/least",
			     GUINT_TO_POINTER(WEIR_VK_WITHOUT_SUBGROUPS | WEIR_VK_WITHOUT_WIDE),
			     test_features);
	g_test_add_data_func("/vulkan/models/features/subgroups",
			     GUINT_TO_POINTER(WEIR_VK_WITHOUT_WIDE), test_features);
	g_test_add_func("/vulkan/models/types", test_types);
	g_test_add_func("/vulkan/models/interrupted", test_interrupted);
	return g_test_run();
}
