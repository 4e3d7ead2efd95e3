/* SPDX-License-Identifier: MIT */
/*
 * wheel.h - times of thousands of streams at a millisecond's grain: adding, removing and taking
 * cost the same whatever their number. One thread; nothing is allocated.
 *
 * A ring of slots, one for each tick; what lies further away than a turn comes out once a turn.
 * Whoever wakes for a tick finds all that is due in it, in the order in which it was added.
 */
#ifndef WEIR_ECHO_WHEEL_H
#define WEIR_ECHO_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define ECHO_WHEEL_TICK_NS 1000000
#define ECHO_WHEEL_SLOTS   1024

struct echo_due { /* a part of what waits; zeroed: in no list */
	struct echo_due *next, *prev;
	int64_t ns; /* CLOCK_MONOTONIC */
};

struct echo_wheel {
	struct echo_due slots[ECHO_WHEEL_SLOTS];
	uint64_t filled[ECHO_WHEEL_SLOTS / 64]; /* a bit for each slot that may hold something */
	int64_t tick;                           /* has been taken */
};

/* A list is a struct echo_due that links to itself when it is empty. */
void echo_list_init(struct echo_due *list);
bool echo_list_empty(const struct echo_due *list);
void echo_list_add(struct echo_due *list, struct echo_due *);    /* at its end; it is in none */
void echo_list_move(struct echo_due *list, struct echo_due *to); /* all, behind what is there */
void echo_list_remove(struct echo_due *); /* from whatever list; in none: nothing happens */

void echo_wheel_init(struct echo_wheel *, int64_t now_ns);
/* By its ns, rounded up to a tick; those of a tick that has been taken come with the next one. */
void echo_wheel_add(struct echo_wheel *, struct echo_due *);
/* Moves what is due to the end of list, unread; what has its time a turn later or more is among it
 * and is to be added again. */
void echo_wheel_take(struct echo_wheel *, int64_t now_ns, struct echo_due *list);
/* When to take next, at the latest; INT64_MAX: it is empty. */
int64_t echo_wheel_next(struct echo_wheel *);

#endif
