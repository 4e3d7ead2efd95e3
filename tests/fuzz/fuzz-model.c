/*
 * tests/fuzz/fuzz-model.c - seeded mutations of a model file: loading takes anything without a
 * crash or a leak, and what it accepts can be run.
 *
 * WEIR_FUZZ_SEED and WEIR_FUZZ_ROUNDS choose another or a longer walk.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "device-scalar.h"
#include "model-writer.h"

/* Numbers that have been somebody's mistake before. */
static const guint32 odd[] = { 0,          1,          2,          3,          7,
			       31,         33,         64,         255,        4096,
			       65536,      0x7fffffff, 0x80000000, 0xffffffff, 0x7f800000,
			       0x7fc00000, 0xff800000, 0x3f800000 };

/* Most of the interest lies in the header: its keys and tensor descriptions. */
static void mutate(GRand *rand, GByteArray *file, guint header)
{
	int n = g_rand_int_range(rand, 1, 5);

	for (int i = 0; i < n; i++) {
		guint end = g_rand_int_range(rand, 0, 8) ? header : file->len;
		guint at = (guint)g_rand_int_range(rand, 4, (gint32)end - 4);
		guint32 value = odd[g_rand_int_range(rand, 0, G_N_ELEMENTS(odd))];

		switch (g_rand_int_range(rand, 0, 4)) {
		case 0:
			file->data[at] = (guint8)g_rand_int_range(rand, 0, 256);
			break;
		case 1:
			file->data[at] = (guint8)(file->data[at] + g_rand_int_range(rand, -2, 3));
			break;
		case 2:
			memcpy(file->data + at, &value, 4);
			break;
		default:
			memcpy(file->data + at,
			       file->data + g_rand_int_range(rand, 4, (gint32)header - 4), 4);
			break;
		}
	}
}

/* Logits may be anything, the step's shape may not. */
static void step(struct device_scalar *d, const struct weir_backend_step *b,
		 const struct weir_model *m)
{
	static const uint32_t blocks[8] = { 3, 1, 2, 0, 4, 5, 6, 7 };
	static const int32_t tokens[5] = { 0, 1, 2, 1, 0 };
	struct weir_sampling s = { .size = sizeof(s), .temperature = 1, .top_p = 0.9f };
	struct weir_error err, error[1];
	struct weir_row row = { .count = 5,
				.n_blocks = 8,
				.blocks = blocks,
				.sampling = &s,
				.history = tokens,
				.n_history = 5,
				.n_prompt = 5 };
	struct weir_batch batch = { .size = sizeof(batch),
				    .row_size = sizeof(row),
				    .n_tokens = 5,
				    .n_rows = 1,
				    .tokens = tokens,
				    .rows = &row };
	int32_t token[1] = { -7 };
	struct weir_step ret = { .size = sizeof(ret), .token = token, .error = error };

	if (m->n_vocab < 3 || m->n_blocks < 8)
		return;
	if (b->step(&d->instance, &batch, &ret, &err) == WEIR_OK)
		g_assert_true(token[0] >= -1 && token[0] < (int32_t)m->n_vocab);
}

/* Vectors may be anything; finite or not, of the length that they say. */
static void embed(struct device_scalar *d, const struct weir_model *m)
{
	static const uint32_t first[3] = { 0, 4, 5 };
	static const int32_t tokens[5] = { 0, 1, 2, 1, 0 };
	const struct weir_embedder *e = weir_tensor_backend_ext(d->backend, WEIR_EMBEDDER);
	struct weir_embedder_info info = { .size = sizeof(info) };
	struct weir_error err = { 0 };
	g_autofree float *ret = NULL;

	if (!e)
		return;
	e->info(&d->instance, &info);
	g_assert_cmpuint(info.n_dim, >, 0);
	g_assert_cmpuint(info.max_tokens, >, 0);
	g_assert_cmpuint(info.max_batch, >=, info.max_tokens);
	ret = g_new(float, 2 * (size_t)info.n_dim);
	if (e->embed(&d->instance, tokens, first, 2, ret, &err) < 0)
		g_assert_cmpuint(strlen(err.text), >, 10);
	else
		g_assert_cmpuint(m->n_vocab, >=, 3);
}

static bool run(const char *path)
{
	const struct weir_kv conf[] = { { "model", path },
					{ "context", "64" },
					{ "block_tokens", "8" },
					{ "max_sequences", "2" },
					{ "max_batch_tokens", "8" } };
	struct device_scalar d;
	const struct weir_backend_step *b;
	struct weir_model m = { .size = sizeof(m) };
	struct weir_error err = { 0 };
	bool loaded;

	device_scalar_init(&d);
	g_assert_cmpint(weir_tensor_backend_new(NULL, &d.instance, &device_scalar, conf,
						G_N_ELEMENTS(conf), &d.backend, &err),
			==, WEIR_OK);
	b = weir_tensor_backend_ext(d.backend, WEIR_BACKEND_STEP);
	loaded = b->load(&d.instance, &m, &err) == WEIR_OK;
	if (loaded) {
		if (!(m.flags & WEIR_MODEL_ENCODER))
			step(&d, b, &m);
		embed(&d, &m);
	} else
		g_assert_cmpuint(strlen(err.text), >, 10);
	weir_tensor_backend_free(d.backend);
	g_assert_cmpint(d.n_buffers, ==, 0);
	g_assert_cmpint(d.n_programs, ==, 0);
	return loaded;
}

static guint32 number(const char *name, guint32 fallback)
{
	const char *text = g_getenv(name);

	return text ? (guint32)strtoul(text, NULL, 10) : fallback;
}

static void set_number(struct model *m, const char *arch, const char *what, guint32 x)
{
	g_autofree char *key = g_strdup_printf("%s.%s", arch, what);

	model_set_u32(m, key, x);
}

static void test_mutations(gconstpointer arch)
{
	guint32 rounds = number("WEIR_FUZZ_ROUNDS", strcmp(arch, "llama") == 0 ? 3000 : 400);
	guint32 n_loaded = 0;
	g_autoptr(GRand) rand = g_rand_new_with_seed(number("WEIR_FUZZ_SEED", 11));
	struct model_spec spec = model_small;
	struct model *m;
	GByteArray *good;
	int fd = memfd_create("model", 0);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	guint header;

	spec.arch = arch;
	spec.biases = strcmp(arch, "llama") == 0;
	spec.factors = spec.biases || strcmp(arch, "phi3") == 0;
	m = model_new(&spec);
	set_number(m, arch, "rope.scaling.original_context_length", 32);
	set_number(m, arch, "rope.dimension_count", 8);
	set_number(m, arch, "attention.sliding_window", 16);
	if (g_str_has_prefix(arch, "gemma"))
		set_number(m, arch, "attention.sliding_window_pattern", 2);
	if (spec.biases) {
		model_set_string(m, "llama.rope.scaling.type", "yarn");
		model_set_f32(m, "llama.rope.scaling.factor", 4);
	}
	good = model_bytes(m, &header);
	g_assert_cmpint(pwrite(fd, good->data, good->len, 0), ==, good->len);
	model_free(m);
	g_assert_true(run(path));
	for (guint32 i = 0; i < rounds; i++) {
		GByteArray *bad = g_byte_array_sized_new(good->len);

		g_byte_array_append(bad, good->data, good->len);
		mutate(rand, bad, header);
		if (g_rand_int_range(rand, 0, 20) == 0)
			g_byte_array_set_size(bad,
					      (guint)g_rand_int_range(rand, 0, (gint32)bad->len));
		/* In place: each round ends before the next one writes. */
		g_assert_cmpint(ftruncate(fd, (off_t)bad->len), ==, 0);
		g_assert_cmpint(pwrite(fd, bad->data, bad->len, 0), ==, bad->len);
		g_byte_array_unref(bad);
		n_loaded += run(path);
	}
	g_test_message("%u of %u mutations were accepted", n_loaded, rounds);
	/* Some of both, or the walk tests nothing. */
	g_assert_cmpuint(n_loaded, >, rounds / 50);
	g_assert_cmpuint(n_loaded, <, rounds - rounds / 4);
	g_byte_array_unref(good);
	close(fd);
}

int main(int argc, char **argv)
{
	static const char *const archs[] = { "llama",    "qwen2",      "qwen3",        "phi3",
					     "gemma2",   "gemma3",     "granitemoe",   "smollm3",
					     "qwen2moe", "qwen3moe",   "bitnet-b1.58", "starcoder2",
					     "gptneox",  "falcon",     "phi2",         "gpt2",
					     "bert",     "nomic-bert", "granite",      "bitnet",
					     "starcoder" };

	g_test_init(&argc, &argv, NULL);
	for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
		g_autofree char *name = g_strdup_printf("/fuzz/model/%s", archs[i]);

		g_test_add_data_func(name, archs[i], test_mutations);
	}
	return g_test_run();
}
