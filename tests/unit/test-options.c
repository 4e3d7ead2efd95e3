/*
 * tests/unit/test-options.c - values of every option type, ranges, hostile values, declarations;
 * the nearest name.
 */
#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "nearest.h"
#include "options.h"

static struct weir_option make(uint32_t type, double min, double max)
{
	return (struct weir_option){
		.size = sizeof(struct weir_option),
		.type = type,
		.key = "key",
		.help = "Help.",
		.choices = type == WEIR_OPTION_CHOICE ? "red|green" : NULL,
		.min = min,
		.max = max,
	};
}

static void test_values(void)
{
	static const struct {
		uint32_t type;
		const char *text, *want; /* want NULL: refused */
		double min, max;
	} cases[] = {
		{ WEIR_OPTION_INT, "0", "0" },
		{ WEIR_OPTION_INT, "-3", "-3" },
		{ WEIR_OPTION_INT, "128k", "128000" },
		{ WEIR_OPTION_INT, "1.5k", "1500" },
		{ WEIR_OPTION_INT, "2m", "2000000" },
		{ WEIR_OPTION_INT, "1g", "1000000000" },
		{ WEIR_OPTION_INT, "9223372036854775807", "9223372036854775807" },
		{ WEIR_OPTION_INT, "9223372036854775808", NULL },
		{ WEIR_OPTION_INT, "9223372036854775807k", NULL },
		{ WEIR_OPTION_INT, "1.5", NULL },
		{ WEIR_OPTION_INT, "", NULL },
		{ WEIR_OPTION_INT, "k", NULL },
		{ WEIR_OPTION_INT, "-", NULL },
		{ WEIR_OPTION_INT, "0x10", NULL },
		{ WEIR_OPTION_INT, " 5", NULL },
		{ WEIR_OPTION_INT, "5 x", NULL },
		{ WEIR_OPTION_INT, "1e3", NULL },
		{ WEIR_OPTION_INT, "nan", NULL },
		{ WEIR_OPTION_INT, "5", "5", 1, 5 },
		{ WEIR_OPTION_INT, "6", NULL, 1, 5 },
		{ WEIR_OPTION_INT, "0", NULL, 1, 5 },
		{ WEIR_OPTION_FLOAT, "0.9", "0.9" },
		{ WEIR_OPTION_FLOAT, "-1e-3", "-0.001" },
		{ WEIR_OPTION_FLOAT, "nan", NULL },
		{ WEIR_OPTION_FLOAT, "inf", NULL },
		{ WEIR_OPTION_FLOAT, "1e999", NULL },
		{ WEIR_OPTION_FLOAT, "0x1p3", NULL },
		{ WEIR_OPTION_FLOAT, "1,5", NULL },
		{ WEIR_OPTION_FLOAT, "2.1", NULL, 0, 2 },
		{ WEIR_OPTION_BOOL, "Yes", "true" },
		{ WEIR_OPTION_BOOL, "off", "false" },
		{ WEIR_OPTION_BOOL, "1", "true" },
		{ WEIR_OPTION_BOOL, "maybe", NULL },
		{ WEIR_OPTION_DURATION, "250ms", "250" },
		{ WEIR_OPTION_DURATION, "1.5s", "1500" },
		{ WEIR_OPTION_DURATION, "5m", "300000" },
		{ WEIR_OPTION_DURATION, "1h", "3600000" },
		{ WEIR_OPTION_DURATION, "2 d", "172800000" },
		{ WEIR_OPTION_DURATION, "0", "0" },
		{ WEIR_OPTION_DURATION, "30", NULL },
		{ WEIR_OPTION_DURATION, "-1s", NULL },
		{ WEIR_OPTION_DURATION, "0.5ms", NULL },
		{ WEIR_OPTION_DURATION, "99999999999999999h", NULL },
		{ WEIR_OPTION_DURATION, "2h", NULL, 0, 3600000 },
		{ WEIR_OPTION_SIZE, "64KiB", "65536" },
		{ WEIR_OPTION_SIZE, "10MiB", "10485760" },
		{ WEIR_OPTION_SIZE, "2GiB", "2147483648" },
		{ WEIR_OPTION_SIZE, "500MB", "500000000" },
		{ WEIR_OPTION_SIZE, "0.5KiB", "512" },
		{ WEIR_OPTION_SIZE, "123", "123" },
		{ WEIR_OPTION_SIZE, "8388608TiB", NULL },
		{ WEIR_OPTION_SIZE, "-1", NULL },
		{ WEIR_OPTION_SIZE, "10Mb", NULL },
		{ WEIR_OPTION_LIST, " a, b ,,c ", "a,b,c" },
		{ WEIR_OPTION_LIST, ",", "" },
		{ WEIR_OPTION_CHOICE, "red", "red" },
		{ WEIR_OPTION_CHOICE, "Red", NULL },
		{ WEIR_OPTION_CHOICE, "red|green", NULL },
		{ WEIR_OPTION_CHOICE, "", NULL },
		{ WEIR_OPTION_STRING, " as it is ", " as it is " },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct weir_option option = make(cases[i].type, cases[i].min, cases[i].max);
		struct weir_error err = { 0 };
		g_autofree char *value = NULL;
		g_test_message("%s \"%s\"", weir_option_type_name(cases[i].type), cases[i].text);
		weir_status status = weir_option_parse(&option, cases[i].text, NULL, &value, &err);
		g_assert_cmpstr(value, ==, cases[i].want);
		g_assert_cmpint(status, ==, cases[i].want ? WEIR_OK : WEIR_E_INVALID);
		if (!cases[i].want) {
			g_assert_cmpstr(err.param, ==, "key");
			g_assert_cmpuint(strlen(err.text), >, 10);
		}
	}
}

static void test_secret(void)
{
	struct weir_option option = make(WEIR_OPTION_INT, 0, 0);
	option.flags = WEIR_OPTION_SECRET;
	struct weir_error err;
	char *value = NULL;
	g_assert_cmpint(weir_option_parse(&option, "sk-hidden", NULL, &value, &err), ==,
			WEIR_E_INVALID);
	g_assert_null(strstr(err.text, "hidden"));
}

static void test_path(void)
{
	g_autofree char *folder = g_dir_make_tmp("weir-options-XXXXXX", NULL);
	g_autofree char *there = g_build_filename(folder, "there", NULL);
	g_assert_true(g_file_set_contents(there, "", 0, NULL));
	g_autofree char *absent = g_build_filename(folder, "absent", NULL);
	const struct {
		const char *text, *want;
	} cases[] = {
		{ "there", there }, { "absent", absent }, /* neither: the profile's folder is named
							   */
		{ ".", folder },    { "/etc", "/etc" },   { "", "" },
	};
	struct weir_option option = make(WEIR_OPTION_PATH, 0, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *value = NULL;
		g_assert_cmpint(weir_option_parse(&option, cases[i].text, folder, &value, NULL), ==,
				WEIR_OK);
		g_autofree char *a = g_canonicalize_filename(value, NULL);
		g_autofree char *b = g_canonicalize_filename(cases[i].want, NULL);
		g_assert_cmpstr(a, ==, b);
	}
	g_unlink(there);
	g_rmdir(folder);
}

static void test_range(void)
{
	const struct {
		struct weir_option option;
		const char *want;
	} cases[] = {
		{ make(WEIR_OPTION_INT, 1, 64), "1 .. 64" },
		{ make(WEIR_OPTION_INT, 0, 0), "" },
		{ make(WEIR_OPTION_DURATION, 250, 3600000), "250ms .. 1h" },
		{ make(WEIR_OPTION_SIZE, 1024, 10485760), "1KiB .. 10MiB" },
		{ make(WEIR_OPTION_CHOICE, 0, 0), "red|green" },
		{ make(WEIR_OPTION_STRING, 1, 2), "" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *range = weir_option_range(&cases[i].option);
		g_assert_cmpstr(range, ==, cases[i].want);
	}
}

static void test_declarations(void)
{
	struct weir_option good = make(WEIR_OPTION_INT, 1, 5);
	good.fallback = "3";
	g_assert_cmpint(weir_option_check(&good, NULL), ==, WEIR_OK);
	struct weir_option bad[9];
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		bad[i] = good;
	bad[0].size = 8;
	bad[1].key = NULL;
	bad[2].key = "Has Space";
	bad[3].type = 99;
	bad[4].help = "";
	bad[5].type = WEIR_OPTION_CHOICE;
	bad[6].min = 9;
	bad[7].fallback = "17";
	bad[8].key = "9lives";
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct weir_error err = { 0 };
		g_test_message("declaration %zu", i);
		g_assert_cmpint(weir_option_check(&bad[i], &err), ==, WEIR_E_INVALID);
		g_assert_cmpuint(strlen(err.text), >, 10);
	}
}

static void test_nearest(void)
{
	static const char *const names[] = { "drain_timeout", "model", "serves", "context", "a" };
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "drain_timout", "drain_timeout" },
		{ "dran_tiemout", "drain_timeout" },
		{ "modle", "model" },
		{ "MODEL", "model" },
		{ "ctx", NULL },
		{ "serve", "serves" },
		{ "b", NULL },
		{ "", NULL },
		{ "zebra", NULL },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		g_assert_cmpstr(weir_nearest(cases[i].word, names, G_N_ELEMENTS(names)), ==,
				cases[i].want);
	g_autofree char *huge = g_strnfill(100000, 'm');
	g_assert_null(weir_nearest(huge, names, G_N_ELEMENTS(names)));
	const char *const longs[] = { huge };
	g_assert_null(weir_nearest("model", longs, 1));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/options/values", test_values);
	g_test_add_func("/options/secret", test_secret);
	g_test_add_func("/options/path", test_path);
	g_test_add_func("/options/range", test_range);
	g_test_add_func("/options/declarations", test_declarations);
	g_test_add_func("/options/nearest", test_nearest);
	return g_test_run();
}
