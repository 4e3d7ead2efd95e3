/*
 * harness.h - what the tests of streams share: a host with a router, a frontend's loop that is
 * dispatched by the test's own thread, and sinks that write down what they see.
 */
#ifndef WEIR_TEST_HARNESS_H
#define WEIR_TEST_HARNESS_H

#include <glib.h>

#include "core.h"
#include "gateway.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "request.h"
#include "stream.h"

struct harness {
	struct weir_core core;
	struct weir_host host;
	weir_loop *loop;
	int event_fd;
	int log_fd; /* what has been logged */
	gint n_rings;
};

/* What one stream's sink has seen. */
struct seen {
	GString *text, *raw;
	GString *tops;    /* "logprob text:logprob ...;" of events that have one */
	GString *prompts; /* "text|token|logprob|rank|n_top;" of PROMPT events */
	guint n_prompts;
	GArray *tokens; /* int32_t, of choice `only` when >= 0 */
	GString *choice_text[8];
	GArray *choice_tokens[8];
	guint n_started, n_events, n_ends;
	uint64_t next_seq;
	guint n_wrong; /* numbers out of order, events after the end, broken UTF-8 */
	int64_t prompt;
	struct weir_end end; /* without its pointers */
	struct weir_choice_end choices[8];
	char *end_text, *end_param;
	uint32_t grant_each; /* credit given back for each event */
	weir_stream *stream;
};

void harness_init(struct harness *, const struct weir_router_options *); /* NULL: defaults */
void harness_start(struct harness *);
void harness_clear(struct harness *);
/* Everything that was logged until now; g_free() it. */
char *harness_log(struct harness *);
/* Waits for the loop's ring, at most a little while, and dispatches. */
size_t harness_dispatch(struct harness *, int timeout_ms);
/* Dispatches until *flag is not 0; fails the test after half a minute. */
void harness_until(struct harness *, const guint *flag);

struct seen *seen_new(uint32_t grant_each);
void seen_free(struct seen *);
extern const struct weir_sink seen_sink;

/* fields: key, value, ..., NULL. Returns open()'s status; seen->stream is set on success. */
weir_status harness_open(struct harness *, struct seen *, uint32_t credit,
			 const struct weir_sampling *, const struct weir_limits *,
			 struct weir_error *err, const char *key, ...) G_GNUC_NULL_TERMINATED;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(weir_loop, weir_loop_free)

#endif
