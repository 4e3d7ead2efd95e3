/*
 * scheduler.c - the thread of a level-B backend; see scheduler.h.
 *
 * Others reach it through the inbox only: new jobs, and jobs whose stream changed. A turn of the
 * loop handles the inbox, parks who does not read, lets requests in, and runs one step. When a turn
 * has moved nothing, there is nothing that could move before the next message or parking time.
 */
#include "scheduler-inside.h"

#include <math.h>
#include <string.h>

#include "log.h"
#include "request.h"
#include "scheduler-trace.h"

static void say(const struct weir_scheduler *s, uint32_t level, const char *text)
{
	weir_logf(s->options.core->log, level, "scheduler", "%s: %s", s->options.name, text);
}

/* --- life cycle ---------------------------------------------------------------------------- */

weir_status weir_scheduler_new(const struct weir_scheduler_options *options,
			       struct weir_scheduler **ret, struct weir_error *err)
{
	struct weir_scheduler *s;
	pthread_condattr_t attr;

	if (!WEIR_HAS(struct weir_backend_step, options->calls, load) ||
	    !WEIR_HAS(struct weir_backend_step, options->calls, step))
		return weir_fail(err, WEIR_E_INVALID, "%s offers %s without load() or step()",
				 options->name, WEIR_BACKEND_STEP);
	s = g_new0(struct weir_scheduler, 1);
	s->options = *options;
	atomic_init(&s->state, WEIR_SCHEDULER_LOADING);
	weir_scheduler_set_limits(s, options->max_concurrent, options->park_after_ms);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	s->tenants = weir_tenants_new();
	s->jobs = g_ptr_array_new();
	s->dead = g_ptr_array_new();
	s->text = g_string_new(NULL);
	s->bytes = g_string_new(NULL);
	s->top_text = g_string_new(NULL);
	*ret = s;
	return WEIR_OK;
}

void weir_scheduler_free(struct weir_scheduler *s)
{
	if (!s)
		return;
	weir_scheduler_stop(s);
	weir_batcher_free(s->batcher);
	weir_embed_engine_free(s->embed);
	weir_scheduler_grammars_free(s->grammars);
	weir_tenants_free(s->tenants);
	g_ptr_array_unref(s->jobs);
	g_ptr_array_unref(s->dead);
	weir_bell_clear(&s->bell);
	g_string_free(s->text, TRUE);
	g_string_free(s->bytes, TRUE);
	g_string_free(s->top_text, TRUE);
	g_free(s->step.token);
	g_free(s->step.logprob);
	g_free(s->step.top);
	g_free(s->step.error);
	g_free(s->step.n_right);
	g_free(s->step.drawn);
	g_free(s->step.n_next);
	g_free(s->step.next);
	g_free(s->step.score);
	g_free(s->step.score_top);
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	g_free(s);
}

enum weir_scheduler_state weir_scheduler_state(const struct weir_scheduler *s)
{
	return (enum weir_scheduler_state)atomic_load(&((struct weir_scheduler *)s)->state);
}

void weir_scheduler_status(const struct weir_scheduler *cs, struct weir_scheduler_status *ret)
{
	struct weir_scheduler *s = (struct weir_scheduler *)cs;

	memset(ret, 0, sizeof(*ret));
	ret->state = weir_scheduler_state(s);
	pthread_mutex_lock(&s->lock);
	g_strlcpy(ret->error, s->error, sizeof(ret->error));
	pthread_mutex_unlock(&s->lock);
	ret->active = atomic_load(&s->n_active);
	ret->waiting = atomic_load(&s->n_waiting);
	if (ret->state == WEIR_SCHEDULER_READY) {
		ret->model = s->model;
		ret->n_blocks = s->model.n_blocks;
		ret->n_used = atomic_load(&s->n_used);
		ret->n_cached = atomic_load(&s->n_cached);
	}
}

uint32_t weir_scheduler_context(const struct weir_scheduler *s)
{
	return weir_scheduler_state(s) == WEIR_SCHEDULER_READY ? s->model.n_ctx : 0;
}

uint32_t weir_scheduler_rows(const struct weir_scheduler *s)
{
	return weir_scheduler_state(s) == WEIR_SCHEDULER_READY ? s->model.max_rows : 0;
}

static void give_up(struct weir_scheduler *s, const char *why)
{
	weir_logf(s->options.core->log, WEIR_LOG_ERROR, "scheduler", "%s has failed: %s",
		  s->options.name, why);
	pthread_mutex_lock(&s->lock);
	g_strlcpy(s->error, why, sizeof(s->error));
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->state, WEIR_SCHEDULER_FAILED);
}

static weir_status load(struct weir_scheduler *s, struct weir_error *err)
{
	struct weir_instance *instance = s->options.instance;
	struct weir_model model = { .size = sizeof(model) }, planned;
	const char *name = s->options.model_name;
	weir_status status;

	status = s->options.calls->load(instance, &model, err);
	if (status < 0) {
		err->text[sizeof(err->text) - 1] = '\0';
		if (!err->text[0])
			weir_fail(err, status, "load() failed with status %d", status);
		return status;
	}
	planned = model;
	if (model.flags & WEIR_MODEL_ENCODER) {
		/* No sequence ever joins: one block, for the arithmetic. */
		planned.n_blocks = planned.max_rows = 1;
		planned.block_tokens = 32;
	}
	status = weir_batcher_new(&planned, &s->batcher, err);
	if (status < 0)
		return status;
	s->model = model;
	s->longest = (uint32_t)MIN((uint64_t)model.n_blocks * model.block_tokens, model.n_ctx);
	if (WEIR_HAS(struct weir_instance, instance, get_ext))
		s->tokenizer = instance->get_ext(instance, WEIR_TOKENIZER);
	if (WEIR_HAS(struct weir_instance, instance, get_ext))
		s->adapters = instance->get_ext(instance, WEIR_ADAPTERS);
	if (s->adapters && !WEIR_HAS(struct weir_adapters, s->adapters, name))
		return weir_fail(err, WEIR_E_INTERNAL, "its adapters lack a function");
	if (s->tokenizer && (!WEIR_HAS(struct weir_tokenizer, s->tokenizer, encode) ||
			     !WEIR_HAS(struct weir_tokenizer, s->tokenizer, piece) ||
			     !WEIR_HAS(struct weir_tokenizer, s->tokenizer, is_end)))
		return weir_fail(err, WEIR_E_INTERNAL, "its tokenizer lacks a function");
	status = weir_embed_engine_new(s, err);
	if (status >= 0)
		status = weir_scheduler_grammars_new(s, err);
	if (status < 0)
		return status;
	if (WEIR_HAS(struct weir_instance, instance, get_ext))
		s->answers = instance->get_ext(instance, WEIR_ANSWER);
	if (s->answers && (!WEIR_HAS(struct weir_answer_api, s->answers, open) ||
			   !WEIR_HAS(struct weir_answer_api, s->answers, shows) ||
			   !WEIR_HAS(struct weir_answer_api, s->answers, feed) ||
			   !WEIR_HAS(struct weir_answer_api, s->answers, finish) ||
			   !WEIR_HAS(struct weir_answer_api, s->answers, free)))
		return weir_fail(err, WEIR_E_INTERNAL, "its reader of answers lacks a function");
	s->step.size = sizeof(s->step);
	s->step.token = g_new0(int32_t, model.max_rows);
	s->step.logprob = g_new0(float, model.max_rows);
	s->step.top = g_new0(struct weir_top, model.max_rows);
	s->step.error = g_new0(struct weir_error, model.max_rows);
	s->step.n_right = g_new0(uint32_t, model.max_rows);
	s->step.n_next = g_new0(uint32_t, model.max_rows);
	s->step.next = g_new0(int32_t, (size_t)model.max_rows * WEIR_MAX_DRAFT);
	if (model.max_scores > 0) {
		s->step.score = g_new0(struct weir_score, model.max_tokens);
		s->step.score_top = g_new0(struct weir_top, model.max_tokens);
	}
	s->step.drawn = g_new0(int32_t, (size_t)model.max_rows * WEIR_MAX_DRAFT);
	if (!name)
		name = model.name ? model.name : s->options.name;
	weir_engine_metrics_init(&s->metrics, s->options.core->metrics, name, &s->model);
	s->print = weir_scheduler_find_print(s);
	return WEIR_OK;
}

/* --- the inbox ----------------------------------------------------------------------------- */

static bool post(struct weir_scheduler *s, struct weir_job *job)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	if (!stop && !job->in_inbox) {
		job->in_inbox = true;
		job->next_in = NULL;
		if (s->inbox_last)
			s->inbox_last->next_in = job;
		else
			s->inbox = job;
		s->inbox_last = job;
		pthread_cond_signal(&s->cond);
	}
	pthread_mutex_unlock(&s->lock);
	return !stop;
}

bool weir_scheduler_submit(struct weir_scheduler *s, struct weir_channel *channel,
			   weir_request *request)
{
	weir_stream *out = weir_channel_producer(channel);
	struct weir_error err = { 0 };
	struct weir_job *job;
	weir_status status;
	int place;

	if (weir_scheduler_state(s) != WEIR_SCHEDULER_READY || atomic_load(&s->released))
		return false;
	job = weir_job_new(channel, request);
	place = weir_progress_enter(&s->progress);
	status = weir_scheduler_prepare(s, job, &err);
	weir_progress_leave(&s->progress, place);
	if (status < 0) {
		weir_job_free(job);
		weir_stream_fail(out, &err, 0, NULL);
		return true;
	}
	weir_trace_prepared(s, job);
	weir_stream_set_data(out, job);
	atomic_fetch_add(&s->n_waiting, 1);
	weir_metric_add(s->metrics.queue_depth, 1);
	if (!post(s, job)) {
		atomic_fetch_sub(&s->n_waiting, 1);
		weir_metric_add(s->metrics.queue_depth, -1);
		weir_fail(&err, WEIR_E_UNAVAILABLE, "the server is shutting down");
		weir_stream_fail(out, &err, 0, NULL);
		weir_job_free(job);
		return true;
	}
	weir_channel_submitted(channel);
	return true;
}

void weir_scheduler_wake(struct weir_scheduler *s, weir_stream *out)
{
	struct weir_job *job = weir_stream_get_data(out);

	if (job)
		(void)post(s, job);
}

static void cancelled(struct weir_scheduler *s, struct weir_job *job)
{
	struct weir_error err;

	weir_fail(&err, WEIR_E_CANCELLED, "cancelled");
	weir_scheduler_finish(s, job, &err, 0);
}

void weir_scheduler_try_reply(struct weir_scheduler *s, struct weir_job *job)
{
	weir_status status = weir_stream_emit(job->out,
					      &(struct weir_event){
						      .size = sizeof(struct weir_event),
						      .type = WEIR_EVENT_JSON,
						      .token = -1,
						      .text = { job->reply, strlen(job->reply) },
					      },
					      &s->bell);

	if (status == WEIR_OK) {
		job->seqs[0].finish = WEIR_FINISH_STOP;
		weir_scheduler_finish(s, job, NULL, 0);
	} else if (status != WEIR_E_NO_CREDIT) {
		cancelled(s, job);
	}
}

static void handle_message(struct weir_scheduler *s, struct weir_job *job)
{
	if (job->over)
		return;
	if (!job->arrived) {
		job->arrived = true;
		weir_tenants_add(s->tenants, &job->waiter,
				 weir_request_field(job->request, "tenant"));
	}
	if (weir_stream_cancelled(job->out))
		cancelled(s, job);
	else if (job->n_live == 0 && !job->admitted && !job->pending)
		weir_scheduler_finish(s, job, NULL, 0); /* it had told everything but its end */
	else if (job->reply)
		weir_scheduler_try_reply(s, job);
	else if (job->stalled && weir_stream_credit(job->out) > 0)
		job->stalled = false;
}

/* --- a turn -------------------------------------------------------------------------------- */

/* Takes blocks away from who has not read for long; returns when the next one is due. */
static int64_t park(struct weir_scheduler *s, int64_t now)
{
	int64_t next = INT64_MAX, patience = MAX(atomic_load(&s->park_after_ms), 0) * 1000000;

	for (guint i = 0; i < s->jobs->len; i++) {
		struct weir_job *job = s->jobs->pdata[i];

		if (!job->stalled)
			continue;
		if (now - job->stalled_ns < patience) {
			next = MIN(next, job->stalled_ns + patience);
			continue;
		}
		for (uint32_t k = 0; k < job->n; k++)
			if (job->seqs[k].state == WEIR_SEQUENCE_RUNS && job->seqs[k].n_blocks > 0)
				weir_batcher_preempt(s->batcher, &job->seqs[k]);
	}
	return next;
}

static void look_at_credit(struct weir_scheduler *s, int64_t now)
{
	for (guint i = s->jobs->len; i-- > 0;) {
		struct weir_job *job = s->jobs->pdata[i];

		if (job->stalled)
			continue;
		if (weir_stream_cancelled(job->out)) {
			cancelled(s, job);
			continue;
		}
		if ((job->pending && !weir_scheduler_flush(s, job)) ||
		    (!job->over && !weir_scheduler_echo(s, job))) {
			job->stalled = true;
			job->stalled_ns = now;
			continue;
		}
		if (job->over)
			continue;
		job->credit = weir_stream_credit(job->out);
		job->stalled = job->credit == 0;
		job->stalled_ns = now;
	}
}

static bool has_credit(struct weir_waiter *w, void *data)
{
	const struct weir_job *job = (const struct weir_job *)w;

	/* Texts for vectors go their own way. A reply is sent as soon as a wake() tells of credit:
	 * weir_scheduler_try_reply(). */
	return !job->reply && !job->embed && weir_stream_credit(job->out) > 0;
}

/* Requests that count against max_concurrent: those that hold something. */
static uint32_t count_busy(const struct weir_scheduler *s)
{
	uint32_t n = 0;

	for (guint i = 0; i < s->jobs->len; i++) {
		const struct weir_job *job = s->jobs->pdata[i];
		bool busy = !job->stalled && !job->embed;

		for (uint32_t k = 0; !busy && k < job->n; k++)
			busy = job->seqs[k].n_blocks > 0;
		n += busy;
	}
	return n;
}

bool weir_scheduler_begin(struct weir_scheduler *s, struct weir_job *job)
{
	struct weir_event started = {
		.size = sizeof(started),
		.type = WEIR_EVENT_STARTED,
		.token = -1,
		.value = job->n_prompt,
	};
	weir_status status =
		job->started ? WEIR_OK : weir_stream_emit(job->out, &started, &s->bell);

	if (status == WEIR_E_NO_CREDIT)
		return false;
	if (status < 0) {
		cancelled(s, job);
		return true;
	}
	job->started = job->admitted = true;
	job->admitted_ns = weir_clock_ns();
	weir_trace_admitted(s, job);
	job->order = s->next_order++;
	(void)weir_scheduler_echo(s, job); /* what is left waits for credit */
	job->credit = weir_stream_credit(job->out);
	job->stalled = job->credit == 0;
	job->stalled_ns = job->admitted_ns;
	g_ptr_array_add(s->jobs, job);
	atomic_fetch_sub(&s->n_waiting, 1);
	weir_metric_add(s->metrics.queue_depth, -1);
	weir_metric_add(s->metrics.queue_wait, (double)(job->admitted_ns - job->arrived_ns) / 1e9);
	if (job->pending && !weir_scheduler_flush(s, job))
		job->stalled = true;
	return true;
}

static bool admit(struct weir_scheduler *s, struct weir_job *job)
{
	if (!weir_scheduler_begin(s, job))
		return false;
	if (job->over)
		return true;
	weir_tenants_admit(s->tenants, &job->waiter);
	weir_tenants_charge(&job->waiter, job->n_prompt);
	for (uint32_t i = 0; i < job->n; i++)
		weir_tenants_charge(&job->waiter, job->seqs[i].n_output);
	if (job->n_live > 0)
		weir_batcher_add(s->batcher, job);
	weir_engine_metrics_admitted(&s->metrics, job);
	return true;
}

static bool let_in(struct weir_scheduler *s)
{
	uint32_t limit = atomic_load(&s->max_concurrent);
	bool moved = false;

	while (weir_tenants_waiting(s->tenants) > 0) {
		struct weir_job *job;

		if (limit > 0 && count_busy(s) >= limit)
			break;
		job = (struct weir_job *)weir_tenants_next(s->tenants, has_credit, NULL);
		if (!job || !weir_batcher_fits(s->batcher, weir_job_size(job)) || !admit(s, job))
			break;
		moved = true;
	}
	return moved;
}

void weir_scheduler_lose(struct weir_scheduler *s, const char *why)
{
	/* First: whoever finds it failed finds that somebody knows, too. */
	if (s->options.lost)
		s->options.lost(s->options.data);
	give_up(s, why[0] ? why : "it is lost");
}

/* A failed step: its requests end, the others are computed again, since nobody knows what is left
 * of the backend's memory. */
static void fail_step(struct weir_scheduler *s, const struct weir_batch *batch,
		      const struct weir_error *why)
{
	struct weir_error err;

	if (why->code == WEIR_E_UNAVAILABLE) {
		weir_scheduler_lose(s, why->text);
		return;
	}
	weir_logf(s->options.core->log, WEIR_LOG_ERROR, "scheduler",
		  "%s: a step of %u rows failed: %s", s->options.name, batch->n_rows,
		  why->text[0] ? why->text : "no reason given");
	weir_fail(&err, WEIR_E_INTERNAL, "inference failed");
	for (uint32_t i = 0; i < batch->n_rows; i++)
		weir_scheduler_finish(s, s->batcher->row_of[i]->job, &err, 0);
	for (guint i = 0; i < s->batcher->live->len; i++) {
		struct weir_sequence *seq = s->batcher->live->pdata[i];

		if (seq->state == WEIR_SEQUENCE_RUNS)
			weir_batcher_preempt(s->batcher, seq);
	}
	weir_blocks_forget(s->batcher->blocks);
	weir_scheduler_failed(s, why->text);
}

void weir_scheduler_failed(struct weir_scheduler *s, const char *why)
{
	if (++s->n_failures >= WEIR_MAX_FAILURES)
		weir_scheduler_lose(s, why[0] ? why : "its steps fail");
}

bool weir_scheduler_stopping(struct weir_scheduler *s)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

static void run_step(struct weir_scheduler *s, const struct weir_batch *batch)
{
	struct weir_error err = { 0 };
	int64_t began = weir_clock_ns();
	weir_status status;

	for (uint32_t i = 0; i < batch->n_rows; i++) {
		s->step.token[i] = -1;
		s->step.logprob[i] = 0;
		s->step.top[i].token[0] = -1;
		s->step.n_right[i] = s->step.n_next[i] = 0;
		s->step.error[i].code = WEIR_OK;
		s->step.error[i].text[0] = s->step.error[i].param[0] = '\0';
	}
	for (uint32_t i = 0; i < batch->n_tokens && s->step.score; i++) {
		s->step.score[i] = (struct weir_score){ NAN, 0 };
		s->step.score_top[i].token[0] = -1;
	}
	s->step.next_ns = 0;
	weir_scheduler_mask(s, batch);
	weir_progress_mark(&s->progress, "step()");
	status = s->options.calls->step(s->options.instance, batch, &s->step, &err);
	weir_progress_mark(&s->progress, "turn");
	weir_trace_step(s, batch, began, status);
	err.code = status;
	err.text[sizeof(err.text) - 1] = '\0';
	if (status < 0) {
		/* Interrupted: everybody ends in the next turn. */
		if (status != WEIR_E_CANCELLED || !weir_scheduler_stopping(s))
			fail_step(s, batch, &err);
		return;
	}
	s->n_failures = 0;
	weir_metric_observe(s->metrics.iteration, batch->n_tokens);
	weir_batcher_timed(s->batcher, batch, &s->step, weir_clock_ns() - began);
	weir_batcher_judge(s->batcher, batch, &s->step);
	weir_batcher_done(s->batcher, batch);
	weir_scheduler_unmask(s, batch);
	weir_scheduler_deliver(s, batch);
	weir_batcher_offer(s->batcher, batch, &s->step);
}

static bool turn(struct weir_scheduler *s, int64_t *ret_next)
{
	int64_t now = weir_clock_ns();
	struct weir_batch batch;
	bool moved;

	look_at_credit(s, now);
	*ret_next = park(s, now);
	weir_batcher_plan(s->batcher);
	moved = let_in(s);
	weir_batcher_guess(s->batcher);
	if (weir_batcher_build(s->batcher, &batch)) {
		run_step(s, &batch);
		weir_trace_turn(s, now);
		moved = true;
	}
	moved |= weir_scheduler_end_silent(s);
	/* One batch of texts for each step: neither waits for long. */
	if (weir_scheduler_state(s) == WEIR_SCHEDULER_READY)
		moved |= weir_scheduler_run_embeds(s);
	return moved;
}

static void bury(struct weir_scheduler *s)
{
	for (guint i = 0; i < s->dead->len; i++)
		weir_job_free(s->dead->pdata[i]);
	g_ptr_array_set_size(s->dead, 0);
}

static void end_all(struct weir_scheduler *s, const char *why)
{
	struct weir_waiter *w;
	struct weir_error err;

	weir_fail(&err, WEIR_E_UNAVAILABLE, "%s", why);
	while (s->jobs->len > 0)
		weir_scheduler_finish(s, s->jobs->pdata[0], &err, 0);
	while ((w = weir_tenants_any(s->tenants)) != NULL)
		weir_scheduler_finish(s, (struct weir_job *)w, &err, 0);
}

/* Sleeps until there is a message, or the time has come; takes the inbox. False: stop. */
static bool wait_for_work(struct weir_scheduler *s, bool moved, int64_t until_ns,
			  struct weir_job **ret)
{
	bool stop;

	pthread_mutex_lock(&s->lock);
	while (!moved && !s->inbox && !s->stop && !s->nudged && weir_clock_ns() < until_ns) {
		struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

		weir_progress_mark(&s->progress, NULL);
		if (until_ns == INT64_MAX)
			pthread_cond_wait(&s->cond, &s->lock);
		else
			pthread_cond_timedwait(&s->cond, &s->lock, &until);
	}
	weir_progress_mark(&s->progress, "turn");
	*ret = s->inbox;
	s->inbox = s->inbox_last = NULL;
	s->nudged = false;
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return !stop;
}

static void handle_inbox(struct weir_scheduler *s, struct weir_job *job)
{
	while (job) {
		struct weir_job *next;

		/* As soon as in_inbox is false, next_in is the inbox's again. */
		pthread_mutex_lock(&s->lock);
		next = job->next_in;
		job->in_inbox = false;
		pthread_mutex_unlock(&s->lock);
		handle_message(s, job);
		job = next;
	}
}

static void serve(struct weir_scheduler *s)
{
	struct weir_job *inbox;
	int64_t next = INT64_MAX;
	bool moved = false, going = true;

	while (going) {
		going = wait_for_work(s, moved, next, &inbox);
		handle_inbox(s, inbox);
		moved = false;
		next = INT64_MAX;
		if (!going)
			end_all(s, "the server is shutting down");
		else if (weir_scheduler_state(s) == WEIR_SCHEDULER_FAILED ||
			 atomic_load(&s->released))
			weir_scheduler_hand_back(s);
		else
			moved = turn(s, &next);
		weir_bell_ring(&s->bell);
		weir_engine_metrics_turn(s);
		bury(s);
	}
}

static void *run(void *data)
{
	struct weir_scheduler *s = data;
	struct weir_error err = { 0 };
	int64_t began = weir_clock_ns();
	weir_status status;

	pthread_setname_np(pthread_self(), "weir-step");
	status = load(s, &err);
	weir_trace_loaded(s, began, status);
	if (status < 0) {
		/* Nobody submits to a scheduler that was never ready. */
		if (!weir_scheduler_stopping(s))
			give_up(s, err.text);
	} else if (!weir_scheduler_stopping(s)) {
		say(s, WEIR_LOG_INFO, "is ready");
		atomic_store(&s->state, WEIR_SCHEDULER_READY);
		serve(s);
	}
	weir_progress_mark(&s->progress, NULL);
	atomic_store(&s->ended, true);
	return NULL;
}

weir_status weir_scheduler_start(struct weir_scheduler *s, struct weir_error *err)
{
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		return weir_fail(err, WEIR_E_UNAVAILABLE, "%s: cannot start its thread",
				 s->options.name);
	s->started = true;
	return WEIR_OK;
}

void weir_scheduler_set_limits(struct weir_scheduler *s, uint32_t max_concurrent,
			       int64_t park_after_ms)
{
	atomic_store(&s->max_concurrent, max_concurrent);
	atomic_store(&s->park_after_ms, park_after_ms);
}

bool weir_scheduler_quit(struct weir_scheduler *s)
{
	if (!s->started)
		return true;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	if (!atomic_load(&s->ended) &&
	    WEIR_HAS(struct weir_backend_step, s->options.calls, interrupt))
		s->options.calls->interrupt(s->options.instance);
	return atomic_load(&s->ended);
}

void weir_scheduler_stop(struct weir_scheduler *s)
{
	if (!s || !s->started)
		return;
	(void)weir_scheduler_quit(s);
	pthread_join(s->thread, NULL);
	s->started = false;
}
