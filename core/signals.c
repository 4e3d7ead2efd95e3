/*
 * core/signals.c - see signals.h.
 */
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <glib.h>

#include "log.h"
#include "server.h"

struct weir_signals {
	int signals, stop; /* signalfd, eventfd */
	pthread_t thread;
	pthread_mutex_t lock;
	struct weir_server *server;
	unsigned ends;
};

static void handle(struct weir_signals *self, int number)
{
	pthread_mutex_lock(&self->lock);
	bool end = number != SIGHUP;
	if (end)
		self->ends++;
	if (end && (self->ends > 2 || !self->server))
		_exit(128 + number);
	if (self->server)
		weir_server_ask(self->server, end ? WEIR_ASK_QUIT : WEIR_ASK_RELOAD);
	pthread_mutex_unlock(&self->lock);
}

static void *watch(void *data)
{
	struct weir_signals *self = data;
	struct pollfd fds[2] = { { .fd = self->signals, .events = POLLIN },
				 { .fd = self->stop, .events = POLLIN } };
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return NULL;
		struct signalfd_siginfo info;
		if (read(self->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			handle(self, (int)info.ssi_signo);
	}
}

weir_status weir_signals_new(struct weir_signals **ret, struct weir_error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	struct weir_signals *self = g_new0(struct weir_signals, 1);
	pthread_mutex_init(&self->lock, NULL);
	self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	self->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int wrong = self->signals < 0 || self->stop < 0 ? errno : 0;
	if (!wrong)
		wrong = pthread_create(&self->thread, NULL, watch, self);
	if (wrong) {
		if (self->signals >= 0)
			close(self->signals);
		if (self->stop >= 0)
			close(self->stop);
		g_free(self);
		return weir_fail(err, WEIR_E_INTERNAL, "signals: %s", g_strerror(wrong));
	}
	*ret = self;
	return WEIR_OK;
}

void weir_signals_connect(struct weir_signals *self, struct weir_server *server)
{
	pthread_mutex_lock(&self->lock);
	self->server = server;
	pthread_mutex_unlock(&self->lock);
}

void weir_signals_free(struct weir_signals *self)
{
	if (!self)
		return;
	uint64_t one = 1;
	ssize_t n = write(self->stop, &one, sizeof(one));
	(void)n;
	pthread_join(self->thread, NULL);
	close(self->signals);
	close(self->stop);
	pthread_mutex_destroy(&self->lock);
	g_free(self);
}
