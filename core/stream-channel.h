/*
 * core/stream-channel.h - the inside of a channel, shared by stream.c and stream-pool.c only.
 */
#ifndef WEIR_CORE_STREAM_CHANNEL_H
#define WEIR_CORE_STREAM_CHANNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "stream.h"

#define HANDLE_LIVE 0x57454952u
#define HANDLE_DEAD 0xdeadf00du

struct weir_stream {
	_Atomic uint32_t magic;
	uint32_t level;
	uint32_t divisor; /* events at the consumer for one event at this handle, at most */
	struct weir_channel *channel;
};

struct weir_channel {
	atomic_int refs; /* the producer's until end(), the consumer's until it has seen the end */
	struct weir_streams *pool;
	size_t watch_at, cancel_at; /* places in the pool's arrays; SIZE_MAX: none. pool lock */
	int64_t retired_ns;
	struct weir_channel *next_retired;

	weir_loop *loop;
	struct weir_sink sink;
	void *sink_data;
	weir_request *request;
	const struct weir_passage *passage;
	void *passage_data;
	atomic_int in_passage; /* the producer until end() has come back, and the consumer */
	const struct weir_producer *producer;
	void *owner;
	const char *name;
	_Atomic(void *) producer_data;

	_Atomic uint32_t credit;
	_Atomic int32_t why; /* 0: not cancelled */
	atomic_bool hungry;  /* the producer has seen too little credit: a grant must wake it */
	atomic_bool submitted;
	atomic_bool ended; /* by the producer, or detached */
	atomic_uint n_reports;
	atomic_bool started; /* it has sent an event */
	_Atomic uint32_t n_prompt, n_output;
	_Atomic uintptr_t emitter; /* the thread inside lock, while hooks may run; 0: none */
	_Atomic uintptr_t waker;   /* the thread inside wake_lock; 0: none */
	pthread_mutex_t lock, wake_lock;

	/* Under lock. */
	struct weir_bell *bell;
	uint64_t next_seq;
	bool ending, end_queued;
	bool detached, late; /* late: the detached producer has called end() after all */

	uint32_t top; /* the producer's level */
	struct weir_stream handles[];
};

/* False: busy, try again later, or it has ended by itself. */
bool weir_channel_detach(struct weir_channel *);

/* stream-pool.c */
void weir_streams_note_cancel(struct weir_channel *);
void weir_streams_ended(struct weir_channel *);
void weir_streams_delivered(struct weir_channel *);
void weir_streams_report(struct weir_streams *, const char *who, const char *how);

#endif
