/*
 * core/trace.h - the recorder behind weir.host.trace/1: what took how long, as spans in a ring.
 *
 * Off until somebody asks for a recording; then a recording holds the last spans of a bounded time
 * in bounded memory. All [any]. What the scheduler and the gateway record is in scheduler-trace.h;
 * how it is read is in trace-read.c.
 */
#ifndef WEIR_CORE_TRACE_H
#define WEIR_CORE_TRACE_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/services.h>

#include "core.h"

#define WEIR_TRACE_MIN_EVENTS  16u
#define WEIR_TRACE_MAX_EVENTS  262144u
#define WEIR_TRACE_MAX_SECONDS 3600u

struct weir_trace_event {
	int64_t start_ns, duration_ns;
	uint64_t row;
	int32_t thread; /* the kernel's number of the thread that recorded it */
	uint32_t n_args;
	int64_t values[WEIR_TRACE_MAX_ARGS];
	char category[16], name[32], label[48];
	char args[WEIR_TRACE_MAX_ARGS][16];
};

struct weir_recording { /* the trace and each reader hold a reference */
	atomic_int refs;
	uint32_t capacity, seconds;
	int64_t began_ns, until_ns;
	int64_t stopped_ns; /* 0: under way. trace->lock, as the two below */
	uint64_t n;         /* spans so far: number i is in events[i % capacity] */
	struct weir_trace_event *events;
};

struct weir_trace {
	atomic_bool on;
	_Atomic uint64_t rows;
	pthread_mutex_t lock;
	struct weir_recording *recording; /* NULL: none yet */
};

struct weir_trace *weir_trace_new(void);
void weir_trace_free(struct weir_trace *); /* no reader is open; NULL: nothing */

/* trace NULL: false. */
static inline bool weir_trace_on(const struct weir_trace *trace)
{
	return trace && atomic_load_explicit(&trace->on, memory_order_relaxed);
}

uint64_t weir_trace_new_row(struct weir_trace *);
void weir_trace_add(struct weir_trace *, const struct weir_trace_span *);
/* A span of this thread from start_ns until now; label may be NULL, args ends at a NULL name or is
 * NULL. */
void weir_trace_since(struct weir_trace *, const char *category, const char *name,
		      const char *label, int64_t start_ns, const struct weir_trace_arg *args);
weir_status weir_trace_start(struct weir_trace *, uint32_t seconds, uint32_t events,
			     struct weir_error *err);
void weir_trace_stop(struct weir_trace *);
char *weir_trace_state(struct weir_trace *); /* free() it */

/* trace-read.c */
weir_trace_reader *weir_trace_open(struct weir_trace *);
char *weir_trace_next(weir_trace_reader *);
void weir_trace_close(weir_trace_reader *);

void weir_recording_unref(struct weir_recording *); /* NULL: nothing */

const struct weir_trace_api *weir_trace_extension(void); /* WEIR_HOST_TRACE */

#endif
