/* SPDX-License-Identifier: MIT */
/*
 * grammar-json.h - reads a JSON text (RFC 8259) into a tree, for grammars and schemas. Any thread.
 *
 * Depth is bounded by WEIR_JSON_DEPTH, memory by a few times the text. Strings are decoded, with
 * unpaired surrogates refused; numbers keep their spelling. All lives as long as the tree.
 */
#ifndef WEIR_TENSOR_GRAMMAR_JSON_H
#define WEIR_TENSOR_GRAMMAR_JSON_H

#include <weir/base.h>

#define WEIR_JSON_DEPTH 200

enum weir_json_type {
	WEIR_JSON_NULL,
	WEIR_JSON_FALSE,
	WEIR_JSON_TRUE,
	WEIR_JSON_NUMBER,
	WEIR_JSON_STRING,
	WEIR_JSON_ARRAY,
	WEIR_JSON_OBJECT,
};

struct weir_json {
	enum weir_json_type type;
	uint32_t n;     /* children */
	uint32_t index; /* in an array */
	uint32_t reserved;
	struct weir_str text; /* of a string, decoded; of a number, as it is written */
	struct weir_str key;  /* in an object */
	struct weir_json *first, *next, *parent;
};

struct weir_json_tree;

/* INVALID with line and column. */
weir_status weir_json_read(struct weir_str text, struct weir_json_tree **ret,
			   struct weir_error *err);
void weir_json_free(struct weir_json_tree *); /* NULL is fine */
const struct weir_json *weir_json_root(const struct weir_json_tree *);

/* The member of that name, the last one if there are several; NULL: none, or no object. */
const struct weir_json *weir_json_get(const struct weir_json *, const char *name);
const struct weir_json *weir_json_find(const struct weir_json *, struct weir_str name);
bool weir_json_is(const struct weir_json *, const char *text); /* a string with this text */
/* Equal as JSON Schema has it: objects in any order, 1.0 equals 1. */
bool weir_json_equal(const struct weir_json *, const struct weir_json *);
/* The JSON pointer (RFC 6901) of a node as a fragment, "#/properties/a", cut if it is long. */
void weir_json_pointer(const struct weir_json *, char *out, size_t cap);

/* A growing text. failed: there was no memory, what is in it is useless. */
struct weir_text {
	char *data;
	size_t len, cap;
	bool failed;
};
void weir_text_add(struct weir_text *, const char *data, size_t len);
void weir_text_clear(struct weir_text *);
/* A string with its quotes: escapes only where they are needed. */
void weir_text_add_string(struct weir_text *, struct weir_str);
/* A value in its shortest form. */
void weir_text_add_json(struct weir_text *, const struct weir_json *);

/* The next character of UTF-8; 0xfffd and one byte for what is none. *at < len. */
uint32_t weir_rune_next(const char *data, size_t len, size_t *at);
unsigned weir_rune_put(uint32_t rune, char *out); /* 1..4 bytes */

#endif
