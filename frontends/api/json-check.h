/*
 * frontends/api/json-check.h - is this text JSON (RFC 8259), and not too deep?
 *
 * json-glib is lenient (comments, trailing commas) and recursive; a body passes here first. Errors
 * name the place. An object has a limited number of members: json-glib keeps them in a hash table
 * whose function anybody can make collide; and a text has a limited number of values, since a tree
 * takes a hundred times the memory of "{},". Refused although it is JSON: the escape \u0000 (no
 * field of ours can carry a NUL) and half of a surrogate pair (it is no character). Pure,
 * iterative, one pass.
 */
#ifndef API_JSON_CHECK_H
#define API_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_CHECK_MAX_DEPTH    64
#define JSON_CHECK_MAX_MEMBERS  1024       /* of an object */
#define JSON_CHECK_MAX_BRACKETS (1u << 17) /* objects and arrays of a text */
#define JSON_CHECK_MAX_SCALARS  (1u << 21) /* other values: more token ids than a context has */

struct json_fault {
	const char *what;      /* "a comma or a closing bracket is missing" */
	size_t offset;         /* in bytes, from 0 */
	unsigned line, column; /* from 1; column in bytes */
};

bool json_check(const char *text, size_t len, struct json_fault *ret_fault);
/* The same, and whether there is a whole number that 64 bits do not hold. */
bool json_check_numbers(const char *text, size_t len, struct json_fault *ret_fault,
			bool *ret_any_wide);
/* Is this JSON number such a one? */
bool json_check_wide(const char *text, size_t len);

#endif
