/*
 * frontends/http/errors.h - the one place where a failure becomes an HTTP status and a body.
 *
 * Two shapes (requirement C1): openai {"error":{"message","type","param","code"}} and fastapi
 * {"detail":[{"loc","msg","type"}]} or {"detail":"..."}. Texts and codes: 001-14..16, 001u-2. Pure.
 */
#ifndef HTTP_ERRORS_H
#define HTTP_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/base.h>

#include "buf.h"

enum api_profile { API_PROFILE_OPENAI, API_PROFILE_FASTAPI };

struct http_error {
	int status;
	bool validation;        /* of a body's field: 400 openai, 422 fastapi */
	bool missing;           /* a validation error of a field that is not there */
	const char *type;       /* static */
	const char *code;       /* static; NULL: null */
	uint32_t retry_after_s; /* 0: no Retry-After header */
	char param[64];         /* "": null */
	char message[512];
};

#define HTTP_ERROR_LIST_MAX 8
struct http_error_list { /* of one body: openai answers the first, fastapi all */
	enum api_profile profile;
	uint32_t n;
	struct http_error items[HTTP_ERROR_LIST_MAX];
};

/* A request that HTTP itself refuses: 404, 405, 413, ... */
void http_error_set(struct http_error *, int status, const char *code, const char *message);
/* A field that failed its check; `code` NULL: "invalid_value". */
void http_error_field(struct http_error_list *, const char *code, const char *param,
		      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* "<param> is required" */
void http_error_missing(struct http_error_list *, const char *param);
/* What the host answered. text may be NULL: the code's own text stands. */
void http_error_from_status(struct http_error *, enum api_profile, weir_status,
			    struct weir_str text, struct weir_str param, uint32_t retry_after_ms);
/* The JSON body of errors[0..n). */
void http_error_body(struct buf *, const struct http_error *errors, uint32_t n, enum api_profile);
/* The object behind "error": of the openai shape, on streams in either profile. */
void http_error_object(struct buf *, const struct http_error *);
const char *http_status_text(int status);

#endif
