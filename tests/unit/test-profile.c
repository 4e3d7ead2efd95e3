/*
 * tests/unit/test-profile.c - from a profile to components with normalised options: overrides, the
 * environment, secrets, and every mistake told at once. 000-21, 003-02.
 */
#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "log.h"
#include "metrics.h"
#include "profile.h"

struct fixture {
	struct weir_core core;
	struct weir_registry *registry;
	struct weir_problems *problems;
	struct weir_ini *ini;
	char *folder, *path;
};

static void set_up(struct fixture *f, const void *data)
{
	static const char *const folders[] = { "tests/check", "sdk/examples" };
	f->core.log = weir_logger_new("off", 2, false);
	f->core.metrics = weir_metric_set_new();
	f->registry = weir_registry_new();
	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *folder =
			g_build_filename(g_getenv("WEIR_BUILD_ROOT"), folders[i], NULL);
		weir_registry_scan(f->registry, folder, true);
	}
	f->problems = weir_problems_new();
	f->folder = g_dir_make_tmp("weir-profile-XXXXXX", NULL);
	f->path = g_build_filename(f->folder, "t.ini", NULL);
}

static void forget(struct fixture *f)
{
	weir_problems_free(f->problems);
	f->problems = weir_problems_new();
	g_clear_pointer(&f->ini, weir_ini_free);
}

static void tear_down(struct fixture *f, const void *data)
{
	forget(f);
	weir_problems_free(f->problems);
	weir_registry_free(f->registry);
	weir_metric_set_free(f->core.metrics);
	weir_logger_free(f->core.log);
	g_unlink(f->path);
	g_rmdir(f->folder);
	g_free(f->folder);
	g_free(f->path);
}

static struct weir_profile *check(struct fixture *f, const char *text, const char *const *sets)
{
	forget(f);
	g_assert_true(g_file_set_contents(f->path, text, -1, NULL));
	f->ini = weir_profile_read(f->path, sets, f->problems);
	return weir_profile_check(f->ini, f->path, f->registry, &f->core, f->problems);
}

static const char *value_of(const GPtrArray *parts, const char *key)
{
	const struct weir_profile_part *part = g_ptr_array_index(parts, 0);
	for (unsigned i = 0; i < part->conf->len; i++) {
		const struct weir_kv *pair = &g_array_index(part->conf, struct weir_kv, i);
		if (!strcmp(pair->key, key))
			return pair->value;
	}
	return NULL;
}

static void assert_problem(const struct fixture *f, const char *want)
{
	g_autofree char *text = weir_problems_text(f->problems);
	if (!strstr(text, want))
		g_error("\"%s\" is not in:\n%s", want, text);
}

static void test_whole(struct fixture *f, const void *data)
{
	struct weir_profile *p =
		check(f,
		      "[server]\ndrain_timeout = 5m\nmax_queue = 2\nsingle_model = yes\n"
		      "log_format = json\nplugin_path = one, /two\n"
		      "[frontend.front]\n[chain]\norder = loud, upcase\n"
		      "[middleware.loud]\nplugin = upcase\nreasoning = on\n"
		      "[backend.main]\nplugin = good\ncount = 7\nserves = a, b/*\n"
		      "[backend.null]\n",
		      NULL);
	g_autofree char *text = weir_problems_text(f->problems);
	g_assert_cmpstr(text, ==, "");
	g_assert_nonnull(p);
	g_assert_cmpint(p->settings.drain_timeout_ms, ==, 300000);
	g_assert_cmpint(p->settings.max_queue, ==, 2);
	g_assert_true(p->settings.single_model);
	g_assert_true(p->settings.log_json);
	g_assert_cmpint(p->settings.park_after_ms, ==, 2000);
	g_autofree char *beside = g_build_filename(f->folder, "one", NULL);
	g_assert_cmpstr(p->settings.plugin_path[0], ==, beside);
	g_assert_cmpstr(p->settings.plugin_path[1], ==, "/two");
	g_assert_cmpuint(p->middleware->len, ==, 2);
	const struct weir_profile_part *loud = g_ptr_array_index(p->middleware, 0);
	g_assert_cmpstr(loud->section, ==, "middleware.loud");
	g_assert_cmpstr(loud->component->id, ==, "upcase");
	g_assert_cmpstr(value_of(p->middleware, "reasoning"), ==, "true");
	g_assert_cmpstr(value_of(p->backends, "count"), ==, "7");
	const struct weir_profile_part *main = g_ptr_array_index(p->backends, 0);
	g_assert_cmpstr(main->serves[0], ==, "a");
	g_assert_cmpstr(main->serves[1], ==, "b/*");
	const struct weir_profile_part *null = g_ptr_array_index(p->backends, 1);
	g_assert_cmpstr(null->serves[0], ==, "null"); /* its own name, when nothing is said */
	weir_profile_free(p);
}

static void test_weights(struct fixture *f, const void *data)
{
	static const char text[] = "[frontend.front]\n[backend.main]\nplugin = good\ncount = 4\n";
	static const char *const sets[] = { "backend.main.count=5", "new.section=x", NULL };
	struct weir_profile *p = check(f, text, NULL);
	g_assert_cmpstr(value_of(p->backends, "count"), ==, "4");
	weir_profile_free(p);
	g_setenv("WEIR_BACKEND_MAIN_COUNT", "6", true);
	p = check(f, text, NULL);
	g_assert_cmpstr(value_of(p->backends, "count"), ==, "6");
	weir_profile_free(p);
	p = check(f, text, sets);
	g_assert_null(p);
	assert_problem(f, "--set: [new] unknown section");
	p = check(f, text, (const char *const[]){ sets[0], NULL });
	g_assert_cmpstr(value_of(p->backends, "count"), ==, "5");
	weir_profile_free(p);
	g_setenv("WEIR_BACKEND_MAIN_COUNT", "seven", true);
	g_assert_null(check(f, text, NULL));
	assert_problem(f, "WEIR_BACKEND_MAIN_COUNT: [backend.main] count: \"seven\" is not a whole "
			  "number");
	g_unsetenv("WEIR_BACKEND_MAIN_COUNT");
	g_setenv("WEIR_BACKEND_MIAN_COUNT", "7", true);
	p = check(f, text, NULL);
	bool noted = false;
	for (unsigned i = 0; i < p->notes->len; i++)
		noted |= strstr(g_ptr_array_index(p->notes, i), "WEIR_BACKEND_MIAN_COUNT") != NULL;
	g_assert_true(noted);
	weir_profile_free(p);
	g_unsetenv("WEIR_BACKEND_MIAN_COUNT");
}

static void test_expansion(struct fixture *f, const void *data)
{
	static const char text[] =
		"[frontend.front]\n[backend.null]\n"
		"text = <${WEIR_TEST_A}|${WEIR_TEST_B:-other}|${WEIR_TEST_E:-}>$x${\n";
	g_setenv("WEIR_TEST_A", "${WEIR_TEST_B}", true);
	g_setenv("WEIR_TEST_E", "", true);
	g_unsetenv("WEIR_TEST_B");
	struct weir_profile *p = check(f, text, NULL);
	g_assert_cmpstr(value_of(p->backends, "text"), ==, "<${WEIR_TEST_B}|other|>$x${");
	weir_profile_free(p);
	g_unsetenv("WEIR_TEST_A");
	g_assert_null(check(f, text, NULL));
	assert_problem(f,
		       "t.ini:3: [backend.null] text: the environment variable WEIR_TEST_A is not "
		       "set");
	/* Empty is as good as none: the fallback. */
	p = check(f, "[frontend.front]\nrequests = ${WEIR_TEST_E:-}\n[backend.good]\ncount =\n",
		  NULL);
	g_assert_cmpstr(value_of(p->frontends, "requests"), ==, "0");
	g_assert_cmpstr(value_of(p->backends, "count"), ==, "3");
	weir_profile_free(p);
}

static void test_choice(struct fixture *f, const void *data)
{
	struct weir_profile *p =
		check(f,
		      "[frontend.front]\n[backend.main]\nplugin = cuda, null, good\n"
		      "text = hi\ncount = 4\ngpu_layers = 3\n",
		      NULL);
	g_assert_nonnull(p); /* gpu_layers may be cuda's, which is not installed here */
	const struct weir_profile_part *main = g_ptr_array_index(p->backends, 0);
	g_assert_cmpstr(main->component->id, ==, "null");
	g_assert_cmpuint(main->conf->len, ==, 1); /* count is good's: not handed to null */
	g_assert_nonnull(strstr(g_ptr_array_index(p->notes, 0), "[backend.main] not cuda: no "
								"backend of that name"));
	weir_profile_free(p);
	g_assert_null(check(f, "[frontend.front]\n[backend.main]\nplugin = bad-abi, cuda\n", NULL));
	assert_problem(f, "weir-bad-abi.so was refused: built for ABI 7.0");
	assert_problem(f, "cuda: no backend of that name");
}

static void test_mistakes(struct fixture *f, const void *data)
{
	static const char *const wants[] = {
		"t.ini:2: [server] drain_timout: unknown key; did you mean drain_timeout?",
		"t.ini:3: [server] max_queue: \"-1\" is not in the range 0 .. 1000000",
		"t.ini:4: [server] log_level: \"loud\" is not debug",
		"t.ini:6: [frontend.front] requests: \"many\" is not a whole number",
		"t.ini:8: [chain] order: upcase stands in it twice",
		"t.ini:8: [middleware.nosuch] plugin: nosuch: no middleware of that name",
		"t.ini:9: [chain] ordr: unknown key; did you mean order?",
		"t.ini:10: [middleware.idle] is not in [chain] order",
		"t.ini:12: [backend.a] cuont: unknown key; did you mean count?",
		"t.ini:13: [backend.a.b] unknown section; did you mean [backend.NAME]?",
		"t.ini:14: [zebra] unknown section; known are [server]",
	};
	g_assert_null(check(f,
			    "[server]\ndrain_timout = 1s\nmax_queue = -1\nlog_level = loud\n"
			    "[frontend.front]\nrequests = many\n"
			    "[chain]\norder = upcase, upcase, nosuch\nordr = x\n"
			    "[middleware.idle]\n[backend.a]\ncuont = 1\n[backend.a.b]\n[zebra]\n",
			    (const char *const[]){ "backend.a.plugin=good", NULL }));
	for (size_t i = 0; i < G_N_ELEMENTS(wants); i++)
		assert_problem(f, wants[i]);
	g_assert_cmpuint(weir_problems_count(f->problems), ==, G_N_ELEMENTS(wants));
	g_assert_null(check(f, "[backend.null]\n", NULL));
	assert_problem(f, "nothing would listen: add a [frontend.http] section");
	g_assert_null(check(f, "[frontend.front]\n[backend.main]\nplugin = null\n",
			    (const char *const[]){ "backend.mian.count=1", NULL }));
	assert_problem(f, "did you mean the section [backend.main]?");
}

/* A deployment that asks for keys never comes up open (003-02). */
static void test_auth_enabled(struct fixture *f, const void *data)
{
	static const char text[] = "[frontend.front]\n[backend.null]\n";
	g_setenv("AUTH_ENABLED", "true", true);
	g_assert_null(check(f, text, NULL));
	assert_problem(f, "AUTH_ENABLED=true is set and auth is not in the chain");
	g_setenv("AUTH_ENABLED", "false", true);
	struct weir_profile *p = check(f, text, NULL);
	g_assert_nonnull(p);
	weir_profile_free(p);
	g_unsetenv("AUTH_ENABLED");
}

static void test_equal(struct fixture *f, const void *data)
{
	static const char one[] = "[frontend.front]\n[backend.good]\ncount = 4\nserves = a\n";
	static const char *const others[] = {
		"[frontend.front]\n[backend.good]\ncount = 5\nserves = a\n",
		"[frontend.front]\n[backend.good]\ncount = 4\nserves = a, b\n",
		"[frontend.front]\n[backend.good]\nplugin = null\nserves = a\n",
	};
	struct weir_profile *a = check(f, one, NULL), *b = check(f, one, NULL);
	g_assert_true(weir_profile_part_equal(g_ptr_array_index(a->backends, 0),
					      g_ptr_array_index(b->backends, 0)));
	weir_profile_free(b);
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		b = check(f, others[i], NULL);
		g_assert_false(weir_profile_part_equal(g_ptr_array_index(a->backends, 0),
						       g_ptr_array_index(b->backends, 0)));
		weir_profile_free(b);
	}
	weir_profile_free(a);
}

static void test_find(void)
{
	g_autofree char *folder = g_dir_make_tmp("weir-profile-XXXXXX", NULL);
	g_autofree char *profiles = g_build_filename(folder, "profiles", NULL);
	g_autofree char *mine = g_build_filename(profiles, "mine.ini", NULL);
	g_assert_cmpint(g_mkdir(profiles, 0755), ==, 0);
	g_assert_true(g_file_set_contents(mine, "", 0, NULL));
	g_setenv("WEIR_DATA_DIR", folder, true);
	const struct {
		const char *name, *want;
	} cases[] = {
		{ "mine", mine }, { "./x", "./x" }, { "x.ini", "x.ini" }, { "nosuch", NULL }
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = NULL;
		struct weir_error err;
		weir_status status = weir_profile_find(cases[i].name, &path, &err);
		g_assert_cmpint(status, ==, cases[i].want ? WEIR_OK : WEIR_E_NOT_FOUND);
		g_assert_cmpstr(path, ==, cases[i].want);
	}
	g_unlink(mine);
	g_rmdir(profiles);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
	g_test_add("/profile/" name, struct fixture, NULL, set_up, function, tear_down)
	ADD("whole", test_whole);
	ADD("weights", test_weights);
	ADD("expansion", test_expansion);
	ADD("choice", test_choice);
	ADD("mistakes", test_mistakes);
	ADD("auth-enabled", test_auth_enabled);
	ADD("equal", test_equal);
	g_test_add_func("/profile/find", test_find);
	return g_test_run();
}
