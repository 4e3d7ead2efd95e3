/* SPDX-License-Identifier: MIT */
/*
 * pool.c - a fixed team of threads; see pool.h.
 *
 * Two counters that only grow carry everything: `job` starts a job, `phase` ends a barrier. A
 * waiter spins on its counter for a while and then sleeps in futex(); whoever moves the counter
 * wakes sleepers only if it sees some, so that a busy pool makes no system calls. The order
 * (register as sleeper, look again in the kernel) against (move the counter, look for sleepers) is
 * sequentially consistent on both sides: no wake-up is lost.
 */
#include "pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 4000, LINE = 64 };

struct gate {
	_Alignas(64) atomic_uint value;
	atomic_uint sleepers;
};

struct worker {
	pthread_t thread;
	struct weir_pool *pool;
	uint32_t index;
};

struct weir_pool {
	struct gate job, phase;
	_Alignas(64) atomic_uint arrived;
	_Alignas(64) atomic_uint next; /* weir_pool_each() */
	uint32_t n_threads, n_started;
	bool stopping; /* written before job moves, read after */
	void (*fn)(void *data, uint32_t thread, uint32_t n);
	void *data;
	struct worker *workers; /* [n_threads - 1] */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* Until the gate's value differs from `old`; a line of ahead[bytes] for each look. */
static void gate_wait(struct gate *gate, unsigned old, const uint8_t *ahead, size_t bytes)
{
	size_t fetched = 0;

	for (int i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&gate->value, memory_order_acquire) != old)
			return;
		if (fetched < bytes) {
			__builtin_prefetch(ahead + fetched, 0, 2);
			fetched += LINE;
		} else {
			relax();
		}
	}
	atomic_fetch_add(&gate->sleepers, 1);
	while (atomic_load(&gate->value) == old)
		syscall(SYS_futex, &gate->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
	atomic_fetch_sub(&gate->sleepers, 1);
}

static void gate_advance(struct gate *gate)
{
	atomic_fetch_add(&gate->value, 1);
	if (atomic_load(&gate->sleepers))
		syscall(SYS_futex, &gate->value, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

void weir_pool_barrier(struct weir_pool *pool)
{
	weir_pool_barrier_ahead(pool, NULL, 0);
}

void weir_pool_barrier_ahead(struct weir_pool *pool, const void *ahead, size_t bytes)
{
	unsigned phase;

	if (pool->n_threads == 1)
		return;
	phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
	if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->n_threads) {
		atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
		gate_advance(&pool->phase);
	} else {
		gate_wait(&pool->phase, phase, ahead, bytes);
	}
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct weir_pool *pool = worker->pool;

	for (unsigned job = 0;; job++) {
		gate_wait(&pool->job, job, NULL, 0);
		if (pool->stopping)
			return NULL;
		pool->fn(pool->data, worker->index, pool->n_threads);
		weir_pool_barrier(pool);
	}
}

void weir_pool_run(struct weir_pool *pool, void (*fn)(void *data, uint32_t thread, uint32_t n),
		   void *data)
{
	pool->fn = fn;
	pool->data = data;
	if (pool->n_threads > 1)
		gate_advance(&pool->job);
	fn(data, 0, pool->n_threads);
	weir_pool_barrier(pool);
}

struct each {
	struct weir_pool *pool;
	uint32_t n;
	void (*fn)(void *data, uint32_t i);
	void *data;
};

static void run_each(void *data, uint32_t thread, uint32_t n_threads)
{
	struct each *each = data;
	uint32_t i;

	while ((i = atomic_fetch_add_explicit(&each->pool->next, 1, memory_order_relaxed)) <
	       each->n)
		each->fn(each->data, i);
}

void weir_pool_each(struct weir_pool *pool, uint32_t n, void (*fn)(void *data, uint32_t i),
		    void *data)
{
	struct each each = { pool, n, fn, data };

	if (n == 1 || pool->n_threads == 1) {
		for (uint32_t i = 0; i < n; i++)
			fn(data, i);
		return;
	}
	atomic_store(&pool->next, 0);
	weir_pool_run(pool, run_each, &each);
}

uint32_t weir_pool_n_threads(const struct weir_pool *pool)
{
	return pool->n_threads;
}

struct weir_pool *weir_pool_new(uint32_t n_threads)
{
	struct weir_pool *pool;

	if (n_threads < 1 || n_threads > 1024)
		return NULL;
	if (posix_memalign((void **)&pool, 64, sizeof(*pool)))
		return NULL;
	*pool = (struct weir_pool){ .n_threads = n_threads };
	pool->workers = calloc(n_threads, sizeof(*pool->workers));
	if (!pool->workers)
		goto fail;
	for (uint32_t i = 1; i < n_threads; i++) {
		struct worker *worker = &pool->workers[i - 1];

		*worker = (struct worker){ .pool = pool, .index = i };
		if (pthread_create(&worker->thread, NULL, work, worker))
			goto fail;
		pool->n_started++;
	}
	return pool;
fail:
	weir_pool_free(pool);
	return NULL;
}

void weir_pool_free(struct weir_pool *pool)
{
	if (!pool)
		return;
	pool->stopping = true;
	gate_advance(&pool->job);
	for (uint32_t i = 0; i < pool->n_started; i++)
		pthread_join(pool->workers[i].thread, NULL);
	free(pool->workers);
	free(pool);
}

/* The first CPU of cpu's sibling list, or cpu itself when the system does not tell. */
static int first_sibling(int cpu)
{
	char path[96];
	FILE *file;
	int first;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 cpu);
	file = fopen(path, "re");
	if (!file)
		return cpu;
	if (fscanf(file, "%d", &first) != 1)
		first = cpu;
	fclose(file);
	return first;
}

/* What the container may use, in whole cores; INT_MAX when nothing says. */
static int cgroup_cores(void)
{
	FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
	long long quota, period;
	int cores = INT_MAX;

	if (!file)
		return cores;
	if (fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0 &&
	    quota / period < 1024)
		cores = (int)((quota + period - 1) / period);
	fclose(file);
	return cores;
}

uint32_t weir_pool_default_threads(void)
{
	int n, share = cgroup_cores();
	cpu_set_t allowed, cores;

	CPU_ZERO(&allowed);
	CPU_ZERO(&cores);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return 1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed)) {
			int core = first_sibling(cpu);

			CPU_SET(core >= 0 && core < CPU_SETSIZE ? core : cpu, &cores);
		}
	n = CPU_COUNT(&cores);
	n = n < share ? n : share;
	return n < 1 ? 1 : n > 1024 ? 1024 : (uint32_t)n;
}
