/*
 * tests/unit/fake-gateway.h - a host with a scripted gateway, for tests of frontends.
 *
 * open() hands each stream to the test's script, which runs in a thread of its own and emits
 * through the functions below; credit and cancellation work as the contract of <weir/stream.h>
 * says.
 */
#ifndef TESTS_FAKE_GATEWAY_H
#define TESTS_FAKE_GATEWAY_H

#include <weir/frontend.h>
#include <weir/services.h>

struct fake_stream;

struct fake_gateway {
	struct weir_host host; /* give this to create() */
	/* Refuses the request (a status below 0, err filled), or WEIR_OK. NULL: OK. [loop] */
	weir_status (*check)(struct fake_gateway *, weir_request *, struct weir_error *);
	/* Produces; must end the stream. In its own thread. */
	void (*script)(struct fake_gateway *, struct fake_stream *);
	const char *state;                  /* NULL: ready */
	int port;                           /* from the log line "listening on ...:port" */
	int n_opened, n_ended, n_cancelled; /* atomic */
	void *data;
};

void fake_gateway_init(struct fake_gateway *);

const char *fake_field(struct fake_stream *, const char *name); /* NULL: absent */
const struct weir_sampling *fake_sampling(struct fake_stream *);
const struct weir_limits *fake_limits(struct fake_stream *);
bool fake_cancelled(struct fake_stream *);
uint32_t fake_credit(struct fake_stream *);
/* Waits for credit; false: cancelled. */
bool fake_emit(struct fake_stream *, const struct weir_event *);
bool fake_started(struct fake_stream *, int64_t n_prompt);
bool fake_token(struct fake_stream *, uint32_t index, const char *text);
void fake_end(struct fake_stream *, const struct weir_end *); /* copied; last use of the stream */

#endif
