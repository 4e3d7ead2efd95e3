/*
 * frontends/http/pool.h - a few threads for work that would hold up an I/O thread.
 *
 * Own and not GThreadPool: ThreadSanitizer cannot follow GLib's queues, and this is what it should
 * check. Jobs run in order of arrival.
 */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

struct pool;

struct pool_job { /* the owner's struct begins with it */
	struct pool_job *next;
	void (*run)(struct pool_job *); /* in a thread of the pool; the job is not touched after */
};

struct pool *pool_new(unsigned n_threads);        /* [main] */
void pool_push(struct pool *, struct pool_job *); /* [any] */
void pool_free(struct pool *);                    /* runs what is queued, joins. [main] */

#endif
