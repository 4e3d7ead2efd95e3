/*
 * scheduler-output.c - what comes out of a step: tokens become text and events, choices and
 * requests end. Runs on the scheduler's thread.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <string.h>

#include "log.h"
#include "scheduler-trace.h"

static enum weir_finish_reason reason_of(const struct weir_job *job, const struct weir_error *err)
{
	if (err)
		return err->code == WEIR_E_INTERNAL ? WEIR_REASON_ERROR : WEIR_REASON_ABORT;
	return job->seqs[0].finish == WEIR_FINISH_LENGTH ? WEIR_REASON_LENGTH : WEIR_REASON_STOP;
}

static void send_end(struct weir_scheduler *s, struct weir_job *job, const struct weir_error *err,
		     uint32_t retry_after_ms)
{
	g_autofree struct weir_choice_end *ends = g_new0(struct weir_choice_end, job->n);
	struct weir_end end = {
		.size = sizeof(end),
		.status = err ? err->code : WEIR_OK,
		.finish = err ? WEIR_FINISH_NONE : job->seqs[0].finish,
		.n_prompt = job->n_prompt,
		.n_cached = job->n_cached,
		.n_choices = job->n,
		.retry_after_ms = retry_after_ms,
	};

	for (uint32_t i = 0; i < job->n; i++) {
		ends[i].finish = job->seqs[i].finish;
		ends[i].n_output = job->seqs[i].n_output;
		ends[i].stop = job->seqs[i].stop;
		ends[i].n_reasoning = job->seqs[i].n_reasoning;
		end.n_reasoning += job->seqs[i].n_reasoning;
		end.n_output += job->seqs[i].n_output;
	}
	end.stop = err ? 0 : job->seqs[0].stop;
	if (job->n > 1) {
		end.choices = ends;
		end.choice_size = sizeof(*ends);
	}
	if (err) {
		end.text = (struct weir_str){ err->text, strlen(err->text) };
		end.param = (struct weir_str){ err->param, strlen(err->param) };
	}
	weir_stream_end(job->out, &end, &s->bell);
}

static void leave_inbox(struct weir_scheduler *s, struct weir_job *job)
{
	pthread_mutex_lock(&s->lock);
	if (job->in_inbox) {
		struct weir_job **at = &s->inbox, *before = NULL;

		for (; *at != job; at = &(*at)->next_in)
			before = *at;
		*at = job->next_in;
		if (s->inbox_last == job)
			s->inbox_last = before;
		job->in_inbox = false;
	}
	pthread_mutex_unlock(&s->lock);
}

static void leave(struct weir_scheduler *s, struct weir_job *job)
{
	job->over = true;
	if (job->admitted) {
		for (uint32_t i = 0; i < job->n && !job->embed; i++)
			if (job->seqs[i].state != WEIR_SEQUENCE_DONE)
				weir_batcher_remove(s->batcher, &job->seqs[i]);
		g_ptr_array_remove_fast(s->jobs, job);
	} else {
		atomic_fetch_sub(&s->n_waiting, 1);
		weir_metric_add(s->metrics.queue_depth, -1);
	}
	weir_tenants_leave(s->tenants, &job->waiter);
}

void weir_scheduler_drop(struct weir_scheduler *s, struct weir_job *job)
{
	leave(s, job);
	leave_inbox(s, job);
	g_ptr_array_add(s->dead, job);
}

void weir_scheduler_finish(struct weir_scheduler *s, struct weir_job *job,
			   const struct weir_error *err, uint32_t retry_after_ms)
{
	if (job->over)
		return;
	leave(s, job);
	if (!job->reply || job->embed)
		weir_engine_metrics_ended(&s->metrics, job, reason_of(job, err));
	send_end(s, job, err, retry_after_ms);
	weir_trace_finished(s, job, err);
	/* No wake() from here on: nobody puts it there again. */
	leave_inbox(s, job);
	g_ptr_array_add(s->dead, job);
}

/* --- one token ----------------------------------------------------------------------------- */

static void fail_row(struct weir_scheduler *s, struct weir_job *job, const struct weir_error *why)
{
	struct weir_error err = *why;

	err.text[sizeof(err.text) - 1] = err.param[sizeof(err.param) - 1] = '\0';
	weir_logf(s->options.core->log, WEIR_LOG_WARNING, "scheduler", "%s: a request failed: %s",
		  s->options.name, err.text[0] ? err.text : "no token could be drawn");
	if (err.code >= 0)
		err.code = WEIR_E_INTERNAL;
	if (!err.text[0])
		weir_fail(&err, err.code, "inference failed");
	weir_scheduler_finish(s, job, &err, 0);
}

/* Their texts lie one after the other in top_text. */
uint32_t weir_scheduler_tops(struct weir_scheduler *s, const struct weir_top *top,
			     uint32_t n_wanted, struct weir_top_logprob *ret)
{
	uint32_t n = MIN(n_wanted, 20u), at = 0;
	size_t starts[21] = { 0 };

	g_string_truncate(s->top_text, 0);
	for (; at < n; at++) {
		if (top->token[at] < 0 || (uint32_t)top->token[at] >= s->model.n_vocab)
			break;
		weir_scheduler_piece(s, top->token[at], WEIR_PIECE_SPECIAL, s->top_text);
		starts[at + 1] = s->top_text->len;
		ret[at].token = top->token[at];
		ret[at].logprob = top->logprob[at];
	}
	for (uint32_t i = 0; i < at; i++)
		ret[i].text = (struct weir_str){ s->top_text->str + starts[i],
						 starts[i + 1] - starts[i] };
	return at;
}

void weir_scheduler_refused(struct weir_scheduler *s, struct weir_job *job, weir_status status)
{
	bool cancelled = status == WEIR_E_CANCELLED;
	struct weir_error err;

	weir_fail(&err, cancelled ? status : WEIR_E_INTERNAL,
		  cancelled ? "cancelled" : "inference failed");
	weir_scheduler_finish(s, job, &err, 0);
}

uint32_t weir_scheduler_take_token(struct weir_scheduler *s, struct weir_sequence *seq,
				   int32_t token, GString *out, GString *bytes)
{
	const struct weir_job *job = seq->job;
	const struct weir_tokenizer *t = s->tokenizer;
	uint32_t finish = WEIR_FINISH_NONE;
	struct weir_str text = { NULL, 0 };
	bool ends;

	g_string_truncate(out, 0);
	g_string_truncate(bytes, 0);
	ends = t && !job->limits->ignore_end && t->is_end(s->options.instance, token);
	if (ends) {
		finish = WEIR_FINISH_STOP;
	} else {
		bool shows = seq->answer && s->answers->shows(s->options.instance, token);

		weir_scheduler_piece(s, token, shows ? WEIR_PIECE_SPECIAL : 0, bytes);
		if (weir_cutter_push(seq->cutter, (struct weir_str){ bytes->str, bytes->len },
				     &text))
			finish = WEIR_FINISH_STOP;
		g_string_append_len(out, text.data, (gssize)text.len);
		if (finish == WEIR_FINISH_NONE && weir_scheduler_grammar_over(seq))
			finish = WEIR_FINISH_STOP;
		if (finish == WEIR_FINISH_NONE && seq->n_output >= job->max_output)
			finish = WEIR_FINISH_LENGTH;
	}
	if (finish != WEIR_FINISH_NONE) {
		seq->stop = weir_cutter_stop(seq->cutter);
		text = weir_cutter_flush(seq->cutter);
		g_string_append_len(out, text.data, (gssize)text.len);
	}
	return finish;
}

/* One drawn token of a row. False: the sequence has ended with it. */
static bool deliver_token(struct weir_scheduler *s, uint32_t row, int32_t token, int64_t now_ns)
{
	struct weir_sequence *seq = s->batcher->row_of[row];
	struct weir_job *job = seq->job;
	struct weir_top_logprob top[20];
	struct weir_error err;
	weir_status status;

	if (token < 0 || (uint32_t)token >= s->model.n_vocab) {
		fail_row(s, job, &s->step.error[row]);
		return false;
	}
	if (weir_scheduler_accept(seq, token, &err) < 0) {
		fail_row(s, job, &err);
		return false;
	}
	weir_sequence_append(seq, token);
	weir_tenants_charge(&job->waiter, 1);
	weir_engine_metrics_token(&s->metrics, seq, now_ns);
	seq->finish = weir_scheduler_take_token(s, seq, token, s->text, s->bytes);
	status = weir_scheduler_emit(
		s, seq,
		&(struct weir_event){
			.size = sizeof(struct weir_event),
			.type = WEIR_EVENT_TOKEN,
			.token = token,
			.index = seq->index,
			.logprob = job->sampling->logprobs ? s->step.logprob[row] : NAN,
			.n_top = weir_scheduler_tops(s, &s->step.top[row],
						     job->sampling->top_logprobs, top),
			.top = top,
			.text = { s->text->str, s->text->len },
			.raw = { s->bytes->str, s->bytes->len },
		});
	if (status < 0) {
		if (status == WEIR_E_CANCELLED)
			weir_metric_add(s->metrics.orphaned, 1);
		weir_scheduler_refused(s, job, status);
		return false;
	}
	if (seq->finish == WEIR_FINISH_NONE)
		return true;
	weir_batcher_remove(s->batcher, seq);
	/* With events that wait for credit, weir_scheduler_flush() does it. */
	if (--job->n_live == 0 && !job->pending)
		weir_scheduler_finish(s, job, NULL, 0);
	return false;
}

/* The draw, and those that followed guesses which were right. */
static void deliver_row(struct weir_scheduler *s, uint32_t row, int64_t now_ns)
{
	uint32_t n_right = s->batcher->row_of[row]->n_guesses;

	if (!deliver_token(s, row, s->step.token[row], now_ns))
		return;
	for (uint32_t i = 0; i < n_right; i++)
		if (!deliver_token(s, row, s->step.drawn[row * WEIR_MAX_DRAFT + i], now_ns))
			return;
}

void weir_scheduler_deliver(struct weir_scheduler *s, const struct weir_batch *batch)
{
	int64_t now = weir_clock_ns();

	for (uint32_t i = 0; i < batch->n_rows; i++) {
		struct weir_sequence *seq = s->batcher->row_of[i];

		/* The request may have ended with another row of it. */
		if (seq->job->over)
			continue;
		if (batch->rows[i].targets &&
		    !weir_scheduler_deliver_scores(s, seq, &batch->rows[i]))
			continue;
		if (batch->rows[i].sampling) {
			weir_trace_first(s, seq->job, now);
			deliver_row(s, i, now);
		}
	}
}
