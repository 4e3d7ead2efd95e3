/*
 * core/tenants.h - who is let in next: requests that wait, by priority, and fairly among tenants.
 *
 * Each tenant has a virtual time that grows with the tokens it has been served (start-time fair
 * queueing, Goyal, Vin and Cheng 1996, without weights). Of the waiting requests of the highest
 * priority the one whose tenant has had least is next; a tenant that was away begins at the present
 * virtual time: idleness earns nothing. Only the scheduler's thread calls.
 */
#ifndef WEIR_CORE_TENANTS_H
#define WEIR_CORE_TENANTS_H

#include <glib.h>

#include <weir/base.h>

struct weir_tenants;
struct weir_tenant;

struct weir_waiter {                /* inside the request's own struct; zeroed at first */
	struct weir_tenant *tenant; /* from add() to leave() */
	GList link;                 /* while it waits */
	int32_t priority;
	bool waiting;
	uint64_t order; /* set by add(): the earlier the smaller */
};

struct weir_tenants *weir_tenants_new(void);
void weir_tenants_free(struct weir_tenants *); /* nobody may be left */
/* w->priority must be set. */
void weir_tenants_add(struct weir_tenants *, struct weir_waiter *w, struct weir_str name);
/* The next one that ready() says yes to, NULL if there is none. It goes on waiting. */
struct weir_waiter *weir_tenants_next(struct weir_tenants *,
				      bool (*ready)(struct weir_waiter *, void *data), void *data);
/* It stops waiting, but stays its tenant's: it is being served. */
void weir_tenants_admit(struct weir_tenants *, struct weir_waiter *);
/* It goes on waiting, behind the others of its tenant. */
void weir_tenants_requeue(struct weir_tenants *, struct weir_waiter *);
/* It has been served so many tokens. */
void weir_tenants_charge(struct weir_waiter *, uint32_t n_tokens);
/* The request is over, waiting or not. */
void weir_tenants_leave(struct weir_tenants *, struct weir_waiter *);
size_t weir_tenants_waiting(const struct weir_tenants *);
/* Any waiter, for the end of everything. */
struct weir_waiter *weir_tenants_any(struct weir_tenants *);

#endif
