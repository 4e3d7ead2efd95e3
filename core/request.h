/*
 * core/request.h - a request: named text fields, sampling and limits, reference-counted.
 *
 * Made by frontends through the gateway; read by every thread. Fields change only inside a
 * middleware's request() hook, before any other thread has seen the request. Everything is copied:
 * nothing of the caller's is kept.
 */
#ifndef WEIR_CORE_REQUEST_H
#define WEIR_CORE_REQUEST_H

#include <weir/stream.h>

#define WEIR_REQUEST_MAX_FIELDS 256
#define WEIR_REQUEST_MAX_BIAS   4096
#define WEIR_REQUEST_MAX_N      128

/* Never fails. Fields without a name or a value are left out, of two with one name the later wins.
 * Structs of an older size get defaults for what they lack; numbers that are not finite become the
 * default, since a backend may rely on that. Without seed_set a random seed is drawn. [any] */
weir_request *weir_request_new(const struct weir_kv *fields, size_t n, const struct weir_sampling *,
			       const struct weir_limits *);
/* Another request of the same contents, seed included. [any] */
weir_request *weir_request_copy(const weir_request *);
weir_request *weir_request_ref(weir_request *);
void weir_request_unref(weir_request *); /* NULL: nothing */

/* {NULL, 0} when absent. */
struct weir_str weir_request_field(const weir_request *, const char *name);
bool weir_request_is(const weir_request *, const char *name, const char *value);
/* INVALID: no name, or too many fields. A value of {NULL, 0} removes the field. */
weir_status weir_request_set_field(weir_request *, const char *name, struct weir_str value);
const struct weir_sampling *weir_request_sampling(const weir_request *);
const struct weir_limits *weir_request_limits(const weir_request *);

extern const struct weir_request_api weir_request_extension;

#endif
