/*
 * core/signals.h - SIGTERM and SIGINT end a server, SIGHUP reloads it.
 *
 * A thread of its own reads them, so that a signal counts whatever the main thread is stuck in: the
 * first asks for a drain, the second for an end at once, the third leaves the process on the spot.
 */
#ifndef WEIR_CORE_SIGNALS_H
#define WEIR_CORE_SIGNALS_H

#include <weir/base.h>

struct weir_signals;
struct weir_server;

/* Before any other thread is started: the mask is inherited. SIGPIPE is ignored from now on. */
weir_status weir_signals_new(struct weir_signals **ret, struct weir_error *err);
/* Where signals go; NULL: nowhere, and then one that ends leaves the process. [any] */
void weir_signals_connect(struct weir_signals *, struct weir_server *);
void weir_signals_free(struct weir_signals *);

#endif
