/*
 * core/gateway-balance.h - which of several backends of one model gets a request: policies.
 *
 * A policy is a pure function of what is known of the candidates, so that it can be tested by a
 * table and another one can take its place. gateway-route.c asks, under the router's lock.
 */
#ifndef WEIR_CORE_GATEWAY_BALANCE_H
#define WEIR_CORE_GATEWAY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_fitness { /* what would become of the request there; the higher the better */
		    WEIR_FITNESS_FAILED = 0,   /* it is refused: the backend has failed */
		    WEIR_FITNESS_UNLOADED = 1, /* it is refused until somebody loads the backend */
		    WEIR_FITNESS_LATER = 2, /* it is refused, but not for long: the backend loads */
		    WEIR_FITNESS_ASLEEP = 3, /* it begins a load, and waits */
		    WEIR_FITNESS_COMING = 4, /* it waits for a load that has begun */
		    WEIR_FITNESS_AWAY =
			    5, /* it waits until the backend is back, which hangs or starts again */
		    WEIR_FITNESS_READY = 6,
};

struct weir_candidate {
	enum weir_fitness fitness;
	bool full;         /* its queue takes no more */
	size_t n_busy;     /* requests that wait or run there */
	uint32_t n_seats;  /* requests that it runs at a time; 0: any number, or unknown */
	uint32_t affinity; /* how much of the prompt's beginning it was the last to serve: larger is
			    * more; 0: nothing */
	uint64_t picked;   /* number of the pick that it was last chosen by; 0: never */
};

/*
 * The index of the one that gets the request; n > 0. Of the fittest, and of those rather one that
 * is not full: who knows the prompt's beginning, the longest first, unless it is too busy; else the
 * least busy by its seats, then the one that was chosen longest ago.
 *
 * Too busy is a backend whose seats are a quarter more taken than the least busy one's, or that
 * would let the request wait while another has a free seat. (SGLang's and vLLM's routers weigh the
 * same two against each other by a difference of 32 requests and a ratio; ours counts in seats,
 * since backends of one model need not be of one size.)
 */
size_t weir_balance_pick(const struct weir_candidate *, size_t n);

#endif
