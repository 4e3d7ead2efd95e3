/*
 * frontends/api/body.h - the endpoints, and an API request's JSON body, checked whole and taken
 * apart.
 *
 * Pure: any thread. Unknown members are ignored. Whatever is wrong is found here, before anything
 * is asked of the gateway (000-08).
 */
#ifndef API_BODY_H
#define API_BODY_H

#include "api.h"
#include "params.h"

enum api_kind {
	API_KIND_CHAT,
	API_KIND_COMPLETION,
	API_KIND_TOKENIZE,
	API_KIND_DETOKENIZE,
	API_KIND_EMBED,
	API_KIND_RERANK,
	API_KIND_RESPONSES,
	API_KIND_MESSAGES,
	API_KIND_COUNT,    /* tokens of a Messages request */
	API_KIND_TEMPLATE, /* a chat's text */
	API_KIND_INFILL,
	API_N_KINDS
};

#define API_MAX_PROMPTS 128
#define API_MAX_CHOICES 1024 /* prompts times n */

struct api_format;
struct api_body;

struct api_endpoint {
	const char *name; /* "chat": HTTP's metrics label, WebSocket's request type */
	const char *path; /* "/v1/chat/completions" */
	enum api_kind kind;
	const struct api_format *format;
	/* Fills the body from the members of the request; adds what is wrong to errors. */
	void (*read)(struct api_body *, JsonObject *, const struct api_config *,
		     struct api_error_list *errors);
	bool anthropic; /* its errors are Anthropic's, whatever the profile */
};

/* How errors of this endpoint (NULL: none) are written. */
enum api_profile api_endpoint_profile(const struct api_config *, const struct api_endpoint *);

/* The bit of params.h. */
uint32_t api_kind_bit(enum api_kind);
/* All, ended by a NULL name. */
const struct api_endpoint *api_endpoints(void);
const struct api_endpoint *api_endpoint_find(const char *name); /* NULL: none */

struct api_prompt {
	char *text; /* the prompt, or a JSON array of token ids */
	bool is_tokens;
};

struct api_body {
	const struct api_endpoint *endpoint;
	struct api_params params;
	char *model; /* NULL where it may be absent: PARAM_KIND_NAMELESS */
	char *messages, *tools, *tool_choice, *template_kwargs, *stop; /* JSON, or NULL */
	char *grammar;              /* JSON, or NULL: the field of that name */
	const char *grammar_from;   /* the member that demanded it, static; or NULL */
	char *adapter;              /* or NULL */
	char *suffix;               /* completions, infill: or NULL */
	char *files;                /* infill: JSON array of {filename, text} */
	char *answer_fields;        /* infill: JSON array of names and paths, or NULL: all */
	bool only_reads;            /* infill: what is written is not sent */
	bool return_tokens;         /* infill: the ids too */
	uint32_t n_indent;          /* infill: a line that is indented less ends it; 0: none does */
	uint32_t predict_ms;        /* infill: it ends so long after its first token, once it has a
				     * whole line; 0: never */
	bool lists_prompt;          /* the answer has vLLM's prompt_logprobs */
	bool keep_reasoning;        /* thoughts stay in the content: field `reasoning` is none */
	char *inputs;               /* embed: JSON array */
	char *query, *documents;    /* rerank: text, JSON array of strings */
	uint32_t n_inputs;          /* in inputs or documents */
	struct api_prompt *prompts; /* one for chat, without text */
	uint32_t n_prompts;
	struct weir_logit_bias *bias;
	/* Responses: members that the response repeats, each with a comma before it; what is stored
	 * as its input: a JSON array. */
	char *shown, *items;
};

/* NULL: errors has at least one. text need not be NUL-terminated. */
struct api_body *api_body_parse(const struct api_config *, const struct api_endpoint *,
				const char *text, size_t len, struct api_error_list *errors);
/* The same from an object that is part of a larger document. It must have passed json_check(). */
struct api_body *api_body_read(const struct api_config *, const struct api_endpoint *, JsonObject *,
			       struct api_error_list *errors);
void api_body_free(struct api_body *);

/* messages.c: checks a chat's messages and tools. */
void messages_check(JsonObject *body, struct api_error_list *errors);
void messages_check_tools(JsonObject *body, struct api_error_list *errors);

#endif
