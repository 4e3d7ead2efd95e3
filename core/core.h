/*
 * core/core.h - the parts of a running Weir, as one bag of pointers that travels instead of
 * globals.
 *
 * main owns it; every struct weir_host has it as its `data`, so the services that plugins call can
 * find their part. Filled before the first plugin is created, constant while plugins run.
 */
#ifndef WEIR_CORE_H
#define WEIR_CORE_H

struct weir_logger;     /* log.h */
struct weir_metric_set; /* metrics.h */
struct weir_router;     /* gateway.h: models, chain, backends, schedulers */
struct weir_server;     /* server.h: profile, instances, life cycle */
struct weir_trace;      /* trace.h */

struct weir_core {
	struct weir_logger *log;
	struct weir_metric_set *metrics;
	struct weir_router *router;
	struct weir_server *server;
	struct weir_trace *trace; /* NULL: nothing can be recorded */
};

#endif
