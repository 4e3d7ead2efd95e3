/* SPDX-License-Identifier: MIT */
/*
 * fail.h - fills a caller's struct weir_error. Used all over backends/tensor; any thread.
 *
 * weir_fail() returns its code, so that a failing function ends in one line:
 *     return weir_fail(err, WEIR_E_INVALID, "tensor '%s' has no data", name);
 * err may be NULL. The text is always valid UTF-8 as long as the format and its strings are; a text
 * that is too long is cut at the end of a character. Names out of files go through weir_quote().
 */
#ifndef WEIR_TENSOR_FAIL_H
#define WEIR_TENSOR_FAIL_H

#include <weir/base.h>

weir_status weir_fail(struct weir_error *err, weir_status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "about" (a path, a component) in front of a text that a callee has written. */
void weir_fail_prefix(struct weir_error *err, const char *about);

struct weir_quoted {
	char text[72];
};

/* A name from outside as printable text: at most about 60 bytes, everything outside printable ASCII
 * as \xNN, "..." at the end when it was cut. By value, for use in the arguments of weir_fail():
 * weir_quote(name).text */
struct weir_quoted weir_quote(struct weir_str s);

#endif
