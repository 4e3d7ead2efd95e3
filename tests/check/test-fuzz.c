/*
 * tests/check/test-fuzz.c - section fuzz of `weir check`: what trusts its input is found, with the
 * seed that repeats it; what does not passes, and so do the real plugins.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "spawn.h"

struct bad {
	const char *kind, *name, *text;
};

static const struct bad bad_ones[] = {
	{ "fuzz-trusting", "model", "at load() of the model with " },
	{ "fuzz-silent", "model", "load() fails with -3 and without a reason" },
	{ "fuzz-byte", "tokenizer", "at encode() of " },
	{ "fuzz-cap", "tokenizer", "encode() writes behind the end of its array" },
	{ "fuzz-range", "tokenizer", "encode() gives token 256 of 256" },
	{ "fuzz-token", "tokenizer", "piece() of token " },
	{ "fuzz-hang", "chat", "did not end within" },
	{ "field", "requests", "at a request of hostile fields" },
};

static char *toy(void)
{
	char *path = g_build_filename(g_get_tmp_dir(), "weir-check-toy-XXXXXX", NULL);
	int fd = g_mkstemp(path);
	g_autofree char *text = g_strconcat("TOY\x20", "thirty-two bytes of names of toys", NULL);
	g_assert_cmpint(fd, >=, 0);
	g_close(fd, NULL);
	for (int i = 0; i < 3; i++) {
		char *more = g_strconcat(text, text + 4, NULL);
		g_free(text);
		text = more;
	}
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

/* The seed that "--seed N begins with it" names. */
static char *seed_of(const char *output)
{
	const char *at = strstr(output, "--seed ");
	g_assert_nonnull(at);
	at += strlen("--seed ");
	return g_strndup(at, strspn(at, "0123456789"));
}

static void test_bad(gconstpointer data)
{
	const struct bad *bad = data;
	int status;
	g_autofree char *model = toy(), *seed = g_strdup("1");
	g_autofree char *verdict = g_strdup_printf("not ok 1 fuzz/%s", bad->name);
	/* The second time with the seed of the first: at once, or the first was not told right. */
	for (int i = 0; i < 2; i++) {
		g_autofree char *arguments = g_strdup_printf(
			"check @tests/check/weir-bad-%s.so %s%s --section fuzz --case %s "
			"--patience 1 --effort %d --seed %s",
			bad->kind,
			*bad->name == 'r' ? "" : "--option model=", *bad->name == 'r' ? "" : model,
			bad->name, i ? 1 : 8, seed);
		g_autofree char *output = run_whole(arguments, &status);
		g_test_message("%s", output);
		g_assert_nonnull(strstr(output, verdict));
		g_assert_nonnull(strstr(output, bad->text));
		g_assert_cmpint(status, ==, 1);
		char *named = seed_of(output);
		if (i)
			g_assert_cmpstr(named, ==, seed);
		g_free(seed);
		seed = named;
		if (strstr(output, "did not end")) /* once is long enough */
			break;
	}
	unlink(model);
}

static void test_good(void)
{
	int status;
	g_autofree char *model = toy();
	g_autofree char *arguments = g_strdup_printf(
		"check @tests/check/weir-good-fuzz.so --option model=%s --section fuzz --effort 1",
		model);
	g_autofree char *output = run_whole(arguments, &status);
	unlink(model);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, "fuzz/tokenizer"));
	g_assert_nonnull(strstr(output, " ok, 0 not ok, 0 skipped"));
	g_assert_cmpint(status, ==, 0);
}

static void test_real(gconstpointer data)
{
	int status;
	g_autofree char *output = run_whole(data, &status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, " rounds"));
	g_assert_nonnull(strstr(output, " ok, 0 not ok, 0 skipped"));
	g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_autofree char *model = g_build_filename(g_getenv("WEIR_SOURCE_ROOT"), "data", "models",
						  "weir-demo.gguf", NULL);
	g_autofree char *cpu = g_strdup_printf("check @backends/cpu/weir-cpu.so --section fuzz "
					       "--effort 1 --option model=%s",
					       model);
	g_test_add_func("/check/fuzz/good", test_good);
	g_test_add_data_func("/check/fuzz/cpu", cpu, test_real);
	g_test_add_data_func("/check/fuzz/echo",
			     "check @backends/echo/weir-echo.so --section fuzz --effort 1",
			     test_real);
	g_test_add_data_func("/check/fuzz/upcase",
			     "check @sdk/examples/weir-upcase.so --section fuzz --effort 1",
			     test_real);
	g_test_add_data_func("/check/fuzz/line",
			     "check @frontends/line/weir-line.so --section fuzz --effort 1",
			     test_real);
	g_test_add_data_func("/check/fuzz/http",
			     "check @frontends/http/weir-http.so --section fuzz --effort 1",
			     test_real);
	for (size_t i = 0; i < G_N_ELEMENTS(bad_ones); i++) {
		g_autofree char *name = g_strdup_printf("/check/fuzz/bad/%s", bad_ones[i].kind);
		g_test_add_data_func(name, &bad_ones[i], test_bad);
	}
	return g_test_run();
}
