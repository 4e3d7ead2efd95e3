/* SPDX-License-Identifier: MIT */
/*
 * test-scheduler-tensor.c - embeddings and generations at once through the router, over the real
 * tensor backend on the scalar device: each gets the same as alone, to the bit.
 *
 * The backend is a plugin, as for a server; its path is the first argument.
 */
#include <dlfcn.h>
#include <string.h>

#include <glib/gstdio.h>

#include <weir/plugin.h>

#include "harness.h"
#include "model-writer.h"

enum { DIM = 32, VOCAB = 50, N_TEXTS = 12 };

static const char *plugin_path;

struct fixture {
	struct harness h;
	struct weir_instance *instance;
	void *so;
	char *path;
};

static const struct weir_component *component(void *so)
{
	const struct weir_plugin *(*query)(uint32_t);

	*(void **)&query = dlsym(so, "weir_plugin_query");
	g_assert_nonnull(query);
	return query(WEIR_ABI)->components[0];
}

static void start(struct fixture *f, const char *arch)
{
	static const char *const serves[] = { "tiny", NULL };
	struct model_spec spec = model_small;
	struct weir_error err = { 0 };
	struct model *m;

	spec.arch = arch;
	m = model_new(&spec);
	f->path = model_write(m);
	model_free(m);
	f->so = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
	if (!f->so)
		g_error("%s", dlerror());
	harness_init(&f->h, NULL);
	const struct weir_kv conf[] = { { "model", f->path },    { "context", "96" },
					{ "block_tokens", "8" }, { "max_sequences", "3" },
					{ "kv_type", "f32" },    { "max_batch_tokens", "16" },
					{ "speculative", "off" } };
	if (component(f->so)->create(&f->h.host, conf, G_N_ELEMENTS(conf), &f->instance, &err) < 0)
		g_error("%s", err.text);
	const struct weir_backend_binding b = { "backend.tiny", f->instance, serves, "scalar" };
	g_assert_cmpint(weir_router_add_backend(f->h.core.router, &b, &err), ==, WEIR_OK);
	harness_start(&f->h);
	while (weir_router_state(f->h.core.router) == WEIR_ROUTER_LOADING)
		g_usleep(500);
	g_assert_cmpint(weir_router_state(f->h.core.router), ==, WEIR_ROUTER_READY);
}

static void stop(struct fixture *f)
{
	harness_clear(&f->h);
	f->instance->destroy(f->instance);
	dlclose(f->so);
	g_unlink(f->path);
	g_free(f->path);
}

/* Text i as a JSON list of token ids. */
static void put_text(GString *out, guint i)
{
	guint n = 1 + i * 7 % 40; /* some longer than a step */

	g_string_append_c(out, '[');
	for (guint t = 0; t < n; t++)
		g_string_append_printf(out, "%s%u", t ? "," : "", (i * 13 + t * 7 + t * t) % VOCAB);
	g_string_append_c(out, ']');
}

static struct seen *embed(struct fixture *f, guint first, guint n)
{
	g_autoptr(GString) inputs = g_string_new("[");
	struct seen *seen = seen_new(1);
	struct weir_error err = { 0 };

	for (guint i = 0; i < n; i++) {
		if (i)
			g_string_append_c(inputs, ',');
		put_text(inputs, first + i);
	}
	g_string_append_c(inputs, ']');
	if (harness_open(&f->h, seen, 8, NULL, NULL, &err, "kind", "embed", "model", "tiny",
			 "inputs", inputs->str, NULL) < 0)
		g_error("%s", err.text);
	return seen;
}

static struct seen *generate(struct fixture *f, guint number)
{
	const struct weir_limits limits = {
		.size = sizeof(limits), .max_tokens = 20, .n = 1, .ignore_end = 1
	};
	const struct weir_sampling sampling = { .size = sizeof(sampling),
						.temperature = 1,
						.top_p = 1,
						.typical_p = 1,
						.repetition_penalty = 1,
						.seed = number + 1,
						.seed_set = 1 };
	g_autoptr(GString) prompt = g_string_new(NULL);
	struct seen *seen = seen_new(1);
	struct weir_error err = { 0 };

	put_text(prompt, number + 3);
	if (harness_open(&f->h, seen, 64, &sampling, &limits, &err, "kind", "completion", "model",
			 "tiny", "tokens", prompt->str, NULL) < 0)
		g_error("%s", err.text);
	return seen;
}

static void finish(struct fixture *f, struct seen *seen)
{
	harness_until(&f->h, &seen->n_ends);
	g_assert_cmpstr(seen->end_text, ==, "");
	g_assert_cmpint(seen->end.status, ==, WEIR_OK);
	g_assert_cmpuint(seen->n_wrong, ==, 0);
}

static void test_company(gconstpointer arch)
{
	struct fixture f;
	struct seen *vectors, *texts[4], *alone[4], *many[6];

	start(&f, arch);
	vectors = embed(&f, 0, N_TEXTS);
	finish(&f, vectors);
	g_assert_cmpuint(vectors->raw->len, ==, N_TEXTS * DIM * sizeof(float));
	for (guint i = 0; i < 4; i++) {
		alone[i] = generate(&f, i);
		finish(&f, alone[i]);
		g_assert_cmpuint(alone[i]->tokens->len, ==, 20);
	}
	/* More generations than rows, and requests for vectors in between. */
	for (guint i = 0; i < 6; i++) {
		if (i < 4)
			texts[i] = generate(&f, i);
		many[i] = embed(&f, 2 * i, 2);
	}
	for (guint i = 0; i < 6; i++) {
		finish(&f, many[i]);
		g_assert_cmpmem(many[i]->raw->str, many[i]->raw->len,
				vectors->raw->str + 2 * i * DIM * sizeof(float),
				2 * DIM * sizeof(float));
		seen_free(many[i]);
	}
	for (guint i = 0; i < 4; i++) {
		finish(&f, texts[i]);
		g_assert_cmpmem(texts[i]->tokens->data, texts[i]->tokens->len * 4,
				alone[i]->tokens->data, alone[i]->tokens->len * 4);
		seen_free(texts[i]);
		seen_free(alone[i]);
	}
	seen_free(vectors);
	stop(&f);
}

/* A server that ends in the middle of it all. */
static void test_stop(void)
{
	struct fixture f;
	struct seen *seen[6];

	start(&f, "qwen3");
	for (guint i = 0; i < 6; i++)
		seen[i] = i % 2 ? embed(&f, i, 40) : generate(&f, i);
	while (seen[1]->n_events < 3)
		harness_dispatch(&f.h, 20);
	stop(&f);
	for (guint i = 0; i < 6; i++) {
		g_assert_cmpuint(seen[i]->n_ends, ==, 1);
		seen_free(seen[i]);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	if (argc != 2)
		g_error("usage: %s PLUGIN", argv[0]);
	plugin_path = argv[1];
	g_test_add_data_func("/scheduler-tensor/company/llama", "llama", test_company);
	g_test_add_data_func("/scheduler-tensor/company/gemma2", "gemma2", test_company);
	g_test_add_data_func("/scheduler-tensor/company/qwen3moe", "qwen3moe", test_company);
	g_test_add_func("/scheduler-tensor/stop", test_stop);
	return g_test_run();
}
