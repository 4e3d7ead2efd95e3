/*
 * frontends/api/api.h - what every part of the API library stands on. The library is linked into
 * each frontend that speaks the API (http, websocket): requests as JSON, answers as JSON, no
 * transport.
 *
 * A frontend instance has one struct api, each of its threads that has calls one struct api_loop.
 * A request's way: api_endpoint_find() -> api_body_parse() -> api_call_new() -> api_call_open()
 * (call.h).
 */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <weir/frontend.h>
#include <weir/services.h>

#include "errors.h"

struct response_store;

struct api_config {
	enum api_profile profile;
	uint32_t max_tokens;              /* the largest value of max_tokens that is accepted */
	uint32_t request_timeout_ms;      /* deadline in the backend; 0: none */
	struct response_store *responses; /* NULL: no response is stored */
	size_t max_answer;                /* bytes of an answer that is not streamed; 0: 64 MiB */
	uint32_t max_input_chars; /* code points of one embedding input; 0: the model's context */
};

struct api { /* filled by the frontend before its first call, constant from then on */
	const struct weir_host *host;
	const struct weir_gateway *gateway;
	const struct weir_stream_api *stream;
	const struct weir_log *log; /* may be NULL */
	const char *topic;          /* of log lines: "http" */
	struct api_config config;
};

struct api_loop { /* [loop] throughout */
	const struct api *api;
	weir_loop *loop;
	size_t n_streams; /* open ones: weir_loop may be freed at 0 only */
	uint64_t random[4];
	GQueue batching;       /* calls that may hold text back (batch.c) */
	uint64_t batch_due_ms; /* not later than any of theirs; 0: nothing waits */
};

/* host, gateway, stream and log from the host. UNSUPPORTED: it has no gateway. [main] */
weir_status api_init(struct api *, const struct weir_host *, const char *topic,
		     struct weir_error *err);
/* loop->loop is the caller's to make (its ring is the frontend's) and to free. */
void api_loop_init(struct api_loop *, const struct api *);
uint64_t api_random(struct api_loop *);
/* 24 hexadecimal digits and NUL; unique, no secret. */
void api_random_id(struct api_loop *, char id[25]);
/* When api_loop_tick() is to be called next: CLOCK_MONOTONIC milliseconds; 0: nothing waits. */
uint64_t api_loop_due(const struct api_loop *);
void api_loop_tick(struct api_loop *, uint64_t now_ms);

void api_logf(const struct api *, uint32_t level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
