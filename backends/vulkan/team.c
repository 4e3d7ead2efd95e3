/* SPDX-License-Identifier: MIT */
/*
 * team.c - a few threads that share out the numbers of a job; see team.h.
 */
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { MOST = 64, MOST_BY_ITSELF = 8 };

struct weir_vk_team {
	pthread_mutex_t lock; /* of all below, but for the threads */
	pthread_cond_t work, done;
	void (*fn)(void *data, uint32_t i);
	void *data;
	uint32_t next, n, left; /* to begin; of the job; not yet ended */
	bool stopping;
	uint32_t n_threads; /* started: one less than the team */
	pthread_t threads[MOST];
};

/* The next number, outside of the lock. Called and returns with it. */
static void do_one(struct weir_vk_team *t)
{
	void (*fn)(void *, uint32_t) = t->fn;
	void *data = t->data;
	uint32_t i = t->next++;

	pthread_mutex_unlock(&t->lock);
	fn(data, i);
	pthread_mutex_lock(&t->lock);
	if (--t->left == 0)
		pthread_cond_signal(&t->done);
}

static void *work(void *data)
{
	struct weir_vk_team *t = data;

	pthread_mutex_lock(&t->lock);
	while (!t->stopping)
		if (t->next < t->n)
			do_one(t);
		else
			pthread_cond_wait(&t->work, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

void weir_vk_team_each(struct weir_vk_team *t, uint32_t n, void (*fn)(void *data, uint32_t i),
		       void *data)
{
	if (n < 2 || !t->n_threads) {
		for (uint32_t i = 0; i < n; i++)
			fn(data, i);
		return;
	}
	pthread_mutex_lock(&t->lock);
	t->fn = fn;
	t->data = data;
	t->next = 0;
	t->n = t->left = n;
	pthread_cond_broadcast(&t->work);
	while (t->next < t->n)
		do_one(t);
	while (t->left)
		pthread_cond_wait(&t->done, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

uint32_t weir_vk_team_size(const struct weir_vk_team *t)
{
	return t->n_threads + 1;
}

static uint32_t default_size(void)
{
	cpu_set_t cores;
	int n;

	CPU_ZERO(&cores);
	if (sched_getaffinity(0, sizeof(cores), &cores))
		return 1;
	n = CPU_COUNT(&cores);
	return n < 1 ? 1 : n > MOST_BY_ITSELF ? MOST_BY_ITSELF : (uint32_t)n;
}

struct weir_vk_team *weir_vk_team_new(uint32_t n)
{
	struct weir_vk_team *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	n = n ? n : default_size();
	n = n < MOST ? n : MOST;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->done, NULL);
	while (t->n_threads + 1 < n && !pthread_create(&t->threads[t->n_threads], NULL, work, t))
		t->n_threads++;
	return t;
}

void weir_vk_team_free(struct weir_vk_team *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (uint32_t i = 0; i < t->n_threads; i++)
		pthread_join(t->threads[i], NULL);
	pthread_cond_destroy(&t->done);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
