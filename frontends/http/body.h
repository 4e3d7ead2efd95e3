/*
 * frontends/http/body.h - an API request's JSON body, checked whole and taken apart.
 *
 * Pure: runs on the plane for small bodies and in the pool for large ones. Unknown members are
 * ignored. Whatever is wrong is found here, before anything is asked of the gateway (000-08).
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http.h"
#include "params.h"

enum api_kind { API_KIND_CHAT, API_KIND_COMPLETION, API_KIND_TOKENIZE, API_KIND_DETOKENIZE };

#define API_MAX_PROMPTS 128
#define API_MAX_CHOICES 1024 /* prompts times n */

struct api_prompt {
	char *text; /* the prompt, or a JSON array of token ids */
	bool is_tokens;
};

struct api_body {
	enum api_kind kind;
	struct api_params params;
	char *model; /* NULL where it may be absent: tokenize, detokenize */
	char *messages, *tools, *tool_choice, *template_kwargs, *stop; /* JSON, or NULL */
	struct api_prompt *prompts; /* one for chat, without text */
	uint32_t n_prompts;
	struct weir_logit_bias *bias;
};

/* NULL: errors has at least one. text need not be NUL-terminated. */
struct api_body *api_body_parse(const struct http_config *, enum api_kind, const char *text,
				size_t len, struct http_error_list *errors);
void api_body_free(struct api_body *);

/* messages.c: checks a chat's messages and tools. */
void messages_check(JsonObject *body, struct http_error_list *errors);

#endif
