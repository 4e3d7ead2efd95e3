/*
 * core/metrics.h - counters, gauges and histograms, and their two documents.
 *
 * add(), set() and observe() are lock-free; creating a series and rendering take a lock.
 */
#ifndef WEIR_CORE_METRICS_H
#define WEIR_CORE_METRICS_H

#include <weir/services.h>

#include "core.h"

struct weir_metric_set *weir_metric_set_new(void);
void weir_metric_set_free(struct weir_metric_set *);

weir_metric *weir_metric_counter(struct weir_metric_set *, const char *name, const char *labels,
				 const char *help);
weir_metric *weir_metric_gauge(struct weir_metric_set *, const char *name, const char *labels,
			       const char *help);
weir_metric *weir_metric_histogram(struct weir_metric_set *, const char *name, const char *labels,
				   const char *help, const double *bounds, size_t n);
void weir_metric_add(weir_metric *, double by);
void weir_metric_set_value(weir_metric *, double value);
void weir_metric_observe(weir_metric *, double value);

/* The sum of a counter's or gauge's series, 0 if there is none. [any] */
double weir_metric_set_sum(const struct weir_metric_set *, const char *name);

/* Text exposition format 0.0.4, families in order of creation, values and label text escaped.
 * The name is given without "_total"; counters get it on the wire. free() the result. [any] */
char *weir_metric_set_prometheus(const struct weir_metric_set *);
/* {"counters":{name{labels}:value},"gauges":{...},"histograms":{...:{"count","sum","p50","p95","p99"}}}
 */
char *weir_metric_set_json(const struct weir_metric_set *);

const struct weir_metrics *weir_metrics_extension(void); /* WEIR_HOST_METRICS [any] */

#endif
