/*
 * core/help.c - `weir help`: all commands, or one of them.
 */
#include <stdio.h>
#include <string.h>

#include <weir/command.h>

#include "commands.h"
#include "nearest.h"
#include "registry.h"

static const char exit_codes[] = "Exit status of weir\n"
				 "  0  done; for serve: an orderly end\n"
				 "  1  it could not start, or what was checked did not pass\n"
				 "  2  a wrong command line\n"
				 "  3  a profile that cannot be used, or is not there\n"
				 "  128 + N  ended by signal N without waiting\n";

static void list_all(void)
{
	printf("Weir serves language models; everything in it is a plugin.\n\n"
	       "weir COMMAND [ARGUMENT]...\n\n");
	for (size_t i = 0; weir_builtins[i]; i++)
		printf("  %-10s %s\n", weir_builtins[i]->name, weir_builtins[i]->summary);
	struct weir_registry *registry = weir_commands_registry(NULL);
	const struct weir_registry_entry *entry;
	bool first = true;
	for (size_t i = 0; (entry = weir_registry_entry(registry, i)); i++) {
		if (entry->component->role != WEIR_ROLE_COMMAND)
			continue;
		if (first)
			printf("\nFrom plugins\n");
		first = false;
		printf("  %-10s %s\n", entry->component->id, entry->component->title);
	}
	weir_registry_free(registry);
	printf("\n`weir help COMMAND` tells more, with examples; `weir help exit` the exit codes.\n"
	       "To begin: weir serve\n");
}

static int help_main(int argc, char **argv)
{
	g_autoptr(GPtrArray) rest = g_ptr_array_new();
	const struct weir_flag flags[] = { { NULL } };
	if (!weir_args_parse(argc, argv, flags, rest, 1))
		return WEIR_EXIT_USAGE;
	if (rest->len == 0) {
		list_all();
		return WEIR_EXIT_OK;
	}
	const char *topic = g_ptr_array_index(rest, 0);
	if (!strcmp(topic, "exit")) {
		fputs(exit_codes, stdout);
		return WEIR_EXIT_OK;
	}
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	for (size_t i = 0; weir_builtins[i]; i++) {
		if (!strcmp(topic, weir_builtins[i]->name)) {
			fputs(weir_builtins[i]->help, stdout);
			return WEIR_EXIT_OK;
		}
		g_ptr_array_add(names, (char *)weir_builtins[i]->name);
	}
	struct weir_registry *registry = weir_commands_registry(NULL);
	const struct weir_registry_entry *entry =
		weir_registry_find(registry, WEIR_ROLE_COMMAND, topic);
	for (size_t i = 0; weir_registry_entry(registry, i); i++)
		if (weir_registry_entry(registry, i)->component->role == WEIR_ROLE_COMMAND)
			g_ptr_array_add(names,
					(char *)weir_registry_entry(registry, i)->component->id);
	int code = WEIR_EXIT_OK;
	if (entry) {
		printf("weir %s: %s\n\n%s\n\n`weir %s --help` tells more.\n", topic,
		       entry->component->title, entry->component->help, topic);
	} else {
		const char *near =
			weir_nearest(topic, (const char *const *)names->pdata, names->len);
		fprintf(stderr,
			"weir help: there is no command %.80s%s%s%s\n`weir help` lists all.\n",
			topic, near ? "; did you mean " : ".", near ? near : "", near ? "?" : "");
		code = WEIR_EXIT_USAGE;
	}
	weir_registry_free(registry);
	return code;
}

const struct weir_builtin weir_builtin_help = {
	.name = "help",
	.summary = "list the commands, or explain one",
	.help = "weir help [COMMAND]\n\nLists what weir can do, or explains one command with "
		"examples. `weir help exit`\nlists the exit codes.\n",
	.run = help_main,
};
