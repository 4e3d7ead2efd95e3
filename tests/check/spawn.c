/*
 * tests/check/spawn.c - see spawn.h.
 */
#include "spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <stdbool.h>
#include <unistd.h>

#include <glib/gstdio.h>

char *built(const char *path)
{
	return g_build_filename(g_getenv("WEIR_BUILD_ROOT"), path, NULL);
}

void run_start(struct run *run, const char *arguments)
{
	g_autofree char *all = g_strconcat("@core/weir ", arguments, NULL);
	g_auto(GStrv) words = g_strsplit(all, " ", -1);
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	for (char **word = words; *word; word++)
		if (**word)
			g_ptr_array_add(argv, **word == '@' ? built(*word + 1) : g_strdup(*word));
	g_ptr_array_add(argv, NULL);
	int fd = g_file_open_tmp("weir-run-XXXXXX", &run->log, NULL);
	g_assert_cmpint(fd, >=, 0);
	run->status = -1;
	run->pid = fork();
	g_assert_cmpint(run->pid, >=, 0);
	if (run->pid == 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execv(argv->pdata[0], (char **)argv->pdata);
		_exit(127);
	}
	close(fd);
}

char *run_output(const struct run *run)
{
	char *text = NULL;
	g_assert_true(g_file_get_contents(run->log, &text, NULL, NULL));
	return text;
}

static bool poll_status(struct run *run)
{
	int status;
	if (run->status >= 0)
		return true;
	if (waitpid(run->pid, &status, WNOHANG) != run->pid)
		return false;
	run->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

void run_wait(struct run *run)
{
	for (int i = 0; i < 6000 && !poll_status(run); i++)
		g_usleep(10000);
	if (run->status < 0)
		kill(run->pid, SIGKILL);
	while (!poll_status(run))
		g_usleep(10000);
}

void run_expect(struct run *run, const char *text)
{
	for (int i = 0; i < 3000; i++) {
		bool ended = poll_status(run);
		g_autofree char *output = run_output(run);
		if (strstr(output, text))
			return;
		if (ended)
			break;
		g_usleep(10000);
	}
	g_autofree char *output = run_output(run);
	g_error("waited in vain for \"%s\" in:\n%s", text, output);
}

void run_clear(struct run *run)
{
	if (run->status < 0)
		kill(run->pid, SIGKILL);
	run_wait(run);
	g_unlink(run->log);
	g_free(run->log);
}

char *run_whole(const char *arguments, int *ret_status)
{
	struct run run;
	run_start(&run, arguments);
	run_wait(&run);
	char *output = run_output(&run);
	*ret_status = run.status;
	run_clear(&run);
	return output;
}
