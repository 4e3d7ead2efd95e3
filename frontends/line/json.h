/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/json.h - one line of JSON (RFC 8259), read strictly, and JSON text to write.
 *
 * A document is a flat array of nodes in the order of the text; a container's children follow it,
 * and `next` leads past a node's whole subtree. Nothing is copied: nodes are spans of the text, so
 * a value can be passed on as it was written. Iterative, bounded in depth; 16 bytes for each node.
 *
 * Refused although it is JSON: the escape \u0000 (no field of a request can carry a NUL) and half
 * of a surrogate pair (it is no character). Of members with the same name the last one counts.
 * Pure.
 */
#ifndef LINE_JSON_H
#define LINE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <weir/base.h>

#define JSON_MAX_DEPTH 64
#define JSON_MAX_TEXT  (1u << 28)
#define JSON_ABSENT    0u /* the root is nobody's member */

enum json_type {
	JSON_TYPE_NULL,
	JSON_TYPE_FALSE,
	JSON_TYPE_TRUE,
	JSON_TYPE_NUMBER,
	JSON_TYPE_STRING,
	JSON_TYPE_ARRAY,
	JSON_TYPE_OBJECT, /* children: name, value, name, value ... */
};

struct json_node {
	uint32_t start, end; /* bytes of the text; a string's quotes included */
	uint32_t next;
	uint32_t type; /* enum json_type */
};

struct json_doc {
	const char *text; /* lent by the caller of json_parse() */
	struct json_node *nodes;
	uint32_t n_nodes, cap;
};

struct json_fault {
	const char *what; /* static: "a colon is expected" */
	size_t offset;    /* in bytes, from 0 */
};

/* json_doc_clear() the document in either case. */
bool json_parse(const char *text, size_t len, struct json_doc *ret, struct json_fault *ret_fault);
void json_doc_clear(struct json_doc *);

enum json_type json_type_of(const struct json_doc *, uint32_t node);
/* The node as it was written. */
struct weir_str json_span(const struct json_doc *, uint32_t node);
/* A member that is there and not null, else JSON_ABSENT. */
uint32_t json_member(const struct json_doc *, uint32_t object, const char *name);
/* Elements of an array, members of an object. */
uint32_t json_count(const struct json_doc *, uint32_t container);
/* A string's or member name's characters, NUL-terminated, g_free(); NULL: it is no string. */
char *json_string(const struct json_doc *, uint32_t node);
bool json_equals(const struct json_doc *, uint32_t node, const char *text);
/* A number; false: it is none. An integer (no fraction, no exponent) that fits goes to ret_int. */
bool json_number(const struct json_doc *, uint32_t node, double *ret);
bool json_integer(const struct json_doc *, uint32_t node, int64_t *ret);

/* --- writing ---------------------------------------------------------------------------------
 * Text from outside is made safe: control characters are escaped, bytes that are not UTF-8 become
 * U+FFFD; no newline is ever written. */

void json_put_string(GString *, const char *text, size_t len); /* with quotes */
void json_put_cstring(GString *, const char *text);            /* NULL: null */
/* A log-probability: at least -9999, NaN is null. */
void json_put_logprob(GString *, float value);
/* The node without the blanks between its tokens, so that it fits on a line. */
void json_put_compact(GString *, const struct json_doc *, uint32_t node);

#endif
