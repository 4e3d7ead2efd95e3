/*
 * core/main.c - the launcher: `weir COMMAND ...`, built in or brought by a plugin.
 *
 * A component of role COMMAND is a subcommand of the name of its id.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <weir/command.h>

#include "commands.h"
#include "instance.h"
#include "log.h"
#include "metrics.h"
#include "nearest.h"
#include "registry.h"

const struct weir_builtin *const weir_builtins[] = {
	&weir_builtin_serve, &weir_builtin_inspect, &weir_builtin_check,
	&weir_builtin_help,  &weir_builtin_version, NULL,
};

static int version_main(int argc, char **argv)
{
	printf("weir %s, plugin ABI %u.%u\n", WEIR_VERSION, WEIR_ABI_MAJOR, WEIR_ABI_MINOR);
	return WEIR_EXIT_OK;
}

const struct weir_builtin weir_builtin_version = {
	.name = "version",
	.summary = "print the version and the plugin ABI",
	.help = "weir version\n\nPrints the version of Weir and of the ABI that its plugins are "
		"built "
		"for.\n",
	.run = version_main,
};

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int run_component(const struct weir_component *component, int argc, char **argv)
{
	struct weir_core core = {
		.log = weir_logger_new(g_getenv("WEIR_LOG"), STDERR_FILENO, false),
		.metrics = weir_metric_set_new(),
	};
	struct weir_part *part = NULL;
	struct weir_error err;
	int code = WEIR_EXIT_FAILED;
	weir_status status =
		weir_part_create(&core, component->id, component, NULL, 0, &part, &err);
	const struct weir_command *command = NULL;
	if (status == WEIR_OK) {
		command = weir_part_ext(part, WEIR_COMMAND);
		if (!command || !WEIR_HAS(struct weir_command, command, run))
			status = weir_fail(&err, WEIR_E_INTERNAL, "plugin %s offers no %s",
					   component->id, WEIR_COMMAND);
	}
	if (status == WEIR_OK)
		code = command->run(part->instance, argc, argv);
	else
		fprintf(stderr, "weir %s: %s\n", argv[0], err.text);
	weir_part_destroy(part);
	weir_metric_set_free(core.metrics);
	weir_logger_free(core.log);
	return code;
}

static int unknown_command(const struct weir_registry *registry, const char *name)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	for (size_t i = 0; weir_builtins[i]; i++)
		g_ptr_array_add(names, (char *)weir_builtins[i]->name);
	const struct weir_registry_entry *entry;
	for (size_t i = 0; (entry = weir_registry_entry(registry, i)); i++)
		if (entry->component->role == WEIR_ROLE_COMMAND)
			g_ptr_array_add(names, (char *)entry->component->id);
	const char *near = weir_nearest(name, (const char *const *)names->pdata, names->len);
	fprintf(stderr, "weir: there is no command %.80s%s%s%s\n`weir help` lists all.\n", name,
		near ? "; did you mean " : ".", near ? near : "", near ? "?" : "");
	return WEIR_EXIT_USAGE;
}

static const struct weir_builtin *find_builtin(const char *name)
{
	for (size_t i = 0; weir_builtins[i]; i++)
		if (!strcmp(name, weir_builtins[i]->name))
			return weir_builtins[i];
	return NULL;
}

static int run_plugin_command(int argc, char **argv)
{
	struct weir_registry *registry = weir_commands_registry(NULL);
	const struct weir_registry_entry *entry =
		weir_registry_find(registry, WEIR_ROLE_COMMAND, argv[0]);
	int code = entry ? run_component(entry->component, argc, argv)
			 : unknown_command(registry, argv[0]);
	weir_registry_free(registry);
	return code;
}

/* `weir help model info` is `weir model info --help`: what there is of it the command knows. */
static int help_of_verb(int argc, char **argv)
{
	static char flag[] = "--help";
	g_autoptr(GPtrArray) line = g_ptr_array_new();
	for (int i = 1; i < argc; i++)
		g_ptr_array_add(line, argv[i]);
	g_ptr_array_add(line, flag);
	g_ptr_array_add(line, NULL);
	return run_plugin_command((int)line->len - 1, (char **)line->pdata);
}

static int run(int argc, char **argv)
{
	const struct weir_builtin *builtin = find_builtin(argv[0]);
	if (builtin && wants_help(argc, argv)) {
		fputs(builtin->help, stdout);
		return WEIR_EXIT_OK;
	}
	if (builtin == &weir_builtin_help && argc > 2 && !find_builtin(argv[1]))
		return help_of_verb(argc, argv);
	return builtin ? builtin->run(argc, argv) : run_plugin_command(argc, argv);
}

int main(int argc, char **argv)
{
	static char help[] = "help", version[] = "version";
	char *no_arguments[] = { help, NULL };
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		argc = 1;
		argv = no_arguments;
	} else {
		argc--;
		argv++;
		if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
			argv[0] = help;
		if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-V"))
			argv[0] = version;
	}
	int code = run(argc, argv);
	if ((fflush(stdout) || ferror(stdout)) && code == WEIR_EXIT_OK) {
		fprintf(stderr, "weir: could not write to standard output: %s\n",
			g_strerror(errno));
		code = WEIR_EXIT_FAILED;
	}
	return code;
}
