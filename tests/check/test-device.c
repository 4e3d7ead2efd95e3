/*
 * tests/check/test-device.c - section device of `weir check`: the right toy passes it whole, each
 * wrong one fails the case that is about its fault and no other, and the real devices pass.
 */
#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "spawn.h"

/* What takes a second takes twenty: then only the case in question is run. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct bad {
	const char *kind, *name, *text;
	const char *also; /* cases that cannot but notice too */
};

static const struct bad bad_ones[] = {
	{ "lacks", "interface", "lacks wait()", NULL },
	{ "nameless", "interface", "leaves the name empty", NULL },
	{ "company", "company", "is not the same bits alone and among 9", NULL },
	{ "moody", "again", "is not the same bits the second time", NULL },
	{ "table", "blocks", "blocks in another order", NULL },
	{ "lengths", "lengths", "sequences of different lengths", NULL },
	{ "copies", "copies", "copied blocks", NULL },
	{ "stale", "outputs", "two results and a gathered one", "lora" },
	{ "deaf", "interrupt", "as if nobody had called interrupt()", NULL },
	{ "sticks", "interrupt", "two runs behind an interrupt()", NULL },
	{ "leak", "memory", "the process grows each time", NULL },
	{ "forgets", "parallel", "called 3 0 times", NULL },
	{ "epilogue", "linear", "LINEAR with ADD and bias of F32", NULL },
	{ "signs", "linear", "LINEAR of Q8_0", "moe lora" },
	{ "angles", "rope-kv", "ROPE_KV NORM, without caches", NULL },
	{ "lies", "moe", "supports() says yes and program_new() fails", NULL },
	{ "shy", "glu", "supports() says no and program_new() takes it", NULL },
	{ "takes", "refusals", "operation 9999: supports() says yes", NULL },
	{ "aborts", "refusals", "program_new() with LINEAR from rows that are too narrow", NULL },
	{ "trusts", "batches", "a token of -1: the run is OK", NULL },
};

/* "not ok" lines that are of neither case. */
static unsigned others(const char *output, const struct bad *bad)
{
	g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
	g_auto(GStrv) also = g_strsplit(bad->also ? bad->also : "", " ", -1);
	unsigned n = 0;
	for (size_t i = 0; lines[i]; i++) {
		g_auto(GStrv) words = g_strsplit(lines[i], " ", 4);
		if (!g_str_has_prefix(lines[i], "not ok") || g_strv_length(words) < 4)
			continue;
		g_auto(GStrv) end = g_strsplit(words[3], " ", 2);
		const char *name = strchr(end[0], '/') ? strchr(end[0], '/') + 1 : end[0];
		if (strcmp(name, bad->name) != 0 &&
		    !g_strv_contains((const char *const *)also, name))
			n++;
	}
	return n;
}

static void test_bad(gconstpointer data)
{
	const struct bad *bad = data;
	int status;
	g_autofree char *arguments =
		g_strdup_printf("check @tests/check/weir-bad-device-%s.so --section device%s%s",
				bad->kind, SANITIZED ? " --case " : "", SANITIZED ? bad->name : "");
	g_autofree char *verdict = g_strdup_printf("device/%s of backend", bad->name);
	g_autofree char *output = run_whole(arguments, &status);
	g_test_message("%s", output);
	const char *at = strstr(output, verdict);
	g_assert_nonnull(at);
	while (at > output && at[-1] != '\n')
		at--;
	g_assert_true(g_str_has_prefix(at, "not ok "));
	g_assert_nonnull(strstr(output, bad->text));
	g_assert_cmpuint(others(output, bad), ==, 0);
	g_assert_cmpint(status, ==, 1);
}

static void test_good(gconstpointer data)
{
	int status;
	g_autofree char *output = run_whole(data, &status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, " ok, 0 not ok, "));
	g_assert_nonnull(strstr(output, "device/interface"));
	g_assert_nonnull(strstr(output, "results compared"));
	g_assert_cmpint(status, ==, 0);
}

/* Where there is no driver, the one case that tells so is skipped. */
static void test_vulkan(void)
{
	int status;
	g_autofree char *output = run_whole(
		"check @backends/vulkan/weir-vulkan.so --section device --option without=ahead "
		"--case interface,blocks,lengths,outputs,norm,glu,refusals,batches",
		&status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, "device/interface"));
	g_assert_nonnull(strstr(output, ", 0 not ok, "));
	g_assert_cmpint(status, ==, 0);
	if (strstr(output, ", 1 skipped"))
		g_test_skip("no Vulkan device");
}

static void test_seeds(void)
{
	int status;
	g_autofree char *output = run_whole(
		"check @backends/cpu/weir-cpu.so --section device --case linear --seed 77",
		&status);
	g_test_message("%s", output);
	g_assert_cmpint(status, ==, 0);
	g_free(g_steal_pointer(&output));
	output = run_whole("check @backends/cpu/weir-cpu.so --seed yes", &status);
	g_assert_nonnull(strstr(output, "--seed yes: a whole number"));
	g_assert_cmpint(status, ==, 2);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/check/device/good",
			     "check @tests/check/weir-good-device.so --section device", test_good);
	g_test_add_data_func("/check/device/cpu",
			     "check @backends/cpu/weir-cpu.so --section device", test_good);
	g_autofree char *vulkan = built("backends/vulkan/weir-vulkan.so");
	if (g_file_test(vulkan, G_FILE_TEST_EXISTS))
		g_test_add_func("/check/device/vulkan", test_vulkan);
	g_test_add_func("/check/device/seeds", test_seeds);
	for (size_t i = 0; i < G_N_ELEMENTS(bad_ones); i++) {
		g_autofree char *name = g_strdup_printf("/check/device/bad/%s", bad_ones[i].kind);
		g_test_add_data_func(name, &bad_ones[i], test_bad);
	}
	return g_test_run();
}
