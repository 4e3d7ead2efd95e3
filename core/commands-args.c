/*
 * core/commands-args.c - command lines, see commands.h.
 */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "nearest.h"
#include "registry.h"

static const struct weir_flag *find_flag(const struct weir_flag *flags, const char *arg)
{
	size_t n = strcspn(arg, "=");
	for (; flags->name; flags++)
		if (strlen(flags->name) == n && !strncmp(flags->name, arg, n))
			return flags;
	return NULL;
}

static bool complain(const char *command, const char *arg, const char *what)
{
	fprintf(stderr, "weir %s: %s %s\nTry `weir help %s`.\n", command, arg, what, command);
	return false;
}

static bool unknown_flag(const char *command, const char *arg, const struct weir_flag *flags)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	for (; flags->name; flags++)
		if (!flags->hint)
			g_ptr_array_add(names, (char *)flags->name);
	g_autofree char *bare = g_strndup(arg, strcspn(arg, "="));
	const char *near = weir_nearest(bare, (const char *const *)names->pdata, names->len);
	g_autofree char *what = near ? g_strdup_printf("is unknown; did you mean %s?", near)
				     : g_strdup("is unknown.");
	return complain(command, bare, what);
}

bool weir_args_parse(int argc, char **argv, const struct weir_flag *flags, GPtrArray *rest,
		     unsigned max_rest)
{
	bool only_rest = false;
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (!only_rest && !strcmp(arg, "--")) {
			only_rest = true;
			continue;
		}
		if (only_rest || arg[0] != '-' || !arg[1]) {
			if (rest->len >= max_rest)
				return complain(argv[0], arg, "is one argument too many.");
			g_ptr_array_add(rest, (char *)arg);
			continue;
		}
		const struct weir_flag *flag = find_flag(flags, arg);
		if (!flag)
			return unknown_flag(argv[0], arg, flags);
		if (flag->hint) {
			g_autofree char *what =
				g_strdup_printf("is written otherwise here: %s", flag->hint);
			return complain(argv[0], flag->name, what);
		}
		const char *value = strchr(arg, '=');
		if (flag->on) {
			if (value)
				return complain(argv[0], flag->name, "takes no value.");
			*flag->on = true;
			continue;
		}
		value = value ? value + 1 : i + 1 < argc ? argv[++i] : NULL;
		if (!value)
			return complain(argv[0], flag->name, "needs a value.");
		if (flag->text)
			*flag->text = value;
		else
			g_ptr_array_add(flag->list, (char *)value);
	}
	return true;
}

struct weir_registry *weir_commands_registry(const GPtrArray *folders)
{
	g_autoptr(GPtrArray) list = g_ptr_array_new();
	for (unsigned i = 0; folders && i < folders->len; i++)
		g_ptr_array_add(list, g_ptr_array_index(folders, i));
	g_ptr_array_add(list, NULL);
	struct weir_registry *registry = weir_registry_new();
	weir_registry_scan_default(registry, (const char *const *)list->pdata, NULL);
	return registry;
}
