/*
 * tests/fuzz/fuzz-ini.c - seeded mutations of a profile: the reader and the option parser take
 * anything without a crash, and what they accept can be read again as it was.
 *
 * WEIR_FUZZ_SEED and WEIR_FUZZ_ROUNDS choose another or a longer walk.
 */
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "ini.h"
#include "options.h"

static const char seed_text[] = "# a profile\n"
				"[server]\n"
				"drain_timeout = 30s\n"
				"[frontend.http]\n"
				"plugin = http\n"
				"listen = 127.0.0.1:8000\n"
				"[backend.main]\n"
				"plugin = cuda, cpu\n"
				"model = ${MODEL_PATH:-../models/weir-demo.gguf}\n"
				"note = \"quoted \\\" \\\\ \\n text\"\n"
				"size = 1.5GiB\n";

static const char *const pieces[] = {
	"[",          "]",       "=",  "\"",   "\\",   "\n", "\r\n", "#", ";",
	"${",         "}",       ":-", "\xff", "\xc3", "-",  "9",    ".", "99999999999999999999",
	"[server]\n", "a = 1\n", "\t"
};

static void mutate(GRand *rand, GString *text)
{
	int n = g_rand_int_range(rand, 1, 8);
	for (int i = 0; i < n && text->len > 0; i++) {
		gssize at = g_rand_int_range(rand, 0, (int)text->len);
		switch (g_rand_int_range(rand, 0, 5)) {
		case 0:
			text->str[at] = (char)g_rand_int_range(rand, 0, 256);
			break;
		case 1:
			g_string_insert(text, at,
					pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]);
			break;
		case 2: {
			gssize n_cut = g_rand_int_range(rand, 1, 20);
			g_string_erase(text, at, MIN((gssize)text->len - at, n_cut));
			break;
		}
		case 3:
			g_string_truncate(text, (gsize)at);
			break;
		default: {
			g_autofree char *copy = g_memdup2(text->str + at, text->len - (gsize)at);
			g_string_append_len(text, copy, (gssize)MIN(text->len - (gsize)at, 200));
			break;
		}
		}
	}
}

/* Writes what was read in quotes; reading that must give the same. */
static void check_round_trip(const struct weir_ini *ini)
{
	g_autoptr(GString) text = g_string_new(NULL);
	for (unsigned i = 0; i < ini->sections->len; i++) {
		const struct weir_ini_section *section = g_ptr_array_index(ini->sections, i);
		g_string_append_printf(text, "[%s]\n", section->name);
		for (unsigned k = 0; k < section->keys->len; k++) {
			const struct weir_ini_key *key = g_ptr_array_index(section->keys, k);
			g_string_append_printf(text, "%s = \"", key->name);
			for (const char *p = key->value; *p; p++) {
				if (*p == '\n')
					g_string_append(text, "\\n");
				else if (*p == '"' || *p == '\\')
					g_string_append_printf(text, "\\%c", *p);
				else
					g_string_append_c(text, *p);
			}
			g_string_append(text, "\"\n");
		}
	}
	struct weir_problems *problems = weir_problems_new();
	struct weir_ini *again = weir_ini_parse(text->str, text->len, "again", problems);
	g_assert_cmpuint(weir_problems_count(problems), ==, 0);
	g_assert_cmpuint(again->sections->len, ==, ini->sections->len);
	for (unsigned i = 0; i < ini->sections->len; i++) {
		const struct weir_ini_section *a = g_ptr_array_index(ini->sections, i);
		const struct weir_ini_section *b = g_ptr_array_index(again->sections, i);
		g_assert_cmpuint(a->keys->len, ==, b->keys->len);
		for (unsigned k = 0; k < a->keys->len; k++) {
			const struct weir_ini_key *x = g_ptr_array_index(a->keys, k);
			const struct weir_ini_key *y = g_ptr_array_index(b->keys, k);
			g_assert_cmpstr(x->value, ==, y->value);
		}
	}
	weir_ini_free(again);
	weir_problems_free(problems);
}

/* A value that a number type accepts is accepted again in its normal form. */
static void check_options(const struct weir_ini *ini)
{
	for (unsigned i = 0; i < ini->sections->len; i++) {
		const struct weir_ini_section *section = g_ptr_array_index(ini->sections, i);
		for (unsigned k = 0; k < section->keys->len; k++) {
			const struct weir_ini_key *key = g_ptr_array_index(section->keys, k);
			for (uint32_t type = 0; type <= WEIR_OPTION_CHOICE; type++) {
				const struct weir_option option = { .size = sizeof(option),
								    .type = type,
								    .key = "k",
								    .choices = "a|b" };
				g_autofree char *once = NULL, *twice = NULL;
				if (weir_option_parse(&option, key->value, "/nowhere", &once,
						      NULL) != WEIR_OK ||
				    type == WEIR_OPTION_DURATION || type == WEIR_OPTION_PATH)
					continue;
				g_assert_cmpint(
					weir_option_parse(&option, once, NULL, &twice, NULL), ==,
					WEIR_OK);
				g_assert_cmpstr(once, ==, twice);
			}
		}
	}
}

static void test_mutations(void)
{
	const char *seed = g_getenv("WEIR_FUZZ_SEED"), *rounds = g_getenv("WEIR_FUZZ_ROUNDS");
	GRand *rand = g_rand_new_with_seed(seed ? (guint32)strtoul(seed, NULL, 10) : 20061);
	int n = rounds ? atoi(rounds) : 20000;
	for (int i = 0; i < n; i++) {
		g_autoptr(GString) text = g_string_new(seed_text);
		mutate(rand, text);
		struct weir_problems *problems = weir_problems_new();
		struct weir_ini *ini = weir_ini_parse(text->str, text->len, "fuzz", problems);
		check_round_trip(ini);
		check_options(ini);
		g_autofree char *all = weir_problems_text(problems);
		g_assert_true(g_utf8_validate(all, -1, NULL));
		weir_ini_free(ini);
		weir_problems_free(problems);
	}
	g_rand_free(rand);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fuzz/ini", test_mutations);
	return g_test_run();
}
