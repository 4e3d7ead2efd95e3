/*
 * frontends/http/plane.h - one I/O thread: its listeners, connections, timers and loop.
 *
 * One epoll descriptor holds every socket, one eventfd wakes the thread, one timerfd drives a wheel
 * of deadlines; a single GSource wraps the epoll descriptor, because libsoup (lend.h) wants a
 * GMainContext. Everything is [loop] but what says otherwise.
 *
 * A connection that a dispatch touches is put on the dirty list; when all events of the dispatch
 * are handled, each dirty connection is settled once (input that waited, one send, its deadline).
 * A closed connection is freed after that, so pointers stay good within a dispatch.
 */
#ifndef HTTP_PLANE_H
#define HTTP_PLANE_H

#include <pthread.h>

#include <websocket/hub.h>

#include "http.h"
#include "pool.h"

#define PLANE_READ_SIZE   65536
#define PLANE_WHEEL_SLOTS 512
#define PLANE_TICK_MS     100

struct conn;
struct lender;
struct routes_metrics;

enum plane_tag {
	PLANE_TAG_CONN,
	PLANE_TAG_LISTENER,
	PLANE_TAG_EVENT,
	PLANE_TAG_TIMER,
	PLANE_TAG_BATCH
};

struct listener {
	enum plane_tag tag; /* first: epoll's data points at it */
	int fd;
};

struct plane {
	struct http *http;
	GThread *thread;
	GMainContext *context;
	GMainLoop *main_loop;
	struct api_loop api;
	struct ws_hub websockets;
	int epoll_fd, event_fd, timer_fd, batch_fd, spare_fd;
	enum plane_tag event_tag, timer_tag, batch_tag;
	struct listener *listeners;
	size_t n_listeners;
	bool listening, draining, stopping, timer_on;
	uint64_t now_ms;    /* of this dispatch; CLOCK_MONOTONIC */
	uint64_t accept_at; /* out of descriptors: accept again then; 0: listening as usual */
	uint64_t batch_at;  /* batch_fd is set to it; 0: off */
	uint64_t stop_at;   /* stopping: unsent output is dropped then */
	size_t n_conns, n_jobs;
	struct conn *conns; /* all, linked by next and prev */
	struct conn *dead;
	struct conn *dirty;
	struct conn *wheel[PLANE_WHEEL_SLOTS];
	uint64_t wheel_tick;  /* ticks that have been run */
	GQueue kept, leaving; /* struct kept: all, and those with an expires_ms, earliest first */
	struct lender *lender;
	struct routes_metrics *metrics;
	char date[32]; /* of HTTP, for date_s */
	int64_t date_s;
	pthread_mutex_t lock; /* posts; not a GMutex: ThreadSanitizer sees this one */
	GQueue posts;
	char *rbuf; /* PLANE_READ_SIZE */
};

/* Binds every address of the configuration for all planes; ephemeral ports are then the same.
 * [main] */
weir_status plane_listen(struct http *, struct weir_error *);
weir_status plane_start(struct plane *, struct weir_error *); /* [main] */
struct plane *plane_new(struct http *);                       /* [main] */
void plane_free(struct plane *);                              /* joined, or never started. [main] */

/* Makes the thread settle its dirty connections, when they got so outside a dispatch. [any] */
void plane_kick(struct plane *);
/* Runs call(plane, data) on the plane's thread. [any] */
void plane_post(struct plane *, void (*call)(struct plane *, void *data), void *data);
void plane_drain(struct plane *, void *); /* for plane_post() */
void plane_stop(struct plane *, void *);  /* for plane_post(): the thread ends when all has */

/* Work for the pool: run() there, then done() on the plane, which frees it. */
struct plane_job {
	struct pool_job job;
	struct plane *plane;
	void (*run)(struct plane_job *);
	void (*done)(struct plane_job *);
};
void plane_job_push(struct plane *, struct plane_job *);

const char *plane_date(struct plane *);
void plane_mark_dirty(struct plane *, struct conn *);
/* The connection's deadline is due_ms (0: none); its wheel entry is moved only when needed. */
void plane_set_due(struct plane *, struct conn *, uint64_t due_ms);

#endif
