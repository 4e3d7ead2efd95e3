/* SPDX-License-Identifier: MIT */
/*
 * grammar-schema.h - JSON Schema (2020-12, and what earlier drafts have in its place) into a
 * network. docs/structured-output.md lists the keywords. One thread, in a compile.
 *
 * A view is a list of schemas that a value meets all at once: allOf, $ref beside other keywords and
 * properties of several parts become views, so nothing has to be merged by text.
 */
#ifndef WEIR_TENSOR_GRAMMAR_SCHEMA_H
#define WEIR_TENSOR_GRAMMAR_SCHEMA_H

#include "grammar-json.h"
#include "grammar-prelude.h"
#include "grammar-term.h"

/* Sets the root of the net. INVALID, UNSUPPORTED: with the JSON pointer of the place. */
weir_status weir_schema_build(struct weir_net *, const struct weir_prelude *,
			      const struct weir_json *schema, struct weir_error *err);

/* ---- the rest is shared by grammar-schema*.c only ---- */

#define WEIR_VIEW_MAX          64
#define WEIR_SCHEMA_PROPERTIES 2000

enum {
	WEIR_PART_ANY_DONE = 1, /* its anyOf has been chosen from */
	WEIR_PART_ONE_DONE = 2,
};

struct weir_part_of_view {
	const struct weir_json *node;
	uint32_t done, reserved;
};

struct weir_view {
	struct weir_part_of_view at[WEIR_VIEW_MAX];
	uint32_t n;
	bool referred; /* a $ref was followed */
	bool nothing;  /* a part is false */
};

enum {
	WEIR_TYPE_NULL = 1,
	WEIR_TYPE_BOOLEAN = 2,
	WEIR_TYPE_INTEGER = 4,
	WEIR_TYPE_NUMBER = 8, /* integers too */
	WEIR_TYPE_STRING = 16,
	WEIR_TYPE_ARRAY = 32,
	WEIR_TYPE_OBJECT = 64,
	WEIR_TYPE_ALL = 127,
};

struct weir_schema {
	struct weir_net *net;
	const struct weir_prelude *prelude;
	const struct weir_json *root;
	struct weir_terms terms;
	struct weir_error *err;
	weir_status status; /* the first failure */
	uint64_t work;      /* steps of searching, bounded */
	uint32_t depth;
	struct weir_schema_rule {
		struct weir_view *view;
		uint32_t rule, next;
	} * rules; /* of views that come by $ref; built one after the other */
	uint32_t n_rules, cap_rules, n_built;
	uint32_t buckets[256];
};

/* Records a failure, once; false. */
bool weir_schema_fail(struct weir_schema *, weir_status code, const struct weir_json *where,
		      const char *what);
bool weir_schema_no_memory(struct weir_schema *);
/* weir_json_get() with its cost counted. */
const struct weir_json *weir_schema_get(struct weir_schema *, const struct weir_json *,
					const char *name);
const struct weir_json *weir_schema_find(struct weir_schema *, const struct weir_json *,
					 struct weir_str name);
/* One more part, with what it refers to and all of its allOf. */
bool weir_view_add(struct weir_schema *, struct weir_view *, const struct weir_json *node,
		   uint32_t done);
/* The values of a view between two nodes. */
bool weir_view_emit(struct weir_schema *, const struct weir_view *, uint32_t from, uint32_t to);
struct weir_view *weir_view_new(struct weir_schema *); /* free() it */
/* Types that a part allows by its type keyword; gen: or else by its other keywords. */
unsigned weir_schema_types(struct weir_schema *, const struct weir_json *part, bool gen);

bool weir_schema_string(struct weir_schema *, const struct weir_view *, uint32_t from, uint32_t to);
bool weir_schema_number(struct weir_schema *, const struct weir_view *, bool integer, uint32_t from,
			uint32_t to);
bool weir_schema_array(struct weir_schema *, const struct weir_view *, uint32_t from, uint32_t to);
bool weir_schema_object(struct weir_schema *, const struct weir_view *, uint32_t from, uint32_t to);
/* Can no value meet both? False if that cannot be told. */
bool weir_schema_apart(struct weir_schema *, const struct weir_json *, const struct weir_json *,
		       int depth);
/* What a local $ref points to. */
const struct weir_json *weir_schema_target(struct weir_schema *, const struct weir_json *ref);

/* The strictest of a whole-number keyword: the largest, or with least the smallest. */
bool weir_schema_count(struct weir_schema *, const struct weir_view *, const char *keyword,
		       bool least, uint32_t *ret, bool *ret_there);
/* A string's expression as the text between the quotes. */
bool weir_schema_pattern(struct weir_schema *, const struct weir_json *where, struct weir_str text,
			 struct weir_term **ret);

#endif
