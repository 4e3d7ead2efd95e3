/* SPDX-License-Identifier: MIT */
/*
 * weir/base.h - the types that every Weir plugin and the host share.
 *
 * Needs the C standard headers only; compiles as C11 and as C++17. Laws of the whole SDK:
 *
 *  - Every struct that crosses the border starts with `size`, set by whoever fills it. A member
 *    that lies beyond `size`, or is NULL, is absent: ask with WEIR_HAS(). Structs only ever grow
 *    at the end and have no padding that a compiler chose.
 *  - Who allocates frees. A pointer given to a call is lent for the call unless it says otherwise.
 *    `ret_` outputs are written only when the call succeeds.
 *  - Calls return a weir_status and, where they take one, fill the caller's struct weir_error.
 *  - Each function carries its thread tag: [main] life cycle, [loop] the frontend's own loop,
 *    [worker] any thread of the host, may block, [step] never two at once per instance,
 *    [any] thread-safe, never blocks.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEIR_EXPORT        extern "C" __attribute__((visibility("default")))
#define WEIR_STATIC_ASSERT static_assert
#else
#define WEIR_EXPORT        __attribute__((visibility("default")))
#define WEIR_STATIC_ASSERT _Static_assert
#endif

/* Major 0: may break between releases. From 1 on: append-only within a major. */
#define WEIR_ABI_MAJOR 0u
#define WEIR_ABI_MINOR 4u
#define WEIR_ABI       ((WEIR_ABI_MAJOR << 16) | WEIR_ABI_MINOR)

/* Is the optional pointer member m present in *p? An older struct has a smaller size. */
#define WEIR_HAS(T, p, m) ((p)->size >= offsetof(T, m) + sizeof((p)->m) && (p)->m)

/* Refuses a struct with tail padding: a later member could hide inside the old size. */
#define WEIR_FROZEN(T, last)                                                                       \
	WEIR_STATIC_ASSERT(sizeof(T) == offsetof(T, last) + sizeof(((T *)0)->last), #T)

/* 0: done. Above 0: done, with a note. Below 0: -(canonical code), or a Weir code from -64 down. */
typedef int32_t weir_status;

enum weir_status_code {
	WEIR_OK = 0,
	WEIR_SKIP = 1,             /* a middleware's request(): leave me out of this one */
	WEIR_E_CANCELLED = -1,     /* the consumer went away, or asked to stop */
	WEIR_E_INVALID = -3,       /* the caller's input is wrong; retrying cannot help */
	WEIR_E_DEADLINE = -4,      /* the request's time is up */
	WEIR_E_NOT_FOUND = -5,     /* no such model, file, member */
	WEIR_E_DENIED = -7,        /* known caller, not allowed */
	WEIR_E_EXHAUSTED = -8,     /* memory or KV blocks do not suffice for this request */
	WEIR_E_OUT_OF_RANGE = -11, /* longer than the context allows */
	WEIR_E_UNSUPPORTED = -12,  /* a valid wish that this component cannot grant */
	WEIR_E_INTERNAL = -13,     /* a bug or a failed device: nothing the caller did */
	WEIR_E_UNAVAILABLE = -14,  /* not now: loading, draining, no backend */
	WEIR_E_UNAUTH = -16,       /* no or wrong credentials */
	WEIR_E_NO_CREDIT = -64,    /* emit(): not taken, wait for credit */
	WEIR_E_QUEUE_FULL = -65,   /* the server is saturated: try later */
	WEIR_E_RATE_LIMITED = -66, /* this caller is over its limit: try later */
	WEIR_E_NO_MODEL = -67,     /* nothing is loaded at all (conflict C4) */
};

/* Owned by the caller of a fallible function: nothing to free. text is NUL-terminated UTF-8 that
 * says what, where and what to do. param names the offending option or request field, or is "". */
struct weir_error {
	weir_status code;
	char param[60];
	char text[448];
};

struct weir_str { /* UTF-8, not NUL-terminated; data may be NULL when len is 0 */
	const char *data;
	size_t len;
};

struct weir_kv { /* both NUL-terminated */
	const char *key;
	const char *value;
};

#endif
