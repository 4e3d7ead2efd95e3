/*
 * core/options.c - see options.h.
 */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <glib.h>

#include "log.h"

struct unit {
	const char *name;
	double scale;
};

static const struct unit int_units[] = { { "", 1 },    { "k", 1e3 }, { "m", 1e6 }, { "g", 1e9 },
					 { "K", 1e3 }, { "M", 1e6 }, { "G", 1e9 }, { NULL, 0 } };
static const struct unit duration_units[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
					      { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
static const struct unit size_units[] = { { "", 1 },
					  { "B", 1 },
					  { "kB", 1e3 },
					  { "KB", 1e3 },
					  { "MB", 1e6 },
					  { "GB", 1e9 },
					  { "TB", 1e12 },
					  { "KiB", 1024.0 },
					  { "MiB", 1048576.0 },
					  { "GiB", 1073741824.0 },
					  { "TiB", 1099511627776.0 },
					  { NULL, 0 } };

static const char *const type_names[] = { "string", "int",  "float", "bool",  "duration",
					  "size",   "path", "list",  "choice" };

const char *weir_option_type_name(uint32_t type)
{
	return type < G_N_ELEMENTS(type_names) ? type_names[type] : "unknown";
}

/* A number and one of the units. Whole numbers stay exact up to 2^63; a fraction is allowed where
 * the unit makes it whole. */
static bool parse_scaled(const char *text, const struct unit *units, int64_t *ret)
{
	char *end = NULL;
	errno = 0;
	int64_t whole = g_ascii_strtoll(text, &end, 10);
	bool exact = end != text && errno == 0 && *end != '.';
	if (!g_ascii_isdigit(*text) && !(*text == '-' && g_ascii_isdigit(text[1])))
		return false;
	double value = (double)whole;
	if (!exact) {
		size_t n = strspn(text, "-0123456789.");
		g_autofree char *digits = g_strndup(text, n);
		value = g_ascii_strtod(digits, &end);
		if (*end != '\0')
			return false;
		end = (char *)text + n;
	}
	while (*end == ' ')
		end++;
	for (; units->name; units++) {
		if (strcmp(end, units->name) != 0)
			continue;
		if (exact && __builtin_mul_overflow(whole, (int64_t)units->scale, ret))
			return false;
		if (exact)
			return true;
		value *= units->scale;
		if (fabs(value) > 9e15 || value != floor(value))
			return false;
		*ret = (int64_t)value;
		return true;
	}
	return false;
}

static bool parse_bool(const char *text, const char **ret)
{
	static const char *const yes[] = { "true", "yes", "on", "1", NULL };
	static const char *const no[] = { "false", "no", "off", "0", NULL };
	g_autofree char *lower = g_ascii_strdown(text, -1);
	if (g_strv_contains(yes, lower))
		*ret = "true";
	else if (g_strv_contains(no, lower))
		*ret = "false";
	else
		return false;
	return true;
}

static char *parse_list(const char *text)
{
	GString *out = g_string_new(NULL);
	g_auto(GStrv) items = g_strsplit(text, ",", -1);
	for (char **item = items; *item; item++) {
		g_strstrip(*item);
		if (!**item)
			continue;
		if (out->len)
			g_string_append_c(out, ',');
		g_string_append(out, *item);
	}
	return g_string_free(out, false);
}

static char *parse_path(const char *text, const char *folder)
{
	if (!*text || g_path_is_absolute(text) || !folder)
		return g_strdup(text);
	g_autofree char *beside = g_build_filename(folder, text, NULL);
	/* Neither there nor here: the message of whoever opens it should name the first place. */
	if (g_file_test(beside, G_FILE_TEST_EXISTS) || !g_file_test(text, G_FILE_TEST_EXISTS))
		return g_steal_pointer(&beside);
	return g_strdup(text);
}

static bool is_choice(const char *choices, const char *text)
{
	g_auto(GStrv) all = g_strsplit(choices ? choices : "", "|", -1);
	return g_strv_contains((const char *const *)all, text);
}

static char *format_number(double value)
{
	char text[G_ASCII_DTOSTR_BUF_SIZE];
	g_ascii_formatd(text, sizeof(text), "%.15g", value);
	if (g_ascii_strtod(text, NULL) != value)
		g_ascii_dtostr(text, sizeof(text), value);
	return g_strdup(text);
}

/* With the largest unit that keeps it whole. */
static char *format_unit(double value, const struct unit *units)
{
	const struct unit *best = NULL;
	for (const struct unit *unit = units; unit->name; unit++)
		if (fmod(value, unit->scale) == 0 && (!best || unit->scale > best->scale) &&
		    (value != 0 || !best))
			best = unit;
	g_autofree char *number = format_number(value / (best ? best->scale : 1));
	return g_strconcat(number, best ? best->name : "", NULL);
}

static char *format_value(const struct weir_option *option, double value)
{
	if (option->type == WEIR_OPTION_DURATION)
		return format_unit(value, duration_units);
	if (option->type == WEIR_OPTION_SIZE)
		return format_unit(value, size_units);
	return format_number(value);
}

char *weir_option_range(const struct weir_option *option)
{
	if (option->type == WEIR_OPTION_CHOICE)
		return g_strdup(option->choices ? option->choices : "");
	bool number = option->type == WEIR_OPTION_INT || option->type == WEIR_OPTION_FLOAT ||
		      option->type == WEIR_OPTION_DURATION || option->type == WEIR_OPTION_SIZE;
	if (!number || (option->min == 0 && option->max == 0))
		return g_strdup("");
	g_autofree char *min = format_value(option, option->min);
	g_autofree char *max = format_value(option, option->max);
	return g_strdup_printf("%s .. %s", min, max);
}

static const char *expectation(uint32_t type)
{
	switch (type) {
	case WEIR_OPTION_INT:
		return "a whole number (4096, 128k, 2m)";
	case WEIR_OPTION_FLOAT:
		return "a number (0.9)";
	case WEIR_OPTION_BOOL:
		return "true or false";
	case WEIR_OPTION_DURATION:
		return "a duration with its unit (250ms, 30s, 5m, 1h)";
	case WEIR_OPTION_SIZE:
		return "a size (65536, 64KiB, 10MiB, 2GiB, 500MB)";
	default:
		return "text";
	}
}

static weir_status refuse(const struct weir_option *option, const char *text, const char *expected,
			  struct weir_error *err)
{
	weir_status status;
	if (option->flags & WEIR_OPTION_SECRET)
		status = weir_fail(err, WEIR_E_INVALID, "the value is not %s", expected);
	else
		status = weir_fail(err, WEIR_E_INVALID, "\"%.80s\" is not %s", text, expected);
	if (err)
		g_strlcpy(err->param, option->key, sizeof(err->param));
	return status;
}

static weir_status check_range(const struct weir_option *option, double value, const char *text,
			       struct weir_error *err)
{
	if ((option->min == 0 && option->max == 0) ||
	    (value >= option->min && value <= option->max))
		return WEIR_OK;
	g_autofree char *range = weir_option_range(option);
	g_autofree char *expected = g_strdup_printf("in the range %s", range);
	return refuse(option, text, expected, err);
}

weir_status weir_option_parse(const struct weir_option *option, const char *text,
			      const char *folder, char **ret, struct weir_error *err)
{
	int64_t whole = 0;
	double number = 0;
	const char *word = NULL;
	char *end = NULL;
	weir_status status = WEIR_OK;
	switch (option->type) {
	case WEIR_OPTION_INT:
	case WEIR_OPTION_DURATION:
	case WEIR_OPTION_SIZE: {
		const struct unit *units = option->type == WEIR_OPTION_INT    ? int_units
					   : option->type == WEIR_OPTION_SIZE ? size_units
									      : duration_units;
		bool zero = !strcmp(text, "0"); /* needs no unit */
		if (!zero && !parse_scaled(text, units, &whole))
			return refuse(option, text, expectation(option->type), err);
		if (whole < 0 && option->type != WEIR_OPTION_INT)
			return refuse(option, text, expectation(option->type), err);
		status = check_range(option, (double)whole, text, err);
		if (status == WEIR_OK)
			*ret = g_strdup_printf("%" PRId64, whole);
		return status;
	}
	case WEIR_OPTION_FLOAT:
		number = g_ascii_strtod(text, &end);
		if (end == text || *end || !isfinite(number) || strpbrk(text, "xX"))
			return refuse(option, text, expectation(option->type), err);
		status = check_range(option, number, text, err);
		if (status == WEIR_OK)
			*ret = format_number(number);
		return status;
	case WEIR_OPTION_BOOL:
		if (!parse_bool(text, &word))
			return refuse(option, text, expectation(option->type), err);
		*ret = g_strdup(word);
		return WEIR_OK;
	case WEIR_OPTION_PATH:
		*ret = parse_path(text, folder);
		return WEIR_OK;
	case WEIR_OPTION_LIST:
		*ret = parse_list(text);
		return WEIR_OK;
	case WEIR_OPTION_CHOICE:
		if (!is_choice(option->choices, text)) {
			g_autofree char *all = g_strdup_printf("one of %s", option->choices);
			return refuse(option, text, all, err);
		}
		*ret = g_strdup(text);
		return WEIR_OK;
	default:
		*ret = g_strdup(text);
		return WEIR_OK;
	}
}

weir_status weir_option_check(const struct weir_option *option, struct weir_error *err)
{
	if (option->size < sizeof(struct weir_option))
		return weir_fail(err, WEIR_E_INVALID, "an option's size is %u, at least %zu",
				 option->size, sizeof(struct weir_option));
	const char *key = option->key;
	size_t n = key ? strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;
	if (n == 0 || n > 50 || key[n] || g_ascii_isdigit(*key))
		return weir_fail(err, WEIR_E_INVALID,
				 "option key \"%.60s\": lower-case letters, digits and underscores",
				 key ? key : "(NULL)");
	if (option->type >= G_N_ELEMENTS(type_names))
		return weir_fail(err, WEIR_E_INVALID, "option %s: type %u is unknown", key,
				 option->type);
	if (!option->help || !*option->help)
		return weir_fail(err, WEIR_E_INVALID, "option %s: has no help sentence", key);
	if (option->type == WEIR_OPTION_CHOICE && (!option->choices || !*option->choices))
		return weir_fail(err, WEIR_E_INVALID, "option %s: a choice without choices", key);
	if (!(option->min <= option->max))
		return weir_fail(err, WEIR_E_INVALID, "option %s: min is above max", key);
	if (option->fallback && *option->fallback) {
		struct weir_error why;
		g_autofree char *normal = NULL;
		if (weir_option_parse(option, option->fallback, NULL, &normal, &why) < 0)
			return weir_fail(err, WEIR_E_INVALID, "option %s: its fallback %s", key,
					 why.text);
	}
	return WEIR_OK;
}
