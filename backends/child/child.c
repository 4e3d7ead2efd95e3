/* SPDX-License-Identifier: MIT */
/*
 * backends/child/child.c - the instance's thread: starts the process, reads and writes, asks it how
 * it is, ends one that hangs, starts the next one a little later each time. See child.h.
 */
#include "child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#define READ_SIZE     65536u
#define READS_A_VISIT 16
#define MAX_LINE      (256u << 20)
#define KEEP_IN       (1u << 20) /* a larger empty buffer is given back */
#define BEAT_MS       1000
#define EAGER_MS      50 /* the same, while it starts or loads */
#define STOP_MS       3000
#define LATE_MS       500 /* who wakes so much later did not run */
#define HEALTHY_MS    60000
#define FIRST_WAIT_MS 200
#define MOST_WAIT_MS  30000
#define MAX_FAILS     8 /* deaths without a healthy minute; then it has failed */
#define MAX_FIRST     3 /* of one that has never been ready */
#define NO_PROFILE    3 /* the exit status of a profile that cannot be used */

int64_t child_clock_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

void child_logf(const struct child *c, uint32_t level, const char *format, ...)
{
	va_list ap;
	if (!c->log || !c->log->enabled(c->host, level, c->host->instance))
		return;
	va_start(ap, format);
	g_autofree char *text = g_strdup_vprintf(format, ap);
	va_end(ap);
	c->log->write(c->host, level, c->host->instance, text);
}

void child_ring(struct child *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->bell_fd, &one, sizeof(one));
	(void)n; /* full counter: the thread is awake already */
}

static void count(const struct child *c, weir_metric *m, double by)
{
	if (m)
		c->metrics->add(m, by);
}

/* ---- the end of a process ---- */

static void kill_now(struct child *c)
{
	process_signal(&c->process, SIGKILL);
	c->phase = PHASE_ENDING;
	c->end_by = INT64_MAX;
}

void child_give_up(struct child *c, const char *format, ...)
{
	va_list ap;
	if (c->phase == PHASE_ENDING || c->phase == PHASE_FAILED || c->phase == PHASE_DOWN)
		return;
	va_start(ap, format);
	g_free(c->why);
	c->why = g_strdup_vprintf(format, ap);
	va_end(ap);
	kill_now(c);
}

static void give_up_for_good(struct child *c, const char *text)
{
	c->phase = PHASE_FAILED;
	report_state(c, WEIR_REPORT_FAILED, text);
	jobs_end(c, WEIR_E_UNAVAILABLE, text);
}

static int64_t next_wait(const struct child *c)
{
	int64_t ms = FIRST_WAIT_MS;
	for (unsigned i = 1; i < c->n_fails && ms < MOST_WAIT_MS; i++)
		ms *= 2;
	return MIN(ms, MOST_WAIT_MS);
}

/* Once the process is gone, whatever ended it. status: of wait(), -1: it was never there. */
static void after_death(struct child *c, const char *story, int status)
{
	bool healthy = c->ready_at && c->now >= c->ready_at + HEALTHY_MS;
	bool hopeless = !c->ever_ready && c->last_words &&
			((c->why && !strcmp(c->why, c->last_words)) ||
			 (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0));
	hopeless |= status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == NO_PROFILE;
	c->n_fails = healthy ? 1 : c->n_fails + 1;
	c->ready_at = 0;
	g_autofree char *text =
		g_strdup_printf("the backend's process %s%s%s", story, c->last_words ? ": " : "",
				c->last_words ? c->last_words : "");
	g_autofree char *plain = hopeless && c->last_words ? g_strdup(c->last_words) : NULL;
	if (hopeless || c->n_fails >= (c->ever_ready ? MAX_FAILS : MAX_FIRST)) {
		child_logf(c, WEIR_LOG_ERROR, "%s", text);
		give_up_for_good(c, plain ? plain : text);
		return;
	}
	int64_t wait = next_wait(c);
	c->phase = PHASE_DOWN;
	c->start_at = c->now + wait;
	child_logf(c, WEIR_LOG_ERROR, "%s; it is started again in %.1f s", text,
		   (double)wait / 1000);
	report_state(c, c->ever_ready ? WEIR_REPORT_READY : WEIR_REPORT_LOADING, NULL);
	jobs_orphaned(c, text);
}

static void bury(struct child *c, int status)
{
	g_autofree char *story = process_story(status);
	if (c->why) {
		g_autofree char *old = g_steal_pointer(&story);
		story = c->last_words && !strcmp(c->why, c->last_words)
				? g_strdup("was ended")
				: g_strdup_printf("was ended, because %s", c->why);
	}
	output_read(c);
	output_end(c);
	process_close(&c->process);
	count(c, c->m_deaths, 1);
	g_string_truncate(c->out, 0);
	c->sent = 0;
	g_byte_array_set_size(c->in, 0);
	c->taken = 0;
	c->asked_at = 0;
	pthread_mutex_lock(&c->lock);
	c->life = c->lives + 1; /* no series until the next one tells its own */
	g_string_truncate(c->series, 0);
	c->info.n_waiting = 0;
	pthread_mutex_unlock(&c->lock);
	after_death(c, story, status);
	g_clear_pointer(&c->why, g_free);
	g_clear_pointer(&c->last_words, g_free);
}

static void start(struct child *c)
{
	struct weir_error err;
	const char *topic = c->host->instance;
	bool debug = c->log && c->log->enabled(c->host, WEIR_LOG_DEBUG, topic);
	g_autofree char *text = g_strconcat(c->settings, c->profile, NULL);
	const struct process_plan plan = { .program = c->program,
					   .name = topic,
					   .profile = text,
					   .level = debug ? "debug" : "info" };
	c->lives++;
	c->n_unknown = 0;
	c->started_at = c->now;
	weir_status status = process_start(&c->process, &plan, &err);
	explicit_bzero(text, strlen(text));
	if (status < 0) {
		g_autofree char *story = g_strdup_printf("could not be started: %s", err.text);
		after_death(c, story, -1);
		return;
	}
	count(c, c->m_starts, 1);
	c->phase = PHASE_STARTING;
	c->ask_at = c->now;
	report_state(c, c->ever_ready ? WEIR_REPORT_READY : WEIR_REPORT_LOADING, NULL);
	child_logf(c, WEIR_LOG_INFO, "process %d is started", (int)c->process.pid);
}

/* ---- bytes ---- */

static void take_line(struct child *c, const char *line, size_t len)
{
	struct wire_message m;
	const char *wrong = wire_read(line, len, &c->scratch, &m);
	if (wrong) {
		child_logf(c, WEIR_LOG_MISBEHAVING, "its process writes %s: %.*s", wrong,
			   (int)MIN(len, 200), line);
		child_give_up(c, "it writes %s", wrong);
	} else if (!m.name[0]) {
		jobs_message(c, line, len, &m);
	} else if (m.kind != WIRE_ANSWER) {
		child_give_up(c, "it does not know what %s is", m.name);
	} else if (strcmp(m.name, "health") == 0) {
		report_health(c, m.result);
	} else if (strcmp(m.name, "models") == 0) {
		report_models(c, m.result);
	} else if (strcmp(m.name, "metrics") == 0) {
		report_metrics(c, m.result);
	}
}

static bool listens(const struct child *c)
{
	return c->phase == PHASE_STARTING || c->phase == PHASE_LOADING || c->phase == PHASE_READY;
}

static void take_lines(struct child *c, size_t fresh)
{
	const char *from = (const char *)c->in->data + c->in->len - fresh, *end;
	while (listens(c) &&
	       (end = memchr(from, '\n',
			     (size_t)((const char *)c->in->data + c->in->len - from)))) {
		const char *line = (const char *)c->in->data + c->taken;
		take_line(c, line, (size_t)(end - line));
		from = end + 1;
		c->taken = (size_t)(from - (const char *)c->in->data);
	}
	if (!listens(c))
		return;
	if (c->in->len - c->taken > MAX_LINE) {
		child_give_up(c, "it writes a line of more than %u MiB", MAX_LINE >> 20);
	} else if (c->taken == c->in->len) {
		c->taken = 0;
		if (c->in->len > KEEP_IN) {
			g_byte_array_unref(c->in);
			c->in = g_byte_array_new();
		}
		g_byte_array_set_size(c->in, 0);
	} else if (c->taken > KEEP_IN) {
		g_byte_array_remove_range(c->in, 0, (guint)c->taken);
		c->taken = 0;
	}
}

static void read_socket(struct child *c)
{
	for (int i = 0; i < READS_A_VISIT && listens(c) && c->process.socket >= 0; i++) {
		guint old = c->in->len;
		g_byte_array_set_size(c->in, old + READ_SIZE);
		ssize_t n = recv(c->process.socket, c->in->data + old, READ_SIZE, 0);
		int number = errno;
		g_byte_array_set_size(c->in, old + (n > 0 ? (guint)n : 0));
		if (n < 0 && (number == EAGAIN || number == EINTR))
			return;
		if (n <= 0) { /* its end is looked for in tick() */
			close(c->process.socket);
			c->process.socket = -1;
			return;
		}
		take_lines(c, (size_t)n);
		if (n < (ssize_t)READ_SIZE)
			return;
	}
}

static void flush(struct child *c)
{
	while (c->process.socket >= 0 && c->sent < c->out->len) {
		ssize_t n = send(c->process.socket, c->out->str + c->sent, c->out->len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* full, or gone: reading will tell */
		c->sent += (size_t)n;
	}
	if (c->sent == c->out->len) {
		c->sent = 0;
		if (c->out->allocated_len > KEEP_IN) {
			g_string_free(c->out, TRUE);
			c->out = g_string_new(NULL);
		}
		g_string_truncate(c->out, 0);
	} else if (c->sent > KEEP_IN) {
		g_string_erase(c->out, 0, (gssize)c->sent);
		c->sent = 0;
	}
}

/* ---- time ---- */

static void beat(struct child *c)
{
	if (c->asked_at) {
		if (c->now >= c->asked_at + c->hang_ms)
			child_give_up(c, "it did not answer for %.1f s", (double)c->hang_ms / 1000);
		return;
	}
	if (c->now < c->ask_at)
		return;
	wire_put_ask(c->out, "health");
	c->asked_at = c->now;
	c->ask_at = c->now + (c->phase == PHASE_READY ? BEAT_MS : EAGER_MS);
	if (c->phase == PHASE_READY && c->metrics)
		wire_put_ask(c->out, "metrics");
}

static void tick(struct child *c)
{
	int status;
	if (c->process.pid > 0 && process_reap(&c->process, &status)) {
		read_socket(c); /* what it had still written */
		bury(c, status);
		return;
	}
	switch (c->phase) {
	case PHASE_DOWN:
		if (c->now >= c->start_at)
			start(c);
		break;
	case PHASE_STARTING:
	case PHASE_LOADING:
	case PHASE_READY:
		beat(c);
		if (jobs_overdue(c))
			child_give_up(c, "it did not end a cancelled request in %.1f s",
				      (double)c->hang_ms / 1000);
		if (c->trial && c->phase == PHASE_READY)
			jobs_send(c);
		break;
	case PHASE_ENDING:
		if (c->now >= c->end_by)
			kill_now(c);
		break;
	case PHASE_FAILED:
		break;
	}
}

static int patience(const struct child *c)
{
	int64_t until = c->now + BEAT_MS;
	/* The socket is gone, or it was told to go: it is a matter of milliseconds. */
	if (c->phase == PHASE_ENDING || (c->process.pid > 0 && c->process.socket < 0))
		return 5;
	if (c->phase == PHASE_DOWN)
		until = c->start_at;
	else if (listens(c))
		until = c->asked_at ? MIN(until, c->asked_at + c->hang_ms) : c->ask_at;
	if (jobs_any_cancelled(c))
		until = MIN(until, c->now + 100);
	return (int)CLAMP(until - c->now, 0, BEAT_MS);
}

static void take_inbox(struct child *c)
{
	for (;;) {
		pthread_mutex_lock(&c->lock);
		struct job *j = c->inbox;
		if (j) {
			c->inbox = j->next_in;
			if (!c->inbox)
				c->inbox_last = NULL;
			j->in_inbox = false;
		}
		pthread_mutex_unlock(&c->lock);
		if (!j)
			return;
		job_look(c, j);
	}
}

static void visit(struct child *c)
{
	struct pollfd fds[3] = {
		{ .fd = c->bell_fd, .events = POLLIN },
		{ .fd = c->process.socket,
		  .events = (short)(POLLIN | (c->sent < c->out->len ? POLLOUT : 0)) },
		{ .fd = c->process.output, .events = POLLIN },
	};
	uint64_t n;
	int wait = patience(c);
	(void)poll(fds, G_N_ELEMENTS(fds), wait);
	int64_t now = child_clock_ms() - c->slept, late = now - c->now - wait;
	c->slept += late > LATE_MS ? late : 0;
	c->now = now - (late > LATE_MS ? late : 0);
	if (fds[0].revents && read(c->bell_fd, &n, sizeof(n)) < 0)
		n = 0;
	if (fds[2].revents)
		output_read(c);
	if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
		read_socket(c);
	take_inbox(c);
	tick(c);
	flush(c);
	if (c->bell)
		c->streams->ring(c->bell);
}

static bool wants_stop(struct child *c)
{
	pthread_mutex_lock(&c->lock);
	bool stop = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

/* Whoever is in the inbox or known is ended first: nobody posts any more. */
static void shut_down(struct child *c)
{
	int status;
	c->phase = PHASE_FAILED;
	take_inbox(c);
	jobs_end(c, WEIR_E_UNAVAILABLE, "the server is shutting down");
	if (c->bell)
		c->streams->ring(c->bell);
	process_signal(&c->process, SIGTERM);
	int64_t until = child_clock_ms() + STOP_MS;
	while (c->process.pid > 0 && !process_reap(&c->process, &status)) {
		struct pollfd output = { .fd = c->process.output, .events = POLLIN };
		if (child_clock_ms() >= until) {
			process_signal(&c->process, SIGKILL);
			until = INT64_MAX;
		}
		(void)poll(&output, 1, 5);
		output_read(c);
	}
	output_end(c);
	process_close(&c->process);
}

void *child_run(void *data)
{
	struct child *c = data;
	c->now = child_clock_ms();
	start(c);
	while (!wants_stop(c))
		visit(c);
	shut_down(c);
	return NULL;
}
