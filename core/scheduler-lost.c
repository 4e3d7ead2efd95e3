/*
 * scheduler-lost.c - when a backend's instance is lost or gives way: its requests go back to who
 * brought them, each with what its client has seen, so that another instance can go on with them.
 * Runs on the scheduler's thread, but for release().
 */
#include "scheduler-inside.h"

#include <string.h>

#include "log.h"
#include "scheduler-trace.h"

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
	const unsigned char *at = data;

	/* FNV-1a (Fowler, Noll and Vo). */
	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * 0x100000001b3u;
	return h;
}

/* The model's name, and of every token its bytes and whether it ends: an answer that is told in
 * tokens means the same to both. Vectors agree by the model's name and their shape alone. */
uint64_t weir_scheduler_find_print(const struct weir_scheduler *s)
{
	g_autoptr(GString) bytes = g_string_new(NULL);
	uint64_t h = 0xcbf29ce484222325u;
	uint32_t n = s->tokenizer ? MIN(s->tokenizer->n_vocab, s->model.n_vocab) : 0;
	const char *name = s->model.name;

	if (!name || !name[0] || (s->tokenizer && n == 0))
		return 0;
	h = mix(h, name, strlen(name));
	h = mix(h, &s->model.n_vocab, sizeof(s->model.n_vocab));
	for (uint32_t t = 0; t < n; t++) {
		unsigned char ends = s->tokenizer->is_end(s->options.instance, (int32_t)t);

		g_string_truncate(bytes, 0);
		weir_scheduler_piece(s, (int32_t)t, WEIR_PIECE_SPECIAL, bytes);
		h = mix(h, &bytes->len, sizeof(bytes->len));
		h = mix(h, bytes->str, bytes->len);
		h = mix(h, &ends, 1);
	}
	return MAX(h, 1u);
}

uint64_t weir_scheduler_print(const struct weir_scheduler *s)
{
	return weir_scheduler_state(s) == WEIR_SCHEDULER_READY ? s->print : 0;
}

uint32_t weir_scheduler_longest(const struct weir_scheduler *s)
{
	return weir_scheduler_state(s) == WEIR_SCHEDULER_READY ? s->longest : 0;
}

void weir_scheduler_release(struct weir_scheduler *s)
{
	atomic_store(&s->released, true);
	pthread_mutex_lock(&s->lock);
	s->nudged = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static bool has_output(const struct weir_job *job)
{
	bool output = job->n_told_prompt > 0 || weir_job_told_vectors(job) > 0;

	for (uint32_t i = 0; i < job->n; i++)
		output |= job->seqs[i].n_told_events > 0;
	return output;
}

static void hand_back(struct weir_scheduler *s, struct weir_job *job)
{
	bool lost = weir_scheduler_state(s) == WEIR_SCHEDULER_FAILED;
	g_autofree char *told = weir_scheduler_told(job);
	const struct weir_handed handed = {
		.told = told,
		.output = has_output(job),
		.lived = job->admitted,
		.lost = lost,
		.print = s->print,
		.longest = s->longest,
	};
	struct weir_error err;

	if (!weir_stream_cancelled(job->out) && s->options.hand_back) {
		if (s->options.hand_back(s->options.data, job->channel, &handed)) {
			weir_fail(&err, WEIR_E_UNAVAILABLE, "handed back");
			weir_trace_finished(s, job, &err);
			weir_scheduler_drop(s, job);
			return;
		}
		weir_fail(&err, WEIR_E_CANCELLED, "cancelled");
	} else if (weir_stream_cancelled(job->out)) {
		weir_fail(&err, WEIR_E_CANCELLED, "cancelled");
	} else {
		weir_fail(&err, WEIR_E_UNAVAILABLE, "the backend has failed");
	}
	weir_scheduler_finish(s, job, &err, 0);
}

static gint by_order(gconstpointer a, gconstpointer b)
{
	const struct weir_job *x = *(struct weir_job *const *)a, *y = *(struct weir_job *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

void weir_scheduler_hand_back(struct weir_scheduler *s)
{
	g_autoptr(GPtrArray) jobs = g_ptr_array_new();
	struct weir_waiter *w;

	/* Who came first goes first. */
	for (guint i = 0; i < s->jobs->len; i++)
		g_ptr_array_add(jobs, s->jobs->pdata[i]);
	g_ptr_array_sort(jobs, by_order);
	for (guint i = 0; i < jobs->len; i++)
		hand_back(s, jobs->pdata[i]);
	while ((w = weir_tenants_any(s->tenants)) != NULL)
		hand_back(s, (struct weir_job *)w);
}
