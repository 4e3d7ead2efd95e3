/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/params.h - a request's params: one table of names, types and ranges.
 *
 * Names, ranges and texts are those of the HTTP API (OpenAI's and vLLM's). The first fault ends the
 * reading and is named; a name that the method does not know is a fault. Pure.
 */
#ifndef LINE_PARAMS_H
#define LINE_PARAMS_H

#include "rpc.h"

#define PARAMS_CREDIT     256u
#define PARAMS_MAX_CREDIT 1000000u

struct params {
	struct weir_sampling sampling;
	struct weir_limits limits;
	struct weir_logit_bias *bias; /* sampling.logit_bias */
	bool stream;                  /* events as they come; else all in the result */
	bool manual;                  /* flow: the client grants */
	bool add_special, parse_special, with_pieces;
	uint32_t credit; /* chat ...: at the start; grant: how much more */
	char *model, *api_key;
	char *messages, *tools, *tool_choice, *template_kwargs, *stop; /* JSON */
	char *prompt;
	char *tokens; /* JSON array of ids */
	char *inputs; /* embed: JSON array of strings and arrays of ids */
	uint32_t n_inputs;
	char *id; /* cancel, grant: as rpc_request.id */
};

enum param_type {
	PARAM_TYPE_FLOAT,
	PARAM_TYPE_UINT,  /* uint32_t; a negative value that the range allows becomes 0 */
	PARAM_TYPE_INT,   /* int32_t */
	PARAM_TYPE_SEED,  /* any integer; sets seed_set */
	PARAM_TYPE_BOOL,  /* bool */
	PARAM_TYPE_FLAG,  /* a boolean kept in a uint32_t */
	PARAM_TYPE_COUNT, /* as UINT, and the flag `logprobs` is set */
	PARAM_TYPE_TEXT,  /* char *: a string that is not empty */
	PARAM_TYPE_OTHER, /* read() does it */
};

struct param_rule {
	const char *name;
	enum param_type type;
	uint32_t methods;
	double min, max;
	bool min_excluded;
	size_t offset; /* in struct params */
	bool (*read)(struct params *, const struct json_doc *, uint32_t node, struct rpc_error *);
};

/* All rules, ended by a NULL name. */
const struct param_rule *params_table(void);
/* False: err. params_clear() in either case. */
bool params_read(struct params *ret, const struct rpc_request *, struct rpc_error *err);
void params_clear(struct params *);

/* messages.c: the shape of a chat, as OpenAI defines it; values are passed on as they are. */
bool messages_check(const struct json_doc *, uint32_t node, struct rpc_error *err);
bool tools_check(const struct json_doc *, uint32_t node, struct rpc_error *err);

#endif
