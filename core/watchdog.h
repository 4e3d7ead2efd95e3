/*
 * core/watchdog.h - a thread that keeps deadlines: requests whose time is up are cancelled with
 * WEIR_E_DEADLINE, producers that do not end after a cancel are detached and reported.
 */
#ifndef WEIR_CORE_WATCHDOG_H
#define WEIR_CORE_WATCHDOG_H

#include "stream.h"

struct weir_watchdog;

struct weir_watchdog_options {
	struct weir_streams *streams; /* must outlive it */
	int64_t cancel_grace_ms;
	/* About twice a second on its thread; passed_ns: since the last time. NULL: nothing. */
	void (*look)(void *data, int64_t passed_ns);
	void *data;
};
/* UNAVAILABLE: no thread could be started. */
weir_status weir_watchdog_new(const struct weir_watchdog_options *, struct weir_watchdog **ret,
			      struct weir_error *err);
void weir_watchdog_set_grace(struct weir_watchdog *, int64_t cancel_grace_ms); /* [any] */
void weir_watchdog_free(struct weir_watchdog *); /* joins; NULL: nothing */

#endif
