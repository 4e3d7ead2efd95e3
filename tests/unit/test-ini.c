/*
 * tests/unit/test-ini.c - the strict reader of profiles: what it reads, what it refuses and where.
 */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "ini.h"

static void test_reads(void)
{
	static const char text[] = "\xef\xbb\xbf# head\r\n"
				   "[server]\r\n"
				   "\tdrain_timeout =  30s \n"
				   "; other comment\n"
				   "empty =\n"
				   "url = http://x/#frag;p=1\n"
				   "quoted = \" a \\\"b\\\" # \\\\ \\n\\t\"\n"
				   "[ backend.main ]\n"
				   "model=a=b\n"
				   "last = no newline";
	struct weir_problems *problems = weir_problems_new();
	struct weir_ini *ini = weir_ini_parse(text, strlen(text), "t.ini", problems);
	g_assert_cmpuint(weir_problems_count(problems), ==, 0);
	static const struct {
		const char *section, *key, *value;
		int line;
	} cases[] = {
		{ "server", "drain_timeout", "30s", 3 },
		{ "server", "empty", "", 5 },
		{ "server", "url", "http://x/#frag;p=1", 6 },
		{ "server", "quoted", " a \"b\" # \\ \n\t", 7 },
		{ "backend.main", "model", "a=b", 9 },
		{ "backend.main", "last", "no newline", 10 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct weir_ini_key *key =
			weir_ini_key(weir_ini_section(ini, cases[i].section), cases[i].key);
		g_assert_nonnull(key);
		g_assert_cmpstr(key->value, ==, cases[i].value);
		g_assert_cmpint(key->line, ==, cases[i].line);
	}
	g_assert_cmpuint(ini->sections->len, ==, 2);
	weir_ini_set(ini, "server", "empty", "now", (struct weir_origin){ "--set", 0 });
	weir_ini_set(ini, "new", "key", "v", (struct weir_origin){ "--set", 0 });
	g_assert_cmpstr(weir_ini_key(weir_ini_section(ini, "server"), "empty")->value, ==, "now");
	g_assert_cmpstr(weir_ini_key(weir_ini_section(ini, "new"), "key")->value, ==, "v");
	weir_ini_free(ini);
	weir_problems_free(problems);
}

#define TEXT(s) s, sizeof(s) - 1

static void test_refuses(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *want;
	} cases[] = {
		{ TEXT("a = 1\n"), "t.ini:1: a: a key needs a [section]" },
		{ TEXT("[s]\nnonsense\n"), "t.ini:2: [s] neither" },
		{ TEXT("[s\na=1\n"), "t.ini:1: a section's name ends with ]" },
		{ TEXT("[s] x\n"), "t.ini:1: a section's name ends with ]" },
		{ TEXT("[]\n"), "t.ini:1: a section's name is made of" },
		{ TEXT("[a b]\n"), "t.ini:1: a section's name is made of" },
		{ TEXT("[s]\n[t]\n[s]\n"), "t.ini:3: [s] this section is already in line 1" },
		{ TEXT("[s]\na=1\na=2\n"), "t.ini:3: [s] a: already set in line 2" },
		{ TEXT("[s]\n= 1\n"), "t.ini:2: [s] a key is made of" },
		{ TEXT("[s]\na b = 1\n"), "t.ini:2: [s] a key is made of" },
		{ TEXT("[s]\na = 1 # why\n"), "t.ini:2: [s] a: a comment stands" },
		{ TEXT("[s]\na = \"x\n"), "t.ini:2: [s] a: the quote is not closed" },
		{ TEXT("[s]\na = \"x\\\n"), "t.ini:2: [s] a: after \\" },
		{ TEXT("[s]\na = \"x\" y\n"), "t.ini:2: [s] a: nothing may follow" },
		{ TEXT("[s]\na = \"\\x\"\n"), "t.ini:2: [s] a: after \\" },
		{ TEXT("[s]\na = \0\n"), "t.ini:2: a NUL byte" },
		{ TEXT("[s]\na = \xff\n"), "t.ini:2: bytes that are not UTF-8" },
		{ TEXT("[s]\na = \033[0m\n"), "t.ini:2: a control character" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_problems *problems = weir_problems_new();
		struct weir_ini *ini =
			weir_ini_parse(cases[i].text, cases[i].len, "t.ini", problems);
		g_test_message("%s", cases[i].want);
		g_assert_cmpuint(weir_problems_count(problems), ==, 1);
		g_assert_true(g_str_has_prefix(weir_problems_line(problems, 0), cases[i].want));
		weir_ini_free(ini);
		weir_problems_free(problems);
	}
}

static void test_all_at_once(void)
{
	g_autoptr(GString) text = g_string_new("[s]\n");
	for (int i = 0; i < 200; i++)
		g_string_append(text, "bad line\n");
	struct weir_problems *problems = weir_problems_new();
	weir_ini_free(weir_ini_parse(text->str, text->len, "t.ini", problems));
	g_assert_cmpuint(weir_problems_count(problems), ==, 200);
	g_autofree char *all = weir_problems_text(problems);
	g_assert_nonnull(strstr(all, "t.ini:2: "));
	g_assert_nonnull(strstr(all, "t.ini:3: "));
	g_assert_nonnull(strstr(all, "and 150 more\n"));
	weir_problems_free(problems);
}

static void test_files(void)
{
	g_autofree char *folder = g_dir_make_tmp("weir-ini-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "big.ini", NULL);
	g_autofree char *big = g_strnfill((2 << 20), '#');
	g_assert_true(g_file_set_contents(path, big, -1, NULL));
	const char *const wrong[] = { path, folder, "/nonexistent/x.ini", "/dev/zero" };
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct weir_problems *problems = weir_problems_new();
		weir_ini_free(weir_ini_read(wrong[i], problems));
		g_assert_cmpuint(weir_problems_count(problems), ==, 1);
		weir_problems_free(problems);
	}
	struct weir_problems *problems = weir_problems_new();
	g_assert_true(g_file_set_contents(path, "[s]\nk = v\n", -1, NULL));
	struct weir_ini *ini = weir_ini_read(path, problems);
	g_assert_cmpuint(weir_problems_count(problems), ==, 0);
	g_assert_cmpstr(weir_ini_key(weir_ini_section(ini, "s"), "k")->file, ==, path);
	weir_ini_free(ini);
	weir_problems_free(problems);
	g_unlink(path);
	g_rmdir(folder);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/ini/reads", test_reads);
	g_test_add_func("/ini/refuses", test_refuses);
	g_test_add_func("/ini/all-at-once", test_all_at_once);
	g_test_add_func("/ini/files", test_files);
	return g_test_run();
}
