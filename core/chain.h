/*
 * core/chain.h - the middleware between frontends and backends.
 *
 * A request meets the members in the profile's order, its events meet them in the opposite one, on
 * the producer's thread. A channel whose middleware may turn one event into several is given credit
 * accordingly: what a producer may emit is what the consumer can take, divided by every fanout.
 * The chain keeps the rules for its members: more than fanout events for one, an end that does not
 * come or comes twice are reported and put right.
 */
#ifndef WEIR_CORE_CHAIN_H
#define WEIR_CORE_CHAIN_H

#include <weir/middleware.h>

#include "stream.h"

struct weir_chain; /* immutable, reference-counted */
struct weir_links; /* the chain's state for one request */

/* INVALID: an instance without weir.middleware/1. names are copied, NULL: no names. */
weir_status weir_chain_new(struct weir_instance *const *members, const char *const *names, size_t n,
			   struct weir_chain **ret, struct weir_error *err);
struct weir_chain *weir_chain_ref(struct weir_chain *);
void weir_chain_unref(struct weir_chain *); /* NULL: nothing */

/* Runs the request() hooks. On an error everybody that had said OK has been told done(). [loop] */
weir_status weir_chain_request(struct weir_chain *, weir_request *, struct weir_links **ret,
			       struct weir_error *err);
/* No stream follows after all: done() for everybody. */
void weir_links_abandon(struct weir_links *);
/* Fills the options' links, fanout, passage and passage_data; the channel then owns the links. */
void weir_links_attach(struct weir_links *, struct weir_channel_options *);

#endif
