/*
 * frontends/api/replay.h - the last events of one answer, kept for a client that comes back.
 *
 * Events are numbered from 0. The oldest ones go when there are more than max_events, when they
 * hold more than max_bytes, or when all replays of a budget together hold more than the budget
 * allows; an event that does not fit at all is numbered and not kept. Pure. A replay belongs to one
 * thread; a budget may be shared by all.
 */
#ifndef API_REPLAY_H
#define API_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replay_budget {
	atomic_size_t used;
	size_t max; /* bytes, bookkeeping included */
};

struct replay;

struct replay *replay_new(struct replay_budget *, uint32_t max_events, size_t max_bytes);
void replay_free(struct replay *);
/* Copies. Returns the event's number. */
uint64_t replay_push(struct replay *, const void *data, size_t len);
uint64_t replay_first(const struct replay *); /* the oldest that is kept; replay_next(): none is */
uint64_t replay_next(const struct replay *);  /* the number of the event that comes next */
/* Lent until the next push. false: it has gone, or has not come yet. */
bool replay_get(const struct replay *, uint64_t number, const char **ret_data, size_t *ret_len);

#define REPLAY_TOKEN_SIZE 33
/* What a client must show to come back: 128 random bits of the kernel in hexadecimal, and NUL.
 * false: the kernel has none. */
bool replay_token(char token[REPLAY_TOKEN_SIZE]);

#endif
