/* SPDX-License-Identifier: MIT */
/*
 * test-model-tool.c - the plan of `weir model plan` against a model that is really loaded.
 */
#include <glib.h>

#include "program.h"
#include "session.h"

static const struct tool tool = { NULL, "test", "" };

static char *demo(void)
{
	const char *data = g_getenv("WEIR_DATA_DIR");

	return g_strdup_printf("%s/models/weir-demo.gguf", data ? data : "data");
}

static struct session_bytes load(const struct session_wish *wish, struct weir_model *ret)
{
	struct session_bytes bytes;
	struct session *s = NULL;
	struct weir_error err;

	if (session_new(&tool, wish, &s, &err) != WEIR_OK)
		g_error("%s", err.text);
	bytes = *session_bytes_of(s);
	*ret = *session_model(s);
	session_free(s);
	return bytes;
}

/* Every figure of the plan is that of the real thing, for several contexts, batches and types. */
static void test_plan(void)
{
	static const struct {
		uint32_t n_ctx, sequences, tokens, threads;
		const char *kv;
	} cases[] = { { 2048, 8, 512, 1, NULL },
		      { 100, 3, 64, 2, "f32" },
		      { 1024, 1, 16, 2, "bf16" },
		      { 4096, 16, 256, 3, "q8_0" } };
	g_autofree char *path = demo();

	for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct session_wish wish = { .path = path,
					     .n_ctx = cases[i].n_ctx,
					     .max_sequences = cases[i].sequences,
					     .max_tokens = cases[i].tokens,
					     .guesses = 32,
					     .n_threads = cases[i].threads,
					     .kv_type = cases[i].kv,
					     .quiet = true };
		struct weir_model real, planned;
		struct session_bytes taken = load(&wish, &real), plan;

		wish.plan = true;
		plan = load(&wish, &planned);
		g_assert_cmpmem(&plan, sizeof(plan), &taken, sizeof(taken));
		g_assert_cmpuint(plan.kv, ==, real.bytes_kv);
		g_assert_cmpuint(planned.bytes_kv, ==, real.bytes_kv);
		g_assert_cmpuint(planned.bytes_weights, ==, real.bytes_weights);
		g_assert_cmpuint(planned.n_blocks, ==, real.n_blocks);
		g_assert_cmpuint(plan.arena, >, 0);
		g_assert_cmpuint(plan.matrices, >=, 3690496);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/model-tool/plan", test_plan);
	return g_test_run();
}
