/*
 * tape.h - all events of one stream, written down word by word, so that two runs of a request can
 * be compared; and the request's field `resume`, made from what a tape holds (weir/backend.h).
 */
#ifndef WEIR_TEST_TAPE_H
#define WEIR_TEST_TAPE_H

#include <glib.h>

#include "harness.h"

#define TAPE_CHOICES 8

struct tape {
	GPtrArray *all;                         /* struct tape_event, in order */
	GString *prompt, *choice[TAPE_CHOICES]; /* their words, by choice */
	GString *end;                           /* the end's, but for n_cached and texts */
	guint n_started, n_ends, n_wrong;
	uint64_t next_seq;
	uint32_t grant_each;
	guint cancel_at; /* after so many events; 0: never */
	weir_status status;
	uint32_t n_cached;
	char *text; /* the end's */
	weir_stream *stream;
};

struct tape_event {
	uint32_t type, index;
	int32_t token;
};

struct tape *tape_new(uint32_t grant_each);
void tape_free(struct tape *);
extern const struct weir_sink tape_sink;

/* What to ask; fields: key, value pairs, NULL behind them. */
struct tape_ask {
	const char *fields[20];
	struct weir_sampling sampling;
	struct weir_limits limits;
	uint32_t credit, grant_each;
};

/* Opens a request; resume NULL: no such field. */
struct tape *tape_open(struct harness *, const struct tape_ask *, const char *resume);
/* The field for the first n events of a tape; seed: of the request. */
char *tape_field(const struct tape *, guint n, guint64 seed, uint32_t n_choices);
/* Words of the first n events, then those of the other tape, must be the words of the whole one;
 * the end too. */
void tape_assert_joined(const struct tape *whole, guint n, const struct tape *rest);
void tape_assert_same(const struct tape *, const struct tape *);

#endif
