/*
 * frontends/api/params.h - the scalar fields of API bodies: one table of names, types and ranges.
 *
 * The validator works from the table, and so do the OpenAPI document and docs/http-api.md: what is
 * written is what is enforced (000-17). Fields that are no scalars stand in it with their schema;
 * the endpoints' readers check them. Texts: 001-14. Pure.
 */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include <json-glib/json-glib.h>
#include <weir/stream.h>

#include "errors.h"

struct api_params {
	struct weir_sampling sampling;
	struct weir_limits limits;
	bool stream, include_usage, continuous_usage, echo;
	bool no_parallel_calls, no_reasoning;         /* as sent: parallel_tool_calls: false ... */
	bool add_special, parse_special, with_pieces; /* tokenize */
	bool token_objects;                           /* llama-server's: {id, piece} each */
	bool store, background;                       /* responses */
	bool resume; /* streams: by stream_options.resume, or as a transport asks */
	bool base64, return_documents;   /* embed, rerank */
	uint32_t dimensions, top_n;      /* 0: not given */
	uint32_t best_of;                /* 0: not given */
	uint32_t prompt_top;             /* vLLM's prompt_logprobs, with sampling.prompt_logprobs */
	uint32_t batch_tokens, batch_ms; /* token batching (001u-1); 0 tokens: off */
};

enum param_kind { /* bits: the requests that have the field */
		  PARAM_KIND_CHAT = 1,
		  PARAM_KIND_COMPLETION = 2,
		  PARAM_KIND_TOKENIZE = 4,
		  PARAM_KIND_DETOKENIZE = 8,
		  PARAM_KIND_EMBED = 16,
		  PARAM_KIND_RERANK = 32,
		  PARAM_KIND_RESPONSES = 64,
		  PARAM_KIND_MESSAGES = 128,
		  PARAM_KIND_COUNT = 256, /* count_tokens */
		  PARAM_KIND_TEMPLATE = 512,
		  PARAM_KIND_INFILL = 1024,
		  /* the only model there is will do */
		  PARAM_KIND_NAMELESS = PARAM_KIND_TOKENIZE | PARAM_KIND_DETOKENIZE |
					PARAM_KIND_TEMPLATE | PARAM_KIND_INFILL,
		  PARAM_KIND_GENERATE = PARAM_KIND_CHAT | PARAM_KIND_COMPLETION,
		  PARAM_KIND_SAMPLED = PARAM_KIND_GENERATE | PARAM_KIND_RESPONSES |
				       PARAM_KIND_MESSAGES | PARAM_KIND_INFILL,
};

enum param_type {
	PARAM_TYPE_FLOAT,
	PARAM_TYPE_UINT,   /* uint32_t; a negative value that the range allows becomes 0 */
	PARAM_TYPE_INT,    /* int32_t */
	PARAM_TYPE_SEED,   /* any integer; sets seed_set */
	PARAM_TYPE_BOOL,   /* bool */
	PARAM_TYPE_NOT,    /* bool: the opposite */
	PARAM_TYPE_FLAG,   /* a boolean kept in a uint32_t */
	PARAM_TYPE_COUNT,  /* as UINT, and the flag `logprobs` is set: completions' logprobs */
	PARAM_TYPE_PROMPT, /* as COUNT: the flag `prompt_logprobs` */
	PARAM_TYPE_OTHER,  /* read by the endpoint; `schema` tells what it must be */
};

struct param_rule {
	const char *name;
	enum param_type type;
	uint32_t kinds;
	double min, max;
	bool min_excluded;
	bool max_configured; /* max is the configuration's max_tokens */
	size_t offset;       /* in struct api_params */
	const char *help;
	const char *schema; /* OTHER: JSON Schema, an object */
	uint32_t required;  /* kinds that cannot do without */
};

/* All rules, ended by a NULL name. */
const struct param_rule *params_table(void);
void params_init(struct api_params *, uint32_t kind);
/* Checks and stores every field of the table that the object has; null counts as absent. */
void params_read(struct api_params *, uint32_t kind, JsonObject *, uint32_t max_tokens,
		 struct api_error_list *);

#endif
