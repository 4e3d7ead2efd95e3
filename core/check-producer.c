/*
 * core/check-producer.c - see check-producer.h.
 *
 * One thread serves all streams: it goes round them whenever wake() or submit() has rung.
 */
#include "check-producer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#define N_WORDS 24

struct job {
	weir_request *request;
	weir_stream *out;
	int next; /* 0: STARTED, 1 .. N_WORDS: a word, then the end */
};

struct producer {
	struct weir_instance base;
	const struct weir_stream_api *streams;
	const struct weir_request_api *requests;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t rung;
	GPtrArray *fresh; /* struct job, not yet taken by the thread */
	bool dirty, stopping;
};

/* True when the stream has ended. */
static bool go_on(struct producer *self, struct job *job, bool stopping)
{
	struct weir_end end = { .size = sizeof(end), .finish = WEIR_FINISH_STOP };
	while (job->next <= N_WORDS) {
		char word[32];
		struct weir_event event = { .size = sizeof(event), .token = -1 };
		event.type = job->next == 0 ? WEIR_EVENT_STARTED : WEIR_EVENT_TEXT;
		event.logprob = __builtin_nanf("");
		if (job->next > 0) {
			event.text.data = word;
			event.text.len =
				(size_t)snprintf(word, sizeof(word), "Word %d é. ", job->next);
		}
		weir_status status = self->streams->emit(job->out, &event);
		if (status == WEIR_E_NO_CREDIT && !stopping)
			return false;
		if (status != WEIR_OK) {
			end.status = stopping ? WEIR_E_UNAVAILABLE : WEIR_E_CANCELLED;
			end.finish = WEIR_FINISH_NONE;
			break;
		}
		job->next++;
	}
	self->streams->end(job->out, &end);
	self->requests->unref(job->request);
	return true;
}

static void *work(void *data)
{
	struct producer *self = data;
	g_autoptr(GPtrArray) jobs = g_ptr_array_new();
	bool stopping = false;
	while (!stopping || jobs->len > 0) {
		pthread_mutex_lock(&self->lock);
		while (!self->dirty && !self->stopping)
			pthread_cond_wait(&self->rung, &self->lock);
		self->dirty = false;
		stopping = self->stopping;
		g_ptr_array_extend(jobs, self->fresh, NULL, NULL);
		g_ptr_array_set_size(self->fresh, 0);
		pthread_mutex_unlock(&self->lock);
		for (unsigned i = jobs->len; i > 0; i--) {
			struct job *job = g_ptr_array_index(jobs, i - 1);
			if (!go_on(self, job, stopping))
				continue;
			g_ptr_array_remove_index_fast(jobs, i - 1);
			g_free(job);
		}
	}
	return NULL;
}

static void ring(struct producer *self, struct job *job)
{
	pthread_mutex_lock(&self->lock);
	if (job)
		g_ptr_array_add(self->fresh, job);
	self->dirty = true;
	pthread_cond_signal(&self->rung);
	pthread_mutex_unlock(&self->lock);
}

static weir_status submit(struct weir_instance *base, weir_request *request, weir_stream *out,
			  struct weir_error *err)
{
	struct job *job = g_new0(struct job, 1);
	job->request = request;
	job->out = out;
	ring((struct producer *)base, job);
	return WEIR_OK;
}

static void wake(struct weir_instance *base, weir_stream *out)
{
	ring((struct producer *)base, NULL);
}

static weir_status start(struct weir_instance *base, struct weir_error *err)
{
	struct producer *self = (struct producer *)base;
	if (pthread_create(&self->thread, NULL, work, self) == 0)
		return WEIR_OK;
	g_strlcpy(err->text, "no thread could be started", sizeof(err->text));
	return WEIR_E_EXHAUSTED;
}

static void stop(struct weir_instance *base)
{
	struct producer *self = (struct producer *)base;
	pthread_mutex_lock(&self->lock);
	self->stopping = true;
	pthread_cond_signal(&self->rung);
	pthread_mutex_unlock(&self->lock);
	pthread_join(self->thread, NULL);
}

static void destroy(struct weir_instance *base)
{
	struct producer *self = (struct producer *)base;
	g_ptr_array_unref(self->fresh);
	pthread_cond_destroy(&self->rung);
	pthread_mutex_destroy(&self->lock);
	g_free(self);
}

static const void *get_ext(struct weir_instance *base, const char *id)
{
	static const struct weir_backend_stream api = { sizeof(api), 0, submit, wake };
	return strcmp(id, WEIR_BACKEND_STREAM) ? NULL : &api;
}

struct weir_instance *weir_check_producer_new(const struct weir_host *host)
{
	struct producer *self = g_new0(struct producer, 1);
	self->streams = host->get_ext(host, WEIR_HOST_STREAM);
	self->requests = host->get_ext(host, WEIR_HOST_REQUEST);
	pthread_mutex_init(&self->lock, NULL);
	pthread_cond_init(&self->rung, NULL);
	self->fresh = g_ptr_array_new();
	self->base.size = sizeof(self->base);
	self->base.start = start;
	self->base.stop = stop;
	self->base.destroy = destroy;
	self->base.get_ext = get_ext;
	return &self->base;
}
