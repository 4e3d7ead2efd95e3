/*
 * core/metrics-series.h - what a metric set holds; metrics.c fills it, metrics-text.c renders it.
 */
#ifndef WEIR_CORE_METRICS_SERIES_H
#define WEIR_CORE_METRICS_SERIES_H

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

#include "metrics.h"

enum weir_metric_type {
	WEIR_METRIC_COUNTER = 0,
	WEIR_METRIC_GAUGE = 1,
	WEIR_METRIC_HISTOGRAM = 2,
};

struct weir_metric {
	enum weir_metric_type type;
	char *labels;         /* as on the wire, without braces; "" */
	_Atomic double value; /* counter, gauge; histogram: the sum */
	size_t n_bounds;
	double *bounds;
	atomic_ullong *buckets; /* n_bounds + 1, not cumulated */
};

struct weir_metric_family {
	enum weir_metric_type type;
	char *name; /* on the wire: a counter ends in _total */
	char *help;
	GPtrArray *series;
};

struct weir_metric_set {
	pthread_mutex_t lock;
	GPtrArray *families; /* in order of creation */
	GHashTable *by_name; /* family name to family */
	GHashTable *by_key;  /* "name{labels}" to series */
	/* Handed out, never rendered: past the limit, or a known name as another type. */
	struct weir_metric *stray[WEIR_METRIC_HISTOGRAM + 1];
};

#endif
