/*
 * core/stream.h - a token stream from one producer to one consumer.
 *
 * A channel is one stream as the host sees it. It holds a row of handles (weir_stream): handle 0 is
 * the consumer's, the last one the producer's, those between belong to the middleware of the chain;
 * without middleware one handle serves both. Always true, whatever a plugin does:
 *
 *  - the consumer's loop gets numbered events, never more than it has granted (middleware may add
 *    what it held back when the stream ends: at most its fanout), then exactly one end;
 *  - emit and end of one channel never run at once, nor does wake() once end() has begun to return;
 *  - a handle stays readable for a while after its stream's end (the pool's grace list), so a late
 *    call is reported as MISBEHAVING and does nothing.
 *
 * A producer that never ends after cancel() is detached by the watchdog: the consumer gets its end,
 * the handle stays alive for the producer until it does call end().
 */
#ifndef WEIR_CORE_STREAM_H
#define WEIR_CORE_STREAM_H

#include <weir/frontend.h>

#include "core.h"
#include "loop.h"

struct weir_channel;
struct weir_streams; /* all channels of a router: watchdog's list, grace list, counts */

/* What stands between producer and consumer; set by chain.c. Called with the channel's producer
 * lock held, on the thread that holds it. level: the handle that was given the event. */
struct weir_passage {
	weir_status (*event)(struct weir_channel *, uint32_t level, const struct weir_event *);
	void (*end)(struct weir_channel *, uint32_t level, const struct weir_end *);
	/* The request is over: the last call. data is the passage's own. */
	void (*done)(void *data);
};

/* Who fills the stream. wake(): credit or cancellation changed. ended(): the producer has ended, or
 * has been detached; once. Both [any]; owner must live until ended(). */
struct weir_producer {
	void (*wake)(void *owner, weir_stream *out);
	void (*ended)(void *owner, weir_stream *out);
};

struct weir_channel_options {
	weir_loop *loop;
	const struct weir_sink *sink;
	void *sink_data;
	uint32_t credit;
	weir_request *request;  /* the channel keeps a reference */
	uint32_t n_links;       /* middleware between: handles = n_links + 1 */
	const uint32_t *fanout; /* n_links; 0 counts as 1 */
	const struct weir_passage *passage;
	void *passage_data;
	const struct weir_producer *producer;
	void *owner;
	const char *name; /* of the producer, for reports; outlives the pool */
};

struct weir_streams *weir_streams_new(const struct weir_core *);
/* The router is gone: no more log lines; what is alive is freed with its last user. */
void weir_streams_close(struct weir_streams *);
/* Streams that no consumer has seen the end of; and those whose producer has not ended. [any] */
size_t weir_streams_active(const struct weir_streams *);
size_t weir_streams_producing(const struct weir_streams *);
/* Watchdog: cancels what is past its deadline, detaches producers that were cancelled longer than
 * grace_ns ago. now_ns: CLOCK_MONOTONIC. Returns the time of the next deadline, or INT64_MAX. */
int64_t weir_streams_check(struct weir_streams *, int64_t now_ns, int64_t grace_ns);
void weir_streams_cancel_all(struct weir_streams *, weir_status why);
int64_t weir_clock_ns(void);

struct weir_channel *weir_channel_new(struct weir_streams *, const struct weir_channel_options *);
struct weir_channel *weir_channel_ref(struct weir_channel *);
void weir_channel_unref(struct weir_channel *);
weir_stream *weir_channel_handle(struct weir_channel *, uint32_t level);
weir_stream *weir_channel_producer(struct weir_channel *);
void *weir_channel_passage_data(struct weir_channel *);
weir_request *weir_channel_request(struct weir_channel *); /* lent until the end */
/* Prompt tokens as STARTED told them, events of output so far; false: none has come at all. [any]
 */
bool weir_channel_progress(const struct weir_channel *, uint32_t *ret_prompt, uint32_t *ret_output);
/* wake() may be called from now on; calls it once, since things may have changed before. */
void weir_channel_submitted(struct weir_channel *);
/* The producer gives the stream back without an end: from now on there is no wake() before the next
 * submitted(), and no producer's data. with(owner) runs while the stream cannot end. False: it has
 * ended (been detached) already, and with() did not run. with NULL: nothing runs. */
bool weir_channel_recall(struct weir_channel *, void (*with)(void *owner, void *data), void *data);
/* For passages: on to the consumer. */
weir_status weir_channel_deliver_event(struct weir_channel *, const struct weir_event *);
void weir_channel_deliver_end(struct weir_channel *, const struct weir_end *);
/* Reports who broke the contract, at most a few times a channel. who NULL: the producer. */
void weir_channel_misbehaving(struct weir_channel *, const char *who, const char *how);

/* The core's own producers and consumers: as weir.host.stream/1, plus a bell. */
weir_status weir_stream_emit(weir_stream *, const struct weir_event *, struct weir_bell *);
void weir_stream_end(weir_stream *, const struct weir_end *, struct weir_bell *);
uint32_t weir_stream_credit(const weir_stream *);
bool weir_stream_cancelled(const weir_stream *);
weir_status weir_stream_why(const weir_stream *); /* what cancel() said; 0: not cancelled */
void weir_stream_grant(weir_stream *, uint32_t n);
void weir_stream_cancel(weir_stream *, weir_status why);
void weir_stream_set_data(weir_stream *, void *data);
void *weir_stream_get_data(const weir_stream *);
/* Ends with an error that carries its text. */
void weir_stream_fail(weir_stream *, const struct weir_error *, uint32_t retry_after_ms,
		      struct weir_bell *);

extern const struct weir_stream_api weir_stream_extension;

#endif
