/*
 * test-lora.c - adapters: against the same numbers merged into the weights, in company with other
 * rows, on the scalar and on the CPU device; and files that are no adapter of the model.
 */
#include "arch.h"
#include "backend.h"
#include "cpu.h"
#include "device-scalar.h"
#include "gguf-writer.h"
#include "model-writer.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define VOCAB 50
#define N     12
#define RANK  4

static const struct weir_host host = { .size = sizeof(host) };

struct rig { /* first members: what instance.data points to, for either device */
	struct weir_tensor_backend *backend;
	struct weir_cpu *cpu;
	struct device_scalar scalar;
	struct weir_instance own;
	struct weir_instance *instance;
	const struct weir_backend_step *step;
	struct weir_model model;
	struct weir_error err;
};

static weir_status rig_open(struct rig *r, bool cpu, const char *path, const char *lora)
{
	struct weir_kv conf[] = { { "model", path },        { "block_tokens", "8" },
				  { "kv_type", "f32" },     { "max_batch_tokens", "64" },
				  { "max_sequences", "4" }, { "lora", lora } };
	struct weir_tensor_backend **backend = cpu ? &r->backend : &r->scalar.backend;
	weir_status s;

	memset(r, 0, sizeof(*r));
	device_scalar_init(&r->scalar);
	r->instance = &r->scalar.instance;
	if (cpu) {
		r->own = (struct weir_instance){ .size = sizeof(r->own), .data = r };
		r->instance = &r->own;
		g_assert_cmpint(weir_cpu_new(2, false, &r->cpu, &r->err), ==, WEIR_OK);
		r->cpu->alone_below = 0;
	}
	s = weir_tensor_backend_new(&host, r->instance, cpu ? weir_cpu_device() : &device_scalar,
				    conf, lora ? 6 : 5, backend, &r->err);
	if (s != WEIR_OK)
		return s;
	r->step = weir_tensor_backend_ext(*backend, WEIR_BACKEND_STEP);
	r->model.size = sizeof(r->model);
	return r->step->load(r->instance, &r->model, &r->err);
}

static void rig_close(struct rig *r)
{
	weir_tensor_backend_free(r->backend);
	weir_tensor_backend_free(r->scalar.backend);
	g_assert_cmpint(r->scalar.n_buffers, ==, 0);
	g_assert_cmpint(r->scalar.n_programs, ==, 0);
	weir_cpu_free(r->cpu);
}

/* One step of n rows of N tokens with these adapters; the last tokens' logits [n][VOCAB]. */
static void run(struct rig *r, const uint32_t *adapters, uint32_t n, float *ret_logits)
{
	static const uint32_t blocks[3][2] = { { 5, 2 }, { 1, 3 }, { 0, 4 } };
	static const struct weir_sampling greedy = {
		.size = sizeof(greedy), .top_p = 1, .typical_p = 1, .repetition_penalty = 1
	};
	int32_t tokens[3 * N], drawn[3];
	struct weir_error error[3];
	struct weir_row row[3];
	struct weir_batch b = { .size = sizeof(b),
				.row_size = sizeof(row[0]),
				.n_rows = n,
				.n_tokens = n * N,
				.want_logits = 1,
				.tokens = tokens,
				.rows = row };
	struct weir_step ret = {
		.size = sizeof(ret), .token = drawn, .logits = ret_logits, .error = error
	};

	for (uint32_t i = 0; i < 3 * N; i++)
		tokens[i] = (int32_t)((i % N) * 7 + (i % N) * (i % N)) % VOCAB;
	for (uint32_t i = 0; i < n; i++)
		row[i] = (struct weir_row){ .seq = i,
					    .first = i * N,
					    .count = N,
					    .n_blocks = 2,
					    .blocks = blocks[i],
					    .sampling = &greedy,
					    .history = tokens + i * N,
					    .n_history = N,
					    .n_prompt = N,
					    .adapter = adapters[i] };
	if (r->step->step(r->instance, &b, &ret, &r->err) != WEIR_OK)
		g_error("%s", r->err.text);
}

struct tensor {
	char *name;
	guint64 ne[2];
	float *data;
};

/* Adds the pair of one matrix, [n_out][n_in], and merges scale B A into the model's. */
static void add_pair(GPtrArray *list, GRand *rand, struct model *m, const char *name, guint64 n_in,
		     guint64 n_out, float scale)
{
	struct tensor *a = g_new0(struct tensor, 1), *b = g_new0(struct tensor, 1);
	float *w = model_tensor_data(m, name);

	*a = (struct tensor){ g_strconcat(name, ".lora_a", NULL), { n_in, RANK }, NULL };
	*b = (struct tensor){ g_strconcat(name, ".lora_b", NULL), { RANK, n_out }, NULL };
	a->data = g_new(float, n_in *RANK);
	b->data = g_new(float, n_out *RANK);
	for (guint64 i = 0; i < n_in * RANK; i++)
		a->data[i] = (float)g_rand_double_range(rand, -0.3, 0.3);
	for (guint64 i = 0; i < n_out * RANK; i++)
		b->data[i] = (float)g_rand_double_range(rand, -0.3, 0.3);
	for (guint64 o = 0; o < n_out; o++)
		for (guint64 i = 0; i < n_in; i++) {
			double sum = 0;

			for (guint64 k = 0; k < RANK; k++)
				sum += (double)b->data[o * RANK + k] *
				       (double)a->data[k * n_in + i];
			w[o * n_in + i] += (float)((double)scale * sum);
		}
	g_ptr_array_add(list, a);
	g_ptr_array_add(list, b);
}

static void tensor_free(gpointer data)
{
	struct tensor *t = data;

	g_free(t->name);
	g_free(t->data);
	g_free(t);
}

static char *write_adapter(GPtrArray *list, const char *arch, const char *type)
{
	g_autoptr(GByteArray) f = g_byte_array_new();
	guint64 offset = 0;
	char *path = NULL;
	int fd = g_file_open_tmp("weir-XXXXXX.gguf", &path, NULL);

	close(fd);
	put_head(f, 3, list->len, 4);
	put_key_string(f, "general.type", "adapter");
	put_key_string(f, "general.architecture", arch);
	put_key_string(f, "adapter.type", type);
	put_key(f, "adapter.lora.alpha", 6);
	put_int(f, 0x41000000, 4); /* 8 */
	for (guint i = 0; i < list->len; i++) {
		const struct tensor *t = list->pdata[i];

		put_tensor(f, t->name, 2, t->ne, 0, offset);
		offset += (t->ne[0] * t->ne[1] * sizeof(float) + 31) / 32 * 32;
	}
	put_padding(f, 32);
	for (guint i = 0; i < list->len; i++) {
		const struct tensor *t = list->pdata[i];

		g_byte_array_append(f, (const guint8 *)t->data,
				    (guint)(t->ne[0] * t->ne[1] * sizeof(float)));
		put_padding(f, 32);
	}
	g_assert_true(g_file_set_contents(path, (const char *)f->data, (gssize)f->len, NULL));
	return path;
}

static void remove_file(char *path)
{
	g_unlink(path);
	g_free(path);
}

static struct model_spec spec_of(const char *arch)
{
	struct model_spec s = model_small;

	s.arch = arch;
	return s;
}

/* Every matrix that can be adapted; the scale is 0.5 * 8 / RANK. */
static GPtrArray *make_pairs(const char *arch, struct model *merged)
{
	GPtrArray *list = g_ptr_array_new_with_free_func(tensor_free);
	g_autoptr(GRand) rand = g_rand_new_with_seed(5);
	gboolean fused = strcmp(arch, "phi3") == 0, plain = strcmp(arch, "starcoder2") == 0;
	static const struct {
		const char *name;
		guint64 n_in, n_out;
	} split[] = { { "attn_q", 32, 32 },      { "attn_k", 32, 16 },   { "attn_v", 32, 16 },
		      { "attn_output", 32, 32 }, { "ffn_gate", 32, 48 }, { "ffn_up", 32, 48 },
		      { "ffn_down", 48, 32 } },
	  whole[] = { { "attn_qkv", 32, 64 }, { "ffn_up", 32, 96 }, { "attn_output", 32, 32 } };

	for (guint layer = 0; layer < 2; layer++) {
		for (gsize i = 0; i < (fused ? G_N_ELEMENTS(whole) : G_N_ELEMENTS(split)); i++) {
			g_autofree char *name = g_strdup_printf(
				"blk.%u.%s.weight", layer, fused ? whole[i].name : split[i].name);

			if (plain && strstr(name, "ffn_gate"))
				continue;
			add_pair(list, rand, merged, name, fused ? whole[i].n_in : split[i].n_in,
				 fused ? whole[i].n_out : split[i].n_out, 1.0f);
		}
	}
	add_pair(list, rand, merged, "output.weight", 32, VOCAB, 1.0f);
	return list;
}

/* Merged and adapted agree; rows of a batch do not see each other's adapters, bit for bit. */
static void test_merged(gconstpointer data)
{
	const char *arch = data;
	struct model_spec spec = spec_of(arch);
	struct model *m = model_new(&spec), *merged = model_new(&spec);
	GPtrArray *pairs = make_pairs(arch, merged);
	char *path = model_write(m), *path_merged = model_write(merged);
	char *adapter = write_adapter(pairs, arch, "lora");
	g_autofree char *lora = g_strdup_printf("x=%s:0, y=%s:0.5", adapter, adapter);
	static const uint32_t none[] = { 0 }, mixed[] = { 2, 0, 1 }, alone[] = { 2 };

	for (int cpu = 0; cpu < 2; cpu++) {
		float want[VOCAB], plain[VOCAB], got[3 * VOCAB], one[VOCAB];
		struct rig r;

		g_assert_cmpint(rig_open(&r, cpu, path_merged, NULL), ==, WEIR_OK);
		run(&r, none, 1, want);
		rig_close(&r);
		if (rig_open(&r, cpu, path, lora) != WEIR_OK)
			g_error("%s: %s", arch, r.err.text);
		run(&r, none, 1, plain);
		run(&r, mixed, 3, got);
		run(&r, alone, 1, one);
		for (guint i = 0; i < VOCAB; i++) {
			g_assert_cmpfloat_with_epsilon(got[i], want[i], 2e-4f);
			g_assert_cmpfloat(got[2 * VOCAB + i], ==, plain[i]);
		}
		g_assert_cmpint(memcmp(got, plain, sizeof(plain)), !=, 0);
		g_assert_cmpmem(got, sizeof(one), one, sizeof(one));
		g_assert_cmpmem(got + VOCAB, sizeof(plain), plain, sizeof(plain));
		rig_close(&r);
	}
	g_ptr_array_unref(pairs);
	model_free(m);
	model_free(merged);
	remove_file(path);
	remove_file(path_merged);
	remove_file(adapter);
}

static void test_names(void)
{
	struct model_spec spec = spec_of("llama");
	struct model *m = model_new(&spec);
	GPtrArray *pairs = make_pairs("llama", m);
	char *path = model_write(m), *adapter = write_adapter(pairs, "llama", "lora");
	g_autofree char *lora = g_strdup_printf("tell=%s,  b.2=%s:-1", adapter, adapter);
	const struct weir_adapters *a;
	struct rig r;

	g_assert_cmpint(rig_open(&r, false, path, lora), ==, WEIR_OK);
	a = weir_tensor_backend_ext(r.scalar.backend, WEIR_ADAPTERS);
	g_assert_null(a->name(r.instance, 0));
	g_assert_cmpstr(a->name(r.instance, 1), ==, "tell");
	g_assert_cmpstr(a->name(r.instance, 2), ==, "b.2");
	g_assert_null(a->name(r.instance, 3));
	rig_close(&r);
	g_ptr_array_unref(pairs);
	model_free(m);
	remove_file(path);
	remove_file(adapter);
}

static void change_nothing(struct tensor *t)
{
}

static void change_shape(struct tensor *t)
{
	t->ne[0] = 16;
}

static void change_name(struct tensor *t)
{
	memcpy(t->name, "blk.7", 5);
}

static void change_end(struct tensor *t)
{
	t->name[strlen(t->name) - 1] = 'c';
}

static void test_hostile(void)
{
	static const struct {
		const char *lora, *arch, *type; /* %s: the file */
		void (*change)(struct tensor *);
		const char *text;
	} bads[] = {
		{ "x", "llama", "lora", change_nothing, "name=path" },
		{ "=%s", "llama", "lora", change_nothing, "name=path" },
		{ "x y=%s", "llama", "lora", change_nothing, "name=path" },
		{ "x=%s:nan", "llama", "lora", change_nothing, "-1000 to 1000" },
		{ "x=%s,x=%s", "llama", "lora", change_nothing, "no other adapter" },
		{ "x=%s.gone", "llama", "lora", change_nothing, "cannot open" },
		{ "x=%s", "qwen2", "lora", change_nothing, "general.architecture" },
		{ "x=%s", "llama", "ia3", change_nothing, "adapter.type" },
		{ "x=%s", "llama", "lora", change_shape, "another model's" },
		{ "x=%s", "llama", "lora", change_name, "missing" },
		{ "x=%s", "llama", "lora", change_end, "no place" },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(bads); i++) {
		struct model_spec spec = spec_of("llama");
		struct model *m = model_new(&spec);
		GPtrArray *pairs = make_pairs("llama", m);
		char *path = model_write(m), *adapter;
		g_autofree char *lora = NULL;
		g_auto(GStrv) pieces = g_strsplit(bads[i].lora, "%s", -1);
		struct rig r;

		bads[i].change(pairs->pdata[0]);
		adapter = write_adapter(pairs, bads[i].arch, bads[i].type);
		lora = g_strjoinv(adapter, pieces);
		g_assert_cmpint(rig_open(&r, false, path, lora), <, 0);
		g_test_message("%s", r.err.text);
		g_assert_nonnull(strstr(r.err.text, bads[i].text));
		rig_close(&r);
		g_ptr_array_unref(pairs);
		model_free(m);
		remove_file(path);
		remove_file(adapter);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/lora/llama", "llama", test_merged);
	g_test_add_data_func("/lora/phi3", "phi3", test_merged);
	g_test_add_data_func("/lora/starcoder2", "starcoder2", test_merged);
	g_test_add_func("/lora/names", test_names);
	g_test_add_func("/lora/hostile", test_hostile);
	return g_test_run();
}
