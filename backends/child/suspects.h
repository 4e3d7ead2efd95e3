/* SPDX-License-Identifier: MIT */
/*
 * backends/child/suspects.h - which request ends the process? Pure; the instance's thread.
 *
 * After the first death everybody goes on together: most deaths have nothing to do with a request.
 * Who was alive in two is a suspect, and ends if it was alone. Else suspects are tried in an empty
 * process, one at a time, or in groups when there are many, while all others wait: who tells an
 * event is cleared, and stands still (without credit) until all are through; a group in which the
 * process dies is tried again in smaller ones. So one request that is deadly ends after three or
 * four deaths, and who was only beside it goes on. What tells an event and kills only later is
 * caught the next time, when it has to tell more than it did before it died.
 */
#ifndef CHILD_SUSPECTS_H
#define CHILD_SUSPECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUSPECTS_MOST_DEATHS 6u /* who was alive in so many ends, whoever is to blame */

enum suspicion {
	SUSPICION_NONE,
	SUSPICION_WAITS,   /* to be tried */
	SUSPICION_TRIED,   /* now */
	SUSPICION_CLEARED, /* waits for the rest */
};

struct suspect { /* of one request; zero at first */
	enum suspicion state;
	bool ends;           /* it is held to be the reason */
	unsigned deaths;     /* that it was alive in, and are not explained */
	uint64_t told;       /* events in this process */
	uint64_t need;       /* so many clear it */
	int64_t since;       /* when the last one was told, or it was sent; milliseconds */
	int64_t patience_ms; /* so long without one clears it as well */
};

/* It is sent to a process. */
void suspect_sent(struct suspect *, int64_t now);
/* An event other than STARTED. */
void suspect_told(struct suspect *, int64_t now);
/* Of one that is tried: how many events it may tell, STARTED included. */
uint32_t suspect_credit(const struct suspect *);

/* The process is gone that computed these n. company: something else was alive in it, too. */
void suspects_lost(struct suspect *const *, size_t n, bool company, int64_t now);
/* Clears who is through. still: it can tell nothing more. */
void suspect_look(struct suspect *, bool still, int64_t now);
/* Of all: whom to try next; they are TRIED then. 0: nobody is left, or somebody is being tried;
 * *ret_over: the former. */
size_t suspects_pick(struct suspect *const *, size_t n, bool *ret_over);
/* Nobody is left. guilty: somebody was found, which explains the deaths of the others. True:
 * somebody has been cleared. */
bool suspects_forget(struct suspect *const *, size_t n, bool guilty);

#endif
