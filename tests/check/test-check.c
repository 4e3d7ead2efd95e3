/*
 * tests/check/test-check.c - `weir check` passes what keeps the contract and names each way of
 * breaking it.
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "spawn.h"

/* A sanitizer's own handlers turn a crash into a report and an exit. */
static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
	return false;
#endif
}

static void test_good(gconstpointer data)
{
	int status;
	g_autofree char *output = run_whole(data, &status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, " ok, 0 not ok, "));
	g_assert_nonnull(strstr(output, "ok 1 "));
	g_assert_cmpint(status, ==, 0);
}

struct bad {
	const char *kind, *section, *name, *text;
};

static const struct bad bad_ones[] = {
	{ "no-symbol", "scan", "table", "this is no Weir plugin" },
	{ "abi", "scan", "table", "built for ABI 7.0" },
	{ "abi-min", "scan", "table", "needs a host of ABI" },
	{ "sanitizer", "scan", "table", "build both alike" },
	{ "size", "scan", "table", "was size set?" },
	{ "null-id", "scan", "table", "component id" },
	{ "option", "scan", "table", "its fallback" },
	{ "impure", "scan", "purity", "another table" },
	{ "null-instance", "life", "create", "OK and no instance" },
	{ "crash", "life", "create", NULL },
	{ "silent", "life", "create", "without a reason" },
	{ "leak", "life", "repeat", "95 file descriptors are left" },
	{ "limits", "life", "limits", "count=\"64\"" },
	{ "any-ext", "life", "interfaces", "an id that nobody knows" },
	{ "no-started", "stream", "answer", "before STARTED" },
	{ "overrun", "stream", "credit", "must be kept" },
	{ "spin", "stream", "credit", "wait for wake()" },
	{ "no-end", "stream", "cancel-early", "did not end a cancelled stream in time" },
	{ "mute", "stream", "answer", "did not pass the end on" },
	{ "twice", "stream", "answer", "ends a stream twice" },
	{ "before", "stream", "answer", "before STARTED" },
	{ "two-ends", "stream", "answer", "end() twice" },
};

static void test_bad(gconstpointer data)
{
	const struct bad *bad = data;
	int status;
	g_autofree char *arguments = g_strdup_printf(
		"check @tests/check/weir-bad-%s.so --patience %d --section %s --case %s", bad->kind,
		sanitized() ? 10 : 2, bad->section, bad->name);
	g_autofree char *verdict = g_strdup_printf("not ok 1 %s/%s", bad->section, bad->name);
	g_autofree char *output = run_whole(arguments, &status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, verdict));
	if (bad->text)
		g_assert_nonnull(strstr(output, bad->text));
	g_assert_nonnull(strstr(output, "#   the law: "));
	g_assert_cmpint(status, ==, 1);
}

struct bad_step {
	const char *kind, *name, *text;
};

static const struct bad_step bad_steps[] = {
	{ "takes-all", "bad-models", "took a file that is not there for a model" },
	{ "no-reason", "bad-models", "without a reason" },
	{ "facts", "greedy", "do not hold n_ctx" },
	{ "moody", "greedy", "the same prompt" },
	{ "nan", "greedy", "not a number" },
	{ "range", "greedy", "drew token 64 of 64" },
	{ "fails", "greedy", "no mood" },
	{ "chunks", "chunks", "prefill in pieces of 1" },
	{ "rows", "rows", "beside another sequence" },
	{ "copies", "copies", "from copied blocks" },
	{ "gone", "gone", "that is gone" },
	{ "mask", "mask", "was allowed" },
	{ "seed", "draws", "the same seed drew" },
	{ "logprob", "draws", "by its logits" },
	{ "guesses", "guesses", "guesses were said to be right" },
};

static char *toy(void)
{
	char *path = g_build_filename(g_get_tmp_dir(), "weir-check-toy-XXXXXX", NULL);
	int fd = g_mkstemp(path);
	g_assert_cmpint(fd, >=, 0);
	g_close(fd, NULL);
	g_assert_true(g_file_set_contents(path, "TOY", 3, NULL));
	return path;
}

/* With a kind: breaks one law. Without: keeps them all. */
static void test_step(gconstpointer data)
{
	const struct bad_step *bad = data;
	g_autofree char *model = toy(), *verdict = NULL, *arguments = NULL, *output = NULL;
	int status;
	if (bad) {
		arguments = g_strdup_printf(
			"check @tests/check/weir-bad-step-%s.so --option model=%s --patience %d "
			"--section step --case %s",
			bad->kind, model, sanitized() ? 10 : 2, bad->name);
		verdict = g_strdup_printf("not ok 1 step/%s", bad->name);
	} else {
		arguments = g_strdup_printf(
			"check @tests/check/weir-good-step.so --effort 1 --option model=%s", model);
	}
	output = run_whole(arguments, &status);
	unlink(model);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, bad ? verdict : " ok, 0 not ok, "));
	g_assert_nonnull(strstr(output, bad ? bad->text : "step/guesses"));
	g_assert_cmpint(status, ==, bad ? 1 : 0);
}

static void test_usage(void)
{
	static const struct {
		const char *arguments, *text;
		int status;
	} cases[] = {
		{ "check", "which plugin?", 2 },
		{ "check a.so --section strem", "did you mean stream", 2 },
		{ "check a.so b.so", "one argument too many", 2 },
		{ "check a.so --patience soon", "a number of seconds", 2 },
		{ "check a.so --effort 0", "--effort 0: a number of seconds", 2 },
		{ "check a.so --section fuz", "did you mean fuzz", 2 },
		{ "check /nonexistent.so", "cannot open shared object file", 1 },
		{ "check /nonexistent.so --json", "\"verdict\" : \"not ok\"", 1 },
		{ "check --help", "Examples", 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		int status;
		g_autofree char *output = run_whole(cases[i].arguments, &status);
		g_test_message("%s", output);
		g_assert_nonnull(strstr(output, cases[i].text));
		g_assert_cmpint(status, ==, cases[i].status);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/check/usage", test_usage);
	g_test_add_data_func("/check/good", "check @tests/check/weir-good.so --effort 1",
			     test_good);
	g_test_add_data_func("/check/example/null",
			     "check @sdk/examples/weir-null.so --effort 1 --option text=hello",
			     test_good);
	g_test_add_data_func("/check/example/upcase",
			     "check @sdk/examples/weir-upcase.so --effort 1", test_good);
	g_test_add_data_func("/check/example/ask",
			     "check @sdk/examples/weir-ask.so --effort 1 --option question=Hello",
			     test_good);
	g_test_add_data_func("/check/echo", "check @backends/echo/weir-echo.so --effort 1",
			     test_good);
	g_autofree char *model = g_build_filename(g_getenv("WEIR_SOURCE_ROOT"), "data", "models",
						  "weir-demo.gguf", NULL);
	g_autofree char *cpu = g_strdup_printf(
		"check @backends/cpu/weir-cpu.so --effort 1 --option model=%s", model);
	g_test_add_data_func("/check/cpu", cpu, test_good);
	for (size_t i = 0; i < G_N_ELEMENTS(bad_ones); i++) {
		g_autofree char *name = g_strdup_printf("/check/bad/%s", bad_ones[i].kind);
		g_test_add_data_func(name, &bad_ones[i], test_bad);
	}
	g_test_add_data_func("/check/step/good", NULL, test_step);
	for (size_t i = 0; i < G_N_ELEMENTS(bad_steps); i++) {
		g_autofree char *name = g_strdup_printf("/check/step/%s", bad_steps[i].kind);
		g_test_add_data_func(name, &bad_steps[i], test_step);
	}
	return g_test_run();
}
