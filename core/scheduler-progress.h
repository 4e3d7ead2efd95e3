/*
 * core/scheduler-progress.h - where a scheduler's thread is, and the workers that prepare for it,
 * so that others see a call of the backend that does not return.
 *
 * The thread marks each section that it begins; a worker takes a place for as long as it prepares a
 * request. Who looks needs no lock, and nothing that hangs can hold one. Two relaxed stores a
 * section; what a section does within itself is not counted.
 */
#ifndef WEIR_CORE_SCHEDULER_PROGRESS_H
#define WEIR_CORE_SCHEDULER_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "core.h"

#define WEIR_PROGRESS_PLACES 64 /* workers beyond so many are not seen */

struct weir_progress {
	_Atomic(const char *) section;                   /* a literal; NULL: it waits for work */
	_Atomic int64_t since_ns;                        /* of the section */
	_Atomic uint64_t count;                          /* sections of the thread that ended */
	_Atomic int64_t preparing[WEIR_PROGRESS_PLACES]; /* since when; 0: free */
};

struct weir_scheduler;

/* The thread is in it from now on. NULL: it waits. */
void weir_progress_mark(struct weir_progress *, const char *section);
/* [worker] A place for leave(); -1: there is none. */
int weir_progress_enter(struct weir_progress *);
void weir_progress_leave(struct weir_progress *, int place);

struct weir_progress_view {
	const char *section; /* the thread's, or "prepare", which has lasted longer; NULL: none */
	int64_t ns;          /* so long by now */
	uint64_t count;      /* what only grows while the thread gets on */
};
/* [any] */
void weir_progress_look(const struct weir_progress *, struct weir_progress_view *ret);
void weir_scheduler_look(const struct weir_scheduler *, struct weir_progress_view *ret);

#endif
