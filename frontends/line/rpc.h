/* SPDX-License-Identifier: MIT */
/*
 * frontends/line/rpc.h - the envelope of a request (JSON-RPC 2.0) and of what is answered.
 *
 * Pure. A line is one request object; batches are refused. Beyond the standard: "jsonrpc" may be
 * left out, because people type; params is an object; cancel and grant may be notifications,
 * everything else needs an id, a string or an integer.
 */
#ifndef LINE_RPC_H
#define LINE_RPC_H

#include <weir/stream.h>

#include "json.h"

enum rpc_code { /* a failure that the host reports has -32000 + its weir_status instead */
		RPC_CODE_PARSE = -32700,
		RPC_CODE_REQUEST = -32600,
		RPC_CODE_METHOD = -32601,
		RPC_CODE_PARAMS = -32602,
		RPC_CODE_HOST = -32000,
};

struct rpc_error {
	int code;
	weir_status status;
	uint32_t retry_after_ms;
	char param[64]; /* "": none */
	char text[448];
};

enum rpc_method { /* bits, for the table of params */
		  RPC_METHOD_CHAT = 1u << 0,
		  RPC_METHOD_COMPLETE = 1u << 1,
		  RPC_METHOD_EMBED = 1u << 2,
		  RPC_METHOD_TOKENIZE = 1u << 3,
		  RPC_METHOD_DETOKENIZE = 1u << 4,
		  RPC_METHOD_CANCEL = 1u << 5,
		  RPC_METHOD_GRANT = 1u << 6,
		  RPC_METHOD_MODELS = 1u << 7,
		  RPC_METHOD_HEALTH = 1u << 8,
		  RPC_METHOD_GENERATE = RPC_METHOD_CHAT | RPC_METHOD_COMPLETE,
		  /* opens a stream */
		  RPC_METHOD_WORK = RPC_METHOD_GENERATE | RPC_METHOD_EMBED | RPC_METHOD_TOKENIZE |
				    RPC_METHOD_DETOKENIZE,
};

struct rpc_request {
	struct json_doc doc;
	char *id; /* JSON text in one spelling, so that ids can be compared; NULL: none */
	uint32_t method;
	uint32_t params; /* node; JSON_ABSENT: none given */
};

/* Always sets the error's whole content. param NULL: none. */
void rpc_fail(struct rpc_error *, int code, const char *param, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* What the host said. text may be empty. */
void rpc_fail_status(struct rpc_error *, weir_status, struct weir_str text, struct weir_str param,
		     uint32_t retry_after_ms);
const char *rpc_status_name(weir_status); /* "RATE_LIMITED" */
const char *rpc_method_name(uint32_t method);

/* text: the line; it must outlive ret. False: err; ret->id is set all the same if there was one
 * to answer to. rpc_request_clear() in either case. */
bool rpc_parse(const char *text, size_t len, struct rpc_request *ret, struct rpc_error *err);
void rpc_request_clear(struct rpc_request *);
/* An id in params, in the spelling of rpc_request.id; NULL: it is not a string or an integer. */
char *rpc_id(const struct json_doc *, uint32_t node);

/* Lines for the client. id NULL: null. */
void rpc_put_error(GString *out, const char *id, const struct rpc_error *);
/* `{"jsonrpc":"2.0","id":ID,"result":`, to be closed by rpc_put_end(). */
void rpc_put_result(GString *out, const char *id);
void rpc_put_end(GString *out);

#endif
