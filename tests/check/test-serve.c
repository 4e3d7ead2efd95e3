/*
 * tests/check/test-serve.c - `weir serve` as a process: exit codes, order of start and stop,
 * signals, reload; and the other commands' texts. 000-20, 001-24.
 *
 * The frontend is tests/check/front.c: no network is needed.
 */
#include <signal.h>
#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "spawn.h"

#define FOLDERS " --plugin-path @tests/check --plugin-path @sdk/examples "

struct fixture {
	char *folder, *profile;
};

static void set_up(struct fixture *f, const void *data)
{
	f->folder = g_dir_make_tmp("weir-serve-XXXXXX", NULL);
	f->profile = g_build_filename(f->folder, "test.ini", NULL);
}

static void tear_down(struct fixture *f, const void *data)
{
	g_unlink(f->profile);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->profile);
}

static void write_profile(const struct fixture *f, const char *text)
{
	g_assert_true(g_file_set_contents(f->profile, text, -1, NULL));
}

static char *serve(const struct fixture *f, const char *more)
{
	return g_strconcat("serve ", f->profile, FOLDERS, more, NULL);
}

static const char whole[] = "[frontend.front]\nrequests = 3\n"
			    "[chain]\norder = upcase\n"
			    "[backend.null]\ntext = \"hello! \"\nserves = default\n";

static void assert_order(const char *text, const char *const *parts)
{
	const char *at = text;
	for (; *parts; parts++) {
		at = strstr(at, *parts);
		if (!at)
			g_error("\"%s\" is missing, or not in its place, in:\n%s", *parts, text);
	}
}

static void test_whole_life(struct fixture *f, const void *data)
{
	static const char *const order[] = { "all ended: status 0, text "
					     "\"HELLO! HELLO! HELLO! \"",
					     "front: draining", "front: stopped", "server: stopped",
					     NULL };
	int status;
	write_profile(f, whole);
	g_autofree char *arguments = serve(f, "--set frontend.front.quit_after=true");
	g_autofree char *output = run_whole(arguments, &status);
	g_test_message("%s", output);
	assert_order(output, order);
	g_assert_nonnull(strstr(output, "ready after")); /* the answer may be earlier */
	g_assert_null(strstr(output, "MISBEHAVING"));
	g_assert_cmpint(status, ==, 0);
}

static void test_signals(struct fixture *f, const void *data)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	write_profile(f, whole);
	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		struct run run;
		g_autofree char *arguments = serve(f, "");
		run_start(&run, arguments);
		run_expect(&run, "all ended");
		kill(run.pid, numbers[i]);
		run_wait(&run);
		g_assert_cmpint(run.status, ==, 0);
		g_autofree char *output = run_output(&run);
		g_assert_nonnull(strstr(output, "server: stopped"));
		run_clear(&run);
	}
}

/* A producer that never ends: the first signal waits for it, the second does not; the third leaves
 * the process even while stop() hangs. */
static void test_impatience(struct fixture *f, const void *data)
{
	struct run run;
	write_profile(f, "[server]\ndrain_timeout = 1h\ncancel_grace = 100ms\n"
			 "[frontend.front]\nrequests = 1\n"
			 "[backend.main]\nplugin = bad-no-end\nserves = default\n");
	g_autofree char *arguments = serve(f, "");
	run_start(&run, arguments);
	run_expect(&run, "ready after");
	run_expect(&run, "front: text comes");
	kill(run.pid, SIGTERM);
	run_expect(&run, "a second signal stops at once");
	kill(run.pid, SIGTERM);
	run_expect(&run, "asked again: cancelling 1 requests");
	run_expect(&run, "did not end a cancelled stream in time");
	kill(run.pid, SIGTERM);
	run_wait(&run);
	g_assert_cmpint(run.status, ==, 128 + SIGTERM);
	run_clear(&run);
}

static void test_drain_timeout(struct fixture *f, const void *data)
{
	struct run run;
	write_profile(f, "[server]\ndrain_timeout = 200ms\ncancel_grace = 100ms\n"
			 "[frontend.front]\nrequests = 1\n"
			 "[backend.main]\nplugin = bad-no-end\nserves = default\n");
	g_autofree char *arguments = serve(f, "");
	run_start(&run, arguments);
	run_expect(&run, "ready after");
	run_expect(&run, "front: text comes");
	kill(run.pid, SIGTERM);
	run_expect(&run, "drain_timeout is over: cancelling 1 requests");
	run_clear(&run);
}

static void test_failed_start(struct fixture *f, const void *data)
{
	int status;
	write_profile(f, whole);
	g_autofree char *arguments = serve(f, "--set frontend.front.fail_start=true");
	g_autofree char *output = run_whole(arguments, &status);
	g_assert_nonnull(strstr(output, "[frontend.front] the port is in use"));
	g_assert_cmpint(status, ==, 1);
	write_profile(f, "[frontend.front]\n[backend.x]\nplugin = bad-null-instance\n");
	g_autofree char *again = serve(f, "");
	g_autofree char *other = run_whole(again, &status);
	g_assert_nonnull(strstr(other, "create() returned OK and no instance"));
	g_assert_cmpint(status, ==, 1);
}

static void test_reload(struct fixture *f, const void *data)
{
	struct run run;
	write_profile(f, whole);
	g_autofree char *arguments = serve(f, "");
	run_start(&run, arguments);
	run_expect(&run, "all ended");

	write_profile(f, "[server]\nlog_levl = debug\nx\n[frontend.front]\n");
	kill(run.pid, SIGHUP);
	run_expect(&run, "test.ini:2: [server] log_levl: unknown key; did you mean log_level?");
	run_expect(&run, "test.ini:3: [server] neither");
	run_expect(&run, "2 problems: the profile is refused, the old one goes on");

	write_profile(f, "[frontend.front]\nrequests = 3\n[frontend.second]\nplugin = front\n"
			 "requests = 1\n[chain]\norder = upcase\n[backend.null]\n"
			 "text = \"hello! \"\nserves = default\n");
	kill(run.pid, SIGHUP);
	run_expect(&run, "frontend.second is new");
	run_expect(&run, "front[frontend.second]: all ended: status 0, text \"HELLO! \"");
	run_expect(&run, "was read again");

	/* A new chain counts for new requests: none, and a frontend that asks again. */
	write_profile(f, "[frontend.front]\nrequests = 3\n[frontend.third]\nplugin = front\n"
			 "requests = 1\n[frontend.second]\nplugin = front\nrequests = 1\n"
			 "[backend.null]\ntext = \"hello! \"\nserves = default\n");
	kill(run.pid, SIGHUP);
	run_expect(&run, "the chain is new: 0 middleware");
	run_expect(&run, "front[frontend.third]: all ended: status 0, text \"hello! \"");

	/* One that cannot start gives way to its old self; one that is gone stops. */
	write_profile(f, "[server]\ndrain_timeout = 100ms\n[frontend.front]\nrequests = 2\n"
			 "fail_start = true\n[chain]\norder = upcase\n[backend.null]\n"
			 "text = other\nserves = default\n");
	kill(run.pid, SIGHUP);
	run_expect(&run, "backend.null ends and is loaded again with its new options");
	run_expect(&run, "going back to the old settings");
	run_expect(&run, "frontend.second is gone");
	run_expect(&run, "front[frontend.second]: stopped");
	kill(run.pid, SIGTERM);
	run_wait(&run);
	g_assert_cmpint(run.status, ==, 0);
	run_clear(&run);
}

static void test_bad_profile(struct fixture *f, const void *data)
{
	int status;
	write_profile(f, "[frontend.frnt]\n[backend.a]\nplugin = nul\n[middlware.x]\n");
	g_autofree char *arguments = serve(f, "--set nonsense --set backend.a.y=1");
	g_autofree char *output = run_whole(arguments, &status);
	g_test_message("%s", output);
	g_assert_nonnull(strstr(output, "test.ini:1: [frontend.frnt] plugin: frnt: no frontend of "
					"that name is loaded; did you mean front?"));
	g_assert_nonnull(strstr(output, "test.ini:3: [backend.a] plugin: nul: no backend of that "
					"name is loaded; did you mean null?"));
	g_assert_nonnull(strstr(output, "test.ini:4: [middlware.x] unknown section; did you mean "
					"[middleware.NAME]?"));
	g_assert_nonnull(strstr(output, "--set: \"nonsense\" is not section.key=value"));
	g_assert_nonnull(strstr(output, "4 problems; nothing was started"));
	g_assert_cmpint(status, ==, 3);
}

static void test_texts(void)
{
	static const struct {
		const char *arguments, *text;
		int status;
	} cases[] = {
		{ "", "To begin: weir serve", 0 },
		{ "help", "To begin: weir serve", 0 },
		{ "--help", "To begin: weir serve", 0 },
		{ "help exit", "128 + N", 0 },
		{ "help serve", "when port 8000 is in use", 0 },
		{ "serve --help", "when port 8000 is in use", 0 },
		{ "help srve", "did you mean serve?", 2 },
		{ "srve", "did you mean serve?", 2 },
		{ "--version", "plugin ABI 0.", 0 },
		{ "serve --sett=1", "--sett is unknown; did you mean --set?", 2 },
		{ "serve --set", "--set needs a value", 2 },
		{ "serve --check=1", "--check takes no value", 2 },
		{ "serve a b", "one argument too many", 2 },
		{ "inspect a b", "one argument too many", 2 },
		{ "help chta", "did you mean chat?", 2 },
		{ "serve a.gguf c.gguf", "one argument too many: a.gguf is the model", 2 },
		{ "serve echo default", "one argument too many: echo is the profile", 2 },
		{ "serve -m llama.gguf", "otherwise here: weir serve FILE.gguf", 2 },
		{ "serve --port=8001", "--set frontend.http.listen=127.0.0.1:8000", 2 },
		{ "serve --prt=8001", "--prt is unknown.", 2 },
		{ "serve /nonexistent/a.gguf --check", "default.ini can be used", 0 },
		{ "serve echo /nonexistent/a.gguf --check", "[backend.main]", 3 },
		{ "help model info", "Prints what a GGUF file holds", 0 },
		{ "help serve model", "one argument too many", 2 },
		{ "serve echo --set frontend.http.listen=127.0.0.1:99999",
		  "a port is a number from 1 to 65535", 1 },
		{ "serve echo --set frontend.http.listen=8000", "a port is missing", 1 },
		{ "serve echo --set frontend.http.listen=unix:/x", "write host:port", 1 },
		{ "serve nosuchprofile", "no profile is called nosuchprofile", 3 },
		{ "serve /nonexistent/x.ini", "No such file or directory", 3 },
		{ "serve echo --check --set frontend.http.plugin=front --set frontend.http.listen="
		  " --plugin-path @tests/check",
		  "listen: unknown key", 3 },
		{ "inspect", "echo", 0 },
		{ "inspect server", "drain_timeout = 30s", 0 },
		{ "inspect null --plugin-path @sdk/examples", "text = (unset)", 0 },
		{ "inspect nul --plugin-path @sdk/examples", "did you mean null?", 1 },
		{ "inspect --plugin-path @tests/check", "this is no Weir plugin", 0 },
		{ "inspect --json --plugin-path @tests/check", "\"refused\" : [", 0 },
		{ "inspect --plugin-path /nonexistent/folder", "/nonexistent/folder", 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		int status;
		g_autofree char *output = run_whole(cases[i].arguments, &status);
		g_test_message("weir %s\n%s", cases[i].arguments, output);
		g_assert_nonnull(strstr(output, cases[i].text));
		g_assert_cmpint(status, ==, cases[i].status);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_unsetenv("WEIR_LOG");
	g_unsetenv("WEIR_PLUGIN_PATH");
	/* inspect asks every component: what a Vulkan driver leaks when it is unloaded is not ours.
	 */
	g_setenv("VK_ICD_FILENAMES", "/nonexistent", TRUE);
	g_setenv("VK_DRIVER_FILES", "/nonexistent", TRUE);
#define ADD(name, function)                                                                        \
	g_test_add("/serve/" name, struct fixture, NULL, set_up, function, tear_down)
	ADD("whole-life", test_whole_life);
	ADD("signals", test_signals);
	ADD("impatience", test_impatience);
	ADD("drain-timeout", test_drain_timeout);
	ADD("failed-start", test_failed_start);
	ADD("reload", test_reload);
	ADD("bad-profile", test_bad_profile);
	g_test_add_func("/serve/texts", test_texts);
	return g_test_run();
}
