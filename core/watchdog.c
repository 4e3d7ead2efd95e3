/*
 * watchdog.c - see watchdog.h. It looks ten times a second, and earlier when a deadline is near: a
 * deadline is kept to a few milliseconds, a grace to a tenth of a second.
 */
#include "watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <glib.h>

#include "log.h"

#define TICK_NS 100000000
#define LOOK_NS 500000000

struct weir_watchdog {
	struct weir_watchdog_options options;
	_Atomic int64_t grace_ns;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
};

static void *watch(void *data)
{
	struct weir_watchdog *w = data;
	int64_t looked = weir_clock_ns();

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct timespec until;
		int64_t now = weir_clock_ns(), next;

		pthread_mutex_unlock(&w->lock);
		next = weir_streams_check(w->options.streams, now, atomic_load(&w->grace_ns));
		next = MIN(next, now + TICK_NS);
		if (w->options.look && now - looked >= LOOK_NS) {
			w->options.look(w->options.data, now - looked);
			looked = now;
		}
		until.tv_sec = next / 1000000000;
		until.tv_nsec = next % 1000000000;
		pthread_mutex_lock(&w->lock);
		if (!w->stop)
			pthread_cond_timedwait(&w->cond, &w->lock, &until);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

weir_status weir_watchdog_new(const struct weir_watchdog_options *options,
			      struct weir_watchdog **ret, struct weir_error *err)
{
	struct weir_watchdog *w = g_new0(struct weir_watchdog, 1);
	pthread_condattr_t attr;

	w->options = *options;
	w->grace_ns = CLAMP(options->cancel_grace_ms, 0, G_MAXINT32) * 1000000;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, watch, w) != 0) {
		pthread_cond_destroy(&w->cond);
		pthread_mutex_destroy(&w->lock);
		g_free(w);
		return weir_fail(err, WEIR_E_UNAVAILABLE, "cannot start the watchdog's thread");
	}
	*ret = w;
	return WEIR_OK;
}

void weir_watchdog_set_grace(struct weir_watchdog *w, int64_t cancel_grace_ms)
{
	atomic_store(&w->grace_ns, cancel_grace_ms * 1000000);
}

void weir_watchdog_free(struct weir_watchdog *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	g_free(w);
}
