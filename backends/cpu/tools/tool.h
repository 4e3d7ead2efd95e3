/* SPDX-License-Identifier: MIT */
/*
 * tool.h - what the commands `weir model` and `weir bench` share: their command lines, their bar,
 * how they end. Everything on main, but tool_interrupted() and tool_fail_text() on any thread.
 *
 * Results go to standard output; the bar, remarks and errors to standard error, the bar only where
 * that is a terminal.
 */
#ifndef WEIR_CPU_TOOL_H
#define WEIR_CPU_TOOL_H

#include <stdio.h>

#include <weir/services.h>

enum tool_exit {
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_INTERRUPTED = 130, /* 128 + SIGINT */
	TOOL_GO_ON = -1,        /* from tool_parse(): nothing ended yet */
};

/* The end of each help text. */
#define TOOL_EXIT_HELP                                                                             \
	"The exit status is 0 when all went well, 1 when it did not (the reason is on standard\n"  \
	"error), 2 for a wrong command line, 130 after ctrl-C.\n"

struct tool {
	const struct weir_host *host; /* the real one */
	const char *name;             /* "weir model info", for messages */
	const char *help;             /* the whole text of --help */
};

enum tool_flag_kind {
	TOOL_FLAG_BOOL = 0, /* bool: was given */
	TOOL_FLAG_TEXT = 1, /* const char *, lent from argv */
	TOOL_FLAG_U32 = 2,  /* uint32_t, in min..max */
};

struct tool_flag {
	const char *name; /* "--context" */
	uint32_t kind;
	void *ret;
	uint32_t min, max; /* U32; both 0: any */
};

/* Flags may stand anywhere and be written --name value or --name=value; "--" ends them. What is no
 * flag is a word, of which there must be n_words: their names are what a message calls them.
 * Returns TOOL_GO_ON, TOOL_DONE after --help, or TOOL_USAGE when a message has been written. */
int tool_parse(const struct tool *tool, int argc, char **argv, const struct tool_flag *flags,
	       size_t n_flags, const char *const *names, size_t n_words, const char **ret_words);

/* Write "NAME: TEXT" to standard error and return the exit status. */
int tool_usage(const struct tool *tool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int tool_fail(const struct tool *tool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A failed call: 130 when it was ctrl-C. */
int tool_fail_error(const struct tool *tool, const struct weir_error *err);
void tool_remark(const struct tool *tool, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A bar with `what` on a terminal, nothing elsewhere; tool_bar_end() takes it away. */
void tool_bar(const char *what, uint64_t done, uint64_t total);
void tool_bar_end(void);

/* From here on the first ctrl-C (or SIGTERM) is remembered, and only the second one ends the
 * process. */
void tool_catch_interrupt(void);
bool tool_interrupted(void);

/* A host for backends inside of a command: warnings and errors go to standard error, progress is
 * the bar. Lives as long as `tool`. */
struct tool_host {
	struct weir_host base;
	const struct tool *tool;
	bool quiet; /* not even warnings */
};
void tool_host_init(struct tool_host *host, const struct tool *tool);

/* Standard output was written to: did all arrive? Returns `status`, or TOOL_FAILED with a message.
 */
int tool_finish(const struct tool *tool, int status);

/* JSON strings; what is no UTF-8 becomes U+FFFD. */
void tool_json_string(FILE *to, struct weir_str text);
void tool_json_text(FILE *to, const char *text);

/* "3.6 MiB", "812 bytes"; "3.5M" parameters. By value: for use in arguments. */
struct tool_number {
	char text[32];
};
struct tool_number tool_bytes(uint64_t n);
struct tool_number tool_count(uint64_t n);

/* Printable text: control bytes as \xNN, at most cap - 1 bytes, "..." when cut. Returns ret. */
const char *tool_printable(struct weir_str text, char *ret, size_t cap);

/* The whole of a file, or of standard input for "-": NUL-terminated, free() it. At most 64 MiB. */
weir_status tool_read(const char *path, char **ret, size_t *ret_len, struct weir_error *err);

#endif
