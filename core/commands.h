/*
 * core/commands.h - the subcommands that `weir` has built in, and what they share.
 *
 * [main]. A command gets argv[0] as its own name. --help is answered before a command is run.
 */
#ifndef WEIR_CORE_COMMANDS_H
#define WEIR_CORE_COMMANDS_H

#include <stdbool.h>

#include <glib.h>

enum weir_exit { /* documented in `weir help exit` */
		 WEIR_EXIT_OK = 0,
		 WEIR_EXIT_FAILED = 1,  /* it could not start, or what was checked did not pass */
		 WEIR_EXIT_USAGE = 2,   /* a wrong command line */
		 WEIR_EXIT_PROFILE = 3, /* a profile that cannot be used */
};

struct weir_builtin {
	const char *name, *summary;
	const char *help; /* whole, with examples */
	int (*run)(int argc, char **argv);
};

extern const struct weir_builtin weir_builtin_serve, weir_builtin_inspect, weir_builtin_check,
	weir_builtin_help, weir_builtin_version;
/* All of them, NULL-terminated. */
extern const struct weir_builtin *const weir_builtins[];

struct weir_flag {        /* one of on, text, list, hint is set; name NULL ends the table */
	const char *name; /* "--set" */
	bool *on;
	const char **text;
	GPtrArray *list;  /* char *, lent */
	const char *hint; /* not a flag of ours but of other servers: what to write here */
};

/* Flags into their places ("--a b" and "--a=b"), the rest, at most max_rest, into rest (lent). A
 * wrong line is explained on standard error. After "--" all is rest. */
bool weir_args_parse(int argc, char **argv, const struct weir_flag *flags, GPtrArray *rest,
		     unsigned max_rest);

struct weir_registry;
/* What inspect, help and plugins' commands load: --plugin-path, then the usual places. */
struct weir_registry *weir_commands_registry(const GPtrArray *folders);

#endif
