/* SPDX-License-Identifier: MIT */
/*
 * backends/child/process.c - see process.h. Between fork() and exec() only what a signal handler
 * may do is done: other threads of the server held locks when it was copied.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <glib.h>

extern char **environ;

/* The process's own numbers. */
enum { FD_SOCKET = 3, FD_PROFILE = 4, FD_EXEC = 5, FD_FIRST_FREE = 6 };

void process_init(struct process *p)
{
	*p = (struct process){ .pid = 0, .socket = -1, .output = -1 };
}

static weir_status fail(struct weir_error *err, const char *what, int number)
{
	err->code = WEIR_E_UNAVAILABLE;
	g_snprintf(err->text, sizeof(err->text), "cannot start a process: %s: %s", what,
		   g_strerror(number));
	return err->code;
}

/* What overrides a profile has been put into this one already. */
static char **make_environment(void)
{
	static const char *const heads[] = { "WEIR_SERVER_",  "WEIR_CHAIN_",      "WEIR_FRONTEND_",
					     "WEIR_BACKEND_", "WEIR_MIDDLEWARE_", "WEIR_LOG=" };
	GPtrArray *list = g_ptr_array_new();
	for (char **one = environ; *one; one++) {
		bool drop = false;
		for (size_t i = 0; i < G_N_ELEMENTS(heads); i++)
			drop |= g_str_has_prefix(*one, heads[i]);
		if (!drop)
			g_ptr_array_add(list, g_strdup(*one));
	}
	g_ptr_array_add(list, NULL);
	return (char **)g_ptr_array_free(list, FALSE);
}

/* A file that has no name; only the owner may open it through /proc. */
static int make_profile(const char *text)
{
	int fd = memfd_create("weir-profile", MFD_CLOEXEC);
	size_t left = strlen(text);
	if (fd >= 0)
		(void)fchmod(fd, 0600);
	while (fd >= 0 && left > 0) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int e = errno;
			close(fd);
			errno = e;
			return -1;
		}
		text += n;
		left -= (size_t)n;
	}
	return fd;
}

struct launch {
	int socket, output, profile, exec, null;
	pid_t parent;
	const char *program;
	char *const *argv, *const *envp;
};

static void quit_launch(int fd)
{
	int e = errno;
	ssize_t n = write(fd, &e, sizeof(e));
	(void)n;
	_exit(127);
}

/* In the copy. */
static void run(const struct launch *l)
{
	sigset_t none;
	/* Out of the way of the numbers that they are to have. */
	int socket = fcntl(l->socket, F_DUPFD_CLOEXEC, 32),
	    output = fcntl(l->output, F_DUPFD_CLOEXEC, 32);
	int profile = fcntl(l->profile, F_DUPFD_CLOEXEC, 32),
	    null = fcntl(l->null, F_DUPFD_CLOEXEC, 32);
	int exec = fcntl(l->exec, F_DUPFD_CLOEXEC, 32);
	if (socket < 0 || output < 0 || profile < 0 || null < 0 || exec < 0 ||
	    dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0 || dup2(socket, FD_SOCKET) < 0 ||
	    dup2(profile, FD_PROFILE) < 0 || dup3(exec, FD_EXEC, O_CLOEXEC) < 0)
		quit_launch(l->exec);
#ifdef SYS_close_range
	(void)syscall(SYS_close_range, FD_FIRST_FREE, ~0u, 0);
#endif
	/* Where that is not known to the kernel: what is open elsewhere closes itself on exec(). */
	for (int fd = FD_FIRST_FREE; fd < 64; fd++)
		close(fd);
	(void)setpgid(0, 0); /* ctrl-C is the parent's, which drains */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		quit_launch(FD_EXEC);
	if (getppid() != l->parent) /* it went before the line above */
		_exit(127);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	execve(l->program, l->argv, l->envp);
	quit_launch(FD_EXEC);
}

static weir_status launch(struct launch *l, int exec_end, pid_t *ret, struct weir_error *err)
{
	int number = 0;
	l->parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return fail(err, "fork", errno);
	if (pid == 0)
		run(l); /* does not come back */
	close(l->exec);
	l->exec = -1;
	ssize_t n;
	do
		n = read(exec_end, &number, sizeof(number));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(number)) {
		(void)waitpid(pid, NULL, 0);
		return fail(err, l->program, number);
	}
	*ret = pid;
	return WEIR_OK;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

weir_status process_start(struct process *p, const struct process_plan *plan,
			  struct weir_error *err)
{
	int pair[2] = { -1, -1 }, log[2] = { -1, -1 }, exec[2] = { -1, -1 };
	g_autofree char *name = g_strdup_printf("weir[%s]", plan->name);
	g_autofree char *level = g_strdup_printf("server.log_level=%s", plan->level);
	g_autofree char *profile = g_strdup_printf("/proc/self/fd/%d", FD_PROFILE);
	char *argv[] = { name, (char *)"serve", profile, (char *)"--set", level, NULL };
	g_auto(GStrv) envp = make_environment();
	struct launch l = { .profile = -1, .null = -1, .exec = -1 };
	weir_status status = WEIR_OK;
	process_init(p);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    pipe2(log, O_CLOEXEC) < 0 || pipe2(exec, O_CLOEXEC) < 0 ||
	    (l.null = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0 ||
	    (l.profile = make_profile(plan->profile)) < 0)
		status = fail(err, "descriptors", errno);
	if (status == WEIR_OK) {
		l.socket = pair[1];
		l.output = log[1];
		l.exec = exec[1];
		l.program = plan->program;
		l.argv = argv;
		l.envp = envp;
		(void)fcntl(log[0], F_SETFL, O_NONBLOCK);
		status = launch(&l, exec[0], &p->pid, err);
		exec[1] = l.exec;
	}
	if (status == WEIR_OK) {
		p->socket = pair[0];
		p->output = log[0];
		pair[0] = log[0] = -1;
	}
	for (int i = 0; i < 2; i++) {
		close_fd(&pair[i]);
		close_fd(&log[i]);
		close_fd(&exec[i]);
	}
	close_fd(&l.null);
	close_fd(&l.profile);
	return status;
}

void process_signal(const struct process *p, int number)
{
	if (p->pid > 0)
		(void)kill(p->pid, number);
}

bool process_reap(struct process *p, int *ret_status)
{
	int status = 0;
	pid_t pid;
	if (p->pid <= 0)
		return false;
	do
		pid = waitpid(p->pid, &status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	p->pid = 0; /* ECHILD too: somebody else has taken it */
	*ret_status = status;
	return true;
}

void process_close(struct process *p)
{
	close_fd(&p->socket);
	close_fd(&p->output);
}

char *process_story(int status)
{
	if (WIFSIGNALED(status))
		return g_strdup_printf("was killed by signal %d (%s)%s", WTERMSIG(status),
				       g_strsignal(WTERMSIG(status)),
				       WTERMSIG(status) == SIGKILL
					       ? ": by somebody, or by the kernel, out of memory"
					       : "");
	return g_strdup_printf("ended with status %d", WEXITSTATUS(status));
}
