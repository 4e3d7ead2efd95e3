/* SPDX-License-Identifier: MIT */
/*
 * backends/child/child.h - a backend in a process of its own, as a level-A backend.
 *
 * One thread for each instance ("weir-child") starts the process, speaks with it and watches it;
 * what other threads ask for comes through the inbox and a bell. The lock guards the inbox and what
 * is told to the outside; it is never held while the host is called.
 *
 * A job is one request. It waits until a process is ready, is sent, and gets its events; when the
 * process ends it waits again, with the tale of what has been told (tale.h), for the next one.
 */
#ifndef CHILD_CHILD_H
#define CHILD_CHILD_H

#include <pthread.h>

#include <glib.h>
#include <weir/backend.h>
#include <weir/services.h>

#include "process.h"
#include "suspects.h"
#include "wire.h"

enum job_state {
	JOB_WAITS, /* for a process */
	JOB_SENT,
};

struct job {
	struct job *next_in; /* the inbox; under lock */
	bool in_inbox;
	/* The thread's own from here on. */
	struct job *prev, *next; /* c->jobs */
	weir_stream *out;
	weir_request *request;
	GString *text; /* of the request, made by submit(); NULL: made when it is sent */
	struct tale tale;
	bool generates; /* chat or completion: what was told cannot be taken back */
	bool goes_on;   /* another process can go on with the answer, if it knows how */
	bool resumed;   /* the host has brought it with a tale */
	bool known;     /* it is among c->jobs */
	enum job_state state;
	uint64_t id;          /* of the process that it was sent to */
	uint64_t next_seq;    /* of that one's events */
	uint32_t outstanding; /* events that the process may still send */
	bool again;           /* a process has worked on it before this one */
	struct suspect suspect;
	int64_t cancelled_at; /* 0: not; CLOCK_MONOTONIC milliseconds, as all times here */
	GQueue *held;         /* GString: lines that found no credit; NULL: none */
};

enum phase {
	PHASE_DOWN,     /* the next start is at c->start_at */
	PHASE_STARTING, /* no answer yet */
	PHASE_LOADING,
	PHASE_READY,
	PHASE_ENDING, /* told to go; the end is awaited */
	PHASE_FAILED, /* for good */
};

struct child {
	struct weir_instance base;
	const struct weir_host *host;
	const struct weir_log *log; /* may be NULL, as the next */
	const struct weir_metrics *metrics;
	const struct weir_request_api *requests;
	const struct weir_stream_api *streams;
	weir_metric *m_starts, *m_deaths, *m_resumed, *m_up;
	char *program, *profile, *settings, *place; /* place: what is behind the dot: "main" */
	int64_t hang_ms;

	pthread_t thread;
	bool running; /* main only */
	int bell_fd;
	pthread_mutex_t lock;
	/* Under lock. */
	struct job *inbox, *inbox_last;
	bool stopping;
	struct weir_report_info info;
	GString *health, *series; /* members for /health; the process's metrics */
	uint64_t life;
	GPtrArray *adapters; /* interned */
	struct {
		int pid;
		uint64_t starts;
		enum phase phase;
		bool resumes;
	} shown; /* in /health */

	/* The thread's own. */
	weir_bell *bell; /* NULL: the host has none */
	struct process process;
	enum phase phase;
	/* now: without the time in which this thread did not run (a stopped or suspended server):
	 * nobody else is to blame for that. */
	int64_t slept, now, start_at, started_at, ready_at, end_by, asked_at, ask_at;
	unsigned n_fails;         /* deaths since the last healthy minute */
	bool ever_ready, resumes; /* resumes: the process goes on with answers */
	uint64_t lives;           /* processes so far */
	char *why;                /* it is ended for this; NULL: it ended by itself */
	char *last_words;         /* the last error that it has logged */
	GString *out;             /* to the process, from `sent` on */
	size_t sent;
	GByteArray *in, *lines; /* from the process: socket, log */
	size_t taken;           /* bytes of in that are done with */
	uint64_t next_id;
	struct job *jobs, *jobs_last; /* in order of arrival */
	GHashTable *by_id;            /* uint64_t -> struct job, of those that are sent */
	GHashTable *left;             /* uint64_t -> int64_t: cancelled ones, ended here only */
	struct wire_scratch scratch;
	bool trial;          /* suspects run alone */
	bool guilty;         /* somebody was found since it began */
	size_t n_cancelled;  /* of jobs: those with cancelled_at */
	uint64_t n_messages; /* about requests */
	uint64_t progress;   /* what was last counted, since progress_at */
	int64_t progress_at;
	unsigned n_unknown; /* lines about ids that nobody knows, of this process */
};

/* child.c: the thread. */
void *child_run(void *child);
void child_ring(struct child *); /* [any] */
/* The process breaks the protocol, or hangs: it is ended at once and started again. */
void child_give_up(struct child *, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t child_clock_ms(void);
void child_logf(const struct child *, uint32_t level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* jobs.c */
struct job *job_new(struct child *, weir_request *, weir_stream *); /* [worker] */
void job_free(struct child *, struct job *);                        /* its request as well */
/* What the inbox has brought: a new one, credit or cancellation. */
void job_look(struct child *, struct job *);
/* All that may run now: the process is ready, or has got on with those that are tried. */
void jobs_send(struct child *);
/* The process is gone. text: why. */
void jobs_orphaned(struct child *, const char *text);
/* Ends all. */
void jobs_end(struct child *, weir_status, const char *text);
/* An event or an end from the process. */
void jobs_message(struct child *, const char *line, size_t len, const struct wire_message *);
/* Cancelled ones that the process does not end. Is one of them left for too long? */
bool jobs_overdue(struct child *);
bool jobs_any_cancelled(const struct child *);
/* Is there one of which the process should tell something? */
bool jobs_any_expected(const struct child *);

/* report.c: what the process tells of itself. */
void report_health(struct child *, struct json_span result);
void report_models(struct child *, struct json_span result);
void report_metrics(struct child *, struct json_span result);
void report_state(struct child *, enum weir_report_state, const char *error);
extern const struct weir_report report_calls;
extern const struct weir_adapters report_adapters;

/* output.c: what the process writes, into our log. */
void output_read(struct child *);
void output_end(struct child *); /* what is left without a newline */

#endif
