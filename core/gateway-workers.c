/*
 * gateway-workers.c - see gateway-workers.h. A ring of jobs under one lock.
 */
#include "gateway-workers.h"

#include <pthread.h>

#include <glib.h>

#include "log.h"

struct job {
	void (*run)(void *data);
	void *data;
};

struct weir_workers {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct job *ring;
	size_t first, n, cap;
	bool stop;
	uint32_t n_threads;
	pthread_t threads[];
};

static void *work(void *data)
{
	struct weir_workers *w = data;

	pthread_setname_np(pthread_self(), "weir-worker");
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job job;

		while (w->n == 0 && !w->stop)
			pthread_cond_wait(&w->cond, &w->lock);
		if (w->n == 0)
			break;
		job = w->ring[w->first];
		w->first = (w->first + 1) % w->cap;
		w->n--;
		pthread_mutex_unlock(&w->lock);
		job.run(job.data);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

weir_status weir_workers_new(uint32_t n_threads, struct weir_workers **ret, struct weir_error *err)
{
	struct weir_workers *w;

	n_threads = CLAMP(n_threads, 1u, 256u);
	w = g_malloc0(sizeof(*w) + n_threads * sizeof(w->threads[0]));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	while (w->n_threads < n_threads &&
	       pthread_create(&w->threads[w->n_threads], NULL, work, w) == 0)
		w->n_threads++;
	if (w->n_threads == 0) {
		weir_workers_free(w);
		return weir_fail(err, WEIR_E_UNAVAILABLE, "cannot start a worker thread");
	}
	*ret = w;
	return WEIR_OK;
}

void weir_workers_free(struct weir_workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
	for (uint32_t i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	g_free(w->ring);
	g_free(w);
}

void weir_workers_push(struct weir_workers *w, void (*run)(void *data), void *data)
{
	pthread_mutex_lock(&w->lock);
	if (w->n == w->cap) {
		size_t cap = MAX(64u, w->cap * 2);
		struct job *ring = g_new(struct job, cap);

		for (size_t i = 0; i < w->n; i++)
			ring[i] = w->ring[(w->first + i) % w->cap];
		g_free(w->ring);
		w->ring = ring;
		w->first = 0;
		w->cap = cap;
	}
	w->ring[(w->first + w->n++) % w->cap] = (struct job){ run, data };
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}
