/*
 * core/loop.h - the queue between producers and one frontend thread.
 *
 * Producers push copies of events; the frontend's thread takes all of them at once (two arrays that
 * change places) and calls back. The thread is rung when the queue turns from empty to filled, at
 * most once until it has looked; a scheduler passes a bell and rings it once, after a whole step.
 * Text lies in one byte array for each side, so that a token costs no allocation.
 */
#ifndef WEIR_CORE_LOOP_H
#define WEIR_CORE_LOOP_H

#include <weir/frontend.h>

/* What the loop calls for an entry, on the loop's thread. The end is the last entry of a target. */
struct weir_loop_calls {
	void (*soon)(void *target); /* an entry of it is a few away: fetch what it needs */
	void (*event)(void *target, const struct weir_event *);
	void (*end)(void *target, const struct weir_end *);
};

/* Loops that have been filled, but not rung yet. Used by one thread; zeroed at first. */
struct weir_bell {
	weir_loop **loops;
	size_t n, cap;
};

weir_loop *weir_loop_new(void (*ring)(void *data), void *data);
weir_loop *weir_loop_ref(weir_loop *);
void weir_loop_unref(weir_loop *);
/* The frontend's own call: no ring() will be running or begin once it has returned. */
void weir_loop_free(weir_loop *);
/* Delivers what has been pushed until now; 0 when called from inside itself. [loop] */
size_t weir_loop_dispatch(weir_loop *);

/* calls must live as long as the loop. bell NULL: ring at once if need be. [any] */
void weir_loop_push_event(weir_loop *, const struct weir_loop_calls *calls, void *target,
			  const struct weir_event *, struct weir_bell *bell);
void weir_loop_push_end(weir_loop *, const struct weir_loop_calls *calls, void *target,
			const struct weir_end *, struct weir_bell *bell);

void weir_bell_ring(struct weir_bell *);
void weir_bell_clear(struct weir_bell *); /* rings and frees */

#endif
