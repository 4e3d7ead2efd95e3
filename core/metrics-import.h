/*
 * core/metrics-import.h - another process's series among one's own.
 *
 * Each look at the other's exposition adds what is new since the last one: counters go on when the
 * process is another, gauges are the sum over all processes and lose what a process that ended had.
 * What does not parse is left out. One thread at a time.
 */
#ifndef WEIR_CORE_METRICS_IMPORT_H
#define WEIR_CORE_METRICS_IMPORT_H

#include "metrics.h"

struct weir_metric_import;

struct weir_metric_import *weir_metric_import_new(struct weir_metric_set *);
/* text: Prometheus 0.0.4 as core/metrics-text.c writes it. life: another number when the process is
 * another. The value of the label model_name becomes model (NULL: as it is). Families of the
 * other's frontends (line_*) and of its router (weir_model_*) are left out: ours say it. */
void weir_metric_import_take(struct weir_metric_import *, uint64_t life, const char *text,
			     const char *model);
/* Its gauges are taken back. NULL: nothing. */
void weir_metric_import_free(struct weir_metric_import *);

#endif
