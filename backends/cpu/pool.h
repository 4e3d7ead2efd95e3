/* SPDX-License-Identifier: MIT */
/*
 * pool.h - a fixed team of threads that runs one job at a time, with a barrier for its stages.
 *
 * Used by the CPU device only. The caller of weir_pool_run() takes part as thread 0, so a pool of
 * one has no threads of its own. Idle threads spin for some microseconds and then sleep on a futex.
 * weir_pool_run() is for one caller at a time.
 */
#ifndef WEIR_CPU_POOL_H
#define WEIR_CPU_POOL_H

#include <weir/base.h>

struct weir_pool;

/* n_threads 1..1024. NULL when a thread could not be started or memory is short. [main] */
struct weir_pool *weir_pool_new(uint32_t n_threads);

/* Joins the threads; NULL: nothing. Not while a job runs. [main] */
void weir_pool_free(struct weir_pool *pool);

uint32_t weir_pool_n_threads(const struct weir_pool *pool);

/* fn(data, thread, n_threads) on every thread; returns when all have returned. What a thread wrote
 * in fn is visible to the caller after it. [step] */
void weir_pool_run(struct weir_pool *pool, void (*fn)(void *data, uint32_t thread, uint32_t n),
		   void *data);

/* Inside a job: returns when every thread has called it. What was written before it is visible to
 * all after it. */
void weir_pool_barrier(struct weir_pool *pool);

/* The same; who waits asks meanwhile for the lines of ahead[bytes], which it reads next. They are
 * not read here, and need not be memory of the caller's. */
void weir_pool_barrier_ahead(struct weir_pool *pool, const void *ahead, size_t bytes);

/* fn(data, i) once for each i < n, shared out among the threads as they come. [step] */
void weir_pool_each(struct weir_pool *pool, uint32_t n, void (*fn)(void *data, uint32_t i),
		    void *data);

/* Physical cores that this process may run on: of SMT siblings one counts, and no more than a
 * container's share of time is worth (cgroup's cpu.max, rounded up). 1..1024. [any] */
uint32_t weir_pool_default_threads(void);

#endif
