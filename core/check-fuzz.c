/*
 * core/check-fuzz.c - rounds, seeds and hostile texts of section fuzz, see check-fuzz.h.
 */
#include "check-fuzz.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void weir_check_fuzz_init(struct weir_check_fuzz *f, struct weir_check *check)
{
	memset(f, 0, sizeof(*f));
	f->check = check;
	f->rand = g_rand_new();
	f->end = g_get_monotonic_time() + (int64_t)check->effort_s * 1000000;
}

bool weir_check_fuzz_round(struct weir_check_fuzz *f)
{
	if (!weir_check_going(f->check) || (f->n_rounds > 0 && g_get_monotonic_time() > f->end))
		return false;
	f->seed = f->check->seed + f->n_rounds++;
	const guint32 seeds[] = { (guint32)f->seed, (guint32)(f->seed >> 32) };
	g_rand_set_seed_array(f->rand, seeds, 2);
	return true;
}

void weir_check_fuzz_end(struct weir_check_fuzz *f)
{
	if (weir_check_going(f->check))
		g_string_append_printf(f->check->text, "%u rounds", f->n_rounds);
	g_rand_free(f->rand);
}

void weir_check_fuzz_at(struct weir_check_fuzz *f, const char *format, ...)
{
	char what[WEIR_CHECK_TRACE - 64];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(f->check->trace, WEIR_CHECK_TRACE, "%s; --seed %llu begins with it", what,
		 (unsigned long long)f->seed);
}

void weir_check_fuzz_fail(struct weir_check_fuzz *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_autofree char *text = g_strdup_vprintf(format, args);
	va_end(args);
	weir_check_fail(f->check, "%s; --seed %llu begins with it", text,
			(unsigned long long)f->seed);
}

size_t weir_check_fuzz_size(struct weir_check_fuzz *f, size_t n)
{
	return (size_t)(exp(g_rand_double_range(f->rand, 0, log((double)n + 1))) - 1);
}

void weir_check_fuzz_bytes(struct weir_check_fuzz *f, GString *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g_string_append_c(to, (char)g_rand_int(f->rand));
}

static void replace_all(struct weir_check_fuzz *f, GString *text)
{
	static const char *const units[] = { "[", "{\"a\":",          "(",  "\"", "\\", "a",
					     " ", "\xf0\x9f\x99\x82", "{{", "{%", "1",  "-" };
	const char *unit = units[g_rand_int_range(f->rand, 0, G_N_ELEMENTS(units))];
	size_t n = 1000 + weir_check_fuzz_size(f, 100000);

	g_string_truncate(text, 0);
	if (g_rand_boolean(f->rand)) {
		weir_check_fuzz_bytes(f, text, weir_check_fuzz_size(f, 4000));
		return;
	}
	for (size_t i = 0; i < n; i++)
		g_string_append(text, unit);
}

static void edit(struct weir_check_fuzz *f, GString *text)
{
	static const char *const words[] = { "null",
					     "true",
					     "-1",
					     "1e999",
					     "99999999999999999999",
					     "[]",
					     "{}",
					     "\"\"",
					     "[[[[[[[[",
					     "}}",
					     "\\u0000",
					     "\\ud800",
					     "\xff",
					     "\xc0\x80",
					     "\xed\xa0\x80",
					     "\xe2\x82",
					     "<|im_end|>",
					     "<s>",
					     "</s>",
					     "{{",
					     "{% for x in x %}",
					     "%s%n",
					     ":",
					     ",",
					     "\"",
					     "\\",
					     "\n",
					     "$ref",
					     "#/" };
	size_t at = text->len ? (size_t)g_rand_int_range(f->rand, 0, (gint32)text->len) : 0;
	size_t n = weir_check_fuzz_size(f, text->len - at);

	switch (g_rand_int_range(f->rand, 0, 7)) {
	case 0:
		if (text->len)
			text->str[at] =
				(char)(text->str[at] ^ 1 << g_rand_int_range(f->rand, 0, 8));
		break;
	case 1:
		g_string_erase(text, (gssize)at, (gssize)n);
		break;
	case 2: {
		g_autofree char *piece = g_memdup2(text->str + at, n);

		g_string_insert_len(text, (gssize)at, piece, (gssize)n);
		break;
	}
	case 3:
		g_string_insert_len(text, (gssize)at, "\0", 1);
		break;
	case 4:
		if (text->len)
			text->str[at] = (char)g_rand_int(f->rand);
		break;
	case 5:
		g_string_truncate(text, at);
		break;
	default:
		g_string_insert(text, (gssize)at,
				words[g_rand_int_range(f->rand, 0, G_N_ELEMENTS(words))]);
		break;
	}
}

void weir_check_fuzz_text(struct weir_check_fuzz *f, GString *text)
{
	if (g_rand_int_range(f->rand, 0, 12) == 0) {
		replace_all(f, text);
		return;
	}
	for (size_t n = 1 + weir_check_fuzz_size(f, 12); n > 0 && text->len < 1 << 20; n--)
		edit(f, text);
}

bool weir_check_fuzz_judge(struct weir_check_fuzz *f, const char *what, weir_status status,
			   const struct weir_error *err)
{
	if (status >= 0)
		return true;
	if (!memchr(err->text, '\0', sizeof(err->text)))
		weir_check_fuzz_fail(f, "%s leaves its reason without an end", what);
	else if (!err->text[0])
		weir_check_fuzz_fail(f, "%s fails with %d and without a reason", what, status);
	else if (!g_utf8_validate(err->text, -1, NULL))
		weir_check_fuzz_fail(f, "the reason of %s is not UTF-8", what);
	else
		return true;
	return false;
}
