/*
 * core/gateway-router.h - the inside of the router, shared by gateway*.c only.
 */
#ifndef WEIR_CORE_GATEWAY_ROUTER_H
#define WEIR_CORE_GATEWAY_ROUTER_H

#include <pthread.h>
#include <stdatomic.h>

#include <glib.h>

#include "chain.h"
#include "gateway-affinity.h"
#include "gateway-balance.h"
#include "gateway-workers.h"
#include "gateway.h"
#include "metrics.h"
#include "scheduler.h"
#include "watchdog.h"

#define WEIR_RETRY_AFTER_MS 5000 /* with QUEUE_FULL and UNAVAILABLE (003-12) */

struct ticket;
struct weir_metric_import;

enum weir_slot_phase {
	WEIR_SLOT_EMPTY = 0,  /* no instance (yet) */
	WEIR_SLOT_BOUND = 1,  /* with an instance, which loads, is ready or has failed */
	WEIR_SLOT_BROKEN = 2, /* no instance, and why says why */
};

/*
 * One life of a backend: empty, then bound or broken, never back. What is loaded again or replaced
 * gets a new slot, which takes the old one's place in the router's table; the old one ends with its
 * last request (core/models.c).
 */
struct weir_slot {
	atomic_int refs;
	struct weir_router *router;
	const char *name, *component; /* interned: a channel may outlive its slot */
	int64_t created;
	const char *model; /* its first name at the start; interned, or NULL */
	bool on_demand;    /* requests wait in it for the load, and ask for it */
	char **serves;     /* router lock */
	uint64_t picked;   /* router lock: number of the choice among replicas that it won last */
	_Atomic uint32_t phase;
	/* Constant from BOUND on. */
	struct weir_instance *instance;
	const struct weir_backend_stream *stream; /* level A, or NULL */
	struct weir_scheduler *scheduler;         /* level B, or NULL */
	const struct weir_report *report;         /* level A that tells of itself, or NULL */
	const struct weir_adapters *adapters;     /* of such a one, or NULL */
	atomic_bool asked;                        /* a request waits for the load */
	atomic_bool coming, going; /* empty: will be loaded; the one before it ends */
	atomic_bool refused;       /* who is let in now gets an error */
	atomic_bool lost;          /* its instance was, while it served */
	atomic_bool inherits;      /* it takes the place of one that served */
	weir_metric *losses;       /* of backends of its name */
	_Atomic int64_t used_ns, broken_ns, load_ms;
	atomic_size_t n_inflight; /* queued or running */
	_Atomic int64_t hang_ms;  /* a call that lasts longer hangs; 0: not looked for */
	atomic_bool hung;
	struct {
		bool seen; /* it was within a section */
		uint64_t count;
		int64_t ns; /* without getting on */
	} hang;             /* the watchdog's */
	pthread_mutex_t lock;
	/* Under lock. */
	char why[448];
	bool held;              /* everybody waits: it is not loaded yet, or lost */
	struct weir_slot *heir; /* with a reference: who waits here goes there; NULL: none yet */
	size_t n_running;
	GQueue waiting;         /* struct ticket, highest priority first */
	struct ticket *tickets; /* all of them */
	struct weir_metric_import *import;
};

struct weir_router {
	struct weir_core *core;
	struct weir_router_options options; /* what a reload may change is below */
	_Atomic uint32_t max_queue, max_concurrent;
	_Atomic int64_t park_after_ms;
	atomic_bool single_model;
	struct weir_streams *streams;
	pthread_mutex_t chain_lock;
	struct weir_chain *chain; /* chain_lock; NULL: no middleware */
	struct weir_workers *workers;
	struct weir_watchdog *watchdog;
	pthread_mutex_t lock; /* before a slot's, a scheduler's */
	GPtrArray *slots;     /* lock; struct weir_slot with a reference, in profile order */
	GPtrArray *all;       /* lock; every slot that lives */
	GPtrArray *found;     /* lock; struct weir_slot: of gateway-route.c, as the next */
	GArray *candidates;   /* lock; struct weir_candidate */
	uint64_t n_picks;     /* lock */
	struct weir_affinity *affinity; /* its table: lock */
	struct weir_loader loader;      /* constant while it runs; change NULL: none */
	atomic_bool draining, settled;
	_Atomic uint64_t n_tasks;
	atomic_size_t n_opening; /* calls of open() that are running */
	weir_metric *queue_depth, *queue_rejections, *queue_wait;
	weir_metric *n_recovered, *n_lost;
};

/* gateway-open.c */
extern const struct weir_gateway weir_gateway_calls;

/* Ends every wait in the slot: with a start, or with an error when refused. */
void weir_slot_release(struct weir_slot *, bool refused);

/* The seats (weir/frontend.h) of a request's choices; ids NULL: none yet. */
struct weir_seat_ids {
	uint32_t *ids, n;
};
struct weir_ticket_view { /* a request that is on its way in a slot */
	struct weir_channel *channel;
	uint64_t task;
	int64_t opened_ns;
	struct weir_seat_ids *seats;
};
/* In the order that they came. The slot's lock is held. */
void weir_slot_each_ticket(struct weir_slot *,
			   void (*each)(void *data, const struct weir_ticket_view *), void *data);

/* gateway-seats.c: weir_gateway.seats */
void weir_router_seats(const struct weir_host *, const char *model,
		       void (*each)(void *data, const struct weir_seat *), void *data,
		       bool *ret_found);
/* Sequences that it runs at a time; 0: any number, or unknown. [any] */
uint32_t weir_slot_seats(const struct weir_slot *);

/* gateway-route.c */
/* The slots that answer to a model's name (empty: the first one's), with a reference each. */
GPtrArray *weir_router_find(struct weir_router *, struct weir_str model);
/* The slot for a request's model, with a reference, counted in its n_inflight; *ret_n: how many
 * there were before. */
weir_status weir_router_route(struct weir_router *, const weir_request *, struct weir_slot **ret,
			      size_t *ret_n, struct weir_error *err);
/* Another slot for its model that takes() says yes to, the best fit, as route() gives it. */
struct weir_slot *weir_router_route_other(struct weir_router *, const weir_request *,
					  bool (*takes)(struct weir_slot *, void *data),
					  void *data);
/* Why its requests are refused. */
weir_status weir_slot_refusal(struct weir_slot *, struct weir_error *err);
/* Does its queue take no more, when it has so many requests already? */
bool weir_slot_is_full(struct weir_slot *, size_t n_before);

/* gateway-list.c: weir_gateway.models */
void weir_router_list(const struct weir_host *,
		      void (*each)(void *data, const struct weir_model_entry *), void *data);

/* gateway-recover.c: of a scheduler's options; data is the slot */
/* May it serve in the place of another one? data is not looked at. */
bool weir_slot_stands_in(struct weir_slot *, void *data);
bool weir_slot_hand_back(void *data, struct weir_channel *, const struct weir_handed *);
void weir_slot_lost(void *data);

/* gateway-report.c */
void weir_slot_bind_report(struct weir_slot *); /* finds out whether it tells; before BOUND */
/* Of a bound one that tells, else NULL. */
const struct weir_report *weir_slot_report(const struct weir_slot *);
/* Its state; it has a report. */
enum weir_router_state weir_slot_reported(const struct weir_slot *, char *ret_error,
					  size_t error_size);
/* Ready, but requests wait in it until it is back. */
bool weir_slot_is_away(const struct weir_slot *);
/* What it tells of its model, into an empty status; false: it tells nothing. */
bool weir_slot_report_model(const struct weir_slot *, struct weir_scheduler_status *ret);
/* The name of adapter i (1..) of whichever level; NULL past the last one. */
const char *weir_slot_adapter(const struct weir_slot *, uint32_t i);
void weir_slot_append_report(const struct weir_slot *, GString *json);
void weir_slot_import(struct weir_slot *); /* its series into ours */

/* gateway-hang.c */
/* On the watchdog's thread, now and then; passed_ns: since the last time. data is the router. */
void weir_router_look_for_hangs(void *data, int64_t passed_ns);
void weir_slot_append_progress(const struct weir_slot *, GString *json);
void weir_slot_measure_hang(const struct weir_slot *, const char *labels);

/* gateway-slots.c */
struct weir_slot *weir_slot_ref(struct weir_slot *);
/* struct weir_slot with a reference each: what the table holds now. [any] */
GPtrArray *weir_router_snapshot(const struct weir_router *);
/* Requests that it runs at most at a time; 0: no limit. */
size_t weir_slot_concurrency(const struct weir_slot *);
/* The scheduler of a bound one, else NULL. */
struct weir_scheduler *weir_slot_scheduler(const struct weir_slot *);
/* What it serves: the profile's names, else what its model is called once that is known.
 * g_strfreev(). [any] */
char **weir_slot_names(const struct weir_slot *);

#endif
