/*
 * frontends/api/errors.c - see errors.h.
 */
#include "errors.h"

#include <stdarg.h>
#include <string.h>

#include <glib.h>

#include "json-write.h"

#define REQUEST "invalid_request_error"
#define SERVER  "server_error"

struct mapping {
	weir_status status;
	int http;
	const char *type, *code;
	const char *text; /* NULL: the host's text; else this one, exactly (001-15, 001-16) */
};

static const struct mapping mappings[] = {
	{ WEIR_E_INVALID, 400, REQUEST, "invalid_value", NULL },
	{ WEIR_E_UNAUTH, 401, REQUEST, "invalid_api_key", NULL },
	{ WEIR_E_DENIED, 403, REQUEST, "permission_denied", NULL },
	{ WEIR_E_NOT_FOUND, 404, REQUEST, "model_not_found", "model not found" },
	{ WEIR_E_RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded", NULL },
	{ WEIR_E_EXHAUSTED, 507, SERVER, "insufficient_memory", "insufficient memory" },
	{ WEIR_E_DEADLINE, 504, SERVER, "timeout", "request timeout" },
	{ WEIR_E_QUEUE_FULL, 503, SERVER, "queue_full", NULL },
	{ WEIR_E_UNAVAILABLE, 503, SERVER, "unavailable", NULL },
	{ WEIR_E_NO_MODEL, 503, SERVER, "model_not_loaded", NULL },
	{ WEIR_E_OUT_OF_RANGE, 400, REQUEST, "context_length_exceeded", NULL },
	{ WEIR_E_UNSUPPORTED, 400, REQUEST, "unsupported_value", NULL },
	{ WEIR_E_CANCELLED, 503, SERVER, "cancelled", NULL },
	{ WEIR_E_INTERNAL, 500, SERVER, "backend_error", "inference failed" },
};

static const struct {
	weir_status status;
	const char *text;
} fallbacks[] = {
	{ WEIR_E_INVALID, "the request is invalid" },
	{ WEIR_E_UNAUTH, "no or wrong credentials" },
	{ WEIR_E_DENIED, "permission denied" },
	{ WEIR_E_RATE_LIMITED, "rate limit exceeded" },
	{ WEIR_E_QUEUE_FULL, "the server is busy: the queue is full" },
	{ WEIR_E_UNAVAILABLE, "the server is not available" },
	{ WEIR_E_NO_MODEL, "no model is loaded" },
	{ WEIR_E_OUT_OF_RANGE, "the request is longer than the model's context" },
	{ WEIR_E_UNSUPPORTED, "the request asks for something that this model does not support" },
	{ WEIR_E_CANCELLED, "the request was cancelled" },
};

static const struct {
	int status;
	const char *text;
} phrases[] = {
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 101, "Switching Protocols" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
	{ 529, "Overloaded" },
};

const char *api_status_text(int status)
{
	for (size_t i = 0; i < G_N_ELEMENTS(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	return "Unknown";
}

/* Cuts at a rune's start, so that the result stays UTF-8. */
static void copy_text(char *to, size_t size, const char *from, size_t n)
{
	if (n >= size) {
		n = size - 1;
		while (n && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	if (n)
		memcpy(to, from, n);
	to[n] = 0;
}

void api_error_set(struct api_error *e, int status, const char *code, const char *message)
{
	*e = (struct api_error){ .status = status,
				 .type = status >= 500 ? SERVER : REQUEST,
				 .code = code };
	copy_text(e->message, sizeof(e->message), message, strlen(message));
}

void api_error_field(struct api_error_list *list, const char *code, const char *param,
		     const char *format, ...)
{
	if (list->n == API_ERROR_LIST_MAX)
		return;
	struct api_error *e = &list->items[list->n++];
	*e = (struct api_error){ .status = list->profile == API_PROFILE_FASTAPI ? 422 : 400,
				 .validation = true,
				 .type = REQUEST,
				 .code = code ? code : "invalid_value" };
	copy_text(e->param, sizeof(e->param), param, strlen(param));
	va_list ap;
	va_start(ap, format);
	g_autofree char *text = g_strdup_vprintf(format, ap);
	va_end(ap);
	copy_text(e->message, sizeof(e->message), text, strlen(text));
}

void api_error_missing(struct api_error_list *list, const char *param)
{
	uint32_t at = list->n;
	api_error_field(list, NULL, param, "%s is required", param);
	if (list->n > at)
		list->items[at].missing = true;
}

void api_error_from_status(struct api_error *e, enum api_profile profile, weir_status status,
			   struct weir_str text, struct weir_str param, uint32_t retry_after_ms)
{
	const struct mapping *m = &mappings[G_N_ELEMENTS(mappings) - 1];
	for (size_t i = 0; i < G_N_ELEMENTS(mappings); i++)
		if (mappings[i].status == status)
			m = &mappings[i];
	const char *fallback = m->text;
	for (size_t i = 0; i < G_N_ELEMENTS(fallbacks); i++)
		if (fallbacks[i].status == status)
			fallback = fallbacks[i].text;
	api_error_set(e, m->http, m->code, fallback);
	e->type = m->type;
	e->host = m->status;
	if (!m->text && text.len)
		copy_text(e->message, sizeof(e->message), text.data, text.len);
	if (param.len)
		copy_text(e->param, sizeof(e->param), param.data, param.len);
	else if (status == WEIR_E_NOT_FOUND)
		copy_text(e->param, sizeof(e->param), "model", 5);
	if (profile == API_PROFILE_FASTAPI) {
		e->validation = m->http == 400;
		if (status == WEIR_E_NO_MODEL)
			e->status = 500;
		else if (m->http == 400)
			e->status = 422;
	}
	if (profile == API_PROFILE_ANTHROPIC && m->http == 503 && status != WEIR_E_CANCELLED)
		e->status = 529;
	if (m->http == 429 || m->http == 503)
		e->retry_after_s = retry_after_ms
					   ? (uint32_t)(((uint64_t)retry_after_ms + 999) / 1000)
					   : 5; /* 003-12 */
}

void api_error_object(struct buf *b, const struct api_error *e)
{
	buf_puts(b, "{\"message\":");
	json_put_cstring(b, e->message);
	buf_puts(b, ",\"type\":");
	json_put_cstring(b, e->type);
	buf_puts(b, ",\"param\":");
	json_put_cstring(b, e->param[0] ? e->param : NULL);
	buf_puts(b, ",\"code\":");
	json_put_cstring(b, e->code);
	buf_putc(b, '}');
}

const char *api_error_anthropic_type(int status)
{
	static const struct {
		int status;
		const char *type;
	} types[] = {
		{ 401, "authentication_error" }, { 403, "permission_error" },
		{ 404, "not_found_error" },      { 413, "request_too_large" },
		{ 429, "rate_limit_error" },     { 503, "overloaded_error" },
		{ 504, "timeout_error" },        { 529, "overloaded_error" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
		if (types[i].status == status)
			return types[i].type;
	return status < 500 ? "invalid_request_error" : "api_error";
}

static void put_detail(struct buf *b, const struct api_error *e)
{
	buf_puts(b, "{\"loc\":[\"body\"");
	if (e->param[0]) {
		buf_putc(b, ',');
		json_put_cstring(b, e->param);
	}
	buf_puts(b, "],\"msg\":");
	json_put_cstring(b, e->message);
	buf_puts(b, ",\"type\":");
	json_put_cstring(b, e->missing ? "missing" : "value_error");
	buf_putc(b, '}');
}

void api_error_body(struct buf *b, const struct api_error *errors, uint32_t n,
		    enum api_profile profile)
{
	if (profile == API_PROFILE_ANTHROPIC) {
		buf_puts(b, "{\"type\":\"error\",\"error\":{\"type\":");
		json_put_cstring(b, api_error_anthropic_type(errors[0].status));
		buf_puts(b, ",\"message\":");
		json_put_cstring(b, errors[0].message);
		buf_puts(b, "}}");
		return;
	}
	if (profile == API_PROFILE_OPENAI) {
		buf_puts(b, "{\"error\":");
		api_error_object(b, &errors[0]);
		buf_putc(b, '}');
		return;
	}
	buf_puts(b, "{\"detail\":");
	if (!errors[0].validation) {
		json_put_cstring(b, errors[0].message);
	} else {
		buf_putc(b, '[');
		for (uint32_t i = 0; i < n; i++) {
			if (i)
				buf_putc(b, ',');
			put_detail(b, &errors[i]);
		}
		buf_putc(b, ']');
	}
	buf_putc(b, '}');
}
