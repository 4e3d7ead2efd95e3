/*
 * core/scheduler-trace.h - what the gateway and the scheduler put into a trace. Each call costs one
 * relaxed load when nothing is recorded.
 *
 * A request has a row of its own: `request` from its arrival to its end, and inside it `queued`
 * (with `tokenise`), `prefill` and `decode`. A scheduler's thread has `turn` and inside it `step`,
 * the time that the backend took; `embed` between turns; `load` before them.
 */
#ifndef WEIR_CORE_SCHEDULER_TRACE_H
#define WEIR_CORE_SCHEDULER_TRACE_H

#include "scheduler-inside.h"
#include "trace.h"

void weir_trace_loaded(const struct weir_scheduler *, int64_t began_ns, weir_status);
void weir_trace_turn(const struct weir_scheduler *, int64_t began_ns);
void weir_trace_step(const struct weir_scheduler *, const struct weir_batch *, int64_t began_ns,
		     weir_status);
void weir_trace_embed(const struct weir_scheduler *, uint32_t n_texts, uint32_t n_tokens,
		      int64_t began_ns, weir_status);

void weir_trace_prepared(const struct weir_scheduler *, struct weir_job *);
void weir_trace_admitted(const struct weir_scheduler *, struct weir_job *);
/* Before a token is delivered: does nothing unless it is the first. */
void weir_trace_first(const struct weir_scheduler *, struct weir_job *, int64_t now_ns);
void weir_trace_finished(const struct weir_scheduler *, struct weir_job *,
			 const struct weir_error *);
/* A level-A backend's stream has ended: of its inside nothing is known. */
void weir_trace_stream(struct weir_trace *, struct weir_channel *, const char *backend,
		       int64_t opened_ns);

#endif
