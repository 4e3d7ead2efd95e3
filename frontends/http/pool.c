/*
 * frontends/http/pool.c - see pool.h.
 */
#include "pool.h"

#include <pthread.h>
#include <stdbool.h>

#include <glib.h>

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pool_job *first, **last;
	bool ending;
	unsigned n_threads;
	GThread **threads;
};

static gpointer work(gpointer data)
{
	struct pool *p = data;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->first && !p->ending)
			pthread_cond_wait(&p->changed, &p->lock);
		struct pool_job *job = p->first;
		if (!job)
			break;
		p->first = job->next;
		if (!p->first)
			p->last = &p->first;
		pthread_mutex_unlock(&p->lock);
		job->run(job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(unsigned n_threads)
{
	struct pool *p = g_new0(struct pool, 1);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->last = &p->first;
	p->n_threads = n_threads;
	p->threads = g_new0(GThread *, n_threads);
	for (unsigned i = 0; i < n_threads; i++)
		p->threads[i] = g_thread_new("weir-http-pool", work, p);
	return p;
}

void pool_push(struct pool *p, struct pool_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->last = job;
	p->last = &job->next;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		g_thread_join(p->threads[i]);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	g_free(p->threads);
	g_free(p);
}
