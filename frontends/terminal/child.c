/* SPDX-License-Identifier: MIT */
/*
 * frontends/terminal/child.c - see child.h.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define LOG_MAX   65536
#define LISTEN_MS 60000
#define END_MS    5000
#define STEP_MS   20

struct child {
	pid_t pid; /* 0: it has ended */
	int log_fd;
	char *url;
};

/* The first 64 KiB, in which the address is. */
static char *read_log(const struct child *c)
{
	g_autofree char *buf = g_malloc0(LOG_MAX + 1);
	ssize_t n = pread(c->log_fd, buf, LOG_MAX, 0);
	return g_utf8_make_valid(buf, n > 0 ? n : 0);
}

static void in_child(gpointer parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != *(const pid_t *)parent)
		_exit(1); /* it died before prctl() */
}

static bool spawn(struct child *c, const char *const *argv, char **ret_error)
{
	g_autoptr(GError) error = NULL;
	pid_t self = getpid();
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	c->log_fd = memfd_create("weir-chat-log", MFD_CLOEXEC);
	if (null_fd < 0 || c->log_fd < 0) {
		*ret_error = g_strdup_printf("cannot start a server: %s", g_strerror(errno));
		if (null_fd >= 0)
			close(null_fd);
		return false;
	}
	bool ok = g_spawn_async_with_fds(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
					 in_child, &self, &c->pid, null_fd, null_fd, c->log_fd,
					 &error);
	close(null_fd);
	if (!ok)
		*ret_error = g_strdup_printf("cannot start a server: %s", error->message);
	return ok;
}

bool child_is_dead(struct child *c, char **ret_log)
{
	if (c->pid && waitpid(c->pid, NULL, WNOHANG) == c->pid)
		c->pid = 0;
	if (c->pid)
		return false;
	g_autofree char *log = read_log(c);
	size_t n = strlen(log);
	while (n && log[n - 1] == '\n')
		log[--n] = 0;
	*ret_log = g_strdup(log);
	return true;
}

/* "... http: listening on http://127.0.0.1:PORT" */
static bool find_url(struct child *c)
{
	static const char mark[] = "listening on http://";
	g_autofree char *log = read_log(c);
	const char *at = strstr(log, mark);
	const char *end = at ? strchr(at, '\n') : NULL;
	if (!end)
		return false;
	at += strlen("listening on ");
	c->url = g_strndup(at, (size_t)(end - at));
	return true;
}

static bool wait_for_url(struct child *c, char **ret_error)
{
	for (int ms = 0; ms < LISTEN_MS; ms += STEP_MS) {
		g_autofree char *log = NULL;
		if (find_url(c))
			return true;
		if (child_is_dead(c, &log)) {
			*ret_error = g_strdup_printf("the server could not start:\n%s", log);
			return false;
		}
		g_usleep(STEP_MS * 1000);
	}
	*ret_error = g_strdup("the server does not listen: does its profile have a "
			      "[frontend.http]?");
	return false;
}

bool child_start(const char *profile, const char *model, struct child **ret, const char **ret_url,
		 char **ret_error)
{
	g_autofree char *path = g_canonicalize_filename(model ? model : ".", NULL);
	g_autofree char *name = g_path_get_basename(path);
	if (g_str_has_suffix(name, ".gguf"))
		name[strlen(name) - 5] = 0;
	g_autofree char *set_model = g_strconcat("backend.main.model=", path, NULL);
	g_autofree char *set_serves = g_strconcat("backend.main.serves=", name, ",default", NULL);
	const char *argv[] = { "/proc/self/exe",
			       "serve",
			       profile,
			       "--set",
			       "frontend.http.listen=127.0.0.1:0",
			       model ? "--set" : NULL,
			       set_model,
			       "--set",
			       set_serves,
			       NULL };
	struct child *c = g_new0(struct child, 1);
	c->log_fd = -1;
	if (!spawn(c, argv, ret_error) || !wait_for_url(c, ret_error)) {
		child_stop(c);
		return false;
	}
	*ret = c;
	*ret_url = c->url;
	return true;
}

void child_stop(struct child *c)
{
	if (!c)
		return;
	if (c->pid)
		kill(c->pid, SIGTERM);
	for (int ms = 0; c->pid; ms += STEP_MS) {
		if (ms >= END_MS)
			kill(c->pid, SIGKILL);
		if (waitpid(c->pid, NULL, ms >= END_MS ? 0 : WNOHANG) != 0)
			c->pid = 0;
		else
			g_usleep(STEP_MS * 1000);
	}
	if (c->log_fd >= 0)
		close(c->log_fd);
	g_free(c->url);
	g_free(c);
}
