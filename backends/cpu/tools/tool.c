/* SPDX-License-Identifier: MIT */
/*
 * tool.c - see tool.h. The one thing that is not constant here is what a signal handler and the bar
 * must remember.
 */
#include "tool.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

enum { BAR_WIDTH = 30, BAR_INTERVAL_MS = 100 };

static volatile sig_atomic_t interrupted;
static bool bar_shown;

static void say(const struct tool *tool, const char *format, va_list args)
{
	tool_bar_end();
	fflush(stdout);
	fprintf(stderr, "%s: ", tool->name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int tool_usage(const struct tool *tool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(tool, format, args);
	va_end(args);
	fprintf(stderr, "`%s --help` says more.\n", tool->name);
	return TOOL_USAGE;
}

int tool_fail(const struct tool *tool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(tool, format, args);
	va_end(args);
	return TOOL_FAILED;
}

int tool_fail_error(const struct tool *tool, const struct weir_error *err)
{
	if (interrupted)
		return tool_fail(tool, "stopped by ctrl-C") ? TOOL_INTERRUPTED : TOOL_FAILED;
	return tool_fail(tool, "%s", err->text);
}

void tool_remark(const struct tool *tool, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(tool, format, args);
	va_end(args);
}

void tool_bar(const char *what, uint64_t done, uint64_t total)
{
	static int64_t last_ms;
	char bar[BAR_WIDTH + 1];
	struct timespec now;
	int64_t ms;
	double share;

	if (!isatty(STDERR_FILENO))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (bar_shown && ms - last_ms < BAR_INTERVAL_MS)
		return;
	last_ms = ms;
	share = total ? (double)done / (double)total : 0;
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K[%s] %3d %%  %s", bar, (int)(share * 100), what);
	fflush(stderr);
	bar_shown = true;
}

void tool_bar_end(void)
{
	if (bar_shown)
		fputs("\r\033[K", stderr);
	bar_shown = false;
}

static void on_signal(int number)
{
	interrupted = 1;
}

void tool_catch_interrupt(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool tool_interrupted(void)
{
	return interrupted != 0;
}

static void host_write(const struct weir_host *host, uint32_t level, const char *topic,
		       const char *text)
{
	const struct tool_host *self = (const struct tool_host *)host;

	if (level >= WEIR_LOG_WARNING && !self->quiet)
		tool_remark(self->tool, "%s", text);
}

static bool host_enabled(const struct weir_host *host, uint32_t level, const char *topic)
{
	return level >= WEIR_LOG_WARNING;
}

static void host_progress(const struct weir_host *host, const char *what, uint64_t done,
			  uint64_t total)
{
	if (done >= total)
		tool_bar_end();
	else
		tool_bar(what, done, total);
}

static const void *host_ext(const struct weir_host *host, const char *id)
{
	static const struct weir_log log = {
		.size = sizeof(log),
		.write = host_write,
		.enabled = host_enabled,
		.progress = host_progress,
	};

	return id && strcmp(id, WEIR_HOST_LOG) == 0 ? &log : NULL;
}

void tool_host_init(struct tool_host *host, const struct tool *tool)
{
	*host = (struct tool_host){
		.base = { .size = sizeof(host->base),
			  .abi = WEIR_ABI,
			  .name = "weir",
			  .version = WEIR_VERSION,
			  .instance = "",
			  .get_ext = host_ext },
		.tool = tool,
	};
}

int tool_finish(const struct tool *tool, int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		return status;
	return tool_fail(tool, "could not write to standard output: %s", strerror(errno));
}

static int take_value(const struct tool *tool, const struct tool_flag *flag, const char *value)
{
	char *end;
	unsigned long long n;

	if (flag->kind == TOOL_FLAG_TEXT) {
		*(const char **)flag->ret = value;
		return TOOL_GO_ON;
	}
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || *end || end == value || *value == '-' || *value == '+' || n > UINT32_MAX ||
	    ((flag->min || flag->max) && (n < flag->min || n > flag->max)))
		return tool_usage(tool, "%s is '%.40s', it must be a number from %u to %u",
				  flag->name, value, flag->min, flag->max ? flag->max : UINT32_MAX);
	*(uint32_t *)flag->ret = (uint32_t)n;
	return TOOL_GO_ON;
}

static int unknown_flag(const struct tool *tool, const char *arg, const struct tool_flag *flags,
			size_t n_flags)
{
	char list[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < n_flags && at < sizeof(list); i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "",
				       flags[i].name);
	return tool_usage(tool, "%.60s is not understood; there are %s and --help", arg, list);
}

/* A flag at argv[*at], with its value, which may be the next argument. */
static int take_flag(const struct tool *tool, int argc, char **argv, int *at,
		     const struct tool_flag *flags, size_t n_flags)
{
	const char *arg = argv[*at], *equals = strchr(arg, '=');
	size_t n = equals && strncmp(arg, "--", 2) == 0 ? (size_t)(equals - arg) : strlen(arg);
	const struct tool_flag *flag = NULL;

	for (size_t i = 0; i < n_flags; i++)
		if (strlen(flags[i].name) == n && memcmp(flags[i].name, arg, n) == 0)
			flag = &flags[i];
	if (!flag)
		return unknown_flag(tool, arg, flags, n_flags);
	if (flag->kind == TOOL_FLAG_BOOL) {
		if (arg[n])
			return tool_usage(tool, "%s takes no value", flag->name);
		*(bool *)flag->ret = true;
		return TOOL_GO_ON;
	}
	if (arg[n])
		return take_value(tool, flag, equals + 1);
	if (*at + 1 == argc)
		return tool_usage(tool, "%s needs a value", flag->name);
	return take_value(tool, flag, argv[++*at]);
}

int tool_parse(const struct tool *tool, int argc, char **argv, const struct tool_flag *flags,
	       size_t n_flags, const char *const *names, size_t n_words, const char **ret_words)
{
	bool ended = false;
	size_t n = 0;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(tool->help, stdout);
			return tool_finish(tool, TOOL_DONE);
		}
	for (int i = 1; i < argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0) {
			ended = true;
		} else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			int code = take_flag(tool, argc, argv, &i, flags, n_flags);

			if (code != TOOL_GO_ON)
				return code;
		} else if (n == n_words) {
			return tool_usage(tool, "'%.80s' is one argument too many", argv[i]);
		} else {
			ret_words[n++] = argv[i];
		}
	}
	if (n < n_words)
		return tool_usage(tool, "%s is missing", names[n]);
	return TOOL_GO_ON;
}
