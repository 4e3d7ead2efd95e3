/*
 * core/check-run.c - one case of `weir check` in a forked child, see check.h.
 */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"
#include "options.h"
#include "registry.h"

#define MAX_TEXT 16384

static void say(struct weir_check *check, enum weir_check_verdict verdict, const char *format,
		va_list args)
{
	if (check->verdict != WEIR_CHECK_FAILED)
		check->verdict = verdict;
	if (check->text->len > 0)
		g_string_append_c(check->text, '\n');
	g_string_append_vprintf(check->text, format, args);
}

void weir_check_fail(struct weir_check *check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(check, WEIR_CHECK_FAILED, format, args);
	va_end(args);
}

void weir_check_skip(struct weir_check *check, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(check, WEIR_CHECK_SKIPPED, format, args);
	va_end(args);
}

void weir_check_absent(struct weir_check *check)
{
	check->verdict = WEIR_CHECK_ABSENT;
}

const struct weir_plugin *weir_check_load(struct weir_check *check)
{
	struct weir_registry *registry = weir_registry_new();
	struct weir_error err;
	const struct weir_plugin *plugin = NULL;
	if (weir_registry_load(registry, check->path, &err) != WEIR_OK)
		weir_check_fail(check, "%s", err.text);
	else
		plugin = weir_registry_entry(registry, 0)->plugin;
	weir_registry_free(registry);
	return plugin;
}

static void kv_clear(void *data)
{
	g_free((char *)((struct weir_kv *)data)->value);
}

static const char *given(const struct weir_check *check, const char *key)
{
	const char *found = NULL;
	for (unsigned i = 0; i < check->options->len; i++) {
		const char *text = g_ptr_array_index(check->options, i);
		size_t n = strlen(key);
		if (!strncmp(text, key, n) && text[n] == '=')
			found = text + n + 1;
	}
	return found;
}

GArray *weir_check_conf(struct weir_check *check)
{
	GArray *conf = g_array_new(false, false, sizeof(struct weir_kv));
	g_array_set_clear_func(conf, kv_clear);
	const struct weir_option *const *options = check->component->options;
	for (size_t i = 0; options && options[i]; i++) {
		const char *text = given(check, options[i]->key);
		struct weir_error why;
		char *value = NULL;
		if (!text)
			text = options[i]->fallback;
		if (!text || !*text) {
			if (options[i]->flags & WEIR_OPTION_REQUIRED)
				weir_check_skip(check, "needs --option %s=...: %s", options[i]->key,
						options[i]->help);
			continue;
		}
		if (weir_option_parse(options[i], text, NULL, &value, &why) != WEIR_OK) {
			weir_check_skip(check, "--option %s: %s", options[i]->key, why.text);
			continue;
		}
		struct weir_kv pair = { options[i]->key, value };
		g_array_append_val(conf, pair);
	}
	if (!weir_check_going(check))
		g_clear_pointer(&conf, g_array_unref);
	return conf;
}

struct weir_part *weir_check_create(struct weir_check *check, const struct weir_host *host)
{
	GArray *conf = weir_check_conf(check);
	if (!conf)
		return NULL;
	struct weir_part *part = NULL;
	struct weir_error err;
	memset(&err, 0, sizeof(err));
	const char *section = "check";
	weir_status status =
		host ? weir_part_create_behind(host, section, check->component,
					       (const struct weir_kv *)conf->data, conf->len, &part,
					       &err)
		     : weir_part_create(&check->core, section, check->component,
					(const struct weir_kv *)conf->data, conf->len, &part, &err);
	g_array_unref(conf);
	if (status == WEIR_OK)
		return part;
	/* Missing hardware or files are the machine's matter; a broken answer is the plugin's. */
	if (strstr(err.text, "without a reason") || strstr(err.text, "plugin "))
		weir_check_fail(check, "%s", err.text);
	else
		weir_check_skip(check, "create() says: %s", err.text);
	return NULL;
}

void weir_check_log(struct weir_check *check)
{
	char text[8192];
	if (check->log_read)
		return;
	ssize_t n = pread(check->log_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	for (size_t i = 0; lines[i]; i++) {
		const char *mark = strstr(lines[i], "MISBEHAVING ");
		if (!mark)
			continue;
		check->log_read = true; /* one line says it */
		weir_check_fail(check, "the host reports: %s", mark + 12);
		return;
	}
}

static void run_child(const struct weir_check_case *one, struct weir_check *check, int component,
		      int out)
{
	check->log_fd = memfd_create("weir-check-log", MFD_CLOEXEC);
	check->core.log = weir_logger_new("off", check->log_fd, false);
	check->core.metrics = weir_metric_set_new();
	if (component >= 0) {
		check->plugin = weir_check_load(check);
		for (int i = 0; check->plugin && i <= component; i++)
			check->component = check->plugin->components[i];
	}
	if (weir_check_going(check))
		one->run(check);
	if (check->verdict != WEIR_CHECK_ABSENT)
		weir_check_log(check);
	char verdict = (char)check->verdict;
	if (write(out, &verdict, 1) != 1 ||
	    write(out, check->text->str, MIN(check->text->len, MAX_TEXT)) < 0)
		_exit(1);
	_exit(0);
}

/* Reads until the child has closed the pipe or the time is up. */
static bool collect(int fd, int limit_s, GString *text)
{
	int64_t end = g_get_monotonic_time() + (int64_t)limit_s * 1000000;
	for (;;) {
		int64_t left = (end - g_get_monotonic_time()) / 1000;
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		char piece[4096];
		if (left <= 0)
			return false;
		if (poll(&poll_fd, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		if (text->len < MAX_TEXT)
			g_string_append_len(text, piece, n);
	}
}

static enum weir_check_verdict judge(int status, const char *trace, GString *text)
{
	if (WIFSIGNALED(status)) {
		g_string_printf(text, "crashed: %s%s%s", g_strsignal(WTERMSIG(status)),
				*trace ? ", at " : "", trace);
		return WEIR_CHECK_FAILED;
	}
	if (text->len == 0 || WEXITSTATUS(status) != 0) {
		g_string_printf(text, "the process left with status %d%s%s", WEXITSTATUS(status),
				*trace ? ", at " : "", trace);
		return WEIR_CHECK_FAILED;
	}
	enum weir_check_verdict verdict = (enum weir_check_verdict)text->str[0];
	g_string_erase(text, 0, 1);
	return verdict;
}

static enum weir_check_verdict wait_for(int limit_s, pid_t pid, int fd, const char *trace,
					GString *text)
{
	int status = 0;
	bool ended = collect(fd, limit_s, text);
	if (!ended)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	kill(-pid, SIGKILL); /* what the plugin started and left behind */
	if (ended)
		return judge(status, trace, text);
	g_string_printf(text, "did not end within %d s%s%s", limit_s, *trace ? ", at " : "", trace);
	return WEIR_CHECK_FAILED;
}

static enum weir_check_verdict no_child(const char *what, GString *text)
{
	g_string_printf(text, "%s: %s", what, g_strerror(errno));
	return WEIR_CHECK_FAILED;
}

/* With the files that a case left when it crashed. */
static void remove_folder(const char *folder)
{
	g_autoptr(GDir) dir = folder ? g_dir_open(folder, 0, NULL) : NULL;
	const char *name;
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		unlink(path);
	}
	if (folder)
		rmdir(folder);
}

enum weir_check_verdict weir_check_run(const struct weir_check_case *one,
				       const struct weir_check_terms *terms, int component,
				       GString *text)
{
	int fds[2];
	g_string_truncate(text, 0);
	g_autofree char *folder = g_dir_make_tmp("weir-check-XXXXXX", NULL);
	char *trace = mmap(NULL, WEIR_CHECK_TRACE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (trace == MAP_FAILED) {
		remove_folder(folder);
		return no_child("mmap", text);
	}
	if (pipe2(fds, O_CLOEXEC) != 0) {
		munmap(trace, WEIR_CHECK_TRACE);
		remove_folder(folder);
		return no_child("pipe", text);
	}
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct weir_check check = { .path = terms->path,
					    .options = terms->options,
					    .trace = trace,
					    .folder = folder,
					    .patience_s = terms->patience_s,
					    .seed = terms->seed,
					    .effort_s = terms->effort_s,
					    .verdict = WEIR_CHECK_OK,
					    .text = g_string_new(NULL) };
		close(fds[0]);
		setpgid(0, 0);
		signal(SIGPIPE, SIG_IGN);
		run_child(one, &check, component, fds[1]);
	}
	close(fds[1]);
	enum weir_check_verdict verdict;
	if (pid > 0) {
		setpgid(pid, pid); /* both do it: whoever comes first */
		int limit_s = (int)one->waits * terms->patience_s + 10;
		if (!strcmp(one->section, "fuzz"))
			limit_s += terms->effort_s;
		verdict = wait_for(limit_s, pid, fds[0], trace, text);
	} else {
		verdict = no_child("fork", text);
	}
	close(fds[0]);
	munmap(trace, WEIR_CHECK_TRACE);
	remove_folder(folder);
	return verdict;
}
