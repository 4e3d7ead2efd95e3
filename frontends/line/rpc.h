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

#include <api/errors.h>
#include <api/json-tree.h>

enum rpc_code { /* a failure that the host reports has -32000 + its weir_status instead */
		RPC_CODE_PARSE = -32700,
		RPC_CODE_REQUEST = -32600,
		RPC_CODE_METHOD = -32601,
		RPC_CODE_PARAMS = -32602,
		RPC_CODE_HOST = -32000,
};

struct rpc_error {
	int code;
	struct api_error api;
};

enum rpc_method {
	RPC_METHOD_CALL, /* what an endpoint of the API does */
	RPC_METHOD_CANCEL,
	RPC_METHOD_GRANT,
	RPC_METHOD_MODELS,
	RPC_METHOD_HEALTH,
	RPC_METHOD_SUBMIT, /* this and the next: for a parent (relay.h) */
	RPC_METHOD_METRICS,
};

struct rpc_request {
	JsonNode *root;
	JsonObject *params; /* never NULL once it was parsed */
	char *id;           /* JSON text in one spelling, so that ids can be compared; NULL: none */
	enum rpc_method method;
	const char *name;     /* of the method; static */
	const char *endpoint; /* of frontends/api/body.h; static, NULL: no CALL */
};

/* Always sets the error's whole content. param NULL: none. */
void rpc_fail(struct rpc_error *, int code, const char *param, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* What the host would have said. */
void rpc_fail_status(struct rpc_error *, weir_status, const char *text);
/* The code is the one of e. */
void rpc_fail_api(struct rpc_error *, const struct api_error *e);

/* False: err; ret->id is set all the same if there was one to answer to. rpc_request_clear() in
 * either case. */
bool rpc_parse(const char *text, size_t len, struct rpc_request *ret, struct rpc_error *err);
void rpc_request_clear(struct rpc_request *);
/* A param that is there and not null; NULL: none. */
JsonNode *rpc_param(const struct rpc_request *, const char *name);
/* An id in params, in the spelling of rpc_request.id; NULL: it is not a string or an integer. */
char *rpc_id(JsonNode *);

/* Lines for the client. id NULL: null. */
void rpc_put_error(struct buf *, const char *id, const struct rpc_error *);
/* `{"jsonrpc":"2.0","id":ID,"result":`, to be closed by rpc_put_end(). Returns where the result
 * begins. */
size_t rpc_put_result(struct buf *, const char *id);
/* text and the line's end. JSON that came from elsewhere, from `from` on, becomes one line. */
void rpc_put_end(struct buf *, size_t from, const char *text);

#endif
