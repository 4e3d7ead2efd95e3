/*
 * core/scheduler-trace.c - see scheduler-trace.h.
 */
#include "scheduler-trace.h"

#include "request.h"

#define ARGS(...)                                                                                  \
	(const struct weir_trace_arg[])                                                            \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, 0                                                                    \
		}                                                                                  \
	}

static struct weir_trace *trace_of(const struct weir_scheduler *s)
{
	return s->options.core->trace;
}

void weir_trace_loaded(const struct weir_scheduler *s, int64_t began_ns, weir_status status)
{
	weir_trace_since(trace_of(s), "backend", "load", s->options.name, began_ns,
			 ARGS({ "status", status }));
}

void weir_trace_turn(const struct weir_scheduler *s, int64_t began_ns)
{
	weir_trace_since(trace_of(s), "scheduler", "turn", s->options.name, began_ns, NULL);
}

void weir_trace_step(const struct weir_scheduler *s, const struct weir_batch *batch,
		     int64_t began_ns, weir_status status)
{
	int64_t guesses = 0, prefill = 0;

	if (!weir_trace_on(trace_of(s)))
		return;
	for (uint32_t i = 0; i < batch->n_rows; i++) {
		guesses += batch->rows[i].n_draft;
		prefill += batch->rows[i].sampling ? 0 : batch->rows[i].count;
	}
	weir_trace_since(trace_of(s), "backend", "step", s->options.name, began_ns,
			 ARGS({ "rows", batch->n_rows }, { "tokens", batch->n_tokens },
			      { "chunk_tokens", prefill }, { "guesses", guesses },
			      { "draft_ns", (int64_t)s->step.next_ns }, { "status", status }));
}

void weir_trace_embed(const struct weir_scheduler *s, uint32_t n_texts, uint32_t n_tokens,
		      int64_t began_ns, weir_status status)
{
	weir_trace_since(trace_of(s), "backend", "embed", s->options.name, began_ns,
			 ARGS({ "texts", n_texts }, { "tokens", n_tokens }, { "status", status }));
}

/* --- requests ------------------------------------------------------------------------------ */

static void add(const struct weir_scheduler *s, struct weir_job *job, const char *name,
		int64_t from_ns, int64_t to_ns, const struct weir_trace_arg *args, uint32_t n_args)
{
	struct weir_trace *t = trace_of(s);

	if (!weir_trace_on(t))
		return;
	if (job->trace_row == 0)
		job->trace_row = weir_trace_new_row(t);
	weir_trace_add(t, &(struct weir_trace_span){
				  .size = sizeof(struct weir_trace_span),
				  .category = "request",
				  .name = name,
				  .label = weir_request_field(job->request, "id"),
				  .row = job->trace_row,
				  .start_ns = from_ns,
				  .duration_ns = to_ns - from_ns,
				  .args = args,
				  .n_args = n_args,
			  });
}

void weir_trace_prepared(const struct weir_scheduler *s, struct weir_job *job)
{
	if (weir_trace_on(trace_of(s)))
		add(s, job, "tokenise", job->arrived_ns, weir_clock_ns(), NULL, 0);
}

void weir_trace_admitted(const struct weir_scheduler *s, struct weir_job *job)
{
	add(s, job, "queued", job->arrived_ns, job->admitted_ns, NULL, 0);
}

void weir_trace_first(const struct weir_scheduler *s, struct weir_job *job, int64_t now_ns)
{
	const struct weir_trace_arg args[] = { { "prompt", job->n_prompt },
					       { "cached", job->n_cached } };

	if (job->first_ns == 0)
		add(s, job, "prefill", job->admitted_ns, now_ns, args, G_N_ELEMENTS(args));
}

void weir_trace_finished(const struct weir_scheduler *s, struct weir_job *job,
			 const struct weir_error *err)
{
	int64_t now_ns, n_output = 0;

	if (!weir_trace_on(trace_of(s)))
		return;
	now_ns = weir_clock_ns();
	for (uint32_t i = 0; i < job->n; i++)
		n_output += job->seqs[i].n_output;
	const struct weir_trace_arg args[] = { { "prompt", job->n_prompt },
					       { "cached", job->n_cached },
					       { "output", n_output },
					       { "choices", job->n },
					       { "status", err ? err->code : WEIR_OK } };

	if (job->first_ns && !job->embed)
		add(s, job, "decode", job->first_ns, now_ns, args + 2, 1);
	add(s, job, "request", job->arrived_ns, now_ns, args, G_N_ELEMENTS(args));
}

void weir_trace_stream(struct weir_trace *t, struct weir_channel *channel, const char *backend,
		       int64_t opened_ns)
{
	if (!weir_trace_on(t))
		return;
	weir_trace_add(t, &(struct weir_trace_span){
				  .size = sizeof(struct weir_trace_span),
				  .category = "request",
				  .name = backend,
				  .label = weir_request_field(weir_channel_request(channel), "id"),
				  .row = weir_trace_new_row(t),
				  .start_ns = opened_ns,
				  .duration_ns = weir_clock_ns() - opened_ns,
			  });
}
