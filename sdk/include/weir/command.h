/* SPDX-License-Identifier: MIT */
/*
 * weir/command.h - subcommands of the `weir` program that plugins bring: chat, bench, model ...
 *
 * A component of role WEIR_ROLE_COMMAND, its id being the subcommand's name. The launcher creates
 * one instance without options, asks for this extension, runs it and destroys the instance.
 */
#ifndef WEIR_COMMAND_H
#define WEIR_COMMAND_H

#include <weir/plugin.h>

#define WEIR_COMMAND "weir.command/1"
struct weir_command {
	uint32_t size, reserved;
	const char *summary; /* one line for `weir help` */
	/* argv[0] is the subcommand; must understand --help. Returns the exit status. [main] */
	int (*run)(struct weir_instance *, int argc, char **argv);
};
WEIR_FROZEN(struct weir_command, run);

#endif
