/*
 * scheduler-score.c - a prompt's tokens as PROMPT events: what `echo` shows, and with
 * log-probabilities what evaluations of a model live on. Runs on the scheduler's thread, but for
 * the check at the beginning.
 *
 * A prompt that is scored is computed in slices of weir_model.max_scores tokens, so that the logits
 * of a long one never exist at once, and takes nothing from the prefix cache that is not scored
 * yet. Preempted, it goes on where it was: job->n_scored.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <string.h>

#include "log.h"
#include "request.h"

weir_status weir_scheduler_prepare_echo(const struct weir_scheduler *s, struct weir_job *job,
					struct weir_error *err)
{
	if (!job->limits->echo)
		return WEIR_OK;
	job->scores = job->sampling->prompt_logprobs != 0;
	if (job->scores && s->model.max_scores == 0)
		return weir_fail(err, WEIR_E_UNSUPPORTED,
				 "this backend cannot tell the log-probabilities of a prompt");
	job->own_text = !weir_request_field(job->request, "tokens").data;
	job->echoed = weir_cutter_new(NULL);
	return WEIR_OK;
}

/* The bytes of the prompt's next token, and what it adds to the text. */
static void describe(const struct weir_scheduler *s, struct weir_job *job, int32_t token,
		     GString *out, GString *bytes)
{
	uint32_t flags = WEIR_PIECE_SPECIAL;
	bool first = job->n_echoed == 0 || (job->own_text && job->after_control);
	bool last = job->n_echoed + 1 == job->n_prompt;
	struct weir_str text;

	g_string_truncate(bytes, 0);
	g_string_truncate(out, 0);
	weir_scheduler_piece(s, token, 0, bytes);
	job->after_control = bytes->len == 0;
	g_string_truncate(bytes, 0);
	weir_scheduler_piece(s, token, flags | (first ? WEIR_PIECE_FIRST : 0u), bytes);
	if (!job->own_text || !job->after_control) {
		(void)weir_cutter_push(job->echoed, (struct weir_str){ bytes->str, bytes->len },
				       &text);
		g_string_append_len(out, text.data, (gssize)text.len);
	}
	if (last) {
		text = weir_cutter_flush(job->echoed);
		g_string_append_len(out, text.data, (gssize)text.len);
	}
}

static struct weir_event prompt_event(const struct weir_scheduler *s, int32_t token)
{
	return (struct weir_event){ .size = sizeof(struct weir_event),
				    .type = WEIR_EVENT_PROMPT,
				    .token = token,
				    .logprob = NAN,
				    .text = { s->text->str, s->text->len },
				    .raw = { s->bytes->str, s->bytes->len } };
}

bool weir_scheduler_echo(struct weir_scheduler *s, struct weir_job *job)
{
	/* Before the first token there is nothing that it could be likely after. */
	uint32_t end = !job->echoed ? 0 : job->scores ? 1 : job->n_prompt;

	while (job->n_echoed < end) {
		struct weir_event e;
		weir_status status;

		/* A token that was described is not described again. */
		if (weir_stream_credit(job->out) == 0)
			return false;
		describe(s, job, job->prompt[job->n_echoed], s->text, s->bytes);
		e = prompt_event(s, job->prompt[job->n_echoed++]);
		status = weir_scheduler_send(s, job, &e);
		if (status < 0)
			return true; /* cancelled: whoever looks next ends it */
	}
	return true;
}

void weir_scheduler_skip_echo(struct weir_scheduler *s, struct weir_job *job, uint32_t n)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GString) bytes = g_string_new(NULL);

	for (; job->n_echoed < n; job->n_echoed++)
		describe(s, job, job->prompt[job->n_echoed], text, bytes);
	job->n_told_prompt = n;
	job->n_scored = job->scores && n > 0 ? n - 1 : 0;
}

bool weir_scheduler_deliver_scores(struct weir_scheduler *s, struct weir_sequence *seq,
				   const struct weir_row *row)
{
	struct weir_job *job = seq->job;
	struct weir_top_logprob top[20];
	struct weir_error err;

	for (uint32_t k = 0; k < row->count; k++) {
		const struct weir_score *score = &s->step.score[row->first + k];
		struct weir_event e;
		weir_status status;

		if (row->targets[k] < 0)
			continue;
		if (isnan(score->logprob)) {
			weir_fail(&err, WEIR_E_INTERNAL, "inference failed");
			weir_scheduler_finish(s, job, &err, 0);
			return false;
		}
		describe(s, job, row->targets[k], s->text, s->bytes);
		e = prompt_event(s, row->targets[k]);
		e.logprob = score->logprob;
		e.value = score->rank;
		e.n_top = weir_scheduler_tops(s, &s->step.score_top[row->first + k],
					      row->n_target_top, top);
		e.top = top;
		job->n_echoed++;
		job->n_scored = row->pos + k + 1;
		status = weir_scheduler_send(s, job, &e);
		if (status < 0) {
			weir_scheduler_refused(s, job, status);
			return false;
		}
	}
	return true;
}

bool weir_scheduler_end_silent(struct weir_scheduler *s)
{
	bool moved = false;

	for (guint i = s->jobs->len; i-- > 0;) {
		struct weir_job *job = s->jobs->pdata[i];

		if (!job->limits->no_output || job->embed || job->n_live == 0 ||
		    (job->echoed && job->n_echoed < job->n_prompt))
			continue;
		for (uint32_t k = 0; k < job->n; k++) {
			job->seqs[k].finish = WEIR_FINISH_LENGTH;
			weir_batcher_remove(s->batcher, &job->seqs[k]);
		}
		job->n_live = 0;
		moved = true;
		/* With events that wait for credit, weir_scheduler_flush() does it. */
		if (!job->pending)
			weir_scheduler_finish(s, job, NULL, 0);
	}
	return moved;
}
