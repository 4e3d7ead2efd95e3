/*
 * core/gateway-ticket.h - what follows a request through the gateway, shared by gateway*.c only.
 *
 * A ticket is its channel's owner, is on the list of its slot and counts there. It changes slots
 * when its backend is lost or replaced (gateway-recover.c): only while nobody holds it, and inside
 * weir_channel_recall(), so that neither wake() nor an end can look at it meanwhile.
 */
#ifndef WEIR_CORE_GATEWAY_TICKET_H
#define WEIR_CORE_GATEWAY_TICKET_H

#include "gateway-router.h"

enum ticket_state {
	TICKET_SUBMITTING,
	TICKET_QUEUED,
	TICKET_SUBMITTED,
	TICKET_ENDING,
	TICKET_MOVING
};

#define TICKET_HANDED (1 << 16) /* in holds: its backend has handed it back */

struct ticket {
	atomic_int refs;  /* the channel's until ended(), a worker's while it works */
	atomic_int holds; /* calls that are within it; the last one passes a handed one on */
	struct weir_slot *slot;
	struct weir_channel *channel;
	weir_stream *out;
	_Atomic uint32_t state;
	bool counted; /* it is one of slot->n_running; slot lock */
	bool waited; /* it was queued here: wake() may come already; slot lock, then its worker's */
	struct ticket *prev, *next; /* of slot->tickets; slot lock */
	int32_t priority;
	int64_t opened_ns, queued_ns;
	uint64_t task;
	struct weir_seat_ids seats; /* slot lock */

	/* Of one that was handed back; written before the hand-over, read after it. */
	weir_request *resumed; /* with the field `resume`; NULL: nothing was told */
	bool output, replaced; /* replaced: its backend gave way, else it was lost */
	bool refused;          /* it waited in vain for a load */
	uint32_t n_losses;     /* that it was alive in */
	uint64_t print;        /* whose tokens these are; weir_scheduler_print() */
	uint32_t longest;
};

/* gateway-open.c */
void weir_ticket_unref(struct ticket *);
void weir_ticket_hold(struct ticket *);    /* and a reference */
void weir_ticket_let_go(struct ticket *);  /* both */
void weir_ticket_start(struct ticket *);   /* a worker submits, refuses or ends it */
void weir_ticket_enqueue(struct ticket *); /* in its slot, whose lock is held */
void weir_ticket_enlist(struct ticket *);
void weir_ticket_leave(struct ticket *); /* its slot: off the list, and not counted */
/* It is let in, or waits for its turn; counted in its slot already. */
void weir_ticket_admit(struct ticket *);

/* gateway-recover.c */
/* A worker looks for another slot; the caller's reference stays the caller's. */
void weir_ticket_recover(struct ticket *);
/* Is there another slot that can take it by now? [worker] */
bool weir_ticket_has_other(struct ticket *);
/* Its backend does not take it: as if that had handed it back. [worker, holding it] */
void weir_ticket_again(struct ticket *);
/* Can the slot go on with what was told? Anybody can with what was not. */
bool weir_ticket_fits(const struct ticket *, struct weir_slot *);
void weir_ticket_give_up(struct ticket *); /* ends it: nobody can go on. [worker] */

#endif
