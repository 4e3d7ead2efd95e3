/*
 * frontends/api/errors.h - the one place where a failure becomes an HTTP status and a body.
 *
 * Frontends without HTTP statuses send the same object and may name the status in it.
 *
 * Two shapes (requirement C1): openai {"error":{"message","type","param","code"}} and fastapi
 * {"detail":[{"loc","msg","type"}]} or {"detail":"..."}. Texts and codes: 001-14..16, 001u-2. Pure.
 */
#ifndef API_ERRORS_H
#define API_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

#include <weir/base.h>

#include "buf.h"

/* anthropic: {"type":"error","error":{"type","message"}}, of endpoints that are Anthropic's in
 * either profile. */
enum api_profile { API_PROFILE_OPENAI, API_PROFILE_FASTAPI, API_PROFILE_ANTHROPIC };

struct api_error {
	int status;
	weir_status host;       /* what the host said; 0: found by the API itself */
	bool validation;        /* of a body's field: 400 openai, 422 fastapi */
	bool missing;           /* a validation error of a field that is not there */
	const char *type;       /* static */
	const char *code;       /* static; NULL: null */
	uint32_t retry_after_s; /* 0: no Retry-After header */
	char param[64];         /* "": null */
	char message[512];
};

#define API_ERROR_LIST_MAX 8
struct api_error_list { /* of one body: openai answers the first, fastapi all */
	enum api_profile profile;
	uint32_t n;
	struct api_error items[API_ERROR_LIST_MAX];
};

/* A request that HTTP itself refuses: 404, 405, 413, ... */
void api_error_set(struct api_error *, int status, const char *code, const char *message);
/* A field that failed its check; `code` NULL: "invalid_value". */
void api_error_field(struct api_error_list *, const char *code, const char *param,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* "<param> is required" */
void api_error_missing(struct api_error_list *, const char *param);
/* What the host answered. text may be NULL: the code's own text stands. */
void api_error_from_status(struct api_error *, enum api_profile, weir_status, struct weir_str text,
			   struct weir_str param, uint32_t retry_after_ms);
/* The JSON body of errors[0..n). */
void api_error_body(struct buf *, const struct api_error *errors, uint32_t n, enum api_profile);
/* The object behind "error": of the openai shape, on streams in either profile. */
void api_error_object(struct buf *, const struct api_error *);
/* Anthropic's type of such an error: "not_found_error". */
const char *api_error_anthropic_type(int status);
const char *api_status_text(int status); /* "Not Found" */

#endif
