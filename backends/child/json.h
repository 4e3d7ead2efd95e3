/* SPDX-License-Identifier: MIT */
/*
 * backends/child/json.h - JSON text without a tree: checked once, then walked by spans.
 *
 * Nothing is allocated but the text of strings; depth is bounded. Everything but span_check() is
 * for text that it has passed. Pure.
 */
#ifndef CHILD_JSON_H
#define CHILD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define JSON_MAX_DEPTH 32

struct json_span { /* one value, or what is left of one; at == end: none */
	const char *at, *end;
};

/* Is it one JSON value (RFC 8259), UTF-8, at most JSON_MAX_DEPTH deep? */
bool span_check(const char *text, size_t len);

/* The members of an object, one after the other: *it is the object at first. key is what stands
 * between the quotes. False: that was all, or *it is no object. */
bool span_next_member(struct json_span *it, struct json_span *ret_key, struct json_span *ret);
bool span_next_item(struct json_span *it, struct json_span *ret); /* of an array */
/* The last member of that name; false: none, or no object. */
bool span_member(struct json_span object, const char *name, struct json_span *ret);
/* The same through several objects; NULL ends the names. */
bool span_path(struct json_span from, struct json_span *ret, ...) G_GNUC_NULL_TERMINATED;

bool span_is(struct json_span, char first); /* '{' '[' '"' */
bool span_same(struct json_span key, const char *name);
bool span_bool(struct json_span);                       /* is it true? */
bool span_string(struct json_span, GString *append_to); /* decoded; false: no string */
bool span_int(struct json_span, int64_t min, int64_t max, int64_t *ret);
bool span_float(struct json_span, double *ret); /* null: NaN; beyond a double: infinite */

void span_put_string(GString *, const char *text, size_t len); /* with quotes; UTF-8 */

#endif
