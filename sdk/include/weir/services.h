/* SPDX-License-Identifier: MIT */
/*
 * weir/services.h - what the host does for its plugins: logging, metrics, status, administration,
 * traces.
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
	/* initializing | ready | failed (nothing could be loaded) | draining; a static string.
	 * [any] */
	const char *(*state)(const struct weir_host *);
	/* Ask for a reload of the profile or an orderly end; returns at once. [any] */
	void (*reload)(const struct weir_host *);
	void (*quit)(const struct weir_host *);
};
WEIR_FROZEN(struct weir_status_api, quit);

#define WEIR_HOST_TRACE "weir.host.trace/1"

#define WEIR_TRACE_MAX_ARGS 6u

struct weir_trace_arg {
	const char *name; /* at most 15 bytes are kept */
	int64_t value;
};
WEIR_FROZEN(struct weir_trace_arg, value);

/* Something that took time. Spans of one row must nest or follow one another: that is how they are
 * drawn. Never the text of a prompt or an answer. */
struct weir_trace_span {
	uint32_t size, n_args;         /* n_args: the first WEIR_TRACE_MAX_ARGS are kept */
	const char *category, *name;   /* "device", "attention": 15 and 31 bytes are kept */
	struct weir_str label;         /* whose it is: a request, a model; 47 bytes are kept */
	uint64_t row;                  /* 0: the calling thread's; else one from new_row() */
	int64_t start_ns, duration_ns; /* CLOCK_MONOTONIC */
	const struct weir_trace_arg *args;
};
WEIR_FROZEN(struct weir_trace_span, args);

typedef struct weir_trace_reader weir_trace_reader;

struct weir_trace_api {
	uint32_t size, reserved;
	/* Is a recording under way? One relaxed load: ask before the clock is read. [any] */
	bool (*enabled)(const struct weir_host *);
	/* A number that no other row has, for spans of something that wanders between threads.
	 * [any] */
	uint64_t (*new_row)(const struct weir_host *);
	/* Copied; nothing when no recording is under way. Locks for a moment. [any] */
	void (*span)(const struct weir_host *, const struct weir_trace_span *);
	/* The last `events` spans of the next `seconds`; what was recorded before is dropped.
	 * INVALID: outside of 1..3600 or 16..262144. QUEUE_FULL: one is under way. [any] */
	weir_status (*start)(const struct weir_host *, uint32_t seconds, uint32_t events,
			     struct weir_error *err);
	void (*stop)(const struct weir_host *); /* what was recorded stays. [any] */
	/* {"state":"off|recording|stopped","seconds","capacity","events","dropped","elapsed"}, to
	 * be freed with free(). [any] */
	char *(*state)(const struct weir_host *);
	/* What is recorded now as trace-event JSON, the format that Perfetto and chrome://tracing
	 * read, in pieces of some KiB: next() gives text to be freed with free(), NULL at the end.
	 * open() NULL: nothing was ever recorded. [any], a reader by one thread at a time */
	weir_trace_reader *(*open)(const struct weir_host *);
	char *(*next)(weir_trace_reader *);
	void (*close)(weir_trace_reader *); /* NULL: nothing */
};
WEIR_FROZEN(struct weir_trace_api, close);

#endif
