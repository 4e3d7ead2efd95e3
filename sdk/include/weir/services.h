/* SPDX-License-Identifier: MIT */
/*
 * weir/services.h - what the host does for its plugins: logging, metrics, status, administration.
 */
#ifndef WEIR_SERVICES_H
#define WEIR_SERVICES_H

#include <weir/plugin.h>

#define WEIR_HOST_LOG "weir.host.log/1"

enum weir_log_level {
	WEIR_LOG_DEBUG = 0,
	WEIR_LOG_INFO = 1,
	WEIR_LOG_WARNING = 2,
	WEIR_LOG_ERROR = 3,
	WEIR_LOG_MISBEHAVING = 4, /* a plugin broke the contract: who and how */
};

struct weir_log {
	uint32_t size, reserved;
	/* One line; topic is the part ("http", "cpu.load"). Cheap when the level is off. [any] */
	void (*write)(const struct weir_host *, uint32_t level, const char *topic,
		      const char *text);
	bool (*enabled)(const struct weir_host *, uint32_t level, const char *topic); /* [any] */
	/* Long work: a bar on a terminal, a line now and then elsewhere. done == total ends it.
	 * [any] */
	void (*progress)(const struct weir_host *, const char *what, uint64_t done, uint64_t total);
};
WEIR_FROZEN(struct weir_log, progress);

#define WEIR_HOST_METRICS "weir.host.metrics/1"

typedef struct weir_metric weir_metric; /* one series: a name with its label values */

struct weir_metrics {
	uint32_t size, reserved;
	/* The series of that name and labels; made at first use, never freed. labels:
	 * "a=\"x\",b=\"y\"" or "". A histogram's bounds ascend; +Inf is implied. Type and bounds of
	 * the first use stand. May lock: call at start, keep the pointer. [any] */
	weir_metric *(*counter)(const struct weir_host *, const char *name, const char *labels,
				const char *help);
	weir_metric *(*gauge)(const struct weir_host *, const char *name, const char *labels,
			      const char *help);
	weir_metric *(*histogram)(const struct weir_host *, const char *name, const char *labels,
				  const char *help, const double *bounds, size_t n);
	void (*add)(weir_metric *, double by);        /* counter, gauge; lock-free. [any] */
	void (*set)(weir_metric *, double value);     /* gauge. [any] */
	void (*observe)(weir_metric *, double value); /* histogram. [any] */
};
WEIR_FROZEN(struct weir_metrics, observe);

#define WEIR_HOST_STATUS "weir.host.status/1"

enum weir_status_doc {
	WEIR_STATUS_HEALTH = 1,     /* JSON of /health without frontend parts */
	WEIR_STATUS_PROMETHEUS = 2, /* text exposition format 0.0.4 */
	WEIR_STATUS_METRICS = 3,    /* JSON of the same series */
};

struct weir_status_api {
	uint32_t size, reserved;
	/* The document, NUL-terminated, to be freed with free(); NULL: not available yet. [any] */
	char *(*document)(const struct weir_host *, uint32_t which);
	/* initializing | ready | draining; a static string. [any] */
	const char *(*state)(const struct weir_host *);
	/* Ask for a reload of the profile or an orderly end; returns at once. [any] */
	void (*reload)(const struct weir_host *);
	void (*quit)(const struct weir_host *);
};
WEIR_FROZEN(struct weir_status_api, quit);

#endif
